"""Values of the last second."""

from __future__ import annotations

import numpy as np

from dw_core.diagnostics.recent import MAX_SAMPLES, Recent
from dw_core.types import NS

MS = 1_000_000


def test_percentiles_are_of_the_last_second_alone() -> None:
    recent = Recent()
    for n in range(200):
        recent.add(n * 10 * MS, n * MS)
    now_ns = 199 * 10 * MS
    values = np.arange(99, 200)
    assert recent.values(now_ns).tolist() == (values * MS).tolist()
    expected = {f"x_p{p}_ms": f"{np.percentile(values, p):.1f}" for p in (50, 95)}
    assert recent.percentiles_ms("x", now_ns) == expected


def test_nothing_lately_is_nothing_and_a_clock_set_back_forgets() -> None:
    recent = Recent()
    assert recent.percentiles_ms("x", 0) == {}
    recent.add(10 * NS, 1)
    assert recent.percentiles_ms("x", 12 * NS) == {} and recent.percentiles_ms("x", 9 * NS) == {}


def test_it_does_not_grow_without_end() -> None:
    recent = Recent()
    for n in range(MAX_SAMPLES + 10):
        recent.add(0, n)
    assert len(recent.values(0)) == MAX_SAMPLES
