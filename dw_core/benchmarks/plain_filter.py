"""A plain filter that takes any motion model: every joint by itself, a ray at a time, with nothing of bodies.

For comparing motion models with each other: no bones, no neighbours, no learned noise, no views that are
refused. What the tracker has of robustness to single outliers is here too. J joints, n derivatives: the
state of a joint is its position and n - 1 derivatives, (n, 3), and its axes have the same noise.
Sources: Bar-Shalom, Li, Kirubarajan, Estimation with Applications to Tracking and Navigation, sections 6.2
(white noise models), 8.2 (Singer's model), 8.6 (Rauch-Tung-Striebel smoother); Van Loan, "Computing
integrals involving the matrix exponential", IEEE Transactions on Automatic Control 23, 1978.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import expm

from dw_core.benchmarks.keypoints import Scene
from dw_core.geometry.camera import Array, project_jacobian
from dw_core.geometry.triangulation import dlt
from dw_core.tracking.filter import OUTLIER_D2, STUDENT_DOF
from dw_core.types import NS

# Standard deviations of a joint when it is first triangulated from views of different times: m, m/s, m/s^2.
START_STD = (0.1, 1.0, 10.0)


@dataclass(frozen=True, eq=False)
class Dynamics:
    """dx/dt = A x + white noise in the last component: A (n, n); `density`: square root of the noise's
    spectral density, in m/s^n per square root of Hz."""

    A: Array
    density: float


def integrated_noise(order: int, density: float) -> Dynamics:
    """White noise that is integrated `order` times: 1 for a random walk of the position, 2 for constant
    velocity (white acceleration), 3 for constant acceleration (white jerk)."""
    return Dynamics(np.diag(np.ones(order - 1), 1), density)


def singer(time_constant_s: float, density: float) -> Dynamics:
    """Accelerations that fade with a time constant, white jerk beside (Singer 1970)."""
    A = np.diag(np.ones(2), 1)
    A[2, 2] = -1 / time_constant_s
    return Dynamics(A, density)


def discretise(dynamics: Dynamics, seconds: float) -> tuple[Array, Array]:
    """Transition F (n, n) and noise covariance Q (n, n) over an interval, by Van Loan's method."""
    n = len(dynamics.A)
    block = np.zeros((2 * n, 2 * n))
    block[:n, :n], block[n:, n:] = -dynamics.A, dynamics.A.T
    block[n - 1, 2 * n - 1] = dynamics.density**2
    exponential = expm(block * seconds)
    F: Array = exponential[n:, n:].T
    Q: Array = F @ exponential[:n, n:]
    return F, (Q + Q.T) / 2


class States(NamedTuple):
    """means (K, J, 3n), covariances (K, J, 3n, 3n) of K exposures in a row, before and after they were
    taken in; F (3n, 3n) between them. A state holds the position first, then each derivative."""

    predicted: Array
    predicted_covariance: Array
    mean: Array
    covariance: Array
    F: Array


def track_plain(scene: Scene, lag_ticks: int, dynamics: Dynamics) -> tuple[Array, Array]:
    """Poses (T, J, 3) at every exposure: at once, and `lag_ticks` exposures later. NaN before every view has
    fired, and in the second where the clip ends before."""
    first = len(scene.rig) - 1
    states = _filter(scene, dynamics, first)
    causal, window = np.full(scene.truth.shape, np.nan), np.full(scene.truth.shape, np.nan)
    causal[first:] = states.mean[..., :3]
    smoothed = _smooth(states, lag_ticks)
    window[first : first + len(smoothed)] = smoothed[..., :3]
    return causal, window


def _filter(scene: Scene, dynamics: Dynamics, first: int) -> States:
    """From a triangulation of the views' first exposures at tick `first`, on to the last."""
    M, n = len(scene.rig), len(dynamics.A)
    J = scene.truth.shape[1]
    F, Q = discretise(dynamics, scene.tick_ns / NS)
    eye = np.eye(3)
    F, Q = np.asarray(np.kron(F, eye)), np.asarray(np.kron(Q, eye))
    mean = np.zeros((J, 3 * n))
    mean[:, :3] = dlt(scene.rig, scene.pixels[np.arange(M), np.arange(M)].swapaxes(0, 1))
    covariance = np.tile(np.diag(np.repeat(np.square(START_STD[:n]), 3)), (J, 1, 1))
    steps = [(mean, covariance, mean, covariance)]
    for tick in range(first + 1, len(scene)):
        predicted, spread = mean @ F.T, F @ covariance @ F.T + Q
        mean, covariance = _take_in(scene, tick, predicted, spread)
        steps.append((predicted, spread, mean, covariance))
    before, spread_before, after, spread_after = (np.stack(values) for values in zip(*steps, strict=True))
    return States(before, spread_before, after, spread_after, F)


def _take_in(scene: Scene, tick: int, mean: Array, covariance: Array) -> tuple[Array, Array]:
    """Kalman update (J, 3n), (J, 3n, 3n) by one view's pixels, outliers weighted down as in the tracker."""
    view = tick % len(scene.rig)
    expected, H = project_jacobian(scene.rig[view], mean[:, :3])
    residual = scene.pixels[tick, view] - expected
    PH = covariance[:, :, :3] @ H.swapaxes(1, 2)
    R = scene.covariance[tick, view]
    S = H @ PH[:, :3] + R
    d2 = np.einsum("ji,jik,jk->j", residual, np.linalg.inv(S), residual)
    heavy = np.maximum((STUDENT_DOF + d2) / (STUDENT_DOF + 2), 1.0)
    gross = np.maximum(d2 / OUTLIER_D2 - 1, 0.0)
    S = S + R * (heavy - 1)[:, None, None] + S * gross[:, None, None]
    gain = np.linalg.solve(S, PH.swapaxes(1, 2)).swapaxes(1, 2)
    covariance = covariance - gain @ PH.swapaxes(1, 2)
    return mean + (gain @ residual[..., None])[..., 0], (covariance + covariance.swapaxes(1, 2)) / 2


def _smooth(states: States, lag_ticks: int) -> Array:
    """Means (K - lag, J, 3n) in the light of the `lag_ticks` exposures after each: Rauch-Tung-Striebel, from
    all of them at once."""
    count = len(states.mean) - lag_ticks
    # P F^T P-^-1 of every step: how much of a later correction reaches back over it
    back = np.linalg.solve(states.predicted_covariance[1:], states.F @ states.covariance[:-1]).swapaxes(2, 3)
    smoothed = states.mean[lag_ticks:]
    for step in reversed(range(lag_ticks)):
        now, after = slice(step, step + count), slice(step + 1, step + 1 + count)
        change = (smoothed - states.predicted[after])[..., None]
        smoothed = states.mean[now] + (back[now] @ change)[..., 0]
    return smoothed
