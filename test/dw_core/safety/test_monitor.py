"""The monitor stops at the first doubt, whatever the doubt, and goes on after many good arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dw_core.errors import ConfigError
from dw_core.safety import example
from dw_core.safety.monitor import MonitorSettings, SeparationMonitor, Verdict
from dw_core.safety.parameters import monitor_of
from dw_core.skeleton import COCO17, H36M17
from dw_core.types import NS, Skeleton3D, TrackingState

ROOT = Path(__file__).resolve().parents[3]
VALUES = {**example.load_parameters(ROOT / "config/separation_monitor.yaml"), "joint_set": "h36m17"}
MS = 1_000_000
TICK, LATENCY, START = 20 * MS, 25 * MS, 100 * NS
RECOVERY = 5


SOMEBODY = next(example.skeletons(example.approach()[:2]))


def person(**changes: Any) -> Skeleton3D:
    """Somebody 4.8 m away, seen just now."""
    return replace(SOMEBODY, **changes)


class Feed:
    """A monitor with a clock, fed with one array per tick."""

    def __init__(self, **values: Any) -> None:
        self.monitor = monitor_of({**VALUES, "recovery_count": RECOVERY, **values})
        self.now, self.steady, self.last = START, START, Verdict(True, 0.0, "")

    def see(self, *people: Skeleton3D, ahead_ns: int = 0, times: int = 1) -> Verdict:
        for _ in range(times):
            self.now, self.steady = self.now + TICK, self.steady + TICK
            stamp = self.now - LATENCY + ahead_ns
            stamped = [replace(one, stamp_ns=stamp) for one in people]
            self.last = self.monitor.see(stamp, stamped, self.now, self.steady)
        return self.last

    def wait(self, clock_ns: int, steady_ns: int) -> Verdict:
        self.now, self.steady = self.now + clock_ns, self.steady + steady_ns
        return self.monitor.judge(self.now, self.steady)

    def running(self) -> Feed:
        """After enough good arrays."""
        assert not self.see(person(), times=RECOVERY).stop
        return self


def unknown(joint: str) -> Skeleton3D:
    positions = person().positions.copy()
    positions[H36M17.index(joint)] = np.nan
    return person(positions=positions)


DOUBTS: dict[str, tuple[Callable[[Feed], Verdict], str]] = {
    "silence": (lambda feed: feed.wait(300 * MS, 300 * MS), "0.325 s old, expected at most 0.2 s"),
    "a clock that stands still": (lambda feed: feed.wait(0, 300 * MS), "no skeletons for 0.300 s"),
    "an old exposure": (lambda feed: feed.see(person(), ahead_ns=-200 * MS), "out of order"),
    "a stamp of the future": (lambda feed: feed.see(person(), ahead_ns=100 * MS), "0.075 s ahead"),
    "nobody": (lambda feed: feed.see(), "nobody is tracked, which does not mean"),
    "a joint that is not known": (
        lambda feed: feed.see(unknown("left_wrist")),
        "left_wrist is, is not known",
    ),
    "a person who is lost": (lambda feed: feed.see(person(state=TrackingState.LOST)), "is lost, not tracked"),
    "a person just found": (
        lambda feed: feed.see(person(), person(state=TrackingState.INITIALISING)),
        "is initialising, not tracked",
    ),
    "low confidence": (lambda feed: feed.see(person(confidence=np.full(17, 0.05))), "pelvis is 0.05"),
    "confidence that is no number": (lambda feed: feed.see(person(confidence=np.full(17, np.nan))), "is nan"),
    "one view": (lambda feed: feed.see(person(view_ages_ns=(0, 300 * MS))), "seen by 1 view(s)"),
    "no views": (lambda feed: feed.see(person(views=(), view_ages_ns=())), "seen by 0 view(s)"),
    "no covariance": (
        lambda feed: feed.see(person(covariance=np.full((17, 3, 3), np.nan))),
        "how far off the joints may be",
    ),
    "other joints": (lambda feed: feed.see(person(joint_set=COCO17.name)), "'coco17', expected 'h36m17'"),
    "too few joints": (lambda feed: feed.see(person(confidence=np.ones(3))), "expected 17 joints"),
    "a clock that jumps back": (lambda feed: feed.wait(-1, 20 * MS), "the clock jumped by -0.000 s"),
    "a clock that jumps ahead": (lambda feed: feed.wait(NS, 20 * MS), "the clock jumped by 0.980 s"),
    "an array that cannot be read": (
        lambda feed: (feed.monitor.fault("torn"), feed.wait(MS, MS))[1],
        "torn",
    ),
    "another person instead": (lambda feed: feed.see(person(identity=2)), "person 1 is tracked no more"),
    "a person too near": (
        lambda feed: feed.see(person(positions=person().positions - (4.0, 0, 0))),
        "m from arm_and_reach",
    ),
    "somebody behind": (
        lambda feed: feed.see(person(), person(positions=person().positions - (4.0, 0, 0))),
        "m from arm_and_reach",
    ),
}


@pytest.mark.parametrize("doubt", DOUBTS)
def test_every_doubt_is_a_stop_at_once_and_for_a_while(doubt: str) -> None:
    feed = Feed().running()
    happens, words = DOUBTS[doubt]
    verdict = happens(feed)
    assert verdict.stop and verdict.scale == 0.0 and words in verdict.reason
    assert feed.monitor.stops == 1 and feed.monitor.cause == verdict.reason
    # a look at the clock is no good array, and one array too few is too few
    feed.now, feed.steady = feed.now + NS, feed.steady + NS
    feed.see(person())  # the first after a pause of the feed may itself be out of time
    again = [feed.see(person()).stop for _ in range(RECOVERY + 2)]
    assert again[: RECOVERY - 2] == [True] * (RECOVERY - 2) and again[-1] is False


def test_before_anything_comes_it_is_a_stop() -> None:
    verdict = Feed().monitor.judge(START, START)
    assert verdict == Verdict(True, 0.0, "no skeletons yet")


def test_looking_at_the_clock_does_not_end_a_stop() -> None:
    feed = Feed()
    assert feed.see(person(), times=RECOVERY - 1).stop
    assert all(feed.wait(MS, MS).stop for _ in range(50))
    assert feed.see(person()).stop is False
    assert not feed.wait(MS, MS).stop


def test_a_stop_ends_only_some_way_beyond_where_it_began() -> None:
    feed = Feed(recovery_margin_m=0.5).running()
    x = np.array([1.0, 0, 0])
    nearer = [person(positions=person().positions - k * 0.05 * x) for k in range(90)]
    spare = [feed.see(one) for one in nearer]
    first = next(k for k, verdict in enumerate(spare) if verdict.stop)
    before = spare[first - 1].separation
    assert before is not None and before.spare_m < 0.1
    assert feed.see(nearer[first - 2], times=2 * RECOVERY).reason == "not yet 0.5 m beyond the stop"
    assert feed.see(nearer[first - 20], times=RECOVERY).stop is False


def test_an_empty_cell_may_be_declared_clear() -> None:
    feed = Feed(empty_means="clear")
    assert feed.see(times=RECOVERY - 1).stop
    verdict = feed.see()
    assert (verdict.stop, verdict.scale, verdict.separation) == (False, 1.0, None)
    assert not feed.see(person()).stop
    assert not feed.see(person(identity=2)).stop, "somebody may leave"
    assert feed.wait(300 * MS, 300 * MS).stop, "but silence is none"


def test_optional_joints_may_be_unknown_and_all_of_the_others_may_not() -> None:
    feed = Feed(optional_joints=["left_wrist"])
    assert not feed.see(unknown("left_wrist"), times=RECOVERY).stop
    assert "head is, is not known" in feed.see(unknown("head")).reason
    with pytest.raises(ConfigError, match="has no joint 'tail'"):
        Feed(optional_joints=["tail"])


def test_a_robot_that_moves_has_an_age_too() -> None:
    feed = Feed(robot_source="poses")
    robot = monitor_of(VALUES)._robot
    assert robot is not None
    assert "no pose of the robot yet" in feed.see(person()).reason
    for _ in range(RECOVERY):
        feed.monitor.robot_at(feed.now, robot)
        fresh = feed.see(person())
    assert not fresh.stop and fresh.separation is not None
    older = feed.see(person())
    assert older.separation is not None and older.separation.terms.s_r > fresh.separation.terms.s_r
    assert "robot's pose: 0." in feed.see(person(), times=20).reason
    feed.monitor.robot_at(feed.now + NS, robot)
    assert "robot's pose: stamped" in feed.see(person()).reason
    feed.monitor.robot_fault("bent")
    assert feed.see(person()).reason == "bent"


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["good", "near", "lost", "empty", "late", "wait", "jump"]), st.integers(1, 400)
    ),
    min_size=10,
    max_size=40,
)


@settings(max_examples=50)
@given(EVENTS)
def test_whatever_happens_the_scale_is_zero_in_a_stop_and_no_stop_ends_early(
    events: list[tuple[str, int]],
) -> None:
    feed, arrays, far = Feed(recovery_count=3), 0, person()
    near, lost = person(positions=far.positions - (3.6, 0, 0)), person(state=TrackingState.LOST)
    for event, number in events:
        if event in ("wait", "jump"):
            verdict = feed.wait(number * MS if event == "wait" else -number, number * MS)
        else:
            people = {"good": [far], "near": [near], "lost": [lost], "empty": [], "late": [far]}[event]
            verdict = feed.see(*people, ahead_ns=-number * MS if event == "late" else 0)
            arrays += 1
        assert 0.0 <= verdict.scale <= 1.0
        assert verdict.scale == 0.0 or not verdict.stop
        if event in ("lost", "empty", "jump") or (event == "wait" and number > 200):
            assert verdict.stop
        if verdict.stop and "good arrays since" not in verdict.reason:
            arrays = 0  # since the last doubt
        assert verdict.stop or arrays >= 3


def test_the_walk_of_the_document_slows_the_robot_stops_it_and_lets_it_go_on() -> None:
    times, verdicts = example.run(monitor_of(VALUES))
    scale = np.array([one.scale for one in verdicts])
    distance = np.array([one.separation.distance_m if one.separation else np.nan for one in verdicts])
    nearest = np.nanargmin(distance)
    assert 0.05 < distance[nearest] < 0.5 and verdicts[nearest].stop
    assert (scale[(times > 0.6) & (times < 1.5)] == 1).all(), "far away"
    assert ((scale > 0.1) & (scale < 0.9)).sum() > 10, "slower before it stops"
    silent = (times > example.SILENT_S[0] + 0.2) & (times < example.SILENT_S[1])
    assert silent.any() and (scale[silent] == 0).all() and verdicts[-1].scale == 1


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    example.main([str(ROOT / "config/separation_monitor.yaml"), str(tmp_path / "picture.png")])
    assert (tmp_path / "picture.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"robot_speed_m_s": None}, "'robot_speed_m_s' is not set"),
        ({"robot_names": []}, "'robot_names' is not set"),
        ({"robot_ends_m": [0.0, 1.0]}, "robot_ends_m holds 2 number"),
        ({"robot_radii_m": [0.1]}, "robot_radii_m holds 1 number"),
        ({"empty_means": "maybe"}, "empty_means is 'maybe'"),
        ({"recovery_count": 0}, "recovery_count is 0, expected more than 0"),
        ({"min_confidence": -0.1}, "min_confidence is -0.1, expected at least 0"),
    ],
)
def test_parameters_that_cannot_be_are_refused_by_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        monitor_of({**VALUES, **change})


def test_a_file_that_is_no_parameter_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("what")
    with pytest.raises(ConfigError, match="x.yaml is no parameter file"):
        example.load_parameters(tmp_path / "x.yaml")
    assert MonitorSettings() == SeparationMonitor(COCO17, monitor_of(VALUES).limits).settings
