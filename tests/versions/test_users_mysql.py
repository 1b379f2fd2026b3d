# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts on MariaDB 11.8 and MySQL 9.7 (kit/mysql_contract.py), from one to the other, and a thousand of them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.users.model import Accounts, Grant
from kit import mariadb
from kit import mysql_accounts as kit
from kit.mysql_accounts import ED25519, PASSWORD, PREFIX, SECOND, account, may, refusal, shown
from kit.mysql_contract import (
    LOCKED_OUT,
    TABLE_DENIED,
    AccountsContract,
    Servers,
    Trip,
    administer,
    client,
    lost,
    pending,
    read,
    restore_accounts,
)
from kit.suites import SuiteMySQL, suite_host


@pytest.fixture(scope="module")
def suites() -> Iterator[dict[str, Servers]]:
    """Two servers of each suite, all running at the same time."""
    with ExitStack() as stack:
        found = {}
        for suite in ("trixie", "sid"):
            host = stack.enter_context(suite_host(suite))
            source, other = SuiteMySQL(host), SuiteMySQL(host)
            if source.flavour == "mysql":
                for server in (source, other):
                    server.run(*kit.PREPARE_MYSQL)
            found[suite] = Servers(source, other, source.flavour)
        yield found


class TestMariaDB(AccountsContract):
    @pytest.fixture(scope="class")
    @classmethod
    def servers(cls, suites: dict[str, Servers]) -> Servers:
        return suites["trixie"]


class TestMySQL(AccountsContract):
    """Besides what holds for every server."""

    @pytest.fixture(scope="class")
    @classmethod
    def servers(cls, suites: dict[str, Servers]) -> Servers:
        return suites["sid"]

    def test_unprintable_hashes(self, trip: Trip) -> None:
        """Line 50."""
        texts = [way.secret or "" for item in read(trip.servers.source).accounts for way in item.authentication]
        assert [text for text in texts if text.startswith("0x")]

    def test_second_passwords(self, server: SuiteMySQL) -> None:
        for password in (PASSWORD, SECOND):
            assert may(server, "second", "SELECT 1", password=password) == [(1,)]
        assert refusal(server, "second", password="neither") == 1045

    def test_dynamic_privileges(self, server: SuiteMySQL) -> None:
        """Line 56: with and without GRANT OPTION, each for itself."""
        may(server, "history", "SET GLOBAL max_connections = @@max_connections")
        may(server, "history", f"GRANT BINLOG_ADMIN ON *.* TO {account('plain')}")
        may(server, "history", f"REVOKE BINLOG_ADMIN ON *.* FROM {account('plain')}")
        refused = refusal(server, "history", f"GRANT SYSTEM_VARIABLES_ADMIN ON *.* TO {account('plain')}")
        assert refused in (1045, 1227)
        assert refusal(server, "plain", "SET GLOBAL max_connections = @@max_connections") == 1227

    def test_password_history(self, server: SuiteMySQL) -> None:
        """Line 56: the rules are kept, the earlier hashes are not, and the restore says so."""
        change = "ALTER USER USER() IDENTIFIED BY 'newer'"
        assert refusal(server, "history", change) == 3892
        assert refusal(server, "plain", "SELECT 1") == 0

    def test_partial_revokes(self, trip: Trip) -> None:
        """Line 55."""
        source = trip.servers.source
        source.run(*kit.PARTIAL)
        kit.make_databases(source)
        before, accounts = shown(source), read(source)
        source.run(f"DROP USER {account('partial')}")
        outcome = restore_accounts(source, accounts)
        assert (outcome["created"], lost(outcome)) == ([account("partial")], {})
        assert shown(source) == before
        may(source, "partial", f"SELECT * FROM `{PREFIX}_shop`.customers")
        assert refusal(source, "partial", f"SELECT * FROM `{PREFIX}_locked`.t") == TABLE_DENIED
        target = trip.servers.other
        assert any(
            "partial_revokes off" in line for line in lost(restore_accounts(target, accounts))[account("partial")]
        )
        assert refusal(target, "partial", f"SELECT * FROM `{PREFIX}_shop`.customers") == TABLE_DENIED
        target.run(f"DROP USER {account('partial')}")
        source.run(f"DROP USER {account('partial')}", "SET GLOBAL partial_revokes = OFF")

    def test_mandatory_roles_are_nobodys_own(self, trip: Trip) -> None:
        source = trip.servers.source
        before = read(source).to_json()
        source.run(f"SET GLOBAL mandatory_roles = '{PREFIX}empty'")
        assert read(source).to_json() == before
        empty, plain = account("empty"), account("plain")
        source.run(f"SET DEFAULT ROLE {empty} TO {plain}")
        assert read(source).warnings == [
            f"That {empty} is a default role of {plain} is left out: it has it by mandatory_roles only."
        ]
        source.run(f"SET DEFAULT ROLE NONE TO {plain}", "SET GLOBAL mandatory_roles = ''")

    def test_libraries(self, trip: Trip) -> None:
        source, who = trip.servers.source, account("who")
        library = f"`{PREFIX}_shop`.numbers"
        source.run(
            f"CREATE LIBRARY {library} LANGUAGE JAVASCRIPT AS 'export function f() {{return 1}}'",
            f"GRANT EXECUTE ON LIBRARY {library} TO {who}",
        )
        before, accounts = shown(source), read(source)
        source.run(f"DROP USER {who}")
        restore_accounts(source, accounts)
        assert shown(source) == before
        source.run(f"DROP LIBRARY {library}")


# from one kind of server to another, and to an older one: line 51, 55, 56


@pytest.fixture
def crossing(suites: dict[str, Servers], request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    """A source with every kind of account, and a target with the databases and no accounts."""
    with ExitStack() as stack:
        names = {"MariaDB 11.8": suites["trixie"].source, "MySQL 9.7": suites["sid"].source}
        source, target = (
            names.get(name) or stack.enter_context(mariadb.running()) for name in request.param.split(" to ")
        )
        flavour = "mariadb" if kit.is_mariadb(source) else "mysql"
        for server in (source, target):
            if server.run("SELECT 1 FROM mysql.user WHERE User = 'root' AND Host = '127.0.0.1'"):
                server.run("GRANT PROXY ON ''@'%' TO root@'127.0.0.1' WITH GRANT OPTION")
        kit.make_accounts(source, flavour)
        kit.make_databases(target)
        yield source, target
        for server in (source, target):
            kit.drop_accounts(server)
            kit.drop_databases(server)


_OBJECT_GRANT = re.compile(r"GRANT (.+) ON (?!\*\.\*)(.+) TO ([^ ].*?)( WITH GRANT OPTION)?")


def object_grants(server: Any) -> dict[tuple[str, str], list[str]]:
    """What SHOW GRANTS says of databases and what is in them, by object and grantee, as both kinds of servers write it:
    roles without a host."""
    found = {}
    for lines in shown(server).values():
        for line in lines:
            grant = _OBJECT_GRANT.fullmatch(line)
            if grant:
                grantee = grant[3].removesuffix("@`%`")
                found[grant[2], grantee] = sorted([*grant[1].split(", "), grant[4] or ""])
    return found


def locked_out(outcome: dict[str, Any]) -> set[str]:
    return {label for label, lines in lost(outcome).items() if LOCKED_OUT in lines}


def assert_nobody_comes_in(server: Any, *names: str) -> None:
    for name in names:
        for password in ("", PASSWORD, "invalid"):
            assert refusal(server, name, password=password) in (1045, 1524, 1698, 3118, 4151)


def assert_done(target: Any, accounts: Accounts, outcome: dict[str, Any]) -> None:
    """All were made, those that lost their login are locked, and a second run finds nothing to do."""
    assert (outcome["failures"], pending(outcome)) == ([], {})
    again = restore_accounts(target, accounts)
    assert (again["changed"], again["failures"], again["left"]) == (False, [], outcome["left"])
    assert locked_out(again) == locked_out(outcome)
    texts = {_bare(who): " ".join(lines) for who, lines in shown(target).items()}
    assert [label for label in locked_out(outcome) if "ACCOUNT LOCK" not in texts[_bare(label)]] == []


def _bare(label: str) -> str:
    """Strings can be quoted in more than one way."""
    return re.sub(r"[\\'\"]", "", label)


@pytest.mark.parametrize("crossing", ["MySQL 9.7 to MariaDB 11.8"], indirect=True)
def test_mysql_to_mariadb(crossing: tuple[Any, Any]) -> None:
    source, target = crossing
    elsewhere = account("boss", "elsewhere")
    source.run(
        f"CREATE ROLE {elsewhere}",
        f"GRANT DELETE ON `{PREFIX}_shop`.* TO {elsewhere}",
        f"GRANT {elsewhere}, {account('who')} TO {account('member')}",
        f"SET DEFAULT ROLE {account('boss')}, {account('empty')} TO {account('member')}",
    )
    accounts, granted = read(source), object_grants(source)
    outcome = restore_accounts(target, accounts)
    assert_done(target, accounts, outcome)
    del granted[f"`{PREFIX}_shop`.*", f"`{PREFIX}boss`@`elsewhere`"]
    assert object_grants(target) == granted
    users = {item.label for item in accounts.accounts if not item.is_role and item.name != "root"}
    assert locked_out(outcome) == users
    assert_nobody_comes_in(target, "", "plain", "nothing", "second", "factors", "sha256", "old")
    said = lost(outcome)
    assert outcome["left"] == [elsewhere]
    assert said[elsewhere] == [f"It would be '{PREFIX}boss' there, which {account('boss')} is: it is not made."]
    assert said[account("boss")] == ["Its comment: the boss"]
    no_plugin = "The server has no authentication plugin caching_sha2_password."
    assert said[account("who")] == [no_plugin, LOCKED_OUT]
    assert said[account("factors")] == [no_plugin, "MariaDB has no second authentication factor.", LOCKED_OUT]
    assert said[account("second")] == [no_plugin, "Its second password (RETAIN CURRENT PASSWORD).", LOCKED_OUT]
    assert said[account("member")][:3] == [
        f"{elsewhere} is no role there, and can't be given as one.",
        f"MariaDB has one default role for each account: {account('empty')} is none.",
        f"{account('who')} is no role there, and can't be given as one.",
    ]
    assert said[account("history")][2:] == [
        "PASSWORD HISTORY 5", "PASSWORD REUSE INTERVAL 365", "PASSWORD REQUIRE CURRENT True", "FAILED_LOGIN_ATTEMPTS 3",
        "PASSWORD_LOCK_TIME -1", "Its comment: it's a comment", "The server has no privilege SYSTEM_VARIABLES_ADMIN.",
    ]  # fmt: skip
    assert "BINLOG ADMIN, CONNECTION ADMIN" in " ".join(shown(target)[account("history")]).replace(
        "CONNECTION ADMIN, BINLOG ADMIN", "BINLOG ADMIN, CONNECTION ADMIN"
    )
    administer(target, f"ALTER USER {account('member')} IDENTIFIED BY 'new' ACCOUNT UNLOCK")
    may(target, "member", f"INSERT INTO `{PREFIX}_shop`.orders VALUES (1)", password="new")
    refused = refusal(target, "member", f"DELETE FROM `{PREFIX}_shop`.orders", password="new")
    assert refused == TABLE_DENIED
    source.run(*kit.PARTIAL)
    literal = read(source)
    partial = next(item for item in literal.accounts if item.label == account("partial"))
    said = lost(restore_accounts(target, replace(literal, accounts=[partial])))
    assert said[partial.label][2].startswith("INSERT, SELECT on *.*: the server has partial_revokes off")
    assert shown(target)[partial.label][-1].startswith("GRANT USAGE ON *.*")
    source.run(f"DROP USER {partial.label}", "SET GLOBAL partial_revokes = OFF")


@pytest.mark.parametrize("crossing", ["MariaDB 11.8 to MySQL 9.7"], indirect=True)
def test_mariadb_to_mysql(crossing: tuple[Any, Any]) -> None:
    source, target = crossing
    role = kit.text(PREFIX + "who")
    administer(
        source,
        f"CREATE ROLE {role}",
        f"GRANT DELETE ON `{PREFIX}_shop`.* TO {role}",
        f"GRANT {role} TO {account('plain')}",
        f"CREATE USER {account('everything')} IDENTIFIED VIA unix_socket",
        f"GRANT ALL PRIVILEGES ON *.* TO {account('everything')} WITH GRANT OPTION",
    )
    accounts, granted = read(source), object_grants(source)
    outcome = restore_accounts(target, accounts)
    assert_done(target, accounts, outcome)
    said = lost(outcome)
    who = account("who")
    del granted[f"`{PREFIX}_public`.*", "PUBLIC"]
    merged = granted[f"`{PREFIX}_shop`.*", f"`{PREFIX}who`"]
    assert merged == ["", "DELETE"]
    del granted[f"`{PREFIX}_shop`.*", f"`{PREFIX}who`"]
    granted[f"`{PREFIX}_shop`.*", f"`{PREFIX}slow`"].remove("DELETE HISTORY")
    assert object_grants(target) == granted
    assert {*outcome["left"]} == {"PUBLIC", role}
    assert said["PUBLIC"] == ["MySQL has no role that everybody has: it is not made."]
    assert said[role] == [f"It would be {who} there, which {who} is: it is not made."]
    assert said[account("plain")][0] == f"{role} is no role there, and can't be given as one."
    assert said[account("slow")][2:] == [
        "MAX_STATEMENT_TIME 1.5",
        "The server has no privilege DELETE HISTORY, READ_ONLY ADMIN.",
    ]
    users = {item.label for item in accounts.accounts if not item.is_role and item.name != "root"}
    by_socket = {account("two"), account("socket", "localhost"), account("everything")}
    assert locked_out(outcome) == users - by_socket
    assert_nobody_comes_in(target, "", "plain", "nothing", "invalid", "old", "two")
    assert " ".join(shown(target)[account("everything")]).count("SYSTEM_VARIABLES_ADMIN") == 1
    assert "REPLICATION CLIENT" in " ".join(shown(target)[account("slow")])


@pytest.mark.parametrize("crossing", ["MariaDB 11.8 to MariaDB 10.11"], indirect=True)
def test_newer_to_older(crossing: tuple[Any, Any]) -> None:
    source, target = crossing
    parsec = account("parsec")
    source.run("INSTALL SONAME 'auth_parsec'")
    source.run(f"CREATE USER {parsec} IDENTIFIED VIA parsec USING PASSWORD('x')")
    source.run(f"GRANT SHOW CREATE ROUTINE, SELECT ON *.* TO {parsec}")
    accounts, before = read(source), shown(source)
    outcome = restore_accounts(target, accounts)
    assert_done(target, accounts, outcome)
    no_plugin, no_privilege = "no authentication plugin parsec", "no privilege SHOW CREATE ROUTINE"
    assert lost(outcome) == {parsec: [f"The server has {no_plugin}.", LOCKED_OUT, f"The server has {no_privilege}."]}
    assert [who for who, lines in shown(target).items() if lines != before[who]] == [parsec]
    assert shown(target)[parsec][-1].startswith("GRANT SELECT ON *.*")
    assert_nobody_comes_in(target, "parsec")
    may(target, 'it\'s a "name" \\ `x`', "SELECT 1")


def test_line_51_ed25519_to_an_older_server(suites: dict[str, Servers]) -> None:
    source = suites["trixie"].source
    with mariadb.running(plugin_load_add="auth_ed25519") as target:
        source.run("INSTALL SONAME 'auth_ed25519'")
        source.run(ED25519)
        accounts = read(source)
        source.run(f"DROP USER {account('ed')}", "UNINSTALL SONAME 'auth_ed25519'")
        assert lost(restore_accounts(target, accounts)) == {}
        tcp = ("--host=127.0.0.1", f"--port={target.port}", f"--user={PREFIX}ed", "--execute=SELECT CURRENT_USER()")
        assert client(*tcp, password=PASSWORD) == f"{PREFIX}ed@%"


@pytest.mark.parametrize("suite", ["trixie", "sid"])
def test_a_thousand_accounts(suites: dict[str, Servers], suite: str) -> None:
    server = suites[suite].source
    kit.make_accounts(server, suites[suite].flavour)
    source = read(server)
    member, who = (next(item for item in source.accounts if item.name == PREFIX + name) for name in ("member", "who"))
    roles, orders = [item for item in source.accounts if item.is_role], (f"{PREFIX}_shop", "orders")
    copies = [
        replace(
            member, label=account(f"n{number}"), name=f"{PREFIX}n{number}",
            grants=(*who.grants, Grant("table", orders, "INSERT"), Grant("table", orders, "SELECT")),
        )
        for number in range(1000)
    ]  # fmt: skip
    many = replace(source, accounts=[*roles, *copies])
    seconds = []
    for action in (restore_accounts, restore_accounts):
        started = time.monotonic()
        outcome = action(server, many)
        seconds.append(time.monotonic() - started)
    assert (outcome["changed"], outcome["failures"]) == (False, [])
    started = time.monotonic()
    assert len(read(server).accounts) > 1000
    seconds.append(time.monotonic() - started)
    kit.drop_accounts(server)
    kit.drop_databases(server)
    figures = "restored {:.1f} s, once more {:.1f} s, read {:.1f} s".format(*seconds)
    print(f"{suite}: 1000 accounts: {figures}")
    assert seconds[0] < 120
    assert max(seconds[1:]) < 30
