"""Real video, whose truth nobody knows: how the interleaved system compares with all that the cameras saw.

Three things stand in for the truth. The reference is made from all views of every frame: robust
triangulation, smoothed; methods that are given a quarter of the images are compared with it. It shares the
network's mistakes with them, so nothing may be tuned on it. A view that is left out sees where the joints of
the others' skeletons should be, in pixels. And limbs do not change their lengths.
All of it is done with the joints as the network sees them, and again where the joint refiner has been over
them, those of the reference and of the left-out view too: it says where joints are, the network what people
mark in photographs, and the one is no measure for the other.
The clip is played forwards and backwards, as the demo plays it. T ticks, M views, J joints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.signal import savgol_filter

from dw_core.benchmarks.catalogue import METHODS, Key, estimates, keys
from dw_core.benchmarks.judging import WARM_UP_S, versions
from dw_core.benchmarks.keypoints import Scene
from dw_core.benchmarks.methods import robust_full
from dw_core.data.footage import ping_pong
from dw_core.evaluation.metrics import bone_lengths, joint_errors, relative_mad, reprojection_errors
from dw_core.geometry.camera import Array, Rig
from dw_core.joint_refiner import JointRefiner
from dw_core.skeleton import COCO17
from dw_core.types import NS, Heatmaps

SCHEMA_VERSION = 2
# The clip forwards and backwards so many times.
PASSES = 4
LAG_S = 0.2
# The reference: a parabola through about a fifth of a second.
SMOOTH_S, SMOOTH_ORDER = 0.2, 2
# Joints of a left-out view count from this confidence on.
SEEN = 0.5
COMPARED = (
    "robust", "dlt", "dlt_weighted", "sync_hold", "sync_tracker", "slerp", "copy", "hold", "extrapolate",
    "linear", "epipolar", "warper", "tracker",
)  # fmt: skip
# Of refined joints; the pipeline is what users run.
COMPARED_REFINED = ("robust", "sync_hold", "sync_tracker", "pipeline")
LIMBS = tuple(
    bone for bone in COCO17.bones if bone[1].endswith(("elbow", "wrist", "knee", "ankle"))
)  # upper arms, forearms, thighs, shanks


@dataclass(frozen=True, eq=False)
class Watched:
    """Footage as methods see it: keypoints of all views, refined where there is a refiner, and the maps of
    every view and frame."""

    scene: Scene
    maps: tuple[tuple[Heatmaps, ...], ...]
    refiner: JointRefiner | None = None

    def heatmaps(self, tick: int) -> Heatmaps:
        """What the view that fires at a tick sees."""
        view = tick % len(self.scene.rig)
        seen = self.maps[view][ping_pong(tick, len(self.maps[view]))]
        return replace(seen, stamp_ns=self.scene.stamp_ns(tick))

    def without(self, view: int) -> Watched:
        """The same without one of the views."""
        keep = [m for m in range(len(self.maps)) if m != view]
        scene = self.scene
        part = replace(
            scene,
            rig=Rig(tuple(scene.rig.cameras[m] for m in keep)),
            pixels=scene.pixels[:, keep],
            covariance=scene.covariance[:, keep],
            confidence=scene.confidence[:, keep],
        )
        return Watched(part, tuple(self.maps[m] for m in keep), self.refiner)


def watched(
    rig: Rig, maps: Sequence[Sequence[Heatmaps]], rate_hz: float, refiner: JointRefiner | None = None
) -> Watched:
    """Footage of a rig from the maps of its views, frame by frame; its truth is the reference."""
    count = len(maps[0])
    joints = [[one.joints for one in view] for view in maps]

    def stacked(of: str) -> Array:
        values: Array = np.stack([[getattr(one, of) for one in view] for view in joints], 1)
        return values

    tick_ns = round(NS / rate_hz)
    clip = Scene(
        rig, COCO17, np.full((count, len(COCO17), 3), np.nan), stacked("pixels"), stacked("covariance"),
        stacked("confidence"), np.arange(count) * tick_ns, tick_ns, outside=0.0,
    ).refined(refiner)  # fmt: skip
    frames = np.array([ping_pong(k, count) for k in range(2 * PASSES * (count - 1))])
    scene = replace(
        clip,
        truth=reference(clip)[frames],
        pixels=clip.pixels[frames],
        covariance=clip.covariance[frames],
        confidence=clip.confidence[frames],
        stamps_ns=np.arange(len(frames)) * tick_ns,
    )
    return Watched(scene, tuple(tuple(view) for view in maps), refiner)


def reference(clip: Scene) -> Array:
    """Poses (T, J, 3) from all views of all frames, smoothed; NaN for a joint that fewer than half of the
    frames have."""
    found = robust_full(clip)
    length = int(SMOOTH_S * NS / clip.tick_ns) // 2 * 2 + 1
    out = np.full(found.shape, np.nan)
    ticks = np.arange(len(found))
    for j in range(found.shape[1]):
        known = np.isfinite(found[:, j]).all(-1)
        if known.sum() >= max(len(found) / 2, length):
            filled = np.stack([np.interp(ticks, ticks[known], found[known, j, k]) for k in range(3)], -1)
            out[:, j] = savgol_filter(filled, length, SMOOTH_ORDER, axis=0)
    return out


def measure(
    seen: Watched, refined: Watched, command: str, advance: Callable[[int], None] = lambda ticks: None
) -> dict[str, Any]:
    """All figures, ready for JSON, of the joints as the network sees them and of the same refined."""
    return {
        "schema_version": SCHEMA_VERSION,
        "benchmark": "footage",
        "command": command,
        "protocol": _protocol(seen),
        "methods": {name: METHODS[name].what for name in dict.fromkeys((*COMPARED, *COMPARED_REFINED))},
        "results": _results(seen, COMPARED, advance) + _results(refined, COMPARED_REFINED, advance),
        "versions": versions(),
    }


def _results(
    seen: Watched, compared: tuple[str, ...], advance: Callable[[int], None]
) -> list[dict[str, Any]]:
    """The figures of some methods."""
    poses = _poses(seen, compared, advance)
    left_out: dict[Key, list[Array]] = {key: [] for key in poses}
    for view, camera in enumerate(seen.scene.rig):
        sure = seen.scene.confidence[:, view] >= SEEN
        for key, pose in _poses(seen.without(view), compared, advance).items():
            errors = reprojection_errors(camera, pose, seen.scene.pixels[:, view])
            left_out[key].append(np.where(sure, errors, np.nan)[_judged(seen.scene)])
    return [_entry(seen, key, pose, left_out[key]) for key, pose in poses.items()]


def _poses(seen: Watched, compared: tuple[str, ...], advance: Callable[[int], None]) -> dict[Key, Array]:
    lag_ticks = round(LAG_S * NS) // seen.scene.tick_ns
    wanted = keys(compared, ("causal", "window"))
    return estimates(seen, wanted, lag_ticks, None, None, advance, seen.refiner)


def _judged(scene: Scene) -> slice:
    return slice(round(WARM_UP_S * NS) // scene.tick_ns, len(scene) - round(LAG_S * NS) // scene.tick_ns)


def _entry(seen: Watched, key: Key, pose: Array, left_out: Sequence[Array]) -> dict[str, Any]:
    """One method's figures."""
    name, mode = key
    part = _judged(seen.scene)
    away = joint_errors(pose[part], seen.scene.truth[part]) * 1e3
    px = np.concatenate([errors.ravel() for errors in left_out])
    bones = [[COCO17.index(joint) for joint in bone] for bone in LIMBS]
    return {
        "sampling": METHODS[name].sampling,
        "method": name,
        "mode": mode,
        "joints": "seen" if seen.refiner is None else "refined",
        "reference_mm": float(np.nanmean(away)),
        "reference_median_mm": float(np.nanmedian(away)),
        "left_out_median_px": float(np.nanmedian(px)),
        "left_out_p90_px": float(np.nanpercentile(px, 90)),
        "worst_limb_mad": float(np.nanmax(relative_mad(bone_lengths(pose[part], bones)))),
        "coverage": float(np.isfinite(pose[part]).all(-1).mean()),
    }


def _protocol(seen: Watched) -> dict[str, Any]:
    scene, count = seen.scene, len(seen.maps[0])
    M = len(scene.rig)
    return {
        "clip": f"{M} views of {count} frames at {NS / scene.tick_ns:g} Hz, forwards and backwards {PASSES} "
        "times",
        "interleaved": f"one view at each frame: {NS / scene.tick_ns / M:g} Hz per camera",
        "sync": f"all views at every {M}th frame: as many images",
        "full": f"all views at every frame: {M} times the images",
        "reference": f"robust triangulation of all views at every frame, smoothed over {SMOOTH_S:g} s by a "
        f"polynomial of order {SMOOTH_ORDER}",
        "left_out": f"the skeleton of the other views, taking turns at the same ticks, in the view that was "
        f"left out; joints that it sees with a confidence of {SEEN:g} or more",
        "joints": "as the network sees them, or refined: then those of the reference and of the left-out "
        "view are too, and these rows are for comparison with each other",
        "warm_up_s": WARM_UP_S,
        "lag_s": LAG_S,
    }
