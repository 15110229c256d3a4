"""How well something is, with hysteresis: one bad second changes nothing, and one good second neither."""

from __future__ import annotations

from collections import deque
from enum import IntEnum

from dw_core.errors import ConfigError


class Level(IntEnum):
    """As in diagnostic_msgs/DiagnosticStatus; STALE is the aggregator's to say."""

    OK = 0
    WARN = 1
    ERROR = 2


class Hysteresis:
    """A level that follows reports: worse once `worse_after` of them in a row were worse than it, better once
    `better_after` in a row were better: then the mildest of the worse ones, the worst of the better ones.

    Raises ConfigError for numbers under 1.
    """

    def __init__(self, worse_after: int = 2, better_after: int = 5) -> None:
        if worse_after < 1 or better_after < 1:
            raise ConfigError(
                f"a level gets worse after {worse_after} and better after {better_after} reports, "
                "expected at least 1"
            )
        self.level, self.message = Level.OK, ""
        self._worse_after, self._better_after = worse_after, better_after
        self._reports: deque[tuple[Level, str]] = deque(maxlen=max(worse_after, better_after))

    def update(self, level: Level, message: str) -> tuple[Level, str]:
        """Take a report; the level in force and what to say of it."""
        self._reports.append((level, message))
        for count, chosen in (
            (self._worse_after, [r for r in self._newest(self._worse_after) if r[0] > self.level]),
            (self._better_after, [r for r in self._newest(self._better_after) if r[0] < self.level]),
        ):
            if len(chosen) == count:
                worse = chosen[0][0] > self.level
                self.level = (min if worse else max)(r[0] for r in chosen)
        if level >= self.level:
            self.message = message
        if level < self.level:
            return self.level, f"recovering from: {self.message}"
        return self.level, message

    def _newest(self, count: int) -> list[tuple[Level, str]]:
        return list(self._reports)[-count:]
