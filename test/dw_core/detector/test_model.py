"""The constants of a 2D network's errors: packaged, checked, looked up by the joints' names."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from dw_core.detector.model import FILE, KINDS, from_json, kind, load_model
from dw_core.errors import ConfigError
from dw_core.skeleton import COCO17, H36M17


def test_the_packaged_constants_are_a_model_that_survives_its_file():
    model = load_model()
    assert from_json(json.loads(json.dumps(asdict(model)))) == model
    assert set(model.kinds) == set(KINDS)
    # what everybody knows of MoveNet: a wrist behind the body is lost far more often than one before it
    wrist = model.kinds["wrist"]
    assert wrist.occluded.gross > 5 * wrist.visible.gross
    assert wrist.occluded.spread_along > wrist.visible.spread_along


@pytest.mark.parametrize("joints", [COCO17, H36M17], ids=lambda joints: joints.name)
def test_every_joint_has_the_constants_of_its_kind(joints):
    table = load_model().table(joints)
    j = joints.index("left_knee")
    knee = load_model().kinds["knee"]
    assert table["width"].shape == (17,) and table["width"][j] == knee.width
    assert table["swap"].shape == (17, 2)
    np.testing.assert_array_equal(table["swap"][j], [knee.visible.swap, knee.occluded.swap])


def test_central_joints_are_of_a_kind_and_unknown_ones_are_refused():
    assert [kind(joint) for joint in ("pelvis", "neck", "head", "left_ear")] == [
        "hip", "shoulder", "face", "face"
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="joint 'left_tail' is of no known kind, expected one of face"):
        kind("left_tail")


def test_a_kind_that_is_missing_is_named():
    tree = asdict(load_model())
    del tree["kinds"]["hip"]
    with pytest.raises(ConfigError, match="expected of face, shoulder"):
        from_json(tree)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("swap_s", 0.0, "hip.swap_s is 0.0, expected 1e-06 to inf"),
        ("together", 1.5, "hip.together is 1.5, expected 0 to 1"),
        ("width", float("nan"), "hip.width is nan, expected a finite number"),
        ("shares", [0.5, 0.5, 0.5], "hip.shares is .*, expected three parts of 1"),
        ("shares", [1.0], "hip.shares is .*, expected three parts of 1"),
        ("colour", 1.0, "colour"),
    ],
)
def test_impossible_constants_are_refused(name, value, said):
    tree = asdict(load_model())
    tree["kinds"]["hip"][name] = value
    with pytest.raises(ConfigError, match=said):
        from_json(tree)


def test_a_file_that_is_no_model_is_named(tmp_path):
    for number, text in enumerate(("{", "[]", "{}")):
        path = tmp_path / f"model{number}.json"
        path.write_text(text)
        with pytest.raises(ConfigError, match=path.name):
            load_model(path)
    with pytest.raises(ConfigError, match=r"absent\.json: the errors of a network cannot be read"):
        load_model(tmp_path / "absent.json")
    assert FILE.name == "movenet.json"
