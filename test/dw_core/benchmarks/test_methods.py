from dataclasses import replace

import numpy as np
import pytest

from dw_core.benchmarks.keypoints import Noise, scene
from dw_core.benchmarks.methods import (
    METHODS,
    dlt_full,
    dlt_full_weighted,
    dlt_interleaved,
    dlt_sync_hold,
    estimates,
    linear_per_view,
    robust_full,
)

EXACT = Noise(px=1e-7, outliers=0.0)
# How many ticks of the future each method may look at, with four views and a lag of 5 ticks.
AHEAD = dict(zip(METHODS, (0, 0, 0, 3, 0, 5), strict=True))


def test_who_stands_still_is_found_exactly_by_all(rig, make_walker):
    seen = scene(make_walker(velocity=(0, 0, 0), swing=0.0), rig, 20, 3.0, EXACT)
    for name, poses in estimates(seen, 5).items():
        judged = slice(50, len(seen) - 5)
        np.testing.assert_allclose(poses[judged], seen.truth[judged], atol=1e-3, err_msg=name)


def test_plain_methods_are_as_old_as_they_say(rig, make_walker):
    seen = scene(make_walker(), rig, 20, 2.0, EXACT)
    np.testing.assert_allclose(dlt_full(seen), seen.truth, atol=1e-6)
    held = dlt_sync_hold(seen)
    ticks = np.arange(len(seen))
    np.testing.assert_allclose(held, seen.truth[ticks // 4 * 4], atol=1e-6)
    naive = dlt_interleaved(seen)
    assert np.isnan(naive[:3]).all() and np.isfinite(naive[3:]).all()
    # pixels that are up to 3 ticks old: the body stays behind by 1 to 3 ticks of its way
    behind = np.linalg.norm(naive[3:, 0] - seen.truth[3:, 0], axis=-1)
    tick_m = np.hypot(0.3, 0.1) * 0.02
    assert tick_m < behind.mean() < 3 * tick_m
    between = linear_per_view(seen)
    assert np.isnan(between[:3]).all() and np.isnan(between[-3:]).all()
    error = np.linalg.norm(between[3:-3] - seen.truth[3:-3], axis=-1)
    assert np.nanmax(error) < 0.01 and np.nanmean(error) < 0.1 * behind.mean()


def test_a_view_that_doubts_itself_counts_less(rig, make_walker):
    seen = scene(make_walker(), rig, 20, 1.0, EXACT)
    pixels, confidence = seen.pixels.copy(), seen.confidence.copy()
    pixels[:, 2] += 30.0
    plain = np.linalg.norm(dlt_full(replace(seen, pixels=pixels)) - seen.truth, axis=-1)
    confidence[:, 2] = 0.01
    doubted = replace(seen, pixels=pixels, confidence=confidence)
    assert np.linalg.norm(dlt_full_weighted(doubted) - seen.truth, axis=-1).max() < 0.01 * plain.min()
    certain = np.broadcast_to(4.0 * np.eye(2), seen.covariance.shape)
    robust = np.linalg.norm(
        robust_full(replace(seen, pixels=pixels, covariance=certain)) - seen.truth, axis=-1
    )
    # 15 standard deviations off in each coordinate: a weight of about 1 in 75 is left to it
    assert robust.max() < 0.2 * plain.min(), "the others outvote it"


def test_between_two_exposures_pixels_are_on_the_line(rig, make_walker):
    seen = scene(make_walker(), rig, 20, 2.0, Noise())
    poses = linear_per_view(seen)
    # at tick 6: view 0 between 4 and 8, view 1 between 5 and 9, view 2 at 6, view 3 between 3 and 7
    pixels = np.stack(
        [
            0.5 * seen.pixels[4, 0] + 0.5 * seen.pixels[8, 0],
            0.75 * seen.pixels[5, 1] + 0.25 * seen.pixels[9, 1],
            seen.pixels[6, 2],
            0.25 * seen.pixels[3, 3] + 0.75 * seen.pixels[7, 3],
        ]
    )
    only = replace(seen, pixels=pixels[None], truth=seen.truth[6:7])
    np.testing.assert_allclose(dlt_full(only)[0], poses[6], atol=1e-9)


@pytest.mark.parametrize("name", METHODS)
def test_no_method_sees_more_than_it_may(rig, make_walker, name):
    """Whatever changes later than the method waits for, or in views that did not fire, leaves it alone."""
    seen = scene(make_walker(1.6), rig, 20, 1.6, Noise())
    tick = 42
    pixels = seen.pixels.copy()
    pixels[tick + AHEAD[name] + 1 :] += 3.0
    if name not in ("dlt_full", "dlt_sync_hold"):
        fired = np.arange(len(seen))[:, None] % 4 == np.arange(4)
        pixels[~fired] += 5.0
    changed = estimates(replace(seen, pixels=pixels), 5)[name]
    expected = estimates(seen, 5)[name]
    assert np.isfinite(expected[tick]).all()
    np.testing.assert_array_equal(changed[: tick + 1], expected[: tick + 1])
    # and the last that it waits for does count
    pixels = seen.pixels.copy()
    last = 40 if name == "dlt_sync_hold" else tick + AHEAD[name]
    pixels[last] += 3.0
    assert not np.array_equal(estimates(replace(seen, pixels=pixels), 5)[name][tick], expected[tick])


def test_causal_and_window_are_the_trackers(rig, make_walker):
    seen = scene(make_walker(2.0), rig, 20, 2.0, Noise())
    found = estimates(seen, 10)
    error = {name: np.linalg.norm(poses - seen.truth, axis=-1)[60:91].mean() for name, poses in found.items()}
    assert error["tracker_window"] < error["tracker_causal"] < error["dlt_interleaved"]
    assert np.isnan(found["tracker_window"][-10:]).all() and np.isfinite(found["tracker_window"][-11]).all()
