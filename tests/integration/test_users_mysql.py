# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts on MariaDB 10.11 (kit/mysql_contract.py), and what only MariaDB has. tests/versions has other servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pymysql
import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.operations.users_restore import UsersRestore
from ansible_collections.vya.backupdb.plugins.module_utils.users.registry import open_users
from kit import mariadb
from kit import mysql_accounts as kit
from kit.mysql_accounts import ED25519, PASSWORD, PREFIX, account, may, refusal
from kit.mysql_contract import (
    LOCKED_OUT,
    TABLE_DENIED,
    AccountsContract,
    Servers,
    Trip,
    client,
    lost,
    read,
    restore_accounts,
)


@pytest.fixture(scope="module")
def servers(mariadb_source: mariadb.MariaDBServer, mariadb_other: mariadb.MariaDBServer) -> Servers:
    for server in (mariadb_source, mariadb_other):
        server.run("GRANT PROXY ON ''@'%' TO root@'127.0.0.1' WITH GRANT OPTION")
    return Servers(mariadb_source, mariadb_other, "mariadb")


class TestAccounts(AccountsContract):
    """Besides what holds for every server."""

    def test_one_of_several_methods_is_enough(self, server: mariadb.MariaDBServer) -> None:
        """Line 51: unix_socket or a password."""
        assert may(server, "two", "SELECT 1") == [(1,)]
        assert refusal(server, "two", password="wrong") in (1045, 1698)
        assert refusal(server, "invalid", password="invalid") == 1045

    def test_public_is_for_everybody(self, server: mariadb.MariaDBServer) -> None:
        assert may(server, "plain", f"SELECT * FROM `{PREFIX}_public`.t") == []
        assert refusal(server, "plain", f"DELETE FROM `{PREFIX}_public`.t") == TABLE_DENIED

    def test_accounts_that_the_server_ignores_are_named(self, trip: Trip) -> None:
        """The installation makes one for the name of the machine, and the server looks up no names."""
        source = read(trip.servers.source)
        (warning,) = source.warnings
        ignored = trip.servers.source.value(
            "SELECT Host FROM mysql.user WHERE User = 'root' AND Host NOT IN ('localhost', '127.0.0.1', '::1')"
        )
        assert warning == (
            "The server ignores accounts with a host name (skip_name_resolve) and tells no privileges of them. "
            f"Left out: 'root'@'{ignored}'."
        )
        assert ("root", ignored) not in {(item.name, item.host) for item in source.accounts}


@pytest.fixture
def alone(servers: Servers) -> Iterator[mariadb.MariaDBServer]:
    """The source, with no accounts but those that a test makes."""
    yield servers.source
    kit.drop_accounts(servers.source)


def there_and_back(server: mariadb.MariaDBServer) -> None:
    """Drops all accounts and brings them back."""
    source, before = read(server), kit.shown(server)
    kit.drop_accounts(server)
    outcome = restore_accounts(server, source)
    assert (outcome["failures"], lost(outcome)) == ([], {})
    assert kit.shown(server) == before


def test_line_51_ed25519(alone: mariadb.MariaDBServer) -> None:
    """Where the target has no such plugin, the account is made, locked, and has no password."""
    tcp = ("--host=127.0.0.1", f"--port={alone.port}", f"--user={PREFIX}ed", "--execute=SELECT CURRENT_USER()")
    alone.run("INSTALL SONAME 'auth_ed25519'", ED25519)
    there_and_back(alone)
    assert client(*tcp, password=PASSWORD) == f"{PREFIX}ed@%"
    assert client(*tcp, password="wrong") == ""
    source = read(alone)
    kit.drop_accounts(alone)
    alone.run("UNINSTALL SONAME 'auth_ed25519'")
    label = f"'{PREFIX}ed'@'%'"
    assert lost(restore_accounts(alone, source)) == {
        label: [
            "The server has no authentication plugin ed25519.",
            LOCKED_OUT,
        ]
    }
    assert kit.shown(alone)[account("ed")][0].endswith("IDENTIFIED BY PASSWORD 'invalid' ACCOUNT LOCK")
    assert refusal(alone, "ed", password="") == 1045
    again = restore_accounts(alone, source)
    assert (again["changed"], again["left"]) == (False, [])
    alone.run(f"ALTER USER {account('ed')} IDENTIFIED BY 'new' ACCOUNT UNLOCK")
    assert restore_accounts(alone, source)["left"] == [label]
    restore_accounts(alone, source, "update")
    assert may(alone, "ed", "SELECT 1", password="new") == [(1,)]


def test_line_51_unix_socket(alone: mariadb.MariaDBServer) -> None:
    """The one user of the system who may come to the server's socket has an account of that name."""
    name = alone.folder.owner()
    who = f"{kit.text(name)}@localhost"
    alone.run(f"CREATE OR REPLACE USER {who} IDENTIFIED VIA unix_socket", f"GRANT SELECT ON *.* TO {who}")
    alone.run(f"CREATE USER {account('socket', 'localhost')} IDENTIFIED VIA unix_socket")
    source = read(alone)
    chosen = [item for item in source.accounts if item.name in (name, f"{PREFIX}socket")]
    alone.run(f"DROP USER {who}, {account('socket', 'localhost')}")
    with closing(open_users(alone.instance())) as engine:
        restore = UsersRestore(engine, source, "skip")
        restore.run(plans := restore.plan(chosen))
    assert [plan.result for plan in plans] == ["created", "created"]
    arguments = (f"--socket={alone.socket}", f"--user={name}", "--execute=SELECT CURRENT_USER()")
    assert client(*arguments, become=name) == f"{name}@localhost"
    with pytest.raises(pymysql.MySQLError, match="Access denied"):
        alone.connect(user=f"{PREFIX}socket")
    alone.run(f"DROP USER {who}")


def test_packages(alone: mariadb.MariaDBServer) -> None:
    """Servers before 11.4 take privileges on them in one sql_mode only."""
    kit.make_databases(alone)
    alone.run(
        "SET sql_mode = ORACLE",
        "CREATE PACKAGE p AS FUNCTION f RETURN INT; END",
        "CREATE PACKAGE BODY p AS FUNCTION f RETURN INT AS BEGIN RETURN 5; END; END",
        f"CREATE USER {account('package')} IDENTIFIED BY {kit.text(PASSWORD)}",
        f"GRANT EXECUTE ON PACKAGE p TO {account('package')}",
        f"GRANT EXECUTE ON PACKAGE BODY p TO {account('package')} WITH GRANT OPTION",
        database=f"{PREFIX}_shop",
    )
    there_and_back(alone)
    assert may(alone, "package", f"SELECT `{PREFIX}_shop`.p.f()") == [(5,)]
    kit.drop_databases(alone)
