"""The stages joined: heatmaps of one view in, the skeleton at that exposure out.

    Window ──► SpatialFusion ──► TemporalFusion ──► Triangulation
     fill       epipolar maxima   Warper             rays, tracker

The ROS nodes hold one stage each and do the same arithmetic on the same values.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

import numpy as np

from dw_core.fusion.spatial import SpatialFusion
from dw_core.fusion.warper import TemporalFusion
from dw_core.geometry.camera import Rig
from dw_core.geometry.triangulation import triangulate
from dw_core.heatmaps.decode import decode_view
from dw_core.interleave.window import CLOCK_JUMP_NS, Window
from dw_core.skeleton import JointSet
from dw_core.tracking.tracker import SkeletonTracker
from dw_core.types import DenseSet, Heatmaps, Skeleton3D, TrackingState

Method = Literal["tracker", "dlt"]
# The paper's form: fewer joints than this are nobody.
MIN_JOINTS = 6


class Triangulation:
    """The last stage: a dense set to the skeleton at its target time.

    `tracker`: the fresh view's joints enter a continuous-time tracker as rays with their own time and
    covariance. `dlt`: the paper's form; the maps of all views are taken as if seen at the target time,
    each pose stands alone and has no velocity.
    """

    def __init__(self, rig: Rig, joints: JointSet, method: Method = "tracker") -> None:
        self.method = method
        self.counters: Counter[str] = Counter()
        self._rig, self._joints = rig, joints
        self._tracker = SkeletonTracker(rig, joints)
        self._newest_ns: int | None = None

    def apply(self, dense: DenseSet) -> Skeleton3D | None:
        """The skeleton at the dense set's time; LOST and NaN when there is none.

        Skeletons leave in order of exposure: a set that is older than one before it still tells the
        tracker what it saw, but gives None (counted as `late`). After a jump of the clock everything
        starts anew. Raises CalibrationError for a view that the rig does not have.
        """
        newest = self._newest_ns
        if newest is not None and abs(dense.target_ns - newest) > CLOCK_JUMP_NS:
            self._tracker = SkeletonTracker(self._rig, self._joints)
            newest = None
        skeleton = self._track(dense) if self.method == "tracker" else self._solve(dense)
        if newest is not None and dense.target_ns <= newest:
            self.counters["late"] += 1
            return None
        self._newest_ns = dense.target_ns
        self.counters[skeleton.state.name.lower()] += 1
        return skeleton

    def _track(self, dense: DenseSet) -> Skeleton3D:
        (fresh,) = (view for view in dense.views if view.view == dense.fresh)
        self._tracker.update(decode_view(fresh.view, dense.target_ns, fresh.crop, fresh.tensor))
        return self._tracker.at(dense.target_ns)

    def _solve(self, dense: DenseSet) -> Skeleton3D:
        seen = [decode_view(v.view, dense.target_ns, v.crop, v.tensor) for v in dense.views]
        J = len(self._joints)
        if len(seen) < 2:
            return _nobody(dense, self._joints)
        solved = triangulate(
            [self._rig[self._rig.index(one.view)] for one in seen],
            np.stack([one.pixels for one in seen], 1),
            np.stack([one.covariance for one in seen], 1),
            np.stack([one.confidence for one in seen], 1),
        )
        found = np.isfinite(solved.points).all(-1).sum() >= MIN_JOINTS
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


def _nobody(dense: DenseSet, joints: JointSet) -> Skeleton3D:
    J = len(joints)
    unknown = np.full((J, 3), np.nan)
    return Skeleton3D(
        dense.target_ns, 0, TrackingState.LOST, joints.name, unknown, unknown,
        np.full((J, 3, 3), np.nan), np.zeros(J), (), (),
    )  # fmt: skip


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

    def push(self, heatmaps: Heatmaps) -> Skeleton3D | None:
        """The skeleton at the observation's exposure, or None when it came too late for one."""
        dense = self._window.push(heatmaps)
        if dense is None:
            return None
        return self._triangulation.apply(self._temporal.apply(self._spatial.apply(dense)))
