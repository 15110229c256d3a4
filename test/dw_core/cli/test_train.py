import json

import pytest

from dw_core.cli.main import main
from dw_core.data.motion import Motion, save_motion


def run(capsys, *arguments):
    code = main(["train", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def config_file(tmp_path):
    """A training of seconds on nobody's motion, with the splits beside it."""
    (tmp_path / "splits.yaml").write_text("splits: {train: [one], validation: [other]}\n")
    path = tmp_path / "tiny.yaml"
    path.write_text(
        "{joint_set: coco17, splits: splits.yaml, width: 8, cells: 32, scenes: 2, steps: 4, workers: 0,"
        " learning_rate: 0.001, validation_scenes: 2, validate_every: 2, checkpoint_every: 2}"
    )
    return path


@pytest.fixture
def data(tmp_path, person):
    """Somebody who turns about, seen as H36M17."""
    import numpy as np

    from dw_core.skeleton import COCO17, H36M17

    pose = np.zeros((17, 3))
    for k, name in enumerate(H36M17.joints):
        if name in COCO17.joints:
            pose[k] = person[COCO17.index(name)]
    for name, height in (("pelvis", 0.95), ("belly", 1.15), ("neck", 1.45), ("nose", 1.55), ("head", 1.65)):
        pose[H36M17.index(name)] = 0, 0, height
    angle = np.linspace(0, 3, 240)
    turn = np.zeros((240, 3, 3))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle)
    turn[:, 0, 1], turn[:, 1, 0], turn[:, 2, 2] = -np.sin(angle), np.sin(angle), 1
    for name in ("one", "other"):
        (tmp_path / "data" / name).mkdir(parents=True)
        motion = Motion(name, pose @ turn.swapaxes(1, 2) + (0.1 * len(name), 0, 0), 60.0)
        save_motion(motion, tmp_path / "data" / name / "turn.npz")
    return tmp_path / "data"


def test_a_training_prints_its_table_and_leaves_weights_and_result(capsys, tmp_path, config_file, data):
    out = tmp_path / "out"
    arguments = ("warper", "--config", config_file, "--out", out, "--data", data, "--quiet")
    code, shown, error = run(capsys, *arguments)
    assert (code, error) == (0, "") and shown.startswith("4 steps in ") and "error in space, mm" in shown
    result = json.loads((out / "result.json").read_text())
    assert result["config"]["steps"] == 4 and result["cells"]["warper"] > 0
    assert (out / "best.safetensors").exists()
    code, _, error = run(capsys, *arguments)
    assert code == 2 and "already holds a training: say --resume" in error
    code, shown, _ = run(capsys, *arguments, "--resume")
    assert code == 0 and "all steps done" in shown


def test_what_is_wrong_is_one_sentence(capsys, tmp_path, config_file, monkeypatch):
    monkeypatch.delenv("DW_DATA", raising=False)
    code, _, error = run(capsys, "warper", "--config", config_file, "--out", tmp_path / "out")
    assert code == 2 and "where the motion capture is: say --data, or set DW_DATA" in error
    code, _, error = run(
        capsys, "warper", "--config", config_file, "--out", tmp_path / "out", "--data", tmp_path / "none"
    )
    assert code == 2 and "there is no motion file" in error and len(error.splitlines()) == 1
    code, _, error = run(
        capsys, "warper", "--config", tmp_path / "no.yaml", "--out", tmp_path, "--data", tmp_path
    )
    assert code == 2 and "no.yaml: it cannot be read" in error
