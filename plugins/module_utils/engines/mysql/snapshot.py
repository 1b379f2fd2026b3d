# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One moment of a MySQL or MariaDB database, shared by several dump processes.

A short global read lock holds the server still while each process opens its consistent snapshot; then the lock goes,
and the versions that InnoDB keeps do the rest (MySQL manual, "mysqldump", option --single-transaction).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ...commands import SecretFile
from ...config import Instance
from ...errors import (
    AuthenticationFailedError,
    BackupdbError,
    DatabaseBusyError,
    PermissionDeniedError,
    QueryFailedError,
    SchemaChangedError,
)
from ...security.redact import Redactor
from ..base import Inventory, Snapshot, Table
from ..connect import FOUND_SETTINGS, NO_LIMIT, create_engine, run_quoted, translated_errors
from . import catalog
from .dump import Dumper, DumpPart, alike, group_tables, lost_in_unicode, pieces_wanted, wait_for_snapshots
from .ranges import cut
from .tools import FLAVOURS, Login, find_tool, option_file, series
from .visible import refuse_hidden_objects

if TYPE_CHECKING:
    import sqlalchemy as sa

LOCK_SECONDS = 3
"""How long to wait for the global read lock, and at most hold it: the server's writers wait as long."""
LARGEST_STATEMENT_BYTES = 1 << 30
"""What max_allowed_packet can be set to at most (MySQL manual, "Server System Variables")."""
HISTORY_SERIES = (10, 11)
"""From here on MariaDB takes the past rows of system-versioned tables back (system_versioning_insert_history)."""


def _some(names: list[str]) -> str:
    """A list of names for a sentence, cut where it gets long."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


class MySQLSnapshot(Snapshot):
    """A database at one moment; made by ``open_snapshot``."""

    def __init__(self, instance: Instance, engine: sa.Engine, dumper: Dumper, before: Mapping[str, Any]) -> None:
        self.tool, self.tool_version = dumper.tool.path.rpartition("/")[2], dumper.tool.version
        self.position: dict[str, Any] = {}
        self.parts: list[DumpPart] = []
        self.lock_milliseconds: int | None = None
        self.warnings: list[str] = []
        self.lossy: list[str] = []
        self._instance, self._engine, self._dumper = instance, engine, dumper
        self._tables: dict[str, catalog.TableInfo] = before["tables"]
        self._kinds: dict[str, str] = before["kinds"]
        self._broken_views: list[dict[str, str]] = before["broken_views"]

    def plan(self, jobs: int, ranges: Mapping[str, Sequence[str]] | None = None) -> None:
        """Decides which processes dump what, without starting any. ``ranges`` are conditions that cut large tables."""
        flavour = self._dumper.flavour.name
        groups = group_tables(flavour, self._tables.values(), jobs, ranges)
        data = [self._dumper.data(number, group) for number, group in enumerate(groups, 1)]
        self.parts = [self._dumper.schema(), *data, self._dumper.objects()]
        self.lossy = lost_in_unicode(flavour, self._tables.values(), groups)

    def stop(self) -> None:
        """Ends every dump process that still runs."""
        for part in self.parts:
            part.stop()

    def inventory(self) -> Inventory:
        """The facts. Raises SchemaChangedError when a dumped table was altered, dropped, or not dumped at all."""
        with translated_errors(self._instance), self._engine.connect() as connection:
            self._check_unchanged(catalog.tables(connection, self._dumper.database))
            properties = catalog.properties(connection, self._dumper.database)
            stored = catalog.stored_objects(connection, self._dumper.database)
            folded = catalog.variable(connection, "lower_case_table_names")
            kinds = catalog.names_of_tables(connection, self._dumper.database)
        counters = [part.counter for part in self.parts if part.counter]
        rows: Counter[str] = Counter()
        for counter in counters:
            rows.update(counter.rows)
        self._check_complete(rows)
        self._check_views(kinds)
        tables = self._tables.values()
        longest = max((counter.longest_statement for counter in counters), default=0)
        used = {collation for table in tables for collation in table.collations}
        return Inventory(
            tables=[Table("", table.name, rows.get(table.name, 0), table.size_bytes) for table in tables],
            **stored.counts,
            schema_sha256=catalog.schema_sha256(tables),
            properties=properties,
            notes={
                "definers": stored.definers,
                "character_sets": sorted({name for table in tables for name in table.character_sets}),
                "collations": sorted(used | set(stored.collations) | {properties["collation"]}),
                "connection_collations": stored.connection_collations,
                "sql_modes": stored.sql_modes,
                "timestamps": [table.name for table in tables if "timestamp" in table.types],
                "generated": [table.name for table in tables if table.generated],
                "engines": sorted({table.engine for table in tables if table.engine}),
                "broken_views": self._broken_views,
                "sequences": sorted(name for name, kind in kinds.items() if kind == catalog.SEQUENCE),
                "versioned": [table.name for table in tables if table.kind == catalog.VERSIONED_TABLE],
                "history": self._dumper.history,
                "rowless": [table.name for table in tables if table.engine in catalog.ROWLESS_ENGINES],
                "lower_case_table_names": int(folded or 0),
                "lock_milliseconds": self.lock_milliseconds,
                "longest_statement": longest,
                "tables_of_parts": {part.name: sorted(part.counter.rows) for part in self.parts if part.counter},
            },
            warnings=[*self.warnings, *self._warnings(longest)],
        )

    def _check_unchanged(self, after: Mapping[str, catalog.TableInfo]) -> None:
        changed = [name for name, table in self._tables.items() if after.get(name) != table]
        if changed:
            raise SchemaChangedError(
                f"Tables of {self._dumper.database} were altered or dropped while they were dumped: {_some(changed)}. "
                "Run the backup again."
            )

    def _check_complete(self, rows: Mapping[str, int]) -> None:
        expected = {table.name for table in self._tables.values() if table.engine not in catalog.ROWLESS_ENGINES}
        wrong = sorted(expected - rows.keys()) or sorted(rows.keys() - self._tables.keys())
        if wrong:
            raise SchemaChangedError(
                f"Tables of {self._dumper.database} came or went while the dump began: {_some(wrong)}. "
                "Run the backup again."
            )

    def _check_views(self, after: Mapping[str, str]) -> None:
        """The tools leave a view out without a word where they take its name for that of a broken one."""
        there = {name for name in self._kinds.keys() & after.keys() if self._kinds[name] == after[name] == catalog.VIEW}
        kept = {view["name"] for view in self._broken_views}
        dumped = {name for part in self.parts if part.views for name in part.views.names}
        missing = sorted(there - kept - dumped)
        if missing:
            raise SchemaChangedError(
                f"Views of {self._dumper.database} are not in the dump: {_some(missing)}. Run the backup again. Where "
                "that does not help, mend or drop the broken views of like names."
            )

    def _warnings(self, longest: int) -> list[str]:
        found = []
        tables = self._tables.values()
        outside = [
            f"{table.name} ({table.engine})"
            for table in tables
            if table.engine not in (*catalog.TRANSACTIONAL_ENGINES, *catalog.ROWLESS_ENGINES)
        ]
        if outside:
            found.append(f"These tables are not transactional and therefore outside the snapshot: {_some(outside)}.")
        rowless = [f"{table.name} ({table.engine})" for table in tables if table.engine in catalog.ROWLESS_ENGINES]
        if rowless:
            found.append(f"These tables keep their rows elsewhere, only their definition is stored: {_some(rowless)}.")
        found += [
            f"The view {view['name']} is broken; its definition is kept: {view['reason']}."
            for view in self._broken_views
            if "like" not in view
        ]
        found += [
            f"The view {view['name']} is kept as a definition: the dump tool takes it for {view['like']}, a broken one."
            for view in self._broken_views
            if "like" in view
        ]
        if not self._dumper.history and any(table.kind == catalog.VERSIONED_TABLE for table in tables):
            found.append("The past rows of system-versioned tables are not in the backup, only the current ones.")
        if self.lossy:
            found.append(f"Codes that Unicode has no character for may be lost in these tables: {_some(self.lossy)}.")
        rounded = [table.name for table in tables if table.rounded]
        if rounded:
            found.append(
                "Of values in FLOAT columns the dump tool writes 6 digits, and the others are lost in these tables: "
                f"{_some(rounded)}. Where they count, change the columns to DOUBLE."
            )
        if longest > LARGEST_STATEMENT_BYTES:
            found.append(f"A row takes a statement of {longest} bytes, more than any server accepts back.")
        return found


def _take_lock(instance: Instance, connection: sa.Connection) -> str | None:
    """Takes the global read lock; returns why it could not be had."""
    try:
        with translated_errors(instance):
            run_quoted(connection, f"SET SESSION lock_wait_timeout = {LOCK_SECONDS}")
            run_quoted(connection, "FLUSH TABLES WITH READ LOCK")
    except (PermissionDeniedError, AuthenticationFailedError):
        return "the account lacks the privilege RELOAD"
    except DatabaseBusyError:
        return f"the global read lock was not had within {LOCK_SECONDS} s"
    return None


def _open_together(instance: Instance, snapshot: MySQLSnapshot, flavour: str, engine: sa.Engine) -> str | None:
    """Starts all dump processes but the last under the global read lock; returns why that was not possible."""
    with translated_errors(instance), engine.connect() as connection:
        connection.detach()
        refused = _take_lock(instance, connection)
        if refused:
            return refused
        began = time.monotonic()
        try:
            ready = wait_for_snapshots(snapshot.parts[:-1], LOCK_SECONDS)
            if ready:
                snapshot.position = catalog.position(connection, flavour)
        finally:
            with suppress(BackupdbError), translated_errors(instance):
                run_quoted(connection, "UNLOCK TABLES")
            snapshot.lock_milliseconds = round((time.monotonic() - began) * 1000)
    return None if ready else f"the dump processes had no snapshot within {LOCK_SECONDS} s"


@contextmanager
def open_snapshot(instance: Instance, database: str, jobs: int) -> Iterator[MySQLSnapshot]:
    """A snapshot of a database: its schema, its data in about ``jobs`` parts, and what acts on data.

    Raises NotFoundError, ToolMissingError, PermissionDeniedError, ConnectionFailedError, …
    """
    with ExitStack() as stack:
        engine = create_engine(instance, database)
        stack.callback(engine.dispose)
        with translated_errors(instance), engine.connect() as connection:
            version = catalog.server_version(connection)
            _refuse_limit(instance, connection.info[FOUND_SETTINGS])
            flavour = FLAVOURS["mariadb" if "MariaDB" in version else "mysql"]
            tool = find_tool(flavour, flavour.dump_programs, version)
            refuse_hidden_objects(connection, instance, flavour.name, database)
            tables = catalog.tables(connection, database)
            kinds = catalog.names_of_tables(connection, database)
            views = [name for name, kind in kinds.items() if kind == catalog.VIEW]
            broken = catalog.broken_views(connection, database, views)
            broken += _taken_for_broken(connection, database, kinds, [view["name"] for view in broken])
            ranges = cut(connection, database, tables, pieces_wanted(tables.values(), jobs))
            secret = SecretFile(option_file(instance, flavour, catalog.encrypted(connection)))
        stack.enter_context(closing(secret))
        dumper = Dumper(
            flavour=flavour,
            tool=tool,
            login=Login(secret),
            database=database,
            broken_views=tuple(view["name"] for view in broken),
            history=_history(flavour.name, version, tables),
            redact=Redactor([instance.password]),
        )
        snapshot = MySQLSnapshot(instance, engine, dumper, {"tables": tables, "kinds": kinds, "broken_views": broken})
        stack.callback(snapshot.stop)
        snapshot.plan(jobs, ranges)
        refused = _open_together(instance, snapshot, flavour.name, engine)
        if refused:
            _open_alone(snapshot, refused)
        yield snapshot


def _refuse_limit(instance: Instance, settings: Mapping[str, str]) -> None:
    """The dump tools read no more rows of a table than a new session may, and say nothing about the others."""
    limit = int(settings["sql_select_limit"])
    if limit != NO_LIMIT:
        raise QueryFailedError(
            f"Instance {instance.id} gives each session at most {limit} rows of a table (sql_select_limit), and all "
            "others would be missing from the backup. Run SET GLOBAL sql_select_limit = DEFAULT, and take the setting "
            "out of the server's configuration and out of init_connect."
        )


def _taken_for_broken(
    connection: sa.Connection, database: str, kinds: Mapping[str, str], broken: Sequence[str]
) -> list[dict[str, str]]:
    """The views that the dump tools leave out together with a broken one, because they take the names for the same;
    as ``catalog.broken_views`` has those. Raises QueryFailedError where that would befall a table."""
    names = {alike(name): name for name in broken}
    found = []
    for name, kind in sorted(kinds.items()):
        like = names.get(alike(name))
        if like is None or name in broken:
            continue
        if kind != catalog.VIEW:
            raise QueryFailedError(
                f"The dump tools take {name} of database {database} for the broken view {like}, and would leave it "
                "out. Mend or drop that view, or give it another name."
            )
        sql = catalog.view_statement(connection, database, name)
        found.append({"name": name, "sql": sql, "reason": f"taken for {like}", "like": like})
    return found


def _history(flavour: str, version: str, tables: Mapping[str, catalog.TableInfo]) -> bool:
    """Whether the tool can dump past rows; one table with transaction-precise ones makes it refuse the database."""
    precise = any(table.precise_history for table in tables.values())
    return flavour == "mariadb" and series(version) >= HISTORY_SERIES and not precise


def _open_alone(snapshot: MySQLSnapshot, refused: str) -> None:
    """Without the lock only what one process dumps shows one moment."""
    snapshot.stop()
    snapshot.plan(jobs=1)
    snapshot.lock_milliseconds = None
    snapshot.warnings.append(f"One process dumped all tables, and no binary log position is known, because {refused}.")
