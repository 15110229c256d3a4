"""/diagnostics as a table."""

from __future__ import annotations

from dw_core.diagnostics.levels import Level
from dw_core.diagnostics.table import Status, table

STATUSES = [
    Status("/dw/trigger", Level.OK, "firing", {"fired": "10", "missed": "0", "error_max_ms": "0.3"}),
    Status("/dw/spatial_fusion: cam01", Level.ERROR, "silent for 2.0 s", {"age_ms": "2000"}),
    Status("/dw/cam01/heatmap", Level.WARN, "inactive", {"image/compressed refused": "7", "x dropped": "0"}),
]


def test_there_is_a_line_for_each_by_name_with_the_values_that_matter() -> None:
    heatmap, view, trigger, summary = table(STATUSES).splitlines()
    assert heatmap.split() == "/dw/cam01/heatmap WARN inactive; 7 image/compressed refused".split()
    assert "ERROR  silent for 2.0 s; age 2000 ms" in view
    assert "OK     firing; 10 fired; 0 missed; at most 0.3 ms late" in trigger
    assert summary == "3 statuses: 1 OK, 1 WARN, 1 ERROR"


def test_lines_are_cut_to_the_terminal_and_coloured_there() -> None:
    lines = table(STATUSES, width=30, colour=True).splitlines()[:3]
    assert [line.split("m")[0] for line in lines] == ["\x1b[33", "\x1b[31", "\x1b[32"]
    plain = [line.partition("m")[2].removesuffix("\x1b[0m") for line in lines]
    assert [len(line) for line in plain] == [30, 30, 30]


def test_who_has_not_spoken_for_seconds_is_stale() -> None:
    (line, _) = table([Status("/dw/markers", Level.OK, "running", {}, age_s=4.2)]).splitlines()
    assert line == "/dw/markers  STALE 4 s  running"
