"""One person followed through time from views that are seen one at a time.

The life of a track is a pure function from (state, observation) to state. The tracker keeps the
states of the last moments, so an observation that comes late is put in its place and what came
after is replayed: within the lateness limit the result does not depend on the order of arrival.
From the same states `smoothed` answers for the recent past with what was seen since.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import asdict, dataclass, field, replace
from itertools import takewhile

import numpy as np

from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array, Rig
from dw_core.skeleton import JointSet
from dw_core.tracking.filter import Body, BodyModel, body_model, move, observe, position_std
from dw_core.tracking.initialise import find_body
from dw_core.tracking.smoother import smooth
from dw_core.types import NS, Skeleton2D, Skeleton3D, TrackingState

# Standard deviation of a joint at which its confidence is one half.
HALF_CONFIDENCE_STD_M = 0.05


@dataclass(frozen=True, kw_only=True)
class TrackerSettings:
    """lateness_s: an observation older than this against the newest is dropped.
    prediction_s: `at` looks at most this far ahead of the newest observation.
    lag_s: `smoothed` reaches at least this far behind the newest observation.
    confirm_s: without a confirming view for so long the track is lost.
    window_s: how old the views may be from which a track starts.
    min_joints: fewer known joints are no skeleton.
    unknown_std_m: a joint less certain than this (after the newest observation) is unknown.
    """

    lateness_s: float = 0.15
    prediction_s: float = 0.2
    lag_s: float = 0.2
    confirm_s: float = 0.5
    window_s: float = 0.25
    min_joints: int = 6
    unknown_std_m: float = 0.15

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise ConfigError(f"tracker setting {name} is {value}, expected more than 0")


@dataclass(frozen=True)
class TrackerCounters:
    """What happened to observations since the start. `replayed`: came late, within the limit."""

    received: int = 0
    replayed: int = 0
    too_late: int = 0
    duplicate: int = 0


@dataclass(frozen=True, eq=False)
class Track:
    """The life of one track up to `stamp_ns`.

    `confirmations` since it started, the last at `confirmed_ns`; `recent`: the newest observation of
    each view; `started`, `refused`: bodies found and views refused since the tracker began.
    """

    stamp_ns: int
    body: Body | None = None
    confirmations: int = 0
    confirmed_ns: int = 0
    recent: tuple[Skeleton2D, ...] = ()
    started: int = 0
    refused: int = 0


@dataclass(frozen=True, eq=False)
class TrackerState:
    """Everything that a tracker knows: can be pickled, and put back with `SkeletonTracker.state`."""

    log: tuple[tuple[Skeleton2D, Track], ...] = ()
    counters: TrackerCounters = field(default_factory=TrackerCounters)


class SkeletonTracker:
    """Tracker of one person: `at` is causal, `smoothed` looks back. Not thread-safe.

    `model` is `body_model(rig, joints)` unless told. Raises ConfigError for settings out of range.
    """

    def __init__(
        self,
        rig: Rig,
        joints: JointSet,
        settings: TrackerSettings | None = None,
        model: BodyModel | None = None,
    ) -> None:
        self.settings = settings or TrackerSettings()
        self.joints = joints
        self._model = model or body_model(rig, joints)
        self.state = TrackerState()

    @property
    def counters(self) -> TrackerCounters:
        return self.state.counters

    @property
    def track(self) -> Track:
        """The newest state, in order of observation times."""
        return self.state.log[-1][1] if self.state.log else Track(0)

    @property
    def exposures_ns(self) -> tuple[int, ...]:
        """Times of the observations that are remembered, each once, in order; after `update` at least those
        less than `lag_s` behind the newest observation but one."""
        return tuple(dict.fromkeys(seen.stamp_ns for seen, _ in self.state.log))

    def update(self, seen: Skeleton2D) -> None:
        """Take in one view's joints. Raises CalibrationError for a view that the rig does not have,
        ConfigError when the number of joints is not the joint set's."""
        self._model.rig.index(seen.view)
        J = len(self.joints)
        if seen.pixels.shape != (J, 2) or seen.covariance.shape != (J, 2, 2) or seen.confidence.shape != (J,):
            raise ConfigError(
                f"view {seen.view} sent pixels {seen.pixels.shape}, covariance {seen.covariance.shape}, "
                f"confidence {seen.confidence.shape}, expected ({J}, 2), ({J}, 2, 2), ({J},) for joint set "
                f"{self.joints.name}"
            )
        log, counters = list(self.state.log), self.state.counters
        counters = replace(counters, received=counters.received + 1)
        lateness = round(self.settings.lateness_s * NS)
        keys = [_order(s) for s, _ in log]
        if _order(seen) in keys:
            counters = replace(counters, duplicate=counters.duplicate + 1)
        elif log and seen.stamp_ns < log[-1][0].stamp_ns - lateness:
            counters = replace(counters, too_late=counters.too_late + 1)
        else:
            place = bisect_right(keys, _order(seen))
            counters = replace(counters, replayed=counters.replayed + (place < len(log)))
            log = self._insert(log, place, seen)
            log = log[self._forgotten(log) :]
        self.state = TrackerState(tuple(log), counters)

    def _forgotten(self, log: list[tuple[Skeleton2D, Track]]) -> int:
        """How many states are too old to be asked for."""
        # after a gap `smoothed` must still reach what the observation before the gap left open
        before = log[-2][0].stamp_ns if len(log) > 1 else log[-1][0].stamp_ns
        horizon = min(
            log[-1][0].stamp_ns - round(self.settings.lateness_s * NS),
            before - round(self.settings.lag_s * NS),
        )
        # the newest state before the horizon is what a replay starts from
        return max(sum(s.stamp_ns < horizon for s, _ in log) - 1, 0)

    def _insert(
        self, log: list[tuple[Skeleton2D, Track]], place: int, seen: Skeleton2D
    ) -> list[tuple[Skeleton2D, Track]]:
        track = log[place - 1][1] if place else Track(seen.stamp_ns)
        kept = log[:place]
        for observation in (seen, *(s for s, _ in log[place:])):
            track = advance(self._model, self.settings, track, observation)
            kept.append((observation, track))
        return kept

    def at(self, stamp_ns: int) -> Skeleton3D:
        """The skeleton at a time, from the observations up to then (causal): LOST and NaN when there is
        none, or when the time is further ahead of the newest observation than `prediction_s`."""
        track = self._life_at(stamp_ns)[0]
        if track.body is None:
            return self._nobody(stamp_ns, track)
        # what was known at the newest observation may be predicted, however uncertain that is
        body = move(self._model, track.body, stamp_ns)
        return self._skeleton(track, body, position_std(track.body), self._ages(stamp_ns, [body]))

    def smoothed(self, stamp_ns: int) -> Skeleton3D:
        """The skeleton at a time, from all observations so far: what `at` tells, improved by every later
        observation of the same track (fixed-lag smoother, smoother.py). Ages are those of each view's
        exposure nearest to the time, negative for one after it. LOST and NaN as from `at`; never
        remembered are times further back than `lag_s` behind the newest observation but one."""
        life = self._life_at(stamp_ns)
        if life[0].body is None:
            return self._nobody(stamp_ns, life[0])
        bodies = [t.body for t in life if t.body is not None]
        body = smooth(self._model, (move(self._model, bodies[0], stamp_ns), *bodies[1:]))
        return self._skeleton(life[0], body, position_std(body), self._ages(stamp_ns, bodies))

    def _life_at(self, stamp_ns: int) -> list[Track]:
        """The track as it was at a time and, while it is the same track, after every later observation."""
        log = self.state.log
        place = bisect_right([s.stamp_ns for s, _ in log], stamp_ns) - 1
        track = log[place][1] if place >= 0 else Track(stamp_ns)
        if track.body is None:
            return [track]
        if stamp_ns - track.body.stamp_ns > self.settings.prediction_s * NS:
            return [replace(track, body=None)]
        later = (t for _, t in log[place + 1 :])
        return [track, *takewhile(lambda t: t.body is not None and t.started == track.started, later)]

    def _ages(self, stamp_ns: int, bodies: list[Body]) -> dict[str, int]:
        """Age of each view's accepted exposure nearest to a time, of those within `confirm_s`."""
        limit, ages = round(self.settings.confirm_s * NS), {}
        for v, view in enumerate(self._model.rig.names):
            seen = (stamp_ns - int(body.seen_ns[v]) for body in bodies if body.seen_ns[v] >= 0)
            age = min(seen, key=abs, default=limit + 1)
            if abs(age) <= limit:
                ages[view] = age
        return ages

    def _nobody(self, stamp_ns: int, track: Track) -> Skeleton3D:
        J = len(self.joints)
        unknown = np.full((J, 3), np.nan)
        return Skeleton3D(
            stamp_ns, track.started, TrackingState.LOST, self.joints.name, unknown, unknown.copy(),
            np.full((J, 3, 3), np.nan), np.zeros(J), (), (),
        )  # fmt: skip

    def _skeleton(self, track: Track, body: Body, std_known: Array, ages: dict[str, int]) -> Skeleton3D:
        """The joints of a body that are known, which `std_known` (J,) tells."""
        known = std_known < self.settings.unknown_std_m
        if known.sum() < self.settings.min_joints:
            return self._nobody(body.stamp_ns, track)
        J, k = len(self.joints), np.arange(len(self.joints))
        blocks = body.covariance.reshape(2, J, 3, 2, J, 3)[0, k, :, 0, k]
        confidence = 1 / (1 + (position_std(body) / HALF_CONFIDENCE_STD_M) ** 2)
        tracked = track.confirmations >= len(self._model.rig)
        return Skeleton3D(
            stamp_ns=body.stamp_ns,
            identity=track.started,
            state=TrackingState.TRACKED if tracked else TrackingState.INITIALISING,
            joint_set=self.joints.name,
            positions=np.where(known[:, None], body.mean[0], np.nan),
            velocities=np.where(known[:, None], body.mean[1], np.nan),
            covariance=np.where(known[:, None, None], blocks, np.nan),
            confidence=np.where(known, confidence, 0.0),
            views=tuple(ages),
            view_ages_ns=tuple(ages.values()),
        )


def _order(seen: Skeleton2D) -> tuple[int, str]:
    return seen.stamp_ns, seen.view


def advance(model: BodyModel, settings: TrackerSettings, track: Track, seen: Skeleton2D) -> Track:
    """The life of a track, one observation further: follow, lose, or find a body."""
    window = seen.stamp_ns - round(settings.window_s * NS)
    others = (s for s in track.recent if s.view != seen.view and s.stamp_ns >= window)
    track = replace(track, stamp_ns=seen.stamp_ns, recent=(*others, seen))
    if track.body is not None:
        body, joints = observe(model, track.body, seen)
        if joints >= settings.min_joints:
            return replace(
                track, body=body, confirmations=track.confirmations + 1, confirmed_ns=seen.stamp_ns
            )
        track = replace(track, body=body, refused=track.refused + 1)
        known = (position_std(body) < settings.unknown_std_m).sum()
        if seen.stamp_ns - track.confirmed_ns <= settings.confirm_s * NS and known >= settings.min_joints:
            return track
        track = replace(track, body=None, confirmations=0)
    found = find_body(model, track.recent, settings.min_joints)
    if found is None:
        return track
    if found.stamp_ns < seen.stamp_ns:  # the newest view was not among those that agree
        found = move(model, found, seen.stamp_ns)
    return replace(track, body=found, confirmations=0, confirmed_ns=seen.stamp_ns, started=track.started + 1)
