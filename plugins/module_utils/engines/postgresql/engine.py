# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL: pg_dump for all that is hard, COPY streams for what is large, restores that swap databases by rename.

What backs up and restores is imported when it is used: most backups are not due, and that takes less time to find out.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager, suppress
from typing import ClassVar

from ...config import Instance
from ...errors import BackupdbError
from ..base import Database, Engine, Restored, RestoreRequest, Server, Snapshot
from ..connect import create_engine, translated_errors
from . import catalog
from .databases import Maintenance, exists, scratch
from .tools import find_tool, major

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

CONNECTIONS = 4
CUSTOM_ARCHIVE = 1
"""The format byte of an archive, after its magic, its version and two sizes (pg_backup_archiver.c, WriteHead)."""


class PostgreSQL(Engine):
    """PostgreSQL 13 and newer."""

    name: ClassVar[str] = "postgresql"
    replaces_atomically: ClassVar[bool] = True

    def __init__(self, instance: Instance) -> None:
        super().__init__(instance)
        self._maintenance = Maintenance(instance)

    def close(self) -> None:
        self._maintenance.close()

    def server(self) -> Server:
        with self._maintenance.connection() as connection:
            version = str(connection.execute(sa.text("SHOW server_version")).scalar_one())
        return Server("postgresql", version.split()[0])

    def dump_tool(self, server: Server) -> tuple[str, str]:
        purpose = f"Backing up PostgreSQL {server.version}"
        for name in ("pg_restore", "psql"):
            find_tool(name, major(server.version), purpose)
        return "pg_dump", find_tool("pg_dump", major(server.version), purpose).version

    def database_names(self) -> list[str]:
        """``postgres`` is among them only when the instance names it to the letter."""
        with self._maintenance.connection() as connection:
            found = connection.scalars(
                sa.text("""
                    SELECT datname FROM pg_database
                    WHERE NOT datistemplate AND datallowconn AND datname !~ :ours
                    ORDER BY datname COLLATE "C" """),
                {"ours": catalog.OUR_NAMES},
            ).all()
        return [name for name in found if name not in catalog.SYSTEM_DATABASES or name in self.instance.databases]

    def databases(self, names: Collection[str] | None = None, count_tables: bool = True) -> list[Database]:
        """Sizes are 0 where the account may not see them; tables are counted where it may connect."""
        there = [name for name in self.database_names() if names is None or name in names]
        with self._maintenance.connection() as connection:
            listed = connection.execute(
                sa.text("""
                    SELECT datname, has_database_privilege(oid, 'CONNECT') AS open,
                           CASE WHEN has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')
                                THEN pg_database_size(oid) ELSE 0 END AS size
                    FROM pg_database WHERE datname = ANY (CAST(:names AS text[]))
                    ORDER BY datname COLLATE "C" """),
                {"names": there},
            ).all()
        if not count_tables:
            return [Database(row.datname, row.size, 0) for row in listed]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(CONNECTIONS) as pool:  # each needs a connection of its own
            tables = pool.map(lambda row: self._count_tables(row.datname) if row.open else 0, listed)
            return [Database(row.datname, row.size, count) for row, count in zip(listed, tables, strict=True)]

    def _count_tables(self, database: str) -> int:
        engine = create_engine(self.instance, database)
        try:
            with translated_errors(self.instance), engine.connect() as connection:
                return sum(table.kind == "r" for table in catalog.relations(connection))
        except BackupdbError:  # pg_hba.conf may know of reasons, and the list of databases is still right
            return 0
        finally:
            engine.dispose()

    def exists(self, database: str) -> bool:
        with self._maintenance.connection() as connection:
            return exists(connection, database)

    def existing_tables(self, database: str) -> list[str]:
        from .plan import tables_of

        return tables_of(self.instance, database) if self.exists(database) else []

    def snapshot(self, database: str, jobs: int) -> AbstractContextManager[Snapshot]:
        from .snapshot import open_snapshot

        return open_snapshot(self.instance, database)

    def check_restore(self, request: RestoreRequest) -> list[str]:
        from .plan import plan_restore

        return plan_restore(self._maintenance, request).warnings

    def restore(self, request: RestoreRequest) -> Restored:
        """Whole databases are loaded under another name and swapped in; named tables go in by one transaction.

        Raises ToolFailedError for any error of any tool, RowCountMismatchError, DatabaseBusyError when the database to
        replace stays in use; the target is then as it was.
        """
        from .plan import plan_restore
        from .restore import WholeRestore
        from .tables import TablesRestore

        maintenance = Maintenance(self.instance, avoid=request.database)
        try:
            plan = plan_restore(maintenance, request)
            restore = WholeRestore if plan.tables is None else TablesRestore
            return restore(maintenance, request, plan).run()
        finally:
            maintenance.close()

    def scratch(self) -> AbstractContextManager[str]:
        return scratch(self._maintenance)

    @classmethod
    def flaw(cls, kind: str, raw_bytes: int, head: bytes, tail: bytes) -> str | None:
        if kind == "archive" and (head[:5] != b"PGDMP" or head[10:11] != bytes([CUSTOM_ARCHIVE])):
            return "is no archive of pg_dump"
        if kind == "copy" and raw_bytes and not tail.endswith(b"\n"):
            return "ends in the middle of a row"
        return None
