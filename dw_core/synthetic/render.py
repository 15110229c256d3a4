"""Images of moving surfaces in a room, and what in them is hidden.

A room that stands still is traced once per camera (`RoomView`); a frame traces the rays, shadows and contact
shadows that the moving surfaces can touch, and takes the rest from there: the same bytes either way.
Linear RGB, metres, world frame. Shapes: H W pixels, S samples per pixel, N = H W S, V vertices, F faces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dw_core.geometry.camera import Array, Camera, project, to_camera
from dw_core.synthetic import optics as lens
from dw_core.synthetic.culling import Screen, Voxels
from dw_core.synthetic.optics import Optics
from dw_core.synthetic.raycast import Caster, caster
from dw_core.synthetic.room import Room
from dw_core.synthetic.shading import (
    OFF_SURFACE_M,
    Light,
    choices,
    dot,
    face_normals,
    interpolated,
    lamp_light,
    sky_open,
)
from dw_core.synthetic.surface import Float32Array, Int32Array, Mesh, Surface, joined
from dw_core.synthetic.texture import patterned, textured
from dw_core.synthetic.zbuffer import NO_HIT, Hits
from dw_core.types import UInt8Array

STILL_REACH_M, MOVING_REACH_M = 1.0, 0.35  # of ambient occlusion
VOXEL_M = 0.1
AT_ONCE = 1 << 18  # samples
Moving = Callable[[float], Sequence[Surface]]  # seconds from the middle of the exposure to the surfaces


@dataclass(frozen=True, eq=False)
class Picture:
    """An image, BGR (H, W, 3), and whose pixels they are.

    `owner` (H, W): the number of the moving surface that covers most of a pixel in the middle of the
    exposure, NO_HIT for the room; `cover` (H, W): the part of the pixel that moving surfaces cover then.
    """

    pixels: UInt8Array
    owner: Int32Array
    cover: Float32Array


@dataclass(frozen=True, eq=False)
class Visibility:
    """What is seen of points (N,): `inside` the image, `hidden` by something else, `self_hidden`."""

    inside: npt.NDArray[np.bool_]
    hidden: npt.NDArray[np.bool_]
    self_hidden: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Lit:
    """What reaches samples (n,): of each lamp (L, n) over its colour, of the sky and of the bounce."""

    lamps: Float32Array
    sky: Float32Array
    bounce: Float32Array

    def light(self, room: Room, albedo: Float32Array) -> Float32Array:
        """The light (n, 3) that leaves samples of an albedo (n, 3)."""
        total = self.sky[:, None] * room.sky + self.bounce[:, None] * room.bounce
        for light, share in zip(room.lights, self.lamps, strict=True):
            total = total + share[:, None] * (light.colour * np.float32(1 / np.pi))
        out: Float32Array = albedo * total
        return out

    def at(self, samples: npt.NDArray[np.int64]) -> _Lit:
        return _Lit(self.lamps[:, samples], self.sky[samples], self.bounce[samples])


class _Traced:
    """A mesh that rays are cast against, with what shading needs of it."""

    def __init__(self, surfaces: Sequence[Surface]) -> None:
        self.surfaces = surfaces
        self.mesh: Mesh = joined(surfaces)
        self.caster: Caster = caster(self.mesh.vertices, self.mesh.faces)

    @cached_property
    def face_normals(self) -> Float32Array:
        return face_normals(self.mesh.vertices, self.mesh.faces)

    def normals(self, hits: Hits, rays: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Geometric and interpolated unit normals (n, 3) of hits (n,), turned to where the rays come from."""
        flat = self.face_normals[hits.triangle]
        flat = np.where(dot(flat, rays)[:, None] > 0, -flat, flat)
        normal = interpolated(self.mesh.normals, self.mesh.faces[hits.triangle], hits.u, hits.v)
        length = np.sqrt(dot(normal, normal))
        normal = normal / np.maximum(length, np.float32(1e-12))[:, None]
        return flat, np.where(dot(normal, flat)[:, None] < 0, -normal, normal)

    def albedo(self, hits: Hits) -> Float32Array:
        """Colours (n, 3) of hits (n,), with the patterns of the surfaces."""
        corners, owner = self.mesh.faces[hits.triangle], self.mesh.owner[hits.triangle]
        colours = interpolated(self.mesh.colours, corners, hits.u, hits.v)
        for k, surface in enumerate(self.surfaces):
            if surface.pattern is not None:
                mine = np.flatnonzero(owner == k)
                rest = surface.pattern.coordinates[self.mesh.source[corners[mine]]]
                rest = rest.reshape(-1, 3)
                triples = np.arange(len(rest), dtype=np.int32).reshape(-1, 3)
                place = interpolated(rest, triples, hits.u[mine], hits.v[mine])
                colours[mine] = patterned(surface.pattern, colours[mine], place)
        return colours


class RoomView:
    """A room as one camera sees it: traced once, for all frames.

    Memory: some 60 bytes per sample, 75 MB for 640 x 480 with four samples per pixel. `view` is the number of
    the camera in its rig: it and the seed choose the noise. Raises CalibrationError when the lens has no
    ray for a pixel.
    """

    def __init__(self, room: Room, camera: Camera, optics: Optics, view: int = 0, seed: int = 0) -> None:
        self.room, self.camera, self.optics, self.view, self.seed = room, camera, optics, view, seed
        self.height, self.width = lens.image_size(camera, optics)
        self.centre = camera.centre.astype(np.float32)
        self.still = _Traced([part.surface for part in room.parts])
        self.rays = lens.camera_rays(camera, optics)
        self.lamp_point, self.group = choices(self.height, self.width, optics.samples)
        self.camera_screen = Screen(np.concatenate((camera.R, camera.t[:, None]), 1))
        focus = (room.low + room.high) / 2 * (1, 1, 0.4)
        self.lamp_screens = [light.screen(focus) for light in room.lights]
        size = room.high - room.low
        shape = tuple(int(n) for n in np.ceil(size / VOXEL_M).astype(int) + 1)
        self.voxels = Voxels(room.low, (shape[0], shape[1], shape[2]), VOXEL_M)
        self._trace()

    def _trace(self) -> None:
        """All samples of the room without anybody in it."""
        count, lamps = len(self.rays), len(self.room.lights)
        self.distance = np.empty(count, np.float32)
        self.triangle = np.empty(count, np.int32)
        self.albedo = np.empty((count, 3), np.float16)
        self.glow = np.zeros(count, np.bool_)
        self.lit = _Lit(
            np.zeros((lamps, count), np.float32), np.zeros(count, np.float32), np.zeros(count, np.float32)
        )
        self.camera_cells, self.voxel_cells = np.zeros(count, np.int32), np.zeros(count, np.int32)
        self.lamp_cells = np.zeros((lamps, count), np.int32)
        for first in range(0, count, AT_ONCE):
            self._trace_some(np.arange(first, min(first + AT_ONCE, count)))
        self.light = self._resolved(np.arange(self.height * self.width))

    def _trace_some(self, samples: npt.NDArray[np.int64]) -> None:
        hits = self.still.caster.first(self.centre, self.rays[samples])
        self.distance[samples], self.triangle[samples] = hits.distance, hits.triangle
        self.albedo[samples], self.glow[samples] = self.room.backdrop, True
        self.camera_cells[samples] = self.camera_screen.cells(self.centre + self.rays[samples])
        at = np.flatnonzero(hits.triangle != NO_HIT)
        hits, samples = _some(hits, at), samples[at]
        rays = self.rays[samples]
        points = self._points(samples)
        flat, normals = self.still.normals(hits, rays)
        self.albedo[samples], self.glow[samples] = self._room_colours(hits, dot(flat, -rays))
        lit = self._lit((self.still.caster,), samples, points, flat, normals, STILL_REACH_M)
        self.lit.lamps[:, samples], self.lit.sky[samples] = lit.lamps, lit.sky
        self.lit.bounce[samples] = lit.bounce
        self.voxel_cells[samples] = self.voxels.cells(points)
        for k, (light, (screen, zoom)) in enumerate(zip(self.room.lights, self.lamp_screens, strict=True)):
            offsets = light.offsets()[self.lamp_point[samples]] * np.float32(zoom)
            self.lamp_cells[k, samples] = screen.cells(points, offsets)

    def _room_colours(self, hits: Hits, cosine: Float32Array) -> tuple[Float32Array, npt.NDArray[np.bool_]]:
        """Colours (n, 3) of hits on the room, and whether they are light themselves (n,)."""
        mesh, parts = self.still.mesh, self.room.parts
        corners, owner = mesh.faces[hits.triangle], mesh.owner[hits.triangle]
        colours = interpolated(mesh.colours, corners, hits.u, hits.v)
        sample = self.optics.binning / (self.camera.K[0, 0] * self.optics.samples)
        footprint = hits.distance * np.float32(sample) / np.sqrt(np.maximum(cosine, np.float32(0.02)))
        glow = np.zeros(len(owner), np.bool_)
        order = np.argsort(owner, kind="stable")
        starts = np.searchsorted(owner[order], np.arange(len(parts) + 1))
        for k, part in enumerate(parts):
            mine = order[starts[k] : starts[k + 1]]
            if len(mine):
                rest = part.texture.coordinates[mesh.source[corners[mine]]].reshape(-1, 2)
                triples = np.arange(len(rest), dtype=np.int32).reshape(-1, 3)
                place = interpolated(rest, triples, hits.u[mine], hits.v[mine])
                colours[mine] = textured(part.texture, colours[mine], place, footprint[mine])
                glow[mine] = part.texture.kind == "glow"
        return colours, glow

    def _lit(
        self,
        casters: tuple[Caster, ...],
        samples: npt.NDArray[np.int64],
        points: Float32Array,
        flat: Float32Array,
        normals: Float32Array,
        reach: float,
    ) -> _Lit:
        """What reaches points (n, 3) of samples with geometric and interpolated normals (n, 3)."""
        start = points + np.float32(OFF_SURFACE_M) * flat
        lamps = np.empty((len(self.room.lights), len(samples)), np.float32)
        for k, light in enumerate(self.room.lights):
            lamps[k] = lamp_light(light, points, normals, self.lamp_point[samples])
            for blocker in casters:
                self._shade(lamps[k], blocker, light, start, samples)
        up = np.float32(0.5) + np.float32(0.5) * normals[:, 2]
        return _Lit(lamps, up * sky_open(casters, start, normals, self.group[samples], reach), 1 - up)

    def _shade(
        self,
        share: Float32Array,
        blocker: Caster,
        light: Light,
        start: Float32Array,
        samples: npt.NDArray[np.int64],
    ) -> None:
        """Set the light (n,) of one lamp to zero where its ray is blocked."""
        ask = np.flatnonzero(share > 0)
        which = self.lamp_point[samples[ask]].astype(np.int32)
        share[ask[blocker.blocked(start[ask], light.points(), which, np.inf)]] = 0

    def _points(self, samples: npt.NDArray[np.int64]) -> Float32Array:
        return self.centre + self.rays[samples] * self.distance[samples, None]

    def _resolved(self, pixels: npt.NDArray[np.int64]) -> Float32Array:
        """The light (n, 3) of some pixels of the empty room."""
        samples = self._samples(pixels)
        return _mean(self._outgoing(samples, self.lit.at(samples)), self.optics.samples**2)

    def _samples(self, pixels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        per_pixel = self.optics.samples**2
        return (pixels[:, None] * per_pixel + np.arange(per_pixel)).reshape(-1)

    def _outgoing(self, samples: npt.NDArray[np.int64], lit: _Lit) -> Float32Array:
        albedo = self.albedo[samples].astype(np.float32)
        return np.where(self.glow[samples, None], albedo, lit.light(self.room, albedo))

    def moment(
        self, surfaces: Sequence[Surface], rows: slice, everywhere: bool = False
    ) -> tuple[Float32Array, Int32Array]:
        """The light (rows, W, 3) of one moment, and the moving surfaces (rows, W, S) that are seen.

        `everywhere`: ask all samples instead of those that the surfaces can touch: the same, slower.
        """
        moving = _Traced(surfaces)
        first, last = (row * self.width * self.optics.samples**2 for row in (rows.start, rows.stop))
        hits, seen, lit = self._touched(moving, first, last, everywhere)
        light = self.light[rows.start * self.width : rows.stop * self.width].copy()
        owner = np.full(last - first, NO_HIT, np.int32)
        changed = np.unique(np.concatenate((seen, lit)) // self.optics.samples**2)
        if len(changed):
            samples = self._samples(changed)
            now = self._shadowed(moving, samples, everywhere)
            out = self._outgoing(samples, now)
            where = np.searchsorted(samples, seen)
            out[where] = self._moving_light(moving, seen, hits)
            light[changed - rows.start * self.width] = _mean(out, self.optics.samples**2)
            owner[seen - first] = moving.mesh.owner[hits.triangle]
        shape = (rows.stop - rows.start, self.width)
        return light.reshape(*shape, 3), owner.reshape(*shape, -1)

    def _touched(
        self, moving: _Traced, first: int, last: int, everywhere: bool
    ) -> tuple[Hits, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """First hits on the moving mesh, their samples, and the samples whose light it may change."""
        mesh = moving.mesh
        here = slice(first, last)
        if everywhere:
            candidates = np.arange(first, last)
        else:
            marks = self.camera_screen.covered(mesh.vertices, mesh.faces)
            candidates = np.flatnonzero(marks[self.camera_cells[here]]) + first
        hits = moving.caster.first(self.centre, self.rays[candidates])
        nearer = np.flatnonzero(hits.distance < self.distance[candidates])
        self._marks = [screen.covered(mesh.vertices, mesh.faces) for screen, _ in self.lamp_screens]
        self._near = self.voxels.near(mesh.vertices, mesh.faces, MOVING_REACH_M)
        if everywhere:
            return _some(hits, nearer), candidates[nearer], candidates
        lit = self._near[self.voxel_cells[here]] & (self.lit.sky[here] > 0)
        for k, mark in enumerate(self._marks):
            lit |= mark[self.lamp_cells[k, here]] & (self.lit.lamps[k, here] > 0)
        return _some(hits, nearer), candidates[nearer], np.flatnonzero(lit) + first

    def _shadowed(self, moving: _Traced, samples: npt.NDArray[np.int64], everywhere: bool) -> _Lit:
        """What reaches the room's own samples when the moving mesh stands in the way."""
        lit = self.lit.at(samples)
        normal = self.still.face_normals[self.triangle[samples]]
        normal = np.where(dot(normal, self.rays[samples])[:, None] > 0, -normal, normal)
        finite = np.isfinite(self.distance[samples])
        start = np.zeros((len(samples), 3), np.float32)
        start[finite] = self._points(samples[finite]) + np.float32(OFF_SURFACE_M) * normal[finite]
        for k, light in enumerate(self.room.lights):
            ask = lit.lamps[k] > 0
            if not everywhere:
                ask &= self._marks[k][self.lamp_cells[k, samples]]
            at = np.flatnonzero(ask)
            share = lit.lamps[k, at]
            self._shade(share, moving.caster, light, start[at], samples[at])
            lit.lamps[k, at] = share
        ask = lit.sky > 0
        if not everywhere:
            ask &= self._near[self.voxel_cells[samples]]
        at = np.flatnonzero(ask)
        group = self.group[samples[at]]
        lit.sky[at] *= sky_open((moving.caster,), start[at], normal[at], group, MOVING_REACH_M)
        return lit

    def _moving_light(self, moving: _Traced, samples: npt.NDArray[np.int64], hits: Hits) -> Float32Array:
        """The light (n, 3) that leaves the moving mesh at its hits."""
        rays = self.rays[samples]
        flat, normals = moving.normals(hits, rays)
        points = self.centre + rays * hits.distance[:, None]
        casters = (moving.caster, self.still.caster)
        lit = self._lit(casters, samples, points, flat, normals, MOVING_REACH_M)
        return lit.light(self.room, moving.albedo(hits))


def render_frame(moving: Moving, view: RoomView, frame: int = 0) -> Picture:
    """The image of one frame: moving surfaces in the room of a view.

    `moving`: the surfaces at a time, s from the middle of the exposure; it is asked for each moment of a
    motion blur and each band of a rolling shutter, and once for neither. `frame` chooses the noise.
    """
    height, width, samples = view.height, view.width, view.optics.samples**2
    light = np.zeros((height, width, 3), np.float32)
    owners = np.full((height, width, samples), NO_HIT, np.int32)
    for rows, times in lens.exposures(view.optics, height):
        for k, time in enumerate(times):
            some, seen = view.moment(moving(time), rows)
            light[rows] += some
            if k == len(times) // 2:
                owners[rows] = seen
        light[rows] /= np.float32(len(times))
    rng = lens.noise_stream(view.seed, view.view, frame)
    cover = (owners != NO_HIT).mean(-1, dtype=np.float32)
    return Picture(lens.develop(light, view.optics, rng), owners.max(-1), cover)


def visible(
    points: Array, view: RoomView, moving: Sequence[Surface], own: Sequence[int], tolerance_m: float = 0.12
) -> Visibility:
    """What of a body's points (N, 3) m the camera sees.

    `own`: the numbers of the moving surfaces that are the body's. A point is `hidden` when anything else lies
    on the way to it, and `self_hidden` when the body's own surface is met more than `tolerance_m` before it:
    a joint lies within the body, so its own skin is always met a little before.
    """
    pixels = project(view.camera, points)
    rows, columns = view.camera.height, view.camera.width
    with np.errstate(invalid="ignore"):
        inside = ((pixels >= -0.5) & (pixels < (columns - 0.5, rows - 0.5))).all(-1)
    way = points - view.camera.centre
    distance = np.sqrt((way * way).sum(-1))
    rays = (way / distance[:, None]).astype(np.float32)
    mine = [moving[k] for k in own]
    others = [surface for k, surface in enumerate(moving) if k not in set(own)]
    body, rest = (_Traced(surfaces).caster.first(view.centre, rays) for surfaces in (mine, others))
    still = view.still.caster.first(view.centre, rays)
    hidden = np.minimum(rest.distance, still.distance) < distance
    in_front = to_camera(view.camera, points)[:, 2] > 0
    return Visibility(inside & in_front, hidden, body.distance < distance - tolerance_m)


def _some(hits: Hits, at: npt.NDArray[np.int64]) -> Hits:
    return Hits(hits.triangle[at], hits.distance[at], hits.u[at], hits.v[at])


def _mean(light: Float32Array, per_pixel: int) -> Float32Array:
    """The mean (n, 3) over the samples of each pixel, always summed in the same order."""
    by_pixel = light.reshape(-1, per_pixel, 3)
    total = by_pixel[:, 0]
    for k in range(1, per_pixel):
        total = total + by_pixel[:, k]
    return total * np.float32(1 / per_pixel)
