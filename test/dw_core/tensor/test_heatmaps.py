import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dw_core.errors import ConfigError
from dw_core.geometry.crop import Crop, full_frame_crop
from dw_core.heatmaps import decode as plain
from dw_core.heatmaps import render
from dw_core.tensor.camera import stack_affines
from dw_core.tensor.heatmaps import decode, in_pixels, render_gaussians, soft_argmax

torch.set_num_threads(1)
# MoveNet's maps and the paper's.
MAPS = [(64, 1.27), (96, 3.0)]


def agree(joints, expected, atol):
    np.testing.assert_allclose(joints.places, expected.pixels, rtol=0, atol=atol)
    np.testing.assert_allclose(joints.covariance, expected.covariance, rtol=1e-4, atol=atol)
    np.testing.assert_allclose(joints.confidence, expected.confidence, rtol=0, atol=1e-6)


def test_rendering_is_that_of_numpy():
    cells = np.array([[[20.3, 10.0], [np.nan, 5.0]], [[-3.0, 64.2], [31.5, 31.5]]])
    peaks = np.array([[0.7, 1.0], [1.0, 0.2]])
    found = render_gaussians(torch.from_numpy(cells), 64, 2.0, torch.from_numpy(peaks))
    np.testing.assert_allclose(found, render.render_gaussians(cells, 64, 2.0, peaks), rtol=0, atol=1e-7)
    whole = render_gaussians(torch.from_numpy(cells), 64, 2.0)
    np.testing.assert_allclose(whole, render.render_gaussians(cells, 64, 2.0), rtol=0, atol=1e-7)


def test_rendering_has_exact_gradients():
    cells = torch.tensor([[3.3, 4.1], [torch.nan, 2.0]], dtype=torch.float64, requires_grad=True)
    peaks = torch.tensor([0.7, 1.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda c, p: render_gaussians(c, 8, 1.5, p), (cells[:1], peaks[:1]))
    render_gaussians(cells, 8, 1.5, peaks).sum().backward()
    assert cells.grad is not None and not cells.grad[1].any()


@pytest.mark.parametrize(("n", "sigma"), MAPS)
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-6), (torch.float32, 1e-3)])
def test_decoding_is_that_of_numpy(n, sigma, dtype, atol):
    """Among two peaks of alike height, in the corners, and with nothing to see. The moments of a far
    second peak are thousands of cells^2, so single precision has 1e-4 of them."""
    rng = np.random.default_rng(0)
    maps = render.render_gaussians(rng.uniform(-1, n, (40, 2)), n, sigma, rng.uniform(0, 1, 40))
    second = render.render_gaussians(rng.uniform(0, n, (40, 2)), n, sigma, rng.uniform(0, 1, 40))
    maps = np.maximum(maps, second)
    maps[3] = 0.0
    maps[7, 5, 5] = np.nan
    found = decode(torch.from_numpy(maps.reshape(2, 20, n, n)).to(dtype))
    for k, part in enumerate(maps.reshape(2, 20, n, n)):
        expected = plain.decode(part, full_frame_crop(n, n))
        agree(type(found)(*(value[k] for value in vars(found).values())), expected, atol)
        assert np.isnan(expected.pixels).any() == (k == 0)


@given(hnp.arrays(np.float32, (3, 16, 16), elements=st.floats(0, 1, width=32)))
def test_any_map_is_decoded_as_in_numpy(maps):
    agree(decode(torch.from_numpy(maps).double()), plain.decode(maps, full_frame_crop(16, 16)), 1e-6)


def test_the_threshold_is_that_of_numpy_to_the_last_bit():
    maps = np.zeros((3, 16, 16), dtype=np.float32)
    at = np.float32(0.01)
    maps[:, 5, 5] = at, np.nextafter(at, np.float32(1)), np.nextafter(at, np.float32(0))
    found, expected = decode(torch.from_numpy(maps)), plain.decode(maps, full_frame_crop(16, 16))
    assert (expected.confidence > 0).tolist() == [False, True, False]
    np.testing.assert_array_equal(found.confidence > 0, expected.confidence > 0)


@given(
    hnp.arrays(np.float32, (2, 16, 16), elements=st.floats(-1, 1, width=32)),
    st.sampled_from([1e-30, 1e-3, 1e3, 1e30, np.float32(3e38)]),
)
def test_maps_of_any_scale_and_sign_are_decoded_as_in_numpy_or_not_at_all(maps, scale):
    maps = (maps * np.float32(scale)).astype(np.float32)
    found, expected = decode(torch.from_numpy(maps)), plain.decode(maps, full_frame_crop(16, 16))
    np.testing.assert_array_equal(found.confidence > 0, expected.confidence > 0)
    np.testing.assert_allclose(found.places, expected.pixels, rtol=0, atol=1e-3)
    np.testing.assert_allclose(found.confidence, expected.confidence, rtol=0, atol=1e-5)


def test_pixels_of_several_crops_are_those_of_numpy():
    crops = [Crop(300.0, 150.0, 480.0), Crop(-20.5, 7.0, 96.0)]
    maps = render.render_gaussians(np.random.default_rng(1).uniform(8, 56, (2, 5, 2)), 64, 1.27)
    found = in_pixels(decode(torch.from_numpy(maps).double()), stack_affines(crops, 64)[1])
    for k, crop in enumerate(crops):
        expected = plain.decode(maps[k], crop)
        agree(type(found)(*(value[k] for value in vars(found).values())), expected, 1e-5)


def lively_maps():
    """Two peaks in the first map, one in the second; no ties."""
    rng = np.random.default_rng(2)
    maps = render.render_gaussians(np.array([[5.2, 8.1], [9.4, 3.3]]), 16, 1.5, np.array([0.9, 0.6]))
    maps[0] += render.render_gaussians(np.array([12.3, 12.1]), 16, 1.5, np.array(0.5))
    return torch.from_numpy(maps + 0.01 * rng.random(maps.shape)).double().requires_grad_()


def test_decoding_has_exact_gradients():
    assert torch.autograd.gradcheck(lambda maps: tuple(vars(decode(maps)).values()), (lively_maps(),))


def test_what_was_not_seen_spoils_no_gradient():
    maps = lively_maps()
    with torch.no_grad():
        maps[1] = torch.nan
    joints = decode(maps)
    assert joints.places[1].isnan().all() and joints.confidence[1] == 0
    joints.places[0].sum().backward()
    assert maps.grad is not None and maps.grad[0].isfinite().all() and not maps.grad[1].any()


def test_soft_argmax_is_the_papers():
    rng = np.random.default_rng(3)
    maps = render.render_gaussians(
        rng.uniform(0, 96, (6, 2)), 96, 3.0, np.array([1, 0.5, 0.3, 0.05, 0.009, 0])
    )
    for k, (x, y) in enumerate(soft_argmax(torch.from_numpy(maps).double()).tolist()):
        heat = maps[k].astype(np.float64)
        py, px = np.unravel_index(heat.argmax(), heat.shape)
        yy, xx = np.mgrid[:96, :96]
        weight = np.exp(heat / 0.05) / np.exp(heat / 0.05).sum()
        weight *= (xx - px) ** 2 + (yy - py) ** 2 <= 7.5**2
        expected = (weight * xx).sum() / weight.sum(), (weight * yy).sum() / weight.sum()
        assert (x, y) == pytest.approx(expected if heat.max() >= 0.01 else (0.0, 0.0), abs=1e-9)


def test_soft_argmax_has_exact_gradients():
    assert torch.autograd.gradcheck(soft_argmax, (lively_maps(),))


def test_half_precision_maps_are_computed_in_single():
    maps = torch.from_numpy(render.render_gaussians(np.array([[20.5, 30.25]]), 64, 1.27)).bfloat16()
    joints = decode(maps)
    assert joints.places.dtype == torch.float32
    torch.testing.assert_close(joints.places, decode(maps.float()).places)


def test_maps_that_are_not_square_are_refused():
    with pytest.raises(ConfigError, match=r"\(17, 64, 48\)"):
        decode(torch.zeros(17, 64, 48))
