# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines 26 to 44 of FIDELITY: what is taken out of one server is the same in another, and under another name."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.engines.postgresql import snapshot as postgresql_snapshot
from ansible_collections.vya.backupdb.plugins.module_utils.errors import (
    BackupdbError,
    DatabaseBusyError,
    TargetUnfitError,
    ToolFailedError,
    ToolMissingError,
)
from kit.postgres import PostgresServer, quoted, running
from kit.postgres_cases import CASES, PROBES, ROLES
from kit.postgres_compare import facts, properties, rows, schema_text
from kit.postgres_tools import fake_tools
from kit.roundtrip import PlainSource, bring_back, take

DATABASE = "common 'cases'"


@dataclass
class Places:
    """The three databases that must be equal, with the facts found before anything was done to them."""

    at: dict[str, tuple[PostgresServer, str]]
    facts: dict[str, dict[str, Any]]
    warnings: list[str]


@pytest.fixture(scope="session")
def server(postgres_source: PostgresServer) -> PostgresServer:
    return postgres_source


@pytest.fixture(scope="session")
def other(postgres_other: PostgresServer) -> PostgresServer:
    return postgres_other


def stream_everything(patch: pytest.MonkeyPatch) -> None:
    """Every table goes as COPY streams, in pieces."""
    patch.setattr(postgresql_snapshot, "LARGE_TABLE_BYTES", 1)
    patch.setattr(postgresql_snapshot, "PIECE_BYTES", 16384)


@pytest.fixture(params=["streams", "archive"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the rows go: as COPY streams, or in pg_dump's archive."""
    if request.param == "streams":
        stream_everything(monkeypatch)
    return str(request.param)


@pytest.fixture(scope="module", params=["streams", "archive"])
def places(
    request: pytest.FixtureRequest,
    server: PostgresServer,
    other: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Places]:
    """Restored from COPY streams of every table, in pieces; and from pg_dump's archive alone."""
    for role in ROLES:
        server.role(role)
        other.role(role)
    server.create(DATABASE, *(statement for statements in CASES.values() for statement in statements))
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "streams":
            stream_everything(patch)
        source = take(server.instance(), DATABASE, tmp_path_factory.mktemp("common"))
    assert (len(source.parts) > 50) == (request.param == "streams")
    copy = f"copy of {request.param}"
    warnings = bring_back(source, server.instance(), copy).warnings
    bring_back(source, other.instance(), DATABASE)
    at = {"source": (server, DATABASE), "copy": (server, copy), "other": (other, DATABASE)}
    yield Places(at, {place: facts(*where) for place, where in at.items()}, warnings)
    for where, database in at.values():
        where.run(database, 'DROP PUBLICATION IF EXISTS "some", schema_wide')
        where.run(database, "ALTER SUBSCRIPTION following SET (slot_name = NONE)")
        where.run(database, "DROP SUBSCRIPTION following")
        where.drop(database)


@pytest.mark.parametrize("line", CASES)
def test_line(line: str, places: Places) -> None:
    assert places.facts["copy"] == places.facts["source"]
    assert places.facts["other"] == places.facts["source"]
    for target, database in (places.at["copy"], places.at["other"]):
        for query, expected in PROBES[line]:
            assert target.value(database, query) == expected


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM l33.base WHERE id = 1",
        "UPDATE l34.everything SET f4 = 0 WHERE id = 1",
        "DROP INDEX l37.partial",
        "DROP TRIGGER noticing ON l35.log",
        "ALTER TABLE l43.owned OWNER TO vya_reader",
        "REVOKE SELECT (id) ON l43.owned FROM vya_reader",
        "SELECT nextval('l29.untouched')",
        "SELECT lo_put(1001, 5, 'x')",
        "REFRESH MATERIALIZED VIEW l33.empty",
        "DROP STATISTICS l37.related",
    ],
)
def test_comparison_sees_a_loss(damage: str, places: Places) -> None:
    server, database = places.at["source"]
    with server.connect(database) as connection:
        connection.execute("BEGIN")
        connection.execute(damage)
        connection.execute("COMMIT")
    assert facts(server, database) != places.facts["source"]


def take_and_restore(
    source: PostgresServer, target: PostgresServer, database: str, folder: Path, name: str | None = None, **request: Any
) -> PlainSource:
    taken = take(source.instance(), database, folder)
    bring_back(taken, target.instance(), name or database, **request)
    return taken


def test_line_26_dump_older_than_server(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tools(monkeypatch, tmp_path / "tools", pg_dump="echo 'pg_dump (PostgreSQL) 14.9 (Debian 14.9-1)'")
    words = rf"needs pg_dump {server.major} or newer.*pg_dump is version 14\.9"
    with pytest.raises(ToolMissingError, match=words) as error:
        take(server.instance(), "postgres", tmp_path)
    assert f"postgresql-client-{server.major}" in error.value.message


@pytest.mark.parametrize("tables", [None, ("public.t",)])
def test_line_27_newer_tools_older_target(
    tables: tuple[str, ...] | None,
    way: str,
    server: PostgresServer,
    other: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """pg_restore 17 sets transaction_timeout, which a server of version 15 does not know."""
    server.create("newer", "CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'one')")
    newer = f"{max(17, server.major + 1)}.2"
    says = f"if [ \"$1\" = --version ]; then echo '%s (PostgreSQL) {newer}'; exit; fi; "
    sets = (
        "{real} \"$@\" | /bin/sed 's/^SET statement_timeout = 0;/&\\nSET transaction_timeout = 0;/'; "
        "exit ${PIPESTATUS[0]}"
    )
    fake_tools(
        monkeypatch,
        tmp_path / "tools",
        pg_dump=says % "pg_dump" + 'exec {real} "$@"',
        pg_restore=says % "pg_restore" + sets,
    )
    source = take(server.instance(), "newer", tmp_path)
    assert source.inventory.notes["tool_version"] == newer
    assert (len(source.parts) > 1) == (way == "streams")
    bring_back(source, other.instance(), "newer", tables=tables)
    assert facts(other, "newer") == facts(server, "newer")
    server.drop("newer")
    other.drop("newer")


def test_line_42_names_of_chosen_tables(
    server: PostgresServer, other: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every odd name also goes through the table of contents of the archive and through psql's own parser."""
    monkeypatch.setattr(postgresql_snapshot, "LARGE_TABLE_BYTES", 16384)
    server.create("odd", *CASES["42_names"])
    source = take(server.instance(), "odd", tmp_path)
    labels = tuple(table.label for table in source.inventory.tables)
    for replaced in (False, True):
        bring_back(source, other.instance(), "odd", tables=labels, replace=replaced)
        assert facts(other, "odd") == facts(server, "odd")
    server.drop("odd")
    other.drop("odd")


def test_line_31_hidden_rows_are_an_error(server: PostgresServer, tmp_path: Path) -> None:
    server.run("postgres", "DROP ROLE IF EXISTS tenant", "CREATE ROLE tenant LOGIN PASSWORD 'p'")
    server.create(
        "secured",
        "CREATE TABLE t AS SELECT g FROM generate_series(1, 10) g",
        "GRANT SELECT ON t TO tenant",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY half ON t USING (g > 5)",
    )
    account = server.instance(username="tenant", password="p")
    for large in (1, 1 << 30):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(postgresql_snapshot, "LARGE_TABLE_BYTES", large)
            with pytest.raises(BackupdbError, match="row-level security"):
                take(account, "secured", tmp_path)
    server.drop("secured")
    server.run("postgres", "DROP ROLE tenant")


def test_line_36_partitioned_by_hash_of_enum(server: PostgresServer, other: PostgresServer, tmp_path: Path) -> None:
    """The hash of an enum differs in every database: the rows are loaded through the top, and counted there."""
    server.create(
        "hashed",
        "CREATE TYPE color AS ENUM ('r', 'g', 'b', 'c', 'm', 'y')",
        "CREATE TABLE t (c color, v int) PARTITION BY HASH (c)",
        *(f"CREATE TABLE t{n} PARTITION OF t FOR VALUES WITH (MODULUS 3, REMAINDER {n})" for n in range(3)),
        "INSERT INTO t SELECT (enum_range(NULL::color))[g % 6 + 1], g FROM generate_series(1, 600) g",
    )
    # Other oids in the restored database, for the hash is of them.
    other.run("postgres", *["CREATE TABLE waste (a int)", "DROP TABLE waste"] * 5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgresql_snapshot, "LARGE_TABLE_BYTES", 1)
        source = take_and_restore(server, other, "hashed", tmp_path)
    assert [(table.label, table.rows) for table in source.inventory.tables] == [("public.t", 600)]
    digest = "SELECT md5(string_agg(t::text, ',' ORDER BY v)) FROM t"
    assert other.value("hashed", digest) == server.value("hashed", digest)
    assert schema_text(other, "hashed") == schema_text(server, "hashed")
    server.drop("hashed")
    other.drop("hashed")


def test_line_38_subscriptions_are_disabled_and_said(places: Places) -> None:
    assert any("subscriptions following are restored disabled" in warning for warning in places.warnings)


def test_line_39_tablespace_that_the_target_lacks(
    way: str, server: PostgresServer, other: PostgresServer, tmp_path: Path
) -> None:
    space = f"vya_{way}"
    server.tablespace(space)
    server.create(
        "spaced",
        f"CREATE TABLE t (id int PRIMARY KEY USING INDEX TABLESPACE {space}) TABLESPACE {space}",
        "INSERT INTO t SELECT generate_series(1, 20)",
        options=f"TABLESPACE {space}",
    )
    source = take_and_restore(server, server, "spaced", tmp_path, "spaced 2")
    assert (len(source.parts) > 1) == (way == "streams")
    assert facts(server, "spaced 2") == facts(server, "spaced")
    restored = bring_back(source, other.instance(), "spaced")
    assert any(space in warning for warning in restored.warnings)
    assert rows(other, "spaced") == rows(server, "spaced")
    assert schema_text(other, "spaced", "--no-tablespaces") == schema_text(server, "spaced", "--no-tablespaces")
    server.drop("spaced", "spaced 2")
    other.drop("spaced")
    server.run("postgres", f"DROP TABLESPACE {space}")


def test_line_40_tables_come_and_go_during_dumps(server: PostgresServer, other: PostgresServer, tmp_path: Path) -> None:
    """Each dump fails in words, or holds what one moment held: the two tables always have the same rows together."""
    server.create("busy", "CREATE TABLE a (id int)", "CREATE TABLE b (id int)", "INSERT INTO a VALUES (0)")
    stop = threading.Event()
    failed = 0

    def disturb() -> None:
        with server.connect("busy") as connection:
            number = 0
            while not stop.is_set():
                number += 1
                with connection.transaction():
                    connection.execute("TRUNCATE a")
                    connection.execute(f"INSERT INTO a VALUES ({number})")
                    connection.execute(f"DROP TABLE b; CREATE TABLE b AS SELECT {number} AS id")
                with connection.transaction():
                    connection.execute(f"CREATE TABLE extra_{number} (id int)")
                    connection.execute(f"DROP TABLE IF EXISTS extra_{number - 1}")
                stop.wait(0.15 * (number % 8) * (1 + failed / 3))  # now too busy for any dump, now not

    thread = threading.Thread(target=disturb)
    thread.start()
    whole = 0
    try:
        for round_ in range(30):
            try:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(postgresql_snapshot, "LARGE_TABLE_BYTES", 1 if round_ % 2 else 1 << 30)
                    patch.setattr(postgresql_snapshot, "LOCK_TIMEOUT_SECONDS", 2)
                    source = take(server.instance(), "busy", tmp_path)
            except BackupdbError:
                failed += 1
                continue
            bring_back(source, other.instance(), "busy", replace=True)
            moment = other.run("busy", "SELECT (SELECT array_agg(id) FROM a), (SELECT array_agg(id) FROM b)")
            assert moment[0][0] == moment[0][1] or moment == [([0], None)]
            whole += 1
            if whole == 3:
                break
    finally:
        stop.set()
        thread.join()
    assert whole == 3
    server.drop("busy")
    other.drop("busy")


def test_line_40_a_lock_that_stays(server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_snapshot, "LOCK_TIMEOUT_SECONDS", 1)
    server.create("locked", "CREATE TABLE t (id int)")
    with server.connect("locked") as connection, connection.transaction():
        connection.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DatabaseBusyError, match="stayed locked by somebody else for 1 seconds"):
            take(server.instance(), "locked", tmp_path)
    server.drop("locked")


@pytest.mark.parametrize("jobs", [1, 3])
def test_line_41_any_error_fails_the_restore(
    jobs: int, server: PostgresServer, other: PostgresServer, tmp_path: Path
) -> None:
    server.create(
        "liar",
        "CREATE TABLE t (id int)",
        "CREATE FUNCTION same(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1'",
        "CREATE UNIQUE INDEX ON t (same(id))",
        "INSERT INTO t VALUES (1), (2)",
        "CREATE OR REPLACE FUNCTION same(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1'",
    )
    other.create("liar", "CREATE TABLE old (v text)", "INSERT INTO old VALUES ('precious')")
    before = facts(other, "liar")
    source = take(server.instance(), "liar", tmp_path)
    with pytest.raises(ToolFailedError, match=r"post-data of database liar .* could not create unique index") as error:
        bring_back(source, other.instance(), "liar", replace=True, jobs=jobs)
    assert "\n" not in error.value.message
    assert facts(other, "liar") == before
    assert not [name for name in other.databases() if name.startswith("vya")]
    server.drop("liar")
    other.drop("liar")


def test_line_43_owners_that_the_target_lacks(
    way: str, server: PostgresServer, other: PostgresServer, tmp_path: Path
) -> None:
    server.role("only_there")
    server.role("granted_there")
    other.role("heir")
    server.create(
        "owned",
        "CREATE TABLE t (id serial PRIMARY KEY)",
        "INSERT INTO t DEFAULT VALUES",
        "ALTER TABLE t OWNER TO only_there",
        "GRANT SELECT ON t TO granted_there",
        options="OWNER only_there",
    )
    source = take(server.instance(), "owned", tmp_path)
    assert (len(source.parts) > 1) == (way == "streams")
    with pytest.raises(TargetUnfitError, match=r"granted_there, only_there\. Restore the users first, or set owner"):
        bring_back(source, other.instance(), "owned")
    assert "owned" not in other.databases()
    with pytest.raises(TargetUnfitError, match="role nobody"):
        bring_back(source, other.instance(), "owned", owner="nobody")
    restored = bring_back(source, other.instance(), "owned", owner="heir")
    assert any("granted_there" in warning for warning in restored.warnings)
    assert properties(other, "owned")["owner"] == "heir"
    assert other.run("owned", "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE oid >= 16384") == [("heir",)]
    assert rows(other, "owned") == rows(server, "owned")
    tables = bring_back(source, other.instance(), "owned tables", owner="heir", tables=("public.t",))
    assert [table.rows for table in tables.tables] == [1]
    assert rows(other, "owned tables") == rows(server, "owned")
    server.drop("owned")
    other.drop("owned", "owned tables")
    server.run("postgres", "DROP ROLE only_there, granted_there")


def test_line_43_new_owner_of_a_closed_database(server: PostgresServer, other: PostgresServer, tmp_path: Path) -> None:
    for where in (server, other):
        where.role("vya_owner")
        where.role("vya_reader")
    other.role("heir")
    server.create(
        "closed",
        "REVOKE ALL ON DATABASE closed FROM PUBLIC",
        "GRANT CONNECT ON DATABASE closed TO vya_reader",
        options="OWNER vya_owner",
    )
    source = take(server.instance(), "closed", tmp_path)
    assert bring_back(source, other.instance(), "closed", owner="heir").warnings == []
    query = "SELECT has_database_privilege('{}', 'closed', '{}')"
    asked = [(role, what) for role in ("heir", "vya_owner", "vya_reader") for what in ("CREATE", "CONNECT")]
    allowed = {who for who in asked if other.value("closed", query.format(*who))}
    assert allowed == {("heir", "CREATE"), ("heir", "CONNECT"), ("vya_reader", "CONNECT")}
    server.drop("closed")
    other.drop("closed")


@pytest.mark.parametrize(
    "options",
    [
        "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'",
        "ENCODING 'EUC_JP' LC_COLLATE 'C' LC_CTYPE 'POSIX'",
        "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'",
        "LOCALE_PROVIDER icu ICU_LOCALE 'de-u-co-phonebk' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'",
    ],
)
def test_line_44_database_properties(
    options: str, server: PostgresServer, other: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_snapshot, "LARGE_TABLE_BYTES", 1)
    for role in ROLES:
        server.role(role)
        other.role(role)
    name, word = (
        ("plain", "plain") if "SQL_ASCII" in options else ("naïve", "æøå") if "LATIN1" in options else ("表", "表")
    )
    server.create(
        "special",
        f'CREATE TABLE "{name}" ("{name}" text)',
        f"INSERT INTO \"{name}\" VALUES ('{word}')",
        "CREATE TABLE ascii (v text)",
        f"INSERT INTO ascii SELECT '{word}' || g FROM generate_series(1, 20) g",
        f"COMMENT ON DATABASE special IS 'it''s \\ {word}'",
        "ALTER DATABASE special CONNECTION LIMIT 17",
        'ALTER DATABASE special SET search_path = "$user", \'Odd, "Schema"\', public',
        "ALTER DATABASE special SET temp_tablespaces = ''",
        "ALTER DATABASE special SET work_mem = '7MB'",
        "ALTER DATABASE special SET my.setting = 'it''s, 100%'",
        "ALTER DATABASE special SET default_transaction_read_only = on",
        "ALTER ROLE vya_reader IN DATABASE special SET statement_timeout = '5min'",
        "ALTER DATABASE special OWNER TO vya_owner",
        "REVOKE TEMPORARY ON DATABASE special FROM PUBLIC",
        "GRANT CREATE ON DATABASE special TO vya_reader WITH GRANT OPTION",
        'GRANT CONNECT ON DATABASE special TO "vya \'odd\' ""role"""',
        options=f"TEMPLATE template0 {options}",
    )
    source = take(server.instance(), "special", tmp_path)
    bring_back(source, server.instance(), "special 2")
    bring_back(source, other.instance(), "special")
    bring_back(source, server.instance(), "special 3", tables=(f"public.{name}", "public.ascii"))
    expected = facts(server, "special")
    assert expected["rows"][f"public.{name}"][2][0] == 1
    for target, database in ((server, "special 2"), (other, "special"), (server, "special 3")):
        assert facts(target, database) == expected
    server.drop("special", "special 2", "special 3")
    other.drop("special")


def test_line_44_locale_that_the_target_lacks(server: PostgresServer, other: PostgresServer, tmp_path: Path) -> None:
    source = take(server.instance(), "template1", tmp_path)
    source.inventory.properties["collate"] = "tlh_KL.UTF-8"
    with pytest.raises(TargetUnfitError, match=r"does not have the locale tlh_KL\.UTF-8"):
        bring_back(source, other.instance(), "klingon")
    assert "klingon" not in other.databases()


def test_line_32_extension_that_the_target_lacks(server: PostgresServer, other: PostgresServer, tmp_path: Path) -> None:
    server.create("extended", "CREATE EXTENSION vya_only_here")
    source = take_and_restore(server, server, "extended", tmp_path, "extended 2")
    assert facts(server, "extended 2") == facts(server, "extended")
    with pytest.raises(TargetUnfitError, match="cannot install: vya_only_here"):
        bring_back(source, other.instance(), "extended")
    server.drop("extended", "extended 2")


def test_nulls_in_arrays_whatever_the_target_sets(way: str, server: PostgresServer, tmp_path: Path) -> None:
    server.create("holes", "CREATE TABLE t AS SELECT 1 AS id, ARRAY['a', NULL] AS v")
    server.run("postgres", "ALTER ROLE postgres SET array_nulls = off")
    server.run("holes", "ALTER DATABASE holes SET array_nulls = off")
    try:
        source = take_and_restore(server, server, "holes", tmp_path, "holes 2")
        bring_back(source, server.instance(), "holes", replace=True, tables=("public.t",))
    finally:
        server.run("postgres", "ALTER ROLE postgres RESET array_nulls")
    for database in ("holes", "holes 2"):
        assert server.value(database, "SELECT array_to_json(v)::text FROM t") == '["a",null]'
    server.drop("holes", "holes 2")


@pytest.fixture(scope="module")
def yen() -> Iterator[PostgresServer]:
    """A server whose money has no decimals, unless it is told otherwise."""
    with tempfile.TemporaryDirectory(prefix="vya-locales-") as folder, pytest.MonkeyPatch.context() as patch:
        Path(folder).chmod(0o755)
        subprocess.run(["localedef", "-i", "ja_JP", "-f", "UTF-8", f"{folder}/ja_JP.UTF-8"], check=True)
        patch.setenv("LOCPATH", folder)
        with running({}, lc_monetary="ja_JP.UTF-8") as server:
            yield server


MONEY = {
    "plain": ["CREATE TABLE plain AS SELECT money '12' AS v"],
    "listed": ["CREATE TABLE listed AS SELECT ARRAY[money '12'] AS v"],
    "limited": ["CREATE DOMAIN price AS money", "CREATE TABLE limited AS SELECT price '12' AS v"],
    "spread": ["CREATE TYPE prices AS RANGE (subtype = money)", "CREATE TABLE spread AS SELECT prices '[1,12]' AS v"],
    "joined": ["CREATE TYPE offer AS (price money)", "CREATE TABLE joined AS SELECT ROW(money '12')::offer AS v"],
}


def test_money_between_locales(way: str, yen: PostgresServer, other: PostgresServer, tmp_path: Path) -> None:
    """The text of money is read by the locale: 12 with two decimals more is 1200."""

    def amounts(server: PostgresServer, database: str) -> list[object]:
        tables = ", ".join(f"(SELECT v::text FROM {table})" for table in MONEY)
        return server.run(database, "SET lc_monetary = 'C'", f"SELECT {tables}")

    yen.create("priced", *(statement for statements in MONEY.values() for statement in statements))
    before = amounts(yen, "priced")
    source = take_and_restore(yen, other, "priced", tmp_path)
    yen.run("postgres", "ALTER DATABASE priced SET lc_monetary = 'C'")
    bring_back(source, yen.instance(), "priced", replace=True, tables=tuple(source.inventory.notes["tables"]))
    take_and_restore(other, yen, "priced", tmp_path, "priced 2")
    assert amounts(yen, "priced") == amounts(yen, "priced 2") == amounts(other, "priced") == before
    yen.drop("priced", "priced 2")
    other.drop("priced")


@pytest.mark.parametrize("statements", [["CREATE TABLE t (v numeric)"], *MONEY.values()])
def test_only_money_needs_a_locale(statements: list[str], server: PostgresServer, tmp_path: Path) -> None:
    """Some poolers refuse sessions with options of their own."""
    server.create("priced", *statements)
    notes = take(server.instance(), "priced", tmp_path).inventory.notes
    assert ("lc_monetary" in notes) == (statements in MONEY.values())
    server.drop("priced")


CALLING = {
    "in_index": "CREATE INDEX ON {} ((id + called(1)))",
    "in_predicate": "CREATE INDEX ON {} (id) WHERE id > called(1)",
    "by_operator": "CREATE INDEX ON {} ((id + (1 <+> 1)))",
    "in_statistics": "CREATE STATISTICS related ON (id + called(1)), (id * 2) FROM {}",
    "odd \\ 'name'": "CREATE INDEX ON {} ((called(1)))",
}


def test_functions_of_owners_are_not_run(
    way: str, server: PostgresServer, other: PostgresServer, tmp_path: Path
) -> None:
    """Nobody may run code as the account of the backup by giving a table an index."""
    server.create(
        "trapped",
        "CREATE FUNCTION called(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$BEGIN "
        "IF current_query() !~ 'CREATE' THEN RAISE EXCEPTION 'called by %', current_query(); END IF; RETURN $1; END$$",
        "CREATE FUNCTION both_called(int, int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + public.called($2)'",
        "CREATE OPERATOR <+> (LEFTARG = int, RIGHTARG = int, FUNCTION = both_called)",
        "CREATE TABLE free AS SELECT g AS id, repeat('x', 100) AS v FROM generate_series(1, 900) g",
        *(f"CREATE TABLE {quoted(table)} AS TABLE free" for table in CALLING),
        *(statement.format(quoted(table)) for table, statement in CALLING.items()),
        "CREATE TYPE color AS ENUM ('r', 'g', 'b')",
        "CREATE TABLE p (c color, id int) PARTITION BY HASH (c)",
        *(f"CREATE TABLE p{n} PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER {n})" for n in range(2)),
        "INSERT INTO p SELECT (enum_range(NULL::color))[g % 3 + 1], g FROM generate_series(1, 60) g",
        CALLING["in_index"].format("p1"),
    )
    source = take_and_restore(server, other, "trapped", tmp_path)
    assert {table.name: table.rows for table in source.inventory.tables} == dict.fromkeys(CALLING, 900) | {
        "free": 900,
        "p": 60,
    }
    parts = Counter(copy["table"] for copy in source.inventory.notes["copies"].values())
    assert (parts.pop("public.free", 0) > 1) == (way == "streams")
    assert set(parts.values()) <= {1}
    labels = tuple(source.inventory.notes["tables"])
    restored = bring_back(source, server.instance(), "trapped", replace=True, tables=labels)
    assert {(table.label, table.rows) for table in restored.tables} == {
        (table.label, table.rows) for table in source.inventory.tables
    }
    server.drop("trapped")
    other.drop("trapped")
