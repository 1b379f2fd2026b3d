# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retires backup sets by a policy: each database of each instance for itself, and the users of each instance."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ..audit import Note, note_nothing
from ..errors import BackupdbError, LockedError, RecordInvalidError, as_ours
from ..repository import layout
from ..repository.catalog import Selection, find
from ..repository.local import BackupSet, LocalRepository
from ..repository.manifest import parse_time
from ..repository.records import Hold, read_record
from ..repository.records_lock import locked_records
from ..repository.removal import remove_lost_records, remove_sets, why_untouchable
from ..retention.decide import Candidate, decide
from ..retention.policy import Policy

DESTROYED = frozenset({"checksum_mismatch", "seal_broken", "content_invalid"})
"""Codes of failed verifications that speak of the stored bytes themselves. A missing key, say, may be found again."""


_STAMP = re.compile(r"_(\d{8}_\d{6})(?:_|$)")
_UNKNOWN = datetime.min.replace(tzinfo=UTC)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Outcome:
    """What was done, as modules return it: every set of the selection is in ``kept`` or ``removed``.

    With ``check``, ``removed`` are those that would be. ``postponed`` are the databases whose sets that should go stay,
    because another run is at work there.
    """

    kept: list[dict[str, Any]] = field(default_factory=list)
    removed: list[dict[str, Any]] = field(default_factory=list)
    postponed: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def freed_bytes(self) -> int:
        return sum(entry["stored_bytes"] for entry in self.removed)


@dataclass
class _Subject:
    """The sets of one database or of an instance's users, by the folder they are in, and what can't be read there.

    ``names`` are host, instance, kind and database, as a set says that is in its place, or else as the folders do.
    """

    folder: Path
    names: dict[str, str]
    sets: list[BackupSet] = field(default_factory=list)
    broken: list[tuple[Path, BackupdbError]] = field(default_factory=list)


def _names_of_folder(folder: Path) -> dict[str, str]:
    host, instance, last = (unquote(part) for part in folder.parts[-3:])
    users = folder.name == layout.USERS
    return {
        "host": host,
        "instance": instance,
        "kind": "users" if users else "database",
        "database": "" if users else last,
    }


def _subjects(repository: LocalRepository, selection: Selection) -> list[_Subject]:
    found = find(repository, selection)
    subjects: dict[Path, _Subject] = {}

    def subject(path: Path) -> _Subject:
        folder = path.parent.parent
        return subjects.setdefault(folder, _Subject(folder, _names_of_folder(folder)))

    for backup in found.backups:
        here = subject(backup.path)
        here.sets.append(backup)
        names = {name: getattr(backup.manifest, name) for name in ("host", "instance", "kind", "database")}
        if repository.subject_folder(**names) == here.folder:
            here.names = names
    for path, error in found.broken:
        if selection.kind in (None, _names_of_folder(path.parent.parent)["kind"]):
            subject(path).broken.append((path, error))
    return [subjects[folder] for folder in sorted(subjects)]


def _key(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def hold_words(hold: Hold) -> str:
    until = f"until {parse_time(hold.until):%Y-%m-%d %H:%M} UTC" if hold.until else "for good"
    return f"on hold {until}: {hold.reason}"


def _candidate(repository: LocalRepository, backup: BackupSet, now: datetime, links: dict[Path, bool]) -> Candidate:
    manifest = backup.manifest
    facts: dict[str, Any] = {"spared": why_untouchable(repository, backup, links)}
    try:
        record = read_record(backup)
    except RecordInvalidError:
        facts["spared"] = "its record cannot be read, so it may be on hold"
    else:
        last = record.last_verification
        facts["verified"] = record.proven() is not None
        if record.hold is not None and record.held(now):
            facts["spared"] = hold_words(record.hold)
        elif last is not None and not last.ok:
            facts["damage"] = f"failed verification ({last.code})"
            facts["hopeless"] = last.code in DESTROYED
        elif lacking := _lacking(backup):
            facts["damage"] = f"its part {lacking} is missing or has another size"
    return Candidate(_key(backup.path), manifest.moment, safety=manifest.is_safety_backup, **facts)


def _lacking(backup: BackupSet) -> str | None:
    """The first part of a set that is not there with all its bytes."""
    for part in backup.manifest.parts:
        try:
            size = (backup.path / layout.PARTS / part.name).stat().st_size
        except FileNotFoundError:
            size = -1
        if size != part.stored_bytes:
            return part.name
    return None


def _broken_candidate(path: Path, error: BackupdbError) -> Candidate:
    stamp = _STAMP.search(path.name)
    try:
        moment = datetime.strptime(stamp[1], layout.STAMP_FORMAT).replace(tzinfo=UTC) if stamp else _UNKNOWN
    except ValueError:
        moment = _UNKNOWN
    return Candidate(_key(path), moment, spared=f"its manifest cannot be read ({error.code})")


@dataclass
class _Plan:
    """What a policy means for one subject: an entry a set as modules return it, and the sets that go, by path."""

    kept: list[dict[str, Any]]
    removed: list[dict[str, Any]]
    doomed: dict[str, BackupSet]


def _plan(repository: LocalRepository, subject: _Subject, policy: Policy, now: datetime) -> _Plan:
    names = subject.names
    links: dict[Path, bool] = {}
    candidates, entries, sets = [], {}, {}
    for backup in subject.sets:
        candidates.append(_candidate(repository, backup, now, links))
        entries[candidates[-1].id] = {
            **names,
            "id": backup.manifest.id,
            "path": str(backup.path),
            "started": backup.manifest.started,
            "stored_bytes": backup.manifest.stored_bytes,
        }
        sets[candidates[-1].id] = backup
    for path, error in subject.broken:
        candidates.append(_broken_candidate(path, error))
        unknown = {"started": None, "stored_bytes": 0}
        entries[candidates[-1].id] = {**names, "id": path.name, "path": str(path), **unknown}
    decision = decide(candidates, policy, now)
    return _Plan(
        kept=[{**entries[item.id], "reasons": reasons} for item, reasons in decision.kept],
        removed=[{**entries[item.id], "reason": reason} for item, reason in decision.removed],
        doomed={str(sets[item.id].path): sets[item.id] for item, _reason in decision.removed},
    )


class _Retirement:
    """One run over the sets of one subject."""

    def __init__(
        self, repository: LocalRepository, subject: _Subject, policy: Policy, outcome: Outcome, note: Note
    ) -> None:
        self._repository = repository
        self._subject = subject
        self._policy = policy
        self._outcome = outcome
        self._note = note
        self._plan = _plan(repository, subject, policy, _utc_now())
        self._gone: set[str] = set()
        self._stays: dict[str, str] = {}
        """Why sets stay that the plan removes, by path."""

    def run(self, check: bool) -> None:
        """Where something is to go, plans again under the locks and carries that out."""
        names, why = self._subject.names, "the run failed"
        try:
            if check:
                self._gone.update(self._plan.doomed)
            elif self._plan.doomed:
                with (
                    self._repository.lock(**names, purpose="retention"),
                    locked_records(self._repository, self._subject.folder / layout.RECORDS),
                ):
                    self._plan = _plan(self._repository, self._again(), self._policy, _utc_now())
                    remove_sets(self._repository, self._plan.doomed.values(), self._removed, self._failed)
                    remove_lost_records(self._subject.folder)
        except LockedError as error:
            why = "another run is at work there"
            self._outcome.postponed.append({**names, "reason": error.message})
        except Exception as error:  # noqa: BLE001 - one database's failure never stops the others
            self._fail(None, as_ours(error))
        self._report(why)

    def _again(self) -> _Subject:
        """What stands in the folder of the subject now."""
        names, folder = self._subject.names, self._subject.folder
        database = names["database"] if names["kind"] == "database" else None
        now = _subjects(self._repository, Selection(names["host"], names["instance"], database, names["kind"]))
        return next((item for item in now if item.folder == folder), _Subject(folder, names))

    def _removed(self, backup: BackupSet) -> None:
        self._gone.add(str(backup.path))
        reasons = {entry["path"]: entry["reason"] for entry in self._plan.removed}
        manifest = backup.manifest
        self._note(
            "retention",
            "ok",
            backup=manifest.id,
            kind=manifest.kind,
            instance=manifest.instance,
            database=manifest.database,
            stored_bytes=manifest.stored_bytes,
            reason=reasons[str(backup.path)],
        )

    def _failed(self, backup: BackupSet, error: BackupdbError) -> None:
        if isinstance(error, LockedError):
            self._stays[str(backup.path)] = "it is being read"
        else:
            self._stays[str(backup.path)] = "it cannot be removed"
            self._fail(backup.manifest.id, error)

    def _fail(self, backup_id: str | None, error: BackupdbError) -> None:
        names = self._subject.names
        self._outcome.failures.append({**names, "id": backup_id, "error": error.message, "code": error.code})
        facts = {name: names[name] for name in ("kind", "instance", "database")}
        self._note("retention", "failed", backup=backup_id, code=error.code, **facts)

    def _report(self, why: str) -> None:
        self._outcome.kept += self._plan.kept
        for entry in self._plan.removed:
            if entry["path"] in self._gone:
                self._outcome.removed.append(entry)
            else:
                facts = {name: value for name, value in entry.items() if name != "reason"}
                stays = self._stays.get(entry["path"], why)
                self._outcome.kept.append({**facts, "reasons": [f"{entry['reason']}, but {stays}"]})


def retire(
    repository: LocalRepository,
    selection: Selection,
    policy: Policy,
    check: bool = False,
    note: Note = note_nothing,
) -> Outcome:
    """Removes the sets of a selection that the policy does not keep or, with ``check``, says which those are.

    A selection names whole databases: what is kept depends on all sets of one. Leftovers of runs that were killed go
    first. Raises RepositoryError where the repository can't be read or written to, or has no set at all: what held sets
    before may not be mounted.
    """
    repository.require_populated()
    subjects = _subjects(repository, selection)
    if not check:
        repository.prepare()
    outcome = Outcome()
    for subject in subjects:
        _Retirement(repository, subject, policy, outcome, note).run(check)
    return outcome
