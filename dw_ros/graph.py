"""The one description of the node graph. Launch files, `dw up` and the composed process all read it."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dw_core.data import assets
from dw_core.data.rigs import load_rig
from dw_core.errors import ConfigError
from dw_core.synthetic.truth import has_truth
from dw_ros import distro

Composition = Literal["composed", "isolated"]
COMPOSITIONS: tuple[Composition, ...] = ("composed", "isolated")
FOOTAGE, RENDERED, EXTERNAL = "footage", "rendered", "external"
SCENE = "config/scenes/walk.yaml"
# Between processes a trigger's event takes about a millisecond, now and then three.
ISOLATED_LEAD_MS = 3.0
DEFAULT_RIG, OWN_RIG = "balance_beam", "rig.yaml"
# Nodes with a life cycle, which the supervisor brings up.
MANAGED = ("triangulation", "temporal_fusion", "spatial_fusion", "heatmap", "camera")


@dataclass(frozen=True)
class GraphOptions:
    """What a user chooses; everything else is in the parameter file.

    `rig`: a file, or the name of one in config/rigs; none: the source's own rig.yaml, or that of the
    footage. `source`: "footage"; "rendered": config/scenes/walk.yaml, rendered once; a folder with one video
    or folder of images per view; or "external": somebody else publishes the images.
    `hri`: the topics of ROS4HRI beside ours.
    """

    rig: str = ""
    source: str = FOOTAGE
    namespace: str = "dw"
    rate_hz: float | None = None
    parameters: str = ""
    composition: Composition = "composed"
    hri: bool = False


@dataclass(frozen=True)
class NodeSpec:
    """One node: module in dw_ros.nodes (and name under lib/dw_ros), name, namespace, parameters.

    `arguments` are command line arguments of the executable's own.
    """

    executable: str
    name: str
    namespace: str
    parameters: dict[str, Any] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        return f"{self.namespace.rstrip('/')}/{self.name}"


def composition(name: str) -> Composition:
    """A composition by name. Raises ConfigError for another."""
    for known in COMPOSITIONS:
        if name == known:
            return known
    raise ConfigError(f"composition '{name}' is unknown, expected one of {', '.join(COMPOSITIONS)}")


def namespace_of(options: GraphOptions) -> str:
    """The namespace with one slash before it. Raises ConfigError for what ROS does not take as one."""
    namespace = "/" + options.namespace.strip("/")
    if not re.fullmatch(r"(/[A-Za-z_][A-Za-z0-9_]*)+", namespace):
        raise ConfigError(
            f"namespace '{options.namespace}' is none, "
            "expected letters, digits and underscores such as dw or lab/dw"
        )
    return namespace


def share_file(name: str) -> Path:
    """A file of the package, such as config/interleaved.rviz."""
    return distro.share_directory() / name


def rig_file(rig: str) -> Path:
    """A rig by file name, or by its name in config/rigs. Raises ConfigError when there is none."""
    named = share_file(f"config/rigs/{rig}.yaml")
    for path in (Path(rig), named):
        if path.is_file():
            return path.resolve()
    known = ", ".join(sorted(path.stem for path in named.parent.glob("*.yaml")))
    raise ConfigError(f"rig '{rig}' is neither a file nor one of config/rigs ({known})")


def rig_of(options: GraphOptions) -> Path:
    """The rig in force: the one that is named, else the source's own, else that of the footage. Raises
    ConfigError when it is not there."""
    if not options.rig and options.source not in (FOOTAGE, EXTERNAL):
        own = source_folder(options.source) / OWN_RIG
        if own.is_file():
            return own
    return rig_file(options.rig or DEFAULT_RIG)


def parameter_file(options: GraphOptions) -> Path:
    """The parameter file in force. Raises ConfigError when it does not exist."""
    default = share_file("config/interleaved.yaml")
    path = Path(options.parameters) if options.parameters else default
    if not path.is_file():
        raise ConfigError(
            f"parameter file {path} does not exist, expected a ROS 2 parameter file such as {default}"
        )
    return path.resolve()


def source_folder(source: str) -> Path:
    """Folder of the footage. Raises AssetError or ConfigError when it is not there."""
    if source == FOOTAGE:
        return assets.footage()
    if source == RENDERED:
        return rendered_folder()
    path = Path(source)
    if not path.is_dir():
        raise ConfigError(
            f"source '{source}' is not a folder, expected '{FOOTAGE}', '{RENDERED}', '{EXTERNAL}', "
            "or a folder with one video or folder of images per view"
        )
    return path.resolve()


def rendered_folder() -> Path:
    """The footage of the shipped scene, in the cache; rendered when it is not there, which takes minutes."""
    from dw_core.synthetic.record import record
    from dw_core.synthetic.scene import load_scene, scene_hash

    scene = load_scene(share_file(SCENE))
    folder = assets.cache_folder() / "rendered" / scene_hash(scene)[:16]
    record(scene, folder, processes=os.cpu_count() or 1)
    return folder


def interleaved_graph(options: GraphOptions) -> tuple[NodeSpec, ...]:
    """The nodes from trigger to markers. Raises DwError for a rig or source that cannot be."""
    rig = rig_of(options)
    views = load_rig(rig).names
    shared = {"rig": str(rig)}
    namespace = namespace_of(options)
    trigger = shared if options.rate_hz is None else {**shared, "rate_hz": float(options.rate_hz)}
    if options.composition == "isolated" and options.source != EXTERNAL:
        # our cameras expose at the stamp, whenever they hear of it; others may expose when they hear of it
        trigger = {**trigger, "lead_ms": ISOLATED_LEAD_MS}
    nodes = [
        *([NodeSpec("hri", "hri", namespace, shared)] if options.hri else []),
        NodeSpec("markers", "markers", namespace, shared),
        NodeSpec("overlay", "overlay", namespace, shared),
        NodeSpec("triangulation", "triangulation", namespace, shared),
        NodeSpec("temporal_fusion", "temporal_fusion", namespace),
        NodeSpec("spatial_fusion", "spatial_fusion", namespace, shared),
        *(NodeSpec("heatmap", "heatmap", f"{namespace}/{view}", shared) for view in views),
    ]
    if options.source != EXTERNAL:
        camera = {**shared, "source": str(source_folder(options.source))}
        nodes += [NodeSpec("camera", "camera", f"{namespace}/{view}", camera) for view in views]
        if has_truth(Path(camera["source"])):
            nodes.append(NodeSpec("truth", "truth", namespace, {"source": camera["source"]}))
    # From the end of the line to its beginning: nobody speaks before somebody listens.
    return (*nodes, supervisor(nodes, namespace), NodeSpec("trigger", "trigger", namespace, trigger))


def supervisor(nodes: Sequence[NodeSpec], namespace: str) -> NodeSpec:
    """The node that brings those with a life cycle up, in their order."""
    managed = [node.full_name for node in nodes if node.executable in MANAGED]
    return NodeSpec("supervisor", "supervisor", namespace, {"nodes": managed})


def processes(options: GraphOptions) -> tuple[NodeSpec, ...]:
    """What to start: every node (isolated), or the one process that holds them all (composed)."""
    graph = interleaved_graph(options)
    if options.composition == "isolated":
        return graph
    return (NodeSpec("composed", "composed", "/", {}, to_arguments(options)),)


def command(spec: NodeSpec, options: GraphOptions) -> list[str]:
    """The command line that runs a node as a process of its own, without `ros2`."""
    ros = ["--params-file", str(parameter_file(options))]
    if spec.executable != "composed":
        ros += ["-r", f"__node:={spec.name}", "-r", f"__ns:={spec.namespace}"]
    for name, value in spec.parameters.items():
        # JSON is YAML, which is what rcl parses here.
        ros += ["-p", f"{name}:={json.dumps(value)}"]
    module = f"dw_ros.nodes.{spec.executable}"
    return [sys.executable, "-m", module, *spec.arguments, "--ros-args", *ros]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a graph on a command line."""
    default = GraphOptions()
    parser.add_argument(
        "--rig",
        default=default.rig,
        help=f"rig file, or name of one in config/rigs (the source's own rig.yaml, or {DEFAULT_RIG})",
    )
    parser.add_argument(
        "--source",
        default=default.source,
        help="'footage' (default), 'rendered' (a rendered person, with the truth; made once, in minutes), "
        "'external' (another driver publishes the images), "
        "or a folder with one video or folder of images per view, named as in the rig",
    )
    parser.add_argument(
        "--namespace", default=default.namespace, help="namespace of all topics (%(default)s)"
    )
    parser.add_argument("--rate-hz", type=float, help="frames per second of each camera (parameter file: 15)")
    parser.add_argument(
        "--parameters", default="", metavar="FILE", help="ROS parameter file (config/interleaved.yaml)"
    )
    parser.add_argument(
        "--hri", action="store_true", help="publish the topics of ROS4HRI too (REP-155; needs hri_msgs)"
    )


def from_arguments(args: argparse.Namespace, composition: Composition) -> GraphOptions:
    return GraphOptions(
        args.rig, args.source, args.namespace, args.rate_hz, args.parameters, composition, args.hri
    )


def to_arguments(options: GraphOptions) -> tuple[str, ...]:
    """The inverse of `from_arguments`."""
    arguments: Sequence[str] = (
        "--rig",
        options.rig,
        "--source",
        options.source,
        "--namespace",
        options.namespace,
    )
    if options.rate_hz is not None:
        arguments = (*arguments, "--rate-hz", repr(options.rate_hz))
    if options.parameters:
        arguments = (*arguments, "--parameters", options.parameters)
    if options.hri:
        arguments = (*arguments, "--hri")
    return tuple(arguments)
