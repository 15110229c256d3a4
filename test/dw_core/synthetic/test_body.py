import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dw_core.errors import ConfigError
from dw_core.skeleton import COCO17
from dw_core.synthetic.body import FILE, PIVOTS

SHAPES = ("woman-155", "woman-162", "woman-168", "woman-176", "man-168", "man-174", "man-182", "man-190")


def still(body):
    return np.tile(np.eye(3), (len(body.bones), 1, 1))


def at_rest(body, name):
    shape = body.shape(name)
    return body.posed(shape, still(body), shape.heads[0])


def any_pose(body, seed):
    return Rotation.random(len(body.bones), rng=np.random.default_rng(seed)).as_matrix()


def skinned_by_loop(body, shape, rotations, heads):
    """Linear blend skinning, bone by bone in float64: the plain form of `Body.skinned`."""
    out = np.zeros_like(shape.vertices)
    for k in range(len(body.bones)):
        moved = (shape.vertices - shape.heads[k]) @ rotations[k].T + heads[k]
        out += body.weights[:, k : k + 1].astype(np.float64) * moved
    return out


@pytest.mark.parametrize("name", SHAPES)
def test_a_body_has_the_height_that_its_name_says(body, name):
    shape = body.shape(name)
    assert shape.height_m == pytest.approx(int(name.split("-")[1]) / 100)
    skin = shape.vertices[body.parts["skin"].vertices]
    # the feet's own skin is left out, as shoes cover it; they stand on z = 0
    assert skin[:, 2].max() == pytest.approx(shape.height_m, abs=1e-4)
    soles = shape.vertices[body.parts["soles"].vertices]
    assert -0.02 < soles[:, 2].min() < 0


def test_rest_pose_is_as_it_was_baked(body):
    posed = at_rest(body, "woman-168")
    np.testing.assert_allclose(posed.vertices, posed.shape.vertices, atol=2e-6)
    np.testing.assert_allclose(posed.heads, posed.shape.heads, atol=1e-12)


def test_weights_are_of_four_bones_and_sum_to_one(body):
    assert ((body.weights > 0).sum(1) <= 4).all()
    np.testing.assert_allclose(body.weights.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("name", SHAPES)
def test_left_is_left_and_joints_are_where_they_belong(body, name):
    posed = at_rest(body, name)
    coco = dict(zip(COCO17.joints, body.coco_joints(posed), strict=True))
    for joint, place in coco.items():
        partner = coco[COCO17.partner(joint)]
        np.testing.assert_allclose(place, partner * (-1, 1, 1), atol=2e-3)
        assert COCO17.side(joint) != "left" or place[0] > 0.02
    height = posed.shape.height_m
    assert coco["nose"][1] < coco["left_ear"][1] - 0.05  # faces -y
    assert 0.90 * height < coco["nose"][2] < 0.95 * height
    assert 0.78 * height < coco["left_shoulder"][2] < 0.87 * height
    assert 0.46 * height < coco["left_hip"][2] < 0.57 * height
    assert 0.02 * height < coco["left_ankle"][2] < 0.08 * height


@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(SHAPES))
@settings(max_examples=15, deadline=None)
def test_skinning_is_that_of_the_loop_anywhere(body, seed, name):
    shape, root = body.shape(name), np.array([31.0, -17.0, 2.0])
    rotations = any_pose(body, seed)
    posed = body.posed(shape, rotations, root)
    np.testing.assert_allclose(
        posed.vertices, skinned_by_loop(body, shape, rotations, posed.heads), atol=5e-6
    )


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_a_whole_body_moves_as_one(body, seed):
    rest = at_rest(body, "man-182")
    turn, move = any_pose(body, seed)[0], np.array([3.0, -1.0, 0.5])
    root = turn @ rest.heads[0] + move
    moved = body.posed(rest.shape, np.tile(turn, (len(body.bones), 1, 1)), root)
    np.testing.assert_allclose(body.coco_joints(moved), body.coco_joints(rest) @ turn.T + move, atol=2e-6)
    np.testing.assert_allclose(body.pivots(moved), body.pivots(rest) @ turn.T + move, atol=1e-9)


def test_a_twist_of_a_limb_moves_no_pivot(body):
    shape = body.shape("man-190")
    rotations = still(body)
    plain = body.pivots(body.posed(shape, rotations, shape.heads[0]))
    for side in "LR":
        for limb in ("upperarm", "lowerarm", "upperleg", "lowerleg"):
            first, second = body.bone(f"{limb}01.{side}"), body.bone(f"{limb}02.{side}")
            axis = shape.tails[second] - shape.heads[first]
            rotations[first] = Rotation.from_rotvec(0.9 * axis / np.linalg.norm(axis)).as_matrix()
    twisted = body.pivots(body.posed(shape, rotations, shape.heads[0]))
    np.testing.assert_allclose(twisted, plain, atol=1e-9)


@pytest.mark.parametrize("name", SHAPES)
def test_keypoints_are_near_the_pivots_but_not_the_same(body, name):
    posed = at_rest(body, name)
    apart = np.linalg.norm(body.coco_joints(posed)[-len(PIVOTS) :] - body.pivots(posed), axis=1)
    assert (apart > 0.003).all() and (apart < 0.06).all()


def test_a_bent_elbow_moves_the_hand_and_nothing_above(body):
    rest = at_rest(body, "woman-162")
    rotations = still(body)
    turn = Rotation.from_rotvec([-np.pi / 2, 0, 0]).as_matrix()
    below = {"lowerarm01.L", "lowerarm02.L", "wrist.L"}
    for k, name in enumerate(body.bones):
        if name in below or (name.startswith(("finger", "metacarpal")) and name.endswith("L")):
            rotations[k] = turn
    bent = body.posed(rest.shape, rotations, rest.heads[0])
    moved = np.linalg.norm(body.coco_joints(bent) - body.coco_joints(rest), axis=1)
    assert {COCO17.joints[k] for k in np.flatnonzero(moved > 0.05)} == {"left_wrist"}


def test_shapes_and_bones_that_there_are_not_are_named(body):
    with pytest.raises(ConfigError, match="unknown body shape 'giant'; known: woman-155"):
        body.shape("giant")
    with pytest.raises(ConfigError, match="no bone 'tail'"):
        body.bone("tail")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda r: r[:-1], "shape"),
        (lambda r: r * 1.01, "rotation of bone root"),
        (
            lambda r: np.where(np.arange(len(r))[:, None, None] == 3, np.nan, r),
            "rotation of bone upperleg02.L",
        ),
        (
            lambda r: r * np.where(np.arange(len(r)) == 2, -1, 1)[:, None, None],
            "rotation of bone upperleg01.L",
        ),
    ],
)
def test_what_are_no_rotations_are_refused(body, spoil, sentence):
    shape = body.shape("man-174")
    with pytest.raises(ConfigError, match=sentence):
        body.posed(shape, spoil(still(body)), shape.heads[0])


def test_the_file_is_small_and_dateless():
    """So that baking it again from the same package gives the same bytes."""
    assert FILE.stat().st_size < 2e6
    with zipfile.ZipFile(FILE) as file:
        assert {member.date_time for member in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert file.namelist() == sorted(file.namelist())
