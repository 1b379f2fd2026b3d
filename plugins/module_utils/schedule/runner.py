# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the jobs of a host without a controller: what timers and cron start, as ``vya-backupdb-job``.

``run JOB`` runs a playbook on this host alone. ``failed JOB`` tells the journal, and whoever is to be told, that a run
failed. ``list`` shows the jobs.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from ..errors import BackupdbError
from ..operations.words import BAD_RESULTS
from ..repository.lock import try_lock
from .jobs import SETTINGS, STATES, Job, find_job, lock_path, now_words, read_state, reports, write_state

BUSY = 75
"""The exit status where a run of the same job goes on: EX_TEMPFAIL of sysexits.h."""

ALL = "all"
"""Names the lock of jobs that run one after another."""

_ERROR, _WARNING = "<3>", "<4>"
"""What makes a line an error or a warning in the journal (sd-daemon(3))."""


PLAYBOOK_PROGRAM = Path(sys.executable).with_name("ansible-playbook")


@dataclass(frozen=True)
class Places:
    settings: Path = SETTINGS
    states: Path = STATES
    ansible_playbook: Path = PLAYBOOK_PROGRAM


@contextmanager
def _turn(job: Job, folder: Path) -> Iterator[bool]:
    """Whether this is the only run of the job. Where the job is to run alone, waits until the others have ended."""
    mine = try_lock(lock_path(job.name, folder))
    if mine is None:
        yield False
        return
    with os.fdopen(mine), lock_path(ALL, folder).open("a") as shared:
        if job.alone:
            fcntl.flock(shared, fcntl.LOCK_EX)
        yield True


def _environment(places: Places) -> dict[str, str]:
    """What Ansible gets to see: nothing of the caller's settings for Ansible, and a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return {
        **kept,
        "ANSIBLE_CONFIG": str(places.settings / "ansible.cfg"),
        "HOME": str(places.states.parent),
        "LC_ALL": "C.UTF-8",
        "PATH": f"{places.ansible_playbook.parent}:{os.environ.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin')}",
        "PYTHONUNBUFFERED": "1",
    }


def _say(line: str, stream: TextIO | None = None) -> None:
    """A line for whoever reads the journal, the log or the terminal, at once."""
    where = stream or sys.stdout
    where.write(f"{line}\n")
    where.flush()


def run(name: str, places: Places, delay: float = 0) -> int:
    """Runs a job; the exit status of its playbook, or BUSY. ``delay`` is the longest wait before, in seconds."""
    job = find_job(name, places.settings)
    places.states.mkdir(mode=0o700, parents=True, exist_ok=True)
    time.sleep(random.uniform(0, delay))  # noqa: S311 - spreads load, protects nothing
    with _turn(job, places.states) as mine:
        if not mine:
            since = read_state(name, places.states).started
            _say(f"{_WARNING}Job {name} runs since {since}; this start does nothing.")
            return BUSY
        before = read_state(name, places.states)
        state = replace(before, started=now_words(), finished=None, exit_status=None, failures=before.failures + 1)
        write_state(name, state, places.states)  # a run that is cut off counts as a failure
        variables = places.settings / f"{name}.variables.json"
        command = [str(places.ansible_playbook), "--extra-vars", f"@{variables}", job.playbook]
        done = subprocess.run(
            command, cwd=places.states.parent, env=_environment(places), stdin=subprocess.DEVNULL, check=False
        )
        status = done.returncode if done.returncode >= 0 else 128 - done.returncode
        ended = replace(state, finished=now_words(), exit_status=status)
        if status == 0:
            ended = replace(ended, succeeded=ended.finished, failures=0)
        write_state(name, ended, places.states)
    return status


def tell_failure(name: str, places: Places) -> int:
    """Tells the journal that a job failed, and runs the command that the schedule has for it; its exit status."""
    state = read_state(name, places.states)
    ended = "was cut off" if state.exit_status is None else f"ended with status {state.exit_status}"
    sentence = f"Job {name} on {socket.gethostname()} failed: the run of {state.started} {ended}."
    _say(f"{_ERROR}{sentence}")
    command = json.loads((places.settings / "on_failure.json").read_text(encoding="utf-8"))
    if not command:
        return 0
    facts = {"JOB": name, "STARTED": state.started, "EXIT_STATUS": state.exit_status, "FAILURES": state.failures}
    told = {f"VYA_BACKUPDB_{fact}": "" if value is None else str(value) for fact, value in facts.items()}
    environment = {**os.environ, **told, "VYA_BACKUPDB_MESSAGE": sentence}
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode


def show(places: Places) -> int:
    """Prints one line a job; 1 where one failed or was missed."""
    found = reports(places.settings, places.states)
    for report in found:
        _say(f"{report.job:<12} {report.result:<8} {report.words}")
    return int(any(report.result in BAD_RESULTS for report in found))


def _log_to(path: Path) -> None:
    """Sends what this process and its children print to a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)


def main(arguments: Sequence[str] | None = None, places: Places | None = None) -> int:
    where = places or Places()
    parser = argparse.ArgumentParser(prog="vya-backupdb-job", description="Runs the backup jobs of this host.")
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="run a job now")
    running.add_argument("job")
    running.add_argument("--delay", type=float, default=0, help="wait up to this many seconds before")
    running.add_argument("--log", type=Path, help="append all output to this file")
    running.add_argument("--tell", action="store_true", help="tell a failure, as systemd does by itself")
    commands.add_parser("failed", help="tell that a job failed").add_argument("job")
    commands.add_parser("list", help="show the jobs and their last runs")
    chosen = parser.parse_args(arguments)
    os.umask(0o077)

    def run_and_tell() -> int:
        if chosen.log:
            _log_to(chosen.log)
        status = run(chosen.job, where, chosen.delay)
        if chosen.tell and status not in (0, BUSY):
            tell_failure(chosen.job, where)
        return status

    actions: dict[str, Callable[[], int]] = {
        "run": run_and_tell,
        "failed": lambda: tell_failure(chosen.job, where),
        "list": lambda: show(where),
    }
    try:
        return actions[chosen.command]()
    except BackupdbError as error:
        _say(f"{_ERROR}{error.code}: {error.message}", sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
