"""The window: every observation gives one dense set at its own time, whatever the order of arrival."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dw_core.errors import ConfigError
from dw_core.geometry.crop import Crop
from dw_core.interleave.window import CLOCK_JUMP_NS, HISTORY_PER_VIEW, Window, WindowSettings
from dw_core.types import DenseSet, Heatmaps, Stage

VIEWS = ("a", "b", "c")
MS = 1_000_000


def heatmaps(view: str, ms: float) -> Heatmaps:
    tensor = np.full((2, 4, 4), ms, dtype=np.float32)
    return Heatmaps(view, round(ms * MS), Crop(0.0, 0.0, 64.0), tensor)


def ages_ms(dense: DenseSet) -> dict[str, float]:
    return {view.view: (dense.target_ns - view.source_stamp_ns) / MS for view in dense.views}


def test_the_fresh_view_is_new_and_the_others_are_as_old_as_they_are() -> None:
    window = Window(VIEWS)
    sets = [window.push(heatmaps(VIEWS[n % 3], 10.0 * n)) for n in range(6)]
    last = sets[-1]
    assert last is not None
    assert (last.fresh, last.target_ns, last.stage) == ("c", 50 * MS, Stage.FILLED)
    assert ages_ms(last) == {"a": 20.0, "b": 10.0, "c": 0.0}
    assert all((view.tensor == view.source_stamp_ns / MS).all() for view in last.views)


def test_views_never_seen_or_too_old_are_absent_and_counted() -> None:
    window = Window(VIEWS, WindowSettings(max_age_ns=100 * MS))
    window.push(heatmaps("a", 0))
    window.push(heatmaps("b", 90))
    dense = window.push(heatmaps("b", 101))
    assert dense is not None
    assert ages_ms(dense) == {"b": 0.0}
    assert window.counters["missing"] == 2 + 1 + 2


def test_late_duplicate_and_foreign_observations_are_dropped_and_counted() -> None:
    window = Window(VIEWS, WindowSettings(lateness_ns=50 * MS))
    assert window.push(heatmaps("a", 100)) is not None
    assert window.push(heatmaps("a", 100)) is None
    assert window.push(heatmaps("b", 49)) is None
    assert window.push(heatmaps("z", 100)) is None
    assert window.push(heatmaps("b", 50)) is not None
    assert window.counters == {
        "used": 2, "out_of_order": 1, "duplicate": 1, "late": 1, "unknown_view": 1, "missing": 4,
    }  # fmt: skip


def test_an_out_of_order_observation_is_filled_with_what_was_known_then() -> None:
    window = Window(VIEWS)
    for view, ms in (("a", 0), ("b", 10), ("a", 30), ("b", 40)):
        window.push(heatmaps(view, ms))
    dense = window.push(heatmaps("c", 20))
    assert dense is not None
    assert ages_ms(dense) == {"a": 20.0, "b": 10.0, "c": 0.0}, "nothing newer than the target fills it"


@pytest.mark.parametrize("direction", [1, -1])
def test_a_jump_of_the_clock_forgets_everything(direction: int) -> None:
    window = Window(VIEWS)
    start = 1e6
    window.push(heatmaps("a", start))
    dense = window.push(heatmaps("b", start + direction * (CLOCK_JUMP_NS / MS + 1)))
    assert dense is not None
    assert ages_ms(dense) == {"b": 0.0}
    assert window.counters["reset"] == 1


@given(order=st.permutations(range(9)))
def test_within_the_lateness_limit_the_final_knowledge_does_not_depend_on_the_order(order: list[int]) -> None:
    window = Window(VIEWS, WindowSettings(lateness_ns=200 * MS))
    for n in order:
        assert window.push(heatmaps(VIEWS[n % 3], 10.0 * n)) is not None
    dense = window.push(heatmaps("a", 90))
    assert dense is not None
    assert ages_ms(dense) == {"a": 0.0, "b": 20.0, "c": 10.0}


def test_memory_is_bounded() -> None:
    window = Window(("a",), WindowSettings(max_age_ns=10**12))
    for n in range(100):
        window.push(heatmaps("a", n))
    late = window.push(heatmaps("a", 99 - 0.5))
    assert late is not None
    assert sum(len(maps) for maps in window._maps.values()) == HISTORY_PER_VIEW


def test_senseless_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected a positive age"):
        Window(VIEWS, WindowSettings(max_age_ns=0))
