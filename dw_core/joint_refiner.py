"""What one image's joints say of each other: a small network moves each to where it is, and says how sure it
is of that.

A 2D network's errors are those of what people marked in photographs, and of limbs that the person's own body
hides. They last for seconds, so that no filter can take them away; but the other joints of the image tell of
them: who is seen from the side has a hidden arm, and hips where knees and shoulders leave room for them. The
network sees the joints of one image, wherever and however large the person is, and gives each a move and a
factor for its covariance. It is trained (`dw train joint_refiner`) with the tracker's own likelihood on what
the 2D network, simulated and real, says of people whose joints are known.
Shapes: J joints, any leading axes. Pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dw_core.errors import AssetError, ConfigError
from dw_core.geometry.camera import Array
from dw_core.skeleton import JointSet, partners
from dw_core.types import Float32Array, Skeleton2D

NONE, PACKAGED = "none", "packaged"
ARCHITECTURE = "joint_refiner"
FEATURES, OUTPUTS = 5, 3  # of a joint
# Fewer joints are no person, and stay as they are.
MIN_KNOWN = 6
# No joint is moved further, in parts of the person's size (see `placed`; 10 cm of who stands before the
# camera), and no variance changes by more than a factor of e to this.
MOST, MOST_LOG = 0.25, 3.0
# The logarithm of a spread in parts of the size is about this.
LOG_SPREAD = -3.5

Layer = tuple[Float32Array, Float32Array]


@dataclass(frozen=True, eq=False)
class JointRefiner:
    """The network for a joint set: layers of weights (outputs, inputs) and biases (outputs,), with ReLUs
    between them. Raises ConfigError for layers that do not go from `features` of the joints to their moves
    and factors."""

    joints: JointSet
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        J = len(self.joints)
        sizes = [FEATURES * J, *(len(bias) for _, bias in self.layers)]
        shapes = [weights.shape for weights, _ in self.layers]
        if not shapes or shapes != list(zip(sizes[1:], sizes, strict=False)) or sizes[-1] != OUTPUTS * J:
            raise ConfigError(
                f"the layers of a joint refiner have shapes {shapes}, expected {FEATURES * J} inputs, "
                f"{OUTPUTS * J} outputs, and as many inputs as the layer before has outputs, for joint set "
                f"{self.joints.name}"
            )

    def refined(self, seen: Skeleton2D) -> Skeleton2D:
        """One view's joints where they are, as sure as that is. Raises ConfigError for another number of
        joints than the network's."""
        pixels, covariance = self.refine(seen.pixels, seen.covariance, seen.confidence)
        return replace(seen, pixels=pixels, covariance=covariance)

    def refine(self, pixels: Array, covariance: Array, confidence: Array) -> tuple[Array, Array]:
        """Pixels (..., J, 2) and covariance (..., J, 2, 2) px^2 of joints with a confidence (..., J), moved
        and scaled. The same for the mirror image, and wherever and however large the person is in the image.
        A joint that was not seen stays so, and an image with fewer than MIN_KNOWN stays as it is."""
        if pixels.shape[-2] != len(self.joints):
            raise ConfigError(
                f"a joint refiner for {self.joints.name} was given {pixels.shape[-2]} joints, expected "
                f"{len(self.joints)}"
            )
        seen, _, size = features(pixels, covariance, confidence)
        # the image and its mirror image in one go
        out = self._through(np.stack((seen, mirrored(seen, self.joints))))
        out = (out[0] + mirrored(out[1], self.joints)) / 2
        moves, log_factor = bounded(out)
        known = seen[..., -1] == 0
        moved = pixels + np.where(known[..., None], size[..., None, None] * moves, 0.0)
        factor = np.where(known, np.exp(log_factor), 1.0)[..., None, None]
        return moved, covariance * factor

    def _through(self, x: Float32Array) -> Array:
        """What the layers make of features (..., J, FEATURES): outputs (..., J, OUTPUTS)."""
        shape, J = x.shape[:-2], len(self.joints)
        x = x.reshape(*shape, FEATURES * J)
        for k, (weights, bias) in enumerate(self.layers):
            x = x @ weights.T + bias
            if k < len(self.layers) - 1:
                x = np.maximum(x, 0.0)
        out: Array = x.reshape(*shape, J, OUTPUTS).astype(np.float64)
        return out


def placed(pixels: Array, confidence: Array) -> tuple[Array, Array]:
    """Where the person is (..., 2) px, and its size (...) px: the mean of the joints, weighted with their
    confidence, and their root mean square distance from it. NaN with fewer than MIN_KNOWN joints."""
    known = np.isfinite(pixels).all(-1) & (confidence > 0)
    weight = np.where(known, confidence, 0.0)[..., None]
    places = np.where(known[..., None], pixels, 0.0)
    total = weight.sum(-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = (weight * places).sum(-2) / total
        square = (weight * (places - middle[..., None, :]) ** 2).sum((-2, -1)) / total[..., 0]
    size = np.where((known.sum(-1) >= MIN_KNOWN) & (square > 0), np.sqrt(square), np.nan)
    return middle, size


def features(pixels: Array, covariance: Array, confidence: Array) -> tuple[Float32Array, Array, Array]:
    """What the network sees (..., J, FEATURES) of the joints of an image: where they are, the logarithm of
    their spread and their confidence, all by the person's place and size, and which are missing; beside it
    place (..., 2) and size (...) in px."""
    middle, size = placed(pixels, confidence)
    known = np.isfinite(pixels).all(-1) & (confidence > 0) & np.isfinite(size)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        where = (pixels - middle[..., None, :]) / size[..., None, None]
        spread = np.log(np.trace(covariance, axis1=-2, axis2=-1) / 2 / size[..., None] ** 2) / 2 - LOG_SPREAD
    parts = np.concatenate((where, spread[..., None], confidence[..., None]), -1)
    parts = np.where(known[..., None], np.nan_to_num(parts, posinf=0.0, neginf=0.0), 0.0)
    return np.concatenate((parts, ~known[..., None]), -1).astype(np.float32), middle, size


def bounded(outputs: Array) -> tuple[Array, Array]:
    """Of outputs (..., J, OUTPUTS) the moves (..., J, 2) in parts of the size, and the logarithms (..., J) of
    the variances' factors, within MOST and MOST_LOG."""
    moves = outputs[..., :2]
    length = np.linalg.norm(moves, axis=-1, keepdims=True)
    return moves * (MOST / np.maximum(length, MOST)), np.clip(outputs[..., 2], -MOST_LOG, MOST_LOG)


def mirrored(values: npt.NDArray[np.floating], joints: JointSet) -> npt.NDArray[np.floating]:
    """Features or outputs (..., J, C), x first, of the mirror image."""
    image: npt.NDArray[np.floating] = values[..., partners(joints), :]
    image[..., 0] *= -1
    return image


def packaged_refiner(joints: JointSet) -> Path | None:
    """The file for a joint set that comes with the package, if there is one."""
    path = Path(__file__).with_name(f"joint_refiner_{joints.name}.safetensors")
    return path if path.is_file() else None


def load_refiner(name: str, joints: JointSet) -> JointRefiner | None:
    """The refiner `packaged` for a joint set or of a file; None for "none", and where the package has none.
    Raises AssetError for a file that is not one for these joints."""
    if name == NONE:
        return None
    path = packaged_refiner(joints) if name == PACKAGED else Path(name)
    return None if path is None else _load(path, joints)


def _load(path: Path, joints: JointSet) -> JointRefiner:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = dict(file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise AssetError(
            f"joint refiner {path} does not exist, expected {NONE}, {PACKAGED} or a file written by training"
        ) from None
    except (SafetensorError, OSError) as error:
        raise AssetError(f"joint refiner {path} cannot be read as safetensors: {error}") from error
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
        return JointRefiner(joints, tuple((arrays[weight], arrays[bias]) for weight, bias in names))
    except ConfigError as error:
        raise AssetError(f"{path}: {error}") from error
