"""Checkpoints of a training: everything that the next step depends on, written whole or not at all."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dw_core.errors import ConfigError
from dw_core.training.config import TrainingConfig

NAME = "checkpoint.pt"
# What a training may have otherwise when it goes on: it does not change the result.
FREE = ("max_minutes", "workers", "checkpoint_every")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """State after `step` steps: of the network, of the optimiser, the best validation so far, and how many
    validations ago that was. There are no random numbers to keep: every step draws its own."""

    step: int
    network: dict[str, Any]
    optimiser: dict[str, Any]
    best: float
    since_best: int


def replace_file(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file so that there is always the old one or the new one, also when the process is killed."""
    part = path.with_name(f"{path.name}.part")
    write(part)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def save_checkpoint(folder: Path, state: Checkpoint, config: TrainingConfig, data: str) -> None:
    """Write the checkpoint of a training with a configuration on motion with SHA-256 `data`."""
    content = vars(state) | {"config": config.to_json(), "data": data}
    replace_file(folder / NAME, lambda part: torch.save(content, part))


def load_checkpoint(folder: Path, config: TrainingConfig, data: str) -> Checkpoint | None:
    """The checkpoint to go on from; None when none was written yet.

    Raises ConfigError when it is none, or of another configuration or motion.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        # an entry that is younger than the checkpoint had its default
        before = vars(TrainingConfig(**json.loads(content.pop("config"))))
        motion = content.pop("data")
        state = Checkpoint(**content)
    except (
        OSError,
        RuntimeError,
        pickle.UnpicklingError,
        KeyError,
        TypeError,
        ValueError,
        EOFError,
    ) as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(f"{path} cannot be read as a checkpoint: {why}") from error
    now = vars(config)
    changed = [name for name in now if name not in FREE and now[name] != before[name]]
    if changed:
        raise ConfigError(
            f"{path} is of a training with {changed[0]} {before[changed[0]]}, and it is to go on with "
            f"{now[changed[0]]}: use the same configuration, or another folder"
        )
    if motion != data:
        raise ConfigError(f"{path} is of a training on other motion than is there now, use another folder")
    return state
