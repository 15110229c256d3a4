"""Messages to values, from plain objects with the fields of msg/*.msg: neither rclpy nor a bag is needed."""

from __future__ import annotations

from types import SimpleNamespace as Message
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dw_core.data import messages
from dw_core.errors import CalibrationError, ConfigError
from dw_core.geometry.camera import Rig, project
from dw_core.geometry.crop import Crop
from dw_core.interleave.schedule import Shot
from dw_core.types import NS, Stage, StageStamps, TrackingState

STAMP_NS = 1_700_000_000_123_456_789
unit = st.floats(0, 1, width=32)
maps = arrays.arrays(np.float32, arrays.array_shapes(min_dims=1, max_dims=3, max_side=6), elements=unit)


def time(stamp_ns: int) -> Message:
    return Message(sec=stamp_ns // NS, nanosec=stamp_ns % NS)


def header(stamp_ns: int = STAMP_NS) -> Message:
    return Message(stamp=time(stamp_ns), frame_id="world")


def stamps(received: int = 0, inferred: int = 0, fused: int = 0, published: int = 0) -> Message:
    return Message(
        exposure=time(0), received=time(received), inferred=time(inferred), fused=time(fused),
        published=time(published), busy_ns=9,
    )  # fmt: skip


def tensor(values: np.ndarray) -> Message:
    dtype = values.dtype.name
    return Message(dtype=dtype, shape=list(values.shape), data=values.tobytes())


def random_maps(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@given(maps)
def test_the_wire_rounds_once(values: np.ndarray) -> None:
    once = messages.from_wire(messages.to_wire(values))
    assert once.dtype == np.float32
    assert np.abs(once - values).max() <= 0.5 / 65535 + 1e-7
    np.testing.assert_array_equal(messages.from_wire(messages.to_wire(once)), once)


@given(arrays.arrays(np.uint16, (7,), elements=st.integers(0, 65535)))
def test_every_value_of_the_wire_comes_back(fractions: np.ndarray) -> None:
    np.testing.assert_array_equal(messages.to_wire(messages.from_wire(fractions)), fractions)


def test_what_lies_outside_of_the_wire_is_clipped() -> None:
    assert messages.to_wire(np.array([-0.5, 0.0, 1.0, 1.5], dtype=np.float32)).tolist() == [
        0,
        0,
        65535,
        65535,
    ]


@given(maps)
def test_tensors_of_both_types(values: np.ndarray) -> None:
    np.testing.assert_array_equal(messages.tensor(tensor(values)), values)
    wire = messages.to_wire(values)
    back = messages.tensor(tensor(wire))
    assert back.shape == values.shape and back.dtype == np.float32
    np.testing.assert_array_equal(back, messages.from_wire(wire))


def test_tensors_are_little_endian() -> None:
    message = Message(dtype="uint16", shape=[1], data=b"\xff\x00")
    np.testing.assert_array_equal(messages.tensor(message), np.array([255 / 65535], dtype=np.float32))


@pytest.mark.parametrize(
    ("dtype", "shape", "size", "words"),
    [
        ("float64", [2], 16, r"type 'float64', expected one of uint16, float32"),
        ("", [2], 4, r"type '', expected one of"),
        ("float32", [3, 2], 20, r"shape \(3, 2\) and type float32 holds 20 bytes, expected 24"),
        ("uint16", [3, 2], 13, r"shape \(3, 2\) and type uint16 holds 13 bytes, expected 12"),
        ("uint16", [0, 2], 2, r"holds 2 bytes, expected 0"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused(dtype: str, shape: list[int], size: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        messages.tensor(Message(dtype=dtype, shape=shape, data=bytes(size)))


@given(st.integers(0, 2**31 * NS - 1))
def test_times_keep_every_nanosecond(stamp_ns: int) -> None:
    assert messages.time_ns(time(stamp_ns)) == stamp_ns


def test_a_joint_set_that_is_another_is_named() -> None:
    messages.require_joint_set("coco17", "coco17")
    with pytest.raises(ConfigError, match="'mpii16', expected 'coco17'"):
        messages.require_joint_set("mpii16", "coco17")


def test_a_shot() -> None:
    message = Message(camera="cam02", sequence=12, scheduled=time(1_000), issued=time(1_250))
    assert messages.shot(message) == Shot(12, "cam02", 1_000, 1_250)


def calibration(rig: Rig, **changes: Any) -> Message:
    cameras = [
        Message(
            name=camera.name,
            info=Message(
                width=camera.width, height=camera.height, k=camera.K.ravel().tolist(),
                d=camera.distortion.tolist(), distortion_model="plumb_bob",
            ),
            rotation=camera.R.ravel().tolist(),
            translation=camera.t.tolist(),
        )
        for camera in rig
    ]  # fmt: skip
    for field, value in changes.items():
        setattr(cameras[1], field, value)
    return Message(header=header(), cameras=cameras)


def test_a_rig_projects_as_before(rig: Rig, person: np.ndarray) -> None:
    back = messages.rig(calibration(rig))
    assert back.names == rig.names
    for sent, got in zip(rig, back, strict=True):
        assert (got.width, got.height, got.model) == (sent.width, sent.height, "pinhole")
        np.testing.assert_array_equal(project(got, person), project(sent, person))


def test_a_fisheye_is_recognised_by_the_name_that_ros_has_for_it(rig: Rig) -> None:
    message = calibration(rig)
    for camera in message.cameras:
        camera.info.distortion_model, camera.info.d = "equidistant", [0.1, 0.0, 0.0, 0.0]
    assert {camera.model for camera in messages.rig(message)} == {"fisheye"}


def test_a_rig_that_is_none_is_refused(rig: Rig) -> None:
    with pytest.raises(CalibrationError, match=f"camera {rig.names[1]}: R is not a rotation"):
        messages.rig(calibration(rig, rotation=[1.0] * 9))


def test_heatmaps() -> None:
    values = random_maps(3, 4, 4)
    back = messages.heatmaps(
        Message(
            header=header(), view="cam1", crop=[-3.25, 7.5, 612.0], tensor=tensor(values), stamps=stamps(5)
        )
    )
    assert (back.view, back.stamp_ns, back.crop) == ("cam1", STAMP_NS, Crop(-3.25, 7.5, 612.0))
    assert back.stamps == StageStamps(received=5, busy=9)
    np.testing.assert_array_equal(back.tensor, values)


@pytest.mark.parametrize("with_raw", [False, True])
def test_dense_sets_read_raw_maps_where_they_are_asked_for(with_raw: bool) -> None:
    raw, fused = random_maps(2, 3, 4, 4), random_maps(2, 3, 4, 4) / 2
    back = messages.dense_set(
        Message(
            header=header(), stage=int(Stage.SPATIAL), fresh="a", views=["a", "b"],
            source_stamps=[time(STAMP_NS), time(STAMP_NS - 7)], crops=[0.0, 1.0, 10.0, 2.0, 3.0, 20.0],
            raw=tensor(raw), tensor=tensor(fused), stamps=stamps(1, 2, 3),
        ),
        raw=with_raw,
    )  # fmt: skip
    assert (back.target_ns, back.fresh, back.stage) == (STAMP_NS, "a", Stage.SPATIAL)
    assert [(view.view, view.source_stamp_ns, view.crop) for view in back.views] == [
        ("a", STAMP_NS, Crop(0, 1, 10)),
        ("b", STAMP_NS - 7, Crop(2, 3, 20)),
    ]
    np.testing.assert_array_equal([view.tensor for view in back.views], fused)
    np.testing.assert_array_equal([view.raw for view in back.views], raw if with_raw else fused)


def test_joints_in_a_view_have_symmetric_covariances() -> None:
    back = messages.skeleton2d(
        Message(
            header=header(), view="a", pixels=[1, 2, 3, 4], covariance=[1, 2, 3, 4, 5, 6], confidence=[1, 0]
        )
    )
    assert (back.view, back.stamp_ns) == ("a", STAMP_NS)
    assert back.pixels.tolist() == [[1, 2], [3, 4]] and back.confidence.tolist() == [1, 0]
    assert back.covariance.tolist() == [[[1, 2], [2, 3]], [[4, 5], [5, 6]]]


def test_skeletons_have_symmetric_covariances_and_unknown_joints() -> None:
    nan = float("nan")
    back = messages.skeleton3d(
        Message(
            header=header(), id=3, tracking_state=2, joint_set="coco17", positions=[1, 2, 3, nan, nan, nan],
            velocities=[0.0] * 6, covariance=[1, 2, 3, 4, 5, 6] + [nan] * 6, confidence=[0.5, 0.0],
            views=["a"], view_ages_ns=[7], stamps=stamps(1, 2, 3, 4),
        )
    )  # fmt: skip
    assert (back.identity, back.state, back.joint_set) == (3, TrackingState.TRACKED, "coco17")
    assert back.covariance[0].tolist() == [[1, 2, 3], [2, 4, 5], [3, 5, 6]]
    assert back.positions[0].tolist() == [1, 2, 3] and np.isnan(back.positions[1]).all()
    assert (back.views, back.view_ages_ns, back.stamps) == (("a",), (7,), StageStamps(1, 2, 3, 4, busy=9))
