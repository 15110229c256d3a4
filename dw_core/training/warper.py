"""Training of a Warper: batches of stale views, and how far its maps' joints are from the truth.

A map that is moved as a whole has its joints moved by as much, so the fast Warper is trained on what it sees
of the maps alone, and no map is drawn. N stale views, J joints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from dw_core.benchmarks.map_methods import mean_pooled
from dw_core.data import messages
from dw_core.fusion.fast_warper import FastWarper
from dw_core.fusion.fast_warper_cpu import inputs
from dw_core.fusion.paper_warper import PaperWarper
from dw_core.tensor.camera import stack_rig
from dw_core.tensor.heatmaps import decode, render_gaussians
from dw_core.tensor.triangulation import triangulate
from dw_core.training.losses import SIGMA_CELLS, moved_map_loss, overlaps, position_loss
from dw_core.training.scenes import Scene
from dw_core.types import Float32Array

# What a cell covers on a person: the scale at which an error in space counts as one in the map.
CELL_M = 0.035

Network = FastWarper | PaperWarper


@dataclass(frozen=True, eq=False)
class Batch:
    """N stale views of some scenes: what the fast Warper sees of them, patches (N, J, 338) and scalars
    (N, J, 5); lag (N,) s as measured, velocity (N, J, 2); the maps fused - raw and raw (N, J, n, n), empty
    where they are not needed, and the raw ones' `overlaps` (N, J, 4); cells (N, J, 2) as decoded, truth
    (N, J, 2), weights (N, J) that sum to 1; cells of a map's side, `size`; and the scenes, without their
    maps, and which of them count in space."""

    patches: Tensor
    scalars: Tensor
    lag: Tensor
    velocity: Tensor
    difference: Tensor
    raw: Tensor
    overlaps: Tensor
    cells: Tensor
    truth: Tensor
    weight: Tensor
    size: int
    scenes: tuple[Scene, ...]
    in_space: tuple[bool, ...]


@dataclass(frozen=True, eq=False)
class Seen:
    """One scene as a Warper sees it: patches (N, J, 338) and scalars (N, J, 5), those of its maps `raw` and
    `fused` (N, J, n, n) that are needed, as 16-bit fractions, the raw ones' `overlaps` (N, J, 4), and whether
    its points count in the loss. Without maps it is a twentieth of the scene."""

    scene: Scene
    patches: Float32Array
    scalars: Float32Array
    maps: Mapping[str, npt.NDArray[np.uint16]]
    overlaps: Float32Array
    in_space: bool


def seen(
    scene: Scene, maps: Sequence[str] = (), in_space: bool = True, lag: str = "measured", pooled: int = 1
) -> Seen:
    """A scene as a Warper sees it that is told the `measured` or the `nominal` lags; of its maps `raw` and
    `fused` those named are kept, `pooled` cells across as one."""
    told_s = scene.lag_s if lag == "measured" else scene.nominal_s
    patches, scalars = inputs(scene.fused, scene.raw, told_s, scene.velocity)
    kept = {name: messages.to_wire(mean_pooled(np.stack(getattr(scene, name)), pooled)) for name in maps}
    common = np.zeros(0, dtype=np.float32)
    if "raw" in kept:
        common = overlaps(torch.from_numpy(messages.from_wire(kept["raw"]))).numpy()
    return Seen(replace(scene, raw=(), fused=()), patches, scalars, kept, common, in_space)


def collate(scenes: Sequence[Seen], maps: Sequence[str] = ()) -> Batch:
    """The stale views (N, ...) of some scenes, with those maps that are named, all of which were kept. Every
    scene has the same share of the loss."""
    weights = []
    for one in scenes:
        known = one.scene.inside & np.isfinite(one.scene.cells).all(-1)
        weights.append(known / (max(known.sum(), 1) * len(scenes)))
    raw, fused = (
        _joined([messages.from_wire(one.maps[name]) for one in scenes if name in maps])
        for name in ("raw", "fused")
    )
    return Batch(
        patches=_joined([one.patches for one in scenes]),
        scalars=_joined([one.scalars for one in scenes]),
        lag=_joined([one.scene.lag_s for one in scenes]),
        velocity=_joined([one.scene.velocity for one in scenes]),
        difference=fused - raw if len(fused) else fused,
        raw=raw,
        overlaps=_joined([one.overlaps for one in scenes]),
        cells=_joined([one.scene.cells for one in scenes]),
        truth=_joined([one.scene.truth for one in scenes]),
        weight=_joined(weights),
        size=scenes[0].scene.size,
        scenes=tuple(one.scene for one in scenes),
        in_space=tuple(one.in_space for one in scenes),
    )


def _joined(parts: Sequence[npt.NDArray[Any]]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts).astype(np.float32)) if parts else torch.empty(0)


def motion(network: Network, batch: Batch) -> tuple[Tensor, Tensor]:
    """How the network moves the batch's joints (N, J, 2), cells, and the part (N, J) of the height that it
    keeps."""
    if isinstance(network, FastWarper):
        return network.motion_of(batch.patches, batch.scalars, batch.size, batch.size)
    warped = network(batch.difference, batch.raw)
    height = batch.raw.flatten(2).amax(-1).clamp(min=1e-6)
    keep = warped.flatten(2).amax(-1) / height
    pooled = batch.size // warped.shape[-1]
    places = pooled * (decode(warped).places + 0.5) - 0.5
    return places - batch.cells, keep.clamp(min=1e-3)


def loss_2d(network: Network, batch: Batch, kind: str, move: Tensor, keep: Tensor) -> Tensor:
    """Loss () in the maps: of positions that moved by `move` (N, J, 2), or `heatmap`, the squared difference
    of the maps, of which the part `keep` (N, J) is left, from Gaussians at the truth, as high as the peaks
    were, summed over a map."""
    if kind != "heatmap":
        known = (batch.weight > 0)[..., None]
        error = torch.where(known, batch.cells + move - batch.truth, 0.0)  # no NaN, nor a gradient of it
        return torch.sum(position_loss(kind, error) * batch.weight)
    height = batch.raw.flatten(2).amax(-1)
    if isinstance(network, FastWarper):
        return torch.sum(
            moved_map_loss(batch.raw, batch.overlaps, move, keep, batch.truth, height) * batch.weight
        )
    truth = render_gaussians(batch.truth, batch.size, SIGMA_CELLS, height)
    warped = network(batch.difference, batch.raw)
    return torch.sum(((warped - truth) ** 2).sum((-2, -1)) * batch.weight)


def points(scene: Scene, move: Tensor, keep: Tensor) -> Tensor:
    """Points (T, J, 3) m from a scene's views, the stale ones' joints moved by `move` (N, J, 2) cells and
    as much less certain as their peaks, `keep` (N, J), are lower. NaN where there are none."""
    pixels, covariance, confidence, cell_px, target, view = (
        torch.from_numpy(one).to(move.device)
        for one in (scene.pixels, scene.covariance, scene.confidence, scene.cell_px, *scene.at.T)
    )
    at = target, view
    pixels = pixels.index_put(at, pixels[at] + move.double() * cell_px[:, None, None])
    covariance = covariance.nan_to_num(1.0)  # of what has no confidence: else its gradient would be NaN
    covariance = covariance.index_put(at, covariance[at] / keep.double()[..., None, None])
    rays = [one.transpose(1, 2) for one in (pixels, covariance, confidence)]
    return triangulate(stack_rig(scene.rig, move.device), *rays).points


def loss_3d(batch: Batch, move: Tensor, keep: Tensor) -> Tensor:
    """Robust loss () of the points found with moved joints (N, J, 2), every scene's mean with its share, of
    those that count; an error of CELL_M counts as one cell. Joints that cannot be found are left out."""
    total, stop = move.new_zeros(()), 0
    for scene, counts in zip(batch.scenes, batch.in_space, strict=True):
        start, stop = stop, stop + len(scene.at)
        if not counts:
            continue
        found = points(scene, move[start:stop], keep[start:stop])
        error = (found - torch.from_numpy(scene.points).to(move.device)) / CELL_M
        known = error.isfinite().all(-1)
        loss = position_loss("barron", torch.where(known[..., None], error, 0.0))
        total = total + (loss * known).sum().to(move.dtype) / known.sum().clamp(min=1)
    return total / len(batch.scenes)


@torch.no_grad()
def cost(network: Network, cells: int) -> dict[str, int]:
    """The network's parameters, and what it multiplies for one view's maps (J, cells, cells), sampling left
    out."""
    maps = torch.zeros(1, network.joints, cells, cells)
    with FlopCounterMode(display=False) as counter:
        if isinstance(network, FastWarper):
            network(maps, maps, torch.zeros(1), torch.zeros(1, network.joints, 2))
        else:
            network(maps, maps)
    parameters = sum(p.numel() for p in network.parameters())
    return {"parameters": parameters, "macs_per_view": counter.get_total_flops() // 2}


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on a device."""
    moved: dict[str, Any] = {
        name: value.to(device) for name, value in vars(batch).items() if isinstance(value, Tensor)
    }
    return replace(batch, **moved)
