"""A person who walks straight on, as motion capture, and a network without errors."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dw_core.data.motion import Motion, save_motion
from dw_core.data.splits import Splits
from dw_core.detector.model import load_model
from dw_core.skeleton import H36M17
from dw_core.training.clips import load_clips
from dw_core.training.config import TrainingConfig

SPLITS = Splits({"train": ("one",), "validation": ("other",)})
STANDING = {
    "pelvis": (0, 0, 0.95), "hip": (0, 0.1, 0.93), "knee": (0.03, 0.11, 0.5), "ankle": (-0.02, 0.12, 0.08),
    "belly": (0, 0, 1.15), "neck": (0, 0, 1.45), "nose": (0, 0, 1.55), "head": (0, 0, 1.65),
    "shoulder": (0, 0.19, 1.42), "elbow": (0.02, 0.26, 1.13), "wrist": (0.12, 0.28, 0.9),
}  # fmt: skip
SPEED_M_S = 0.8
RATE_HZ, SECONDS = 60.0, 4.0


def standing(joints):
    """Joints (J, 3) of a joint set whose names are known."""
    out = []
    for name in joints:
        x, y, z = STANDING[name.split("_")[-1]]
        out.append((x, -y if name.startswith("right") else y, z))
    return np.array(out)


def walk(name="walk", swing=0.0):
    """Straight on along x; arms and legs swing by so many metres."""
    times = np.arange(int(RATE_HZ * SECONDS) + 1) / RATE_HZ
    joints = standing(H36M17.joints) + SPEED_M_S * times[:, None, None] * (1.0, 0.0, 0.0)
    limbs = [k for k, joint in enumerate(H36M17.joints) if joint.split("_")[-1] in ("wrist", "ankle", "knee")]
    joints[:, limbs, 0] += swing * np.sin(2 * np.pi * times[:, None] + np.array(limbs))
    return Motion(name, joints, RATE_HZ)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A data folder with somebody to train on, and somebody else."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("one", "other"):
        (folder / name).mkdir()
    save_motion(walk("a", 0.2), folder / "one/a.npz")
    save_motion(walk("b", 0.1), folder / "one/b.npz")
    save_motion(walk("c", 0.15), folder / "other/c.npz")
    return folder


@pytest.fixture(scope="session")
def clips(data):
    """What is trained on, in H36M17."""
    return load_clips(SPLITS, "train", data, "h36m17")


@pytest.fixture(scope="session")
def exact_detector():
    """A simulated network without errors: peaks of one width at the true places."""
    model = load_model()
    none = dict.fromkeys(("along", "apart", "spread_along", "spread_across", "tail", "swap", "gross"), 0.0)
    kinds = {}
    for name, kind in model.kinds.items():
        seen = replace(kind.visible, **none, height=2.0, second=-20.0, second_spread=0.0)
        kinds[name] = replace(
            kind, visible=seen, occluded=seen, height_spread=0.0, width_spread=0.0, width_by_height=0.0
        )
    return replace(model, kinds=kinds)


@pytest.fixture
def one_thread():
    """Sums in one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny():
    """A training of seconds."""
    return TrainingConfig(
        joint_set="h36m17", width=8, cells=32, splits="splits.yaml", scenes=2,
        steps=20, learning_rate=1e-3, workers=0, validation_scenes=2, validate_every=20, checkpoint_every=5,
    )  # fmt: skip


@pytest.fixture
def config_file(tmp_path, tiny):
    """The tiny configuration as a file, with the splits beside it."""
    (tmp_path / "splits.yaml").write_text("splits: {train: [one], validation: [other]}\n")
    path = tmp_path / "tiny.yaml"
    path.write_text(tiny.to_json())  # JSON is YAML
    return path
