import numpy as np
import pytest

from dw_core.geometry.camera import project
from dw_core.training.rigs import SIZES, miscalibrated, random_rig

PERSON = np.array([[0.0, 0.0, 0.05], [0.0, 0.0, 1.75], [0.3, 0.2, 1.0], [-0.3, -0.2, 1.0]])


@pytest.fixture(scope="module")
def rigs():
    return [random_rig(np.random.default_rng(k)) for k in range(60)]


def test_rigs_have_2_to_8_cameras_that_see_a_person_in_the_middle(rigs):
    assert {len(rig) for rig in rigs} == set(range(2, 9))
    inside = []
    for rig in rigs:
        for camera in rig:
            pixels = project(camera, PERSON)
            inside.append(((pixels > 0) & (pixels < (camera.width, camera.height))).all(-1))
    assert np.isfinite(inside).all() and np.mean(inside) > 0.9


def test_a_rig_is_that_of_its_seed_and_rigs_differ(rigs):
    again = random_rig(np.random.default_rng(3))
    assert all((a.K == b.K).all() and (a.t == b.t).all() for a, b in zip(again, rigs[3], strict=True))
    assert {(camera.width, camera.height) for rig in rigs for camera in rig} == set(SIZES)
    heights = np.array([camera.centre[2] for rig in rigs for camera in rig])
    assert heights.min() < 1 and heights.max() > 2


def test_a_calibration_is_off_by_some_pixels(rigs):
    rng = np.random.default_rng(0)
    off = []
    for rig in rigs:
        for real, believed in zip(rig, miscalibrated(rig, rng), strict=True):
            off.append(np.linalg.norm(project(real, PERSON) - project(believed, PERSON), axis=-1).mean())
            assert real.name == believed.name
    assert 1 < np.median(off) < 8 and np.max(off) < 40
