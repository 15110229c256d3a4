"""The table of `dw bench footage`, and its block for `make docs`.

python -m dw_core.evaluation.footage_report docs/results/footage.json docs/results.md
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

from dw_core.evaluation.documents import fill

# Title, unit, figure, factor, digits.
COLUMNS = (
    ("mean", "mm", "reference_mm", 1.0, 1),
    ("median", "mm", "reference_median_mm", 1.0, 1),
    ("left out", "px", "left_out_median_px", 1.0, 1),
    ("90 %", "px", "left_out_p90_px", 1.0, 1),
    ("limbs", "%", "worst_limb_mad", 100.0, 1),
    ("coverage", "%", "coverage", 100.0, 1),
)


def footage_table(result: dict[str, Any]) -> str:
    """All figures, with what they mean."""
    lines = [result["command"], ""]
    for name, text in result["protocol"].items():
        lines += textwrap.wrap(f"{name}: {text}", 108)
    lines += ["", f"  {'':43}{'to the reference':>20}{'left-out view':>20}{'worst':>10}"]
    lines.append(f"  {'':43}" + "".join(f"{title:>10}" for title, *_ in COLUMNS))
    lines.append(f"  {'':43}" + "".join(f"{unit:>10}" for _, unit, *_ in COLUMNS))
    for entry in result["results"]:
        figures = "".join(f"{entry[name] * factor:>10.{digits}f}" for _, _, name, factor, digits in COLUMNS)
        what = f"{entry['method']:14}{entry['mode']:8}{entry['sampling']:12}{entry['joints']:9}"
        lines.append(f"  {what}{figures}")
    return "\n".join(lines)


def block_text(result: dict[str, Any]) -> str:
    """The document's block."""
    return f"```\n{footage_table(result)}\n```"


if __name__ == "__main__":
    fill(Path(sys.argv[2]), "footage", block_text(json.loads(Path(sys.argv[1]).read_text())))
