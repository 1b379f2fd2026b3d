# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQLite databases for tests, the processes that use them, and users who may not."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from ansible_collections.vya.backupdb.plugins.module_utils.engines.sqlite import snapshot

NOBODY = 65534


def instance(path: Path | str, instance_id: str = "files") -> Instance:
    return Instance(id=instance_id, engine="sqlite", path=str(path))


def make(path: Path, *statements: str, mode: str = "delete", settings: tuple[str, ...] = ()) -> Path:
    """A new database: settings first (``page_size = 512``), then statements, all in one transaction."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for setting in settings:
            connection.execute(f"PRAGMA {setting}")
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("BEGIN")
        for statement in statements:
            connection.execute(statement)
        connection.execute("COMMIT")
    return path


def numbers(count: int, table: str = "numbers") -> tuple[str, str]:
    """Statements for a table of numbers from 1 with 100 bytes of text each."""
    return (
        f"CREATE TABLE {table} (number INTEGER PRIMARY KEY, words TEXT)",
        f"WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < {count}) "
        f"INSERT INTO {table} SELECT n, printf('%0100d', n) FROM up",
    )


def all_settled(monkeypatch: pytest.MonkeyPatch, are_they: bool = True) -> None:
    """Databases count as written long ago, or as written a moment ago, whatever the clock says."""
    monkeypatch.setattr(snapshot, "SETTLED_SECONDS", -math.inf if are_they else math.inf)


def query(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(statement).fetchall()


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


@contextmanager
def process(code: str, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs Python code; it must print a line when it is ready, and is killed at the end."""
    argv = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout
            assert child.stdout.readline() == "ready\n"
            yield child
        finally:
            child.kill()


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    connection.execute(statement).fetchall()
print("ready", flush=True)
sys.stdin.read()
"""
"""Runs statements on a database and keeps the connection open; ends, with a rollback, when its input ends."""


@contextmanager
def held(path: Path, *statements: str) -> Iterator[subprocess.Popen[str]]:
    with process(HOLDER, path, *statements) as child:
        yield child


@contextmanager
def crashed(path: Path, *statements: str) -> Iterator[None]:
    """What a process leaves that ran statements and was killed."""
    with held(path, *statements) as child:
        child.kill()
        child.wait()
        yield


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder that every user can reach, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="vya-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for below in (folder, *(path for path in folder.iterdir() if path.is_dir())):
            below.chmod(0o755)
        shutil.rmtree(folder)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Runs as a user without any rights, where the tests run as root; others have none as it is."""
    if os.geteuid():
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def beside(path: Path) -> set[str]:
    """The names in a file's folder."""
    return {entry.name for entry in path.parent.iterdir()}
