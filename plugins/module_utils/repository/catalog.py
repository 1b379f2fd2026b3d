# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backup sets there are, and which one is meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ..errors import AmbiguousError, BackupdbError, InvalidConfigError, NotFoundError
from .local import BackupSet, LocalRepository, days_of

LATEST = "latest"
WRONG_CLOCK = timedelta(hours=1)
"""How far in the future a set may be before its moment is not believed: clocks of hosts differ a little."""
_DURATION = re.compile(r"(\d+)\s*(s|m|h|d|w)?")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks", None: "seconds"}


def parse_duration(text: str, option: str) -> timedelta:
    """``90m``, ``24h``, ``7d``, ``2w``, or a number of seconds; InvalidConfigError otherwise."""
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise InvalidConfigError(f"{option}: {text!r} is no duration; write a number and one of s, m, h, d, w: 24h.")
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        raise InvalidConfigError(f"{option}: {text!r} is too long.") from None


def parse_moment(text: str, option: str) -> datetime:
    """An ISO 8601 date or time; UTC where it names no zone. InvalidConfigError otherwise."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidConfigError(
            f"{option}: {text!r} is no ISO 8601 date or time, such as 2026-11-23T02:00:00Z."
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@dataclass(frozen=True)
class Selection:
    """What is asked for; None means any. ``before`` and ``after`` are exclusive and speak of a set's start."""

    host: str | None = None
    instance: str | None = None
    database: str | None = None
    kind: str | None = None
    before: datetime | None = None
    after: datetime | None = None

    def __str__(self) -> str:
        words = [f"{name} {value}" for name, value in (("host", self.host), ("instance", self.instance)) if value]
        if self.database is not None:
            words.append(f"database {self.database}")
        if self.kind:
            words.append(f"kind {self.kind}")
        for name, moment in (("before", self.before), ("after", self.after)):
            if moment:
                words.append(f"{name} {moment:%Y-%m-%d %H:%M:%S} UTC")
        return ", ".join(words) or "anything"

    def accepts(self, backup: BackupSet) -> bool:
        manifest = backup.manifest
        return (
            self.host in (None, manifest.host)
            and self.instance in (None, manifest.instance)
            and self.database in (None, manifest.database)
            and self.kind in (None, manifest.kind)
            and (self.before is None or manifest.moment < self.before)
            and (self.after is None or manifest.moment > self.after)
        )


@dataclass
class Found:
    """The sets that were asked for, newest first, and the folders there whose manifests can't be read."""

    backups: list[BackupSet] = field(default_factory=list)
    broken: list[tuple[Path, BackupdbError]] = field(default_factory=list)


def find(repository: LocalRepository, selection: Selection) -> Found:
    """Looks the sets up in the repository itself."""
    repository.require()
    found = Found()
    for entry in repository.sets(selection.host, selection.instance, selection.kind, selection.database):
        if not isinstance(entry, BackupSet):
            found.broken.append(entry)
        elif selection.accepts(entry):
            found.backups.append(entry)
    found.backups.sort(key=_age, reverse=True)
    return found


def newest_first(
    repository: LocalRepository, host: str, instance: str, kind: str, database: str
) -> Iterator[BackupSet]:
    """The sets of one subject, newest first, read no sooner than they are asked for: a day's at a time. None where
    there is no repository yet; RepositoryError where it can't be listed."""
    if repository.root.exists():
        repository.require()
    subject = repository.subject_folder(host, instance, kind, database)
    selection = Selection(host, instance, database, kind)
    for date in reversed(days_of(subject)):
        entries = repository.sets(host, instance, kind, database, date.name)
        sets = [entry for entry in entries if isinstance(entry, BackupSet) and selection.accepts(entry)]
        yield from sorted(sets, key=_age, reverse=True)


def _age(backup: BackupSet) -> tuple[str, str]:
    return backup.manifest.started, backup.manifest.id


def _subjects(backups: Iterable[BackupSet]) -> set[tuple[str, str, str]]:
    return {(backup.manifest.host, backup.manifest.instance, backup.manifest.database) for backup in backups}


def latest_first(newest_first: Iterable[BackupSet]) -> list[BackupSet]:
    """Sets, given newest first, those behind the others that a clock which was wrong has put into the future."""
    limit = datetime.now(UTC) + WRONG_CLOCK
    return sorted(newest_first, key=lambda backup: backup.manifest.moment > limit)


def choose(repository: LocalRepository, backup_id: str, selection: Selection) -> BackupSet:
    """The one set that is meant: ``latest`` of a selection, or the one with an id.

    Raises NotFoundError, AmbiguousError, and, where the very set that is asked for by its id is broken, its error.
    """
    found = find(repository, selection)
    if backup_id == LATEST:
        candidates = latest_first(backup for backup in found.backups if not backup.manifest.is_safety_backup)
        if len(_subjects(candidates)) > 1:
            some = "; ".join(" / ".join(subject) for subject in sorted(_subjects(candidates))[:5])
            raise AmbiguousError(
                f"The latest of what? {repository.root} holds backups of more than one database for {selection}: "
                f"{some}. Name host, instance and database."
            )
    else:
        candidates = [backup for backup in found.backups if backup.manifest.id == backup_id]
        for path, error in found.broken:
            if path.name == backup_id and not candidates:
                raise error
        if len(candidates) > 1:
            places = "; ".join(str(backup.path.parent) for backup in candidates[:5])
            raise AmbiguousError(
                f"{len(candidates)} backups have the id {backup_id}: {places}. Name host and instance."
            )
    if not candidates:
        what = f"backup of {selection}" if backup_id == LATEST else f"backup {backup_id} for {selection}"
        damaged = f" {len(found.broken)} damaged set(s) there can't be read." if found.broken else ""
        raise NotFoundError(f"There is no {what} in {repository.root}.{damaged} List them with backup_info.")
    return candidates[0]
