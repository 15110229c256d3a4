import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dw_core.evaluation.metrics import (
    acceleration_errors,
    bone_lengths,
    joint_errors,
    mpjpe,
    p_mpjpe,
    procrustes_align,
    relative_mad,
    reprojection_errors,
    velocity_errors,
    within,
    within_curve,
)
from dw_core.geometry.camera import project

angle = st.floats(-3, 3)


def test_absolute_and_root_relative_errors(person):
    moved = person + (0.3, 0.0, 0.4)
    assert mpjpe(moved, person) == pytest.approx(0.5)
    assert mpjpe(moved, person, root=11) == pytest.approx(0.0)
    moved[0] += (0.0, 0.17, 0.0)
    np.testing.assert_allclose(joint_errors(moved, person, root=11)[0], 0.17)
    assert mpjpe(moved, person, root=11) == pytest.approx(0.01)


def test_unknown_joints_are_left_out(person):
    predicted = person + (0.1, 0.0, 0.0)
    predicted[3] = np.nan
    assert mpjpe(predicted, person) == pytest.approx(0.1)
    assert p_mpjpe(predicted, person) == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(mpjpe(np.full((17, 3), np.nan), person))
    assert np.isnan(p_mpjpe(np.full((17, 3), np.nan), person))


@given(rotation=st.tuples(angle, angle, angle), scale=st.floats(0.2, 5), shift=st.tuples(angle, angle, angle))
def test_procrustes_undoes_any_similarity(person, rotation, scale, shift):
    moved = scale * person @ Rotation.from_rotvec(rotation).as_matrix().T + np.array(shift)
    np.testing.assert_allclose(procrustes_align(moved, person), person, atol=1e-9)


def test_procrustes_does_not_reflect(person):
    person = person + np.linspace(0, 0.1, 17)[:, None] * (1.0, 0.3, 0.0)  # nobody is symmetrical
    assert p_mpjpe(person * (1.0, -1.0, 1.0), person) > 0.02


def test_procrustes_aligns_every_pose_of_a_batch_alone(person):
    batch = np.stack((person + (1, 0, 0), 2 * person, person[::-1]))
    alone = [procrustes_align(pose, person) for pose in batch]
    np.testing.assert_allclose(procrustes_align(batch, np.stack([person] * 3)), alone, atol=1e-12)


def test_procrustes_is_no_worse_than_leaving_the_pose(person):
    noisy = person + 0.05 * np.random.default_rng(0).normal(size=person.shape)
    before = ((noisy - person) ** 2).sum()
    assert ((procrustes_align(noisy, person) - person) ** 2).sum() < before


def test_bone_lengths_and_their_deviation(person):
    bones = [(13, 15), (14, 16)]
    clip = np.stack([person] * 5)
    clip[:, 15, 2] -= np.array([0.0, 0.01, -0.01, 0.5, 0.0])
    lengths = bone_lengths(clip, bones)
    np.testing.assert_allclose(lengths[0, 1], np.linalg.norm(person[14] - person[16]))
    left, right = relative_mad(lengths)
    assert right == pytest.approx(0.0, abs=1e-12)
    assert left == pytest.approx(0.01 / np.median(lengths[:, 0]), rel=0.02)
    clip[1:, 15] = np.nan
    assert relative_mad(bone_lengths(clip, bones))[0] == 0.0
    clip[0, 15] = np.nan
    assert np.isnan(relative_mad(bone_lengths(clip, bones))[0])


def test_reprojection_errors(rig, person):
    pixels = project(rig[0], person) + (3.0, 4.0)
    np.testing.assert_allclose(reprojection_errors(rig[0], person, pixels), 5.0, atol=1e-9)


def test_velocity_and_acceleration_errors(person):
    times = np.arange(6)[:, None, None] * 0.1
    truth = person + times * (1.0, 2.0, 0.0)
    lagging = truth - (0.1, 0.0, 0.0)
    np.testing.assert_allclose(velocity_errors(lagging, truth, 0.1), np.zeros((5, 17)), atol=1e-12)
    faster = truth + times * (0.3, 0.0, 0.4) + 0.5 * times**2 * (0.0, 0.0, 2.0)
    np.testing.assert_allclose(acceleration_errors(faster, truth, 0.1), np.full((4, 17), 2.0))
    np.testing.assert_allclose(velocity_errors(truth + times * (0.3, 0.0, 0.4), truth, 0.1), 0.5)
    jump = truth.copy()
    jump[3, 5] += (0.0, 0.02, 0.0)
    expected = np.zeros((5, 17))
    expected[2:4, 5] = 0.2
    np.testing.assert_allclose(velocity_errors(jump, truth, 0.1), expected, atol=1e-12)


def test_rates_at_irregular_times(person):
    times = np.array([0.0, 0.1, 0.3, 0.35, 0.5])
    truth = np.tile(person, (5, 1, 1))
    moving = truth + (times * 2.0)[:, None, None] * (1.0, 0.0, 0.0)
    np.testing.assert_allclose(velocity_errors(moving, truth, times), 2.0)
    np.testing.assert_allclose(acceleration_errors(moving, truth, times), 0.0, atol=1e-9)
    falling = truth + (times**2)[:, None, None] * (0.0, 0.0, 3.0)
    np.testing.assert_allclose(acceleration_errors(falling, truth, times), 6.0)


def test_parts_of_joints_within_limits():
    errors = np.array([0.0, 0.005, 0.0051, 0.15, 0.1501, 1.0, np.nan])
    np.testing.assert_array_equal(within(errors, 0.15), [1, 1, 1, 1, 0, 0, np.nan])
    expected = [31 / 31, 30 / 31, 29 / 31, 1 / 31, 0, 0, np.nan]
    np.testing.assert_allclose(within_curve(errors, 0.15), expected)
