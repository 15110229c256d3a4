"""From a new frame to a pose on a GPU: interleaved cameras with each Warper, and cameras in step.

A synthetic person walks in a ring of four cameras. The frames are noise, on which the networks do all their
work; what they would have seen, the person's rendered maps, is put in the place of their output, so that
everything behind them has somebody to follow. Weights are random with a fixed seed: times do not depend
on them, joints would.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from dw_core.backends.simple_baseline import INPUT_PER_CELL, INPUT_STEP, SimpleBaseline
from dw_core.benchmarks.gpu_parity import parity
from dw_core.benchmarks.gpu_scene import CHANNELS, SEED, WARPERS, StandIn, Walk, random_warper, warp_of
from dw_core.benchmarks.speed import (
    RATE_HZ,
    WARM_UP_ROUNDS,
    Stopwatch,
    figures,
    machine,
    peak_memory_mb,
    ring,
)
from dw_core.errors import ConfigError
from dw_core.geometry.crop import Crop
from dw_core.geometry.triangulation import triangulate
from dw_core.interleave.schedule import uniform_schedule
from dw_core.progress import bar
from dw_core.skeleton import COCO17
from dw_core.tensor.runtime import (
    InterleavedRuntime,
    Network,
    SynchronousRuntime,
    Warp,
    image_network,
    synchronize,
)
from dw_core.tracking.tracker import SkeletonTracker
from dw_core.types import NS, Skeleton2D, Skeleton3D, TrackingState, UInt8Array

SCHEMA_VERSION = 1
VIEWS = 4
MIN_SIZE, MAX_SIZE = 64, 1024
TOTAL = "new frame to pose"


class Interleaved:
    """One camera after the other, as the system runs."""

    def __init__(self, network: Network, warp: Warp | None, size: int, device: torch.device) -> None:
        self.watch, self.tracked, self.device = Stopwatch(), 0, device
        rig = ring(VIEWS)
        self.walk = Walk(rig, size)
        n = self.walk.cells
        self._stand_in = StandIn(network, (1, CHANNELS, n, n), device)
        self.runtime = InterleavedRuntime(rig, size, n, CHANNELS, self._stand_in, warp, device)
        self._tracker = SkeletonTracker(rig, COCO17)
        self._skeleton: Skeleton3D | None = None
        self._schedule, self._number = uniform_schedule(rig.names, RATE_HZ), 0

    def tick(self, apart: bool) -> None:
        """One frame to its pose: as a whole, or waiting for every stage by itself."""
        shot = self._schedule.shot(self._number)
        self._number += 1
        camera = self.walk.rig[self.walk.rig.index(shot.camera)]
        look = partial(self.walk.look, camera, shot.stamp_ns, self._skeleton)
        start = time.perf_counter()
        crop, image = self.watch.run("crop", look) if apart else look()
        spent = time.perf_counter() - start
        self._stand_in.maps[0] = torch.from_numpy(self.walk.maps(camera, shot.stamp_ns, crop))
        synchronize(self.device)
        load = partial(self.runtime.load, camera.name, shot.stamp_ns, image, crop)
        start = time.perf_counter()
        if apart:
            self._by_stages(load)
        else:
            load()
            self.runtime.run()
            self._follow(self.runtime.joints())
            self.watch.ms[TOTAL].append(1e3 * (spent + time.perf_counter() - start))

    def _by_stages(self, load: Callable[[], None]) -> None:
        timed(self.watch, "geometry, upload", load, self.device)
        for name, stage in self.runtime.apart().items():
            timed(self.watch, name, stage, self.device)
        joints = self.watch.run("copy back", self.runtime.joints)
        self.watch.run("tracker", self._follow, joints)

    def _follow(self, joints: Sequence[Skeleton2D]) -> None:
        fresh = self.walk.rig.names[self.runtime.fresh]
        (seen,) = (one for one in joints if one.view == fresh)
        self._tracker.update(self.walk.remember(seen))
        self._skeleton = self._tracker.at(seen.stamp_ns)
        self.tracked += self._skeleton.state == TrackingState.TRACKED


class Synchronous:
    """All cameras at once, and robust triangulation of what they see."""

    def __init__(self, network: Network, size: int, device: torch.device) -> None:
        self.watch, self.tracked, self.device = Stopwatch(), 0, device
        self.walk = Walk(ring(VIEWS), size)
        n = self.walk.cells
        self._stand_in = StandIn(network, (VIEWS, CHANNELS, n, n), device)
        names = self.walk.rig.names
        self.runtime = SynchronousRuntime(names, size, n, CHANNELS, self._stand_in, device)
        self._number = 0

    def tick(self, apart: bool) -> None:
        """One frame of every camera to their pose: as a whole, or waiting for every stage by itself."""
        stamp_ns = round(self._number * NS / RATE_HZ)
        self._number += 1
        start = time.perf_counter()
        looks = self.watch.run("crop", self._look, stamp_ns) if apart else self._look(stamp_ns)
        spent = time.perf_counter() - start
        crops, images = zip(*looks, strict=True)
        maps = (self.walk.maps(c, stamp_ns, crop) for c, crop in zip(self.walk.rig, crops, strict=True))
        self._stand_in.maps.copy_(torch.from_numpy(np.stack(list(maps))))
        synchronize(self.device)
        start = time.perf_counter()
        if apart:
            timed(self.watch, "upload", partial(self.runtime.load, images), self.device)
            for name, stage in self.runtime.apart().items():
                timed(self.watch, name, stage, self.device)
            joints = self.watch.run("copy back", self.runtime.joints, stamp_ns, crops)
            self.watch.run("triangulation", self._solve, joints)
        else:
            self._solve(self.runtime.push(stamp_ns, images, crops))
            self.watch.ms[TOTAL].append(1e3 * (spent + time.perf_counter() - start))

    def _look(self, stamp_ns: int) -> list[tuple[Crop, UInt8Array]]:
        return [self.walk.look(camera, stamp_ns, None) for camera in self.walk.rig]

    def _solve(self, joints: Sequence[Skeleton2D]) -> None:
        seen = [self.walk.remember(one) for one in joints]
        solved = triangulate(
            self.walk.rig,
            np.stack([one.pixels for one in seen], 1),
            np.stack([one.covariance for one in seen], 1),
            np.stack([one.confidence for one in seen], 1),
        )
        self.tracked += bool(np.isfinite(solved.points).all())


def timed(watch: Stopwatch, name: str, work: Callable[[], None], device: torch.device) -> None:
    """Time of work until the device has done it."""

    def all_of_it() -> None:
        work()
        synchronize(device)

    watch.run(name, all_of_it)


def _run(scene: Interleaved | Synchronous, ticks: int, advance: Callable[[int], None]) -> dict[str, Any]:
    """Figures of a scene: first as a whole, then stage by stage."""
    warm_up = WARM_UP_ROUNDS * VIEWS
    if scene.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(scene.device)
    found: dict[str, Any] = {}
    for apart in (False, True):
        for _ in range(warm_up):
            scene.tick(apart)
        scene.watch, scene.tracked, scene.walk.new_crops = Stopwatch(), 0, 0
        for _ in range(ticks):
            scene.tick(apart)
            advance(1)
        times = {name: figures(ms) for name, ms in scene.watch.ms.items()}
        if apart:
            found["stages"] = times
        else:
            found["total"] = times[TOTAL]
            found["tracked_fraction"] = scene.tracked / ticks
            looks = ticks * (VIEWS if isinstance(scene, Synchronous) else 1)
            found["new_crops_fraction"] = scene.walk.new_crops / looks
    cuda = scene.device.type == "cuda"
    peak = torch.cuda.max_memory_allocated(scene.device) / 1e6 if cuda else peak_memory_mb()
    return found | {"peak_memory_mb": peak}


def open_device(name: str) -> torch.device:
    """The device to measure. Raises ConfigError when there is none of its kind."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("there is no CUDA device here, run it on a machine with a GPU or say --device cpu")
    return torch.device(name)


def measure(
    device_name: str, size: int, ticks: int, warpers: Sequence[str], command: str, progress: bool
) -> dict[str, Any]:
    """All figures of one run, ready for JSON. Raises ConfigError for values out of range and for a device
    that is not there."""
    if not MIN_SIZE <= size <= MAX_SIZE or size % INPUT_STEP:
        raise ConfigError(
            f"the image size is {size}, expected a multiple of {INPUT_STEP} from {MIN_SIZE} to {MAX_SIZE}"
        )
    if ticks < 1:
        raise ConfigError(f"the number of ticks is {ticks}, expected 1 or more")
    if not warpers or not set(warpers) <= set(WARPERS):
        raise ConfigError(f"the Warpers are {', '.join(warpers)}, expected some of {', '.join(WARPERS)}")
    device = open_device(device_name)
    cv2.setNumThreads(1)  # as the nodes do
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False  # what is called float32 in the comparison is
    torch.manual_seed(SEED)
    backbone = SimpleBaseline(CHANNELS).eval()
    network = image_network(backbone, device, torch.bfloat16)
    result = _about(device, backbone, size, ticks, command)
    result["interleaved"] = {}
    with bar("frames to poses", 2 * ticks * (len(warpers) + 1), progress) as advance:
        for name in warpers:
            warp = warp_of(random_warper(name), device, torch.bfloat16)
            result["interleaved"][name] = _run(Interleaved(network, warp, size, device), ticks, advance)
        result["synchronous"] = _run(Synchronous(network, size, device), ticks, advance)
    models = {name: random_warper(name) for name in warpers}
    result["parity"] = parity(backbone, models, Walk(ring(VIEWS), size), device)
    return result


def _about(device: torch.device, backbone: nn.Module, size: int, ticks: int, command: str) -> dict[str, Any]:
    """What runs where."""
    on_gpu = device.type == "cuda"
    parameters = sum(p.numel() for p in backbone.parameters()) / 1e6
    return {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "device": torch.cuda.get_device_name(device) if on_gpu else "CPU",
        "cuda": on_gpu,
        "network": f"SimpleBaseline ResNet-152, {parameters:.3f} M parameters, bfloat16",
        "weights": f"random, seed {SEED}: times do not depend on them",
        "views": VIEWS,
        "channels": CHANNELS,
        "joints": len(COCO17),
        "size": size,
        "cells": size // INPUT_PER_CELL,
        "ticks": ticks,
        "machine": machine(),
        "versions": {
            "python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__,
            "opencv": cv2.__version__, "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version() if on_gpu else None,  # type: ignore[no-untyped-call]
        },
    }  # fmt: skip
