import numpy as np
import pytest

from dw_core.benchmarks.keypoints import Noise, floor_middle, scene
from dw_core.errors import ConfigError
from dw_core.geometry.camera import Rig, project

TINY = Noise(px=1e-9, outliers=0.0)


def test_a_rig_looks_at_the_middle_of_its_floor(make_camera):
    target = (0.7, -1.2, 0.9)
    centres = ((4, 0, 1.5), (-4, 1, 2.0), (0, 5, 1.0))
    rig = Rig(tuple(make_camera(f"c{k}", centre, target) for k, centre in enumerate(centres)))
    np.testing.assert_allclose(floor_middle(rig), (0.7, -1.2, 0.0), atol=1e-9)


def test_the_middle_of_the_motion_stands_in_the_middle_of_the_rig(rig, make_walker):
    motion = make_walker(3.0)
    seen = scene(motion, rig, 20, 1.0, TINY)
    assert len(seen) == 51 and seen.stamp_ns(50) == 1_000_000_000
    moved = seen.truth - motion.at(1.0 + np.arange(51) * 0.02)
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0, 0], moved.shape), atol=1e-12)
    low, high = seen.truth.min((0, 1)), seen.truth.max((0, 1))
    np.testing.assert_allclose(((low + high) / 2)[:2], floor_middle(rig)[:2], atol=1e-9)
    np.testing.assert_allclose(moved[..., 2], 0.0, atol=1e-12)
    for view, camera in enumerate(rig):
        np.testing.assert_allclose(seen.pixels[:, view], project(camera, seen.truth), atol=1e-6)


def test_a_short_motion_is_taken_whole(rig, make_walker):
    assert len(scene(make_walker(1.5), rig, 20, 8.0, TINY)) == 76
    assert len(scene(make_walker(1.5), rig, 7, 8.0, TINY)) == 215


def test_views_fire_in_turn_and_claim_the_noise(rig, make_walker):
    seen = scene(make_walker(), rig, 20, 2.0, Noise())
    for tick in (0, 3, 6, 93):
        observation = seen.seen(tick, tick % len(seen.rig))
        assert (observation.view, observation.stamp_ns) == (rig.names[tick % 4], tick * 20_000_000)
        np.testing.assert_array_equal(observation.pixels, seen.pixels[tick, tick % 4])
        np.testing.assert_array_equal(observation.covariance, np.tile(25 * np.eye(2), (17, 1, 1)))
        assert (observation.confidence == 1).all()


def test_noise_has_the_stated_distribution(rig, make_walker):
    motion = make_walker(8.0)
    noise = Noise(px=5.0, outliers=0.03, outlier_px=40.0)
    exact = scene(motion, rig, 10, 8.0, TINY).pixels
    error = scene(motion, rig, 10, 8.0, noise).pixels - exact
    assert abs(error.mean()) < 0.05
    assert np.var(error) == pytest.approx(0.97 * 25 + 0.03 * 1600, rel=0.05)
    # 20 px is out of reach for 5 px; of 40 px in two coordinates, all but 1 - exp(-1/8) go further
    far = (np.linalg.norm(error, axis=-1) > 20).mean()
    assert far == pytest.approx(0.03 * np.exp(-1 / 8) + 0.97 * np.exp(-8), rel=0.05)
    x, y = error[..., 0].ravel(), error[..., 1].ravel()
    assert abs(np.corrcoef(np.clip(x, -15, 15), np.clip(y, -15, 15))[0, 1]) < 0.02


def test_noise_depends_on_the_seed_and_the_name_alone(rig, make_walker):
    first, again = (scene(make_walker(), rig, 20, 2.0, Noise(seed=3)).pixels for _ in range(2))
    np.testing.assert_array_equal(first, again)
    for other in (
        scene(make_walker(), rig, 20, 2.0, Noise(seed=4)),
        scene(make_walker(name="b"), rig, 20, 2.0, Noise(seed=3)),
    ):
        assert np.abs(other.pixels - first).min() > 0


def test_what_is_outside_of_the_images_is_counted(rig, make_walker):
    assert scene(make_walker(1.0), rig, 20, 1.0, TINY).outside == 0.0
    far = scene(make_walker(3.0, velocity=(0.0, 6.0, 0.0)), rig, 20, 3.0, TINY)
    exact = np.stack([project(camera, far.truth) for camera in rig])
    inside = ((exact > -0.5) & (exact < 999.5)).all(-1)
    assert far.outside == pytest.approx(1 - inside.mean()) and far.outside > 0.2


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"px": 0.0}, "noise: px is 0, expected more"),
        ({"px": float("nan")}, "noise: px is nan, expected 0 or more"),
        ({"outliers": 1.5}, "noise: outliers is 1.5, expected a fraction"),
        ({"outlier_px": -1.0}, "noise: outlier_px is -1.0, expected 0 or more"),
        ({"seed": -1}, "noise: seed is -1, expected 0 or more"),
    ],
)
def test_noise_that_cannot_be(values, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Noise(**values)


def test_a_tick_lasts_some_time(rig, make_walker):
    with pytest.raises(ConfigError, match="a tick is 0 ms, expected more than 0"):
        scene(make_walker(), rig, 0.0, 1.0, TINY)
