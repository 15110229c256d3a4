"""A ROS domain of its own for every test session, and processes that are really stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rclpy
from domain_coordinator import domain_id
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from dw_core.geometry.camera import Camera, Rig


@pytest.fixture(scope="session", autouse=True)
def domain() -> Iterator[int]:
    """A domain that nobody else on this machine uses; also in the environment, for child processes."""
    with domain_id() as number:
        os.environ["ROS_DOMAIN_ID"] = str(number)
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        yield number


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> None:
    """Processes of tests hear SIGINT, even where a script started the tests in its background: a shell makes
    what it starts so ignore it, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def context() -> Iterator[Context]:
    """A context of its own for one test."""
    context = Context()
    rclpy.init(context=context)
    yield context
    rclpy.try_shutdown(context=context)


@pytest.fixture
def node(context: Context) -> Iterator[Node]:
    """A plain node to talk to other nodes with."""
    node = Node("probe", context=context)
    yield node
    node.destroy_node()


@pytest.fixture
def spin_until(context: Context) -> Iterator[Callable[..., None]]:
    """`spin_until(condition, *nodes)`: serve nodes until a condition holds; fails after `limit_s`."""
    executor = SingleThreadedExecutor(context=context)

    def spin(condition: Callable[[], object], *nodes: Node, limit_s: float = 20.0) -> None:
        for node in nodes:
            executor.add_node(node)
        deadline = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline, f"not within {limit_s:g} s"
            executor.spin_once(timeout_sec=0.05)

    yield spin
    executor.shutdown()


class Command:
    """`dw ...` as a real process: the installed command, from a folder that is not the source tree."""

    def __init__(self, arguments: list[str], folder: Path) -> None:
        self.log = folder / "log.txt"
        command = [str(Path(sys.executable).parent / "dw"), *arguments]
        with self.log.open("w") as file:
            self.process = subprocess.Popen(
                command, cwd=folder, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )

    def output(self) -> str:
        return self.log.read_text()

    def family(self) -> list[int]:
        """The process and all its descendants (Linux)."""
        return [self.process.pid, *descendants(self.process.pid)]

    def kill(self) -> None:
        """End it and all its descendants, whatever state they are in."""
        for pid in reversed(self.family()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def interrupt(self, limit_s: float = 20.0) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(limit_s)


def descendants(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    direct = [int(child) for child in path.read_text().split()] if path.exists() else []
    return direct + [grandchild for child in direct for grandchild in descendants(child)]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Command]]:
    """`start("up", ...)`: run `dw up ...` as a process; killed at the end if need be."""
    commands: list[Command] = []

    def run(*arguments: str) -> Command:
        commands.append(Command(list(arguments), tmp_path_factory.mktemp("run")))
        return commands[-1]

    yield run
    for command in commands:
        if command.process.poll() is None:
            command.kill()


@pytest.fixture
def rig() -> Rig:
    """Three cameras around the origin at 4 m, looking at it."""
    import numpy as np

    cameras = []
    for number, angle in enumerate(np.deg2rad([0.0, 100.0, 220.0])):
        forward = -np.array([np.cos(angle), np.sin(angle), 0.0])
        right = np.cross(forward, [0.0, 0.0, 1.0])
        R = np.stack((right, np.cross(forward, right), forward))
        K = np.array([[600.0, 0.0, 320.0], [0.0, 610.0, 240.0], [0.0, 0.0, 1.0]])
        distortion = np.array([-0.05, 0.01, 0.001, -0.002, 0.0])
        cameras.append(Camera(f"c{number}", 640, 480, K, distortion, R, R @ (4 * forward)))
    return Rig(tuple(cameras))


@pytest.fixture
def sentence() -> Callable[[str], str]:
    """The last line of an output, which must be one sentence of `dw`, without a trace before it."""

    def check(output: str) -> str:
        assert "Traceback" not in output, output
        lines = [line for line in output.splitlines() if line.startswith("dw: ")]
        assert lines, output
        return lines[-1]

    return check
