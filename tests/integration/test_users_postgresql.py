# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles of PostgreSQL 15: read, brought back, changed, by whom may see less, without a trace in the server's log."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from ansible_collections.vya.backupdb.plugins.module_utils.errors import TargetExistsError
from ansible_collections.vya.backupdb.plugins.module_utils.operations.maker import SetMaker
from ansible_collections.vya.backupdb.plugins.module_utils.operations.users_backup import (
    UsersOutcome,
    UsersWanted,
    back_up_users,
)
from ansible_collections.vya.backupdb.plugins.module_utils.operations.users_restore import (
    UsersRestore,
    UsersRestoreWanted,
    restore_users,
)
from ansible_collections.vya.backupdb.plugins.module_utils.operations.users_set import script_of
from ansible_collections.vya.backupdb.plugins.module_utils.repository.catalog import Selection
from ansible_collections.vya.backupdb.plugins.module_utils.security.keyring import load_keyring
from ansible_collections.vya.backupdb.plugins.module_utils.users.model import Accounts
from ansible_collections.vya.backupdb.plugins.module_utils.users.postgresql.engine import PostgreSQLUsers
from kit import postgres, postgres_roles
from kit.postgres import PostgresServer, quoted
from kit.postgres_role_cases import RoleCases, bring_back, done, hashes, read, troubles
from kit.postgres_roles import OTHER
from kit.workshop import HOST, Workshop
from psycopg import sql

CHANGES = (
    "ALTER ROLE owner PASSWORD 'another'",
    "ALTER ROLE app NOINHERIT CREATEDB CONNECTION LIMIT 1",
    'ALTER ROLE "UPPER" PASSWORD NULL',
    "ALTER ROLE without NOLOGIN",
    "COMMENT ON ROLE app IS 'another'",
    "COMMENT ON ROLE boss IS 'a comment'",
    "ALTER ROLE many NOSUPERUSER CONNECTION LIMIT -1",
    "ALTER ROLE old VALID UNTIL '2090-01-01'",
    "GRANT many TO app",
    "REVOKE boss FROM member",
    "REVOKE ADMIN OPTION FOR writer FROM deputy",
    "GRANT reader TO writer WITH ADMIN OPTION",
    "ALTER ROLE app SET work_mem = '1MB'",
    "ALTER ROLE app SET lock_timeout = '1s'",
    "ALTER ROLE app IN DATABASE shop RESET statement_timeout",
    "GRANT ALL ON crm.customers TO app WITH GRANT OPTION",
    "REVOKE ALL ON crm.customers FROM z_first CASCADE",
    "GRANT SELECT ON crm.customers TO m_mid WITH GRANT OPTION",
    "SET ROLE m_mid; GRANT SELECT ON crm.customers TO reader WITH GRANT OPTION; RESET ROLE",
    "SET ROLE reader; GRANT SELECT ON crm.customers TO boss; RESET ROLE",
    "GRANT EXECUTE ON FUNCTION crm.f(int, text) TO PUBLIC",
    "REVOKE SELECT ON crm.v FROM PUBLIC",
    "GRANT DELETE ON crm.customers TO owner",
    "GRANT USAGE ON TYPE crm.state TO app WITH GRANT OPTION",
    "ALTER DEFAULT PRIVILEGES FOR ROLE owner IN SCHEMA crm GRANT SELECT ON TABLES TO reader WITH GRANT OPTION",
    "GRANT CONNECT ON DATABASE shop TO PUBLIC",
    "REVOKE GRANT OPTION FOR SET ON PARAMETER log_statement FROM app",
    "ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT EXECUTE ON FUNCTIONS TO PUBLIC",
    "ALTER DEFAULT PRIVILEGES FOR ROLE owner IN SCHEMA crm GRANT INSERT ON TABLES TO reader",
    "ALTER DEFAULT PRIVILEGES FOR ROLE owner IN SCHEMA crm REVOKE GRANT OPTION FOR USAGE ON SEQUENCES FROM reader",
)
CHANGED = ("owner", "app", "UPPER", "without", "boss", "many", "old")
"""Those of which more has changed than memberships, settings and privileges."""


def literal(text: str) -> str:
    return sql.Literal(text).as_string(None)


@pytest.fixture(scope="module")
def source() -> Iterator[PostgresServer]:
    """A server without any role of other tests."""
    with postgres.running({}) as server:
        yield server


@pytest.fixture(scope="module")
def other() -> Iterator[PostgresServer]:
    with postgres.running({}) as server:
        yield server


class TestRoles(RoleCases):
    """What holds for the server of this machine, and inside a host of another suite for its own."""

    def test_existing_roles_are_left_refused_or_changed(self, source: PostgresServer, accounts: Accounts) -> None:
        """Those that own objects, too: they can't be dropped, and need not be."""
        before = postgres_roles.globals_of(source), postgres_roles.lists(source)
        source.run("shop", *CHANGES)
        changed = postgres_roles.globals_of(source), postgres_roles.lists(source)
        assert (changed[0] != before[0], changed[1] != before[1]) == (True, True)
        skipped = bring_back(source.instance(), accounts, "skip", *CHANGED)
        assert {name: plan.result for name, plan in skipped.items()} == dict.fromkeys(CHANGED, "left")
        assert (postgres_roles.globals_of(source), postgres_roles.lists(source)) == changed
        with pytest.raises(TargetExistsError, match=r'exist and are not as backed up: .*"UPPER".*owner'):
            bring_back(source.instance(), accounts, "fail")
        assert (postgres_roles.globals_of(source), postgres_roles.lists(source)) == changed
        updated = bring_back(source.instance(), accounts, "update")
        assert troubles(updated) == []
        assert {name for name, plan in updated.items() if plan.result == "updated"} >= {*CHANGED, "a_last", "m_mid"}
        assert (postgres_roles.globals_of(source), postgres_roles.lists(source)) == before
        assert done(bring_back(source.instance(), accounts, "update")) == 0
        self.check_logins(source)

    def test_what_a_role_has_beyond_stays_without_update(self, source: PostgresServer, accounts: Accounts) -> None:
        source.run(
            "shop",
            "GRANT DELETE ON crm.customers TO app",
            "GRANT boss TO app WITH ADMIN OPTION",
            "ALTER ROLE app SET work_mem = '1MB'",
            "ALTER ROLE app SET maintenance_work_mem = '2MB'",
            "REVOKE SELECT (name) ON crm.customers FROM app",
            "ALTER ROLE app RESET app.tenant",
        )
        (plan,) = bring_back(source.instance(), accounts, "skip", "app").values()
        assert [statement.sql for statement in plan.changes.statements] == [
            'ALTER ROLE "app" SET "app"."tenant" TO \'it\'\'s, "x"\'',
            'GRANT SELECT ("name") ON TABLE "crm"."customers" TO "app"',
        ]
        assert source.value("shop", "SELECT has_table_privilege('app', 'crm.customers', 'DELETE')")
        (again,) = bring_back(source.instance(), accounts, "update", "app").values()
        assert [statement.sql for statement in again.changes.statements] == [
            'REVOKE "boss" FROM "app"',
            'ALTER ROLE "app" RESET "maintenance_work_mem"',
            'ALTER ROLE "app" SET "work_mem" TO \'64MB\'',
            'REVOKE DELETE ON TABLE "crm"."customers" FROM "app"',
        ]

    def test_a_time_can_only_be_made_infinite(self, source: PostgresServer, accounts: Accounts) -> None:
        source.run("postgres", "ALTER ROLE app VALID UNTIL '2090-01-01'")
        (plan,) = bring_back(source.instance(), accounts, "update", "app").values()
        assert [statement.sql for statement in plan.changes.statements] == ["ALTER ROLE \"app\" VALID UNTIL 'infinity'"]
        assert done(bring_back(source.instance(), accounts, "update", "app")) == 0

    def test_privileges_that_others_passed_on_are_kept_apart(self, source: PostgresServer, accounts: Accounts) -> None:
        """A grantor who was not brought back is missing; one who may not grant fails that account alone."""
        source.run(
            "shop",
            "REVOKE SELECT ON crm.customers FROM z_first CASCADE",
            "DROP OWNED BY boss",
            "DROP ROLE boss",
            "REVOKE writer FROM deputy",
        )
        plans = bring_back(source.instance(), accounts, "skip", "a_last", "deputy", "app")
        assert plans["app"].error is None
        assert plans["a_last"].error
        assert plans["a_last"].error.code == "permission_denied"
        assert "SET ROLE" in plans["a_last"].error.message
        options = "ADMIN TRUE, INHERIT TRUE, SET TRUE" if source.major >= 16 else "ADMIN OPTION"
        assert troubles({"deputy": plans["deputy"]}) == [
            f'GRANT "writer" TO "deputy" WITH {options} GRANTED BY "boss" (role writer or its grantor boss is missing)'
        ]
        source.run("shop", "DROP OWNED BY m_mid", "DROP ROLE m_mid")
        assert troubles(bring_back(source.instance(), accounts, "skip", "a_last")) == [
            'SET ROLE "m_mid"; GRANT SELECT ON TABLE "crm"."customers" TO "a_last"; RESET ROLE '
            "(table shop.crm.customers or its grantor m_mid is missing)"
        ]
        assert troubles(bring_back(source.instance(), accounts)) == []
        assert done(bring_back(source.instance(), accounts, "update")) == 0

    def test_a_grant_that_the_server_ignores_is_an_error(self, source: PostgresServer, accounts: Accounts) -> None:
        """Whoever has a privilege and may not pass it on gets a warning, and grants nothing."""
        revoked = "REVOKE GRANT OPTION FOR SELECT ON crm.customers FROM m_mid CASCADE"
        source.run("shop", f"SET ROLE z_first; {revoked}; RESET ROLE")
        (plan,) = bring_back(source.instance(), accounts, "skip", "a_last").values()
        assert plan.error
        assert 'no privileges were granted for "customers"' in plan.error.message

    def test_whose_hashes_can_not_be_read(
        self, source: PostgresServer, other: PostgresServer, accounts: Accounts
    ) -> None:
        """As on a managed service: the administrator is no superuser."""
        manager = f"CREATE ROLE manager LOGIN CREATEROLE CREATEDB PASSWORD {literal(postgres_roles.PASSWORD)}"
        for server in (source, other):
            server.run("postgres", manager, "GRANT CONNECT ON DATABASE postgres TO manager")
        source.run("shop", "GRANT CONNECT ON DATABASE shop TO manager")
        source.run("postgres", f"REVOKE CONNECT ON DATABASE {quoted(OTHER)} FROM PUBLIC")
        limited = source.instance(username="manager", password=postgres_roles.PASSWORD)
        seen = read(limited)
        assert len(seen.warnings) == 2
        assert seen.warnings[0].startswith("Passwords could not be read")
        assert seen.warnings[1].startswith(f"Privileges in database {OTHER} could not be read")
        assert hashes(seen) == []
        full = {account.label: account for account in accounts.accounts}
        assert all(
            (account.memberships, account.settings, account.comment)
            == (full[account.label].memberships, full[account.label].settings, full[account.label].comment)
            for account in seen.accounts
            if account.label in full
        )
        # without hashes to a server whose administrator may do everything
        plans = bring_back(other.instance(), seen, "skip", "app", "reader")
        assert plans["app"].changes.lost == [
            "Its password is not in the backup, because pg_authid could not be read. Set one."
        ]
        assert plans["reader"].changes.lost == []
        other.run("postgres", "ALTER ROLE reader PASSWORD 'x'", "ALTER ROLE app PASSWORD 'x'")
        assert bring_back(other.instance(), seen, "update", "app", "reader")["reader"].of_phase("create") == []
        assert other.value("postgres", "SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL") == 4
        other.run("postgres", "ALTER ROLE app PASSWORD NULL")
        assert (
            other.value("postgres", "SELECT count(*) FROM pg_authid WHERE rolname = 'app' AND rolpassword IS NULL") == 1
        )
        # with hashes by an administrator who may not look at them afterwards, nor make superusers
        postgres_roles.drop_databases(source)
        postgres_roles.drop_roles(source)
        source.run("postgres", manager)
        plans = bring_back(limited, accounts)
        assert plans["many"].error
        assert (plans["many"].error.code, plans["user"].result) == ("permission_denied", "created")
        assert postgres_roles.may(source, "user", "SELECT 1", database="postgres") == [(1,)]
        again = bring_back(limited, accounts, "update", "user")
        assert again["user"].result == "unchanged"
        assert again["user"].changes.lost == [
            "Its password was left as it is, because pg_authid could not be read there."
        ]

    def test_more_objects_take_no_more_queries(self, source: PostgresServer) -> None:
        queries: list[str] = []

        def count(*event: Any) -> None:
            queries.append(event[2])

        sa.event.listen(sa.Engine, "before_cursor_execute", count)
        try:
            source.create("shop")
            read(source.instance())
            few = len(queries)
            made = [f"CREATE ROLE r{number}; CREATE TABLE t{number} (id int)" for number in range(50)]
            source.run("shop", *made, *(f"GRANT SELECT ON t{number} TO r{number}" for number in range(50)))
            found = read(source.instance())
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", count)
        assert [len(account.grants) for account in found.accounts] == [1] * 50
        assert len(queries) == 2 * few

    def test_the_restoring_account_is_left_alone(self, source: PostgresServer, accounts: Accounts) -> None:
        source.run("postgres", "ALTER ROLE many PASSWORD 'another' CONNECTION LIMIT 9")
        (plan,) = bring_back(source.instance(username="many", password="another"), accounts, "update", "many").values()
        assert (plan.result, plan.changes.lost) == (
            "unchanged", ["It is the account that restores, and is left as it is."],
        )  # fmt: skip

    def test_a_server_without_its_maintenance_database(self, other: PostgresServer) -> None:
        """Others may make databases meanwhile, which they can't while somebody is at template1."""
        other.run("postgres", "CREATE ROLE somebody")
        other.run("template1", "DROP DATABASE postgres WITH (FORCE)")
        try:
            with closing(PostgreSQLUsers(other.instance())) as engine:
                assert [account.label for account in engine.read().accounts] == ["somebody"]
                other.run("template1", "SELECT pg_sleep(0)")
                assert engine.read().warnings == []
                other.run("template1", "CREATE DATABASE between")
        finally:
            other.run("template1", "CREATE DATABASE postgres", "DROP DATABASE between")

    def test_the_script_is_enough(self, source: PostgresServer, other: PostgresServer, accounts: Accounts) -> None:
        """For people who have nothing but the set: psql runs it. Who passes on what others gave may have to wait."""
        with closing(PostgreSQLUsers(source.instance())) as engine:
            script = script_of(engine, accounts)
        psql = ["psql", f"--host={other.folder}", f"--port={other.port}", "--username=postgres", "--quiet"]

        def run() -> tuple[int, set[str]]:
            done = subprocess.run([*psql, "postgres"], input=script, text=True, capture_output=True, check=False)
            errors = {line for line in done.stderr.splitlines() if "rror" in line or "ERROR" in line}
            return done.returncode, {line for line in errors if "already exists" not in line}

        code, errors = run()
        assert code == 2
        assert any('database "shop" does not exist' in line for line in errors)
        postgres_roles.make_databases(other)
        run()
        assert run() == (0, set())
        assert postgres_roles.globals_of(other) == postgres_roles.globals_of(source)
        assert postgres_roles.lists(other) == postgres_roles.lists(source)

    def test_no_hash_gets_into_the_log(self, source: PostgresServer, accounts: Accounts) -> None:
        postgres_roles.drop_databases(source)
        postgres_roles.drop_roles(source)
        settings = {"log_statement": "all", "log_min_messages": "log", "log_min_duration_statement": "0"}
        source.run(
            "postgres",
            *(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in settings.items()),
            "SELECT pg_reload_conf()",
        )
        secrets = hashes(accounts)
        source.run("postgres", f"CREATE ROLE seen PASSWORD '{secrets[0]}'", "SET ROLE seen")
        log = source.folder / "log"
        assert secrets[0] in log.read_text()
        start = log.stat().st_size
        with closing(PostgreSQLUsers(source.instance())) as engine:
            restore = UsersRestore(engine, accounts, "skip")
            plans = restore.plan(accounts.accounts)
            restore.run(plans)
            active = source.run(
                "postgres", "SELECT query FROM pg_stat_activity WHERE application_name = 'vya-backupdb'"
            )
        assert not [query for (query,) in active if "ROLE" in query]
        assert active
        text = log.read_bytes()[start:].decode()
        assert not [secret for secret in secrets if secret in text]
        assert {plan.result for plan in plans if plan.account.name == "app"} == {"created"}
        source.run("postgres", *(f"ALTER SYSTEM RESET {name}" for name in settings), "SELECT pg_reload_conf()")

    def test_what_is_not_kept_is_said(self, source: PostgresServer) -> None:
        source.run(
            "postgres",
            "CREATE ROLE labelled",
            "SET allow_system_table_mods = on; INSERT INTO pg_shseclabel SELECT oid, 'pg_authid'::regclass, 'x', 'y' "
            "FROM pg_authid WHERE rolname = 'labelled'",
            "ALTER ROLE postgres SET work_mem = '5MB'",
            "CREATE DATABASE shop ALLOW_CONNECTIONS false",
        )
        assert read(source.instance()).warnings == [
            "Privileges in databases that allow no connections are not kept: shop.",
            "Security labels of roles are not kept: labelled.",
            "Settings of postgres, the superuser that initdb made, are not kept.",
        ]
        source.run("postgres", "ALTER ROLE postgres RESET work_mem", "DROP ROLE labelled")

    def test_a_set_of_accounts(self, source: PostgresServer, accounts: Accounts, tmp_path: Path) -> None:
        """Sealed, taken again only after a change, and enough for what one database needs."""
        shop = Workshop(tmp_path)

        def back_up() -> UsersOutcome:
            maker = SetMaker(shop.repository, load_keyring(shop.keyring), "zstd", 1)
            return back_up_users([source.instance()], maker, UsersWanted(HOST, ["old"]))

        outcome = back_up()
        assert (outcome.failures, len(outcome.backups)) == ([], 1)
        assert back_up().not_due[0]["reason"].startswith("nothing has changed since")
        source.run("postgres", "ALTER ROLE app CONNECTION LIMIT 7")
        assert back_up().backups[0]["reason"].startswith("accounts have changed since")
        source.run("postgres", "ALTER ROLE app CONNECTION LIMIT -1")
        back_up()
        shop.back_up_one(source.instance(databases=("shop",)))
        stored = [path for path in shop.root.rglob("*") if path.is_file()]
        assert not [path for path in stored if any(secret.encode() in path.read_bytes() for secret in hashes(accounts))]
        assert {path.stat().st_mode & 0o777 for path in stored} == {0o600}
        postgres_roles.drop_databases(source)
        postgres_roles.drop_roles(source)
        wanted = UsersRestoreWanted(
            "latest", Selection(HOST, "pg", None, "users"), HOST, needed_by="latest", database="shop"
        )
        with closing(PostgreSQLUsers(source.instance())) as engine:
            planned = restore_users(engine, shop.repository, shop.keyring, wanted, check=True)
            assert postgres_roles.roles(source) == []
            restored = restore_users(engine, shop.repository, shop.keyring, wanted)
        assert "PASSWORD '********'" in planned["diff"]["after"]
        assert [entry["statements"] for entry in planned["users"]] == [
            entry["statements"] for entry in restored["users"]
        ]
        told = repr((planned, restored))
        assert not [secret for secret in hashes(accounts) if secret in told]
        assert set(restored["created"]) >= {"app", "owner", "reader", "writer", "boss", "member", '"ünï 日本"'}
        assert not {"many", "without", "forever", '"UPPER"'} & set(postgres_roles.roles(source))
        assert shop.restore(source.instance(), selection=Selection(HOST, "pg", "shop", "database"))["rows"] == 1
        assert postgres_roles.may(source, "app", "SELECT id, name FROM crm.customers") == [(1, "a")]
