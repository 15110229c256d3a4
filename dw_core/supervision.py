"""Which node of a graph is brought up next. No ROS here: states come in, transitions go out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

UNCONFIGURED, INACTIVE, ACTIVE, FINALIZED = "unconfigured", "inactive", "active", "finalized"
UNREACHABLE = "unreachable"
CONFIGURE, ACTIVATE = "configure", "activate"


@dataclass(frozen=True)
class Step:
    """A transition that a node is to make."""

    node: str
    transition: str


class Supervision:
    """Brings nodes up one after the other, and again when they come back unconfigured.

    `nodes` in the order in which they are brought up. One that has not appeared yet holds up those after
    it, until `wait_s` after the start. A node that was active and is found inactive was made so by somebody,
    and is left alone; a finalized one too, since nothing but a new process helps it.
    """

    def __init__(self, nodes: Sequence[str], wait_s: float) -> None:
        self.states = dict.fromkeys(nodes, UNREACHABLE)
        self._wait_s = wait_s
        self._rising = set(nodes)  # those that were not active since they were last unconfigured
        self._seen: set[str] = set()

    def observe(self, node: str, state: str) -> None:
        """Note the state that a node is in."""
        self.states[node] = state
        if state == ACTIVE:
            self._rising.discard(node)
        if state in (UNCONFIGURED, UNREACHABLE):
            self._rising.add(node)
        if state != UNREACHABLE:
            self._seen.add(node)

    def next(self, elapsed_s: float) -> Step | None:
        """The next transition, `elapsed_s` after the start; None when there is nothing to do now."""
        for node, state in self.states.items():
            if state == UNCONFIGURED:
                return Step(node, CONFIGURE)
            if state == INACTIVE and node in self._rising:
                return Step(node, ACTIVATE)
            if state == UNREACHABLE and node not in self._seen and elapsed_s < self._wait_s:
                return None
        return None
