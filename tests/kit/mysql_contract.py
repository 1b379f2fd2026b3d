# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines 50 to 56, 60 and 61 of the fidelity list: what holds for the accounts of every MySQL and MariaDB server.

A test file names the servers: it subclasses ``AccountsContract`` and has a fixture ``servers`` of the module's scope.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import pymysql
import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.errors import PermissionDeniedError, TargetExistsError
from ansible_collections.vya.backupdb.plugins.module_utils.operations.maker import SetMaker
from ansible_collections.vya.backupdb.plugins.module_utils.operations.users_backup import (
    UsersOutcome,
    UsersWanted,
    back_up_users,
)
from ansible_collections.vya.backupdb.plugins.module_utils.operations.users_restore import (
    UsersRestore,
    UsersRestoreWanted,
    outcome_of,
    restore_users,
)
from ansible_collections.vya.backupdb.plugins.module_utils.repository.catalog import Selection
from ansible_collections.vya.backupdb.plugins.module_utils.security.keyring import load_keyring
from ansible_collections.vya.backupdb.plugins.module_utils.users.model import (
    Account,
    Accounts,
    Authentication,
    Membership,
)
from ansible_collections.vya.backupdb.plugins.module_utils.users.registry import open_users

from . import mysql_accounts as kit
from .mysql_accounts import PASSWORD, PREFIX, account, login, may, refusal, role, shown
from .workshop import HOST, Workshop

SHOP = f"{PREFIX}_shop"
DENIED, TABLE_DENIED, COLUMN_DENIED, ROUTINE_DENIED, TOO_MANY = 1045, 1142, 1143, 1370, 1226
LOCKED, EXPIRED = (3118, 4151), (1820, 1862)
ADMINISTRATORS = ("root", "mysql")
LOCKED_OUT = "Nobody can log in: it is locked, and has no password."


@dataclass
class Servers:
    """Where the accounts are made, and a second server of the same version."""

    source: Any
    other: Any
    flavour: str


@dataclass
class Trip:
    """Accounts that went out of their server and came back, there and on another one, which had none of the databases
    at first."""

    servers: Servers
    shop: Workshop
    backed_up: UsersOutcome
    before: dict[str, list[str]]
    after: dict[str, list[str]]
    other: dict[str, list[str]]
    hidden: tuple[dict[str, list[str]], dict[str, list[str]], dict[str, list[str]]]
    outcomes: list[dict[str, Any]]
    hashes: set[str]


def back_up(shop: Workshop, server: Any) -> UsersOutcome:
    maker = SetMaker(shop.repository, load_keyring(shop.keyring), "zstd", 1)
    return back_up_users([server.instance()], maker, UsersWanted(HOST))


def bring_back(shop: Workshop, server: Any, check: bool = False, **wanted: Any) -> dict[str, Any]:
    """Restores all but the administrators from the newest set."""
    options = UsersRestoreWanted("latest", Selection(HOST, kind="users"), HOST, exclude=ADMINISTRATORS, **wanted)
    with closing(open_users(server.instance())) as engine:
        return restore_users(engine, shop.repository, shop.keyring, options, check)


def read(server: Any, **login: Any) -> Accounts:
    with closing(open_users(server.instance(**login))) as engine:
        return engine.read()


def restore_accounts(server: Any, source: Accounts, existing: str = "skip") -> dict[str, Any]:
    """Restores accounts that are in no set."""
    with closing(open_users(server.instance())) as engine:
        restore = UsersRestore(engine, source, existing)
        plans = restore.plan(account for account in source.accounts if account.name not in ADMINISTRATORS)
        restore.run(plans)
        return outcome_of(plans, "", check=False)


def with_accounts(source: Accounts, *accounts: Account) -> Accounts:
    return replace(source, accounts=accounts)


def lost(outcome: dict[str, Any]) -> dict[str, list[str]]:
    return {entry["account"]: entry["lost"] for entry in outcome["users"] if entry["lost"]}


def pending(outcome: dict[str, Any]) -> dict[str, list[str]]:
    return {entry["account"]: entry["pending"] for entry in outcome["users"] if entry["pending"]}


def changed_accounts(flavour: str) -> list[str]:
    """Statements that change accounts in every way that ``existing: update`` has to undo."""
    reader, writer, boss, empty = (role(flavour, name) for name in ("reader", "writer", "boss", "empty"))
    member, who, grants, routine = (account(name) for name in ("member", "who", "grants", "routine"))
    preposition = "FOR" if flavour == "mariadb" else "TO"
    common = [
        f"ALTER USER {who} IDENTIFIED BY 'changed'",
        f"REVOKE INSERT ON `{PREFIX}\\_shop`.* FROM {who}",
        f"GRANT DELETE ON `{SHOP}`.* TO {who}",
        f"GRANT SELECT ON *.* TO {who} WITH GRANT OPTION",
        f"REVOKE UPDATE (name) ON `{SHOP}`.customers FROM {account('column')}",
        f"GRANT SELECT (secret), DELETE ON `{SHOP}`.customers TO {account('column')}",
        f"REVOKE PROXY ON {who} FROM {grants}",
        f"GRANT PROXY ON {who} TO {grants}",
        f"GRANT PROXY ON {member} TO {grants} WITH GRANT OPTION",
        f"REVOKE ALL PRIVILEGES ON `{SHOP}`.* FROM {grants}",
        f"GRANT SELECT ON `{SHOP}`.* TO {grants}",
        f"GRANT ALL PRIVILEGES ON `{SHOP}`.* TO {routine}",
        f"REVOKE GRANT OPTION ON FUNCTION `{SHOP}`.f FROM {routine}",
        f"REVOKE RELOAD ON *.* FROM {routine}",
        f"ALTER USER {account('ssl')} REQUIRE NONE",
        f"ALTER USER {account('x509')} REQUIRE SSL",
        f"ALTER USER {account('issuer')} REQUIRE SUBJECT 'x'",
        f"ALTER USER {account('limits')} WITH MAX_QUERIES_PER_HOUR 1 MAX_USER_CONNECTIONS 0",
        f"ALTER USER {account('nothing')} WITH MAX_UPDATES_PER_HOUR 5",
        f"ALTER USER {account('gone')} ACCOUNT UNLOCK",
        f"ALTER USER {account('at@sign')} ACCOUNT LOCK",
        f"ALTER USER {account('days')} PASSWORD EXPIRE",
        f"ALTER USER {account('never')} PASSWORD EXPIRE DEFAULT",
        f"ALTER USER {account('old')} IDENTIFIED BY {kit.text(PASSWORD)} PASSWORD EXPIRE INTERVAL 3 DAY",
        f"REVOKE {boss} FROM {member}",
        f"GRANT {empty} TO {member} WITH ADMIN OPTION",
        f"GRANT {reader} TO {member}",
        f"SET DEFAULT ROLE {empty} {preposition} {member}",
        f"DROP USER {account('plain', '127.0.0.1')}",
        f"DROP ROLE {writer}",
    ]
    of_mariadb = [
        f"ALTER USER {account('slow')} WITH MAX_STATEMENT_TIME 0",
        f"ALTER USER {account('two')} IDENTIFIED VIA unix_socket",
        f"GRANT INSERT ON `{PREFIX}_public`.* TO PUBLIC",
    ]
    history = account("history")
    of_mysql = [
        f"ALTER USER {account('second')} DISCARD OLD PASSWORD",
        f"ALTER USER {account('column')} IDENTIFIED BY 'new' RETAIN CURRENT PASSWORD",
        f"ALTER USER {history} PASSWORD HISTORY DEFAULT PASSWORD REQUIRE CURRENT DEFAULT PASSWORD_LOCK_TIME 2",
        f"ALTER USER {history} COMMENT 'another'",
        f'ALTER USER {account("optional")} ATTRIBUTE \'{{"more": [1], "n": null}}\'',
        f"REVOKE BINLOG_ADMIN, CONNECTION_ADMIN ON *.* FROM {history}",
        f"GRANT CONNECTION_ADMIN ON *.* TO {history}",
        f"GRANT SYSTEM_VARIABLES_ADMIN ON *.* TO {history} WITH GRANT OPTION",
        f"GRANT XA_RECOVER_ADMIN ON *.* TO {history}",
        f"ALTER USER {account('boss')} COMMENT 'not the boss'",
    ]
    return [*common, *(of_mariadb if flavour == "mariadb" else of_mysql)]


def administer(server: Any, *statements: str) -> None:
    """Runs statements as the account that restores, which is who may give MariaDB's roles."""
    with closing(pymysql.connect(host="127.0.0.1", port=server.port, user="root", password=server.password)) as session:
        kit.rows(session, *statements)


class AccountsContract:
    """The tests. ``trip`` drops all that it made on both servers."""

    @pytest.fixture(scope="class")
    @classmethod
    def trip(cls, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trip]:
        source, other = servers.source, servers.other
        shop = Workshop(tmp_path_factory.mktemp("shop"))
        kit.make_accounts(source, servers.flavour)
        before, hidden = shown(source), kit.fingerprint(source)
        hashes = kit.hashes(source)
        backed_up = back_up(shop, source)
        kit.drop_accounts(source)
        assert shown(source) == {}
        outcomes = [bring_back(shop, source), bring_back(shop, other, existing="fail")]
        kit.make_databases(other)
        outcomes.append(bring_back(shop, other))
        yield Trip(
            servers, shop, backed_up, before, shown(source), shown(other),
            (hidden, kit.fingerprint(source), kit.fingerprint(other)), outcomes, hashes,
        )  # fmt: skip
        for server in (source, other):
            kit.drop_accounts(server)
            kit.drop_databases(server)

    @pytest.fixture(params=["source", "other"])
    def server(self, trip: Trip, request: pytest.FixtureRequest) -> Any:
        return getattr(trip.servers, request.param)

    def test_the_servers_show_the_same_accounts_as_before(self, trip: Trip) -> None:
        """Lines 50 to 56: the hash, every attribute and every privilege, by the server's own SHOW statements."""
        assert len(trip.before) >= 30
        assert trip.after == trip.before
        assert trip.other == trip.before
        assert trip.hidden[1] == trip.hidden[0]
        assert trip.hidden[2] == trip.hidden[0]

    def test_what_was_done_is_said(self, trip: Trip) -> None:
        first = trip.outcomes[0]
        assert first["changed"]
        assert first["failures"] == []
        assert len(first["created"]) == len({*trip.before} - {"PUBLIC"})  # which is always there
        assert pending(first) == {}
        history = {f"'{PREFIX}history'@'%'"} if trip.servers.flavour == "mysql" else set()
        assert {*lost(first)} == history

    def test_privileges_on_missing_objects_wait(self, trip: Trip) -> None:
        """Line 55: everything else is done, and a second run does these."""
        _first, without, later = trip.outcomes
        assert without["failures"] == []
        waiting = pending(without)
        assert {*waiting} >= {f"'{PREFIX}column'@'%'", f"'{PREFIX}routine'@'%'", f"'{PREFIX}who'@'%'"}
        assert any(f"(function {SHOP}.f is missing)" in line for line in waiting[f"'{PREFIX}routine'@'%'"])
        assert any(f"(table {SHOP}.customers is missing)" in line for line in waiting[f"'{PREFIX}column'@'%'"])
        assert "privileges wait for objects that are missing" in without["msg"]
        assert (later["changed"], later["created"], pending(later)) == (True, [], {})
        assert {*later["updated"]} == {*waiting}

    @pytest.mark.parametrize("existing", ["skip", "fail", "update"])
    def test_once_more_changes_nothing(self, trip: Trip, server: Any, existing: str) -> None:
        outcome = bring_back(trip.shop, server, existing=existing)
        assert [entry for entry in outcome["users"] if entry["statements"]] == []
        assert (outcome["changed"], outcome["failures"], outcome["safety_backup"]) == (False, [], None)
        assert {entry["result"] for entry in outcome["users"]} == {"unchanged"}

    def test_check_mode_lists_the_statements_and_does_nothing(self, trip: Trip, servers: Servers) -> None:
        servers.source.run(f"DROP USER {account('who')}")
        before = shown(servers.source)
        outcome = bring_back(trip.shop, servers.source, check=True)
        assert outcome["created"] == [f"'{PREFIX}who'@'%'"]
        lines = outcome["diff"]["after"].splitlines()
        assert f"GRANT INSERT, SELECT ON `{PREFIX}\\_shop`.* TO '{PREFIX}who'@'%';" in lines
        assert any(line.startswith(f"CREATE USER '{PREFIX}who'@'%' IDENTIFIED ") and "****" in line for line in lines)
        assert shown(servers.source) == before
        assert bring_back(trip.shop, servers.source)["changed"]

    def test_no_hash_is_in_anything_returned(self, trip: Trip) -> None:
        """Line 61."""
        source = read(trip.servers.source)
        returned = json.dumps([trip.outcomes, trip.backed_up.backups, trip.backed_up.planned]) + repr(source)
        assert [secret for secret in trip.hashes if secret in returned] == []
        assert any(secret in json.dumps(source.to_json()) for secret in trip.hashes)

    def test_the_set_is_sealed_and_0600(self, trip: Trip) -> None:
        """Line 61."""
        (folder,) = trip.shop.folders()
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        content = b"".join(path.read_bytes() for path in files)
        assert not any(secret.encode() in content for secret in trip.hashes)
        assert PREFIX.encode() not in content

    def test_accounts_that_did_not_change_are_not_due(self, trip: Trip) -> None:
        source, folder = trip.servers.source, trip.shop.root.parent / "another"
        folder.mkdir()
        shop = Workshop(folder)
        assert back_up(shop, source).backups[0]["reason"] == "no backup yet"
        outcome = back_up(shop, source)
        assert [entry["reason"].partition(" since ")[0] for entry in outcome.not_due] == ["nothing has changed"]
        source.run(f"GRANT DELETE ON `{SHOP}`.* TO {account('who')}")
        assert "accounts have changed since" in back_up(shop, source).backups[0]["reason"]
        source.run(f"REVOKE DELETE ON `{SHOP}`.* FROM {account('who')}")

    def test_system_accounts_are_left_out(self, trip: Trip) -> None:
        names = {account.name for account in read(trip.servers.source).accounts}
        assert "root" in names
        assert not names & {"mysql.sys", "mysql.session", "mysql.infoschema", "mariadb.sys"}

    @pytest.mark.parametrize("name", [name for name, host in kit.NAMES if name and host != "127.0.0.1"])
    def test_old_passwords_let_in(self, server: Any, name: str) -> None:
        """Lines 50, 52 and 53: whatever the name, and whatever the bytes of the hash."""
        assert may(server, name, "SELECT USER()") == [(f"{PREFIX}{name}@127.0.0.1",)]
        assert refusal(server, name, password="wrong") == DENIED
        assert refusal(server, name, password="") == DENIED

    def test_no_password_was_none_before(self, server: Any) -> None:
        assert may(server, "nothing", "SELECT 1", password="") == [(1,)]

    def test_database_privileges(self, server: Any) -> None:
        """A pattern stays one: ``_`` with a backslash is no wildcard."""
        may(server, "who", f"SELECT * FROM `{SHOP}`.customers", f"SELECT * FROM `{PREFIX}_locked`.open")
        assert refusal(server, "who", f"SELECT * FROM `{PREFIX}Xshop`.t") == TABLE_DENIED
        assert refusal(server, "who", f"SELECT * FROM `{PREFIX}_locked`.t") == TABLE_DENIED
        assert refusal(server, "who", f"DELETE FROM `{SHOP}`.customers") == TABLE_DENIED

    def test_column_privileges(self, server: Any) -> None:
        may(server, "column", f"SELECT id, name FROM `{SHOP}`.customers", f"UPDATE `{SHOP}`.customers SET name = 'b'")
        assert refusal(server, "column", f"SELECT secret FROM `{SHOP}`.customers") == COLUMN_DENIED
        assert refusal(server, "column", f"UPDATE `{SHOP}`.customers SET id = 2") == COLUMN_DENIED

    def test_routine_privileges(self, server: Any) -> None:
        assert may(server, "routine", f"CALL `{SHOP}`.p()") == [(1,)]
        assert may(server, "routine", f"SELECT `{SHOP}`.f()") == [(7,)]
        assert refusal(server, "column", f"SELECT `{SHOP}`.f()") == ROUTINE_DENIED
        may(server, "routine", f"GRANT EXECUTE ON FUNCTION `{SHOP}`.f TO {account('routine')}")
        assert (
            refusal(server, "routine", f"GRANT EXECUTE ON PROCEDURE `{SHOP}`.p TO {account('routine')}")
            == ROUTINE_DENIED
        )

    def test_all_privileges_with_grant_option_and_proxy(self, server: Any) -> None:
        who = account("plain")
        shop = f"`{SHOP}`.*"
        may(server, "grants", f"GRANT DELETE ON {shop} TO {who}", f"REVOKE DELETE ON {shop} FROM {who}")
        may(
            server,
            "grants",
            f"GRANT PROXY ON {account('who')} TO {who}",
            f"REVOKE PROXY ON {account('who')} FROM {who}",
        )
        assert refusal(server, "grants", f"GRANT SELECT ON `{PREFIX}_locked`.t TO {who}") == TABLE_DENIED
        assert refusal(server, "who", f"GRANT PROXY ON {account('column')} TO {who}") in (DENIED, 1698)

    def test_roles(self, trip: Trip, server: Any) -> None:
        """Line 54: nested roles, the default role, the admin option."""
        flavour = trip.servers.flavour
        boss, reader, nobody = role(flavour, "boss"), role(flavour, "reader"), account("plain")
        insert = f"INSERT INTO `{SHOP}`.orders VALUES (1)"
        with login(server, "member") as session:
            assert PREFIX + "boss" in kit.rows(session, "SELECT CURRENT_ROLE()")[0][0]
            kit.rows(session, insert, f"SELECT * FROM `{SHOP}`.orders", f"GRANT {boss} TO {nobody}")
            kit.rows(session, f"REVOKE {boss} FROM {nobody}", "SET ROLE NONE")
            with pytest.raises(pymysql.MySQLError):
                kit.rows(session, insert)
            with pytest.raises(pymysql.MySQLError):
                kit.rows(session, f"GRANT {reader} TO {nobody}")
        server.run(f"DELETE FROM `{SHOP}`.orders")

    @pytest.mark.parametrize("name", ["ssl", "x509", "issuer"])
    def test_tls_is_required(self, server: Any, name: str) -> None:
        """Line 56. No client has a certificate, and none comes with TLS."""
        assert refusal(server, name, ssl_disabled=True) == DENIED

    def test_limits_locks_and_expiry(self, server: Any) -> None:
        assert refusal(server, "gone") in LOCKED
        assert refusal(server, "old", "SELECT 1") in EXPIRED
        sessions = [login(server, "limits") for _turn in range(6)]
        assert refusal(server, "limits") == TOO_MANY
        for session in sessions:
            session.thing.close()
        server.run("FLUSH USER_RESOURCES")

    def test_existing_accounts_are_left_refused_or_updated(self, trip: Trip, servers: Servers) -> None:
        """Line 60: on the source, where everything was changed by hand."""
        source, shop = servers.source, trip.shop
        administer(source, *changed_accounts(servers.flavour))
        changed = shown(source)
        with pytest.raises(TargetExistsError, match=f"'{PREFIX}who'@'%'.* existing: update"):
            bring_back(shop, source, existing="fail")
        assert shown(source) == changed
        outcome = bring_back(shop, source, existing="skip")
        assert outcome["failures"] == []
        assert f"'{PREFIX}who'@'%'" in outcome["left"]
        assert shown(source)[account("who")] == changed[account("who")]
        assert refusal(source, "who") == DENIED
        outcome = bring_back(shop, source, existing="update")
        assert outcome["failures"] == []
        assert outcome["safety_backup"]
        assert shown(source) == trip.before
        assert kit.fingerprint(source) == trip.hidden[0]
        may(source, "who", "SELECT 1")
        outcome = bring_back(shop, source, existing="update")
        assert (outcome["changed"], outcome["failures"]) == (False, [])

    def test_a_failure_and_a_cycle_stop_nobody_else(self, trip: Trip, servers: Servers) -> None:
        """A hash that is none, and roles that are members of one another, which these servers refuse."""
        target, source = servers.source, read(servers.source)
        host = None if servers.flavour == "mariadb" else "%"
        one, two = role(servers.flavour, "ring1"), role(servers.flavour, "ring2")
        like = next(item for item in source.accounts if item.name == f"{PREFIX}who")
        method, bad_hash = like.authentication[0].method, "*nonsense-that-nobody-may-see"
        broken = replace(
            like, label=account("broken"), name=f"{PREFIX}broken", authentication=(Authentication(method, bad_hash),)
        )
        good = replace(like, label=account("good"), name=f"{PREFIX}good")
        roles = [
            Account(label, name, host, True, memberships=(Membership(other, default=False),))
            for label, name, other in ((one, f"{PREFIX}ring1", two), (two, f"{PREFIX}ring2", one))
        ]
        outcome = restore_accounts(target, with_accounts(source, broken, *roles, good))
        failed = {entry["account"]: entry["code"] for entry in outcome["failures"]}
        assert failed.pop(account("broken")) == "query_failed"
        assert len(failed) == 1
        assert {*failed} <= {one, two}
        assert bad_hash not in json.dumps(outcome)
        assert bad_hash.encode().hex().upper() not in json.dumps(outcome)
        assert outcome["failed"]
        may(target, "good", f"SELECT * FROM `{SHOP}`.customers")
        assert len(target.run(f"SELECT 1 FROM mysql.user WHERE User LIKE '{PREFIX}ring%'")) == 2
        administer(target, f"DROP USER {account('good')}", f"DROP ROLE {one}, {two}")

    def test_the_account_that_restores_is_left_alone(self, trip: Trip, servers: Servers) -> None:
        """An update must not take away its own login or privileges on the way."""
        source = read(servers.source)
        me = next(item for item in source.accounts if item.label == "'root'@'127.0.0.1'")
        another = replace(me, authentication=(Authentication("mysql_native_password", "*" + "1" * 40),), grants=())
        with closing(open_users(servers.source.instance())) as engine:
            restore = UsersRestore(engine, with_accounts(source, another), "update")
            plans = restore.plan([another])
            restore.run(plans)
        assert plans[0].result == "unchanged"
        assert plans[0].changes.lost == ["It is the account that restores, and is left as it is."]
        assert read(servers.source).to_json() == source.to_json()

    def test_who_may_not_read_the_accounts_is_told_what_it_takes(self, trip: Trip, servers: Servers) -> None:
        who = {"username": f"{PREFIX}who", "password": PASSWORD}
        with pytest.raises(PermissionDeniedError, match=r"needs the privilege SELECT on mysql\.\*"):
            read(servers.source, **who)
        servers.source.run(f"GRANT SELECT ON mysql.* TO {account('who')}")
        assert read(servers.source, **who).to_json() == read(servers.source).to_json()
        servers.source.run(f"REVOKE SELECT ON mysql.* FROM {account('who')}")


def client(*arguments: str, password: str = "", become: str | None = None) -> str:
    """What MariaDB's own client prints, which knows methods that the driver does not."""
    prefix = ["setpriv", f"--reuid={become}", f"--regid={become}", "--init-groups"] if become else []
    command = [*prefix, "mariadb", "--no-defaults", "--skip-column-names", *arguments]
    environment = {**os.environ, "MYSQL_PWD": password}
    return subprocess.run(command, env=environment, capture_output=True, check=False).stdout.decode().strip()
