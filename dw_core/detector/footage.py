"""Real footage has no truth, but its views contradict each other: by how much, and do simulated views as
well?

Every joint of a view is compared with where the other views put it. M views, T times, J joints.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dw_core.benchmarks.detections import Detections
from dw_core.detector.draw import draw
from dw_core.detector.estimate import correlations
from dw_core.detector.model import DetectorModel, kind
from dw_core.detector.simulate import CELLS, self_occlusion, simulate
from dw_core.evaluation.balance_beam_report import locate
from dw_core.geometry.camera import Array, Rig, project
from dw_core.geometry.crop import Crop
from dw_core.heatmaps.decode import decode
from dw_core.skeleton import COCO17

PERCENTILES = (50, 75, 90, 95)
STEPS = (1, 2, 4, 8)
FAR = 0.05  # of the side


def contradictions(
    rig: Rig, found: Detections, rate_hz: float, model: DetectorModel, seed: int = 0
) -> dict[str, Any]:
    """Figures of the residuals of a network's joints without those of the face, and of simulated ones of the
    same person in the same crops. Where the person is, all views together say."""
    points = _points(rig, found.pixels, found.confidence)
    pixels, confidence = _simulated(rig, points, found, rate_hz, model, np.random.default_rng(seed))
    return {
        "real": _figures(
            residuals(rig, found.pixels, found.confidence) / found.side[..., None, None], rate_hz
        ),
        "simulated": _figures(residuals(rig, pixels, confidence) / found.side[..., None, None], rate_hz),
    }


def residuals(rig: Rig, pixels: Array, confidence: Array) -> Array:
    """Of every view's joints (M, T, J, 2) the way in px from where the other views put them; NaN where they
    cannot."""
    out = np.full(pixels.shape, np.nan)
    for m, camera in enumerate(rig):
        others = np.arange(len(rig)) != m
        points = _points(rig.without(camera.name), pixels[others], confidence[others])
        out[m] = pixels[m] - project(camera, points)
    return out


def _points(rig: Rig, pixels: Array, confidence: Array) -> Array:
    """Points (T, J, 3) of pixels (M, T, J, 2)."""
    M, T, J = confidence.shape
    return locate(rig, pixels.reshape(M, -1, 2), confidence.reshape(M, -1)).reshape(T, J, 3)


def _simulated(
    rig: Rig, points: Array, found: Detections, rate_hz: float, model: DetectorModel, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Pixels (M, T, J, 2) and confidence (M, T, J) of simulated maps."""
    pixels, confidence = np.full(found.pixels.shape, np.nan), np.zeros(found.confidence.shape)
    known = np.asarray(np.isfinite(points).all(-1))
    seconds = np.arange(len(points)) / rate_hz
    for m, camera in enumerate(rig):
        places = project(camera, points) - found.corner[m, :, None]
        cells = np.nan_to_num(places / found.side[m, :, None, None] * CELLS - 0.5)
        hidden = self_occlusion(COCO17, points, camera.centre)
        inside = np.asarray(known & ((cells > -0.5) & (cells < CELLS - 0.5)).all(-1))
        peaks = simulate(model, COCO17, cells, seconds, hidden, inside, rng)
        for t, maps in enumerate(draw(peaks, CELLS)):
            crop = Crop(*(float(value) for value in (*found.corner[m, t], found.side[m, t])))
            joints = decode(maps, crop)
            pixels[m, t] = np.where(known[t, :, None], joints.pixels, np.nan)
            confidence[m, t] = np.where(known[t], joints.confidence, 0.0)
    return pixels, confidence


def _figures(residual: Array, rate_hz: float) -> dict[str, Any]:
    """Of residuals (M, T, J, 2) in parts of the side."""
    limbs = [j for j, joint in enumerate(COCO17.joints) if kind(joint) != "face"]
    residual = residual[:, :, limbs]
    # the calibration's own error and the joints' bias stay the same, view by view and joint by joint
    rest = residual - np.nanmedian(residual, axis=1, keepdims=True)
    length = np.linalg.norm(rest, axis=-1)
    known = np.isfinite(length)
    near = known & (length <= FAR)
    spread = np.median(np.abs(rest[near]))
    steps = np.array(STEPS)
    return {
        "joints": int(known.sum()),
        "percentiles": dict(
            zip(map(str, PERCENTILES), np.percentile(length[known], PERCENTILES).tolist(), strict=True)
        ),
        "far": float((length[known] > FAR).mean()),
        "lag_s": (steps / rate_hz).tolist(),
        "lag": correlations(rest / (1.4826 * spread), near, steps).tolist(),
    }
