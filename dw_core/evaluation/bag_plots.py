"""Pictures of a recorded run: its skeletons, when each passed the stages, and their errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from dw_core.data.bags import Run
from dw_core.evaluation.bag import STAGES
from dw_core.evaluation.figures import plot_3d
from dw_core.evaluation.metrics import joint_errors
from dw_core.evaluation.run import chosen, matched
from dw_core.skeleton import joint_set
from dw_core.types import NS, FloatArray

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402 (the backend must be chosen first)


def plot(run: Run, reference: Mapping[int, FloatArray], folder: Path) -> list[Path]:
    """Draw skeletons_3d.png, latency.png and, with joints (P, J, 3) by stamp to compare with, errors.png."""
    plot_3d(run, folder / "skeletons_3d.png")
    _plot_latency(run, folder / "latency.png")
    written = [folder / "skeletons_3d.png", folder / "latency.png"]
    at, who = matched(run, reference)
    if len(at):
        true = chosen(run, reference, at, who)
        _plot_errors(run, at, 1e3 * joint_errors(run.positions[at], true), folder / "errors.png")
        written.append(folder / "errors.png")
    return written


def _plot_latency(run: Run, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(9, 4))
    seconds = (run.stamps_ns - run.stamps_ns[0]) / NS
    times = (run.received_ns, run.inferred_ns, run.fused_ns, run.published_ns, run.bag_ns)
    for stage, passed in zip(STAGES[1:], times, strict=True):
        if len(passed) == len(seconds):
            late = np.where(run.tracked, (passed - run.stamps_ns) / 1e6, np.nan)
            axes.plot(seconds, late, lw=0.8, label=stage)
    axes.set(xlabel="time, s", ylabel="after the exposure, ms", title="when each exposure passed the stages")
    axes.legend(frameon=False, ncols=5, fontsize=8)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _plot_errors(run: Run, at: Any, errors: FloatArray, path: Path) -> None:
    """Errors (n, J) in mm: of all joints over time, and of each joint."""
    figure, (over_time, by_joint) = plt.subplots(1, 2, figsize=(13, 4), width_ratios=(2, 1))
    over_time.plot((run.stamps_ns[at] - run.stamps_ns[0]) / NS, np.nanmean(errors, axis=1), lw=0.9)
    over_time.set(xlabel="time, s", ylabel="MPJPE, mm", title="mean error of the known joints")
    over_time.grid(alpha=0.3)
    names = [name.replace("_", " ") for name in joint_set(run.joint_set).joints]
    by_joint.barh(names, np.nanmean(errors, axis=0))
    by_joint.set(xlabel="mm", title="mean error by joint")
    by_joint.invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
