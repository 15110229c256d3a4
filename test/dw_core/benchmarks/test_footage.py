"""`dw bench footage`: on exact maps of somebody who steps to and fro."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dw_core.benchmarks.footage import Watched, measure, reference, watched
from dw_core.benchmarks.methods import robust_full
from dw_core.cli.main import main
from dw_core.evaluation.footage_report import footage_table
from dw_core.evaluation.metrics import reprojection_errors
from dw_core.geometry.camera import Rig
from dw_core.geometry.crop import crop_around
from dw_core.joint_refiner import PACKAGED, load_refiner
from dw_core.skeleton import COCO17
from dw_core.synthetic.truth import Truth
from dw_core.types import NS, Heatmaps, ImageFrame

COUNT = 30


@pytest.fixture(scope="module")
def views(rig: Rig, truth: Truth, exact_network: Any) -> list[list[Heatmaps]]:
    network = exact_network(truth)
    views = []
    for m, camera in enumerate(rig):
        maps = []
        for k in range(COUNT):
            stamp = round(k * NS / truth.rate_hz)
            crop = crop_around(truth.pixels[m, k, 0], 1.25)
            frame = ImageFrame(camera.name, stamp, np.zeros((1, 1, 3), np.uint8))
            maps.append(Heatmaps(camera.name, stamp, crop, network.infer(frame, crop)))
        views.append(maps)
    return views


@pytest.fixture(scope="module")
def seen(rig: Rig, truth: Truth, views: list[list[Heatmaps]]) -> Watched:
    return watched(rig, views, truth.rate_hz)


@pytest.fixture(scope="module")
def refined(rig: Rig, truth: Truth, views: list[list[Heatmaps]]) -> Watched:
    return watched(rig, views, truth.rate_hz, load_refiner(PACKAGED, COCO17))


@pytest.fixture(scope="module")
def result(seen: Watched, refined: Watched) -> dict[str, Any]:
    return measure(seen, refined, "dw bench footage")


def found(result: dict[str, Any], method: str, mode: str = "causal", joints: str = "seen") -> dict[str, Any]:
    key = method, mode, joints
    (entry,) = (e for e in result["results"] if (e["method"], e["mode"], e["joints"]) == key)
    return dict(entry)


def test_the_clip_goes_forwards_and_backwards(seen: Watched, truth: Truth) -> None:
    """The reference of exact maps is the truth but for the smoothing of half a wave in a second."""
    np.testing.assert_allclose(seen.scene.truth[5], truth.joints[5, 0], atol=5e-3)
    np.testing.assert_array_equal(seen.scene.truth[COUNT + 3], seen.scene.truth[COUNT - 5])
    np.testing.assert_array_equal(seen.scene.pixels[COUNT + 3, 2], seen.scene.pixels[COUNT - 5, 2])
    maps = seen.heatmaps(COUNT + 3)
    assert (maps.view, maps.stamp_ns) == (
        seen.scene.rig.names[(COUNT + 3) % 4],
        seen.scene.stamp_ns(COUNT + 3),
    )


def test_all_views_at_every_frame_agree_with_the_reference(result: dict[str, Any]) -> None:
    for method in ("robust", "dlt", "dlt_weighted"):
        assert found(result, method)["reference_mm"] < 5
        assert found(result, method)["left_out_median_px"] < 1


def test_who_moves_is_behind_in_stale_maps_and_less_so_in_the_pipeline(result: dict[str, Any]) -> None:
    """He steps at up to a metre in a second; maps are up to 150 ms old."""
    copy, pipeline = found(result, "copy"), found(result, "pipeline", "window", "refined")
    assert copy["reference_mm"] > 20
    assert pipeline["reference_mm"] < 0.5 * copy["reference_mm"]
    assert pipeline["left_out_median_px"] < 0.5 * copy["left_out_median_px"]
    assert copy["coverage"] == pipeline["coverage"] == 1.0


def test_refined_joints_are_judged_by_refined_ones(
    seen: Watched, refined: Watched, result: dict[str, Any]
) -> None:
    """The refiner takes exact maps for MoveNet's and moves them by centimetres; whoever were judged by joints
    as seen would be off by that."""
    moved = np.linalg.norm(refined.scene.truth - seen.scene.truth, axis=-1)
    assert np.nanmean(moved) > 0.01
    robust = found(result, "robust", joints="refined")
    assert robust["reference_mm"] < 5
    by_refined, by_seen = (_left_out_px(refined, of) for of in (refined, seen))
    assert by_refined < 0.8 * by_seen
    assert robust["left_out_median_px"] == pytest.approx(by_refined, rel=0.1)
    np.testing.assert_array_equal(refined.without(1).scene.pixels, np.delete(refined.scene.pixels, 1, axis=1))


def _left_out_px(seen: Watched, judge: Watched) -> float:
    """How far robust triangulation of all views but one is from the joints of that one in `judge`, median."""
    errors = [
        reprojection_errors(camera, robust_full(seen.without(m).scene), judge.scene.pixels[:, m])
        for m, camera in enumerate(seen.scene.rig)
    ]
    return float(np.nanmedian(errors))


def test_a_left_out_view_is_not_used(seen: Watched) -> None:
    part = seen.without(1)
    assert part.scene.rig.names == tuple(n for m, n in enumerate(seen.scene.rig.names) if m != 1)
    np.testing.assert_array_equal(part.scene.pixels, seen.scene.pixels[:, [0, 2, 3]])
    assert {part.heatmaps(tick).view for tick in range(9)} == set(part.scene.rig.names)


def test_a_joint_that_is_rarely_seen_has_no_reference(seen: Watched) -> None:
    scene = seen.scene
    pixels = scene.pixels.copy()
    pixels[: int(0.6 * len(pixels)), :, 9] = np.nan
    pixels[:20, :, 10] = np.nan
    poses = reference(type(scene)(**{**vars(scene), "pixels": pixels}))
    assert np.isnan(poses[:, 9]).all()
    assert np.isfinite(poses[:, 10]).all()


def test_the_table_tells_every_figure(result: dict[str, Any]) -> None:
    table = footage_table(result)
    for method, mode, joints in (
        ("copy", "causal", "seen"),
        ("sync_tracker", "window", "seen"),
        ("sync_tracker", "window", "refined"),
        ("pipeline", "window", "refined"),
    ):
        (line,) = (
            line
            for line in table.splitlines()
            if (words := line.split())[:2] == [method, mode] and words[3] == joints
        )
        entry = found(result, method, mode, joints)
        assert line.split()[4:] == [
            f"{entry['reference_mm']:.1f}",
            f"{entry['reference_median_mm']:.1f}",
            f"{entry['left_out_median_px']:.1f}",
            f"{entry['left_out_p90_px']:.1f}",
            f"{100 * entry['worst_limb_mad']:.1f}",
            "100.0",
        ]


def test_a_rig_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "footage", "--rig", "none.yaml"]) == 2
    assert "none.yaml" in capsys.readouterr().err
