"""One training from its configuration to its results."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

from dw_core.data.splits import load_splits
from dw_core.fusion.weights import load_weights
from dw_core.training import evaluate
from dw_core.training.config import load_config
from dw_core.training.loop import BEST, train
from dw_core.training.parallel import ranks
from dw_core.training.tasks import WarperTask

RESULT = "result.json"


def train_warper(
    config: Path, joints: str | None, data: Path, out: Path, resume: bool, progress: bool
) -> None:
    """Train a Warper and say how good its best weights are: best.safetensors and result.json in `out`.

    `joints`: name of a joint set instead of the configuration's. Raises DwError for bad input.
    """
    settings = load_config(config)
    command = f"dw train warper --config {config}"
    if joints is not None:
        settings = replace(settings, joint_set=joints)
        command += f" --joint-set {joints}"
    splits = load_splits(config.parent / settings.splits)
    with ranks() as here:
        task = WarperTask(settings, splits, data, progress and here.first)
        began = time.monotonic()
        outcome = train(task, settings, out, here, resume, progress)
        if not here.first:
            return
        print(f"{outcome.steps} steps in {(time.monotonic() - began) / 60:.1f} minutes: {outcome.reason}")
        if not (out / BEST).exists():
            print(f"there are no weights yet: the first validation is after {settings.validate_every} steps")
            return
        about = load_weights(out / BEST).about
        result = {
            "command": command,
            "config": json.loads(about["config"]),
            "data_sha256": about["data_sha256"],
        }
        result |= {"steps": int(about["steps"]), **json.loads(about["validation"])}
        (out / RESULT).write_text(json.dumps(result, indent=2) + "\n")
        print(evaluate.text(result))
