"""Training of the pose prior: true skeletons of motion capture, and what the tracker makes of them.

A pool of skeletons is made once: the tracker follows people of motion capture by the joints that the
simulated 2D network sees in staggered views. Each sample is a true skeleton out of it, bent and stretched at
random so that it is nobody's that was captured, and off by the errors of another one. B samples, N skeletons
of the pool, J joints.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from dw_core.anatomy import JointOffsets, load_offsets
from dw_core.data.splits import Splits
from dw_core.geometry.camera import Array
from dw_core.pose_prior import ARCHITECTURE, SCALE_M, TRUNK, PosePrior, features, in_trunk, mirrored
from dw_core.progress import bar
from dw_core.skeleton import COCO17, JointSet, joint_set
from dw_core.tracking.tracker import SkeletonTracker
from dw_core.training.clips import FACE_M
from dw_core.training.config import TrainingConfig
from dw_core.training.loop import TRAINING, VALIDATION, Seed
from dw_core.training.scenes import Observed, Source, observe
from dw_core.training.tasks import load_source
from dw_core.training.variation import vary
from dw_core.types import NS, Float32Array

IN_SCENE = 128  # samples of one seed
SECONDS, WARM_UP = 3.0, 0.4  # how long a person is tracked, and for which part of it the tracker settles
TAKEN = 30  # exposures of a person that are taken into the pool, at most
FAR_M = 0.5  # a joint that is further off is somewhere else: a learner would follow it
OWN = 0.5  # part of the samples with the very errors of their skeleton
ERROR_SIZE = (0.7, 1.3)  # of errors, against the pool's
MISSING, UNKNOWN = 0.3, 0.15  # part of the samples that lack joints, and of their joints


@dataclass(frozen=True, eq=False)
class Pool:
    """True skeletons (N, J, 3) in the frames of their trunks, metres, and the tracker's errors (N, J, 3)
    there; NaN where it has no such joint."""

    truth: Array
    errors: Array


@dataclass(frozen=True, eq=False)
class PriorBatch:
    """What the network sees (B, 4 J), where joints are from there (B, J, 3) as parts of SCALE_M, and which
    are known (B, J): seen, and captured."""

    seen: Tensor
    moves: Tensor
    known: Tensor


class PriorTask:
    """Trains the pose prior of `config` on motion of `splits` below `data`. Raises MotionError and
    CalibrationError for files that cannot be used."""

    def __init__(self, config: TrainingConfig, splits: Splits, data: Path, progress: bool = False) -> None:
        self.config = config
        self._joints = joint_set(config.joint_set)
        J = len(self._joints)
        torch.manual_seed(config.seed)
        sizes = (4 * J, config.width, config.width, 3 * J)
        layers = [nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False)]
        # nothing is moved before training
        nn.init.zeros_(layers[-1].weight)
        nn.init.zeros_(layers[-1].bias)
        self._layers = layers
        self.network = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
        train, other = (
            replace(load_source(config, splits, split, data, progress), evenly=True)
            for split in ("train", "validation")
        )
        self.data = train.clips.sha256
        self._pool, self._others = (
            make_pool(one, self._joints, stream, scenes, config, progress)
            for one, stream, scenes in (
                (train, TRAINING, config.pool),
                (other, VALIDATION, config.validation_scenes),
            )
        )
        self.result: dict[str, Any] = {}

    def make(self, seeds: list[Seed]) -> PriorBatch:
        """IN_SCENE samples for each seed."""
        parts = [_samples(self._pool, self._joints, np.random.default_rng(seed)) for seed in seeds]
        return PriorBatch(
            *(torch.from_numpy(np.concatenate(part)).float() for part in zip(*parts, strict=True))
        )

    def loss(self, batch: PriorBatch, device: torch.device) -> Tensor:
        """Mean distance of joints, plus that of joints relative to the root (one number),
        mm."""
        found = self.network(batch.seen.to(device)).float()
        known, moves = batch.known.to(device), batch.moves.to(device)
        off = (found.view(moves.shape) - moves) * known[..., None]
        root = off[:, _root(self._joints)].mean(1, keepdim=True)
        both = off.norm(dim=-1) + (off - root).norm(dim=-1)
        mean: Tensor = 1e3 * SCALE_M * (both * known).sum() / known.sum()
        return mean

    @torch.no_grad()
    def validate(self, device: torch.device) -> float:
        """The mean error of the joints of other subjects, absolute and relative to the root, mm: of the two
        the mean; beside it that of the tracker's joints as they are."""
        truth = self._others.truth
        found = truth + self._others.errors
        layers = tuple((one.weight.cpu().numpy(), one.bias.cpu().numpy()) for one in self._layers)
        moved = PosePrior(self._joints, layers).corrected(found, self._joints)
        for name, poses in (("tracker", found), ("prior", moved)):
            self.result[f"{name}_mm"] = 1e3 * _mean_error(poses - truth)
            self.result[f"{name}_relative_mm"] = 1e3 * _mean_error(_relative(poses - truth, self._joints))
        return float(self.result["prior_mm"] + self.result["prior_relative_mm"]) / 2

    def save(self, path: Path, step: int) -> None:
        """Write the weights, with the configuration, the motion's hash and the validation in the header."""
        about = {
            "architecture": ARCHITECTURE, "joints": ",".join(self._joints.joints),
            "config": self.config.to_json(), "data_sha256": self.data, "steps": str(step),
            "validation": json.dumps(self.result),
        }  # fmt: skip
        save_file({k: v.cpu().contiguous() for k, v in self.network.state_dict().items()}, path, about)


def text(result: dict[str, Any]) -> str:
    """What the validation found, for a terminal."""
    return (
        f"joints of other subjects, absolute and relative to the root: tracker {result['tracker_mm']:.1f} "
        f"and {result['tracker_relative_mm']:.1f} mm, with the pose prior {result['prior_mm']:.1f} and "
        f"{result['prior_relative_mm']:.1f} mm"
    )


def make_pool(
    source: Source, joints: JointSet, stream: int, scenes: int, config: TrainingConfig, progress: bool
) -> Pool:
    """Skeletons of a number of scenes, made by `workers` processes."""
    parts: list[list[Array]] = []
    people = _People(source, joints, (config.seed, stream), scenes)
    with bar("skeletons", scenes, progress) as advance:
        for part in DataLoader(people, batch_size=None, num_workers=config.workers):
            parts.append([one.numpy() for one in part])
            advance(1)
    found, truth = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    frames, places = in_trunk(truth, joints)
    errors = np.einsum("nkc,njc->njk", frames, found - truth)
    errors[np.linalg.norm(errors, axis=-1) > FAR_M] = np.nan
    return Pool(places, errors)


class _People(Dataset[tuple[Array, Array]]):
    """What `track` gives of each of some people, by number."""

    def __init__(self, source: Source, joints: JointSet, seed: Seed, count: int) -> None:
        self._source, self._joints, self._seed, self._count = source, joints, seed, count
        self._offsets = load_offsets("movenet")

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> tuple[Array, Array]:
        rng = np.random.default_rng((*self._seed, number))
        return track(observe(self._source, rng, SECONDS), self._joints, self._offsets)


def track(seen: Observed, joints: JointSet, offsets: JointOffsets | None) -> tuple[Array, Array]:
    """Skeletons (K, J, 3) as the system gives them, at once and with the tracker's lag, at some exposures
    after it has settled, and the true ones (K, J, 3)."""
    tracker = SkeletonTracker(seen.believed, joints)
    lag_ns = round(tracker.settings.lag_s * NS)
    begin, exposures = int(WARM_UP * len(seen.maps)), len(seen.maps)
    taken = set(np.linspace(begin, exposures - 1, TAKEN).astype(int).tolist())
    found, truth = [], []
    due: list[tuple[int, Array]] = []
    for k, (maps, pose) in enumerate(zip(seen.maps, seen.truth, strict=True)):
        tracker.update(maps.joints)
        if k in taken:
            found.append(tracker.at(maps.stamp_ns).positions)
            truth.append(pose)
            due.append((maps.stamp_ns, pose))
        while due and due[0][0] <= maps.stamp_ns - lag_ns:
            stamp_ns, then = due.pop(0)
            found.append(tracker.smoothed(stamp_ns).positions)
            truth.append(then)
    shape = (-1, len(joints), 3)
    positions, true = (np.array(part).reshape(shape) for part in (found, truth))
    if offsets is not None:
        positions = offsets.corrected(positions, joints)
    whole = np.isfinite(in_trunk(positions, joints)[1]).any((1, 2))
    return positions[whole], true[whole]


def _samples(pool: Pool, joints: JointSet, rng: np.random.Generator) -> tuple[Float32Array, Array, Array]:
    """What PriorBatch holds, of IN_SCENE samples."""
    N, J = len(pool.truth), len(joints)
    which, other = rng.integers(N, size=(2, IN_SCENE))
    own = rng.random(IN_SCENE) < OWN
    errors = pool.errors[np.where(own, which, other)] * rng.uniform(*ERROR_SIZE, (IN_SCENE, 1, 1))
    lacking = (rng.random((IN_SCENE, 1)) < MISSING) & (rng.random((IN_SCENE, J)) < UNKNOWN)
    lacking[:, [joints.index(name) for name in TRUNK]] = False
    truth = vary(pool.truth[which], joints, rng)
    found = truth + np.where(lacking[..., None], np.nan, errors)
    frames, places = in_trunk(found, joints)
    moves = np.einsum("bkc,bjc->bjk", frames, truth - found)
    turned = rng.random((IN_SCENE, 1, 1)) < 0.5
    places, moves = (np.where(turned, mirrored(one, joints), one) for one in (places, moves))
    # a face that is only fixed to the head's bone has nothing to teach: it stays where it is
    captured = [name not in FACE_M or joints != COCO17 for name in joints.joints]
    known = np.isfinite(moves).all(-1) * np.array(captured)
    return features(places), np.nan_to_num(moves) / SCALE_M, np.asarray(known, dtype=np.float64)


def _root(joints: JointSet) -> list[int]:
    """The joints in whose middle the root is: the pelvis, or both hips."""
    names = ("pelvis",) if "pelvis" in joints.joints else ("left_hip", "right_hip")
    return [joints.index(name) for name in names]


def _relative(errors: Array, joints: JointSet) -> Array:
    root = errors[..., _root(joints), :].mean(-2, keepdims=True)
    relative: Array = errors - root
    return relative


def _mean_error(errors: Array) -> float:
    return float(np.nanmean(np.linalg.norm(errors, axis=-1)))
