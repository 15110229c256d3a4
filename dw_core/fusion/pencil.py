"""Where epipolar maxima are read: every source crop is sampled along the pencil of epipolar planes, and every
target cell knows its place among the pencil's lines.

Geometry of calibration and crops alone, the same for whoever does the sampling (spatial.py, and
dw_core/tensor/fusion.py on a GPU).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from dw_core.geometry.camera import Array, Camera, Rig
from dw_core.geometry.crop import Crop
from dw_core.geometry.epipolar import PlanePencil, cell_rays, interpolation_matrix, outline_rays
from dw_core.types import Float32Array

T = TypeVar("T")

# Samples per cell across and along the lines. A peak of MoveNet's width (3 cells at half height)
# then loses at most 4 % of its height (see the tests).
SAMPLES_PER_CELL = 1.4
MAX_LINES_PER_CELL = 4
# The pencil's image is exact at nodes this far apart and linear between.
NODE_ANGLE_RAD = 0.05
NODES_INSIDE = 17
FAR_OUTSIDE = -1e4
# The samples of so many lines fit a core's cache, and leave the crop at much the same place.
LINES_AT_ONCE = 32


class Box(NamedTuple):
    """Cells from left and top on, up to but not including right and bottom."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, eq=False)
class SourcePencil:
    """Where to sample one source crop: K lines of S samples over the angles that the crop spans.

    map_x, map_y (S, K) float32 in cells; line k has the plane angle `start + k * step`. `reach`
    (4, NODES_INSIDE, B): lowest x, highest x, lowest y, highest y at the nodes, of B blocks of LINES_AT_ONCE
    lines.
    """

    map_x: Float32Array
    map_y: Float32Array
    start: float
    step: float
    reach: Float32Array

    def parts(self, box: Box) -> Iterator[tuple[slice, slice]]:
        """Samples and lines of the blocks that hold all samples which the cells of a box tell of."""
        low_x, high_x, low_y, high_y = self.reach
        near = (high_x > box.left - 1) & (low_x < box.right) & (high_y > box.top - 1) & (low_y < box.bottom)
        # from the node before the first near one to the node after the last
        first, last = near.argmax(0) - 1, NODES_INSIDE - near[::-1].argmax(0)
        samples = len(self.map_x)
        per_node = (samples - 1) / (NODES_INSIDE - 1)
        for block in np.flatnonzero(near.any(0)).tolist():
            start, stop = math.floor(first[block] * per_node), math.ceil(last[block] * per_node) + 1
            lines = slice(block * LINES_AT_ONCE, (block + 1) * LINES_AT_ONCE)
            yield slice(max(start, 0), min(stop, samples)), lines


def source_pencil(
    camera: Camera, crop: Crop, edge: Array, cell_angle: float, cells: int, pencil: PlanePencil
) -> SourcePencil | None:
    """Sampling of one camera's crop along the pencil; None when the lens reaches none of the crop.

    `edge` (N, 2): rays along the edge of the crop in turn, those that the lens reaches; `cell_angle`: the
    smallest angle of a cell, radians.
    """
    if len(edge) < 3:
        return None
    start, length, low, high = _span(*pencil.angles(camera, edge))
    widest = 1.0 if low < math.pi / 2 < high else max(math.sin(low), math.sin(high))
    most = MAX_LINES_PER_CELL * cells
    lines = min(_count(length * widest / cell_angle), most)
    samples = min(_count((high - low) / cell_angle), most)
    nodes = _up_to_8(length / NODE_ANGLE_RAD + 4)
    planes, insides = start + length * _ramp(nodes), low + (high - low) * _ramp(NODES_INSIDE)
    exact = pencil.cells(camera, crop, cells, planes[None, :], insides[:, None])
    where: Float32Array = np.where(np.isfinite(exact), exact, FAR_OUTSIDE).astype(np.float32)
    along, across = _even_places(NODES_INSIDE, samples), _even_places(nodes, lines)
    map_x, map_y = (along @ (where[..., axis] @ across.T) for axis in range(2))
    start = (start + math.pi) % (2 * math.pi) - math.pi  # as plane angles are
    return SourcePencil(map_x, map_y, start, length / (lines - 1), _reach(where, lines))


def _span(plane: Array, inside: Array) -> tuple[float, float, float, float]:
    """What a crop spans: start and length of the arc of planes, first and last angle within planes; from the
    angles (N,) of its edge in turn, radians."""
    low, high = float(inside.min()), float(inside.max())
    turn = (plane - np.roll(plane, 1) + np.pi) % (2 * np.pi) - np.pi
    if abs(turn.sum()) > np.pi:  # the edge winds around an epipole: it lies inside of the crop
        return (
            (-math.pi, 2 * math.pi, 0.0, high)
            if high < math.pi / 2
            else (-math.pi, 2 * math.pi, low, math.pi)
        )
    along = np.cumsum(turn) + (plane[0] - turn[0])  # without jumps
    start = float(along.min())
    return start, float(along.max()) - start, low, high


def _reach(nodes: Float32Array, lines: int) -> Float32Array:
    """`SourcePencil.reach` from the cells (NODES_INSIDE, n, 2) of the nodes."""
    ends = _ends_of_blocks(nodes.shape[1], lines)
    padded = np.concatenate((nodes, nodes[:, -1:]), 1)  # so that the last block has an end
    bounds = [bound.reduceat(padded, ends, axis=1)[:, ::2] for bound in (np.minimum, np.maximum)]
    return np.stack([bounds[k][..., axis] for axis in range(2) for k in range(2)])


@lru_cache(maxsize=256)
def _ends_of_blocks(nodes: int, lines: int) -> npt.NDArray[np.intp]:
    """First node and the one after the last of each block of lines, in turn."""
    first = np.arange(0, lines, LINES_AT_ONCE)
    last = np.minimum(first + LINES_AT_ONCE, lines) - 1
    per_line = (nodes - 1) / (lines - 1)
    ends = np.stack((np.floor(first * per_line), np.minimum(np.ceil(last * per_line) + 1, nodes)), 1)
    return ends.ravel().astype(np.intp)


@lru_cache(maxsize=256)
def _even_places(nodes: int, count: int) -> Float32Array:
    """(count, nodes): linear interpolation to `count` places, evenly from the first node to the last."""
    return interpolation_matrix(nodes, (nodes - 1) * _ramp(count)).astype(np.float32)


@lru_cache(maxsize=256)
def _ramp(count: int) -> Array:
    """(count,): evenly from 0 to 1."""
    return np.linspace(0, 1, count)


def _edge(rays: Array) -> Array:
    """Those along the edge of rays (n, n, 2) over a crop, in turn, less what the lens cannot reach (N, 2)."""
    edge = np.concatenate((rays[0, :-1], rays[:-1, -1], rays[-1, :0:-1], rays[:0:-1, 0]))
    return edge[np.isfinite(edge[:, 0])]


def _cell_angle(rays: Array, cells: int) -> float:
    """Smallest angle that a cell subtends, from rays (n, n, 2) over the whole crop, radians."""
    across, down = rays[:-1, 1:] - rays[:-1, :-1], rays[1:, :-1] - rays[:-1, :-1]
    area = np.abs(across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0])
    solid = area / (1 + (rays[:-1, :-1] ** 2).sum(-1)) ** 1.5
    smallest = solid[np.isfinite(solid)].min(initial=np.inf)  # none where the lens reaches nothing
    return float(np.sqrt(smallest) * (rays.shape[0] - 1) / cells)


def _count(extent_cells: float) -> int:
    return _up_to_8(extent_cells * SAMPLES_PER_CELL)


def _up_to_8(count: float) -> int:
    """The next multiple of 8: there are then few sizes, and what belongs to a size is known already."""
    return 8 * max(math.ceil(count / 8), 1)


def profile_places(plane: Array, source: SourcePencil) -> Float32Array:
    """Place (h, w) float32 in the source's profile, in lines, of target cells whose planes have the
    angles `plane` (h, w); NaN stays outside."""
    turn = plane - source.start
    places = np.where(turn < 0, turn + 2 * np.pi, turn) * (1 / source.step)
    return np.where(np.isfinite(places), places, FAR_OUTSIDE).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _CropRays:
    """What one view's crop looks at: rays along its edge, rays of its cells, and the smallest angle of a
    cell."""

    edge: Array
    cells: Array
    cell_angle: float


class Newest:
    """Values by name, each kept as long as what it was made from stays the same."""

    def __init__(self) -> None:
        self._known: dict[Any, tuple[tuple[object, ...], Any]] = {}

    def get(self, name: object, origin: tuple[object, ...], make: Callable[[], T]) -> T:
        """The value made from `origin`: crops and numbers count by value, maps by identity."""
        known = self._known.get(name)
        if known is None or not all(map(_same, known[0], origin)):
            known = self._known[name] = (origin, make())
        value: T = known[1]
        return value


def _same(a: object, b: object) -> bool:
    return a is b or (not isinstance(a, np.ndarray) and a == b)


class PencilGeometry:
    """Where the epipolar maxima of a rig's ordered pairs (target, source) come from. Of every view and pair
    it keeps what belongs to the newest crops, so that only what changed is computed again: lines belong to
    the source's crop, the planes of cells to the target's, and only places among lines to both."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.rebuilt = 0  # places, since the start
        self._pencils: dict[tuple[int, int], PlanePencil] = {}
        self._rays, self._lines, self._planes, self._places = (Newest() for _ in range(4))

    def lines(self, target: int, source: int, crop: Crop, cells: int) -> SourcePencil | None:
        """Sampling of the source's crop; None when its lens reaches none of it."""

        def make() -> SourcePencil | None:
            rays, pencil = self._crop_rays(source, crop, cells), self._pencil(target, source)
            return source_pencil(self.rig[source], crop, rays.edge, rays.cell_angle, cells, pencil)

        return self._lines.get((target, source), (crop, cells), make)

    def places(self, target: int, source: int, crop: Crop, cells: int, lines: SourcePencil) -> Float32Array:
        """Places (cells, cells) of the target crop's cells among the source's lines."""
        return self._places.get(
            (target, source),
            (crop, lines),
            lambda: self._place(target, source, crop, cells, lines),
        )

    def _place(self, target: int, source: int, crop: Crop, cells: int, lines: SourcePencil) -> Float32Array:
        self.rebuilt += 1
        plane = self._planes.get(
            (target, source),
            (crop, cells),
            lambda: self._pencil(target, source).planes(
                self.rig[target], self._crop_rays(target, crop, cells).cells
            ),
        )
        return profile_places(plane, lines)

    def _pencil(self, a: int, b: int) -> PlanePencil:
        """The half-planes of a pair are the same both ways, and so is the pencil."""
        pair = (min(a, b), max(a, b))
        if pair not in self._pencils:
            self._pencils[pair] = PlanePencil(self.rig[pair[0]], self.rig[pair[1]])
        return self._pencils[pair]

    def _crop_rays(self, view: int, crop: Crop, cells: int) -> _CropRays:
        def make() -> _CropRays:
            outline = outline_rays(self.rig[view], crop)
            return _CropRays(_edge(outline), cell_rays(outline, cells), _cell_angle(outline, cells))

        return self._rays.get(view, (crop, cells), make)
