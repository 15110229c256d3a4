"""What a recorded run was worth: rate, losses, latency, and how well the skeletons agree with themselves.

On real footage there is no truth, so accuracy is judged by what must hold all the same: bones keep
their length, and a view that was left out sees its joints where the others say they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from dw_core.data.bags import IntArray, Run
from dw_core.errors import MediaError
from dw_core.evaluation.metrics import bone_lengths, joint_errors, nearest_index, relative_mad
from dw_core.geometry.camera import MIN_VIEWS, project
from dw_core.skeleton import joint_set
from dw_core.tracking.tracker import SkeletonTracker
from dw_core.types import NS, FloatArray, TrackingState

# A 2D joint that is less likely than this to be where it was seen says nothing about the 3D joint's place.
MIN_CONFIDENCE = 0.5
LATENCY = {"p50": 50, "p95": 95}
# Bones whose length does not change when a person moves (the face and the trunk's sides do).
LIMBS = ("elbow", "wrist", "knee", "ankle")


def summarise(run: Run, progress: bool = True) -> dict[str, Any]:
    """Figures of a run from its first tracked skeleton on, to its last; a tick between them is lost when
    the schedule had one and no skeleton came. Raises MediaError when nobody was tracked.
    """
    start_ns = run.schedule.shot(0).stamp_ns
    tracked = np.flatnonzero(run.tracked & (run.stamps_ns >= start_ns))
    if len(tracked) < 2:
        raise MediaError(
            f"the run tracked nobody in {len(run.stamps_ns)} ticks; see /diagnostics of the nodes"
        )
    first_ns, last_ns = run.stamps_ns[tracked[0]], run.stamps_ns[tracked[-1]]
    ticks = run.schedule.first_from(int(last_ns) + 1) - run.schedule.first_from(int(first_ns))
    latency = (run.published_ns - run.stamps_ns)[tracked] / 1e6
    arrival = (run.bag_ns - run.stamps_ns)[tracked] / 1e6
    span_s = (run.bag_ns[tracked[-1]] - run.bag_ns[tracked[0]]) / NS
    bones = bone_deviation(run)
    errors = left_out_view_px(run, progress)
    left_out = percentiles(errors, {"median": 50, "p90": 90}) if len(errors) else None
    return {
        "skeletons": len(tracked),
        "skeleton_rate_hz": (len(tracked) - 1) / span_s,
        "ticks": ticks,
        "ticks_lost_fraction": 1.0 - len(np.unique(run.stamps_ns[tracked])) / ticks,
        "first_skeleton_after_s": float(first_ns - start_ns) / NS,
        "latency_ms": percentiles(latency, LATENCY),
        "latency_at_recorder_ms": percentiles(arrival, LATENCY),
        "latency_waiting_ms": percentiles(latency - run.busy_ns[tracked] / 1e6, LATENCY),
        "bone_length_mad_fraction": max(bones.values()),
        "bone_length_mad_fraction_by_bone": bones,
        "left_out_view_px": left_out,
    } | true_errors_mm(run)


def true_errors_mm(run: Run) -> dict[str, Any]:
    """MPJPE of the tracked skeletons against the truth of rendered footage, absolute and relative to the
    middle of the hips, over their known joints; nothing for real footage."""
    at, who = matched(run, run.truth)
    if not len(at):
        return {}
    found, true = run.positions[at], chosen(run, run.truth, at, who)
    return {
        "mpjpe_mm": 1e3 * float(np.nanmean(joint_errors(found, true))),
        "mpjpe_relative_mm": 1e3 * float(np.nanmean(relative_errors(run, found, true))),
        "mpjpe_skeletons": len(at),
    }


def matched(run: Run, truth: Mapping[int, FloatArray]) -> tuple[IntArray, IntArray]:
    """Which of the run's T skeletons have a truth of their own exposure (n,), and which of the people who
    were there then, (P, J, 3) by stamp, each is nearest to (n,)."""
    stamps = run.stamps_ns.tolist()
    at = [k for k in np.flatnonzero(run.tracked) if stamps[k] in truth]
    who = [nearest_index(run.positions[k], truth[stamps[k]]) for k in at]
    return np.array(at, dtype=np.int64), np.array(who, dtype=np.int64)


def chosen(run: Run, values: Mapping[int, FloatArray], at: IntArray, who: IntArray) -> FloatArray:
    """Of values (P, J, 3) by stamp those (n, J, 3) of what `matched` found; NaN for stamps without."""
    unknown = np.full(run.positions.shape[1:], np.nan)
    stamps = run.stamps_ns[at].tolist()
    return np.stack(
        [values[stamp][p] if stamp in values else unknown for stamp, p in zip(stamps, who, strict=True)]
    )


def relative_errors(run: Run, found: FloatArray, true: FloatArray) -> FloatArray:
    """Distances (n, J) between poses (n, J, 3) with the middles of their hips laid over each other."""
    joints = joint_set(run.joint_set)
    hips = [joints.index("left_hip"), joints.index("right_hip")]
    middle_found, middle_true = (poses[:, hips].mean(1, keepdims=True) for poses in (found, true))
    return joint_errors(found - middle_found, true - middle_true)


def percentiles(values: FloatArray, which: dict[str, int]) -> dict[str, float]:
    """Named percentiles of values (N,)."""
    return {name: float(np.nanpercentile(values, percent)) for name, percent in which.items()}


def bone_deviation(run: Run) -> dict[str, float]:
    """Median absolute deviation of each limb's length over the run, as a fraction of its median."""
    joints = joint_set(run.joint_set)
    lengths = bone_lengths(run.positions[run.tracked], joints.edges)
    deviation = relative_mad(lengths)
    return {
        f"{a} - {b}": float(value)
        for (a, b), value in zip(joints.bones, deviation, strict=True)
        if b.endswith(LIMBS) and a.split("_")[0] == b.split("_")[0]
    }


def left_out_view_px(run: Run, progress: bool = True) -> FloatArray:
    """Distance (N,) in px between each joint that a view saw and the projection of what the others know.

    Every view is left out in turn: the tracker gets the observations of the others alone and is asked
    for the time of the left-out view's exposures. Empty for a rig of two, of which one alone sees no
    depth.
    """
    errors: list[FloatArray] = []
    if len(run.rig) <= MIN_VIEWS:
        return np.array([])
    for camera in tqdm(run.rig, desc="leave one view out", disable=not progress, leave=False):
        tracker = SkeletonTracker(run.rig.without(camera.name), joint_set(run.joint_set))
        for seen in run.observations:
            if seen.view != camera.name:
                tracker.update(seen)
                continue
            skeleton = tracker.at(seen.stamp_ns)
            if skeleton.state != TrackingState.TRACKED:
                continue
            distance = np.linalg.norm(project(camera, skeleton.positions) - seen.pixels, axis=-1)
            errors.append(distance[(seen.confidence >= MIN_CONFIDENCE) & np.isfinite(distance)])
    return np.concatenate(errors) if errors else np.array([])
