"""What bake_body.py cuts a person into: skin, eyes, garments, hair, and what they are painted.

A part is cut on the mean of all shapes by a scalar field on the vertices: kept where it is positive, with new
vertices on the edges where it changes sign, so that hems are straight. All lengths are metres, z up, x to the
person's left, the person faces -y.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

# Numbers of `paint`; dw_core/synthetic/body.py has the colours.
SKIN, LIPS, BROWS, WHITE, IRIS, PUPIL, CLOTH, HAIR = range(8)
# Skin this far inside of a garment's hem is hidden.
MARGIN = 0.02
# The ground is this far below bare feet; the visible edge of the sole is this far above them.
SOLE_M, SOLE_TOP_M = 0.010, 0.016
# Hair ends this far above (m) the eyes' centre, by the angle from the face (degrees) around the head.
HAIRLINE = (
    (0, 0.074), (35, 0.067), (55, 0.052), (70, 0.030), (80, 0.012), (87, 0.012), (96, 0.040), (112, 0.030),
    (130, -0.035), (150, -0.062), (180, -0.070),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Person:
    """All shapes at rest: vertices (S, V, 3), weights (V, B), names and heads (S, B, 3) of bones, faces of
    groups."""

    rest: np.ndarray
    weights: np.ndarray
    names: list[str]
    heads: np.ndarray
    groups: dict[str, np.ndarray]

    @cached_property
    def mean(self) -> np.ndarray:
        return self.rest.mean(0)

    def joint(self, name: str) -> np.ndarray:
        """Head (3,) of a bone in the mean shape."""
        return self.heads[:, self.names.index(name)].mean(0)

    def share(self, *stems: str) -> np.ndarray:
        """The part (V,) of each vertex's weight that bones of these names have."""
        return self.weights[:, [k for k, name in enumerate(self.names) if name.startswith(stems)]].sum(1)

    @cached_property
    def arm(self) -> np.ndarray:
        return self.share("upperarm", "lowerarm", "wrist", "finger", "metacarpal") > 0.5

    @cached_property
    def eye(self) -> np.ndarray:
        """Centre (3,) of the left eye, mean shape."""
        return self.mean[np.unique(self.groups["helper-l-eye"])].mean(0)


@dataclass(frozen=True, eq=False)
class Placed:
    """vertices (S, N, 3), weights (N, B), faces (F, 3) into them."""

    vertices: np.ndarray
    weights: np.ndarray
    faces: np.ndarray


@dataclass(frozen=True, eq=False)
class Part:
    """A piece of surface: its vertices are (1 - mix) a + mix b of the person's, faces (F, 3) count them.

    `offset` gives how far (V,) each of the person's vertices is moved along its normal, `after` what is done
    to the vertices (V, 3) of one shape after that.
    """

    name: str
    a: np.ndarray
    b: np.ndarray
    mix: np.ndarray
    faces: np.ndarray
    source: np.ndarray
    offset: np.ndarray | None = None
    after: Callable[[np.ndarray], np.ndarray] = field(default=lambda vertices: vertices)

    @classmethod
    def whole(cls, name: str, faces: np.ndarray, extra: np.ndarray | None = None) -> Part:
        """Faces as they are, and `extra` vertices that none of them has."""
        used = np.unique(faces if extra is None else np.concatenate([faces.ravel(), extra]))
        return cls(name, used, used, np.zeros(len(used)), np.searchsorted(used, faces), faces)

    @property
    def used(self) -> np.ndarray:
        return self.a

    def place(self, person: Person) -> Placed:
        shapes = []
        for rest in person.rest:
            if self.offset is not None:
                rest = self.after(rest + normals(rest, self.source) * self.offset[:, None])
            shapes.append(self._mixed(rest))
        return Placed(np.stack(shapes), self._mixed(person.weights), self.faces)

    def _mixed(self, values: np.ndarray) -> np.ndarray:
        return (1 - self.mix)[:, None] * values[self.a] + self.mix[:, None] * values[self.b]


def normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3), means of the faces' weighted by area; zero where there is no face."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    own = np.cross(b - a, c - a)
    out = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(out, faces[:, k], own)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)


def cut(name: str, faces: np.ndarray, value: np.ndarray, offset: np.ndarray | None = None) -> Part:
    """The part of the faces where value (V,) is positive."""
    corners: dict[tuple[int, int, float], int] = {}
    out: list[list[int]] = []

    def corner(a: int, b: int) -> int:
        a, b = min(a, b), max(a, b)
        mix = 0.0 if a == b else float(value[a] / (value[a] - value[b]))
        return corners.setdefault((a, b, mix), len(corners))

    for face in faces[(value[faces] > 0).any(1)].tolist():
        polygon = []
        for a, b in zip(face, face[1:] + face[:1], strict=True):
            if value[a] > 0:
                polygon.append(corner(a, a))
            if (value[a] > 0) != (value[b] > 0):
                polygon.append(corner(a, b))
        out += [[polygon[0], *polygon[k : k + 2]] for k in range(1, len(polygon) - 1)]
    a, b, mix = (np.array(column) for column in zip(*corners, strict=True))
    return Part(name, a, b, mix, np.array(out), faces, offset)


def ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below low, 1 above high, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def coverage(person: Person) -> dict[str, np.ndarray]:
    """For each garment, how far (V,) every vertex of the person is inside of its hems."""
    p, far = person.mean * (1, 1, 1), np.ones(len(person.mean))
    z, one_side = p[:, 2], np.abs(p[:, 0])
    shoulder, elbow = person.joint("upperarm01.L"), person.joint("lowerarm01.L")
    hip, knee, ankle = (person.joint(name)[2] for name in ("upperleg01.L", "lowerleg01.L", "foot.L"))
    neck = person.joint("neck01")
    along = (elbow - shoulder) / np.linalg.norm(elbow - shoulder)
    out_on_arm = (np.stack([one_side, p[:, 1], z], 1) - shoulder) @ along
    sleeve = np.where(person.arm, 0.55 * np.linalg.norm(elbow - shoulder) - out_on_arm, far)
    long_sleeve = np.where(person.share("wrist", "finger", "metacarpal") > 0.5, -far, far)
    collar = np.where(person.arm, far, neck[2] + 0.005 + 0.42 * (p[:, 1] - neck[1]) - z)
    hem = np.where(person.arm, far, z - (hip + 0.025))
    waist = np.where(person.arm, -far, hip + 0.070 - z)
    return {
        "tee": np.minimum.reduce([collar, hem, sleeve]),
        "shirt": np.minimum.reduce([collar, hem, long_sleeve]),
        "trousers": np.minimum(waist, z - (ankle - 0.015)),
        "shorts": np.minimum(waist, z - (knee + 0.07)),
        "skirt": np.minimum(waist, z - (knee + 0.04)),
        "shoes": np.where(person.arm, -far, ankle + 0.01 - z),
    }


def garments(person: Person) -> list[Part]:
    """Clothes cut from the helper meshes."""
    inside, z = coverage(person), person.mean[:, 2]
    hip, knee, ankle = (person.joint(name)[2] for name in ("upperleg01.L", "lowerleg01.L", "foot.L"))
    tights, skirt = person.groups["helper-tights"], person.groups["helper-skirt"]
    loose = np.where(person.arm, 0.0, 0.014 * (1 - ramp(z, hip - 0.02, hip + 0.2)))
    wide_sleeve = np.where(person.arm, 0.010 * (1 - ramp(inside["tee"], 0.0, 0.12)), 0.0)
    leg = 0.011 + 0.009 * (1 - ramp(z, ankle, hip - 0.1))
    return [
        cut("tee", tights, inside["tee"], 0.014 + loose + wide_sleeve),
        cut("shirt", tights, inside["shirt"], 0.013 + loose),
        cut("trousers", tights, inside["trousers"], leg),
        cut("shorts", tights, inside["shorts"], 0.011 + 0.016 * (1 - ramp(z, knee, hip))),
        # close to the body where the shirt covers it
        cut("skirt", skirt, inside["skirt"], 0.002 + 0.018 * (1 - ramp(z, hip - 0.03, hip + 0.05))),
        _shoe(cut("shoes", tights, np.minimum(inside["shoes"], z - SOLE_TOP_M), np.full(len(z), 0.008))),
        _shoe(cut("soles", tights, np.minimum(inside["shoes"], SOLE_TOP_M - z), np.full(len(z), 0.010))),
    ]


def _shoe(part: Part) -> Part:
    """A piece of the feet of the tights, flattened where it is low, which makes a sole."""

    def flatten(vertices: np.ndarray) -> np.ndarray:
        z = vertices[:, 2]
        return np.column_stack([vertices[:, :2], z - ramp(-z, -0.020, -0.004) * (z + SOLE_M)])

    return replace(part, after=flatten)


def skin_hidden(person: Person) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Which of the body's faces (F,) each garment hides, and which are not always hidden."""
    faces = person.groups["body"]
    inside = coverage(person)
    # a skirt is open below
    inside["skirt"] = inside["skirt"] - 0.12
    hidden = {name: (value[faces] > MARGIN).all(1) for name, value in inside.items()}
    tops = hidden["tee"] & hidden["shirt"]
    bottoms = hidden["trousers"] & hidden["shorts"] & hidden["skirt"]
    return hidden, ~(tops | bottoms | hidden["shoes"])


def _scalp(person: Person) -> np.ndarray:
    """How far (V,) vertices are above the hairline."""
    middle = np.array([0.0, person.joint("head")[1], person.eye[2]])
    x, y, z = (person.mean - middle).T
    angle = np.degrees(np.arctan2(np.abs(x), -y))
    line = np.interp(angle, *np.array(HAIRLINE).T)
    return np.where(person.share("head", "neck") > 0.9, z - line, -1.0)


def hair(person: Person) -> list[Part]:
    """Caps on the scalp, thin at the hairline."""
    scalp, faces = _scalp(person), person.groups["body"]
    inside = ramp(scalp, 0.0, 0.035)
    return [
        cut("cropped", faces, scalp, 0.002 + 0.003 * inside),
        cut("short", faces, scalp, 0.002 + 0.013 * inside),
    ]


@dataclass(frozen=True, eq=False)
class Tail:
    """A pony tail: rings around a path that leaves the back of the head and hangs down."""

    name: str = "tail"
    # of each ring: back and up (m) from where the tail leaves the head, and its radius
    rings = (
        (-0.02, 0.0, 0.016), (0.008, 0.008, 0.018), (0.032, -0.004, 0.026), (0.042, -0.04, 0.031),
        (0.040, -0.09, 0.031), (0.034, -0.15, 0.026), (0.028, -0.20, 0.017), (0.026, -0.235, 0.005),
    )  # fmt: skip
    sides = 12

    def place(self, person: Person) -> Placed:
        high = person.eye[2] + 0.045
        head = np.where((person.share("head") > 0.9) & (np.abs(person.mean[:, 2] - high) < 0.03))[0]
        back = head[np.argsort(-person.mean[head, 1], kind="stable")[:12]]
        path = np.array([(0.0, back_m, up_m) for back_m, up_m, _ in self.rings])
        across = np.gradient(path, axis=0) @ np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        turn = np.linspace(0, 2 * np.pi, self.sides, endpoint=False)[None, :, None]
        radius = np.array([r for *_, r in self.rings])[:, None, None]
        around = path[:, None] + radius * (
            np.cos(turn) * np.array([1.0, 0, 0]) + np.sin(turn) * across[:, None]
        )
        vertices = around.reshape(-1, 3) + person.rest[:, back].mean(1)[:, None]
        weights = np.zeros((vertices.shape[1], len(person.names)))
        hangs = np.repeat(ramp(path[:, 2], 0.0, -0.25) * 0.5, self.sides)
        weights[:, person.names.index("head")] = 1 - hangs
        weights[:, person.names.index("neck01")] = hangs
        return Placed(vertices, weights, self._faces())

    def _faces(self) -> np.ndarray:
        ring, side = np.mgrid[: len(self.rings) - 1, : self.sides]
        a, b = ring * self.sides + side, ring * self.sides + (side + 1) % self.sides
        c, d = b + self.sides, a + self.sides
        return np.concatenate([np.stack(f, -1).reshape(-1, 3) for f in ((a, b, c), (a, c, d))])


def paint(person: Person, part: Part | Tail, count: int, lips: np.ndarray) -> np.ndarray:
    """What colour (N,) each vertex of a part has, by number."""
    if part.name == "skin":
        return _face(person, lips)[part.a]
    if part.name == "eyes":
        return _eyes(person)[part.a]
    return np.full(count, HAIR if part.name in ("cropped", "short", "tail") else CLOTH, dtype=np.uint8)


def _face(person: Person, lips: np.ndarray) -> np.ndarray:
    p, eye = person.mean, person.eye
    out = np.full(len(p), SKIN, dtype=np.uint8)
    out[: len(lips)][lips & (person.share("head")[: len(lips)] > 0.5)] = LIPS
    side, up = np.abs(p[:, 0]) - eye[0], p[:, 2] - eye[2]
    arch = 0.019 + 0.004 * np.cos(side / 0.02)
    brow = (np.abs(up - arch) < 0.0036) & (side > -0.022) & (side < 0.028) & (p[:, 1] < eye[1] + 0.03)
    out[brow & (person.share("head") > 0.5)] = BROWS
    return out


def _eyes(person: Person) -> np.ndarray:
    out = np.full(len(person.mean), SKIN, dtype=np.uint8)
    for name in ("helper-l-eye", "helper-r-eye"):
        which = np.unique(person.groups[name])
        p = person.mean[which]
        p = p - (p.min(0) + p.max(0)) / 2
        out_of_axis = np.linalg.norm(p[:, [0, 2]], axis=1) / np.abs(p[:, 1]).max()
        front = p[:, 1] < 0
        out[which] = np.where(
            front & (out_of_axis < 0.2), PUPIL, np.where(front & (out_of_axis < 0.47), IRIS, WHITE)
        )
    return out
