import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dw_core.errors import CalibrationError
from dw_core.geometry.camera import distort, project, undistort
from dw_core.geometry.crop import Crop, apply_affine
from dw_core.geometry.epipolar import (
    PlanePencil,
    cell_rays,
    epipolar_curve,
    essential_matrix,
    fundamental_matrix,
    outline_rays,
)

coordinate = st.floats(-1.5, 1.5)


def homogeneous(points):
    return np.append(points, np.ones((*points.shape[:-1], 1)), -1)


def test_matrices_vanish_on_corresponding_points(rig, person):
    for source in rig:
        for target in rig:
            if source is target:
                continue
            a, b = (homogeneous(undistort(c, project(c, person))) for c in (source, target))
            E = essential_matrix(source, target)
            assert np.abs(np.einsum("ni,ij,nj->n", b, E, a)).max() < 1e-12
            F = fundamental_matrix(source, target)
            u, v = a @ source.K.T, b @ target.K.T
            line = u @ F.T
            distance = np.abs((v * line).sum(-1)) / np.linalg.norm(line[:, :2], axis=-1)
            assert distance.max() < 1e-8  # px
            np.testing.assert_allclose(F.T, fundamental_matrix(target, source), atol=1e-12)


@given(x=coordinate, y=coordinate, z=st.floats(0, 2.2))
def test_both_cameras_see_a_point_in_the_same_plane(rig, x, y, z):
    point = np.array([x, y, z])
    for k in range(1, 4):
        pencil = PlanePencil(rig[0], rig[k])
        (first, _), (second, _) = (
            pencil.angles(c, undistort(c, project(c, point))) for c in (rig[0], rig[k])
        )
        difference = (first - second + np.pi) % (2 * np.pi) - np.pi
        off_baseline = np.linalg.norm(np.cross(pencil.frame[2], point - rig[0].centre))
        assert abs(difference) * off_baseline < 1e-7  # metres across the plane


place = st.tuples(st.floats(2, 6), st.floats(-np.pi, np.pi), st.floats(0.2, 3))


@given(first=place, second=place, x=coordinate, y=coordinate, z=st.floats(0, 2.2), bent=st.booleans())
def test_any_two_cameras_agree_about_a_point_whichever_is_first(make_camera, first, second, x, y, z, bent):
    """F of one order is the transpose of the other's, the point lies on both lines, in one plane."""
    lens = (
        ("fisheye", (-0.03, 0.01, -0.004, 0.001)) if bent else ("pinhole", (-0.2, 0.24, -0.001, -0.0008, 0.0))
    )
    a, b = (
        make_camera(name, (r * np.cos(turn), r * np.sin(turn), up), model=lens[0], distortion=lens[1])
        for name, (r, turn, up) in (("a", first), ("b", second))
    )
    assume(np.linalg.norm(a.centre - b.centre) > 0.3)
    point = np.array([x, y, z])
    assume(all((c.R @ point + c.t)[2] > 0.5 for c in (a, b)))
    rays = [undistort(c, project(c, point)) for c in (a, b)]
    assume(np.isfinite(rays).all())  # the lens reaches it
    F, back = fundamental_matrix(a, b), fundamental_matrix(b, a)
    np.testing.assert_allclose(back, F.T, atol=1e-12)
    E = essential_matrix(a, b)
    np.testing.assert_allclose(np.linalg.svd(E, compute_uv=False), (1, 1, 0), atol=1e-12)
    assert abs(homogeneous(rays[1]) @ E @ homogeneous(rays[0])) < 1e-10
    there, return_ = PlanePencil(a, b), PlanePencil(b, a)
    off_baseline = np.linalg.norm(np.cross(there.frame[2], point - a.centre))
    for pencil in (there, return_):
        angles = [float(pencil.planes(c, ray)) for c, ray in zip((a, b), rays, strict=True)]
        difference = (angles[0] - angles[1] + np.pi) % (2 * np.pi) - np.pi
        assert abs(difference) * off_baseline < 1e-7  # metres across the plane


def test_cells_invert_angles(rig):
    pencil, crop = PlanePencil(rig[0], rig[2]), Crop(200.0, 150.0, 600.0)
    rays = cell_rays(outline_rays(rig[0], crop), 64)
    there = pencil.cells(rig[0], crop, 64, *pencil.angles(rig[0], rays))
    expected, _ = distort(rig[0], rays)
    expected = apply_affine(crop.to_cells(64), expected @ rig[0].K[:2, :2].T + rig[0].K[:2, 2])
    np.testing.assert_allclose(there, expected, atol=1e-8)


@pytest.mark.parametrize(
    ("model", "distortion"), [("pinhole", (-0.2, 0.24, 0.0, 0.0)), ("fisheye", (-0.03, 0.01, 0.0, 0.0))]
)
def test_interpolated_cell_rays_are_good_to_a_25th_of_a_cell(make_camera, model, distortion):
    camera = make_camera("cam", (0.0, 5.0, 1.5), model=model, distortion=distortion)
    crop = Crop(-0.5, -0.5, 1000.0)  # the whole image is the worst case
    rays = cell_rays(outline_rays(camera, crop), 64)
    distorted, _ = distort(camera, rays)
    cells = apply_affine(crop.to_cells(64), distorted @ camera.K[:2, :2].T + camera.K[:2, 2])
    expected = np.stack(np.meshgrid(np.arange(64.0), np.arange(64.0)), -1)
    assert np.abs(cells - expected).max() < 0.04


def test_planes_are_the_first_of_the_angles(rig):
    pencil = PlanePencil(rig[0], rig[2])
    rays = outline_rays(rig[2], Crop(200.0, 150.0, 600.0))
    np.testing.assert_array_equal(pencil.planes(rig[2], rays), pencil.angles(rig[2], rays)[0])


def test_epipolar_curve_passes_through_the_corresponding_pixel(rig, person):
    crop = Crop(100.0, 100.0, 800.0)
    wrist = person[9]
    curve = epipolar_curve(rig[1], rig[0], project(rig[0], wrist), crop, 64, 20001)
    cell = apply_affine(crop.to_cells(64), project(rig[1], wrist))
    assert np.nanmin(np.linalg.norm(curve - cell, axis=-1)) < 0.02


def test_cameras_at_the_same_place_are_refused(make_camera):
    twin = make_camera("twin", (1.8, 5.0, 1.6), target=(0.3, 0.0, 1.0))
    camera = make_camera("cam", (1.8, 5.0, 1.6))
    for build in (essential_matrix, fundamental_matrix, PlanePencil):
        with pytest.raises(CalibrationError, match="cam and twin stand 0.000 m apart"):
            build(camera, twin)
