"""`dw top`: /diagnostics as a live table."""

from __future__ import annotations

import argparse
import shutil
import sys
import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from dw_core.diagnostics.levels import Level
from dw_core.diagnostics.table import Status, table
from dw_core.errors import ConfigError, DwError

PERIOD_S = 1.0
# Every process reports once a second: when nobody new has for so long, everybody has.
ROUND_S = 1.5
POLL_S = 0.1
CLEAR, HOME = "\x1b[2J", "\x1b[H\x1b[J"
EPILOG = """Each line is a node, or a view (NODE: VIEW): its level, what it says, and some of its values. What
all values mean, and when a level changes: docs/diagnostics.md. ROS_DOMAIN_ID and
ROS_AUTOMATIC_DISCOVERY_RANGE must be those of the graph.

examples:
  dw top                       live, Ctrl-C ends it
  dw top --once                one table, for scripts
  dw top --namespace lab/dw    of one graph of several
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--once", action="store_true", help="print one table and end")
    parser.add_argument("--namespace", default="", help="only nodes below this one (all)")
    parser.add_argument(
        "--wait-s", type=float, default=5.0, help="give up when nothing is heard for so long (%(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    if not args.wait_s > 0:
        raise ConfigError(f"--wait-s is {args.wait_s:g}, expected more than 0")
    context = Context()
    rclpy.init(context=context)
    listener = Listener(context, args.namespace)
    try:
        listener.wait(args.wait_s)
        listener.settle(args.wait_s)
        if args.once:
            print(table(listener.statuses()))
            return 0
        return _live(listener)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    finally:
        listener.close()
        rclpy.try_shutdown(context=context)


def _live(listener: Listener) -> int:
    colour = sys.stdout.isatty()
    print(CLEAR if colour else "", end="")
    while True:
        width = shutil.get_terminal_size().columns if colour else 0
        print(HOME if colour else "", table(listener.statuses(), width, colour), sep="", flush=True)
        listener.serve(PERIOD_S)


class Listener:
    """The newest status of every node below a namespace."""

    def __init__(self, context: Context, namespace: str) -> None:
        self._prefix = "/" + namespace.strip("/")
        self._heard: dict[str, tuple[float, Status]] = {}
        self._node = Node("dw_top", context=context)
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.hardware_id and (status.name + "/").startswith(self._prefix.rstrip("/") + "/"):
                level = Level(min(status.level[0], Level.ERROR))
                values = {value.key: value.value for value in status.values}
                self._heard[status.name] = (
                    time.monotonic(),
                    Status(status.name, level, status.message, values),
                )

    def serve(self, seconds: float) -> None:
        """Listen for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._executor.spin_once(timeout_sec=POLL_S)

    def wait(self, limit_s: float) -> None:
        """Until the first status. Raises DwError when none comes in time."""
        deadline = time.monotonic() + limit_s
        while not self._heard:
            if time.monotonic() > deadline:
                where = "" if self._prefix == "/" else f" below {self._prefix}"
                raise DwError(
                    f"nobody{where} has published /diagnostics for {limit_s:g} s, expected a graph that runs "
                    "(`dw up`) with the same ROS_DOMAIN_ID"
                )
            self._executor.spin_once(timeout_sec=POLL_S)

    def settle(self, limit_s: float) -> None:
        """Until nobody new has reported for a round, or for `limit_s` at most."""
        since = time.monotonic()
        deadline, known = since + max(limit_s, ROUND_S), len(self._heard)
        while time.monotonic() < min(deadline, since + ROUND_S):
            self._executor.spin_once(timeout_sec=POLL_S)
            if len(self._heard) > known:
                since, known = time.monotonic(), len(self._heard)

    def statuses(self) -> list[Status]:
        """The newest ones, with their age."""
        now_s = time.monotonic()
        return [
            Status(one.name, one.level, one.message, one.values, now_s - heard_s)
            for heard_s, one in self._heard.values()
        ]

    def close(self) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
