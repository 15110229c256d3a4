"""What the GPU benchmark shows to the system: a walker, and networks with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from dw_core.backends.network import sample_crop
from dw_core.backends.person_crop import PersonCrop
from dw_core.backends.simple_baseline import INPUT_PER_CELL
from dw_core.benchmarks.speed import BINNING, IMAGE_SIZE, walker
from dw_core.fusion.fast_warper import FastWarper
from dw_core.fusion.paper_warper import PaperWarper
from dw_core.geometry.camera import Camera, Rig, project
from dw_core.geometry.crop import Crop, apply_affine, crop_around
from dw_core.heatmaps.render import render_gaussians
from dw_core.skeleton import COCO17
from dw_core.tensor.runtime import Network, Warp, paper_warp
from dw_core.types import NS, Float32Array, ImageFrame, Skeleton2D, Skeleton3D, UInt8Array

SEED = 0
# As many as the paper's network has; the first 17 are COCO's joints, the others stay empty.
CHANNELS = 20
# The paper's targets: Gaussians of 3 cells on maps of 96.
PEAK_CELLS = 1 / 32
WARPERS = ("fast", "paper", "none")
# What is added to an untrained Warper's parameters, so that it moves joints by some pixels.
RANDOM_STD = {"fast": {"others": 0.15}, "paper": {"offsets": 0.3, "weights": 0.02, "others": 0.0}}


def random_warper(name: str) -> nn.Module | None:
    """The Warper of a name with random weights that are not the identity's; None for "none"."""
    if name == "none":
        return None
    torch.manual_seed(SEED)
    warper: nn.Module = FastWarper(CHANNELS) if name == "fast" else PaperWarper(CHANNELS)
    with torch.no_grad():
        for key, value in warper.named_parameters():
            std = RANDOM_STD[name].get(key.partition(".")[0], RANDOM_STD[name]["others"])
            value.add_(std * torch.randn_like(value))
    return warper.eval()


def warp_of(warper: nn.Module | None, device: torch.device, dtype: torch.dtype) -> Warp | None:
    """A Warper as a runtime calls it, on maps (N, J, n, n). The fast one, which is small and gives places,
    stays in float32."""
    if isinstance(warper, PaperWarper):
        return paper_warp(warper, device, dtype)
    return None if warper is None else warper.to(device).requires_grad_(False)


class StandIn:
    """A network's work with a person's maps (N, J, n, n) in the place of what comes out of it."""

    def __init__(self, network: Network, shape: Sequence[int], device: torch.device) -> None:
        self._network = network
        self.maps = torch.zeros(*shape, device=device)

    def __call__(self, images: Tensor) -> Tensor:
        """Maps (N, J, n, n) of images (N, s, s, 3)."""
        return self.maps + 0 * self._network(images)


class Walk:
    """The walker in front of a ring of cameras, and what is seen of him. J channels, n x n cells."""

    def __init__(self, rig: Rig, size: int) -> None:
        self.rig, self.size, self.cells = rig, size, size // INPUT_PER_CELL
        shape = (IMAGE_SIZE[1] // BINNING, IMAGE_SIZE[0] // BINNING, 3)
        self._noise = np.random.default_rng(SEED).integers(0, 256, shape, dtype=np.uint8)
        self.crops: dict[str, Crop] = {}
        self._seen: dict[str, Skeleton2D] = {}
        self.new_crops = 0

    def look(self, camera: Camera, stamp_ns: int, skeleton: Skeleton3D | None) -> tuple[Crop, UInt8Array]:
        """The crop for a frame of a camera, and its pixels (size, size, 3)."""
        previous = self.crops.get(camera.name)
        seen = self._seen.get(camera.name)
        crop, _ = PersonCrop(camera).next(stamp_ns, skeleton, seen, previous=previous)
        self.new_crops += crop != previous
        self.crops[camera.name] = crop
        return crop, sample_crop(ImageFrame(camera.name, stamp_ns, self._noise, BINNING), crop, self.size)

    def person_crop(self, camera: Camera, stamp_ns: int) -> Crop:
        """The crop around what a camera sees of the walker."""
        crop = crop_around(project(camera, walker(stamp_ns / NS)), 1.25)
        if crop is None:
            raise RuntimeError("the walker has left the images")
        return crop

    def maps(self, camera: Camera, stamp_ns: int, crop: Crop) -> Float32Array:
        """What a perfect network sees (J, n, n)."""
        places = np.full((CHANNELS, 2), np.nan)
        places[: len(COCO17)] = project(camera, walker(stamp_ns / NS))
        cells = apply_affine(crop.to_cells(self.cells), places)
        return render_gaussians(cells, self.cells, PEAK_CELLS * self.cells)

    def remember(self, seen: Skeleton2D) -> Skeleton2D:
        """The joints of COCO among the channels, which the next crop of the view goes by."""
        joints = slice(len(COCO17))
        known = replace(
            seen,
            pixels=seen.pixels[joints],
            covariance=seen.covariance[joints],
            confidence=seen.confidence[joints],
        )
        self._seen[seen.view] = known
        return known
