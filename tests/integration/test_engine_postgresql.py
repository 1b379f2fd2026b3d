# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the PostgreSQL engine behaves with bad input, secrets, failures, and in the company of others."""

from __future__ import annotations

import errno
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import psycopg
import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from ansible_collections.vya.backupdb.plugins.module_utils.engines.base import Inventory, StoredPart
from ansible_collections.vya.backupdb.plugins.module_utils.engines.postgresql import databases as postgresql_databases
from ansible_collections.vya.backupdb.plugins.module_utils.engines.postgresql import snapshot as postgresql_snapshot
from ansible_collections.vya.backupdb.plugins.module_utils.engines.postgresql.engine import PostgreSQL
from ansible_collections.vya.backupdb.plugins.module_utils.errors import (
    AmbiguousError,
    AuthenticationFailedError,
    BackupdbError,
    ConnectionFailedError,
    DatabaseBusyError,
    DatabaseCorruptError,
    InvalidConfigError,
    NoSpaceError,
    NotFoundError,
    PermissionDeniedError,
    RowCountMismatchError,
    SchemaChangedError,
    TargetExistsError,
    TargetUnfitError,
    ToolFailedError,
    ToolMissingError,
)
from kit.postgres import PostgresServer, quoted, running
from kit.postgres_compare import facts, rows
from kit.postgres_tools import fake_tools
from kit.roundtrip import PlainSource, bring_back, take
from psycopg import sql

SHOP = [
    "CREATE TYPE state AS ENUM ('new', 'paid')",
    "CREATE SEQUENCE numbers START 1000",
    "CREATE FUNCTION fine(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 0'",
    "CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE TABLE customers (id serial PRIMARY KEY, name text NOT NULL)",
    "CREATE TABLE orders (id int PRIMARY KEY DEFAULT nextval('numbers'), customer int REFERENCES customers, s state, "
    "amount int CHECK (fine(amount)), line int GENERATED ALWAYS AS IDENTITY)",
    "CREATE INDEX orders_by_state ON orders (s) WHERE s = 'new'",
    "CREATE TRIGGER touching BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touched()",
    "COMMENT ON TABLE orders IS 'what is bought'",
    "COMMENT ON CONSTRAINT orders_customer_fkey ON orders IS 'who buys'",
    "CREATE TABLE refunds (id int PRIMARY KEY, order_id int REFERENCES orders)",
    "INSERT INTO customers (name) SELECT 'c' || g FROM generate_series(1, 500) g",
    "INSERT INTO orders (customer, s, amount) SELECT g % 500 + 1, 'paid', g FROM generate_series(1, 3000) g",
    "INSERT INTO refunds SELECT g, 999 + g FROM generate_series(1, 10) g",
    "CREATE TABLE days (day int, v text, PRIMARY KEY (day)) PARTITION BY RANGE (day)",
    "CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM (0) TO (100)",
    "CREATE TABLE days_2 PARTITION OF days FOR VALUES FROM (100) TO (200)",
    "INSERT INTO days SELECT g, 'v' || g FROM generate_series(0, 199) g",
    "CREATE PUBLICATION news FOR TABLE orders",
]


@pytest.fixture(scope="session")
def server(postgres_source: PostgresServer) -> PostgresServer:
    return postgres_source


@pytest.fixture(scope="session")
def other(postgres_other: PostgresServer) -> PostgresServer:
    return postgres_other


@pytest.fixture(scope="module")
def shop(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainSource]:
    """A backup of a small shop, with the larger tables as streams in pieces."""
    server.create("shop", *SHOP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgresql_snapshot, "LARGE_TABLE_BYTES", 32768)
        patch.setattr(postgresql_snapshot, "PIECE_BYTES", 65536)
        taken = take(server.instance(), "shop", tmp_path_factory.mktemp("shop"))
    assert len(taken.parts) > 3
    yield taken
    server.drop("shop")


@pytest.fixture(autouse=True)
def nothing_left_behind(server: PostgresServer, other: PostgresServer) -> Iterator[None]:
    """After every test: no child, no connection, no lock, no database and no claim of ours."""
    yield
    deadline = time.monotonic() + 30
    while (left := list(leftovers(server, other))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


def leftovers(*servers: PostgresServer) -> Iterator[object]:
    yield from (Path(f"/proc/{pid}/cmdline").read_text().split("\0") for pid in tool_pids())
    for server in servers:
        yield from server.run("postgres", "SELECT * FROM pg_stat_activity WHERE application_name = 'vya-backupdb'")
        yield from server.run("postgres", "SELECT * FROM pg_locks WHERE locktype = 'advisory'")
        yield from (name for name in server.databases() if name.startswith("vya-"))


def tool_pids() -> list[int]:
    """Our running children that are PostgreSQL's client programs."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _bracket, rest = status.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if name in ("psql", "pg_dump", "pg_restore") and int(rest.split()[1]) == os.getpid():
            found.append(int(status.parent.name))
    return found


@contextmanager
def engine_of(instance: Instance) -> Iterator[PostgreSQL]:
    with closing(PostgreSQL(instance)) as engine:
        yield engine


def changed(source: PlainSource, **inventory: Any) -> PlainSource:
    """The backup with another inventory."""
    copy = PlainSource(source.engine, source.flavour, source.server_version, source.database)
    copy.inventory = Inventory.from_json({**source.inventory.to_json(), **inventory})
    copy.parts, copy.files = source.parts, source.files
    return copy


# Connections and accounts


def test_wrong_password(server: PostgresServer) -> None:
    refused = pytest.raises(AuthenticationFailedError, match="refused the login as postgres")
    with engine_of(server.instance(password="no 'secret' %s")) as engine, refused as error:
        engine.server()
    assert "no 'secret'" not in error.value.message


def test_server_down(server: PostgresServer) -> None:
    with engine_of(server.instance(port=1)) as engine, pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1:1"):
        engine.databases()


def test_unknown_database(server: PostgresServer, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match='database "nowhere" does not exist'):
        take(server.instance(), "nowhere", tmp_path)


PASSWORDS = [
    "plain",
    'it\'s "quoted"',
    "sp ace\ttab",
    "%s %(x)s %%",
    "$HOME `id` $(id)",
    "user@host:5432/db?x=y#z",
    "back\\slash\\:colon:\\",
    "пароль 密码 😀",
    "line\nbreak",
    "ends with \r",
    " ",
]


@pytest.mark.parametrize("password", PASSWORDS)
def test_passwords_reach_driver_and_tools(
    password: str, server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "of another server")
    monkeypatch.setattr(postgresql_snapshot, "LARGE_TABLE_BYTES", 1)
    name = "odd user's @:% name"
    server.run("postgres", f"DROP ROLE IF EXISTS {quoted(name)}")
    server.role(name, f"LOGIN CREATEDB PASSWORD {sql.Literal(password).as_string(None)}")
    server.create("odd = 'db'", "CREATE TABLE t AS SELECT generate_series(1, 5) AS id", options=f"OWNER {quoted(name)}")
    server.run("odd = 'db'", f"ALTER TABLE t OWNER TO {quoted(name)}")
    account = server.instance(username=name, password=password)
    source = take(account, "odd = 'db'", tmp_path)
    restored = bring_back(source, account, "odd = 'db'", replace=True)
    assert [table.rows for table in restored.tables] == [5]
    with pytest.raises(BackupdbError) as error:
        take(replace(account, password=f"{password}x"), "odd = 'db'", tmp_path)
    assert password == " " or password not in error.value.message
    server.drop("odd = 'db'")
    server.run("postgres", f"DROP ROLE {quoted(name)}")


def test_secrets_are_in_no_command_line_and_no_environment(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While both kinds of parts are being read: their pipes are full, and so the tools are waiting for us."""
    monkeypatch.setattr(postgresql_snapshot, "LARGE_TABLE_BYTES", 3 << 20)
    rows_of = "AS SELECT repeat(md5(g::text), 50) AS v FROM generate_series(1, {}) g"
    server.create(
        "wide",
        f"CREATE TABLE large {rows_of.format(10000)}",
        *(f"CREATE TABLE small_{n} {rows_of.format(1000)}" for n in range(5)),
        *(f"ALTER TABLE {name} ALTER v SET STORAGE EXTERNAL" for name in ("large", "small_0")),
    )
    with engine_of(server.instance()) as engine, engine.snapshot("wide", 2) as snapshot:
        archive, copy = snapshot.parts
        with archive.open() as first, copy.open() as second:
            assert first.read(10) and second.read(10)
            pids = tool_pids()
            assert len(pids) == 2
            for pid in pids:
                for file in ("cmdline", "environ"):
                    content = Path(f"/proc/{pid}/{file}").read_bytes()
                    assert content
                    assert b"a \\secret" not in content
                    assert b"a \\\\secret" not in content
            for stream in (first, second):
                while stream.read(1 << 20):
                    pass
    server.drop("wide")


def test_unprivileged_owner_backs_up_and_restores(
    server: PostgresServer, other: PostgresServer, tmp_path: Path
) -> None:
    for where in (server, other):
        where.role("tenant_owner", "LOGIN CREATEDB PASSWORD 'p'")
    server.create("tenancy", options="OWNER tenant_owner")
    with server.connect("tenancy", "tenant_owner") as connection:
        connection.execute("CREATE TABLE t AS SELECT generate_series(1, 9) AS id")
        connection.execute("CREATE EXTENSION hstore")
    account = {"username": "tenant_owner", "password": "p"}
    source = take(server.instance(**account), "tenancy", tmp_path)
    bring_back(source, other.instance(**account), "tenancy")
    bring_back(source, other.instance(**account), "tenancy", replace=True, tables=("public.t",))
    assert facts(other, "tenancy") == facts(server, "tenancy")
    server.create("closed", "REVOKE ALL ON DATABASE closed FROM PUBLIC")
    with engine_of(server.instance(**account)) as engine:
        assert {"closed", "tenancy"} <= {database.name for database in engine.databases()}
        with pytest.raises(PermissionDeniedError, match="permission denied for database"):
            engine.existing_tables("closed")
    server.create("secretive", "CREATE TABLE t (id int)")
    with pytest.raises(PermissionDeniedError, match="permission denied for table t"):
        take(server.instance(**account), "secretive", tmp_path)
    server.drop("tenancy", "closed", "secretive")
    other.drop("tenancy")


# What there is


def test_databases(server: PostgresServer, shop: PlainSource) -> None:
    server.create("vya-backupdb-restore-0123456789ab")
    server.create("unconnectable")
    server.run("postgres", "ALTER DATABASE unconnectable ALLOW_CONNECTIONS false")
    with engine_of(server.instance()) as engine:
        assert engine.server().flavour == "postgresql"
        assert engine.server().version == server.value("postgres", "SHOW server_version").split()[0]
        found = {database.name: database for database in engine.databases()}
        assert found["shop"].tables == 5
        assert found["shop"].size_bytes > 1 << 20
        assert not {"postgres", "template1", "unconnectable", "vya-backupdb-restore-0123456789ab"} & found.keys()
        assert engine.exists("shop") and engine.exists("postgres") and not engine.exists("Shop")
        assert "public.days" in engine.existing_tables("shop")
        assert engine.existing_tables("nowhere") == []
    with engine_of(server.instance(databases=("postgres", "s*"))) as engine:
        assert "postgres" in [database.name for database in engine.databases()]
    server.drop("vya-backupdb-restore-0123456789ab", "unconnectable")


def test_database_closed_by_host_rules_is_listed(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.create("limited", "CREATE TABLE t (id int)")
    server.role("visitor", "LOGIN PASSWORD 'p'")
    server.run("postgres", "ALTER DATABASE limited CONNECTION LIMIT 0")
    with engine_of(server.instance(username="visitor", password="p")) as engine:
        assert [(found.name, found.tables) for found in engine.databases() if found.name == "limited"] == [
            ("limited", 0)
        ]
    server.drop("limited")
    server.run("postgres", "DROP ROLE visitor")


def test_inventory(server: PostgresServer, shop: PlainSource) -> None:
    inventory = shop.inventory
    assert {table.label: table.rows for table in inventory.tables} == {
        "public.customers": 500,
        "public.days_1": 100,
        "public.days_2": 100,
        "public.orders": 3000,
        "public.refunds": 10,
    }
    assert (inventory.views, inventory.routines, inventory.triggers, inventory.events) == (0, 2, 1, 0)
    assert shop.position["lsn"].count("/") == 1


def test_equal_schemas_have_equal_digests(server: PostgresServer, shop: PlainSource, tmp_path: Path) -> None:
    bring_back(shop, server.instance(), "shop 2")
    assert take(server.instance(), "shop 2", tmp_path).inventory.schema_sha256 == shop.inventory.schema_sha256
    server.run("shop 2", "ALTER TABLE refunds ADD COLUMN why text")
    assert take(server.instance(), "shop 2", tmp_path).inventory.schema_sha256 != shop.inventory.schema_sha256
    server.drop("shop 2")


# Snapshots


def test_all_parts_show_one_moment(server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Amounts wander between two tables while the parts are read, one table by one transaction after the other."""
    monkeypatch.setattr(postgresql_snapshot, "LARGE_TABLE_BYTES", 8192)
    monkeypatch.setattr(postgresql_snapshot, "PIECE_BYTES", 1 << 20)
    server.create(
        "bank", *(f"CREATE TABLE {n} AS SELECT g AS id, 100 AS v FROM generate_series(1, 900) g" for n in "ab")
    )
    stop = threading.Event()

    def move() -> None:
        with server.connect("bank") as connection:
            while not stop.is_set():
                with connection.transaction():
                    connection.execute("UPDATE a SET v = v - 1 WHERE id % 7 = 0")
                    connection.execute("UPDATE b SET v = v + 1 WHERE id % 7 = 0")
                time.sleep(0.001)

    mover = threading.Thread(target=move)
    mover.start()
    try:
        for _turn in range(3):
            bring_back(take(server.instance(), "bank", tmp_path), server.instance(), "bank 2", replace=True)
            assert server.value("bank 2", "SELECT (SELECT sum(v) FROM a) + (SELECT sum(v) FROM b)") == 180000
    finally:
        stop.set()
        mover.join()
    server.drop("bank", "bank 2")


@pytest.mark.parametrize("which", [0, 1])
def test_killed_tool_fails_the_part(which: int, server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.create("long", "CREATE TABLE t AS SELECT repeat('x', 1000) AS v FROM generate_series(1, 9000)")
    monkeypatch.setattr(postgresql_snapshot, "LARGE_TABLE_BYTES", 1 if which else 1 << 30)
    failed = pytest.raises(ToolFailedError, match=r"of database long of instance pg failed: .*signal 9")
    with (
        failed,
        engine_of(server.instance()) as engine,
        engine.snapshot("long", 1) as snapshot,
        snapshot.parts[which].open() as stream,
    ):
        assert stream.read(100)
        os.kill(tool_pids()[0], signal.SIGKILL)
        while stream.read(1 << 16):
            pass
    server.drop("long")


def test_leaving_early_stops_the_tool(server: PostgresServer, shop: PlainSource) -> None:
    with engine_of(server.instance()) as engine, engine.snapshot("shop", 1) as snapshot:
        with pytest.raises(KeyboardInterrupt), snapshot.parts[0].open() as stream:
            assert stream.read(100)
            raise KeyboardInterrupt
        assert not tool_pids()


def test_part_fills_a_buffer(server: PostgresServer, shop: PlainSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_snapshot, "LARGE_TABLE_BYTES", 1)
    with engine_of(server.instance()) as engine, engine.snapshot("shop", 1) as snapshot:
        part = next(part for part in snapshot.parts if part.kind == "copy")
        with part.open() as stream:
            buffer, content = bytearray(1000), b""
            while filled := stream.readinto(buffer):  # type: ignore[attr-defined]
                content += buffer[:filled]
            assert stream.readable()
    assert content.count(b"\n") == 3000


def test_schema_that_never_rests(server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every time that the tables are listed another one has appeared, and an old one is gone."""
    server.create("restless", "CREATE TABLE t0 (id int)")
    listed = postgresql_snapshot.catalog.relations
    number = 0

    def disturbed(connection: Any) -> Any:
        nonlocal number
        found = listed(connection)
        number += 1
        server.run("restless", f"CREATE TABLE t{number} (id int)")
        if number == 1:
            server.run("restless", "DROP TABLE t0")
        return found

    monkeypatch.setattr(postgresql_snapshot.catalog, "relations", disturbed)
    with pytest.raises(SchemaChangedError, match="created or dropped during each of 5 attempts"):
        take(server.instance(), "restless", tmp_path)
    monkeypatch.undo()
    server.drop("restless")


def test_schema_change_that_waits_behind_the_dump(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ALTER TABLE waits for our lock, and our own tools would wait for it: the backup gives way, in words."""
    monkeypatch.setattr(postgresql_snapshot, "LOCK_TIMEOUT_SECONDS", 1)
    server.create("altered", "CREATE TABLE t AS SELECT 1 AS id")

    def alter() -> None:
        server.run("altered", "ALTER TABLE t ADD COLUMN v text")

    with engine_of(server.instance()) as engine, engine.snapshot("altered", 1) as snapshot:
        waiting = threading.Thread(target=alter)
        waiting.start()
        while not server.run("altered", "SELECT 1 FROM pg_locks WHERE NOT granted"):
            time.sleep(0.05)
        with pytest.raises(DatabaseBusyError, match="waited too long for a lock"), snapshot.parts[0].open() as stream:
            stream.read()
    waiting.join()
    server.drop("altered")


@pytest.mark.parametrize("setting", ["zero_damaged_pages", "ignore_checksum_failure"])
def test_settings_that_skip_damaged_pages_are_refused(setting: str, server: PostgresServer, tmp_path: Path) -> None:
    server.create("damaged", "CREATE TABLE t (id int)", f"ALTER DATABASE damaged SET {setting} = on")
    with pytest.raises(InvalidConfigError, match=rf"{setting} is on for .* in database damaged.* RESET {setting}"):
        take(server.instance(), "damaged", tmp_path)
    server.drop("damaged")


def test_standby(server: PostgresServer, other: PostgresServer, tmp_path: Path) -> None:
    server.create("followed", "CREATE TABLE t AS SELECT 1 AS id", "CREATE UNLOGGED TABLE u AS SELECT 1 AS id")
    with running({}, primary=server) as standby:
        source = take(standby.instance(password=server.password), "followed", tmp_path)
    assert [table.label for table in source.inventory.tables] == ["public.t"]
    assert "public.u" in source.inventory.warnings[0]
    bring_back(source, other.instance(), "followed")
    assert other.run("followed", "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)") == [(1, 0)]
    server.drop("followed")
    other.drop("followed")


# Tools


def test_no_tool(server: PostgresServer, shop: PlainSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = fake_tools(monkeypatch, tmp_path / "tools", pg_dump="exit 1")
    with pytest.raises(
        ToolMissingError, match=r"needs pg_dump 15 or newer, and none is installed\. Install the package"
    ):
        take(server.instance(), "shop", tmp_path)
    (tools / "pg_restore").unlink()
    with pytest.raises(ToolMissingError, match=r"archive of pg_dump 15\.\d+ needs pg_restore 15"):
        bring_back(shop, server.instance(), "shop 2")


def test_older_restore_tool_is_enough_for_a_newer_target(
    server: PostgresServer, shop: PlainSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = 'if [ "$1" = --version ]; then echo \'pg_restore (PostgreSQL) 14.9\'; exit; fi; exec {real} "$@"'
    fake_tools(monkeypatch, tmp_path / "tools", pg_restore=says)
    older = changed(shop, notes={**shop.inventory.notes, "tool_version": "14.1"})
    bring_back(older, server.instance(), "shop 2")
    assert rows(server, "shop 2") == rows(server, "shop")
    server.drop("shop 2")


def test_older_target_is_said(server: PostgresServer, shop: PlainSource) -> None:
    newer = changed(shop)
    newer.server_version = "99.1"
    assert any(
        "is of PostgreSQL 99.1" in warning for warning in bring_back(newer, server.instance(), "shop 2").warnings
    )
    server.drop("shop 2")


def test_extension_of_another_version_is_said(other: PostgresServer, shop: PlainSource) -> None:
    older = changed(shop, notes={**shop.inventory.notes, "extensions": {"plpgsql": "0.9"}})
    (warning,) = bring_back(older, other.instance(), "shop").warnings
    assert "plpgsql 1.0 instead of 0.9" in warning
    other.drop("shop")


@pytest.mark.parametrize(
    ("properties", "sentence"),
    [
        ({"locale_provider": "builtin", "locale": "C.UTF-8"}, "uses the locale provider builtin, which PostgreSQL 15"),
        ({"encoding": "LATIN1"}, "cannot make a database with encoding LATIN1 and locale C.UTF-8: encoding"),
        ({"locale_provider": "icu", "locale": "x", "icu_rules": "&a < b"}, 'option "icu_rules" not recognized'),
    ],
)
def test_properties_that_the_target_cannot_give(
    properties: dict[str, str], sentence: str, other: PostgresServer, shop: PlainSource
) -> None:
    with pytest.raises(TargetUnfitError, match=sentence):
        bring_back(changed(shop, properties={**shop.inventory.properties, **properties}), other.instance(), "shop")
    assert "shop" not in other.databases()


# Restores of whole databases


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_replace(jobs: int, other: PostgresServer, server: PostgresServer, shop: PlainSource) -> None:
    other.create("shop", "CREATE TABLE old (v text)")
    with pytest.raises(TargetExistsError, match="Database shop exists on instance pg"):
        bring_back(shop, other.instance(), "shop")
    assert other.run("shop", "SELECT 1 FROM pg_tables WHERE tablename = 'old'")
    restored = bring_back(shop, other.instance(), "shop", replace=True, jobs=jobs)
    assert sum(table.rows for table in restored.tables) == shop.inventory.rows
    assert facts(other, "shop") == facts(server, "shop")
    other.drop("shop")


def test_replace_while_others_insist_on_being_connected(other: PostgresServer, shop: PlainSource) -> None:
    other.create("shop", "CREATE TABLE old (v text)")
    stop = threading.Event()
    refused = 0

    def insist() -> None:
        nonlocal refused
        while not stop.is_set():
            try:
                with other.connect("shop") as connection:
                    while not stop.is_set():
                        connection.execute("SELECT 1")
            except psycopg.OperationalError:
                refused += 1

    clients = [threading.Thread(target=insist) for _turn in range(4)]
    for client in clients:
        client.start()
    try:
        bring_back(shop, other.instance(), "shop", replace=True)
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert refused
    assert other.value("shop", "SELECT count(*) FROM orders") == 3000
    other.drop("shop")


def test_database_that_stays_in_use_is_not_replaced(
    other: PostgresServer, shop: PlainSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_databases, "SWAP_ATTEMPTS", 1)
    other.create(
        "shop", "CREATE TABLE old (v text)", "BEGIN", "INSERT INTO old VALUES ('x')", "PREPARE TRANSACTION 'p'"
    )
    with pytest.raises(DatabaseBusyError, match="stayed in use and was not replaced"):
        bring_back(shop, other.instance(), "shop", replace=True)
    other.run("shop", "COMMIT PREPARED 'p'")
    assert other.run("shop", "SELECT * FROM old") == [("x",)]
    other.drop("shop")


@pytest.mark.parametrize("letter", ["y", "é"])
def test_names_that_the_server_would_cut(letter: str, other: PostgresServer, shop: PlainSource) -> None:
    fits = "x" * 61 + letter * (2 // len(letter.encode()))
    other.create(fits, "CREATE TABLE precious (id int)")
    with pytest.raises(InvalidConfigError, match=r"has 6\d bytes, and names of databases .* have 63 at most"):
        bring_back(shop, other.instance(), fits + letter, replace=True)
    assert other.run(fits, "TABLE precious") == []
    bring_back(shop, other.instance(), fits, replace=True)
    other.drop(fits)


def test_wrong_row_count(other: PostgresServer, shop: PlainSource) -> None:
    other.create("shop", *SHOP, "DROP TABLE refunds, orders")
    tables = [{**table, "rows": table["rows"] + 1} for table in shop.inventory.to_json()["tables"]]
    before = facts(other, "shop")
    with pytest.raises(RowCountMismatchError, match=r"public\.customers has 500 rows instead of 501"):
        bring_back(changed(shop, tables=tables), other.instance(), "shop", replace=True)
    with pytest.raises(RowCountMismatchError, match=r"public\.orders has 3000 rows instead of 3001"):
        bring_back(changed(shop, tables=tables), other.instance(), "shop", tables=("public.orders",))
    assert facts(other, "shop") == before
    other.drop("shop")


class BrokenSource(PlainSource):
    """A backup whose part of a kind ends with an error in the middle."""

    def __init__(self, source: PlainSource, kind: str, error: BaseException) -> None:
        super().__init__(source.engine, source.flavour, source.server_version, source.database)
        self.inventory, self.parts, self.files = source.inventory, source.parts, source.files
        self._kind, self._error = kind, error

    @contextmanager
    def open(self, part: StoredPart) -> Iterator[BinaryIO]:
        with super().open(part) as stream:
            if part.kind == self._kind:
                real, error = stream.read, self._error
                sent = 0

                def read(size: int = -1) -> bytes:
                    nonlocal sent
                    if sent:
                        raise error
                    sent += 1
                    return real(min(size, 1000))

                class Stream:
                    pass

                broken = Stream()
                broken.read = read  # type: ignore[attr-defined]
                yield broken  # type: ignore[misc]
            else:
                yield stream


@pytest.mark.parametrize("kind", ["archive", "copy"])
@pytest.mark.parametrize("tables", [None, ("public.orders", "public.refunds")])
@pytest.mark.parametrize("error", [ToolFailedError("The seal is broken."), KeyboardInterrupt()])
def test_broken_stream_leaves_the_old_database(
    kind: str, tables: tuple[str, ...] | None, error: BaseException, other: PostgresServer, shop: PlainSource
) -> None:
    other.create("shop", *SHOP, "DELETE FROM refunds WHERE id = 1")
    before = facts(other, "shop")
    with pytest.raises(type(error)):
        bring_back(BrokenSource(shop, kind, error), other.instance(), "shop", replace=True, tables=tables)
    assert facts(other, "shop") == before
    other.drop("shop")


def test_killed_tool_fails_the_restore(other: PostgresServer, shop: PlainSource) -> None:
    killed = threading.Event()

    class Killing(PlainSource):
        @contextmanager
        def open(self, part: StoredPart) -> Iterator[BinaryIO]:
            with super().open(part) as stream:
                if part.kind == "copy" and not killed.is_set():
                    killed.set()
                    os.kill(tool_pids()[-1], signal.SIGKILL)
                yield stream

    source = Killing(shop.engine, shop.flavour, shop.server_version, shop.database)
    source.inventory, source.parts, source.files = shop.inventory, shop.parts, shop.files
    with pytest.raises(
        ToolFailedError, match=r"Restoring copy-\d+.copy of database shop on instance pg failed: .*signal 9"
    ):
        bring_back(source, other.instance(), "shop", jobs=1)
    assert "shop" not in other.databases()


def test_full_spool_folder(other: PostgresServer, shop: PlainSource, tmp_path: Path) -> None:
    huge = changed(shop)
    huge.parts = [replace(part, raw_bytes=1 << 60) for part in shop.parts]
    with pytest.raises(NoSpaceError, match="fits neither into memory nor into"):
        bring_back(huge, other.instance(), "shop")
    full = BrokenSource(shop, "archive", OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(NoSpaceError, match="ran out, and pg_restore needs the archive there"):
        bring_back(full, other.instance(), "shop")
    with pytest.raises(OSError, match="Input/output"):
        bring_back(BrokenSource(shop, "archive", OSError(errno.EIO, "Input/output error")), other.instance(), "shop")
    empty = changed(shop)
    empty.parts = []
    with pytest.raises(DatabaseCorruptError, match="holds no archive"):
        bring_back(empty, other.instance(), "shop")
    assert "shop" not in other.databases()


def test_leftovers_of_killed_restores_are_dropped(other: PostgresServer, shop: PlainSource) -> None:
    dead, alive, busy = (f"vya-backupdb-{kind}-0123456789a{n}" for n, kind in enumerate(("old", "restore", "restore")))
    for name in (dead, alive, busy):
        other.create(name)
    with other.connect("postgres") as claim, other.connect(busy):
        claim.execute(f"SELECT pg_advisory_lock(hashtextextended('{alive}', 0))")
        bring_back(shop, other.instance(), "shop")
        assert {alive, busy} <= other.databases()
        assert dead not in other.databases()
    with engine_of(other.instance()) as engine, engine.scratch():  # those of restores that were proofs go here as well
        assert alive not in other.databases()
    other.drop("shop", busy)


@pytest.mark.parametrize(
    "name",
    ["vya_verify_results", "vya_verify_0123456789abc", "vya-backupdb-old-plans", "vya-backupdb-new-0123456789ab"],
)
def test_databases_of_users_with_names_like_ours(name: str, other: PostgresServer, shop: PlainSource) -> None:
    other.create(name)
    bring_back(shop, other.instance(), "shop")
    with engine_of(other.instance()) as engine:
        with engine.scratch():
            pass
        assert name in engine.database_names()
    other.drop(name, "shop")


SUBSCRIBE = (
    "CREATE SUBSCRIPTION sub CONNECTION 'host=127.0.0.1 port=1 dbname=x' PUBLICATION p "
    "WITH (connect = false, slot_name = 'elsewhere')"
)


def test_databases_with_subscriptions_come_and_go(
    server: PostgresServer, other: PostgresServer, tmp_path: Path
) -> None:
    """A server does not drop a database with subscriptions: neither a replaced one nor one of a failed restore."""
    server.create("subscribed", "CREATE TABLE t AS SELECT 1 AS id", SUBSCRIBE)
    source = take(server.instance(), "subscribed", tmp_path)
    for _turn in range(2):
        restored = bring_back(source, other.instance(), "subscribed", replace=True)
        (warning,) = (warning for warning in restored.warnings if "sub are restored disabled" in warning)
        assert "REFRESH PUBLICATION, with copy_data as it fits, before changes arrive" in warning
        assert other.value("subscribed", "SELECT subslotname FROM pg_subscription") == "elsewhere"
    tables = [{**table, "rows": 5} for table in source.inventory.to_json()["tables"]]
    with pytest.raises(RowCountMismatchError):
        bring_back(changed(source, tables=tables), other.instance(), "subscribed", replace=True)
    for where in (server, other):
        where.run("subscribed", "ALTER SUBSCRIPTION sub SET (slot_name = NONE)")
        where.run("subscribed", "DROP SUBSCRIPTION sub")
        where.drop("subscribed")


def test_settings_that_the_target_refuses_are_said(
    server: PostgresServer, other: PostgresServer, tmp_path: Path
) -> None:
    server.role("only_at_home")
    server.create(
        "set", "ALTER DATABASE set SET work_mem = '5MB'", "ALTER ROLE only_at_home IN DATABASE set SET jit = off"
    )
    source = take(server.instance(), "set", tmp_path)
    source.inventory.properties["settings"].append({"role": None, "settings": ["no_such_setting=1"]})
    warnings = bring_back(source, other.instance(), "set").warnings
    assert any("setting no_such_setting was not restored" in warning for warning in warnings)
    assert any("Settings of these roles are left out" in warning and "only_at_home" in warning for warning in warnings)
    with other.connect("set") as connection:
        assert connection.execute("SHOW work_mem").fetchall() == [("5MB",)]
    server.drop("set")
    other.drop("set")
    server.run("postgres", "DROP ROLE only_at_home")


def test_target_appears_during_the_restore(
    other: PostgresServer, shop: PlainSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(PlainSource):
        @contextmanager
        def open(self, part: StoredPart) -> Iterator[BinaryIO]:
            if "shop" not in other.databases():
                other.create("shop", "CREATE TABLE newcomer (id int)")
            with super().open(part) as stream:
                yield stream

    source = Slow(shop.engine, shop.flavour, shop.server_version, shop.database)
    source.inventory, source.parts, source.files = shop.inventory, shop.parts, shop.files
    with pytest.raises(TargetExistsError, match="appeared on instance pg during the restore"):
        bring_back(source, other.instance(), "shop")
    assert other.run("shop", "SELECT 1 FROM pg_tables WHERE tablename = 'newcomer'")
    other.drop("shop")


def test_replaced_database_that_cannot_be_dropped_is_named(
    other: PostgresServer, shop: PlainSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replication slot that somebody reads keeps its database."""
    other.create("shop")
    other.run("shop", "SELECT pg_create_logical_replication_slot('reading', 'pgoutput')")
    real = postgresql_databases.drop

    def held(instance: Instance, connection: Any, database: str) -> None:
        if "-old-" in database:
            other.run("postgres", f"ALTER DATABASE {quoted(database)} IS_TEMPLATE true")
        real(instance, connection, database)

    monkeypatch.setattr(postgresql_databases, "drop", held)
    (warning,) = bring_back(shop, other.instance(), "shop", replace=True).warnings
    assert "could not be dropped and is now named vya-backupdb-old-" in warning
    monkeypatch.undo()
    (aside,) = [name for name in other.databases() if name.startswith("vya-backupdb-old-")]
    other.run("postgres", f"ALTER DATABASE {quoted(aside)} IS_TEMPLATE false")
    assert other.value("shop", "SELECT count(*) FROM orders") == 3000
    bring_back(shop, other.instance(), "shop", replace=True)
    assert aside not in other.databases()
    other.drop("shop")


def test_server_without_its_postgres_database(shop: PlainSource, tmp_path: Path) -> None:
    with running({}) as lonely:
        lonely.run("template1", "DROP DATABASE postgres")
        bring_back(shop, lonely.instance(), "postgres")
        bring_back(shop, lonely.instance(), "postgres", replace=True)
        assert lonely.value("postgres", "SELECT count(*) FROM orders") == 3000
        with engine_of(lonely.instance(databases=("postgres",))) as engine:
            assert [database.name for database in engine.databases()] == ["postgres"]


@pytest.mark.parametrize("jobs", [1, 3])
def test_event_triggers_do_not_act_during_the_restore(jobs: int, server: PostgresServer, tmp_path: Path) -> None:
    server.create(
        "audited",
        "CREATE TABLE changes (tag text)",
        "CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql "
        "AS 'BEGIN INSERT INTO public.changes VALUES (tg_tag); END'",
        "CREATE EVENT TRIGGER audit ON ddl_command_end EXECUTE FUNCTION note()",
        "CREATE EVENT TRIGGER zealous ON ddl_command_start EXECUTE FUNCTION note()",
        "ALTER EVENT TRIGGER zealous ENABLE ALWAYS",
        "COMMENT ON EVENT TRIGGER audit IS 'who did it'",
        "CREATE TABLE t AS SELECT 5 AS id",
        "CREATE MATERIALIZED VIEW seen AS TABLE t",
        "CREATE MATERIALIZED VIEW seen_again AS TABLE seen",
        "COMMENT ON MATERIALIZED VIEW seen IS 'once'",
    )
    source = take(server.instance(), "audited", tmp_path)
    assert bring_back(source, server.instance(), "audited 2", jobs=jobs).warnings == []
    assert facts(server, "audited 2") == facts(server, "audited")
    server.drop("audited", "audited 2")


def test_materialized_views_that_cannot_be_filled_are_said(server: PostgresServer, tmp_path: Path) -> None:
    """One may be of a foreign table whose server is gone."""
    server.create(
        "viewed",
        "CREATE TABLE t AS SELECT 5 AS id",
        "CREATE FUNCTION away() RETURNS int LANGUAGE plpgsql AS $$BEGIN "
        "IF current_database() <> 'viewed' THEN RAISE EXCEPTION 'nobody answers'; END IF; RETURN 1; END$$",
        "CREATE MATERIALIZED VIEW a_good AS TABLE t",
        "CREATE MATERIALIZED VIEW b_away AS SELECT away()",
        "CREATE MATERIALIZED VIEW c_of_it AS TABLE b_away",
        "CREATE MATERIALIZED VIEW d_good AS TABLE t",
    )
    source = take(server.instance(), "viewed", tmp_path)
    first, second = bring_back(source, server.instance(), "viewed 2").warnings
    assert "rows of the materialized view public b_away of database viewed 2" in first
    assert "nobody answers" in first
    assert "public c_of_it" in second
    assert server.run("viewed 2", "SELECT * FROM a_good, d_good, t") == [(5, 5, 5)]
    server.drop("viewed", "viewed 2")


# Restores of named tables


def test_tables_into_the_database_they_came_from(server: PostgresServer, shop: PlainSource) -> None:
    bring_back(shop, server.instance(), "shop 2")
    before = facts(server, "shop 2")
    server.run("shop 2", "DELETE FROM refunds", "UPDATE orders SET amount = 1", "DROP INDEX orders_by_state")
    server.run("shop 2", "DROP PUBLICATION news")
    with pytest.raises(TargetExistsError, match=r"already has public\.orders, public\.refunds"):
        bring_back(shop, server.instance(), "shop 2", tables=("public.orders", "public.refunds"))
    restored = bring_back(shop, server.instance(), "shop 2", tables=("public.orders", "public.refunds"), replace=True)
    assert {table.label: table.rows for table in restored.tables} == {"public.orders": 3000, "public.refunds": 10}
    assert any("publication public news orders" in warning for warning in restored.warnings)
    assert not any("refunds" in warning for warning in restored.warnings)
    server.run("shop 2", "CREATE PUBLICATION news FOR TABLE orders")
    assert facts(server, "shop 2") == before
    server.drop("shop 2")


def test_publications_that_replaced_tables_leave_are_said(server: PostgresServer, shop: PlainSource) -> None:
    bring_back(shop, server.instance(), "shop 2")
    server.run(
        "shop 2",
        'CREATE PUBLICATION "later, too" FOR TABLE ONLY refunds (id, order_id) WHERE (id > 3), days',
        "CREATE PUBLICATION everything FOR ALL TABLES",
    )
    before = facts(server, "shop 2")
    labels = ("public.orders", "public.refunds", "public.days")
    warnings = bring_back(shop, server.instance(), "shop 2", tables=labels, replace=True).warnings
    statements = [found[0] for warning in warnings if (found := re.search(r"ALTER PUBLICATION .*(?=\.$)", warning))]
    assert len(warnings) == len(statements) == 3
    server.run("shop 2", *statements)
    assert facts(server, "shop 2") == before
    server.drop("shop 2")


def test_subscriptions_that_replaced_tables_leave_are_said(server: PostgresServer, tmp_path: Path) -> None:
    server.create("published", "CREATE TABLE t (id int PRIMARY KEY)", "CREATE PUBLICATION p FOR TABLE t")
    server.run("published", "SELECT pg_create_logical_replication_slot('published', 'pgoutput')")
    server.create("subscribed", "CREATE TABLE t (id int PRIMARY KEY)")
    server.run(
        "subscribed",
        f"CREATE SUBSCRIPTION sub CONNECTION 'host={server.folder} port={server.port} dbname=published user=postgres' "
        "PUBLICATION p WITH (create_slot = false, slot_name = 'published', enabled = false, copy_data = false)",
    )
    source = take(server.instance(), "subscribed", tmp_path)
    (warning,) = bring_back(source, server.instance(), "subscribed", replace=True, tables=("public.t",)).warnings
    assert warning.startswith("Subscription sub no longer follows the replaced public.t: ")
    server.run("subscribed", "ALTER SUBSCRIPTION sub SET (slot_name = NONE)", "DROP SUBSCRIPTION sub")
    server.run("published", "SELECT pg_drop_replication_slot('published')")
    server.drop("subscribed", "published")


def test_a_table_that_breaks_a_foreign_key_is_refused(server: PostgresServer, shop: PlainSource) -> None:
    bring_back(shop, server.instance(), "shop 2")
    server.run("shop 2", "TRUNCATE customers CASCADE")
    before = facts(server, "shop 2")
    with pytest.raises(ToolFailedError, match="violates foreign key constraint"):
        bring_back(shop, server.instance(), "shop 2", tables=("public.orders", "public.refunds"), replace=True)
    assert facts(server, "shop 2") == before
    server.drop("shop 2")


def test_tables_into_a_new_database_bring_what_they_need(other: PostgresServer, shop: PlainSource) -> None:
    bring_back(shop, other.instance(), "some", tables=("public.orders",))
    assert rows(other, "some").keys() == {"public.orders", "public.numbers", "public.orders_line_seq"}
    assert other.value("some", "SELECT nextval('numbers')") == 4000
    assert other.value("some", "SELECT nextval('orders_line_seq')") == 3001
    assert other.value("some", "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == 1
    assert other.value("some", "SELECT obj_description('orders'::regclass)") == "what is bought"
    other.drop("some")


def test_partition_goes_back_to_its_place(server: PostgresServer, shop: PlainSource) -> None:
    bring_back(shop, server.instance(), "shop 2")
    before = facts(server, "shop 2")
    server.run("shop 2", "DELETE FROM days WHERE day = 150")
    bring_back(shop, server.instance(), "shop 2", tables=("public.days_2",), replace=True)
    assert facts(server, "shop 2") == before
    server.run("shop 2", "DELETE FROM days")
    restored = bring_back(shop, server.instance(), "shop 2", tables=("public.days",), replace=True)
    assert {table.label for table in restored.tables} == {"public.days_1", "public.days_2"}
    assert facts(server, "shop 2") == before
    server.drop("shop 2")


def test_partitions_that_the_backup_does_not_hold_are_kept(
    server: PostgresServer, shop: PlainSource, tmp_path: Path
) -> None:
    bring_back(shop, server.instance(), "shop 2")
    server.run(
        "shop 2",
        "CREATE TABLE days_3 PARTITION OF days FOR VALUES FROM (200) TO (300)",
        "CREATE TABLE days_4 (day int NOT NULL, v text)",
        "ALTER TABLE days ATTACH PARTITION days_4 FOR VALUES FROM (300) TO (400)",
        "INSERT INTO days VALUES (250, 'newer'), (350, 'newer')",
    )
    before = facts(server, "shop 2")
    lost = r"does not hold: public\.days_3, public\.days_4\. Detach them first"
    with pytest.raises(TargetUnfitError, match=lost):
        bring_back(shop, server.instance(), "shop 2", tables=("public.days",), replace=True)
    assert facts(server, "shop 2") == before
    server.run("shop 2", *(f"ALTER TABLE days DETACH PARTITION days_{n}" for n in (3, 4)))
    bring_back(shop, server.instance(), "shop 2", tables=("public.days",), replace=True)
    server.drop("shop 2")


def test_foreign_partitions_are_kept(server: PostgresServer, tmp_path: Path) -> None:
    server.create(
        "parted",
        "CREATE FOREIGN DATA WRAPPER away",
        "CREATE SERVER away FOREIGN DATA WRAPPER away",
        "CREATE TABLE t (id int) PARTITION BY LIST (id)",
        "CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1)",
        "CREATE FOREIGN TABLE t2 PARTITION OF t FOR VALUES IN (2) SERVER away",
    )
    source = take(server.instance(), "parted", tmp_path)
    with pytest.raises(TargetUnfitError, match=r"does not hold: public\.t2\. Detach"):
        bring_back(source, server.instance(), "parted", tables=("public.t",), replace=True)
    server.drop("parted")


def test_unknown_table(server: PostgresServer, shop: PlainSource) -> None:
    with pytest.raises(NotFoundError, match=r"holds no table public\.order .*Did you mean public\.orders"):
        bring_back(shop, server.instance(), "shop 2", tables=("public.order", "public.refunds"))
    with pytest.raises(NotFoundError, match=r"holds no table zzz \(tables are named schema\.table\)\.$"):
        bring_back(shop, server.instance(), "shop 2", tables=("zzz",))


def test_two_tables_with_one_label(server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_snapshot, "LARGE_TABLE_BYTES", 1)
    server.create(
        "dotted",
        'CREATE SCHEMA a; CREATE SCHEMA "a.b"; CREATE SCHEMA "a.b.c"',
        'CREATE TABLE a."b.c" AS SELECT generate_series(1, 10) AS id',
        'CREATE TABLE "a.b".c AS SELECT generate_series(1, 3) AS id',
        'CREATE TABLE a."b.p" (id int) PARTITION BY LIST (id)',
        'CREATE TABLE "a.b".p AS SELECT 1 AS id',
        "CREATE TABLE t AS SELECT 1 AS id",
    )
    source = take(server.instance(), "dotted", tmp_path)
    assert [copy["table"] for copy in source.inventory.notes["copies"].values()] == ["public.t"]
    bring_back(source, server.instance(), "dotted 2")
    assert facts(server, "dotted 2") == facts(server, "dotted")
    for label in ("a.b.c", "a.b.p"):
        with pytest.raises(AmbiguousError, match=rf"holds two tables {label}, "):
            bring_back(source, server.instance(), "dotted 3", tables=("public.t", label))
    bring_back(source, server.instance(), "dotted 3", tables=("public.t",))
    server.drop("dotted", "dotted 2", "dotted 3")


def test_tables_that_others_need_are_not_replaced(server: PostgresServer, shop: PlainSource) -> None:
    bring_back(shop, server.instance(), "shop 2")
    before = facts(server, "shop 2")
    with pytest.raises(ToolFailedError, match=r"cannot drop table public\.orders because other objects") as error:
        bring_back(shop, server.instance(), "shop 2", tables=("public.orders",), replace=True)
    assert "constraint refunds_order_id_fkey on table public.refunds" in error.value.message
    assert facts(server, "shop 2") == before
    server.drop("shop 2")


def test_tables_with_owners_that_the_target_lacks(
    server: PostgresServer, other: PostgresServer, tmp_path: Path
) -> None:
    server.role("left_behind")
    server.create("roles", "CREATE TABLE a (id int)", "CREATE TABLE b (id int)", "ALTER TABLE a OWNER TO left_behind")
    source = take(server.instance(), "roles", tmp_path)
    restored = bring_back(source, other.instance(), "roles", tables=("public.b",))
    assert any("These roles do not exist on instance pg: left_behind" in warning for warning in restored.warnings)
    with pytest.raises(ToolFailedError, match='role "left_behind" does not exist'):
        bring_back(source, other.instance(), "roles", tables=("public.a",))
    assert list(rows(other, "roles")) == ["public.b"]
    server.drop("roles")
    other.drop("roles")
    server.run("postgres", "DROP ROLE left_behind")


def test_default_privileges_give_nothing_that_was_revoked(server: PostgresServer, tmp_path: Path) -> None:
    for role in ("granted", "curious"):
        server.role(role)
    server.create(
        "defaults",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO granted, curious, PUBLIC",
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO curious WITH GRANT OPTION",
        "CREATE TABLE secret (id serial, other int GENERATED ALWAYS AS IDENTITY)",
        "REVOKE ALL ON secret FROM granted, curious, PUBLIC",
        "REVOKE ALL ON secret_id_seq, secret_other_seq FROM curious",
        "CREATE TABLE shared (id int)",
        "REVOKE ALL ON shared FROM curious, PUBLIC",
        "GRANT UPDATE (id) ON shared TO curious",
        "CREATE TABLE open (id int)",
    )
    before = facts(server, "defaults")
    source = take(server.instance(), "defaults", tmp_path)
    labels = ("public.secret", "public.shared", "public.open")
    for owner in (None, "postgres"):
        bring_back(source, server.instance(), "defaults", tables=labels, replace=True, owner=owner)
        assert facts(server, "defaults") == before
    server.drop("defaults")
    server.run("postgres", "DROP ROLE granted, curious")
