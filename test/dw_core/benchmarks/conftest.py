"""Somebody who moves, for benchmarks that need no motion capture."""

import numpy as np
import pytest

from dw_core.data.motion import Motion
from dw_core.skeleton import H36M17

HALF = {
    "shoulder": (0.0, 0.19, 1.42), "elbow": (0.02, 0.26, 1.13), "wrist": (0.12, 0.28, 0.90),
    "hip": (0.0, 0.11, 0.92), "knee": (0.03, 0.12, 0.50), "ankle": (-0.02, 0.13, 0.08),
}  # fmt: skip
CENTRE = {"pelvis": 0.93, "belly": 1.15, "neck": 1.43, "nose": 1.58, "head": 1.74}
SWAY = {"elbow": 0.06, "wrist": 0.15, "knee": 0.08, "ankle": 0.2}


def body():
    joints = []
    for name in H36M17.joints:
        side, _, part = name.partition("_")
        x, y, z = HALF[part] if part else (0.0, 0.0, CENTRE[name])
        joints.append((x, y if side == "left" else -y, z))
    return np.array(joints)


def walk(seconds, velocity=(0.3, 0.1, 0.0), swing=1.0):
    """Joints (17, 3) with arms and legs that swing."""
    joints = body() + np.asarray(velocity) * seconds
    for k, name in enumerate(H36M17.joints):
        side, _, part = name.partition("_")
        sign = 1.0 if side == "left" else -1.0
        joints[k, 0] += swing * sign * SWAY.get(part, 0.0) * np.sin(2 * np.pi * 0.9 * seconds)
    return joints


@pytest.fixture(scope="session")
def make_walker():
    def make(seconds=3.0, rate_hz=120.0, name="walker", **options):
        times = np.arange(int(seconds * rate_hz) + 1) / rate_hz
        return Motion(name, np.stack([walk(t, **options) for t in times]), rate_hz)

    return make
