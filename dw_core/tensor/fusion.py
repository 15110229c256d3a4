"""Spatial fusion in torch: epipolar maxima by the pencil, for many pairs of views at once.

Where to sample and where to look up is geometry of calibration and crops alone: numpy computes it
(dw_core/fusion/pencil.py), and it is uploaded when a crop changes. What is left, two bilinear samplings
and a maximum, is differentiable by the maps.

The same numbers as the numpy path up to its interpolation, which is rounded there and not here: OpenCV
samples maps of more than 4 joints at places rounded to 1/32 of a cell, and profiles are read in steps of 1/16
of a line. A value differs by at most half of each, in x, in y and among the lines, times the map's slope; and
numpy takes cells that are FAINT (spatial.py, 0.001) for empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dw_core.fusion.pencil import FAR_OUTSIDE, PencilGeometry
from dw_core.fusion.spatial import FusionForm
from dw_core.geometry.camera import Rig
from dw_core.geometry.crop import Crop
from dw_core.types import Float32Array

# Samples and lines are padded to multiples of this, so that crops of a size share a shape.
SHAPE_STEP = 64


@dataclass(frozen=True, eq=False)
class Pencils:
    """P ordered pairs of maps: `target`, `source` (P,) int64 indices of maps; `samples` (P, S, K, 2) where to
    read the source map, K lines of S samples, in the coordinates of `grid_sample` (-1 to 1 over the outer
    edges); `places` (P, n, n), in lines, where each target cell looks among them."""

    target: Tensor
    source: Tensor
    samples: Tensor
    places: Tensor


def pairs_of(form: FusionForm, views: int, fresh: int) -> tuple[tuple[int, int], ...]:
    """The (target, source) pairs of views that a form of fusion looks at."""
    sources = (fresh,) if form == "sampled_view" else range(views)
    return tuple((t, s) for t in range(views) for s in sources if t != s)


class PencilUpload:
    """Pencils of a rig on a device, for maps of cells x cells. Keeps what belongs to the newest crops."""

    def __init__(
        self, rig: Rig, cells: int, device: torch.device | str, dtype: torch.dtype = torch.float32
    ) -> None:
        self.cells, self.device, self.dtype = cells, torch.device(device), dtype
        self._geometry = PencilGeometry(rig)
        self._known: dict[tuple[int, int], tuple[tuple[Crop, Crop], Tensor, Tensor]] = {}

    def of(self, crops: Sequence[Crop], pairs: Sequence[tuple[int, int]]) -> Pencils:
        """The pencils of ordered pairs (target, source) of the rig's M views over their crops (M)."""
        found = [self.pair(t, s, crops[t], crops[s]) for t, s in pairs]
        S, K = (max(samples.shape[axis] for samples, _ in found) for axis in range(2))
        padded = [
            functional.pad(one, (0, 0, 0, K - one.shape[1], 0, S - one.shape[0]), value=FAR_OUTSIDE)
            for one, _ in found
        ]
        target, source = torch.tensor(list(pairs), device=self.device).unbind(-1)
        return Pencils(target, source, torch.stack(padded), torch.stack([places for _, places in found]))

    def pair(self, t: int, s: int, target: Crop, source: Crop) -> tuple[Tensor, Tensor]:
        """Samples (S, K, 2), S and K multiples of 64, and places (n, n) of one ordered pair; the same
        tensors as before when the crops are."""
        known = self._known.get((t, s))
        if known is None or known[0] != (target, source):
            known = self._known[t, s] = ((target, source), *self._make(t, s, target, source))
        return known[1:]

    def _make(self, t: int, s: int, target: Crop, source: Crop) -> tuple[Tensor, Tensor]:
        n = self.cells
        samples = np.full((SHAPE_STEP, SHAPE_STEP, 2), FAR_OUTSIDE, dtype=np.float32)
        places: Float32Array = np.full((n, n), FAR_OUTSIDE, dtype=np.float32)
        lines = self._geometry.lines(t, s, source, n)
        if lines is not None:
            S, K = lines.map_x.shape
            shape = (-(-S // SHAPE_STEP) * SHAPE_STEP, -(-K // SHAPE_STEP) * SHAPE_STEP, 2)
            samples = np.full(shape, FAR_OUTSIDE, dtype=np.float32)
            samples[:S, :K, 0], samples[:S, :K, 1] = lines.map_x, lines.map_y
            places = self._geometry.places(t, s, target, n, lines)
        uploaded, looks = (torch.from_numpy(one).to(self.device, self.dtype) for one in (samples, places))
        return _normalised(uploaded, n), looks


class PencilBank:
    """The pencils of all ordered pairs of a rig in tensors that stay where they are: samples (P, S, K, 2) and
    places (P, n, n). When a pair needs more room, all move, and `generation` tells."""

    def __init__(self, rig: Rig, cells: int, device: torch.device) -> None:
        self.generation = 0
        self._upload = PencilUpload(rig, cells, device)
        self._views, P = len(rig), len(rig) * len(rig)
        side = -(-2 * cells // SHAPE_STEP) * SHAPE_STEP
        self._samples = torch.full((P, side, side, 2), FAR_OUTSIDE, device=device)
        self._places = torch.full((P, cells, cells), FAR_OUTSIDE, device=device)
        self._held: dict[int, Tensor] = {}

    def place(self, target: int, source: int) -> int:
        """Where the pair is."""
        return target * self._views + source

    def update(self, target: int, source: int, target_crop: Crop, source_crop: Crop) -> None:
        """Bring a pair up to its crops; nothing is done when it is."""
        p = self.place(target, source)
        samples, places = self._upload.pair(target, source, target_crop, source_crop)
        if self._held.get(p) is places:
            return
        S, K, _ = samples.shape
        _, room_s, room_k, _ = self._samples.shape
        if S > room_s or K > room_k:
            grown = self._samples.new_full(
                (len(self._samples), max(S, room_s), max(K, room_k), 2), FAR_OUTSIDE
            )
            grown[:, :room_s, :room_k] = self._samples
            self._samples, self.generation = grown, self.generation + 1
        self._samples[p] = FAR_OUTSIDE
        self._samples[p, :S, :K] = samples
        self._places[p] = places
        self._held[p] = places

    def take(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Samples (N, S, K, 2) and places (N, n, n) of pairs (N,)."""
        return self._samples[pairs], self._places[pairs]


def _normalised(places: Tensor, count: int) -> Tensor:
    """Places among `count` cells, whose first centre is 0, in the coordinates of `grid_sample`."""
    return (2 * places + 1) / count - 1


def epipolar_maxima(maps: Tensor, pencils: Pencils) -> Tensor:
    """Maximum (P, J, n, n) of source maps along the epipolar line of each target cell, from the maps
    (B, J, n, n) that the pencils index; 0 where a line misses the source's crop."""
    samples = pencils.samples.to(maps.dtype)
    lines = functional.grid_sample(maps[pencils.source], samples, align_corners=False)
    profile = lines.amax(-2, keepdim=True)  # (P, J, 1, K)
    places = _normalised(pencils.places.to(maps.dtype), profile.shape[-1])
    grid = torch.stack((places, torch.zeros_like(places)), -1)
    return functional.grid_sample(profile, grid, align_corners=False)


def fuse(raw: Tensor, pencils: Pencils, form: FusionForm, own_weight: float = 0.5) -> Tensor:
    """Fused maps (B, J, n, n) of raw maps (B, J, n, n) of one or several sets, whose pairs the pencils are
    (see `pairs_of`). `own_weight` is lambda. Source: as `fusion.spatial`."""
    maxima = epipolar_maxima(raw, pencils)
    if form == "sampled_view":
        mixed = own_weight * raw[pencils.target] + (1 - own_weight) * maxima
        return raw.index_copy(0, pencils.target, mixed)
    views = raw.new_ones(len(raw)).index_add(0, pencils.target, raw.new_ones(len(maxima)))
    mean = raw.index_add(0, pencils.target, maxima) / views[:, None, None, None]
    return own_weight * raw + (1 - own_weight) * mean
