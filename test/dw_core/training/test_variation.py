"""Skeletons that nobody captured are still skeletons. Who stands is in the frame of the trunk."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dw_core.joint_refiner import mirrored
from dw_core.skeleton import COCO17, H36M17
from dw_core.training import variation
from dw_core.training.variation import HEAD, others, vary

from ..drawn import standing

COUNT = 400
LIMBS = (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))


def bone(poses, joints, a, b):
    return poses[:, joints.index(b)] - poses[:, joints.index(a)]


def angles_to(vectors, axis):
    """Degrees (B,)."""
    cos = (vectors * axis).sum(-1) / np.linalg.norm(vectors, axis=-1) / np.linalg.norm(axis, axis=-1)
    return np.rad2deg(np.arccos(np.clip(cos, -1, 1)))


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

    for a, b in LIMBS:
        name = f"left_{a}", f"left_{b}"
        bent = angles_to(bone(made, joints, *name), bone(before, joints, *name))
        assert 20 < np.percentile(bent, 75) < 100
    lean = bone(made, joints, "left_hip", "left_shoulder")
    forward = np.rad2deg(np.arctan2(-lean[:, 1], lean[:, 2]))
    assert 25 < np.percentile(forward, 95) < 60 and -30 < np.percentile(forward, 5) < -10


def test_left_is_as_likely_as_right(varied):
    """Means of both sides mirror each other."""
    joints, _, made = varied
    off = made.mean(0) - mirrored(made, joints).mean(0)
    spread = made.std(0).max()
    assert np.abs(off).max() < 5 * spread / np.sqrt(COUNT)


def test_the_belly_is_called_so_at_other_heights():
    people = np.repeat(standing(H36M17)[None], COUNT, axis=0)
    made = vary(people, H36M17, np.random.default_rng(0))
    hips = (made[:, H36M17.index("left_hip")] + made[:, H36M17.index("right_hip")]) / 2
    neck = made[:, H36M17.index("neck")]
    along = (neck - hips) / np.linalg.norm(neck - hips, axis=-1, keepdims=True)
    offset = made[:, H36M17.index("belly")] - hips
    on_line = np.linalg.norm(offset - (offset * along).sum(-1, keepdims=True) * along, axis=-1) < 1e-9
    assert on_line.mean() == pytest.approx(variation.RENAMED, abs=0.1)
    place = (offset * along).sum(-1)[on_line] / np.linalg.norm(neck - hips, axis=-1)[on_line]
    low, high = variation.BELLY
    assert low <= place.min() < low + 0.1 and high - 0.1 < place.max() <= high


def test_the_pelvis_is_called_so_from_the_hips_to_above_where_it_was(monkeypatch):
    for name in ("DEFINITION_M", "PELVIS_M", "PELVIS_RAD"):
        monkeypatch.setattr(variation, name, 0.0)
    monkeypatch.setattr(variation, "RHYTHM", (0.0, 0.0))
    monkeypatch.setattr(variation, "SIZE", (1.0, 1.0))
    people = np.repeat(standing(H36M17)[None], COUNT, axis=0)
    before = np.array((0.0, 0.03, 0.08))
    people[:, H36M17.index("pelvis")] += before
    made = vary(people, H36M17, np.random.default_rng(0))
    hips = (made[:, H36M17.index("left_hip")] + made[:, H36M17.index("right_hip")]) / 2
    part = (made[:, H36M17.index("pelvis")] - hips) @ before / (before @ before)
    renamed = np.abs(part - 1) > 1e-9
    assert renamed.mean() == pytest.approx(variation.RENAMED, abs=0.1)
    low, high = variation.PELVIS
    assert low <= part.min() < low + 0.1 and high - 0.1 < part.max() <= high


def test_the_pelvis_tilts_on_its_own(monkeypatch):
    """About the axis of the hips, which stay where they are."""
    for name in ("RENAMED", "DEFINITION_M", "PELVIS_M", "FACE_M", "STOOPED", "LENGTH", "HIPS", "SHOULDERS"):
        monkeypatch.setattr(variation, name, 0.0)
    monkeypatch.setattr(variation, "TRUNK_RAD", (0.0, 0.0, 0.0))
    monkeypatch.setattr(variation, "RHYTHM", (0.0, 0.0))
    people = np.repeat(standing(H36M17)[None], COUNT, axis=0)
    people[:, H36M17.index("pelvis")] += (0.0, 0.03, 0.08)
    made = vary(people, H36M17, np.random.default_rng(0))
    hips = (made[:, H36M17.index("left_hip")] + made[:, H36M17.index("right_hip")]) / 2
    above = made[:, H36M17.index("pelvis")] - hips
    size = np.linalg.norm(above, axis=-1) / np.linalg.norm((0.0, 0.03, 0.08))
    assert variation.SIZE[0] <= size.min() and size.max() <= variation.SIZE[1]
    np.testing.assert_allclose(above[:, 0], 0.0, atol=1e-12)
    turned = np.deg2rad(angles_to(above, np.array((0.0, 0.03, 0.08))))
    tilted = turned > 1e-6
    assert tilted.mean() == pytest.approx(variation.BENT, abs=0.1)
    assert np.sqrt((turned[tilted] ** 2).mean()) == pytest.approx(variation.PELVIS_RAD, rel=0.15)


@pytest.mark.parametrize(("raised", "tilts"), [(1.0, True), (-0.5, False)])
def test_the_pelvis_tilts_back_with_raised_thighs(monkeypatch, raised, tilts):
    """By up to half as much as these, and not at all with thighs that go back."""
    for name in ("BENT", "RENAMED", "DEFINITION_M", "PELVIS_M", "STOOPED", "LENGTH", "HIPS", "SHOULDERS"):
        monkeypatch.setattr(variation, name, 0.0)
    people = np.repeat(standing(H36M17)[None], COUNT, axis=0)
    before = np.array((0.0, 0.0, 0.1))
    people[:, H36M17.index("pelvis")] += before
    for side in ("left", "right"):
        hip, knee = (people[:, H36M17.index(f"{side}_{name}")] for name in ("hip", "knee"))
        knee[:] = hip + (0.0, -0.4 * np.sin(raised), -0.4 * np.cos(raised))
    made = vary(people, H36M17, np.random.default_rng(0))
    hips = (made[:, H36M17.index("left_hip")] + made[:, H36M17.index("right_hip")]) / 2
    above = made[:, H36M17.index("pelvis")] - hips
    back = np.arctan2(above[:, 1], above[:, 2])
    np.testing.assert_allclose(above[:, 0], 0.0, atol=1e-12)
    if not tilts:
        np.testing.assert_allclose(back, 0.0, atol=1e-12)
        return
    low, high = variation.RHYTHM
    assert low <= back.min() < low + 0.05 and high - 0.05 < back.max() <= high


def test_faces_differ_more_than_trunks_do(monkeypatch):
    """By how much a joint is called so beside where it is: both sides alike, in the middle not sideways."""
    monkeypatch.setattr(variation, "BENT", 0.0)
    for name in ("LENGTH", "HIPS", "SHOULDERS"):
        monkeypatch.setattr(variation, name, 0.0)
    monkeypatch.setattr(variation, "SIZE", (1.0, 1.0))
    people = np.repeat(standing(COCO17)[None], COUNT, axis=0)
    shift = vary(people, COCO17, np.random.default_rng(0)) - people
    np.testing.assert_allclose(shift, mirrored(shift, COCO17), atol=1e-12)
    for joint, name in enumerate(COCO17.joints):
        std = variation.FACE_M if name in HEAD else variation.DEFINITION_M
        if name.split("_")[-1] in ("elbow", "wrist", "knee", "ankle"):
            std = 0.0
        sideways = 0.0 if COCO17.partner(name) == name else std
        np.testing.assert_allclose(shift[:, joint].std(0), (sideways, std, std), rtol=0.15, atol=1e-12)


@pytest.fixture(params=[COCO17, H36M17], ids=lambda joints: joints.name)
def crowd(request):
    """Somebody who stands, all over the room, leaning and turned in every way."""
    joints, rng = request.param, np.random.default_rng(1)
    R = Rotation.from_rotvec(rng.normal(0, 1.0, (COUNT, 3))).as_matrix()
    return joints, np.einsum("bkc,jc->bjk", R, standing(joints)) + rng.normal(0, 2.0, (COUNT, 1, 3)), R


def trunk_middle(people, joints):
    names = ("left_hip", "right_hip", "left_shoulder", "right_shoulder")
    return people[:, [joints.index(name) for name in names]].mean(1)


def test_others_are_varied_in_the_frames_of_their_own_trunks(crowd):
    """Whoever stands is so in the frame already; all of them stand, turned and elsewhere."""
    joints, people, R = crowd
    before = people.copy()
    made = others(people, joints, np.random.default_rng(0))
    np.testing.assert_array_equal(people, before)
    one = standing(joints)[None]
    middle = trunk_middle(one, joints)
    varied = vary(np.repeat(one - middle[:, None], COUNT, 0), joints, np.random.default_rng(0))
    expected = np.einsum("bkc,bjc->bjk", R, varied) + trunk_middle(people, joints)[:, None]
    np.testing.assert_allclose(made, expected, atol=1e-9)


def test_others_are_where_the_people_are_and_lean_as_they_do(crowd):
    joints, people, R = crowd
    made = others(people, joints, np.random.default_rng(0))
    away = np.linalg.norm(trunk_middle(made, joints) - trunk_middle(people, joints), axis=-1)
    assert np.median(away) < 0.1 and away.max() < 0.5, "those who stoop bend about a point of the trunk"
    assert np.median(np.linalg.norm(made - people, axis=-1)) > 0.05
    hips = bone(made, joints, "right_hip", "left_hip")
    assert angles_to(hips, R @ (1.0, 0.0, 0.0)).max() < 15, "hips stay where left is"


def test_it_does_not_matter_where_in_the_world_one_is_nor_which_way_one_turns(crowd):
    joints, people, _ = crowd
    turn = Rotation.from_euler("z", 2.1).as_matrix()
    made = others(people, joints, np.random.default_rng(0))
    there = others(people @ turn.T + (3.0, -1.0, 0.5), joints, np.random.default_rng(0))
    np.testing.assert_allclose(there, made @ turn.T + (3.0, -1.0, 0.5), atol=1e-9)
