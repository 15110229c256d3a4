"""The tasks that can be trained, made from a configuration and a folder of motion capture."""

from __future__ import annotations

import json
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dw_core.data.rigs import load_h36m
from dw_core.data.splits import Splits
from dw_core.detector.model import load_model
from dw_core.fusion.fast_warper import FastWarper
from dw_core.fusion.paper_warper import PaperWarper
from dw_core.fusion.torch_weights import weights_of
from dw_core.fusion.weights import save_weights
from dw_core.geometry.camera import Rig
from dw_core.skeleton import joint_set
from dw_core.training.clips import load_clips
from dw_core.training.config import Loss, TrainingConfig
from dw_core.training.evaluate import judge, make_validation
from dw_core.training.loop import VALIDATION, Seed
from dw_core.training.scenes import Source, make_scene, some_views
from dw_core.training.warper import (
    Batch,
    Network,
    Seen,
    collate,
    loss_2d,
    loss_3d,
    motion,
    on_device,
    seen,
)

# Subjects of Human3.6M's camera file whose rigs are trained on; those of the others are for tests.
H36M_SUBJECTS = ("S1", "S5", "S6", "S7", "S8")


class WarperTask:
    """Trains a Warper of `config` on motion of `splits` below `data`. Raises MotionError and CalibrationError
    for files that cannot be used."""

    def __init__(self, config: TrainingConfig, splits: Splits, data: Path, progress: bool = False) -> None:
        self.config = config
        self.network = _network(config)
        self._source, held_out = (
            load_source(config, splits, split, data, progress) for split in ("train", "validation")
        )
        self.data = self._source.clips.sha256
        self._kept = _maps(config)
        seeds = [(0, VALIDATION, number) for number in range(config.validation_scenes)]
        judged = () if config.architecture == "fast" else self._kept
        self.validation = make_validation(held_out, seeds, judged, config.lag, config.pooled)
        self._pool: dict[Seed, Seen] = {}
        self.result: dict[str, Any] = {}

    def with_loss(self, loss: Loss, weight_3d: float) -> WarperTask:
        """The same from the beginning with another loss, and with the scenes that are there already. The loss
        `heatmap` needs maps that are kept only by a task that was made for it."""
        other = copy(self)
        other.config = replace(self.config, loss=loss, weight_3d=weight_3d)
        other.network, other.result = _network(other.config), {}
        return other

    def make(self, seeds: list[Seed]) -> Batch:
        """The batch of some scenes; those of a pool are kept, and not made twice by one process."""
        return collate([self._scene(seed) for seed in seeds], _maps(self.config))

    def _scene(self, seed: Seed) -> Seen:
        if seed in self._pool:
            return self._pool[seed]
        rng = np.random.default_rng(seed)
        made = make_scene(self._source, rng)
        made = some_views(made, self.config.views or len(made.at), rng)
        in_space = seed[-1] % self.config.every_3d == 0
        one = seen(made, self._kept, in_space, self.config.lag, self.config.pooled)
        if self.config.pool:
            self._pool[seed] = one
        return one

    def loss(self, batch: Batch, device: torch.device) -> Tensor:
        """Loss (one number) in the maps plus `weight_3d` times that in space."""
        batch = on_device(batch, device)
        move, keep = (one.float() for one in motion(self.network, batch))
        loss = loss_2d(self.network, batch, self.config.loss, move, keep)
        if self.config.weight_3d:
            # those that count stand for all
            loss = loss + self.config.weight_3d * self.config.every_3d * loss_3d(batch, move, keep)
        return loss

    def validate(self, device: torch.device) -> float:
        """The mean error in the maps of other subjects, cells."""
        self.result = judge(self.validation, self.network, device)
        return float(self.result["cells"]["warper"])

    def save(self, path: Path, step: int) -> None:
        """Write the weights, with the configuration, the motion's hash and the validation in the header."""
        about = {
            "config": self.config.to_json(),
            "data_sha256": self.data,
            "steps": str(step),
            "validation": json.dumps(self.result),
        }
        save_weights(weights_of(self.network, joint_set(self.config.joint_set), **about), path)


def load_source(
    config: TrainingConfig, splits: Splits, split: str, data: Path, progress: bool = False
) -> Source:
    """What the scenes of a split are made of. Raises MotionError and CalibrationError for files that cannot
    be used."""
    rigs: list[Rig] = []
    if config.cameras:
        rigs = [load_h36m(data / config.cameras, subject) for subject in H36M_SUBJECTS]
    clips = load_clips(splits, split, data, config.joint_set, progress)
    return Source(clips, load_model(), rigs, config.cells)


def _network(config: TrainingConfig) -> Network:
    torch.manual_seed(config.seed)
    J = len(joint_set(config.joint_set))
    network = FastWarper if config.architecture == "fast" else PaperWarper
    return network(J, config.width)


def _maps(config: TrainingConfig) -> tuple[str, ...]:
    """The maps that a training needs: the fast Warper moves joints, and takes none but for one loss."""
    if config.architecture == "fast":
        return ("raw",) if config.loss == "heatmap" else ()
    return "raw", "fused"
