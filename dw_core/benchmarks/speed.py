"""What every stage costs, beside one pass of the 2D network in the same run.

A synthetic person walks in front of rings of cameras. Every tick goes through the whole system: crop,
network (on an image of noise, for its cost alone), rendered heatmaps, and all stages after them. Rings
of all sizes take turns tick by tick, so that a noisy machine does not favour one of them or the network.
"""

from __future__ import annotations

import os
import platform
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ParamSpec, TypeVar

import cv2
import numpy as np
import onnxruntime

from dw_core.backends.movenet import BIAS_PX, Movenet
from dw_core.backends.network import sample_crop
from dw_core.backends.person_crop import PersonCrop
from dw_core.data import assets, messages
from dw_core.errors import ConfigError
from dw_core.fusion.fast_warper_cpu import parameter_shapes
from dw_core.fusion.spatial import SpatialFusion, plain_epipolar_maximum
from dw_core.fusion.warper import TemporalFusion
from dw_core.fusion.weights import WarperWeights, save_weights
from dw_core.geometry.camera import MAX_VIEWS, MIN_VIEWS, Array, Camera, Rig, project
from dw_core.geometry.crop import Crop, apply_affine, crop_around
from dw_core.geometry.triangulation import triangulate
from dw_core.heatmaps.render import render_gaussians
from dw_core.interleave.schedule import uniform_schedule
from dw_core.interleave.window import Window
from dw_core.joint_refiner import PACKAGED, load_refiner
from dw_core.pipeline import Triangulation
from dw_core.progress import bar
from dw_core.skeleton import COCO17
from dw_core.types import (
    NS,
    DenseSet,
    DenseView,
    Float32Array,
    Heatmaps,
    ImageFrame,
    Skeleton2D,
    Skeleton3D,
    Stage,
    TrackingState,
)

SCHEMA_VERSION = 1
VIEWS, TICKS, CELLS = (2, 4, 8, 16), 240, 64
RATE_HZ = 15.0  # per camera
WARM_UP_ROUNDS = 4
PEAK_SIGMA_CELLS = 1.27  # the width of MoveNet's peaks
IMAGE_SIZE, BINNING, FOCAL_PX, RADIUS_M = (1920, 1080), 2, 1100.0, 4.5
LENS = (-0.2, 0.1, 0.001, -0.0005, 0.0)
REFERENCE_CELLS, REFERENCE_VIEWS, REFERENCE_REPEATS = 96, 4, 5
PRECISIONS: tuple[assets.Precision, ...] = ("int8", "float32")
BATCH_FRAMES, BATCH_REPEATS = 10_000, 3
OTHER_NETWORKS_EVERY = 4  # ticks
# The rings take turns, so that what else the machine does is shared by all; but a tick finds in the caches
# what the same ring left there, as in a graph.
TICKS_IN_TURN = 20
PIPELINE = ("window", "spatial sampled_view", "temporal (fast Warper)", "triangulation (tracker)")
# `decode` is what the heatmap node does with the maps; nobody decodes the same maps again.
AFTER_NETWORK = ("decode", *PIPELINE)
TOTAL, PIPELINE_TOTAL, PASS = "everything after the network", "of that, window to skeleton", "network pass"

P = ParamSpec("P")
T = TypeVar("T")


class Stopwatch:
    """Wall times in ms by the name of what was measured."""

    def __init__(self) -> None:
        self.ms: dict[str, list[float]] = defaultdict(list)

    def run(self, name: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a call; its time is kept."""
        start = time.perf_counter()
        result = call(*args, **kwargs)
        self.ms[name].append(1e3 * (time.perf_counter() - start))
        return result


def ring(views: int) -> Rig:
    """Cameras around the origin, with a lens; a quarter circle apart where they are few."""
    names = [f"cam{k + 1:02d}" for k in range(views)]
    return Rig(tuple(_camera(n, k * min(np.pi / 2, 2 * np.pi / views), k) for k, n in enumerate(names)))


def _camera(name: str, angle: float, number: int) -> Camera:
    centre = np.array([RADIUS_M * np.cos(angle), RADIUS_M * np.sin(angle), 1.4 + 0.3 * (number % 3)])
    ahead = np.array([0.0, 0.0, 0.9]) - centre
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    R = np.stack((right, np.cross(ahead, right), ahead))
    width, height = IMAGE_SIZE
    K = np.array([[FOCAL_PX, 0.0, width / 2], [0.0, FOCAL_PX, height / 2], [0.0, 0.0, 1.0]])
    return Camera(name, width, height, K, np.array(LENS), R, -R @ centre)


def walker(seconds: float) -> Array:
    """Joints (17, 3) in metres of a person who walks up and down with arms and legs that swing."""
    half = {
        "eye": (0.10, 0.03, 1.62), "ear": (0.0, 0.07, 1.60), "shoulder": (0.0, 0.19, 1.42),
        "elbow": (0.02, 0.26, 1.13), "wrist": (0.12, 0.28, 0.90), "hip": (0.0, 0.11, 0.92),
        "knee": (0.03, 0.12, 0.50), "ankle": (-0.02, 0.13, 0.08),
    }  # fmt: skip
    swing = {"elbow": 0.06, "wrist": 0.15, "knee": -0.08, "ankle": -0.2}
    step = np.sin(2 * np.pi * seconds)
    joints = np.empty((len(COCO17), 3))
    joints[0] = 0.12, 0.0, 1.58
    for (name, (x, y, z)), (side, sign) in product(half.items(), (("left", 1), ("right", -1))):
        joints[COCO17.index(f"{side}_{name}")] = x + sign * swing.get(name, 0.0) * step, sign * y, z
    walked: Array = joints + (0.9 * np.sin(seconds), 0.3 * np.sin(1.7 * seconds), 0.0)
    return walked


def rendered(camera: Camera, joints: Array, crop: Crop, cells: int, stamp_ns: int = 0) -> Heatmaps:
    """What a perfect network would see of joints (17, 3) in metres."""
    places = apply_affine(crop.to_cells(cells), project(camera, joints))
    sigma = PEAK_SIGMA_CELLS * cells / CELLS
    # rounded, as the heatmap node does: no network's maps fade out through numbers as small as Gaussians do
    maps = messages.from_wire(messages.to_wire(render_gaussians(places, cells, sigma)))
    return Heatmaps(camera.name, stamp_ns, crop, maps)


def untrained_warper() -> TemporalFusion:
    """The stage with a fast Warper of random weights, on which its time does not depend."""
    rng = np.random.default_rng(0)
    arrays = {
        name: (0.05 * rng.standard_normal(shape)).astype(np.float32)
        for name, shape in parameter_shapes(len(COCO17)).items()
    }
    with TemporaryDirectory() as folder:
        path = Path(folder, "random.safetensors")
        save_weights(WarperWeights("fast", COCO17.joints, arrays), path)
        return TemporalFusion(path)


class Scene:
    """The whole system on one ring of cameras, one exposure at a time."""

    def __init__(self, rig: Rig, network: Movenet) -> None:
        self.rig, self.network = rig, network
        self.watch = Stopwatch()
        self.new_crops = self.tracked = 0
        self._schedule = uniform_schedule(rig.names, RATE_HZ)
        self._number = 0
        shape = (IMAGE_SIZE[1] // BINNING, IMAGE_SIZE[0] // BINNING, 3)
        self._image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        self._crops: dict[str, Crop] = {}
        self._seen: dict[str, Skeleton2D] = {}
        self._skeleton: Skeleton3D | None = None
        self._window = Window(rig.names)
        self._spatial, self._anew = SpatialFusion(rig), SpatialFusion(rig)
        self._all_views = SpatialFusion(rig, "all_views")
        self._temporal = untrained_warper()
        self._triangulation = Triangulation(rig, COCO17, refiner=load_refiner(PACKAGED, COCO17))

    def warm_up(self) -> None:
        """Until the person is followed; measures nothing."""
        for _ in range(WARM_UP_ROUNDS * len(self.rig)):
            self.tick()
        self.watch, self.new_crops, self.tracked = Stopwatch(), 0, 0

    def tick(self) -> None:
        """One exposure of one camera through all stages."""
        shot = self._schedule.shot(self._number)
        self._number += 1
        run, camera = self.watch.run, self.rig[self.rig.index(shot.camera)]
        crop = run("crop and network", self._infer, camera, shot.stamp_ns)
        heatmaps = rendered(camera, walker(shot.stamp_ns / NS), crop, CELLS, shot.stamp_ns)
        self._seen[camera.name] = run("decode", lambda: heatmaps.joints)
        (filled,) = run("window", self._window.push, heatmaps)
        fused = run("spatial sampled_view", fused_maps, self._spatial, filled)
        warped = run("temporal (fast Warper)", self._temporal.apply, fused)
        skeletons = run("triangulation (tracker)", self._triangulation.apply, warped)
        self._skeleton = skeletons[-1] if skeletons else None
        self.tracked += bool(self._skeleton and self._skeleton.state == TrackingState.TRACKED)
        for total, parts in ((TOTAL, AFTER_NETWORK), (PIPELINE_TOTAL, PIPELINE)):
            self.watch.ms[total].append(sum(self.watch.ms[name][-1] for name in parts))
        # beside the path above, on the same maps
        run("spatial sampled_view, every crop new", fused_maps, self._anew, with_new_crops(filled))
        run("spatial all_views", fused_maps, self._all_views, filled)

    def _infer(self, camera: Camera, stamp_ns: int) -> Crop:
        """As the heatmap node does it, but for what the network then sees."""
        previous = self._crops.get(camera.name)
        crop, _ = PersonCrop(camera).next(
            stamp_ns, self._skeleton, self._seen.get(camera.name), previous=previous
        )
        self.new_crops += crop != previous
        self._crops[camera.name] = crop
        image = ImageFrame(camera.name, stamp_ns, self._image, BINNING)
        pixels = sample_crop(image, crop, self.network.input_size, BIAS_PX)[None]
        self.watch.run(PASS, self.network.infer_crops, pixels)
        return crop


def fused_maps(fusion: SpatialFusion, dense: DenseSet) -> DenseSet:
    """The set after spatial fusion, whether or not somebody asks for its maps."""
    return fusion.apply(dense).computed()


def with_new_crops(dense: DenseSet) -> DenseSet:
    """The set with crops that no earlier observation had: each moved by its stamp, 0.001 px per second."""
    seen = (v.seen for v in dense.views)
    moved = (replace(h, crop=replace(h.crop, left=h.crop.left + 1e-12 * h.stamp_ns)) for h in seen)
    return replace(dense, views=tuple(DenseView(h, h.tensor) for h in moved))


def measure(views: Sequence[int], ticks: int, threads: int, command: str, progress: bool) -> dict[str, Any]:
    """All figures of one run, ready for JSON. Raises ConfigError for counts out of range, AssetError
    without the network's weights."""
    if not views or not all(MIN_VIEWS <= count <= MAX_VIEWS for count in views):
        raise ConfigError(f"numbers of views are {list(views)}, expected each {MIN_VIEWS} to {MAX_VIEWS}")
    if ticks < 1:
        raise ConfigError(f"the number of ticks is {ticks}, expected 1 or more")
    cv2.setNumThreads(1)  # as the nodes do
    load = [os.getloadavg()[0]]
    network = Movenet(assets.movenet(), threads)
    others = [
        Movenet(assets.movenet(precision), count)
        for precision, count in product(PRECISIONS, (1, 2))
        if (assets.movenet(precision), count) != (assets.movenet(), threads)
    ]
    result: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "command": command}
    result |= {"joints": len(COCO17), "cells": CELLS, "ticks": ticks, "network": network.description}
    result["temporal"] = "the fast Warper with random weights: its time does not depend on them"
    result |= _rings(sorted(set(views)), ticks, network, others, progress)
    result["pencil"] = plain_and_pencil(min(REFERENCE_REPEATS, ticks), progress)
    result["batch_triangulation"] = batch_triangulation(min(BATCH_REPEATS, ticks), progress)
    result["ratios"] = ratios(result)
    result["machine"] = machine() | {"load_average": [*load, os.getloadavg()[0]]}
    result["versions"] = {
        "python": platform.python_version(), "numpy": np.__version__, "opencv": cv2.__version__,
        "onnxruntime": onnxruntime.__version__,
    }  # fmt: skip
    return result


def _rings(
    views: Sequence[int], ticks: int, network: Movenet, others: Sequence[Movenet], progress: bool
) -> dict[str, Any]:
    scenes = {count: Scene(ring(count), network) for count in views}
    beside = Stopwatch()
    blank = np.zeros((1, network.input_size, network.input_size, 3), dtype=np.uint8)
    peak_mb = {}
    *_, last = scenes.values()
    with bar("stages", ticks * len(views), progress) as advance:
        for count, scene in scenes.items():
            scene.warm_up()
            peak_mb[count] = peak_memory_mb()
        for start in range(0, ticks, TICKS_IN_TURN):
            for scene in scenes.values():
                for tick in range(start, min(start + TICKS_IN_TURN, ticks)):
                    scene.tick()
                    advance(1)
                    if tick % OTHER_NETWORKS_EVERY == 0 and scene is last:
                        for other in others:
                            beside.run(other.description, other.infer_crops, blank)
    return {
        "views": {
            str(count): _scene_figures(scene, ticks, peak_mb[count]) for count, scene in scenes.items()
        },
        "other_networks": {name: figures(ms) for name, ms in beside.ms.items()},
        "peak_memory_mb": peak_memory_mb(),
    }


def _scene_figures(scene: Scene, ticks: int, peak_mb: float) -> dict[str, Any]:
    stages: dict[str, Any] = {name: figures(ms) for name, ms in scene.watch.ms.items()}
    for stage in stages.values():
        stage["over_network_pass"] = stage["median_ms"] / stages[PASS]["median_ms"]
    return {
        "new_crops_fraction": scene.new_crops / ticks,
        "tracked_fraction": scene.tracked / ticks,
        "peak_memory_mb_after_warm_up": peak_mb,
        "stages": stages,
    }


def figures(ms: Iterable[float]) -> dict[str, float]:
    """Median and 95th percentile in ms, and how many of them fit into a second."""
    times = np.array(list(ms))
    return {
        "median_ms": float(np.median(times)),
        "p95_ms": float(np.percentile(times, 95)),
        "per_second": 1e3 / float(times.mean()),
    }


def plain_and_pencil(repeats: int, progress: bool) -> dict[str, Any]:
    """One tick's spatial fusion at 96x96 with every stale view's line sampled, and by the pencil; neither
    knows anything of the crops before."""
    rig, watch = ring(REFERENCE_VIEWS), Stopwatch()
    fusion = SpatialFusion(rig, own_weight=0.0)
    with bar("plain reference", repeats, progress) as advance:
        for number in range(repeats + 1):
            views = tuple(_dense_view(camera, walker(0.01 * number)) for camera in rig)
            fresh = views[number % len(rig)]
            watch.run("pencil", fused_maps, fusion, DenseSet(0, fresh.view, views, Stage.FILLED))
            if number == 0:  # the first allocates
                watch = Stopwatch()
                continue
            watch.run("plain", _plain, rig, views, fresh)
            advance(1)
    return {"views": len(rig), "cells": REFERENCE_CELLS} | {n: figures(ms) for n, ms in watch.ms.items()}


def _dense_view(camera: Camera, joints: Array) -> DenseView:
    crop = crop_around(project(camera, joints), 1.25)
    if crop is None:
        raise RuntimeError("the walker has left the images")
    maps = rendered(camera, joints, crop, REFERENCE_CELLS).tensor
    return DenseView(Heatmaps(camera.name, 0, crop, maps), maps)


def _plain(rig: Rig, views: Sequence[DenseView], fresh: DenseView) -> list[Float32Array]:
    source = rig[rig.index(fresh.view)]
    return [
        plain_epipolar_maximum(rig[rig.index(view.view)], view.crop, source, fresh.crop, fresh.raw)
        for view in views
        if view is not fresh
    ]


def batch_triangulation(repeats: int, progress: bool) -> dict[str, Any]:
    """Robust triangulation of many frames at once: 5 px of noise, 3 % outliers of 40 px."""
    rig, rng, watch = ring(REFERENCE_VIEWS), np.random.default_rng(0), Stopwatch()
    joints = np.stack([walker(k / 60) for k in range(BATCH_FRAMES)])
    pixels = np.stack([project(camera, joints) for camera in rig], -2)
    outlier = rng.random(pixels.shape[:-1]) < 0.03
    pixels += rng.normal(size=pixels.shape) * np.where(outlier, 40.0, 5.0)[..., None]
    with bar("batch triangulation", repeats, progress) as advance:
        for _ in range(repeats):
            watch.run("batch", triangulate, rig, pixels, 25.0 * np.eye(2))
            advance(1)
    seconds = float(np.median(watch.ms["batch"])) / 1e3
    return {"frames": BATCH_FRAMES, "joints": len(COCO17), "views": len(rig), "median_s": seconds}


def ratios(result: dict[str, Any]) -> dict[str, float | None]:
    """The quotients that are asked for; None where the run lacked one of the two."""

    def stage(views: int, name: str, figure: str = "median_ms") -> float | None:
        entry = result["views"].get(str(views))
        return entry["stages"][name][figure] if entry else None

    pencil = result["pencil"]
    found = {
        "after_network_over_movenet_m4": _over(stage(4, TOTAL), stage(4, PASS)),
        "window_to_skeleton_over_movenet_m4": _over(stage(4, PIPELINE_TOTAL), stage(4, PASS)),
        "p95_over_median_m4": _over(stage(4, TOTAL, "p95_ms"), stage(4, TOTAL)),
        "plain_over_pencil_m4": _over(pencil["plain"]["median_ms"], pencil["pencil"]["median_ms"]),
        "cost_m16_over_m4": _over(stage(16, TOTAL), stage(4, TOTAL)),
    }
    for name, times in result["other_networks"].items():
        found[f"after_network_m4_over {name}"] = _over(stage(4, TOTAL), times["median_ms"])
    return found


def _over(numerator: float | None, denominator: float | None) -> float | None:
    return None if numerator is None or denominator is None else numerator / denominator


def peak_memory_mb() -> float:
    """The most that the process has held so far, MB; it never falls."""
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def machine() -> dict[str, Any]:
    """What it ran on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cpu": model or platform.processor(),
        "vnni": assets.has_vnni(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.system(),
        "blas_threads": os.environ.get("OPENBLAS_NUM_THREADS", "not limited"),
    }
