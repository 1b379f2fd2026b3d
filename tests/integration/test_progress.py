# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A long backup shows how far it is where somebody watches, and is quiet where nobody does."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.vya.backupdb.plugins.module_utils.errors import InvalidConfigError
from ansible_collections.vya.backupdb.plugins.module_utils.operations import progress as progress_file
from ansible_collections.vya.backupdb.plugins.module_utils.operations.progress import Progress, progress_line
from kit import sqlite
from kit.plays import ANSIBLE_PLAYBOOK, Controller
from kit.waiting import progress_files, wait_until
from kit.workshop import Workshop


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ((1_204_000_000, 2_800_000_000, 14.1, "appdb"), "db1 appdb 43 % 1.2/2.8 GB 85 MB/s ETA 0:19"),
        ((50_000, 900_000, 10.0, ""), "db1 5 % 50.0/900.0 kB 5 kB/s ETA 2:50"),
        ((10**12, 5 * 10**12, 7200.0, "a"), "db1 a 20 % 1.0/5.0 TB 139 MB/s ETA 8:00:00"),
        ((500, 500, 1.0, "a"), "db1 a 99 % 500.0/500.0 B 500 B/s ETA 0:00"),
        ((0, 500, 1.0, "a"), None),
        ((500, 500, 0.0, "a"), None),
    ],
)
def test_the_line(value: tuple[int, int, float, str], line: str | None) -> None:
    read, expected, seconds, database = value
    facts = {"read": read, "expected": expected, "seconds": seconds, "database": database}
    assert progress_line("db1", facts) == line


def test_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_file, "WRITE_SECONDS", 0)
    path = tmp_path / "p"

    def seen() -> tuple[Any, ...]:
        value = json.loads(path.read_text())
        return value["database"], value["read"], value["expected"]

    progress = Progress(str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    progress.plan({"a": 100, "b": 50})
    assert seen() == ("", 0, 150)
    assert list(progress.counted("a", [b"x" * 30])) == [b"x" * 30]
    assert seen() == ("a", 30, 150)
    list(progress.counted("a", [b"x" * 90]))
    assert seen() == ("a", 120, 170)
    progress.finish("a")
    progress.plan({"c": 7})
    list(progress.counted("b", [b"x" * 10]))
    assert seen() == ("b", 130, 177)
    progress.finish("b")
    assert seen() == ("", 130, 137)
    with pytest.raises(InvalidConfigError, match=r"progress_file: .* cannot be made: File exists"):
        Progress(str(path))
    progress.close()
    assert not path.exists()


def test_whoever_touches_the_file_keeps_the_work_going(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_file, "LEAST_PATIENCE_SECONDS", 1)
    patience = 5
    monkeypatch.setattr(progress_file, "LISTEN_SECONDS", 0.05)
    ended: list[str] = []
    monkeypatch.setattr(progress_file.stopping, "stop", ended.append)
    path = tmp_path / "p"
    progress = Progress(str(path), patience)
    began = time.monotonic()
    while time.monotonic() - began < patience + 1:
        path.touch()
        progress.plan({"a": 1})  # its own writing is no sign
        time.sleep(0.05)
    assert ended == []
    while not ended and time.monotonic() - began < 60:
        progress.plan({"a": 1})
        time.sleep(0.05)
    assert ended == ["Ansible has not asked for the work for 5 s, so it was ended. Run it again."]
    progress.close()


def test_a_file_that_is_there_already(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidConfigError):
        Progress(str(path))


LINE = re.compile(r"db1 (?:files/long\.db )?(\d+) % ([\d.]+)/([\d.]+) MB \d+ kB/s ETA \d:\d\d")


def in_terminal(controller: Controller, playbook: Path, **extra: Any) -> str:
    """What ansible-playbook prints on a terminal."""
    ours, its = pty.openpty()
    values = ["--extra-vars", json.dumps(extra)]
    with subprocess.Popen(
        [ANSIBLE_PLAYBOOK, "--inventory", controller.inventory, *values, playbook],
        cwd=controller.folder, env={**os.environ, "TERM": "dumb"}, stdin=its, stdout=its, stderr=its,
    ) as process:  # fmt: skip
        os.close(its)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
    os.close(ours)
    assert process.returncode == 0, shown.decode()
    return shown.decode()


def slow_backup(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A database, and the options of the module that backs it up as slowly as the variable ``rate`` says."""
    path = tmp_path / "long.db"
    sqlite.make(path, *sqlite.numbers(20_000))
    options = {
        "connection": {"id": "files", "engine": "sqlite", "path": str(path)},
        "repository": str(tmp_path / "repository"),
        "keyring": str(tmp_path / "keyring.json"),
        "config_file": str(tmp_path / "none"),
        "rate_limit": "{{ rate | default(100000000) }}",
        "stop_after_disconnect": "{{ patience | default(omit) }}",
    }
    return path, options


def test_who_watches_sees_a_line_while_it_runs(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    path, task = slow_backup(tmp_path)
    size = path.stat().st_size
    controller = Controller(tmp_path, {"db1": {}})
    show = {"ansible.builtin.debug": {"msg": "{{ done.msg }} {{ done.keys() | sort | join(' ') }}"}}
    backup = {"vya.backupdb.backup": task, "register": "done"}
    play = [{"hosts": "all", "gather_facts": False, "tasks": [backup, show]}]
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump(play))
    keys = "backups changed diff failed failures free_bytes msg not_due planned"
    watched = in_terminal(controller, playbook, rate=size // 5)
    lines = [found.groups() for found in map(LINE.fullmatch, watched.splitlines()) if found]
    assert lines
    assert [int(percent) for percent, _read, _all in lines] == sorted({int(percent) for percent, _read, _all in lines})
    assert {float(total) for _percent, _read, total in lines} == {round(size / 1e6, 1)}
    quiet = in_terminal(controller, playbook, backupdb_progress=False, patience=10)
    unseen = controller.play(str(playbook))
    assert unseen.status == 0
    for output in (watched, quiet, unseen.output):
        assert f"1 backed up, 0 not due, 0 failed. {keys}" in output
        assert (" % " in output) == (output is watched)
    assert len(workshop.folders()) == 3
    wait_until(lambda: not progress_files())


def test_awx_shows_the_lines_as_events(tmp_path: Path) -> None:
    """Under ansible-runner, as AWX runs jobs, each line is an event of its own, and nothing else."""
    Workshop(tmp_path)
    path, task = slow_backup(tmp_path)
    folder = tmp_path / "job"
    (folder / "project").mkdir(parents=True)
    play = {"hosts": "all", "gather_facts": False, "tasks": [{"vya.backupdb.backup": task}]}
    (folder / "project" / "play.yml").write_text(yaml.safe_dump([play]))
    Controller(tmp_path, {"db1": {"rate": path.stat().st_size // 6}})
    (folder / "inventory").mkdir()
    (tmp_path / "inventory.yml").rename(folder / "inventory" / "hosts.yml")
    programs = ANSIBLE_PLAYBOOK.parent
    done = subprocess.run(
        [programs / "ansible-runner", "run", folder, "--playbook", "play.yml", "--ident", "1", "--quiet"],
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    artifacts = folder / "artifacts" / "1"
    assert done.returncode == 0, done.stdout + done.stderr + (artifacts / "stdout").read_text()
    events = [json.loads(event.read_text()) for event in (artifacts / "job_events").glob("*.json")]
    lines = [event["stdout"] for event in events if " ETA " in event["stdout"]]
    assert lines
    assert [line for line in lines if not LINE.fullmatch(line)] == []
