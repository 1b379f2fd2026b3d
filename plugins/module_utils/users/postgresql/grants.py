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
    """A privilege, whether or not it may be passed on."""
    return replace(grant, grantable=False)


def grant_statements(wanted: Account, current: Account | None, revoke: bool) -> Iterator[Statement]:
    """What gives ``wanted`` its privileges, and with ``revoke`` takes away what ``current`` has beyond."""
    after = {_plain(grant): grant for grant in wanted.grants}
    before = {_plain(grant): grant for grant in (current.grants if current else ())}
    if revoke:
        extra = [replace(held, revoked=not held.revoked) for key, held in before.items() if key not in after]
        shrunk = [
            replace(held, revoked=True)
            for key, held in before.items()
            if held.grantable and key in after and not after[key].grantable
        ]
        for option, grants in (("", extra), ("GRANT OPTION FOR ", shrunk)):
            for of, members in _groups(grants).items():
                again = _columns_again(wanted, of, members)
                yield _statement(of, _sql(wanted.name, of, members, option) + again, option)
    lacking = [
        grant for key, grant in after.items() if key not in before or (grant.grantable and not before[key].grantable)
    ]
    for of, members in _groups(lacking).items():
        yield _statement(of, _sql(wanted.name, of, members))


def _groups(grants: Iterable[Grant]) -> dict[Grant, list[Grant]]:
    """The privileges that one statement can give or take away."""
    groups: dict[Grant, list[Grant]] = defaultdict(list)
    for grant in grants:
        groups[replace(grant, privilege="", columns=())].append(grant)
    return groups


def _columns_again(wanted: Account, of: Grant, taken: Iterable[Grant]) -> str:
    """Statements for wanted privileges on columns: who loses one on a table loses it on every column, too."""
    whole = {grant.privilege for grant in taken if grant.revoked and not grant.columns}
    lost = [
        grant
        for grant in wanted.grants
        if (grant.kind, grant.name, grant.grantor) == (of.kind, of.name, of.grantor)
        and (grant.columns and grant.privilege in whole)
    ]
    return "".join(f"; {_sql(wanted.name, group, members)}" for group, members in _groups(lost).items())


def _sql(who: str, of: Grant, grants: Iterable[Grant], option: str = "") -> str:
    """GRANT or REVOKE."""
    if of.kind.startswith(DEFAULT):
        where = f"{of.kind.removeprefix(DEFAULT).upper()}S"
    else:
        where = f"{of.kind.upper()} {_object(of)}"
    if of.revoked:
        return f"REVOKE {option}{_privileges(grants)} ON {where} FROM {role(who)}"
    return f"GRANT {_privileges(grants)} ON {where} TO {role(who)}{' WITH GRANT OPTION' if of.grantable else ''}"


def _statement(of: Grant, sql: str, option: str = "") -> Statement:
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
    grantor = "" if grant.grantor is None else f" or its grantor {grant.grantor}"
    if grant.kind.startswith(DEFAULT):
        schema = f" or schema {grant.name[2]}" if len(grant.name) > _DEFAULT_NAMES else ""
        return f"role {grant.name[1]}{schema} in database {grant.name[0]}"
    if grant.kind in ("function", "procedure"):
        return f"{grant.kind} {'.'.join(grant.name[:3])}({grant.name[3]}){grantor}"
    return f"{grant.kind} {'.'.join(grant.name)}{grantor}"
