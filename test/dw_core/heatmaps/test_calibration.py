"""Predicted against observed errors, on maps of a simulated network.

The network responds with log-normal heights: high at the joint where it sees it, low at some other place
(the other wrist, somebody else) always, and low at a wrong place where the joint is hidden. The place of a
peak errs the more the wider and the lower the peak is, along with its shape.
"""

import numpy as np
import pytest

from dw_core.geometry.crop import full_frame_crop
from dw_core.heatmaps.decode import decode

N_CELLS, COUNT = 64, 6000
# The network's own: never those of decode.py, which are what is tested.
CONTRAST, LEVEL, SHAPE_FRACTION, FLOOR_CELLS = 4, 0.25, 0.4, 0.3
SPREAD = 0.5  # of the log of a response
HIGH = np.log(0.75)
LOW = HIGH - CONTRAST * SPREAD**2
# how often the joint is seen for a lone peak of height LEVEL to be right every other time
SEEN = 1 / (1 + np.exp(CONTRAST * (np.log(LEVEL) - (HIGH + LOW) / 2)))
RIGHT_CELLS = 0.05 * N_CELLS


def gaussians(places, widths, turns, heights):
    """Peaks (N, n, n) with standard deviations (N, 2) along axes that are turned by (N,) radians."""
    axis = np.arange(N_CELLS, dtype=np.float32)
    dx = axis[None, None, :] - places[:, 0, None, None]
    dy = axis[None, :, None] - places[:, 1, None, None]
    c, s = np.cos(turns)[:, None, None], np.sin(turns)[:, None, None]
    u, v = (c * dx + s * dy) / widths[:, :1, None], (c * dy - s * dx) / widths[:, 1:, None]
    return (heights[:, None, None] * np.exp(-0.5 * (u * u + v * v))).astype(np.float32)


@pytest.fixture(scope="module")
def simulated():
    """Errors (N, 2) in cells along the axes of the peaks, whether the peak decoded was the joint, what
    decode predicted along these axes (N, 2), its confidence (N,), the peaks' widths (N, 2), and whether
    there was no second peak."""
    rng = np.random.default_rng(7)
    truth = rng.uniform(20, 44, (COUNT, 2))
    widths, turns = rng.uniform(0.9, 2.2, (COUNT, 2)), rng.uniform(0, np.pi, COUNT)
    hidden = rng.random(COUNT) > SEEN
    height = np.minimum(np.exp(rng.normal(np.where(hidden, LOW, HIGH), SPREAD)), 1.0)
    angle = rng.uniform(0, 2 * np.pi, (2, COUNT))
    far = 14 * np.stack((np.cos(angle), np.sin(angle)), -1)
    axes = np.stack(
        (np.stack((np.cos(turns), np.sin(turns)), -1), np.stack((-np.sin(turns), np.cos(turns)), -1)), 1
    )
    std = np.sqrt((SHAPE_FRACTION * widths) ** 2 + FLOOR_CELLS**2) / np.sqrt(height)[:, None]
    error = np.einsum("nk,nkc->nc", std * rng.normal(size=(COUNT, 2)), axes)
    places = truth + np.where(hidden[:, None], far[0], error)
    second = np.minimum(np.exp(rng.normal(LOW, SPREAD, COUNT)), 1.0) * (rng.random(COUNT) < 0.5)
    maps = np.maximum(
        gaussians(places, widths, turns, height), gaussians(truth + far[1], widths, turns, second)
    )
    joints = decode(maps, full_frame_crop(N_CELLS, N_CELLS))
    off = np.einsum("nkc,nc->nk", axes, joints.pixels - truth)
    predicted = np.einsum("nkc,ncd,nkd->nk", axes, joints.covariance, axes)
    right = ~hidden & (height > second)
    return off, right, predicted, joints.confidence, widths, second == 0


def test_of_joints_with_confidence_p_a_part_p_is_right(simulated):
    off, right, _, confidence, _, _ = simulated
    near = np.linalg.norm(off, axis=1) < RIGHT_CELLS
    assert np.mean(near == right) > 0.97
    assert abs(near.mean() - confidence.mean()) < 0.03
    bins = np.quantile(confidence, [0, 0.05, 0.1, 0.2, 0.35, 0.6, 1])
    assert bins[1] < 0.5 and bins[-2] > 0.9  # from doubtful to sure
    for low, high in zip(bins, bins[1:], strict=False):
        part = (confidence >= low) & (confidence <= high)
        assert part.sum() > 200
        assert abs(near[part].mean() - confidence[part].mean()) < 0.1, (low, high)


def test_the_covariance_is_that_of_the_errors(simulated):
    """Along and across every peak, for narrow and wide, low and high ones."""
    off, right, predicted, confidence, widths, lone = simulated
    alone = right & lone
    ratio = off[alone] ** 2 / predicted[alone]
    assert np.abs(ratio.mean(0) - 1).max() < 0.12
    for axis in (0, 1):
        for values in (widths[alone, axis], confidence[alone]):
            low = values < np.median(values)
            for part in (low, ~low):
                assert 0.8 < ratio[part, axis].mean() < 1.2
