"""Light against what physics says of it."""

from __future__ import annotations

import numpy as np
import pytest

from dw_core.synthetic.raycast import caster
from dw_core.synthetic.shading import Light, dome, dot, lamp_light, sky_open

DOWN = np.array([0, 0, -1], np.float32)


def lamp(half_m: float = 0.01) -> Light:
    return Light(np.array([0, 0, 3], np.float32), DOWN, half_m, np.ones(3, np.float32))


def test_light_falls_with_the_square_and_both_cosines() -> None:
    points = np.array([[0, 0, 2], [0, 0, 1], [1, 0, 2], [0, 0, 2], [0, 0, 4]], np.float32)
    normals = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, -1], [0, 0, -1]], np.float32)
    light = lamp_light(lamp(), points, normals, np.zeros(5, np.int8))
    # at 45 degrees: twice the square of the distance, and twice a cosine of 1 / sqrt 2
    assert light == pytest.approx([1, 1 / 4, 1 / 4, 0, 0], rel=0.02)


def test_points_of_a_lamp_fill_its_square_quarter_by_quarter() -> None:
    offsets = lamp(0.4).offsets()
    assert len(np.unique(offsets, axis=0)) == 16 and np.abs(offsets).max() == pytest.approx(0.3)
    quarters = np.sign(offsets).reshape(4, 4, 2)
    assert (quarters == quarters[:, :1]).all() and len(np.unique(quarters[:, 0], axis=0)) == 4
    assert np.allclose(lamp(0.4).points()[:, 2:], (3, 1))


def test_the_dome_points_up_in_all_directions() -> None:
    directions = dome()
    assert np.allclose(dot(directions[:, :3], directions[:, :3]), 1, atol=1e-6)
    assert (directions[:, 2] > 0.1).all() and (directions[:, 3] == 0).all()
    groups = directions.reshape(4, 4, 4)
    assert np.abs(groups[..., :2].mean(1)).max() < 0.35


def test_an_open_floor_sees_the_sky_and_one_under_a_lid_does_not() -> None:
    lid = np.array([[-5, -5, 0.2], [0, -5, 0.2], [0, 5, 0.2], [-5, 5, 0.2]], np.float32)
    blocker = caster(lid, np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    points = np.array([[-3, 0, 0], [3, 0, 0], [0, 0, 0]], np.float32).repeat(4, 0)
    up = np.tile(-DOWN, (12, 1))
    group = np.tile(np.arange(4), 3).astype(np.int8)
    under, beside, edge = sky_open(blocker, points, up, group, 10.0).reshape(3, 4).mean(1)
    assert (under, beside) == (0, 1) and edge == pytest.approx(0.5, abs=0.12)
    assert (sky_open(blocker, points, up, group, 0.1) == 1).all()
