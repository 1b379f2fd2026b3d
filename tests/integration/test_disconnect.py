# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups over a real SSH connection that is lost, and with a controller that dies: they go on or end, as asked."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from kit.mariadb import MariaDBServer
from kit.modules import ModuleRun, run_module
from kit.plays import ANSIBLE_PLAYBOOK
from kit.sshd import SSHServer, ssh_server
from kit.waiting import progress_files, wait_until
from kit.workshop import Workshop

RATE = 350_000
ROWS = 5_000
"""Of a thousand bytes each: fourteen seconds at this rate, and more than the pipes hold."""
SLOWEST = 65_536
PATIENCE = 10


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SSHServer]:
    with ssh_server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="module")
def server(mariadb_source: MariaDBServer) -> Iterator[MariaDBServer]:
    for name in ("one", "two"):
        rows = f"INSERT INTO t SELECT seq, repeat('x', 1000) FROM seq_1_to_{ROWS}"
        mariadb_source.create(name, f"CREATE TABLE t (id int PRIMARY KEY, v text); {rows}")
    yield mariadb_source
    for name in ("one", "two"):
        mariadb_source.drop(name)


def options(server: MariaDBServer, workshop: Workshop, database: str, **more: Any) -> dict[str, Any]:
    connection = {"id": "m", "engine": "mysql", "unix_socket": str(server.socket), "username": "root"}
    return {
        "connection": connection,
        "databases": [database],
        "repository": str(workshop.root),
        "keyring": workshop.keyring,
        "config_file": str(workshop.root.parent / "none"),
        "host": "db1",
        "jobs": 1,
        "rate_limit": RATE,
        **more,
    }


class Site:
    """A controller, hosts that it reaches through SSH, and a play that backs up one database on each of them."""

    def __init__(self, folder: Path, sshd: SSHServer, hosts: dict[str, dict[str, Any]]) -> None:
        self.folder = folder
        self.inventory, self.playbook = folder / "inventory.yml", folder / "play.yml"
        common = {**sshd.variables, "ansible_python_interpreter": sys.executable}
        known = {name: {"task": task} for name, task in hosts.items()}
        self.inventory.write_text(yaml.safe_dump({"all": {"hosts": known, "vars": common}}))
        names = sorted({name for task in hosts.values() for name in task})
        task = {name: f"{{{{ task.{name} | default(omit) }}}}" for name in names}
        backup = {"vya.backupdb.backup": task, "register": "done"}
        show = {"ansible.builtin.debug": {"msg": "{{ done.msg }}"}}
        play = {"hosts": "all", "gather_facts": False, "tasks": [backup, show]}
        self.playbook.write_text(yaml.safe_dump([play]))

    @contextmanager
    def playing(self, host: str, terminal: bool) -> Iterator[Playing]:
        playing = Playing(self, host, terminal)
        try:
            yield playing
        finally:
            playing.close()


class Playing:
    """A play at work. What it prints is read as it comes."""

    def __init__(self, site: Site, host: str, terminal: bool) -> None:
        self._ours, its = pty.openpty() if terminal else os.pipe()
        environment = {**os.environ, "TERM": "dumb", "ANSIBLE_NOCOLOR": "1"}
        command = [ANSIBLE_PLAYBOOK, "--inventory", site.inventory, "--limit", host, site.playbook]
        self.process = subprocess.Popen(
            command, cwd=site.folder, env=environment, stdin=subprocess.DEVNULL, stdout=its, stderr=its,
            start_new_session=True,
        )  # fmt: skip
        os.close(its)
        self._said = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # the last one at the other side of a terminal has closed it
            while chunk := os.read(self._ours, 65536):
                self._said += chunk

    @property
    def output(self) -> str:
        return self._said.decode(errors="replace").replace("\r\n", "\n")

    def lines(self) -> list[str]:
        """The progress that it has shown so far."""
        return re.findall(r"^\w+ m/\w+ \d+ % [\d.]+/[\d.]+ [kM]B \d+ kB/s ETA \d:\d\d$", self.output, re.MULTILINE)

    def end(self) -> int:
        status = self.process.wait(60)
        self._reader.join(10)
        return status

    def session(self) -> list[int]:
        """The processes of the play that there still are."""
        found = subprocess.run(["ps", "-o", "pid=", "-s", str(self.process.pid)], capture_output=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    def close(self) -> None:
        for pid in self.session():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def dumps(database: str) -> list[int]:
    """The programs on this machine that dump a database."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if words[0].endswith(b"mariadb-dump") and database.encode() in words:
                found.append(int(path.parent.name))
    return found


def test_a_connection_that_is_lost(server: MariaDBServer, sshd: SSHServer, tmp_path: Path) -> None:
    """Who follows connects again; who does not is told that the host is gone. Both backups go on all the same."""
    workshop = Workshop(tmp_path)
    watched_task = options(server, workshop, "one", stop_after_disconnect=6 * PATIENCE)
    site = Site(tmp_path, sshd, {"db1": watched_task, "db2": options(server, workshop, "two")})
    staged = workshop.root / ".staging"
    with site.playing("db1", terminal=True) as watched, site.playing("db2", terminal=False) as unseen:
        wait_until(
            lambda: watched.lines() and len(list(staged.glob("*.lock"))) == 2, lambda: watched.output + unseen.output
        )
        assert sshd.cut()
        before = len(watched.lines())
        assert unseen.end() == 4, unseen.output
        assert watched.end() == 0, watched.output
        assert len(watched.lines()) > before
        assert "1 backed up, 0 not due, 0 failed." in watched.output
        assert "UNREACHABLE!" in unseen.output
        assert " % " not in unseen.output
    wait_until(lambda: len(workshop.folders()) == 2)
    wait_until(lambda: not workshop.stray())
    wait_until(lambda: not progress_files(), progress_files, 120)  # those of other tests, too
    assert dumps("one") + dumps("two") == []


def test_a_controller_that_dies(server: MariaDBServer, sshd: SSHServer, tmp_path: Path) -> None:
    """Nobody watches here. A backup that is to end with its controller is followed all the same, and in silence."""
    workshop = Workshop(tmp_path)
    ends = options(server, workshop, "two", rate_limit=SLOWEST, stop_after_disconnect=PATIENCE)
    site = Site(tmp_path, sshd, {"db1": options(server, workshop, "one"), "db2": ends})
    with site.playing("all", terminal=False) as play:
        wait_until(lambda: dumps("one") and dumps("two"), lambda: play.output)
        time.sleep(PATIENCE / 4)
        play.process.kill()
        play.process.wait()
        killed = time.monotonic()
        wait_until(lambda: not dumps("two"))
        assert time.monotonic() - killed < 3 * PATIENCE
        wait_until(lambda: len(workshop.folders()) == 1 and not workshop.stray() and not progress_files())
        wait_until(lambda: not play.session(), play.session)
        assert " % " not in play.output
    assert [path.parent.parent.name for path in workshop.folders()] == ["one"]
    again = run_module("backup", **options(server, workshop, "two", rate_limit=None))
    assert [backup["reason"] for backup in again["backups"]] == ["no backup yet"]


def test_too_little_patience(server: MariaDBServer, tmp_path: Path) -> None:
    wanted = options(server, Workshop(tmp_path), "one", stop_after_disconnect=PATIENCE - 1)
    result = run_module("backup", check=True, **wanted)
    assert (result["failed"], result["code"]) == (True, "invalid_config")
    assert result["msg"] == "stop_after_disconnect: 9 is less than 10 seconds. 0 stands for never."


def test_sigterm_ends_a_backup_cleanly(server: MariaDBServer, tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    run = ModuleRun("backup", **options(server, workshop, "one"))
    wait_until(lambda: dumps("one") and workshop.stray())
    run.process.terminate()
    result = run.result()
    assert (result["failed"], result["code"], result["backups"]) == (True, "interrupted", [])
    assert result["failures"][0]["error"] == "The work was ended by SIGTERM. Run it again."
    assert (dumps("one"), workshop.folders(), workshop.stray()) == ([], [], [])
    assert run_module("backup", **options(server, workshop, "one", rate_limit=None))["changed"]
