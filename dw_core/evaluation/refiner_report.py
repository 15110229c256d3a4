"""What the joint refiners' trainings found, as the table of their model card.

python -m dw_core.evaluation.refiner_report docs/results docs/joint-refiner.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dw_core.evaluation.documents import fill, table

TRAININGS = ("joint_refiner_coco17", "joint_refiner_h36m17")
BLOCK = "joint_refiner"
IMAGES = ("simulated", "rendered")


def block_text(trainings: list[dict[str, Any]]) -> str:
    """The commands, and errors and losses without and with the refiner."""
    rows, commands = [], []
    for result in trainings:
        config = result["config"]
        commands.append(
            f"`{result['command']}`: weights after {result['steps']} of {config['steps']} steps, seed "
            f"{config['seed']}, data of SHA-256 `{result['data_sha256'][:16]}`."
        )
        for images in IMAGES:
            if f"{images}_seen" in result:
                errors = (f"{100 * result[f'{images}_{what}']:.2f}" for what in ("seen", "refined"))
                losses = (f"{result[f'{images}_{what}']:.3f}" for what in ("loss_without", "loss"))
                rows.append([config["joint_set"], images, *errors, *losses])
    header = ["joints", "images", "error as seen, % of the size", "refined", "loss without", "with"]
    return "\n\n".join((*commands, table(header, rows)))


def results(folder: Path) -> list[dict[str, Any]]:
    """What the trainings of a folder of results found."""
    return [json.loads((folder / f"{name}.json").read_text()) for name in TRAININGS]


if __name__ == "__main__":
    fill(Path(sys.argv[2]), BLOCK, block_text(results(Path(sys.argv[1]))))
