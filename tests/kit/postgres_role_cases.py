# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to hold of roles on every version of PostgreSQL. Test files give the servers ``source`` and ``other``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from ansible_collections.vya.backupdb.plugins.module_utils.operations.users_restore import (
    AccountRestore,
    UsersRestore,
)
from ansible_collections.vya.backupdb.plugins.module_utils.users.diff import compare
from ansible_collections.vya.backupdb.plugins.module_utils.users.model import Accounts
from ansible_collections.vya.backupdb.plugins.module_utils.users.postgresql.engine import PostgreSQLUsers

from . import postgres_roles
from .postgres_roles import NAMES, OTHER, login, may

REFUSED = psycopg.errors.InsufficientPrivilege


def read(instance: Instance) -> Accounts:
    """The accounts of an instance, as a backup set gives them back."""
    with closing(PostgreSQLUsers(instance)) as engine:
        return Accounts.from_json(json.loads(json.dumps(engine.read().to_json())))


def bring_back(
    instance: Instance, accounts: Accounts, existing: str = "skip", *names: str
) -> dict[str, AccountRestore]:
    """Restores accounts, all or those of the names; what became of each."""
    with closing(PostgreSQLUsers(instance)) as engine:
        restore = UsersRestore(engine, accounts, existing)
        plans = restore.plan([account for account in accounts.accounts if not names or account.name in names])
        restore.run(plans)
    return {plan.account.name: plan for plan in plans}


def troubles(plans: dict[str, AccountRestore]) -> list[str]:
    """Everything that was not done as asked."""
    said = [plan.to_json() for plan in plans.values()]
    return [line for entry in said for line in (*entry["pending"], *entry["lost"], *filter(None, [entry["error"]]))]


def done(plans: dict[str, AccountRestore]) -> int:
    return sum(plan.done for plan in plans.values())


def hashes(accounts: Accounts) -> list[str]:
    return [way.secret for account in accounts.accounts for way in account.authentication if way.secret]


class RoleCases:
    @pytest.fixture(autouse=True)
    def _clean(self, source: Any, other: Any) -> Iterator[None]:
        yield
        for server in (source, other):
            postgres_roles.drop_databases(server)
            postgres_roles.drop_roles(server)

    @pytest.fixture
    def accounts(self, source: Any) -> Accounts:
        """Everything that roles can have, made on the source."""
        postgres_roles.make_roles(source)
        postgres_roles.make_databases(source)
        postgres_roles.grant(source)
        return read(source.instance())

    def test_a_fresh_server_has_no_accounts_of_its_own(self, source: Any) -> None:
        found = read(source.instance())
        assert (found.accounts, found.warnings) == ([], [])

    @pytest.mark.parametrize("where", ["source", "other"])
    def test_everything_comes_back(self, source: Any, other: Any, accounts: Accounts, where: str) -> None:
        before = postgres_roles.globals_of(source), postgres_roles.lists(source)
        target = {"source": source, "other": other}[where]
        if where == "source":
            postgres_roles.drop_databases(source)
            postgres_roles.drop_roles(source)
            assert read(source.instance()).accounts == []
        first = bring_back(target.instance(), accounts)
        assert not [plan.error for plan in first.values() if plan.error]
        assert any("(table shop.crm.customers is missing)" in line for line in troubles(first))
        assert all(plan.result == "created" for name, plan in first.items() if not name.startswith("p"))
        postgres_roles.make_databases(target)
        second = bring_back(target.instance(), accounts)
        assert troubles(second) == []
        assert {plan.result for plan in second.values()} == {"updated", "unchanged"}
        assert (postgres_roles.globals_of(target), postgres_roles.lists(target)) == before
        third = bring_back(target.instance(), accounts, "update")
        assert [plan.changes.statements for plan in third.values()] == [[]] * len(third)
        assert {plan.result for plan in third.values()} == {"unchanged"}
        difference = compare(accounts, read(target.instance()))
        assert (difference.missing, difference.extra, difference.changed) == ([], [], {})
        told = repr([plan.to_json() for plan in [*first.values(), *second.values()]]) + repr(accounts)
        assert not [secret for secret in hashes(accounts) if secret in told or secret[20:60] in told]
        self.check_logins(target)
        self.check_rights(target)

    def check_logins(self, server: Any) -> None:
        for name in (*NAMES, "app", "owner", "many", "forever"):
            assert may(server, name, "SELECT current_user", database="postgres") == [(name,)]
        postgres_roles.accept_md5(server)
        assert may(server, "oldhash", "SELECT current_user", database="postgres") == [("oldhash",)]
        for name in ("old", "nobody", "without", "locked", "reader"):
            with pytest.raises(psycopg.OperationalError):
                login(server, name)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            login(server, "app", password="another")
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            login(server, "UPPER", "shop")
        shown = ["search_path", "work_mem", "app.tenant", "statement_timeout", "idle_in_transaction_session_timeout"]
        assert [may(server, "app", f"SHOW {name}")[0][0] for name in shown] == [
            '"$user", "a b", crm, public', "64MB", "it's, \"x\"", "5s", "1h",
        ]  # fmt: skip
        assert may(server, "app", "SHOW search_path", database=OTHER) == [('x, "it\'s"',)]

    def check_rights(self, server: Any) -> None:
        allowed = {
            "app": (
                "SELECT id, name FROM crm.customers",
                "SELECT crm.f(1)",
                "CALL crm.p(1, NULL)",
                "SELECT crm.total(x) FROM (VALUES (1)) v (x)",
                "SELECT 'new'::crm.state::text",
                "SELECT loread(lo_open(4711, 262144), 1)",
                "SELECT pg_ls_dir('.')",
                "SELECT rolname FROM pg_authid",
                "SET log_statement = 'none'",
                "CREATE USER MAPPING FOR app SERVER elsewhere",
                "DROP USER MAPPING FOR app SERVER elsewhere",
                "GRANT EXECUTE ON FUNCTION crm.f(int, text) TO reader",
                "REVOKE EXECUTE ON FUNCTION crm.f(int, text) FROM reader",
            ),
            "member": ("SET ROLE writer", "INSERT INTO crm.customers VALUES (9)", "SELECT nextval('crm.numbers')"),
            "a_last": ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SELECT * FROM crm.customers"),
            "many": ("CREATE ROLE made BYPASSRLS", "DROP ROLE made"),
            "owner": ("CREATE TABLE crm.later (id int)",
                      "CREATE FUNCTION crm.new() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
            "deputy": ("GRANT writer TO without", "REVOKE writer FROM without"),
        }  # fmt: skip
        refused = {
            "app": ("SELECT secret FROM crm.customers", "DELETE FROM crm.customers", "SELECT crm.new()",
                    "SELECT * FROM crm.m", "CREATE ROLE made", "SELECT rolpassword FROM pg_authid",
                    "SELECT * FROM pg_stat_database"),
            "member": ("DELETE FROM crm.customers", "SELECT crm.f(1)", "CREATE DATABASE made"),
            "owner": ("DELETE FROM crm.customers", "CALL crm.p(1, NULL)"),
            "z_first": ("INSERT INTO crm.customers VALUES (1)",),
        }  # fmt: skip
        # a role that passes rights on and has no CONNECT is tried elsewhere, too
        server.run("postgres", "GRANT CONNECT ON DATABASE shop TO a_last, many, deputy")
        for name, statements in allowed.items():
            for statement in statements:
                may(server, name, statement)
        assert may(server, "member", "SELECT count(*) FROM crm.later") == [(0,)]
        for name, statements in refused.items():
            for statement in statements:
                with pytest.raises(REFUSED):
                    may(server, name, statement)
