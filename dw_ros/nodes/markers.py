"""markers: skeletons, trails and cameras as a MarkerArray for RViz, only while somebody looks."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from geometry_msgs.msg import Point
from rclpy.duration import Duration
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from dw_core.data import messages
from dw_core.geometry.camera import Rig
from dw_core.skeleton import JointSet, joint_set
from dw_core.types import NS, FloatArray, Skeleton3D
from dw_ros import conversions, qos
from dw_ros.conversions import People
from dw_ros.msg import RigCalibration
from dw_ros.node import DwNode, main_of
from dw_ros.parameters import Parameter
from dw_ros.ports import Bus

TRAIL_JOINTS = ("left_wrist", "right_wrist", "left_ankle", "right_ankle")
LIFETIME_S = 0.3
CAMERA_DEPTH_M = 0.25


class MarkersNode(DwNode):
    PARAMETERS = (
        Parameter("joint_set", "coco17", "Joints of the skeletons, by name."),
        Parameter("world_frame", "world", "Frame of the skeletons."),
        Parameter("max_rate_hz", 30.0, "At most this many marker arrays per second.", 0.1, 1000.0, live=True),
        Parameter(
            "trail_s",
            1.0,
            "Length of the trails behind wrists and ankles, s; 0 for none.",
            0.0,
            60.0,
            live=True,
        ),
    )

    def __init__(self, name: str = "markers", bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        self._joints = joint_set(self.value("joint_set"))
        self._frame = self.value("world_frame")
        self._trail: deque[tuple[int, FloatArray]] = deque()
        self._last_ns = 0
        self._shown = False
        self._rig: Rig | None = None
        self._out = self.outlet("skeleton_markers", conversions.message_codec(MarkerArray), qos.RELIABLE)
        self.inlet("rig_calibration", conversions.message_codec(RigCalibration), qos.LATCHED, self._on_rig)
        self.inlet(
            "skeletons",
            conversions.people_codec(self._frame),
            qos.RELIABLE,
            self._on_people,
            worker="markers",
        )

    def _on_rig(self, message: RigCalibration) -> None:
        self._rig = messages.rig(message)

    def _on_people(self, people: People) -> None:
        self._remember(people)
        period = NS / self.value("max_rate_hz")
        if not self._out.wanted or abs(people.stamp_ns - self._last_ns) < period:
            return
        self._last_ns = people.stamp_ns
        markers = MarkerArray()
        if not people.skeletons and self._shown:
            markers.markers.append(Marker(action=Marker.DELETEALL))
        self._shown = bool(people.skeletons)
        for skeleton in people.skeletons:
            markers.markers += skeleton_markers(skeleton, self._joints) + trail_markers(
                self._trail, self._joints
            )
        if self._rig is not None:
            markers.markers.append(camera_marker(self._rig))
        for number, marker in enumerate(markers.markers):
            marker.id = number
            marker.header.frame_id = self._frame
            marker.header.stamp = conversions.to_time(people.stamp_ns)
        self._out.send(markers)

    def _remember(self, people: People) -> None:
        trail_ns = self.value("trail_s") * NS
        while self._trail and not 0 <= people.stamp_ns - self._trail[0][0] <= trail_ns:
            self._trail.popleft()
        if people.skeletons and trail_ns:
            self._trail.append((people.stamp_ns, people.skeletons[0].positions))


def _marker(kind: int, namespace: str, size_m: float, lifetime_s: float = LIFETIME_S) -> Marker:
    marker = Marker(type=kind, action=Marker.ADD, ns=namespace)
    marker.lifetime = Duration(seconds=lifetime_s).to_msg()
    marker.pose.orientation.w = 1.0
    marker.scale.x = marker.scale.y = marker.scale.z = size_m
    marker.color.a = 1.0
    return marker


def _point(position: FloatArray) -> Point:
    return Point(x=float(position[0]), y=float(position[1]), z=float(position[2]))


def _colour(joints: JointSet, joint: int, confidence: float) -> ColorRGBA:
    r, g, b = conversions.SIDE_COLOURS[joints.side(joints.joints[joint])]
    return ColorRGBA(r=r, g=g, b=b, a=float(np.clip(0.2 + 0.8 * confidence, 0.0, 1.0)))


def skeleton_markers(skeleton: Skeleton3D, joints: JointSet) -> list[Marker]:
    """Joints as spheres, bones as lines; what is not known (NaN) is left out."""
    spheres = _marker(Marker.SPHERE_LIST, f"person_{skeleton.identity}/joints", 0.05)
    bones = _marker(Marker.LINE_LIST, f"person_{skeleton.identity}/bones", 0.025)
    known = np.asarray(np.isfinite(skeleton.positions).all(-1))
    for joint in map(int, np.flatnonzero(known)):
        spheres.points.append(_point(skeleton.positions[joint]))
        spheres.colors.append(_colour(joints, joint, skeleton.confidence[joint]))
    for edge in joints.edges:
        if known[list(edge)].all():
            for joint in edge:
                bones.points.append(_point(skeleton.positions[joint]))
                bones.colors.append(_colour(joints, edge[1], skeleton.confidence[joint]))
    return [spheres, bones]


def trail_markers(trail: deque[tuple[int, FloatArray]], joints: JointSet) -> list[Marker]:
    """The recent path of the wrists and ankles that the joint set has."""
    markers = []
    for name in TRAIL_JOINTS:
        if name not in joints.joints:
            continue
        marker = _marker(Marker.LINE_STRIP, f"trail/{name}", 0.01)
        path = np.array([positions[joints.index(name)] for _, positions in trail])
        marker.points = [_point(position) for position in path if np.isfinite(position).all()]
        marker.color = _colour(joints, joints.index(name), 0.5)
        if len(marker.points) > 1:
            markers.append(marker)
    return markers


def camera_marker(rig: Rig) -> Marker:
    """All cameras as pyramids of CAMERA_DEPTH_M."""
    marker = _marker(Marker.LINE_LIST, "cameras", 0.01, lifetime_s=0.0)
    marker.color = ColorRGBA(r=0.6, g=0.6, b=0.2, a=1.0)
    for camera in rig:
        corners = np.array([(0, 0), (camera.width, 0), (camera.width, camera.height), (0, camera.height)])
        rays = (np.c_[corners, np.ones(4)] @ np.linalg.inv(camera.K).T) * CAMERA_DEPTH_M
        world = (rays - camera.t) @ camera.R
        for here, after in zip(world, np.roll(world, -1, axis=0), strict=True):
            for end in (camera.centre, here, here, after):
                marker.points.append(_point(end))
    return marker


main = main_of(MarkersNode, "markers")

if __name__ == "__main__":
    main()
