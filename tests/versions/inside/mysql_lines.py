# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines 1 to 25 of the fidelity list on real MySQL servers; runs inside a host that has MySQL (kit/inside.py)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql import dump as mysql_dump
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql import restore as mysql_restore
from ansible_collections.vya.backupdb.plugins.module_utils.errors import TargetUnfitError
from integration import test_fidelity_mysql
from integration.test_fidelity_mysql import COPY, Trip
from kit import mysql
from kit.mariadb_compare import differences, facts
from kit.mysql_cases import CASES, NAME, PROBES
from kit.roundtrip import bring_back, take

AS_FOR_MARIADB = (
    "in_pieces",
    "test_everything_in_pieces",
    "test_line_11_a_view_that_only_the_source_could_not_open_is_restored",
    "test_line_11_broken_views_are_kept_and_reported",
    "test_line_11_a_view_that_is_not_in_the_dump",
    "test_line_11_views_whose_names_are_like_a_broken_ones",
    "test_line_12_a_view_over_two_databases",
    "test_line_15_sandbox_line",
    "test_line_19_rows_larger_than_the_default_packet",
    "test_line_21_a_new_table_is_not_in_the_backup",
    "test_line_21_ddl_during_a_dump_in_pieces",
    "test_line_21_ddl_during_the_dump",
    "test_line_21_rows_and_upkeep_do_not_disturb",
    "test_line_21_tables_that_take_the_place_of_others",
    "test_line_22_names",
    "test_line_22_names_of_keys",
    "test_line_22_names_that_differ_by_case_alone",
    "test_line_23_empty_database",
    "test_line_23_five_thousand_tables",
)
globals().update({name: getattr(test_fidelity_mysql, name) for name in AS_FOR_MARIADB})


@pytest.fixture(scope="session")
def server() -> Iterator[mysql.MySQLServer]:
    with mysql.source() as running:
        yield running


@pytest.fixture(scope="session")
def other() -> Iterator[mysql.MySQLServer]:
    with mysql.other() as running:
        yield running


@pytest.fixture(scope="module")
def trip(server: mysql.MySQLServer, other: mysql.MySQLServer, tmp_path_factory: pytest.TempPathFactory) -> Trip:
    server.create(NAME, CASES, "CHARACTER SET utf8mb4")
    server.run("DROP USER l10_gone@nowhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mysql_dump, "SMALL_DATABASE_BYTES", 0)
        source = take(server.instance(), NAME, tmp_path_factory.mktemp("set"), jobs=3)
    copy = bring_back(source, server.instance(), COPY, jobs=3)
    fresh = bring_back(source, other.instance(), NAME, jobs=3)
    found = facts(server, NAME), facts(server, COPY, once=NAME), facts(other, NAME)
    return Trip(source, *found, copy.warnings, fresh.warnings)


def test_everything_but_broken_views_is_the_same(trip: Trip) -> None:
    for restored in (trip.fresh, trip.copy):
        lost = [line.partition(":")[0] for line in differences(trip.before, restored)]
        assert lost == ["view l11_above", "view l11_broken"]


@pytest.mark.parametrize("line", PROBES)
def test_line(trip: Trip, server: mysql.MySQLServer, other: mysql.MySQLServer, line: str) -> None:
    trip.assert_same(f"l{line}")
    for where, database in ((server, NAME), (server, COPY), (other, NAME)):
        assert [where.value(query, database) for query, _expected in PROBES[line]] == [
            expected for _query, expected in PROBES[line]
        ]


def test_line_08_the_target_is_strict(trip: Trip, other: mysql.MySQLServer) -> None:
    assert "STRICT_TRANS_TABLES" in other.value("SELECT @@sql_mode")


def test_line_10_definers_that_do_not_exist(trip: Trip) -> None:
    for warnings in (trip.copy_warnings, trip.fresh_warnings):
        assert any("lacks accounts" in sentence and "l10_gone@nowhere" in sentence for sentence in warnings)


def test_line_14_names_in_bodies_are_said(server: mysql.MySQLServer, tmp_path: Path) -> None:
    server.create("l14", "CREATE TABLE t (a int); CREATE PROCEDURE p () DELETE FROM l14.t;")
    source = take(server.instance(), "l14", tmp_path)
    assert any("Still naming the database l14" in s for s in bring_back(source, server.instance(), "l14 b").warnings)
    assert not any("Still naming" in s for s in bring_back(source, server.instance(), "l14", replace=True).warnings)
    server.drop("l14", "l14 b")


def test_line_20_tables_outside_the_snapshot(trip: Trip) -> None:
    outside = next(sentence for sentence in trip.source.inventory.warnings if "outside the snapshot" in sentence)
    assert "l20_myisam (MyISAM)" in outside
    assert "l20_csv (CSV)" in outside


def test_line_25_database_defaults(server: mysql.MySQLServer, other: mysql.MySQLServer, tmp_path: Path) -> None:
    options = "CHARACTER SET latin2 COLLATE latin2_czech_cs"
    server.create("l25", "CREATE TABLE t (a varchar(9))", options)
    bring_back(take(server.instance(), "l25", tmp_path), other.instance(), "l25")
    assert facts(other, "l25")["database", ""] == ("latin2", "latin2_czech_cs")
    assert differences(facts(server, "l25"), facts(other, "l25")) == []
    server.drop("l25")
    other.drop("l25")


FROM_TIMES = """
CREATE TABLE t (id int PRIMARY KEY, at timestamp, day date AS (date(at)) STORED, seen date AS (date(at)), KEY (seen),
    KEY shown ((date(at))));
INSERT INTO t (id, at) VALUES (1, '2026-01-01 02:00:00');
CREATE TABLE by_expression (id int PRIMARY KEY, at timestamp, KEY shown ((date(at))));
INSERT INTO by_expression VALUES (1, '2026-01-01 02:00:00');
"""


def test_what_is_computed_from_times_is_as_the_server_computes_it(server: mysql.MySQLServer, tmp_path: Path) -> None:
    server.create("times", FROM_TIMES)
    bring_back(take(server.instance(), "times", tmp_path), server.instance(), "times too")
    assert differences(facts(server, "times"), facts(server, "times too", once="times")) == []
    for table, index, column in (
        ("t", "seen", "seen"),
        ("t", "shown", "date(at)"),
        ("by_expression", "shown", "date(at)"),
    ):
        found = f"SELECT id FROM {table} FORCE INDEX ({index}) WHERE {column} = '2026-01-01'"
        assert server.run(found, database="times too") == [(1,)], (table, index)
    server.drop("times", "times too")


LENIENT = """
SET restrict_fk_on_non_standard_key = OFF;
CREATE TABLE p (id int PRIMARY KEY, k int, KEY (k));
CREATE TABLE c (id int PRIMARY KEY, k int, CONSTRAINT f FOREIGN KEY (k) REFERENCES p (k));
SET innodb_strict_mode = OFF;
CREATE TABLE s (id int PRIMARY KEY) ROW_FORMAT=COMPACT KEY_BLOCK_SIZE=8;
CREATE TABLE keyless (a int, at timestamp, second timestamp NOT NULL);
INSERT INTO keyless VALUES (1, NULL, '2026-01-01 02:00:00'), (1, NULL, '2026-01-01 02:00:00');
"""
KEYS_OF_THE_TARGET = ("sql_require_primary_key", "sql_generate_invisible_primary_key")


@contextmanager
def strict(server: mysql.MySQLServer) -> Iterator[None]:
    """The server as strict as it can be."""
    values = {**dict.fromkeys(KEYS_OF_THE_TARGET, "ON"), "explicit_defaults_for_timestamp": "OFF"}
    server.run(*(f"SET GLOBAL {name} = {value}" for name, value in values.items()))
    yield
    server.run(*(f"SET GLOBAL {name} = DEFAULT" for name in values))


@pytest.mark.parametrize("least_bytes", [0, 1 << 30])
def test_a_target_that_is_stricter_than_the_source(
    server: mysql.MySQLServer,
    other: mysql.MySQLServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    least_bytes: int,
) -> None:
    monkeypatch.setattr(mysql_restore, "LARGE_TABLE_BYTES", least_bytes)
    server.create("lenient", LENIENT)
    source = take(server.instance(), "lenient", tmp_path)
    with strict(other):
        bring_back(source, other.instance(), "lenient")
    assert differences(facts(server, "lenient"), facts(other, "lenient")) == []
    server.drop("lenient")
    other.drop("lenient")


@pytest.mark.parametrize("name", KEYS_OF_THE_TARGET)
def test_an_account_that_may_not_make_the_target_lenient(
    server: mysql.MySQLServer, other: mysql.MySQLServer, tmp_path: Path, name: str
) -> None:
    server.create("keyless", "CREATE TABLE t (a int); CREATE TABLE u (a int PRIMARY KEY)")
    source = take(server.instance(), "keyless", tmp_path)
    other.create("keyless", "CREATE TABLE old (id int PRIMARY KEY)")
    other.run("CREATE USER plain@'127.0.0.1' IDENTIFIED BY 'secret'")
    other.run(
        "GRANT SELECT, INSERT, CREATE, DROP, ALTER, INDEX, REFERENCES, TRIGGER, EVENT ON *.* TO plain@'127.0.0.1'"
    )
    other.run("GRANT SHOW VIEW, CREATE VIEW, CREATE ROUTINE ON *.* TO plain@'127.0.0.1'", f"SET GLOBAL {name} = ON")
    plain = other.instance(username="plain", password="secret")
    with pytest.raises(TargetUnfitError, match=f"{name} = ON.* no primary key: t. Run SET GLOBAL {name} = OFF"):
        bring_back(source, plain, "keyless", replace=True)
    assert other.run("SHOW TABLES", database="keyless") == [("old",)]
    bring_back(source, plain, "keyless", tables=("u",))
    other.run(f"SET GLOBAL {name} = OFF")
    bring_back(source, plain, "keyless", replace=True)
    assert differences(facts(server, "keyless"), facts(other, "keyless")) == []
    other.run("DROP USER plain@'127.0.0.1'")
    server.drop("keyless")
    other.drop("keyless")


def test_a_tablespace_that_the_target_lacks(
    server: mysql.MySQLServer, other: mysql.MySQLServer, tmp_path: Path
) -> None:
    server.run("CREATE TABLESPACE `of ours` ADD DATAFILE 'of_ours.ibd'")
    server.create(
        "spaces", "CREATE TABLE t (a int COMMENT 'TABLESPACE `x`') TABLESPACE `of ours`; CREATE TABLE u (a int)"
    )
    source = take(server.instance(), "spaces", tmp_path)
    other.create("spaces", "CREATE TABLE old (id int)")
    lacks = pytest.raises(TargetUnfitError, match=r"lacks tablespaces that the backup uses: of ours\. Run ")
    with lacks as refused:
        bring_back(source, other.instance(), "spaces", replace=True)
    assert other.run("SHOW TABLES", database="spaces") == [("old",)]
    other.run(refused.value.message.partition("Run ")[2].rpartition(" there.")[0])
    bring_back(source, other.instance(), "spaces", replace=True)
    assert differences(facts(server, "spaces"), facts(other, "spaces")) == []
    for one in (server, other):
        one.drop("spaces")
        one.run("DROP TABLESPACE `of ours`")


def test_names_of_checks_that_other_tables_have(server: mysql.MySQLServer, tmp_path: Path) -> None:
    server.create("checks", "CREATE TABLE c (a int, CONSTRAINT positive CHECK (a > 0)); INSERT INTO c VALUES (1)")
    source = take(server.instance(), "checks", tmp_path)
    server.run(
        "DROP TABLE c", "CREATE TABLE c (mine int)", "CREATE TABLE d (a int, CONSTRAINT Positive CHECK (a > 5))",
        database="checks",
    )  # fmt: skip
    before = facts(server, "checks")
    with pytest.raises(TargetUnfitError, match=r"The table d .* has a constraint \(CHECK\) of the name Positive"):
        bring_back(source, server.instance(), "checks", tables=("c",), replace=True)
    assert differences(before, facts(server, "checks")) == []
    server.drop("checks")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE l05_json SET doc = '{}' WHERE name IS NULL",
        "DROP INDEX d ON l24_indexes",
        "DROP TRIGGER l13_second",
        "ALTER TABLE l18_self DROP FOREIGN KEY `l18 boss`",
        "ALTER TABLE l02_invisible ALTER hidden SET DEFAULT 8",
        "DROP FUNCTION l14_ansi",
    ],
)
def test_the_comparison_sees_damage(trip: Trip, server: mysql.MySQLServer, damage: str) -> None:
    before = facts(server, COPY)
    server.run(damage, database=COPY)
    assert differences(before, facts(server, COPY))
