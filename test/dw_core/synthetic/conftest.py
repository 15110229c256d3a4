"""The bodies and takes of motion capture on them; capsules that stand in for people, and small cameras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from dw_core.benchmarks.speed import ring
from dw_core.geometry.camera import Array, Camera
from dw_core.synthetic.body import load_body
from dw_core.synthetic.capture import load_capture
from dw_core.synthetic.retarget import retarget
from dw_core.synthetic.surface import Surface

RINGS, SIDES = 5, 16


def capsule(
    a: Array, b: Array, radius: float, colour: tuple[float, float, float] = (0.5, 0.3, 0.2)
) -> Surface:
    """A cylinder with round ends from a (3,) to b (3,)."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    z = (b - a) / np.linalg.norm(b - a)
    x = np.cross(z, np.eye(3)[np.argmin(np.abs(z))])
    x /= np.linalg.norm(x)
    y = np.cross(z, x)
    rise = np.linspace(-np.pi / 2, np.pi / 2, 2 * RINGS)
    foot = np.where(rise[:, None] < 0, a, b)
    turn = np.linspace(0, 2 * np.pi, SIDES, endpoint=False)
    around = np.cos(turn)[:, None] * x + np.sin(turn)[:, None] * y
    vertices = foot[:, None] + radius * (
        np.sin(rise)[:, None, None] * z + np.cos(rise)[:, None, None] * around
    )
    k, j = (
        grid.reshape(-1) for grid in np.meshgrid(np.arange(2 * RINGS - 1), np.arange(SIDES), indexing="ij")
    )
    p, q = k * SIDES + j, k * SIDES + (j + 1) % SIDES
    faces = np.concatenate((np.stack((p, q, q + SIDES), -1), np.stack((p, q + SIDES, p + SIDES), -1)))
    points = vertices.reshape(-1, 3).astype(np.float32)
    return Surface(points, faces.astype(np.int32), np.full(points.shape, colour, np.float32))


@pytest.fixture(scope="session")
def make_capsule() -> Callable[..., Surface]:
    return capsule


@pytest.fixture(scope="session")
def figure(person: Array) -> list[Surface]:
    """Trunk, head and limbs as capsules around the joints of `person`: surface 0 is the trunk."""
    limbs = [(5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16)]
    middle = (person[5] + person[6]) / 2, (person[11] + person[12]) / 2
    head = (person[3] + person[4]) / 2
    return [
        capsule(middle[1], middle[0], 0.17, (0.1, 0.2, 0.4)),
        capsule(head, head + np.array([0, 0, 0.06]), 0.1),
        *(capsule(person[a], person[b], 0.055) for a, b in limbs),
    ]


def small(camera: Camera, width: int = 112, height: int = 84) -> Camera:
    """The same place and lens with a small image."""
    K = np.array([[0.75 * width, 0, width / 2 - 0.3], [0, 0.75 * width, height / 2 + 0.2], [0, 0, 1.0]])
    return replace(camera, width=width, height=height, K=K)


@pytest.fixture(scope="session")
def cameras() -> list[Camera]:
    """Four cameras with a lens on a circle around the origin."""
    return [small(camera) for camera in ring(4)]


@pytest.fixture(scope="session")
def path(person: Array) -> Array:
    """Where a person who steps to and fro along x may be."""
    return np.concatenate([person + np.array([x, 0, 0]) for x in np.linspace(-0.5, 0.5, 5)])


@pytest.fixture(scope="session")
def body():
    return load_body()


@pytest.fixture(scope="session")
def clip_of(body, shared_data):
    """A take by its path below the shared data, as a capture and as a clip of a shape."""
    made = {}

    def make(path, shape="man-174"):
        if (path, shape) not in made:
            capture = load_capture(shared_data / path)
            made[path, shape] = capture, retarget(capture, body, body.shape(shape))
        return made[path, shape]

    return make
