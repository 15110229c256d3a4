"""The mean shape of a network's peaks, beside that of drawn ones. J joints, n cells, H classes of height."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dw_core.backends.network import HeatmapNetwork
from dw_core.benchmarks.detections import Detections
from dw_core.data.footage import Footage, decode_jpeg
from dw_core.data.rigs import load_rig
from dw_core.detector.draw import draw
from dw_core.detector.measure import measure_peaks
from dw_core.detector.simulate import Peaks
from dw_core.geometry.camera import Array
from dw_core.geometry.crop import Crop
from dw_core.types import NS, Float32Array, ImageFrame

# Every so many frames: neighbours look alike.
EVERY = 24
HEIGHTS = ((0.2, 0.5), (0.5, 0.8), (0.8, 0.95))
# Distances from the peak in widths of it.
STEP, RINGS = 0.25, 21
# A second peak of more than this part of the first would be seen in the mean.
ALONE = 0.05


def profiles(scenes: Sequence[tuple[Path, Detections]], network: HeatmapNetwork) -> list[dict[str, Any]]:
    """Of each class of heights the mean of maps over the peak's height by distance, of the network and drawn.
    Raises MediaError for images that cannot be read."""
    shape = (2, len(HEIGHTS), RINGS)
    sums, counts = np.zeros(shape), np.zeros(shape)
    for maps in (maps for folder, found in scenes for maps in _maps(folder, found, network)):
        peaks = measure_peaks(maps)
        n = maps.shape[-1]
        drawn = draw(Peaks(peaks.cells, peaks.height, peaks.sigma, peaks.second, 0 * peaks.height), n)
        known = np.isfinite(peaks.cells).all(-1) & (peaks.second_height < ALONE * peaks.height)
        for h, (low, high) in enumerate(HEIGHTS):
            mine = known & (peaks.height >= low) & (peaks.height < high)
            for who, tensor in enumerate((maps, drawn)):
                total, count = rings(tensor[mine], peaks.cells[mine], peaks.height[mine], peaks.sigma[mine])
                sums[who, h] += total
                counts[who, h] += count
    means = sums / np.maximum(counts, 1)
    return [
        {
            "heights": f"{low:g} to {high:g}",
            "widths": (STEP * np.arange(RINGS)).tolist(),
            "real": means[0, h].tolist(),
            "simulated": means[1, h].tolist(),
        }
        for h, (low, high) in enumerate(HEIGHTS)
    ]


def rings(maps: Float32Array, cells: Array, height: Array, sigma: Array) -> tuple[Array, Array]:
    """Sums and counts (RINGS,) of maps (J, n, n) over their heights (J,) in rings about cells (J, 2)."""
    step = np.arange(maps.shape[-1])
    x, y = (step - cells[:, k, None] for k in range(2))
    ring = np.rint(np.hypot(x[:, None, :], y[:, :, None]) / sigma[:, None, None] / STEP).astype(int)
    inside = ring < RINGS
    values = (maps / height[:, None, None])[inside]
    total = np.bincount(ring[inside], values, RINGS).astype(np.float64)
    return total, np.bincount(ring[inside], minlength=RINGS).astype(np.float64)


def _maps(folder: Path, found: Detections, network: HeatmapNetwork) -> Iterator[Float32Array]:
    """Maps (J, n, n) of some of the images, in the crops that were looked at."""
    names = load_rig(folder / "rig.yaml").names
    footage = Footage.open(folder, names)
    for m, name in enumerate(names):
        for index in range(0, found.side.shape[1], EVERY):
            crop = Crop(*(float(value) for value in (*found.corner[m, index], found.side[m, index])))
            stamp_ns = round(index * NS / footage.rate_hz)
            image = decode_jpeg(footage.jpeg(name, index))
            yield network.infer(ImageFrame(name, stamp_ns, image), crop)
