"""MCC: a learned peer that puts five poses between two key frames (method of a baseline, not of the system).

Convolutions along the joints and along time, from two poses to eight time steps and back to one, then a
transposed convolution and one linear layer. The publication leaves padding and some kernels open: with these
it has 2.570 M parameters where 2.586 M are reported. Trained by the squared error. Unlike the publication's
it starts as linear interpolation, to which it adds: else it would need hours to get that far. B samples, J
joints.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from dw_core.data.splits import Splits
from dw_core.errors import AssetError
from dw_core.geometry.camera import Array
from dw_core.skeleton import JointSet, joint_set
from dw_core.training.clips import Clips, load_clips
from dw_core.training.config import TrainingConfig
from dw_core.training.loop import VALIDATION, Seed
from dw_core.training.scenes import moving

POSES = 5
ENCODER, DECODER, LAST = (3, 128, 128, 256, 256, 256, 256), (256, 128, 128, 128, 96), 192
GAP_S = (0.02, 0.4)  # between the key frames, even in its logarithm
NOISE_M = (0.002, 0.04)  # of their joints, even in its logarithm
IN_SCENE = 16  # samples of a scene: one clip, rig and noise are drawn for each


class Mcc(nn.Module):
    """Five poses between two."""

    def __init__(self, joints: int) -> None:
        super().__init__()
        self.joints = joints
        steps: list[nn.Module] = []
        for a, b in zip(ENCODER, ENCODER[1:], strict=False):
            steps += [
                nn.Conv2d(a, b, (3, 1), padding=(1, 0)),
                nn.Conv2d(b, b, (1, 2), padding=(0, 1)),
                nn.ReLU(),
            ]
        for a, b in zip(DECODER, DECODER[1:], strict=False):
            # 8 steps become 4, 2, 1 and stay 1
            padding = (0, 1) if b == DECODER[-1] else 0
            along_time = nn.Conv2d(b, b, (1, 2), stride=(1, 2), padding=padding)
            steps += [nn.Conv2d(a, b, (3, 1), padding=(1, 0)), along_time, nn.ReLU()]
        steps += [nn.ConvTranspose2d(DECODER[-1], LAST, (3, 1), padding=(1, 0)), nn.ReLU(), nn.Flatten()]
        self.body = nn.Sequential(*steps)
        self.out = nn.Linear(LAST * joints, 3 * joints * POSES)
        # so many layers without norms fade away with the usual initialisation
        for layer in self.body:
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, ends: Tensor) -> Tensor:
        """Poses (B, 3, J, 5) between ends (B, 3, J, 2), metres, both about the middle of the ends' hips."""
        added: Tensor = self.out(self.body(ends)).view(-1, 3, self.joints, POSES)
        return linear(ends) + added


def linear(ends: Tensor) -> Tensor:
    """Poses (B, 3, J, 5) evenly between ends (B, 3, J, 2)."""
    weight = torch.arange(1, POSES + 1, device=ends.device) / (POSES + 1)
    return ends[..., :1] * (1 - weight) + ends[..., 1:] * weight


@dataclass(frozen=True, eq=False)
class MccBatch:
    """ends (B, 3, J, 2) as seen and truth (B, 3, J, 5) between them, metres about the ends' hips."""

    ends: Tensor
    truth: Tensor


class MccTask:
    """Trains MCC of `config` on motion of `splits` below `data`. Raises MotionError."""

    def __init__(self, config: TrainingConfig, splits: Splits, data: Path, progress: bool = False) -> None:
        self.config = config
        torch.manual_seed(config.seed)
        self.network = Mcc(len(joint_set(config.joint_set)))
        self._clips, self._others = (
            load_clips(splits, split, data, config.joint_set, progress) for split in ("train", "validation")
        )
        self.data = self._clips.sha256
        self.result: dict[str, Any] = {}

    def make(self, seeds: list[Seed]) -> MccBatch:
        """16 samples for each seed."""
        return make_batch(self._clips, seeds)

    def loss(self, batch: MccBatch, device: torch.device) -> Tensor:
        """Mean squared error (one number), cm^2."""
        found = self.network(batch.ends.to(device)).float()
        return 1e4 * nn.functional.mse_loss(found, batch.truth.to(device))

    @torch.no_grad()
    def validate(self, device: torch.device) -> float:
        """The mean distance of joints of other subjects, mm; beside it that of linear interpolation."""
        seeds: list[Seed] = [(0, VALIDATION, number) for number in range(self.config.validation_scenes)]
        batch = make_batch(self._others, seeds)
        found = self.network(batch.ends.to(device)).float().cpu()
        for name, poses in (("mcc", found), ("linear", linear(batch.ends))):
            self.result[f"{name}_mm"] = 1e3 * float((poses - batch.truth).norm(dim=1).mean())
        return float(self.result["mcc_mm"])

    def save(self, path: Path, step: int) -> None:
        """Write the weights, with the configuration, the motion's hash and the validation in the header."""
        about = {
            "architecture": "mcc", "joints": ",".join(joint_set(self.config.joint_set).joints),
            "config": self.config.to_json(), "data_sha256": self.data, "steps": str(step),
            "validation": json.dumps(self.result),
        }  # fmt: skip
        save_file({k: v.cpu().contiguous() for k, v in self.network.state_dict().items()}, path, about)


def text(result: dict[str, Any]) -> str:
    """What the validation found, for a terminal."""
    return f"between key frames: MCC {result['mcc_mm']:.1f} mm, linear {result['linear_mm']:.1f} mm"


def make_batch(clips: Clips, seeds: list[Seed]) -> MccBatch:
    """Samples of some seeds: 16 of each."""
    ends, truth = zip(
        *(_sample(clips, rng) for rng in map(np.random.default_rng, seeds) for _ in range(IN_SCENE)),
        strict=True,
    )
    return MccBatch(*(torch.from_numpy(np.stack(part)).float() for part in (ends, truth)))


def _sample(clips: Clips, rng: np.random.Generator) -> tuple[Array, Array]:
    """Ends (3, J, 2) and what is between (3, J, 5)."""
    motion = clips.pick(rng)
    gap, noise = np.exp(rng.uniform(*np.log((GAP_S, NOISE_M)).T))
    poses = moving(motion, np.linspace(0, gap, POSES + 2), np.zeros(3), rng)
    ends = poses[[0, -1]] + rng.normal(0, noise, (2, *poses.shape[1:]))
    middle = hips(joint_set(motion.joint_set), ends).mean(0)
    ends, between = (one - middle for one in (ends, poses[1:-1]))
    return ends.transpose(2, 1, 0), between.transpose(2, 1, 0)


def hips(joints: JointSet, poses: Array) -> Array:
    """Where the hips' middle of poses (..., J, 3) is, (..., 3)."""
    both = [poses[..., joints.index(f"{side}_hip"), :] for side in ("left", "right")]
    return (both[0] + both[1]) / 2


@torch.no_grad()
def between(weights: Path, joints: JointSet, first: Array, last: Array) -> Array:
    """Poses (N, 5, J, 3) between the first (N, J, 3) and the last (N, J, 3), metres, evenly in time; NaN
    where one of them is not whole. Raises AssetError for a file that is not MCC's for these joints."""
    network = load_mcc(weights, joints)
    middle = (hips(joints, first) + hips(joints, last))[:, None] / 2
    ends = np.stack((first - middle, last - middle), -1).transpose(0, 2, 1, 3)
    found = network(torch.from_numpy(np.nan_to_num(ends)).float()).double().numpy()
    whole = np.isfinite(ends).all((1, 2, 3))[:, None, None, None]
    poses: Array = np.where(whole, found.transpose(0, 3, 2, 1) + middle[:, None], np.nan)
    return poses


def load_mcc(path: Path, joints: JointSet) -> Mcc:
    """The network of a file. Raises AssetError when it is not MCC's for these joints."""
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise AssetError(f"weights of MCC {path} cannot be read as safetensors: {error}") from error
    if about.get("architecture") != "mcc" or about.get("joints") != ",".join(joints.joints):
        raise AssetError(
            f"weights {path} are of architecture '{about.get('architecture', '')}' for joints "
            f"'{about.get('joints', '')}', expected mcc for those of {joints.name}"
        )
    network = Mcc(len(joints))
    network.load_state_dict(state)
    return network.eval()
