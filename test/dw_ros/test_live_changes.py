"""A running graph is changed without a restart, says how it is, and `dw top` shows it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from dw_core.data import messages
from dw_ros import msg, qos

LIMIT_S = 60.0
MS = 1_000_000
PERIOD_MS = 250
DOCUMENT = Path(__file__).parents[2] / "docs/diagnostics.md"


class Live:
    """A composed graph at 4 Hz per camera, listened to and changed from outside."""

    def __init__(self, command: Any, context: Context) -> None:
        self.command = command
        self.node = Node("probe", context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        self.skeletons: list[msg.Skeleton3D] = []
        self.schedules: list[msg.TriggerSchedule] = []
        self.statuses: dict[str, DiagnosticStatus] = {}
        self.node.create_subscription(
            msg.Skeleton3DArray, "/live/skeletons", lambda m: self.skeletons.extend(m.skeletons), qos.RELIABLE
        )
        self.node.create_subscription(
            msg.TriggerSchedule, "/live/trigger/schedule", self.schedules.append, qos.LATCHED
        )
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        self.statuses.update({status.name: status for status in array.status})

    def wait(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert self.command.process.poll() is None, self.command.output()
            assert time.monotonic() < deadline, f"not within {LIMIT_S:g} s:\n{self.command.output()}"
            self._executor.spin_once(timeout_sec=0.1)

    def set(self, node: str, **values: Any) -> list[SetParametersResult]:
        """Set parameters over ROS, as `ros2 param set` does."""
        client = self.node.create_client(SetParameters, f"/live/{node}/set_parameters")
        self.wait(client.service_is_ready)
        parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        future = client.call_async(SetParameters.Request(parameters=parameters))
        self.wait(future.done)
        return list(future.result().results)

    def newest(self, count: int) -> list[msg.Skeleton3D]:
        """The next skeletons that come."""
        self.skeletons.clear()
        self.wait(lambda: len(self.skeletons) >= count)
        return self.skeletons[:count]


@pytest.fixture(scope="module")
def live(start: Callable[..., Any]) -> Iterator[Live]:
    context = Context()
    rclpy.init(context=context)
    live = Live(start("up", "--namespace", "live", "--rate-hz", "4"), context)
    live.wait(lambda: len(live.skeletons) > 20)
    yield live
    assert live.command.interrupt() == 0, live.command.output()
    live.node.destroy_node()
    rclpy.try_shutdown(context=context)


def behind_ms(skeleton: msg.Skeleton3D) -> float:
    stamps = skeleton.stamps
    return (messages.time_ns(stamps.published) - messages.time_ns(skeleton.header.stamp)) / MS


def test_mode_and_lag_change_how_far_behind_their_exposures_skeletons_come(live: Live) -> None:
    assert all(min(one.view_ages_ns) >= 0 for one in live.newest(3))
    (lag, mode) = live.set("triangulation", lag_ms=200, mode="window")
    assert lag.successful and mode.successful
    live.wait(lambda: live.skeletons and min(live.skeletons[-1].view_ages_ns) < 0)
    assert all(behind_ms(one) >= 200 for one in live.newest(12))
    live.set("triangulation", lag_ms=0)
    live.wait(lambda: live.skeletons and min(live.skeletons[-1].view_ages_ns) >= 0)
    assert all(min(one.view_ages_ns) >= 0 for one in live.newest(12))
    (back,) = live.set("triangulation", mode="causal")
    assert back.successful


def test_thresholds_of_the_tracker_change_who_is_somebody(live: Live) -> None:
    (more,) = live.set("triangulation", min_joints=18)
    assert more.successful, more.reason
    live.wait(lambda: values(live, "triangulation").get("tracking_state") == "lost")
    (back,) = live.set("triangulation", min_joints=6)
    assert back.successful
    live.wait(lambda: values(live, "triangulation").get("tracking_state") == "tracked")
    (none,) = live.set("triangulation", min_joints=0)
    assert not none.successful and "range" in none.reason


def test_phases_change_the_stamps_of_the_skeletons(live: Live) -> None:
    phases = [0.0, 30.0, 100.0, 180.0]
    announced = len(live.schedules)
    (result,) = live.set("trigger", phases_ms=phases)
    assert result.successful, result.reason
    live.wait(lambda: len(live.schedules) > announced)
    epoch_ns = messages.time_ns(live.schedules[-1].epoch)

    def phases_of(skeletons: list[msg.Skeleton3D]) -> set[float]:
        since = (messages.time_ns(one.header.stamp) - epoch_ns for one in skeletons)
        return {ns % (PERIOD_MS * MS) / MS for ns in since}

    live.wait(lambda: phases_of(live.skeletons[-12:]) == set(phases))


def test_values_that_cannot_be_are_refused_in_words_and_change_nothing(live: Live) -> None:
    before = len(live.schedules)
    (collide,) = live.set("trigger", phases_ms=[0.0, 0.5, 100.0, 180.0])
    (method,) = live.set("triangulation", mode="fast")
    (file,) = live.set("triangulation", joint_refiner="no.safetensors")
    (fixed,) = live.set("spatial_fusion", joint_set="h36m17")
    (wide,) = live.set("spatial_fusion", own_weight=1.5)
    assert not any(one.successful for one in (collide, method, file, fixed, wide))
    assert "cam01 and cam02 collide" in collide.reason
    assert "expected one of causal, window" in method.reason
    assert "no.safetensors does not exist, expected none, packaged or a file" in file.reason
    assert "read-only" in fixed.reason and "range" in wide.reason
    assert len(live.schedules) == before


def test_every_status_value_is_in_the_document(live: Live) -> None:
    live.statuses.clear()
    live.wait(lambda: "/live/supervisor" in live.statuses)
    words = set(re.findall(r"`([^`\n]+)`", DOCUMENT.read_text()))
    for status in live.statuses.values():
        for value in status.values:
            key = re.sub(r"^[\w/]+ (dropped|failed|refused)$", r"<topic> \1", value.key)
            key = re.sub(r"^/live/.*", "<node>", key)
            assert key in words, f"{status.name}: {value.key}"


def test_diagnostics_tell_model_latency_views_and_tracking(live: Live) -> None:
    views = ("cam01", "cam02", "cam03", "cam04")
    live.wait(lambda: "latency_total_p50_ms" in values(live, "triangulation"))
    live.wait(lambda: all("phase_error_ms" in values(live, f"spatial_fusion: {view}") for view in views))
    triangulation = values(live, "triangulation")
    stages = [
        float(triangulation[f"latency_{one}_p50_ms"]) for one in ("image", "inference", "fusion", "tracking")
    ]
    assert 0 < sum(stages) < 2 * float(triangulation["latency_total_p95_ms"])
    waiting, total = (float(triangulation[f"latency_{one}_p50_ms"]) for one in ("waiting", "total"))
    assert 0 < waiting < total, "the stages computed for some of the time, not for all of it"
    assert triangulation["tracking_state"] == "tracked"
    heatmap = values(live, "cam02/heatmap")
    assert heatmap["execution_provider"] == "CPUExecutionProvider" and "movenet" in heatmap["model"]
    for view in views:
        said = values(live, f"spatial_fusion: {view}")
        assert float(said["scheduled_rate_hz"]) == pytest.approx(4.0)
        assert abs(float(said["phase_error_ms"])) < 0.001 and float(said["age_ms"]) < 5000


def values(live: Live, name: str) -> dict[str, str]:
    status = live.statuses.get(f"/live/{name}", DiagnosticStatus())
    return {value.key: value.value for value in status.values}


def test_top_prints_one_table_of_the_graph(live: Live, start: Callable[..., Any]) -> None:
    top = start("top", "--once", "--namespace", "live")
    live.wait(lambda: top.process.poll() is not None)
    assert top.process.returncode == 0, top.output()
    lines = top.output().splitlines()
    assert any(re.match(r"/live/spatial_fusion: cam03 +(OK|WARN) .*age \d+ ms", line) for line in lines)
    assert any(line.startswith("/live/supervisor") and "11 nodes are active" in line for line in lines)
    assert re.fullmatch(r"19 statuses: \d+ OK, \d+ WARN, 0 ERROR", lines[-1])


def test_top_says_when_nobody_is_there(start: Callable[..., Any], sentence: Callable[[str], str]) -> None:
    top = start("top", "--namespace", "nowhere", "--wait-s", "1")
    assert top.process.wait(30) == 2
    assert "nobody below /nowhere has published /diagnostics for 1 s" in sentence(top.output())
