"""What a moving mesh can touch: its picture in a coarse grid, seen from a camera or from a lamp.

Samples of a still room have a cell that never changes; a frame marks the cells that the mesh may cover and
looks the samples up. A mark may be too much and is never too little: a projection keeps convex hulls, so
a triangle stays within the bounding box of its projected corners.
Shapes: N points, V vertices, F faces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dw_core.synthetic.surface import Float32Array, Int32Array

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
CELLS = 400  # per side
VOXEL_M = 0.1
IN_FRONT = 1e-3


@dataclass(frozen=True, eq=False)
class Screen:
    """A plane onto which the world is projected by a matrix (3, 4), cut into CELLS x CELLS cells.

    The plane is infinite: coordinates q become q / (1 + |q|). `half_m`: half the side of a square lamp; a
    shadow is marked for every point of it.
    """

    projection: Array
    half_m: float = 0.0

    def cells(self, points: Float32Array, offsets: Float32Array | None = None) -> Int32Array:
        """The cells (N,) of points (N, 3), seen from `offsets` (N, 2) m beside the middle of the lamp.

        A point that is not in front has cell 0.
        """
        x, y, w = self._project(points)
        front = w > IN_FRONT
        w = np.where(front, w, 1.0)
        dx, dy = (0.0, 0.0) if offsets is None else (offsets[:, 0], offsets[:, 1])
        column, row = _cell((x - dx) / w), _cell((y - dy) / w)
        return np.where(front, row * CELLS + column, 0).astype(np.int32)

    def covered(self, vertices: Float32Array, faces: Int32Array) -> npt.NDArray[np.bool_]:
        """The cells (CELLS * CELLS,) that triangles of vertices (V, 3) and faces (F, 3) may cover.

        All of them when a vertex is not in front.
        """
        if not len(faces):
            return np.zeros(CELLS * CELLS, np.bool_)
        x, y, w = self._project(vertices)
        if w.min() <= IN_FRONT:
            return np.ones(CELLS * CELLS, np.bool_)
        edges = []
        for q in (x, y):  # one cell more on each side: for the rounding
            low = np.maximum(_cell((q - self.half_m) / w) - 1, 0)
            high = np.minimum(_cell((q + self.half_m) / w) + 2, CELLS)
            edges.append(_ends(low, high, faces))
        (left, right), (top, bottom) = edges
        return (boxes_2d(left, right, top, bottom) > 0).reshape(-1)

    def _project(self, points: Float32Array) -> tuple[Array, Array, Array]:
        x, y, z = points[:, 0].astype(np.float64), points[:, 1].astype(np.float64), points[:, 2]
        a, b, c = (row[0] * x + row[1] * y + row[2] * z + row[3] for row in self.projection)
        return a, b, c


def _cell(q: Array) -> Integers:
    """The row or column of a coordinate of the infinite plane."""
    cell: Integers = ((q / (1 + np.abs(q)) + 1) * (CELLS / 2)).astype(np.int64)
    return np.minimum(cell, CELLS - 1)


def boxes_2d(
    left: Integers,
    right: Integers,
    top: Integers,
    bottom: Integers,
) -> Array:
    """How many boxes (F,), right and bottom not included, lie over each cell (CELLS, CELLS).

    By differences at the corners and two running sums: Crow, "Summed-area tables", SIGGRAPH 1984.
    """
    side = CELLS + 1
    corner = np.concatenate(
        (top * side + left, bottom * side + right, top * side + right, bottom * side + left)
    )
    sign = np.repeat([1.0, 1.0, -1.0, -1.0], len(left))
    steps = np.bincount(corner, sign, minlength=side * side).reshape(side, side)
    count: Array = steps.cumsum(0).cumsum(1)[:CELLS, :CELLS]
    return count


def _ends(low: Integers, high: Integers, faces: Int32Array) -> tuple[Integers, Integers]:
    """The least of `low` and the greatest of `high` (V,) over the corners of faces (F, 3)."""
    a, b, c = faces.T
    return (
        np.minimum(np.minimum(low[a], low[b]), low[c]),
        np.maximum(np.maximum(high[a], high[b]), high[c]),
    )


def _different(columns: list[Integers]) -> list[list[int]]:
    """The different rows of columns of small whole numbers."""
    key = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        key = key * 1024 + column
    _, first = np.unique(key, return_index=True)
    rows: list[list[int]] = np.stack(columns, -1)[first].tolist()
    return rows


class Index:
    """Samples by their cells, so that those of a few cells are found without looking at all."""

    def __init__(self, cells: Int32Array, samples: Integers) -> None:
        """`cells` (N,) of all samples; only `samples` (n,) are kept."""
        order = np.argsort(cells[samples], kind="stable")
        self._samples: Int32Array = samples[order].astype(np.int32)
        self._used, self._starts = np.unique(cells[self._samples], return_index=True)
        self._ends = np.append(self._starts[1:], len(samples))

    def within(self, marks: npt.NDArray[np.bool_] | None) -> Integers:
        """The samples (n,) whose cells are marked; `marks`: one for each cell, None for all."""
        if marks is None:
            return self._samples.astype(np.int64)
        chosen = np.flatnonzero(marks[self._used])
        starts, counts = self._starts[chosen], self._ends[chosen] - self._starts[chosen]
        before = np.cumsum(counts) - counts
        places = np.repeat(starts - before, counts) + np.arange(counts.sum())
        found: Int32Array = self._samples[places]
        return found.astype(np.int64)


@dataclass(frozen=True, eq=False)
class Voxels:
    """A box of the world from `low` (3,) m in `shape` cubes of VOXEL_M."""

    low: Array
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, low: Array, high: Array) -> Voxels:
        """The cubes of a box between two corners (3,) m."""
        i, j, k = np.ceil((high - low) / VOXEL_M).astype(int).tolist()
        return cls(low, (i, j, k))

    def cells(self, points: Float32Array) -> Int32Array:
        """The numbers (N,) of the cubes of points (N, 3); those outside go to the nearest cube."""
        i, j, k = (self._index(points[:, axis], axis) for axis in range(3))
        return ((i * self.shape[1] + j) * self.shape[2] + k).astype(np.int32)

    def near(self, vertices: Float32Array, faces: Int32Array, reach: float) -> npt.NDArray[np.bool_]:
        """Which cubes may hold a point within `reach` metres of a triangle (F, 3) of vertices (V, 3)."""
        mark = np.zeros(self.shape, np.bool_)
        if len(faces):
            far = np.float32(reach + 1e-3)  # a little more: for the rounding
            ends: list[Integers] = []
            for axis in range(3):
                along = vertices[:, axis]
                low, high = self._index(along - far, axis), self._index(along + far, axis)
                ends += _ends(low, high + 1, faces)
            # many triangles are in the same cubes: once each
            for i0, i1, j0, j1, k0, k1 in _different(ends):
                mark[i0:i1, j0:j1, k0:k1] = True
        return mark.reshape(-1)

    def _index(self, along: Float32Array, axis: int) -> Integers:
        cube = np.floor((along - self.low[axis]) / VOXEL_M).astype(np.int64)
        value: Integers = np.clip(cube, 0, self.shape[axis] - 1)
        return value
