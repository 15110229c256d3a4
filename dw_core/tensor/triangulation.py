"""Triangulation in torch: batched, on any device, differentiable by pixels, weights and calibration.

The structure of dw_core/geometry/triangulation.py, and its numbers. Rays that were not seen have zero
information, points that cannot be had are NaN with zero confidence, and neither spoils a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dw_core.errors import ConfigError
from dw_core.geometry.triangulation import (
    HALF_WEIGHT_D2,
    INLIER_D2,
    MIN_PARALLAX_RAD,
    REFINEMENTS,
    view_pairs,
)
from dw_core.tensor.camera import TensorRig, distort, undistort

# Each step of inverse iteration shrinks what is not the solution by the ratio of the two smallest
# eigenvalues, which is far below 0.1 for rays that meet within centimetres.
INVERSE_ITERATIONS = 12


@dataclass(frozen=True, eq=False)
class Triangulated:
    """points (..., 3) m, covariance (..., 3, 3) m^2, confidence (...) in [0, 1], inliers (..., M). Where
    there is no point: NaN, zero confidence, no inliers."""

    points: Tensor
    covariance: Tensor
    confidence: Tensor
    inliers: Tensor


def dlt(rig: TensorRig, pixels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Plain linear triangulation: points (..., 3) of pixels (..., M, 2), each view's rows times weights
    (..., M). Every view takes part; NaN when one is NaN.

    Source: Hartley & Zisserman, section 12.2, homogeneous method, on undistorted coordinates. Not by SVD,
    whose gradient divides by the distance between any two singular values: inverse iteration on A^T A, by
    Cholesky, converges to the same vector and differentiates as linear solves do. A small shift of the
    diagonal keeps exact scenes, whose smallest eigenvalue is 0, solvable and moves no eigenvector.
    """
    xy = undistort(rig, pixels)
    good = xy.isfinite().all(-1).all(-1)
    P = torch.cat((rig.R, rig.t[..., None]), -1)
    A = torch.where(good[..., None, None], xy, 0.0)[..., None] * P[:, 2:] - P[:, :2]  # (..., M, 2, 4)
    if weights is not None:
        A = A * weights[..., None, None]
    A = A.flatten(-3, -2)
    B = A.mT @ A
    shift = torch.finfo(B.dtype).eps ** 0.5 * B.detach().diagonal(dim1=-2, dim2=-1).sum(-1)
    L, _ = torch.linalg.cholesky_ex(B + shift[..., None, None] * torch.eye(4, device=B.device, dtype=B.dtype))
    v = B.new_zeros(4, 1)
    v[3] = 1.0
    v = v.expand(*B.shape[:-1], 1)
    for _ in range(INVERSE_ITERATIONS):
        v = torch.cholesky_solve(v, L)
        v = v / v[..., 3:, :]
    return torch.where(good[..., None], v[..., :3, 0], torch.nan)


@dataclass(frozen=True, eq=False)
class _Rays:
    """N points in M views: normalised points (N, M, 2), information (N, M, 2, 2) in that plane, zero where
    unseen, confidence (N, M)."""

    rig: TensorRig
    points: Tensor
    information: Tensor
    confidence: Tensor

    @property
    def seen(self) -> Tensor:
        return self.information[..., 0, 0] > 0

    @property
    def directions(self) -> Tensor:
        """World directions (N, M, 3) with unit depth."""
        R = self.rig.R
        return R[:, 0] * self.points[..., :1] + R[:, 1] * self.points[..., 1:] + R[:, 2]


def triangulate(
    rig: TensorRig, pixels: Tensor, covariance: Tensor, confidence: Tensor | None = None
) -> Triangulated:
    """Robust maximum-likelihood points of joints seen in M views, as `geometry.triangulation.triangulate`.

    pixels (..., M, 2); covariance in px^2, broadcastable to (..., M, 2, 2); confidence (..., M) in [0, 1],
    1 if not given. The gradient is that of the computation: of the chosen pair's midpoint and every
    refinement, with the choice and the validity held. Raises ConfigError for wrong shapes.
    """
    M = len(rig.t)
    if pixels.shape[-2:] != (M, 2):
        raise ConfigError(f"pixels have shape {tuple(pixels.shape)}, expected (..., {M}, 2) for {M} cameras")
    shape = pixels.shape[:-2]
    sigma = covariance.expand(*pixels.shape, 2).reshape(-1, M, 2, 2)
    trust = pixels.new_ones(pixels.shape[:-1]) if confidence is None else confidence
    rays = _observe(rig, pixels.reshape(-1, M, 2), sigma, trust.reshape(-1, M))
    X, proposed = _best_proposal(rays)
    for _ in range(REFINEMENTS):
        e, J, d2 = _residuals(rays, X)
        A, g = _normal_equations(rays, e, J, 1 / (1 + d2 / HALF_WEIGHT_D2))
        A, solvable = _definite(A)
        step = torch.cholesky_solve(g[..., None], torch.linalg.cholesky_ex(A)[0])[..., 0]
        X = X + torch.where(solvable[..., None], step, 0.0)
    e, J, d2 = _residuals(rays, X)
    inliers = rays.seen & (d2 < INLIER_D2)
    A, solvable = _definite(_normal_equations(rays, e, J, inliers.to(X.dtype))[0])
    ok = proposed & solvable & (inliers.sum(-1) >= 2) & X.isfinite().all(-1)
    ok &= (rays.seen & (_depth(rig, X) > 0)).sum(-1) >= 2
    ok &= _parallax(X[..., None, :] - rig.centres, inliers)
    inliers &= ok[..., None]
    mean = (rays.confidence * inliers).sum(-1) / inliers.sum(-1).clamp(min=1)
    C = torch.cholesky_inverse(torch.linalg.cholesky_ex(A)[0])
    return Triangulated(
        torch.where(ok[..., None], X, torch.nan).reshape(*shape, 3),
        torch.where(ok[..., None, None], C, torch.nan).reshape(*shape, 3, 3),
        torch.where(ok, mean, 0.0).reshape(shape),
        inliers.reshape(*shape, M),
    )


def _observe(rig: TensorRig, pixels: Tensor, covariance: Tensor, confidence: Tensor) -> _Rays:
    """Rays of pixels (N, M, 2) with covariance (N, M, 2, 2): W = J^T Sigma^-1 J, J (2, 2) the derivative of
    the pixel by the normalised point."""
    known = pixels.isfinite().all(-1, keepdim=True)
    points = undistort(rig, torch.where(known, pixels, rig.K[:, :2, 2]))
    a, b, c = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    det = a * c - b * b
    seen = known[..., 0] & points.isfinite().all(-1) & (confidence > 0) & (det > 0)
    points = torch.where(seen[..., None], points, 0.0)
    a, b, c, det = (
        torch.where(seen, one, other) for one, other in ((a, 1.0), (b, 0.0), (c, 1.0), (det, 1.0))
    )
    inverse = torch.stack((torch.stack((c, -b), -1), torch.stack((-b, a), -1)), -2) / det[..., None, None]
    J = rig.K[:, :2, :2] @ distort(rig, points)[1]
    information = torch.where(seen[..., None, None], J.mT @ inverse @ J, 0.0)
    return _Rays(rig, points, information, torch.where(seen, confidence, 0.0))


def _depth(rig: TensorRig, X: Tensor) -> Tensor:
    """Depth (..., M) of points (..., 3) in every view."""
    return (X[..., None, :] * rig.R[:, 2]).sum(-1) + rig.t[:, 2]


def _residuals(rays: _Rays, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of points (..., 3): normalised residuals (..., M, 2), observed minus projected and far off where not in
    front; derivatives (..., M, 2, 3) of the projection; squared Mahalanobis distances (..., M)."""
    rig = rays.rig
    inverse = 1 / _depth(rig, X).clamp(min=1e-6)[..., None]
    projected = ((X[..., None, None, :] * rig.R[:, :2]).sum(-1) + rig.t[:, :2]) * inverse
    e = rays.points - projected
    J = (rig.R[:, :2] - projected[..., None] * rig.R[:, 2:]) * inverse[..., None]
    return e, J, (e * (rays.information @ e[..., None])[..., 0]).sum(-1)


def _normal_equations(rays: _Rays, e: Tensor, J: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Information (N, 3, 3) and gradient (N, 3) over the views, each weighted by (N, M)."""
    WJ = (rays.information * weight[..., None, None]) @ J
    A = (J.mT @ WJ).sum(-3)
    return A, (WJ.mT @ e[..., None])[..., 0].sum(-2)


def _definite(A: Tensor) -> tuple[Tensor, Tensor]:
    """Matrices (N, 3, 3), the singular ones replaced by the identity; and which were not singular."""
    scale = A.detach().diagonal(dim1=-2, dim2=-1).sum(-1) / 3
    solvable = torch.linalg.det(A.detach()) > 1e-12 * scale**3
    return torch.where(solvable[..., None, None], A, torch.eye(3, device=A.device, dtype=A.dtype)), solvable


def _best_proposal(rays: _Rays) -> tuple[Tensor, Tensor]:
    """The midpoint (N, 3) of the pair of rays on which the views agree most, and whether any pair proposed
    a point in front of its cameras. Source: Hartley & Zisserman, section 12.1."""
    i, j = torch.tensor(view_pairs(len(rays.rig.t)), device=rays.points.device).unbind(-1)
    C, d = rays.rig.centres, rays.directions
    d1, d2, b = d[:, i], d[:, j], C[j] - C[i]
    aa, bb, ab = (d1 * d1).sum(-1), (d2 * d2).sum(-1), (d1 * d2).sum(-1)
    p, q = (d1 * b).sum(-1), (d2 * b).sum(-1)
    det = aa * bb - ab * ab
    meet = det > 0
    det = torch.where(meet, det, 1.0)
    s, t = (bb * p - ab * q) / det, (ab * p - aa * q) / det
    X = 0.5 * (C[i] + s[..., None] * d1 + C[j] + t[..., None] * d2)  # (N, P, 3)
    with torch.no_grad():
        each = _Rays(rays.rig, rays.points[:, None], rays.information[:, None], rays.confidence[:, None])
        _, _, distance2 = _residuals(each, X)
        cost = (distance2 / (distance2 + HALF_WEIGHT_D2) * each.seen).sum(-1)
        depth = _depth(rays.rig, X)
        ahead = (_of_view(depth, i) > 0) & (_of_view(depth, j) > 0)
        allowed = rays.seen[:, i] & rays.seen[:, j] & ahead & meet & cost.isfinite()
        cost = torch.where(allowed, cost, torch.inf)
        best = cost.argmin(-1)
    chosen = X.gather(1, best[:, None, None].expand(-1, 1, 3))[:, 0]
    proposed = allowed.any(-1)
    return torch.where(proposed[:, None], chosen, 0.0), proposed


def _of_view(values: Tensor, view: Tensor) -> Tensor:
    """Of values (N, P, M) the one (N, P) of view (P,)."""
    return values.gather(-1, view[None, :, None].expand(len(values), -1, 1))[..., 0]


def _parallax(directions: Tensor, use: Tensor) -> Tensor:
    """Whether two directions (N, M, 3) in use (N, M) meet at an angle (N,) that fixes depth."""
    unit = torch.nn.functional.normalize(directions.detach(), dim=-1)
    cosine = (unit @ unit.mT).abs()
    pairs = use[:, :, None] & use[:, None, :]
    wide: Tensor = torch.acos(cosine.clamp(max=1.0)) >= MIN_PARALLAX_RAD
    return (wide & pairs).flatten(-2).any(-1)
