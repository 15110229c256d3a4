"""Tables and pictures of the benchmark on rendered footage, and its block for `make rendered`.

python -m dw_core.evaluation.rendered_report docs/results/rendered.json docs/results.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from dw_core.errors import ConfigError
from dw_core.evaluation.documents import asked, fill
from dw_core.evaluation.motion_report import wrapped

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402 (the backend must be chosen first)

# Title, unit, figure, factor, digits.
COLUMNS = (
    ("relative", "mm", "mpjpe_mm", 1, 1),
    ("absolute", "mm", "absolute_mm", 1, 1),
    ("of it", "", "to_weighted", 1, 3),
    ("P-MPJPE", "mm", "p_mpjpe_mm", 1, 1),
    ("velocity", "mm/s", "velocity_mm_s", 1, 0),
    ("accel.", "m/s^2", "acceleration_m_s2", 1, 1),
    ("PCK@150", "%", "pck_150", 100, 1),
    ("coverage", "%", "coverage", 100, 1),
    ("own abs.", "mm", "absolute_own_mm", 1, 1),
)
# At most, of the absolute error of weighted DLT of all views at all ticks.
ASKED, ASKED_VIEWS = {"pipeline_causal": 1.0, "pipeline_window": 0.75}, 4
KINDS = ("all", "visible", "self_occluded", "hidden")


def rendered_table(result: dict[str, Any]) -> str:
    """Errors of all methods: pooled by number of views, and the absolute error scene by scene."""
    protocol = result["protocol"]
    lines = [wrapped(result["command"]), "", f"data: {protocol['data']}; joints {protocol['joint_set']}"]
    lines += [
        f"network: {protocol['network']}; crops {protocol['crops']}",
        f"causal, or window with a lag of {protocol['lag_ms']:g} ms; the first {protocol['warm_up_s']:g} s "
        "and the lag's length at the end are not judged",
        "of it: the absolute error as a part of dlt_full_weighted's",
        f"average: {protocol['average']}; own abs.: {protocol['alignment']['absolute_own_mm']}",
        f"relative, PCK: {protocol['alignment']['mpjpe_mm']}; P-MPJPE: {protocol['alignment']['p_mpjpe_mm']}",
        "",
        *(f"  {name:18} {what}" for name, what in result["methods"].items()),
    ]
    for pool in result["pooled"]:
        lines += ["", _title(pool)]
        for subset, entry in pool["subsets"].items():
            lines += [
                f"  {result['subsets'][subset]}: {entry['compared']} of {entry['judged']} compared",
                f"  {'':18}" + "".join(f"{title:>10}" for title, *_ in COLUMNS),
                f"  {'':18}" + "".join(f"{unit:>10}" for _, unit, *_ in COLUMNS),
                *(f"  {name:18}{_figures(figures)}" for name, figures in entry["methods"].items()),
            ]
    lines += ["", "absolute mm by scene, all joints"]
    for scene in result["scenes"]:
        errors = scene["subsets"]["all"]["methods"].items()
        lines.append(f"  {Path(scene['folder']).name} ({scene['views']} views, {scene['seconds']:.1f} s)")
        lines.append("    " + ", ".join(f"{name} {entry['absolute_mm']:.1f}" for name, entry in errors))
    return "\n".join(lines)


def _title(pool: dict[str, Any]) -> str:
    scenes = f"{pool['scenes']} scene{'s' if pool['scenes'] > 1 else ''}"
    return f"{scenes}, {pool['views']} views, a tick of {pool['tick_ms']:.3g} ms"


def _figures(entry: dict[str, Any]) -> str:
    return "".join(f"{factor * entry[figure]:10.{digits}f}" for _, _, figure, factor, digits in COLUMNS)


def detector_table(result: dict[str, Any]) -> str:
    """The network's errors in pixels and parts of the crop's side, and what its claims are worth."""
    detector = result["detector"]
    head = (
        f"  {'':18}{'count':>8}{'median':>8}{'p90':>8}{'median':>8}{'p90':>8}{'bias x':>8}{'y':>7}"
        f"{'spread x':>9}{'y':>7}{'gross':>8}{'stays':>8}{'lag 1':>7}{'swaps':>8}{'d2':>7}"
    )
    units = (
        f"  {'':18}{'':8}{'px':>8}{'px':>8}{'% side':>8}{'% side':>8}"
        + f"{'px':>8}{'px':>7}{'px':>9}{'px':>7}"
    )
    lines = ["errors of the 2D network"]
    lines += [f"  {name}: {rule}" for name, rule in detector["rules"].items()]
    lines += ["", head, units]
    lines += [_group(name, detector["pooled"][name]) for name in KINDS]
    lines += [_group(joint, groups["all"]) for joint, groups in detector["joints"].items()]
    for by, tables in detector["reliability"].items():
        lines += ["", f"of joints of a {by} of so much: per cent that are near, d2 of the near ones"]
        lines.append(f"  {'':12}" + "".join(f"{kind:>24}" for kind in KINDS))
        for k, row in enumerate(tables["all"]):
            text = "".join(_reliable(tables[kind][k]) for kind in KINDS)
            lines.append(f"  {row['low']:.1f} to {row['high']:.1f}  {text}")
    return "\n".join(lines)


def _group(name: str, group: dict[str, Any]) -> str:
    if group["px"] is None:
        return f"  {name:18}{group['count']:8}   too few"
    px, side = group["px"], group["side"]
    numbers = (
        f"{px['median']:8.2f}{px['p90']:8.2f}{100 * side['median']:8.2f}{100 * side['p90']:8.2f}"
        f"{px['bias'][0]:8.2f}{px['bias'][1]:7.2f}{px['spread'][0]:9.2f}{px['spread'][1]:7.2f}"
    )
    rest = _percent(group["gross"]) + _percent(group["gross_after_gross"]) + _number(group["lag1"])
    return (
        f"  {name:18}{group['count']:8}{numbers}{rest}{_percent(group['swaps'])}{_number(group['d2_ratio'])}"
    )


def _percent(value: float | None) -> str:
    return f"{'-':>8}" if value is None else f"{100 * value:7.1f}%"


def _number(value: float | None) -> str:
    return f"{'-':>7}" if value is None else f"{value:7.2f}"


def _reliable(row: dict[str, Any]) -> str:
    if "near" not in row:
        return f"{row['count']:10}{'-':>7}{'-':>7}"
    return f"{row['count']:10}{100 * row['near']:6.1f}%{_number(row['d2_ratio'])}"


def plot(result: dict[str, Any], path: Path) -> None:
    """Bars of the absolute error of every method, one panel for each number of views. Raises ConfigError."""
    pools = result["pooled"]
    figure, panels = plt.subplots(1, len(pools), figsize=(2 + 6 * len(pools), 4), squeeze=False, sharey=True)
    names = list(result["methods"])
    for axes, pool in zip(panels[0], pools, strict=True):
        subsets = list(pool["subsets"])
        for k, subset in enumerate(subsets):
            values = [pool["subsets"][subset]["methods"][name]["absolute_mm"] for name in names]
            places = np.arange(len(names)) + (k - (len(subsets) - 1) / 2) * 0.27
            axes.barh(places, values, 0.25, label=result["subsets"][subset])
        axes.set(
            xlabel="MPJPE, absolute, mm",
            title=_title(pool),
        )
        axes.grid(alpha=0.3, axis="x")
    panels[0][0].set_yticks(np.arange(len(names)), names)
    panels[0][0].invert_yaxis()
    panels[0][0].legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.15), fontsize=8)
    _save(figure, path, "plot")


def plot_detector(result: dict[str, Any], path: Path) -> None:
    """The distribution of the network's errors, and how many joints are near for each confidence and height.
    Raises ConfigError."""
    detector = result["detector"]
    figure, (errors, *panels) = plt.subplots(1, 3, figsize=(14, 4))
    for kind in KINDS:
        quantiles = detector["error_quantiles"][kind]
        if quantiles:
            x = [100 * value for value in quantiles.values()]
            errors.plot(x, [float(p) for p in quantiles], "o-", ms=3, label=kind.replace("_", "-"))
    errors.axvline(5, color="grey", lw=0.8)
    errors.set(xlabel="error, % of the crop's side", ylabel="% of joints within", xscale="log", ylim=(0, 100))
    errors.set_xticks([0.5, 1, 2, 5, 10, 20, 50], ["0.5", "1", "2", "5", "10", "20", "50"])
    errors.minorticks_off()
    for axes, (by, tables) in zip(panels, detector["reliability"].items(), strict=True):
        for kind in KINDS:
            rows = [row for row in tables[kind] if "near" in row]
            axes.plot([r["mean"] for r in rows], [r["near"] for r in rows], "o-", ms=3)
        if by == "confidence":  # which claims to be that part
            axes.plot([0, 1], [0, 1], color="grey", lw=0.8)
        axes.set(xlabel=by, ylabel="part within 5 % of the crop's side", xlim=(0, 1), ylim=(0, 1.02))
    for axes in (errors, *panels):
        axes.grid(alpha=0.3)
    errors.legend(frameon=False)
    _save(figure, path, "detector-plot")


def _save(figure: Any, path: Path, option: str) -> None:
    try:
        figure.savefig(path, dpi=110, bbox_inches="tight")
    except ValueError as error:  # a type of picture that matplotlib does not know
        raise ConfigError(f"--{option}: {path} cannot be written ({error})") from error
    finally:
        plt.close(figure)


def block_text(result: dict[str, Any]) -> str:
    """The document's block: the table, and whether the whole pipeline is as good as was asked."""
    pool = next(one for one in result["pooled"] if one["views"] == ASKED_VIEWS)
    methods = pool["subsets"]["all"]["methods"]
    found = {name: methods[name]["to_weighted"] for name in ASKED}
    return (
        f"```\n{rendered_table(result)}\n```\n\n"
        f"Asked with {ASKED_VIEWS} views, as parts of dlt_full_weighted: {asked(ASKED, found)}."
    )


if __name__ == "__main__":
    fill(Path(sys.argv[2]), "rendered", block_text(json.loads(Path(sys.argv[1]).read_text())))
