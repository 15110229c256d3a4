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
from dw_core.synthetic.traced import Lit, TracedMesh, some, traced
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
    owner = np.full(height * width, NO_HIT, np.int32)
    cover = np.zeros(height * width, np.float32)
    for rows, times in lens.exposures(view.optics, height):
        pixels = slice(rows.start * width, rows.stop * width)
        for k, time in enumerate(times):
            moment = _Moment(traced(tuple(moving(time))), view, pixels, everywhere)
            moment.add_to(light[pixels])
            if k == len(times) // 2:
                moment.own(owner, cover)
        if len(times) > 1:
            light[pixels] *= np.float32(1 / len(times))
    noise = lens.noise_stream(view.seed, view.number, frame)
    image = lens.develop(light.reshape(height, width, 3), view.optics, noise)
    return Picture(image, owner.reshape(height, width), cover.reshape(height, width))


class _Moment:
    """One moment of some pixels."""

    def __init__(self, moving: TracedMesh, view: RoomView, pixels: slice, everywhere: bool) -> None:
        self._moving, self._view, self._pixels, self._everywhere = moving, view, pixels, everywhere
        self._first, self._last = pixels.start * view.per_pixel, pixels.stop * view.per_pixel
        self._balls = balls(moving.mesh.vertices, moving.mesh.faces)
        self._seen, self._hits = self._met()

    def own(self, owner: Int32Array, cover: Float32Array) -> None:
        """Fill in whose the pixels (H W,) are, and how much of each."""
        of_sample = self._moving.mesh.owner.take(self._hits.triangle)
        pixel, within = np.divmod(self._seen, self._view.per_pixel)
        for k in range(self._view.per_pixel):  # a pixel comes once
            mine = np.flatnonzero(within == k)
            at = pixel.take(mine)
            owner[at] = np.maximum(owner.take(at), of_sample.take(mine))
            cover[at] += np.float32(1 / self._view.per_pixel)

    def add_to(self, light: Float32Array) -> None:
        """Add the light of this moment to that of its pixels (n, 3)."""
        view = self._view
        lamps = [self._shadowed(k) for k in range(len(view.room.lights))]
        sky = self._contact()
        changed = np.zeros(len(light), np.bool_)
        for samples in (self._seen, sky[0], *(dark for dark, _ in lamps)):
            changed[(samples - self._first) // view.per_pixel] = True
        at = np.flatnonzero(changed)
        samples = view.samples_of(at + self._pixels.start)
        slot = np.empty(self._last - self._first, np.int32)  # where a sample is among those that changed
        slot[samples - self._first] = np.arange(len(samples), dtype=np.int32)
        lit = view.lit.at(samples)
        for share, (dark, left) in zip((lit.sky, *lit.lamps), (sky, *lamps), strict=True):
            share[slot.take(dark - self._first)] *= left
        out = view.outgoing(samples, lit)
        out[slot.take(self._seen - self._first)] = self._moving_light(self._seen, self._hits)
        total = light.take(at, 0) + view.mean(out)
        light += view.light[self._pixels]
        light[at] = total

    def _here(self, samples: Samples) -> Samples:
        whole = self._first == 0 and self._last == len(self._view.rays)
        return samples if whole else samples[(samples >= self._first) & (samples < self._last)]

    def _met(self) -> tuple[Samples, Hits]:
        """The samples that see the moving mesh, and where."""
        view = self._view
        marks = None if self._everywhere else view.camera_screen.covered(self._balls)
        ask = self._here(view.by_camera.within(marks))
        hits = self._moving.caster.first(view.centre, view.rays.take(ask, 0))
        nearer = np.flatnonzero(hits.distance < view.distance.take(ask))
        return ask[nearer], some(hits, nearer)

    def _shadowed(self, lamp: int) -> tuple[Samples, Float32Array]:
        """The samples of the room that lose light of a lamp to the moving mesh, and the part that is left."""
        view = self._view
        marks = None if self._everywhere else view.lamp_screens[lamp].covered(self._balls)
        ask = self._here(view.by_lamp[lamp].within(marks))
        which, points = view.lamp_point.take(ask), view.room.lights[lamp].points()
        blocked = ask[self._moving.caster.blocked(view.start.take(ask, 0), points, which, np.inf)]
        samples, part = view.blocks.seen(blocked, view.cast[lamp])
        here = (samples >= self._first) & (samples < self._last)
        return samples[here], part[here]

    def _contact(self) -> tuple[Samples, Float32Array]:
        """The samples of the room that see less sky for the moving mesh, and the part that is left."""
        view = self._view
        near = None if self._everywhere else view.cubes.near(self._balls)
        ask = self._here(view.by_cube.within(None if near is None else near != 0))
        looks = None if near is None else near.take(view.cube.take(ask))
        start, normals = view.start.take(ask, 0), view.normals.take(view.triangle.take(ask), 0)
        open_ = sky_open(self._moving.caster, start, normals, view.dome_group.take(ask), TOUCH_M, looks)
        less = np.flatnonzero(open_ < 1)
        return ask[less], open_[less]

    def _moving_light(self, samples: Samples, hits: Hits) -> Float32Array:
        """The light (n, 3) that leaves the moving mesh where samples see it."""
        view, moving = self._view, self._moving
        rays, lamp_point = view.rays.take(samples, 0), view.lamp_point.take(samples)
        flat, normals = moving.normals(hits, moving.facing(view.centre))
        points = view.centre + rays * hits.distance[:, None]
        start = points + np.float32(OFF_SURFACE_M) * flat
        lamps = np.empty((len(view.room.lights), len(samples)), np.float32)
        for share, light in zip(lamps, view.room.lights, strict=True):
            share[:] = lamp_light(light, points, normals, lamp_point)
            for blocker in (moving.caster, view.still.caster):
                ask = np.flatnonzero(share > 0)
                from_, which = start.take(ask, 0), lamp_point.take(ask)
                share[ask[blocker.blocked(from_, light.points(), which, np.inf)]] = 0
        up = np.float32(0.5) + np.float32(0.5) * normals[:, 2]
        open_ = sky_open(moving.caster, start, normals, view.dome_group.take(samples), TOUCH_M)
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
    body = traced(tuple(moving[k] for k in own)).caster.first(view.centre, rays)
    others = traced(tuple(surface for k, surface in enumerate(moving) if k not in own))
    hidden = view.still.caster.first(view.centre, rays).distance < distance
    hidden |= others.caster.first(view.centre, rays).distance < distance
    return Visibility(inside, hidden, body.distance < distance - tolerance_m)
