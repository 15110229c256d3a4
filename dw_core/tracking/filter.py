"""One body as an extended Kalman filter over rays: every view is used at its own time.

The state is all joints' positions and velocities together, so that what one joint shows helps its
neighbours. All functions are pure: state in, state out; the tracker replays them at will.
Sources: Bar-Shalom, Li, Kirubarajan, Estimation with Applications to Tracking and Navigation,
section 10.3 (EKF); Roth, Ozkan, Gustafsson, "A Student's t filter for heavy tailed process and
measurement noise", ICASSP 2013 (weights).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dw_core.geometry.camera import Array, Rig, project_jacobian
from dw_core.skeleton import JointSet
from dw_core.tracking.motion import acceleration_covariance, predict
from dw_core.types import NS, Skeleton2D

# Degrees of freedom of the measurement noise: small is heavy-tailed.
STUDENT_DOF = 4.0
# From this d2 on a joint is taken for an outlier, whatever the state's own uncertainty.
OUTLIER_D2 = 12.0
# A joint within this d2 of its prediction confirms the track; a view whose median is beyond
# VIEW_GATE_D2 looks at something else.
CONFIRM_D2 = 16.0
VIEW_GATE_D2 = 50.0
# What calibration and the lens model leave, as an angle: 1 px of the demo's footage, whose focal length is
# 1669 px.
FLOOR_RAD = 6e-4
# An error of calibration or timing moves all joints of a view together by about this: 3 px there.
VIEW_OFFSET_RAD = 1.8e-3
# Median of chi-square with 2 degrees of freedom, and how fast a view's noise level is learned.
CHI2_MEDIAN = 1.386
NOISE_RATE = 0.05
MAX_NOISE = 100.0
# Bone lengths are soft: models are no bodies. Bones shorter than this are left alone (eyes, ears).
BONE_STD_M = 0.025
# One look at a length, whose errors last for many ticks.
LENGTH_STD_M = 0.3
MIN_BONE_M = 0.1
BONE_MEMORY = 1000
# Noise across a bone makes it look longer, by half its variance over the length, so far as there is noise:
# `ratio` in _hold_bones. Times this: 1 is right for noise alone, but outliers and unsteady motion last
# longer than the covariance tells; lengths learned on motion capture are right in the mean at 2.
BONE_BIAS = 1.5
# Lengths are learned and held only while both ends are known this well.
BONE_KNOWN_STD_M = 0.08
# A joint is lost when so great a part of the newest looks at it were outliers: it started in a wrong place
# and refuses the right one. How fast that is noticed, and how far off it may be.
DOUBT, DOUBT_RATE, LOST_STD_M = 0.6, 0.15, 0.3
# Left and right are exchanged when that explains a pair at least this much better.
SWAP_D2, SWAP_RATIO = 12.0, 0.2


@dataclass(frozen=True, eq=False)
class BodyModel:
    """What does not change: the rig, acceleration noise (J, J), bones (B, 2) and left-right pairs (P, 2)."""

    rig: Rig
    acceleration: Array
    bones: npt.NDArray[np.int64]
    pairs: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Body:
    """One body at one time: mean (2, J, 3) m and m/s, covariance (6J, 6J); bone lengths (B,) m with
    their number of observations (B,); noise (M,), each view's variance relative to what it claims;
    seen_ns (M,), the newest accepted observation of each view, or -1; doubt (J,): the part of the newest
    observations of each joint that were outliers."""

    stamp_ns: int
    mean: Array
    covariance: Array
    lengths: Array
    length_counts: Array
    noise: Array
    seen_ns: npt.NDArray[np.int64]
    doubt: Array


def body_model(rig: Rig, joints: JointSet) -> BodyModel:
    """The constants of a rig and a joint set."""
    pairs = [
        (joints.index(name), joints.index(joints.partner(name)))
        for name in joints.joints
        if joints.side(name) == "left" and joints.partner(name) in joints.joints
    ]
    return BodyModel(
        rig,
        acceleration_covariance(joints),
        np.array(joints.edges, dtype=np.int64).reshape(-1, 2),
        np.array(pairs, dtype=np.int64).reshape(-1, 2),
    )


def position_std(body: Body) -> Array:
    """Root mean square standard deviation (J,) over the three axes, m."""
    J = body.mean.shape[1]
    variances = np.diagonal(body.covariance)[: 3 * J].reshape(J, 3)
    std: Array = np.sqrt(variances.mean(1))
    return std


def move(model: BodyModel, body: Body, stamp_ns: int) -> Body:
    """The body predicted to a later (or the same) time."""
    seconds = (stamp_ns - body.stamp_ns) / NS
    mean, covariance = predict(body.mean, body.covariance, model.acceleration, seconds)
    return replace(body, stamp_ns=stamp_ns, mean=mean, covariance=covariance)


def observe(model: BodyModel, body: Body, seen: Skeleton2D) -> tuple[Body, int]:
    """Take in one view's joints at their own time (not before the body's).

    Returns the body at that time and how many joints confirmed it; a view that disagrees as a
    whole is refused: the body is then only predicted, and the number is 0.
    """
    view = model.rig.index(seen.view)
    body = move(model, body, seen.stamp_ns)
    projected, H = project_jacobian(model.rig[view], body.mean[0])
    known = np.isfinite(seen.pixels + projected).all(1) & np.isfinite(seen.covariance).all((1, 2))
    use = np.flatnonzero(known & (seen.confidence > 0))
    if len(use) == 0:
        return body, 0
    focal = model.rig[view].K[0, 0]
    floor, offset = (FLOOR_RAD * focal) ** 2 * np.eye(2), (VIEW_OFFSET_RAD * focal) ** 2 * np.eye(2)
    R = (seen.covariance[use] + floor) * body.noise[view]
    gain_rows, S = _innovation(body, use, H[use])
    own = np.arange(len(use))
    blocks = S.reshape(len(use), 2, len(use), 2)[own, :, own] + R + offset
    pixels = _unswap(model, seen.pixels, projected, use, blocks)
    residual = pixels[use] - projected[use]
    d2 = _mahalanobis2(residual, blocks)
    level = float(np.median(d2))
    if level > VIEW_GATE_D2:
        return body, 0
    heavy = np.maximum((STUDENT_DOF + d2) / (STUDENT_DOF + 2), 1.0)
    # beyond the gate it must not pull even a joint that is itself uncertain
    gross = np.maximum(d2 / OUTLIER_D2 - 1, 0.0)
    R = R * heavy[:, None, None] + blocks * gross[:, None, None]
    together = np.tile(offset, (len(use), len(use)))
    body = _correct(body, gain_rows, S + _block_diagonal(R) + together, residual.ravel())
    noise = body.noise.copy()
    ratio = min(level / CHI2_MEDIAN, 4.0)
    noise[view] = np.clip(noise[view] * ((1 - NOISE_RATE) + NOISE_RATE * max(ratio, 0.25)), 1.0, MAX_NOISE)
    seen_ns = body.seen_ns.copy()
    seen_ns[view] = seen.stamp_ns
    body = _hold_bones(model, replace(body, noise=noise, seen_ns=seen_ns), ratio)
    body = _doubted(body, use, d2 > OUTLIER_D2)
    return body, int((d2 < CONFIRM_D2).sum())


def _innovation(body: Body, use: npt.NDArray[np.int64], H: Array) -> tuple[Array, Array]:
    """P H^T (6J, 2N) and H P H^T (2N, 2N) for the joints in use, H (N, 2, 3)."""
    n, size = len(use), len(body.covariance)
    columns = body.covariance.reshape(size, -1, 3)[:, use]  # position columns of the joints in use
    PH = np.einsum("snk,nik->sni", columns, H).reshape(size, 2 * n)
    S = np.einsum("nik,nkm->nim", H, PH.reshape(-1, 3, 2 * n)[use]).reshape(2 * n, 2 * n)
    return PH, S


def _mahalanobis2(residual: Array, S: Array) -> Array:
    """r^T S^-1 r (N,) for residual (N, 2), S (N, 2, 2)."""
    x, y = residual[:, 0], residual[:, 1]
    a, b, c = S[:, 0, 0], S[:, 0, 1], S[:, 1, 1]
    d2: Array = (c * x * x - 2 * b * x * y + a * y * y) / (a * c - b * b)
    return d2


def _unswap(model: BodyModel, pixels: Array, projected: Array, use: npt.NDArray[np.int64], S: Array) -> Array:
    """Pixels (J, 2) with left and right exchanged where the network mixed them up."""
    place = np.full(len(pixels), -1)
    place[use] = np.arange(len(use))
    pairs = model.pairs[(place[model.pairs] >= 0).all(1)]
    if len(pairs) == 0:
        return pixels
    left, right = pairs.T

    def misfit(seen_left: Array, seen_right: Array) -> Array:
        both = np.concatenate((seen_left - projected[left], seen_right - projected[right]))
        d2 = _mahalanobis2(both, S[place[np.concatenate((left, right))]])
        total: Array = d2[: len(left)] + d2[len(left) :]
        return total

    kept, crossed = misfit(pixels[left], pixels[right]), misfit(pixels[right], pixels[left])
    swap = (kept > SWAP_D2) & (crossed < SWAP_RATIO * kept)
    out: Array = pixels.copy()
    out[left[swap]], out[right[swap]] = pixels[right[swap]], pixels[left[swap]]
    return out


def _doubted(body: Body, use: npt.NDArray[np.int64], outlier: npt.NDArray[np.bool_]) -> Body:
    """The body after a look at the joints in use: one that most looks contradict may be anywhere near, and is
    found again where the next ones agree."""
    doubt = body.doubt.copy()
    doubt[use] += DOUBT_RATE * (outlier - doubt[use])
    lost = np.flatnonzero(doubt > DOUBT)
    if len(lost) == 0:
        return replace(body, doubt=doubt)
    doubt[lost] = 0.0
    covariance = body.covariance.copy()
    at = (3 * lost[:, None] + np.arange(3)).ravel()
    covariance[at, at] += LOST_STD_M**2
    return replace(body, covariance=covariance, doubt=doubt)


def _block_diagonal(blocks: Array) -> Array:
    n = len(blocks)
    out = np.zeros((n, 2, n, 2))
    out[np.arange(n), :, np.arange(n)] = blocks
    return out.reshape(2 * n, 2 * n)


def _correct(body: Body, PH: Array, S: Array, residual: Array) -> Body:
    """Kalman update with gain P H^T S^-1."""
    gain = np.linalg.solve(S, PH.T).T
    covariance = body.covariance - gain @ PH.T
    covariance = 0.5 * (covariance + covariance.T)
    return replace(body, mean=body.mean + (gain @ residual).reshape(body.mean.shape), covariance=covariance)


def _hold_bones(model: BodyModel, body: Body, ratio: float) -> Body:
    """Learn the bones' lengths as running means, and pull the joints towards them softly; `ratio`: variance
    of the view just seen relative to what was expected."""
    if len(model.bones) == 0:
        return body
    a, b = model.bones.T
    offset = body.mean[0, a] - body.mean[0, b]
    length = np.linalg.norm(offset, axis=1)
    std = position_std(body)
    known = (std[a] < BONE_KNOWN_STD_M) & (std[b] < BONE_KNOWN_STD_M) & (length > MIN_BONE_M)
    direction = offset / np.maximum(length, MIN_BONE_M)[:, None]
    columns = body.covariance.reshape(len(body.covariance), -1, 3)
    Po = columns[:, a] - columns[:, b]  # of the state with every bone's offset (6J, B, 3)
    PH = np.einsum("snk,nk->sn", Po, direction)
    rows = PH.reshape(-1, 3, len(a))
    S = np.einsum("nk,nkm->nm", direction, rows[a] - rows[b])
    across = _own_trace(Po, a) - _own_trace(Po, b) - np.diagonal(S)
    looks = length - BONE_BIAS * ratio * across / (2 * np.maximum(length, MIN_BONE_M))
    counts = np.where(known, np.minimum(body.length_counts + 1, BONE_MEMORY), body.length_counts)
    lengths = body.lengths + np.where(known, (looks - body.lengths) / np.maximum(counts, 1), 0.0)
    body = replace(body, lengths=lengths, length_counts=counts)
    hold = np.flatnonzero(known & (lengths > MIN_BONE_M))
    if len(hold) == 0:
        return body
    S = S[np.ix_(hold, hold)] + np.diag(BONE_STD_M**2 + LENGTH_STD_M**2 / counts[hold])
    return _correct(body, PH[:, hold], S, lengths[hold] - length[hold])


def _own_trace(Po: Array, joints: npt.NDArray[np.int64]) -> Array:
    """Trace (B,) of the covariance of each bone's joint (position) with the bone's own offset."""
    bones = np.arange(len(joints))
    blocks = Po.reshape(-1, 3, len(joints), 3)[joints, :, bones]
    return np.asarray(np.einsum("nii->n", blocks))
