import json
from pathlib import Path

import numpy as np
import pytest

from dw_core.data import assets
from dw_core.data.balance_beam import delivered_rig, fit_principal_points
from dw_core.data.footage import Footage
from dw_core.data.rigs import load_qualisys, load_rig
from dw_core.evaluation.balance_beam_report import (
    agreement,
    black_rows,
    cropped_rig,
    images,
    limbs,
    mark_error,
    parts,
    shifts,
)
from dw_core.geometry.camera import Rig, project, shifted
from dw_core.geometry.triangulation import triangulate

SHIPPED = Path(__file__).parents[3] / "config" / "rigs" / "balance_beam.yaml"

RESULTS = json.loads((Path(__file__).parents[3] / "docs/results/balance_beam.json").read_text())


def test_shipped_rig_agrees_with_marks_that_it_was_not_fitted_to():
    assert mark_error(delivered_rig(assets.calibration())) > 15
    assert mark_error(load_rig(SHIPPED)) < 5


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


def test_results_are_those_of_the_shipped_rig_and_of_the_footage():
    """All that takes no network; the rest comes out of the command in the module's first lines."""
    delivered, shipped = delivered_rig(assets.calibration()), load_rig(SHIPPED)
    for name, shift in shifts(delivered, shipped).items():
        assert RESULTS["principal_point_shift_px"][name] == pytest.approx(shift, abs=1e-3)
    marks = {one["rig"]: one["marks_px"] for one in RESULTS["errors"]}
    assert marks["as delivered"] == pytest.approx(mark_error(delivered), abs=1e-3)
    assert marks["shipped: fitted to the whole clip"] == pytest.approx(mark_error(shipped), abs=1e-3)
    footage = Footage.open(assets.footage(), shipped.names)
    for name, one in images(load_qualisys(assets.calibration()), footage).items():
        for field, value in one.items():
            assert RESULTS["images"][name][field] == pytest.approx(value, abs=1e-3)


def test_fit_is_worth_it_on_frames_that_it_did_not_see():
    left_out = {(one["rig"], one["tested_on"]): one["left_out_median_px"] for one in RESULTS["errors"]}
    for fitted, tested in (("first half", "second half"), ("second half", "first half")):
        assert left_out[f"fitted to the {fitted}", tested] < 0.65 * left_out["as delivered", tested]


def test_agreement_tells_the_view_that_is_off_from_those_that_are_not(scene):
    """A view that is off by (6, 8) px everywhere: 10 px left out, less where it had its say itself."""
    rig, pixels = scene
    sure = np.ones(pixels.shape[:2])
    assert max(agreement(rig, pixels, sure).values()) < 1e-6
    off = pixels.copy()
    off[0] += (6.0, 8.0)
    off[:, ::7] = np.nan  # joints that nobody saw say nothing
    sure[:, ::7] = 0.0
    found = agreement(rig, off, sure)
    alone = np.linalg.norm(off[0] - pixels[0], axis=-1)
    assert np.nanmax(alone) == pytest.approx(10.0)
    assert 10.0 <= found["left_out_p90_px"] < 40.0
    assert 0.5 < found["reprojection_median_px"] < found["left_out_median_px"]
    three = np.s_[1:]
    only = agreement(rig.without("cam01"), off[three], sure[three])
    assert max(only.values()) < 1e-6


def test_a_crop_is_a_shifted_principal_point(scene):
    """So no reprojection can tell on which side the columns are missing, once the points are fitted."""
    calibrated = load_qualisys(assets.calibration())
    left, right = cropped_rig(calibrated, 1.0), cropped_rig(calibrated, 0.0)
    assert [camera.width for camera in left] == [1080, 1080, 1088, 1088]
    for a, b, moved in zip(left, right, (8, 8, 0, 0), strict=True):
        np.testing.assert_allclose(b.K - a.K, [[0, 0, moved], [0, 0, 0], [0, 0, 0]])


def test_black_rows_are_counted_through_compression():
    picture = np.full((100, 60, 3), 120, dtype=np.uint8)
    picture[:7], picture[-5:] = 19, 4
    assert black_rows(picture) == (7, 5)
    assert black_rows(picture[7:-5]) == (0, 0)


def test_limbs_of_a_still_person_have_their_lengths(rig, person):
    pixels = np.stack([np.tile(project(camera, person), (5, 1)) for camera in rig])
    found = limbs({"here": rig}, pixels, np.ones(pixels.shape[:2]), len(person))
    assert set(found) == {f"{s} {limb}" for s in ("left", "right") for limb in
                          ("thigh", "shank", "upper arm", "forearm")}  # fmt: skip
    thigh = np.linalg.norm(person[11] - person[13]) * 1e3
    assert found["left thigh"]["here"]["median_mm"] == pytest.approx(thigh, abs=1e-3)
    assert found["left thigh"]["here"]["mad_fraction"] == pytest.approx(0.0, abs=1e-9)


def test_errors_of_the_face_are_told_from_the_others(rig, person):
    """A nose that one view sees elsewhere is an error of the face alone."""
    pixels = np.stack([np.tile(project(camera, person), (3, 1)) for camera in rig])
    pixels[0, ::17] += 20.0
    found = parts({"here": rig}, pixels, np.ones(pixels.shape[:2]), len(person))
    assert found["trunk and limbs"]["here"]["left_out_p90_px"] < 1e-6
    assert found["face"]["here"]["left_out_p90_px"] > 5
