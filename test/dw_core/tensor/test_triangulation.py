import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dw_core.errors import ConfigError
from dw_core.geometry import triangulation as plain
from dw_core.geometry.camera import project
from dw_core.tensor.camera import TensorRig, stack_rig
from dw_core.tensor.triangulation import dlt, triangulate

torch.set_num_threads(1)
UNIT = np.eye(2)
coordinate = st.floats(-1.5, 1.5)


def see(cameras, points):
    return np.stack([project(camera, points) for camera in cameras], -2)


def solve(cameras, pixels, covariance, confidence=None, dtype=torch.float64):
    arrays = (pixels, covariance) if confidence is None else (pixels, covariance, confidence)
    return triangulate(stack_rig(cameras, dtype=dtype), *(torch.from_numpy(a).to(dtype) for a in arrays))


def agree(found, expected, atol):
    np.testing.assert_array_equal(found.inliers, expected.inliers)
    np.testing.assert_allclose(found.points, expected.points, rtol=0, atol=atol)
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-6 + 100 * atol, atol=0)
    np.testing.assert_allclose(found.confidence, expected.confidence, rtol=0, atol=1e-6)


def scene(cameras, seed=0, N=400):
    """Noise, outliers, views that are missing or not trusted, joints of different precision."""
    rng = np.random.default_rng(seed)
    M = len(cameras)
    points = rng.normal(size=(N, 3)) * (0.6, 0.6, 0.4) + (0, 0, 1)
    pixels = see(cameras, points) + 3.0 * rng.normal(size=(N, M, 2))
    pixels += np.where(rng.random((N, M, 1)) < 0.05, 60.0, 0.0) * rng.normal(size=(N, M, 2))
    pixels[rng.random((N, M)) < 0.2] = np.nan
    root = rng.normal(size=(N, M, 2, 2)) + 2 * UNIT
    covariance = 4.0 * root @ root.swapaxes(-1, -2)
    return points, pixels, covariance, rng.uniform(0, 1, (N, M)) * (rng.random((N, M)) > 0.1)


@given(x=coordinate, y=coordinate, z=st.floats(0, 2.2))
def test_exact_pixels_give_exact_points(rig, x, y, z):
    point = np.array([x, y, z])
    pixels = torch.from_numpy(see(rig, point))
    np.testing.assert_allclose(dlt(stack_rig(rig), pixels), point, rtol=0, atol=1e-7)
    np.testing.assert_allclose(solve(rig, see(rig, point), UNIT).points, point, rtol=0, atol=1e-7)


@pytest.mark.parametrize("noise", [0.0, 3.0, 20.0])
def test_linear_triangulation_is_the_homogeneous_one_of_numpy(rig, noise):
    rng = np.random.default_rng(1)
    points = rng.normal(size=(200, 3)) * (0.6, 0.6, 0.4) + (0, 0, 1)
    pixels = see(rig, points) + noise * rng.normal(size=(200, 4, 2))
    weights = rng.uniform(0.2, 1.0, (200, 4))
    pixels[5, 2] = np.nan
    found = dlt(stack_rig(rig), torch.from_numpy(pixels), torch.from_numpy(weights))
    np.testing.assert_allclose(found, plain.dlt(rig, pixels, weights), rtol=0, atol=1e-7)
    single = dlt(stack_rig(rig, dtype=torch.float32), torch.from_numpy(pixels).float())
    np.testing.assert_allclose(single, plain.dlt(rig, pixels), rtol=0, atol=1e-3)


def test_robust_triangulation_is_that_of_numpy(rig):
    _, *seen = scene(rig)
    expected = plain.triangulate(rig, *seen)
    reasons = set(expected.reason.tolist())
    assert {plain.Reason.OK, plain.Reason.TOO_FEW_VIEWS, plain.Reason.INCONSISTENT} <= reasons
    agree(solve(rig, *seen), expected, 1e-9)


def test_many_views_propose_the_same_pairs(make_camera):
    ring = [
        make_camera(f"c{k}", (5 * np.cos(a), 5 * np.sin(a), 1.5 + 0.1 * (k % 3)))
        for k, a in enumerate(np.linspace(0, 2 * np.pi, 9)[:-1])
    ]
    _, *seen = scene(ring, seed=1, N=100)
    agree(solve(ring, *seen), plain.triangulate(ring, *seen), 1e-9)


def test_single_precision_stays_within_a_fifth_of_a_millimetre(rig, person):
    pixels = see(rig, person) + np.random.default_rng(2).normal(size=(17, 4, 2))
    expected = plain.triangulate(rig, pixels, UNIT)
    found = solve(rig, pixels, UNIT, dtype=torch.float32)
    assert found.points.dtype == torch.float32
    np.testing.assert_allclose(found.points, expected.points, rtol=0, atol=2e-4)


def test_shapes_before_the_views_are_kept(rig, person):
    pixels = np.stack([see(rig, person), see(rig, person + 0.1)])
    found = solve(rig, pixels, UNIT)
    assert found.points.shape == (2, 17, 3) and found.covariance.shape == (2, 17, 3, 3)
    assert found.confidence.shape == (2, 17) and found.inliers.shape == (2, 17, 4)
    np.testing.assert_allclose(found.points[1], person + 0.1, atol=1e-7)


def test_degenerate_geometry_is_nan_without_confidence(rig, make_camera):
    point = np.array([0.2, 0.1, 1.0])
    one = np.full((4, 2), np.nan)
    one[1] = see(rig, point)[1]
    twins = [make_camera(name, (1.8, 5.0, 1.6)) for name in "ab"]
    left, right = make_camera("l", (-1, 5, 1.5), (-1, 0, 1.5)), make_camera("r", (1, 5, 1.5), (1, 0, 1.5))
    apart = np.stack((project(left, np.array([-3.0, 0, 1.5])), project(right, np.array([3.0, 0, 1.5]))))
    cases = ((rig, one), (twins, see(twins, point) + [[0, 0], [0.3, 0.2]]), ((left, right), apart))
    for cameras, pixels in cases:
        found = solve(cameras, pixels, UNIT)
        assert plain.triangulate(cameras, pixels, UNIT).reason != plain.Reason.OK
        assert found.points.isnan().all() and found.covariance.isnan().all()
        assert found.confidence == 0 and not found.inliers.any()


def test_gradients_are_exact_by_pixels_weights_and_calibration(rig):
    _, pixels, covariance, confidence = scene(rig, seed=3, N=6)
    stacked = stack_rig(rig)
    pixels = torch.from_numpy(np.nan_to_num(pixels, nan=400.0))
    confidence = torch.from_numpy(0.2 + 0.8 * confidence)

    def linear(pixels, weights, R, t):
        return dlt(TensorRig(stacked.K, stacked.distortion, stacked.fisheye, R, t), pixels, weights)

    def robust(pixels, covariance, R, t):
        found = triangulate(
            TensorRig(stacked.K, stacked.distortion, stacked.fisheye, R, t), pixels, covariance, confidence
        )
        ok = found.confidence > 0
        assert ok.any()
        return found.points[ok], found.covariance[ok]

    by_pose = [stacked.R.clone().requires_grad_(), stacked.t.clone().requires_grad_()]
    pixels = pixels.requires_grad_()
    assert torch.autograd.gradcheck(linear, (pixels, confidence.requires_grad_(), *by_pose), atol=1e-6)
    confidence = confidence.detach()
    given = (pixels, torch.from_numpy(covariance).requires_grad_(), *by_pose)
    assert torch.autograd.gradcheck(robust, given, atol=1e-6)


def test_gradients_of_exact_scenes_and_of_missing_views_are_finite(rig, person):
    pixels = torch.from_numpy(see(rig, person))
    pixels[0, 1] = torch.nan
    pixels[1, 1:] = torch.nan
    pixels.requires_grad_()
    stacked = stack_rig(rig)
    found = triangulate(stacked, pixels, torch.eye(2, dtype=torch.float64))
    assert found.points[1].isnan().all() and found.points[0].isfinite().all()
    linear = dlt(stacked, pixels)
    (found.points.nan_to_num().sum() + found.covariance.nan_to_num().sum() + linear[2:].sum()).backward()
    assert pixels.grad is not None and pixels.grad.isfinite().all()
    assert (pixels.grad[2:] != 0).any(-1).all() and not pixels.grad[1].any()


def test_wrong_shapes_are_refused(rig):
    with pytest.raises(ConfigError, match=r"\(17, 3, 2\), expected \(..., 4, 2\) for 4 cameras"):
        triangulate(stack_rig(rig), torch.zeros(17, 3, 2), torch.eye(2))
