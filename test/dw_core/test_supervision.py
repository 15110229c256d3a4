"""Who is brought up next: in order, again after a restart, and never against somebody's wish."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dw_core.supervision import (
    ACTIVATE,
    ACTIVE,
    CONFIGURE,
    FINALIZED,
    INACTIVE,
    UNCONFIGURED,
    UNREACHABLE,
    Step,
    Supervision,
)

NODES = ("end", "middle", "start")


def carry_out(supervision: Supervision, elapsed_s: float = 0.0) -> list[Step]:
    """Do everything that is asked for; what was done."""
    done = []
    while (step := supervision.next(elapsed_s)) is not None:
        done.append(step)
        supervision.observe(step.node, INACTIVE if step.transition == CONFIGURE else ACTIVE)
    return done


def up() -> Supervision:
    supervision = Supervision(NODES, wait_s=10.0)
    for node in NODES:
        supervision.observe(node, UNCONFIGURED)
    carry_out(supervision)
    return supervision


def test_nodes_are_configured_and_activated_one_after_the_other_in_order() -> None:
    supervision = Supervision(NODES, wait_s=10.0)
    for node in reversed(NODES):
        supervision.observe(node, UNCONFIGURED)
    expected = [Step(node, transition) for node in NODES for transition in (CONFIGURE, ACTIVATE)]
    assert carry_out(supervision) == expected
    assert set(supervision.states.values()) == {ACTIVE}


def test_one_that_has_not_appeared_holds_up_those_after_it_but_not_for_ever() -> None:
    supervision = Supervision(NODES, wait_s=10.0)
    supervision.observe("end", UNCONFIGURED)
    supervision.observe("start", UNCONFIGURED)
    assert {step.node for step in carry_out(supervision, 9.9)} == {"end"}
    assert {step.node for step in carry_out(supervision, 10.0)} == {"start"}
    supervision.observe("middle", UNCONFIGURED)
    assert {step.node for step in carry_out(supervision, 60.0)} == {"middle"}


def test_one_that_comes_back_unconfigured_is_brought_up_again_and_holds_up_nobody() -> None:
    supervision = up()
    supervision.observe("end", UNREACHABLE)
    supervision.observe("start", UNCONFIGURED)
    assert {step.node for step in carry_out(supervision)} == {"start"}
    supervision.observe("end", UNCONFIGURED)
    assert carry_out(supervision) == [Step("end", CONFIGURE), Step("end", ACTIVATE)]


def test_what_somebody_deactivated_or_shut_down_is_left_alone_until_it_is_cleaned_up() -> None:
    supervision = up()
    supervision.observe("middle", INACTIVE)
    supervision.observe("end", FINALIZED)
    assert carry_out(supervision) == []
    supervision.observe("middle", UNCONFIGURED)
    assert carry_out(supervision) == [Step("middle", CONFIGURE), Step("middle", ACTIVATE)]


def test_a_supervisor_that_was_started_again_finds_everybody_as_they_are() -> None:
    supervision = Supervision(NODES, wait_s=10.0)
    for node, state in zip(NODES, (ACTIVE, INACTIVE, ACTIVE), strict=True):
        supervision.observe(node, state)
    assert carry_out(supervision) == [Step("middle", ACTIVATE)]


@given(st.lists(st.tuples(st.sampled_from(NODES), st.sampled_from([UNCONFIGURED, UNREACHABLE])), max_size=30))
def test_whatever_processes_die_and_come_back_in_the_end_all_that_are_there_are_active(
    events: list[tuple[str, str]],
) -> None:
    supervision = Supervision(NODES, wait_s=10.0)
    for node, state in events:
        supervision.observe(node, state)
        carry_out(supervision, 1.0)
    carry_out(supervision, 10.0)
    assert set(supervision.states.values()) <= {ACTIVE, UNREACHABLE}
