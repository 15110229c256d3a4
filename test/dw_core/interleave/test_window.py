"""The window: every observation gives one dense set at its own time, whatever the order of arrival."""

from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dw_core.errors import ConfigError
from dw_core.geometry.crop import Crop
from dw_core.interleave.window import CLOCK_JUMP_NS, MAX_HISTORY, Window, WindowSettings
from dw_core.types import DenseSet, Heatmaps, Stage

VIEWS = ("a", "b", "c")
MS = 1_000_000


def heatmaps(view: str, ms: float) -> Heatmaps:
    tensor = np.full((2, 4, 4), ms, dtype=np.float32)
    return Heatmaps(view, round(ms * MS), Crop(0.0, 0.0, 64.0), tensor)


def causal(window: Window, view: str, ms: float) -> DenseSet | None:
    """The one set of the causal form, or None."""
    sets = window.push(heatmaps(view, ms))
    assert len(sets) <= 1
    return sets[0] if sets else None


def ages_ms(dense: DenseSet) -> dict[str, float]:
    return {view.view: (dense.target_ns - view.source_stamp_ns) / MS for view in dense.views}


def test_the_fresh_view_is_new_and_the_others_are_as_old_as_they_are() -> None:
    window = Window(VIEWS)
    sets = [causal(window, VIEWS[n % 3], 10.0 * n) for n in range(6)]
    last = sets[-1]
    assert last is not None
    assert (last.fresh, last.target_ns, last.stage) == ("c", 50 * MS, Stage.FILLED)
    assert ages_ms(last) == {"a": 20.0, "b": 10.0, "c": 0.0}
    assert all((view.tensor == view.source_stamp_ns / MS).all() for view in last.views)


def test_views_never_seen_or_too_old_are_absent_and_counted() -> None:
    window = Window(VIEWS, WindowSettings(max_age_ns=100 * MS))
    causal(window, "a", 0)
    causal(window, "b", 90)
    dense = causal(window, "b", 101)
    assert dense is not None
    assert ages_ms(dense) == {"b": 0.0}
    assert window.counters["missing"] == 2 + 1 + 2


def test_late_duplicate_and_foreign_observations_are_dropped_and_counted() -> None:
    window = Window(VIEWS, WindowSettings(lateness_ns=50 * MS))
    assert causal(window, "a", 100) is not None
    assert causal(window, "a", 100) is None
    assert causal(window, "b", 49) is None
    assert causal(window, "z", 100) is None
    assert causal(window, "b", 50) is not None
    assert window.counters == {
        "used": 2, "out_of_order": 1, "duplicate": 1, "late": 1, "unknown_view": 1, "missing": 4,
    }  # fmt: skip


def test_an_out_of_order_observation_is_filled_with_what_was_known_then() -> None:
    window = Window(VIEWS)
    for view, ms in (("a", 0), ("b", 10), ("a", 30), ("b", 40)):
        window.push(heatmaps(view, ms))
    dense = causal(window, "c", 20)
    assert dense is not None
    assert ages_ms(dense) == {"a": 20.0, "b": 10.0, "c": 0.0}, "nothing newer than the target fills it"


@pytest.mark.parametrize("direction", [1, -1])
def test_a_jump_of_the_clock_forgets_everything(direction: int) -> None:
    window = Window(VIEWS)
    start = 1e6
    causal(window, "a", start)
    dense = causal(window, "b", start + direction * (CLOCK_JUMP_NS / MS + 1))
    assert dense is not None
    assert ages_ms(dense) == {"b": 0.0}
    assert window.counters["reset"] == 1


@given(order=st.permutations(range(9)))
def test_within_the_lateness_limit_the_final_knowledge_does_not_depend_on_the_order(order: list[int]) -> None:
    window = Window(VIEWS, WindowSettings(lateness_ns=200 * MS))
    for n in order:
        assert causal(window, VIEWS[n % 3], 10.0 * n) is not None
    dense = causal(window, "a", 90)
    assert dense is not None
    assert ages_ms(dense) == {"a": 0.0, "b": 20.0, "c": 10.0}


def test_a_stamp_far_ahead_is_dropped_until_a_second_one_says_that_time_went_on() -> None:
    window = Window(VIEWS, WindowSettings(max_age_ns=100 * MS))
    for n, (view, ms) in enumerate((("a", 0), ("b", 10), ("c", 121), ("a", 20))):
        assert (causal(window, view, ms) is None) == (n == 2), "one wrong clock"
    assert causal(window, "b", 120) is not None, "100 ms ahead is within the limit"
    assert causal(window, "c", 900) is None and causal(window, "a", 910) is not None, "a pause"
    dense = causal(window, "b", 920)
    assert dense is not None and ages_ms(dense) == {"a": 10.0, "b": 0.0}
    assert (window.counters["early"], window.counters["used"], window.counters["late"]) == (2, 6, 0)


def test_memory_is_what_can_still_fill_and_bounded_at_any_rate() -> None:
    window = Window(("a", "b"), WindowSettings(max_age_ns=10**12, lateness_ns=100 * MS))
    causal(window, "b", 0)
    for n in range(60):
        causal(window, "a", 10 * n)
    kept = window.state.maps
    assert [one.stamp_ns // MS for one in kept["a"]] == list(range(480, 600, 10)), "one before 490"
    assert len(kept["b"]) == 1, "the newest of a view that is silent"
    for n in range(6000, 6100):
        causal(window, "a", n / 10)
    assert len(window.state.maps["a"]) == MAX_HISTORY
    assert window.counters["overflow"] == 100 + 12 - MAX_HISTORY - 2


def test_senseless_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected a positive age"):
        Window(VIEWS, WindowSettings(max_age_ns=0))
    with pytest.raises(ConfigError, match="lookahead_ns -1, expected .* lookahead of 0 or more"):
        WindowSettings(lookahead_ns=-1)


def centred(lookahead_ms: int = 20, lateness_ms: int = 30) -> Window:
    return Window(VIEWS, WindowSettings(lateness_ns=lateness_ms * MS, lookahead_ns=lookahead_ms * MS))


def run(window: Window, order: list[int]) -> list[DenseSet]:
    """The sets of observations every 10 ms, the views in turn, in some order of arrival."""
    return [dense for n in order for dense in window.push(heatmaps(VIEWS[n % 3], 10.0 * n))]


def content(sets: list[DenseSet]) -> list[tuple[int, str, dict[str, float]]]:
    return [(dense.target_ns, dense.fresh, ages_ms(dense)) for dense in sets]


def test_a_centred_set_is_filled_with_the_nearest_maps_of_both_sides() -> None:
    sets = content(run(centred(), list(range(12))))
    assert sets[4] == (40 * MS, "b", {"a": 10.0, "b": 0.0, "c": -10.0})
    assert sets[0] == (0, "a", {"a": 0.0, "b": -10.0, "c": -20.0}), "nothing before, both after"
    pushed = content(run(centred(lookahead_ms=10), list(range(12))))
    assert pushed[0] == (0, "a", {"a": 0.0, "b": -10.0}), "nothing further ahead than the lookahead"


def test_of_two_maps_as_near_the_earlier_fills() -> None:
    window = centred()
    sets = [window.push(heatmaps(v, ms)) for v, ms in (("a", 0), ("b", 10), ("a", 20), ("b", 90))]
    assert ages_ms(sets[-1][1]) == {"a": 10.0, "b": 0.0}


def test_centred_sets_come_once_in_order_as_soon_as_nothing_of_them_can_still_arrive() -> None:
    window = centred(lookahead_ms=20, lateness_ms=30)
    given: list[int] = []
    for n in range(20):
        given += [dense.target_ns // MS for dense in window.push(heatmaps(VIEWS[n % 3], 10.0 * n))]
        assert given == [ms for ms in range(0, 10 * n, 10) if ms + 50 < 10 * n]
    assert window.counters["out_of_order"] == 0
    assert [d.target_ns // MS for d in window.push(heatmaps("a", 400))] == list(range(140, 191, 10)), "a gap"


def test_two_cameras_at_once_are_two_centred_sets() -> None:
    window = centred()
    sets = [d for v, ms in (("b", 0), ("a", 0), ("c", 100)) for d in window.push(heatmaps(v, ms))]
    assert [(d.target_ns, d.fresh, ages_ms(d)) for d in sets] == [
        (0, "a", {"a": 0.0, "b": 0.0}),
        (0, "b", {"a": 0.0, "b": 0.0}),
    ]


@given(delays=st.lists(st.integers(0, 3), min_size=30, max_size=30), lookahead_ms=st.integers(1, 60))
def test_centred_sets_do_not_depend_on_the_order_of_arrival(delays: list[int], lookahead_ms: int) -> None:
    """An observation is overtaken by others of up to 30 ms after it: the lateness limit."""
    arrival = sorted(range(30), key=lambda n: (n + delays[n], n))
    expected, window = run(centred(lookahead_ms), list(range(30))), centred(lookahead_ms)
    shuffled = run(window, arrival)
    assert content(shuffled) == content(expected)
    assert all(a.target_ns < b.target_ns for a, b in pairwise(shuffled))
    assert window.counters["late"] == 0 and window.counters["used"] == 30


@given(delays=st.lists(st.integers(0, 3), min_size=30, max_size=30))
def test_causal_targets_do_not_depend_on_the_order_of_arrival_and_nothing_newer_fills(
    delays: list[int],
) -> None:
    arrival = sorted(range(30), key=lambda n: (n + delays[n], n))
    sets = run(Window(VIEWS, WindowSettings(lateness_ns=30 * MS)), arrival)
    assert [dense.target_ns for dense in sets] == [10 * n * MS for n in arrival]
    assert all(age >= 0 for dense in sets for age in ages_ms(dense).values())


@pytest.mark.parametrize("direction", [1, -1])
def test_after_a_jump_the_centred_form_is_that_of_a_new_window(direction: int) -> None:
    later = [heatmaps(VIEWS[n % 3], 1e6 + direction * 1e5 + 10.0 * n) for n in range(12)]
    window, new = centred(), centred()
    for n in range(12):
        window.push(heatmaps(VIEWS[n % 3], 1e6 + 10.0 * n))
    continued = [dense for one in later for dense in window.push(one)]
    assert content(continued) == content([dense for one in later for dense in new.push(one)])
    assert window.counters["reset"] == 1 and len(continued) == 6


@pytest.mark.parametrize("lookahead_ms", [0, 20])
def test_state_is_saved_and_restored(lookahead_ms: int) -> None:
    through, before = centred(lookahead_ms), centred(lookahead_ms)
    run(through, list(range(10)))
    run(before, list(range(10)))
    after = centred(lookahead_ms)
    after.state = pickle.loads(pickle.dumps(before.state))
    run(before, [11])  # changes nothing of what was saved
    rest = [11, 10, 10, 12, 13, 14, 3]
    assert content(run(after, rest)) == content(run(through, rest))
    assert after.counters == through.counters and after.counters["duplicate"] == 1
    assert after.counters["late"] == 1


def test_the_state_of_other_views_is_refused() -> None:
    with pytest.raises(ConfigError, match="state is of views a, b, expected a, b, c"):
        Window(VIEWS).state = Window(("a", "b")).state


@given(
    changes=st.lists(
        st.tuples(st.integers(0, 39), st.sampled_from([0, 20, 40]), st.integers(0, 50)), max_size=6
    )
)
def test_with_settings_that_change_meanwhile_every_exposure_is_given_at_most_once(
    changes: list[tuple[int, int, int]],
) -> None:
    window = Window(VIEWS)
    targets: list[int] = []
    for n in range(40):
        for at, lookahead_ms, lateness_ms in changes:
            if at == n:
                window.settings = WindowSettings(lookahead_ns=lookahead_ms * MS, lateness_ns=lateness_ms * MS)
        targets += [dense.target_ns for dense in window.push(heatmaps(VIEWS[n % 3], 10.0 * n))]
    assert all(before < after for before, after in pairwise(targets))


def test_from_the_causal_to_the_centred_form_and_back_nothing_is_given_twice() -> None:
    window = Window(VIEWS)
    assert len(run(window, list(range(10)))) == 10
    window.settings = WindowSettings(lookahead_ns=20 * MS, lateness_ns=10 * MS)
    assert [dense.target_ns for dense in run(window, list(range(10, 20)))] == [
        n * 10 * MS for n in range(10, 16)
    ]
    window.settings = WindowSettings()
    assert [dense.target_ns for dense in run(window, [20, 21])] == [200 * MS, 210 * MS]
