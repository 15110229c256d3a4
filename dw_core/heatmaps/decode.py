"""From heatmaps to joints in pixels, with covariance and confidence.

The position is the centroid of the squared map within a disk around its maximum: the square keeps
the disk's rim from pulling. The covariance is what the shape of the peak says about the place, plus
a floor, over the height of the peak; mass elsewhere in the map (a second person, the other wrist)
widens it towards there. Confidence is the probability that the peak is the joint at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array
from dw_core.geometry.crop import Crop, apply_affine

Float32Array = npt.NDArray[np.float32]

# Maxima below this are no joint (the paper's threshold).
MIN_HEIGHT = 0.01
# The paper's disk: 15 cells across on maps of 96.
DISK_RADIUS_FRACTION = 7.5 / 96
# A network places a joint better than its peak is wide: MoveNet's error on rendered people has
# a core of 0.5 cells where its peaks have a standard deviation of 1.3.
SHAPE_FRACTION = 0.4
FLOOR_CELLS = 0.3
# A network's response is log-normal, and higher at the joint than elsewhere: the odds that a peak is the
# joint go with a power of its height, against a second peak's or, where the joint is not to be seen at
# all, against a level. MoveNet on the demo's footage, joints of the body: of peaks 0.25, 0.35, 0.45, 0.55
# high 64, 77, 89, 96 % lie within 5 % of the crop's side from where the other views say, 99.5 % from 0.7 on.
CONTRAST, LEVEL = 4, 0.25


@dataclass(frozen=True, eq=False)
class Joints2D:
    """pixels (J, 2) of the full image, covariance (J, 2, 2) px^2, confidence (J,): the probability in [0, 1]
    that the joint is there, spread as the covariance says."""

    pixels: Array
    covariance: Array
    confidence: Array


def decode(tensor: Float32Array, crop: Crop) -> Joints2D:
    """Joints of heatmaps (J, n, n) in [0, 1] over a crop.

    A joint whose maximum is under 0.01 or not finite has zero confidence and NaN elsewhere.
    Raises ConfigError when the maps are not square.
    """
    if tensor.ndim != 3 or tensor.shape[1] != tensor.shape[2]:
        raise ConfigError(f"heatmaps have shape {tensor.shape}, expected (joints, n, n)")
    J, n, _ = tensor.shape
    r = int(np.ceil(n * DISK_RADIUS_FRACTION))
    joint = np.arange(J)
    flat = tensor.reshape(J, -1)
    peak = flat.argmax(1)
    height = flat[joint, peak].astype(np.float64)
    padded = np.zeros((J, n + 2 * r, n + 2 * r), dtype=np.float32)
    padded[:, r:-r, r:-r] = tensor
    y, x = np.divmod(peak, n)
    step = np.arange(-r, r + 1)
    disk = (step[:, None] ** 2 + step**2 <= (n * DISK_RADIUS_FRACTION) ** 2).astype(np.float32)
    window = (joint[:, None, None], y[:, None, None] + step[:, None] + r, x[:, None, None] + step + r)
    near = padded[window]
    centroid, shape = _moments(np.maximum(near, 0) * disk, step.astype(np.float64))
    padded[window] = near * (1 - disk)
    rest = padded.reshape(J, -1)
    second = rest.argmax(1)
    height2 = rest[joint, second].astype(np.float64)
    other = np.stack((second % (n + 2 * r), second // (n + 2 * r)), -1) - r
    cells = np.stack((x, y), -1) + centroid
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # the lower of two peaks is the joint as often as not when they are alike, and hardly ever below a
        # third of the height (the tracker's heavy tails are for those)
        odds2 = np.where(height2 > MIN_HEIGHT, height2 / height, 0.0) ** CONTRAST
        confidence = 1 / (1 + odds2 + (LEVEL / height) ** CONTRAST)
    chance = odds2 / (1 + odds2)
    away = other - cells
    # the higher a peak, the nearer it is to the joint: measured on footage too
    certainty = np.clip(height, MIN_HEIGHT, 1.0)[:, None, None]
    covariance = (SHAPE_FRACTION**2 * shape + FLOOR_CELLS**2 * np.eye(2)) / certainty
    covariance += chance[:, None, None] * away[:, :, None] * away[:, None, :]
    affine = crop.to_pixels(n)
    pixels = apply_affine(affine, cells)
    covariance *= affine[0, 0] ** 2
    unseen = ~(height >= MIN_HEIGHT) | ~np.isfinite(pixels).all(1)
    pixels[unseen], covariance[unseen] = np.nan, np.nan
    return Joints2D(pixels, covariance, np.where(unseen, 0.0, confidence))


def _moments(near: Float32Array, step: Array) -> tuple[Array, Array]:
    """Centroid (J, 2) of the squared windows (J, k, k), and second moments (J, 2, 2) of the windows
    themselves about it, in cells."""
    squared = np.square(near, dtype=np.float64)
    total = np.maximum(squared.sum((1, 2)), 1e-12)
    mean = np.stack((squared.sum(1) @ step, squared.sum(2) @ step), -1) / total[:, None]
    mass = np.maximum(near.sum((1, 2), dtype=np.float64), 1e-12)
    columns, rows = near.sum(1, dtype=np.float64), near.sum(2, dtype=np.float64)
    dx, dy = step - mean[:, :1], step - mean[:, 1:]
    xx, yy = (columns * dx * dx).sum(1), (rows * dy * dy).sum(1)
    xy = np.einsum("jyx,jy,jx->j", near, dy, dx, optimize=False)
    return mean, np.stack((np.stack((xx, xy), -1), np.stack((xy, yy), -1)), -2) / mass[:, None, None]
