"""Which square of the next image to look at: the person, wherever the system last believed it to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dw_core.geometry.camera import Array, Camera, project
from dw_core.geometry.crop import Crop, crop_around, full_frame_crop, still_fits
from dw_core.types import NS, Skeleton2D, Skeleton3D, TrackingState

# Half a second of walking is half a metre, most of the margin: older knowledge is no knowledge.
MAX_AGE_NS = NS // 2
MIN_JOINTS = 6
MIN_CONFIDENCE = 0.25  # of a skeleton's joint: known to 9 cm
MIN_PROBABILITY = 0.5  # of a view's joint: more likely there than not
# A crop with less than this part of its side inside the image shows nobody.
MIN_INSIDE = 0.3

CropSource = Literal["skeleton", "view", "full frame"]


@dataclass(frozen=True)
class PersonCrop:
    """Chooses crops of one view. Without memory: the two skeletons are all that it knows."""

    camera: Camera

    def next(
        self,
        stamp_ns: int,
        skeleton: Skeleton3D | None,
        last: Skeleton2D | None,
        margin: float = 1.25,
        previous: Crop | None = None,
    ) -> tuple[Crop, CropSource]:
        """Square of the image exposed at `stamp_ns`, in pixels of the full image, and what it is based on.

        "skeleton": the 3D skeleton, moved on to that time with its velocities and projected; else
        "view": the joints that this view itself saw last; both must be recent and sure of enough
        joints, and the square is `margin` times their extent. Else "full frame": the network finds
        the most prominent person there, and the squares of the following images close in on them.
        The `previous` square of the view is kept as long as it still serves.
        """
        sources: tuple[tuple[CropSource, Array | None], ...] = (
            ("skeleton", self._projected(stamp_ns, skeleton)),
            ("view", self._seen(stamp_ns, last)),
        )
        for source, pixels in sources:
            if pixels is None:
                continue
            if previous is not None and still_fits(previous, pixels, margin):
                return previous, source
            crop = crop_around(pixels, margin)
            if crop is not None and self._inside(crop):
                return crop, source
        return full_frame_crop(self.camera.width, self.camera.height), "full frame"

    def _projected(self, stamp_ns: int, skeleton: Skeleton3D | None) -> Array | None:
        """Pixels (n, 2) of the joints of a tracked skeleton at `stamp_ns`."""
        if skeleton is None or skeleton.state != TrackingState.TRACKED:
            return None
        age_ns = stamp_ns - skeleton.stamp_ns
        if abs(age_ns) > MAX_AGE_NS:
            return None
        known = skeleton.confidence >= MIN_CONFIDENCE
        velocities = np.nan_to_num(skeleton.velocities[known])
        pixels = project(self.camera, skeleton.positions[known] + velocities * (age_ns / NS))
        pixels = pixels[np.isfinite(pixels).all(-1)]
        return pixels if len(pixels) >= MIN_JOINTS else None

    def _seen(self, stamp_ns: int, last: Skeleton2D | None) -> Array | None:
        """Pixels (n, 2) of the joints that the view itself saw with confidence."""
        if last is None or abs(stamp_ns - last.stamp_ns) > MAX_AGE_NS:
            return None
        pixels = last.pixels[(last.confidence >= MIN_PROBABILITY) & np.isfinite(last.pixels).all(-1)]
        return pixels if len(pixels) >= MIN_JOINTS else None

    def _inside(self, crop: Crop) -> bool:
        """Whether enough of the crop shows the image."""
        sizes = (self.camera.width, self.camera.height)
        return all(
            min(low + crop.side, size - 0.5) - max(low, -0.5) >= MIN_INSIDE * crop.side
            for low, size in zip((crop.left, crop.top), sizes, strict=True)
        )
