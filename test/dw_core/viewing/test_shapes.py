"""Shapes in space: they project back to what they were made of."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dw_core.geometry.camera import Array, Rig, project, to_camera
from dw_core.skeleton import COCO17, H36M17
from dw_core.viewing.shapes import body_frame, ellipsoids, frustum, quaternions, ray


def test_a_ray_projects_to_its_pixel_at_any_depth(rig: Rig) -> None:
    pixels = np.array([(100.0, 200.0), (512.0, 490.0), (900.0, 300.0)])
    for depth in (0.3, 4.0):
        points = ray(rig[1], pixels, depth)
        np.testing.assert_allclose(project(rig[1], points), pixels, atol=1e-6)
        np.testing.assert_allclose(to_camera(rig[1], points)[:, 2], depth)


def test_a_pyramid_ends_at_the_corners_of_the_image(rig: Rig) -> None:
    corners = project(rig[0], frustum(rig[0], 0.25))
    right, bottom = rig[0].width - 0.5, rig[0].height - 0.5
    np.testing.assert_allclose(
        corners, [(-0.5, -0.5), (right, -0.5), (right, bottom), (-0.5, bottom)], atol=1e-6
    )


def test_ellipsoids_are_their_covariances() -> None:
    rng = np.random.default_rng(1)
    roots = rng.normal(size=(5, 3, 3)) * 0.1
    covariance = roots @ roots.transpose(0, 2, 1)
    covariance[2] = np.nan
    half, axes = ellipsoids(covariance, 2.0)
    known = [0, 1, 3, 4]
    again = axes @ (np.square(half / 2)[:, :, None] * axes.transpose(0, 2, 1))
    np.testing.assert_allclose(again[known], covariance[known], atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(axes[known]), 1.0)
    assert np.isnan(half[2]).all() and np.isnan(axes[2]).all()


def test_quaternions_turn_as_their_matrices_do() -> None:
    turns = Rotation.from_rotvec([(0.3, -1.2, 2.0), (0.0, 0.0, 0.0), (np.pi, 0.0, 0.0)])
    again = Rotation.from_quat(quaternions(turns.as_matrix()))
    assert ((turns.inv() * again).magnitude() < 1e-7).all()


@pytest.mark.parametrize("degrees", [0, 75, 180, -130])
def test_a_person_faces_where_they_were_turned(person: Array, degrees: float) -> None:
    turn = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    moved = person @ turn.T + (3.0, -2.0, 0.1)
    found = body_frame(moved, COCO17)
    assert found is not None
    place, rotation = found
    np.testing.assert_allclose(rotation, turn, atol=1e-9)  # the person of the tests looks along x
    hips = [COCO17.index("left_hip"), COCO17.index("right_hip")]
    np.testing.assert_allclose(place, moved[hips].mean(0))


def test_without_shoulders_the_hips_say_where_a_person_faces(person: Array) -> None:
    person = person.copy()
    person[COCO17.index("left_shoulder")] = np.nan
    found = body_frame(person, COCO17)
    assert found is not None
    np.testing.assert_allclose(found[1], np.eye(3), atol=1e-9)


def test_who_has_no_hips_or_lies_on_the_side_faces_nowhere(person: Array) -> None:
    lost = person.copy()
    lost[COCO17.index("right_hip")] = np.nan
    assert body_frame(lost, COCO17) is None
    on_the_side = person @ Rotation.from_euler("x", 90, degrees=True).as_matrix().T
    assert body_frame(on_the_side, COCO17) is None


def test_every_joint_set_has_what_a_person_faces_by() -> None:
    positions = np.zeros((len(H36M17), 3))
    for name, side in (
        ("left_hip", 0.1),
        ("right_hip", -0.1),
        ("left_shoulder", 0.2),
        ("right_shoulder", -0.2),
    ):
        positions[H36M17.index(name), 1] = side
    found = body_frame(positions, H36M17)
    assert found is not None
    np.testing.assert_allclose(found[1], np.eye(3), atol=1e-12)
