"""hri: tracked people in the conventions of ROS4HRI (REP-155), for whoever speaks those.

Reads `skeletons`; publishes /humans/bodies/tracked, and for each tracked body
/humans/bodies/<id>/position (middle of the hips) and /humans/bodies/<id>/skeleton2d (at the exposures of
the camera `view`), and where tf2 exists the frame body_<id> on /tf. Needs hri_msgs.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from geometry_msgs.msg import PointStamped

from dw_core import hri
from dw_core.errors import ConfigError
from dw_core.geometry.camera import Camera, Rig
from dw_core.skeleton import joint_set
from dw_core.types import Skeleton3D, TrackingState
from dw_ros import conversions, distro, qos
from dw_ros.conversions import People
from dw_ros.node import DwNode, Health, main_of
from dw_ros.parameters import RIG_TEXT, Parameter
from dw_ros.ports import Bus

BODIES = "/humans/bodies"


class HriNode(DwNode):
    PARAMETERS = (
        Parameter("rig", "", RIG_TEXT),
        Parameter("joint_set", "coco17", "Joints of the skeletons, by name."),
        Parameter("world_frame", "world", "Frame of the skeletons."),
        Parameter("view", "", "Camera whose image skeleton2d is of; empty: the first of the rig."),
    )

    def __init__(self, name: str = "hri", bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        self._msg = distro.hri_messages()
        self._joints = joint_set(self.value("joint_set"))
        self._frame = self.value("world_frame")
        self._camera = self._view_of(self.rig())
        self._bodies: dict[str, tuple[Any, Any]] = {}  # publishers of position and skeleton2d
        self._tracked = self.outlet(
            f"{BODIES}/tracked", conversions.message_codec(self._msg.IdsList), qos.RELIABLE
        )
        self._frames = distro.MovingFrames(self)
        people = conversions.people_codec(self._frame)
        self.inlet("skeletons", people, qos.RELIABLE, self._on_people, worker="hri")

    def _view_of(self, rig: Rig) -> Camera:
        view = self.value("view") or rig.names[0]
        if view not in rig.names:
            raise ConfigError(
                f"node {self.get_fully_qualified_name()}: parameter 'view' is '{view}', "
                f"expected one of {', '.join(rig.names)}"
            )
        return rig[rig.index(view)]

    def _on_people(self, people: People) -> None:
        tracked = {
            hri.body_id(one.identity): one for one in people.skeletons if one.state == TrackingState.TRACKED
        }
        self._keep(tracked)
        ids = self._msg.IdsList(ids=list(tracked))
        ids.header = conversions.header(people.stamp_ns, self._frame)
        self._tracked.send(ids)
        for body, skeleton in tracked.items():
            position, skeleton2d = self._bodies[body]
            place = hri.body_position(skeleton.positions, self._joints)
            if np.isfinite(place).all():
                position.publish(_point(skeleton.stamp_ns, self._frame, place))
                self._send_frame(body, skeleton, place)
            if _seen_by(skeleton, self._camera.name):
                skeleton2d.publish(self._skeleton2d(skeleton))

    def _keep(self, tracked: Collection[str]) -> None:
        """Topics for those who are tracked, and for nobody else."""
        for body in [body for body in self._bodies if body not in tracked]:
            for publisher in self._bodies.pop(body):
                # Not in this thread: the executor may be about to wait for the publisher's events.
                assert self.executor is not None
                self.executor.create_task(self.destroy_publisher, publisher)
        for body in tracked:
            if body not in self._bodies:
                self._bodies[body] = (
                    self.create_publisher(PointStamped, f"{BODIES}/{body}/position", qos.RELIABLE),
                    self.create_publisher(self._msg.Skeleton2D, f"{BODIES}/{body}/skeleton2d", qos.RELIABLE),
                )

    def _send_frame(self, body: str, skeleton: Skeleton3D, place: Any) -> None:
        axes = hri.body_rotation(skeleton.positions, self._joints)
        if axes is not None and self._frames.wanted:
            header = conversions.header(skeleton.stamp_ns, self._frame)
            self._frames.send([conversions.transform(header, f"body_{body}", place, axes)])

    def _skeleton2d(self, skeleton: Skeleton3D) -> Any:
        found = hri.keypoints(self._camera, skeleton.positions, skeleton.confidence, self._joints)
        message = self._msg.Skeleton2D()
        message.header = conversions.header(skeleton.stamp_ns, conversions.optical_frame(self._camera.name))
        message.skeleton = [
            self._msg.NormalizedPointOfInterest2D(x=float(x), y=float(y), c=float(c)) for x, y, c in found
        ]
        return message

    def health(self) -> Health:
        return Health(message=f"{len(self._bodies)} tracked")


def _seen_by(skeleton: Skeleton3D, view: str) -> bool:
    """Whether the skeleton is of an exposure of that view."""
    return (view, 0) in zip(skeleton.views, skeleton.view_ages_ns, strict=True)


def _point(stamp_ns: int, frame: str, place: Any) -> PointStamped:
    message = PointStamped(header=conversions.header(stamp_ns, frame))
    message.point.x, message.point.y, message.point.z = place.tolist()
    return message


main = main_of(HriNode, "hri")

if __name__ == "__main__":
    main()
