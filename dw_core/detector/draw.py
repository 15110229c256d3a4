"""The maps of a 2D network, drawn from its peaks."""

from __future__ import annotations

import numpy as np

from dw_core.data import messages
from dw_core.detector.simulate import Peaks
from dw_core.geometry.camera import Array
from dw_core.types import Float32Array

# How steeply peaks fall: between 2.3 and 2.6 of MoveNet's, low ones and high ones.
POWER = 2.5
# A peak of more than this is drawn as if it were this high: its log-odds must be finite.
HIGHEST = 0.999
# So many maps stay in a processor's cache.
AT_ONCE = 16


def draw(peaks: Peaks, n: int) -> Float32Array:
    """Maps (..., J, n, n) in [0, 1] of peaks in maps of n x n cells, rounded as the heatmap node rounds them.

    The log-odds of a map fall from a peak as -2.5 log(1 + r^2 / (5 s^2)): a parabola near it, slower far
    away. That is the mean of MoveNet's peaks, low ones and high ones (docs/detector.md); in the map itself
    high peaks so are flatter at the top. Of two peaks the higher value counts.
    """
    maps = np.empty((peaks.height.size, n, n), dtype=np.float32)
    cells, second = peaks.cells.reshape(-1, 2), peaks.second.reshape(-1, 2)
    height, sigma, lower = (a.ravel() for a in (peaks.height, peaks.sigma, peaks.second_height))
    for first in range(0, len(maps), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        some = _peak(cells[part], height[part], sigma[part], n)
        there = np.flatnonzero(lower[part] > 0)
        if len(there):
            other = _peak(second[part][there], lower[part][there], sigma[part][there], n)
            some[there] = np.maximum(some[there], other)
        maps[part] = messages.from_wire(messages.to_wire(some))
    return maps.reshape(*peaks.height.shape, n, n)


def _peak(cells: Array, height: Array, sigma: Array, n: int) -> Float32Array:
    """Maps (N, n, n) of one peak each, at cells (N, 2), of a height (N,) and a standard deviation (N,)
    of its top in cells."""
    height = np.clip(height, 1e-6, HIGHEST)
    # the logarithm of the map is curved 1 - height times as much as its log-odds
    size = 2 * POWER * (1 - height) * np.square(sigma)
    axis = np.arange(n)
    x, y = (np.square(axis - cells[..., k, None]) / size[..., None] for k in range(2))
    fall: Float32Array = x.astype(np.float32)[..., None, :] + (1 + y).astype(np.float32)[..., :, None]
    fall *= fall * np.sqrt(fall)  # to the power of POWER, but fast
    fall *= (1 / height - 1).astype(np.float32)[..., None, None]
    fall += 1
    np.reciprocal(fall, out=fall)
    return fall
