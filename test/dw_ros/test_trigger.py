"""The trigger node: every shot at its own nanosecond, start and stop, simulated time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from rosgraph_msgs.msg import Clock
from std_srvs.srv import SetBool

from dw_core.data import messages
from dw_core.data.rigs import save_rig
from dw_core.errors import ScheduleError
from dw_core.geometry.camera import Rig
from dw_ros import conversions, qos
from dw_ros.msg import TriggerEvent, TriggerSchedule
from dw_ros.nodes.trigger import TriggerNode

MS = 1_000_000


@pytest.fixture
def make(context: Context, rig: Rig, tmp_path: Path) -> Iterator[Callable[..., TriggerNode]]:
    nodes: list[TriggerNode] = []
    save_rig(rig, tmp_path / "rig.yaml")

    def build(**values: Any) -> TriggerNode:
        values = {"rig": str(tmp_path / "rig.yaml"), **values}
        overrides = [RosParameter(name, value=value) for name, value in values.items()]
        nodes.append(TriggerNode(context=context, parameter_overrides=overrides))
        return nodes[-1]

    yield build
    for node in nodes:
        node.close()
        node.destroy_node()


def listen(node: Node) -> tuple[list[TriggerEvent], list[TriggerSchedule]]:
    events: list[TriggerEvent] = []
    schedules: list[TriggerSchedule] = []
    node.create_subscription(TriggerEvent, "trigger/event", events.append, qos.RELIABLE)
    node.create_subscription(TriggerSchedule, "trigger/schedule", schedules.append, qos.LATCHED)
    return events, schedules


def test_shots_follow_the_latched_schedule_exactly(
    make: Callable[..., TriggerNode], node: Node, spin_until: Callable[..., None]
) -> None:
    trigger = make(rate_hz=20.0)
    trigger.start()
    events, schedules = listen(node)
    spin_until(lambda: len(events) >= 12 and schedules, trigger, node)
    (schedule,) = schedules
    assert schedule.running and schedule.cameras == ["c0", "c1", "c2"]
    assert (schedule.period_ns, list(schedule.phase_ns)) == (50 * MS, [0, 16_666_666, 33_333_333])
    epoch = schedule.epoch.sec * 10**9 + schedule.epoch.nanosec
    for event in events:
        camera = event.sequence % 3
        assert event.camera == f"c{camera}"
        stamp = event.header.stamp.sec * 10**9 + event.header.stamp.nanosec
        assert stamp == epoch + event.sequence // 3 * schedule.period_ns + schedule.phase_ns[camera]
        assert event.header.frame_id == f"c{camera}_optical_frame"
        issued = event.issued.sec * 10**9 + event.issued.nanosec
        assert event.error_ns == issued - stamp >= 0


def test_shots_are_announced_ahead_of_their_exposures(
    make: Callable[..., TriggerNode], node: Node, spin_until: Callable[..., None]
) -> None:
    trigger = make(rate_hz=5.0, lead_ms=20.0)
    trigger.start()
    events, _ = listen(node)
    spin_until(lambda: len(events) >= 6, trigger, node)
    # 20 ms ahead, but for what the thread wakes up late; half of the shots at least have not been exposed yet
    ahead_ns = sorted(-event.error_ns for event in events)
    assert ahead_ns[-1] <= 20 * MS and ahead_ns[len(ahead_ns) // 2] > 0
    late_ms = float(trigger.health().values["error_mean_ms"])
    assert late_ms == pytest.approx(20.0 - sum(ahead_ns) / len(ahead_ns) / MS, abs=5.0)


def test_the_service_starts_and_stops(
    make: Callable[..., TriggerNode], node: Node, spin_until: Callable[..., None]
) -> None:
    trigger = make(autostart=False, rate_hz=50.0)
    trigger.start()
    events, schedules = listen(node)
    client = node.create_client(SetBool, "trigger/run")
    spin_until(lambda: client.service_is_ready() and schedules, trigger, node)
    assert not schedules[-1].running and not events
    started = client.call_async(SetBool.Request(data=True))
    spin_until(lambda: started.done() and len(events) > 3 and schedules[-1].running, trigger, node)
    stopped = client.call_async(SetBool.Request(data=False))
    spin_until(lambda: stopped.done() and not schedules[-1].running, trigger, node)
    assert stopped.result().success and stopped.result().message == "stopped"
    assert trigger.health().message == "stopped"


def test_simulated_time_gives_every_shot_and_only_when_the_clock_says_so(
    make: Callable[..., TriggerNode], node: Node, spin_until: Callable[..., None]
) -> None:
    trigger = make(use_sim_time=True, rate_hz=10.0)
    events, _ = listen(node)
    clock = node.create_publisher(Clock, "/clock", qos.RELIABLE)
    start_ns = 5_000 * MS

    def set_clock(ms: int) -> None:
        clock.publish(Clock(clock=conversions.to_time(start_ns + ms * MS)))
        spin_until(lambda: trigger.now_ns() == start_ns + ms * MS, trigger, node)

    spin_until(lambda: clock.get_subscription_count() > 0, trigger, node)
    set_clock(0)
    trigger.start()
    for ms in range(0, 1300, 10):
        set_clock(ms)
    # a second of delay, then shots every 33.3 ms until 1290 ms: 1000, 1033.3, ..., 1266.6
    spin_until(lambda: len(events) >= 9, trigger, node)
    stamps = [event.header.stamp.sec * 10**9 + event.header.stamp.nanosec for event in events]
    period = 100 * MS
    expected = [
        start_ns + 1000 * MS + k * period + phase
        for k in range(3)
        for phase in (0, period // 3, 2 * period // 3)
    ]
    assert stamps == expected
    assert all(event.sequence == number for number, event in enumerate(events))


def test_a_recorded_schedule_is_played_with_its_own_intervals(
    make: Callable[..., TriggerNode], node: Node, spin_until: Callable[..., None], tmp_path: Path
) -> None:
    file = tmp_path / "shots.csv"
    file.write_text("camera,stamp_ns\nc1,0\nc0,7000000\nc2,30000000\n")
    trigger = make(backend="recorded", schedule_file=str(file))
    trigger.start()
    events, schedules = listen(node)
    spin_until(lambda: len(events) >= 6 and schedules, trigger, node)
    said = messages.schedule(schedules[-1])
    for event in events:
        assert said.shot(event.sequence).stamp_ns == messages.time_ns(event.header.stamp)
        assert said.shot(event.sequence).camera == event.camera
    by_number = {event.sequence: event for event in events}
    first = min(number for number in by_number if number % 3 == 0)
    stamps = [by_number[first + n].header.stamp for n in range(3)]
    at = [stamp.sec * 10**9 + stamp.nanosec for stamp in stamps]
    assert [by_number[first + n].camera for n in range(3)] == ["c1", "c0", "c2"]
    assert [at[1] - at[0], at[2] - at[1]] == [7 * MS, 23 * MS]


def test_phases_that_collide_are_refused(make: Callable[..., TriggerNode]) -> None:
    with pytest.raises(ScheduleError, match="c0 and c1 collide"):
        make(phases_ms=[10.0, 10.2, 40.0])
    with pytest.raises(ScheduleError, match="2 phases for 3 cameras"):
        make(phases_ms=[10.0, 20.0])
    with pytest.raises(ScheduleError, match="schedule_file"):
        make(backend="recorded")


def test_rate_and_phases_change_while_it_fires_and_the_epoch_stays(
    make: Callable[..., TriggerNode], node: Node, spin_until: Callable[..., None]
) -> None:
    trigger = make(rate_hz=20.0)
    trigger.start()
    events, schedules = listen(node)
    spin_until(lambda: len(events) >= 4 and schedules, trigger, node)
    (refused,) = trigger.set_parameters([RosParameter("phases_ms", value=[0.0, 0.5, 30.0])])
    assert not refused.successful and "c0 and c1 collide" in refused.reason
    (done,) = trigger.set_parameters([RosParameter("phases_ms", value=[0.0, 10.0, 30.0])])
    assert done.successful, done.reason
    spin_until(lambda: len(schedules) > 1 and len(events) >= 12, trigger, node)
    before, after = (messages.schedule(schedules[k]) for k in (0, -1))
    assert before.epoch_ns == after.epoch_ns
    assert list(schedules[-1].phase_ns) == [0, 10 * MS, 30 * MS]
    late = [event for event in events if event.sequence >= max(e.sequence for e in events) - 2]
    for event in late:
        assert after.shot(event.sequence).stamp_ns == messages.time_ns(event.header.stamp)
        assert after.shot(event.sequence).camera == event.camera
    stamps = [messages.time_ns(event.header.stamp) for event in events]
    assert stamps == sorted(set(stamps)), "no exposure is asked for twice"


def test_a_recorded_schedule_has_no_rate_to_change(make: Callable[..., TriggerNode], tmp_path: Path) -> None:
    file = tmp_path / "shots.csv"
    file.write_text("camera,stamp_ns\nc1,0\nc0,7000000\n")
    trigger = make(backend="recorded", schedule_file=str(file))
    (result,) = trigger.set_parameters([RosParameter("rate_hz", value=5.0)])
    assert not result.successful
    assert result.reason == "rate_hz cannot change: backend 'recorded' fires as its schedule_file says"
