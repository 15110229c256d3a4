"""Images of moving surfaces in a room, and what of a body is hidden in them.

Only the rays, shadows and contact shadows that the moving surfaces can touch are traced; the rest of the
image is the empty room's. Asking all samples gives the same bytes.
Linear RGB, metres, world frame. Shapes: H W pixels, S samples per pixel, N points, n samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dw_core.geometry.camera import Array, project, to_camera
from dw_core.synthetic import optics as lens
from dw_core.synthetic.culling import balls
from dw_core.synthetic.penumbra import Samples
from dw_core.synthetic.shading import OFF_SURFACE_M, lamp_light, sky_open
from dw_core.synthetic.surface import Float32Array, Int32Array, Surface
from dw_core.synthetic.traced import Lit, TracedMesh, some
from dw_core.synthetic.view import TOUCH_M, RoomView
from dw_core.synthetic.zbuffer import NO_HIT, Hits
from dw_core.types import UInt8Array

Moving = Callable[[float], Sequence[Surface]]  # seconds from the middle of the exposure to the surfaces


@dataclass(frozen=True, eq=False)
class Picture:
    """An image, BGR (H, W, 3), and whose pixels they are.

    `owner` (H, W): the number of a moving surface that is seen in the pixel in the middle of the exposure,
    NO_HIT for the room alone; `cover` (H, W): the part of the pixel that moving surfaces cover then.
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


def render_frame(moving: Moving, view: RoomView, frame: int = 0, everywhere: bool = False) -> Picture:
    """The image of one frame: moving surfaces in the room of a view.

    `moving`: the surfaces at a time, s from the middle of the exposure; it is asked for each moment of a
    motion blur and each band of a rolling shutter, and once for neither. `frame` chooses the noise.
    `everywhere`: all samples are asked, not only those that the surfaces can touch; the reference.
    """
    height, width = view.height, view.width
    light = np.zeros((height * width, 3), np.float32)
    owners = np.full((height * width, view.per_pixel), NO_HIT, np.int32)
    for rows, times in lens.exposures(view.optics, height):
        pixels = slice(rows.start * width, rows.stop * width)
        for k, time in enumerate(times):
            moment = _Moment(TracedMesh(moving(time)), view, pixels, everywhere)
            light[pixels] += moment.light
            if k == len(times) // 2:
                owners[pixels] = moment.owners
        if len(times) > 1:
            light[pixels] *= np.float32(1 / len(times))
    image = lens.develop(
        light.reshape(height, width, 3), view.optics, lens.noise_stream(view.seed, view.number, frame)
    )
    owner, cover = owners[:, 0], (owners != NO_HIT).sum(-1) * np.float32(1 / view.per_pixel)
    for k in range(1, view.per_pixel):
        owner = np.maximum(owner, owners[:, k])
    return Picture(image, owner.reshape(height, width), cover.reshape(height, width).astype(np.float32))


class _Moment:
    """One moment of some pixels: their light (n, 3) and the moving surfaces that their samples see (n, S)."""

    def __init__(self, moving: TracedMesh, view: RoomView, pixels: slice, everywhere: bool) -> None:
        self._moving, self._view, self._everywhere = moving, view, everywhere
        self._first, self._last = pixels.start * view.per_pixel, pixels.stop * view.per_pixel
        self._balls = balls(moving.mesh.vertices, moving.mesh.faces)
        seen, hits = self._seen()
        lamps = [self._shadowed(k) for k in range(len(view.room.lights))]
        sky = self._contact()
        changed = np.zeros(pixels.stop - pixels.start, np.bool_)
        for samples in (seen, sky[0], *(dark for dark, _ in lamps)):
            changed[(samples - self._first) // view.per_pixel] = True
        at = np.flatnonzero(changed) + pixels.start
        samples = view.samples_of(at)
        slot = np.full(self._last - self._first, -1, np.int64)  # where a sample is among those that changed
        slot[samples - self._first] = np.arange(len(samples))
        lit = view.lit.at(samples)
        for share, (dark, left) in zip((lit.sky, *lit.lamps), (sky, *lamps), strict=True):
            share[slot[dark - self._first]] *= left
        out = view.outgoing(samples, lit)
        out[slot[seen - self._first]] = self._moving_light(seen, hits)
        self.light: Float32Array = view.light[pixels].copy()
        self.light[at - pixels.start] = view.mean(out)
        self.owners: Int32Array = np.full(self._last - self._first, NO_HIT, np.int32)
        self.owners[seen - self._first] = moving.mesh.owner[hits.triangle]
        self.owners = self.owners.reshape(-1, view.per_pixel)

    def _here(self, samples: Samples) -> Samples:
        whole = self._first == 0 and self._last == len(self._view.rays)
        return samples if whole else samples[(samples >= self._first) & (samples < self._last)]

    def _seen(self) -> tuple[Samples, Hits]:
        """The samples that see the moving mesh, and where."""
        view = self._view
        marks = None if self._everywhere else view.camera_screen.covered(self._balls)
        ask = self._here(view.by_camera.within(marks))
        hits = self._moving.caster.first(view.centre, view.rays[ask])
        nearer = np.flatnonzero(hits.distance < view.distance[ask])
        return ask[nearer], some(hits, nearer)

    def _shadowed(self, lamp: int) -> tuple[Samples, Float32Array]:
        """The samples of the room that lose light of a lamp to the moving mesh, and the part that is left."""
        view = self._view
        marks = None if self._everywhere else view.lamp_screens[lamp].covered(self._balls)
        ask = self._here(view.by_lamp[lamp].within(marks))
        which, points = view.lamp_point[ask].astype(np.int32), view.room.lights[lamp].points()
        blocked = ask[self._moving.caster.blocked(view.start[ask], points, which, np.inf)]
        samples, part = view.blocks.seen(blocked, view.cast[lamp])
        here = (samples >= self._first) & (samples < self._last)
        return samples[here], part[here]

    def _contact(self) -> tuple[Samples, Float32Array]:
        """The samples of the room that see less sky for the moving mesh, and the part that is left."""
        view = self._view
        marks = None if self._everywhere else view.cubes.near(self._balls)
        ask = self._here(view.by_cube.within(marks))
        start, normals = view.start[ask], view.normals[view.triangle[ask]]
        open_ = sky_open(self._moving.caster, start, normals, view.dome_group[ask], TOUCH_M)
        less = np.flatnonzero(open_ < 1)
        return ask[less], open_[less]

    def _moving_light(self, samples: Samples, hits: Hits) -> Float32Array:
        """The light (n, 3) that leaves the moving mesh where samples see it."""
        view, moving = self._view, self._moving
        rays, lamp_point = view.rays[samples], view.lamp_point[samples]
        flat, normals = moving.normals(hits, moving.facing(view.centre))
        points = view.centre + rays * hits.distance[:, None]
        start = points + np.float32(OFF_SURFACE_M) * flat
        lamps = np.empty((len(view.room.lights), len(samples)), np.float32)
        for k, light in enumerate(view.room.lights):
            lamps[k] = lamp_light(light, points, normals, lamp_point)
            for blocker in (moving.caster, view.still.caster):
                ask = np.flatnonzero(lamps[k] > 0)
                which = lamp_point[ask].astype(np.int32)
                lamps[k, ask[blocker.blocked(start[ask], light.points(), which, np.inf)]] = 0
        up = np.float32(0.5) + np.float32(0.5) * normals[:, 2]
        open_ = sky_open(moving.caster, start, normals, view.dome_group[samples], TOUCH_M)
        return Lit(lamps, up * open_, 1 - up).light(view.room, moving.albedo(hits))


def visible(
    points: Array, view: RoomView, moving: Sequence[Surface], own: Sequence[int], tolerance_m: float = 0.12
) -> Visibility:
    """What of a body's points (N, 3) m the camera sees.

    `own`: the numbers of the moving surfaces that are the body's. A point is `hidden` when anything else lies
    on the way to it, and `self_hidden` when the body's own surface is met more than `tolerance_m` before it:
    a joint lies within the body, so its own skin is always met a little before.
    """
    pixels = project(view.camera, points)
    with np.errstate(invalid="ignore"):
        size = np.array([view.camera.width, view.camera.height])
        inside = ((pixels >= -0.5) & (pixels < size - 0.5)).all(-1) & (
            to_camera(view.camera, points)[:, 2] > 0
        )
    way = points - view.camera.centre
    distance = np.sqrt((way * way).sum(-1))
    rays = (way / distance[:, None]).astype(np.float32)
    body = TracedMesh([moving[k] for k in own]).caster.first(view.centre, rays)
    others = TracedMesh([surface for k, surface in enumerate(moving) if k not in own])
    hidden = view.still.caster.first(view.centre, rays).distance < distance
    hidden |= others.caster.first(view.centre, rays).distance < distance
    return Visibility(inside, hidden, body.distance < distance - tolerance_m)
