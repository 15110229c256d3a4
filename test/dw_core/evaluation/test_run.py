"""Figures of a run that was made to have them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from dw_core.data.bags import Run
from dw_core.errors import MediaError
from dw_core.evaluation.demo_report import report
from dw_core.evaluation.run import bone_deviation, left_out_view_px, percentiles, summarise
from dw_core.geometry.camera import Array, Rig, project
from dw_core.interleave.schedule import uniform_schedule
from dw_core.skeleton import COCO17
from dw_core.types import NS, Skeleton2D

START_NS = 1_700_000_000 * NS
RATE_HZ = 12.5  # per camera: 20 ms from tick to tick
TICKS = 201
BEFORE = 50  # ticks before the first skeleton
LOST = (60, 100, 101, 150)  # ticks without a skeleton
MS = 1_000_000
J = len(COCO17)
LIMB_ENDS = tuple(
    COCO17.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("wrist", "ankle")
)
MakeRun = Callable[..., Run]


@pytest.fixture
def make_run(rig: Rig, person: Array) -> MakeRun:
    """A person who walks at 0.5 m/s, seen exactly; latency of tick k in ms from `latency_ms`, at the
    recorder 5 ms more; limbs as long as `stretch` (T,) times the true length."""

    def make(latency_ms: Array | None = None, stretch: Array | None = None) -> Run:
        schedule = uniform_schedule(rig.names, RATE_HZ, START_NS)
        shots = tuple(schedule.shot(number) for number in range(TICKS))
        stamps = np.array([shot.stamp_ns for shot in shots])
        truth = person + 0.5 * ((stamps - START_NS) / NS)[:, None, None] * (1.0, 0.0, 0.0) - (1.0, 0.0, 0.0)
        positions = truth.copy()
        if stretch is not None:
            for a, b in COCO17.edges:
                if b in LIMB_ENDS:
                    positions[:, b] = truth[:, a] + stretch[:, None] * (truth[:, b] - truth[:, a])
        positions[:BEFORE] = np.nan
        positions[list(LOST)] = np.nan
        latency = np.full(TICKS, 30.0) if latency_ms is None else latency_ms
        published = stamps + (latency * MS).astype(np.int64)
        observations = tuple(
            Skeleton2D(
                shot.camera, shot.stamp_ns,
                project(rig[rig.index(shot.camera)], joints),
                np.broadcast_to(4.0 * np.eye(2), (J, 2, 2)), np.ones(J),
            )
            for shot, joints in zip(shots, truth, strict=True)
        )  # fmt: skip
        return Run(
            rig,
            "coco17",
            schedule,
            observations,
            stamps,
            stamps + MS,
            published,
            published + 5 * MS,
            np.full(TICKS, 8 * MS),
            positions,
        )

    return make


def test_rate_losses_and_latency_of_a_run_are_exact(make_run: MakeRun) -> None:
    """A sawtooth of latencies 20, 21, ..., 39 ms."""
    figures = summarise(make_run(20.0 + np.arange(TICKS) % 20), progress=False)
    ticks = TICKS - BEFORE
    assert (figures["skeletons"], figures["ticks"]) == (ticks - len(LOST), ticks)
    assert figures["ticks_lost_fraction"] == pytest.approx(len(LOST) / ticks)
    assert figures["first_skeleton_after_s"] == pytest.approx(BEFORE * 0.02)
    span_s = (TICKS - 1 - BEFORE) * 0.02 + (20 + 200 % 20 - 20 - 50 % 20) / 1e3
    assert figures["skeleton_rate_hz"] == pytest.approx((ticks - len(LOST) - 1) / span_s)
    known = np.setdiff1d(np.arange(BEFORE, TICKS), LOST)
    latency = 20.0 + known % 20
    assert figures["latency_ms"] == pytest.approx(
        {"p50": np.percentile(latency, 50), "p95": np.percentile(latency, 95)}
    )
    assert figures["latency_at_recorder_ms"] == pytest.approx(
        {"p50": np.percentile(latency, 50) + 5, "p95": np.percentile(latency, 95) + 5}
    )
    assert figures["latency_waiting_ms"] == pytest.approx(
        {"p50": np.percentile(latency, 50) - 8, "p95": np.percentile(latency, 95) - 8}
    )


def test_a_run_without_losses_has_none(make_run: MakeRun) -> None:
    run = make_run()
    whole = replace(run, positions=np.where(np.isnan(run.positions), 0.0, run.positions))
    figures = summarise(whole, progress=False)
    assert figures["ticks_lost_fraction"] == 0.0 and figures["first_skeleton_after_s"] == 0.0
    assert figures["skeleton_rate_hz"] == pytest.approx(50.0)


def test_a_tick_of_which_nothing_was_heard_is_lost_too(make_run: MakeRun) -> None:
    """The schedule tells, though neither a shot nor an empty array came of that tick."""
    run = make_run()
    kept = np.arange(TICKS) != 120
    arrays = ("stamps_ns", "received_ns", "published_ns", "bag_ns", "busy_ns", "positions")
    gap = replace(run, **{name: getattr(run, name)[kept] for name in arrays})
    ticks = TICKS - BEFORE
    assert summarise(gap, progress=False)["ticks_lost_fraction"] == pytest.approx((len(LOST) + 1) / ticks)


def test_a_rig_of_two_has_no_view_to_leave_out(make_run: MakeRun) -> None:
    run = make_run()
    pair = replace(run, rig=Rig(run.rig.cameras[:2]))
    figures = summarise(pair, progress=False)
    assert figures["left_out_view_px"] is None
    assert "left out" in report({**figures, "left_out_view_px": {"median": 1.0, "p90": 2.0}})
    assert "left out" not in report(figures)


def test_deviation_of_bones_is_that_of_their_lengths(make_run: MakeRun) -> None:
    """Forearms and shanks stretched by -4 %, 0 or 4 % in turn, so the median absolute deviation is 4 %;
    upper arms and thighs do not change."""
    stretch = 1.0 + 0.04 * (np.arange(TICKS) % 3 - 1)
    run = make_run(stretch=stretch)
    bones = bone_deviation(run)
    assert set(bones) == {
        f"{side}_{a} - {side}_{b}"
        for side in ("left", "right")
        for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
    }
    for name, value in bones.items():
        assert value == pytest.approx(0.04 if name.endswith(("wrist", "ankle")) else 0.0, abs=1e-9)
    assert summarise(run, progress=False)["bone_length_mad_fraction"] == pytest.approx(0.04)


def test_a_view_that_was_left_out_sees_its_joints_where_the_others_say(make_run: MakeRun) -> None:
    errors = left_out_view_px(make_run(), progress=False)
    assert len(errors) > 0.8 * TICKS * J
    assert np.median(errors) < 0.05 and np.percentile(errors, 90) < 1.0


def test_noise_in_the_views_shows_in_the_view_that_was_left_out(make_run: MakeRun) -> None:
    """Of one view's own noise of 3 px in x and y, at least its median of 3 sqrt(2 ln 2) = 3.5 px remains."""
    run = make_run()
    rng = np.random.default_rng(0)
    noisy = tuple(
        replace(one, pixels=one.pixels + rng.normal(0, 3, (J, 2)), covariance=9.0 * one.covariance / 4)
        for one in run.observations
    )
    errors = left_out_view_px(replace(run, observations=noisy), progress=False)
    assert 3.5 < np.median(errors) < 5.5


def test_joints_without_confidence_say_nothing_about_a_view(make_run: MakeRun) -> None:
    run = make_run()
    doubtful = []
    for one in run.observations:
        pixels, confidence = one.pixels.copy(), one.confidence.copy()
        pixels[0] += 500.0
        confidence[0] = 0.1
        doubtful.append(replace(one, pixels=pixels, confidence=confidence))
    errors = left_out_view_px(replace(run, observations=tuple(doubtful)), progress=False)
    assert errors.max() < 100


@pytest.mark.parametrize("tracked", [0, 1])
def test_a_run_that_tracked_nobody_has_no_figures(make_run: MakeRun, tracked: int) -> None:
    run = make_run()
    positions = np.full_like(run.positions, np.nan)
    positions[:tracked] = 1.0
    with pytest.raises(MediaError, match=f"tracked nobody in {TICKS} ticks; see /diagnostics"):
        summarise(replace(run, positions=positions), progress=False)


def test_when_no_view_can_be_left_out_nothing_is_claimed(make_run: MakeRun) -> None:
    run = make_run()
    errors = left_out_view_px(replace(run, observations=()), progress=False)
    assert np.isnan(errors).all()


def test_percentiles_leave_out_what_is_unknown() -> None:
    assert percentiles(np.array([1.0, np.nan, 3.0]), {"middle": 50, "most": 100}) == {
        "middle": 2.0,
        "most": 3.0,
    }
