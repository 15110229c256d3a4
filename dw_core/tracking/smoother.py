"""What the past looked like in the light of what came after: a smoother over the filter's own states.

Fixed-point form of the Rauch-Tung-Striebel smoother. With x(k), P(k) the filtered state at observation k,
x-(k), P-(k) the same before it was taken in, and F(k) the motion from k - 1,
    W(k) = W(k-1) P(k-1) F(k)^T P-(k)^-1,  W(0) = 1
    smoothed mean       = x(0) + sum W(k) (x(k) - x-(k))
    smoothed covariance = P(0) - sum W(k) (P-(k) - P(k)) W(k)^T
so it needs nothing but the states that the tracker keeps anyway, and bones and robust weights are in
as the filter had them. Source: Meditch, "On optimal linear smoothing theory", Information and Control
10, 1967; Bar-Shalom, Li, Kirubarajan, section 8.6 (the Rauch-Tung-Striebel form).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from dw_core.geometry.camera import Array
from dw_core.tracking.filter import Body, BodyModel, move
from dw_core.types import NS


def smooth(model: BodyModel, bodies: Sequence[Body]) -> Body:
    """The first of the filtered states of one track, in order of time, with what the others add to it.

    Mean and covariance are smoothed; lengths, noise, seen_ns and doubt stay those of the first.
    """
    first = bodies[0]
    W = np.eye(first.mean.size)
    mean, covariance = first.mean.ravel().copy(), first.covariance.copy()
    for before, after in pairwise(bodies):
        predicted = move(model, before, after.stamp_ns)
        W = _carry(W, before, predicted)
        mean += W @ (after.mean - predicted.mean).ravel()
        covariance -= W @ (predicted.covariance - after.covariance) @ W.T
    covariance = 0.5 * (covariance + covariance.T)
    return replace(first, mean=mean.reshape(first.mean.shape), covariance=covariance)


def _carry(W: Array, before: Body, predicted: Body) -> Array:
    """W P F^T P-^-1: what a correction of the predicted state is worth for the first one."""
    seconds = (predicted.stamp_ns - before.stamp_ns) / NS
    if seconds == 0:
        return W
    D = before.mean[0].size
    moved = before.covariance.copy()  # F P
    moved[:D] += seconds * moved[D:]
    carried: Array = np.linalg.solve(predicted.covariance, moved @ W.T).T
    return carried
