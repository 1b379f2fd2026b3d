# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a backup back into a MySQL or MariaDB server."""

from __future__ import annotations

import os
import secrets
import select
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from ... import commands
from ...config import Instance
from ...errors import BackupdbError, TargetExistsError, TargetUnfitError, ToolFailedError
from ...parallel import in_parallel
from ...security.redact import Redactor
from ...streams import read_chunks
from ..base import Restored, RestoreRequest, StoredPart, Table, compare_rows
from ..connect import run_quoted, translated_errors
from . import catalog
from .lacking import find_lacking, must_be_strict, strictly
from .script import SchemaScript, constraint_name, data_script, objects_script, renamed_view
from .tools import Flavour, Login, Tool, client_arguments

if TYPE_CHECKING:
    import sqlalchemy as sa

STOP_CHECK_MILLISECONDS = 200
STAGING_PREFIX = "vya_restore_"
LARGE_TABLE_BYTES = 32 << 20
"""Tables of this size get their secondary indexes after their rows: sorted at once, instead of a row at a time."""
_UNCHECKED = "SET SESSION foreign_key_checks = 0"
"""MariaDB drops half a database, then stops, where a foreign key of another one refers to it and these are on."""
_NAMED_ONCE = {"mariadb": ["FOREIGN KEY"], "mysql": ["FOREIGN KEY", "CHECK"]}
"""The kinds of constraints whose names a database has once, whatever their tables."""
SWAPS = 5
"""How often tables are dropped and replaced while somebody makes them anew in between."""
# As the dump tools set their sessions; the last one lets system-versioned tables get their foreign keys back.
_ALTERING = b"""SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', foreign_key_checks = 0;
/*M!100304 SET system_versioning_alter_history = 1 */;
"""


class _StoppedError(Exception):
    """Another part failed; this one ends without being to blame."""


@dataclass(frozen=True)
class Client:
    """The client program of the target, ready to load scripts."""

    instance: Instance
    flavour: Flavour
    tool: Tool
    login: Login
    loading: Sequence[str]
    """Assignments that its sessions begin with."""

    def load(self, database: str, script: Iterable[bytes], stop: threading.Event) -> None:
        """Feeds a script into a database; raises ToolFailedError with the client's words at its first error."""
        with commands.writing(
            client_arguments(self.flavour, self.tool, self.login, database, self.loading),
            env=self.login.environment,
            pass_fds=(self.login.secret.fd,),
            redact=Redactor([self.instance.password]),
        ) as stdin:
            os.set_blocking(stdin.fileno(), False)
            for data in script:
                _write(stdin.fileno(), data, stop)


def _write(descriptor: int, data: bytes, stop: threading.Event) -> None:
    """Writes into a pipe that may be full for as long as one statement runs, and still ends when told to."""
    left = memoryview(data)
    ready = select.poll()
    ready.register(descriptor, select.POLLOUT)
    while left:
        if stop.is_set():
            raise _StoppedError
        if ready.poll(STOP_CHECK_MILLISECONDS):
            left = left[os.write(descriptor, left) :]


class _Completion:
    """Which tables are complete, told as the parts with their rows are loaded. ``tables_of_parts`` names the tables
    in each part; a table that is in none is never told."""

    def __init__(self, tables_of_parts: Mapping[str, Sequence[str]]) -> None:
        self._lock = threading.Lock()
        self._missing: dict[str, set[str]] = {}
        for part, tables in tables_of_parts.items():
            for table in tables:
                self._missing.setdefault(table, set()).add(part)

    def completed_by(self, part: str) -> list[str]:
        """The tables that lacked no other part than this one, which is loaded now."""
        with self._lock:
            concerned = [table for table, parts in self._missing.items() if part in parts]
            for table in concerned:
                self._missing[table].remove(part)
            return [table for table in concerned if not self._missing[table]]


class Restore:
    """One restore. ``run`` does it; on any failure no database stays that did not exist before."""

    def __init__(self, engine: sa.Engine, client: Client, request: RestoreRequest) -> None:
        self._engine, self._client, self._request = engine, client, request
        self._inventory = request.source.inventory
        self._names = frozenset(table.name for table in request.expected_tables)
        self._large = frozenset(
            table.name for table in request.expected_tables if table.size_bytes >= LARGE_TABLE_BYTES
        )
        self._stop = threading.Event()
        self._warnings: list[str] = []
        self._missing_views = 0
        self._lacking = self._query(lambda connection: find_lacking(connection, self._inventory.notes))
        self._strict = must_be_strict(request.source, self._query(catalog.server_version))

    def run(self) -> Restored:
        stored = self._query(lambda connection: catalog.stored_name(connection, self._request.database))
        if stored is not None and self._request.tables is not None:
            tables = self._restore_into(stored)
        else:
            if stored is not None:
                self._execute(_UNCHECKED, f"DROP DATABASE {catalog.quoted(stored)}")
            tables = self._restore_anew(self._request.database)
        return Restored(tables, self._warnings)

    def _restore_anew(self, database: str) -> list[Table]:
        """All that was asked for, into a database that does not exist."""
        whole = self._request.tables is None
        self._create(database)
        try:
            script = SchemaScript(
                self._request.source.database,
                database,
                None if whole else self._names,
                large=self._large,
                foreign_keys_apart=bool(self._large),  # they need the indexes of both tables
            )
            tables = self._load_tables(database, script)
            self._alter(database, script.foreign_keys)
            self._check_foreign_keys(database)
            self._load_objects(database, events=whole and not self._request.idle)
            if whole:
                self._create_broken_views(database)
                self._compare_objects(database)
        except BaseException:
            self._drop(database)
            raise
        return tables

    def _restore_into(self, database: str) -> list[Table]:
        """Named tables into a database that exists: loaded and proven beside it, then put in the place of the old.

        The foreign keys come after the move: until then they would point beside the database, too.
        """
        staging = STAGING_PREFIX + secrets.token_hex(8)
        script = SchemaScript(
            self._request.source.database,
            database,
            self._names,
            large=self._large,
            foreign_keys_apart=True,
            sequences=False,
        )
        with self._claimed(staging):
            self._create(staging)
            try:
                tables = self._load_tables(staging, script)
                self._check_constraints(staging, database, script.foreign_keys)
            except BaseException:
                self._drop(staging)
                raise
            self._swap(staging, database)
            self._drop(staging)
        self._alter(database, script.foreign_keys)
        self._check_foreign_keys(database)
        self._load_objects(database, events=False)
        return tables

    @contextmanager
    def _claimed(self, staging: str) -> Iterator[None]:
        """Holds a lock named like the staging database; what has none was left by a restore that was killed."""
        with self._engine.connect() as connection:
            connection.detach()
            with translated_errors(self._client.instance):
                run_quoted(connection, "SET SESSION wait_timeout = 604800")
                catalog.claim(connection, staging)
                leftovers = catalog.unclaimed(connection, catalog.STAGING_NAME)
            for leftover in leftovers:
                self._drop(leftover)
            yield

    def _create(self, database: str) -> None:
        properties = self._inventory.properties
        character_set, collation = properties["character_set"], properties["collation"]
        statement = (
            f"CREATE DATABASE {catalog.quoted(database)} "
            f"CHARACTER SET {catalog.literal(character_set)} COLLATE {catalog.literal(collation)}"
        )
        if properties["comment"] and self._client.flavour.name == "mariadb":
            statement += f" COMMENT {catalog.literal(properties['comment'])}"
        self._execute(statement)

    def _drop(self, database: str) -> None:
        with suppress(BackupdbError):  # the error that led here is the one to report
            self._execute(_UNCHECKED, f"DROP DATABASE IF EXISTS {catalog.quoted(database)}")

    def _load_tables(self, database: str, script: SchemaScript) -> list[Table]:
        """Schema, then data, each table's indexes once it has all its rows, then the proof; views and routines too,
        unless the script is limited to tables."""
        for part in self._parts("schema"):
            self._load(database, part, lambda stream: map(self._lacking.replaced, script.read(stream)))
        completion = _Completion(self._inventory.notes.get("tables_of_parts", {}))  # early sets lack it
        indexes = dict(script.indexes)

        def load(part: StoredPart) -> None:
            self._load(database, part, self._data)
            for table in completion.completed_by(part.name):
                if clauses := indexes.pop(table, ()):
                    self._add(database, table, clauses)

        self._at_once([partial(load, part) for part in sorted(self._parts("data"), key=lambda part: -part.raw_bytes)])
        self._alter(database, indexes)
        stored = self._query(lambda connection: catalog.stored_name(connection, database)) or database
        self._compute(stored)
        with ThreadPoolExecutor(self._request.jobs) as pool:
            tables = list(pool.map(lambda table: self._counted(stored, table), self._request.expected_tables))
        compare_rows(self._request.expected_tables, tables, self._request.database)
        return tables

    def _alter(self, database: str, added: Mapping[str, Sequence[str]]) -> None:
        """Adds clauses to tables, to each in one statement, to the largest first."""
        sizes = {table.name: table.size_bytes for table in self._request.expected_tables}
        names = sorted((name for name, clauses in added.items() if clauses), key=lambda name: -sizes.get(name, 0))
        self._at_once([partial(self._add, database, name, added[name]) for name in names])

    def _add(self, database: str, table: str, clauses: Sequence[str]) -> None:
        statement = f"ALTER TABLE {catalog.quoted(table)} {', '.join(f'ADD {clause}' for clause in clauses)};\n"
        try:
            self._client.load(database, [_ALTERING, statement.encode()], self._stop)
        except ToolFailedError as error:
            raise ToolFailedError(f"Adding indexes and foreign keys to {table} failed: {error}") from None

    def _compute(self, database: str) -> None:
        """Lets the server compute at its own time zone what it computed from a TIMESTAMP at UTC, where data is loaded:
        its indexes would not find what it shows, and the days of rows would be others."""
        if not self._inventory.notes.get("timestamps", True) or self._query(catalog.is_at_utc):  # early sets lack it
            return
        tables = self._query(lambda connection: catalog.tables(connection, database))
        computed = [table for table in tables.values() if table.computed_from_times]
        computed.sort(key=lambda table: -table.size_bytes)
        self._at_once([partial(self._rebuild, database, table.name) for table in computed])

    def _rebuild(self, database: str, table: str) -> None:
        statement = f"ALTER TABLE {catalog.quoted(table)} FORCE, ALGORITHM = COPY;\n"
        try:
            self._client.load(database, [_ALTERING, statement.encode()], self._stop)
        except ToolFailedError as error:
            raise ToolFailedError(f"Computing the generated columns of {table} failed: {error}") from None

    def _check_foreign_keys(self, database: str) -> None:
        """What was loaded with the checks off is looked at now: rows that lack what they refer to are told."""
        stored = self._query(lambda connection: catalog.stored_name(connection, database)) or database
        keys = self._query(lambda connection: catalog.foreign_keys(connection, stored))

        def check(key: catalog.ForeignKey) -> None:
            if not self._query(lambda connection: catalog.holds(connection, key)):
                self._warnings.append(
                    f"The foreign key {key.name} does not hold: rows of {key.table} refer to rows of {key.parent} "
                    "that are not there."
                )

        loaded = self._loaded_names
        concerned = [key for key in keys if key.table in loaded or key.parent in loaded]
        self._at_once([partial(check, key) for key in concerned])

    def _at_once(self, tasks: Sequence[Callable[[], None]]) -> None:
        in_parallel(tasks, self._request.jobs, self._stop.set)

    def _data(self, stream: BinaryIO) -> Iterator[bytes]:
        whole = self._request.tables is None
        script = read_chunks(stream) if whole else data_script(stream, self._names.__contains__)
        return strictly(script) if self._strict else script

    def _load_objects(self, database: str, events: bool) -> None:
        wanted = self._loaded_names.__contains__

        def script(stream: BinaryIO) -> Iterable[bytes]:
            return map(self._lacking.replaced, objects_script(stream, database, wanted, events))

        for part in self._parts("objects"):
            self._load(database, part, script)

    @property
    def _loaded_names(self) -> frozenset[str]:
        """The tables' names, also as servers write them that fold names."""
        return self._names | {name.lower() for name in self._names}

    def _load(self, database: str, part: StoredPart, script: Callable[[BinaryIO], Iterable[bytes]]) -> None:
        with self._request.source.open(part) as stream:
            try:
                self._client.load(database, script(stream), self._stop)
            except ToolFailedError as error:
                raise ToolFailedError(f"Restoring {part.name} into {self._request.database} failed: {error}") from None

    def _parts(self, kind: str) -> list[StoredPart]:
        return [part for part in self._request.source.parts if part.kind == kind]

    def _counted(self, database: str, table: Table) -> Table:
        notes = self._inventory.notes
        rows = 0
        if table.name not in notes["rowless"]:
            history = notes["history"] and table.name in notes["versioned"]
            rows = self._query(lambda connection: catalog.count_rows(connection, database, table.name, history))
        return Table(table.schema, table.name, rows, table.size_bytes)

    def _check_constraints(self, staging: str, database: str, foreign_keys: Mapping[str, Sequence[str]]) -> None:
        """Raises TargetUnfitError where other tables of the database have constraints of the names of these."""
        brought = {("FOREIGN KEY", constraint_name(key).lower()) for keys in foreign_keys.values() for key in keys}
        kinds = _NAMED_ONCE[self._client.flavour.name]
        for found in self._query(lambda connection: catalog.constraints(connection, staging, kinds)):
            brought.add((found.kind, found.name.lower()))
        for found in self._query(lambda connection: catalog.constraints(connection, database, kinds)):
            if (found.kind, found.name.lower()) in brought and found.table not in self._loaded_names:
                raise TargetUnfitError(
                    f"The table {found.table} of the database {database} has a constraint ({found.kind}) of the name "
                    f"{found.name}, which a table of the backup has, too. Drop it there, or drop that table, or choose "
                    "another target_database."
                )

    def _swap(self, staging: str, database: str) -> None:
        """Moves the tables out of the staging database to where they belong. Where those that they replace may be gone
        and this fails, the staging database stays."""
        quoted, replace = catalog.quoted, self._request.replace
        names = sorted(self._names)
        moves = (f"{quoted(staging, name)} TO {quoted(database, name)}" for name in names)
        rename = f"RENAME TABLE {', '.join(moves)}"
        drop = f"DROP TABLE IF EXISTS {', '.join(quoted(database, name) for name in names)}"

        def swap(connection: sa.Connection) -> None:
            connection.detach()
            run_quoted(connection, _UNCHECKED)
            for _turn in range(SWAPS if replace else 1):
                if replace:
                    run_quoted(connection, drop)
                if catalog.has_moved(connection, rename):
                    return
            raise TargetExistsError(f"Somebody makes the tables {', '.join(names)} in the database {database} anew.")

        try:
            self._query(swap)
        except BackupdbError as error:
            if not replace:
                self._drop(staging)
                raise
            raise type(error)(
                f"{error.message} The old tables are gone, as far as nobody made them anew. The restored ones are in "
                f"the database {staging}, which the next restore of tables drops: move them from there with RENAME "
                "TABLE, or restore again."
            ) from None

    def _create_broken_views(self, database: str) -> None:
        """Views may be built on one another: goes round as long as one more succeeds."""
        failed: dict[str, str] = {}
        pending = list(self._inventory.notes["broken_views"])
        while pending:
            before = len(pending)
            for view in list(pending):
                try:
                    text = renamed_view(view["sql"].encode(), self._request.source.database, database)
                    self._client.load(database, [text, b";\n"], self._stop)
                    pending.remove(view)
                except ToolFailedError as error:
                    failed[view["name"]] = str(error)
            if len(pending) == before:
                break
        self._warnings += [
            f"The view {view['name']} was broken on the source and cannot be created: {failed[view['name']]}. "
            "Its definition is in the inventory of the backup."
            for view in pending
        ]
        self._missing_views = len(pending)

    def _compare_objects(self, database: str) -> None:
        source = self._request.source.database

        def look(connection: sa.Connection) -> tuple[dict[str, int], list[str]]:
            stored = catalog.stored_name(connection, database) or database
            elsewhere = catalog.mentioning(connection, stored, source) if source != database else []
            return catalog.stored_objects(connection, stored).counts, elsewhere

        found, elsewhere = self._query(look)
        if elsewhere:
            self._warnings.append(f"Still naming the database {source} in their text: {', '.join(elsewhere)}.")
        found["views"] += self._missing_views
        if self._request.idle:
            found["events"] = self._inventory.events
        self._warnings += [
            f"The restored database has {found[kind]} {kind}, the backup recorded {recorded}."
            for kind in ("views", "routines", "triggers", "events")
            if found[kind] != (recorded := getattr(self._inventory, kind))
        ]

    def _query(self, query: Callable[[sa.Connection], Any]) -> Any:
        with translated_errors(self._client.instance), self._engine.connect() as connection:
            return query(connection)

    def _execute(self, *statements: str) -> None:
        """Runs statements in a session that ends with them."""
        with translated_errors(self._client.instance), self._engine.connect() as connection:
            connection.detach()
            for statement in statements:
                run_quoted(connection, statement)
