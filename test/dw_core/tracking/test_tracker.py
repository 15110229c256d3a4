import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dw_core.errors import CalibrationError, ConfigError
from dw_core.geometry.camera import project
from dw_core.geometry.triangulation import dlt
from dw_core.skeleton import COCO17, H36M17
from dw_core.tracking.filter import body_model
from dw_core.tracking.motion import acceleration_covariance
from dw_core.tracking.tracker import SkeletonTracker, TrackerSettings
from dw_core.types import NS, Skeleton2D, TrackingState

TICK_NS = 20_000_000
J = len(COCO17)
LAGS_NS = (0, 60_000_000, 100_000_000, 200_000_000)


def see(camera, joints, stamp_ns, noise=None, std=2.0, confidence=1.0):
    pixels = project(camera, joints) + (0.0 if noise is None else noise)
    covariance = np.broadcast_to(std**2 * np.eye(2), (J, 2, 2))
    return Skeleton2D(camera.name, stamp_ns, pixels, covariance, np.full(J, confidence))


def interleaved(rig, motion, ticks, first=0, **kwargs):
    """One observation per tick, the cameras in turn; motion maps seconds to joints (J, 3)."""
    return [
        see(rig[k % len(rig)], motion(k * TICK_NS / NS), k * TICK_NS, **kwargs)
        for k in range(first, first + ticks)
    ]


def walk(person, velocity=(0.9, -0.4, 0.1)):
    return lambda seconds: person + np.asarray(velocity) * (seconds - 1.0)


def swing(person):
    """Walking with swinging limbs: those that swing most are furthest from the trunk."""
    sway = np.array([0.02] * 7 + [0.08, 0.08, 0.18, 0.18, 0.03, 0.03, 0.10, 0.10, 0.25, 0.25])
    sign = np.where(np.arange(J) % 2, 1.0, -1.0)

    def motion(seconds):
        swung = (sway * sign * np.sin(2 * np.pi * 0.9 * seconds))[:, None] * (1.0, 0.0, 0.0)
        return person + swung + (0.4 * np.sin(0.5 * seconds), 0.2 * seconds - 0.5, 0.0)

    return motion


def run(rig, observations, settings=None):
    tracker = SkeletonTracker(rig, COCO17, settings)
    for seen in observations:
        tracker.update(seen)
    return tracker


def test_constant_velocity_is_recovered_exactly_from_staggered_views(rig, person):
    motion = walk(person)
    tracker = SkeletonTracker(rig, COCO17)
    for k, seen in enumerate(interleaved(rig, motion, 100)):
        tracker.update(seen)
        if k >= 50:
            found = tracker.at(seen.stamp_ns)
            assert found.state == TrackingState.TRACKED
            assert np.linalg.norm(found.positions - motion(k * 0.02), axis=-1).max() < 0.5e-3
    np.testing.assert_allclose(found.velocities, np.tile((0.9, -0.4, 0.1), (J, 1)), atol=0.01)
    assert (found.confidence > 0.5).all() and found.views == rig.names
    assert found.view_ages_ns == tuple(TICK_NS * age for age in (3, 2, 1, 0))


def test_prediction_reaches_200_ms_ahead_and_no_further(rig, person):
    motion = walk(person)
    tracker = run(rig, interleaved(rig, motion, 100))
    newest = 99 * TICK_NS
    ahead = tracker.at(newest + 200_000_000)
    assert np.linalg.norm(ahead.positions - motion(99 * 0.02 + 0.2), axis=-1).max() < 5e-3
    assert np.trace(ahead.covariance[9]) > 4 * np.trace(tracker.at(newest).covariance[9])
    beyond = tracker.at(newest + 200_000_001)
    assert beyond.state == TrackingState.LOST and np.isnan(beyond.positions).all()
    assert not beyond.confidence.any()


def test_the_past_is_answered_with_what_was_known_then(rig, person):
    observations = interleaved(rig, swing(person), 60)
    early, late = run(rig, observations[:57]), run(rig, observations)
    stamp = 56 * TICK_NS
    np.testing.assert_array_equal(late.at(stamp).positions, early.at(stamp).positions)


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_order_of_arrival_within_the_lateness_limit_does_not_matter(rig, person, data):
    rng = np.random.default_rng(0)
    observations = [
        see(rig[k % 4], swing(person)(k * 0.02), k * TICK_NS, 2 * rng.normal(size=(J, 2))) for k in range(30)
    ]
    delays = data.draw(st.lists(st.integers(0, 7), min_size=30, max_size=30))
    # an observation overtakes others by at most 7 ticks = 140 ms
    arrival = sorted(range(30), key=lambda k: (k + delays[k], k))
    expected, shuffled = run(rig, observations), run(rig, [observations[k] for k in arrival])
    assert shuffled.counters.too_late == 0
    newest = 29 * TICK_NS
    pairs = [(expected.at(newest), shuffled.at(newest))]
    pairs += [(expected.smoothed(newest - lag), shuffled.smoothed(newest - lag)) for lag in LAGS_NS]
    for a, b in pairs:
        np.testing.assert_array_equal(a.positions, b.positions)
        np.testing.assert_array_equal(a.covariance, b.covariance)
        assert a.view_ages_ns == b.view_ages_ns and a.state == b.state == TrackingState.TRACKED


def test_late_and_duplicate_observations_are_counted_and_change_nothing(rig, person):
    observations = interleaved(rig, walk(person), 40)
    tracker = run(rig, observations)
    before = tracker.at(39 * TICK_NS).positions
    tracker.update(observations[39])
    tracker.update(observations[5])
    np.testing.assert_array_equal(tracker.at(39 * TICK_NS).positions, before)
    counters = tracker.counters
    assert (counters.received, counters.duplicate, counters.too_late) == (42, 1, 1)


@pytest.mark.parametrize("stranger", range(4))
def test_a_view_that_sees_somebody_else_is_refused_from_the_start(rig, person, stranger):
    motion, other = walk(person), walk(person + (0.9, 0.7, 0.0))
    observations = interleaved(rig, motion, 80)
    for k in range(stranger, 80, 4):
        observations[k] = see(rig[stranger], other(k * 0.02), k * TICK_NS)
    tracker = run(rig, observations)
    found = tracker.at(79 * TICK_NS)
    assert found.state == TrackingState.TRACKED and rig.names[stranger] not in found.views
    assert np.linalg.norm(found.positions - motion(79 * 0.02), axis=-1).max() < 0.01
    assert tracker.track.refused > 10


def test_nobody_is_found_when_no_two_views_agree(rig, person):
    rng = np.random.default_rng(1)
    tracker = SkeletonTracker(rig, COCO17)
    for k in range(40):
        seen = see(rig[k % 4], person + rng.uniform(-1, 1, (J, 3)), k * TICK_NS)
        tracker.update(seen)
        assert tracker.at(seen.stamp_ns).state == TrackingState.LOST


def test_two_views_are_enough(rig, person):
    motion = walk(person)
    pair = [s for s in interleaved(rig, motion, 80) if s.view in rig.names[:2]]
    found = run(rig, pair).at(79 * TICK_NS)
    assert np.linalg.norm(found.positions - motion(79 * 0.02), axis=-1).max() < 5e-3


def test_single_outliers_do_not_pull(rig, person):
    motion, rng = walk(person), np.random.default_rng(2)
    observations = interleaved(rig, motion, 100)
    for seen in observations[20:]:
        seen.pixels[rng.integers(0, J)] += 60.0
    found = run(rig, observations).at(99 * TICK_NS)
    assert np.linalg.norm(found.positions - motion(99 * 0.02), axis=-1).max() < 0.03


def test_left_and_right_that_were_mixed_up_are_put_back(rig, person):
    motion = walk(person)
    observations = interleaved(rig, motion, 100)
    left, right = COCO17.index("left_ankle"), COCO17.index("right_ankle")
    for seen in observations[40::3]:
        seen.pixels[[left, right]] = seen.pixels[[right, left]]
    found = run(rig, observations).at(99 * TICK_NS)
    assert np.linalg.norm(found.positions - motion(99 * 0.02), axis=-1).max() < 0.02


def test_a_joint_that_is_not_seen_becomes_unknown(rig, person):
    observations = interleaved(rig, walk(person), 200)
    wrist = COCO17.index("left_wrist")
    for seen in observations[60:]:
        seen.confidence[wrist] = 0.0
        seen.pixels[wrist] = np.nan
    tracker, variances = SkeletonTracker(rig, COCO17), []
    for seen in observations:
        tracker.update(seen)
        variances.append(np.trace(tracker.at(seen.stamp_ns).covariance[wrist]))
    assert variances[70] > variances[65] > variances[60] > variances[59]
    found = tracker.at(199 * TICK_NS)
    assert np.isnan(found.positions[wrist]).all() and found.confidence[wrist] == 0
    assert np.isfinite(np.delete(found.positions, wrist, 0)).all()
    assert found.state == TrackingState.TRACKED


def test_a_person_who_leaves_is_lost_and_one_who_comes_is_found(rig, person):
    empty = [see(rig[k % 4], person, k * TICK_NS, confidence=0.0) for k in range(50, 80)]
    there = interleaved(rig, walk(person), 50)
    back = interleaved(rig, walk(person + (0.8, 0, 0)), 50, first=80)
    tracker = run(rig, there + empty)
    assert tracker.at(79 * TICK_NS).state == TrackingState.LOST
    for seen in back:
        tracker.update(seen)
    found = tracker.at(129 * TICK_NS)
    assert found.state == TrackingState.TRACKED and found.identity == 2
    assert np.linalg.norm(found.positions - walk(person + (0.8, 0, 0))(129 * 0.02), axis=-1).max() < 1e-3


def test_a_new_track_is_initialising_until_every_view_had_its_turn(rig, person):
    tracker, states = SkeletonTracker(rig, COCO17), []
    for seen in interleaved(rig, walk(person), 8):
        tracker.update(seen)
        states.append(tracker.at(seen.stamp_ns).state)
    assert states[0] == TrackingState.LOST and states[-1] == TrackingState.TRACKED
    assert states == sorted(states) and TrackingState.INITIALISING in states


def test_state_is_saved_and_restored(rig, person):
    observations = interleaved(rig, swing(person), 60)
    first = run(rig, observations[:30])
    saved = pickle.dumps(first.state)
    second = SkeletonTracker(rig, COCO17)
    second.state = pickle.loads(saved)
    for seen in observations[30:]:
        first.update(seen)
        second.update(seen)
    np.testing.assert_array_equal(first.at(59 * TICK_NS).positions, second.at(59 * TICK_NS).positions)
    a, b = first.smoothed(49 * TICK_NS), second.smoothed(49 * TICK_NS)
    np.testing.assert_array_equal(a.positions, b.positions)
    assert first.counters == second.counters


def test_a_quarter_of_the_images_beats_plain_triangulation_of_all(rig, person):
    """5 px noise, 3 % outliers of 40 px; the truth swings its limbs. The covariance is honest."""
    rng = np.random.default_rng(3)
    motion, tracker, ours, theirs, nees = swing(person), SkeletonTracker(rig, COCO17), [], [], []
    for k in range(300):
        truth = motion(k * 0.02)
        noise = 5 * rng.normal(size=(4, J, 2))
        angle = rng.uniform(0, 2 * np.pi, (4, J))
        outlier = (rng.random((4, J)) < 0.03)[..., None]
        noise += 40 * outlier * np.stack((np.cos(angle), np.sin(angle)), -1)
        all_views = np.stack([project(c, truth) for c in rig], 1) + noise.transpose(1, 0, 2)
        tracker.update(see(rig[k % 4], truth, k * TICK_NS, noise[k % 4], std=5.0))
        if k >= 50:
            found = tracker.at(k * TICK_NS)
            error = found.positions - truth
            ours.append(np.linalg.norm(error, axis=-1).mean())
            theirs.append(np.linalg.norm(dlt(rig, all_views) - truth, axis=-1).mean())
            nees.append(np.einsum("ji,jik,jk->j", error, np.linalg.inv(found.covariance), error).mean())
    assert np.mean(ours) < 0.8 * np.mean(theirs)
    assert 1.5 < np.mean(nees) < 6.0  # 3 where the model is exact


def test_noise_does_not_make_the_learned_bones_longer(rig, person):
    """8 px, about 35 mm, across limbs of 300 mm: without a correction their mean is 6 mm too long."""
    rng, motion = np.random.default_rng(5), walk(person)
    noisy = [
        see(rig[k % 4], motion(k * 0.02), k * TICK_NS, 8 * rng.normal(size=(J, 2)), std=8.0)
        for k in range(200)
    ]
    a, b = np.array(COCO17.edges).T
    truth = np.linalg.norm(person[a] - person[b], axis=1)
    body = run(rig, noisy).track.body
    limbs = truth > 0.2
    assert abs((body.lengths - truth)[limbs].mean()) < 4e-3


def test_a_view_with_a_constant_offset_is_trusted_less(rig, person):
    """Real calibrations are off by pixels; the claimed 2 px must not make the track break."""
    motion = walk(person)
    observations = interleaved(rig, motion, 200)
    for seen in observations[::4]:
        seen.pixels[:] += (12.0, 0.0)
    tracker = run(rig, observations)
    found = tracker.at(199 * TICK_NS)
    assert found.state == TrackingState.TRACKED and tracker.track.started == 1
    assert np.linalg.norm(found.positions - motion(199 * 0.02), axis=-1).mean() < 0.05


def test_constant_velocity_is_recovered_exactly_in_the_window(rig, person):
    """At exposures and between them."""
    motion = walk(person)
    tracker = SkeletonTracker(rig, COCO17)
    for k, seen in enumerate(interleaved(rig, motion, 100)):
        tracker.update(seen)
        for lag in (*LAGS_NS, 57_000_000) if k >= 50 else ():
            stamp = seen.stamp_ns - lag
            found = tracker.smoothed(stamp)
            assert found.stamp_ns == stamp and found.state == TrackingState.TRACKED
            assert np.linalg.norm(found.positions - motion(stamp / NS), axis=-1).max() < 0.5e-3
    found = tracker.smoothed(99 * TICK_NS - 100_000_000)  # 94 is the turn of view 2
    np.testing.assert_allclose(found.velocities, np.tile((0.9, -0.4, 0.1), (J, 1)), atol=0.01)
    assert dict(zip(found.views, found.view_ages_ns, strict=True)) == {
        "cam1": 2 * TICK_NS, "cam2": TICK_NS, "cam3": 0, "cam4": -TICK_NS,
    }  # fmt: skip


def test_the_window_is_better_than_causal_and_says_by_how_much(rig, person):
    """5 px noise: 200 ms later the error is less than 0.7 of the causal one, and the covariance, never
    larger than the causal one, is still honest."""
    rng, motion = np.random.default_rng(4), swing(person)
    tracker, errors, nees = SkeletonTracker(rig, COCO17), [], []
    for k in range(300):
        tracker.update(see(rig[k % 4], motion(k * 0.02), k * TICK_NS, 5 * rng.normal(size=(J, 2)), std=5.0))
        if k < 50:
            continue
        stamp = (k - 10) * TICK_NS
        found = [tracker.at(stamp), tracker.smoothed(stamp + 5 * TICK_NS), tracker.smoothed(stamp)]
        truths = [motion(one.stamp_ns / NS) for one in found]
        difference = [one.positions - truth for one, truth in zip(found, truths, strict=True)]
        errors.append([np.linalg.norm(one, axis=-1).mean() for one in difference])
        nees.append(
            np.einsum("ji,jik,jk->j", difference[2], np.linalg.inv(found[2].covariance), difference[2])
        )
        assert np.linalg.eigvalsh(found[0].covariance - found[2].covariance).min() > -1e-12
        assert np.linalg.eigvalsh(found[2].covariance).min() > 0
    causal, half, full = np.mean(errors, 0)
    assert full < half < causal and full < 0.7 * causal
    assert 1.5 < np.mean(nees) < 6.0  # 3 where the model is exact


def test_without_later_observations_the_window_is_causal(rig, person):
    tracker = run(rig, interleaved(rig, swing(person), 60))
    for stamp in (59 * TICK_NS, 59 * TICK_NS + 100_000_000):
        a, b = tracker.at(stamp), tracker.smoothed(stamp)
        np.testing.assert_array_equal(a.positions, b.positions)
        np.testing.assert_array_equal(a.covariance, b.covariance)
        assert a.view_ages_ns == b.view_ages_ns


def test_the_window_does_not_reach_before_the_track_began(rig, person):
    tracker = SkeletonTracker(rig, COCO17)
    observations = interleaved(rig, walk(person), 8)
    states = []
    for seen in observations:
        tracker.update(seen)
        states.append(tracker.at(seen.stamp_ns).state)
    assert tracker.smoothed(-TICK_NS).state == TrackingState.LOST
    assert [tracker.smoothed(seen.stamp_ns).state for seen in observations] == states
    assert TrackingState.LOST in states and TrackingState.TRACKED in states


def test_the_window_never_crosses_a_restart(rig, person):
    """The end of one track is what it was before the next began."""
    quick = TrackerSettings(confirm_s=0.07)
    there = interleaved(rig, swing(person), 50)
    gone = interleaved(rig, swing(person + (0.8, 0.0, 0.0)), 9, first=50)
    tracker = run(rig, there, quick)
    for seen in gone:
        first = tracker.state
        tracker.update(seen)
        if tracker.track.started == 2:
            break
    before = SkeletonTracker(rig, COCO17, quick)
    before.state = first
    for seen in there[-5:]:
        a, b = before.smoothed(seen.stamp_ns), tracker.smoothed(seen.stamp_ns)
        assert a.identity == b.identity == 1
        np.testing.assert_array_equal(a.positions, b.positions)
    assert tracker.smoothed(tracker.track.stamp_ns).identity == 2


def test_what_is_remembered_is_bounded_and_long_enough_over_a_gap(rig, person):
    motion = walk(person)
    tracker = run(rig, interleaved(rig, motion, 400))
    assert len(tracker.state.log) == 200 // 20 + 3
    after = 400 * TICK_NS + 150_000_000  # the first after a pause
    tracker.update(see(rig[0], motion(after / NS), after))
    open_before = [k * TICK_NS for k in range(390, 400)]
    assert tracker.exposures_ns[-11:] == (*open_before, after)
    for stamp in open_before:
        assert np.linalg.norm(tracker.smoothed(stamp).positions - motion(stamp / NS), axis=-1).max() < 0.5e-3
    assert tracker.smoothed(380 * TICK_NS).state == TrackingState.LOST, "forgotten"


def test_bad_input_is_refused(rig, person):
    tracker, seen = SkeletonTracker(rig, COCO17), see(rig[0], person, 0)
    with pytest.raises(CalibrationError, match="no camera 'else'"):
        tracker.update(Skeleton2D("else", 0, seen.pixels, seen.covariance, seen.confidence))
    with pytest.raises(ConfigError, match=r"view cam1 sent pixels \(3, 2\)"):
        tracker.update(Skeleton2D("cam1", 0, seen.pixels[:3], seen.covariance, seen.confidence))
    with pytest.raises(ConfigError, match="confirm_s is 0"):
        TrackerSettings(confirm_s=0)


@pytest.mark.parametrize("outlier_px", [-60.0, 60.0])
@pytest.mark.parametrize("joint", ["nose", "left_eye", "right_eye"])
def test_one_outlier_in_the_two_views_that_a_track_starts_from_is_overcome(rig, person, joint, outlier_px):
    """The trunk is stiff: a place that was taken for certain would hold out against a second of the truth."""
    rng, j = np.random.default_rng(0), COCO17.index(joint)
    tracker, errors = SkeletonTracker(rig, COCO17), []
    for k in range(75):
        noise = 5 * rng.normal(size=(J, 2))
        noise[j, 0] += outlier_px * (k == 1)
        tracker.update(see(rig[k % 4], person, k * TICK_NS, noise, std=5.0))
        errors.append(np.linalg.norm(tracker.at(k * TICK_NS).positions[j] - person[j]))
    assert np.mean(errors[50:]) < 0.08


def test_joints_of_human36m_are_followed_by_their_names(rig, person):
    """Limbs are limbs and left is left in another joint set."""
    half = {
        name.removeprefix("left_"): person[COCO17.index(name)] for name in COCO17.joints if "left" in name
    }
    centre = {"pelvis": 0.93, "belly": 1.15, "neck": 1.43, "nose": 1.58, "head": 1.74}
    stand = np.array(
        [
            (0.0, 0.0, centre[name])
            if name in centre
            else half[name.partition("_")[2]] * (1, 1 if H36M17.side(name) == "left" else -1, 1)
            for name in H36M17.joints
        ]
    )
    assert H36M17.partner("left_wrist") == "right_wrist" and H36M17.partner("belly") == "belly"
    acceleration = acceleration_covariance(H36M17)

    def freedom(a, b):
        i, j = H36M17.index(a), H36M17.index(b)
        return acceleration[i, i] + acceleration[j, j] - 2 * acceleration[i, j]

    assert freedom("left_elbow", "left_wrist") > 10 * freedom("neck", "belly")
    assert freedom("right_knee", "right_ankle") > 10 * freedom("pelvis", "right_hip")
    tracker = SkeletonTracker(rig, H36M17)
    for k in range(80):
        pixels = project(rig[k % 4], stand + (0.01 * k, 0.0, 0.0))
        if k > 60:  # left and right exchanged
            wrists = [H36M17.index("left_wrist"), H36M17.index("right_wrist")]
            pixels[wrists] = pixels[wrists[::-1]]
        claimed = np.tile(4 * np.eye(2), (17, 1, 1))
        tracker.update(Skeleton2D(rig.names[k % 4], k * TICK_NS, pixels, claimed, np.ones(17)))
    found = tracker.at(79 * TICK_NS)
    assert found.joint_set == "h36m17" and found.state == TrackingState.TRACKED
    np.testing.assert_allclose(found.positions, stand + (0.79, 0.0, 0.0), atol=0.01)
    np.testing.assert_allclose(found.velocities, np.tile((0.5, 0.0, 0.0), (17, 1)), atol=0.05)


def test_another_model_may_be_told(rig, person):
    observations = interleaved(rig, swing(person), 40, noise=None)
    own = body_model(rig, COCO17)
    stiff = SkeletonTracker(rig, COCO17, None, replace(own, acceleration=1e-4 * own.acceleration))
    same, shipped = SkeletonTracker(rig, COCO17, None, own), run(rig, observations)
    for seen in observations:
        stiff.update(seen)
        same.update(seen)
    expected = shipped.at(39 * TICK_NS).positions
    np.testing.assert_array_equal(same.at(39 * TICK_NS).positions, expected)
    assert np.nanmax(np.linalg.norm(stiff.at(39 * TICK_NS).positions - expected, axis=-1)) > 0.05


def wrong_wrist(rig, motion, ticks):
    """The left wrist half a metre up in the first view."""
    wrist = COCO17.index("left_wrist")
    observations = []
    for seen in interleaved(rig, motion, ticks):
        pixels = seen.pixels.copy()
        if seen.view == rig.names[0]:
            pixels[wrist] = project(rig[0], motion(seen.stamp_ns / NS)[wrist] + (0.0, 0.0, 0.5))
        observations.append(replace(seen, pixels=pixels))
    return observations


def test_one_view_that_is_wrong_for_long_makes_no_joint_lost(rig, person):
    """The others are most."""
    motion, wrist = swing(person), COCO17.index("left_wrist")
    tracker = run(rig, interleaved(rig, motion, 40))
    doubts, errors = [], []
    for seen in wrong_wrist(rig, motion, 160)[40:]:
        tracker.update(seen)
        doubts.append(tracker.track.body.doubt[wrist])
        found = tracker.at(seen.stamp_ns).positions
        errors.append(np.linalg.norm(found[wrist] - motion(seen.stamp_ns / NS)[wrist]))
    assert 0.2 < max(doubts) < 0.5
    assert max(errors) < 0.05
