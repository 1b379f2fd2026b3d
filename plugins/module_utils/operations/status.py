# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How every database of a host stands: its newest good backup against its objective, proofs, holds, trend, room."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import unquote

from ..config import Instance
from ..errors import BackupdbError
from ..repository import layout
from ..repository.catalog import Found, Selection, find
from ..repository.local import BackupSet, LocalRepository, translated_os_errors
from ..repository.manifest import format_time
from ..repository.records import SetRecord, read_record
from ..users.registry import USERS_ENGINES
from .backup import newest_regular
from .info import describe_instance
from .objectives import Objectives
from .usage import Sample, growth, with_sample
from .words import BAD_RESULTS, duration_words

OK, LATE, MISSING, FAILED = "ok", "late", "missing", "failed"
UNREACHABLE, EXCLUDED, GONE = "unreachable", "excluded", "gone"
STATES = (FAILED, MISSING, LATE, UNREACHABLE, OK, EXCLUDED, GONE)
"""Worst first. A database that is ``gone`` is no longer on the server, or its instance no longer in the inventory."""

HARMLESS = (OK, EXCLUDED, GONE)
SHRUNK = 50
"""A newest backup that is this many percent smaller than those before it is worth a look."""


@dataclass(frozen=True)
class StatusWanted:
    """What is asked for: the host whose sets count, how old backups may be, when they are due, and how many sets of
    each database to tell of. Without ``users`` nobody expects backups of accounts."""

    host: str
    objectives: Objectives = field(default_factory=Objectives)
    max_age: timedelta | None = None
    history: int = 30
    users: bool = True


@dataclass(frozen=True, order=True)
class Subject:
    """A database of an instance, or its users, whose ``database`` is empty."""

    instance: str
    kind: str
    database: str


@dataclass
class Stored:
    """What the repository has of a subject, newest first."""

    sets: list[tuple[BackupSet, SetRecord | BackupdbError]] = field(default_factory=list)
    broken: list[tuple[Path, BackupdbError]] = field(default_factory=list)

    def damage(self) -> dict[str, str]:
        """The sets that can't be relied on by their ids, and why; newest first."""
        found = {path.name: error.message for path, error in self.broken}
        for backup, record in self.sets:
            last = record.last_verification if isinstance(record, SetRecord) else None
            if last and not last.ok:
                found[backup.manifest.id] = last.error or f"the level {last.level} failed"
        # Ids of one subject differ by their moment only.
        return dict(sorted(found.items(), reverse=True))


@dataclass(frozen=True)
class Live:
    """What the server says of a subject; without ``known`` it can't be asked. ``engine`` may be empty."""

    engine: str = ""
    known: bool = True
    there: bool = True
    excluded: str | None = None
    size_bytes: int | None = None


def read_status(
    instances: Iterable[Instance],
    repository: LocalRepository,
    wanted: StatusWanted,
    now: datetime,
    samples: Sequence[Sample] = (),
    login: Callable[[Instance], Instance] = lambda instance: instance,
    jobs: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The state of every database that an instance or the repository has, as modules return it.

    An instance that is switched off is not asked. A repository that can't be read is told as such, and counts as empty.
    ``jobs`` are what is known of the runs that the host does by itself: ``job``, ``result``, ``words`` and more.
    """
    described = [
        {**(describe_instance(item, login) if item.enabled else _switched_off(item)), "enabled": item.enabled}
        for item in instances
    ]
    problem: BackupdbError | None = None
    try:
        found = find(repository, Selection(host=wanted.host))
    except BackupdbError as error:
        found, problem = Found(), error
    live = _live(described, wanted)
    stored = _stored(repository, found, live)
    databases = [
        _describe(subject, live.get(subject), stored.get(subject, Stored()), described, wanted, now)
        for subject in sorted(live.keys() | stored.keys())
    ]
    counts = Counter(entry["state"] for entry in databases)
    silent = [entry for entry in described if entry["enabled"] and entry["error"]]
    return {
        "host": wanted.host,
        "collected": format_time(now),
        "healthy": not silent and all(state in HARMLESS for state in counts) and not bad_jobs(jobs),
        "counts": {state: counts[state] for state in STATES},
        "instances": described,
        "databases": databases,
        "jobs": list(jobs),
        "repository": _describe_repository(repository, found, problem, samples, now),
    }


def bad_jobs(jobs: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [entry for entry in jobs if entry["result"] in BAD_RESULTS]


def _switched_off(instance: Instance) -> dict[str, Any]:
    known = {"id": instance.id, "engine": instance.engine, "address": instance.address, "reachable": False}
    unknown = ("latency_ms", "flavour", "server_version", "tool", "tool_version", "error", "code")
    return {**known, **dict.fromkeys(unknown), "databases": []}


def _live(described: Iterable[Mapping[str, Any]], wanted: StatusWanted) -> dict[Subject, Live]:
    """What is to be backed up, as the servers that answer say, and what is not although it is there."""
    live = {}
    for instance in described:
        for database in instance["databases"]:
            excluded = "the patterns of the instance leave it out" if database["excluded"] else None
            subject = Subject(instance["id"], "database", database["name"])
            live[subject] = Live(instance["engine"], excluded=excluded, size_bytes=database["size_bytes"])
        if instance["reachable"] and instance["engine"] in USERS_ENGINES:
            excluded = None if wanted.users else "accounts are not backed up"
            live[Subject(instance["id"], "users", "")] = Live(instance["engine"], excluded=excluded)
    return live


def _stored(repository: LocalRepository, found: Found, known: Iterable[Subject]) -> dict[Subject, Stored]:
    stored: dict[Subject, Stored] = {}
    for backup in found.backups:
        manifest = backup.manifest
        record: SetRecord | BackupdbError
        try:
            record = read_record(backup)
        except BackupdbError as error:
            record = error
        subject = Subject(manifest.instance, manifest.kind, manifest.database)
        stored.setdefault(subject, Stored()).sets.append((backup, record))
    subjects = {_elements(subject): subject for subject in [*known, *stored]}
    for path, damage in found.broken:
        instance, name = path.relative_to(repository.root).parts[1:3]
        is_users = name == layout.USERS
        nameless = Subject(unquote(instance), "users" if is_users else "database", "" if is_users else unquote(name))
        stored.setdefault(subjects.get((instance, name), nameless), Stored()).broken.append((path, damage))
    return stored


def _elements(subject: Subject) -> tuple[str, str]:
    """The folders of a subject's sets below the host's."""
    return layout.encode_element(subject.instance), layout.subject_element(subject.kind, subject.database)


def _absent(subject: Subject, described: Sequence[Mapping[str, Any]]) -> Live:
    """A subject that the repository has and no server told of."""
    for instance in described:
        if instance["id"] == subject.instance:
            if not instance["enabled"]:
                return Live(instance["engine"], known=False, excluded="the instance is switched off")
            return Live(instance["engine"], known=instance["reachable"], there=not instance["reachable"])
    return Live(there=False)


def _describe(
    subject: Subject,
    live: Live | None,
    stored: Stored,
    described: Sequence[Mapping[str, Any]],
    wanted: StatusWanted,
    now: datetime,
) -> dict[str, Any]:
    live = live or _absent(subject, described)
    damage = stored.damage()
    sets = [backup for backup, _record in stored.sets]
    regular = [backup for backup in sets if not backup.manifest.is_safety_backup]
    newest = next((backup for backup in regular if backup.manifest.id not in damage), None)
    age = now - newest.manifest.moment if newest else None
    # Accounts are stored when they have changed: an old backup of them may well be what they are now.
    objective = wanted.objectives.of(subject.instance, subject.database) if subject.kind == "database" else None
    state, notes = _judge(live, newest, age, objective, damage)
    history = [_point(backup) for backup in reversed(regular[: wanted.history])]
    change = _change_percent([point["stored_bytes"] for point in history])
    if change is not None and change <= -SHRUNK:
        notes.append(f"the newest backup is {abs(change)} % smaller than those before it")
    notes += [str(record) for _backup, record in stored.sets if isinstance(record, BackupdbError)]
    due = newest_regular(sets)
    return {
        **asdict(subject),
        "engine": live.engine or (sets[0].manifest.engine if sets else None),
        "state": state,
        "notes": notes,
        "size_bytes": live.size_bytes,
        "newest": {**newest.manifest.summary(), "path": str(newest.path)} if newest else None,
        "age_seconds": int(age.total_seconds()) if age is not None else None,
        "rpo_seconds": int(objective.total_seconds()) if objective is not None else None,
        "next_due": _next_due(subject, state, due, wanted.max_age, now),
        "verified": _last_verification(stored),
        "damaged": list(damage),
        "holds": _holds(stored, now),
        "sets": len(sets),
        "stored_bytes": sum(backup.manifest.stored_bytes for backup in sets),
        "size_change_percent": change,
        "history": history,
    }


def _judge(
    live: Live, newest: BackupSet | None, age: timedelta | None, objective: timedelta | None, damage: Mapping[str, str]
) -> tuple[str, list[str]]:
    """The state of a database, and what there is to say about it. ``damage`` is newest first."""
    notes = []
    newer = [name for name in damage if newest is None or name > newest.manifest.id]
    if newer:
        notes.append(f"backup {newer[0]} is damaged: {damage[newer[0]]}")
    older = len(damage) - len(newer)
    if older:
        notes.append(f"{older} older {'backup is' if older == 1 else 'backups are'} damaged")
    if live.excluded is not None:
        return EXCLUDED, [live.excluded, *notes]
    if not live.there:
        return GONE, ["no longer on the server" if live.engine else "its instance is no longer described", *notes]
    silent = [] if live.known else ["its instance does not answer"]
    if newer:
        return FAILED, notes + silent
    if newest is None or age is None:
        return MISSING, ["no backup yet", *notes, *silent]
    if age < timedelta(0):
        return LATE, [f"newest is {duration_words(-age)} in the future, the clock was set back", *notes, *silent]
    if objective is not None and age > objective:
        words = f"newest is {duration_words(age)} old, the objective is {duration_words(objective)}"
        return LATE, [words, *notes, *silent]
    return (OK if live.known else UNREACHABLE), silent + notes


def _point(backup: BackupSet) -> dict[str, Any]:
    manifest = backup.manifest
    return {
        "id": manifest.id,
        "started": manifest.started,
        "stored_bytes": manifest.stored_bytes,
        "raw_bytes": manifest.raw_bytes,
        "duration_seconds": manifest.duration_seconds,
    }


def _change_percent(sizes: Sequence[int]) -> int | None:
    """How much the last of sizes differs from the median of those before it, of which there must be three."""
    if len(sizes) < 4 or not (usual := median(sizes[:-1])):
        return None
    return round((sizes[-1] - usual) * 100 / usual)


def _next_due(
    subject: Subject, state: str, newest: BackupSet | None, max_age: timedelta | None, now: datetime
) -> str | None:
    """When the next run backs the database up; None where every run does, or none."""
    if max_age is None or subject.kind != "database" or state in (EXCLUDED, GONE):
        return None
    moment = newest.manifest.moment + max_age if newest and newest.manifest.moment <= now else now
    return format_time(max(moment, now))


def _last_verification(stored: Stored) -> dict[str, Any] | None:
    """The last verification of any set of a subject."""
    verifications = [
        (record.last_verification.finished, {"backup": backup.manifest.id, **asdict(record.last_verification)})
        for backup, record in stored.sets
        if isinstance(record, SetRecord) and record.last_verification
    ]
    return max(verifications, key=lambda pair: pair[0])[1] if verifications else None


def _holds(stored: Stored, now: datetime) -> list[dict[str, Any]]:
    return [
        {"backup": backup.manifest.id, **asdict(record.hold)}
        for backup, record in stored.sets
        if isinstance(record, SetRecord) and record.hold and record.held(now)
    ]


def _describe_repository(
    repository: LocalRepository,
    found: Found,
    problem: BackupdbError | None,
    samples: Sequence[Sample],
    now: datetime,
) -> dict[str, Any]:
    stored_bytes = sum(backup.manifest.stored_bytes for backup in found.backups)
    free_bytes = total_bytes = None
    if not problem:
        with translated_os_errors(repository.root):
            free_bytes, total_bytes = repository.free_bytes(), shutil.disk_usage(repository.root).total
    known = growth([] if problem else with_sample(samples, now, stored_bytes), found.backups, now)
    return {
        "path": str(repository.root),
        "sets": len(found.backups),
        "broken": len(found.broken),
        "stored_bytes": stored_bytes,
        "total_bytes": total_bytes,
        "free_bytes": free_bytes,
        "growth_bytes_per_day": known.bytes_per_day if known else None,
        "growth_basis": known.basis if known else None,
        "days_until_full": known.days_until_full(free_bytes) if known and free_bytes is not None else None,
        "error": problem.message if problem else None,
        "code": problem.code if problem else None,
    }
