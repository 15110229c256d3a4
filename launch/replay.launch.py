"""ros2 launch dw_ros replay.launch.py bag:=my_run [rate:=0] [from:=heatmaps] [record:=...] [rviz:=true] ...

A recorded run into the graph, and when it is over what the replay was worth: against the truth of a rendered
rig, or against the recording. Reads the same description as `dw replay`: dw_ros/replay.py.
"""

import argparse
import tempfile
from pathlib import Path
from signal import SIGINT

from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.events import matches_action
from launch.events.process import ProcessExited, SignalProcess
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from dw_core.data.replay import Replay, open_replay
from dw_ros import graph
from dw_ros.replay import ReplayOptions, add_arguments, from_arguments
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

ARGUMENTS = {
    "bag": (None, "Folder of the bag, or one file of it."),
    "from": ("auto", "auto, images (compute everything anew) or heatmaps (from fusion on)."),
    "rate": (
        "1.0",
        "Times the speed of the recording; 0: in lockstep, nothing dropped, always the same.",
    ),
    "namespace": ("", "Namespace of all topics; empty: as recorded."),
    "rig": ("", "Rig file, or name of one in config/rigs; empty: as recorded."),
    "parameters": ("", "ROS parameter file; empty: config/interleaved.yaml."),
    "record": ("", "Record the replay into this new folder; empty: a temporary one."),
    "rviz_less": ("false", "Leave out the markers for RViz."),
    "rviz": ("false", "Start RViz on config/interleaved.rviz."),
    "log_level": ("info", "Log level of all nodes."),
}


def _launch(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    chosen = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    record = chosen["record"] or str(Path(tempfile.mkdtemp(prefix="dw_replay_")) / "replay")
    words = _command_line({**chosen, "record": record})
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = from_arguments(parser.parse_args(words))
    replay = open_replay(options.bag, options.start)
    recorder = Node(
        package="dw_ros",
        executable="recorder",
        name="recorder",
        namespace=options.namespace or replay.namespace,
        parameters=[{"bag": record, "use_sim_time": True}],
        output="screen",
    )
    player = Node(
        package="dw_ros",
        executable="player",
        arguments=[*words, "--ros-args", "--log-level", chosen["log_level"]],
        output="screen",
    )
    actions: list[LaunchDescriptionEntity] = [
        recorder,
        player,
        *_afterwards(player, recorder, options, replay),
    ]
    if chosen["rviz"] == "true":
        config = str(graph.share_file("config/interleaved.rviz"))
        actions.append(Node(package="rviz2", executable="rviz2", arguments=["-d", config]))
    return actions


def _command_line(chosen: dict[str, str]) -> list[str]:
    """The arguments of `dw replay` for these launch arguments."""
    words = [chosen["bag"], "--from", chosen["from"]]
    for name in ("rate", "namespace", "rig", "parameters", "record"):
        words += [f"--{name}", chosen[name]]
    return words + (["--rviz-less"] if chosen["rviz_less"] == "true" else [])


def _afterwards(
    player: Node, recorder: Node, options: ReplayOptions, replay: Replay
) -> list[LaunchDescriptionEntity]:
    """When the player is done the recorder ends, and when that is done the bag is judged."""
    judge = ["dw", "eval", "bag", options.record, "--quiet"]
    if "truth/skeletons" not in replay.inputs:
        judge += ["--reference", str(options.bag)]
    evaluation = ExecuteProcess(cmd=judge, output="screen", on_exit=Shutdown(reason="the replay is judged"))
    end = EmitEvent(event=SignalProcess(signal_number=SIGINT, process_matcher=matches_action(recorder)))

    def on_player(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        return [end] if event.returncode == 0 else [Shutdown(reason="the replay failed")]

    def on_recorder(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        return [evaluation] if event.returncode == 0 else [Shutdown(reason="the recorder failed")]

    return [
        RegisterEventHandler(OnProcessExit(target_action=player, on_exit=on_player)),
        RegisterEventHandler(OnProcessExit(target_action=recorder, on_exit=on_recorder)),
    ]


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_launch)])
