from dataclasses import replace

import numpy as np
import pytest
import torch

from dw_core.fusion.fast_warper import FastWarper
from dw_core.fusion.paper_warper import PaperWarper
from dw_core.tensor.heatmaps import decode
from dw_core.training import scenes
from dw_core.training.scenes import Source, make_scene, some_views
from dw_core.training.warper import collate, cost, loss_2d, loss_3d, motion, points, seen

J = 17
MAPS = ("raw", "fused")


@pytest.fixture(scope="module")
def source(clips, exact_detector):
    return Source(clips, exact_detector, [], 32)


@pytest.fixture(scope="module")
def batch(source):
    return make_batch(source, [(7, k) for k in range(3)])


def make_batch(source, seeds):
    return collate([seen(make_scene(source, np.random.default_rng(seed)), MAPS) for seed in seeds], MAPS)


def trained(network):
    """Anything but the identity."""
    torch.manual_seed(0)
    torch.nn.init.normal_(network.out.weight, std=1.0)
    return network


def test_what_the_network_is_given_is_what_it_takes_from_the_maps(batch):
    network = trained(FastWarper(J, 16))
    move, keep = motion(network, batch)
    expected = network.motion(batch.difference, batch.raw, batch.lag, batch.velocity)
    assert move.abs().max() > 0.1
    torch.testing.assert_close(move, expected[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(keep, expected[1], atol=1e-5, rtol=0)


def test_a_map_that_moves_has_its_joints_move_as_much(batch):
    network = trained(FastWarper(J, 16))
    move, _ = motion(network, batch)
    found = decode(network(batch.difference, batch.raw, batch.lag, batch.velocity)).places
    middle = ((batch.cells - 16).abs() < 8).all(-1) & (batch.weight > 0) & (move.abs() < 4).all(-1)
    assert middle.sum() > 50
    assert (found - batch.cells - move)[middle].norm(dim=-1).median() < 0.1


def test_every_scene_has_the_same_share(batch):
    assert float(batch.weight.sum()) == pytest.approx(1, abs=1e-5)
    counts = [len(scene.at) for scene in batch.scenes]
    assert [float(part.sum()) for part in batch.weight.split(counts)] == pytest.approx([1 / 3] * 3, abs=1e-5)


def test_moves_to_the_truth_have_no_loss(batch):
    move = torch.where((batch.weight > 0)[..., None], batch.truth - batch.cells, 0.0)
    network, keep = FastWarper(J, 16), torch.ones(move.shape[:2])
    for kind in ("barron", "l1", "l2"):
        assert float(loss_2d(network, batch, kind, move, keep)) == pytest.approx(0, abs=1e-6)
        assert float(loss_2d(network, batch, kind, torch.zeros_like(move), keep)) > 0.1


def test_moves_to_the_truth_find_the_points(source, monkeypatch):
    monkeypatch.setattr(scenes, "miscalibrated", lambda rig, rng: rig)
    scene = make_scene(source, np.random.default_rng(12))
    assert len(scene.rig) > 2
    move = torch.from_numpy(np.where(scene.inside[..., None], scene.truth - scene.cells, 0.0))
    keep = torch.ones(scene.inside.shape)
    off = np.linalg.norm(points(scene, move, keep).numpy() - scene.points, axis=-1)
    still = np.linalg.norm(points(scene, torch.zeros_like(move), keep).numpy() - scene.points, axis=-1)
    assert np.nanmedian(off) < 0.01 < np.nanmedian(still)


def test_the_heatmap_loss_is_least_where_the_joints_are(batch):
    network, whole = FastWarper(J, 16), torch.ones(batch.weight.shape)
    to_truth = torch.where((batch.weight > 0)[..., None], batch.truth - batch.cells, 0.0)
    moves = (0.0, 0.5, 1.0)
    losses = [float(loss_2d(network, batch, "heatmap", share * to_truth, whole)) for share in moves]
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] < float(loss_2d(network, batch, "heatmap", to_truth, 0.5 * whole)), "height counts too"


@pytest.mark.parametrize("kind", ["barron", "heatmap"])
def test_joints_that_are_not_seen_leave_loss_and_gradient_finite(source, kind):
    scene = make_scene(source, np.random.default_rng(5))
    cells, pixels, confidence = scene.cells.copy(), scene.pixels.copy(), scene.confidence.copy()
    covariance = scene.covariance.copy()
    cells[:, 3], pixels[:, :, 3], covariance[:, :, 3], confidence[:, :, 3] = np.nan, np.nan, np.nan, 0.0
    scene = replace(scene, cells=cells, pixels=pixels, covariance=covariance, confidence=confidence)
    batch = collate([seen(scene, MAPS)], MAPS)
    network = trained(FastWarper(J, 16))
    move, keep = motion(network, batch)
    loss = loss_2d(network, batch, kind, move, keep) + loss_3d(batch, move, keep)
    loss.backward()
    assert loss.isfinite() and all(p.grad.isfinite().all() for p in network.parameters())
    assert network.out.weight.grad[2].abs().sum() > 0  # what is kept of the height matters in space


def test_less_certain_views_count_less_in_space(batch):
    scene = batch.scenes[int(np.argmax([len(s.rig) for s in batch.scenes]))]
    N = len(scene.at)
    off = torch.zeros(N, J, 2)
    off[:, :, 0] = 1.0
    sure, unsure = (points(scene, off, torch.full((N, J), value)) for value in (1.0, 0.2))
    plain = points(scene, torch.zeros(N, J, 2), torch.full((N, J), 0.2))
    assert (unsure - sure).norm(dim=-1).nanmean() > 1e-3
    assert (unsure - plain).norm(dim=-1).nanmean() > 0


def test_the_papers_warper_starts_as_the_identity_and_learns(source):
    batch = make_batch(source, [(9, 0)])
    some = replace(
        batch, **{k: getattr(batch, k)[:2] for k in ("difference", "raw", "cells", "truth", "weight")}
    )
    network = PaperWarper(J).eval()
    move, keep = motion(network, some)
    known = some.weight > 0
    assert move[known].abs().max() < 1e-4 and (keep - 1).abs().max() < 1e-4
    loss_2d(network, some, "barron", move, keep).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.weights)
    assert sum(p.grad.abs().sum() for p in network.weights) > 0


def test_only_scenes_that_count_are_in_the_loss_in_space(source):
    some = [make_scene(source, np.random.default_rng((7, k))) for k in range(2)]
    still = [torch.zeros(len(one.at), J, 2) for one in some]
    sure = [torch.ones(len(one.at), J) for one in some]
    alone = [float(loss_3d(collate([seen(one)]), m, k)) for one, m, k in zip(some, still, sure, strict=True)]
    for first in (True, False):
        batch = collate([seen(some[0], in_space=first), seen(some[1])])
        both = float(loss_3d(batch, torch.cat(still), torch.cat(sure)))
        assert both == pytest.approx((alone[0] * first + alone[1]) / 2, rel=1e-5)


def test_a_warper_that_is_told_nominal_lags_sees_nothing_else(source):
    scene = make_scene(source, np.random.default_rng((7, 1)))
    measured, nominal = (seen(scene, lag=lag) for lag in ("measured", "nominal"))
    np.testing.assert_array_equal(measured.patches, nominal.patches)
    ratio = (scene.nominal_s / scene.lag_s)[:, None]
    for k in (0, 2, 3):  # the lag, and the motion that is expected in it
        np.testing.assert_allclose(nominal.scalars[..., k], ratio * measured.scalars[..., k], rtol=1e-4)
    for k in (1, 4):
        np.testing.assert_array_equal(nominal.scalars[..., k], measured.scalars[..., k])


def test_what_networks_cost():
    assert cost(FastWarper(J), 64) == {"parameters": 53_860, "macs_per_view": 905_760}
    narrow, half = (cost(PaperWarper(J, 4), n)["macs_per_view"] for n in (32, 16))
    assert narrow == 4 * half > 1e7


def test_a_narrow_paper_warper_on_larger_cells_starts_as_the_identity(source):
    scene = make_scene(replace(source, cells=64), np.random.default_rng((9, 0)))
    batch = collate([seen(some_views(scene, 4, np.random.default_rng(0)), MAPS, pooled=2)], MAPS)
    assert batch.raw.shape[-1] == batch.difference.shape[-1] == batch.size // 2 == 32
    network = PaperWarper(J, 4).eval()
    assert sum(p.numel() for p in network.parameters()) < 1e5
    with torch.no_grad():
        move, _ = motion(network, batch)
    assert move[batch.weight > 0].norm(dim=-1).median() < 0.1
