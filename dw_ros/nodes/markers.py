"""markers: skeletons, trails, velocities, covariance, cameras and rays as a MarkerArray for RViz.

Each kind has a namespace of its own and a live parameter that switches it; only while somebody looks.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from visualization_msgs.msg import Marker, MarkerArray

from dw_core.data import messages
from dw_core.skeleton import joint_set
from dw_core.types import NS, FloatArray, Skeleton3D
from dw_ros import conversions, qos
from dw_ros import marker_shapes as shapes
from dw_ros.conversions import People
from dw_ros.epipolar import EPIPOLAR_JOINT, NONE, Sightings
from dw_ros.msg import RigCalibration
from dw_ros.node import DwNode, main_of
from dw_ros.parameters import RIG_TEXT, Parameter
from dw_ros.ports import Bus, Inlet, follow_demand


class MarkersNode(DwNode):
    PARAMETERS = (
        Parameter("rig", "", RIG_TEXT),
        Parameter("joint_set", "coco17", "Joints of the skeletons, by name."),
        Parameter("world_frame", "world", "Frame of the skeletons."),
        Parameter("max_rate_hz", 30.0, "At most this many marker arrays per second.", 0.1, 1000.0, live=True),
        Parameter("skeleton", True, "Show joints and bones.", live=True),
        Parameter(
            "trail_s",
            1.0,
            "Length of the trails behind wrists and ankles, s; 0 for none.",
            0.0,
            60.0,
            live=True,
        ),
        Parameter("velocity", True, "Show an arrow per joint: its way in a tenth of a second.", live=True),
        Parameter("covariance", False, "Show an ellipsoid of two deviations per joint.", live=True),
        Parameter("cameras", True, "Show the cameras as pyramids.", live=True),
        EPIPOLAR_JOINT,
    )

    def __init__(self, name: str = "markers", bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        self._rig = self.rig()
        self._cameras = shapes.camera_marker(self._rig)
        self._joints = joint_set(self.value("joint_set"))
        self._frame = self.value("world_frame")
        self._trail: deque[tuple[int, FloatArray]] = deque()
        self._sightings = Sightings(self._joints)
        self._last_ns = 0
        self._shown: set[str] = set()
        self._out = self.outlet("skeleton_markers", conversions.message_codec(MarkerArray), qos.RELIABLE)
        calibration = conversions.message_codec(RigCalibration)
        self.inlet("rig_calibration", calibration, qos.LATCHED, self._on_rig)
        people = conversions.people_codec(self._frame)
        self.inlet("skeletons", people, qos.RELIABLE, self._on_people, worker="markers")
        self._seen = [self._sighting_inlet(view) for view in self._rig.names]

    def start(self) -> None:
        follow_demand(self, self._seen, self._follow_demand)

    def _on_rig(self, message: RigCalibration) -> None:
        """The cameras as they are used now."""
        self._rig = messages.rig(message)
        self._cameras = shapes.camera_marker(self._rig)

    def _sighting_inlet(self, view: str) -> Inlet[Any]:
        topic, codec = f"{view}/skeleton2d", conversions.skeleton2d_codec(self._joints)
        return self.inlet(topic, codec, qos.SENSOR, self._sightings.take, on_demand=True)

    def _follow_demand(self) -> None:
        for inlet in self._seen:
            inlet.listen(self._out.wanted and self.value("epipolar_joint") != NONE)

    def _on_people(self, people: People) -> None:
        self._remember(people)
        period = NS / self.value("max_rate_hz")
        if not self._out.wanted or abs(people.stamp_ns - self._last_ns) < period:
            return
        self._last_ns = people.stamp_ns
        markers = self._markers(people)
        shown = {marker.ns for marker in markers}
        if not self._shown <= shown:  # somebody is gone, or a kind was switched off
            markers.insert(0, Marker(action=Marker.DELETEALL))
        self._shown = shown
        number: Counter[str] = Counter()
        for marker in markers:
            marker.id = number[marker.ns]
            number[marker.ns] += 1
            marker.header.frame_id = self._frame
            marker.header.stamp = conversions.to_time(people.stamp_ns)
        self._out.send(MarkerArray(markers=markers))

    def _markers(self, people: People) -> list[Marker]:
        markers = [marker for one in people.skeletons for marker in self._person(one)]
        if people.skeletons:
            markers += shapes.trail_markers(self._trail, self._joints)
        if self.value("cameras"):
            markers.append(self._cameras)
        joint = self.value("epipolar_joint")
        pixels = self._sightings.of(joint, people.stamp_ns)
        known = pixels and people.skeletons
        place = people.skeletons[0].positions[self._joints.index(joint)] if known else None
        return markers + shapes.ray_markers(self._rig, pixels, place)

    def _person(self, one: Skeleton3D) -> list[Marker]:
        markers = shapes.skeleton_markers(one, self._joints) if self.value("skeleton") else []
        if self.value("velocity"):
            markers += shapes.velocity_markers(one, self._joints)
        if self.value("covariance"):
            markers += shapes.covariance_markers(one, self._joints)
        return markers

    def _remember(self, people: People) -> None:
        trail_ns = self.value("trail_s") * NS
        while self._trail and not 0 <= people.stamp_ns - self._trail[0][0] <= trail_ns:
            self._trail.popleft()
        if people.skeletons and trail_ns:
            self._trail.append((people.stamp_ns, people.skeletons[0].positions))


main = main_of(MarkersNode, "markers")

if __name__ == "__main__":
    main()
