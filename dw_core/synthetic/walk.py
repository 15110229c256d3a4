"""A person who walks in a circle and now and then waves: motion that needs no motion capture.

Legs and arms are chains of two segments that swing in the plane of walking; it looks like a walk and no more.
Lengths in metres, angles in radians, z up, on the floor z = 0 when standing.
"""

from __future__ import annotations

import numpy as np

from dw_core.data.motion import Motion
from dw_core.geometry.camera import Array
from dw_core.skeleton import H36M17

NAME = "walk"
RATE_HZ, SECONDS = 60.0, 24.0
RADIUS_M, SPEED_M_S, STRIDES_PER_S = 1.0, 1.0, 0.85
PELVIS_M, HALF_HIPS_M, HALF_SHOULDERS_M = 0.95, 0.10, 0.18
THIGH_M, SHANK_M, UPPER_ARM_M, FOREARM_M = 0.44, 0.43, 0.29, 0.25
WAVE_EVERY_S, WAVE_S = 8.0, 2.5


def walk() -> Motion:
    """The walk, as joints of H36M17."""
    t = np.arange(round(RATE_HZ * SECONDS) + 1) / RATE_HZ
    turn = SPEED_M_S / RADIUS_M * t
    zero = np.zeros_like(t)
    forward = np.stack((-np.sin(turn), np.cos(turn), zero), -1)
    left = np.stack((-np.cos(turn), -np.sin(turn), zero), -1)
    up = np.array([0.0, 0.0, 1.0])
    phase = 2 * np.pi * STRIDES_PER_S * t
    pelvis = np.stack(
        (RADIUS_M * np.cos(turn), RADIUS_M * np.sin(turn), PELVIS_M + 0.02 * np.cos(2 * phase)), -1
    )
    neck = pelvis + 0.49 * up + 0.03 * forward
    joints = {
        "pelvis": pelvis, "belly": pelvis + 0.23 * up, "neck": neck,
        "nose": neck + 0.11 * forward + 0.06 * up, "head": neck + 0.02 * forward + 0.23 * up,
    }  # fmt: skip
    wave = _now_and_then(t)
    for side, sign, own in (("left", 1.0, phase), ("right", -1.0, phase + np.pi)):
        hip = pelvis + sign * HALF_HIPS_M * left
        thigh = 0.06 + 0.40 * np.sin(own)
        bend = 0.10 + 0.95 * np.maximum(np.cos(own), 0) ** 2  # while the leg swings forward
        knee = hip + THIGH_M * _swung(thigh, forward)
        shoulder = neck + sign * HALF_SHOULDERS_M * left - 0.02 * up
        arm, elbow_bend = -0.38 * np.sin(own), 0.45 - 0.15 * np.sin(own)
        upper = _swung(arm, forward) + sign * 0.12 * left
        fore = _swung(arm + elbow_bend, forward)
        if side == "right":
            beat = 0.5 * np.sin(2 * np.pi * 1.6 * t)[:, None]
            upper = _mixed(upper, -0.8 * left + 0.25 * up + 0.3 * forward, wave)
            fore = _mixed(fore, up + beat * left + 0.2 * forward, wave)
        elbow = shoulder + UPPER_ARM_M * _unit(upper)
        joints |= {
            f"{side}_hip": hip,
            f"{side}_knee": knee,
            f"{side}_ankle": knee + SHANK_M * _swung(thigh - bend, forward),
            f"{side}_shoulder": shoulder,
            f"{side}_elbow": elbow,
            f"{side}_wrist": elbow + FOREARM_M * _unit(fore),
        }
    return Motion(NAME, np.stack([joints[name] for name in H36M17.joints], 1), RATE_HZ)


def _swung(angle: Array, forward: Array) -> Array:
    """Unit vectors (T, 3) that hang down and are swung forward by angles (T,)."""
    swung: Array = np.sin(angle)[:, None] * forward - np.cos(angle)[:, None] * np.array([0.0, 0.0, 1.0])
    return swung


def _now_and_then(t: Array) -> Array:
    """Weights (T, 1) from 0 to 1 and back, for WAVE_S in every WAVE_EVERY_S."""
    place = (t % WAVE_EVERY_S) / WAVE_S
    weight: Array = np.where(place < 1, np.sin(np.pi * np.clip(place, 0, 1)), 0.0) ** 0.5
    return (weight * weight * (3 - 2 * weight))[:, None]


def _mixed(first: Array, second: Array, weight: Array) -> Array:
    return np.asarray((1 - weight) * _unit(first) + weight * _unit(second))


def _unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
