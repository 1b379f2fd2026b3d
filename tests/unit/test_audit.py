# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit log: one whole line an event, whoever writes at the same time, and never a reason to stop."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils import audit
from ansible_collections.vya.backupdb.plugins.module_utils.audit import AuditLog

WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.vya.backupdb.plugins.module_utils.audit import AuditLog
log = AuditLog(sys.argv[2])
for number in range(500):
    log.note("test", "ok", writer=sys.argv[3], number=number, filler="x" * 9000)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def events(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_event_says_who_what_and_how_it_ended(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_login_account", lambda: "ana")
    AuditLog(str(path), "ana@deploy1").note("backup", "ok", backup="shop_1", instance="pg", keys=["abc"])
    (event,) = events(path)
    assert event.pop("time").endswith("Z")
    assert event == {
        "event": "backup",
        "result": "ok",
        "requested_by": "ana@deploy1",
        "account": audit._account_name(os.geteuid()),
        "login": "ana",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "backup": "shop_1",
        "instance": "pg",
        "keys": ["abc"],
    }
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_line_stays_a_line(path: Path) -> None:
    AuditLog(str(path)).note("backup", "ok", database='a\nb\u2028c\r"d')
    assert len(path.read_bytes().splitlines()) == 1
    assert events(path)[0]["database"] == 'a\nb\u2028c\r"d'


def test_who_logged_in_is_known_whatever_the_account_became(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _path, encoding: "0")
    assert audit._login_account() == "root"
    monkeypatch.setattr(Path, "read_text", lambda _path, encoding: str(0xFFFFFFFF))
    monkeypatch.setenv("SUDO_USER", "ana")
    assert audit._login_account() == "ana"
    monkeypatch.delenv("SUDO_USER")
    assert audit._login_account() is None
    assert audit._account_name(4_000_000_000) == "4000000000"


def test_writers_at_the_same_time_tear_no_line(path: Path) -> None:
    collections = str(Path(__file__).resolve().parents[2] / ".build" / "collections")
    command = [sys.executable, "-c", WRITER, collections, str(path)]
    writers = [subprocess.Popen([*command, name]) for name in ("a", "b")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    written = [(event["writer"], event["number"]) for event in events(path)]
    assert sorted(written) == sorted((name, number) for name in ("a", "b") for number in range(500))


def test_check_mode_writes_nothing(path: Path) -> None:
    AuditLog(str(path), check_mode=True).note("backup", "ok")
    assert not path.exists()


def test_the_default_log_is_written_where_its_folder_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "DEFAULT_AUDIT_LOG", str(path.parent / "none" / "audit.log"))
    log = AuditLog()
    log.note("backup", "ok")
    assert (log.problem, (path.parent / "none").exists()) == (None, False)
    monkeypatch.setattr(audit, "DEFAULT_AUDIT_LOG", str(path))
    log.note("backup", "ok")
    assert len(events(path)) == 1


def test_a_log_that_cannot_be_written_is_a_problem_and_no_failure(tmp_path: Path) -> None:
    log = AuditLog(str(tmp_path / "none" / "audit.log"))
    log.note("backup", "ok")
    assert log.problem == f"The audit log {tmp_path}/none/audit.log cannot be written: No such file or directory."


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    log = AuditLog(str(path))
    log.note("backup", "ok")
    assert (log.problem is not None, (tmp_path / "elsewhere").exists()) == (True, False)


def test_after_a_rotation_there_is_a_new_file(path: Path) -> None:
    log = AuditLog(str(path))
    log.note("backup", "ok", number=1)
    path.rename(f"{path}.1")
    log.note("backup", "ok", number=2)
    assert [event["number"] for event in events(path)] == [2]
