"""`dw bench rendered`: its arithmetic on known errors, and its command line on exact detections."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from dw_core.benchmarks.detections import Detections, detect
from dw_core.benchmarks.rendered import FIGURES, METHODS, SUBSETS, figures, footage_scene, judge, measure
from dw_core.cli.main import main
from dw_core.data import assets
from dw_core.data.rigs import save_rig
from dw_core.evaluation.rendered_report import plot
from dw_core.geometry.camera import Rig
from dw_core.skeleton import COCO17

HIPS = [COCO17.index("left_hip"), COCO17.index("right_hip")]


@pytest.fixture(scope="module")
def seen(rig, truth):
    pixels = truth.pixels[:, :, 0]
    M, T, J, _ = pixels.shape
    covariance = np.broadcast_to(4.0 * np.eye(2), (M, T, J, 2, 2))
    ones, side, corner = np.ones((M, T, J)), np.full((M, T), 500.0), np.zeros((M, T, 2))
    found = Detections(pixels, covariance, ones, ones, side, corner, ones, 0.02 * ones, pixels, 0 * ones)
    return footage_scene(rig, truth, found)


def test_the_scene_has_a_tick_for_every_frame(seen, truth):
    assert (len(seen), seen.tick_ns, seen.outside) == (40, 50_000_000, 0.0)
    np.testing.assert_array_equal(seen.pixels[7, 2], truth.pixels[2, 7, 0])
    np.testing.assert_array_equal(seen.seen(7, 3).pixels, truth.pixels[3, 7, 0])
    np.testing.assert_array_equal(seen.truth, truth.joints[:, 0])


def test_figures_of_known_errors(seen):
    T = len(seen)
    sign = np.where(np.arange(T) % 2, 1.0, -1.0)[:, None, None]
    wrist = np.zeros((T, 17, 3))
    wrist[:, 9, 1] = 0.17
    poses = {
        "shifted": seen.truth + (0.03, 0.0, 0.04),
        "shaking": seen.truth + sign * (0.001, 0.0, 0.0),
        "wrist": seen.truth + wrist,
    }
    found = figures([judge(seen, poses, np.full((T, 17), 4), range(20, T))])["all"]
    expected = {
        "shifted": {"mpjpe_mm": 0.0, "absolute_mm": 50.0, "p_mpjpe_mm": 0.0, "velocity_mm_s": 0.0},
        # 2 mm to and fro every 50 ms
        "shaking": {"absolute_mm": 1.0, "velocity_mm_s": 40.0, "acceleration_m_s2": 1.6, "pck_150": 1.0},
        "wrist": {"mpjpe_mm": 10.0, "absolute_mm": 10.0, "pck_150": 16 / 17},
    }
    for name, values in expected.items():
        entry = found["methods"][name]
        assert {figure: entry[figure] for figure in values} == pytest.approx(values, abs=1e-6)
    assert found["judged"] == found["compared"] == 20 * 17
    assert found["methods"]["wrist"]["joints_mm"]["left_wrist"] == pytest.approx(170.0)
    assert found["methods"]["wrist"]["joints_mm"]["right_wrist"] == pytest.approx(0.0, abs=1e-9)


def test_joints_are_compared_where_every_method_gives_them(seen):
    T = len(seen)
    bad, gaps = seen.truth.copy(), seen.truth.copy()
    bad[:, 9] += (0.1, 0.0, 0.0)
    gaps[30:, 9] = np.nan
    found = figures([judge(seen, {"bad": bad, "gaps": gaps}, np.full((T, 17), 4), range(20, T))])["all"]
    assert (found["judged"], found["compared"]) == (340, 330)
    assert found["methods"]["gaps"]["coverage"] == pytest.approx(330 / 340)
    assert found["methods"]["bad"]["coverage"] == 1.0
    assert found["methods"]["bad"]["absolute_mm"] == pytest.approx(10 * 100.0 / 330)
    assert found["methods"]["bad"]["absolute_own_mm"] == pytest.approx(20 * 100.0 / 340)


def test_subsets_are_by_the_number_of_views(seen):
    T = len(seen)
    views = np.full((T, 17), 4)
    views[:, 9], views[:, 10], views[:, 11] = 1, 2, 3
    poses = seen.truth.copy()
    for joint, error in ((9, 0.4), (10, 0.2), (11, 0.1)):
        poses[:, joint, 2] += error
    found = figures([judge(seen, {"one": poses}, views, range(20, T))])
    errors = {subset: found[subset]["methods"]["one"]["absolute_mm"] for subset in SUBSETS}
    assert errors == pytest.approx({"all": 700 / 17, "two_views": 300 / 16, "every_view": 0.0}, abs=1e-6)


def test_clips_count_by_their_joints(seen):
    views = np.full((len(seen), 17), 4)
    clips = [
        judge(seen, {"one": seen.truth + (error, 0, 0)}, views, ticks)
        for error, ticks in ((0.01, range(20, 35)), (0.03, range(20, 25)))
    ]
    pooled = figures(clips)["all"]["methods"]["one"]["absolute_mm"]
    assert pooled == pytest.approx((15 * 10 + 5 * 30) / 20)


@pytest.fixture(scope="module")
def done(tmp_path_factory, rig, truth, make_footage, exact_network):
    """A run on two folders whose detections are there already: those of exact maps, and shifted ones."""
    root = tmp_path_factory.mktemp("rendered")
    for name, shift in (("exact", (0.0, 0.0)), ("shifted", (6.0, 0.0))):
        folder = make_footage(root / name, truth)
        network = exact_network(truth, shift)
        detect(folder, rig, assets.movenet("float32"), lambda _, network=network: network, progress=False)
    arguments = ["bench", "rendered", "--footage", str(root / "exact"), str(root / "shifted"), "--quiet"]
    pictures = ["--plot", str(root / "errors.png"), "--detector-plot", str(root / "detector.png")]
    assert main([*arguments, "--json", str(root / "out.json"), *pictures]) == 0
    return root, json.loads((root / "out.json").read_text())


def test_exact_maps_give_exact_skeletons(done):
    exact, shifted = (scene["subsets"]["every_view"] for scene in done[1]["scenes"])
    assert exact["judged"] == exact["compared"] == 16 * 17
    for name in ("dlt_full", "dlt_full_weighted", "robust_full"):
        assert exact["methods"][name]["absolute_mm"] < 1.0
        assert shifted["methods"][name]["absolute_mm"] > 5.0
    assert exact["methods"]["dlt_interleaved"]["absolute_mm"] > 20.0, "it takes pixels of up to 150 ms ago"
    assert exact["methods"]["tracker_window"]["absolute_mm"] < 20.0


def test_the_json_is_stable(done):
    root, result = done
    assert list(result) == [
        "schema_version", "benchmark", "command", "protocol", "methods", "subsets", "pooled", "scenes",
        "detector", "versions",
    ]  # fmt: skip
    assert (result["schema_version"], result["benchmark"]) == (1, "rendered")
    assert result["command"].endswith("shifted --network float32 --lag-ms 200.0")
    assert list(result["methods"]) == list(METHODS) and result["methods"] == METHODS
    (pool,) = result["pooled"]
    assert (pool["views"], pool["tick_ms"], pool["scenes"]) == (4, 50.0, 2)
    for subset in SUBSETS:
        for name in METHODS:
            entries = [scene["subsets"][subset]["methods"][name] for scene in result["scenes"]]
            pooled = pool["subsets"][subset]["methods"][name]
            assert set(pooled) == set(entries[0]) == {*FIGURES, "coverage", "to_weighted", "joints_mm"}
            mean = np.mean([entry["absolute_mm"] for entry in entries])
            assert pooled["absolute_mm"] == pytest.approx(mean, rel=1e-5)  # written with six digits
    assert set(result["detector"]) == {"rules", "pooled", "joints", "reliability", "error_quantiles"}
    assert list(result["detector"]["joints"]) == list(COCO17.joints)
    group = result["detector"]["pooled"]["visible"]
    assert set(group) == {
        "count", "found", "px", "side", "gross", "gross_after_gross", "lag1", "swaps", "swappable",
        "d2_ratio",
    }  # fmt: skip
    for name in ("errors.png", "detector.png"):
        picture = cv2.imread(str(root / name))
        assert picture.shape[0] > 300 and picture.std() > 10


def test_the_shift_of_half_of_the_images_is_told(done):
    px = done[1]["detector"]["pooled"]["all"]["px"]
    quantiles = done[1]["detector"]["error_quantiles"]["all"]
    assert px["p90"] == pytest.approx(6.0, abs=0.2) and abs(px["bias"][1]) < 0.1
    assert quantiles["40"] < 0.001 < 0.01 < quantiles["60"]


def test_several_people_are_refused(tmp_path, truth, make_footage, capsys):
    both = {
        name: np.repeat(getattr(truth, name), 2, 2) for name in ("pixels", "inside", "hidden", "self_hidden")
    }
    two = replace(truth, joints=np.repeat(truth.joints, 2, 1), pivots=np.repeat(truth.pivots, 2, 1), **both)
    folder = make_footage(tmp_path / "two", two)
    assert main(["bench", "rendered", "--footage", str(folder), "--quiet"]) == 2
    assert "shows 2 people, expected one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--lag-ms", "0"), "the lag is 0.0 ms, expected more than 0"),
        (("--lag-ms", "950"), "expected 3 or more"),
        (("--plot", "/"), "--plot: / cannot be written"),
        (("--detector-plot", "/"), "--detector-plot: / cannot be written"),
    ],
)
def test_bad_options_are_one_sentence(done, options, sentence, capsys):
    folder = done[0] / "exact"
    assert main(["bench", "rendered", "--footage", str(folder), "--quiet", *options]) == 2
    error = capsys.readouterr().err
    assert sentence in error and len(error.splitlines()) == 1


def test_a_folder_without_truth_is_refused(tmp_path, capsys):
    assert main(["bench", "rendered", "--footage", str(tmp_path), "--quiet"]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_scenes_are_pooled_with_those_of_as_many_views(tmp_path, rig, truth, make_footage, exact_network):
    four = make_footage(tmp_path / "four", truth)
    few = replace(
        truth,
        cameras=truth.cameras[:3],
        **{name: getattr(truth, name)[:3] for name in ("pixels", "inside", "hidden", "self_hidden")},
    )
    three = make_footage(tmp_path / "three", few)
    save_rig(Rig(rig.cameras[:3]), three / "rig.yaml")
    for folder, cameras, seen in ((four, rig, truth), (three, Rig(rig.cameras[:3]), few)):
        file = assets.movenet("float32")
        detect(folder, cameras, file, lambda _, seen=seen: exact_network(seen), progress=False)
    result = measure([four, three], "float32", 200.0, "", progress=False)
    assert [(pool["views"], pool["scenes"]) for pool in result["pooled"]] == [(3, 1), (4, 1)]
    for pool, scene in zip(result["pooled"], reversed(result["scenes"]), strict=True):
        assert pool["subsets"] == scene["subsets"]
        assert pool["subsets"]["every_view"]["methods"]["dlt_full"]["absolute_mm"] < 1.0
    assert result["detector"]["pooled"]["all"]["count"] == (4 + 3) * 40 * 17
    plot(result, tmp_path / "pools.png")
    assert cv2.imread(str(tmp_path / "pools.png")).shape[1] > 1200


def test_ratios_are_to_the_weighted_triangulation_of_all_views(seen):
    T = len(seen)
    poses = {
        "dlt_full_weighted": seen.truth + (0.04, 0.0, 0.0),
        "other": seen.truth + (0.0, 0.03, 0.0),
    }
    found = figures([judge(seen, poses, np.full((T, 17), 4), range(20, T))])["all"]["methods"]
    assert found["other"]["to_weighted"] == pytest.approx(0.75)
    assert found["dlt_full_weighted"]["to_weighted"] == pytest.approx(1.0)
