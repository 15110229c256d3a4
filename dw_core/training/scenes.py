"""Scenes to train on: a person seen by a rig at staggered times, as the running system would hold it.

Everything of a scene follows from its random generator. The person moves as in motion capture, the rig that
made the pixels is not quite the rig that is believed, the network is the simulated one of dw_core/detector,
and crops, fill, spatial fusion and velocities are made by the code that the nodes run.
T targets, M views, N stale views of all targets, J joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from dw_core.backends.person_crop import PersonCrop
from dw_core.benchmarks.keypoints import floor_middle
from dw_core.benchmarks.map_methods import nominal_lags
from dw_core.data.motion import Motion
from dw_core.detector.draw import draw
from dw_core.detector.model import DetectorModel
from dw_core.detector.occlusion import self_occlusion
from dw_core.detector.simulate import simulate
from dw_core.fusion.spatial import SpatialFusion
from dw_core.fusion.warper import TemporalState, remember, stale_views
from dw_core.geometry.camera import Array, Rig, project
from dw_core.geometry.crop import Crop, apply_affine
from dw_core.geometry.triangulation import BoolArray
from dw_core.interleave.window import Window
from dw_core.skeleton import JointSet, joint_set
from dw_core.training.clips import Clips
from dw_core.training.rigs import miscalibrated, random_rig
from dw_core.training.variation import others
from dw_core.types import NS, DenseSet, DenseView, Float32Array, Heatmaps, Skeleton3D, TrackingState

IntArray = npt.NDArray[np.int64]

# The age of the oldest view, seconds, even in its logarithm; no lag that is trained on is longer.
LONGEST_LAG_S = (0.015, 0.2)
ROUNDS, TARGETS = 4, 6
REGULAR = 0.5  # part of the scenes; in the others cameras run freely, and exposures deviate
DROPPED = 0.15  # of the exposures, in one scene of three
SPEED, SIZE = (0.7, 1.4), (0.88, 1.1)  # of the person, against the motion capture
OFF_CENTRE_M = 0.6
# The skeleton that crops are made from: off as a whole, and at every joint.
CROP_OFF_M, CROP_JOINT_M = 0.04, 0.02


@dataclass(frozen=True, eq=False)
class Scene:
    """Seen by the rig at T targets: points (T, J, 3) m of the truth, and of every view's newest map, stale
    or not, pixels (T, M, J, 2), covariance (T, M, J, 2, 2) px^2, confidence (T, M, J).

    Of the N stale views: `at` (N, 2), their targets and views; lag_s (N,) as measured and nominal_s (N,) as
    regular exposures would have it; velocity (N, J, 2) cells/s; N raw and N fused maps (J, n, n); cells
    (N, J, 2) as decoded from raw; truth (N, J, 2) at the target time in the view's cells, and whether it lies
    in map and image, `inside` (N, J); cell_px (N,), the side of a cell.
    `regular`: whether the views fire in turn at one interval; `size`: n.
    """

    rig: Rig
    regular: bool
    size: int
    points: Array
    pixels: Array
    covariance: Array
    confidence: Array
    at: Array
    lag_s: Array
    nominal_s: Array
    velocity: Array
    raw: tuple[Float32Array, ...]
    fused: tuple[Float32Array, ...]
    cells: Array
    truth: Array
    inside: BoolArray
    cell_px: Array


@dataclass(frozen=True, eq=False)
class Source:
    """What scenes are made of: clips, the constants of the detector, rigs that exist, cells of a map; whether
    clips are chosen evenly among their folders."""

    clips: Clips
    detector: DetectorModel
    rigs: Sequence[Rig]
    cells: int
    evenly: bool = False


def make_scene(source: Source, rng: np.random.Generator) -> Scene:
    """One scene. The same generator gives the same scene."""
    scene = None
    while scene is None:
        scene = _scene(source, rng)
    return scene


def some_views(scene: Scene, count: int, rng: np.random.Generator) -> Scene:
    """A scene with `count` of its stale views at most, chosen at random."""
    N = len(scene.at)
    kept = np.sort(rng.permutation(N)[:count])
    arrays = ("at", "lag_s", "nominal_s", "velocity", "cells", "truth", "inside", "cell_px")
    less: dict[str, Any] = {name: getattr(scene, name)[kept] for name in arrays}
    less |= {name: tuple(getattr(scene, name)[k] for k in kept) for name in ("raw", "fused")}
    return replace(scene, **less)


@dataclass(frozen=True, eq=False)
class Observed:
    """What a rig sees of a person: K heatmaps in order of time, truth (K, J, 3) at their times; whether the
    views fire in turn at one interval, and the nominal one."""

    real: Rig
    believed: Rig
    regular: bool
    tick_s: float
    maps: list[Heatmaps]
    truth: Array


def _scene(source: Source, rng: np.random.Generator) -> Scene | None:
    """One scene; None when too many exposures were dropped for any."""
    return _collect(observe(source, rng), rng)


def observe(source: Source, rng: np.random.Generator, changed: bool = False) -> Observed:
    """A person before a rig for ROUNDS exposures of each view; `changed`: at each another one (see
    `variation.others`)."""
    existing = source.rigs and rng.random() < 0.25
    real = source.rigs[int(rng.integers(len(source.rigs)))] if existing else random_rig(rng)
    believed = miscalibrated(real, rng)
    regular = bool(rng.random() < REGULAR)
    stamps_ns, views, tick_s = _exposures(len(real), regular, rng)
    motion = source.clips.pick_evenly(rng) if source.evenly else source.clips.pick(rng)
    truth = moving(motion, stamps_ns / NS, floor_middle(real), rng)
    joints = joint_set(motion.joint_set)
    if changed:
        truth = others(truth, joints, rng)
    maps: list[Heatmaps | None] = [None] * len(views)
    for view in range(len(real)):
        mine = np.flatnonzero(views == view)
        for k, seen in zip(
            mine, _seen(source, joints, real, believed, view, stamps_ns[mine], truth[mine], rng), strict=True
        ):
            maps[k] = seen
    return Observed(real, believed, regular, tick_s, [one for one in maps if one is not None], truth)


def _exposures(views: int, regular: bool, rng: np.random.Generator) -> tuple[IntArray, IntArray, float]:
    """Stamps (K,) ns in order, which view fired (K,), and the nominal tick in s."""
    low, high = np.log(LONGEST_LAG_S)
    tick = float(np.exp(rng.uniform(low, high))) / (views - 1)
    order = rng.permutation(views)
    if regular:
        stamps = np.arange(ROUNDS * views) * tick
        who = np.tile(order, ROUNDS)
    else:
        period = views * tick * rng.uniform(0.8, 1.25, (views, 1))
        times = (rng.random((views, 1)) + np.arange(ROUNDS) + rng.normal(0, 0.12, (views, ROUNDS))) * period
        stamps, who = times.ravel(), np.repeat(np.arange(views), ROUNDS)
    if rng.random() < 1 / 3:
        kept = rng.random(len(stamps)) >= DROPPED
        stamps, who = stamps[kept], who[kept]
    ns = np.round((stamps - stamps.min()) * NS).astype(np.int64)
    # in order of time, and no two exposures at one time
    first = np.sort(np.unique(ns, return_index=True)[1])
    first = first[np.argsort(ns[first], kind="stable")]
    return ns[first], who[first], tick


def moving(motion: Motion, times_s: Array, middle: Array, rng: np.random.Generator) -> Array:
    """Joints (K, J, 3) at times (K,) of somebody who is there at a random moment of a motion, turned and
    placed at random near a point of the floor."""
    span = float(times_s[-1])
    speed = min(rng.uniform(*SPEED), motion.duration_s / max(span, 1e-9))
    start = rng.uniform(0, max(motion.duration_s - span * speed, 0.0))
    joints = motion.at(np.clip(start + speed * times_s, 0, motion.duration_s)) * rng.uniform(*SIZE)
    R = Rotation.from_euler("z", rng.uniform(0, 2 * np.pi)).as_matrix()
    centre = joints.mean((0, 1)) * (1.0, 1.0, 0.0)
    place = middle + (*rng.normal(0, OFF_CENTRE_M, 2), 0.0)
    placed: Array = (joints - centre) @ R.T + place
    return placed


def _seen(
    source: Source, joints: JointSet, real: Rig, believed: Rig, view: int,
    stamps_ns: IntArray, truth: Array, rng: np.random.Generator,
) -> list[Heatmaps]:  # fmt: skip
    """The maps of one view at its exposures."""
    camera, n = real[view], source.cells
    if not len(stamps_ns):
        return []
    pixels = project(camera, truth)
    crops = _crops(PersonCrop(believed[view]), joints, stamps_ns, truth, rng)
    cells = np.stack([apply_affine(crop.to_cells(n), one) for crop, one in zip(crops, pixels, strict=True)])
    inside = _within(pixels, camera.width, camera.height) & _within(cells, n, n)
    cells = np.where(np.isfinite(cells), cells, n / 2)  # behind the camera
    occluded = self_occlusion(joints, truth, camera.centre)
    peaks = simulate(source.detector, joints, cells, stamps_ns / NS, occluded, inside, rng, n)
    tensors = draw(peaks, n)
    return [
        Heatmaps(camera.name, int(ns), crop, maps)
        for ns, crop, maps in zip(stamps_ns, crops, tensors, strict=True)
    ]


def _crops(
    chooser: PersonCrop, joints: JointSet, stamps_ns: IntArray, truth: Array, rng: np.random.Generator
) -> list[Crop]:
    """The crops that a tracked skeleton would give, which is a little off."""
    crops: list[Crop] = []
    J = len(joints)
    off = rng.normal(0, CROP_OFF_M, 3)
    for ns, pose in zip(stamps_ns, truth, strict=True):
        known = pose + off + rng.normal(0, CROP_JOINT_M, (J, 3))
        skeleton = Skeleton3D(
            int(ns), 0, TrackingState.TRACKED, joints.name, known, np.zeros((J, 3)),
            np.zeros((J, 3, 3)), np.ones(J), (), (),
        )  # fmt: skip
        crops.append(chooser.next(int(ns), skeleton, None, previous=crops[-1] if crops else None)[0])
    return crops


def _collect(seen: Observed, rng: np.random.Generator) -> Scene | None:
    """Fill, fusion and velocities of some of the last exposures, each a target; None without one."""
    real, believed, maps, truth = seen.real, seen.believed, seen.maps, seen.truth
    window, spatial, state = Window(real.names), SpatialFusion(believed), TemporalState()
    last = range(max(len(maps) - 2 * len(real), 1), len(maps))
    targets = set(rng.permutation(np.array(last))[:TARGETS].tolist())
    sets: list[DenseSet] = []
    parts, points = [], []
    for k, one in enumerate(maps):
        for dense in window.push(one):  # none after a pause
            state = remember(state, dense)
            if k in targets and len(dense.views) > 1:
                fused = spatial.apply(dense)
                parts.append(_stale(real, state, fused, truth[k], len(sets), seen.tick_s))
                sets.append(fused)
                points.append(truth[k])
    if not sets:
        return None
    stale = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    views = [view for dense in sets for view in dense.views if view.view != dense.fresh]
    return Scene(
        rig=believed, regular=seen.regular, size=views[0].raw.shape[-1], points=np.stack(points),
        raw=tuple(view.raw for view in views), fused=tuple(view.tensor for view in views),
        **_as_seen(believed, sets), **stale,
    )  # fmt: skip


def _stale(
    real: Rig, state: TemporalState, dense: DenseSet, pose: Array, number: int, tick_s: float
) -> dict[str, Any]:
    """What Scene holds of the stale views of target `number`."""
    stale, lag_s, velocity = stale_views(state, dense)
    cameras = [real[real.index(view.view)] for view in stale]
    pixels = [project(camera, pose) for camera in cameras]
    n = dense.views[0].raw.shape[-1]
    truth = np.stack([_in_cells(view, one) for view, one in zip(stale, pixels, strict=True)])
    shown = np.stack([_within(p, c.width, c.height) for p, c in zip(pixels, cameras, strict=True)])
    return {
        "at": np.array([(number, real.index(view.view)) for view in stale]),
        "lag_s": lag_s,
        "nominal_s": nominal_lags(lag_s, tick_s),
        "velocity": velocity,
        "cells": np.stack([_in_cells(view, view.seen.joints.pixels) for view in stale]),
        "truth": truth,
        "inside": shown & _within(truth, n, n),
        "cell_px": np.array([view.crop.side / n for view in stale]),
    }


def _within(places: Array, width: int, height: int) -> BoolArray:
    """Whether pixels or cells (..., 2) lie in an image or map."""
    inside = (places > -0.5) & (places < np.array((width, height)) - 0.5)
    within: BoolArray = inside[..., 0] & inside[..., 1]
    return within


def _in_cells(view: DenseView, pixels: Array) -> Array:
    return apply_affine(view.crop.to_cells(view.raw.shape[-1]), pixels)


def _as_seen(rig: Rig, sets: list[DenseSet]) -> dict[str, Any]:
    """The joints of the newest map of every view at every target; NaN with no confidence without one."""
    T, M, J = len(sets), len(rig), sets[0].views[0].raw.shape[0]
    pixels, covariance = np.full((T, M, J, 2), np.nan), np.full((T, M, J, 2, 2), np.nan)
    confidence = np.zeros((T, M, J))
    for t, dense in enumerate(sets):
        for view in dense.views:
            at = t, rig.index(view.view)
            joints = view.seen.joints
            pixels[at], covariance[at], confidence[at] = joints.pixels, joints.covariance, joints.confidence
    return {"pixels": pixels, "covariance": covariance, "confidence": confidence}
