"""A pose prior: a network on skeletons in the frame of their trunk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from scipy.spatial.transform import Rotation

from dw_core.errors import AssetError, ConfigError
from dw_core.pose_prior import (
    MOST_M,
    SCALE_M,
    PosePrior,
    features,
    in_trunk,
    load_prior,
    mirrored,
    packaged_prior,
)
from dw_core.skeleton import COCO17, H36M17, JointSet

from .test_anatomy import standing


def layers(joints: JointSet, size: float, seed: int = 0) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Of a network with random weights."""
    rng, J = np.random.default_rng(seed), len(joints)
    sizes = (4 * J, 24, 3 * J)
    return tuple(
        (rng.normal(0, size, (b, a)).astype(np.float32), rng.normal(0, size, b).astype(np.float32))
        for a, b in zip(sizes, sizes[1:], strict=False)
    )


def constant(joints: JointSet, move: np.ndarray) -> PosePrior:
    """A network that moves joints always by the same (J, 3), metres in the trunk's frame."""
    J = len(joints)
    bias = (move / SCALE_M).ravel().astype(np.float32)
    return PosePrior(joints, ((np.zeros((3 * J, 4 * J), np.float32), bias),))


@pytest.mark.parametrize("joints", [COCO17, H36M17], ids=lambda joints: joints.name)
def test_moves_are_in_the_frame_of_the_trunk(joints: JointSet) -> None:
    """Standing, the frame's axes are the world's: what is the same on both sides remains."""
    move = np.zeros((len(joints), 3))
    for side, sign in (("left", 1), ("right", -1)):
        move[joints.index(f"{side}_knee")] = (0.02 * sign, 0.01, -0.03)
    move[joints.index("nose")] = (0.05, 0.0, 0.01)  # to the left in both: the mirror image takes it back
    moved = constant(joints, move).corrected(standing(joints), joints) - standing(joints)
    move[joints.index("nose"), 0] = 0.0
    np.testing.assert_allclose(moved, move, atol=1e-7)


def test_layers_are_multiplied_out_with_a_relu_between_them() -> None:
    """A plain reference: joint by joint, row by row."""
    prior, pose = PosePrior(COCO17, layers(COCO17, 0.05)), standing(COCO17)
    frame, places = in_trunk(pose, COCO17)

    def plain(places: np.ndarray) -> np.ndarray:
        x = [*(places / SCALE_M).ravel(), *np.zeros(len(COCO17))]
        for k, (weights, bias) in enumerate(prior.layers):
            x = [
                sum(w * v for w, v in zip(row, x, strict=True)) + b
                for row, b in zip(weights, bias, strict=True)
            ]
            x = [max(v, 0.0) for v in x] if k == 0 else x
        return SCALE_M * np.array(x).reshape(-1, 3)

    moves = (plain(places) + mirrored(plain(mirrored(places, COCO17)), COCO17)) / 2
    assert 1e-3 < np.linalg.norm(moves, axis=-1).max() < MOST_M
    np.testing.assert_allclose(prior.corrected(pose, COCO17), pose + moves @ frame, atol=1e-6)


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(*(st.floats(-3, 3) for _ in range(3))),
    st.tuples(*(st.floats(-5, 5) for _ in range(3))),
)
def test_it_does_not_matter_where_one_stands(
    seed: int, turn: tuple[float, ...], place: tuple[float, ...]
) -> None:
    prior = PosePrior(COCO17, layers(COCO17, 0.1))
    pose = standing(COCO17) + np.random.default_rng(seed).normal(0, 0.04, (17, 3))
    R = Rotation.from_rotvec(turn).as_matrix()
    np.testing.assert_allclose(
        prior.corrected(pose @ R.T + place, COCO17), prior.corrected(pose, COCO17) @ R.T + place, atol=1e-5
    )


@given(st.integers(0, 2**32 - 1))
def test_left_and_right_are_alike(seed: int) -> None:
    prior = PosePrior(COCO17, layers(COCO17, 0.1))
    pose = standing(COCO17) + np.random.default_rng(seed).normal(0, 0.04, (17, 3))
    np.testing.assert_allclose(
        prior.corrected(mirrored(pose, COCO17), COCO17),
        mirrored(prior.corrected(pose, COCO17), COCO17),
        atol=1e-5,
    )


def test_no_joint_is_moved_far() -> None:
    wild = PosePrior(COCO17, layers(COCO17, 5.0)).corrected(standing(COCO17), COCO17)
    length = np.linalg.norm(wild - standing(COCO17), axis=-1)
    np.testing.assert_allclose(length.max(), MOST_M, rtol=1e-9)


def test_missing_joints_stay_missing_and_are_told_to_the_network() -> None:
    pose = standing(COCO17)
    pose[COCO17.index("left_wrist")] = np.nan
    seen = features(in_trunk(pose, COCO17)[1])
    assert np.isfinite(seen).all() and seen[3 * 17 :].nonzero()[0].tolist() == [COCO17.index("left_wrist")]
    moved = PosePrior(COCO17, layers(COCO17, 0.1)).corrected(pose, COCO17)
    np.testing.assert_array_equal(np.isnan(moved), np.isnan(pose))


@pytest.mark.parametrize("missing", ["left_hip", "right_shoulder"])
def test_a_skeleton_without_its_trunk_stays_as_it_is(missing: str) -> None:
    poses = np.stack((standing(COCO17), standing(COCO17)))
    poses[1, COCO17.index(missing)] = np.nan
    moved = PosePrior(COCO17, layers(COCO17, 0.1)).corrected(poses, COCO17)
    np.testing.assert_array_equal(moved[1], poses[1])
    assert (moved[0] != poses[0]).any()


def test_other_joints_and_other_layers_are_refused() -> None:
    with pytest.raises(ConfigError, match="for coco17 was given joints of h36m17"):
        PosePrior(COCO17, layers(COCO17, 0.1)).corrected(standing(H36M17), H36M17)
    with pytest.raises(ConfigError, match="expected 68 inputs, 51 outputs"):
        PosePrior(COCO17, layers(COCO17, 0.1)[:1])
    with pytest.raises(ConfigError, match="expected 68 inputs"):
        PosePrior(COCO17, ())


@pytest.mark.parametrize("joints", [COCO17, H36M17], ids=lambda joints: joints.name)
def test_the_package_has_one(joints: JointSet) -> None:
    prior, path = load_prior("packaged", joints), packaged_prior(joints)
    assert prior is not None and path is not None and path.stat().st_size < 1e6
    moved = prior.corrected(standing(joints), joints) - standing(joints)
    assert 1e-3 < np.linalg.norm(moved, axis=-1).mean() < 0.06  # nobody is built like a drawing


def test_names(tmp_path: Path) -> None:
    assert load_prior("none", COCO17) is None
    assert load_prior("packaged", JointSet("two", ("a", "b"), ())) is None
    with pytest.raises(AssetError, match="does not exist, expected none, packaged or a file"):
        load_prior(str(tmp_path / "no.safetensors"), COCO17)
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    with pytest.raises(AssetError, match="cannot be read as safetensors"):
        load_prior(str(tmp_path / "broken.safetensors"), COCO17)
    with pytest.raises(AssetError, match="expected pose_prior for those of coco17"):
        load_prior(str(packaged_prior(H36M17)), COCO17)


def test_files_with_other_layers_are_refused(tmp_path: Path) -> None:
    header = {"architecture": "pose_prior", "joints": ",".join(COCO17.joints)}
    save_file(
        {"0.weight": np.zeros((51, 60), np.float32), "0.bias": np.zeros(51, np.float32)},
        tmp_path / "a",
        header,
    )
    with pytest.raises(AssetError, match="expected 68 inputs"):
        load_prior(str(tmp_path / "a"), COCO17)
    save_file({"weight": np.zeros((51, 68), np.float32)}, tmp_path / "b", header)
    with pytest.raises(AssetError, match="holds arrays weight, expected 0.weight"):
        load_prior(str(tmp_path / "b"), COCO17)
