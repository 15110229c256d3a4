import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dw_core.data.motion import Motion, save_motion
from dw_core.data.splits import Splits
from dw_core.errors import MotionError
from dw_core.skeleton import COCO17, H36M17
from dw_core.training.clips import Clips, coco17, load_clips

from .conftest import SPLITS, walk

SAME = [name for name in COCO17.joints if name in H36M17.joints and name != "nose"]


def rotated(joints):
    """About all axes, and moved."""
    return joints @ Rotation.from_euler("xyz", (0.3, -0.8, 2.0)).as_matrix().T + (1.0, -2.0, 0.3)


def test_shoulders_to_ankles_are_the_same_joints():
    joints = walk().joints
    made = coco17(joints)
    assert len(SAME) == 12
    for name in SAME:
        np.testing.assert_array_equal(made[:, COCO17.index(name)], joints[:, H36M17.index(name)])


def test_the_face_looks_where_the_person_walks_left_of_right():
    made, head = coco17(walk().joints), walk().joints[:, H36M17.index("head")]
    at = {name: made[:, COCO17.index(name)] - head for name in COCO17.joints}
    assert (at["nose"][:, 0] > 0.1).all() and (at["nose"][:, 2] < 0).all()
    for left, right in (("left_eye", "right_eye"), ("left_ear", "right_ear")):
        np.testing.assert_allclose(at[left][:, 1], -at[right][:, 1], atol=1e-12)
        assert (at[left][:, 1] > 0.02).all()


def test_the_face_turns_with_the_body():
    joints = walk(swing=0.2).joints
    np.testing.assert_allclose(coco17(rotated(joints)), rotated(coco17(joints)), atol=1e-9)


def test_clips_of_a_split_in_a_joint_set_at_their_true_rates(data):
    splits = Splits({"train": ("one", "other")}, {"other": 30.0})
    clips = load_clips(splits, "train", data, "coco17")
    assert [motion.name for motion in clips.motions] == ["a", "b", "c"]
    assert [motion.rate_hz for motion in clips.motions] == [60.0, 60.0, 30.0]
    assert {motion.joint_set for motion in clips.motions} == {"coco17"}


def test_the_hash_is_that_of_the_files(data):
    one = load_clips(SPLITS, "train", data, "h36m17").sha256
    assert load_clips(SPLITS, "train", data, "coco17").sha256 == one and len(one) == 64
    assert load_clips(SPLITS, "validation", data, "h36m17").sha256 != one


def test_longer_clips_are_picked_more_often():
    long = Motion("long", np.tile(walk().joints, (3, 1, 1)), 60.0)
    clips = Clips((walk("short"), long), ("one", "one"), "")
    picks = [clips.pick(np.random.default_rng(k)).name for k in range(400)]
    assert picks.count("long") / 400 == pytest.approx(0.75, abs=0.07)


def test_splits_without_a_long_clip_are_refused(tmp_path):
    (tmp_path / "one").mkdir()
    save_motion(Motion("short", walk().joints[:20], 60.0), tmp_path / "one/short.npz")
    with pytest.raises(MotionError, match="no clip of split 'train' is 1 s long"):
        load_clips(SPLITS, "train", tmp_path, "h36m17")
    with pytest.raises(MotionError, match="other: there is no motion file"):
        load_clips(SPLITS, "validation", tmp_path, "h36m17")
