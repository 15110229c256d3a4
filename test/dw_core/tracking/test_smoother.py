"""The smoother against the joint Gaussian of all states at once, solved without any recursion."""

from dataclasses import replace

import numpy as np
import pytest

from dw_core.skeleton import COCO17
from dw_core.tracking.filter import Body, body_model, move
from dw_core.tracking.motion import predict
from dw_core.tracking.smoother import smooth
from dw_core.types import NS

J = len(COCO17)
N = 6 * J
STAMPS_NS = (0, 20_000_000, 55_000_000, 55_000_000, 80_000_000)  # uneven, two at once
SEEN_PER_STEP = 30


@pytest.fixture(scope="module")
def model(rig):
    return body_model(rig, COCO17)


@pytest.fixture(scope="module")
def steps(model):
    """Filtered states, and what each took in: H (30, N), noise variance, z (30,)."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(N, N)) / np.sqrt(N)
    prior = Body(
        stamp_ns=0,
        mean=rng.normal(size=(2, J, 3)),
        covariance=0.01 * root @ root.T + 1e-3 * np.eye(N),
        lengths=np.zeros(0),
        length_counts=np.zeros(0),
        noise=np.ones(4),
        seen_ns=np.zeros(4, dtype=np.int64),
        doubt=np.zeros(J),
    )
    bodies, seen = [prior], []
    for stamp in STAMPS_NS[1:]:
        H, z = rng.normal(size=(SEEN_PER_STEP, N)), rng.normal(size=SEEN_PER_STEP)
        body = move(model, bodies[-1], stamp)
        K = np.linalg.solve(H @ body.covariance @ H.T + 0.04 * np.eye(SEEN_PER_STEP), H @ body.covariance).T
        mean = body.mean.ravel() + K @ (z - H @ body.mean.ravel())
        covariance = body.covariance - K @ H @ body.covariance
        bodies.append(replace(body, mean=mean.reshape(2, J, 3), covariance=0.5 * (covariance + covariance.T)))
        seen.append((H, z))
    return bodies, seen


def joint_posterior(model, prior, seen):
    """Mean and covariance of the first state, from the joint prior of all states given all observations."""
    T = len(STAMPS_NS)
    means, covariance = [prior.mean.ravel()], np.zeros((T * N, T * N))
    covariance[:N, :N] = prior.covariance
    for k in range(1, T):
        before, here = slice((k - 1) * N, k * N), slice(k * N, (k + 1) * N)
        seconds = (STAMPS_NS[k] - STAMPS_NS[k - 1]) / NS
        F = np.kron([[1, seconds], [0, 1]], np.eye(3 * J))
        means.append(F @ means[-1])
        covariance[here, : k * N] = F @ covariance[before, : k * N]
        covariance[: k * N, here] = covariance[here, : k * N].T
        covariance[here, here] = predict(prior.mean, covariance[before, before], model.acceleration, seconds)[
            1
        ]
    H = np.zeros((len(seen) * SEEN_PER_STEP, T * N))
    for k, (one, _) in enumerate(seen):
        H[k * SEEN_PER_STEP : (k + 1) * SEEN_PER_STEP, (k + 1) * N : (k + 2) * N] = one
    z = np.concatenate([one for _, one in seen])
    PH = covariance @ H.T
    gain = np.linalg.solve(H @ PH + 0.04 * np.eye(len(z)), PH[:N].T).T
    return means[0] + gain @ (z - H @ np.concatenate(means)), covariance[:N, :N] - gain @ PH[:N].T


def test_the_smoothed_state_is_the_posterior_given_everything(model, steps):
    bodies, seen = steps
    mean, covariance = joint_posterior(model, bodies[0], seen)
    found = smooth(model, bodies)
    np.testing.assert_allclose(found.mean.ravel(), mean, atol=1e-8)
    np.testing.assert_allclose(found.covariance, covariance, atol=1e-10)
    assert np.abs(mean - bodies[0].mean.ravel()).max() > 0.01


def test_what_came_later_only_adds_knowledge(model, steps):
    bodies, _ = steps
    for count in range(1, len(bodies)):
        less, more = smooth(model, bodies[:count]).covariance, smooth(model, bodies[: count + 1]).covariance
        assert np.linalg.eigvalsh(less - more).min() > -1e-12
        assert np.trace(more) < np.trace(less)


def test_the_newest_state_is_the_filters_own_and_prediction_adds_nothing(model, steps):
    newest = steps[0][-1]
    ahead = move(model, newest, newest.stamp_ns + 40_000_000)
    for bodies in ([newest], [newest, ahead]):
        found = smooth(model, bodies)
        np.testing.assert_array_equal(found.mean, newest.mean)
        np.testing.assert_allclose(found.covariance, newest.covariance, rtol=0, atol=1e-15)
