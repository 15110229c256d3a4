"""A skeleton as capsules around its bones, each with what is known of its place and speed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dw_core.geometry.camera import Array
from dw_core.safety.capsules import Capsules
from dw_core.skeleton import COCO17, JointSet
from dw_core.types import Skeleton3D

# What the bones leave open: the neck and the middle of the trunk.
FILLING = {
    COCO17.name: (
        ("left_ear", "left_shoulder"), ("right_ear", "right_shoulder"),
        ("left_shoulder", "right_hip"), ("right_shoulder", "left_hip"),
    ),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Limbs:
    """N capsules of one person at one time, in the world frame. Of the ends of each: `covariance`
    (N, 2, 3, 3) m^2 and `velocities` (N, 2, 3) m/s, NaN where a velocity is not known."""

    capsules: Capsules
    covariance: Array
    velocities: Array


def segments(joints: JointSet) -> tuple[tuple[str, str], ...]:
    """The pairs of joints that a body is filled between."""
    return (*joints.bones, *FILLING.get(joints.name, ()))


def limbs(skeleton: Skeleton3D, joints: JointSet, radius_m: float) -> Limbs:
    """The known part of a body: a capsule for each segment whose ends are known, a sphere for each that has
    one known end."""
    known = np.asarray(np.isfinite(skeleton.positions).all(-1))
    names, ends = [], []
    for a, b in segments(joints):
        pair = [joints.index(joint) for joint in (a, b) if known[joints.index(joint)]]
        if pair:
            names.append(f"{a} - {b}")
            ends.append((pair[0], pair[-1]))
    at = np.array(ends, dtype=np.int64).reshape(-1, 2)
    points = skeleton.positions[at]
    capsules = Capsules(tuple(names), points[:, 0], points[:, 1], np.full(len(names), radius_m))
    return Limbs(capsules, skeleton.covariance[at], skeleton.velocities[at])
