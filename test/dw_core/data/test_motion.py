import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dw_core.data.motion import SHORT_NAMES, Motion, load_motion, motion_files, save_motion
from dw_core.errors import ConfigError, MotionError
from dw_core.skeleton import H36M17

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
    assert "motion files of type '.bvh' are not known, expected .amc or .npz" in refused(tmp_path / "m.bvh")


def test_folders_are_searched_and_no_file_counts_twice(tmp_path):
    (tmp_path / "b/c").mkdir(parents=True)
    files = [write(tmp_path / name) for name in ("b/2.npz", "b/c/1.npz", "a.npz")]
    (tmp_path / "b/readme.txt").write_text("no motion")
    assert motion_files([files[2], tmp_path / "b", tmp_path]) == [files[2], *files[:2]]
    for missing in (tmp_path / "nowhere", tmp_path / "b/readme.txt"):
        if missing.exists():
            assert motion_files([missing]) == [missing]
        else:
            with pytest.raises(MotionError, match="nowhere: there is no motion file, expected .amc or .npz"):
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
