"""What a person's own body hides, where that is plain."""

import numpy as np
import pytest

from dw_core.detector.occlusion import entry_distance, self_occlusion
from dw_core.errors import ConfigError
from dw_core.skeleton import COCO17, H36M17, JointSet


def hidden(person, centre, joints=COCO17):
    mask = self_occlusion(joints, person, np.asarray(centre, dtype=float))
    return {joint for joint, flag in zip(joints.joints, mask, strict=True) if flag}


def test_a_ray_enters_a_capsule_where_geometry_says():
    start, end, radius = np.array([0.0, 0.0, -1.0]), np.array([0.0, 0.0, 1.0]), np.array(0.5)
    x = np.array([1.0, 0.0, 0.0])
    for centre, way, expected in (
        ((-3.0, 0.0, 0.0), x, 2.5),  # the side
        ((-3.0, 0.3, 0.0), x, 2.6),
        ((-3.0, 0.0, 1.3), x, 2.6),  # the round end
        ((0.0, 0.0, -4.0), np.array([0.0, 0.0, 1.0]), 2.5),  # along the axis
        ((-3.0, 0.6, 0.0), x, np.inf),
        ((-3.0, 0.0, 1.6), x, np.inf),
        ((3.0, 0.0, 0.0), x, np.inf),  # behind
    ):
        found = entry_distance(np.array(centre), way, start, end, radius)
        assert found == pytest.approx(expected)


def test_who_faces_the_camera_hides_nothing_and_who_turns_away_the_face(person):
    assert hidden(person, (5.0, 0.0, 1.2)) <= {"left_hip", "right_hip", "left_ear", "right_ear"}
    from_behind = hidden(person, (-5.0, 0.0, 1.5))
    assert {"nose", "left_eye", "right_eye"} <= from_behind
    assert {"left_elbow", "right_elbow", "left_knee", "left_ankle"}.isdisjoint(from_behind)


def test_from_the_side_the_far_arm_is_behind_the_trunk(person):
    from_left = hidden(person, (0.0, 5.0, 1.1))
    assert {"right_shoulder", "right_elbow", "right_hip"} <= from_left
    assert {"left_shoulder", "left_elbow", "left_wrist", "left_knee"}.isdisjoint(from_left)
    mirrored = hidden(person, (0.0, -5.0, 1.1))
    assert mirrored & {"left_elbow", "right_elbow"} == {"left_elbow"}


def test_a_hand_behind_the_back_is_hidden_and_the_same_hand_in_front_is_not(person):
    wrist, elbow = COCO17.index("left_wrist"), COCO17.index("left_elbow")
    for x, expected in ((-0.3, True), (0.3, False)):
        moved = person.copy()
        moved[wrist], moved[elbow] = (x, 0.05, 1.15), (x / 2, 0.35, 1.2)
        assert ("left_wrist" in hidden(moved, (5.0, 0.0, 1.15))) == expected


def test_nothing_hides_a_joint_that_is_not_known_nor_what_it_would_hide(person):
    moved = np.stack([person, person])
    moved[1, COCO17.index("nose")] = np.nan
    mask = self_occlusion(COCO17, moved, np.array([-5.0, 0.0, 1.5]))
    assert mask[0, 0] and not mask[1, 0]
    np.testing.assert_array_equal(mask[0, 1:], mask[1, 1:])


def test_the_joints_of_human36m_have_a_head_too(person):
    named = {joint: person[COCO17.index(joint)] for joint in COCO17.joints}
    named |= {"pelvis": (0, 0, 0.93), "belly": (0, 0, 1.15), "neck": (0, 0, 1.43), "head": (0, 0, 1.74)}
    points = np.array([named[joint] for joint in H36M17.joints], dtype=float)
    assert "nose" in hidden(points, (-5.0, 0.0, 1.5), H36M17)
    assert "nose" not in hidden(points, (5.0, 0.0, 1.5), H36M17)
    assert "right_elbow" in hidden(points, (0.0, 5.0, 1.1), H36M17)


def test_a_joint_set_without_limbs_is_refused():
    with pytest.raises(ConfigError, match="has no joint 'left_shoulder'"):
        self_occlusion(JointSet("dot", ("dot",), ()), np.zeros((1, 3)), np.ones(3))
