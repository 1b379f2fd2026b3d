# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups that leave room for others: a limit to the rate, priorities, and several databases within the same jobs."""

from __future__ import annotations

import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.operations import backup as backup_operation
from kit import sqlite
from kit.mariadb import MariaDBServer
from kit.modules import ModuleRun, run_module
from kit.workshop import Workshop

RATE = 1_000_000


def options(server: MariaDBServer, folder: Path, **more: Any) -> dict[str, Any]:
    workshop = Workshop(folder)
    connection = {"id": "m", "engine": "mysql", "unix_socket": str(server.socket), "username": "root"}
    return {
        "connection": connection,
        "repository": str(workshop.root),
        "keyring": workshop.keyring,
        "config_file": str(folder / "none"),
        **more,
    }


def status(pid: int) -> list[str]:
    """The fields of proc(5)'s stat from the third, the state, on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def niceness(pid: int) -> int:
    """Field 19 of stat."""
    return int(status(pid)[16])


def dump_tools(pid: int) -> dict[int, str]:
    """The children of a process that dump data, each with its scheduling class for disks.

    One that has ended, though nobody has read its end yet, has no such class any more.
    """
    found = {}
    with suppress(FileNotFoundError, ProcessLookupError):  # threads and children end while we look
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                if Path(f"/proc/{child}/comm").read_text() == "mariadb-dump\n":
                    said = subprocess.run(["ionice", f"--pid={child}"], capture_output=True, text=True, check=False)
                    if status(child)[0] not in "ZX":
                        found[child] = said.stdout.strip()
    return found


def test_a_slow_and_modest_backup(mariadb_source: MariaDBServer, tmp_path: Path) -> None:
    rows = "INSERT INTO t SELECT seq, repeat('x', 1000) FROM seq_1_to_3000"
    mariadb_source.create("modest", f"CREATE TABLE t (id int PRIMARY KEY, v text); {rows}")
    run = ModuleRun("backup", **options(
        mariadb_source, tmp_path, databases=["modest"], rate_limit=RATE, nice=13, ionice="idle", jobs=2
    ))  # fmt: skip
    tools: dict[int, str] = {}
    deadline = time.monotonic() + 60
    while not tools and run.process.poll() is None and time.monotonic() < deadline:
        with suppress(FileNotFoundError, ProcessLookupError):  # one of them ended meanwhile
            found = dump_tools(run.process.pid)
            nice = [niceness(pid) for pid in (run.process.pid, *found)]
            tools = found
    result = run.result()
    (backup,) = result["backups"]
    assert set(nice) == {13}
    assert set(tools.values()) == {"idle"}
    assert backup["raw_bytes"] > 3_000_000
    assert backup["raw_bytes"] / backup["duration_seconds"] < RATE * 1.02
    mariadb_source.drop("modest")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"rate_limit": 5}, "rate_limit: 5 is less than"), ({"nice": 20}, "nice: 20 is not between")],
)
def test_options_that_cannot_be(
    wrong: dict[str, int], words: str, mariadb_source: MariaDBServer, tmp_path: Path
) -> None:
    result = run_module("backup", **options(mariadb_source, tmp_path, **wrong))
    assert result["failed"]
    assert result["code"] == "invalid_config"
    assert words in result["msg"]


def test_several_databases_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The large ones first and alone, then the small ones, no more than there are jobs; told in the order of names."""
    sizes = {"a": 300, "b": 20, "c": 900, "d": 100, "e": 60, "f": 80}
    (tmp_path / "data").mkdir()
    for name, rows in sizes.items():
        sqlite.make(tmp_path / "data" / f"{name}.db", *sqlite.numbers(rows))
    monkeypatch.setattr(backup_operation, "LARGE_DATABASE_BYTES", (tmp_path / "data" / "a.db").stat().st_size)
    lock, running, seen = threading.Lock(), [], []
    real = backup_operation.BackupRun.take

    def watched(run: Any, server: Any, database: Any, *arguments: Any, **more: Any) -> Any:
        with lock:
            running.append(database.name)
            seen.append((tuple(running), more["jobs"]))
        time.sleep(0.2)
        try:
            return real(run, server, database, *arguments, **more)
        finally:
            with lock:
                running.remove(database.name)

    monkeypatch.setattr(backup_operation.BackupRun, "take", watched)
    outcome = Workshop(tmp_path).back_up(sqlite.instance(tmp_path / "data"), jobs=2)
    assert [backup["database"] for backup in outcome.backups] == [f"{name}.db" for name in sizes]
    assert seen[:2] == [(("c.db",), 2), (("a.db",), 2)]
    assert {name for group, _jobs in seen[2:4] for name in group} == {"d.db", "f.db"}
    assert {jobs for _group, jobs in seen[2:]} == {1}
    assert sorted({len(group) for group, _jobs in seen[2:]}) == [1, 2]
