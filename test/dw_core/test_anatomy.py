"""Where a network sees joints, and where they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dw_core.anatomy import JointOffsets, joint_frames, load_offsets, trunk_length
from dw_core.benchmarks.joint_offsets import fit, local_offsets
from dw_core.errors import ConfigError
from dw_core.skeleton import COCO17, H36M17, JointSet

OFFSETS = JointOffsets(
    {
        "nose": (0.0, 0.01, 0.02),
        "left_shoulder": (0.03, 0.01, 0.05),
        "left_elbow": (0.02, 0.0, -0.02),
        "left_hip": (0.03, 0.0, 0.04),
        "left_knee": (-0.01, 0.02, -0.03),
    }
)
# Standing, facing -y, the left side towards +x, arms hanging; metres.
SIDE = {
    "eye": (0.03, -0.1, 1.66), "ear": (0.08, -0.02, 1.64), "shoulder": (0.18, 0.0, 1.45),
    "elbow": (0.24, 0.02, 1.18), "wrist": (0.26, -0.03, 0.93), "hip": (0.1, 0.0, 0.93),
    "knee": (0.11, -0.02, 0.5), "ankle": (0.11, 0.02, 0.08),
}  # fmt: skip
CENTRE = {
    "nose": (0.0, -0.12, 1.62), "pelvis": (0.0, 0.0, 0.93), "belly": (0.0, 0.0, 1.2), "neck": (0.0, 0.0, 1.5),
    "head": (0.0, 0.0, 1.75),
}  # fmt: skip


def standing(joints: JointSet) -> np.ndarray:
    rows = []
    for name in joints.joints:
        side, _, part = name.partition("_")
        rows.append(np.array(SIDE[part]) * ((-1 if side == "right" else 1), 1, 1) if part else CENTRE[name])
    return np.array(rows)


@pytest.mark.parametrize("joints", [COCO17, H36M17], ids=lambda joints: joints.name)
def test_frames_of_a_standing_person(joints: JointSet) -> None:
    frames = joint_frames(standing(joints), joints)
    np.testing.assert_allclose(frames[joints.index("left_hip")], np.eye(3), atol=1e-12)
    shank = standing(joints)[joints.index("left_ankle")] - standing(joints)[joints.index("left_knee")]
    np.testing.assert_allclose(
        frames[joints.index("left_ankle"), 2], shank / np.linalg.norm(shank), atol=1e-12
    )
    assert trunk_length(standing(joints), joints) == pytest.approx(0.52)


def test_the_face_looks_away_from_its_y_axis() -> None:
    face = joint_frames(standing(COCO17), COCO17)[COCO17.index("nose")]
    np.testing.assert_allclose(face[0], (1, 0, 0), atol=1e-12)
    assert face[1, 1] > 0.9
    assert face[2, 2] > 0.9


def test_offsets_turn_move_and_grow_with_the_person() -> None:
    pose = standing(COCO17)
    R, t = Rotation.from_rotvec((0.4, -1.1, 2.0)).as_matrix(), np.array((3.0, -2.0, 1.0))
    expected = 1.3 * OFFSETS.corrected(pose, COCO17) @ R.T + t
    np.testing.assert_allclose(OFFSETS.corrected(1.3 * pose @ R.T + t, COCO17), expected, atol=1e-12)


def test_left_and_right_are_mirror_images() -> None:
    shift = standing(COCO17) - OFFSETS.corrected(standing(COCO17), COCO17)
    assert np.abs(shift).max() > 0.02
    for name in COCO17.joints:
        mirrored = shift[COCO17.index(COCO17.partner(name))] * (-1, 1, 1)
        np.testing.assert_allclose(shift[COCO17.index(name)], mirrored, atol=1e-12)


@pytest.mark.parametrize("joints", [COCO17, H36M17], ids=lambda joints: joints.name)
def test_joints_come_back_to_where_they_are(joints: JointSet) -> None:
    """Frames of what is seen are turned a little against the true ones: a tenth of the offset."""
    truth = standing(joints)
    seen = truth + np.einsum("jkc,jk->jc", joint_frames(truth, joints), OFFSETS.of(joints)) * 0.52
    back = OFFSETS.corrected(seen, joints)
    assert np.abs(seen - truth).max() > 0.02
    assert np.abs(back - truth).max() < 0.004


def test_an_unknown_joint_stays_unknown_and_the_rest_is_corrected() -> None:
    pose = standing(COCO17)
    pose[COCO17.index("left_elbow")] = np.nan
    corrected, whole = OFFSETS.corrected(pose, COCO17), OFFSETS.corrected(standing(COCO17), COCO17)
    without = [j for j, name in enumerate(COCO17.joints) if name not in ("left_elbow", "left_wrist")]
    np.testing.assert_array_equal(corrected[without], whole[without])
    assert np.isnan(corrected[COCO17.index("left_elbow")]).all()
    assert np.isfinite(corrected[COCO17.index("left_wrist")]).all()


def test_without_a_trunk_nothing_is_moved() -> None:
    pose = standing(COCO17)
    pose[COCO17.index("left_hip")] = np.nan
    np.testing.assert_array_equal(OFFSETS.corrected(pose, COCO17), pose)


def test_an_arm_may_swing_through_the_side() -> None:
    """There the arm has no left of its own; the correction must not jump."""
    left = [COCO17.index(f"left_{part}") for part in ("shoulder", "elbow", "wrist")]
    found = []
    for tilt in np.linspace(-0.05, 0.05, 41):
        pose = standing(COCO17)
        arm = np.array((np.cos(tilt) * np.cos(tilt), np.sin(tilt), np.sin(tilt) * np.cos(tilt)))
        pose[left[1]], pose[left[2]] = pose[left[0]] + 0.3 * arm, pose[left[0]] + 0.55 * arm
        found.append((pose - OFFSETS.corrected(pose, COCO17))[left[1]])
    assert np.linalg.norm(np.diff(found, axis=0), axis=-1).max() < 1e-3


def test_offsets_are_learned_from_scenes() -> None:
    """Exactly, when the network errs as the model says; one scene of three may be off."""
    rng = np.random.default_rng(0)
    scenes = []
    for k in range(3):
        truth = (1 + 0.1 * k) * standing(COCO17) + rng.normal(size=(20, 1, 3))
        frames, trunk = joint_frames(truth, COCO17), trunk_length(truth, COCO17)
        found = truth + np.einsum("tjkc,jk->tjc", frames, OFFSETS.of(COCO17)) * trunk[:, None, None]
        found[:5, COCO17.index("right_knee")] = np.nan
        scenes.append(local_offsets(found + (0.2 if k == 2 else 0.0), truth, COCO17))
    learned = fit(scenes, COCO17)
    np.testing.assert_allclose(learned.of(COCO17), OFFSETS.of(COCO17), atol=1e-4)


def test_the_packaged_offsets_are_of_the_network() -> None:
    packaged = load_offsets("movenet")
    assert packaged is not None
    assert set(packaged.offsets) == {name for name in COCO17.joints if COCO17.side(name) != "right"}
    assert load_offsets("none") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "expected an entry 'offsets'"),
        (json.dumps({"offsets": {"nose": [0, 0]}}), "joint 'nose'"),
        (json.dumps({"offsets": {"nose": [0, 0, 3]}}), "none beyond 0.5"),
        (json.dumps({"offsets": {"nose": [0, 0, "a"]}}), "joint 'nose'"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "offsets.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_offsets(str(file))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"'openpose' are not known, expected none, movenet or a \.json file"
    ):
        load_offsets("openpose")


def test_joints_between_two_sides_move_as_these_do_but_not_sideways() -> None:
    offsets = OFFSETS.of(H36M17)
    for middle, side in (("pelvis", "hip"), ("belly", "hip"), ("neck", "shoulder")):
        left = offsets[H36M17.index(f"left_{side}")]
        np.testing.assert_array_equal(offsets[H36M17.index(middle)], left * (0, 1, 1))
