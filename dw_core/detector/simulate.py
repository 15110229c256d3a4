"""What a 2D network would say of true places in its map: peaks with a real network's errors, without images.

A joint's error is a bias, plus a process in continuous time whose variance has a part that is new in every
image, one that passes in a tenth of a second, and one that stays; its scale varies in the same way, which
makes the tails heavy. Now and then, for a while, the peak is at the partner's place instead (left for
right), or somewhere else altogether: two-state Markov processes. All is larger where the joint is occluded.

Errors are taken along a joint's axis and across it. The axis of elbow, wrist, knee and ankle points to the
next joint of the limb towards the body, that of all others from the middle of the hips to that of the
shoulders.
Shapes: J joints, T times, ... any leading axes (views, people), independent of each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dw_core.detector.model import DetectorModel
from dw_core.detector.occlusion import self_occlusion
from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array
from dw_core.heatmaps.decode import DISK_RADIUS_FRACTION
from dw_core.skeleton import JointSet, partners

__all__ = ["Peaks", "axes", "self_occlusion", "simulate"]

CELLS = 64
# An error of more than this part of the crop's side is gross: the joint was not found.
NEAR = 0.05
# A second peak below this part of the first is none.
LEAST_SECOND = 0.02
# Heights keep so far from 0 and 1.
LOGIT_LIMIT = 6.0
# An axis that is foreshortened to less than this part of the side has no clear direction.
SHORT_AXIS = 0.03
INNER = {"elbow": "shoulder", "wrist": "elbow", "knee": "hip", "ankle": "knee"}
# What varies: error along and across, log-odds of the height, log of the scale, log of the second peak, its
# place (2), log of the width, distance and direction (2) of gross errors.
ALONG, ACROSS, HEIGHT, SCALE, SECOND, PLACE, WIDTH, FAR = 0, 1, 2, 3, 4, slice(5, 7), 7, slice(8, 11)
LATENTS = 11

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Peaks:
    """Of every map its peak and the highest one beside it, in cells of the map, x before y.

    cells (..., T, J, 2), height (..., T, J), sigma (..., T, J): the peak's standard deviation; second
    (..., T, J, 2), second_height (..., T, J): 0 when there is none.
    """

    cells: Array
    height: Array
    sigma: Array
    second: Array
    second_height: Array


def simulate(
    model: DetectorModel,
    joints: JointSet,
    cells: Array,
    times_s: Array,
    occluded: BoolArray,
    inside: BoolArray,
    rng: np.random.Generator,
    size: int = CELLS,
) -> Peaks:
    """Peaks for joints whose true places are `cells` (..., T, J, 2) of maps of size x size cells, at rising
    times (T,) or (..., T) s.

    occluded, inside (..., T, J): hidden by the person or by something else; within the image. Places must be
    finite. Raises ConfigError for a joint of no known kind, and for times that fall.
    """
    shape = cells.shape[:-1]
    steps = np.diff(np.broadcast_to(times_s, shape[:-1]), axis=-1)
    if (steps < 0).any():
        raise ConfigError("the times of a simulation fall, expected rising ones")
    table = model.table(joints)
    hidden = (np.asarray(occluded) | ~np.asarray(inside)).astype(int)
    here = {
        name: np.where(hidden, values[:, 1], values[:, 0])
        if values.ndim == 2 and name != "shares"
        else values
        for name, values in table.items()
    }
    latent = _latents(model, table["shares"], steps, shape, rng)
    low = here["height_tail"]
    latent[..., SCALE] = np.sqrt(1 - low**2) * latent[..., SCALE] - low * latent[..., HEIGHT]
    pair = partners(joints)
    swapped = _swapped(here, np.linalg.norm(cells[..., pair, :] - cells, axis=-1) / size, pair, steps, rng)
    gross = _chain(here["gross"], here["gross_s"], steps, shape, rng) & ~swapped

    erred = cells + size * _errors(here, latent, cells / size, joints)
    away = cells + size * _far(here["gross_distance"], latent[..., FAR])
    crossed = np.where(swapped[..., None], erred[..., pair, :], erred)
    place = np.where(gross[..., None], away, crossed)
    place = np.clip(place, 0, size - 1)

    spread = here["height_spread"] * latent[..., HEIGHT]
    logit = here["height"] + spread + model.outside_height * ~np.asarray(inside)
    logit += here["swap_height"] * swapped + here["gross_height"] * gross
    height = 1 / (1 + np.exp(-np.clip(logit, -LOGIT_LIMIT, LOGIT_LIMIT)))
    width = here["width_spread"] * latent[..., WIDTH] + here["width_by_height"] * spread
    sigma = here["width"] * size * np.exp(np.clip(width, -1.0, 1.0))
    second, second_height = _second(here, latent, place, height, erred, swapped | gross, pair, size)
    return Peaks(place, height, sigma, second, second_height)


def axes(joints: JointSet, places: Array) -> Array:
    """Axes (..., J, 2) of joints at places (..., J, 2), both in parts of the crop's side: of length 1, or
    less where they are foreshortened."""

    def middle(name: str) -> Array:
        both = [places[..., joints.index(f"{side}_{name}"), :] for side in ("left", "right")]
        return (both[0] + both[1]) / 2

    trunk = middle("shoulder") - middle("hip")
    ways = np.repeat(trunk[..., None, :], len(joints), axis=-2)
    for j, joint in enumerate(joints.joints):
        side, _, part = joint.partition("_")
        if part in INNER:
            ways[..., j, :] = places[..., joints.index(f"{side}_{INNER[part]}"), :] - places[..., j, :]
    length: Array = np.linalg.norm(ways, axis=-1, keepdims=True)
    unit: Array = ways / np.hypot(length, SHORT_AXIS)
    return unit


def _errors(here: dict[str, Array], latent: Array, places: Array, joints: JointSet) -> Array:
    """Bias and random errors (..., T, J, 2) in parts of the side, of joints that are about found."""
    along = axes(joints, places)
    across = np.stack((-along[..., 1], along[..., 0]), -1)
    scale = np.exp(here["tail"] * latent[..., SCALE])
    bias = here["along"][..., None] * along
    bias += here["apart"][..., None] * (places[..., partners(joints), :] - places)
    bias += (here["spread_along"] * scale * latent[..., ALONG])[..., None] * along
    bias += (here["spread_across"] * scale * latent[..., ACROSS])[..., None] * across
    # what would go beyond NEAR is a gross error, and those are simulated as such
    far = np.square(bias / NEAR).sum(-1, keepdims=True)
    near: Array = bias / (1 + far**2) ** 0.25
    return near


def _far(distance: Array, latent: Array) -> Array:
    """Gross errors (..., 2) in parts of the side: an exponential beyond NEAR, in a direction that lasts."""
    way = latent[..., 1:] / np.maximum(np.linalg.norm(latent[..., 1:], axis=-1, keepdims=True), 1e-9)
    excess = np.log1p(np.exp(1.702 * latent[..., 0]))  # -log of a normal's upper tail, within 2 %
    far: Array = (NEAR + distance * excess)[..., None] * way
    return far


def _second(
    here: dict[str, Array],
    latent: Array,
    place: Array,
    height: Array,
    erred: Array,
    lost: BoolArray,
    pair: npt.NDArray[np.intp],
    size: int,
) -> tuple[Array, Array]:
    """Place and height of second peaks: at the joint's own place where the first is elsewhere, else at the
    partner's or somewhere."""
    ratio = np.exp(np.minimum(here["second"] + here["second_spread"] * latent[..., SECOND], -0.05))
    at_partner = _uniform(latent[..., PLACE.start]) < here["second_at_partner"]
    at_partner &= pair != np.arange(len(pair))
    turn = 2 * np.pi * _uniform(latent[..., PLACE.stop - 1])
    least = DISK_RADIUS_FRACTION * size
    somewhere = place + 1.6 * least * np.stack((np.cos(turn), np.sin(turn)), -1)
    second = np.where(lost[..., None], erred, erred[..., pair, :])
    apart = np.linalg.norm(second - place, axis=-1) > least
    second = np.where((apart & (lost | at_partner))[..., None], second, somewhere)
    second = np.clip(second, 0, size - 1)
    there = (ratio > LEAST_SECOND) & (np.linalg.norm(second - place, axis=-1) > least)
    return second, np.where(there, ratio * height, 0.0)


def _uniform(normal: Array) -> Array:
    """Standard normal numbers as uniform ones in (0, 1)."""
    uniform: Array = 1 / (1 + np.exp(-1.702 * normal))
    return uniform


def _latents(
    model: DetectorModel, shares: Array, steps: Array, shape: tuple[int, ...], rng: np.random.Generator
) -> Array:
    """Standard normal processes (..., T, J, LATENTS): sums of noise and two Ornstein-Uhlenbeck processes,
    https://en.wikipedia.org/wiki/Ornstein-Uhlenbeck_process, exact at any times."""
    parts = np.broadcast_to(np.array(model.height_shares), (shape[-1], LATENTS, 3)).copy()
    parts[:, (ALONG, ACROSS)] = shares[:, None]
    noise = rng.standard_normal((3, *shape, LATENTS))
    for k, tau_s in ((1, model.fast_s), (2, model.slow_s)):
        stays = np.exp(-steps / tau_s)
        fresh = np.sqrt(1 - stays**2)
        for t in range(1, shape[-2]):
            before = stays[..., t - 1, None, None] * noise[k, ..., t - 1, :, :]
            noise[k, ..., t, :, :] = before + fresh[..., t - 1, None, None] * noise[k, ..., t, :, :]
    latent: Array = np.einsum("k...,...k->...", noise, np.sqrt(parts), optimize=False)
    return latent


def _swapped(
    here: dict[str, Array], apart: Array, pair: npt.NDArray[np.intp], steps: Array, rng: np.random.Generator
) -> BoolArray:
    """Which joints (..., T, J) have swapped sides with partners that are `apart` (..., T, J), in parts of the
    side: some pairs together, others one by one."""
    swap = here["swap"] * np.exp(-np.maximum(apart - NEAR, 0.0) / here["swap_reach"])
    common = (swap + swap[..., pair]) / 2 * here["together"]
    both = _chain(common, here["swap_s"], steps, apart.shape, rng)
    one = np.maximum(swap - common, 0) / np.maximum(1 - common, 1e-9)
    # what a pair has in common is that of the side that comes first
    swapped = both[..., np.minimum(pair, np.arange(len(pair)))]
    swapped |= _chain(one, here["swap_s"], steps, apart.shape, rng)
    return np.asarray(swapped & (pair != np.arange(len(pair))))


def _chain(
    part: Array, duration_s: Array, steps: Array, shape: tuple[int, ...], rng: np.random.Generator
) -> BoolArray:
    """Two-state Markov processes (..., T, J) that are true for a part of the time, for `duration_s` at a time
    on average."""
    part = np.broadcast_to(part, shape)
    stays = np.exp(-steps[..., None] / (duration_s * np.maximum(1 - part[..., 1:, :], 1e-3)))
    chance = rng.random(shape)
    state = np.zeros(shape, dtype=bool)
    state[..., 0, :] = chance[..., 0, :] < part[..., 0, :]
    for t in range(1, shape[-2]):
        now, kept = part[..., t, :], stays[..., t - 1, :]
        state[..., t, :] = chance[..., t, :] < now + (state[..., t - 1, :] - now) * kept
    return state
