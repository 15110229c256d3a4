"""Wrong input: one sentence that names the thing and what was expected, exit code 2, no trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dw_core.data.rigs import save_rig
from dw_core.geometry.camera import Rig

UP = ("up", "--duration-s", "20")


@pytest.fixture
def refused(start: Callable, sentence: Callable[[str], str]) -> Callable[..., str]:
    """Run `dw ...`, which must end with code 2; its sentence."""

    def run(*arguments: str) -> str:
        command = start(*arguments)
        assert command.process.wait(60) == 2, command.output()
        return sentence(command.output())

    return run


@pytest.fixture
def parameters(tmp_path: Path) -> Callable[[str, dict], str]:
    """A parameter file for one node."""

    def write(node: str, values: dict) -> str:
        path = tmp_path / "parameters.yaml"
        path.write_text(yaml.safe_dump({f"/**/{node}": {"ros__parameters": values}}))
        return str(path)

    return write


def rig_with(rig: Rig, path: Path, change: Callable[[dict], None]) -> str:
    """A rig file that was valid before `change`."""
    save_rig(rig, path)
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content))
    return str(path)


def test_a_source_that_is_not_there(refused: Callable[..., str]) -> None:
    assert "source '/no/such/place' is not a folder" in refused(*UP, "--source", "/no/such/place")


def test_footage_that_lacks_a_view(refused: Callable[..., str], tmp_path: Path) -> None:
    text = refused(*UP, "--source", str(tmp_path))
    assert str(tmp_path) in text and "cam01" in text and "expected" in text


def test_a_video_that_is_none(refused: Callable[..., str], tmp_path: Path) -> None:
    for view in ("cam01", "cam02", "cam03", "cam04"):
        (tmp_path / f"{view}.mp4").write_bytes(b"this is not a film")
    text = refused(*UP, "--source", str(tmp_path))
    assert "cam" in text and ".mp4" in text and "expected" in text


def test_a_rotation_that_is_none(refused: Callable[..., str], rig: Rig, tmp_path: Path) -> None:
    def stretch(content: dict) -> None:
        content["cameras"][1]["R"][0][0] = 3.0

    text = refused(*UP, "--source", "external", "--rig", rig_with(rig, tmp_path / "bent.yaml", stretch))
    assert "c1" in text and "orthonormal" in text


def test_a_focal_length_of_zero(refused: Callable[..., str], rig: Rig, tmp_path: Path) -> None:
    def flatten(content: dict) -> None:
        content["cameras"][2]["K"][0][0] = 0.0

    text = refused(*UP, "--source", "external", "--rig", rig_with(rig, tmp_path / "flat.yaml", flatten))
    assert "c2" in text and "focal length" in text


def test_a_rig_of_one_camera(refused: Callable[..., str], rig: Rig, tmp_path: Path) -> None:
    def drop(content: dict) -> None:
        del content["cameras"][1:]

    text = refused(*UP, "--source", "external", "--rig", rig_with(rig, tmp_path / "lone.yaml", drop))
    assert "1 camera(s), expected 2 to 16" in text


@pytest.mark.parametrize("composition", ["composed", "isolated"])
def test_an_unknown_parameter(
    refused: Callable[..., str], parameters: Callable[[str, dict], str], composition: str
) -> None:
    file = parameters("spatial_fusion", {"lamda": 0.5})
    text = refused(*UP, "--composition", composition, "--source", "external", "--parameters", file)
    assert "no parameter 'lamda'; it has" in text and "own_weight" in text


def test_a_parameter_out_of_range(
    refused: Callable[..., str], parameters: Callable[[str, dict], str]
) -> None:
    file = parameters("spatial_fusion", {"own_weight": 1.5})
    text = refused(*UP, "--source", "external", "--parameters", file)
    assert "'own_weight' is 1.5, expected double from 0 to 1" in text


def test_phases_that_collide(refused: Callable[..., str], parameters: Callable[[str, dict], str]) -> None:
    file = parameters("trigger", {"rate_hz": 15.0, "phases_ms": [0.0, 16.0, 16.5, 50.0]})
    text = refused(*UP, "--source", "external", "--parameters", file)
    assert "cam02 and cam03 collide" in text


def test_a_parameter_file_that_is_no_yaml(refused: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("/**/trigger: [what")
    assert "ROS arguments cannot be used" in refused(*UP, "--source", "external", "--parameters", str(file))


def test_a_bag_that_exists_already(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "exists already, expected a new folder" in refused(*UP, "--record", str(tmp_path))


@pytest.mark.parametrize("composition", ["composed", "isolated"])
def test_weights_that_are_damaged_are_told_once_in_either_composition(
    start: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, composition: str
) -> None:
    """All four heatmap nodes would have to say it: the first one that is configured does."""
    monkeypatch.setenv("DW_CACHE", str(tmp_path))
    command = start(*UP, "--source", "external", "--composition", composition)
    assert command.process.wait(60) == 2, command.output()
    said = [line for line in command.output().splitlines() if "dw fetch" in line]
    assert len(said) == 1 and said[0].startswith("dw: "), command.output()
    assert "Traceback" not in command.output()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("up", "--namespace", "bad name!"), "namespace 'bad name!' is none, expected letters"),
        (("up", "--duration-s", "-1"), "--duration-s is -1, expected more than 0"),
        (("up", "--rig", "setup.py"), "rig 'setup.py' is neither a file nor one of config/rigs"),
        (("demo", "--out", "/dev/null/x"), "--out /dev/null/x cannot be made"),
        (("demo", "--duration-s", "nan"), "--duration-s is nan, expected at least 3"),
        (("demo", "--source", "external"), "has no footage to draw on"),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(
    refused: Callable[..., str], arguments: tuple[str, ...], words: str
) -> None:
    assert words in refused(*arguments)


def test_an_option_that_does_not_exist(start: Callable) -> None:
    command = start("up", "--colour", "red")
    assert command.process.wait(30) == 2
    assert "--colour" in command.output() and "Traceback" not in command.output()


def test_impossible_numbers_are_refused_before_anything_runs(refused: Callable[..., str]) -> None:
    assert "expected at least 3" in refused("demo", "--duration-s", "1")
