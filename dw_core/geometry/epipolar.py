"""Epipolar geometry of two calibrated cameras with lens distortion.

Two forms live side by side. The fundamental matrix relates undistorted coordinates
(Hartley & Zisserman, 2nd ed., section 9.2 and 9.6). The pencil of epipolar planes relates
directions of view, and so takes any lens: all planes hold the baseline, one plane is one
angle about it, and the pixels of both images with the same angle are each other's epipolar
half-lines. A half-plane holds only points IN FRONT of both cameras' baseline side, and
nothing special happens when an epipole lies inside an image or at infinity.
"""

from __future__ import annotations

import numpy as np

from dw_core.errors import CalibrationError
from dw_core.geometry.camera import Array, Camera, distort, undistort
from dw_core.geometry.crop import Crop, apply_affine

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
    """(N, nodes): linear interpolation from nodes at 0, 1, ... to `places` (N,) among them."""
    left = np.clip(places.astype(int), 0, nodes - 2)
    matrix = np.zeros((len(places), nodes))
    rows = np.arange(len(places))
    matrix[rows, left] = 1 - (places - left)
    matrix[rows, left + 1] = places - left
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
    W = interpolation_matrix(steps + 1, (np.arange(cells) + 0.5) * steps / cells)
    return np.stack([W @ outline[..., axis] @ W.T for axis in range(2)], -1)


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

    def angles(self, camera: Camera, rays: Array) -> tuple[Array, Array]:
        """Of normalised points (..., 2) of one of the two cameras: the angle (...) of their plane in
        [-pi, pi] and the angle (...) in [0, pi] from the baseline within the plane, radians."""
        A = self.frame @ camera.R.T
        x, y = rays[..., 0], rays[..., 1]
        u, v, e = (row[0] * x + row[1] * y + row[2] for row in A)
        return np.arctan2(v, u), np.arctan2(np.sqrt(u * u + v * v), e)

    def cells(self, camera: Camera, crop: Crop, cells: int, plane: Array, inside: Array) -> Array:
        """Inverse of `angles`: crop-cell coordinates (..., 2) of directions.

        NaN for directions that are not in front of the camera or that its lens folds over.
        """
        s = np.sin(inside)
        local = np.broadcast_arrays(s * np.cos(plane), s * np.sin(plane), np.cos(inside))
        d = np.stack(local, -1) @ (self.frame @ camera.R.T)
        ahead = np.where(d[..., 2:] > 1e-3, d[..., 2:], np.nan)
        distorted, J = distort(camera, d[..., :2] / ahead)
        folded = J[..., 0, 0] * J[..., 1, 1] - J[..., 0, 1] * J[..., 1, 0] <= 0
        distorted[folded] = np.nan
        pixels = distorted @ camera.K[:2, :2].T + camera.K[:2, 2]
        return apply_affine(crop.to_cells(cells), pixels)


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
