"""The topics of ROS4HRI, from a process of its own, with hri_msgs and tf2_msgs built here.

Neither package is among the wheels. The definitions below have the names, order and types of the fields that
the node uses; the constants and the other messages of hri_msgs are left out.
"""

from __future__ import annotations

import json
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
from rclpy.node import Node

from dw_core import hri
from dw_core.data.rigs import save_rig
from dw_core.errors import ConfigError
from dw_core.geometry.camera import Rig
from dw_core.safety import example
from dw_core.skeleton import H36M17
from dw_core.types import Skeleton3D, TrackingState
from dw_ros import conversions, distro, graph, qos
from dw_ros.conversions import People
from dw_ros.msg import Skeleton3DArray

ROOT = Path(__file__).resolve().parents[2]
PREFIX = Path(sys.prefix)
DEFINITIONS = {
    "hri_msgs": {
        "IdsList": "std_msgs/Header header\nstring[] ids\n",
        "NormalizedPointOfInterest2D": "float32 x\nfloat32 y\nfloat32 c\n",
        "Skeleton2D": "std_msgs/Header header\nNormalizedPointOfInterest2D[18] skeleton\n",
    },
    "tf2_msgs": {"TFMessage": "geometry_msgs/TransformStamped[] transforms\n"},
}
PACKAGE = """<package format="3"><name>{0}</name><version>0.0.0</version><description>Test.</description>
<maintainer email="maintainers@example.org">Test</maintainer><license>Apache-2.0</license>
<buildtool_depend>ament_cmake</buildtool_depend>
<member_of_group>rosidl_interface_packages</member_of_group></package>
"""
CMAKE = """cmake_minimum_required(VERSION 3.22)
project({0})
foreach(needed ament_cmake rosidl_default_generators std_msgs geometry_msgs)
  find_package(${{needed}} REQUIRED)
endforeach()
include({1}/cmake/drop_missing_includes.cmake)
file(GLOB messages RELATIVE ${{CMAKE_CURRENT_SOURCE_DIR}} msg/*.msg)
rosidl_generate_interfaces({0} ${{messages}} DEPENDENCIES std_msgs geometry_msgs)
ament_package()
"""
# How often a person comes and goes: their topics do too, while the node's executor waits for all that it has.
COMINGS = 40
# Prints what it hears, a line each; it needs the messages, so it is a process of its own too.
LISTENER = """
import json, sys, rclpy
from geometry_msgs.msg import PointStamped
from hri_msgs.msg import IdsList, Skeleton2D
from tf2_msgs.msg import TFMessage
rclpy.init()
node = rclpy.create_node("listener")
def tell(what, message, value):
    stamp = message.header.stamp
    print(json.dumps([what, message.header.frame_id, stamp.sec * 10**9 + stamp.nanosec, value]), flush=True)
def xyz(v): return [v.x, v.y, v.z]
def frame(t):
    turn = t.transform.rotation
    return [t.child_frame_id, xyz(t.transform.translation), xyz(turn) + [turn.w]]
def keypoints(m): return [[p.x, p.y, p.c] for p in m.skeleton]
body = "/humans/bodies/dw3/"
node.create_subscription(IdsList, "/humans/bodies/tracked", lambda m: tell("tracked", m, list(m.ids)), 10)
node.create_subscription(PointStamped, body + "position", lambda m: tell("position", m, xyz(m.point)), 10)
node.create_subscription(Skeleton2D, body + "skeleton2d", lambda m: tell("skeleton2d", m, keypoints(m)), 10)
node.create_subscription(TFMessage, "/tf", lambda m: [tell("tf", t, frame(t)) for t in m.transforms], 10)
rclpy.spin(node)
"""


@pytest.fixture(scope="module")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which hri_msgs and tf2_msgs are installed."""
    folder = tmp_path_factory.mktemp("messages")
    path = os.environ | {"AMENT_PREFIX_PATH": str(PREFIX), "CMAKE_PREFIX_PATH": str(PREFIX)}
    for package, definitions in DEFINITIONS.items():
        source = folder / package
        (source / "msg").mkdir(parents=True)
        (source / "package.xml").write_text(PACKAGE.format(package))
        (source / "CMakeLists.txt").write_text(CMAKE.format(package, ROOT))
        for name, text in definitions.items():
            (source / f"msg/{name}.msg").write_text(text)
        configure = [
            "cmake", "-S", source, "-B", source / "build", "-G", "Ninja", "-DBUILD_TESTING=OFF",
            f"-DCMAKE_MAKE_PROGRAM={PREFIX}/bin/ninja", f"-DPython3_EXECUTABLE={sys.executable}",
            f"-DCMAKE_INSTALL_PREFIX={folder}/prefix",
        ]  # fmt: skip
        for command in (configure, ["cmake", "--build", source / "build", "--target", "install"]):
            done = subprocess.run(
                [str(PREFIX / "bin/cmake"), *map(str, command[1:])], env=path, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return os.environ | {
        "PYTHONPATH": f"{folder}/prefix/lib/{python}/site-packages",
        "LD_LIBRARY_PATH": f"{folder}/prefix/lib:{os.environ.get('LD_LIBRARY_PATH', '')}",
        # the prefix in which rosidl looks for type support
        "AMENT_PREFIX_PATH": f"{folder}/prefix:{os.environ.get('AMENT_PREFIX_PATH', PREFIX)}",
    }


@pytest.fixture
def run(
    tmp_path: Path, overlay: dict[str, str]
) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], Path]]]:
    """`run(name, *arguments)`: Python with these messages, and the file of its output; killed at the end."""
    started = []

    def start(name: str, *arguments: str) -> tuple[subprocess.Popen[bytes], Path]:
        log = tmp_path / name
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, *arguments], cwd=ROOT, env=overlay, stdout=file, stderr=subprocess.STDOUT
            )
        started.append(process)
        return process, log

    yield start
    for process in started:
        process.kill()
        process.wait()


def somebody(**changes: Any) -> Skeleton3D:
    """Within sight of all cameras of the rig of conftest.py."""
    one = next(example.skeletons(example.approach()[:2]))
    middle = one.positions[H36M17.index("pelvis")]
    positions = one.positions - middle + np.array([0.1, 0.2, 0.0])
    return replace(one, identity=3, views=("c0", "c1"), view_ages_ns=(0, 10), positions=positions, **changes)


@pytest.mark.timeout(300)  # the messages are built first
def test_a_tracked_person_is_a_body_of_ros4hri(
    run: Callable[..., tuple[subprocess.Popen[bytes], Path]],
    node: Node,
    rig: Rig,
    spin_until: Callable[..., None],
    sentence: Callable[[str], str],
    tmp_path: Path,
) -> None:
    save_rig(rig, tmp_path / "rig.yaml")
    arguments = [
        "--ros-args",
        "-r",
        "__ns:=/dw",
        "-p",
        "joint_set:=h36m17",
        "-p",
        f"rig:={tmp_path}/rig.yaml",
    ]
    refused, why = run("refused", "-m", "dw_ros.nodes.hri", *arguments, "-p", "view:=c9")
    process, said = run("hri", "-m", "dw_ros.nodes.hri", *arguments)
    _, log = run("listener", "-c", LISTENER)
    people = node.create_publisher(Skeleton3DArray, "/dw/skeletons", qos.RELIABLE)
    codec = conversions.people_codec("world")
    known = somebody()
    sent = [known]
    node.create_timer(0.02, lambda: people.publish(codec.to_message(People(time.time_ns(), stamped(sent)))))

    def stamped(skeletons: list[Skeleton3D]) -> list[Skeleton3D]:
        return [replace(one, stamp_ns=time.time_ns()) for one in skeletons]

    def heard() -> dict[str, list[Any]]:
        whole = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("]\n")]
        return {what: rest for what, *rest in map(json.loads, whole)}

    def all_heard() -> bool:
        assert process.poll() is None, said.read_text()
        return set(heard()) == {"tracked", "position", "skeleton2d", "tf"}

    spin_until(all_heard, node, limit_s=30.0)
    assert refused.wait(30) == 2
    assert "'view' is 'c9', expected one of c0, c1, c2" in sentence(why.read_text())
    now = heard()
    assert now["tracked"][0::2] == ["world", ["dw3"]]
    assert now["position"][0] == "world"
    np.testing.assert_allclose(now["position"][2], hri.body_position(known.positions, H36M17), atol=1e-5)
    child, place, turn = now["tf"][2]
    assert child == "body_dw3" and now["tf"][0] == "world"
    np.testing.assert_allclose(place, now["position"][2], atol=1e-6)
    x, y, z, w = turn
    forward = np.array([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)])
    axes = hri.body_rotation(known.positions, H36M17)
    assert axes is not None
    np.testing.assert_allclose(forward, axes[:, 0], atol=1e-4)
    assert now["skeleton2d"][0] == "c0_optical_frame"
    expected = hri.keypoints(rig[0], known.positions, known.confidence, H36M17)
    np.testing.assert_allclose(now["skeleton2d"][2], expected, atol=1e-4)
    assert np.count_nonzero(expected.any(1)) == 14

    for _ in range(COMINGS):
        sent[:] = [known]
        spin_until(lambda: heard()["tracked"][2] == ["dw3"], node)
        sent[:] = [replace(known, state=TrackingState.INITIALISING)]
        spin_until(lambda: heard()["tracked"][2] == [], node)
    spin_until(lambda: node.count_publishers("/humans/bodies/dw3/position") == 0, node)
    process.send_signal(signal.SIGINT)
    spin_until(lambda: process.poll() is not None, node)
    assert process.returncode == 0, said.read_text()


def test_without_hri_msgs_the_graph_says_what_to_install(
    start: Callable[..., Any], sentence: Callable[[str], str]
) -> None:
    command = start("up", "--duration-s", "20", "--source", "external", "--hri")
    assert command.process.wait(60) == 2
    assert "hri_msgs is not installed" in sentence(command.output())
    with pytest.raises(ConfigError, match="hri_msgs is not installed"):
        distro.hri_messages()


def test_the_graph_has_the_node_only_when_asked() -> None:
    def executables(**options: Any) -> set[str]:
        nodes = graph.interleaved_graph(graph.GraphOptions(source="external", **options))
        return {node.executable for node in nodes}

    assert executables(hri=True) - executables() == {"hri"}
