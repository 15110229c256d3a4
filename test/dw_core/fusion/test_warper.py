import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from dw_core.errors import AssetError, ConfigError
from dw_core.fusion.fast_warper import FastWarper
from dw_core.fusion.paper_warper import PaperWarper
from dw_core.fusion.torch_weights import network_of, weights_of
from dw_core.fusion.warper import TemporalFusion
from dw_core.fusion.weights import load_weights, save_weights
from dw_core.geometry.crop import Crop
from dw_core.heatmaps.render import render_gaussians
from dw_core.skeleton import COCO17, JointSet
from dw_core.types import NS, DenseSet, DenseView, Heatmaps, Stage

THREE = JointSet("three", ("nose", "left_hip", "right_hip"), ())
CROP = Crop(-0.5, -0.5, 128.0)  # 2 px per cell of 64
MS = NS // 1000


def seen(view, stamp_ns, cells):
    return Heatmaps(view, stamp_ns, CROP, render_gaussians(np.asarray(cells, float), 64, 1.3))


def dense_set(stale, fresh, change=0.0):
    views = (DenseView(stale, (stale.tensor + np.float32(change)) / 2), DenseView(fresh, fresh.tensor))
    return DenseSet(fresh.stamp_ns, fresh.view, views, Stage.SPATIAL)


def steady(cells, cells_per_second, stamp_ns):
    return np.asarray(cells) + np.asarray(cells_per_second) * stamp_ns / NS


@pytest.fixture(params=["fast", "paper"])
def untrained(request, tmp_path):
    torch.manual_seed(0)
    network = FastWarper(3) if request.param == "fast" else PaperWarper(3)
    path = tmp_path / f"{request.param}.safetensors"
    save_weights(weights_of(network, THREE, trained_on="nothing"), path)
    return path


@pytest.fixture
def follower(tmp_path):
    """Weights that move a joint by exactly velocity times lag (within half a cell, where tanh is straight),
    in a file."""
    network = FastWarper(3, width=4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.scalars.weight[0, 2] = network.scalars.weight[2, 3] = 1.0  # the expected motion in x, y,
        network.scalars.weight[1, 2] = network.scalars.weight[3, 3] = -1.0  # both signs past the ReLUs
        network.hidden.weight.copy_(torch.eye(4))
        network.out.weight[0] = torch.tensor([12.0, -12.0, 0.0, 0.0])
        network.out.weight[1] = torch.tensor([0.0, 0.0, 12.0, -12.0])
    save_weights(weights_of(network, THREE), tmp_path / "follower.safetensors")
    return tmp_path / "follower.safetensors"


PLACES = np.array([(20.0, 30.0), (40.0, 22.0), (31.0, 45.0)])
SPEED = np.array([(20.0, 0.0), (-15.0, 10.0), (0.0, -25.0)])  # cells/s


def test_without_weights_the_stage_passes_through_and_says_so():
    stage, given = TemporalFusion(), dense_set(seen("a", 0, PLACES), seen("b", 5, PLACES))
    out = stage.apply(given)
    assert stage.passes_through and "unchanged" in stage.description
    assert out.views == given.views and out.stage == Stage.TEMPORAL


@pytest.mark.parametrize("lag_ms", [16, 50, -30])
def test_the_measured_lag_and_what_the_view_saw_before_move_the_map(follower, lag_ms):
    stage = TemporalFusion(follower, THREE)
    for stamp in (0, 60 * MS):  # the view sees the joints twice, the fresh one at another time
        view = seen("a", stamp, steady(PLACES, SPEED, stamp))
        target = stamp + lag_ms * MS
        out = stage.apply(dense_set(view, seen("b", target, PLACES)))
    moved = out.views[0].joints
    assert out.stage == Stage.TEMPORAL and out.views[0].source_stamp_ns == 60 * MS
    expected = steady(PLACES, SPEED, target) * 2 + 0.5  # px of the crop
    np.testing.assert_allclose(moved.pixels, expected, atol=0.15)
    still = np.linalg.norm(view.joints.pixels - expected, axis=1)
    assert (still > 0.4).all()  # it had to move


def test_an_unknown_velocity_is_none(follower):
    """Seen once, or too long ago, or with a joint that was not there."""
    once = TemporalFusion(follower, THREE)
    view = seen("a", 0, PLACES)
    out = once.apply(dense_set(view, seen("b", 50 * MS, PLACES)))
    np.testing.assert_allclose(out.views[0].tensor, view.tensor, atol=1e-5)
    later = seen("a", NS, PLACES + 2)
    out = once.apply(dense_set(later, seen("b", NS + 50 * MS, PLACES)))
    np.testing.assert_allclose(out.views[0].tensor, later.tensor, atol=1e-5)
    gap = TemporalFusion(follower, THREE)
    gap.apply(dense_set(seen("a", 0, [(np.nan, np.nan), *PLACES[1:]]), seen("b", 1, PLACES)))
    out = gap.apply(dense_set(seen("a", 60 * MS, PLACES + 1), seen("b", 90 * MS, PLACES)))
    assert np.isfinite(out.views[0].tensor).all()
    joints = out.views[0].joints.pixels - (PLACES + 1) * 2 - 0.5
    assert np.abs(joints[0]).max() < 0.05 and np.abs(joints[1:]).min() > 0.5


def test_the_memory_does_not_grow_and_can_be_put_back(follower):
    stage, copy = TemporalFusion(follower, THREE), TemporalFusion(follower, THREE)
    for k in range(20):
        stage.apply(
            dense_set(seen("a", 66 * k * MS, PLACES + 0.1 * k), seen("b", (66 * k + 20) * MS, PLACES))
        )
    assert {view: len(kept) for view, kept in stage.state.seen.items()} == {"a": 2, "b": 2}
    copy.state = stage.state
    given = dense_set(seen("a", 66 * 20 * MS, PLACES + 2), seen("b", (66 * 20 + 20) * MS, PLACES))
    np.testing.assert_array_equal(stage.apply(given).views[0].tensor, copy.apply(given).views[0].tensor)


def test_untrained_weights_leave_the_raw_maps_of_stale_views(untrained):
    stage, given = (
        TemporalFusion(untrained, THREE),
        dense_set(seen("a", 0, PLACES), seen("b", 5, PLACES), 0.3),
    )
    out = stage.apply(given)
    assert not stage.passes_through and str(untrained) in stage.description
    assert out.stage == Stage.TEMPORAL and out.views[1] is given.views[1]
    # the identity on the raw map, not on the fused one
    np.testing.assert_allclose(out.views[0].tensor, given.views[0].raw, atol=1e-4)


def test_no_warper_imports_torch(untrained):
    code = (
        "import sys, pathlib, dw_core.fusion.warper as w\n"
        "w.TemporalFusion(); w.open_warper(w.load_weights(pathlib.Path(sys.argv[1])))\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(untrained)]).returncode == 0


def test_weights_come_back_from_their_file(untrained):
    weights = load_weights(untrained)
    assert weights.joints == THREE.joints and weights.about == {"trained_on": "nothing"}
    network = network_of(weights)
    for name, array in weights.arrays.items():
        np.testing.assert_array_equal(network.state_dict()[name].numpy(), array)


def test_bad_weights_are_refused(untrained, tmp_path):
    with pytest.raises(AssetError, match="do not exist"):
        TemporalFusion(tmp_path / "none.safetensors")
    (tmp_path / "text").write_text("not weights")
    with pytest.raises(AssetError, match="cannot be read as safetensors"):
        TemporalFusion(tmp_path / "text")
    save_file({"x": np.zeros(1, np.float32)}, tmp_path / "other")
    with pytest.raises(AssetError, match="architecture '' for joints ''"):
        TemporalFusion(tmp_path / "other")
    weights = load_weights(untrained)
    save_weights(replace(weights, arrays={"x": np.zeros(1, np.float32)}), tmp_path / "nothing")
    with pytest.raises(AssetError, match="fast Warper|paper's Warper"):
        TemporalFusion(tmp_path / "nothing", THREE)
    with pytest.raises(
        ConfigError, match="are for joints nose, left_hip, right_hip, expected those of coco17"
    ):
        TemporalFusion(untrained, COCO17)
    five = Heatmaps("a", 0, CROP, render_gaussians(np.full((5, 2), 30.0), 64, 1.3))
    with pytest.raises(ConfigError, match="3 joints, the heatmaps have 5"):
        TemporalFusion(untrained, THREE).apply(dense_set(five, replace(five, view="b", stamp_ns=5)))
