"""Motion capture to train on: clips of one joint set, and a hash of the files that they came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dw_core.data.motion import Motion
from dw_core.data.splits import Splits
from dw_core.errors import ConfigError, MotionError
from dw_core.geometry.camera import Array
from dw_core.progress import bar
from dw_core.skeleton import COCO17, H36M17, joint_set

# Where the face is, in metres from the end of the head's bone along its axes: forward, left, up. The bone
# of motion capture ends in the middle of the head.
FACE_M = {
    "nose": (0.115, 0.0, -0.035), "left_eye": (0.095, 0.032, 0.0), "right_eye": (0.095, -0.032, 0.0),
    "left_ear": (0.0, 0.075, -0.015), "right_ear": (0.0, -0.075, -0.015),
}  # fmt: skip
# Shorter clips do not hold the exposures of a scene.
MIN_SECONDS = 1.0


@dataclass(frozen=True, eq=False)
class Clips:
    """Motions of one joint set, the folder of each, and the SHA-256 over the bytes of their files."""

    motions: tuple[Motion, ...]
    folders: tuple[str, ...]
    sha256: str

    def pick(self, rng: np.random.Generator) -> Motion:
        """A motion, the longer the likelier."""
        seconds = np.array([motion.duration_s for motion in self.motions])
        return self.motions[int(rng.choice(len(seconds), p=seconds / seconds.sum()))]

    def pick_evenly(self, rng: np.random.Generator) -> Motion:
        """A motion, the longer the likelier in its folder, and every folder as likely."""
        names = sorted(set(self.folders))
        folder = names[int(rng.integers(len(names)))]
        mine = [one for one, name in zip(self.motions, self.folders, strict=True) if name == folder]
        return replace(self, motions=tuple(mine), folders=(folder,) * len(mine)).pick(rng)


def load_clips(splits: Splits, split: str, data: Path, joints: str, progress: bool = False) -> Clips:
    """All motion of a split below a data folder, as joint set `joints`.

    Clips of less than a second are left out. Raises MotionError, also when nothing is left, and ConfigError
    for an unknown split.
    """
    files = splits.files(split, data)
    digest, motions, folders = hashlib.sha256(), [], []
    with bar("motion", len(files), progress) as advance:
        for file in files:
            digest.update(file.read_bytes())
            motion = splits.motion(file, data)
            motion = replace(motion, joints=_as_joint_set(motion, joints), joint_set=joints)
            if motion.duration_s >= MIN_SECONDS:
                motions.append(motion)
                folders.append(str(file.parent.relative_to(data)))
            advance(1)
    if not motions:
        raise MotionError(f"{data}: no clip of split '{split}' is {MIN_SECONDS:g} s long")
    return Clips(tuple(motions), tuple(folders), digest.hexdigest())


def _as_joint_set(motion: Motion, joints: str) -> Array:
    if motion.joint_set == joints:
        return motion.joints
    if (motion.joint_set, joints) != (H36M17.name, COCO17.name):
        raise ConfigError(f"motion {motion.name} has joints {motion.joint_set}, which do not give {joints}")
    return coco17(motion.joints)


def coco17(joints: Array) -> Array:
    """Joints (T, 17, 3) of COCO17 from those of H36M17 as motion capture has them, metres.

    Shoulders to ankles are the same joints. Nose, eyes and ears are fixed to the bone of the head, which
    looks where the shoulders do.
    """
    at = {name: joints[:, k] for k, name in enumerate(H36M17.joints)}
    up = _unit(at["head"] - at["nose"])
    left = at["left_shoulder"] - at["right_shoulder"]
    left = _unit(left - (left * up).sum(-1, keepdims=True) * up)
    forward = np.cross(left, up)
    face = {name: at["head"] + x * forward + y * left + z * up for name, (x, y, z) in FACE_M.items()}
    return np.stack([face[name] if name in face else at[name] for name in joint_set(COCO17.name).joints], 1)


def _unit(vectors: Array) -> Array:
    out: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
    return out
