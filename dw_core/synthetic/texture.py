"""Procedural colours: patterns of clothes, and what floors, walls and furniture are made of.

Only sums, products, roots and integer hashes, so that every machine computes the same bytes.
All lines are widened to the footprint of a pixel and fade as they do: what is too fine to be seen becomes
its own mean and does not flicker. Linear RGB. Shapes: N samples, V vertices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from dw_core.synthetic.surface import Float32Array, Pattern

TextureKind = Literal[
    "wood", "planks", "tiles", "carpet", "plaster", "wallpaper", "bricks", "picture", "glow"
]
UInt32Array = npt.NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class Texture:
    """What a part of the room is made of: `second` (3,) is the colour of joints, stripes or grain.

    `scale_m`: size of a tile, brick, plank or repeat. `coordinates` (V, 2): metres along the surface.
    "glow" is no texture but light: the surface's colour is what it sends out.
    """

    kind: TextureKind
    scale_m: float
    second: Float32Array
    seed: int
    coordinates: Float32Array


def patterned(pattern: Pattern, base: Float32Array, rest: Float32Array) -> Float32Array:
    """Colours (N, 3) of a pattern over the colours `base` (N, 3) at rest positions (N, 3)."""
    x, y, z = (rest[:, k] / np.float32(pattern.scale_m) for k in range(3))
    if pattern.kind == "stripes":
        share = _wave(z)
    elif pattern.kind == "checks":
        share = (_wave(x + np.float32(0.25)) + _wave(z)) / np.float32(2)
    elif pattern.kind == "spots":
        dx, dy, dz = (q - np.floor(q) - np.float32(0.5) for q in (x, y, z))
        share = _edge(np.sqrt(dx * dx + dy * dy + dz * dz), 0.32, 0.06)
    else:
        share = _edge(np.float32(1) - _fractal(x + y * np.float32(0.7), z + y, pattern.seed), 0.5, 0.16)
    return _mix(base, pattern.colour, share)


def textured(
    texture: Texture, base: Float32Array, place: Float32Array, footprint: Float32Array
) -> Float32Array:
    """Colours (N, 3) over `base` (N, 3) at surface coordinates (N, 2) m, for pixels of a footprint (N,) m."""
    u, v = place[:, 0], place[:, 1]
    blur = footprint / np.float32(texture.scale_m)
    x, y = u / np.float32(texture.scale_m), v / np.float32(texture.scale_m)
    seed, second = texture.seed, texture.second
    if texture.kind == "plaster":
        value: Float32Array = (
            base * (np.float32(0.94) + np.float32(0.1) * _fractal(u * 4, v * 4, seed))[:, None]
        )
        return value
    if texture.kind == "carpet":
        thread = _faded(_noise(u * 220, v * 220, seed), 0.5, footprint * 220)
        tone = _fractal(u * 6, v * 6, seed + 1)
        return _mix(base, second, np.float32(0.35) * thread + np.float32(0.3) * tone)
    if texture.kind == "wood":
        return _mix(base, second, _grain(u, v, np.zeros_like(u), footprint, seed))
    if texture.kind == "planks":
        return _planks(base, second, x, y, blur, footprint, seed)
    if texture.kind == "tiles":
        return _tiles(base, second, x, y, blur, seed)
    if texture.kind == "bricks":
        return _bricks(base, second, x, y, blur, seed)
    if texture.kind == "wallpaper":
        band = _faded(_wave(x), 0.5, blur * 4)
        dx, dy = x * 2 - np.floor(x * 2) - np.float32(0.5), y * 2 - np.floor(y * 2) - np.float32(0.5)
        dot = _faded(_edge(np.abs(dx) + np.abs(dy), 0.22, 0.05), 0.1, blur * 4)
        return _mix(base, second, np.float32(0.5) * band + np.float32(0.35) * dot)
    if texture.kind == "picture":
        return _picture(base, second, x, y, seed)
    return base


def _planks(
    base: Float32Array,
    second: Float32Array,
    x: Float32Array,
    y: Float32Array,
    blur: Float32Array,
    footprint: Float32Array,
    seed: int,
) -> Float32Array:
    """Boards of nine times their width, each with a tone and a grain of its own, and thin gaps."""
    row = np.floor(y)
    along = x / np.float32(9) + _hash(row, row * 0, seed)
    board = np.floor(along)
    tone = np.float32(0.8) + np.float32(0.35) * _hash(board, row, seed + 1)
    gap = np.maximum(_line(y, 0.012, blur), _line(along, 0.0012, blur / np.float32(9)))
    shift = _hash(board, row, seed + 2) * np.float32(50)
    grain = _grain(x * np.float32(0.12) + shift, y * np.float32(0.12), shift, footprint, seed)
    value: Float32Array = _mix(base, second, grain) * (tone * (1 - np.float32(0.75) * gap))[:, None]
    return value


def _tiles(
    base: Float32Array, second: Float32Array, x: Float32Array, y: Float32Array, blur: Float32Array, seed: int
) -> Float32Array:
    """Square tiles with a cloudy glaze and joints of the second colour."""
    joint = np.maximum(_line(x, 0.008, blur), _line(y, 0.008, blur))
    tone = np.float32(0.93) + np.float32(0.1) * _hash(np.floor(x), np.floor(y), seed)
    tone = tone + np.float32(0.12) * (_fractal(x * 3, y * 3, seed + 1) - np.float32(0.5))
    return _mix(base * tone[:, None], second, joint)


def _bricks(
    base: Float32Array, second: Float32Array, x: Float32Array, y: Float32Array, blur: Float32Array, seed: int
) -> Float32Array:
    """Running bond: bricks a third as high as long, each of its own tone; mortar of the second colour."""
    course = np.floor(y * 3)
    along = x + np.float32(0.5) * (course - 2 * np.floor(course / 2))
    joint = np.maximum(_line(along, 0.022, blur), _line(y * 3, 0.066, blur * 3))
    tone = np.float32(0.65) + np.float32(0.5) * _hash(np.floor(along), course, seed)
    tone = tone + np.float32(0.25) * (
        _faded(_noise(x * 14, y * 14, seed + 1), 0.5, blur * 14) - np.float32(0.5)
    )
    return _mix(base * tone[:, None], second, joint)


def _picture(
    base: Float32Array, second: Float32Array, x: Float32Array, y: Float32Array, seed: int
) -> Float32Array:
    """A landscape of sorts: ridges behind each other below a sky."""
    out = base * (np.float32(0.6) + np.float32(0.5) * y)[:, None]
    for k in range(3):
        ridge = np.float32(0.62 - 0.2 * k) + np.float32(0.35) * (
            _fractal(x * 3, x * 0, seed + k) - np.float32(0.5)
        )
        share = _edge(y - ridge, 0.0, 0.02)
        out = _mix(out, second * np.float32(1 - 0.28 * k), share)
    value: Float32Array = out
    return value


def _grain(
    u: Float32Array, v: Float32Array, offset: Float32Array, footprint: Float32Array, seed: int
) -> Float32Array:
    """How dark the grain is, 0 to 1, along u (m), with rings that wander."""
    wander = _noise(u * 1.5, v * 9, seed) * np.float32(2.2)
    rings = _faded(_wave(v * 22 + wander + offset), 0.5, footprint * 40)
    fibre = _faded(_noise(u * 12, v * 260, seed + 3), 0.5, footprint * 260)
    value: Float32Array = np.float32(0.22) * rings + np.float32(0.25) * fibre + np.float32(0.08) * wander
    return value


def _mix(base: Float32Array, second: Float32Array, share: Float32Array) -> Float32Array:
    mixed: Float32Array = base + (second.astype(np.float32) - base) * share[:, None]
    return mixed


def _wave(q: Float32Array) -> Float32Array:
    """A stripe per unit with soft edges: 1 in its middle, 0 between."""
    return _edge(np.abs(q - np.floor(q) - np.float32(0.5)), 0.25, 0.08)


def _edge(distance: Float32Array, at: float, width: float) -> Float32Array:
    """1 within a distance, 0 beyond, linear over the width between."""
    value: Float32Array = np.clip((np.float32(at + width / 2) - distance) / np.float32(width), 0, 1)
    return value


def _line(q: Float32Array, half: float, blur: Float32Array) -> Float32Array:
    """How much of a pixel of size `blur` the lines at whole numbers cover, `half` wide on each side."""
    distance = np.abs(q - np.floor(q + np.float32(0.5)))
    width = np.maximum(blur, np.float32(1e-4))
    cover = np.clip((np.float32(half) + width / 2 - distance) / width, 0, 1)
    value: Float32Array = cover * np.minimum(np.float32(1), np.float32(2 * half) / width)
    return value


def _faded(share: Float32Array, mean: float, blur: Float32Array) -> Float32Array:
    """Detail one unit wide, as much of it as a pixel of this size shows; the rest is its mean."""
    contrast = np.clip(np.float32(1.5) - blur, 0, 1)
    value: Float32Array = np.float32(mean) + (share - np.float32(mean)) * contrast
    return value


def _fractal(x: Float32Array, y: Float32Array, seed: int) -> Float32Array:
    """Noise (N,) in [0, 1] of three octaves."""
    total = _noise(x, y, seed) * np.float32(4) + _noise(x * 2, y * 2, seed + 1) * np.float32(2)
    value: Float32Array = (total + _noise(x * 4, y * 4, seed + 2)) / np.float32(7)
    return value


def _noise(x: Float32Array, y: Float32Array, seed: int) -> Float32Array:
    """Value noise (N,) in [0, 1]: hashes at whole numbers, smooth between them."""
    column, row = np.floor(x), np.floor(y)
    fx, fy = x - column, y - row
    fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
    a, b = _hash(column, row, seed), _hash(column + 1, row, seed)
    c, d = _hash(column, row + 1, seed), _hash(column + 1, row + 1, seed)
    top, bottom = a + (b - a) * fx, c + (d - c) * fx
    return top + (bottom - top) * fy


def _hash(column: Float32Array, row: Float32Array, seed: int) -> Float32Array:
    """A number (N,) in [0, 1) for each pair of whole numbers, without a pattern to the eye.

    Source: the finaliser of MurmurHash3 (Appleby, 2011).
    """
    key = column.astype(np.int32).astype(np.uint32) * np.uint32(0x9E3779B1)
    key ^= row.astype(np.int32).astype(np.uint32) * np.uint32(0x85EBCA6B)
    key ^= np.uint32(seed * 0x27D4EB2F & 0xFFFFFFFF)
    key ^= key >> np.uint32(16)
    key *= np.uint32(0x85EBCA6B)
    key ^= key >> np.uint32(13)
    key *= np.uint32(0xC2B2AE35)
    key ^= key >> np.uint32(16)
    value: Float32Array = (key >> np.uint32(8)).astype(np.float32) * np.float32(1 / (1 << 24))
    return value
