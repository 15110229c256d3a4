"""`dw replay`: the graph on a recorded run, and a bag of what it makes of it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from dw_core.data.replay import open_replay
from dw_core.errors import ConfigError
from dw_ros import graph
from dw_ros.nodes import recorder
from dw_ros.processes import Processes
from dw_ros.replay import ReplayOptions, add_arguments, from_arguments, play


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `dw replay`."""
    add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Play a bag to its end, or until Ctrl-C. Raises DwError for bad input."""
    # As in `dw demo`: a user who wants the rest of the network to hear it says so.
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    options = from_arguments(args)
    if options.record and Path(options.record).exists():
        raise ConfigError(f"--record {options.record} exists already, expected a new folder")
    replay = open_replay(options.bag, options.start)
    namespace = graph.namespace_of(graph.GraphOptions(namespace=options.namespace or replay.namespace))
    how = f"at {options.rate:g} times its speed" if options.rate else "in lockstep"
    print(f"dw: plays {options.bag} from {replay.start} {how}, topics below {namespace}", flush=True)
    with Processes() as processes:
        if options.record:
            processes.start("recorder", recorder.command(Path(options.record), namespace, use_sim_time=True))
        code = _play(options)
        return code or (processes.stop() if options.record else 0)


def _play(options: ReplayOptions) -> int:
    """Play, and say what became of it; the exit code."""
    code, played = play(options)
    if played is not None:
        print(
            f"dw: played {played.frames} frames of {played.span_s:.1f} s in {played.took_s:.1f} s, "
            f"{played.dropped} values dropped",
            flush=True,
        )
        if played.warning:
            print(f"dw: warning: {played.warning}", flush=True)
    return code
