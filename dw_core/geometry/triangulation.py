"""From joints seen in several views to points in the world, with covariance, robustly and in batches.

Pixels are undistorted once, together with their covariance (first order); all else is pinhole
geometry in normalised coordinates, where a residual weighted by the transported covariance is the
reprojection error in the distorted image. Sources: Hartley & Zisserman, 2nd ed., section 12.2
(linear triangulation), 5.2 and A6 (covariance propagation, Gauss-Newton).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import combinations

import numpy as np
import numpy.typing as npt

from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array, Camera, Rig, distort, undistort

BoolArray = npt.NDArray[np.bool_]

# Squared Mahalanobis distance of 2 degrees of freedom: 99.9 % of honest residuals are below.
INLIER_D2 = 13.8
# Rays that meet at a smaller angle fix no depth.
MIN_PARALLAX_RAD = np.deg2rad(1.0)
# A residual of this d2 counts half (Student-t like weights).
HALF_WEIGHT_D2 = 6.0
REFINEMENTS = 5
# Points per pass: the intermediate arrays then stay in a core's cache.
CHUNK = 4096
MAX_EXHAUSTIVE_VIEWS = 6


class Reason(IntEnum):
    """Why there is no point (or OK)."""

    OK = 0
    TOO_FEW_VIEWS = 1
    PARALLEL_RAYS = 2
    BEHIND_CAMERA = 3
    INCONSISTENT = 4


@dataclass(frozen=True, eq=False)
class Triangulation:
    """points (..., 3) m, covariance (..., 3, 3) m^2, confidence (...) in [0, 1], inliers (..., M),
    reason (...) of type int8 (see Reason). Where reason is not OK: NaN, zero confidence, no inliers."""

    points: Array
    covariance: Array
    confidence: Array
    inliers: BoolArray
    reason: npt.NDArray[np.int8]


def dlt(cameras: Rig | Sequence[Camera], pixels: Array, weights: Array | None = None) -> Array:
    """Plain linear triangulation: points (..., 3) of pixels (..., M, 2), each view's rows times
    weights (..., M). Every view takes part; NaN when one is NaN. The baseline of all comparisons.

    Source: Hartley & Zisserman, section 12.2, homogeneous method, on undistorted coordinates.
    """
    rows = []
    for m, camera in enumerate(cameras):
        xy = undistort(camera, pixels[..., m, :])
        P = np.column_stack((camera.R, camera.t))
        w = 1.0 if weights is None else weights[..., m, None]
        rows += [w * (xy[..., k, None] * P[2] - P[k]) for k in range(2)]
    A = np.stack(rows, -2)
    good = np.isfinite(A).all((-2, -1))
    V = np.linalg.svd(np.where(good[..., None, None], A, 0.0), full_matrices=True)[2][..., -1, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        points: Array = np.where(good[..., None], V[..., :3] / V[..., 3:], np.nan)
    return points


def triangulate(
    cameras: Rig | Sequence[Camera], pixels: Array, covariance: Array, confidence: Array | None = None
) -> Triangulation:
    """Robust maximum-likelihood points of joints seen in M views.

    pixels (..., M, 2); covariance in px^2, broadcastable to (..., M, 2, 2); confidence (..., M) in
    [0, 1], 1 if not given. A view whose pixel is NaN or whose confidence is 0 does not take part.
    Every pair of views proposes a point (pairs at two spacings above 6 views), the proposal that the
    views agree on most is refined by reweighted Gauss-Newton. Raises ConfigError for wrong shapes.
    """
    cameras = tuple(cameras)
    M = len(cameras)
    if pixels.shape[-2:] != (M, 2):
        raise ConfigError(f"pixels have shape {pixels.shape}, expected (..., {M}, 2) for {M} cameras")
    shape = pixels.shape[:-2]
    flat = np.asarray(pixels, dtype=np.float64).reshape(-1, M, 2)
    sigma = np.broadcast_to(covariance, (*pixels.shape, 2)).reshape(-1, M, 2, 2)
    trust = np.ones(flat.shape[:2]) if confidence is None else np.reshape(confidence, (-1, M))
    N = len(flat)
    points, cov = np.empty((N, 3)), np.empty((N, 3, 3))
    conf, inliers, reason = np.empty(N), np.empty((N, M), dtype=bool), np.empty(N, dtype=np.int8)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for start in range(0, N, CHUNK):
            part = slice(start, start + CHUNK)
            views = [
                _observe(c, flat[part, m], sigma[part, m], trust[part, m]) for m, c in enumerate(cameras)
            ]
            points[part], cov[part], conf[part], inliers[part], reason[part] = _solve(views)
    return Triangulation(
        points.reshape(*shape, 3),
        cov.reshape(*shape, 3, 3),
        conf.reshape(shape),
        inliers.reshape(*shape, M),
        reason.reshape(shape),
    )


@dataclass(frozen=True, eq=False)
class _View:
    """One view's part of N points: normalised x, y (N,), information wxx, wxy, wyy (N,) in that plane
    (zero where unseen), confidence (N,), and the camera."""

    camera: Camera
    x: Array
    y: Array
    wxx: Array
    wxy: Array
    wyy: Array
    confidence: Array

    @property
    def seen(self) -> BoolArray:
        seen: BoolArray = self.wxx > 0
        return seen


def _observe(camera: Camera, pixels: Array, covariance: Array, confidence: Array) -> _View:
    point = undistort(camera, pixels)
    a, b, c = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
    det = a * c - b * b
    seen = np.isfinite(point).all(-1) & (confidence > 0) & (det > 0)
    point = np.where(seen[:, None], point, 0.0)
    # W = J^T Sigma^-1 J, J (2, 2) the derivative of the pixel by the normalised point
    L = distort(camera, point)[1]
    K = camera.K
    j00, j01 = (K[0, 0] * L[:, 0, k] + K[0, 1] * L[:, 1, k] for k in range(2))
    j10, j11 = (K[1, 1] * L[:, 1, k] for k in range(2))
    wxx = (c * j00 * j00 - 2 * b * j00 * j10 + a * j10 * j10) / det
    wxy = (c * j00 * j01 - b * (j00 * j11 + j01 * j10) + a * j10 * j11) / det
    wyy = (c * j01 * j01 - 2 * b * j01 * j11 + a * j11 * j11) / det
    wxx, wxy, wyy = (np.where(seen, value, 0.0) for value in (wxx, wxy, wyy))
    return _View(camera, point[:, 0], point[:, 1], wxx, wxy, wyy, np.where(seen, confidence, 0.0))


def _solve(views: list[_View]) -> tuple[Array, Array, Array, BoolArray, npt.NDArray[np.int8]]:
    seen = np.stack([view.seen for view in views])
    X, proposed = _best_proposal(views, seen)
    for _ in range(REFINEMENTS):
        A, g, _ = _normal_equations(views, X, robust=True)
        X = X + _solve_symmetric(A, g)
    A, _, d2 = _normal_equations(views, X, robust=False)
    inliers = seen & (d2 < INLIER_D2)
    A = _information(views, X, inliers)
    ahead = np.stack([_depth(view.camera, X) > 0 for view in views])
    reason = np.full(X.shape[1], int(Reason.OK), dtype=np.int8)
    reason[inliers.sum(0) < 2] = Reason.INCONSISTENT
    reason[(reason == Reason.OK) & (_parallax(views, X, inliers) < MIN_PARALLAX_RAD)] = Reason.PARALLEL_RAYS
    reason[~proposed | (seen & ~ahead).sum(0) > seen.sum(0) - 2] = Reason.BEHIND_CAMERA
    reason[(_widest_angle(views, seen) < MIN_PARALLAX_RAD) & (reason != Reason.OK)] = Reason.PARALLEL_RAYS
    reason[seen.sum(0) < 2] = Reason.TOO_FEW_VIEWS
    C = _inverse_symmetric(A)
    solved = np.isfinite(X).all(0) & np.isfinite(C).all((0, 1))
    reason[(reason == Reason.OK) & ~solved] = Reason.PARALLEL_RAYS
    ok = reason == Reason.OK
    inliers &= ok
    trust = np.stack([view.confidence for view in views])
    confidence = (trust * inliers).sum(0) / np.maximum(inliers.sum(0), 1)
    points = np.where(ok, X, np.nan).T
    covariance = np.where(ok, C, np.nan).transpose(2, 0, 1)
    return points, covariance, np.where(ok, confidence, 0.0), inliers.T, reason


def _direction(view: _View) -> Array:
    """World directions (3, N) of the rays, with unit depth."""
    R = view.camera.R
    directions: Array = R[0][:, None] * view.x + R[1][:, None] * view.y + R[2][:, None]
    return directions


def _depth(camera: Camera, X: Array) -> Array:
    depth: Array = camera.R[2] @ X + camera.t[2]
    return depth


def view_pairs(M: int) -> list[tuple[int, int]]:
    """The pairs of M views that propose points: all, or above 6 views those at two spacings."""
    if M <= MAX_EXHAUSTIVE_VIEWS:
        return list(combinations(range(M), 2))
    steps = {max(M // 4, 1), M // 2}
    return sorted({(min(i, j), max(i, j)) for i in range(M) for s in steps if (j := (i + s) % M) != i})


def _best_proposal(views: list[_View], seen: BoolArray) -> tuple[Array, BoolArray]:
    """The midpoint (3, N) of the pair of rays on which the views agree most, and whether any pair
    proposed a point in front of its cameras."""
    N = seen.shape[1]
    best, lowest = np.zeros((3, N)), np.full(N, np.inf)
    directions = [_direction(view) for view in views]
    for i, j in view_pairs(len(views)):
        X = _midpoint(views[i].camera.centre, directions[i], views[j].camera.centre, directions[j])
        cost = np.zeros(N)
        for view in views:
            d2 = _distance2(view, X)
            cost += np.where(view.seen, d2 / (d2 + HALF_WEIGHT_D2), 0.0)
        ahead = (_depth(views[i].camera, X) > 0) & (_depth(views[j].camera, X) > 0)
        better = seen[i] & seen[j] & ahead & (cost < lowest)
        lowest = np.where(better, cost, lowest)
        best = np.where(better, X, best)
    return best, np.isfinite(lowest)


def _midpoint(C1: Array, d1: Array, C2: Array, d2: Array) -> Array:
    """Point (3, N) half-way between two bundles of rays (Hartley & Zisserman, section 12.1)."""
    b = (C2 - C1)[:, None]
    aa, bb, ab = (d1 * d1).sum(0), (d2 * d2).sum(0), (d1 * d2).sum(0)
    p, q = (d1 * b).sum(0), (d2 * b).sum(0)
    det = aa * bb - ab * ab
    s, t = (bb * p - ab * q) / det, (ab * p - aa * q) / det
    middle: Array = 0.5 * (C1[:, None] + s * d1 + C2[:, None] + t * d2)
    return middle


def _residual(view: _View, X: Array) -> tuple[Array, Array, Array]:
    """Normalised residuals (observed minus projected) and 1 / depth; far off where not in front."""
    R, t = view.camera.R, view.camera.t
    inverse = 1 / np.maximum(_depth(view.camera, X), 1e-6)
    u = (R[0] @ X + t[0]) * inverse
    v = (R[1] @ X + t[1]) * inverse
    return view.x - u, view.y - v, inverse


def _distance2(view: _View, X: Array) -> Array:
    ex, ey, _ = _residual(view, X)
    return view.wxx * ex * ex + 2 * view.wxy * ex * ey + view.wyy * ey * ey


def _jacobian(view: _View, X: Array) -> tuple[Array, Array, Array, Array, Array]:
    """ex, ey (N,), the derivatives (3, N) of the projection's x and y, d2 (N,)."""
    ex, ey, inverse = _residual(view, X)
    R = view.camera.R
    jx = (R[0][:, None] - R[2][:, None] * (view.x - ex)) * inverse
    jy = (R[1][:, None] - R[2][:, None] * (view.y - ey)) * inverse
    return ex, ey, jx, jy, view.wxx * ex * ex + 2 * view.wxy * ex * ey + view.wyy * ey * ey


def _normal_equations(views: list[_View], X: Array, robust: bool) -> tuple[Array, Array, Array]:
    """A (6, N) upper triangle of the information, g (3, N), d2 (M, N)."""
    N = X.shape[1]
    A, g, all_d2 = np.zeros((6, N)), np.zeros((3, N)), np.empty((len(views), N))
    for m, view in enumerate(views):
        ex, ey, jx, jy, d2 = _jacobian(view, X)
        all_d2[m] = d2
        weight = 1 / (1 + d2 / HALF_WEIGHT_D2) if robust else np.ones(N)
        _accumulate(A, view, jx, jy, weight)
        px, py = (view.wxx * ex + view.wxy * ey) * weight, (view.wxy * ex + view.wyy * ey) * weight
        g += jx * px + jy * py
    return A, g, all_d2


def _information(views: list[_View], X: Array, use: BoolArray) -> Array:
    A = np.zeros((6, X.shape[1]))
    for m, view in enumerate(views):
        _, _, jx, jy, _ = _jacobian(view, X)
        _accumulate(A, view, jx, jy, use[m].astype(np.float64))
    return A


_UPPER = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


def _accumulate(A: Array, view: _View, jx: Array, jy: Array, weight: Array) -> None:
    wxx, wxy, wyy = view.wxx * weight, view.wxy * weight, view.wyy * weight
    px, py = wxx * jx + wxy * jy, wxy * jx + wyy * jy
    for k, (i, j) in enumerate(_UPPER):
        A[k] += jx[i] * px[j] + jy[i] * py[j]


def _cofactors(A: Array) -> tuple[Array, Array]:
    """Adjugate (6, N) of symmetric matrices (6, N), and the determinant; NaN where it vanishes."""
    a, b, c, d, e, f = A
    adj = np.stack((d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b))
    det = a * adj[0] + b * adj[1] + c * adj[2]
    scale = (a + d + f) / 3
    return adj, np.where(det > 1e-12 * scale**3, det, np.nan)


def _solve_symmetric(A: Array, g: Array) -> Array:
    """Step (3, N); none where the matrix is singular."""
    adj, det = _cofactors(A)
    a, b, c, d, e, f = adj
    x, y, z = g
    step = np.stack((a * x + b * y + c * z, b * x + d * y + e * z, c * x + e * y + f * z))
    return np.nan_to_num(step / det, nan=0.0, posinf=0.0, neginf=0.0)


def _inverse_symmetric(A: Array) -> Array:
    """Inverse (3, 3, N) of matrices (6, N)."""
    adj, det = _cofactors(A)
    a, b, c, d, e, f = adj / det
    return np.stack((np.stack((a, b, c)), np.stack((b, d, e)), np.stack((c, e, f))))


def _parallax(views: list[_View], X: Array, use: BoolArray) -> Array:
    """Largest angle (N,) at X between the directions to the centres of two views in use, radians."""
    to = [X - view.camera.centre[:, None] for view in views]
    return _largest_angle(to, use)


def _widest_angle(views: list[_View], seen: BoolArray) -> Array:
    """Largest angle (N,) between the observed rays of two views that see the point, radians."""
    return _largest_angle([_direction(view) for view in views], seen)


def _largest_angle(directions: list[Array], use: BoolArray) -> Array:
    unit = [d / np.sqrt((d * d).sum(0)) for d in directions]
    smallest = np.ones(use.shape[1])
    for i, j in combinations(range(len(unit)), 2):
        # rays that meet head on fix no depth either
        cosine = np.abs((unit[i] * unit[j]).sum(0))
        smallest = np.where(use[i] & use[j], np.fmin(smallest, cosine), smallest)
    return np.arccos(np.clip(smallest, 0.0, 1.0))
