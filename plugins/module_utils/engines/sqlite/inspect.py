# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a SQLite database holds, and whether it is sound; asked of copies that nobody else writes to."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ...errors import DatabaseCorruptError
from ..base import Inventory, Table
from ..connect import run_quoted
from ..sentences import driver_sentence
from .connect import driver

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

HAS_TABLE_LIST = sqlite3.sqlite_version_info >= (3, 37)
"""Without PRAGMA table_list the shadow tables of virtual tables are counted as tables of their own."""

STRICT_SINCE = "3.37.0"
"""STRICT tables need this SQLite; an older one calls the whole database malformed (sqlite.org, "STRICT Tables")."""

MESSAGES = 20
_EVERY_MESSAGE = 1_000_000

# Rows that break a rule of their table are no damage: the file is sound, and keeping such rows is a backup's work
# (sqlite.org, "PRAGMA integrity_check", and the texts in pragma.c).
_RULES = re.compile(r"(CHECK constraint failed in|(NULL|NUMERIC|TEXT|non-\w+) value in) ")
_APPLICATIONS_OWN = re.compile(r"no such collation sequence: (.+)|(?:no such|unknown) (?:function|module): .+")


@dataclass(frozen=True)
class Object:
    """One row of sqlite_schema; ``kind`` of a table is table, virtual or shadow."""

    kind: str
    name: str
    table: str
    sql: str | None
    strict: bool = False


def _schema(database: str = "main") -> sa.TableClause:
    return table_clause("sqlite_master", ("type", "name", "tbl_name", "sql"), database)


def objects(connection: sa.Connection, database: str = "main") -> list[Object]:
    """Tables, indexes, views and triggers by kind and name, without SQLite's own (their names start with sqlite_)."""
    schema = _schema(database)
    kinds: dict[str, tuple[str, bool]] = {}
    if HAS_TABLE_LIST:
        listed = sa.func.pragma_table_list().table_valued("schema", "name", "type", "strict")
        chosen = sa.select(listed.c.name, listed.c.type, listed.c.strict).where(listed.c.schema == database)
        kinds = {row.name: (row.type, bool(row.strict)) for row in connection.execute(chosen)}
    found = []
    for row in connection.execute(sa.select(schema).order_by(schema.c.type, schema.c.name)):
        if row.name.startswith("sqlite_"):
            continue
        kind, strict = row.type, False
        if kind == "table":
            virtual = (row.sql or "").startswith("CREATE VIRTUAL TABLE")
            kind, strict = kinds.get(row.name, ("virtual" if virtual else "table", False))
        found.append(Object(kind, row.name, row.tbl_name, row.sql, strict))
    return found


def tables_of(found: Iterable[Object]) -> list[str]:
    """The names of the tables that people made: ordinary and virtual ones, without the shadow tables of the latter."""
    return [item.name for item in found if item.kind in ("table", "virtual")]


def quoted(connection: sa.Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote_identifier(name)


def table_clause(name: str, columns: Iterable[str] = (), database: str = "main") -> sa.TableClause:
    """A table with quoted names, for SQLAlchemy's constructs."""
    quoted_columns: list[sa.ColumnClause[Any]] = [sa.column(sa.sql.quoted_name(column, True)) for column in columns]
    return sa.table(sa.sql.quoted_name(name, True), *quoted_columns, schema=database)


def _by_bytes(left: str, right: str) -> int:
    return (left > right) - (left < right)


def count_rows(connection: sa.Connection, name: str, database: str = "main") -> int:
    """Counts a table. The order of a collation that only the application knows does not matter for that."""
    statement = sa.select(sa.func.count()).select_from(table_clause(name, database=database))
    while True:
        try:
            return int(connection.execute(statement).scalar_one())
        except sa.exc.OperationalError as error:
            unknown = _APPLICATIONS_OWN.fullmatch(driver_sentence(error.orig or error))
            if not unknown or not unknown[1]:
                raise
            driver(connection).create_collation(unknown[1], _by_bytes)


@dataclass
class Counted:
    """The rows of tables, and a sentence about each one that can't be counted."""

    tables: list[Table] = field(default_factory=list)
    uncounted: dict[str, str] = field(default_factory=dict)


def count_tables(connection: sa.Connection, found: Iterable[Object]) -> Counted:
    """Counts the tables; a virtual table that can't be read, for example without its module, gives a warning."""
    counted = Counted()
    for item in found:
        if item.kind not in ("table", "virtual"):
            continue
        try:
            counted.tables.append(Table("", item.name, count_rows(connection, item.name)))
        except sa.exc.OperationalError as error:
            if item.kind == "table":
                raise
            said = driver_sentence(error.orig or error)
            counted.uncounted[item.name] = f"The rows of virtual table {item.name} cannot be counted here: {said}."
    return counted


def check_integrity(connection: sa.Connection, found: Iterable[Object], what: str) -> list[str]:
    """Runs SQLite's integrity check; returns warnings, raises DatabaseCorruptError with the check's first messages."""
    try:
        return _check(connection, None, what)
    except sa.exc.OperationalError as error:
        said = driver_sentence(error.orig or error)
        if not _APPLICATIONS_OWN.fullmatch(said):
            raise
    warnings = []
    for name in tables_of(found):
        try:
            warnings += _check(connection, quoted(connection, name), what)
        except sa.exc.OperationalError as error:
            said = driver_sentence(error.orig or error)
            if not _APPLICATIONS_OWN.fullmatch(said):
                raise
            warnings.append(f"The integrity of table {name} cannot be checked without its application: {said}.")
    return warnings


def _messages(connection: sa.Connection, table: str | None) -> Iterator[str]:
    """The check's messages, about one table (a quoted name) or all.

    Damage may end the check itself, and sqlite3 then swallows the message before the end; so the check is run again
    with ever lower limits, at which it stops by itself before that.
    """
    said = ""
    for argument in (table,) if table else (_EVERY_MESSAGE, MESSAGES, 10, 5, 2, 1):
        try:
            with run_quoted(connection, f"PRAGMA integrity_check({argument})") as result:
                for (message,) in result:
                    yield from (line for line in message.splitlines() if not line.startswith("*** in database "))
            return
        except sa.exc.OperationalError:
            raise
        except sa.exc.DatabaseError as error:
            said = driver_sentence(error.orig or error)
    yield said


def _check(connection: sa.Connection, table: str | None, what: str) -> list[str]:
    damage: list[str] = []
    rules: dict[str, None] = {}
    for message in _messages(connection, table):
        if _RULES.match(message):
            if len(rules) < MESSAGES:
                rules[message] = None
        elif message != "ok" and message not in damage:
            damage.append(message)
            if len(damage) == MESSAGES:
                break
    if damage:
        said = "; ".join(damage)
        raise DatabaseCorruptError(
            f"{what} is damaged, SQLite's integrity check says: {said}. "
            "Restore it from a backup, or save what can be saved with sqlite3's .recover."
        )
    return [f"Rows break a rule of their table: {message}." for message in rules]


def check_foreign_keys(connection: sa.Connection, database: str = "main") -> list[str]:
    """A warning where rows point to rows that do not exist: SQLite prevents that only if an application asks for it."""
    broken, first = 0, ""
    try:
        with run_quoted(connection, f"PRAGMA {database}.foreign_key_check") as result:
            for row in result:
                broken += 1
                first = first or str(row[0])
    except sa.exc.OperationalError as error:
        return [f"The foreign keys cannot be checked: {driver_sentence(error.orig or error)}."]
    return [f"{broken} rows point to rows that do not exist, the first from table {first}."] if broken else []


def inventory(connection: sa.Connection, what: str) -> Inventory:
    """Checks a database and counts everything in it. Raises DatabaseCorruptError."""
    found = objects(connection)
    warnings = check_integrity(connection, found, what)
    counted = count_tables(connection, found)
    digest = hashlib.sha256()
    for item in found:
        digest.update(repr((item.kind, item.name, item.table, item.sql)).encode())
    return Inventory(
        tables=counted.tables,
        views=sum(item.kind == "view" for item in found),
        triggers=sum(item.kind == "trigger" for item in found),
        schema_sha256=digest.hexdigest(),
        properties={
            name: run_quoted(connection, f"PRAGMA {name}").scalar_one()
            for name in ("page_size", "encoding", "user_version", "application_id", "auto_vacuum")
        },
        notes={
            "virtual_tables": [item.name for item in found if item.kind == "virtual"],
            "needs_sqlite": STRICT_SINCE if any(item.strict for item in found) else "",
        },
        warnings=[*warnings, *counted.uncounted.values(), *check_foreign_keys(connection)],
    )
