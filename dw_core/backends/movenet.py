"""MoveNet SinglePose Thunder in ONNX Runtime: 256x256 crops to 64x64 heatmaps of COCO-17.

Source: MoveNet model card (Apache-2.0). Its offset head is left out: with the centroid of the cells
about the peak, the raw map is as exact on the demo's footage (leave-one-view-out median 12.8 px with
either), and the rest of the system needs nothing but maps.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import onnxruntime as ort

from dw_core.backends.network import sample_crop
from dw_core.errors import AssetError, ConfigError
from dw_core.geometry.crop import Crop
from dw_core.skeleton import COCO17
from dw_core.types import Float32Array, ImageFrame, UInt8Array

# Half of what a frame and its mirror image, both decoded, differ by in x: 0.26 +- 0.03 input px over 80
# frames of the footage. The network treats rows like columns, so the same is taken for y.
BIAS_PX = 0.25
MAX_THREADS = 64


class Movenet:
    """MoveNet Thunder as a `HeatmapNetwork`. One ONNX Runtime session per file and thread count."""

    input_size = 256
    cells = 64
    joint_set = COCO17

    def __init__(self, path: Path, threads: int = 1) -> None:
        """Load the network. Raises AssetError for a file that is not it, ConfigError for `threads`."""
        if not 1 <= threads <= MAX_THREADS:
            raise ConfigError(f"the network is to run on {threads} threads, expected 1 to {MAX_THREADS}")
        self._session = _session(path, threads)
        # The first pass allocates and takes several times as long; nobody shall wait for it later.
        self.infer_crops(np.zeros((1, self.input_size, self.input_size, 3), dtype=np.uint8))
        self.provider = self._session.get_providers()[0]
        self.description = f"{path.stem}, {threads} thread{'s' if threads > 1 else ''}"

    def infer(self, frame: ImageFrame, crop: Crop) -> Float32Array:
        """Heatmaps (17, 64, 64) in [0, 1] over the crop of the image."""
        maps = self.infer_crops(sample_crop(frame, crop, self.input_size, BIAS_PX)[None])
        return np.asarray(maps[0])

    def infer_crops(self, crops: UInt8Array) -> Float32Array:
        """Crops (N, 256, 256, 3) RGB to heatmaps (N, 17, 64, 64), peaks BIAS_PX left of and above joints."""
        (maps,) = self._session.run(None, {"image": np.ascontiguousarray(crops)})
        return np.asarray(maps, dtype=np.float32)


@lru_cache(maxsize=8)
def _session(path: Path, threads: int) -> ort.InferenceSession:
    """Sessions may run from several threads at once, so one serves all views of a process."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Waiting threads must not spin: the other stages want the cores (10 ms become 30 ms when they do).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no narrower base
        raise AssetError(
            f"{path}: ONNX Runtime cannot load it ({str(error).splitlines()[0]}), "
            f"delete {path.parent} and run `dw fetch` again"
        ) from error
