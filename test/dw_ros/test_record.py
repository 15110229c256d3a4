"""`dw record` beside a publisher: real processes, real DDS."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy
import yaml
from rclpy.context import Context
from rclpy.node import Node
from rosbags.highlevel import AnyReader
from std_msgs.msg import String

from dw_core.data.bag_reader import Bag
from dw_core.errors import MediaError
from dw_ros import qos
from dw_ros.nodes import recorder

MESSAGES = 40
LIMIT_S = 30.0
Talk = Callable[[int], None]


class Talker:
    """Topics as a graph has them: one latched, one reliable, one of images, one elsewhere."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.latched = node.create_publisher(String, "/dw/schedule", qos.LATCHED)
        self.words = node.create_publisher(String, "/dw/words", qos.REPLAYED)
        self.images = node.create_publisher(String, "/dw/cam01/image/compressed", qos.REPLAYED)
        self.elsewhere = node.create_publisher(String, "/other/words", qos.REPLAYED)
        self.latched.publish(String(data="once"))

    def heard(self, *publishers: Any) -> None:
        """Wait until somebody listens to all of these."""
        deadline = time.monotonic() + LIMIT_S
        while not all(one.get_subscription_count() for one in publishers):
            assert time.monotonic() < deadline, "nobody records"
            time.sleep(0.02)

    def say(self, *publishers: Any) -> None:
        for number in range(MESSAGES):
            for one in publishers:
                one.publish(String(data=f"{number} " + "x" * 2000))


@pytest.fixture
def talker(node: Node, context: Context) -> Iterator[Talker]:
    yield Talker(node)
    assert rclpy.ok(context=context)


def read(bag: Path) -> dict[str, list[str]]:
    """What was said on each topic."""
    reader = Bag(bag)
    said: dict[str, list[str]] = {}
    for topic, _, data in reader.messages(lambda topic: topic.type == "std_msgs/msg/String"):
        said.setdefault(topic.name, []).append(reader.decode(topic, data).data.split(" ")[0])
    return said


NUMBERS = [str(number) for number in range(MESSAGES)]


def test_the_namespace_is_recorded_without_images_and_ctrl_c_loses_nothing(
    start: Callable[..., Any], talker: Talker, tmp_path: Path
) -> None:
    bag = tmp_path / "bag"
    command = start("record", str(bag))
    talker.heard(talker.words, talker.latched)
    talker.say(talker.words, talker.images, talker.elsewhere)
    assert talker.words.wait_for_all_acked(rclpy.duration.Duration(seconds=20))
    assert command.interrupt() == 0, command.output()
    assert read(bag) == {"/dw/schedule": ["once"], "/dw/words": NUMBERS}
    assert f"into {bag} (1 file(s))" in command.output()
    with AnyReader([bag]) as reader:
        (latched,) = (one for one in reader.connections if one.topic == "/dw/schedule")
        assert latched.ext.offered_qos_profiles[0].durability.name == "TRANSIENT_LOCAL"


def test_topics_by_expression_into_several_sqlite_files(
    start: Callable[..., Any], talker: Talker, tmp_path: Path
) -> None:
    bag = tmp_path / "bag"
    options = ("--topics", "(words|image/compressed)$", "--images", "--storage", "sqlite3")
    command = start("record", str(bag), *options, "--compression", "none", "--split-mb", "0.05")
    talker.heard(talker.words, talker.images, talker.elsewhere)
    talker.say(talker.words, talker.images, talker.elsewhere)
    for one in (talker.words, talker.images, talker.elsewhere):
        assert one.wait_for_all_acked(rclpy.duration.Duration(seconds=20))
    assert command.interrupt() == 0, command.output()
    topics = ("/dw/words", "/dw/cam01/image/compressed", "/other/words")
    assert read(bag) == dict.fromkeys(topics, NUMBERS)
    about = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert about["storage_identifier"] == "sqlite3" and len(about["files"]) >= 4


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_after_kill_9_what_was_said_a_second_ago_is_there(
    start: Callable[..., Any], talker: Talker, tmp_path: Path, storage: str
) -> None:
    bag = tmp_path / "bag"
    command = start("record", str(bag), "--storage", storage)
    talker.heard(talker.words, talker.latched)
    talker.say(talker.words)
    deadline = time.monotonic() + LIMIT_S
    while len(readable(bag).get("/dw/words", [])) < MESSAGES:
        assert time.monotonic() < deadline, "not in the file"
        time.sleep(0.1)
    command.process.send_signal(signal.SIGSTOP)  # the parent must not stop its child in good order
    command.kill()
    assert not (bag / "metadata.yaml").exists()
    assert read(bag)["/dw/words"] == NUMBERS


def readable(bag: Path) -> dict[str, list[str]]:
    """What can be read of a bag that is being written."""
    try:
        return read(bag) if bag.is_dir() else {}
    except MediaError:
        return {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("{here}",), "exists already, expected a new folder for the bag"),
        (("{here}/new", "--split-s", "-1"), "--split-s is -1, expected 0 (never) or more"),
        (("{here}/new", "--topics", "("), "parameter 'topics' is '(', expected an expression"),
        (("{here}/new", "--duration-s", "0"), "--duration-s is 0, expected more than 0"),
    ],
)
def test_bad_options_are_one_sentence(
    start: Callable[..., Any],
    sentence: Callable[[str], str],
    tmp_path: Path,
    options: tuple[str, ...],
    words: str,
) -> None:
    command = start("record", *(option.format(here=tmp_path) for option in options))
    assert command.process.wait(LIMIT_S) == 2
    assert words in sentence(command.output())


def test_images_are_left_out_unless_asked_for() -> None:
    import re

    for name, plain, images in (
        ("/dw/cam01/image/compressed", True, False),
        ("/dw/cam01/image", True, True),
        ("/dw/dense/spatial", True, True),
        ("/dw/cam01/heatmaps", False, False),
        ("/dw/truth/skeletons", False, False),
    ):
        assert bool(re.search(recorder.LEFT_OUT, name)) == plain
        assert bool(re.search(recorder.LEFT_OUT_BUT_IMAGES, name)) == images
