"""Motion capture as frames of the body's segments: what a take says of a person, whoever the person is.

A frame (3, 3) has a segment's axes as columns, in the world (z up). Of the pelvis, spine, neck, head and
collars: x to the person's left, y back, z up when the person stands. Of the limbs: z along the segment away
from the trunk, x the axis about which the joint at its upper end flexes (the elbow's for both parts of an
arm, the knee's for both of a leg; a hand's curls the fingers), right-handed about it. Of feet: x to the left,
y up, z forward when the sole is flat. The trunk and feet of a take that has rotations are as its rest pose
says, in which a person stands upright with the arms out to the sides. Shapes: T times, S segments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from dw_core.data.acclaim import RATE_HZ, ROOT, bone_frames, load_skeleton, load_take, skeleton_of
from dw_core.data.bvh import Bvh, load_bvh
from dw_core.data.motion import Motion, load_motion
from dw_core.errors import MotionError
from dw_core.geometry.camera import Array
from dw_core.skeleton import H36M17

TRUNK = ("pelvis", "lower_spine", "upper_spine", "thorax", "head")
SIDES = ("left", "right")
ON_A_SIDE = ("collar", "upper_arm", "forearm", "hand", "thigh", "shank", "foot")
SEGMENTS = TRUNK + tuple(f"{side}_{part}" for side in SIDES for part in ON_A_SIDE)
LEFT, UP = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])

# People's limbs turn at up to some 25 rad/s; a thrown ball's forearm is the exception.
FASTEST_RAD_S = np.deg2rad(1500.0)
# World x, y, z (z up) from a file's (y up).
_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
_ACCLAIM_TRUNK = (ROOT, "lowerback", "upperback", "thorax", "head")
_ACCLAIM_SIDE = ("clavicle", "humerus", "radius", "hand", "femur", "tibia", "foot")
_BVH_TRUNK = ("hip", "abdomen", "chest", "chest", "head")
_BVH_SIDE = ("Collar", "Shldr", "ForeArm", "Hand", "Thigh", "Shin", "Foot")
# People in CMU's takes seem to look down by 17 degrees (median of 17 takes of walking and more); most of it
# is how the head was marked.
_ACCLAIM_HEAD_UP_DEG = 10.0
# The joint at the lower end of each of a BVH's limbs; a foot has an end only.
_BVH_NEXT = {"upper_arm": "ForeArm", "forearm": "Hand", "hand": "Mid1", "thigh": "Shin", "shank": "Foot"}

# Where joints alone tell of no bend, a limb's flexion axis is that of an arm or leg swung from here
# (direction and axis in the frame of the thorax or pelvis, left side): opposite directions are out of reach.
_HANGING = np.array([0.0, 0.0, -1.0])
_ARM_START = np.array([0.5, -0.5, -0.7])
_LEG_START = np.array([0.0, -0.5, -0.85])
# Weight of that axis beside sin^2 of the bend, and over how long the bend's own axis is averaged.
_STRAIGHT_WEIGHT, _AXIS_AVERAGE_S = 0.01, 0.06
# A foot is flat while its ankle is this close (in legs) above where it is lowest, and in line with the
# shank's front from the second on.
_FLAT_BELOW, _HANGS_ABOVE = 0.02, 0.15


@dataclass(frozen=True, eq=False)
class Capture:
    """A take: frames (T, S, 3, 3) of SEGMENTS, middle (T, 3) between the hip joints, length of a leg from hip
    to ankle in the same unit, frames per second."""

    name: str
    frames: Array
    hips: Array
    leg: float
    rate_hz: float

    def frame(self, segment: str) -> Array:
        """Frames (T, 3, 3) of one segment."""
        own: Array = self.frames[:, SEGMENTS.index(segment)]
        return own


def load_capture(path: Path) -> Capture:
    """The take of one file: .amc with its .asf, .bvh (with the joints of CMU's), or joints in an .npz.

    Raises MotionError that names the file.
    """
    suffix = path.suffix.lower()
    if suffix == ".amc":
        return _steady(_from_acclaim(path))
    if suffix == ".bvh":
        return _steady(_from_bvh(path, load_bvh(path)))
    return capture_of(load_motion(path))


def _steady(capture: Capture) -> Capture:
    """The take with no segment turning faster than FASTEST_RAD_S. Takes hold jumps, mostly of the roll of a
    straight limb, which nobody makes."""
    return replace(capture, frames=steady(capture.frames, capture.rate_hz))


def steady(rotations: Array, rate_hz: float) -> Array:
    """Rotations (T, N, 3, 3) that follow those given, no faster than FASTEST_RAD_S."""
    limit = FASTEST_RAD_S / rate_hz
    out: Array = rotations.copy()
    steps = Rotation.from_matrix(out[:-1].swapaxes(-1, -2) @ out[1:]).magnitude()
    for k in np.flatnonzero((steps > limit).any(0)):
        own = out[:, k]
        for t in range(1, len(own)):
            turn = Rotation.from_matrix(own[t - 1].T @ own[t]).as_rotvec()
            angle = float(np.linalg.norm(turn))
            if angle > limit:
                own[t] = own[t - 1] @ Rotation.from_rotvec(turn * (limit / angle)).as_matrix()
    return out


def frame_of(x: Array, z: Array) -> Array:
    """Frames (..., 3, 3) whose z is along z (..., 3) and whose x is as near to x (..., 3) as can be."""
    z = _unit(z)
    x = _unit(x - (x * z).sum(-1, keepdims=True) * z)
    return np.stack(np.broadcast_arrays(x, np.cross(z, x), z), -1)


def _unit(vectors: Array) -> Array:
    out: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return out


def flat(direction: Array) -> Array:
    """A vector (..., 3) without its height."""
    return np.asarray(direction * (1.0, 1.0, 0.0))


def _lift(height: Array, leg: float) -> Array:
    """0 for a foot on the ground, 1 for one that hangs in the air, from the height (T,) of its ankle above
    where it is lowest and the length of a leg."""
    return np.clip((height / leg - _FLAT_BELOW) / (_HANGS_ABOVE - _FLAT_BELOW), 0.0, 1.0)


def _length(*segments: Array) -> float:
    """Mean length over both sides of segments (..., 3) given for each side."""
    return float(sum(np.linalg.norm(segment, axis=-1).mean() for segment in segments) / len(SIDES))


# --- takes with rotations --------------------------------------------------------------------------------


def _segments(turned: Callable[[str], Array], rest: Mapping[str, Array]) -> Array:
    """Frames (T, S, 3, 3) from global rotations (T, 3, 3) of each segment and its frame at rest."""
    return np.stack([turned(name) @ rest.get(name, np.eye(3)) for name in SEGMENTS], 1)


def _from_acclaim(path: Path) -> Capture:
    skeleton = load_skeleton(skeleton_of(path))
    ends, frames = bone_frames(skeleton, load_take(path, skeleton))
    bones = dict(zip(TRUNK, _ACCLAIM_TRUNK, strict=True))
    bones |= {
        f"{side}_{part}": f"{side[0]}{bone}"
        for side in SIDES
        for part, bone in zip(ON_A_SIDE, _ACCLAIM_SIDE, strict=True)
    }
    for bone in bones.values():
        if bone not in frames:
            raise MotionError(f"{path}: its skeleton has no bone {bone}, which the segments are taken from")
    rest = {"head": Rotation.from_euler("x", -_ACCLAIM_HEAD_UP_DEG, degrees=True).as_matrix()}
    for side in SIDES:
        for part, hinge in (("upper_arm", "forearm"), ("forearm", "forearm"), ("hand", "hand"),
                            ("thigh", "shank"), ("shank", "shank")):  # fmt: skip
            axis = skeleton.bones[bones[f"{side}_{hinge}"]].axis[:, 0]
            along = skeleton.bones[bones[f"{side}_{part}"]].offset
            rest[f"{side}_{part}"] = frame_of(_Z_UP @ axis, _Z_UP @ along)
        # at rest the legs are apart, and the soles are square to them
        foot = skeleton.bones[bones[f"{side}_foot"]]
        rest[f"{side}_foot"] = frame_of(_Z_UP @ foot.axis[:, 0], flat(_Z_UP @ foot.offset))
    legs = [skeleton.bones[bones[f"{side}_{part}"]].offset for side in SIDES for part in ("thigh", "shank")]
    return Capture(
        path.stem,
        _segments(lambda name: _Z_UP @ frames[bones[name]] @ _Z_UP.T, rest),
        (ends["lhipjoint"] + ends["rhipjoint"]) / 2 @ _Z_UP.T,
        _length(*legs),
        RATE_HZ,
    )


def _from_bvh(path: Path, take: Bvh) -> Capture:
    """Without the first frame, which in CMU's files is the rest pose."""
    at = {name: k for k, name in enumerate(take.names)}
    joints = dict(zip(TRUNK, _BVH_TRUNK, strict=True))
    joints |= {
        f"{side}_{part}": f"{side[0]}{joint}"
        for side in SIDES
        for part, joint in zip(ON_A_SIDE, _BVH_SIDE, strict=True)
    }
    ends = [f"{side[0]}{joint}" for side in SIDES for joint in ("Mid1", "Index1", "Pinky1")]
    for joint in (*joints.values(), *ends):
        if joint not in at:
            raise MotionError(f"{path}: there is no joint {joint}, which the segments are taken from")

    def offset(side: str, joint: str) -> Array:
        own: Array = _Z_UP @ take.offsets[at[side[0] + joint]]
        return own

    rest: dict[str, Array] = {}
    for side in SIDES:
        along = {part: offset(side, joint) for part, joint in _BVH_NEXT.items()}
        knuckles = offset(side, "Pinky1") - offset(side, "Index1")
        elbow = np.cross(along["upper_arm"], along["forearm"])
        axes = {"upper_arm": elbow, "forearm": elbow, "hand": knuckles if side == "left" else -knuckles}
        rest |= {f"{side}_{part}": frame_of(axes.get(part, LEFT), z) for part, z in along.items()}
        rest[f"{side}_foot"] = frame_of(LEFT, flat(_Z_UP @ take.ends[at[f"{side[0]}Foot"]]))
    return Capture(
        path.stem,
        _segments(lambda name: _Z_UP @ take.rotations[1:, at[joints[name]]] @ _Z_UP.T, rest),
        (take.places("lThigh") + take.places("rThigh"))[1:] / 2 @ _Z_UP.T,
        _length(*(offset(side, joint) for side in SIDES for joint in ("Shin", "Foot"))),
        take.rate_hz,
    )


# --- takes with joints alone -----------------------------------------------------------------------------


def capture_of(motion: Motion) -> Capture:
    """The take that 17 joints tell of: directions are the joints', the roll of a limb is that of its bend.

    What joints do not tell is made up: the head looks where the chest does, hands go on from the forearms,
    feet are flat on the ground and hang from the shank in the air. Raises MotionError for other joint sets.
    """
    if motion.joint_set != H36M17.name:
        raise MotionError(f"motion {motion.name} has joints of {motion.joint_set}, expected {H36M17.name}")
    at = {name: motion.joints[:, k] for k, name in enumerate(H36M17.joints)}
    pelvis = frame_of(at["left_hip"] - at["right_hip"], at["belly"] - at["pelvis"])
    thorax = frame_of(at["left_shoulder"] - at["right_shoulder"], at["neck"] - at["belly"])
    frames = {"pelvis": pelvis, "thorax": thorax, "upper_spine": thorax}
    frames["lower_spine"] = frame_of(pelvis[..., 0] + thorax[..., 0], pelvis[..., 2] + thorax[..., 2])
    frames["head"] = frame_of(thorax[..., 0], at["head"] - at["nose"])
    for side in SIDES:
        frames |= _arm(side, at, thorax, motion.rate_hz) | _leg(side, at, pelvis, motion.rate_hz)
    legs = [at[f"{s}_{b}"] - at[f"{s}_{a}"] for s in SIDES for a, b in (("hip", "knee"), ("knee", "ankle"))]
    hips = (at["left_hip"] + at["right_hip"]) / 2
    stacked = np.stack([frames[name] for name in SEGMENTS], 1)
    return _steady(Capture(motion.name, stacked, hips, _length(*legs), motion.rate_hz))


def _arm(side: str, at: Mapping[str, Array], thorax: Array, rate_hz: float) -> dict[str, Array]:
    sign = 1.0 if side == "left" else -1.0
    upper = at[f"{side}_elbow"] - at[f"{side}_shoulder"]
    fore = at[f"{side}_wrist"] - at[f"{side}_elbow"]
    axis = _flexion_axis(upper, fore, thorax, _ARM_START * (sign, 1, 1), -LEFT, rate_hz)
    forearm = frame_of(axis, fore)
    # palms face the body when the arms hang
    hand = np.stack([sign * forearm[..., 1], -sign * forearm[..., 0], forearm[..., 2]], -1)
    return {f"{side}_collar": thorax, f"{side}_upper_arm": frame_of(axis, upper),
            f"{side}_forearm": forearm, f"{side}_hand": hand}  # fmt: skip


def _leg(side: str, at: Mapping[str, Array], pelvis: Array, rate_hz: float) -> dict[str, Array]:
    upper = at[f"{side}_knee"] - at[f"{side}_hip"]
    lower = at[f"{side}_ankle"] - at[f"{side}_knee"]
    axis = _flexion_axis(upper, lower, pelvis, _LEG_START, LEFT, rate_hz)
    shank = frame_of(axis, lower)
    front = shank[..., 1]
    lowest = min(at[f"{s}_ankle"][:, 2].min() for s in SIDES)
    lifted = _lift(at[f"{side}_ankle"][:, 2] - lowest, _length(upper, upper, lower, lower))[:, None]
    foot = frame_of(axis, (1 - lifted) * _unit(flat(front)) + lifted * front)
    return {f"{side}_thigh": frame_of(axis, upper), f"{side}_shank": shank,
            f"{side}_foot": foot}  # fmt: skip


def _flexion_axis(
    upper: Array, lower: Array, trunk: Array, start: Array, axis: Array, rate_hz: float
) -> Array:
    """The axis (T, 3) about which a limb bends from its upper to its lower part (T, 3).

    Of a straight limb it is `axis` (3,), a hanging limb's in the frame of the trunk, swung along: first from
    hanging to `start` (3,), then to where the limb is. The bend's own axis is averaged over time as a complex
    number, so that it neither jumps nor turns by the long way round.
    """
    in_trunk = np.einsum("tji,tj->ti", trunk, _unit(upper))
    start = _unit(start)
    swung = _swing(np.broadcast_to(start, in_trunk.shape), in_trunk, _swing(_HANGING, start, axis))
    first = frame_of(np.einsum("tij,tj->ti", trunk, swung), upper)
    bend = np.cross(_unit(upper), _unit(lower))
    along, across = (bend * first[..., 0]).sum(-1), (bend * first[..., 1]).sum(-1)
    turn = (along + 1j * across) * np.hypot(along, across)
    sigma = _AXIS_AVERAGE_S * rate_hz
    real = gaussian_filter1d(turn.real, sigma, mode="nearest") + _STRAIGHT_WEIGHT
    imaginary = gaussian_filter1d(turn.imag, sigma, mode="nearest")
    angle = np.arctan2(imaginary, real)[:, None]
    out: Array = np.cos(angle) * first[..., 0] + np.sin(angle) * first[..., 1]
    return out


def _swing(a: Array, b: Array, vector: Array) -> Array:
    """`vector` (..., 3) turned by the smallest rotation that brings unit vectors a to b (..., 3)."""
    cross, cosine = np.cross(a, b), (a * b).sum(-1, keepdims=True)
    along = (cross * vector).sum(-1, keepdims=True)
    out: Array = cosine * vector + np.cross(cross, vector) + cross * along / np.maximum(1 + cosine, 1e-6)
    return out
