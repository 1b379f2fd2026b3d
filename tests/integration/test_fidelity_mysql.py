# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines 1 to 25 of the fidelity list, on real MariaDB servers.

One large database holds the cases that don't disturb one another: it is dumped once, in parallel, and restored under
another name on the same server and under its own name on a fresh one (kit/mariadb_cases.py).
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql import dump as mysql_dump
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql import restore as mysql_restore
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql import snapshot as mysql_snapshot
from ansible_collections.vya.backupdb.plugins.module_utils.errors import (
    QueryFailedError,
    SchemaChangedError,
    TargetUnfitError,
)
from kit.mariadb import COLLATION, MariaDBServer, quoted
from kit.mariadb_cases import CASES, NAME
from kit.mariadb_compare import Facts, differences, facts
from kit.roundtrip import PlainSource, bring_back, take

COPY = "a copy; of it"
KEYS = r"""
CREATE TABLE `a``b.c %s '"\; ü` (`k``ey %s '"\; ü` bigint unsigned PRIMARY KEY, t varchar(9) CHARACTER SET gbk);
INSERT INTO `a``b.c %s '"\; ü` VALUES (0, '表'), (1, 0x815C), (9223372036854775808, NULL), (18446744073709551615, 'z');
CREATE TABLE negative (id int, n varchar(9), doubled bigint AS (id * 2) STORED, PRIMARY KEY (id, n));
INSERT INTO negative (id, n) VALUES (-2147483648, ''), (-1, 'a'), (-1, 'b'), (0, 'é'), (2147483647, 'c');
CREATE TABLE parted (id tinyint PRIMARY KEY, boss tinyint) PARTITION BY HASH (id) PARTITIONS 3;
INSERT INTO parted VALUES (-128, 1), (0, 2), (1, NULL), (127, 0);
CREATE TABLE child (id int PRIMARY KEY, parent bigint unsigned, KEY (parent),
    CONSTRAINT `it's` FOREIGN KEY (parent) REFERENCES `a``b.c %s '"\; ü` (`k``ey %s '"\; ü`));
INSERT INTO child VALUES (1, 0), (2, 18446744073709551615), (3, NULL);
CREATE TABLE one_row (id int PRIMARY KEY);
INSERT INTO one_row VALUES (7);
CREATE TABLE no_row (id int PRIMARY KEY);
"""
"""Tables to be cut in ranges of their keys."""


@dataclasses.dataclass
class Trip:
    """A database that went out of its server and came back twice."""

    source: PlainSource
    before: Facts
    copy: Facts
    fresh: Facts
    copy_warnings: list[str]
    fresh_warnings: list[str]

    def assert_same(self, line: str) -> None:
        """Everything of one line is there, at least one thing, and equal in both copies."""
        wanted = {key: value for key, value in self.before.items() if key[1].startswith(line)}
        assert wanted
        for restored in (self.copy, self.fresh):
            assert not differences(wanted, {key: value for key, value in restored.items() if key[1].startswith(line)})


@contextmanager
def _pausing_at(size: int, then: Callable[[], object]) -> Iterator[None]:
    """While somebody reads the data parts, does something once ``size`` bytes are past."""
    read = mysql_dump.DumpStream.read
    seen = 0
    counting = threading.Lock()

    def paused(stream: mysql_dump.DumpStream, wanted: int = -1) -> bytes:
        nonlocal seen
        data = read(stream, wanted)
        with counting:
            due = stream._counter and seen < size <= seen + len(data)
            seen += len(data) if stream._counter else 0
        if due:
            then()
        return data

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mysql_dump.DumpStream, "read", paused)
        yield


@pytest.fixture(scope="session")
def server(mariadb_source: MariaDBServer) -> MariaDBServer:
    return mariadb_source


@pytest.fixture(scope="session")
def other(mariadb_other: MariaDBServer) -> MariaDBServer:
    return mariadb_other


@pytest.fixture(scope="module")
def trip(server: MariaDBServer, other: MariaDBServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trip]:
    server.create(NAME, CASES, r"CHARACTER SET utf8mb4 COMMENT 'it''s \\ a ;\n %s:x comment ü'")
    server.run("DROP USER l10_gone@nowhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mysql_dump, "SMALL_DATABASE_BYTES", 0)
        source = take(server.instance(), NAME, tmp_path_factory.mktemp("set"), jobs=3)
    copy = bring_back(source, server.instance(), COPY, jobs=3)
    with pytest.MonkeyPatch.context() as patch:  # the copy has its indexes from the start, this one gets them later
        patch.setattr(mysql_restore, "LARGE_TABLE_BYTES", 0)
        fresh = bring_back(source, other.instance(), NAME, jobs=3)
    yield Trip(
        source, facts(server, NAME), facts(server, COPY, once=NAME), facts(other, NAME), copy.warnings, fresh.warnings
    )
    server.drop(NAME, COPY)
    other.drop(NAME)


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of any size are dumped in ranges of their primary keys, each by a process of its own."""
    monkeypatch.setattr(mysql_dump, "SMALL_DATABASE_BYTES", 0)
    monkeypatch.setattr(mysql_dump, "SPLIT_SHARE", 0)


def test_everything_but_broken_views_is_the_same(trip: Trip) -> None:
    for restored in (trip.fresh, trip.copy):
        lost = [line.partition(":")[0] for line in differences(trip.before, restored)]
        assert lost == ["view l11_above", "view l11_broken"]


@pytest.mark.usefixtures("in_pieces")
def test_everything_in_pieces(trip: Trip, server: MariaDBServer, other: MariaDBServer, tmp_path: Path) -> None:
    database = trip.source.database
    source = take(server.instance(), database, tmp_path, jobs=3)
    assert len(source.parts) > len(trip.source.parts) + 10
    bring_back(source, other.instance(), "in pieces", jobs=3)
    lost = [line.partition(":")[0] for line in differences(trip.before, facts(other, "in pieces", once=database))]
    assert lost == ["view l11_above", "view l11_broken"]
    other.drop("in pieces")


def rows(server: MariaDBServer, database: str, query: str) -> list[tuple[Any, ...]]:
    return server.run("SET time_zone = '+00:00'", query, database=database)


def test_line_01_generated_columns(trip: Trip, other: MariaDBServer) -> None:
    trip.assert_same("l01_")
    assert rows(other, NAME, "SELECT s, v FROM l01_generated WHERE a = 2") == [(4, "v2")]


def test_line_02_invisible_columns(trip: Trip, other: MariaDBServer) -> None:
    trip.assert_same("l02_")
    assert rows(other, NAME, "SELECT *, hidden, both_of FROM l02_invisible") == [(1, 7, 8), (2, 99, 101)]


def test_line_03_default_and_on_update_now(trip: Trip, other: MariaDBServer) -> None:
    trip.assert_same("l03_")
    shown = other.run("SHOW CREATE TABLE l03_now", database=NAME)[0][1]
    assert "DEFAULT current_timestamp(3)" in shown
    assert "ON UPDATE current_timestamp()" in shown
    assert "DEFAULT uuid()" in shown


def test_line_04_bytes(trip: Trip, other: MariaDBServer) -> None:
    trip.assert_same("l04_")
    found = rows(other, NAME, "SELECT hex(b), hex(left(bl, 6)), length(bl) FROM l04_bytes WHERE id = 1")
    assert found == [("00" * 16, "00FF0A275C22", 6000)]


def test_line_05_virtual_column_over_json(trip: Trip, other: MariaDBServer) -> None:
    trip.assert_same("l05_")
    assert rows(other, NAME, "SELECT name FROM l05_json ORDER BY name IS NULL LIMIT 1") == [('O\'Neil "x" \\ é',)]


def test_line_06_latin1_enum(trip: Trip, other: MariaDBServer) -> None:
    trip.assert_same("l06_")
    assert rows(other, NAME, "SELECT hex(e), s FROM l06_enum WHERE e = 'é'") == [("E9", "à,z")]


def test_line_07_character_sets_and_time_zones(trip: Trip, other: MariaDBServer) -> None:
    """Servers in three time zones; codes that Unicode does not know, or knows under another number."""
    trip.assert_same("l07_")
    found = rows(other, NAME, "SELECT hex(id), hex(t) FROM l07_ascii WHERE id > 'z'")
    assert found == [("C3A9", "C3BC626572")]
    query = "SELECT hex(g), hex(c), hex(j), hex(b), hex(r), at, dt FROM l07_text WHERE id = 1"
    at_source = ("815C8140", "8790", "5C", "A15A", "98")
    assert tuple(rows(other, NAME, query)[0])[:5] == at_source
    assert str(rows(other, NAME, query)[0][5]) == "2026-03-28 20:00:00"
    assert str(rows(other, NAME, query)[0][6]) == "2026-03-29 02:30:00"
    assert any("may be lost in these tables: l07_with_uuid." in sentence for sentence in trip.source.inventory.warnings)


def test_line_08_zero_and_invalid_dates(trip: Trip, other: MariaDBServer) -> None:
    """The target is strict: what the source had accepted comes back all the same, a zero in an AUTO_INCREMENT too."""
    trip.assert_same("l08_")
    assert "STRICT_TRANS_TABLES" in other.value("SELECT @@sql_mode")
    found = rows(other, NAME, "SELECT concat(d), concat(dt) FROM l08_dates ORDER BY d")
    assert found == [("0000-00-00", "2026-02-31 10:00:00"), ("2026-00-00", "2026-04-31 00:00:00")]
    assert rows(other, NAME, "SELECT id FROM l08_zero ORDER BY id") == [(0,), (5,)]


def test_line_09_utf8mb4_and_collations_the_target_lacks(
    trip: Trip, server: MariaDBServer, other: MariaDBServer, tmp_path: Path
) -> None:
    trip.assert_same("l09_")
    server.create("l09", f"CREATE TABLE t (a varchar(9) COLLATE {COLLATION}); INSERT INTO t VALUES ('ä')")
    source = take(server.instance(), "l09", tmp_path)
    with pytest.raises(TargetUnfitError, match=f"lacks collations that the backup uses: {COLLATION}"):
        bring_back(source, other.instance(), "l09")
    assert "l09" not in other.databases()
    bring_back(source, server.instance(), "l09 again")
    assert differences(facts(server, "l09"), facts(server, "l09 again")) == []
    server.drop("l09", "l09 again")


def test_line_09_collations_of_sessions_that_the_target_lacks(
    server: MariaDBServer, other: MariaDBServer, tmp_path: Path
) -> None:
    """Views and routines keep the collation under which they were made; the data does not need it."""
    server.create(
        "l09",
        f"SET NAMES utf8mb4 COLLATE {COLLATION}; CREATE VIEW v AS SELECT 'a' AS a; CREATE TABLE t (a int);"
        "CREATE FUNCTION f () RETURNS int DETERMINISTIC RETURN 'a' = 'b';"
        "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW DO 1",
    )
    source = take(server.instance(), "l09", tmp_path)
    (warning,) = bring_back(source, other.instance(), "l09").warnings
    assert f"lacks collations under which views, routines, triggers or events were made: {COLLATION}. " in warning
    kept = "SELECT DISTINCT character_set_client, collation_connection FROM information_schema"
    for kind, schema in (("views", "table"), ("routines", "routine"), ("triggers", "trigger")):
        assert other.run(f"{kept}.{kind} WHERE {schema}_schema = 'l09'") == [("utf8mb4", "utf8mb4_general_ci")]
    assert bring_back(source, server.instance(), "l09", replace=True).warnings == []
    assert server.value("SELECT collation_connection FROM information_schema.views WHERE table_schema = 'l09'") == (
        COLLATION
    )
    server.drop("l09")
    other.drop("l09")


def test_line_10_definers_that_do_not_exist(trip: Trip, other: MariaDBServer) -> None:
    trip.assert_same("l10_")
    for warnings in (trip.copy_warnings, trip.fresh_warnings):
        assert any("lacks accounts" in sentence and "l10_gone@nowhere" in sentence for sentence in warnings)
    assert rows(other, NAME, "SELECT definer FROM information_schema.triggers WHERE trigger_name = 'l10_trigger'") == [
        ("l10_gone@nowhere",)
    ]


def test_line_11_broken_views_are_kept_and_reported(trip: Trip) -> None:
    kept = {view["name"]: view["sql"] for view in trip.source.inventory.notes["broken_views"]}
    assert "from `l11_dropped`" in kept["l11_broken"]
    assert "from `l11_broken`" in kept["l11_above"]
    for name in kept:
        assert any(f"The view {name} is broken" in sentence for sentence in trip.source.inventory.warnings)
    for name in ("l11_broken", "l11_above"):
        assert any(f"The view {name} was broken" in sentence for sentence in trip.fresh_warnings)


def test_line_11_a_view_that_only_the_source_could_not_open_is_restored(
    server: MariaDBServer, other: MariaDBServer, tmp_path: Path
) -> None:
    """It shows a table of another database, which only the target has; a view over it comes first by its name."""
    server.create("elsewhere", "CREATE TABLE t SELECT 1 AS a")
    other.create("elsewhere", "CREATE TABLE t SELECT 2 AS a")
    server.create("l11", "CREATE VIEW v AS SELECT a FROM elsewhere.t; CREATE VIEW u AS SELECT a FROM v")
    server.drop("elsewhere")
    source = take(server.instance(), "l11", tmp_path)
    assert [view["name"] for view in source.inventory.notes["broken_views"]] == ["u", "v"]
    assert bring_back(source, other.instance(), "l11 again").warnings == []
    assert other.run("SELECT * FROM u", database="l11 again") == [(2,)]
    server.drop("l11")
    other.drop("l11 again", "elsewhere")


LIKE = """
CREATE TABLE t (a int); INSERT INTO t VALUES (5);
CREATE VIEW resume AS SELECT a FROM t; CREATE VIEW REsume AS SELECT a + 1 AS a FROM t;
CREATE TABLE gone (a int); CREATE VIEW `Resume` AS SELECT a FROM gone; DROP TABLE gone;
"""


def test_line_11_views_whose_names_are_like_a_broken_ones(
    server: MariaDBServer, other: MariaDBServer, tmp_path: Path
) -> None:
    """The tools would leave them out, too: they look names up without regard to case."""
    server.create("l11", LIKE, "CHARACTER SET utf8mb4")
    source = take(server.instance(), "l11", tmp_path)
    said = [sentence for sentence in source.inventory.warnings if "takes it for Resume, a broken one" in sentence]
    assert len(said) == 2
    bring_back(source, other.instance(), "l11")
    assert other.run("SELECT a FROM resume UNION ALL SELECT a FROM REsume", database="l11") == [(5,), (6,)]
    server.run("CREATE TABLE RESUME (a int)", database="l11")
    with pytest.raises(QueryFailedError, match=r"take RESUME .* for the broken view Resume"):
        take(server.instance(), "l11", tmp_path)
    server.drop("l11")
    other.drop("l11")


def test_line_11_a_view_that_is_not_in_the_dump(
    server: MariaDBServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.create("l11", LIKE, "CHARACTER SET utf8mb4")
    monkeypatch.setattr(mysql_snapshot, "alike", str)
    with pytest.raises(SchemaChangedError, match="not in the dump: REsume, resume"):
        take(server.instance(), "l11", tmp_path)
    server.drop("l11")


def test_line_22_names_that_differ_by_case_alone(
    server: MariaDBServer, other: MariaDBServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one process leaves out, the tools look up without regard to case."""
    monkeypatch.setattr(mysql_dump, "SMALL_DATABASE_BYTES", 0)
    monkeypatch.setattr(mysql_dump, "SPLIT_SHARE", 9)
    columns = "(id int PRIMARY KEY, t varchar(9)"
    server.create(
        "l22",
        f"CREATE TABLE Orders {columns}); CREATE TABLE orders {columns}); CREATE TABLE ORDERS {columns} CHARSET gbk);"
        f"CREATE TABLE beside {columns} CHARSET gbk); CREATE TABLE another {columns});"
        "INSERT INTO Orders VALUES (1, 'a'), (2, 'b'); INSERT INTO orders VALUES (3, 'c'), (4, 'd');"
        "INSERT INTO ORDERS VALUES (5, '汉字'); INSERT INTO beside VALUES (6, 'e'), (7, 'f')",
        "CHARACTER SET utf8mb4",
    )
    source = take(server.instance(), "l22", tmp_path, jobs=4)
    assert len(source.parts) > 3
    bring_back(source, other.instance(), "l22")
    assert differences(facts(server, "l22"), facts(other, "l22")) == []
    server.drop("l22")
    other.drop("l22")


def test_line_12_views_under_another_name(trip: Trip, server: MariaDBServer) -> None:
    trip.assert_same("l12_")
    assert rows(server, COPY, "SELECT * FROM l12_a WHERE a = 2") == [(2, 4, 2)]
    assert quoted(NAME) not in server.run("SHOW CREATE VIEW l12_a", database=COPY)[0][1]


def test_line_12_a_view_over_two_databases(server: MariaDBServer, tmp_path: Path) -> None:
    """Here the server prints its own name, too; what belongs to the other database stays there."""
    server.create("elsewhere", "CREATE TABLE t SELECT 1 AS a")
    server.create(
        "l12", "CREATE TABLE t SELECT 1 AS a; CREATE VIEW v AS SELECT t.a FROM t JOIN elsewhere.t AS e ON e.a = t.a"
    )
    bring_back(take(server.instance(), "l12", tmp_path), server.instance(), "l12 again")
    shown = server.run("SHOW CREATE VIEW v", database="l12 again")[0][1]
    assert "`elsewhere`.`t`" in shown
    assert "`l12`" not in shown
    server.drop("l12", "l12 again", "elsewhere")


def test_line_12_sequences_and_a_table_named_as_its_database(server: MariaDBServer, tmp_path: Path) -> None:
    server.create("elsewhere", "CREATE TABLE b SELECT 1 AS id")
    server.create(
        "l12",
        "CREATE TABLE l12 (id int PRIMARY KEY, made date, t text); INSERT INTO l12 VALUES (1, '2026-01-02', 'xa');"
        "CREATE SEQUENCE q; CREATE VIEW n AS SELECT nextval(q) AS n;"
        "CREATE VIEW v AS SELECT extract(year FROM l12.made) AS y, trim(LEADING 'x' FROM l12.t) AS t FROM l12;"
        "CREATE VIEW w AS SELECT l12.id FROM elsewhere.b STRAIGHT_JOIN l12 ON l12.id = b.id",
    )
    source = take(server.instance(), "l12", tmp_path)
    assert bring_back(source, server.instance(), "l12 again").warnings == []
    server.drop("l12")
    for view, row in (("n", (1,)), ("v", (2026, "a")), ("w", (1,))):
        assert server.run(f"SELECT * FROM {view}", database="l12 again") == [row]
    server.drop("l12 again", "elsewhere")


def test_line_13_triggers_and_many_indexes(trip: Trip, server: MariaDBServer, other: MariaDBServer) -> None:
    trip.assert_same("l13")
    for where, database in ((server, COPY), (other, NAME)):
        where.run("INSERT INTO l13_many (id) VALUES (10)", "UPDATE l13_many SET c1 = 5", database=database)
        assert rows(where, database, "SELECT log FROM l13_many WHERE id = 10") == [("it's 10;2",)]
        assert rows(where, database, "SELECT count(*) FROM l13_log") == [(3,)]
    assert rows(server, NAME, "SELECT count(*) FROM l13_log") == [(0,)]


def test_line_14_routines_and_events_in_several_sql_modes(trip: Trip, other: MariaDBServer) -> None:
    trip.assert_same("l14")
    assert rows(other, NAME, "SELECT l14_ansi(7), l14_backslash()") == [("x7`'", "c:\\")]
    assert other.run("SET sql_mode = 'ORACLE'", "SELECT l14_package.f()", database=NAME) == [(42,)]
    assert "# and `this" in rows(other, NAME, "SHOW CREATE PROCEDURE l14_comments")[0][2]
    assert any(f"Still naming the database {NAME}" in s and 'l14 "event"' in s for s in trip.copy_warnings)
    assert not any("Still naming" in sentence for sentence in trip.fresh_warnings)


def test_line_14_modes_that_the_target_lacks(server: MariaDBServer, other: MariaDBServer, tmp_path: Path) -> None:
    """As between MariaDB and MySQL, or old and new MySQL; here the backup is given a mode that no server has."""
    script = "SET sql_mode = 'ANSI_QUOTES,HIGH_NOT_PRECEDENCE'; CREATE FUNCTION f () RETURNS int DETERMINISTIC RETURN 1"
    server.create("l14", script)
    source = take(server.instance(), "l14", tmp_path)
    assert source.inventory.notes["sql_modes"] == ["ANSI_QUOTES", "HIGH_NOT_PRECEDENCE"]
    source.inventory.notes["sql_modes"][:0] = ["NO_SUCH"]
    schema = source.files["schema.sql"]
    schema.write_bytes(schema.read_bytes().replace(b"'ANSI_QUOTES,", b"'NO_SUCH,ANSI_QUOTES,"))
    (warning,) = bring_back(source, other.instance(), "l14").warnings
    assert "lacks SQL modes in which routines, triggers or events were made: NO_SUCH. " in warning
    assert other.value("SELECT sql_mode FROM information_schema.routines WHERE routine_schema = 'l14'") == (
        "ANSI_QUOTES,HIGH_NOT_PRECEDENCE"
    )
    server.drop("l14")
    other.drop("l14")


def test_line_15_sandbox_line(trip: Trip) -> None:
    for path in trip.source.files.values():
        assert b"sandbox" not in path.read_bytes()[:200]


def test_line_16_sequences_history_and_types(trip: Trip, server: MariaDBServer, other: MariaDBServer) -> None:
    trip.assert_same("l16_")
    assert trip.before["value", "l16_numbers"] == trip.fresh["value", "l16_numbers"]
    history = "SELECT count(*) FROM l16_history FOR SYSTEM_TIME ALL"
    assert rows(other, NAME, history) == rows(server, NAME, history) == [(3,)]
    assert f"nextval({quoted(COPY)}.`l16_numbers`)" in server.run("SHOW CREATE TABLE l16_numbered", database=COPY)[0][1]
    assert {table.name: table.rows for table in trip.source.inventory.tables}["l16_history"] == 3


def test_line_16_transaction_precise_history(server: MariaDBServer, other: MariaDBServer, tmp_path: Path) -> None:
    """The tools can't dump it: the current rows come, and the set says that the past ones don't."""
    server.create(
        "l16",
        "CREATE TABLE t (id int PRIMARY KEY, s bigint unsigned GENERATED ALWAYS AS ROW START,"
        "e bigint unsigned GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING;"
        "INSERT INTO t (id) VALUES (1), (2); DELETE FROM t WHERE id = 1;",
    )
    source = take(server.instance(), "l16", tmp_path)
    assert "past rows" in " ".join(source.inventory.warnings)
    bring_back(source, other.instance(), "l16")
    assert other.run("SELECT id FROM t FOR SYSTEM_TIME ALL", database="l16") == [(2,)]
    server.drop("l16")
    other.drop("l16")


def test_line_17_partitions(trip: Trip, other: MariaDBServer) -> None:
    trip.assert_same("l17_")
    assert rows(other, NAME, "SELECT id FROM l17_range PARTITION (`new one`)") == [(2,)]


def test_line_18_foreign_keys_in_cycles(trip: Trip, other: MariaDBServer) -> None:
    trip.assert_same("l18_")
    count = "SELECT count(*) FROM information_schema.innodb_sys_foreign WHERE for_name LIKE '%l18%'"
    assert other.value(count) == 3
    assert rows(other, NAME, "SELECT count(*) FROM l18_one JOIN l18_two ON l18_one.two = l18_two.id") == [(2000,)]


def test_line_19_rows_larger_than_the_default_packet(
    server: MariaDBServer, other: MariaDBServer, tmp_path: Path
) -> None:
    server.create("l19", "CREATE TABLE t (b longblob); INSERT INTO t VALUES (repeat('\\0', 12000000)), ('x')")
    source = take(server.instance(), "l19", tmp_path)
    with pytest.raises(TargetUnfitError, match=r"Run SET GLOBAL max_allowed_packet = 24117248 there") as raised:
        bring_back(source, other.instance(), "l19")
    assert "l19" not in other.databases()
    advice = str(raised.value).partition("Run ")[2].partition(" there")[0]
    other.run(advice)
    bring_back(source, other.instance(), "l19")
    assert differences(facts(server, "l19"), facts(other, "l19")) == []
    other.run("SET GLOBAL max_allowed_packet = 16777216")
    server.drop("l19")
    other.drop("l19")


def test_line_20_tables_outside_the_snapshot(trip: Trip) -> None:
    trip.assert_same("l20_")
    outside = next(sentence for sentence in trip.source.inventory.warnings if "outside the snapshot" in sentence)
    assert "l20_myisam (MyISAM)" in outside
    assert "l20_aria (Aria)" in outside
    elsewhere = next(sentence for sentence in trip.source.inventory.warnings if "keep their rows elsewhere" in sentence)
    assert "l20_merge" in elsewhere


@pytest.mark.parametrize(
    "change", ["ALTER TABLE b ADD c int", "DROP TABLE b", "TRUNCATE TABLE b", "RENAME TABLE b TO c"]
)
def test_line_21_ddl_during_the_dump(server: MariaDBServer, tmp_path: Path, change: str) -> None:
    """The dump stands still in a large first table while the last one is changed."""
    server.create(
        "l21",
        "CREATE TABLE a (t longtext) SELECT repeat('x', 1000000) AS t FROM information_schema.columns LIMIT 30;"
        "CREATE TABLE b (id int); INSERT INTO b VALUES (1)",
    )
    done: list[Any] = []

    def alter() -> None:
        time.sleep(0.5)
        done.append(server.run("SET lock_wait_timeout = 30", change, database="l21"))

    with _pausing_at(1 << 20, alter), pytest.raises(SchemaChangedError, match="Run the backup again"):
        take(server.instance(), "l21", tmp_path, jobs=1)
    assert done == [[]]
    server.drop("l21")


TWINS = """
CREATE TABLE a (t longtext) SELECT repeat('x', 1000000) AS t FROM information_schema.columns LIMIT 30;
CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b VALUES (1), (2);
CREATE TABLE c (id int PRIMARY KEY); INSERT INTO c VALUES (3);
CREATE TABLE `parts of $` (id int PRIMARY KEY) PARTITION BY RANGE (id)
    (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20));
INSERT INTO `parts of $` VALUES (1), (11);
"""


@pytest.mark.parametrize(
    "change",
    [
        "RENAME TABLE b TO x, c TO b, x TO c",
        "ALTER TABLE `parts of $` DROP PARTITION p0",
        "ALTER TABLE `parts of $` EXCHANGE PARTITION p0 WITH TABLE c",
    ],
)
def test_line_21_tables_that_take_the_place_of_others(server: MariaDBServer, tmp_path: Path, change: str) -> None:
    """Every column and index is as before, and what was not read yet is another table's: b's rows twice, c's never."""
    server.create("l21", TWINS)

    def alter() -> None:
        time.sleep(0.5)
        server.run("SET lock_wait_timeout = 30", change, database="l21")

    with _pausing_at(1 << 20, alter), pytest.raises(SchemaChangedError, match="Run the backup again"):
        take(server.instance(), "l21", tmp_path, jobs=1)
    server.drop("l21")


OTHER_ENGINES = {"mariadb": ("MyISAM", "Aria", "CSV", "ARCHIVE", "MEMORY"), "mysql": ("MyISAM", "CSV", "MEMORY")}


def test_line_21_rows_and_upkeep_do_not_disturb(server: MariaDBServer, tmp_path: Path) -> None:
    engines = OTHER_ENGINES[server.flavour]
    server.create("l21", TWINS + "".join(f"CREATE TABLE t_{name} (id int NOT NULL) ENGINE {name};" for name in engines))
    names = ("b", "`parts of $`", *(f"t_{name}" for name in engines))
    done: list[Any] = []

    def write() -> None:
        time.sleep(1.5)  # catalogues keep times in seconds
        inserts = [f"INSERT INTO {name} VALUES (9)" for name in names]
        upkeep = [f"ANALYZE TABLE {', '.join(names)}", "FLUSH TABLES b", "CHECK TABLE b", "OPTIMIZE TABLE t_MyISAM"]
        trigger = "CREATE TRIGGER later BEFORE INSERT ON b FOR EACH ROW SET @x = 1"
        done.append(server.run("SET lock_wait_timeout = 30", *inserts, *upkeep, trigger, database="l21"))

    with _pausing_at(1 << 20, write):
        take(server.instance(), "l21", tmp_path, jobs=1)
    assert len(done) == 1
    server.drop("l21")


def test_line_04_digits_of_floats_are_told(server: MariaDBServer, other: MariaDBServer, tmp_path: Path) -> None:
    server.create(
        "l04",
        "CREATE TABLE f (id int PRIMARY KEY, f float); CREATE TABLE u (f float unsigned, d double);"
        "CREATE TABLE exact (d double, m float(10,3)); INSERT INTO f VALUES (1, 16777215);"
        "INSERT INTO exact VALUES (16777215.125, 1234567.125)",
    )
    source = take(server.instance(), "l04", tmp_path)
    said = [sentence for sentence in source.inventory.warnings if "FLOAT" in sentence]
    assert len(said) == 1
    assert "these tables: f, u. Where" in said[0]
    bring_back(source, other.instance(), "l04")
    assert other.run("SELECT d, m + 0e0 FROM exact", database="l04") == [(16777215.125, 1234567.125)]
    server.drop("l04")
    other.drop("l04")


def test_line_21_a_new_table_is_not_in_the_backup(server: MariaDBServer, other: MariaDBServer, tmp_path: Path) -> None:
    server.create(
        "l21",
        "CREATE TABLE a (t longtext) SELECT repeat('x', 1000000) AS t FROM information_schema.columns LIMIT 5;"
        "CREATE TABLE b (id int)",
    )
    before = facts(server, "l21")
    change = [
        "CREATE TABLE c (id int)",
        "INSERT INTO c VALUES (1)",
        "CREATE TRIGGER t BEFORE INSERT ON c FOR EACH ROW DO 1",
    ]
    with _pausing_at(1 << 20, lambda: server.run(*change, "INSERT INTO b VALUES (1)", database="l21")):
        source = take(server.instance(), "l21", tmp_path, jobs=1)
    bring_back(source, other.instance(), "l21")
    assert differences(before, facts(other, "l21")) == []
    server.drop("l21")
    other.drop("l21")


@pytest.mark.usefixtures("in_pieces")
def test_line_21_ddl_during_a_dump_in_pieces(server: MariaDBServer, other: MariaDBServer, tmp_path: Path) -> None:
    """The processes are in different tables by then: the dump fails, or is of the moment before."""
    for change in ("ALTER TABLE b ADD c int", "DROP TABLE b", "TRUNCATE TABLE b", "RENAME TABLE b TO c"):
        server.create(
            "l21",
            "CREATE TABLE a (id int AUTO_INCREMENT PRIMARY KEY, t longtext);"
            "INSERT INTO a (t) SELECT repeat('x', 1000000) FROM information_schema.columns LIMIT 30;"
            "CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b VALUES (1), (2), (3)",
        )
        before = facts(server, "l21")
        done: list[Any] = []

        def alter(change: str, done: list[Any]) -> None:
            done.append(server.run("SET lock_wait_timeout = 30", change, database="l21"))

        folder = tmp_path / change[:5]
        folder.mkdir()
        try:
            with _pausing_at(1 << 20, partial(alter, change, done)):
                source = take(server.instance(), "l21", folder, jobs=3)
        except SchemaChangedError as error:
            assert "Run the backup again" in error.message
        else:
            bring_back(source, other.instance(), "l21", replace=True)
            assert differences(before, facts(other, "l21")) == []
        assert done == [[]]
    server.drop("l21")
    other.drop("l21")


@pytest.mark.usefixtures("in_pieces")
def test_line_22_names_of_keys(server: MariaDBServer, other: MariaDBServer, tmp_path: Path) -> None:
    """The ranges of a table are conditions that name its key and its lowest and highest values."""
    server.create("l22", KEYS, "CHARACTER SET utf8mb4")
    source = take(server.instance(), "l22", tmp_path, jobs=3)
    assert len(source.parts) >= 11
    bring_back(source, other.instance(), "l22", jobs=3)
    assert differences(facts(server, "l22"), facts(other, "l22")) == []
    server.drop("l22")
    other.drop("l22")


def test_line_22_names(trip: Trip) -> None:
    trip.assert_same("l22")
    assert len([key for key in trip.fresh if key[0] == "rows" and key[1].startswith("l22")]) == 5


def test_line_23_counters_and_shapes(trip: Trip, other: MariaDBServer) -> None:
    trip.assert_same("l23_")
    assert other.run("INSERT INTO l23_counter VALUES ()", "SELECT last_insert_id()", database=NAME) == [(777,)]


def test_line_23_empty_database(server: MariaDBServer, other: MariaDBServer, tmp_path: Path) -> None:
    server.create("l23")
    source = take(server.instance(), "l23", tmp_path)
    assert source.inventory.tables == []
    assert bring_back(source, other.instance(), "l23").tables == []
    assert differences(facts(server, "l23"), facts(other, "l23")) == []
    server.drop("l23")
    other.drop("l23")


def test_line_23_five_thousand_tables(server: MariaDBServer, other: MariaDBServer, tmp_path: Path) -> None:
    server.create("l23", "".join(f"CREATE TABLE t{i} (id int) ENGINE MyISAM;" for i in range(5000)))
    server.run("INSERT INTO t4321 VALUES (1), (2)", database="l23")
    source = take(server.instance(), "l23", tmp_path)
    restored = bring_back(source, other.instance(), "l23")
    assert len(restored.tables) == 5000
    assert [table for table in restored.tables if table.rows] == [
        table for table in source.inventory.tables if table.name == "t4321"
    ]
    held = source.inventory.notes["lock_milliseconds"]
    assert server.flavour == "mysql" or held < mysql_snapshot.LOCK_SECONDS * 1000  # None where it was given up
    server.drop("l23")
    other.drop("l23")


def test_line_24_indexes_checks_and_comments(trip: Trip, other: MariaDBServer) -> None:
    trip.assert_same("l24_")
    kinds = rows(
        other, NAME, "SELECT DISTINCT index_type FROM information_schema.statistics WHERE table_name = 'l24_indexes'"
    )
    assert {row[0] for row in kinds} == {"BTREE", "FULLTEXT", "SPATIAL"}


def test_line_25_database_defaults(server: MariaDBServer, other: MariaDBServer, tmp_path: Path) -> None:
    options = r"CHARACTER SET latin2 COLLATE latin2_czech_cs COMMENT 'it''s \\ ü %s :x'"
    server.create("l25", "CREATE TABLE t (a varchar(9))", options)
    source = take(server.instance(), "l25", tmp_path)
    bring_back(source, other.instance(), "l25")
    assert facts(other, "l25")["database", ""] == ("latin2", "latin2_czech_cs", "it's \\ ü %s :x")
    assert differences(facts(server, "l25"), facts(other, "l25")) == []
    server.drop("l25")
    other.drop("l25")


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM l03_now WHERE id = 2",
        "UPDATE l05_json SET doc = '{}' WHERE name IS NULL",
        "DROP INDEX d ON l24_indexes",
        "DROP TRIGGER l13_second",
        "DROP EVENT l14_latin",
        "ALTER TABLE l18_self DROP FOREIGN KEY `l18 boss`",
        "SELECT nextval(l16_numbers)",
        "DELETE HISTORY FROM l16_history",
        "ALTER TABLE l02_invisible ALTER hidden SET DEFAULT 8",
        "ALTER DATABASE COLLATE utf8mb4_bin",
        "DROP FUNCTION l14_ansi",
    ],
)
def test_the_comparison_sees_damage(trip: Trip, server: MariaDBServer, damage: str) -> None:
    before = facts(server, COPY)
    server.run(damage, database=COPY)
    assert differences(before, facts(server, COPY))
