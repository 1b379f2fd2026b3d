# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statements that give privileges and take them away (PostgreSQL manual, "GRANT", "ALTER DEFAULT PRIVILEGES")."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ...engines.postgresql.sql import quoted, quoted_list
from ..base import DELEGATED, PRIVILEGE, Statement
from ..model import Account, Grant
from .names import role

SHARED = ("database", "tablespace", "parameter")
"""Kinds of objects that belong to no database."""
DEFAULT = "default "
"""How the kinds begin that are about objects yet to come."""
_DEFAULT_NAMES = 2


def _plain(grant: Grant) -> Grant:
    return replace(grant, grantable=False)


def _pairs(wanted: Iterable[Grant], current: Iterable[Grant]) -> tuple[dict[Grant, Grant], dict[Grant, Grant]]:
    """Privileges, wanted and held, under keys that are the same on both sides where the privilege is.

    Those that only the grantor tells apart count as the same: the object may belong to somebody else on the target.
    """
    after = {_plain(grant): grant for grant in wanted}
    before = {_plain(grant): grant for grant in current}
    spare = {replace(key, grantor=None): key for key in before if key not in after}
    for key in after:
        other = None if key in before else spare.pop(replace(key, grantor=None), None)
        if other:
            before[key] = before.pop(other)
    return after, before


def grant_statements(wanted: Account, current: Account | None, revoke: bool) -> Iterator[Statement]:
    """What gives ``wanted`` its privileges, and with ``revoke`` takes away what ``current`` has beyond."""
    after, before = _pairs(wanted.grants, current.grants if current else ())
    if revoke:
        extra = [held for key, held in before.items() if key not in after]
        yield from _written(wanted.name, (replace(held, revoked=not held.revoked) for held in extra))
        shrunk = [held for key, held in before.items() if held.grantable and key in after and not after[key].grantable]
        yield from _written(wanted.name, (replace(held, revoked=True) for held in shrunk), "GRANT OPTION FOR ")
    lacking = [
        grant for key, grant in after.items() if key not in before or (grant.grantable and not before[key].grantable)
    ]
    yield from _written(wanted.name, lacking)


def _written(who: str, grants: Iterable[Grant], option: str = "") -> Iterator[Statement]:
    """A statement for each object, or for each grantor of privileges on it."""
    groups: dict[Grant, list[Grant]] = defaultdict(list)
    for grant in grants:
        groups[replace(grant, privilege="", columns=())].append(grant)
    for of, members in groups.items():
        yield _statement(who, of, members, option)


def _statement(who: str, of: Grant, grants: Iterable[Grant], option: str) -> Statement:
    what = _privileges(grants)
    if of.kind.startswith(DEFAULT):
        where = f"{of.kind.removeprefix(DEFAULT).upper()}S"
    else:
        where = f"{of.kind.upper()} {_object(of)}"
    if of.revoked:
        sql = f"REVOKE {option}{what} ON {where} FROM {role(who)}"
    else:
        sql = f"GRANT {what} ON {where} TO {role(who)}{' WITH GRANT OPTION' if of.grantable else ''}"
    if of.kind.startswith(DEFAULT):
        schema = f" IN SCHEMA {quoted(of.name[2])}" if len(of.name) > _DEFAULT_NAMES else ""
        sql = f"ALTER DEFAULT PRIVILEGES FOR ROLE {quoted(of.name[1])}{schema} {sql}"
    elif of.grantor is not None:
        sql = f"SET ROLE {quoted(of.grantor)}; {sql}; RESET ROLE"
    passed_on = of.grantor is not None or (of.revoked and (of.grantable or option != ""))
    database = None if of.kind in SHARED else of.name[0]
    return Statement(DELEGATED if passed_on else PRIVILEGE, sql, needs=_needs(of), database=database)


def _privileges(grants: Iterable[Grant]) -> str:
    columns: dict[str, list[str]] = {}
    for grant in grants:
        if grant.columns:
            columns.setdefault(grant.privilege, []).extend(grant.columns)
    whole = list(dict.fromkeys(grant.privilege for grant in grants if not grant.columns))
    return ", ".join([*whole, *(f"{privilege} ({quoted_list(names)})" for privilege, names in columns.items())])


def _object(grant: Grant) -> str:
    """An object as GRANT takes it. A routine's arguments are as the server writes them; large objects are numbers."""
    name = grant.name if grant.kind in SHARED else grant.name[1:]
    if grant.kind == "parameter":
        return quoted(*name[0].split("."))
    if grant.kind in ("function", "procedure"):
        return f"{quoted(*name[:2])}({name[2]})"
    if grant.kind == "large object":
        return str(int(name[0]))
    return quoted(*name)


def _needs(grant: Grant) -> str:
    if grant.kind.startswith(DEFAULT):
        schema = f" or schema {grant.name[2]}" if len(grant.name) > _DEFAULT_NAMES else ""
        return f"role {grant.name[1]}{schema} in database {grant.name[0]}"
    if grant.kind in ("function", "procedure"):
        return f"{grant.kind} {'.'.join(grant.name[:3])}({grant.name[3]})"
    return f"{grant.kind} {'.'.join(grant.name)}"
