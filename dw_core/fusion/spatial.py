"""Spatial fusion: every stale view's heatmaps are corrected by the maximum along the epipolar line.

Source: DenseWarper (ICLR 2026), spatial fusion, in the two forms that were published:

- `sampled_view` (the released code): fused_v = lambda H_v + (1 - lambda) max over the line in the
  FRESH view; the fresh view itself passes through.
- `all_views` (the paper's equation): fused_v = lambda H_v + (1 - lambda) / M sum over all views u of
  the maximum over the line in u, where a view's own "line" is the point itself.

The maximum along an epipolar line depends on the line alone, and lines form a one-parameter
pencil: each source map is reduced once to a profile over the pencil, which the target cells look
up. `plain_epipolar_maximum` samples every cell's own line instead: the reference.
Cells whose line misses the source's crop get 0, as in the published code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Literal, TypeVar, get_args

import cv2
import numpy as np

from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array, Camera, Rig, distort, undistort
from dw_core.geometry.crop import Crop, apply_affine
from dw_core.geometry.epipolar import (
    PlanePencil,
    cell_rays,
    essential_matrix,
    interpolation_matrix,
    outline_rays,
)
from dw_core.types import DenseSet, DenseView, Float32Array, Stage

FusionForm = Literal["sampled_view", "all_views"]
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


@dataclass(frozen=True, eq=False)
class SourcePencil:
    """Where to sample one source crop: K lines of S samples over the angles that the crop spans.

    map_x, map_y (S, K) float32 in cells; line k has the plane angle `start + k * step`. `parts`: samples
    and lines of the blocks that hold all samples within the crop.
    """

    map_x: Float32Array
    map_y: Float32Array
    start: float
    step: float
    parts: tuple[tuple[slice, slice], ...]


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
    where = pencil.cells(camera, crop, cells, planes[None, :], insides[:, None])
    where = np.where(np.isfinite(where), where, FAR_OUTSIDE).astype(np.float32)
    along, across = _even_places(NODES_INSIDE, samples), _even_places(nodes, lines)
    map_x, map_y = (along @ (where[..., axis] @ across.T) for axis in range(2))
    start = (start + math.pi) % (2 * math.pi) - math.pi  # as plane angles are
    return SourcePencil(map_x, map_y, start, length / (lines - 1), _parts(map_x, map_y, cells))


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


def _parts(map_x: Float32Array, map_y: Float32Array, cells: int) -> tuple[tuple[slice, slice], ...]:
    """Blocks of a few lines each, less what lies outside of the crop before and after."""
    inside = (map_x > -1) & (map_x < cells) & (map_y > -1) & (map_y < cells)
    parts = []
    for line in range(0, map_x.shape[1], LINES_AT_ONCE):
        lines = slice(line, line + LINES_AT_ONCE)
        samples = np.flatnonzero(inside[:, lines].any(1))
        if len(samples):
            parts.append((slice(int(samples[0]), int(samples[-1]) + 1), lines))
    return tuple(parts)


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


def line_maxima(maps: Float32Array, source: SourcePencil) -> Float32Array:
    """Profile (K, J) of source maps (h, w, J): the maximum along every line of the pencil."""
    profile = np.zeros((source.map_x.shape[1], maps.shape[-1]), dtype=np.float32)
    for part in source.parts:
        profile[part[1]] = _sample(maps, source.map_x[part], source.map_y[part]).max(0)
    return profile


def _sample(maps: Float32Array, x: Float32Array, y: Float32Array) -> Float32Array:
    """Bilinear values (..., J) of maps (h, w, J) at cells x, y (a, b); 0 outside."""
    values = cv2.remap(maps, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(values, dtype=np.float32).reshape(*x.shape, -1)


def look_up(profile: Float32Array, places: Float32Array) -> Float32Array:
    """Values (J, h, w) of a profile (K, J) at places (h, w), linear between lines, 0 outside."""
    values = _sample(profile[None], places, np.zeros_like(places))
    return np.ascontiguousarray(values.transpose(2, 0, 1))


@dataclass(frozen=True, eq=False)
class _CropRays:
    """What one view's crop looks at: rays along its edge, rays of its cells, and the smallest angle of a
    cell."""

    edge: Array
    cells: Array
    cell_angle: float


class _Newest:
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
        self._rays, self._lines, self._planes, self._places = (_Newest() for _ in range(4))

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


class _EpipolarMaxima:
    """Epipolar maxima between the views of a rig; of every view and pair it keeps what belongs to the
    newest maps."""

    def __init__(self, rig: Rig) -> None:
        self.geometry = PencilGeometry(rig)
        self._profiles, self._planar = _Newest(), _Newest()

    def of(self, target: DenseView, source: DenseView) -> Float32Array:
        """Maximum (J, n, n) of the source's raw map along the epipolar line of each target cell."""
        cells, rig = target.raw.shape[1], self.geometry.rig
        t, s = rig.index(target.view), rig.index(source.view)
        lines = self.geometry.lines(t, s, source.crop, cells)
        if lines is None:
            return np.zeros_like(target.raw)
        profile = self._profiles.get((t, s), (source.raw, lines), lambda: self._profile(s, source.raw, lines))
        return look_up(profile, self.geometry.places(t, s, target.crop, cells, lines))

    def _profile(self, view: int, raw: Float32Array, lines: SourcePencil) -> Float32Array:
        maps = self._planar.get(view, (raw,), lambda: _joints_last(raw))
        return np.ascontiguousarray(line_maxima(maps, lines)[:, : raw.shape[0]])


def _joints_last(raw: Float32Array) -> Float32Array:
    """Maps (J, n, n) as (n, n, J'), which OpenCV resamples in one pass; J' is J made up to a multiple of
    4 with empty maps, which it resamples twice as fast."""
    J, n, _ = raw.shape
    padded = np.zeros((-(-J // 4) * 4, n * n), dtype=np.float32)
    padded[:J] = raw.reshape(J, -1)
    return np.asarray(cv2.transpose(padded), dtype=np.float32).reshape(n, n, -1)


class SpatialFusion:
    """Epipolar fusion of dense sets of one rig; holds the geometry of the newest crops.

    `own_weight` is lambda, the weight of a view's own map, in [0, 1]; the code of the paper has 0.5.
    Raises ConfigError for an unknown form or weight.
    """

    def __init__(self, rig: Rig, form: FusionForm = "sampled_view", own_weight: float = 0.5) -> None:
        if form not in get_args(FusionForm):
            raise ConfigError(f"fusion form is '{form}', expected one of {', '.join(get_args(FusionForm))}")
        if not 0 <= own_weight <= 1:
            raise ConfigError(f"the own weight of spatial fusion is {own_weight:g}, expected 0 to 1")
        self.form, self.own_weight = form, own_weight
        self._maxima = _EpipolarMaxima(rig)
        self._kept = _Newest()  # maxima of pairs whose source is not fresh, for `all_views`

    @property
    def geometry_rebuilt(self) -> int:
        """How many times the geometry of an ordered pair had to be built since the start."""
        return self._maxima.geometry.rebuilt

    def apply(self, dense: DenseSet) -> DenseSet:
        """The set with every view's `tensor` (J, n, n) fused from the views' `raw`; stage SPATIAL.

        A set without its fresh view passes through `sampled_view` unchanged.
        Raises ConfigError when maps are not square or differ in shape, CalibrationError for an unknown view.
        """
        _check_maps(dense.views)
        fuse = self._sampled_view if self.form == "sampled_view" else self._all_views
        return replace(dense, views=fuse(dense), stage=Stage.SPATIAL)

    def _sampled_view(self, dense: DenseSet) -> tuple[DenseView, ...]:
        fresh = next((view for view in dense.views if view.view == dense.fresh), None)
        if fresh is None:
            return dense.views
        return tuple(
            view if view is fresh else replace(view, tensor=self._mix(view.raw, self._maxima.of(view, fresh)))
            for view in dense.views
        )

    def _all_views(self, dense: DenseSet) -> tuple[DenseView, ...]:
        fused = []
        for target in dense.views:
            total = target.raw.copy()
            for source in dense.views:
                if source is not target:
                    total += self._kept.get(
                        (target.view, source.view),
                        (target.crop, source.crop, source.raw),
                        partial(self._maxima.of, target, source),
                    )
            fused.append(replace(target, tensor=self._mix(target.raw, total / len(dense.views))))
        return tuple(fused)

    def _mix(self, own: Float32Array, other: Float32Array) -> Float32Array:
        mixed = cv2.addWeighted(_flat(own), self.own_weight, _flat(other), 1 - self.own_weight, 0.0)
        return np.asarray(mixed, dtype=np.float32).reshape(own.shape)


def _flat(maps: Float32Array) -> Float32Array:
    """Maps (J, n, n) as a matrix, which is all that OpenCV's arithmetic knows."""
    return maps.reshape(len(maps), -1)


def _check_maps(views: tuple[DenseView, ...]) -> None:
    shapes = {view.raw.shape for view in views}
    if len(shapes) > 1 or any(len(shape) != 3 or shape[1] != shape[2] or shape[1] < 8 for shape in shapes):
        raise ConfigError(
            f"heatmaps of one dense set have shapes {sorted(shapes)}, "
            "expected the same (joints, n, n) with n >= 8 for all"
        )


def plain_epipolar_maximum(
    target: Camera, target_crop: Crop, source: Camera, source_crop: Crop, maps: Float32Array
) -> Float32Array:
    """Reference: for every target cell the maximum (J, n, n) of source maps (J, n, n) along its own line.

    Each line is sampled 4 n times across the undistorted outline of the crop, every sample sent
    through the source's lens and read by bilinear interpolation.
    """
    n = maps.shape[1]
    planar = np.ascontiguousarray(maps.transpose(1, 2, 0))
    E = essential_matrix(target, source)
    baseline = source.centre - target.centre
    box = outline_rays(source, source_crop)
    middle = np.nanmean(box, (0, 1))
    reach = np.nanmax(np.linalg.norm(box - middle, axis=-1))
    along = np.linspace(-reach, reach, 4 * n)
    centres = np.stack(np.meshgrid(np.arange(float(n)), np.arange(float(n))), -1)
    rays = undistort(target, apply_affine(target_crop.to_pixels(n), centres))
    out = np.zeros(maps.shape, dtype=np.float32)
    for row in range(n):
        seen = np.concatenate((rays[row], np.ones((n, 1))), -1)
        line = seen @ E.T
        normal = line[:, :2] / np.linalg.norm(line[:, :2], axis=-1, keepdims=True)
        offset = line[:, 2] / np.linalg.norm(line[:, :2], axis=-1)
        foot = middle - (normal @ middle + offset)[:, None] * normal
        direction = np.stack((-normal[:, 1], normal[:, 0]), -1)
        points = foot[:, None] + along[:, None] * direction[:, None]
        lens = distort(source, points)[0] @ source.K[:2, :2].T + source.K[:2, 2]
        cells = apply_affine(source_crop.to_cells(n), lens)
        # points of the line on the far side of the baseline cannot be in front of both cameras
        looks = np.concatenate((points, np.ones((n, 4 * n, 1))), -1) @ source.R
        same_side = (np.cross(baseline, looks) * np.cross(baseline, seen @ target.R)[:, None]).sum(-1) > 0
        cells = np.where(same_side[..., None] & np.isfinite(cells), cells, FAR_OUTSIDE)
        x, y = cells[..., 0].astype(np.float32), cells[..., 1].astype(np.float32)
        out[:, row] = _sample(planar, x, y).max(1).T
    return out
