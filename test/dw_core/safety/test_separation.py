"""The protective separation distance and the speed that it allows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from dw_core.errors import ConfigError
from dw_core.safety.capsules import Capsules
from dw_core.safety.limbs import Limbs, limbs, segments
from dw_core.safety.separation import (
    SeparationLimits,
    Situation,
    allowed_speed,
    assess,
    protective_distance,
)
from dw_core.skeleton import COCO17, H36M17
from dw_core.types import Skeleton3D, TrackingState

LIMITS = SeparationLimits(robot_speed_m_s=1.0, robot_deceleration_m_s2=4.0, reaction_s=0.1)
ROBOT = Capsules(
    ("base", "arm"), np.array([(0, 0, 0.7), (0, 0, 1.2)]), np.array([(0, 0, 1.2), (0.6, 0, 1.2)]),
    np.full(2, 0.1),
)  # fmt: skip


def skeleton(at: Any = (2.0, 0.0, 0.0), velocity: Any = (0, 0, 0), std_m: float = 0.01) -> Skeleton3D:
    """A body whose joints are spread over 1.7 m of height."""
    J = len(COCO17)
    rng = np.random.default_rng(4)
    body = np.c_[rng.uniform(-0.2, 0.2, (J, 2)), np.linspace(1.7, 0.0, J)]
    return Skeleton3D(
        0, 1, TrackingState.TRACKED, COCO17.name, body + at, np.tile(np.array(velocity, float), (J, 1)),
        np.tile(std_m**2 * np.eye(3), (J, 1, 1)), np.ones(J), ("a", "b"), (0, 0),
    )  # fmt: skip


def body(**changes: Any) -> Limbs:
    return limbs(skeleton(**changes), COCO17, 0.15)


def test_the_distance_by_hand() -> None:
    terms = protective_distance(LIMITS, Situation(1.6, 0.03, 0.05, 0.02), 0.8)
    assert terms.s_h == pytest.approx(1.6 * (0.05 + 0.1 + 0.2))
    assert terms.s_r == pytest.approx(0.8 * (0.02 + 0.1))
    assert terms.s_s == pytest.approx(0.8**2 / 8)
    assert (terms.c, terms.z_d, terms.z_r) == (0.2, 0.03, 0.02)
    assert terms.total == pytest.approx(0.56 + 0.096 + 0.08 + 0.25)


SPEEDS = st.floats(0.0, 4.0)
AGES = st.floats(0.0, 0.5)


@given(SPEEDS, SPEEDS, AGES, AGES, st.floats(0.0, 0.3))
def test_the_allowed_speed_is_the_one_that_needs_just_this_distance(
    robot: float, human: float, human_age: float, robot_age: float, z_d: float
) -> None:
    now = Situation(human, z_d, human_age, robot_age)
    distance = np.array([[protective_distance(LIMITS, now, robot).total]])
    assert allowed_speed(LIMITS, now, distance)[0, 0] == pytest.approx(robot, abs=1e-6)


@given(SPEEDS, st.floats(0.0, 5.0))
def test_a_person_and_a_robot_that_brake_in_time_do_not_meet(human: float, distance: float) -> None:
    """Step by step: both go on towards each other until the robot has braked."""
    now = Situation(human, 0.0, 0.05)
    speed = float(allowed_speed(LIMITS, now, np.array([[distance]]))[0, 0])
    if speed == 0:
        return
    step = 1e-4
    times = np.arange(0, LIMITS.reaction_s + speed / 4.0, step)
    robot = np.where(times < LIMITS.reaction_s, speed, speed - 4.0 * (times - LIMITS.reaction_s))
    covered = human * (0.05 + times[-1]) + robot.sum() * step
    assert distance - covered >= LIMITS.intrusion_m + LIMITS.robot_uncertainty_m - 1e-2


@given(st.floats(0.5, 5.0), st.floats(0.0, 1.0), arrays(np.float64, 3, elements=st.floats(-3, 3)))
def test_further_away_a_robot_is_never_slower(near: float, more: float, velocity: np.ndarray) -> None:
    """Along the arm's axis, so that the line from a limb to the arm keeps its direction."""
    found = [
        assess(body(at=(x, 0, 0), velocity=velocity), ARMLESS, LIMITS, 0.03) for x in (near, near + more)
    ]
    assert found[0].distance_m <= found[1].distance_m + 1e-9
    standing = [assess(body(at=(x, 0, 0)), ARMLESS, LIMITS, 0.03).scale for x in (near, near + more)]
    assert standing[0] <= standing[1] + 1e-9


ARMLESS = Capsules(("wall",), np.array([(0.0, 0, -5)]), np.array([(0.0, 0, 5)]), np.array([0.1]))


@given(st.floats(0.3, 3.0), st.floats(0.0, 0.2), st.floats(0.0, 0.2))
def test_the_less_certain_a_joint_the_slower_the_robot(at: float, std: float, more: float) -> None:
    sure, unsure = (assess(body(at=(at, 0, 0), std_m=s), ROBOT, LIMITS, 0.03) for s in (std, std + more))
    assert unsure.certain_m <= sure.certain_m + 1e-9
    assert unsure.scale <= sure.scale + 1e-9
    assert unsure.distance_m == sure.distance_m


@given(st.floats(0.0, 3.0), AGES, AGES)
def test_the_older_the_exposure_the_slower_the_robot(at: float, age: float, more: float) -> None:
    young, old = (assess(body(at=(at, 0, 0)), ROBOT, LIMITS, a) for a in (age, age + more))
    assert old.scale <= young.scale + 1e-9
    assert young.scale == 0 or young.spare_m >= 0


@given(arrays(np.float64, 3, elements=st.floats(-3, 3)), arrays(np.float64, 3, elements=st.floats(-3, 3)))
def test_it_does_not_matter_where_the_world_begins(turn: np.ndarray, shift: np.ndarray) -> None:
    here = skeleton(at=(1.3, 0.4, 0), velocity=(-2.0, 0.5, 0.1))
    spread = np.diag([0.05, 0.01, 0.02]) ** 2
    here = replace(here, covariance=np.tile(spread, (len(COCO17), 1, 1)))
    R = Rotation.from_rotvec(turn).as_matrix()
    there = replace(
        here, positions=here.positions @ R.T + shift, velocities=here.velocities @ R.T,
        covariance=R @ here.covariance @ R.T,
    )  # fmt: skip
    robot = ROBOT.moved(np.tile(R, (2, 1, 1)), np.tile(shift, (2, 1)))
    a, b = (
        assess(limbs(here, COCO17, 0.15), ROBOT, LIMITS, 0.03),
        assess(limbs(there, COCO17, 0.15), robot, LIMITS, 0.03),
    )
    np.testing.assert_allclose(
        (a.scale, a.spare_m, a.certain_m), (b.scale, b.spare_m, b.certain_m), atol=1e-6
    )


def test_only_what_comes_nearer_counts_and_never_less_than_the_floor() -> None:
    def speed(velocity: Any, limits: SeparationLimits = LIMITS) -> float:
        return assess(body(velocity=velocity), ARMLESS, limits, 0.03).human_speed_m_s

    assert speed((-3.0, 0, 0)) == pytest.approx(3.0, abs=0.1)
    assert speed((3.0, 0, 0)) == speed((0, 0, 3.0)) == 1.6
    slow = replace(LIMITS, human_speed_floor_m_s=0.5)
    assert speed((-1.0, 0, 0), slow) == pytest.approx(1.0, abs=0.05)
    assert speed((np.nan, np.nan, np.nan), slow) == 1.6
    assert speed((np.nan, np.nan, np.nan), replace(LIMITS, human_speed_floor_m_s=2.0)) == 2.0


def test_uncertainty_counts_along_the_line_to_the_robot_only() -> None:
    def z_d(spread: tuple[float, float, float]) -> float:
        covariance = np.tile(np.diag(spread) ** 2, (len(COCO17), 1, 1))
        one = limbs(replace(skeleton(), covariance=covariance), COCO17, 0.15)
        return float(assess(one, ARMLESS, LIMITS, 0.03).terms.z_d)

    assert z_d((0.05, 0.0, 0.0)) == pytest.approx(0.15, abs=0.01)
    assert z_d((0.0, 0.0, 0.05)) == pytest.approx(0.0, abs=0.01)


def test_a_long_bone_is_near_where_none_of_its_joints_is() -> None:
    """A forearm that lies across a pole: its joints are 1 m away, it is not."""
    J = len(COCO17)
    positions = np.full((J, 3), np.nan)
    positions[COCO17.index("left_elbow")], positions[COCO17.index("left_wrist")] = (0.4, -1, 1), (0.4, 1, 1)
    arm = limbs(replace(skeleton(), positions=positions), COCO17, 0.05)
    found = assess(arm, ARMLESS, LIMITS, 0.0)
    assert found.distance_m == found.limb_distance_m == pytest.approx(0.25)
    assert found.limb == "left_elbow - left_wrist"


def test_a_fast_limb_decides_though_another_is_nearer() -> None:
    one = skeleton()
    velocities = one.velocities.copy()
    ankle = COCO17.index("left_ankle")
    velocities[ankle] = (-4.0, 0, 0)
    positions = one.positions.copy()
    positions[ankle, 0] += 0.3
    found = assess(
        limbs(replace(one, positions=positions, velocities=velocities), COCO17, 0.15), ARMLESS, LIMITS, 0.03
    )
    assert found.limb == "left_knee - left_ankle" and found.human_speed_m_s > 3.9
    assert found.limb_distance_m > found.distance_m
    assert found.spare_m == pytest.approx(
        found.limb_distance_m - 4.0 * 0.13 - 0.2 - 0.02 - float(found.terms.z_d), abs=0.02
    )


def test_a_joint_whose_neighbours_are_unknown_is_a_sphere_and_unknown_ones_are_nothing() -> None:
    positions = np.full((len(COCO17), 3), np.nan)
    positions[COCO17.index("left_ankle")] = (1.0, 0.0, 0.1)
    (name,) = limbs(replace(skeleton(), positions=positions), COCO17, 0.15).capsules.names
    assert name == "left_knee - left_ankle"
    with pytest.raises(ConfigError, match="at least one limb"):
        assess(limbs(replace(skeleton(), positions=positions * np.nan), COCO17, 0.15), ROBOT, LIMITS, 0.0)


def test_a_body_is_one_piece_in_every_joint_set() -> None:
    for joints in (COCO17, H36M17):
        reached = {joints.joints[0]}
        for _ in joints.joints:
            reached |= {end for pair in segments(joints) if reached & set(pair) for end in pair}
        assert reached == set(joints.joints)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"robot_speed_m_s": 0.0}, "robot_speed_m_s is 0, expected more than 0"),
        ({"robot_deceleration_m_s2": -1.0}, "robot_deceleration_m_s2 is -1, expected more than 0"),
        ({"reaction_s": float("nan")}, "reaction_s is nan, expected at least 0"),
        ({"sigmas": -1.0}, "sigmas is -1, expected at least 0"),
    ],
)
def test_limits_that_cannot_be_are_refused(change: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(LIMITS, **change)
