"""The GPU benchmark in words: for the terminal, and as a document, for `make gpu`.

python -m dw_core.evaluation.gpu_report docs/results/gpu.json docs/gpu.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dw_core.evaluation.documents import table

# Median of a new frame to a pose that is asked for, ms; and what the slides of the paper report for theirs.
DEMANDED_MS = {"fast": 5.0, "paper": 15.0}
SLIDES_MS = 44.51
DEMANDED_SIZE = 384  # px, and on a GPU
NAMES = {
    "fast": "interleaved, fast Warper",
    "paper": "interleaved, the paper's Warper",
    "none": "interleaved, no Warper",
    "synchronous": "cameras in step, 4 images",
}


def _runs(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    runs: dict[str, dict[str, Any]] = {**result["interleaved"], "synchronous": result["synchronous"]}
    return runs


def _verdict(result: dict[str, Any], name: str, median_ms: float) -> str:
    limit = DEMANDED_MS.get(name)
    if limit is None:
        return "-"
    if not result["cuda"] or result["size"] != DEMANDED_SIZE:
        return f"under {limit:g} ms: not judged"
    return f"under {limit:g} ms: {'met' if median_ms < limit else 'missed'}"


def _totals(result: dict[str, Any]) -> list[list[str]]:
    """Rows of the table of whole ticks."""
    return [
        [
            NAMES[name],
            f"{run['total']['median_ms']:.2f} ms",
            f"{run['total']['p95_ms']:.2f} ms",
            f"{run['total']['per_second']:.0f}",
            _verdict(result, name, run["total"]["median_ms"]),
            f"{run['peak_memory_mb']:.0f} MB",
        ]
        for name, run in _runs(result).items()
    ]


def _stages(result: dict[str, Any]) -> list[list[str]]:
    """Rows of the table of stages, medians in ms, one column per run."""
    runs = _runs(result)
    stages = dict.fromkeys(stage for run in runs.values() for stage in run["stages"])
    return [[stage, *(_median(run["stages"].get(stage)) for run in runs.values())] for stage in stages]


def _median(times: dict[str, float] | None) -> str:
    return "-" if times is None else f"{times['median_ms']:.3f}"


def _parity(result: dict[str, Any]) -> list[list[str]]:
    """Rows of the table of what the run times differ by, px."""
    return [
        [
            NAMES[name],
            *(" / ".join(f"{found[kind][f]:.4f}" for f in ("median", "p95", "max")) for kind in KINDS),
        ]
        for name, found in result["parity"]["joints"].items()
    ]


KINDS = ("float32_numpy_px", "bfloat16_float32_px")
TOTAL_HEADER = ("new frame to pose", "median", "95 %", "per second", "asked for", "peak memory")
PARITY_HEADER = (
    "joints of all views, median / 95 % / largest, px",
    "float32 from numpy",
    "bfloat16 from float32",
)


def _facts(result: dict[str, Any]) -> list[str]:
    tracked = min(run["tracked_fraction"] for run in _runs(result).values())
    return [
        f"device: {result['device']}" + ("" if result["cuda"] else " (these are no figures of a GPU)"),
        f"network: {result['network']}; weights: {result['weights']}",
        f"{result['views']} views, images of {result['size']} px, {result['channels']} maps of "
        f"{result['cells']} cells, {result['ticks']} poses of each kind; the person was found in "
        f"{100 * tracked:.0f} % of them or more",
    ]


def text(result: dict[str, Any]) -> str:
    """All figures for a terminal."""
    runs = [NAMES[name] for name in _runs(result)]
    parts = [
        _aligned([list(TOTAL_HEADER), *_totals(result)]),
        _aligned([["stages, median ms, each waited for", *runs], *_stages(result)]),
        _aligned([list(PARITY_HEADER), *_parity(result)]),
    ]
    network = f"the network's maps in bfloat16: {100 * result['parity']['network_bfloat16']:.2f} % off"
    return "\n\n".join(["\n".join(_facts(result)), *parts, network])


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def document(result: dict[str, Any]) -> str:
    """The whole of docs/gpu.md."""
    versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items() if value)
    facts = "\n".join(f"- {fact}" for fact in _facts(result))
    machine, views, parity = result["machine"], result["views"], result["parity"]
    return f"""# From a new frame to a pose on a GPU

Made by `make gpu` from [results/gpu.json](results/gpu.json); no figure is typed by hand.

{facts}
- {machine["cpu"]}, {machine["cores"]} cores; {versions}
- `{result["command"]}`

Interleaved: one camera's frame is cropped and uploaded, goes through the network, is fused with the newest
maps of the {views - 1} other views, which the Warper moves to its time; all are decoded and copied
back, and the fresh view's joints go into the tracker, which gives the pose. In step: {views} frames
at once, decoded and triangulated. The slides report {SLIDES_MS} ms for one pose.

{table(TOTAL_HEADER, _totals(result))}

What is asked for is asked of a GPU and images of {DEMANDED_SIZE} px.

## Stages

Medians in ms, each stage waited for by itself, which costs more than their sum in one graph.

{table(("stage", *(NAMES[name] for name in _runs(result))), _stages(result))}

## Agreement

On {parity["ticks"]} rendered frames: how far the joints of all views lie from those of the numpy stages and
ONNX Runtime, and what half precision changes. numpy's spatial fusion goes in steps of 1/32 of a cell and 1/16
of a line, that of the tensors does not. The network's own maps are
{100 * parity["network_bfloat16"]:.2f} % off in bfloat16 (norm, on noise).

{table(PARITY_HEADER, _parity(result))}
"""


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(document(json.loads(Path(sys.argv[1]).read_text())))
