"""A short recorded run with exact numbers, as a bag of the graph, with images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from dw_core.data import messages
from dw_core.geometry.camera import Array, Camera, Rig, project
from dw_core.geometry.crop import Crop, apply_affine
from dw_core.heatmaps.render import render_gaussians
from dw_core.skeleton import COCO17
from dw_core.types import NS, Heatmaps, TrackingState

DEFINITIONS = Path(__file__).parents[3] / "msg"
START_NS, TICK_NS, TICKS = 1_700_000_000 * NS, 16_666_667, 24
AGES_NS = (0, TICK_NS, 2 * TICK_NS, 3 * TICK_NS)
LATENCY_MS = {"received": 5, "inferred": 12, "fused": 15, "published": 18}
CELLS = 48
J = len(COCO17)
SPREAD_M = 0.04
SPEED = (0.5, 0.0, 0.0)


class Graph:
    """Messages as the nodes publish them, in a namespace."""

    def __init__(self, rig: Rig, person: Array, namespace: str) -> None:
        self.rig, self.person, self.namespace = rig, person, namespace
        self.store = get_typestore(Stores.ROS2_JAZZY)
        types: dict[str, Any] = {}
        for path in sorted(DEFINITIONS.glob("*.msg")):
            types |= get_types_from_msg(path.read_text(), f"dw_ros/msg/{path.stem}")
        self.store.register(types)

    def make(self, kind: str, /, **fields: Any) -> Any:
        return self.store.types[kind if "/" in kind else f"dw_ros/msg/{kind}"](**fields)

    def time(self, stamp_ns: int) -> Any:
        return self.make("builtin_interfaces/msg/Time", sec=stamp_ns // NS, nanosec=stamp_ns % NS)

    def header(self, stamp_ns: int, frame: str = "world") -> Any:
        return self.make("std_msgs/msg/Header", stamp=self.time(stamp_ns), frame_id=frame)

    def stamps(self, stamp_ns: int) -> Any:
        later = {stage: self.time(stamp_ns + ms * 1_000_000) for stage, ms in LATENCY_MS.items()}
        return self.make("LatencyStamps", exposure=self.time(stamp_ns), busy_ns=9_000_000, **later)

    def latched(self) -> list[tuple[str, int, Any]]:
        definition = self.make(
            "SkeletonDefinition", header=self.header(START_NS), name=COCO17.name,
            joint_names=list(COCO17.joints), edges=np.array(COCO17.edges, dtype=np.uint16).ravel(), colors=[],
        )  # fmt: skip
        cameras = [self.camera(camera) for camera in self.rig]
        calibration = self.make("RigCalibration", header=self.header(START_NS), cameras=cameras)
        return [("skeleton_definition", START_NS, definition), ("rig_calibration", START_NS, calibration)]

    def camera(self, camera: Camera) -> Any:
        window = self.make(
            "sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        )
        info = self.make(
            "sensor_msgs/msg/CameraInfo", header=self.header(0), width=camera.width, height=camera.height,
            distortion_model="plumb_bob", d=camera.distortion, k=camera.K.ravel(), r=np.eye(3).ravel(),
            p=np.zeros(12), binning_x=0, binning_y=0, roi=window,
        )  # fmt: skip
        pose = {"rotation": camera.R.ravel(), "translation": np.array(camera.t)}
        return self.make("CameraCalibration", name=camera.name, info=info, **pose)

    def shot(self, camera: Camera, stamp_ns: int, images: bool) -> list[tuple[str, int, Any]]:
        """What comes of one exposure."""
        view, frame = camera.name, f"{camera.name}{messages.OPTICAL}"
        pixels = project(camera, self.person)
        crop = Crop(-0.5, -0.5, float(camera.width))
        maps = render_gaussians(apply_affine(crop.to_cells(CELLS), pixels), CELLS, 1.3)
        wire = messages.to_wire(maps)
        tensor = self.make(
            "Tensor", dtype="uint16", shape=np.array(wire.shape, dtype=np.uint32),
            data=np.frombuffer(wire.tobytes(), dtype=np.uint8),
        )  # fmt: skip
        heatmaps = self.make(
            "Heatmaps", header=self.header(stamp_ns, frame), view=view, joint_set=COCO17.name,
            crop=np.array([crop.left, crop.top, crop.side]), tensor=tensor, stamps=self.stamps(stamp_ns),
        )  # fmt: skip
        joints = Heatmaps(view, stamp_ns, crop, maps).joints
        seen = self.make(
            "Skeleton2D", header=self.header(stamp_ns, frame), view=view, joint_set=COCO17.name,
            pixels=joints.pixels.astype(np.float32).ravel(),
            covariance=joints.covariance[:, [0, 0, 1], [0, 1, 1]].astype(np.float32).ravel(),
            confidence=joints.confidence.astype(np.float32),
        )  # fmt: skip
        found = [(f"{view}/heatmaps", stamp_ns, heatmaps), (f"{view}/skeleton2d", stamp_ns, seen)]
        if images:
            grey = np.full((camera.height, camera.width, 3), 90, dtype=np.uint8)
            data = np.frombuffer(cv2.imencode(".jpg", grey)[1].tobytes(), dtype=np.uint8)
            header = self.header(stamp_ns, frame)
            image = self.make("sensor_msgs/msg/CompressedImage", header=header, format="jpeg", data=data)
            found.append((f"{view}/image/compressed", stamp_ns, image))
        return found

    def people(self, stamp_ns: int, tracked: bool) -> Any:
        covariance = np.tile(np.array([1, 0, 0, 1, 0, 1]) * SPREAD_M**2, J).astype(np.float32)
        one = self.make(
            "Skeleton3D", header=self.header(stamp_ns), id=1, tracking_state=int(TrackingState.TRACKED),
            joint_set=COCO17.name, positions=self.person.astype(np.float32).ravel(),
            velocities=np.tile(SPEED, J).astype(np.float32), covariance=covariance,
            confidence=np.ones(J, dtype=np.float32), views=list(self.rig.names),
            view_ages_ns=np.array(AGES_NS), stamps=self.stamps(stamp_ns),
        )  # fmt: skip
        skeletons = [one] if tracked else []
        return self.make("Skeleton3DArray", header=self.header(stamp_ns), skeletons=skeletons)

    def run(self, images: bool, people: bool) -> list[tuple[str, int, Any]]:
        """Everything; nobody is tracked at the last tick, and the truth is known at the first."""
        found = self.latched()
        for tick in range(TICKS):
            stamp = START_NS + tick * TICK_NS
            found += self.shot(self.rig[tick % len(self.rig)], stamp, images)
            if people:
                found.append(("skeletons", stamp, self.people(stamp, tick < TICKS - 1)))
        found.append(("truth/skeletons", START_NS, self.people(START_NS, True)))
        return found

    def write(self, writer: Writer, values: list[tuple[str, int, Any]]) -> None:
        connections: dict[str, Any] = {}
        for topic, stamp, message in values:
            kind = message.__msgtype__
            if topic not in connections:
                name = f"{self.namespace}/{topic}"
                connections[topic] = writer.add_connection(name, kind, typestore=self.store)
            data = self.store.serialize_cdr(message, kind)
            writer.write(connections[topic], stamp + 20_000_000, data)


@pytest.fixture(scope="module")
def make_bag(rig: Rig, person: Array, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`make_bag(images=..., people=..., namespaces=...)`: the folder of a new bag."""

    def make(images: bool = True, people: bool = True, namespaces: tuple[str, ...] = ("/dw",)) -> Path:
        bag = tmp_path_factory.mktemp("viewing") / "bag"
        with Writer(bag, version=Writer.VERSION_LATEST, storage_plugin=StoragePlugin.MCAP) as writer:
            for namespace in namespaces:
                graph = Graph(rig, person, namespace)
                graph.write(writer, graph.run(images, people))
        return bag

    return make
