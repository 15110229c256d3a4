"""What is known at time t: the newest heatmaps of every view, and the fill rule.

Every observation that arrives makes one `DenseSet` whose target is that observation's own time:
the view that fired is fresh, every other view is filled with its newest map that is not newer
than the target. Cameras never agree on a time here, so nothing is waited for.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from dw_core.errors import ConfigError
from dw_core.types import NS, DenseSet, DenseView, Heatmaps, Stage

# Maps kept per view: enough to answer for late arrivals.
HISTORY_PER_VIEW = 8
# A step in time larger than this, forwards or backwards, is a new recording or a new clock.
CLOCK_JUMP_NS = 5 * NS


@dataclass(frozen=True)
class WindowSettings:
    """`max_age_ns`: older maps do not fill. `lateness_ns`: how far behind the newest is still used."""

    max_age_ns: int = NS // 2
    lateness_ns: int = NS // 10


class Window:
    """Collects heatmaps by view and stamp; `counters` tells what happened to them.

    Policies, each with a counter:
    `used` - gave a dense set; `out_of_order` - gave one too, but after a newer one (late within the
    limit); `late` - too far behind the newest, dropped; `duplicate` - same view and stamp, dropped;
    `reset` - the clock jumped, everything before is forgotten; `unknown_view` - not in the rig, dropped;
    `missing` - a view that could not be filled (never seen, or too old), once per dense set.
    """

    def __init__(self, views: tuple[str, ...], settings: WindowSettings | None = None) -> None:
        self.settings = settings or WindowSettings()
        if self.settings.lateness_ns < 0 or self.settings.max_age_ns <= 0:
            raise ConfigError(
                f"window: max_age_ns {self.settings.max_age_ns} and lateness_ns {self.settings.lateness_ns}, "
                "expected a positive age and a lateness of 0 or more"
            )
        self.views = views
        self.counters: Counter[str] = Counter()
        self._maps: dict[str, deque[Heatmaps]] = {}
        self._clear()

    def _clear(self) -> None:
        self._maps = {view: deque(maxlen=HISTORY_PER_VIEW) for view in self.views}
        self._newest_ns: int | None = None

    def push(self, heatmaps: Heatmaps) -> DenseSet | None:
        """Take one observation; the dense set at its time, or None when it was dropped."""
        refusal = self._admit(heatmaps)
        if refusal is not None:
            self.counters[refusal] += 1
            return None
        kept = sorted([*self._maps[heatmaps.view], heatmaps], key=lambda one: one.stamp_ns)
        self._maps[heatmaps.view] = deque(kept, maxlen=HISTORY_PER_VIEW)
        return self._fill(heatmaps)

    def _admit(self, heatmaps: Heatmaps) -> str | None:
        """Why an observation is dropped, or None. Moves the newest time and counts what is used."""
        if heatmaps.view not in self._maps:
            return "unknown_view"
        stamp, newest = heatmaps.stamp_ns, self._newest_ns
        if newest is not None and abs(stamp - newest) > CLOCK_JUMP_NS:
            self._clear()
            self.counters["reset"] += 1
            newest = None
        if any(one.stamp_ns == stamp for one in self._maps[heatmaps.view]):
            return "duplicate"
        if newest is not None and stamp < newest - self.settings.lateness_ns:
            return "late"
        if newest is not None and stamp < newest:
            self.counters["out_of_order"] += 1
        self.counters["used"] += 1
        self._newest_ns = stamp if newest is None else max(stamp, newest)
        return None

    def _fill(self, fresh: Heatmaps) -> DenseSet:
        """The dense set at the time of `fresh`."""
        views = []
        for view in self.views:
            newest = fresh if view == fresh.view else self._newest_not_after(view, fresh.stamp_ns)
            if newest is None:
                self.counters["missing"] += 1
                continue
            views.append(DenseView(newest, newest.tensor))
        return DenseSet(fresh.stamp_ns, fresh.view, tuple(views), Stage.FILLED, fresh.stamps)

    def _newest_not_after(self, view: str, stamp_ns: int) -> Heatmaps | None:
        for one in reversed(self._maps[view]):
            if one.stamp_ns <= stamp_ns:
                return one if stamp_ns - one.stamp_ns <= self.settings.max_age_ns else None
        return None
