"""Motion capture as a rig and a 2D network see it: crops, heatmaps, and the joints decoded from them.

No images: the joints of a clip are projected through the lenses, and the network's heatmaps are drawn from
what it would find there, with the errors that are asked for. Cameras see a person wherever he goes: images
have no borders. T ticks, M views, J joints, n cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from dw_core.benchmarks.keypoints import Scene, floor_middle, standing
from dw_core.data import messages
from dw_core.data.motion import Motion
from dw_core.detector.draw import draw
from dw_core.detector.model import load_model
from dw_core.detector.simulate import Peaks, self_occlusion, simulate
from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array, Camera, Rig, project, to_camera, undistort
from dw_core.geometry.crop import Crop, crop_around, full_frame_crop, still_fits
from dw_core.heatmaps.decode import decode
from dw_core.heatmaps.render import render_gaussians
from dw_core.skeleton import joint_set
from dw_core.types import NS, Float32Array, Heatmaps

CELLS = 64
MARGIN = 1.25  # of a crop around a person, as the system chooses it
SIGMA_CELLS = 1.27  # the width of the default network's peaks, for noise that says nothing of it
# A tick comes at most this part of a tick early or late, whatever the jitter: ticks keep their order.
MOST_JITTER = 0.45
# Of a point in the normalised image: where the lens model has folded over, it is off by far more.
MOST_LENS_ERROR = 1e-4
# Ticks that are drawn at once: the maps then stay in the caches.
BATCH = 8


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """What is wrong with the observations. noise: `none`, `gaussian:PX` (standard deviation in px of every
    coordinate) or `detector`. jitter: standard deviation of the ticks' times as a part of a tick. drops: the
    part of the exposures that is lost. Raises ConfigError."""

    noise: str = "detector"
    jitter: float = 0.0
    drops: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        _ = self.gaussian_px
        if not 0 <= self.jitter <= 1:
            raise ConfigError(f"jitter is {self.jitter:g}, expected 0 to 1 tick")
        if not 0 <= self.drops < 1:
            raise ConfigError(f"drops is {self.drops:g}, expected a fraction from 0 to below 1")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}, expected 0 or more")

    @property
    def gaussian_px(self) -> float | None:
        """The standard deviation in px; None for the detector's errors."""
        if self.noise == "detector":
            return None
        kind, _, px = self.noise.partition(":")
        try:
            value = float(px or "nan") if kind == "gaussian" else 0.0
        except ValueError:
            value = -1.0
        if kind not in ("none", "gaussian") or (kind == "none" and px) or not 0 <= value < np.inf:
            raise ConfigError(f"noise is '{self.noise}', expected none, gaussian:PX or detector")
        return value


@dataclass(frozen=True, eq=False)
class Simulated:
    """A clip as keypoints (`scene`); by view and tick the crops and peaks of its maps, and how these are
    drawn."""

    scene: Scene
    crops: tuple[tuple[Crop, ...], ...]
    peaks: tuple[Peaks, ...]
    draw: Callable[[Peaks, int], Float32Array]

    def heatmaps(self, tick: int) -> Heatmaps:
        """What the view that fires at a tick sees."""
        view = tick % len(self.scene.rig)
        maps = self.draw(_part(self.peaks[view], slice(tick, tick + 1)), CELLS)[0]
        return Heatmaps(self.scene.rig.names[view], self.scene.stamp_ns(tick), self.crops[view][tick], maps)


def _part(peaks: Peaks, ticks: slice) -> Peaks:
    return Peaks(**{field.name: getattr(peaks, field.name)[ticks] for field in fields(peaks)})


def simulated(
    motion: Motion,
    rig: Rig,
    tick_ns: int,
    limit_s: float,
    disturbance: Disturbance,
    advance: Callable[[int], None] = lambda ticks: None,
) -> Simulated:
    """The middle of a motion, `limit_s` long at most, on the floor in the middle of a rig. What is random
    depends on the seed and on the motion alone. `advance` is told of the ticks that are done."""
    stamps_ns, truth = placed(motion, rig, tick_ns, limit_s, disturbance)
    exact = [projected(camera, truth) for camera in rig]
    crops = tuple(tuple(_crops(rig, view, stamps_ns, truth)) for view in range(len(rig)))
    peaks = tuple(
        _peaks(motion, rig, view, exact[view], crops[view], stamps_ns, truth, disturbance)
        for view in range(len(rig))
    )
    drawn = draw if disturbance.gaussian_px is None else draw_gaussians
    found = [_decoded(drawn, *of_view, advance) for of_view in zip(peaks, crops, strict=True)]
    pixels, covariance, confidence = (np.stack([seen[k] for seen in found], 1) for k in range(3))
    lost = _rng(disturbance, motion, len(rig) + 1).random(pixels.shape[:2]) < disturbance.drops
    lost |= ~np.isfinite(np.stack(exact, 1)).any((2, 3))  # whom the view cannot see at all
    pixels[lost], covariance[lost], confidence[lost] = np.nan, np.nan, 0.0
    sizes = np.array([(camera.width, camera.height) for camera in rig])[:, None, None]
    inside = ((np.stack(exact) > -0.5) & (np.stack(exact) < sizes - 0.5)).all(-1)
    joints = joint_set(motion.joint_set)
    scene = Scene(
        rig, joints, truth, pixels, covariance, confidence, stamps_ns, tick_ns, float(1 - inside.mean())
    )
    return Simulated(scene, crops, peaks, drawn)


def draw_gaussians(peaks: Peaks, n: int) -> Float32Array:
    """Maps (..., J, n, n) of the first peaks as a network's targets are drawn, rounded as the heatmap node
    rounds them."""
    maps = render_gaussians(peaks.cells, n, SIGMA_CELLS, peaks.height)
    return messages.from_wire(messages.to_wire(maps))


def projected(camera: Camera, points: Array) -> Array:
    """Pixels (..., 2) of points (..., 3) m; NaN behind the camera, and so far outside of the image that the
    lens model, which was fitted within it, folds over."""
    pixels, ahead = project(camera, points), to_camera(camera, points)
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.abs(undistort(camera, pixels) - ahead[..., :2] / ahead[..., 2:]).max(-1, keepdims=True)
    return np.where(off < MOST_LENS_ERROR, pixels, np.nan)


def ticks_of(motion: Motion, tick_ns: int, limit_s: float) -> int:
    """How many ticks there are in a motion, or in the part of it that is taken."""
    return int(min(limit_s, motion.duration_s) * NS / tick_ns + 1e-6) + 1


def placed(
    motion: Motion, rig: Rig, tick_ns: int, limit_s: float, disturbance: Disturbance
) -> tuple[npt.NDArray[np.int64], Array]:
    """Stamps (T,) of the ticks, and the true joints (T, J, 3) in the rig's world at these times."""
    T = ticks_of(motion, tick_ns, limit_s)
    late = disturbance.jitter * _rng(disturbance, motion, len(rig)).standard_normal(T)
    late = np.clip(late, -MOST_JITTER, MOST_JITTER)
    late[0], late[-1] = max(late[0], 0.0), min(late[-1], 0.0)  # within the motion
    stamps_ns = np.rint((np.arange(T) + late) * tick_ns).astype(np.int64)
    start_s = (motion.duration_s - (T - 1) * tick_ns / NS) / 2
    joints = motion.at(start_s + stamps_ns / NS)
    truth: Array = joints + floor_middle(rig) - standing(joints)
    return stamps_ns, truth


def _rng(disturbance: Disturbance, motion: Motion, what: int) -> np.random.Generator:
    return np.random.default_rng((disturbance.seed, int(motion.digest[:12], 16), what))


def _crops(rig: Rig, view: int, stamps_ns: npt.NDArray[np.int64], truth: Array) -> list[Crop]:
    """The view's crop at every tick as the system chooses it, around a skeleton that is known as it was a
    tick before, moved on by its velocity; the crop before is kept while it serves (see person_crop.py)."""
    camera = rig[view]
    steps = np.diff(stamps_ns, prepend=stamps_ns[0] - 1).astype(np.float64)
    velocity = np.diff(truth, axis=0, prepend=truth[:1]) / steps[:, None, None]
    known = np.maximum(np.arange(len(truth)) - 1, 0)
    expected = truth[known] + velocity[known] * (stamps_ns - stamps_ns[known])[:, None, None]
    crop = full_frame_crop(camera.width, camera.height)
    crops: list[Crop] = []
    for pixels in projected(camera, expected):
        if not crops or not still_fits(crop, pixels, MARGIN):
            crop = crop_around(pixels, MARGIN) or crop
        crops.append(crop)
    return crops


def _peaks(
    motion: Motion,
    rig: Rig,
    view: int,
    exact: Array,
    crops: tuple[Crop, ...],
    stamps_ns: npt.NDArray[np.int64],
    truth: Array,
    disturbance: Disturbance,
) -> Peaks:
    """What the network finds in one view: peaks at (T, J), from the true pixels (T, J, 2)."""
    rng = _rng(disturbance, motion, view)
    px = disturbance.gaussian_px
    if px is not None:
        exact = exact + px * rng.standard_normal(exact.shape)
    left, top, side = np.array([(crop.left, crop.top, crop.side) for crop in crops]).T[:, :, None]
    cells = np.stack((exact[..., 0] - left, exact[..., 1] - top), -1) * (CELLS / side)[..., None] - 0.5
    inside = (np.isfinite(cells) & (cells > -0.5) & (cells < CELLS - 0.5)).all(-1)
    cells = np.where(inside[..., None], cells, CELLS / 2)
    if px is None:
        joints = joint_set(motion.joint_set)
        hidden = self_occlusion(joints, truth, rig[view].centre)
        return simulate(load_model(), joints, cells, stamps_ns / NS, hidden, inside, rng)
    height = np.where(inside, 1.0, 0.0)
    sigma = np.full(height.shape, SIGMA_CELLS)
    return Peaks(cells, height, sigma, np.zeros_like(cells), np.zeros_like(height))


def _decoded(
    draw: Callable[[Peaks, int], Float32Array],
    peaks: Peaks,
    crops: tuple[Crop, ...],
    advance: Callable[[int], None],
) -> tuple[Array, Array, Array]:
    """Pixels (T, J, 2), covariance (T, J, 2, 2), confidence (T, J) of one view's maps."""
    found = []
    for start in range(0, len(crops), BATCH):
        part = slice(start, start + BATCH)
        found += [decode(m, c) for m, c in zip(draw(_part(peaks, part), CELLS), crops[part], strict=True)]
        advance(len(crops[part]))
    return (
        np.stack([one.pixels for one in found]),
        np.stack([one.covariance for one in found]),
        np.stack([one.confidence for one in found]),
    )
