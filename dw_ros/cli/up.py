"""`dw up`: the interleaved graph without ros2 launch; Ctrl-C stops it."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from typing import NoReturn

from dw_core.errors import ConfigError
from dw_ros import graph
from dw_ros.nodes import recorder
from dw_ros.processes import Processes


def configure(parser: argparse.ArgumentParser) -> None:
    graph.add_arguments(parser)
    parser.add_argument(
        "--composition",
        choices=graph.COMPOSITIONS,
        default="composed",
        help="one process that hands arrays over in Python (composed, default), "
        "or one process per node (isolated)",
    )
    parser.add_argument(
        "--record", metavar="DIR", help="record a bag of the graph's topics into a new folder"
    )
    parser.add_argument("--duration-s", type=float, help="stop after this long (default: on Ctrl-C)")


def run(args: argparse.Namespace) -> int:
    options = graph.from_arguments(args, args.composition)
    if args.record and Path(args.record).exists():
        raise ConfigError(f"--record {args.record} exists already, expected a new folder")
    if args.duration_s is not None and not args.duration_s > 0:
        raise ConfigError(f"--duration-s is {args.duration_s:g}, expected more than 0")
    specs = graph.processes(options)
    signal.signal(signal.SIGTERM, _interrupt)
    with Processes() as processes:
        try:
            if args.record:
                processes.start("recorder", recorder.command(Path(args.record), options.namespace))
            for spec in specs:
                processes.start(spec.full_name, graph.command(spec, options), restart=True)
            print(f"dw: {description(options, len(specs))}; Ctrl-C stops it", flush=True)
            processes.wait(args.duration_s)
        except KeyboardInterrupt:
            pass
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return processes.stop()


def description(options: graph.GraphOptions, processes: int) -> str:
    """What runs, in words."""
    where = "one process" if processes == 1 else f"{processes} processes"
    return (
        f"rig {graph.rig_of(options)}, source {options.source}, "
        f"topics below /{options.namespace.strip('/')}, {where}"
    )


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
