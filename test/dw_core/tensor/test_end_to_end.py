"""From heatmaps to a 3D loss in one graph: what fused training of the whole chain needs."""

import numpy as np
import pytest
import torch

from dw_core.fusion.paper_warper import PaperWarper
from dw_core.geometry.camera import project
from dw_core.geometry.crop import crop_around
from dw_core.tensor.camera import TensorRig, apply_affine, stack_affines, stack_rig
from dw_core.tensor.camera import project as project_tensor
from dw_core.tensor.fusion import PencilUpload, fuse, pairs_of
from dw_core.tensor.heatmaps import decode, in_pixels, render_gaussians
from dw_core.tensor.triangulation import dlt, triangulate

torch.set_num_threads(1)
N, SIGMA, FRESH = 16, 1.6, 1
BODY = np.array([[0.1, 0.0, 1.5], [-0.25, 0.2, 0.7], [0.2, -0.3, 1.0]])


class Chain:
    """Heatmaps (V, J, n, n) of V views -> spatial fusion -> Warper -> decoding -> triangulation."""

    def __init__(self, rig, robust):
        torch.manual_seed(0)
        crops = [crop_around(project(camera, BODY), 1.8) for camera in rig]
        self.rig, self.robust = stack_rig(rig), robust
        self.to_cells, self.to_pixels = stack_affines(crops, N)
        pairs = pairs_of("sampled_view", len(rig), FRESH)
        self.pencils = PencilUpload(rig, N, "cpu", torch.float64).of(crops, pairs)
        self.stale = [v for v in range(len(rig)) if v != FRESH]
        self.warper = PaperWarper(len(BODY)).double().eval()
        with torch.no_grad():  # offsets that are no whole cells, and no identity
            for name, value in self.warper.named_parameters():
                if name.startswith("offsets"):
                    value.copy_(0.05 * torch.randn_like(value))
                elif name.startswith("weights"):
                    value.add_(0.02 * torch.randn_like(value))

    def __call__(self, raw, rig=None):
        fused = fuse(raw, self.pencils, "sampled_view")
        warped = self.warper(fused[self.stale] - raw[self.stale], raw[self.stale])
        dense = raw.index_copy(0, torch.tensor(self.stale), warped)
        seen = in_pixels(decode(dense), self.to_pixels)
        pixels, confidence = seen.places.transpose(0, 1), seen.confidence.T
        if not self.robust:
            return dlt(rig or self.rig, pixels, confidence)
        return triangulate(rig or self.rig, pixels, seen.covariance.transpose(0, 1), confidence).points

    def loss(self, raw, rig=None):
        return ((self(raw, rig) - torch.from_numpy(BODY)) ** 2).sum()


@pytest.fixture(params=[True, False], ids=["robust", "linear"])
def chain(rig, request):
    return Chain(rig, request.param)


@pytest.fixture
def raw(chain):
    """The views' maps of the body, less exact than the truth; noise keeps maxima apart."""
    torch.manual_seed(1)
    cells = apply_affine(chain.to_cells, project_tensor(chain.rig, torch.from_numpy(BODY))).transpose(0, 1)
    maps = render_gaussians(cells + 0.3 * torch.randn_like(cells), N, SIGMA)
    return (maps + 0.02 * torch.rand_like(maps)).requires_grad_()


def test_the_chain_finds_the_body_and_the_warper_does_something(chain, raw):
    points = chain(raw)
    assert np.linalg.norm(points.detach().numpy() - BODY, axis=-1).max() < 0.3
    offsets = chain.warper.offsets[0](chain.warper.blocks(torch.randn_like(raw)))
    assert offsets.abs().mean() > 0.1


def test_the_3d_loss_has_exact_gradients_by_the_maps_and_the_calibration(chain, raw):
    R, t = (one.clone().requires_grad_() for one in (chain.rig.R, chain.rig.t))

    def loss(raw, R, t):
        return chain.loss(raw, TensorRig(chain.rig.K, chain.rig.distortion, chain.rig.fisheye, R, t))

    # along random directions: every element alone would take thousands of passes
    assert torch.autograd.gradcheck(loss, (raw, R, t), eps=1e-7, atol=1e-5, rtol=1e-4, fast_mode=True)


def test_the_3d_loss_has_exact_gradients_by_the_warpers_weights(chain, raw):
    """Central differences of the loss along a random direction of each parameter."""
    chain.loss(raw).backward()
    torch.manual_seed(2)
    names = ["blocks.0.conv1.weight", "blocks.19.conv2.weight", "offsets.0.weight", "weights.0", "weights.4"]
    parameters = dict(chain.warper.named_parameters())
    for name in names:
        value = parameters[name]
        direction = torch.nn.functional.normalize(torch.randn_like(value).flatten(), dim=0).view_as(value)
        losses = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                value.add_(step * direction)
                losses.append(float(chain.loss(raw)))
                value.sub_(step * direction)
        difference = (losses[0] - losses[1]) / 2e-6
        gradient = float((value.grad * direction).sum())
        assert gradient != 0
        assert gradient == pytest.approx(difference, rel=1e-3, abs=1e-8), name


def test_a_few_steps_down_the_gradient_lower_the_loss(chain, raw):
    raw = raw.detach()
    chain.warper.requires_grad_(False)
    chain.warper.weights.requires_grad_(True)
    optimiser = torch.optim.Adam(chain.warper.weights.parameters(), 1e-3)
    losses = []
    for _ in range(4):
        loss = chain.loss(raw)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]
