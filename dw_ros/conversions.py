"""Values of dw_core to messages and back.

numpy arrays never go into a message field as they are: rclpy converts them element by element
(15 ms for a heatmap tensor); `bytes` and `array.array` take microseconds.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, TransformStamped
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import ColorRGBA, Header

from dw_core.data import messages
from dw_core.errors import ConfigError
from dw_core.geometry.camera import Camera, Rig
from dw_core.interleave.schedule import Shot
from dw_core.skeleton import JointSet
from dw_core.types import (
    NS,
    DenseSet,
    Heatmaps,
    ImageFrame,
    JpegFrame,
    Skeleton2D,
    Skeleton3D,
    StageStamps,
)
from dw_core.viewing.shapes import body_frame
from dw_ros import distro, msg
from dw_ros.ports import Codec

T = TypeVar("T")


def to_time(stamp_ns: int) -> Time:
    seconds, nanoseconds = divmod(stamp_ns, NS)
    return Time(sec=seconds, nanosec=nanoseconds)


def optical_frame(view: str) -> str:
    """Frame of a camera's images (REP 103)."""
    return view + messages.OPTICAL


def header(stamp_ns: int, frame: str) -> Header:
    return Header(stamp=to_time(stamp_ns), frame_id=frame)


def _floats(values: npt.NDArray[Any]) -> array[float]:
    return array("f", np.asarray(values, dtype=np.float32).tobytes())


def tensor_to_message(maps: npt.NDArray[np.float32]) -> msg.Tensor:
    """Maps in [0, 1], as 16-bit fractions."""
    wire = messages.to_wire(maps)
    # Bytes would be copied once more, into such an array.
    data = array("B")
    data.frombytes(wire.ravel().view(np.uint8).data)
    return msg.Tensor(dtype=wire.dtype.name, shape=array("I", wire.shape), data=data)


def _stamps_to_message(exposure_ns: int, stamps: StageStamps) -> msg.LatencyStamps:
    return msg.LatencyStamps(
        exposure=to_time(exposure_ns),
        received=to_time(stamps.received),
        inferred=to_time(stamps.inferred),
        fused=to_time(stamps.fused),
        published=to_time(stamps.published),
        busy_ns=stamps.busy,
    )


def poses_to_arrays(poses: Sequence[Pose]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Rotations (N, 3, 3) and translations (N, 3) m of poses. Raises ConfigError for a quaternion that is not
    of unit length, within 1 %."""
    translations = np.array([(p.position.x, p.position.y, p.position.z) for p in poses]).reshape(-1, 3)
    quaternions = np.array(
        [(p.orientation.x, p.orientation.y, p.orientation.z, p.orientation.w) for p in poses]
    ).reshape(-1, 4)
    lengths = np.linalg.norm(quaternions, axis=1)
    if not (np.abs(lengths - 1) < 0.01).all():
        raise ConfigError(f"quaternions of lengths {np.round(lengths, 3)}, expected 1")
    x, y, z, w = (quaternions / lengths[:, None]).T
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return np.moveaxis(np.array(rows), 2, 0), translations


# Trigger


def shot_to_message(shot: Shot) -> msg.TriggerEvent:
    """`issued` and `error_ns` are the trigger node's to set."""
    return msg.TriggerEvent(
        header=header(shot.stamp_ns, optical_frame(shot.camera)),
        camera=shot.camera,
        sequence=shot.number,
        scheduled=to_time(shot.stamp_ns),
        issued=to_time(shot.issued_ns),
        error_ns=shot.issued_ns - shot.stamp_ns if shot.issued_ns else 0,
    )


# Images


def image_to_message(frame: ImageFrame) -> Image:
    message = distro.bgr_to_image(frame.pixels)
    message.header = header(frame.stamp_ns, optical_frame(frame.view))
    return message


def image_from_message(message: Image) -> ImageFrame:
    view = message.header.frame_id.removesuffix(messages.OPTICAL)
    return ImageFrame(view, messages.time_ns(message.header.stamp), distro.image_to_bgr(message))


def jpeg_to_message(frame: JpegFrame) -> CompressedImage:
    message = distro.jpeg_to_message(frame.data)
    message.header = header(frame.stamp_ns, optical_frame(frame.view))
    return message


# Calibration


def camera_info(camera: Camera) -> CameraInfo:
    """The calibration as every ROS node understands it; P is K, since nothing is rectified."""
    model = "equidistant" if camera.model == "fisheye" else "plumb_bob"
    if len(camera.distortion) == 8:
        model = "rational_polynomial"
    info = CameraInfo(width=camera.width, height=camera.height, distortion_model=model)
    info.header.frame_id = optical_frame(camera.name)
    distortion = np.zeros(max(len(camera.distortion), 5 if camera.model == "pinhole" else 4))
    distortion[: len(camera.distortion)] = camera.distortion
    info.d = array("d", distortion)
    info.k = camera.K.ravel().tolist()
    info.r = np.eye(3).ravel().tolist()
    info.p = np.hstack((camera.K, np.zeros((3, 1)))).ravel().tolist()
    return info


def rig_to_message(rig: Rig, world_frame: str) -> msg.RigCalibration:
    message = msg.RigCalibration()
    message.header.frame_id = world_frame
    message.cameras = [
        msg.CameraCalibration(
            name=camera.name,
            info=camera_info(camera),
            rotation=camera.R.ravel().tolist(),
            translation=camera.t.tolist(),
        )
        for camera in rig
    ]
    return message


def camera_frames(rig: Rig, world_frame: str) -> list[TransformStamped]:
    """The pose of every camera's optical frame in the world, for tf."""
    return [
        transform(header(0, world_frame), optical_frame(camera.name), camera.centre, camera.R.T)
        for camera in rig
    ]


def person_frames(people: People, joints: JointSet, world_frame: str) -> list[TransformStamped]:
    """Where everybody is and faces, as frames person_<id>: x ahead, y to the left, z up, between the hips.
    Whose hips are not known is left out."""
    transforms = []
    for one in people.skeletons:
        pose = body_frame(one.positions, joints)
        if pose is not None:
            at = header(people.stamp_ns, world_frame)
            transforms.append(transform(at, f"person_{one.identity}", *pose))
    return transforms


def transform(
    at: Header, child: str, place: npt.NDArray[np.float64], rotation: npt.NDArray[np.float64]
) -> TransformStamped:
    """A frame at a place (3,), the columns of `rotation` (3, 3) its axes."""
    message = TransformStamped(header=at, child_frame_id=child)
    to, turn = message.transform.translation, message.transform.rotation
    to.x, to.y, to.z = place.tolist()
    turn.x, turn.y, turn.z, turn.w = distro.quaternion(rotation)
    return message


SIDE_COLOURS = {"left": (0.1, 0.5, 0.95), "right": (0.95, 0.45, 0.1), "centre": (0.85, 0.85, 0.85)}


def joint_set_to_message(joints: JointSet) -> msg.SkeletonDefinition:
    colours = [SIDE_COLOURS[joints.side(joint)] for joint in joints.joints]
    return msg.SkeletonDefinition(
        name=joints.name,
        joint_names=list(joints.joints),
        edges=array("H", [index for edge in joints.edges for index in edge]),
        colors=[ColorRGBA(r=r, g=g, b=b, a=1.0) for r, g, b in colours],
    )


# Heatmaps and joints: their messages say which joint set they are of


def _of_joint_set(
    joints: JointSet, message_type: type, to_message: Callable[[T], Any], from_message: Callable[[Any], T]
) -> Codec[T]:
    """A codec that writes the joint set's name, and refuses messages of another with ConfigError."""

    def write(value: T) -> Any:
        message = to_message(value)
        message.joint_set = joints.name
        return message

    def read(message: Any) -> T:
        messages.require_joint_set(message.joint_set, joints.name)
        return from_message(message)

    return Codec(message_type, write, read)


def heatmaps_codec(joints: JointSet) -> Codec[Heatmaps]:
    """Heatmaps of one joint set."""
    return _of_joint_set(joints, msg.Heatmaps, _heatmaps_to_message, messages.heatmaps)


def _heatmaps_to_message(value: Heatmaps) -> msg.Heatmaps:
    return msg.Heatmaps(
        header=header(value.stamp_ns, optical_frame(value.view)),
        view=value.view,
        crop=[value.crop.left, value.crop.top, value.crop.side],
        tensor=tensor_to_message(value.tensor),
        stamps=_stamps_to_message(value.stamp_ns, value.stamps),
    )


def dense_codec(joints: JointSet, raw: bool = False) -> Codec[DenseSet]:
    """Dense sets of one joint set, with the maps as seen (`raw`), which nobody but a Warper needs, or
    without, which is half as much."""
    to_message, from_message = partial(_dense_to_message, raw), partial(messages.dense_set, raw=raw)
    return _of_joint_set(joints, msg.DenseHeatmaps, to_message, from_message)


def fresh_codec(joints: JointSet) -> Codec[DenseSet]:
    """Dense sets of one joint set of which only the view is sent that fired at the target time."""
    dense = dense_codec(joints)

    def to_message(value: DenseSet) -> msg.DenseHeatmaps:
        fresh = tuple(view for view in value.views if view.view == value.fresh)
        return dense.to_message(replace(value, views=fresh))

    return Codec(dense.message, to_message, dense.from_message)


def _dense_to_message(with_raw: bool, value: DenseSet) -> msg.DenseHeatmaps:
    maps = np.stack([view.tensor for view in value.views])
    raw = np.stack([view.raw for view in value.views]) if with_raw else maps[:0]
    return msg.DenseHeatmaps(
        header=header(value.target_ns, optical_frame(value.fresh)),
        stage=int(value.stage),
        fresh=value.fresh,
        views=[view.view for view in value.views],
        source_stamps=[to_time(view.source_stamp_ns) for view in value.views],
        crops=array("d", [x for v in value.views for x in (v.crop.left, v.crop.top, v.crop.side)]),
        raw=tensor_to_message(raw),
        tensor=tensor_to_message(maps),
        stamps=_stamps_to_message(value.target_ns, value.stamps),
    )


def skeleton2d_codec(joints: JointSet) -> Codec[Skeleton2D]:
    """One view's joints, of one joint set."""
    return _of_joint_set(joints, msg.Skeleton2D, _skeleton2d_to_message, messages.skeleton2d)


def _skeleton2d_to_message(value: Skeleton2D) -> msg.Skeleton2D:
    return msg.Skeleton2D(
        header=header(value.stamp_ns, optical_frame(value.view)),
        view=value.view,
        pixels=_floats(value.pixels),
        covariance=_floats(value.covariance[:, [0, 0, 1], [0, 1, 1]]),
        confidence=_floats(value.confidence),
    )


def skeleton3d_to_message(value: Skeleton3D, world_frame: str) -> msg.Skeleton3D:
    """The inverse of `dw_core.data.messages.skeleton3d`, to float32."""
    return msg.Skeleton3D(
        header=header(value.stamp_ns, world_frame),
        id=value.identity,
        tracking_state=int(value.state),
        joint_set=value.joint_set,
        positions=_floats(value.positions),
        velocities=_floats(value.velocities),
        covariance=_floats(value.covariance[:, messages.UPPER_TRIANGLE[0], messages.UPPER_TRIANGLE[1]]),
        confidence=_floats(value.confidence),
        views=list(value.views),
        view_ages_ns=array("q", value.view_ages_ns),
        stamps=_stamps_to_message(value.stamp_ns, value.stamps),
    )


@dataclass(frozen=True)
class People:
    """Everybody at one time; empty when nobody is tracked."""

    stamp_ns: int
    skeletons: Sequence[Skeleton3D]


def people_codec(world_frame: str) -> Codec[People]:
    def to_message(value: People) -> msg.Skeleton3DArray:
        return msg.Skeleton3DArray(
            header=header(value.stamp_ns, world_frame),
            skeletons=[skeleton3d_to_message(one, world_frame) for one in value.skeletons],
        )

    def from_message(message: msg.Skeleton3DArray) -> People:
        skeletons = [messages.skeleton3d(one) for one in message.skeletons]
        return People(messages.time_ns(message.header.stamp), skeletons)

    return Codec(msg.Skeleton3DArray, to_message, from_message)


SHOT = Codec(msg.TriggerEvent, shot_to_message, messages.shot)
IMAGE = Codec(Image, image_to_message, image_from_message)
JPEG = Codec(CompressedImage, jpeg_to_message, messages.jpeg)


def message_codec(message_type: type) -> Codec[Any]:
    """For topics whose value is the message itself."""
    return Codec(message_type, lambda message: message, lambda message: message)
