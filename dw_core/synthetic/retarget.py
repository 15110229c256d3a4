"""Motion capture onto a body: a take's frames of segments become rotations of the body's bones.

A segment's bones turn as its frame does, from the frame that the same segment has in the body's rest pose, so
limbs point where those of the capture do and bend about the body's own axes. What turns about a limb's own
axis is shared by the bones of the limb, as skin is by the muscles. The path is scaled by the length of the
legs. Shapes: T times, B bones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, minimum_filter1d
from scipy.spatial.transform import Rotation

from dw_core.errors import MotionError
from dw_core.geometry.camera import Array
from dw_core.synthetic.body import Body, Shape
from dw_core.synthetic.capture import LEFT, SEGMENTS, SIDES, Capture, flat, frame_of, steady

# Bones of the trunk: two segments and how far a bone is from the first to the second.
TRUNK_BONES = {
    "root": ("pelvis", "pelvis", 0.0),
    "pelvis.L": ("pelvis", "pelvis", 0.0),
    "pelvis.R": ("pelvis", "pelvis", 0.0),
    "spine05": ("lower_spine", "lower_spine", 0.0),
    "spine04": ("lower_spine", "upper_spine", 0.5),
    "spine03": ("upper_spine", "upper_spine", 0.0),
    "spine02": ("upper_spine", "thorax", 0.5),
    "spine01": ("thorax", "thorax", 0.0),
    "neck01": ("thorax", "head", 0.3),
    "neck02": ("thorax", "head", 0.55),
    "neck03": ("thorax", "head", 0.8),
    "head": ("head", "head", 0.0),
}
# Of a segment's limb: the bone at whose head it starts, and that at whose head it ends.
LIMBS = {
    "upper_arm": ("upperarm01", "lowerarm01"),
    "forearm": ("lowerarm01", "wrist"),
    "hand": ("wrist", "finger3-1"),
    "thigh": ("upperleg01", "lowerleg01"),
    "shank": ("lowerleg01", "foot"),
}
# A shoulder blade goes along with this part of its arm's swing.
SHOULDER_SHARE = 0.25
# Upper bones of a limb leave half of its own twist to the lower ones, lower bones of a forearm take half of
# the hand's.
TWIST_SHARE = 0.5
# Relaxed fingers: bends (degrees) of the three joints towards the palm, from the index to the little finger.
FINGER_BENDS = ((14, 24, 14), (20, 28, 16), (24, 30, 18), (26, 30, 18))
# Toes bend up at most this far.
TOES_BEND_RAD = np.deg2rad(40.0)
# Feet touch the floor this often at least, and it leans or drifts by no more than this in a take.
FLOOR_WINDOW_S, FLOOR_RISES_M = 1.0, 0.12
# Bones that touch the ground before any other does, and how high all others are then at least.
_FEET = ("lowerleg02", "foot", "toe")
_CLEAR_M = 0.25


@dataclass(frozen=True, eq=False)
class Clip:
    """A body in motion: global bone rotations (T, B, 3, 3) from the rest pose, places (T, 3) m of the root
    bone in the world, `rate_hz` frames per second from time 0 on."""

    shape: Shape
    rotations: Array
    roots: Array
    rate_hz: float

    @property
    def duration_s(self) -> float:
        """Time of the last frame; the first is at 0."""
        return (len(self.roots) - 1) / self.rate_hz

    def at(self, seconds: float) -> tuple[Array, Array]:
        """Rotations (B, 3, 3) and root (3,) at a time: between two frames, bones turn evenly. Raises
        MotionError for a time before the first frame or after the last."""
        place, last = seconds * self.rate_hz, len(self.roots) - 1
        if not -1e-6 <= place <= last + 1e-6:
            raise MotionError(f"{seconds:g} s is asked of a clip, expected 0 to {self.duration_s:g} s")
        frame = min(max(int(place), 0), last - 1)
        weight = min(max(place - frame, 0.0), 1.0)
        rotations = _between(self.rotations[frame], self.rotations[frame + 1], weight)
        return rotations, (1 - weight) * self.roots[frame] + weight * self.roots[frame + 1]


def retarget(capture: Capture, body: Body, shape: Shape) -> Clip:
    """The take as the motion of a body's shape, its lowest vertex on the floor z = 0, in shoes.

    The world's x and y are the capture's, scaled by the ratio of the legs' lengths about its origin.
    """
    rest = rest_frames(body, shape)
    turned = {
        name: capture.frame(name) @ rest[name].T
        for name in SEGMENTS
        if not name.endswith(("forearm", "shank"))
    }
    for side in SIDES:
        for upper, lower in (("upper_arm", "forearm"), ("thigh", "shank")):
            frame = _unbent(capture.frame(f"{side}_{upper}"), capture.frame(f"{side}_{lower}"))
            turned[f"{side}_{lower}"] = frame @ rest[f"{side}_{lower}"].T
    rotations = np.empty((len(capture.frames), len(body.bones), 3, 3))
    trunk = [
        _between(turned[first], turned[second], weight) for first, second, weight in TRUNK_BONES.values()
    ]
    # what is between two segments may jump where these are turned against one another by half a turn
    rotations[:, [body.bone(bone) for bone in TRUNK_BONES]] = steady(np.stack(trunk, 1), capture.rate_hz)
    for side in SIDES:
        for bone, own in _limb_bones(side, turned, rest).items():
            rotations[:, body.bone(f"{bone}.{side[0].upper()}")] = own
    roots = _roots(capture, body, shape, rotations[:, 0])
    roots[:, 2] -= _floor(_lowest(body, shape, rotations, roots), capture.rate_hz)
    return Clip(shape, rotations, roots, capture.rate_hz)


def rest_frames(body: Body, shape: Shape) -> dict[str, Array]:
    """Frames (3, 3) of all segments of a body at rest, as capture.py defines them."""
    frames = {name: np.eye(3) for name in SEGMENTS}
    for side in SIDES:
        s = side[0].upper()

        def head(bone: str, s: str = s) -> Array:
            own: Array = shape.heads[body.bone(f"{bone}.{s}")]
            return own

        along = {part: head(end) - head(start) for part, (start, end) in LIMBS.items()}
        elbow = np.cross(along["upper_arm"], along["forearm"])
        knuckles = head("finger5-1") - head("finger2-1")
        axes = {"upper_arm": elbow, "forearm": elbow, "hand": knuckles if side == "left" else -knuckles}
        for part, z in along.items():
            frames[f"{side}_{part}"] = frame_of(axes.get(part, LEFT), z)
        frames[f"{side}_foot"] = frame_of(LEFT, flat(head("toe3-1") - head("foot")))
    return frames


def _limb_bones(side: str, turned: Mapping[str, Array], rest: Mapping[str, Array]) -> dict[str, Array]:
    """Rotations (T, 3, 3) of all bones of one arm and one leg."""
    own = {part: turned[f"{side}_{part}"] for part in ("collar", *LIMBS, "foot")}
    axes = {part: rest[f"{side}_{part}"][:, 2] for part in LIMBS}
    turn = _twist(own["collar"], own["upper_arm"], axes["upper_arm"])
    swung = _twisted(own["upper_arm"], axes["upper_arm"], -turn)
    bones = {
        "clavicle": own["collar"], "shoulder01": _between(own["collar"], swung, SHOULDER_SHARE),
        "upperarm01": _twisted(own["upper_arm"], axes["upper_arm"], -TWIST_SHARE * turn),
        "upperarm02": own["upper_arm"], "lowerarm01": own["forearm"],
        "lowerarm02": _twisted(own["forearm"], axes["forearm"],
                               TWIST_SHARE * _twist(own["forearm"], own["hand"], axes["forearm"])),
        "wrist": own["hand"],
        "upperleg01": _twisted(own["thigh"], axes["thigh"],
                               -TWIST_SHARE * _twist(turned["pelvis"], own["thigh"], axes["thigh"])),
        "upperleg02": own["thigh"], "lowerleg01": own["shank"], "lowerleg02": own["shank"],
        "foot": own["foot"],
    }  # fmt: skip
    bones["toe3-1"] = own["foot"] @ _toes(own["foot"] @ rest[f"{side}_foot"], rest[f"{side}_foot"])
    bones |= {f"finger1-{k}": own["hand"] for k in (1, 2, 3)}
    for finger, bends in enumerate(FINGER_BENDS, 2):
        bones[f"metacarpal{finger - 1}"] = own["hand"]
        for k, bend in enumerate(np.cumsum(bends), 1):
            bones[f"finger{finger}-{k}"] = own["hand"] @ curl(rest[f"{side}_hand"], float(bend))
    return bones


def curl(hand: Array, degrees: float) -> Array:
    """The rotation (3, 3) in the rest pose that bends fingers towards the palm of a hand with this frame (3,
    3)."""
    turn: Array = Rotation.from_rotvec(np.deg2rad(degrees) * hand[:, 0]).as_matrix()
    return turn


def _toes(foot: Array, rest: Array) -> Array:
    """Rotations (T, 3, 3) in the rest pose that keep the toes level while the heel is up, by the foot's
    frames (T, 3, 3) and that at rest (3, 3)."""
    down = np.arcsin(np.clip(-foot[:, 2, 2], -1.0, 1.0))
    # x to the left: a negative turn about it lifts what is in front
    turn: Array = Rotation.from_rotvec(-np.clip(down, 0.0, TOES_BEND_RAD)[:, None] * rest[:, 0]).as_matrix()
    return turn


def _unbent(upper: Array, lower: Array) -> Array:
    """Frames (T, 3, 3) of the lower part of a limb, straight where it bends the wrong way."""
    axis = upper[..., 0]
    cross = (np.cross(upper[..., 2], lower[..., 2]) * axis).sum(-1)
    bend = np.arctan2(cross, (upper[..., 2] * lower[..., 2]).sum(-1))
    back: Array = Rotation.from_rotvec(np.maximum(-bend, 0.0)[:, None] * axis).as_matrix()
    return back @ lower


def _twist(parent: Array, child: Array, axis: Array) -> Array:
    """By how much (T,) rad children are turned about an axis (3,) of the rest pose against their parents (T,
    3, 3) beyond the swing of the axis; without jumps from one time to the next."""
    quaternion = Rotation.from_matrix(parent.transpose(0, 2, 1) @ child).as_quat()
    angle: Array = np.unwrap(2 * np.arctan2(quaternion[:, :3] @ axis, quaternion[:, 3]))
    return angle - 2 * np.pi * np.round(np.median(angle) / (2 * np.pi))


def _twisted(rotations: Array, axis: Array, angle: Array) -> Array:
    """Rotations (T, 3, 3) after a turn by angle (T,) about an axis (3,) of the rest pose."""
    turn: Array = Rotation.from_rotvec(angle[:, None] * axis).as_matrix()
    return rotations @ turn


def _between(first: Array, second: Array, weight: float) -> Array:
    """Rotations (..., 3, 3) that are `weight` of the way from the first to the second."""
    if weight == 0:
        return first
    turn = Rotation.from_matrix(first.swapaxes(-1, -2) @ second).as_rotvec()
    out: Array = first @ Rotation.from_rotvec(weight * turn).as_matrix()
    return out


def _roots(capture: Capture, body: Body, shape: Shape, pelvis: Array) -> Array:
    """Places (T, 3) of the root bone that put the middle between the hips where the scaled capture has it."""
    hips = [shape.heads[body.bone(f"upperleg01.{s}")] for s in "LR"]
    ends = [shape.heads[body.bone(f"{bone}.L")] for bone in ("upperleg01", "lowerleg01", "foot")]
    leg = sum(float(np.linalg.norm(b - a)) for a, b in zip(ends, ends[1:], strict=False))
    roots: Array = capture.hips * (leg / capture.leg) - pelvis @ (sum(hips) / 2 - shape.heads[0])
    return roots


def _lowest(body: Body, shape: Shape, rotations: Array, roots: Array) -> Array:
    """Heights (T,) of the lowest vertex. While all but the feet is far above the soles, only those are looked
    at."""
    soles = body.parts["soles"].vertices
    others = [k for k, name in enumerate(body.bones) if not name.startswith(_FEET)]
    heads = body.heads(shape, rotations, roots)
    lowest = np.empty(len(roots))
    for t in range(len(roots)):
        lowest[t] = body.skinned(shape, rotations[t], heads[t], soles)[:, 2].min()
        if heads[t, others, 2].min() < lowest[t] + _CLEAR_M:
            lowest[t] = body.skinned(shape, rotations[t], heads[t])[:, 2].min()
    return lowest


def _floor(lowest: Array, rate_hz: float) -> Array:
    """The floor (T,) below a body whose lowest vertices are at heights (T,): it follows them slowly, since
    captures drift and their floors lean, up to FLOOR_RISES_M; never above any of them."""
    window = max(int(FLOOR_WINDOW_S * rate_hz), 1)
    floor = minimum_filter1d(lowest, window, mode="nearest")
    floor = np.minimum(floor, np.percentile(floor, 5) + FLOOR_RISES_M)
    floor = gaussian_filter1d(floor, window / 4, mode="nearest")
    out: Array = floor + (lowest - floor).min()
    return out
