"""What the pose priors' trainings found, as the table of their model card.

python -m dw_core.evaluation.prior_report docs/results docs/pose-prior.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dw_core.evaluation.documents import fill, table

TRAININGS = ("pose_prior_coco17", "pose_prior_h36m17")
BLOCK = "pose_prior"


def block_text(trainings: list[dict[str, Any]]) -> str:
    """The commands, and errors without and with the prior."""
    rows, commands = [], []
    for result in trainings:
        config = result["config"]
        commands.append(
            f"`{result['command']}`: weights after {result['steps']} of {config['steps']} steps, seed "
            f"{config['seed']}, motion of SHA-256 `{result['data_sha256'][:16]}`."
        )
        errors = (f"{result[key]:.1f}" for key in ("tracker_mm", "prior_mm", "tracker_relative_mm"))
        rows.append([config["joint_set"], *errors, f"{result['prior_relative_mm']:.1f}"])
    header = ["joints", "absolute without", "with", "relative without", "with"]
    return "\n\n".join((*commands, table(header, rows)))


def results(folder: Path) -> list[dict[str, Any]]:
    """What the trainings of a folder of results found."""
    return [json.loads((folder / f"{name}.json").read_text()) for name in TRAININGS]


if __name__ == "__main__":
    fill(Path(sys.argv[2]), BLOCK, block_text(results(Path(sys.argv[1]))))
