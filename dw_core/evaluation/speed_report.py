"""The tables of the speed and node benchmarks, for `make docs`.

python -m dw_core.evaluation.speed_report docs/results/speed.json docs/results/nodes.json docs/results.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dw_core.cli import bench_nodes, bench_speed
from dw_core.evaluation.documents import fill

TABLES = {"speed": bench_speed.table, "nodes": bench_nodes.table}


def block_text(name: str, result: dict[str, Any]) -> str:
    """The document's block of that name."""
    return f"```\n{result['command']}\n\n{TABLES[name](result).strip()}\n```"


if __name__ == "__main__":
    *files, document = map(Path, sys.argv[1:])
    for name, file in zip(TABLES, files, strict=True):
        fill(document, name, block_text(name, json.loads(file.read_text())))
