"""How bodies move: velocities that drift at random, together along the skeleton.

Each joint moves at constant velocity but for white acceleration noise. The noise of neighbours is
alike: a whole body accelerates as one, and only the difference across a bone is a joint's own. That
is a Gaussian Markov random field on the graph of bones (Rue & Held, Gaussian Markov Random Fields,
2005): a quadratic penalty per bone, and weaker ones that tie all joints together.

The numbers are square roots of spectral densities, (m/s^2)/sqrt(Hz), found by a search on CMU motion
capture (walking, climbing, jumping, fighting) seen by four staggered cameras, and on real footage. The
optimum is flat: +-30 % change the error by under 3 %. An acceleration state does not pay: `dw bench models`
compares what is here with other models.
"""

from __future__ import annotations

import numpy as np

from dw_core.geometry.camera import Array
from dw_core.skeleton import JointSet

LIMB_DENSITY = 2.2
TRUNK_DENSITY = 0.3
# Every joint against the mean of the body, and the mean itself.
POSTURE_DENSITY = 7.0
BODY_DENSITY = 1.0
LIMB_JOINTS = ("elbow", "wrist", "knee", "ankle")
# Joint sets without a neck still have one: the head moves with the trunk.
NECK = (("nose", "left_shoulder"), ("nose", "right_shoulder"))


def acceleration_covariance(joints: JointSet) -> Array:
    """Covariance (J, J) of the joints' acceleration noise per axis, (m/s^2)^2/Hz."""
    J = len(joints)
    precision = np.eye(J) / BODY_DENSITY**2 / J + (np.eye(J) - 1 / J) / POSTURE_DENSITY**2
    neck = tuple(bone for bone in NECK if set(bone) <= set(joints.joints) and "neck" not in joints.joints)
    for bone in joints.bones + neck:
        a, b = joints.index(bone[0]), joints.index(bone[1])
        is_limb = any(name.endswith(LIMB_JOINTS) for name in bone)
        weight = 1 / (LIMB_DENSITY if is_limb else TRUNK_DENSITY) ** 2
        precision[[a, b], [a, b]] += weight
        precision[[a, b], [b, a]] -= weight
    return np.asarray(np.linalg.inv(precision), dtype=np.float64)


def predict(mean: Array, covariance: Array, acceleration: Array, seconds: float) -> tuple[Array, Array]:
    """Move a state ahead in time.

    mean (2, J, 3): positions m, velocities m/s; covariance (6J, 6J) in the same order; acceleration
    (J, J) from acceleration_covariance. Source: Bar-Shalom, Li, Kirubarajan, Estimation with
    Applications to Tracking and Navigation, section 6.2 (white noise acceleration).
    """
    if seconds == 0:
        return mean, covariance
    dt, D = seconds, mean[0].size
    moved = np.stack((mean[0] + dt * mean[1], mean[1]))
    pp, pv, vv = covariance[:D, :D], covariance[:D, D:], covariance[D:, D:]
    out = np.empty_like(covariance)
    out[:D, :D] = pp + dt * (pv + pv.T) + dt * dt * vv
    out[:D, D:] = pv + dt * vv
    out[D:, D:] = vv
    J = len(acceleration)
    blocks = out.reshape(2, J, 3, 2, J, 3)
    for axis in range(3):
        blocks[0, :, axis, 0, :, axis] += acceleration * (dt**3 / 3)
        blocks[0, :, axis, 1, :, axis] += acceleration * (dt**2 / 2)
        blocks[1, :, axis, 1, :, axis] += acceleration * dt
    out[D:, :D] = out[:D, D:].T
    return moved, out
