"""Overlay pictures over DDS: only for whoever subscribes, of the exposure's own time, with all parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from sensor_msgs.msg import CompressedImage, Image

from dw_core.data import messages
from dw_core.data.rigs import save_rig
from dw_core.geometry.camera import Rig, project
from dw_core.geometry.crop import apply_affine, full_frame_crop
from dw_core.heatmaps.render import render_gaussians
from dw_core.skeleton import COCO17
from dw_core.types import Heatmaps, ImageFrame, JpegFrame, Skeleton3D, TrackingState
from dw_ros import conversions, distro, msg, qos
from dw_ros.conversions import People
from dw_ros.nodes.overlay import OverlayNode
from dw_ros.ports import Bus

J = len(COCO17)
MS = 1_000_000
POSITIONS = np.random.default_rng(3).uniform(-0.4, 0.4, (J, 3))
GREY = 90


@pytest.fixture
def make_overlay(context: Context, rig: Rig, tmp_path: Path) -> Iterator[Callable[..., OverlayNode]]:
    """`make_overlay(parameter=value, ...)`: the node, with its bus connected."""
    save_rig(rig, tmp_path / "rig.yaml")
    made: list[tuple[OverlayNode, Bus]] = []

    def make(**values: Any) -> OverlayNode:
        values = {"rig": str(tmp_path / "rig.yaml"), "max_rate_hz": 1000.0, **values}
        overrides = [RosParameter(name, value=value) for name, value in values.items()]
        bus = Bus()
        made.append((OverlayNode(bus=bus, context=context, parameter_overrides=overrides), bus))
        bus.connect()
        made[-1][0].start()
        return made[-1][0]

    yield make
    for node, bus in made:
        bus.close()
        node.destroy_node()


class Rigged:
    """Plays the other nodes of the graph for one view."""

    def __init__(self, node: Node, rig: Rig, raw: bool = False) -> None:
        self.camera, self._others, self._raw = rig[0], tuple(rig)[1:], raw
        view = self.camera.name
        kind: Any = Image if raw else CompressedImage
        self.image = node.create_publisher(kind, f"{view}/image" + ("" if raw else "/compressed"), qos.SENSOR)
        self.maps = node.create_publisher(msg.Heatmaps, f"{view}/heatmaps", qos.SENSOR)
        self.people = node.create_publisher(msg.Skeleton3DArray, "skeletons", qos.RELIABLE)
        self.seen = {
            one.name: node.create_publisher(msg.Skeleton2D, f"{one.name}/skeleton2d", qos.SENSOR)
            for one in self._others
        }
        self._stamp_ns, self._turns = 1_000 * MS, 0

    @property
    def listeners(self) -> int:
        return sum(one.get_subscription_count() for one in (self.image, self.maps, self.people))

    @property
    def stamps(self) -> range:
        """Of all exposures so far."""
        return range(1_050 * MS, self._stamp_ns + 1, 50 * MS)

    def play(self) -> None:
        """To be called at every turn of the executor, which takes one message at each: an exposure after
        every twelve turns, and all that comes of it."""
        self._turns += 1
        if self._turns % 12 == 1:
            self._expose()

    def _expose(self) -> None:
        self._stamp_ns += 50 * MS
        stamp, view = self._stamp_ns, self.camera.name
        pixels = np.full((self.camera.height, self.camera.width, 3), GREY, dtype=np.uint8)
        if self._raw:
            self.image.publish(conversions.image_to_message(ImageFrame(view, stamp, pixels)))
        else:
            data = cv2.imencode(".jpg", pixels)[1].tobytes()
            self.image.publish(conversions.jpeg_to_message(JpegFrame(view, stamp, data)))
        crop = full_frame_crop(self.camera.width, self.camera.height)
        maps = render_gaussians(apply_affine(crop.to_cells(48), project(self.camera, POSITIONS)), 48, 1.3)
        heatmaps = conversions.heatmaps_codec(COCO17).to_message(Heatmaps(view, stamp, crop, maps))
        self.maps.publish(heatmaps)
        for one in self._others:
            joints = Heatmaps(one.name, stamp, crop, maps).joints
            self.seen[one.name].publish(conversions.skeleton2d_codec(COCO17).to_message(joints))
        skeleton = Skeleton3D(
            stamp, 1, TrackingState.TRACKED, COCO17.name, POSITIONS, np.zeros((J, 3)), np.zeros((J, 3, 3)),
            np.ones(J), (), (),
        )  # fmt: skip
        people = People(stamp, [skeleton])
        self.people.publish(conversions.people_codec("world").to_message(people))


@pytest.mark.parametrize("transport", ["compressed", "raw"])
def test_a_picture_for_a_subscriber_and_nothing_is_received_without_one(
    make_overlay: Callable[..., OverlayNode],
    node: Node,
    rig: Rig,
    spin_until: Callable[..., None],
    transport: str,
) -> None:
    overlay = make_overlay(transport=transport)
    graph = Rigged(node, rig, transport == "raw")
    spin_until(lambda: node.count_publishers("c0/overlay") == 1, node, overlay)
    assert graph.listeners == 0
    heard: list[Image] = []
    subscription = node.create_subscription(Image, "c0/overlay", heard.append, qos.SENSOR)
    spin_until(lambda: graph.listeners == 3, node, overlay)
    spin_until(lambda: heard or graph.play(), node, overlay)
    message = heard[0]
    assert message.header.frame_id == "c0_optical_frame"
    assert messages.time_ns(message.header.stamp) in graph.stamps, "the stamp is the exposure's"
    picture = distro.image_to_bgr(message)
    assert picture.shape == (480, 640, 3)
    x, y = project(rig[0], POSITIONS)[COCO17.index("left_wrist")].round().astype(int)
    assert picture[y, x, 0] > GREY + 40 > picture[y, x, 2] + 20, "left is blue"
    assert abs(int(picture[3, 3, 0]) - GREY) < 5
    node.destroy_subscription(subscription)
    spin_until(lambda: graph.listeners == 0, node, overlay)


def test_parts_are_switched_while_it_runs(
    make_overlay: Callable[..., OverlayNode], node: Node, rig: Rig, spin_until: Callable[..., None]
) -> None:
    overlay = make_overlay()
    graph = Rigged(node, rig)
    heard: list[CompressedImage] = []
    node.create_subscription(CompressedImage, "c0/overlay/compressed", heard.append, qos.SENSOR)
    spin_until(lambda: graph.listeners == 3, node, overlay)

    def next_picture() -> np.ndarray:
        # one may be under way that was drawn before
        count = len(heard) + 2
        spin_until(lambda: len(heard) >= count or graph.play(), node, overlay)
        return np.asarray(cv2.imdecode(np.frombuffer(heard[-1].data, np.uint8), cv2.IMREAD_COLOR))

    def changed(picture: np.ndarray) -> int:
        return int((abs(picture.astype(int) - GREY).max(-1) > 30).sum())

    def switch(**values: Any) -> None:
        results = overlay.set_parameters([RosParameter(name, value=value) for name, value in values.items()])
        assert all(one.successful for one in results)

    counts = [changed(next_picture())]
    for part in ("heatmaps", "skeleton", "joints"):
        switch(**{part: False})
        counts.append(changed(next_picture()))
    assert counts == sorted(counts, reverse=True) and counts[-1] == 0 and len(set(counts)) == 4
    switch(epipolar_joint="left_wrist")
    spin_until(lambda: all(one.get_subscription_count() for one in graph.seen.values()), node, overlay)
    assert changed(next_picture()) > 100


def test_pictures_are_made_smaller_but_not_too_small(
    make_overlay: Callable[..., OverlayNode], node: Node, rig: Rig, spin_until: Callable[..., None]
) -> None:
    overlay = make_overlay(size_px=200)
    graph = Rigged(node, rig)
    heard: list[Image] = []
    node.create_subscription(Image, "c0/overlay", heard.append, qos.SENSOR)
    spin_until(lambda: graph.listeners == 3, node, overlay)
    spin_until(lambda: heard or graph.play(), node, overlay)
    assert (heard[0].width, heard[0].height) == (320, 240)
    assert overlay.health().values["pictures"] >= 1
