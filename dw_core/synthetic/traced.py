"""Surfaces to cast rays against, and the light that reaches what the rays meet.

Linear RGB, metres, world frame. Shapes: F faces, n samples, L lamps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dw_core.synthetic.penumbra import Samples
from dw_core.synthetic.raycast import Caster, caster
from dw_core.synthetic.room import Room
from dw_core.synthetic.shading import dot, face_normals, interpolated
from dw_core.synthetic.surface import Float32Array, Int32Array, Mesh, Surface, joined
from dw_core.synthetic.texture import patterned
from dw_core.synthetic.zbuffer import Hits


@dataclass(frozen=True, eq=False)
class Lit:
    """What reaches samples: of each lamp (L, n) over its colour, of the sky (n,) and of the bounce (n,)."""

    lamps: Float32Array
    sky: Float32Array
    bounce: Float32Array

    def light(self, room: Room, albedo: Float32Array) -> Float32Array:
        """The light (n, 3) that leaves diffuse samples of an albedo (n, 3)."""
        total = np.empty_like(albedo)
        for channel in range(3):
            sum_ = self.sky * room.sky[channel]
            sum_ += self.bounce * room.bounce[channel]
            for light, share in zip(room.lights, self.lamps, strict=True):
                sum_ += share * light.colour[channel]
            np.multiply(albedo[:, channel], sum_, out=total[:, channel])
        return total

    def at(self, samples: Samples) -> Lit:
        """A copy for some samples (n,)."""
        return Lit(self.lamps.take(samples, 1), self.sky.take(samples), self.bounce.take(samples))


class TracedMesh:
    """Surfaces that rays are cast against, with what shading needs of them."""

    def __init__(self, surfaces: Sequence[Surface]) -> None:
        self.surfaces = surfaces
        self.mesh: Mesh = joined(surfaces)
        self.caster: Caster = caster(self.mesh.vertices, self.mesh.faces)

    def facing(self, centre: Float32Array) -> Float32Array:
        """Unit normals (F, 3) of the sides of the faces that a point (3,) sees."""
        normals = face_normals(self.mesh.vertices, self.mesh.faces)
        away = dot(normals, self.mesh.vertices[self.mesh.faces[:, 0]] - centre) > 0
        turned = np.flatnonzero(away)
        normals[turned] = -normals[turned]
        return normals

    def planes(self) -> Int32Array:
        """A number (F,) for each face, the same for faces of one surface on one plane."""
        normals = face_normals(self.mesh.vertices, self.mesh.faces)
        offset = dot(normals, self.mesh.vertices[self.mesh.faces[:, 0]])
        keys = np.column_stack((normals, offset, self.mesh.owner)).round(3)
        _, number = np.unique(keys, axis=0, return_inverse=True)
        return number.reshape(-1).astype(np.int32)

    def normals(self, hits: Hits, facing: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Unit normals (n, 3) of hits (n,): of the faces, `facing` (F, 3) the eye, and interpolated."""
        flat = facing.take(hits.triangle, 0)
        normal = interpolated(self.mesh.normals, self.mesh.faces.take(hits.triangle, 0), hits.u, hits.v)
        length = np.sqrt(dot(normal, normal))
        normal /= np.maximum(length, np.float32(1e-12))[:, None]
        turned = np.flatnonzero(dot(normal, flat) < 0)
        normal[turned] = -normal[turned]
        return flat, normal

    def albedo(self, hits: Hits) -> Float32Array:
        """Colours (n, 3) of hits (n,), with the patterns of the surfaces."""
        corners, owner = self.mesh.faces.take(hits.triangle, 0), self.mesh.owner.take(hits.triangle)
        colours = interpolated(self.mesh.colours, corners, hits.u, hits.v)
        for k, surface in enumerate(self.surfaces):
            if surface.pattern is not None:
                mine = np.flatnonzero(owner == k)
                place = self.place(surface.pattern.coordinates, hits, mine)
                colours[mine] = patterned(surface.pattern, colours[mine], place)
        return colours

    def place(self, coordinates: Float32Array, hits: Hits, mine: Samples) -> Float32Array:
        """Coordinates (n, k) of some hits on one surface, of those of its vertices (V, k)."""
        corners = self.mesh.source.take(self.mesh.faces.take(hits.triangle.take(mine), 0))
        return interpolated(coordinates, corners, hits.u.take(mine), hits.v.take(mine))


@lru_cache(maxsize=4)  # what is rendered is asked again for what is seen of it
def traced(surfaces: tuple[Surface, ...]) -> TracedMesh:
    """The mesh of surfaces, the same one for the same surfaces."""
    return TracedMesh(surfaces)


def some(hits: Hits, at: Samples) -> Hits:
    """Some of the hits."""
    return Hits(hits.triangle.take(at), hits.distance.take(at), hits.u.take(at), hits.v.take(at))
