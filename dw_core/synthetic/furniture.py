"""What stands in rooms and hangs on their walls, each made from a random stream: sizes, colours, woods.

Everything that stands takes (rng, foot, yaw): the middle of its back or of itself on the floor, and how far
it is turned about the vertical; at yaw 0 its back is towards -y.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dw_core.synthetic.shapes import Finish, Part, box, cylinder, panel, turned
from dw_core.synthetic.surface import Float32Array

Array = npt.NDArray[np.float64]
RADIUS_M = {"table": 0.62, "chair": 0.34, "post": 0.12, "carton": 0.36}


@dataclass(frozen=True, eq=False)
class Footprint:
    """A circle on the floor that is taken: place (2,) and radius, m."""

    place: Array
    radius: float


@dataclass(frozen=True, eq=False)
class Wall:
    """A wall: `length` m from `corner` (3,) along a unit vector (3,); `inwards` (3,) is into the room."""

    corner: Array
    along: Array
    inwards: Array
    length: float

    @property
    def yaw(self) -> float:
        """How far furniture with its back to this wall is turned."""
        return float(np.arctan2(-self.inwards[0], self.inwards[1]))

    def point(self, at: float, height: float, off: float) -> Array:
        """The point (3,) at a length along the wall, a height and a distance off it, m."""
        value: Array = self.corner + at * self.along + off * self.inwards + np.array([0.0, 0.0, height])
        return value

    def board(
        self, at: float, height: float, width: float, rise: float, depth: float, finish: Finish
    ) -> Part:
        """A box on the wall whose lower left corner is at a length and a height."""
        ends = np.stack((self.point(at, height, 0.0), self.point(at + width, height + rise, depth)))
        return box(ends.min(0), ends.max(0), finish)


def walls(low: Array, high: Array) -> tuple[Wall, Wall, Wall, Wall]:
    """The four walls of a box with corners (3,), seen from inside."""
    x, y = np.eye(3)[0], np.eye(3)[1]
    dx, dy = (high - low)[:2]
    a, b = low, low + dx * x
    c, d = low + dx * x + dy * y, low + dy * y
    return Wall(a, x, y, dx), Wall(b, y, -x, dy), Wall(c, -x, -y, dx), Wall(d, -y, x, dy)


def _plain(colour: Float32Array | tuple[float, float, float], kind: str = "plaster") -> Finish:
    srgb = np.asarray(colour, np.float64)
    linear = (np.clip(srgb, 0, 1) ** 2.2).astype(np.float32)
    if kind == "wood":
        return Finish("wood", linear, linear * np.float32(0.45))
    return Finish("plaster", linear, linear)


def _wood(rng: np.random.Generator) -> Finish:
    choices = ((0.72, 0.56, 0.4), (0.5, 0.36, 0.26), (0.82, 0.72, 0.58), (0.4, 0.3, 0.24))
    finish = _plain(choices[int(rng.integers(len(choices)))], "wood")
    return replace(finish, seed=int(rng.integers(1 << 16)))


def _paint(rng: np.random.Generator) -> Finish:
    choices = (
        (0.3, 0.38, 0.46), (0.52, 0.3, 0.26), (0.34, 0.42, 0.36), (0.72, 0.63, 0.42), (0.82, 0.8, 0.76),
        (0.25, 0.25, 0.27), (0.5, 0.5, 0.52), (0.66, 0.5, 0.45), (0.38, 0.35, 0.45), (0.6, 0.57, 0.52),
    )  # fmt: skip
    return _plain(tuple(np.array(choices[int(rng.integers(len(choices)))]) * rng.uniform(0.9, 1.1)))


class _Kit:
    """Boxes in the frame of a piece of furniture, put where it stands."""

    def __init__(self, foot: Array, yaw: float) -> None:
        self.foot, self.yaw = foot, yaw
        self.parts: list[Part] = []

    def add(self, low: tuple[float, ...], high: tuple[float, ...], finish: Finish) -> None:
        """A box between two corners in the frame of the furniture."""
        a, b = np.array(low), np.array(high)
        middle = turned(((a + b) / 2)[None], self.yaw)[0] + self.foot
        self.parts.append(box(middle - (b - a) / 2, middle + (b - a) / 2, finish, self.yaw))

    def legs(self, half_x: float, y0: float, y1: float, height: float, side: float, finish: Finish) -> None:
        """Four square legs at the corners of a rectangle."""
        for x in (-half_x, half_x - side):
            for y in (y0, y1 - side):
                self.add((x, y, 0), (x + side, y + side, height), finish)


def table(rng: np.random.Generator, foot: Array, yaw: float) -> list[Part]:
    """A table with something on it, its foot at (3,) m."""
    kit, wood = _Kit(foot, yaw), _wood(rng)
    half, deep, height = rng.uniform(0.4, 0.52), rng.uniform(0.26, 0.32), rng.uniform(0.68, 0.76)
    kit.add((-half, -deep, height - 0.03), (half, deep, height), wood)
    kit.add((-half + 0.04, -deep + 0.04, height - 0.1), (half - 0.04, deep - 0.04, height - 0.03), wood)
    kit.legs(half - 0.02, -deep + 0.02, deep - 0.02, height - 0.03, 0.055, wood)
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(-0.8, 0.6) * half, rng.uniform(-0.7, 0.3) * deep
        w, h = rng.uniform(0.1, 0.22), rng.uniform(0.02, 0.16)
        kit.add((x, y, height), (x + w, y + 0.7 * w, height + h), _paint(rng))
    return kit.parts


def chair(rng: np.random.Generator, foot: Array, yaw: float) -> list[Part]:
    """A chair with a back of two rails, its foot at (3,) m."""
    kit, wood = _Kit(foot, yaw), _wood(rng)
    seat = wood if rng.random() < 0.5 else _paint(rng)
    kit.add((-0.22, -0.21, 0.43), (0.22, 0.21, 0.47), seat)
    kit.legs(0.21, -0.2, 0.2, 0.43, 0.04, wood)
    for x in (-0.21, 0.17):
        kit.add((x, -0.21, 0.47), (x + 0.04, -0.175, 0.9), wood)
    for z in (0.6, 0.78):
        kit.add((-0.17, -0.205, z), (0.17, -0.185, z + 0.1), seat)
    return kit.parts


def post(rng: np.random.Generator, foot: Array, yaw: float) -> list[Part]:
    """A round post on a plate, its foot at (3,) m."""
    finish = _paint(rng)
    height = rng.uniform(1.5, 2.3)
    return [
        cylinder(foot, 0.11, 0.02, _plain((0.2, 0.2, 0.22))),
        cylinder(foot + np.array([0, 0, 0.02]), rng.uniform(0.03, 0.055), height, finish),
    ]


def carton(rng: np.random.Generator, foot: Array, yaw: float) -> list[Part]:
    """One or two cardboard boxes on each other, with tape, its foot at (3,) m."""
    kit, z = _Kit(foot + turned(np.array([[0.0, 0.22, 0.0]]), yaw)[0], yaw), 0.0
    board = _plain((0.7 * rng.uniform(0.9, 1.05), 0.54, 0.38))
    for _ in range(int(rng.integers(1, 3))):
        half, height = rng.uniform(0.17, 0.24), rng.uniform(0.25, 0.5)
        kit.add((-half, -half * 0.8, z), (half, half * 0.8, z + height), board)
        kit.add(
            (-half - 0.001, -0.025, z + height * 0.7),
            (half + 0.001, 0.025, z + height + 0.001),
            _plain((0.8, 0.7, 0.52)),
        )
        z += height
    return kit.parts


def shelf(rng: np.random.Generator, foot: Array, yaw: float) -> list[Part]:
    """A bookshelf with books, its foot at (3,) m."""
    kit, wood = _Kit(foot, yaw), _wood(rng)
    half, deep, levels = rng.uniform(0.35, 0.48), 0.28, int(rng.integers(3, 6))
    for x in (-half, half - 0.02):
        kit.add((x, 0.0, 0.0), (x + 0.02, deep, levels * 0.36 + 0.02), wood)
    kit.add((-half, 0.0, 0.0), (half, 0.01, levels * 0.36), wood)
    for k in range(levels + 1):
        kit.add((-half, 0.0, k * 0.36), (half, deep, k * 0.36 + 0.02), wood)
    for k in range(levels):
        x = -half + 0.03
        while x < half - 0.12:
            thick, high = rng.uniform(0.02, 0.055), rng.uniform(0.18, 0.31)
            if rng.random() < 0.85:
                z = k * 0.36 + 0.02
                kit.add((x, 0.02, z), (x + thick, rng.uniform(0.17, 0.24), z + high), _paint(rng))
            x += thick + 0.003
    return kit.parts


def cupboard(rng: np.random.Generator, foot: Array, yaw: float) -> list[Part]:
    """A low cupboard with two doors, its foot at (3,) m."""
    kit = _Kit(foot, yaw)
    body = _wood(rng) if rng.random() < 0.5 else _paint(rng)
    half, height = 0.46, rng.uniform(0.7, 1.1)
    kit.add((-half, 0.0, 0.06), (half, 0.4, height), body)
    kit.add((-half + 0.03, 0.02, 0.0), (half - 0.03, 0.36, 0.06), _plain((0.2, 0.2, 0.2)))
    for x in (-half + 0.01, 0.005):
        kit.add((x, 0.4, 0.08), (x + half - 0.015, 0.415, height - 0.02), body)
    for x in (-0.05, 0.035):
        kit.add((x, 0.415, height * 0.6), (x + 0.015, 0.43, height * 0.6 + 0.12), _plain((0.6, 0.6, 0.6)))
    return kit.parts


def sofa(rng: np.random.Generator, foot: Array, yaw: float) -> list[Part]:
    """An armchair with cushions, its foot at (3,) m."""
    kit, cloth = _Kit(foot, yaw), _paint(rng)
    cloth = replace(
        cloth, kind="carpet", second=cloth.first * np.float32(0.55), seed=int(rng.integers(1 << 16))
    )
    kit.add((-0.44, 0.0, 0.1), (0.44, 0.72, 0.32), cloth)
    kit.add((-0.44, 0.0, 0.3), (0.44, 0.18, 0.84), cloth)
    for x in (-0.44, 0.3):
        kit.add((x, 0.0, 0.3), (x + 0.14, 0.7, 0.58), cloth)
    kit.add((-0.29, 0.16, 0.32), (0.29, 0.74, 0.45), cloth)
    kit.legs(0.4, 0.04, 0.68, 0.1, 0.05, _plain((0.2, 0.16, 0.14)))
    return kit.parts


def plant(rng: np.random.Generator, foot: Array, yaw: float) -> list[Part]:
    """A pot with long leaves, its foot at (3,) m."""
    middle = foot + turned(np.array([[0.0, 0.3, 0.0]]), yaw)[0]
    parts = [
        cylinder(middle, 0.13, 0.3, _paint(rng), top=0.17),
        cylinder(middle + np.array([0, 0, 0.285]), 0.15, 0.02, _plain((0.2, 0.15, 0.12))),
    ]
    for _ in range(26):
        turn, lean = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.9)
        out = np.array([np.cos(turn), np.sin(turn), 0.0])
        side = 0.035 * np.array([-np.sin(turn), np.cos(turn), 0.0])
        rise = np.array([0.0, 0.0, 1.0])
        green = _plain((0.2 * rng.uniform(0.7, 1.3), 0.4 * rng.uniform(0.7, 1.2), 0.2))
        at, reach = middle + 0.3 * rise, rng.uniform(0.25, 0.45)
        for k in range(3):  # a leaf bends outwards as it goes
            bend = lean * (0.4 + 0.7 * k)
            step = reach * (out * np.sin(bend) + rise * np.cos(bend)) / 1.5
            parts.append(panel(at - side, 2 * side, step, green))
            at = at + step
            side = side * 0.75
    return parts


def window(wall: Wall, at: float, width: float) -> list[Part]:
    """A bright window with a frame and a sill."""
    white = _plain((0.9, 0.9, 0.88))
    day = Finish("glow", np.array([1.3, 1.5, 1.75], np.float32), np.zeros(3, np.float32))
    parts = [wall.board(at, 0.95, width, 1.25, 0.01, day)]
    for x in (at - 0.05, at + width / 2 - 0.025, at + width):
        parts.append(wall.board(x, 0.9, 0.05, 1.35, 0.05, white))
    for z in (0.9, 1.75, 2.2):
        parts.append(wall.board(at - 0.05, z, width + 0.1, 0.05, 0.05, white))
    return [*parts, wall.board(at - 0.1, 0.86, width + 0.2, 0.04, 0.16, white)]


def door(rng: np.random.Generator, wall: Wall, at: float, width: float) -> list[Part]:
    """A door with a frame, two fields and a handle."""
    leaf = _wood(rng) if rng.random() < 0.5 else _plain((0.84, 0.83, 0.8))
    frame = _plain((0.88, 0.87, 0.84))
    parts = [wall.board(at, 0.0, width, 2.02, 0.03, leaf)]
    parts += [wall.board(x, 0.0, 0.08, 2.1, 0.05, frame) for x in (at - 0.08, at + width)]
    parts.append(wall.board(at - 0.08, 2.02, width + 0.16, 0.08, 0.05, frame))
    for z, rise in ((0.2, 0.7), (1.05, 0.8)):
        parts.append(wall.board(at + 0.14, z, width - 0.28, rise, 0.042, leaf))
    return [*parts, wall.board(at + width - 0.12, 1.0, 0.1, 0.025, 0.08, _plain((0.7, 0.68, 0.62)))]


def picture(rng: np.random.Generator, wall: Wall, at: float, width: float) -> list[Part]:
    """A framed picture at eye height."""
    rise, height = width * rng.uniform(0.65, 1.2), rng.uniform(1.15, 1.4)
    image = replace(_paint(rng), kind="picture", second=_paint(rng).first, scale_m=width)
    image = replace(image, first=np.sqrt(image.first) * np.float32(0.8), seed=int(rng.integers(1 << 16)))
    frame = _wood(rng) if rng.random() < 0.5 else _plain((0.12, 0.12, 0.13))
    edge = 0.035
    parts = [wall.board(at, height, width, rise, 0.012, image)]
    parts += [
        wall.board(x, height - edge, edge, rise + 2 * edge, 0.025, frame) for x in (at - edge, at + width)
    ]
    parts += [
        wall.board(at - edge, z, width + 2 * edge, edge, 0.025, frame) for z in (height - edge, height + rise)
    ]
    return parts
