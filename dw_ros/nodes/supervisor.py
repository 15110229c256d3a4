"""supervisor: brings the nodes with a life cycle up, in the order of the graph, and again when their process
was started again.

In the same process nodes are asked directly, elsewhere by the services <node>/get_state and
<node>/change_state. What is done when is told by dw_core/supervision.py. A node that refuses its input has
said why; the supervisor then ends with code 2, and `dw up` and the launch file end the graph with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from rclpy.task import Future

from dw_core.diagnostics.levels import Level
from dw_core.errors import EXIT_BAD_INPUT, ConfigError
from dw_core.supervision import (
    ACTIVATE,
    ACTIVE,
    CONFIGURE,
    FINALIZED,
    UNCONFIGURED,
    UNREACHABLE,
    Step,
    Supervision,
)
from dw_ros.managed import ManagedNode
from dw_ros.node import DwNode, Health, main_of
from dw_ros.parameters import Parameter
from dw_ros.ports import Bus

TICK_S = 0.2
# A node in order is asked so often.
POLL_S = 1.0
# Who does not answer within this is taken for dead: an answer takes milliseconds.
ANSWER_S = 2.0
# An order that was given so long ago may have been lost with the process that it was given to.
ORDER_S = 1.0
TRANSITIONS = {CONFIGURE: Transition.TRANSITION_CONFIGURE, ACTIVATE: Transition.TRANSITION_ACTIVATE}

Done = Callable[[str, bool, str], None]


class Link(Protocol):
    """A managed node as the supervisor sees it: its state as last heard, and a way to give it orders.

    `done(node, success, state)` is called when an order was carried out, or was not.
    """

    state: str

    def poll(self) -> None: ...

    def order(self, transition: str, done: Done) -> None: ...


class LocalLink:
    """To a node of the same process."""

    def __init__(self, name: str, node: ManagedNode) -> None:
        self._name, self._node = name, node
        self.state = node.state

    def poll(self) -> None:
        self.state = self._node.state

    def order(self, transition: str, done: Done) -> None:
        self._node.trigger_configure() if transition == CONFIGURE else self._node.trigger_activate()
        before, self.state = self.state, self._node.state
        done(self._name, self.state != before and self.state != FINALIZED, self.state)


class RemoteLink:
    """To a node of another process, by its services. An order has no time limit: loading may take long.

    But it is given up, and `lost(node)` called, when the node's services are gone, or when the node, asked a
    while later, answers: then the answer to the order was lost, or the order was.
    """

    def __init__(self, name: str, node: Node, lost: Callable[[str], None]) -> None:
        self.state = UNREACHABLE
        self._name, self._lost = name, lost
        self._get = node.create_client(GetState, f"{name}/get_state")
        self._change = node.create_client(ChangeState, f"{name}/change_state")
        self._question: Future | None = None
        self._asked_s = self._ordered_s = 0.0
        self._order: Future | None = None

    def poll(self) -> None:
        now_s = time.monotonic()
        if self._order is not None and now_s - self._ordered_s < ORDER_S:
            return
        ready = self._get.service_is_ready() and self._change.service_is_ready()
        if self._question is not None:
            if now_s - self._asked_s > ANSWER_S:
                self._forget_question()
                self.state = UNREACHABLE
                if self._order is None or not ready:
                    self._give_up_order()
        elif ready and (now_s - self._asked_s > POLL_S or self.state != ACTIVE):
            self._ask(self._on_state)

    def _give_up_order(self) -> None:
        if self._order is not None:
            self._change.remove_pending_request(self._order)
            self._order = None
        self._lost(self._name)

    def _forget_question(self) -> None:
        if self._question is not None:
            self._get.remove_pending_request(self._question)
            self._question = None

    def _ask(self, answer: Callable[[Future], None]) -> None:
        self._asked_s = time.monotonic()
        self._question = self._get.call_async(GetState.Request())
        self._question.add_done_callback(answer)

    def _on_state(self, future: Future) -> None:
        self._question = None
        self.state = future.result().current_state.label
        if self._order is not None:
            self._give_up_order()

    def order(self, transition: str, done: Done) -> None:
        self._forget_question()  # its answer would be of the time before
        request = ChangeState.Request(transition=Transition(id=TRANSITIONS[transition]))
        self._ordered_s = time.monotonic()
        self._order = self._change.call_async(request)
        self._order.add_done_callback(lambda future: self._on_changed(future, done))

    def _on_changed(self, future: Future, done: Done) -> None:
        success, self._order = future.result().success, None

        def on_state(answer: Future) -> None:
            self._on_state(answer)
            done(self._name, success, self.state)

        self._forget_question()
        self._ask(on_state)


class SupervisorNode(DwNode):
    PARAMETERS = (
        Parameter(
            "nodes",
            None,
            "Full names of the nodes to bring up, in this order.",
            kind=RosParameter.Type.STRING_ARRAY,
        ),
        Parameter(
            "wait_s", 10.0, "How long a node that has not appeared holds up those after it.", 0.0, 600.0
        ),
    )

    def __init__(self, name: str = "supervisor", bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        nodes = self.value("nodes")
        if not nodes:
            raise ConfigError(
                "supervisor: parameter 'nodes' is empty, expected full names such as [/dw/triangulation]"
            )
        self._supervision = Supervision(nodes, self.value("wait_s"))
        self._links: dict[str, Link] = {}
        self._busy: Step | None = None  # the order that is being carried out
        self._began_s = time.monotonic()
        self._was_up, self._said = False, ""

    def start(self) -> None:
        for name in self._supervision.states:
            local = self.bus.managed.get(name)
            self._links[name] = LocalLink(name, local) if local else RemoteLink(name, self, self._on_lost)
        # Not the node's clock: a simulated one may stand still.
        self.create_timer(TICK_S, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._tick()

    def _tick(self) -> None:
        for name, link in self._links.items():
            link.poll()
            self._supervision.observe(name, link.state)
        self._advance()
        self._say()

    def _say(self) -> None:
        """In the log, when it changes once everybody was up: whether all nodes are active, or who is not."""
        health = self.health()
        self._was_up = self._was_up or health.level == Level.OK
        if self._was_up and health.message != self._said:
            self._said = health.message
            self.get_logger().info(health.message)

    def _advance(self) -> None:
        step = None if self._busy else self._supervision.next(time.monotonic() - self._began_s)
        if step is not None and self.exit_code is None:
            self._busy = step
            self.get_logger().debug(f"{step.node}: {step.transition}")
            self._links[step.node].order(step.transition, self._on_done)

    def _on_done(self, name: str, success: bool, state: str) -> None:
        step, self._busy = self._busy, None
        self._supervision.observe(name, state)
        if not success and state == UNCONFIGURED and step == Step(name, CONFIGURE):
            self.exit_code = EXIT_BAD_INPUT
        else:
            self._advance()

    def _on_lost(self, name: str) -> None:
        if self._busy is not None and self._busy.node == name:
            self._busy = None

    def health(self) -> Health:
        states = self._supervision.states
        missing = [f"{name} is {state}" for name, state in states.items() if state != ACTIVE]
        if not missing:
            return Health(message=f"{len(states)} nodes are active", values=dict(states))
        lost = FINALIZED in states.values() or (self._was_up and UNREACHABLE in states.values())
        return Health(Level.ERROR if lost else Level.WARN, ", ".join(missing), dict(states))


main = main_of(SupervisorNode, "supervisor")

if __name__ == "__main__":
    main()
