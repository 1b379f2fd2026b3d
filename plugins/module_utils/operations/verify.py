# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verifies backup sets: decides which are due, proves them in parallel, and records what was found beside each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Lock
from typing import Any

from .. import stopping
from ..audit import Note, note_nothing
from ..config import Instance
from ..engines.base import Restored
from ..engines.registry import engine_class
from ..errors import (
    BackupdbError,
    ChecksumMismatchError,
    ContentInvalidError,
    DatabaseCorruptError,
    InvalidConfigError,
    ManifestInvalidError,
    NotFoundError,
    QueryFailedError,
    RecordInvalidError,
    RowCountMismatchError,
    SealBrokenError,
    ToolFailedError,
    UnexpectedFileError,
    as_ours,
)
from ..repository.catalog import LATEST, Selection, choose, find, latest_first
from ..repository.check import strays
from ..repository.local import BackupSet, LocalRepository
from ..repository.manifest import PartRecord, format_time, parse_time
from ..repository.records import DECRYPT, LEVELS, RESTORE, SetRecord, Verification, change_record, read_record
from .proof import Proof
from .rehearsal import rehearse
from .users_set import KIND as USERS
from .words import duration_words, size_words

ALL = "all"
OF_THE_SET: tuple[type[BackupdbError], ...] = (
    ManifestInvalidError,
    ChecksumMismatchError,
    UnexpectedFileError,
    SealBrokenError,
    ContentInvalidError,
    ToolFailedError,
    QueryFailedError,
    DatabaseCorruptError,
    RowCountMismatchError,
)
"""Failures that say something about the set. Others, such as a missing key or a server that is down, are reported and
not recorded: a good set stays a good one."""


def _no_instance(instance_id: str) -> Instance:
    raise InvalidConfigError(f"There is no instance {instance_id} to restore to. Name one with the option target.")


@dataclass(frozen=True)
class VerifyWanted:
    """What a run is asked to do.

    ``backup`` is the id of a set, ``latest`` for the newest of every database, or ``all``. With ``max_age``, sets whose
    last success at the level is younger are not due. The limits end a run early; it begins with what was verified
    longest ago, so the next run goes on where this one stopped. Restores go to ``target`` or, without it, to the
    instance that ``instance_of`` gives for the id of the set's; SQLite needs neither.
    """

    selection: Selection
    level: str
    backup: str = ALL
    max_age: timedelta | None = None
    limit_bytes: int | None = None
    limit_seconds: float | None = None
    jobs: int = 1
    keep_going: bool = True
    orphans: bool = True
    owner: str | None = None
    target: Instance | None = None
    instance_of: Callable[[str], Instance] = _no_instance


@dataclass
class VerifyOutcome:
    """What was done, as the module returns it: an entry a set that is due in ``planned`` and in ``verified`` or
    ``failures``, or else one in ``not_due``. Sets that can't even be read are in ``failures`` alone."""

    planned: list[dict[str, Any]] = field(default_factory=list)
    verified: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    not_due: list[dict[str, Any]] = field(default_factory=list)
    strays: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Candidate:
    backup: BackupSet
    level: str
    reason: str
    last_attempt: str

    @property
    def entry(self) -> dict[str, Any]:
        return {
            **subject_of(self.backup),
            "level": self.level,
            "reason": self.reason,
            "stored_bytes": self.backup.manifest.stored_bytes,
        }


def subject_of(backup: BackupSet) -> dict[str, Any]:
    """Which set it is, for the lists that modules return."""
    manifest = backup.manifest
    return {
        "id": manifest.id,
        "kind": manifest.kind,
        "host": manifest.host,
        "instance": manifest.instance,
        "database": manifest.database,
        "path": str(backup.path),
    }


def level_for(backup: BackupSet, level: str) -> str:
    """The level at which a set can be verified: accounts can't be restored to the side."""
    return DECRYPT if backup.manifest.kind == USERS and level == RESTORE else level


def due(record: SetRecord, level: str, max_age: timedelta | None, now: datetime) -> tuple[bool, str]:
    """Whether a set is due for a verification, and why, in words."""
    last, proven = record.last_verification, record.proven(level)
    if max_age is None:
        return True, "asked for"
    if last is not None and not last.ok:
        return True, f"the last verification failed: {last.code}"
    if proven is None:
        return True, f"not verified at level {level} yet"
    age = now - parse_time(proven.finished)
    if age < timedelta(0):
        return True, f"the last verification is {duration_words(-age)} in the future, the clock was set back"
    return age >= max_age, f"last verified {duration_words(age)} ago, max_age is {duration_words(max_age)}"


def _last_attempt(record: SetRecord, level: str) -> str:
    """When it was last tried to prove a set at a level; empty for never."""
    least = LEVELS.index(level)
    tried = (item.finished for item in record.verifications if not item.ok or LEVELS.index(item.level) >= least)
    return next(tried, "")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class VerifyRun:
    """One run over one repository."""

    def __init__(
        self,
        repository: LocalRepository,
        keyring_path: str,
        wanted: VerifyWanted,
        note: Note = note_nothing,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._repository = repository
        self._keyring_path = keyring_path
        self._wanted = wanted
        self._note = note
        self._now = now
        self._lock = Lock()
        self._one_restore = Lock()
        self._outcome = VerifyOutcome()

    def run(self, check: bool = False) -> VerifyOutcome:
        """Verifies what is due or, with ``check``, says what it would verify.

        Raises RepositoryError, RepositoryEmptyError, NotFoundError where nothing is there that could be verified.
        """
        self._repository.require_populated()
        chosen = self._chosen()
        self._outcome.planned = [candidate.entry for candidate in chosen]
        if self._wanted.orphans:
            selection = self._wanted.selection
            found = strays(self._repository, selection.host, selection.instance)
            self._outcome.strays = [stray.to_json() for stray in found]
        if not check:
            self._work_off(self._tasks(chosen))
        return self._outcome

    def _backups(self) -> list[BackupSet]:
        """The sets that are asked for, newest first. Where one can't be read, that is a failure."""
        wanted = self._wanted
        if wanted.backup not in (ALL, LATEST):
            return [choose(self._repository, wanted.backup, wanted.selection)]
        found = find(self._repository, wanted.selection)
        for path, error in found.broken:
            unread = {"id": path.name, "kind": None, "host": None, "instance": None, "database": None}
            self._outcome.failures.append({**unread, "path": str(path), "error": error.message, "code": error.code})
            self._note("verify", "failed", backup=path.name, code=error.code)
        if not found.backups and not found.broken:
            raise NotFoundError(
                f"There is no backup of {wanted.selection} in {self._repository.root}. List them with backup_info."
            )
        if wanted.backup == ALL:
            return found.backups
        newest: dict[tuple[str, ...], BackupSet] = {}
        for backup in latest_first(found.backups):
            manifest = backup.manifest
            if not manifest.is_safety_backup:
                newest.setdefault((manifest.host, manifest.instance, manifest.kind, manifest.database), backup)
        return list(newest.values())

    def _chosen(self) -> list[_Candidate]:
        """What is due, in the order in which it is verified, as far as ``limit_bytes`` allows."""
        candidates = []
        for backup in self._backups():
            level = level_for(backup, self._wanted.level)
            try:
                record = read_record(backup)
            except RecordInvalidError:  # which is told when this one is recorded
                record = SetRecord()
            is_due, reason = due(record, level, self._wanted.max_age, self._now())
            if is_due:
                candidates.append(_Candidate(backup, level, reason, _last_attempt(record, level)))
            else:
                self._leave_out(backup, reason)
        candidates.sort(key=lambda candidate: candidate.last_attempt)
        return self._within_limit(candidates)

    def _within_limit(self, candidates: list[_Candidate]) -> list[_Candidate]:
        """The first candidates that together keep the limit; the very first one even if it does not keep it."""
        limit, total = self._wanted.limit_bytes, 0
        for number, candidate in enumerate(candidates):
            total += candidate.backup.manifest.stored_bytes
            if limit is not None and total > limit and number:
                for late in candidates[number:]:
                    self._leave_out(late.backup, f"limit_bytes ({size_words(limit)}) leaves it to the next run")
                return candidates[:number]
        return candidates

    def _leave_out(self, backup: BackupSet, reason: str) -> None:
        self._outcome.not_due.append({**subject_of(backup), "reason": reason})

    def _work_off(self, tasks: Iterator[Callable[[], None]]) -> None:
        """Runs tasks, ``jobs`` at a time, each taken only when somebody is free for it."""

        def work() -> None:
            while True:
                with self._lock:
                    task = next(tasks, None)
                if task is None:
                    return
                task()

        with ThreadPoolExecutor(max(1, self._wanted.jobs)) as pool:
            for worker in [pool.submit(work) for _job in range(max(1, self._wanted.jobs))]:
                worker.result()

    def _tasks(self, chosen: list[_Candidate]) -> Iterator[Callable[[], None]]:
        """One task a part, set by set. Taken under the lock; whoever does the last task of a set ends it."""
        limit, started = self._wanted.limit_seconds, time.monotonic()
        for number, candidate in enumerate(chosen):
            reason = None
            if stopping.reason():
                reason = "the work was ended"
            elif self._outcome.failures and not self._wanted.keep_going:
                reason = "another one failed, and keep_going is false"
            elif number and limit is not None and time.monotonic() - started >= limit:
                reason = f"limit_seconds ({limit:g}) leaves it to the next run"
            if reason:
                for late in chosen[number:]:
                    self._leave_out(late.backup, reason)
                return
            work = _Work(self, candidate)
            yield from work.tasks()

    def end(self, work: _Work) -> None:
        """Records and tells how the verification of a set went."""
        candidate, backup = work.candidate, work.proof.backup
        manifest = backup.manifest
        error, restored = work.error, None
        if error is None and candidate.level == RESTORE:
            try:
                restored = self._restore(work)
            except Exception as problem:  # noqa: BLE001 - one set's failure never stops the others
                error = as_ours(problem)
        error = stopping.reason() or error  # what was cut off has other words for it
        if not backup.path.exists():
            with self._lock:
                self._leave_out(backup, "it was removed meanwhile")
            return
        verification = Verification(
            level=candidate.level,
            finished=format_time(self._now()),
            ok=error is None,
            stored_bytes=manifest.stored_bytes,
            duration_seconds=round(time.monotonic() - work.started, 3),
            code=error.code if error else None,
            error=error.message if error else None,
        )
        if error is None or isinstance(error, OF_THE_SET):
            try:
                change_record(self._repository, backup, lambda record: record.with_verification(verification))
            except Exception as problem:  # noqa: BLE001 - as above
                error = error or as_ours(problem)
        self._tell(work, verification, error, restored)

    def _tell(
        self, work: _Work, verification: Verification, error: BackupdbError | None, restored: Restored | None
    ) -> None:
        backup = work.proof.backup
        with self._lock:
            if error is not None:
                entry = {**subject_of(backup), "error": error.message, "code": error.code}
                self._outcome.failures.append(entry)
            else:
                facts: Mapping[str, Any] = {
                    "level": verification.level,
                    "finished": verification.finished,
                    "duration_seconds": verification.duration_seconds,
                    "stored_bytes": verification.stored_bytes,
                    "seal_checked": work.proof.opened is not None and work.proof.opened.sealed,
                    "rows": None if restored is None else sum(table.rows for table in restored.tables),
                    "warnings": [] if restored is None else restored.warnings,
                }
                self._outcome.verified.append({**subject_of(backup), **facts})
            self._note(
                "verify",
                "failed" if error else "ok",
                backup=backup.manifest.id,
                kind=backup.manifest.kind,
                instance=backup.manifest.instance,
                database=backup.manifest.database,
                level=verification.level,
                **({"code": error.code} if error else {}),
            )

    def _restore(self, work: _Work) -> Restored:
        """One restore at a time: each uses as many jobs as there are."""
        source, manifest = work.proof.opened, work.proof.backup.manifest
        if source is None:
            raise AssertionError("a proof of this level does not begin without a key")
        with self._one_restore:
            instance = self._wanted.target or engine_class(manifest.engine).scratch_instance(manifest.raw_bytes)
            if instance is None:
                instance = self._wanted.instance_of(manifest.instance)
            return rehearse(source, manifest.id, instance, self._wanted.jobs, self._wanted.owner)

    def proof_of(self, candidate: _Candidate) -> Proof:
        return Proof(self._repository, candidate.backup, candidate.level, self._keyring_path)


class _Work:
    """The verification of one set, as tasks that may run at the same time."""

    def __init__(self, run: VerifyRun, candidate: _Candidate) -> None:
        self.candidate = candidate
        self.proof = run.proof_of(candidate)
        self.error: BackupdbError | None = None
        self.started = time.monotonic()
        self._run = run
        self._lock = Lock()
        self._left = 0

    def tasks(self) -> Iterator[Callable[[], None]]:
        parts: tuple[PartRecord, ...] = ()
        try:
            parts = self.proof.begin()
        except Exception as error:  # noqa: BLE001 - one set's failure never stops the others
            self.error = as_ours(error)
        self._left = len(parts)
        for record in parts:
            yield partial(self._prove, record)
        if not parts:
            yield partial(self._run.end, self)

    def _prove(self, record: PartRecord) -> None:
        error = None
        if self.error is None:
            try:
                self.proof.prove_part(record)
            except Exception as problem:  # noqa: BLE001 - as above
                error = as_ours(problem)
        with self._lock:
            self.error = self.error or error
            self._left -= 1
            is_last = self._left == 0
        if is_last:
            self._run.end(self)
