"""Skeletons in the conventions of ROS4HRI (REP-155): body frames and 2D key points.

Source: REP-155, "Body Frames"; the order of key points is that of hri_msgs/Skeleton2D (OpenPose, COCO).
"""

from __future__ import annotations

import numpy as np

from dw_core.geometry.camera import Array, Camera, project
from dw_core.skeleton import JointSet

NECK = "neck"
KEYPOINTS = (
    "nose", NECK, "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "left_eye", "right_eye", "left_ear", "right_ear",
)  # fmt: skip
PAIRS = (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"))


def body_id(identity: int) -> str:
    """The body's ID: part of topic names, so it must not begin with a digit."""
    return f"dw{identity}"


def body_position(positions: Array, joints: JointSet) -> Array:
    """The middle of the hips (3,) of joints (J, 3); NaN where a hip is not known."""
    left, right = (positions[joints.index(joint)] for joint in PAIRS[1])
    return np.asarray((left + right) / 2)


def body_rotation(positions: Array, joints: JointSet) -> Array | None:
    """Axes of the body in the world (3, 3), columns x out of the chest, y to the left, z towards the head,
    of joints (J, 3). None where a shoulder or hip is not known, or they do not span a trunk."""
    (left_shoulder, right_shoulder), (left_hip, right_hip) = (
        (positions[joints.index(a)], positions[joints.index(b)]) for a, b in PAIRS
    )
    up = (left_shoulder + right_shoulder - left_hip - right_hip) / 2
    forward = np.cross(left_hip - right_hip, up)
    lengths = np.linalg.norm(up), np.linalg.norm(forward)
    if not min(lengths) > 1e-6:
        return None
    x, z = forward / lengths[1], up / lengths[0]
    return np.stack((x, np.cross(z, x), z), -1)


def keypoints(camera: Camera, positions: Array, confidence: Array, joints: JointSet) -> Array:
    """Key points (18, 3) of joints (J, 3) m and confidence (J,) in one camera's image: x and y from 0 to 1
    over the image, confidence. Zeros for what is not known, not in the image, or not in the joint set; the
    neck is the middle of the shoulders where the joint set has none.
    """
    found = np.zeros((len(KEYPOINTS), 3))
    for k, name in enumerate(KEYPOINTS):
        at = [joints.index(joint) for joint in ((name,) if name in joints.joints else PAIRS[0])]
        if name not in joints.joints and name != NECK:
            continue
        pixel = project(camera, positions[at].mean(0))
        # pixel centres are at integers
        place = (pixel + 0.5) / (camera.width, camera.height)
        if ((place >= 0) & (place <= 1)).all():
            found[k] = *place, confidence[at].min()
    return found
