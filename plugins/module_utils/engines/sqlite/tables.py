# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring named tables into a SQLite database: all of them in one transaction, or none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path

from ...config import Instance
from ...errors import DatabaseCorruptError, InvalidConfigError, NotFoundError, TargetExistsError
from ..base import Restored, RestoreRequest, Table, compare_rows
from ..connect import run_quoted
from .connect import translated, uri
from .copy import empty_copy
from .inspect import Object, check_foreign_keys, count_rows, objects, quoted, table_clause
from .replace import dress, new_file, publish
from .whole import database_part, write_part

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

TARGET = "target"
_HEAD = re.compile(r"CREATE (TABLE|INDEX|UNIQUE INDEX|TRIGGER) ")

# The first ON of a trigger that is a word of its own, and no part of a name or a comment; then its database.
_QUOTED = r""""[^"]*"|`[^`]*`|'[^']*'|\[[^]]*]"""
_COMMENT = r"/\*.*?\*/|--[^\n]*"
_ON = re.compile(rf"(?:{_QUOTED}|{_COMMENT}|/(?!\*)|-(?!-)|[^\"`'\[/-])*?\bON\b", re.IGNORECASE | re.DOTALL)
_MAIN = re.compile(r"""\s*(main\b|"main"|`main`|'main'|\[main])\s*\.""", re.IGNORECASE)

_ROWIDS = ("rowid", "_rowid_", "oid")


def wanted_tables(request: RestoreRequest) -> list[Table]:
    """The tables that were asked for. Raises NotFoundError for unknown ones, InvalidConfigError for virtual ones."""
    inventory = request.source.inventory
    known = {table.label: table for table in inventory.tables}
    wanted = dict.fromkeys(request.tables or ())
    for label in wanted:
        if label in inventory.notes.get("virtual_tables", ()):
            raise InvalidConfigError(
                f"{label} of database {request.source.database} is a virtual table, which only a restore of the whole "
                "database brings back. Leave it out, or restore the database under another name."
            )
        if label not in known:
            near = get_close_matches(label, known, 3, 0.5)
            hint = f" Did you mean {', '.join(near)}?" if near else ""
            raise NotFoundError(f"The backup of database {request.source.database} has no table '{label}'.{hint}")
    return [known[label] for label in wanted]


def _qualified(sql: str | None, name: str) -> str:
    """A statement of sqlite_schema, made to work on the attached database.

    SQLite stores statements with the first words in capitals, one space after each, and no database name (Database
    File Format, 2.6, "Storage Of The SQL Database Schema"). The table of a trigger may have one: it means its own.
    """
    head = _HEAD.match(sql or "")
    if not head or sql is None:
        raise DatabaseCorruptError(f"The schema of the backup holds no usable statement for {name}.")
    rest = sql[head.end() :]
    if head[1] == "TRIGGER":
        rest = _on_its_own_table(rest)
    return f"{head[0]}{TARGET}.{rest}"


def _on_its_own_table(rest: str) -> str:
    """A trigger's statement without the database name of its table (``ON main.t``), which forbids it anywhere else."""
    if (on := _ON.match(rest)) and (main := _MAIN.match(rest, on.end())):
        return f"{rest[: on.end()]} {rest[main.end() :]}"
    return rest


def _columns(connection: sa.Connection, name: str) -> list[str]:
    """The columns that a row is stored in: the row's number where the table has one, and all that are not generated."""
    listed = sa.func.pragma_table_xinfo(name).table_valued("name", "hidden")
    rows = connection.execute(sa.select(listed.c.name, listed.c.hidden)).all()
    taken = {row.name.lower() for row in rows}
    stored = [row.name for row in rows if not row.hidden]
    for rowid in _ROWIDS:
        if rowid not in taken:
            column: sa.ColumnClause[int] = sa.column(rowid)
            probe = sa.select(column).select_from(table_clause(name)).limit(0)
            with suppress(sa.exc.OperationalError):  # a table WITHOUT ROWID
                connection.execute(probe).close()
                return [rowid, *stored]
            break
    return stored


def _copy_rows(connection: sa.Connection, name: str) -> None:
    columns = _columns(connection, name)
    source, target = table_clause(name, columns), table_clause(name, columns, TARGET)
    connection.execute(sa.insert(target).from_select(list(target.c), sa.select(*source.c)))


def _copy_sequence(connection: sa.Connection, name: str) -> None:
    """AUTOINCREMENT's counter, which may be beyond the largest row."""
    source, target = (table_clause("sqlite_sequence", ("name", "seq"), database) for database in ("main", TARGET))
    if "sqlite_sequence" in connection.execute(sa.text("SELECT name FROM main.sqlite_master")).scalars():
        counter = sa.select(source.c.name, source.c.seq).where(source.c.name == name)
        if connection.execute(counter).first():
            connection.execute(sa.delete(target).where(target.c.name == name))
            connection.execute(sa.insert(target).from_select(list(target.c), counter))


def _make_way(connection: sa.Connection, request: RestoreRequest, wanted: Iterable[Table]) -> None:
    there = {item.name.lower(): item for item in objects(connection, TARGET) if item.kind not in ("index", "trigger")}
    blocking = [there[table.name.lower()] for table in wanted if table.name.lower() in there]
    if blocking and not request.replace:
        raise TargetExistsError(
            f"Database {request.database} has {', '.join(item.name for item in blocking)} already. "
            "Restore into another database, or replace with existing: replace."
        )
    for item in blocking:
        kind = "VIEW" if item.kind == "view" else "TABLE"
        run_quoted(connection, f"DROP {kind} {TARGET}.{quoted(connection, item.name)}")


def _bring(connection: sa.Connection, wanted: list[Table], found: list[Object]) -> list[Table]:
    for table in wanted:
        own = [item for item in found if item.table == table.name and item.sql and item.kind != "view"]
        for item in own:
            if item.kind == "table":
                run_quoted(connection, _qualified(item.sql, item.name))
        _copy_rows(connection, table.name)
        _copy_sequence(connection, table.name)
        for kind in ("index", "trigger"):
            for item in own:
                if item.kind == kind:
                    run_quoted(connection, _qualified(item.sql, item.name))
    return [Table("", table.name, count_rows(connection, table.name, TARGET)) for table in wanted]


@contextmanager
def _destination(instance: Instance, request: RestoreRequest, path: Path, warnings: list[str]) -> Iterator[Path]:
    """The file to work on: the target itself, or a new file that becomes the target at the end."""
    if path.exists():
        yield path
        return
    with new_file(path) as beside:
        yield beside
        warnings += dress(beside, path, request.source.inventory.notes)
        publish(instance, request.database, beside, path)


def _prepare_new(connection: sa.Connection, request: RestoreRequest) -> None:
    properties = request.source.inventory.properties
    for name in ("page_size", "auto_vacuum", "user_version", "application_id"):
        if name in properties:
            run_quoted(connection, f"PRAGMA {TARGET}.{name} = {int(properties[name])}")


def restore_tables(instance: Instance, request: RestoreRequest, path: Path) -> Restored:
    """Brings named tables back with their rows, indexes, triggers and counters.

    Raises TargetExistsError, NotFoundError, InvalidConfigError, DatabaseBusyError, RowCountMismatchError; nothing of
    the target is changed then.
    """
    wanted = wanted_tables(request)
    part = database_part(request.source)
    warnings: list[str] = []
    with translated(instance, request.database), empty_copy(part.raw_bytes) as copy:
        write_part(request.source, part, copy.stream)
        with _destination(instance, request, path, warnings) as file, copy.reading() as connection:
            found = objects(connection)
            run_quoted(connection, "PRAGMA ignore_check_constraints = ON")
            connection.exec_driver_sql(f"ATTACH DATABASE ? AS {TARGET}", (uri(file, mode="rw"),))
            if file != path:
                _prepare_new(connection, request)
            run_quoted(connection, "BEGIN IMMEDIATE")
            try:
                _make_way(connection, request, wanted)
                counted = _bring(connection, wanted, found)
                compare_rows(wanted, counted, request.database)
                run_quoted(connection, "COMMIT")
            except BaseException:
                run_quoted(connection, "ROLLBACK")
                raise
            warnings += check_foreign_keys(connection, TARGET)
    return Restored(counted, warnings)
