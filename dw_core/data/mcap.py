"""Reading MCAP files record by record, as far as they go.

A file that was cut off anywhere, by a full disk or a recorder that was killed, reads up to the cut, the whole
messages of a chunk that was cut included. rosbags writes these files, but reads only whole ones.

Source: the MCAP format specification, version 0, https://mcap.dev/spec.
"""

from __future__ import annotations

import os
import struct
from binascii import crc32
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from backports import zstd

from dw_core.data.bag_topics import Recorded, Topic

MAGIC = b"\x89MCAP0\r\n"
FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK = 0x02, 0x03, 0x04, 0x05, 0x06
_RECORD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")
_CHUNK = struct.Struct("<QQQI")
_FOOTER = struct.Struct("<QQI")
# What bytes that are no MCAP, or no longer, can make of the functions below.
_BROKEN = (struct.error, UnicodeDecodeError, KeyError, ValueError, zstd.ZstdError)


class _CutError(Exception):
    """The file ends, or makes no sense, before its end mark."""


@dataclass
class McapFile:
    """One MCAP file. After `messages` is exhausted, `cut_at` is the byte at which the file ended or stopped
    making sense, None for a whole file."""

    path: Path
    cut_at: int | None = None

    def topics(self) -> tuple[Topic, ...] | None:
        """The topics by the summary at the end of the file; None where there is none, or it names none."""
        parser = _Parser()
        try:
            with self.path.open("rb") as file:
                file.seek(-len(MAGIC) - _RECORD.size - _FOOTER.size, 2)
                operation, _ = _RECORD.unpack(file.read(_RECORD.size))
                summary_start, _, _ = _FOOTER.unpack(file.read(_FOOTER.size))
                if operation != FOOTER or file.read() != MAGIC or not summary_start:
                    return None
                file.seek(summary_start)
                for code, body, _ in _records(file):
                    if code == FOOTER:
                        break
                    parser.learn(code, body)
        except (OSError, _CutError, *_BROKEN):
            return None
        return tuple(parser.topics.values()) or None

    def messages(self) -> Iterator[Recorded]:
        """All messages, in the order of writing. Raises OSError when the file is not there."""
        parser = _Parser()
        with self.path.open("rb") as file:
            try:
                if file.read(len(MAGIC)) != MAGIC:
                    raise _CutError
                for code, body, whole in _records(file):
                    if code == FOOTER and whole and file.read() == MAGIC:
                        return
                    yield from parser.messages(code, body, whole)
                raise _CutError
            except (_CutError, *_BROKEN):
                self.cut_at = file.tell()


class _Parser:
    """What schemas and channels said so far."""

    def __init__(self) -> None:
        self.topics: dict[int, Topic] = {}
        self._schemas: dict[int, tuple[str, str, str]] = {0: ("", "", "")}

    def learn(self, code: int, body: memoryview) -> None:
        """Take a schema or a channel; other records tell nothing."""
        if code == SCHEMA:
            (number,) = struct.unpack_from("<H", body)
            name, at = _string(body, 2)
            encoding, at = _string(body, at)
            definition, _ = _string(body, at)
            self._schemas[number] = (name, encoding, definition)
        elif code == CHANNEL:
            number, schema = struct.unpack_from("<HH", body)
            topic, at = _string(body, 4)
            serialisation, _ = _string(body, at)
            kind, encoding, definition = self._schemas[schema]
            self.topics[number] = Topic(topic, kind, encoding, definition, serialisation)

    def messages(self, code: int, body: memoryview, whole: bool) -> Iterator[Recorded]:
        """The messages of a record, one or those of a chunk, before the cut if it is not `whole`."""
        if code == CHUNK:
            for record in _records_of(_chunk(body, whole)):
                yield from self.messages(*record)
        if not whole:
            raise _CutError
        if code == MESSAGE:
            channel, _, stamp, _ = _MESSAGE.unpack_from(body)
            yield self.topics[channel], stamp, bytes(body[_MESSAGE.size :])
        else:
            self.learn(code, body)


def _records(file: BinaryIO) -> Iterator[tuple[int, memoryview, bool]]:
    """Operation code and body of every record from here on, and whether it is all there."""
    size = os.fstat(file.fileno()).st_size
    while head := file.read(_RECORD.size):
        if len(head) < _RECORD.size:
            raise _CutError
        code, length = _RECORD.unpack(head)
        body = file.read(min(length, size - file.tell()))
        yield code, memoryview(body), len(body) == length


def _records_of(data: memoryview) -> Iterator[tuple[int, memoryview, bool]]:
    """As `_records`, of bytes."""
    at = 0
    while at < len(data):
        code, length = _RECORD.unpack_from(data, at)
        start, at = at + _RECORD.size, at + _RECORD.size + length
        yield code, data[start:at], at <= len(data)


def _chunk(body: memoryview, whole: bool) -> memoryview:
    """The records within a chunk, as far as they are there."""
    _, _, size, checksum = _CHUNK.unpack_from(body)
    compression, at = _string(body, _CHUNK.size)
    data = body[at + 8 :]
    raw = _decompress(data, compression)
    if whole and (len(raw) != size or (checksum and crc32(raw) != checksum)):
        raise _CutError
    return memoryview(raw)


def _decompress(data: memoryview, compression: str) -> bytes | memoryview:
    if not compression:
        return data
    if compression == "zstd":
        raw: bytes = zstd.ZstdDecompressor().decompress(data)
        return raw
    if compression == "lz4":
        return _lz4(data)
    raise ValueError(f"compression '{compression}'")


def _lz4(data: memoryview) -> bytes:
    from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped]

    try:
        raw: Any = LZ4FrameDecompressor().decompress(data)
    except RuntimeError as error:
        raise ValueError(str(error)) from None
    return bytes(raw)


def _string(data: memoryview, at: int) -> tuple[str, int]:
    """The string at an offset, and where it ends."""
    (length,) = struct.unpack_from("<I", data, at)
    end = at + 4 + length
    if end > len(data):
        raise struct.error("a string that is longer than its record")
    return str(data[at + 4 : end], "utf-8"), end
