"""separation_monitor as a process of its own, over real DDS: a person comes, the tracker falls silent."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from std_msgs.msg import Bool, Float32

from dw_core.errors import ConfigError
from dw_core.safety import example
from dw_core.types import Skeleton3D
from dw_ros import conversions, qos
from dw_ros.conversions import People
from dw_ros.msg import Skeleton3DArray
from dw_ros.nodes.separation_monitor import SeparationMonitorNode
from dw_ros.ports import Bus

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "config/separation_monitor.yaml"
# A shared machine may hold a process up for longer than a real cell would allow.
PATIENT = {"max_age_s": 0.8, "max_clock_step_s": 5.0, "recovery_count": 10, "joint_set": "h36m17"}
WALK = list(example.skeletons(example.approach()))
FAR, NEAR = 0, round(3.6 * example.RATE_HZ)


class Cell:
    """A tracker that says where the person of the example is, and a robot's controller that listens."""

    def __init__(self, node: Node) -> None:
        self.heard: list[tuple[str, float]] = []
        self.said: list[str] = []
        self.at: int | None = None
        self.frame_id = "world"
        for topic, kind in (("speed_scale", Float32), ("protective_stop", Bool), ("distance", Float32)):
            node.create_subscription(kind, f"/dw/separation/{topic}", self._hearing(topic), qos.RELIABLE)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._publisher = node.create_publisher(Skeleton3DArray, "/dw/skeletons", qos.RELIABLE)
        node.create_timer(1 / example.RATE_HZ, self._speak)

    def _hearing(self, topic: str) -> Callable[[Any], None]:
        return lambda message: self.heard.append((topic, float(message.data)))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.said += [one.message for one in message.status if one.name == "/dw/separation_monitor"]

    def _speak(self) -> None:
        if self.at is not None:
            self._publisher.publish(array_of(WALK[self.at], time.time_ns(), self.frame_id))

    def now(self, topic: str) -> float:
        return next((value for name, value in reversed(self.heard) if name == topic), math.nan)

    def stopped(self) -> bool:
        return self.now("protective_stop") == 1 and self.now("speed_scale") == 0

    def free(self) -> bool:
        return self.now("protective_stop") == 0 and self.now("speed_scale") == 1

    def scales(self) -> list[float]:
        return [value for name, value in self.heard if name == "speed_scale"]


def array_of(skeleton: Skeleton3D, stamp_ns: int, frame_id: str = "world") -> Skeleton3DArray:
    stamped = replace(skeleton, stamp_ns=stamp_ns)
    return conversions.people_codec(frame_id).to_message(People(stamp_ns, [stamped]))


def start(*arguments: str, **values: Any) -> subprocess.Popen[str]:
    """The node as users run it by itself, from this source tree."""
    parameters = [word for name, value in values.items() for word in ("-p", f"{name}:={value}")]
    command = [sys.executable, "-m", "dw_ros.nodes.separation_monitor", "--ros-args", "-r", "__ns:=/dw"]
    return subprocess.Popen(
        [*command, *arguments, *parameters], cwd=ROOT, env=os.environ, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    process = start("--params-file", str(FILE), **PATIENT)
    yield process
    process.kill()
    process.communicate()


def test_a_person_who_comes_slows_the_robot_and_a_silent_tracker_stops_it(
    process: subprocess.Popen[str], node: Node, spin_until: Callable[..., None]
) -> None:
    cell = Cell(node)
    spin_until(cell.stopped, node)
    assert math.isnan(cell.now("distance")) and set(cell.scales()) == {0.0}

    cell.at = FAR
    spin_until(cell.free, node)
    assert 3.0 < cell.now("distance") < 4.5

    cell.heard.clear()
    for place in range(FAR, NEAR, 6):
        cell.at, heard = place, len(cell.scales())
        spin_until(lambda heard=heard: len(cell.scales()) > heard + 2, node)
    spin_until(cell.stopped, node)
    assert {value for name, value in cell.heard if name == "speed_scale" and 0.05 < value < 0.95}
    assert cell.now("distance") < 0.6
    spin_until(lambda: cell.said and "from arm_and_reach" in cell.said[-1], node)

    cell.at = FAR
    spin_until(cell.free, node)
    cell.at, silent_since = None, time.monotonic()
    spin_until(cell.stopped, node)
    assert time.monotonic() - silent_since > 0.7, "only when what was seen is too old"
    spin_until(lambda: "old, expected at most" in cell.said[-1], node)

    cell.at = FAR
    spin_until(cell.free, node)
    cell.frame_id = "map"
    spin_until(cell.stopped, node)
    spin_until(lambda: "frame 'map', expected 'world'" in cell.said[-1], node)
    cell.frame_id = "world"
    spin_until(cell.free, node)

    process.send_signal(signal.SIGTERM)
    spin_until(lambda: process.poll() is not None, node)
    spin_until(cell.stopped, node)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "parameter 'robot_names' is not set, expected as in config/separation_monitor.yaml"),
        (["--params-file", str(FILE), "-p", "robot_radii_m:=[0.1]"], "robot_radii_m holds 1 number(s)"),
    ],
)
def test_a_robot_that_is_not_described_is_refused(
    arguments: list[str], words: str, sentence: Callable[[str], str]
) -> None:
    refused = start(*arguments)
    assert refused.wait(60) == 2
    assert words in sentence(refused.communicate()[1])


def overrides(**values: Any) -> list[RosParameter]:
    section = {**example.load_parameters(FILE), **PATIENT, **values}
    return [RosParameter(name, value=value) for name, value in section.items() if value is not None]


@pytest.fixture
def make(context: Context) -> Iterator[Callable[..., SeparationMonitorNode]]:
    made: list[tuple[SeparationMonitorNode, Bus]] = []

    def build(**values: Any) -> SeparationMonitorNode:
        bus = Bus()
        node = SeparationMonitorNode(bus=bus, context=context, parameter_overrides=overrides(**values))
        bus.connect()
        made.append((node, bus))
        return node

    yield build
    for node, bus in made:
        bus.close()
        node.destroy_node()


def poses(count: int, shift_m: float, stamp_ns: int) -> PoseArray:
    one = Pose(position=Point(x=shift_m), orientation=Quaternion(z=math.sqrt(0.5), w=math.sqrt(0.5)))
    array = PoseArray(poses=[one] * count)
    array.header.frame_id, array.header.stamp = "world", conversions.to_time(stamp_ns)
    return array


def test_links_are_moved_by_their_poses_and_a_pose_that_cannot_be_is_a_stop(
    make: Callable[..., SeparationMonitorNode], node: Node, spin_until: Callable[..., None]
) -> None:
    monitor = make(robot_source="poses")
    robot = node.create_publisher(PoseArray, "robot/poses", qos.RELIABLE)
    people = node.create_publisher(Skeleton3DArray, "skeletons", qos.RELIABLE)
    spin_until(lambda: robot.get_subscription_count() and people.get_subscription_count(), monitor, node)

    def reason_becomes(words: str, count: int, shift_m: float) -> None:
        def said() -> bool:
            robot.publish(poses(count, shift_m, time.time_ns()))
            people.publish(array_of(WALK[FAR], time.time_ns()))
            return words in monitor.health().message

        spin_until(said, monitor, node)

    people.publish(array_of(WALK[FAR], time.time_ns()))
    spin_until(lambda: "no pose of the robot yet" in monitor.health().message, monitor, node)
    reason_becomes("separation is kept", 2, 0.0)
    far = float(monitor.health().values["distance, m"])
    reason_becomes("from arm_and_reach", 2, 3.5)
    assert float(monitor.health().values["distance, m"]) == pytest.approx(far - 3.5, abs=0.1)
    reason_becomes("1 pose(s), expected 2", 1, 0.0)
    reason_becomes("separation is kept", 2, 0.0)


def test_a_message_that_cannot_be_read_is_a_stop_and_no_end(
    make: Callable[..., SeparationMonitorNode], node: Node, spin_until: Callable[..., None]
) -> None:
    monitor = make(recovery_count=1)
    people = node.create_publisher(Skeleton3DArray, "skeletons", qos.RELIABLE)
    spin_until(people.get_subscription_count, monitor, node)

    def becomes(words: str, change: Callable[[Any], None] = lambda skeleton: None) -> None:
        def said() -> bool:
            message = array_of(WALK[FAR], time.time_ns())
            change(message.skeletons[0])
            people.publish(message)
            return words in monitor.health().message

        spin_until(said, monitor, node)

    def torn(skeleton: Any) -> None:
        skeleton.covariance = skeleton.covariance[:-1]

    def odd(skeleton: Any) -> None:
        skeleton.tracking_state = 77

    becomes("separation is kept")
    becomes("skeletons cannot be used", torn)
    becomes("separation is kept")
    becomes("skeletons cannot be used", odd)
    becomes("separation is kept")


def test_every_parameter_of_the_file_exists_and_is_the_default_where_there_is_one() -> None:
    (section,) = yaml.safe_load(FILE.read_text()).values()
    known = {parameter.name: parameter for parameter in SeparationMonitorNode.PARAMETERS}
    for name, value in section["ros__parameters"].items():
        assert known[name].default in (None, value), name
    assert set(known) - set(section["ros__parameters"]) == {"optional_joints"}


def test_quaternions_of_poses_become_rotations() -> None:
    rotations, translations = conversions.poses_to_arrays(poses(2, 1.5, 0).poses)
    quarter_turn = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    np.testing.assert_allclose(rotations, [quarter_turn] * 2, atol=1e-12)
    np.testing.assert_allclose(translations, [(1.5, 0, 0)] * 2)
    with pytest.raises(ConfigError, match="expected 1"):
        conversions.poses_to_arrays([Pose(orientation=Quaternion(w=0.0))])
