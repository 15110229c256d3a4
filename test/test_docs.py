"""Documents: their figures are those of the results, and what they link to is there."""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import re
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dw_core.cli.main import COMMANDS
from dw_core.data import messages
from dw_core.data.splits import load_splits
from dw_core.detector import report as detector_report
from dw_core.errors import ConfigError
from dw_core.evaluation import (
    demo_report,
    footage_report,
    motion_report,
    refiner_report,
    rendered_report,
    speed_report,
    warper_report,
)
from dw_core.evaluation.balance_beam_report import document
from dw_core.evaluation.documents import asked, block, fill, outside_of_blocks, table

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FOOTAGE = ROOT / "docs/footage.md"
FOOTAGE_BLOCKS = document(json.loads((ROOT / "docs/results/balance_beam.json").read_text()))

WARPER_BLOCKS = warper_report.blocks(ROOT / "docs/results")
DETECTOR_BLOCKS = detector_report.blocks(json.loads((ROOT / "docs/results/detector.json").read_text()))


@pytest.mark.parametrize("name", FOOTAGE_BLOCKS)
def test_figures_of_the_footage_are_those_of_the_results(name: str) -> None:
    assert block(FOOTAGE, name) == FOOTAGE_BLOCKS[name]


def test_nobody_typed_a_figure_about_the_footage_by_hand() -> None:
    """Whatever has a digit stands in a block, in code or in a camera's name."""
    prose = outside_of_blocks(FOOTAGE.read_text())
    prose = re.sub(r"(?s)```.*?```|`[^`\n]*`|\]\([^)]*\)|\bcam0\d\b", "", prose)
    assert "principal points" in prose
    assert [line for line in prose.splitlines() if re.search(r"\d", line)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_to_files(path: Path) -> None:
    text = re.sub(r"(?s)```.*?```", "", path.read_text())
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if ":" not in link]
    assert [link for link in links if link and not (path.parent / link).exists()] == []


def test_readme_is_among_the_documents_and_links() -> None:
    assert ROOT / "README.md" in DOCUMENTS and FOOTAGE in DOCUMENTS
    assert "](docs/footage.md)" in (ROOT / "README.md").read_text()


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(
        "# Title\n\n<!-- one: made -->\n<!-- end of one -->\n\nbetween\n\n"
        "<!-- two: made -->\nold\n<!-- end of two -->\n"
    )
    return path


def test_a_filled_block_reads_back_and_nothing_else_changes(page: Path) -> None:
    before = page.read_text()
    made = table(("rig", r"p90 \d"), [("a", r"1.5 \1"), ("b", "-")])
    fill(page, "one", made)
    assert block(page, "one") == made and block(page, "two") == "old"
    assert outside_of_blocks(page.read_text()) == outside_of_blocks(before)
    once = page.read_text()
    fill(page, "one", made)
    assert page.read_text() == once
    assert outside_of_blocks(once).split() == ["#", "Title", "between"]


def test_a_block_that_is_not_there_once_is_named(page: Path) -> None:
    with pytest.raises(ConfigError, match="page.md has 0 blocks 'three', expected one"):
        block(page, "three")
    page.write_text(page.read_text() * 2)
    with pytest.raises(ConfigError, match="page.md has 2 blocks 'one'"):
        fill(page, "one", "text")


def test_a_table_has_its_columns() -> None:
    assert table(("rig", "px"), [("a", "1.0")]) == "| rig | px |\n| --- | --: |\n| a | 1.0 |"


def test_what_was_asked_is_met_or_said_not_to_be() -> None:
    text = asked({"a": 0.65, "b": 0.45}, {"a": 0.65, "b": 0.4514})
    assert text == "a at most 0.65, found 0.650: met; b at most 0.45, found 0.451: not met"


def test_the_readme_shows_what_the_demo_printed() -> None:
    summary = json.loads((ROOT / "docs/results/demo.json").read_text())
    assert block(ROOT / "README.md", demo_report.BLOCK) == demo_report.block_text(summary)


@pytest.mark.parametrize("name", ["speed", "nodes"])
def test_the_results_show_what_the_benchmark_measured(name: str) -> None:
    result = json.loads((ROOT / f"docs/results/{name}.json").read_text())
    assert block(ROOT / "docs/results.md", name) == speed_report.block_text(name, result)


MOTION = motion_report.load_results(ROOT / "docs/results")
MOTION_BLOCKS = motion_report.blocks(MOTION)


@pytest.mark.parametrize("name", MOTION_BLOCKS)
def test_the_results_show_what_was_measured_on_motion_capture(name: str) -> None:
    assert block(ROOT / "docs/results.md", name) == MOTION_BLOCKS[name]


def test_other_clips_are_in_no_other_result_and_move_nobody_who_is_rendered() -> None:
    clips = {name: {one["file"] for one in MOTION[name].get("sequences", ())} for name in MOTION}
    clips["models"] = set(MOTION["models"]["protocol"]["clips"])
    taken = set().union(*(clips[name] for name in clips if name != "others"))
    assert clips["others"] and taken and not clips["others"] & taken
    scenes = [file.read_text() for file in (ROOT / "config/scenes/bench").glob("*.yaml")]
    rendered = {f"/{path}" for text in scenes for path in re.findall(r"motion: \$\{DW_DATA\}/(\S+)", text)}
    assert len(rendered) >= 10 and not [one for one in clips["others"] if one.endswith(tuple(rendered))]


def test_figures_are_measured_on_clips_for_tests_and_tuned_on_clips_for_training() -> None:
    folders = load_splits(ROOT / "config/splits.yaml").folders
    for name, result in MOTION.items():
        clips = [one["file"] for one in result["sequences"]] if "sequences" in result else []
        clips += result["protocol"].get("clips", [])
        assert clips and all(any(f"/{folder}/" in clip for folder in folders["test"]) for clip in clips), name
    for clip in MOTION["models"]["protocol"]["tuned_on"]:
        assert any(f"/{folder}/" in clip for folder in folders["train"])


@pytest.mark.parametrize("name", DETECTOR_BLOCKS)
def test_figures_of_the_simulated_network_are_those_of_the_fit(name: str) -> None:
    assert block(ROOT / "docs/detector.md", name) == DETECTOR_BLOCKS[name]


@pytest.mark.parametrize(
    ("document", "name", "file", "text"),
    [
        ("results.md", "footage", "docs/results/footage.json", footage_report.block_text),
        ("rendered.md", "render", "docs/results/render.json", partial(speed_report.block_text, "render")),
        ("results.md", "rendered", "docs/results/rendered.json", rendered_report.block_text),
    ],
)
def test_blocks_show_what_their_files_hold(
    document: str, name: str, file: str, text: Callable[[dict[str, Any]], str]
) -> None:
    assert block(ROOT / "docs" / document, name) == text(json.loads((ROOT / file).read_text()))


@pytest.mark.parametrize("name", WARPER_BLOCKS)
def test_the_model_card_shows_what_was_trained_and_measured(name: str) -> None:
    assert block(ROOT / "docs/warper.md", name) == WARPER_BLOCKS[name]


def test_the_joint_refiners_card_shows_what_was_trained() -> None:
    """On the motion that the Warper was trained on; COCO's joints on rendered scenes too, which are hashed
    with it."""
    trained = refiner_report.results(ROOT / "docs/results")
    assert block(ROOT / "docs/joint-refiner.md", refiner_report.BLOCK) == refiner_report.block_text(trained)
    warper = json.loads((ROOT / "docs/results/warper_coco17.json").read_text())
    coco17, h36m17 = (one["data_sha256"] for one in trained)
    assert h36m17 == warper["data_sha256"] != coco17
    assert ["rendered_seen" in one for one in trained] == [True, False]


def test_a_joint_refiners_table_has_a_row_for_each_kind_of_image() -> None:
    config = {"joint_set": "coco17", "steps": 40, "seed": 3}
    one: dict[str, Any] = {
        "command": "dw train x",
        "steps": 30,
        "data_sha256": "0123456789abcdef0",
        "config": config,
    }
    for images, scale in (("simulated", 1), ("rendered", 2)):
        one |= {f"{images}_seen": 0.06 * scale, f"{images}_refined": 0.05 * scale}
        one |= {f"{images}_loss_without": -4.0 * scale, f"{images}_loss": -5.0 * scale}
    other = {key: value for key, value in one.items() if not key.startswith("rendered")}
    said = refiner_report.block_text([one, other | {"config": config | {"joint_set": "h36m17"}}])
    assert "`dw train x`: weights after 30 of 40 steps, seed 3, data of SHA-256 `0123456789abcdef`." in said
    assert [line for line in said.splitlines() if line.startswith("| ")][2:] == [
        "| coco17 | simulated | 6.00 | 5.00 | -4.000 | -5.000 |",
        "| coco17 | rendered | 12.00 | 10.00 | -8.000 | -10.000 |",
        "| h36m17 | simulated | 6.00 | 5.00 | -4.000 | -5.000 |",
    ]


def test_the_warper_and_its_peers_are_measured_on_clips_for_tests() -> None:
    result = json.loads((ROOT / "docs/results/warper_peers.json").read_text())
    folders = load_splits(ROOT / "config/splits.yaml").folders["test"]
    clips = [one["file"] for one in result["sequences"]]
    assert clips and all(any(f"/{folder}/" in clip for folder in folders) for clip in clips)
    hashes = {
        json.loads((ROOT / f"docs/results/{name}.json").read_text())["data_sha256"]
        for name in ("warper_h36m17", "warper_losses", *warper_report.PEERS)
    }
    assert len(hashes) == 1, "all of them are trained on the same motion"


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)


def commands(*starts: str) -> list[list[str]]:
    """Command lines of the README, split into words, that start with one of some words."""
    lines = [line for block in code_blocks("sh") for line in block.splitlines()]
    split = [shlex.split(line, comments=True) for line in lines]
    return [words for words in split if words and words[0] in starts]


def test_every_dw_command_of_the_readme_is_one() -> None:
    found = commands("dw", ".venv/bin/dw")
    assert len(found) >= 4
    for _, name, *options in found:
        module, _ = COMMANDS[name]
        parser = argparse.ArgumentParser(exit_on_error=False)
        importlib.import_module(module).configure(parser)
        parser.parse_args(options)


def test_every_make_goal_of_the_readme_is_one() -> None:
    goals = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {words[1] for words in commands("make")}
    assert {"demo", "test"} <= named <= goals


def test_every_launch_argument_of_the_readme_is_one() -> None:
    offered = (ROOT / "launch/interleaved.launch.py").read_text()
    launches = [words for words in commands("ros2") if words[1] == "launch"]
    assert len(launches) >= 3
    for _, _, package, file, *arguments in launches:
        assert package == "dw_ros" and (ROOT / "launch" / file).is_file()
        for argument in arguments:
            assert argument == "--show-args" or f'"{argument.partition(":=")[0]}": (' in offered


def test_the_subscriber_of_the_readme_imports_what_there_is() -> None:
    (snippet,) = code_blocks("python")
    tree = ast.parse(snippet)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names)
    assert "positions" in snippet and hasattr(messages, "skeleton3d")
