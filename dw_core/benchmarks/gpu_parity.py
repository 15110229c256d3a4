"""How far the tensor run time is from the numpy one, and half precision from single, on the same maps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn

from dw_core.benchmarks.gpu_scene import CHANNELS, SEED, StandIn, Walk, warp_of
from dw_core.benchmarks.speed import RATE_HZ
from dw_core.fusion.fast_warper import FastWarper
from dw_core.fusion.paper_warper import PaperWarper
from dw_core.fusion.spatial import SpatialFusion
from dw_core.fusion.torch_weights import weights_of
from dw_core.fusion.warper import TemporalFusion
from dw_core.fusion.weights import save_weights
from dw_core.interleave.schedule import uniform_schedule
from dw_core.interleave.window import Window
from dw_core.skeleton import COCO17, JointSet
from dw_core.tensor.runtime import InterleavedRuntime, Network, Warp, image_network
from dw_core.types import Heatmaps, Skeleton2D

# Two of them with all views known. The paper's Warper takes seconds for each in ONNX Runtime.
TICKS = 5
NETWORK_IMAGES = 2
EMPTY = tuple(f"empty_{k + 1}" for k in range(CHANNELS - len(COCO17)))
JOINTS = JointSet("coco17 and empty channels", (*COCO17.joints, *EMPTY), ())


def parity(
    backbone: nn.Module, warpers: Mapping[str, nn.Module | None], walk: Walk, device: torch.device
) -> dict[str, Any]:
    """Relative difference of the network's maps in bfloat16, and for every Warper the distances in px between
    the joints of all views: of float32 tensors from numpy and ONNX Runtime, of bfloat16 from float32."""
    frames = _frames(walk)
    joints = {}
    for name, warper in warpers.items():
        single, half = (
            _tensor(walk, frames, warp_of(warper, device, dtype), device)
            for dtype in (torch.float32, torch.bfloat16)
        )
        joints[name] = {
            "float32_numpy_px": _distances(single, _numpy(walk, frames, warper)),
            "bfloat16_float32_px": _distances(half, single),
        }
    return {
        "ticks": TICKS,
        "network_bfloat16": _network_difference(backbone, walk.size, device),
        "joints": joints,
    }


def _frames(walk: Walk) -> list[Heatmaps]:
    """What the cameras see in turn."""
    schedule, frames = uniform_schedule(walk.rig.names, RATE_HZ), []
    for number in range(TICKS):
        shot = schedule.shot(number)
        camera = walk.rig[walk.rig.index(shot.camera)]
        crop = walk.person_crop(camera, shot.stamp_ns)
        frames.append(Heatmaps(shot.camera, shot.stamp_ns, crop, walk.maps(camera, shot.stamp_ns, crop)))
    return frames


def _numpy(walk: Walk, frames: list[Heatmaps], warper: nn.Module | None) -> list[Skeleton2D]:
    """The joints of the views known at every frame, in order of names, by the stages without torch."""
    with TemporaryDirectory() as folder:
        weights = None
        if isinstance(warper, FastWarper | PaperWarper):
            weights = Path(folder, "random.safetensors")
            save_weights(weights_of(warper, JOINTS), weights)
        temporal = TemporalFusion(weights, JOINTS)
    window, spatial = Window(walk.rig.names), SpatialFusion(walk.rig)
    found = []
    for frame in frames:
        (filled,) = window.push(frame)
        views = temporal.apply(spatial.apply(filled)).views
        found += sorted((view.joints for view in views), key=lambda one: one.view)
    return found


def _tensor(walk: Walk, frames: list[Heatmaps], warp: Warp | None, device: torch.device) -> list[Skeleton2D]:
    """The same by the tensor run time."""
    eyes = StandIn(_nothing, (1, CHANNELS, walk.cells, walk.cells), device)
    runtime = InterleavedRuntime(walk.rig, walk.size, walk.cells, CHANNELS, eyes, warp, device)
    image, found = np.zeros((walk.size, walk.size, 3), dtype=np.uint8), []
    known = set()
    for frame in frames:
        known.add(frame.view)
        eyes.maps[0] = torch.from_numpy(frame.tensor)
        joints = runtime.push(frame.view, frame.stamp_ns, image, frame.crop)
        found += sorted((one for one in joints if one.view in known), key=lambda one: one.view)
    return found


def _nothing(images: torch.Tensor) -> torch.Tensor:
    return images.new_zeros((), dtype=torch.float32)


def _distances(found: list[Skeleton2D], expected: list[Skeleton2D]) -> dict[str, float]:
    a, b = (np.stack([one.pixels[: len(COCO17)] for one in joints]) for joints in (found, expected))
    apart = np.linalg.norm(a - b, axis=-1)
    apart = apart[np.isfinite(apart)]
    median, p95, largest = np.percentile(apart, (50, 95, 100)).tolist()
    return {"median": median, "p95": p95, "max": largest, "joints": len(apart)}


@torch.inference_mode()
def _network_difference(backbone: nn.Module, size: int, device: torch.device) -> float:
    """Norm of what bfloat16 changes in the network's maps, over the norm of the maps."""
    generator = torch.Generator().manual_seed(SEED)
    images = torch.randint(0, 256, (NETWORK_IMAGES, size, size, 3), generator=generator, dtype=torch.uint8)
    images = images.to(device)
    networks: list[Network] = [
        image_network(backbone, device, dtype) for dtype in (torch.float32, torch.bfloat16)
    ]
    single, half = (network(images) for network in networks)
    return float((half - single).norm() / single.norm())
