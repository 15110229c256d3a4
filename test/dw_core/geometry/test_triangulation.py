import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import least_squares

from dw_core.errors import ConfigError
from dw_core.geometry.camera import Rig, project
from dw_core.geometry.triangulation import Reason, dlt, triangulate

coordinate = st.floats(-1.5, 1.5)
UNIT = np.eye(2)
SUBSETS = st.sampled_from([(0, 1), (0, 2, 3), (0, 1, 2, 3)])


def see(cameras, points):
    return np.stack([project(camera, points) for camera in cameras], -2)


@given(x=coordinate, y=coordinate, z=st.floats(0, 2.2), views=SUBSETS)
def test_exact_pixels_give_exact_points(rig, x, y, z, views):
    cameras, point = [rig[v] for v in views], np.array([x, y, z])
    pixels = see(cameras, point)
    found = triangulate(cameras, pixels, UNIT)
    np.testing.assert_allclose(dlt(cameras, pixels), point, atol=1e-7)
    if found.reason == Reason.OK:  # two cameras may look along their baseline
        np.testing.assert_allclose(found.points, point, atol=1e-7)
    else:
        assert len(views) == 2 and found.reason == Reason.PARALLEL_RAYS


def test_covariance_is_honest_and_equals_that_of_full_reprojection(rig):
    rng = np.random.default_rng(1)
    points = rng.normal(size=(4000, 3)) * (0.6, 0.6, 0.4) + (0, 0, 1)
    pixels = see(rig, points) + 3.0 * rng.normal(size=(4000, 4, 2))
    found = triangulate(rig, pixels, 9.0 * UNIT)
    ok = found.reason == Reason.OK
    assert ok.mean() > 0.999
    error = (found.points - points)[ok]
    nees = np.einsum("ni,nij,nj->n", error, np.linalg.inv(found.covariance[ok]), error)
    assert 2.8 < nees.mean() < 3.3  # chi-square with 3 degrees of freedom


def test_result_minimises_the_distorted_reprojection_error(rig):
    """The undistorted normal equations are the full ones to first order: they differ by micrometres."""
    rng = np.random.default_rng(2)
    point = np.array([0.4, -0.3, 1.2])
    pixels = see(rig, point) + rng.normal(size=(4, 2))
    found = triangulate(rig, pixels, 100.0 * UNIT)  # so that no residual counts as an outlier
    best = least_squares(lambda X: (see(rig, X) - pixels).ravel(), point, xtol=1e-15, ftol=1e-15, gtol=1e-15)
    assert np.linalg.norm(found.points - best.x) < 5e-5


def test_outliers_are_found_and_beaten(rig):
    rng = np.random.default_rng(3)
    points = rng.normal(size=(2000, 3)) * (0.6, 0.6, 0.4) + (0, 0, 1)
    pixels = see(rig, points) + rng.normal(size=(2000, 4, 2))
    bad = rng.integers(0, 4, 2000)
    angle = rng.uniform(0, 2 * np.pi, 2000)
    pixels[np.arange(2000), bad] += 80 * np.stack((np.cos(angle), np.sin(angle)), -1)
    found = triangulate(rig, pixels, UNIT)
    # an 80 px error along the epipolar lines of all others cannot be seen; that is rare
    assert (~found.inliers[np.arange(2000), bad]).mean() > 0.97
    error = np.linalg.norm(found.points - points, axis=-1)
    assert np.nanmedian(error) < 0.010
    assert np.nanmedian(error) < 0.15 * np.median(np.linalg.norm(dlt(rig, pixels) - points, axis=-1))


def test_precise_views_count_more(rig, person):
    pixels = see(rig, person)
    pixels[:, 3] += (4.0, -4.0)
    covariance = np.broadcast_to(UNIT, (17, 4, 2, 2)).copy()
    covariance[:, 3] *= 400.0
    found = triangulate(rig, pixels, covariance)
    assert np.linalg.norm(found.points - person, axis=-1).max() < 1e-3


def test_confidence_is_the_mean_of_the_views_in_use(rig, person):
    confidence = np.tile([0.5, 1.0, 0.0, 0.9], (17, 1))
    found = triangulate(rig, see(rig, person), UNIT, confidence)
    np.testing.assert_allclose(found.confidence, 0.8)
    assert not found.inliers[:, 2].any()


def refused(found, reason):
    return (
        found.reason == reason
        and np.isnan(found.points).all()
        and np.isnan(found.covariance).all()
        and found.confidence == 0
        and not found.inliers.any()
    )


def test_degenerate_geometry_is_refused_with_its_reason(rig, make_camera):
    point = np.array([0.2, 0.1, 1.0])
    pixels = see(rig, point)
    one = np.full((4, 2), np.nan)
    one[1] = pixels[1]
    assert refused(triangulate(rig, one, UNIT), Reason.TOO_FEW_VIEWS)
    assert refused(triangulate(rig, pixels, UNIT, np.array([1.0, 0, 0, 0])), Reason.TOO_FEW_VIEWS)
    twins = [make_camera("a", (1.8, 5.0, 1.6)), make_camera("b", (1.8, 5.0, 1.6))]
    assert refused(triangulate(twins, see(twins, point) + [[0, 0], [0.3, 0.2]], UNIT), Reason.PARALLEL_RAYS)
    far = np.array([100.0, -2000.0, 5.0])
    pair = [make_camera("a", (0, 5, 1.5)), make_camera("b", (1, 5, 1.5))]
    assert refused(triangulate(pair, see(pair, far), UNIT), Reason.PARALLEL_RAYS)


def test_rays_that_meet_behind_the_cameras_are_refused(make_camera):
    left, right = make_camera("l", (-1, 5, 1.5), (-1, 0, 1.5)), make_camera("r", (1, 5, 1.5), (1, 0, 1.5))
    away = np.stack((project(left, np.array([1.0, 0, 1.5])), project(right, np.array([-1.0, 0, 1.5]))))
    for pixels in (away, away[::-1]):
        found = triangulate((left, right), pixels, UNIT)
        crossing_ahead = found.reason == Reason.OK
        assert crossing_ahead or refused(found, Reason.BEHIND_CAMERA)
    diverging = np.stack((project(left, np.array([-3.0, 0, 1.5])), project(right, np.array([3.0, 0, 1.5]))))
    assert refused(triangulate((left, right), diverging, UNIT), Reason.BEHIND_CAMERA)


def test_two_views_that_see_different_things_are_refused(rig):
    pixels = np.stack((project(rig[0], np.array([0, 0, 1.0])), project(rig[2], np.array([0, 0, 1.6]))))
    assert refused(triangulate(Rig((rig[0], rig[2])), pixels, 4 * UNIT), Reason.INCONSISTENT)


@given(
    st.lists(st.floats(-1e5, 1e5, width=32), min_size=8, max_size=8),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_any_finite_input_gives_a_finite_point_or_a_reason(rig, values, confidence):
    found = triangulate(rig, np.reshape(values, (4, 2)), 25 * UNIT, np.array(confidence))
    assert (found.reason == Reason.OK) == bool(np.isfinite(found.points).all())
    assert np.isfinite(found.confidence)


def test_sixteen_views(make_camera, person):
    angle = np.arange(16) * 2 * np.pi / 16
    ring = [make_camera(f"c{k}", (4 * np.cos(a), 4 * np.sin(a), 1.5)) for k, a in enumerate(angle)]
    found = triangulate(ring, see(ring, person), UNIT)
    np.testing.assert_allclose(found.points, person, atol=1e-7)


def test_wrong_number_of_views_is_refused(rig):
    with pytest.raises(ConfigError, match="4 cameras"):
        triangulate(rig, np.zeros((17, 3, 2)), UNIT)


def test_a_large_batch_is_solved_as_its_pieces_are(rig):
    rng = np.random.default_rng(4)
    points = rng.normal(size=(1_000, 17, 3)) * (0.6, 0.6, 0.4) + (0, 0, 1)
    pixels = see(rig, points) + 5 * rng.normal(size=(1_000, 17, 4, 2))
    found = triangulate(rig, pixels, 25 * UNIT)
    assert (found.reason == Reason.OK).mean() > 0.99
    for part in (slice(0, 3), slice(240, 242), slice(999, 1000)):
        alone = triangulate(rig, pixels[part], 25 * UNIT)
        np.testing.assert_allclose(found.points[part], alone.points, atol=1e-9)
