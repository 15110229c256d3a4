"""Free-running cameras: what is measured is what they do, whatever is lost and however it jitters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dw_core.errors import ScheduleError
from dw_core.interleave.schedule import uniform_schedule
from dw_core.interleave.timing import CameraTiming, camera_timing, measured_schedule

START_NS = 1_700_000_000_123_456_789
FOUR = ("cam01", "cam02", "cam03", "cam04")


def fire(period_ns: float, phase_ns: int, frames: int, jitter: float = 0.0, seed: int = 0) -> list[int]:
    """Stamps of a camera; jitter is uniform, up to that part of a period either way."""
    errors = np.random.default_rng(seed).uniform(-jitter, jitter, frames) * period_ns
    return [START_NS + phase_ns + round(n * period_ns + errors[n]) for n in range(frames)]


@given(
    period_ms=st.floats(2, 200),
    phase_ns=st.integers(0, 10**9),
    jitter=st.floats(0, 0.2),
    seed=st.integers(0, 99),
    lost=st.sets(st.integers(1, 98), max_size=30),
)
def test_period_phase_and_jitter_are_found_whatever_is_lost(
    period_ms: float, phase_ns: int, jitter: float, seed: int, lost: set[int]
) -> None:
    """30 of 100 lost are at most 30 of 69 intervals that miss one. Errors of the line: five times its
    standard deviation for uniform jitter."""
    period = 1e6 * period_ms
    stamps = fire(period, phase_ns, 100, jitter, seed)
    timing = camera_timing("cam", [stamp for n, stamp in enumerate(stamps) if n not in lost])
    std = jitter * period / np.sqrt(3)
    assert timing.dropped == len(lost) and timing.frames == 100 - len(lost)
    assert timing.period_ns == pytest.approx(period, abs=5 * std * np.sqrt(12 / 50**3) + 0.1)
    assert timing.phase_ns == pytest.approx(START_NS + phase_ns, abs=5 * std * np.sqrt(4 / 50) + 2)
    assert timing.jitter_ns == pytest.approx(std, rel=0.5, abs=1)


@given(order=st.permutations(range(12)), again=st.lists(st.integers(0, 11), max_size=5))
def test_order_and_repetition_do_not_matter(order: list[int], again: list[int]) -> None:
    stamps = fire(40e6, 0, 12, 0.1)
    assert camera_timing("cam", [stamps[n] for n in [*order, *again]]) == camera_timing("cam", stamps)


@given(
    rate=st.floats(1, 200),
    late=st.lists(st.integers(0, 50), min_size=4, max_size=4),
    order=st.permutations(range(4)),
)
def test_cameras_of_one_clock_have_the_schedule_that_fires_them(
    rate: float, late: list[int], order: list[int]
) -> None:
    """Each is first seen some rounds later than the others."""
    real = uniform_schedule(tuple(FOUR[k] for k in order), rate, START_NS)
    timings = []
    for camera in FOUR:
        phase = real.phases_ns[real.cameras.index(camera)]
        first = late[int(camera[-1]) - 1]
        timings.append(
            camera_timing(camera, [START_NS + phase + (first + n) * real.period_ns for n in range(60)])
        )
    found = measured_schedule(timings)
    assert found.cameras == FOUR and found.period_ns == real.period_ns
    for number in range(40):
        shot = found.shot(found.first_from(START_NS + 60 * real.period_ns) + number)
        nearest = min((real.shot(k) for k in range(230, 300)), key=lambda s: abs(s.stamp_ns - shot.stamp_ns))
        assert nearest.camera == shot.camera and abs(nearest.stamp_ns - shot.stamp_ns) <= 2


def test_clocks_that_differ_have_no_common_schedule() -> None:
    """50 ppm are 3 ms in a minute."""
    periods = (66_666_666.0, 66_666_700.0, 66_670_000.0, 66_666_680.0)
    timings = [
        camera_timing(name, fire(period, k * 16_000_000, 300))
        for k, (name, period) in enumerate(zip(FOUR, periods, strict=True))
    ]
    with pytest.raises(ScheduleError) as error:
        measured_schedule(timings)
    words = ("camera cam03 has a period of 66.670000 ms", "camera cam01 one of 66.666666 ms", "50 ppm")
    assert all(word in str(error.value) for word in words), error.value
    assert measured_schedule(timings, tolerance=1e-4).period_ns == 66_667_512
    assert timings[2].rate_hz == pytest.approx(1e3 / 66.67)


def test_cameras_that_fire_at_once_are_named() -> None:
    timings = [CameraTiming(name, 40e6, START_NS + shift, 0.0, 50, 0) for name, shift in (("a", 0), ("b", 9))]
    with pytest.raises(ScheduleError, match="cameras a and b collide"):
        measured_schedule(timings)


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(ScheduleError, match="camera cam: 2 frames .* expected at least 3"):
        camera_timing("cam", [5, 5, 9])
