"""Speed and separation monitoring: how fast a robot may be, given where a person is.

Source: ISO/TS 15066:2016, 5.5.4.2.3, since 2025 part of ISO 10218-2. The protective separation distance is
S_p = S_h + S_r + S_s + C + Z_d + Z_r: what the person covers until the robot stands, what the robot covers
until it brakes and while it brakes, how far a part of the body may reach beyond what is seen, and what the
positions of person and robot may be off.

An example of a controller that reads skeletons, not a certified safety function.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array
from dw_core.safety.capsules import Capsules, gaps
from dw_core.safety.limbs import Limbs

Numbers = float | Array
# How fast a person is taken to come nearer when nothing is known: ISO/TS 15066, from ISO 13855.
UNKNOWN_SPEED_M_S = 1.6


@dataclass(frozen=True, kw_only=True)
class SeparationLimits:
    """robot_speed_m_s: the fastest point of the robot at speed scale 1.
    robot_deceleration_m_s2: the least with which that point brakes.
    reaction_s: from a decision here to the beginning of braking (T_r without the age of what is seen).
    human_speed_floor_m_s: a person who is seen to come slower, or to leave, counts as coming this fast.
    sigmas: how many standard deviations of a joint's place, along the line to the robot, are Z_d.
    intrusion_m: C, the reach of a hand beyond the wrist and of the crown beyond the ears.
    robot_uncertainty_m: Z_r.

    Raises ConfigError for a value that is negative or not finite, and for a robot that has no speed or no
    brake.
    """

    robot_speed_m_s: float
    robot_deceleration_m_s2: float
    reaction_s: float
    human_speed_floor_m_s: float = UNKNOWN_SPEED_M_S
    sigmas: float = 3.0
    intrusion_m: float = 0.2
    robot_uncertainty_m: float = 0.02

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            positive = name in ("robot_speed_m_s", "robot_deceleration_m_s2")
            if not (np.isfinite(value) and value >= 0 and (value > 0 or not positive)):
                raise ConfigError(
                    f"{name} is {value:g}, expected {'more than' if positive else 'at least'} 0"
                )


@dataclass(frozen=True, eq=False)
class Terms:
    """The summands of a protective separation distance, metres, each a number or (N, M)."""

    s_h: Numbers
    s_r: Numbers
    s_s: Numbers
    c: Numbers
    z_d: Numbers
    z_r: Numbers

    @property
    def total(self) -> Numbers:
        """S_p."""
        return self.s_h + self.s_r + self.s_s + self.c + self.z_d + self.z_r


@dataclass(frozen=True, eq=False)
class Situation:
    """What a protective separation distance depends on beside the limits, each a number or (N, M).

    `human_speed` m/s towards the robot, `z_d` m, ages of the exposure and of the robot's pose in s.
    """

    human_speed: Numbers
    z_d: Numbers
    human_age_s: float
    robot_age_s: float = 0.0


def protective_distance(limits: SeparationLimits, now: Situation, robot_speed: Numbers) -> Terms:
    """What must lie between person and robot so that the robot, moving at `robot_speed` m/s (number or
    (N, M)), stands before they meet.

    The exposure is `human_age_s` old, so the person has moved on since; the robot has since its pose.
    """
    braking_s = robot_speed / limits.robot_deceleration_m_s2
    return Terms(
        s_h=now.human_speed * (now.human_age_s + limits.reaction_s + braking_s),
        s_r=robot_speed * (now.robot_age_s + limits.reaction_s),
        s_s=robot_speed * braking_s / 2,
        c=limits.intrusion_m,
        z_d=now.z_d,
        z_r=limits.robot_uncertainty_m,
    )


def allowed_speed(limits: SeparationLimits, now: Situation, distance: Array) -> Array:
    """The robot speed (N, M) whose protective distance is `distance` (N, M): 0 where even a robot that
    stands is too near. It may be above the robot's own."""
    spare = np.maximum(distance - protective_distance(limits, now, 0.0).total, 0.0)
    a = limits.robot_deceleration_m_s2
    # v^2 / 2a + v b = spare
    b = now.robot_age_s + limits.reaction_s + now.human_speed / a
    speed: Array = a * (np.sqrt(b * b + 2 * spare / a) - b)
    return speed


@dataclass(frozen=True)
class Separation:
    """How near a person is, judged by the pair of limb and robot part that asks for the slowest robot.

    `distance_m`: surface to surface, the nearest of all pairs; `certain_m`: the same with each pair's Z_d
    taken off, below 0 where that is more than the distance. Of the pair that decides: names, distance,
    `spare_m` (distance beyond what a robot that stands asks for; negative: stop), the person's speed, and
    the terms at `scale`, the part of its speed that the robot may have: 0 whenever `spare_m` is negative.
    """

    distance_m: float
    certain_m: float
    limb: str
    part: str
    limb_distance_m: float
    spare_m: float
    scale: float
    human_speed_m_s: float
    terms: Terms


def assess(
    body: Limbs, robot: Capsules, limits: SeparationLimits, human_age_s: float, robot_age_s: float = 0.0
) -> Separation:
    """A person and a robot in the same frame; ages of the exposure and of the robot's pose in s.

    Raises ConfigError when one of them has no capsule.
    """
    if not len(body.capsules) or not len(robot):
        raise ConfigError("a separation needs at least one limb and one part of the robot")
    gap = gaps(body.capsules, robot)
    now = Situation(
        _speed_towards(body.velocities, gap.directions, limits.human_speed_floor_m_s),
        limits.sigmas * _std_along(body.covariance, gap.directions),
        human_age_s,
        robot_age_s,
    )
    spare = np.asarray(gap.distances - protective_distance(limits, now, 0.0).total)
    speed = allowed_speed(limits, now, gap.distances)
    # the slowest; of several that stop it, the nearest
    worst = np.unravel_index(int(np.where(spare < 0, spare, speed).argmin()), spare.shape)
    scale = min(float(speed[worst]) / limits.robot_speed_m_s, 1.0) if spare[worst] >= 0 else 0.0
    here = Situation(_at(now.human_speed, worst), _at(now.z_d, worst), human_age_s, robot_age_s)
    return Separation(
        distance_m=float(gap.distances.min()),
        certain_m=float((gap.distances - now.z_d).min()),
        limb=body.capsules.names[worst[0]],
        part=robot.names[worst[1]],
        limb_distance_m=float(gap.distances[worst]),
        spare_m=float(spare[worst]),
        scale=scale,
        human_speed_m_s=float(here.human_speed),
        terms=protective_distance(limits, here, scale * limits.robot_speed_m_s),
    )


def _at(values: Numbers, place: tuple[np.intp, ...]) -> float:
    return float(np.asarray(values)[place])


def _std_along(covariance: Array, directions: Array) -> Array:
    """Standard deviations (N, M) along directions (N, M, 3): of the less certain end, covariances
    (N, 2, 3, 3)."""
    variance = np.einsum("nmi,neij,nmj->nme", directions, covariance, directions)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)).max(-1))


def _speed_towards(velocities: Array, directions: Array, floor: float) -> Array:
    """Speeds (N, M) along directions (N, M, 3) of the faster end, velocities (N, 2, 3); at least `floor`, and
    at least UNKNOWN_SPEED_M_S where a velocity is not known."""
    speed = np.einsum("nei,nmi->nme", velocities, directions).max(-1)  # NaN wins
    unknown: npt.NDArray[np.bool_] = np.isnan(speed)
    return np.asarray(np.where(unknown, max(floor, UNKNOWN_SPEED_M_S), np.maximum(speed, floor)))
