"""`dw bench nodes`: what every node costs as a process of its own."""

from __future__ import annotations

import argparse
import importlib

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
    result = nodes.measure(args.duration_s, args.rate_hz, args.repeats)
    print(nodes.table(result))
    write_json(args, result)
    return 0
