# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts on MariaDB 11.8 and MySQL 9.7 (kit/mysql_contract.py), from one to the other, and a thousand of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import pymysql
import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.operations.users_restore import outcome_of
from ansible_collections.vya.backupdb.plugins.module_utils.users.model import Account, Grant
from kit import mariadb
from kit import mysql_accounts as kit
from kit.mysql_accounts import ED25519, PASSWORD, PREFIX, SECOND, account, may, refusal, shown
from kit.mysql_contract import (
    TABLE_DENIED,
    AccountsContract,
    Servers,
    Trip,
    client,
    lost,
    pending,
    read,
    restore_accounts,
)
from kit.suites import SuiteMySQL, suite_host

LOCKED_OUT = "Nobody can log in: it is locked, and has no password."


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
        assert any("partial_revokes off" in line for line in lost(restore_accounts(target, accounts))[account("partial")])
        assert refusal(target, "partial", f"SELECT * FROM `{PREFIX}_shop`.customers") == TABLE_DENIED
        target.run(f"DROP USER {account('partial')}")
        source.run(f"DROP USER {account('partial')}", "SET GLOBAL partial_revokes = OFF")

    def test_mandatory_roles_are_nobodys_own(self, trip: Trip) -> None:
        source = trip.servers.source
        before = read(source).to_json()
        source.run(f"SET GLOBAL mandatory_roles = '{PREFIX}empty'")
        assert read(source).to_json() == before
        source.run("SET GLOBAL mandatory_roles = ''")

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
        source.run(f"DROP LIBRARY {library}", f"REVOKE EXECUTE ON LIBRARY {library} FROM {who}")


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


def assert_nobody_comes_in(server: Any, name: str) -> None:
    for password in ("", PASSWORD, "invalid"):
        assert refusal(server, name, password=password) in (1045, 3118, 4151)


@pytest.mark.parametrize("crossing", ["MySQL 9.7 to MariaDB 11.8"], indirect=True)
def test_mysql_to_mariadb(crossing: tuple[Any, Any]) -> None:
    source, target = crossing
    source.run(
        *kit.PARTIAL,
        f"CREATE ROLE {account('boss', 'elsewhere')}",
        f"GRANT DELETE ON `{PREFIX}_shop`.* TO {account('boss', 'elsewhere')}",
        f"GRANT {account('boss', 'elsewhere')}, {account('who')} TO {account('member')}",
        f"SET DEFAULT ROLE {account('boss')}, {account('empty')} TO {account('member')}",
    )
    accounts = read(source)
    source.run("SET GLOBAL partial_revokes = OFF")
    outcome = restore_accounts(target, accounts)
    print(outcome["msg"], lost(outcome))


@pytest.mark.parametrize("crossing", ["MariaDB 11.8 to MySQL 9.7"], indirect=True)
def test_mariadb_to_mysql(crossing: tuple[Any, Any]) -> None:
    source, target = crossing
    source.run(
        f"CREATE ROLE {kit.text(PREFIX + 'who')}",
        f"GRANT DELETE ON `{PREFIX}_shop`.* TO {kit.text(PREFIX + 'who')}",
        f"CREATE USER {account('everything')} IDENTIFIED VIA unix_socket",
        f"GRANT ALL PRIVILEGES ON *.* TO {account('everything')} WITH GRANT OPTION",
    )
    outcome = restore_accounts(target, read(source))
    print(outcome["msg"], lost(outcome))


@pytest.mark.parametrize("crossing", ["MariaDB 11.8 to MariaDB 10.11"], indirect=True)
def test_newer_to_older(crossing: tuple[Any, Any]) -> None:
    source, target = crossing
    source.run("INSTALL SONAME 'auth_parsec'",
        f"CREATE USER {account('parsec')} IDENTIFIED VIA parsec USING PASSWORD('x')",
        f"GRANT SHOW CREATE ROUTINE ON *.* TO {account('parsec')}",)
    outcome = restore_accounts(target, read(source))
    print(outcome["msg"], lost(outcome))
    print({k: (v, shown(target).get(k)) for k, v in shown(source).items() if shown(target).get(k) != v})


def test_a_thousand_accounts(suites: dict[str, Servers]) -> None:
    pass
