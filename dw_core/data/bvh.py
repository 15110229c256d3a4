"""BVH motion capture: a skeleton at rest and the rotations of its joints over time, in one text file.

A joint's rotation is the product of its channels' in their order, in degrees, and turns what is below the
joint. A file tells neither its unit of length nor which axis is up (y nearly always). Source: Meredith and
Maddock, "Motion capture file formats explained", University of Sheffield, 2001.
The joints of H36M17 come from the skeleton that Carnegie Mellon's captures were put on as BVH, which is in
centimetres, y up, and shows its rest pose in the first frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dw_core.errors import MotionError
from dw_core.geometry.camera import Array
from dw_core.skeleton import H36M17

# The joints of H36M17 in its order; the pelvis lies between the hips, the crown above the head's joint.
JOINT_NAMES = (
    "", "rThigh", "rShin", "rFoot", "lThigh", "lShin", "lFoot", "abdomen", "neck", "head", "",
    "lShldr", "lForeArm", "lHand", "rShldr", "rForeArm", "rHand",
)  # fmt: skip
# As far above the eyes, which are 8 cm above the joint, as a chin is below them.
_CROWN_CM = np.array([0.0, 19.0, 0.0])
_CM = 0.01
# World x, y, z (z up) from the file's (y up).
_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
_POSITIONS = ("Xposition", "Yposition", "Zposition")


@dataclass(frozen=True, eq=False)
class Bvh:
    """A take: names and parents (-1 for the root) of N joints, offsets (N, 3) from their parents at rest in
    the file's unit, ends (N, 3) of those that have an `End Site` (else zero), global rotations (T, N, 3, 3)
    from the rest pose, the root's places (T, 3), frames per second."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Array
    ends: Array
    rotations: Array
    root: Array
    rate_hz: float

    def places(self, joint: str) -> Array:
        """Where a joint is (T, 3), in the file's frame and unit."""
        k = self.names.index(joint)
        parent = self.parents[k]
        if parent < 0:
            return self.root
        above = self.places(self.names[parent])
        out: Array = above + self.rotations[:, parent] @ self.offsets[k]
        return out


def load_joints(path: Path) -> tuple[Array, float]:
    """Joints (T, 17, 3) of H36M17 in metres, z up, and the rate in Hz that the file says, of a take on
    Carnegie Mellon's skeleton (.bvh), without its first frame. Raises MotionError."""
    take = load_bvh(path)
    for joint in filter(None, JOINT_NAMES):
        if joint not in take.names:
            raise MotionError(f"{path}: there is no joint {joint}, which the joints are taken from")
    places = [take.places(joint or "head") for joint in JOINT_NAMES]
    places[0] = (take.places("lThigh") + take.places("rThigh")) / 2
    places[H36M17.index("head")] += take.rotations[:, take.names.index("head")] @ _CROWN_CM
    joints: Array = _CM * np.stack(places, 1)[1:] @ _Z_UP.T
    return joints, take.rate_hz


@dataclass
class _Joint:
    name: str
    parent: int
    channels: list[str]
    offset: list[float]
    end: list[float]


def load_bvh(path: Path) -> Bvh:
    """A take (.bvh). Raises MotionError for a file that cannot be read or is no BVH."""
    try:
        skeleton, _, motion = path.read_text().partition("MOTION")
    except (OSError, UnicodeDecodeError) as error:
        raise MotionError(f"{path}: it cannot be read ({error})") from error
    joints = _joints(path, skeleton.split())
    width = sum(len(joint.channels) for joint in joints)
    words = motion.split()
    if words[:1] != ["Frames:"] or words[2:4] != ["Frame", "Time:"]:
        raise MotionError(
            f"{path}: after MOTION comes '{' '.join(words[:4])}', expected Frames: and Frame Time:"
        )
    try:
        frames, seconds = int(words[1]), float(words[4])
        values = np.array(words[5:], dtype=np.float64)
    except (ValueError, IndexError):
        raise MotionError(f"{path}: section MOTION holds what is not a number") from None
    if frames < 2 or values.size != frames * width or not np.isfinite(values).all() or seconds <= 0:
        raise MotionError(
            f"{path}: section MOTION has {values.size} numbers, expected {frames} frames of {width} finite "
            "ones, and a frame time above 0"
        )
    return _take(path, joints, values.reshape(frames, width), 1 / seconds)


def _joints(path: Path, words: list[str]) -> list[_Joint]:
    joints: list[_Joint] = []
    above: list[int] = []
    k, at_end = 0, False
    try:
        while k < len(words):
            word = words[k]
            if word in ("ROOT", "JOINT"):
                joints.append(_Joint(words[k + 1], above[-1] if above else -1, [], [], [0.0, 0.0, 0.0]))
                k += 1
            elif word == "End":
                at_end = True
            elif word == "{":
                above.append(above[-1] if at_end else len(joints) - 1)
            elif word == "}":
                above.pop()
                at_end = False
            elif word == "OFFSET":
                offset = [float(x) for x in words[k + 1 : k + 4]]
                if at_end:
                    joints[above[-1]].end = offset
                else:
                    joints[-1].offset = offset
                k += 3
            elif word == "CHANNELS":
                count = int(words[k + 1])
                joints[-1].channels = words[k + 2 : k + 2 + count]
                k += 1 + count
            k += 1
    except (ValueError, IndexError):
        raise MotionError(f"{path}: section HIERARCHY breaks off at '{' '.join(words[k : k + 4])}'") from None
    if not joints or above or any(len(joint.offset) != 3 for joint in joints):
        raise MotionError(f"{path}: section HIERARCHY is not whole, expected a skeleton (.bvh)")
    return joints


def _take(path: Path, joints: list[_Joint], values: Array, rate_hz: float) -> Bvh:
    rotations = np.empty((len(values), len(joints), 3, 3))
    root = np.broadcast_to(np.array(joints[0].offset), (len(values), 3)).copy()
    column = 0
    for k, joint in enumerate(joints):
        own = values[:, column : column + len(joint.channels)]
        column += len(joint.channels)
        turning = [i for i, name in enumerate(joint.channels) if name.endswith("rotation")]
        axes = "".join(joint.channels[i][0] for i in turning)
        if len(turning) != 3 or not set(axes) <= set("XYZ"):
            raise MotionError(
                f"{path}: joint {joint.name} has channels {joint.channels}, expected three rotations"
            )
        turned = Rotation.from_euler(axes, own[:, turning], degrees=True).as_matrix()
        rotations[:, k] = turned if joint.parent < 0 else rotations[:, joint.parent] @ turned
        if joint.parent < 0 and set(_POSITIONS) <= set(joint.channels):
            root = own[:, [joint.channels.index(name) for name in _POSITIONS]]
    return Bvh(
        tuple(joint.name for joint in joints), tuple(joint.parent for joint in joints),
        np.array([joint.offset for joint in joints]), np.array([joint.end for joint in joints]),
        rotations, root, rate_hz,
    )  # fmt: skip
