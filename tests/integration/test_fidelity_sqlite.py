# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines 45 to 49 of the cases that break backup tools: each goes through a real file, out and back in twice."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.engines.sqlite import connect as sqlite_connect
from ansible_collections.vya.backupdb.plugins.module_utils.errors import (
    DatabaseBusyError,
    DatabaseCorruptError,
    PermissionDeniedError,
)
from kit.roundtrip import bring_back, take
from kit.sqlite import (
    all_settled,
    beside,
    change,
    crashed,
    held,
    instance,
    make,
    numbers,
    process,
    public_folder,
    query,
    unprivileged,
)
from kit.sqlite_compare import differences, table_differences

WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("PRAGMA synchronous = OFF")
number = 0
print("ready", flush=True)
while True:
    number += 1
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE here SET amount = amount - ? WHERE id = ?", (number % 7, number % 50))
    connection.execute("UPDATE there SET amount = amount + ? WHERE id = ?", (number % 7, number * 3 % 50))
    connection.execute("INSERT INTO moves VALUES (?, ?)", (number, "x" * 300))
    connection.execute("COMMIT")
"""
"""Moves amounts between two tables, so that the sum over both is the same after every transaction."""

ACCOUNTS = (
    *(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, amount INTEGER)" for name in ("here", "there")),
    *(
        "WITH RECURSIVE up(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM up WHERE n < 49) "
        f"INSERT INTO {name} SELECT n, 1000 FROM up"
        for name in ("here", "there")
    ),
    "CREATE TABLE moves (number INTEGER PRIMARY KEY, words TEXT)",
    *numbers(20_000),
)

ZOO = (
    "CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
    "CREATE TABLE child (id INTEGER PRIMARY KEY AUTOINCREMENT, parent INTEGER REFERENCES parent ON DELETE CASCADE "
    "DEFERRABLE INITIALLY DEFERRED, twin INTEGER REFERENCES child)",
    "INSERT INTO parent VALUES (1, 'one'), (9223372036854775807, 'largest'), (-9223372036854775808, 'least')",
    "INSERT INTO child (id, parent, twin) VALUES (1, 1, 2), (2, 1, 1), (3, 1, NULL), (70, 1, 3)",
    "DELETE FROM child WHERE id = 70",
    "CREATE TABLE pair (a TEXT COLLATE NOCASE, b BLOB, PRIMARY KEY (a, b)) WITHOUT ROWID",
    "INSERT INTO pair VALUES ('a', x'00ff'), ('b', zeroblob(5000)), ('naïve 🐘', x'')",
    "CREATE TABLE exact (i INT, r REAL, t TEXT, b BLOB, a ANY) STRICT",
    "INSERT INTO exact VALUES (1, 9e999, 'nul' || char(0) || 'inside', x'c3', '007'), (NULL, -0.0, '', NULL, 7)",
    "CREATE TABLE loose (anything, n NUMERIC DEFAULT (1 + 2), c TEXT CHECK (length(c) < 9) DEFAULT CURRENT_TIMESTAMP)",
    "INSERT INTO loose VALUES (1, 1.5, 'x'), ('1', '1', NULL), (CAST(x'ff41' AS TEXT), x'31', '')",
    "CREATE TABLE made (w REAL, h REAL, area AS (w * h) STORED, label TEXT AS (w || ' by ' || h) VIRTUAL)",
    "INSERT INTO made (w, h) VALUES (2, 3), (NULL, 1), (0.1, 0.2)",
    "CREATE INDEX made_area ON made (area DESC) WHERE area IS NOT NULL",
    "CREATE UNIQUE INDEX \"made by 'label'\" ON made (lower(label))",
    "CREATE TABLE gaps (t TEXT)",
    "INSERT INTO gaps (rowid, t) VALUES (5, 'five'), (-3, 'minus three'), (9000000000, 'far')",
    "CREATE TABLE empty (a)",
    'CREATE TABLE "select" ("from" TEXT, "a b" TEXT, "quo""te" TEXT, "per%cent:d" TEXT, "[x]" TEXT, "ünï" TEXT)',
    "INSERT INTO \"select\" VALUES ('1', '2', '3', '4', '5', '6')",
    "CREATE TABLE rowid_taken (rowid TEXT, _rowid_ TEXT)",
    "INSERT INTO rowid_taken (oid, rowid, _rowid_) VALUES (44, 'a', 'b')",
    f"CREATE TABLE wide ({', '.join(f'c{number}' for number in range(1000))})",
    f"INSERT INTO wide VALUES ({', '.join(map(str, range(1000)))})",
    "CREATE TABLE log (what TEXT)",
    "CREATE TRIGGER child_gone AFTER DELETE ON child WHEN old.id > 0 BEGIN "
    "INSERT INTO log VALUES ('gone; ' || old.id); UPDATE parent SET name = name; END",
    "CREATE VIEW families AS SELECT p.name, count(c.id) AS children FROM parent p LEFT JOIN child c ON c.parent = p.id "
    "GROUP BY p.id",
    "CREATE VIEW over AS SELECT * FROM families WHERE children > 0",
    "CREATE TRIGGER over_insert INSTEAD OF INSERT ON over BEGIN INSERT INTO parent (name) VALUES (new.name); END",
    "CREATE VIRTUAL TABLE papers USING fts5(title, body, tokenize = 'porter unicode61')",
    "INSERT INTO papers VALUES ('Elephants', 'An elephant never forgets'), ('Dolphins', 'They swim')",
    "CREATE TABLE letters (id INTEGER PRIMARY KEY, body TEXT)",
    "INSERT INTO letters VALUES (3, 'dear elephant'), (8, 'dear dolphin')",
    "CREATE VIRTUAL TABLE letters_index USING fts5(body, content = letters, content_rowid = id)",
    "INSERT INTO letters_index (letters_index) VALUES ('rebuild')",
    "CREATE VIRTUAL TABLE bare USING fts5(body, content = '')",
    "INSERT INTO bare (rowid, body) VALUES (1, 'nothing kept')",
    "CREATE VIRTUAL TABLE old USING fts4(body)",
    "INSERT INTO old VALUES ('elephants of old')",
    "CREATE VIRTUAL TABLE boxes USING rtree(id, x1, x2, y1, y2, +note TEXT)",
    "INSERT INTO boxes VALUES (1, 0, 10, 0, 10, 'big'), (2, 3, 4, 3, 4, 'small')",
    "ANALYZE",
)
ORDINARY = ["parent", "child", "pair", "exact", "loose", "made", "gaps", "empty", "select", "rowid_taken", "wide",
            "log", "letters"]  # fmt: skip
VIRTUAL = ["papers", "letters_index", "bare", "old", "boxes"]


def twice(path: Path, tmp_path: Path, mutual: Path | None = None) -> tuple[Path, Path]:
    """Takes a file and brings it back under another name beside it and under its own in a fresh folder."""
    parts, fresh = tmp_path / "parts", tmp_path / "fresh"
    parts.mkdir()
    fresh.mkdir()
    base = mutual or path.parent
    source = take(instance(base), path.name, parts)
    other = f"other {path.name}"
    bring_back(source, instance(base), other)
    bring_back(source, instance(fresh), path.name)
    return base / other, fresh / path.name


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("zoo") / "zoo.db", *ZOO, settings=("application_id = 77", "user_version = -5"))


@pytest.fixture(scope="module")
def zoo_twice(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return twice(zoo, tmp_path_factory.mktemp("twice"))


@pytest.mark.parametrize("mode", ["wal", "delete", "truncate"])
def test_line_45_open_writer(tmp_path: Path, mode: str) -> None:
    path = make(tmp_path / "live.db", *ACCOUNTS, mode=mode)
    with process(WRITER, path):
        copies = []
        for number in range(5):
            folder = tmp_path / f"parts{number}"
            folder.mkdir()
            copies.append(take(instance(tmp_path), "live.db", folder))
        alive = query(path, "SELECT max(number) FROM moves")
    moved = []
    for number, copy in enumerate(copies):
        bring_back(copy, instance(tmp_path), f"copy{number}.db")
        restored = tmp_path / f"copy{number}.db"
        sums = "SELECT (SELECT sum(amount) FROM here) + (SELECT sum(amount) FROM there)"
        assert query(restored, sums) == [(100_000,)]
        [(count, highest)] = query(restored, "SELECT count(*), max(number) FROM moves")
        assert count == (highest or 0)
        assert query(restored, "PRAGMA integrity_check") == [("ok",)]
        moved.append(count)
    assert moved == sorted(moved)
    assert moved[-1] <= alive[0][0]
    assert moved[-1] > 0


def test_line_45_rows_that_are_only_in_the_log(tmp_path: Path) -> None:
    path = make(tmp_path / "live.db", *numbers(10), mode="wal")
    with held(path, "PRAGMA wal_autocheckpoint = 0", "INSERT INTO numbers VALUES (11, 'in the log')", "BEGIN IMMEDIATE",
              "INSERT INTO numbers VALUES (12, 'not committed')"):  # fmt: skip
        assert (tmp_path / "live.db-wal").stat().st_size > 0
        other, fresh = twice(path, tmp_path)
    for restored in (other, fresh):
        assert query(restored, "SELECT max(number) FROM numbers") == [(11,)]
        assert query(restored, "PRAGMA journal_mode") == [("wal",)]


def test_line_46_whole_zoo(zoo: Path, zoo_twice: tuple[Path, Path]) -> None:
    for restored in zoo_twice:
        assert differences(zoo, restored) == []


def test_line_46_virtual_tables_answer(zoo_twice: tuple[Path, Path]) -> None:
    for restored in zoo_twice:
        assert query(restored, "SELECT title FROM papers WHERE papers MATCH 'elephants'") == [("Elephants",)]
        assert query(restored, "SELECT rowid FROM letters_index WHERE letters_index MATCH 'dolphin'") == [(8,)]
        assert query(restored, "SELECT rowid FROM bare WHERE bare MATCH 'kept'") == [(1,)]
        assert query(restored, "SELECT note FROM boxes WHERE x1 > 2 AND x2 < 5") == [("small",)]


def test_line_46_rules_still_hold(zoo_twice: tuple[Path, Path]) -> None:
    restored = zoo_twice[1].with_name("tried.db")
    restored.write_bytes(zoo_twice[1].read_bytes())
    with closing(sqlite3.connect(restored, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM child WHERE id = 3")
        assert connection.execute("SELECT what FROM log").fetchall() == [("gone; 3",)]
        assert connection.execute("INSERT INTO child (parent) VALUES (1) RETURNING id").fetchall() == [(71,)]
        connection.execute("INSERT INTO over (name) VALUES ('through a view')")
        for refused in (
            "INSERT INTO child (parent) VALUES (4711)",
            "INSERT INTO exact (i) VALUES ('no number')",
            "INSERT INTO loose (c) VALUES ('far too long')",
            "INSERT INTO pair VALUES ('A', x'00ff')",
            "INSERT INTO made (w, h) VALUES (2.0, 3.0)",
        ):
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(refused)


@pytest.mark.parametrize("table", ORDINARY)
def test_line_46_one_table_into_a_new_file(zoo: Path, tmp_path: Path, table: str) -> None:
    source = take(instance(zoo.parent), "zoo.db", tmp_path)
    restored = bring_back(source, instance(tmp_path), "part.db", tables=(table,))
    assert [item.label for item in restored.tables] == [table]
    assert table_differences(zoo, tmp_path / "part.db", [table]) == []
    assert query(tmp_path / "part.db", "PRAGMA application_id") == [(77,)]


def test_line_46_all_tables_into_an_old_file(zoo: Path, tmp_path: Path) -> None:
    source = take(instance(zoo.parent), "zoo.db", tmp_path)
    kept = (
        "CREATE TABLE kept (a)",
        "INSERT INTO kept VALUES (1)",
        "CREATE TABLE parent (other)",
        "CREATE VIEW log AS SELECT 1",
        "CREATE TABLE child (id INTEGER PRIMARY KEY AUTOINCREMENT)",
        "INSERT INTO child VALUES (900)",
    )
    path = make(tmp_path / "old.db", *kept)
    bring_back(source, instance(tmp_path), "old.db", tables=tuple(ORDINARY), replace=True)
    assert table_differences(zoo, path, ORDINARY) == []
    assert query(path, "SELECT * FROM kept") == [(1,)]
    assert query(path, "SELECT seq FROM sqlite_sequence WHERE name = 'child'") == [(70,)]


def test_line_46_inventory(zoo: Path, tmp_path: Path) -> None:
    inventory = take(instance(zoo.parent), "zoo.db", tmp_path).inventory
    assert sorted(table.label for table in inventory.tables) == sorted(ORDINARY + VIRTUAL)
    assert {table.label: table.rows for table in inventory.tables}["boxes"] == 2
    assert (inventory.views, inventory.triggers) == (2, 2)
    assert inventory.warnings == []


def overwritten(path: Path, page: int, filling: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(4096 * (page - 1))
        file.write(filling * (4096 // len(filling)))


@pytest.mark.parametrize(
    ("page", "filling", "words"),
    [(5, b"\0", "integrity check says: "), (5, b"\xa5\x5a", "integrity check says: "), (1, b"x", "not a database")],
)
def test_line_47_overwritten_page(tmp_path: Path, page: int, filling: bytes, words: str) -> None:
    path = make(tmp_path / "bad.db", *numbers(1000), "CREATE INDEX by_words ON numbers (words)")
    overwritten(path, page, filling)
    with pytest.raises(DatabaseCorruptError, match=words) as failure:
        take(instance(path), "bad.db", tmp_path)
    assert "bad.db of instance files" in failure.value.message
    assert "\n" not in failure.value.message
    assert not (tmp_path / "database.sqlite3").exists()


def test_line_47_truncated(tmp_path: Path) -> None:
    path = make(tmp_path / "bad.db", *numbers(1000))
    path.write_bytes(path.read_bytes()[: 10 * 4096])
    with pytest.raises(DatabaseCorruptError):
        take(instance(tmp_path), "bad.db", tmp_path)


def test_line_47_index_that_lacks_a_row(tmp_path: Path) -> None:
    path = make(tmp_path / "bad.db", *numbers(30), "CREATE INDEX by_words ON numbers (words)")
    change(
        path,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = 'CREATE INDEX by_words ON numbers (words) WHERE number < 5' "
        "WHERE name = 'by_words'",
    )
    change(path, "DELETE FROM numbers WHERE number = 20")
    change(
        path,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = 'CREATE INDEX by_words ON numbers (words)' WHERE name = 'by_words'",
    )
    with pytest.raises(DatabaseCorruptError, match="wrong # of entries in index by_words"):
        take(instance(tmp_path), "bad.db", tmp_path)


def test_line_47_no_more_than_twenty_messages(tmp_path: Path) -> None:
    path = make(tmp_path / "bad.db", *numbers(5000), "CREATE INDEX by_words ON numbers (words)")
    for page in range(20, 120):
        overwritten(path, page, b"\xa5\x5a")
    with pytest.raises(DatabaseCorruptError) as failure:
        take(instance(tmp_path), "bad.db", tmp_path)
    assert failure.value.message.count("; ") == 19


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_line_48_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setattr(sqlite_connect, "BUSY_TIMEOUT_SECONDS", 0.3)
    path = make(tmp_path / "busy.db", *numbers(10), mode=mode)
    with (
        held(path, "PRAGMA locking_mode = EXCLUSIVE", "DELETE FROM numbers", "BEGIN EXCLUSIVE"),
        pytest.raises(DatabaseBusyError, match=r"busy\.db of instance files stayed locked for 0\.3 s"),
    ):
        take(instance(tmp_path), "busy.db", tmp_path)


def test_line_48_waits_for_the_lock(tmp_path: Path) -> None:
    path = make(tmp_path / "busy.db", *numbers(10))
    brief = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
connection.execute("DELETE FROM numbers WHERE number > 3")
print("ready", flush=True)
time.sleep(0.5)
connection.execute("COMMIT")
"""
    with process(brief, path):
        source = take(instance(tmp_path), "busy.db", tmp_path)
    assert source.inventory.rows == 3


NAMES = ["with space.db", "ünïcödé 🐘.db", "what?#%20&a=b.db", "quote'\".db", "back\\slash.db", "new\nline.db",
         "no suffix", "-dash.db", "per%cent.db", "trip-journal", "not UTF-8 \udce9.db"]  # fmt: skip


def test_line_49_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    all_settled(monkeypatch)
    folder = tmp_path / "fol der?#%"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        make(folder / name, *numbers(number + 1), mode="wal" if number % 2 else "delete")
    assert beside(folder / "x") == set(NAMES)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    for name in NAMES:
        source = take(instance(folder), name, tmp_path)
        assert beside(folder / "x") == set(NAMES)
        bring_back(source, instance(fresh), "same" if name == "trip-journal" else name)
        bring_back(source, instance(fresh), f"other {name}.db")
        assert differences(folder / name, fresh / f"other {name}.db") == []


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
@pytest.mark.parametrize(("page_size", "auto_vacuum"), [(512, 1), (4096, 0), (65536, 2)])
def test_line_49_settings(tmp_path: Path, mode: str, encoding: str, page_size: int, auto_vacuum: int) -> None:
    settings = (f"page_size = {page_size}", f"encoding = '{encoding}'", f"auto_vacuum = {auto_vacuum}",
                "user_version = -2147483648", "application_id = 2147483647")  # fmt: skip
    path = make(tmp_path / "set.db", *numbers(500), "DELETE FROM numbers WHERE number % 3 = 0", "CREATE INDEX words ON "
                "numbers (words)", mode=mode, settings=settings)  # fmt: skip
    before = path.read_bytes()
    for restored in twice(path, tmp_path):
        assert differences(path, restored) == []
    part = tmp_path / "part"
    part.mkdir()
    source = take(instance(tmp_path), "set.db", part)
    assert source.inventory.properties == {
        "page_size": page_size,
        "encoding": encoding,
        "auto_vacuum": auto_vacuum,
        "user_version": -2147483648,
        "application_id": 2147483647,
        "journal_mode": mode,
    }
    bring_back(source, instance(part), "set.db", tables=("numbers",))
    assert table_differences(path, part / "set.db", ["numbers"]) == []
    assert query(part / "set.db", "PRAGMA encoding") == [(encoding,)]
    assert path.read_bytes() == before


def test_line_49_empty_file_and_empty_database(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    (tmp_path / "made").mkdir()
    made = make(tmp_path / "made" / "made.db", "CREATE TABLE t (a)", "DROP TABLE t", settings=("user_version = 3",))
    for restored in twice(path, tmp_path):
        assert restored.read_bytes() == b""
    for folder in ("parts", "fresh"):
        (tmp_path / "made" / folder).mkdir()
    source = take(instance(made), "made.db", tmp_path)
    bring_back(source, instance(made), "again.db")
    assert differences(made, made.with_name("again.db")) == []


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_line_49_read_only_folder(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    all_settled(monkeypatch)
    with public_folder() as folder:
        shut, parts = folder / "shut", folder / "parts"
        shut.mkdir()
        parts.mkdir()
        parts.chmod(0o777)
        path = make(shut / "still.db", *numbers(100), mode=mode)
        path.chmod(0o444)
        shut.chmod(0o555)
        with unprivileged():
            source = take(instance(shut), "still.db", parts)
            bring_back(source, instance(parts), "again.db")
            with pytest.raises(PermissionDeniedError, match="may not write"):
                bring_back(source, instance(shut), "again.db")
        assert beside(path) == {"still.db"}
        assert differences(path, parts / "again.db") == []


def test_line_49_read_only_folder_with_an_open_writer() -> None:
    with public_folder() as folder:
        parts = folder / "parts"
        parts.mkdir()
        parts.chmod(0o777)
        path = make(folder / "live.db", *numbers(100), mode="wal")
        with held(path, "INSERT INTO numbers VALUES (101, 'in the log')"):
            with unprivileged():
                source = take(instance(folder), "live.db", parts)
                bring_back(source, instance(parts), "again.db")
            assert differences(path, parts / "again.db") == []
        assert source.inventory.rows == 101


def test_line_49_read_only_folder_with_a_log_nobody_indexes() -> None:
    with public_folder() as folder:
        path = make(folder / "left.db", *numbers(100), mode="wal")
        with crashed(path, "INSERT INTO numbers VALUES (101, 'in the log')"):
            (folder / "left.db-shm").unlink()
        folder.chmod(0o555)
        with unprivileged(), pytest.raises(PermissionDeniedError, match=r"left.db .*Run as a user who may"):
            take(instance(folder), "left.db", folder)


def broken(path: Path, statement: str) -> list[str]:
    copy = path.with_name("broken.db")
    copy.write_bytes(path.read_bytes())
    change(copy, statement)
    return differences(path, copy)


@pytest.mark.parametrize(
    ("statement", "fact"),
    [
        ("DELETE FROM pair WHERE a = 'a'", "rows of pair"),
        ("UPDATE loose SET anything = '1' WHERE anything = 1", "rows of loose"),
        ("UPDATE gaps SET rowid = 6 WHERE rowid = 5", "rows of gaps"),
        ("DROP INDEX made_area", "index made_area"),
        ("DROP TRIGGER child_gone", "trigger child_gone"),
        ("DROP VIEW over", "view over"),
        ("UPDATE sqlite_sequence SET seq = 71", "rows of sqlite_sequence"),
        ("PRAGMA user_version = 8", "user_version"),
        ("PRAGMA journal_mode = WAL", "journal_mode"),
        ("INSERT INTO letters_index (letters_index) VALUES ('delete-all')", "rows of letters_index_docsize"),
    ],
)
def test_the_comparison_sees_what_is_lost(zoo: Path, statement: str, fact: str) -> None:
    assert fact in broken(zoo, statement)
