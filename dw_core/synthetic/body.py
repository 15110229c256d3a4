"""People: a few parametric bodies with a skeleton, skin, eyes, hair and clothes, posed by bone rotations.

All comes from body.npz, which tools/bake_body.py makes. World frame and rest pose: metres, z up; at rest a
person stands on z = 0 in an A-pose, faces -y and has the left side towards +x. Letters: B bones, V vertices,
F faces, J = 17 joints of COCO, P = 12 pivots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array
from dw_core.skeleton import COCO17
from dw_core.synthetic.surface import Surface
from dw_core.types import Float32Array

FILE = Path(__file__).with_name("body.npz")
WEIGHT_UNIT = 65535.0
# The joints of COCO17 that are pivots of the rig, and the bones that turn about them.
PIVOTS = COCO17.joints[5:]
PIVOT_BONES = tuple(
    f"{bone}.{side}"
    for bone in ("upperarm01", "lowerarm01", "wrist", "upperleg01", "lowerleg01", "foot")
    for side in "LR"
)
ORTHONORMAL_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Part:
    """A piece of a body, as slices of its arrays: first vertex, faces (F, 3) that count from it, paint
    (V,)."""

    vertices: slice
    faces: npt.NDArray[np.int32]
    paint: npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Shape:
    """One body at rest: barefoot height in metres, vertices (V, 3), heads and tails (B, 3) of the bones."""

    name: str
    height_m: float
    vertices: Array
    heads: Array
    tails: Array


@dataclass(frozen=True, eq=False)
class Posed:
    """One body at one moment: heads (B, 3) of the bones and vertices (V, 3) in the world."""

    shape: Shape
    heads: Array
    vertices: Array


@dataclass(frozen=True, eq=False)
class Body:
    """All shapes: bones with their parents (-1 for the root), weights (V, B) of the vertices, parts by name.

    `hidden`: for each garment, which faces (F,) of the skin it hides. `coco` (17, V): how the joints of
    COCO17 are made of the vertices.
    """

    shapes: Mapping[str, Shape]
    bones: tuple[str, ...]
    parents: tuple[int, ...]
    weights: Float32Array
    parts: Mapping[str, Part]
    hidden: Mapping[str, npt.NDArray[np.bool_]]
    coco: Array

    def shape(self, name: str) -> Shape:
        """A shape by name. Raises ConfigError listing the known names."""
        if name not in self.shapes:
            raise ConfigError(f"unknown body shape '{name}'; known: {', '.join(self.shapes)}")
        return self.shapes[name]

    def bone(self, name: str) -> int:
        """Number of a bone. Raises ConfigError for a name that the rig does not have."""
        try:
            return self.bones.index(name)
        except ValueError:
            raise ConfigError(f"the body has no bone '{name}'; it has {', '.join(self.bones)}") from None

    @cached_property
    def pivot_bones(self) -> list[int]:
        """Numbers of the bones whose heads are the pivots, in their order."""
        return [self.bone(name) for name in PIVOT_BONES]

    def heads(self, shape: Shape, rotations: Array, root: Array) -> Array:
        """Where bones (B, 3) start, from global rotations (B, 3, 3) from the rest pose and the root's place
        (3,).

        Leading axes are allowed: (..., B, 3, 3) and (..., 3).
        """
        heads = np.empty((*rotations.shape[:-3], len(self.bones), 3))
        heads[..., 0, :] = root
        for k, parent in enumerate(self.parents[1:], 1):
            offset = shape.heads[k] - shape.heads[parent]
            heads[..., k, :] = heads[..., parent, :] + rotations[..., parent, :, :] @ offset
        return heads

    def posed(self, shape: Shape, rotations: Array, root: Array) -> Posed:
        """The body with global bone rotations (B, 3, 3) from the rest pose, the root bone at (3,) m.

        Linear blend skinning: Magnenat-Thalmann, Laperriere and Thalmann, "Joint-dependent local deformations
        for hand animation and object grasping", Graphics Interface 1988. Raises ConfigError for what are no
        rotations.
        """
        expected = (len(self.bones), 3, 3)
        if rotations.shape != expected:
            raise ConfigError(f"bone rotations have shape {rotations.shape}, expected {expected}")
        error = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max((1, 2))
        mirrors = (np.cross(rotations[:, 0], rotations[:, 1]) * rotations[:, 2]).sum(1) < 0
        error[mirrors] = np.inf
        if not (error < ORTHONORMAL_TOLERANCE).all():
            worst = self.bones[int(np.argmin(error < ORTHONORMAL_TOLERANCE))]
            raise ConfigError(f"the rotation of bone {worst} is none: it mirrors or is not orthonormal")
        heads = self.heads(shape, rotations, root)
        return Posed(shape, heads, self.skinned(shape, rotations, heads))

    def skinned(self, shape: Shape, rotations: Array, heads: Array, which: slice = slice(None)) -> Array:
        """Vertices (V, 3) in the world, or those of a slice, from rotations (B, 3, 3) and heads (B, 3) of
        bones."""
        # relative to the root: float32 then is exact to 0.1 micrometres wherever the person is
        moved = heads - heads[0] - np.einsum("bij,bj->bi", rotations, shape.heads)
        transforms = np.concatenate([rotations, moved[..., None]], 2).reshape(-1, 12).astype(np.float32)
        blended = (self.weights[which] @ transforms).reshape(-1, 3, 4)
        rest = shape.vertices[which].astype(np.float32)
        vertices = np.einsum("vij,vj->vi", blended[:, :, :3], rest) + blended[:, :, 3]
        out: Array = vertices.astype(np.float64) + heads[0]
        return out

    def coco_joints(self, posed: Posed) -> Array:
        """Joints (17, 3) of COCO17 in the world: weighted means of the vertices, as annotators see them."""
        return self.coco @ posed.vertices

    def pivots(self, posed: Posed) -> Array:
        """The pivots (12, 3) of shoulders, elbows, wrists, hips, knees and ankles, in the order of PIVOTS.

        They are inside of the limbs, some 1 to 4 cm from the joints of COCO; distances along a limb are
        constant.
        """
        return posed.heads[self.pivot_bones]

    def surface(self, name: str, posed: Posed, colours: Float32Array) -> Surface:
        """One part of a posed body in colours (V, 3), or (3,) for all of it."""
        part = self.parts[name]
        vertices = posed.vertices[part.vertices].astype(np.float32)
        return Surface(vertices, part.faces, np.broadcast_to(colours, vertices.shape).astype(np.float32))


@lru_cache(maxsize=1)
def load_body() -> Body:
    """The bodies that come with the project."""
    with np.load(FILE, allow_pickle=False) as file:
        data = {name: file[name] for name in file.files}
    vertices = np.cumsum(np.cumsum(data["vertices"], axis=1, dtype=np.int64), axis=0) * float(
        data["quantum_m"]
    )
    shapes = {
        str(name): Shape(str(name), float(height), *arrays)
        for name, height, *arrays in zip(
            data["shapes"], data["heights_m"], vertices, data["heads"], data["tails"], strict=True
        )
    }
    bones = tuple(str(name) for name in data["bones"])
    V = vertices.shape[1]
    weights = np.zeros((V, len(bones)), dtype=np.float32)
    np.add.at(
        weights, (np.arange(V)[:, None], data["bone_index"]), data["bone_weight"] / np.float32(WEIGHT_UNIT)
    )
    coco = np.zeros((len(COCO17), V))
    coco[data["coco_point"], data["coco_vertex"]] = data["coco_weight"]
    parts = _parts(data)
    hidden = np.unpackbits(data["hidden"], axis=1)[:, : len(parts["skin"].faces)].astype(bool)
    return Body(
        shapes, bones, tuple(data["parents"].tolist()), weights, parts,
        dict(zip(map(str, data["hiders"]), hidden, strict=True)), coco / coco.sum(1, keepdims=True),
    )  # fmt: skip


def _parts(data: Mapping[str, npt.NDArray[Any]]) -> dict[str, Part]:
    faces = np.cumsum(data["faces"], axis=0, dtype=np.int32)
    parts = {}
    for k, name in enumerate(data["parts"]):
        first, last = data["part_vertices"][k : k + 2]
        own = faces[slice(*data["part_faces"][k : k + 2])] - first
        parts[str(name)] = Part(slice(first, last), own.astype(np.int32), data["paint"][first:last])
    return parts
