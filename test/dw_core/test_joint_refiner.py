"""The joint refiner: a network on one image's joints, by the person's place and size."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from dw_core.errors import AssetError, ConfigError
from dw_core.joint_refiner import (
    ARCHITECTURE,
    FEATURES,
    LOG_SPREAD,
    MIN_KNOWN,
    MOST,
    MOST_LOG,
    OUTPUTS,
    JointRefiner,
    Layer,
    features,
    load_refiner,
    packaged_refiner,
)
from dw_core.skeleton import COCO17, H36M17, JointSet, partners
from dw_core.types import Skeleton2D

from .drawn import layers, random_refiner, standing

PX_PER_M = 180.0
Seen = tuple[np.ndarray, np.ndarray, np.ndarray]


def constant(joints: JointSet, outputs: np.ndarray) -> JointRefiner:
    """A network that always puts out the same (J, OUTPUTS)."""
    J = len(joints)
    weights = np.zeros((OUTPUTS * J, FEATURES * J), np.float32)
    return JointRefiner(joints, ((weights, outputs.ravel().astype(np.float32)),))


def image(joints: JointSet, seed: int | None = None) -> Seen:
    """Pixels (J, 2), covariance (J, 2, 2) and confidence (J,) of somebody who stands before a camera; with a
    seed somewhat bent, seen with a certainty that varies."""
    pose = standing(joints)
    pixels = PX_PER_M * np.stack((-pose[:, 0], -pose[:, 2]), -1) + (640.0, 420.0)
    J = len(joints)
    covariance, confidence = np.tile(25.0 * np.eye(2), (J, 1, 1)), np.full(J, 0.9)
    if seed is not None:
        rng = np.random.default_rng(seed)
        pixels = pixels + rng.normal(0, 15, (J, 2))
        part = rng.normal(0, 4, (J, 2, 2))
        covariance = np.einsum("jab,jcb->jac", part, part) + 4 * np.eye(2)
        confidence = rng.uniform(0.2, 1.0, J)
    return pixels, covariance, confidence


def size_of(pixels: np.ndarray) -> float:
    """Of joints of one confidence: the root mean square distance from their mean."""
    return float(np.sqrt(((pixels - pixels.mean(0)) ** 2).sum(-1).mean()))


def mirror(seen: Seen, joints: JointSet, width: float = 1280.0) -> Seen:
    """The same in the mirror image, where left is right."""
    pairs = partners(joints)
    pixels, covariance, confidence = (array[pairs] for array in seen)
    flip = np.array(((1.0, -1.0), (-1.0, 1.0)))
    return np.stack((width - pixels[:, 0], pixels[:, 1]), -1), covariance * flip, confidence


@pytest.mark.parametrize("joints", [COCO17, H36M17], ids=lambda joints: joints.name)
def test_moves_are_parts_of_the_persons_size(joints: JointSet) -> None:
    """What is the same on both sides remains."""
    outputs = np.zeros((len(joints), OUTPUTS))
    for side, sign in (("left", 1), ("right", -1)):
        outputs[joints.index(f"{side}_knee")] = (0.04 * sign, 0.02, -0.8)
    outputs[joints.index("nose")] = (0.05, -0.03, 0.5)  # to the right in both: the mirror image takes it back
    outputs[joints.index("left_wrist"), 2] = 0.6  # and of what one side says the other gets a half
    pixels, covariance, confidence = image(joints)
    moved, scaled = constant(joints, outputs).refine(pixels, covariance, confidence)
    outputs[joints.index("nose"), 0] = 0.0
    outputs[[joints.index("left_wrist"), joints.index("right_wrist")], 2] = 0.3
    np.testing.assert_allclose(moved - pixels, size_of(pixels) * outputs[:, :2], atol=1e-4)
    np.testing.assert_allclose(scaled, np.exp(outputs[:, 2])[:, None, None] * covariance, rtol=1e-6)


def plain_features(seen: Seen) -> list[list[float]]:
    """Joint by joint."""
    pixels, covariance, confidence = (array.tolist() for array in seen)
    there = [j for j, c in enumerate(confidence) if c > 0]
    total = sum(confidence[j] for j in there)
    x, y = (sum(confidence[j] * pixels[j][k] for j in there) / total for k in (0, 1))
    square = sum(confidence[j] * ((pixels[j][0] - x) ** 2 + (pixels[j][1] - y) ** 2) for j in there) / total
    size, rows = math.sqrt(square), []
    for j, c in enumerate(confidence):
        if j not in there:
            rows.append([0.0, 0.0, 0.0, 0.0, 1.0])
            continue
        spread = math.sqrt((covariance[j][0][0] + covariance[j][1][1]) / 2) / size
        rows.append(
            [(pixels[j][0] - x) / size, (pixels[j][1] - y) / size, math.log(spread) - LOG_SPREAD, c, 0]
        )
    return [*rows, [size]]


def test_layers_are_multiplied_out_with_a_relu_between_them() -> None:
    """A plain reference: joint by joint, row by row, of the image and of its mirror image."""
    refiner, seen = random_refiner(COCO17, 0.03), image(COCO17, seed=3)
    for array in seen[:2]:
        array[COCO17.index("left_wrist")] = np.nan
    seen[2][COCO17.index("left_wrist")] = 0.0

    def plain(seen: Seen) -> np.ndarray:
        x = [value for row in plain_features(seen)[:-1] for value in row]
        for k, (weights, bias) in enumerate(refiner.layers):
            rows = zip(weights.tolist(), bias.tolist(), strict=True)
            x = [sum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in rows]
            x = [max(v, 0.0) for v in x] if k == 0 else x
        return np.array(x).reshape(-1, OUTPUTS)

    pairs, (*_, (size,)) = partners(COCO17), plain_features(seen)
    out = (plain(seen) + plain(mirror(seen, COCO17))[pairs] * (-1, 1, 1)) / 2
    assert (
        0.02 < np.linalg.norm(out[:, :2], axis=-1).max() < MOST and 0.02 < np.abs(out[:, 2]).max() < MOST_LOG
    )
    moved, scaled = refiner.refine(*seen)
    np.testing.assert_allclose(moved, seen[0] + size * out[:, :2], atol=1e-4)
    np.testing.assert_allclose(scaled, seen[1] * np.exp(out[:, 2])[:, None, None], rtol=1e-5)


@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.1, 20),
    st.tuples(st.floats(-3000, 3000), st.floats(-3000, 3000)),
)
def test_it_does_not_matter_where_and_how_large_one_is(
    seed: int, scale: float, place: tuple[float, float]
) -> None:
    refiner, (pixels, covariance, confidence) = random_refiner(COCO17, 0.1), image(COCO17, seed)
    moved, scaled = refiner.refine(pixels, covariance, confidence)
    there = refiner.refine(scale * pixels + place, scale**2 * covariance, confidence)
    np.testing.assert_allclose(there[0], scale * moved + place, atol=1e-3 * scale)
    np.testing.assert_allclose(there[1], scale**2 * scaled, rtol=1e-4, atol=1e-6 * scale**2)


@given(st.integers(0, 2**32 - 1), st.sampled_from((COCO17, H36M17)))
def test_left_and_right_are_alike(seed: int, joints: JointSet) -> None:
    refiner, seen = random_refiner(joints, 0.1), image(joints, seed)
    there = refiner.refine(*mirror(seen, joints))
    here = mirror((*refiner.refine(*seen), seen[2]), joints)
    np.testing.assert_allclose(there[0], here[0], atol=1e-3)
    np.testing.assert_allclose(there[1], here[1], rtol=1e-4, atol=1e-6)


def test_no_joint_is_moved_far_and_no_variance_changes_much() -> None:
    pixels, covariance, confidence = image(COCO17)
    moved, scaled = random_refiner(COCO17, 5.0).refine(pixels, covariance, confidence)
    far = np.linalg.norm(moved - pixels, axis=-1) / size_of(pixels)
    np.testing.assert_allclose(far.max(), MOST, rtol=1e-9)
    factor = np.log(scaled[:, 0, 0] / covariance[:, 0, 0])
    np.testing.assert_allclose((factor.min(), factor.max()), (-MOST_LOG, MOST_LOG), rtol=1e-9)


def test_missing_joints_stay_missing_and_are_told_to_the_network() -> None:
    pixels, covariance, confidence = image(COCO17, seed=1)
    gone = COCO17.index("left_wrist")
    pixels[gone], covariance[gone], confidence[gone] = np.nan, np.nan, 0.0
    told, *_ = features(pixels, covariance, confidence)
    assert np.isfinite(told).all() and told[:, 4].nonzero()[0].tolist() == [gone]
    np.testing.assert_array_equal(told[gone], (0, 0, 0, 0, 1))
    seen = Skeleton2D("cam2", 7, pixels, covariance, confidence)
    refined = random_refiner(COCO17, 0.1).refined(seen)
    for name in ("pixels", "covariance"):
        before, after = getattr(seen, name), getattr(refined, name)
        np.testing.assert_array_equal(np.isnan(after), np.isnan(before))
        assert (after != before)[np.isfinite(before)].mean() > 0.9
    np.testing.assert_array_equal(refined.confidence, confidence)
    assert (refined.view, refined.stamp_ns) == ("cam2", 7)


@pytest.mark.parametrize("known", [0, MIN_KNOWN - 1, MIN_KNOWN])
def test_few_joints_are_no_person_and_stay_as_they_are(known: int) -> None:
    pixels, covariance, confidence = image(COCO17, seed=2)
    pixels[known:], covariance[known:], confidence[known:] = np.nan, np.nan, 0.0
    moved, scaled = random_refiner(COCO17, 0.1).refine(pixels, covariance, confidence)
    if known < MIN_KNOWN:
        np.testing.assert_array_equal(moved, pixels)
        np.testing.assert_array_equal(scaled, covariance)
    else:
        assert (moved[:known] != pixels[:known]).all() and (scaled[:known] != covariance[:known]).all()


def test_many_images_at_once_are_as_one_by_one() -> None:
    refiner, T, M = random_refiner(COCO17, 0.1), 3, 4
    parts = [image(COCO17, seed) for seed in range(T * M)]
    parts[5][2][4:] = 0.0  # few joints
    parts[7][0][2], parts[7][1][2], parts[7][2][2] = np.nan, np.nan, 0.0
    pixels, covariance, confidence = (
        np.stack(one).reshape(T, M, *one[0].shape) for one in zip(*parts, strict=True)
    )
    moved, scaled = refiner.refine(pixels, covariance, confidence)
    assert moved.shape == (T, M, 17, 2) and scaled.shape == (T, M, 17, 2, 2)
    for k, part in enumerate(parts):
        one, other = refiner.refine(*part)
        np.testing.assert_allclose(moved[divmod(k, M)], one, atol=1e-4)
        np.testing.assert_allclose(scaled[divmod(k, M)], other, rtol=1e-5)


def test_other_joints_and_other_layers_are_refused() -> None:
    other = JointSet("ten", COCO17.joints[:10], ())
    pixels, covariance, confidence = (array[:10] for array in image(COCO17))
    with pytest.raises(ConfigError, match="for coco17 was given 10 joints, expected 17"):
        random_refiner(COCO17, 0.1).refine(pixels, covariance, confidence)
    for bad in (layers(COCO17, 0.1)[:1], layers(COCO17, 0.1)[1:], layers(other, 0.1), ()):
        with pytest.raises(ConfigError, match="expected 85 inputs, 51 outputs"):
            JointRefiner(COCO17, bad)


@pytest.mark.parametrize("joints", [COCO17, H36M17], ids=lambda joints: joints.name)
def test_the_package_has_one(joints: JointSet) -> None:
    refiner, path = load_refiner("packaged", joints), packaged_refiner(joints)
    assert refiner is not None and path is not None and path.stat().st_size < 2e6
    pixels, covariance, confidence = image(joints)
    moved, scaled = refiner.refine(pixels, covariance, confidence)
    parts = np.linalg.norm(moved - pixels, axis=-1) / size_of(pixels)
    assert 1e-3 < parts.mean() < 0.15  # nobody is built like a drawing
    assert (scaled != covariance)[:, [0, 1], [0, 1]].all()


def written(
    path: Path, joints: JointSet, arrays: dict[str, np.ndarray], architecture: str = ARCHITECTURE
) -> str:
    save_file(arrays, path, {"architecture": architecture, "joints": ",".join(joints.joints)})
    return str(path)


def arrays_of(some: tuple[Layer, ...]) -> dict[str, np.ndarray]:
    named = {}
    for k, (weights, bias) in enumerate(some):
        named |= {f"{2 * k}.weight": weights, f"{2 * k}.bias": bias}
    return named


def test_names(tmp_path: Path) -> None:
    assert load_refiner("none", COCO17) is None
    assert load_refiner("packaged", JointSet("two", ("a", "b"), ())) is None
    made = layers(COCO17, 0.1)
    refiner = load_refiner(written(tmp_path / "good", COCO17, arrays_of(made)), COCO17)
    assert refiner is not None and refiner.joints == COCO17
    for one, other in zip(refiner.layers, made, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_bad_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="does not exist, expected none, packaged or a file"):
        load_refiner(str(tmp_path / "no.safetensors"), COCO17)
    (tmp_path / "broken").write_bytes(b"no")
    with pytest.raises(AssetError, match="cannot be read as safetensors"):
        load_refiner(str(tmp_path / "broken"), COCO17)
    good = arrays_of(layers(COCO17, 0.1))
    for joints, architecture in ((H36M17, ARCHITECTURE), (COCO17, "warper")):
        other = written(tmp_path / "other", joints, good, architecture)
        with pytest.raises(AssetError, match="expected joint_refiner for those of coco17"):
            load_refiner(other, COCO17)
    few = written(tmp_path / "few", COCO17, arrays_of(layers(COCO17, 0.1)[1:]))
    with pytest.raises(AssetError, match="expected 85 inputs"):
        load_refiner(few, COCO17)
    nameless = written(tmp_path / "nameless", COCO17, {"weight": np.zeros((51, 85), np.float32)})
    with pytest.raises(AssetError, match=r"holds arrays weight, expected 0\.weight"):
        load_refiner(nameless, COCO17)
