import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dw_core.errors import ConfigError
from dw_core.geometry.crop import Crop, apply_affine, crop_around, full_frame_crop

number = st.floats(-5000, 5000)
sizes = st.sampled_from([48, 64, 96])


@given(left=number, top=number, side=st.floats(1, 4000), x=number, y=number, cells=sizes)
def test_cells_and_pixels_are_each_others_inverse(left, top, side, x, y, cells):
    crop = Crop(left, top, side)
    back = apply_affine(crop.to_pixels(cells), apply_affine(crop.to_cells(cells), np.array([x, y])))
    np.testing.assert_allclose(back, (x, y), atol=1e-7)


def test_one_cell_per_pixel_is_the_identity():
    crop = full_frame_crop(100, 100)
    assert crop == Crop(-0.5, -0.5, 100.0)
    np.testing.assert_allclose(crop.to_cells(100), [[1, 0, 0], [0, 1, 0]], atol=1e-12)


def test_a_cell_of_two_pixels_has_its_centre_between_them():
    crop = full_frame_crop(100, 100)
    np.testing.assert_allclose(apply_affine(crop.to_pixels(50), np.array([0.0, 0.0])), (0.5, 0.5))


def test_full_frame_crop_holds_the_whole_image_centred():
    crop = full_frame_crop(200, 100)
    assert crop == Crop(-0.5, -50.5, 200.0)


def test_crop_around_points_has_the_margin_and_ignores_nan():
    points = np.array([[100.0, 100.0], [200.0, 300.0], [np.nan, 5.0]])
    crop = crop_around(points, 1.25)
    assert crop == Crop(150 - 125, 200 - 125, 250.0)
    assert crop_around(points[1:], 1.25) is None


def test_impossible_crop_is_refused():
    with pytest.raises(ConfigError, match="positive side"):
        Crop(0.0, 0.0, 0.0)
