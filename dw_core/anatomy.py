"""From where a 2D network sees joints to where they are in the body.

A network has learned what people marked in photographs: the shoulder at the top of the arm's outline, the hip
beside and above its joint. Triangulated, such marks lie centimetres off, always the same way in the frame of
the limb. Where they lie is learned on rendered people, whose joints are known (`python -m
dw_core.benchmarks.joint_offsets`). Shapes: J joints, any number of leading axes. Metres.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array
from dw_core.skeleton import JointSet

NONE = "none"
PACKAGED = {"movenet": Path(__file__).parent / "backends" / "movenet_offsets.json"}
# The limb at whose end a joint is: its frame's third axis points from the first to the joint.
LIMBS = {"elbow": "shoulder", "wrist": "elbow", "knee": "hip", "ankle": "knee"}
FACE = ("nose", "eye", "ear")
# Joints in the middle between a left joint and the right one: their offsets have no x.
BETWEEN = {"pelvis": "left_hip", "belly": "left_hip", "neck": "left_shoulder"}
MAX_OFFSET = 0.5
# Sine of the angle between a limb and the trunk's left axis below which its frame fades.
FADE = 0.4


@dataclass(frozen=True)
class JointOffsets:
    """Where a network sees joints, from where they are, by name: x, y, z in the joint's frame (see
    `joint_frames`) as parts of the trunk's length. The right side mirrors the left. Raises ConfigError for
    numbers that cannot be."""

    offsets: Mapping[str, tuple[float, float, float]]
    _of: dict[JointSet, Array] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, offset in self.offsets.items():
            numbers = isinstance(offset, tuple) and all(isinstance(part, int | float) for part in offset)
            if not numbers or len(offset) != 3 or not np.abs(offset).max() <= MAX_OFFSET:
                raise ConfigError(
                    f"the offset of joint '{name}' is {offset}, expected three parts of the trunk's length, "
                    f"none beyond {MAX_OFFSET}"
                )

    def of(self, joints: JointSet) -> Array:
        """The offsets (J, 3) of a joint set; 0 for a joint that is not named, and does not lie between two
        that are."""
        if joints not in self._of:
            self._of[joints] = self._made_for(joints)
        return self._of[joints]

    def _made_for(self, joints: JointSet) -> Array:
        out = np.zeros((len(joints), 3))
        for j, name in enumerate(joints.joints):
            left = BETWEEN.get(name, joints.partner(name) if joints.side(name) == "right" else name)
            out[j] = self.offsets.get(left, (0.0, 0.0, 0.0))
            if left != name:
                out[j, 0] *= 0 if name in BETWEEN else -1
        return out

    def corrected(self, positions: Array, joints: JointSet) -> Array:
        """Joints (..., J, 3) where they are, from where the network sees them. A joint without a frame
        stays as it is."""
        shift = np.einsum("...jkc,jk->...jc", joint_frames(positions, joints), self.of(joints))
        shift *= trunk_length(positions, joints)[..., None, None]
        moved: Array = positions - np.where(np.isfinite(shift).all(-1, keepdims=True), shift, 0.0)
        return moved


def load_offsets(name: str) -> JointOffsets | None:
    """The offsets of a network by its name, from a file (.json), or None for "none". Raises ConfigError for a
    name that is not known and a file that is not one."""
    if name == NONE:
        return None
    path = PACKAGED.get(name, Path(name))
    if path.suffix != ".json":
        raise ConfigError(
            f"joint offsets '{name}' are not known, expected {NONE}, {', '.join(PACKAGED)} or a .json file"
        )
    try:
        document = json.loads(path.read_text())
        return JointOffsets({joint: tuple(offset) for joint, offset in document["offsets"].items()})
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path}: it cannot be read as joint offsets ({error})") from error
    except (AttributeError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: expected an entry 'offsets' with three numbers for each joint") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def trunk_length(positions: Array, joints: JointSet) -> Array:
    """Length (...) from the middle of the hips to the middle of the shoulders of joints (..., J, 3)."""
    length: Array = np.linalg.norm(
        _middle(positions, joints, "shoulder") - _middle(positions, joints, "hip"), axis=-1
    )
    return length


def trunk_frames(positions: Array, joints: JointSet) -> Array:
    """The frame (..., 3, 3) of the trunk of joints (..., J, 3), axes in rows: x to the person's left, y back,
    z from the hips to the shoulders. NaN where one of these is missing."""
    hips, shoulders = (_across(positions, joints, name) for name in ("hip", "shoulder"))
    up = _middle(positions, joints, "shoulder") - _middle(positions, joints, "hip")
    return _frame(hips + shoulders, up)


def joint_frames(positions: Array, joints: JointSet) -> Array:
    """The frames (..., J, 3, 3) of joints (..., J, 3), axes in rows: x to the person's left, y back, z up.

    Of elbow, wrist, knee and ankle z points along the limb to the joint; of the face's joints x goes from ear
    to ear and y away from the nose; all others have the trunk's. NaN where a joint of the frame is missing.
    An arm that points sideways has no left of its own: x and y fade there (FADE).
    """
    trunk = trunk_frames(positions, joints)[..., None, :, :]
    out: Array = np.broadcast_to(trunk, (*positions.shape, 3)).copy()
    starts, ends, face = _parts(joints)
    out[..., ends, :, :] = _frame(trunk[..., 0, :], positions[..., ends, :] - positions[..., starts, :])
    if face:
        ears = _across(positions, joints, "ear")
        ahead = positions[..., joints.index("nose"), :] - _middle(positions, joints, "ear")
        out[..., face, :, :] = _frame(ears, np.cross(ahead, ears))[..., None, :, :]
    return out


@lru_cache(maxsize=8)
def _parts(joints: JointSet) -> tuple[list[int], list[int], list[int]]:
    """Indices of the joints where limbs start, of those where they end, and of the face's joints."""
    limbs = [(j, name, name.split("_")[-1]) for j, name in enumerate(joints.joints)]
    limbs = [limb for limb in limbs if limb[2] in LIMBS]
    starts = [joints.index(name.replace(part, LIMBS[part])) for _, name, part in limbs]
    face = [j for j, name in enumerate(joints.joints) if name.endswith(FACE)]
    return starts, [j for j, *_ in limbs], face if "left_ear" in joints.joints else []


def _frame(left: Array, up: Array) -> Array:
    """Axes in rows (..., 3, 3): z along `up` (..., 3), x as near to `left` (..., 3) as can be; x and y are
    shorter than 1 where the two are nearly parallel."""
    left, z = _unit(left), _unit(up)
    x = left - (left * z).sum(-1, keepdims=True) * z
    x = x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), FADE)
    return np.stack((x, np.cross(z, x), z), -2)


def _unit(vectors: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        unit: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit


def _across(positions: Array, joints: JointSet, name: str) -> Array:
    """From a right joint to the left one (..., 3)."""
    across: Array = (
        positions[..., joints.index(f"left_{name}"), :] - positions[..., joints.index(f"right_{name}"), :]
    )
    return across


def _middle(positions: Array, joints: JointSet, name: str) -> Array:
    """Between a left joint and the right one (..., 3)."""
    middle: Array = (
        positions[..., joints.index(f"left_{name}"), :] + positions[..., joints.index(f"right_{name}"), :]
    ) / 2
    return middle
