"""How far off skeletons from staggered views are, on motion capture: errors of every method and stage.

Motion is projected into a rig, seen by a simulated 2D network, and all methods get the same maps, or the
joints decoded from them; those that are given all views see M times as many.

The JSON has one entry in `results` for every run (tick_ms, noise, views, jitter, drops), method in a mode,
and sequence, `all` for the clips together: sampling, method, mode, sequence, the run, the figures of
judging.py, `frames` judged and joints `compared`, coverage, latency_ticks, and the errors by joint in mm, in
the order of `joints`; what is not known is null. Beside it: protocol, methods, joints, sequences (files, and
whether their limbs are constant), left_out and why.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dw_core.benchmarks.catalogue import BOTH, METHODS, Key, estimates, keys, latency_ticks
from dw_core.benchmarks.judging import (
    ALIGNMENT,
    MIN_FRAMES,
    WARM_UP_S,
    Judged,
    figures,
    joint_figures,
    judge,
    judged_range,
    too_short,
    versions,
)
from dw_core.benchmarks.simulated import CELLS, Disturbance, Simulated, simulated, ticks_of
from dw_core.data.motion import Motion, load_motions, motion_files
from dw_core.errors import ConfigError
from dw_core.evaluation.results import finite
from dw_core.fusion.weights import packaged_weights
from dw_core.geometry.camera import Rig
from dw_core.joint_refiner import NONE, PACKAGED, load_refiner
from dw_core.pipeline import MAX_LAG_S, Mode
from dw_core.progress import bar
from dw_core.types import NS

SCHEMA_VERSION = 3
POOLED = "all"
JOINT_FIGURES = {"joints_root_mm": "mpjpe_root_mm", "joints_abs_mm": "mpjpe_abs_mm"}
# A limb whose length varies more is none of a body: the files of Carnegie Mellon's vary by nothing.
CONSTANT_LIMB = 0.05
# What is kept of the first clip for the picture of a joint's way.
SHOWN_S, SHOWN_JOINT = 3.0, "right_wrist"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is run: every combination of ticks, noises, jitters, drops and numbers of views (0: all), with
    each method in each mode; seconds of each clip at most; the lag of window mode. Raises ConfigError."""

    tick_ms: tuple[float, ...] = (20.0,)
    noise: tuple[str, ...] = ("detector",)
    jitter: tuple[float, ...] = (0.0,)
    drops: tuple[float, ...] = (0.0,)
    views: tuple[int, ...] = (0,)
    methods: tuple[str, ...] = tuple(METHODS)
    modes: tuple[Mode, ...] = ("causal", "window")
    limit_s: float = 60.0
    lag_ms: float = 1e3 * MAX_LAG_S
    seed: int = 0
    warper: Path | None = None
    warper_no_dt: Path | None = None
    paper_warper: Path | None = None
    mcc: Path | None = None

    def __post_init__(self) -> None:
        for name, values in (("tick_ms", self.tick_ms), ("limit_s", [self.limit_s])):
            if not values or not all(np.isfinite(value) and value > 0 for value in values):
                raise ConfigError(f"{name} is {', '.join(map(str, values)) or 'empty'}, expected more than 0")
        most = 1e3 * MAX_LAG_S
        if not 0 < self.lag_ms <= most:
            raise ConfigError(f"lag_ms is {self.lag_ms}, expected more than 0 and at most {most:g}")
        for name, chosen, known in (("method", self.methods, tuple(METHODS)), ("mode", self.modes, BOTH)):
            if unknown := [one for one in chosen if one not in known]:
                raise ConfigError(f"unknown {name} '{unknown[0]}', expected some of {', '.join(known)}")
        for one in itertools.product(self.noise, self.jitter, self.drops):
            Disturbance(noise=one[0], jitter=one[1], drops=one[2], seed=self.seed)
        if not keys(self.methods, self.modes):
            raise ConfigError(
                f"methods {', '.join(self.methods)} have no mode {', '.join(self.modes)}, expected one"
            )

    @property
    def peers(self) -> dict[str, Path]:
        """Weights of the Warper's peers, of those that there are, by method."""
        given = {"warper_no_dt": self.warper_no_dt, "paper_warper": self.paper_warper}
        return {name: path for name, path in given.items() if path is not None}


@dataclass(frozen=True)
class Combination:
    """What is the same for all clips and methods of one run."""

    tick_ms: float
    views: int
    disturbance: Disturbance

    @property
    def tick_ns(self) -> int:
        return round(self.tick_ms * 1e6)

    def lag_ticks(self, lag_ms: float) -> int:
        """How many ticks after a tick have been when the lag is over."""
        return int(round(lag_ms * 1e6) // self.tick_ns)

    def entry(self) -> dict[str, Any]:
        """As the JSON has it."""
        one = self.disturbance
        return {
            "tick_ms": self.tick_ms,
            "noise": one.noise,
            "views": self.views,
            "jitter": one.jitter,
            "drops": one.drops,
        }


def combinations(settings: Settings, rig: Rig) -> list[Combination]:
    """All that are run. Raises ConfigError for more views than the rig has."""
    out = []
    for tick_ms, views, noise, jitter, drops in itertools.product(
        settings.tick_ms, settings.views, settings.noise, settings.jitter, settings.drops
    ):
        count = views or len(rig)
        if not 2 <= count <= len(rig):
            raise ConfigError(f"views is {count}, expected 2 to {len(rig)}, which the rig has")
        disturbance = Disturbance(noise=noise, jitter=jitter, drops=drops, seed=settings.seed)
        out.append(Combination(tick_ms, count, disturbance))
    return out


def measure(
    paths: Sequence[Path], rig: Rig, settings: Settings, command: str, progress: bool
) -> dict[str, Any]:
    """All figures of one run, ready for JSON. Raises MotionError for files, ConfigError when all clips are
    too short, AssetError for weights."""
    runs = combinations(settings, rig)
    motions, same = load_motions(motion_files(paths))
    left_out = [{"file": str(file), "why": f"holds the same as {first}"} for file, first in same.items()]
    clips = {}
    for file, motion in motions.items():
        require_weights(motion, settings)
        if problem := _too_short(motion, runs, settings):
            left_out.append({"file": str(file), "why": problem})
        else:
            clips[file] = motion
    if not clips:
        raise ConfigError(f"no clip can be judged: {left_out[-1]['file']}: {left_out[-1]['why']}")
    names = dict(zip(clips, sequence_names(list(clips)), strict=True))
    result: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "benchmark": "motion", "command": command}
    result["protocol"] = protocol(rig, settings)
    result["sequences"] = [_sequence(file, names[file], motion, settings) for file, motion in clips.items()]
    result["left_out"] = left_out
    result["results"] = []
    # the 2D network of every view, and the stages after it
    steps = [
        (run.views + 1) * ticks_of(m, run.tick_ns, settings.limit_s) for run in runs for m in clips.values()
    ]
    with bar("ticks", sum(steps), progress) as advance:
        for run in runs:
            judged: dict[str, Judged[Key]] = {}
            for file, motion in clips.items():
                seen, judged[names[file]], poses = _judged(motion, rig, run, settings, advance)
                if "trajectory" not in result:
                    result["trajectory"] = run.entry() | trajectory(names[file], seen, poses)
            result["results"] += list(_entries(judged, run, settings))
    result["joints"] = list_by_joint(result["results"])
    ran = {entry["method"] for entry in result["results"]}
    result["methods"] = {name: asdict(METHODS[name]) for name in METHODS if name in ran}
    result["without_weights"] = [name for name in settings.methods if METHODS[name].needs and name not in ran]
    result["versions"] = versions()
    out: dict[str, Any] = finite(result)
    return out


def require_weights(motion: Motion, settings: Settings) -> None:
    """That a method that was asked for by name has its weights. Raises ConfigError."""
    if settings.methods == tuple(METHODS):
        return
    warper = settings.warper or packaged_weights(motion.joint_set)
    there = {"warper": warper, "mcc": settings.mcc, None: Path()} | settings.peers
    for name in settings.methods:
        if there.get(METHODS[name].needs) is None:
            raise ConfigError(
                f"method {name} has no weights for joints {motion.joint_set}, "
                f"give --{name.replace('_', '-')} FILE"
            )


def _too_short(motion: Motion, runs: Sequence[Combination], settings: Settings) -> str | None:
    """Why a clip cannot be judged in every run."""
    for run in runs:
        T = ticks_of(motion, run.tick_ns, settings.limit_s)
        judged = len(judged_range(T, run.tick_ns, run.views, run.lag_ticks(settings.lag_ms)))
        if judged < MIN_FRAMES:
            return too_short(T, run.tick_ns, judged)
    return None


def sequence_names(files: Sequence[Path]) -> list[str]:
    """The stem of every file, with its folder's name before it where several have the same."""
    stems = [file.stem for file in files]
    names = []
    for file, stem in zip(files, stems, strict=True):
        alone = stems.count(stem) == 1 and stem != POOLED
        names.append(stem if alone else f"{file.parent.name}/{stem}")
    return [name if names.count(name) == 1 else str(file) for name, file in zip(names, files, strict=True)]


def _sequence(file: Path, name: str, motion: Motion, settings: Settings) -> dict[str, Any]:
    """What a clip is, and whether it is a body's."""
    limb, variation = motion.limb_variation()
    return {
        "sequence": name,
        "file": str(file),
        "joint_set": motion.joint_set,
        "rate_hz": motion.rate_hz,
        "seconds": min(motion.duration_s, settings.limit_s),
        "limb_varies_most": limb,
        "limb_variation": variation,
        "limbs_constant": variation <= CONSTANT_LIMB,
    }


def _judged(
    motion: Motion, rig: Rig, run: Combination, settings: Settings, advance: Callable[[int], None]
) -> tuple[Simulated, Judged[Key], dict[Key, Any]]:
    """One clip: as it is seen, errors of all methods, and their poses (T, J, 3)."""
    lag = run.lag_ticks(settings.lag_ms)
    part = Rig(rig.cameras[: run.views])
    # each view is a part of the work
    seen = simulated(motion, part, run.tick_ns, settings.limit_s, run.disturbance, advance)
    wanted = keys(settings.methods, settings.modes)
    warper = settings.warper or packaged_weights(motion.joint_set)
    # what is known of the network's errors helps against nothing else
    known = PACKAGED if run.disturbance.noise == "detector" else NONE
    refiner = load_refiner(known, seen.scene.joints)
    poses = estimates(seen, wanted, lag, warper, settings.mcc, advance, refiner, settings.peers)
    ticks = judged_range(len(seen.scene), run.tick_ns, run.views, lag)
    return seen, judge(seen.scene, poses, ticks), poses


def _entries(
    judged: dict[str, Judged[Key]], run: Combination, settings: Settings
) -> Iterator[dict[str, Any]]:
    """The results of one run: of every method and clip, and of all clips together."""
    pools: dict[str, list[Judged[Key]]] = {POOLED: list(judged.values())}
    for sequence, clips in (pools | {name: [one] for name, one in judged.items()}).items():
        for key, values in figures(clips).items():
            name, mode = key
            entry: dict[str, Any] = {"sampling": METHODS[name].sampling, "method": name, "mode": mode}
            entry["sequence"] = sequence
            entry |= run.entry() | values
            entry["latency_ticks"] = latency_ticks(key, run.views, run.lag_ticks(settings.lag_ms))
            entry |= {to: joint_figures(clips, key, figure) for to, figure in JOINT_FIGURES.items()}
            yield entry


def list_by_joint(entries: list[dict[str, Any]]) -> list[str]:
    """The names of all joints of some results, whose errors by name become lists in their order."""
    names = list(dict.fromkeys(joint for entry in entries for joint in entry["joints_abs_mm"]))
    for entry in entries:
        entry |= {to: [entry[to].get(joint) for joint in names] for to in JOINT_FIGURES}
    return names


def trajectory(name: str, seen: Simulated, poses: dict[Key, Any]) -> dict[str, Any]:
    """The way of one joint in the first seconds that are judged, true and as every method says."""
    scene = seen.scene
    times_s = scene.stamps_ns / NS
    part = (times_s >= WARM_UP_S) & (times_s <= WARM_UP_S + SHOWN_S)
    joint = scene.joints.index(SHOWN_JOINT)

    def way(pose: Any) -> list[list[float]]:
        rounded: list[list[float]] = np.round(pose[part, joint], 4).tolist()
        return rounded

    return {
        "sequence": name,
        "joint": SHOWN_JOINT,
        "times_s": np.round(times_s[part], 4).tolist(),
        "truth_m": way(scene.truth),
        "methods_m": {f"{method} {mode}": way(pose) for (method, mode), pose in poses.items()},
    }


def protocol(rig: Rig, settings: Settings) -> dict[str, Any]:
    """What a reader must know to make the figures again, but for the clips."""
    return {
        "cameras": [f"{camera.name}, {camera.width}x{camera.height}" for camera in rig],
        "images": "without borders",
        "heatmaps": f"{CELLS}x{CELLS} per joint, over crops as the system chooses them around the true "
        "skeleton of the tick before, moved on by its velocity",
        "limit_s": settings.limit_s,
        "part": "the middle of each clip, in the middle of the rig",
        "seed": settings.seed,
        "warm_up_s": WARM_UP_S,
        "lag_ms": settings.lag_ms,
        "warper": str(settings.warper or "the package's, where it has weights for the joints"),
        "alignment": ALIGNMENT,
        "average": "all joints of all ticks that every method gives that gives any",
        "coverage": "part of the joints of the judged ticks that a method gives",
    }
