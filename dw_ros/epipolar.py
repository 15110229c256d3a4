"""The chosen joint whose epipolar lines are shown, and where every view last saw it."""

from __future__ import annotations

import numpy as np

from dw_core.skeleton import JOINT_SETS, JointSet
from dw_core.types import FloatArray, Skeleton2D
from dw_ros.parameters import Parameter

NONE = "none"
_NAMES = dict.fromkeys(joint for joints in JOINT_SETS.values() for joint in joints.joints)
EPIPOLAR_JOINT = Parameter(
    "epipolar_joint",
    NONE,
    "The joint whose epipolar lines are shown; none for none.",
    choices=(NONE, *_NAMES),
    live=True,
)
# What a view saw longer ago than this says nothing about now.
MAX_AGE_NS = 300_000_000


class Sightings:
    """The newest 2D joints of every view."""

    def __init__(self, joints: JointSet) -> None:
        self._joints = joints
        self._newest: dict[str, Skeleton2D] = {}

    def take(self, seen: Skeleton2D) -> None:
        """Remember what a view saw."""
        self._newest[seen.view] = seen

    def of(self, joint: str, stamp_ns: int) -> dict[str, FloatArray]:
        """Where each view saw a joint, pixels (2,), at most MAX_AGE_NS from a time; empty for a joint that
        the joint set does not have."""
        if joint not in self._joints.joints:
            return {}
        index = self._joints.index(joint)
        return {
            view: seen.pixels[index]
            for view, seen in list(self._newest.items())
            if abs(stamp_ns - seen.stamp_ns) <= MAX_AGE_NS and np.isfinite(seen.pixels[index]).all()
        }
