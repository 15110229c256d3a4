"""Marks may be too many and are never too few."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dw_core.geometry.camera import Camera
from dw_core.synthetic.culling import CELLS, RADIUS_M, Cubes, Index, Screen, balls
from dw_core.synthetic.shading import DOME_GROUPS, Light, dome
from dw_core.synthetic.surface import Float32Array

FACES = np.array([[0, 1, 2]], np.int32)


def triangle(rng: np.random.Generator, size: float) -> tuple[Float32Array, Float32Array]:
    """Corners (3, 3) of a triangle in a room, and points (200, 3) on it, its corners among them."""
    corners = rng.uniform((-1.5, -1.5, 0.0), (1.5, 1.5, 1.9)) + rng.uniform(-size, size, (3, 3))
    weights = np.concatenate((np.eye(3), rng.dirichlet(np.ones(3), 197)))
    return corners.astype(np.float32), (weights @ corners).astype(np.float32)


@given(seed=st.integers(0, 1 << 32), size=st.sampled_from([0.01, 0.1, 1.0]))
def test_every_point_of_a_triangle_is_in_a_ball(seed: int, size: float) -> None:
    corners, points = triangle(np.random.default_rng(seed), size)
    middles = balls(corners, FACES)
    away = np.linalg.norm(points[:20, None] - middles, axis=-1).min(-1)
    assert away.max() < RADIUS_M
    assert len(balls(corners, FACES[:0])) == 0


@given(seed=st.integers(0, 1 << 32), size=st.sampled_from([0.01, 0.1, 1.0]))
def test_a_camera_screen_marks_every_cell_of_a_triangle(seed: int, size: float) -> None:
    corners, points = triangle(np.random.default_rng(seed), size)
    screen = Screen(np.array([[1.0, 0, 0, 0], [0, 0, -1, 1], [0, 1, 0, 5]]), np.zeros((1, 2)))
    marks = screen.covered(balls(corners, FACES))
    assert marks[screen.cells(points, np.zeros(len(points), int))].all()


@given(seed=st.integers(0, 1 << 32))
def test_a_lamp_screen_marks_all_that_any_of_its_points_throws_a_shadow_on(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners, points = triangle(rng, 0.3)
    down = np.array([0, 0, -1], np.float32)
    light = Light(np.array([0.4, -0.6, 2.7], np.float32), down, 0.3, np.ones(3, np.float32))
    screen = light.screen(np.array([0.0, 0.0, 1.0]))
    which = rng.integers(0, 16, len(points))
    # behind the triangle, as a point of the lamp sees it
    lamp = light.points()[which, :3]
    receivers = (lamp + (points - lamp) * rng.uniform(1, 2, (len(points), 1))).astype(np.float32)
    marks = screen.covered(balls(corners, FACES))
    assert marks[screen.cells(receivers, which)].all()
    others = screen.cells(receivers, (which + 1) % 16)  # cells of one point say nothing about another's
    assert len(marks) == 16 * CELLS**2 and not np.intersect1d(others[which == 3], others[which == 4]).size


def test_a_screen_marks_little_and_all_behind_the_eye(cameras: list[Camera]) -> None:
    camera = cameras[0]
    screen = Screen(np.concatenate((camera.R, camera.t[:, None]), 1), np.zeros((1, 2)))
    small = np.array([[0, 0, 1], [0.1, 0, 1], [0, 0.1, 1.1]], np.float32)
    assert 0 < screen.covered(balls(small, FACES)).sum() < 0.004 * CELLS**2
    behind = np.concatenate((small[:2], 2 * camera.centre[None])).astype(np.float32)
    assert screen.covered(balls(behind, FACES)).all()
    assert not screen.covered(balls(small, FACES[:0])).any()


@given(seed=st.integers(0, 1 << 32), reach=st.sampled_from([0.05, 0.35]))
def test_cubes_mark_all_from_which_a_triangle_is_met(seed: int, reach: float) -> None:
    rng = np.random.default_rng(seed)
    corners, met = triangle(rng, 0.2)
    rays = dome()[:, :3].reshape(DOME_GROUPS, -1, 3).astype(np.float64)
    group, k = rng.integers(0, DOME_GROUPS, len(met)), rng.integers(0, rays.shape[1], len(met))
    points = (met - rays[group, k] * rng.uniform(0, reach, (len(met), 1))).astype(np.float32)
    far = rng.uniform(-2.0, 2.0, (2000, 3)).astype(np.float32)  # most of the room is nowhere near
    everything, groups = np.concatenate((points, far)), np.concatenate((group, np.zeros(len(far), int)))
    cubes = Cubes(everything, groups, rays, reach)
    marks = cubes.near(balls(corners, FACES))
    assert (marks[cubes.cells[: len(points)]] >> k & 1 == 1).all()
    assert (marks[cubes.cells[len(points) :]] == 0).mean() > 0.8
    assert not cubes.near(balls(corners, FACES[:0])).any()


@given(seed=st.integers(0, 1 << 32))
def test_an_index_finds_the_samples_of_the_marked_cells(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 30, 200).astype(np.int32)
    samples = np.flatnonzero(rng.random(200) < 0.5)
    marks = rng.random(30) < 0.3
    index = Index(cells[samples], samples, 30)
    assert np.array_equal(np.sort(index.within(marks)), samples[marks[cells[samples]]])
    assert np.array_equal(np.sort(index.within(None)), samples)
