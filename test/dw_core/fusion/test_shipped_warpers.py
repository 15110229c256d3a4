"""The weights that come with the project: they fit, they say what they are, and they follow a joint."""

import json
from pathlib import Path

import numpy as np
import pytest

import dw_core.fusion
from dw_core.evaluation.results import rounded
from dw_core.fusion.fast_warper_cpu import FastWarperCpu
from dw_core.fusion.warper import TemporalFusion
from dw_core.fusion.weights import load_weights
from dw_core.heatmaps.render import render_gaussians
from dw_core.skeleton import JOINT_SETS
from dw_core.training.config import TrainingConfig, load_config

ROOT = Path(__file__).parents[3]
FILES = {name: Path(dw_core.fusion.__file__).with_name(f"warper_{name}.safetensors") for name in JOINT_SETS}


@pytest.mark.parametrize("name", FILES)
def test_they_are_of_the_packaged_configuration_and_of_the_documents_result(name):
    about = load_weights(FILES[name]).about
    config = load_config(ROOT / "config/train/warper.yaml")
    expected = json.loads(config.to_json()) | {"joint_set": name}
    # an entry that is younger than the weights had its default
    assert json.loads(TrainingConfig(**json.loads(about["config"])).to_json()) == expected
    result = json.loads((ROOT / f"docs/results/warper_{name}.json").read_text())
    assert result["data_sha256"] == about["data_sha256"] and result["steps"] == int(about["steps"])
    assert rounded(json.loads(about["validation"])).items() <= result.items()


@pytest.mark.parametrize("name", FILES)
def test_they_beat_what_needs_no_training_at_every_lag(name):
    result = json.loads((ROOT / f"docs/results/warper_{name}.json").read_text())
    for errors in (*(e["cells"] for e in result["bins"] if e["views"]), result["cells"], result["points_mm"]):
        assert errors["warper"] < min(value for method, value in errors.items() if method != "warper")


def test_they_are_small():
    assert sum(path.stat().st_size for path in FILES.values()) < 8e6


@pytest.mark.parametrize("name", FILES)
def test_the_temporal_stage_takes_them(name):
    stage = TemporalFusion(FILES[name], JOINT_SETS[name])
    assert not stage.passes_through and str(FILES[name]) in stage.description


@pytest.mark.parametrize("name", FILES)
def test_joints_that_all_move_one_way_are_moved_that_way_and_no_further_than_they_went(name):
    warper = FastWarperCpu(load_weights(FILES[name]))
    J = len(JOINT_SETS[name])
    rng = np.random.default_rng(0)
    places = np.stack((rng.uniform(24, 40, J), np.linspace(10, 54, J)), -1)
    raw = render_gaussians(places, 64, 1.3, np.full(J, 0.7))
    for way in ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0)):
        velocity = 40 * np.tile(way, (1, J, 1))
        still, _ = warper.motion([raw], [raw], np.array([0.08]), np.zeros((1, J, 2)))
        move, keep = warper.motion([raw], [raw], np.array([0.08]), velocity)
        along = ((move - still)[0] @ np.array(way)).mean()  # 3.2 cells went by
        assert 1.0 < along < 4.0 and (keep > 0).all()
