# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backs up the databases of an instance: decide first, act second, one database's failure never stops the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ..audit import Note, note_nothing
from ..config import Instance, select_names
from ..engines.base import Database, Engine, Inventory, Server, Snapshot
from ..engines.registry import open_engine
from ..errors import BackupdbError, NoSpaceError, NotFoundError, as_ours
from ..repository.catalog import newest_first
from ..repository.local import BackupSet, LocalRepository
from ..repository.manifest import REGULAR
from ..security.keyring import Keyring
from .maker import Filled, SetMaker, Subject
from .parts import PartStore
from .words import duration_words, size_words

EXPECTED_RATIO = 4
"""Without an earlier set to go by, a database is expected to shrink to a quarter of its size on the server."""


@dataclass(frozen=True)
class Wanted:
    """What a run is asked to do.

    Sets are stored under ``host``. Without ``databases`` the instance says which; ``exclude`` leaves out more than the
    instance does. Without ``max_age`` every database is due.
    """

    host: str
    method: str
    level: int
    databases: Sequence[str] | None = None
    exclude: Sequence[str] = ()
    max_age: timedelta | None = None
    jobs: int = 1
    verify: bool = False


@dataclass
class Outcome:
    """What was done, as modules return it: an entry a database that is due in ``planned`` and in ``backups`` or
    ``failures``, or else one in ``not_due``. A failure without a database is one of the whole instance."""

    planned: list[dict[str, Any]] = field(default_factory=list)
    backups: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    not_due: list[dict[str, Any]] = field(default_factory=list)
    free_bytes: int = 0

    def fail(self, instance: str, database: str | None, error: BackupdbError) -> None:
        self.failures.append({"instance": instance, "database": database, "error": error.message, "code": error.code})


def _utc_now() -> datetime:
    return datetime.now(UTC)


def newest_regular(sets: Iterable[BackupSet]) -> BackupSet | None:
    """The first of sets, given newest first, that is no safety backup."""
    return next((backup for backup in sets if not backup.manifest.is_safety_backup), None)


def due(newest: BackupSet | None, max_age: timedelta | None, now: datetime) -> tuple[bool, str]:
    """Whether a database is due for a backup, and why, in words."""
    if newest is None:
        return True, "no backup yet"
    if max_age is None:
        return True, "asked for"
    age = now - newest.manifest.moment
    if age < timedelta(0):
        return True, f"newest is {duration_words(-age)} in the future, the clock was set back"
    sentence = f"newest is {duration_words(age)} old, max_age is {duration_words(max_age)}"
    return age >= max_age, sentence


class BackupRun:
    """One run over one instance."""

    def __init__(
        self,
        engine: Engine,
        repository: LocalRepository,
        keyring: Keyring | None,
        wanted: Wanted,
        note: Note = note_nothing,
    ) -> None:
        self._engine = engine
        self._instance: Instance = engine.instance
        self._repository = repository
        self._keyring = keyring
        self._wanted = wanted
        self._note = note

    def run(self, outcome: Outcome, check: bool = False) -> None:
        """Backs up what is due or, with ``check``, says what it would do. Raises where nothing at all can be done."""
        instance, wanted = self._instance, self._wanted
        server = self._engine.server()
        databases = {database.name: database for database in self._engine.databases(count_tables=False)}
        include = instance.databases if wanted.databases is None else wanted.databases
        chosen = select_names(databases, include, [*instance.exclude, *wanted.exclude])
        for pattern in chosen.unmatched:
            known = ", ".join(sorted(databases)) or "no database"
            missing = NotFoundError(f"'{pattern}' matches no database of instance {instance.id} (it has {known}).")
            outcome.fail(instance.id, pattern, missing)
        if not check:
            self._repository.prepare()
        outcome.free_bytes = self._repository.free_bytes()
        for name in chosen.names:
            is_due, reason = due(newest_regular(self._sets(name)), wanted.max_age, _utc_now())
            entry = {"instance": instance.id, "database": name, "reason": reason}
            if not is_due:
                outcome.not_due.append(entry)
                continue
            outcome.planned.append({**entry, "size_bytes": databases[name].size_bytes})
            if not check:
                self._attempt(server, databases[name], reason, outcome)

    def _attempt(self, server: Server, database: Database, reason: str, outcome: Outcome) -> None:
        try:
            with self._repository.lock(self._wanted.host, self._instance.id, "database", database.name, "backup"):
                backup, warnings = self.take(server, database)
        except Exception as error:  # noqa: BLE001 - one database's failure never stops the others
            self._fail(database.name, as_ours(error), outcome)
        else:
            entry = {**backup.manifest.summary(), "path": str(backup.path), "reason": reason, "warnings": warnings}
            outcome.backups.append(entry)

    def _fail(self, database: str, error: BackupdbError, outcome: Outcome) -> None:
        outcome.fail(self._instance.id, database, error)
        self._note("backup", "failed", instance=self._instance.id, database=database, code=error.code)

    def _sets(self, database: str) -> Iterator[BackupSet]:
        """The sets of a database, newest first, read as they are asked for."""
        return newest_first(self._repository, self._wanted.host, self._instance.id, "database", database)

    def _check_space(self, database: Database, newest: BackupSet | None) -> None:
        expected = newest.manifest.stored_bytes if newest else database.size_bytes // EXPECTED_RATIO
        free = self._repository.free_bytes()
        if expected > free:
            raise NoSpaceError(
                f"The repository {self._repository.root} has {size_words(free)} free, and the backup of "
                f"{database.name} is expected to take {size_words(expected)}. Free room, then run again."
            )

    def take(self, server: Server, database: Database, purpose: str = REGULAR) -> tuple[BackupSet, list[str]]:
        """Takes one backup of one database and publishes it; returns it with warnings for people.

        The caller holds the database's lock in the repository.
        """
        wanted = self._wanted
        sets = list(self._sets(database.name))
        self._check_space(database, newest_regular(sets))
        warnings: list[str] = []

        def fill(store: PartStore) -> Filled:
            with self._engine.snapshot(database.name, wanted.jobs) as snapshot:
                records = store.store(snapshot.parts, wanted.jobs)
                inventory = snapshot.inventory()
            records.append(store.store_inventory(len(records), inventory))
            warnings.extend(inventory.warnings)
            return Filled(records, self._facts(server, snapshot, inventory))

        maker = SetMaker(self._repository, self._keyring, wanted.method, wanted.level, wanted.verify, self._note)
        subject = Subject("database", wanted.host, self._instance.id, database.name)
        return maker.make(subject, sets, fill, purpose), warnings

    def _facts(self, server: Server, snapshot: Snapshot, inventory: Inventory) -> dict[str, Any]:
        return {
            "engine": self._engine.name,
            "flavour": server.flavour,
            "server_version": server.version,
            "tool": snapshot.tool,
            "tool_version": snapshot.tool_version,
            "snapshot": snapshot.position,
            "tables": len(inventory.tables),
            "rows": inventory.rows,
            "views": inventory.views,
            "routines": inventory.routines,
            "triggers": inventory.triggers,
            "events": inventory.events,
            "schema_sha256": inventory.schema_sha256,
        }


def back_up_instances(
    instances: Iterable[Instance],
    repository: LocalRepository,
    keyring: Keyring | None,
    wanted: Wanted,
    check: bool = False,
    login: Callable[[Instance], Instance] = lambda instance: instance,
    note: Note = note_nothing,
) -> Outcome:
    """Backs up what is due of every instance; an instance that can't be reached does not stop the others.

    ``login`` gives an instance its user name and password.
    """
    outcome = Outcome()
    for instance in instances:
        try:
            with closing(open_engine(login(instance))) as engine:
                BackupRun(engine, repository, keyring, wanted, note).run(outcome, check)
        except Exception as error:  # noqa: BLE001 - one instance's failure never stops the others
            failure = as_ours(error)
            outcome.fail(instance.id, None, failure)
            note("backup", "failed", instance=instance.id, code=failure.code)
    return outcome
