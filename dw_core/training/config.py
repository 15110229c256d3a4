"""What a training does, from a YAML file: every entry has a name of its own and is checked."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from dw_core.errors import ConfigError
from dw_core.fusion.weights import ARCHITECTURES
from dw_core.skeleton import joint_set

Loss = Literal["barron", "l1", "l2", "heatmap"]
Precision = Literal["auto", "float32", "bfloat16"]
Lag = Literal["measured", "nominal"]

_POSITIVE = (
    "width", "cells", "pooled", "scenes", "every_3d", "steps", "learning_rate", "validation_scenes",
    "validate_every", "checkpoint_every", "patience",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Entries of a configuration file; what each means stands in config/train/warper.yaml.

    Raises ConfigError for values out of range.
    """

    joint_set: str
    architecture: str = "fast"
    width: int = 96
    cells: int = 64
    splits: str
    cameras: str = ""
    rendered: str = ""
    scenes: int = 8
    pooled: int = 1
    views: int = 0
    pool: int = 0
    lag: Lag = "measured"
    loss: Loss = "barron"
    weight_3d: float = 1.0
    every_3d: int = 1
    seed: int = 0
    steps: int
    learning_rate: float
    precision: Precision = "auto"
    workers: int = 1
    validation_scenes: int = 64
    validate_every: int = 500
    checkpoint_every: int = 200
    patience: int = 10
    max_minutes: float = 0.0

    def __post_init__(self) -> None:
        joint_set(self.joint_set)
        for name, known in (
            ("architecture", ARCHITECTURES), ("lag", get_args(Lag)), ("loss", get_args(Loss)),
            ("precision", get_args(Precision)),
        ):  # fmt: skip
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"training: {name} is '{getattr(self, name)}', expected one of {', '.join(known)}"
                )
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise ConfigError(f"training: {name} is {getattr(self, name)}, expected more than 0")
        for name in ("views", "pool", "weight_3d", "seed", "workers", "max_minutes"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"training: {name} is {getattr(self, name)}, expected 0 or more")

        if self.views and self.weight_3d:
            raise ConfigError("training: the loss in space needs all views: set weight_3d or views to 0")
        whole = self.architecture == "paper" and self.loss != "heatmap" and self.cells % self.pooled == 0
        if self.pooled > 1 and not whole:
            raise ConfigError(
                f"training: pooled is {self.pooled}, expected 1, or for the paper's network with a loss of "
                f"positions a divisor of {self.cells} cells"
            )

    def to_json(self) -> str:
        """All entries, for headers and checkpoints."""
        return json.dumps(asdict(self), sort_keys=True)


def load_config(path: Path) -> TrainingConfig:
    """The configuration of a YAML file. Raises ConfigError that names the file and the entry."""
    try:
        entries = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: it cannot be read as YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(entries, dict):
        raise ConfigError(f"{path}: it holds no entries, expected those of config/train/warper.yaml")
    known = {field.name: field for field in fields(TrainingConfig)}
    for name, value in entries.items():
        if name not in known:
            raise ConfigError(f"{path}: unknown entry '{name}', expected one of {', '.join(known)}")
        entries[name] = _typed(path, name, str(known[name].type), value)
    missing = [n for n in ("joint_set", "splits", "steps", "learning_rate") if n not in entries]
    if missing:
        raise ConfigError(f"{path}: entry '{missing[0]}' is missing")
    try:
        return TrainingConfig(**entries)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _typed(path: Path, name: str, kind: str, value: Any) -> Any:
    """A value of YAML as its field has it. Raises ConfigError for another type."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if (kind == "int" and isinstance(value, int) and number) or (kind == "float" and number):
        return value
    if kind in ("str", "Lag", "Loss", "Precision") and isinstance(value, str):
        return value
    raise ConfigError(f"{path}: entry '{name}' is {value!r}, which is no {kind}")
