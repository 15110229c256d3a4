"""player: a recorded run as the input of the graph, in one process with it, in the time of the recording.

Publishes what was recorded of the cameras' images (or of the heatmaps), trigger/event, trigger/schedule and
truth/skeletons, and /clock: an image is there at its exposure, heatmaps when the network was done with them.
At rate 0 the next input waits until the graph has done all that the one before led to: nothing is dropped,
and every replay gives the same to the last bit.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rclpy.clock import ROSClock
from rclpy.duration import Duration
from rclpy.publisher import Publisher
from rclpy.serialization import deserialize_message
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo

from dw_core.data.replay import FRAMES, STARTS, open_replay
from dw_core.errors import DwError
from dw_core.skeleton import joint_set
from dw_core.types import NS, Heatmaps
from dw_ros import conversions, qos
from dw_ros.msg import TriggerSchedule
from dw_ros.node import DwNode, Health
from dw_ros.parameters import Parameter
from dw_ros.ports import Bus, Codec, Outlet

# Between two inputs the clock goes on in steps of this.
CLOCK_STEP_S = 0.01
LISTENER_LIMIT_S = 20.0
# What one input leads to takes 20 ms; a minute is a graph that hangs.
ANSWER_LIMIT_S = 60.0
POLL_S = 0.02
ACKNOWLEDGED_S = 10


@dataclass(frozen=True)
class Played:
    """What became of a replay: `frames` images or sets of heatmaps that `took_s`, `span_s` in the recording;
    `dropped` of all values on their way through the graph; `warning`: why the bag ended early."""

    frames: int
    span_s: float
    took_s: float
    dropped: int
    warning: str = ""


class PlayerNode(DwNode):
    PARAMETERS = (
        Parameter("bag", "", "The bag to play."),
        Parameter("start_from", "auto", "What the graph is fed with.", choices=STARTS),
        Parameter("rate", 1.0, "Times the speed of the recording; 0: in lockstep.", 0.0, 1000.0),
        Parameter("recorded", False, "Wait for a recorder before the first input."),
        Parameter("world_frame", "world", "Frame of the skeletons."),
    )

    def __init__(self, name: str = "player", bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        self._replay = open_replay(Path(self.value("bag")), self.value("start_from"))
        self._rate: float = self.value("rate")
        self._clock_out = self.create_publisher(Clock, "/clock", 10)
        self._codecs = {name: self._codec(name) for name in self._replay.inputs}
        self._outs = {name: self._outlet(name, codec) for name, codec in self._codecs.items()}
        self._nodes: Sequence[DwNode] = (self,)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="player", daemon=True)
        self._now_ns = 0
        self._frames = 0
        self.played: Played | None = None
        self.error: Exception | None = None

    def _codec(self, name: str) -> Codec[Any]:
        """Of a recorded topic, by its name below the namespace."""
        joints = joint_set(self._replay.joint_set)
        people = conversions.people_codec(self.value("world_frame"))
        codecs: dict[str, Codec[Any]] = {
            "image/compressed": conversions.JPEG,
            "image": conversions.IMAGE,
            "heatmaps": conversions.heatmaps_codec(joints),
            "skeleton2d": conversions.skeleton2d_codec(joints),
            "camera_info": conversions.message_codec(CameraInfo),
            "trigger/event": conversions.SHOT,
            "trigger/schedule": conversions.message_codec(TriggerSchedule),
            "truth/skeletons": people,
        }
        return next(codec for kind, codec in codecs.items() if name == kind or name.endswith("/" + kind))

    def _outlet(self, name: str, codec: Codec[Any]) -> Outlet[Any]:
        if name.endswith(("camera_info", "schedule")):
            return self.outlet(name, codec, qos.LATCHED, latched=True)
        return self.outlet(name, codec, qos.SENSOR if name.endswith(FRAMES) else qos.REPLAYED)

    def lead(self, nodes: Sequence[DwNode]) -> None:
        """Set the clocks of these nodes, of the same process, before each input. /clock over DDS would come a
        little later, at each node at another time, and no two replays would be alike."""
        self._nodes = nodes
        for node in nodes:
            node._time_source.detach_node()  # rclpy has no public door to it

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        """Play everything, then end the process in good order."""
        try:
            if self.value("recorded"):
                self._await_recorder()
            self.played = self._play()
            if self.value("recorded"):
                self._await_acknowledgement()
        except Exception as error:  # raised again by whoever started the process's nodes
            self.error = error
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    def _play(self) -> Played:
        started = time.monotonic()
        first_ns = 0
        warm: set[str] = set()
        waiting: list[tuple[Outlet[Any], Any]] = []
        for topic, _, data in self._replay.messages():
            name = self._replay.relative(topic)
            codec = self._codecs[name]
            value = codec.from_message(deserialize_message(data, codec.message))
            waiting.append((self._outs[name], value))
            if not name.endswith(FRAMES):
                continue  # it goes with the frame that follows
            inferred_ns = value.stamps.inferred if isinstance(value, Heatmaps) else 0
            due_ns = inferred_ns or value.stamp_ns
            if not self._frames:
                first_ns, started = due_ns, time.monotonic()
            if not self._wait_until(due_ns, first_ns, started):
                break
            self._send(waiting)
            self._frames += 1
            if value.view not in warm:
                # The first answer to a view takes longer than all others: for that the clock stands still.
                sent = time.monotonic()
                self._await_answer()
                started += time.monotonic() - sent
                warm.add(value.view)
        self._send(waiting)
        self._await_answer()
        took_s = time.monotonic() - started
        span_s = (self._now_ns - first_ns) / NS
        return Played(self._frames, span_s, took_s, self.bus.pending.dropped, self._replay.bag.warning)

    def _send(self, waiting: list[tuple[Outlet[Any], Any]]) -> None:
        """Send values, in lockstep each after what the one before led to."""
        for out, value in waiting:
            out.send(value)
            if not self._rate:
                self._await_answer()
        waiting.clear()

    def _await_answer(self) -> None:
        if not self.bus.pending.wait_idle(ANSWER_LIMIT_S):
            raise DwError(f"the graph did not answer an input within {ANSWER_LIMIT_S:g} s; see its log")

    def _wait_until(self, due_ns: int, first_ns: int, started: float) -> bool:
        """Bring the clock to a time, at the rate; False when the node stops meanwhile."""
        while self._rate and not self._stop.is_set():
            passed_ns = round((time.monotonic() - started) * self._rate * NS)
            if first_ns + passed_ns >= due_ns:
                break
            self._set_time(first_ns + passed_ns)
            left_s = (due_ns - first_ns - passed_ns) / NS / self._rate
            self._stop.wait(min(left_s, CLOCK_STEP_S))
        self._set_time(due_ns)
        return not self._stop.is_set()

    def _set_time(self, now_ns: int) -> None:
        """Never back: a frame that came late is played when it came, in its place."""
        self._now_ns = max(self._now_ns, now_ns)
        now = Time(nanoseconds=self._now_ns, clock_type=self.get_clock().clock_type)
        for node in self._nodes:
            clock = node.get_clock()
            assert isinstance(clock, ROSClock)
            clock.set_ros_time_override(now)
        self._clock_out.publish(Clock(clock=conversions.to_time(self._now_ns)))

    def _await_recorder(self) -> None:
        """Until somebody listens to the skeletons and to what they are judged by."""
        heard = ("/skeletons", "/skeleton2d", "/trigger/event")
        publishers = [one for one in self._all_publishers() if one.topic_name.endswith(heard)]
        deadline = time.monotonic() + LISTENER_LIMIT_S
        while not all(one.get_subscription_count() for one in publishers):
            if time.monotonic() > deadline:
                raise DwError(f"no recorder listens to the replay after {LISTENER_LIMIT_S:g} s, expected one")
            if self._stop.wait(POLL_S):
                return

    def _await_acknowledgement(self) -> None:
        """Until all that was sent reliably has arrived at those who listen."""
        for publisher in self._all_publishers():
            publisher.wait_for_all_acked(Duration(seconds=ACKNOWLEDGED_S))

    def _all_publishers(self) -> list[Publisher]:
        return [publisher for node in self._nodes for publisher in node.publishers]

    def health(self) -> Health:
        return Health(message=f"plays {self.value('bag')}", values={"frames": self._frames})


def main() -> None:
    from dw_ros.replay import main as replay_main  # it makes this node, among others

    replay_main()


if __name__ == "__main__":
    main()
