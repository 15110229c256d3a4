"""Rigs as stacked tensors: projection, lens removal with exact gradients, and epipolar matrices.

The same arithmetic as dw_core/geometry/camera.py and epipolar.py for all cameras at once, on any device,
and differentiable. Views are the axis before the coordinates: pixels (..., M, 2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dw_core.errors import CalibrationError
from dw_core.geometry.camera import NEWTON_IS_DONE, UNDISTORT_ITERATIONS, Camera
from dw_core.geometry.crop import Crop
from dw_core.geometry.epipolar import MIN_BASELINE_M

COEFFICIENTS = 8


@dataclass(frozen=True, eq=False)
class TensorRig:
    """M cameras: K (M, 3, 3) px, distortion (M, 8), zero where a lens has fewer coefficients, fisheye (M,)
    bool, R (M, 3, 3), t (M, 3) m, world to camera."""

    K: Tensor
    distortion: Tensor
    fisheye: Tensor
    R: Tensor
    t: Tensor

    @property
    def centres(self) -> Tensor:
        """Camera centres (M, 3) in the world, metres."""
        return -(self.R.mT @ self.t[..., None])[..., 0]


def stack_rig(
    cameras: Iterable[Camera], device: torch.device | str = "cpu", dtype: torch.dtype = torch.float64
) -> TensorRig:
    """The cameras of a rig, in its order, on a device."""
    cameras = tuple(cameras)
    lenses = [np.pad(camera.distortion, (0, COEFFICIENTS - len(camera.distortion))) for camera in cameras]
    parts = (
        [camera.K for camera in cameras], lenses, [camera.R for camera in cameras],
        [camera.t for camera in cameras],
    )  # fmt: skip
    K, distortion, R, t = (torch.from_numpy(np.stack(part)).to(device, dtype) for part in parts)
    fisheye = torch.tensor([camera.model == "fisheye" for camera in cameras], device=device)
    return TensorRig(K, distortion, fisheye, R, t)


def stack_affines(
    crops: Sequence[Crop],
    cells: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor]:
    """Affines (M, 2, 3) of M crops from image pixels to cells x cells cells, and back."""
    pairs = ([c.to_cells(cells) for c in crops], [c.to_pixels(cells) for c in crops])
    to_cells, to_pixels = (torch.from_numpy(np.stack(one)).to(device, dtype) for one in pairs)
    return to_cells, to_pixels


def apply_affine(affine: Tensor, points: Tensor) -> Tensor:
    """Affines (..., 2, 3) applied to points (..., 2)."""
    return (affine[..., :2] @ points[..., None])[..., 0] + affine[..., 2]


def distort(rig: TensorRig, points: Tensor) -> tuple[Tensor, Tensor]:
    """Apply every view's lens to normalised points (..., M, 2): distorted points (..., M, 2), and the
    Jacobian (..., M, 2, 2) of the distorted by the undistorted coordinates. Source: as `camera.distort`."""
    x, y = points.unbind(-1)
    r2 = x * x + y * y
    # each model sees a lens without distortion where the other one's coefficients stand
    fisheye, k = rig.fisheye, rig.distortion
    scale, slope = _fisheye(torch.where(fisheye[:, None], k, 0.0), r2)
    pinhole = _pinhole(torch.where(fisheye[:, None], 0.0, k), x, y, r2)
    bent = (x * scale, y * scale, scale + slope * x * x, slope * x * y, scale + slope * y * y)
    dx, dy, xx, xy, yy = (torch.where(fisheye, a, b) for a, b in zip(bent, pinhole, strict=True))
    jacobian = torch.stack((torch.stack((xx, xy), -1), torch.stack((xy, yy), -1)), -2)
    return torch.stack((dx, dy), -1), jacobian


def _pinhole(k: Tensor, x: Tensor, y: Tensor, r2: Tensor) -> tuple[Tensor, ...]:
    """Distorted x, y and the derivatives xx, xy, yy (..., M) by OpenCV's model of 4, 5 or 8 coefficients."""
    k1, k2, p1, p2, k3, k4, k5, k6 = k.unbind(-1)
    denominator = 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / denominator
    slope = k1 + r2 * (2 * k2 + 3 * r2 * k3) - radial * (k4 + r2 * (2 * k5 + 3 * r2 * k6))
    slope = 2 * slope / denominator
    scale = radial + 2 * (p1 * y + p2 * x)
    return (
        x * scale + p2 * r2,
        y * scale + p1 * r2,
        scale + x * (x * slope + 4 * p2),
        x * y * slope + 2 * (p1 * x + p2 * y),
        scale + y * (y * slope + 4 * p1),
    )


def _fisheye(k: Tensor, r2: Tensor) -> tuple[Tensor, Tensor]:
    """Scale theta_d / r (..., M), and its derivative by r over r."""
    k1, k2, k3, k4 = k[..., :4].unbind(-1)
    central = r2 < 1e-12
    r = torch.where(central, 1e-6, r2).sqrt()  # any radius: what is made from it is not used there
    theta = torch.atan(r)
    t2 = theta * theta
    theta_d = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
    d_theta_d = 1 + t2 * (3 * k1 + t2 * (5 * k2 + t2 * (7 * k3 + t2 * 9 * k4)))
    scale = theta_d / r
    slope = (d_theta_d / (1 + r * r) - scale) / (r * r)
    return torch.where(central, 1.0, scale), torch.where(central, 0.0, slope)


def _newton_step(rig: TensorRig, points: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Points (..., M, 2) one step closer to what the lens sends to `target`, and how far off it was."""
    distorted, J = distort(rig, points)
    rx, ry = (distorted - target).unbind(-1)
    xx, xy, yy = J[..., 0, 0], J[..., 0, 1], J[..., 1, 1]
    det = xx * yy - xy * xy
    det = torch.where(det.abs() < 1e-9, torch.nan, det)
    step = torch.stack(((yy * rx - xy * ry) / det, (xx * ry - xy * rx) / det), -1)
    return points - step, rx.abs() + ry.abs()


def undistort(rig: TensorRig, pixels: Tensor) -> Tensor:
    """Pixels (..., M, 2) to normalised undistorted image points (..., M, 2); NaN where the lens model
    cannot reach.

    Newton's method finds the points without a graph; one more step from there, with a graph, has the exact
    gradient by the pixels, K and the lens (implicit function theorem: the residual is zero there, so only
    its own derivative counts). Always the same number of steps, so a CUDA graph can hold it.
    """
    y = (pixels[..., 1] - rig.K[:, 1, 2]) / rig.K[:, 1, 1]
    x = (pixels[..., 0] - rig.K[:, 0, 2] - rig.K[:, 0, 1] * y) / rig.K[:, 0, 0]
    target = torch.stack((x, y), -1)
    done = max(NEWTON_IS_DONE, 16 * torch.finfo(target.dtype).eps)
    with torch.no_grad():
        points = target
        for _ in range(UNDISTORT_ITERATIONS):
            points, _ = _newton_step(rig, points, target)
        reached = (_newton_step(rig, points, target)[1] < done)[..., None]
        points = torch.where(reached, points, 0.0)
    points, _ = _newton_step(rig, points, torch.where(reached, target, 0.0))
    return torch.where(reached, points, torch.nan)


def project(rig: TensorRig, points: Tensor) -> Tensor:
    """World points (..., 3) m to the pixels (..., M, 2) of every view; NaN for points not in front."""
    p = (rig.R @ points[..., None, :, None])[..., 0] + rig.t
    ahead = p[..., 2:] > 1e-9
    distorted, _ = distort(rig, p[..., :2] / torch.where(ahead, p[..., 2:], 1.0))
    pixels = (rig.K[:, :2, :2] @ distorted[..., None])[..., 0] + rig.K[:, :2, 2]
    return torch.where(ahead, pixels, torch.nan)


def essential_matrices(rig: TensorRig) -> Tensor:
    """E (M, M, 3, 3) of all ordered pairs: x_b^T E[a, b] x_a = 0 for normalised undistorted points of views
    a and b, zero where a is b. Scaled and raising CalibrationError as `epipolar.essential_matrix`."""
    R = rig.R[None] @ rig.R.mT[:, None]  # [a, b]: from a to b
    t = rig.t[None] - (R @ rig.t[:, None, :, None])[..., 0]
    own = torch.eye(len(rig.t), dtype=torch.bool, device=t.device)
    length = torch.where(own, 1.0, (t * t).sum(-1)).sqrt()
    near = (length < MIN_BASELINE_M).nonzero().tolist()
    if near:
        a, b = near[0]
        raise CalibrationError(
            f"cameras {a} and {b} of the rig stand {float(length[a, b]):.3f} m apart, "
            f"expected at least {MIN_BASELINE_M} m for epipolar geometry"
        )
    x, y, z = torch.where(own[..., None], 0.0, t / length[..., None]).unbind(-1)
    zero = torch.zeros_like(x)
    rows = ((zero, -z, y), (z, zero, -x), (-y, x, zero))
    return torch.stack([torch.stack(row, -1) for row in rows], -2) @ R


def fundamental_matrices(rig: TensorRig) -> Tensor:
    """F (M, M, 3, 3) of all ordered pairs: x_b^T F[a, b] x_a = 0 for UNDISTORTED pixels (K applied, lens
    removed) of views a and b. Raises CalibrationError as `essential_matrices`."""
    inverse: Tensor = torch.linalg.inv(rig.K)
    return inverse.mT[None] @ essential_matrices(rig) @ inverse[:, None]
