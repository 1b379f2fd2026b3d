# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backs up the databases of an instance: decide first, act second, one database's failure never stops the others.

What makes sets is imported when something is due: most runs find nothing, and end sooner so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from .. import stopping
from ..audit import Note, note_nothing
from ..config import Instance, select_names
from ..engines.base import Database, Engine, Inventory, Server, Snapshot
from ..engines.registry import open_engine
from ..errors import BackupdbError, NoSpaceError, NotFoundError, RecordInvalidError, as_ours
from ..repository.catalog import newest_first
from ..repository.local import BackupSet, LocalRepository
from ..repository.manifest import REGULAR
from ..repository.records import read_record
from ..security.keyring import Keyring
from .words import duration_words, size_words

if TYPE_CHECKING:
    from ..limit import TimeLimit
    from ..priority import Pace
    from .maker import Filled
    from .parts import PartStore
    from .progress import Progress

EXPECTED_RATIO = 4
"""Without an earlier set to go by, a database is expected to shrink to a quarter of its size on the server."""
LARGE_DATABASE_BYTES = 64 << 20
"""A smaller database takes the simple path: one job, beside others."""


@dataclass(frozen=True)
class Wanted:
    """What a run is asked to do.

    Sets are stored under ``host``. Without ``databases`` the instance says which; ``exclude`` leaves out more than the
    instance does. Without ``max_age`` every database is due. ``pace`` and ``limit`` hold for all databases together;
    ``progress`` is told what is read.
    """

    host: str
    method: str
    level: int
    databases: Sequence[str] | None = None
    exclude: Sequence[str] = ()
    max_age: timedelta | None = None
    jobs: int = 1
    verify: bool = False
    pace: Pace | None = None
    progress: Progress | None = None
    limit: TimeLimit | None = None


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


def _damage(newest: BackupSet) -> str | None:
    """What a verification found wrong with the newest set, in words; nothing else is known of any."""
    with suppress(RecordInvalidError):
        last = read_record(newest).last_verification
        if last is not None and not last.ok:
            return f"newest, {newest.manifest.id}, failed its verification ({last.code})"
    return None


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
        names = self._engine.database_names()
        include = instance.databases if wanted.databases is None else wanted.databases
        chosen = select_names(names, include, [*instance.exclude, *wanted.exclude])
        for pattern in chosen.unmatched:
            known = ", ".join(names) or "no database"
            missing = NotFoundError(f"'{pattern}' matches no database of instance {instance.id} (it has {known}).")
            outcome.fail(instance.id, pattern, missing)
        if not check:
            self._repository.prepare()
        outcome.free_bytes = self._repository.free_bytes()
        reasons: dict[str, str] = {}
        for name in chosen.names:
            newest = newest_regular(self._sets(name))
            is_due, reason = due(newest, wanted.max_age, _utc_now())
            if newest and not is_due and (damage := _damage(newest)):
                is_due, reason = True, damage
            if is_due:
                reasons[name] = reason
            else:
                outcome.not_due.append({"instance": instance.id, "database": name, "reason": reason})
        databases = self._described(reasons)
        for database in databases:
            entry = {"instance": instance.id, "database": database.name, "reason": reasons[database.name]}
            outcome.planned.append({**entry, "size_bytes": database.size_bytes})
        if not check:
            self._back_up(server, databases, reasons, outcome)

    def _described(self, names: Collection[str]) -> list[Database]:
        """Databases with their sizes; one that went away meanwhile has none, and its backup will say so."""
        found = {item.name: item for item in self._engine.databases(names, count_tables=False)} if names else {}
        return [found.get(name) or Database(name, size_bytes=0, tables=0) for name in names]

    def _back_up(
        self, server: Server, databases: Sequence[Database], reasons: Mapping[str, str], outcome: Outcome
    ) -> None:
        """The largest first. Large databases have all jobs to themselves; of small ones, which would not gain by that,
        as many are backed up at a time as there are jobs. What was done is told in the order of the names."""
        if self._wanted.progress:
            self._wanted.progress.plan({self._label(item.name): self._expected(item) for item in databases})
        jobs = self._wanted.jobs
        by_size = sorted(databases, key=lambda database: -database.size_bytes)
        small = [database for database in by_size if database.size_bytes < LARGE_DATABASE_BYTES]
        if jobs == 1 or len(small) == 1:
            small = []
        large = [database for database in by_size if database not in small]
        done = {database.name: self._attempt(server, database, jobs) for database in large}
        if small:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(jobs) as pool:
                done |= dict(
                    zip(
                        (database.name for database in small),
                        pool.map(lambda database: self._attempt(server, database, 1), small),
                        strict=True,
                    )
                )
        for name, reason in reasons.items():
            result = done[name]
            if isinstance(result, BackupdbError):
                outcome.fail(self._instance.id, name, result)
                continue
            backup, warnings = result
            entry = {**backup.manifest.summary(), "path": str(backup.path), "reason": reason, "warnings": warnings}
            outcome.backups.append(entry)

    def _attempt(self, server: Server, database: Database, jobs: int) -> tuple[BackupSet, list[str]] | BackupdbError:
        """One database's backup, or its failure, which never stops the others."""
        limit, then = self._wanted.limit, "begun"
        try:
            stopping.check()
            if limit:
                limit.sleep(0)
            then = "backed up"
            with self._repository.lock(self._wanted.host, self._instance.id, "database", database.name, "backup"):
                return self.take(server, database, jobs=jobs)
        except Exception as error:  # noqa: BLE001 - as above
            failure = stopping.reason() or as_ours(error)
            if limit and limit.is_over and not stopping.reason():  # what was cut off has other words for it
                failure = limit.error(f"database {database.name} of instance {self._instance.id} was {then}")
            self._note("backup", "failed", instance=self._instance.id, database=database.name, code=failure.code)
            return failure
        finally:
            if self._wanted.progress:
                self._wanted.progress.finish(self._label(database.name))

    def _expected(self, database: Database) -> int:
        """The plain bytes of a backup: as many as the newest had, or else what the database takes on the server."""
        newest = newest_regular(self._sets(database.name))
        return newest.manifest.raw_bytes if newest else database.size_bytes

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

    def take(
        self, server: Server, database: Database, purpose: str = REGULAR, jobs: int | None = None
    ) -> tuple[BackupSet, list[str]]:
        """Takes one backup of one database and publishes it; returns it with warnings for people.

        The caller holds the database's lock in the repository. Without ``jobs`` all of the run are this database's.
        """
        from .maker import Filled, SetMaker, Subject

        wanted = self._wanted
        jobs = jobs or wanted.jobs
        sets = list(self._sets(database.name))
        self._check_space(database, newest_regular(sets))
        warnings: list[str] = []

        def fill(store: PartStore) -> Filled:
            with self._engine.snapshot(database.name, jobs) as snapshot:
                records = store.store(snapshot.parts, jobs)
                inventory = snapshot.inventory()
            records.append(store.store_inventory(len(records), inventory))
            warnings.extend(inventory.warnings)
            return Filled(records, self._facts(server, snapshot, inventory))

        maker = SetMaker(
            self._repository,
            self._keyring,
            wanted.method,
            wanted.level,
            wanted.verify,
            self._note,
            lambda chunks: self._through(database.name, chunks),
            self._in_time,
        )
        subject = Subject("database", wanted.host, self._instance.id, database.name)
        return maker.make(subject, sets, fill, purpose), warnings

    def _through(self, database: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """What the bytes of a database pass on their way."""
        pace, progress, limit = self._wanted.pace, self._wanted.progress, self._wanted.limit
        chunks = self._in_time(pace.paced(chunks, limit.sleep if limit else time.sleep) if pace else chunks)
        return progress.counted(self._label(database), chunks) if progress else chunks

    def _in_time(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Bytes as long as there is time, and nobody stops the run."""
        limit = self._wanted.limit
        return stopping.watched(limit.checked(chunks) if limit else chunks)

    def _label(self, database: str) -> str:
        return f"{self._instance.id}/{database}"

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
    outcome, limit = Outcome(), wanted.limit
    with limit.enforced() if limit else nullcontext():
        for instance in instances:
            try:
                if limit:
                    limit.sleep(0)
                stopping.check()
                with closing(open_engine(login(instance))) as engine:
                    BackupRun(engine, repository, keyring, wanted, note).run(outcome, check)
            except Exception as error:  # noqa: BLE001 - one instance's failure never stops the others
                failure = stopping.reason() or as_ours(error)
                if limit and limit.is_over and not stopping.reason():
                    failure = limit.error(f"instance {instance.id} had its turn")
                outcome.fail(instance.id, None, failure)
                note("backup", "failed", instance=instance.id, code=failure.code)
    return outcome
