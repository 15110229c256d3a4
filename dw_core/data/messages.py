"""Our messages to values, whoever decoded them.

Both rclpy (live) and rosbags (offline, without ROS) give objects with the field names of msg/*.msg;
these functions read either.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dw_core.errors import ConfigError
from dw_core.geometry.camera import Camera, Rig
from dw_core.geometry.crop import Crop
from dw_core.interleave.schedule import RecordedSchedule, Schedule, Shot
from dw_core.types import (
    NS,
    DenseSet,
    DenseView,
    Heatmaps,
    JpegFrame,
    Skeleton2D,
    Skeleton3D,
    Stage,
    StageStamps,
    TrackingState,
)

OPTICAL = "_optical_frame"
TENSOR_TYPES = ("uint16", "float32")
_WIRE_MAX = np.float32(np.iinfo(np.uint16).max)
UPPER_TRIANGLE = np.triu_indices(3)


def time_ns(time: Any) -> int:
    """builtin_interfaces/Time to integer nanoseconds."""
    return int(time.sec) * NS + int(time.nanosec)


def _stamps(message: Any) -> StageStamps:
    times = (message.received, message.inferred, message.fused, message.published)
    received, inferred, fused, published = map(time_ns, times)
    return StageStamps(received, inferred, fused, published, int(message.busy_ns))


def _crop(values: Any) -> Crop:
    return Crop(*map(float, values))


def require_joint_set(name: str, expected: str) -> None:
    """Raises ConfigError when a message is of another joint set."""
    if name != expected:
        raise ConfigError(f"received joint set '{name}', expected '{expected}'")


def to_wire(maps: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Maps (..., h, w) in [0, 1] as 16-bit fractions: finer at a peak than half
    precision, and ten times as fast."""
    wire: npt.NDArray[np.uint16] = np.rint(np.clip(maps, 0, 1) * _WIRE_MAX).astype(np.uint16)
    return wire


def from_wire(fractions: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """Maps (..., h, w): the inverse of `to_wire`, exact for what came from it."""
    maps: npt.NDArray[np.float32] = fractions.astype(np.float32) / _WIRE_MAX
    return maps


def tensor(message: Any) -> npt.NDArray[np.float32]:
    """dw_ros/Tensor as float32 (its own shape, usually (J, h, w)).

    Raises ConfigError when type, shape and size do not fit together."""
    if message.dtype not in TENSOR_TYPES:
        raise ConfigError(f"tensor of type '{message.dtype}', expected one of {', '.join(TENSOR_TYPES)}")
    dtype = np.dtype(message.dtype).newbyteorder("<")
    shape = tuple(int(size) for size in message.shape)
    expected = int(np.prod(shape)) * dtype.itemsize
    if len(message.data) != expected:
        raise ConfigError(
            f"tensor of shape {shape} and type {message.dtype} holds {len(message.data)} bytes, "
            f"expected {expected}"
        )
    values = np.frombuffer(message.data, dtype).reshape(shape)
    return from_wire(values) if dtype.kind == "u" else values.astype(np.float32)


def shot(message: Any) -> Shot:
    """dw_ros/TriggerEvent."""
    return Shot(int(message.sequence), message.camera, time_ns(message.scheduled), time_ns(message.issued))


def schedule(message: Any) -> Schedule:
    """dw_ros/TriggerSchedule; its ticks have the numbers of the trigger events."""
    entries = sorted(zip((int(phase) for phase in message.phase_ns), message.cameras, strict=True))
    first = entries[0][0]
    shots = tuple((camera, phase - first) for phase, camera in entries)
    return RecordedSchedule(shots, int(message.period_ns), time_ns(message.epoch) + first)


def rig(message: Any) -> Rig:
    """dw_ros/RigCalibration. Raises CalibrationError when the numbers cannot be a rig."""
    return Rig(tuple(_camera(one) for one in message.cameras))


def _camera(message: Any) -> Camera:
    info = message.info
    return Camera(
        name=message.name,
        width=int(info.width),
        height=int(info.height),
        K=np.array(info.k, dtype=np.float64).reshape(3, 3),
        distortion=np.array(info.d, dtype=np.float64),
        R=np.array(message.rotation, dtype=np.float64).reshape(3, 3),
        t=np.array(message.translation, dtype=np.float64),
        model="fisheye" if info.distortion_model == "equidistant" else "pinhole",
    )


def jpeg(message: Any) -> JpegFrame:
    """sensor_msgs/CompressedImage of a camera whose frame is <camera>_optical_frame."""
    view = message.header.frame_id.removesuffix(OPTICAL)
    return JpegFrame(view, time_ns(message.header.stamp), bytes(message.data))


def heatmaps(message: Any) -> Heatmaps:
    """dw_ros/Heatmaps."""
    stamp = time_ns(message.header.stamp)
    return Heatmaps(message.view, stamp, _crop(message.crop), tensor(message.tensor), _stamps(message.stamps))


def dense_set(message: Any, raw: bool = False) -> DenseSet:
    """dw_ros/DenseHeatmaps, with its maps as seen (`raw`); without, these read as the others.

    Raises ConfigError when raw maps are asked for and were not sent."""
    maps = tensor(message.tensor)
    seen_maps = tensor(message.raw) if raw else maps
    if len(seen_maps) != len(maps):
        raise ConfigError(
            f"dense set of {len(maps)} views with the raw maps of {len(seen_maps)}, expected all"
        )
    crops = np.array(message.crops, dtype=np.float64).reshape(-1, 3)
    views = tuple(
        DenseView(Heatmaps(name, time_ns(stamp), _crop(crop), seen), estimate)
        for name, stamp, crop, seen, estimate in zip(
            message.views, message.source_stamps, crops, seen_maps, maps, strict=True
        )
    )
    stamp = time_ns(message.header.stamp)
    return DenseSet(stamp, message.fresh, views, Stage(message.stage), _stamps(message.stamps))


def skeleton2d(message: Any) -> Skeleton2D:
    """dw_ros/Skeleton2D."""
    xx, xy, yy = np.array(message.covariance, dtype=np.float64).reshape(-1, 3).T
    return Skeleton2D(
        view=message.view,
        stamp_ns=time_ns(message.header.stamp),
        pixels=np.array(message.pixels, dtype=np.float64).reshape(-1, 2),
        covariance=np.stack((np.stack((xx, xy), -1), np.stack((xy, yy), -1)), -2),
        confidence=np.array(message.confidence, dtype=np.float64),
    )


def skeleton3d(message: Any) -> Skeleton3D:
    """dw_ros/Skeleton3D as plain arrays (see dw_core.types.Skeleton3D for shapes and units)."""
    upper = np.array(message.covariance, dtype=np.float64).reshape(-1, 6)
    covariance = np.zeros((len(upper), 3, 3))
    covariance[:, UPPER_TRIANGLE[0], UPPER_TRIANGLE[1]] = upper
    covariance[:, UPPER_TRIANGLE[1], UPPER_TRIANGLE[0]] = upper
    return Skeleton3D(
        stamp_ns=time_ns(message.header.stamp),
        identity=int(message.id),
        state=TrackingState(message.tracking_state),
        joint_set=message.joint_set,
        positions=np.array(message.positions, dtype=np.float64).reshape(-1, 3),
        velocities=np.array(message.velocities, dtype=np.float64).reshape(-1, 3),
        covariance=covariance,
        confidence=np.array(message.confidence, dtype=np.float64),
        views=tuple(message.views),
        view_ages_ns=tuple(int(age) for age in message.view_ages_ns),
        stamps=_stamps(message.stamps),
    )
