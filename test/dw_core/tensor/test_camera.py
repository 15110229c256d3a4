from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dw_core.errors import CalibrationError
from dw_core.geometry import camera as plain
from dw_core.geometry import crop as plain_crop
from dw_core.geometry.camera import Rig
from dw_core.geometry.crop import Crop
from dw_core.geometry.epipolar import essential_matrix, fundamental_matrix
from dw_core.tensor.camera import (
    TensorRig,
    apply_affine,
    distort,
    essential_matrices,
    fundamental_matrices,
    project,
    stack_affines,
    stack_rig,
    undistort,
)

torch.set_num_threads(1)
LENSES = {
    "none": ("pinhole", ()),
    "4": ("pinhole", (-0.2, 0.24, -0.001, -0.0008)),
    "5": ("pinhole", (-0.2, 0.24, -0.001, -0.0008, -0.003)),
    "8": ("pinhole", (0.3, -0.1, 0.001, -0.002, 0.01, 0.35, -0.05, 0.02)),
    "fisheye": ("fisheye", (-0.03, 0.01, -0.004, 0.001)),
}
CENTRES = ((1.8, 5.0, 1.6), (1.8, -5.1, 1.6), (-1.8, 5.2, 1.5), (-1.8, -3.7, 1.6), (4.0, 0.5, 2.2))


@pytest.fixture(scope="module")
def cameras(make_camera):
    """One camera with every lens, one of them with skew."""
    made = [
        make_camera(name, centre, model=model, distortion=distortion)
        for (name, (model, distortion)), centre in zip(LENSES.items(), CENTRES, strict=True)
    ]
    K = made[1].K.copy()
    K[0, 1] = 3.0
    made[1] = plain.replace(made[1], K=K)
    return Rig(tuple(made))


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(0).normal(size=(50, 3)) * (0.8, 0.8, 0.5) + (0, 0, 1)


def test_every_lens_projects_as_in_numpy(cameras, points):
    expected = np.stack([plain.project(camera, points) for camera in cameras], -2)
    found = project(stack_rig(cameras), torch.from_numpy(points))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_jacobians_of_every_lens_are_those_of_numpy(cameras):
    places = np.random.default_rng(1).uniform(-0.4, 0.4, (50, len(cameras), 2))
    places[0] = 0.0
    found, jacobian = distort(stack_rig(cameras), torch.from_numpy(places))
    for m, camera in enumerate(cameras):
        expected, expected_jacobian = plain.distort(camera, places[:, m])
        np.testing.assert_allclose(found[:, m], expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(jacobian[:, m], expected_jacobian, rtol=0, atol=1e-9)


def test_every_lens_is_removed_as_in_numpy(cameras):
    pixels = np.random.default_rng(2).uniform(50, 950, (200, len(cameras), 2))
    expected = np.stack([plain.undistort(camera, pixels[:, m]) for m, camera in enumerate(cameras)], 1)
    found = undistort(stack_rig(cameras), torch.from_numpy(pixels)).numpy()
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@given(x=st.floats(100, 900), y=st.floats(100, 900))
def test_single_precision_stays_within_a_hundredth_of_a_pixel(cameras, x, y):
    pixels = torch.full((len(cameras), 2), x) + torch.tensor([0.0, y - x])
    exact = undistort(stack_rig(cameras), pixels.double())
    single = undistort(stack_rig(cameras, dtype=torch.float32), pixels)
    assert single.dtype == torch.float32
    assert torch.equal(single.isnan(), exact.isnan())
    assert float((single - exact).abs().nan_to_num().max()) < 0.01 / 1150


def test_what_the_lens_cannot_reach_is_nan_and_leaves_the_gradient_of_the_rest(make_camera):
    camera = make_camera("cam", (1.8, 5.0, 1.6), distortion=(-0.5, 0.0, 0.0, 0.0))
    rig = stack_rig((camera, camera))
    pixels = torch.tensor([[700.0, 400.0], [5500.0, 500.0]], dtype=torch.float64, requires_grad=True)
    found = undistort(rig, pixels)
    assert found[0].isfinite().all() and found[1].isnan().all()
    found[0].sum().backward()
    assert pixels.grad is not None and pixels.grad.isfinite().all()
    assert (pixels.grad[0] != 0).all() and (pixels.grad[1] == 0).all()


def test_points_behind_a_camera_have_no_pixel(cameras):
    behind = cameras[0].centre - cameras[0].R[2]
    assert project(stack_rig(cameras), torch.from_numpy(behind))[0].isnan().all()


def test_projection_has_exact_gradients(cameras, points):
    rig = stack_rig(cameras)

    def with_rig(X, K, distortion, R, t):
        return project(TensorRig(K, distortion, rig.fisheye, R, t), X)

    given = (torch.from_numpy(points[:3]), rig.K, rig.distortion, rig.R, rig.t)
    assert torch.autograd.gradcheck(with_rig, [one.clone().requires_grad_() for one in given])


def test_lens_removal_has_exact_gradients_by_pixels_and_calibration(cameras):
    rig = stack_rig(cameras)
    pixels = torch.from_numpy(np.random.default_rng(3).uniform(100, 900, (3, len(cameras), 2)))

    def with_rig(pixels, K, distortion):
        return undistort(TensorRig(K, distortion, rig.fisheye, rig.R, rig.t), pixels)

    given = (pixels, rig.K, rig.distortion)
    assert torch.autograd.gradcheck(with_rig, [one.clone().requires_grad_() for one in given])


def test_epipolar_matrices_of_all_ordered_pairs(cameras):
    rig = stack_rig(cameras)
    E, F = essential_matrices(rig), fundamental_matrices(rig)
    for a, b in permutations(range(len(cameras)), 2):
        np.testing.assert_allclose(E[a, b], essential_matrix(cameras[a], cameras[b]), rtol=0, atol=1e-12)
        np.testing.assert_allclose(F[a, b], fundamental_matrix(cameras[a], cameras[b]), rtol=0, atol=1e-12)
    assert not E[range(len(cameras)), range(len(cameras))].any()


def test_essential_matrices_have_exact_gradients(cameras):
    rig = stack_rig(cameras.cameras[:2])

    def with_pose(R, t):
        return essential_matrices(TensorRig(rig.K, rig.distortion, rig.fisheye, R, t))

    assert torch.autograd.gradcheck(with_pose, (rig.R.requires_grad_(), rig.t.requires_grad_()))


def test_cameras_at_one_place_have_no_epipolar_geometry(make_camera):
    twins = [make_camera(name, (1.8, 5.0, 1.6)) for name in "ab"]
    with pytest.raises(CalibrationError, match="cameras 0 and 1 of the rig stand 0.000 m apart"):
        essential_matrices(stack_rig(twins))


def test_crops_as_affines():
    crops = [Crop(300.0, 150.0, 480.0), Crop(-20.5, 0.0, 96.0)]
    pixels = np.random.default_rng(4).uniform(0, 500, (7, 2, 2))
    to_cells, to_pixels = stack_affines(crops, 64)
    cells = apply_affine(to_cells, torch.from_numpy(pixels))
    for m, crop in enumerate(crops):
        expected = plain_crop.apply_affine(crop.to_cells(64), pixels[:, m])
        np.testing.assert_allclose(cells[:, m], expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(apply_affine(to_pixels, cells), pixels, rtol=0, atol=1e-10)
