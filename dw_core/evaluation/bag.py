"""What a recorded run was worth, in all figures: those of `dw demo`, latency by stage, rates, and accuracy
against the truth of rendered footage or against another run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dw_core.data.bags import Run
from dw_core.errors import MediaError
from dw_core.evaluation.metrics import joint_errors, p_mpjpe
from dw_core.evaluation.run import LATENCY, chosen, matched, percentiles, relative_errors, summarise
from dw_core.types import NS, FloatArray

# True velocities are differences over neighbouring exposures that are no further apart than this.
MAX_GAP_NS = NS // 5
STAGES = ("exposure", "received", "inferred", "fused", "published", "recorded")


def evaluate(run: Run, reference: Run | None = None, progress: bool = True) -> dict[str, Any]:
    """All figures of a run; accuracy against the reference, else against the truth in the run, else none.

    Raises MediaError when nobody was tracked, or when the reference is of other exposures.
    """
    figures = summarise(run, progress) | {
        "stages_ms": stages_ms(run),
        "view_rates_hz": view_rates_hz(run),
        "warning": run.warning,
    }
    if reference is not None:
        poses, velocities = of_run(reference)
        found = accuracy(run, poses, velocities)
        if not found:
            raise MediaError(
                "the run and its reference have no exposure in common, expected two of one recording"
            )
        return figures | {"accuracy": found, "against": "reference"}
    if run.truth:
        return figures | {"accuracy": accuracy(run, run.truth, differences(run.truth)), "against": "truth"}
    return figures | {"against": None}


def stages_ms(run: Run) -> dict[str, dict[str, float]]:
    """Percentiles of the time from each stage to the next, of the skeletons that were tracked."""
    times = (run.stamps_ns, run.received_ns, run.inferred_ns, run.fused_ns, run.published_ns, run.bag_ns)
    passed = {}
    for before, after, start, end in zip(STAGES, STAGES[1:], times, times[1:], strict=False):
        if len(start) == len(end) == len(run.tracked):
            passed[f"{before} to {after}"] = percentiles((end - start)[run.tracked] / 1e6, LATENCY)
    return passed


def view_rates_hz(run: Run) -> dict[str, float]:
    """Observations per second of every view."""
    rates = {}
    for view in run.rig.names:
        stamps = [seen.stamp_ns for seen in run.observations if seen.view == view]
        span_ns = stamps[-1] - stamps[0] if stamps else 0
        rates[view] = (len(stamps) - 1) / (span_ns / NS) if span_ns else 0.0
    return rates


def accuracy(
    run: Run, truth: Mapping[int, FloatArray], velocities: Mapping[int, FloatArray]
) -> dict[str, Any]:
    """Errors of the tracked skeletons against everybody's joints (P, J, 3) and velocities by stamp, over the
    joints that are known; nothing when no exposure has both.

    `coverage`: of the true exposures from the first skeleton to the last, how many have one, and of their
    joints, how many are known.
    """
    at, who = matched(run, truth)
    if not len(at):
        return {}
    found, true, stamps = run.positions[at], chosen(run, truth, at, who), run.stamps_ns[at]
    within = sum(int(stamps[0]) <= stamp <= int(stamps[-1]) for stamp in truth)
    speeds = joint_errors(run.velocities[at], chosen(run, velocities, at, who))
    known, wanted = (np.asarray(np.isfinite(poses).all(-1)) for poses in (found, true))
    return {
        "mpjpe_mm": 1e3 * float(np.nanmean(joint_errors(found, true))),
        "mpjpe_relative_mm": 1e3 * float(np.nanmean(relative_errors(run, found, true))),
        "p_mpjpe_mm": 1e3 * p_mpjpe(found, true),
        "velocity_error_mm_s": 1e3 * float(np.nanmean(speeds)) if np.isfinite(speeds).any() else None,
        "compared": len(at),
        "coverage": {
            "exposures": len(at) / within,
            "joints": float(known[wanted].mean()),
        },
    }


def differences(truth: Mapping[int, FloatArray]) -> dict[int, FloatArray]:
    """Velocities (P, J, 3) in m/s of everybody at each stamp that has neighbours on both sides, by central
    differences of their joints."""
    stamps = sorted(truth)
    moving = {}
    for before, stamp, after in zip(stamps, stamps[1:], stamps[2:], strict=False):
        alike = truth[before].shape == truth[after].shape == truth[stamp].shape
        if alike and after - before <= 2 * MAX_GAP_NS:
            moving[stamp] = (truth[after] - truth[before]) / ((after - before) / NS)
    return moving


def of_run(reference: Run) -> tuple[dict[int, FloatArray], dict[int, FloatArray]]:
    """Joints and velocities (1, J, 3) by stamp of another run's skeletons."""
    tracked = np.flatnonzero(reference.tracked)
    stamps = reference.stamps_ns.tolist()
    poses = {stamps[k]: reference.positions[k][None] for k in tracked}
    return poses, {stamps[k]: reference.velocities[k][None] for k in tracked}
