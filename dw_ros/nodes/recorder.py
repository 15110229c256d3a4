"""recorder: a bag (MCAP) of the graph's topics, where there is no `ros2 bag`.

Messages are written as they come over the wire, without being decoded. The bag holds the message
definitions and is read by `ros2 bag` and every MCAP tool.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer, WriterError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from dw_core.errors import ConfigError
from dw_ros import distro
from dw_ros.node import DwNode, Health, main_of
from dw_ros.parameters import Parameter
from dw_ros.ports import Bus

DISCOVERY_PERIOD_S = 0.2
# Enough for a second of heatmaps of four views.
QUEUE_DEPTH = 60
# Large, or made again from what is kept: images, dense sets, markers.
LEFT_OUT = r"/(image|overlay)(/compressed)?$|/dense/|/skeleton_markers$"


def typestore() -> Typestore:
    """The standard messages and ours, for rosbags."""
    store = get_typestore(Stores.ROS2_JAZZY)
    types: dict[str, Any] = {}
    for path in sorted((distro.share_directory() / "msg").glob("*.msg")):
        types |= get_types_from_msg(path.read_text(), f"dw_ros/msg/{path.stem}")
    store.register(types)
    return store


def command(bag: Path, namespace: str) -> list[str]:
    """The command line that records a graph's topics as a process of its own."""
    ros = ["-r", "__ns:=/" + namespace.strip("/"), "-p", f"bag:={bag}"]
    return [sys.executable, "-m", "dw_ros.nodes.recorder", "--ros-args", *ros]


class RecorderNode(DwNode):
    PARAMETERS = (
        Parameter("bag", "", "Folder to create for the bag."),
        Parameter("leave_out", LEFT_OUT, "Topics that match this expression are not recorded."),
    )

    def __init__(self, name: str = "recorder", bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        if not self.value("bag"):
            raise ConfigError("recorder: parameter 'bag' is empty, expected a folder to create")
        self._writer = Writer(
            self.value("bag"), version=Writer.VERSION_LATEST, storage_plugin=StoragePlugin.MCAP
        )
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        try:
            self._writer.open()
        except (WriterError, OSError) as error:
            raise ConfigError(f"recorder: cannot create the bag {self.value('bag')}: {error}") from None
        self._types = typestore()
        self._left_out = re.compile(self.value("leave_out"))
        self._seen: set[str] = set()
        self._written = 0
        self.create_timer(DISCOVERY_PERIOD_S, self._discover)

    def _discover(self) -> None:
        """Subscribe to topics of the namespace (and /diagnostics) as they appear."""
        prefix = self.get_namespace().rstrip("/") + "/"
        for topic, types in self.get_topic_names_and_types():
            if topic in self._seen or not (topic.startswith(prefix) or topic == "/diagnostics"):
                continue
            publishers = self.get_publishers_info_by_topic(topic)
            if not publishers or self._left_out.search(topic):
                continue
            self._seen.add(topic)
            latched = any(
                one.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for one in publishers
            )
            reliable = all(one.qos_profile.reliability == ReliabilityPolicy.RELIABLE for one in publishers)
            self._record(topic, types[0], latched, reliable)

    def _record(self, topic: str, type_name: str, latched: bool, reliable: bool) -> None:
        package, _, name = type_name.split("/")
        connection = self._writer.add_connection(topic, type_name, typestore=self._types)
        qos = QoSProfile(
            depth=QUEUE_DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
        message_type = getattr(import_module(f"{package}.msg"), name)
        self.create_subscription(
            message_type,
            topic,
            lambda data: self._write(connection, data),
            qos,
            # The profile was made to fit, and every event handler costs time at every message.
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            raw=True,
        )

    def _write(self, connection: Connection, data: Any) -> None:
        self._writer.write(connection, self.now_ns(), data)
        self._written += 1

    def close(self) -> None:
        self._writer.close()

    def health(self) -> Health:
        return Health(message="recording", values={"messages": self._written, "topics": len(self._seen)})


main = main_of(RecorderNode, "recorder")

if __name__ == "__main__":
    main()
