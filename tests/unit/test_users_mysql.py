# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What SHOW GRANTS prints, and what becomes of accounts where the target is another kind of server."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.errors import QueryFailedError
from ansible_collections.vya.backupdb.plugins.module_utils.users.model import (
    Account,
    Accounts,
    Authentication,
    Grant,
    Membership,
)
from ansible_collections.vya.backupdb.plugins.module_utils.users.mysql.carry import Target, carry, label_on, no_place
from ansible_collections.vya.backupdb.plugins.module_utils.users.mysql.grants import parse_grants
from ansible_collections.vya.backupdb.plugins.module_utils.users.mysql.reading import as_bytes, as_text
from ansible_collections.vya.backupdb.plugins.module_utils.users.mysql.statements import same_identity, statements

NATIVE, SHA2 = "mysql_native_password", "caching_sha2_password"
STATIC = {"SELECT", "INSERT", "DELETE", "EXECUTE", "RELOAD", "USAGE", "PROXY", "GRANT OPTION"}
MARIADB = Target(
    "mariadb", "'root'@'localhost'", frozenset({NATIVE, "unix_socket"}),
    frozenset({*STATIC, "BINLOG MONITOR", "SLAVE MONITOR", "SET USER"}), literal_names=False,
)  # fmt: skip
MYSQL = Target(
    "mysql", "'root'@'localhost'", frozenset({SHA2, "auth_socket"}),
    frozenset({*STATIC, "REPLICATION CLIENT", "SET_ANY_DEFINER", "ALLOW_NONEXISTENT_DEFINER"}), literal_names=False,
)  # fmt: skip
LOCKED_OUT = "Nobody can log in: it is locked, and has no password."


def user(name: str, *ways: Authentication, **more: object) -> Account:
    return Account(f"'{name}'@'%'", name, "%", is_role=False, authentication=ways, **more)  # type: ignore[arg-type]


def role(name: str, host: str | None, **more: object) -> Account:
    label = f"'{name}'" if host is None else f"'{name}'@'{host}'"
    return Account(label, name, host, is_role=True, **more)  # type: ignore[arg-type]


def of(flavour: str, *accounts: Account) -> Accounts:
    return Accounts("mysql", flavour, "1", accounts)


def sql(target: Target, source: Accounts, account: Account, current: Account | None = None, **how: bool) -> list[str]:
    carried = carry(target, source, account)
    return [statement.sql for statement in statements(target, carried, current, revoke=how.get("revoke", False))]


@pytest.mark.parametrize(
    ("line", "grants"),
    [
        ("GRANT USAGE ON *.* TO `a`@`%`", []),
        ("GRANT `reader`@`%` TO `a`@`%` WITH ADMIN OPTION", []),
        ("SET DEFAULT ROLE `reader` FOR `a`@`%`", []),
        ("GRANT SELECT ON `b`.* TO `other`", []),
        (
            "GRANT SELECT, CREATE TEMPORARY TABLES ON `it``s ON *.* TO`.* TO `a`@`%`",
            [Grant("database", ("it`s ON *.* TO",), name) for name in ("SELECT", "CREATE TEMPORARY TABLES")],
        ),
        (
            "GRANT SELECT (`x,y`, `)`), INSERT ON `b`.`c` TO `a`@`%` WITH GRANT OPTION",
            [
                Grant("table", ("b", "c"), "SELECT", ("x,y",), grantable=True),
                Grant("table", ("b", "c"), "SELECT", (")",), grantable=True),
                Grant("table", ("b", "c"), "INSERT", grantable=True),
            ],
        ),
        ("GRANT EXECUTE ON FUNCTION `b`.`f` TO `a`@`%`", [Grant("function", ("b", "f"), "EXECUTE")]),
        ("GRANT EXECUTE ON LIBRARY `b`.`l` TO `a`@`%`", [Grant("library", ("b", "l"), "EXECUTE")]),
        ("GRANT EXECUTE ON PACKAGE BODY `b`.`p` TO `a`@`%`", [Grant("package body", ("b", "p"), "EXECUTE")]),
        (
            "GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*GRANT OPTION' REQUIRE ISSUER 'it\\'s' "
            "WITH GRANT OPTION MAX_QUERIES_PER_HOUR 1",
            [Grant("server", (), "USAGE", grantable=True)],
        ),
        ("GRANT PROXY ON ``@`` TO `a`@`%` WITH GRANT OPTION", [Grant("account", ("", ""), "PROXY", grantable=True)]),
        ("REVOKE INSERT ON `b`.* FROM `a`@`%`", [Grant("database", ("b",), "INSERT", revoked=True)]),
    ],
)
def test_lines_of_show_grants(line: str, grants: list[Grant]) -> None:
    assert parse_grants(line, ("a", "%")) == grants


def test_an_unknown_kind_of_object_is_not_taken_for_another() -> None:
    with pytest.raises(QueryFailedError, match="grants SELECT on PLANET, unknown here"):
        parse_grants("GRANT SELECT ON PLANET `b`.`c` TO `a`@`%`", ("a", "%"))


@pytest.mark.parametrize("stored", [b"$A$005$\x01\x7f' text", b"*ABC", b"0xAB", b"0x", b"\xff"])
def test_hashes_are_the_same_bytes_again(stored: bytes) -> None:
    text = as_text(stored)
    assert text is not None
    assert text.isprintable()
    assert as_bytes(text) == stored
    assert as_text(b"") is None


@pytest.mark.parametrize(
    ("target", "flavour", "way", "kept"),
    [
        (MARIADB, "mysql", Authentication(SHA2, "$A$"), ()),
        (MARIADB, "mysql", Authentication(NATIVE, "*AB"), (Authentication(NATIVE, "*AB"),)),
        (MARIADB, "mysql", Authentication("auth_socket"), (Authentication("unix_socket"),)),
        (MYSQL, "mariadb", Authentication(NATIVE, "*AB"), ()),
        (MYSQL, "mariadb", Authentication(NATIVE), ()),
        (MYSQL, "mariadb", Authentication("unix_socket"), (Authentication("auth_socket"),)),
        (MYSQL, "mysql", Authentication("gone", "x"), ()),
        (MARIADB, "mariadb", Authentication(NATIVE), (Authentication(NATIVE),)),
    ],
)
def test_a_login_is_kept_or_the_account_is_locked(
    target: Target, flavour: str, way: Authentication, kept: tuple[Authentication, ...]
) -> None:
    account = user("a", way)
    carried = carry(target, of(flavour, account), account)
    assert carried.account.authentication == kept
    assert carried.can_log_in == bool(kept)
    assert (LOCKED_OUT in carried.lost) == (not kept)
    (create,) = sql(target, of(flavour, account), account)
    assert create.endswith(" ACCOUNT LOCK") == (not kept)
    never = "IDENTIFIED BY RANDOM PASSWORD" if target is MYSQL else "USING 'invalid'"
    assert (never in create) == (not kept)


@pytest.mark.parametrize(
    ("target", "flavour", "method"), [(MYSQL, "mariadb", "unix_socket"), (MARIADB, "mysql", "auth_socket")]
)
def test_the_socket_lets_nobody_else_in(target: Target, flavour: str, method: str) -> None:
    account = user("a", Authentication(method, "daemon"))
    carried = carry(target, of(flavour, account), account)
    assert [way.secret for way in carried.account.authentication] == [None]
    assert carried.lost == [f"{method} for daemon, another user of the system: for the one of its own name only."]


def test_alternatives_and_factors_are_not_the_same() -> None:
    """One alternative lost is a way less; one factor lost would make it easier to come in."""
    either = user("a", Authentication("ed25519", "x"), Authentication(NATIVE, "*AB"))
    assert carry(MARIADB, of("mariadb", either), either).account.authentication == (Authentication(NATIVE, "*AB"),)
    both = user("b", Authentication(SHA2, "x"), Authentication("gone", "y"))
    assert not carry(MYSQL, of("mysql", both), both).can_log_in
    two = user("c", Authentication(NATIVE, "*AB"), Authentication("auth_socket"))
    assert not carry(MARIADB, of("mysql", two), two).can_log_in


def test_an_account_that_was_given_a_password_there_is_not_locked_again() -> None:
    lost = user("a", Authentication(SHA2, "$A$"), grants=(Grant("server", (), "RELOAD"),))
    current = user("a", Authentication(NATIVE, "*NEW"))
    source = of("mysql", lost)
    assert sql(MARIADB, source, lost, current, revoke=True) == ["GRANT RELOAD ON *.* TO 'a'@'%'"]
    assert not same_identity(carry(MARIADB, source, lost), current)


def test_roles_that_would_be_one_are_not_merged() -> None:
    one, two = role("r", "%"), role("r", "elsewhere")
    member = user("m", memberships=(Membership(one.label), Membership(two.label)))
    source = of("mysql", one, two, member)
    assert (no_place(MARIADB, source, one), label_on(MARIADB, source, one)) == (None, "'r'")
    assert no_place(MARIADB, source, two) == "It would be 'r' there, which 'r'@'%' is: it is not made."
    assert [item.role for item in carry(MARIADB, source, member).account.memberships] == ["'r'"]
    namesake, lonely = role("m", None), role("lonely", None)
    other = of("mariadb", namesake, lonely, user("m"), role("PUBLIC", None))
    assert no_place(MYSQL, other, namesake) == "It would be 'm'@'%' there, which 'm'@'%' is: it is not made."
    assert no_place(MYSQL, other, lonely) is None
    assert no_place(MARIADB, other, namesake) is None


@pytest.mark.parametrize(
    ("target", "flavour", "grant", "names", "lost"),
    [
        (MARIADB, "mysql", Grant("server", (), "REPLICATION CLIENT"), ["BINLOG MONITOR", "SLAVE MONITOR"], None),
        (MARIADB, "mysql", Grant("server", (), "CLONE_ADMIN"), [], "The server has no privilege CLONE_ADMIN."),
        (MYSQL, "mariadb", Grant("server", (), "SET USER"), ["SET_ANY_DEFINER", "ALLOW_NONEXISTENT_DEFINER"], None),
        (MYSQL, "mariadb", Grant("package", ("b", "p"), "EXECUTE"), [], "EXECUTE on package b.p: the server"),
        (MARIADB, "mysql", Grant("library", ("b", "l"), "EXECUTE"), [], "EXECUTE on library b.l: the server"),
        (MARIADB, "mysql", Grant("database", ("b",), "ALL PRIVILEGES"), ["ALL PRIVILEGES"], None),
        (
            replace(MYSQL, literal_names=True), "mysql", Grant("database", ("a%",), "SELECT"), [],
            "SELECT on a%.*: the server has partial_revokes on, and takes no patterns.",
        ),
        (
            MYSQL, "mariadb", Grant("server", (), "ALL PRIVILEGES"),
            sorted(MYSQL.privileges - {"USAGE", "PROXY", "GRANT OPTION"}), None,
        ),
    ],
)  # fmt: skip
def test_privileges_by_other_names(
    target: Target, flavour: str, grant: Grant, names: list[str], lost: str | None
) -> None:
    account = role("r", "%" if flavour == "mysql" else None, grants=(grant,))
    carried = carry(target, of(flavour, account), account)
    assert [item.privilege for item in carried.account.grants] == names
    assert [line.startswith(str(lost)) for line in carried.lost] == ([True] if lost else [])


def test_a_partial_revoke_that_cannot_be_kept_takes_the_privilege_along() -> None:
    grants = (
        Grant("server", (), "SELECT"),
        Grant("server", (), "RELOAD"),
        Grant("database", ("closed",), "SELECT", revoked=True),
    )
    account = user("a", Authentication(SHA2, "x"), grants=grants)
    kept = carry(MYSQL, of("mysql", account), account)
    assert [grant.privilege for grant in kept.account.grants] == ["RELOAD"]
    assert kept.lost[0].startswith("SELECT on *.*: the server has partial_revokes off")
    able = replace(MYSQL, literal_names=True)
    assert sql(able, of("mysql", account), account)[1:] == [
        "GRANT SELECT, RELOAD ON *.* TO 'a'@'%'",
        "REVOKE SELECT ON `closed`.* FROM 'a'@'%'",
    ]


def test_every_kind_of_privilege_has_its_own_grant_option() -> None:
    login = Authentication(SHA2, "x")
    proxy = Grant("account", ("b", "%"), "PROXY")
    wanted = user(
        "a", login, grants=(Grant("server", (), "SELECT", grantable=True), Grant("server", (), "X_ADMIN"), proxy)
    )
    held = user("a", login, grants=(Grant("server", (), "X_ADMIN", grantable=True), replace(proxy, grantable=True)))
    able = replace(MYSQL, privileges=frozenset({*STATIC, "X_ADMIN"}))
    source = of("mysql", wanted)
    assert sql(able, source, wanted, held) == ["GRANT SELECT ON *.* TO 'a'@'%' WITH GRANT OPTION"]
    assert sql(able, source, wanted, held, revoke=True) == [
        "REVOKE X_ADMIN ON *.* FROM 'a'@'%'",
        "REVOKE PROXY ON 'b'@'%' FROM 'a'@'%'",
        "GRANT SELECT ON *.* TO 'a'@'%' WITH GRANT OPTION",
        "GRANT X_ADMIN ON *.* TO 'a'@'%'",
        "GRANT PROXY ON 'b'@'%' TO 'a'@'%'",
    ]


def test_second_passwords() -> None:
    wanted = user("a", Authentication(SHA2, "first"), Authentication("second password", "other"))
    alone = user("a", Authentication(SHA2, "first"))
    first, second = b"first".hex().upper(), b"other".hex().upper()
    source = of("mysql", wanted, alone)
    assert sql(MYSQL, source, wanted) == [
        f"CREATE USER 'a'@'%' IDENTIFIED WITH '{SHA2}' AS 0x{second}",
        f"ALTER USER 'a'@'%' IDENTIFIED WITH '{SHA2}' AS 0x{first} RETAIN CURRENT PASSWORD",
    ]
    assert sql(MYSQL, source, alone, wanted)[1] == "ALTER USER 'a'@'%' DISCARD OLD PASSWORD"
    shown = [statement.shown for statement in statements(MYSQL, carry(MYSQL, source, wanted), None, revoke=False)]
    assert not any(first in text or second in text for text in shown)


def test_what_mysql_stores_of_roles_is_lost_in_mariadb() -> None:
    account = role("r", "%", comment="why", attributes={"ATTRIBUTE": "{}", "REQUIRE": "SSL"})
    carried = carry(MARIADB, of("mysql", account), account)
    assert carried.lost == ["ATTRIBUTE {}", "REQUIRE SSL", "Its comment: why"]
    assert sql(MARIADB, of("mysql", account), account) == ["CREATE ROLE 'r'"]
    assert sql(MYSQL, of("mysql", account), replace(account, attributes={})) == [
        "CREATE ROLE 'r'@'%'",
        "ALTER USER 'r'@'%' ACCOUNT LOCK ATTRIBUTE '{\"comment\": \"why\"}'",
    ]
