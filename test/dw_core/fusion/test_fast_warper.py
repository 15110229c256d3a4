import numpy as np
import pytest
import torch

from dw_core.errors import AssetError
from dw_core.fusion.fast_warper import FastWarper, translate
from dw_core.fusion.fast_warper_cpu import FastWarperCpu
from dw_core.fusion.torch_weights import network_of, weights_of
from dw_core.heatmaps.render import render_gaussians
from dw_core.skeleton import JointSet

J = 5
JOINTS = JointSet("five", ("a", "b", "c", "d", "e"), ())


def maps(n=64, views=3, seed=0):
    """Raw and fused maps (N, J, n, n) of peaks somewhere, some of them at the rim."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(-1, n, (views, J, 2))
    raw = render_gaussians(places, n, 1.3, rng.uniform(0.1, 1, (views, J)))
    fused = 0.5 * raw + 0.5 * render_gaussians(places + rng.normal(size=places.shape), n, 2.0)
    return raw, fused.astype(np.float32)


def inputs(n=64, seed=0):
    raw, fused = maps(n, seed=seed)
    rng = np.random.default_rng(seed)
    velocity = np.where(rng.random((3, J, 1)) < 0.3, 0.0, rng.normal(size=(3, J, 2)) * 40)
    return raw, fused, np.array([0.05, -0.02, 0.2]), velocity


def trained(seed=0):
    """A network as training might leave it: anything but the identity."""
    torch.manual_seed(seed)
    network = FastWarper(J)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return network.eval()


def as_tensors(raw, fused, lag, velocity, dtype=torch.float32):
    return [torch.from_numpy(np.asarray(value)).to(dtype) for value in (fused - raw, raw, lag, velocity)]


def test_starts_as_the_identity():
    given = as_tensors(*inputs())
    torch.testing.assert_close(FastWarper(J)(*given), given[1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("n", [16, 64, 96])
def test_the_run_time_without_torch_computes_the_same(n):
    network, given = trained(), inputs(n)
    raw, fused, lag, velocity = given
    cpu = FastWarperCpu(weights_of(network, JOINTS))
    with torch.inference_mode():
        move, keep = network.motion(*as_tensors(*given))
        warped = network(*as_tensors(*given))
    ours_move, ours_keep = cpu.motion(list(fused), list(raw), lag, velocity)
    assert move.abs().max() > 0.5 and (keep < 0.999).any()  # it does something
    np.testing.assert_allclose(ours_move, move, atol=1e-4)
    np.testing.assert_allclose(ours_keep, keep, atol=1e-5)
    np.testing.assert_allclose(cpu(list(fused), list(raw), lag, velocity), warped, atol=1e-4)


def test_a_map_is_moved_as_a_whole():
    raw = torch.from_numpy(render_gaussians(np.array([[20.0, 31.0]]), 64, 2.0))[None]
    moved = translate(raw, torch.tensor([[[2.5, -4.0]]]))
    expected = render_gaussians(np.array([[22.5, 27.0]]), 64, 2.0)
    np.testing.assert_allclose(moved[0], expected, atol=0.04)  # half a cell: bilinear flattens the peak
    assert translate(raw, torch.full((1, 1, 2), 100.0)).abs().max() == 0


def test_the_geometry_is_exact_for_maps_in_half_precision():
    raw = torch.from_numpy(render_gaussians(np.array([[61.0, 3.0]]), 64, 2.0))[None]
    move = torch.tensor([[[1.25, -0.75]]])
    half = translate(raw.bfloat16(), move).float()
    torch.testing.assert_close(half, translate(raw, move), atol=0.01, rtol=0)


def test_gradients_are_exact():
    network = trained().double()
    raw, fused, lag, velocity = inputs(16)
    difference, raw, lag, velocity = as_tensors(raw, fused, lag, velocity, torch.float64)
    arguments = [value.requires_grad_() for value in (difference, raw, lag)]
    assert torch.autograd.gradcheck(
        lambda *a: network(*a, velocity), arguments, fast_mode=True, nondet_tol=1e-9
    )


def test_every_parameter_learns():
    network = FastWarper(J)
    torch.nn.init.normal_(network.out.weight, std=0.01)
    given = as_tensors(*inputs())
    torch.nn.functional.mse_loss(network(*given), given[1].roll(2, -1)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_it_learns_to_follow_a_joint_that_moves_steadily():
    """A few hundred steps are enough for what any Warper must learn: velocity times lag."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = FastWarper(J, width=32)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    place = torch.randint(20, 44, (8, J, 2), generator=generator).numpy()
    raw = torch.from_numpy(render_gaussians(place, 64, 1.5))

    def batch():
        lag = torch.rand(8, generator=generator) * 0.2 - 0.05
        velocity = torch.randn(8, J, 2, generator=generator) * 30
        return lag, velocity, velocity * lag[:, None, None]

    for _ in range(300):
        lag, velocity, truth = batch()
        move, _ = network.motion(torch.zeros_like(raw), raw, lag, velocity)
        loss = (move - truth).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    lag, velocity, truth = batch()
    move, _ = network.motion(torch.zeros_like(raw), raw, lag, velocity)
    assert (move - truth).abs().mean() < 0.35 * truth.abs().mean()


def test_weights_of_another_network_are_refused():
    weights = weights_of(FastWarper(4), JOINTS)
    with pytest.raises(AssetError, match="joint has shape"):
        FastWarperCpu(weights)
    with pytest.raises(AssetError, match="do not fit the fast Warper"):
        network_of(weights)
