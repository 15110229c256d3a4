"""The life cycle of a node: what is read when, what is refused, and what the services of a life cycle do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String

from dw_core.data.rigs import save_rig
from dw_core.diagnostics.levels import Level
from dw_core.errors import ConfigError
from dw_core.geometry.camera import Rig
from dw_ros import conversions, qos
from dw_ros.managed import ManagedNode
from dw_ros.nodes.camera import CameraNode
from dw_ros.nodes.spatial_fusion import SpatialFusionNode
from dw_ros.ports import Bus

CODEC = conversions.message_codec(String)


class Sample(ManagedNode):
    """Wants to be told that it may; echoes words."""

    trouble: Exception | None = None

    def __init__(self, context: Context) -> None:
        super().__init__("sample", context=context)
        self.heard: list[str] = []
        self.inlet("words", CODEC, qos.RELIABLE, lambda word: self.heard.append(word.data))
        self.inlet("latched", CODEC, qos.LATCHED, lambda word: self.heard.append(word.data), gated=False)

    def configure(self) -> None:
        if self.trouble:
            raise self.trouble


@pytest.fixture
def sample(context: Context) -> Iterator[Sample]:
    sample = Sample(context)
    sample.bus.connect()
    yield sample
    sample.close()
    sample.destroy_node()


Change = Callable[[int], bool]


@pytest.fixture
def change(sample: Sample, node: Node, spin_until: Callable[..., None]) -> Change:
    """Ask for a transition over ROS; whether it was made."""
    client = node.create_client(ChangeState, "sample/change_state")

    def ask(transition: int) -> bool:
        spin_until(client.service_is_ready, sample, node)
        future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        spin_until(future.done, sample, node)
        return bool(future.result().success)

    return ask


def test_values_are_let_in_while_it_is_active_and_otherwise_counted(
    sample: Sample, change: Change, node: Node, spin_until: Callable[..., None]
) -> None:
    words = node.create_publisher(String, "words", qos.RELIABLE)
    spin_until(lambda: words.get_subscription_count() > 0, sample, node)
    queue = sample._queues[0]

    def say(word: str, arrived: Callable[[], bool]) -> None:
        words.publish(String(data=word))
        spin_until(arrived, sample, node)

    say("early", lambda: queue.counters["refused"] == 1)
    assert change(Transition.TRANSITION_CONFIGURE) and sample.state == "inactive"
    say("too early", lambda: queue.counters["refused"] == 2)
    assert change(Transition.TRANSITION_ACTIVATE) and sample.state == "active"
    say("now", lambda: sample.heard == ["now"])
    assert change(Transition.TRANSITION_DEACTIVATE)
    say("late", lambda: queue.counters["refused"] == 3)
    assert change(Transition.TRANSITION_CLEANUP) and sample.state == "unconfigured"
    assert change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN) and sample.state == "finalized"
    (status,) = sample.statuses()
    assert {value.key: value.value for value in status.values}["words refused"] == "3"
    assert sample.report()[""].level == Level.ERROR


def test_what_is_said_once_is_heard_in_every_state(
    sample: Sample, node: Node, spin_until: Callable[..., None]
) -> None:
    node.create_publisher(String, "latched", qos.LATCHED).publish(String(data="schedule"))
    spin_until(lambda: sample.heard == ["schedule"], sample, node)


def test_a_refused_configuration_is_told_and_can_be_tried_again(
    sample: Sample, change: Change, capfd: pytest.CaptureFixture[str]
) -> None:
    sample.trouble = ConfigError("the thing is 3, expected 4")
    assert not change(Transition.TRANSITION_CONFIGURE) and sample.state == "unconfigured"
    assert capfd.readouterr().err.splitlines()[-1] == "dw: the thing is 3, expected 4"
    assert sample.report()[""].message == "unconfigured: the thing is 3, expected 4"
    sample.trouble = None
    assert change(Transition.TRANSITION_CONFIGURE) and sample.report()[""].message == "inactive"


def test_a_defect_finalizes_the_node_and_an_order_out_of_turn_changes_nothing(
    sample: Sample, change: Change, node: Node, spin_until: Callable[..., None]
) -> None:
    assert not change(Transition.TRANSITION_ACTIVATE) and sample.state == "unconfigured"
    sample.trouble = ZeroDivisionError("a defect")
    assert not change(Transition.TRANSITION_CONFIGURE)
    client = node.create_client(GetState, "sample/get_state")
    spin_until(client.service_is_ready, sample, node)
    future = client.call_async(GetState.Request())
    spin_until(future.done, sample, node)
    assert future.result().current_state.label == "finalized"
    assert sample.exit_code == 1


Make = Callable[..., Any]


@pytest.fixture
def make(rig: Rig, tmp_path: Path, context: Context) -> Iterator[Make]:
    """Nodes with the rig file tmp_path/rig.yaml."""
    save_rig(rig, tmp_path / "rig.yaml")
    nodes: list[ManagedNode] = []

    def build(kind: Any, name: str, namespace: str = "/lab", **values: Any) -> Any:
        values["rig"] = str(tmp_path / "rig.yaml")
        overrides = [Parameter(key, value=value) for key, value in values.items()]
        nodes.append(kind(name, Bus(), context=context, namespace=namespace, parameter_overrides=overrides))
        return nodes[-1]

    yield build
    for one in nodes:
        one.close()
        one.bus.close()
        one.destroy_node()


def test_after_cleanup_the_files_are_read_anew(
    make: Make, tmp_path: Path, node: Node, spin_until: Callable[..., None]
) -> None:
    for view in ("c0", "c1", "c2"):
        (tmp_path / view).mkdir()
        (tmp_path / view / "000000.jpg").write_bytes(b"\xff\xd8")
        (tmp_path / view / "rate_hz.txt").write_text("10\n")
    camera = make(CameraNode, "camera", "/lab/c1", source=str(tmp_path))
    got: list[CameraInfo] = []
    node.create_subscription(CameraInfo, "/lab/c1/camera_info", got.append, qos.LATCHED)
    assert camera.bring_up()
    spin_until(lambda: got, node)
    content = yaml.safe_load((tmp_path / "rig.yaml").read_text())
    content["cameras"][1]["K"][0][0] = 555.0
    (tmp_path / "rig.yaml").write_text(yaml.safe_dump(content))
    camera.trigger_deactivate()
    camera.trigger_cleanup()
    assert camera.bring_up()
    spin_until(lambda: got[-1].k[0] == 555.0, node)


def test_a_rig_that_lost_a_view_meanwhile_is_refused(make: Make, rig: Rig, tmp_path: Path) -> None:
    fusion = make(SpatialFusionNode, "spatial_fusion")
    save_rig(rig.without("c2"), tmp_path / "rig.yaml")
    assert not fusion.bring_up()
    assert "now has the views c0, c1, expected c0, c1, c2" in str(fusion.refusal)
