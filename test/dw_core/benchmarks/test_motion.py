"""`dw bench motion`: its arithmetic on poses with known errors, its command line, and what is demanded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from dw_core.benchmarks.keypoints import Noise, scene
from dw_core.benchmarks.methods import METHODS
from dw_core.benchmarks.motion import FIGURES, Settings, figures, judge, judged_ticks, measure
from dw_core.data.motion import save_motion
from dw_core.data.rigs import load_h36m, save_rig
from dw_core.errors import ConfigError
from dw_core.evaluation.motion_report import motion_table
from dw_core.skeleton import H36M17

ROOT = H36M17.index("pelvis")
# Playground, uneven terrain, and people who walk each in their own way and at their own speed. Nothing of the
# tracker was chosen on these subjects with this benchmark.
CLIPS = ("01/01_05", "03/03_03", "08/08_03", "39/39_04", "49/49_01", "55/55_04")


@pytest.mark.parametrize("seed", [0, 1])
def test_the_tracker_against_plain_triangulation_of_four_times_the_images(shared_data, seed):
    """What is demanded of it: four Human3.6M cameras, one every 20 ms, root-relative."""
    rig = load_h36m(shared_data / "rigs/h36m_cameras.json", "S9")
    clips = [shared_data / "cmu_mocap" / f"{clip}.amc" for clip in CLIPS]
    settings = Settings(seconds=5.0, noise=Noise(px=5.0, outliers=0.03, outlier_px=40.0, seed=seed))
    (tick,) = measure(clips, rig, settings, "", progress=False)["ticks"]
    assert (tick["tick_ms"], tick["camera_hz"], tick["lag_ticks"]) == (20.0, 12.5, 10)
    assert tick["frames"] == tick["judged"] > 800
    ratio = {name: entry["ratio"]["mpjpe_mm"] for name, entry in tick["methods"].items()}
    assert ratio["tracker_causal"] <= 0.69
    assert ratio["tracker_window"] <= 0.40


@pytest.fixture
def seen(rig, make_walker):
    return scene(make_walker(2.0), rig, 20, 2.0, Noise())


def test_figures_of_known_errors(seen):
    T = len(seen)
    shift = np.tile((0.03, 0.0, 0.04), (T, 1, 1))
    one = np.zeros((T, 17, 3))
    one[:, 5, 1] = 0.017
    sign = np.where(np.arange(T) % 2, 1.0, -1.0)[:, None, None]
    poses = {
        "dlt_full": seen.truth + one,
        "shifted": seen.truth + shift,
        "shaking": seen.truth + sign * (0.001, 0.0, 0.0),
        "larger": 1.1 * seen.truth,
    }
    found = figures([judge(seen, poses, range(50, T - 10))])
    expected = {
        "dlt_full": {"mpjpe_mm": 1.0, "absolute_mm": 1.0, "velocity_mm_s": 0.0},
        "shifted": {"mpjpe_mm": 0.0, "absolute_mm": 50.0, "p_mpjpe_mm": 0.0},
        # 2 mm to and fro every 20 ms
        "shaking": {"mpjpe_mm": 0.0, "absolute_mm": 1.0, "velocity_mm_s": 100.0, "acceleration_m_s2": 10.0},
        "larger": {"p_mpjpe_mm": 0.0},
    }
    for name, values in expected.items():
        assert {figure: found[name][figure] for figure in values} == pytest.approx(values, abs=1e-6)
        assert found[name]["coverage"] == 1.0
    assert found["shifted"]["ratio"]["absolute_mm"] == pytest.approx(50.0)
    assert found["dlt_full"]["ratio"]["mpjpe_mm"] == 1.0


def test_methods_are_compared_where_all_give_a_whole_pose_and_gaps_are_counted(seen):
    bad = seen.truth + np.where(np.arange(len(seen)) < 70, 0.5, 0.0)[:, None, None]
    gaps = seen.truth.copy()
    gaps[:60] = np.nan
    gaps[65, 3, 1] = np.nan
    judged = judge(seen, {"dlt_full": bad, "gaps": gaps}, range(50, 75))
    assert judged.missing == {"dlt_full": [], "gaps": [*range(50, 60), 65]}
    assert (judged.judged, judged.frames) == (25, 14)
    found = figures([judged])
    # 9 of the 14 common ticks are off by half a metre in each axis
    assert found["dlt_full"]["absolute_mm"] == pytest.approx(1e3 * 9 / 14 * np.sqrt(0.75))
    assert found["gaps"]["coverage"] == pytest.approx(14 / 25) and found["gaps"]["absolute_mm"] == 0.0
    # no velocity across the gap at 65: 4 + 8 pairs of ticks, one of them with the jump
    assert judged.errors["dlt_full"]["velocity_mm_s"].shape == (12, 17)
    assert judged.errors["dlt_full"]["acceleration_m_s2"].shape == (10, 17)


def test_clips_count_by_their_frames(seen):
    near, far = seen.truth + (0.01, 0, 0), seen.truth + (0.03, 0, 0)
    clips = [judge(seen, {"dlt_full": near}, range(50, 80)), judge(seen, {"dlt_full": far}, range(50, 60))]
    assert figures(clips)["dlt_full"]["absolute_mm"] == pytest.approx((30 * 10 + 10 * 30) / 40)


def test_judged_ticks(rig, make_walker):
    seen = scene(make_walker(2.0), rig, 20, 2.0, Noise())
    assert judged_ticks(Path("a"), seen, 10) == range(50, 91)
    assert judged_ticks(Path("a"), seen, 1) == range(50, 98), "an interpolation waits for three ticks"
    assert judged_ticks(Path("a"), scene(make_walker(2.0), rig, 30, 2.0, Noise()), 6) == range(34, 61)
    short = scene(make_walker(1.2), rig, 20, 2.0, Noise())
    with pytest.raises(ConfigError, match=r"a\.npz: 1\.20 s of it leave 1 ticks after 1 s of warm-up"):
        judged_ticks(Path("a.npz"), short, 10)


def test_the_lag_is_whole_ticks_and_never_longer_than_said():
    settings = Settings(lag_ms=200)
    assert [settings.lag_ticks(round(ms * 1e6)) for ms in (5, 20, 33, 40, 80, 200, 201)] == [
        40,
        10,
        6,
        5,
        2,
        1,
        0,
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory, rig, make_walker):
    """Two clips in a folder, and a rig file."""
    folder = tmp_path_factory.mktemp("input")
    (folder / "clips").mkdir()
    for name, velocity in (("slow", (0.1, 0.0, 0.0)), ("fast", (0.9, 0.2, 0.0))):
        save_motion(make_walker(2.0, name=name, velocity=velocity), folder / "clips" / f"{name}.npz")
    save_rig(rig, folder / "rig.yaml")
    return folder


def bench(folder, *arguments, benchmark="motion"):
    command = [sys.executable, "-m", "dw_core.cli.main", "bench", benchmark, "--motion", "clips"]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.run(
        [*command, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=100
    )


@pytest.fixture(scope="module")
def done(files):
    """JSON and output of a run with two lengths of a tick."""
    options = (
        "--rig",
        "rig.yaml",
        "--tick-ms",
        "40,20",
        "--quiet",
        "--seed",
        "5",
        "--json",
        "new/motion.json",
    )
    done = bench(files, *options, "--plot", "new/motion.png")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads((files / "new/motion.json").read_text()), done.stdout


def test_json_states_the_protocol(done, rig):
    result = done[0]
    assert (result["schema_version"], result["benchmark"]) == (1, "motion")
    assert result["command"] == (
        "dw bench motion --motion clips --rig rig.yaml --subject S9 --tick-ms 40,20 --seconds 8.0 "
        "--lag-ms 200.0 --noise-px 5.0 --outliers 0.03 --outlier-px 40.0 --seed 5"
    )
    protocol = result["protocol"]
    assert protocol["noise"] == {"px": 5.0, "outliers": 0.03, "outlier_px": 40.0, "seed": 5}
    assert protocol["clips"] == ["clips/fast.npz", "clips/slow.npz"]
    assert protocol["cameras"] == [f"{camera.name}, 1000x1000" for camera in rig]
    assert (protocol["lag_ms"], protocol["warm_up_s"], protocol["seconds"]) == (200.0, 1.0, 8.0)
    assert protocol["alignment"]["mpjpe_mm"] == "root-relative (pelvis)"
    assert set(result["versions"]) == {"python", "numpy"}
    assert list(result["methods"]) == list(METHODS)


def test_json_has_every_figure_of_every_method_pooled_and_by_clip(done):
    ticks = done[0]["ticks"]
    assert [(t["tick_ms"], t["camera_hz"], t["lag_ticks"]) for t in ticks] == [(40, 6.25, 5), (20, 12.5, 10)]
    for tick in ticks:
        clips = tick["clips"]
        assert [clip["file"] for clip in clips] == ["clips/fast.npz", "clips/slow.npz"]
        assert tick["frames"] == sum(clip["frames"] for clip in clips)
        for name in METHODS:
            pooled = tick["methods"][name]
            assert set(pooled) == {*FIGURES, "coverage", "ratio"}
            for figure in ("mpjpe_mm", "absolute_mm", "p_mpjpe_mm"):
                by_clip = [clip["frames"] * clip["methods"][name][figure] for clip in clips]
                assert pooled[figure] == pytest.approx(sum(by_clip) / tick["frames"])
                quotient = pooled[figure] / tick["methods"]["dlt_full"][figure]
                assert pooled["ratio"][figure] == pytest.approx(quotient)


def test_the_table_is_that_of_the_json_and_there_is_a_picture(done, files):
    result, text = done
    assert text.strip() == motion_table(result).strip()
    for name in METHODS:
        assert f"  {name:18}{result['ticks'][1]['methods'][name]['mpjpe_mm']:10.1f}" in text
    picture = cv2.imread(str(files / "new/motion.png"))
    assert picture.shape[0] > 300 and picture.std() > 10


def test_the_table_names_who_left_out_what(done):
    result = json.loads(json.dumps(done[0]))
    result["ticks"][0]["clips"][1]["missing_ticks"]["tracker_causal"] = [26, 27, 31]
    assert "tracker_causal gives no whole pose at 3 ticks, from 26 to 31" in motion_table(result)


def test_the_same_seed_gives_the_same_figures(files, done):
    again = bench(files, "--rig", "rig.yaml", "--tick-ms", "20", "--quiet", "--seed", "5", "--json", "b.json")
    assert again.returncode == 0
    result = json.loads((files / "b.json").read_text())
    assert result["ticks"][0] == done[0]["ticks"][1]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--rig", "rig.yaml", "--tick-ms", "20;40"), "--tick-ms is '20;40', expected numbers with commas"),
        (("--rig", "rig.yaml", "--tick-ms", "-5"), "tick_ms is -5.0, expected more than 0"),
        (("--rig", "rig.yaml", "--lag-ms", "0"), "lag_ms is 0.0, expected more than 0"),
        (("--rig", "rig.yaml", "--outliers", "2"), "noise: outliers is 2.0, expected a fraction"),
        (("--rig", "rig.yaml", "--lag-ms", "990"), "clips/fast.npz: 2.00 s of it leave 2 ticks"),
        (("--rig", "rig.yaml", "--motion", "nowhere"), "nowhere: there is no motion file"),
        (("--rig", "none.json"), "none.json: it cannot be read"),
        (("--rig", "rig.yaml", "--plot", "/"), "--plot: / cannot be written"),
    ],
)
def test_bad_input_is_one_sentence(files, options, sentence):
    done = bench(files, "--quiet", *options)
    assert done.returncode == 2
    assert done.stderr.startswith("dw: ") and sentence in done.stderr and len(done.stderr.splitlines()) == 1
