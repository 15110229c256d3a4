import warnings
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dw_core.errors import CalibrationError
from dw_core.geometry.camera import Rig, distort, project, project_jacobian, shifted, undistort

LENSES = {
    "none": ("pinhole", ()),
    "5": ("pinhole", (-0.2, 0.24, -0.001, -0.0008, -0.003)),
    "8": ("pinhole", (0.3, -0.1, 0.001, -0.002, 0.01, 0.35, -0.05, 0.02)),
    "fisheye": ("fisheye", (-0.03, 0.01, -0.004, 0.001)),
}


@pytest.fixture(params=LENSES)
def camera(request, make_camera):
    model, distortion = LENSES[request.param]
    return make_camera("cam", (1.8, 5.0, 1.6), model=model, distortion=distortion)


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(200, 3)) * (0.8, 0.8, 0.5) + (0, 0, 1)


def test_projection_agrees_with_opencv(camera, points):
    rotation, _ = cv2.Rodrigues(camera.R)
    lens = camera.distortion if camera.distortion.size else np.zeros(4)
    if camera.model == "fisheye":
        expected, _ = cv2.fisheye.projectPoints(points[:, None], rotation, camera.t, camera.K, lens)
    else:
        expected, _ = cv2.projectPoints(points, rotation, camera.t, camera.K, lens)
    np.testing.assert_allclose(project(camera, points), expected[:, 0], atol=1e-8)


def test_jacobian_agrees_with_finite_differences(camera, points):
    pixels, jacobian = project_jacobian(camera, points)
    np.testing.assert_array_equal(pixels, project(camera, points))
    step = 1e-6
    for axis in range(3):
        move = step * np.eye(3)[axis]
        difference = (project(camera, points + move) - project(camera, points - move)) / (2 * step)
        np.testing.assert_allclose(jacobian[..., axis], difference, atol=1e-4)


def test_fisheye_is_smooth_at_the_centre(make_camera):
    model, distortion = LENSES["fisheye"]
    camera = make_camera("cam", (1.8, 5.0, 1.6), model=model, distortion=distortion)
    near = np.array([[0.0, 0.0], [1e-9, 0.0], [1e-7, -1e-7], [1e-5, 1e-5]])
    distorted, jacobian = distort(camera, near)
    np.testing.assert_allclose(distorted, near, atol=1e-13)
    np.testing.assert_allclose(jacobian, np.broadcast_to(np.eye(2), (4, 2, 2)), atol=1e-9)


@given(x=st.floats(-0.35, 0.35), y=st.floats(-0.35, 0.35), lens=st.sampled_from(sorted(LENSES)))
def test_undistort_inverts_distort(make_camera, x, y, lens):
    model, distortion = LENSES[lens]
    camera = make_camera("cam", (1.8, 5.0, 1.6), model=model, distortion=distortion)
    distorted, _ = distort(camera, np.array([x, y]))
    pixel = camera.K[:2, :2] @ distorted + camera.K[:2, 2]
    np.testing.assert_allclose(undistort(camera, pixel), (x, y), atol=1e-11)


@given(x=st.floats(-0.6, 0.6), y=st.floats(-0.6, 0.6), lens=st.sampled_from(sorted(LENSES)))
def test_the_lens_jacobian_is_its_derivative_and_symmetric(make_camera, x, y, lens):
    model, distortion = LENSES[lens]
    camera = make_camera("cam", (1.8, 5.0, 1.6), model=model, distortion=distortion)
    point, step = np.array([x, y]), 1e-6 * np.eye(2)
    _, jacobian = distort(camera, point)
    ahead, behind = distort(camera, point + step)[0], distort(camera, point - step)[0]
    np.testing.assert_allclose(jacobian, (ahead - behind).T / 2e-6, atol=1e-8)
    assert jacobian[0, 1] == jacobian[1, 0]


@given(
    turn=st.tuples(*[st.floats(-3, 3)] * 3),
    move=st.tuples(*[st.floats(-50, 50)] * 3),
    lens=st.sampled_from(sorted(LENSES)),
)
def test_moving_world_and_camera_together_changes_no_pixel(make_camera, turn, move, lens):
    model, distortion = LENSES[lens]
    camera = make_camera("cam", (1.8, 5.0, 1.6), model=model, distortion=distortion)
    Q, _ = cv2.Rodrigues(np.array(turn))
    moved = replace(camera, R=camera.R @ Q.T, t=camera.t - camera.R @ Q.T @ move)
    points = np.random.default_rng(0).normal(size=(20, 3)) * (0.8, 0.8, 0.5) + (0, 0, 1)
    pixels, jacobian = project_jacobian(camera, points)
    there, turned = project_jacobian(moved, points @ Q.T + move)
    np.testing.assert_allclose(there, pixels, atol=1e-8)
    np.testing.assert_allclose(turned, jacobian @ Q.T, atol=1e-7)
    np.testing.assert_allclose(moved.centre, Q @ camera.centre + move, atol=1e-10)


@given(pixel=st.tuples(*[st.floats(-1e300, 1e300)] * 2), lens=st.sampled_from(sorted(LENSES)))
def test_any_finite_pixel_is_undistorted_or_refused_without_a_warning(make_camera, pixel, lens):
    model, distortion = LENSES[lens]
    camera = make_camera("cam", (1.8, 5.0, 1.6), model=model, distortion=distortion)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        point = undistort(camera, np.array(pixel))
    if np.isnan(point).any():
        assert np.isnan(point).all()
    elif np.abs(point).max() < 1e3:
        again = distort(camera, point)[0] @ camera.K[:2, :2].T + camera.K[:2, 2]
        np.testing.assert_allclose(again, pixel, atol=1e-3)


def test_undistort_refuses_what_the_lens_cannot_reach(make_camera):
    camera = make_camera("cam", (1.8, 5.0, 1.6), distortion=(-0.5, 0.0, 0.0, 0.0))
    reachable, beyond = camera.K[:2, 2], camera.K[:2, 2] + (5000.0, 0.0)
    normalised = undistort(camera, np.stack((reachable, beyond)))
    np.testing.assert_allclose(normalised[0], 0, atol=1e-12)
    assert np.isnan(normalised[1]).all()


def test_undistort_of_one_bad_pixel_leaves_the_others_alone(camera):
    pixels = np.array([[np.nan, np.nan], [400.0, 600.0]])
    out = undistort(camera, pixels)
    assert np.isnan(out[0]).all()
    np.testing.assert_allclose(out[1], undistort(camera, pixels[1]), atol=1e-14)


def test_points_behind_the_camera_have_no_pixel(camera):
    behind = camera.centre - camera.R[2]
    assert np.isnan(project(camera, behind)).all()
    assert np.isnan(project_jacobian(camera, behind)[1]).all()


def test_shifted_camera_sees_the_same_in_a_cropped_image(camera, points):
    moved = shifted(camera, -12.0, 7.5, 900, 950)
    np.testing.assert_allclose(project(moved, points), project(camera, points) + (-12.0, 7.5), atol=1e-9)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"R": np.diag([1.0, 1.0, 1.1])}, "R is not a rotation"),
        ({"K": np.diag([0.0, 1.0, 1.0])}, "focal length"),
        ({"t": np.array([0.0, np.nan, 0.0])}, "t holds a value that is not finite"),
        ({"distortion": np.zeros(3)}, "distortion has 3 coefficients"),
    ],
)
def test_impossible_cameras_are_refused_by_name(camera, change, names):
    with pytest.raises(CalibrationError, match=f"camera cam: {names}"):
        replace(camera, **change)


def test_rig_refuses_one_camera_and_equal_names(camera):
    with pytest.raises(CalibrationError, match="1 camera"):
        Rig((camera,))
    with pytest.raises(CalibrationError, match="cam twice"):
        Rig((camera, camera))
