"""Bags that we write, read by rosbags; and bags that were cut off anywhere, read by us."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.typesys import Stores, get_typestore

from dw_core.data.bag_reader import Bag
from dw_core.data.bag_writer import BagFormat, BagWriter
from dw_core.errors import ConfigError, MediaError
from dw_core.types import NS

STORE = get_typestore(Stores.ROS2_JAZZY)
STRING, BYTES = "std_msgs/msg/String", "std_msgs/msg/UInt8MultiArray"
START_NS = 1_700_000_000 * NS
STEP_NS = 10_000_000
FORMATS = [
    BagFormat(storage, compression) for storage in ("mcap", "sqlite3") for compression in ("zstd", "none")
]
IDS = [f"{one.storage}-{one.compression}" for one in FORMATS]
LATCHED = Qos(
    QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL,
    QosTime(0, 0), QosTime(0, 0), QosLiveliness.AUTOMATIC, QosTime(0, 0), False,
)  # fmt: skip
Message = tuple[str, int, bytes]


def sent(count: int) -> list[Message]:
    """Topic, time and bytes of messages of many sizes on two topics."""
    rng = np.random.default_rng(5)
    out = []
    for number in range(count):
        text = STORE.types[STRING](data=f"message {number} " + "x" * int(rng.integers(300)))
        blob = rng.integers(0, 256, int(rng.integers(6000)), dtype=np.uint8)
        layout = STORE.types["std_msgs/msg/MultiArrayLayout"](dim=[], data_offset=0)
        pair = (
            ("/words", STORE.serialize_cdr(text, STRING)),
            ("/numbers", STORE.serialize_cdr(STORE.types[BYTES](layout=layout, data=blob), BYTES)),
        )
        topic, data = pair[number % 2]
        out.append((topic, START_NS + number * STEP_NS, bytes(data)))
    return out


def write(folder: Path, bag: BagFormat, messages: list[Message], flush_every: int = 7) -> Path:
    writer = BagWriter(folder, bag)
    topics = {
        "/words": writer.add_topic("/words", STRING, STORE, (LATCHED,)),
        "/numbers": writer.add_topic("/numbers", BYTES, STORE),
    }
    for number, (topic, stamp_ns, data) in enumerate(messages):
        writer.write(topics[topic], stamp_ns, data)
        if number % flush_every == 0:
            writer.flush()
    writer.close()
    return folder


def read(bag: Path) -> tuple[list[Message], str]:
    """Everything that a bag gives, and its warning."""
    reader = Bag(bag)
    messages = [(topic.name, stamp_ns, data) for topic, stamp_ns, data in reader.messages()]
    return messages, reader.warning


@pytest.mark.parametrize("bag", FORMATS, ids=IDS)
@pytest.mark.parametrize(
    "split", [{}, {"split_bytes": 60_000}, {"split_ns": 40 * STEP_NS}], ids=["one", "size", "s"]
)
def test_what_was_written_reads_back_and_rosbags_reads_the_same(
    tmp_path: Path, bag: BagFormat, split: dict[str, int]
) -> None:
    messages = sent(200)
    folder = write(tmp_path / "run", BagFormat(bag.storage, bag.compression, **split), messages)
    assert read(folder) == (messages, "")
    with AnyReader([folder]) as reader:
        theirs = [(one.topic, stamp, bytes(data)) for one, stamp, data in reader.messages()]
        (words,) = (one for one in reader.connections if one.topic == "/words")
        assert reader.deserialize(messages[0][2], STRING).data.startswith("message 0 ")
        assert words.ext.offered_qos_profiles == [LATCHED]
    assert theirs == messages
    files = sorted(folder.glob("run_*"))
    assert len(files) > 1 if split else len(files) == 1


def test_metadata_says_what_rosbag2_asks_for(tmp_path: Path) -> None:
    messages = sent(100)
    folder = write(tmp_path / "run", BagFormat(split_ns=30 * STEP_NS), messages)
    about = yaml.safe_load((folder / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert about["version"] == 9 and about["storage_identifier"] == "mcap"
    assert about["relative_file_paths"] == [f"run_{number}.mcap" for number in range(4)]
    assert [one["message_count"] for one in about["files"]] == [30, 30, 30, 10]
    assert about["files"][1]["starting_time"]["nanoseconds_since_epoch"] == messages[30][1]
    assert about["duration"]["nanoseconds"] == 99 * STEP_NS and about["message_count"] == 100
    topics = {one["topic_metadata"]["name"]: one for one in about["topics_with_message_count"]}
    assert topics["/words"]["message_count"] == 50
    assert topics["/words"]["topic_metadata"]["offered_qos_profiles"][0]["durability"] == "transient_local"
    assert topics["/numbers"]["topic_metadata"]["type_description_hash"].startswith("RIHS01_")


def test_a_compressed_message_says_so(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", BagFormat("sqlite3", "zstd"), sent(10))
    about = yaml.safe_load((folder / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert (about["compression_mode"], about["compression_format"]) == ("message", "zstd")


def test_a_bag_is_never_written_over_another(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(
        ConfigError, match=r"run cannot be made \(it exists already\), expected a new folder$"
    ):
        BagWriter(tmp_path / "run")


def test_a_type_without_definition_is_named(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "run")
    with pytest.raises(
        ConfigError, match="topic /odd has messages of type odd_msgs/msg/Odd, whose definition"
    ):
        writer.add_topic("/odd", "odd_msgs/msg/Odd", STORE)


MANY = sent(120)


@pytest.fixture(scope="module", params=FORMATS, ids=IDS)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    bag = BagFormat(request.param.storage, request.param.compression, split_bytes=90_000)
    return write(tmp_path_factory.mktemp("bags") / "run", bag, MANY)


copies = itertools.count()


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_bag_that_was_cut_at_any_byte_reads_up_to_there(written: Path, tmp_path: Path, data: Any) -> None:
    """As a full disk or a killed recorder leaves it: the last file ends early, with or without list."""
    files = sorted(written.glob("run_*"))
    last = data.draw(st.integers(0, len(files) - 1), label="file")
    content = files[last].read_bytes()
    kept = data.draw(st.integers(0, len(content) - 1), label="bytes")
    copy = tmp_path / f"copy{next(copies)}"
    copy.mkdir()
    for file in files[:last]:
        (copy / file.name).hardlink_to(file)
    (copy / files[last].name).write_bytes(content[:kept])
    if data.draw(st.booleans(), label="metadata"):
        (copy / "metadata.yaml").write_text((written / "metadata.yaml").read_text())
    try:
        messages, warning = read(copy)
    except MediaError as error:
        assert str(error).startswith(f"{copy} cannot be read as a bag: ") and "\n" not in str(error)
        assert last == 0
        return
    assert messages == MANY[: len(messages)] and len(messages) >= before(files[:last])
    assert warning.startswith(f"{copy} was cut off (") and f": {len(messages)} messages of " in warning


def before(files: list[Path]) -> int:
    """Messages of whole files."""
    return sum(len(read(file)[0]) for file in files)


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_of_a_chunk_that_was_cut_the_whole_messages_are_read(tmp_path: Path, compression: Any) -> None:
    """One chunk of noise, which zstd keeps in blocks of 128 kB: at least what is in whole blocks is there."""
    messages = sent(300)
    folder = write(tmp_path / "run", BagFormat("mcap", compression), messages, flush_every=1000)
    (file,) = folder.glob("*.mcap")
    content = file.read_bytes()
    sizes = np.cumsum([len(data) + 31 for _, _, data in messages])
    for part in (0.4, 0.7, 0.9):
        file.write_bytes(content[: int(part * len(content))])
        got, _ = read(folder)
        wanted = int(
            np.searchsorted(sizes, part * sizes[-1] - (131_072 if compression == "zstd" else 0) - 10_000)
        )
        assert wanted <= len(got) <= part * 300 + 30
        assert got == messages[: len(got)]


WRITES = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import test_bag_files as t
writer = t.BagWriter(Path(sys.argv[1]), t.BagFormat(sys.argv[2]))
kinds = {"/words": t.STRING, "/numbers": t.BYTES}
topics = {name: writer.add_topic(name, kind, t.STORE) for name, kind in kinds.items()}
for number, (topic, stamp, data) in enumerate(t.sent(5000), 1):
    writer.write(topics[topic], stamp, data)
    if number % 50 == 0:
        writer.flush()
        print(number, flush=True)
"""


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_what_was_flushed_survives_kill_9(tmp_path: Path, storage: str) -> None:
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", WRITES, str(tmp_path / "run"), storage, here]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    ) as process:
        assert process.stdout is not None
        flushed = 0
        while flushed < 1000:
            flushed = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    messages, warning = read(tmp_path / "run")
    assert len(messages) >= flushed and messages == sent(len(messages))
    assert "was cut off" in warning and f"{len(messages)} messages" in warning


def test_a_bag_that_was_compressed_as_a_whole_reads(tmp_path: Path) -> None:
    """Compression mode "file" of `ros2 bag`, whole and cut."""
    from backports import zstd

    folder = write(tmp_path / "run", BagFormat("sqlite3", "none"), MANY)
    (file,) = folder.glob("*.db3")
    packed = file.with_name(file.name + ".zstd")
    packed.write_bytes(zstd.compress(file.read_bytes()))
    file.unlink()
    description = (folder / "metadata.yaml").read_text()
    (folder / "metadata.yaml").write_text(description.replace("run_0.db3", packed.name))
    assert read(folder) == (MANY, "")
    packed.write_bytes(packed.read_bytes()[: packed.stat().st_size // 2])
    messages, warning = read(folder)
    assert 0 < len(messages) < len(MANY) and messages == MANY[: len(messages)] and "cut off" in warning


def test_topics_are_known_before_messages_are_read(written: Path, tmp_path: Path) -> None:
    assert {topic.name for topic in Bag(written).topics()} == {"/words", "/numbers"}
    cut = tmp_path / "cut"
    cut.mkdir()
    first = min(written.glob("run_*"))
    (cut / first.name).write_bytes(first.read_bytes()[:80_000])
    assert {topic.name for topic in Bag(cut).topics()} == {"/words", "/numbers"}


def test_a_missing_file_of_a_split_bag_is_said(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", BagFormat(split_ns=30 * STEP_NS), MANY)
    (folder / "run_2.mcap").unlink()
    messages, warning = read(folder)
    assert messages == MANY[:60] and "run_2.mcap is missing" in warning


def test_bytes_that_are_no_message_are_named(written: Path) -> None:
    bag = Bag(written)
    topic = next(one for one in bag.topics() if one.name == "/words")
    with pytest.raises(MediaError, match="holds a message on /words that is no std_msgs/msg/String"):
        bag.decode(topic, b"\0\1\0\0")
