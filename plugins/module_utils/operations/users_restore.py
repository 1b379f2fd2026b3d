# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings accounts back: decide for each what is to be done, do it phase by phase, and go on after every failure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..audit import Note, note_nothing
from ..errors import BackupdbError, InvalidConfigError, NotFoundError, TargetExistsError, as_ours
from ..repository.catalog import Selection, choose
from ..repository.local import LocalRepository
from ..repository.manifest import SAFETY
from ..security.keyring import load_keyring
from ..streams import check_compression
from ..users.base import CREATE, DELEGATED, MEMBERSHIP, PRIVILEGE, Changes, Statement, UsersEngine
from ..users.model import Account, Accounts
from .maker import SetMaker
from .parts import open_set
from .users_backup import take_users
from .users_info import UsersSource, read_source
from .users_set import KIND, needed_labels, select_accounts

SKIP, FAIL, UPDATE = "skip", "fail", "update"


@dataclass
class AccountRestore:
    """One account of a restore: what is to be done, and what became of it.

    ``pending`` are the statements whose objects do not exist on the target yet; a later run applies them.
    """

    account: Account
    exists: bool
    differs: bool = False
    changes: Changes = field(default_factory=Changes)
    done: int = 0
    pending: list[Statement] = field(default_factory=list)
    error: BackupdbError | None = None

    def of_phase(self, phase: str) -> list[Statement]:
        return [statement for statement in self.changes.statements if statement.phase == phase]

    @property
    def result(self) -> str:
        """``failed``, ``left`` (it exists and is another one, or has no place there), ``created``, ``updated`` or
        ``unchanged``."""
        if self.error:
            return "failed"
        if self.differs:
            return "left"
        if not self.exists and not self.changes.statements:
            return "left"
        if not self.exists and self.of_phase(CREATE):  # PUBLIC is always there
            return "created"
        return "updated" if self.done else "unchanged"

    def to_json(self) -> dict[str, Any]:
        waiting = [f"{statement.shown} ({statement.needs or 'an object'} is missing)" for statement in self.pending]
        return {
            "account": self.account.label,
            "result": self.result,
            "statements": [statement.shown for statement in self.changes.statements],
            "pending": waiting,
            "lost": self.changes.lost,
            "error": self.error.message if self.error else None,
            "code": self.error.code if self.error else None,
        }


class UsersRestore:
    """One restore of accounts into one server."""

    def __init__(self, engine: UsersEngine, source: Accounts, existing: str, note: Note = note_nothing) -> None:
        self._engine = engine
        self._source = source
        self._existing = existing
        self._note = note

    def plan(self, accounts: Iterable[Account]) -> list[AccountRestore]:
        """What is to be done for each account; touches nothing.

        Raises TargetExistsError with ``existing: fail`` where accounts exist that are not what they were, naming all.
        """
        if self._source.engine != self._engine.name:
            raise InvalidConfigError(
                f"The accounts are of engine {self._source.engine}, and instance {self._engine.instance.id} is of "
                f"engine {self._engine.name}. Name a target of the same engine."
            )
        current = {account.label: account for account in self._engine.read().accounts}
        plans = [
            self._plan(account, current.get(self._engine.label_here(self._source, account)))
            for account in _roles_first(accounts)
        ]
        conflicts = [plan.account.label for plan in plans if plan.exists and plan.changes.statements]
        if self._existing == FAIL and conflicts:
            raise TargetExistsError(
                f"These accounts of instance {self._engine.instance.id} exist and are not as backed up: "
                f"{', '.join(conflicts)}. Leave them with existing: skip, or change them with existing: update."
            )
        return plans

    def _plan(self, account: Account, current: Account | None) -> AccountRestore:
        if current and self._existing == SKIP and not self._engine.same_identity(self._source, account, current):
            return AccountRestore(account, exists=True, differs=True)
        changes = self._engine.changes(self._source, account, current, revoke=self._existing != SKIP)
        return AccountRestore(account, exists=current is not None, changes=changes)

    def run(self, plans: Sequence[AccountRestore]) -> None:
        """Carries the plans out; each keeps what became of it."""
        for plan in plans:
            self._execute(plan, plan.of_phase(CREATE))
        made = [plan for plan in plans if not plan.error]
        self._in_any_order(made, MEMBERSHIP)
        for plan in plans:
            if not plan.error:
                self._grant(plan)
        self._in_any_order(made, DELEGATED)
        for plan in plans:
            if plan.done or plan.error:
                code = plan.error.code if plan.error else None
                result = "failed" if plan.error else "ok"
                instance = self._engine.instance.id
                self._note("users_restore", result, instance=instance, account=plan.account.label, code=code)

    def _execute(self, plan: AccountRestore, statements: Sequence[Statement]) -> None:
        """Runs statements of which none may fail."""
        if not statements:
            return
        try:
            self._engine.execute(statements)
            plan.done += len(statements)
        except Exception as error:  # noqa: BLE001 - one account's failure never stops the others
            plan.error = as_ours(error)

    def _in_any_order(self, plans: Sequence[AccountRestore], phase: str) -> None:
        """Gives roles, and what others than the owner grant. Who grants must have been given it before, so what is
        refused is tried again as long as anything succeeds."""
        waiting = [(plan, statement) for plan in plans for statement in plan.of_phase(phase)]
        progress = True
        while waiting and progress:
            refused = [item for item in waiting if self._refused(*item)]
            progress, waiting = len(refused) < len(waiting), refused
        for plan, statement in waiting:
            self._one(plan, statement)

    def _refused(self, plan: AccountRestore, statement: Statement) -> bool:
        try:
            self._engine.execute([statement])
        except BackupdbError:
            return True
        plan.done += 1
        return False

    def _grant(self, plan: AccountRestore) -> None:
        """Grants all at once where that is all or nothing; or else, or where anything is refused, one by one."""
        statements = plan.of_phase(PRIVILEGE)
        if self._engine.transactional and statements:
            try:
                self._engine.execute(statements)
            except BackupdbError:
                pass
            else:
                plan.done += len(statements)
                return
        for statement in statements:
            self._one(plan, statement)

    def _one(self, plan: AccountRestore, statement: Statement) -> None:
        try:
            self._engine.execute([statement])
            plan.done += 1
        except NotFoundError:
            plan.pending.append(statement)
        except Exception as error:  # noqa: BLE001 - the other statements are tried all the same
            plan.error = plan.error or as_ours(error)


def _roles_first(accounts: Iterable[Account]) -> list[Account]:
    """The accounts in an order in which every role stands before its members; within a cycle, as they come."""
    by_label = {account.label: account for account in accounts}
    by_name = {account.name: account.label for account in by_label.values()}
    ordered: dict[str, Account] = {}
    started: set[str] = set()

    def visit(label: str) -> None:
        if label in started:
            return
        started.add(label)
        for membership in by_label[label].memberships:
            role = membership.role if membership.role in by_label else by_name.get(membership.role)
            if role:
                visit(role)
        ordered[label] = by_label[label]

    for label in by_label:
        visit(label)
    return list(ordered.values())


@dataclass(frozen=True)
class UsersRestoreWanted:
    """What is to be brought back.

    ``users`` and ``exclude`` are names and patterns; ``needed_by`` is the id of a backup of ``database``, or
    ``latest``. ``host`` is where a safety backup of the accounts is stored.
    """

    backup: str
    selection: Selection
    host: str
    users: Sequence[str] | None = None
    exclude: Sequence[str] = ()
    existing: str = SKIP
    needed_by: str | None = None
    database: str | None = None
    sealed_only: bool = True


def restore_users(
    engine: UsersEngine,
    repository: LocalRepository,
    keyring_path: str,
    wanted: UsersRestoreWanted,
    check: bool = False,
    note: Note = note_nothing,
) -> dict[str, Any]:
    """Restores the accounts that are wanted; returns what the module users_restore returns.

    Raises as ``read_source`` and ``UsersRestore.plan``; nothing was changed then.
    """
    of_users = replace(wanted.selection, kind=KIND, database=None)
    source = UsersSource(wanted.backup, of_users, sealed_only=wanted.sealed_only)
    where, accounts = read_source(source, repository, keyring_path)
    chosen = select_accounts(accounts.accounts, wanted.users, wanted.exclude)
    if wanted.needed_by:
        needed = _needed_by(engine, repository, keyring_path, wanted, accounts)
        chosen = [account for account in chosen if account.label in needed]
    restore = UsersRestore(engine, accounts, wanted.existing, note)
    plans = restore.plan(chosen)
    safety = None
    if not check:
        if wanted.existing == UPDATE and any(plan.exists and plan.changes.statements for plan in plans):
            safety = _safety_backup(engine, repository, keyring_path, wanted, note)
        restore.run(plans)
    return {**outcome_of(plans, where, check), "safety_backup": safety}


def _needed_by(
    engine: UsersEngine, repository: LocalRepository, keyring_path: str, wanted: UsersRestoreWanted, accounts: Accounts
) -> set[str]:
    selection = replace(wanted.selection, kind="database", database=wanted.database)
    backup = choose(repository, str(wanted.needed_by), selection)
    opened = open_set(repository, backup, keyring_path)
    opened.check_stored_bytes()
    names = engine.named_in(opened.inventory)
    return needed_labels(
        accounts, backup.manifest.database, names, lambda grant: engine.concerns(grant, backup.manifest.database)
    )


def _safety_backup(
    engine: UsersEngine, repository: LocalRepository, keyring_path: str, wanted: UsersRestoreWanted, note: Note
) -> str:
    """The accounts of the target as they are, as a set; returns its id."""
    keyring = load_keyring(keyring_path) if wanted.sealed_only else None
    maker = SetMaker(repository, keyring, "zstd", check_compression("zstd", None), note=note)
    repository.prepare()
    with repository.lock(wanted.host, engine.instance.id, KIND, "", "users_restore"):
        return take_users(engine, engine.read(), maker, wanted.host, SAFETY).manifest.id


def outcome_of(plans: Sequence[AccountRestore], source: str, check: bool) -> dict[str, Any]:
    """What the module users_restore returns."""

    def labels(result: str) -> list[str]:
        return [plan.account.label for plan in plans if plan.result == result]

    would_change = any(plan.changes.statements for plan in plans)
    failures = [plan.to_json() for plan in plans if plan.error]
    pending = sum(len(plan.pending) for plan in plans)
    created, updated, left = labels("created"), labels("updated"), labels("left")
    counts = [f"{len(created)} created", f"{len(updated)} updated", f"{len(labels('unchanged'))} unchanged"]
    counts += [f"{len(left)} left as they are"] if left else []
    counts += [f"{pending} privileges wait for objects that are missing"] if pending else []
    counts += [f"{len(failures)} failed"] if failures else []
    sentences = [f"{entry['account']}: {entry['error'].rstrip('.')}" for entry in failures]
    result: dict[str, Any] = {
        "changed": would_change if check else any(plan.done for plan in plans),
        "source": source,
        "users": [plan.to_json() for plan in plans],
        "created": created,
        "updated": updated,
        "left": left,
        "failures": failures,
        "msg": ". ".join([", ".join(counts), *sentences]) + ".",
        "diff": {
            "before": "",
            "after": "".join(f"{statement.shown};\n" for plan in plans for statement in plan.changes.statements),
        },
    }
    return {**result, "failed": True, "code": failures[0]["code"]} if failures else result
