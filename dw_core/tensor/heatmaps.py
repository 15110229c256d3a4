"""Heatmaps in torch: rendering, decoding as dw_core/heatmaps/decode.py does it, and the paper's soft-argmax.

Everything is differentiable by the values of the map (and the places rendered). Where the maximum lies is
not: the gradient is that of the sums over the disk around it. Half-precision maps are computed in float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dw_core.errors import ConfigError
from dw_core.heatmaps.decode import (
    CONTRAST,
    DISK_RADIUS_FRACTION,
    FLOOR_CELLS,
    LEVEL,
    MIN_HEIGHT,
    SHAPE_FRACTION,
)

# The paper's temperature.
TEMPERATURE = 0.05


@dataclass(frozen=True, eq=False)
class Joints:
    """places (..., J, 2), covariance (..., J, 2, 2), confidence (..., J) in [0, 1], in cells or, after
    `in_pixels`, in px. A joint that was not seen is NaN with zero confidence."""

    places: Tensor
    covariance: Tensor
    confidence: Tensor


def render_gaussians(cells: Tensor, size: int, sigma: float, peaks: Tensor | None = None) -> Tensor:
    """Heatmaps (..., size, size) with a Gaussian of `sigma` cells at `cells` (..., 2), x before y.

    `peaks` (...): heights, 1 if not given. A position that is NaN gives an empty map.
    """
    axis = torch.arange(size, device=cells.device, dtype=cells.dtype)
    known = cells.isfinite().all(-1, keepdim=True)
    at = cells.masked_fill(~known, 0.0)[..., None]
    x, y = (-0.5 * ((axis - at) / sigma) ** 2).exp().unbind(-2)
    height = known.to(cells.dtype) if peaks is None else peaks[..., None].masked_fill(~known, 0.0)
    return (height * y)[..., :, None] * x[..., None, :]


def _square(maps: Tensor) -> Tensor:
    """The maps (..., J, n, n) in float32 or better."""
    if maps.ndim < 3 or maps.shape[-1] != maps.shape[-2]:
        raise ConfigError(f"heatmaps have shape {tuple(maps.shape)}, expected (..., joints, n, n)")
    return maps.to(torch.promote_types(maps.dtype, torch.float32))


def _highest(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Height (..., J) of the maximum of maps (..., J, n, n), and its cell (..., J, 2)."""
    n = maps.shape[-1]
    flat = maps.flatten(-2)
    place = flat.detach().argmax(-1, keepdim=True)
    cell = torch.cat((place % n, place // n), -1)
    return flat.gather(-1, place)[..., 0], cell.to(maps.dtype)


def _nothing(height: Tensor) -> Tensor:
    """Where maxima (...) are no joint. In double, as numpy does it: 0.01 of float32 is a little less."""
    return ~((height.double() >= MIN_HEIGHT) & height.isfinite())


def _steps_from(cell: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of every column and row (..., n) the step from `cell` (..., 2); and the paper's disk (..., n, n)."""
    axis = torch.arange(n, device=cell.device, dtype=cell.dtype)
    dx, dy = axis - cell[..., :1], axis - cell[..., 1:]
    disk = dx[..., None, :] ** 2 + dy[..., :, None] ** 2 <= (n * DISK_RADIUS_FRACTION) ** 2
    return dx, dy, disk


def decode(maps: Tensor) -> Joints:
    """Joints of heatmaps (..., J, n, n) in [0, 1], in cells: what `heatmaps.decode.decode` finds.

    Raises ConfigError when the maps are not square.
    """
    maps = _square(maps)
    height, peak = _highest(maps)
    unseen = _nothing(height)
    maps = maps.masked_fill(unseen[..., None, None], 0.0)  # so that no NaN is summed, nor a gradient of it
    dx, dy, disk = _steps_from(peak, maps.shape[-1])
    # moments do not depend on the scale, and squares of heights around 1 neither overflow nor vanish
    scale = height.detach().masked_fill(unseen, 1.0)[..., None, None]
    centroid, shape = _moments((maps / scale).clamp(min=0).masked_fill(~disk, 0.0), dx, dy)
    cells = peak + centroid
    height2, other = _highest(maps.masked_fill(disk, 0.0))
    # as in decode.py: the odds of a second peak, and of none at all
    alone = ~(height2 > MIN_HEIGHT)
    height = height.masked_fill(unseen, 1.0)
    odds2 = (height2.masked_fill(alone, 0.0) / height) ** CONTRAST
    confidence = 1 / (1 + odds2 + (LEVEL / height) ** CONTRAST)
    chance = odds2 / (1 + odds2)
    away = other - cells
    floor = FLOOR_CELLS**2 * torch.eye(2, device=maps.device, dtype=maps.dtype)
    covariance = (SHAPE_FRACTION**2 * shape + floor) / height.clamp(max=1.0)[..., None, None]
    covariance = covariance + chance[..., None, None] * away[..., :, None] * away[..., None, :]
    return Joints(
        cells.masked_fill(unseen[..., None], torch.nan),
        covariance.masked_fill(unseen[..., None, None], torch.nan),
        confidence.masked_fill(unseen, 0.0),
    )


def _moments(near: Tensor, dx: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    """Centroid (..., J, 2) of the squared windows (..., J, n, n) by the steps dx, dy (..., J, n), and second
    moments (..., J, 2, 2) of the windows themselves about it, in cells."""
    squared = near * near
    total = squared.sum((-2, -1)).clamp(min=1e-12)
    mx, my = (squared.sum(-2) * dx).sum(-1) / total, (squared.sum(-1) * dy).sum(-1) / total
    mass = near.sum((-2, -1)).clamp(min=1e-12)
    dx, dy = dx - mx[..., None], dy - my[..., None]
    xx, yy = (near.sum(-2) * dx * dx).sum(-1), (near.sum(-1) * dy * dy).sum(-1)
    xy = ((near * dx[..., None, :]).sum(-1) * dy).sum(-1)
    shape = torch.stack((torch.stack((xx, xy), -1), torch.stack((xy, yy), -1)), -2)
    return torch.stack((mx, my), -1), shape / mass[..., None, None]


def in_pixels(joints: Joints, to_pixels: Tensor) -> Joints:
    """Joints in cells moved to pixels by affines (..., 2, 3) of crops, one for all joints of a map set."""
    A = to_pixels[..., None, :, :]
    places = (A[..., :2] @ joints.places[..., None])[..., 0] + A[..., 2]
    return Joints(places, A[..., :2] @ joints.covariance @ A[..., :2].mT, joints.confidence)


def soft_argmax(maps: Tensor) -> Tensor:
    """Places (..., J, 2) in cells of heatmaps (..., J, n, n) in the paper's form: softmax(H / 0.05) within a
    disk of 15/96 of the map about the maximum. Zero where the maximum is under 0.01, as published.

    Source: DenseWarper (ICLR 2026), the step from 2D to 3D. Raises ConfigError as `decode`.
    """
    maps = _square(maps)
    height, peak = _highest(maps)
    unseen = _nothing(height)
    # relative to the maximum the exponentials neither overflow nor vanish
    maps = (maps - height.detach()[..., None, None]).masked_fill(unseen[..., None, None], 0.0)
    dx, dy, disk = _steps_from(peak, maps.shape[-1])
    weight = (maps / TEMPERATURE).exp().masked_fill(~disk, 0.0)
    total = weight.sum((-2, -1))
    mean = torch.stack(((weight.sum(-2) * dx).sum(-1), (weight.sum(-1) * dy).sum(-1)), -1) / total[..., None]
    return (peak + mean).masked_fill(unseen[..., None], 0.0)
