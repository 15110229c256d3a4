"""Rays against triangles: the first hit, and whether anything lies between a point and a light.

Embree does the work where its wheel is installed; where there is none, the float64 z-buffer of
`zbuffer.py` answers the same questions, much more slowly.
Shapes: N rays, V vertices, F faces, K lights. Metres, world frame.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dw_core.synthetic.surface import Float32Array, Int32Array
from dw_core.synthetic.zbuffer import NO_HIT, Hits, ZBufferCaster, no_hits

try:
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene
except ImportError:  # no wheel for this platform
    EmbreeScene = None


Numbers = npt.NDArray[np.integer]


class Caster(Protocol):
    """Triangles that rays are cast against."""

    def first(self, origin: Float32Array, directions: Float32Array) -> Hits:
        """The first hits of rays from one origin (3,) along unit directions (N, 3)."""

    def blocked(
        self, points: Float32Array, lights: Float32Array, which: Numbers, reach: float
    ) -> npt.NDArray[np.bool_]:
        """Whether the way from a point (N, 3) to its light, lights[which] of (K, 4), is blocked (N,).

        Lights are homogeneous: x y z 1 for a place, x y z 0 for a direction of unit length.
        Only what is nearer than `reach` metres, and than the light, counts.
        """


def caster(vertices: Float32Array, faces: Int32Array) -> Caster:
    """The caster of this machine for vertices (V, 3) and faces (F, 3)."""
    if EmbreeScene is None:
        return ZBufferCaster(vertices, faces)
    return EmbreeCaster(vertices, faces)


class EmbreeCaster:
    """An Embree scene of vertices (V, 3) and faces (F, 3).

    Source: Wald et al., "Embree: A Kernel Framework for Efficient CPU Ray Tracing", SIGGRAPH 2014.
    """

    def __init__(self, vertices: Float32Array, faces: Int32Array) -> None:
        self._scene = EmbreeScene(robust=True) if len(faces) else None
        if self._scene is not None:
            # the wheel reads number by number: those of Python are read in a third of the time
            TriangleMesh(self._scene, vertices.astype(np.float32).astype(object), _rows(faces.tobytes()))

    def first(self, origin: Float32Array, directions: Float32Array) -> Hits:
        """The first hits of rays from one origin (3,) along unit directions (N, 3)."""
        if self._scene is None or not len(directions):
            return no_hits(len(directions))
        origins = np.broadcast_to(np.asarray(origin, np.float32), directions.shape)
        found = self._scene.run(origins, directions, query="INTERSECT", output=1)
        nothing = found["primID"] < 0
        return Hits(
            found["primID"], np.where(nothing, np.float32(np.inf), found["tfar"]), found["u"], found["v"]
        )

    def blocked(
        self, points: Float32Array, lights: Float32Array, which: Numbers, reach: float
    ) -> npt.NDArray[np.bool_]:
        """Whether the way from a point (N, 3) to its light, lights[which] of (K, 4), is blocked (N,)."""
        if self._scene is None or not len(points):
            return np.zeros(len(points), np.bool_)
        way, length = towards(points, lights, which)
        far = length if reach == np.inf else np.minimum(length, np.float32(reach))
        occluded: npt.NDArray[np.bool_] = self._scene.run(points, way, far, query="OCCLUDED") != NO_HIT
        return occluded


def towards(points: Float32Array, lights: Float32Array, which: Numbers) -> tuple[Float32Array, Float32Array]:
    """Unit directions (N, 3) and distances (N,) m from points (N, 3) to lights[which], lights (K, 4).

    The distance to a direction is infinite.
    """
    # by components, in place: a product of matrices may round differently from one size to another
    way = np.empty((len(points), 3), np.float32)
    length = np.zeros(len(points), np.float32)
    place = lights[:, 3].take(which)
    for k in range(3):
        along = np.multiply(place, points[:, k])
        np.subtract(lights[:, k].take(which), along, out=along)
        way[:, k] = along
        along *= along
        length += along
    np.sqrt(length, out=length)
    way /= length[:, None]
    return way, np.where(place > 0, length, np.float32(np.inf))


@lru_cache(maxsize=4)  # the same people in frame after frame
def _rows(faces: bytes) -> npt.NDArray[np.object_]:
    """Rows of three numbers, one for each face."""
    columns = np.frombuffer(faces, np.int32).reshape(-1, 3).T
    return np.fromiter(zip(*columns.tolist(), strict=True), object, columns.shape[1])
