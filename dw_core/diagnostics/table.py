"""/diagnostics as a table for a terminal: one line per node or part of one, in the colour of its level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dw_core.diagnostics.levels import Level

COLOURS = {Level.OK: "32", Level.WARN: "33", Level.ERROR: "31"}
STALE_S = 3.0
# Values that fit beside a message, by the last part of a node's name (parts of spatial_fusion are views).
SHOWN: dict[str, dict[str, str]] = {
    "trigger": {"fired": "{} fired", "missed": "{} missed", "error_max_ms": "at most {} ms late"},
    "camera": {"frames_sent": "{} sent"},
    "heatmap": {
        "execution_provider": "{}",
        "inferences_per_s": "{} per s",
        "inference_p50_ms": "p50 {} ms",
        "inference_p95_ms": "p95 {} ms",
    },
    "spatial_fusion": {"used": "{} used", "late": "{} late", "missing": "{} views missing"},
    "view": {
        "age_ms": "age {} ms",
        "phase_error_ms": "phase error {} ms",
        "jitter_ms": "jitter {} ms",
        "frames_missing": "{} frames missing",
    },
    "triangulation": {
        "skeletons_per_s": "{} per s",
        "latency_total_p50_ms": "p50 {} ms",
        "latency_total_p95_ms": "p95 {} ms",
        "latency_waiting_p50_ms": "waiting p50 {} ms",
        "latency_waiting_p95_ms": "p95 {} ms",
    },
}
DROPS = (" dropped", " failed", " refused")


@dataclass(frozen=True)
class Status:
    """One status of /diagnostics, `age_s` after it came."""

    name: str
    level: Level
    message: str
    values: Mapping[str, str]
    age_s: float = 0.0


def table(statuses: Sequence[Status], width: int = 0, colour: bool = False) -> str:
    """Lines of a table, by name; `width` cuts them (0: as long as they are)."""
    ordered = sorted(statuses, key=lambda status: status.name)
    rows = [_row(status) for status in ordered]
    name_width = max((len(row[0]) for row in rows), default=0)
    level_width = max((len(row[1]) for row in rows), default=0)
    lines = []
    for (name, level, text), status in zip(rows, ordered, strict=True):
        line = f"{name:{name_width}}  {level:{level_width}}  {text}".rstrip()
        line = line[:width] if width else line
        lines.append(f"\x1b[{COLOURS[status.level]}m{line}\x1b[0m" if colour else line)
    return "\n".join([*lines, _summary(statuses)])


def _row(status: Status) -> tuple[str, str, str]:
    level = status.level.name if status.age_s < STALE_S else f"STALE {status.age_s:.0f} s"
    shown = SHOWN.get("view" if ": " in status.name else status.name.rpartition("/")[2], {})
    texts = [text.format(status.values[key]) for key, text in shown.items() if key in status.values]
    bad = ((key, count) for key, count in status.values.items() if key.endswith(DROPS) and count != "0")
    texts += [f"{count} {key}" for key, count in bad]
    return status.name, level, "; ".join([status.message, *texts])


def _summary(statuses: Sequence[Status]) -> str:
    counts = [f"{sum(s.level == level for s in statuses)} {level.name}" for level in Level]
    return f"{len(statuses)} statuses: {', '.join(counts)}"
