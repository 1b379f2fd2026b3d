# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts in words, and their differences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.users.diff import compare, describe
from ansible_collections.vya.backupdb.plugins.module_utils.users.model import (
    Account,
    Accounts,
    Authentication,
    Grant,
    Membership,
    Setting,
)

HASH, OTHER_HASH = "*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4", "*E6CC90B878B948C35E92B003C792C46C58C4AF40"


def account(label: str = "'app'@'%'", **values: Any) -> Account:
    return Account(label, "app", "%", is_role=values.pop("is_role", False), **values)


def accounts(*members: Account, engine: str = "mysql") -> Accounts:
    return Accounts(engine, engine, "1", members)


@pytest.mark.parametrize(
    ("grants", "engine", "lines"),
    [
        ([Grant("database", ("shop",), "ALL PRIVILEGES")], "mysql", ["ALL on shop.*"]),
        ([Grant("database", ("my\\_shop",), "SELECT")], "mysql", ["SELECT on my_shop.*"]),
        ([Grant("database", ("it's",), "SELECT", grantable=True)], "mysql", ["SELECT on `it's`.* with grant option"]),
        ([Grant("server", (), "RELOAD"), Grant("server", (), "PROCESS")], "mysql", ["RELOAD, PROCESS on *.*"]),
        (
            [
                Grant("table", ("crm", "customers"), "SELECT", ("id",)),
                Grant("table", ("crm", "customers"), "SELECT", ("name",)),
                Grant("table", ("crm", "customers"), "UPDATE", ("name",)),
                Grant("table", ("crm", "customers"), "DELETE"),
            ],
            "mysql",
            ["SELECT on crm.customers (id, name)", "UPDATE on crm.customers (name)", "DELETE on crm.customers"],
        ),
        (
            [Grant("table", ("crm", "t"), "SELECT"), Grant("table", ("crm", "t"), "SELECT", ("id",))],
            "postgresql",
            ["SELECT on crm.t", "SELECT on crm.t (id)"],
        ),
        ([Grant("account", ("who", "%"), "PROXY")], "mysql", ["PROXY on 'who'@'%'"]),
        ([Grant("procedure", ("shop", "p"), "EXECUTE")], "mysql", ["EXECUTE on procedure shop.p"]),
        ([Grant("database", ("locked",), "INSERT", revoked=True)], "mysql", ["not INSERT on locked.*"]),
        ([Grant("database", ("shop",), "CONNECT")], "postgresql", ["CONNECT on database shop"]),
        (
            [Grant("function", ("shop", "crm", "f", "integer, text"), "EXECUTE")],
            "postgresql",
            ["EXECUTE on function shop.crm.f(integer, text)"],
        ),
        (
            [Grant("table", ("shop", "public", 'a "b"'), "SELECT", grantor="boss")],
            "postgresql",
            ['SELECT on shop.public."a ""b""", granted by boss'],
        ),
    ],
)
def test_privileges_in_words(grants: list[Grant], engine: str, lines: list[str]) -> None:
    assert describe(account(grants=tuple(grants)), engine) == lines


def test_everything_else_in_words_without_the_hash() -> None:
    shown = describe(
        account(
            authentication=(Authentication("scram-sha-256", HASH),),
            attributes={"LOGIN": True, "INHERIT": False, "CONNECTION LIMIT": 5},
            memberships=(Membership("staff", admin=True, inherit=False, set=True, grantor="boss"), Membership("all")),
            settings=(Setting("search_path", "a, b", "shop"), Setting("work_mem", "1MB")),
            comment="of the shop",
        ),
        "postgresql",
    )
    assert shown == [
        "logs in by scram-sha-256",
        "CONNECTION LIMIT 5",
        "no INHERIT",
        "LOGIN",
        "comment: of the shop",
        "member of staff with admin option without inherit, granted by boss",
        "member of all",
        "search_path = a, b in database shop",
        "work_mem = 1MB",
    ]


def test_the_same_accounts_do_not_differ() -> None:
    same = account(grants=(Grant("server", (), "RELOAD"),), authentication=(Authentication("p", HASH),))
    difference = compare(accounts(same), accounts(same))
    assert difference.to_json() == {"missing": [], "extra": [], "changed": {}}
    assert (difference.before, difference.after) == ("", "")


def test_accounts_of_one_side_only() -> None:
    difference = compare(accounts(account("a")), accounts(account("b")))
    assert (difference.missing, difference.extra, difference.changed) == (["a"], ["b"], {})
    assert (difference.before, difference.after) == ("a\n", "b\n")


def test_only_what_differs_is_told() -> None:
    before = account(grants=(Grant("table", ("s", "t"), "SELECT"), Grant("table", ("s", "t"), "INSERT")))
    after = account(grants=(Grant("table", ("s", "t"), "SELECT"), Grant("table", ("s", "u"), "DELETE")))
    difference = compare(accounts(before), accounts(after))
    assert difference.changed == {"'app'@'%'": {"missing": ["INSERT on s.t"], "extra": ["DELETE on s.u"]}}
    assert difference.before == "'app'@'%'\n  SELECT on s.t\n  INSERT on s.t\n"
    assert difference.after == "'app'@'%'\n  SELECT on s.t\n  DELETE on s.u\n"


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (HASH, OTHER_HASH, {"missing": ["a password for p"], "extra": ["another password for p"]}),
        (HASH, None, {"missing": ["a password for p"], "extra": ["no password for p"]}),
        (None, HASH, {"missing": ["no password for p"], "extra": ["a password for p"]}),
    ],
)
def test_another_password_is_told_without_the_hash(
    before: str | None, after: str | None, lines: dict[str, list[str]]
) -> None:
    first, second = (account(authentication=(Authentication("p", secret),)) for secret in (before, after))
    difference = compare(accounts(first), accounts(second))
    assert difference.changed == {"'app'@'%'": lines}
    assert HASH not in difference.before + difference.after
    assert OTHER_HASH not in difference.before + difference.after


def test_a_role_that_became_an_account() -> None:
    difference = compare(accounts(account(is_role=True)), accounts(account()))
    assert difference.changed == {"'app'@'%'": {"missing": ["a role"], "extra": ["no role"]}}


def test_accounts_survive_their_json_form() -> None:
    whole = account(
        authentication=(Authentication("p", HASH),),
        attributes={"ACCOUNT LOCK": True},
        memberships=(Membership("staff", admin=True),),
        settings=(Setting("a", "b"),),
        grants=(Grant("table", ("s", "t"), "SELECT", ("id",)),),
        comment="c",
    )
    stored = accounts(whole)
    assert Accounts.from_json(stored.to_json()) == replace(stored, accounts=[whole])
