"""Motion capture seen by a rig: true joints, and what a detector with known errors says of them.

No images: every joint is projected through the camera's lens, and noise is added to the pixels. T ticks,
M views, J joints.
"""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from dw_core.data.motion import Motion
from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array, Rig, project
from dw_core.joint_refiner import JointRefiner
from dw_core.skeleton import JointSet, joint_set
from dw_core.types import NS, Skeleton2D


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Every coordinate of a joint is off by a Gaussian of `px`, independently; a fraction `outliers` of the
    joint observations by one of `outlier_px` instead. Raises ConfigError for values out of range."""

    px: float = 5.0
    outliers: float = 0.03
    outlier_px: float = 40.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (np.isfinite(value) and value >= 0):
                raise ConfigError(f"noise: {name} is {value}, expected 0 or more")
        if self.px == 0:
            raise ConfigError("noise: px is 0, expected more: it is also what the detector claims")
        if self.outliers > 1:
            raise ConfigError(f"noise: outliers is {self.outliers}, expected a fraction of at most 1")


@dataclass(frozen=True, eq=False)
class Scene:
    """One clip: truth (T, J, 3) m at stamps (T,) in ns; of every view at every tick pixels (T, M, J, 2), and
    what the detector claims of them: covariance (T, M, J, 2, 2) px^2, confidence (T, M, J). A view whose
    joints are all NaN at a tick was not exposed, or saw nobody. Where views take turns, view k mod M fires at
    tick k. `tick_ns`: the interval as planned; `outside`: fraction of the true pixels beyond the image."""

    rig: Rig
    joints: JointSet
    truth: Array
    pixels: Array
    covariance: Array
    confidence: Array
    stamps_ns: npt.NDArray[np.int64]
    tick_ns: int
    outside: float

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def exposed(self) -> npt.NDArray[np.bool_]:
        """Which views (T, M) saw something at which tick."""
        return np.asarray(np.isfinite(self.pixels).any((2, 3)), dtype=bool)

    @property
    def fired(self) -> npt.NDArray[np.bool_]:
        """Which views (T, M) saw something at their own tick, where views take turns."""
        M = len(self.rig)
        turn = np.arange(len(self))[:, None] % M == np.arange(M)
        return np.asarray(self.exposed & turn)

    @property
    def synchronous(self) -> npt.NDArray[np.bool_]:
        """Which views (T, M) saw something at which tick, where all fire together at every M-th."""
        together = np.arange(len(self))[:, None] % len(self.rig) == 0
        return np.asarray(self.exposed & together)

    def refined(self, refiner: JointRefiner | None) -> Scene:
        """The same, every view's joints refined."""
        if refiner is None:
            return self
        pixels, covariance = refiner.refine(self.pixels, self.covariance, self.confidence)
        return replace(self, pixels=pixels, covariance=covariance)

    def stamp_ns(self, tick: int) -> int:
        return int(self.stamps_ns[tick])

    def seen(self, tick: int, view: int) -> Skeleton2D:
        """What a view that fires at a tick observes."""
        at = tick, view
        return Skeleton2D(
            self.rig.names[view],
            self.stamp_ns(tick),
            self.pixels[at],
            self.covariance[at],
            self.confidence[at],
        )


def scene(motion: Motion, rig: Rig, tick_ms: float, seconds: float, noise: Noise) -> Scene:
    """The middle `seconds` of a motion, on the floor in the middle of a rig.

    The noise depends on the seed and on the motion's name, not on what else is in the run. The detector
    claims the variance of `px`, and full confidence, for every joint. Raises ConfigError for a tick that is
    not positive.
    """
    tick_ns = round(tick_ms * 1e6)
    if tick_ns <= 0:
        raise ConfigError(f"a tick is {tick_ms:g} ms, expected more than 0")
    length_s = min(seconds, motion.duration_s)
    ticks = int(length_s * NS / tick_ns + 1e-6) + 1
    start_s = (motion.duration_s - (ticks - 1) * tick_ns / NS) / 2
    joints = motion.at(start_s + np.arange(ticks) * tick_ns / NS)
    truth = joints + floor_middle(rig) - standing(joints)
    exact = np.stack([project(camera, truth) for camera in rig], 1)
    rng = np.random.default_rng((noise.seed, zlib.crc32(motion.name.encode())))
    outlier = rng.random(exact.shape[:-1]) < noise.outliers
    std = np.where(outlier, noise.outlier_px, noise.px)
    pixels = exact + std[..., None] * rng.normal(size=exact.shape)
    sizes = np.array([(camera.width, camera.height) for camera in rig], dtype=np.float64)[:, None]
    inside = ((exact > -0.5) & (exact < sizes - 0.5)).all(-1)
    covariance = np.broadcast_to(noise.px**2 * np.eye(2), (*pixels.shape, 2))
    confidence = np.ones(pixels.shape[:-1])
    stamps_ns = np.arange(ticks) * tick_ns
    joint_names = joint_set(motion.joint_set)
    return Scene(
        rig, joint_names, truth, pixels, covariance, confidence, stamps_ns, tick_ns, float(1 - inside.mean())
    )


def floor_middle(rig: Rig) -> Array:
    """The point (3,) of the floor, z = 0, below the point that is closest to all optical axes."""
    A, b = np.zeros((3, 3)), np.zeros(3)
    for camera in rig:
        across = np.eye(3) - np.outer(camera.R[2], camera.R[2])
        A += across
        b += across @ camera.centre
    x, y, _ = np.linalg.solve(A, b)
    return np.array([x, y, 0.0])


def standing(joints: Array) -> Array:
    """The point (3,) of the floor in the middle of where the joints (T, J, 3) go; heights stay."""
    middle: Array = (joints.min((0, 1)) + joints.max((0, 1))) / 2
    middle[2] = 0.0
    return middle
