"""A room as one camera sees it: traced once and kept, since the room stands still.

Linear RGB, metres, world frame. Shapes: H W pixels, S samples per pixel, N = H W S samples in the order of
the pixels, n some of them, L lamps.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dw_core.geometry.camera import Camera
from dw_core.synthetic import optics as lens
from dw_core.synthetic.culling import CELLS, Cubes, Index, Screen
from dw_core.synthetic.optics import Optics
from dw_core.synthetic.penumbra import Blocks, Samples
from dw_core.synthetic.room import Room
from dw_core.synthetic.shading import (
    DOME_GROUPS,
    OFF_SURFACE_M,
    choices,
    dome,
    dot,
    interpolated,
    lamp_light,
    sky_open,
)
from dw_core.synthetic.surface import Float32Array, Int32Array
from dw_core.synthetic.texture import textured
from dw_core.synthetic.traced import Lit, TracedMesh, some
from dw_core.synthetic.zbuffer import NO_HIT, Hits

REACH_M = 1.0  # of ambient occlusion in the room
TOUCH_M = 0.35  # of the contact shadows of what moves
AT_ONCE = 1 << 18  # samples


class RoomView:
    """A room, the camera that sees it, and what it sees when nobody is there.

    Memory: some 100 bytes per sample, 120 MB for 640 x 480 with four samples per pixel. `number` is the
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
        self.camera_screen = Screen(np.concatenate((camera.R, camera.t[:, None]), 1), np.zeros((1, 2)))
        focus = (room.low + room.high) / 2 * (1, 1, 0.4)
        self.lamp_screens = tuple(light.screen(focus) for light in room.lights)
        self._trace()

    def _trace(self) -> None:
        count, lamps = len(self.rays), len(self.room.lights)
        hits = self.still.caster.first(self.centre, self.rays)
        self.distance, self.triangle = hits.distance, hits.triangle
        self.start = np.zeros((count, 3), np.float32)  # of shadow rays
        self.albedo = np.empty((count, 3), np.float16)
        self.glows = np.ones(count, np.bool_)
        zeros = np.zeros((2 + lamps, count), np.float32)
        self.lit = Lit(zeros[2:], zeros[0], zeros[1])
        cells = np.zeros((1 + lamps, count), np.int32)
        for first in range(0, count, AT_ONCE):
            self._trace_some(np.arange(first, min(first + AT_ONCE, count)), hits, cells)
        planes = np.append(self.still.planes(), NO_HIT)[self.triangle].astype(np.int32)
        self.blocks = Blocks(self.height, self.width, self.optics.samples, planes)
        self._shade()
        everything = np.arange(count)
        self.by_camera = _index(self.camera_screen, cells[0], everything)
        lit = [np.flatnonzero(share > 0) for share in self.lit.lamps]
        self.by_lamp = tuple(map(_index, self.lamp_screens, cells[1:], lit))
        open_ = np.flatnonzero(self.lit.sky > 0)
        rays = dome()[:, :3].reshape(DOME_GROUPS, -1, 3).astype(np.float64)
        self.cubes = Cubes(self.start[open_], self.dome_group[open_], rays, TOUCH_M)
        self.by_cube = Index(self.cubes.cells, open_, self.cubes.count)
        self.cube = np.zeros(count, np.int32)
        self.cube[open_] = self.cubes.cells
        self.cast = tuple(self.blocks.counts(samples) for samples in lit)
        self.light = self.mean(self.outgoing(everything, self.lit))

    def _trace_some(self, samples: Samples, hits: Hits, cells: Int32Array) -> None:
        """Colours, light without shadows, and cells of some samples: of the camera, space, and each lamp."""
        self.albedo[samples] = self.room.backdrop
        cells[0, samples] = self.camera_screen.cells(self.centre + self.rays[samples], 0 * samples)
        samples = samples[hits.triangle[samples] != NO_HIT]
        hits, rays = some(hits, samples), self.rays[samples]
        flat, normals = self.still.normals(hits, self.normals)
        self.albedo[samples], self.glows[samples] = self._colours(hits, -dot(flat, rays))
        points = self.centre + rays * hits.distance[:, None]
        start = points + np.float32(OFF_SURFACE_M) * flat
        self.start[samples] = start
        up = np.float32(0.5) + np.float32(0.5) * normals[:, 2]
        open_ = sky_open(self.still.caster, start, normals, self.dome_group[samples], REACH_M)
        self.lit.sky[samples], self.lit.bounce[samples] = up * open_, 1 - up
        lamp_point = self.lamp_point[samples]
        for k, light in enumerate(self.room.lights):
            self.lit.lamps[k, samples] = lamp_light(light, points, normals, lamp_point)
            cells[1 + k, samples] = self.lamp_screens[k].cells(start, lamp_point)

    def _shade(self) -> None:
        """Take from the samples what the room's own shadows take."""
        for k, light in enumerate(self.room.lights):
            share = self.lit.lamps[k]
            ask = np.flatnonzero(share > 0)
            which = self.lamp_point[ask].astype(np.int32)
            blocked = ask[self.still.caster.blocked(self.start[ask], light.points(), which, np.inf)]
            samples, part = self.blocks.seen(blocked, self.blocks.counts(ask))
            share[samples] *= part

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

    def samples_of(self, pixels: Samples) -> Samples:
        """The samples (n S,) of pixels (n,)."""
        return (pixels[:, None] * self.per_pixel + np.arange(self.per_pixel)).reshape(-1)

    def outgoing(self, samples: Samples, lit: Lit) -> Float32Array:
        """The light (n, 3) that samples of the room send to the camera."""
        albedo = self.albedo.take(samples, 0).astype(np.float32)
        light = lit.light(self.room, albedo)
        glowing = np.flatnonzero(self.glows.take(samples))
        light[glowing] = albedo[glowing]
        return light

    def mean(self, light: Float32Array) -> Float32Array:
        """The mean (n, 3) over the samples (n S, 3) of each pixel, always summed in the same order."""
        by_pixel = light.reshape(-1, self.per_pixel, 3)
        total = by_pixel[:, 0]
        for k in range(1, self.per_pixel):
            total = total + by_pixel[:, k]
        mean: Float32Array = total * np.float32(1 / self.per_pixel)
        return mean


def _index(screen: Screen, cells: Int32Array, samples: Samples) -> Index:
    """Some of the samples by their cells (N,) of a screen."""
    return Index(cells[samples], samples, len(screen.eyes) * CELLS**2)
