"""Values of dw_core as RViz markers, one namespace per kind. Ids, frame and stamp are the node's to set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from geometry_msgs.msg import Point
from rclpy.duration import Duration
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker

from dw_core.geometry.camera import Rig
from dw_core.skeleton import JointSet
from dw_core.types import FloatArray, Skeleton3D
from dw_core.viewing.shapes import ellipsoids, frustum, quaternions, ray
from dw_ros import conversions

TRAIL_JOINTS = ("left_wrist", "right_wrist", "left_ankle", "right_ankle")
LIFETIME_S = 0.3
CAMERA_DEPTH_M = 0.25
# Velocities are drawn as the way of this time; slower joints than this have no arrow.
VELOCITY_S, MIN_SPEED = 0.1, 0.05
HEAD_LENGTH, HEAD_WIDTH = 0.3, 0.15
DEVIATIONS = 2.0
# Rays go this far beyond the person, or this far where nobody is known.
BEYOND, RAY_M = 1.2, 6.0
CAMERA_COLOUR = ColorRGBA(r=0.6, g=0.6, b=0.2, a=1.0)
RAY_COLOUR = ColorRGBA(r=0.25, g=0.85, b=0.25, a=0.8)


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


def velocity_markers(skeleton: Skeleton3D, joints: JointSet) -> list[Marker]:
    """An arrow per joint that moves, as long as its way in VELOCITY_S: all of them as lines of one marker,
    since a marker of its own for each would cost three times as much as the skeleton."""
    speed = np.linalg.norm(skeleton.velocities, axis=-1)
    known = np.flatnonzero(np.isfinite(skeleton.positions).all(-1) & (speed > MIN_SPEED))
    arrows = _marker(Marker.LINE_LIST, f"person_{skeleton.identity}/velocity", 0.008)
    for joint, way in zip(known.tolist(), VELOCITY_S * skeleton.velocities[known], strict=True):
        start = skeleton.positions[joint]
        aside = np.cross(way, (0.0, 0.0, 1.0) if abs(way[2]) < abs(way[:2]).max() else (1.0, 0.0, 0.0))
        aside *= HEAD_WIDTH * np.linalg.norm(way) / np.linalg.norm(aside)
        head = start + (1 - HEAD_LENGTH) * way
        end = _point(start + way)
        arrows.points += [_point(start), end, _point(head + aside), end, _point(head - aside), end]
        arrows.colors += [_colour(joints, joint, skeleton.confidence[joint])] * 6
    return [arrows] if arrows.points else []


def covariance_markers(skeleton: Skeleton3D, joints: JointSet) -> list[Marker]:
    """An ellipsoid of DEVIATIONS standard deviations per joint."""
    half, axes = ellipsoids(skeleton.covariance, DEVIATIONS)
    known = np.flatnonzero(np.isfinite(skeleton.positions).all(-1) & np.isfinite(half).all(-1))
    markers = []
    for joint, quaternion in zip(known.tolist(), quaternions(axes[known]).tolist(), strict=True):
        shape = _marker(Marker.SPHERE, f"person_{skeleton.identity}/covariance", 0.0)
        place, turn = shape.pose.position, shape.pose.orientation
        place.x, place.y, place.z = skeleton.positions[joint].tolist()
        turn.x, turn.y, turn.z, turn.w = quaternion
        # RViz refuses a size of nothing
        shape.scale.x, shape.scale.y, shape.scale.z = np.maximum(2 * half[joint], 1e-4).tolist()
        shape.color = _colour(joints, joint, skeleton.confidence[joint])
        shape.color.a *= 0.3
        markers.append(shape)
    return markers


def trail_markers(trail: Iterable[tuple[int, FloatArray]], joints: JointSet) -> list[Marker]:
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
    """All cameras as pyramids of CAMERA_DEPTH_M, as far as their lenses reach."""
    marker = _marker(Marker.LINE_LIST, "cameras", 0.01, lifetime_s=0.0)
    marker.color = CAMERA_COLOUR
    for camera in rig:
        corners = frustum(camera, CAMERA_DEPTH_M)
        for here, after in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            for start, end in ((camera.centre, here), (here, after)):
                if np.isfinite(start).all() and np.isfinite(end).all():
                    marker.points += [_point(start), _point(end)]
    return marker


def ray_markers(rig: Rig, pixels: Mapping[str, FloatArray], place: FloatArray | None) -> list[Marker]:
    """Rays from the cameras through the pixels (2,) where they saw one joint, past its place (3,) in the
    world if that is known."""
    markers = []
    for camera in rig:
        if camera.name not in pixels:
            continue
        far = RAY_M
        if place is not None and np.isfinite(place).all():
            far = BEYOND * float(camera.R[2] @ place + camera.t[2])
        end = ray(camera, pixels[camera.name], far)
        if far > 0 and np.isfinite(end).all():
            marker = _marker(Marker.LINE_LIST, f"epipolar/{camera.name}", 0.006)
            marker.color = RAY_COLOUR
            marker.points = [_point(camera.centre), _point(end)]
            markers.append(marker)
    return markers
