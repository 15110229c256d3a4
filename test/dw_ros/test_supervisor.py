"""The supervisor in an isolated graph: a process that is killed comes back, and its view with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.parameter import Parameter

from dw_core.data.rigs import load_rig, save_rig
from dw_core.errors import ConfigError
from dw_ros import graph, msg, qos
from dw_ros.nodes.supervisor import SupervisorNode

LIMIT_S = 60.0


@pytest.fixture
def two_views(tmp_path: Path) -> str:
    """The demo's rig with two of its cameras: fewer processes for a small machine."""
    save_rig(
        load_rig(graph.rig_file(graph.DEFAULT_RIG)).without("cam03").without("cam04"), tmp_path / "two.yaml"
    )
    return str(tmp_path / "two.yaml")


def process_of(family: list[int], *words: str) -> int:
    """The process of a family whose command line has all words."""
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().decode() for pid in family}
    (found,) = (pid for pid, line in lines.items() if all(word in line for word in words))
    return found


def test_a_heatmap_process_that_is_killed_comes_back_and_its_view_with_it(
    start: Callable[..., Any], two_views: str, node: Node, spin_until: Callable[..., None]
) -> None:
    skeletons: list[msg.Skeleton3DArray] = []
    states: dict[str, str] = {}

    def on_diagnostics(array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name == "/killed/supervisor":
                states.update({value.key: value.value for value in status.values})

    node.create_subscription(msg.Skeleton3DArray, "/killed/skeletons", skeletons.append, qos.RELIABLE)
    node.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, 10)
    arguments = ("--composition", "isolated", "--namespace", "killed", "--rig", two_views, "--rate-hz", "2.5")
    command = start("up", *arguments)

    def wait(condition: Callable[[], object]) -> None:
        def good() -> object:
            assert command.process.poll() is None, command.output()
            return condition()

        spin_until(good, node, limit_s=LIMIT_S)

    def seen_by() -> set[str]:
        return {view for one in skeletons[-1:] for person in one.skeletons for view in person.views}

    wait(lambda: seen_by() == {"cam01", "cam02"})
    os.kill(process_of(command.family(), "nodes.heatmap", "/cam02"), signal.SIGKILL)
    wait(lambda: "cam02" not in seen_by())
    wait(lambda: seen_by() == {"cam01", "cam02"})
    heatmap = "/killed/cam02/heatmap"
    wait(lambda: states.get(heatmap) == "active")
    assert f"{heatmap} ended with code -9 and is started again" in command.output()
    assert command.interrupt() == 0, command.output()


def test_a_supervisor_of_nobody_is_refused(context: Any) -> None:
    with pytest.raises(ConfigError, match="parameter 'nodes' is empty, expected full names"):
        SupervisorNode(context=context)


def test_a_node_that_never_appears_is_told_and_ends_nothing(
    context: Any, spin_until: Callable[..., None]
) -> None:
    overrides = [Parameter("nodes", value=["/nowhere/heatmap"]), Parameter("wait_s", value=0.1)]
    supervisor = SupervisorNode(context=context, parameter_overrides=overrides)
    try:
        supervisor.start()
        spin_until(lambda: supervisor.health().message == "/nowhere/heatmap is unreachable", supervisor)
        assert supervisor.exit_code is None
    finally:
        supervisor.close()
        supervisor.destroy_node()
