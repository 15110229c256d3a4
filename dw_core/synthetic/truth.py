"""The truth beside rendered footage: where every joint was, as `record.py` wrote it."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dw_core.data.footage import ping_pong
from dw_core.errors import ConfigError, MediaError
from dw_core.geometry.camera import Array
from dw_core.skeleton import JointSet
from dw_core.types import NS

FILE = "truth.npz"
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Truth:
    """Of T frames at even times, P people, J joints, K pivots, M cameras: joints (T, P, J, 3) and pivots
    (T, P, K, 3) in metres, world frame; pixels (M, T, P, J, 2); what is `inside` of the image, `hidden` by
    something else, and `self_hidden` (M, T, P, J)."""

    rate_hz: float
    joints: Array
    joint_names: tuple[str, ...]
    pivots: Array
    pivot_names: tuple[str, ...]
    cameras: tuple[str, ...]
    pixels: Array
    inside: BoolArray
    hidden: BoolArray
    self_hidden: BoolArray

    @property
    def in_view(self) -> BoolArray:
        """Which joints (M, T, P, J) a camera sees with nothing before them but their own body."""
        return self.inside & ~self.hidden

    def require(self, joints: JointSet) -> None:
        """Raises ConfigError when the truth is of other joints."""
        if self.joint_names != joints.joints:
            raise ConfigError(
                f"the truth is of joints {', '.join(self.joint_names)}, expected those of {joints.name}"
            )

    def joints_at(self, elapsed_ns: int) -> Array:
        """Joints (P, J, 3) at a time of the endless stream that the footage plays (see `ping_pong`)."""
        joints: Array = self.joints[ping_pong(round(elapsed_ns * self.rate_hz / NS), len(self.joints))]
        return joints


def has_truth(folder: Path) -> bool:
    """Whether footage is rendered, with the truth beside it."""
    return (folder / FILE).is_file()


def load_truth(folder: Path) -> Truth:
    """The truth of rendered footage. Raises MediaError when there is none."""
    path = folder / FILE
    try:
        with np.load(path) as file:
            data = {name: file[name] for name in file.files}
        stamps = data["stamps_ns"]
        rate_hz = NS * (len(stamps) - 1) / float(stamps[-1] - stamps[0]) if len(stamps) > 1 else 1.0
        names, joints, cameras = (
            tuple(map(str, data[name])) for name in ("pivot_names", "joint_names", "cameras")
        )
        return Truth(
            rate_hz, data["joints"], joints, data["pivots"], names, cameras, data["pixels"], data["inside"],
            data["hidden"], data["self_hidden"],
        )  # fmt: skip
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise MediaError(
            f"{path}: no truth can be read ({error}), expected a file that `dw render` wrote"
        ) from error
