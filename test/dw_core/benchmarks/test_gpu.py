"""`dw bench gpu`, short and small on the CPU, as a user runs it, and its report; times are nobody's test."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from dw_core.evaluation import gpu_report

STAGES = {"crop", "network", "spatial fusion", "Warper", "decode", "copy back", "tracker"}
Short = tuple[dict[str, Any], str]


def dw(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dw_core.cli.main", "bench", "gpu", "--quiet", *arguments]
    env = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    return subprocess.run(command, capture_output=True, text=True, timeout=110, env=env | environment)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Short:
    """The JSON and the text of a run of three poses of each kind on small images."""
    path = tmp_path_factory.mktemp("bench") / "new folder" / "gpu.json"
    done = dw("--device", "cpu", "--size", "64", "--ticks", "3", "--json", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(path.read_text()), done.stdout


def test_json_says_what_ran_and_where(short: Short) -> None:
    result = short[0]
    assert (result["device"], result["cuda"]) == ("CPU", False)
    assert result["command"] == "dw bench gpu --device cpu --size 64 --ticks 3 --warper fast,paper,none"
    assert "ResNet-152, 68.636 M parameters" in result["network"] and "random, seed 0" in result["weights"]
    assert (result["views"], result["channels"], result["joints"]) == (4, 20, 17)
    assert (result["size"], result["cells"], result["ticks"]) == (64, 16, 3)
    assert result["versions"]["torch"] == torch.__version__


def test_every_stage_was_timed_on_a_person_who_was_followed(short: Short) -> None:
    result = short[0]
    assert list(result["interleaved"]) == ["fast", "paper", "none"]
    for run in (*result["interleaved"].values(), result["synchronous"]):
        assert run["tracked_fraction"] == 1.0 and run["peak_memory_mb"] > 50
        assert 0 < run["total"]["median_ms"] <= run["total"]["p95_ms"]
        assert all(0 < times["median_ms"] <= times["p95_ms"] for times in run["stages"].values())
    assert all(set(run["stages"]) > STAGES for run in result["interleaved"].values())
    assert {"network", "decode", "triangulation"} < set(result["synchronous"]["stages"])


def test_the_run_times_agree_on_the_same_maps(short: Short) -> None:
    """Cells are 25 px to 30 px here, and numpy's fusion goes in steps of 1/32 of one. Where that turns which
    of two cells is the highest, the disk around it, 5 cells in all, jumps by a cell at most."""
    parity = short[0]["parity"]
    assert parity["network_bfloat16"] < 0.02
    for name, found in parity["joints"].items():
        assert found["float32_numpy_px"]["joints"] > 200
        for distances in (found["float32_numpy_px"], found["bfloat16_float32_px"]):
            assert distances["median"] < 0.1 and distances["p95"] < 0.5 and distances["max"] < 25
        assert (found["bfloat16_float32_px"]["max"] > 0) == (name == "paper")


def test_the_text_shows_every_run_and_stage(short: Short) -> None:
    result, text = short
    assert "(these are no figures of a GPU)" in text and result["weights"] in text
    for name, run in result["interleaved"].items():
        assert f"{run['total']['median_ms']:.2f} ms" in text and gpu_report.NAMES[name] in text
        for stage, times in run["stages"].items():
            assert re.search(rf"^{re.escape(stage)} .*{times['median_ms']:.3f}", text, flags=re.MULTILINE)


def test_the_report_is_made_by_one_command(short: Short, tmp_path: Path) -> None:
    source, target = tmp_path / "gpu.json", tmp_path / "gpu.md"
    source.write_text(json.dumps(short[0]))
    command = [sys.executable, "-m", "dw_core.evaluation.gpu_report", str(source), str(target)]
    subprocess.run(command, check=True, timeout=60)
    page = target.read_text()
    assert page == gpu_report.document(short[0])
    assert "44.51 ms" in page and short[0]["command"] in page
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"\|", row)) for row in rows} == {7, 6, 4}


def test_what_is_asked_for_is_judged_by_the_medians_on_a_gpu_alone(short: Short) -> None:
    result = copy.deepcopy(short[0])
    result["interleaved"]["fast"]["total"]["median_ms"] = 4.999
    result["interleaved"]["paper"]["total"]["median_ms"] = 15.0
    page = gpu_report.document(result)
    assert page.count("under 5 ms: not judged") == 1 and page.count("under 15 ms: not judged") == 1
    result |= {"cuda": True, "size": 384}
    page = gpu_report.document(result)
    assert page.count("under 5 ms: met") == 1 and page.count("under 15 ms: missed") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--device", "cpu", "--size", "100"),
            "the image size is 100, expected a multiple of 32 from 64 to 1024",
        ),
        (("--device", "cpu", "--size", "32"), "the image size is 32"),
        (("--device", "cpu", "--ticks", "0"), "the number of ticks is 0, expected 1 or more"),
        (("--device", "cpu", "--warper", "slow"), "the Warpers are slow, expected some of fast, paper, none"),
        (("--device", "cpu", "--json", "/"), "--json: / cannot be written"),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    done = dw(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("dw: ") and sentence in done.stderr and len(done.stderr.splitlines()) == 1


def test_without_a_gpu_it_says_what_to_do() -> None:
    done = dw(CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert done.stderr == (
        "dw: there is no CUDA device here, run it on a machine with a GPU or say --device cpu\n"
    )


def test_without_torch_it_says_what_to_install() -> None:
    script = "import sys; sys.modules['torch'] = None; from dw_core.cli.main import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", script, "bench", "gpu"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "needs torch: run `.venv/bin/pip install -r requirements/train.txt`" in done.stderr
