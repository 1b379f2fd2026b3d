# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies the backup sets of a host to a repository on another host: whatever that does not have yet."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from ..audit import Note, note_nothing
from ..errors import (
    BackupdbError,
    ConnectionFailedError,
    ManifestInvalidError,
    PermissionDeniedError,
    RecordInvalidError,
    RepositoryError,
    as_ours,
)
from ..limit import TimeLimit
from ..repository import layout
from ..repository.catalog import Found, Selection, find
from ..repository.local import BackupSet, LocalRepository, file_sha256, translated_os_errors
from ..repository.lock import exclusive
from ..repository.manifest import format_time, manifest_in, only_rewrapped
from ..repository.records import Copy, change_record, read_record
from ..repository.removal import reading
from ..repository.sftp import SftpRepository
from ..repository.ssh import Destination, connected

MISSING = "it is not there yet"
OTHER_MANIFEST = "its manifest there may be an older one"


@dataclass
class Outcome:
    """What was done, as modules return it: every set that is due is in ``planned``, and in ``copied`` or ``failures``.
    ``settled`` is the number of the others."""

    planned: list[dict[str, Any]] = field(default_factory=list)
    copied: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    settled: int = 0


@dataclass(frozen=True)
class _Candidate:
    """A set that is here, its place below the root of either repository, and the SHA-256 of its manifest; ``copy`` is
    what is noted of an earlier copy."""

    backup: BackupSet
    place: PurePosixPath
    manifest: str
    copy: Copy | None

    @property
    def is_settled(self) -> bool:
        return self.copy is not None and self.copy.manifest == self.manifest

    @property
    def subject(self) -> PurePosixPath:
        return self.place.parent.parent

    def entry(self) -> dict[str, Any]:
        manifest = self.backup.manifest
        return {
            "id": manifest.id,
            "kind": manifest.kind,
            "instance": manifest.instance,
            "database": manifest.database,
            "stored_bytes": manifest.stored_bytes,
        }


def _candidate(repository: LocalRepository, backup: BackupSet, to: str) -> _Candidate:
    try:
        copy = read_record(backup).copy_in(to)
    except RecordInvalidError:  # told when the copy is to be noted
        copy = None
    place = PurePosixPath(repository.place_of(backup.manifest).relative_to(repository.root))
    return _Candidate(backup, place, file_sha256(backup.path / layout.MANIFEST), copy)


def why_due(candidate: _Candidate, there: Mapping[PurePosixPath, set[str]], newest: str) -> str | None:
    """Why a set is to be copied, in words, or None.

    ``there`` has the names of the sets of some days, ``newest`` is the last day of which the far side has a set of this
    subject. A set that was copied and is gone while there is one as new was retired there, and is not sent again; where
    all are gone, the copies were lost, and are.
    """
    retired = candidate.copy is not None and newest >= candidate.place.parent.name
    if candidate.is_settled and retired:
        return None
    if candidate.place.name in there.get(candidate.place.parent, ()):
        return OTHER_MANIFEST
    return None if retired else MISSING


def _due(far: SftpRepository, candidates: Sequence[_Candidate]) -> list[tuple[_Candidate, str]]:
    """The sets to be copied, each with why. Asks for the days of each database, and for the sets of few days only."""
    listed = far.names(sorted({candidate.subject for candidate in candidates}))
    days = {subject: set(filter(layout.DATE.fullmatch, names)) for subject, names in listed.items()}
    wanted = {subject / max(names) for subject, names in days.items() if names}
    wanted |= {
        item.place.parent for item in candidates if not item.is_settled and item.place.parent.name in days[item.subject]
    }
    there = far.names(sorted(wanted))
    newest = {
        subject: max((day.name for day in wanted if day.parent == subject and there[day]), default="")
        for subject in days
    }
    reasons = ((candidate, why_due(candidate, there, newest[candidate.subject])) for candidate in candidates)
    return [(candidate, reason) for candidate, reason in reasons if reason]


class _Copying:
    """One run."""

    def __init__(
        self,
        repository: LocalRepository,
        far: SftpRepository,
        to: Destination,
        limit: TimeLimit | None,
        outcome: Outcome,
        note: Note,
    ) -> None:
        self._limit = limit
        self._repository = repository
        self._far = far
        self._to = to
        self._outcome = outcome
        self._note = note

    def run(self, due: Sequence[tuple[_Candidate, str]]) -> None:
        """Copies set by set; one's failure does not stop the others, but for that of the connection."""
        with suppress(RepositoryError, PermissionDeniedError):  # they do no harm
            self._far.remove_leftovers(candidate.place for candidate, _reason in due)
        unforgotten = self._forget_lost(candidate for candidate, reason in due if reason == MISSING)
        failure: BackupdbError | None = None
        for candidate, reason in due:
            if not isinstance(failure, ConnectionFailedError):
                failure = unforgotten.get(candidate.subject) or self._attempt(candidate, reason)
            if failure and self._limit and self._limit.is_over:  # what was cut off has other words for it
                self._fail(candidate, self._limit.error(f"backup {candidate.backup.manifest.id} was copied"))
            elif failure:
                self._fail(candidate, failure)

    def _forget_lost(self, missing: Iterable[_Candidate]) -> dict[PurePosixPath, BackupdbError]:
        """Takes the notes of copies that were lost away, before any is sent: beside the first that is there again, the
        others would look retired to the next run. Returns the subjects of which nothing may be sent, as a note stays,
        and why."""
        failures: dict[PurePosixPath, BackupdbError] = {}
        for candidate in missing:
            if candidate.copy is not None:
                try:
                    change_record(self._repository, candidate.backup, lambda record: record.without_copy(str(self._to)))
                except BackupdbError as error:
                    failures[candidate.subject] = error
        return failures

    def _attempt(self, candidate: _Candidate, reason: str) -> BackupdbError | None:
        try:
            self._copy(candidate, reason)
        except Exception as error:  # noqa: BLE001 - one set's failure does not stop the others
            return as_ours(error)
        return None

    def _copy(self, candidate: _Candidate, reason: str) -> None:
        backup, clock = candidate.backup, time.monotonic()
        with translated_os_errors(self._repository.root), reading(backup):
            if reason == MISSING:
                self._far.send(backup, candidate.place)
            else:
                self._send_rotated(candidate)
            copy = Copy(str(self._to), format_time(datetime.now(UTC)), candidate.manifest)
            change_record(self._repository, backup, lambda record: record.with_copy(copy))
        facts = {"duration_seconds": round(time.monotonic() - clock, 3), "path": f"{self._to.folder}/{candidate.place}"}
        self._outcome.copied.append({**candidate.entry(), "reason": reason, **facts})
        self._tell(candidate, "ok", stored_bytes=backup.manifest.stored_bytes)

    def _send_rotated(self, candidate: _Candidate) -> None:
        """Sends the manifest of a set that is there, where a rotation of keys has changed the one here.

        Raises ManifestInvalidError where anything else did: the one there may be the only good one.
        """
        path = candidate.backup.path / layout.MANIFEST
        content = path.read_bytes()
        here = manifest_in(content, path)
        try:
            there = self._far.read_manifest(candidate.place)
        except ManifestInvalidError:
            raise self._differing(candidate) from None
        if here == there:
            return
        if not only_rewrapped(there, here):
            raise self._differing(candidate)
        self._far.send_manifest(content, candidate.place)

    def _differing(self, candidate: _Candidate) -> ManifestInvalidError:
        backup = candidate.backup
        return ManifestInvalidError(
            f"The manifests of backup {backup.manifest.id} in {backup.path} and in {self._to}/{candidate.place} differ "
            "by more than a rotation of keys, so one of them is damaged and none was copied. Verify both with the "
            "module verify and the level decrypt, and put the good one in the place of the other."
        )

    def _fail(self, candidate: _Candidate, error: BackupdbError) -> None:
        entry = {name: value for name, value in candidate.entry().items() if name != "stored_bytes"}
        self._outcome.failures.append({**entry, "error": error.message, "code": error.code})
        self._tell(candidate, "failed", code=error.code)

    def _tell(self, candidate: _Candidate, result: str, **facts: Any) -> None:
        manifest = candidate.backup.manifest
        self._note(
            "copy",
            result,
            backup=manifest.id,
            kind=manifest.kind,
            instance=manifest.instance,
            database=manifest.database,
            to=str(self._to),
            **facts,
        )


def _broken(path: Path, error: BackupdbError) -> dict[str, Any]:
    names = {"id": path.name, "kind": None, "instance": None, "database": None}
    return {**names, "error": error.message, "code": error.code}


def _candidates(repository: LocalRepository, found: Found, to: str) -> Iterator[_Candidate]:
    for backup in found.backups:
        with suppress(FileNotFoundError):  # it was retired meanwhile
            yield _candidate(repository, backup, to)


def replicate(
    repository: LocalRepository,
    host: str,
    to: Destination,
    check: bool = False,
    limit: TimeLimit | None = None,
    note: Note = note_nothing,
) -> Outcome:
    """Copies the sets of a host, newest first or, with ``check``, says which it would copy.

    Raises HostKeyUnknownError, AuthenticationFailedError or ConnectionFailedError where the other side cannot be
    reached, RepositoryError where its folder is missing, LockedError where another run copies the sets of the host,
    TimedOutError where the time is over before anything can be copied.
    """
    outcome = Outcome()
    found = find(repository, Selection(host)) if repository.root.exists() else Found()
    outcome.failures += [_broken(path, error) for path, error in found.broken]
    with limit.enforced() if limit else nullcontext(), ExitStack() as held:
        try:
            far = SftpRepository(held.enter_context(connected(to)), host)
            far.require()
            candidates = list(_candidates(repository, found, str(to)))
            due = _due(far, candidates)
        except BackupdbError:
            if limit and limit.is_over:
                raise limit.error(f"it was known what to copy to {to}") from None
            raise
        outcome.planned = [{**candidate.entry(), "reason": reason} for candidate, reason in due]
        outcome.settled = len(candidates) - len(due)
        if due and not check:
            folder = repository.root / layout.encode_element(host)
            with (
                translated_os_errors(repository.root),
                exclusive(folder / layout.COPYING, f"The copying of {folder}", "copying"),
            ):
                _Copying(repository, far, to, limit, outcome, note).run(due)
    return outcome
