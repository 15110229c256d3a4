"""Parameters with text, range and type; names that no node knows are refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from dw_core.errors import ConfigError

RIG_TEXT = "Rig: a file, or the name of one in config/rigs."
# Declared by rclpy itself, or by the QoS overrides of every topic.
_FOREIGN = ("use_sim_time", "start_type_description_service", "qos_overrides.")


@dataclass(frozen=True)
class Parameter:
    """One parameter. Its default gives the type; a parameter that may stay unset has `kind` instead.

    `live`: may change while the node runs. `low`, `high`: inclusive range of a number.
    `choices`: the allowed values of a string.
    """

    name: str
    default: Any  # None: unset
    text: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False
    kind: RosParameter.Type | None = None

    def descriptor(self) -> ParameterDescriptor:
        text = self.text + (f" One of: {', '.join(self.choices)}." if self.choices else "")
        when = "Live: takes effect at once." if self.live else "Read-only: set when the node starts."
        descriptor = ParameterDescriptor(
            name=self.name, description=text, read_only=not self.live, additional_constraints=when
        )
        if self.low is None or self.high is None:
            return descriptor
        if isinstance(self.default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=self.low, to_value=self.high)]
        else:
            descriptor.integer_range = [IntegerRange(from_value=int(self.low), to_value=int(self.high))]
        return descriptor

    def expectation(self) -> str:
        """What a value must be, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        kind = (
            (self.kind or RosParameter.Type.from_parameter_value(self.default)).name.lower().replace("_", " ")
        )
        return kind if self.low is None else f"{kind} from {self.low:g} to {self.high:g}"

    def problem(self, value: Any) -> str | None:
        """What is wrong with a value, or None."""
        if self.choices and value not in self.choices:
            return f"is '{value}', expected {self.expectation()}"
        if isinstance(value, float) and not math.isfinite(value):
            return f"is {value}, expected {self.expectation()}"
        return None


def declare(node: Node, parameters: tuple[Parameter, ...]) -> None:
    """Declare all parameters of a node. Raises ConfigError for an unknown name or an impossible value."""
    known = {parameter.name for parameter in parameters}
    # rclpy has no public door to the overrides that nobody declared.
    for name in node._parameter_overrides:
        if name not in known and not name.startswith(_FOREIGN):
            raise ConfigError(
                f"node {node.get_fully_qualified_name()} has no parameter '{name}'; "
                f"it has {', '.join(sorted(known))}"
            )
    for parameter in parameters:
        value = _declare_one(node, parameter)
        problem = parameter.problem(value)
        if problem:
            raise ConfigError(
                f"node {node.get_fully_qualified_name()}: parameter '{parameter.name}' {problem}"
            )


def _declare_one(node: Node, parameter: Parameter) -> Any:
    override = node._parameter_overrides.get(parameter.name)
    if override is not None and isinstance(parameter.default, float) and isinstance(override.value, int):
        # `rate_hz: 15` in YAML is an integer; everybody means 15.0.
        node._parameter_overrides[parameter.name] = RosParameter(parameter.name, value=float(override.value))
    default = parameter.kind if parameter.default is None else parameter.default
    try:
        return node.declare_parameter(parameter.name, default, parameter.descriptor()).value
    except (InvalidParameterTypeException, InvalidParameterValueException):
        got = node._parameter_overrides[parameter.name].value
        raise ConfigError(
            f"node {node.get_fully_qualified_name()}: parameter '{parameter.name}' is {got!r}, "
            f"expected {parameter.expectation()}"
        ) from None
