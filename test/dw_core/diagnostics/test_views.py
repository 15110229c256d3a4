"""What is said of a view: rate, age, drops, and how it keeps to its schedule."""

from __future__ import annotations

import numpy as np
import pytest

from dw_core.diagnostics.levels import Level
from dw_core.diagnostics.views import ViewLimits, ViewWatch
from dw_core.interleave.schedule import PeriodicSchedule
from dw_core.types import NS

MS = 1_000_000
PERIOD = 50 * MS
SCHEDULE = PeriodicSchedule(("a", "b"), PERIOD, (0, 25 * MS), epoch_ns=7 * NS)
LIMITS = ViewLimits()


def fired(count: int = 60, offset_ms: float = 25.0) -> list[int]:
    return [SCHEDULE.epoch_ns + n * PERIOD + round(offset_ms * MS) for n in range(count)]


def watch(stamps: list[int]) -> ViewWatch:
    view = ViewWatch("b")
    for stamp in stamps:
        view.seen(stamp, None)
    return view


def test_a_view_on_schedule_is_well() -> None:
    stamps = fired()
    level, message, values = watch(stamps).report(stamps[-1] + 30 * MS, SCHEDULE, LIMITS)
    assert (level, message) == (Level.OK, "20.0 Hz")
    assert values == {
        "dropped_late": "0",
        "dropped_early": "0",
        "dropped_duplicate": "0",
        "age_ms": "30",
        "rate_hz": "20.000",
        "jitter_ms": "0.000",
        "frames_missing": "0",
        "scheduled_rate_hz": "20.000",
        "phase_error_ms": "0.000",
    }


@pytest.mark.parametrize(
    ("stamps", "words"),
    [
        ([s for n, s in enumerate(fired()) if n % 4], "Hz of 20.0"),
        (fired(offset_ms=28.5), "phase error of 3.5 ms"),
        (fired(offset_ms=-24.0), "phase error of 1.0 ms"),
        (
            [s + int(d) for s, d in zip(fired(), np.resize([-4 * MS, 4 * MS], 60), strict=True)],
            "jitter of 4.0 ms",
        ),
    ],
)
def test_what_is_wrong_is_said(stamps: list[int], words: str) -> None:
    limits = ViewLimits(max_phase_error_ms=0.5)
    level, message, _ = watch(stamps).report(stamps[-1], SCHEDULE, limits)
    assert level == Level.WARN and words in message


def test_drops_are_counted_by_reason_and_judged_by_those_of_the_last_second() -> None:
    view, stamps = watch(fired()), fired()
    for reason in ("late", "late", "early", "duplicate"):
        view.seen(stamps[-1], reason)
    level, message, values = view.report(stamps[-1], SCHEDULE, LIMITS)
    assert level == Level.WARN and "4 of 64 frames of the last second were dropped" in message
    assert [values[f"dropped_{reason}"] for reason in ("late", "early", "duplicate")] == ["2", "1", "1"]
    assert view.report(stamps[-1], SCHEDULE, LIMITS)[0] == Level.OK


def test_silence_is_an_error_but_a_slow_camera_is_not_silent() -> None:
    stamps = fired()
    level, message, _ = watch(stamps).report(stamps[-1] + 1200 * MS, SCHEDULE, LIMITS)
    assert (level, message) == (Level.ERROR, "silent for 1.2 s")
    slow = [n * NS for n in range(6)]
    assert watch(slow).report(slow[-1] + 2000 * MS, None, LIMITS)[0] == Level.OK
    assert ViewWatch("b").report(0, SCHEDULE, LIMITS)[:2] == (Level.ERROR, "nothing seen yet")


def test_without_a_schedule_a_free_running_camera_is_judged_by_itself() -> None:
    stamps = fired(offset_ms=13.0)
    level, _, values = watch(stamps).report(stamps[-1], None, LIMITS)
    assert level == Level.OK and "phase_error_ms" not in values and values["rate_hz"] == "20.000"


def test_exposures_of_an_older_schedule_do_not_count_for_phase_and_rate() -> None:
    stamps = fired(offset_ms=5.0)
    view = watch(stamps)
    view.begin(stamps[-1] + 1)
    assert "rate_hz" not in view.report(stamps[-1], SCHEDULE, LIMITS)[2]
    later = [stamp for stamp in fired(120) if stamp > stamps[-1]]
    for stamp in later:
        view.seen(stamp, None)
    level, _, values = view.report(later[-1], SCHEDULE, LIMITS)
    assert (level, values["phase_error_ms"], values["frames_missing"]) == (Level.OK, "0.000", "0")
