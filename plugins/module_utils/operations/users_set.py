# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backup sets of the kind ``users``: the accounts as JSON, and the statements that make them as SQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from ..config import fits
from ..errors import ManifestInvalidError, NotFoundError
from ..repository.local import BackupSet, LocalRepository
from ..repository.manifest import PartRecord
from ..users.base import PHASES, UsersEngine
from ..users.model import Account, Accounts, Grant
from .parts import PartStore, open_set

KIND = "users"
ACCOUNTS_PART, SQL_PART = "accounts.json", "accounts.sql"
ACCOUNTS_KIND = "accounts"


def store_accounts(store: PartStore, engine: UsersEngine, accounts: Accounts) -> list[PartRecord]:
    """Stores both parts. The SQL is for people who have nothing but the set and a server of the same kind."""
    text = json.dumps(accounts.to_json(), indent=1, sort_keys=True)
    return [
        store.store_bytes(0, ACCOUNTS_PART, ACCOUNTS_KIND, text.encode()),
        store.store_bytes(1, SQL_PART, "sql", script_of(engine, accounts).encode()),
    ]


def script_of(engine: UsersEngine, accounts: Accounts) -> str:
    """The statements that make the accounts, for the server's own client."""
    changes = [engine.changes(accounts, account, None, revoke=False) for account in accounts.accounts]
    lines = [f"-- {accounts.flavour} {accounts.server_version}, {len(accounts.accounts)} accounts and roles"]
    place = None
    for phase in PHASES:
        found = [item for change in changes for item in change.statements if item.phase == phase]
        for statement in sorted(found, key=lambda item: item.database or ""):
            if statement.database != place:
                place = statement.database
                lines.append(engine.entering(place))
            lines.append(f"{statement.sql};")
    return "\n".join(lines) + "\n"


def read_accounts(repository: LocalRepository, backup: BackupSet, keyring_path: str) -> Accounts:
    """The accounts of a set, proven whole. Raises as ``open_set`` and ``OpenedSet.open``."""
    opened = open_set(repository, backup, keyring_path)
    opened.check_stored_bytes()
    part = next((part for part in opened.parts if part.name == ACCOUNTS_PART), None)
    if part is None:
        raise ManifestInvalidError(f"Backup {backup.manifest.id} holds no accounts ({backup.path}).")
    with opened.open(part) as stream:
        text = stream.read()
    try:
        return Accounts.from_json(json.loads(text))
    except (ValueError, KeyError, TypeError):
        raise ManifestInvalidError(
            f"The accounts of backup {backup.manifest.id} cannot be read. Update the collection."
        ) from None


def names_of(account: Account) -> tuple[str, ...]:
    """What people may call an account: its label, its name, or both its parts as ``name@host``."""
    whole = (f"{account.name}@{account.host}",) if account.host is not None else ()
    return (account.label, account.name, *whole)


def is_called(account: Account, pattern: str) -> bool:
    """Whether a name or a shell-style pattern means the account."""
    return any(fits(name, pattern) for name in names_of(account))


def select_accounts(accounts: Iterable[Account], wanted: Iterable[str] | None, exclude: Iterable[str]) -> list[Account]:
    """The accounts that names and patterns choose; without ``wanted`` all. NotFoundError where one matches nothing."""
    available = list(accounts)
    for pattern in wanted or ():
        if not any(is_called(account, pattern) for account in available):
            known = ", ".join(account.label for account in available[:20]) or "none"
            raise NotFoundError(f"'{pattern}' is no account there (accounts: {known}).")
    patterns = None if wanted is None else list(wanted)
    left_out = list(exclude)
    return [
        account
        for account in available
        if (patterns is None or any(is_called(account, pattern) for pattern in patterns))
        and not any(is_called(account, pattern) for pattern in left_out)
    ]


def needed_labels(
    accounts: Accounts, database: str, names: Iterable[str], concerns: Callable[[Grant], bool]
) -> set[str]:
    """The accounts that a database needs: those that ``names`` calls (owners, definers), those that hold privileges
    that are ``concerns``, those that have settings for it, the members of all these, and the roles of all these."""
    called = set(names)
    needed = {
        account.label
        for account in accounts.accounts
        if called & set(names_of(account))
        or any(concerns(grant) for grant in account.grants)
        or any(setting.database == database for setting in account.settings)
    }
    edges = _memberships(accounts)
    with_members = _reached(needed, {(role, member) for member, role in edges})
    return _reached(with_members, edges)


def _memberships(accounts: Accounts) -> set[tuple[str, str]]:
    """Who is a member of which role, by labels."""
    by_name = {name: account.label for account in accounts.accounts for name in (account.name, account.label)}
    return {
        (account.label, by_name[membership.role])
        for account in accounts.accounts
        for membership in account.memberships
        if membership.role in by_name
    }


def _reached(start: set[str], edges: set[tuple[str, str]]) -> set[str]:
    """Where edges lead to from a start, in as many steps as it takes; the start included."""
    found = set(start)
    while further := {end for begin, end in edges if begin in found} - found:
        found |= further
    return found
