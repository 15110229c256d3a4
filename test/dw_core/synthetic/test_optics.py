"""Rays through the lens, and the bytes that light becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from dw_core.errors import CalibrationError, ConfigError
from dw_core.geometry.camera import Camera, project
from dw_core.synthetic.optics import (
    BANDS,
    MOMENTS,
    Optics,
    camera_rays,
    develop,
    exposures,
    image_size,
    noise_stream,
    pixel_rays,
    sample_pixels,
)

FISHEYE = np.array([-0.02, 0.01, -0.003, 0.0005])


def still() -> np.random.Generator:
    return noise_stream(0, 0, 0)


@pytest.mark.parametrize("model", ["none", "pinhole", "rational", "fisheye"])
def test_points_on_the_rays_project_back_to_their_pixels(
    make_camera: Callable[..., Camera], model: str
) -> None:
    lens = {
        "none": (),
        "pinhole": (-0.2, 0.1, 0.001, -0.0005, 0.02),
        "rational": (0.3, 0.1, 0, 0, 0.01, 0.4, 0.1, 0),
    }
    camera = make_camera("c", (3.0, 1.0, 1.5), distortion=lens.get(model, ()))
    if model == "fisheye":
        camera = replace(camera, distortion=FISHEYE, model="fisheye")
    pixels = np.concatenate(
        [sample_pixels(camera, Optics(), row, row + 1).reshape(-1, 2) for row in (0, 500, 999)]
    )
    points = camera.centre + pixel_rays(camera, pixels) * np.linspace(0.5, 9, len(pixels))[:, None]
    assert np.abs(project(camera, points) - pixels).max() < 1e-6


@pytest.mark.parametrize(("samples", "binning"), [(1, 1), (2, 1), (1, 3), (2, 2)])
def test_samples_of_a_pixel_lie_around_its_centre(cameras: list[Camera], samples: int, binning: int) -> None:
    optics = Optics(samples=samples, binning=binning)
    height, width = image_size(cameras[0], optics)
    pixels = sample_pixels(cameras[0], optics, 0, height)
    assert pixels.shape == (height, width, samples**2, 2)
    # pixel i of the image covers the sensor's pixels i binning ... (i + 1) binning - 1
    middle = pixels.mean(2)
    assert np.allclose(middle[5, 7], (7 * binning + (binning - 1) / 2, 5 * binning + (binning - 1) / 2))
    assert np.allclose(np.ptp(pixels[5, 7], axis=0), binning * (samples - 1) / samples)
    assert np.allclose(np.linalg.norm(camera_rays(cameras[0], optics), axis=-1), 1, atol=1e-6)


def test_a_lens_that_folds_over_has_no_rays(cameras: list[Camera]) -> None:
    folded = replace(cameras[0], distortion=np.array([-2.0, 0, 0, 0]))
    with pytest.raises(CalibrationError, match="has no ray for pixel"):
        camera_rays(folded, Optics())


def test_every_row_is_exposed_once_and_in_order() -> None:
    optics = Optics(exposure_s=0.01, rolling_shutter_s=0.03)
    rows, times = zip(*exposures(optics, 480), strict=True)
    assert len(rows) == BANDS and [r.start for r in rows[1:]] == [r.stop for r in rows[:-1]]
    assert (rows[0].start, rows[-1].stop) == (0, 480)
    middles = [float(np.mean(t)) for t in times]
    assert np.allclose(middles, [((r.start + r.stop) / 960 - 0.5) * 0.03 for r in rows])
    assert all(len(t) == MOMENTS and np.isclose(np.ptp(t), 0.01 * (1 - 1 / MOMENTS)) for t in times)
    assert list(exposures(Optics(), 480)) == [(slice(0, 480), (0.0,))]


def test_more_light_is_never_darker_and_a_stop_doubles_it() -> None:
    light = np.repeat(np.linspace(0, 3, 600, dtype=np.float32)[None, :, None], 3, -1)
    values = develop(light.copy(), Optics(), still())[0, :, 0].astype(int)
    assert values[0] <= 2 and values[-1] > 245 and (np.diff(values) >= 0).all()
    one_stop = develop(light.copy(), Optics(stops=1.0), still())
    assert np.array_equal(one_stop, develop(2 * light, Optics(), still()))
    middle = develop(np.full((1, 1, 3), 0.2140, np.float32), Optics(), still())
    assert np.abs(middle.astype(int) - 128).max() <= 1  # half of sRGB


def test_images_are_bgr() -> None:
    red = np.zeros((2, 2, 3), np.float32)
    red[..., 0] = 0.5
    blue, _, r = develop(red, Optics(), still())[0, 0]
    assert blue < 5 < 150 < r


def test_noise_has_the_variance_that_it_is_said_to_have() -> None:
    optics = Optics(shot_noise=0.04, read_noise=0.01)
    grey = np.full((200, 200, 3), 0.3, np.float32)
    # the slope of the curve between two neighbouring greys turns bytes back into light
    low, high = (develop(np.full((1, 1, 3), v, np.float32), Optics(), still())[0, 0, 0] for v in (0.25, 0.35))
    slope = (float(high) - float(low)) / 0.1
    noisy = develop(grey, optics, noise_stream(1, 2, 3)).astype(float)
    assert noisy.std() / slope == pytest.approx(np.sqrt(0.04**2 * 0.3 + 0.01**2), rel=0.05)


def test_noise_belongs_to_seed_view_and_frame() -> None:
    light, optics = np.full((16, 16, 3), 0.3, np.float32), Optics(read_noise=0.05)

    def image(*key: int) -> bytes:
        return develop(light.copy(), optics, noise_stream(*key)).tobytes()

    assert image(1, 2, 3) == image(1, 2, 3)
    assert len({image(1, 2, 3), image(2, 2, 3), image(1, 3, 3), image(1, 2, 4)}) == 4


def test_vignetting_takes_light_from_the_corners_only() -> None:
    light = np.full((41, 61, 3), 0.4, np.float32)
    dimmed = develop(light.copy(), Optics(vignetting=0.5), still())
    plain = develop(light.copy(), Optics(), still())
    assert np.array_equal(dimmed[20, 30], plain[20, 30])
    half = develop(0.52 * light, Optics(), still())
    assert (dimmed[0, 0] <= half[0, 0]).all() and np.array_equal(dimmed[0, 0], dimmed[-1, -1])


def test_jpeg_changes_little_and_less_with_quality() -> None:
    light = np.random.default_rng(0).uniform(0.2, 0.4, (32, 32, 3)).astype(np.float32)
    plain = develop(light.copy(), Optics(), still()).astype(int)
    error = [np.abs(develop(light.copy(), Optics(jpeg_quality=q), still()) - plain).mean() for q in (30, 95)]
    assert 0 < error[1] < error[0] < 20


@pytest.mark.parametrize(
    "wrong",
    [{"samples": 3}, {"binning": 0}, {"exposure_s": -1.0}, {"vignetting": 2.0}, {"jpeg_quality": 0},
     {"read_noise": float("nan")}, {"rolling_shutter_s": -0.1}],
)  # fmt: skip
def test_impossible_optics_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Optics(**wrong)  # type: ignore[arg-type]
