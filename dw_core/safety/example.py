"""A person who walks to a robot and away from it again, and what the monitor makes of that.

python -m dw_core.safety.example config/separation_monitor.yaml docs/images/separation.png

draws it. The person is the built-in walk on a straight way; while walking away the skeletons fail for a
moment.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dw_core.errors import ConfigError, DwError
from dw_core.geometry.camera import Array
from dw_core.safety.monitor import SeparationMonitor, Verdict
from dw_core.safety.parameters import monitor_of
from dw_core.safety.separation import Situation, protective_distance
from dw_core.skeleton import H36M17
from dw_core.synthetic.walk import RADIUS_M, SPEED_M_S, walk
from dw_core.types import NS, Skeleton3D, TrackingState

START_M, TURN_AT_S, TURN_S, SECONDS = 4.8, 3.0, 1.5, 8.0
RATE_HZ, LATENCY_NS, STD_M = 60.0, 25_000_000, 0.012
SILENT_S = (6.2, 6.6)
VIEWS = ("cam01", "cam02", "cam03", "cam04")


def approach(rate_hz: float = RATE_HZ) -> Array:
    """Joints (T, J, 3) of H36M17: from START_M on the x axis towards the origin, a turn, and away."""
    times = np.arange(round(SECONDS * rate_hz)) / rate_hz
    joints = walk().at(times)
    turned = SPEED_M_S / RADIUS_M * times  # the walk goes in a circle: take that away
    centre = RADIUS_M * np.stack((np.cos(turned), np.sin(turned), 0 * turned), -1)
    place = np.clip((times - TURN_AT_S) / TURN_S, 0, 1)
    heading = np.pi + np.pi * place**2 * (3 - 2 * place)
    steps = SPEED_M_S / rate_hz * np.stack((np.cos(heading), np.sin(heading), 0 * heading), -1)
    way = np.array([START_M, 0.0, 0.0]) + np.cumsum(steps, 0) - steps
    own = joints - centre[:, None]
    # the circle's walker heads for +y at time 0
    rotated = np.einsum("tij,tkj->tki", _about_z(heading - np.pi / 2 - turned), own)
    return np.asarray(rotated + way[:, None])


def skeletons(joints: Array, rate_hz: float = RATE_HZ, start_ns: int = 0) -> Iterator[Skeleton3D]:
    """Joints (T, J, 3) of H36M17 as the tracker would give them, from `start_ns` on."""
    velocities = np.gradient(joints, 1 / rate_hz, axis=0)
    J = len(H36M17)
    ages = tuple(round(k * NS / rate_hz) for k in range(len(VIEWS)))
    for k, (at, velocity) in enumerate(zip(joints, velocities, strict=True)):
        yield Skeleton3D(
            stamp_ns=start_ns + round(k * NS / rate_hz),
            identity=1,
            state=TrackingState.TRACKED,
            joint_set=H36M17.name,
            positions=at,
            velocities=velocity,
            covariance=np.tile(STD_M**2 * np.eye(3), (J, 1, 1)),
            confidence=np.full(J, 0.9),
            views=VIEWS,
            view_ages_ns=ages,
        )


def load_parameters(path: Path) -> dict[str, Any]:
    """The parameters of a file such as config/separation_monitor.yaml. Raises ConfigError."""
    try:
        (section,) = yaml.safe_load(path.read_text()).values()
        values = dict(section["ros__parameters"])
    except (OSError, ValueError, AttributeError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} is no parameter file of one node: {error!r}") from None
    return {"optional_joints": None, **values}


def run(monitor: SeparationMonitor) -> tuple[Array, list[Verdict]]:
    """Times (T,) in s and the verdicts at them: of every array of the walk and, in its silence, of as many
    looks at the clock."""
    times, verdicts = [], []
    for skeleton in skeletons(approach(), start_ns=NS):
        now = skeleton.stamp_ns + LATENCY_NS
        seconds = skeleton.stamp_ns / NS - 1
        if SILENT_S[0] <= seconds < SILENT_S[1]:
            verdict = monitor.judge(now, now)
        else:
            verdict = monitor.see(skeleton.stamp_ns, [skeleton], now, now)
        times.append(seconds)
        verdicts.append(verdict)
    return np.array(times), verdicts


def draw(monitor: SeparationMonitor, path: Path) -> None:
    """Distance, what is needed, speed scale and stop over time."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    times, verdicts = run(monitor)
    limits = monitor.limits
    near = [one.separation for one in verdicts]
    distance = [np.nan if one is None else one.limb_distance_m for one in near]
    at_rest, at_speed = (
        [np.nan if one is None else _needed(monitor, one.human_speed_m_s, one.terms.z_d, v) for one in near]
        for v in (0.0, limits.robot_speed_m_s)
    )
    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 5.4), sharex=True, height_ratios=(3, 2))
    above.plot(times, distance, color="black", label="distance of the limb that decides")
    above.plot(times, at_speed, color="tab:orange", label="$S_p$ at full speed")
    above.plot(times, at_rest, color="tab:red", label="$S_p$ of a robot that stands: nearer is a stop")
    above.set(ylabel="m", ylim=(0, None))
    below.plot(times, [one.scale for one in verdicts], color="tab:blue", label="speed scale")
    below.set(xlabel="s", ylabel="speed scale", ylim=(-0.05, 1.1))
    stopped = np.array([one.stop for one in verdicts])
    for axes in (above, below):
        axes.axvspan(*SILENT_S, color="0.8", label="no skeletons")
        axes.fill_between(
            times, 0, 1, where=list(stopped), transform=axes.get_xaxis_transform(),
            color="tab:red", alpha=0.12, label="protective stop",
        )  # fmt: skip
        axes.grid(alpha=0.3)
    above.legend(fontsize=8, loc="upper center", framealpha=0.9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _needed(monitor: SeparationMonitor, human_speed: float, z_d: Any, robot_speed: float) -> float:
    now = Situation(human_speed, z_d, LATENCY_NS / NS)
    return float(protective_distance(monitor.limits, now, robot_speed).total)


def _about_z(angles: Array) -> Array:
    """Rotations (T, 3, 3) about z by angles (T,)."""
    c, s, zero, one = np.cos(angles), np.sin(angles), 0 * angles, 0 * angles + 1
    return np.moveaxis(np.array([[c, -s, zero], [s, c, zero], [zero, zero, one]]), 2, 0)


def main(arguments: list[str]) -> None:
    """The two files on the command line."""
    parameters, picture = map(Path, arguments)
    # the walk's joints are those of H36M17
    draw(monitor_of({**load_parameters(parameters), "joint_set": H36M17.name}), picture)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except DwError as problem:
        sys.exit(f"dw: {problem}")
