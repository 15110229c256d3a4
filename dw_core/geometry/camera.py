"""Calibrated cameras: intrinsics, OpenCV lens distortion, pose, and rigs of them.

World frame: metres, z up. Camera frame: x right, y down, z forward (REP 103 optical).
World to camera is `x_cam = R x + t`. Pixels: (0, 0) is the CENTRE of the top left pixel,
as in OpenCV. Source: Hartley & Zisserman, 2nd ed., chapter 6 (pinhole camera), and
OpenCV's camera model for the distortion polynomials.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from dw_core.errors import CalibrationError

Array = npt.NDArray[np.float64]
DistortionModel = Literal["pinhole", "fisheye"]

# R R^T may differ from the identity by this much: calibration files carry 6-16 digits.
ORTHONORMAL_TOLERANCE = 1e-4
MIN_VIEWS, MAX_VIEWS = 2, 16
UNDISTORT_ITERATIONS = 20
NEWTON_IS_DONE = 1e-8
_DISTORTION_LENGTHS = {"pinhole": (0, 4, 5, 8), "fisheye": (4,)}


@dataclass(frozen=True, eq=False)
class Camera:
    """One calibrated camera.

    K (3, 3) in pixels; `distortion` k1 k2 p1 p2 [k3 [k4 k5 k6]] for "pinhole",
    k1 k2 k3 k4 for "fisheye"; R (3, 3) and t (3,) in metres, world to camera.
    Raises CalibrationError when the numbers cannot be a camera.
    """

    name: str
    width: int
    height: int
    K: Array
    distortion: Array
    R: Array
    t: Array
    model: DistortionModel = "pinhole"

    def __post_init__(self) -> None:
        shapes = {"K": (3, 3), "R": (3, 3), "t": (3,)}
        for field in ("K", "distortion", "R", "t"):
            value = np.array(getattr(self, field), dtype=np.float64)
            if field in shapes and value.shape != shapes[field]:
                raise CalibrationError(
                    f"camera {self.name}: {field} has shape {value.shape}, expected {shapes[field]}"
                )
            if not np.isfinite(value).all():
                raise CalibrationError(f"camera {self.name}: {field} holds a value that is not finite")
            value.setflags(write=False)
            object.__setattr__(self, field, value)
        self._check()

    def _check(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise CalibrationError(
                f"camera {self.name}: image size is {self.width}x{self.height}, expected positive numbers"
            )
        if self.K[0, 0] <= 0 or self.K[1, 1] <= 0:
            raise CalibrationError(
                f"camera {self.name}: focal length is ({self.K[0, 0]:g}, {self.K[1, 1]:g}), "
                "expected two positive numbers of pixels"
            )
        if self.model not in _DISTORTION_LENGTHS:
            raise CalibrationError(
                f"camera {self.name}: distortion model is '{self.model}', expected 'pinhole' or 'fisheye'"
            )
        lengths = _DISTORTION_LENGTHS[self.model]
        if self.distortion.ndim != 1 or len(self.distortion) not in lengths:
            raise CalibrationError(
                f"camera {self.name}: distortion has {self.distortion.size} coefficients, "
                f"expected one of {lengths} for model '{self.model}'"
            )
        error = np.abs(self.R @ self.R.T - np.eye(3)).max()
        if error > ORTHONORMAL_TOLERANCE or np.linalg.det(self.R) < 0:
            raise CalibrationError(
                f"camera {self.name}: R is not a rotation (largest error of R R^T is {error:.2g}, "
                f"determinant {np.linalg.det(self.R):.3g}), expected an orthonormal matrix with determinant 1"
            )

    @property
    def centre(self) -> Array:
        """Camera centre (3,) in the world, metres: C = -R^T t."""
        centre: Array = -self.R.T @ self.t
        return centre


@dataclass(frozen=True, eq=False)
class Rig:
    """M cameras with different names, in the order in which they fire."""

    cameras: tuple[Camera, ...]

    def __post_init__(self) -> None:
        names = self.names
        if not MIN_VIEWS <= len(names) <= MAX_VIEWS:
            raise CalibrationError(f"the rig has {len(names)} camera(s), expected {MIN_VIEWS} to {MAX_VIEWS}")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise CalibrationError(f"the rig names camera {twice[0]} twice, expected different names")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(camera.name for camera in self.cameras)

    def index(self, name: str) -> int:
        """Index of a camera. Raises CalibrationError for a name that the rig does not have."""
        if name not in self.names:
            raise CalibrationError(f"the rig has no camera '{name}'; it has {', '.join(self.names)}")
        return self.names.index(name)

    def without(self, name: str) -> Rig:
        """The rig less one camera (for leave-one-view-out). Raises CalibrationError for an unknown name."""
        self.index(name)
        return Rig(tuple(camera for camera in self.cameras if camera.name != name))

    def __len__(self) -> int:
        return len(self.cameras)

    def __iter__(self) -> Iterator[Camera]:
        return iter(self.cameras)

    def __getitem__(self, index: int) -> Camera:
        return self.cameras[index]


def shifted(camera: Camera, dx: float, dy: float, width: int, height: int) -> Camera:
    """The camera of an image that was cropped or padded: the principal point moves by (dx, dy) px."""
    K = camera.K.copy()
    K[:2, 2] += (dx, dy)
    return replace(camera, K=K, width=width, height=height)


def distort(camera: Camera, points: Array) -> tuple[Array, Array]:
    """Apply the lens to normalised image points.

    points (..., 2), x = X/Z, y = Y/Z. Returns the distorted points (..., 2) and the
    Jacobian (..., 2, 2) of the distorted by the undistorted coordinates.
    Source: OpenCV, "Camera Calibration and 3D Reconstruction" and "Fisheye camera model".
    """
    lens = lens_at(camera, points[..., 0], points[..., 1])
    out, jacobian = np.empty(points.shape), np.empty((*points.shape, 2))
    out[..., 0], out[..., 1] = lens.x, lens.y
    jacobian[..., 0, 0], jacobian[..., 1, 1] = lens.xx, lens.yy
    jacobian[..., 0, 1] = jacobian[..., 1, 0] = lens.xy
    return out, jacobian


class LensValues(NamedTuple):
    """Distorted coordinates x, y (...) and their derivatives: xx of x by x, yy of y by y, and xy of
    either by the other (both lens models have a symmetric Jacobian)."""

    x: Array
    y: Array
    xx: Array
    xy: Array
    yy: Array

    @property
    def determinant(self) -> Array:
        """Of the Jacobian: zero and below where the lens model folds the image over."""
        determinant: Array = self.xx * self.yy - self.xy * self.xy
        return determinant


def lens_at(camera: Camera, x: Array, y: Array) -> LensValues:
    """`distort` by coordinates, x (...) and y (...): without copies, for where time matters."""
    r2 = x * x + y * y
    if camera.model == "fisheye":
        return _fisheye_at(camera.distortion, x, y, r2)
    k1, k2, p1, p2, k3, k4, k5, k6 = (*camera.distortion.tolist(), *([0.0] * 8))[:8]
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    slope = k1 + r2 * (2 * k2 + 3 * r2 * k3)  # d(radial)/d(r2)
    if k4 or k5 or k6:  # the rational model, by the quotient rule
        denominator = 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
        radial = radial / denominator
        slope = (slope - radial * (k4 + r2 * (2 * k5 + 3 * r2 * k6))) / denominator
    # tangential: x gains 2 x (p1 y + p2 x) + p2 r2 and y gains 2 y (p1 y + p2 x) + p1 r2
    tilt = 2 * (p1 * y + p2 * x)
    slope = 2 * slope
    scale = radial + tilt
    return LensValues(
        x * scale + p2 * r2,
        y * scale + p1 * r2,
        scale + x * (x * slope + 4 * p2),
        x * y * slope + 2 * (p1 * x + p2 * y),
        scale + y * (y * slope + 4 * p1),
    )


def _fisheye_at(k: Array, x: Array, y: Array, r2: Array) -> LensValues:
    """theta_d = theta (1 + k1 theta^2 + ... + k4 theta^8), scale = theta_d / r (Kannala & Brandt)."""
    r = np.sqrt(np.maximum(r2, 1e-18))
    theta = np.arctan(r)
    t2 = theta * theta
    theta_d = theta * (1 + t2 * (k[0] + t2 * (k[1] + t2 * (k[2] + t2 * k[3]))))
    d_theta_d = 1 + t2 * (3 * k[0] + t2 * (5 * k[1] + t2 * (7 * k[2] + t2 * 9 * k[3])))
    scale = theta_d / r
    # d(scale)/dr / r; tends to a finite limit at the centre, where it multiplies x*x = 0 anyway
    slope = (d_theta_d / (1 + r * r) - scale) / (r * r)
    slope = np.where(r2 < 1e-12, 0.0, slope)
    return LensValues(x * scale, y * scale, scale + slope * x * x, slope * x * y, scale + slope * y * y)


def undistort(camera: Camera, pixels: Array) -> Array:
    """Pixels (..., 2) to normalised undistorted image points (..., 2), by Newton's method.

    Points that the lens model cannot reach (the polynomial folds over) become NaN.
    """
    pixels = np.asarray(pixels, dtype=np.float64)
    skew = camera.K[0, 1]
    y = (pixels[..., 1] - camera.K[1, 2]) / camera.K[1, 1]
    x = (pixels[..., 0] - camera.K[0, 2] - skew * y) / camera.K[0, 0]
    if not camera.distortion.any() and camera.model == "pinhole":
        return np.stack((x, y), -1)
    x, y, reached = _newton(camera, x, y)
    return np.stack((np.where(reached, x, np.nan), np.where(reached, y, np.nan)), -1)


def _newton(camera: Camera, target_x: Array, target_y: Array) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
    """Undistorted x, y (...) of distorted ones, and which were reached."""
    x, y = target_x, target_y
    # far outside of the image the polynomials overflow; such points are not reached
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(UNDISTORT_ITERATIONS):
            lens = lens_at(camera, x, y)
            rx, ry = lens.x - target_x, lens.y - target_y
            det = lens.determinant
            det = np.where(np.abs(det) < 1e-9, np.nan, det)
            x, y = x - (lens.yy * rx - lens.xy * ry) / det, y - (lens.xx * ry - lens.xy * rx) / det
            # Newton squares the error: the step just taken has brought what is below this to rounding
            error = np.abs(rx) + np.abs(ry)
            reached = error < NEWTON_IS_DONE
            if np.all(reached | ~np.isfinite(error)):
                break
    return x, y, np.asarray(reached)


def to_camera(camera: Camera, points: Array) -> Array:
    """World points (..., 3) in metres to the camera frame (..., 3)."""
    moved: Array = np.asarray(points, dtype=np.float64) @ camera.R.T + camera.t
    return moved


def project(camera: Camera, points: Array) -> Array:
    """World points (..., 3) in metres to pixels (..., 2); NaN for points not in front of the camera."""
    p = to_camera(camera, points)
    depth = np.where(p[..., 2:] > 1e-9, p[..., 2:], np.nan)
    distorted, _ = distort(camera, p[..., :2] / depth)
    pixels: Array = distorted @ camera.K[:2, :2].T + camera.K[:2, 2]
    return pixels


def project_jacobian(camera: Camera, points: Array) -> tuple[Array, Array]:
    """Pixels (..., 2) of world points (..., 3) and their derivative (..., 2, 3) in px per metre.

    NaN for points not in front of the camera.
    """
    p = to_camera(camera, points)
    z = np.where(p[..., 2] > 1e-9, p[..., 2], np.nan)
    normalised = p[..., :2] / z[..., None]
    distorted, J_lens = distort(camera, normalised)
    zero, inverse = np.zeros_like(z), 1 / z
    J_pinhole = np.stack(
        (
            np.stack((inverse, zero, -normalised[..., 0] * inverse), -1),
            np.stack((zero, inverse, -normalised[..., 1] * inverse), -1),
        ),
        -2,
    )
    focal = camera.K[:2, :2]
    return distorted @ focal.T + camera.K[:2, 2], focal @ J_lens @ J_pinhole @ camera.R
