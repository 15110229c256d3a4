"""Tables and the picture of the benchmarks on motion capture, and their blocks for `make docs`.

python -m dw_core.evaluation.motion_report docs/results/motion.json docs/results/models.json docs/results.md
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import matplotlib

from dw_core.errors import ConfigError
from dw_core.evaluation.documents import fill

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402 (the backend must be chosen first)

COLUMNS = (
    ("relative", "mpjpe_mm", 1),
    ("absolute", "absolute_mm", 1),
    ("P-MPJPE", "p_mpjpe_mm", 1),
    ("velocity", "velocity_mm_s", 0),
    ("accel.", "acceleration_m_s2", 1),
)
UNITS = ("mm", "mm", "mm", "mm/s", "m/s^2")


def motion_table(result: dict[str, Any]) -> str:
    """The figures of the motion benchmark over all clips."""
    lines = [wrapped(result["command"]), "", *_protocol(result), ""]
    lines += [f"  {name:16} {what}" for name, what in result["methods"].items()]
    for tick in result["ticks"]:
        M = len(result["protocol"]["cameras"])
        lines += [
            "",
            f"tick {tick['tick_ms']:g} ms, {M} cameras at {tick['camera_hz']:g} Hz: {tick['frames']} common "
            f"of {tick['judged']} judged ticks; window of {tick['lag_ticks']} ticks",
            f"  {'':18}" + "".join(f"{title:>10}" for title, _, _ in COLUMNS) + f"{'coverage':>10}",
            f"  {'':18}" + "".join(f"{unit:>10}" for unit in UNITS),
            *(f"  {name:18}{_figures(entry)}" for name, entry in tick["methods"].items()),
            "  ratios to dlt_full",
            *(f"  {name:18}{_ratios(entry)}" for name, entry in tick["methods"].items()),
        ]
    return "\n".join(lines)


def wrapped(command: str) -> str:
    """A command over several lines, as a shell takes it."""
    lines = textwrap.wrap(command, 104, break_long_words=False, break_on_hyphens=False)
    return " \\\n    ".join(lines)


def _protocol(result: dict[str, Any]) -> list[str]:
    protocol = result["protocol"]
    noise, alignment = protocol["noise"], protocol["alignment"]
    return [
        f"data: the middle {protocol['seconds']:g} s of each of {len(protocol['clips'])} clips, "
        f"joints {protocol['joint_set']}, in the middle of the rig",
        f"cameras: {'; '.join(protocol['cameras'])}; images without borders",
        f"noise: {noise['px']:g} px per coordinate, {100 * noise['outliers']:g} % outliers of "
        f"{noise['outlier_px']:g} px, seed {noise['seed']}; claimed {protocol['claimed']}",
        f"causal, or window with a lag of {protocol['lag_ms']:g} ms at most; the first "
        f"{protocol['warm_up_s']:g} s and the lag's length at the end are not judged",
        f"alignment: relative: {alignment['mpjpe_mm']}; P-MPJPE: {alignment['p_mpjpe_mm']}; others absolute",
        f"average: {protocol['average']}; {', '.join(' '.join(v) for v in result['versions'].items())}",
    ]


def _figures(entry: dict[str, Any]) -> str:
    text = "".join(f"{entry[figure]:10.{digits}f}" for _, figure, digits in COLUMNS)
    return text + f"{100 * entry['coverage']:9.1f}%"


def _ratios(entry: dict[str, Any]) -> str:
    return "".join(f"{entry['ratio'][figure]:10.3f}" for _, figure, _ in COLUMNS)


def clips_table(result: dict[str, Any]) -> str:
    """The root-relative error of every method on every clip, and who left out what."""
    lines: list[str] = []
    for tick in result["ticks"]:
        lines += [f"root-relative mm by clip, tick {tick['tick_ms']:g} ms", f"  {'':12}" + _names(result)]
        for clip in tick["clips"]:
            row = "".join(f"{entry['mpjpe_mm']:17.1f}" for entry in clip["methods"].values())
            lines.append(
                f"  {Path(clip['file']).stem:12}{row}   {clip['frames']} ticks, "
                f"{100 * clip['outside_image_fraction']:.1f} % outside of the images"
            )
            lines += [
                f"    {name} gives no whole pose at {len(missing)} ticks, from {missing[0]} to {missing[-1]}"
                for name, missing in clip["missing_ticks"].items()
                if missing
            ]
        lines.append("")
    return "\n".join(lines)


def _names(result: dict[str, Any]) -> str:
    return "".join(f"{name:>17}" for name in result["methods"])


def models_table(result: dict[str, Any]) -> str:
    """The figures of the comparison of motion models."""
    protocol, yardstick = result["protocol"], result["yardstick"]
    lines = [wrapped(result["command"]), "", *_protocol(result)]
    lines += [
        f"tick {protocol['tick_ms']:g} ms, {protocol['frames']} ticks; parameters chosen on "
        f"{len(protocol['tuned_on'])} other clips, by the root-relative error in each mode",
        f"dlt_full: {yardstick['mpjpe_mm']:.1f} mm root-relative, {yardstick['absolute_mm']:.1f} mm absolute",
        "",
    ]
    for mode in ("causal", "window"):
        title = f"{mode}, ratios"
        lines.append(f"{title:30}" + "".join(f"{name:>10}" for name, _, _ in COLUMNS) + "   parameters")
        for name, model in result["models"].items():
            values = ", ".join(f"{value:g}" for value in model[mode]["values"])
            lines.append(f"  {name:28}{_ratios(model[mode])}   {values}")
        lines.append("")
    lines.append("the grids: mm root-relative on the tuning clips, causal / window")
    for name, model in result["models"].items():
        lines.append(f"  {name} ({'; '.join((model['what'], *model['parameters']))})")
        for point in model["grid_mpjpe_mm"]:
            values = ", ".join(f"{value:g}" for value in point["values"])
            lines.append(f"    {values:14}{point['causal']:8.1f} / {point['window']:.1f}")
    return "\n".join(lines)


def plot(result: dict[str, Any], path: Path) -> None:
    """The root-relative error of every method against the length of a tick. Raises ConfigError."""
    figure, axes = plt.subplots(figsize=(8, 4))
    ticks = sorted(result["ticks"], key=lambda tick: float(tick["tick_ms"]))
    for name in result["methods"]:
        axes.plot(
            [tick["tick_ms"] for tick in ticks],
            [tick["methods"][name]["mpjpe_mm"] for tick in ticks],
            "o-",
            label=name,
        )
    axes.set(xlabel="tick, ms", ylabel="MPJPE, root-relative, mm", xscale="log", ylim=(0, None))
    axes.set_xticks([tick["tick_ms"] for tick in ticks], [f"{tick['tick_ms']:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    try:
        figure.savefig(path, dpi=110)
    except ValueError as error:  # a type of picture that matplotlib does not know
        raise ConfigError(f"--plot: {path} cannot be written ({error})") from error
    finally:
        plt.close(figure)


def blocks(motion: dict[str, Any], models: dict[str, Any]) -> dict[str, str]:
    """The document's blocks by name."""
    tables = {"motion": motion_table(motion), "models": models_table(models)}
    return {name: f"```\n{table}\n```" for name, table in tables.items()}


if __name__ == "__main__":
    results = [json.loads(Path(path).read_text()) for path in sys.argv[1:3]]
    for name, text in blocks(*results).items():
        fill(Path(sys.argv[3]), name, text)
