"""Poses between key frames at which all views fire at once: the peers that interpolate in 3D.

Each key frame is a pose by plain linear triangulation at every M-th tick; the pose at a tick in between
needs the key frame after it. T ticks, M views, J joints.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np

from dw_core.benchmarks.keypoints import Scene
from dw_core.benchmarks.methods import Ticks, dlt_of_seen
from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array
from dw_core.skeleton import JointSet


def slerp(scene: Scene) -> Array:
    """Poses (T, J, 3) between key frames: the root's way is linear, every bone's direction turns evenly by
    the shorter way and its length is linear, from its parent on. NaN after the last key frame.

    Source: Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985 (for directions).
    """
    keys, poses, between, first, weight = _between_keys(scene)
    out = np.full(scene.truth.shape, np.nan)
    a, b = poses[first], poses[first + 1]
    for joint, parent in tree(scene.joints):
        if parent < 0:
            out[between, joint] = (1 - weight) * a[:, joint] + weight * b[:, joint]
        else:
            bone = turned(a[:, joint] - a[:, parent], b[:, joint] - b[:, parent], weight)
            out[between, joint] = out[between, parent] + bone
    out[keys[-1]] = poses[-1]
    return out


def mcc(scene: Scene, weights: Path) -> Array:
    """Poses (T, J, 3) between key frames by MCC, a trained network: of the poses that it gives between two
    key frames, evenly in time, and these two, the nearest two are joined by lines. NaN as in `slerp`. Raises
    AssetError for weights that are not its own, ConfigError without torch."""
    try:
        network = import_module("dw_core.training.mcc")
    except ModuleNotFoundError as error:
        raise ConfigError(f"method mcc needs {error.name}: pip install -r requirements/train.txt") from error
    keys, poses, between, first, weight = _between_keys(scene)
    given = network.between(weights, scene.joints, poses[:-1], poses[1:])
    way = np.concatenate((poses[:-1, None], given, poses[1:, None]), 1)
    place = weight[:, 0] * (way.shape[1] - 1)
    before = np.minimum(place.astype(np.int64), way.shape[1] - 2)
    part = (place - before)[:, None, None]
    out = np.full(scene.truth.shape, np.nan)
    out[between] = (1 - part) * way[first, before] + part * way[first, before + 1]
    out[keys[-1]] = poses[-1]
    return out


def _between_keys(scene: Scene) -> tuple[Ticks, Array, Ticks, Ticks, Array]:
    """Ticks (K,) of the key frames and their poses (K, J, 3); all N ticks before the last one, the number
    (N,) of the key frame before each, and how far (N, 1) each is from there to the next, 0 to 1."""
    M = len(scene.rig)
    keys = np.arange(0, len(scene), M)
    between = np.arange(keys[-1])
    first = between // M
    start, end = scene.stamps_ns[keys[first]], scene.stamps_ns[keys[first + 1]]
    weight = (scene.stamps_ns[between] - start) / (end - start)
    return keys, dlt_of_seen(scene.rig, scene.pixels[keys]), between, first, weight[:, None]


def tree(joints: JointSet) -> list[tuple[int, int]]:
    """Joints with their parents (-1 for none), parents first: along the bones from the first joint on, and
    anew from every joint that no bone leads to."""
    order: list[tuple[int, int]] = []
    parents: dict[int, int] = {}
    for root in range(len(joints)):
        if root in parents:
            continue
        parents[root] = -1
        reached = [root]
        for joint in reached:
            order.append((joint, parents[joint]))
            ends = [b if a == joint else a for a, b in joints.edges if joint in (a, b)]
            for end in ends:
                if end not in parents:
                    parents[end] = joint
                    reached.append(end)
    return order


def turned(a: Array, b: Array, weight: Array) -> Array:
    """Vectors (N, 3) from a (N, 3) to b (N, 3) by weights (N, 1): the direction at even speed, the length
    linear; straight where both are nearly parallel or opposite."""
    lengths = [np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9) for v in (a, b)]
    angle = np.arccos(np.clip((a * b).sum(-1, keepdims=True) / (lengths[0] * lengths[1]), -1.0, 1.0))
    sine = np.sin(angle)
    even = sine < 1e-4
    sine = np.where(even, 1.0, sine)
    u = np.where(even, 1 - weight, np.sin((1 - weight) * angle) / sine)
    v = np.where(even, weight, np.sin(weight * angle) / sine)
    length = (1 - weight) * lengths[0] + weight * lengths[1]
    out: Array = length * (u * a / lengths[0] + v * b / lengths[1])
    return out
