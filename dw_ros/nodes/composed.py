"""composed: the whole graph in one process, arrays handed over in Python.

Topics are published for whoever subscribes, as in the isolated form; nobody pays for the others.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from rclpy.parameter import Parameter as RosParameter
from rclpy.utilities import remove_ros_args

from dw_ros import graph
from dw_ros.node import DwNode, run
from dw_ros.ports import Bus


def make_node(spec: graph.NodeSpec, bus: Bus) -> DwNode:
    """The node of a specification, on a bus."""
    module = importlib.import_module(f"dw_ros.nodes.{spec.executable}")
    (node_class,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, DwNode) and value.__module__ == module.__name__
    )
    overrides = [RosParameter(name, value=value) for name, value in spec.parameters.items()]
    node: DwNode = node_class(spec.name, bus=bus, namespace=spec.namespace, parameter_overrides=overrides)
    return node


def make_nodes(specs: Sequence[graph.NodeSpec], bus: Bus) -> Sequence[DwNode]:
    return [make_node(spec, bus) for spec in specs]


def _from_command_line(bus: Bus) -> Sequence[DwNode]:
    parser = argparse.ArgumentParser(prog="composed", description=__doc__)
    graph.add_arguments(parser)
    args = parser.parse_args(remove_ros_args(sys.argv)[1:])
    return make_nodes(graph.interleaved_graph(graph.from_arguments(args, "composed")), bus)


def main() -> None:
    sys.exit(run(_from_command_line))


if __name__ == "__main__":
    main()
