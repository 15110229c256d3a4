"""Warper networks to weights and back."""

from __future__ import annotations

import torch

from dw_core.errors import AssetError
from dw_core.fusion.fast_warper import FastWarper
from dw_core.fusion.paper_warper import WIDTH, PaperWarper
from dw_core.fusion.weights import WarperWeights
from dw_core.skeleton import JointSet

# Batch normalisation counts its batches; nothing depends on it.
_COUNTER = "num_batches_tracked"


def weights_of(network: FastWarper | PaperWarper, joints: JointSet, **about: str) -> WarperWeights:
    """The weights of a network, with what else to write into the file's header."""
    arrays = {
        name: value.detach().cpu().float().numpy()
        for name, value in network.state_dict().items()
        if not name.endswith(_COUNTER)
    }
    architecture = "fast" if isinstance(network, FastWarper) else "paper"
    return WarperWeights(architecture, joints.joints, arrays, about)


def network_of(weights: WarperWeights) -> FastWarper | PaperWarper:
    """The network with these weights, in evaluation mode. Raises AssetError when they do not fit it."""
    J = len(weights.joints)
    network: FastWarper | PaperWarper
    if weights.architecture == "paper":
        first = weights.arrays.get("blocks.0.conv1.weight")
        network = PaperWarper(J, WIDTH if first is None else len(first))
    else:
        network = FastWarper(J, weights.arrays["joint"].shape[-1] if "joint" in weights.arrays else 1)
    state = {name: torch.from_numpy(array.copy()) for name, array in weights.arrays.items()}
    state |= {name: value for name, value in network.state_dict().items() if name.endswith(_COUNTER)}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise AssetError(f"the weights do not fit the {weights.architecture} Warper: {error}") from error
    return network.eval()
