"""How views contradict each other, where that is known; and the mean shape of peaks that were drawn."""

import numpy as np
import pytest

from dw_core.benchmarks.detections import Detections
from dw_core.detector.draw import POWER, draw
from dw_core.detector.footage import contradictions, residuals
from dw_core.detector.profile import RINGS, STEP, rings
from dw_core.detector.simulate import Peaks
from dw_core.geometry.camera import project

FRAMES, SIDE = 40, 400.0


@pytest.fixture
def exact(rig, person):
    """Detections without errors of somebody who walks."""
    joints = person + np.arange(FRAMES)[:, None, None] * (0.01, 0.0, 0.0)
    pixels = np.stack([project(camera, joints) for camera in rig])
    ones = np.ones(pixels.shape[:-1])
    corner = (pixels.min(2) + pixels.max(2)) / 2 - SIDE / 2
    side = np.full(corner.shape[:2], SIDE)
    covariance = np.broadcast_to(np.eye(2), (*ones.shape, 2, 2))
    return Detections(pixels, covariance, ones, ones, side, corner, ones, 0.02 * ones, 0 * pixels, 0 * ones)


def test_exact_views_agree_and_a_joint_that_is_off_stands_out_by_as_much(rig, exact):
    assert np.abs(residuals(rig, exact.pixels, exact.confidence)).max() < 0.01
    exact.pixels[2, :, 9] += (6.0, -8.0)
    found = residuals(rig, exact.pixels, exact.confidence)
    np.testing.assert_allclose(found[2, :, 9], np.broadcast_to((6.0, -8.0), (FRAMES, 2)), atol=0.01)


def test_a_model_without_errors_contradicts_itself_no_more_than_maps_can(rig, exact, make_model):
    result = contradictions(rig, exact, 60.0, make_model())
    assert result["real"]["percentiles"]["95"] < 1e-4
    assert result["simulated"]["percentiles"]["95"] < 0.15 / 64
    assert result["simulated"]["far"] == 0.0


def test_errors_and_their_correlation_show_in_the_residuals(rig, exact, make_model):
    seen = {"spread_along": 0.01, "spread_across": 0.01}
    lasting = contradictions(rig, exact, 60.0, make_model(seen, shares=(0.0, 1.0, 0.0), fast_s=0.1))
    fresh = contradictions(rig, exact, 60.0, make_model(seen))
    assert lasting["simulated"]["lag_s"][:2] == pytest.approx([1 / 60, 2 / 60])
    assert lasting["simulated"]["lag"][0] > 0.6 and abs(fresh["simulated"]["lag"][0]) < 0.1
    # of two coordinates, the others' errors add a third or so
    assert 0.01 < fresh["simulated"]["percentiles"]["50"] < 0.02


def test_rings_around_a_drawn_peak_have_its_shape():
    peaks = Peaks(np.full((1, 2), 31.5), np.array([0.5]), np.array([3.0]), np.zeros((1, 2)), np.zeros(1))
    total, count = rings(draw(peaks, 64), peaks.cells, peaks.height, peaks.sigma)
    far = STEP * np.arange(RINGS)
    expected = 2 / (1 + (1 + far**2 / (2 * POWER * 0.5)) ** POWER)
    np.testing.assert_allclose((total / np.maximum(count, 1))[1:], expected[1:], atol=0.04)
