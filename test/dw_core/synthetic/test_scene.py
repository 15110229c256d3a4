import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dw_core.errors import ConfigError
from dw_core.geometry.camera import project
from dw_core.synthetic.optics import Optics
from dw_core.synthetic.room import EVALUATION_SEEDS
from dw_core.synthetic.scene import Actor, Scene, load_scene, scene_hash, to_yaml
from dw_core.synthetic.stage import set_up

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "config" / "scenes" / "walk.yaml"
RIG = str(ROOT / "config" / "rigs" / "ring_vga.yaml")


def write(folder, text):
    path = folder / "scene.yaml"
    path.write_text(text)
    return path


def test_the_shipped_scene_needs_nothing_but_what_is_shipped():
    scene = load_scene(SHIPPED)
    assert scene.rig == RIG and scene.actors == (Actor("walk", start_s=1.0, look=3),)
    assert scene.optics.shot_noise == 0.01 and scene.frames == 240


def test_a_scene_comes_back_from_its_file(tmp_path):
    scene = Scene(
        RIG,
        (Actor("walk", 0.5, 2, (0.5, -1.0), 90.0), Actor("walk", look=7)),
        room=3,
        seconds=2.5,
        rate_hz=30.0,
        seed=4,
        optics=Optics(exposure_s=0.004, jpeg_quality=80),
    )
    again = load_scene(write(tmp_path, to_yaml(scene)))
    assert again == scene and scene_hash(again) == scene_hash(scene)


def test_the_hash_depends_on_everything_but_where_files_lie(tmp_path):
    scene = load_scene(SHIPPED)
    elsewhere = tmp_path / "other_name.yaml"
    elsewhere.write_bytes(Path(RIG).read_bytes())
    assert scene_hash(dataclasses.replace(scene, rig=str(elsewhere))) == scene_hash(scene)
    elsewhere.write_text(Path(RIG).read_text().replace("width: 640", "width: 641"))
    changed = {
        "rig": str(elsewhere), "room": 8, "seed": 2, "seconds": 5.0, "rate_hz": 50.0,
        "optics": Optics(), "actors": (Actor("walk", start_s=1.0, look=4),),
    }  # fmt: skip
    hashes = {scene_hash(dataclasses.replace(scene, **{name: value})) for name, value in changed.items()}
    assert len(hashes | {scene_hash(scene)}) == len(changed) + 1


def test_files_may_be_named_by_an_environment_variable(tmp_path, monkeypatch):
    (tmp_path / "take.amc").write_text("motion")
    path = write(tmp_path, f"rig: {RIG}\nactors: [{{motion: '${{DW_TAKES}}/take.amc'}}]")
    monkeypatch.setenv("DW_TAKES", str(tmp_path))
    assert load_scene(path).actors[0].motion == str(tmp_path / "take.amc")
    monkeypatch.delenv("DW_TAKES")
    with pytest.raises(ConfigError, match="expected the variable DW_TAKES to be set"):
        load_scene(path)


def test_the_scenes_of_the_benchmark_are_read(shared_data, monkeypatch):
    """Every file is there; rooms for evaluation, one person of another look in each."""
    monkeypatch.setenv("DW_DATA", str(shared_data))
    files = sorted((ROOT / "config" / "scenes" / "bench").glob("*.yaml"))
    scenes = [load_scene(file) for file in files]
    assert len(scenes) == 12 and {scene.room for scene in scenes} == set(EVALUATION_SEEDS)
    assert len({scene_hash(scene) for scene in scenes}) == len({scene.seed for scene in scenes}) == 12
    assert len({scene.actors[0].look for scene in scenes}) == 12
    for file, scene in zip(files, scenes, strict=True):
        assert len(scene.actors) == 1 and scene.seconds >= 3 and scene.rate_hz == 60, file


@pytest.mark.parametrize("name", ["walk_55", "dance_07"])
def test_people_of_the_benchmark_stay_in_view(shared_data, monkeypatch, name):
    monkeypatch.setenv("DW_DATA", str(shared_data))
    stage = set_up(load_scene(ROOT / "config" / "scenes" / "bench" / f"{name}.yaml"))
    assert len(stage.rig) == 8
    joints = np.concatenate([stage.joints(time)[0] for time in np.arange(0.0, stage.scene.seconds, 1.0)])
    for camera in stage.rig:
        pixels = project(camera, joints)
        inside = ((pixels > 0) & (pixels < (camera.width, camera.height))).all(-1)
        assert inside.mean() > 0.9


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("rig: [", "cannot be read as a scene"),
        ("just words", "the scene is 'just words', expected entries such as rig"),
        ("colour: red", "the scene has an entry 'colour', expected some of rig"),
        ("rig: nowhere.yaml", "the rig is 'nowhere.yaml', expected a file"),
        (f"rig: {RIG}", "the scene has 0 actors, expected 1 to 4"),
        (f"rig: {RIG}\nactors: [{{motion: run.amc}}]", "motion of actor 0 is 'run.amc', expected a file"),
        (
            f"rig: {RIG}\nactors: [{{motion: walk, look: blue}}]",
            "look of actor 0 is 'blue', expected a number",
        ),
        (f"rig: {RIG}\nactors: [{{motion: walk, place: [1]}}]", "place of actor 0 has 1 numbers"),
        (f"rig: {RIG}\nactors: [{{motion: walk}}]\nseconds: -1", "lasts -1.0 s at 60.0 Hz, expected"),
        (f"rig: {RIG}\nactors: [{{motion: walk}}]\noptics: {{binning: 2}}", "binning of 2, expected 1"),
        (f"rig: {RIG}\nactors: [{{motion: walk}}]\noptics: {{samples: 3}}", "samples is 3, expected 1 or 2"),
    ],
)
def test_what_is_wrong_is_named_in_one_sentence(tmp_path, text, sentence):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        load_scene(path)
    assert str(path) in str(error.value) and sentence in str(error.value)
