"""How far off skeletons from staggered views are, on motion capture: errors against the truth.

All methods get the same pixels of the same clip; the yardstick `dlt_full` alone gets every view at every
tick, which is M times the images. Errors are taken where every method gives a whole pose, after a
warm-up and while the window of the latest method is still open; what a method leaves out is counted.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dw_core.benchmarks.keypoints import Noise, Scene, scene
from dw_core.benchmarks.methods import METHODS, YARDSTICK, estimates
from dw_core.data.motion import load_motion, motion_files
from dw_core.errors import ConfigError
from dw_core.evaluation.metrics import acceleration_errors, joint_errors, procrustes_align, velocity_errors
from dw_core.geometry.camera import Array, Rig
from dw_core.progress import bar
from dw_core.skeleton import H36M17
from dw_core.types import NS

SCHEMA_VERSION = 1
WARM_UP_S = 1.0
# An acceleration needs three poses.
MIN_FRAMES = 3
# Figure: factor from metres and seconds.
FIGURES = {
    "mpjpe_mm": 1e3,
    "absolute_mm": 1e3,
    "p_mpjpe_mm": 1e3,
    "velocity_mm_s": 1e3,
    "acceleration_m_s2": 1.0,
}
_ROOT = H36M17.index("pelvis")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is run: ticks, seconds of each clip, the lag of window mode, the noise. Raises ConfigError."""

    tick_ms: tuple[float, ...] = (20.0,)
    seconds: float = 8.0
    lag_ms: float = 200.0
    noise: Noise = Noise()

    def __post_init__(self) -> None:
        for name, values in (
            ("tick_ms", self.tick_ms),
            ("seconds", [self.seconds]),
            ("lag_ms", [self.lag_ms]),
        ):
            if not values or not all(np.isfinite(value) and value > 0 for value in values):
                raise ConfigError(f"{name} is {', '.join(map(str, values)) or 'empty'}, expected more than 0")

    def lag_ticks(self, tick_ns: int) -> int:
        """How many exposures after an instant have been made when the lag is over."""
        return int(round(self.lag_ms * 1e6) // tick_ns)


@dataclass(frozen=True, eq=False)
class Judged:
    """Errors on one clip, in metres and seconds, (N, J) by method and figure, at the `frames` ticks of the
    `judged` ones at which every method gives a whole pose; `missing`: at which ticks each does not."""

    judged: int
    frames: int
    errors: dict[str, dict[str, Array]]
    missing: dict[str, list[int]]


def measure(
    paths: Sequence[Path], rig: Rig, settings: Settings, command: str, progress: bool
) -> dict[str, Any]:
    """All figures of one run, ready for JSON. Raises MotionError, and ConfigError for a clip that is
    too short."""
    files = motion_files(paths)
    motions = [load_motion(file) for file in files]
    result: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "benchmark": "motion", "command": command}
    result["protocol"] = protocol(rig, settings) | {"clips": [str(file) for file in files]}
    result["methods"] = METHODS
    result["ticks"] = []
    with bar("clips", len(files) * len(settings.tick_ms), progress) as advance:
        for tick_ms in settings.tick_ms:
            clips, entries = [], []
            for file, motion in zip(files, motions, strict=True):
                seen = scene(motion, rig, tick_ms, settings.seconds, settings.noise)
                lag = settings.lag_ticks(seen.tick_ns)
                clips.append(judge(seen, estimates(seen, lag), judged_ticks(file, seen, lag)))
                entries.append(_clip_entry(file, seen, clips[-1]))
                advance(1)
            pooled = {"tick_ms": tick_ms, "camera_hz": 1e3 / tick_ms / len(rig), "lag_ticks": lag}
            pooled |= {"judged": sum(c.judged for c in clips), "frames": sum(c.frames for c in clips)}
            result["ticks"].append(pooled | {"methods": figures(clips), "clips": entries})
    result["versions"] = versions()
    return result


def _clip_entry(file: Path, seen: Scene, clip: Judged) -> dict[str, Any]:
    return {
        "file": str(file),
        "seconds": (len(seen) - 1) * seen.tick_ns / NS,
        "outside_image_fraction": seen.outside,
        "judged": clip.judged,
        "frames": clip.frames,
        "methods": figures([clip]),
        "missing_ticks": clip.missing,
    }


def protocol(rig: Rig, settings: Settings) -> dict[str, Any]:
    """What a reader must know to make the figures again, but for the clips."""
    return {
        "cameras": [f"{camera.name}, {camera.width}x{camera.height}" for camera in rig],
        "joint_set": H36M17.name,
        "noise": asdict(settings.noise),
        "claimed": f"{settings.noise.px**2:g} px^2, confidence 1",
        "seconds": settings.seconds,
        "warm_up_s": WARM_UP_S,
        "lag_ms": settings.lag_ms,
        "alignment": {
            "mpjpe_mm": "root-relative (pelvis)",
            "absolute_mm": "none",
            "p_mpjpe_mm": "similarity per pose",
            "velocity_mm_s": "none; differences of successive poses",
            "acceleration_m_s2": "none; second differences",
        },
        "average": "all joints of all common frames",
    }


def versions() -> dict[str, str]:
    """Of what the figures depend on."""
    return {"python": platform.python_version(), "numpy": np.__version__}


def judged_ticks(file: Path, scene: Scene, lag_ticks: int) -> range:
    """The ticks at which methods are compared: after the warm-up, and while what a window or an
    interpolation waits for is in the clip. Raises ConfigError when they are too few."""
    first = -(-round(WARM_UP_S * NS) // scene.tick_ns)
    ticks = range(first, len(scene) - max(lag_ticks, len(scene.rig) - 1))
    if len(ticks) < MIN_FRAMES:
        raise ConfigError(
            f"{file}: {(len(scene) - 1) * scene.tick_ns / NS:.2f} s of it leave {len(ticks)} ticks after "
            f"{WARM_UP_S:g} s of warm-up and before the window at the end, expected {MIN_FRAMES} or more"
        )
    return ticks


def judge(scene: Scene, poses: dict[str, Array], ticks: range) -> Judged:
    """Errors of methods' poses (T, J, 3) at some ticks."""
    part = slice(ticks.start, ticks.stop)
    whole = {name: np.isfinite(p[part]).all((1, 2)) for name, p in poses.items()}
    common = np.logical_and.reduce(list(whole.values()))
    truth, seconds = scene.truth[part], scene.tick_ns / NS
    errors = {}
    for name, estimate in poses.items():
        # NaN at the ticks that are not compared: no velocity is taken across a gap
        pose = np.where(common[:, None, None], estimate[part], np.nan)
        errors[name] = {
            "mpjpe_mm": _known(joint_errors(pose, truth, _ROOT)),
            "absolute_mm": _known(joint_errors(pose, truth)),
            "p_mpjpe_mm": _known(joint_errors(procrustes_align(pose, truth), truth)),
            "velocity_mm_s": _known(velocity_errors(pose, truth, seconds)),
            "acceleration_m_s2": _known(acceleration_errors(pose, truth, seconds)),
        }
    missing = {name: (np.flatnonzero(~w) + ticks.start).tolist() for name, w in whole.items()}
    return Judged(len(ticks), int(common.sum()), errors, missing)


def _known(errors: Array) -> Array:
    """The rows without NaN."""
    known: Array = errors[np.isfinite(errors).all(-1)]
    return known


def figures(clips: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    """Every method's figures over all joints of all common frames of some clips (NaN when there are none),
    its coverage, the fraction of judged ticks at which it gives a whole pose, and the ratios of its figures
    to the yardstick's."""
    judged = sum(clip.judged for clip in clips)
    out: dict[str, dict[str, Any]] = {}
    for name in clips[0].errors:
        out[name] = {
            figure: factor * _mean(np.concatenate([clip.errors[name][figure] for clip in clips]))
            for figure, factor in FIGURES.items()
        }
        out[name]["coverage"] = 1 - sum(len(clip.missing[name]) for clip in clips) / judged
    for entry in out.values():
        entry["ratio"] = {figure: entry[figure] / out[YARDSTICK][figure] for figure in FIGURES}
    return out


def _mean(errors: Array) -> float:
    return float(errors.mean()) if errors.size else float("nan")
