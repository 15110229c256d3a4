"""Gaussian heatmaps at sub-cell positions, for training targets and tests."""

from __future__ import annotations

import numpy as np

from dw_core.geometry.camera import Array
from dw_core.types import Float32Array


def render_gaussians(cells: Array, size: int, sigma: float, peaks: Array | None = None) -> Float32Array:
    """Heatmaps (..., size, size) with a Gaussian of `sigma` cells at `cells` (..., 2), x before y.

    `peaks` (...): heights, 1 if not given. A position that is NaN gives an empty map. The maximum
    of the map is lower than the peak when the position lies between cell centres.
    """
    axis = np.arange(size)
    at = np.asarray(cells, dtype=np.float64)[..., None]
    x, y = (np.exp(-0.5 * ((axis - at[..., k, :]) / sigma) ** 2) for k in range(2))
    height = 1.0 if peaks is None else np.asarray(peaks)[..., None, None]
    maps = height * y[..., :, None] * x[..., None, :]
    return np.nan_to_num(maps).astype(np.float32)
