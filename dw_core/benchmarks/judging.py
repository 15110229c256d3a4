"""Errors of methods' poses against the truth, at the ticks and joints at which they can be compared.

All methods that are compared get the same clip. A joint of a tick is compared where every method gives it
that gives anything at all, after a warm-up and while the window of the latest method is still open; what a
method leaves out is counted. N judged ticks, J joints.
"""

from __future__ import annotations

import platform
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from dw_core.benchmarks.keypoints import Scene
from dw_core.errors import ConfigError
from dw_core.evaluation.metrics import (
    acceleration_errors,
    joint_errors,
    procrustes_align,
    velocity_errors,
    within,
    within_curve,
)
from dw_core.geometry.camera import Array
from dw_core.skeleton import H36M17, JointSet
from dw_core.types import NS

WARM_UP_S = 1.0
# An acceleration needs three poses.
MIN_FRAMES = 3
PCK_M = 0.15
# Figure: factor from metres and seconds.
FIGURES = {
    "mpjpe_root_mm": 1e3,
    "mpjpe_abs_mm": 1e3,
    "p_mpjpe_mm": 1e3,
    "velocity_error_mm_s": 1e3,
    "acceleration_error_mm_s2": 1e3,
    "pck_150": 1.0,
    "auc": 1.0,
}
ALIGNMENT = {
    "mpjpe_root_mm": "pelvis, or the middle of the hips in joint sets without one",
    "mpjpe_abs_mm": "none",
    "p_mpjpe_mm": "similarity per pose, over the joints that are compared",
    "velocity_error_mm_s": "none; differences of successive poses",
    "acceleration_error_mm_s2": "none; second differences",
    "pck_150": f"as mpjpe_root_mm; part of the joints within {1e3 * PCK_M:g} mm",
    "auc": "as mpjpe_root_mm; mean part of the joints within 0, 5, ... 150 mm",
}
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, eq=False)
class Judged(Generic[K]):
    """Of one clip, by method: errors (N, J) by figure in metres and seconds, NaN where a joint is not
    compared, and which joints (N, J) it gives."""

    joints: JointSet
    errors: dict[K, dict[str, Array]]
    given: dict[K, npt.NDArray[np.bool_]]


def judged_range(ticks: int, tick_ns: int, views: int, lag_ticks: int) -> range:
    """The ticks of a clip at which methods are compared: after the warm-up, and while what a window or an
    interpolation waits for is in the clip."""
    first = -(-round(WARM_UP_S * NS) // tick_ns)
    return range(first, ticks - max(lag_ticks, views - 1))


def judged_ticks(file: Path, scene: Scene, lag_ticks: int) -> range:
    """`judged_range` of a scene. Raises ConfigError when there are too few."""
    ticks = judged_range(len(scene), scene.tick_ns, len(scene.rig), lag_ticks)
    if len(ticks) < MIN_FRAMES:
        raise ConfigError(f"{file}: {too_short(len(scene), scene.tick_ns, len(ticks))}")
    return ticks


def too_short(ticks: int, tick_ns: int, judged: int) -> str:
    """What is wrong with a clip of so many ticks, of which so many are judged."""
    return (
        f"{(ticks - 1) * tick_ns / NS:.2f} s of it leave {judged} ticks after {WARM_UP_S:g} s of warm-up and "
        f"before the window at the end, expected {MIN_FRAMES} or more"
    )


def judge(scene: Scene, poses: dict[K, Array], ticks: range) -> Judged[K]:
    """Errors of methods' poses (T, J, 3) at some ticks."""
    part = slice(ticks.start, ticks.stop)
    truth, times_s = scene.truth[part], scene.stamps_ns[part] / NS
    given = {name: np.asarray(np.isfinite(pose[part]).all(-1)) for name, pose in poses.items()}
    common = np.logical_and.reduce([one for one in given.values() if one.any()] or [np.zeros((1, 1), bool)])
    errors = {}
    for name, estimate in poses.items():
        # NaN where joints are not compared: no velocity is taken across a gap
        pose = np.where(common[..., None], estimate[part], np.nan)
        relative = joint_errors(from_root(pose, scene.joints), from_root(truth, scene.joints))
        errors[name] = {
            "mpjpe_root_mm": relative,
            "mpjpe_abs_mm": joint_errors(pose, truth),
            "p_mpjpe_mm": joint_errors(procrustes_align(pose, truth), truth),
            "velocity_error_mm_s": _padded(velocity_errors(pose, truth, times_s), len(ticks)),
            "acceleration_error_mm_s2": _padded(acceleration_errors(pose, truth, times_s), len(ticks)),
            "pck_150": within(relative, PCK_M),
            "auc": within_curve(relative, PCK_M),
        }
    return Judged(scene.joints, errors, given)


def from_root(poses: Array, joints: JointSet) -> Array:
    """Poses (T, J, 3) seen from the pelvis, or the middle of the hips."""
    names = ("pelvis",) if joints.name == H36M17.name else ("left_hip", "right_hip")
    root: Array = poses[:, [joints.index(name) for name in names]].mean(1, keepdims=True)
    return poses - root


def _padded(errors: Array, length: int) -> Array:
    """Differences stand at the later of their ticks, after NaN."""
    return np.concatenate((np.full((length - len(errors), errors.shape[1]), np.nan), errors))


def figures(clips: Sequence[Judged[K]]) -> dict[K, dict[str, Any]]:
    """Every method's figures over all joints of all ticks of some clips that are compared (NaN when there are
    none), how many those are, and its coverage: the part of the judged joints that it gives."""
    out: dict[K, dict[str, Any]] = {}
    for name in clips[0].errors:
        errors = {figure: [clip.errors[name][figure] for clip in clips] for figure in FIGURES}
        out[name] = {
            figure: factor * _mean(np.concatenate(errors[figure])) for figure, factor in FIGURES.items()
        }
        out[name]["frames"] = sum(len(clip.given[name]) for clip in clips)
        out[name]["compared"] = int(sum(np.isfinite(e).sum() for e in errors["mpjpe_abs_mm"]))
        out[name]["coverage"] = float(np.concatenate([clip.given[name] for clip in clips]).mean())
    return out


def joint_figures(clips: Sequence[Judged[K]], name: K, figure: str) -> dict[str, float]:
    """One of a method's figures joint by joint, over the clips that have the joint."""
    values: dict[str, list[Array]] = {}
    for clip in clips:
        for j, joint in enumerate(clip.joints.joints):
            values.setdefault(joint, []).append(clip.errors[name][figure][:, j])
    return {joint: FIGURES[figure] * _mean(np.concatenate(errors)) for joint, errors in values.items()}


def _mean(errors: Array) -> float:
    known = errors[np.isfinite(errors)]
    return float(known.mean()) if known.size else float("nan")


def versions() -> dict[str, str]:
    """Of what the figures depend on."""
    return {"python": platform.python_version(), "numpy": np.__version__}
