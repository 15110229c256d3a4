"""What skeletons look like: a small network that knows people from motion capture moves joints to where they
are.

Errors that a 2D network makes for seconds are in every view's rays, and no filter can take them away; but
they give hips, trunks and limbs that people do not have. The network sees one skeleton in the frame of its
trunk and says by how much each joint is off. It is trained (`dw train pose_prior`) on what the tracker makes
of a simulated 2D network's joints. Shapes: J joints, any leading axes. Metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dw_core.anatomy import trunk_frames
from dw_core.errors import AssetError, ConfigError
from dw_core.geometry.camera import Array
from dw_core.skeleton import JointSet
from dw_core.types import Float32Array

NONE, PACKAGED = "none", "packaged"
ARCHITECTURE = "pose_prior"
TRUNK = ("left_hip", "right_hip", "left_shoulder", "right_shoulder")
# Lengths are put into the network as parts of this one.
SCALE_M = 0.3
# No joint is moved further: what the network was trained on is nearly always nearer than that.
MOST_M = 0.1

Layer = tuple[Float32Array, Float32Array]


@dataclass(frozen=True, eq=False)
class PosePrior:
    """The network for a joint set: layers of weights (outputs, inputs) and biases (outputs,), with ReLUs
    between them. Raises ConfigError for layers that do not go from `features` of the joints to their
    moves."""

    joints: JointSet
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        J = len(self.joints)
        sizes = [4 * J, *(len(bias) for _, bias in self.layers)]
        shapes = [weights.shape for weights, _ in self.layers]
        if not shapes or shapes != list(zip(sizes[1:], sizes, strict=False)) or sizes[-1] != 3 * J:
            raise ConfigError(
                f"the layers of a pose prior have shapes {shapes}, expected {4 * J} inputs, {3 * J} outputs, "
                f"and as many inputs as the layer before has outputs, for joint set {self.joints.name}"
            )

    def corrected(self, positions: Array, joints: JointSet) -> Array:
        """Joints (..., J, 3) moved to where such a skeleton has them. Without one of hips and shoulders a
        skeleton stays as it is; a joint that is missing stays so. The same for the mirror image, and wherever
        a skeleton stands. Raises ConfigError for another joint set than the network's."""
        if joints != self.joints:
            raise ConfigError(f"a pose prior for {self.joints.name} was given joints of {joints.name}")
        frames, places = in_trunk(positions, joints)
        moves = (self._moves(places) + mirrored(self._moves(mirrored(places, joints)), joints)) / 2
        length = np.linalg.norm(moves, axis=-1, keepdims=True)
        moves = moves * np.minimum(1.0, MOST_M / np.maximum(length, MOST_M))
        shift = np.einsum("...kc,...jk->...jc", frames, moves)
        moved: Array = positions + np.where(np.isfinite(shift), shift, 0.0)
        return moved

    def _moves(self, places: Array) -> Array:
        """Where joints at places (..., J, 3) in the trunk's frame are, from there."""
        x = features(places)
        for k, (weights, bias) in enumerate(self.layers):
            x = x @ weights.T + bias
            if k < len(self.layers) - 1:
                x = np.maximum(x, 0.0)
        moves: Array = SCALE_M * x.reshape(places.shape).astype(np.float64)
        return moves


def in_trunk(positions: Array, joints: JointSet) -> tuple[Array, Array]:
    """The trunk's frame (..., 3, 3), axes in rows, and joints (..., J, 3) in it, from the middle of hips and
    shoulders; NaN where one of these is missing."""
    frames = trunk_frames(positions, joints)
    middle = positions[..., [joints.index(name) for name in TRUNK], :].mean(-2, keepdims=True)
    places: Array = np.einsum("...kc,...jc->...jk", frames, positions - middle)
    return frames, places


def features(places: Array) -> Float32Array:
    """What the network sees (..., 4 J) of joints (..., J, 3) in the trunk's frame: where they are, and which
    are missing."""
    missing = np.isnan(places).any(-1, keepdims=True)
    known = np.where(missing, 0.0, places / SCALE_M)
    flat = (*places.shape[:-2], -1)
    return np.concatenate((known.reshape(flat), missing.reshape(flat)), -1).astype(np.float32)


def mirrored(places: Array, joints: JointSet) -> Array:
    """Joints (..., J, 3) of the mirror image, in the trunk's frame."""
    pairs: npt.NDArray[np.intp] = np.array([joints.index(joints.partner(name)) for name in joints.joints])
    image: Array = places[..., pairs, :] * (-1.0, 1.0, 1.0)
    return image


def packaged_prior(joints: JointSet) -> Path | None:
    """The file for a joint set that comes with the package, if there is one."""
    path = Path(__file__).with_name(f"pose_prior_{joints.name}.safetensors")
    return path if path.is_file() else None


def load_prior(name: str, joints: JointSet) -> PosePrior | None:
    """The pose prior `packaged` for a joint set or of a file; None for "none", and where the package has
    none. Raises AssetError for a file that is not one for these joints."""
    if name == NONE:
        return None
    path = packaged_prior(joints) if name == PACKAGED else Path(name)
    return None if path is None else _load(path, joints)


def _load(path: Path, joints: JointSet) -> PosePrior:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = dict(file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise AssetError(
            f"pose prior {path} does not exist, expected {NONE}, {PACKAGED} or a file written by training"
        ) from None
    except (SafetensorError, OSError) as error:
        raise AssetError(f"pose prior {path} cannot be read as safetensors: {error}") from error
    if about.get("architecture") != ARCHITECTURE or about.get("joints") != ",".join(joints.joints):
        raise AssetError(
            f"{path} holds architecture '{about.get('architecture', '')}' for joints "
            f"'{about.get('joints', '')}', expected {ARCHITECTURE} for those of {joints.name}"
        )
    names = [(f"{k}.weight", f"{k}.bias") for k in range(0, len(arrays), 2)]
    if set(arrays) != {name for pair in names for name in pair}:
        raise AssetError(
            f"{path} holds arrays {', '.join(arrays)}, expected 0.weight, 0.bias, 2.weight and so on"
        )
    try:
        return PosePrior(joints, tuple((arrays[weight], arrays[bias]) for weight, bias in names))
    except ConfigError as error:
        raise AssetError(f"{path}: {error}") from error
