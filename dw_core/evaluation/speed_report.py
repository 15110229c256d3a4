"""The speed benchmark's table, for `make docs`.

python -m dw_core.evaluation.speed_report docs/results/speed.json docs/results.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dw_core.cli.bench_speed import table
from dw_core.evaluation.documents import fill

BLOCK = "speed"


def block_text(result: dict[str, Any]) -> str:
    """The document's block."""
    return f"```\n{result['command']}\n\n{table(result).strip()}\n```"


if __name__ == "__main__":
    fill(Path(sys.argv[2]), BLOCK, block_text(json.loads(Path(sys.argv[1]).read_text())))
