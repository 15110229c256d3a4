"""ROS4HRI: where a body is, how it is turned, and its key points in an image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dw_core import hri
from dw_core.geometry.camera import Camera, project
from dw_core.skeleton import COCO17, H36M17, JointSet

# Somebody at the origin who looks along x: left is +y, up is +z.
TRUNK = {
    "left_shoulder": (0.0, 0.2, 1.4), "right_shoulder": (0.0, -0.2, 1.4),
    "left_hip": (0.0, 0.1, 0.9), "right_hip": (0.0, -0.1, 0.9),
}  # fmt: skip


def body(joints: JointSet) -> np.ndarray:
    rng = np.random.default_rng(2)
    others = rng.uniform((-0.3, -0.3, 0.0), (0.3, 0.3, 1.8), (len(joints), 3))
    return np.array([TRUNK.get(name, others[k]) for k, name in enumerate(joints.joints)])


@pytest.fixture
def camera() -> Camera:
    """3 m in front of the body, looking back at it, upright."""
    R = np.array([(0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (-1.0, 0.0, 0.0)])
    K = np.array([[500.0, 0, 320], [0, 500.0, 240], [0, 0, 1]])
    return Camera("c0", 640, 480, K, np.array([-0.05, 0.01, 0, 0, 0.0]), R, -R @ np.array([3.0, 0, 1.0]))


@pytest.mark.parametrize("joints", [COCO17, H36M17], ids=lambda joints: joints.name)
def test_x_comes_out_of_the_chest_and_z_goes_to_the_head(joints: JointSet) -> None:
    R = Rotation.from_rotvec((0.3, -0.2, 2.0)).as_matrix()
    shift = np.array([1.0, -2.0, 0.5])
    moved = body(joints) @ R.T + shift
    np.testing.assert_allclose(hri.body_rotation(body(joints), joints), np.eye(3), atol=1e-12)
    np.testing.assert_allclose(hri.body_rotation(moved, joints), R, atol=1e-12)
    np.testing.assert_allclose(hri.body_position(moved, joints), R @ (0, 0, 0.9) + shift)


def test_without_a_hip_there_is_no_frame() -> None:
    positions = body(COCO17)
    positions[COCO17.index("left_hip")] = np.nan
    assert hri.body_rotation(positions, COCO17) is None
    assert np.isnan(hri.body_position(positions, COCO17)).all()
    assert hri.body_rotation(np.zeros((17, 3)), COCO17) is None


def test_key_points_are_parts_of_the_image_in_the_order_of_hri_msgs(camera: Camera) -> None:
    positions, confidence = body(COCO17), np.linspace(0.2, 0.9, 17)
    positions[COCO17.index("left_ear")] = np.nan
    positions[COCO17.index("right_ear")] = (0.0, 9.0, 1.0)  # far outside of the image
    positions[COCO17.index("left_eye")] = (6.0, 0.0, 1.0)  # behind the camera
    found = hri.keypoints(camera, positions, confidence, COCO17)
    assert found.shape == (18, 3) and hri.KEYPOINTS[4] == "right_wrist"
    wrist = COCO17.index("right_wrist")
    expected = (project(camera, positions[wrist]) + 0.5) / (640, 480)
    np.testing.assert_allclose(found[4], (*expected, confidence[wrist]))
    neck = (project(camera, np.array([0.0, 0.0, 1.4])) + 0.5) / (640, 480)
    shoulders = confidence[[COCO17.index("left_shoulder"), COCO17.index("right_shoulder")]]
    np.testing.assert_allclose(found[1], (*neck, shoulders.min()))
    missing = [hri.KEYPOINTS[k] for k in np.flatnonzero(~found.any(1))]
    assert missing == ["left_eye", "left_ear", "right_ear"]
    assert ((found >= 0) & (found <= 1)).all()


def test_joints_that_a_set_does_not_have_are_left_out(camera: Camera) -> None:
    found = hri.keypoints(camera, body(H36M17), np.ones(17), H36M17)
    missing = [hri.KEYPOINTS[k] for k in np.flatnonzero(~found.any(1))]
    assert missing == ["left_eye", "right_eye", "left_ear", "right_ear"]
    neck = (project(camera, body(H36M17)[H36M17.index("neck")]) + 0.5) / (640, 480)
    np.testing.assert_allclose(found[1, :2], neck)


def test_an_id_may_stand_in_a_topic() -> None:
    assert hri.body_id(7) == "dw7" and hri.body_id(7).isidentifier()
