import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dw_core.errors import ConfigError
from dw_core.geometry.crop import Crop, apply_affine, full_frame_crop
from dw_core.heatmaps.decode import decode
from dw_core.heatmaps.render import render_gaussians

# MoveNet's maps, its peaks 3 cells wide at half height, and the paper's.
MAPS = [(64, 1.27), (96, 3.0)]


def identity(n):
    return full_frame_crop(n, n)


def test_rendered_gaussian_has_its_peak_height_and_width():
    maps = render_gaussians(np.array([[20.0, 10.0], [np.nan, 5.0]]), 64, 2.0, np.array([0.7, 1.0]))
    assert maps.dtype == np.float32 and maps[0].argmax() == 10 * 64 + 20
    assert maps[0, 10, 20] == pytest.approx(0.7)
    assert maps[0, 10, 22] == pytest.approx(0.7 * np.exp(-0.5))
    assert not maps[1].any()


@pytest.mark.parametrize(("n", "sigma"), MAPS)
def test_sub_cell_positions_are_recovered(n, sigma):
    cells = np.random.default_rng(0).uniform(10, n - 11, (500, 2))
    joints = decode(render_gaussians(cells, n, sigma), identity(n))
    assert np.abs(joints.pixels - cells).max() < 0.01


def test_pixels_are_those_of_the_full_image():
    crop = Crop(300.0, 150.0, 480.0)
    pixels = np.array([[500.0, 400.0], [421.3, 333.3]])
    maps = render_gaussians(apply_affine(crop.to_cells(64), pixels), 64, 1.27)
    np.testing.assert_allclose(decode(maps, crop).pixels, pixels, atol=0.05)


def test_covariance_scales_with_the_crop_and_the_width_of_the_peak():
    cells = np.array([[30.0, 30.0]])
    narrow, wide = (decode(render_gaussians(cells, 64, s), identity(64)).covariance[0] for s in (1.0, 2.0))
    assert np.linalg.eigvalsh(wide - narrow).min() > 0
    coarse = decode(render_gaussians(cells, 64, 1.0), Crop(0.0, 0.0, 640.0)).covariance[0]
    np.testing.assert_allclose(coarse, 100 * narrow, rtol=1e-9)


def test_covariance_leans_with_the_peak():
    y, x = np.mgrid[:64, :64] - 31.0
    slanted = np.exp(-0.5 * ((x + y) ** 2 / 9 + (x - y) ** 2)).astype(np.float32)[None]
    C = decode(slanted, identity(64)).covariance[0]
    assert C[0, 1] > 0 and C[0, 0] == pytest.approx(C[1, 1], rel=1e-3)


def test_a_second_peak_widens_the_covariance_towards_it():
    one = render_gaussians(np.array([[15.0, 30.0]]), 64, 1.27)
    both = np.maximum(one, 0.6 * render_gaussians(np.array([[45.0, 30.0]]), 64, 1.27))
    alone, torn = decode(one, identity(64)), decode(both, identity(64))
    np.testing.assert_allclose(torn.pixels, alone.pixels, atol=1e-3)
    assert np.sqrt(torn.covariance[0, 0, 0]) > 10
    assert torn.covariance[0, 1, 1] == pytest.approx(alone.covariance[0, 1, 1], rel=0.01)


def test_confidence_rises_with_the_height_and_is_zero_when_there_is_no_joint():
    maps = render_gaussians(np.full((3, 2), 20.0), 64, 1.27, np.array([0.8, 0.009, 0.0]))
    maps[2] = np.nan
    joints = decode(maps, identity(64))
    np.testing.assert_allclose(joints.confidence, [1 / (1 + (0.25 / 0.8) ** 4), 0, 0], atol=1e-6)
    assert np.isfinite(joints.pixels[0]).all()
    assert np.isnan(joints.pixels[1:]).all() and np.isnan(joints.covariance[1:]).all()


def test_peaks_in_the_corners_stay_near_the_map():
    corners = np.array([[0.0, 0.0], [63.0, 0.0], [0.0, 63.0], [63.0, 63.0]])
    assert np.abs(decode(render_gaussians(corners, 64, 1.27), identity(64)).pixels - corners).max() < 0.5


@given(hnp.arrays(np.float32, (2, 16, 16), elements=st.floats(0, 1, width=32)))
def test_any_map_gives_a_place_inside_with_a_proper_covariance(maps):
    joints = decode(maps, identity(16))
    seen = joints.confidence > 0
    np.testing.assert_array_equal(seen, maps.max((1, 2)) >= 0.01)
    assert ((joints.pixels[seen] >= 0) & (joints.pixels[seen] <= 15)).all()
    assert (np.linalg.eigvalsh(joints.covariance[seen]) > 0).all()


def test_maps_that_are_not_square_are_refused():
    with pytest.raises(ConfigError, match=r"\(17, 64, 48\)"):
        decode(np.zeros((17, 64, 48), np.float32), identity(64))
