"""From images to poses on rendered footage, through the real 2D network: errors against the exact truth.

All methods get the same detections. A joint of a tick is compared where every method gives it, after a
warm-up and while the window of the latest method is still open; what a method leaves out is counted, and
each method's error over all joints that it does give stands beside. T ticks, M views, J joints of COCO.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dw_core.benchmarks import methods
from dw_core.benchmarks.detections import CLOSING_IN, Detections, detect
from dw_core.benchmarks.detector import detector_figures, observations
from dw_core.benchmarks.judging import PCK_M, WARM_UP_S, judged_ticks, versions
from dw_core.benchmarks.keypoints import Scene
from dw_core.data import assets
from dw_core.data.assets import Precision
from dw_core.data.rigs import load_rig
from dw_core.errors import ConfigError
from dw_core.evaluation.metrics import (
    acceleration_errors,
    joint_errors,
    procrustes_align,
    velocity_errors,
    within,
)
from dw_core.geometry.camera import Array, Rig
from dw_core.joint_refiner import PACKAGED, load_refiner
from dw_core.skeleton import COCO17
from dw_core.synthetic.truth import BoolArray, Truth, load_truth
from dw_core.types import NS

SCHEMA_VERSION = 1
METHODS = {
    "dlt_full": "causal; plain DLT of all views at every tick: M times the images",
    "dlt_full_weighted": "causal; the same, rows times the detector's confidence",
    "robust_full": "causal; robust triangulation of all views at every tick: M times the images",
    "weighted_refined": "causal; dlt_full_weighted, of refined joints (joint_refiner.py)",
    "robust_refined": "causal; robust_full, of refined joints",
    "dlt_sync_hold": "causal; plain DLT of all views at every M-th tick, held in between",
    "sync_causal": "causal; the tracker on all views at every M-th tick",
    "sync_window": "window of the lag; the same, a lag after the tick",
    "dlt_interleaved": "causal; plain DLT of the newest pixels of every view, whatever their age",
    "linear_per_view": "window of M - 1 ticks; plain DLT of pixels interpolated between a view's exposures",
    "tracker_causal": "causal; the tracker at the newest exposure",
    "tracker_window": "window of the lag; the tracker, a lag after the exposure",
    "pipeline_causal": "causal; tracker_causal, of refined joints: what the system gives",
    "pipeline_window": "window of the lag; tracker_window, of refined joints: what the system gives",
}
# Whose absolute error the others' are compared with.
YARDSTICK = "dlt_full_weighted"
# Figure: factor from metres and seconds.
FIGURES = {
    "mpjpe_mm": 1e3,
    "absolute_mm": 1e3,
    "p_mpjpe_mm": 1e3,
    "velocity_mm_s": 1e3,
    "acceleration_m_s2": 1.0,
    "pck_150": 1.0,
    "absolute_own_mm": 1e3,
}
# Joints by how many views have them in the image with nothing before them but the person's own body.
SUBSETS = {
    "all": "all joints",
    "two_views": "in view of two cameras or more at the tick",
    "every_view": "in view of every camera at the tick",
}
_HIPS = [COCO17.index("left_hip"), COCO17.index("right_hip")]


@dataclass(frozen=True, eq=False)
class Clip:
    """One folder of rendered footage: what the detector says of it, and the truth."""

    folder: Path
    scene: Scene
    found: Detections
    truth: Truth

    @property
    def group(self) -> tuple[int, int]:
        """What must agree for figures to be pooled: number of views, length of a tick in ns."""
        return len(self.scene.rig), self.scene.tick_ns


@dataclass(frozen=True, eq=False)
class Judged:
    """Errors of one clip in metres and seconds at N ticks, (N, J) by method and figure, NaN where a joint is
    not compared; `subsets`: which joints (N, J) belong to each; `given`: which each method gives."""

    errors: dict[str, dict[str, Array]]
    subsets: dict[str, BoolArray]
    given: dict[str, BoolArray]


def measure(
    folders: Sequence[Path], precision: Precision, lag_ms: float, command: str, progress: bool
) -> dict[str, Any]:
    """All figures of one run, ready for JSON. Raises MediaError, CalibrationError and AssetError for files,
    ConfigError for footage that is too short or shows several people."""
    if not lag_ms > 0:
        raise ConfigError(f"the lag is {lag_ms} ms, expected more than 0")
    clips = [load_clip(folder, precision, progress) for folder in folders]
    judged = [judge_clip(clip, lag_ms) for clip in clips]
    result: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "benchmark": "rendered", "command": command}
    result["protocol"] = _protocol(clips, lag_ms, assets.movenet(precision).stem)
    result["methods"], result["subsets"] = METHODS, SUBSETS
    result["pooled"] = []
    for group in sorted({clip.group for clip in clips}):
        mine = [one for clip, one in zip(clips, judged, strict=True) if clip.group == group]
        entry = {"views": group[0], "tick_ms": group[1] / 1e6, "scenes": len(mine)}
        result["pooled"].append(entry | {"subsets": figures(mine)})
    result["scenes"] = [
        {
            "folder": str(clip.folder),
            "hash": (clip.folder / "scene.sha256").read_text().strip(),
            "views": clip.group[0],
            "tick_ms": clip.group[1] / 1e6,
            "seconds": (len(clip.scene) - 1) * clip.scene.tick_ns / NS,
            "subsets": figures([one]),
        }
        for clip, one in zip(clips, judged, strict=True)
    ]
    result["detector"] = detector_figures([observations(clip.found, clip.truth) for clip in clips])
    result["versions"] = versions()
    return result


def _protocol(clips: Sequence[Clip], lag_ms: float, network: str) -> dict[str, Any]:
    return {
        "data": f"{len(clips)} rendered scenes, every image of every view",
        "joint_set": COCO17.name,
        "network": network,
        "crops": "around the tracked skeleton's projection, one view a tick observed; joints as decoded; "
        f"{CLOSING_IN} looks more at the first frame",
        "warm_up_s": WARM_UP_S,
        "lag_ms": lag_ms,
        "alignment": {
            "mpjpe_mm": "middle of the hips",
            "absolute_mm": "none",
            "p_mpjpe_mm": "similarity per pose, over all joints that are compared",
            "velocity_mm_s": "none; differences of successive poses",
            "acceleration_m_s2": "none; second differences",
            "pck_150": f"middle of the hips; part of the joints within {1e3 * PCK_M:g} mm",
            "absolute_own_mm": "none; over all joints that the method itself gives",
        },
        "average": "all joints of all ticks that every method gives",
        "coverage": "part of the joints of the judged ticks that a method gives",
    }


def load_clip(folder: Path, precision: Precision, progress: bool) -> Clip:
    """Footage and truth of a folder, with the network's detections, made now where they are not there yet.
    Raises as `measure`."""
    from dw_core.backends.movenet import Movenet

    rig, truth = load_rig(folder / "rig.yaml"), load_truth(folder)
    truth.require(COCO17)
    if truth.joints.shape[1] != 1:
        raise ConfigError(f"{folder} shows {truth.joints.shape[1]} people, expected one, who is scored")
    found = detect(folder, rig, assets.movenet(precision), Movenet, progress)
    return Clip(folder, footage_scene(rig, truth, found), found, truth)


def footage_scene(rig: Rig, truth: Truth, found: Detections) -> Scene:
    """What methods are given: a tick for every frame, all views at every tick."""
    tick_ns = round(NS / truth.rate_hz)
    return Scene(
        rig,
        COCO17,
        truth.joints[:, 0],
        found.pixels.swapaxes(0, 1),
        found.covariance.swapaxes(0, 1),
        found.confidence.swapaxes(0, 1),
        np.arange(len(truth.joints)) * tick_ns,
        tick_ns,
        outside=float(1 - truth.inside.mean()),
    )


def estimates(scene: Scene, lag_ticks: int) -> dict[str, Array]:
    """Poses (T, J, 3) of every method of METHODS, in its order."""
    causal, window = methods.track(scene, lag_ticks)
    sync_causal, sync_window = methods.track(scene, lag_ticks, sampling="sync")
    refined = scene.refined(load_refiner(PACKAGED, scene.joints))
    pipeline_causal, pipeline_window = methods.track(refined, lag_ticks)
    return {
        "dlt_full": methods.dlt_full(scene),
        "dlt_full_weighted": methods.dlt_full_weighted(scene),
        "robust_full": methods.robust_full(scene),
        "weighted_refined": methods.dlt_full_weighted(refined),
        "robust_refined": methods.robust_full(refined),
        "dlt_sync_hold": methods.dlt_sync_hold(scene),
        "sync_causal": sync_causal,
        "sync_window": sync_window,
        "dlt_interleaved": methods.dlt_interleaved(scene),
        "linear_per_view": methods.linear_per_view(scene),
        "tracker_causal": causal,
        "tracker_window": window,
        "pipeline_causal": pipeline_causal,
        "pipeline_window": pipeline_window,
    }


def judge_clip(clip: Clip, lag_ms: float) -> Judged:
    """Errors of all methods on one clip. Raises ConfigError when it is too short."""
    lag = int(round(lag_ms * 1e6) // clip.scene.tick_ns)
    ticks = judged_ticks(clip.folder, clip.scene, lag)
    views = clip.truth.in_view[:, :, 0].sum(0)
    return judge(clip.scene, estimates(clip.scene, lag), views, ticks)


def judge(scene: Scene, poses: dict[str, Array], views: Array, ticks: range) -> Judged:
    """Errors of methods' poses (T, J, 3) at some ticks; views (T, J): how many have a joint in view."""
    part = slice(ticks.start, ticks.stop)
    truth, seconds, seen = scene.truth[part], scene.tick_ns / NS, views[part]
    given = {name: np.asarray(np.isfinite(pose[part]).all(-1)) for name, pose in poses.items()}
    common = np.logical_and.reduce(list(given.values()))
    errors = {}
    for name, estimate in poses.items():
        # NaN where joints are not compared: no velocity is taken across a gap
        pose = np.where(common[..., None], estimate[part], np.nan)
        relative = joint_errors(_centred(pose), _centred(truth))
        errors[name] = {
            "mpjpe_mm": relative,
            "absolute_mm": joint_errors(pose, truth),
            "p_mpjpe_mm": joint_errors(procrustes_align(pose, truth), truth),
            "velocity_mm_s": _padded(velocity_errors(pose, truth, seconds), len(ticks)),
            "acceleration_m_s2": _padded(acceleration_errors(pose, truth, seconds), len(ticks)),
            "pck_150": within(relative, PCK_M),
            "absolute_own_mm": joint_errors(estimate[part], truth),
        }
    subsets = {
        name: np.asarray(seen >= least) for name, least in zip(SUBSETS, (0, 2, len(scene.rig)), strict=True)
    }
    return Judged(errors, subsets, given)


def _centred(pose: Array) -> Array:
    moved: Array = pose - pose[:, _HIPS].mean(1, keepdims=True)
    return moved


def _padded(errors: Array, length: int) -> Array:
    """Differences stand at the later of their ticks, after NaN."""
    return np.concatenate((np.full((length - len(errors), errors.shape[1]), np.nan), errors))


def figures(clips: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    """Of each subset: how many joints are `judged` and `compared`, and every method's figures over them
    (NaN when there are none), its coverage, `to_weighted`, its absolute error as a part of the yardstick's,
    and `joints_mm`, its absolute error joint by joint."""
    out: dict[str, dict[str, Any]] = {}
    for subset in SUBSETS:
        mask = np.concatenate([clip.subsets[subset] for clip in clips])
        entries: dict[str, dict[str, Any]] = {}
        compared = 0
        for name in clips[0].errors:
            errors = {
                figure: np.where(mask, np.concatenate([clip.errors[name][figure] for clip in clips]), np.nan)
                for figure in FIGURES
            }
            given = np.concatenate([clip.given[name] for clip in clips])
            compared = int(np.isfinite(errors["absolute_mm"]).sum())
            entries[name] = {figure: factor * _mean(errors[figure]) for figure, factor in FIGURES.items()}
            entries[name]["coverage"] = _mean(given[mask].astype(np.float64))
            entries[name]["joints_mm"] = {
                joint: 1e3 * _mean(errors["absolute_mm"][:, j]) for j, joint in enumerate(COCO17.joints)
            }
        yardstick = entries[YARDSTICK]["absolute_mm"] if YARDSTICK in entries else float("nan")
        for entry in entries.values():
            entry["to_weighted"] = entry["absolute_mm"] / yardstick if yardstick else float("nan")
        out[subset] = {"judged": int(mask.sum()), "compared": compared, "methods": entries}
    return out


def _mean(errors: Array) -> float:
    known = errors[np.isfinite(errors)]
    return float(known.mean()) if known.size else float("nan")
