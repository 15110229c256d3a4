"""The graph that a recorded run is played into: for `dw replay`, the executable player, the launch file."""

from __future__ import annotations

import argparse
import math
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rclpy.utilities import remove_ros_args

from dw_core.data.replay import STARTS, Replay, open_replay
from dw_core.data.rigs import save_rig
from dw_core.errors import EXIT_BAD_INPUT, ConfigError, DwError
from dw_ros import graph, qos
from dw_ros.graph import GraphOptions, NodeSpec
from dw_ros.node import DwNode, run
from dw_ros.nodes.composed import make_nodes
from dw_ros.nodes.player import Played, PlayerNode
from dw_ros.ports import Bus


@dataclass(frozen=True)
class ReplayOptions:
    """What a user chooses. `namespace` and `rig`: empty for those of the recording; `rate` times the speed of
    the recording, 0: as fast as it goes, in lockstep; `record`: folder of a new bag; `markers`: for RViz."""

    bag: Path
    start: str = "auto"
    rate: float = 1.0
    namespace: str = ""
    rig: str = ""
    parameters: str = ""
    record: str = ""
    markers: bool = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a replay on a command line."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="folder of the bag, or one file of it")
    parser.add_argument(
        "--from",
        dest="start",
        choices=STARTS,
        default=STARTS[0],
        help="compute everything anew (images), or from fusion on (heatmaps); auto: images if there are any",
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=1.0,
        help="times the speed of the recording (%(default)s); 0: as fast as it goes, in lockstep, where "
        "nothing is dropped and every replay gives the same to the bit",
    )
    parser.add_argument("--namespace", default="", help="namespace of all topics (as recorded)")
    parser.add_argument("--rig", default="", help="rig file, or name of one in config/rigs (as recorded)")
    parser.add_argument(
        "--parameters", default="", metavar="FILE", help="ROS parameter file (config/interleaved.yaml)"
    )
    parser.add_argument("--record", default="", metavar="DIR", help="record the replay into a new folder")
    parser.add_argument(
        "--rviz-less", dest="markers", action="store_false", help="leave out the markers for RViz"
    )


def from_arguments(args: argparse.Namespace) -> ReplayOptions:
    """The options of a command line. Raises ConfigError for an impossible rate."""
    if not (math.isfinite(args.rate) and 0 <= args.rate <= 1000):
        raise ConfigError(f"--rate is {args.rate:g}, expected 0 (in lockstep) to 1000")
    names = ReplayOptions.__dataclass_fields__
    return ReplayOptions(**{name: getattr(args, name) for name in names})


def graph_options(options: ReplayOptions, replay: Replay, rig: Path) -> GraphOptions:
    """The options of the graph; `rig`: a file with the recorded one."""
    return GraphOptions(
        rig=options.rig or str(rig),
        source=graph.EXTERNAL,
        namespace=options.namespace or replay.namespace,
        parameters=options.parameters,
    )


def replay_graph(options: ReplayOptions, replay: Replay, rig: Path) -> tuple[NodeSpec, ...]:
    """The nodes from the inputs of the recording to the markers, and the player, last. Raises DwError."""
    chosen = graph_options(options, replay, rig)
    namespace = graph.namespace_of(chosen)
    left_out = {"supervisor", "trigger"}
    if replay.start == "heatmaps":
        left_out.add("heatmap")
    if not options.markers:
        left_out |= {"markers", "overlay"}
    nodes = [spec for spec in graph.interleaved_graph(chosen) if spec.executable not in left_out]
    nodes = [replace(spec, parameters={**spec.parameters, **_replayed(spec, replay)}) for spec in nodes]
    player = {
        "bag": str(options.bag),
        "start_from": replay.start,
        "rate": float(options.rate),
        "recorded": bool(options.record),
    }
    return (*nodes, graph.supervisor(nodes, namespace), NodeSpec("player", "player", namespace, player))


def _replayed(spec: NodeSpec, replay: Replay) -> dict[str, str | int]:
    """What is different in a replay: nothing that is judged is lost on the way to the recorder."""
    outputs = {"heatmap": "skeleton2d", "triangulation": "skeletons"}
    if spec.executable not in outputs:
        return {}
    publisher = f"qos_overrides.{spec.namespace}/{outputs[spec.executable]}.publisher"
    kept: dict[str, str | int] = {
        f"{publisher}.reliability": "reliable",
        f"{publisher}.depth": qos.REPLAYED.depth,
    }
    transport = {"transport": "raw" if replay.raw else "compressed"}
    return {**kept, **transport} if spec.executable == "heatmap" else kept


def play(options: ReplayOptions, ros: Sequence[str] = ()) -> tuple[int, Played | None]:
    """Play a bag into a graph of its own, in this process, until its end or SIGINT; the exit code, and what
    became of it. `ros`: further ROS arguments. Raises DwError."""
    replay = open_replay(options.bag, options.start)
    players: list[PlayerNode] = []
    with TemporaryDirectory(prefix="dw_replay_") as folder:
        rig = Path(folder) / "rig.yaml"
        save_rig(replay.rig, rig)
        specs = replay_graph(options, replay, rig)

        def make(bus: Bus) -> Sequence[DwNode]:
            nodes = make_nodes(specs, bus)
            player = nodes[-1]
            assert isinstance(player, PlayerNode)
            player.lead(nodes)
            players.append(player)
            return nodes

        parameters = str(graph.parameter_file(graph_options(options, replay, rig)))
        code = run(make, ["--ros-args", "--params-file", parameters, "-p", "use_sim_time:=true", *ros])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    (player,) = players or (None,)
    if player is not None and player.error is not None:
        raise player.error
    return code, player.played if player is not None else None


def main() -> None:
    """The executable `player`: the arguments of `dw replay`, but it waits for a recorder and starts none."""
    parser = argparse.ArgumentParser(prog="player")
    add_arguments(parser)
    ros = sys.argv[sys.argv.index("--ros-args") + 1 :] if "--ros-args" in sys.argv else []
    try:
        code, _ = play(from_arguments(parser.parse_args(remove_ros_args(sys.argv)[1:])), ros)
    except DwError as error:
        print(f"dw: {error}", file=sys.stderr)
        code = EXIT_BAD_INPUT
    sys.exit(code)
