"""Ways from pixels to poses that the motion benchmark compares: T ticks, M views, J joints.

The plain ones are linear triangulation of different pixels; NaN where one of them is missing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dw_core.benchmarks.keypoints import Scene
from dw_core.geometry.camera import Array
from dw_core.geometry.triangulation import dlt, triangulate
from dw_core.tracking.filter import BodyModel
from dw_core.tracking.tracker import SkeletonTracker, TrackerSettings
from dw_core.types import NS

YARDSTICK = "dlt_full"
METHODS = {
    YARDSTICK: "causal; plain DLT of all views at every tick: M times the images",
    "dlt_sync_hold": "causal; plain DLT of all views at every M-th tick, held in between",
    "dlt_interleaved": "causal; plain DLT of the newest pixels of every view, whatever their age",
    "linear_per_view": "window of M - 1 ticks; plain DLT of pixels interpolated between a view's exposures",
    "tracker_causal": "causal; the tracker at the newest exposure",
    "tracker_window": "window of the lag; the tracker, a lag after the exposure",
}


def dlt_full(scene: Scene) -> Array:
    """Poses (T, J, 3) from all views at every tick."""
    return dlt(scene.rig, scene.pixels.swapaxes(1, 2))


def dlt_full_weighted(scene: Scene) -> Array:
    """Poses (T, J, 3) as dlt_full, every view's rows times the confidence of its joint."""
    return dlt(scene.rig, scene.pixels.swapaxes(1, 2), scene.confidence.swapaxes(1, 2))


def robust_full(scene: Scene) -> Array:
    """Poses (T, J, 3) from all views at every tick, robustly, with their covariance and confidence; NaN where
    the views do not agree on a joint."""
    return triangulate(
        scene.rig,
        scene.pixels.swapaxes(1, 2),
        scene.covariance.swapaxes(1, 2),
        scene.confidence.swapaxes(1, 2),
    ).points


def dlt_sync_hold(scene: Scene) -> Array:
    """Poses (T, J, 3) from all views at every M-th tick, each held until the next."""
    M = len(scene.rig)
    poses: Array = np.repeat(dlt(scene.rig, scene.pixels[::M].swapaxes(1, 2)), M, axis=0)[: len(scene)]
    return poses


def dlt_interleaved(scene: Scene) -> Array:
    """Poses (T, J, 3) from the newest pixels of every view; NaN until all views have fired."""
    return dlt(scene.rig, _newest(scene, 0).swapaxes(1, 2))


def linear_per_view(scene: Scene) -> Array:
    """Poses (T, J, 3) from pixels interpolated between each view's exposures around every tick, the later of
    which comes up to M - 1 ticks after it; NaN where one of the two is missing."""
    M = len(scene.rig)
    weight = (_age(scene) / M)[..., None, None]
    later = np.where(weight > 0, _newest(scene, M), 0.0)
    pixels = (1 - weight) * _newest(scene, 0) + weight * later
    return dlt(scene.rig, pixels.swapaxes(1, 2))


def _age(scene: Scene) -> npt.NDArray[np.int64]:
    """Age (T, M) in ticks of every view's newest exposure."""
    M = len(scene.rig)
    return np.asarray((np.arange(len(scene))[:, None] - np.arange(M)) % M)


def _newest(scene: Scene, ahead: int) -> Array:
    """Pixels (T, M, J, 2) of every view's newest exposure, or of that `ahead` ticks after it; NaN where
    there is none."""
    ticks = np.arange(len(scene))[:, None] - _age(scene) + ahead
    there = (ticks >= 0) & (ticks < len(scene))
    pixels = scene.pixels[np.where(there, ticks, 0), np.arange(len(scene.rig))]
    return np.where(there[..., None, None], pixels, np.nan)


def track(scene: Scene, lag_ticks: int, model: BodyModel | None = None) -> tuple[Array, Array]:
    """Poses (T, J, 3) of the tracker at every exposure: at once, and `lag_ticks` exposures later (NaN for
    those that the clip ends before). `model`: another one than the tracker's own."""
    # at least the lag itself must be remembered
    settings = TrackerSettings(lag_s=max(lag_ticks, 1) * scene.tick_ns / NS)
    tracker = SkeletonTracker(scene.rig, scene.joints, settings, model)
    causal, window = np.full(scene.truth.shape, np.nan), np.full(scene.truth.shape, np.nan)
    for tick in range(len(scene)):
        tracker.update(scene.seen(tick))
        causal[tick] = tracker.at(scene.stamp_ns(tick)).positions
        if tick >= lag_ticks:
            window[tick - lag_ticks] = tracker.smoothed(scene.stamp_ns(tick - lag_ticks)).positions
    return causal, window


def estimates(scene: Scene, lag_ticks: int) -> dict[str, Array]:
    """Poses (T, J, 3) of every method of METHODS, in its order."""
    causal, window = track(scene, lag_ticks)
    return {
        "dlt_full": dlt_full(scene),
        "dlt_sync_hold": dlt_sync_hold(scene),
        "dlt_interleaved": dlt_interleaved(scene),
        "linear_per_view": linear_per_view(scene),
        "tracker_causal": causal,
        "tracker_window": window,
    }
