"""Scenes to learn the 2D network's errors from: people, rooms and rigs that no benchmark uses.

    python tools/training_scenes.py ../shared/data out/training

writes 24 short scenes with their rigs; `dw render` makes pictures of them. Subjects: those that
config/splits.yaml gives to training. The same files every time.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np

from dw_core.data.rigs import save_rig
from dw_core.geometry.camera import Array, Camera, Rig
from dw_core.synthetic.optics import Optics
from dw_core.synthetic.scene import Actor, Scene, to_yaml

SECONDS, RATE_HZ = 2.4, 30.0
TAKES = (
    "05/05_01", "06/06_01", "07/07_01", "07/07_06", "07/07_10", "16/16_15", "16/16_21", "16/16_32",
    "16/16_47", "16/16_58", "32/32_01", "35/35_02", "35/35_13", "35/35_28", "35/35_33", "38/38_02",
    "43/43_01",
)  # fmt: skip
DANCES = ("01", "03", "06", "10", "14", "19", "25")
# The salsa's files say 120 Hz, its readme 60 Hz.
_FRAME_TIME = re.compile(r"Frame Time:\s*\S+")


def looking_at(name: str, centre: Array, aim: Array, focal: float, rng: np.random.Generator) -> Camera:
    """A level VGA camera at a place (3,) m that looks at another, with a lens of its own."""
    z = (aim - centre) / np.linalg.norm(aim - centre)
    x = np.cross(z, (0.0, 0.0, 1.0))
    x /= np.linalg.norm(x)
    R = np.stack((x, np.cross(z, x), z))
    K = np.array(((focal, 0, 319.5), (0, focal, 239.5), (0, 0, 1)))
    distortion = np.round([rng.uniform(-0.2, 0.05), rng.uniform(0, 0.05), *rng.normal(0, 5e-4, 2), 0.0], 5)
    return Camera(name, 640, 480, K, distortion, R, -R @ centre)


def random_rig(rng: np.random.Generator) -> Rig:
    """Four cameras around the middle of a room, at different heights and distances."""
    turn = rng.uniform(0, 2 * np.pi)
    cameras = []
    for k in range(4):
        angle = turn + (k + rng.uniform(-0.3, 0.3)) * np.pi / 2
        away, height = rng.uniform(3.2, 4.6), rng.uniform(0.9, 2.5)
        centre = np.array([away * np.cos(angle), away * np.sin(angle), height])
        aim = np.array([*rng.normal(0, 0.1, 2), rng.uniform(0.85, 1.05)])
        cameras.append(looking_at(f"cam{k + 1:02}", centre, aim, rng.uniform(110, 135) * away, rng))
    return Rig(tuple(cameras))


def main() -> None:
    parser = argparse.ArgumentParser(description="write the scenes that the detector's errors are learned on")
    parser.add_argument("data", type=Path, help="folder of the motion capture")
    parser.add_argument("out", type=Path, help="folder for the scenes")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    motions = [args.data.resolve() / "cmu_mocap" / f"{take}.amc" for take in TAKES]
    for dance in DANCES:
        text = (args.data / "cmu_mocap_bvh" / "salsa" / f"{dance}.bvh").read_text()
        motions.append(args.out.resolve() / f"salsa_{dance}.bvh")
        motions[-1].write_text(_FRAME_TIME.sub("Frame Time: 0.0166667", text))
    for k, motion in enumerate(motions):
        rng = np.random.default_rng((4, k))
        rig = args.out.resolve() / f"{k:02}.rig.yaml"
        save_rig(random_rig(rng), rig, "made by tools/training_scenes.py")
        start = 0.1 if motion.suffix == ".amc" else round(float(rng.uniform(2, 5)), 1)
        scene = Scene(
            rig=str(rig),
            actors=(
                Actor(
                    str(motion), start_s=start, look=200 + k, turn_deg=round(float(rng.uniform(0, 360)), 1)
                ),
            ),
            room=300 + k,
            seconds=SECONDS,
            rate_hz=RATE_HZ,
            seed=k,
            optics=Optics(shot_noise=0.01, read_noise=0.003, vignetting=0.15),
        )
        (args.out / f"{k:02}.yaml").write_text(to_yaml(scene))


if __name__ == "__main__":
    main()
