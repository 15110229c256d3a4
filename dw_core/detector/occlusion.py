"""Which joints a person's own body hides from a camera: capsules stand for limbs, trunk and head.

The rule is that of rendered footage (`dw_core/synthetic/render.py`): a joint lies within the body, so its own
skin is always met a little before; it is hidden when the body is met more than a tolerance before it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from dw_core.geometry.camera import Array
from dw_core.skeleton import JointSet

BoolArray = npt.NDArray[np.bool_]

TOLERANCE_M = 0.12
# Radii in metres of capsules between two joints of a side.
LIMBS = {
    ("shoulder", "elbow"): 0.05,
    ("elbow", "wrist"): 0.04,
    ("hip", "knee"): 0.08,
    ("knee", "ankle"): 0.06,
}
# The trunk is wider than deep: a capsule on each side, this part of the way from shoulder and hip to the
# middle, and one across the pelvis.
TRUNK_M, PELVIS_M, TRUNK_INSET = 0.11, 0.13, 0.35
HEAD_M, NECK_M = 0.09, 0.05
SIDES = ("left", "right")


def self_occlusion(joints: JointSet, points: Array, centre: Array) -> BoolArray:
    """Which joints (..., J) at points (..., J, 3) m the body hides from a camera at `centre` (3,) m.

    Joints that are NaN are not hidden. Raises ConfigError for a joint set without shoulders, hips, elbows,
    wrists, knees or ankles.
    """
    start, end, radius = _capsules(joints, points)
    way = points - centre
    distance = np.linalg.norm(way, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        entry = entry_distance(
            centre,
            (way / distance[..., None])[..., None, :],
            start[..., None, :, :],
            end[..., None, :, :],
            radius,
        )
        hidden: BoolArray = entry.min(-1) < distance - TOLERANCE_M
    return hidden


def entry_distance(centre: Array, way: Array, start: Array, end: Array, radius: Array) -> Array:
    """Distances (...) in metres from a camera at `centre` (3,) along unit vectors `way` (..., 3) to where
    they enter capsules from `start` to `end` (..., 3) of a radius (...); infinite where they do not."""
    axis, to_start = end - start, centre - start
    long = np.maximum((axis * axis).sum(-1), 1e-12)
    # without what lies along the axis, the side of the capsule is a circle
    flat_way = way - axis * ((way * axis).sum(-1) / long)[..., None]
    flat_start = to_start - axis * ((to_start * axis).sum(-1) / long)[..., None]
    side = _first_root((flat_way * flat_way).sum(-1), flat_way, flat_start, radius)
    with np.errstate(invalid="ignore"):
        place = ((to_start + side[..., None] * way) * axis).sum(-1) / long
        side = np.where((place >= 0) & (place <= 1), side, np.inf)
    one = np.ones(())
    entry: Array = np.minimum(side, _first_root(one, way, to_start, radius))
    return np.minimum(entry, _first_root(one, way, centre - end, radius))


def _first_root(a: Array, way: Array, offset: Array, radius: Array) -> Array:
    """The least positive s with |offset + s way| = radius, where |way|^2 = a; infinite when there is none, or
    when the way begins within."""
    b, c = (way * offset).sum(-1), (offset * offset).sum(-1) - radius**2
    square = b * b - a * c
    with np.errstate(invalid="ignore", divide="ignore"):
        root = (-b - np.sqrt(square)) / a
        return np.where((square >= 0) & (a > 1e-12) & (root > 0), root, np.inf)


def _capsules(joints: JointSet, points: Array) -> tuple[Array, Array, Array]:
    """Starts and ends (..., C, 3), and radii (C,)."""

    def at(name: str) -> Array:
        place: Array = points[..., joints.index(name), :]
        return place

    chest, hips = ((at(f"left_{name}") + at(f"right_{name}")) / 2 for name in ("shoulder", "hip"))
    head = _head(joints, at)
    ends = [
        (at(f"{side}_{a}"), at(f"{side}_{b}"), radius) for side in SIDES for (a, b), radius in LIMBS.items()
    ]
    upper, lower = (
        [at(f"{side}_{name}") + TRUNK_INSET * (middle - at(f"{side}_{name}")) for side in SIDES]
        for name, middle in (("shoulder", chest), ("hip", hips))
    )
    ends += [(a, b, TRUNK_M) for a, b in zip(upper, lower, strict=True)] + [(lower[0], lower[1], PELVIS_M)]
    ends += [(chest, head, NECK_M), (head, head, HEAD_M)]
    start, end, radius = zip(*ends, strict=True)
    return np.stack(start, -2), np.stack(end, -2), np.array(radius)


def _head(joints: JointSet, at: Callable[[str], Array]) -> Array:
    """The middle of the head (..., 3)."""
    if "left_ear" in joints.joints:
        return (at("left_ear") + at("right_ear")) / 2
    if "head" in joints.joints:  # the crown
        return at("neck") + 0.65 * (at("head") - at("neck"))
    return at("nose")
