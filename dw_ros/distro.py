"""What only a ROS distribution has, each piece with a stand-in of the same interface.

Nodes import from here and never ask which world they run in. In a distribution the pieces are
apt's message_filters, cv_bridge, tf_transformations and tf2_msgs; in a plain environment of PyPI
wheels they are the few lines below, numpy and OpenCV.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CompressedImage, Image

from dw_core.errors import ConfigError, MediaError
from dw_core.viewing.shapes import quaternions


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def share_directory() -> Path:
    """Where config/, launch/ and msg/ lie: the source tree, or the share folder of this installation."""
    here = Path(__file__).resolve()
    source = here.parents[1]
    if (source / "config").is_dir() and (source / "package.xml").is_file():
        return source
    for prefix in here.parents:
        share = prefix / "share" / "dw_ros"
        if (share / "config").is_dir():
            return share
    raise ConfigError(f"{here.parent} has no share folder; run `make build` or `colcon build` again")


class _PlainSubscriber:
    """message_filters.Subscriber as far as it is used here."""

    def __init__(self, node: Any, message_type: type, topic: str, **options: Any) -> None:
        self._callbacks: list[Callable[..., None]] = []
        self.sub = node.create_subscription(message_type, topic, self._deliver, **options)

    def registerCallback(self, callback: Callable[..., None], *extra: Any) -> None:  # noqa: N802 (its name there)
        self._callbacks.append(lambda message: callback(message, *extra))

    def _deliver(self, message: Any) -> None:
        for callback in self._callbacks:
            callback(message)


if _has("message_filters"):
    from message_filters import Subscriber as Subscriber
else:
    Subscriber = _PlainSubscriber


def _plain_image_to_bgr(message: Image) -> npt.NDArray[np.uint8]:
    import cv2

    conversions = {
        "bgr8": None, "rgb8": cv2.COLOR_RGB2BGR, "mono8": cv2.COLOR_GRAY2BGR,
        "bgra8": cv2.COLOR_BGRA2BGR, "rgba8": cv2.COLOR_RGBA2BGR,
    }  # fmt: skip
    if message.encoding not in conversions:
        raise MediaError(f"image encoding is '{message.encoding}', expected one of {', '.join(conversions)}")
    channels = {"mono8": 1, "bgra8": 4, "rgba8": 4}.get(message.encoding, 3)
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    pixels = rows[:, : message.width * channels].reshape(message.height, message.width, channels)
    code = conversions[message.encoding]
    return pixels if code is None else np.asarray(cv2.cvtColor(pixels, code), dtype=np.uint8)


def image_to_bgr(message: Image) -> npt.NDArray[np.uint8]:
    """Image message to BGR (rows, cols, 3). Raises MediaError for an encoding that is no colour image."""
    if not _has("cv_bridge"):
        return _plain_image_to_bgr(message)
    from cv_bridge import CvBridge, CvBridgeError

    try:
        return np.asarray(CvBridge().imgmsg_to_cv2(message, "bgr8"), dtype=np.uint8)
    except CvBridgeError as error:
        raise MediaError(
            f"image encoding '{message.encoding}' cannot be converted to bgr8: {error}"
        ) from None


def bgr_to_image(pixels: npt.NDArray[np.uint8]) -> Image:
    """BGR (rows, cols, 3) to an Image message without header. Bytes, since numpy is slow to assign."""
    message = Image()
    message.height, message.width = pixels.shape[:2]
    message.encoding, message.step = "bgr8", 3 * pixels.shape[1]
    message.data = pixels.tobytes()
    return message


def jpeg_to_message(jpeg: bytes) -> CompressedImage:
    """JPEG bytes to a CompressedImage message without header."""
    message = CompressedImage()
    message.format, message.data = "jpeg", jpeg
    return message


def quaternion(rotation: npt.NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Rotation matrix (3, 3) to x, y, z, w."""
    if _has("tf_transformations"):
        from tf_transformations import quaternion_from_matrix

        matrix = np.eye(4)
        matrix[:3, :3] = rotation
        x, y, z, w = quaternion_from_matrix(matrix)
    else:
        ((x, y, z, w),) = quaternions(rotation[None])
    return float(x), float(y), float(z), float(w)


def publish_static_frames(node: Any, transforms: list[TransformStamped]) -> bool:
    """Latch transforms on /tf_static; False where there is no tf2."""
    if not _has("tf2_msgs"):
        return False
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from tf2_msgs.msg import TFMessage

    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_publisher(TFMessage, "/tf_static", qos).publish(TFMessage(transforms=transforms))
    return True


def hri_messages() -> ModuleType:
    """hri_msgs.msg. Raises ConfigError where it is not installed."""
    if not _has("hri_msgs"):
        raise ConfigError(
            "hri_msgs is not installed, expected for the topics of ROS4HRI: sudo apt install "
            "ros-$ROS_DISTRO-hri-msgs, or clone github.com/ros4hri/hri_msgs into the workspace"
        )
    from hri_msgs import msg

    return msg


class MovingFrames:
    """Transforms on /tf, for whoever subscribes; nothing where there is no tf2."""

    def __init__(self, node: Any) -> None:
        self._publisher: Any = None
        if _has("tf2_msgs"):
            from tf2_msgs.msg import TFMessage

            self._publisher = node.create_publisher(TFMessage, "/tf", 100)

    @property
    def wanted(self) -> bool:
        """Whether anybody would receive a transform now."""
        return self._publisher is not None and self._publisher.get_subscription_count() > 0

    def send(self, transforms: list[TransformStamped]) -> None:
        """Publish transforms, if anybody wants them."""
        if self.wanted:
            from tf2_msgs.msg import TFMessage

            self._publisher.publish(TFMessage(transforms=transforms))
