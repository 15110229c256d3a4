"""The network's error figures, of errors that are known."""

from dataclasses import replace

import numpy as np
import pytest

from dw_core.benchmarks.detections import Detections
from dw_core.benchmarks.detector import PARTNERS, detector_figures, observations
from dw_core.skeleton import COCO17

SIDE, SIGMA = 500.0, 4.0
KIND = {"visible": slice(0, 14), "self_occluded": slice(14, 16), "hidden": slice(16, 17)}


@pytest.fixture(scope="module")
def long(truth):
    """Ten times the footage; the last joints are hidden by the body, and by something else too."""
    tiled = {
        name: np.tile(getattr(truth, name), (1, 10, *[1] * (getattr(truth, name).ndim - 2)))
        for name in ("pixels", "inside", "hidden", "self_hidden")
    }
    tiled["self_hidden"][..., KIND["self_occluded"]] = True
    tiled["hidden"][..., KIND["hidden"]] = True
    tiled["self_hidden"][..., KIND["hidden"]] = True
    return replace(truth, **tiled)


def detections(pixels, confidence=1.0, height=0.8, sigma=SIGMA):
    M, T, J, _ = pixels.shape
    full = np.ones((M, T, J))
    covariance = np.broadcast_to(sigma**2 * np.eye(2), (M, T, J, 2, 2))
    side, corner = np.full((M, T), SIDE), np.zeros((M, T, 2))
    peaks = {"top": height * full, "width": 0.02 * full, "second": pixels / SIDE, "second_height": 0 * full}
    return Detections(pixels, covariance, confidence * full, height * full, side, corner, **peaks)


def figures(truth, found):
    return detector_figures([observations(found, truth)])


def test_a_shift_is_bias_and_nothing_else(long):
    result = figures(long, detections(long.pixels[:, :, 0] + (3.0, -4.0)))
    for group in (result["pooled"]["all"], result["joints"]["left_wrist"]["visible"]):
        assert group["px"]["bias"] == pytest.approx([3.0, -4.0])
        assert group["px"]["spread"] == pytest.approx([0.0, 0.0], abs=1e-9)
        assert group["px"]["median"] == group["px"]["p90"] == pytest.approx(5.0)
        assert group["side"]["median"] == pytest.approx(0.01)
        assert group["gross"] == 0.0


def test_gaussian_errors_are_told_as_such(long):
    rng = np.random.default_rng(1)
    true = long.pixels[:, :, 0]
    result = figures(long, detections(true + SIGMA * rng.normal(size=true.shape)))
    group = result["pooled"]["all"]
    assert group["px"]["spread"] == pytest.approx([SIGMA, SIGMA], rel=0.03)
    assert group["px"]["median"] == pytest.approx(SIGMA * np.sqrt(2 * np.log(2)), rel=0.03)
    assert group["px"]["p90"] == pytest.approx(SIGMA * np.sqrt(2 * np.log(10)), rel=0.03)
    assert group["d2_ratio"] == pytest.approx(1.0, rel=0.04)
    assert abs(group["lag1"]) < 0.03
    twice = figures(long, detections(true + 2 * SIGMA * rng.normal(size=true.shape)))
    assert twice["pooled"]["all"]["d2_ratio"] == pytest.approx(4.0, rel=0.06)


def test_errors_that_last_are_correlated(long):
    rng = np.random.default_rng(2)
    true = long.pixels[:, :, 0]
    error = np.zeros_like(true)
    for t in range(1, true.shape[1]):
        error[:, t] = 0.7 * error[:, t - 1] + SIGMA * rng.normal(size=error[:, t].shape)
    assert figures(long, detections(true + error))["pooled"]["all"]["lag1"] == pytest.approx(0.7, abs=0.03)


def test_kinds_are_kept_apart_and_what_is_outside_does_not_count(long):
    found = long.pixels[:, :, 0].copy()
    for kind, shift in (("visible", 1.0), ("self_occluded", 2.0), ("hidden", 3.0)):
        found[:, :, KIND[kind], 0] += shift
    inside = long.inside.copy()
    inside[1] = False
    result = figures(replace(long, inside=inside), detections(found))
    pooled = result["pooled"]
    assert [pooled[kind]["px"]["bias"][0] for kind in KIND] == pytest.approx([1.0, 2.0, 3.0])
    M, T = 3, found.shape[1]
    assert [pooled[kind]["count"] for kind in ("all", *KIND)] == [M * T * n for n in (17, 14, 2, 1)]
    assert result["joints"]["nose"]["hidden"] == {"count": 0, "found": 0, "px": None}


def test_swapped_joints_are_counted_where_the_sides_are_apart(long):
    true = long.pixels[:, :, 0]
    found = true.copy()
    found[:, ::4] = found[:, ::4][:, :, PARTNERS]
    result = figures(long, detections(found))
    assert result["joints"]["left_shoulder"]["all"]["swaps"] == pytest.approx(0.25)
    own = COCO17.index("left_shoulder")
    apart = np.linalg.norm(true[:, :, own] - true[:, :, PARTNERS[own]], axis=-1) > 0.05 * SIDE
    assert result["joints"]["left_shoulder"]["all"]["swappable"] == apart.sum() > 100
    nose = result["joints"]["nose"]["all"]
    assert (nose["swappable"], nose["swaps"]) == (0, None), "it has no partner"


def test_a_miss_elsewhere_is_gross_and_no_swap(long):
    found = long.pixels[:, :, 0].copy()
    found[:, ::2, :, 1] += 400.0
    group = figures(long, detections(found))["joints"]["left_shoulder"]["all"]
    assert (group["gross"], group["swaps"], group["gross_after_gross"]) == (0.5, 0.0, 0.0)
    beyond = long.pixels[:, :, 0] + 4.0 * (long.pixels[:, :, 0][:, :, PARTNERS] - long.pixels[:, :, 0])
    group = figures(long, detections(beyond))["joints"]["left_shoulder"]["all"]
    assert group["gross"] > 0.5 and group["swaps"] < 0.2, "nearer to the partner, but not there"
    lasting = long.pixels[:, :, 0].copy()
    lasting[:, :200, :, 1] += 400.0
    stays = figures(long, detections(lasting))["joints"]["left_shoulder"]["all"]["gross_after_gross"]
    assert stays == pytest.approx(199 / 200)


def test_reliability_is_that_of_a_detector_that_says_the_truth(long):
    rng = np.random.default_rng(3)
    true = long.pixels[:, :, 0]
    confidence = rng.random(true.shape[:-1])
    right = rng.random(confidence.shape) < confidence
    found = detections(np.where(right[..., None], true, true + 300.0), confidence=confidence)
    for row in figures(long, found)["reliability"]["confidence"]["all"]:
        assert row["count"] > 500
        assert row["low"] <= row["mean"] < row["high"]
        assert row["near"] == pytest.approx(row["mean"], abs=0.04)


def test_joints_that_were_not_found_are_counted(long):
    found = detections(long.pixels[:, :, 0].copy(), confidence=1.0)
    found.pixels[:, :100, 0] = np.nan
    nose = figures(long, found)["joints"]["nose"]["all"]
    assert (nose["count"], nose["found"]) == (1600, 1200)
    assert nose["px"]["median"] == pytest.approx(0.0, abs=1e-9)
