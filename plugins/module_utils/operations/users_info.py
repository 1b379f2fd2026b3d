# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows the accounts of a backup or of an instance, and how two of them differ."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from ..config import Instance
from ..errors import SealMissingError
from ..repository.catalog import Selection, choose
from ..repository.local import LocalRepository
from ..users.diff import compare, describe
from ..users.model import Accounts
from ..users.registry import open_users
from .users_set import read_accounts, select_accounts


@dataclass(frozen=True)
class UsersSource:
    """Where accounts are read: a backup set (``backup`` and ``selection``), or else the live ``instance``."""

    backup: str | None = None
    selection: Selection | None = None
    instance: Instance | None = None
    sealed_only: bool = True


def read_source(source: UsersSource, repository: LocalRepository, keyring_path: str) -> tuple[str, Accounts]:
    """What the accounts are of, in words, and the accounts. Raises as ``choose``, ``read_accounts``,
    ``UsersEngine.read``, and SealMissingError."""
    if source.instance is not None:
        with closing(open_users(source.instance)) as engine:
            return f"instance {source.instance.id}", engine.read()
    backup = choose(repository, source.backup or "latest", source.selection or Selection())
    if source.sealed_only and backup.manifest.encryption is None:
        raise SealMissingError(
            f"Backup {backup.manifest.id} is not sealed, so anybody who can write to {repository.root} could have made "
            "it. If you trust it, say encrypt: false."
        )
    return f"backup {backup.manifest.id}", read_accounts(repository, backup, keyring_path)


def describe_accounts(accounts: Accounts) -> list[dict[str, Any]]:
    return [
        {"account": account.label, "is_role": account.is_role, "holds": describe(account, accounts.engine)}
        for account in accounts.accounts
    ]


def show_users(
    source: UsersSource,
    other: UsersSource | None,
    repository: LocalRepository,
    keyring_path: str,
    users: Sequence[str] | None,
    exclude: Sequence[str],
) -> dict[str, Any]:
    """What the module users_info returns. ``users`` and ``exclude`` limit both sides."""

    def limited(accounts: Accounts, names: Sequence[str] | None) -> Accounts:
        return replace(accounts, accounts=select_accounts(accounts.accounts, names, exclude))

    where, accounts = read_source(source, repository, keyring_path)
    if other is None:
        shown = limited(accounts, users)
        return {"source": where, "users": describe_accounts(shown), "warnings": shown.warnings, "difference": None}
    elsewhere, others = read_source(other, repository, keyring_path)
    known = [*accounts.accounts, *others.accounts]
    chosen = None if users is None else [account.label for account in select_accounts(known, users, ())]

    def of(accounts: Accounts) -> Accounts:
        kept = [account for account in accounts.accounts if chosen is None or account.label in chosen]
        return limited(replace(accounts, accounts=kept), None)

    mine, theirs = of(accounts), of(others)
    difference = compare(mine, theirs)
    texts = {"before": difference.before, "after": difference.after}
    return {
        "source": where,
        "compared_with": elsewhere,
        "users": describe_accounts(mine),
        "warnings": [*mine.warnings, *theirs.warnings],
        "difference": difference.to_json(),
        "diff": {"before_header": where, "after_header": elsewhere, **texts},
    }
