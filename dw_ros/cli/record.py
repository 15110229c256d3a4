"""`dw record`: a bag of a graph that is running, as `ros2 bag record` makes it; Ctrl-C ends it."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from typing import Any, NoReturn

from dw_core.data.bag_writer import COMPRESSIONS, STORAGES
from dw_core.errors import ConfigError
from dw_ros.graph import GraphOptions, namespace_of
from dw_ros.nodes import recorder
from dw_ros.processes import Processes


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `dw record`."""
    parser.add_argument("bag", type=Path, metavar="DIR", help="folder to create for the bag")
    parser.add_argument("--namespace", default="dw", help="namespace of the graph (%(default)s)")
    parser.add_argument(
        "--topics",
        default="",
        metavar="REGEX",
        help="record topics that match, wherever they are (the namespace, and /diagnostics)",
    )
    parser.add_argument(
        "--leave-out",
        metavar="REGEX",
        help=f"do not record topics that match ({recorder.LEFT_OUT}: images, dense sets, markers)",
    )
    parser.add_argument(
        "--images", action="store_true", help="record the JPEG images too: a replay can start from them"
    )
    parser.add_argument("--storage", choices=STORAGES, default=STORAGES[0], help="format (%(default)s)")
    parser.add_argument(
        "--compression",
        choices=COMPRESSIONS,
        default=COMPRESSIONS[0],
        help="of chunks in MCAP, of every message in sqlite3 (%(default)s)",
    )
    parser.add_argument(
        "--split-mb", type=float, default=0.0, help="begin a new file when one has this many MB"
    )
    parser.add_argument(
        "--split-s", type=float, default=0.0, help="begin a new file when one holds this many seconds"
    )
    parser.add_argument("--use-sim-time", action="store_true", help="follow /clock")
    parser.add_argument("--duration-s", type=float, help="stop after this long (on Ctrl-C)")


def run(args: argparse.Namespace) -> int:
    """Record until Ctrl-C. Raises ConfigError for bad options."""
    namespace = namespace_of(GraphOptions(namespace=args.namespace))
    if args.bag.exists():
        raise ConfigError(f"{args.bag} exists already, expected a new folder for the bag")
    for option in ("split_mb", "split_s"):
        if not getattr(args, option) >= 0:
            raise ConfigError(
                f"--{option.replace('_', '-')} is {getattr(args, option):g}, expected 0 (never) or more"
            )
    if args.duration_s is not None and not args.duration_s > 0:
        raise ConfigError(f"--duration-s is {args.duration_s:g}, expected more than 0")
    signal.signal(signal.SIGTERM, _interrupt)
    with Processes() as processes:
        try:
            processes.start("recorder", recorder.command(args.bag, namespace, **parameters(args)))
            print(f"dw: recording {namespace} into {args.bag}; Ctrl-C ends it", flush=True)
            processes.wait(args.duration_s)
        except KeyboardInterrupt:
            pass
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return processes.stop()


def parameters(args: argparse.Namespace) -> dict[str, Any]:
    """The recorder's parameters for these options."""
    leave_out = args.leave_out
    if leave_out is None:
        leave_out = recorder.LEFT_OUT_BUT_IMAGES if args.images else recorder.LEFT_OUT
    return {
        "topics": args.topics,
        "leave_out": leave_out,
        "storage": args.storage,
        "compression": args.compression,
        "split_mb": args.split_mb,
        "split_s": args.split_s,
        "use_sim_time": args.use_sim_time,
    }


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
