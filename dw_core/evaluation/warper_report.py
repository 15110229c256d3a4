"""What the trained Warper is worth, as a table of its model card.

python -m dw_core.evaluation.warper_report docs/results/warper_coco17.json docs/warper.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dw_core.evaluation.documents import fill, table

METHODS = {
    "copy": "stale map as it is",
    "velocity": "moved on at the view's own velocity",
    "fused": "spatial fusion",
    "warper": "Warper",
}


def block_text(result: dict[str, Any]) -> str:
    """The tables of one training's result: errors in the map by lag, and in space."""
    rows = [
        [_views(entry), str(entry["views"]), *(_number(entry["cells"][name], 2) for name in METHODS)]
        for entry in result["bins"]
        if entry["views"]
    ]
    for name, key in (("all, mean", "cells"), ("all, median", "median_cells")):
        rows.append([name, str(result["views"]), *(_number(result[key][method], 2) for method in METHODS)])
    in_space = [
        [title, *(_number(result[key].get(method), 1) for method in METHODS)]
        for title, key in (("mean", "points_mm"), ("median", "median_points_mm"))
    ]
    config = result["config"]
    done = result["steps"]
    return "\n\n".join(
        (
            f"`{result['command']}`: weights after {done} of {config['steps']} steps of {config['scenes']} "
            f"scenes, motion of SHA-256 `{result['data_sha256'][:16]}`.",
            "Error in the map, cells:",
            table(["lag, exposures", "views", *METHODS.values()], rows),
            "Error of the points found from all views, mm:",
            table(["all joints", *METHODS.values()], in_space),
        )
    )


def _views(entry: dict[str, Any]) -> str:
    low, high = entry["lag_ms"]
    return f"{low:g} to {high:g} ms, {'regular' if entry['regular'] else 'irregular'}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    source, document = Path(sys.argv[1]), Path(sys.argv[2])
    fill(document, source.stem, block_text(json.loads(source.read_text())))
