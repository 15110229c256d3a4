"""The constants of a network's errors from a sample of them, by robust statistics.

What is estimated from near, swapped and gross errors apart is a little biased by that very choice; `fit.py`
removes the bias. What too few observations would make is NaN. V views, T times, N joints of one kind, L lags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls
from scipy.special import ndtri

from dw_core.detector.model import KINDS, kind
from dw_core.detector.sample import Sample
from dw_core.detector.simulate import NEAR, BoolArray, axes
from dw_core.geometry.camera import Array
from dw_core.skeleton import partners

MAD = 1.4826  # of a Gaussian: standard deviation over median absolute deviation
# Fewer observations than this make no constant.
FEWEST = 30
LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 36, 48)
FAST_S = (0.05, 0.07, 0.1, 0.14, 0.2, 0.28)
SLOW_S = (0.7, 1.0, 1.5, 2.0, 3.0, 5.0)
# No scene shows a joint beyond the image: assumed.
OUTSIDE_HEIGHT = -2.0
# Parts of the first peak's height beyond which second peaks are counted, and asked where they are.
SECOND_COUNTED, SECOND_ASKED = (0.05, 0.25), 0.1
# Of a Gaussian's absolute value the quantiles at 0.95 over 0.5: more when the tails are heavier.
GAUSSIAN_RATIO = 1.95996 / 0.67449
TAIL_GROWTH = 1.5
RAYLEIGH_LOG_VARIANCE = np.pi**2 / 24
LONGEST_S, LONGEST_REACH = 2.0, 1.0
DURATION_STEPS = 3
SEEN = ("visible", "occluded")
CLIP = 3.0  # standard deviations, for correlations

# What does not move in a fit.
GIVEN = ("fast_s", "slow_s", "swap_reach", "outside_height")

Shares = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Group:
    """The joints of one kind: all (V, T, N), lengths in parts of the side.

    error, way (V, T, N, 2): along the joint's axis and across it, to the peak and to the partner; log_odds of
    the height; near, swapped or gross, of joints inside the image; able: where a swap can be told; both: the
    partner has swapped too; ratio: of the second peak's height to the first's; at_partner: it is there.
    """

    error: Array
    way: Array
    hidden: BoolArray
    log_odds: Array
    near: BoolArray
    swapped: BoolArray
    gross: BoolArray
    able: BoolArray
    both: BoolArray
    width: Array
    ratio: Array
    at_partner: BoolArray
    step_s: float

    @property
    def seen(self) -> BoolArray:
        """Where there is a peak of a joint inside the image: (V, T, N)."""
        return self.near | self.swapped | self.gross


def groups(sample: Sample) -> dict[str, Group]:
    """Groups of a sample, by kind. A swap can be told where both sides are more than NEAR apart, and is one
    when the peak is near the partner's place and nearer to it than to its own."""
    axis, pair = axes(sample.joints, sample.places), partners(sample.joints)
    axis = axis / np.maximum(np.linalg.norm(axis, axis=-1, keepdims=True), 1e-9)
    error, way = sample.error, sample.places[:, :, pair] - sample.places
    own, other = np.linalg.norm(error, axis=-1), np.linalg.norm(error - way, axis=-1)
    seen = sample.inside & np.isfinite(own)
    able = seen & (np.linalg.norm(way, axis=-1) > NEAR)
    swapped = able & (other < own) & (other <= NEAR)
    height = np.clip(sample.found.height, 1e-3, 1 - 1e-3)
    second = np.linalg.norm(sample.found.second - sample.places[:, :, pair], axis=-1) <= NEAR
    fields = {
        "error": _turned(error, axis), "way": _turned(way, axis), "hidden": sample.occluded,
        "log_odds": np.log(height / (1 - height)), "near": seen & (own <= NEAR) & ~swapped,
        "swapped": swapped, "gross": seen & (own > NEAR) & ~swapped, "able": able,
        "both": swapped & swapped[:, :, pair], "width": sample.found.sigma,
        "ratio": sample.found.second_height / height, "at_partner": second,
    }  # fmt: skip
    kinds = np.array([kind(joint) for joint in sample.joints.joints])
    return {
        name: Group(
            **{key: field[:, :, kinds == name] for key, field in fields.items()}, step_s=sample.step_s
        )
        for name in KINDS
    }


def _turned(vectors: Array, axis: Array) -> Array:
    """Vectors (..., 2) along and across axes (..., 2) of length 1."""
    across = vectors[..., 1] * axis[..., 0] - vectors[..., 0] * axis[..., 1]
    return np.stack(((vectors * axis).sum(-1), across), -1)


def estimate(sample: Sample, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The constants of DetectorModel, as `asdict` would give them, as they stand in a sample. The constants
    of GIVEN are taken from the `given` ones, where there are such."""
    kinds = groups(sample)
    fits = {name: biases(group) for name, group in kinds.items()}
    normal = {name: normalised(group, *fits[name]) for name, group in kinds.items()}
    lags = np.array([lag for lag in LAGS if lag < sample.places.shape[1] - 1])
    errors = {name: correlations(normal[name], kinds[name].near, lags) for name in KINDS}
    odds = [correlations(normal_odds(group)[..., None], group.seen, lags) for group in kinds.values()]
    if given is None:
        fast_s, slow_s = _times(sample.step_s * lags, [*errors.values(), *odds])
        reaches: dict[str, dict[str, float | None]] = {name: dict.fromkeys(SEEN) for name in KINDS}
    else:
        fast_s, slow_s = given["fast_s"], given["slow_s"]
        reaches = {name: {seen: given["kinds"][name][seen]["swap_reach"] for seen in SEEN} for name in KINDS}
    parts = _decays(sample.step_s * lags, fast_s, slow_s)
    return {
        "fast_s": fast_s,
        "slow_s": slow_s,
        "height_shares": _shares(parts, np.nanmean(odds, axis=0)),
        "outside_height": OUTSIDE_HEIGHT,
        "kinds": {
            name: _kind(group)
            | {"shares": _shares(parts, errors[name])}
            | {
                seen: _seen(group, bool(k), fits[name], normal[name], reaches[name][seen])
                for k, seen in enumerate(SEEN)
            }
            for name, group in kinds.items()
        },
    }


def _kind(group: Group) -> dict[str, float]:
    odds, width = normal_odds(group, scaled=False), np.log(group.width)
    near, swapped, gross = group.near & np.isfinite(odds), group.swapped, group.gross
    slope = np.nan
    if near.sum() >= FEWEST:
        about = odds[near] - odds[near].mean()
        slope = float((about * width[near]).sum() / max((about**2).sum(), 1e-9))
    rest = width[near] - slope * odds[near]
    told = near & group.able & (group.ratio > SECOND_ASKED)
    rate = _mean(swapped[group.able])
    return {
        "swap_s": _duration(swapped, group.able, group),
        "gross_s": _duration(gross, group.seen, group),
        "together": max((_mean(group.both[swapped]) - rate) / (1 - rate), 0.0),
        "gross_distance": _median(np.linalg.norm(group.error[gross], axis=-1) - NEAR) / float(np.log(2)),
        "swap_height": _median(odds[swapped]),
        "gross_height": _median(odds[gross]),
        "height_spread": MAD * _median(np.abs(odds[near])),
        "second_at_partner": _mean(group.at_partner[told]),
        "width": float(np.exp(_median(rest))),
        "width_spread": MAD * _median(np.abs(rest - _median(rest))),
        "width_by_height": slope,
    }


def _seen(
    group: Group, hidden: bool, fit: tuple[Array, Array], normal: Array, reach: float | None
) -> dict[str, float]:
    """Of the joints that are hidden, or not."""
    bias, spread = (values[int(hidden)] for values in fit)
    mine = group.hidden == hidden
    near, able, seen = mine & group.near, mine & group.able, mine & group.seen
    beyond = [_mean(group.ratio[near] > level) for level in SECOND_COUNTED]
    low, high = -ndtri(np.clip(beyond, 2e-4, 1 - 2e-4))
    steep = np.clip(np.log(SECOND_COUNTED[1] / SECOND_COUNTED[0]) / max(high - low, 1e-3), 0.2, 3.0)
    beyond = np.linalg.norm(group.way[able], axis=-1) - NEAR
    reach = reach or _reach(group.swapped[able], beyond)
    share = np.exp(-beyond / reach).mean() if np.isfinite(reach) else 1.0
    tail, height_tail = _tails(near, normal, normal_odds(group))
    return {
        "along": float(bias[0]),
        "apart": float(bias[1]),
        "spread_along": float(spread[0]),
        "spread_across": float(spread[1]),
        "tail": tail,
        "height_tail": height_tail,
        "swap": min(_mean(group.swapped[able]) / share, 1.0),
        "swap_reach": reach,
        "gross": _mean(group.gross[seen]),
        "height": _median(group.log_odds[near]),
        "second": float(np.log(SECOND_COUNTED[0]) - low * steep),
        "second_spread": float(steep),
    }


def _mean(values: npt.NDArray[Any]) -> float:
    return float(values.mean()) if len(values) >= FEWEST else np.nan


def _median(values: Array) -> float:
    return float(np.median(values)) if len(values) >= FEWEST else np.nan


def _reach(swapped: BoolArray, beyond: Array) -> float:
    """The distance over which swaps (N,) become fewer by a factor of e, from the nearer and the farther half
    of the partners, which are `beyond` NEAR (N,)."""
    if swapped.sum() < FEWEST:
        return np.nan
    close = beyond < np.median(beyond)
    rates = [max(float(swapped[half].mean()), 1e-4) for half in (close, ~close)]
    apart = float(beyond[~close].mean() - beyond[close].mean())
    return min(apart / max(float(np.log(rates[0] / rates[1])), 1e-3), LONGEST_REACH)


def biases(group: Group) -> tuple[Array, Array]:
    """Biases (2, 2), along the axis and towards the partner, and spreads (2, 2), along and across, of visible
    and of hidden joints: least absolute deviations by reweighted least squares."""
    biases, spreads = np.full((2, 2, 2), np.nan)
    for row, hidden in enumerate((False, True)):
        mine = group.near & (group.hidden == hidden)
        if mine.sum() < FEWEST:
            continue
        error, way = group.error[mine], group.way[mine]
        design = np.stack(
            (np.stack((np.ones(len(way)), way[:, 0]), -1), np.stack((0 * way[:, 1], way[:, 1]), -1)), 1
        )
        A, b = design.reshape(-1, 2), error.reshape(-1)
        weight = np.ones(len(b))
        for _ in range(12):
            scaled = np.sqrt(weight)
            solution = np.linalg.lstsq(A * scaled[:, None], b * scaled, rcond=None)[0]
            weight = 1 / np.maximum(np.abs(b - A @ solution), 1e-4)
        rest = error - design @ solution
        biases[row], spreads[row] = solution, MAD * np.median(np.abs(rest - np.median(rest, 0)), 0)
    return biases, spreads


def normalised(group: Group, biases: Array, spreads: Array) -> Array:
    """Errors (V, T, N, 2) less their bias, over their spread; both (2, 2) as of visible and hidden joints."""
    bias, spread = biases[group.hidden.astype(int)], spreads[group.hidden.astype(int)]
    expected = bias[..., 1:] * group.way
    expected[..., 0] += bias[..., 0]
    rest: Array = (group.error - expected) / np.maximum(spread, 1e-9)
    return rest


def normal_odds(group: Group, scaled: bool = True) -> Array:
    """Log-odds of heights (V, T, N) less the median of near joints of the same visibility, over their
    spread."""
    odds = group.log_odds.copy()
    for hidden in (False, True):
        mine = group.near & (group.hidden == hidden)
        odds[group.hidden == hidden] -= _median(group.log_odds[mine if mine.sum() >= FEWEST else group.near])
    spread = MAD * _median(np.abs(odds[group.near])) if scaled else 1.0
    out: Array = odds / max(spread, 1e-9)
    return out


def correlations(values: Array, known: BoolArray, lags: npt.NDArray[np.intp]) -> Array:
    """Correlations (L,) of values (V, T, N, D), of standard deviation 1 about 0, with those so many times
    later, where both are known; NaN where those are too few."""
    known = known & np.isfinite(values).all(-1)
    values = np.clip(np.where(known[..., None], values, 0.0), -CLIP, CLIP)
    out = np.full(len(lags), np.nan)
    for k, lag in enumerate(lags):
        pairs = known[:, :-lag] & known[:, lag:]
        if pairs.sum() >= FEWEST:
            a, b = values[:, :-lag][pairs], values[:, lag:][pairs]
            out[k] = (a * b).sum() / max(np.sqrt((a * a).sum() * (b * b).sum()), 1e-12)
    return out


def _decays(lags_s: Array, fast_s: float, slow_s: float) -> Array:
    return np.stack((np.exp(-lags_s / fast_s), np.exp(-lags_s / slow_s)), -1)


def _solve(parts: Array, curve: Array) -> tuple[Array, float]:
    known = np.isfinite(curve)
    if not known.any():
        return np.zeros(2), 0.0
    solution, rest = nnls(parts[known], curve[known])
    return solution, float(rest)


def _times(lags_s: Array, curves: list[Array]) -> tuple[float, float]:
    """The two times in seconds whose decays make the curves (L,) best."""

    def misfit(pair: tuple[float, float]) -> float:
        parts = _decays(lags_s, *pair)
        return sum(_solve(parts, curve)[1] ** 2 for curve in curves)

    return min(((fast, slow) for fast in FAST_S for slow in SLOW_S), key=misfit)


def _shares(parts: Array, curve: Array) -> Shares:
    fast, slow = _solve(parts, curve)[0]
    total = max(fast + slow, 1.0)
    fast, slow = float(fast / total), float(slow / total)
    return max(1 - fast - slow, 0.0), fast, slow


def _tails(near: BoolArray, normal: Array, odds: Array) -> tuple[float, float]:
    """Standard deviation of the log of the errors' scale, from the tails of near joints, and its correlation
    with low heights."""
    if near.sum() < FEWEST:
        return np.nan, np.nan
    body, far = np.quantile(np.abs(normal[near]), (0.5, 0.95))
    if body == 0:
        return 0.0, 0.0
    # of a Gaussian times the exponential of another of deviation s, 0 < s < 0.8: within a tenth
    tail = float(np.sqrt(max(np.log(far / body / GAUSSIAN_RATIO), 0.0) / TAIL_GROWTH))
    length, low = np.log(np.linalg.norm(normal[near], axis=-1) + 1e-3), odds[near]
    if tail < 0.05 or low.std() == 0:
        return tail, 0.0
    correlation = float(np.corrcoef(length, low)[0, 1])
    return tail, float(np.clip(-correlation * np.sqrt(RAYLEIGH_LOG_VARIANCE + tail**2) / tail, 0.0, 0.95))


def _duration(state: BoolArray, known: BoolArray, group: Group) -> float:
    """Mean duration in seconds of a state, from how often it is there again DURATION_STEPS later."""
    before, after = slice(None, -DURATION_STEPS), slice(DURATION_STEPS, None)
    pairs = state[:, before] & known[:, after]
    if pairs.sum() < FEWEST:
        return np.nan
    part = 0.0
    for hidden in (False, True):
        mine = known & (group.hidden == hidden)
        if mine.any():
            part += float(
                state[mine].mean() * (pairs & (group.hidden[:, after] == hidden)).sum() / pairs.sum()
            )
    again = float(state[:, after][pairs].mean())
    kept = np.clip((again - part) / max(1 - part, 1e-3), 0.01, 0.98)
    return float(min(-DURATION_STEPS * group.step_s / np.log(kept) / max(1 - part, 1e-3), LONGEST_S))
