"""How much light falls on a point: lamps with soft shadows, the sky's dome with ambient occlusion, bounce.

A lamp is a square panel with LAMP_POINTS points, and each image sample casts one ray to one of them; the
dome has DOME directions, and each sample casts four. Which ones follows from the sample's place in the
image: the samples of a pixel take points from different quarters of a lamp, neighbours take others.
That is a fixed pattern without random numbers. Linear RGB, metres, world frame. Shapes: N points, S samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from dw_core.synthetic.culling import Screen
from dw_core.synthetic.penumbra import LAMP_POINTS
from dw_core.synthetic.raycast import Caster, towards
from dw_core.synthetic.surface import Float32Array, Int32Array, face_areas, unit
from dw_core.types import UInt8Array

Array = npt.NDArray[np.float64]
GRID = 4  # points per side of a lamp
DOME_GROUPS = 4
OFF_SURFACE_M = 0.004  # where shadow rays start: above the polygons that stand for a round limb
GOLDEN_ANGLE = 2.399963229728653


@dataclass(frozen=True, eq=False)
class Light:
    """A square panel at `centre` (3,) m that shines along `facing` (3,), half a side long: `half_m`.

    `colour` (3,): irradiance at a metre straight in front; it falls with the square of the distance and the
    cosine at the panel. A sun is a panel far away.
    """

    centre: Float32Array
    facing: Float32Array
    half_m: float
    colour: Float32Array

    @cached_property
    def axes(self) -> Array:
        """Rotation (3, 3): two sides of the panel, and where it faces."""
        z = np.asarray(self.facing, np.float64)
        x = np.cross(z, np.eye(3)[np.argmin(np.abs(z))])
        x /= np.sqrt((x * x).sum())
        return np.stack((x, np.cross(z, x), z))

    def offsets(self) -> Float32Array:
        """The points (16, 2) m on the panel, quarter by quarter."""
        side = (np.arange(GRID) + 0.5) / GRID * 2 - 1
        half = GRID // 2
        cells = [
            (2 * (q // 2) + p // 2, 2 * (q % 2) + p % 2)
            for q in range(half * half)
            for p in range(half * half)
        ]
        value: Float32Array = np.array([(side[c], side[r]) for r, c in cells], np.float32) * np.float32(
            self.half_m
        )
        return value

    def points(self) -> Float32Array:
        """The points (16, 4) of the panel, homogeneous."""
        places = self.centre + self.offsets() @ self.axes[:2]
        return np.concatenate((places, np.ones((LAMP_POINTS, 1))), 1).astype(np.float32)

    def screen(self, focus: Array) -> Screen:
        """The plane that shadows are sorted on, with fine cells around `focus` (3,)."""
        axes = self.axes
        zoom = float(np.sqrt(((focus - self.centre) ** 2).sum())) / 2
        scaled = axes * np.array([[zoom], [zoom], [1.0]])
        projection = np.concatenate((scaled, -(scaled @ self.centre)[:, None]), 1)
        x, y, w = projection @ (*focus, 1)
        projection[:2] -= np.array([[x], [y]]) / w * projection[2]
        return Screen(projection, self.offsets().astype(np.float64) * zoom)


def choices(height: int, width: int, samples: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    """The lamp point and the dome group (H * W * S,) of every sample of an image, S = samples^2."""
    row, column = np.arange(height)[:, None, None], np.arange(width)[None, :, None]
    within = np.arange(samples**2)[None, None, :]
    corner = row % 2 * 2 + column % 2
    quarter = (within + corner) % 4 if samples == 2 else corner + 0 * within
    rest = corner if samples == 2 else row // 2 % 2 * 2 + column // 2 % 2
    lamp = quarter * 4 + (rest + quarter) % 4
    group = (within + row + 2 * column) % 4 if samples == 2 else (rest + corner) % 4
    return lamp.astype(np.int8).reshape(-1), (group + 0 * lamp).astype(np.int8).reshape(-1)


@lru_cache(maxsize=1)
def dome() -> Float32Array:
    """Directions (16, 4) over the upper half of the sphere, homogeneous, each group of four well spread.

    Source: Vogel's spiral, Mathematical Biosciences 44, 1979.
    """
    k = np.arange(4 * DOME_GROUPS)
    z = np.sqrt((k + 0.5) / len(k))  # towards the horizon there is less to gain
    turn = (k // DOME_GROUPS + 4 * (k % DOME_GROUPS)) * GOLDEN_ANGLE
    flat = np.sqrt(1 - z * z)
    # four decimals: the same on machines whose cosines differ in the last place
    d = np.round(np.stack((flat * np.cos(turn), flat * np.sin(turn), z), -1), 4)
    d /= np.sqrt((d * d).sum(-1, keepdims=True))
    return np.concatenate((d, np.zeros((len(k), 1))), 1).astype(np.float32)


def lamp_light(
    light: Light, points: Float32Array, normals: Float32Array, lamp_point: npt.NDArray[np.int8]
) -> Float32Array:
    """Irradiance (N,) over the colour at points (N, 3) with unit normals (N, 3), nothing in the way."""
    way, distance = towards(points, light.points(), lamp_point)
    facing = light.facing.astype(np.float32)
    at_panel = -(way[:, 0] * facing[0] + way[:, 1] * facing[1] + way[:, 2] * facing[2])
    value: Float32Array = np.maximum(dot(way, normals), 0) * np.maximum(at_panel, 0) / (distance * distance)
    return value


def sky_open(
    caster: Caster,
    points: Float32Array,
    normals: Float32Array,
    group: npt.NDArray[np.int8],
    reach: float,
    looks: UInt8Array | None = None,
) -> Float32Array:
    """The part (N,) of the dome that points (N, 3) see within `reach` m, weighted by the cosine.

    `looks` (N,): bit k for the k-th direction of the group if anything may be met there; None for all.
    """
    first = group.astype(np.int32) * 4
    dark = np.zeros((4, len(points)), np.bool_)
    for k in range(4):
        ask = np.arange(len(points)) if looks is None else np.flatnonzero(looks & np.uint8(1 << k))
        which = first.take(ask) + k
        facing = np.flatnonzero(_cosine(which, normals.take(ask, 0)) > 0)
        ask, which = ask.take(facing), which.take(facing)
        dark[k, ask[caster.blocked(points.take(ask, 0), dome(), which, reach)]] = True
    some = np.flatnonzero(dark.any(0))
    normals, first = normals.take(some, 0), first.take(some)
    seen, total = np.zeros(len(some), np.float32), np.zeros(len(some), np.float32)
    for k in range(4):
        weight = _cosine(first + k, normals)
        total += weight
        weight[dark[k].take(some)] = 0
        seen += weight
    value = np.ones(len(points), np.float32)
    value[some] = seen / np.maximum(total, np.float32(1e-6))
    return value


def _cosine(which: Int32Array, normals: Float32Array) -> Float32Array:
    """Scalar products (N,), not below zero, of directions of the dome and normals (N, 3)."""
    x, y, z = (dome()[:, k].take(which) for k in range(3))
    x *= normals[:, 0]
    y *= normals[:, 1]
    z *= normals[:, 2]
    x += y
    x += z
    return np.maximum(x, 0, out=x)


def dot(a: Float32Array, b: Float32Array) -> Float32Array:
    """Scalar products (N,) of vectors (N, 3), always rounded in the same order."""
    product: Float32Array = a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1] + a[:, 2] * b[:, 2]
    return product


def interpolated(values: Float32Array, faces: Int32Array, u: Float32Array, v: Float32Array) -> Float32Array:
    """Values (N, n) within faces (N, 3) of values per vertex (V, n)."""
    mixed: Float32Array = values.take(faces[:, 0], 0)
    mixed *= (1 - u - v)[:, None]
    for k, share in ((1, u), (2, v)):
        corner = values.take(faces[:, k], 0)
        corner *= share[:, None]
        mixed += corner
    return mixed


def face_normals(vertices: Float32Array, faces: Int32Array) -> Float32Array:
    """Unit normals (F, 3) of faces (F, 3) of vertices (V, 3)."""
    return unit(face_areas(vertices, faces))
