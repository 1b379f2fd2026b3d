# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares SQLite files without the library: catalogue rows, settings, and a digest of every row of every table."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SETTINGS = ("page_size", "encoding", "user_version", "application_id", "auto_vacuum")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _rows(connection: sqlite3.Connection, table: str) -> tuple[int, str]:
    """Rows and the digest of all their values with their types, in an order that the values alone decide."""
    try:
        cursor = connection.execute(f"SELECT rowid, * FROM {_quoted(table)}")
    except sqlite3.OperationalError:  # a table WITHOUT ROWID, or a virtual one
        cursor = connection.execute(f"SELECT * FROM {_quoted(table)}")
    digests = sorted(hashlib.sha256(repr(row).encode()).digest() for row in cursor)
    return len(digests), hashlib.sha256(b"".join(digests)).hexdigest()


def _apart(path: Path, folder: Path) -> Path:
    """A file with its log, elsewhere: SQLite leaves traces beside a database even when it only reads it."""
    for suffix in ("", "-wal"):
        if path.with_name(path.name + suffix).exists():
            shutil.copy(path.with_name(path.name + suffix), folder / f"copy{suffix}")
    return folder / "copy"


def describe(path: Path) -> dict[str, Any]:
    """Everything that two equal databases have in common, each fact under a name of its own."""
    with TemporaryDirectory() as folder, closing(sqlite3.connect(_apart(path, Path(folder)))) as connection:
        connection.text_factory = bytes
        facts: dict[str, Any] = {setting: connection.execute(f"PRAGMA {setting}").fetchone()[0] for setting in SETTINGS}
        facts["journal_mode"] = connection.execute("PRAGMA journal_mode").fetchone()[0]
        objects = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
        for kind, name, table, sql in objects:
            facts[f"{kind.decode()} {name.decode()}"] = (table, sql)
            if kind == b"table" or kind == b"view":
                facts[f"rows of {name.decode()}"] = _rows(connection, name.decode())
        facts["integrity"] = connection.execute("PRAGMA integrity_check").fetchall()
        facts["foreign keys"] = connection.execute("PRAGMA foreign_key_check").fetchall()
    return facts


def differences(one: Path, other: Path) -> list[str]:
    """The names of the facts in which two files differ."""
    left, right = describe(one), describe(other)
    return sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))


def table_differences(one: Path, other: Path, tables: list[str]) -> list[str]:
    """As ``differences``, for some tables with their indexes, triggers and counters only."""
    left, right = describe(one), describe(other)
    wanted = {f"rows of {name}" for name in tables}
    for facts in (left, right):
        for name, fact in facts.items():
            if name.startswith(("table ", "index ", "trigger ")) and fact[0].decode() in tables:
                wanted.add(name)
    return sorted(name for name in wanted if left.get(name) != right.get(name))
