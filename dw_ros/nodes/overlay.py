"""overlay: every view's image with its heatmaps, 2D joints, the skeleton from space and epipolar lines.

<view>/overlay and <view>/overlay/compressed, small pictures, each only while somebody subscribes; nothing is
received before. A picture is made when the skeleton of its very exposure comes, so all of it is of one time.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import cv2
import numpy as np

from dw_core.data import messages
from dw_core.data.footage import decode_jpeg
from dw_core.geometry.camera import Camera
from dw_core.skeleton import joint_set
from dw_core.types import NS, FloatArray, Heatmaps, ImageFrame, JpegFrame, UInt8Array
from dw_core.viewing.draw import Overlay, binning, draw_overlay, epipolar_line
from dw_ros import conversions, qos
from dw_ros.conversions import People
from dw_ros.epipolar import EPIPOLAR_JOINT, NONE, Sightings
from dw_ros.msg import RigCalibration
from dw_ros.node import DwNode, Health, main_of
from dw_ros.parameters import RIG_TEXT, Parameter
from dw_ros.ports import Bus, Inlet, Outlet, follow_demand

# Values of this many exposures wait for one another: skeletons at 60 Hz for half a second.
KEPT = 30
JPEG_QUALITY = 85


class _View:
    """One view: what it waits with, and where its pictures go."""

    def __init__(self, camera: Camera, raw: Outlet[ImageFrame], compressed: Outlet[JpegFrame]) -> None:
        self.camera, self.raw, self.compressed = camera, raw, compressed
        self.images: deque[ImageFrame | JpegFrame] = deque(maxlen=KEPT)
        self.maps: deque[Heatmaps] = deque(maxlen=KEPT)
        self.inlets: list[Inlet[Any]] = []
        self.last_ns = 0
        self.drawn = 0

    @property
    def wanted(self) -> bool:
        return self.raw.wanted or self.compressed.wanted


class OverlayNode(DwNode):
    PARAMETERS = (
        Parameter("rig", "", RIG_TEXT),
        Parameter("joint_set", "coco17", "Joints of the heatmaps, by name."),
        Parameter("world_frame", "world", "Frame of the skeletons."),
        Parameter("transport", "compressed", "Which image topic is read.", choices=("compressed", "raw")),
        Parameter("size_px", 480, "Pictures are made smaller, but at least this high or wide.", 64, 8192),
        Parameter(
            "max_rate_hz", 15.0, "At most this many pictures per second of a view.", 0.1, 1000.0, live=True
        ),
        Parameter("heatmaps", True, "Show the heatmaps.", live=True),
        Parameter("joints", True, "Show the view's own 2D joints, as rings.", live=True),
        Parameter("skeleton", True, "Show the skeleton from space.", live=True),
        EPIPOLAR_JOINT,
    )

    def __init__(self, name: str = "overlay", bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        self._rig = self.rig()
        self._joints = joint_set(self.value("joint_set"))
        self._sightings = Sightings(self._joints)
        self._people: deque[People] = deque(maxlen=KEPT)
        self._views = [self._view(camera) for camera in self._rig]
        self._drawing = self.queue("drawing", self._draw, worker="overlay", size=len(self._rig))
        self._seen = [self._sighting_inlet(view) for view in self._rig.names]
        calibration = conversions.message_codec(RigCalibration)
        self.inlet("rig_calibration", calibration, qos.LATCHED, self._on_rig)
        people = conversions.people_codec(self.value("world_frame"))
        self._skeletons = self._on_demand("skeletons", people, qos.RELIABLE, self._on_people)

    def start(self) -> None:
        inlets = [inlet for view in self._views for inlet in view.inlets]
        follow_demand(self, [*inlets, self._skeletons, *self._seen], self._follow_demand)

    def _on_rig(self, message: RigCalibration) -> None:
        """The cameras as they are used now."""
        self._rig = messages.rig(message)
        cameras = {camera.name: camera for camera in self._rig}
        for view in self._views:
            view.camera = cameras.get(view.camera.name, view.camera)

    def _view(self, camera: Camera) -> _View:
        topic = f"{camera.name}/overlay"
        view = _View(
            camera,
            self.outlet(topic, conversions.IMAGE, qos.SENSOR),
            self.outlet(f"{topic}/compressed", conversions.JPEG, qos.SENSOR),
        )
        compressed = self.value("transport") == "compressed"
        image = f"{camera.name}/image" + ("/compressed" if compressed else "")
        codec: Any = conversions.JPEG if compressed else conversions.IMAGE
        maps = conversions.heatmaps_codec(self._joints)
        view.inlets = [
            self._on_demand(image, codec, qos.SENSOR, lambda image: self._arrived(view, view.images, image)),
            self._on_demand(
                f"{camera.name}/heatmaps", maps, qos.SENSOR, lambda maps: self._arrived(view, view.maps, maps)
            ),
        ]
        return view

    def _on_demand(self, topic: str, codec: Any, profile: Any, callback: Any) -> Inlet[Any]:
        return self.inlet(topic, codec, profile, callback, on_demand=True)

    def _sighting_inlet(self, view: str) -> Inlet[Any]:
        codec = conversions.skeleton2d_codec(self._joints)
        return self._on_demand(f"{view}/skeleton2d", codec, qos.SENSOR, self._sightings.take)

    def _follow_demand(self) -> None:
        for view in self._views:
            for inlet in view.inlets:
                inlet.listen(view.wanted)
        anybody = any(view.wanted for view in self._views)
        self._skeletons.listen(anybody)
        for inlet in self._seen:
            inlet.listen(anybody and self.value("epipolar_joint") != NONE)

    def _on_people(self, people: People) -> None:
        for view in self._views:
            self._arrived(view, self._people, people)

    def _arrived(self, view: _View, kept: deque[Any], value: Any) -> None:
        """Keep a value; draw when all of its exposure is here. Over DDS they come in any order."""
        if not view.wanted:
            return
        stamp_ns: int = value.stamp_ns
        if not kept or kept[-1] is not value:
            kept.append(value)
        image, maps, people = (_at(stamp_ns, values) for values in (view.images, view.maps, self._people))
        # a camera's own rate may be the very limit, and its stamps are whole nanoseconds
        soonest_ns = 0.9 * NS / self.value("max_rate_hz")
        if image and maps and people and abs(stamp_ns - view.last_ns) >= soonest_ns:
            view.last_ns = stamp_ns
            self._drawing.put((view, image, maps, people))

    def _draw(self, task: tuple[_View, ImageFrame | JpegFrame, Heatmaps, People]) -> None:
        view, image, maps, people = task
        step = binning(view.camera, self.value("size_px"))
        picture = _picture(image, view.camera, step)
        what = Overlay(
            heatmaps=maps if self.value("heatmaps") else None,
            seen=maps.joints if self.value("joints") else None,
            skeletons=[one.positions for one in people.skeletons] if self.value("skeleton") else (),
            curves=self._lines(view, people.stamp_ns),
        )
        draw_overlay(picture, view.camera, self._joints, what, 1 / step)
        view.drawn += 1
        if view.raw.wanted:
            view.raw.send(ImageFrame(view.camera.name, image.stamp_ns, picture, step))
        if view.compressed.wanted:
            _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            view.compressed.send(JpegFrame(view.camera.name, image.stamp_ns, data.tobytes()))

    def _lines(self, view: _View, stamp_ns: int) -> list[FloatArray]:
        """What the other views saw of the chosen joint, as lines in this one."""
        pixels = self._sightings.of(self.value("epipolar_joint"), stamp_ns)
        others = [camera for camera in self._rig if camera.name != view.camera.name and camera.name in pixels]
        return [epipolar_line(camera, pixels[camera.name], view.camera) for camera in others]

    def health(self) -> Health:
        drawn = sum(view.drawn for view in self._views)
        return Health(message="drawing for whoever subscribes", values={"pictures": drawn})


def _at(stamp_ns: int, values: deque[Any]) -> Any:
    """The value of a time, or None."""
    return next((one for one in list(values) if one.stamp_ns == stamp_ns), None)


def _picture(image: ImageFrame | JpegFrame, camera: Camera, step: int) -> UInt8Array:
    """The image (rows, cols, 3) at 1/step of the camera's size, to draw into."""
    if isinstance(image, JpegFrame):
        return decode_jpeg(image.data, step)
    size = (-(-camera.width // step), -(-camera.height // step))
    smaller = cv2.resize(image.pixels, size, interpolation=cv2.INTER_AREA)
    return np.array(smaller, dtype=np.uint8)


main = main_of(OverlayNode, "overlay")

if __name__ == "__main__":
    main()
