"""The values that travel through the pipeline, from a camera's image to a skeleton.

All stamps are integer nanoseconds of one clock and mean the MIDDLE of the exposure. A view and a
stamp together identify an observation; there are no sequence numbers beside them.
Shapes: M views, J joints, h w heatmap cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dw_core.geometry.crop import Crop
from dw_core.heatmaps.decode import decode

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
UInt8Array = npt.NDArray[np.uint8]

NS = 1_000_000_000


@dataclass(frozen=True)
class StageStamps:
    """When the newest observation passed each stage, ns of the node clock; 0 = not yet. `busy`: how long the
    stages so far have computed on it (ns); the rest of its age is waiting and transport."""

    received: int = 0
    inferred: int = 0
    fused: int = 0
    published: int = 0
    busy: int = 0


@dataclass(frozen=True, eq=False)
class ImageFrame:
    """One image of one view: BGR (rows, cols, 3), each pixel covering binning x binning sensor pixels."""

    view: str
    stamp_ns: int
    pixels: UInt8Array
    binning: int = 1


@dataclass(frozen=True, eq=False)
class JpegFrame:
    """One image of one view as JPEG bytes at full resolution: how frames travel between processes."""

    view: str
    stamp_ns: int
    data: bytes


@dataclass(frozen=True, eq=False)
class Skeleton2D:
    """One view's joints: pixels (J, 2) of the full image, covariance (J, 2, 2) px^2, confidence (J,).

    Confidence is the probability that the joint is there, spread as the covariance says; a joint that was
    not seen is NaN with zero confidence.
    """

    view: str
    stamp_ns: int
    pixels: FloatArray
    covariance: FloatArray
    confidence: FloatArray


@dataclass(frozen=True, eq=False)
class Heatmaps:
    """What the 2D network saw in one image: tensor (J, h, w) in [0, 1] over a crop of the image."""

    view: str
    stamp_ns: int
    crop: Crop
    tensor: Float32Array
    stamps: StageStamps = field(default_factory=StageStamps)

    @cached_property
    def joints(self) -> Skeleton2D:
        """The joints of the maps: decoded when first asked for, and then by nobody again."""
        found = decode(self.tensor, self.crop)
        return Skeleton2D(self.view, self.stamp_ns, found.pixels, found.covariance, found.confidence)


class Stage(IntEnum):
    """How far a dense set has come."""

    FILLED = 0
    SPATIAL = 1
    TEMPORAL = 2


@dataclass(frozen=True, eq=False)
class DenseView:
    """One view's part of a dense set: what it saw, and its map (J, h, w) as fused or warped so far.

    `seen`: its heatmaps at their own time; `tensor`: their estimate for the target time of the set. For
    the view that fired at the target time both are the same. `estimate` is that map, or makes it when it is
    first asked for, which may be never: the tracker takes the maps that were seen.
    """

    seen: Heatmaps
    estimate: Float32Array | Callable[[], Float32Array]

    @cached_property
    def tensor(self) -> Float32Array:
        """The map (J, h, w) as fused or warped so far."""
        return self.estimate() if callable(self.estimate) else self.estimate

    @property
    def view(self) -> str:
        return self.seen.view

    @property
    def source_stamp_ns(self) -> int:
        return self.seen.stamp_ns

    @property
    def crop(self) -> Crop:
        return self.seen.crop

    @property
    def raw(self) -> Float32Array:
        """The map (J, h, w) as seen."""
        return self.seen.tensor

    @property
    def joints(self) -> Skeleton2D:
        """The joints of `tensor`."""
        same = self.estimate is self.seen.tensor
        return self.seen.joints if same else replace(self.seen, tensor=self.tensor).joints


@dataclass(frozen=True, eq=False)
class DenseSet:
    """All views' maps for one target time; `fresh` names the view that fired then.

    Views that were never seen, or too long ago, are absent.
    """

    target_ns: int
    fresh: str
    views: tuple[DenseView, ...]
    stage: Stage
    stamps: StageStamps = field(default_factory=StageStamps)

    def computed(self) -> DenseSet:
        """The same, with all maps made that nobody had asked for yet."""
        for view in self.views:
            _ = view.tensor
        return self


class TrackingState(IntEnum):
    """What a skeleton is worth."""

    LOST = 0
    INITIALISING = 1
    TRACKED = 2


@dataclass(frozen=True, eq=False)
class Skeleton3D:
    """One person at one time, in the world frame.

    positions (J, 3) m, velocities (J, 3) m/s, covariance (J, 3, 3) m^2 of the positions,
    confidence (J,) in [0, 1]. A joint that is not known is NaN with zero confidence.
    `views` and `view_ages_ns`: which views contributed and how old each was at `stamp_ns`; negative for
    one that was exposed after it (window mode, centred dense sets).
    """

    stamp_ns: int
    identity: int
    state: TrackingState
    joint_set: str
    positions: FloatArray
    velocities: FloatArray
    covariance: FloatArray
    confidence: FloatArray
    views: tuple[str, ...]
    view_ages_ns: tuple[int, ...]
    stamps: StageStamps = field(default_factory=StageStamps)
