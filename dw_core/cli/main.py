"""The `dw` command: finds the subcommand, imports only that one, and turns bad input into one sentence."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from dw_core.errors import EXIT_BAD_INPUT, DwError

# Module and one line of help. Modules are named, not imported: dw_core must not depend on dw_ros, and
# `dw --help` must not wait for numpy or ROS. Each offers configure(parser) and run(args) -> exit code.
COMMANDS = {
    "doctor": ("dw_core.cli.doctor", "say what is there, what is missing, and the command that mends it"),
    "fetch": ("dw_core.cli.fetch", "download the demo footage and the network weights, with checksums"),
    "render": ("dw_core.cli.render", "render a scene: images of every camera, with the truth beside them"),
    "bench": ("dw_core.cli.bench", "measure what the stages cost, and how well motion is tracked"),
    "train": ("dw_core.cli.train", "train the Warper, or a peer of it, on motion capture"),
    "up": ("dw_ros.cli.up", "run the node graph until Ctrl-C, as ros2 launch does in a distribution"),
    "top": ("dw_ros.cli.top", "show how every node and view of a running graph is doing, live"),
    "view": ("dw_core.cli.view", "show a recorded or running rig in space, with its cameras and latency"),
    "record": ("dw_ros.cli.record", "record a bag of a graph that is running, as ros2 bag record does"),
    "replay": ("dw_ros.cli.replay", "run the graph on a recorded bag: at any rate, or in lockstep"),
    "eval": ("dw_core.cli.eval", "say what a recorded run was worth: accuracy, latency, rates, losses"),
    "demo": ("dw_ros.cli.demo", "run the graph on the footage and report rate, latency and accuracy"),
}
EPILOG = """examples:
  dw doctor                 is everything here?
  dw fetch                  get footage and weights once; everything else works off-line
  dw demo --out out/demo    20 seconds of a staggered four-camera rig, results in out/demo
  dw up --help              every option of one command
"""
ROS_MISSING = (
    "{command} needs ROS 2 and the built messages, but there is no Python module {module}; run `make build` "
    "and use .venv/bin/dw, or source the setup file of a workspace built with `colcon build`"
)
EXIT_INTERRUPTED = 130
EXIT_PIPE_CLOSED = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; exit code: its own, 2 for bad input, 130 for Ctrl-C, 141 for a closed pipe."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()  # here, where a closed pipe is still ours to handle
        return code
    except BrokenPipeError:  # the reader (head, less) has seen enough; keep Python's last flush quiet too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE_CLOSED
    except DwError as error:
        print(f"dw: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _dispatch(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="dw",
        description="Live 3D human skeletons from staggered cameras.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    for name, (_, summary) in COMMANDS.items():
        subparsers.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    if not arguments:
        parser.print_help()
        return 0
    command = arguments[0]
    if command not in COMMANDS:
        parser.parse_args(arguments)  # --help, or the list of the commands that there are
    module_name = COMMANDS[command][0]
    try:
        module = importlib.import_module(module_name)
        module.configure(subparsers.choices[command])
        code: int = module.run(parser.parse_args(arguments))
    except ModuleNotFoundError as error:
        if not _belongs_to_ros(error.name or ""):
            raise
        raise DwError(ROS_MISSING.format(command=command, module=error.name)) from error
    return code


def _belongs_to_ros(missing: str) -> bool:
    """Whether a missing module is ROS or the built messages, rather than a defect or an absent dependency."""
    package = missing.partition(".")[0]
    if package == "dw_ros":
        return missing in ("dw_ros", "dw_ros.msg")
    return package.startswith(("rclpy", "rosidl_", "ament_")) or package.endswith(("_msgs", "_interfaces"))


if __name__ == "__main__":
    sys.exit(main())
