# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of a SQLite database that has no name: in memory where it fits, and gone with the process that made it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ... import scratch
from .connect import connect, wrapped

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

VERSIONS = 18
"""Offset of the version bytes: 1 1 for a rollback journal, 2 2 for a write-ahead log (Database File Format, 1.3)."""

ROLLBACK = b"\x01\x01"
WAL = b"\x02\x02"


class Copy:
    """A nameless file that SQLite has open; fill it through ``writer`` or ``stream``, then read it."""

    def __init__(self, stream: BinaryIO, writer: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        self.stream = stream
        self.writer = writer
        self._reader = reader

    @property
    def size(self) -> int:
        return os.fstat(self.stream.fileno()).st_size

    def clear(self) -> None:
        """Makes the copy empty again, for another attempt to fill it."""
        self.stream.truncate(0)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """The copy as a database, once.

        SQLite would look for the log of a database in WAL mode beside it, under a name that the copy does not have;
        so the copy poses as one with a rollback journal meanwhile. Nothing else in the format differs.
        """
        descriptor = self.stream.fileno()
        self.writer.close()
        versions = os.pread(descriptor, 2, VERSIONS)
        if versions == WAL:
            os.pwrite(descriptor, ROLLBACK, VERSIONS)
        try:
            with wrapped(self._reader) as connection:
                yield connection
        finally:
            if versions == WAL:
                os.pwrite(descriptor, WAL, VERSIONS)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The copy's bytes from the first on; may be opened by several threads."""
        with Path(f"/proc/self/fd/{self.stream.fileno()}").open("rb") as stream:
            yield stream


@contextmanager
def empty_copy(needed_bytes: int) -> Iterator[Copy]:
    """A new empty copy, with room for that many bytes. Raises NoSpaceError."""
    with ExitStack() as stack:
        with scratch.named_file(needed_bytes) as path:
            stream = stack.enter_context(path.open("r+b"))
            writer = stack.enter_context(closing(connect(path, mode="rw")))
            reader = stack.enter_context(closing(connect(path, mode="ro", nolock=1)))
        writer.execute("PRAGMA journal_mode = MEMORY")
        writer.execute("PRAGMA synchronous = OFF")
        yield Copy(stream, writer, reader)
