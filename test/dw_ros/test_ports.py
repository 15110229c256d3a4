"""Ports: in one process the value itself, over ROS a message, and never a queue without end."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from rclpy.context import Context
from rclpy.node import Node
from std_msgs.msg import String

from dw_ros import qos
from dw_ros.conversions import message_codec
from dw_ros.ports import Bus, Gate, Inlet, Outlet, Queue

CODEC = message_codec(String)


@pytest.fixture
def bus() -> Iterator[Bus]:
    bus = Bus()
    yield bus
    bus.close()


def test_within_a_process_the_value_itself_is_handed_over_and_no_subscription_is_made(
    node: Node, bus: Bus
) -> None:
    got: list[String] = []
    Inlet(node, bus, "words", CODEC, qos.RELIABLE, Queue(node, "words", got.append, None, 1))
    outlet = Outlet(node, bus, "words", CODEC, qos.RELIABLE)
    bus.connect()
    value = String(data="x")
    outlet.send(value)
    assert got and got[0] is value
    assert node.count_subscribers("words") == 0


def test_what_the_process_does_not_produce_is_subscribed_over_ros(
    context: Context, node: Node, bus: Bus, spin_until: Callable[..., None]
) -> None:
    got: list[String] = []
    Inlet(node, bus, "words", CODEC, qos.RELIABLE, Queue(node, "words", got.append, None, 1))
    bus.connect()
    other = Node("other", context=context)
    outlet = Outlet(other, Bus(), "words", CODEC, qos.RELIABLE)
    spin_until(lambda: outlet.wanted, node)
    outlet.send(String(data="over the wire"))
    spin_until(lambda: got, node)
    assert [value.data for value in got] == ["over the wire"]
    other.destroy_node()


def test_on_demand_a_topic_is_subscribed_while_it_is_wanted(
    context: Context, node: Node, bus: Bus, spin_until: Callable[..., None]
) -> None:
    got: list[String] = []
    queue = Queue(node, "words", got.append, None, 1)
    inlet = Inlet(node, bus, "words", CODEC, qos.RELIABLE, queue, on_demand=True)
    bus.connect()
    other = Node("other", context=context)
    outlet = Outlet(other, Bus(), "words", CODEC, qos.RELIABLE)
    assert node.count_subscribers("words") == 0
    for _ in range(2):
        inlet.listen(True)
        inlet.listen(True)
        spin_until(lambda: outlet.wanted, node)
        assert node.count_subscribers("words") == 1
        outlet.send(String(data="x"))
        spin_until(lambda: got, node)
        got.clear()
        inlet.listen(False)
        spin_until(lambda: not outlet.wanted, node)
    other.destroy_node()


def test_on_demand_nothing_is_subscribed_that_the_process_itself_produces(node: Node, bus: Bus) -> None:
    got: list[String] = []
    queue = Queue(node, "words", got.append, None, 1)
    inlet = Inlet(node, bus, "words", CODEC, qos.RELIABLE, queue, on_demand=True)
    outlet = Outlet(node, bus, "words", CODEC, qos.RELIABLE)
    bus.connect()
    inlet.listen(True)
    outlet.send(String(data="x"))
    assert node.count_subscribers("words") == 0 and len(got) == 1


def test_nothing_is_converted_while_nobody_listens(node: Node, bus: Bus) -> None:
    converted: list[String] = []
    codec = message_codec(String)
    watched = type(codec)(String, lambda value: converted.append(value) or value, codec.from_message)
    outlet = Outlet(node, bus, "silent", watched, qos.RELIABLE)
    bus.connect()
    assert not outlet.wanted
    outlet.send(String(data="x"))
    assert converted == []


def test_a_full_queue_drops_the_oldest_and_counts(node: Node, bus: Bus) -> None:
    busy, go, done = threading.Event(), threading.Event(), threading.Event()
    got: list[str] = []

    def slow(value: String) -> None:
        busy.set()
        assert go.wait(10)
        got.append(value.data)
        if value.data == "4":
            done.set()

    queue = Queue(node, "words", slow, bus.worker("slow"), size=2)
    queue.put(String(data="0"))
    assert busy.wait(10)
    for number in range(1, 5):
        queue.put(String(data=str(number)))
    go.set()
    assert done.wait(10)
    assert got == ["0", "3", "4"]
    assert queue.counters["dropped"] == 2


def test_queues_that_share_a_worker_are_served_in_order_of_arrival(node: Node, bus: Bus) -> None:
    got: list[str] = []
    done = threading.Event()

    def take(value: String) -> None:
        got.append(value.data)
        if value.data == "end":
            done.set()

    queues = [Queue(node, name, take, bus.worker("shared"), size=100) for name in ("a", "b")]
    expected = [str(number) for number in range(50)]
    for number in range(50):
        queues[number % 2].put(String(data=str(number)))
    queues[0].put(String(data="end"))
    assert done.wait(10)
    assert got == [*expected, "end"]


class Rounds:
    """Four queues of one worker, whose time is counted in values that it has served."""

    def __init__(self, node: Node, bus: Bus) -> None:
        self.served: list[tuple[str, int]] = []  # queue, and how many were served while the value waited
        self._begun, self._go_on = threading.Semaphore(0), threading.Semaphore(0)
        names = ("a", "b", "c", "d")
        self.queues = {name: Queue(node, name, self._take, bus.worker("shared"), 1) for name in names}

    def _take(self, value: tuple[str, int]) -> None:
        name, put_at = value
        self.served.append((name, len(self.served) - put_at))
        self._begun.release()
        assert self._go_on.acquire(timeout=10)

    def put(self, name: str) -> None:
        self.queues[name].put((name, len(self.served)))

    def await_begin(self) -> None:
        """Until the worker has taken the next value."""
        assert self._begun.acquire(timeout=10)

    def end(self, values: int = 1) -> None:
        """The value that the worker has is done, or more of them."""
        self._go_on.release(values)

    def dropped(self) -> list[int]:
        return [queue.counters["dropped"] for queue in self.queues.values()]


def test_bursts_are_taken_up(node: Node, bus: Bus) -> None:
    rounds = Rounds(node, bus)
    for _ in range(20):
        rounds.put("a")
        rounds.await_begin()
        for name in "bcd":
            rounds.put(name)
        for _ in "bcd":
            rounds.end()
            rounds.await_begin()
        rounds.end()
    assert rounds.dropped() == [0, 0, 0, 0]
    assert [name for name, _ in rounds.served] == list("abcd") * 20


@pytest.mark.parametrize("more", [0, 6, 2])
def test_a_load_that_is_too_much_neither_makes_values_late_nor_starves_a_queue(
    node: Node, bus: Bus, more: int
) -> None:
    """Values come in turn, as many as are served, and one `more` after as many; four wait at the start."""
    rounds = Rounds(node, bus)
    turn = itertools.cycle("abcd")
    for _ in range(5):
        rounds.put(next(turn))
    for number in range(1, 401):
        rounds.await_begin()
        rounds.put(next(turn))
        if more and number % more == 0:
            rounds.put(next(turn))
        rounds.end()
    rounds.end(len(rounds.queues))  # those that still wait
    waits = [wait for _, wait in rounds.served[20:]]
    assert np.mean(waits) < 1, "full queues make every value wait for two or three"
    counts = Counter(name for name, _ in rounds.served[20:])
    assert min(counts.values()) > 0.8 * max(counts.values()), counts


def test_a_value_that_fails_is_counted_and_the_next_one_is_processed(node: Node) -> None:
    got: list[str] = []

    def picky(value: String) -> None:
        if value.data == "bad":
            raise ValueError(value.data)
        got.append(value.data)

    queue = Queue(node, "words", picky, None, 1)
    for word in ("a", "bad", "b"):
        queue.put(String(data=word))
    assert got == ["a", "b"]
    assert queue.counters["failed"] == 1


def test_closing_the_bus_ends_every_worker() -> None:
    bus = Bus()
    bus.worker("idle")
    names = [thread.name for thread in threading.enumerate()]
    assert "idle" in names
    bus.close()
    assert "idle" not in [thread.name for thread in threading.enumerate()]


def test_a_closed_gate_refuses_values_and_counts_them(node: Node) -> None:
    gate, got = Gate(is_open=False), []
    queue = Queue(node, "words", got.append, None, 1, gate)
    queue.put("a")
    gate.set(True)
    queue.put("b")
    gate.set(False)
    queue.put("c")
    assert got == ["b"] and queue.counters["refused"] == 2


def test_who_holds_the_gate_waits_for_those_inside_and_makes_others_wait(node: Node, bus: Bus) -> None:
    gate = Gate()
    busy, go = threading.Event(), threading.Event()
    events: list[str] = []

    def slow(value: str) -> None:
        busy.set()
        assert go.wait(10)
        events.append(value)

    queue = Queue(node, "words", slow, bus.worker("slow"), 2, gate)
    queue.put("inside")
    assert busy.wait(10)
    holder = threading.Thread(target=lambda: hold(gate, events))
    holder.start()
    assert "held" not in events
    go.set()
    holder.join(10)
    queue.put("after")
    bus.close()
    assert events[:3] == ["inside", "held", "let go"]


def hold(gate: Gate, events: list[str]) -> None:
    with gate.held():
        events.append("held")
        events.append("let go")


def test_nothing_is_pending_when_all_that_a_value_led_to_is_done(node: Node, bus: Bus) -> None:
    """A value that goes from worker to worker is never between them."""
    got: list[str] = []
    second = Queue(node, "second", lambda value: got.append(value.data), bus.worker("second"), 100)

    def pass_on(value: String) -> None:
        if value.data == "bad":
            raise ValueError(value.data)
        second.put(value)

    first = Queue(node, "first", pass_on, bus.worker("first"), size=100)
    assert bus.pending.wait_idle(0)
    for number in range(200):
        first.put(String(data="bad" if number == 7 else str(number)))
        assert bus.pending.wait_idle(10)
        assert len(got) == number + 1 - (number >= 7)
    assert bus.pending.dropped == 0


def test_what_is_dropped_is_not_waited_for(node: Node, bus: Bus) -> None:
    busy, go = threading.Event(), threading.Event()

    def slow(value: String) -> None:
        busy.set()
        assert go.wait(10)

    queue = Queue(node, "words", slow, bus.worker("slow"), size=1)
    queue.put(String(data="0"))
    assert busy.wait(10)
    for number in range(1, 4):
        queue.put(String(data=str(number)))
    assert not bus.pending.wait_idle(0.01) and bus.pending.dropped == 2
    go.set()
    assert bus.pending.wait_idle(10)


def test_a_value_goes_on_in_its_process_before_it_is_published(
    node: Node, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    outlet = Outlet(node, bus, "words", CODEC, qos.LATCHED, latched=True)
    Inlet(
        node, bus, "words", CODEC, qos.LATCHED, Queue(node, "words", lambda _: order.append("here"), None, 1)
    )
    monkeypatch.setattr(outlet._publisher, "publish", lambda _: order.append("published"))
    outlet.send(String(data="a"))
    assert order == ["here", "published"]
