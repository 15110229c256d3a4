"""A z-buffer in numpy and float64: the reference for Embree, and its stand-in where it has no wheel.

Rays that share an origin (a camera, a lamp) or a direction (a sun) are points of a plane, and triangles
are projected onto it: each triangle is tested at the points that its bounding box holds, and the nearest
stays. Points are where the rays are, so there is no grid of pixels to alias.
Source: Johnson et al., "The irregular z-buffer", ACM Transactions on Graphics 24(4), 2005; homogeneous
edge functions (no clipping): Olano & Greer, "Triangle scan conversion using 2D homogeneous coordinates",
1997. Shapes: N rays, V vertices, F faces, K lights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dw_core.synthetic.surface import Float32Array, Int32Array

Array = npt.NDArray[np.float64]
CELLS = 256  # per side of the grid that the rays are sorted into
IN_FRONT = 1e-6
NO_HIT = -1


@dataclass(frozen=True, eq=False)
class Hits:
    """What rays hit first: triangle (N,), NO_HIT for nothing; distance (N,) m, infinite for nothing.

    The point of the hit is (1 - u - v) a + u b + v c of the triangle's corners a, b, c.
    """

    triangle: Int32Array
    distance: Float32Array
    u: Float32Array
    v: Float32Array


def no_hits(count: int) -> Hits:
    """The hits (N,) of rays that hit nothing."""
    zero = np.zeros(count, np.float32)
    return Hits(np.full(count, NO_HIT, np.int32), np.full(count, np.inf, np.float32), zero, zero)


class ZBufferCaster:
    """Triangles of vertices (V, 3) m and faces (F, 3); the same questions as of `raycast.Caster`."""

    def __init__(self, vertices: Float32Array, faces: Int32Array) -> None:
        self._triangles: Array = np.asarray(vertices, np.float64)[faces]

    def first(self, origin: Float32Array, directions: Float32Array) -> Hits:
        """The first hits of rays from one origin (3,) along unit directions (N, 3).

        All directions must lie in the half space of their mean: the field of view is under 180 degrees.
        """
        if not len(directions) or not len(self._triangles):
            return no_hits(len(directions))
        rays = np.asarray(directions, np.float64)
        axes = _axes(rays.mean(0))
        local = rays @ axes.T
        corners = (self._triangles - np.asarray(origin, np.float64)) @ axes.T
        nearest = np.full(len(rays), np.inf)
        triangle = np.full(len(rays), NO_HIT, np.int32)
        uv = np.zeros((2, len(rays)))
        for found in _covered(local[:, :2] / local[:, 2:], corners):
            point = found.weights @ corners[found.face]
            distance = point[:, 2] / local[found.rays, 2]
            closer = (point[:, 2] > IN_FRONT) & (distance < nearest[found.rays])
            rays_closer = found.rays[closer]
            nearest[rays_closer], triangle[rays_closer] = distance[closer], found.face
            uv[:, rays_closer] = found.weights[closer, 1:].T
        u, v = uv.astype(np.float32)
        return Hits(triangle, nearest.astype(np.float32), u, v)

    def blocked(
        self, points: Float32Array, lights: Float32Array, which: npt.NDArray[np.integer], reach: float
    ) -> npt.NDArray[np.bool_]:
        """Whether the way from a point (N, 3) to its light, lights[which] of (K, 4), is blocked (N,)."""
        shadow = np.zeros(len(points), np.bool_)
        for k in np.unique(which):
            mine = np.flatnonzero(which == k)
            shadow[mine] = self._shadow(points[mine].astype(np.float64), lights[k].astype(np.float64), reach)
        return shadow

    def _shadow(self, points: Array, light: Array, reach: float) -> npt.NDArray[np.bool_]:
        """Whether points (N, 3) see one light (4,)."""
        shadow = np.zeros(len(points), np.bool_)
        if not len(self._triangles):
            return shadow
        if light[3]:  # a pencil of rays: the light is the origin, its far ends are the points
            axes = _axes((points - light[:3]).mean(0))
            local, corners = (points - light[:3]) @ axes.T, (self._triangles - light[:3]) @ axes.T
            plane = local[:, :2] / local[:, 2:]
            length = np.sqrt((local * local).sum(-1))
        else:  # parallel rays: every triangle has the same weight everywhere
            axes = _axes(-light[:3])
            local, corners = points @ axes.T, self._triangles @ axes.T
            plane, length = local[:, :2], np.full(len(points), np.inf)
        flat = corners if light[3] else np.concatenate((corners[..., :2], np.ones_like(corners[..., 2:])), -1)
        for found in _covered(plane, flat):
            point = found.weights @ corners[found.face]
            gap = local[found.rays, 2] - point[:, 2]  # along the axis, from the point to the triangle
            if light[3]:
                gap *= length[found.rays] / local[found.rays, 2]
            near = (gap > 0) & (gap < np.minimum(length[found.rays], reach))
            shadow[found.rays[near]] = True
        return shadow


class _Covered(NamedTuple):
    """Rays (n,) that meet a face, and the barycentric coordinates (n, 3) of where."""

    face: int
    rays: npt.NDArray[np.int64]
    weights: Array


def _axes(direction: Array) -> Array:
    """A rotation (3, 3) whose last row is the direction."""
    z = direction / np.sqrt((direction * direction).sum())
    x = np.cross(z, np.eye(3)[np.argmin(np.abs(z))])
    x /= np.sqrt((x * x).sum())
    return np.stack((x, np.cross(z, x), z))


def _covered(plane: Array, corners: Array) -> Iterator[_Covered]:
    """For each triangle of homogeneous corners (F, 3, 3): which points (N, 2) of the plane it covers."""
    low, high = plane.min(0), plane.max(0)
    scale = CELLS / np.maximum(high - low, 1e-12)
    cell = np.clip(((plane - low) * scale).astype(np.int64), 0, CELLS - 1)
    key = cell[:, 1] * CELLS + cell[:, 0]
    order = np.argsort(key, kind="stable")
    starts = np.searchsorted(key[order], np.arange(CELLS * CELLS + 1))
    points = np.concatenate((plane, np.ones((len(plane), 1))), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        flat = corners[..., :2] / corners[..., 2:]
        box_low = np.floor((flat.min(1) - low) * scale)
        box_high = np.floor((flat.max(1) - low) * scale)
    in_front = corners[..., 2].min(1) > IN_FRONT
    outside = (box_high < 0).any(-1) | (box_low > CELLS - 1).any(-1) | (corners[..., 2].max(1) <= IN_FRONT)
    for face in np.flatnonzero(~(in_front & outside) & (corners[..., 2].max(1) > IN_FRONT)):
        rays = order
        if in_front[face]:
            (c0, r0), (c1, r1) = (
                np.clip(box, 0, CELLS - 1).astype(int) for box in (box_low[face], box_high[face])
            )
            rows = range(r0 * CELLS, r1 * CELLS + 1, CELLS)
            rays = np.concatenate([order[starts[row + c0] : starts[row + c1 + 1]] for row in rows])
        a, b, c = corners[face]
        edges = np.stack((np.cross(b, c), np.cross(c, a), np.cross(a, b)), -1)
        weights = points[rays] @ edges
        inside = (weights >= 0).all(-1) | (weights <= 0).all(-1)
        weights = weights[inside]
        total = weights.sum(-1, keepdims=True)
        rays, weights, total = (x[total[:, 0] != 0] for x in (rays[inside], weights, total))
        yield _Covered(int(face), rays, weights / total)
