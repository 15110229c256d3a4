"""`dw demo` in short: everything that it promises to write, and figures that a working graph reaches.

Rate and latency are measured by the long form (`make demo`), not asserted here: the machine is shared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from dw_core.data.bags import Run, read_run

VIEWS = ("cam01", "cam02", "cam03", "cam04")


@pytest.fixture(scope="module")
def out(start: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that a demo of a few seconds wrote, at half the rate."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    command = start("demo", "--duration-s", "9", "--rate-hz", "7.5", "--out", str(folder))
    assert command.process.wait(90) == 0, command.output()
    for words in ("skeletons per second", "exposure to skeleton", "bone lengths", "summary.json"):
        assert words in command.output()
    yield folder


@pytest.fixture(scope="module")
def summary(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "summary.json").read_text()))


@pytest.fixture(scope="module")
def run(out: Path) -> Run:
    return read_run(out / "bag")


def test_the_summary_has_what_consumers_read(summary: dict[str, Any]) -> None:
    assert {"skeleton_rate_hz", "ticks_lost_fraction", "bone_length_mad_fraction"} <= set(summary)
    assert set(summary["latency_ms"]) == {"p50", "p95"}
    assert set(summary["left_out_view_px"]) == {"median", "p90"}
    assert summary["composition"] == "composed"
    assert summary["distro"] in ("jazzy", "kilted")


def test_the_bag_evaluates_to_the_figures_of_the_run(
    out: Path, summary: dict[str, Any], start: Callable[..., Any], tmp_path: Path
) -> None:
    command = start("eval", "bag", str(out / "bag"), "--json", str(tmp_path / "again.json"), "--quiet")
    assert command.process.wait(60) == 0, command.output()
    again = json.loads((tmp_path / "again.json").read_text())
    common = set(summary) & set(again)
    assert {"skeletons", "latency_ms", "bone_length_mad_fraction", "left_out_view_px"} <= common
    assert {name: again[name] for name in common} == {name: summary[name] for name in common}
    assert again["warning"] == "" and set(again["stages_ms"]) > {"received to inferred"}


def test_a_person_is_followed_with_bones_of_constant_length(summary: dict[str, Any], run: Run) -> None:
    assert summary["skeletons"] == run.tracked.sum() > 60
    assert summary["bone_length_mad_fraction"] < 0.05
    assert 0 < summary["left_out_view_px"]["median"] < 30
    assert summary["latency_ms"]["p50"] > 0


def test_the_thighs_are_as_long_as_the_persons(run: Run) -> None:
    """420 +- 13 mm was measured on this footage from all views at the full rate."""
    hip, knee = (run.positions[run.tracked][:, [left, right]] for left, right in ((11, 12), (13, 14)))
    thigh = np.nanmedian(np.linalg.norm(hip - knee, axis=-1))
    assert thigh == pytest.approx(0.420, abs=0.03)


def test_every_view_was_seen_in_turn(run: Run) -> None:
    assert run.rig.names == VIEWS
    shots = [run.schedule.shot(number) for number in range(8)]
    assert [shot.camera for shot in shots] == [*VIEWS, *VIEWS]
    assert {seen.view for seen in run.observations} == set(VIEWS)


def test_the_bag_explains_itself(out: Path) -> None:
    with AnyReader([out / "bag"]) as reader:
        topics = {connection.topic: connection for connection in reader.connections}
        assert {"/dw/skeletons", "/dw/cam01/heatmaps", "/dw/trigger/schedule", "/diagnostics"} <= set(topics)
        assert "float32[] positions" in topics["/dw/skeletons"].msgdef.data
        assert not any("image" in topic for topic in topics)


@pytest.mark.parametrize("name", ["overlay.jpg", "skeletons_3d.png"])
def test_the_pictures_are_pictures(out: Path, name: str) -> None:
    picture = cv2.imread(str(out / name))
    assert picture is not None
    assert min(picture.shape[:2]) > 400
    assert picture.std() > 10


def test_the_skeleton_is_drawn_on_the_person(out: Path) -> None:
    """Its colours are saturated blue and orange, which cover some of every tile's middle."""
    picture = cv2.imread(str(out / "overlay.jpg"))
    assert picture is not None
    tiles = np.array_split(picture[: picture.shape[0] // 3], 4, axis=1)
    for tile in tiles:
        blue, green, red = (tile[..., channel].astype(int) for channel in range(3))
        orange = (abs(red - 245) < 40) & (abs(green - 120) < 40) & (abs(blue - 30) < 60)
        assert 100 < orange.sum() < 0.05 * orange.size


def test_window_mode_gives_every_exposure_once_and_late(start: Callable[..., Any], tmp_path: Path) -> None:
    parameters = (Path(__file__).parents[2] / "config" / "interleaved.yaml").read_text()
    assert "mode: causal" in parameters and "lag_ms: 200" in parameters
    file = tmp_path / "window.yaml"
    file.write_text(parameters.replace("mode: causal", "mode: window").replace("lag_ms: 200", "lag_ms: 120"))
    out = tmp_path / "out"
    options = ("--duration-s", "8", "--rate-hz", "7.5", "--parameters", str(file), "--out", str(out))
    command = start("demo", *options)
    assert command.process.wait(90) == 0, command.output()
    run = read_run(out / "bag")
    seen = run.tracked
    assert seen.sum() > 60
    assert (np.diff(run.stamps_ns) > 0).all()
    exposures = {run.schedule.shot(number).stamp_ns for number in range(1000)}
    assert set(run.stamps_ns.tolist()) <= exposures
    assert (run.published_ns - run.stamps_ns)[seen].min() >= 120_000_000
    assert json.loads((out / "summary.json").read_text())["bone_length_mad_fraction"] < 0.05
