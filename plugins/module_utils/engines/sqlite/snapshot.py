# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One SQLite database at one moment: a copy by the online backup API, checked and counted before it is handed out."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import time as _now
from typing import BinaryIO, NamedTuple

from ...config import Instance
from ...errors import ToolFailedError
from ...stopping import cut_by
from ..base import Inventory, Part, Snapshot
from ..connect import run_quoted
from .connect import busy, driver, opened, translated
from .copy import VERSIONS, WAL, Copy, empty_copy
from .files import attributes, read_header, taken
from .inspect import inventory

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

STEP_PAGES = 256
"""Pages a step of the backup API copies under one lock: 1 MiB of the usual 4 KiB pages, a millisecond or so."""

MOST_RESTARTS = 5
"""After so many writes of others, each of which starts the copy anew, the copy keeps its lock until it is done."""

SETTLED_SECONDS = 3.0
"""A file that was written so lately may be written again without its times telling: they are as coarse as the clock of
its file system, which is 1 s for ext4 with small inodes and 2 s at worst (FAT)."""

PART = "database.sqlite3"
KIND = "file"


class _RestartedTooOftenError(Exception):
    """Somebody writes faster than we copy."""


def _watch(instance: Instance, name: str, stopped: threading.Event) -> Callable[[int, int, int], None]:
    """A progress callback for sqlite3's backup, which by itself would try for ever."""
    last, restarts = -1, 0

    def progress(status: int, remaining: int, _total: int) -> None:
        nonlocal last, restarts
        if stopped.is_set():
            raise ToolFailedError(f"The copy of database {name} of instance {instance.id} was cut off.")
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):  # SQLite has waited already
            raise busy(instance, name)
        if 0 <= last <= remaining and status == sqlite3.SQLITE_OK:
            restarts += 1
            if restarts > MOST_RESTARTS:
                raise _RestartedTooOftenError
        last = remaining

    return progress


def _copy(instance: Instance, name: str, path: Path, copy: Copy, hold: bool, **parameters: str | int) -> None:
    copy.clear()
    with opened(path, **parameters) as connection:
        if hold:
            run_quoted(connection, "BEGIN")
            run_quoted(connection, "SELECT count(*) FROM sqlite_master").scalar_one()
        stopped = threading.Event()
        with cut_by(stopped.set):
            progress = _watch(instance, name, stopped)
            driver(connection).backup(copy.writer, pages=STEP_PAGES, progress=progress, sleep=0)


def _length(path: Path) -> int:
    """The size of a file; 0 where it is not there."""
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _has_journal(path: Path) -> bool:
    """Whether there may be more to a database than its file: a log, or a journal that is to be rolled back.

    A database whose header speaks of a log can have a hot journal too: a process died that copied another one into it.
    """
    return any(_length(path.with_name(path.name + suffix)) for suffix in ("-wal", "-journal"))


class _Mark(NamedTuple):
    """What every write to a database at rest in WAL mode changes."""

    header: bytes
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @property
    def is_settled(self) -> bool:
        """Whether the next write is certain to change the times, too."""
        return _now() - max(self.modified_ns, self.changed_ns) / 1e9 > SETTLED_SECONDS


def _mark(path: Path) -> _Mark | None:
    """None for a database that is in use or in another mode."""
    header = read_header(path)
    if _has_journal(path):
        return None
    if header[VERSIONS : VERSIONS + 2] != WAL:
        return None
    status = path.stat()
    return _Mark(header, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def at_rest(path: Path) -> bool:
    """Whether a database is in WAL mode and nobody has it open: then it can be read without locks and companions.

    The caller has the file taken, as ``files.taken`` says.
    """
    return _mark(path) is not None


def _fill(instance: Instance, name: str, path: Path, copy: Copy) -> None:
    """Copies the database as it is at one moment, without holding up writers for longer than it must.

    In WAL mode one read transaction over all steps holds up nobody. With a rollback journal a read transaction keeps
    writers out, so each step has its own, and a write in between starts the copy anew.
    A database in WAL mode that nobody has open is read without locks: locking it would make SQLite create its log and
    index, which needs write permission and leaves two files behind. If it changed meanwhile, the copy is made again;
    where that could not be seen, because it was written a moment ago, it is locked like any other.
    """
    if not path.stat().st_size:  # SQLite would make a database of one page of it
        return
    before = _mark(path)
    if before and before.is_settled:
        with suppress(sqlite3.Error, sa.exc.DBAPIError):
            _copy(instance, name, path, copy, hold=False, immutable=1)
            if _mark(path) == before:
                return
    hold = read_header(path)[VERSIONS : VERSIONS + 2] == WAL
    try:
        _copy(instance, name, path, copy, hold)
    except _RestartedTooOftenError:
        _copy(instance, name, path, copy, hold=True)


def _size(path: Path) -> int:
    return path.stat().st_size + _length(path.with_name(f"{path.name}-wal"))


def _warnings_of_links(path: Path, what: str) -> list[str]:
    names = path.stat().st_nlink
    if names == 1:
        return []
    return [
        f"{what} is a file with {names} names (hard links). SQLite keeps the log beside the name that is opened: "
        "what is in the log of another name than this one is not in the backup. Leave the file one name."
    ]


class _FilePart(Part):
    name = PART
    kind = KIND

    def __init__(self, copy: Copy) -> None:
        self._copy = copy

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        with self._copy.open() as stream:
            yield stream
            if stream.tell() != self._copy.size:
                raise ToolFailedError(f"Only {stream.tell()} of {self._copy.size} bytes of the copy were read.")


class FileSnapshot(Snapshot):
    """The finished copy."""

    tool = "sqlite3 backup API"
    tool_version = sqlite3.sqlite_version

    def __init__(self, copy: Copy, facts: Inventory) -> None:
        self.position = {}
        self.parts = (_FilePart(copy),)
        self._facts = facts

    def inventory(self) -> Inventory:
        return self._facts


@contextmanager
def take_snapshot(instance: Instance, name: str, path: Path) -> Iterator[FileSnapshot]:
    """Copies, checks and counts a database.

    Raises DatabaseBusyError, DatabaseCorruptError, PermissionDeniedError, NoSpaceError.
    """
    with ExitStack() as stack:
        with translated(instance, name):
            copy = stack.enter_context(empty_copy(_size(path)))
            with taken(path):
                _fill(instance, name, path, copy)
            versions = os.pread(copy.stream.fileno(), 2, VERSIONS)
            what = f"Database {name} of instance {instance.id}"
            with copy.reading() as connection:
                facts = inventory(connection, what)
            facts.warnings += _warnings_of_links(path, what)
            facts.properties["journal_mode"] = "wal" if versions == WAL else "delete"
            facts.notes.update(attributes(path))
        yield FileSnapshot(copy, facts)
