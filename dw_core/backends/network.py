"""What a 2D heatmap network is to the rest of the system, and how a camera image gets into one."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from dw_core.geometry.crop import Crop
from dw_core.skeleton import JointSet
from dw_core.types import Float32Array, ImageFrame, UInt8Array


class HeatmapNetwork(Protocol):
    """A network that turns a square of an image into one heatmap per joint.

    `cells` h = w is the side of the heatmaps, `description` says in words what runs, `provider` on what.
    """

    cells: int
    joint_set: JointSet
    description: str
    provider: str

    def infer(self, frame: ImageFrame, crop: Crop) -> Float32Array:
        """Heatmaps (J, h, w) in [0, 1] over the crop, their peaks at the joints without bias."""
        ...


def sample_crop(frame: ImageFrame, crop: Crop, size: int, shift_px: float = 0.0) -> UInt8Array:
    """The crop of an image as (size, size, 3) RGB; black where it leaves the image.

    A crop is in pixels of the full sensor, whatever the binning of the image. `shift_px` moves the
    content right and down by so many pixels of the result.
    """
    matrix = crop.to_cells(size)
    # pixel u of the image lies at sensor pixel (u + 1/2) * binning - 1/2
    matrix[:, 2] += matrix[:, :2].sum(1) * (frame.binning - 1) / 2 + shift_px
    matrix[:, :2] *= frame.binning
    sampled = cv2.warpAffine(frame.pixels, matrix, (size, size), flags=cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(sampled, cv2.COLOR_BGR2RGB), dtype=np.uint8)
