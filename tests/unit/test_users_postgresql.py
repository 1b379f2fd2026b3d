# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles of PostgreSQL made fit for older and newer servers, and the names that statements give them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.engines.postgresql.sql import setting_values
from ansible_collections.vya.backupdb.plugins.module_utils.users.model import (
    Account,
    Accounts,
    Authentication,
    Grant,
    Membership,
    Setting,
)
from ansible_collections.vya.backupdb.plugins.module_utils.users.postgresql.carry import Target, carry
from ansible_collections.vya.backupdb.plugins.module_utils.users.postgresql.names import label, role
from ansible_collections.vya.backupdb.plugins.module_utils.users.postgresql.reading import UNKNOWN
from ansible_collections.vya.backupdb.plugins.module_utils.users.postgresql.statements import statements

PARAMETERS = frozenset({"work_mem", "timezone"})
OWNED = ("shop", "public", "t")


def target(version: int, *predefined: str) -> Target:
    return Target("me", version * 10000 + 3, PARAMETERS, frozenset(predefined))


def account(name: str = "app", **values: Any) -> Account:
    return Account(label(name), name, None, is_role=values.pop("is_role", False), **values)


def accounts(*members: Account, version: str = "18.1") -> Accounts:
    return Accounts("postgresql", "postgresql", version, members)


@pytest.mark.parametrize(
    ("wanted", "version", "lost"),
    [
        (account(settings=(Setting("transaction_timeout", "5s"),)), 15, "no parameter transaction_timeout (it was 5s)"),
        (account(settings=(Setting("TimeZone", "UTC"), Setting("my.own", "x"))), 15, None),
        (account(grants=(Grant("table", OWNED, "MAINTAIN"),)), 16, "MAINTAIN on table shop.public.t: PostgreSQL 16"),
        (account(grants=(Grant("table", OWNED, "MAINTAIN", revoked=True),)), 16, None),
        (account(grants=(Grant("table", OWNED, "MAINTAIN"),)), 17, None),
        (account(grants=(Grant("parameter", ("work_mem",), "SET"),)), 14, "SET on parameter work_mem: PostgreSQL 14"),
        (account(grants=(Grant("parameter", ("work_mem",), "SET"),)), 15, None),
        (account(grants=(Grant("default large object", ("shop", "x"), "SELECT"),)), 17, "no default privileges on"),
        (account(memberships=(Membership("pg_maintain"),)), 16, "has no role pg_maintain"),
        (account("pg_maintain", is_role=True, grants=(Grant("table", OWNED, "SELECT"),)), 16, "has no role pg_maint"),
        (account(memberships=(Membership("r", inherit=True, set=True),)), 15, None),
        (account(memberships=(Membership("r", inherit=False, set=True),)), 15, "membership in r is not inherited"),
        (account(memberships=(Membership("r", inherit=True, set=False),)), 15, "membership in r is without SET"),
        (account(memberships=(Membership("r", inherit=False, set=False),)), 15, "it would give all of r"),
        (account(memberships=(Membership("r"), Membership("r", grantor="x"))), 15, "by more than one role"),
        (account(authentication=(Authentication(UNKNOWN),)), 15, "password is not in the backup"),
    ],
)  # fmt: skip
def test_what_can_not_be_carried_is_said(wanted: Account, version: int, lost: str | None) -> None:
    said = carry(target(version), {}, accounts(wanted), wanted).lost
    assert len(said) == (lost is not None)
    assert lost is None or lost in said[0]


def test_memberships_that_gave_nothing_are_not_made() -> None:
    nothing, admin = Membership("r", inherit=False, set=False), Membership("s", admin=True, inherit=False, set=False)
    wanted = account(memberships=(nothing, admin))
    carried = carry(target(15), {}, accounts(wanted), wanted).account
    assert [membership.role for membership in carried.memberships] == ["s"]


@pytest.mark.parametrize(("admin", "grantor"), [(True, "boss"), (False, None)])
def test_from_16_on_who_grants_needs_the_admin_option(admin: bool, grantor: str | None) -> None:
    wanted = account(memberships=(Membership("r", grantor="boss"),))
    boss = account("boss", memberships=(Membership("r", admin=admin),))
    carried = carry(target(16), {}, accounts(wanted, boss, version="15.2"), wanted)
    assert [membership.grantor for membership in carried.account.memberships] == [grantor]
    assert len(carried.lost) == (not admin)


def test_who_granted_is_the_owner_on_the_target() -> None:
    grant = Grant("table", OWNED, "SELECT", grantor="boss")
    wanted = account(grants=(grant,))
    assert carry(target(15), {}, accounts(wanted), wanted).account.grants == (grant,)
    owned = carry(target(15), {("table", OWNED): "boss"}, accounts(wanted), wanted).account
    assert owned.grants == (replace(grant, grantor=None),)


@pytest.mark.parametrize(
    ("name", "shown", "written"),
    [
        ("app", "app", '"app"'),
        ("App", '"App"', '"App"'),
        ('a "b"', '"a ""b"""', '"a ""b"""'),
        ("public", "PUBLIC", "PUBLIC"),
        ("PUBLIC", '"PUBLIC"', '"PUBLIC"'),
    ],
)
def test_names(name: str, shown: str, written: str) -> None:
    assert (label(name), role(name)) == (shown, written)


@pytest.mark.parametrize(
    ("parameter", "stored", "values"),
    [
        ("search_path", '"$user", public', ["$user", "public"]),
        ("search_path", 'a, "b c", "d""e, f"', ["a", "b c", 'd"e, f']),
        ("search_path", '""', [""]),
        ("search_path", "", [""]),
        ("work_mem", "64MB", ["64MB"]),
        ("app.list", "a, b", ["a, b"]),
    ],
)
def test_settings_are_written_as_they_were_said(parameter: str, stored: str, values: list[str]) -> None:
    assert setting_values(parameter, stored) == values


def test_hashes_are_masked_and_names_quoted() -> None:
    secret = "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy"
    wanted = account('a"; DROP ROLE x; --', authentication=(Authentication("scram-sha-256", secret),), comment="it's")
    made = statements(target(15), carry(target(15), {}, accounts(wanted), wanted), None, revoke=False)
    assert [statement.sql for statement in made] == [
        f'CREATE ROLE "a""; DROP ROLE x; --" LOGIN PASSWORD \'{secret}\'',
        "COMMENT ON ROLE \"a\"\"; DROP ROLE x; --\" IS 'it''s'",
    ]
    assert made[0].shown == 'CREATE ROLE "a""; DROP ROLE x; --" LOGIN PASSWORD \'********\''
    assert secret not in repr(made)


@pytest.mark.parametrize(
    ("wanted", "held", "revoke", "made"),
    [
        (Membership("r", inherit=False, set=True), None, False, 'GRANT "r" TO "app" WITH INHERIT FALSE, SET TRUE'),
        (Membership("r", admin=True), None, False, 'GRANT "r" TO "app" WITH ADMIN TRUE, INHERIT TRUE, SET TRUE'),
        (
            Membership("r", inherit=True, set=False),
            Membership("r", inherit=False, set=True),
            False,
            'GRANT "r" TO "app" WITH INHERIT TRUE',
        ),
        (
            Membership("r", inherit=True, set=False),
            Membership("r", inherit=False, set=True),
            True,
            'GRANT "r" TO "app" WITH INHERIT TRUE, SET FALSE',
        ),
        (
            Membership("r", inherit=True, set=True),
            Membership("r", admin=True, inherit=True, set=True),
            True,
            'REVOKE ADMIN OPTION FOR "r" FROM "app"',
        ),
        (
            Membership("r", inherit=True, set=True),
            Membership("r", inherit=True, set=True, grantor="manager"),
            True,
            None,
        ),
        (
            Membership("r", inherit=True, set=True, grantor="boss"),
            Membership("r", inherit=True, set=True),
            False,
            'GRANT "r" TO "app" WITH INHERIT TRUE, SET TRUE GRANTED BY "boss"',
        ),
    ],
)
def test_options_of_memberships(wanted: Membership, held: Membership | None, revoke: bool, made: str | None) -> None:
    boss = account("boss", memberships=(Membership("r", admin=True),))
    source = account(memberships=(wanted,))
    carried = carry(target(17), {}, accounts(source, boss, version="17.1"), source)
    current = account(memberships=() if held is None else (held,))
    needed = statements(target(17), carried, current, revoke=revoke)
    assert [statement.sql for statement in needed] == ([] if made is None else [made])


def test_members_inherit_as_their_attribute_said() -> None:
    """On PostgreSQL 15 and older memberships have no options."""
    source = account(attributes={"INHERIT": False}, memberships=(Membership("r"),))
    carried = carry(target(17), {}, accounts(source, version="15.1"), source)
    needed = statements(target(17), carried, replace(source, memberships=()), revoke=False)
    assert [statement.sql for statement in needed] == ['GRANT "r" TO "app" WITH INHERIT FALSE, SET TRUE']
