# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the MySQL engine behaves, mostly when something is wrong."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from ansible_collections.vya.backupdb.plugins.module_utils.engines.base import Database, RestoreRequest, Server, Table
from ansible_collections.vya.backupdb.plugins.module_utils.engines.connect import create_engine
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql import catalog
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql import dump as mysql_dump
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql import restore as mysql_restore
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql import snapshot as mysql_snapshot
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql.engine import MySQL
from ansible_collections.vya.backupdb.plugins.module_utils.errors import (
    AuthenticationFailedError,
    BackupdbError,
    ConnectionFailedError,
    InvalidConfigError,
    LibraryMissingError,
    NotFoundError,
    PermissionDeniedError,
    QueryFailedError,
    RowCountMismatchError,
    TargetExistsError,
    TargetUnfitError,
    ToolFailedError,
    ToolMissingError,
)
from kit.mariadb import MariaDBServer, quoted, running
from kit.mariadb_compare import differences, facts
from kit.roundtrip import PlainSource, bring_back, take
from kit.waiting import wait_until

SHOP = """
CREATE TABLE parents (id int PRIMARY KEY, name varchar(40));
INSERT INTO parents SELECT seq, concat('p', seq) FROM seq_1_to_100;
CREATE TABLE children (id int AUTO_INCREMENT PRIMARY KEY, parent int, twin int,
    CONSTRAINT of_parent FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE,
    CONSTRAINT of_twin FOREIGN KEY (twin) REFERENCES children (id), KEY (twin));
INSERT INTO children SELECT seq, 1 + seq % 100, NULL FROM seq_1_to_500;
CREATE TABLE numbered (id int, note varchar(9));
CREATE SEQUENCE numbers;
ALTER TABLE numbered ALTER id SET DEFAULT nextval(numbers);
INSERT INTO numbered (note) VALUES ('a'), ('b');
CREATE VIEW names AS SELECT name FROM parents;
CREATE TRIGGER upper_case BEFORE INSERT ON parents FOR EACH ROW SET NEW.name = upper(NEW.name);
CREATE TRIGGER on_numbered BEFORE INSERT ON numbered FOR EACH ROW SET NEW.note = 'trigger';
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM numbered;
CREATE PROCEDURE nothing () SELECT 1;
"""
LARGE = (
    "CREATE TABLE {0} (id int PRIMARY KEY, v longtext) SELECT seq AS id, repeat('x', 100000) AS v FROM seq_1_to_{1};"
)

PEAK_OF_A_COLUMN = 300
"""Bytes of memory while the catalogue is read."""


@pytest.fixture(scope="session")
def server(mariadb_source: MariaDBServer) -> MariaDBServer:
    return mariadb_source


@pytest.fixture(scope="session")
def other(mariadb_other: MariaDBServer) -> MariaDBServer:
    return mariadb_other


@pytest.fixture(scope="module")
def shop(server: MariaDBServer, tmp_path_factory: pytest.TempPathFactory) -> PlainSource:
    """A small database, taken in several parts."""
    server.create("shop", SHOP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mysql_dump, "SMALL_DATABASE_BYTES", 0)
        source = take(server.instance(), "shop", tmp_path_factory.mktemp("shop"))
    assert [part.name for part in source.parts] == ["schema.sql", "data-001.sql", "data-002.sql", "objects.sql"]
    return source


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """No staging database, child, lock, connection or descriptor outlives any of these tests."""
    servers = [request.getfixturevalue(name) for name in ("server", "other") if name in request.fixturenames]
    before = len(list(Path("/proc/self/fd").iterdir()))
    yield
    assert children() == []
    assert not [name for one in servers for name in one.databases() if name.startswith("vya_restore_")]
    for one in servers:
        deadline = time.monotonic() + 20
        while one.value("SELECT count(*) FROM information_schema.processlist WHERE command <> 'Daemon'") > 1:
            assert time.monotonic() < deadline, one.run("SHOW FULL PROCESSLIST")
            time.sleep(0.05)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2  # pytest's own


def children() -> list[int]:
    """Dump tools and clients started by this process, servers of the tests left out."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # threads and children end while we look
            for pid in (task / "children").read_text().split():
                name = Path(f"/proc/{pid}/comm").read_text()
                if name.startswith(("mariadb-dump", "mariadb\n", "mysql")):
                    found.append(int(pid))
    return found


def data_child() -> int:
    (pid,) = (pid for pid in children() if b"--no-create-info" in Path(f"/proc/{pid}/cmdline").read_bytes())
    return pid


@contextmanager
def engine_of(instance: Instance) -> Iterator[MySQL]:
    with closing(MySQL(instance)) as engine:
        yield engine


def request_for(source: PlainSource, database: str, **options: Any) -> RestoreRequest:
    return RestoreRequest(source=source, database=database, **options)


def altered(source: PlainSource, **notes: Any) -> PlainSource:
    """The same set, remembering something else."""
    copy = PlainSource(source.engine, source.flavour, source.server_version, source.database)
    copy.parts, copy.files, copy.position = source.parts, dict(source.files), source.position
    copy.inventory = replace(source.inventory, notes={**source.inventory.notes, **notes})
    return copy


# Connections


def test_server_and_databases(server: MariaDBServer, shop: PlainSource) -> None:
    for name in ("case", "Case"):
        server.create(name, "CREATE TABLE t (id int); CREATE VIEW v AS SELECT 1")
    server.run("CREATE TABLE t2 (id int)", database="Case")
    with engine_of(server.instance()) as engine:
        assert engine.server() == Server("mariadb", server.value("SELECT version()"))
        found = {database.name: database for database in engine.databases()}
        assert not found.keys() & {"mysql", "sys", "information_schema", "performance_schema"}
        assert found["case"] == Database("case", 16384, 1)
        assert found["Case"] == Database("Case", 32768, 2)
        assert list(found) == sorted(found)
        assert (engine.exists("shop"), engine.exists("SHOP"), engine.exists("mysql")) == (True, False, True)
        assert engine.existing_tables("shop") == ["children", "numbered", "parents"]
        assert engine.existing_tables("nowhere") == []
    server.drop("case", "Case")


def test_databases_named_like_the_systems_but_for_case(server: MariaDBServer) -> None:
    for name in ("SYS", "Mysql"):
        server.create(name, "CREATE TABLE t (a int)")
    with engine_of(server.instance()) as engine:
        assert {"SYS", "Mysql"} <= set(engine.database_names())
        assert not {"mysql", "information_schema"} & set(engine.database_names())
        assert engine.databases(("SYS",)) == [Database("SYS", 16384, 1)]
    server.drop("SYS", "Mysql")


ODD_MODES = "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH"


def test_a_server_of_other_sql_modes(server: MariaDBServer, other: MariaDBServer, tmp_path: Path) -> None:
    """Quotes are names there, and backslashes are letters: in what is asked, and in what SHOW GRANTS answers."""
    server.create(
        "modes",
        "CREATE TABLE t (a int, c char(5) COMMENT 'c:\\\\'); INSERT INTO t VALUES (1, 'b'); CREATE TABLE gone (a int);"
        "CREATE VIEW broken AS SELECT a FROM gone; DROP TABLE gone; CREATE PROCEDURE p () SELECT 1",
        r"COMMENT 'c:\\d'",
    )
    server.run(
        "CREATE USER modes@'127.0.0.1' IDENTIFIED BY 'a secret'", "GRANT RELOAD ON *.* TO modes@'127.0.0.1'",
        "GRANT ALL ON modes.* TO modes@'127.0.0.1'", "GRANT SELECT ON mysql.proc TO modes@'127.0.0.1'",
    )  # fmt: skip
    before = facts(server, "modes")
    modes = server.value("SELECT @@GLOBAL.sql_mode")
    server.run(f"SET GLOBAL sql_mode = '{ODD_MODES}'")
    other.run(f"SET GLOBAL sql_mode = '{ODD_MODES}'")
    try:
        source = take(server.instance(username="modes", password="a secret"), "modes", tmp_path)
        bring_back(source, other.instance(), "modes")
    finally:
        server.run(f"SET GLOBAL sql_mode = '{modes}'", "DROP USER modes@'127.0.0.1'")
        other.run(f"SET GLOBAL sql_mode = '{modes}'")
    assert "`broken`" in source.inventory.notes["broken_views"][0]["sql"]
    assert [line.partition(":")[0] for line in differences(before, facts(other, "modes"))] == ["view broken"]
    server.drop("modes")
    other.drop("modes")


def test_a_login_for_which_the_driver_lacks_a_library(mariadb_source: MariaDBServer) -> None:
    """pymysql has ed25519 with PyNaCl only, which is not among our requirements."""
    mariadb_source.run("INSTALL SONAME 'auth_ed25519'")
    mariadb_source.run("CREATE USER edward IDENTIFIED VIA ed25519 USING PASSWORD('secret')")
    try:
        engine = MySQL(mariadb_source.instance(username="edward", password="secret"))
        with (
            closing(engine),
            pytest.raises(LibraryMissingError, match=r"the login as edward.*'pynacl' package is required"),
        ):
            engine.server()
    finally:
        mariadb_source.run("DROP USER edward", "UNINSTALL SONAME 'auth_ed25519'")


def test_wrong_password(server: MariaDBServer) -> None:
    wrong = pytest.raises(AuthenticationFailedError, match="refused the login as root")
    with engine_of(server.instance(password="wrong")) as engine, wrong as error:
        engine.server()
    assert "'wrong'" not in error.value.message


def test_server_down(server: MariaDBServer) -> None:
    with engine_of(server.instance(port=1)) as engine, pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1:1"):
        engine.databases()


def test_unknown_database(server: MariaDBServer, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="Unknown database 'nowhere'"):
        take(server.instance(), "nowhere", tmp_path)


PASSWORDS = [
    "plain",
    'it\'s "quoted"',
    "sp ace\ttab ",
    "%s %(x)s %%",
    "$HOME `id` $(id)",
    "user@host:3306/db?x=y#z",
    "#; starts like a comment",
    "back\\slash\\n\\\\",
    "пароль 密码 😀",
    "line\nbreak\r\n[client]\nuser=root",
    " ",
    "",
    "x" * 500,
]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("socket", [False, True])
def test_passwords_reach_driver_and_tools(
    password: str, socket: bool, server: MariaDBServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYSQL_PWD", "of another server")
    monkeypatch.setenv("MYSQL_HOST", "192.0.2.1")
    name = "odd user's \"%#"
    connection = server.connect()
    with closing(connection), connection.cursor() as cursor:
        for host in ("localhost", "127.0.0.1"):
            cursor.execute("CREATE OR REPLACE USER %s@%s IDENTIFIED BY %s", (name, host, password))
            cursor.execute("GRANT ALL ON *.* TO %s@%s", (name, host))
    server.create("odd = 'db'", "CREATE TABLE t SELECT 1 AS id")
    account = server.instance(username=name, password=password)
    if socket:
        account = replace(account, host=None, port=None, unix_socket=str(server.socket))
    source = take(account, "odd = 'db'", tmp_path)
    restored = bring_back(source, account, "odd = 'db'", replace=True)
    assert [table.rows for table in restored.tables] == [1]
    with pytest.raises(BackupdbError) as error:
        take(replace(account, password=f"{password}x"), "odd = 'db'", tmp_path)
    assert len(password) < 3 or password not in error.value.message
    server.drop("odd = 'db'")
    with closing(server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("DROP USER %s@localhost, %s@'127.0.0.1'", (name, name))


def test_secrets_are_in_no_command_line_and_no_environment(server: MariaDBServer, tmp_path: Path) -> None:
    server.create("large", LARGE.format("t", 100))
    account = server.instance()
    with engine_of(account) as engine, engine.snapshot("large", 2) as snapshot:
        data = snapshot.parts[1]
        with data.open() as stream:
            assert stream.read(10)
            pid = data_child()
            seen = {file: Path(f"/proc/{pid}/{file}").read_bytes() for file in ("cmdline", "environ")}
            assert b"--defaults-file=/dev/fd/" in seen["cmdline"]
            for content in seen.values():
                assert b"a \\secret" not in content
                assert b"a \\\\secret" not in content
            while stream.read(1 << 20):
                pass
    server.drop("large")


def test_the_hosts_own_option_files_change_nothing(
    server: MariaDBServer, shop: PlainSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".my.cnf").write_text("[client]\nuser=nobody\nport=1\n[mysqldump]\nno-data\n[mysql]\nforce\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert take(server.instance(), "shop", tmp_path).inventory.rows == shop.inventory.rows == 602


# Tools


def fake(folder: Path, name: str, says: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("says", "found"),
    [
        (None, "found: none"),
        ("mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)", "of MySQL 8.0.36"),
        ("mysqldump  Ver 10.19 Distrib 10.6.1-MariaDB, for debian-linux-gnu (x86_64)", "of MariaDB 10.6.1"),
        ("something else", "of unknown origin"),
    ],
)
def test_tool_missing_old_or_of_the_wrong_flavour(
    server: MariaDBServer,
    shop: PlainSource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    says: str | None,
    found: str,
) -> None:
    if says:
        for name in ("mysqldump", "mariadb"):
            fake(tmp_path, name, says)
    monkeypatch.setenv("PATH", str(tmp_path))
    install = r"Install the package mariadb-client in version 10\.11 or newer"
    for action in (
        lambda: take(server.instance(), "shop", tmp_path),
        lambda: bring_back(shop, server.instance(), "copy"),
    ):
        with pytest.raises(ToolMissingError, match=install) as error:
            action()
        assert found in error.value.message
    assert "copy" not in server.databases()


def test_a_broken_tool_is_passed_over(
    server: MariaDBServer, shop: PlainSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mariadb-dump").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "mariadb-dump").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert take(server.instance(), "shop", tmp_path).inventory.rows == 602


# Snapshots


def test_inventory(server: MariaDBServer, shop: PlainSource) -> None:
    inventory = shop.inventory
    assert {table.name: table.rows for table in inventory.tables} == {"children": 500, "numbered": 2, "parents": 100}
    assert all(table.size_bytes >= 16384 for table in inventory.tables)
    assert (inventory.views, inventory.routines, inventory.triggers, inventory.events) == (1, 1, 2, 1)
    assert inventory.warnings == []
    assert inventory.notes["definers"] == ["root@localhost"]
    assert inventory.notes["sequences"] == ["numbers"]
    assert 0 <= inventory.notes["lock_milliseconds"] < mysql_snapshot.LOCK_SECONDS * 1000
    assert shop.position["binlog_file"].startswith("binlog.0")
    assert shop.position["binlog_position"] > 0
    assert shop.position["gtid"].startswith("0-1-")


def test_equal_schemas_have_equal_digests(server: MariaDBServer, shop: PlainSource, tmp_path: Path) -> None:
    bring_back(shop, server.instance(), "shop too")
    assert take(server.instance(), "shop too", tmp_path).inventory.schema_sha256 == shop.inventory.schema_sha256
    server.run("ALTER TABLE parents ADD KEY (name)", database="shop too")
    assert take(server.instance(), "shop too", tmp_path).inventory.schema_sha256 != shop.inventory.schema_sha256
    server.drop("shop too")


def split(source: PlainSource, table: str) -> dict[str, int]:
    """The rows of a table in each part, counted by the statements' own text."""
    insert = f"INSERT INTO {quoted(table)} ".encode()
    found = {}
    for name, path in source.files.items():
        statements = path.read_bytes().split(b"INSERT INTO ")
        rows = sum(1 + text.count(b"\n(") for text in statements if insert in b"INSERT INTO " + text)
        if rows:
            found[name] = rows
    return found


KEYS = {
    "even": ("id int, text text, PRIMARY KEY (id)", "seq, 'x'"),
    "below_zero": ("text text, id bigint, PRIMARY KEY (id)", "'x', CAST(seq AS SIGNED) * 1000003 - 3000000000"),
    "largest": ("id bigint unsigned, PRIMARY KEY (id)", "18446744073709551615 - seq"),
    "far_off": ("id int, text text, PRIMARY KEY (id)", "if(seq = 1, 2147483647, seq), 'x'"),
    "uuids": ("id char(36), text text, PRIMARY KEY (id)", "insert(insert(md5(seq), 9, 0, '-'), 14, 0, '-'), 'x'"),
    "capitals": ("id varchar(40) COLLATE utf8mb4_bin, PRIMARY KEY (id)", "upper(sha1(seq))"),
    "latin": ("id varchar(40) CHARACTER SET latin1, PRIMARY KEY (id)", "concat('PO:2026/', lpad(seq, 9, '0'))"),
    "ascii": ("id char(36) CHARACTER SET ascii, PRIMARY KEY (id)", "md5(seq)"),
    "random": ("id uuid, PRIMARY KEY (id)", "insert(insert(md5(seq), 13, 1, '4'), 17, 1, 'a')"),
    "by_time": (
        "id uuid, PRIMARY KEY (id)",
        "concat(lpad(hex(1700000000000 + seq * 1000), 12, '0'), '7', right(md5(seq), 3), 'a', left(md5(seq), 15))",
    ),
    "bytes": ("id binary(16), PRIMARY KEY (id)", "unhex(concat('00ff27', lpad(hex(seq * 77), 26, '0')))"),
    "signs": ("id varchar(40), PRIMARY KEY (id)", "concat(char(65 + seq % 26), char(33 + seq % 15), 'é%', seq)"),
    "of `two`": ("other int, `the id` smallint, PRIMARY KEY (`the id`, other)", "seq, seq % 100"),
}


@pytest.mark.parametrize("name", KEYS)
def test_one_large_table_is_dumped_by_several_processes(
    name: str, server: MariaDBServer, other: MariaDBServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every row once, in pieces of about one size, whatever the keys are."""
    monkeypatch.setattr(mysql_dump, "SMALL_DATABASE_BYTES", 0)
    columns, values = KEYS[name]
    table = quoted(name)
    server.create("split", f"CREATE TABLE {table} ({columns}); INSERT INTO {table} SELECT {values} FROM seq_1_to_9000;")
    server.run("CREATE TABLE beside SELECT seq FROM seq_1_to_7", f"ANALYZE TABLE {table}", database="split")
    source = take(server.instance(), "split", tmp_path, jobs=3)
    pieces = split(source, name)
    assert sum(pieces.values()) == 9000
    assert len(pieces) == 3
    assert min(pieces.values()) > 1500
    assert {table.name: table.rows for table in source.inventory.tables} == {name: 9000, "beside": 7}
    bring_back(source, other.instance(), "split", replace=True)
    assert differences(facts(server, "split"), facts(other, "split")) == []
    server.drop("split")
    other.drop("split")


@pytest.mark.parametrize("language", ["latvian", "lithuanian", "estonian", "czech", "danish"])
def test_every_row_once_where_letters_have_another_order(
    language: str, server: MariaDBServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Latvian and Lithuanian y stands beside i, in Estonian z before t; two letters may count as one."""
    monkeypatch.setattr(mysql_dump, "SMALL_DATABASE_BYTES", 0)
    column = f"id varchar(9) COLLATE utf8mb4_{language}_ci PRIMARY KEY"
    words = "SELECT concat(char(97 + seq % 26), char(97 + seq DIV 26 % 26), seq) FROM seq_1_to_3000"
    server.create("letters", f"CREATE TABLE t ({column}); INSERT INTO t {words};")
    server.run("ANALYZE TABLE t", database="letters")
    for jobs in range(2, 8):
        folder = tmp_path / str(jobs)
        folder.mkdir()
        pieces = split(take(server.instance(), "letters", folder, jobs=jobs), "t")
        assert sum(pieces.values()) == 3000, (jobs, pieces)
    server.drop("letters")


@pytest.mark.parametrize("length", [0, 540])
def test_every_row_once_where_keys_begin_alike(
    length: int, server: MariaDBServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sort looks at the first max_sort_length bytes only, and would take all these keys for the same."""
    monkeypatch.setattr(mysql_dump, "SMALL_DATABASE_BYTES", 0)
    column = "id varchar(700) COLLATE utf8mb4_lithuanian_ci PRIMARY KEY"
    words = f"concat(repeat('p', {length or 40}), char(97 + seq % 26), char(97 + seq DIV 26 % 26), seq)"
    server.create("alike", f"CREATE TABLE t ({column}); INSERT INTO t SELECT {words} FROM seq_1_to_1500;")
    server.run("ANALYZE TABLE t", f"SET GLOBAL max_sort_length = {1024 if length else 64}", database="alike")
    try:
        for jobs in range(2, 8):
            folder = tmp_path / str(jobs)
            folder.mkdir()
            pieces = split(take(server.instance(), "alike", folder, jobs=jobs), "t")
            assert sum(pieces.values()) == 1500, (jobs, pieces)
            assert len(pieces) > 1
    finally:
        server.run("SET GLOBAL max_sort_length = DEFAULT")
    server.drop("alike")


@pytest.mark.parametrize(
    "table",
    [
        "id decimal(9) PRIMARY KEY, text int",
        "id int, text int",
        "id int PRIMARY KEY, text int) ENGINE MyISAM ROW_FORMAT=FIXED COMMENT '('",
        "id int PRIMARY KEY, text int) WITH SYSTEM VERSIONING COMMENT '('",
    ],
)
def test_tables_that_cannot_be_cut_are_dumped_whole(
    table: str, server: MariaDBServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_dump, "SMALL_DATABASE_BYTES", 0)
    closing_bracket = "" if table.endswith("('") else ")"
    server.create("whole", f"CREATE TABLE t ({table}{closing_bracket}; INSERT INTO t SELECT seq, 1 FROM seq_1_to_2000;")
    source = take(server.instance(), "whole", tmp_path)
    assert list(split(source, "t").values()) == [2000]
    server.drop("whole")


def test_tables_with_nothing_to_cut(server: MariaDBServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql_dump, "SMALL_DATABASE_BYTES", 0)
    for rows, text in ((0, ""), (1, "INSERT INTO t VALUES (5);")):
        (tmp_path / str(rows)).mkdir()
        server.create("little", f"CREATE TABLE t (id int PRIMARY KEY); {text}")
        source = take(server.instance(), "little", tmp_path / str(rows), jobs=3)
        assert [table.rows for table in source.inventory.tables] == [rows]
        assert [part.name for part in source.parts] == ["schema.sql", "data-001.sql", "objects.sql"]
    server.drop("little")


def test_all_processes_show_one_moment(
    server: MariaDBServer, other: MariaDBServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer moves amounts between two tables, which different processes dump, and the sum stays."""
    monkeypatch.setattr(mysql_dump, "SMALL_DATABASE_BYTES", 0)
    tables = "".join(
        f"CREATE TABLE {name} (id int PRIMARY KEY, amount int); INSERT INTO {name} SELECT seq, 100 FROM seq_1_to_2000;"
        for name in ("one", "two")
    )
    server.create("bank", tables)
    stop, moved = threading.Event(), threading.Event()

    def move() -> None:
        with closing(server.connect("bank")) as connection, connection.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("START TRANSACTION")
                cursor.execute("UPDATE one SET amount = amount - 1 WHERE id = %s", [random.randint(1, 2000)])
                cursor.execute("UPDATE two SET amount = amount + 1 WHERE id = %s", [random.randint(1, 2000)])
                cursor.execute("COMMIT")
                moved.set()

    writer = threading.Thread(target=move)
    writer.start()
    try:
        assert moved.wait(60)
        for number in range(8):
            folder = tmp_path / str(number)
            folder.mkdir()
            source = take(server.instance(), "bank", folder)
            assert len(source.parts) >= 4  # one more where the server guesses that a table is the larger one
            bring_back(source, other.instance(), "bank", replace=True)
            sums = other.run("SELECT (SELECT sum(amount) FROM one), (SELECT sum(amount) FROM two)", database="bank")[0]
            assert sum(sums) == 400000
            assert sums[0] < 200000
    finally:
        stop.set()
        writer.join()
    server.drop("bank")
    other.drop("bank")


def test_without_the_privilege_to_lock_one_process_dumps(
    server: MariaDBServer, shop: PlainSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_dump, "SMALL_DATABASE_BYTES", 0)
    server.run(
        "CREATE OR REPLACE USER reader@'127.0.0.1' IDENTIFIED BY 'secret'",
        "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON shop.* TO reader@'127.0.0.1'",
        "GRANT SELECT ON mysql.proc TO reader@'127.0.0.1'",
    )
    reader = server.instance(username="reader", password="secret")
    source = take(reader, "shop", tmp_path)
    assert [part.name for part in source.parts] == ["schema.sql", "data-001.sql", "objects.sql"]
    assert "because the account lacks the privilege RELOAD" in source.inventory.warnings[0]
    assert source.position == {}
    assert source.inventory.notes["lock_milliseconds"] is None
    bring_back(source, server.instance(), "copy")
    assert differences(facts(server, "shop"), facts(server, "copy")) == []
    with pytest.raises(PermissionDeniedError, match="Access denied for user 'reader'"):
        bring_back(source, reader, "copy 2")
    with pytest.raises(PermissionDeniedError):
        bring_back(source, reader, "copy", replace=True)
    assert differences(facts(server, "shop"), facts(server, "copy")) == []
    server.drop("copy")
    server.run("DROP USER reader@'127.0.0.1'")


def test_a_busy_server_is_not_stalled(
    server: MariaDBServer, shop: PlainSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_snapshot, "LOCK_SECONDS", 1)
    given_up = threading.Event()
    real = mysql_snapshot._open_alone

    def open_alone(*arguments: Any, **more: Any) -> Any:
        given_up.set()
        return real(*arguments, **more)

    monkeypatch.setattr(mysql_snapshot, "_open_alone", open_alone)
    with closing(server.connect("shop")) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLES numbered WRITE")
        source_thread: list[PlainSource] = []
        taking = threading.Thread(target=lambda: source_thread.append(take(server.instance(), "shop", tmp_path)))
        taking.start()
        assert given_up.wait(60)
        cursor.execute("UNLOCK TABLES")
        taking.join()
    (source,) = source_thread
    assert "because the global read lock was not had within 1 s" in source.inventory.warnings[0]
    assert source.inventory.rows == 602


def test_processes_that_are_slow_to_begin_do_not_hold_the_lock(
    server: MariaDBServer, shop: PlainSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_snapshot, "LOCK_SECONDS", 0)
    source = take(server.instance(), "shop", tmp_path)
    assert "because the" in source.inventory.warnings[0]
    assert source.inventory.rows == 602


def test_a_limit_of_rows_is_refused(server: MariaDBServer, tmp_path: Path) -> None:
    """The tools would dump so many rows of each table, and no count would tell."""
    server.create("limited", "CREATE TABLE t SELECT seq FROM seq_1_to_50; CREATE TABLE u (a int);")
    server.run("SET GLOBAL sql_select_limit = 1")
    try:
        with pytest.raises(QueryFailedError, match="SET GLOBAL sql_select_limit = DEFAULT"):
            take(server.instance(), "limited", tmp_path)
        with engine_of(server.instance()) as engine:
            assert engine.existing_tables("limited") == ["t", "u"]
    finally:
        server.run("SET GLOBAL sql_select_limit = DEFAULT")
    source = take(server.instance(), "limited", tmp_path)
    assert source.inventory.rows == 50
    server.drop("limited")


def drain(part: Any) -> int:
    with part.open() as stream:
        return sum(len(chunk) for chunk in iter(lambda: stream.read(1 << 20), b""))


def test_killed_tool_fails_the_part(server: MariaDBServer, tmp_path: Path) -> None:
    server.create("large", LARGE.format("t", 200))
    with engine_of(server.instance()) as engine, engine.snapshot("large", 1) as snapshot:
        killed = pytest.raises(ToolFailedError, match=r"dump of large failed: .* was ended by signal 9")
        with killed, snapshot.parts[1].open() as stream:
            stream.read(100)
            os.kill(data_child(), signal.SIGKILL)
            while stream.read(1 << 20):
                pass
    server.drop("large")


def test_leaving_early_stops_the_tool(server: MariaDBServer, shop: PlainSource) -> None:
    with engine_of(server.instance()) as engine, engine.snapshot("shop", 1) as snapshot:
        with pytest.raises(KeyError), snapshot.parts[1].open():
            raise KeyError
        with pytest.raises(ToolFailedError, match="not read to its end"), snapshot.parts[0].open() as stream:
            stream.read(100)


def test_a_part_can_be_read_whole_or_into_a_buffer(server: MariaDBServer, shop: PlainSource) -> None:
    with engine_of(server.instance()) as engine, engine.snapshot("shop", 1) as snapshot:
        with snapshot.parts[0].open() as stream:
            assert stream.readable()
            assert b"CREATE TABLE `parents`" in stream.read()
        with snapshot.parts[1].open() as stream:
            buffer, text = bytearray(1000), b""
            while count := stream.readinto(buffer):  # type: ignore[attr-defined]
                text += buffer[:count]
        assert text.startswith(b"\n/*!40101 SET") and b"INSERT INTO `parents`" in text
        drain(snapshot.parts[2])
        assert snapshot.inventory().rows == 602


# Restores


def test_the_target_exists(server: MariaDBServer, shop: PlainSource) -> None:
    before = facts(server, "shop")
    with pytest.raises(TargetExistsError, match="The database shop exists"):
        bring_back(shop, server.instance(), "shop")
    with pytest.raises(TargetExistsError, match="The table parents exists in the database shop"):
        bring_back(shop, server.instance(), "shop", tables=("parents",))
    with pytest.raises(NotFoundError, match="holds no table nothing, names"):
        bring_back(shop, server.instance(), "shop", tables=("parents", "nothing", "names"), replace=True)
    assert differences(before, facts(server, "shop")) == []


def test_replace(server: MariaDBServer, other: MariaDBServer, shop: PlainSource) -> None:
    other.create("shop", "CREATE TABLE of_before (id int); CREATE TABLE parents (other int)")
    restored = bring_back(shop, other.instance(), "shop", replace=True)
    assert restored.tables == shop.inventory.tables
    assert restored.warnings == []
    assert differences(facts(server, "shop"), facts(other, "shop")) == []
    other.drop("shop")


def test_replacing_what_other_databases_refer_to(server: MariaDBServer, tmp_path: Path) -> None:
    server.create("parent db", "CREATE TABLE a (id int); CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE z (id int)")
    server.run("INSERT INTO p VALUES (1)", database="parent db")
    source = take(server.instance(), "parent db", tmp_path)
    server.create("child db", "CREATE TABLE c (p int, FOREIGN KEY (p) REFERENCES `parent db`.p (id))")
    bring_back(source, server.instance(), "parent db", replace=True)
    assert server.run("SHOW TABLES", database="parent db") == [("a",), ("p",), ("z",)]
    server.run("INSERT INTO c VALUES (1)", database="child db")
    with pytest.raises(pymysql.err.IntegrityError):
        server.run("INSERT INTO c VALUES (2)", database="child db")
    server.drop("child db", "parent db")


ORPHANS = """
CREATE TABLE p (id int PRIMARY KEY, code int, UNIQUE KEY (code));
CREATE TABLE c (id int PRIMARY KEY, p int, code int,
    CONSTRAINT `of p` FOREIGN KEY (p) REFERENCES p (id), CONSTRAINT of_code FOREIGN KEY (code) REFERENCES p (code));
INSERT INTO p VALUES (1, 5);
SET foreign_key_checks = 0;
INSERT INTO c VALUES (1, 1, 5), (2, NULL, NULL), (3, 7, 5);
"""


def test_foreign_keys_and_unique_indexes_are_proven(
    server: MariaDBServer, other: MariaDBServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.create("orphans", ORPHANS)
    source = take(server.instance(), "orphans", tmp_path)
    for least_bytes in (0, 1 << 30):
        monkeypatch.setattr(mysql_restore, "LARGE_TABLE_BYTES", least_bytes)
        assert bring_back(source, other.instance(), "orphans", replace=True).warnings == [
            "The foreign key of p does not hold: rows of c refer to rows of p that are not there."
        ]
        assert differences(facts(server, "orphans"), facts(other, "orphans")) == []
    other.drop("orphans")
    damaged = altered(source)
    damaged.files["data-001.sql"] = tmp_path / "damaged.sql"
    text = source.files["data-001.sql"].read_bytes()
    damaged.files["data-001.sql"].write_bytes(text + b"INSERT INTO `p` VALUES (2, 5);\n")
    monkeypatch.setattr(mysql_restore, "LARGE_TABLE_BYTES", 0)
    with pytest.raises(ToolFailedError, match=r"Adding indexes and foreign keys to p failed: .*Duplicate entry '5'"):
        bring_back(damaged, other.instance(), "orphans")
    assert "orphans" not in other.databases()
    server.drop("orphans")


TURNS = """
CREATE TABLE large (id int PRIMARY KEY, v int, t varchar(200), KEY (v));
INSERT INTO large SELECT seq, seq % 7, repeat('x', 200) FROM seq_1_to_20000;
CREATE TABLE small (id int PRIMARY KEY, v int, KEY (v));
INSERT INTO small SELECT seq, seq FROM seq_1_to_10;
ANALYZE TABLE large, small;
"""


def test_a_table_gets_its_indexes_while_others_get_their_rows(
    server: MariaDBServer, other: MariaDBServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_dump, "SMALL_DATABASE_BYTES", 0)
    monkeypatch.setattr(mysql_restore, "LARGE_TABLE_BYTES", 0)
    server.create("turns", TURNS)
    source = take(server.instance(), "turns", tmp_path, jobs=2)
    older = altered(source)
    tables_of_parts = older.inventory.notes.pop("tables_of_parts")
    (last,) = (part for part, tables in tables_of_parts.items() if tables == ["small"])
    assert sorted(tables_of_parts.values()) == [["large"], ["large"], ["small"]]
    load, add = mysql_restore.Restore._load, mysql_restore.Restore._add
    done: list[str] = []
    monkeypatch.setattr(mysql_restore.Restore, "_load", lambda *told: (load(*told), done.append(told[2].name)))
    monkeypatch.setattr(mysql_restore.Restore, "_add", lambda *told: (add(*told), done.append(told[2])))
    for taken, expected in ((source, ["large", last, "small"]), (older, [last, "large", "small"])):
        done.clear()
        bring_back(taken, other.instance(), "turns", replace=True, jobs=1)
        assert [name for name in done if name in expected] == expected
        assert differences(facts(server, "turns"), facts(other, "turns")) == []
    server.drop("turns")
    other.drop("turns")


def test_wrong_row_count(other: MariaDBServer, shop: PlainSource) -> None:
    wrong = altered(shop)
    wrong.inventory.tables = [
        replace(table, rows=table.rows + (table.name == "parents")) for table in shop.inventory.tables
    ]
    with pytest.raises(RowCountMismatchError, match="parents has 100 rows instead of 101"):
        bring_back(wrong, other.instance(), "wrong")
    assert "wrong" not in other.databases()
    other.create("wrong", "CREATE TABLE parents (mine int); INSERT INTO parents VALUES (7)")
    with pytest.raises(RowCountMismatchError):
        bring_back(wrong, other.instance(), "wrong", tables=("parents", "children"), replace=True)
    assert other.run("SELECT mine FROM parents", database="wrong") == [(7,)]
    other.drop("wrong")


@pytest.mark.parametrize("part", ["schema.sql", "data-002.sql", "objects.sql"])
def test_a_failed_restore_leaves_no_database(
    part: str, other: MariaDBServer, shop: PlainSource, tmp_path: Path
) -> None:
    """A statement in the middle fails, with many still to come in this part and in the one beside it."""
    broken = altered(shop)
    for name, path in shop.files.items():
        text = path.read_bytes()
        if name == part:
            text += b"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'made to fail';\n"
        if name.startswith("data"):
            text += b"DO sleep(0.01);\n" * 200
        broken.files[name] = tmp_path / name
        broken.files[name].write_bytes(text)
    began = time.monotonic()
    for replacing in (False, True):
        with pytest.raises(ToolFailedError, match=rf"Restoring {part} into broken failed: .* made to fail"):
            bring_back(broken, other.instance(), "broken", replace=replacing)
        assert "broken" not in other.databases()
        if not replacing:
            other.create("broken", "CREATE TABLE of_before (id int)")
    assert time.monotonic() - began < 120


def test_a_stream_that_breaks_leaves_no_database(other: MariaDBServer, shop: PlainSource) -> None:
    broken = altered(shop)
    broken.files["data-001.sql"] = Path("/nowhere")
    with pytest.raises(FileNotFoundError):
        bring_back(broken, other.instance(), "broken")
    assert "broken" not in other.databases()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A background job of a shell ignores SIGINT, and Python then never raises KeyboardInterrupt."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_restore_leaves_no_database(other: MariaDBServer, shop: PlainSource, tmp_path: Path) -> None:
    slow = altered(shop)
    slow.files["data-001.sql"] = tmp_path / "slow.sql"
    slow.files["data-001.sql"].write_bytes(b"DO sleep(0.05);\n" * 100_000)

    def interrupt() -> None:
        at_work = "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'DO sleep%'"
        wait_until(lambda: other.value(at_work))
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        bring_back(slow, other.instance(), "slow")
    assert "slow" not in other.databases()


def test_tables_into_the_database_they_came_from(server: MariaDBServer, shop: PlainSource) -> None:
    """Foreign keys of the tables, to them, and their triggers are as before; nothing else is touched."""
    before = facts(server, "shop")
    server.run(
        "SET foreign_key_checks = 0", "DELETE FROM parents", "DROP TABLE numbered", "TRUNCATE children",
        "ALTER TABLE parents ADD lost int", "DROP TRIGGER upper_case", database="shop",
    )  # fmt: skip
    tables = ("children", "numbered", "parents")
    restored = bring_back(shop, server.instance(), "shop", tables=tables, replace=True)
    assert [(table.name, table.rows) for table in restored.tables] == [
        ("children", 500),
        ("numbered", 2),
        ("parents", 100),
    ]
    assert differences(before, facts(server, "shop")) == []
    bring_back(shop, server.instance(), "shop", tables=("parents",), replace=True)
    assert differences(before, facts(server, "shop")) == []
    server.run("DELETE FROM parents WHERE id = 1", database="shop")
    assert server.value("SELECT count(*) FROM children", database="shop") == 495
    bring_back(shop, server.instance(), "shop", replace=True)
    assert differences(before, facts(server, "shop")) == []


def test_only_leftovers_of_killed_restores_are_dropped(server: MariaDBServer, shop: PlainSource) -> None:
    dead, alive = "vya_restore_0123456789abcdef", "vya_restore_fedcba9876543210"
    scratch = "vya_verify_0123456789ab"
    mine = {"vya_restore_test", "VYA_RESTORE_0123456789ABCDEF", f"{dead}0", "VYA_VERIFY_2026", "vya_verify_mine"}
    for name in (dead, alive, scratch, *mine):
        server.create(name, "CREATE TABLE t (id int)")
    with closing(server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT get_lock(%s, 0)", (alive,))
        bring_back(shop, server.instance(), "shop", tables=("parents",), replace=True)
    with engine_of(server.instance()) as engine:
        with engine.scratch():
            pass
        assert mine <= set(engine.database_names())
    assert {name for name in server.databases() if name.lower().startswith("vya")} == {alive, *mine}
    server.drop(alive, *mine)


@pytest.mark.parametrize("name", ["vya_restore_0123456789abcdef", "vya_verify_0123456789ab"])
def test_names_of_our_own_are_no_targets(server: MariaDBServer, shop: PlainSource, name: str) -> None:
    with pytest.raises(InvalidConfigError, match="Choose another target_database"):
        bring_back(shop, server.instance(), name)
    assert name not in server.databases()


def test_tables_into_other_databases(server: MariaDBServer, other: MariaDBServer, shop: PlainSource) -> None:
    bring_back(shop, other.instance(), "some", tables=("numbered",))
    found = facts(other, "some")
    assert {key for key in found if key[0] == "table"} == {("table", "numbered")}
    assert {key for key in found if key[0] in ("trigger", "event", "view", "procedure")} == {("trigger", "on_numbered")}
    other.run("INSERT INTO numbered () VALUES ()", database="some")
    bring_back(shop, other.instance(), "some", tables=("parents",))
    assert other.value("SELECT count(*) FROM parents", database="some") == 100
    other.run("CREATE VIEW children AS SELECT 1", database="some")
    with pytest.raises(TargetExistsError, match="In the database some, children is a view"):
        bring_back(shop, other.instance(), "some", tables=("children",), replace=True)
    other.drop("some")


ZERO_DATES = """
CREATE TABLE p (id int PRIMARY KEY);
SET sql_mode = '';
CREATE TABLE c (p int, at date NOT NULL DEFAULT '0000-00-00', feb date DEFAULT '2026-02-28',
    CONSTRAINT of_p FOREIGN KEY (p) REFERENCES p (id));
SET sql_mode = 'ALLOW_INVALID_DATES';
ALTER TABLE c ALTER feb SET DEFAULT '2026-02-31';
CREATE TABLE h (p int, CONSTRAINT h_of_p FOREIGN KEY (p) REFERENCES p (id)) WITH SYSTEM VERSIONING;
INSERT INTO p VALUES (1); INSERT INTO c (p) VALUES (1); INSERT INTO h VALUES (1); DELETE FROM h;
CREATE TRIGGER t BEFORE INSERT ON c FOR EACH ROW DO 1;
"""


def test_tables_are_swapped_in_a_session_that_takes_what_the_source_took(
    server: MariaDBServer, other: MariaDBServer, tmp_path: Path
) -> None:
    server.create("zero", ZERO_DATES)
    source = take(server.instance(), "zero", tmp_path)
    other.run("SET GLOBAL sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE'")
    bring_back(source, other.instance(), "zero")
    bring_back(source, other.instance(), "zero", tables=("c", "h"), replace=True)
    other.run("SET GLOBAL sql_mode = DEFAULT")
    assert differences(facts(server, "zero"), facts(other, "zero")) == []
    server.drop("zero")
    other.drop("zero")


def test_a_table_that_somebody_makes_during_the_swap(
    server: MariaDBServer, shop: PlainSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = facts(server, "shop")
    has_moved, in_the_way = catalog.has_moved, 0

    def make_first(connection: sa.Connection, rename: str) -> bool:
        nonlocal in_the_way
        if in_the_way:
            in_the_way -= 1
            server.run("CREATE TABLE numbered (id int)", database="shop")
        return has_moved(connection, rename)

    monkeypatch.setattr(catalog, "has_moved", make_first)
    in_the_way = 1
    bring_back(shop, server.instance(), "shop", tables=("numbered",), replace=True)
    assert differences(before, facts(server, "shop")) == []
    server.run("DROP TABLE numbered", database="shop")
    in_the_way = 1
    with pytest.raises(TargetExistsError, match="the tables numbered in the database shop anew") as refused:
        bring_back(shop, server.instance(), "shop", tables=("numbered",))
    assert "vya_restore_" not in refused.value.message
    assert not any(name.startswith("vya_restore_") for name in server.databases())
    in_the_way = mysql_restore.SWAPS
    with pytest.raises(TargetExistsError, match="which the next restore of tables drops") as refused:
        bring_back(shop, server.instance(), "shop", tables=("numbered",), replace=True)
    (kept,) = (name for name in server.databases() if name.startswith("vya_restore_"))
    assert kept in refused.value.message
    assert server.value("SELECT count(*) FROM numbered", database=kept) == 2
    bring_back(shop, server.instance(), "shop", tables=("numbered",), replace=True)
    assert differences(before, facts(server, "shop")) == []


def test_names_of_foreign_keys_that_other_tables_have(server: MariaDBServer, tmp_path: Path) -> None:
    server.create("keys", SHOP)
    source = take(server.instance(), "keys", tmp_path)
    server.run("RENAME TABLE children TO old", "CREATE TABLE children (mine int)", database="keys")
    before = facts(server, "keys")
    with pytest.raises(TargetUnfitError, match=r"The table old .* has a constraint \(FOREIGN KEY\) of the name of_"):
        bring_back(source, server.instance(), "keys", tables=("children",), replace=True)
    assert differences(before, facts(server, "keys")) == []
    server.drop("keys")


FROM_TIMES = """
CREATE TABLE t (id int PRIMARY KEY, at timestamp NOT NULL DEFAULT '2020-01-01 10:00:00', day date AS (date(at)) STORED,
    seen date AS (date(at)), KEY (seen));
INSERT INTO t (id, at) VALUES (1, '2026-01-01 02:00:00');
CREATE TABLE past (id int PRIMARY KEY, at timestamp NOT NULL, day date AS (date(at)) STORED,
    CONSTRAINT of_t FOREIGN KEY (id) REFERENCES t (id)) WITH SYSTEM VERSIONING;
INSERT INTO past (id, at) VALUES (1, '2026-01-01 02:00:00'); DELETE FROM past;
INSERT INTO past (id, at) VALUES (1, '2026-01-01 03:00:00');
"""


@pytest.mark.parametrize("least_bytes", [0, 1 << 30])
def test_what_is_computed_from_times_is_as_the_server_computes_it(
    server: MariaDBServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least_bytes: int
) -> None:
    """The source is 5:30 h before UTC, and so is the target."""
    monkeypatch.setattr(mysql_restore, "LARGE_TABLE_BYTES", least_bytes)
    server.create("times", FROM_TIMES)
    source = take(server.instance(), "times", tmp_path)
    bring_back(source, server.instance(), "times too")
    assert differences(facts(server, "times"), facts(server, "times too", once="times")) == []
    found = "SELECT id FROM t FORCE INDEX (seen) WHERE seen = '2026-01-01' AND day = '2026-01-01'"
    assert server.run(found, database="times too") == [(1,)]
    bring_back(source, server.instance(), "times too", tables=("t",), replace=True)
    assert server.run(found, database="times too") == [(1,)]
    for database in ("times", "times too"):
        server.run("INSERT INTO t (id) VALUES (2)", database=database)
        assert str(server.value("SELECT at FROM t WHERE id = 2", database=database)) == "2020-01-01 10:00:00"
    server.drop("times", "times too")


UNCHECKED = """
CREATE TABLE c (id int PRIMARY KEY, u int, CHECK (u > 0));
SET check_constraint_checks = 0;
INSERT INTO c VALUES (1, -1);
CREATE TABLE t (id int PRIMARY KEY, first timestamp, second timestamp NOT NULL, third timestamp NULL DEFAULT NULL);
INSERT INTO t VALUES (1, NULL, '2020-01-01 10:00:00', NULL);
"""


def test_rows_and_tables_are_taken_as_the_source_took_them(
    server: MariaDBServer, other: MariaDBServer, tmp_path: Path
) -> None:
    server.create("unchecked", UNCHECKED)
    source = take(server.instance(), "unchecked", tmp_path)
    other.run("SET GLOBAL explicit_defaults_for_timestamp = OFF")
    bring_back(source, other.instance(), "unchecked")
    other.run("SET GLOBAL explicit_defaults_for_timestamp = DEFAULT")
    assert differences(facts(server, "unchecked"), facts(other, "unchecked")) == []
    server.drop("unchecked")
    other.drop("unchecked")


# What the target can't take


def test_past_rows_that_the_target_takes_from_nobody(server: MariaDBServer, tmp_path: Path) -> None:
    server.create("past", "CREATE TABLE h (id int) WITH SYSTEM VERSIONING; INSERT INTO h VALUES (1)")
    source = take(server.instance(), "past", tmp_path)
    with running(secure_timestamp="YES") as secure:
        secure.create("past", "CREATE TABLE old (id int)")
        with pytest.raises(TargetUnfitError, match="has secure_timestamp = YES"):
            bring_back(source, secure.instance(), "past", replace=True)
        assert secure.run("SHOW TABLES", database="past") == [("old",)]
    server.drop("past")


def test_another_version_or_flavour(server: MariaDBServer, shop: PlainSource) -> None:
    with engine_of(server.instance()) as engine:
        newer = altered(shop)
        newer.server_version = "11.8.2-MariaDB"
        assert engine.check_restore(request_for(newer, "x")) == [
            f"The backup comes from version 11.8.2-MariaDB, newer than {engine.server().version} of the target."
        ]
        mysql = altered(shop)
        mysql.flavour = "mysql"
        with pytest.raises(TargetUnfitError, match=r"is MariaDB, which has neither .* numbers\. Restore to MySQL"):
            engine.check_restore(request_for(mysql, "x"))
        mysql = altered(mysql, sequences=[])
        mysql.flavour = "mysql"
        assert engine.check_restore(request_for(mysql, "x"))[0].startswith("The backup comes from MySQL, the target is")


def test_a_storage_engine_that_the_target_lacks(server: MariaDBServer, other: MariaDBServer, tmp_path: Path) -> None:
    server.create("archive", "CREATE TABLE t (a int) ENGINE ARCHIVE; INSERT INTO t VALUES (1)")
    source = take(server.instance(), "archive", tmp_path)
    assert "t (ARCHIVE)" in source.inventory.warnings[0]
    bring_back(source, server.instance(), "archive 2")
    assert server.run("SELECT * FROM t", database="archive 2") == [(1,)]
    with pytest.raises(TargetUnfitError, match="lacks storage engines that the backup uses: ARCHIVE"):
        bring_back(source, other.instance(), "archive")
    server.drop("archive", "archive 2")


def test_a_target_that_folds_names(server: MariaDBServer, tmp_path: Path) -> None:
    server.create(
        "Names",
        "CREATE TABLE T (Id int); INSERT INTO T VALUES (1); CREATE TRIGGER x BEFORE INSERT ON T FOR EACH ROW DO 1",
    )
    source = take(server.instance(), "Names", tmp_path)
    server.run("CREATE TABLE t (id int)", database="Names")
    (tmp_path / "two").mkdir()
    colliding = take(server.instance(), "Names", tmp_path / "two")
    with running(lower_case_table_names="1") as folding:
        assert bring_back(source, folding.instance(), "Names").tables == [Table("", "T", 1, 16384)]
        with pytest.raises(TargetExistsError):
            bring_back(source, folding.instance(), "nAMES")
        with pytest.raises(TargetExistsError, match="The table T exists in the database nAMES"):
            bring_back(source, folding.instance(), "nAMES", tables=("T",))
        bring_back(source, folding.instance(), "nAMES", tables=("T",), replace=True)
        assert folding.run("SHOW TRIGGERS", database="names")
        with pytest.raises(TargetUnfitError, match="takes the tables T and t for one"):
            bring_back(colliding, folding.instance(), "other")
        (tmp_path / "three").mkdir()
        assert take(folding.instance(), "names", tmp_path / "three").inventory.rows == 1
    server.drop("Names")


def test_a_server_without_a_binary_log(tmp_path: Path) -> None:
    with running(skip_log_bin="1", lower_case_table_names="0") as plain:
        plain.create("d", "CREATE TABLE t SELECT 1 AS a")
        assert take(plain.instance(), "d", tmp_path).position == {}


def test_many_columns_take_little_memory(server: MariaDBServer) -> None:
    columns = ", ".join(f"c{number} varchar(9) COMMENT 'much the same of each'" for number in range(100))
    server.create("wide", "".join(f"CREATE TABLE t{number} ({columns});" for number in range(100)))
    engine = create_engine(server.instance(), "wide")
    with engine.connect() as connection:
        catalog.tables(connection, "wide")  # what the first query loads is not of the columns
        tracemalloc.start()
        try:
            tables = catalog.tables(connection, "wide")
            _now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    engine.dispose()
    assert sum(len(table.columns) for table in tables.values()) == 10_000
    assert peak / 10_000 < PEAK_OF_A_COLUMN, f"{peak / 10_000:.0f} bytes a column"
    server.drop("wide")
