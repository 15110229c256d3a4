"""Exact synthetic scenes: cameras around a standing person."""

import os
from pathlib import Path

import numpy as np
import pytest

from dw_core.geometry.camera import Camera, Rig

LENS = (-0.2, 0.24, -0.001, -0.0008, -0.003)


def look_at(name, centre, target=(0.0, 0.0, 1.0), focal=1150.0, size=1000, distortion=LENS, model="pinhole"):
    """Camera at `centre` that looks at `target`, upright in a world with z up."""
    centre, target = np.asarray(centre, float), np.asarray(target, float)
    z = (target - centre) / np.linalg.norm(target - centre)
    x = np.cross(z, (0.0, 0.0, 1.0))
    x /= np.linalg.norm(x)
    R = np.stack((x, np.cross(z, x), z))
    K = np.array([[focal, 0, size / 2 + 3], [0, focal * 1.002, size / 2 - 5], [0, 0, 1]])
    return Camera(name, size, size, K, np.array(distortion), R, -R @ centre, model)


@pytest.fixture(scope="session")
def make_camera():
    return look_at


@pytest.fixture(scope="session")
def rig():
    """Four cameras in the corners of a room, about 5 m from its middle."""
    corners = ((1.8, 5.0, 1.6), (1.8, -5.1, 1.6), (-1.8, 5.2, 1.5), (-1.8, -3.7, 1.6))
    return Rig(tuple(look_at(f"cam{k + 1}", corner) for k, corner in enumerate(corners)))


@pytest.fixture(scope="session")
def person():
    """COCO-17 joints (17, 3) of somebody who stands in the middle and looks along x, metres."""
    half = {
        "eye": (0.10, 0.03, 1.62), "ear": (0.0, 0.07, 1.60), "shoulder": (0.0, 0.19, 1.42),
        "elbow": (0.02, 0.26, 1.13), "wrist": (0.12, 0.28, 0.90), "hip": (0.0, 0.11, 0.92),
        "knee": (0.03, 0.12, 0.50), "ankle": (-0.02, 0.13, 0.08),
    }  # fmt: skip
    joints = [(0.12, 0.0, 1.58)]
    for x, y, z in half.values():
        joints += [(x, y, z), (x, -y, z)]
    return np.array(joints)


@pytest.fixture(scope="session")
def shared_data():
    """The folder of motion capture and rigs, which are not part of the project. Where it is missing the
    test is skipped, but fails in continuous integration."""
    default = Path(__file__).parents[2] / "../shared/data"
    path = Path(os.environ.get("DW_DATA", default))
    if not (path / "cmu_mocap").is_dir():
        sentence = (
            f"there is no motion capture in {path}: set DW_DATA to the folder that holds cmu_mocap and rigs"
        )
        (pytest.fail if os.environ.get("CI") else pytest.skip)(sentence)
    return path
