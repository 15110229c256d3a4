"""Levels with hysteresis."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dw_core.diagnostics.levels import Hysteresis, Level
from dw_core.errors import ConfigError

OK, WARN, ERROR = Level
REPORTS = st.lists(st.sampled_from(Level), max_size=60)


def follow(hysteresis: Hysteresis, levels: list[Level]) -> list[Level]:
    return [hysteresis.update(level, level.name)[0] for level in levels]


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([WARN, OK, WARN, OK], [OK, OK, OK, OK]),
        ([WARN, WARN, OK, OK, OK], [OK, WARN, WARN, WARN, OK]),
        ([WARN, ERROR, ERROR], [OK, WARN, ERROR]),
        ([ERROR, ERROR, WARN, OK, WARN], [OK, ERROR, ERROR, ERROR, WARN]),
        ([ERROR, ERROR, OK, OK, ERROR, OK, OK, OK], [OK, *[ERROR] * 6, OK]),
    ],
)
def test_worse_after_two_better_after_three(reports: list[Level], expected: list[Level]) -> None:
    assert follow(Hysteresis(worse_after=2, better_after=3), reports) == expected


def test_while_it_recovers_the_message_is_that_of_the_trouble() -> None:
    hysteresis = Hysteresis(1, 2)
    assert hysteresis.update(WARN, "too slow") == (WARN, "too slow")
    assert hysteresis.update(OK, "fine") == (WARN, "recovering from: too slow")
    assert hysteresis.update(OK, "fine") == (OK, "fine")


@given(reports=REPORTS, worse=st.integers(1, 5), better=st.integers(1, 8))
def test_it_changes_only_after_as_many_reports_as_it_takes_and_then_it_does(
    reports: list[Level], worse: int, better: int
) -> None:
    levels = [OK, *follow(Hysteresis(worse, better), reports)]
    for n, (before, after) in enumerate(zip(levels, levels[1:], strict=False), start=1):
        lately = reports[:n]
        all_worse = n >= worse and min(lately[-worse:]) > before
        all_better = n >= better and max(lately[-better:]) < before
        assert (after > before) == all_worse and (after < before) == all_better


@given(reports=REPORTS)
def test_with_one_and_one_it_is_the_report(reports: list[Level]) -> None:
    assert follow(Hysteresis(1, 1), reports) == reports


def test_numbers_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="worse after 0 and better after 5 reports, expected at least 1"):
        Hysteresis(0, 5)
