"""Motion capture: a person's true joints over time, from the files that it comes in.

- `.npz`: `joints` (T, 17, 3) in metres with the world's z axis up, `rate_hz`, `joint_names` of H36M17 or
  COCO17, and `name` if it has one.
- `.amc` with its `.asf` beside it (Acclaim; see acclaim.py).
- `.bvh` on the skeleton of Carnegie Mellon's (see bvh.py).
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dw_core.data.acclaim import load_acclaim
from dw_core.data.bvh import load_joints
from dw_core.errors import MotionError
from dw_core.geometry.camera import Array
from dw_core.skeleton import COCO17, H36M17, JointSet, joint_set

SUFFIXES = (".amc", ".bvh", ".npz")
# What Human3.6M's own tools call the joints of H36M17, in the same order.
SHORT_NAMES = (
    "root", "rhip", "rkne", "rank", "lhip", "lkne", "lank", "belly", "neck", "nose", "head",
    "lsho", "lelb", "lwri", "rsho", "relb", "rwri",
)  # fmt: skip
# The bones whose length is a person's own; what lies between other joints bends.
LIMBS = tuple(
    (f"{side}_{a}", f"{side}_{b}")
    for side in ("left", "right")
    for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
)
# Nobody's limb is: then the file is in another unit.
LONGEST_LIMB_M = 5.0


@dataclass(frozen=True, eq=False)
class Motion:
    """joints (T, J, 3) in metres, world frame with z up, `rate_hz` frames per second from time 0 on.

    Raises MotionError for joints that are not the joint set's, not finite or too few frames, and for a
    rate that is not positive; ConfigError for an unknown joint set.
    """

    name: str
    joints: Array
    rate_hz: float
    joint_set: str = H36M17.name

    def __post_init__(self) -> None:
        J = len(joint_set(self.joint_set))
        if self.joints.ndim != 3 or self.joints.shape[1:] != (J, 3) or len(self.joints) < 2:
            raise MotionError(
                f"motion {self.name}: joints have shape {self.joints.shape}, expected (T, {J}, 3) with T of "
                f"2 or more, for joint set {self.joint_set}"
            )
        if not np.isfinite(self.joints).all():
            frame = int(np.flatnonzero(~np.isfinite(self.joints).all((1, 2)))[0])
            raise MotionError(f"motion {self.name}: frame {frame} holds a value that is not finite")
        if not (np.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise MotionError(f"motion {self.name}: the rate is {self.rate_hz:g} Hz, expected more than 0")

    @property
    def duration_s(self) -> float:
        """Time of the last frame; the first is at 0."""
        return (len(self.joints) - 1) / self.rate_hz

    @property
    def digest(self) -> str:
        """Of the joints, as float32, and the rate: the same motion in another file has the same."""
        content = self.joints.astype(np.float32).tobytes() + np.float32(self.rate_hz).tobytes()
        return hashlib.sha256(content).hexdigest()

    def limb_variation(self) -> tuple[str, float]:
        """The limb whose length is the least constant, as `left_hip to left_knee`, and the standard deviation
        of its length as a part of the mean."""
        lengths = self.limb_lengths()
        variation = lengths.std(0) / np.maximum(lengths.mean(0), 1e-9)
        worst = int(variation.argmax())
        return " to ".join(LIMBS[worst]), float(variation[worst])

    def limb_lengths(self) -> Array:
        """Lengths (T, B) in metres of LIMBS."""
        names = joint_set(self.joint_set)
        a, b = ([names.index(limb[end]) for limb in LIMBS] for end in (0, 1))
        lengths: Array = np.linalg.norm(self.joints[:, a] - self.joints[:, b], axis=-1)
        return lengths

    def at(self, seconds: npt.ArrayLike) -> Array:
        """Joints (N, J, 3) at times (N,) in seconds, linear between frames. Raises MotionError for a time
        before the first frame or after the last."""
        times = np.asarray(seconds, dtype=np.float64)
        # a frame's own time may be above the duration by rounding
        place = times * self.rate_hz
        last = len(self.joints) - 1
        outside = (place < -1e-6) | (place > last + 1e-6)
        if outside.any():
            raise MotionError(
                f"motion {self.name}: {times[outside][0]:g} s is asked for, "
                f"expected 0 to {self.duration_s:g} s"
            )
        frame = np.clip(np.floor(place), 0, last - 1).astype(np.int64)
        weight = np.clip(place - frame, 0.0, 1.0)[:, None, None]
        joints: Array = (1 - weight) * self.joints[frame] + weight * self.joints[frame + 1]
        return joints


def load_motion(path: Path) -> Motion:
    """The motion of one file. Raises MotionError that names the file and, in a text file, the line."""
    suffix = path.suffix.lower()
    if suffix == ".amc":
        joints, rate_hz = load_acclaim(path)
        return Motion(path.stem, joints, rate_hz)
    if suffix == ".bvh":
        joints, rate_hz = load_joints(path)
        return Motion(path.stem, joints, rate_hz)
    if suffix == ".npz":
        return _load_npz(path)
    raise MotionError(
        f"{path}: motion files of type '{suffix}' are not known, expected {' or '.join(SUFFIXES)}"
    )


def motion_files(paths: Sequence[Path]) -> list[Path]:
    """Files as they are, and of every folder all motion files in it and below, in order of their paths.

    Raises MotionError for a path that does not exist and a folder without motion.
    """
    files: list[Path] = []
    for path in paths:
        found = (
            [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
        )
        if not found:
            raise MotionError(f"{path}: there is no motion file, expected {' or '.join(SUFFIXES)}")
        files += [file for file in found if file not in files]
    return files


def load_motions(files: Sequence[Path]) -> tuple[dict[Path, Motion], dict[Path, Path]]:
    """The motion of every file; files that hold the same as one before are left out, and named with it.
    Raises MotionError."""
    motions: dict[Path, Motion] = {}
    first: dict[str, Path] = {}
    same: dict[Path, Path] = {}
    for file in files:
        motion = load_motion(file)
        before = first.setdefault(motion.digest, file)
        if before == file:
            motions[file] = motion
        else:
            same[file] = before
    return motions, same


def save_motion(motion: Motion, path: Path) -> None:
    """Write an .npz; `load_motion` gives it back, joints rounded to float32."""
    np.savez_compressed(
        path,
        joints=motion.joints.astype(np.float32),
        rate_hz=motion.rate_hz,
        joint_names=np.array(joint_set(motion.joint_set).joints),
        name=motion.name,
    )


def _load_npz(path: Path) -> Motion:
    try:
        with np.load(path, allow_pickle=False) as file:
            fields = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise MotionError(f"{path}: it cannot be read as an .npz file of arrays ({error})") from error
    for field in ("joints", "rate_hz", "joint_names"):
        if field not in fields:
            raise MotionError(
                f"{path}: array '{field}' is missing, it holds {', '.join(fields) or 'none'}; "
                "expected joints, rate_hz and joint_names"
            )
    joints, rate, names = fields["joints"], fields["rate_hz"], [str(n) for n in fields["joint_names"].flat]
    if joints.ndim != 3 or joints.shape[1:] != (len(names), 3) or joints.dtype.kind != "f":
        raise MotionError(
            f"{path}: 'joints' is {joints.dtype} of shape {joints.shape}, expected floats "
            f"(T, {len(names)}, 3) as there are {len(names)} joint names"
        )
    if rate.size != 1 or rate.dtype.kind not in "iuf":
        raise MotionError(f"{path}: 'rate_hz' is {rate.dtype} of shape {rate.shape}, expected one number")
    known, order = _order(path, names)
    name = str(fields["name"]) if "name" in fields else path.stem
    try:
        motion = Motion(name, joints[:, order].astype(np.float64), float(rate.item()), known.name)
    except MotionError as error:
        raise MotionError(f"{path}: {error}") from None
    lengths = np.median(motion.limb_lengths(), 0)
    if lengths.max() > LONGEST_LIMB_M:
        raise MotionError(
            f"{path}: {' to '.join(LIMBS[int(lengths.argmax())])} is {lengths.max():.3g} long, expected less "
            f"than {LONGEST_LIMB_M:g}: joints must be in metres"
        )
    return motion


def _order(path: Path, names: list[str]) -> tuple[JointSet, list[int]]:
    """The joint set of a file's names, long or short, and where each of its joints stands among them."""
    for known, joints in ((H36M17, H36M17.joints), (H36M17, SHORT_NAMES), (COCO17, COCO17.joints)):
        if set(joints) <= set(names):
            return known, [names.index(joint) for joint in joints]
    missing = [joint for joint in H36M17.joints if joint not in names]
    raise MotionError(
        f"{path}: joint {missing[0]} is not among the joint names {', '.join(names)}; expected "
        f"{', '.join(H36M17.joints)}, or all of {COCO17.name}"
    )
