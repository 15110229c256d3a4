"""The figures of a recorded run in words."""

from __future__ import annotations

from typing import Any

from dw_core.evaluation.demo_report import report as demo_report


def report(figures: dict[str, Any]) -> str:
    """What a run was worth: the sentences of the demo, the stages, and accuracy where there is something to
    compare with."""
    lines = [demo_report(figures), "stages    " + _stages(figures["stages_ms"])]
    rates = ", ".join(f"{view} {rate:.1f}" for view, rate in figures["view_rates_hz"].items())
    lines.append(f"views     {rates} observations per second")
    if "accuracy" in figures:
        lines.append(_accuracy(figures["accuracy"], figures["against"]))
    return "\n".join(lines)


def _stages(stages: dict[str, dict[str, float]]) -> str:
    spent = {name.split(" to ")[1]: times for name, times in stages.items()}
    parts = [f"{stage} {times['p50']:.1f} ({times['p95']:.1f})" for stage, times in spent.items()]
    return "ms from the stage before, median (95 %): " + ", ".join(parts)


def _accuracy(found: dict[str, Any], against: str) -> str:
    speed, coverage = found["velocity_error_mm_s"], found["coverage"]
    parts = [
        f"MPJPE {found['mpjpe_mm']:.1f} mm, relative to the hips {found['mpjpe_relative_mm']:.1f} mm, "
        f"aligned {found['p_mpjpe_mm']:.1f} mm",
        *([] if speed is None else [f"velocities {speed:.0f} mm/s"]),
        f"{found['compared']} exposures, {100 * coverage['exposures']:.1f} % of those that there were, "
        f"with {100 * coverage['joints']:.1f} % of their joints",
    ]
    return f"{against:<9} " + "; ".join(parts)
