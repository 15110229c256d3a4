"""Drawing into images: skeletons, 2D joints, heatmaps, epipolar lines. BGR pictures, as everywhere in OpenCV.

A picture may be smaller than the image that it shows: `scale` is its size over the full image's. Pixels are
always those of the full image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dw_core.geometry.camera import Camera, project
from dw_core.geometry.crop import Crop
from dw_core.geometry.epipolar import epipolar_curve
from dw_core.skeleton import JointSet
from dw_core.types import FloatArray, Heatmaps, Skeleton2D, UInt8Array

COLOURS = {"left": (240, 130, 30), "right": (30, 120, 245), "centre": (230, 230, 230)}
LINE_COLOUR = (60, 220, 60)
# Maps begin to be seen at the first of these heights; from the second on they hide the image as OPACITY says.
FAINT_HEIGHT, FULL_HEIGHT = 0.05, 0.5
OPACITY = 0.8
# Pictures of people are made at one of these fractions of an image's size.
BINNINGS = (8, 4, 2, 1)
# Along an epipolar half-line: a third of a degree apart.
CURVE_SAMPLES = 540
# Cells of a crop of one pixel at the origin are pixels.
_PIXELS = Crop(-0.5, -0.5, 1.0)


@dataclass(frozen=True, eq=False)
class Overlay:
    """What to draw over one view's image: its heatmaps, its 2D joints, skeletons in space, each (J, 3) in
    metres, and curves, each (N, 2) in px of the full image."""

    heatmaps: Heatmaps | None = None
    seen: Skeleton2D | None = None
    skeletons: Sequence[FloatArray] = ()
    curves: Sequence[FloatArray] = ()


def draw_overlay(picture: UInt8Array, camera: Camera, joints: JointSet, what: Overlay, scale: float) -> None:
    """Draw all of it into a camera's picture (rows, cols, 3), in place."""
    if what.heatmaps is not None:
        blend(picture, heatmap_layer(what.heatmaps, joints, picture.shape, scale))
    for curve in what.curves:
        draw_curve(picture, curve, scale)
    for positions in what.skeletons:
        draw_skeleton(picture, project(camera, positions), joints, scale)
    if what.seen is not None:
        draw_joints(picture, what.seen, joints, scale)


def binning(camera: Camera, pixels: int) -> int:
    """The largest binning, of those that JPEG decoders know, that leaves a camera's image at least so many
    pixels high or wide."""
    size = max(camera.width, camera.height)
    return next(step for step in BINNINGS if size / step >= pixels or step == 1)


def draw_skeleton(picture: UInt8Array, pixels: FloatArray, joints: JointSet, scale: float) -> None:
    """Draw joints (J, 2), in px of the full image, into a picture that is `scale` times as large."""
    points = pixels * scale
    known = np.asarray(np.isfinite(points).all(-1))
    for (a, b), edge in zip(joints.edges, joints.bones, strict=True):
        if known[a] and known[b]:
            colour = COLOURS[joints.side(edge[1])]
            cv2.line(picture, _integer(points[a]), _integer(points[b]), colour, 2, cv2.LINE_AA)
    for joint in np.flatnonzero(known):
        cv2.circle(
            picture, _integer(points[joint]), 3, COLOURS[joints.side(joints.joints[joint])], -1, cv2.LINE_AA
        )


def draw_joints(picture: UInt8Array, seen: Skeleton2D, joints: JointSet, scale: float) -> None:
    """Draw one view's 2D joints into a picture (rows, cols, 3) as rings, fainter the less likely a joint is
    to be there."""
    for joint in np.flatnonzero(np.isfinite(seen.pixels).all(-1)):
        colour = np.array(COLOURS[joints.side(joints.joints[joint])]) * (0.3 + 0.7 * seen.confidence[joint])
        centre = _integer(seen.pixels[joint] * scale)
        cv2.circle(picture, centre, 5, tuple(colour.tolist()), 1, cv2.LINE_AA)


def draw_curve(picture: UInt8Array, pixels: FloatArray, scale: float) -> None:
    """Draw a curve (N, 2), in px of the full image; it is interrupted where a point is NaN."""
    size = max(picture.shape[:2])
    points = pixels * scale
    # far outside of the picture OpenCV's integers would overflow
    inside = np.isfinite(points).all(-1) & (np.abs(np.nan_to_num(points)) < 4 * size).all(-1)
    for start in np.flatnonzero(inside[:-1] & inside[1:]):
        here, after = _integer(points[start]), _integer(points[start + 1])
        cv2.line(picture, here, after, LINE_COLOUR, 1, cv2.LINE_AA)


def epipolar_line(observer: Camera, pixel: FloatArray, shown: Camera) -> FloatArray:
    """Where a pixel (2,) of `observer` may lie in the image of `shown`: a curve (N, 2) in px of the full
    image, as the lens bends it; NaN where it is not in front of the camera. Raises CalibrationError for
    cameras that stand at the same place."""
    curve: FloatArray = epipolar_curve(shown, observer, pixel, _PIXELS, 1, CURVE_SAMPLES)
    return curve


def heatmap_layer(
    heatmaps: Heatmaps, joints: JointSet, shape: Sequence[int], scale: float
) -> npt.NDArray[np.uint8]:
    """Heatmaps in the colours of the body's sides, to lay over a picture of `shape` (rows, cols): BGRA
    (rows, cols, 4), alpha the higher the map."""
    n = heatmaps.tensor.shape[-1]
    sides = np.array([joints.side(joint) for joint in joints.joints])
    heights = np.stack([heatmaps.tensor[sides == side].max(0) for side in COLOURS]).clip(0, 1)
    total = np.maximum(heights.sum(0), 1e-6)
    colours = np.einsum("shw,sc->hwc", heights / total, np.array(list(COLOURS.values()), dtype=np.float64))
    visible = (heights.max(0) - FAINT_HEIGHT) / (FULL_HEIGHT - FAINT_HEIGHT)
    alpha = 255 * OPACITY * visible.clip(0, 1)
    cells = np.dstack((colours, alpha)).astype(np.uint8)
    to_picture = heatmaps.crop.to_pixels(n) * scale
    to_picture[:, 2] += 0.5 * scale - 0.5  # pixel centres of the picture are not those of the image
    layer = np.asarray(cv2.warpAffine(cells, to_picture, (int(shape[1]), int(shape[0]))), dtype=np.uint8)
    layer[layer[..., 3] == 0] = 0  # what is not seen need not be stored
    return layer


def blend(picture: UInt8Array, layer: npt.NDArray[np.uint8]) -> None:
    """Lay a layer, BGRA (rows, cols, 4), over a picture (rows, cols, 3), in place."""
    touched = layer[..., 3] > 0
    alpha = layer[touched, 3:].astype(np.float32) / 255
    picture[touched] = picture[touched] * (1 - alpha) + layer[touched, :3] * alpha


def _integer(point: FloatArray) -> tuple[int, int]:
    return int(round(float(point[0]))), int(round(float(point[1])))
