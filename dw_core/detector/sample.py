"""Peaks at places that are known: a real network's, and the simulated one's at the same places.

Everything is in parts of the crop's side, from its corner. V views of all scenes, T times, J joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dw_core.benchmarks.detections import Detections
from dw_core.detector.model import DetectorModel
from dw_core.detector.simulate import CELLS, BoolArray, Peaks, simulate
from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array
from dw_core.skeleton import COCO17, JointSet
from dw_core.synthetic.truth import Truth


@dataclass(frozen=True, eq=False)
class Sample:
    """places (V, T, J, 2) of joints, what was `found` there (places and widths in parts of the side),
    occluded and inside (V, T, J), the time of a step in seconds."""

    joints: JointSet
    places: Array
    found: Peaks
    occluded: BoolArray
    inside: BoolArray
    step_s: float

    @property
    def error(self) -> Array:
        """Errors (V, T, J, 2) in parts of the side."""
        difference: Array = self.found.cells - self.places
        return difference


def real(scenes: Sequence[tuple[Detections, Truth]]) -> Sample:
    """What a network saw of the first person of rendered scenes, as long as the shortest of them. Raises
    ConfigError when there is none, or their rates differ."""
    rates = {truth.rate_hz for _, truth in scenes}
    if not scenes or max(rates) - min(rates) > 1e-3:
        given = ", ".join(f"{rate:g} Hz" for rate in sorted(rates)) or "no rate"
        raise ConfigError(f"the scenes are of {given}, expected of one rate")
    T = min(truth.pixels.shape[1] for _, truth in scenes)
    parts = [_views(found, truth, T) for found, truth in scenes]
    places, cells, height, width, second, second_height, occluded, inside = map(
        np.concatenate, zip(*parts, strict=True)
    )
    peaks = Peaks(cells, height, width, second, second_height)
    return Sample(COCO17, places, peaks, occluded.astype(bool), inside.astype(bool), 1 / max(rates))


def _views(found: Detections, truth: Truth, T: int) -> tuple[npt.NDArray[Any], ...]:
    """Of one scene's views: places, the peaks' fields, occluded, inside."""
    corner, side = found.corner[:, :, None], found.side[:, :, None, None]
    occluded = (truth.hidden | truth.self_hidden)[:, :, 0]
    fields: tuple[npt.NDArray[Any], ...] = (
        (truth.pixels[:, :, 0] - corner) / side,
        (found.pixels - corner) / side,
        found.top,
        found.width,
        found.second,
        found.second_height,
        occluded,
        truth.inside[:, :, 0],
    )
    return tuple(field[:, :T] for field in fields)


def simulated(model: DetectorModel, like: Sample, rng: np.random.Generator, times: int = 1) -> Sample:
    """What the model says of the places of a sample, so many times over."""
    places, occluded, inside = (
        np.concatenate([field] * times) for field in (like.places, like.occluded, like.inside)
    )
    seconds = like.step_s * np.arange(places.shape[1], dtype=np.float64)
    cells = CELLS * places - 0.5
    peaks = simulate(model, like.joints, cells, seconds, occluded, inside, rng)
    found = Peaks(
        (peaks.cells + 0.5) / CELLS, peaks.height, peaks.sigma / CELLS, (peaks.second + 0.5) / CELLS,
        peaks.second_height,
    )  # fmt: skip
    return Sample(like.joints, places, found, occluded, inside, like.step_s)
