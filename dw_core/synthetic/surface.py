"""Triangle meshes with colours: what the body, its garments and the room are made of.

World frame: metres, z up. Colours are linear RGB albedos (not sRGB) in [0, 1].
Shapes: V vertices, F faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]
PatternKind = Literal["stripes", "checks", "spots", "noise"]


@dataclass(frozen=True, eq=False)
class Pattern:
    """A second colour (3,) over a surface's own, in repeats of `scale_m` metres.

    `coordinates` (V, 3) m: where each vertex is in the rest pose, so that the pattern moves with the body.
    """

    kind: PatternKind
    scale_m: float
    colour: Float32Array
    seed: int
    coordinates: Float32Array


@dataclass(frozen=True, eq=False)
class Surface:
    """Vertices (V, 3) m in the world, faces (F, 3), colours (V, 3).

    `smooth`: normals are interpolated between the vertices; otherwise each face has its own.
    """

    vertices: Float32Array
    faces: Int32Array
    colours: Float32Array
    smooth: bool = True
    pattern: Pattern | None = None


@dataclass(frozen=True, eq=False)
class Mesh:
    """Several surfaces as one: vertices, unit normals and colours (V, 3), faces (F, 3), owner (F,).

    `owner` is the number of the surface that a face is of. Faces of surfaces that are not smooth have
    vertices of their own, so that a normal belongs to a vertex always. `source` (V,): the number of the
    vertex within its surface.
    """

    vertices: Float32Array
    normals: Float32Array
    colours: Float32Array
    faces: Int32Array
    owner: Int32Array
    source: Int32Array


def joined(surfaces: Sequence[Surface]) -> Mesh:
    """The surfaces as one mesh: vertices (V, 3), faces (F, 3), in the order in which they are given."""
    parts = [_apart(surface) for surface in surfaces]
    counts = [len(part.vertices) for part in parts]
    starts = np.cumsum([0, *counts])[:-1]
    if not parts:
        empty = np.zeros((0, 3), np.float32)
        none = np.zeros(0, np.int32)
        return Mesh(empty, empty, empty, np.zeros((0, 3), np.int32), none, none)
    return Mesh(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.normals for part in parts]),
        np.concatenate([part.colours for part in parts]),
        np.concatenate([part.faces + np.int32(start) for part, start in zip(parts, starts, strict=True)]),
        np.concatenate([np.full(len(part.faces), k, np.int32) for k, part in enumerate(parts)]),
        np.concatenate([part.source for part in parts]),
    )


def _apart(surface: Surface) -> Mesh:
    """One surface as a mesh, with vertices of their own for faces that are flat."""
    faces, vertices, colours = surface.faces, surface.vertices, surface.colours
    source = np.arange(len(vertices), dtype=np.int32)
    if not surface.smooth:
        source = faces.reshape(-1).astype(np.int32)
        vertices, colours = vertices[source], colours[source]
        faces = np.arange(len(source), dtype=np.int32).reshape(-1, 3)
    normals = vertex_normals(vertices, faces)
    return Mesh(vertices, normals, colours, faces, np.zeros(len(faces), np.int32), source)


def vertex_normals(vertices: Float32Array, faces: Int32Array) -> Float32Array:
    """Unit normals (V, 3) of vertices (V, 3): the mean over their faces (F, 3), weighted by area.

    Source: Gouraud, "Continuous Shading of Curved Surfaces", 1971. Zero for a vertex without a face.
    """
    areas = face_areas(vertices, faces)
    corners = faces.reshape(-1)
    total = [np.bincount(corners, np.repeat(area, 3), minlength=len(vertices)) for area in areas]
    return unit([sum_.astype(np.float64, copy=False) for sum_ in total])


def face_areas(vertices: Float32Array, faces: Int32Array) -> list[npt.NDArray[np.float64]]:
    """The x, y and z (F,) of normals of faces (F, 3) of vertices (V, 3), as long as twice the area."""
    edges = []
    for k in range(3):
        along = vertices[:, k].astype(np.float64)
        a = along.take(faces[:, 0])
        edges.append((along.take(faces[:, 1]) - a, along.take(faces[:, 2]) - a))
    areas = []
    for k in range(3):
        (y, v), (z, w) = edges[(k + 1) % 3], edges[(k + 2) % 3]
        areas.append(y * w - z * v)
    return areas


def unit(vectors: Sequence[npt.NDArray[np.float64]]) -> Float32Array:
    """Vectors (n, 3), given by their components, at unit length; zero for those that are none."""
    x, y, z = vectors
    length = np.maximum(np.sqrt(x * x + y * y + z * z), 1e-30)
    value = np.empty((len(x), 3), np.float32)
    for k in range(3):
        value[:, k] = vectors[k] / length
    return value
