"""Errors of poses, in the units of the input (metres inside, millimetres in reports)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dw_core.geometry.camera import Array, Camera, project


def joint_errors(predicted: Array, truth: Array, root: int | None = None) -> Array:
    """Distances (..., J) between poses (..., J, 3); relative to joint `root` unless None (absolute)."""
    if root is not None:
        predicted = predicted - predicted[..., root : root + 1, :]
        truth = truth - truth[..., root : root + 1, :]
    errors: Array = np.linalg.norm(predicted - truth, axis=-1)
    return errors


def nearest_person(predicted: Array, people: Array) -> Array:
    """Of people (P, J, 3) the one (J, 3) that a pose (J, 3) is nearest to, by its known joints."""
    nearest: Array = people[nearest_index(predicted, people)]
    return nearest


def nearest_index(predicted: Array, people: Array) -> int:
    """Which of people (P, J, 3) a pose (J, 3) is nearest to, by its known joints."""
    errors = np.linalg.norm(people - predicted, axis=-1)
    return int(np.argmin(np.nan_to_num(errors, nan=0.0).sum(-1)))


def mpjpe(predicted: Array, truth: Array, root: int | None = None) -> float:
    """Mean per-joint position error of poses (..., J, 3), root-relative or absolute. Joints that are NaN
    are left out; NaN when none is left."""
    return _mean(joint_errors(predicted, truth, root))


def p_mpjpe(predicted: Array, truth: Array) -> float:
    """MPJPE of poses (..., J, 3) after aligning every pose by a similarity. NaN as in mpjpe."""
    return _mean(joint_errors(procrustes_align(predicted, truth), truth))


def velocity_errors(predicted: Array, truth: Array, times_s: npt.ArrayLike) -> Array:
    """Lengths (T - 1, J) of the difference between the velocities of poses (T, J, 3), from one pose to the
    next: what jumps costs as much as what lags. times_s: of each pose (T,), or between any two of them."""
    errors: Array = np.linalg.norm(_slopes(predicted - truth, _intervals(times_s, len(truth))), axis=-1)
    return errors


def acceleration_errors(predicted: Array, truth: Array, times_s: npt.ArrayLike) -> Array:
    """As velocity_errors, of second differences (T - 2, J): jitter."""
    seconds = _intervals(times_s, len(truth))
    slopes = _slopes(predicted - truth, seconds)
    errors: Array = np.linalg.norm(_slopes(slopes, (seconds[1:] + seconds[:-1]) / 2), axis=-1)
    return errors


def _intervals(times_s: npt.ArrayLike, T: int) -> Array:
    """The intervals (T - 1,) of times (T,), or all the same."""
    times = np.asarray(times_s, dtype=np.float64)
    return np.diff(times) if times.ndim else np.full(T - 1, times)


def _slopes(values: Array, seconds: Array) -> Array:
    """Differences (T - 1, J, 3) of values (T, J, 3) over the intervals (T - 1,) between them."""
    slopes: Array = np.diff(values, axis=0) / seconds[:, None, None]
    return slopes


def within(errors: Array, limit: float) -> Array:
    """1 where errors (...) are at most the limit, else 0; NaN where they are. Its mean is the PCK."""
    return np.where(np.isfinite(errors), errors <= limit, np.nan)


def within_curve(errors: Array, limit: float) -> Array:
    """The part of the 31 evenly spaced limits from 0 to `limit` that errors (...) are at most; NaN where they
    are. Its mean is the area under the curve of the PCK.

    Source: Mehta et al., "Monocular 3D human pose estimation in the wild", 3DV 2017, section 6.
    """
    limits = np.linspace(0.0, limit, 31)
    parts = 1 - np.searchsorted(limits, errors) / len(limits)
    return np.where(np.isfinite(errors), parts, np.nan)


def procrustes_align(predicted: Array, truth: Array) -> Array:
    """Each predicted pose (..., J, 3) moved by the similarity without reflection that brings it closest
    to the truth; joints that are NaN in one of them take no part. NaN for fewer than 3 joints.

    Source: Umeyama, "Least-squares estimation of transformation parameters", PAMI 1991.
    """
    known = (np.isfinite(predicted) & np.isfinite(truth)).all(-1, keepdims=True)
    count = known.sum(-2, keepdims=True)
    enough = count >= 3
    count = np.maximum(count, 1)
    X, Y = np.where(known, predicted, 0.0), np.where(known, truth, 0.0)
    mean_x, mean_y = X.sum(-2, keepdims=True) / count, Y.sum(-2, keepdims=True) / count
    X, Y = (X - mean_x) * known, (Y - mean_y) * known
    U, S, Vt = np.linalg.svd(np.swapaxes(X, -1, -2) @ Y)
    sign = np.ones_like(S)
    sign[..., -1] = np.sign(np.linalg.det(U @ Vt))
    R = (U * sign[..., None, :]) @ Vt
    variance = (X * X).sum((-2, -1))
    scale = (S * sign).sum(-1) / np.where(variance > 0, variance, np.nan)
    aligned = scale[..., None, None] * (predicted - mean_x) @ R + mean_y
    return np.where(enough, aligned, np.nan)


def bone_lengths(poses: Array, bones: npt.ArrayLike) -> Array:
    """Lengths (..., B) of bones (B, 2), pairs of joint indices, in poses (..., J, 3)."""
    a, b = np.asarray(bones).T
    lengths: Array = np.linalg.norm(poses[..., a, :] - poses[..., b, :], axis=-1)
    return lengths


def relative_mad(values: Array) -> Array:
    """Median absolute deviation of each column of values (T, B), as a fraction of its median (B,).

    NaN values are left out; NaN for a column without any other.
    """
    out = np.full(values.shape[1], np.nan)
    known = np.isfinite(values).any(0)
    median = np.nanmedian(values[:, known], 0)
    out[known] = np.nanmedian(np.abs(values[:, known] - median), 0) / median
    return out


def reprojection_errors(camera: Camera, points: Array, pixels: Array) -> Array:
    """Distances (...) in px between the projections of world points (..., 3) and pixels (..., 2)."""
    distances: Array = np.linalg.norm(project(camera, points) - pixels, axis=-1)
    return distances


def _mean(errors: Array) -> float:
    known = errors[np.isfinite(errors)]
    return float(known.mean()) if known.size else float("nan")
