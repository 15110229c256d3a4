"""The stages joined: heatmaps of one view in, a skeleton at the time of an exposure out.

    Window ──► SpatialFusion ──► TemporalFusion ──► Triangulation
     fill       epipolar maxima   Warper             joints refined, rays, tracker

The ROS nodes hold one stage each and do the same arithmetic on the same values.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dw_core.errors import ConfigError
from dw_core.fusion.spatial import SpatialFusion
from dw_core.fusion.warper import TemporalFusion, TemporalState
from dw_core.geometry.camera import Rig
from dw_core.geometry.triangulation import triangulate
from dw_core.interleave.window import CLOCK_JUMP_NS, Window, WindowState
from dw_core.joint_refiner import JointRefiner
from dw_core.skeleton import JointSet
from dw_core.tracking.tracker import SkeletonTracker, TrackerSettings, TrackerState
from dw_core.types import NS, DenseSet, Heatmaps, Skeleton2D, Skeleton3D, TrackingState

Method = Literal["tracker", "dlt"]
Mode = Literal["causal", "window"]
# What the tracker remembers.
MAX_LAG_S = 0.2


@dataclass(frozen=True, eq=False)
class TriangulationState:
    """Everything that the last stage knows: can be pickled, and put back with `Triangulation.state`.

    `newest_ns`: the newest observation; `given_ns`: the newest skeleton.
    """

    tracker: TrackerState
    newest_ns: int | None
    given_ns: int | None
    counters: Counter[str]


class Triangulation:
    """The last stage: a dense set to the skeleton at its target time, or at an earlier exposure.

    `tracker`: the fresh view's joints enter a continuous-time tracker as rays with their own time and
    covariance. `dlt`: the paper's form; the maps of all views are taken as if seen at the target time,
    each pose stands alone and has no velocity.

    `causal`: the skeleton at the newest exposure, from what was seen up to then. `window`: skeletons at the
    exposures that lie at least `lag_s` behind the newest, from all that was seen since too: later, better.

    `refiner`: what moves each view's joints, and says how sure they are, before they are triangulated.
    `tracking`: thresholds of the tracker; its `min_joints` is that of `dlt` too.
    Raises ConfigError for a lag out of range, and for `dlt` in window mode.
    """

    def __init__(
        self,
        rig: Rig,
        joints: JointSet,
        method: Method = "tracker",
        mode: Mode = "causal",
        lag_s: float = MAX_LAG_S,
        refiner: JointRefiner | None = None,
        tracking: TrackerSettings | None = None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._rig, self._joints = rig, joints
        self._tracking = tracking or TrackerSettings()
        self._begin()
        self.change(method, mode, lag_s, refiner, tracking)

    def change(
        self,
        method: Method,
        mode: Mode,
        lag_s: float,
        refiner: JointRefiner | None,
        tracking: TrackerSettings | None = None,
    ) -> None:
        """Go on with other settings, between two sets; each exposure still gets one skeleton at most. Raises
        ConfigError as when it is made."""
        require_possible(method, mode, lag_s)
        self.method, self.mode = method, mode
        self._lag_ns, self._refiner = round(lag_s * NS), refiner
        self._tracking = self._tracker.settings = tracking or TrackerSettings()

    def _begin(self) -> None:
        self._tracker = SkeletonTracker(self._rig, self._joints, self._tracking)
        self._newest_ns: int | None = None  # observation
        self._given_ns: int | None = None  # skeleton

    @property
    def state(self) -> TriangulationState:
        """What the stage knows now; to be set on one of the same rig, method, mode and lag."""
        return TriangulationState(
            self._tracker.state, self._newest_ns, self._given_ns, Counter(self.counters)
        )

    @state.setter
    def state(self, state: TriangulationState) -> None:
        self._tracker.state, self.counters = state.tracker, Counter(state.counters)
        self._newest_ns, self._given_ns = state.newest_ns, state.given_ns

    def apply(self, dense: DenseSet) -> tuple[Skeleton3D, ...]:
        """The skeletons that are due with this set, each exposure once and in order; LOST and NaN where
        there is none.

        In causal mode that is one. In window mode none come before the lag has passed, and several at once
        where the exposures' intervals vary; the last `lag_s` before the end or a jump of the clock never
        come. A set that is older than a skeleton before it still tells the tracker what it saw, but gives
        none (counted as `late`). After a jump of the clock everything starts anew. Raises CalibrationError
        for a view that the rig does not have.
        """
        if self._newest_ns is not None and abs(dense.target_ns - self._newest_ns) > CLOCK_JUMP_NS:
            self._begin()
        self._newest_ns = max(dense.target_ns, self._newest_ns or dense.target_ns)
        if self._given_ns is not None and dense.target_ns <= self._given_ns:
            self.counters["late"] += 1
        skeletons = self._lagging(dense) if self.mode == "window" else self._causal(dense)
        for skeleton in skeletons:
            self._given_ns = skeleton.stamp_ns
            self.counters[skeleton.state.name.lower()] += 1
        return skeletons

    def _refined(self, seen: Skeleton2D) -> Skeleton2D:
        return seen if self._refiner is None else self._refiner.refined(seen)

    def _causal(self, dense: DenseSet) -> tuple[Skeleton3D, ...]:
        skeleton = self._track(dense) if self.method == "tracker" else self._solve(dense)
        return (skeleton,) if self._is_next(skeleton.stamp_ns) else ()

    def _lagging(self, dense: DenseSet) -> tuple[Skeleton3D, ...]:
        self._track(dense)
        due = self._tracker.exposures_ns
        limit = due[-1] - self._lag_ns
        return tuple(self._tracker.smoothed(ns) for ns in due if ns <= limit and self._is_next(ns))

    def _is_next(self, stamp_ns: int) -> bool:
        return self._given_ns is None or stamp_ns > self._given_ns

    def _track(self, dense: DenseSet) -> Skeleton3D:
        (fresh,) = (view for view in dense.views if view.view == dense.fresh)
        self._tracker.update(self._refined(fresh.joints))
        return self._tracker.at(dense.target_ns)

    def _solve(self, dense: DenseSet) -> Skeleton3D:
        seen = [self._refined(view.joints) for view in dense.views]
        J = len(self._joints)
        if len(seen) < 2:
            return _nobody(dense, self._joints)
        solved = triangulate(
            [self._rig[self._rig.index(one.view)] for one in seen],
            np.stack([one.pixels for one in seen], 1),
            np.stack([one.covariance for one in seen], 1),
            np.stack([one.confidence for one in seen], 1),
        )
        found = np.isfinite(solved.points).all(-1).sum() >= self._tracking.min_joints
        return Skeleton3D(
            stamp_ns=dense.target_ns,
            identity=0,
            state=TrackingState.TRACKED if found else TrackingState.LOST,
            joint_set=self._joints.name,
            positions=solved.points,
            velocities=np.full((J, 3), np.nan),
            covariance=solved.covariance,
            confidence=solved.confidence,
            views=tuple(view.view for view in dense.views),
            view_ages_ns=tuple(dense.target_ns - view.source_stamp_ns for view in dense.views),
        )


def require_possible(method: Method, mode: Mode, lag_s: float) -> None:
    """Raises ConfigError for a lag out of range, and for `dlt` in window mode."""
    if not 0 <= lag_s <= MAX_LAG_S:
        raise ConfigError(f"the lag of window mode is {lag_s} s, expected 0 to {MAX_LAG_S} s")
    if mode == "window" and method != "tracker":
        raise ConfigError(f"method '{method}' has no window mode, use method 'tracker' or mode 'causal'")


def _nobody(dense: DenseSet, joints: JointSet) -> Skeleton3D:
    J = len(joints)
    unknown = np.full((J, 3), np.nan)
    return Skeleton3D(
        dense.target_ns, 0, TrackingState.LOST, joints.name, unknown, unknown,
        np.full((J, 3, 3), np.nan), np.zeros(J), (), (),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class PipelineState:
    """Everything that a pipeline knows: can be pickled, and put back with `InterleavedPipeline.state`.

    One field per stage that remembers; spatial fusion only keeps what it would compute again.
    """

    window: WindowState
    temporal: TemporalState
    triangulation: TriangulationState


class InterleavedPipeline:
    """All stages after the 2D network, for offline use: deterministic, one observation at a time."""

    def __init__(
        self,
        window: Window,
        spatial: SpatialFusion,
        temporal: TemporalFusion,
        triangulation: Triangulation,
    ) -> None:
        self._window = window
        self._spatial = spatial
        self._temporal = temporal
        self._triangulation = triangulation

    @property
    def state(self) -> PipelineState:
        """What the stages know now. Raises ConfigError when set to that of a window of other views."""
        return PipelineState(self._window.state, self._temporal.state, self._triangulation.state)

    @state.setter
    def state(self, state: PipelineState) -> None:
        self._window.state, self._temporal.state = state.window, state.temporal
        self._triangulation.state = state.triangulation

    def push(self, heatmaps: Heatmaps) -> Skeleton3D | None:
        """The newest skeleton that is due with the observation, or None when none is (where nothing is waited
        for: when the observation came too late for one)."""
        skeletons = self.skeletons(heatmaps)
        return skeletons[-1] if skeletons else None

    def skeletons(self, heatmaps: Heatmaps) -> tuple[Skeleton3D, ...]:
        """All skeletons that are due with the observation, in order of time (see Triangulation.apply)."""
        return tuple(
            skeleton
            for dense in self._window.push(heatmaps)
            for skeleton in self._triangulation.apply(self._temporal.apply(self._spatial.apply(dense)))
        )
