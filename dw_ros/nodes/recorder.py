"""recorder: a bag (MCAP or sqlite3) of the graph's topics, as `ros2 bag record` makes it.

Messages are written as they come over the wire, without being decoded. The bag holds the message
definitions and what the publishers offered, and is read by `ros2 bag` and every MCAP tool. What was written
until a second ago is in the file, whatever ends the process.
"""

from __future__ import annotations

import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from dw_core.data.bag_writer import COMPRESSIONS, STORAGES, BagFormat, BagWriter
from dw_core.errors import ConfigError
from dw_core.types import NS
from dw_ros import distro, qos
from dw_ros.node import DwNode, Health, main_of
from dw_ros.parameters import Parameter
from dw_ros.ports import Bus

DISCOVERY_PERIOD_S = 0.2
FLUSH_PERIOD_S = 1.0
# Enough for a second of heatmaps of four views.
QUEUE_DEPTH = 60
# Large, or made again from what is kept: images, dense sets, markers.
LEFT_OUT = r"/(image|overlay)(/compressed)?$|/dense/|/skeleton_markers$"
# The same with what cameras send; raw images are 6 MB each.
LEFT_OUT_BUT_IMAGES = r"/image$|/overlay(/compressed)?$|/dense/|/skeleton_markers$"


def typestore() -> Typestore:
    """The standard messages and ours, for rosbags."""
    store = get_typestore(Stores.ROS2_JAZZY)
    types: dict[str, Any] = {}
    for path in sorted((distro.share_directory() / "msg").glob("*.msg")):
        types |= get_types_from_msg(path.read_text(), f"dw_ros/msg/{path.stem}")
    store.register(types)
    return store


def command(bag: Path, namespace: str, **parameters: Any) -> list[str]:
    """The command line that records a graph's topics as a process of its own; parameters of the node."""
    ros = ["-r", "__ns:=/" + namespace.strip("/")]
    for name, value in {"bag": str(bag), **parameters}.items():
        # JSON is YAML, which is what rcl parses here.
        ros += ["-p", f"{name}:={json.dumps(value)}"]
    return [sys.executable, "-m", "dw_ros.nodes.recorder", "--ros-args", *ros]


class RecorderNode(DwNode):
    PARAMETERS = (
        Parameter("bag", "", "Folder to create for the bag."),
        Parameter(
            "topics",
            "",
            "Topics that match this expression are recorded. Empty: the namespace, /diagnostics.",
        ),
        Parameter("leave_out", LEFT_OUT, "Topics that match this expression are not recorded."),
        Parameter("storage", "mcap", "File format.", choices=STORAGES),
        Parameter("compression", "zstd", "Of chunks (mcap) or messages (sqlite3).", choices=COMPRESSIONS),
        Parameter("split_mb", 0.0, "Begin a new file when one has this many MB; 0: never.", 0.0, 1e6),
        Parameter("split_s", 0.0, "Begin a new file when one holds this many seconds; 0: never.", 0.0, 1e6),
    )

    def __init__(self, name: str = "recorder", bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        if not self.value("bag"):
            raise ConfigError("recorder: parameter 'bag' is empty, expected a folder to create")
        self._topics, self._left_out = self._expression("topics"), self._expression("leave_out")
        bag = BagFormat(
            self.value("storage"),
            self.value("compression"),
            round(1e6 * self.value("split_mb")),
            round(NS * self.value("split_s")),
        )
        self._types = typestore()
        self._seen: set[str] = set()
        self._recorded: list[tuple[Subscription, Connection]] = []
        # With simulated time, what comes before the first /clock has no time yet.
        self._early: list[tuple[Connection, Any]] = []
        self._writer = BagWriter(Path(self.value("bag")), bag)
        real = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still
        self.create_timer(DISCOVERY_PERIOD_S, self._discover, clock=real)
        self.create_timer(FLUSH_PERIOD_S, self._writer.flush, clock=real)

    def _expression(self, name: str) -> re.Pattern[str]:
        try:
            return re.compile(self.value(name))
        except re.error as error:
            raise ConfigError(
                f"recorder: parameter '{name}' is '{self.value(name)}', expected an expression ({error})"
            ) from None

    def _wanted(self, topic: str) -> bool:
        if self._left_out.pattern and self._left_out.search(topic):
            return False
        if self._topics.pattern:
            return self._topics.search(topic) is not None
        return topic.startswith(self.get_namespace().rstrip("/") + "/") or topic == "/diagnostics"

    def _discover(self) -> None:
        """Subscribe to topics as they appear."""
        for topic, types in self.get_topic_names_and_types():
            publishers = self.get_publishers_info_by_topic(topic)
            if topic in self._seen or not publishers or not self._wanted(topic):
                continue
            self._seen.add(topic)
            try:
                self._record(topic, types[0], [one.qos_profile for one in publishers])
            except (ConfigError, ImportError, AttributeError) as error:
                self.get_logger().warning(f"{topic} is not recorded: {error}")

    def _record(self, topic: str, type_name: str, offered: list[QoSProfile]) -> None:
        package, _, name = type_name.split("/")
        message_type = getattr(import_module(f"{package}.msg"), name)
        connection = self._writer.add_topic(topic, type_name, self._types, [_qos(one) for one in offered])
        latched = any(one.durability == DurabilityPolicy.TRANSIENT_LOCAL for one in offered)
        reliable = all(one.reliability == ReliabilityPolicy.RELIABLE for one in offered)
        profile = QoSProfile(
            depth=qos.REPLAYED.depth if reliable else QUEUE_DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
        subscription = self.create_subscription(
            message_type,
            topic,
            lambda data: self._write(connection, data),
            profile,
            # The profile was made to fit, and every event handler costs time at every message.
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            raw=True,
        )
        self._recorded.append((subscription, connection))

    def _write(self, connection: Connection, data: Any) -> None:
        now_ns = self.now_ns()
        if now_ns == 0:
            self._early.append((connection, data))
            return
        for early in self._early:
            self._writer.write(early[0], now_ns, early[1])
        self._early.clear()
        self._writer.write(connection, now_ns, data)

    def close(self) -> None:
        """Write what has arrived and not been taken yet, and end the bag."""
        for subscription, connection in self._recorded:
            with subscription.handle:
                while taken := subscription.handle.take_message(subscription.msg_type, True):
                    self._write(connection, taken[0])
        self._writer.close()
        self.get_logger().info(
            f"recorded {self._writer.messages} messages of {len(self._recorded)} topics into "
            f"{self._writer.folder} ({self._writer.files} file(s))"
        )

    def health(self) -> Health:
        values = {
            "messages": self._writer.messages,
            "topics": len(self._recorded),
            "files": self._writer.files,
        }
        return Health(message="recording", values=values)


def _qos(profile: QoSProfile) -> Qos:
    """A publisher's profile, for the bag; RMW and rosbags number the policies alike."""
    return Qos(
        QosHistory(int(profile.history)), profile.depth, QosReliability(int(profile.reliability)),
        QosDurability(int(profile.durability)), _time(profile.deadline), _time(profile.lifespan),
        QosLiveliness(int(profile.liveliness)), _time(profile.liveliness_lease_duration),
        profile.avoid_ros_namespace_conventions,
    )  # fmt: skip


def _time(duration: Any) -> QosTime:
    return QosTime(*divmod(duration.nanoseconds, NS))


main = main_of(RecorderNode, "recorder")

if __name__ == "__main__":
    main()
