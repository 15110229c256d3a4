"""What nodes hold as processes is within its limits. Start-up is reported, not asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dw_ros.cli.bench_nodes import HEATMAP_LIMIT_MB, MEMORY_LIMIT_MB, ratios, usage

ROOT = Path(__file__).parents[2]
KINDS = {
    "trigger": 1,
    "camera": 4,
    "heatmap": 4,
    "spatial_fusion": 1,
    "temporal_fusion": 1,
    "triangulation": 1,
    "markers": 1,
    "supervisor": 1,
    "overlay": 1,
}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dw_core.cli.main", "bench", "nodes", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The whole graph for a few seconds, slow enough for two cores, and every kind once alone."""
    file = tmp_path_factory.mktemp("bench") / "nodes.json"
    ran = bench("--duration-s", "6", "--rate-hz", "2.5", "--repeats", "1", "--json", str(file))
    assert ran.returncode == 0, ran.stderr
    assert "skeletons per second" in ran.stdout and "/bench/cam01/heatmap" in ran.stdout
    return dict(json.loads(file.read_text()))


def test_no_node_holds_more_than_its_limit_while_people_are_followed(result: dict[str, Any]) -> None:
    assert result["skeletons_per_second"] > 0, "figures of a graph that does nothing are worth nothing"
    kinds = [node["kind"] for node in result["nodes"].values()]
    assert {kind: kinds.count(kind) for kind in kinds} == KINDS
    for name, node in result["nodes"].items():
        limit = HEATMAP_LIMIT_MB if node["kind"] == "heatmap" else MEMORY_LIMIT_MB
        assert 10 < node["rss_mb"] <= node["peak_mb"] < limit, name
        assert node["pss_mb"] < node["rss_mb"]


def test_start_up_is_reported_for_all_at_once_and_for_each_kind_alone(result: dict[str, Any]) -> None:
    assert set(result["alone"]) == set(KINDS)
    for node in (*result["nodes"].values(), *result["alone"].values()):
        assert node["ready_s"] > 0.01
    assert len(result["ratios"]) == 4


def test_usage_sees_what_a_process_takes() -> None:
    """In a process of its own: this one has memory to spare, and would take no more."""
    hold = "import sys; block = bytearray(64_000_000); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = usage(process.pid)
        process.communicate()
    assert 64 < found.rss_mb < 90
    assert found.peak_mb >= found.rss_mb >= found.pss_mb > 0 and found.cpu_s >= 0


def test_ratios_are_of_the_worst() -> None:
    nodes = {
        "a": {"kind": "camera", "peak_mb": 75.0, "ready_s": 3.0},
        "b": {"kind": "camera", "peak_mb": 300.0, "ready_s": 1.0},
        "c": {"kind": "heatmap", "peak_mb": 175.0, "ready_s": 1.0},
    }
    found = ratios(nodes, {"camera": {"ready_s": 0.5}, "heatmap": {"ready_s": 1.0}})
    assert list(found.values()) == [0.5, 2.0, 0.5, 1.5]


def test_senseless_options_are_refused(sentence: Callable[[str], str]) -> None:
    ran = bench("--repeats", "0")
    assert ran.returncode == 2 and "--repeats 0, expected" in sentence(ran.stderr)
