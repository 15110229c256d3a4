"""Tables of the benchmarks on motion capture, and their blocks for `make docs`.

python -m dw_core.evaluation.motion_report docs/results docs/results.md
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dw_core.evaluation.documents import asked, fill, table

# Title, unit, figure, factor, digits.
COLUMNS = (
    ("relative", "mm", "mpjpe_root_mm", 1.0, 1),
    ("absolute", "mm", "mpjpe_abs_mm", 1.0, 1),
    ("P-MPJPE", "mm", "p_mpjpe_mm", 1.0, 1),
    ("velocity", "mm/s", "velocity_error_mm_s", 1.0, 0),
    ("accel.", "m/s^2", "acceleration_error_mm_s2", 1e-3, 1),
)
MORE_COLUMNS = (
    ("PCK@150", "%", "pck_150", 100.0, 1),
    ("AUC", "%", "auc", 100.0, 1),
    ("coverage", "%", "coverage", 100.0, 1),
    ("latency", "ticks", "latency_ticks", 1.0, 0),
)
# What distinguishes one run from another, as the JSON has it.
RUN = ("tick_ms", "noise", "views", "jitter", "drops")
POOLED = "all"
# What the document is made from: the main run, the same of clips that no other benchmark takes, and one for
# each thing that is varied.
MAIN, OTHERS, MODELS = "motion", "others", "models"
YARDSTICK = "dlt causal"
# At most, of its relative error.
ASKED = {"pipeline causal": 0.65, "pipeline window": 0.45}
VARIED = ("motion_ticks", "motion_jitter", "motion_drops", "motion_noise", "motion_views")


def motion_table(result: dict[str, Any]) -> str:
    """The figures of the motion benchmark: all of all clips, then the root-relative error clip by clip."""
    lines = [wrapped(result["command"]), "", *_protocol(result), ""]
    lines += [
        f"  {name:14}{method['sampling']:13}{method['what']}" for name, method in result["methods"].items()
    ]
    columns = COLUMNS + MORE_COLUMNS
    for run in runs(result):
        pooled = [entry for entry in entries(result, run) if entry["sequence"] == POOLED]
        lines += ["", run_title(run, pooled[0])]
        lines.append(f"  {'':20}" + "".join(f"{title:>10}" for title, *_ in columns))
        lines.append(f"  {'':20}" + "".join(f"{unit:>10}" for _, unit, *_ in columns))
        lines += [f"  {label(entry):20}{_figures(entry, columns)}" for entry in pooled]
    lines += ["", *_sequences(result), *_warnings(result)]
    return "\n".join(lines)


def runs(result: dict[str, Any]) -> list[dict[str, Any]]:
    """What is the same for all methods and clips of a run, once for each run, in order."""
    found = ({name: entry[name] for name in RUN} for entry in result["results"])
    return list({tuple(run.values()): run for run in found}.values())


def entries(result: dict[str, Any], run: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of one run."""
    return [entry for entry in result["results"] if all(entry[name] == run[name] for name in RUN)]


def label(entry: dict[str, Any]) -> str:
    """A method in its mode."""
    return f"{entry['method']} {entry['mode']}"


def run_title(run: dict[str, Any], entry: dict[str, Any]) -> str:
    """What a run is, and how much of it is compared."""
    rate_hz = 1e3 / run["tick_ms"] / run["views"]
    text = f"tick {run['tick_ms']:g} ms, {run['views']} cameras at {rate_hz:.3g} Hz, noise {run['noise']}"
    text += f", jitter {run['jitter']:g} of a tick" if run["jitter"] else ""
    text += f", {100 * run['drops']:g} % lost" if run["drops"] else ""
    return f"{text}: {entry['compared']} joints of {entry['frames']} ticks compared"


def _protocol(result: dict[str, Any]) -> list[str]:
    protocol, sequences = result["protocol"], result["sequences"]
    sets = ", ".join(dict.fromkeys(one["joint_set"] for one in sequences))
    return [
        f"data: {len(sequences)} clips, at most {protocol['limit_s']:g} s of each, {protocol['part']}; "
        f"joints {sets}",
        f"cameras: {'; '.join(protocol['cameras'])}; images {protocol['images']}",
        *textwrap.wrap(f"heatmaps: {protocol['heatmaps']}; seed {protocol['seed']}", 108),
        f"causal, or window; the tracker's has a lag of {protocol['lag_ms']:g} ms at most; the first "
        f"{protocol['warm_up_s']:g} s and the lag's length at the end are not judged",
        *_alignment(result),
        f"coverage: {protocol['coverage']}",
        f"Warper: {protocol['warper']}",
        *(f"left out, without weights: {name}" for name in result["without_weights"]),
    ]


def _alignment(result: dict[str, Any]) -> list[str]:
    protocol, versions = result["protocol"], result["versions"].items()
    alignment = protocol["alignment"]
    return [
        f"relative: to the {alignment['mpjpe_root_mm']}; P-MPJPE: {alignment['p_mpjpe_mm']}",
        f"average: {protocol['average']}; {', '.join(' '.join(version) for version in versions)}",
    ]


def _figures(entry: dict[str, Any], columns: Sequence[tuple[str, str, str, float, int]]) -> str:
    return "".join(number(entry[figure], factor, digits) for _, _, figure, factor, digits in columns)


def number(value: float | None, factor: float = 1.0, digits: int = 1) -> str:
    """A figure in a column; a dash where there is none."""
    return f"{'-':>10}" if value is None else f"{factor * value:10.{digits}f}"


def _ratios(entry: dict[str, Any]) -> str:
    return "".join(f"{entry['ratio'][figure]:10.3f}" for _, _, figure, *_ in COLUMNS)


def _sequences(result: dict[str, Any]) -> list[str]:
    """The root-relative error of every method on every clip, in the first run."""
    found = entries(result, runs(result)[0])
    names = [label(entry) for entry in found if entry["sequence"] == POOLED]
    lines = ["root-relative mm by clip, in the first run"]
    lines += textwrap.wrap(", ".join(names), 108, initial_indent="  ", subsequent_indent="  ")
    width = max(len(one["sequence"]) for one in result["sequences"]) + 2
    for one in result["sequences"]:
        mine = [entry for entry in found if entry["sequence"] == one["sequence"]]
        numbers = "".join(number(entry["mpjpe_root_mm"])[4:] for entry in mine)
        lines.append(f"  {one['sequence']:{width}}{numbers}   {one['seconds']:.1f} s")
    return lines


def _warnings(result: dict[str, Any]) -> list[str]:
    """What the reader should know of the files: those left out, and bodies that stretch."""
    lines = [f"left out: {one['file']}: {one['why']}" for one in result["left_out"]]
    lines += [
        f"limbs stretch: {one['file']}: {one['limb_varies_most'].replace('_', ' ')} varies in length by "
        f"{100 * one['limb_variation']:.1f} % (standard deviation)"
        for one in result["sequences"]
        if not one["limbs_constant"]
    ]
    return ["", *lines] if lines else []


def varied(result: dict[str, Any]) -> list[str]:
    """What differs between the runs."""
    return [name for name in RUN if len({run[name] for run in runs(result)}) > 1]


def varied_table(result: dict[str, Any]) -> str:
    """Markdown: the root-relative and the absolute error of every method against the first thing that the
    runs vary."""
    name = varied(result)[0]
    chosen = runs(result)
    header = ["relative / absolute, mm", *(f"{name.replace('_', ' ')} {run[name]}" for run in chosen)]
    rows: dict[str, list[str]] = {}
    for run in chosen:
        for entry in entries(result, run):
            if entry["sequence"] == POOLED:
                errors = (number(entry[figure]).strip() for figure in ("mpjpe_root_mm", "mpjpe_abs_mm"))
                rows.setdefault(label(entry), [label(entry)]).append(" / ".join(errors))
    return f"```\n{wrapped(result['command'])}\n```\n\n{table(header, list(rows.values()))}"


def ratio_table(main: dict[str, Any], others: dict[str, Any]) -> str:
    """Markdown: errors in the first run of each, as parts of those of plain DLT of all views."""
    figures = ("mpjpe_root_mm", "mpjpe_abs_mm")
    columns = [(of_label(result, sequence=POOLED), figure) for result in (main, others) for figure in figures]
    header = ["of plain DLT of all views"]
    for result in (main, others):
        header += [f"{len(result['sequences'])} clips, {name}" for name in ("relative", "absolute")]
    rows = [
        [name, *(f"{e[name][f] / e[YARDSTICK][f]:.3f}" if name in e else "" for e, f in columns)]
        for name in columns[0][0]
    ]
    found = {name: columns[0][0][name][figures[0]] / columns[0][0][YARDSTICK][figures[0]] for name in ASKED}
    better = [_better(others, "pipeline causal", other) for other in (YARDSTICK, "tracker causal")]
    return (
        f"```\n{wrapped(others['command'])}\n```\n\n{table(header, rows)}\n\n"
        f"Asked on the {len(main['sequences'])}, relative: {asked(ASKED, found)}.\n\n"
        f"On the {len(others['sequences'])}: the whole pipeline, causal, is better than plain DLT on "
        f"{better[0]} of them, and better than without the joint refiner on {better[1]} (relative)."
    )


def of_label(result: dict[str, Any], sequence: str) -> dict[str, dict[str, Any]]:
    """The results of a clip in the first run, by method and mode."""
    return {
        label(entry): entry for entry in entries(result, runs(result)[0]) if entry["sequence"] == sequence
    }


def _better(result: dict[str, Any], one: str, other: str) -> int:
    """On how many clips the relative error of the one is less than that of the other."""
    clips = (of_label(result, clip["sequence"]) for clip in result["sequences"])
    return sum(clip[one]["mpjpe_root_mm"] < clip[other]["mpjpe_root_mm"] for clip in clips)


def wrapped(command: str) -> str:
    """A command over several lines, as a shell takes it."""
    lines = textwrap.wrap(command, 104, break_long_words=False, break_on_hyphens=False)
    return " \\\n    ".join(lines)


def models_table(result: dict[str, Any]) -> str:
    """The figures of the comparison of motion models."""
    protocol, yardstick = result["protocol"], result["yardstick"]
    noise = protocol["noise"]
    lines = [
        wrapped(result["command"]),
        "",
        f"data: the middle {protocol['seconds']:g} s of each of {len(protocol['clips'])} clips, "
        f"joints {protocol['joint_set']}, in the middle of the rig; keypoints without heatmaps",
        f"cameras: {'; '.join(protocol['cameras'])}; images without borders",
        f"noise: {noise['px']:g} px per coordinate, {100 * noise['outliers']:g} % outliers of "
        f"{noise['outlier_px']:g} px, seed {noise['seed']}; claimed {protocol['claimed']}",
        f"causal, or window with a lag of {protocol['lag_ms']:g} ms at most; the first "
        f"{protocol['warm_up_s']:g} s and the lag's length at the end are not judged",
        *_alignment(result),
        f"tick {protocol['tick_ms']:g} ms, {protocol['frames']} ticks; parameters chosen on "
        f"{len(protocol['tuned_on'])} other clips, by the root-relative error in each mode",
        f"dlt_full: {yardstick['mpjpe_root_mm']:.1f} mm root-relative, "
        f"{yardstick['mpjpe_abs_mm']:.1f} mm absolute",
        "",
    ]
    for mode in ("causal", "window"):
        title = f"{mode}, ratios"
        lines.append(f"{title:30}" + "".join(f"{name:>10}" for name, *_ in COLUMNS) + "   parameters")
        for name, model in result["models"].items():
            values = ", ".join(f"{value:g}" for value in model[mode]["values"])
            lines.append(f"  {name:28}{_ratios(model[mode])}   {values}")
        lines.append("")
    lines.append("the grids: mm root-relative on the tuning clips, causal / window")
    for name, model in result["models"].items():
        lines.append(f"  {name} ({'; '.join((model['what'], *model['parameters']))})")
        for point in model["grid_mpjpe_root_mm"]:
            values = ", ".join(f"{value:g}" for value in point["values"])
            lines.append(f"    {values:14}{point['causal']:8.1f} / {point['window']:.1f}")
    return "\n".join(lines)


def blocks(results: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The document's blocks by name, from the results by name."""
    made = {MAIN: motion_table(results[MAIN]), MODELS: models_table(results[MODELS])}
    fenced = {name: f"```\n{text}\n```" for name, text in made.items()}
    fenced["motion_ratios"] = ratio_table(results[MAIN], results[OTHERS])
    return fenced | {name: varied_table(results[name]) for name in VARIED}


def load_results(folder: Path) -> dict[str, dict[str, Any]]:
    """The results that the document is made from, by name."""
    return {
        name: json.loads((folder / f"{name}.json").read_text()) for name in (MAIN, OTHERS, MODELS, *VARIED)
    }


if __name__ == "__main__":
    for name, text in blocks(load_results(Path(sys.argv[1]))).items():
        fill(Path(sys.argv[2]), name, text)
