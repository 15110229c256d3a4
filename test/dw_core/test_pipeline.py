"""The stages joined, on rendered heatmaps of a person who moves while the cameras fire in turn."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dw_core.errors import CalibrationError, ConfigError
from dw_core.fusion.spatial import SpatialFusion
from dw_core.fusion.warper import TemporalFusion
from dw_core.geometry.camera import Array, Camera, Rig, project
from dw_core.geometry.crop import apply_affine, crop_around
from dw_core.heatmaps.render import render_gaussians
from dw_core.interleave.schedule import uniform_schedule
from dw_core.interleave.window import CLOCK_JUMP_NS, Window, WindowSettings
from dw_core.joint_refiner import JointRefiner
from dw_core.pipeline import InterleavedPipeline, Method, Mode, Triangulation
from dw_core.skeleton import COCO17
from dw_core.tracking.tracker import TrackerSettings
from dw_core.types import NS, Heatmaps, Skeleton3D, TrackingState

from .drawn import random_refiner

START_NS = 1_000 * NS
TICKS = 90
SETTLED = 30  # half a second
CELLS, SIGMA = 64, 1.27  # MoveNet's maps and the width of its peaks
Motion = Callable[[float], Array]


def make_pipeline(
    rig: Rig,
    method: Method,
    mode: Mode = "causal",
    lag_s: float = 0.2,
    lookahead_ns: int = 0,
    refiner: JointRefiner | None = None,
) -> tuple[InterleavedPipeline, Window, Triangulation]:
    window = Window(rig.names, WindowSettings(lookahead_ns=lookahead_ns))
    triangulation = Triangulation(rig, COCO17, method, mode, lag_s, refiner)
    return (
        InterleavedPipeline(window, SpatialFusion(rig), TemporalFusion(), triangulation),
        window,
        triangulation,
    )


def see(camera: Camera, joints: Array, stamp_ns: int) -> Heatmaps:
    pixels = project(camera, joints)
    crop = crop_around(pixels, 1.25)
    assert crop is not None
    cells = apply_affine(crop.to_cells(CELLS), pixels)
    return Heatmaps(camera.name, stamp_ns, crop, render_gaussians(cells, CELLS, SIGMA))


def interleaved(rig: Rig, motion: Motion, ticks: int = TICKS, start_ns: int = START_NS) -> list[Heatmaps]:
    """15 Hz per camera, the cameras in turn."""
    schedule = uniform_schedule(rig.names, 15.0, start_ns)
    shots = [schedule.shot(number) for number in range(ticks)]
    return [see(rig[rig.index(s.camera)], motion((s.stamp_ns - start_ns) / NS), s.stamp_ns) for s in shots]


def assert_equal(a: list[Skeleton3D], b: list[Skeleton3D]) -> None:
    """To the bit."""
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        for field in ("positions", "velocities", "covariance", "confidence"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
        for field in ("stamp_ns", "identity", "state", "views", "view_ages_ns"):
            assert getattr(one, field) == getattr(other, field)


def errors_mm(skeletons: list[Skeleton3D], motion: Motion) -> Array:
    """(T, J) of skeletons at their own times."""
    truth = np.stack([motion((one.stamp_ns - START_NS) / NS) for one in skeletons])
    return 1e3 * np.linalg.norm(np.stack([one.positions for one in skeletons]) - truth, axis=-1)


@pytest.fixture
def motion(person: Array) -> Motion:
    """Walking at 0.8 m/s with arms that swing."""
    swing = np.zeros((len(COCO17), 3))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        swing[COCO17.index(f"{side}_elbow"), 0] = 0.06 * sign
        swing[COCO17.index(f"{side}_wrist"), 0] = 0.15 * sign
    return lambda seconds: person + swing * np.sin(2 * np.pi * seconds) + (0.8 * (seconds - 1.0), 0.0, 0.0)


@pytest.mark.parametrize(("method", "first"), [("tracker", SETTLED), ("dlt", 1)])
def test_there_is_a_skeleton_at_every_tick_at_the_time_of_its_exposure(
    rig: Rig, motion: Motion, method: Method, first: int
) -> None:
    pipeline, window, triangulation = make_pipeline(rig, method)
    observations = interleaved(rig, motion)
    skeletons = [pipeline.push(one) for one in observations]
    assert [one.stamp_ns for one in skeletons if one] == [one.stamp_ns for one in observations]
    assert all(one and one.state == TrackingState.TRACKED for one in skeletons[first:])
    assert all(one and np.isfinite(one.positions).all() for one in skeletons[first:])
    assert skeletons[0] is not None and skeletons[0].state == TrackingState.LOST, "one view is no skeleton"
    assert window.counters["used"] == triangulation.counters.total() == TICKS


def test_the_tracker_is_at_the_right_place_and_the_papers_form_lags_behind(rig: Rig, motion: Motion) -> None:
    """`dlt` takes maps that are up to 3 ticks (50 ms, 40 mm at this speed) old for what is now."""
    found = {}
    for method in ("tracker", "dlt"):
        pipeline = make_pipeline(rig, method)[0]
        skeletons = [one for one in map(pipeline.push, interleaved(rig, motion)) if one][SETTLED:]
        found[method] = errors_mm(skeletons, motion)
    assert np.median(found["tracker"]) < 2 and found["tracker"].max() < 25
    assert 10 < np.median(found["dlt"]) < 40 and np.percentile(found["dlt"], 90) < 80


@pytest.mark.parametrize(("method", "median_mm", "worst_mm"), [("tracker", 0.01, 0.1), ("dlt", 8, 25)])
def test_who_stands_still_is_where_they_stand(
    rig: Rig, person: Array, method: Method, median_mm: float, worst_mm: float
) -> None:
    """The tracker takes the fresh view's own map and is exact; `dlt` also takes the stale views', in which
    the maxima along epipolar lines leave streaks that pull at the peaks."""
    pipeline = make_pipeline(rig, method)[0]
    skeletons = [one for one in map(pipeline.push, interleaved(rig, lambda _: person, 60)) if one]
    errors = errors_mm(skeletons[SETTLED:], lambda _: person)
    assert np.median(errors) < median_mm and errors.max() < worst_mm


@pytest.mark.parametrize(
    ("method", "mode"), [("tracker", "causal"), ("tracker", "window"), ("dlt", "causal")]
)
def test_every_views_joints_are_refined_before_they_are_triangulated(
    rig: Rig, motion: Motion, method: Method, mode: Mode
) -> None:
    """To the bit what joints give that were refined when they were decoded, not what they give as seen."""
    refiner = random_refiner(COCO17, 0.03)
    plain, refining, told = (
        Triangulation(rig, COCO17, method, mode, 0.02, refiner=one) for one in (None, refiner, None)
    )
    windows = Window(rig.names), Window(rig.names)
    moved = 0.0
    for heatmaps in interleaved(rig, motion, 30):
        joints = refiner.refined(heatmaps.joints)
        done = Heatmaps(heatmaps.view, heatmaps.stamp_ns, heatmaps.crop, heatmaps.tensor)
        vars(done)["joints"] = joints  # instead of what would be decoded
        (dense,), (refined,) = (
            window.push(one) for window, one in zip(windows, (heatmaps, done), strict=True)
        )
        before, after = plain.apply(dense), refining.apply(dense)
        assert_equal(list(after), list(told.apply(refined)))
        for one, other in zip(before, after, strict=True):
            off = np.linalg.norm(other.positions - one.positions, axis=-1)
            moved = max(moved, float(np.nan_to_num(off).max()))
    assert 0.01 < moved < 0.5
    assert refining.counters == told.counters and refining.counters["tracked"] >= 10


def test_the_refiner_changes_between_two_sets(rig: Rig, motion: Motion) -> None:
    """With `dlt`, which remembers nothing: from one set to the next."""
    refiner, half = random_refiner(COCO17, 0.02), 10
    (plain, *_), (changed, _, triangulation) = (make_pipeline(rig, "dlt") for _ in range(2))
    refined = make_pipeline(rig, "dlt", refiner=refiner)[0]
    for n, heatmaps in enumerate(interleaved(rig, motion, 2 * half)):
        if n == half:
            triangulation.change("dlt", "causal", 0.2, refiner)
        found, *others = (one.push(heatmaps) for one in (changed, plain, refined))
        expected = others[n >= half]
        assert found is not None and expected is not None
        assert_equal([found], [expected])


def test_an_observation_out_of_order_gives_no_skeleton_and_is_used(rig: Rig, motion: Motion) -> None:
    """The tick after the swap is the same as if everything had come in order; had the late observation
    been thrown away, it would not be."""
    observations = interleaved(rig, motion, 60)
    swapped = [*observations[:50], observations[51], observations[50], *observations[52:]]
    missing = [*observations[:50], *observations[51:]]
    results = {}
    for name, order in (("in order", observations), ("swapped", swapped), ("missing", missing)):
        pipeline, window, triangulation = make_pipeline(rig, "tracker")
        results[name] = [pipeline.push(one) for one in order]
        late = int(name == "swapped")
        assert (window.counters["out_of_order"], triangulation.counters["late"]) == (late, late)
    assert results["swapped"][51] is None and results["swapped"].count(None) == 1
    last = {name: one[-1].positions for name, one in results.items() if one[-1]}
    np.testing.assert_array_equal(last["swapped"], last["in order"])
    assert np.abs(last["missing"] - last["in order"]).max() > 1e-6


@pytest.mark.parametrize("method", ["tracker", "dlt"])
def test_two_runs_agree_to_the_bit(rig: Rig, motion: Motion, method: Method) -> None:
    observations = interleaved(rig, motion, 60)
    runs = []
    for _ in range(2):
        pipeline = make_pipeline(rig, method)[0]
        runs.append([one for one in map(pipeline.push, observations) if one])
    assert_equal(*runs)


@pytest.mark.parametrize("direction", [1, -1])
def test_after_a_jump_of_the_clock_everything_starts_anew(rig: Rig, motion: Motion, direction: int) -> None:
    """What follows is the same as in a run that begins there."""
    before = interleaved(rig, motion, 40)
    after = interleaved(rig, motion, 40, START_NS + direction * 2 * CLOCK_JUMP_NS)
    pipeline, window, _ = make_pipeline(rig, "tracker")
    continued = [pipeline.push(one) for one in (*before, *after)][40:]
    fresh = make_pipeline(rig, "tracker")[0]
    anew = [fresh.push(one) for one in after]
    assert window.counters["reset"] == 1
    assert continued[0] is not None and continued[0].state == TrackingState.LOST
    for a, b in zip(continued, anew, strict=True):
        assert a is not None and b is not None and a.state == b.state
        np.testing.assert_array_equal(a.positions, b.positions)


def test_nobody_in_the_maps_is_nobody(rig: Rig, person: Array) -> None:
    empty = [
        Heatmaps(one.view, one.stamp_ns, one.crop, np.zeros_like(one.tensor))
        for one in interleaved(rig, lambda _: person, 12)
    ]
    for method in ("tracker", "dlt"):
        pipeline = make_pipeline(rig, method)[0]
        skeletons = [one for one in map(pipeline.push, empty) if one]
        assert len(skeletons) == 12
        assert all(one.state == TrackingState.LOST and np.isnan(one.positions).all() for one in skeletons)


def test_a_view_that_the_rig_lacks_is_named(rig: Rig, person: Array) -> None:
    (dense,) = Window(rig.names).push(see(rig[3], person, START_NS))
    with pytest.raises(CalibrationError, match="no camera 'cam4'"):
        Triangulation(rig.without("cam4"), COCO17).apply(dense)


@pytest.mark.parametrize("lag_s", [0.0, 0.06, 0.2])
def test_window_mode_gives_each_exposure_once_and_in_order_a_lag_later(
    rig: Rig, motion: Motion, lag_s: float
) -> None:
    """Uneven intervals, two cameras at once, and a pause that is longer than the lag."""
    rng = np.random.default_rng(0)
    steps = rng.integers(2_000_000, 40_000_000, 80)
    steps[[20, 35]], steps[60] = 0, 350_000_000
    stamps = [START_NS + int(step) for step in np.cumsum(steps)]
    pipeline, _, triangulation = make_pipeline(rig, "tracker", "window", lag_s)
    given: list[int] = []
    for k, stamp in enumerate(stamps):
        due = pipeline.skeletons(see(rig[k % 4], motion((stamp - START_NS) / NS), stamp))
        given += [one.stamp_ns for one in due]
        assert given == sorted({one for one in stamps[: k + 1] if one <= stamp - round(lag_s * NS)})
    counters = triangulation.counters
    assert counters.total() == len(given) + counters["late"]
    assert counters["late"] == (2 if lag_s == 0 else 0), "the second camera's exposure was given already"


def test_window_mode_is_better_than_causal_on_the_same_exposures(rig: Rig, motion: Motion) -> None:
    """Even where the maps are free of noise and only the arms' acceleration is left to be found."""
    observations = interleaved(rig, motion)
    medians = {}
    for mode in ("causal", "window"):
        pipeline = make_pipeline(rig, "tracker", mode)[0]
        skeletons = [one for each in map(pipeline.skeletons, observations) for one in each]
        chosen = [one for one in skeletons[SETTLED:] if one.stamp_ns <= skeletons[TICKS - 15].stamp_ns]
        assert len(chosen) == TICKS - 14 - SETTLED
        medians[mode] = np.median(errors_mm(chosen, motion))
    assert medians["window"] < 0.85 * medians["causal"]


def test_window_mode_uses_an_observation_out_of_order_as_if_it_had_come_in_order(
    rig: Rig, motion: Motion
) -> None:
    """It is older than nothing that was given, so it gets a skeleton too."""
    observations = interleaved(rig, motion, 60)
    swapped = [*observations[:50], observations[51], observations[50], *observations[52:]]
    results = []
    for order in (observations, swapped):
        pipeline, _, triangulation = make_pipeline(rig, "tracker", "window", 0.1)
        results.append([one for each in map(pipeline.skeletons, order) for one in each])
        assert triangulation.counters["late"] == 0
    assert [one.stamp_ns for one in results[0]] == [one.stamp_ns for one in results[1]]
    np.testing.assert_array_equal(results[0][-1].positions, results[1][-1].positions)


def test_after_a_jump_of_the_clock_the_window_starts_anew(rig: Rig, motion: Motion) -> None:
    before = interleaved(rig, motion, 40)
    after = interleaved(rig, motion, 40, START_NS - 2 * CLOCK_JUMP_NS)
    continued, fresh = make_pipeline(rig, "tracker", "window")[0], make_pipeline(rig, "tracker", "window")[0]
    for one in before:
        continued.push(one)
    for one in after:
        a, b = continued.push(one), fresh.push(one)
        assert (a is None) == (b is None)
        if a and b:
            assert a.stamp_ns == b.stamp_ns <= one.stamp_ns - NS // 5
            np.testing.assert_array_equal(a.positions, b.positions)


def test_a_lag_that_changes_on_the_way_gives_each_exposure_once_and_in_order(
    rig: Rig, motion: Motion
) -> None:
    pipeline, _, triangulation = make_pipeline(rig, "tracker", "window", 0.05)
    stamps, behind_ns = [], []
    for n, observation in enumerate(interleaved(rig, motion)):
        if n == TICKS // 2:
            triangulation.change("tracker", "window", 0.15, None)
        given = [skeleton.stamp_ns for skeleton in pipeline.skeletons(observation)]
        stamps += given
        behind_ns += [(n, observation.stamp_ns - stamp) for stamp in given]
    assert stamps == sorted(set(stamps))
    assert min(ns for n, ns in behind_ns if n < TICKS // 2) < 0.08 * NS
    assert min(ns for n, ns in behind_ns if n >= TICKS // 2) >= 0.15 * NS
    with pytest.raises(ConfigError, match="no window mode"):
        triangulation.change("dlt", "window", 0.1, None)


@pytest.mark.parametrize("method", ["tracker", "dlt"])
def test_thresholds_change_between_two_sets_and_what_is_known_stays(
    rig: Rig, motion: Motion, method: Method
) -> None:
    """More joints than there are: nobody; back again: the very skeletons of a run that was never changed."""
    (plain, *_), (changed, _, triangulation) = (make_pipeline(rig, method) for _ in range(2))
    strict = TrackerSettings(min_joints=len(COCO17) + 1, confirm_s=5.0)
    for n, heatmaps in enumerate(interleaved(rig, motion)):
        if n in (TICKS // 2, TICKS // 2 + 8):
            triangulation.change(method, "causal", 0.2, None, strict if n == TICKS // 2 else None)
        one, other = plain.push(heatmaps), changed.push(heatmaps)
        assert one is not None and other is not None
        if TICKS // 2 <= n < TICKS // 2 + 8:
            assert other.state == TrackingState.LOST
        elif n < TICKS // 2 or method == "dlt":
            assert_equal([one], [other])
        elif n > TICKS // 2 + 20:
            assert other.state == TrackingState.TRACKED
            np.testing.assert_allclose(other.positions, one.positions, atol=5e-3)


def test_a_window_that_cannot_be_is_refused(rig: Rig) -> None:
    with pytest.raises(ConfigError, match=r"lag of window mode is 0\.3 s, expected 0 to 0\.2 s"):
        Triangulation(rig, COCO17, mode="window", lag_s=0.3)
    with pytest.raises(ConfigError, match="method 'dlt' has no window mode"):
        Triangulation(rig, COCO17, "dlt", "window")


@pytest.mark.parametrize("lookahead_ms", [0, 40])
@pytest.mark.parametrize(
    ("method", "mode"), [("tracker", "causal"), ("tracker", "window"), ("dlt", "causal")]
)
def test_a_saved_run_goes_on_to_the_bit_in_a_new_pipeline(
    rig: Rig, motion: Motion, method: Method, mode: Mode, lookahead_ms: int
) -> None:
    """Saved just after an observation out of order, so that counters and what was given matter."""
    observations = interleaved(rig, motion, 60)
    observations[38:40] = observations[39], observations[38]
    made = [make_pipeline(rig, method, mode, lookahead_ns=lookahead_ms * 1_000_000) for _ in range(2)]
    (through, window, triangulation), (restored, new_window, new_triangulation) = made
    for one in observations[:40]:
        through.skeletons(one)
    saved = pickle.dumps(through.state)
    rest = [observations[39], *observations[40:]]  # one of them again
    expected = [one for each in map(through.skeletons, rest) for one in each]
    restored.state = pickle.loads(saved)
    found = [one for each in map(restored.skeletons, rest) for one in each]
    assert len(expected) >= 10 and all(one.state == TrackingState.TRACKED for one in expected)
    assert_equal(found, expected)
    assert new_window.counters == window.counters and new_window.counters["duplicate"] == 1
    assert new_triangulation.counters == triangulation.counters


def test_centred_sets_serve_the_papers_form_better_than_causal_ones(rig: Rig, motion: Motion) -> None:
    """Maps of both sides of the target lag by half a tick in the mean, not by one and a half; the rest is the
    streaks of the epipolar maxima. The tracker sees every exposure at its own time anyway: the same."""
    observations = interleaved(rig, motion)
    medians, tracked = {}, []
    for lookahead_ns in (0, 34_000_000):
        pipeline, window, _ = make_pipeline(rig, "dlt", lookahead_ns=lookahead_ns)
        skeletons = [one for each in map(pipeline.skeletons, observations) for one in each]
        medians[lookahead_ns] = np.median(errors_mm(skeletons[4:80], motion))
        assert window.counters["used"] == TICKS
        pipeline = make_pipeline(rig, "tracker", lookahead_ns=lookahead_ns)[0]
        tracked.append([one for each in map(pipeline.skeletons, observations) for one in each])
    assert min(skeletons[40].view_ages_ns) < 0 < max(skeletons[40].view_ages_ns)
    assert medians[34_000_000] < 0.7 * medians[0]
    assert_equal(tracked[1], tracked[0][: len(tracked[1])])
    assert len(tracked[1]) == TICKS - 9, "134 ms are 9 ticks"


@settings(max_examples=8, deadline=None)
@given(delays=st.lists(st.integers(0, 5), min_size=40, max_size=40), lookahead_ms=st.sampled_from([0, 34]))
def test_the_final_skeleton_does_not_depend_on_the_order_of_arrival(
    rig: Rig, person: Array, delays: list[int], lookahead_ms: int
) -> None:
    """Observations are overtaken by at most 5 ticks, 83 ms: within both lateness limits."""
    observations = interleaved(rig, lambda seconds: person + (0.8 * seconds, 0.0, 0.0), 40)
    arrival = sorted(range(40), key=lambda n: (n + delays[n], n))
    last = []
    for order in (range(40), [n for n in arrival if n != 39] + [39]):
        pipeline = make_pipeline(rig, "tracker", lookahead_ns=lookahead_ms * 1_000_000)[0]
        last.append([one for n in order for one in pipeline.skeletons(observations[n])][-1:])
    assert last[0][0].state == TrackingState.TRACKED
    assert_equal(*last)
