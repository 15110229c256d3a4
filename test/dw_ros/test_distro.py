"""The stand-ins for what only a ROS distribution has. The same tests hold there for the real pieces."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image
from std_msgs.msg import String

from dw_core.errors import MediaError
from dw_ros import distro, qos

BGR = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


def image(pixels: np.ndarray, encoding: str, padding: int = 0) -> Image:
    rows = pixels.reshape(pixels.shape[0], -1)
    padded = np.pad(rows, ((0, 0), (0, padding)))
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, step=padded.shape[1])
    message.data = padded.tobytes()
    return message


def test_bgr_goes_to_a_message_and_back() -> None:
    np.testing.assert_array_equal(distro.image_to_bgr(distro.bgr_to_image(BGR)), BGR)


@pytest.mark.parametrize("padding", [0, 7])
def test_every_colour_encoding_gives_the_same_picture(padding: int) -> None:
    rgb, alpha = BGR[..., ::-1], np.full((4, 5, 1), 255, dtype=np.uint8)
    for encoding, pixels in {
        "bgr8": BGR,
        "rgb8": rgb,
        "bgra8": np.concatenate((BGR, alpha), -1),
        "rgba8": np.concatenate((rgb, alpha), -1),
    }.items():
        np.testing.assert_array_equal(distro.image_to_bgr(image(pixels, encoding, padding)), BGR)


def test_grey_becomes_three_equal_channels() -> None:
    grey = BGR[..., 0]
    np.testing.assert_array_equal(distro.image_to_bgr(image(grey, "mono8")), np.stack([grey] * 3, -1))


def test_what_is_no_colour_image_is_refused() -> None:
    with pytest.raises(MediaError, match="'32FC1'"):
        distro.image_to_bgr(image(BGR, "32FC1"))


def test_a_subscriber_calls_everybody_who_registered(node: Node, spin_until: Callable[..., None]) -> None:
    got: list[tuple[str, ...]] = []
    subscriber = distro.Subscriber(node, String, "words", qos_profile=qos.RELIABLE)
    subscriber.registerCallback(lambda message: got.append((message.data,)))
    subscriber.registerCallback(lambda message, extra: got.append((message.data, extra)), "too")
    publisher = node.create_publisher(String, "words", qos.RELIABLE)
    spin_until(lambda: publisher.get_subscription_count() > 0, node)
    publisher.publish(String(data="a"))
    spin_until(lambda: len(got) == 2, node)
    assert got == [("a",), ("a", "too")]


def test_quaternions_turn_as_their_matrices_do() -> None:
    rotation = Rotation.from_rotvec([0.3, -1.2, 2.0])
    again = Rotation.from_quat(distro.quaternion(rotation.as_matrix()))
    assert (rotation.inv() * again).magnitude() < 1e-12


def test_static_frames_are_published_exactly_where_tf2_exists(node: Node) -> None:
    published = distro.publish_static_frames(node, [])
    assert published == (find_spec("tf2_msgs") is not None)
    assert (node.count_publishers("/tf_static") == 1) == published


def test_moving_frames_are_published_exactly_where_tf2_exists_and_somebody_subscribes(
    node: Node, spin_until: Callable[..., None]
) -> None:
    frames = distro.MovingFrames(node)
    frames.send([TransformStamped(child_frame_id="person_1")])
    assert not frames.wanted
    exists = find_spec("tf2_msgs") is not None
    assert node.count_publishers("/tf") == exists
    if exists:
        from tf2_msgs.msg import TFMessage

        got: list[TFMessage] = []
        node.create_subscription(TFMessage, "/tf", got.append, qos.RELIABLE)
        spin_until(lambda: frames.wanted, node)
        frames.send([TransformStamped(child_frame_id="person_1")])
        spin_until(lambda: got, node)
        assert [one.child_frame_id for one in got[0].transforms] == ["person_1"]


def test_the_source_tree_is_its_own_share_folder() -> None:
    assert (distro.share_directory() / "config" / "interleaved.yaml").is_file()
    assert distro.share_directory() == Path(__file__).resolve().parents[2]
