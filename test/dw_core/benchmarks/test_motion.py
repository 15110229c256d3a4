"""`dw bench motion`: its arithmetic on poses with known errors, its command line, and its JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dw_core.benchmarks.catalogue import METHODS, keys, latency_ticks
from dw_core.benchmarks.judging import FIGURES, figures, joint_figures, judge, judged_range, judged_ticks
from dw_core.benchmarks.keypoints import Noise, scene
from dw_core.benchmarks.motion import Settings, combinations, measure, sequence_names
from dw_core.data.motion import save_motion
from dw_core.data.rigs import load_h36m, save_rig
from dw_core.errors import ConfigError
from dw_core.evaluation.motion_plots import plot_all
from dw_core.evaluation.motion_report import motion_table, number, varied_table
from dw_core.skeleton import COCO17, H36M17

RUNS = [(name, mode) for name, mode in keys(tuple(METHODS), ("causal", "window")) if not METHODS[name].needs]


@pytest.fixture
def seen(rig, make_walker):
    return scene(make_walker(2.0), rig, 20, 2.0, Noise())


def test_figures_of_known_errors(seen):
    T = len(seen)
    one = np.zeros((T, 17, 3))
    one[:, 5, 1] = 0.017
    far = np.zeros((T, 17, 3))
    far[:, 16, 0] = 0.2
    sign = np.where(np.arange(T) % 2, 1.0, -1.0)[:, None, None]
    poses = {
        "one": seen.truth + one,
        "far": seen.truth + far,
        "shifted": seen.truth + (0.03, 0.0, 0.04),
        "shaking": seen.truth + sign * (0.001, 0.0, 0.0),
        "larger": 1.1 * seen.truth,
    }
    clip = judge(seen, poses, range(50, T - 10))
    found = figures([clip])
    expected = {
        "one": {"mpjpe_root_mm": 1.0, "mpjpe_abs_mm": 1.0, "velocity_error_mm_s": 0.0, "pck_150": 1.0},
        "far": {"mpjpe_root_mm": 200 / 17, "pck_150": 16 / 17, "auc": 16 / 17},
        "shifted": {"mpjpe_root_mm": 0.0, "mpjpe_abs_mm": 50.0, "p_mpjpe_mm": 0.0},
        # 2 mm to and fro every 20 ms
        "shaking": {"mpjpe_abs_mm": 1.0, "velocity_error_mm_s": 100.0, "acceleration_error_mm_s2": 1e4},
        "larger": {"p_mpjpe_mm": 0.0},
    }
    for name, values in expected.items():
        assert {figure: found[name][figure] for figure in values} == pytest.approx(values, abs=1e-6)
        assert (found[name]["coverage"], found[name]["compared"]) == (1.0, 41 * 17)
    by_joint = joint_figures([clip], "one", "mpjpe_abs_mm")
    assert by_joint == pytest.approx(dict.fromkeys(H36M17.joints, 0.0) | {"left_knee": 17.0}, abs=1e-9)


def test_joints_are_compared_where_all_give_them_and_gaps_are_counted(seen):
    bad = seen.truth + np.where(np.arange(len(seen)) < 70, 0.5, 0.0)[:, None, None]
    gaps = seen.truth.copy()
    gaps[:60] = np.nan
    gaps[65, 3, 1] = np.nan
    poses = {"bad": bad, "gaps": gaps, "nothing": np.full(bad.shape, np.nan)}
    judged = judge(seen, poses, range(50, 75))
    found = figures([judged])
    # 10 of the 15 ticks that both give are off by half a metre in each axis, but for the joint left out
    assert found["bad"]["compared"] == found["gaps"]["compared"] == 15 * 17 - 1
    assert found["bad"]["mpjpe_abs_mm"] == pytest.approx(1e3 * 169 / 254 * np.sqrt(0.75))
    assert found["gaps"]["coverage"] == pytest.approx(254 / (25 * 17)) and found["gaps"]["mpjpe_abs_mm"] == 0
    assert found["nothing"]["coverage"] == 0 and np.isnan(found["nothing"]["mpjpe_abs_mm"])
    # no velocity across the gap at 65
    velocity = judged.errors["bad"]["velocity_error_mm_s"]
    assert np.isfinite(velocity).sum() == 14 * 17 - 2
    assert np.isfinite(judged.errors["bad"]["acceleration_error_mm_s2"]).sum() == 13 * 17 - 3


def test_clips_count_by_their_joints(seen):
    near, far = seen.truth + (0.01, 0, 0), seen.truth + (0.03, 0, 0)
    clips = [judge(seen, {"a": near}, range(50, 80)), judge(seen, {"a": far}, range(50, 60))]
    assert figures(clips)["a"]["mpjpe_abs_mm"] == pytest.approx((30 * 10 + 10 * 30) / 40)
    other = replace(clips[1], joints=COCO17)
    alone = judge(seen, {"a": near, "b": far}, range(50, 60))
    found = figures([clips[0], alone])
    assert (found["a"]["frames"], found["b"]["frames"]) == (40, 10), "a method that ran on one of them"
    assert found["b"]["mpjpe_abs_mm"] == pytest.approx(30.0)
    assert joint_figures([clips[0], alone], "b", "mpjpe_abs_mm")["neck"] == pytest.approx(30.0)
    by_joint = joint_figures([clips[0], other], "a", "mpjpe_abs_mm")
    assert by_joint["pelvis"] == pytest.approx(10) and by_joint["left_eye"] == pytest.approx(30)
    assert by_joint["left_knee"] == pytest.approx(15)


def test_judged_ticks(rig, make_walker, seen):
    assert judged_ticks(Path("a"), seen, 10) == range(50, 91)
    assert judged_ticks(Path("a"), seen, 1) == range(50, 98), "an interpolation waits for three ticks"
    assert judged_range(67, 30_000_000, 4, 6) == range(34, 61)
    short = scene(make_walker(1.2), rig, 20, 2.0, Noise())
    with pytest.raises(ConfigError, match=r"a\.npz: 1\.20 s of it leave 1 ticks after 1 s of warm-up"):
        judged_ticks(Path("a.npz"), short, 10)


def test_every_combination_is_run_and_views_are_counted(rig):
    settings = Settings(tick_ms=(5, 40), noise=("none", "gaussian:3"), views=(0, 2), drops=(0.0, 0.1))
    runs = combinations(settings, rig)
    assert len(runs) == 16 and len({json.dumps(run.entry()) for run in runs}) == 16
    assert {run.views for run in runs} == {2, 4}
    assert [run.lag_ticks(200) for run in (runs[0], runs[-1])] == [40, 5]
    for views in (1, 5):
        with pytest.raises(ConfigError, match=f"views is {views}, expected 2 to 4, which the rig has"):
            combinations(Settings(views=(views,)), rig)


def test_how_late_each_method_is():
    late = {key: latency_ticks(key, 4, 10) for key in keys(tuple(METHODS), ("causal", "window"))}
    assert {lag for (_, mode), lag in late.items() if mode == "causal"} == {0}
    window = {name: lag for (name, mode), lag in late.items() if mode == "window"}
    assert window == {
        "slerp": 3, "mcc": 3, "linear": 3, "copy": 2, "epipolar": 2, "warper": 2, "tracker": 10,
        "full_tracker": 10, "full_pipeline": 10, "sync_tracker": 10, "pipeline": 10,
    }  # fmt: skip


def test_sequences_have_names_of_their_own():
    files = [Path(name) for name in ("a/1.npz", "b/1.npz", "b/2.npz", "b/all.npz", "c/b/2x.bvh")]
    assert sequence_names(files) == ["a/1", "b/1", "2", "b/all", "2x"]
    assert sequence_names([Path("x/a/1.bvh"), Path("y/a/1.bvh")]) == ["x/a/1.bvh", "y/a/1.bvh"]


@pytest.fixture(scope="module")
def files(tmp_path_factory, rig, make_walker):
    """Two clips in a folder, one of them twice and one that is too short, and a rig file."""
    folder = tmp_path_factory.mktemp("input")
    (folder / "clips").mkdir()
    for name, velocity in (("slow", (0.1, 0.0, 0.0)), ("fast", (0.9, 0.2, 0.0)), ("twin", (0.1, 0.0, 0.0))):
        save_motion(make_walker(1.6, name=name, velocity=velocity), folder / "clips" / f"{name}.npz")
    save_motion(make_walker(0.5), folder / "clips/short.npz")
    save_rig(rig, folder / "rig.yaml")
    return folder


def bench(folder, *arguments):
    command = [sys.executable, "-m", "dw_core.cli.main", "bench", "motion", "--motion", "clips"]
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
    done = bench(files, *options, "--plots", "new/plots")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads((files / "new/motion.json").read_text()), done.stdout


def test_json_states_the_protocol(done, rig):
    result = done[0]
    assert (result["schema_version"], result["benchmark"]) == (3, "motion")
    assert result["command"] == (
        "dw bench motion --motion clips --rig rig.yaml --subject S9 --tick-ms 40,20 --noise detector "
        "--jitter 0 --drops 0 --views 0 --methods all --mode causal,window --limit-s 60.0 --lag-ms 200.0 "
        "--seed 5"
    )
    protocol = result["protocol"]
    assert protocol["cameras"] == [f"{camera.name}, 1000x1000" for camera in rig]
    assert (protocol["lag_ms"], protocol["warm_up_s"], protocol["limit_s"]) == (200.0, 1.0, 60.0)
    assert protocol["alignment"]["mpjpe_root_mm"].startswith("pelvis")
    assert set(result["versions"]) == {"python", "numpy"}
    assert result["without_weights"] == [name for name in METHODS if name not in result["methods"]]
    assert result["left_out"] == [
        {"file": "clips/twin.npz", "why": "holds the same as clips/slow.npz"},
        {"file": "clips/short.npz", "why": result["left_out"][1]["why"]},
    ]
    assert "0.48 s of it leave" in result["left_out"][1]["why"]
    assert [(one["sequence"], one["seconds"]) for one in result["sequences"]] == [
        ("fast", 1.6),
        ("slow", 1.6),
    ]


def test_json_has_every_figure_of_every_method_pooled_and_by_clip(done):
    results = done[0]["results"]
    assert done[0]["joints"] == list(H36M17.joints)
    for tick_ms in (40, 20):
        for sequence in ("all", "fast", "slow"):
            mine = [e for e in results if e["tick_ms"] == tick_ms and e["sequence"] == sequence]
            found = [(entry["method"], entry["mode"]) for entry in mine]
            assert [key for key in found if key in RUNS] == RUNS
            for entry in mine:
                assert entry["sampling"] == METHODS[entry["method"]].sampling
                assert (entry["noise"], entry["views"], entry["jitter"]) == ("detector", 4, 0.0)
                assert all(entry[figure] is not None for figure in FIGURES) and entry["coverage"] > 0.9
                assert len(entry["joints_root_mm"]) == len(entry["joints_abs_mm"]) == len(H36M17)
                mean = np.mean(entry["joints_abs_mm"])
                assert mean == pytest.approx(entry["mpjpe_abs_mm"], rel=0.02)
    by_clip = {
        e["sequence"]: e for e in results if (e["tick_ms"], e["method"], e["mode"]) == (20, "copy", "causal")
    }
    weighted = sum(by_clip[name]["compared"] * by_clip[name]["mpjpe_root_mm"] for name in ("fast", "slow"))
    assert by_clip["all"]["mpjpe_root_mm"] == pytest.approx(weighted / by_clip["all"]["compared"], rel=1e-4)
    assert by_clip["all"]["frames"] == by_clip["fast"]["frames"] + by_clip["slow"]["frames"]


def test_the_table_is_that_of_the_json(done):
    result, text = done
    assert text.strip() == motion_table(result).strip()
    pooled = [e for e in result["results"] if e["sequence"] == "all"]
    for entry in pooled:
        assert f"  {entry['method']} {entry['mode']:10}"[:20] in text
        assert f"{entry['mpjpe_root_mm']:10.1f}{entry['mpjpe_abs_mm']:10.1f}" in text
    assert "left out: clips/twin.npz: holds the same as clips/slow.npz" in text
    assert "limbs stretch: clips/fast.npz" in text, "its legs swing without bending"
    markdown = varied_table(result)
    assert "| relative / absolute, mm | tick ms 40.0 | tick ms 20.0 |" in markdown
    assert markdown.count("\n| ") == len(pooled) // 2 + 2
    assert number(None).strip() == "-"


def test_there_is_a_picture_of_everything(done, files):
    names = {"motion_tick_ms", "motion_joints", "motion_sequences", "motion_way"}
    assert {path.stem for path in (files / "new/plots").iterdir()} == names
    for name in names:
        picture = cv2.imread(str(files / f"new/plots/{name}.png"))
        assert picture.shape[0] > 300 and picture.std() > 10, name


def test_the_way_of_the_wrist_is_the_true_one(done, files, rig):
    way = done[0]["trajectory"]
    assert (way["sequence"], way["joint"]) == ("fast", "right_wrist")
    truth, times = np.array(way["truth_m"]), np.array(way["times_s"])
    assert times[0] == 1.0 and np.ptp(times) == pytest.approx(0.6) and way["tick_ms"] == 40
    speed = np.diff(truth, axis=0) / np.diff(times)[:, None]
    np.testing.assert_allclose(speed[:, 1], 0.2, atol=0.01)
    assert np.abs(np.array(way["methods_m"]["robust causal"]) - truth).max() < 0.3


def test_the_same_seed_gives_the_same_json_and_another_does_not(files):
    quick = (
        "--rig",
        "rig.yaml",
        "--quiet",
        "--methods",
        "dlt,copy,pipeline",
        "--jitter",
        "0.2",
        "--drops",
        "0.1",
    )
    texts = []
    for seed in ("5", "5", "6"):
        assert bench(files, *quick, "--seed", seed, "--json", "b.json").returncode == 0
        texts.append((files / "b.json").read_text())
    assert texts[0] == texts[1]
    errors = [[e["mpjpe_abs_mm"] for e in json.loads(text)["results"]] for text in texts[1:]]
    assert not any(a == b for a, b in zip(*errors, strict=True))


def test_joints_of_coco_are_scored_from_the_middle_of_the_hips(tmp_path, rig, person):
    joints = np.tile(person, (200, 1, 1)) + np.linspace(0, 0.5, 200)[:, None, None] * (1.0, 0.0, 0.0)
    names = np.array(COCO17.joints)
    np.savez(tmp_path / "person.npz", joints=joints.astype(np.float32), rate_hz=100, joint_names=names)
    settings = Settings(noise=("none",), methods=("dlt", "slerp", "epipolar", "pipeline"))
    result = measure([tmp_path], rig, settings, "", progress=False)
    pooled = {e["method"]: e for e in result["results"] if e["sequence"] == "all" and e["mode"] != "window"}
    assert pooled["dlt"]["mpjpe_abs_mm"] < 0.2 and result["joints"] == list(COCO17.joints)
    assert pooled["pipeline"]["mpjpe_abs_mm"] < 10 and result["sequences"][0]["joint_set"] == "coco17"
    assert result["sequences"][0]["limbs_constant"]


def test_the_system_on_motion_capture(shared_data):
    """Without noise heatmaps lose nothing, and with a network's errors the system beats stale maps."""
    rig = load_h36m(shared_data / "rigs/h36m_cameras.json", "S9")
    files = [shared_data / name for name in ("cmu_mocap/03/03_03.amc", "cmu_mocap_bvh/martial/07.bvh")]
    methods = ("dlt", "copy", "pipeline")
    settings = Settings(noise=("none", "detector"), methods=methods, limit_s=2.0)
    result = measure(files, rig, settings, "", progress=False)
    pooled = {(e["noise"], e["method"], e["mode"]): e for e in result["results"] if e["sequence"] == "all"}
    assert pooled["none", "dlt", "causal"]["mpjpe_abs_mm"] < 0.2
    for figure in ("mpjpe_root_mm", "mpjpe_abs_mm", "velocity_error_mm_s"):
        copy, *pipeline = (
            pooled["detector", method, mode][figure]
            for method, mode in (("copy", "causal"), ("pipeline", "causal"), ("pipeline", "window"))
        )
        assert pipeline[1] < pipeline[0] < copy, figure


def test_pictures_of_what_gives_nothing(done, tmp_path):
    result = json.loads(json.dumps(done[0]))
    for entry in result["results"]:
        if entry["method"] == "copy":
            entry |= dict.fromkeys(FIGURES) | {"joints_abs_mm": [None] * len(H36M17)}
    assert len(plot_all(result, tmp_path)) == 4


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--tick-ms", "20;40"), "--tick-ms is '20;40', expected numbers with commas"),
        (("--tick-ms", "-5"), "tick_ms is -5.0, expected more than 0"),
        (("--lag-ms", "0"), "lag_ms is 0.0, expected more than 0 and at most 200"),
        (("--noise", "gaussian"), "noise is 'gaussian', expected none, gaussian:PX or detector"),
        (("--noise", "none:3"), "noise is 'none:3', expected"),
        (("--jitter", "2"), "jitter is 2, expected 0 to 1 tick"),
        (("--drops", "1"), "drops is 1, expected a fraction"),
        (("--views", "9"), "views is 9, expected 2 to 4"),
        (("--methods", "dlt,magic"), "unknown method 'magic', expected some of dlt, "),
        (("--methods", "mcc"), "method mcc has no weights for joints h36m17, give --mcc FILE"),
        (
            ("--methods", "paper_warper"),
            "method paper_warper has no weights for joints h36m17, give --paper-w",
        ),
        (("--methods", "dlt", "--mode", "window"), "methods dlt have no mode window"),
        (("--mode", "later"), "unknown mode 'later', expected some of causal, window"),
        (("--tick-ms", "500"), "no clip can be judged: clips/slow.npz: 1.50 s of it leave 0 ticks"),
        (("--motion", "nowhere"), "nowhere: there is no motion file"),
        (("--rig", "none.json"), "none.json: it cannot be read"),
        (("--warper", "none.safetensors"), "Warper weights none.safetensors do not exist"),
        (("--plots", "rig.yaml"), "--plots: rig.yaml cannot be made"),
    ],
)
def test_bad_input_is_one_sentence(files, options, sentence):
    done = bench(
        files,
        "--quiet",
        "--rig",
        "rig.yaml",
        "--methods",
        "dlt,warper" if "warper" in str(options) else "dlt",
        *options,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("dw: ") and sentence in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_run_that_fails_leaves_the_json_of_before_or_none(files):
    (files / "before.json").write_text("{}")
    for name in ("before.json", "new.json"):
        assert bench(files, "--rig", "none.json", "--json", name).returncode == 2
    assert (files / "before.json").read_text() == "{}" and not (files / "new.json").exists()
