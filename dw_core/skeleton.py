"""Joint sets: which joint is which, by name. Nothing is matched by index alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dw_core.errors import ConfigError


@dataclass(frozen=True)
class JointSet:
    """Names of J joints, the bones between them, and the side of the body of each joint."""

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Index of a joint. Raises ConfigError for a name that the set does not have."""
        try:
            return self.joints.index(joint)
        except ValueError:
            raise ConfigError(
                f"joint set {self.name} has no joint '{joint}'; it has {', '.join(self.joints)}"
            ) from None

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """The bones as pairs of joint indices."""
        return tuple((self.index(a), self.index(b)) for a, b in self.bones)

    def side(self, joint: str) -> str:
        """'left', 'right' or 'centre', from the name."""
        prefix = joint.split("_")[0]
        return prefix if prefix in ("left", "right") else "centre"

    def partner(self, joint: str) -> str:
        """The same joint on the other side (a central joint is its own partner)."""
        swap = {"left": "right", "right": "left"}
        head, _, tail = joint.partition("_")
        return f"{swap[head]}_{tail}" if head in swap else joint


@lru_cache(maxsize=8)
def partners(joints: JointSet) -> npt.NDArray[np.intp]:
    """Index (J,) of every joint's counterpart on the other side; its own where it has none."""
    return np.array([joints.index(joints.partner(joint)) for joint in joints.joints])


COCO17 = JointSet(
    name="coco17",
    joints=(
        "nose", "left_eye", "right_eye", "left_ear", "right_ear",
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
        "left_wrist", "right_wrist", "left_hip", "right_hip",
        "left_knee", "right_knee", "left_ankle", "right_ankle",
    ),
    bones=(
        ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"),
        ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"),
        ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
        ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
        ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
        ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
        ("nose", "left_eye"), ("nose", "right_eye"),
        ("left_eye", "left_ear"), ("right_eye", "right_ear"),
    ),
)  # fmt: skip

# The joints that Human3.6M is evaluated on, in the order of its image tool-boxes. `neck` is where the collar
# bones meet, `head` the crown.
H36M17 = JointSet(
    name="h36m17",
    joints=(
        "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
        "belly", "neck", "nose", "head", "left_shoulder", "left_elbow", "left_wrist",
        "right_shoulder", "right_elbow", "right_wrist",
    ),
    bones=(
        ("pelvis", "right_hip"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
        ("pelvis", "left_hip"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
        ("pelvis", "belly"), ("belly", "neck"), ("neck", "nose"), ("nose", "head"),
        ("neck", "left_shoulder"), ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
        ("neck", "right_shoulder"), ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
    ),
)  # fmt: skip

JOINT_SETS = {joints.name: joints for joints in (COCO17, H36M17)}


def joint_set(name: str) -> JointSet:
    """Joint set by name. Raises ConfigError listing the known names."""
    if name not in JOINT_SETS:
        raise ConfigError(f"unknown joint set '{name}'; known: {', '.join(JOINT_SETS)}")
    return JOINT_SETS[name]
