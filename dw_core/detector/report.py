"""Picture and tables of a fit: the network's errors beside the simulated ones.

    python -m dw_core.detector.report docs/results/detector.json docs/detector.md

fills the blocks of the document.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from dw_core.detector.compare import PERCENTILES
from dw_core.detector.estimate import SEEN
from dw_core.detector.model import KINDS
from dw_core.errors import ConfigError
from dw_core.evaluation.documents import fill, table

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402 (the backend must be chosen first)

COLOURS = {"visible": "tab:blue", "occluded": "tab:orange", "swapped": "tab:green", "gross": "tab:red"}
LINES = {"real": "-", "simulated": "--"}


def plot(result: dict[str, Any], path: Path, which: str = "held_out") -> None:
    """Solid lines: the network on rendered scenes that the fit did not see; dashed: the model at the same
    places. Raises ConfigError for a type of picture that cannot be written."""
    figure, panels = plt.subplots(3, 4, figsize=(17, 12))
    flat = panels.ravel()
    for axes, name in zip(flat, KINDS, strict=False):
        _errors(axes, result[which], name)
    _correlations(flat[7], result[which])
    _near_by_height(flat[8], result[which])
    _heights(flat[9], result[which])
    _lasting(flat[10], result[which])
    _profile(flat[11], result)
    for axes in flat:
        axes.grid(alpha=0.3)
    figure.tight_layout()
    try:
        figure.savefig(path, dpi=80)
    except ValueError as error:  # a type of picture that matplotlib does not know
        raise ConfigError(f"--plot: {path} cannot be written ({error})") from error
    finally:
        plt.close(figure)


def _errors(axes: Any, both: dict[str, Any], name: str) -> None:
    for who, line in LINES.items():
        for seen in SEEN:
            one = both[who]["kinds"][name][seen]
            if "error" in one:
                beyond = 1 - np.array(PERCENTILES) / 100
                axes.plot(
                    100 * np.array(one["error"]), beyond, line, color=COLOURS[seen], label=f"{seen}, {who}"
                )
    axes.axvline(5, color="grey", lw=0.8)
    axes.set(
        title=name, xlabel="error, % of the crop's side", ylabel="part beyond", xscale="log", yscale="log"
    )
    axes.set(xlim=(0.1, 40), ylim=(0.01, 1))
    if name == KINDS[0]:
        axes.legend(frameon=False, fontsize=8)


def _correlations(axes: Any, both: dict[str, Any]) -> None:
    for k, name in enumerate(KINDS):
        for who, line in LINES.items():
            seconds = np.array(both[who]["lags"]) * both[who]["step_s"]
            values = [np.nan if v is None else v for v in both[who]["kinds"][name]["lag"]]
            axes.plot(seconds, values, line, color=f"C{k}", label=name if who == "real" else None)
    axes.set(title="correlation of near errors", xlabel="lag, s", ylim=(0, 1))
    axes.legend(frameon=False, fontsize=8, ncols=2)


def _near_by_height(axes: Any, both: dict[str, Any]) -> None:
    for who, line in LINES.items():
        for seen in SEEN:
            rows = [row for row in both[who]["heights"][seen] if "near" in row]
            axes.plot(
                [r["height"] for r in rows], [100 * r["error"] for r in rows], line, color=COLOURS[seen]
            )
    axes.set(title="error by height", xlabel="height of the peak", ylabel="median error, % of the side")
    axes.set(xlim=(0, 1), ylim=(0, None))


def _heights(axes: Any, both: dict[str, Any]) -> None:
    for who, line in LINES.items():
        for seen in SEEN:
            rows = both[who]["heights"][seen]
            x, y = [r["height"] for r in rows], [r["part"] for r in rows]
            axes.plot(x, y, line, color=COLOURS[seen], label=f"{seen}, {who}")
    axes.set(
        title="heights of peaks", xlabel="height of the peak", ylabel="part", xlim=(0, 1), ylim=(0, None)
    )


def _lasting(axes: Any, both: dict[str, Any]) -> None:
    for who, line in LINES.items():
        lasting = both[who]["lasting"]
        seconds = np.array(lasting["steps"]) * both[who]["step_s"]
        for state in ("swapped", "gross"):
            values = [np.nan if v is None else v for v in lasting[state]]
            axes.plot(seconds, values, line, color=COLOURS[state], label=f"{state}, {who}")
    axes.set(title="still swapped, still gross", xlabel="after, s", ylabel="part", ylim=(0, 1))
    axes.legend(frameon=False, fontsize=8)


def _profile(axes: Any, result: dict[str, Any]) -> None:
    for k, one in enumerate(result["profile"]):
        for who, line in LINES.items():
            axes.plot(
                one["widths"], one[who], line, color=f"C{k}", label=one["heights"] if who == "real" else None
            )
    axes.set(title="mean peak over its height", xlabel="distance, widths of the peak", yscale="log")
    axes.set(ylim=(1e-3, 1.1))
    axes.legend(frameon=False, fontsize=8, title="heights")


def text(result: dict[str, Any]) -> str:
    """The document's tables, one below the other."""
    return "\n\n".join(f"{name}\n{block}" for name, block in blocks(result).items())


def blocks(result: dict[str, Any]) -> dict[str, str]:
    """The blocks of docs/detector.md by name: `scenes`, `held_out`, `fitted`, `footage`."""
    count, held = result["scenes"], result["held_out"]["real"]
    return {
        "scenes": f"Fitted to {count['fitted']} scenes, compared on {count['held_out']} others of "
        f"{held['frames']} frames at {1 / held['step_s']:.0f} Hz each, {held['views']} views.",
        "held_out": _errors_table(result["held_out"]),
        "fitted": _errors_table(result["fitted"]),
        "footage": _footage_table(result["footage"]),
    }


def _errors_table(both: dict[str, Any]) -> str:
    """Real beside simulated errors, of every kind of joint."""
    head = (
        "joints",
        *(f"{name}, {who}" for name in ("median %", "p95 %", "swaps %", "gross %") for who in LINES),
    )
    rows = []
    for kind in KINDS:
        for seen in SEEN:
            pair = [both[who]["kinds"][kind][seen] for who in LINES]
            if all("error" in one for one in pair):
                rows.append((f"{kind}, {seen}", *_figures(pair)))
    return table(head, rows)


def _figures(pair: Sequence[dict[str, Any]]) -> list[str]:
    at = [PERCENTILES.index(p) for p in (50, 95)]
    errors = [f"{100 * one['error'][k]:.2f}" for k in at for one in pair]
    rates = [
        "-" if one[name] is None else f"{100 * one[name]:.1f}" for name in ("swaps", "gross") for one in pair
    ]
    return errors + rates


def _footage_table(both: dict[str, Any]) -> str:
    lag = both["real"]["lag_s"]
    head = (
        "residuals",
        *(f"p{p}, %" for p in both["real"]["percentiles"]),
        "far, %",
        *(f"{1e3 * s:.0f} ms" for s in lag),
    )
    rows = []
    for who in LINES:
        one = both[who]
        errors = [f"{100 * value:.2f}" for value in one["percentiles"].values()]
        rows.append((who, *errors, f"{100 * one['far']:.1f}", *(f"{value:.2f}" for value in one["lag"])))
    return table(head, rows)


def document(results: Path, path: Path) -> None:
    """Fill the document's blocks from the results."""
    for name, block in blocks(json.loads(results.read_text())).items():
        fill(path, name, block)


if __name__ == "__main__":
    document(Path(sys.argv[1]), Path(sys.argv[2]))
