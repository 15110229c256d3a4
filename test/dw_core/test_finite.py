"""Whatever finite comes in, what goes out is finite or unknown: NaN for the whole joint with zero confidence.

Nothing raises and nothing warns. Pixels up to 1e20 px and variances up to 1e20 px^2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dw_core.fusion.spatial import FusionForm, SpatialFusion
from dw_core.fusion.warper import TemporalFusion
from dw_core.geometry.camera import Array, Camera, Rig, project
from dw_core.geometry.crop import Crop
from dw_core.geometry.triangulation import Reason, triangulate
from dw_core.heatmaps.decode import decode
from dw_core.interleave.window import Window
from dw_core.pipeline import InterleavedPipeline, Method, Mode, Triangulation
from dw_core.skeleton import COCO17
from dw_core.tracking.tracker import SkeletonTracker
from dw_core.types import DenseSet, DenseView, Float32Array, Heatmaps, Skeleton2D, Skeleton3D, Stage

pytestmark = pytest.mark.filterwarnings("error")

TICK_NS, J, N = 20_000_000, len(COCO17), 16
MakeMaps = Callable[[np.random.Generator], Array]
MAPS: dict[str, MakeMaps] = {
    "zeros": lambda rng: np.zeros((J, N, N)),
    "ones": lambda rng: np.ones((J, N, N)),
    "huge": lambda rng: np.full((J, N, N), 1e30),
    "tiny": lambda rng: np.full((J, N, N), 1e-40),
    "negative": lambda rng: -np.ones((J, N, N)),
    "noise": lambda rng: rng.uniform(0, 1, (J, N, N)),
    "any sign": lambda rng: rng.uniform(-1e30, 1e30, (J, N, N)),
    "any size": lambda rng: 10.0 ** rng.uniform(-40, 30, (J, N, N)),
    "all joints in a corner": lambda rng: np.pad(np.ones((J, 1, 1)), ((0, 0), (0, N - 1), (0, N - 1))),
}
CROPS = st.builds(Crop, *[st.floats(-1e9, 1e9)] * 2, st.floats(1e-3, 1e9)) | st.builds(
    Crop, *[st.floats(0, 500)] * 2, st.floats(50, 1000)
)
KINDS, SEEDS = st.sampled_from(sorted(MAPS)), st.integers(0, 999)


def make(kind: str, seed: int) -> Float32Array:
    return MAPS[kind](np.random.default_rng(seed)).astype(np.float32)


def assert_known_or_unknown(confidence: Array, *values: Array) -> None:
    """Finite throughout where there is confidence, NaN throughout where there is none."""
    assert np.isfinite(confidence).all() and ((confidence >= 0) & (confidence <= 1)).all()
    known = confidence > 0
    for value in values:
        assert np.isfinite(value[known]).all()
        assert np.isnan(value[~known]).all()


def assert_skeleton(found: Skeleton3D, velocities: bool = True) -> None:
    values = (found.positions, found.covariance) + ((found.velocities,) if velocities else ())
    assert_known_or_unknown(found.confidence, *values)


@given(kind=KINDS, crop=CROPS, seed=SEEDS)
def test_decoding(kind: str, crop: Crop, seed: int) -> None:
    joints = decode(make(kind, seed), crop)
    assert_known_or_unknown(joints.confidence, joints.pixels, joints.covariance)


@pytest.mark.parametrize("form", ["sampled_view", "all_views"])
@settings(max_examples=30, deadline=None)
@given(
    kinds=st.lists(KINDS, min_size=4, max_size=4), crops=st.lists(CROPS, min_size=4, max_size=4), seed=SEEDS
)
def test_spatial_fusion(rig: Rig, form: FusionForm, kinds: list[str], crops: list[Crop], seed: int) -> None:
    """Also crops that a lens does not reach, of a part of a pixel, or of the whole horizon."""
    seen = [
        Heatmaps(c.name, k, crop, make(kind, seed + k))
        for k, (c, crop, kind) in enumerate(zip(rig, crops, kinds, strict=True))
    ]
    dense = DenseSet(3, "cam4", tuple(DenseView(one, one.tensor) for one in seen), Stage.FILLED)
    assert all(np.isfinite(view.tensor).all() for view in SpatialFusion(rig, form).apply(dense).views)


def test_a_crop_that_the_lens_does_not_reach_lends_nothing(rig: Rig) -> None:
    here, nowhere = Crop(0.0, 0.0, 1000.0), Crop(1e6, -1e6, 100.0)
    maps = make("ones", 0)
    seen = [Heatmaps(c.name, 0, nowhere if c.name == "cam4" else here, maps) for c in rig]
    dense = DenseSet(0, "cam4", tuple(DenseView(one, one.tensor) for one in seen), Stage.FILLED)
    fused = SpatialFusion(rig).apply(dense)
    np.testing.assert_allclose(fused.views[0].tensor, 0.5)


@given(
    scale=st.sampled_from([0.0, 1.0, 1e3, 1e5, 1e10, 1e20]),
    variance=st.sampled_from([0.0, 1e-20, 1.0, 1e12, 1e20]),
    confidence=st.sampled_from([0.0, 1e-300, 0.5, 1.0]),
    seed=SEEDS,
)
def test_triangulation(rig: Rig, scale: float, variance: float, confidence: float, seed: int) -> None:
    pixels = 500 * (scale < 1e4) + scale * np.random.default_rng(seed).uniform(-1, 1, (J, 4, 2))
    found = triangulate(rig, pixels, variance * np.eye(2), np.full((J, 4), confidence))
    assert_known_or_unknown(found.confidence, found.points, found.covariance)
    np.testing.assert_array_equal(found.reason == Reason.OK, found.confidence > 0)


def test_rays_that_are_parallel_or_of_one_centre_are_unknown(make_camera: Callable[..., Camera]) -> None:
    same = [make_camera(name, (0, 5, 1.5)) for name in "ab"]
    beside = [make_camera(name, (x, 5, 1.5), (x, 0, 1.5)) for name, x in (("a", 0), ("b", 1))]
    middle = np.array([[[503.0, 495.0]] * 2] * J)  # the principal point: straight ahead
    for cameras in (same, beside):
        found = triangulate(cameras, middle, np.eye(2))
        assert_known_or_unknown(found.confidence, found.points, found.covariance)
        assert (found.reason == Reason.PARALLEL_RAYS).all()


@settings(max_examples=25, deadline=None)
@given(
    scale=st.sampled_from([0.0, 3.0, 1e2, 1e5, 1e20]),
    variance=st.sampled_from([0.0, 1e-20, 1.0, 1e12, 1e20]),
    confidence=st.sampled_from([0.0, 1e-300, 1e-3, 1.0]),
    warm=st.booleans(),
    centred=st.booleans(),
    seed=SEEDS,
)
def test_the_tracker(
    rig: Rig,
    person: Array,
    scale: float,
    variance: float,
    confidence: float,
    warm: bool,
    centred: bool,
    seed: int,
) -> None:
    """From nothing, or in the middle of a good track; about the person, or about one pixel."""
    rng, tracker = np.random.default_rng(seed), SkeletonTracker(rig, COCO17)
    for k in range(12):
        stamp, camera = k * TICK_NS, rig[k % 4]
        good = project(camera, person)
        if not warm or k >= 8:
            good = rng.uniform(-scale, scale, (J, 2)) + (good if centred else 400.0)
        spread = 4.0 if warm and k < 8 else variance
        trust = 1.0 if warm and k < 8 else confidence
        blocks = np.broadcast_to(spread * np.eye(2), (J, 2, 2))
        tracker.update(Skeleton2D(camera.name, stamp, good, blocks, np.full(J, trust)))
        for found in (
            tracker.at(stamp),
            tracker.at(stamp + 5 * TICK_NS),
            tracker.smoothed(stamp - 3 * TICK_NS),
        ):
            assert_skeleton(found)


def test_a_body_at_a_cameras_centre_and_the_same_observation_again_and_again(rig: Rig, person: Array) -> None:
    """The first camera stands in the person's chest; the last sends one image for ever."""
    at = person + rig[0].centre - person.mean(0)
    tracker = SkeletonTracker(rig, COCO17)
    known = np.broadcast_to(4 * np.eye(2), (J, 2, 2))
    frozen = np.nan_to_num(project(rig[3], at), nan=0.0)
    for k in range(40):
        camera = rig[k % 4]
        pixels = frozen if k % 4 == 3 else np.nan_to_num(project(camera, at), nan=0.0)
        tracker.update(Skeleton2D(camera.name, k * TICK_NS, pixels, known, np.ones(J)))
        assert_skeleton(tracker.at(k * TICK_NS))
        tracker.update(Skeleton2D(camera.name, k * TICK_NS, pixels, known, np.ones(J)))  # a duplicate
    assert tracker.counters.duplicate == 40


MODES: Any = [("tracker", "causal"), ("tracker", "window"), ("dlt", "causal")]


@pytest.mark.parametrize(("method", "mode"), MODES)
@pytest.mark.parametrize("kind", sorted(MAPS))
def test_the_whole_pipeline(rig: Rig, kind: str, method: Method, mode: Mode) -> None:
    triangulation = Triangulation(rig, COCO17, method, mode)
    pipeline = InterleavedPipeline(Window(rig.names), SpatialFusion(rig), TemporalFusion(), triangulation)
    given_ = [
        skeleton
        for k in range(24)
        for skeleton in pipeline.skeletons(
            Heatmaps(rig[k % 4].name, k * TICK_NS, Crop(200.0, 100.0, 600.0), make(kind, k))
        )
    ]
    assert len(given_) == (24 if mode == "causal" else 14)
    for skeleton in given_:
        assert_skeleton(skeleton, velocities=method == "tracker")
