"""A monitor from named values, as they stand in config/separation_monitor.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array
from dw_core.safety.capsules import Capsules
from dw_core.safety.monitor import MonitorSettings, SeparationMonitor
from dw_core.safety.separation import SeparationLimits
from dw_core.skeleton import joint_set

FIXED, POSES = "fixed", "poses"
EXAMPLE = "config/separation_monitor.yaml"


def monitor_of(values: Mapping[str, Any]) -> SeparationMonitor:
    """The monitor of parameters by name. Raises ConfigError for one that is not set, or that cannot be."""
    robot = robot_of(values)
    return SeparationMonitor(
        joint_set(_set(values, "joint_set")),
        SeparationLimits(**{one.name: _set(values, one.name) for one in fields(SeparationLimits)}),
        MonitorSettings(**{one.name: _setting(values, one.name) for one in fields(MonitorSettings)}),
        robot if _set(values, "robot_source") == FIXED else None,
    )


def robot_of(values: Mapping[str, Any]) -> Capsules:
    """The robot's capsules of the parameters robot_names, robot_starts_m, robot_ends_m and robot_radii_m.
    Raises ConfigError."""
    names = tuple(_set(values, "robot_names"))
    starts, ends = (_points(values, name, len(names)) for name in ("robot_starts_m", "robot_ends_m"))
    radii = np.array(_set(values, "robot_radii_m"), dtype=np.float64)
    if len(radii) != len(names):
        raise ConfigError(
            f"robot_radii_m holds {len(radii)} number(s), expected {len(names)}, as robot_names"
        )
    return Capsules(names, starts, ends, radii)


def _points(values: Mapping[str, Any], name: str, count: int) -> Array:
    flat = np.array(_set(values, name), dtype=np.float64)
    if len(flat) != 3 * count:
        raise ConfigError(
            f"{name} holds {len(flat)} number(s), expected {3 * count}: x, y, z for each of robot_names"
        )
    return flat.reshape(-1, 3)


def _setting(values: Mapping[str, Any], name: str) -> Any:
    return tuple(values[name] or ()) if name == "optional_joints" else _set(values, name)


def _set(values: Mapping[str, Any], name: str) -> Any:
    value = values[name]
    if value is None or (name == "robot_names" and not len(value)):
        raise ConfigError(f"parameter '{name}' is not set, expected as in {EXAMPLE}, for your own robot")
    return value
