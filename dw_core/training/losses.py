"""What a Warper is trained to make small."""

from __future__ import annotations

import torch
from torch import Tensor

# Barron's robust loss as the paper has it: quadratic up to some cells, and flat beyond, where a network saw
# something else altogether.
ALPHA, SCALE_CELLS = -10.0, 8.0


def barron(x: Tensor) -> Tensor:
    """Barron's robust loss (...) of errors (...) >= 0 in cells, alpha = -10, c = 8, times c^2 so that it is
    x^2 / 2 near zero. Source: Barron, "A General and Adaptive Robust Loss Function", CVPR 2019, equation 1;
    constants of DenseWarper (ICLR 2026)."""
    b = abs(ALPHA - 2)
    return SCALE_CELLS**2 * (b / ALPHA) * (((x / SCALE_CELLS) ** 2 / b + 1) ** (ALPHA / 2) - 1)


# The width of the peaks that maps are compared with.
SIGMA_CELLS = 1.3


def overlaps(maps: Tensor) -> Tensor:
    """What maps (..., n, n) have in common with themselves (..., 4): as they are, one cell aside, one below,
    and both, to both sides."""
    left, right, up, down = maps[..., :-1], maps[..., 1:], maps[..., :-1, :], maps[..., 1:, :]
    slanted = (up[..., :-1] * down[..., 1:] + up[..., 1:] * down[..., :-1]).sum((-2, -1))
    straight = ((a * b).sum((-2, -1)) for a, b in ((maps, maps), (left, right), (up, down)))
    return torch.stack((*straight, slanted), -1)


def moved_map_loss(
    maps: Tensor, common: Tensor, move: Tensor, keep: Tensor, truth: Tensor, height: Tensor
) -> Tensor:
    """Squared difference (...), summed over the plane, of maps (..., n, n) that are moved bilinearly by
    `move` (..., 2) cells, times `keep` (...), from Gaussians at `truth` (..., 2) as high as `height` (...).

    No map is drawn. For a moved map M, kept to the part k, and a Gaussian G it is k^2 M.M - 2 k M.G + G.G:
    M.M depends on the move's fraction of a cell and on the map's `overlaps`, `common` (..., 4); M.G is a
    product with two vectors, as both the Gaussian and the move are separable.
    """
    whole = move.detach().floor()
    part = move - whole
    u = torch.arange(maps.shape[-1], device=maps.device, dtype=maps.dtype)
    # of the Gaussian at where the map's columns and rows go, in x and in y
    off = u + (whole - truth)[..., None]
    near, far = (torch.exp(-0.5 * (one / SIGMA_CELLS) ** 2) for one in (off, off + 1))
    across, down = (near + part[..., None] * (far - near)).unbind(-2)
    product = ((maps @ across[..., None])[..., 0] * down).sum(-1) * height
    own = torch.pi * (SIGMA_CELLS * height) ** 2
    return keep**2 * _squared(common, part) - 2 * keep * product + own


def _squared(common: Tensor, part: Tensor) -> Tensor:
    """The sum of squares (...) of maps moved bilinearly by x and y (..., 2), parts of a cell."""
    (same_x, same_y), (other_x, other_y) = (
        one.unbind(-1) for one in ((1 - part) ** 2 + part**2, 2 * part * (1 - part))
    )
    weights = (same_x * same_y, other_x * same_y, same_x * other_y, other_x * other_y / 2)
    return (common * torch.stack(weights, -1)).sum(-1)


def position_loss(kind: str, error: Tensor) -> Tensor:
    """Loss (...) of errors (..., D) of positions in cells: `barron` of the L1 distance, `l1` or `l2`."""
    if kind == "l1":
        return error.abs().sum(-1)
    if kind == "l2":
        return (error * error).sum(-1)
    return barron(error.abs().sum(-1))
