"""Runs are read back from bags that carry our message definitions, without ROS."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from dw_core.data.bags import read_run
from dw_core.errors import MediaError
from dw_core.geometry.camera import Array, Rig, project
from dw_core.skeleton import COCO17
from dw_core.types import NS, TrackingState

DEFINITIONS = Path(__file__).parents[3] / "msg"
START_NS = 1_700_000_000 * NS
TICK_NS = 16_666_667
TICKS = 12
UNTRACKED = 4  # nobody is known during the first ticks
TOPICS = {
    "RigCalibration": "/dw/rig_calibration",
    "SkeletonDefinition": "/dw/skeleton_definition",
    "TriggerSchedule": "/dw/trigger/schedule",
    "Skeleton2D": "/dw/{view}/skeleton2d",
    "Skeleton3DArray": "/dw/skeletons",
}
Timed = tuple[str, int, Any]  # topic, time of arrival, message


class Graph:
    """Messages as the nodes publish them."""

    def __init__(self, rig: Rig, person: Array) -> None:
        self.store = get_typestore(Stores.ROS2_JAZZY)
        types: dict[str, Any] = {}
        for path in sorted(DEFINITIONS.glob("*.msg")):
            types |= get_types_from_msg(path.read_text(), f"dw_ros/msg/{path.stem}")
        self.store.register(types)
        self.rig, self.person = rig, person

    def make(self, kind: str, /, **fields: Any) -> Any:
        """A message of ours, or of another package when its name has one."""
        return self.store.types[kind if "/" in kind else f"dw_ros/msg/{kind}"](**fields)

    def time(self, stamp_ns: int) -> Any:
        return self.make("builtin_interfaces/msg/Time", sec=stamp_ns // NS, nanosec=stamp_ns % NS)

    def header(self, stamp_ns: int) -> Any:
        return self.make("std_msgs/msg/Header", stamp=self.time(stamp_ns), frame_id="world")

    def messages(self) -> Iterator[Timed]:
        """A whole run: what is latched, then per tick joints of the view that fired, a skeleton."""
        yield "RigCalibration", START_NS, self.calibration()
        yield "SkeletonDefinition", START_NS, self.definition()
        yield "TriggerSchedule", START_NS - NS, self.schedule(running=False)
        yield "TriggerSchedule", START_NS, self.schedule(running=True)
        for tick in range(TICKS):
            stamp = START_NS + tick * TICK_NS
            camera = self.rig[tick % len(self.rig)]
            yield f"Skeleton2D {camera.name}", stamp + 20_000_000, self.joints(camera.name, stamp)
            yield "Skeleton3DArray", stamp + 30_000_000, self.people(stamp, tick >= UNTRACKED)

    def calibration(self) -> Any:
        cameras = []
        for camera in self.rig:
            info = self.make(
                "sensor_msgs/msg/CameraInfo", header=self.header(0), width=camera.width, height=camera.height,
                distortion_model="plumb_bob", d=camera.distortion, k=camera.K.ravel(), r=np.eye(3).ravel(),
                p=np.zeros(12), binning_x=0, binning_y=0,
                roi=self.make("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0,
                              do_rectify=False),
            )  # fmt: skip
            pose = {"rotation": camera.R.ravel(), "translation": np.array(camera.t)}
            cameras.append(self.make("CameraCalibration", name=camera.name, info=info, **pose))
        return self.make("RigCalibration", header=self.header(START_NS), cameras=cameras)

    def definition(self) -> Any:
        return self.make(
            "SkeletonDefinition", header=self.header(START_NS), name=COCO17.name,
            joint_names=list(COCO17.joints), edges=np.array(COCO17.edges, dtype=np.uint16).ravel(), colors=[],
        )  # fmt: skip

    def schedule(self, running: bool) -> Any:
        return self.make(
            "TriggerSchedule", header=self.header(START_NS), running=running, epoch=self.time(START_NS),
            period_ns=4 * TICK_NS, cameras=list(self.rig.names), phase_ns=TICK_NS * np.arange(4),
        )  # fmt: skip

    def joints(self, view: str, stamp_ns: int) -> Any:
        J = len(COCO17)
        return self.make(
            "Skeleton2D", header=self.header(stamp_ns), view=view, joint_set=COCO17.name,
            pixels=project(self.rig[self.rig.index(view)], self.person).astype(np.float32).ravel(),
            covariance=np.tile(np.array([4, 1, 9], dtype=np.float32), J),
            confidence=np.ones(J, dtype=np.float32),
        )  # fmt: skip

    def people(self, stamp_ns: int, tracked: bool) -> Any:
        skeletons = [self.skeleton(stamp_ns)] if tracked else []
        return self.make("Skeleton3DArray", header=self.header(stamp_ns), skeletons=skeletons)

    def skeleton(self, stamp_ns: int) -> Any:
        J, zero = len(COCO17), self.time(0)
        stamps = self.make(
            "LatencyStamps", exposure=self.time(stamp_ns), received=self.time(stamp_ns + 5_000_000),
            inferred=zero, fused=zero, published=self.time(stamp_ns + 25_000_000), busy_ns=9_000_000,
        )  # fmt: skip
        return self.make(
            "Skeleton3D", header=self.header(stamp_ns), id=1, tracking_state=int(TrackingState.TRACKED),
            joint_set=COCO17.name, positions=self.person.astype(np.float32).ravel(),
            velocities=np.zeros(3 * J, dtype=np.float32), covariance=np.zeros(6 * J, dtype=np.float32),
            confidence=np.ones(J, dtype=np.float32), views=["cam1"], view_ages_ns=np.array([0]),
            stamps=stamps,
        )  # fmt: skip

    def record(self, bag: Path, plugin: StoragePlugin, leave_out: str = "") -> Path:
        """Write the run, in order of arrival, without the kinds of message that are left out."""
        with Writer(bag, version=Writer.VERSION_LATEST, storage_plugin=plugin) as writer:
            connections: dict[str, Any] = {}
            for what, arrival, message in sorted(self.messages(), key=lambda one: one[1]):
                kind, _, view = what.partition(" ")
                if kind == leave_out:
                    continue
                if what not in connections:
                    topic = TOPICS[kind].format(view=view)
                    connections[what] = writer.add_connection(
                        topic, f"dw_ros/msg/{kind}", typestore=self.store
                    )
                data = self.store.serialize_cdr(message, f"dw_ros/msg/{kind}")
                writer.write(connections[what], arrival, data)
        return bag


@pytest.fixture
def record(rig: Rig, person: Array, tmp_path: Path) -> Callable[..., Path]:
    def write(plugin: StoragePlugin = StoragePlugin.MCAP, leave_out: str = "") -> Path:
        return Graph(rig, person).record(tmp_path / "bag", plugin, leave_out)

    return write


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3], ids=["mcap", "sqlite3"])
def test_a_run_reads_back(
    record: Callable[..., Path], rig: Rig, person: Array, plugin: StoragePlugin
) -> None:
    run = read_run(record(plugin))
    stamps = START_NS + TICK_NS * np.arange(TICKS)
    assert run.joint_set == "coco17" and run.rig.names == rig.names
    for sent, got in zip(rig, run.rig, strict=True):
        np.testing.assert_array_equal(project(got, person), project(sent, person))
    shots = [run.schedule.shot(tick) for tick in range(TICKS)]
    assert [(shot.camera, shot.stamp_ns) for shot in shots] == [
        (rig.names[tick % 4], stamps[tick]) for tick in range(TICKS)
    ]
    assert [one.stamp_ns for one in run.observations] == stamps.tolist()
    assert [one.view for one in run.observations] == [rig.names[tick % 4] for tick in range(TICKS)]
    np.testing.assert_allclose(run.observations[1].pixels, project(rig[1], person), rtol=1e-6)
    assert run.observations[1].covariance[3].tolist() == [[4, 1], [1, 9]]
    np.testing.assert_array_equal(run.stamps_ns, stamps)
    np.testing.assert_array_equal(run.bag_ns, stamps + 30_000_000)
    np.testing.assert_array_equal(run.tracked, np.arange(TICKS) >= UNTRACKED)
    known = run.tracked
    np.testing.assert_array_equal((run.published_ns - stamps)[known], 25_000_000)
    np.testing.assert_array_equal(run.busy_ns[known], 9_000_000)
    np.testing.assert_array_equal((run.received_ns - stamps)[known], 5_000_000)
    assert not run.inferred_ns.any() and not run.fused_ns.any(), "the stages that said nothing"
    assert run.velocities.shape == run.positions.shape and not run.velocities[known].any()
    assert run.positions.shape == (TICKS, len(COCO17), 3)
    np.testing.assert_allclose(run.positions[known], np.broadcast_to(person, (8, 17, 3)), atol=1e-6)


@pytest.mark.parametrize("kind", TOPICS)
def test_what_is_missing_in_a_bag_is_named(record: Callable[..., Path], kind: str) -> None:
    bag = record(leave_out=kind)
    with pytest.raises(MediaError, match=f"^{bag} holds no {kind}, expected a recording of the whole graph$"):
        read_run(bag)


def test_a_bag_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=f"^{tmp_path}/none cannot be read as a bag: "):
        read_run(tmp_path / "none")


def test_a_folder_that_is_no_bag_is_named(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=f"^{tmp_path} cannot be read as a bag: "):
        read_run(tmp_path)


@pytest.mark.parametrize("kept", [0, 100], ids=["empty", "a piece"])
def test_a_bag_that_was_cut_off_before_any_message_is_named(record: Callable[..., Path], kept: int) -> None:
    """As it is left behind when the disk is full."""
    bag = record()
    (file,) = bag.glob("*.mcap")
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(MediaError, match=f"^{bag} cannot be read as a bag: "):
        read_run(bag)


def test_a_run_that_was_cut_off_reads_up_to_the_cut_and_says_so(record: Callable[..., Path]) -> None:
    bag = record()
    whole = read_run(bag)
    (file,) = bag.glob("*.mcap")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    run = read_run(bag)
    ticks = len(run.stamps_ns)
    assert whole.warning == "" and UNTRACKED < ticks < TICKS
    np.testing.assert_array_equal(run.stamps_ns, whole.stamps_ns[:ticks])
    np.testing.assert_array_equal(run.positions, whole.positions[:ticks])
    size = file.stat().st_size
    assert run.warning.startswith(f"{bag} was cut off (bag.mcap ends early, at byte {size}): ")
    assert re.search(r": \d\d messages of 1\.\d s were read$", run.warning)


def test_a_bag_without_a_readable_description_is_read_from_its_files(record: Callable[..., Path]) -> None:
    bag = record()
    (bag / "metadata.yaml").write_text("nothing: [of\n")
    run = read_run(bag)
    assert len(run.stamps_ns) == TICKS and "no readable metadata.yaml" in run.warning
