# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts through the playbooks: stored along with the databases, compared, lost, and brought back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pymysql
import pytest
from kit import mariadb, postgres
from kit.plays import Controller, Play

PASSWORD = 'the app\'s "secret" word'


@dataclass
class Office:
    """One host with a server of each kind that has accounts, and a controller."""

    controller: Controller
    postgres: postgres.PostgresServer
    mariadb: mariadb.MariaDBServer

    def play(self, playbook: str, *arguments: str, **extra: object) -> Play:
        return self.controller.play(f"vya.backupdb.{playbook}", *arguments, **extra)

    @property
    def hashes(self) -> list[str]:
        """Every password hash of both servers."""
        on_postgres = self.postgres.run("postgres", "SELECT rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL")
        on_mariadb = self.mariadb.run("SELECT authentication_string FROM mysql.user WHERE authentication_string <> ''")
        return [str(row[0]) for row in [*on_postgres, *on_mariadb] if row[0] != "invalid"]

    def forget(self) -> None:
        """Loses the databases and the accounts."""
        self.postgres.drop("shop")
        self.mariadb.drop("wiki")
        for role in ("shop_app", "shop_owner", "shop_readers", "stranger"):
            self.postgres.run("postgres", f"DROP ROLE IF EXISTS {role}")
        for account in ("wiki_app@'%'", "wiki_owner@'%'", "stranger@'%'"):
            self.mariadb.run(f"DROP USER IF EXISTS {account}")
        self.mariadb.run("DROP ROLE IF EXISTS wiki_readers")

    def uses_postgres(self, statement: str) -> object:
        with psycopg.connect(
            host="127.0.0.1", port=self.postgres.port, user="shop_app", password=PASSWORD, dbname="shop"
        ) as connection:
            return connection.execute(statement).fetchone()  # type: ignore[call-overload]

    def uses_mariadb(self, statement: str) -> object:
        connection = pymysql.connect(
            host="127.0.0.1", port=self.mariadb.port, user="wiki_app", password=PASSWORD, database="wiki"
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchone()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[postgres.PostgresServer, mariadb.MariaDBServer]]:
    with postgres.running({}) as pg, mariadb.running() as maria:
        yield pg, maria


@pytest.fixture
def office(tmp_path: Path, servers: tuple[postgres.PostgresServer, mariadb.MariaDBServer]) -> Office:
    pg, maria = servers
    instances = [
        {"id": "pg-main", "engine": "postgresql", "username": "postgres", "password": pg.password, "port": pg.port},
        {"id": "maria-main", "engine": "mysql", "username": "root", "password": maria.password, "port": maria.port},
        {"id": "files", "engine": "sqlite", "path": str(tmp_path / "files")},
    ]
    (tmp_path / "files").mkdir()
    variables = {
        "backupdb_instances": [{"host": "127.0.0.1", **entry} if "port" in entry else entry for entry in instances],
        "backupdb_repository": str(tmp_path / "repository"),
        "backupdb_keyring": str(tmp_path / "keyring.json"),
    }
    office = Office(Controller(tmp_path, {"alpha": variables}), pg, maria)
    office.forget()
    password = PASSWORD.replace("'", "''")
    pg.run(
        "postgres",
        "CREATE ROLE shop_readers",
        "CREATE ROLE shop_owner",
        f"CREATE ROLE shop_app LOGIN PASSWORD '{password}' IN ROLE shop_readers",
        "CREATE ROLE stranger LOGIN",
        "CREATE DATABASE shop OWNER shop_owner",
    )
    pg.run(
        "shop",
        "CREATE TABLE item (id int PRIMARY KEY)",
        "ALTER TABLE item OWNER TO shop_owner",
        "INSERT INTO item VALUES (1), (2)",
        "GRANT SELECT ON item TO shop_readers",
    )
    maria.create("wiki", "CREATE TABLE page (id INT PRIMARY KEY); INSERT INTO page VALUES (1), (2), (3);")
    maria.run(
        "CREATE ROLE wiki_readers",
        "GRANT wiki_readers TO root@'127.0.0.1' WITH ADMIN OPTION",  # who restores has to be allowed to give it
        "CREATE USER wiki_owner",
        f"CREATE USER wiki_app IDENTIFIED BY '{password}'",
        "CREATE USER stranger",
        "GRANT SELECT ON wiki.page TO wiki_readers",
        "GRANT wiki_readers TO wiki_app",
        "SET DEFAULT ROLE wiki_readers FOR wiki_app",
        "CREATE DEFINER=wiki_owner VIEW wiki.pages AS SELECT count(*) AS n FROM wiki.page",
    )
    return office


def assert_silent(play: Play, hashes: list[str]) -> None:
    assert hashes
    assert not [secret for secret in hashes if secret in play.output]


def test_backups_take_the_accounts_along(office: Office) -> None:
    planned = office.play("backup", "--check", "--diff")
    assert [line.split()[:3] for line in planned.table()] == [
        ["maria-main", "(users)", "due"],
        ["maria-main", "wiki", "due"],
        ["pg-main", "(users)", "due"],
        ["pg-main", "shop", "due"],
    ]
    done = office.play("backup", "-vvv", max_age="1d")
    assert done.status == 0, done.output
    assert sum(" (users) backed up " in line for line in done.table()) == 2
    assert_silent(done, office.hashes)

    again = office.play("backup", max_age="1d")
    assert (again.status, again.recap("alpha")["changed"]) == (0, 0), again.output
    assert sum(" (users) not due nothing has changed since users_" in line for line in again.table()) == 2

    office.mariadb.run("GRANT DELETE ON wiki.page TO wiki_app")
    changed = office.play("users_backup")
    assert (changed.status, changed.recap("alpha")["changed"]) == (0, 1), changed.output
    assert any(line.startswith("maria-main (users) backed up ") for line in changed.table())
    assert any("(accounts have changed since users_" in line for line in changed.table())
    assert any(line.startswith("pg-main (users) not due ") for line in changed.table())

    without = office.play("backup", max_age="1d", users=False)
    assert not [line for line in without.table() if "(users)" in line]


@pytest.mark.parametrize(
    ("instance", "account", "statement"),
    [("pg-main", "shop_app", "SELECT count(*) FROM item"), ("maria-main", "wiki_app", "SELECT count(*) FROM page")],
)
def test_one_account_is_lost_and_comes_back(office: Office, instance: str, account: str, statement: str) -> None:
    office.play("backup")
    hashes = office.hashes
    uses = office.uses_postgres if instance == "pg-main" else office.uses_mariadb
    before = uses(statement)
    same = office.play("users_info", instance=instance, users_action="compare")
    assert same.status == 0, same.output
    (table,) = same.tables
    assert len(table) == 2
    assert table[1].startswith("No account differs between backup users_")

    office.postgres.run("postgres", "DROP ROLE shop_app")
    office.mariadb.run("DROP USER wiki_app")
    lost = office.play("users_info", instance=instance, users_action="compare")
    assert [line.split()[1:] for line in lost.table() if account in line] == [["missing", "the", "whole", "account"]]

    planned = office.play("users_restore", "--check", "--diff", instance=instance, accounts=[account])
    assert planned.status == 0, planned.output
    assert any(f"{account}" in line and " created" in line for line in planned.table())
    assert "********" in planned.output
    with pytest.raises((psycopg.OperationalError, pymysql.err.OperationalError)):
        uses(statement)

    restored = office.play("users_restore", "-vvv", "--diff", instance=instance, accounts=[account])
    assert restored.status == 0, restored.output
    assert uses(statement) == before
    for play in (planned, restored):
        assert_silent(play, hashes)
    again = office.play("users_restore", instance=instance)
    assert (again.status, again.recap("alpha")["changed"]) == (0, 0), again.output


@pytest.mark.parametrize(
    ("instance", "database", "needed", "statement"),
    [
        ("pg-main", "shop", {'"shop_app"', '"shop_owner"', '"shop_readers"'}, "SELECT count(*) FROM item"),
        ("maria-main", "wiki", {"'wiki_app'@'%'", "'wiki_owner'@'%'", "'wiki_readers'"}, "SELECT count(*) FROM page"),
    ],
)
def test_a_restore_brings_back_the_accounts_that_the_database_needs(
    office: Office, instance: str, database: str, needed: set[str], statement: str
) -> None:
    office.play("backup")
    uses = office.uses_postgres if instance == "pg-main" else office.uses_mariadb
    before = uses(statement)
    office.forget()
    checked = office.play("restore", "--check", instance=instance, database=database, restore_users="missing")
    assert checked.status == 0, checked.output

    restored = office.play("restore", instance=instance, database=database, restore_users="missing")
    assert restored.status == 0, restored.output
    assert uses(statement) == before
    created = {line.split(" created")[0] for line in restored.table() if " created" in line}
    assert {name.strip('"') for name in needed} <= {name.strip('"') for name in created}
    assert not [name for name in created if "stranger" in name]


def test_an_instance_that_is_not_said(office: Office) -> None:
    play = office.play("users_restore")
    assert play.status == 2
    assert "Say which instance: set backupdb_instance to one of pg-main, maria-main." in play.output


def test_an_account_that_is_another_one_now(office: Office) -> None:
    office.play("backup")
    office.mariadb.run("ALTER USER wiki_app IDENTIFIED BY 'another'", "GRANT DROP ON wiki.* TO wiki_app")
    with pytest.raises(pymysql.err.OperationalError):
        office.uses_mariadb("SELECT 1")

    left = office.play("users_restore", instance="maria-main")
    assert left.status == 0, left.output
    assert any(line.startswith("'wiki_app'@'%' left exists and is not as backed up") for line in left.table())

    refused = office.play("users_restore", instance="maria-main", users_existing="fail")
    assert refused.status == 2
    assert "exist and are not as backed up: 'wiki_app'@'%'" in refused.output

    updated = office.play("users_restore", instance="maria-main", users_existing="update")
    assert updated.status == 0, updated.output
    assert office.uses_mariadb("SELECT count(*) FROM page") == (3,)
    with pytest.raises(pymysql.err.OperationalError, match="DROP command denied"):
        office.uses_mariadb("DROP TABLE page")
    (table,) = updated.tables
    assert table[-1].startswith("The accounts as they were before are in backup users_")
