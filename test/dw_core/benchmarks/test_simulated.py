"""Motion as a simulated network sees it, and the stages on its maps."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dw_core.benchmarks import map_methods
from dw_core.benchmarks.catalogue import estimates
from dw_core.benchmarks.map_methods import from_maps, mean_pooled, nominal_lags
from dw_core.benchmarks.methods import dlt_full, dlt_interleaved, dlt_nearest, track
from dw_core.benchmarks.simulated import CELLS, Disturbance, placed, projected, simulated
from dw_core.data.motion import load_motion
from dw_core.data.rigs import load_h36m
from dw_core.errors import ConfigError
from dw_core.fusion.fast_warper_cpu import parameter_shapes
from dw_core.fusion.weights import WarperWeights, load_weights, packaged_weights, save_weights
from dw_core.geometry.camera import project
from dw_core.geometry.crop import apply_affine
from dw_core.skeleton import H36M17
from dw_core.types import NS

from ..drawn import random_refiner

TICK_NS = 20_000_000
REFINED = {"full_pipeline": "full", "pipeline": "interleaved"}
STAGES = {(name, mode) for name in ("epipolar", "warper", "pipeline") for mode in ("causal", "window")}


def see(motion, rig, noise="none", tick_ns=TICK_NS, **options):
    return simulated(motion, rig, tick_ns, 60.0, Disturbance(noise=noise, **options))


def quiet(ticks):
    pass


@pytest.fixture(scope="module")
def exact(rig, make_walker):
    return see(make_walker(1.2), rig)


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """Weights of a Warper that moves nothing."""
    path = tmp_path_factory.mktemp("weights") / "still.safetensors"
    arrays = {name: np.zeros(shape, np.float32) for name, shape in parameter_shapes(17).items()}
    save_weights(WarperWeights("fast", H36M17.joints, arrays), path)
    return path


def test_without_noise_the_joints_are_where_they_are(exact, rig):
    scene = exact.scene
    true = np.stack([project(camera, scene.truth) for camera in rig], 1)
    error = np.linalg.norm(scene.pixels - true, axis=-1)
    cell = np.array([[crop.side / CELLS for crop in crops] for crops in exact.crops]).T
    assert (error / cell[..., None]).max() < 0.05
    assert scene.confidence.min() > 0.9 and scene.exposed.all()
    heatmaps = exact.heatmaps(6)
    assert (heatmaps.view, heatmaps.stamp_ns) == (rig.names[2], 6 * TICK_NS)
    np.testing.assert_array_equal(heatmaps.joints.pixels, scene.pixels[6, 2])
    peaks = apply_affine(heatmaps.crop.to_cells(CELLS), true[6, 2])
    highest = heatmaps.tensor.reshape(17, -1).argmax(1)
    np.testing.assert_allclose(np.stack((highest % CELLS, highest // CELLS), -1), peaks, atol=0.51)


def test_crops_hold_the_person_and_are_kept_while_they_serve(exact, rig):
    for view, crops in enumerate(exact.crops):
        true = project(rig[view], exact.scene.truth)
        for crop, pixels in zip(crops, true, strict=True):
            assert (pixels > (crop.left, crop.top)).all()
            assert (pixels < (crop.left + crop.side, crop.top + crop.side)).all()
        assert len(set(crops)) < len(crops) / 4


def test_gaussian_noise_is_as_large_as_said(rig, make_walker):
    motion = make_walker(3.0)
    true, noisy = see(motion, rig).scene, see(motion, rig, "gaussian:4").scene
    error = noisy.pixels - true.pixels
    assert np.std(error) == pytest.approx(4.0, rel=0.03) and abs(error.mean()) < 0.1
    np.testing.assert_array_equal(noisy.truth, true.truth)


def test_what_is_random_depends_on_seed_and_motion_alone(rig, make_walker):
    motion = make_walker(1.0)
    runs = [see(motion, rig, "detector", jitter=0.2, drops=0.2, seed=seed).scene for seed in (3, 3, 4)]
    named = see(replace(motion, name="else"), rig, "detector", jitter=0.2, drops=0.2, seed=3).scene
    for same in (runs[1], named):
        np.testing.assert_array_equal(same.pixels, runs[0].pixels)
    assert not np.array_equal(runs[2].stamps_ns, runs[0].stamps_ns)
    assert not np.array_equal(runs[2].exposed, runs[0].exposed)


def test_ticks_are_irregular_as_said_and_truth_is_taken_at_their_times(rig, make_walker):
    motion = make_walker(8.0, swing=0.0)
    stamps, truth = placed(motion, rig, TICK_NS, 60.0, Disturbance(noise="none", jitter=0.1))
    late = stamps / TICK_NS - np.arange(len(stamps))
    assert np.std(late) == pytest.approx(0.1, rel=0.15) and (np.diff(stamps) > 0).all()
    way = (stamps - stamps[0])[:, None, None] / NS * (0.3, 0.1, 0.0)
    np.testing.assert_allclose(truth - truth[0], np.broadcast_to(way, truth.shape), atol=1e-9)
    wild, _ = placed(motion, rig, TICK_NS, 60.0, Disturbance(noise="none", jitter=1.0))
    assert (np.diff(wild) >= 0.099 * TICK_NS).all()


def test_lost_exposures_are_lost(rig, make_walker):
    scene = see(make_walker(8.0), rig, tick_ns=4 * TICK_NS, drops=0.3).scene
    assert (~scene.exposed).mean() == pytest.approx(0.3, abs=0.06)
    assert (scene.confidence[~scene.exposed] == 0).all() and np.isnan(scene.pixels[~scene.exposed]).all()


def test_who_walks_out_of_the_images_is_seen_on(rig, make_walker):
    seen = see(make_walker(3.0, velocity=(1.5, 0.0, 0.0)), rig)
    assert seen.scene.outside > 0.02 and np.isfinite(seen.scene.pixels).all()


def test_who_is_where_no_lens_model_reaches_is_not_seen(rig, make_walker):
    """Behind a camera, or far beside it: those views are empty, the others go on."""
    points = np.array([[0.0, 0.0, 1.0], [9.0, 9.0, 1.0], [1.2, 9.0, 1.0]])
    there = np.isfinite(projected(rig[0], points)).all(-1)
    assert there.tolist() == [True, False, False]
    np.testing.assert_allclose(projected(rig[0], points[0]), project(rig[0], points[0]))
    folded = rig[0].centre + rig[0].R.T @ np.array([2.5, 0.0, 1.0])
    assert np.isfinite(project(rig[0], folded)).all() and np.isnan(projected(rig[0], folded)).all()
    away = make_walker(4.0, velocity=(0.0, 4.0, 0.0))
    assert 0.5 < see(away, rig, "detector").scene.exposed.mean() < 1
    seen = see(away, rig)
    assert 0.5 < seen.scene.exposed.mean() < 1
    dlt = dlt_full(seen.scene)
    known = np.isfinite(dlt).all(-1)
    assert known.mean() > 0.8 and np.linalg.norm(dlt - seen.scene.truth, axis=-1)[known].max() < 0.05


def test_a_motion_is_bounded_in_its_middle(rig, make_walker):
    motion = make_walker(3.0)
    stamps, truth = placed(motion, rig, TICK_NS, 1.0, Disturbance(noise="none"))
    assert len(stamps) == 51
    middle = motion.at(1.0 + stamps / NS)
    np.testing.assert_allclose(truth - truth[:1, :1], middle - middle[:1, :1], atol=1e-9)


@pytest.mark.parametrize("noise", ["gaussian:-1", "gaussian:x", "gaussian:nan", "gauss:1", "detector:2", ""])
def test_noises_that_there_are_not(noise):
    with pytest.raises(ConfigError, match=f"noise is '{noise}', expected none, gaussian:PX or detector"):
        Disturbance(noise=noise)


def test_a_seed_is_not_negative():
    with pytest.raises(ConfigError, match="seed is -1, expected 0 or more"):
        Disturbance(seed=-1)


def test_stages_that_change_nothing_are_the_plain_methods(exact, still, monkeypatch):
    """Without spatial fusion and with a Warper that moves nothing, maps are triangulated as they are."""
    found = from_maps(exact, STAGES, still, 5, quiet)
    plain = {"causal": dlt_interleaved(exact.scene), "window": dlt_nearest(exact.scene)}
    for mode, poses in plain.items():
        judged = slice(10, -5)
        np.testing.assert_allclose(found["warper", mode][judged], poses[judged], atol=2e-4)
    own = map_methods.SpatialFusion
    monkeypatch.setattr(map_methods, "SpatialFusion", lambda rig: own(rig, own_weight=1.0))
    alone = from_maps(exact, {("epipolar", "causal")}, None, 5, quiet)
    assert list(alone) == [("epipolar", "causal")]
    np.testing.assert_allclose(alone["epipolar", "causal"][1:], plain["causal"][1:], atol=1e-9)


def test_peers_are_given_what_they_were_trained_with(rig, make_walker, still, tmp_path, monkeypatch):
    told = []

    def moves_nothing(fused, raw, lag_s, velocity):
        told.append((lag_s, fused[0].shape, raw[0].shape))
        return raw

    peer = load_weights(still)
    trained = json.dumps({"lag": "nominal", "pooled": 2})
    save_weights(replace(peer, about={"config": trained}), tmp_path / "peer.safetensors")
    monkeypatch.setattr(map_methods, "open_warper", lambda weights: moves_nothing)
    wanted = (("warper", "causal"), ("warper_no_dt", "causal"), ("paper_warper", "causal"))
    peers = {"warper_no_dt": tmp_path / "peer.safetensors"}
    seen = see(make_walker(1.2), rig, jitter=0.25)
    found = estimates(seen, wanted, 5, still, None, peers=peers)
    assert list(found) == list(wanted[:2]), "one has no weights"
    assert all((fused, raw) == ((17, 32, 32), (17, 32, 32)) for _, fused, raw in told)
    for lag_s, *_ in told[4:]:
        assert sorted(lag_s) == pytest.approx([0.02, 0.04, 0.06])
    np.testing.assert_allclose(
        found["warper_no_dt", "causal"][10:], found["warper", "causal"][10:], atol=5e-3
    )


def test_nominal_lags_and_larger_cells():
    np.testing.assert_allclose(nominal_lags(np.array([0.05, 0.013, 0.3]), 0.02), [0.04, 0.02, 0.06])
    maps = np.arange(32, dtype=np.float32).reshape(2, 4, 4)
    np.testing.assert_array_equal(mean_pooled(maps, 2)[1], [[18.5, 20.5], [26.5, 28.5]])
    assert mean_pooled(maps, 1).dtype == np.float32 and (mean_pooled(maps, 1) == maps).all()


def test_the_pipeline_gives_what_its_tracker_gives(exact):
    found = from_maps(exact, STAGES, None, 5, quiet)
    assert set(found) == {key for key in STAGES if key[0] != "warper"}
    for poses, mode in zip(track(exact.scene, 5), ("causal", "window"), strict=True):
        np.testing.assert_allclose(found["pipeline", mode][20:-5], poses[20:-5], atol=1e-9)


def test_methods_on_refined_joints_are_those_of_refined_scenes(exact):
    """The pipeline refines what its stages decode, the others all views' joints at once."""
    refiner, T = random_refiner(H36M17, 0.02), len(exact.scene)
    scene = exact.scene.refined(refiner)
    for tick, view in ((0, 0), (30, 2)):
        one = refiner.refined(exact.scene.seen(tick, view))
        np.testing.assert_allclose(scene.seen(tick, view).pixels, one.pixels, atol=1e-3)
        np.testing.assert_allclose(scene.seen(tick, view).covariance, one.covariance, rtol=1e-4, atol=1e-6)
    wanted = tuple((name, "causal") for name in ("dlt_refined", *REFINED))
    found = estimates(exact, wanted, 5, None, None, refiner=refiner)
    assert list(found) == list(wanted)
    np.testing.assert_array_equal(found["dlt_refined", "causal"], dlt_full(scene))
    assert np.abs(dlt_full(scene) - dlt_full(exact.scene)).max() > 0.005
    for name, sampling in REFINED.items():
        expected = track(scene, T, sampling=sampling)[0]  # nothing is smoothed
        np.testing.assert_allclose(found[name, "causal"][20:], expected[20:], atol=1e-4)
    without = estimates(exact, wanted[:1], 5, None, None)
    np.testing.assert_array_equal(without["dlt_refined", "causal"], dlt_full(exact.scene))


def test_methods_are_those_asked_for_in_that_order(exact):
    both = estimates(exact, (("tracker", "window"), ("dlt", "causal"), ("tracker", "causal")), 5, None, None)
    assert list(both) == [("tracker", "window"), ("dlt", "causal"), ("tracker", "causal")]
    assert np.isfinite(both["tracker", "window"][20:-5]).all()
    alone = estimates(exact, (("tracker", "causal"), ("mcc", "window")), 5, None, None)
    assert list(alone) == [("tracker", "causal")]
    np.testing.assert_array_equal(alone["tracker", "causal"], both["tracker", "causal"])


def test_no_stage_sees_more_than_it_may(exact, still):
    expected = from_maps(exact, STAGES, still, 5, quiet)
    tick = 42
    ticks = np.arange(len(exact.scene))[:, None, None]
    for mode, last in (("causal", 42), ("window", 43)):
        moved = (replace(peaks, cells=np.where(ticks > last, 5.0, peaks.cells)) for peaks in exact.peaks)
        stages = {key for key in STAGES if key[1] == mode}
        found = from_maps(replace(exact, peaks=tuple(moved)), stages, still, 5, quiet)
        for name in ("epipolar", "warper"):
            assert np.isfinite(expected[name, mode][tick]).all()
            np.testing.assert_array_equal(found[name, mode][: tick + 1], expected[name, mode][: tick + 1])
            assert not np.allclose(found[name, mode][tick + 2], expected[name, mode][tick + 2], atol=1e-3)
    assert np.isfinite(found["pipeline", "window"][tick]).all()


def test_the_pipeline_gives_nothing_where_nothing_was_seen(rig, make_walker):
    seen = see(make_walker(1.2), rig, drops=0.2)
    fired = seen.scene.fired.any(1)
    found = from_maps(seen, STAGES, None, 5, quiet)
    given = np.isfinite(found["pipeline", "causal"]).all((1, 2))
    assert not given[~fired].any() and given[20:][fired[20:]].all() and 0 < fired[20:].mean() < 1
    whole = np.isfinite(estimates(seen, (("tracker", "causal"),), 5, None, None)["tracker", "causal"])
    assert whole[20:].all(), "the tracker can be asked at any time"


def test_there_may_be_weights_in_the_package():
    assert packaged_weights("nobody") is None


def test_a_joint_that_started_in_a_wrong_place_is_found_again(shared_data):
    """A wrist of this clip does; without its doubts the tracker leaves it half a metre off to the end."""
    rig = load_h36m(shared_data / "rigs/h36m_cameras.json", "S9")
    motion = load_motion(shared_data / "cmu_mocap_bvh/martial/05.bvh")
    seen = simulated(motion, rig, 20_000_000, 4.0, Disturbance(noise="detector", drops=0.2)).scene
    causal, _ = track(seen, len(seen))
    wrist = seen.joints.index("right_wrist")
    error = np.linalg.norm(causal - seen.truth, axis=-1)[50:-10, wrist]
    assert np.nanmean(error) < 0.15
