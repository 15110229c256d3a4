"""The tensor part of a running system: a new image to the joints of every view, on one device.

All shapes are fixed and all tensors stay where they are, so on CUDA the work of a tick is one graph; on the
CPU it is a plain call. numpy goes in and comes out: what the device computes in between is nobody's concern.
Networks run in half precision where they are prepared so, everything else in float32.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dw_core.backends.simple_baseline import normalise
from dw_core.geometry.camera import Rig
from dw_core.geometry.crop import Crop, apply_affine
from dw_core.tensor.fusion import PencilBank, Pencils, fuse
from dw_core.tensor.heatmaps import decode
from dw_core.types import NS, FloatArray, Skeleton2D, UInt8Array

# Images (N, s, s, 3) RGB uint8 to maps (N, J, n, n) float32.
Network = Callable[[Tensor], Tensor]
# difference, raw (N, J, n, n), lag (N,) s, velocity (N, J, 2) cells/s to warped maps (N, J, n, n): float32.
Warp = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

# Passes before a capture: libraries choose their algorithms and allocate then.
WARM_UP_PASSES = 3
# x, y, their covariance xx, xy, yy, confidence: what leaves the device for each joint.
JOINT_VALUES = 6
# Two looks of one view at a joint tell how it moves when they are no further apart than this.
MAX_GAP_NS = NS // 2


def captured(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """`work`, which changes tensors in place: as a CUDA graph on CUDA, itself elsewhere."""
    if device.type != "cuda":
        return work
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP_PASSES):
            work()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def prepared(network: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A copy for inference: batch normalisation folded into the convolution before it (in float32), then in
    `dtype` and channels last. Unlike autocast, no weight is cast again at every pass."""
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for parent in list(network.modules()):
        children = list(parent.named_children())
        for (name, convolution), (norm_name, norm) in zip(children, children[1:], strict=False):
            if isinstance(norm, nn.BatchNorm2d):
                transpose = isinstance(convolution, nn.ConvTranspose2d)
                setattr(parent, name, fuse_conv_bn_eval(convolution, norm, transpose))  # type: ignore[type-var]
                setattr(parent, norm_name, nn.Identity())
    return network.to(device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def image_network(network: nn.Module, device: torch.device, dtype: torch.dtype) -> Network:
    """A SimpleBaseline as what a runtime calls, prepared in `dtype`: images (N, s, s, 3) of uint8 to maps
    (N, J, n, n) of float32."""
    ready = prepared(network, device, dtype)

    def infer(images: Tensor) -> Tensor:
        maps: Tensor = ready(normalise(images).to(dtype, memory_format=torch.channels_last))
        return maps.float().contiguous()

    return infer


def paper_warp(warper: nn.Module, device: torch.device, dtype: torch.dtype) -> Warp:
    """A PaperWarper as what a runtime calls, prepared in `dtype`: maps (N, J, n, n) of float32 to such maps.
    It knows of no lag and no velocity."""
    ready = prepared(warper, device, dtype)

    def warp(difference: Tensor, raw: Tensor, lag: Tensor, velocity: Tensor) -> Tensor:
        led_by = difference.to(dtype, memory_format=torch.channels_last)
        warped: Tensor = ready(led_by, raw.to(dtype))
        return warped.float()

    return warp


class Mirror:
    """A tensor on the host, pinned where that matters, and the same one on the device."""

    def __init__(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> None:
        self.host = torch.zeros(*shape, dtype=dtype, pin_memory=device.type == "cuda")
        self.device = torch.zeros(*shape, dtype=dtype, device=device)
        self.array: npt.NDArray[np.generic] = self.host.numpy()

    def upload(self) -> None:
        """Host to device, not waited for."""
        self.device.copy_(self.host, non_blocking=True)

    def download(self) -> None:
        """Device to host, not waited for."""
        self.host.copy_(self.device, non_blocking=True)


def pack_joints(maps: Tensor) -> Tensor:
    """What `decode` finds in maps (..., J, n, n) as one tensor (..., J, 6): x, y, xx, xy, yy in cells, and
    the confidence."""
    joints = decode(maps)
    C = joints.covariance
    covariance = torch.stack((C[..., 0, 0], C[..., 0, 1], C[..., 1, 1]), -1)
    return torch.cat((joints.places, covariance, joints.confidence[..., None]), -1)


def unpack_joints(view: str, stamp_ns: int, values: FloatArray, crop: Crop, cells: int) -> Skeleton2D:
    """The joints of packed values (J, 6) over a crop of cells x cells, in pixels."""
    affine = crop.to_pixels(cells)
    covariance = values[:, [2, 3, 3, 4]].reshape(-1, 2, 2) * affine[0, 0] ** 2
    return Skeleton2D(view, stamp_ns, apply_affine(affine, values[:, :2]), covariance, values[:, 5].copy())


class SynchronousRuntime:
    """All M views at once: images to joints, the form that cameras in step allow."""

    def __init__(
        self, views: Sequence[str], size: int, cells: int, joints: int, network: Network, device: torch.device
    ) -> None:
        self.device, self.cells, self.views = device, cells, tuple(views)
        M = len(self.views)
        self._network = network
        self._images = Mirror((M, size, size, 3), torch.uint8, device)
        self._maps = torch.zeros(M, joints, cells, cells, device=device)
        self._joints = Mirror((M, joints, JOINT_VALUES), torch.float32, device)
        self.stages: dict[str, Callable[[], None]] = {"network": self._infer, "decode": self._decode}
        self._work: Callable[[], None] | None = None
        self._apart: dict[str, Callable[[], None]] | None = None

    @torch.inference_mode()
    def push(self, stamp_ns: int, images: Sequence[UInt8Array], crops: Sequence[Crop]) -> list[Skeleton2D]:
        """The joints of M images (size, size, 3) RGB over their crops."""
        if self._work is None:
            self._work = captured(self.compute, self.device)
        self.load(images)
        self._work()
        return self.joints(stamp_ns, crops)

    @torch.inference_mode()
    def apart(self) -> dict[str, Callable[[], None]]:
        """The stages to be called one by one, in order, on what is loaded."""
        if self._apart is None:
            self._apart = {name: captured(stage, self.device) for name, stage in self.stages.items()}
        return self._apart

    @torch.inference_mode()
    def load(self, images: Sequence[UInt8Array]) -> None:
        """The inputs of a tick to the device: M images (size, size, 3)."""
        for place, image in zip(self._images.array, images, strict=True):
            place[...] = image
        self._images.upload()

    def compute(self) -> None:
        """All stages on what is loaded."""
        for stage in self.stages.values():
            stage()

    def joints(self, stamp_ns: int, crops: Sequence[Crop]) -> list[Skeleton2D]:
        """What the stages found: the joints of the M views over their crops, in pixels."""
        self._joints.download()
        synchronize(self.device)
        values = self._joints.array.astype(np.float64)
        return [
            unpack_joints(view, stamp_ns, one, crop, self.cells)
            for view, one, crop in zip(self.views, values, crops, strict=True)
        ]

    def _infer(self) -> None:
        self._maps.copy_(self._network(self._images.device))

    def _decode(self) -> None:
        self._joints.device.copy_(pack_joints(self._maps))


class InterleavedRuntime:
    """One view at a time: its image to the joints of all M views at its time; the others' newest maps stay on
    the device and are fused with the fresh one and warped. Maps (J, n, n), n = `cells`.

    Without a `warp` the stale views' maps are those that fusion made.
    """

    def __init__(
        self,
        rig: Rig,
        size: int,
        cells: int,
        joints: int,
        network: Network,
        warp: Warp | None,
        device: torch.device,
        own_weight: float = 0.5,
    ) -> None:
        self.rig, self.cells, self.device = rig, cells, device
        self._network, self._warp, self._own_weight = network, warp, own_weight
        M = len(rig)
        self._image = Mirror((1, size, size, 3), torch.uint8, device)
        # which view is fresh, which are stale, and where the pencil of each (stale, fresh) pair is
        self._index = Mirror((3, M - 1), torch.int64, device)
        self._motion = Mirror((M - 1, joints + 1, 2), torch.float32, device)  # lag, then velocities
        self._raw, self._fused, self._dense = (
            torch.zeros(M, joints, cells, cells, device=device) for _ in range(3)
        )
        self._joints = Mirror((M, joints, JOINT_VALUES), torch.float32, device)
        self._bank = PencilBank(rig, cells, device)
        self._crops: list[Crop | None] = [None] * M
        self._seen: list[tuple[Skeleton2D, ...]] = [()] * M
        self._target: tuple[int, int] = (0, 0)  # the fresh view and its time
        self.stages: dict[str, Callable[[], None]] = {
            "network": self._infer,
            "spatial fusion": self._fuse,
            "Warper": self._move,
            "decode": self._decode,
        }
        # with the bank's generation: a bank that had to grow lies elsewhere, and graphs hold addresses
        self._work: tuple[int, Callable[[], None]] | None = None
        self._apart: tuple[int, dict[str, Callable[[], None]]] | None = None

    def push(self, view: str, stamp_ns: int, image: UInt8Array, crop: Crop) -> list[Skeleton2D]:
        """The joints of all M views at the time of a new image (size, size, 3) RGB of one of them; NaN for
        views never seen. Raises CalibrationError for a view that the rig does not have."""
        self.load(view, stamp_ns, image, crop)
        self.run()
        return self.joints()

    @torch.inference_mode()
    def load(self, view: str, stamp_ns: int, image: UInt8Array, crop: Crop) -> None:
        """The inputs of a tick to the device: the image (size, size, 3), and geometry where a crop is new.
        Raises CalibrationError for a view that the rig does not have."""
        fresh, M = self.rig.index(view), len(self.rig)
        stale = [v for v in range(M) if v != fresh]
        self._target, self._crops[fresh] = (fresh, stamp_ns), crop
        self._image.array[0] = image
        self._index.array[:] = [[fresh] * (M - 1), stale, [self._bank.place(v, fresh) for v in stale]]
        self._motion.array[:] = 0
        for place, v in zip(self._motion.array, stale, strict=True):
            source = self._crops[v]
            if source is not None and self._seen[v]:
                place[0] = (stamp_ns - self._seen[v][-1].stamp_ns) / NS
                place[1:] = cell_velocity(self._seen[v], self.cells / source.side)
                self._bank.update(v, fresh, source, crop)
        for mirror in (self._image, self._index, self._motion):
            mirror.upload()

    @torch.inference_mode()
    def run(self) -> None:
        """All stages on what is loaded."""
        if self._work is None or self._work[0] != self._bank.generation:
            self._work = (self._bank.generation, captured(self.compute, self.device))
        self._work[1]()

    @torch.inference_mode()
    def apart(self) -> dict[str, Callable[[], None]]:
        """The stages to be called one by one, in order, on what is loaded."""
        if self._apart is None or self._apart[0] != self._bank.generation:
            stages = {name: captured(stage, self.device) for name, stage in self.stages.items()}
            self._apart = (self._bank.generation, stages)
        return self._apart[1]

    def compute(self) -> None:
        """All stages, each on what the one before left."""
        for stage in self.stages.values():
            stage()

    def joints(self) -> list[Skeleton2D]:
        """What the stages found: the joints of all M views at the time of the newest image, in pixels."""
        self._joints.download()
        synchronize(self.device)
        fresh, stamp_ns = self._target
        values = self._joints.array.astype(np.float64)
        nothing = Crop(0.0, 0.0, 1.0)  # of a view never seen, whose joints are NaN
        found = [
            unpack_joints(name, stamp_ns, one, crop or nothing, self.cells)
            for name, one, crop in zip(self.rig.names, values, self._crops, strict=True)
        ]
        self._seen[fresh] = (*self._seen[fresh], found[fresh])[-2:]
        return found

    @property
    def fresh(self) -> int:
        """The view of the newest image."""
        return self._target[0]

    @property
    def maps(self) -> tuple[Tensor, Tensor, Tensor]:
        """Raw, fused and dense maps (M, J, n, n), as the stages left them."""
        return self._raw, self._fused, self._dense

    def _infer(self) -> None:
        fresh = self._index.device[0, :1]
        self._raw.index_copy_(0, fresh, self._network(self._image.device))

    def _fuse(self) -> None:
        fresh, stale, place = self._index.device.unbind(0)
        pencils = Pencils(stale, fresh, *self._bank.take(place))
        self._fused.copy_(fuse(self._raw, pencils, "sampled_view", self._own_weight))

    def _move(self) -> None:
        self._dense.copy_(self._fused)
        if self._warp is not None:
            stale, motion = self._index.device[1], self._motion.device
            raw = self._raw[stale]
            warped = self._warp(self._fused[stale] - raw, raw, motion[:, 0, 0], motion[:, 1:])
            self._dense.index_copy_(0, stale, warped)

    def _decode(self) -> None:
        self._joints.device.copy_(pack_joints(self._dense))


def cell_velocity(seen: Sequence[Skeleton2D], cells_per_pixel: float) -> FloatArray:
    """How a view saw its joints move (J, 2) between its last two exposures, cells/s; 0 where unknown."""
    *before, now = seen
    if not before or now.stamp_ns - before[0].stamp_ns > MAX_GAP_NS:
        return np.zeros(now.pixels.shape)
    seconds = (now.stamp_ns - before[0].stamp_ns) / NS
    velocity: FloatArray = (now.pixels - before[0].pixels) * (cells_per_pixel / seconds)
    return np.nan_to_num(velocity)
