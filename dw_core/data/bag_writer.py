"""Writing bags as rosbag2 does: a folder of numbered files, MCAP or sqlite3, and a metadata.yaml.

What was flushed survives the end of the process, whatever ends it: it reads up to there.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from backports import zstd
from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag2,
    MessageDefinition,
    MessageDefinitionFormat,
    Qos,
)
from rosbags.rosbag2 import CompressionMode
from rosbags.rosbag2.metadata import dump_qos_v9
from rosbags.rosbag2.storage_mcap import McapWriter
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Writer
from rosbags.typesys import TypesysError
from rosbags.typesys.store import Typestore

from dw_core.data.bag_reader import METADATA
from dw_core.errors import ConfigError

Storage = Literal["mcap", "sqlite3"]
Compression = Literal["zstd", "none"]
STORAGES: tuple[Storage, ...] = ("mcap", "sqlite3")
COMPRESSIONS: tuple[Compression, ...] = ("zstd", "none")
VERSION = 9  # of metadata.yaml: ROS 2 Jazzy and later


@dataclass(frozen=True)
class BagFormat:
    """How a bag is written.

    `compression` zstd: of chunks in MCAP, of every message in sqlite3, which is what each of them can. A new
    file is begun when one has grown to `split_bytes` or holds `split_ns`; 0: never.
    """

    storage: Storage = "mcap"
    compression: Compression = "zstd"
    split_bytes: int = 0
    split_ns: int = 0

    @property
    def compresses_messages(self) -> bool:
        return self.compression == "zstd" and self.storage == "sqlite3"


class _McapPart(McapWriter):
    """One MCAP file."""

    def __init__(self, path: Path, bag: BagFormat) -> None:
        packed = bag.compression == "zstd"
        super().__init__(path.parent, CompressionMode.STORAGE if packed else CompressionMode.NONE)
        self.path = self.path.rename(path.with_suffix(".mcap"))  # rosbags knows one name only

    @property
    def bytes(self) -> int:
        return self.bio.tell() + self.chunk.bio.tell()

    def flush(self) -> None:
        if self.chunk.bio.tell():
            self.close_chunk()
        self.bio.flush()


class _SqlitePart(Sqlite3Writer):
    """One sqlite3 file."""

    def __init__(self, path: Path, bag: BagFormat) -> None:
        self.path = path.with_suffix(".db3")
        self.bytes = 0
        self.conn = sqlite3.connect(self.path)
        self.conn.executescript(self.SQLITE_SCHEMA)
        self.cursor = self.conn.cursor()

    def write(self, connection: Connection, timestamp: int, data: bytes | memoryview) -> None:
        super().write(connection, timestamp, data)
        self.bytes += len(data)

    def flush(self) -> None:
        self.conn.commit()


@dataclass
class _Part:
    """One file with what metadata.yaml says of it."""

    storage: _McapPart | _SqlitePart
    types: set[str] = field(default_factory=set)
    messages: int = 0
    first_ns: int = 2**63 - 1
    last_ns: int = 0

    def describe(self) -> dict[str, Any]:
        start = self.first_ns if self.messages else 0
        return {
            "path": self.storage.path.name,
            "starting_time": {"nanoseconds_since_epoch": start},
            "duration": {"nanoseconds": max(self.last_ns - start, 0)},
            "message_count": self.messages,
        }


class BagWriter:
    """A bag that is being written. Raises ConfigError when its folder exists or cannot be made."""

    def __init__(self, folder: Path, bag: BagFormat | None = None) -> None:
        self.folder, self.format = folder, bag or BagFormat()
        self._parts: list[_Part] = []
        self._topics: list[Connection] = []
        self._counts: Counter[int] = Counter()
        try:
            folder.mkdir(parents=True)
            self._begin()
        except (OSError, sqlite3.Error) as error:
            reason = "it exists already" if isinstance(error, FileExistsError) else str(error)
            raise ConfigError(f"the bag {folder} cannot be made ({reason}), expected a new folder") from None

    @property
    def messages(self) -> int:
        """How many were written."""
        return self._counts.total()

    @property
    def files(self) -> int:
        """How many were begun."""
        return len(self._parts)

    def add_topic(self, name: str, kind: str, types: Typestore, qos: Sequence[Qos] = ()) -> Connection:
        """Announce a topic with a message type that `types` knows, and what its publishers offer; what is
        returned goes with every message. Raises ConfigError for a type that is not known."""
        try:
            definition, _ = types.generate_msgdef(kind, ros_version=2)
            digest = types.hash_rihs01(kind)
        except TypesysError:
            raise ConfigError(
                f"topic {name} has messages of type {kind}, whose definition is not known"
            ) from None
        topic = Connection(
            len(self._topics) + 1, name, kind, MessageDefinition(MessageDefinitionFormat.MSG, definition),
            digest, 0, ConnectionExtRosbag2("cdr", list(qos)), self,
        )  # fmt: skip
        self._topics.append(topic)
        self._announce(topic)
        return topic

    def write(self, topic: Connection, stamp_ns: int, data: bytes | memoryview) -> None:
        """Write a message as it came over the wire, with its time of arrival."""
        part = self._parts[-1]
        if self._is_full(part, stamp_ns):
            part = self._begin()
        data = zstd.compress(data) if self.format.compresses_messages else data
        part.storage.write(topic, stamp_ns, data)
        part.messages += 1
        part.first_ns, part.last_ns = min(part.first_ns, stamp_ns), max(part.last_ns, stamp_ns)
        self._counts[topic.id] += 1

    def flush(self) -> None:
        """Bring everything that was written so far to the file."""
        self._parts[-1].storage.flush()

    def close(self) -> None:
        """End the last file and write metadata.yaml."""
        self._end()
        text = yaml.safe_dump({"rosbag2_bagfile_information": self._metadata(self._parts)}, sort_keys=False)
        draft = self.folder / (METADATA + ".tmp")
        draft.write_text(text)
        draft.replace(self.folder / METADATA)

    def _is_full(self, part: _Part, stamp_ns: int) -> bool:
        bag = self.format
        full = 0 < bag.split_bytes <= part.storage.bytes
        return part.messages > 0 and (full or 0 < bag.split_ns <= stamp_ns - part.first_ns)

    def _begin(self) -> _Part:
        if self._parts:
            self._end()
        path = self.folder / f"{self.folder.resolve().name}_{len(self._parts)}"
        kind = _McapPart if self.format.storage == "mcap" else _SqlitePart
        self._parts.append(_Part(kind(path, self.format)))
        for topic in self._topics:
            self._announce(topic)
        return self._parts[-1]

    def _announce(self, topic: Connection) -> None:
        """Describe a topic in the file that is being written."""
        part = self._parts[-1]
        if topic.msgtype not in part.types:
            part.types.add(topic.msgtype)
            part.storage.add_msgtype(topic)
        qos = yaml.safe_dump(_qos(topic)) if _qos(topic) else ""
        part.storage.add_connection(topic, qos)

    def _end(self) -> None:
        last = self._parts[-1]
        last.storage.close(VERSION, yaml.safe_dump(self._metadata([last]), sort_keys=False))

    def _metadata(self, parts: Sequence[_Part]) -> dict[str, Any]:
        files = [part.describe() for part in parts]
        start = min((part.first_ns for part in parts if part.messages), default=0)
        end = max(part.last_ns for part in parts)
        return {
            "version": VERSION,
            "storage_identifier": self.format.storage,
            "duration": {"nanoseconds": max(end - start, 0)},
            "starting_time": {"nanoseconds_since_epoch": start},
            "message_count": sum(part.messages for part in parts),
            "topics_with_message_count": [self._described(topic) for topic in self._topics],
            "compression_format": "zstd" if self.format.compresses_messages else "",
            "compression_mode": "message" if self.format.compresses_messages else "",
            "relative_file_paths": [one["path"] for one in files],
            "files": files,
            "custom_data": None,
            "ros_distro": "rosbags",
        }

    def _described(self, topic: Connection) -> dict[str, Any]:
        about = {
            "name": topic.topic,
            "type": topic.msgtype,
            "serialization_format": "cdr",
            "offered_qos_profiles": _qos(topic),
            "type_description_hash": topic.digest,
        }
        return {"topic_metadata": about, "message_count": self._counts[topic.id]}


def _qos(topic: Connection) -> list[dict[str, Any]]:
    assert isinstance(topic.ext, ConnectionExtRosbag2)
    return [dict(one) for one in dump_qos_v9(topic.ext.offered_qos_profiles)]
