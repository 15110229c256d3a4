from dataclasses import replace

import numpy as np
import pytest

from dw_core.geometry.camera import project
from dw_core.geometry.triangulation import dlt
from dw_core.skeleton import H36M17
from dw_core.training import scenes
from dw_core.training.scenes import Source, make_scene, observe, some_views


@pytest.fixture(scope="module")
def source(clips, exact_detector):
    return Source(clips, exact_detector, [], 64)


@pytest.fixture
def exact(monkeypatch):
    """Rigs are calibrated exactly, crops stay where they are."""
    monkeypatch.setattr(scenes, "miscalibrated", lambda rig, rng: rig)


def made(source, count=12, stream=0):
    return [make_scene(source, np.random.default_rng((stream, k))) for k in range(count)]


@pytest.fixture(scope="module")
def some(source):
    return made(source, 24, stream=1)


def arrays(scene):
    for value in vars(scene).values():
        yield from value if isinstance(value, tuple) else [value] if isinstance(value, np.ndarray) else []


def test_a_scene_is_that_of_its_seed(source):
    for one, again in zip(made(source, 3), made(source, 3), strict=True):
        assert all(
            np.array_equal(a, b, equal_nan=True) for a, b in zip(arrays(one), arrays(again), strict=True)
        )
    assert len({scene.points.tobytes() for scene in made(source, 3)}) == 3


def test_lags_are_those_that_are_trained_on(some):
    seen = some
    lag_ms = 1e3 * np.concatenate([scene.lag_s for scene in seen])
    assert lag_ms.min() > 0
    assert (lag_ms < 20).mean() > 0.1 and (lag_ms > 50).mean() > 0.2 and (lag_ms > 100).mean() > 0.05
    regular = [scene.regular for scene in seen]
    assert 0.25 < np.mean(regular) < 0.75
    assert {2, 3, 4, 8} <= {len(scene.rig) for scene in seen}


def test_regular_scenes_have_lags_of_whole_ticks(some):
    for scene in some:
        if scene.regular:
            lags = np.sort(scene.lag_s)
            np.testing.assert_allclose(lags / lags[0], np.round(lags / lags[0]), atol=1e-3)


def test_nominal_lags_are_whole_ticks_in_the_order_of_age(some):
    for scene in some:
        for target in range(len(scene.points)):
            mine = scene.at[:, 0] == target
            nominal, lags = scene.nominal_s[mine], scene.lag_s[mine]
            tick = nominal.min()
            np.testing.assert_allclose(np.sort(nominal), tick * np.arange(1, mine.sum() + 1))
            assert (np.argsort(nominal) == np.argsort(lags, kind="stable")).all()
        if scene.regular and len(scene.lag_s) == len(scene.points) * (len(scene.rig) - 1):
            assert (scene.lag_s > scene.nominal_s - 1e-6).all(), "what was lost makes views older"
    assert any(np.abs(scene.lag_s - scene.nominal_s).max() > 1e-3 for scene in some if not scene.regular)


def test_some_views_are_those_of_the_scene(source):
    (scene,) = made(source, 1)
    less = some_views(scene, 3, np.random.default_rng(0))
    kept = [int(np.flatnonzero((scene.at == one).all(1))[0]) for one in less.at]
    assert len(set(kept)) == 3 and less.size == scene.size and less.points is scene.points
    for name in ("lag_s", "nominal_s", "velocity", "cells", "truth", "inside", "cell_px"):
        np.testing.assert_array_equal(getattr(less, name), getattr(scene, name)[kept])
    for name in ("raw", "fused"):
        assert all(one is getattr(scene, name)[k] for one, k in zip(getattr(less, name), kept, strict=True))


def test_the_truth_is_the_pose_at_the_target_time_in_the_views_cells(source, exact):
    """What an exact network saw at another time, moved on with the exact velocity, is there too: a person who
    walks straight on moves nearly straight in every map."""
    scene_errors, copied = [], []
    for scene in made(source, 8, stream=2):
        known = scene.inside & (scene.velocity != 0).any(-1)
        moved = scene.cells + scene.velocity * scene.lag_s[:, None, None]
        trunk = [0, 7, 8, 11, 14]  # swings with nobody
        scene_errors.append(np.linalg.norm(moved - scene.truth, axis=-1)[:, trunk][known[:, trunk]])
        copied.append(np.linalg.norm(scene.cells - scene.truth, axis=-1)[:, trunk][known[:, trunk]])
    assert np.concatenate(copied).mean() > 0.6
    assert np.median(np.concatenate(scene_errors)) < 0.15


def test_the_joints_of_all_views_at_the_target_time_give_its_points(source, exact):
    """The truth in the stale views' cells, back in pixels, and what the fresh view sees: they meet in the
    points."""
    for scene in made(source, 3, stream=3):
        pixels = np.stack([project(camera, scene.points) for camera in scene.rig], 1)
        target, view = scene.at.T
        seen = scene.pixels[target, view]
        back = seen + (scene.truth - scene.cells) * scene.cell_px[:, None, None]
        np.testing.assert_allclose(back[scene.inside], pixels[target, view][scene.inside], atol=1e-6)
        fresh = scene.confidence.any(-1)
        fresh[target, view] = False
        assert (fresh.sum(1) == 1).all()
        t, v = np.nonzero(fresh)
        off = np.linalg.norm(scene.pixels[t, v] - pixels[t, v], axis=-1)
        assert np.nanmedian(off) < 0.1 * scene.cell_px.max()
        points = dlt(scene.rig, np.moveaxis(pixels, 1, -2))
        np.testing.assert_allclose(points, scene.points, atol=1e-6)


def test_the_rig_that_is_believed_is_not_the_one_that_made_the_pixels(source):
    scene = made(source, 1)[0]
    target, view = scene.at.T
    pixels = np.stack([project(camera, scene.points) for camera in scene.rig], 1)[target, view]
    back = scene.pixels[target, view] + (scene.truth - scene.cells) * scene.cell_px[:, None, None]
    assert 0.3 < np.linalg.norm(back - pixels, axis=-1)[scene.inside].mean() < 20


def test_maps_of_one_peak_at_the_joints_fused_with_the_fresh_view(source, exact):
    scene = made(source, 1)[0]
    raw, fused = np.stack(scene.raw), np.stack(scene.fused)
    assert raw.shape == fused.shape == (*scene.cells.shape[:2], 64, 64) and raw.dtype == np.float32
    assert (fused >= 0.5 * raw - 1e-6).all() and np.abs(fused - raw).max() > 0.1


def test_rigs_that_exist_take_part(source, rig):
    some = made(replace(source, rigs=[rig]), 12)
    assert 1 <= sum(scene.rig.names == rig.names for scene in some) <= 8


def test_views_that_were_never_seen_have_no_confidence(source, monkeypatch):
    monkeypatch.setattr(scenes, "DROPPED", 0.7)
    some = made(source, 8, stream=4)
    absent = [~scene.confidence.any(-1) for scene in some]
    assert any(one.any() for one in absent)
    for scene, one in zip(some, absent, strict=True):
        assert np.isnan(scene.pixels[one]).all()
        assert not one[tuple(scene.at.T)].any()


def test_at_each_exposure_there_may_be_another_person(source):
    """At the places and times of the one who walks; limbs that were rigid are not."""
    for seed in range(4):
        same, other = (observe(source, np.random.default_rng(seed), changed) for changed in (False, True))
        assert [(one.view, one.stamp_ns) for one in other.maps] == [
            (one.view, one.stamp_ns) for one in same.maps
        ]
        assert other.truth.shape == same.truth.shape == (len(same.maps), 17, 3)
        assert other.real.names == same.real.names and (other.regular, other.tick_s) == (
            same.regular,
            same.tick_s,
        )
        trunk = [H36M17.index(f"{side}_{part}") for side in ("left", "right") for part in ("hip", "shoulder")]
        away = np.linalg.norm((other.truth - same.truth)[:, trunk].mean(1), axis=-1)
        assert np.median(away) < 0.15 and np.median(np.linalg.norm(other.truth - same.truth, axis=-1)) > 0.05
        upper = [
            np.linalg.norm(
                seen.truth[:, H36M17.index("left_elbow")] - seen.truth[:, H36M17.index("left_shoulder")],
                axis=-1,
            )
            for seen in (same, other)
        ]
        assert np.ptp(upper[0]) < 1e-6 and upper[1].std() > 0.02


def test_the_maps_show_those_who_are_there(source):
    """An exact network sees each where the true rig has him, though he is another one at each exposure."""
    seen = observe(source, np.random.default_rng(0), changed=True)
    for maps, pose in zip(seen.maps, seen.truth, strict=True):
        off = maps.joints.pixels - project(seen.real[seen.real.index(maps.view)], pose)
        assert np.nanmedian(np.linalg.norm(off, axis=-1)) < 0.1 * maps.crop.side / 64
