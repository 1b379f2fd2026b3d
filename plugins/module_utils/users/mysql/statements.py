# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statements that make an account, or change one into another (MySQL manual, "Account Management Statements";
MariaDB manual, likewise)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...engines.mysql.catalog import literal, quoted
from ..base import CREATE, MEMBERSHIP, PRIVILEGE, Statement
from ..model import Account, Authentication, Grant
from .carry import ALL, NEVER_FITS, Carried, Target, unescaped_pattern
from .grants import PUBLIC
from .reading import LIMITS, NATIVE, SECOND_PASSWORD, as_bytes

_PASSWORD_DAYS = {"PASSWORD EXPIRE INTERVAL": "PASSWORD EXPIRE", "PASSWORD REUSE INTERVAL": "PASSWORD REUSE INTERVAL"}
_TLS_DETAILS = {"REQUIRE CIPHER": "CIPHER", "REQUIRE ISSUER": "ISSUER", "REQUIRE SUBJECT": "SUBJECT"}
_UNBOUNDED = -1
USAGE = "USAGE"
"""No privilege: GRANT OPTION alone is given with it."""


def same_identity(carried: Carried, current: Account) -> bool:
    """Whether an account logs in as it should and has the attributes that it should have."""
    wanted = carried.account
    same_login = wanted.authentication == current.authentication or not carried.can_log_in
    same_attributes = wanted.attributes == current.attributes and wanted.comment == current.comment
    return wanted.is_role == current.is_role and same_login and same_attributes


def statements(target: Target, carried: Carried, current: Account | None, revoke: bool) -> list[Statement]:
    """What makes ``current`` (None: nothing) what ``carried`` says; takes away what is beyond only with ``revoke``."""
    wanted = carried.account
    if current and not carried.can_log_in:  # somebody may have given it a password there since
        wanted = replace(wanted, attributes=_locked_as(current, wanted.attributes))
        carried = replace(carried, account=replace(wanted, authentication=current.authentication))
    return [
        *_identity(target, carried, current),
        *_memberships(target, wanted, current, revoke),
        *_grants(target, wanted, current, revoke),
    ]


def _locked_as(current: Account, attributes: Mapping[str, Any]) -> dict[str, Any]:
    lock = {name: value for name, value in current.attributes.items() if name in ("ACCOUNT LOCK", "PASSWORD EXPIRE")}
    return {name: value for name, value in attributes.items() if name != "ACCOUNT LOCK"} | lock


def _identity(target: Target, carried: Carried, current: Account | None) -> Iterator[Statement]:
    wanted = carried.account
    who = wanted.label
    if who == PUBLIC or (current and same_identity(carried, current)):
        return
    if wanted.is_role and current is None:
        yield Statement(CREATE, f"CREATE ROLE {who}")
        if wanted.attributes or wanted.comment is not None:
            yield Statement(CREATE, f"ALTER USER {who} {' '.join(_options(target, wanted, None))}")
        return
    second = [way for way in wanted.authentication if way.method == SECOND_PASSWORD]
    ways = [way for way in wanted.authentication if way not in second]
    first = [Authentication(ways[0].method, second[0].secret), *ways[1:]] if second else ways
    login, secrets = _login(target, first, is_role=wanted.is_role)
    options = _options(target, wanted, current)
    yield Statement(CREATE, " ".join(["ALTER USER" if current else "CREATE USER", who, login, *options]), secrets)
    if second:
        login, secrets = _login(target, ways[:1], is_role=False)
        yield Statement(CREATE, f"ALTER USER {who} {login} RETAIN CURRENT PASSWORD", secrets)
    elif current and any(way.method == SECOND_PASSWORD for way in current.authentication):
        yield Statement(CREATE, f"ALTER USER {who} DISCARD OLD PASSWORD")
    if wanted.attributes.get("PASSWORD EXPIRE") or wanted.is_role:
        yield Statement(CREATE, f"ALTER USER {who} PASSWORD EXPIRE")


def _login(target: Target, ways: Sequence[Authentication], is_role: bool) -> tuple[str, tuple[str, ...]]:
    """The clause that says how to log in, and the hashes in it. No way means none, never an empty password."""
    if target.flavour == "mysql":
        if not ways:
            return "IDENTIFIED WITH 'caching_sha2_password' AS ''" if is_role else "IDENTIFIED BY RANDOM PASSWORD", ()
        hashes = [f"0x{as_bytes(way.secret).hex().upper()}" if way.secret else "''" for way in ways]
        clauses = [f"IDENTIFIED WITH {literal(way.method)} AS {text}" for way, text in zip(ways, hashes, strict=True)]
        return " AND ".join(clauses), tuple(text for text in hashes if text != "''")
    known = ways or (Authentication(NATIVE, NEVER_FITS),)
    clauses = [literal(way.method) + (f" USING {literal(way.secret)}" if way.secret else "") for way in known]
    secrets = tuple(way.secret for way in known if way.secret and way.secret != NEVER_FITS)
    return f"IDENTIFIED VIA {' OR '.join(clauses)}", secrets


def _options(target: Target, wanted: Account, current: Account | None) -> Iterator[str]:
    """All that follows: what was said of an account before is taken back where nothing is said of it now."""
    attributes, before = wanted.attributes, current.attributes if current else {}
    details = [f"{word} {literal(str(attributes[name]))}" for name, word in _TLS_DETAILS.items() if name in attributes]
    tls = attributes.get("REQUIRE") or " AND ".join(details)
    if tls or current:
        yield f"REQUIRE {tls or 'NONE'}"
    limits = [f"{name} {attributes.get(name, 0)}" for name in LIMITS.values() if name in attributes or name in before]
    if limits:
        yield f"WITH {' '.join(limits)}"
    yield from _password_options(attributes, before)
    if wanted.is_role or "ACCOUNT LOCK" in attributes:
        yield "ACCOUNT LOCK"
    elif current:
        yield "ACCOUNT UNLOCK"
    described = _described(wanted)
    if target.flavour == "mysql" and current:
        described = {**dict.fromkeys(_described(current)), **described}  # null takes a name away
    if described:
        yield f"ATTRIBUTE {literal(json.dumps(described, sort_keys=True))}"


def _password_options(attributes: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    for name, words in _PASSWORD_DAYS.items():
        if name in attributes:
            days = int(attributes[name])
            never = "PASSWORD EXPIRE NEVER" if name == "PASSWORD EXPIRE INTERVAL" else f"{name} 0 DAY"
            yield f"{name} {days} DAY" if days else never
        elif name in before:
            yield f"{words} DEFAULT"
    if "PASSWORD HISTORY" in attributes or "PASSWORD HISTORY" in before:
        yield f"PASSWORD HISTORY {attributes.get('PASSWORD HISTORY', 'DEFAULT')}"
    if "PASSWORD REQUIRE CURRENT" in attributes or "PASSWORD REQUIRE CURRENT" in before:
        required = attributes.get("PASSWORD REQUIRE CURRENT")
        yield f"PASSWORD REQUIRE CURRENT{'' if required else ' DEFAULT' if required is None else ' OPTIONAL'}"
    for name in ("FAILED_LOGIN_ATTEMPTS", "PASSWORD_LOCK_TIME"):
        if name in attributes or name in before:
            number = attributes.get(name, 0)
            yield f"{name} {'UNBOUNDED' if number == _UNBOUNDED else number}"


def _described(account: Account) -> dict[str, Any]:
    described = json.loads(account.attributes.get("ATTRIBUTE", "{}"))
    return described if account.comment is None else {**described, "comment": account.comment}


def _memberships(target: Target, wanted: Account, current: Account | None, revoke: bool) -> Iterator[Statement]:
    held = {membership.role: membership for membership in (current.memberships if current else ())}
    given = {membership.role: membership for membership in wanted.memberships}
    who = wanted.label
    for role, membership in list(held.items()) if revoke else ():
        only_admin = role in given and membership.admin and not given[role].admin
        if only_admin and target.flavour == "mariadb":
            yield Statement(MEMBERSHIP, f"REVOKE ADMIN OPTION FOR {role} FROM {who}", needs=f"role {role}")
        elif only_admin or role not in given:
            yield Statement(MEMBERSHIP, f"REVOKE {role} FROM {who}", needs=f"role {role}")
            del held[role]
    for role, membership in given.items():
        if role not in held or (membership.admin and not held[role].admin):
            option = " WITH ADMIN OPTION" if membership.admin else ""
            yield Statement(MEMBERSHIP, f"GRANT {role} TO {who}{option}", needs=f"role {role}")
    before = {role for role, membership in held.items() if membership.default}
    after = {role for role, membership in given.items() if membership.default}
    if not revoke:
        after = before | after if target.flavour == "mysql" or not before else before
    if after != before:
        roles = ", ".join(sorted(after))
        preposition = "TO" if target.flavour == "mysql" else "FOR"
        needs = f"role {roles}" if roles else None
        yield Statement(MEMBERSHIP, f"SET DEFAULT ROLE {roles or 'NONE'} {preposition} {who}", needs=needs)


Level = tuple[str, tuple[str, ...], bool, "bool | None"]


def _levels(target: Target, account: Account | None) -> dict[Level, list[Grant]]:
    """The privileges by what one GRANT statement can give: kind and name of an object, whether it is a partial revoke,
    and whether it is WITH GRANT OPTION for those that have that each for itself: PROXY, and MySQL's dynamic privileges,
    whose names have an underscore. For others, of an object all or none have it: None."""
    levels: dict[Level, list[Grant]] = {}
    for grant in account.grants if account else ():
        for_itself = grant.kind == "account" or (target.flavour == "mysql" and "_" in grant.privilege)
        level = grant.kind, grant.name, grant.revoked, grant.grantable if for_itself else None
        levels.setdefault(level, []).append(grant)
    return levels


def _grants(target: Target, wanted: Account, current: Account | None, revoke: bool) -> Iterator[Statement]:
    after, before = _levels(target, wanted), _levels(target, current)
    for level, held in before.items() if revoke else ():
        yield from _taking(target, wanted.label, level, held, after.get(level, []))
    partial: list[Statement] = []
    for level, grants in after.items():
        held = before.get(level, [])
        if revoke and _has_all(held) and not _has_all(grants):
            held = []  # taken away above
        elif not revoke and level[3] is False:
            held = held + before.get((*level[:3], True), [])
        given = list(_giving(target, wanted.label, level, grants, held))
        if level[2]:
            partial += given
        else:
            yield from given
    yield from partial  # when what they restrict is there


def _has_all(grants: list[Grant]) -> bool:
    return any(grant.privilege == ALL for grant in grants)


def _beyond(grants: list[Grant], others: list[Grant]) -> list[Grant]:
    """The privileges that are not among others."""
    known = {(grant.privilege, grant.columns) for grant in others}
    return [
        grant
        for grant in grants
        if (grant.privilege, grant.columns) not in known and grant.privilege != USAGE and not _has_all(others)
    ]


def _giving(target: Target, who: str, level: Level, wanted: list[Grant], held: list[Grant]) -> Iterator[Statement]:
    kind, name, revoked, for_itself = level
    lacking = _beyond(wanted, held)
    option = any(grant.grantable for grant in wanted) and not any(grant.grantable for grant in held)
    if not lacking and not option:
        return
    where = _on(target, kind, name)
    what = _privileges(lacking) if lacking else USAGE
    sql = f"REVOKE {what} ON {where} FROM {who}" if revoked else f"GRANT {what} ON {where} TO {who}"
    if option or for_itself:
        sql += " WITH GRANT OPTION"
    yield _privilege(kind, name, sql)


def _taking(target: Target, who: str, level: Level, held: list[Grant], wanted: list[Grant]) -> Iterator[Statement]:
    kind, name, revoked, for_itself = level
    extra = _beyond(held, wanted)
    where = _on(target, kind, name)
    if extra and revoked:
        yield _privilege(kind, name, f"GRANT {_privileges(extra)} ON {where} TO {who}")
    elif extra:
        yield _privilege(kind, name, f"REVOKE {_privileges(extra)} ON {where} FROM {who}")
    had, has = (any(grant.grantable for grant in grants) for grants in (held, wanted))
    if had and not has and for_itself is None:
        yield _privilege(kind, name, f"REVOKE GRANT OPTION ON {where} FROM {who}")


def _privilege(kind: str, name: tuple[str, ...], sql: str) -> Statement:
    if kind.startswith("package"):  # MariaDB before 11.4 knows these in one sql_mode only
        sql = f"SET STATEMENT sql_mode = 'ORACLE' FOR EXECUTE IMMEDIATE {literal(sql)}"
    needs = None if kind in ("server", "database", "account") else f"{kind} {'.'.join(name)}"
    return Statement(PRIVILEGE, sql, needs=needs)


def _privileges(grants: list[Grant]) -> str:
    columns: dict[str, list[str]] = {}
    for grant in grants:
        columns.setdefault(grant.privilege, []).extend(grant.columns)
    return ", ".join(
        f"{privilege} ({', '.join(quoted(name) for name in names)})" if names else privilege
        for privilege, names in columns.items()
    )


def _on(target: Target, kind: str, name: tuple[str, ...]) -> str:
    if kind == "server":
        return "*.*"
    if kind == "database":
        alone = unescaped_pattern(name[0]) if target.literal_names else None
        return f"{quoted(name[0] if alone is None else alone)}.*"
    if kind == "account":
        return f"{literal(name[0])}@{literal(name[1])}"
    return f"{'' if kind == 'table' else kind.upper() + ' '}{quoted(*name)}"
