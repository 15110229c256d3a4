"""What the trained Warper is worth, and its peers, as tables of its model card.

python -m dw_core.evaluation.warper_report docs/results docs/warper.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dw_core.evaluation.documents import fill, table
from dw_core.evaluation.motion_report import POOLED, entries, label, runs, wrapped

METHODS = {
    "copy": "stale map as it is",
    "velocity": "moved on at the view's own velocity",
    "fused": "spatial fusion",
    "warper": "Warper",
}

TRAININGS = ("warper_coco17", "warper_h36m17")
PEERS = {
    "warper_no_dt": "the same without dt",
    "paper_warper": "the paper's, narrowed",
    "warper_few": "the Warper from as few views",
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


def losses_text(result: dict[str, Any]) -> str:
    """The table of one training with each loss, and below it what needs none."""
    config, rows, views = result["config"], [], result["results"][0]["views"]
    for one in result["results"]:
        name = f"{one['loss']}{', and in space' if one['weight_3d'] else ''}"
        rows.append([name, str(one["steps"]), *_errors(one, "warper")])
    rows += [[METHODS[name], "-", *_errors(result["results"][0], name)] for name in ("copy", "velocity")]
    header = ["loss", "steps", "cells", "median", "pixels", "mm", "median"]
    return "\n\n".join(
        (
            f"`{result['command']}`: {config['steps']} steps of {config['scenes']} scenes each, the best of "
            f"the validations, seed {config['seed']}; {views} views of the validation's "
            f"subjects; motion of SHA-256 `{result['data_sha256'][:16]}`.",
            table(header, rows),
        )
    )


def _errors(one: dict[str, Any], method: str) -> list[str]:
    return [
        _number(one[key][method], digits)
        for key, digits in (
            ("cells", 2), ("median_cells", 2), ("pixels", 1), ("points_mm", 1), ("median_points_mm", 1),
        )
    ]  # fmt: skip


def trained_text(results: dict[str, dict[str, Any]]) -> str:
    """What the Warper's peers are, and their errors by lag beside the Warper's, each as it was trained."""
    peers = {"Warper": results["warper_h36m17"]} | {PEERS[name]: results[name] for name in PEERS}
    # weights older than the entries are of the same network as those without dt
    same = results["warper_no_dt"]
    costs = []
    for name, one in peers.items():
        config = one["config"]
        parameters, macs = (one.get(key, same[key]) for key in ("parameters", "macs_per_view"))
        row = [name, str(config["width"]), str(config.get("pooled", 1)), f"{parameters / 1e3:.0f}"]
        costs.append([*row, f"{macs / 1e6:.1f}", f"{one['steps']} of {config['steps']}", str(_samples(one))])
    rows = []
    for bins in zip(*(one["bins"] for one in peers.values()), strict=True):
        if bins[0]["views"]:
            cells = [bins[0]["cells"]["copy"], *(entry["cells"]["warper"] for entry in bins)]
            rows.append([_views(bins[0]), str(bins[0]["views"]), *(_number(one, 2) for one in cells)])
    ours = results["warper_h36m17"]
    for name, key, digits in (("all, mean", "cells", 2), ("points in space, mean, mm", "points_mm", 1)):
        errors = [ours[key]["copy"], *(one[key]["warper"] for one in peers.values())]
        rows.append([name, str(ours["views"]), *(_number(error, digits) for error in errors)])
    titles = ["", "width", "cells pooled", "1000 parameters", "MMAC per view", "steps", "views seen"]
    header = ["lag, exposures", "views", METHODS["copy"], *peers]
    return f"{table(titles, costs)}\n\nError in the map, cells:\n\n{table(header, rows)}"


def _samples(result: dict[str, Any]) -> int:
    """Stale views that a training saw: the scenes of a step have as many as those of the validation."""
    config = result["config"]
    each = float(config.get("views") or result["views"] / config["validation_scenes"])
    return round(each * float(result["steps"] * config["scenes"]))


def peers_text(result: dict[str, Any]) -> str:
    """Three errors of the Warper and its peers in every run."""
    chosen = runs(result)
    titles = [f"jitter {run['jitter']:g}, {100 * run['drops']:g} % lost" for run in chosen]
    rows: dict[str, list[str]] = {}
    for run in chosen:
        for entry in entries(result, run):
            if entry["sequence"] == POOLED:
                errors = (
                    f"{entry[figure]:.1f}" for figure in ("mpjpe_abs_mm", "mpjpe_root_mm", "p_mpjpe_mm")
                )
                rows.setdefault(label(entry), [label(entry)]).append(" / ".join(errors))
    command = f"```\n{wrapped(result['command'])}\n```"
    return f"{command}\n\n{table(['absolute / relative / P-MPJPE, mm', *titles], list(rows.values()))}"


def _views(entry: dict[str, Any]) -> str:
    low, high = entry["lag_ms"]
    return f"{low:g} to {high:g} ms, {'regular' if entry['regular'] else 'irregular'}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def blocks(folder: Path) -> dict[str, str]:
    """The document's blocks by name, from the results in a folder."""
    names = (*TRAININGS, *PEERS, "warper_losses", "warper_peers")
    results = {name: json.loads((folder / f"{name}.json").read_text()) for name in names}
    return {name: block_text(results[name]) for name in TRAININGS} | {
        "warper_losses": losses_text(results["warper_losses"]),
        "warper_trained": trained_text(results),
        "warper_peers": peers_text(results["warper_peers"]),
    }


if __name__ == "__main__":
    for name, text in blocks(Path(sys.argv[1])).items():
        fill(Path(sys.argv[2]), name, text)
