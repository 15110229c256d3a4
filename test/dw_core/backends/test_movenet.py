import threading

import numpy as np
import pytest

from dw_core import backends
from dw_core.backends.movenet import BIAS_PX, Movenet
from dw_core.backends.network import sample_crop
from dw_core.data import assets
from dw_core.data.footage import Footage, decode_jpeg
from dw_core.errors import AssetError, ConfigError
from dw_core.geometry.crop import Crop
from dw_core.heatmaps.decode import decode
from dw_core.skeleton import COCO17
from dw_core.types import ImageFrame

# The person in frame 0 of cam03.
CROP = Crop(140.0, 370.0, 960.0)
PARTNERS = [COCO17.index(COCO17.partner(joint)) for joint in COCO17.joints]


@pytest.fixture(scope="module")
def frame():
    pixels = decode_jpeg(Footage.open(assets.footage(), ["cam03"]).jpeg("cam03", 0))
    return ImageFrame("cam03", 0, pixels)


@pytest.fixture(scope="module")
def network():
    return Movenet(assets.movenet("float32"))


def sure(maps):
    return maps.reshape(len(maps), -1).max(1) > 0.5


def test_person_is_found_with_sides_told_apart(network, frame):
    maps = network.infer(frame, CROP)
    assert maps.shape == (17, 64, 64) and maps.dtype == np.float32
    assert 0 <= maps.min() and maps.max() <= 1
    joints = decode(maps, CROP)
    assert sure(maps).sum() >= 14
    at = {name: joints.pixels[COCO17.index(name)] for name in COCO17.joints}
    assert (
        at["nose"][1] < at["left_shoulder"][1] < at["left_hip"][1] < at["left_knee"][1] < at["left_ankle"][1]
    )
    # seen from behind: the person's left is on the left
    assert at["left_shoulder"][0] < at["right_shoulder"][0]


def test_network_is_deterministic_and_shared_between_threads(network, frame):
    alone = network.infer(frame, CROP)
    found = [None] * 4

    def work(i):
        found[i] = Movenet(assets.movenet("float32")).infer(frame, CROP)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for maps in found:
        np.testing.assert_array_equal(maps, alone)


def test_batch_and_single_crops_agree(network, frame):
    crops = np.stack([sample_crop(frame, CROP, 256), sample_crop(frame, Crop(100, 300, 1100), 256)])
    batch = network.infer_crops(crops)
    for crop, maps in zip(crops, batch, strict=True):
        np.testing.assert_allclose(network.infer_crops(crop[None])[0], maps, atol=1e-4)


def test_half_size_images_give_the_same_joints(network, frame):
    """The same crop, with pixels of 2 x 2: joints agree to a few px of a 960 px crop, without a shift."""
    rows, columns, _ = frame.pixels.shape
    small = frame.pixels.reshape(rows // 2, 2, columns // 2, 2, 3).mean((1, 3)).astype(np.uint8)
    full = network.infer(frame, CROP)
    half = network.infer(ImageFrame("cam03", 0, small, binning=2), CROP)
    difference = decode(half, CROP).pixels - decode(full, CROP).pixels
    difference = difference[sure(full)]
    assert np.abs(difference).max() < 12
    assert np.abs(np.median(difference, 0)).max() < 1.5


def test_mirrored_image_gives_mirrored_joints_without_bias(network, frame):
    """An image and its mirror image put the joints at the same places, on average over several crops."""
    columns = frame.pixels.shape[1]
    mirror = ImageFrame("cam03", 0, np.ascontiguousarray(frame.pixels[:, ::-1]))
    differences = []
    for shift in np.linspace(0, 15, 6):
        crop = Crop(CROP.left + shift, CROP.top + shift, CROP.side)
        mirrored_crop = Crop(columns - 1 - crop.left - crop.side, crop.top, crop.side)
        maps = network.infer(frame, crop)
        here = decode(maps, crop).pixels
        there = decode(network.infer(mirror, mirrored_crop)[PARTNERS], mirrored_crop).pixels
        there[:, 0] = columns - 1 - there[:, 0]
        differences.append((there - here)[sure(maps)])
    differences = np.concatenate(differences) * network.input_size / CROP.side
    # uncorrected, the halved difference is BIAS_PX in x
    assert abs(np.median(differences[:, 0])) / 2 < 0.6 * BIAS_PX
    assert abs(np.median(differences[:, 1])) / 2 < 0.6 * BIAS_PX


def test_int8_network_agrees_with_float32(network, frame):
    if not assets.has_vnni():  # there it saturates, and is not used
        assert assets.movenet() == assets.movenet("float32")
        return
    int8 = Movenet(assets.movenet("int8"))
    assert int8.description == "movenet-thunder-int8, 1 thread"
    full, small = network.infer(frame, CROP), int8.infer(frame, CROP)
    assert np.sqrt(np.square(full - small).mean()) < 0.01
    difference = (decode(small, CROP).pixels - decode(full, CROP).pixels)[sure(full)]
    assert np.median(np.linalg.norm(difference, axis=1)) < 4


def test_sampled_crop_has_exact_geometry():
    """A linear ramp stays linear: the crop's pixel centres lie where `Crop` says, at any binning."""
    u, v = np.meshgrid(np.arange(200), np.arange(160))
    image = np.stack((u, v, np.full_like(u, 7)), -1).astype(np.uint8)
    crop = Crop(19.5, 9.5, 128.0)
    size = 64
    affine = crop.to_pixels(size)
    expected = np.arange(size) * affine[0, 0] + affine[0, 2]
    for binning in (1, 2):
        pixels = image.reshape(160 // binning, binning, 200 // binning, binning, 3).astype(float).mean((1, 3))
        sampled = sample_crop(ImageFrame("a", 0, np.round(pixels).astype(np.uint8), binning), crop, size)
        assert np.abs(sampled[32, :, 2] - expected).max() <= 1
        assert np.abs(sampled[:, 32, 1] - (np.arange(size) * affine[1, 1] + affine[1, 2])).max() <= 1
        assert (sampled[..., 0] == 7).all()
        moved = sample_crop(
            ImageFrame("a", 0, np.round(pixels).astype(np.uint8), binning), crop, size, shift_px=3
        )
        assert np.abs(moved[32, 3:, 2].astype(int) - sampled[32, :-3, 2]).max() <= 1


def test_crop_outside_the_image_is_black():
    frame = ImageFrame("a", 0, np.full((40, 40, 3), 200, np.uint8))
    assert sample_crop(frame, Crop(-1000.0, -1000.0, 100.0), 16).max() == 0


def test_networks_by_name():
    network = backends.open_network(backends.DEFAULT, threads=2)
    assert network.joint_set is COCO17 and network.description.endswith("2 threads")
    with pytest.raises(ConfigError, match="unknown network 'openpose', expected one of movenet"):
        backends.open_network("openpose")
    with pytest.raises(ConfigError, match="on 0 threads, expected 1 to 64"):
        backends.open_network("movenet", threads=0)


def test_file_that_is_no_network_is_named(tmp_path):
    path = tmp_path / "movenet.onnx"
    path.write_bytes(b"nothing")
    with pytest.raises(AssetError, match="movenet.onnx: ONNX Runtime cannot load it .*run `dw fetch` again"):
        Movenet(path)
