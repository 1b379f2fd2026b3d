# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts of one PostgreSQL server made fit for another, older or newer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ..model import Account, Accounts, Grant, Membership, Setting
from .acl import PARAMETER_PRIVILEGES
from .names import is_system
from .reading import MEMBERSHIP_OPTIONS, UNKNOWN, Owners
from .sessions import version_of

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

MAINTAIN = 170000
LARGE_OBJECT_DEFAULTS = 180000


@dataclass(frozen=True)
class Target:
    """What has to be known of the server on which accounts are made, and who makes them."""

    me: str
    version: int
    parameters: frozenset[str]
    predefined: frozenset[str]

    @classmethod
    def of(cls, connection: sa.Connection) -> Target:
        parameters = connection.execute(sa.text("SELECT lower(name) FROM pg_settings")).scalars()
        roles = connection.execute(sa.text("SELECT rolname::text FROM pg_roles WHERE rolname ~ '^pg_'")).scalars()
        me = str(connection.execute(sa.text("SELECT session_user")).scalar_one())
        return cls(me, version_of(connection), frozenset(parameters), frozenset(roles))

    @property
    def words(self) -> str:
        return f"PostgreSQL {self.version // 10000}"

    @property
    def has_options(self) -> bool:
        """Whether memberships have options and grantors that count."""
        return self.version >= MEMBERSHIP_OPTIONS


@dataclass(frozen=True)
class Carried:
    """An account as the target can hold it, and a sentence for each thing that it can't."""

    account: Account
    lost: list[str] = field(default_factory=list)


def _major(version: str) -> int:
    found = re.match(r"\d+", version)
    return int(found[0]) if found else 0


def carry(target: Target, owners: Owners, source: Accounts, account: Account) -> Carried:
    """What the target, whose objects belong to ``owners``, can hold of an account of ``source``."""
    lost: list[str] = []
    if is_system(account.name) and account.name not in target.predefined:
        lost.append(f"{target.words} has no role {account.name}; what was given to it is left out.")
        return Carried(replace(account, memberships=(), settings=(), grants=()), lost)
    if any(way.method == UNKNOWN for way in account.authentication):
        lost.append("Its password is not in the backup, because pg_authid could not be read. Set one.")
    memberships = tuple(_memberships(target, source, account, lost))
    settings = tuple(_settings(target, account.settings, lost))
    grants = tuple(_grants(target, owners, account.grants, lost))
    return Carried(replace(account, memberships=memberships, settings=settings, grants=grants), lost)


def _memberships(target: Target, source: Accounts, account: Account, lost: list[str]) -> list[Membership]:
    known = []
    for membership in account.memberships:
        if is_system(membership.role) and membership.role not in target.predefined:
            lost.append(f"{target.words} has no role {membership.role}.")
        else:
            known.append(membership)
    if not target.has_options:
        return _without_options(target, account, known, lost)
    if _major(source.server_version) * 10000 < MEMBERSHIP_OPTIONS:
        return [_with_valid_grantor(source, membership, lost) for membership in known]
    return known


def _without_options(
    target: Target, account: Account, memberships: Sequence[Membership], lost: list[str]
) -> list[Membership]:
    """Memberships for servers where the member's attribute INHERIT is for all of them, and SET ROLE is allowed."""
    inherits = account.attributes.get("INHERIT", True)
    merged: dict[str, Membership] = {}
    for membership in memberships:
        role, before = membership.role, merged.get(membership.role)
        if not (membership.admin or membership.inherit or membership.set) and membership.set is not None:
            lost.append(f"Membership in {role}: it gave nothing, and in {target.words} it would give all of {role}.")
            continue
        if membership.inherit not in (None, inherits):
            words = "inherited" if membership.inherit else "not inherited"
            lost.append(f"That membership in {role} is {words}: in {target.words} the attribute INHERIT rules all.")
        if membership.set is False:
            lost.append(f"That membership in {role} is without SET: in {target.words} every member may SET ROLE.")
        if before:
            lost.append(f"That {role} was granted by more than one role: {target.words} keeps one grantor.")
        admin = membership.admin or (before is not None and before.admin)
        grantor = before.grantor if before else membership.grantor
        merged[role] = replace(membership, admin=admin, inherit=None, set=None, grantor=grantor)
    return list(merged.values())


def _with_valid_grantor(source: Accounts, membership: Membership, lost: list[str]) -> Membership:
    """A membership for PostgreSQL 16 and newer, where who grants a role has to hold it with ADMIN OPTION."""
    grantor = next((account for account in source.accounts if account.name == membership.grantor), None)
    if membership.grantor is None or (
        grantor and any(held.role == membership.role and held.admin for held in grantor.memberships)
    ):
        return membership
    lost.append(f"That {membership.grantor} granted {membership.role}: it has not that role with ADMIN OPTION.")
    return replace(membership, grantor=None)


def _settings(target: Target, settings: Sequence[Setting], lost: list[str]) -> Iterator[Setting]:
    for setting in settings:
        if "." in setting.name or setting.name.lower() in target.parameters:
            yield setting
        else:
            lost.append(f"{target.words} has no parameter {setting.name} (it was {setting.value}).")


def _grants(target: Target, owners: Owners, grants: Sequence[Grant], lost: list[str]) -> Iterator[Grant]:
    for grant in grants:
        what = f"{grant.privilege} on {grant.kind} {'.'.join(grant.name)}"
        if grant.privilege == "MAINTAIN" and target.version < MAINTAIN:
            if not grant.revoked:
                lost.append(f"{what}: {target.words} has no such privilege.")
        elif grant.kind == "parameter" and target.version < PARAMETER_PRIVILEGES:
            lost.append(f"{what}: {target.words} has no privileges on parameters.")
        elif grant.kind == "default large object" and target.version < LARGE_OBJECT_DEFAULTS:
            lost.append(f"{what}: {target.words} has no default privileges on large objects.")
        elif grant.grantor is not None and owners.get((grant.kind, grant.name)) == grant.grantor:
            yield replace(grant, grantor=None)
        else:
            yield grant


def unseen(wanted: Account, current: Account | None) -> list[str]:
    """A sentence where an account is there and its password can't be compared."""
    if current is None or not any(way.secret for way in wanted.authentication):
        return []
    if not any(way.method == UNKNOWN for way in current.authentication):
        return []
    return ["Its password was left as it is, because pg_authid could not be read there."]
