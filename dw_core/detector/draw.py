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


def draw(peaks: Peaks, n: int) -> Float32Array:
    """Maps (..., J, n, n) in [0, 1] of peaks in maps of n x n cells, rounded as the heatmap node rounds them.

    The log-odds of a map fall from a peak as -2.5 log(1 + r^2 / (5 s^2)): a parabola near it, slower far
    away. That is the mean of MoveNet's peaks, low ones and high ones (docs/detector.md); in the map itself
    high peaks so are flatter at the top. Of two peaks the higher value counts.
    """
    maps = _peak(peaks.cells, peaks.height, peaks.sigma, n)
    there = peaks.second_height > 0
    if there.any():
        other = _peak(peaks.second[there], peaks.second_height[there], peaks.sigma[there], n)
        maps[there] = np.maximum(maps[there], other)
    return messages.from_wire(messages.to_wire(maps))


def _peak(cells: Array, height: Array, sigma: Array, n: int) -> Float32Array:
    """Maps (..., n, n) of one peak each, at cells (..., 2), of a height (...) and a standard deviation (...)
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
