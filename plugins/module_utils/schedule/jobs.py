# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The jobs that a host runs by itself, and what became of their last runs."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ..errors import InvalidConfigError, NotFoundError
from ..operations.words import duration_words
from ..repository.catalog import parse_duration
from ..repository.lock import try_lock

SETTINGS = Path("/etc/vya-backupdb/schedule")
"""What the role schedule writes: jobs.json, inventory.json, ansible.cfg, and variables for each job."""

STATES = Path("/var/lib/vya-backupdb/jobs")
"""What the jobs write: a state and a lock for each."""

_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Job:
    """A playbook that runs at its times. ``within`` is how old its last success may be before a run is missed."""

    name: str
    playbook: str
    when: str
    within: timedelta
    alone: bool
    since: datetime
    """When the schedule was written: a job that never ran is not missed before ``within`` has passed since."""


@dataclass(frozen=True)
class State:
    """What is known of a job's runs. Times as ``2026-11-25T02:00:00Z``.

    ``finished`` and ``exit_status`` are None while it runs, and when it was cut off. ``succeeded`` is the end of the
    last good run, ``failures`` the number of bad ones since.
    """

    started: str | None = None
    finished: str | None = None
    exit_status: int | None = None
    succeeded: str | None = None
    failures: int = 0


@dataclass(frozen=True)
class Report:
    """What people should know of a job. ``result`` is ok, failed, missed, running or waiting (for its first run)."""

    job: str
    result: str
    words: str
    state: State


def now_words() -> str:
    return datetime.now(UTC).strftime(_TIME)


def _moment(text: str) -> datetime:
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


def load_jobs(folder: Path = SETTINGS) -> dict[str, Job]:
    """The jobs of the host, none where it has no schedule; InvalidConfigError where the file cannot be used."""
    path = folder / "jobs.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        since = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return {
            name: Job(name, job["playbook"], job["when"], parse_duration(job["within"], name), job["alone"], since)
            for name, job in content.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidConfigError(
            f"The schedule {path} cannot be used: {type(error).__name__}. Run the playbook vya.backupdb.schedule."
        ) from None


def find_job(name: str, folder: Path = SETTINGS) -> Job:
    """One job; NotFoundError lists those that there are."""
    jobs = load_jobs(folder)
    if name not in jobs:
        known = ", ".join(sorted(jobs)) or "none"
        raise NotFoundError(f"There is no job {name!r} in {folder / 'jobs.json'}; there is {known}.")
    return jobs[name]


def lock_path(name: str, folder: Path = STATES) -> Path:
    return folder / f"{name}.lock"


def read_state(name: str, folder: Path = STATES) -> State:
    """The state of a job; an empty one where it never ran or where the file is damaged."""
    try:
        content: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        return State(**{field.name: content[field.name] for field in fields(State)})
    except (OSError, ValueError, KeyError, TypeError):
        return State()


def write_state(name: str, state: State, folder: Path = STATES) -> None:
    """Replaces the state of a job, all at once."""
    path = folder / f"{name}.json"
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump({"job": name, **asdict(state)}, stream)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def is_running(name: str, folder: Path = STATES) -> bool:
    """Whether a run of the job is alive: its lock is held. The kernel lets go of it when the run dies."""
    path = lock_path(name, folder)
    if not path.exists():
        return False
    descriptor = try_lock(path)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _judge(job: Job, state: State, running: bool, now: datetime) -> tuple[str, str]:
    """The result and the words of a report."""
    if running:
        return "running", f"runs since {state.started}"
    if state.started and state.exit_status is None:
        return "failed", f"the run of {state.started} was cut off"
    if state.exit_status:
        times = f", {state.failures} times in a row" if state.failures > 1 else ""
        return "failed", f"the run of {state.started} ended with status {state.exit_status}{times}"
    last = _moment(state.succeeded) if state.succeeded else None
    waiting = now - (last or job.since)
    if waiting > job.within:
        what = f"last run ended {duration_words(waiting)} ago" if last else "it never ran"
        return "missed", f"{what}, and a run is expected every {duration_words(job.within)}"
    return ("ok", f"last run ended {duration_words(waiting)} ago") if last else ("waiting", "it has not run yet")


def reports(settings: Path = SETTINGS, states: Path = STATES, now: datetime | None = None) -> list[Report]:
    """One report a job, in the order of the schedule; empty where the host has no schedule."""
    moment = now or datetime.now(UTC)
    found = []
    for job in load_jobs(settings).values():
        state = read_state(job.name, states)
        found.append(Report(job.name, *_judge(job, state, is_running(job.name, states), moment), state))
    return found
