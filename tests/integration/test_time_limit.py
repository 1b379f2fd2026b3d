# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups that may take so long and no longer, whatever they wait for: a slow reader, a lock of the server, a copy."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.engines.sqlite import snapshot
from ansible_collections.vya.backupdb.plugins.module_utils.limit import TimeLimit
from ansible_collections.vya.backupdb.plugins.module_utils.priority import LOWEST_RATE
from ansible_collections.vya.backupdb.plugins.module_utils.repository.local import LocalRepository
from kit import sqlite
from kit.mariadb import MariaDBServer
from kit.modules import run_module
from kit.plays import Controller
from kit.postgres import PostgresServer
from kit.workshop import Workshop

LATE_SECONDS = 15
"""How much longer a run may take on a busy machine, its start and its end included. Without a limit, each would take a
minute at least."""


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def codes(failures: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(failure["database"], failure["code"]) for failure in failures]


def programs_with(argument: str) -> list[int]:
    """The processes that have this among their arguments."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if argument.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def test_the_database_in_work_fails_and_the_next_is_not_begun(
    mariadb_source: MariaDBServer, shop: Workshop, tmp_path: Path
) -> None:
    """At the lowest rate the large one takes more than a minute."""
    slow = f"slow_{secrets.token_hex(4)}"
    for name, rows in ((slow, 5000), ("waits", 10)):
        fill = f"INSERT INTO t SELECT seq, repeat('x', 1000) FROM seq_1_to_{rows}"
        mariadb_source.create(name, f"CREATE TABLE t (id int PRIMARY KEY, v text); {fill}")
    began = time.monotonic()
    result = run_module(
        "backup",
        connection={"id": "m", "engine": "mysql", "unix_socket": str(mariadb_source.socket), "username": "root"},
        databases=[slow, "waits"],
        repository=str(shop.root),
        keyring=shop.keyring,
        config_file=str(tmp_path / "none"),
        rate_limit=LOWEST_RATE,
        time_limit="6s",
        jobs=1,
    )
    assert time.monotonic() - began < 6 + LATE_SECONDS
    assert (result["failed"], result["code"], result["backups"]) == (True, "timed_out", [])
    assert codes(result["failures"]) == [(slow, "timed_out"), ("waits", "timed_out")]
    of_slow, of_waits = (failure["error"] for failure in result["failures"])
    assert of_slow.startswith(f"The time limit of 6 s was over before database {slow} of instance m was backed up.")
    assert of_waits.startswith("The time limit of 6 s was over before database waits of instance m was begun.")
    assert (shop.folders(), shop.stray()) == ([], [])
    assert not programs_with(slow)
    mariadb_source.drop(slow, "waits")


def test_reading_back_ends_with_the_time(shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    sqlite.make(tmp_path / "data" / "app.db", "CREATE TABLE t (v)")
    read = LocalRepository.read_chunks

    def slow(*parts: Any) -> Iterator[bytes]:
        time.sleep(3)
        yield from read(*parts)

    monkeypatch.setattr(LocalRepository, "read_chunks", slow)
    where = sqlite.instance(tmp_path / "data")
    outcome = shop.back_up(where, verify=True, limit=TimeLimit(timedelta(seconds=2)))
    assert codes(outcome.failures) == [("app.db", "timed_out")]
    assert (shop.folders(), shop.stray()) == ([], [])


def test_a_lock_of_the_server_is_not_waited_for(postgres_source: PostgresServer, shop: Workshop) -> None:
    postgres_source.create("held", "CREATE TABLE t (i int)")
    with postgres_source.connect("held") as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        outcome = shop.back_up(postgres_source.instance(), databases=["held"], limit=TimeLimit(timedelta(seconds=2)))
        assert time.monotonic() - began < LATE_SECONDS
        other.rollback()
    assert codes(outcome.failures) == [("held", "timed_out")]
    assert (shop.folders(), shop.stray()) == ([], [])
    assert shop.back_up_one(postgres_source.instance(), databases=["held"])
    postgres_source.drop("held")


def test_a_copy_of_a_file_is_cut_off(shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow disk: each of 3,000 pages takes a hundredth of a second."""
    real = snapshot._watch

    def slow(*arguments: Any) -> Callable[[int, int, int], None]:
        progress = real(*arguments)

        def step(*state: int) -> None:
            time.sleep(0.01)
            progress(*state)

        return step

    monkeypatch.setattr(snapshot, "_watch", slow)
    monkeypatch.setattr(snapshot, "STEP_PAGES", 1)
    (tmp_path / "data").mkdir()
    sqlite.make(tmp_path / "data" / "a.db", *sqlite.numbers(100_000))
    began = time.monotonic()
    outcome = shop.back_up(sqlite.instance(tmp_path / "data"), limit=TimeLimit(timedelta(seconds=1)))
    assert 1 <= time.monotonic() - began < LATE_SECONDS
    assert codes(outcome.failures) == [("a.db", "timed_out")]
    assert (shop.folders(), shop.stray()) == ([], [])


def test_what_ends_in_time_is_whole(shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    sqlite.make(tmp_path / "data" / "a.db", *sqlite.numbers(1000))
    assert shop.back_up_one(sqlite.instance(tmp_path / "data"), limit=TimeLimit(timedelta(hours=1)))
    result = run_module("backup", connection={"id": "x", "engine": "sqlite", "path": "/"}, time_limit="0")
    assert (result["failed"], result["code"]) == (True, "invalid_config")


def test_a_slow_host_holds_up_no_other(tmp_path: Path) -> None:
    """The slow host fails with its code; the other one, whose turn is after it, has its backup."""
    hosts: dict[str, Any] = {}
    slow = {"backupdb_rate_limit": LOWEST_RATE, "backupdb_time_limit": "2s"}
    for name, rows, more in (("a-slow", 40_000, slow), ("b-good", 10, {})):
        (tmp_path / name).mkdir()
        sqlite.make(tmp_path / name / "app.db", *sqlite.numbers(rows))
        hosts[name] = {
            "backupdb_instances": [{"id": "files", "engine": "sqlite", "path": str(tmp_path / name / "app.db")}],
            "backupdb_repository": str(tmp_path / name / "repository"),
            "backupdb_keyring": str(tmp_path / name / "keyring.json"),
            **more,
        }
    play = Controller(tmp_path, hosts).play("vya.backupdb.backup", serial=1)
    assert (play.recap("a-slow")["failed"], play.recap("b-good")["failed"]) == (1, 0), play.output
    lines = [line for table in play.tables for line in table]
    assert any(line.startswith("a-slow timed_out The time limit of 2 s was over") for line in lines), lines
    assert list((tmp_path / "a-slow" / "repository" / ".staging").iterdir()) == []
