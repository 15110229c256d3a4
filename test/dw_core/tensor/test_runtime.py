from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from dw_core.backends.simple_baseline import SimpleBaseline, normalise
from dw_core.errors import CalibrationError
from dw_core.fusion.fast_warper import FastWarper
from dw_core.fusion.paper_warper import PaperWarper
from dw_core.fusion.pencil import Box, PencilGeometry
from dw_core.fusion.spatial import FAINT, STEPS_PER_LINE, SpatialFusion, line_maxima
from dw_core.fusion.torch_weights import weights_of
from dw_core.fusion.warper import TemporalFusion
from dw_core.fusion.weights import save_weights
from dw_core.geometry.camera import project
from dw_core.geometry.crop import Crop, apply_affine, crop_around
from dw_core.heatmaps.decode import decode
from dw_core.heatmaps.render import render_gaussians
from dw_core.interleave.window import Window
from dw_core.skeleton import JointSet
from dw_core.tensor.runtime import (
    InterleavedRuntime,
    SynchronousRuntime,
    image_network,
    paper_warp,
    prepared,
)
from dw_core.types import DenseView, Heatmaps

torch.set_num_threads(1)
CPU = torch.device("cpu")
J, N, SIGMA, SIZE, TICK_NS = 4, 64, 1.27, 32, 16_000_000
JOINTS = JointSet("four", ("a", "b", "c", "d"), ())


def randomised(make, offsets=0.0):
    """A network as training might leave it: anything but the identity. The paper's offsets are larger."""
    torch.manual_seed(0)
    network = make(J)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.startswith("offsets"):
                value.add_(offsets * torch.randn_like(value))
            elif name.startswith("weights"):
                value.add_(0.02 * torch.randn_like(value))
            elif isinstance(network, FastWarper):
                value.add_(0.15 * torch.randn_like(value))
    return network.eval()


WARPERS = {
    "none": lambda: (None, None),
    "fast": lambda: (randomised(FastWarper),) * 2,
    "paper": lambda: (warper := randomised(PaperWarper, 0.3), paper_warp(warper, CPU, torch.float32)),
}


class Tape:
    """A network that sees what it is told to: maps by the number that the image's first pixel holds."""

    def __init__(self):
        self.maps = []

    def image(self, maps):
        self.maps.append(torch.from_numpy(maps))
        return np.full((SIZE, SIZE, 3), len(self.maps) - 1, dtype=np.uint8)

    def __call__(self, images):
        return torch.stack([self.maps[int(image[0, 0, 0])] for image in images])


def shots(rig, person, count, drift=0.02):
    """A person who moves, seen by one camera after the other; crops that follow now and then."""
    crops = {}
    for k in range(count):
        camera, joints = rig[k % len(rig)], person[5:9] + (drift * k, 0.3 * drift * k, 0.0)
        pixels = project(camera, joints)
        if camera.name not in crops or k % 3 == 0:
            crops[camera.name] = crop_around(pixels, 2.5)
        maps = render_gaussians(apply_affine(crops[camera.name].to_cells(N), pixels), N, SIGMA)
        yield Heatmaps(camera.name, k * TICK_NS, crops[camera.name], maps)


def rounding(rig, filled):
    """By view: what numpy's rounding to steps among the lines changes in its fused map at most, half a step
    times the largest change of a profile from line to line, exact since profiles are read linearly; and the
    faint cells that it does not look at."""
    (fresh,) = (view for view in filled.views if view.view == filled.fresh)
    geometry, bounds = PencilGeometry(rig), {}
    for view in filled.views:
        if view is not fresh:
            pair = rig.index(view.view), rig.index(fresh.view)
            lines = geometry.lines(*pair, fresh.crop, N)
            planar = np.ascontiguousarray(fresh.raw.transpose(1, 2, 0))
            profile = line_maxima(planar, lines, Box(0, 0, N, N))
            steepest = np.abs(np.diff(profile, axis=0, prepend=0, append=0)).max()
            bounds[view.view] = 0.5 * (steepest / (2 * STEPS_PER_LINE) + FAINT)
    return bounds


def with_fused(dense, fused):
    """The set after the spatial stage, with another run time's fused maps."""
    views = (v if v.view == dense.fresh else DenseView(v.seen, fused[v.view]) for v in dense.views)
    return replace(dense, views=tuple(views))


@pytest.mark.parametrize("name", WARPERS)
def test_every_stage_is_that_of_numpy(rig, person, tmp_path, name):
    """Fused maps to the steps of numpy's look-up (with 4 joints OpenCV samples exactly). What follows is
    compared on the same fused maps, to 0.02 px of crops of about 300 px: the second highest cell, which the
    covariance goes by, lies anywhere along the ridge that fusion makes, so rounded maps are no measure."""
    network, warp = WARPERS[name]()
    weights = None
    if network is not None:
        weights = tmp_path / "warper.safetensors"
        save_weights(weights_of(network, JOINTS), weights)
    window, spatial, temporal = Window(rig.names), SpatialFusion(rig), TemporalFusion(weights, JOINTS)
    tape = Tape()
    runtime = InterleavedRuntime(rig, SIZE, N, J, tape, warp, CPU)
    moved = 0.0
    for k, heatmaps in enumerate(shots(rig, person, 6 if name == "paper" else 10)):
        image = tape.image(heatmaps.tensor)
        joints = runtime.push(heatmaps.view, heatmaps.stamp_ns, image, heatmaps.crop)
        found = {one.view: one for one in joints}
        assert list(found) == list(rig.names)
        fused = dict(zip(rig.names, runtime.maps[1].numpy().copy(), strict=True))
        (filled,) = window.push(heatmaps)
        dense = spatial.apply(filled)
        bounds = rounding(rig, filled)
        for view in dense.views:
            bound = bounds.get(view.view, 0.0) + 1e-5
            np.testing.assert_allclose(fused[view.view], view.tensor, rtol=0, atol=bound)
        for view in temporal.apply(with_fused(dense, fused)).views:
            expected, one = view.joints, found[view.view]
            assert one.stamp_ns == dense.target_ns
            np.testing.assert_allclose(one.pixels, expected.pixels, rtol=0, atol=0.02)
            np.testing.assert_allclose(one.covariance, expected.covariance, rtol=5e-3, atol=0.02)
            np.testing.assert_allclose(one.confidence, expected.confidence, rtol=0, atol=1e-3)
            moved = max(moved, np.abs(view.joints.pixels - view.seen.joints.pixels).max())
        for unseen in set(rig.names) - {view.view for view in dense.views}:
            assert k < 3 and np.isnan(found[unseen].pixels).all() and not found[unseen].confidence.any()
    assert moved > 1.0  # the stages between do something


class Operators(TorchDispatchMode):
    """Names of all operators that run below."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


# A tensor made of numbers of the host, a number read back, a shape that depends on values: each waits for the
# stream, which no CUDA graph may do while it is captured.
WAITING = {
    "lift_fresh",
    "lift_fresh_copy",
    "scalar_tensor",
    "_local_scalar_dense",
    "item",
    "nonzero",
    "masked_select",
}


@pytest.mark.parametrize("name", WARPERS)
def test_a_tick_can_be_captured_as_a_graph(rig, person, name):
    runtime = InterleavedRuntime(
        rig,
        SIZE,
        SIZE // 4,
        J,
        image_network(SimpleBaseline(J), CPU, torch.bfloat16),
        WARPERS[name]()[1],
        CPU,
    )
    runtime.load("cam1", 0, np.zeros((SIZE, SIZE, 3), np.uint8), Crop(0.0, 0.0, 100.0))
    with torch.no_grad(), Operators() as seen:
        runtime.compute()
    assert {"convolution", "grid_sampler_2d", "argmax"} <= seen.names
    assert not seen.names & WAITING


def test_operators_that_wait_are_noticed():
    with Operators() as seen:
        values = torch.ones(2)
        assert float(values.new_tensor((1.0, 2.0)).sum()) == 3.0
        values[values > 0]
    assert {"lift_fresh", "_local_scalar_dense"} <= seen.names & WAITING


def test_maps_stay_on_the_device_for_whoever_compares(rig, person):
    tape = Tape()
    runtime = InterleavedRuntime(rig, SIZE, N, J, tape, None, CPU)
    for heatmaps in shots(rig, person, 5):
        runtime.push(heatmaps.view, heatmaps.stamp_ns, tape.image(heatmaps.tensor), heatmaps.crop)
    raw, fused, dense = runtime.maps
    np.testing.assert_array_equal(raw[0], heatmaps.tensor)
    assert torch.equal(fused[0], raw[0]) and torch.equal(fused, dense)
    assert not torch.equal(fused[1], raw[1])


def test_unknown_views_are_refused(rig):
    runtime = InterleavedRuntime(rig, SIZE, N, J, Tape(), None, CPU)
    with pytest.raises(CalibrationError, match="no camera 'cam9'"):
        runtime.push("cam9", 0, np.zeros((SIZE, SIZE, 3), np.uint8), Crop(0.0, 0.0, 100.0))


def test_cameras_in_step_are_decoded_together(rig, person):
    tape = Tape()
    seen = list(shots(rig, person, 4))
    runtime = SynchronousRuntime(rig.names, SIZE, N, J, tape, CPU)
    images = [tape.image(one.tensor) for one in seen]
    found = runtime.push(7, images, [one.crop for one in seen])
    for one, heatmaps in zip(found, seen, strict=True):
        expected = decode(heatmaps.tensor, heatmaps.crop)
        assert (one.view, one.stamp_ns) == (heatmaps.view, 7)
        np.testing.assert_allclose(one.pixels, expected.pixels, rtol=0, atol=0.02)
        np.testing.assert_allclose(one.covariance, expected.covariance, rtol=1e-3)
        np.testing.assert_allclose(one.confidence, expected.confidence, rtol=0, atol=1e-5)


def lived_in(network):
    """Batch normalisations that have seen something."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.0)
    return network.eval()


@torch.inference_mode()
def test_prepared_networks_compute_the_same_without_batch_normalisation():
    network = lived_in(randomised(SimpleBaseline))
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    expected = network(normalise(images))
    folded = prepared(network, CPU, torch.float32)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    scale = expected.abs().max()
    single = image_network(network, CPU, torch.float32)(images)
    torch.testing.assert_close(single / scale, expected / scale, rtol=0, atol=1e-4)
    half = image_network(network, CPU, torch.bfloat16)(images)
    assert half.dtype == torch.float32 and half.is_contiguous()
    # 155 layers of 8 bits each
    assert (half - expected).norm() < 0.1 * expected.norm()


@torch.inference_mode()
def test_the_papers_warper_in_half_precision_stays_close():
    warper = lived_in(randomised(PaperWarper, 0.01))
    torch.manual_seed(2)
    raw = torch.from_numpy(render_gaussians(np.random.default_rng(0).uniform(20, 44, (2, J, 2)), N, 2.0))
    difference, motion = 0.1 * torch.randn_like(raw), (torch.zeros(2), torch.zeros(2, J, 2))
    expected = warper(difference, raw)
    single = paper_warp(warper, CPU, torch.float32)(difference, raw, *motion)
    torch.testing.assert_close(single, expected, rtol=0, atol=1e-4)
    half = paper_warp(warper, CPU, torch.bfloat16)(difference, raw, *motion)
    assert half.dtype == torch.float32
    assert (half - expected).norm() < 0.05 * expected.norm()
