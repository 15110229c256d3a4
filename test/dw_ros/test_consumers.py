"""docs/consumers.md: its subscribers are taken out of it, built, and hear what is published."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from rclpy.node import Node

from dw_core.skeleton import COCO17
from dw_core.types import Skeleton3D, TrackingState
from dw_ros import conversions, qos
from dw_ros.conversions import People
from dw_ros.msg import Skeleton3DArray
from dw_ros.nodes.separation_monitor import SeparationMonitorNode

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/consumers.md").read_text()
INCLUDE = Path(sys.prefix) / "include"
J = len(COCO17)
WRIST = COCO17.index("left_wrist")
# Prints a joint at one time; in lines like those of the listeners.
CHECK = """
#include <cstdio>
#include "joint.hpp"
int main()
{
  dw_ros::msg::Skeleton3D person;
  person.positions.assign(51, NAN);
  person.velocities.assign(51, 0.5f);
  person.covariance.assign(102, 0.0f);
  for (int k = 0; k < 3; ++k) person.positions[27 + k] = 1.0f + k;
  person.covariance[54] = 0.0009f; person.covariance[57] = 0.0016f;
  person.header.stamp.sec = 1700000000;
  const std::int64_t now = 1700000000200000000;
  std::printf("%d", joint_now(person, 9, now).has_value());
  person.tracking_state = person.TRACKED;
  std::printf("%d%d", joint_now(person, 8, now).has_value(), joint_now(person, 17, now).has_value());
  const auto wrist = joint_now(person, 9, now);
  const auto & [x, y, z] = wrist->position;
  std::printf(" %.3f %.3f %.3f m, off by %.3f m", x, y, z, wrist->off);
}
"""


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


def person() -> Skeleton3D:
    """Only the left wrist is known: at (1, 2, 3), at rest, 5 cm off."""
    positions, covariance = np.full((J, 3), np.nan), np.zeros((J, 3, 3))
    positions[WRIST], covariance[WRIST] = (1, 2, 3), np.diag((0.0009, 0.0016, 0.0))
    return Skeleton3D(
        0, 5, TrackingState.TRACKED, COCO17.name, positions, np.zeros((J, 3)), covariance, np.ones(J), (), ()
    )


def test_the_python_subscriber_prints_where_the_wrist_is(
    tmp_path: Path, node: Node, spin_until: Callable[..., None]
) -> None:
    (script,) = code_blocks("python")
    (tmp_path / "listener.py").write_text(script)
    log = tmp_path / "log.txt"
    publisher = node.create_publisher(Skeleton3DArray, "/dw/skeletons", qos.RELIABLE)
    codec = conversions.people_codec("world")

    def publish() -> None:
        now = time.time_ns()
        lost = replace(person(), stamp_ns=now, state=TrackingState.INITIALISING, identity=6)
        publisher.publish(codec.to_message(People(now, [lost, replace(person(), stamp_ns=now)])))

    node.create_timer(0.05, publish)
    with log.open("w") as file:
        listener = subprocess.Popen(
            [sys.executable, tmp_path / "listener.py"], env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        spin_until(lambda: log.read_text().count("\n") >= 3 or listener.poll() is not None, node)
    finally:
        listener.kill()
        listener.wait()
    assert set(log.read_text().splitlines()[:3]) == {"5: 1.000 2.000 3.000 m, off by 0.050 m"}


def test_the_cpp_function_compiles_against_the_messages_and_finds_the_wrist(tmp_path: Path) -> None:
    header, listener = code_blocks("cpp")
    (tmp_path / "joint.hpp").write_text(header)
    (tmp_path / "check.cpp").write_text(CHECK)
    includes = [word for folder in sorted(INCLUDE.iterdir()) for word in ("-isystem", str(folder))]
    build = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", *includes, "check.cpp", "-o", "check"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    found = subprocess.run([tmp_path / "check"], capture_output=True, text=True, check=True).stdout
    assert found == "000 1.100 2.100 3.100 m, off by 0.050 m"
    # rclcpp is not among the wheels; what the listener takes from elsewhere is checked above
    assert set(re.findall(r'#include "(.*)"', listener)) == {
        "dw_ros/msg/skeleton3_d_array.hpp", "joint.hpp", "rclcpp/rclcpp.hpp",
    }  # fmt: skip
    assert (INCLUDE / "dw_ros/dw_ros/msg/skeleton3_d_array.hpp").is_file()
    assert f"left_wrist = {WRIST};" in listener


def test_parameters_and_topics_that_the_document_names_are_there() -> None:
    (section,) = yaml.safe_load((ROOT / "config/separation_monitor.yaml").read_text()).values()
    known = {parameter.name for parameter in SeparationMonitorNode.PARAMETERS}
    assert known - {"optional_joints"} == set(section["ros__parameters"])
    chapter = TEXT.split("## A controller")[1].split("## ROS4HRI")[0]
    named = set(re.findall(r"`([a-z]+_[a-z_0-9]+)`", chapter)) - {"separation_monitor"}
    assert len(named) > 8 and named <= known
