"""`dw view`: a recorded or running rig in the rerun viewer."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from dw_core.errors import ConfigError

if TYPE_CHECKING:
    import rerun as rr

    from dw_core.geometry.camera import Rig
    from dw_core.viewing.sinks import Sinks

DEFAULT_NAMESPACE = "dw"
NEEDED = "dw view needs rerun: run `make view`, or `python3 -m pip install -r requirements/view.txt`"
PYTHON = (3, 11)  # rerun's wheels need it


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `dw view`."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("bag", nargs="?", type=Path, metavar="BAG", help="a recorded bag (needs no ROS)")
    source.add_argument("--live", action="store_true", help="a running graph (needs ROS)")
    parser.add_argument(
        "--rig", type=Path, metavar="FILE", help="rig file (default: the rig that the graph publishes)"
    )
    parser.add_argument(
        "--namespace", help=f"namespace of the topics (live: {DEFAULT_NAMESPACE}; a bag: the one in it)"
    )
    parser.add_argument("--web", action="store_true", help="serve a page for a browser, open no window")
    parser.add_argument(
        "--port", type=int, default=9090, help="port of the page, its data are at the next (%(default)s)"
    )
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="write a rerun file (.rrd); alone, no viewer opens"
    )
    parser.add_argument(
        "--memory", default="2GB", metavar="SIZE", help="the viewer then forgets the oldest (%(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Show a bag or a running graph until Ctrl-C. Raises DwError for bad input."""
    if importlib.util.find_spec("rerun") is None:
        old = sys.version_info[:2] < PYTHON
        raise ConfigError("dw view needs rerun, whose wheels need Python 3.11 or newer" if old else NEEDED)
    if not 0 < args.port < 65535:
        raise ConfigError(f"--port is {args.port}, expected 1 to 65534")
    # as in the nodes (see dw_ros/__init__.py): it is read when numpy is first imported
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    # so is this: a live file has no index at its end, and rerun would warn of that
    os.environ.setdefault("RUST_LOG", "warn,re_log_encoding=error")
    from dw_core.data.rigs import load_rig
    from dw_core.viewing.sinks import Sinks

    rig = None if args.rig is None else load_rig(args.rig)
    sinks = Sinks(args.web, args.port, args.save, args.memory)
    if args.live:
        # named, not imported: dw_core must not depend on dw_ros
        live = importlib.import_module("dw_ros.cli.view")
        live.show(sinks, rig, args.namespace or DEFAULT_NAMESPACE, _stopped())
        return 0
    stream = _show_bag(args, rig, sinks)
    if sinks.web:
        print(f"dw: the run is at {sinks.page}; Ctrl-C stops it", flush=True)
        _stopped().wait()
    stream.disconnect()
    return 0


def _show_bag(args: argparse.Namespace, rig: Rig | None, sinks: Sinks) -> rr.RecordingStream:
    """Fill the sinks with a bag; the stream, which serves them for as long as it lives."""
    from dw_core.data import messages
    from dw_core.data.bag_reader import Bag
    from dw_core.data.bag_topics import DEFINITION, RIG
    from dw_core.skeleton import joint_set
    from dw_core.viewing import feed
    from dw_core.viewing.recording import Recording
    from dw_core.viewing.sinks import hand_over, open_stream

    bag = Bag(args.bag)
    namespace = feed.namespace_of(bag, args.namespace)
    rig = rig or messages.rig(bag.first(f"{namespace}/{RIG}"))
    joints = joint_set(bag.first(f"{namespace}/{DEFINITION}").name)
    stream = open_stream(sinks, rig, live=False)
    count = feed.play(bag, namespace, rig, Recording(stream, rig, joints))
    hand_over(stream)
    if bag.warning:
        print(f"dw: warning: {bag.warning}", file=sys.stderr, flush=True)
    print(f"dw: {count} messages of {args.bag}" + (f" in {sinks.save}" if sinks.save else ""), flush=True)
    return stream


def _stopped() -> threading.Event:
    """An event that Ctrl-C and SIGTERM set."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
