# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One PostgreSQL database at one moment: an archive of pg_dump, and the largest tables as streams of their own.

All of them read through one exported snapshot (PostgreSQL manual, "Snapshot Synchronization Functions"), so that they
can be read at the same time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import BinaryIO

from ...config import Instance
from ...errors import DatabaseBusyError, SchemaChangedError
from ..base import Inventory, Part, Snapshot, Table
from ..connect import create_engine, run_quoted, translated_errors
from . import catalog
from .catalog import Relation
from .counting import calling, count_rows
from .sql import copy_out, literal, quoted
from .tools import MONEY_AS_IN_C, Client, Tool, find_tool, major, told
from .visible import refuse_hidden_objects, refuse_skipped_pages

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

LARGE_TABLE_BYTES = 64 << 20
"""From this size on a table is a stream of its own; smaller ones are not worth a connection."""
PIECE_BYTES = 256 << 20
"""About so many bytes of a table make one part, where the server can read page ranges."""
LARGE_TABLES = 1000
"""So many tables at most get streams of their own: each takes about 150 bytes of pg_dump's command line."""
LOCK_TIMEOUT_SECONDS = 60
LOCKS_A_STATEMENT = 500
ATTEMPTS = 5
TID_RANGE_SCAN = 14
TRANSACTION_TIMEOUT = 17

_SESSION = (
    "SET row_security = off; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; "
    "SET DateStyle = ISO; SET IntervalStyle = postgres; SET extra_float_digits = 3; SET synchronize_seqscans = off; "
    "SET search_path = ''; SET constraint_exclusion = off"
)


class ArchivePart(Part):
    """pg_dump's archive, uncompressed: all but the rows of the tables that are parts of their own."""

    name, kind = "archive.pgdump", "archive"

    def __init__(self, client: Client, tool: Tool, arguments: Sequence[str], what: str) -> None:
        self._client, self._tool, self._arguments, self._what = client, tool, arguments, what

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        with told(f"pg_dump of {self._what}"), self._client.reading(self._tool, self._arguments) as stream:
            yield stream


class CopyPart(Part):
    """The rows of one table, or of a range of its pages, in COPY's text format."""

    kind = "copy"

    def __init__(
        self, name: str, relation: Relation, statements: Sequence[str], client: Client, psql: Tool, what: str
    ) -> None:
        self.name, self.relation = name, relation
        self.rows = 0
        self._client, self._psql, self._what = client, psql, what
        self._statements = statements

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        # psql knows how many rows it copied only where they go to a file, and its standard output is one.
        script = f"{';'.join(self._statements)} \\g /dev/stdout\n\\warn :ROW_COUNT\n"
        with (
            told(f"Copying table {self.relation.label} of {self._what}"),
            self._client.script(self._psql, script) as child,
        ):
            yield child.stdout
        self.rows = int(child.stderr_lines[-1])


class PostgresSnapshot(Snapshot):
    """Holds the snapshot: its connection keeps the transaction, and with it every table's ACCESS SHARE lock."""

    tool = "pg_dump"

    def __init__(
        self,
        instance: Instance,
        database: str,
        connection: sa.Connection,
        client: Client,
        tables: Sequence[Relation],
        *,
        money: bool,
    ) -> None:
        self._instance, self._connection, self._client = instance, connection, client
        self._money = money
        self._what = f"database {database} of instance {instance.id}"
        self._identifier = str(connection.execute(sa.text("SELECT pg_export_snapshot()")).scalar_one())
        self.position = catalog.position(connection)
        self._standby = bool(connection.execute(sa.text("SELECT pg_is_in_recovery()")).scalar_one())
        version = str(connection.execute(sa.text("SHOW server_version")).scalar_one())
        dump = find_tool("pg_dump", major(version), f"Backing up PostgreSQL {version.split()[0]}")
        psql = find_tool("psql", 1, "Backing up PostgreSQL")
        self.tool_version = dump.version
        self._properties = catalog.properties(connection)
        self._partitions = catalog.partitions(connection)
        self._hashed = catalog.hashed_enums(connection)
        self._tables = self._with_sizes(tables)
        labels = Counter(table.label for table in tables)
        self._ambiguous = sorted(label for label, uses in labels.items() if uses > 1)
        copies = self._copies(psql, major(version))
        self.parts = [ArchivePart(client, dump, self._dump_arguments(copies), self._what), *copies]
        self._copied = copies

    def _with_sizes(self, tables: Sequence[Relation]) -> list[Relation]:
        sizes = catalog.sizes(self._connection, [table.oid for table in tables])
        return [
            Relation(table.oid, table.schema, table.name, table.kind, table.unlogged, sizes.get(table.oid, 0))
            for table in tables
        ]

    @property
    def _below_hashed(self) -> set[int]:
        return {oid for parent in self._hashed for oid in self._partitions.get(parent, ())}

    def _readable(self, table: Relation) -> bool:
        return not (table.unlogged and self._standby)

    def _copies(self, psql: Tool, version: int) -> list[CopyPart]:
        begin = (
            _SESSION + ("; SET transaction_timeout = 0" if version >= TRANSACTION_TIMEOUT else ""),
            f"SET lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'",
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            f"SET TRANSACTION SNAPSHOT {literal(self._identifier)}",
        )
        large = [
            table
            for table in sorted(self._tables, key=lambda table: -table.size_bytes)
            if table.kind == "r"
            and table.size_bytes >= LARGE_TABLE_BYTES
            and self._readable(table)
            and table.label not in self._ambiguous
        ][:LARGE_TABLES]
        heaps = catalog.heaps(self._connection, [table.oid for table in large])
        unplanned = calling(self._connection)
        encoding = self._properties["encoding"]
        copies: list[CopyPart] = []
        for table in large:
            heap = heaps.get(table.oid)
            # pg_dump takes its arguments for text in the database's encoding, and ours are UTF-8.
            unnamable = encoding != "UTF8" and not table.label.isascii()
            if heap is None or unnamable or table.oid in self._below_hashed:
                continue
            in_ranges = version >= TID_RANGE_SCAN and table.oid not in unplanned
            pieces = min(-(-table.size_bytes // PIECE_BYTES), max(heap.pages, 1)) if in_ranges else 1
            bounds = [heap.pages * piece // pieces for piece in range(pieces)]
            for first, end in zip(bounds, [*bounds[1:], None], strict=True):
                statement = copy_out(table.schema, table.name, heap.columns, encoding, (first, end))
                name = f"copy-{len(copies) + 1:04d}.copy"
                copies.append(CopyPart(name, table, (*begin, statement), self._client, psql, self._what))
        self._columns = {table.oid: heaps[table.oid].columns for table in large if table.oid in heaps}
        return copies

    def _dump_arguments(self, copies: Sequence[CopyPart]) -> list[str]:
        apart = {copy.relation for copy in copies}
        return [
            "--format=custom",
            "--compress=0",
            "--quote-all-identifiers",
            f"--encoding={self._properties['encoding']}",
            f"--snapshot={self._identifier}",
            f"--lock-wait-timeout={LOCK_TIMEOUT_SECONDS * 1000}",
            *(["--load-via-partition-root"] if self._hashed else []),
            *(f"--exclude-table-data={quoted(table.schema, table.name)}" for table in apart),
        ]

    def _counted(self) -> list[Table]:
        """Rows as a restore will find them: below the hash of an enum only the topmost table's sum is sure."""
        copied: dict[int, int] = defaultdict(int)
        for copy in self._copied:
            copied[copy.relation.oid] += copy.rows
        moving = self._below_hashed
        counted = [
            table
            for table in self._tables
            if (table.kind == "r" or table.oid in self._hashed) and table.oid not in moving and self._readable(table)
        ]
        with _reading(self._connection.engine) as connection:
            rest = count_rows(connection, [table for table in counted if table.oid not in copied], self._identifier)
        rows = {(table.schema, table.name): table for table in rest}
        return [
            rows.get((table.schema, table.name)) or Table(table.schema, table.name, copied[table.oid], table.size_bytes)
            for table in counted
        ]

    def inventory(self) -> Inventory:
        with translated_errors(self._instance):
            connection = self._connection
            labels = {table.oid: table.label for table in self._tables}
            counts = catalog.object_counts(connection)
            subscriptions = catalog.names(connection, catalog.SUBSCRIPTIONS)
            return Inventory(
                tables=self._counted(),
                views=counts["views"],
                routines=counts["routines"],
                triggers=counts["triggers"],
                events=counts["events"],
                schema_sha256=catalog.schema_sha256(connection),
                properties=self._properties,
                notes={
                    "tool_version": self.tool_version,
                    "roles": catalog.roles_named(connection),
                    "tablespaces": catalog.names(connection, catalog.TABLESPACES_USED),
                    "extensions": catalog.extensions(connection),
                    "subscriptions": subscriptions,
                    "ambiguous": self._ambiguous,
                    **({"lc_monetary": "C"} if self._money else {}),
                    "tables": {
                        table.label: {
                            "oid": table.oid,
                            "schema": table.schema,
                            "name": table.name,
                            "kind": table.kind,
                            "partitions": sorted(
                                labels[oid] for oid in self._partitions.get(table.oid, ()) if oid in labels
                            ),
                        }
                        for table in self._tables
                    },
                    "copies": {
                        copy.name: {"table": copy.relation.label, "columns": list(self._columns[copy.relation.oid])}
                        for copy in self._copied
                    },
                },
                warnings=self._warnings(),
            )

    def _warnings(self) -> list[str]:
        unreadable = [table.label for table in self._tables if not self._readable(table)]
        if not unreadable:
            return []
        return [
            f"The rows of {len(unreadable)} unlogged tables ({', '.join(unreadable[:5])}) are not in this backup: "
            "a standby server cannot read them."
        ]


@contextmanager
def _reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection for transactions that only read, each from one moment."""
    with engine.connect() as connection:
        catalog.settle(connection)
        connection.execute(sa.text(f"SET lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'"))
        connection.commit()
        yield connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _lock(connection: sa.Connection, tables: Sequence[Relation]) -> None:
    """LOCK takes no snapshot, so that what is dropped or truncated before the last lock is not half in the snapshot."""
    for start in range(0, len(tables), LOCKS_A_STATEMENT):
        batch = ", ".join(f"ONLY {quoted(table.schema, table.name)}" for table in tables[start:][:LOCKS_A_STATEMENT])
        run_quoted(connection, f"LOCK TABLE {batch} IN ACCESS SHARE MODE")


def _locked_tables(connection: sa.Connection, what: str) -> list[Relation]:
    """Starts the transaction of the snapshot with every table locked that the snapshot shows."""
    tables = catalog.relations(connection)
    connection.rollback()
    for _turn in range(ATTEMPTS):
        try:
            _lock(connection, tables)
        except sa.exc.ProgrammingError as error:
            if getattr(error.orig, "sqlstate", None) not in ("42P01", "3F000"):
                raise
            connection.rollback()  # dropped since it was listed
            tables = catalog.relations(connection)
            connection.rollback()
            continue
        shown = catalog.relations(connection)
        if shown == tables:
            return tables
        connection.rollback()
        tables = shown
    raise SchemaChangedError(
        f"Tables of {what} were created or dropped during each of {ATTEMPTS} attempts to lock them. "
        "Back up when no schema change is running."
    )


@contextmanager
def open_snapshot(instance: Instance, database: str) -> Iterator[PostgresSnapshot]:
    """Locks the tables, exports the snapshot, and keeps both until the context is left.

    Raises DatabaseBusyError when a table stays locked by others, PermissionDeniedError and InvalidConfigError where a
    dump would lack something in silence, ToolMissingError, SchemaChangedError.
    """
    what = f"database {database} of instance {instance.id}"
    engine = create_engine(instance, database)
    try:
        with translated_errors(instance), _reading(engine) as connection:
            refuse_hidden_objects(connection, instance, database)
            refuse_skipped_pages(connection, instance, database)
            connection.rollback()
            try:
                tables = _locked_tables(connection, what)
            except sa.exc.OperationalError as error:
                if getattr(error.orig, "sqlstate", None) != "55P03":
                    raise
                raise DatabaseBusyError(
                    f"A table of {what} stayed locked by somebody else for {LOCK_TIMEOUT_SECONDS} seconds. "
                    "Wait for the schema change that holds it, then back up again."
                ) from None
            money = catalog.holds_money(connection)
            with Client(instance, database, MONEY_AS_IN_C if money else "") as client:
                yield PostgresSnapshot(instance, database, connection, client, tables, money=money)
    finally:
        engine.dispose()
