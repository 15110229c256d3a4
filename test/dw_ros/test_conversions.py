"""Values survive the way through messages and DDS serialisation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from scipy.spatial.transform import Rotation

from dw_core.data import messages
from dw_core.errors import ConfigError
from dw_core.geometry.camera import Rig, to_camera
from dw_core.geometry.crop import Crop
from dw_core.interleave.schedule import Shot
from dw_core.skeleton import COCO17
from dw_core.types import (
    DenseSet,
    DenseView,
    Heatmaps,
    ImageFrame,
    JpegFrame,
    Skeleton2D,
    Skeleton3D,
    Stage,
    StageStamps,
    TrackingState,
)
from dw_ros import conversions, msg
from dw_ros.ports import Codec

J = len(COCO17)
STAMPS = StageStamps(1, 2_000_000_003, 3, 4, 5)
STAMP_NS = 1_700_000_000_123_456_789


def through(codec: Codec, value):
    """To a message, over the wire format, and back."""
    message = deserialize_message(serialize_message(codec.to_message(value)), codec.message)
    return codec.from_message(message)


def maps(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Heatmaps as a heatmap node makes them: already rounded to the wire."""
    return messages.from_wire(messages.to_wire(np.random.default_rng(seed).random(shape, dtype=np.float32)))


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_stamps_keep_every_nanosecond(stamp_ns: int) -> None:
    assert messages.time_ns(conversions.to_time(stamp_ns)) == stamp_ns


def test_heatmaps_lose_nothing() -> None:
    value = Heatmaps("cam01", STAMP_NS, Crop(-3.25, 7.5, 612.123), maps((J, 8, 8)), STAMPS)
    back = through(conversions.heatmaps_codec(COCO17), value)
    assert (back.view, back.stamp_ns, back.crop, back.stamps) == ("cam01", STAMP_NS, value.crop, STAMPS)
    np.testing.assert_array_equal(back.tensor, value.tensor)


@pytest.mark.parametrize("raw", [False, True])
def test_dense_sets_keep_crops_stamps_and_maps(raw: bool) -> None:
    views = tuple(
        DenseView(
            Heatmaps(f"c{i}", STAMP_NS - i, Crop(i, 2.0 * i, 100 + i), maps((J, 4, 4), i)),
            maps((J, 4, 4), 9 + i),
        )
        for i in range(3)
    )
    value = DenseSet(STAMP_NS, "c0", views, Stage.SPATIAL, STAMPS)
    back = through(conversions.dense_codec(COCO17, raw=raw), value)
    assert (back.target_ns, back.fresh, back.stage, back.stamps) == (STAMP_NS, "c0", value.stage, STAMPS)
    for sent, got in zip(views, back.views, strict=True):
        assert (got.view, got.source_stamp_ns, got.crop) == (sent.view, sent.source_stamp_ns, sent.crop)
        np.testing.assert_array_equal(got.tensor, sent.tensor)
        np.testing.assert_array_equal(got.raw, sent.raw if raw else sent.tensor)


def test_a_warper_refuses_dense_sets_without_raw_maps() -> None:
    view = DenseView(Heatmaps("c0", STAMP_NS, Crop(0, 0, 100), maps((J, 4, 4))), maps((J, 4, 4), 1))
    plain, warpers = conversions.dense_codec(COCO17), conversions.dense_codec(COCO17, raw=True)
    message = plain.to_message(DenseSet(STAMP_NS, "c0", (view,), Stage.SPATIAL, STAMPS))
    with pytest.raises(ConfigError, match="dense set of 1 views with the raw maps of 0, expected all"):
        warpers.from_message(message)


def test_skeletons_keep_unknown_joints_and_symmetric_covariance() -> None:
    random = np.random.default_rng(1)
    root = random.normal(size=(J, 3, 3))
    positions = random.normal(size=(J, 3))
    positions[3] = np.nan
    value = Skeleton3D(
        STAMP_NS, 7, TrackingState.TRACKED, "coco17", positions, random.normal(size=(J, 3)),
        root @ root.swapaxes(-1, -2), random.random(J), ("c0", "c2"), (0, 33_000_000), STAMPS,
    )  # fmt: skip
    people = through(conversions.people_codec("world"), conversions.People(STAMP_NS, [value]))
    (back,) = people.skeletons
    assert people.stamp_ns == back.stamp_ns == STAMP_NS
    assert (back.identity, back.state, back.views, back.view_ages_ns) == (
        7,
        value.state,
        value.views,
        value.view_ages_ns,
    )
    for name in ("positions", "velocities", "covariance", "confidence"):
        np.testing.assert_allclose(getattr(back, name), getattr(value, name), rtol=1e-6)


def test_two_dimensional_joints() -> None:
    random = np.random.default_rng(2)
    root = random.normal(size=(J, 2, 2))
    value = Skeleton2D(
        "c1", STAMP_NS, 500 * random.random((J, 2)), root @ root.swapaxes(-1, -2), random.random(J)
    )
    back = through(conversions.skeleton2d_codec(COCO17), value)
    assert (back.view, back.stamp_ns) == ("c1", STAMP_NS)
    for name in ("pixels", "covariance", "confidence"):
        np.testing.assert_allclose(getattr(back, name), getattr(value, name), rtol=1e-6)


def test_images_carry_their_view_and_exposure() -> None:
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    back = through(conversions.IMAGE, ImageFrame("cam03", STAMP_NS, pixels))
    assert (back.view, back.stamp_ns) == ("cam03", STAMP_NS)
    np.testing.assert_array_equal(back.pixels, pixels)
    jpeg = through(conversions.JPEG, JpegFrame("cam03", STAMP_NS, b"\xff\xd8 bytes"))
    assert jpeg == JpegFrame("cam03", STAMP_NS, b"\xff\xd8 bytes") or jpeg.data == b"\xff\xd8 bytes"


def test_a_shot_and_its_error() -> None:
    codec = conversions.SHOT
    message = codec.to_message(Shot(12, "cam02", 1_000, 1_250))
    assert (message.error_ns, message.header.frame_id) == (250, "cam02_optical_frame")
    assert through(codec, Shot(12, "cam02", 1_000, 1_250)) == Shot(12, "cam02", 1_000, 1_250)


def test_a_rig_projects_the_same_after_the_message(rig: Rig) -> None:
    message = conversions.rig_to_message(rig, "world")
    back = messages.rig(deserialize_message(serialize_message(message), msg.RigCalibration))
    assert back.names == rig.names
    for sent, got in zip(rig, back, strict=True):
        for name in ("K", "R", "t", "distortion"):
            np.testing.assert_array_equal(getattr(got, name), getattr(sent, name))


def test_maps_of_another_joint_set_are_refused() -> None:
    codec = conversions.heatmaps_codec(COCO17)
    message = codec.to_message(Heatmaps("a", 1, Crop(0, 0, 10), maps((J, 2, 2))))
    message.joint_set = "mpii16"
    with pytest.raises(ConfigError, match="'mpii16', expected 'coco17'"):
        codec.from_message(message)


@pytest.mark.parametrize(
    ("dtype", "shape", "size", "words"),
    [("float64", [2], 16, "float64.*expected one of"), ("float32", [3, 2], 20, r"20 bytes, expected 24")],
)
def test_a_tensor_that_does_not_fit_is_refused(dtype: str, shape: list[int], size: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        messages.tensor(msg.Tensor(dtype=dtype, shape=shape, data=bytes(size)))


def test_the_wire_rounds_once_and_finely() -> None:
    values = np.random.default_rng(3).random((J, 16, 16), dtype=np.float32)
    once = messages.from_wire(messages.to_wire(values))
    assert np.abs(once - values).max() <= 0.5 / 65535 + 1e-7
    np.testing.assert_array_equal(messages.from_wire(messages.to_wire(once)), once)
    message = conversions.tensor_to_message(values)
    assert (message.dtype, len(message.data)) == ("uint16", values.size * 2)


def test_camera_frames_take_a_point_of_the_camera_to_the_world(rig: Rig) -> None:
    frames = conversions.camera_frames(rig, "world")
    assert [frame.child_frame_id for frame in frames] == [
        "c0_optical_frame",
        "c1_optical_frame",
        "c2_optical_frame",
    ]
    for camera, frame in zip(rig, frames, strict=True):
        turn, place = frame.transform.rotation, frame.transform.translation
        rotation = Rotation.from_quat([turn.x, turn.y, turn.z, turn.w])
        point = rotation.apply([0.1, -0.2, 2.0]) + [place.x, place.y, place.z]
        np.testing.assert_allclose(to_camera(camera, point), [0.1, -0.2, 2.0], atol=1e-12)
        assert frame.header.frame_id == "world"


def test_a_person_has_a_frame_between_the_hips_that_faces_ahead() -> None:
    """Somebody at (1, 2) who looks along y: their left is -x. Nobody knows the hips of the second."""
    positions = np.full((2, J, 3), np.nan)
    for side, x in (("left", 0.9), ("right", 1.1)):
        positions[0, COCO17.index(f"{side}_hip")] = (x, 2.0, 0.9)
    people = [
        Skeleton3D(
            STAMP_NS, k, TrackingState.TRACKED, "coco17", one, one, np.zeros((J, 3, 3)), np.ones(J), (), ()
        )
        for k, one in enumerate(positions, 7)
    ]
    frames = conversions.person_frames(conversions.People(STAMP_NS, people), COCO17, "world")
    (frame,) = frames
    assert (frame.header.frame_id, frame.child_frame_id) == ("world", "person_7")
    assert messages.time_ns(frame.header.stamp) == STAMP_NS
    place, turn = frame.transform.translation, frame.transform.rotation
    np.testing.assert_allclose([place.x, place.y, place.z], [1.0, 2.0, 0.9])
    rotation = Rotation.from_quat([turn.x, turn.y, turn.z, turn.w])
    np.testing.assert_allclose(rotation.apply([1.0, 0.0, 0.0]), [0.0, 1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(rotation.apply([0.0, 0.0, 1.0]), [0.0, 0.0, 1.0], atol=1e-12)
