"""Real errors beside simulated ones, in the figures that matter to whoever is given them, ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dw_core.detector.estimate import FEWEST, LAGS, SEEN, Group, biases, correlations, groups, normalised
from dw_core.detector.sample import Sample
from dw_core.detector.simulate import BoolArray

PERCENTILES = (5, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 93, 95, 97, 98, 99)
HEIGHTS = np.linspace(0, 1, 11)
STEPS = (1, 2, 3, 4, 6, 8, 12, 16)


def figures(sample: Sample) -> dict[str, Any]:
    """Of a sample: by kind of joint the errors' percentiles in parts of the side, heights, swaps, gross
    errors and second peaks of visible and of occluded joints, and the errors' correlation in time; of all
    kinds together how the error goes with the height, and how long swaps and gross errors last."""
    kinds = groups(sample)
    lags = np.array([lag for lag in LAGS if lag < sample.places.shape[1] - 1])
    return {
        "views": len(sample.places),
        "frames": sample.places.shape[1],
        "step_s": sample.step_s,
        "kinds": {
            name: {seen: _errors(group, bool(k)) for k, seen in enumerate(SEEN)} | {"lag": _lags(group, lags)}
            for name, group in kinds.items()
        },
        "lags": lags.tolist(),
        "heights": {seen: _by_height(kinds, bool(k)) for k, seen in enumerate(SEEN)},
        "lasting": {
            "steps": list(STEPS),
            "swapped": _lasting([(group.swapped, group.able) for group in kinds.values()]),
            "gross": _lasting([(group.gross, group.seen) for group in kinds.values()]),
        },
    }


def _errors(group: Group, hidden: bool) -> dict[str, Any]:
    mine = group.seen & (group.hidden == hidden)
    able = group.able & (group.hidden == hidden)
    length = np.linalg.norm(group.error[mine], axis=-1)
    if len(length) < FEWEST:
        return {"count": len(length)}
    return {
        "count": len(length),
        "error": np.percentile(length, PERCENTILES).tolist(),
        "height": np.percentile(1 / (1 + np.exp(-group.log_odds[mine])), (5, 25, 50, 75, 95)).tolist(),
        "swaps": float(group.swapped[able].mean()) if able.any() else None,
        "gross": float(group.gross[mine].mean()),
        "second": float((group.ratio[mine] > 0.25).mean()),
    }


def _lags(group: Group, lags: npt.NDArray[np.intp]) -> list[float | None]:
    """Correlation of near errors, less their bias, with those so many times later."""
    values = correlations(normalised(group, *biases(group)), group.near, lags)
    return [float(value) if np.isfinite(value) else None for value in values]


def _by_height(kinds: Mapping[str, Group], hidden: bool) -> list[dict[str, Any]]:
    """Of the joints whose height lies in each tenth: how many, how many near, the median error."""
    picked = [(group, group.seen & (group.hidden == hidden)) for group in kinds.values()]
    height = np.concatenate([1 / (1 + np.exp(-group.log_odds[mine])) for group, mine in picked])
    near = np.concatenate([group.near[mine] for group, mine in picked])
    length = np.concatenate([np.linalg.norm(group.error[mine], axis=-1) for group, mine in picked])
    rows = []
    for low, high in zip(HEIGHTS[:-1], HEIGHTS[1:], strict=True):
        part = (height >= low) & (height < high)
        row: dict[str, Any] = {"height": float((low + high) / 2), "part": float(part.mean())}
        if part.sum() >= FEWEST:
            row |= {"near": float(near[part].mean()), "error": float(np.median(length[part]))}
        rows.append(row)
    return rows


def _lasting(states: list[tuple[BoolArray, BoolArray]]) -> list[float | None]:
    """How often a state is there again so many steps later; of states and where they are known (V, T, N)."""
    out: list[float | None] = []
    for step in STEPS:
        again: list[BoolArray] = [
            state[:, step:][state[:, :-step] & known[:, step:]]
            for state, known in states
            if state.shape[1] > step
        ]
        there = np.concatenate(again) if again else np.zeros(0, dtype=bool)
        out.append(float(there.mean()) if len(there) >= FEWEST else None)
    return out
