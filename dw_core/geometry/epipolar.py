"""Epipolar geometry of two calibrated cameras with lens distortion.

Two forms live side by side. The fundamental matrix relates undistorted coordinates
(Hartley & Zisserman, 2nd ed., section 9.2 and 9.6). The pencil of epipolar planes relates
directions of view, and so takes any lens: all planes hold the baseline, one plane is one
angle about it, and the pixels of both images with the same angle are each other's epipolar
half-lines. A half-plane holds only points IN FRONT of both cameras' baseline side, and
nothing special happens when an epipole lies inside an image or at infinity.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from dw_core.errors import CalibrationError
from dw_core.geometry.camera import Array, Camera, lens_at, undistort
from dw_core.geometry.crop import Crop

# Two cameras closer than this see no parallax on a person.
MIN_BASELINE_M = 0.01
# A crop is undistorted exactly at this many steps across and linearly between: under 0.04 cells of
# error for ordinary lenses (see the tests), 10 times cheaper than every cell.
RAY_GRID_STEPS = 16


def _skew(v: Array) -> Array:
    return np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])


def essential_matrix(source: Camera, target: Camera) -> Array:
    """E (3, 3) with x_target^T E x_source = 0 for normalised undistorted points.

    Source: Hartley & Zisserman, section 9.6. Scaled to Frobenius norm sqrt(2).
    Raises CalibrationError when the cameras stand at the same place.
    """
    R = target.R @ source.R.T
    t = target.t - R @ source.t
    length = float(np.linalg.norm(t))
    if length < MIN_BASELINE_M:
        raise CalibrationError(
            f"cameras {source.name} and {target.name} stand {length:.3f} m apart, "
            f"expected at least {MIN_BASELINE_M} m for epipolar geometry"
        )
    E: Array = _skew(t / length) @ R
    return E


def fundamental_matrix(source: Camera, target: Camera) -> Array:
    """F (3, 3) with x_target^T F x_source = 0 for UNDISTORTED pixels (K applied, lens removed).

    Source: Hartley & Zisserman, section 9.6. Raises CalibrationError as essential_matrix does.
    """
    F: Array = np.linalg.inv(target.K).T @ essential_matrix(source, target) @ np.linalg.inv(source.K)
    return F


def interpolation_matrix(nodes: int, places: Array) -> Array:
    """(N, nodes): linear interpolation from nodes at 0, 1, ... to `places` (N,) between first and last."""
    matrix: Array = np.maximum(1 - np.abs(places[:, None] - np.arange(nodes)), 0.0)
    return matrix


def outline_rays(camera: Camera, crop: Crop) -> Array:
    """Normalised undistorted image points (n, n, 2), n = 1 + 16, evenly over a crop, edge to edge.

    NaN where the lens cannot reach.
    """
    place = np.linspace(0, crop.side, RAY_GRID_STEPS + 1)
    x, y = np.meshgrid(crop.left + place, crop.top + place)
    return undistort(camera, np.stack((x, y), -1))


def cell_rays(outline: Array, cells: int) -> Array:
    """Normalised undistorted image points (cells, cells, 2) of the centres of a crop's cells, from
    its `outline_rays`; NaN next to cells that the lens cannot reach."""
    steps = outline.shape[0] - 1
    W = _cell_centres(steps, cells)
    rays: Array = np.moveaxis(W @ np.moveaxis(outline, -1, 0) @ W.T, 0, -1)
    return rays


@lru_cache(maxsize=8)
def _cell_centres(steps: int, cells: int) -> Array:
    """(cells, steps + 1): from nodes over the whole of a crop to the centres of its cells."""
    return interpolation_matrix(steps + 1, (np.arange(cells) + 0.5) * steps / cells)


class PlanePencil:
    """The epipolar planes of two cameras.

    `frame` (3, 3): rows are an orthonormal basis (u, v, e) of the world, e the direction of the
    baseline from `first` to `second`. The angle of a direction d is atan2(d.v, d.u).
    Raises CalibrationError when the cameras stand at the same place.
    """

    def __init__(self, first: Camera, second: Camera) -> None:
        essential_matrix(first, second)  # refuses a missing baseline
        e = second.centre - first.centre
        e /= np.linalg.norm(e)
        # u towards what both cameras look at, so that the cut of the angle at pi lies behind them
        ahead = first.R[2] + second.R[2]
        u = ahead - e * (ahead @ e)
        if np.linalg.norm(u) < 1e-3:
            u = np.cross(e, np.eye(3)[np.argmin(np.abs(e))])
        u /= np.linalg.norm(u)
        self.frame = np.stack((u, np.cross(e, u), e))

    def planes(self, camera: Camera, rays: Array) -> Array:
        """Of normalised points (..., 2) of one of the two cameras: the angle (...) of their plane in
        [-pi, pi], radians."""
        u, v = self._along(camera, rays, 2)
        plane: Array = np.arctan2(v, u)
        return plane

    def angles(self, camera: Camera, rays: Array) -> tuple[Array, Array]:
        """`planes`, and the angles (...) in [0, pi] from the baseline within the planes, radians."""
        u, v, e = self._along(camera, rays, 3)
        return np.arctan2(v, u), np.arctan2(np.sqrt(u * u + v * v), e)

    def _along(self, camera: Camera, rays: Array, axes: int) -> list[Array]:
        """Components (...) of the rays along the first axes of the frame."""
        x, y = rays[..., 0], rays[..., 1]
        return [a * x + b * y + c for a, b, c in (self.frame[:axes] @ camera.R.T).tolist()]

    def cells(self, camera: Camera, crop: Crop, cells: int, plane: Array, inside: Array) -> Array:
        """Inverse of `angles`: crop-cell coordinates (..., 2) of directions.

        NaN for directions that are not in front of the camera or that its lens folds over.
        """
        cos_plane, sin_plane, cos_inside, sin_inside = (
            np.cos(plane), np.sin(plane), np.cos(inside), np.sin(inside)
        )  # fmt: skip
        x, y, z = (
            sin_inside * (u * cos_plane + v * sin_plane) + e * cos_inside
            for u, v, e in (camera.R @ self.frame.T).tolist()
        )
        z = np.where(z > 1e-3, z, np.nan)
        lens = lens_at(camera, x / z, y / z)
        to_cells = crop.to_cells(cells) @ camera.K
        unfolded = np.where(lens.determinant > 0, 1.0, np.nan)
        place = [(a * lens.x + b * lens.y + c) * unfolded for a, b, c in to_cells.tolist()]
        return np.moveaxis(np.stack(place), 0, -1)


def epipolar_curve(
    source: Camera, target: Camera, target_pixel: Array, source_crop: Crop, cells: int, samples: int
) -> Array:
    """The epipolar half-line of one target pixel (2,) in the source's crop, as the lens bends it.

    Returns crop-cell coordinates (samples, 2), from the epipole outwards; NaN where nothing can be seen.
    """
    pencil = PlanePencil(source, target)
    plane, _ = pencil.angles(target, undistort(target, np.asarray(target_pixel, dtype=np.float64)))
    inside = np.linspace(0, np.pi, samples)
    return pencil.cells(source, source_crop, cells, np.full(samples, plane), inside)
