"""Weights of a Warper in a file: safetensors, with what they are for in its header."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dw_core.errors import AssetError
from dw_core.types import Float32Array

ARCHITECTURES = ("fast", "paper")


@dataclass(frozen=True, eq=False)
class WarperWeights:
    """Arrays by the names of the network's parameters, which network it is, the names of its joints in
    order, and whatever else the training wrote about itself."""

    architecture: str
    joints: tuple[str, ...]
    arrays: dict[str, Float32Array]
    about: dict[str, str] = field(default_factory=dict)


def packaged_weights(joint_set: str) -> Path | None:
    """The fast Warper's weights for a joint set that come with the package, if there are any."""
    path = Path(__file__).with_name(f"warper_{joint_set}.safetensors")
    return path if path.is_file() else None


def save_weights(weights: WarperWeights, path: Path) -> None:
    """Write the file that `load_weights` reads."""
    from safetensors.numpy import save_file

    header = {"architecture": weights.architecture, "joints": ",".join(weights.joints)}
    save_file(weights.arrays, path, metadata=weights.about | header)


def load_weights(path: Path) -> WarperWeights:
    """Read the weights of a Warper. Raises AssetError when the file is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = dict(file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise AssetError(f"Warper weights {path} do not exist, expected a file written by training") from None
    except (SafetensorError, OSError) as error:
        raise AssetError(f"Warper weights {path} cannot be read as safetensors: {error}") from error
    architecture, joints = about.pop("architecture", ""), about.pop("joints", "")
    if architecture not in ARCHITECTURES or not joints:
        raise AssetError(
            f"Warper weights {path} are of architecture '{architecture}' for joints '{joints}', "
            f"expected one of {', '.join(ARCHITECTURES)} and the names of the joints in the file's header"
        )
    return WarperWeights(architecture, tuple(joints.split(",")), arrays, about)
