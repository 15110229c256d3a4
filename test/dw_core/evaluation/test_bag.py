"""Accuracy, stages and rates of runs that were made to have known ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from dw_core.data.bags import Run
from dw_core.errors import MediaError
from dw_core.evaluation.bag import accuracy, differences, evaluate, of_run, stages_ms, view_rates_hz
from dw_core.evaluation.bag_report import report
from dw_core.evaluation.run import summarise
from dw_core.geometry.camera import Array, Rig, project
from dw_core.interleave.schedule import uniform_schedule
from dw_core.skeleton import COCO17
from dw_core.types import NS, Skeleton2D

START_NS = 1_700_000_000 * NS
TICKS = 60
MS = 1_000_000
SPEED = np.array([0.5, -0.2, 0.1])  # m/s
J = len(COCO17)
MakeRun = Callable[..., Run]


@pytest.fixture
def make_run(rig: Rig, person: Array) -> MakeRun:
    """A person who walks at SPEED, `off` (J, 3) m from where they truly are, faster by `faster` (3,) m/s;
    another who stands two metres beside."""

    def make(off: Array | float = 0.0, faster: Array | float = 0.0) -> Run:
        schedule = uniform_schedule(rig.names, 12.5, START_NS)
        shots = [schedule.shot(number) for number in range(TICKS)]
        stamps = np.array([shot.stamp_ns for shot in shots])
        walked = person + ((stamps - START_NS) / NS)[:, None, None] * SPEED
        beside = person + (2.0, 0.0, 0.0)
        observations = tuple(
            Skeleton2D(
                shot.camera, shot.stamp_ns, project(rig[rig.index(shot.camera)], joints),
                np.broadcast_to(4.0 * np.eye(2), (J, 2, 2)), np.ones(J),
            )
            for shot, joints in zip(shots, walked, strict=True)
        )  # fmt: skip
        return Run(
            rig, "coco17", schedule, observations, stamps,
            received_ns=stamps + 5 * MS, published_ns=stamps + 30 * MS, bag_ns=stamps + 32 * MS,
            busy_ns=np.full(TICKS, 20 * MS),
            positions=walked + off, velocities=np.broadcast_to(SPEED + faster, walked.shape),
            inferred_ns=stamps + 20 * MS, fused_ns=stamps + 26 * MS,
            truth={int(ns): np.stack((beside, joints)) for ns, joints in zip(stamps, walked, strict=True)},
        )  # fmt: skip

    return make


def test_a_shift_is_an_absolute_error_and_no_relative_one(make_run: MakeRun) -> None:
    figures = evaluate(make_run(off=np.array([0.03, 0.04, 0.0])), progress=False)
    assert figures["against"] == "truth"
    found = figures["accuracy"]
    assert found["mpjpe_mm"] == pytest.approx(50) == figures["mpjpe_mm"]
    assert found["mpjpe_relative_mm"] == pytest.approx(0, abs=1e-6)
    assert found["p_mpjpe_mm"] == pytest.approx(0, abs=1e-6)
    assert found["velocity_error_mm_s"] == pytest.approx(0, abs=1e-6)
    assert found["coverage"] == {"exposures": 1.0, "joints": 1.0} and found["compared"] == TICKS


def test_a_person_of_another_size_is_off_until_aligned(make_run: MakeRun, person: Array) -> None:
    found = evaluate(make_run(off=0.1 * (person - person.mean(0))), progress=False)["accuracy"]
    assert found["mpjpe_relative_mm"] > 30 and found["p_mpjpe_mm"] == pytest.approx(0, abs=1e-6)


def test_velocities_are_those_of_the_skeletons_not_their_differences(make_run: MakeRun) -> None:
    found = evaluate(make_run(faster=np.array([0.0, 0.3, 0.4])), progress=False)["accuracy"]
    assert found["velocity_error_mm_s"] == pytest.approx(500)
    assert found["mpjpe_mm"] == pytest.approx(0, abs=1e-6)


def test_missing_skeletons_and_joints_are_not_covered(make_run: MakeRun) -> None:
    run = make_run()
    positions = run.positions.copy()
    positions[[10, 11, 12]] = np.nan  # between the first and the last
    positions[20:, :2] = np.nan
    found = evaluate(replace(run, positions=positions), progress=False)["accuracy"]
    assert found["compared"] == TICKS - 3
    assert found["coverage"]["exposures"] == pytest.approx((TICKS - 3) / TICKS)
    assert found["coverage"]["joints"] == pytest.approx(1 - (TICKS - 20) * 2 / (J * (TICKS - 3)))


def test_what_came_before_the_first_skeleton_is_not_held_against_it(make_run: MakeRun) -> None:
    run = make_run()
    positions = run.positions.copy()
    positions[:15] = np.nan
    assert accuracy(replace(run, positions=positions), run.truth, {})["coverage"]["exposures"] == 1.0


def test_a_run_against_another_of_the_same_exposures(make_run: MakeRun) -> None:
    run, reference = make_run(off=np.array([0.0, 0.0, 0.02])), replace(make_run(), truth={})
    figures = evaluate(run, reference, progress=False)
    assert figures["against"] == "reference" and figures["accuracy"]["mpjpe_mm"] == pytest.approx(20)
    assert evaluate(run, run, progress=False)["accuracy"]["mpjpe_mm"] == 0.0
    text = report(figures)
    assert "reference MPJPE 20.0 mm" in text and "velocities 0 mm/s" in text


def test_a_reference_of_other_exposures_is_refused(make_run: MakeRun) -> None:
    run = make_run()
    other = replace(run, stamps_ns=run.stamps_ns + 1)
    with pytest.raises(MediaError, match="^the run and its reference have no exposure in common"):
        evaluate(run, other, progress=False)


def test_without_truth_and_reference_the_figures_are_those_of_the_demo(make_run: MakeRun) -> None:
    run = replace(make_run(), truth={})
    figures = evaluate(run, progress=False)
    assert "accuracy" not in figures and figures["against"] is None
    summary = summarise(run, progress=False)
    assert {name: figures[name] for name in summary} == summary


def test_every_stage_takes_its_time(make_run: MakeRun) -> None:
    stages = stages_ms(make_run())
    assert {name: spent["p50"] for name, spent in stages.items()} == pytest.approx(
        {
            "exposure to received": 5,
            "received to inferred": 15,
            "inferred to fused": 6,
            "fused to published": 4,
            "published to recorded": 2,
        }
    )
    assert "received 5.0 (5.0), inferred 15.0 (15.0)" in report(evaluate(make_run(), progress=False))


def test_every_view_has_its_rate(make_run: MakeRun, rig: Rig) -> None:
    run = make_run()
    assert view_rates_hz(run) == pytest.approx(dict.fromkeys(rig.names, 12.5))
    assert view_rates_hz(replace(run, observations=()))[rig.names[0]] == 0.0


def test_true_velocities_need_neighbours_on_both_sides(make_run: MakeRun) -> None:
    truth = dict(make_run().truth)
    moving = differences(truth)
    stamps = sorted(truth)
    assert sorted(moving) == stamps[1:-1]
    np.testing.assert_allclose(moving[stamps[5]][1], np.broadcast_to(SPEED, (J, 3)), atol=1e-9)
    assert not moving[stamps[5]][0].any(), "who stands does not move"
    apart = {stamps[0]: truth[stamps[0]], stamps[1]: truth[stamps[1]], stamps[1] + NS: truth[stamps[2]]}
    assert differences(apart) == {}, "too far apart to say"


def test_joints_of_a_run_by_stamp(make_run: MakeRun) -> None:
    run = make_run()
    poses, velocities = of_run(run)
    assert list(poses) == run.stamps_ns.tolist() == list(velocities)
    assert poses[int(run.stamps_ns[3])].shape == (1, J, 3)
