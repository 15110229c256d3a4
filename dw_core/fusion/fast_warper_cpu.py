"""The fast Warper: one small network for all pairs of views and all lags, here in numpy and OpenCV.

Each joint of each stale view is moved as a whole. What the network sees of a joint: the raw map and what
spatial fusion changed in it (the fresh view's epipolar line) around the raw peak, the signed lag as
measured, the height of the peak, and how the view saw the joint move before; joints then look at each
other once. What it says: by how much to move the map, and how much of its height to keep. It costs
0.9 MMAC per view of 17 joints where the paper's Warper has 70 GMAC on maps of 96.

fast_warper.py is the same in torch; they agree to 1e-4.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor

import cv2
import numpy as np

from dw_core.errors import AssetError
from dw_core.fusion.weights import WarperWeights
from dw_core.geometry.camera import Array
from dw_core.types import Float32Array

# The surroundings of a peak: so many samples across, of which so many span the width of a map.
SAMPLES, SAMPLES_PER_MAP = 13, 32
# Of a joint: lag, height of its peak, expected motion in x and y, whether that is known.
SCALARS = 5
WIDTH = 96
# Scales of the inputs: the lag in s and the motion in cells are of order one after them.
LAG_SCALE, MOTION_SCALE = 10.0, 1 / 12
# A joint moves at most this part of the map's width.
REACH = 0.5
# The part of the height that is kept is sigmoid(x + 4) / sigmoid(4): 1 at x = 0, and hardly ever more.
KEEP_BIAS = 4.0


def parameter_shapes(joints: int, width: int = WIDTH) -> dict[str, tuple[int, ...]]:
    """What the weights of a network consist of."""
    return {
        "patch.weight": (width, 2 * SAMPLES**2), "patch.bias": (width,),
        "scalars.weight": (width, SCALARS), "joint": (joints, width), "neighbours": (joints, joints),
        "mix.weight": (width, width), "mix.bias": (width,),
        "hidden.weight": (width, width), "hidden.bias": (width,),
        "out.weight": (3, width), "out.bias": (3,),
    }  # fmt: skip


class FastWarperCpu:
    """Moves stale raw heatmaps to the target time. Raises AssetError for weights of another shape."""

    def __init__(self, weights: WarperWeights) -> None:
        arrays, J = weights.arrays, len(weights.joints)
        shapes = parameter_shapes(J, arrays["hidden.bias"].size if "hidden.bias" in arrays else WIDTH)
        found = {name: array.shape for name, array in arrays.items()}
        if found != shapes:
            wrong = next((name for name in shapes if found.get(name) != shapes[name]), "another parameter")
            raise AssetError(
                f"these are no weights of a fast Warper for {J} joints: {wrong} has shape "
                f"{found.get(wrong)}, expected {shapes.get(wrong)}"
            )
        self._arrays = {name: np.ascontiguousarray(array.T) for name, array in arrays.items()}

    def __call__(
        self,
        fused: Sequence[Float32Array],
        raw: Sequence[Float32Array],
        lag_s: Array,
        velocity: Array,
    ) -> list[Float32Array]:
        """Warped maps (J, h, w) of N views; fused and raw maps (J, h, w) of each, lag_s (N,) and velocity
        (N, J, 2) cells/s as in fast_warper.py."""
        move, keep = self.motion(fused, raw, lag_s, velocity)
        return [_moved(maps, move[n], keep[n]) for n, maps in enumerate(raw)]

    def motion(
        self,
        fused: Sequence[Float32Array],
        raw: Sequence[Float32Array],
        lag_s: Array,
        velocity: Array,
    ) -> tuple[Float32Array, Float32Array]:
        """Displacements (N, J, 2) in cells, x before y, and the part (N, J) of the height to keep."""
        a = self._arrays
        h, w = raw[0].shape[1:]
        patches, scalars = inputs(fused, raw, lag_s, velocity)
        x = patches @ a["patch.weight"] + a["patch.bias"] + scalars @ a["scalars.weight"] + a["joint"].T
        x = np.maximum(x, 0)
        x = np.maximum(x + (a["neighbours"].T @ x) @ a["mix.weight"] + a["mix.bias"], 0)
        x = np.maximum(x @ a["hidden.weight"] + a["hidden.bias"], 0)
        out = x @ a["out.weight"] + a["out.bias"]
        reach = np.array((REACH * w, REACH * h), dtype=np.float32)
        return reach * np.tanh(out[..., :2] / reach), _sigmoid(out[..., 2] + KEEP_BIAS) / _sigmoid(KEEP_BIAS)


def _sigmoid(x: Float32Array | float) -> Float32Array:
    return np.asarray(1 / (1 + np.exp(-np.maximum(x, -80.0))), dtype=np.float32)


def inputs(
    fused: Sequence[Float32Array], raw: Sequence[Float32Array], lag_s: Array, velocity: Array
) -> tuple[Float32Array, Float32Array]:
    """All that the network sees of N views' maps (J, h, w), lags (N,) s and velocities (N, J, 2) cells/s:
    the surroundings (N, J, 2 * 13 * 13) of the peaks, and scalars (N, J, 5)."""
    patches, heights = _surroundings(fused, raw)
    scalars = np.empty((*velocity.shape[:2], SCALARS), dtype=np.float32)
    scalars[..., 0] = LAG_SCALE * lag_s[:, None]
    scalars[..., 1] = heights
    scalars[..., 2:4] = velocity * lag_s[:, None, None] * MOTION_SCALE
    scalars[..., 4] = (velocity != 0).any(-1)
    return patches, scalars


def _surroundings(
    fused: Sequence[Float32Array], raw: Sequence[Float32Array]
) -> tuple[Float32Array, Float32Array]:
    """Of N views' maps (J, h, w): raw and fused - raw (N, J, 2 * 13 * 13) around the raw peaks, and their
    heights (N, J)."""
    N, (J, h, w) = len(raw), raw[0].shape
    peak = np.stack([maps.reshape(J, -1).argmax(1) for maps in raw])
    stride = max(w // SAMPLES_PER_MAP, 1)
    step = np.arange(-(SAMPLES // 2), SAMPLES // 2 + 1) * stride
    rows, columns = (peak // w)[..., None] + step, (peak % w)[..., None] + step
    inside = ((rows >= 0) & (rows < h))[..., :, None] & ((columns >= 0) & (columns < w))[..., None, :]
    places = np.clip(rows, 0, h - 1)[..., :, None] * w + np.clip(columns, 0, w - 1)[..., None, :]
    places = places.reshape(N, J, -1)
    places += (np.arange(J) * (h * w))[:, None]
    seen = np.empty((N, J, 2, SAMPLES**2), dtype=np.float32)
    for n in range(N):
        seen[n, :, 0], seen[n, :, 1] = raw[n].take(places[n]), fused[n].take(places[n])
    heights = seen[:, :, 0, SAMPLES**2 // 2].copy()
    seen[:, :, 1] -= seen[:, :, 0]
    seen *= inside.reshape(N, J, 1, -1)
    return seen.reshape(N, J, -1), heights


def _moved(maps: Float32Array, move: Float32Array, keep: Float32Array) -> Float32Array:
    """Maps (J, h, w) moved by (J, 2) cells, empty where nothing comes from, times `keep` (J,)."""
    out = np.empty_like(maps)
    h, w = maps.shape[1:]
    middle_x, middle_y = (w - 1) / 2, (h - 1) / 2
    for source, (dx, dy), target in zip(maps, move.tolist(), out, strict=True):
        # translates in a fifth of warpAffine's time, and exactly, but repeats the rim
        cv2.getRectSubPix(source, (w, h), (middle_x - dx, middle_y - dy), patch=target)
        target[:, _uncovered(dx, w)] = 0
        target[_uncovered(dy, h)] = 0
    out *= keep[:, None, None]
    return out


def _uncovered(move: float, size: int) -> slice:
    """The cells of a row of `size` to which a move brings nothing."""
    return slice(0, ceil(move)) if move > 0 else slice(floor(size - 1 + move) + 1, size)
