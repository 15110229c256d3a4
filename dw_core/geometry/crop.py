"""Crops: the affine between full image pixels and heatmap cells.

A crop is a square of the image that is resized to the network's input. Pixel and cell
coordinates have their origin at the CENTRE of the first pixel or cell, hence the halves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array

MIN_SIDE_PX = 16.0


@dataclass(frozen=True)
class Crop:
    """An axis-parallel square of the full-resolution image: left, top and side in pixels.

    `left`, `top` are the OUTER edge of the square: a crop of the whole of a 100x100 image
    has left = top = -0.5 and side = 100.
    """

    left: float
    top: float
    side: float

    def __post_init__(self) -> None:
        if not (np.isfinite([self.left, self.top, self.side]).all() and self.side > 0):
            raise ConfigError(f"crop {self} is not a square with a positive side")

    def to_cells(self, cells: int) -> Array:
        """Affine (2, 3) from image pixels to a grid of cells x cells over the crop."""
        scale = cells / self.side
        return np.array([[scale, 0.0, -self.left * scale - 0.5], [0.0, scale, -self.top * scale - 0.5]])

    def to_pixels(self, cells: int) -> Array:
        """Affine (2, 3) from the grid of cells back to image pixels."""
        scale = self.side / cells
        return np.array([[scale, 0.0, self.left + 0.5 * scale], [0.0, scale, self.top + 0.5 * scale]])


def apply_affine(affine: Array, points: Array) -> Array:
    """Affine (2, 3) applied to points (..., 2)."""
    moved: Array = np.asarray(points, dtype=np.float64) @ affine[:, :2].T + affine[:, 2]
    return moved


def full_frame_crop(width: int, height: int) -> Crop:
    """The smallest centred square that holds the whole image."""
    side = float(max(width, height))
    return Crop((width - side) / 2 - 0.5, (height - side) / 2 - 0.5, side)


def crop_around(points: Array, margin: float) -> Crop | None:
    """Square around points (N, 2) in pixels, its side `margin` times the larger extent.

    Points that are NaN are left out; None when fewer than two are left.
    """
    points = points[np.isfinite(points).all(-1)]
    if len(points) < 2:
        return None
    low, high = points.min(0), points.max(0)
    side = max(float((high - low).max()) * margin, MIN_SIDE_PX)
    left, top = (low + high) / 2 - side / 2
    return Crop(float(left), float(top), side)


def still_fits(crop: Crop, points: Array, margin: float) -> bool:
    """Whether a crop that was made for other points (N, 2) still serves these.

    It does while they keep half of their margin to its edges and would not have a crop smaller by more
    than the margin. A person who hardly moves so keeps the very same crop, and with it all geometry
    that is computed from it.
    """
    tight, wanted = crop_around(points, (1 + margin) / 2), crop_around(points, margin)
    if tight is None or wanted is None:
        return False
    inside = (
        crop.left <= tight.left
        and crop.top <= tight.top
        and tight.left + tight.side <= crop.left + crop.side
        and tight.top + tight.side <= crop.top + crop.side
    )
    return inside and crop.side <= wanted.side * margin
