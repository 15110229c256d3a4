"""What a moving mesh can touch: its picture in a coarse grid, seen from a camera, from a lamp, or by the sky.

Samples of a still room have a cell that never changes; a frame marks the cells that the mesh may cover and
looks the samples up. A mark may be too much and is never too little. All marks are of balls that hold the
mesh, since they are fewer than its triangles.
Metres, world frame. Shapes: N points, V vertices, F faces, B balls.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dw_core.synthetic.surface import Float32Array, Int32Array

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Whole = npt.NDArray[np.integer]
CELLS = 200  # per side
VOXEL_M = 0.1  # of the cubes
IN_FRONT = 1e-3
EDGE_M, GRAIN_M = 0.03, 0.025  # the longest edge of a triangle that its corners stand for; between balls
# No point of a triangle is farther from all corners than the longest edge over the root of three.
RADIUS_M = EDGE_M / np.sqrt(3) + GRAIN_M * np.sqrt(3) / 2 + 1e-4


def balls(vertices: Float32Array, faces: Int32Array) -> Array:
    """The middles (B, 3) of balls of RADIUS_M that hold all triangles of vertices (V, 3) and faces (F, 3)."""
    if not len(faces):
        return np.zeros((0, 3))
    corners = [vertices.take(faces[:, k], 0) for k in range(3)]
    longest = np.zeros(len(faces), np.float32)
    for k in range(3):
        edge = corners[k] - corners[k - 1]
        edge *= edge
        np.maximum(longest, edge[:, 0] + edge[:, 1] + edge[:, 2], out=longest)
    points = [vertices]
    large = np.flatnonzero(longest > EDGE_M**2)
    pieces = np.ceil(np.sqrt(longest[large]) / EDGE_M).astype(int)  # that an edge is cut into
    for count in np.unique(pieces).tolist():
        a, b, c = (corner[large[pieces == count]] for corner in corners)
        i, j = np.mgrid[: count + 1, : count + 1].reshape(2, -1)
        parts = np.stack((i, j, count - i - j), -1)
        parts = parts[(parts.min(-1) >= 0) & (parts.max(-1) < count)]
        p, q, r = (parts / count).astype(np.float32).T[..., None, None]
        points.append((p * a + q * b + r * c).reshape(-1, 3))
    every = np.concatenate(points)
    low = np.array([every[:, k].min() for k in range(3)])
    grain = [((every[:, k] - low[k]) / np.float32(GRAIN_M)).astype(np.int32) for k in range(3)]
    sides = tuple(int(place.max()) + 1 for place in grain)
    used = _once(np.ravel_multi_index(tuple(grain), sides))
    middles: Array = low + (np.stack(np.unravel_index(used, sides), -1) + 0.5) * GRAIN_M
    return middles


def _once(numbers: Integers) -> Integers:
    """Each number once; for many of them in a third of the time of np.unique."""
    numbers = np.sort(numbers)
    return numbers[np.diff(numbers, prepend=-1) > 0]


@dataclass(frozen=True, eq=False)
class Screen:
    """A plane onto which the world is projected by a matrix (3, 4): CELLS x CELLS cells for each eye.

    The plane is infinite: coordinates q become q / (1 + |q|). `eyes` (E, 2): the points of a lamp, in the
    first two coordinates of the projection.
    """

    projection: Array
    eyes: Array

    def cells(self, points: Float32Array, eye: Whole) -> Int32Array:
        """The cells (N,) of points (N, 3), each seen from one eye (N,).

        A point that is not in front has cell 0.
        """
        x, y, w = self._project(points)
        front = w > IN_FRONT
        w[~front] = 1
        column, row = (_cell((q - self.eyes[:, k].take(eye)) / w) for k, q in enumerate((x, y)))
        return np.where(front, (eye.astype(np.int32) * CELLS + row) * CELLS + column, 0)

    def covered(self, middles: Array) -> BoolArray:
        """The cells (E * CELLS * CELLS,) that balls (B, 3) may cover.

        All of them when a ball is not in front.
        """
        marks = np.zeros((len(self.eyes), CELLS, CELLS), np.bool_)
        if not len(middles):
            return marks.reshape(-1)
        x, y, w = self._project(middles)
        size = RADIUS_M * np.sqrt((self.projection[:, :3] ** 2).sum(-1))
        nearest = w - size[2]
        if nearest.min() <= IN_FRONT:
            return np.ones(marks.size, np.bool_)
        eyes, inverse = self.eyes.astype(np.float32), (1 / w).astype(np.float32)
        whole, depth = [], (size[2] / nearest).astype(np.float32)
        for k, q in ((1, y / w), (0, x / w)):
            seen = q.astype(np.float32) - eyes[:, k, None] * inverse
            whole.append((_cell(seen), _reach(np.abs(seen), (size[k] / nearest).astype(np.float32), depth)))
        _stamp(marks, *whole[0], *whole[1])
        return marks.reshape(-1)

    def _project(self, points: Float32Array | Array) -> tuple[Array, Array, Array]:
        x, y, z = (points[:, k].astype(np.float64) for k in range(3))
        a, b, c = (row[0] * x + row[1] * y + row[2] * z + row[3] for row in self.projection)
        return a, b, c


def _cell(q: Array | Float32Array) -> Int32Array:
    """The row or column of a coordinate of the infinite plane."""
    place = np.abs(q)
    place += 1
    np.divide(q, place, out=place)
    place += 1
    place *= CELLS / 2
    cell = place.astype(np.int32)
    return np.minimum(cell, CELLS - 1, out=cell)


def _reach(away: Float32Array, size: Float32Array, depth: Float32Array) -> int:
    """The most cells between a ball's middle and its rim, for middles `away` (E, B) from the middle of the
    plane, and balls (B,) of a size across and in depth."""
    off = away * depth
    off += size
    away -= off
    np.maximum(away, 0, out=away)
    away += 1
    away *= away
    off /= away  # the most that q / (1 + |q|) changes by
    return int(np.ceil(off.max() * (CELLS / 2) + 0.1))  # a little more: for the rounding


def _stamp(marks: BoolArray, row: Int32Array, high: int, column: Int32Array, wide: int) -> None:
    """Mark (E, CELLS, CELLS) around rows and columns (E, B), so many cells high and wide to each side."""
    top, bottom = max(int(row.min()) - high, 0), min(int(row.max()) + high + 1, CELLS)
    left, right = max(int(column.min()) - wide, 0), min(int(column.max()) + wide + 1, CELLS)
    height, width = bottom - top, right - left
    part = np.zeros((len(marks) * height, width), np.uint8)  # all eyes one below the other
    row += np.arange(len(marks), dtype=np.int32)[:, None] * np.int32(height)
    row *= np.int32(width)
    row += column
    part.reshape(-1)[row - np.int32(top * width + left)] = 1
    around = cv2.dilate(part, np.ones((2 * high + 1, 2 * wide + 1), np.uint8))
    marks[:, top:bottom, left:right] |= around.reshape(-1, height, width) != 0


class Index:
    """Samples by their cells, so that those of a few cells are found without looking at all."""

    def __init__(self, cells: Int32Array, samples: Integers, count: int) -> None:
        """`cells` (n,) of the samples (n,), of `count` that there are."""
        order = np.sort(cells.astype(np.int64) << 32 | samples)
        self._samples: Int32Array = (order & 0xFFFFFFFF).astype(np.int32)
        ends = np.bincount(cells, minlength=count).cumsum()
        self._starts: Int32Array = np.concatenate(([0], ends)).astype(np.int32)

    def within(self, marks: BoolArray | None) -> Integers:
        """The samples (n,) whose cells are marked; `marks`: one for each cell, None for all."""
        if marks is None:
            return self._samples.astype(np.int64)
        change = np.zeros(len(marks) + 1, np.bool_)  # where a row of marked cells starts or ends
        change[:-1] = marks
        change[1:] ^= marks
        first, last = self._starts.take(np.flatnonzero(change)).reshape(-1, 2).T
        counts = last - first
        places = np.repeat(first - np.cumsum(counts) + counts, counts)
        places += np.arange(len(places), dtype=np.int32)
        return self._samples.take(places).astype(np.int64)


class Cubes:
    """The space around points (n, 3), each of which looks into the directions of its group (n,).

    Cells are of one cube of VOXEL_M and one group; only cubes with points have cells.
    """

    def __init__(self, points: Float32Array, group: Whole, directions: Array, reach: float) -> None:
        """`directions` (G, D, 3): of unit length, for each group; `reach`: how far a point looks, m."""
        side = int(np.ceil((reach + RADIUS_M) / VOXEL_M)) + 1  # cubes that a point may look into
        self._low = (points.min(0) if len(points) else np.zeros(3)) - 2 * side * VOXEL_M
        self._shape = (self._cube(points).max(0, initial=0) + 2 * side + 1).tolist()
        place = self._flat(self._cube(points))
        used = np.zeros(self._shape, np.bool_)
        used.reshape(-1)[place] = True
        numbers = used.reshape(-1).cumsum(dtype=np.int32) - 1
        self._number = np.where(used.reshape(-1), numbers, -1)
        cubes = int(numbers[-1]) + 1
        self.count = cubes * len(directions)
        self.cells: Int32Array = self._number[place] + group.astype(np.int32) * np.int32(cubes)
        near = used.astype(np.uint8)
        for axis in range(3):
            turned = np.moveaxis(near, axis, 0)
            flat = np.ascontiguousarray(turned).reshape(len(turned), -1)
            wide = np.asarray(cv2.dilate(flat, np.ones((2 * side + 1, 1), np.uint8)), np.uint8)
            near = np.moveaxis(wide.reshape(turned.shape), 0, axis)
        self._near = near.reshape(-1) != 0
        self._steps = [[self._flat(_met(ray, side, reach)) for ray in rays] for rays in directions]

    def near(self, middles: Array) -> npt.NDArray[np.uint8]:
        """From which cells balls (B, 3) may be met: bit k for direction k of the group."""
        marks = np.zeros((len(self._steps), self.count // len(self._steps)), np.uint8)
        cube = self._cube(middles)
        cube = cube[((cube >= 0) & (cube < self._shape)).all(-1)]
        balls = _once(self._flat(cube))
        balls = balls[self._near[balls]]
        for mark, rays in zip(marks, self._steps, strict=True):
            for k, steps in enumerate(rays):
                number = self._number.take(balls[:, None] - steps)
                mark[number[number >= 0]] |= np.uint8(1 << k)
        return marks.reshape(-1)

    def _cube(self, points: Float32Array | Array) -> Integers:
        return np.floor((points - self._low) / VOXEL_M).astype(np.int64)

    def _flat(self, cube: Integers) -> Integers:
        _, b, c = self._shape
        flat: Integers = (cube[:, 0] * b + cube[:, 1]) * c + cube[:, 2]
        return flat


def _met(ray: Array, side: int, reach: float) -> Integers:
    """Steps (n, 3) from the cube of a point to the cubes whose balls a ray (3,) of that reach, m, may meet.

    By slabs: Kay and Kajiya, "Ray Tracing Complex Scenes", SIGGRAPH 1986.
    """
    around = np.arange(-side, side + 1)
    steps = np.stack(np.meshgrid(around, around, around, indexing="ij"), -1).reshape(-1, 3)
    size = 1 + RADIUS_M / VOXEL_M + 1e-3  # a little more: for the rounding
    with np.errstate(divide="ignore"):
        one, other = (steps - size) / ray, (steps + size) / ray
    enter, leave = np.minimum(one, other).max(-1), np.maximum(one, other).min(-1)
    met: Integers = steps[np.maximum(enter, 0) <= np.minimum(leave, reach / VOXEL_M)]
    return met
