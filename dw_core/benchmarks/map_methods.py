"""Ways from heatmaps to poses that the motion benchmark compares: the system's own stages, one after another.

Each stage is a row: spatial fusion alone, with the Warper, and the pipeline as users run it. Poses of the
first two are plain triangulations of all views' maps. T ticks, M views, J joints.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from dw_core.benchmarks.keypoints import Scene
from dw_core.benchmarks.methods import dlt_of_seen, lookahead_ns
from dw_core.fusion.spatial import SpatialFusion
from dw_core.fusion.warper import TemporalFusion, open_warper
from dw_core.fusion.weights import load_weights
from dw_core.geometry.camera import Array
from dw_core.interleave.window import Window, WindowSettings
from dw_core.joint_refiner import JointRefiner
from dw_core.pipeline import InterleavedPipeline, Mode, Triangulation
from dw_core.skeleton import JointSet
from dw_core.types import NS, DenseSet, Float32Array, Heatmaps


class Seen(Protocol):
    """A clip as methods are given it."""

    @property
    def scene(self) -> Scene:
        """As keypoints, of all views at every tick."""

    def heatmaps(self, tick: int) -> Heatmaps:
        """What the view that fires at a tick sees."""


def exposures(seen: Seen, advance: Callable[[int], None]) -> Iterator[Heatmaps]:
    """What the views that fire see, in order; lost exposures are left out."""
    fired = np.asarray(seen.scene.fired.any(1))
    for tick in range(len(fired)):
        advance(1)
        if fired[tick]:
            yield seen.heatmaps(tick)


def nominal_lags(lag_s: Array, tick_s: float) -> Array:
    """What the lags (N,) of one set's stale views, all from before, would be if every tick brought an
    exposure: their places in the order of age, from 1, times the tick."""
    place = np.argsort(np.argsort(lag_s, kind="stable")) + 1
    return np.asarray(tick_s * place, dtype=np.float64)


def mean_pooled(maps: Float32Array, cells: int) -> Float32Array:
    """Maps (..., n, n) whose cells are the means of `cells` x `cells` of the given ones."""
    n = maps.shape[-1] // cells
    pooled: Float32Array = maps.reshape(*maps.shape[:-2], n, cells, n, cells).mean((-3, -1))
    return pooled


class PeerFusion(TemporalFusion):
    """The temporal stage of one of the Warper's peers, which is told of lags and maps what its training was:
    the nominal lags for exposures `tick_s` apart, or larger cells."""

    def __init__(self, weights: Path, joints: JointSet, tick_s: float) -> None:
        super().__init__(weights, joints)
        loaded = load_weights(weights)
        config = json.loads(loaded.about.get("config", "{}"))
        self._nominal, self._pooled = config.get("lag") == "nominal", int(config.get("pooled", 1))
        self._tick_s, self._trained, self._warper = tick_s, open_warper(loaded), self._as_trained

    def _as_trained(
        self, fused: list[Float32Array], raw: list[Float32Array], lag_s: Array, velocity: Array
    ) -> list[Float32Array]:
        told_s = nominal_lags(lag_s, self._tick_s) if self._nominal else lag_s
        fused, raw = ([mean_pooled(one, self._pooled) for one in maps] for maps in (fused, raw))
        return self._trained(fused, raw, told_s, velocity)


class Fusions:
    """Spatial fusion, and Warpers by the names of their rows, of the dense sets that one window gives.

    causal: filled with each view's newest maps; window: with those nearest in time."""

    def __init__(self, seen: Seen, mode: Mode, weights: Mapping[str, Path]) -> None:
        scene = seen.scene
        self._scene = scene
        wait_ns = lookahead_ns(scene) if mode == "window" else 0
        self._window = Window(scene.rig.names, WindowSettings(lateness_ns=0, lookahead_ns=wait_ns))
        self._spatial = SpatialFusion(scene.rig)
        self._warpers = {
            name: PeerFusion(path, scene.joints, scene.tick_ns / NS)
            if name != "warper"
            else TemporalFusion(path, scene.joints)
            for name, path in weights.items()
        }
        self._ticks = {int(stamp): tick for tick, stamp in enumerate(scene.stamps_ns)}
        self._pixels = {stage: np.full(scene.pixels.shape, np.nan) for stage in ("epipolar", *weights)}

    def push(self, heatmaps: Heatmaps) -> None:
        """Take one observation."""
        for filled in self._window.push(heatmaps):
            fused = self._spatial.apply(filled)
            self._keep("epipolar", fused)
            for name, temporal in self._warpers.items():
                self._keep(name, temporal.apply(fused))

    def _keep(self, stage: str, dense: DenseSet) -> None:
        tick = self._ticks[dense.target_ns]
        for view in dense.views:
            self._pixels[stage][tick, self._scene.rig.index(view.view)] = view.joints.pixels

    def poses(self) -> dict[str, Array]:
        """Poses (T, J, 3) of `epipolar` and of each Warper."""
        return {stage: dlt_of_seen(self._scene.rig, pixels) for stage, pixels in self._pixels.items()}


class Piped:
    """The pipeline as users run it. Poses of lost exposures do not come."""

    def __init__(
        self, seen: Seen, mode: Mode, weights: Path | None, lag_s: float, refiner: JointRefiner | None
    ) -> None:
        scene = seen.scene
        self._ticks = {int(stamp): tick for tick, stamp in enumerate(scene.stamps_ns)}
        self._poses = np.full(scene.truth.shape, np.nan)
        self._pipeline = InterleavedPipeline(
            Window(scene.rig.names),
            SpatialFusion(scene.rig),
            TemporalFusion(weights, scene.joints),
            Triangulation(scene.rig, scene.joints, mode=mode, lag_s=lag_s, refiner=refiner),
        )

    def push(self, heatmaps: Heatmaps) -> None:
        """Take one observation."""
        for skeleton in self._pipeline.skeletons(heatmaps):
            self._poses[self._ticks[skeleton.stamp_ns]] = skeleton.positions

    def poses(self) -> dict[str, Array]:
        """Poses (T, J, 3) of `pipeline`."""
        return {"pipeline": self._poses}


def from_maps(
    seen: Seen,
    wanted: set[tuple[str, Mode]],
    weights: Path | None,
    lag_ticks: int,
    advance: Callable[[int], None],
    refiner: JointRefiner | None = None,
    peers: Mapping[str, Path] | None = None,
) -> dict[tuple[str, Mode], Array]:
    """Poses (T, J, 3) of those of `epipolar`, `warper`, its `peers` and `pipeline` that are wanted in a mode.
    `weights`: of the Warper; `peers`: of other Warpers, by name. Raises AssetError, ConfigError for weights
    that cannot be used."""
    warpers = ({} if weights is None else {"warper": weights}) | dict(peers or {})
    modes: tuple[Mode, ...] = ("causal", "window")
    stages: list[tuple[Mode, Fusions | Piped]] = []
    for mode in modes:
        used = {name: path for name, path in warpers.items() if (name, mode) in wanted}
        if used or ("epipolar", mode) in wanted:
            stages.append((mode, Fusions(seen, mode, used)))
        if ("pipeline", mode) in wanted:
            lag_s = lag_ticks * seen.scene.tick_ns / NS
            stages.append((mode, Piped(seen, mode, weights, lag_s, refiner)))
    if not stages:
        return {}
    for heatmaps in exposures(seen, advance):
        for _, stage in stages:
            stage.push(heatmaps)
    found = {(name, mode): poses for mode, stage in stages for name, poses in stage.poses().items()}
    return {key: poses for key, poses in found.items() if key in wanted}
