"""Simulated peaks: exact without errors; with errors, as large, as lasting and as frequent as asked for."""

import numpy as np
import pytest

from dw_core.detector.draw import draw
from dw_core.detector.model import load_model
from dw_core.detector.simulate import NEAR, axes, simulate
from dw_core.errors import ConfigError
from dw_core.geometry.crop import Crop
from dw_core.heatmaps.decode import decode
from dw_core.skeleton import COCO17, H36M17, partners

ALL = Crop(-0.5, -0.5, 64.0)
ELBOW = COCO17.index("left_elbow")


def run(model, cells, times_s, joints=COCO17, occluded=None, inside=None, seed=0):
    none = np.zeros(cells.shape[:-1], dtype=bool)
    occluded, inside = none if occluded is None else occluded, ~none if inside is None else inside
    return simulate(model, joints, cells, times_s, occluded, inside, np.random.default_rng(seed))


@pytest.mark.parametrize("joints", [COCO17, H36M17], ids=lambda joints: joints.name)
def test_without_errors_peaks_are_at_the_true_places_and_decode_finds_them(make_model, make_cells, joints):
    cells = make_cells(3, joints=joints) + np.arange(3)[:, None, None] * (0.3, 0.4)
    peaks = run(make_model(), cells, np.arange(3) / 30, joints)
    np.testing.assert_array_equal(peaks.cells, cells)
    np.testing.assert_allclose(peaks.height, 1 / (1 + np.exp(-1)))
    assert (peaks.second_height == 0).all()
    for t, maps in enumerate(draw(peaks, 64)):
        found = decode(maps, ALL).pixels
        assert np.linalg.norm(found - cells[t], axis=-1).max() < 0.05


@pytest.mark.parametrize("joints", [COCO17, H36M17], ids=lambda joints: joints.name)
def test_the_same_seed_gives_the_same_peaks_and_another_one_others(make_cells, joints):
    cells = make_cells(4, 10, joints=joints)
    first, again, other = (
        run(load_model(), cells, np.arange(10) / 30, joints, seed=seed) for seed in (3, 3, 4)
    )
    for name in ("cells", "height", "sigma", "second", "second_height"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert np.isfinite(getattr(first, name)).all()
    assert (first.cells != other.cells).mean() > 0.9
    assert ((first.height > 0) & (first.height < 1)).all() and (first.sigma > 0).all()
    assert ((first.cells >= 0) & (first.cells <= 63)).all()


REGULAR = np.arange(12) * 0.04
IRREGULAR = np.array([0.0, 0.01, 0.03, 0.1, 0.11, 0.17, 0.3, 0.34, 0.35, 0.5, 0.52, 0.6])


@pytest.mark.parametrize("times_s", [REGULAR, IRREGULAR], ids=["regular", "irregular"])
def test_errors_are_correlated_as_an_ornstein_uhlenbeck_process(make_model, make_cells, times_s):
    model = make_model({"spread_along": 0.004, "spread_across": 0.004}, shares=(0.0, 1.0, 0.0), fast_s=0.12)
    cells = make_cells(1500, len(times_s))
    error = (run(model, cells, times_s).cells - cells)[:, :, ELBOW]
    # the axis is a little foreshortened: 0.97
    assert error.std() == pytest.approx(64 * 0.004, rel=0.05)
    first = error[:, :1]
    correlation = (first * error).mean((0, 2)) / error.var()
    # 3000 pairs: a standard error of 0.018
    np.testing.assert_allclose(correlation, np.exp(-(times_s - times_s[0]) / 0.12), atol=0.06)


def test_shares_are_parts_that_are_new_pass_and_stay(make_model, make_cells):
    model = make_model(
        {"spread_along": 0.004, "spread_across": 0.004}, shares=(0.3, 0.0, 0.7), fast_s=0.1, slow_s=1e6
    )
    cells = make_cells(1500, 6)
    error = (run(model, cells, REGULAR[:6]).cells - cells)[:, :, ELBOW]
    correlation = (error[:, :1] * error[:, 1:]).mean((0, 2)) / error.var()
    np.testing.assert_allclose(correlation, 0.7, atol=0.06)


def test_bias_and_spread_lie_along_the_axis_and_towards_the_partner(make_model, make_cells):
    cells = make_cells(500, 2)
    left, right = (COCO17.index(f"{side}_shoulder") for side in ("left", "right"))
    found = run(make_model({"along": 0.02, "apart": 0.1}), cells, np.arange(2) / 30).cells
    way = cells[..., right, :] - cells[..., left, :]
    # the axis of a shoulder points from the hips up; the image's y points down
    expected = cells[..., left, :] + 0.1 * way + 64 * 0.02 * np.array([0.0, -1.0])
    np.testing.assert_allclose(found[..., left, :], expected, atol=0.05)
    found = run(make_model({"spread_along": 0.006}), cells, np.arange(2) / 30).cells - cells
    assert found[..., left, 1].std() == pytest.approx(64 * 0.006, rel=0.1)
    assert np.abs(found[..., left, 0]).max() < 1e-9


def test_axes_point_to_the_body_and_up_and_shorten_when_seen_from_their_end(make_cells):
    places = make_cells() / 64
    axis = axes(COCO17, places)
    wrist, elbow = (COCO17.index(f"left_{name}") for name in ("wrist", "elbow"))
    way = places[elbow] - places[wrist]
    np.testing.assert_allclose(axis[wrist] / np.linalg.norm(axis[wrist]), way / np.linalg.norm(way))
    np.testing.assert_allclose(axis[COCO17.index("nose")], (0.0, -1.0), atol=0.03)
    places[wrist] = places[elbow] + 1e-4
    assert np.linalg.norm(axes(COCO17, places)[wrist]) < 0.01


def test_heavy_tails_leave_the_median_and_raise_the_extremes(make_model, make_cells):
    cells = make_cells(2000, 1)
    sizes = {}
    for tail in (0.0, 0.6):
        seen = {"spread_along": 0.003, "spread_across": 0.003, "tail": tail}
        error = run(make_model(seen), cells, np.zeros(1)).cells - cells
        sizes[tail] = np.quantile(np.abs(error), (0.5, 0.99))
    assert sizes[0.6][0] == pytest.approx(sizes[0.0][0], rel=0.08)
    assert sizes[0.6][1] > 1.6 * sizes[0.0][1]


def test_swaps_are_as_frequent_and_as_long_as_asked(make_model, make_cells):
    times_s = np.arange(400) / 50
    model = make_model({"swap": 0.1}, swap_s=0.2)
    cells = make_cells(60, 400)
    peaks = run(model, cells, times_s)
    pair = partners(COCO17)
    there = np.linalg.norm(peaks.cells - cells[..., pair, :], axis=-1) < 1e-6
    swapped = there[:, :, ELBOW]
    assert swapped.mean() == pytest.approx(0.1, abs=0.015)
    ends = (swapped[:, :-1] & ~swapped[:, 1:]).sum()
    assert swapped[:, :-1].sum() / ends / 50 == pytest.approx(0.2, rel=0.15)
    nose = COCO17.index("nose")
    np.testing.assert_array_equal(peaks.cells[:, :, nose], cells[:, :, nose])
    both = (swapped & there[:, :, pair[ELBOW]]).mean() / swapped.mean()
    assert both == pytest.approx(0.1, abs=0.04), "one side knows nothing of the other"


def test_sides_may_swap_together_and_less_where_they_are_apart(make_model, make_cells):
    cells = make_cells(400, 20)
    other = partners(COCO17)[ELBOW]

    def swapped(model):
        away = run(model, cells, np.arange(20) / 5).cells - cells[..., partners(COCO17), :]
        there = np.linalg.norm(away, axis=-1) < 1e-6
        return there[..., ELBOW], there[..., other]

    one, both = swapped(make_model({"swap": 0.2}, together=1.0))
    np.testing.assert_array_equal(one, both)
    assert one.mean() == pytest.approx(0.2, abs=0.02)
    beyond = np.linalg.norm(cells[0, 0, ELBOW] - cells[0, 0, other]) / 64 - NEAR
    one, _ = swapped(make_model({"swap": 0.5, "swap_reach": beyond}))
    assert one.mean() == pytest.approx(0.5 / np.e, abs=0.02)


def test_a_swapped_joint_has_its_second_peak_at_its_own_place(make_model, make_cells):
    cells = make_cells(50, 1)
    model = make_model({"swap": 1.0, "second": np.log(0.5)})
    peaks = run(model, cells, np.zeros(1))
    np.testing.assert_allclose(peaks.second[..., ELBOW, :], cells[..., ELBOW, :])
    np.testing.assert_allclose(peaks.second_height[..., ELBOW], 0.5 * peaks.height[..., ELBOW])
    model = make_model({"second": np.log(0.5)}, second_at_partner=1.0)
    peaks = run(model, cells, np.zeros(1))
    np.testing.assert_allclose(peaks.second[..., ELBOW, :], cells[..., partners(COCO17)[ELBOW], :])


def test_gross_errors_are_beyond_near_last_and_are_low(make_model, make_cells):
    model = make_model({"gross": 0.3}, gross_s=0.5, gross_distance=0.05, gross_height=-2.0)
    cells = make_cells(100, 100)
    peaks = run(model, cells, np.arange(100) / 50)
    away = np.linalg.norm(peaks.cells - cells, axis=-1)[..., ELBOW] / 64
    gross = away > 1e-9
    assert gross.mean() == pytest.approx(0.3, abs=0.03)
    assert away[gross].min() >= NEAR - 1e-9
    assert away[gross].mean() == pytest.approx(NEAR + 0.05, rel=0.1)
    assert (gross[:, :-1] & gross[:, 1:]).sum() / gross[:, :-1].sum() > 0.9
    height = peaks.height[..., ELBOW]
    np.testing.assert_allclose(height, 1 / (1 + np.exp(-np.where(gross, -1.0, 1.0))))


def test_what_is_occluded_has_errors_of_its_own_and_what_is_outside_is_low(make_model, make_cells):
    model = make_model(occluded={"spread_along": 0.01, "height": 0.0})
    cells = make_cells(200, 2)
    occluded = np.zeros(cells.shape[:-1], dtype=bool)
    occluded[:, 1] = True
    peaks = run(model, cells, np.arange(2) / 30, occluded=occluded)
    error = np.linalg.norm(peaks.cells - cells, axis=-1)
    assert error[:, 0].max() == 0 and error[:, 1].mean() > 0.3
    np.testing.assert_allclose(peaks.height[:, 1], 0.5)
    outside = run(model, cells, np.arange(2) / 30, inside=occluded)
    np.testing.assert_allclose(outside.height[:, 0], 1 / (1 + np.exp(2.0)))


def test_errors_go_with_low_peaks(make_model, make_cells):
    seen = {"spread_along": 0.004, "spread_across": 0.004, "tail": 0.5, "height_tail": 0.9}
    cells = make_cells(1000, 1)
    peaks = run(make_model(seen, height_spread=1.0), cells, np.zeros(1))
    error, height = np.linalg.norm(peaks.cells - cells, axis=-1).ravel(), peaks.height.ravel()
    low, high = (np.median(error[part]) for part in (height < np.median(height), height >= np.median(height)))
    assert low > 1.5 * high


def test_times_that_fall_are_refused(make_model, make_cells):
    with pytest.raises(ConfigError, match="the times of a simulation fall"):
        run(make_model(), make_cells(3), np.array([0.0, 0.1, 0.05]))


def test_every_view_may_have_its_own_times(make_model, make_cells):
    model = make_model({"spread_along": 0.004}, shares=(0.0, 0.0, 1.0), slow_s=0.1)
    cells = make_cells(2, 800, 2)
    times_s = np.broadcast_to(np.array([[0.0, 1e-6], [0.0, 10.0]])[:, None], (2, 800, 2))
    error = (run(model, cells, times_s).cells - cells)[..., ELBOW, 1]
    for view, expected in ((0, 1.0), (1, 0.0)):
        assert np.corrcoef(error[view].T)[0, 1] == pytest.approx(expected, abs=0.1)
