"""triangulation: dense sets in, skeletons out.

Reads dense/temporal; decodes the maps to image points with covariances, gives each point to the
tracker as a ray with its own time, and publishes `skeletons`, one array per exposure, empty while nobody
is tracked: in mode causal the newest exposure's at once, in mode window each one's after a lag, improved
by what was seen since. Latched beside it: rig_calibration and skeleton_definition. Where tf2 exists,
/tf_static has the cameras and /tf has person_<id>: between the hips, x ahead.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from dw_core.anatomy import load_offsets
from dw_core.pipeline import Triangulation
from dw_core.skeleton import joint_set
from dw_core.types import DenseSet, TrackingState
from dw_ros import conversions, distro, qos
from dw_ros.conversions import People
from dw_ros.managed import AUTOSTART, ManagedNode
from dw_ros.msg import RigCalibration, SkeletonDefinition
from dw_ros.node import Health, main_of
from dw_ros.parameters import RIG_TEXT, Parameter
from dw_ros.ports import Bus, Outlet


class TriangulationNode(ManagedNode):
    _triangulation: Triangulation  # while it is configured

    PARAMETERS = (
        AUTOSTART,
        Parameter("rig", "", RIG_TEXT),
        Parameter("joint_set", "coco17", "Joints of the heatmaps, by name."),
        Parameter("world_frame", "world", "Frame of the skeletons."),
        Parameter("method", "tracker", "How joints become 3D.", choices=("tracker", "dlt")),
        Parameter(
            "mode",
            "causal",
            "causal: the newest exposure's skeleton at once; window: each exposure's after lag_ms, better.",
            choices=("causal", "window"),
        ),
        Parameter(
            "lag_ms", 200, "Mode window: how far skeletons stay behind the newest observation.", 0, 200
        ),
        Parameter(
            "joint_offsets",
            "movenet",
            "Where the 2D network sees joints, to correct for: movenet, none, or a file (.json).",
        ),
    )

    def __init__(self, name: str = "triangulation", bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        self._rig = self.rig()
        self._joints = joint_set(self.value("joint_set"))
        self._frame = self.value("world_frame")
        self._state = TrackingState.LOST
        self._out = self.outlet("skeletons", conversions.people_codec(self._frame), qos.RELIABLE)
        self._frames = distro.MovingFrames(self)
        self._rig_out, self._joints_out = (
            self.outlet(topic, conversions.message_codec(kind), qos.LATCHED, latched=True)
            for topic, kind in (
                ("rig_calibration", RigCalibration),
                ("skeleton_definition", SkeletonDefinition),
            )
        )
        self.inlet("dense/temporal", conversions.dense_codec(self._joints), qos.LARGE, self._triangulate)

    def configure(self) -> None:
        self._rig = self.rig_again(self._rig)
        self._triangulation = Triangulation(
            self._rig,
            self._joints,
            self.value("method"),
            self.value("mode"),
            self.value("lag_ms") / 1000,
            load_offsets(self.value("joint_offsets")),
        )

    def activate(self) -> None:
        self._latch(self._rig_out, conversions.rig_to_message(self._rig, self._frame))
        self._latch(self._joints_out, conversions.joint_set_to_message(self._joints))
        distro.publish_static_frames(self, conversions.camera_frames(self._rig, self._frame))

    def cleanup(self) -> None:
        del self._triangulation

    def _latch(self, outlet: Outlet[Any], message: Any) -> None:
        message.header.stamp = self.get_clock().now().to_msg()
        outlet.send(message)

    def _triangulate(self, dense: DenseSet) -> None:
        began = time.perf_counter_ns()
        skeletons = self._triangulation.apply(dense)
        busy = dense.stamps.busy + time.perf_counter_ns() - began
        for skeleton in skeletons:
            stamped = replace(skeleton, stamps=replace(dense.stamps, published=self.now_ns(), busy=busy))
            self._state = skeleton.state
            nobody = skeleton.state == TrackingState.LOST
            people = People(skeleton.stamp_ns, [] if nobody else [stamped])
            self._out.send(people)
            if self._frames.wanted:
                self._frames.send(conversions.person_frames(people, self._joints, self._frame))

    def health(self) -> Health:
        health = Health(message=self._state.name.lower(), values=dict(self._triangulation.counters))
        if self._state == TrackingState.LOST and self._triangulation.counters:
            health.warn("nobody is tracked")
        return health


main = main_of(TriangulationNode, "triangulation")

if __name__ == "__main__":
    main()
