"""What the 2D network sees in every image of rendered footage; computed once, then kept beside the images.

The crops are those of the running system: at each frame one view in turn tells the tracker what it saw, and
every view looks where the tracked skeleton is at its next exposure (person_crop.py).
Shapes: M views, T frames, J joints.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dw_core.backends import movenet, network, person_crop
from dw_core.backends.network import HeatmapNetwork
from dw_core.backends.person_crop import PersonCrop
from dw_core.data.footage import Footage, decode_jpeg
from dw_core.detector import measure
from dw_core.detector.measure import measure_peaks
from dw_core.detector.simulate import Peaks
from dw_core.errors import MediaError
from dw_core.geometry import camera as lens
from dw_core.geometry import crop as crops
from dw_core.geometry.camera import Array, Rig
from dw_core.geometry.crop import Crop
from dw_core.heatmaps import decode
from dw_core.progress import bar
from dw_core.tracking import filter as tracking
from dw_core.tracking import initialise, tracker
from dw_core.tracking.tracker import SkeletonTracker
from dw_core.types import NS, Float32Array, Heatmaps, ImageFrame, Skeleton2D, Skeleton3D

# Extra looks at the first frame, to close in on the person from the whole image.
CLOSING_IN = 2
# What the detections depend on beside images and network.
SOURCES = (decode, network, movenet, person_crop, crops, lens, tracking, initialise, tracker, measure)


@dataclass(frozen=True, eq=False)
class Detections:
    """pixels (M, T, J, 2) of the full image, covariance (M, T, J, 2, 2) px^2, confidence (M, T, J), height
    (M, T, J) of the maps' maxima, side (M, T) of the crops in px. A joint that was not seen is NaN with zero
    confidence.

    Of the peaks as `measure_peaks` has them, in parts of the crop's side: corner (M, T, 2) of the crop in px,
    top and width (M, T, J), second (M, T, J, 2) from the corner, second_height (M, T, J).
    """

    pixels: Array
    covariance: Array
    confidence: Array
    height: Array
    side: Array
    corner: Array
    top: Array
    width: Array
    second: Array
    second_height: Array


def detect(
    folder: Path, rig: Rig, file: Path, open_file: Callable[[Path], HeatmapNetwork], progress: bool = True
) -> Detections:
    """Detections of footage by the network in a file, from their own file in the folder where it is there.

    The name of that file holds the digest of all that they depend on. Raises MediaError for images that
    cannot be read, and what `open_file` raises.
    """
    kept = folder / f"joints-{_digest(folder, file)}.npz"
    if kept.is_file():
        return _load(kept)
    footage = Footage.open(folder, rig.names)
    found = look(rig, footage, open_file(file), f"joints in {folder.name}", progress)
    partial = kept.with_name(f".{kept.name}.partial")
    with partial.open("wb") as out:
        np.savez_compressed(out, **asdict(found))
    os.replace(partial, kept)
    return found


class _Look(NamedTuple):
    """What is kept of heatmaps (J, n, n), which are large; height (J,): of the maxima."""

    joints: Skeleton2D
    height: Float32Array
    crop: Crop
    peaks: Peaks
    n: int


def _digest(folder: Path, file: Path) -> str:
    """Of the network, the code, and the pictures, which the scene's own hash stands for."""
    digest = hashlib.sha256(file.read_bytes())
    digest.update((folder / "scene.sha256").read_bytes())
    for module in (*SOURCES, None):
        digest.update(Path(__file__ if module is None else str(module.__file__)).read_bytes())
    return digest.hexdigest()[:16]


def _load(path: Path) -> Detections:
    try:
        with np.load(path) as file:
            return Detections(**{name: file[name] for name in file.files})
    except (OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise MediaError(
            f"{path}: it cannot be read as detections ({error}), delete it to have it made again"
        ) from error


def look(
    rig: Rig, footage: Footage, network: HeatmapNetwork, label: str, progress: bool = True
) -> Detections:
    """Detections of every image of footage whose views have the same number of images. Raises MediaError."""
    counts = {name: footage.frames(name) for name in rig.names}
    if len(set(counts.values())) != 1:
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise MediaError(f"{label}: the views have {found} images, expected the same number of each")
    T = counts[rig.names[0]]
    eyes = [_Eye(PersonCrop(camera), footage, network) for camera in rig]
    follower = SkeletonTracker(rig, network.joint_set)
    skeleton: Skeleton3D | None = None
    rows: list[list[_Look]] = []
    with bar(label, (T + CLOSING_IN) * len(rig), progress) as advance:
        for index in (*[0] * CLOSING_IN, *range(T)):
            stamp_ns = round(index * NS / footage.rate_hz)
            row = []
            for eye in eyes:
                row.append(eye.look(index, stamp_ns, skeleton))
                advance(1)
            rows.append(row)
            if len(rows) > CLOSING_IN:
                follower.update(row[index % len(rig)].joints)
                skeleton = follower.at(stamp_ns)
    return _stacked(rows[CLOSING_IN:])


class _Eye:
    """One view, with what it saw last."""

    def __init__(self, chooser: PersonCrop, footage: Footage, network: HeatmapNetwork) -> None:
        self._chooser, self._footage, self._network = chooser, footage, network
        self._last: Skeleton2D | None = None
        self._crop: Crop | None = None

    def look(self, index: int, stamp_ns: int, skeleton: Skeleton3D | None) -> _Look:
        name = self._chooser.camera.name
        frame = ImageFrame(name, stamp_ns, decode_jpeg(self._footage.jpeg(name, index)))
        self._crop, _ = self._chooser.next(stamp_ns, skeleton, self._last, previous=self._crop)
        seen = Heatmaps(name, stamp_ns, self._crop, self._network.infer(frame, self._crop))
        self._last = seen.joints
        maps = seen.tensor
        return _Look(seen.joints, maps.max((1, 2)), self._crop, measure_peaks(maps), maps.shape[-1])


def _stacked(rows: Sequence[Sequence[_Look]]) -> Detections:
    """Of T rows of M views."""

    def values(of: Callable[[_Look], npt.ArrayLike]) -> Array:
        return np.array([[of(row[m]) for row in rows] for m in range(len(rows[0]))], dtype=np.float64)

    return Detections(
        pixels=values(lambda seen: seen.joints.pixels),
        covariance=values(lambda seen: seen.joints.covariance),
        confidence=values(lambda seen: seen.joints.confidence),
        height=values(lambda seen: seen.height),
        side=values(lambda seen: seen.crop.side),
        corner=values(lambda seen: (seen.crop.left, seen.crop.top)),
        top=values(lambda seen: seen.peaks.height),
        width=values(lambda seen: seen.peaks.sigma / seen.n),
        second=values(lambda seen: (seen.peaks.second + 0.5) / seen.n),
        second_height=values(lambda seen: seen.peaks.second_height),
    )
