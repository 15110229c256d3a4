"""How far the joints of warped maps are from the truth at the target time, beside what needs no training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dw_core.geometry.camera import Array
from dw_core.geometry.crop import Crop
from dw_core.heatmaps.decode import decode
from dw_core.training.scenes import Scene, Source, make_scene
from dw_core.training.warper import Batch, Network, collate, motion, on_device, points, seen

LAG_BINS_MS = ((0, 20), (20, 50), (50, 100), (100, 200), (200, 1000))
# `copy`: the stale map as it is; `velocity`: its joints moved on as the view saw them move; `fused`: after
# spatial fusion; `warper`: what is trained.
METHODS = ("copy", "velocity", "fused", "warper")
SCENES_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class Validation:
    """Scenes of other subjects in batches; of their N stale views the joints of the fused maps (N, J, 2) in
    cells, and whether the views fire regularly (N,)."""

    batches: tuple[Batch, ...]
    fused: Array
    regular: Array


def make_validation(
    source: Source,
    seeds: Sequence[tuple[int, ...]],
    maps: Sequence[str] = (),
    lag: str = "measured",
    pooled: int = 1,
) -> Validation:
    """The scenes of some seeds, with those maps (N, J, n, n) that are named, and `lag` and `pooled` as of
    warper.seen."""
    batches, fused, regular = [], [], []
    for start in range(0, len(seeds), SCENES_AT_ONCE):
        scenes = [
            make_scene(source, np.random.default_rng(seed)) for seed in seeds[start : start + SCENES_AT_ONCE]
        ]
        batches.append(collate([seen(scene, maps, lag=lag, pooled=pooled) for scene in scenes], maps))
        fused += [_fused_cells(scene) for scene in scenes]
        regular += [np.full(len(scene.at), scene.regular) for scene in scenes]
    return Validation(tuple(batches), np.concatenate(fused), np.concatenate(regular))


def _fused_cells(scene: Scene) -> Array:
    whole = Crop(-0.5, -0.5, float(scene.size))  # pixels that are cells
    return np.stack([decode(maps, whole).pixels for maps in scene.fused])


@torch.no_grad()
def errors(
    validation: Validation, network: Network, device: torch.device
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Distances from the truth, by method: in the map (N, J), cells, and in space (P, J), m, of all targets'
    points. NaN where a joint is outside or not seen."""
    flat: dict[str, list[Array]] = {name: [] for name in METHODS}
    space: dict[str, list[Array]] = {name: [] for name in METHODS if name != "fused"}
    start = 0
    for batch in validation.batches:
        N = len(batch.cells)
        still = torch.zeros_like(batch.cells), torch.ones_like(batch.weight)
        steady = batch.velocity * batch.lag[:, None, None], still[1]
        moves = {"copy": still, "velocity": steady, "warper": _moved(network, batch, device)}
        for name, (move, keep) in moves.items():
            flat[name].append(_distance(batch, batch.cells + move))
            first = 0
            for scene in batch.scenes:
                part = slice(first, first + len(scene.at))
                found = points(scene, move[part], keep[part]).numpy()
                space[name].append(np.linalg.norm(found - scene.points, axis=-1))
                first = part.stop
        fused = torch.from_numpy(validation.fused[start : start + N])
        flat["fused"].append(_distance(batch, fused))
        start += N
    join = {name: np.concatenate(flat[name]) for name in METHODS}
    return join, {name: np.concatenate(parts) for name, parts in space.items()}


def _moved(network: Network, batch: Batch, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    move, keep = motion(network, on_device(batch, device))
    return move.float().cpu(), keep.float().cpu()


def _distance(batch: Batch, cells: torch.Tensor) -> Array:
    distance = (cells - batch.truth).norm(dim=-1).masked_fill(batch.weight == 0, torch.nan)
    out: Array = distance.numpy().astype(np.float64)
    return out


def judge(validation: Validation, network: Network, device: torch.device) -> dict[str, Any]:
    """Mean errors of all methods, in cells, pixels and mm, and by lag and regularity of the views: ready for
    JSON."""
    flat, space = errors(validation, network, device)
    cell_px = np.concatenate([scene.cell_px for batch in validation.batches for scene in batch.scenes])
    lag_ms = 1e3 * torch.cat([batch.lag for batch in validation.batches]).numpy()
    bins = []
    for low, high in LAG_BINS_MS:
        for regular in (True, False):
            part = (lag_ms >= low) & (lag_ms < high) & (validation.regular == regular)
            bins.append(
                {"lag_ms": [low, high], "regular": regular, "views": int(part.sum())}
                | {"cells": {name: _mean(flat[name][part]) for name in METHODS}}
            )
    common = np.isfinite(np.stack(list(space.values()))).all(0)
    return {
        "views": len(lag_ms),
        "cells": {name: _mean(flat[name]) for name in METHODS},
        "pixels": {name: _mean(flat[name] * cell_px[:, None]) for name in METHODS},
        "median_cells": {name: _median(flat[name]) for name in METHODS},
        "points_mm": {name: _mean(1e3 * values[common]) for name, values in space.items()},
        "median_points_mm": {name: _median(1e3 * values[common]) for name, values in space.items()},
        "bins": bins,
    }


def _mean(values: Array) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def _median(values: Array) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else None


def text(result: dict[str, Any]) -> str:
    """What `judge` found, for a terminal."""
    lines = [f"{'error in the map, cells':32}{'views':>8}" + "".join(f"{name:>10}" for name in METHODS)]
    for entry in result["bins"]:
        low, high = entry["lag_ms"]
        name = f"  {low:g} to {high:g} ms, {'regular' if entry['regular'] else 'irregular'}"
        lines.append(f"{name:32}{entry['views']:8}" + "".join(_number(entry["cells"][m]) for m in METHODS))
    for label, key in (("all", "cells"), ("all, median", "median_cells")):
        numbers = "".join(_number(result[key][m]) for m in METHODS)
        lines.append(f"  {label:30}{result['views']:8}{numbers}")
    for label, key in (("error in space, mm", "points_mm"), ("  median", "median_points_mm")):
        numbers = "".join(_number(result[key].get(m), 1) for m in METHODS)
        lines.append(f"{label:40}{numbers}")
    return "\n".join(lines)


def _number(value: float | None, digits: int = 2) -> str:
    return f"{'-':>10}" if value is None else f"{value:10.{digits}f}"
