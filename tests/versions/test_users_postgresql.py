# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles of PostgreSQL 17 (Debian trixie) and 18 (sid), and the way between these and PostgreSQL 15."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.users.base import CREATE, MEMBERSHIP
from ansible_collections.vya.backupdb.plugins.module_utils.users.model import Accounts
from kit import postgres, postgres_roles
from kit.barehost import BareHost
from kit.postgres import PostgresServer
from kit.postgres_role_cases import REFUSED, RoleCases, bring_back, done, read, troubles
from kit.suites import SuitePostgres, suite_host

OLDER = "PostgreSQL 15"
LOST = {
    '"ünï 日本"': [f'MAINTAIN on table shop.public.t "x" ü: {OLDER} has no such privilege.'],
    "app": [f"Membership in reader: it gave nothing, and in {OLDER} it would give all of reader."],
    "member": [f"{OLDER} has no role pg_maintain."],
    "picky": [
        f"That membership in reader is inherited: in {OLDER} the attribute INHERIT rules all.",
        f"That membership in writer is without SET: in {OLDER} every member may SET ROLE.",
        f"That writer was granted by more than one role: {OLDER} keeps one grantor.",
    ],
    "writer": [f"MAINTAIN on table shop.crm.customers: {OLDER} has no such privilege."],
}
LOST_OF_18 = {
    "reader": [f"SELECT on default large object shop.owner: {OLDER} has no default privileges on large objects."]
}


SCALE_ROLES, SCALE_TABLES = 1000, 2000
VERIFIER = "SCRAM-SHA-256$4096:mZ7LC50mW7lE85YK7vZIAQ==$" + ":".join(
    ["HTrCR2KeBxpSp8lkFtb+PGRczKLzLf9/5H9WuvtiPjM="] * 2
)


@pytest.fixture(scope="module", params=["trixie", "sid"])
def host(request: pytest.FixtureRequest) -> Iterator[BareHost]:
    with suite_host(request.param) as host:
        yield host


@pytest.fixture(scope="module")
def source(host: BareHost) -> SuitePostgres:
    return SuitePostgres(host)


@pytest.fixture(scope="module")
def other(host: BareHost) -> SuitePostgres:
    return SuitePostgres(host)


@pytest.fixture(scope="module")
def postgresql_15() -> Iterator[PostgresServer]:
    with postgres.running({}) as server:
        yield server


@pytest.fixture
def old(postgresql_15: PostgresServer) -> Iterator[PostgresServer]:
    """PostgreSQL 15, left as it was found."""
    yield postgresql_15
    postgres_roles.drop_databases(postgresql_15)
    postgres_roles.drop_roles(postgresql_15)


class TestRoles(RoleCases):
    """All that holds of PostgreSQL 15, and what is new."""

    def test_options_and_grantors_of_memberships(self, source: SuitePostgres, accounts: Accounts) -> None:
        query = """
            SELECT member::regrole::text, roleid::regrole::text, grantor::regrole::text, admin_option, inherit_option,
                   set_option FROM pg_auth_members
            WHERE member::regrole::text IN ('app', 'picky', 'deputy') ORDER BY 1, 2, 3"""
        kept = [
            ("app", "reader", "postgres", False, False, False),
            ("deputy", "writer", "boss", True, True, True),
            ("picky", "reader", "postgres", False, True, True),
            ("picky", "writer", "boss", True, False, False),
            ("picky", "writer", "postgres", False, False, True),
        ]
        assert source.run("postgres", query) == kept
        before = postgres_roles.globals_of(source)
        source.run(
            "postgres",
            "GRANT reader TO app WITH ADMIN TRUE, INHERIT TRUE, SET TRUE",
            "REVOKE writer FROM picky GRANTED BY boss",
            "GRANT writer TO picky WITH INHERIT TRUE, SET FALSE",
            "REVOKE ADMIN OPTION FOR writer FROM deputy GRANTED BY boss CASCADE",
            "GRANT writer TO deputy WITH ADMIN TRUE",
            "SET ROLE deputy; GRANT writer TO without; RESET ROLE",
        )
        assert postgres_roles.globals_of(source) != before
        assert troubles(bring_back(source.instance(), accounts, "update")) == []
        assert source.run("postgres", query) == kept
        assert postgres_roles.globals_of(source) == before
        assert done(bring_back(source.instance(), accounts, "update")) == 0
        with pytest.raises(REFUSED):
            postgres_roles.may(source, "app", "SET ROLE reader")

    def test_by_whom_is_no_superuser(self, source: SuitePostgres, accounts: Accounts) -> None:
        """Who may create roles makes them, and grants what he has been given with them."""
        postgres_roles.drop_databases(source)
        postgres_roles.drop_roles(source)
        source.run("postgres", f"CREATE ROLE manager CREATEROLE {postgres_roles.LOGIN}")
        limited = source.instance(username="manager", password=postgres_roles.PASSWORD)
        plans = bring_back(limited, accounts)
        codes = {name: plan.error.code for name, plan in plans.items() if plan.error}
        assert set(codes.values()) == {"permission_denied"}
        assert {"many", "deputy"} <= set(codes)
        assert not {*postgres_roles.NAMES, "boss", "z_first"} & set(codes)
        assert postgres_roles.may(source, "user", "SELECT 1", database="postgres") == [(1,)]
        assert source.run("postgres", "SELECT pg_has_role('boss', 'reader', 'USAGE')") == [(True,)]
        again = bring_back(limited, accounts, "update", *postgres_roles.NAMES, "writer", "boss")
        assert not [plan for plan in again.values() if plan.of_phase(CREATE) or plan.of_phase(MEMBERSHIP)]

    def test_to_an_older_server(self, source: SuitePostgres, old: PostgresServer, accounts: Accounts) -> None:
        """What an older server can't hold is said, nothing more is lost, and nobody may more than before."""
        bring_back(old.instance(), accounts)
        postgres_roles.make_databases(old)
        plans = bring_back(old.instance(), accounts)
        said = {plan.account.label: plan.changes.lost for plan in plans.values() if plan.changes.lost}
        named = LOST | (LOST_OF_18 if postgres_roles.version(source) >= 18 else {})
        assert {label: said.get(label) for label in named} == named
        assert set(said) == {*named, '"it\'s a ""name"" \\ $x"'}
        assert [plan.error or plan.pending for plan in plans.values() if plan.error or plan.pending] == []
        assert done(bring_back(old.instance(), accounts, "update")) == 0
        self.check_logins(old)
        self.check_rights(old)
        with pytest.raises(REFUSED):
            postgres_roles.may(old, "app", "SET ROLE reader")

    def test_from_an_older_server(self, source: SuitePostgres, old: PostgresServer) -> None:
        """There anybody may have granted a role; here only who has it with ADMIN OPTION."""
        postgres_roles.make_roles(old)
        old.run("postgres", "GRANT reader TO a_last GRANTED BY without", "ALTER ROLE member NOINHERIT")
        postgres_roles.make_databases(old)
        postgres_roles.grant(old)
        accounts = read(old.instance())
        first = bring_back(source.instance(), accounts)
        postgres_roles.make_databases(source)
        assert not [plan.error for plan in first.values() if plan.error]
        second = bring_back(source.instance(), accounts)
        assert troubles(second) == ["That without granted reader: it has not that role with ADMIN OPTION."]
        options = "SELECT DISTINCT inherit_option, set_option FROM pg_auth_members WHERE member = '{}'::regrole"
        assert source.run("postgres", options.format("member")) == [(False, True)]
        assert source.run("postgres", options.format("a_last")) == [(True, True)]
        assert done(bring_back(source.instance(), accounts, "update")) == 0
        self.check_logins(source)
        source.run("postgres", "ALTER ROLE member INHERIT", "GRANT boss TO member WITH INHERIT TRUE")
        self.check_rights(source)


def test_a_thousand_roles(old: PostgresServer) -> None:
    """Prints how long it takes; `pytest -s` shows it."""
    lists = """
        SELECT relname, ARRAY(SELECT unnest(relacl)::text ORDER BY 1) FROM pg_class
        WHERE relname ~ '^t[0-9]' ORDER BY 1"""
    old.create("shop")
    with old.connect("shop") as connection, connection.transaction():
        for number in range(SCALE_ROLES):
            connection.execute(f"CREATE ROLE r{number} LOGIN PASSWORD '{VERIFIER}'")
            if number:
                connection.execute(f"GRANT r{number // 10} TO r{number}")
        for number in range(SCALE_TABLES):
            takers = ", ".join(f"r{(number * factor) % SCALE_ROLES}" for factor in (1, 7, 13))
            connection.execute(f"CREATE TABLE t{number} (id int); GRANT SELECT, INSERT ON t{number} TO {takers}")
    before = old.run("shop", lists), postgres_roles.globals_of(old)
    started = time.monotonic()
    accounts = read(old.instance())
    print(f"read in {time.monotonic() - started:.1f} s")
    with old.connect("shop") as connection:
        connection.execute(f"DROP OWNED BY {', '.join(postgres_roles.roles(old))}")
    postgres_roles.drop_roles(old)
    started = time.monotonic()
    plans = bring_back(old.instance(), accounts)
    print(f"restored in {time.monotonic() - started:.1f} s with {done(plans)} statements")
    assert troubles(plans) == []
    assert (old.run("shop", lists), postgres_roles.globals_of(old)) == before
