"""When free-running cameras fire, measured from the stamps of their frames.

Nobody triggers such a camera: it has a clock of its own, loses frames and jitters. Its frames are
numbered by the intervals between them, and a line through number and stamp gives period and phase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dw_core.errors import ScheduleError
from dw_core.interleave.schedule import PeriodicSchedule

MIN_FRAMES = 3
# Crystals of cameras differ by some 50 parts in a million: cameras that agree better than this were fired
# by one clock, or have phases that take many minutes to drift by a tick.
PERIOD_TOLERANCE = 2e-5


@dataclass(frozen=True)
class CameraTiming:
    """How one camera fires: frame n is exposed at `phase_ns + n * period_ns`, n = 0 the first one seen.

    `jitter_ns`: standard deviation of the stamps about that line; `frames` were seen, `dropped` are
    missing between them.
    """

    camera: str
    period_ns: float
    phase_ns: int
    jitter_ns: float
    frames: int
    dropped: int

    @property
    def rate_hz(self) -> float:
        """Frames per second."""
        return 1e9 / self.period_ns


def camera_timing(camera: str, stamps_ns: Sequence[int]) -> CameraTiming:
    """Period and phase of a camera from stamps of its frames, in any order, some missing.

    An interval counts as so many periods as its ratio to the median interval is nearest to, then period
    and phase are the line of least squares. Right while less than half of the intervals miss a frame
    and stamps jitter by less than a quarter of a period. Raises ScheduleError for fewer than 3 frames.
    """
    stamps = np.unique(np.asarray(stamps_ns, dtype=np.int64))
    if len(stamps) < MIN_FRAMES:
        raise ScheduleError(
            f"camera {camera}: {len(stamps)} frames with different stamps, expected at least {MIN_FRAMES} "
            "to measure its period"
        )
    since = (stamps - stamps[0]).astype(np.float64)
    intervals = np.diff(since)
    steps = np.maximum(np.rint(intervals / np.median(intervals)), 1)
    number = np.append(0, np.cumsum(steps))
    offset = number - number.mean()
    period = float(offset @ since / (offset @ offset))
    phase = float(since.mean() - period * number.mean())
    residual = since - (phase + period * number)
    return CameraTiming(
        camera,
        period,
        int(stamps[0]) + round(phase),
        float(residual.std()),
        len(stamps),
        int(number[-1]) + 1 - len(stamps),
    )


def measured_schedule(
    timings: Sequence[CameraTiming], tolerance: float = PERIOD_TOLERANCE
) -> PeriodicSchedule:
    """The common schedule of cameras whose periods agree within a relative tolerance.

    Its epoch is the first exposure of the first camera, its period the mean of all. Raises ScheduleError
    where there is none: the clocks differ, or two cameras fire at once.
    """
    slow, fast = max(timings, key=lambda one: one.period_ns), min(timings, key=lambda one: one.period_ns)
    if slow.period_ns - fast.period_ns > tolerance * fast.period_ns:
        raise ScheduleError(
            f"camera {slow.camera} has a period of {slow.period_ns / 1e6:.6f} ms and camera {fast.camera} "
            f"one of {fast.period_ns / 1e6:.6f} ms, {1e6 * (slow.period_ns / fast.period_ns - 1):.0f} ppm "
            f"apart, expected at most {1e6 * tolerance:.0f} for a common schedule"
        )
    period = round(sum(one.period_ns for one in timings) / len(timings))
    epoch = timings[0].phase_ns
    phases = (round((one.phase_ns - epoch) % one.period_ns) % period for one in timings)
    return PeriodicSchedule(tuple(one.camera for one in timings), period, tuple(phases), epoch)
