"""Pictures of the motion benchmark, from what its JSON holds.

python -m dw_core.evaluation.motion_plots docs/images docs/results/motion_*.json

draws the error against what each of these runs varies.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from dw_core.benchmarks.catalogue import METHODS
from dw_core.evaluation.motion_report import POOLED, RUN, entries, label, run_title, runs, varied

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402 (the backend must be chosen first)

LABELS = {
    "tick_ms": "tick, ms",
    "jitter": "standard deviation of the ticks' times, parts of a tick",
    "noise": "noise",
    "views": "number of cameras",
    "drops": "part of the exposures lost",
}
FIGURE, FIGURE_LABEL = "mpjpe_root_mm", "MPJPE, root-relative, mm"
# What bars and ways are drawn of: the yardstick, the plainest method, and the system.
SHOWN = (
    "dlt causal", "copy causal", "extrapolate causal", "slerp window", "warper causal", "pipeline causal",
    "pipeline window",
)  # fmt: skip
MARKERS = {"full": "^", "sync": "s", "interleaved": "o"}
STYLES = {"causal": "-", "window": "--"}
TAB20_GREYS = (14, 15)


def plot_all(result: dict[str, Any], folder: Path) -> list[Path]:
    """All pictures that a result gives: those of `plot_varied`, bars by joint and by sequence, the way of a
    wrist."""
    drawn = {"joints": _joints(result), "sequences": _sequences(result), "way": _way(result)}
    return plot_varied(result, folder) + _saved(drawn, folder)


def plot_varied(result: dict[str, Any], folder: Path) -> list[Path]:
    """The error against each thing that the runs of a result vary."""
    return _saved({name: _against(result, name) for name in varied(result)}, folder)


def _saved(drawn: dict[str, Any], folder: Path) -> list[Path]:
    """Where figures by name were written."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in drawn.items():
        paths.append(folder / f"motion_{name}.png")
        figure.savefig(paths[-1], dpi=110, bbox_inches="tight")
        plt.close(figure)
    return paths


def _against(result: dict[str, Any], name: str) -> Any:
    """The error of every method against one thing that is varied, the others as in the first run."""
    first = runs(result)[0]
    chosen = [
        run for run in runs(result) if all(run[other] == first[other] for other in RUN if other != name)
    ]
    figure, axes = plt.subplots(figsize=(8, 5))
    values = [run[name] for run in chosen]
    places = list(range(len(values))) if name == "noise" else values
    pooled = [e for run in chosen for e in entries(result, run) if e["sequence"] == POOLED]
    for name_of in dict.fromkeys(label(entry) for entry in pooled):
        mine = [entry for entry in pooled if label(entry) == name_of]
        errors = [np.nan if entry[FIGURE] is None else entry[FIGURE] for entry in mine]
        axes.plot(
            places, errors, STYLES[mine[0]["mode"]], marker=MARKERS[mine[0]["sampling"]], ms=4, label=name_of,
            color=_colour(mine[0]["method"]), lw=2.5 if mine[0]["method"] == "pipeline" else 1,
        )  # fmt: skip
    axes.set(xlabel=LABELS[name], ylabel=FIGURE_LABEL, ylim=(0, None))
    if name == "tick_ms":
        axes.set_xscale("log")
    axes.set_xticks(places, [f"{value:g}" if name != "noise" else value for value in values])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    lines = sorted(axes.get_lines(), key=lambda line: -float(np.nan_to_num(np.asarray(line.get_ydata())[-1])))
    axes.legend(handles=lines, frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _colour(method: str) -> Any:
    """Black for the pipeline, and no grey for any other."""
    if method == "pipeline":
        return "black"
    colours = [plt.get_cmap("tab20")(k) for k in range(20) if k not in TAB20_GREYS]
    colours += [plt.get_cmap("tab20b")(k) for k in range(0, 20, 2)]
    return colours[[name for name in METHODS if name != "pipeline"].index(method)]


def _joints(result: dict[str, Any]) -> Any:
    """Bars of the error by joint, both sides together, of some methods in the first run."""
    pooled = [e for e in entries(result, runs(result)[0]) if e["sequence"] == POOLED and label(e) in SHOWN]
    both = [joint.split("_")[-1] for joint in result["joints"]]
    names = list(dict.fromkeys(both))
    values = {
        label(entry): [
            _mean([mm for one, mm in zip(both, entry["joints_abs_mm"], strict=True) if one == name])
            for name in names
        ]
        for entry in pooled
    }
    return _bars(result, names, values, "MPJPE, absolute, mm")


def _sequences(result: dict[str, Any]) -> Any:
    """Bars of the error by sequence, of some methods in the first run."""
    names = [one["sequence"] for one in result["sequences"]]
    values: dict[str, list[float]] = {}
    for entry in entries(result, runs(result)[0]):
        if entry["sequence"] != POOLED and label(entry) in SHOWN:
            values.setdefault(label(entry), []).append(np.nan if entry[FIGURE] is None else entry[FIGURE])
    return _bars(result, names, values, FIGURE_LABEL)


def _mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else float("nan")


def _bars(result: dict[str, Any], names: list[str], values: dict[str, list[float]], what: str) -> Any:
    figure, axes = plt.subplots(figsize=(max(6.0, 1.0 + 0.8 * len(names)), 4))
    width = 0.8 / max(len(values), 1)
    for k, (method, errors) in enumerate(values.items()):
        places = np.arange(len(names)) + (k - (len(values) - 1) / 2) * width
        name, mode = method.split()
        axes.bar(
            places, errors, width, label=method, color=_colour(name), alpha=1 if mode == "causal" else 0.5
        )
    axes.set_xticks(np.arange(len(names)), names, rotation=40, ha="right")
    axes.set(ylabel=what, title=_title(result))
    axes.title.set_fontsize(9)
    axes.grid(alpha=0.3, axis="y")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _title(result: dict[str, Any]) -> str:
    run = runs(result)[0]
    return run_title(run, entries(result, run)[0]).partition(":")[0]


def _way(result: dict[str, Any]) -> Any:
    """The way of one joint: where it is, and how far off some methods are."""
    way = result["trajectory"]
    times, truth = np.array(way["times_s"]), np.array(way["truth_m"], dtype=np.float64)
    figure, panels = plt.subplots(
        4, 1, figsize=(10, 8), sharex=True, gridspec_kw={"height_ratios": (2, 2, 2, 2)}
    )
    for name, values in way["methods_m"].items():
        if name not in SHOWN:
            continue
        path = np.array(values, dtype=np.float64)
        colour, style = _colour(name.split()[0]), STYLES[name.split()[1]]
        for axes, values_of in zip(
            panels, (*path.T, 1e3 * np.linalg.norm(path - truth, axis=-1)), strict=True
        ):
            axes.plot(times, values_of, style, color=colour, lw=1, label=name)
    for axes, values_of, name in zip(panels, truth.T, "xyz", strict=False):
        axes.plot(times, values_of, color="tab:red", lw=2.5, alpha=0.5, label="truth", zorder=0)
        axes.set(ylabel=f"{name}, m")
        # gross errors leave the picture
        low, high = values_of.min(), values_of.max()
        axes.set_ylim(low - 0.15 * (high - low) - 0.05, high + 0.15 * (high - low) + 0.05)
    panels[-1].set(ylabel="error, mm", xlabel="time, s", ylim=(0, 200))
    for axes in panels:
        axes.grid(alpha=0.3)
    panels[0].set_title(
        f"{way['joint'].replace('_', ' ')} of {way['sequence']}: {_title(result)}", fontsize=9
    )
    panels[0].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


if __name__ == "__main__":
    for path in sys.argv[2:]:
        plot_varied(json.loads(Path(path).read_text()), Path(sys.argv[1]))
