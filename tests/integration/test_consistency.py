# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every backup shows one moment: while writers move amounts between rows of several tables, parallel backups are taken
of each engine, and in every restored copy the sum is what it always was.

Two backups an engine by default; ``make consistency`` takes fifty.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql import dump as mysql_dump
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql import restore as mysql_restore
from ansible_collections.vya.backupdb.plugins.module_utils.engines.postgresql import snapshot as postgresql_snapshot
from kit.mariadb import MariaDBServer
from kit.postgres import PostgresServer
from kit.workshop import Workshop

BACKUPS = int(os.environ.get("VYA_CONSISTENCY_BACKUPS", "2"))
JOBS = 4
ROWS = {"savings": 4000, "daily": 900, "cash": 300, "fees": 1}
OPENING = 100
TOTAL = OPENING * sum(ROWS.values())
WRITERS = 2
REFUSED = (pymysql.Error, psycopg.Error, sqlite3.Error)


def opening() -> Iterator[str]:
    for table, rows in ROWS.items():
        yield f"CREATE TABLE {table} (id integer PRIMARY KEY, amount integer NOT NULL, note varchar(200) NOT NULL)"
        values = ", ".join(f"({number}, {OPENING}, '{'x' * 200}')" for number in range(rows))
        yield f"INSERT INTO {table} VALUES {values}"


def move(connection: Any, begin: str) -> None:
    """One transaction: an amount goes from one row to another, and an account may be closed in favour of a new one."""
    giver, taker = random.choice(list(ROWS)), random.choice(list(ROWS))
    amount, fresh = random.randint(1, 50), random.randint(10_000, 2_000_000_000)
    cursor = connection.cursor()
    cursor.execute(begin)
    cursor.execute(f"UPDATE {giver} SET amount = amount - {amount} WHERE id = {random.randrange(ROWS[giver])}")
    if cursor.rowcount == 1:
        cursor.execute(f"INSERT INTO {taker} VALUES ({fresh}, {amount}, 'new')")
    cursor.execute("COMMIT")


@contextmanager
def writers(connect: Callable[[], Any], begin: str) -> Iterator[None]:
    """Keeps moving amounts. A transaction that the server refuses (a deadlock, a number that is taken) is undone."""
    ended, moved, failures = threading.Event(), [0] * WRITERS, []

    def write(number: int) -> None:
        with closing(connect()) as connection:
            while not ended.is_set():
                try:
                    move(connection, begin)
                    moved[number] += 1
                except REFUSED as error:
                    failures.append(error)
                    with suppress(*REFUSED):  # it may be the begin that was refused
                        connection.cursor().execute("ROLLBACK")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert sum(moved) > 10 * WRITERS  # not each: SQLite gives the file to whoever asks first, and one may come rarely
    assert len(failures) < sum(moved) / 10, failures[:3]


def sums(cursor: Any) -> dict[str, int]:
    found = {}
    for table in ROWS:
        cursor.execute(f"SELECT coalesce(sum(amount), 0) FROM {table}")
        found[table] = int(cursor.fetchone()[0])
    return found


def prove(
    workshop: Workshop,
    source: Instance,
    target: Instance,
    look: Callable[[], dict[str, int]],
    drop: Callable[[], object],
    least_parts: int,
) -> None:
    """Takes the backups while others write, and looks into each restored copy."""
    seen = []
    for _turn in range(BACKUPS):
        backup = workshop.back_up_one(source, jobs=JOBS)
        assert backup["parts"] >= least_parts
        workshop.restore(target, backup["id"], jobs=JOBS)
        found = look()
        assert sum(found.values()) == TOTAL
        seen.append(found)
        drop()
    assert all(one != two for one, two in pairwise(seen))


def test_mariadb(
    mariadb_source: MariaDBServer, mariadb_other: MariaDBServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_dump, "SMALL_DATABASE_BYTES", 0)
    monkeypatch.setattr(mysql_restore, "LARGE_TABLE_BYTES", 0)
    mariadb_source.create("bank")
    mariadb_source.run(*opening(), "ANALYZE TABLE savings, daily, cash, fees", database="bank")

    def look() -> dict[str, int]:
        with closing(mariadb_other.connect("bank")) as connection, connection.cursor() as cursor:
            return sums(cursor)

    with writers(lambda: mariadb_source.connect("bank"), "START TRANSACTION"):
        source = mariadb_source.instance(databases=("bank",))
        prove(Workshop(tmp_path), source, mariadb_other.instance(), look, lambda: mariadb_other.drop("bank"), 7)
    mariadb_source.drop("bank")


def test_postgresql(
    postgres_source: PostgresServer, postgres_other: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_snapshot, "LARGE_TABLE_BYTES", 100_000)
    monkeypatch.setattr(postgresql_snapshot, "PIECE_BYTES", 300_000)
    postgres_source.create("bank", *opening(), "VACUUM ANALYZE")

    def look() -> dict[str, int]:
        with postgres_other.connect("bank") as connection, connection.cursor() as cursor:
            return sums(cursor)

    with writers(lambda: postgres_source.connect("bank"), "BEGIN"):
        source = postgres_source.instance(databases=("bank",))
        prove(Workshop(tmp_path), source, postgres_other.instance(), look, lambda: postgres_other.drop("bank"), 6)
    postgres_source.drop("bank")


def test_sqlite(tmp_path: Path) -> None:
    folders = [tmp_path / "source", tmp_path / "target"]
    for folder in folders:
        folder.mkdir()
    file = folders[0] / "bank.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        for statement in opening():
            connection.execute(statement)

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(file, isolation_level=None, timeout=30)

    def look() -> dict[str, int]:
        with closing(sqlite3.connect(folders[1] / "bank.db")) as copy:
            return sums(copy.cursor())

    with writers(connect, "BEGIN IMMEDIATE"):
        time.sleep(0.2)
        source, target = (Instance(id="files", engine="sqlite", path=str(folder)) for folder in folders)
        prove(Workshop(tmp_path), source, target, look, (folders[1] / "bank.db").unlink, 2)
