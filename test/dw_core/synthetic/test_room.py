"""Rooms: the same for the same seed, around cameras and people and never through them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array, Camera
from dw_core.synthetic.raycast import caster
from dw_core.synthetic.room import CAMERA_CLEAR_M, CLEAR_M, EVALUATION_SEEDS, Room, make_room
from dw_core.synthetic.surface import joined

SEEDS = (*range(6), *EVALUATION_SEEDS)


def geometry(room: Room) -> bytes:
    mesh = joined([part.surface for part in room.parts])
    lights = b"".join(light.centre.tobytes() + light.colour.tobytes() for light in room.lights)
    return mesh.vertices.tobytes() + mesh.colours.tobytes() + lights


@pytest.fixture(scope="module")
def rooms(cameras: list[Camera], path: Array) -> list[Room]:
    return [make_room(seed, cameras, path) for seed in SEEDS]


def test_a_seed_is_one_room(rooms: list[Room], cameras: list[Camera], path: Array) -> None:
    again = [make_room(seed, cameras, path) for seed in SEEDS[:3]]
    assert [geometry(room) for room in again] == [geometry(room) for room in rooms[:3]]
    assert len({geometry(room) for room in rooms}) == len(SEEDS)


def furniture(room: Room) -> Array:
    """Corners (n, 3) of all that stands or hangs within the walls."""
    vertices = np.concatenate(
        [part.surface.vertices for part in room.parts if len(part.surface.vertices) != 4]
    )
    return vertices.astype(np.float64)


def test_cameras_and_person_are_inside_and_everything_else_too(
    rooms: list[Room], cameras: list[Camera], path: Array
) -> None:
    for room in rooms:
        inside = np.concatenate(([camera.centre for camera in cameras], path))
        assert (inside > room.low).all() and (inside < room.high).all()
        corners = furniture(room)
        assert (corners > room.low - 1e-3).all() and (corners < room.high + 0.01).all()


def test_nothing_stands_in_the_path_or_in_a_camera(
    rooms: list[Room], cameras: list[Camera], path: Array
) -> None:
    for room in rooms:
        corners = furniture(room)
        for places, clear in ((path, CLEAR_M), (np.array([c.centre for c in cameras]), CAMERA_CLEAR_M)):
            apart = np.linalg.norm(corners[None, :, :2] - places[:, None, :2], axis=-1)
            # of the path one point per square of 15 cm is kept clear
            assert apart.min() > clear - 0.2


def test_walls_stop_every_way_out(rooms: list[Room], path: Array) -> None:
    rng = np.random.default_rng(0)
    ways = rng.normal(size=(500, 3))
    ways[:, 2] = 0  # outdoors there is only sky above the walls
    ways = (ways / np.linalg.norm(ways, axis=-1, keepdims=True)).astype(np.float32)
    for room in rooms:
        mesh = joined([part.surface for part in room.parts])
        hits = caster(mesh.vertices, mesh.faces).first(np.array([0, 0, 1.2], np.float32), ways)
        reach = np.linalg.norm(room.high - room.low)
        assert (hits.distance < reach).all()


def test_something_hides_a_part_of_the_person_from_some_camera(
    rooms: list[Room], cameras: list[Camera], path: Array
) -> None:
    hidden = []
    for room in rooms:
        mesh = joined([part.surface for part in room.parts])
        trace = caster(mesh.vertices, mesh.faces)
        for camera in cameras:
            way = path - camera.centre
            length = np.linalg.norm(way, axis=-1)
            hits = trace.first(camera.centre.astype(np.float32), (way / length[:, None]).astype(np.float32))
            hidden.append((hits.distance < length).mean())
    share = np.array(hidden).reshape(len(rooms), -1)
    assert ((share > 0.02).any(1)).sum() >= len(rooms) // 2  # most rooms hide something from some view
    assert share.mean() < 0.35 and share.max() < 0.95  # and no view is lost


@settings(max_examples=10)
@given(seed=st.integers(0, 1 << 31))
def test_albedos_are_albedos_and_lamps_shine(seed: int) -> None:
    room = make_room(seed, (), np.array([[0.0, 0.0, 1.0]]))
    for part in room.parts:
        if part.texture.kind != "glow":
            assert (part.surface.colours >= 0).all() and (part.surface.colours <= 1).all()
        assert len(part.texture.coordinates) == len(part.surface.vertices)
    assert room.lights and all((light.colour > 0).all() for light in room.lights)


def test_a_path_without_points_is_refused(make_camera: Callable[..., Camera]) -> None:
    with pytest.raises(ConfigError, match="0 points"):
        make_room(1, (), np.zeros((0, 3)))
