"""The real errors of a 2D network against true pixels: how far, which way, for how long; and what it claims.

From these figures a noise model of a benchmark without images is fitted, and the claims of
`dw_core/heatmaps/decode.py` are checked. Shapes: N observations, M views, T frames, J joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dw_core.benchmarks.detections import Detections
from dw_core.geometry.camera import Array
from dw_core.skeleton import COCO17, partners
from dw_core.synthetic.truth import Truth

# An error of more than this part of the crop's side is gross: the joint was not found.
NEAR = 0.05
KINDS = ("visible", "self_occluded", "hidden")
RULES = {
    "visible": "inside the image, nothing before it",
    "self_occluded": "inside the image, nothing before it but the person's own body",
    "hidden": "inside the image, something else before it",
    "near": f"an error of at most {100 * NEAR:g} % of the crop's side; else gross",
    "swap": f"true joint and its partner more than {100 * NEAR:g} % of the crop's side apart, the found "
    "joint near the partner's place and nearer to it than to its own",
    "bias, spread": "median, and 1.4826 times the median absolute deviation, of each coordinate; x to the "
    "right, y down",
    "lag1": "correlation of the errors of successive frames, both near, about their mean",
    "d2_ratio": "median squared Mahalanobis distance of near joints by the claimed covariance, over that of "
    "two Gaussian coordinates: 1 when the claim is right, more when the errors are larger",
}
PARTNERS = partners(COCO17)
# Of 2 degrees of freedom.
MEDIAN_D2 = 2 * np.log(2)
MAD = 1.4826  # of a Gaussian: standard deviation over median absolute deviation
EDGES = np.linspace(0, 1, 11)
# Fewer observations than this make no figure.
FEWEST = 20


@dataclass(frozen=True, eq=False)
class Observations:
    """Every joint of every image inside of it: (M, T, J) each, NaN where nothing was found.

    error (M, T, J, 2) px, side: of the crop in px, kind: index into KINDS, -1 outside of the image, d2: by
    the claimed covariance, confidence, height, swapped: 1.0 or 0.0, NaN where that cannot be told.
    """

    error: Array
    side: Array
    kind: Array
    d2: Array
    confidence: Array
    height: Array
    swapped: Array

    @property
    def relative(self) -> Array:
        """Lengths (M, T, J) of the errors as parts of the crop's side."""
        length: Array = np.linalg.norm(self.error, axis=-1) / self.side
        return length


def observations(found: Detections, truth: Truth) -> Observations:
    """Observations of the first person, shapes as in the class."""
    true = truth.pixels[:, :, 0]
    inside, hidden, self_hidden = (a[:, :, 0] for a in (truth.inside, truth.hidden, truth.self_hidden))
    error = found.pixels - true
    side = np.broadcast_to(found.side[..., None], inside.shape)
    kind = np.where(~inside, -1, np.where(hidden, 2, np.where(self_hidden, 1, 0)))
    partner = true[:, :, PARTNERS]
    apart = np.linalg.norm(true - partner, axis=-1) > NEAR * side
    own, other = np.linalg.norm(error, axis=-1), np.linalg.norm(found.pixels - partner, axis=-1)
    swapped = np.where(apart & np.isfinite(own), (other < own) & (other <= NEAR * side), np.nan)
    return Observations(
        error, side, kind, _d2(error, found.covariance), found.confidence, found.height, swapped
    )


def _d2(error: Array, covariance: Array) -> Array:
    """Squared Mahalanobis distances (...) of errors (..., 2), NaN where there is none."""
    known = np.asarray(np.isfinite(error).all(-1))
    safe = np.where(known[..., None, None], covariance, np.eye(2))
    distance = np.einsum("...i,...i->...", error, np.linalg.solve(safe, error[..., None])[..., 0])
    return np.where(known, distance, np.nan)


def detector_figures(scenes: Sequence[Observations]) -> dict[str, Any]:
    """All figures, ready for JSON: pooled and per joint, each for all kinds together and apart, and the
    reliability of what the detector claims. None stands for a figure that too few observations make."""
    kinds: dict[str, tuple[int, ...]] = {"all": (0, 1, 2)} | {kind: (k,) for k, kind in enumerate(KINDS)}
    every = slice(None)
    return {
        "rules": RULES,
        "pooled": {name: _group(scenes, which, every) for name, which in kinds.items()},
        "joints": {
            joint: {name: _group(scenes, which, slice(j, j + 1)) for name, which in kinds.items()}
            for j, joint in enumerate(COCO17.joints)
        },
        "reliability": {
            by: {name: _reliability(scenes, which, by) for name, which in kinds.items()}
            for by in ("confidence", "height")
        },
        "error_quantiles": {name: _quantiles(scenes, which) for name, which in kinds.items()},
    }


def _of(scenes: Sequence[Observations], which: tuple[int, ...], joints: slice, name: str) -> Array:
    """One field of the observations of some kinds and joints (N, ...), in order."""
    parts = [getattr(scene, name)[:, :, joints][np.isin(scene.kind[:, :, joints], which)] for scene in scenes]
    values: Array = np.concatenate(parts)
    return values


def _group(scenes: Sequence[Observations], which: tuple[int, ...], joints: slice) -> dict[str, Any]:
    error, side, swapped = (_of(scenes, which, joints, name) for name in ("error", "side", "swapped"))
    found = np.asarray(np.isfinite(error).all(-1))
    out: dict[str, Any] = {"count": len(found), "found": int(found.sum())}
    if found.sum() < FEWEST:
        return out | {"px": None}
    error, side = error[found], side[found, None]
    told = np.isfinite(swapped)
    correlation, stays = _in_time(scenes, which, joints)
    return out | {
        "px": _spread(error),
        "side": _spread(error / side),
        "gross": float((np.linalg.norm(error / side, axis=-1) > NEAR).mean()),
        "gross_after_gross": stays,
        "lag1": correlation,
        "swaps": float(swapped[told].mean()) if told.any() else None,
        "swappable": int(told.sum()),
        "d2_ratio": _d2_ratio(_of(scenes, which, joints, "d2"), _of(scenes, which, joints, "relative")),
    }


def _spread(error: Array) -> dict[str, Any]:
    """Of errors (N, 2)."""
    length, bias = np.linalg.norm(error, axis=-1), np.median(error, axis=0)
    return {
        "median": float(np.median(length)),
        "p90": float(np.percentile(length, 90)),
        "bias": bias.tolist(),
        "spread": (MAD * np.median(np.abs(error - bias), axis=0)).tolist(),
    }


def _d2_ratio(d2: Array, relative: Array) -> float | None:
    near = d2[relative <= NEAR]
    return float(np.median(near) / MEDIAN_D2) if len(near) >= FEWEST else None


def _in_time(
    scenes: Sequence[Observations], which: tuple[int, ...], joints: slice
) -> tuple[float | None, float | None]:
    """Correlation of near errors one frame apart, and how often a gross error follows a gross one."""
    before, after, gross = [], [], []
    for scene in scenes:
        kind, error = np.isin(scene.kind[:, :, joints], which), scene.error[:, :, joints]
        relative = scene.relative[:, :, joints]
        near = kind & (relative <= NEAR)
        pair = near[:, :-1] & near[:, 1:]
        before.append(error[:, :-1][pair])
        after.append(error[:, 1:][pair])
        bad = kind & (relative > NEAR)
        follows = bad[:, :-1] & kind[:, 1:] & np.isfinite(relative[:, 1:])
        gross.append(bad[:, 1:][follows])
    a, b, stays = np.concatenate(before), np.concatenate(after), np.concatenate(gross)
    return _correlation(a, b), float(stays.mean()) if len(stays) >= FEWEST else None


def _correlation(a: Array, b: Array) -> float | None:
    """Of vectors (N, 2), both coordinates together."""
    if len(a) < FEWEST:
        return None
    a, b = a - a.mean(0), b - b.mean(0)
    size = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / size) if size > 0 else None


def _reliability(scenes: Sequence[Observations], which: tuple[int, ...], by: str) -> list[dict[str, Any]]:
    """Of joints whose claim lies in each tenth: how many were near, and what the covariance is worth."""
    claim, relative, d2 = (_of(scenes, which, slice(None), name) for name in (by, "relative", "d2"))
    rows = []
    for low, high in zip(EDGES[:-1], EDGES[1:], strict=True):
        part = np.isfinite(relative) & (claim >= low) & ((claim < high) | (high == 1))
        count = int(part.sum())
        row: dict[str, Any] = {"low": float(low), "high": float(high), "count": count}
        if count >= FEWEST:
            row |= {
                "mean": float(claim[part].mean()),
                "near": float((relative[part] <= NEAR).mean()),
                "d2_ratio": _d2_ratio(d2[part], relative[part]),
            }
        rows.append(row)
    return rows


def _quantiles(scenes: Sequence[Observations], which: tuple[int, ...]) -> dict[str, float]:
    """Of the error as a part of the crop's side, by per cent."""
    relative = _of(scenes, which, slice(None), "relative")
    relative = relative[np.isfinite(relative)]
    if len(relative) < FEWEST:
        return {}
    return {f"{p}": float(np.percentile(relative, p)) for p in (*range(5, 100, 5), 99)}
