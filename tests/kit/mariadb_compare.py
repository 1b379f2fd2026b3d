# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that can be said of a MariaDB database, found with SHOW CREATE texts and the raw driver only."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from .mariadb import MariaDBServer, quoted

Facts = dict[tuple[str, str], Any]


def _ask(cursor: Any, statement: str) -> list[tuple[Any, ...]]:
    cursor.execute(statement)
    return [tuple(v.decode() if isinstance(v, bytes) else v for v in row) for row in cursor.fetchall()]


def _digest(connection: Any, table: str, columns: list[str], history: bool) -> tuple[int, str]:
    """Number and digest of the rows, each column's bytes as stored, in an order of their own."""
    with connection.cursor() as cursor:
        cursor.execute("SET NAMES binary")
        past = " FOR SYSTEM_TIME ALL" if history else ""
        cursor.execute(f"SELECT {', '.join(columns)} FROM {table}{past}")
        lines = sorted(hashlib.sha256(repr(row).encode()).digest() for row in cursor.fetchall())
        cursor.execute("SET NAMES utf8mb4")
    return len(lines), hashlib.sha256(b"".join(lines)).hexdigest()


def facts(server: MariaDBServer, database: str, once: str | None = None) -> Facts:
    """Everything, by kind and name: definitions, rows, sequence values.

    The database's own name is taken out of texts, and the one it had ``once``.
    """
    own = "|".join(re.escape(quoted(name)) for name in sorted({database, once or database}))
    found: Facts = {}
    connection = server.connect(database, use_unicode=True)

    def text(value: str) -> str:
        # MySQL names the set of a column's collation, or does not, by how the table was once written.
        value = re.sub(r" CHARACTER SET \w+(?= COLLATE )", "", value) if server.flavour == "mysql" else value
        return re.sub(rf"(?:{own})\s*\.\s*", "", value)

    def texts(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(text(value) if isinstance(value, str) else value for value in row)

    with connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        comment = ", schema_comment" if server.flavour == "mariadb" else ""
        schema = server.run(
            f"SELECT default_character_set_name, default_collation_name{comment} "
            f"FROM information_schema.schemata WHERE BINARY schema_name = {connection.escape(database)}"
        )
        found["database", ""] = schema[0]
        for name, kind in _ask(cursor, "SHOW FULL TABLES"):
            what = {"VIEW": "view", "SEQUENCE": "sequence"}.get(kind, "table")
            found[what, name] = texts(_ask(cursor, f"SHOW CREATE {what} {quoted(name)}")[0])
            if what == "sequence":
                found["value", name] = _ask(cursor, f"SELECT * FROM {quoted(name)}")[0]
            if what == "table":
                columns = [quoted(row[0]) for row in _ask(cursor, f"SHOW COLUMNS FROM {quoted(name)}")]
                history = "WITH SYSTEM VERSIONING" in found[what, name][1]
                implicit = (
                    ["row_start", "row_end"] if history and "PERIOD FOR SYSTEM" not in found[what, name][1] else []
                )
                found["rows", name] = _digest(connection, quoted(name), columns + implicit, history)
        for kind, statement, position in (
            ("procedure", "SHOW PROCEDURE STATUS WHERE Db = DATABASE()", 1),
            ("function", "SHOW FUNCTION STATUS WHERE Db = DATABASE()", 1),
            ("trigger", "SHOW TRIGGERS", 0),
            ("event", "SHOW EVENTS", 1),
        ):
            for row in _ask(cursor, statement):
                shown = _ask(cursor, f"SHOW CREATE {kind} {quoted(row[position])}")[0]
                found[kind, row[position]] = texts(shown[:6])
            if kind == "trigger":
                for row in _ask(cursor, statement):
                    found["trigger table", row[0]] = row[1:5]
    connection.close()
    return found


def differences(one: Facts, two: Facts) -> list[str]:
    """What is only in one of two databases, or different, in words."""
    return [
        f"{' '.join(key)}: {one.get(key)!r} / {two.get(key)!r}"
        for key in sorted(one.keys() | two.keys())
        if one.get(key) != two.get(key)
    ]
