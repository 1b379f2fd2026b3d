# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compression as bounded streams: round trips, stock tools at the other end, and damage."""

from __future__ import annotations

import gzip
import io
import itertools
import zlib
from collections.abc import Iterator

import pytest
import zstandard
from ansible_collections.vya.backupdb.plugins.module_utils.errors import ChecksumMismatchError, InvalidConfigError
from ansible_collections.vya.backupdb.plugins.module_utils.streams import (
    CHUNK_BYTES,
    DEFAULT_LEVELS,
    LEVELS,
    as_stream,
    check_compression,
    compress,
    counted,
    decompress,
    read_chunks,
)
from hypothesis import given
from hypothesis import strategies as st

WORDS = b"some words of some length" * 20
METHODS = ["zstd", "gzip", "none"]
CHUNKS = st.lists(st.binary(max_size=2000), max_size=10)


def packed(data: bytes, method: str) -> bytes:
    return b"".join(compress([data], method, DEFAULT_LEVELS[method]))


def unpacked(data: bytes, method: str, size: int = CHUNK_BYTES) -> bytes:
    return b"".join(decompress(read_chunks(io.BytesIO(data), size), method))


@pytest.mark.parametrize("method", METHODS)
@given(chunks=CHUNKS, size=st.integers(1, 3000), data=st.data())
def test_what_goes_in_comes_out(method: str, chunks: list[bytes], size: int, data: st.DataObject) -> None:
    level = data.draw(st.sampled_from(list(LEVELS[method])[:9]))
    stored = b"".join(compress(chunks, method, level))
    assert unpacked(stored, method, size) == b"".join(chunks)


@given(chunks=CHUNKS)
def test_stock_tools_read_it(chunks: list[bytes]) -> None:
    plain = b"".join(chunks)
    assert gzip.decompress(b"".join(compress(chunks, "gzip", 6))) == plain
    stored = b"".join(compress(chunks, "zstd", 1))
    assert zstandard.ZstdDecompressor().decompressobj().decompress(stored) == plain
    assert zstandard.get_frame_parameters(stored).has_checksum
    assert b"".join(compress(chunks, "none", 0)) == plain


@pytest.mark.parametrize("level", LEVELS["zstd"])
def test_every_zstd_level(level: int) -> None:
    data = b"some words of some length, again and again; " * 200
    assert unpacked(b"".join(compress([data], "zstd", level)), "zstd") == data


@pytest.mark.parametrize("method", ["zstd", "gzip"])
def test_what_packs_well_still_comes_in_small_chunks(method: str) -> None:
    zeros = 64 * CHUNK_BYTES
    stored = b"".join(compress((bytes(CHUNK_BYTES) for _turn in range(64)), method, DEFAULT_LEVELS[method]))
    assert len(stored) < CHUNK_BYTES
    total = 0
    for chunk in decompress([stored], method):
        assert len(chunk) <= CHUNK_BYTES
        total += len(chunk)
    assert total == zeros


@pytest.mark.parametrize("method", METHODS)
def test_input_is_taken_as_output_is_asked_for(method: str) -> None:
    taken = 0

    def source() -> Iterator[bytes]:
        nonlocal taken
        for number in range(50):
            taken += 1
            yield number.to_bytes(4, "big") * 1000

    stored = list(compress(source(), method, DEFAULT_LEVELS[method]))
    taken = 0
    stream = compress(source(), method, DEFAULT_LEVELS[method])
    next(stream)
    assert taken < 50 or len(stored) == 1


def test_a_cut_gzip_stream() -> None:
    stored = packed(WORDS, "gzip")
    for cut in range(len(stored)):
        with pytest.raises(ChecksumMismatchError):
            unpacked(stored[:cut], "gzip")


def test_a_flipped_bit_in_a_gzip_stream() -> None:
    """The first ten bytes are the header, whose time, system and flags tell nothing about the data.

    Between the end of the data and its checksum, deflate fills the last byte up with bits that mean nothing: those,
    and no others, may change unseen.
    """
    stored = packed(WORDS, "gzip")
    unseen = []
    for position, bit in itertools.product(range(10, len(stored)), range(8)):
        damaged = bytearray(stored)
        damaged[position] ^= 1 << bit
        try:
            plain = unpacked(bytes(damaged), "gzip")
        except ChecksumMismatchError:
            continue
        assert plain == WORDS
        unseen.append((position, bit))
    last_of_data = len(stored) - 9
    assert unseen == [(last_of_data, bit) for bit in range(8 - len(unseen), 8)]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_bytes_after_a_gzip_stream(size: int) -> None:
    with pytest.raises(ChecksumMismatchError, match="Other bytes follow the gzip stream"):
        unpacked(packed(b"words", "gzip") + b"more", "gzip", size)


@given(st.data())
def test_a_damaged_zstd_stream_never_gives_other_data_unseen(data: st.DataObject) -> None:
    plain = bytes(range(256)) * 20
    stored = packed(plain, "zstd")
    damaged = bytearray(stored)
    damaged[data.draw(st.integers(0, len(stored) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = unpacked(bytes(damaged), "zstd")
    except ChecksumMismatchError:
        return
    # What is not an error is whole, or shorter than the recorded length, which the caller compares.
    assert found == plain or len(found) != len(plain)


@pytest.mark.parametrize("method", ["zstd", "gzip"])
def test_garbage_is_told_as_damage(method: str) -> None:
    with pytest.raises(ChecksumMismatchError, match=f"The {method} stream is"):
        unpacked(b"no compressed data at all", method)


def test_errors_of_the_source_pass_through() -> None:
    def failing() -> Iterator[bytes]:
        yield packed(bytes(5000), "zstd")[:10]
        raise KeyError("the source failed")

    for method in METHODS:
        with pytest.raises((KeyError, ChecksumMismatchError)) as failure:
            list(decompress(failing(), method))
        if method == "none":
            assert isinstance(failure.value, KeyError)
        with pytest.raises(KeyError):
            list(compress(failing(), method, DEFAULT_LEVELS[method]))


@given(CHUNKS, st.lists(st.integers(1, 3000), min_size=1))
def test_chunks_as_a_stream(chunks: list[bytes], sizes: list[int]) -> None:
    stream = as_stream(chunks)
    found = b"".join(stream.read(size) for size in sizes)
    assert found + stream.read() == b"".join(chunks)
    assert stream.read() == b""


@given(CHUNKS)
def test_counting(chunks: list[bytes]) -> None:
    noted: list[int] = []
    assert list(counted(chunks, noted.append)) == chunks
    assert noted == [len(chunk) for chunk in chunks]


@given(st.binary(max_size=5000), st.integers(1, 700))
def test_reading_in_chunks(data: bytes, size: int) -> None:
    chunks = list(read_chunks(io.BytesIO(data), size))
    assert b"".join(chunks) == data
    assert all(0 < len(chunk) <= size for chunk in chunks)


@pytest.mark.parametrize("method", METHODS)
def test_levels(method: str) -> None:
    assert check_compression(method, None) == DEFAULT_LEVELS[method]
    for level in LEVELS[method]:
        assert check_compression(method, level) == level
    for level in (LEVELS[method].start - 1, LEVELS[method].stop):
        with pytest.raises(InvalidConfigError, match=f"compression_level: {level} is not between"):
            check_compression(method, level)


def test_an_unknown_method() -> None:
    with pytest.raises(InvalidConfigError, match="'bzip2' is not one of zstd, gzip, none"):
        check_compression("bzip2", None)


def test_gzip_has_the_level_that_was_asked_for() -> None:
    data = zlib.compress(bytes(range(256)) * 400, 0) * 3
    sizes = [len(b"".join(compress([data], "gzip", level))) for level in (1, 9)]
    assert sizes[1] < sizes[0]
