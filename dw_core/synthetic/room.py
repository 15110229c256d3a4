"""Rooms from a seed: floor, walls, furniture, things that stand in the way, lamps.

World frame: metres, z up, the floor at z = 0. Colours are linear RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dw_core.errors import ConfigError
from dw_core.geometry.camera import Camera
from dw_core.synthetic import furniture
from dw_core.synthetic.furniture import Footprint
from dw_core.synthetic.shading import Light
from dw_core.synthetic.shapes import Finish, Part, box, panel
from dw_core.synthetic.surface import Float32Array
from dw_core.synthetic.texture import TextureKind

Array = npt.NDArray[np.float64]
EVALUATION_SEEDS = (9001, 9002)  # never train on these
MARGIN_M = 0.9  # from the outermost camera or place of the person to the wall
MIN_HALF_M = 2.5
CLEAR_M = 0.45  # around the person's path
CAMERA_CLEAR_M = 0.6
TRIES = 60
SUN_M = 60.0


@dataclass(frozen=True, eq=False)
class Room:
    """A furnished room: what it is made of, its lamps, and the light from everywhere.

    sky (3,): irradiance from above where nothing is in the way; bounce (3,): from below; backdrop (3,): the
    light of rays that hit nothing. low, high (3,) m: the room's own box, within which everything is.
    """

    seed: int
    parts: tuple[Part, ...] = field(repr=False)  # thousands of numbers
    lights: tuple[Light, ...]
    sky: Float32Array
    bounce: Float32Array
    backdrop: Float32Array
    low: Array
    high: Array


def make_room(seed: int, cameras: Sequence[Camera], path: Array) -> Room:
    """The room of a seed around cameras and a person's path (N, 3) m.

    The walls stand behind the cameras. Nothing stands within CLEAR_M of the path, or CAMERA_CLEAR_M of a
    camera; tables, chairs, posts and boxes stand between cameras and path. The same seed, cameras
    and path give the same room. Raises ConfigError for a path without a point.
    """
    path = np.asarray(path, np.float64).reshape(-1, 3)
    if not len(path) or not np.isfinite(path).all():
        raise ConfigError(
            f"room {seed}: the path to keep clear has {len(path)} points, expected finite points"
        )
    rng = np.random.default_rng((seed, 1))
    centres = np.array([camera.centre for camera in cameras]).reshape(-1, 3)
    low, high = _extent(rng, np.concatenate((centres, path)))
    outdoors = rng.random() < 0.2 and seed not in EVALUATION_SEEDS[:1]
    style = _style(rng, outdoors)
    parts = _shell(style, low, high, outdoors)
    taken = [Footprint(point, CLEAR_M) for point in _thinned(path[:, :2], 0.15)]
    taken += [Footprint(centre[:2], CAMERA_CLEAR_M) for centre in centres]
    parts += _occluders(rng, centres, path, taken)
    windows: list[Light] = []
    if not outdoors:
        parts += _on_walls(rng, low, high, centres, windows)
        parts += _along_walls(rng, low, high, centres, path, taken)
    lights, glow = _lights(rng, low, high, outdoors)
    warm = np.array([1.0, 0.96, 0.9])
    return Room(
        seed,
        tuple(parts + glow),
        (*lights, *windows),
        (np.array([0.34, 0.42, 0.55]) if outdoors else 0.34 * warm).astype(np.float32),
        (0.62 * warm * (0.55 + 0.6 * style.floor.first + 0.2 * style.floor.first.mean())).astype(np.float32),
        np.array([0.55, 0.75, 1.05], np.float32),
        low,
        high,
    )


@dataclass(frozen=True, eq=False)
class _Style:
    floor: Finish
    wall: Finish
    accent: Finish
    skirting: Finish


def _extent(rng: np.random.Generator, points: Array) -> tuple[Array, Array]:
    """The box of the room around points (N, 3): wide enough, and higher than all of them."""
    low, high = points.min(0) - MARGIN_M, points.max(0) + MARGIN_M
    low[:2] = np.minimum(low[:2], (low[:2] + high[:2]) / 2 - MIN_HALF_M) - rng.uniform(0, 0.6, 2)
    high[:2] = np.maximum(high[:2], (low[:2] + high[:2]) / 2 + MIN_HALF_M) + rng.uniform(0, 0.6, 2)
    low[2], high[2] = 0.0, max(2.6 + rng.uniform(0, 0.5), points[:, 2].max() + 0.4)
    return low, high


def _colour(rng: np.random.Generator, *choices: tuple[float, float, float]) -> Float32Array:
    """One of the sRGB colours as linear RGB, a little lighter or darker."""
    srgb = np.array(choices[int(rng.integers(len(choices)))]) * rng.uniform(0.92, 1.05)
    return (np.clip(srgb, 0, 1) ** 2.2).astype(np.float32)


def _style(rng: np.random.Generator, outdoors: bool) -> _Style:
    """Floor and walls that go together."""
    seed = int(rng.integers(1 << 20))
    oak, walnut = (0.76, 0.62, 0.46), (0.5, 0.37, 0.27)
    floors: dict[TextureKind, tuple[Float32Array, float, float]] = {
        "planks": (_colour(rng, oak, walnut, (0.66, 0.5, 0.36)), 0.45, 0.13),
        "tiles": (_colour(rng, (0.72, 0.70, 0.66), (0.55, 0.55, 0.56), (0.68, 0.56, 0.46)), 0.55, 0.45),
        "carpet": (_colour(rng, (0.45, 0.46, 0.5), (0.5, 0.42, 0.38), (0.36, 0.42, 0.44)), 0.5, 1.0),
    }
    kind: TextureKind = "tiles" if outdoors else list(floors)[int(rng.integers(3))]
    first, darker, scale = floors[kind]
    floor = Finish(kind, first, first * np.float32(darker), scale, seed)
    paint = _colour(rng, (0.88, 0.86, 0.82), (0.8, 0.83, 0.84), (0.87, 0.82, 0.72), (0.74, 0.8, 0.76))
    bricks = Finish(
        "bricks", _colour(rng, (0.62, 0.36, 0.28), (0.66, 0.5, 0.4)), paint * np.float32(0.7), 0.24, seed
    )
    paper = Finish("wallpaper", paint, paint * np.float32(0.72), 0.22, seed)
    plain = Finish("plaster", paint, paint, 1.0, seed)
    wall = bricks if outdoors else (plain, plain, paper)[int(rng.integers(3))]
    accent = bricks if outdoors else (plain, bricks, paper)[int(rng.integers(3))]
    white = np.full(3, 0.72, np.float32)
    return _Style(floor, wall, accent, Finish("plaster", white, white))


def _shell(style: _Style, low: Array, high: Array, outdoors: bool) -> list[Part]:
    """Floor, four walls, skirting boards, ceiling."""
    size = high - low
    x, y, z = np.diag(size)
    corners = [(low, x), (low + x, y), (low + x + y, -x), (low + y, -y)]
    parts = [panel(low, x, y, style.floor)]
    for k, (corner, side) in enumerate(corners):
        parts.append(panel(corner + side, -side, z, style.accent if k == 0 else style.wall))
        if not outdoors:
            inwards = np.array([-side[1], side[0], 0.0]) / np.abs(side).sum()
            ends = np.stack((corner, corner + side + 0.015 * inwards + (0, 0, 0.09)))
            parts.append(box(ends.min(0), ends.max(0), style.skirting))
    if not outdoors:
        white = np.full(3, 0.78, np.float32)
        parts.append(panel(low + z, y, x, Finish("plaster", white, white)))
    return parts


def _lights(
    rng: np.random.Generator, low: Array, high: Array, outdoors: bool
) -> tuple[list[Light], list[Part]]:
    """The lamps, and what is seen of them."""
    middle = (low + high) / 2
    if outdoors:
        turn, rise = rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 1.1)
        to_sun = np.array([np.cos(turn) * np.cos(rise), np.sin(turn) * np.cos(rise), np.sin(rise)])
        power = np.array([1.25, 1.15, 0.98]) * SUN_M**2
        return [_light(middle + SUN_M * to_sun, -to_sun, 0.3, power)], []
    lights, glow = [], []
    tint = np.array([1.0, 0.93, 0.82]) + rng.uniform(0, 1) * np.array([-0.04, 0.02, 0.14])
    quarter = np.minimum((high - low)[:2] * 0.24, 1.6)
    places = [(-1, -1), (1, 1)] if rng.random() < 0.5 else [(-1, 0.6), (1, -0.6)]
    for place in places:
        half = rng.uniform(0.2, 0.32)
        centre = np.array([*(middle[:2] + np.array(place) * quarter), high[2] - 0.02])
        power = rng.uniform(1.4, 1.9) * (high[2] - 1.0) ** 2
        lights.append(_light(centre - (0, 0, 0.02), (0, 0, -1), half, tint * power))
        lamp = Finish("glow", (tint * 2.2).astype(np.float32), np.zeros(3, np.float32))
        ends = centre + np.array([[-half, -half, 0.0], [half, half, 0.0]])
        glow.append(panel(ends[0], np.array([0, 2 * half, 0.0]), np.array([2 * half, 0, 0.0]), lamp))
    return lights, glow


def _light(centre: Array, facing: Array | tuple[int, ...], half: float, colour: Array) -> Light:
    values = (
        np.round(np.asarray(value, np.float64), 6).astype(np.float32) for value in (centre, facing, colour)
    )
    place, way, power = values
    return Light(place, way, half, power)


def _on_walls(
    rng: np.random.Generator, low: Array, high: Array, centres: Array, windows: list[Light]
) -> list[Part]:
    """A window with daylight, a door, pictures: on the walls, one beside the other."""
    parts: list[Part] = []
    for k, wall in enumerate(furniture.walls(low, high)):
        at = rng.uniform(0.5, 1.1)
        while at < wall.length - 1.0:
            kind = (
                "window"
                if k == 1 and not windows
                else str(rng.choice(["door", "picture", "picture", "none"]))
            )
            width = {"window": 1.5, "door": 0.9, "picture": rng.uniform(0.4, 0.9), "none": 0.5}[kind]
            if at + width > wall.length - 0.2:
                break
            if kind == "window":
                parts += furniture.window(wall, at, width)
                daylight = np.array([0.8, 0.95, 1.15]) * rng.uniform(2.0, 5.0)
                windows.append(_light(wall.point(at + width / 2, 1.55, 0.18), wall.inwards, 0.4, daylight))
            elif kind == "door":
                parts += furniture.door(rng, wall, at, width)
            elif kind == "picture":
                parts += furniture.picture(rng, wall, at, width)
            at += width + rng.uniform(0.5, 1.4)
    return parts


def _along_walls(
    rng: np.random.Generator, low: Array, high: Array, centres: Array, path: Array, taken: list[Footprint]
) -> list[Part]:
    """Shelves, cupboards, plants and cartons with their backs to the walls, out of the cameras' way."""
    parts: list[Part] = []
    makers = (furniture.shelf, furniture.cupboard, furniture.plant, furniture.carton, furniture.sofa)
    walls = furniture.walls(low, high)
    for k in range(9):
        maker = makers[k % len(makers)]
        for _ in range(TRIES):
            wall = walls[int(rng.integers(4))]
            at = rng.uniform(0.6, wall.length - 0.6)
            place = wall.point(at, 0.0, 0.36)[:2]
            radius = 0.5
            if not _free(place, radius, taken) or _in_the_way(place, radius, centres, path):
                continue
            taken.append(Footprint(place, radius))
            parts += maker(rng, wall.point(at, 0.0, 0.0), wall.yaw)
            break
    return parts


def _occluders(rng: np.random.Generator, centres: Array, path: Array, taken: list[Footprint]) -> list[Part]:
    """Things between a camera and the path: each hides a part of the person from some views."""
    parts: list[Part] = []
    makers = [furniture.table, furniture.chair, furniture.post, furniture.carton, furniture.chair]
    for k in rng.permutation(len(makers))[: int(rng.integers(2, 5))]:
        for _ in range(TRIES):
            if not len(centres):
                break
            eye, goal = centres[int(rng.integers(len(centres)))], path[int(rng.integers(len(path)))]
            place = eye[:2] + rng.uniform(0.35, 0.85) * (goal - eye)[:2] + rng.normal(0, 0.2, 2)
            radius = furniture.RADIUS_M[makers[k].__name__]
            if _free(place, radius, taken):
                taken.append(Footprint(place, radius))
                parts += makers[k](rng, np.array([*place, 0.0]), rng.uniform(0, 2 * np.pi))
                break
    return parts


def _free(place: Array, radius: float, taken: Sequence[Footprint]) -> bool:
    """Whether a circle on the floor touches none that is taken."""
    return all(np.hypot(*(place - other.place)) > radius + other.radius for other in taken)


def _in_the_way(place: Array, radius: float, centres: Array, path: Array) -> bool:
    """Whether a circle stands before a camera: touches its line to the middle of the path (N, 3)."""
    middle = path[:, :2].mean(0)
    for eye in centres[:, :2]:
        line = middle - eye
        t = np.clip(((place - eye) @ line) / max(line @ line, 1e-9), 0, 1)
        if np.hypot(*(eye + t * line - place)) < radius + 0.25:
            return True
    return False


def _thinned(points: Array, step: float) -> Array:
    """One of the points (N, 2) for each square of the floor of this side."""
    _, first = np.unique(np.floor(points / step).astype(np.int64), axis=0, return_index=True)
    kept: Array = points[np.sort(first)]
    return kept
