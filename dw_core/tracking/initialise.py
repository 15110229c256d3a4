"""Finding a body: which views look at the same person, and where its joints are.

Views were exposed at different times and may look at different people, so agreement is measured in
metres between rays, with an allowance for motion between the exposures.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from dw_core.geometry.camera import Array, to_camera, undistort
from dw_core.geometry.triangulation import triangulate
from dw_core.tracking.filter import Body, BodyModel
from dw_core.types import NS, Skeleton2D

# Rays to one joint may pass each other at this distance, plus what the joint moved in between.
RAY_GAP_M = 0.10
JOINT_SPEED_M_S = 1.0
AGREEING_FRACTION = 0.6
# What calibration leaves, px.
CALIBRATION_PX = 2.0
# Two rays cannot tell an outlier from the joint: they are believed less, by this factor of the variance.
# Without it one outlier at the start may cost seconds: the joint's true places look like outliers then.
TWO_VIEWS_VARIANCE = 4.0
# A body: longest bone, and the extent of all joints that are known.
MAX_BONE_M = 0.8
PLAUSIBLE_BONES = 0.8
MIN_EXTENT_M, MAX_EXTENT_M = 0.3, 2.6
# What is not seen starts at the mean of what is, this uncertain.
UNSEEN_STD_M = 0.5


def find_body(model: BodyModel, seen: tuple[Skeleton2D, ...], min_joints: int) -> Body | None:
    """A body from the newest observation of several views, at the newest one's time, or None.

    None when fewer than two views agree, when fewer than `min_joints` joints can be located, or when
    what was located is no human size.
    """
    agreeing = agreeing_views(model, seen, min_joints)
    if len(agreeing) < 2:
        return None
    views = [model.rig.index(s.view) for s in agreeing]
    stamp = max(s.stamp_ns for s in agreeing)
    pixels = np.stack([s.pixels for s in agreeing], 1)
    confidence = np.stack([s.confidence for s in agreeing], 1)
    drift = np.array([JOINT_SPEED_M_S * (stamp - s.stamp_ns) / NS for s in agreeing])
    # first the place, then how many pixels the motion since each exposure is worth there
    claimed = np.stack([s.covariance for s in agreeing], 1)
    covariance = claimed + RAY_GAP_M**2 * _pixels2_per_metre2(model, views, None)
    rough = triangulate([model.rig[v] for v in views], pixels, covariance, confidence)
    if (rough.reason == 0).sum() < min_joints:
        return None
    centre = np.nanmedian(rough.points, 0)
    motion = (drift[:, None, None] ** 2) * _pixels2_per_metre2(model, views, centre)
    covariance = claimed + motion + CALIBRATION_PX**2 * np.eye(2)
    found = triangulate([model.rig[v] for v in views], pixels, covariance, confidence)
    located = np.where((found.reason == 0)[:, None], found.points, rough.points)
    spread = np.where((found.reason == 0)[:, None, None], found.covariance, rough.covariance)
    spread = spread * np.where(found.inliers.sum(1) > 2, 1.0, TWO_VIEWS_VARIANCE)[:, None, None]
    if not _is_body(model, located, min_joints):
        return None
    return _body(model, located, spread, stamp, agreeing)


def agreeing_views(model: BodyModel, seen: tuple[Skeleton2D, ...], min_joints: int) -> tuple[Skeleton2D, ...]:
    """The largest set of views of which every two see the same person (best agreement on a tie)."""
    agree = np.zeros((len(seen), len(seen)))
    for i, j in combinations(range(len(seen)), 2):
        agree[i, j] = agree[j, i] = _agreement(model, seen[i], seen[j], min_joints)
    best: tuple[int, float, list[int]] = (0, 0.0, [])
    for i, j in combinations(range(len(seen)), 2):
        if agree[i, j] == 0:
            continue
        members = [i, j]
        for k in np.argsort(-agree[i] - agree[j], kind="stable"):
            if k not in members and all(agree[k, m] > 0 for m in members):
                members.append(int(k))
        total = float(agree[np.ix_(members, members)].sum())
        if (len(members), total) > best[:2]:
            best = (len(members), total, sorted(members))
    return tuple(seen[k] for k in best[2])


def _agreement(model: BodyModel, a: Skeleton2D, b: Skeleton2D, min_joints: int) -> float:
    """Fraction of the joints seen by both whose rays pass close to each other; 0 for no agreement."""
    first, second = model.rig[model.rig.index(a.view)], model.rig[model.rig.index(b.view)]
    common = (a.confidence > 0) & (b.confidence > 0)
    one = np.ones((len(common), 1))
    rays = [np.append(undistort(c, s.pixels), one, 1) @ c.R for c, s in ((first, a), (second, b))]
    across = np.cross(rays[0], rays[1])
    baseline = second.centre - first.centre
    norm2 = (across * across).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.abs(across @ baseline) / np.sqrt(norm2)
        depth_a = (np.cross(np.broadcast_to(baseline, rays[1].shape), rays[1]) * across).sum(-1) / norm2
        depth_b = (np.cross(np.broadcast_to(baseline, rays[0].shape), rays[0]) * across).sum(-1) / norm2
    allowed = RAY_GAP_M + JOINT_SPEED_M_S * abs(a.stamp_ns - b.stamp_ns) / NS
    close = common & (gap < allowed) & (depth_a > 0) & (depth_b > 0)
    if common.sum() < min_joints or close.sum() < max(min_joints, AGREEING_FRACTION * common.sum()):
        return 0.0
    return float(close.sum() / common.sum())


def _pixels2_per_metre2(model: BodyModel, views: list[int], centre: Array | None) -> Array:
    """(V, 2, 2): squared focal length over depth of `centre` (or of the point that the rig surrounds)."""
    if centre is None:
        centre = np.mean([camera.centre + 3.0 * camera.R[2] for camera in model.rig], 0)
    scale = []
    for v in views:
        depth = max(float(to_camera(model.rig[v], centre)[2]), 0.5)
        scale.append((model.rig[v].K[0, 0] / depth) ** 2)
    return np.array(scale)[:, None, None] * np.eye(2)


def _is_body(model: BodyModel, joints: Array, min_joints: int) -> bool:
    located = joints[np.isfinite(joints).all(1)]
    if len(located) < min_joints:
        return False
    a, b = model.bones.T
    bones = np.linalg.norm(joints[a] - joints[b], axis=1)
    bones = bones[np.isfinite(bones)]
    plausible = len(bones) == 0 or (bones < MAX_BONE_M).mean() >= PLAUSIBLE_BONES
    extent = float(np.linalg.norm(located[:, None] - located[None], axis=-1).max())
    return bool(plausible and MIN_EXTENT_M < extent < MAX_EXTENT_M)


def _body(model: BodyModel, joints: Array, spread: Array, stamp: int, seen: tuple[Skeleton2D, ...]) -> Body:
    J = len(joints)
    known = np.asarray(np.isfinite(joints).all(1))
    mean = np.zeros((2, J, 3))
    mean[0] = np.where(known[:, None], joints, np.nanmedian(joints, 0))
    covariance = np.zeros((2, J, 3, 2, J, 3))
    k = np.arange(J)
    unseen = UNSEEN_STD_M**2 * np.eye(3)
    covariance[0, k, :, 0, k] = np.where(known[:, None, None], spread + 0.02**2 * np.eye(3), unseen)
    covariance[1, k, :, 1, k] = JOINT_SPEED_M_S**2 * np.eye(3)
    seen_ns = np.full(len(model.rig), -1, dtype=np.int64)
    for s in seen:
        seen_ns[model.rig.index(s.view)] = s.stamp_ns
    return Body(
        stamp_ns=stamp,
        mean=mean,
        covariance=covariance.reshape(6 * J, 6 * J),
        lengths=np.zeros(len(model.bones)),
        length_counts=np.zeros(len(model.bones)),
        noise=np.ones(len(model.rig)),
        seen_ns=seen_ns,
        doubt=np.zeros(J),
    )
