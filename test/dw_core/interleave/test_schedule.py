"""Schedules: one integer formula, no drift, refused when they cannot be executed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dw_core.errors import ScheduleError
from dw_core.interleave.schedule import (
    NS,
    PeriodicSchedule,
    RecordedSchedule,
    load_recorded_schedule,
    phase_errors_ns,
    rate_hz,
    uniform_schedule,
)

FOUR = ("cam01", "cam02", "cam03", "cam04")


def test_four_cameras_at_15_hz_tick_at_60_hz_in_turn() -> None:
    schedule = uniform_schedule(FOUR, 15.0, epoch_ns=7)
    shots = [schedule.shot(n) for n in range(9)]
    assert [shot.camera for shot in shots] == [*FOUR, *FOUR, "cam01"]
    gaps = {after.stamp_ns - here.stamp_ns for here, after in pairwise(shots)}
    assert max(gaps) - min(gaps) <= 1, "integer rounding may cost one nanosecond, no more"
    assert shots[8].stamp_ns == 7 + 2 * schedule.period_ns


def test_a_day_later_the_schedule_has_not_drifted() -> None:
    schedule = uniform_schedule(FOUR, 15.0)
    rounds = 24 * 3600 * 15
    assert schedule.shot(4 * rounds).stamp_ns == rounds * schedule.period_ns


@given(
    gaps=st.lists(st.integers(1_000_000, 20_000_000), min_size=2, max_size=8),
    start=st.integers(0, 5_000_000),
    stamp=st.integers(-NS, 10 * NS),
    order=st.randoms(),
)
def test_shots_are_in_order_of_time_for_any_phases(gaps: list[int], start: int, stamp: int, order) -> None:
    phases = [start + sum(gaps[:i]) for i in range(len(gaps))]
    period = start + sum(gaps)
    order.shuffle(phases)
    schedule = PeriodicSchedule(tuple(f"c{i}" for i in range(len(gaps))), period, tuple(phases))
    stamps = [schedule.shot(n).stamp_ns for n in range(3 * len(gaps))]
    assert all(a < b for a, b in pairwise(stamps))
    first = schedule.first_from(stamp)
    assert schedule.shot(first).stamp_ns >= stamp
    assert first == 0 or schedule.shot(first - 1).stamp_ns < stamp


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        ((0, 10_000_000, 10_500_000, 30_000_000), ["cam02", "cam03", "collide", "0.5 ms", "at least 1 ms"]),
        ((0, 10_000_000, 20_000_000, 39_500_000), ["cam04", "cam01", "collide"]),
        ((0, 10_000_000, 20_000_000, 40_000_000), ["cam04", "40 ms", "less than the period"]),
        ((0, 10_000_000, 20_000_000), ["3 phases", "4 cameras"]),
    ],
)
def test_impossible_phases_are_refused_by_name(phases: tuple[int, ...], words: list[str]) -> None:
    with pytest.raises(ScheduleError) as error:
        PeriodicSchedule(FOUR, 40_000_000, phases)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("rate", [0.0, -15.0, 1e6, float("nan")])
def test_an_impossible_rate_is_refused(rate: float) -> None:
    with pytest.raises(ScheduleError, match="expected more than 0"):
        uniform_schedule(FOUR, rate)


def test_a_recorded_schedule_repeats_with_its_own_intervals(tmp_path: Path) -> None:
    file = tmp_path / "shots.csv"
    file.write_text("camera,stamp_ns\ncam01,1000\ncam02,1400\ncam01,2200\n")
    schedule = load_recorded_schedule(file, FOUR, epoch_ns=50)
    assert schedule.cameras == ("cam01", "cam02")
    assert [schedule.shot(n).stamp_ns for n in range(4)] == [50, 450, 1250, 50 + 1200 + 600]
    assert schedule.first_from(1251) == 3
    assert schedule.shot(3).camera == "cam01"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("camera,stamp_ns\ncam01,0\ncam09,5\n", ["line 3", "cam09", "cam01, cam02"]),
        ("camera,stamp_ns\ncam01,0\ncam02,soon\n", ["line 3", "integer"]),
        ("camera,stamp_ns\ncam01,5\ncam02,5\n", ["increasing"]),
        ("camera,stamp_ns\ncam01,5\n", ["1 shots", "at least 2"]),
    ],
)
def test_a_bad_recorded_schedule_is_refused_with_its_place(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    file = tmp_path / "shots.csv"
    file.write_text(text)
    with pytest.raises(ScheduleError) as error:
        load_recorded_schedule(file, FOUR)
    assert all(word in str(error.value) for word in ["shots.csv", *words]), error.value


def test_a_missing_recorded_schedule_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScheduleError, match=r"nowhere\.csv.*expected a CSV"):
        load_recorded_schedule(tmp_path / "nowhere.csv", FOUR)


def test_a_round_must_outlast_its_shots() -> None:
    with pytest.raises(ScheduleError, match="expected more than"):
        RecordedSchedule((("cam01", 0), ("cam02", 10)), 10)


@given(offset=st.integers(-24_999_999, 24_999_999), number=st.integers(0, 10**7), phase=st.integers(0, 49))
def test_the_phase_error_is_the_way_to_the_nearest_shot(offset: int, number: int, phase: int) -> None:
    schedule = PeriodicSchedule(("a",), 50_000_000, (phase * 1_000_000,), epoch_ns=12345)
    assert phase_errors_ns(schedule, "a", [schedule.shot(number).stamp_ns + offset]) == [offset]


def test_a_recorded_camera_may_have_several_shots_in_a_round() -> None:
    schedule = RecordedSchedule((("a", 0), ("b", 10), ("a", 30)), 100, epoch_ns=1000)
    assert phase_errors_ns(schedule, "a", [1002, 1027, 1199]) == [2, -3, -1]
    assert (rate_hz(schedule, "a"), rate_hz(schedule, "b")) == (2 * NS / 100, NS / 100)
    with pytest.raises(ScheduleError, match="camera c is not in the schedule of a, b"):
        phase_errors_ns(schedule, "c", [0])
