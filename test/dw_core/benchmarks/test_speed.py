"""`dw bench speed` in short, as a user runs it; what the figures are on this machine is nobody's test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dw_core.benchmarks import speed
from dw_core.geometry.camera import project

# Figures are written with six digits; a quotient of two of them is off by three times half of the last.
WRITTEN = 1.5e-5
RATIOS = {
    "after_network_over_movenet_m4",
    "window_to_skeleton_over_movenet_m4",
    "p95_over_median_m4",
    "plain_over_pencil_m4",
    "cost_m16_over_m4",
}


def bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dw_core.cli.main", "bench", "speed", "--quiet", *arguments]
    env = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    return subprocess.run(command, capture_output=True, text=True, timeout=100, env=env | environment)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The JSON and the table of a run of two ticks."""
    path = tmp_path_factory.mktemp("bench") / "new folder" / "speed.json"
    done = bench("--views", "4,2", "--ticks", "2", "--json", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(path.read_text()), done.stdout


def test_json_says_what_ran_and_where(short: tuple[dict[str, Any], str]) -> None:
    result = short[0]
    assert result["schema_version"] == 1
    assert result["command"] == "dw bench speed --views 4,2 --ticks 2 --threads 1"
    assert (result["joints"], result["cells"], result["ticks"]) == (17, 64, 2)
    assert result["network"].startswith("movenet-thunder") and "1 thread" in result["network"]
    assert "random weights" in result["temporal"]
    assert set(result["versions"]) == {"python", "numpy", "opencv", "onnxruntime"}
    assert result["machine"]["blas_threads"] == "1" and result["machine"]["cores"] >= 1
    assert result["peak_memory_mb"] > 50
    batch = result["batch_triangulation"]
    assert (batch["frames"], batch["joints"], batch["views"]) == (10_000, 17, 4) and batch["median_s"] > 0


def test_every_stage_was_timed_on_a_person_who_was_followed(short: tuple[dict[str, Any], str]) -> None:
    views = short[0]["views"]
    assert list(views) == ["2", "4"]
    for entry in views.values():
        stages = entry["stages"]
        assert entry["tracked_fraction"] == 1.0
        assert {speed.PASS, "crop and network", *speed.AFTER_NETWORK, speed.TOTAL} < set(stages)
        assert {"spatial all_views", "spatial sampled_view, every crop new"} < set(stages)
        for stage in stages.values():
            assert 0 < stage["median_ms"] <= stage["p95_ms"] and stage["per_second"] > 0
            expected = stage["median_ms"] / stages[speed.PASS]["median_ms"]
            assert stage["over_network_pass"] == pytest.approx(expected, rel=WRITTEN)
        # two ticks: the medians are means, and means add up
        parts = sum(stages[name]["median_ms"] for name in speed.AFTER_NETWORK)
        assert stages[speed.TOTAL]["median_ms"] == pytest.approx(parts, rel=WRITTEN)


def test_ratios_are_the_quotients_of_the_figures_beside_them(short: tuple[dict[str, Any], str]) -> None:
    result = short[0]
    ratios, four = result["ratios"], result["views"]["4"]["stages"]
    total = four[speed.TOTAL]
    expected = {
        "after_network_over_movenet_m4": total["median_ms"] / four[speed.PASS]["median_ms"],
        "p95_over_median_m4": total["p95_ms"] / total["median_ms"],
        "plain_over_pencil_m4": result["pencil"]["plain"]["median_ms"]
        / result["pencil"]["pencil"]["median_ms"],
    }
    for name, times in result["other_networks"].items():
        expected[f"after_network_m4_over {name}"] = total["median_ms"] / times["median_ms"]
    assert len(result["other_networks"]) == 3
    assert {name: ratios[name] for name in expected} == pytest.approx(expected, rel=WRITTEN)
    assert set(ratios) == RATIOS | set(expected)
    assert ratios["cost_m16_over_m4"] is None, "16 views did not run"


def test_the_table_shows_the_same_ratios(short: tuple[dict[str, Any], str]) -> None:
    result, text = short
    tail = text.splitlines()[-len(result["ratios"]) :]
    for line, (name, ratio) in zip(tail, result["ratios"].items(), strict=True):
        assert line.startswith(f"  {name} ")
        assert line.endswith("  not run" if ratio is None else f"  {ratio:.3f}")
    assert f"temporal stage: {result['temporal']}" in text


def test_cost_of_more_views() -> None:
    def rig(total_ms: float) -> dict[str, Any]:
        stage = {"median_ms": total_ms, "p95_ms": 2 * total_ms}
        return {"stages": dict.fromkeys((speed.TOTAL, speed.PIPELINE_TOTAL, speed.PASS), stage)}

    result = {
        "views": {"4": rig(2.0), "16": rig(6.0)},
        "other_networks": {"slow": {"median_ms": 8.0}},
        "pencil": {"plain": {"median_ms": 50.0}, "pencil": {"median_ms": 2.0}},
    }
    assert speed.ratios(result) == {
        "after_network_over_movenet_m4": 1.0,
        "window_to_skeleton_over_movenet_m4": 1.0,
        "p95_over_median_m4": 2.0,
        "plain_over_pencil_m4": 25.0,
        "cost_m16_over_m4": 3.0,
        "after_network_m4_over slow": 0.25,
    }


def test_figures_of_known_times() -> None:
    found = speed.figures(range(1, 102))
    assert found == pytest.approx({"median_ms": 51.0, "p95_ms": 96.0, "per_second": 1000 / 51})


@pytest.mark.parametrize("views", speed.VIEWS)
def test_every_camera_sees_the_whole_walker_all_the_time(views: int) -> None:
    joints = np.stack([speed.walker(seconds) for seconds in np.arange(0, 20, 0.1)])
    for camera in speed.ring(views):
        pixels = project(camera, joints)
        assert np.isfinite(pixels).all()
        assert (pixels > 0).all() and (pixels < (camera.width, camera.height)).all()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--views", "1,4"), "numbers of views are [1, 4], expected each 2 to 16"),
        (("--views", "four"), "--views is 'four', expected numbers"),
        (("--ticks", "0"), "the number of ticks is 0, expected 1 or more"),
        (("--threads", "0"), "0 threads, expected 1 to 64"),
        (("--json", "/"), "--json: / cannot be written"),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[str, str], sentence: str) -> None:
    done = bench(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("dw: ") and sentence in done.stderr and len(done.stderr.splitlines()) == 1


def test_without_weights_it_says_how_to_get_them(tmp_path: Path) -> None:
    done = bench("--views", "2", "--ticks", "1", DW_CACHE=str(tmp_path))
    assert done.returncode == 2 and "run `dw fetch`" in done.stderr
