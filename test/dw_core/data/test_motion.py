import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dw_core.data.motion import SHORT_NAMES, Motion, load_motion, load_motions, motion_files, save_motion
from dw_core.errors import ConfigError, MotionError
from dw_core.skeleton import COCO17, H36M17

JOINTS = np.random.default_rng(0).normal(size=(5, 17, 3)).astype(np.float32).astype(np.float64)


def write(path, **changes):
    fields = {"joints": JOINTS.astype(np.float32), "rate_hz": 50, "joint_names": np.array(H36M17.joints)}
    np.savez(path, **{name: value for name, value in (fields | changes).items() if value is not None})
    return path


def refused(path):
    with pytest.raises(MotionError) as error:
        load_motion(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)
    return str(error.value)


def test_round_trip(tmp_path):
    before = Motion("a dance", JOINTS, 59.94)
    save_motion(before, tmp_path / "dance.npz")
    after = load_motion(tmp_path / "dance.npz")
    np.testing.assert_array_equal(after.joints, before.joints)
    assert (after.name, after.rate_hz, after.joint_set) == ("a dance", 59.94, "h36m17")


def test_names_are_matched_never_places(tmp_path):
    order = np.random.default_rng(1).permutation(17)
    for names in (H36M17.joints, SHORT_NAMES):
        shuffled = np.array(names)[order]
        path = write(tmp_path / "m.npz", joints=JOINTS[:, order].astype(np.float32), joint_names=shuffled)
        motion = load_motion(path)
        np.testing.assert_array_equal(motion.joints, JOINTS)
        assert motion.name == "m"


def test_more_joints_than_asked_for_are_left_out(tmp_path):
    joints = np.concatenate((np.zeros((5, 1, 3)), JOINTS), 1).astype(np.float32)
    path = write(tmp_path / "m.npz", joints=joints, joint_names=np.array(["thumb", *H36M17.joints]))
    np.testing.assert_array_equal(load_motion(path).joints, JOINTS)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rate_hz": None}, "array 'rate_hz' is missing, it holds joints, joint_names"),
        ({"joints": JOINTS[:, :16]}, "'joints' is float64 of shape (5, 16, 3), expected floats (T, 17, 3)"),
        ({"joints": np.zeros((5, 17, 3), dtype=int)}, "'joints' is int64"),
        (
            {"joint_names": np.array(["spine", *H36M17.joints[1:]])},
            "joint pelvis is not among the joint names",
        ),
        ({"rate_hz": [1, 2]}, "'rate_hz' is int64 of shape (2,), expected one number"),
        ({"rate_hz": 0}, "the rate is 0 Hz, expected more than 0"),
        ({"joints": JOINTS[:1]}, "joints have shape (1, 17, 3), expected (T, 17, 3) with T of 2 or more"),
        ({"joints": np.where(np.arange(5)[:, None, None] == 3, np.nan, JOINTS)}, "frame 3 holds a value"),
    ],
)
def test_arrays_that_are_no_motion_are_refused(tmp_path, changes, sentence):
    assert sentence in refused(write(tmp_path / "m.npz", **changes))


def test_files_that_are_no_motion_are_refused(tmp_path):
    (tmp_path / "m.npz").write_text("no archive")
    assert "it cannot be read as an .npz file" in refused(tmp_path / "m.npz")
    assert "cannot be read as an .npz file" in refused(tmp_path / "absent.npz")
    assert "files of type '.c3d' are not known, expected .amc or .bvh or .npz" in refused(tmp_path / "m.c3d")


def test_folders_are_searched_and_no_file_counts_twice(tmp_path):
    (tmp_path / "b/c").mkdir(parents=True)
    files = [write(tmp_path / name) for name in ("b/2.npz", "b/c/1.npz", "a.npz")]
    (tmp_path / "b/readme.txt").write_text("no motion")
    assert motion_files([files[2], tmp_path / "b", tmp_path]) == [files[2], *files[:2]]
    for missing in (tmp_path / "nowhere", tmp_path / "b/readme.txt"):
        if missing.exists():
            assert motion_files([missing]) == [missing]
        else:
            with pytest.raises(MotionError, match="nowhere: there is no motion file, expected .amc or"):
                motion_files([missing])


@given(st.lists(st.floats(0, 4 / 60), min_size=1, max_size=9))
def test_what_moves_evenly_is_exact_at_any_time(seconds):
    velocity = np.random.default_rng(2).normal(size=(17, 3))
    motion = Motion("m", JOINTS[0] + np.arange(5)[:, None, None] / 60 * velocity, 60)
    expected = JOINTS[0] + np.array(seconds)[:, None, None] * velocity
    np.testing.assert_allclose(motion.at(seconds), expected, atol=1e-12)


def test_frames_are_given_back_at_their_times_and_nothing_beyond_them():
    motion = Motion("m", JOINTS, 30)
    np.testing.assert_allclose(motion.at(np.arange(5) / 30), JOINTS, atol=1e-12)
    np.testing.assert_allclose(motion.at([0.5 / 30])[0], JOINTS[:2].mean(0))
    for beyond in (-0.001, motion.duration_s + 0.001):
        with pytest.raises(MotionError, match=r"motion m: .* s is asked for, expected 0 to 0\.133333 s"):
            motion.at([0.0, beyond])


def test_an_unknown_joint_set():
    with pytest.raises(ConfigError, match="unknown joint set 'body25'; known: coco17, h36m17"):
        Motion("m", JOINTS, 30, "body25")


def test_joints_of_coco_are_joints_too(tmp_path):
    order = np.random.default_rng(3).permutation(17)
    names = np.array(COCO17.joints)[order]
    path = write(tmp_path / "m.npz", joints=JOINTS[:, order].astype(np.float32), joint_names=names)
    motion = load_motion(path)
    assert motion.joint_set == "coco17"
    np.testing.assert_array_equal(motion.joints, JOINTS)


def test_the_same_motion_counts_once_whatever_its_file(tmp_path):
    for name, joints, rate_hz in (
        ("a", JOINTS, 30),
        ("b", JOINTS[::-1], 30),
        ("c", JOINTS, 30),
        ("d", JOINTS, 60),
    ):
        save_motion(Motion(name, joints, rate_hz), tmp_path / f"{name}.npz")
    a, b, c, d = (tmp_path / f"{name}.npz" for name in "abcd")
    motions, same = load_motions([a, b, c, d])
    assert list(motions) == [a, b, d] and same == {c: a}
    assert motions[a].digest == Motion("again", JOINTS, 30).digest


def test_the_limb_that_stretches_is_named(tmp_path):
    joints = np.zeros((4, 17, 3)) + np.arange(17)[:, None] * 0.1
    motion = Motion("m", joints, 30)
    assert motion.limb_variation()[1] == pytest.approx(0, abs=1e-12)
    joints[::2, H36M17.index("left_wrist")] += 0.05 * np.ones(3)
    limb, variation = Motion("m", joints, 30).limb_variation()
    # 0.1 and 0.15 of the same direction
    assert limb == "left_elbow to left_wrist" and variation == pytest.approx(0.2)
    sentence = refused(write(tmp_path / "m.npz", joints=(1e3 * joints).astype(np.float32)))
    assert "is 217 long, expected less than 5: joints must be in metres" in sentence


def test_a_dance_as_bvh_is_somebody_of_flesh_and_blood(shared_data):
    motion = load_motion(shared_data / "cmu_mocap_bvh/martial/05.bvh")
    assert motion.joint_set == "h36m17" and motion.rate_hz == pytest.approx(120, abs=0.01)
    assert motion.limb_variation()[1] < 1e-9
    at = {name: motion.joints[:, k] for k, name in enumerate(H36M17.joints)}
    for a, b, low, high in (
        ("left_hip", "left_knee", 0.35, 0.4), ("right_knee", "right_ankle", 0.43, 0.47),
        ("neck", "head", 0.2, 0.3), ("left_hip", "right_hip", 0.15, 0.2),
        ("right_shoulder", "right_elbow", 0.27, 0.3),
    ):  # fmt: skip
        length = np.linalg.norm(at[a] - at[b], axis=-1)
        assert low < length.min() and length.max() < high, (a, b)
    np.testing.assert_allclose(at["pelvis"], (at["left_hip"] + at["right_hip"]) / 2)
    upright = at["head"][:, 2] - at["pelvis"][:, 2]
    ankles = (at["left_ankle"][:, 2] + at["right_ankle"][:, 2]) / 2
    assert np.median(upright) > 0.5 and -0.1 < np.median(ankles) < 0.2


def test_a_bvh_of_another_skeleton_is_refused(tmp_path):
    (tmp_path / "m.bvh").write_text(
        "HIERARCHY\nROOT Hips\n{\nOFFSET 0 0 0\n"
        "CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation\n}\n"
        "MOTION\nFrames: 2\nFrame Time: 0.01\n0 0 0 0 0 0\n0 0 0 0 0 0\n"
    )
    assert "there is no joint rThigh, which the joints are taken from" in refused(tmp_path / "m.bvh")
