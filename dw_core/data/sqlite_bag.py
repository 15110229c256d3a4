"""Reading sqlite3 bag files, as far as they go.

What a recorder that was killed left behind is read from a copy, in which SQLite takes back what was not
committed; of a file that was cut off the rows before the first missing page are read.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from backports import zstd

from dw_core.data.bag_topics import Recorded, Topic

_HEADER_SIZE = 100
_BESIDE = ("-journal", "-wal")
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # no CDR message starts like this: its first byte is 0


@dataclass
class SqliteFile:
    """One sqlite3 file of a bag. After `messages` is exhausted, `cut_at` is the size of a file that was not
    whole, None for a whole one."""

    path: Path
    cut_at: int | None = None

    def topics(self) -> tuple[Topic, ...] | None:
        """The topics of the file; None where they cannot be read."""
        try:
            with _opened(self.path) as database:
                return tuple(_topics(database).values())
        except sqlite3.DatabaseError:
            return None

    def messages(self) -> Iterator[Recorded]:
        """All messages, in the order of writing. Raises OSError when the file is not there."""
        if not _is_whole(self.path):
            self.cut_at = self.path.stat().st_size
        try:
            with _opened(self.path) as database:
                topics = _topics(database)
                rows = database.execute("SELECT topic_id, timestamp, data FROM messages ORDER BY id")
                for number, stamp, data in rows:
                    yield topics[number], stamp, _plain(data)
        except (sqlite3.DatabaseError, KeyError, TypeError, zstd.ZstdError):
            self.cut_at = self.path.stat().st_size


def _is_whole(path: Path) -> bool:
    """Whether the file was closed in good order: it has all its pages, and nothing waits beside it."""
    with path.open("rb") as file:
        header = file.read(_HEADER_SIZE)
    size = path.stat().st_size
    page = _page_size(header)
    pages = int.from_bytes(header[28:32], "big")
    return page > 0 and size == pages * page and not any(one.exists() for one in _beside(path))


def _page_size(header: bytes) -> int:
    """Bytes of a page; 0 where the header is none."""
    if len(header) < _HEADER_SIZE or not header.startswith(b"SQLite format 3\0"):
        return 0
    size = int.from_bytes(header[16:18], "big")
    return 65536 if size == 1 else size


def _beside(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in _BESIDE]


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A database to read: the file itself, which is not touched, or a copy of one that is not whole."""
    if _is_whole(path):
        address = f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True)) as database:
            yield database
        return
    with TemporaryDirectory(prefix="dw_bag_") as folder:
        copy = Path(shutil.copy(path, folder))
        for one in _beside(path):
            if one.exists():
                shutil.copy(one, folder)
        with closing(sqlite3.connect(copy)) as database:
            _cut_to_pages(copy)
            # Else SQLite refuses every file that has fewer pages than its header says.
            database.execute("PRAGMA writable_schema = ON")
            yield database


def _cut_to_pages(path: Path) -> None:
    """Take off half a page at the end: SQLite would read the missing half as zeros."""
    with path.open("rb+") as file:
        page = _page_size(file.read(_HEADER_SIZE))
        if page:
            file.truncate(path.stat().st_size // page * page)


def _topics(database: sqlite3.Connection) -> dict[int, Topic]:
    """The topics by number."""
    definitions = {}
    if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'message_definitions'").fetchone():
        query = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
        definitions = {kind: (encoding, text) for kind, encoding, text in database.execute(query)}
    rows = database.execute("SELECT id, name, type, serialization_format FROM topics")
    return {
        number: Topic(name, kind, *definitions.get(kind, ("", "")), serialisation)
        for number, name, kind, serialisation in rows
    }


def _plain(data: bytes) -> bytes:
    """A message as it came over the wire; in compression mode "message" each was compressed by itself."""
    return zstd.decompress(data) if data.startswith(_ZSTD_MAGIC) else data
