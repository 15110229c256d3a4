"""Temporal fusion: the stale views' maps are moved to the target time by a trained Warper.

Without weights the stage passes its input through and says so. On this path torch is never imported: the
fast Warper runs in numpy, the paper's in ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from dw_core.errors import ConfigError
from dw_core.fusion.weights import WarperWeights, load_weights
from dw_core.geometry.camera import Array
from dw_core.skeleton import COCO17, JointSet
from dw_core.types import NS, DenseSet, DenseView, Float32Array, Skeleton2D, Stage

# Two looks of one view at a joint tell how it moves when they are no further apart than this.
MAX_GAP_NS = NS // 2


class Warper(Protocol):
    """Fused and raw maps (J, h, w) of N views, lag (N,) in s, velocity (N, J, 2) in cells/s (0 where unknown)
    to warped maps (J, h, w) of the N views."""

    def __call__(
        self, fused: list[Float32Array], raw: list[Float32Array], lag_s: Array, velocity: Array
    ) -> list[Float32Array]: ...


@dataclass(frozen=True, eq=False)
class TemporalState:
    """What the stage remembers: of every view, the joints of its newest maps, at most two, in order."""

    seen: Mapping[str, tuple[Skeleton2D, ...]] = field(default_factory=dict)


class TemporalFusion:
    """Temporal stage of dense sets. Raises AssetError for weights that cannot be used, ConfigError when
    they are for other joints than `joints`."""

    def __init__(self, weights: Path | None = None, joints: JointSet = COCO17) -> None:
        self._warper: Warper | None = None
        self._joints = joints
        self.state = TemporalState()
        self.description = "no Warper weights: heatmaps pass through the temporal stage unchanged"
        if weights is not None:
            loaded = load_weights(weights)
            if loaded.joints != joints.joints:
                raise ConfigError(
                    f"the Warper's weights {weights} are for joints {', '.join(loaded.joints)}, "
                    f"expected those of {joints.name}: {', '.join(joints.joints)}"
                )
            self._warper = open_warper(loaded)
            self.description = f"the {loaded.architecture} Warper, weights {weights}"

    @property
    def passes_through(self) -> bool:
        """Whether there are no weights."""
        return self._warper is None

    def apply(self, dense: DenseSet) -> DenseSet:
        """The set at stage TEMPORAL: every view but the fresh one has its RAW map (J, h, w) warped, led by
        fused - raw, by the lag as measured, and by what the view saw before. Raises ConfigError when the
        number of joints is not the weights'."""
        if self._warper is None:
            return replace(dense, stage=Stage.TEMPORAL)
        self.state = remember(self.state, dense)
        stale, lag_s, velocity = stale_views(self.state, dense)
        if not stale:
            return replace(dense, stage=Stage.TEMPORAL)
        if stale[0].raw.shape[0] != len(self._joints):
            raise ConfigError(
                f"the Warper's weights are for {len(self._joints)} joints, "
                f"the heatmaps have {stale[0].raw.shape[0]}"
            )
        warped = self._warper([v.tensor for v in stale], [v.raw for v in stale], lag_s, velocity)
        done = {view.view: DenseView(view.seen, tensor) for view, tensor in zip(stale, warped, strict=True)}
        return replace(dense, views=tuple(done.get(v.view, v) for v in dense.views), stage=Stage.TEMPORAL)


def remember(state: TemporalState, dense: DenseSet) -> TemporalState:
    """What is remembered once a dense set has been seen too."""
    seen = dict(state.seen)
    for view in dense.views:
        known = seen.get(view.view, ())
        if not known or known[-1].stamp_ns != view.source_stamp_ns:
            before = (one for one in known if one.stamp_ns < view.source_stamp_ns)
            seen[view.view] = (*before, view.seen.joints)[-2:]
    return TemporalState(seen)


def stale_views(state: TemporalState, dense: DenseSet) -> tuple[list[DenseView], Array, Array]:
    """The N views of a set that are not fresh, and what a Warper is told of each: lag (N,) s, and velocity
    (N, J, 2) cells/s from what is remembered, this set included; 0 where unknown."""
    stale = [view for view in dense.views if view.view != dense.fresh]
    if not stale:
        return [], np.zeros(0), np.zeros((0, 0, 2))
    lag_s = np.array([dense.target_ns - view.source_stamp_ns for view in stale]) / NS
    return stale, lag_s, np.stack([_velocity(view, state.seen[view.view]) for view in stale])


def _velocity(view: DenseView, seen: tuple[Skeleton2D, ...]) -> Array:
    """How the view saw its joints move (J, 2) from its map before, cells/s; 0 where unknown."""
    *before, now = seen
    if not before or now.stamp_ns - before[0].stamp_ns > MAX_GAP_NS:
        return np.zeros(now.pixels.shape)
    cells_per_pixel = view.raw.shape[-1] / view.crop.side
    seconds = (now.stamp_ns - before[0].stamp_ns) / NS
    velocity: Array = (now.pixels - before[0].pixels) * (cells_per_pixel / seconds)
    return np.nan_to_num(velocity)


def open_warper(weights: WarperWeights) -> Warper:
    """The Warper that weights are for. Raises AssetError when they do not fit it."""
    if weights.architecture == "fast":
        from dw_core.fusion.fast_warper_cpu import FastWarperCpu

        return FastWarperCpu(weights)
    from dw_core.fusion.paper_warper_onnx import PaperWarperOnnx

    return PaperWarperOnnx(weights)
