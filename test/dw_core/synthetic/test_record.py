"""A short scene of small images, from its file to footage with the truth beside it."""

import dataclasses
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from dw_core.cli.main import main
from dw_core.data.footage import Footage, decode_jpeg
from dw_core.data.rigs import load_rig, save_rig
from dw_core.errors import ConfigError, MediaError
from dw_core.geometry.camera import Rig, project
from dw_core.geometry.triangulation import dlt
from dw_core.skeleton import COCO17, H36M17
from dw_core.synthetic import record as recording
from dw_core.synthetic.optics import Optics
from dw_core.synthetic.record import is_complete, record
from dw_core.synthetic.scene import Actor, Scene, to_yaml
from dw_core.synthetic.stage import set_up
from dw_core.synthetic.truth import has_truth, load_truth

ROOT = Path(__file__).parents[3]


def small(rig, factor):
    """The rig with images `factor` times as small."""
    cameras = []
    for camera in rig:
        K = np.diag([1 / factor, 1 / factor, 1.0]) @ camera.K
        cameras.append(
            dataclasses.replace(camera, K=K, width=camera.width // factor, height=camera.height // factor)
        )
    return Rig(tuple(cameras))


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("rig") / "small.yaml"
    whole = load_rig(ROOT / "config" / "rigs" / "ring_vga.yaml")
    save_rig(small(Rig(whole.cameras[:2]), 4), path)
    optics = Optics(samples=1, shot_noise=0.01)
    return Scene(
        str(path),
        (Actor("walk", start_s=2.0, look=3),),
        room=2,
        seconds=0.1,
        rate_hz=50.0,
        seed=5,
        optics=optics,
    )


@pytest.fixture(scope="module")
def recorded(scene, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded") / "walk"
    record(scene, folder, progress=False)
    return folder


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_is_written_is_footage_of_the_rig(scene, recorded):
    rig = load_rig(recorded / "rig.yaml")
    footage = Footage.open(recorded, rig.names)
    assert footage.rate_hz == 50.0 and footage.frames("cam01") == 5
    image = decode_jpeg(footage.jpeg("cam02", 4))
    assert image.shape == (120, 160, 3) and image.std() > 10
    assert is_complete(scene, recorded) and not is_complete(dataclasses.replace(scene, seed=6), recorded)


def test_the_truth_is_exact(scene, recorded):
    """Where the body is, to the bit; and its projections meet in it again."""
    truth, stage, rig = load_truth(recorded), set_up(scene), load_rig(recorded / "rig.yaml")
    assert has_truth(recorded) and truth.rate_hz == pytest.approx(50.0) and truth.cameras == rig.names
    for frame in range(5):
        joints, pivots = stage.joints(frame / 50.0)
        np.testing.assert_array_equal(truth.joints[frame], joints)
        np.testing.assert_array_equal(truth.pivots[frame], pivots)
    for m, camera in enumerate(rig):
        np.testing.assert_allclose(truth.pixels[m], project(camera, truth.joints), atol=1e-9)
    found = dlt(rig, np.moveaxis(truth.pixels, 0, -2))
    np.testing.assert_allclose(found, truth.joints, atol=1e-9)
    limb = np.linalg.norm(truth.pivots[:, :, 0] - truth.pivots[:, :, 2], axis=-1)
    assert np.ptp(limb, axis=0).max() < 1e-9 and limb.min() > 0.2
    truth.require(COCO17)
    with pytest.raises(ConfigError, match="expected those of h36m17"):
        truth.require(H36M17)


def test_true_joints_lie_on_the_person(scene, recorded):
    """The renderer tells which pixels are the person's: every joint in view lies on or by one."""
    truth = load_truth(recorded)
    stage = set_up(scene)
    frame = 3
    for m, camera in enumerate(stage.rig):
        view = recording.RoomView(stage.room, camera, scene.optics, m, scene.seed)
        body = cv2.dilate(
            (recording.render_frame(lambda _: stage.surfaces(frame / 50.0)[0], view, frame).cover > 0).astype(
                np.uint8
            ),
            np.ones((3, 3)),
        )
        seen = truth.in_view[m, frame, 0]
        assert seen.sum() > 8
        at = np.rint(truth.pixels[m, frame, 0][seen]).astype(int)
        assert body[at[:, 1], at[:, 0]].all()


def test_time_runs_as_the_footage_is_played(recorded):
    truth = load_truth(recorded)
    for frame, shown in ((0, 0), (4, 4), (5, 3), (8, 0), (9, 1)):
        np.testing.assert_array_equal(truth.joints_at(frame * 20_000_000), truth.joints[shown])


def test_an_interrupted_run_goes_on_and_gives_the_same_bytes(scene, recorded, tmp_path, monkeypatch):
    folder = tmp_path / "again"
    monkeypatch.setattr(recording, "FRAMES_AT_ONCE", 2)
    calls = []
    whole = recording._frames

    def until_the_lights_go_out(*task):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(task)
        return whole(*task)

    monkeypatch.setattr(recording, "_frames", until_the_lights_go_out)
    with pytest.raises(KeyboardInterrupt):
        record(scene, folder, progress=False)
    assert not is_complete(scene, folder)
    first = (folder / "cam01" / "000000.jpg").stat().st_mtime_ns
    monkeypatch.setattr(recording, "_frames", whole)
    record(scene, folder, progress=False)
    assert (folder / "cam01" / "000000.jpg").stat().st_mtime_ns == first  # not made again
    assert digests(folder) == digests(recorded)


def test_several_processes_give_the_same_bytes(scene, recorded, tmp_path, monkeypatch):
    path = tmp_path / "scene.yaml"
    path.write_text(to_yaml(scene))
    out = tmp_path / "out"
    sheet = tmp_path / "sheet.png"
    arguments = ["render", str(path), "--out", str(out), "--processes", "2", "--sheet", str(sheet), "--quiet"]
    assert main(arguments) == 0
    assert digests(out) == digests(recorded)
    assert cv2.imread(str(sheet)).shape == (120, 320, 3)


def test_a_folder_of_something_else_is_left_alone(scene, recorded, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="holds something else"):
        record(scene, tmp_path, progress=False)
    with pytest.raises(ConfigError, match="holds something else"):
        record(dataclasses.replace(scene, room=9), recorded, progress=False)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_clip_that_is_too_short_is_refused(scene, tmp_path):
    late = dataclasses.replace(scene, actors=(Actor("walk", start_s=23.95),))
    with pytest.raises(ConfigError, match="expected a part of its 0 to 24.0 s"):
        record(late, tmp_path / "late", progress=False)


def test_no_truth_is_no_truth(tmp_path):
    with pytest.raises(MediaError, match="no truth can be read"):
        load_truth(tmp_path)
    (tmp_path / "truth.npz").write_text("not it")
    with pytest.raises(MediaError, match="no truth can be read"):
        load_truth(tmp_path)


def test_the_cost_of_an_image_is_measured_as_a_user_does(scene, tmp_path, capsys):
    path, out = tmp_path / "scene.yaml", tmp_path / "render.json"
    path.write_text(to_yaml(scene))
    assert main(["bench", "render", str(path), "--frames", "2", "--json", str(out)]) == 0
    entry = json.loads(out.read_text())["scenes"]["scene"]
    assert entry["room"] == 2 and entry["lamps"] == len(set_up(scene).room.lights)
    assert all(entry[f"{what}_{samples}"] > 0 for what in ("room_s", "image_ms") for samples in (1, 2))
    assert f"{entry['image_ms_2']:.1f} ms" in capsys.readouterr().out
    assert main(["bench", "render", str(path), "--frames", "0"]) == 2
