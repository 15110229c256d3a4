"""Every method that the motion benchmark knows, by name: what it is given, in which modes, how late it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dw_core.benchmarks import interpolation, methods
from dw_core.benchmarks.keypoints import Scene
from dw_core.benchmarks.map_methods import Seen, from_maps
from dw_core.benchmarks.methods import Sampling
from dw_core.geometry.camera import Array
from dw_core.joint_refiner import JointRefiner
from dw_core.pipeline import Mode

# A method in one of its modes.
Key = tuple[str, Mode]
BOTH: tuple[Mode, ...] = ("causal", "window")


@dataclass(frozen=True)
class Method:
    """sampling: all views at every tick, all at every M-th, or one at every tick. `needs`: the option that
    gives its weights."""

    sampling: Sampling
    modes: tuple[Mode, ...]
    what: str
    needs: Literal["warper", "warper_no_dt", "paper_warper", "mcc"] | None = None


METHODS = {
    "dlt": Method("full", ("causal",), "plain DLT of all views at every tick: M times the images"),
    "dlt_weighted": Method("full", ("causal",), "the same, rows times the network's confidence"),
    "dlt_refined": Method("full", ("causal",), "plain DLT of all views' joints that are refined"),
    "robust": Method("full", ("causal",), "robust triangulation of all views at every tick"),
    "full_tracker": Method("full", BOTH, "the tracker, on the joints of all views at every tick"),
    "full_pipeline": Method("full", BOTH, "the same, on joints that are refined as the pipeline's"),
    "sync_hold": Method("sync", ("causal",), "plain DLT of all views at every M-th tick, held in between"),
    "sync_tracker": Method("sync", BOTH, "the tracker, on the joints of all views at every M-th tick"),
    "slerp": Method("sync", ("window",), "bones turned evenly between these"),
    "mcc": Method("sync", ("window",), "a trained network between these", needs="mcc"),
    "copy": Method("interleaved", BOTH, "plain DLT of every view's newest (window: nearest) maps"),
    "hold": Method("interleaved", ("causal",), "the same of whole rounds of exposures, held in between"),
    "extrapolate": Method("interleaved", ("causal",), "plain DLT of pixels moved on at their last velocity"),
    "linear": Method("interleaved", ("window",), "plain DLT of pixels between a view's exposures"),
    "epipolar": Method("interleaved", BOTH, "copy, its maps after spatial fusion"),
    "warper": Method("interleaved", BOTH, "the same, the maps after the Warper too", needs="warper"),
    "warper_no_dt": Method(
        "interleaved",
        ("causal",),
        "the same, but never told the measured lag",
        needs="warper_no_dt",
    ),
    "paper_warper": Method(
        "interleaved",
        ("causal",),
        "the paper's in place of it, which knows no lag",
        needs="paper_warper",
    ),
    "tracker": Method("interleaved", BOTH, "the tracker, on the joints of the raw fresh maps"),
    "pipeline": Method("interleaved", BOTH, "all stages as users run them: the same, on refined joints"),
}
TRACKERS = ("full_tracker", "full_pipeline", "sync_tracker", "tracker")
ON_KEYPOINTS: dict[Key, Callable[[Scene], Array]] = {
    ("dlt", "causal"): methods.dlt_full,
    ("dlt_weighted", "causal"): methods.dlt_full_weighted,
    ("robust", "causal"): methods.robust_full,
    ("sync_hold", "causal"): methods.dlt_sync_hold,
    ("slerp", "window"): interpolation.slerp,
    ("copy", "causal"): methods.dlt_interleaved,
    ("copy", "window"): methods.dlt_nearest,
    ("hold", "causal"): methods.dlt_round_hold,
    ("extrapolate", "causal"): methods.extrapolated_per_view,
    ("linear", "window"): methods.linear_per_view,
}


def keys(names: tuple[str, ...], modes: tuple[Mode, ...]) -> tuple[Key, ...]:
    """The methods in each of their modes, in the order of METHODS."""
    pairs: list[Key] = [(name, mode) for name in METHODS for mode in METHODS[name].modes]
    return tuple((name, mode) for name, mode in pairs if name in names and mode in modes)


def latency_ticks(key: Key, views: int, lag_ticks: int) -> int:
    """How many ticks after a tick its pose is given, where no exposure is lost."""
    name, mode = key
    if mode == "causal":
        return 0
    if name in (*TRACKERS, "pipeline"):
        return lag_ticks
    # the next key frame, or the view's next exposure; centred sets come with the first tick that is too late
    return views - 1 if name in ("slerp", "mcc", "linear") else (views - 1) // 2 + 1


def estimates(
    seen: Seen,
    wanted: tuple[Key, ...],
    lag_ticks: int,
    warper: Path | None,
    mcc: Path | None,
    advance: Callable[[int], None] = lambda ticks: None,
    refiner: JointRefiner | None = None,
    peers: Mapping[str, Path] | None = None,
) -> dict[Key, Array]:
    """Poses (T, J, 3) of every method that is wanted, in the order asked for; those whose weights are missing
    are left out. `refiner`: of the pipeline; `peers`: weights of the Warper's, by
    method. Raises AssetError, ConfigError for weights that cannot be used."""
    found = {key: ON_KEYPOINTS[key](seen.scene) for key in wanted if key in ON_KEYPOINTS}
    if ("mcc", "window") in wanted and mcc is not None:
        found["mcc", "window"] = interpolation.mcc(seen.scene, mcc)
    names = {name for name, _ in wanted}
    refined = seen.scene.refined(refiner) if names & {"dlt_refined", "full_pipeline"} else seen.scene
    if "dlt_refined" in names:
        found["dlt_refined", "causal"] = methods.dlt_full(refined)
    for name in TRACKERS:
        if name in names:
            scene = refined if name == "full_pipeline" else seen.scene
            # what lies behind the clip's end is not smoothed
            lag = lag_ticks if (name, "window") in wanted else len(scene)
            causal, window = methods.track(scene, lag, sampling=METHODS[name].sampling)
            found |= {(name, "causal"): causal, (name, "window"): window}
    found |= from_maps(seen, set(wanted), warper, lag_ticks, advance, refiner, peers)
    return {key: found[key] for key in wanted if key in found}
