"""Somebody who moves, for benchmarks that need no motion capture."""

from dataclasses import asdict

import cv2
import numpy as np
import pytest

from dw_core.data.motion import Motion
from dw_core.data.rigs import save_rig
from dw_core.geometry.camera import project
from dw_core.geometry.crop import apply_affine
from dw_core.skeleton import COCO17, H36M17
from dw_core.synthetic.truth import Truth
from dw_core.types import NS

HALF = {
    "shoulder": (0.0, 0.19, 1.42), "elbow": (0.02, 0.26, 1.13), "wrist": (0.12, 0.28, 0.90),
    "hip": (0.0, 0.11, 0.92), "knee": (0.03, 0.12, 0.50), "ankle": (-0.02, 0.13, 0.08),
}  # fmt: skip
CENTRE = {"pelvis": 0.93, "belly": 1.15, "neck": 1.43, "nose": 1.58, "head": 1.74}
SWAY = {"elbow": 0.06, "wrist": 0.15, "knee": 0.08, "ankle": 0.2}


def body():
    joints = []
    for name in H36M17.joints:
        side, _, part = name.partition("_")
        x, y, z = HALF[part] if part else (0.0, 0.0, CENTRE[name])
        joints.append((x, y if side == "left" else -y, z))
    return np.array(joints)


def walk(seconds, velocity=(0.3, 0.1, 0.0), swing=1.0):
    """Joints (17, 3) with arms and legs that swing."""
    joints = body() + np.asarray(velocity) * seconds
    for k, name in enumerate(H36M17.joints):
        side, _, part = name.partition("_")
        sign = 1.0 if side == "left" else -1.0
        joints[k, 0] += swing * sign * SWAY.get(part, 0.0) * np.sin(2 * np.pi * 0.9 * seconds)
    return joints


@pytest.fixture(scope="session")
def make_walker():
    def make(seconds=3.0, rate_hz=120.0, name="walker", **options):
        times = np.arange(int(seconds * rate_hz) + 1) / rate_hz
        return Motion(name, np.stack([walk(t, **options) for t in times]), rate_hz)

    return make


RATE_HZ, FRAMES = 20.0, 40


def truth_of(rig, person, frames=FRAMES):
    """Somebody of COCO-17 who steps to and fro, as rendered footage tells it: everything in view."""
    times = np.arange(frames) / RATE_HZ
    way = 0.3 * np.sin(2 * np.pi * 0.5 * times)
    joints = person[None, None] + way[:, None, None, None] * (1.0, 0.5, 0.0)
    pixels = np.stack([project(camera, joints) for camera in rig])
    seen = np.ones(pixels.shape[:-1], dtype=bool)
    pivots = joints[:, :, :1]
    return Truth(RATE_HZ, joints, COCO17.joints, pivots, ("hip",), rig.names, pixels, seen, ~seen, ~seen)


@pytest.fixture(scope="session")
def truth(rig, person):
    return truth_of(rig, person)


class ExactNetwork:
    """Stands for the output of a network that sees every joint where it truly is; looks at no image."""

    cells, joint_set, description = 64, COCO17, "exact"

    def __init__(self, truth, shift=(0.0, 0.0)):
        self._truth, self._shift = truth, shift

    def infer(self, frame, crop):
        view = self._truth.cameras.index(frame.view)
        pixels = self._truth.pixels[view, round(frame.stamp_ns * RATE_HZ / NS), 0] + self._shift
        places = apply_affine(crop.to_cells(self.cells), pixels)
        axis = np.arange(self.cells)
        x = np.exp(-0.5 * ((axis - places[:, :1]) / 1.2) ** 2)
        y = np.exp(-0.5 * ((axis - places[:, 1:]) / 1.2) ** 2)
        return (0.9 * y[:, :, None] * x[:, None, :]).astype(np.float32)


@pytest.fixture(scope="session")
def exact_network():
    return ExactNetwork


@pytest.fixture(scope="session")
def make_footage(rig):
    """A folder as `dw render` writes it, with grey images."""

    def make(folder, truth):
        folder.mkdir()
        save_rig(rig, folder / "rig.yaml")
        (folder / "scene.sha256").write_text("a hash\n")
        for camera in rig:
            (folder / camera.name).mkdir()
            (folder / camera.name / "rate_hz.txt").write_text(f"{RATE_HZ}\n")
            _, data = cv2.imencode(".jpg", np.full((camera.height, camera.width), 128, np.uint8))
            for frame in range(len(truth.joints)):
                (folder / camera.name / f"{frame:06d}.jpg").write_bytes(data.tobytes())
        fields = asdict(truth)
        fields["stamps_ns"] = np.rint(np.arange(len(truth.joints)) / fields.pop("rate_hz") * NS).astype(int)
        np.savez(folder / "truth.npz", **fields)
        return folder

    return make
