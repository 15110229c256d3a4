"""A room as one camera sees it: traced once and kept, since the room stands still.

Linear RGB, metres, world frame. Shapes: H W pixels, S samples per pixel, N = H W S samples in the order of
the pixels, n some of them, L lamps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dw_core.geometry.camera import Camera
from dw_core.synthetic import optics as lens
from dw_core.synthetic.culling import Index, Screen, Voxels
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

Samples = npt.NDArray[np.int64]
REACH_M = 1.0  # of ambient occlusion in the room
AT_ONCE = 1 << 18  # samples


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
            sum_ = self.sky * room.sky[channel] + self.bounce * room.bounce[channel]
            for light, share in zip(room.lights, self.lamps, strict=True):
                sum_ += share * light.colour[channel]
            total[:, channel] = albedo[:, channel] * sum_
        return total

    def at(self, samples: Samples) -> Lit:
        """A copy for some samples (n,)."""
        return Lit(self.lamps[:, samples], self.sky[samples], self.bounce[samples])


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
        return np.where(away[:, None], -normals, normals)

    def normals(self, hits: Hits, facing: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Unit normals (n, 3) of hits (n,): of the faces, `facing` (F, 3) the eye, and interpolated."""
        flat = facing[hits.triangle]
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
                place = self.place(surface.pattern.coordinates, hits, mine)
                colours[mine] = patterned(surface.pattern, colours[mine], place)
        return colours

    def place(self, coordinates: Float32Array, hits: Hits, mine: Samples) -> Float32Array:
        """Coordinates (n, k) of some hits on one surface, of those of its vertices (V, k)."""
        corners = self.mesh.source[self.mesh.faces[hits.triangle[mine]]]
        return interpolated(coordinates, corners, hits.u[mine], hits.v[mine])


class RoomView:
    """A room, the camera that sees it, and what it sees when nobody is there.

    Memory: some 70 bytes per sample, 90 MB for 640 x 480 with four samples per pixel. `number` is the
    camera's in its rig: it and the seed choose the noise. Raises CalibrationError when the lens has no ray
    for a pixel.
    """

    def __init__(self, room: Room, camera: Camera, optics: Optics, number: int = 0, seed: int = 0) -> None:
        self.room, self.camera, self.optics, self.number, self.seed = room, camera, optics, number, seed
        self.height, self.width = lens.image_size(camera, optics)
        self.per_pixel = optics.samples**2
        self.centre = camera.centre.astype(np.float32)
        self.still = TracedMesh([part.surface for part in room.parts])
        self.normals = self.still.facing(self.centre)
        self.rays = lens.camera_rays(camera, optics)
        self.lamp_point, self.dome_group = choices(self.height, self.width, optics.samples)
        self.camera_screen = Screen(np.concatenate((camera.R, camera.t[:, None]), 1))
        focus = (room.low + room.high) / 2 * (1, 1, 0.4)
        self.lamp_screens = tuple(light.screen(focus) for light in room.lights)
        self.voxels = Voxels.of(room.low, room.high)
        self._trace()

    def _trace(self) -> None:
        count, lamps = len(self.rays), len(self.room.lights)
        self.hits = self.still.caster.first(self.centre, self.rays)
        self.albedo = np.empty((count, 3), np.float16)
        self.glows = np.ones(count, np.bool_)
        self.lit = Lit(
            np.zeros((lamps, count), np.float32), np.zeros(count, np.float32), np.zeros(count, np.float32)
        )
        cells = np.zeros((2 + lamps, count), np.int32)
        for first in range(0, count, AT_ONCE):
            samples = np.arange(first, min(first + AT_ONCE, count))
            self._trace_some(samples)
            self._cells_of(samples, cells)
        everything = np.arange(count)
        self.by_camera = Index(cells[0], everything)
        self.by_voxel = Index(cells[1], np.flatnonzero(self.lit.sky > 0))
        self.by_lamp = tuple(Index(cells[2 + k], np.flatnonzero(self.lit.lamps[k] > 0)) for k in range(lamps))
        self.light = self.mean(self.outgoing(everything, self.lit))

    def _trace_some(self, samples: Samples) -> None:
        """Colour and light of some samples of the empty room."""
        self.albedo[samples] = self.room.backdrop
        samples = samples[self.hits.triangle[samples] != NO_HIT]
        hits, rays = some(self.hits, samples), self.rays[samples]
        flat, normals = self.still.normals(hits, self.normals)
        self.albedo[samples], self.glows[samples] = self._colours(hits, -dot(flat, rays))
        points = self.points(samples)
        start = points + np.float32(OFF_SURFACE_M) * flat
        for k, light in enumerate(self.room.lights):
            share = lamp_light(light, points, normals, self.lamp_point[samples])
            shade(share, (self.still.caster,), light, start, self.lamp_point[samples])
            self.lit.lamps[k, samples] = share
        up = np.float32(0.5) + np.float32(0.5) * normals[:, 2]
        open_ = sky_open(self.still.caster, start, normals, self.dome_group[samples], REACH_M)
        self.lit.sky[samples], self.lit.bounce[samples] = up * open_, 1 - up

    def _cells_of(self, samples: Samples, cells: Int32Array) -> None:
        """The cells of some samples: of the camera, of space, and of each lamp."""
        cells[0, samples] = self.camera_screen.cells(self.centre + self.rays[samples])
        samples = samples[self.hits.triangle[samples] != NO_HIT]
        points = self.points(samples)
        cells[1, samples] = self.voxels.cells(points)
        for k, (light, (screen, scale)) in enumerate(zip(self.room.lights, self.lamp_screens, strict=True)):
            offsets = light.offsets()[self.lamp_point[samples]] * np.float32(scale)
            cells[2 + k, samples] = screen.cells(points, offsets)

    def _colours(self, hits: Hits, cosine: Float32Array) -> tuple[Float32Array, npt.NDArray[np.bool_]]:
        """Colours (n, 3) of hits on the room, and whether they are lights themselves (n,)."""
        mesh, parts = self.still.mesh, self.room.parts
        colours = interpolated(mesh.colours, mesh.faces[hits.triangle], hits.u, hits.v)
        sample = self.optics.binning / (self.camera.K[0, 0] * self.optics.samples)
        # between the footprint across the slope and along it, where a square filter has to compromise
        footprint = hits.distance * np.float32(sample) / np.sqrt(np.maximum(cosine, np.float32(0.02)))
        owner = mesh.owner[hits.triangle]
        glows = np.zeros(len(owner), np.bool_)
        order = np.argsort(owner, kind="stable")
        starts = np.searchsorted(owner[order], np.arange(len(parts) + 1))
        for k, part in enumerate(parts):
            mine = order[starts[k] : starts[k + 1]]
            place = self.still.place(part.texture.coordinates, hits, mine)
            colours[mine] = textured(part.texture, colours[mine], place, footprint[mine])
            glows[mine] = part.texture.kind == "glow"
        return colours, glows

    def points(self, samples: Samples) -> Float32Array:
        """Where samples (n,) meet the room: (n, 3)."""
        points: Float32Array = self.centre + self.rays[samples] * self.hits.distance[samples, None]
        return points

    def samples_of(self, pixels: Samples) -> Samples:
        """The samples (n S,) of pixels (n,)."""
        return (pixels[:, None] * self.per_pixel + np.arange(self.per_pixel)).reshape(-1)

    def outgoing(self, samples: Samples, lit: Lit) -> Float32Array:
        """The light (n, 3) that samples of the room send to the camera."""
        albedo = self.albedo[samples].astype(np.float32)
        return np.where(self.glows[samples, None], albedo, lit.light(self.room, albedo))

    def mean(self, light: Float32Array) -> Float32Array:
        """The mean (n, 3) over the samples (n S, 3) of each pixel, always summed in the same order."""
        by_pixel = light.reshape(-1, self.per_pixel, 3)
        total = by_pixel[:, 0]
        for k in range(1, self.per_pixel):
            total = total + by_pixel[:, k]
        mean: Float32Array = total * np.float32(1 / self.per_pixel)
        return mean


def shade(
    share: Float32Array,
    casters: Sequence[Caster],
    light: Light,
    start: Float32Array,
    lamp_point: npt.NDArray[np.int8],
) -> None:
    """Set what points (n, 3) get of a lamp, (n,), to zero where something is in the way."""
    for blocker in casters:
        ask = np.flatnonzero(share > 0)
        which = lamp_point[ask].astype(np.int32)
        share[ask[blocker.blocked(start[ask], light.points(), which, np.inf)]] = 0


def some(hits: Hits, at: Samples) -> Hits:
    """Some of the hits."""
    return Hits(hits.triangle[at], hits.distance[at], hits.u[at], hits.v[at])
