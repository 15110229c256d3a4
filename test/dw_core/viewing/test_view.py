"""`dw view` on bags: what arrives in a rerun file, and what is said where there is nothing to see."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dw_core.geometry.camera import Array, Rig, project
from dw_core.geometry.crop import full_frame_crop
from dw_core.skeleton import COCO17
from dw_core.types import Heatmaps, JpegFrame

if sys.version_info < (3, 11):
    pytest.skip("rerun's wheels need Python 3.11", allow_module_level=True)

import rerun as rr
from rerun.chunk import RrdReader

from dw_core.viewing.recording import Recording
from dw_core.viewing.sinks import has_screen

ROOT = Path(__file__).parents[3]
START_NS, TICK_NS, TICKS = 1_700_000_000_000_000_000, 16_666_667, 24
SCREENS = ("DISPLAY", "WAYLAND_DISPLAY")


def view(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`dw view ...` as a process of its own, on a machine without a screen."""
    environment = {name: value for name, value in os.environ.items() if name not in SCREENS}
    command = [sys.executable, "-m", "dw_core.cli.main", "view", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, env=environment)


def columns(file: Path) -> dict[str, list[tuple[int, Any]]]:
    """Values of a rerun file by "entity component", with their exposures (0: static), in order."""
    found: dict[str, list[tuple[int, Any]]] = {}
    for chunk in RrdReader(str(file)).stream():
        batch = chunk.to_record_batch()
        names = batch.schema.names
        stamps = [0] * batch.num_rows
        if "exposure" in names:
            stamps = batch.column("exposure").cast("int64").to_pylist()
        for name in names:
            if ":" in name:
                values = found.setdefault(f"{chunk.entity_path} {name}", [])
                values += zip(stamps, batch.column(name).to_pylist(), strict=True)
    return {name: sorted(values, key=lambda one: one[0]) for name, values in found.items()}


@pytest.fixture(scope="module")
def bag(make_bag: Callable[..., Path]) -> Path:
    return make_bag()


@pytest.fixture(scope="module")
def saved(bag: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[int, Any]]]:
    file = tmp_path_factory.mktemp("rrd") / "run.rrd"
    result = view(bag, "--save", file)
    assert result.returncode == 0, result.stderr
    assert f"{4 * TICKS + 1} messages of {bag} in {file}" in result.stdout
    return columns(file)


def test_the_skeleton_has_the_stamps_of_its_exposures(
    saved: dict[str, list[tuple[int, Any]]], person: Array
) -> None:
    joints = saved["/world/person_1/joints Points3D:positions"]
    assert [stamp for stamp, _ in joints] == [START_NS + k * TICK_NS for k in range(TICKS - 1)]
    np.testing.assert_allclose(joints[3][1], person, atol=1e-6)
    bones = saved["/world/person_1/bones LineStrips3D:strips"][0][1]
    np.testing.assert_allclose(bones, person[np.array(COCO17.edges)], atol=1e-6)
    half = saved["/world/person_1/covariance Ellipsoids3D:half_sizes"][0][1]
    np.testing.assert_allclose(half, np.full((17, 3), 0.08), rtol=1e-4)  # two deviations of 4 cm
    arrows = saved["/world/person_1/velocity Arrows3D:vectors"][0][1]
    np.testing.assert_allclose(arrows, np.tile((0.05, 0.0, 0.0), (17, 1)), atol=1e-6)


def test_the_truth_is_there_beside_it(saved: dict[str, list[tuple[int, Any]]], person: Array) -> None:
    ((stamp, bones),) = saved["/world/truth_1/bones LineStrips3D:strips"]
    assert stamp == START_NS
    np.testing.assert_allclose(bones, person[np.array(COCO17.edges)], atol=1e-6)


def test_who_is_lost_disappears(saved: dict[str, list[tuple[int, Any]]]) -> None:
    (cleared,) = saved["/world/person_1 Clear:is_recursive"]
    assert cleared == (START_NS + (TICKS - 1) * TICK_NS, [True])


def test_joints_and_skeleton_of_a_view_lie_where_its_picture_shows_them(
    saved: dict[str, list[tuple[int, Any]]], rig: Rig, person: Array
) -> None:
    """Pictures of 1000 px are stored at half their size; the first pixel's corner is rerun's origin."""
    expected = (project(rig[0], person) + 0.5) / 2
    lines = saved["/world/cam1/skeleton LineStrips2D:strips"][0][1]
    np.testing.assert_allclose(lines, expected[np.array(COCO17.edges)], atol=1e-3)
    points = saved["/world/cam1/joints Points2D:positions"]
    assert [stamp for stamp, _ in points] == [START_NS + k * TICK_NS for k in range(0, TICKS, 4)]
    np.testing.assert_allclose(points[0][1], expected, atol=3)  # decoded from maps of 21 px per cell


def test_a_camera_projects_the_world_into_its_picture(
    saved: dict[str, list[tuple[int, Any]]], rig: Rig
) -> None:
    K = np.array(saved["/world/cam2 Pinhole:image_from_camera"][0][1]).reshape(3, 3).T
    np.testing.assert_allclose(K[:2, :2], rig[1].K[:2, :2] / 2)
    np.testing.assert_allclose(K[:2, 2], (rig[1].K[:2, 2] + 0.5) / 2, rtol=1e-6)
    place = saved["/world/cam2 Transform3D:translation"][0][1]
    np.testing.assert_allclose(np.ravel(place), rig[1].centre, atol=1e-6)
    turn = np.array(saved["/world/cam2 Transform3D:mat3x3"][0][1]).reshape(3, 3).T
    np.testing.assert_allclose(turn, rig[1].R.T, atol=1e-6)


def test_images_and_heatmaps_have_the_same_size_and_the_maps_are_transparent(
    saved: dict[str, list[tuple[int, Any]]], rig: Rig, person: Array
) -> None:
    pictures = {}
    for kind in ("image", "heatmaps"):
        (blob,) = saved[f"/world/cam3/{kind} EncodedImage:blob"][0][1]
        pictures[kind] = cv2.imdecode(np.frombuffer(bytes(blob), np.uint8), cv2.IMREAD_UNCHANGED)
    assert pictures["image"].shape == (500, 500, 3) and pictures["heatmaps"].shape == (500, 500, 4)
    x, y = ((project(rig[2], person)[COCO17.index("left_knee")]) / 2).round().astype(int)
    alpha = pictures["heatmaps"][..., 3]
    assert alpha[y, x] > 150 and alpha[5, 5] == 0


def test_latency_and_ages_are_in_milliseconds(saved: dict[str, list[tuple[int, Any]]]) -> None:
    for stage, expected in {"received": 5, "inferred": 12, "fused": 15, "published": 18}.items():
        values = saved[f"/latency/{stage} Scalars:scalars"]
        assert len(values) == TICKS - 1 and {value for _, (value,) in values} == {expected}
    ages = [saved[f"/age/cam{k}" + " Scalars:scalars"][0][1][0] for k in (1, 2, 3, 4)]
    np.testing.assert_allclose(ages, np.arange(4) * TICK_NS / 1e6)


def test_pictures_are_thinned_out_on_demand_and_images_keep_their_heatmaps(tmp_path: Path, rig: Rig) -> None:
    """As in a live view: the first of each period."""
    file = tmp_path / "run.rrd"
    stream = rr.RecordingStream("test")
    stream.set_sinks(rr.FileSink(file))
    recording = Recording(stream, rig, COCO17, picture_period_ns=200_000_000)
    grey = cv2.imencode(".jpg", np.full((1000, 1000, 3), 90, np.uint8))[1].tobytes()
    crop, maps = full_frame_crop(1000, 1000), np.zeros((17, 48, 48), np.float32)
    stamps = [START_NS + k * 66_666_667 for k in range(12)]
    for stamp in stamps:
        recording.image(JpegFrame("cam1", stamp, grey))
        recording.heatmaps(Heatmaps("cam1", stamp, crop, maps))
        recording.image(JpegFrame("cam9", stamp, grey))  # not of this rig
    stream.disconnect()
    found = columns(file)
    expected = [stamps[0], stamps[3], stamps[6], stamps[9]]
    for kind in ("image", "heatmaps"):
        assert [stamp for stamp, _ in found[f"/world/cam1/{kind} EncodedImage:blob"]] == expected
    assert not any("cam9" in name for name in found)


def test_a_bag_without_images_is_shown_too(make_bag: Callable[..., Path], tmp_path: Path) -> None:
    result = view(make_bag(images=False), "--save", tmp_path / "run.rrd")
    assert result.returncode == 0, result.stderr
    found = columns(tmp_path / "run.rrd")
    assert "/world/cam1/heatmaps EncodedImage:blob" in found
    assert "/world/cam1/image EncodedImage:blob" not in found


def test_a_bag_that_was_cut_off_is_shown_up_to_there(bag: Path, tmp_path: Path) -> None:
    (whole,) = bag.glob("*.mcap")
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    result = view(cut, "--save", tmp_path / "cut.rrd")
    assert result.returncode == 0, result.stderr
    assert result.stderr.startswith(f"dw: warning: {cut} was cut off (cut.mcap ends early, at byte ")
    shown = int(result.stdout.split()[1])
    assert 0 < shown < 4 * TICKS + 1
    assert len(columns(tmp_path / "cut.rrd")["/world/person_1/joints Points3D:positions"]) >= shown // 5


def test_of_two_graphs_the_namespace_says_which(make_bag: Callable[..., Path], tmp_path: Path) -> None:
    bag = make_bag(namespaces=("/left", "/lab/right"))
    result = view(bag, "--save", tmp_path / "run.rrd")
    assert (result.returncode, result.stderr) == (
        2, f"dw: {bag} holds graphs in /lab/right, /left, expected one, or --namespace to say which\n"
    )  # fmt: skip
    assert view(bag, "--namespace", "lab/right", "--save", tmp_path / "run.rrd").returncode == 0
    refused = view(bag, "--namespace", "dw", "--save", tmp_path / "run.rrd")
    assert refused.returncode == 2
    assert f"{bag} holds no message of /dw/rig_calibration, expected a recording" in refused.stderr


def test_what_cannot_be_is_one_sentence(bag: Path, tmp_path: Path) -> None:
    cases = {
        (str(bag),): "there is no screen here (neither DISPLAY nor WAYLAND_DISPLAY is set): say --web",
        (str(tmp_path), "--web"): f"{tmp_path} cannot be read as a bag: no .mcap or .db3 file in it",
        (str(tmp_path / "none"), "--web"): f"{tmp_path}/none cannot be read as a bag: no .mcap or .db3 file",
        (str(bag), "--web", "--port", "70000"): "--port is 70000, expected 1 to 65534",
        (str(bag), "--save", str(tmp_path / "no/such/run.rrd")): "the viewer cannot be opened",
        (str(bag), "--save", str(tmp_path / "run.rrd"), "--rig", "no.yaml"): "no.yaml: it cannot be read",
    }
    for arguments, words in cases.items():
        result = view(*arguments)
        assert result.returncode == 2 and words in result.stderr, (arguments, result.stderr)
        assert len(result.stderr.splitlines()) == 1, result.stderr


def test_a_port_that_is_taken_is_named(bag: Path) -> None:
    """The page's, or its data's."""
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for page in (port, port - 1):
            result = view(bag, "--web", "--port", str(page))
            assert (result.returncode, result.stdout) == (2, "")
            assert result.stderr.startswith(f"dw: port {port} cannot be had (Address already in use)")
            assert len(result.stderr.splitlines()) == 1


def test_without_rerun_it_says_what_installs_it(bag: Path) -> None:
    script = (
        "import sys, importlib.util as util; find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'rerun' else find(name, *rest)\n"
        f"from dw_core.cli.main import main; sys.exit(main(['view', {str(bag)!r}, '--web']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 2
    assert result.stderr.startswith("dw: dw view needs rerun: run `make view`")


def test_a_screen_is_where_a_display_is() -> None:
    assert has_screen({"DISPLAY": ":0"}) and has_screen({"WAYLAND_DISPLAY": "wayland-0"})
    assert has_screen({"DISPLAY": ""}) == (sys.platform != "linux")
