"""Which model of motion is worth its cost: the tracker with parts taken away, and plain filters beside it.

Every model sees the same pixels. Those with a parameter have it tuned on clips of their own, for each mode
by itself, and are then measured on others; the tracker as it is has nothing tuned here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dw_core.benchmarks.judging import ALIGNMENT, WARM_UP_S, Judged, figures, judge, judged_ticks, versions
from dw_core.benchmarks.keypoints import Noise, Scene, scene
from dw_core.benchmarks.methods import dlt_full, track
from dw_core.benchmarks.plain_filter import integrated_noise, singer, track_plain
from dw_core.data.motion import load_motion, motion_files
from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array, Rig
from dw_core.progress import bar
from dw_core.skeleton import H36M17
from dw_core.tracking.filter import BodyModel, body_model

SCHEMA_VERSION = 2
MODES = ("causal", "window")
YARDSTICK = "dlt_full"
CRITERION = "mpjpe_root_mm"
RATIOS = ("mpjpe_root_mm", "mpjpe_abs_mm", "p_mpjpe_mm", "velocity_error_mm_s", "acceleration_error_mm_s2")
Poses = tuple[Array, Array]
Values = tuple[float, ...]
# By model and mode.
Grids = dict[str, dict[str, tuple[Values, ...]]]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is run: the tick, seconds of each clip, the lag of window mode, the noise. Raises ConfigError."""

    tick_ms: float = 20.0
    seconds: float = 8.0
    lag_ms: float = 200.0
    noise: Noise = Noise()

    def __post_init__(self) -> None:
        for name, value in (("tick_ms", self.tick_ms), ("seconds", self.seconds), ("lag_ms", self.lag_ms)):
            if not (np.isfinite(value) and value > 0):
                raise ConfigError(f"{name} is {value}, expected more than 0")

    def lag_ticks(self, tick_ns: int) -> int:
        """How many exposures after an instant have been made when the lag is over."""
        return int(round(self.lag_ms * 1e6) // tick_ns)


@dataclass(frozen=True)
class Model:
    """`run` gives poses (T, J, 3) at once and a lag of so many ticks later, for one of the parameters'
    `grid`."""

    what: str
    parameters: tuple[str, ...]
    grid: tuple[Values, ...]
    run: Callable[[Scene, int, Values], Poses]


def as_shipped(scene: Scene, lag_ticks: int, values: Values) -> Poses:
    """The tracker as it is."""
    return track(scene, lag_ticks)


def independent_joints(scene: Scene, lag_ticks: int, values: Values) -> Poses:
    """The tracker, each joint's acceleration noise its own."""
    alone = values[0] ** 2 * np.eye(len(H36M17))
    return track(scene, lag_ticks, replace(_own(scene), acceleration=alone))


def no_bone_lengths(scene: Scene, lag_ticks: int, values: Values) -> Poses:
    """The tracker without learned lengths, its densities times a factor."""
    own = _own(scene)
    return track(
        scene,
        lag_ticks,
        replace(own, acceleration=own.acceleration * values[0] ** 2, bones=np.empty((0, 2), dtype=np.int64)),
    )


def _own(scene: Scene) -> BodyModel:
    return body_model(scene.rig, H36M17)


def _plain(order: int) -> Callable[[Scene, int, Values], Poses]:
    return lambda scene, lag_ticks, values: track_plain(scene, lag_ticks, integrated_noise(order, values[0]))


def _singer(scene: Scene, lag_ticks: int, values: Values) -> Poses:
    return track_plain(scene, lag_ticks, singer(*values))


DENSITY = {n: f"density, m/s^{n} per root Hz" for n in (1, 2, 3)}
MODELS = {
    "tracker": Model("as shipped: nothing tuned here", (), ((),), as_shipped),
    "tracker, joints independent": Model(
        "acceleration noise of neighbours is not alike",
        (DENSITY[2],),
        ((0.7,), (1.0,), (1.5,), (2.2,)),
        independent_joints,
    ),
    "tracker, no bone lengths": Model(
        "lengths are neither learned nor held",
        ("factor of the shipped densities",),
        ((0.5,), (0.7,), (1.0,), (1.4,)),
        no_bone_lengths,
    ),
    "plain constant velocity": Model(
        "white acceleration", (DENSITY[2],), ((0.35,), (0.5,), (0.7,), (1.0,), (1.4,), (2.0,)), _plain(2)
    ),
    "plain constant acceleration": Model(
        "white jerk", (DENSITY[3],), ((1.0,), (2.0,), (4.0,), (8.0,), (16.0,)), _plain(3)
    ),
    "plain Singer": Model(
        "acceleration that fades",
        ("time constant, s", DENSITY[3]),
        tuple((tau, density) for tau in (0.025, 0.05, 0.1, 0.2) for density in (5.0, 10.0, 20.0, 40.0)),
        _singer,
    ),
    "plain random walk": Model(
        "white velocity", (DENSITY[1],), ((0.05,), (0.1,), (0.15,), (0.2,), (0.3,)), _plain(1)
    ),
}


def measure(
    paths: Sequence[Path], tune_on: Sequence[Path], rig: Rig, settings: Settings, command: str, progress: bool
) -> dict[str, Any]:
    """All figures of one run, ready for JSON: the grids on the tuning clips, and on the others each model
    with its best values. Raises MotionError, ConfigError."""
    files, tuning = motion_files(paths), motion_files(tune_on)
    if both := [file for file in files if file in tuning]:
        raise ConfigError(f"{both[0]} is to be tuned on and measured on, expected different clips")
    grids: Grids = {name: {mode: model.grid for mode in MODES} for name, model in MODELS.items()}
    with bar("clips", len(files) + len(tuning), progress) as advance:
        tuned = figures(_judged(tuning, rig, settings, grids, advance))
        best = {
            name: {mode: _best(tuned, name, mode, model.grid) for mode in MODES}
            for name, model in MODELS.items()
        }
        chosen: Grids = {
            name: {mode: (value,) for mode, value in modes.items()} for name, modes in best.items()
        }
        clips = _judged(files, rig, settings, chosen, advance)
    measured = figures(clips)
    result: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "benchmark": "models", "command": command}
    result["protocol"] = _protocol(rig, settings) | {
        "clips": [str(file) for file in files],
        "tuned_on": [str(file) for file in tuning],
        "frames": measured[YARDSTICK]["frames"],
    }
    result["yardstick"] = measured[YARDSTICK]
    result["models"] = {
        name: _entry(name, model, tuned, best[name], measured) for name, model in MODELS.items()
    }
    result["versions"] = versions()
    return result


def _protocol(rig: Rig, settings: Settings) -> dict[str, Any]:
    """What a reader must know to make the figures again, but for the clips."""
    noise = settings.noise
    return {
        "tick_ms": settings.tick_ms,
        "cameras": [f"{camera.name}, {camera.width}x{camera.height}" for camera in rig],
        "joint_set": H36M17.name,
        "noise": asdict(noise),
        "claimed": f"{noise.px**2:g} px^2, confidence 1",
        "seconds": settings.seconds,
        "warm_up_s": WARM_UP_S,
        "lag_ms": settings.lag_ms,
        "alignment": ALIGNMENT,
        "average": "all joints of all ticks that every model gives",
    }


def _judged(
    files: Sequence[Path],
    rig: Rig,
    settings: Settings,
    grids: Grids,
    advance: Callable[[int], None],
) -> list[Judged[str]]:
    """Errors of every model in every mode with every one of its values, on each clip."""
    out = []
    for file in files:
        seen = scene(load_motion(file), rig, settings.tick_ms, settings.seconds, settings.noise)
        lag = settings.lag_ticks(seen.tick_ns)
        poses = {YARDSTICK: dlt_full(seen)}
        for name, modes in grids.items():
            for value in dict.fromkeys(value for mode in MODES for value in modes[mode]):
                for mode, found in zip(MODES, MODELS[name].run(seen, lag, value), strict=True):
                    if value in modes[mode]:
                        poses[_key(name, mode, value)] = found
        out.append(judge(seen, poses, judged_ticks(file, seen, lag)))
        advance(1)
    return out


def _key(name: str, mode: str, value: Values) -> str:
    return f"{name} {mode} {value}"


def _best(tuned: dict[str, dict[str, Any]], name: str, mode: str, grid: Sequence[Values]) -> Values:
    return min(grid, key=lambda value: float(tuned[_key(name, mode, value)][CRITERION]))


def _entry(
    name: str,
    model: Model,
    tuned: dict[str, dict[str, Any]],
    best: dict[str, Values],
    measured: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    grid = [
        {"values": value} | {mode: tuned[_key(name, mode, value)][CRITERION] for mode in MODES}
        for value in model.grid
    ]
    modes = {mode: {"values": best[mode]} | measured[_key(name, mode, best[mode])] for mode in MODES}
    for entry in modes.values():
        entry["ratio"] = {figure: entry[figure] / measured[YARDSTICK][figure] for figure in RATIOS}
    return {"what": model.what, "parameters": model.parameters, f"grid_{CRITERION}": grid} | modes
