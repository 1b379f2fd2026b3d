# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQLite: a file is a database, its folder the server.

What backs up and restores is imported when it is used: most backups are not due, and that takes less time to find out.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from pathlib import Path

from ... import scratch
from ...config import Instance
from ...errors import (
    BackupdbError,
    DatabaseCorruptError,
    InvalidConfigError,
    NoSpaceError,
    PermissionDeniedError,
    TargetExistsError,
    TargetUnfitError,
)
from ..base import Database, Engine, Restored, RestoreRequest, Server, Snapshot
from .connect import opened, translated
from .files import HEADER, Files, taken

PAGE_SIZE, PAGES = slice(16, 18), slice(28, 32)
"""Where a file says the size of its pages and their number (sqlite.org, "Database File Format", 1.3)."""
LARGEST_PAGE = 65536


class SQLite(Engine):
    """The verbs for SQLite files. Nothing of a file is changed, and none is made, before a restore."""

    name = "sqlite"
    replaces_atomically = True

    @cached_property
    def _files(self) -> Files:
        return Files(self.instance)

    def server(self) -> Server:
        self._files.check_base()
        return Server("sqlite", sqlite3.sqlite_version)

    def dump_tool(self, server: Server) -> tuple[str, str]:
        from .snapshot import FileSnapshot

        return FileSnapshot.tool, FileSnapshot.tool_version

    def database_names(self) -> list[str]:
        return list(self._files.found())

    def databases(self, names: Collection[str] | None = None, count_tables: bool = True) -> list[Database]:
        """A file that can't be read has no size or no tables here, and its backup will say why."""
        return [
            self._described(name, path, count_tables)
            for name, path in self._files.found().items()
            if names is None or name in names
        ]

    def _described(self, name: str, path: Path, count_tables: bool) -> Database:
        size = tables = 0
        with suppress(BackupdbError), translated(self.instance, name):
            size = path.stat().st_size
            tables = len(self._tables(name, path.resolve())) if count_tables else 0
        return Database(name, size, tables)

    def _tables(self, name: str, path: Path) -> list[str]:
        from .inspect import objects, tables_of
        from .snapshot import at_rest

        with translated(self.instance, name), taken(path):
            parameters = {"immutable": 1} if at_rest(path) else {}
            with opened(path, **parameters) as connection:
                return tables_of(objects(connection))

    def exists(self, database: str) -> bool:
        with translated(self.instance, database):
            return self._files.target(database).exists()

    def existing_tables(self, database: str) -> list[str]:
        """The tables of a database; a file that is none, or a damaged one, has none."""
        with translated(self.instance, database), suppress(DatabaseCorruptError):
            path = self._files.target(database)
            if path.is_file():
                return self._tables(database, path)
        return []

    def snapshot(self, database: str, jobs: int) -> AbstractContextManager[Snapshot]:
        from .snapshot import take_snapshot

        with translated(self.instance, database):
            path = self._files.source(database)
        return take_snapshot(self.instance, database, path)

    def check_restore(self, request: RestoreRequest) -> list[str]:
        from .replace import refuse_in_use
        from .tables import wanted_tables
        from .whole import database_part

        path = self._target(request)
        self._files.check_base()
        self._check_version(request)
        needed = database_part(request.source).raw_bytes
        if request.tables is not None:
            wanted_tables(request)
            scratch.folder_for(needed)
        else:
            refuse_in_use(self.instance, request.database, path)
        self._check_room(request, path, needed)
        return []

    def _check_version(self, request: RestoreRequest) -> None:
        needs = str(request.source.inventory.notes.get("needs_sqlite") or "0")
        if tuple(int(number) for number in needs.split(".")) > sqlite3.sqlite_version_info:
            raise TargetUnfitError(
                f"Database {request.database} has STRICT tables, which need SQLite {needs}; "
                f"the Python of this host has {sqlite3.sqlite_version}. Install a newer one."
            )

    def _target(self, request: RestoreRequest) -> Path:
        with translated(self.instance, request.database):
            path = self._files.target(request.database)
            exists, is_file = path.exists(), path.is_file()
        if exists and not is_file:
            raise InvalidConfigError(
                f"{path}, which database {request.database} of instance {self.instance.id} stands for, "
                "is not a file. Choose another name."
            )
        if exists and request.tables is None and not request.replace:
            raise TargetExistsError(
                f"Database {request.database} of instance {self.instance.id} exists. "
                "Restore under another name, or replace it with existing: replace."
            )
        return path

    def _check_room(self, request: RestoreRequest, path: Path, needed: int) -> None:
        folder = next(parent for parent in path.parents if parent.exists())
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            raise PermissionDeniedError(
                f"Database {request.database} of instance {self.instance.id} cannot be restored: this user may not "
                f"write to {folder}. Run as its owner or as root."
            )
        free = scratch.free_disk(folder)
        if needed > free:
            raise NoSpaceError(
                f"Database {request.database} of instance {self.instance.id} needs {needed} bytes in {folder}, "
                f"which has {free} free. Free room there, then restore again."
            )

    def restore(self, request: RestoreRequest) -> Restored:
        from .tables import restore_tables
        from .whole import restore_whole

        path = self._target(request)
        restore = restore_whole if request.tables is None else restore_tables
        return restore(self.instance, request, path)

    @contextmanager
    def scratch(self) -> Iterator[str]:
        from .scratch import scratch as scratch_folder

        self._files.check_base()
        with translated(self.instance, "(scratch)"), scratch_folder(self._files.base) as name:
            yield name

    @classmethod
    def scratch_instance(cls, size_bytes: int) -> Instance:
        from .scratch import remove_leftovers

        for folder in scratch.folders():
            remove_leftovers(folder)
        return Instance(id="scratch", engine=cls.name, path=str(scratch.folder_for(size_bytes)))

    @classmethod
    def flaw(cls, kind: str, raw_bytes: int, head: bytes, tail: bytes) -> str | None:
        from .snapshot import KIND

        if kind != KIND or not raw_bytes:
            return None
        if not head.startswith(HEADER):
            return "is no SQLite database"
        page = int.from_bytes(head[PAGE_SIZE], "big")
        size = (LARGEST_PAGE if page == 1 else page) * int.from_bytes(head[PAGES], "big")
        return None if size == raw_bytes else f"has {raw_bytes} bytes, and its header speaks of {size}"
