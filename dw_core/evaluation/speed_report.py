"""The tables of the benchmarks of speed, nodes and rendering, for `make docs` and `make rendered`.

python -m dw_core.evaluation.speed_report docs/results/speed.json docs/results/nodes.json docs/results.md
python -m dw_core.evaluation.speed_report docs/results/render.json docs/rendered.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dw_core.cli import bench_nodes, bench_render, bench_speed
from dw_core.evaluation.documents import fill

TABLES = {"speed": bench_speed.table, "nodes": bench_nodes.table, "render": bench_render.table}


def block_text(name: str, result: dict[str, Any]) -> str:
    """The document's block of that name."""
    return f"```\n{result['command']}\n\n{TABLES[name](result).strip()}\n```"


if __name__ == "__main__":
    *files, document = map(Path, sys.argv[1:])
    for file in files:
        fill(document, file.stem, block_text(file.stem, json.loads(file.read_text())))
