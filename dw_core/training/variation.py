"""Skeletons that nobody captured: true ones bent at their joints and stretched along their bones at random.

Motion capture of a few people shows a few poses and proportions, and a learner would take them for all there
are. Skeletons are varied in the frame of the trunk: x to the left, y back, z from the middle of the hips to
that of the shoulders; B of them, J joints, metres.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from dw_core.geometry.camera import Array
from dw_core.skeleton import JointSet

SIZE = (0.75, 1.12)
BENT = 0.6  # part of the skeletons of which a joint is bent
# Standard deviation of the bend, rad, and what moves with it; of the trunk about three axes.
TRUNK_RAD = (0.5, 0.2, 0.2)
STOOPED, STOOP_RAD = 0.25, 1.3  # part of the skeletons that bend forward, and by how much at most
LIMBS: dict[str, tuple[float, tuple[str, ...]]] = {
    "shoulder": (1.0, ("elbow", "wrist")),
    "elbow": (0.6, ("wrist",)),
    "hip": (0.6, ("knee", "ankle")),
    "knee": (0.4, ("ankle",)),
}
HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "head")
HEAD_RAD = 0.4
LOWER = ("pelvis", "hip", "knee", "ankle")
# Standard deviations of lengths, as parts of them.
LENGTH, HIPS, SHOULDERS = 0.12, 0.15, 0.15
# Of a joint that sits in the trunk, and of one in the face: what one calls the hip another has a few mm
# beside it, and faces differ.
DEFINITION_M, FACE_M = 0.005, 0.012
# Of the pelvis: it tilts about the axis of the hips on its own; and where it is from there differs a little.
PELVIS_RAD, PELVIS_M = 0.35, 0.01
# It also tilts backwards with the thighs, by 13 to 38 % of their flexion in one study or another: Bohannon
# and Bass, "Research describing pelvifemoral rhythm: a systematic review", Journal of Physical Therapy
# Science, 2017.
RHYTHM = (0.0, 0.5)
# Pelvis and belly are called so at different heights: part of the skeletons, and where between the hips and
# what is called the pelvis, or the neck.
RENAMED, PELVIS, BELLY = 0.3, (0.0, 1.2), (0.2, 0.8)


def others(people: Array, joints: JointSet, rng: np.random.Generator) -> Array:
    """Somebody else (B, J, 3) at the place of each of some people (B, J, 3), in the world."""
    hips, shoulders = (_middle(people, joints, name) for name in ("hip", "shoulder"))
    left = sum(
        people[:, joints.index(f"left_{name}")] - people[:, joints.index(f"right_{name}")]
        for name in ("hip", "shoulder")
    )
    z = _unit(shoulders - hips)
    x = _unit(left - (left * z).sum(-1, keepdims=True) * z)
    frames = np.stack((x, np.cross(z, x), z), -2)
    middle = ((hips + shoulders) / 2)[:, None]
    varied = vary(np.einsum("bkc,bjc->bjk", frames, people - middle), joints, rng)
    back: Array = np.einsum("bkc,bjk->bjc", frames, varied) + middle
    return back


def vary(skeletons: Array, joints: JointSet, rng: np.random.Generator) -> Array:
    """Other skeletons (B, J, 3), one made of each, in the frames of their trunks."""
    out = skeletons * rng.uniform(*SIZE, (len(skeletons), 1, 1))
    _bend(out, joints, rng)
    _stretch(out, joints, rng)
    _redefine(out, joints, rng)
    return out


def _bend(out: Array, joints: JointSet, rng: np.random.Generator) -> None:
    B = len(out)
    upper = [j for j, name in enumerate(joints.joints) if name.split("_")[-1] not in LOWER]
    hips, shoulders = (_middle(out, joints, name) for name in ("hip", "shoulder"))
    turn = rng.normal(0, TRUNK_RAD, (B, 3))
    turn[:, 0] += (rng.random(B) < STOOPED) * rng.uniform(0, STOOP_RAD, B)
    _turn(out, upper, hips + rng.uniform(0.1, 0.6, (B, 1)) * (shoulders - hips), turn, rng)
    neck = out[:, joints.index("neck")] if "neck" in joints.joints else _middle(out, joints, "shoulder")
    _turn(out, _indices(joints, HEAD), neck.copy(), rng.normal(0, HEAD_RAD, (B, 3)), rng)
    for side in ("left", "right"):
        for name, (rad, moved) in LIMBS.items():
            pivot = out[:, joints.index(f"{side}_{name}")].copy()
            turn = rng.normal(0, rad, (B, 3))
            _turn(out, _indices(joints, [f"{side}_{one}" for one in moved]), pivot, turn, rng)
    pelvis, hips = _indices(joints, ("pelvis",)), _middle(out, joints, "hip")
    _turn(out, pelvis, hips, rng.normal(0, PELVIS_RAD, (B, 1)) * (1.0, 0.0, 0.0), rng)
    if pelvis:
        back = rng.uniform(*RHYTHM, (B, 1)) * _flexion(out, joints)[:, None]
        _rotate(out, pelvis, hips, back * (-1.0, 0.0, 0.0))


def _flexion(out: Array, joints: JointSet) -> Array:
    """By how much both thighs are raised forward (B,), in the mean, rad; 0 for those that go back."""
    thighs = _middle(out, joints, "knee") - _middle(out, joints, "hip")
    raised: Array = np.maximum(np.arctan2(-thighs[:, 1], -thighs[:, 2]), 0.0)
    return raised


def _stretch(out: Array, joints: JointSet, rng: np.random.Generator) -> None:
    """Both sides alike."""
    B = len(out)
    for name, part in (("hip", HIPS), ("shoulder", SHOULDERS)):
        moved = (name, *LIMBS[name][1])
        across = (out[:, joints.index(f"left_{name}")] - out[:, joints.index(f"right_{name}")]) / 2
        wider = across * rng.normal(0, part, (B, 1))
        for side, sign in (("left", 1), ("right", -1)):
            out[:, _indices(joints, [f"{side}_{one}" for one in moved])] += sign * wider[:, None]
    for name, (_, moved) in LIMBS.items():
        longer = rng.normal(0, LENGTH, (B, 1))
        for side in ("left", "right"):
            bone = out[:, joints.index(f"{side}_{moved[0]}")] - out[:, joints.index(f"{side}_{name}")]
            out[:, _indices(joints, [f"{side}_{one}" for one in moved])] += (bone * longer)[:, None]
    upper = [j for j, name in enumerate(joints.joints) if name.split("_")[-1] not in (*LOWER, "belly")]
    trunk = _middle(out, joints, "shoulder") - _middle(out, joints, "hip")
    out[:, upper] += (trunk * rng.normal(0, LENGTH, (B, 1)))[:, None]
    above = out[:, joints.index("nose")] - _middle(out, joints, "shoulder")
    out[:, _indices(joints, HEAD)] += (above * rng.normal(0, LENGTH, (B, 1)))[:, None]


def _redefine(out: Array, joints: JointSet, rng: np.random.Generator) -> None:
    """Other places for what is called hip, shoulder, neck, pelvis and so on, both sides alike."""
    B = len(out)
    for j, name in enumerate(joints.joints):
        if name.split("_")[-1] in ("elbow", "wrist", "knee", "ankle") or joints.side(name) == "right":
            continue
        std = PELVIS_M if name == "pelvis" else FACE_M if name in HEAD else DEFINITION_M
        shift = rng.normal(0, std, (B, 3))
        partner = joints.index(joints.partner(name))
        if partner == j:
            shift[:, 0] = 0.0  # in the middle
        else:
            out[:, partner] += shift * (-1, 1, 1)
        out[:, j] += shift
    hips = _middle(out, joints, "hip")
    for name, end, places in (("pelvis", "pelvis", PELVIS), ("belly", "neck", BELLY)):
        if name in joints.joints:
            height = rng.uniform(*places, (B, 1)) * (out[:, joints.index(end)] - hips)
            renamed = rng.random((B, 1)) < RENAMED
            out[:, joints.index(name)] = np.where(renamed, hips + height, out[:, joints.index(name)])


def _turn(out: Array, moved: list[int], pivot: Array, turn: Array, rng: np.random.Generator) -> None:
    """Turn some joints about a pivot (B, 3) by rotation vectors (B, 3), in a part of the skeletons."""
    _rotate(out, moved, pivot, turn * (rng.random((len(out), 1)) < BENT))


def _rotate(out: Array, moved: list[int], pivot: Array, turn: Array) -> None:
    """Turn some joints about a pivot (B, 3) by rotation vectors (B, 3)."""
    R = Rotation.from_rotvec(turn).as_matrix()
    out[:, moved] = np.einsum("bkc,bjc->bjk", R, out[:, moved] - pivot[:, None]) + pivot[:, None]


def _indices(joints: JointSet, names: Sequence[str]) -> list[int]:
    return [joints.index(name) for name in names if name in joints.joints]


def _unit(vectors: Array) -> Array:
    unit: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
    return unit


def _middle(out: Array, joints: JointSet, name: str) -> Array:
    middle: Array = (out[:, joints.index(f"left_{name}")] + out[:, joints.index(f"right_{name}")]) / 2
    return middle
