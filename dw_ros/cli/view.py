"""`dw view --live`: a running graph in the rerun viewer."""

from __future__ import annotations

import os
import threading
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage

from dw_core.data import messages
from dw_core.data.bag_topics import DEFINITION, RIG
from dw_core.geometry.camera import Rig
from dw_core.skeleton import JointSet, joint_set
from dw_core.types import NS
from dw_core.viewing import feed
from dw_core.viewing.recording import Recording
from dw_core.viewing.sinks import Sinks, hand_over, open_stream
from dw_ros import msg, qos

POLL_S = 0.25
# Of each view, images and heatmaps: all of them would take a core from the graph that is looked at.
PICTURES_HZ = 5
KINDS: dict[str, tuple[type, QoSProfile]] = {
    "skeletons": (msg.Skeleton3DArray, qos.RELIABLE),
    "truth/skeletons": (msg.Skeleton3DArray, qos.RELIABLE),
    "image/compressed": (CompressedImage, qos.SENSOR),
    "heatmaps": (msg.Heatmaps, qos.SENSOR),
    "skeleton2d": (msg.Skeleton2D, qos.SENSOR),
    RIG: (msg.RigCalibration, qos.LATCHED),
    DEFINITION: (msg.SkeletonDefinition, qos.LATCHED),
}


class Viewer:
    """Waits for the rig and the joints of a graph, then shows everything that comes."""

    def __init__(self, node: Node, sinks: Sinks, rig: Rig | None, namespace: str) -> None:
        self._node, self._sinks, self._rig = node, sinks, rig
        self._namespace = "/" + namespace.strip("/")
        self._joints: JointSet | None = None
        self._stream: Any = None
        if rig is None:
            self._subscribe(RIG, f"{self._namespace}/{RIG}", self._on_rig)
        self._subscribe(DEFINITION, f"{self._namespace}/{DEFINITION}", self._on_definition)
        print(f"dw: waiting for the graph in {self._namespace}; Ctrl-C stops it", flush=True)

    def close(self) -> None:
        """Hand over what is left, and close the sinks."""
        if self._stream is not None:
            hand_over(self._stream)
            self._stream.disconnect()

    def _subscribe(self, kind: str, topic: str, callback: Any) -> None:
        message_type, profile = KINDS[kind]
        self._node.create_subscription(message_type, topic, callback, profile)

    def _on_rig(self, message: msg.RigCalibration) -> None:
        self._rig = self._rig or messages.rig(message)
        self._begin()

    def _on_definition(self, message: msg.SkeletonDefinition) -> None:
        self._joints = joint_set(message.name)
        self._begin()

    def _begin(self) -> None:
        if self._stream is not None or self._rig is None or self._joints is None:
            return
        self._stream = open_stream(self._sinks, self._rig, live=True)
        shown = Recording(self._stream, self._rig, self._joints, NS // PICTURES_HZ)
        for topic, show in feed.topics(self._namespace, self._rig).items():
            kind = next(kind for kind in KINDS if topic.endswith(f"/{kind}"))
            self._subscribe(kind, topic, lambda message, show=show: show(shown, message))
        page = f"at {self._sinks.page}" if self._sinks.web else f"in {self._sinks.save or 'the viewer'}"
        print(f"dw: the run is {page}", flush=True)


def show(sinks: Sinks, rig: Rig | None, namespace: str, stop: threading.Event) -> None:
    """Show the graph of a namespace until `stop` is set. Raises DwError for sinks that cannot be opened."""
    # what is looked at is on this machine; a user who wants more says so
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = Node("view")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    viewer = Viewer(node, sinks, rig, namespace)
    try:
        while not stop.is_set():
            executor.spin_once(timeout_sec=POLL_S)
    finally:
        viewer.close()
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
