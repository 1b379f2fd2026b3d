# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines 1 to 25 of the fidelity list on real MySQL servers; runs inside a host that has MySQL (kit/inside.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql import dump as mysql_dump
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
