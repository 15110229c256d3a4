"""The losses that a Warper can be trained with, compared: one training with each, with and without the loss
in space, all of them on the same scenes in the same order from the same first weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from safetensors import safe_open

from dw_core.data.splits import Splits
from dw_core.training.config import Loss, TrainingConfig
from dw_core.training.loop import BEST, train
from dw_core.training.parallel import Ranks
from dw_core.training.tasks import WarperTask

JUDGED = ("cells", "median_cells", "pixels", "points_mm", "median_points_mm")


def compare_losses(
    config: TrainingConfig, splits: Splits, data: Path, out: Path, here: Ranks, resume: bool, progress: bool
) -> Iterator[dict[str, Any]]:
    """Train with every loss, each in a folder of its own in `out`, and say after each how far off joints and
    points of the validation's subjects are with the best weights of those done. Raises DwError as a training
    does."""
    # one process, whose pool of scenes serves all trainings
    config = replace(config, workers=0, loss="heatmap")
    task = WarperTask(config, splits, data, progress)
    common = {name: value for name, value in vars(config).items() if name not in ("loss", "weight_3d")}
    results = []
    for loss in get_args(Loss):
        for weight in dict.fromkeys((config.weight_3d, 0.0)):
            folder = out / f"{loss}_{'space' if weight else 'maps'}"
            one = task.with_loss(loss, weight)
            train(one, one.config, folder, here, resume, progress)
            results.append({"loss": loss, "weight_3d": weight} | _judged(folder / BEST))
            yield {"data_sha256": task.data, "config": common, "results": results}


def _judged(weights: Path) -> dict[str, Any]:
    with safe_open(weights, framework="numpy") as file:
        about = file.metadata()
    found = json.loads(about["validation"])
    return {"steps": int(about["steps"]), "views": found["views"]} | {name: found[name] for name in JUDGED}


def text(result: dict[str, Any]) -> str:
    """What was found, for a terminal."""
    lines = [f"{'loss':20}{'cells':>10}{'pixels':>10}{'mm':>10}{'median mm':>12}"]
    for one in result["results"]:
        name = f"{one['loss']}{', and in space' if one['weight_3d'] else ''}"
        values = (one[key]["warper"] for key in ("cells", "pixels", "points_mm"))
        median = one["median_points_mm"]["warper"]
        lines.append(f"{name:20}" + "".join(f"{value:10.2f}" for value in values) + f"{median:12.1f}")
    return "\n".join(lines)
