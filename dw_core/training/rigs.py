"""Rigs that nobody has: rings and domes of cameras around a person; and calibrations that are a bit off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from dw_core.geometry.camera import Array, Camera, Rig

VIEWS = (2, 8)
SIZES = ((640, 480), (1280, 720), (1080, 1920), (1920, 1080), (1000, 1000))
# The share of rings in which all cameras stand at nearly one height; the others are domes.
RINGS = 0.6
# Of a good calibration, one standard deviation: turn, place, focal length, principal point.
TURN_RAD, PLACE_M, FOCAL, CENTRE_PX = np.deg2rad(0.1), 0.003, 0.002, 2.0


def random_rig(rng: np.random.Generator) -> Rig:
    """2 to 8 cameras of one kind that look at the middle of the floor, where a person moves, metres."""
    views = int(rng.integers(VIEWS[0], VIEWS[1] + 1))
    width, height = SIZES[int(rng.integers(len(SIZES)))]
    radius, ring = rng.uniform(2.5, 6.5), rng.random() < RINGS
    # the person, 2 m high, covers a third of the image or more, and is inside when in the middle
    focal = min(width, height) * rng.uniform(0.35, 0.9) * radius / 2.0
    arc = 2 * np.pi if rng.random() < 0.7 else rng.uniform(np.pi / 2, np.pi)
    angles = rng.uniform(0, 2 * np.pi) + np.arange(views) * min(np.pi / 2, arc / views)
    angles = angles + rng.normal(0, 0.15, views)
    base = rng.uniform(0.8, 2.8)
    lens = np.array([rng.uniform(-0.3, 0.1), rng.uniform(-0.05, 0.15), *rng.normal(0, 5e-4, 2), 0.0])
    # wide lenses bend more, but must not fold over within the image
    lens *= min(1.0, (focal / max(width, height)) ** 2)
    cameras = []
    for k, angle in enumerate(rng.permutation(angles)):
        up = base + rng.normal(0, 0.1) if ring else rng.uniform(0.4, 3.2)
        centre = np.array([radius * np.cos(angle), radius * np.sin(angle), up])
        target = np.array([*rng.normal(0, 0.2, 2), rng.uniform(0.8, 1.1)])
        cameras.append(_looking(f"cam{k + 1:02d}", centre, target, focal, (width, height), lens))
    return Rig(tuple(cameras))


def _looking(
    name: str, centre: Array, target: Array, focal: float, size: tuple[int, int], lens: Array
) -> Camera:
    ahead = (target - centre) / np.linalg.norm(target - centre)
    right = np.cross(ahead, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    R = np.stack((right, np.cross(ahead, right), ahead))
    K = np.array([[focal, 0.0, size[0] / 2], [0.0, focal, size[1] / 2], [0.0, 0.0, 1.0]])
    return Camera(name, *size, K, lens, R, -R @ centre)


def miscalibrated(rig: Rig, rng: np.random.Generator) -> Rig:
    """The rig as a calibration would find it: every camera turned, moved and zoomed a little."""
    return Rig(tuple(_miscalibrated(camera, rng) for camera in rig))


def _miscalibrated(camera: Camera, rng: np.random.Generator) -> Camera:
    R = Rotation.from_rotvec(rng.normal(0, TURN_RAD, 3)).as_matrix() @ camera.R
    centre = camera.centre + rng.normal(0, PLACE_M, 3)
    K = camera.K.copy()
    K[:2, :2] *= 1 + rng.normal(0, FOCAL)
    K[:2, 2] += rng.normal(0, CENTRE_PX, 2)
    return replace(camera, K=K, R=R, t=-R @ centre)
