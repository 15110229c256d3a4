from itertools import permutations

import numpy as np
import pytest

from dw_core.errors import ConfigError
from dw_core.fusion.pencil import Box, PencilGeometry
from dw_core.fusion.spatial import FAINT, SpatialFusion, line_maxima, lit, plain_epipolar_maximum
from dw_core.geometry.camera import Rig, project
from dw_core.geometry.crop import Crop, apply_affine, crop_around
from dw_core.heatmaps.decode import decode
from dw_core.heatmaps.render import render_gaussians
from dw_core.types import DenseSet, DenseView, Heatmaps, Stage


def see(camera, joints, n=64, sigma=1.27, crop=None, stamp=0):
    pixels = project(camera, joints)
    crop = crop or crop_around(pixels, 1.25)
    maps = render_gaussians(apply_affine(crop.to_cells(n), pixels), n, sigma)
    return DenseView(Heatmaps(camera.name, stamp, crop, maps), maps)


def dense(views, fresh):
    return DenseSet(0, fresh, tuple(views), Stage.FILLED)


def maximum(rig, target, source):
    """The pencil's maximum, through the public door: lambda 0, the source fresh."""
    fused = SpatialFusion(rig, own_weight=0.0).apply(dense((target, source), source.view))
    return fused.views[0].tensor


@pytest.mark.parametrize(("n", "sigma", "bound"), [(64, 1.27, 0.2), (96, 3.0, 0.1)])
def test_pencil_agrees_with_sampling_every_line(rig, person, n, sigma, bound):
    """Peaks of height 1: the pencil's lines and samples lie 0.7 cells apart, and where the epipole is in
    the crop its lines fan out to one cell, which costs peaks as sharp as MoveNet's up to 0.2 of their
    height and the paper's wider ones 0.1; on average over the map a tenth of that."""
    for a, b in permutations(range(4), 2):
        target, source = see(rig[a], person, n, sigma), see(rig[b], person, n, sigma)
        plain = plain_epipolar_maximum(rig[a], target.crop, rig[b], source.crop, source.raw)
        pencil = maximum(rig, target, source)
        assert plain.max() > 0.9
        assert np.abs(pencil - plain).max() < bound
        assert np.abs(pencil - plain).mean() < 0.1 * bound


def test_epipole_inside_the_crop(make_camera, person):
    """Two cameras that look at each other: every line passes through the image of the other camera."""
    rig = Rig((make_camera("a", (0, 5, 1.0)), make_camera("b", (0.3, -5, 1.1))))
    crop = Crop(150.0, 150.0, 700.0)
    views = [see(camera, person + (0.5, 0.3, 0), crop=crop) for camera in rig]
    plain = plain_epipolar_maximum(rig[0], crop, rig[1], crop, views[1].raw)
    pencil = maximum(rig, *views)
    place = np.round(apply_affine(crop.to_cells(64), project(rig[0], person + (0.5, 0.3, 0)))).astype(int)
    there = (np.arange(17), place[:, 1], place[:, 0])
    np.testing.assert_allclose(pencil[there], plain[there], atol=0.2)
    assert pencil[there].min() > 0.6
    # the other side of the epipole sees nothing of a line that ends there
    assert np.abs(pencil - plain).mean() < 0.02


def test_parallel_cameras_have_their_epipole_at_infinity(make_camera, person):
    rig = Rig((make_camera("a", (-0.5, 5, 1), (-0.5, 0, 1)), make_camera("b", (0.5, 5, 1), (0.5, 0, 1))))
    views = [see(camera, person) for camera in rig]
    plain = plain_epipolar_maximum(rig[0], views[0].crop, rig[1], views[1].crop, views[1].raw)
    assert np.abs(maximum(rig, *views) - plain).max() < 0.2


def test_true_joints_lie_on_the_maximum(rig, person):
    target, source = see(rig[0], person), see(rig[1], person)
    place = np.round(apply_affine(target.crop.to_cells(64), project(rig[0], person))).astype(int)
    at_truth = maximum(rig, target, source)[np.arange(17), place[:, 1], place[:, 0]]
    assert at_truth.min() > 0.7


def test_a_map_that_nobody_asks_for_is_not_made(rig, person, monkeypatch):
    """The tracker asks for the joints of the view that fired; `computed` asks for everything, once."""
    made = []
    mix = SpatialFusion._mix
    monkeypatch.setattr(SpatialFusion, "_mix", lambda *args: made.append(args) or mix(*args))
    views = [see(camera, person) for camera in rig]
    fused = SpatialFusion(rig).apply(dense(views, views[1].view))
    assert np.isfinite(fused.views[1].joints.pixels).all() and not made
    assert fused.computed() is fused.computed()
    assert len(made) == len(views) - 1


def test_sampled_view_corrects_a_stale_peak_towards_the_fresh_views_line(rig, person):
    moved = person + (0.05, 0.02, 0.06)
    stale, fresh = see(rig[0], person, sigma=3.0), see(rig[1], moved, sigma=3.0)
    fused = SpatialFusion(rig).apply(dense((stale, fresh), fresh.view))
    assert fused.stage == Stage.SPATIAL
    assert fused.views[1] is fresh
    truth = project(rig[0], moved)
    before, after = (
        np.linalg.norm(decode(maps, stale.crop).pixels - truth, axis=-1).mean()
        for maps in (stale.raw, fused.views[0].tensor)
    )
    assert after < 0.9 * before
    np.testing.assert_array_equal(fused.views[0].raw, stale.raw)


def test_all_views_is_the_mean_of_the_maxima(rig, person):
    views = [see(camera, person) for camera in rig]
    fused = SpatialFusion(rig, "all_views", own_weight=0.3).apply(dense(views, views[2].view))
    for target, out in zip(views, fused.views, strict=True):
        others = sum(maximum(rig, target, source) for source in views if source is not target)
        expected = 0.3 * target.raw + 0.7 * (target.raw + others) / 4
        np.testing.assert_allclose(out.tensor, expected, atol=1e-6)


def test_only_what_changed_is_rebuilt(rig, person):
    fusion = SpatialFusion(rig, "all_views")
    views = [see(camera, person) for camera in rig]
    first = fusion.apply(dense(views, views[0].view))
    assert fusion.geometry_rebuilt == 12
    again = fusion.apply(dense(views, views[0].view))
    assert fusion.geometry_rebuilt == 12
    np.testing.assert_array_equal(first.views[1].tensor, again.views[1].tensor)
    views[3] = see(rig[3], person, crop=Crop(300.0, 250.0, 500.0))
    changed = fusion.apply(dense(views, views[3].view))
    assert fusion.geometry_rebuilt == 12 + 6
    fresh = SpatialFusion(rig, "all_views").apply(dense(views, views[3].view))
    for a, b in zip(changed.views, fresh.views, strict=True):
        np.testing.assert_array_equal(a.tensor, b.tensor)


def test_new_maps_on_an_old_crop_are_not_taken_from_the_cache(rig, person):
    fusion = SpatialFusion(rig)
    stale, fresh = see(rig[0], person), see(rig[1], person)
    fusion.apply(dense((stale, fresh), fresh.view))
    moved = see(rig[1], person + (0.0, 0.0, 0.2), crop=fresh.crop)
    again = fusion.apply(dense((stale, moved), moved.view)).views[0].tensor
    expected = SpatialFusion(rig).apply(dense((stale, moved), moved.view)).views[0].tensor
    np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize("changed", [0, 1])
def test_a_new_crop_of_either_view_is_seen(rig, person, changed):
    """Of a pair's geometry, part belongs to the source's crop, part to the target's, part to both."""
    fusion = SpatialFusion(rig, own_weight=0.0)
    views = [see(rig[0], person), see(rig[1], person)]
    fusion.apply(dense(views, rig[1].name))
    views[changed] = see(rig[changed], person, crop=Crop(300.0, 250.0, 520.0))
    again = fusion.apply(dense(views, rig[1].name)).views[0].tensor
    np.testing.assert_array_equal(again, maximum(rig, *views))


def test_a_set_without_its_fresh_view_passes_through(rig, person):
    stale = see(rig[0], person)
    fused = SpatialFusion(rig).apply(dense((stale,), rig[1].name))
    assert fused.views == (stale,) and fused.stage == Stage.SPATIAL


@pytest.mark.parametrize(("form", "weight"), [("both", 0.5), ("all_views", 1.5)])
def test_unknown_forms_and_weights_are_refused(rig, form, weight):
    with pytest.raises(ConfigError, match="expected"):
        SpatialFusion(rig, form, weight)


def test_maps_of_different_shapes_are_refused(rig, person):
    with pytest.raises(ConfigError, match="the same"):
        SpatialFusion(rig).apply(dense((see(rig[0], person, 64), see(rig[1], person, 96)), rig[1].name))


@pytest.mark.parametrize(("target", "source"), [(0, 1), (0, 2), (3, 1)])
def test_faint_cells_need_no_look(rig, person, target, source):
    """A few joints light a part of the crop: lines are looked along there, and nothing is missed."""
    view = see(rig[source], person[5:8])
    lines = PencilGeometry(rig).lines(target, source, view.crop, 64)
    planar, box = np.ascontiguousarray(view.raw.transpose(1, 2, 0)), lit(view.raw)
    whole = Box(0, 0, 64, 64)
    assert (box.right - box.left) * (box.bottom - box.top) < 0.8 * 64 * 64
    looked = sum((s.stop - s.start) * (k.stop - k.start) for s, k in lines.parts(box))
    assert looked < 0.9 * sum((s.stop - s.start) * (k.stop - k.start) for s, k in lines.parts(whole))
    found, expected = (line_maxima(planar, lines, where) for where in (box, whole))
    assert expected.max() > 0.9 and np.abs(found - expected).max() <= FAINT
    assert lit(np.zeros((3, 16, 16), np.float32)) == Box(0, 0, 1, 1)
