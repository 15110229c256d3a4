"""From a calibrated camera to rays, and from light to the bytes of an image.

Order of a real camera: light through the lens (vignetting), exposure, shot and read noise, the response
curve, 8 bits, JPEG. Every effect is off by default.
Shapes: H W pixels of the image, S samples per pixel, N rays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from dw_core.errors import CalibrationError, ConfigError
from dw_core.geometry.camera import Array, Camera, undistort
from dw_core.synthetic.surface import Float32Array
from dw_core.types import UInt8Array

MOMENTS = 4  # of an exposure with motion blur
BANDS = 16  # of rows, each read out at its own time, of a rolling shutter
ROWS_AT_ONCE = 64
KNEE = 0.7  # linear light from which the response bends towards white
CURVE_STEPS = 4096
CURVE_END = 4.0


@dataclass(frozen=True)
class Optics:
    """What a camera does to the light.

    samples: per side of a pixel (2: four rays per pixel). binning: sensor pixels per side of an image pixel.
    exposure_s: how long the shutter is open (motion blur). rolling_shutter_s: from the first row to the last.
    stops: exposure; one more doubles the light. vignetting: light lost in the corners, 0 to 1.
    shot_noise, read_noise: standard deviations at full white and in the dark, of the linear signal.
    jpeg_quality: 1 to 100; None leaves the pixels as they are. Raises ConfigError for what cannot be.
    """

    samples: int = 2
    binning: int = 1
    exposure_s: float = 0.0
    rolling_shutter_s: float = 0.0
    stops: float = 0.0
    vignetting: float = 0.0
    shot_noise: float = 0.0
    read_noise: float = 0.0
    jpeg_quality: int | None = None

    def __post_init__(self) -> None:
        if self.samples not in (1, 2):
            raise ConfigError(f"optics: samples is {self.samples}, expected 1 or 2 per side of a pixel")
        if self.binning < 1:
            raise ConfigError(f"optics: binning is {self.binning}, expected 1 or more")
        for name in ("exposure_s", "rolling_shutter_s", "shot_noise", "read_noise"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"optics: {name} is {getattr(self, name)}, expected zero or more")
        if not 0 <= self.vignetting <= 1:
            raise ConfigError(f"optics: vignetting is {self.vignetting}, expected 0 to 1")
        if self.jpeg_quality is not None and not 1 <= self.jpeg_quality <= 100:
            raise ConfigError(f"optics: jpeg_quality is {self.jpeg_quality}, expected 1 to 100")


def image_size(camera: Camera, optics: Optics) -> tuple[int, int]:
    """Rows and columns of the image: those of the sensor over the binning, rounded down."""
    return camera.height // optics.binning, camera.width // optics.binning


def sample_pixels(camera: Camera, optics: Optics, first_row: int, last_row: int) -> Array:
    """Sensor pixels (rows, W, S, 2) of the samples of some rows of the image; the last is not included.

    Samples stand in the middles of the parts that they stand for, in reading order within the pixel.
    """
    _, width = image_size(camera, optics)
    n, binning = optics.samples, optics.binning
    within = (np.arange(n) + 0.5) / n
    x = (np.arange(width)[:, None] + within) * binning - 0.5  # (W, n)
    y = (np.arange(first_row, last_row)[:, None] + within) * binning - 0.5  # (rows, n)
    grid = np.empty((last_row - first_row, width, n, n, 2))
    grid[..., 0] = x[None, :, None, :]
    grid[..., 1] = y[:, None, :, None]
    return grid.reshape(last_row - first_row, width, n * n, 2)


def pixel_rays(camera: Camera, pixels: Array) -> Array:
    """Unit directions (..., 3) in the world of the rays through sensor pixels (..., 2), from `camera.centre`.

    Raises CalibrationError where the lens model reaches no direction for a pixel.
    """
    plane = undistort(camera, pixels)
    if not np.isfinite(plane).all():
        pixel = pixels[~np.isfinite(plane).all(-1)][0]
        raise CalibrationError(
            f"camera {camera.name}: its lens model has no ray for pixel ({pixel[0]:g}, {pixel[1]:g}), "
            "expected one for every pixel of the image"
        )
    x, y = plane[..., 0], plane[..., 1]
    length = np.sqrt(x * x + y * y + 1)
    R = camera.R
    rays = np.stack([(x * R[0, k] + y * R[1, k] + R[2, k]) / length for k in range(3)], -1)
    return rays


def camera_rays(camera: Camera, optics: Optics) -> Float32Array:
    """Unit directions (H * W * S, 3) of every sample of the image, pixel by pixel."""
    height, width = image_size(camera, optics)
    rays = np.empty((height, width, optics.samples**2, 3), np.float32)
    for row in range(0, height, ROWS_AT_ONCE):
        last = min(row + ROWS_AT_ONCE, height)
        rays[row:last] = pixel_rays(camera, sample_pixels(camera, optics, row, last))
    return rays.reshape(-1, 3)


def exposures(optics: Optics, height: int) -> Iterator[tuple[slice, tuple[float, ...]]]:
    """Rows, and the moments at which they are lit, s from the middle of the exposure of the middle row."""
    still = optics.exposure_s == 0
    moments = 1 if still else MOMENTS
    bands = min(BANDS, height) if optics.rolling_shutter_s else 1
    edges = [height * k // bands // 4 * 4 for k in range(bands)] + [height]  # blocks of a penumbra stay whole
    for first, last in zip(edges, edges[1:], strict=False):
        middle = ((first + last) / 2 / height - 0.5) * optics.rolling_shutter_s
        times = (middle + ((k + 0.5) / moments - 0.5) * optics.exposure_s for k in range(moments))
        yield slice(first, last), tuple(times)


def develop(light: Float32Array, optics: Optics, rng: np.random.Generator) -> UInt8Array:
    """The image, BGR (H, W, 3) of 8 bits, of linear RGB light (H, W, 3) where 1 is white."""
    signal = light * np.float32(2.0**optics.stops)
    if optics.vignetting:
        signal *= _vignette(light.shape[0], light.shape[1], optics.vignetting)
    if optics.shot_noise or optics.read_noise:
        deviation = np.float32(optics.shot_noise**2) * signal
        deviation += np.float32(optics.read_noise**2)
        np.sqrt(deviation, out=deviation)
        deviation *= rng.standard_normal(signal.shape, np.float32)
        signal += deviation
    signal *= np.float32(CURVE_STEPS / CURVE_END)
    np.clip(signal, 0, CURVE_STEPS - 1, out=signal)
    image = np.asarray(cv2.cvtColor(_curve().take(signal.astype(np.int64)), cv2.COLOR_RGB2BGR), np.uint8)
    if optics.jpeg_quality is None:
        return image
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, optics.jpeg_quality])
    decoded: UInt8Array = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return decoded


def noise_stream(seed: int, view: int, frame: int) -> np.random.Generator:
    """The random numbers of one image: the same for the same seed, view and frame, and for no others."""
    return np.random.default_rng((seed, view, frame))


@lru_cache(maxsize=2)
def _vignette(height: int, width: int, loss: float) -> Float32Array:
    """The light (H, W, 3) that is left, falling with the square of the distance to the middle."""
    y = (np.arange(height) + 0.5) / height * 2 - 1
    x = (np.arange(width) + 0.5) / width * 2 - 1
    corner = (height * y)[:, None] ** 2 + (width * x)[None, :] ** 2
    left = (1 - loss * corner / (height**2 + width**2)).astype(np.float32)
    return np.repeat(left[..., None], 3, -1)


@lru_cache(maxsize=1)
def _curve() -> npt.NDArray[np.uint8]:
    """8-bit values (CURVE_STEPS,) of linear light from 0 to CURVE_END: a shoulder, then the sRGB curve.

    Source: IEC 61966-2-1 for sRGB; the shoulder keeps bright walls and lamps from being cut off at white.
    """
    light = (np.arange(CURVE_STEPS) + 0.5) * (CURVE_END / CURVE_STEPS)
    over = np.maximum(light - KNEE, 0) / (1 - KNEE)
    light = np.where(light > KNEE, KNEE + (1 - KNEE) * over / (1 + over), light)
    curve = np.where(light < 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * curve).astype(np.uint8)
