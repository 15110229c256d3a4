"""Shapes in space that show what the numbers mean: pyramids, rays, ellipsoids, where a person faces."""

from __future__ import annotations

import numpy as np

from dw_core.geometry.camera import Camera, undistort
from dw_core.skeleton import JointSet
from dw_core.types import FloatArray

# A person whose hips and shoulders point this little sideways faces nowhere (lying, or seen as a line).
MIN_SIDEWAYS_M = 0.05


def ray(camera: Camera, pixels: FloatArray, depth_m: float) -> FloatArray:
    """World points (..., 3), metres, that pixels (..., 2) of the full image show `depth_m` before the camera;
    NaN where the lens cannot reach."""
    normalised = undistort(camera, pixels)
    points = depth_m * np.concatenate((normalised, np.ones((*normalised.shape[:-1], 1))), -1)
    world: FloatArray = (points - camera.t) @ camera.R
    return world


def frustum(camera: Camera, depth_m: float) -> FloatArray:
    """The corners of a camera's image as world points (4, 3), metres, `depth_m` before it; around it, from
    the top left. NaN for a corner that the lens cannot reach."""
    right, bottom = camera.width - 0.5, camera.height - 0.5
    corners = np.array([(-0.5, -0.5), (right, -0.5), (right, bottom), (-0.5, bottom)])
    return ray(camera, corners, depth_m)


def ellipsoids(covariance: FloatArray, deviations: float) -> tuple[FloatArray, FloatArray]:
    """Ellipsoids of covariances (J, 3, 3) m^2, that many standard deviations large: half axes (J, 3) in
    metres, and rotations (J, 3, 3) from their axes to the world. NaN for one that is not finite."""
    known = np.asarray(np.isfinite(covariance).all((1, 2)))
    variances, axes = np.linalg.eigh(np.where(known[:, None, None], covariance, np.eye(3)))
    axes[:, :, 0] *= np.sign(np.linalg.det(axes))[:, None]
    half = deviations * np.sqrt(np.maximum(variances, 0))
    half[~known], axes[~known] = np.nan, np.nan
    return half, axes


def quaternions(rotations: FloatArray) -> FloatArray:
    """Rotations (N, 3, 3) as quaternions (N, 4): x, y, z, w. The eigenvectors of the largest eigenvalues of
    symmetric matrices; source: Bar-Itzhack, "New method for extracting the quaternion from a rotation
    matrix", JGCD 23, 2000. (scipy has it too, but would cost a node 27 MB and 0.2 s.)"""
    R = rotations
    traces = np.trace(R, axis1=1, axis2=2)
    K = np.zeros((len(R), 4, 4))
    K[:, :3, :3] = R + R.transpose(0, 2, 1) - traces[:, None, None] * np.eye(3)
    skew = np.stack((R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]), -1)
    K[:, :3, 3] = K[:, 3, :3] = skew
    K[:, 3, 3] = traces
    found: FloatArray = np.linalg.eigh(K)[1][:, :, -1]
    return found


def body_frame(positions: FloatArray, joints: JointSet) -> tuple[FloatArray, FloatArray] | None:
    """Where a person (J, 3) is and faces: the middle of the hips (3,) in metres, and the rotation (3, 3) from
    the person (x ahead, y to the left, z up) to the world. None when the hips are not known, or the person
    lies so that they face nowhere in the plane."""
    left, right = positions[joints.index("left_hip")], positions[joints.index("right_hip")]
    across = left - right
    shoulders = positions[joints.index("left_shoulder")] - positions[joints.index("right_shoulder")]
    if np.isfinite(shoulders).all():
        across = across + shoulders
    sideways = float(np.hypot(across[0], across[1]))
    if not sideways > MIN_SIDEWAYS_M:
        return None
    y = np.array([across[0], across[1], 0.0]) / sideways
    z = np.array([0.0, 0.0, 1.0])
    return (left + right) / 2, np.stack((np.cross(y, z), y, z), axis=-1)
