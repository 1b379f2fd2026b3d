# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the catalogue of a MySQL or MariaDB server says: databases, tables, views, definers, collations.

All from the INFORMATION_SCHEMA tables that both families have (MySQL manual, chapter "INFORMATION_SCHEMA Tables").
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base import SCRATCH_PREFIX, Database
from ..connect import run_quoted
from .keys import KeyColumn

if TYPE_CHECKING:
    from sqlalchemy.sql.expression import ColumnElement

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa
    from sqlalchemy.dialects import mysql

SYSTEM_DATABASES = ("information_schema", "performance_schema", "mysql", "sys")
STAGING_NAME = re.compile(r"vya_restore_[0-9a-f]{16}\Z")
SCRATCH_NAME = re.compile(SCRATCH_PREFIX + r"[0-9a-f]{12}\Z")
"""Databases of these names are ours to drop. Others may begin alike and belong to somebody."""
BASE_TABLE, VERSIONED_TABLE, SEQUENCE = "BASE TABLE", "SYSTEM VERSIONED", "SEQUENCE"
VIEW = "VIEW"
TABLE_KINDS = (BASE_TABLE, VERSIONED_TABLE)
TRANSACTIONAL_ENGINES = ("InnoDB", "ROCKSDB", "TokuDB", "ndbcluster", "SEQUENCE")
_KNOW_WHEN_MADE = ("InnoDB", "MyISAM", "Aria")
"""ARCHIVE gives the time of its latest row as that of its creation."""
_TABLE_EXISTS = 1050
_WRONG_VALUE = 1231
"""ER_TABLE_EXISTS_ERROR, and ER_WRONG_VALUE_FOR_VAR: a variable can't be set to this (MySQL manual, "Server Error
Message Reference")."""
# mysqldump.c, ``check_if_ignore_table``: their rows live elsewhere, and the tools leave them out.
ROWLESS_ENGINES = ("MRG_MyISAM", "MRG_MYISAM", "MRG_ISAM", "FEDERATED", "BLACKHOLE")


def _view(name: str, *columns: str) -> sa.TableClause:
    return sa.table(name, *(sa.column(column) for column in columns), schema="information_schema")


def _is(column: ColumnElement[str], database: str) -> ColumnElement[bool]:
    """The first condition finds the database without reading them all, the second tells ``a`` from ``A``."""
    return sa.and_(column == database, sa.cast(column, sa.BINARY) == database.encode())


def quoted(*names: str) -> str:
    """A name, or names from the outside in, as SQLAlchemy quotes them for run_quoted."""
    preparer = mysql.dialect(paramstyle="named").identifier_preparer  # any other style doubles percent signs
    return ".".join(preparer.quote_identifier(name) for name in names)


def literal(text: str) -> str:
    """A string as SQLAlchemy writes it into a statement for run_quoted."""
    return written(sa.literal(text))


def written(clause: sa.ClauseElement) -> str:
    """A query or a part of one as SQLAlchemy writes it for run_quoted."""
    return str(clause.compile(dialect=mysql.dialect(paramstyle="named"), compile_kwargs={"literal_binds": True}))


class Column(NamedTuple):
    """What INFORMATION_SCHEMA.COLUMNS says of a column."""

    position: int
    name: str
    type: str
    nullable: str
    default: str | None
    extra: str
    comment: str
    character_set: str | None
    collation: str | None
    generation: str | None


@dataclass(frozen=True)
class TableInfo:
    """One table: what makes it the same table, and how large it is."""

    name: str
    kind: str
    engine: str
    collation: str
    columns: tuple[Column, ...] = ()
    indexes: tuple[tuple[Any, ...], ...] = ()
    size_bytes: int = field(default=0, compare=False)
    made: tuple[Any, ...] = ()
    """When it was made, and InnoDB's numbers of it and of its partitions: a table that took another's name differs."""

    @property
    def character_sets(self) -> set[str]:
        return {column.character_set for column in self.columns if column.character_set}

    @property
    def collations(self) -> set[str]:
        return {name for name in (self.collation, *(column.collation for column in self.columns)) if name}

    @property
    def types(self) -> set[str]:
        return {column.type.partition("(")[0].lower() for column in self.columns}

    @property
    def rounded(self) -> bool:
        """Whether it has columns of the type FLOAT without a number of decimals. FLOAT(M,D) is shown as it is."""
        return any(column.type.lower().split(" ")[0] == "float" for column in self.columns)

    @property
    def precise_history(self) -> bool:
        """Whether its past rows are told apart by transactions, not by times."""
        return any(column.generation == "ROW START" and "bigint" in column.type for column in self.columns)

    @property
    def generated(self) -> bool:
        """Whether the server computes any of its columns."""
        return any(column.generation not in (None, "", "ROW START", "ROW END") for column in self.columns)

    @property
    def computed_from_times(self) -> bool:
        """Whether columns or indexes may depend on the time zone in which rows were written. An index on an expression
        names no column."""
        return "timestamp" in self.types and (self.generated or any(index[2] is None for index in self.indexes))

    @property
    def range_column(self) -> KeyColumn | None:
        """The column by whose values the rows can be told apart in ranges: the first one of the primary key, where it
        is an integer, text, bytes or a UUID. None where there is no such column, or where a snapshot doesn't show all
        rows alike."""
        if self.kind != BASE_TABLE or self.engine != "InnoDB":
            return None
        first = next((index[2] for index in self.indexes if index[:2] == ("PRIMARY", 1)), None)
        for column in self.columns:
            key = KeyColumn(column.name, column.type, column.collation)
            if key.name == first and key.has_ranges:
                return key
        return None


def _rows(connection: sa.Connection, query: sa.Executable | str) -> list[tuple[Any, ...]]:
    result = run_quoted(connection, query) if isinstance(query, str) else connection.execute(query)
    return [tuple(row) for row in result]


def _streamed(connection: sa.Connection, query: sa.Executable) -> Iterator[Sequence[Any]]:
    """Rows as the server sends them, few at a time: together they may take more memory than a backup may."""
    return iter(connection.execute(query, execution_options={"yield_per": 1000}))


def server_version(connection: sa.Connection) -> str:
    return str(connection.scalar(sa.select(sa.func.version())))


def encrypted(connection: sa.Connection) -> bool:
    rows = _rows(connection, "SHOW SESSION STATUS LIKE 'Ssl_cipher'")
    return bool(rows and rows[0][1])


def variable(connection: sa.Connection, name: str) -> Any:
    """A system variable by its name, None where the server has none of that name."""
    rows = _rows(connection, f"SHOW VARIABLES WHERE Variable_name = {literal(name)}")
    return rows[0][1] if rows else None


def is_at_utc(connection: sa.Connection) -> bool:
    """Whether the time zone of the server's sessions is UTC."""
    zone = variable(connection, "time_zone")
    return (variable(connection, "system_time_zone") if zone == "SYSTEM" else zone) in ("UTC", "+00:00", "Etc/UTC")


def accepted(connection: sa.Connection, assignments: Iterable[str]) -> list[str]:
    """Those of the assignments to session variables, made now, that the server knows and grants to this account."""
    taken = []
    for assignment in assignments:
        try:
            run_quoted(connection, f"SET SESSION {assignment}")
        except sa.exc.DBAPIError as error:
            if error.connection_invalidated:
                raise
        else:
            taken.append(assignment)
    return taken


def names_of_databases(connection: sa.Connection) -> list[str]:
    """Every database but the system's, sorted. Names are compared as bytes: ``a`` and ``A`` are two databases.

    The catalogue would take a database ``Mysql`` for the system's, too. The server itself does so where it folds names.
    """
    name = _view("schemata", "schema_name").c.schema_name
    names = sorted(row[0].decode() for row in _rows(connection, sa.select(sa.cast(name, sa.BINARY))))
    return [name for name in names if name not in SYSTEM_DATABASES]


def described(connection: sa.Connection, database: str) -> Database:
    """A database with its size and the number of its tables. The server opens each of these tables to say it."""
    c = _view("tables", "table_schema", "table_type", "data_length", "index_length").c
    size = sa.func.sum(sa.func.ifnull(c.data_length, 0) + sa.func.ifnull(c.index_length, 0))
    query = sa.select(sa.func.ifnull(size, 0), sa.func.count(c.table_schema))
    found = connection.execute(query.where(_is(c.table_schema, database), c.table_type.in_(TABLE_KINDS))).one()
    return Database(database, int(found[0]), int(found[1]))


def stored_name(connection: sa.Connection, database: str) -> str | None:
    """The name under which the server keeps a database, None when it has none of that name."""
    names = set(connection.scalars(sa.select(_view("schemata", "schema_name").c.schema_name)))
    if database in names:
        return database
    folded = folds_names(connection)
    return next((name for name in names if folded and name.lower() == database.lower()), None)


def folds_names(connection: sa.Connection) -> bool:
    """Whether the server takes names of databases and tables for one that differ in case only."""
    return variable(connection, "lower_case_table_names") in ("1", "2")


def names_of_tables(connection: sa.Connection, database: str) -> dict[str, str]:
    """The names of tables, views and sequences of a database, each with its kind."""
    tables = _view("tables", "table_schema", "table_name", "table_type")
    query = sa.select(tables.c.table_name, tables.c.table_type).where(_is(tables.c.table_schema, database))
    return {row[0]: row[1] for row in _rows(connection, query)}


def tables(connection: sa.Connection, database: str) -> dict[str, TableInfo]:
    """Every table with its columns and indexes, by name; views and sequences left out."""
    view = _view(
        "tables", "table_schema", "table_name", "table_type", "engine", "table_collation", "data_length",
        "index_length", "create_time",
    )  # fmt: skip
    c = view.c
    query = sa.select(
        c.table_name, c.table_type, c.engine, c.table_collation, c.data_length, c.index_length, c.create_time
    ).where(_is(c.table_schema, database), c.table_type.in_(TABLE_KINDS))  # fmt: skip
    columns = _columns(connection, database)
    indexes = _indexes(connection, database)
    numbers = _numbers_in_innodb(connection, database)
    found = {}
    for name, kind, engine, collation, data, index, created in _rows(connection, query):
        found[name] = TableInfo(
            name=name,
            kind=kind,
            engine=engine or "",
            collation=collation or "",
            columns=tuple(map(Column._make, columns.pop(name, ()))),
            indexes=tuple(indexes.pop(name, ())),
            size_bytes=int(data or 0) + int(index or 0),
            made=(created if engine in _KNOW_WHEN_MADE else None, *numbers.get(_file_name(name), ())),
        )
    return dict(sorted(found.items()))


def _file_name(name: str) -> str:
    """A name as InnoDB writes it, so far as it has the letters of ASCII only (MySQL manual, "Mapping of Identifiers to
    File Names")."""
    return re.sub(r"[^0-9A-Za-z_]", lambda letter: f"@{ord(letter[0]):04x}", name)


def _numbers_in_innodb(connection: sa.Connection, database: str) -> dict[str, list[int]]:
    """InnoDB's numbers of tables and their partitions, by the tables' file names: a table keeps its number under
    another name. Empty where the account may not read them, without the privilege PROCESS."""
    folder = _file_name(database) + "/"
    rows: list[tuple[Any, ...]] = []
    for name in ("innodb_tables", "innodb_sys_tables"):  # MySQL's and MariaDB's
        c = _view(name, "name", "table_id").c
        try:
            rows = _rows(connection, sa.select(c.name, c.table_id).where(c.name.startswith(folder, autoescape=True)))
        except sa.exc.DBAPIError as error:
            if error.connection_invalidated:
                raise
    found: dict[str, list[int]] = {}
    for name, number in rows:
        if name.startswith(folder):
            table = name.removeprefix(folder).partition("#")[0]  # what follows are partitions
            found.setdefault(table, []).append(int(number))
    return {table: sorted(numbers) for table, numbers in found.items()}


def _columns(connection: sa.Connection, database: str) -> dict[str, list[tuple[Any, ...]]]:
    view = _view(
        "columns", "table_schema", "table_name", "ordinal_position", "column_name", "column_type", "is_nullable",
        "column_default", "extra", "column_comment", "character_set_name", "collation_name", "generation_expression",
    )  # fmt: skip
    c = view.c
    wanted = (
        c.ordinal_position, c.column_name, c.column_type, c.is_nullable, c.column_default, c.extra, c.column_comment,
        c.character_set_name, c.collation_name, c.generation_expression,
    )  # fmt: skip
    query = sa.select(c.table_name, *wanted).where(_is(c.table_schema, database))
    return _by_table(_streamed(connection, query), database)


def _indexes(connection: sa.Connection, database: str) -> dict[str, list[tuple[Any, ...]]]:
    view = _view(
        "statistics", "table_schema", "table_name", "index_name", "seq_in_index", "column_name", "non_unique",
        "sub_part", "collation", "index_type",
    )  # fmt: skip
    c = view.c
    wanted = (c.index_name, c.seq_in_index, c.column_name, c.non_unique, c.sub_part, c.collation, c.index_type)
    query = sa.select(c.table_name, *wanted).where(_is(c.table_schema, database))
    return _by_table(_streamed(connection, query), database)


def _by_table(rows: Iterable[Sequence[Any]], database: str) -> dict[str, list[tuple[Any, ...]]]:
    """Rows by their first column, sorted; the database's own name is taken out of expressions that hold it.

    Equal strings are one: thousands of columns say much the same of themselves.
    """
    found: dict[str, list[tuple[Any, ...]]] = {}
    own = quoted(database) + "."
    for row in rows:
        values = (value.decode(errors="replace") if isinstance(value, bytes) else value for value in row[1:])
        plain = tuple(sys.intern(value.replace(own, "")) if isinstance(value, str) else value for value in values)
        found.setdefault(row[0], []).append(plain)
    for listed in found.values():
        listed.sort(key=repr)
    return found


def schema_sha256(listing: Iterable[TableInfo]) -> str:
    """SHA-256 over tables, columns and indexes: equal schemas have equal hashes, whatever the database is called."""
    digest = hashlib.sha256(b"[")
    separator = b""
    for table in listing:
        canonical = [table.name, table.kind, table.engine, table.collation, table.columns, table.indexes]
        digest.update(separator + json.dumps(canonical, ensure_ascii=False, default=str).encode())
        separator = b", "
    digest.update(b"]")
    return digest.hexdigest()


def properties(connection: sa.Connection, database: str) -> dict[str, Any]:
    """The database's default character set and collation and, where the server has one, its comment."""
    view = _view("schemata", "schema_name")
    everything: sa.ColumnElement[Any] = sa.literal_column("*")
    query = sa.select(everything).select_from(view).where(_is(view.c.schema_name, database))
    for row in connection.execute(query).mappings():
        values = {name.lower(): value for name, value in row.items()}
        return {
            "character_set": values["default_character_set_name"],
            "collation": values["default_collation_name"],
            "comment": values.get("schema_comment") or "",
        }
    return {}


_STORED_OBJECTS = {
    "views": ("table_schema", ()),
    "routines": ("routine_schema", ("database_collation", "sql_mode")),
    "triggers": ("trigger_schema", ("database_collation", "sql_mode")),
    "events": ("event_schema", ("database_collation", "sql_mode")),
}


@dataclass(frozen=True)
class StoredObjects:
    """How many views, routines, triggers and events a database has, who they run as, and what they were made under: the
    collations of the database, and the collations and SQL modes of the session."""

    counts: dict[str, int]
    definers: list[str]
    collations: list[str]
    connection_collations: list[str]
    sql_modes: list[str]


def stored_objects(connection: sa.Connection, database: str) -> StoredObjects:
    counts: dict[str, int] = {}
    found: dict[str, set[str]] = {
        "definer": set(), "collation_connection": set(), "database_collation": set(), "sql_mode": set(),
    }  # fmt: skip
    for name, (schema, kept) in _STORED_OBJECTS.items():
        wanted = ("definer", "collation_connection", *kept)
        view = _view(name, schema, *wanted)
        query = sa.select(*(view.c[column] for column in wanted)).where(_is(view.c[schema], database))
        rows = _rows(connection, query)
        counts[name] = len(rows)
        for number, column in enumerate(wanted):
            found[column].update(row[number] for row in rows if row[number])
    modes = {mode for text in found["sql_mode"] for mode in text.split(",")}
    return StoredObjects(
        counts,
        sorted(found["definer"]),
        sorted(found["database_collation"]),
        sorted(found["collation_connection"]),
        sorted(modes),
    )


def broken_views(connection: sa.Connection, database: str, views: Iterable[str]) -> list[dict[str, str]]:
    """Those views that the server can't open, which would stop the dump tools: ``name``, ``sql`` (SHOW CREATE VIEW)
    and ``reason`` in the server's words. The database must be the connection's own."""
    broken = []
    for name in sorted(views):
        try:
            run_quoted(connection, f"SHOW FIELDS FROM {quoted(name)}").close()
        except sa.exc.DBAPIError as error:
            if error.connection_invalidated or error.orig is None:
                raise
            sql = view_statement(connection, database, name)
            broken.append({"name": name, "sql": sql, "reason": str(error.orig.args[-1])})
    return broken


def view_statement(connection: sa.Connection, database: str, name: str) -> str:
    """What creates a view. MySQL does not show it where a database that the view needs is gone, but still knows it."""
    try:
        return str(_rows(connection, f"SHOW CREATE VIEW {quoted(name)}")[0][1])
    except sa.exc.DBAPIError as error:
        if error.connection_invalidated or error.orig is None:
            raise
    view = _view("views", "table_schema", "table_name", "view_definition", "definer", "security_type", "check_option")
    c = view.c
    query = sa.select(c.view_definition, c.definer, c.security_type, c.check_option).where(
        _is(c.table_schema, database), _is(c.table_name, name)
    )
    definition, definer, security, check = _rows(connection, query)[0]
    user, _at, host = str(definer).rpartition("@")
    checked = "" if check == "NONE" else f" WITH {check} CHECK OPTION"
    who = f"DEFINER={quoted(user)}@{quoted(host)} SQL SECURITY {security}"
    return f"CREATE {who} VIEW {quoted(name)} AS {definition}{checked}"


def mentioning(connection: sa.Connection, database: str, other: str) -> list[str]:
    """The routines, triggers and events of a database whose text names another database in front of a dot."""
    pattern = re.compile(rf"(?<![\w$`]){re.escape(other)}\s*\.|{re.escape(quoted(other))}\s*\.", re.IGNORECASE)
    found = []
    for view_name, schema, name, text in (
        ("routines", "routine_schema", "routine_name", "routine_definition"),
        ("triggers", "trigger_schema", "trigger_name", "action_statement"),
        ("events", "event_schema", "event_name", "event_definition"),
    ):
        view = _view(view_name, schema, name, text)
        rows = _rows(connection, sa.select(view.c[name], view.c[text]).where(_is(view.c[schema], database)))
        found += [row[0] for row in rows if pattern.search(row[1] or "")]
    return sorted(found)


def count_rows(connection: sa.Connection, database: str, table: str, history: bool) -> int:
    """The rows of a table; with ``history`` those of the past, too (MariaDB's system-versioned tables)."""
    source = sa.table(table, schema=database)
    query = sa.select(sa.func.count()).select_from(source)
    if history:
        query = query.with_hint(source, "FOR SYSTEM_TIME ALL", "*")
    return int(connection.scalar(query) or 0)


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key; ``columns`` are pairs of the table's own column and the parent's."""

    name: str
    schema: str
    table: str
    parent_schema: str
    parent: str
    columns: tuple[tuple[str, str], ...]


def foreign_keys(connection: sa.Connection, database: str) -> list[ForeignKey]:
    view = _view(
        "key_column_usage", "constraint_schema", "constraint_name", "table_name", "column_name", "ordinal_position",
        "referenced_table_schema", "referenced_table_name", "referenced_column_name",
    )  # fmt: skip
    c = view.c
    query = (
        sa.select(c.table_name, c.constraint_name, c.referenced_table_schema, c.referenced_table_name)
        .add_columns(c.column_name, c.referenced_column_name)
        .where(_is(c.constraint_schema, database), c.referenced_table_name.is_not(None))
        .order_by(c.table_name, c.constraint_name, c.ordinal_position)
    )
    pairs: dict[tuple[str, str, str, str], list[tuple[str, str]]] = {}
    for *key, own, parents in _rows(connection, query):
        pairs.setdefault((key[0], key[1], key[2], key[3]), []).append((own, parents))
    return [
        ForeignKey(name, database, table, parent_schema, parent, tuple(columns))
        for (table, name, parent_schema, parent), columns in pairs.items()
    ]


class Constraint(NamedTuple):
    """A foreign key or a CHECK of a table."""

    kind: str
    name: str
    table: str


def constraints(connection: sa.Connection, database: str, kinds: Sequence[str]) -> list[Constraint]:
    """The constraints of a database that are of these kinds."""
    view = _view("table_constraints", "constraint_schema", "constraint_name", "table_name", "constraint_type")
    c = view.c
    query = sa.select(c.constraint_type, c.constraint_name, c.table_name).where(
        _is(c.constraint_schema, database), c.constraint_type.in_(kinds)
    )
    return [Constraint(*row) for row in _rows(connection, query)]


def has_moved(connection: sa.Connection, rename: str) -> bool:
    """Runs RENAME TABLE; False where it did nothing, because a table of a new name is there."""
    try:
        run_quoted(connection, rename)
    except sa.exc.DBAPIError as error:
        if error.orig is None or error.orig.args[0] != _TABLE_EXISTS:
            raise
        return False
    return True


def holds(connection: sa.Connection, key: ForeignKey) -> bool:
    """Whether every row of a foreign key's table has the row that it refers to, if it refers to one."""
    own = sa.table(key.table, *(sa.column(name) for name, _parents in key.columns), schema=key.schema).alias("own")
    parent = sa.table(
        key.parent, *(sa.column(name) for _own, name in key.columns), schema=key.parent_schema
    ).alias("parent")  # fmt: skip
    same = sa.and_(*(own.c[mine] == parent.c[its] for mine, its in key.columns))
    refers = sa.and_(*(own.c[mine].is_not(None) for mine, _its in key.columns))
    one: sa.ColumnElement[int] = sa.literal_column("1")
    orphans = sa.select(one).select_from(own).where(refers, ~sa.exists().where(same)).limit(1)
    try:
        return connection.execute(orphans).first() is None
    except sa.exc.ProgrammingError:  # the parent's table is in another database, which the target lacks
        return False


def claim(connection: sa.Connection, name: str) -> None:
    """Takes the server-wide lock of that name for as long as the connection lives."""
    connection.execute(sa.select(sa.func.get_lock(name, 0)))


def is_claimed(connection: sa.Connection, name: str) -> bool:
    return connection.scalar(sa.select(sa.func.is_free_lock(name))) == 0


def unclaimed(connection: sa.Connection, own: re.Pattern[str]) -> list[str]:
    """The databases with names of our own making whose lock nobody holds."""
    names = [name for name in names_of_databases(connection) if own.match(name)]
    return [name for name in names if not is_claimed(connection, name)]


def known_collations(connection: sa.Connection) -> set[str]:
    """Every name under which the server knows a collation (MariaDB 10.10 added full names next to short ones)."""
    view = _view("collation_character_set_applicability")
    everything: sa.ColumnElement[Any] = sa.literal_column("*")
    rows = _rows(connection, sa.select(everything).select_from(view))
    return {str(value) for row in rows for value in row}


def unknown_modes(connection: sa.Connection, modes: Iterable[str]) -> list[str]:
    """Those SQL modes that the server does not know: nothing lists them, so it is asked to take each."""
    unknown = []
    before = connection.scalar(sa.select(sa.literal_column("@@SESSION.sql_mode")))
    for mode in modes:
        try:
            run_quoted(connection, f"SET SESSION sql_mode = {literal(mode)}")
        except sa.exc.DBAPIError as error:
            if error.orig is None or error.orig.args[0] != _WRONG_VALUE:
                raise
            unknown.append(mode)
    run_quoted(connection, f"SET SESSION sql_mode = {literal(str(before))}")
    return unknown


def known_engines(connection: sa.Connection) -> set[str]:
    view = _view("engines", "engine", "support")
    return set(connection.scalars(sa.select(view.c.engine).where(view.c.support.in_(("YES", "DEFAULT")))))


def tablespaces(connection: sa.Connection) -> set[str] | None:
    """MySQL's general tablespaces; None when they may not be read."""
    view = _view("innodb_tablespaces", "name", "space_type")
    try:
        return set(connection.scalars(sa.select(view.c.name).where(view.c.space_type == "General")))
    except sa.exc.DBAPIError:
        return None


def accounts(connection: sa.Connection) -> set[str] | None:
    """Every account as ``user@host``, roles included; None when they may not be read."""
    user = sa.table("user", sa.column("user"), sa.column("host"), schema="mysql")
    try:
        rows = _rows(connection, sa.select(user.c.user, user.c.host))
    except sa.exc.DBAPIError:
        return None
    return {f"{row[0]}@{row[1]}" for row in rows}


def position(connection: sa.Connection, flavour: str) -> dict[str, Any]:
    """Binary log file, position and GTID of this moment; empty without a binary log or the privilege to see it."""
    status: list[tuple[Any, ...]] = []
    for statement in ("SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"):  # MySQL 8.4 renamed it, MariaDB has both
        with suppress(sa.exc.DBAPIError):
            status = _rows(connection, statement)
            break
    if not status:
        return {}
    found = {"binlog_file": status[0][0], "binlog_position": int(status[0][1])}
    gtid = variable(connection, "gtid_binlog_pos") if flavour == "mariadb" else status[0][4]
    return found | ({"gtid": " ".join(str(gtid).split())} if gtid else {})
