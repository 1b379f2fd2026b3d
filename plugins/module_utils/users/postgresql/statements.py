# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statements that make a role, or change one into another (PostgreSQL manual, "CREATE ROLE" and others)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ...engines.postgresql.sql import literal, quoted, setting_values
from ..base import CREATE, MEMBERSHIP, PRIVILEGE, Statement
from ..model import Account, Membership, Setting
from .carry import Carried, Target
from .grants import grant_statements
from .names import PUBLIC_NAME, always_exists, role
from .reading import FLAGS, UNKNOWN


def same_identity(carried: Carried, current: Account) -> bool:
    """Whether a role logs in as it should and has the attributes that it should have."""
    wanted = carried.account
    return (
        _same_password(wanted, current)
        and not [*_flags(wanted, current), *_limits(wanted, current)]
        and wanted.comment == current.comment
    )


def _same_password(wanted: Account, current: Account) -> bool:
    """Hashes that could not be read, on either side, count as the same; so does one of a role that can't log in anyway,
    which a backup that lacks it would take away."""
    ways = (*wanted.authentication, *current.authentication)
    unknown = any(way.method == UNKNOWN for way in ways) or (wanted.is_role and not wanted.authentication)
    return unknown or wanted.authentication == current.authentication


def statements(target: Target, carried: Carried, current: Account | None, revoke: bool) -> list[Statement]:
    """What makes ``current`` (None: nothing) what ``carried`` says; takes away what is beyond only with ``revoke``."""
    wanted = carried.account
    return [
        *_identity(carried, current),
        *_memberships(target, wanted, current, revoke),
        *_settings(wanted, current, revoke),
        *grant_statements(wanted, current, revoke),
    ]


def _identity(carried: Carried, current: Account | None) -> Iterator[Statement]:
    wanted = carried.account
    if always_exists(wanted):
        return
    before = current or Account(wanted.label, wanted.name, None, is_role=True)
    options = [*_flags(wanted, before), *_limits(wanted, before if current else None)]
    password = ""
    secrets: tuple[str, ...] = ()
    if not _same_password(wanted, before):
        secrets = tuple(way.secret for way in wanted.authentication if way.secret)
        password = f"PASSWORD {literal(secrets[0]) if secrets else 'NULL'}"
    words = [*options, *([password] if password else [])]
    if current is None or words:
        verb = "ALTER" if current else "CREATE"
        yield Statement(CREATE, " ".join([verb, "ROLE", quoted(wanted.name), *words]), secrets)
    if wanted.comment != before.comment:
        text = "NULL" if wanted.comment is None else literal(wanted.comment)
        yield Statement(CREATE, f"COMMENT ON ROLE {quoted(wanted.name)} IS {text}")


def _flags(wanted: Account, before: Account) -> Iterator[str]:
    """Only what differs: an account that is no superuser may not even say NOSUPERUSER."""
    for name in FLAGS:
        usual = name == "INHERIT"
        held = wanted.attributes.get(name, usual)
        if held != before.attributes.get(name, usual):
            yield name if held else f"NO{name}"
    if wanted.is_role != before.is_role:
        yield "NOLOGIN" if wanted.is_role else "LOGIN"


def _limits(wanted: Account, current: Account | None) -> Iterator[str]:
    """A time once given can only be made infinite, which is as good as none."""
    held = current.attributes if current else {"VALID UNTIL": None}
    connections = int(wanted.attributes.get("CONNECTION LIMIT", -1))
    if connections != held.get("CONNECTION LIMIT", -1):
        yield f"CONNECTION LIMIT {connections}"
    until = wanted.attributes.get("VALID UNTIL", "infinity" if current else None)
    if until != held.get("VALID UNTIL", "infinity"):
        yield f"VALID UNTIL {literal(str(until))}"


Key = tuple[str, "str | None"]


def _paired(
    target: Target, wanted: Account, current: Account | None
) -> tuple[dict[Key, Membership], dict[Key, Membership]]:
    """Memberships by role and grantor, wanted and held, under keys that are the same on both sides.

    Whoever restores grants for the superuser of initdb, and may be another one; on older servers no grantor counts.
    """
    after = {(item.role, item.grantor): item for item in wanted.memberships}
    before = {(item.role, item.grantor): item for item in (current.memberships if current else ())}
    for key in [key for key in after if key not in before and (key[1] is None or not target.has_options)]:
        other = next((held for held in sorted(before, key=str) if held[0] == key[0] and held not in after), None)
        if other:
            before[key] = before.pop(other)
    return after, before


def _memberships(target: Target, wanted: Account, current: Account | None, revoke: bool) -> Iterator[Statement]:
    after, before = _paired(target, wanted, current)
    if revoke:
        for key, held in before.items():
            if key not in after:
                yield _membership(f"REVOKE {quoted(held.role)} FROM {role(wanted.name)}", held, target, taking=True)
            elif held.admin and not after[key].admin:
                what = f"ADMIN OPTION FOR {quoted(held.role)}"
                yield _membership(f"REVOKE {what} FROM {role(wanted.name)}", held, target, taking=True)
    for key, given in after.items():
        options = _options(target, wanted, given, before.get(key), revoke)
        if options is not None:
            granted = f"GRANT {quoted(given.role)} TO {role(wanted.name)}{options}"
            grantor = before[key].grantor if key in before else given.grantor
            yield _membership(granted, replace(given, grantor=grantor), target)


def _membership(sql: str, held: Membership, target: Target, taking: bool = False) -> Statement:
    """Who grants has to be named where it is not the superuser of initdb; older servers forget who it was."""
    named = held.grantor is not None and (target.has_options or not taking)
    needs = f"role {held.role}" + (f" or its grantor {held.grantor}" if named else "")
    return Statement(MEMBERSHIP, f"{sql} GRANTED BY {quoted(str(held.grantor))}" if named else sql, needs=needs)


def _options(target: Target, wanted: Account, given: Membership, held: Membership | None, revoke: bool) -> str | None:
    """The options of a GRANT, or None where there is nothing to grant. Without ``revoke`` no option is taken away."""
    if not target.has_options:
        lacks = held is None or (given.admin and not held.admin)
        return (" WITH ADMIN OPTION" if given.admin else "") if lacks else None
    usual = {"INHERIT": wanted.attributes.get("INHERIT", True), "SET": True}
    said = {"INHERIT": given.inherit, "SET": given.set}
    options = {name: usual[name] if value is None else value for name, value in said.items()}
    if held is not None:
        holds = {"INHERIT": held.inherit, "SET": held.set}
        options = {name: value for name, value in options.items() if value != holds[name] and (value or revoke)}
    if given.admin and not (held and held.admin):
        options["ADMIN"] = True
    if held is not None and not options:
        return None
    return " WITH " + ", ".join(f"{name} {str(value).upper()}" for name, value in sorted(options.items()))


def _settings(wanted: Account, current: Account | None, revoke: bool) -> Iterator[Statement]:
    """Settings go with the privileges: they may name databases and roles that come later, and none stops the others."""
    after = {(item.name, item.database): item for item in wanted.settings}
    before = {(item.name, item.database): item for item in (current.settings if current else ())}
    for key, held in before.items():
        if revoke and key not in after:
            yield _setting(wanted, held, f"RESET {_parameter(held.name)}")
    for key, setting in after.items():
        if key not in before or (revoke and before[key].value != setting.value):
            values = ", ".join(literal(value) for value in setting_values(setting.name, setting.value))
            yield _setting(wanted, setting, f"SET {_parameter(setting.name)} TO {values}")


def _parameter(name: str) -> str:
    return quoted(*name.split("."))


def _setting(wanted: Account, setting: Setting, what: str) -> Statement:
    who = "ALL" if wanted.name == PUBLIC_NAME else quoted(wanted.name)
    where = "" if setting.database is None else f" IN DATABASE {quoted(setting.database)}"
    needs = None if setting.database is None else f"database {setting.database}"
    return Statement(PRIVILEGE, f"ALTER ROLE {who}{where} {what}", needs=needs)
