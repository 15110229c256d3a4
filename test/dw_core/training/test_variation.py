"""Skeletons that nobody captured are still skeletons. Who stands is in the frame of the trunk."""

import numpy as np
import pytest

from dw_core.pose_prior import mirrored
from dw_core.skeleton import COCO17, H36M17
from dw_core.training import variation
from dw_core.training.variation import vary

from ..test_anatomy import standing

COUNT = 400
LIMBS = (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))


def bone(poses, joints, a, b):
    return poses[:, joints.index(b)] - poses[:, joints.index(a)]


@pytest.fixture(params=[COCO17, H36M17], ids=lambda joints: joints.name)
def varied(request):
    joints = request.param
    people = np.repeat(standing(joints)[None], COUNT, axis=0)
    before = people.copy()
    made = vary(people, joints, np.random.default_rng(0))
    np.testing.assert_array_equal(people, before)
    return joints, before, made


def test_the_same_generator_gives_the_same(varied):
    joints, before, made = varied
    np.testing.assert_array_equal(vary(before, joints, np.random.default_rng(0)), made)
    assert np.isfinite(made).all()


def test_limbs_are_as_long_on_both_sides_and_about_as_long_as_before(varied):
    joints, before, made = varied
    for a, b in LIMBS:
        left, right = (
            np.linalg.norm(bone(made, joints, f"{side}_{a}", f"{side}_{b}"), axis=-1)
            for side in ("left", "right")
        )
        # hips and shoulders are called so at other places: a few cm of the limb that starts there
        np.testing.assert_allclose(left, right, atol=0.08 if a in ("hip", "shoulder") else 1e-9)
        part = left / np.linalg.norm(bone(before, joints, f"left_{a}", f"left_{b}"), axis=-1)
        low, high = variation.SIZE
        assert part.mean() == pytest.approx((low + high) / 2, abs=0.02) and 0.05 < part.std() < 0.2


def test_limbs_bend_both_ways_and_some_people_stoop(varied):
    joints, before, made = varied

    def angles(a, b):
        one, other = bone(before, joints, a, b), bone(made, joints, a, b)
        cos = (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)
        return np.rad2deg(np.arccos(np.clip(cos, -1, 1)))

    for a, b in LIMBS:
        assert 20 < np.percentile(angles(f"left_{a}", f"left_{b}"), 75) < 100
    lean = bone(made, joints, "left_hip", "left_shoulder")
    forward = np.rad2deg(np.arctan2(-lean[:, 1], lean[:, 2]))
    assert 25 < np.percentile(forward, 95) < 60 and -30 < np.percentile(forward, 5) < -10


def test_left_is_as_likely_as_right(varied):
    """Means of both sides mirror each other."""
    joints, _, made = varied
    off = made.mean(0) - mirrored(made, joints).mean(0)
    spread = made.std(0).max()
    assert np.abs(off).max() < 5 * spread / np.sqrt(COUNT)


def test_pelvis_and_belly_are_called_so_at_other_heights():
    people = np.repeat(standing(H36M17)[None], COUNT, axis=0)
    made = vary(people, H36M17, np.random.default_rng(0))
    hips = (made[:, H36M17.index("left_hip")] + made[:, H36M17.index("right_hip")]) / 2
    neck = made[:, H36M17.index("neck")]
    along = (neck - hips) / np.linalg.norm(neck - hips, axis=-1, keepdims=True)
    for name, (low, high) in (("pelvis", variation.PELVIS), ("belly", variation.BELLY)):
        offset = made[:, H36M17.index(name)] - hips
        on_line = np.linalg.norm(offset - (offset * along).sum(-1, keepdims=True) * along, axis=-1) < 1e-9
        assert on_line.mean() == pytest.approx(variation.RENAMED, abs=0.1)
        place = (offset * along).sum(-1)[on_line] / np.linalg.norm(neck - hips, axis=-1)[on_line]
        assert low <= place.min() < low + 0.1 and high - 0.1 < place.max() <= high
