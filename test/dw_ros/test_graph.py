"""The graph description: complete, the same for every reader, its parameter file full of real names."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
import yaml

from dw_core.errors import AssetError, ConfigError
from dw_ros import graph
from dw_ros.graph import GraphOptions
from dw_ros.managed import ManagedNode
from dw_ros.node import DwNode, transport_profile

ROOT = Path(__file__).resolve().parents[2]
VIEWS = ("cam01", "cam02", "cam03", "cam04")


def node_class(executable: str) -> type[DwNode]:
    module = importlib.import_module(f"dw_ros.nodes.{executable}")
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, DwNode) and value.__module__ == module.__name__
    )
    return found


def test_one_node_per_task_and_one_camera_and_heatmap_node_per_view() -> None:
    nodes = graph.interleaved_graph(GraphOptions(namespace="lab"))
    per_rig = {
        "trigger", "supervisor", "spatial_fusion", "temporal_fusion", "triangulation", "markers", "overlay",
    }  # fmt: skip
    assert {node.executable for node in nodes if node.namespace == "/lab"} == per_rig
    for view in VIEWS:
        assert {node.executable for node in nodes if node.namespace == f"/lab/{view}"} == {
            "camera",
            "heatmap",
        }
    assert len(nodes) == len(per_rig) + 2 * len(VIEWS)
    assert nodes[-1].executable == "trigger", "nobody fires before everybody listens"


def test_the_supervisor_gets_the_managed_nodes_from_the_end_of_the_line_to_its_beginning() -> None:
    nodes = graph.interleaved_graph(GraphOptions(namespace="lab"))
    (supervisor,) = (node for node in nodes if node.executable == "supervisor")
    names = supervisor.parameters["nodes"]
    assert names[:3] == ["/lab/triangulation", "/lab/temporal_fusion", "/lab/spatial_fusion"]
    assert names[3:] == [f"/lab/{view}/{node}" for node in ("heatmap", "camera") for view in VIEWS]
    managed = {n.full_name for n in nodes if issubclass(node_class(n.executable), ManagedNode)}
    assert set(names) == managed


def test_external_cameras_take_the_place_of_ours() -> None:
    nodes = graph.interleaved_graph(GraphOptions(source="external"))
    assert "camera" not in {node.executable for node in nodes}


def test_the_rate_goes_to_the_trigger() -> None:
    trigger = graph.interleaved_graph(GraphOptions(rate_hz=7.5))[-1]
    assert trigger.parameters["rate_hz"] == 7.5
    assert "rate_hz" not in graph.interleaved_graph(GraphOptions())[-1].parameters


def test_composed_is_one_process_with_the_same_options() -> None:
    options = GraphOptions(namespace="lab", rate_hz=7.5, source="external")
    (process,) = graph.processes(options)
    assert process.executable == "composed"
    import argparse

    parser = argparse.ArgumentParser()
    graph.add_arguments(parser)
    assert graph.from_arguments(parser.parse_args(process.arguments), "composed") == options


def test_every_parameter_of_the_file_exists_and_is_the_default() -> None:
    sections = yaml.safe_load((ROOT / "config/interleaved.yaml").read_text())
    seen = set()
    for pattern, section in sections.items():
        executable = pattern.removeprefix("/**/")
        known = {parameter.name: parameter for parameter in node_class(executable).PARAMETERS}
        for name, value in section["ros__parameters"].items():
            assert name in known, f"{pattern}: {name}"
            assert value == known[name].default, f"{pattern}: {name} differs from the node's default"
        seen.add(executable)
    nodes = {node.executable for node in graph.interleaved_graph(GraphOptions())}
    assert seen == nodes - {"camera", "supervisor"}


def test_every_graph_parameter_is_declared_by_its_node() -> None:
    for spec in graph.interleaved_graph(GraphOptions(rate_hz=5.0)):
        assert set(spec.parameters) <= {
            parameter.name for parameter in node_class(spec.executable).PARAMETERS
        }


def test_only_our_own_cameras_in_other_processes_hear_of_a_shot_ahead_of_it() -> None:
    def lead(options: GraphOptions) -> object:
        (trigger,) = (one for one in graph.interleaved_graph(options) if one.executable == "trigger")
        return trigger.parameters.get("lead_ms")

    assert lead(GraphOptions(composition="isolated")) == graph.ISOLATED_LEAD_MS
    assert lead(GraphOptions()) is None
    external = GraphOptions(source="external", rig="balance_beam", composition="isolated")
    assert lead(external) is None


def test_the_launch_file_offers_what_dw_up_offers() -> None:
    tree = ast.parse((ROOT / "launch/interleaved.launch.py").read_text())
    (table,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "ARGUMENTS"
    )
    assert isinstance(table, ast.Dict)
    names = {ast.literal_eval(key) for key in table.keys if key is not None}
    assert names == {*GraphOptions.__dataclass_fields__, "use_sim_time", "log_level", "rviz", "record"}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    keywords = {
        k.arg: ast.unparse(k.value)
        for call in calls
        for k in call.keywords
        if ast.unparse(call.func) == "Node"
    }
    assert keywords["respawn"] == "True" and "respawn_delay" in keywords, "who dies is started again"
    ends = [ast.unparse(k.value) for call in calls for k in call.keywords if k.arg == "on_exit"]
    assert "partial(_on_exit, Restarts())" in ends, "each process is counted for itself"
    assert "generate_launch_description" in {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (GraphOptions(rig="nowhere"), ConfigError, "rig 'nowhere' is neither a file nor one of config/rigs"),
        (GraphOptions(source="/no/such/folder"), ConfigError, "source '/no/such/folder' is not a folder"),
    ],
)
def test_what_is_not_there_is_named(options: GraphOptions, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        graph.interleaved_graph(options)


def test_missing_footage_says_what_fetches_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DW_CACHE", str(tmp_path))
    with pytest.raises(AssetError, match="dw fetch"):
        graph.interleaved_graph(GraphOptions())


def test_a_missing_parameter_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml does not exist"):
        graph.parameter_file(GraphOptions(parameters="nothing.yaml"))


def test_fast_dds_reads_the_projects_profile_unless_the_user_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"}
    for name in names:
        monkeypatch.delenv(name, raising=False)
    profile = transport_profile()
    assert set(profile) == names
    assert "segment_size" in Path(profile["FASTDDS_DEFAULT_PROFILES_FILE"]).read_text()
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", "mine.xml")
    assert transport_profile() == {}
