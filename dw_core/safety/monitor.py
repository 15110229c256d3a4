"""Whether a robot may move, from skeletons as they come: stop at the first doubt, go on after many good ones.

A pure state machine. Times come from the caller: `now_ns` of the clock that stamps the exposures, `steady_ns`
of one that never jumps, so that neither a silent tracker nor a clock that stands still looks like an empty
cell. An example, not a certified safety function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dw_core.errors import ConfigError
from dw_core.safety.capsules import Capsules
from dw_core.safety.limbs import Limbs, limbs
from dw_core.safety.separation import Separation, SeparationLimits, assess
from dw_core.skeleton import JointSet
from dw_core.types import NS, Skeleton3D, TrackingState

STOP, CLEAR = "stop", "clear"


@dataclass(frozen=True, kw_only=True)
class MonitorSettings:
    """max_age_s: exposures, the silence between arrays and the robot's pose may be this old, not older.
    max_future_s: a stamp may be this far ahead of the clock (clocks of two hosts).
    max_clock_step_s: the clock may run ahead of steady time by this much between two looks.
    empty_means: whether an array without a person, in time, is `stop` or `clear`; and so for one person of
    several who is there no more.
    min_confidence: of every joint that must be known (how far off it may be is in Z_d already);
    `optional_joints` need not be known.
    min_views: that were exposed within max_view_age_s of the skeleton's time.
    recovery_count: so many good arrays in a row end a stop, each with recovery_margin_m to spare.
    limb_radius_m: of the capsules around bones.

    Raises ConfigError for a value out of its range.
    """

    max_age_s: float = 0.2
    max_future_s: float = 0.02
    max_clock_step_s: float = 0.5
    empty_means: str = STOP
    min_confidence: float = 0.1
    optional_joints: tuple[str, ...] = ()
    min_views: int = 2
    max_view_age_s: float = 0.25
    recovery_count: int = 30
    recovery_margin_m: float = 0.1
    limb_radius_m: float = 0.15

    def __post_init__(self) -> None:
        if self.empty_means not in (STOP, CLEAR):
            raise ConfigError(f"empty_means is '{self.empty_means}', expected {STOP} or {CLEAR}")
        for name in ("max_age_s", "max_clock_step_s", "max_view_age_s", "min_views", "recovery_count"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected more than 0")
        for name in ("max_future_s", "min_confidence", "recovery_margin_m", "limb_radius_m"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 0")


@dataclass(frozen=True)
class Verdict:
    """What the robot may do, and why: `stop` is the protective stop, `wanted` the speed scale without it.

    `separation`: how near the person is who asks for the slowest robot, None when that is not known or
    nobody is there.
    """

    stop: bool
    wanted: float
    reason: str
    separation: Separation | None = None

    @property
    def scale(self) -> float:
        """The part of its speed that the robot may have: never more than 0 in a stop."""
        return 0.0 if self.stop else self.wanted


class SeparationMonitor:
    """`see` takes an array of skeletons, `robot_at` a pose of the robot, `judge` looks at the clocks; each
    verdict holds until the next. Not thread-safe.

    `robot`: its capsules in the world frame; None: they come with `robot_at`. `stops`: how often it has
    stopped; `cause`: the newest reason for that.
    Raises ConfigError for an optional joint that the joint set does not have.
    """

    def __init__(
        self,
        joints: JointSet,
        limits: SeparationLimits,
        settings: MonitorSettings | None = None,
        robot: Capsules | None = None,
    ) -> None:
        self.joints, self.limits, self.settings = joints, limits, settings or MonitorSettings()
        optional = [joints.index(joint) for joint in self.settings.optional_joints]
        self._required = np.setdiff1d(np.arange(len(joints)), optional)
        self._fixed = robot is not None
        self._robot, self._robot_ns = robot, 0
        self._robot_problem = "no pose of the robot yet"
        self._problem = "no skeletons yet"  # of the newest array, which is then forgotten
        self._people: tuple[Limbs, ...] | None = None
        self._stamp_ns = self._arrived_ns = 0
        self._identities: set[int] = set()
        self._clocks: tuple[int, int] | None = None
        self._stopped, self._good = True, 0
        self.stops, self.cause = 0, ""

    def see(self, stamp_ns: int, skeletons: Sequence[Skeleton3D], now_ns: int, steady_ns: int) -> Verdict:
        """The next array: everybody at `stamp_ns`. It counts towards the end of a stop if it is good."""
        jump = self._clock_problem(now_ns, steady_ns)
        problems = [text for one in skeletons if (text := self._skeleton_problem(one, stamp_ns))]
        identities = {one.identity for one in skeletons}
        if skeletons and (gone := self._identities - identities) and self.settings.empty_means == STOP:
            problems.append(f"person {min(gone)} is tracked no more, which does not mean to be gone")
        if stamp_ns <= self._stamp_ns:
            problems.insert(0, "skeletons are out of order, or come from two trackers")
        self._stamp_ns, self._arrived_ns, self._identities = stamp_ns, steady_ns, identities
        if problems:
            self.fault(problems[0])
        else:
            radius = self.settings.limb_radius_m
            self._people = tuple(limbs(one, self.joints, radius) for one in skeletons)
        return self._decide(jump, now_ns, steady_ns, counts=True)

    def judge(self, now_ns: int, steady_ns: int) -> Verdict:
        """The verdict now, with everything a little older: call it often, whether or not anything came."""
        jump = self._clock_problem(now_ns, steady_ns)
        return self._decide(jump, now_ns, steady_ns, counts=False)

    def fault(self, reason: str) -> None:
        """An array that cannot be used came: it is a stop until a good one comes."""
        self._people, self._problem = None, reason

    def robot_at(self, stamp_ns: int, robot: Capsules) -> None:
        """The robot's capsules in the world frame at a time."""
        self._robot, self._robot_ns = robot, stamp_ns

    def robot_fault(self, reason: str) -> None:
        """A pose of the robot that cannot be used came: it is a stop until a good one comes."""
        self._robot, self._robot_problem = None, reason

    def _clock_problem(self, now_ns: int, steady_ns: int) -> str:
        before, self._clocks = self._clocks, (now_ns, steady_ns)
        if before is None:
            return ""
        passed = now_ns - before[0]
        ahead_s = (passed - (steady_ns - before[1])) / NS
        if passed < 0 or ahead_s > self.settings.max_clock_step_s:
            # what was seen has stamps of the clock as it was
            self.fault("no skeletons since the clock jumped")
            return f"the clock jumped by {(passed if passed < 0 else ahead_s * NS) / NS:.3f} s"
        return ""

    def _skeleton_problem(self, skeleton: Skeleton3D, stamp_ns: int) -> str:
        """Why a skeleton cannot be relied on; empty if it can."""
        who, settings = f"person {skeleton.identity}", self.settings
        if skeleton.joint_set != self.joints.name:
            return f"{who} has joints of '{skeleton.joint_set}', expected '{self.joints.name}'"
        if skeleton.state != TrackingState.TRACKED:
            return f"{who} is {skeleton.state.name.lower()}, not tracked"
        if skeleton.stamp_ns != stamp_ns:
            return f"{who} is of another time than the array"
        J = len(self.joints)
        arrays = (skeleton.positions, skeleton.velocities, skeleton.covariance, skeleton.confidence)
        if [a.shape for a in arrays] != [(J, 3), (J, 3), (J, 3, 3), (J,)]:
            return f"{who} has arrays of shapes {[a.shape for a in arrays]}, expected {J} joints"
        fresh = sum(abs(age) <= settings.max_view_age_s * NS for age in skeleton.view_ages_ns)
        if fresh < settings.min_views:
            return f"{who} was seen by {fresh} view(s) of late, expected {settings.min_views}"
        return self._joint_problem(skeleton, who)

    def _joint_problem(self, skeleton: Skeleton3D, who: str) -> str:
        known = np.asarray(np.isfinite(skeleton.positions).all(-1))
        for joint in self._required:
            name, confidence = self.joints.joints[joint], float(skeleton.confidence[joint])
            if not known[joint]:
                return f"{who}: where the {name} is, is not known"
            if not confidence >= self.settings.min_confidence:
                return f"{who}: confidence of the {name} is {confidence:.2f}"
        variances = np.diagonal(skeleton.covariance, axis1=-2, axis2=-1)[known]
        if not known.any() or not (np.isfinite(skeleton.covariance[known]).all() and (variances >= 0).all()):
            return f"{who}: how far off the joints may be is not known"
        return ""

    def _decide(self, jump: str, now_ns: int, steady_ns: int, counts: bool) -> Verdict:
        reason = jump or self._stale(now_ns, steady_ns)
        separation = None if reason else self._separation(now_ns)
        if not reason and not self._people and self.settings.empty_means == STOP:
            reason = "nobody is tracked, which does not mean that nobody is there"
        if separation is not None and separation.spare_m < 0:
            reason = f"{separation.limb} is {separation.limb_distance_m:.2f} m from {separation.part}"
        if reason:
            self.stops += not self._stopped
            self._stopped, self._good, self.cause = True, 0, reason
            return Verdict(True, 0.0, reason, separation)
        wanted = 1.0 if separation is None else separation.scale
        if self._stopped:
            return self._recover(wanted, separation, counts)
        reason = "nobody is tracked" if separation is None else "separation is kept"
        return Verdict(False, wanted, reason, separation)

    def _recover(self, wanted: float, separation: Separation | None, counts: bool) -> Verdict:
        margin = self.settings.recovery_margin_m
        if separation is not None and separation.spare_m < margin:
            self._good = 0
            return Verdict(True, wanted, f"not yet {margin:g} m beyond the stop", separation)
        self._good += counts
        needed = self.settings.recovery_count
        self._stopped = self._good < needed
        return Verdict(
            self._stopped, wanted, f"{self._good} of {needed} good arrays since a stop", separation
        )

    def _stale(self, now_ns: int, steady_ns: int) -> str:
        """What is missing or has the wrong age; empty if nothing."""
        if self._people is None:
            return self._problem
        if self._robot is None:
            return self._robot_problem
        ages_s = {"skeletons": (now_ns - self._stamp_ns) / NS}
        if not self._fixed:
            ages_s["the robot's pose"] = (now_ns - self._robot_ns) / NS
        for what, age_s in ages_s.items():
            if age_s > self.settings.max_age_s:
                return f"{what}: {age_s:.3f} s old, expected at most {self.settings.max_age_s:g} s"
            if age_s < -self.settings.max_future_s:
                return f"{what}: stamped {-age_s:.3f} s ahead of the clock"
        silence_s = (steady_ns - self._arrived_ns) / NS
        if silence_s > self.settings.max_age_s:
            return f"no skeletons for {silence_s:.3f} s"
        return ""

    def _separation(self, now_ns: int) -> Separation | None:
        """Of the person who asks for the slowest robot."""
        assert self._people is not None and self._robot is not None
        human_age_s = max(now_ns - self._stamp_ns, 0) / NS
        robot_age_s = 0.0 if self._fixed else max(now_ns - self._robot_ns, 0) / NS
        found = [assess(one, self._robot, self.limits, human_age_s, robot_age_s) for one in self._people]
        return min(found, key=lambda one: (one.scale, one.spare_m), default=None)
