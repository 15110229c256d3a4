from dataclasses import replace

import numpy as np
import pytest

from dw_core.benchmarks import models
from dw_core.benchmarks.keypoints import Noise, scene
from dw_core.benchmarks.methods import track
from dw_core.data.motion import save_motion
from dw_core.errors import ConfigError
from dw_core.evaluation.motion_report import models_table

SETTINGS = models.Settings(seconds=1.5, lag_ms=100.0)


@pytest.fixture(scope="module")
def clips(tmp_path_factory, make_walker):
    folder = tmp_path_factory.mktemp("clips")
    for name, velocity in (("tune", (0.1, 0.0, 0.0)), ("test", (0.5, 0.2, 0.0))):
        save_motion(make_walker(1.5, name=name, velocity=velocity), folder / f"{name}.npz")
    return folder


@pytest.fixture(scope="module")
def result(clips, rig):
    return models.measure(
        [clips / "test.npz"], [clips / "tune.npz"], rig, SETTINGS, "dw bench models", progress=False
    )


def test_the_best_of_each_grid_is_what_was_measured(result):
    assert list(result["models"]) == list(models.MODELS)
    for name, entry in result["models"].items():
        grid = entry["grid_mpjpe_root_mm"]
        assert [point["values"] for point in grid] == list(models.MODELS[name].grid)
        for mode in models.MODES:
            best = min(grid, key=lambda point: point[mode])
            assert entry[mode]["values"] == best["values"]
            quotient = entry[mode]["mpjpe_root_mm"] / result["yardstick"]["mpjpe_root_mm"]
            assert entry[mode]["ratio"]["mpjpe_root_mm"] == pytest.approx(quotient)
            assert entry[mode]["coverage"] == 1.0
    assert result["protocol"]["tuned_on"] != result["protocol"]["clips"]


def test_figures_are_those_of_a_run_by_hand(result, clips, rig):
    from dw_core.data.motion import load_motion

    seen = scene(load_motion(clips / "test.npz"), rig, 20, 1.5, Noise())
    for mode, poses in zip(models.MODES, track(seen, 5), strict=True):
        error = np.linalg.norm(poses - seen.truth, axis=-1)[50:-5]
        assert result["models"]["tracker"][mode]["mpjpe_abs_mm"] == pytest.approx(1e3 * error.mean())


def test_the_table_has_every_model_and_grid(result):
    text = models_table(result)
    assert text.startswith("dw bench models\n")
    for name, entry in result["models"].items():
        assert text.count(f"  {name} ") >= 3
        assert f"{entry['causal']['ratio']['mpjpe_root_mm']:10.3f}" in text
        assert f"/ {entry['grid_mpjpe_root_mm'][-1]['window']:.1f}" in text


def test_parts_that_are_taken_away_matter(rig, make_walker):
    seen = scene(make_walker(1.5), rig, 20, 1.5, Noise())
    shipped = models.as_shipped(seen, 5, ())
    np.testing.assert_array_equal(shipped, track(seen, 5))
    for taken in (models.independent_joints, models.no_bone_lengths):
        causal, window = taken(seen, 5, (1.0,))
        assert np.isfinite(causal[50:]).all() and not np.allclose(causal[50:], shipped[0][50:], atol=1e-3)
        assert np.isfinite(window[50:-5]).all()


def test_tuning_and_testing_are_kept_apart(clips, rig):
    with pytest.raises(ConfigError, match=r"tune\.npz is to be tuned on and measured on"):
        models.measure([clips], [clips / "tune.npz"], rig, SETTINGS, "", progress=False)


@pytest.mark.parametrize("name", ["tick_ms", "seconds", "lag_ms"])
def test_settings_out_of_range(name):
    with pytest.raises(ConfigError, match=f"{name} is -1, expected more than 0"):
        replace(SETTINGS, **{name: -1})


def test_the_lag_is_whole_ticks_and_never_longer_than_said():
    settings = models.Settings(lag_ms=200)
    ticks = [settings.lag_ticks(round(ms * 1e6)) for ms in (5, 20, 33, 40, 80, 200, 201)]
    assert ticks == [40, 10, 6, 5, 2, 1, 0]
