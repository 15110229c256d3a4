"""What is known about time t: the heatmaps of every view around it, and the fill rule.

Every observation that arrives makes one `DenseSet` whose target is that observation's own time: the
view that fired is fresh, every other view is filled with a map that it saw at another time. Two forms:

causal  - the set is given at once, and views are filled with their newest map that is not newer
          than the target. Cameras never agree on a time here, so nothing is waited for.
centred - views are filled with their map nearest in time, before or after, within `lookahead_ns` of the
          target. The set is given as soon as nothing of that can still arrive, so sets come in order of
          time and do not depend on the order of arrival.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from dw_core.errors import ConfigError
from dw_core.types import NS, DenseSet, DenseView, Heatmaps, Stage

# Maps kept per view, whatever the rate: 200 Hz over 150 ms, and 9 MB of MoveNet's maps.
MAX_HISTORY = 32
# A step in time larger than this, forwards or backwards, is a new recording or a new clock.
CLOCK_JUMP_NS = 5 * NS


@dataclass(frozen=True)
class WindowSettings:
    """`max_age_ns`: maps further from the target do not fill. `lateness_ns`: how far behind the newest is
    still used. `lookahead_ns`: how far after the target maps are waited for; 0 is the causal form.
    Raises ConfigError."""

    max_age_ns: int = NS // 2
    lateness_ns: int = NS // 10
    lookahead_ns: int = 0

    def __post_init__(self) -> None:
        if self.max_age_ns <= 0 or self.lateness_ns < 0 or self.lookahead_ns < 0:
            raise ConfigError(
                f"window: max_age_ns {self.max_age_ns}, lateness_ns {self.lateness_ns} and lookahead_ns "
                f"{self.lookahead_ns}, expected a positive age, and lateness and lookahead of 0 or more"
            )


@dataclass(frozen=True, eq=False)
class WindowState:
    """Everything that a window knows: can be pickled, and put back with `Window.state`.

    `maps`: of every view in order of time. `early`: whether the observation before was dropped as early.
    `given_ns`: exposures before this need no set any more.
    """

    maps: Mapping[str, tuple[Heatmaps, ...]]
    newest_ns: int | None = None
    early: bool = False
    counters: Counter[str] = field(default_factory=Counter)
    given_ns: int | None = None


class Window:
    """Collects heatmaps by view and stamp; `counters` tells what happened to them. `settings` may be replaced
    between two observations: every exposure is still given at most once.

    Policies, each with a counter:
    `used` - gives a dense set; `out_of_order` - gives one too, but came after a newer one (within the
    lateness limit); `late` - too far behind the newest, dropped; `early` - so far ahead of the newest that
    no map before it could fill (`max_age_ns`): a clock that is wrong, dropped, unless the observation
    before was early too: then it was a pause, and time goes on; `duplicate` - same view and stamp,
    dropped; `reset` - the clock jumped, everything before is forgotten; `unknown_view` - not in the rig,
    dropped; `missing` - a view that could not be filled (never seen, or too old), once per dense set;
    `overflow` - a map forgotten before its time because a view sends more than `MAX_HISTORY` within it.
    """

    def __init__(self, views: tuple[str, ...], settings: WindowSettings | None = None) -> None:
        self.settings = settings or WindowSettings()
        self.views = views
        self.counters: Counter[str] = Counter()
        self.refusal: str | None = None  # why the newest observation was dropped, if it was
        self._clear()

    def _clear(self) -> None:
        self._maps: dict[str, tuple[Heatmaps, ...]] = {view: () for view in self.views}
        self._newest_ns: int | None = None
        self._given_ns: int | None = None
        self._early = False

    @property
    def state(self) -> WindowState:
        """What the window knows now. Raises ConfigError when set to the state of a window of other views."""
        return WindowState(
            dict(self._maps), self._newest_ns, self._early, Counter(self.counters), self._given_ns
        )

    @state.setter
    def state(self, state: WindowState) -> None:
        if tuple(state.maps) != self.views:
            raise ConfigError(
                f"the window's state is of views {', '.join(state.maps)}, expected {', '.join(self.views)}"
            )
        self._maps, self.counters = dict(state.maps), Counter(state.counters)
        self._newest_ns, self._early, self._given_ns = state.newest_ns, state.early, state.given_ns

    def push(self, heatmaps: Heatmaps) -> tuple[DenseSet, ...]:
        """Take one observation; the dense sets that are due with it, each exposure once.

        In the causal form that is the one at its own time, or none when it was dropped. In the centred
        form they are those whose time came to lie more than `lookahead_ns + lateness_ns` behind the
        newest, in order of time: none or several; the last ones before the end never come.
        """
        self.refusal = refusal = self._refusal(heatmaps)
        self._early = refusal == "early"
        if refusal is not None:
            self.counters[refusal] += 1
            return ()
        newest_ns = self._keep(heatmaps)
        horizon_ns = newest_ns - self.settings.lookahead_ns - self.settings.lateness_ns
        due, given_ns = [heatmaps], newest_ns + 1
        if self.settings.lookahead_ns:
            due, given_ns = self._between(self._given_ns, horizon_ns), horizon_ns
        self._given_ns = given_ns if self._given_ns is None else max(given_ns, self._given_ns)
        sets = tuple(self._fill(one) for one in due)
        self._forget(horizon_ns)
        return sets

    def _refusal(self, heatmaps: Heatmaps) -> str | None:
        """Why an observation is dropped, or None. Forgets everything when the clock jumped."""
        if heatmaps.view not in self._maps:
            return "unknown_view"
        if self._newest_ns is None:
            return None
        ahead = heatmaps.stamp_ns - self._newest_ns
        if abs(ahead) > CLOCK_JUMP_NS:
            self._clear()
            self.counters["reset"] += 1
            return None
        if any(one.stamp_ns == heatmaps.stamp_ns for one in self._maps[heatmaps.view]):
            return "duplicate"
        if ahead < -self.settings.lateness_ns:
            return "late"
        return "early" if ahead > self.settings.max_age_ns and not self._early else None

    def _keep(self, heatmaps: Heatmaps) -> int:
        """Put an observation in its place; the newest time."""
        stamp, before = heatmaps.stamp_ns, self._newest_ns
        self.counters["used"] += 1
        if before is not None and stamp < before:
            self.counters["out_of_order"] += 1
        self._newest_ns = stamp if before is None else max(stamp, before)
        kept = sorted((*self._maps[heatmaps.view], heatmaps), key=lambda one: one.stamp_ns)
        self._maps[heatmaps.view] = tuple(kept)
        return self._newest_ns

    def _between(self, start_ns: int | None, end_ns: int) -> list[Heatmaps]:
        """The exposures from a time on (None: all) and before another, in order of time."""
        known = (one for maps in self._maps.values() for one in maps if one.stamp_ns < end_ns)
        chosen = (one for one in known if start_ns is None or one.stamp_ns >= start_ns)
        return sorted(chosen, key=lambda one: one.stamp_ns)

    def _fill(self, fresh: Heatmaps) -> DenseSet:
        """The dense set at the time of `fresh`."""
        views = []
        for view in self.views:
            seen = fresh if view == fresh.view else self._nearest(view, fresh.stamp_ns)
            if seen is None:
                self.counters["missing"] += 1
                continue
            views.append(DenseView(seen, seen.tensor))
        return DenseSet(fresh.stamp_ns, fresh.view, tuple(views), Stage.FILLED, fresh.stamps)

    def _nearest(self, view: str, stamp_ns: int) -> Heatmaps | None:
        """The view's map nearest to a time (the earlier of two), not after it by more than the lookahead."""
        known = (one for one in self._maps[view] if one.stamp_ns <= stamp_ns + self.settings.lookahead_ns)
        nearest = min(known, key=lambda one: abs(one.stamp_ns - stamp_ns), default=None)
        too_far = nearest is not None and abs(nearest.stamp_ns - stamp_ns) > self.settings.max_age_ns
        return None if too_far else nearest

    def _forget(self, earliest_ns: int) -> None:
        """Keep what can still fill or fall due: of every view the maps from the earliest time on that a set
        can still have, and the newest one before."""
        for view, maps in self._maps.items():
            old = sum(one.stamp_ns < earliest_ns for one in maps)
            kept = maps[max(old - 1, 0) :]
            if len(kept) > MAX_HISTORY:
                self.counters["overflow"] += len(kept) - MAX_HISTORY
            self._maps[view] = kept[-MAX_HISTORY:]
