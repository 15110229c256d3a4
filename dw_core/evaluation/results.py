"""How results are written: figures of six digits, and a line for each row of a table.

python -m dw_core.evaluation.results docs/results/motion*.json

writes files again in this form.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

# Of errors in mm three or four behind the point: finer than any document shows, coarser than any repeats.
DIGITS = 6
LINE = 110


def rounded(value: Any) -> Any:
    """A tree for JSON whose floating-point numbers have six significant digits."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(one) for one in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) and math.isfinite(value) else value


def finite(value: Any) -> Any:
    """A tree for JSON, which has no NaN and no infinity: what is not a finite number is None."""
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def text(value: Any) -> str:
    """JSON of a tree: entries, and rows of lists of entries, take a line each where they are long. Raises
    ValueError for NaN and infinity (see `finite`)."""
    line = json.dumps(value, separators=(",", ":"), allow_nan=False)
    if len(line) < LINE:
        return line
    if isinstance(value, list) and isinstance(value[0], dict):
        rows = (json.dumps(one, separators=(",", ":"), allow_nan=False) for one in value)
        return "[\n" + ",\n".join(rows) + "\n]"
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"{json.dumps(name)}:{text(one)}" for name, one in value.items()) + "\n}"
    return line


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(text(finite(rounded(json.loads(path.read_text())))) + "\n")
