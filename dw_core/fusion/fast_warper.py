"""The fast Warper in torch: one small network for all pairs of views and all lags.

What it is stands in fast_warper_cpu.py, which computes the same without torch; this one trains, and runs
on a GPU. It starts as the identity.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dw_core.fusion.fast_warper_cpu import (
    KEEP_BIAS,
    LAG_SCALE,
    MOTION_SCALE,
    REACH,
    SAMPLES,
    SAMPLES_PER_MAP,
    SCALARS,
    WIDTH,
)


class FastWarper(nn.Module):
    """Moves stale raw heatmaps to the target time."""

    def __init__(self, joints: int, width: int = WIDTH) -> None:
        super().__init__()
        self.joints = joints
        self.patch = nn.Linear(2 * SAMPLES**2, width)
        self.scalars = nn.Linear(SCALARS, width, bias=False)
        self.joint = nn.Parameter(torch.zeros(joints, width))
        self.neighbours = nn.Parameter(torch.full((joints, joints), 1 / joints))
        self.mix = nn.Linear(width, width)
        self.hidden = nn.Linear(width, width)
        self.out = nn.Linear(width, 3)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, difference: Tensor, raw: Tensor, lag: Tensor, velocity: Tensor) -> Tensor:
        """Warped maps (N, J, h, w).

        difference = fused - raw and raw, both (N, J, h, w); lag (N,) s from the raw map's exposure to the
        target time, negative for a map from after it; velocity (N, J, 2) cells/s as the view itself saw it,
        0 where unknown.
        """
        move, keep = self.motion(difference, raw, lag, velocity)
        return translate(raw, move) * keep[..., None, None]

    def motion(self, difference: Tensor, raw: Tensor, lag: Tensor, velocity: Tensor) -> tuple[Tensor, Tensor]:
        """Displacements (N, J, 2) in cells, x before y, and the part (N, J) of the height to keep."""
        h, w = raw.shape[-2:]
        height, peak = raw.flatten(2).max(-1)
        expected = velocity * lag[:, None, None] * MOTION_SCALE
        known = (velocity != 0).any(-1)
        seconds = (LAG_SCALE * lag)[:, None].expand_as(height)
        scalars = torch.stack((seconds, height, expected[..., 0], expected[..., 1], known.to(raw.dtype)), -1)
        patches = torch.cat((_around(raw, peak), _around(difference, peak)), -1)
        return self.motion_of(patches, scalars, w, h)

    def motion_of(self, patches: Tensor, scalars: Tensor, w: int, h: int) -> tuple[Tensor, Tensor]:
        """What `motion` says of maps w x h cells, from what the network sees of them: the surroundings
        (N, J, 2 * 13 * 13) of the peaks and scalars (N, J, 5), as fast_warper_cpu.inputs makes them."""
        x = functional.relu(self.patch(patches) + self.scalars(scalars) + self.joint)
        x = functional.relu(x + self.mix(self.neighbours @ x))
        out = self.out(functional.relu(self.hidden(x)))
        # by numbers, not tensors made here: nothing may be uploaded while a CUDA graph is captured
        reach = (REACH * w, REACH * h)
        move = [far * torch.tanh(one / far) for one, far in zip(out[..., :2].unbind(-1), reach, strict=True)]
        keep = torch.sigmoid(out[..., 2] + KEEP_BIAS) * (1 + math.exp(-KEEP_BIAS))
        return torch.stack(move, -1), keep


def _around(maps: Tensor, peak: Tensor) -> Tensor:
    """Samples (N, J, 13 * 13) of maps (N, J, h, w) around cells `peak` (N, J), row by row; 0 outside."""
    h, w = maps.shape[-2:]
    stride = max(w // SAMPLES_PER_MAP, 1)
    step = torch.arange(SAMPLES, device=maps.device) * stride - SAMPLES // 2 * stride
    rows = (peak // w)[..., None] + step
    columns = (peak % w)[..., None] + step
    inside = ((rows >= 0) & (rows < h))[..., :, None] & ((columns >= 0) & (columns < w))[..., None, :]
    places = rows.clamp(0, h - 1)[..., :, None] * w + columns.clamp(0, w - 1)[..., None, :]
    return maps.flatten(2).gather(-1, places.flatten(2)) * inside.flatten(2)


def translate(maps: Tensor, move: Tensor) -> Tensor:
    """Maps (N, J, h, w) moved by `move` (N, J, 2) cells, x before y: bilinear, empty where nothing comes
    from. The geometry is computed in float32 or better whatever the maps are."""
    N, J, h, w = maps.shape
    wide = torch.promote_types(maps.dtype, torch.float32)
    x = torch.arange(w, device=maps.device, dtype=wide)
    y = torch.arange(h, device=maps.device, dtype=wide)
    at_x = x - move.reshape(N * J, 2)[:, :1].to(wide)
    at_y = y - move.reshape(N * J, 2)[:, 1:].to(wide)
    grid = torch.stack(
        (
            (2 * at_x / (w - 1) - 1)[:, None, :].expand(-1, h, -1),
            (2 * at_y / (h - 1) - 1)[:, :, None].expand(-1, -1, w),
        ),
        -1,
    )
    moved = functional.grid_sample(maps.reshape(N * J, 1, h, w).to(wide), grid, align_corners=True)
    covered = _within(at_y, h)[:, :, None] & _within(at_x, w)[:, None, :]
    return (moved[:, 0] * covered).reshape(N, J, h, w).to(maps.dtype)


def _within(places: Tensor, size: int) -> Tensor:
    return (places >= 0) & (places <= size - 1)
