import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dw_core.benchmarks.catalogue import ON_KEYPOINTS
from dw_core.benchmarks.interpolation import mcc, slerp, tree, turned
from dw_core.benchmarks.judging import figures, judge, judged_ticks
from dw_core.benchmarks.keypoints import Noise, scene
from dw_core.benchmarks.methods import (
    dlt_full,
    dlt_full_weighted,
    dlt_interleaved,
    dlt_nearest,
    dlt_round_hold,
    dlt_sync_hold,
    extrapolated_per_view,
    linear_per_view,
    newest,
    robust_full,
    soonest,
    track,
)
from dw_core.data.motion import load_motion
from dw_core.data.rigs import load_h36m
from dw_core.errors import ConfigError
from dw_core.geometry.camera import project
from dw_core.skeleton import COCO17, H36M17

EXACT = Noise(px=1e-7, outliers=0.0)
# How many ticks after tick 42 each method may look at, with four views.
AHEAD = {"slerp": 2, "copy window": 1, "linear": 3}
# Playground, uneven terrain, and people who walk each in their own way and at their own speed. Nothing of the
# tracker was chosen on these subjects with this benchmark.
CLIPS = ("01/01_05", "03/03_03", "08/08_03", "39/39_04", "49/49_01", "55/55_04")


@pytest.mark.parametrize("seed", [0, 1])
def test_the_tracker_against_plain_triangulation_of_four_times_the_images(shared_data, seed):
    """What is demanded of it: four Human3.6M cameras, one every 20 ms, root-relative."""
    rig = load_h36m(shared_data / "rigs/h36m_cameras.json", "S9")
    noise = Noise(px=5.0, outliers=0.03, outlier_px=40.0, seed=seed)
    clips = []
    for clip in CLIPS:
        file = shared_data / "cmu_mocap" / f"{clip}.amc"
        seen = scene(load_motion(file), rig, 20.0, 5.0, noise)
        causal, window = track(seen, 10)
        poses = {"dlt": dlt_full(seen), "causal": causal, "window": window}
        clips.append(judge(seen, poses, judged_ticks(file, seen, 10)))
    found = figures(clips)
    assert found["dlt"]["frames"] > 800 and all(entry["coverage"] == 1.0 for entry in found.values())
    error = {name: entry["mpjpe_root_mm"] for name, entry in found.items()}
    assert error["causal"] <= 0.69 * error["dlt"]
    assert error["window"] <= 0.40 * error["dlt"]


def test_who_stands_still_is_found_exactly_by_all(rig, make_walker):
    seen = scene(make_walker(velocity=(0, 0, 0), swing=0.0), rig, 20, 3.0, EXACT)
    found = {key: method(seen) for key, method in ON_KEYPOINTS.items()}
    found |= dict(zip(("tracker causal", "tracker window"), track(seen, 5), strict=True))
    for name, poses in found.items():
        judged = slice(50, len(seen) - 5)
        np.testing.assert_allclose(poses[judged], seen.truth[judged], atol=1e-3, err_msg=name)


def test_plain_methods_are_as_old_as_they_say(rig, make_walker):
    seen = scene(make_walker(), rig, 20, 2.0, EXACT)
    np.testing.assert_allclose(dlt_full(seen), seen.truth, atol=1e-6)
    held = dlt_sync_hold(seen)
    ticks = np.arange(len(seen))
    np.testing.assert_allclose(held, seen.truth[ticks // 4 * 4], atol=1e-6)
    naive = dlt_interleaved(seen)
    assert np.isnan(naive[0]).all() and np.isfinite(naive[1:]).all(), "two views are enough"
    # pixels that are up to 3 ticks old: the body stays behind by 1 to 3 ticks of its way
    behind = np.linalg.norm(naive[3:, 0] - seen.truth[3:, 0], axis=-1)
    tick_m = np.hypot(0.3, 0.1) * 0.02
    assert tick_m < behind.mean() < 3 * tick_m
    between = linear_per_view(seen)
    error = np.linalg.norm(between[3:-3] - seen.truth[3:-3], axis=-1)
    assert error.max() < 0.01 and error.mean() < 0.1 * behind.mean()
    # pixels are at most half a round away, in either direction
    nearest = np.linalg.norm(dlt_nearest(seen)[3:-3, 0] - seen.truth[3:-3, 0], axis=-1)
    assert nearest.mean() < 0.7 * behind.mean()
    ahead = np.linalg.norm(extrapolated_per_view(seen)[8:, 0] - seen.truth[8:, 0], axis=-1)
    assert ahead.max() < 0.5e-3, "the pelvis goes straight on"
    rounds = dlt_round_hold(seen)
    assert np.isnan(rounds[:3]).all()
    np.testing.assert_array_equal(rounds[3:], naive[(ticks[3:] + 1) // 4 * 4 - 1])


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
    only = replace(seen, pixels=pixels[None], truth=seen.truth[6:7], stamps_ns=seen.stamps_ns[6:7])
    np.testing.assert_allclose(dlt_full(only)[0], poses[6], atol=1e-9)


@pytest.mark.parametrize("key", ON_KEYPOINTS, ids=" ".join)
def test_no_method_sees_more_than_it_may(rig, make_walker, key):
    """Whatever changes later than the method waits for, or in views that did not fire, leaves it alone."""
    method, (name, mode) = ON_KEYPOINTS[key], key
    seen = scene(make_walker(1.6), rig, 20, 1.6, Noise())
    tick = 42
    last = tick + AHEAD.get(f"{name} {mode}", AHEAD.get(name, 0))
    pixels = seen.pixels.copy()
    pixels[last + 1 :] += 3.0
    synchronous = ("dlt", "dlt_weighted", "robust", "sync_hold", "slerp")
    if name not in synchronous:
        fired = np.arange(len(seen))[:, None] % 4 == np.arange(4)
        pixels[~fired] += 5.0
    expected = method(seen)
    assert np.isfinite(expected[tick]).all()
    np.testing.assert_array_equal(method(replace(seen, pixels=pixels))[tick], expected[tick])
    # and the last that it waits for does count
    pixels = seen.pixels.copy()
    pixels[{"sync_hold": 40, "hold": 39}.get(name, last)] += 3.0
    assert not np.array_equal(method(replace(seen, pixels=pixels))[tick], expected[tick])


def test_causal_and_window_are_the_trackers(rig, make_walker):
    seen = scene(make_walker(2.0), rig, 20, 2.0, Noise())
    causal, window = track(seen, 10)
    poses = {"causal": causal, "window": window, "copy": dlt_interleaved(seen)}
    error = {name: np.linalg.norm(pose - seen.truth, axis=-1)[60:91].mean() for name, pose in poses.items()}
    assert error["window"] < error["causal"] < error["copy"]
    assert np.isnan(window[-10:]).all() and np.isfinite(window[-11]).all()


def test_the_tracker_sees_nothing_more_than_it_may(rig, make_walker):
    seen = scene(make_walker(1.6), rig, 20, 1.6, Noise())
    fired = np.arange(len(seen))[:, None] % 4 == np.arange(4)
    for ahead, which in ((0, 0), (5, 1)):
        pixels = seen.pixels.copy()
        pixels[43 + ahead :] += 3.0
        pixels[~fired] += 5.0
        changed = track(replace(seen, pixels=pixels), 5)[which]
        np.testing.assert_array_equal(changed[:43], track(seen, 5)[which][:43])


def test_lost_exposures_are_filled_with_those_before_and_after(rig, make_walker):
    seen = scene(make_walker(), rig, 20, 1.0, EXACT)
    pixels = seen.pixels.copy()
    pixels[8, 0] = np.nan
    lost = replace(seen, pixels=pixels)
    assert not lost.exposed[8, 0] and lost.exposed.sum() == seen.exposed.sum() - 1
    assert newest(lost)[10].tolist() == [4, 9, 10, 7] and soonest(lost)[5].tolist() == [12, 5, 6, 7]
    assert newest(lost)[0].tolist() == [0, -1, -1, -1] and soonest(lost)[49].tolist() == [51, 49, 50, 51]
    np.testing.assert_allclose(dlt_full(lost), seen.truth, atol=1e-6, err_msg="three views are left")
    held = np.linalg.norm(dlt_interleaved(lost)[10] - seen.truth[10], axis=-1).mean()
    assert held > 1.2 * np.linalg.norm(dlt_interleaved(seen)[10] - seen.truth[10], axis=-1).mean()
    assert np.linalg.norm(linear_per_view(lost)[10] - seen.truth[10], axis=-1).max() < 0.02
    two = pixels.copy()
    two[20, 1:, 5] = np.nan
    alone = dlt_full(replace(seen, pixels=two))[20]
    assert np.isnan(alone[5]).all() and np.isfinite(np.delete(alone, 5, 0)).all()


def test_irregular_ticks_are_taken_at_their_times(rig, make_walker):
    seen = scene(make_walker(), rig, 20, 2.0, EXACT)
    times = seen.stamps_ns + np.where(np.arange(len(seen)) % 3 == 0, 7_000_000, 0)
    motion = make_walker(swing=0.0)
    straight = motion.at(times / 1e9)
    shift = seen.truth[0, 0] - motion.at([0.5])[0, 0]
    pixels = np.stack([project(camera, straight + shift) for camera in rig], 1)
    late = replace(seen, truth=straight + shift, pixels=pixels, stamps_ns=times)
    for method in (linear_per_view, extrapolated_per_view, slerp):
        error = np.linalg.norm(method(late)[10:-6] - late.truth[10:-6], axis=-1)
        assert error.max() < 1e-3, f"{method.__name__}: somebody who moves evenly"
        wrong = replace(late, stamps_ns=seen.stamps_ns)
        assert np.linalg.norm(method(wrong)[10:-6] - late.truth[10:-6], axis=-1).max() > 1e-3


def test_bones_turn_evenly_between_key_frames(rig, make_walker):
    seen = scene(make_walker(), rig, 20, 1.0, EXACT)
    poses, keys = slerp(seen), np.arange(0, 49, 4)
    np.testing.assert_allclose(poses[keys], seen.truth[keys], atol=1e-6)
    assert np.isfinite(poses[:49]).all() and np.isnan(poses[49:]).all()
    elbow, wrist = H36M17.index("left_elbow"), H36M17.index("left_wrist")
    bone = poses[:, wrist] - poses[:, elbow]
    lengths, unit = np.linalg.norm(bone, axis=-1), bone / np.linalg.norm(bone, axis=-1, keepdims=True)
    np.testing.assert_allclose(lengths[5:8], np.interp([5, 6, 7], [4, 8], lengths[[4, 8]]))
    steps = np.arccos((unit[4:8] * unit[5:9]).sum(-1))
    np.testing.assert_allclose(steps, steps[0], rtol=1e-3)
    assert steps[0] > 1e-3


def test_a_network_between_key_frames_is_asked_for_its_five_poses(rig, make_walker, monkeypatch):
    """A network that gives what lies on a line is linear, and one that is off by so much is off."""

    def between(weights, joints, first, last):
        assert weights == Path("mcc.safetensors") and joints is H36M17
        part = np.arange(1, 6)[:, None, None] / 6
        return (1 - part) * first[:, None] + part * last[:, None] + off

    monkeypatch.setitem(sys.modules, "dw_core.training.mcc", SimpleNamespace(between=between))
    seen = scene(make_walker(swing=0.0), rig, 20, 1.0, EXACT)
    off = 0.0
    straight = mcc(seen, Path("mcc.safetensors"))
    np.testing.assert_allclose(straight[:49], seen.truth[:49], atol=1e-6)
    assert np.isnan(straight[49:]).all()
    off = 0.006
    bent = mcc(seen, Path("mcc.safetensors")) - seen.truth
    # a quarter of the way is half-way between the network's first and second pose; key frames are kept
    np.testing.assert_allclose(bent[4:9, 0, 0], [0, 0.006, 0.006, 0.006, 0], atol=1e-6)
    monkeypatch.setitem(sys.modules, "dw_core.training.mcc", None)
    with pytest.raises(ConfigError, match=r"method mcc needs .*: pip install -r requirements/train\.txt"):
        mcc(seen, Path("mcc.safetensors"))


def test_a_quarter_turn_and_its_limits():
    a, b = np.array([[2.0, 0.0, 0.0]]), np.array([[0.0, 4.0, 0.0]])
    np.testing.assert_allclose(turned(a, b, np.array([[0.5]])), [[3 / np.sqrt(2), 3 / np.sqrt(2), 0]])
    np.testing.assert_allclose(turned(a, 2 * a, np.array([[0.25]])), [[2.5, 0, 0]])
    assert np.isfinite(turned(a, -a, np.array([[0.3]]))).all()


def test_the_tree_of_human36m_is_the_published_one_and_coco_has_one_too():
    assert [parent for _, parent in sorted(tree(H36M17))] == [
        -1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15,
    ]  # fmt: skip
    order = tree(COCO17)
    assert sorted(joint for joint, _ in order) == list(range(17))
    seen = set()
    for joint, parent in order:
        assert parent < 0 or parent in seen
        seen.add(joint)


def test_the_tracker_on_synchronous_views_sees_those_alone(make_walker, rig):
    """What happens between them does not matter; what happens at them does."""
    seen = scene(make_walker(3.0), rig, 20.0, 3.0, Noise(px=1.0))
    between = np.arange(len(seen)) % len(rig) != 0
    other = replace(seen, pixels=np.where(between[:, None, None, None], 0.0, seen.pixels))
    for one, two in zip(track(seen, 5, sampling="sync"), track(other, 5, sampling="sync"), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.allclose(track(seen, 5, sampling="sync")[0], track(seen, 5)[0], equal_nan=True)


def test_the_tracker_on_all_views_at_every_tick_errs_less(make_walker, rig):
    seen = scene(make_walker(3.0), rig, 20.0, 3.0, Noise())
    for few, all_views in zip(track(seen, 5), track(seen, 5, sampling="full"), strict=True):
        errors = [np.linalg.norm(poses - seen.truth, axis=-1)[50:140].mean() for poses in (few, all_views)]
        assert errors[1] < 0.8 * errors[0]
