"""ros2 launch dw_ros interleaved.launch.py [rig:=...] [source:=...] [composition:=isolated] [rviz:=true] ...

Reads the same description of the graph as `dw up`: dw_ros/graph.py.
"""

import time
from functools import partial

from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from dw_core.errors import EXIT_BAD_INPUT
from dw_ros import graph
from dw_ros.processes import RESTART_DELAY_S, Restarts
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

ARGUMENTS = {
    "rig": ("", "Rig file, or name of one in config/rigs; empty: the source's own, or the footage's."),
    "source": (
        graph.FOOTAGE,
        "'footage', 'rendered', 'external', or a folder with one video or folder of images per view.",
    ),
    "namespace": ("dw", "Namespace of all topics."),
    "rate_hz": ("", "Frames per second of each camera; empty: from the parameter file."),
    "parameters": ("", "ROS parameter file; empty: config/interleaved.yaml."),
    "composition": ("composed", "composed (one process) or isolated (one process per node)."),
    "hri": ("false", "true: publish the topics of ROS4HRI too (REP-155; needs hri_msgs)."),
    "use_sim_time": ("false", "Follow /clock."),
    "log_level": ("info", "Log level of all nodes."),
    "rviz": ("false", "Start RViz on config/interleaved.rviz."),
    "record": ("", "Record a bag into this new folder; empty: do not."),
}


def _launch(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    chosen = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    options = graph.GraphOptions(
        rig=chosen["rig"],
        source=chosen["source"],
        namespace=chosen["namespace"],
        rate_hz=float(chosen["rate_hz"]) if chosen["rate_hz"] else None,
        parameters=chosen["parameters"],
        composition=graph.composition(chosen["composition"]),
        hri=chosen["hri"] == "true",
    )
    sim_time = {"use_sim_time": chosen["use_sim_time"] == "true"}
    actions: list[LaunchDescriptionEntity] = [
        _node(spec, options, sim_time, chosen) for spec in graph.processes(options)
    ]
    if chosen["rviz"] == "true":
        config = str(graph.share_file("config/interleaved.rviz"))
        actions.append(
            Node(package="rviz2", executable="rviz2", arguments=["-d", config], on_exit=Shutdown())
        )
    if chosen["record"]:
        # overlays are drawn for whoever subscribes
        command = ["ros2", "bag", "record", "-a", "--exclude-regex", ".*/overlay(/compressed)?"]
        command += ["-s", "mcap", "-o", chosen["record"]]
        actions.append(ExecuteProcess(cmd=command, output="screen"))
    return actions


def _node(
    spec: graph.NodeSpec, options: graph.GraphOptions, sim_time: dict[str, bool], chosen: dict[str, str]
) -> Node:
    # The composed process names its nodes itself; a name given here would rename all of them.
    own = {} if spec.executable == "composed" else {"name": spec.name, "namespace": spec.namespace}
    return Node(
        package="dw_ros",
        executable=spec.executable,
        arguments=[*spec.arguments, "--ros-args", "--log-level", chosen["log_level"]],
        parameters=[str(graph.parameter_file(options)), {**spec.parameters, **sim_time}],
        output="screen",
        respawn=True,
        respawn_delay=RESTART_DELAY_S,
        on_exit=partial(_on_exit, Restarts()),
        **own,
    )


def _on_exit(restarts: Restarts, event: ProcessExited, context: LaunchContext) -> Shutdown | None:
    """Who dies is started again, but not for ever; who refuses its input, or a supervisor who was told so,
    ends the graph."""
    if event.returncode == EXIT_BAD_INPUT:
        return Shutdown(reason=f"{event.process_name} refused its input")
    if not restarts.allow(time.monotonic()):
        return Shutdown(reason=f"{event.process_name} ended{restarts.complaint()}")
    return None


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_launch)])
