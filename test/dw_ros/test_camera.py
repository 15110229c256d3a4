"""The camera node exposes at the stamp of its shot, whether it hears of it ahead of its time or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from dw_core.data.rigs import save_rig
from dw_core.geometry.camera import Rig
from dw_core.types import JpegFrame
from dw_ros import conversions, qos
from dw_ros.node import DwNode
from dw_ros.nodes.camera import CameraNode
from dw_ros.nodes.trigger import TriggerNode
from dw_ros.ports import Bus

Graph = tuple[TriggerNode, dict[str, CameraNode], list[tuple[JpegFrame, int]]]


@pytest.fixture
def make(rig: Rig, tmp_path: Path, context: Context) -> Iterator[Callable[..., Graph]]:
    """`make(parameter=value, ...)` of the trigger: it and three cameras in one process, and the images that
    come out, each with the time at which it did."""
    save_rig(rig, tmp_path / "rig.yaml")
    nodes: list[DwNode] = []
    for view in rig.names:
        (tmp_path / view).mkdir()
        cv2.imwrite(str(tmp_path / view / "000000.jpg"), np.zeros((8, 8, 3), np.uint8))
        (tmp_path / view / "rate_hz.txt").write_text("10\n")

    def build(**values: object) -> Graph:
        bus = Bus()

        def add(kind: type, name: str, namespace: str = "/lab", **values: object) -> DwNode:
            overrides = [Parameter(key, value=value) for key, value in values.items()]
            node = kind(name, bus, context=context, namespace=namespace, parameter_overrides=overrides)
            nodes.append(node)
            return node

        shared = {"rig": str(tmp_path / "rig.yaml")}
        trigger = add(TriggerNode, "trigger", **shared, **values)
        cameras = {
            view: add(CameraNode, "camera", f"/lab/{view}", **shared, source=str(tmp_path))
            for view in rig.names
        }
        assert all(camera.bring_up() for camera in cameras.values())
        probe = add(DwNode, "probe")
        images: list[tuple[JpegFrame, int]] = []
        for view in rig.names:
            probe.inlet(
                f"{view}/image/compressed",
                conversions.JPEG,
                qos.SENSOR,
                lambda frame: images.append((frame, probe.now_ns())),
            )
        bus.connect()
        return trigger, cameras, images

    yield build
    for node in nodes:
        node.close()
        node.destroy_node()


@pytest.mark.parametrize("lead_ms", [0.0, 10.0, 50.0])
def test_it_exposes_at_the_stamp(
    make: Callable[..., Graph], node: Node, spin_until: Callable[..., None], lead_ms: float
) -> None:
    """In one process too, where it holds up the trigger: by 10 ms of the 16.7 between two shots, and by a
    lead that is longer than those."""
    trigger, cameras, images = make(rate_hz=20.0, lead_ms=lead_ms)
    trigger.start()
    spin_until(lambda: len(images) >= 12, node)
    trigger.close()
    assert all(arrived_ns >= frame.stamp_ns for frame, arrived_ns in images)
    stamps = [frame.stamp_ns for frame, _ in images]
    assert stamps == sorted(set(stamps))
    assert {frame.view for frame, _ in images} == set(cameras)
    health = trigger.health().values
    assert sum(camera.health().values["frames_sent"] for camera in cameras.values()) == health["fired"]
