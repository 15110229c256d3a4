from pathlib import Path

import numpy as np
import pytest

from dw_core.data import assets
from dw_core.data.balance_beam import delivered_rig, fit_principal_points
from dw_core.data.rigs import load_rig
from dw_core.geometry.camera import Rig, project, shifted
from dw_core.geometry.triangulation import triangulate

SHIPPED = Path(__file__).parents[3] / "config" / "rigs" / "balance_beam.yaml"

# White marks on the treadmill, px in the calibration images (1088x1920) of the footage's package, per
# camera; measured by hand and refined to the blob's centroid. Nothing was fitted to them.
MARKS = {
    "cam01": [(109.6, 1061.1), (319.6, 1337.8), (522.4, 1064.8), (772.4, 1292.9)],
    "cam02": [(442.1, 1041.5), (327.9, 1209.3), (794.3, 1085.0), (763.4, 1271.6)],
    "cam03": [(873.8, 1234.1), (516.0, 1090.0), (485.3, 1431.7), (164.3, 1240.4)],
    "cam04": [(836.6, 1410.5), (889.5, 1069.6), (385.1, 1396.1), (519.6, 1116.9)],
}


def left_out_error(rig):
    """Mean distance in px of each view's marks from where the other three views put them."""
    pixels = np.stack([as_delivered(name, np.array(MARKS[name])) for name in rig.names], 1)
    errors = []
    for m, camera in enumerate(rig):
        others = [k for k in range(len(rig)) if k != m]
        points = triangulate(rig.without(camera.name), pixels[:, others], 400.0 * np.eye(2)).points
        errors.append(np.linalg.norm(project(camera, points) - pixels[:, m], axis=-1).mean())
    return np.mean(errors)


def as_delivered(name, pixels):
    if name not in ("cam01", "cam02"):
        return pixels
    return (pixels + 0.5) * (1080 / 1088, 1906 / 1920) - 0.5 + (0, 7)


def test_shipped_rig_agrees_with_marks_that_it_was_not_fitted_to():
    assert left_out_error(delivered_rig(assets.calibration())) > 15
    assert left_out_error(load_rig(SHIPPED)) < 5


def test_shipped_rig_differs_from_the_calibration_in_principal_points_only():
    for before, after in zip(delivered_rig(assets.calibration()), load_rig(SHIPPED), strict=True):
        assert (before.name, before.width, before.height) == (after.name, after.width, after.height)
        for field in ("distortion", "R", "t"):
            np.testing.assert_array_equal(getattr(before, field), getattr(after, field))
        np.testing.assert_array_equal(before.K[:, :2], after.K[:, :2])
        assert 1 < np.linalg.norm(after.K[:2, 2] - before.K[:2, 2]) < 30


@pytest.fixture
def scene():
    """The shipped rig, and 600 points about the beam seen by it exactly."""
    rig = load_rig(SHIPPED)
    points = np.random.default_rng(0).uniform((-2, -0.5, 0), (0, 0.5, 1.8), (600, 3))
    return rig, np.stack([project(camera, points) for camera in rig])


def test_fit_finds_shifted_principal_points_up_to_a_shift_of_the_world(scene):
    """Afterwards the views agree, although some joints are far off and the world may have moved."""
    rig, pixels = scene
    rng = np.random.default_rng(1)
    wrong = Rig(tuple(shifted(c, *rng.uniform(-15, 15, 2), c.width, c.height) for c in rig))
    seen = pixels + rng.normal(0, 2, pixels.shape)
    seen[rng.random(seen.shape[:2]) < 0.05] += 150
    fitted = fit_principal_points(wrong, seen, np.ones(seen.shape[:2]))

    def disagreement(candidate):
        points = triangulate(candidate, pixels.swapaxes(0, 1), 100.0 * np.eye(2)).points
        return np.median(
            [np.linalg.norm(project(c, points) - pixels[m], axis=-1) for m, c in enumerate(candidate)]
        )

    assert disagreement(wrong) > 4
    assert disagreement(fitted) < 0.4


def test_fit_leaves_a_good_rig_alone(scene):
    rig, pixels = scene
    fitted = fit_principal_points(rig, pixels, np.ones(pixels.shape[:2]))
    for before, after in zip(rig, fitted, strict=True):
        np.testing.assert_allclose(before.K, after.K, atol=1e-3)
