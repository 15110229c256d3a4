"""Footage through a network, once, with a stand-in for the network's output."""

from dataclasses import asdict

import numpy as np
import pytest

from dw_core.benchmarks.detections import detect, look
from dw_core.data.footage import Footage
from dw_core.errors import MediaError


@pytest.fixture
def folder(tmp_path, make_footage, truth):
    return make_footage(tmp_path / "footage", truth)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "network.onnx"
    path.write_bytes(b"weights")
    return path


def unwanted(path):
    raise AssertionError(f"{path} is opened although everything is known")


def test_exact_maps_give_the_true_pixels_in_crops_around_the_person(rig, folder, truth, exact_network):
    found = look(rig, Footage.open(folder, rig.names), exact_network(truth), "", progress=False)
    cell = found.side[:, :, None, None] / 64
    # maps cut off at the disk's rim: a hundredth of a cell
    assert np.abs((found.pixels - truth.pixels[:, :, 0]) / cell).max() < 0.02
    assert found.confidence.min() > 0.95
    np.testing.assert_allclose(found.height, 0.9, atol=0.15)
    pixels = truth.pixels[:, :, 0]
    extent = (pixels.max(2) - pixels.min(2)).max(-1)
    ratio = found.side / extent
    assert 1.1 < ratio.min() and ratio.max() < 1.6, "from the first frame on it is close"
    place = (found.pixels - found.corner[:, :, None]) / found.side[:, :, None, None]
    assert 0 < place.min() and place.max() < 1
    np.testing.assert_allclose(found.top, 0.9, atol=0.05)  # its shape is not the Gaussian's
    assert (found.top >= found.height - 1e-6).all(), "the peak lies between the cells"
    # nor is its top: a Gaussian's is sharper
    np.testing.assert_allclose(found.width, 1.2 / 64, rtol=0.3)
    assert (found.second_height == 0).all()


def test_what_was_seen_is_kept_and_not_looked_at_again(rig, folder, weights, truth, exact_network):
    first = detect(folder, rig, weights, lambda _: exact_network(truth), progress=False)
    again = detect(folder, rig, weights, unwanted, progress=False)
    for name in asdict(first):
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))


@pytest.mark.parametrize("changed", ["network.onnx", "footage/scene.sha256"])
def test_another_network_or_scene_is_looked_at_anew(
    tmp_path, rig, folder, weights, truth, exact_network, changed
):
    first = detect(folder, rig, weights, lambda _: exact_network(truth), progress=False)
    (tmp_path / changed).write_bytes(b"something else")
    shifted = exact_network(truth, shift=(8.0, 0.0))
    second = detect(folder, rig, weights, lambda _: shifted, progress=False)
    np.testing.assert_allclose((second.pixels - first.pixels)[..., 0], 8.0, atol=0.3)


def test_what_is_kept_but_cannot_be_read_is_named(rig, folder, weights, truth, exact_network):
    detect(folder, rig, weights, lambda _: exact_network(truth), progress=False)
    (kept,) = folder.glob("joints-*.npz")
    kept.write_bytes(b"torn")
    with pytest.raises(MediaError, match=r"joints-.*npz: it cannot be read as detections .*, delete it"):
        detect(folder, rig, weights, unwanted, progress=False)


def test_views_of_different_lengths_are_refused(rig, folder, weights, truth, exact_network):
    (folder / "cam2" / "000039.jpg").unlink()
    with pytest.raises(MediaError, match="cam1 40, cam2 39, cam3 40, cam4 40 images"):
        detect(folder, rig, weights, lambda _: exact_network(truth), progress=False)
