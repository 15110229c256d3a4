"""Temporal fusion: the stale views' maps are moved to the target time by a trained Warper.

Without weights the stage passes its input through and says so; torch is imported only with weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from dw_core.errors import ConfigError
from dw_core.types import DenseSet, Float32Array, Stage

# Maps (N, J, h, w) of what fusion changed, and raw maps, to warped maps.
WarpFunction = Callable[[Float32Array, Float32Array], Float32Array]


class TemporalFusion:
    """Temporal stage of dense sets. Raises AssetError for weights that cannot be used."""

    def __init__(self, weights: Path | None = None) -> None:
        self._warp: WarpFunction | None = None
        self._joints = 0
        self.description = "no Warper weights: heatmaps pass through the temporal stage unchanged"
        if weights is not None:
            self._warp, self._joints = _paper_warp(weights)
            self.description = f"the paper's Warper, weights {weights}"

    @property
    def passes_through(self) -> bool:
        """Whether there are no weights."""
        return self._warp is None

    def apply(self, dense: DenseSet) -> DenseSet:
        """The set at stage TEMPORAL: every view but the fresh one has its RAW map (J, h, w) warped, led by
        fused - raw. Raises ConfigError when the weights are for another number of joints."""
        stale = [view for view in dense.views if view.view != dense.fresh]
        if self._warp is None or not stale:
            return replace(dense, stage=Stage.TEMPORAL)
        if stale[0].raw.shape[0] != self._joints:
            raise ConfigError(
                f"the Warper's weights are for {self._joints} joints, "
                f"the heatmaps have {stale[0].raw.shape[0]}"
            )
        raw = np.stack([view.raw for view in stale])
        warped = self._warp(np.stack([view.tensor for view in stale]) - raw, raw)
        done = {view.view: replace(view, tensor=tensor) for view, tensor in zip(stale, warped, strict=True)}
        return replace(dense, views=tuple(done.get(v.view, v) for v in dense.views), stage=Stage.TEMPORAL)


def _paper_warp(weights: Path) -> tuple[WarpFunction, int]:
    import torch

    from dw_core.fusion.paper_warper import load_warper

    warper = load_warper(weights)

    def warp(difference: Float32Array, raw: Float32Array) -> Float32Array:
        with torch.inference_mode():
            out: Float32Array = warper(torch.from_numpy(difference), torch.from_numpy(raw)).numpy()
        return out

    return warp, warper.joints
