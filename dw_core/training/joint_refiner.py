"""Training of the joint refiner: what a 2D network says of people whose joints are known.

Most images are simulated, of people of motion capture who are changed at random so that they are nobody's
that was captured, seen by networks that err a little otherwise than the simulated one; the others are
rendered people as the real network sees them, where a configuration has any. The loss is what the tracker
will make of a joint: how unlikely the true place is by what the network says, with the tracker's heavy tails.
B samples, N images of a pool, J joints.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from dw_core.benchmarks.rendered import load_clip
from dw_core.data.splits import Splits
from dw_core.detector.model import DetectorModel
from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array, project
from dw_core.geometry.triangulation import BoolArray
from dw_core.joint_refiner import ARCHITECTURE, FEATURES, OUTPUTS, JointRefiner, features
from dw_core.progress import bar
from dw_core.skeleton import COCO17, JointSet, joint_set, partners
from dw_core.tracking.filter import STUDENT_DOF
from dw_core.training.config import TrainingConfig
from dw_core.training.loop import TRAINING, VALIDATION, Seed
from dw_core.training.scenes import Source, observe
from dw_core.training.tasks import load_source

IN_SCENE = 128  # samples of one seed
RENDERED = 0.3  # part of the samples, where there are rendered scenes
HELD_OUT = 4  # of the rendered scenes one in so many, for validation, as for the simulated network
# Moves that are put out are parts of this part of the person's size; standard deviations in parts of the size
# to which a claimed covariance may shrink.
MOVE, LEAST = 0.1, 0.002
# By how much the constants of a network differ from the simulated one's: logarithms of spreads, parts of the
# side, log-odds of heights.
SPREADS, BIASES, HEIGHTS = 0.3, 0.004, 0.5


@dataclass(frozen=True, eq=False)
class Images:
    """Of N images what the 2D network says, pixels (N, J, 2), covariance (N, J, 2, 2) px^2 and confidence
    (N, J), and the true pixels (N, J, 2)."""

    pixels: Array
    covariance: Array
    confidence: Array
    truth: Array

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, which: Any) -> Images:
        return Images(*(array[which] for array in vars(self).values()))


@dataclass(frozen=True, eq=False)
class RefinerBatch:
    """What the network sees (B, J, FEATURES), where joints are from there (B, J, 2) and what is claimed of
    them (B, J, 2, 2), both by the person's size, and which are known (B, J)."""

    seen: Tensor
    moves: Tensor
    covariance: Tensor
    known: Tensor


class RefinerTask:
    """Trains the joint refiner of `config` on motion of `splits` below `data`, and on the rendered scenes in
    `rendered`. Raises MotionError and CalibrationError for files that cannot be used, ConfigError for too few
    rendered scenes."""

    def __init__(
        self,
        config: TrainingConfig,
        splits: Splits,
        data: Path,
        rendered: Path | None,
        progress: bool = False,
    ) -> None:
        self.config = config
        self._joints = joint_set(config.joint_set)
        torch.manual_seed(config.seed)
        J = len(self._joints)
        sizes = (FEATURES * J, config.width, config.width, OUTPUTS * J)
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
        self._pools, self._others = (
            {"simulated": simulate_images(source, (config.seed, stream), scenes, config.workers, progress)}
            for source, stream, scenes in (
                (train, TRAINING, config.pool),
                (other, VALIDATION, config.validation_scenes),
            )
        )
        if rendered is not None:
            sha256, pool, held_out = load_rendered(rendered, self._joints, progress)
            self.data = hashlib.sha256((self.data + sha256).encode()).hexdigest()
            self._pools["rendered"], self._others["rendered"] = pool, held_out
        self.result: dict[str, Any] = {}

    def make(self, seeds: list[Seed]) -> RefinerBatch:
        """IN_SCENE samples for each seed."""
        parts = [self._samples(np.random.default_rng(seed)) for seed in seeds]
        return _batch(_joined(parts))

    def _samples(self, rng: np.random.Generator) -> Images:
        """Images, and mirror images, out of the pools."""
        real = rng.random(IN_SCENE) < (RENDERED if "rendered" in self._pools else 0.0)
        counts = {"simulated": int((~real).sum()), "rendered": int(real.sum())}
        some = _joined(
            [pool[rng.integers(len(pool), size=counts[name])] for name, pool in self._pools.items()]
        )
        return _mirrored(some, rng.random(IN_SCENE) < 0.5, partners(self._joints))

    def loss(self, batch: RefinerBatch, device: torch.device) -> Tensor:
        """How unlikely the true places are (one number): minus the logarithm of a Student's t density, but
        for a constant."""
        seen, moves, known = (one.to(device) for one in (batch.seen, batch.moves, batch.known))
        out = self.network(seen.flatten(1)).float().view(*known.shape, OUTPUTS)
        return _unlikely(moves - MOVE * out[..., :2], batch.covariance.to(device), out[..., 2], known)

    @torch.no_grad()
    def validate(self, device: torch.device) -> float:
        """The loss on other subjects, and on other rendered scenes by their part of the samples; beside it
        the mean errors with and without the refiner, in parts of the person's size, and the loss without."""
        refiner = self.refiner()
        losses = []
        for name, images in self._others.items():
            pixels, _ = refiner.refine(images.pixels, images.covariance, images.confidence)
            size = features(images.pixels, images.covariance, images.confidence)[2][:, None]
            for what, places in (("seen", images.pixels), ("refined", pixels)):
                error = np.linalg.norm(places - images.truth, axis=-1) / size
                self.result[f"{name}_{what}"] = float(np.nanmean(error))
            batch = _batch(images)
            zero = torch.zeros(batch.known.shape)
            self.result[f"{name}_loss_without"] = float(
                _unlikely(batch.moves, batch.covariance, zero, batch.known)
            )
            losses.append(float(self.loss(batch, device)))
            self.result[f"{name}_loss"] = losses[-1]
        return losses[0] if len(losses) == 1 else (1 - RENDERED) * losses[0] + RENDERED * losses[1]

    def refiner(self) -> JointRefiner:
        """The network as the system has it, whose moves are parts of the size."""
        scale = np.tile(np.array((MOVE, MOVE, 1.0), dtype=np.float32), len(self._joints))
        tensors = [(one.weight.detach().cpu(), one.bias.detach().cpu()) for one in self._layers]
        layers = [(weight.numpy(), bias.numpy()) for weight, bias in tensors]
        weight, bias = layers[-1]
        return JointRefiner(self._joints, (*layers[:-1], (scale[:, None] * weight, scale * bias)))

    def save(self, path: Path, step: int) -> None:
        """Write the weights, with the configuration, the data's hash and the validation in the header."""
        about = {
            "architecture": ARCHITECTURE, "joints": ",".join(self._joints.joints),
            "config": self.config.to_json(), "data_sha256": self.data, "steps": str(step),
            "validation": json.dumps(self.result),
        }  # fmt: skip
        arrays = {}
        for k, (weight, bias) in enumerate(self.refiner().layers):
            arrays[f"{2 * k}.weight"] = torch.from_numpy(weight).contiguous()
            arrays[f"{2 * k}.bias"] = torch.from_numpy(bias).contiguous()
        save_file(arrays, path, about)


def text(result: dict[str, Any]) -> str:
    """What the validation found, for a terminal."""
    parts = [
        f"{name} images, mean error in parts of the person's size: {100 * result[f'{name}_seen']:.1f} % as "
        f"seen, {100 * result[f'{name}_refined']:.1f} % refined"
        for name in ("simulated", "rendered")
        if f"{name}_seen" in result
    ]
    return "\n".join(parts)


def other_detector(model: DetectorModel, rng: np.random.Generator) -> DetectorModel:
    """A network that errs somewhat otherwise."""

    def factor() -> float:
        return float(np.exp(rng.normal(0, SPREADS)))

    kinds = {}
    for name, one in model.kinds.items():
        higher = rng.normal(0, HEIGHTS)
        visible, occluded = (
            replace(
                seen,
                along=seen.along + rng.normal(0, BIASES),
                apart=seen.apart * factor(),
                spread_along=seen.spread_along * factor(),
                spread_across=seen.spread_across * factor(),
                height=seen.height + higher,
            )
            for seen in (one.visible, one.occluded)
        )
        kinds[name] = replace(one, visible=visible, occluded=occluded)
    return replace(model, kinds=kinds)


def simulate_images(source: Source, seed: Seed, scenes: int, workers: int, progress: bool) -> Images:
    """Images of a number of scenes, made by `workers` processes."""
    parts = []
    with bar("images", scenes, progress) as advance:
        for part in DataLoader(_Scenes(source, seed, scenes), batch_size=None, num_workers=workers):
            # copied: what comes from a worker holds a file descriptor for as long as it lives
            parts.append(Images(*(one.numpy().copy() for one in part)))
            advance(1)
    return _joined(parts)


class _Scenes(Dataset[tuple[Array, ...]]):
    """The images of each of some scenes, by number."""

    def __init__(self, source: Source, seed: Seed, count: int) -> None:
        self._source, self._seed, self._count = source, seed, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> tuple[Array, ...]:
        rng = np.random.default_rng((*self._seed, number))
        source = replace(self._source, detector=other_detector(self._source.detector, rng))
        seen = observe(source, rng, changed=True)
        joints = [maps.joints for maps in seen.maps]
        truth = [
            project(seen.real[seen.real.index(maps.view)], pose)
            for maps, pose in zip(seen.maps, seen.truth, strict=True)
        ]
        return (
            np.stack([one.pixels for one in joints]),
            np.stack([one.covariance for one in joints]),
            np.stack([one.confidence for one in joints]),
            np.stack(truth),
        )


def load_rendered(folder: Path, joints: JointSet, progress: bool) -> tuple[str, Images, Images]:
    """A hash of the rendered scenes in a folder, and their images to train on and to validate on. Raises
    ConfigError when they are too few, or of other joints."""
    if joints != COCO17:
        raise ConfigError(f"rendered scenes have joints {COCO17.name}, to be trained are {joints.name}")
    scenes = sorted(path.parent for path in folder.glob("*/scene.sha256"))
    if len(scenes) < HELD_OUT:
        raise ConfigError(
            f"{folder} holds {len(scenes)} rendered scenes, expected {HELD_OUT} or more: run "
            "`make training_scenes`"
        )
    digest = hashlib.sha256("".join((one / "scene.sha256").read_text() for one in scenes).encode())
    images = [rendered_images(scene, progress) for scene in scenes]
    held_out = images[HELD_OUT - 1 :: HELD_OUT]
    return digest.hexdigest(), _joined([one for one in images if one not in held_out]), _joined(held_out)


def rendered_images(folder: Path, progress: bool) -> Images:
    """What the real network says of all images of a rendered scene."""
    clip = load_clip(folder, "float32", progress)
    J = len(COCO17)
    return Images(
        clip.found.pixels.reshape(-1, J, 2), clip.found.covariance.reshape(-1, J, 2, 2),
        clip.found.confidence.reshape(-1, J), clip.truth.pixels[:, :, 0].reshape(-1, J, 2),
    )  # fmt: skip


def _joined(parts: Sequence[Images]) -> Images:
    arrays = zip(*(vars(part).values() for part in parts), strict=True)
    return Images(*map(np.concatenate, arrays))


def _mirrored(images: Images, which: BoolArray, pairs: npt.NDArray[np.intp]) -> Images:
    """Those of the images that `which` (N,) tells, as their mirror images."""
    flip = np.array((-1.0, 1.0))
    pixels, covariance, confidence, truth = (array[:, pairs] for array in vars(images).values())
    image = (pixels * flip, covariance * flip[:, None] * flip, confidence, truth * flip)
    return Images(
        *(
            np.where(which.reshape(-1, *(1,) * (one.ndim - 1)), other, one)
            for one, other in zip(vars(images).values(), image, strict=True)
        )
    )


def _batch(images: Images) -> RefinerBatch:
    seen, _, size = features(images.pixels, images.covariance, images.confidence)
    moves = (images.truth - images.pixels) / size[:, None, None]
    covariance = images.covariance / size[:, None, None, None] ** 2
    known: BoolArray = np.asarray(np.isfinite(moves).all(-1) & np.isfinite(covariance).all((-2, -1)))
    covariance = np.where(known[..., None, None], covariance, np.eye(2))
    return RefinerBatch(
        torch.from_numpy(seen),
        torch.from_numpy(np.where(known[..., None], moves, 0.0)).float(),
        torch.from_numpy(covariance + LEAST**2 * np.eye(2)).float(),
        torch.from_numpy(known).float(),
    )


def _unlikely(residual: Tensor, covariance: Tensor, log_factor: Tensor, known: Tensor) -> Tensor:
    """The mean over the known joints of minus the log density of a Student's t, two-dimensional, with
    covariance (B, J, 2, 2) times exp(log_factor), but for a constant."""
    a, b, c = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    x, y = residual[..., 0], residual[..., 1]
    determinant = a * c - b * b
    d2 = (c * x * x - 2 * b * x * y + a * y * y) / determinant * torch.exp(-log_factor)
    log = 0.5 * torch.log(determinant) + log_factor
    each = log + (STUDENT_DOF + 2) / 2 * torch.log1p(d2 / STUDENT_DOF)
    mean: Tensor = (each * known).sum() / known.sum()
    return mean
