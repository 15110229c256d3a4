"""trigger: fires the cameras in turn, from one schedule in integer nanoseconds.

Publishes trigger/event (one per shot) and trigger/schedule (latched); service trigger/run
(std_srvs/SetBool) starts and stops. Back-ends: `simulated` (period and phases from parameters) and
`recorded` (the shots of a real rig, from a CSV file, repeated).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.clock import ROSClock
from rclpy.parameter import Parameter as RosParameter
from std_srvs.srv import SetBool

from dw_core.errors import ScheduleError
from dw_core.interleave.schedule import (
    NS,
    PeriodicSchedule,
    RecordedSchedule,
    Schedule,
    load_recorded_schedule,
    uniform_schedule,
)
from dw_ros import conversions, qos
from dw_ros.msg import TriggerSchedule
from dw_ros.node import DwNode, Health, main_of
from dw_ros.parameters import RIG_TEXT, Parameter
from dw_ros.ports import Bus

# From the order to start until the first shot, so that everybody knows of it in time.
START_DELAY_NS = NS
# From a change of rate or phases until the first shot of the new schedule, so that it is heard of before.
CHANGE_DELAY_NS = NS // 10
# Timing errors kept for the statistics: ten seconds at 60 Hz.
JITTER_SAMPLES = 600
# More than this part of the shots of a second is too many.
MAX_MISSED = 0.01
# Whoever waits for an exposure that was announced waits no longer than this.
MAX_LEAD_MS = 50.0
# Simulated time cannot be slept; it is looked at this often.
SIMULATED_POLL_S = 0.001


class TriggerNode(DwNode):
    PARAMETERS = (
        Parameter("rig", "", RIG_TEXT),
        Parameter("backend", "simulated", "Where shot times come from.", choices=("simulated", "recorded")),
        Parameter("rate_hz", 15.0, "Frames per second of EACH camera (simulated).", 0.01, 1000.0, live=True),
        Parameter(
            "phases_ms",
            None,
            "Phase of each camera within the period, ms (simulated). Unset or empty: evenly spread.",
            kind=RosParameter.Type.DOUBLE_ARRAY,
            live=True,
        ),
        Parameter(
            "lead_ms",
            0.0,
            "How long before its exposure a shot is announced, for those who would hear of it late; "
            "not in simulated time.",
            0.0,
            MAX_LEAD_MS,
        ),
        Parameter("schedule_file", "", "CSV file with the columns camera,stamp_ns (recorded)."),
        Parameter("autostart", True, "Start firing at once; otherwise wait for trigger/run."),
    )

    def __init__(self, name: str = "trigger", bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        self._cameras = self.rig().names
        self._schedule = self._make_schedule(0, {})
        self._events = self.outlet("trigger/event", conversions.SHOT, qos.RELIABLE)
        self._schedule_out = self.outlet(
            "trigger/schedule", conversions.message_codec(TriggerSchedule), qos.LATCHED, latched=True
        )
        self.create_service(SetBool, "trigger/run", self._on_run)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._fired = self._missed = 0
        self._before = (0, 0)  # both, at the last report
        self._errors_ns: deque[int] = deque(maxlen=JITTER_SAMPLES)
        self._announce(running=False)

    def start(self) -> None:
        if self.value("autostart"):
            self._run_from_now()

    def close(self) -> None:
        self._halt()

    def check(self, changes: Mapping[str, Any]) -> None:
        if self.value("backend") == "recorded":
            raise ScheduleError(
                f"{' and '.join(changes)} cannot change: backend 'recorded' fires as its schedule_file says"
            )
        self._make_schedule(0, changes)

    def changed(self, names: set[str]) -> None:
        """The epoch stays, so a recording that is played in its time goes on without a jump."""
        if self._thread is None:
            self._schedule = self._make_schedule(0, {})
            self._announce(running=False)
        else:
            self._halt()
            self._run(self._schedule.epoch_ns, self.now_ns() + CHANGE_DELAY_NS)

    def _make_schedule(self, epoch_ns: int, changes: Mapping[str, Any]) -> Schedule:
        if self.value("backend") == "recorded":
            if not self.value("schedule_file"):
                raise ScheduleError(
                    "backend is 'recorded' but parameter 'schedule_file' is empty, expected a CSV file"
                )
            return load_recorded_schedule(Path(self.value("schedule_file")), self._cameras, epoch_ns)
        values = {**{name: self.value(name) for name in ("rate_hz", "phases_ms")}, **changes}
        if not values["phases_ms"]:
            return uniform_schedule(self._cameras, values["rate_hz"], epoch_ns)
        phases_ns = tuple(round(phase * 1e6) for phase in values["phases_ms"])
        return PeriodicSchedule(self._cameras, round(NS / values["rate_hz"]), phases_ns, epoch_ns)

    def _on_run(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        running = self._thread is not None
        if request.data and not running:
            self._run_from_now()
        elif not request.data and running:
            self._halt()
            self._announce(running=False)
        response.success = True
        response.message = "running" if request.data else "stopped"
        return response

    def _run_from_now(self) -> None:
        epoch_ns = self.now_ns() + START_DELAY_NS
        self._run(epoch_ns, epoch_ns)

    def _run(self, epoch_ns: int, start_ns: int) -> None:
        """Fire from a time on, by a schedule of an epoch."""
        self._schedule = self._make_schedule(epoch_ns, {})
        self._stop.clear()
        self._announce(running=True)
        first = self._schedule.first_from(start_ns)
        self._thread = threading.Thread(target=self._fire, args=(first,), name="trigger", daemon=True)
        self._thread.start()

    def _halt(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _fire(self, number: int) -> None:
        """One event per shot. A shot whose time passed by more than a tick is skipped and counted.

        In simulated time nothing is skipped: the clock waits for nobody, but every shot is made.
        """
        while True:
            shot = self._schedule.shot(number)
            lead_ns = 0 if self._simulated else round(self.value("lead_ms") * 1e6)
            if not self._sleep_until(shot.stamp_ns - lead_ns):
                return
            now = self.now_ns()
            if now >= self._schedule.shot(number + 1).stamp_ns and not self._simulated:
                newest = self._schedule.first_from(now)
                self._missed += newest - number
                number = newest
                continue
            self._events.send(replace(shot, issued_ns=now))
            self._fired += 1
            self._errors_ns.append(now - shot.stamp_ns + lead_ns)
            number += 1

    @property
    def _simulated(self) -> bool:
        clock = self.get_clock()
        return isinstance(clock, ROSClock) and clock.ros_time_is_active

    def _sleep_until(self, stamp_ns: int) -> bool:
        """False when the node stops meanwhile."""
        while not self._stop.is_set():
            remaining_s = (stamp_ns - self.now_ns()) / NS
            if remaining_s <= 0:
                return True
            self._stop.wait(SIMULATED_POLL_S if self._simulated else remaining_s)
        return False

    def _announce(self, running: bool) -> None:
        schedule = self._schedule
        message = TriggerSchedule(running=running, cameras=list(schedule.cameras))
        message.header.stamp = self.get_clock().now().to_msg()
        message.epoch = conversions.to_time(schedule.epoch_ns)
        if isinstance(schedule, RecordedSchedule):
            message.cameras = [camera for camera, _ in schedule.shots]
            message.period_ns, message.phase_ns = schedule.round_ns, [offset for _, offset in schedule.shots]
        else:
            message.period_ns, message.phase_ns = schedule.period_ns, list(schedule.phases_ns)
        self._schedule_out.send(message)

    def health(self) -> Health:
        health = Health(message="firing" if self._thread is not None else "stopped")
        errors_ms = np.array(list(self._errors_ns)) / 1e6
        health.values = {"fired": self._fired, "missed": self._missed}
        if len(errors_ms):
            health.values |= {
                "error_mean_ms": f"{errors_ms.mean():.3f}",
                "error_deviation_ms": f"{errors_ms.std():.3f}",
                "error_max_ms": f"{errors_ms.max():.3f}",
            }
        fired, missed = self._fired - self._before[0], self._missed - self._before[1]
        self._before = (self._fired, self._missed)
        if missed > MAX_MISSED * (fired + missed):
            health.warn(f"{missed} of {fired + missed} shots of the last second could not be fired in time")
        return health


main = main_of(TriggerNode, "trigger")

if __name__ == "__main__":
    main()
