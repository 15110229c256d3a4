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

from dataclasses import replace
from functools import partial
from typing import Literal, get_args

import cv2
import numpy as np

from dw_core.errors import ConfigError
from dw_core.fusion.pencil import FAR_OUTSIDE, Box, Newest, PencilGeometry, SourcePencil
from dw_core.geometry.camera import Camera, Rig, distort, undistort
from dw_core.geometry.crop import Crop, apply_affine
from dw_core.geometry.epipolar import essential_matrix, outline_rays
from dw_core.heatmaps.decode import MIN_HEIGHT
from dw_core.types import DenseSet, DenseView, Float32Array, Stage

FusionForm = Literal["sampled_view", "all_views"]

# Below this a map is not looked at along lines: a tenth of what is taken for a joint.
FAINT = 0.1 * MIN_HEIGHT
# As fine as OpenCV's own interpolation: a place is then off by at most 1/32 line.
STEPS_PER_LINE = 16


def line_maxima(maps: Float32Array, source: SourcePencil, box: Box) -> Float32Array:
    """Profile (K, J) of source maps (h, w, J): the maximum along every line of the pencil, looked for where
    it meets a box of cells."""
    profile = np.zeros((source.map_x.shape[1], maps.shape[-1]), dtype=np.float32)
    for part in source.parts(box):
        profile[part[1]] = _sample(maps, source.map_x[part], source.map_y[part]).max(0)
    return profile


def _sample(maps: Float32Array, x: Float32Array, y: Float32Array) -> Float32Array:
    """Bilinear values (..., J) of maps (h, w, J) at cells x, y (a, b); 0 outside."""
    values = cv2.remap(maps, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(values, dtype=np.float32).reshape(*x.shape, -1)


def look_up(profile: Float32Array, places: Float32Array) -> Float32Array:
    """Values (J, h, w) of a profile (K, J) at places (h, w), linear between lines, 0 outside.

    Places count in sixteenths of a line: the profile is refined to that, and then only read.
    """
    K, J = profile.shape
    lines = np.zeros((J, K + 2), dtype=np.float32)  # one that is empty on either side
    lines[:, 1:-1] = profile.T
    fine = cv2.resize(lines, (STEPS_PER_LINE * (K + 2), J), interpolation=cv2.INTER_LINEAR)
    index = (STEPS_PER_LINE * (places + 1.5)).astype(np.intp)
    values = np.empty((J, *places.shape), dtype=np.float32)
    return np.take(fine, index, axis=1, out=values, mode="clip")


class _EpipolarMaxima:
    """Epipolar maxima between the views of a rig; of every view and pair it keeps what belongs to the
    newest maps."""

    def __init__(self, rig: Rig) -> None:
        self.geometry = PencilGeometry(rig)
        self._profiles, self._planar = Newest(), Newest()

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
        maps, box = self._planar.get(view, (raw,), lambda: (_joints_last(raw), lit(raw)))
        return np.ascontiguousarray(line_maxima(maps, lines, box)[:, : raw.shape[0]])


def lit(raw: Float32Array) -> Box:
    """The box of all cells of maps (J, n, n) that are not FAINT; at least one cell."""
    highest = raw.max(0)
    rows, columns = (np.flatnonzero(highest.max(axis) >= FAINT) for axis in (1, 0))
    if not len(rows):
        return Box(0, 0, 1, 1)
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


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
        self._kept = Newest()  # maxima of pairs whose source is not fresh, for `all_views`

    @property
    def geometry_rebuilt(self) -> int:
        """How many times the geometry of an ordered pair had to be built since the start."""
        return self._maxima.geometry.rebuilt

    def apply(self, dense: DenseSet) -> DenseSet:
        """The set with every view's `tensor` (J, n, n) fused from the views' `raw`, in `sampled_view` when it
        is first asked for; stage SPATIAL.

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
            view if view is fresh else DenseView(view.seen, partial(self._led, view, fresh))
            for view in dense.views
        )

    def _led(self, view: DenseView, fresh: DenseView) -> Float32Array:
        return self._mix(view.raw, self._maxima.of(view, fresh))

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
            fused.append(DenseView(target.seen, self._mix(target.raw, total / len(dense.views))))
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
