"""`dw bench nodes`: what every node of the isolated graph costs as a process, and how soon it is ready.

The graph runs on the demo's footage, one process per node, in a domain of its own. A node is ready when it
begins to serve, by its own account in /diagnostics; when others first hear it is a matter of DDS, whose
discovery now and then takes two seconds more. Starting takes longer when all nodes do it at once on few
cores, so one node of every kind is also started alone. Linux only: /proc.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from dw_core.benchmarks.speed import machine
from dw_core.data import messages
from dw_core.errors import ConfigError
from dw_ros import graph, msg, qos
from dw_ros.processes import Processes

MEMORY_LIMIT_MB, HEATMAP_LIMIT_MB, START_LIMIT_S = 150.0, 350.0, 2.0
NAMESPACE = "bench"
READY_LIMIT_S = 60.0
POLL_S = 0.01


@dataclass(frozen=True)
class Usage:
    """What a process holds and has used: resident, its peak, and shared pages in proportion, MB; CPU s."""

    rss_mb: float
    peak_mb: float
    pss_mb: float
    cpu_s: float


def usage(pid: int) -> Usage:
    """Of a running process, from /proc."""
    status, rollup = _kilobytes(f"/proc/{pid}/status"), _kilobytes(f"/proc/{pid}/smaps_rollup")
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    cpu_s = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    rss, peak, pss = (1024e-6 * kb for kb in (status["VmRSS"], status["VmHWM"], rollup["Pss"]))
    return Usage(rss, peak, pss, cpu_s)


def _kilobytes(path: str) -> dict[str, int]:
    lines = (line.split() for line in Path(path).read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in lines if words[-1] == "kB"}


class Probe:
    """Listens from outside: which nodes speak, how soon each was ready, and how many skeletons came."""

    def __init__(self, context: Context) -> None:
        self._node = Node("bench_nodes", context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        self.skeletons = 0
        self.forget()
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._node.create_subscription(
            msg.Skeleton3DArray, f"/{NAMESPACE}/skeletons", self._on_skeletons, qos.RELIABLE
        )

    def _on_skeletons(self, message: msg.Skeleton3DArray) -> None:
        self.skeletons += bool(message.skeletons)

    def forget(self) -> None:
        """Begin anew with the nodes that start from now on."""
        self.start_up_s: dict[str, float] = {}
        self._since_ns = time.time_ns()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        if messages.time_ns(message.header.stamp) < self._since_ns:
            return  # of a node that has ended
        for status in message.status:
            values = {value.key: value.value for value in status.values}
            if "start_up_s" in values:
                self.start_up_s[status.name] = float(values["start_up_s"])

    def serve(self, until: Callable[[], bool]) -> None:
        """Listen until a condition holds."""
        while not until():
            self._executor.spin_once(timeout_sec=POLL_S)

    def close(self) -> None:
        self._executor.shutdown()
        self._node.destroy_node()


@contextmanager
def _probe() -> Iterator[Probe]:
    context = Context()
    rclpy.init(context=context)
    probe = Probe(context)
    try:
        yield probe
    finally:
        probe.close()
        rclpy.try_shutdown(context=context)


def _start(
    specs: tuple[graph.NodeSpec, ...], options: graph.GraphOptions, processes: Processes, probe: Probe
) -> dict[str, int]:
    """Start nodes and wait until all are ready; their process ids. Raises ConfigError when one ends
    before, or says nothing in a minute."""
    probe.forget()
    pids = {spec.full_name: processes.start(spec.full_name, graph.command(spec, options)) for spec in specs}
    deadline = time.monotonic() + READY_LIMIT_S

    def everybody() -> bool:
        missing = sorted(set(pids) - set(probe.start_up_s))
        if missing and (time.monotonic() > deadline or processes.wait(POLL_S)):
            raise ConfigError(f"{', '.join(missing)} did not start, expected a graph that `dw up` runs")
        return not missing

    probe.serve(everybody)
    return pids


def measure(duration_s: float, rate_hz: float | None, repeats: int) -> dict[str, Any]:
    """Run the whole graph, then one node of every kind alone, `repeats` times; all figures. Raises
    ConfigError for numbers out of range."""
    if not duration_s > 0 or repeats < 1:
        raise ConfigError(
            f"--duration-s is {duration_s:g} and --repeats {repeats}, expected more than 0 and at least 1"
        )
    # What is measured talks to nobody else, unless the user chose where it does.
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    options = graph.GraphOptions(namespace=NAMESPACE, rate_hz=rate_hz, composition="isolated")
    specs = graph.processes(options)
    with _probe() as probe:
        together = _together(specs, options, probe, duration_s)
        kinds = {spec.executable: spec for spec in specs}
        alone = {kind: _alone(spec, options, probe, repeats) for kind, spec in kinds.items()}
    return together | {"alone": alone, "ratios": ratios(together["nodes"], alone), "machine": machine()}


def _together(
    specs: tuple[graph.NodeSpec, ...], options: graph.GraphOptions, probe: Probe, duration_s: float
) -> dict[str, Any]:
    with Processes() as processes:
        pids = _start(specs, options, processes, probe)
        before = {name: usage(pid) for name, pid in pids.items()}
        counted, began = probe.skeletons, time.monotonic()
        probe.serve(lambda: time.monotonic() - began >= duration_s)
        after = {name: usage(pid) for name, pid in pids.items()}
        seconds, skeletons = time.monotonic() - began, probe.skeletons - counted
    nodes = {
        spec.full_name: {
            "kind": spec.executable,
            "rss_mb": after[spec.full_name].rss_mb,
            "peak_mb": after[spec.full_name].peak_mb,
            "pss_mb": after[spec.full_name].pss_mb,
            "cpu_fraction": (after[spec.full_name].cpu_s - before[spec.full_name].cpu_s) / seconds,
            "ready_s": probe.start_up_s[spec.full_name],
        }
        for spec in specs
    }
    return {"seconds": seconds, "skeletons_per_second": skeletons / seconds, "nodes": nodes}


def _alone(spec: graph.NodeSpec, options: graph.GraphOptions, probe: Probe, repeats: int) -> dict[str, float]:
    if spec.executable in graph.MANAGED:  # nobody else is there to bring it up
        spec = replace(spec, parameters={**spec.parameters, "autostart": True})
    seconds, resident = [], []
    for _ in range(repeats):
        with Processes() as processes:
            pids = _start((spec,), options, processes, probe)
            seconds.append(probe.start_up_s[spec.full_name])
            resident.append(usage(pids[spec.full_name]).rss_mb)
    return {"ready_s": median(seconds), "rss_mb": median(resident)}


def ratios(nodes: dict[str, Any], alone: dict[str, Any]) -> dict[str, float]:
    """The worst of each kind over its limit; 1 and below is within."""
    heatmap = [one["peak_mb"] for one in nodes.values() if one["kind"] == "heatmap"]
    others = [one["peak_mb"] for one in nodes.values() if one["kind"] != "heatmap"]
    return {
        f"peak memory of heatmap over {HEATMAP_LIMIT_MB:g} MB": max(heatmap) / HEATMAP_LIMIT_MB,
        f"peak memory of the others over {MEMORY_LIMIT_MB:g} MB": max(others) / MEMORY_LIMIT_MB,
        f"start alone over {START_LIMIT_S:g} s": max(one["ready_s"] for one in alone.values())
        / START_LIMIT_S,
        f"start of all at once over {START_LIMIT_S:g} s": max(one["ready_s"] for one in nodes.values())
        / START_LIMIT_S,
    }
