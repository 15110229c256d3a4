"""Boxes, cylinders and panels with metres along their surfaces: what rooms are furnished with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dw_core.synthetic.surface import Float32Array, Surface
from dw_core.synthetic.texture import Texture, TextureKind

Array = npt.NDArray[np.float64]
SIDES = 24  # of a cylinder


@dataclass(frozen=True, eq=False)
class Finish:
    """What something is made of: two colours (3,), linear RGB, and a texture in metres."""

    kind: TextureKind
    first: Float32Array
    second: Float32Array
    scale_m: float = 1.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Part:
    """A surface of the room with its texture."""

    surface: Surface
    texture: Texture


def panel(corner: Array, along: Array, up: Array, finish: Finish) -> Part:
    """A parallelogram from a corner (3,) with two sides (3,), m; it faces along x up."""
    vertices = np.stack((corner, corner + along, corner + along + up, corner + up))
    a, b = (float(np.sqrt((side * side).sum())) for side in (along, up))
    return _part(vertices, np.array([[0, 0], [a, 0], [a, b], [0, b]]), _QUAD, finish, smooth=False)


def box(low: Array, high: Array, finish: Finish, yaw: float = 0.0) -> Part:
    """A box between two corners (3,) m, turned by `yaw` about the vertical through its middle."""
    size = high - low
    corners, places = [], []
    for axis in range(3):
        u, v = [(1, 2), (0, 2), (0, 1)][axis]
        for side in (0, 1):
            face = np.zeros((4, 3))
            face[:, axis] = side
            face[:, u], face[:, v] = [0, 1, 1, 0], [0, 0, 1, 1]
            if (axis == 1) != (side == 0):
                face = face[::-1]
            place = face[:, [u, v]] * size[[u, v]]
            corners.append(face * size)
            places.append(place[:, ::-1] if finish.kind == "wood" and size[v] > size[u] else place)
    faces = np.concatenate([_QUAD + 4 * k for k in range(6)])
    vertices = np.concatenate(corners) - size / 2
    return _part(
        turned(vertices, yaw) + (low + high) / 2, np.concatenate(places), faces, finish, smooth=False
    )


def cylinder(foot: Array, radius: float, height: float, finish: Finish, top: float | None = None) -> Part:
    """A standing cylinder or cone with a lid: radius m at its foot (3,), `top` m at the top."""
    turn = 2 * np.pi * np.arange(SIDES + 1) / SIDES
    ring = np.stack((np.cos(turn), np.sin(turn), 0 * turn), -1)
    up = np.array([0.0, 0.0, height])
    upper = radius if top is None else top
    wall = np.concatenate((ring * radius, ring * upper + up))
    lid = np.concatenate((ring * upper + up, up[None]))
    k = np.arange(SIDES)
    n = SIDES + 1
    sides = np.concatenate((np.stack((k, k + 1, k + n), -1), np.stack((k + 1, k + n + 1, k + n), -1)))
    cover = np.stack((2 * n + k, 2 * n + k + 1, np.full(SIDES, 3 * n)), -1)
    around = np.concatenate((turn * radius, turn * radius))
    places = np.stack((around, np.repeat([0.0, height], n)), -1)
    vertices = np.concatenate((wall, lid)) + foot
    return _part(
        vertices, np.concatenate((places, lid[:, :2])), np.concatenate((sides, cover)), finish, smooth=True
    )


def turned(vertices: Array, yaw: float) -> Array:
    """Points (V, 3) turned about the vertical axis through the origin."""
    c, s = np.cos(yaw), np.sin(yaw)
    value: Array = vertices @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    return value


_QUAD = np.array([[0, 1, 2], [0, 2, 3]])


def _part(vertices: Array, places: Array, faces: npt.NDArray[np.int64], finish: Finish, smooth: bool) -> Part:
    # a millionth of a metre: the same on machines whose cosines differ in the last place
    vertices = np.round(vertices, 6)
    colours = np.tile(finish.first.astype(np.float32), (len(vertices), 1))
    surface = Surface(vertices.astype(np.float32), faces.astype(np.int32), colours, smooth)
    texture = Texture(finish.kind, finish.scale_m, finish.second, finish.seed, places.astype(np.float32))
    return Part(surface, texture)
