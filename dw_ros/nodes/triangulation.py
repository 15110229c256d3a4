"""triangulation: dense sets in, skeletons out.

Reads dense/temporal; decodes the maps to image points with covariances, gives each point to the
tracker as a ray with its own time, and publishes `skeletons`, one array per exposure, empty while nobody
is tracked: in mode causal the newest exposure's at once, in mode window each one's after a lag, improved
by what was seen since. Latched beside it: rig_calibration and skeleton_definition. Where tf2 exists,
/tf_static has the cameras and /tf has person_<id>: between the hips, x ahead.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dw_core.anatomy import load_offsets
from dw_core.pipeline import Triangulation
from dw_core.skeleton import joint_set
from dw_core.types import DenseSet, TrackingState
from dw_ros import conversions, distro, qos
from dw_ros.conversions import People
from dw_ros.msg import RigCalibration, SkeletonDefinition
from dw_ros.node import DwNode, Health, main_of
from dw_ros.parameters import RIG_TEXT, Parameter
from dw_ros.ports import Bus


class TriangulationNode(DwNode):
    PARAMETERS = (
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
        rig = self.rig()
        joints = joint_set(self.value("joint_set"))
        frame = self.value("world_frame")
        self._triangulation = Triangulation(
            rig,
            joints,
            self.value("method"),
            self.value("mode"),
            self.value("lag_ms") / 1000,
            load_offsets(self.value("joint_offsets")),
        )
        self._state = TrackingState.LOST
        self._out = self.outlet("skeletons", conversions.people_codec(frame), qos.RELIABLE)
        self._latch("rig_calibration", RigCalibration, conversions.rig_to_message(rig, frame))
        self._latch("skeleton_definition", SkeletonDefinition, conversions.joint_set_to_message(joints))
        distro.publish_static_frames(self, conversions.camera_frames(rig, frame))
        self._joints, self._frame = joints, frame
        self._frames = distro.MovingFrames(self)
        self.inlet("dense/temporal", conversions.dense_codec(joints), qos.LARGE, self._triangulate)

    def _latch(self, topic: str, message_type: type, message: Any) -> None:
        message.header.stamp = self.get_clock().now().to_msg()
        self.outlet(topic, conversions.message_codec(message_type), qos.LATCHED, latched=True).send(message)

    def _triangulate(self, dense: DenseSet) -> None:
        for skeleton in self._triangulation.apply(dense):
            stamped = replace(skeleton, stamps=replace(dense.stamps, published=self.now_ns()))
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
