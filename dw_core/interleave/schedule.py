"""Who fires when: shot times in integer nanoseconds, from one formula or from a recording.

Timer periods are never added up, so a schedule does not drift: the middle of the exposure of
shot k of camera c is `epoch + k * period + phase[c]`.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from dw_core.errors import ScheduleError

NS = 1_000_000_000
# Two cameras closer than this fire at once as far as one 2D network pass per tick is concerned.
MIN_PHASE_GAP_NS = 1_000_000
MAX_RATE_HZ = 1000.0


@dataclass(frozen=True)
class Shot:
    """Tick `number` over all cameras: the middle of the exposure of `camera` is at `stamp_ns`.

    `issued_ns`: when the trigger really fired; 0 while it has not.
    """

    number: int
    camera: str
    stamp_ns: int
    issued_ns: int = 0


@dataclass(frozen=True)
class PeriodicSchedule:
    """Every camera fires once per period, each at its own phase.

    `phases_ns` belongs to `cameras`, 0 <= phase < period. Raises ScheduleError when a phase lies
    outside of the period or two cameras fire less than 1 ms apart (also around the period's end).
    """

    cameras: tuple[str, ...]
    period_ns: int
    phases_ns: tuple[int, ...]
    epoch_ns: int = 0

    def __post_init__(self) -> None:
        if len(self.phases_ns) != len(self.cameras):
            raise ScheduleError(
                f"{len(self.phases_ns)} phases for {len(self.cameras)} cameras, expected one phase per camera"
            )
        if self.period_ns * MAX_RATE_HZ < NS:
            raise ScheduleError(
                f"the period is {self.period_ns} ns, expected at least {NS / MAX_RATE_HZ:.0f} ns "
                f"({MAX_RATE_HZ:g} Hz)"
            )
        for camera, phase in zip(self.cameras, self.phases_ns, strict=True):
            if not 0 <= phase < self.period_ns:
                raise ScheduleError(
                    f"camera {camera}: phase is {phase / 1e6:g} ms, "
                    f"expected 0 or more and less than the period of {self.period_ns / 1e6:g} ms"
                )
        order = self._order
        for here, after in pairwise([*order, order[0]]):
            gap = (self.phases_ns[after] - self.phases_ns[here]) % self.period_ns
            if gap < MIN_PHASE_GAP_NS and here != after:
                raise ScheduleError(
                    f"phases of cameras {self.cameras[here]} and {self.cameras[after]} collide: they are "
                    f"{gap / 1e6:g} ms apart, expected at least {MIN_PHASE_GAP_NS / 1e6:g} ms"
                )

    @property
    def _order(self) -> list[int]:
        """Camera indices in firing order."""
        return sorted(range(len(self.cameras)), key=lambda index: self.phases_ns[index])

    def shot(self, number: int) -> Shot:
        """The shot of tick `number`, 0 and up."""
        round_number, place = divmod(number, len(self.cameras))
        camera = self._order[place]
        stamp = self.epoch_ns + round_number * self.period_ns + self.phases_ns[camera]
        return Shot(number, self.cameras[camera], stamp)

    def first_from(self, stamp_ns: int) -> int:
        """Number of the first tick at or after a time (0 before the epoch)."""
        number = max((stamp_ns - self.epoch_ns) // self.period_ns, 0) * len(self.cameras)
        while self.shot(number).stamp_ns < stamp_ns:
            number += 1
        return number


def uniform_schedule(cameras: tuple[str, ...], rate_hz: float, epoch_ns: int = 0) -> PeriodicSchedule:
    """M cameras at `rate_hz` frames per second each, phase-shifted evenly: M * rate_hz ticks per second.
    Raises ScheduleError for a rate out of range."""
    if not 0 < rate_hz <= MAX_RATE_HZ:
        raise ScheduleError(
            f"the rate is {rate_hz:g} Hz, expected more than 0 and at most {MAX_RATE_HZ:g} Hz"
        )
    period = round(NS / rate_hz)
    phases = tuple(index * period // len(cameras) for index in range(len(cameras)))
    return PeriodicSchedule(cameras, period, phases, epoch_ns)


@dataclass(frozen=True)
class RecordedSchedule:
    """Shots as some rig really fired, repeated without end.

    `shots` are (camera, offset in ns from the first shot), in order of time; one round lasts
    `round_ns`, which must be later than the last offset. Raises ScheduleError.
    """

    shots: tuple[tuple[str, int], ...]
    round_ns: int
    epoch_ns: int = 0

    def __post_init__(self) -> None:
        offsets = [offset for _, offset in self.shots]
        if not offsets or offsets[0] != 0 or any(b <= a for a, b in pairwise(offsets)):
            raise ScheduleError(
                "a recorded schedule needs shots in strictly increasing order of time, the first at 0"
            )
        if self.round_ns <= offsets[-1]:
            raise ScheduleError(
                f"a round lasts {self.round_ns} ns, expected more than the last shot's {offsets[-1]} ns"
            )

    @property
    def cameras(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(camera for camera, _ in self.shots))

    def shot(self, number: int) -> Shot:
        """The shot of tick `number`, 0 and up."""
        round_number, place = divmod(number, len(self.shots))
        camera, offset = self.shots[place]
        return Shot(number, camera, self.epoch_ns + round_number * self.round_ns + offset)

    def first_from(self, stamp_ns: int) -> int:
        """Number of the first tick at or after a time (0 before the epoch)."""
        number = max((stamp_ns - self.epoch_ns) // self.round_ns, 0) * len(self.shots)
        while self.shot(number).stamp_ns < stamp_ns:
            number += 1
        return number


Schedule = PeriodicSchedule | RecordedSchedule


def shots_per_period(schedule: Schedule) -> tuple[int, tuple[tuple[str, int], ...]]:
    """The period in ns, and (camera, offset in ns from the epoch) of every shot in it."""
    if isinstance(schedule, PeriodicSchedule):
        return schedule.period_ns, tuple(zip(schedule.cameras, schedule.phases_ns, strict=True))
    return schedule.round_ns, schedule.shots


def rate_hz(schedule: Schedule, camera: str) -> float:
    """How often a camera fires, on average; 0 for one that does not."""
    period_ns, shots = shots_per_period(schedule)
    return sum(name == camera for name, _ in shots) * NS / period_ns


def phase_errors_ns(schedule: Schedule, camera: str, stamps_ns: Sequence[int]) -> list[int]:
    """How long after (or, negative, before) the camera's nearest scheduled shot each stamp lies, ns. Raises
    ScheduleError for a camera that is not scheduled."""
    period_ns, shots = shots_per_period(schedule)
    offsets = [offset for name, offset in shots if name == camera]
    if not offsets:
        raise ScheduleError(f"camera {camera} is not in the schedule of {', '.join(schedule.cameras)}")
    half = period_ns // 2

    def error(stamp_ns: int) -> int:
        since = stamp_ns - schedule.epoch_ns
        return min(((since - offset + half) % period_ns - half for offset in offsets), key=abs)

    return [error(stamp_ns) for stamp_ns in stamps_ns]


def load_recorded_schedule(path: Path, cameras: tuple[str, ...], epoch_ns: int = 0) -> RecordedSchedule:
    """Read a recorded schedule from CSV with the header `camera,stamp_ns`, one line per shot.

    The round ends one mean interval after the last shot. Raises ScheduleError naming the file and line.
    """
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise ScheduleError(
            f"{path}: cannot be read ({error.strerror}), expected a CSV file of shots"
        ) from None
    shots = []
    for line, row in enumerate(rows, start=2):
        try:
            camera, stamp = row["camera"], int(row["stamp_ns"])
        except (KeyError, TypeError, ValueError):
            raise ScheduleError(
                f"{path}, line {line}: expected the columns camera,stamp_ns (an integer)"
            ) from None
        if camera not in cameras:
            raise ScheduleError(
                f"{path}, line {line}: camera '{camera}' is not in the rig ({', '.join(cameras)})"
            )
        shots.append((camera, stamp))
    if len(shots) < 2:
        raise ScheduleError(f"{path}: holds {len(shots)} shots, expected at least 2")
    first = shots[0][1]
    span = shots[-1][1] - first
    try:
        return RecordedSchedule(
            tuple((camera, stamp - first) for camera, stamp in shots),
            span + round(span / (len(shots) - 1)),
            epoch_ns,
        )
    except ScheduleError as error:
        raise ScheduleError(f"{path}: {error}") from None
