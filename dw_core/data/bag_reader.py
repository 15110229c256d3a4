"""Reading bags, MCAP or sqlite3, in one file or several, whole or cut off, without ROS.

A bag is a folder with a metadata.yaml that lists its files, as rosbag2 writes it. A recorder that was killed
leaves files without that list, the last of them without its end: such a bag reads up to there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from backports import zstd
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from dw_core.data.bag_topics import Recorded, Topic
from dw_core.data.mcap import McapFile
from dw_core.data.sqlite_bag import SqliteFile
from dw_core.errors import MediaError
from dw_core.types import NS

BagFile = McapFile | SqliteFile
METADATA = "metadata.yaml"
_KINDS: dict[str, type[McapFile] | type[SqliteFile]] = {".mcap": McapFile, ".db3": SqliteFile}
_COMPRESSED = ".zstd"
_PIECE = 1 << 20


@dataclass
class _Read:
    """How much of a bag was read."""

    messages: int = 0
    first_ns: int = 0
    last_ns: int = 0

    def count(self, stamp_ns: int) -> None:
        if not self.messages:
            self.first_ns = self.last_ns = stamp_ns
        self.messages += 1
        self.last_ns = max(self.last_ns, stamp_ns)


class Bag:
    """A bag on disk: a folder, or one file of one. Raises MediaError when it is none.

    `warning`: after `messages` was exhausted, one sentence that says why a bag ended early and how much
    of it was read; empty for a whole bag.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.warning = ""
        self._files, self._problem = _files_of(path)
        self._store: Typestore = get_typestore(Stores.EMPTY)
        self._known: set[Topic] = set()

    def topics(self) -> tuple[Topic, ...]:
        """All topics, by the summaries of the files where they have one, else by reading them."""
        found: dict[Topic, None] = {}
        for path in self._files:
            with ExitStack() as stack:
                file = _opened(path, stack)
                found |= dict.fromkeys(file.topics() or [topic for topic, _, _ in file.messages()])
        return tuple(found)

    def messages(self, wanted: Callable[[Topic], bool] = lambda topic: True) -> Iterator[Recorded]:
        """The messages of the topics that are wanted, in the order in which they were written, up to where
        the bag was cut off. Raises MediaError when a file cannot be opened."""
        read, choice = _Read(), dict[Topic, bool]()
        problem = self._problem
        for path in self._files:
            with ExitStack() as stack:
                try:
                    file = _opened(path, stack)
                    for topic, stamp_ns, data in file.messages():
                        read.count(stamp_ns)
                        if topic not in choice:
                            choice[topic] = wanted(topic)
                        if choice[topic]:
                            yield topic, stamp_ns, data
                except OSError as error:
                    raise MediaError(f"{path} cannot be read as a bag: {error.strerror}") from None
            if file.cut_at is not None:
                problem = f"{path.name} ends early, at byte {file.cut_at}"
                break
        if problem and not read.messages:
            raise MediaError(f"{self.path} cannot be read as a bag: {problem}")
        if problem:
            seconds = (read.last_ns - read.first_ns) / NS
            self.warning = (
                f"{self.path} was cut off ({problem}): {read.messages} messages of {seconds:.1f} s were read"
            )

    def first(self, name: str) -> Any:
        """The first message of a topic, as `decode` gives it. Raises MediaError when there is none."""
        for topic, _, data in self.messages(lambda topic: topic.name == name):
            return self.decode(topic, data)
        raise MediaError(f"{self.path} holds no message of {name}, expected a recording of the whole graph")

    def decode(self, topic: Topic, data: bytes) -> Any:
        """A message as an object with the fields of its definition. Raises MediaError for other bytes."""
        try:
            if topic not in self._known:
                self._store.register(_types(topic))
                self._known.add(topic)
            return self._store.deserialize_cdr(data, topic.type)
        except Exception as error:  # rosbags lets through whatever wrong bytes lead to
            raise MediaError(
                f"{self.path} holds a message on {topic.name} that is no {topic.type}: {error!r}"
            ) from None


def _types(topic: Topic) -> dict[str, Any]:
    """The types that a definition holds, in the form of rosbags; without one, those of ROS itself."""
    if not topic.definition:
        return dict(get_typestore(Stores.ROS2_JAZZY).fielddefs)
    if topic.encoding == "ros2msg":
        return dict(get_types_from_msg(topic.definition, topic.type))
    separator = "=" * 80 + "\n"
    parts = [part.partition("\n")[2] for part in topic.definition.split(separator)[1:]]
    types: dict[str, Any] = {}
    for part in parts:
        types |= get_types_from_idl(part)
    return types


def _files_of(path: Path) -> tuple[list[Path], str]:
    """The files of a bag in order, and what is wrong with the list of them."""
    if path.is_file():
        return [path], ""
    listed = _listed(path)
    if listed:
        missing = [name for name in listed if not (path / name).is_file()]
        there = listed[: listed.index(missing[0])] if missing else listed
        return [path / name for name in there], f"{missing[0]} is missing" if missing else ""
    found = [one for one in path.glob("*") if _plain_suffix(one) in _KINDS and one.is_file()]
    if not found:
        raise MediaError(
            f"{path} cannot be read as a bag: no .mcap or .db3 file in it, expected a folder that "
            "`dw record` or `ros2 bag record` wrote"
        )
    return sorted(found, key=_place), f"it has no readable {METADATA}"


def _listed(path: Path) -> list[str]:
    """The files that metadata.yaml names; none where it cannot be read."""
    try:
        metadata = yaml.safe_load((path / METADATA).read_text())
        names = metadata["rosbag2_bagfile_information"]["relative_file_paths"]
        return [Path(name).name for name in names]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        return []


def _plain_suffix(path: Path) -> str:
    """.mcap of both run_0.mcap and run_0.mcap.zstd."""
    return Path(path.name.removesuffix(_COMPRESSED)).suffix


def _place(path: Path) -> tuple[int, str]:
    """Files are numbered: run_0.mcap, run_1.mcap, ..., run_10.mcap."""
    number = re.search(r"_(\d+)\.", path.name)
    return int(number[1]) if number else 0, path.name


def _opened(path: Path, stack: ExitStack) -> BagFile:
    """A file of a bag. One that was compressed as a whole is unpacked beside the system's temporary files."""
    kind = _KINDS.get(_plain_suffix(path))
    if kind is None:
        raise MediaError(f"{path} cannot be read as a bag, expected a .mcap or .db3 file")
    if path.suffix != _COMPRESSED:
        return kind(path)
    folder = stack.enter_context(TemporaryDirectory(prefix="dw_bag_"))
    plain = Path(folder) / path.stem
    unpacker = zstd.ZstdDecompressor()
    try:
        with path.open("rb") as packed, plain.open("wb") as file:
            while not unpacker.eof and (piece := packed.read(_PIECE)):
                file.write(unpacker.decompress(piece))
    except zstd.ZstdError:
        pass  # what came before reads; where it ends is found by its reader
    return kind(plain)
