"""Drawn for tests: somebody who stands, and joint refiners with random weights."""

from __future__ import annotations

import numpy as np

from dw_core.joint_refiner import FEATURES, OUTPUTS, JointRefiner, Layer
from dw_core.skeleton import JointSet

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
    """Joints (J, 3)."""
    rows = []
    for name in joints.joints:
        side, _, part = name.partition("_")
        rows.append(np.array(SIDE[part]) * ((-1 if side == "right" else 1), 1, 1) if part else CENTRE[name])
    return np.array(rows)


def layers(joints: JointSet, size: float, seed: int = 0) -> tuple[Layer, ...]:
    """Two, with weights and biases of about this size."""
    rng, J = np.random.default_rng(seed), len(joints)
    sizes = (FEATURES * J, 24, OUTPUTS * J)
    return tuple(
        (rng.normal(0, size, (b, a)).astype(np.float32), rng.normal(0, size, b).astype(np.float32))
        for a, b in zip(sizes, sizes[1:], strict=False)
    )


def random_refiner(joints: JointSet, size: float) -> JointRefiner:
    """Of `layers`."""
    return JointRefiner(joints, layers(joints, size))
