"""What all nodes share: parameters, ports, diagnostics at 1 Hz, start-up and shutdown."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, TypeVar

import cv2
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import SetParametersResult
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions

from dw_core.data.rigs import load_rig
from dw_core.diagnostics.levels import Hysteresis, Level
from dw_core.errors import EXIT_BAD_INPUT, ConfigError, DwError
from dw_core.geometry.camera import Rig
from dw_ros import graph
from dw_ros.parameters import Parameter, declare
from dw_ros.ports import Bus, Codec, Gate, Inlet, Outlet, Queue

T = TypeVar("T")
DIAGNOSTICS_PERIOD_S = 1.0
STOP_POLL_S = 0.25
# A worker that comes back from the 2D network must not wait 5 ms (CPython's default) for its turn.
SWITCH_INTERVAL_S = 0.0005
# Of every node; a report is a second.
COMMON = (
    Parameter("worse_after_s", 2, "Diagnostics: a level gets worse after so many seconds.", 1, 600),
    Parameter("better_after_s", 5, "Diagnostics: a level gets better after so many seconds.", 1, 600),
)


@dataclass
class Health:
    """What a node says of itself once a second."""

    level: Level = Level.OK
    message: str = "running"
    values: dict[str, Any] = field(default_factory=dict)

    def warn(self, message: str) -> None:
        """Make it a WARN, unless it is one already, or worse."""
        if self.level == Level.OK:
            self.level, self.message = Level.WARN, message


class DwNode(Node):
    """A node with declared parameters, ports on a bus and diagnostics.

    Subclasses list `PARAMETERS`, make their ports in `__init__`, override `start` for what begins when
    every node of the process is ready, `health` and `parts` for diagnostics, `check` and `changed` for live
    parameters and `close` for threads of their own.
    """

    PARAMETERS: ClassVar[tuple[Parameter, ...]] = ()

    @classmethod
    def parameters(cls) -> tuple[Parameter, ...]:
        """All parameters, with those that every node has."""
        return (*cls.PARAMETERS, *COMMON)

    def __init__(self, name: str, bus: Bus | None = None, **node_options: Any) -> None:
        super().__init__(name, **node_options)
        self.bus = bus or Bus()
        self.gate = Gate()  # what comes in passes through it
        self.start_up_s: float | None = None
        self.exit_code: int | None = None  # set by a node that ends its process
        self._queues: list[Queue[Any]] = []
        self._failed: Counter[str] = Counter()
        self._levels: dict[str, Hysteresis] = {}
        self._known = {parameter.name: parameter for parameter in self.parameters()}
        declare(self, self.parameters())
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._apply_parameters)

    def check(self, changes: Mapping[str, Any]) -> None:
        """Raise DwError when live parameters cannot become what is asked for; each value alone could."""

    def changed(self, names: set[str]) -> None:
        """Called when live parameters have changed, while no value is in the node."""

    def value(self, name: str) -> Any:
        """Present value of a parameter (None if it is unset)."""
        return self.get_parameter_or(name).value

    def rig(self) -> Rig:
        """The rig of the parameter `rig`, by file name or by its name in config/rigs.

        Raises ConfigError when it is not set or not there, CalibrationError when it cannot be a rig.
        """
        rig = self.value("rig")
        if not rig:
            raise ConfigError(
                f"node {self.get_fully_qualified_name()}: parameter 'rig' is empty, "
                "expected a rig file or the name of one in config/rigs (-p rig:=balance_beam)"
            )
        return load_rig(graph.rig_file(rig))

    def rig_again(self, before: Rig) -> Rig:
        """The rig as its file is now. Raises ConfigError when it has other views than before."""
        rig = self.rig()
        if rig.names != before.names:
            raise ConfigError(
                f"rig {self.value('rig')} now has the views {', '.join(rig.names)}, "
                f"expected {', '.join(before.names)} until the graph is started again"
            )
        return rig

    def now_ns(self) -> int:
        """The node's clock, integer nanoseconds (simulated with use_sim_time)."""
        return int(self.get_clock().now().nanoseconds)

    def queue(
        self, name: str, callback: Callable[[T], None], worker: str = "", size: int = 1, gated: bool = True
    ) -> Queue[T]:
        """A queue served by the process's worker of that name (see ports.Queue), behind the node's gate."""
        gate = self.gate if gated else None
        queue = Queue(self, name, callback, self.bus.worker(worker) if worker else None, size, gate)
        self._queues.append(queue)
        return queue

    def inlet(
        self,
        topic: str,
        codec: Codec[T],
        qos: QoSProfile,
        callback: Callable[[T], None],
        worker: str = "",
        queue: int = 1,
        gated: bool = True,
        on_demand: bool = False,
    ) -> Inlet[T]:
        """Call back with every value of a topic, through a queue. What is said only once (latched) is not
        gated: it has to be heard in whatever state the node is."""
        name = topic.removeprefix(f"{PurePosixPath(self.get_namespace()).parent}/")
        waiting = self.queue(name, callback, worker, queue, gated)
        return Inlet(self, self.bus, topic, codec, qos, waiting, on_demand)

    def outlet(self, topic: str, codec: Codec[T], qos: QoSProfile, latched: bool = False) -> Outlet[T]:
        return Outlet(self, self.bus, topic, codec, qos, latched)

    def start(self) -> None:
        """Called once when all nodes of the process are made and connected."""

    def close(self) -> None:
        """Called once before the node is destroyed."""

    def begun(self) -> None:
        """Note, once, how long after the start of its process the node began to serve."""
        if self.start_up_s is None:
            self.start_up_s = _process_age_s()

    def health(self) -> Health:
        """State for /diagnostics."""
        return Health()

    def parts(self) -> dict[str, Health]:
        """State of parts of the node that have a status of their own, by name."""
        return {}

    def report(self) -> dict[str, Health]:
        """The health of the node ("") and of its parts, in whatever state it is."""
        return {"": self.health(), **self.parts()}

    def statuses(self) -> list[DiagnosticStatus]:
        """For /diagnostics, once a second: the node, with what became of the values in its queues, and its
        parts; levels change with hysteresis."""
        report = self.report()
        self._add_queues(report[""])
        return [self._status(part, health) for part, health in report.items()]

    def _add_queues(self, health: Health) -> None:
        if self.start_up_s is not None:
            health.values["start_up_s"] = f"{self.start_up_s:.2f}"
        for queue in self._queues:
            for what, count in list(queue.counters.items()):
                health.values[f"{queue.name} {what}"] = count
            if queue.counters["failed"] > self._failed[queue.name]:
                health.warn(f"values of {queue.name} could not be processed, see the log")
            self._failed[queue.name] = queue.counters["failed"]

    def _status(self, part: str, health: Health) -> DiagnosticStatus:
        if part not in self._levels:
            self._levels[part] = Hysteresis(self.value("worse_after_s"), self.value("better_after_s"))
        level, message = self._levels[part].update(health.level, health.message)
        name = self.get_fully_qualified_name()
        return DiagnosticStatus(
            level=bytes([level]),
            name=f"{name}: {part}" if part else name,
            message=message,
            hardware_id=part or "dw_ros",
            values=[KeyValue(key=key, value=str(value)) for key, value in health.values.items()],
        )

    def _check_parameters(self, changes: list[RosParameter]) -> SetParametersResult:
        # Others are rclpy's own, which it declares while ports are made.
        ours = [change for change in changes if change.name in self._known]
        for change in ours:
            problem = self._known[change.name].problem(change.value)
            if problem:
                return SetParametersResult(successful=False, reason=f"parameter '{change.name}' {problem}")
        try:
            if ours:
                self.check({change.name: change.value for change in ours})
        except DwError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply_parameters(self, changes: list[RosParameter]) -> None:
        names = {change.name for change in changes} & set(self._known)
        if names and self.configured:
            with self.gate.held():
                self.changed(names)

    @property
    def configured(self) -> bool:
        """Whether there is anything that a parameter could change."""
        return True


def spin(make_nodes: Callable[[Bus], Sequence[DwNode]], stop: threading.Event) -> int:
    """Make nodes on one bus, start them, and serve them in one thread until `stop` is set or a node ends the
    process; the exit code."""
    bus = Bus()
    executor = SingleThreadedExecutor()
    nodes: Sequence[DwNode] = ()
    try:
        nodes = make_nodes(bus)
        for node in nodes:
            executor.add_node(node)
        bus.connect()
        for node in nodes:
            node.start()
        # One message for all nodes of the process, and no timer of its own for each: every wake-up
        # costs rclpy a look at all entities.
        diagnostics = nodes[0].create_publisher(DiagnosticArray, "/diagnostics", 10)
        for node in nodes:
            if node.gate.is_open:
                node.begun()
        next_report = time.monotonic()
        while not stop.is_set():
            for node in nodes:
                if node.exit_code is not None:
                    return node.exit_code
            if time.monotonic() >= next_report:
                next_report += DIAGNOSTICS_PERIOD_S
                report = DiagnosticArray(status=[one for node in nodes for one in node.statuses()])
                report.header.stamp = nodes[0].get_clock().now().to_msg()
                diagnostics.publish(report)
            executor.spin_once(timeout_sec=STOP_POLL_S)
        return 0
    finally:
        # From those who speak to those who listen, while the context still lives.
        for node in nodes:
            node.close()
        bus.close()
        executor.shutdown()
        for node in nodes:
            node.destroy_node()


def _process_age_s() -> float | None:
    """How long ago this process was started; None where there is no /proc."""
    if sys.platform != "linux":
        return None
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


def run(make_nodes: Callable[[Bus], Sequence[DwNode]], args: Sequence[str] | None = None) -> int:
    """Run nodes until SIGINT or SIGTERM; the exit code. Bad input is one sentence and code 2."""
    stop = threading.Event()
    cv2.setNumThreads(1)  # for the same reason as in dw_ros/__init__.py
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # Our own handlers: rclpy's would shut the context down under the worker threads.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        _initialise(list(sys.argv if args is None else args))
        return spin(make_nodes, stop)
    except DwError as error:
        print(f"dw: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    finally:
        rclpy.try_shutdown()


def transport_profile() -> dict[str, str]:
    """Environment that makes Fast DDS read config/fastdds.xml; nothing where the user has named a file."""
    names = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")  # new and old
    if any(name in os.environ for name in names):
        return {}
    return dict.fromkeys(names, str(graph.share_file("config/fastdds.xml")))


def _initialise(args: list[str]) -> None:
    """rclpy.init; what rcl cannot parse (a parameter file, a remapping) becomes a ConfigError."""
    os.environ.update(transport_profile())
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise ConfigError(f"the ROS arguments cannot be used: {reason}") from None


def main_of(node_class: type[DwNode], name: str) -> Callable[[], None]:
    """The `main` of a node's own process."""

    def main() -> None:
        sys.exit(run(lambda bus: (node_class(name, bus=bus),)))

    return main
