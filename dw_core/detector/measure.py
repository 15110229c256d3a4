"""The peaks of a network's maps, as `draw` would draw them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dw_core.detector.draw import HIGHEST, POWER
from dw_core.detector.simulate import Peaks
from dw_core.geometry.camera import Array
from dw_core.geometry.crop import Crop
from dw_core.heatmaps.decode import DISK_RADIUS_FRACTION, decode
from dw_core.types import Float32Array

LEAST = 1e-4  # of a map's values: below it there is no shape


def measure_peaks(maps: Float32Array) -> Peaks:
    """Peaks of maps (J, n, n) in [0, 1]: the place (J, 2) as `decode` gives it, NaN where there is none;
    height and width (J,) of the shape of `draw` through the highest cell and its four neighbours; and the
    highest other maximum that lies beyond `decode`'s disk around the first."""
    J, n, _ = maps.shape
    cells = decode(maps, Crop(-0.5, -0.5, float(n))).pixels
    y, x = np.divmod(maps.reshape(J, -1).argmax(1), n)
    height, sigma = _shape(maps, x, y)
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
    around = np.max([padded[:, a : a + n, b : b + n] for a in range(3) for b in range(3)], axis=0)
    step = np.arange(n)
    distance = np.hypot(step - x[:, None, None], step[:, None] - y[:, None, None])
    other = np.where((maps >= around) & (distance > n * DISK_RADIUS_FRACTION), maps, 0.0).reshape(J, -1)
    at = other.argmax(1)
    second = np.stack((at % n, at // n), -1).astype(np.float64)
    return Peaks(cells, height, sigma, second, other[np.arange(J), at].astype(np.float64))


def _shape(maps: Float32Array, x: npt.NDArray[np.intp], y: npt.NDArray[np.intp]) -> tuple[Array, Array]:
    """Height and standard deviation (J,) of peaks whose highest cells are x, y (J,).

    A root of the inverse odds, (1 / v - 1)^(1 / p), is a paraboloid: g (1 + r^2 / (2 p s^2)).
    """
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)), mode="edge")
    joint = np.arange(len(maps))

    def root(dx: int, dy: int) -> Array:
        value = padded[joint, y + 1 + dy, x + 1 + dx].astype(np.float64)
        inverse: Array = (1 / np.clip(value, LEAST, HIGHEST) - 1) ** (1 / POWER)
        return inverse

    middle = root(0, 0)
    sides = [(root(-1, 0), root(1, 0)), (root(0, -1), root(0, 1))]
    curved = [np.maximum(low + high - 2 * middle, 1e-3 * middle) for low, high in sides]
    dip = sum((high - low) ** 2 / (8 * c) for (low, high), c in zip(sides, curved, strict=True))
    top = np.maximum(middle - dip, (1 / HIGHEST - 1) ** (1 / POWER))
    height = 1 / (1 + top**POWER)
    size = 2 * top / (POWER * (curved[0] + curved[1]))  # s^2, from the mean of both curvatures
    return height, np.sqrt(size / (1 - height))
