"""Nodes with a life cycle: what can go wrong at start-up goes wrong in `configure`, and can be tried again.

unconfigured -> (configure: rig, network, footage are read) -> inactive -> (activate) -> active; back by
deactivate and cleanup. Ports are there all the time, so everybody is connected before somebody speaks; only
an active node lets values in. Those that find it closed are counted as `refused`.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Any

from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import ChangeState
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.lifecycle.managed_entity import ManagedEntity

from dw_core.diagnostics.levels import Level
from dw_core.errors import EXIT_BAD_INPUT, DwError
from dw_core.supervision import ACTIVE, FINALIZED, INACTIVE
from dw_ros.node import DwNode, Health
from dw_ros.parameters import Parameter
from dw_ros.ports import Bus

EXIT_DEFECT = 1
AUTOSTART = Parameter(
    "autostart", False, "Become active by itself; otherwise a supervisor, or `ros2 lifecycle`, has to say so."
)


class ManagedNode(LifecycleNodeMixin, DwNode):
    """A DwNode with a life cycle and the services of one.

    Subclasses make their ports in `__init__` and override `configure` and `cleanup`, and `activate` for what
    is said once whenever the node becomes active.
    """

    @classmethod
    def parameters(cls) -> tuple[Parameter, ...]:
        return (*super().parameters(), AUTOSTART)

    def __init__(self, name: str, bus: Bus | None = None, **node_options: Any) -> None:
        # The mixin calls nobody's __init__ and wants a finished node, so it is passed over and comes after.
        super(ManagedEntity, self).__init__(name, bus, **node_options)
        LifecycleNodeMixin.__init__(self)
        # An order that the node's state does not allow would end its process.
        self._carry_out = self._service_change_state.callback
        self._service_change_state.callback = self._on_order
        self.gate.is_open = False
        self.refusal: DwError | None = None  # why the last `configure` failed
        self.bus.managed[self.get_fully_qualified_name()] = self

    @property
    def state(self) -> str:
        """Where in its life the node is: unconfigured, inactive, active or finalized."""
        label: str = self._state_machine.current_state[1]
        return label

    @property
    def configured(self) -> bool:
        return self.state in (INACTIVE, ACTIVE)

    def _on_order(self, request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
        try:
            return self._carry_out(request, response)
        except rclpy_implementation.RCLError:
            self.get_logger().warning(
                f"transition {request.transition.id} is none of a node that is {self.state}"
            )
            response.success = False
            return response

    def configure(self) -> None:
        """Read what the node needs. Raises DwError for input that cannot be used."""

    def activate(self) -> None:
        """Called when the node becomes active, before values are let in."""

    def cleanup(self) -> None:
        """Let go of what `configure` read."""

    def bring_up(self) -> bool:
        """Configure and activate; False when the configuration was refused (see `refusal`)."""
        success = TransitionCallbackReturn.SUCCESS
        return bool(self.trigger_configure() == success and self.trigger_activate() == success)

    def start(self) -> None:
        if self.value("autostart") and not self.bring_up():
            self.exit_code = EXIT_BAD_INPUT if self.refusal else EXIT_DEFECT

    def close(self) -> None:
        if self.state != FINALIZED:
            self.trigger_shutdown()

    def _make(self, transition: Callable[[], None]) -> TransitionCallbackReturn:
        """What became of a transition; rclpy would swallow what it raises."""
        try:
            transition()
        except DwError as error:
            self.refusal = error
            print(f"dw: {error}", file=sys.stderr, flush=True)
            return TransitionCallbackReturn.FAILURE
        except Exception:
            self.get_logger().error(traceback.format_exc())
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.refusal = None
        return self._make(self.configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = self._make(self.activate)
        if result == TransitionCallbackReturn.SUCCESS:
            self.gate.set(True)
            self.begun()
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.gate.set(False)
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._make(self.cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.gate.set(False)
        if state.state_id == State.PRIMARY_STATE_UNCONFIGURED:
            return TransitionCallbackReturn.SUCCESS
        return self._make(self.cleanup)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """A defect: only a new process helps, and whoever started this one starts another."""
        self.gate.set(False)
        self.exit_code = EXIT_DEFECT
        return TransitionCallbackReturn.FAILURE

    def report(self) -> dict[str, Health]:
        if self.state == ACTIVE:
            report = super().report()
        else:
            refusal = f": {self.refusal}" if self.refusal else ""
            level = Level.ERROR if self.state == FINALIZED else Level.WARN
            report = {"": Health(level, f"{self.state}{refusal}")}
        report[""].values["lifecycle_state"] = self.state
        return report
