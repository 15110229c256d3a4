"""One training from its configuration to its results."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import safe_open

from dw_core.data.splits import load_splits
from dw_core.evaluation.results import finite, rounded, text
from dw_core.training import ablation, evaluate
from dw_core.training.config import load_config
from dw_core.training.joint_refiner import RefinerTask
from dw_core.training.joint_refiner import text as refiner_text
from dw_core.training.loop import BEST, train
from dw_core.training.mcc import MccTask
from dw_core.training.mcc import text as mcc_text
from dw_core.training.parallel import ranks
from dw_core.training.tasks import WarperTask
from dw_core.training.warper import cost

RESULT = "result.json"
TEXTS = {"warper": evaluate.text, "mcc": mcc_text, "joint_refiner": refiner_text}


def train_network(
    network: str, config: Path, joints: str | None, data: Path, out: Path, resume: bool, progress: bool
) -> None:
    """Train a `warper`, `joint_refiner` or `mcc`, and say how good its best weights are: best.safetensors and
    result.json in `out`; or a Warper with each of the `losses`, and say which is how good.

    `joints`: name of a joint set instead of the configuration's. Raises DwError for bad input.
    """
    settings = load_config(config)
    command = f"dw train {network} --config {config}"
    if joints is not None:
        settings = replace(settings, joint_set=joints)
        command += f" --joint-set {joints}"
    splits = load_splits(config.parent / settings.splits)
    with ranks() as here:
        show = progress and here.first
        began = time.monotonic()
        if network == "losses":
            for compared in ablation.compare_losses(settings, splits, data, out, here, resume, progress):
                if here.first:
                    _write(out, {"command": command} | compared)
            if here.first:
                print(ablation.text(compared))
            return
        known: dict[str, Any] = {}
        if network == "warper":
            task = WarperTask(settings, splits, data, show)
            outcome = train(task, settings, out, here, resume, progress)
            known = cost(task.network.cpu(), settings.cells // settings.pooled)
        elif network == "joint_refiner":
            rendered = config.parent / settings.rendered if settings.rendered else None
            refiner = RefinerTask(settings, splits, data, rendered, show)
            outcome = train(refiner, settings, out, here, resume, progress)
        else:
            outcome = train(MccTask(settings, splits, data, show), settings, out, here, resume, progress)
        if not here.first:
            return
        print(f"{outcome.steps} steps in {(time.monotonic() - began) / 60:.1f} minutes: {outcome.reason}")
        if not (out / BEST).exists():
            print(f"there are no weights yet: the first validation is after {settings.validate_every} steps")
            return
        result = {"command": command} | _of_header(out / BEST) | known
        _write(out, result)
        print(TEXTS[network](result))


def _write(out: Path, result: dict[str, Any]) -> None:
    (out / RESULT).write_text(text(finite(rounded(result))) + "\n")


def _of_header(path: Path) -> dict[str, Any]:
    """What the best weights say of themselves."""
    with safe_open(path, framework="numpy") as file:
        about = file.metadata()
    told: dict[str, Any] = {"steps": int(about["steps"]), "data_sha256": about["data_sha256"]}
    return told | {"config": json.loads(about["config"]), **json.loads(about["validation"])}
