# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backs up the accounts of instances: one set an instance, and none where nothing has changed since the newest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from ..audit import Note, note_nothing
from ..config import Instance
from ..errors import BackupdbError, as_ours
from ..repository.catalog import Selection, find
from ..repository.local import BackupSet
from ..repository.manifest import REGULAR
from ..users.base import UsersEngine
from ..users.model import Accounts
from ..users.registry import has_users, open_users
from ..version import COLLECTION_VERSION
from .backup import newest_regular
from .maker import Filled, SetMaker, Subject
from .parts import PartStore
from .users_set import KIND, read_accounts, select_accounts, store_accounts

TOOL = "vya.backupdb"


@dataclass(frozen=True)
class UsersWanted:
    """Sets are stored under ``host``; ``exclude`` names accounts to leave out, also by patterns."""

    host: str
    exclude: Sequence[str] = ()


@dataclass
class UsersOutcome:
    """What was done, as the module returns it: an entry an instance in ``backups``, ``failures`` or ``not_due``."""

    planned: list[dict[str, Any]] = field(default_factory=list)
    backups: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    not_due: list[dict[str, Any]] = field(default_factory=list)

    def fail(self, instance: str, error: BackupdbError) -> None:
        self.failures.append({"instance": instance, "error": error.message, "code": error.code})


def back_up_users(
    instances: Iterable[Instance],
    maker: SetMaker,
    wanted: UsersWanted,
    check: bool = False,
    login: Callable[[Instance], Instance] = lambda instance: instance,
    note: Note = note_nothing,
) -> UsersOutcome:
    """Backs up the accounts of every instance that has any; one instance's failure does not stop the others."""
    outcome = UsersOutcome()
    for instance in instances:
        if not has_users(instance):
            outcome.not_due.append({"instance": instance.id, "reason": f"{instance.engine} has no accounts"})
            continue
        try:
            with closing(open_users(login(instance))) as engine:
                _back_up(engine, maker, wanted, check, outcome)
        except Exception as error:  # noqa: BLE001 - one instance's failure never stops the others
            failure = as_ours(error)
            outcome.fail(instance.id, failure)
            note("users_backup", "failed", instance=instance.id, code=failure.code)
    return outcome


def _back_up(engine: UsersEngine, maker: SetMaker, wanted: UsersWanted, check: bool, outcome: UsersOutcome) -> None:
    instance = engine.instance
    found = engine.read()
    accounts = replace(found, accounts=select_accounts(found.accounts, None, wanted.exclude))
    if not check:
        maker.repository.prepare()
    is_due, reason = _due(maker, wanted.host, instance.id, accounts)
    entry = {"instance": instance.id, "reason": reason}
    if not is_due:
        outcome.not_due.append(entry)
        return
    outcome.planned.append({**entry, "accounts": len(accounts.accounts)})
    if check:
        return
    with maker.repository.lock(wanted.host, instance.id, KIND, "", "users_backup"):
        backup = take_users(engine, accounts, maker, wanted.host)
    summary = {**backup.manifest.summary(), "path": str(backup.path), "warnings": accounts.warnings}
    outcome.backups.append({**summary, "reason": reason})


def users_sets(maker: SetMaker, host: str, instance: str) -> list[BackupSet]:
    """The users sets of an instance, newest first."""
    if not maker.repository.root.exists():
        return []
    return find(maker.repository, Selection(host, instance, None, KIND)).backups


def take_users(
    engine: UsersEngine, accounts: Accounts, maker: SetMaker, host: str, purpose: str = REGULAR
) -> BackupSet:
    """Stores accounts as one set. The caller holds the lock of the instance's users."""

    def fill(store: PartStore) -> Filled:
        facts = {
            "engine": accounts.engine,
            "flavour": accounts.flavour,
            "server_version": accounts.server_version,
            "tool": TOOL,
            "tool_version": COLLECTION_VERSION,
            "accounts": len(accounts.accounts),
        }
        return Filled(store_accounts(store, engine, accounts), facts)

    instance = engine.instance.id
    return maker.make(Subject(KIND, host, instance), users_sets(maker, host, instance), fill, purpose)


def _text(accounts: Accounts) -> str:
    return json.dumps([account.to_json() for account in accounts.accounts], sort_keys=True)


def _due(maker: SetMaker, host: str, instance: str, accounts: Accounts) -> tuple[bool, str]:
    """Whether the accounts differ from those of the newest set, and why a backup is due, in words."""
    newest = newest_regular(users_sets(maker, host, instance))
    if newest is None:
        return True, "no backup yet"
    if (newest.manifest.encryption is not None) != (maker.keyring is not None):
        return True, f"{newest.manifest.id} is {'' if newest.manifest.encryption else 'not '}sealed"
    try:
        stored = read_accounts(maker.repository, newest, maker.keyring.path if maker.keyring else "")
    except BackupdbError as error:
        return True, f"{newest.manifest.id} cannot be read ({error.code})"
    if _text(stored) == _text(accounts):
        return False, f"nothing has changed since {newest.manifest.id}"
    return True, f"accounts have changed since {newest.manifest.id}"
