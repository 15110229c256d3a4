import pytest
import torch

from dw_core.fusion.fast_warper import translate
from dw_core.tensor.heatmaps import render_gaussians
from dw_core.training.losses import SIGMA_CELLS, barron, moved_map_loss, overlaps, position_loss


def published(x, alpha=-10.0, c=8.0):
    """Barron (CVPR 2019), equation 1, times c^2."""
    b = abs(alpha - 2)
    return c**2 * b / alpha * (((x / c) ** 2 / b + 1) ** (alpha / 2) - 1)


def test_barron_is_as_published():
    for x in (0.0, 0.5, 3.0, 8.0, 40.0):
        assert float(barron(torch.tensor(x, dtype=torch.float64))) == pytest.approx(published(x), rel=1e-12)


def test_barron_is_quadratic_near_zero_and_flat_far_away():
    x = torch.tensor([1e-2, 100.0, 200.0], dtype=torch.float64, requires_grad=True)
    loss = barron(x)
    assert float(loss[0].detach()) == pytest.approx(0.5e-4, rel=1e-3)
    (gradient,) = torch.autograd.grad(loss.sum(), x)
    assert gradient[0] == pytest.approx(1e-2, rel=1e-3) and gradient[2] < 1e-4
    assert loss[2] - loss[1] < 0.01 * loss[1]


def test_losses_of_positions():
    error = torch.tensor([[3.0, -4.0]])
    assert float(position_loss("l1", error)) == 7 and float(position_loss("l2", error)) == 25
    assert float(position_loss("barron", error)) == pytest.approx(published(7.0), rel=1e-6)


def test_the_loss_of_moved_maps_is_that_of_maps_that_are_drawn():
    torch.manual_seed(0)
    n, shape = 48, (3, 5)
    places = (16 + 16 * torch.rand(*shape, 2) for _ in range(3))
    peaks, truth, rivals = places
    maps = render_gaussians(peaks, n, 1.1, torch.rand(shape)) + render_gaussians(rivals, n, 1.6)
    move = (3 * torch.randn(*shape, 2)).requires_grad_()
    keep, height = torch.rand(shape).requires_grad_(), torch.rand(shape)
    drawn = translate(maps, move) * keep[..., None, None]
    expected = ((drawn - render_gaussians(truth, n, SIGMA_CELLS, height)) ** 2).sum((-2, -1))
    found = moved_map_loss(maps, overlaps(maps), move, keep, truth, height)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    gradients = (torch.autograd.grad(loss.sum(), (move, keep)) for loss in (found, expected))
    for mine, theirs in zip(*gradients, strict=True):
        assert theirs.abs().max() > 0.1
        torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-3)
