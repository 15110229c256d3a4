"""separation_monitor: how fast a robot may be, from skeletons; the example of a controller.

Reads `skeletons`; publishes separation/speed_scale (0 to 1), separation/protective_stop and
separation/distance (metres, less what it may be off; NaN when not known) with every array, and at
check_rate_hz when none comes. /diagnostics says why. Speed and separation monitoring after ISO/TS 15066
(dw_core/safety/separation.py). It is an example, NOT a certified safety function.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseArray
from rclpy.clock import Clock, ClockType
from rclpy.parameter import Parameter as RosParameter
from std_msgs.msg import Bool, Float32

from dw_core.data import messages
from dw_core.errors import ConfigError
from dw_core.safety.monitor import CLEAR, STOP, MonitorSettings, Verdict
from dw_core.safety.parameters import FIXED, POSES, monitor_of, robot_of
from dw_core.safety.separation import SeparationLimits
from dw_ros import conversions, qos
from dw_ros.msg import Skeleton3DArray
from dw_ros.node import DwNode, Health, main_of
from dw_ros.parameters import Parameter
from dw_ros.ports import Bus

SETTINGS = MonitorSettings()
_FLOATS, _TEXTS = RosParameter.Type.DOUBLE_ARRAY, RosParameter.Type.STRING_ARRAY


def _needed(name: str, text: str, kind: RosParameter.Type = RosParameter.Type.DOUBLE) -> Parameter:
    """A parameter of the user's own robot, which has no default."""
    return Parameter(name, None, text, kind=kind)


class SeparationMonitorNode(DwNode):
    PARAMETERS = (
        Parameter("joint_set", "coco17", "Joints of the skeletons, by name."),
        Parameter("world_frame", "world", "Frame of the skeletons and of the robot."),
        Parameter("check_rate_hz", 50.0, "How often ages are looked at when nothing comes.", 5.0, 1000.0),
        Parameter(
            "robot_source", FIXED,
            "fixed: capsules in the world frame that hold all that the robot can reach; poses: capsules in "
            "the frames of links that robot/poses moves.", choices=(FIXED, POSES),
        ),
        _needed("robot_names", "Names of the robot's capsules, in the order of robot/poses.", _TEXTS),
        _needed("robot_starts_m", "x, y, z of one end of each capsule's axis, m.", _FLOATS),
        _needed("robot_ends_m", "x, y, z of the other end of each capsule's axis, m.", _FLOATS),
        _needed("robot_radii_m", "Radius of each capsule, m.", _FLOATS),
        _needed("robot_speed_m_s", "Speed of the robot's fastest point at speed scale 1, m/s."),
        _needed("robot_deceleration_m_s2", "The least that the fastest point brakes with, m/s^2."),
        _needed("reaction_s", "From a decision here to the beginning of braking, s."),
        Parameter(
            "human_speed_floor_m_s", SeparationLimits.human_speed_floor_m_s,
            "A person is never taken to come slower, m/s.", 0.0, 10.0,
        ),
        Parameter(
            "sigmas", SeparationLimits.sigmas,
            "Standard deviations of joints, along the line to the robot, that are Z_d.", 0.0, 10.0,
        ),
        Parameter("intrusion_m", SeparationLimits.intrusion_m, "C: reach beyond the joints, m.", 0.0, 2.0),
        Parameter(
            "robot_uncertainty_m", SeparationLimits.robot_uncertainty_m,
            "Z_r: what the robot's position may be off, m.", 0.0, 1.0,
        ),
        Parameter(
            "max_age_s", SETTINGS.max_age_s,
            "Exposures, silence and poses of the robot that are older are a stop, s.", 0.01, 5.0,
        ),
        Parameter(
            "max_future_s", SETTINGS.max_future_s, "Stamps further ahead than this are a stop, s.", 0.0, 1.0
        ),
        Parameter(
            "max_clock_step_s", SETTINGS.max_clock_step_s,
            "A clock that jumps further ahead, or back at all, is a stop, s.", 0.05, 60.0,
        ),
        Parameter(
            "empty_means", SETTINGS.empty_means,
            "What an array without a person means; clear only where something else makes sure of it.",
            choices=(STOP, CLEAR),
        ),
        Parameter(
            "min_confidence", SETTINGS.min_confidence, "Of every joint that must be known.", 0.0, 1.0
        ),
        Parameter("optional_joints", None, "Joints that need not be known; unset: all must be.", kind=_TEXTS),
        Parameter("min_views", SETTINGS.min_views, "Views that must have seen a person of late.", 1, 64),
        Parameter("max_view_age_s", SETTINGS.max_view_age_s, "What 'of late' means, s.", 0.001, 5.0),
        Parameter(
            "recovery_count", SETTINGS.recovery_count, "Good arrays in a row that end a stop.", 1, 100_000
        ),
        Parameter(
            "recovery_margin_m", SETTINGS.recovery_margin_m,
            "How far beyond the stop's distance a person must be for it to end, m.", 0.0, 5.0,
        ),
        Parameter("limb_radius_m", SETTINGS.limb_radius_m, "Radius of capsules around bones, m.", 0.0, 1.0),
    )  # fmt: skip

    def __init__(self, name: str = "separation_monitor", bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        values = {parameter.name: self.value(parameter.name) for parameter in self.PARAMETERS}
        self._frame = values["world_frame"]
        self._monitor = monitor_of(values)
        self._links = robot_of(values)
        self._scale, self._stop, self._distance = (
            self.outlet(f"separation/{topic}", conversions.message_codec(kind), qos.RELIABLE)
            for topic, kind in (("speed_scale", Float32), ("protective_stop", Bool), ("distance", Float32))
        )
        people = conversions.message_codec(Skeleton3DArray)
        self.inlet("skeletons", people, qos.RELIABLE, self._on_people)
        if values["robot_source"] == POSES:
            self.inlet("robot/poses", conversions.message_codec(PoseArray), qos.RELIABLE, self._on_poses)
        # steady: a simulated clock that stands still must not silence it
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1 / values["check_rate_hz"], self._check, clock=steady)
        self._verdict = Verdict(True, 0.0, "starting")
        self._send(lambda: self._verdict)

    def _on_people(self, message: Skeleton3DArray) -> None:
        def verdict() -> Verdict:
            self._require_frames(message.header, *(one.header for one in message.skeletons))
            people = [messages.skeleton3d(one) for one in message.skeletons]
            stamp = messages.time_ns(message.header.stamp)
            return self._monitor.see(stamp, people, self.now_ns(), time.monotonic_ns())

        self._send(verdict)

    def _check(self) -> None:
        self._send(lambda: self._monitor.judge(self.now_ns(), time.monotonic_ns()))

    def _send(self, judged: Callable[[], Verdict]) -> None:
        """Publish a verdict. Whatever goes wrong on the way to it is a stop too."""
        try:
            self._verdict = judged()
        except Exception as error:
            self._monitor.fault(f"skeletons cannot be used: {error}")
            self._verdict = self._monitor.judge(self.now_ns(), time.monotonic_ns())
        near = self._verdict.separation
        self._stop.send(Bool(data=self._verdict.stop))
        self._scale.send(Float32(data=self._verdict.scale))
        self._distance.send(Float32(data=math.nan if near is None else near.certain_m))

    def _on_poses(self, message: PoseArray) -> None:
        try:
            self._require_frames(message.header)
            if len(message.poses) != len(self._links):
                raise ConfigError(f"{len(message.poses)} pose(s), expected {len(self._links)}")
            moved = self._links.moved(*conversions.poses_to_arrays(message.poses))
        except Exception as error:
            self._monitor.robot_fault(f"the robot's poses cannot be used: {error}")
        else:
            self._monitor.robot_at(messages.time_ns(message.header.stamp), moved)

    def _require_frames(self, *headers: Any) -> None:
        for header in headers:
            if header.frame_id != self._frame:
                raise ConfigError(f"frame '{header.frame_id}', expected '{self._frame}'")

    def close(self) -> None:
        """The last word is a stop."""
        self._send(lambda: Verdict(True, 0.0, "separation_monitor ends"))

    def health(self) -> Health:
        verdict, near = self._verdict, self._verdict.separation
        health = Health(message=verdict.reason, values={"stop": verdict.stop, "speed scale": verdict.scale})
        health.values |= {"stops": self._monitor.stops, "cause of the last stop": self._monitor.cause}
        if near is not None:
            terms = {f"{name}, m": np.round(value, 3) for name, value in asdict(near.terms).items()}
            health.values |= {"limb": near.limb, "robot part": near.part, **terms}
            health.values["distance, m"] = f"{near.distance_m:.3f}"
            health.values["distance of the limb, m"] = f"{near.limb_distance_m:.3f}"
            health.values["human speed, m/s"] = f"{near.human_speed_m_s:.2f}"
        if verdict.stop:
            health.warn("stop: " + verdict.reason)
        return health


main = main_of(SeparationMonitorNode, "separation_monitor")

if __name__ == "__main__":
    main()
