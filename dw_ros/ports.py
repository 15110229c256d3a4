"""Ports: how values enter and leave a node.

A node speaks in `dw_core` values. Within one process an outlet hands the value itself to the
inlets of the same topic, without a copy; to everybody else it publishes a message, and only when
somebody subscribes. So the same node runs composed, isolated or on another host unchanged.
"""

from __future__ import annotations

import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

from dw_ros import distro

T = TypeVar("T")
# How often a node with inlets on demand looks whether anybody wants what it makes of them.
DEMAND_PERIOD_S = 0.5
# Values by which a worker knows which queue it served most of late: a second of 60 Hz.
SERVED = 60


@dataclass(frozen=True)
class Codec(Generic[T]):
    """A message type with both directions of conversion (see conversions.py)."""

    message: type
    to_message: Callable[[T], Any]
    from_message: Callable[[Any], T]


class Gate:
    """Lets values into a node, several at once, while it is open.

    Whoever holds it is alone: those inside have left, and who comes waits. A value that is inside must not
    lead back to the same gate.
    """

    def __init__(self, is_open: bool = True) -> None:
        self.is_open = is_open
        self._inside = 0
        self._held = False
        self._changed = threading.Condition()

    def enter(self) -> bool:
        """Whether the gate is open; who is let in has to leave."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held)
            self._inside += self.is_open
            return self.is_open

    def leave(self) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody is inside meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held)
            self._held = True
            self._changed.wait_for(lambda: not self._inside)
        try:
            yield
        finally:
            with self._changed:
                self._held = False
                self._changed.notify_all()

    def set(self, is_open: bool) -> None:
        """Open or close it, and wait until nobody is inside."""
        with self.held():
            self.is_open = is_open


class Pending:
    """How many values of a process wait for a worker or are being processed, and how many were `dropped`.

    A value counts until all that it led to is waiting in its turn: at 0 nothing is left to be done.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._count = 0
        self._changed = threading.Condition()

    def add(self) -> None:
        with self._changed:
            self._count += 1

    def done(self, dropped: bool = False) -> None:
        with self._changed:
            self._count -= 1
            self.dropped += dropped
            if not self._count:
                self._changed.notify_all()

    def wait_idle(self, limit_s: float) -> bool:
        """Wait until nothing is left to be done; False when that takes longer than the limit."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._count, limit_s)


class Worker:
    """A thread that serves one or more queues in order of arrival.

    Its queues take up a burst. When they have not been empty for as many values as they hold together, the
    load is more than the worker carries, and full queues would only make all values late: until they are
    empty again one value is dropped for each that is served, of the queue that was served most of late, so
    that none starves.
    """

    def __init__(self, name: str, pending: Pending) -> None:
        self._pending = pending
        self._waiting: deque[tuple[Queue[Any], Any]] = deque()
        self._served: deque[Queue[Any]] = deque(maxlen=SERVED)
        self._standing = 0  # values served since nothing was waiting
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, queue: Queue[Any], value: Any) -> None:
        self._pending.add()
        with self._changed:
            mine = [entry for entry in self._waiting if entry[0] is queue]
            if len(mine) >= queue.size:
                self._drop(mine[0])
            self._waiting.append((queue, value))
            self._changed.notify()

    def _drop(self, entry: tuple[Queue[Any], Any]) -> None:
        self._waiting.remove(entry)
        entry[0].counters["dropped"] += 1
        self._pending.done(dropped=True)

    def _relieve(self, queue: Queue[Any]) -> None:
        """Note that a queue is served now, and drop a value where too many have been waiting for too long."""
        self._served.append(queue)
        self._standing = self._standing + 1 if self._waiting else 0
        if self._standing > sum(other.size for other in set(self._served)):
            self._drop(max(self._waiting, key=lambda entry: self._served.count(entry[0])))

    def close(self) -> None:
        """Stop; a value that is being processed is waited for, those in the queues are forgotten."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                queue, value = self._waiting.popleft()
                self._relieve(queue)
            queue.process(value)
            self._pending.done()


class Queue(Generic[T]):
    """Values that wait for a callback: at most `size`, then the OLDEST is dropped and counted in
    `dropped`, since the newest exposure matters.

    Without a worker nothing waits: the callback runs in the thread that puts. A callback that raises
    is logged and counted in `failed`, and the next value is processed. What finds the gate closed is
    counted in `refused`.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        callback: Callable[[T], None],
        worker: Worker | None,
        size: int,
        gate: Gate | None = None,
    ) -> None:
        self.name, self.size = name, size
        self.counters: Counter[str] = Counter()
        self._node, self._callback, self._worker = node, callback, worker
        self._gate = gate or Gate()

    def put(self, value: T) -> None:
        """Let a value wait for the worker, or process it here."""
        if self._worker is None:
            self.process(value)
        else:
            self._worker.put(self, value)

    def process(self, value: T) -> None:
        """Call the callback here and now, if the gate is open."""
        if not self._gate.enter():
            self.counters["refused"] += 1
            return
        try:
            self._callback(value)
        except Exception as error:
            self.counters["failed"] += 1
            self._node.get_logger().error(
                f"{self.name}: {error!r}\n{traceback.format_exc()}", throttle_duration_sec=1.0
            )
        finally:
            self._gate.leave()


class Bus:
    """The inlets, outlets and workers of one process; topics by resolved name. `managed`: its nodes with a
    life cycle, by full name."""

    def __init__(self) -> None:
        self.managed: dict[str, Any] = {}
        self._inlets: dict[str, list[Inlet[Any]]] = {}
        self._produced: set[str] = set()
        self._workers: dict[str, Worker] = {}
        self.pending = Pending()

    def worker(self, name: str) -> Worker:
        """The worker of that name, made when it is first asked for."""
        if name not in self._workers:
            self._workers[name] = Worker(name, self.pending)
        return self._workers[name]

    def add_inlet(self, inlet: Inlet[Any]) -> None:
        self._inlets.setdefault(inlet.topic, []).append(inlet)

    def add_outlet(self, topic: str) -> list[Inlet[Any]]:
        """The (live) list of inlets that an outlet of this topic feeds."""
        self._produced.add(topic)
        return self._inlets.setdefault(topic, [])

    def connect(self) -> None:
        """Subscribe over ROS to what this process does not produce. Call once, after all nodes are made."""
        for topic, inlets in self._inlets.items():
            for inlet in inlets:
                if topic not in self._produced:
                    inlet.subscribe()

    def close(self) -> None:
        """Stop all workers."""
        for worker in self._workers.values():
            worker.close()


class Inlet(Generic[T]):
    """Puts every value of a topic into a queue: from this process as it is, over ROS from messages.

    One that is `on_demand` takes messages only while `listen` was last told to.
    """

    def __init__(
        self,
        node: Node,
        bus: Bus,
        topic: str,
        codec: Codec[T],
        qos: QoSProfile,
        queue: Queue[T],
        on_demand: bool = False,
    ) -> None:
        self.topic = node.resolve_topic_name(topic)
        self.deliver = queue.put
        self._node, self._codec, self._qos = node, codec, qos
        self._on_demand = on_demand
        self.remote = False  # whether the topic comes from another process; known once the bus is connected
        self._subscriber: Any = None
        bus.add_inlet(self)

    def subscribe(self) -> None:
        """Receive the topic as ROS messages: now, or on demand."""
        self.remote = True
        if not self._on_demand:
            self._open()

    def listen(self, wanted: bool) -> None:
        """Begin or end to receive messages on demand, in the thread of the executor; of a topic of this
        process nothing changes."""
        if not (self.remote and self._on_demand) or wanted == (self._subscriber is not None):
            return
        if wanted:
            self._open()
        else:
            self._node.destroy_subscription(self._subscriber.sub)
            self._subscriber = None

    def _open(self) -> None:
        self._subscriber = subscriber = distro.Subscriber(
            self._node,
            self._codec.message,
            self.topic,
            qos_profile=self._qos,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        subscriber.registerCallback(lambda message: self.deliver(self._codec.from_message(message)))


class Outlet(Generic[T]):
    """Sends the values of one topic: in this process as they are, over ROS as messages if anybody listens."""

    def __init__(
        self, node: Node, bus: Bus, topic: str, codec: Codec[T], qos: QoSProfile, latched: bool = False
    ):
        self._codec = codec
        self._latched = latched
        self._publisher = node.create_publisher(
            codec.message, topic, qos, qos_overriding_options=QoSOverridingOptions.with_default_policies()
        )
        self._inlets = bus.add_outlet(self._publisher.topic_name)

    @property
    def wanted(self) -> bool:
        """Whether anybody would receive a value now."""
        return bool(self._inlets) or self.heard

    @property
    def heard(self) -> bool:
        """Whether a value would be published now, for other processes."""
        return self._latched or self._publisher.get_subscription_count() > 0

    def send(self, value: T) -> None:
        # This process first: the way to the skeleton must not wait for messages to be written.
        for inlet in self._inlets:
            inlet.deliver(value)
        if self.heard:
            self._publisher.publish(self._codec.to_message(value))


def follow_demand(node: Node, inlets: Sequence[Inlet[Any]], callback: Callable[[], None]) -> None:
    """Call back now and then, where any of the inlets on demand is of another process. Where all come from
    this one there is nothing to ask for, and no timer: every wake-up costs rclpy a look at all entities."""
    if any(inlet.remote for inlet in inlets):
        node.create_timer(DEMAND_PERIOD_S, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))
