"""Drawn maps give back the peaks that they were drawn from."""

import numpy as np
import pytest

from dw_core.data import messages
from dw_core.detector.draw import draw
from dw_core.detector.measure import measure_peaks
from dw_core.detector.simulate import Peaks
from dw_core.geometry.crop import Crop
from dw_core.heatmaps.decode import decode

J = 200


@pytest.fixture
def peaks():
    rng = np.random.default_rng(0)
    return Peaks(
        cells=rng.uniform(12, 30, (J, 2)),
        height=rng.uniform(0.1, 0.97, J),
        sigma=rng.uniform(0.7, 2.0, J),
        second=rng.integers(46, 54, (J, 2)).astype(float),
        second_height=np.zeros(J),
    )


def with_seconds(peaks):
    return Peaks(peaks.cells, peaks.height, peaks.sigma, peaks.second, 0.6 * peaks.height)


@pytest.mark.parametrize("n", [64, 96])
def test_decode_returns_the_peak_also_when_there_is_a_second(peaks, n):
    crop = Crop(-0.5, -0.5, float(n))
    for given in (peaks, with_seconds(peaks)):
        found = decode(draw(given, n), crop)
        error = np.linalg.norm(found.pixels - given.cells, axis=-1)
        assert np.median(error) < 0.02 and np.quantile(error, 0.95) < 0.1 and error.max() < 0.25


def test_what_was_drawn_is_measured(peaks):
    given = with_seconds(peaks)
    found = measure_peaks(draw(given, 64))
    np.testing.assert_allclose(found.height, given.height, atol=1e-3)
    np.testing.assert_allclose(found.sigma, given.sigma, atol=1e-2)
    np.testing.assert_allclose(found.second, given.second)
    np.testing.assert_allclose(found.second_height, given.second_height, atol=1e-3)


def test_the_top_is_a_gaussian_of_its_width_and_the_foot_is_not():
    one = Peaks(np.array([[30.0, 30.0]]), np.array([0.4]), np.array([4.0]), np.zeros((1, 2)), np.zeros(1))
    line = draw(one, 64)[0, 30, 30:] / 0.4
    np.testing.assert_allclose(line[:4], np.exp(-0.5 * (np.arange(4) / 4.0) ** 2), atol=0.01)
    assert line[14] > 2 * np.exp(-0.5 * (14 / 4.0) ** 2)


def test_maps_are_those_that_come_off_the_wire(peaks):
    maps = draw(peaks, 64)
    assert maps.dtype == np.float32 and maps.shape == (J, 64, 64)
    assert maps.min() == 0.0 and maps.max() <= 1.0
    np.testing.assert_array_equal(messages.from_wire(messages.to_wire(maps)), maps)


def test_leading_axes_are_kept(peaks):
    fields = {name: np.stack([getattr(peaks, name)[:34].reshape(2, 17, -1).squeeze()] * 3) for name in (
        "cells", "height", "sigma", "second", "second_height")}  # fmt: skip
    maps = draw(Peaks(**fields), 32)
    assert maps.shape == (3, 2, 17, 32, 32)
    np.testing.assert_array_equal(maps[2].reshape(34, 32, 32), draw(
        Peaks(*(getattr(peaks, name)[:34] for name in fields)), 32))  # fmt: skip


def test_an_empty_map_has_no_peak():
    found = measure_peaks(np.zeros((2, 64, 64), dtype=np.float32))
    assert np.isnan(found.cells).all() and (found.height < 1e-3).all() and (found.second_height == 0).all()
