"""`dw bench nodes`: what every node costs as a process of its own."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from dw_core.cli.bench_output import add_json, refuse_early, write_json

SUMMARY = "memory, CPU and start-up of every node as a process of its own (needs ROS)"


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `dw bench nodes`."""
    add_json(parser)
    parser.add_argument(
        "--duration-s", type=float, default=20.0, help="how long the graph runs (default %(default)s)"
    )
    parser.add_argument("--rate-hz", type=float, help="frames per second of each camera (parameter file: 15)")
    parser.add_argument(
        "--repeats", type=int, default=3, help="starts of each node alone, median (default %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, write the JSON. Raises DwError."""
    refuse_early(args)
    # named, not imported: dw_core must not depend on dw_ros
    nodes = importlib.import_module("dw_ros.cli.bench_nodes")
    command = f"dw bench nodes --duration-s {args.duration_s:g} --repeats {args.repeats}"
    command += "" if args.rate_hz is None else f" --rate-hz {args.rate_hz:g}"
    measured = nodes.measure(args.duration_s, args.rate_hz, args.repeats)
    result: dict[str, Any] = {"command": command} | measured
    print(table(result))
    write_json(args, result)
    return 0


def table(result: dict[str, Any]) -> str:
    """The figures of `dw bench nodes` for a terminal."""
    lines = [f"{'all nodes at once':32}{'RSS':>9}{'peak':>9}{'PSS':>9}{'CPU':>8}{'ready':>9}"]
    for name, node in result["nodes"].items():
        memory = "".join(f"{node[key]:6.0f} MB" for key in ("rss_mb", "peak_mb", "pss_mb"))
        lines.append(f"  {name:30}{memory}{100 * node['cpu_fraction']:6.0f} %{node['ready_s']:7.2f} s")
    lines.append(f"  {result['skeletons_per_second']:.1f} skeletons per second in {result['seconds']:.0f} s")
    lines += ["", f"{'each kind alone':32}{'RSS':>9}{'ready':>35}"]
    for kind, node in result["alone"].items():
        lines.append(f"  {kind:30}{node['rss_mb']:6.0f} MB{node['ready_s']:33.2f} s")
    lines += ["", *(f"  {name:45}{ratio:6.2f}" for name, ratio in result["ratios"].items())]
    return "\n".join(lines)
