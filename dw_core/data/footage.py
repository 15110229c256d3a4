"""Recorded footage of several views, one image at a time and in any order.

A view is a folder of images, or a video that is unpacked once into such a folder: H.264 cannot
step backwards cheaply, and the demo plays its clip forwards and backwards. Images stay encoded
on disk, so memory never holds more than the frame in use.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dw_core.data import assets
from dw_core.errors import ConfigError, MediaError
from dw_core.progress import bar
from dw_core.types import NS, UInt8Array

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".webm")
# A video is unpacked into about 0.15 byte per pixel at this quality; more frames than this want cutting.
JPEG_QUALITY = 92
MAX_UNPACKED_FRAMES = 20_000
MAX_UNPACKED_BYTES = 8_000_000_000
BYTES_PER_PIXEL = 0.15
RATE_FILE = "rate_hz.txt"
JPEG_MAGIC = b"\xff\xd8"

_DECODE = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


@dataclass(frozen=True)
class Footage:
    """Images of several views, taken at the same `rate_hz`; per view its files in order of time."""

    rate_hz: float
    files: Mapping[str, tuple[Path, ...]]

    @classmethod
    def open(
        cls, source: Path, views: Sequence[str], rate_hz: float | None = None, cache: Path | None = None
    ) -> Footage:
        """Footage in a folder that holds per view either a folder of images or a video of that name.

        `rate_hz` overrides what the videos (or a file rate_hz.txt beside the images of a view) say.
        Videos are unpacked into `cache` first, the cache of `dw fetch` by default. Raises MediaError
        naming the file and what was expected.
        """
        if not source.is_dir():
            raise MediaError(f"{source}: there is no such folder, expected one that holds {_wanted(views)}")
        files: dict[str, tuple[Path, ...]] = {}
        rates: dict[str, float] = {}
        for view in views:
            folder, video = source / view, _video_of(source, view)
            if not folder.is_dir():
                if video is None:
                    raise MediaError(
                        f"{source}: there is nothing for view {view}, expected {_wanted((view,))}"
                    )
                folder = unpack(video, cache or assets.cache_folder() / "footage")
            files[view] = _images(folder)
            if (folder / RATE_FILE).is_file():
                rates[view] = _read_rate(folder)
        if rate_hz is None and len(set(rates.values())) != 1:
            found = ", ".join(f"{view} {rate:g} Hz" for view, rate in rates.items()) or "no view"
            raise MediaError(
                f"{source}: the frame rate is said by {found}, expected one rate: give it, "
                f"or write it into {RATE_FILE} beside the images"
            )
        return cls(rate_hz or next(iter(rates.values())), files)

    @property
    def views(self) -> tuple[str, ...]:
        return tuple(self.files)

    def frames(self, view: str) -> int:
        """Number of images of a view. Raises MediaError for a view that is not there."""
        return len(self._files(view))

    def index_at(self, view: str, elapsed_ns: int) -> int:
        """Which image of a view shows a time after the start of the endless stream (see `ping_pong`)."""
        return ping_pong(round(elapsed_ns * self.rate_hz / NS), self.frames(view))

    def jpeg(self, view: str, index: int) -> bytes:
        """One image as JPEG at full resolution. Raises MediaError for a file that is gone or no image."""
        files = self._files(view)
        if not 0 <= index < len(files):
            raise MediaError(f"view {view} has frames 0 to {len(files) - 1}, frame {index} was asked for")
        path = files[index]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise MediaError(f"{path}: it cannot be read ({error.strerror}), expected an image") from error
        if data[:2] == JPEG_MAGIC:
            return data
        return _encode(_decode(data, cv2.IMREAD_COLOR, str(path)), path)

    def _files(self, view: str) -> tuple[Path, ...]:
        if view not in self.files:
            raise MediaError(f"the footage has no view '{view}'; it has {', '.join(self.files)}")
        return self.files[view]


def ping_pong(index: int, count: int) -> int:
    """Frame of an endless stream that plays `count` frames forwards and backwards in turn.

    0, 1, ..., n-1, n-2, ..., 1, 0, 1, ...: the ends are not repeated, so motion never halts.
    Raises ConfigError for an empty clip.
    """
    if count < 1:
        raise ConfigError(f"a clip has {count} frames, expected at least one")
    if count == 1:
        return 0
    phase = index % (2 * count - 2)
    return phase if phase < count else 2 * count - 2 - phase


def decode_jpeg(data: bytes, binning: int = 1) -> UInt8Array:
    """Encoded image to (rows, cols, 3) BGR, each pixel covering binning x binning pixels of the original.

    A JPEG is decoded at the smaller size, which is cheaper than decoding and resizing. Raises
    MediaError for data that is no image, ConfigError for a binning that is not 1, 2, 4 or 8.
    """
    require_binning(binning)
    return _decode(data, _DECODE[binning], f"an image of {len(data)} bytes")


def require_binning(binning: int) -> None:
    """Raises ConfigError for a binning that JPEG decoders do not have."""
    if binning not in _DECODE:
        raise ConfigError(f"binning is {binning}, expected one of {', '.join(map(str, _DECODE))}")


def _decode(data: bytes, flags: int, what: str) -> UInt8Array:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    if pixels is None:
        raise MediaError(f"{what}: it cannot be decoded, expected a JPEG or PNG image")
    return np.asarray(pixels, dtype=np.uint8)


def _encode(pixels: UInt8Array, path: Path) -> bytes:
    ok, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise MediaError(f"{path}: it cannot be encoded as JPEG, expected at most 65535 pixels a side")
    return data.tobytes()


def unpack(video: Path, cache: Path, progress: bool = True) -> Path:
    """Folder of JPEG frames of a video inside `cache`, made now unless it is there already.

    Its name holds the video's name, size and time of change, so an edited video is unpacked anew.
    An interrupted run leaves no half-filled folder. Raises MediaError for a video that cannot be
    read, or that is longer than MAX_UNPACKED_FRAMES or MAX_UNPACKED_BYTES.
    """
    if not video.is_file():
        raise MediaError(f"{video}: there is no such file, expected a video")
    facts = video.stat()
    key = hashlib.sha256(f"{video.resolve()} {facts.st_size} {facts.st_mtime_ns}".encode()).hexdigest()[:12]
    target = cache / f"{video.stem}-{key}"
    if not target.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=cache))
        try:
            write_frames(video, partial, progress)
            os.replace(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return target


def write_frames(video: Path, folder: Path, progress: bool = True) -> int:
    """Every frame of a video as folder/000000.jpg, ...; the rate in rate_hz.txt. Returns their number.
    Raises MediaError for a file that is no video."""
    capture = cv2.VideoCapture(str(video))
    try:
        rate = capture.get(cv2.CAP_PROP_FPS)
        if not capture.isOpened() or not rate > 0:
            raise MediaError(f"{video}: it cannot be read as a video, expected one that OpenCV can decode")
        expected = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        pixels = capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        limit = min(MAX_UNPACKED_FRAMES, int(MAX_UNPACKED_BYTES / max(pixels * BYTES_PER_PIXEL, 1)))
        folder.mkdir(parents=True, exist_ok=True)
        count = 0
        with bar(f"frames of {video.name}", expected if expected > 0 else None, progress) as advance:
            while expected <= limit and count <= limit:
                ok, image = capture.read()
                if not ok:
                    break
                path = folder / f"{count:06d}.jpg"
                if not cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
                    raise MediaError(f"{path}: the frame cannot be written, expected room on the disk")
                count += 1
                advance(1)
    finally:
        capture.release()
    if max(expected, count) > limit:
        raise MediaError(
            f"{video}: it has {max(expected, count)} frames, expected at most {limit} of this size "
            f"({MAX_UNPACKED_BYTES // 10**9} GB on disk): cut it into shorter clips"
        )
    if count == 0:
        raise MediaError(f"{video}: no frame of it can be decoded, expected a video that OpenCV can decode")
    (folder / RATE_FILE).write_text(f"{rate!r}\n")
    return count


def _images(folder: Path) -> tuple[Path, ...]:
    files = tuple(sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES))
    if not files:
        raise MediaError(f"{folder}: it holds no image, expected files like 000000.jpg")
    return files


def _video_of(source: Path, view: str) -> Path | None:
    return next((p for s in VIDEO_SUFFIXES if (p := source / f"{view}{s}").is_file()), None)


def _read_rate(folder: Path) -> float:
    path = folder / RATE_FILE
    try:
        rate = float(path.read_text())
    except (OSError, ValueError) as error:
        raise MediaError(f"{path}: it holds no frame rate, expected one number in Hz ({error})") from error
    if not 0 < rate < 10_000:
        raise MediaError(f"{path}: the frame rate is {rate:g} Hz, expected a positive number under 10000")
    return rate


def _wanted(views: Sequence[str]) -> str:
    return ", ".join(f"a folder {view}/ of images or a video {view}.mp4" for view in views)
