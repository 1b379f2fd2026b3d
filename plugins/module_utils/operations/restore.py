# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a database back from a backup set: choose, prove, restore, compare."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from ..audit import Note, note_nothing
from ..engines.base import Engine, RestoreRequest
from ..errors import (
    BackupdbError,
    InvalidConfigError,
    RowCountMismatchError,
    SealMissingError,
    TargetExistsError,
)
from ..repository.catalog import Selection, choose
from ..repository.local import BackupSet, LocalRepository
from ..repository.manifest import SAFETY
from ..repository.removal import reading
from ..security.keyring import load_keyring
from .backup import BackupRun, Wanted
from .parts import open_set


@dataclass(frozen=True)
class RestoreWanted:
    """What is to be brought back.

    ``host`` is where a safety backup of the target is stored. With ``sealed_only``, a set that is not sealed is
    refused: whoever can write to the repository could have put it there.
    """

    backup: str
    selection: Selection
    host: str
    target_database: str | None = None
    replace: bool = False
    tables: Sequence[str] | None = None
    jobs: int = 1
    owner: str | None = None
    sealed_only: bool = True


@dataclass
class RestorePlan:
    """What was chosen and proven, and what a restore will do."""

    backup: BackupSet
    instance: str
    request: RestoreRequest
    target_exists: bool
    warnings: list[str]

    @property
    def summary(self) -> dict[str, Any]:
        expected = self.request.expected_tables
        return {
            "database": self.request.database,
            "instance": self.instance,
            "tables": len(expected),
            "rows": sum(table.rows for table in expected),
        }

    @property
    def diff(self) -> dict[str, str]:
        before = "there" if self.target_exists else "absent"
        after = f"{self.summary['tables']} tables, {self.summary['rows']} rows of {self.backup.manifest.id}"
        name = f"{self.request.database} of {self.instance}"
        return {"before": f"{name}: {before}\n", "after": f"{name}: {after}\n"}


class RestoreRun:
    """One restore into one instance."""

    def __init__(
        self,
        engine: Engine,
        repository: LocalRepository,
        keyring_path: str,
        wanted: RestoreWanted,
        note: Note = note_nothing,
    ) -> None:
        self._engine = engine
        self._repository = repository
        self._keyring_path = keyring_path
        self._wanted = wanted
        self._note = note

    def plan(self) -> RestorePlan:
        """Chooses the set, proves every byte of it, and checks the target; touches nothing."""
        wanted = self._wanted
        backup = choose(self._repository, wanted.backup, wanted.selection)
        if backup.manifest.engine != self._engine.name:
            raise InvalidConfigError(
                f"Backup {backup.manifest.id} is of engine {backup.manifest.engine}, and instance "
                f"{self._engine.instance.id} is of engine {self._engine.name}. Name a target of the same engine."
            )
        if wanted.sealed_only and backup.manifest.encryption is None:
            raise SealMissingError(
                f"Backup {backup.manifest.id} is not sealed, so anybody who can write to {self._repository.root} could "
                "have made it. If you trust it, restore it with encrypt: false."
            )
        source = open_set(self._repository, backup, self._keyring_path)
        source.check_stored_bytes()
        request = RestoreRequest(
            source=source,
            database=wanted.target_database or backup.manifest.database,
            tables=tuple(wanted.tables) if wanted.tables else None,
            replace=wanted.replace,
            jobs=wanted.jobs,
            owner=wanted.owner,
        )
        exists = self._engine.exists(request.database)
        if exists and not wanted.replace:
            self._refuse_existing(request)
        return RestorePlan(backup, self._engine.instance.id, request, exists, self._engine.check_restore(request))

    def _refuse_existing(self, request: RestoreRequest) -> None:
        """Existing tables are the engine's to refuse: it knows which ones belong to those that were asked for."""
        if request.tables is None:
            raise TargetExistsError(
                f"Database {request.database} of instance {self._engine.instance.id} exists. "
                "Restore under another name with target_database, or replace it with existing: replace."
            )

    def run(self, plan: RestorePlan) -> dict[str, Any]:
        """Carries a plan out; returns what modules return as ``restored``.

        Raises the engine's error; where the old database could not be left as it was, the sentence names the safety
        backup that was taken before.
        """
        instance = self._engine.instance.id
        facts = {
            "backup": plan.backup.manifest.id,
            "instance": instance,
            "database": plan.request.database,
            "replace": plan.target_exists and plan.request.replace,
            "keys": plan.backup.manifest.key_ids,
        }
        with self._locked(plan), reading(plan.backup):
            self._note("restore", "started", **facts)
            done = self._restore(plan)
            self._note("restore", "ok", **facts, rows=done["rows"], safety_backup=done["safety_backup"])
            return done

    def _locked(self, plan: RestorePlan) -> AbstractContextManager[None]:
        """The lock of the database; none where the repository can't be written to, and nothing has to be."""
        if self._repository.is_read_only and not self._needs_safety_backup(plan):
            return nullcontext()
        return self._repository.lock(
            self._wanted.host, self._engine.instance.id, "database", plan.request.database, "restore"
        )

    def _needs_safety_backup(self, plan: RestorePlan) -> bool:
        return plan.target_exists and plan.request.replace and not self._engine.replaces_atomically

    def _restore(self, plan: RestorePlan) -> dict[str, Any]:
        started = time.monotonic()
        safety = self._safety_backup(plan)
        try:
            restored = self._engine.restore(plan.request)
        except BackupdbError as error:
            failure = (
                error
                if safety is None
                else type(error)(
                    f"{error.message} The database as it was before is safe in backup {safety.manifest.id}; "
                    f"bring it back with: backup={safety.manifest.id} existing=replace."
                )
            )
            failure.result = {
                "restored": {
                    "database": plan.request.database,
                    "row_count_matches": False if isinstance(error, RowCountMismatchError) else None,
                    "safety_backup": safety.manifest.id if safety else None,
                }
            }
            raise failure from None
        return {
            "database": plan.request.database,
            "instance": self._engine.instance.id,
            "tables": len(restored.tables),
            "rows": sum(table.rows for table in restored.tables),
            "row_count_matches": True,
            "duration_seconds": round(time.monotonic() - started, 3),
            "safety_backup": safety.manifest.id if safety else None,
            "warnings": plan.warnings + restored.warnings,
        }

    def _safety_backup(self, plan: RestorePlan) -> BackupSet | None:
        if not self._needs_safety_backup(plan):
            return None
        name = plan.request.database
        found = self._engine.databases([name], count_tables=False)
        if not found:
            raise InvalidConfigError(f"{name} is a system database; restore under another name with target_database.")
        compression = plan.backup.manifest.compression
        wanted = Wanted(
            host=self._wanted.host,
            method=str(compression["method"]),
            level=int(compression["level"]),
            jobs=plan.request.jobs,
        )
        self._repository.prepare()
        keyring = load_keyring(self._keyring_path) if plan.backup.manifest.encryption else None
        run = BackupRun(self._engine, self._repository, keyring, wanted, self._note)
        return run.take(self._engine.server(), found[0], SAFETY)[0]
