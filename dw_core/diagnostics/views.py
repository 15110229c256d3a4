"""How one view is doing: rate, age of what it saw last, drops, and how it keeps to the schedule."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

import numpy as np

from dw_core.diagnostics.levels import Level
from dw_core.interleave.schedule import Schedule, phase_errors_ns, rate_hz
from dw_core.interleave.timing import MIN_FRAMES, camera_timing
from dw_core.types import NS

# Looked at for rate, jitter and phase: four seconds, but of slow cameras at least so many frames.
SPAN_NS, MIN_KEPT, MAX_KEPT = 4 * NS, 5, 1000
DROPS = ("late", "early", "duplicate")


@dataclass(frozen=True)
class ViewLimits:
    """From where on a view is not well.

    `min_rate`: part of the scheduled rate. `max_phase_error_ms`: mean offset from the schedule, either way.
    `max_jitter_ms`: standard deviation of the exposures about a steady rate. `max_drops`: part of the
    frames of the last second. `silent_ms`: without a frame.
    """

    min_rate: float = 0.9
    max_phase_error_ms: float = 2.0
    max_jitter_ms: float = 2.0
    max_drops: float = 0.05
    silent_ms: float = 1000.0


class ViewWatch:
    """Sees every observation of one view. One thread may call `seen` while another one calls `report`."""

    def __init__(self, view: str) -> None:
        self.view = view
        self._stamps: deque[int] = deque(maxlen=MAX_KEPT)
        self._dropped: Counter[str] = Counter()
        self._frames = 0
        self._before = (0, 0)  # frames and drops at the last report
        self._since_ns = 0

    def begin(self, stamp_ns: int) -> None:
        """From this time on another schedule is in force: rate, jitter and phase are of exposures since."""
        self._since_ns = stamp_ns

    def seen(self, stamp_ns: int, refusal: str | None) -> None:
        """Note an observation by its exposure, and why it was dropped, if it was."""
        self._frames += 1
        if refusal is None:
            self._stamps.append(stamp_ns)
        else:
            self._dropped[refusal] += 1

    def report(
        self, now_ns: int, schedule: Schedule | None, limits: ViewLimits
    ) -> tuple[Level, str, dict[str, str]]:
        """Level, why, and values by their documented names; once a second."""
        values: dict[str, str] = {f"dropped_{reason}": str(self._dropped[reason]) for reason in DROPS}
        drops, frames = self._dropped.total(), self._frames
        recent_frames, recent_drops = frames - self._before[0], drops - self._before[1]
        self._before = (frames, drops)
        stamps = list(self._stamps)
        if not stamps:
            return Level.ERROR, "nothing seen yet", values
        age_ms = (now_ns - stamps[-1]) / 1e6
        values["age_ms"] = f"{age_ms:.0f}"
        problems = []
        if recent_drops > limits.max_drops * recent_frames:
            problems.append(f"{recent_drops} of {recent_frames} frames of the last second were dropped")
        numbers = self._timing(stamps, schedule)
        values |= {name: f"{value:.3f}" for name, value in numbers.items() if name != "frames_missing"}
        if "frames_missing" in numbers:
            values["frames_missing"] = f"{numbers['frames_missing']:.0f}"
        problems += _problems(numbers, limits)
        wanted_hz = numbers.get("scheduled_rate_hz") or numbers.get("rate_hz") or 0.0
        if age_ms > max(limits.silent_ms, 3e3 / wanted_hz if wanted_hz else 0.0):
            return Level.ERROR, f"silent for {age_ms / 1e3:.1f} s", values
        if problems:
            return Level.WARN, ", ".join(problems), values
        return Level.OK, f"{numbers.get('rate_hz', 0.0):.1f} Hz", values

    def _timing(self, stamps: list[int], schedule: Schedule | None) -> dict[str, float]:
        """Rate, jitter and missing frames as measured, and what the schedule says of them."""
        numbers: dict[str, float] = {}
        stamps = [stamp for stamp in stamps if stamp >= self._since_ns]
        kept = sorted(stamp for stamp in stamps if stamps[-1] - stamp <= SPAN_NS)
        kept = kept if len(kept) >= MIN_KEPT else sorted(stamps[-MIN_KEPT:])
        if len(set(kept)) >= MIN_FRAMES:
            timing = camera_timing(self.view, kept)
            numbers = {
                "rate_hz": (timing.frames - 1) * NS / (kept[-1] - kept[0]),
                "jitter_ms": timing.jitter_ns / 1e6,
                "frames_missing": float(timing.dropped),
            }
        if schedule is not None and self.view in schedule.cameras:
            numbers["scheduled_rate_hz"] = rate_hz(schedule, self.view)
            if kept:
                numbers["phase_error_ms"] = float(np.mean(phase_errors_ns(schedule, self.view, kept))) / 1e6
        return numbers


def _problems(numbers: dict[str, float], limits: ViewLimits) -> list[str]:
    problems = []
    rate, scheduled = numbers.get("rate_hz"), numbers.get("scheduled_rate_hz")
    if rate is not None and scheduled is not None and rate < limits.min_rate * scheduled:
        problems.append(f"{rate:.1f} Hz of {scheduled:.1f}")
    for name, unit_limit in (
        ("phase_error", limits.max_phase_error_ms),
        ("jitter", limits.max_jitter_ms),
    ):
        value = numbers.get(f"{name}_ms")
        if value is not None and abs(value) > unit_limit:
            problems.append(f"{name.replace('_', ' ')} of {value:.1f} ms")
    return problems
