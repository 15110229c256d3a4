"""Ways from pixels to poses that the benchmarks compare: T ticks, M views, J joints.

The plain ones are linear triangulation of different pixels, of each joint from the views that have it; NaN
where fewer than two do.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from dw_core.benchmarks.keypoints import Scene
from dw_core.geometry.camera import Array, Rig
from dw_core.geometry.triangulation import dlt, triangulate
from dw_core.tracking.filter import BodyModel
from dw_core.tracking.tracker import SkeletonTracker, TrackerSettings
from dw_core.types import NS

Ticks = npt.NDArray[np.int64]
Sampling = Literal["full", "sync", "interleaved"]


def dlt_of_seen(rig: Rig, pixels: Array, weights: Array | None = None) -> Array:
    """Points (T, J, 3) of pixels (T, M, J, 2), the rows of each times weights (T, M, J), by plain linear
    triangulation of the views whose pixel is not NaN; NaN for fewer than two."""
    seen = np.asarray(np.isfinite(pixels).all(-1))
    rows = np.where(seen, 1.0 if weights is None else weights, 0.0)
    anywhere = np.stack([camera.K[:2, 2] for camera in rig])[:, None]
    points = dlt(rig, np.where(seen[..., None], pixels, anywhere).swapaxes(1, 2), rows.swapaxes(1, 2))
    return np.where(((rows > 0).sum(1) >= 2)[..., None], points, np.nan)


def dlt_full(scene: Scene) -> Array:
    """Poses (T, J, 3) from all views at every tick."""
    return dlt_of_seen(scene.rig, scene.pixels)


def dlt_full_weighted(scene: Scene) -> Array:
    """Poses (T, J, 3) as dlt_full, every view's rows times the confidence of its joint."""
    return dlt_of_seen(scene.rig, scene.pixels, scene.confidence)


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
    poses: Array = np.repeat(dlt_of_seen(scene.rig, scene.pixels[::M]), M, axis=0)[: len(scene)]
    return poses


def dlt_interleaved(scene: Scene) -> Array:
    """Poses (T, J, 3) from the newest pixels of every view."""
    return dlt_of_seen(scene.rig, pixels_at(scene, newest(scene)))


def lookahead_ns(scene: Scene) -> int:
    """How long the centred methods wait: until the nearest exposure of every view is known, and half a tick
    for irregular ones."""
    return ((len(scene.rig) - 1) // 2 * 2 + 1) * scene.tick_ns // 2


def dlt_nearest(scene: Scene) -> Array:
    """Poses (T, J, 3) from the pixels of every view that are nearest in time, before or not too far after."""
    before, after = newest(scene), soonest(scene)
    never = np.iinfo(np.int64).max // 2
    now = scene.stamps_ns[:, None]
    past = np.where(before >= 0, now - scene.stamps_ns[before], never)
    ahead = np.append(scene.stamps_ns, never)[after] - now
    later = (ahead < past) & (ahead <= lookahead_ns(scene))
    return dlt_of_seen(scene.rig, pixels_at(scene, np.where(later, after, before)))


def dlt_round_hold(scene: Scene) -> Array:
    """Poses (T, J, 3) from the exposures of each whole round of all views, held until the next is whole."""
    M = len(scene.rig)
    last = (np.arange(len(scene)) + 1) // M * M - 1
    poses = dlt_interleaved(scene)
    return np.where((last >= 0)[:, None, None], poses[last], np.nan)


def extrapolated_per_view(scene: Scene) -> Array:
    """Poses (T, J, 3) from pixels moved on to every tick by the view's two newest exposures; by the newest
    alone where there is one only."""
    now = newest(scene)
    before = np.where(now > 0, np.take_along_axis(now, np.maximum(now - 1, 0), 0), -1)
    pixels = pixels_at(scene, now)
    velocity = (pixels - pixels_at(scene, before)) / _seconds(scene, before, now)[..., None, None]
    age_s = (scene.stamps_ns[:, None] - scene.stamps_ns[now]) / NS
    return dlt_of_seen(scene.rig, pixels + np.nan_to_num(velocity) * age_s[..., None, None])


def linear_per_view(scene: Scene) -> Array:
    """Poses (T, J, 3) from pixels interpolated between each view's exposures around every tick, the later of
    which comes up to M - 1 ticks after it (more where exposures are lost)."""
    before, after = newest(scene), soonest(scene)
    first, last = pixels_at(scene, before), pixels_at(scene, after)
    to = np.minimum(after, len(scene) - 1)
    weight = (scene.stamps_ns[:, None] - scene.stamps_ns[before]) / NS / _seconds(scene, before, to)
    weight = np.where(before == after, 0.0, weight)[..., None, None]
    return dlt_of_seen(scene.rig, (1 - weight) * first + weight * last)


def _seconds(scene: Scene, before: Ticks, after: Ticks) -> Array:
    """Between ticks (T, M); 1 where they are the same."""
    seconds: Array = (scene.stamps_ns[after] - scene.stamps_ns[before]) / NS
    return np.where(before == after, 1.0, seconds)


def newest(scene: Scene) -> Ticks:
    """The tick (T, M) of every view's newest exposure where views take turns; -1 for none."""
    ticks = np.arange(len(scene))[:, None]
    return np.maximum.accumulate(np.where(scene.fired, ticks, -1), 0)


def soonest(scene: Scene) -> Ticks:
    """The tick (T, M) of every view's exposure at a tick or soonest after it where views take turns; T for
    none."""
    T = len(scene)
    ahead = np.where(scene.fired, np.arange(T)[:, None], T)[::-1]
    return np.asarray(np.minimum.accumulate(ahead, 0)[::-1])


def pixels_at(scene: Scene, ticks: Ticks) -> Array:
    """Pixels (T, M, J, 2) of every view at ticks (T, M); NaN where there is no such tick."""
    there = (ticks >= 0) & (ticks < len(scene))
    pixels = scene.pixels[np.where(there, ticks, 0), np.arange(len(scene.rig))]
    return np.where(there[..., None, None], pixels, np.nan)


def track(
    scene: Scene, lag_ticks: int, model: BodyModel | None = None, sampling: Sampling = "interleaved"
) -> tuple[Array, Array]:
    """Poses (T, J, 3) of the tracker at every tick: at once, and `lag_ticks` ticks later (NaN for those
    that the clip ends before). `model`: another one than the tracker's own. `sampling`: who fires, one view
    at a tick, or all at every M-th (sync), or all at every one (full)."""
    stamps = scene.stamps_ns
    fired = {"interleaved": scene.fired, "sync": scene.synchronous, "full": scene.exposed}[sampling]
    # at least the lag itself must be remembered, also where ticks are irregular
    lag_ns = int((stamps[lag_ticks:] - stamps[: len(stamps) - lag_ticks]).max(initial=scene.tick_ns))
    tracker = SkeletonTracker(scene.rig, scene.joints, TrackerSettings(lag_s=lag_ns / NS), model)
    causal, window = np.full(scene.truth.shape, np.nan), np.full(scene.truth.shape, np.nan)
    for tick in range(len(scene)):
        for view in np.flatnonzero(fired[tick]):
            tracker.update(scene.seen(tick, int(view)))
        causal[tick] = tracker.at(scene.stamp_ns(tick)).positions
        if tick >= lag_ticks:
            window[tick - lag_ticks] = tracker.smoothed(scene.stamp_ns(tick - lag_ticks)).positions
    return causal, window
