"""Storing the parts of a set: in parallel, those that wait on a server first, and the first error ends all."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.engines.base import Part
from ansible_collections.vya.backupdb.plugins.module_utils.errors import ToolFailedError
from ansible_collections.vya.backupdb.plugins.module_utils.operations.parts import Codec, PartStore
from ansible_collections.vya.backupdb.plugins.module_utils.repository.local import LocalRepository
from ansible_collections.vya.backupdb.plugins.module_utils.streams import CHUNK_BYTES

CODEC = Codec("none", 0)


class Given(Part):
    """A part whose stream a test decides."""

    kind = "data"

    def __init__(self, name: str, stream: Callable[[], BinaryIO], waits: bool = False) -> None:
        self.name, self.waits, self._stream = name, waits, stream

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        yield self._stream()


class Endless(io.RawIOBase):
    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return bytes(CHUNK_BYTES if size < 0 else size)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PartStore]:
    repository = LocalRepository(str(tmp_path / "repository"))
    repository.prepare()
    with repository.staging() as staging:
        yield PartStore(staging, CODEC)


def test_records_come_in_the_order_of_the_parts_and_waiting_ones_are_read_first(store: PartStore) -> None:
    opened: list[str] = []

    def part(name: str, waits: bool) -> Given:
        return Given(name, lambda: opened.append(name) or io.BytesIO(name.encode()), waits)  # type: ignore[func-returns-value]

    records = store.store([part("schema", False), part("one", True), part("two", True), part("last", False)], jobs=1)
    assert [record.name for record in records] == ["000-schema", "001-one", "002-two", "003-last"]
    assert [record.raw_bytes for record in records] == [6, 3, 3, 4]
    assert opened == ["one", "two", "schema", "last"]


def test_the_first_error_ends_the_others_and_is_the_one_that_is_told(store: PartStore) -> None:
    """The other part would never end by itself."""
    started = threading.Event()

    def endless() -> BinaryIO:
        started.set()
        return Endless()  # type: ignore[return-value]

    def fails() -> BinaryIO:
        assert started.wait(10)
        raise ToolFailedError("the disk of the server is gone")

    def never() -> BinaryIO:
        raise AssertionError("a part was opened after another had failed")

    parts = [Given("endless", endless), Given("fails", fails), Given("never", never)]
    with pytest.raises(ToolFailedError, match="the disk of the server is gone"):
        store.store(parts, jobs=2)
