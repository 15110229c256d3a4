from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dw_core.benchmarks.keypoints import Noise, scene
from dw_core.benchmarks.plain_filter import START_STD, discretise, integrated_noise, singer, track_plain
from dw_core.geometry.camera import project_jacobian
from dw_core.geometry.triangulation import dlt
from dw_core.tracking.filter import OUTLIER_D2, STUDENT_DOF

DYNAMICS = {
    "random walk": integrated_noise(1, 0.3),
    "constant velocity": integrated_noise(2, 1.0),
    "constant acceleration": integrated_noise(3, 4.0),
    "Singer": singer(0.1, 20.0),
}


@given(st.floats(0.001, 0.2), st.floats(0.1, 50))
def test_white_noise_models_are_those_of_the_book(dt, q):
    F, Q = discretise(integrated_noise(3, q), dt)
    np.testing.assert_allclose(F, [[1, dt, dt**2 / 2], [0, 1, dt], [0, 0, 1]], rtol=1e-9, atol=1e-12)
    expected = [
        [dt**5 / 20, dt**4 / 8, dt**3 / 6],
        [dt**4 / 8, dt**3 / 3, dt**2 / 2],
        [dt**3 / 6, dt**2 / 2, dt],
    ]
    np.testing.assert_allclose(Q, q**2 * np.array(expected), rtol=1e-6)
    F, Q = discretise(integrated_noise(2, q), dt)
    np.testing.assert_allclose(Q, q**2 * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]]), rtol=1e-6)
    F, Q = discretise(integrated_noise(1, q), dt)
    np.testing.assert_allclose((F, Q), ([[1.0]], [[q**2 * dt]]), rtol=1e-9)


def test_singer_fades_and_is_stationary():
    tau, q, dt = 0.2, 30.0, 0.05
    F, Q = discretise(singer(tau, q), dt)
    fade = np.exp(-dt / tau)
    np.testing.assert_allclose(F[2], (0, 0, fade), atol=1e-12)
    np.testing.assert_allclose(F[1], (0, 1, tau * (1 - fade)), rtol=1e-9)
    # the acceleration keeps its stationary variance q^2 tau / 2
    stationary = q**2 * tau / 2
    assert fade**2 * stationary + Q[2, 2] == pytest.approx(stationary)


def test_one_step_twice_is_two_steps():
    for dynamics in DYNAMICS.values():
        F, Q = discretise(dynamics, 0.02)
        F2, Q2 = discretise(dynamics, 0.04)
        np.testing.assert_allclose(F @ F, F2, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(F @ Q @ F.T + Q, Q2, rtol=1e-6)


def reference(scene, lag, dynamics):
    """One joint and one tick at a time, and the smoother anew for every tick."""
    n = len(dynamics.A)
    F, Q = (np.kron(m, np.eye(3)) for m in discretise(dynamics, scene.tick_ns / 1e9))
    T, J = scene.truth.shape[:2]
    causal, window = np.full((T, J, 3), np.nan), np.full((T, J, 3), np.nan)
    start = dlt(scene.rig, np.stack([scene.pixels[m, m] for m in range(4)], 1))
    for j in range(J):
        x = np.concatenate((start[j], np.zeros(3 * (n - 1))))
        P = np.diag(np.repeat(START_STD[:n], 3) ** 2)
        steps = {3: (x, P, x, P)}
        for t in range(4, T):
            xp, Pp = F @ x, F @ P @ F.T + Q
            expected, H = project_jacobian(scene.rig[t % 4], xp[:3])
            H = np.hstack((H, np.zeros((2, 3 * (n - 1)))))
            r, R = scene.pixels[t, t % 4, j] - expected, scene.covariance[t, t % 4, j]
            S = H @ Pp @ H.T + R
            d2 = r @ np.linalg.inv(S) @ r
            weighted = R * max((STUDENT_DOF + d2) / (STUDENT_DOF + 2), 1) + S * max(d2 / OUTLIER_D2 - 1, 0)
            K = Pp @ H.T @ np.linalg.inv(H @ Pp @ H.T + weighted)
            x, P = xp + K @ r, (np.eye(3 * n) - K @ H) @ Pp
            steps[t] = (xp, Pp, x, P)
        for t in range(3, T):
            causal[t, j] = steps[t][2][:3]
            if t + lag < T:
                smoothed = steps[t + lag][2]
                for k in range(t + lag - 1, t - 1, -1):
                    C = steps[k][3] @ F.T @ np.linalg.inv(steps[k + 1][1])
                    smoothed = steps[k][2] + C @ (smoothed - steps[k + 1][0])
                window[t, j] = smoothed[:3]
    return causal, window


@pytest.mark.parametrize("name", DYNAMICS)
def test_all_joints_at_once_are_as_one_at_a_time(rig, make_walker, name):
    seen = scene(make_walker(1.0), rig, 20, 0.6, Noise(outliers=0.1))
    few = replace(
        seen,
        truth=seen.truth[:, :3],
        pixels=seen.pixels[:, :, :3],
        covariance=seen.covariance[:, :, :3],
    )
    for found, expected in zip(
        track_plain(few, 5, DYNAMICS[name]), reference(few, 5, DYNAMICS[name]), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_without_a_lag_the_window_is_causal(rig, make_walker):
    seen = scene(make_walker(1.0), rig, 20, 0.6, Noise())
    causal, window = track_plain(seen, 0, DYNAMICS["constant velocity"])
    np.testing.assert_array_equal(causal, window)


def test_what_moves_evenly_is_followed_exactly(rig, make_walker):
    exact = scene(make_walker(3.0, swing=0.0), rig, 20, 3.0, Noise(px=1e-9, outliers=0.0))
    seen = replace(exact, covariance=np.broadcast_to(np.eye(2), exact.covariance.shape))
    for name in ("constant velocity", "constant acceleration", "Singer"):
        causal, window = track_plain(seen, 10, DYNAMICS[name])
        np.testing.assert_allclose(causal[50:], seen.truth[50:], atol=1e-3)
        np.testing.assert_allclose(window[50:-10], seen.truth[50:-10], atol=1e-3)
