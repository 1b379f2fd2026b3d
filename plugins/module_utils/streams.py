# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounded byte streams: a pipeline is a chain of generators, each holding no more than a chunk or two."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from .errors import ChecksumMismatchError, InvalidConfigError

CHUNK_BYTES = 256 << 10
"""Every stage of every stream that is open holds one or two of these: smaller saves memory, not time."""
FRAMED_LEVEL = 1
"""Up to this level of zstd each chunk is a frame of its own: that takes less time than one long frame, in which zstd
looks back over the ends of its buffer, and about half a percent more space. Higher levels look back further."""
GZIP_WINDOW_BITS = 31
"""zlib's deflateInit2: a 32 KiB window (15) plus 16 for the gzip wrapper."""

SUFFIXES = {"zstd": ".zst", "gzip": ".gz", "none": ""}
LEVELS = {"zstd": range(1, 20), "gzip": range(1, 10), "none": range(0, 1)}
DEFAULT_LEVELS = {"zstd": 1, "gzip": 6, "none": 0}


def check_compression(method: str, level: int | None) -> int:
    """Returns the level to use; raises InvalidConfigError for an unknown method or a level that it does not have."""
    if method not in LEVELS:
        raise InvalidConfigError(f"compression: {method!r} is not one of {', '.join(LEVELS)}.")
    if level is None:
        return DEFAULT_LEVELS[method]
    if level not in LEVELS[method]:
        levels = LEVELS[method]
        raise InvalidConfigError(
            f"compression_level: {level} is not between {levels.start} and {levels.stop - 1} for {method}."
        )
    return level


def read_chunks(stream: BinaryIO, size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """The stream's bytes in chunks of at most ``size``."""
    while chunk := stream.read(size):
        yield chunk


class ChunkReader(io.RawIOBase):
    """A readable stream over chunks of bytes; wrap it in io.BufferedReader for exact reads."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def as_stream(chunks: Iterable[bytes]) -> BinaryIO:
    """A readable binary stream of the chunks."""
    return io.BufferedReader(ChunkReader(chunks), CHUNK_BYTES)


def counted(chunks: Iterable[bytes], note: Callable[[int], None]) -> Iterator[bytes]:
    """Passes chunks on and notes the length of each."""
    for chunk in chunks:
        note(len(chunk))
        yield chunk


def _gathered(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Joins small chunks; one at least comes, if it is empty."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= CHUNK_BYTES // 2:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


def _zstd(chunks: Iterable[bytes], level: int) -> Iterator[bytes]:
    import zstandard

    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)
    if level <= FRAMED_LEVEL:
        yield from map(compressor.compress, _gathered(chunks))
        return
    stream = compressor.compressobj()
    yield from filter(None, map(stream.compress, chunks))
    yield stream.flush()


def _gzip(chunks: Iterable[bytes], level: int) -> Iterator[bytes]:
    stream = zlib.compressobj(level, zlib.DEFLATED, GZIP_WINDOW_BITS)
    yield from filter(None, map(stream.compress, chunks))
    yield stream.flush()


def compress(chunks: Iterable[bytes], method: str, level: int) -> Iterator[bytes]:
    """Compresses a stream with zstd (RFC 8878, with content checksums), gzip (RFC 1952) or not at all."""
    if method == "none":
        return iter(chunks)
    return _zstd(chunks, level) if method == "zstd" else _gzip(chunks, level)


def _unzstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    import zstandard

    reader = zstandard.ZstdDecompressor().stream_reader(
        as_stream(chunks), read_size=CHUNK_BYTES, read_across_frames=True
    )
    try:
        yield from read_chunks(reader)
    except zstandard.ZstdError as error:
        raise ChecksumMismatchError(f"The zstd stream is damaged: {error}.") from None


def _gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(GZIP_WINDOW_BITS)
    try:
        for chunk in chunks:
            while chunk and not inflater.eof:
                yield inflater.decompress(chunk, CHUNK_BYTES)
                chunk = inflater.unconsumed_tail
            if inflater.eof and (chunk or inflater.unused_data):
                raise ChecksumMismatchError("Other bytes follow the gzip stream.")
        while rest := inflater.decompress(inflater.unconsumed_tail, CHUNK_BYTES):
            yield rest
    except zlib.error as error:
        raise ChecksumMismatchError(f"The gzip stream is damaged: {error}.") from None
    if not inflater.eof:
        raise ChecksumMismatchError("The gzip stream is cut off.")


def decompress(chunks: Iterable[bytes], method: str) -> Iterator[bytes]:
    """The mirror of ``compress``; each chunk given is at most CHUNK_BYTES long however well the data was packed.

    Raises ChecksumMismatchError where the stream is damaged. A zstd stream that is cut off between two blocks or
    frames ends early without an error, so compare the length with the recorded one.
    """
    if method == "none":
        return iter(chunks)
    return _unzstd(chunks) if method == "zstd" else _gunzip(chunks)
