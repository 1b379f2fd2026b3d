# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the SQLite engine behaves: what it finds, what it refuses, and what it leaves behind."""

from __future__ import annotations

import dataclasses
import os
import pwd
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils import mount, scratch
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from ansible_collections.vya.backupdb.plugins.module_utils.engines.base import (
    Database,
    RestoreRequest,
    StoredPart,
    Table,
)
from ansible_collections.vya.backupdb.plugins.module_utils.engines.registry import open_engine
from ansible_collections.vya.backupdb.plugins.module_utils.engines.sqlite import connect as sqlite_connect
from ansible_collections.vya.backupdb.plugins.module_utils.engines.sqlite import inspect as sqlite_inspect
from ansible_collections.vya.backupdb.plugins.module_utils.engines.sqlite import scratch as sqlite_scratch
from ansible_collections.vya.backupdb.plugins.module_utils.engines.sqlite import snapshot as sqlite_snapshot
from ansible_collections.vya.backupdb.plugins.module_utils.engines.sqlite.copy import Copy
from ansible_collections.vya.backupdb.plugins.module_utils.engines.sqlite.engine import SQLite
from ansible_collections.vya.backupdb.plugins.module_utils.errors import (
    BackupdbError,
    ConnectionFailedError,
    DatabaseBusyError,
    DatabaseCorruptError,
    InvalidConfigError,
    ManifestInvalidError,
    NoSpaceError,
    NotFoundError,
    PermissionDeniedError,
    QueryFailedError,
    RowCountMismatchError,
    TargetExistsError,
    TargetUnfitError,
    ToolFailedError,
)
from kit.roundtrip import PlainSource, bring_back, take
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
from kit.sqlite_compare import differences

ROOT = os.geteuid() == 0


def engine(path: Path) -> SQLite:
    opened = open_engine(instance(path))
    assert isinstance(opened, SQLite)
    return opened


def names(path: Path) -> list[str]:
    return [database.name for database in engine(path).databases()]


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    folder = tmp_path / "parts"
    folder.mkdir()
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of databases, the one that is always there being new.db with 20 numbers."""
    made = tmp_path / "databases"
    made.mkdir()
    make(made / "new.db", *numbers(20), "CREATE INDEX by_words ON numbers (words)")
    return made


@pytest.fixture
def source(folder: Path, parts: Path) -> PlainSource:
    return take(instance(folder), "new.db", parts)


# What there is


def test_a_folder_holds_databases_by_their_names_or_headers(folder: Path) -> None:
    make(folder / "b", *numbers(1), mode="wal")
    (folder / "empty.sqlite3").touch()
    (folder / "empty.txt").touch()
    (folder / "text").write_text("no database at all")
    (folder / "text.db.gz").write_text("no database at all")
    (folder / "below").mkdir()
    make(folder / "below" / "deep.db", *numbers(1))
    (folder / "link.db").symlink_to(folder / "below" / "deep.db")
    (folder / "lost.db").symlink_to(folder / "nowhere")
    (folder / "new.db.0123abcd.restoring").write_bytes((folder / "new.db").read_bytes())
    with crashed(folder / "b", "INSERT INTO numbers VALUES (9, '')"):
        assert {"b-wal", "b-shm"} < beside(folder / "b")
    found = {database.name: database for database in engine(folder).databases()}
    assert list(found) == ["b", "empty.sqlite3", "link.db", "new.db"]
    assert found["new.db"].size_bytes == (folder / "new.db").stat().st_size
    assert (found["new.db"].tables, found["empty.sqlite3"].tables) == (1, 0)


@pytest.mark.parametrize("suffix", [".db", ".db3", ".sqlite", ".sqlite3"])
def test_a_database_with_a_destroyed_header_does_not_vanish(folder: Path, parts: Path, suffix: str) -> None:
    path = make(folder / f"shop{suffix}", *numbers(100))
    with path.open("r+b") as file:
        file.write(bytes(100))
    assert names(folder) == ["new.db", path.name]
    with pytest.raises(DatabaseCorruptError, match=r"is not a database\. If it was one, restore it .*, leave"):
        take(instance(folder), path.name, parts)


def test_a_folder_whose_file_system_is_not_mounted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fstab = folder.parent / "fstab"
    fstab.write_text(f"tmpfs {folder.parent} tmpfs rw 0 0\n")
    monkeypatch.setattr(mount, "FSTAB", fstab)
    for path in (folder, folder / "new.db", folder / "*.db"):
        with pytest.raises(ConnectionFailedError, match=r"folder .* of instance files is not there: .* mounted on"):
            engine(path).server()
        with pytest.raises(ConnectionFailedError, match="Mount it, then run again"):
            engine(path).database_names()
    fstab.write_text(f"tmpfs {folder.parent} tmpfs rw,noauto 0 0\n")
    assert names(folder) == ["new.db"]


def test_listing_changes_nothing(folder: Path) -> None:
    make(folder / "wal.db", *numbers(1), mode="wal")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert [database.tables for database in engine(folder).databases()] == [1, 1]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_glob_matches_every_file_but_journals(folder: Path, parts: Path) -> None:
    for tenant in ("one", "two"):
        (folder / tenant).mkdir()
        make(folder / tenant / "app.sqlite3", *numbers(1))
    (folder / "two" / "app.db").write_text("no database at all")
    (folder / "two" / "app.db-wal").touch()
    (folder / "two" / "app.db-journal").touch()
    assert names(folder / "*" / "app.*") == ["one/app.sqlite3", "two/app.db", "two/app.sqlite3"]
    assert names(folder / "**" / "*.sqlite3") == ["one/app.sqlite3", "two/app.sqlite3"]
    assert names(folder / "[n]ew.db") == ["new.db"]
    with pytest.raises(DatabaseCorruptError, match=r"two/app\.db of instance files: file is not a database"):
        take(instance(folder / "*" / "app.*"), "two/app.db", parts)
    source = take(instance(folder / "*" / "app.*"), "one/app.sqlite3", parts)
    bring_back(source, instance(folder / "*" / "app.*"), "three/four/app.sqlite3")
    restored = folder / "three" / "four" / "app.sqlite3"
    assert differences(folder / "one" / "app.sqlite3", restored) == []
    assert [path.stat().st_mode & 0o777 for path in restored.parents[:2]] == [0o700, 0o700]


def test_a_file_is_an_instance_with_one_database(folder: Path, source: PlainSource) -> None:
    make(folder / "odd [name]*.db", *numbers(3))
    assert names(folder / "new.db") == ["new.db"]
    assert names(folder / "odd [name]*.db") == ["odd [name]*.db"]
    bring_back(source, instance(folder / "new.db"), "beside.db")
    bring_back(source, instance(folder / "gone.db"), "gone.db")
    assert differences(folder / "new.db", folder / "gone.db") == []


def test_a_file_without_a_suffix_that_was_lost_is_restored(folder: Path, source: PlainSource) -> None:
    lost = folder / "app"
    with pytest.raises(ConnectionFailedError, match="create the folder"):
        engine(lost).check_restore(RestoreRequest(source, "other"))
    engine(lost).check_restore(RestoreRequest(source, "app"))
    with closing(engine(lost)) as opened:
        assert not opened.exists("app")
        opened.restore(RestoreRequest(source, "app"))
        assert opened.database_names() == ["app"]
    assert names(lost) == ["app"]
    assert differences(folder / "new.db", lost) == []


@pytest.mark.parametrize("path", ["gone.db", "gone", "gone/*.db"])
def test_what_is_not_there(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConnectionFailedError, match="does not exist"):
        engine(tmp_path / path).databases()


def test_a_server_is_its_folder(folder: Path) -> None:
    server = engine(folder).server()
    assert (server.flavour, server.version) == ("sqlite", sqlite3.sqlite_version)
    assert engine(folder / "gone.db").server() == server
    with pytest.raises(ConnectionFailedError, match="gone of instance files does not exist"):
        engine(folder / "gone").server()


def test_a_folder_that_may_not_be_read() -> None:
    with public_folder() as folder:
        make(folder / "new.db", *numbers(1)).chmod(0)
        with unprivileged():
            assert [(item.name, item.tables) for item in engine(folder).databases()] == [("new.db", 0)]
            with pytest.raises(PermissionDeniedError, match=r"new\.db.*Run as a user who may"):
                take(instance(folder), "new.db", folder)
        folder.chmod(0o700 if ROOT else 0)
        with unprivileged():
            with pytest.raises(PermissionDeniedError, match="cannot be read by this user"):
                engine(folder).server()
            with pytest.raises(PermissionDeniedError, match="cannot be reached by this user"):
                engine(folder / "new.db").server()
        folder.chmod(0o700)


def test_a_link_to_what_may_not_be_reached_is_listed() -> None:
    with public_folder() as folder, public_folder() as shut:
        make(shut / "secret.db", *numbers(1))
        (folder / "link.db").symlink_to(shut / "secret.db")
        shut.chmod(0o700 if ROOT else 0)
        with unprivileged():
            assert engine(folder).databases() == [Database("link.db", 0, 0)]
            with pytest.raises(PermissionDeniedError, match=r"link\.db of instance files"):
                take(instance(folder), "link.db", folder)
        shut.chmod(0o700)


def test_an_unknown_database_is_named_with_its_neighbours(folder: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no database 'mew\.db'. Did you mean new\.db\?"):
        engine(folder).snapshot("mew.db", 1)


@pytest.mark.parametrize(
    "name",
    [
        "../new.db",
        "/new.db",
        "a/../new.db",
        "",
        ".",
        "..",
        "./new.db",
        "a//b",
        "a/",
        "a\0b",
        "new.db-wal",
        "a.restoring",
        "out/new.db",
        "out.db",
    ],
)
def test_no_name_leads_outside(folder: Path, source: PlainSource, name: str) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    make(outside / "new.db", *numbers(1))
    (folder / "out").symlink_to(outside)
    (folder / "out.db").symlink_to(outside / "new.db")
    before = (outside / "new.db").read_bytes()
    with pytest.raises(InvalidConfigError):
        engine(folder).exists(name)
    with pytest.raises(InvalidConfigError):
        engine(folder).restore(RestoreRequest(source, name, replace=True))
    assert (outside / "new.db").read_bytes() == before
    assert beside(folder / "x") == {"new.db", "out", "out.db"}


def test_a_link_within_the_folder_is_followed(folder: Path, source: PlainSource) -> None:
    (folder / "link.db").symlink_to("real.db")
    bring_back(source, instance(folder), "link.db")
    assert (folder / "link.db").is_symlink()
    assert differences(folder / "new.db", folder / "real.db") == []


def test_existing_tables(folder: Path) -> None:
    make(folder / "wal.db", *numbers(1), *numbers(1, "b"), mode="wal")
    (folder / "bad.db").write_bytes(b"x" * 5000)
    tables = engine(folder).existing_tables
    assert sorted(tables("wal.db")) == ["b", "numbers"]
    assert tables("bad.db") == tables("none.db") == []
    assert beside(folder / "x") == {"new.db", "wal.db", "bad.db"}


# Taking a snapshot


def test_facts_of_a_set(folder: Path, source: PlainSource) -> None:
    assert [(part.name, part.kind) for part in source.parts] == [("database.sqlite3", "file")]
    assert source.position == {}
    inventory = source.inventory
    assert inventory.tables == [Table("", "numbers", 20)]
    assert len(inventory.schema_sha256) == 64
    status = (folder / "new.db").stat()
    assert inventory.notes["mode"] == f"{status.st_mode & 0o777:04o}"
    assert inventory.notes["owner"] == pwd.getpwuid(status.st_uid).pw_name
    with engine(folder).snapshot("new.db", 1) as snapshot:
        assert (snapshot.tool, snapshot.tool_version) == ("sqlite3 backup API", sqlite3.sqlite_version)


def test_the_schema_digest_is_that_of_the_schema(folder: Path, parts: Path, source: PlainSource) -> None:
    change(folder / "new.db", "DELETE FROM numbers", "VACUUM")
    assert take(instance(folder), "new.db", parts).inventory.schema_sha256 == source.inventory.schema_sha256
    change(folder / "new.db", "DROP INDEX by_words")
    assert take(instance(folder), "new.db", parts).inventory.schema_sha256 != source.inventory.schema_sha256


def test_a_part_read_in_part_is_an_error(folder: Path) -> None:
    with engine(folder).snapshot("new.db", 1) as snapshot:
        with snapshot.parts[0].open() as stream:
            whole = stream.read()
        with pytest.raises(ToolFailedError, match="Only 10 of"), snapshot.parts[0].open() as stream:
            stream.read(10)
        assert whole[100:] == (folder / "new.db").read_bytes()[100:]


def test_a_part_can_be_read_by_several_threads(folder: Path) -> None:
    with engine(folder).snapshot("new.db", 4) as snapshot:

        def read(_turn: int) -> bytes:
            with snapshot.parts[0].open() as stream:
                return stream.read()

        with ThreadPoolExecutor(4) as pool:
            [same] = set(pool.map(read, range(8)))
        assert same[100:] == (folder / "new.db").read_bytes()[100:]


def test_nothing_has_a_name_while_a_snapshot_is_open(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 1 kB\n")
    monkeypatch.setattr(scratch, "MEMINFO", tmp_path / "meminfo")
    disk = tmp_path / "disk"
    disk.mkdir()
    monkeypatch.setenv("TMPDIR", str(disk))
    all_settled(monkeypatch)
    make(folder / "wal.db", *numbers(2000), mode="wal")
    with engine(folder).snapshot("wal.db", 1):
        unnamed = [fd for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink() and disk in fd.readlink().parents]
        assert unnamed
        assert list(disk.iterdir()) == []
        assert beside(folder / "x") == {"new.db", "wal.db"}


def test_a_killed_run_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()
    code = """
import sys
sys.path[:0] = sys.argv[1:3]
from kit.sqlite import instance
from pathlib import Path
from ansible_collections.vya.backupdb.plugins.module_utils import scratch
from ansible_collections.vya.backupdb.plugins.module_utils.engines.sqlite.copy import Copy
from ansible_collections.vya.backupdb.plugins.module_utils.engines.sqlite.engine import SQLite
scratch.MEMORY_FOLDER = Path(sys.argv[4])
with SQLite(instance(sys.argv[3])).snapshot("new.db", 1):
    print("ready", flush=True)
    sys.stdin.read()
"""
    paths = [next(path for path in __import__("sys").path if Path(path, "ansible_collections").is_dir()),
             str(Path(__file__).parents[1])]  # fmt: skip
    with process(code, *paths, folder, memory) as child:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert list(memory.iterdir()) == []
    assert beside(folder / "new.db") == {"new.db"}


WRITER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
connection.execute("PRAGMA synchronous = OFF")
longest = 0.0
print("ready", flush=True)
import threading
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
while not stop.is_set():
    started = time.monotonic()
    connection.execute("UPDATE numbers SET words = words || 'x' WHERE number = 1")
    longest = max(longest, time.monotonic() - started)
    time.sleep(0.001)
print(longest, flush=True)
"""


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_busy_writer_neither_waits_long_nor_stops_the_copy(
    folder: Path, parts: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(sqlite_snapshot, "STEP_PAGES", 16)
    path = make(folder / "live.db", *numbers(100_000), mode=mode)
    with process(WRITER, path) as child:
        source = take(instance(folder), "live.db", parts)
        assert child.stdin
        assert child.stdout
        child.stdin.write("\n")
        child.stdin.flush()
        longest = float(child.stdout.readline())
    assert source.inventory.rows == 100_000
    assert longest < 15


@pytest.mark.parametrize("settled", [True, False])
def test_only_a_database_that_was_written_long_ago_is_read_without_locks(
    folder: Path, parts: Path, monkeypatch: pytest.MonkeyPatch, settled: bool
) -> None:
    """Times of files are as coarse as the clock of their file system: within one tick of it a write changes none."""
    all_settled(monkeypatch, settled)
    path = make(folder / "wal.db", *numbers(10), mode="wal")
    immutable: list[int | None] = []
    original = sqlite_snapshot._copy

    def copy(*arguments: Any, **parameters: Any) -> None:
        immutable.append(parameters.get("immutable"))
        original(*arguments, **parameters)

    monkeypatch.setattr(sqlite_snapshot, "_copy", copy)
    assert take(instance(path), "wal.db", parts).inventory.rows == 10
    assert immutable == [1 if settled else None]


@pytest.mark.parametrize(("age", "settled"), [(2.5, False), (3.5, True)])
def test_three_seconds_are_long_ago(monkeypatch: pytest.MonkeyPatch, age: float, settled: bool) -> None:
    monkeypatch.setattr(sqlite_snapshot, "_now", lambda: 1_000_000 + age)
    for written, touched in ((1_000_000, 999_000), (999_000, 1_000_000)):
        mark = sqlite_snapshot._Mark(b"", 1, 1, written * 10**9, touched * 10**9)
        assert mark.is_settled is settled


def test_a_database_at_rest_that_wakes_up_is_copied_again(
    folder: Path, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_settled(monkeypatch)
    path = make(folder / "wal.db", *numbers(10), mode="wal")
    copied: list[dict[str, Any]] = []
    original = sqlite_snapshot._copy

    def copy_then_change(*arguments: Any, **parameters: Any) -> None:
        original(*arguments, **parameters)
        copied.append(parameters)
        if len(copied) == 1:
            change(path, "INSERT INTO numbers VALUES (11, 'late')")

    monkeypatch.setattr(sqlite_snapshot, "_copy", copy_then_change)
    assert take(instance(folder), "wal.db", parts).inventory.rows == 11
    assert [parameters.get("immutable") for parameters in copied] == [1, None]


IMPATIENT = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)
try:
    connection.execute("UPDATE numbers SET words = 'torn' WHERE number % 1000 = 0")
    print("written")
except sqlite3.OperationalError as error:
    print(error)
"""


@pytest.mark.parametrize("other", ["link.db", "hard link", "gone.db"])
def test_a_copy_keeps_its_lock_whatever_other_threads_do(
    folder: Path, parts: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    """Another name of the same file is copied beside it, or the folder is listed for what is not there."""
    path = make(folder / "live", *numbers(5000))
    (folder / "link.db").symlink_to(path)
    os.link(path, folder / "hard link")
    watch, copy, outcomes = sqlite_snapshot._watch, sqlite_snapshot._copy, list[str]()

    def ask_for_the_other() -> None:
        with suppress(NotFoundError), engine(folder).snapshot(other, 1):
            pass

    thread = threading.Thread(target=ask_for_the_other)

    def watch_and_disturb(*arguments: Any) -> Any:
        progress = watch(*arguments)

        def disturb(*numbers: int) -> None:
            if not outcomes:
                outcomes.append("disturbed")
                thread.start()
                thread.join(0.5)
                command = [sys.executable, "-c", IMPATIENT, path]
                outcomes.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            progress(*numbers)

        return disturb

    def copy_under_one_lock(instance: Instance, name: str, path: Path, into: Copy, hold: bool) -> None:
        assert not hold
        copy(instance, name, path, into, hold=True)

    monkeypatch.setattr(sqlite_snapshot, "STEP_PAGES", 16)
    monkeypatch.setattr(sqlite_snapshot, "_watch", watch_and_disturb)
    monkeypatch.setattr(sqlite_snapshot, "_copy", copy_under_one_lock)
    take(instance(folder), "live", parts)
    thread.join()
    assert outcomes == ["disturbed", "database is locked\n"]
    assert query(parts / "database.sqlite3", "SELECT count(*) FROM numbers WHERE words = 'torn'") == [(0,)]


def test_a_hot_journal_is_not_taken_for_data(folder: Path, parts: Path) -> None:
    path = make(folder / "hot.db", *numbers(5000))
    with crashed(path, "PRAGMA cache_size = 5", "BEGIN", "UPDATE numbers SET words = 'half'"):
        assert "hot.db-journal" in beside(path)
    before = path.read_bytes()
    with pytest.raises(DatabaseCorruptError, match="left in the middle of a transaction"):
        take(instance(folder), "hot.db", parts)
    assert path.read_bytes() == before


def test_a_hot_journal_is_seen_though_the_header_speaks_of_a_log(folder: Path, parts: Path) -> None:
    """As when a process dies that copies a database in WAL mode over one with a rollback journal."""
    path = make(folder / "hot.db", *numbers(5000))
    with crashed(path, "PRAGMA cache_size = 5", "BEGIN", "UPDATE numbers SET words = replace(words, '0', 'x')"):
        assert (folder / "hot.db-journal").stat().st_size > 0
    with path.open("r+b") as file:
        file.seek(18)
        file.write(b"\2\2")
    before = path.read_bytes()
    with pytest.raises(DatabaseCorruptError, match="left in the middle of a transaction"):
        take(instance(folder), "hot.db", parts)
    assert path.read_bytes() == before
    assert beside(path) == {"new.db", "hot.db", "hot.db-journal"}


def test_broken_rules_are_warnings_not_damage(folder: Path, parts: Path) -> None:
    path = make(
        folder / "loose.db",
        "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
        "CREATE TABLE child (parent REFERENCES parent, age INT CHECK (age > 0), name TEXT)",
        "INSERT INTO child VALUES (1, 1, ''), (2, 2, '')",
        "CREATE TABLE astray (other REFERENCES nowhere (id))",
    )
    change(
        path,
        "PRAGMA ignore_check_constraints = ON",
        "INSERT INTO child VALUES (NULL, -1, ''), (NULL, -2, NULL)",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = replace(sql, 'name TEXT', 'name TEXT NOT NULL')",
    )
    source = take(instance(folder), "loose.db", parts)
    assert source.inventory.rows == 4
    assert source.inventory.warnings == [
        "Rows break a rule of their table: NULL value in child.name.",
        "2 rows point to rows that do not exist, the first from table child.",
    ]
    assert bring_back(source, instance(folder), "again.db").warnings == []
    change(path, "UPDATE child SET name = ''")
    source = take(instance(folder), "loose.db", parts)
    restored = bring_back(source, instance(folder), "table.db", tables=("child",))
    assert query(folder / "table.db", "SELECT age FROM child") == [(1,), (2,), (-1,), (-2,)]
    assert restored.warnings == ["2 rows point to rows that do not exist, the first from table child."]


def test_a_hard_link_is_told(folder: Path, parts: Path) -> None:
    """The log stands beside the other name, and the copy lacks what is in it."""
    (folder / "app").mkdir()
    path = make(folder / "app" / "app.db", *numbers(10), mode="wal")
    os.link(path, folder / "link.db")
    with held(path, "PRAGMA wal_autocheckpoint = 0", "DELETE FROM numbers"):
        source = take(instance(folder), "link.db", parts)
    [warning] = source.inventory.warnings
    assert warning.startswith("Database link.db of instance files is a file with 2 names (hard links).")
    assert bring_back(source, instance(folder), "again.db").warnings == []
    assert take(instance(folder), "again.db", parts).inventory.warnings == []


def test_foreign_keys_that_fit_nothing(folder: Path, parts: Path) -> None:
    make(folder / "odd.db", "CREATE TABLE p (a)", "CREATE TABLE c (a REFERENCES p (a))", "INSERT INTO c VALUES (1)")
    [warning] = take(instance(folder), "odd.db", parts).inventory.warnings
    assert warning.startswith("The foreign keys cannot be checked: foreign key mismatch")


def test_what_only_the_application_knows(folder: Path, parts: Path) -> None:
    path = folder / "own.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.create_collation("mine", lambda a, b: (a > b) - (a < b))
        connection.create_function("own", 1, abs, deterministic=True)
        for statement in (
            "CREATE TABLE sorted (a TEXT COLLATE mine PRIMARY KEY) WITHOUT ROWID",
            "INSERT INTO sorted VALUES ('x'), ('y')",
            "CREATE TABLE computed (a)",
            "CREATE INDEX by_own ON computed (own(a))",
            "INSERT INTO computed (a) VALUES (-3)",
            *numbers(10),
            "PRAGMA writable_schema = ON",
            "INSERT INTO sqlite_master VALUES ('table', 'odd', 'odd', 0, 'CREATE VIRTUAL TABLE odd USING nosuch(a)')",
        ):
            connection.execute(statement)
    source = take(instance(folder), "own.db", parts)
    assert {table.label: table.rows for table in source.inventory.tables} == {
        "sorted": 2, "computed": 1, "numbers": 10,
    }  # fmt: skip
    words = " ".join(source.inventory.warnings)
    for part in ("table sorted cannot be checked without its application: no such collation sequence: mine",
                 "table computed cannot be checked without its application: unknown function: own()",
                 "virtual table odd cannot be counted here: no such module: nosuch"):  # fmt: skip
        assert part in words
    assert source.inventory.notes["virtual_tables"] == ["odd"]
    bring_back(source, instance(folder), "again.db")
    assert (folder / "again.db").read_bytes()[100:] == path.read_bytes()[100:]


def test_damage_is_seen_where_the_whole_check_cannot_run(folder: Path, parts: Path) -> None:
    path = folder / "own.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.create_function("own", 1, abs, deterministic=True)
        for statement in (*numbers(1000), "CREATE TABLE computed (a)", "CREATE INDEX by_own ON computed (own(a))"):
            connection.execute(statement)
    with path.open("r+b") as file:
        file.seek(4096 * 5)
        file.write(b"\xa5" * 4096)
    with pytest.raises(DatabaseCorruptError):
        take(instance(folder), "own.db", parts)


def test_a_virtual_table_that_the_target_cannot_read(folder: Path, parts: Path) -> None:
    make(folder / "fts.db", "CREATE VIRTUAL TABLE words USING fts5(a)", "INSERT INTO words VALUES ('x')", *numbers(3))
    source = take(instance(folder), "fts.db", parts)
    change(
        folder / "fts.db",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = 'CREATE VIRTUAL TABLE words USING nosuch(a)' WHERE name = 'words'",
    )
    source.files["database.sqlite3"].write_bytes((folder / "fts.db").read_bytes())
    restored = bring_back(source, instance(folder), "again.db")
    assert "The rows of virtual table words cannot be counted here: no such module: nosuch." in restored.warnings
    assert "numbers" in {table.label for table in restored.tables}


def test_an_older_sqlite_counts_shadow_tables_too(folder: Path, parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_inspect, "HAS_TABLE_LIST", False)
    make(folder / "fts.db", "CREATE VIRTUAL TABLE words USING fts5(a)", "INSERT INTO words VALUES ('x')", *numbers(3))
    source = take(instance(folder), "fts.db", parts)
    labels = {table.label for table in source.inventory.tables}
    assert {"words", "numbers", "words_content"} <= labels
    assert source.inventory.notes["virtual_tables"] == ["words"]
    bring_back(source, instance(folder), "again.db")
    assert differences(folder / "fts.db", folder / "again.db") == []


def test_text_that_is_not_utf8_survives(folder: Path, parts: Path) -> None:
    path = make(folder / "latin.db", "CREATE TABLE caf (a TEXT DEFAULT 'X')", "INSERT INTO caf VALUES ('x')")
    path.write_bytes(path.read_bytes().replace(b"DEFAULT 'X'", b"DEFAULT '\xe9'"))
    source = take(instance(folder), "latin.db", parts)
    assert source.inventory.tables == [Table("", "caf", 1)]


def test_no_room_for_the_copy(folder: Path, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "free_memory", lambda: 0)
    monkeypatch.setattr(scratch, "free_disk", lambda _folder: 100)
    with pytest.raises(NoSpaceError, match=r"Free room there"):
        take(instance(folder), "new.db", parts)


# Restoring


@pytest.fixture
def old(folder: Path) -> Path:
    """A database that a restore replaces, with a mode of its own."""
    path = make(folder / "old.db", *numbers(3, "older"), mode="wal")
    path.chmod(0o640)
    return path


def test_an_existing_database_is_not_touched_unasked(folder: Path, source: PlainSource, old: Path) -> None:
    before = old.read_bytes()
    for action in (engine(folder).check_restore, engine(folder).restore):
        with pytest.raises(TargetExistsError, match=r"old\.db of instance files exists"):
            action(RestoreRequest(source, "old.db"))
    assert old.read_bytes() == before
    assert beside(old) == {"new.db", "old.db"}


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_replacing_keeps_mode_and_owner(folder: Path, source: PlainSource, mode: str) -> None:
    old = make(folder / "old.db", *numbers(3, "older"), mode=mode)
    old.chmod(0o640)
    if ROOT:
        os.chown(old, 65534, 65534)
    before = old.stat()
    restored = bring_back(source, instance(folder), "old.db", replace=True)
    assert restored.tables == [Table("", "numbers", 20)]
    assert restored.warnings == []
    after = old.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert differences(folder / "new.db", old) == []
    assert beside(old) == {"new.db", "old.db"}


def test_extended_attributes_are_kept(folder: Path, source: PlainSource, old: Path) -> None:
    try:
        os.setxattr(old, "user.vya", b"kept")
    except OSError:
        return  # the file system has none
    bring_back(source, instance(folder), "old.db", replace=True)
    assert os.getxattr(old, "user.vya") == b"kept"


def test_a_new_file_gets_the_mode_that_was_backed_up(folder: Path, parts: Path) -> None:
    (folder / "new.db").chmod(0o604)
    source = take(instance(folder), "new.db", parts)
    assert bring_back(source, instance(folder), "again.db").warnings == []
    assert (folder / "again.db").stat().st_mode & 0o777 == 0o604
    source.inventory.notes["owner"] = "nobody_of_this_host"
    [warning] = bring_back(source, instance(folder), "other.db").warnings
    assert "other.db could not be given its owner nobody_of_this_host" in warning
    assert (folder / "other.db").stat().st_mode & 0o777 == 0o600
    source.inventory.notes = {}
    assert bring_back(source, instance(folder), "third.db").warnings == []
    assert (folder / "third.db").stat().st_mode & 0o777 == 0o600


def test_the_log_of_the_old_database_is_not_replayed_into_the_new(folder: Path, source: PlainSource, old: Path) -> None:
    with crashed(old, "PRAGMA wal_autocheckpoint = 0", "INSERT INTO older VALUES (99, 'in the log')"):
        assert {"old.db-wal", "old.db-shm"} < beside(old)
    bring_back(source, instance(folder), "old.db", replace=True)
    assert beside(old) == {"new.db", "old.db"}
    assert differences(folder / "new.db", old) == []


@pytest.mark.parametrize("there", [True, False])
def test_journals_beside_garbage_or_nothing_go(folder: Path, source: PlainSource, old: Path, there: bool) -> None:
    with crashed(old, "PRAGMA wal_autocheckpoint = 0", "INSERT INTO older VALUES (99, 'in the log')"):
        pass
    if there:
        old.write_bytes(b"garbage" * 1000)
    else:
        old.unlink()
    (folder / "old.db-journal").write_bytes(b"stale")
    bring_back(source, instance(folder), "old.db", replace=there)
    assert beside(old) == {"new.db", "old.db"}
    assert differences(folder / "new.db", old) == []


def test_a_failure_at_the_last_step_brings_everything_back(
    folder: Path, source: PlainSource, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: Path, _target: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(QueryFailedError, match="Input/output error"):
        bring_back(source, instance(folder), "old.db", replace=True)
    assert query(old, "SELECT count(*) FROM older") == [(3,)]
    assert query(old, "PRAGMA journal_mode") == [("wal",)]
    old.write_bytes(b"garbage" * 1000)
    for suffix in ("-wal", "-shm", "-journal"):
        (folder / f"old.db{suffix}").write_bytes(b"worthless")
    garbage = {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith("old")}
    with pytest.raises(QueryFailedError, match="Input/output error"):
        bring_back(source, instance(folder), "old.db", replace=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith("old")} == garbage


class Failing(PlainSource):
    """A set whose stream ends in the middle by an error, or is cut, or is not what the inventory says."""

    def __init__(self, source: PlainSource, data: bytes, error: BackupdbError | None = None) -> None:
        super().__init__(source.engine, source.flavour, source.server_version, source.database)
        self.inventory, self.parts, self._data, self._error = source.inventory, source.parts, data, error

    @contextmanager
    def open(self, part: StoredPart) -> Iterator[BinaryIO]:
        with scratch.unlinked_file(len(self._data)) as stream:
            stream.write(self._data)
            stream.seek(0)
            yield stream
        if self._error:
            raise self._error


@pytest.mark.parametrize("tables", [None, ("numbers",)])
@pytest.mark.parametrize("target", ["old.db", "deep/er/none.db"])
@pytest.mark.parametrize("fault", ["stream", "cut", "rows"])
def test_a_failed_restore_changes_nothing(
    folder: Path, source: PlainSource, old: Path, tables: tuple[str, ...] | None, target: str, fault: str
) -> None:
    data = source.files["database.sqlite3"].read_bytes()
    before = old.read_bytes()
    failing = Failing(source, data[: len(data) // 2] if fault == "cut" else data)
    if fault == "stream":
        failing._error = ToolFailedError("The stream ended.")
    if fault == "rows":
        failing.inventory = dataclasses.replace(source.inventory, tables=[Table("", "numbers", 21)])
    kinds = {"stream": ToolFailedError, "cut": DatabaseCorruptError, "rows": RowCountMismatchError}
    with pytest.raises(kinds[fault]):
        bring_back(failing, instance(folder), target, replace=True, tables=tables)
    assert old.read_bytes() == before
    assert beside(old) == {"new.db", "old.db"}


def test_a_set_without_the_file(folder: Path, source: PlainSource) -> None:
    source.parts = [StoredPart("other", "other", 0)]
    with pytest.raises(ManifestInvalidError, match="holds no database file"):
        engine(folder).check_restore(RestoreRequest(source, "again.db"))


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_database_in_use_is_not_replaced(folder: Path, source: PlainSource, mode: str) -> None:
    old = make(folder / "old.db", *numbers(3, "older"), mode=mode)
    request = RestoreRequest(source, "old.db", replace=True)
    with held(old, "SELECT * FROM older") as child:
        for action in (engine(folder).check_restore, engine(folder).restore):
            with pytest.raises(DatabaseBusyError, match=rf"in use by .*\({child.pid}\)\. Stop the application"):
                action(request)
        assert query(old, "SELECT count(*) FROM older") == [(3,)]
    engine(folder).restore(request)
    assert differences(folder / "new.db", old) == []


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_lock_that_no_process_shows_is_respected(
    folder: Path, source: PlainSource, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """As when the application runs in another container: only the lock tells."""
    monkeypatch.setattr(sqlite_connect, "BUSY_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(f"{sqlite_snapshot.__package__}.replace.holders", lambda _path: [])
    old = make(folder / "old.db", *numbers(3, "older"), mode=mode)
    with held(old, "BEGIN", "SELECT * FROM older"):
        with pytest.raises(DatabaseBusyError, match=r"stayed locked for 0\.2 s"):
            bring_back(source, instance(folder), "old.db", replace=True)
        assert query(old, "SELECT count(*) FROM older") == [(3,)]
    assert not [name for name in beside(old) if "restoring" in name]


def test_leftovers_of_a_killed_restore_go_with_the_next(folder: Path, source: PlainSource) -> None:
    code = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("ready", flush=True)
sys.stdin.read()
"""
    live = folder / "again.db.00000001.restoring"
    for name in ("again.db.{}", "again.db.{}-journal", "again.db-wal.{}", "other.db.{}"):
        (folder / name.format("00000000.restoring")).touch()
    with process(code, live):
        bring_back(source, instance(folder), "again.db")
        assert beside(live) == {"new.db", "again.db", live.name, "other.db.00000000.restoring"}
    bring_back(source, instance(folder), "again.db", replace=True)
    assert beside(live) == {"new.db", "again.db", "other.db.00000000.restoring"}


def test_a_restore_killed_half_way_leaves_the_old_one(folder: Path, source: PlainSource, old: Path) -> None:
    code = """
import sys
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
from kit.sqlite import instance
from ansible_collections.vya.backupdb.plugins.module_utils.engines.sqlite.replace import new_file
with new_file(Path(sys.argv[3])) as path:
    path.write_bytes(b"half")
    print("ready", flush=True)
    sys.stdin.read()
"""
    paths = [next(path for path in __import__("sys").path if Path(path, "ansible_collections").is_dir()),
             str(Path(__file__).parents[1])]  # fmt: skip
    with process(code, *paths, old) as child:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert len(beside(old)) == 3
    assert query(old, "SELECT count(*) FROM older") == [(3,)]
    assert names(folder) == ["new.db", "old.db"]
    bring_back(source, instance(folder), "old.db", replace=True)
    assert beside(old) == {"new.db", "old.db"}


@pytest.mark.parametrize("name", ["n" * 228, "n" * 229, "n" * 243 + ".db", "ü" * 121 + ".db"])
def test_a_long_name_is_restored(folder: Path, source: PlainSource, name: str) -> None:
    """SQLite itself needs room for -journal in the 255 bytes of a name."""
    bring_back(source, instance(folder), name)
    for suffix in ("", "-journal"):
        left = f"{name.encode()[:228].decode(errors='ignore')}.00000000.restoring{suffix}"
        (folder / left).touch()
    assert names(folder) == sorted([name, "new.db"])
    with crashed(folder / name, "PRAGMA journal_mode = WAL", "INSERT INTO numbers VALUES (99, 'in the log')"):
        pass
    bring_back(source, instance(folder), name, replace=True)
    assert beside(folder / name) == {"new.db", name}
    assert differences(folder / "new.db", folder / name) == []


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up(folder: Path, source: PlainSource, old: Path) -> None:
    before = old.read_bytes()
    with largest_file(5000), pytest.raises(NoSpaceError, match="File too large"):
        bring_back(source, instance(folder), "old.db", replace=True)
    assert old.read_bytes() == before
    assert beside(old) == {"new.db", "old.db"}


def test_a_target_that_is_not_fit(folder: Path, source: PlainSource, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "below").mkdir()
    with pytest.raises(InvalidConfigError, match="is not a file"):
        engine(folder).check_restore(RestoreRequest(source, "below", replace=True))
    with pytest.raises(InvalidConfigError, match="File name too long"):
        engine(folder).restore(RestoreRequest(source, "x" * 250))
    with pytest.raises(InvalidConfigError, match="Not a directory"):
        engine(folder).restore(RestoreRequest(source, "new.db/x"))
    monkeypatch.setattr(scratch, "free_disk", lambda _folder: 100)
    with pytest.raises(NoSpaceError, match=r"needs \d+ bytes in .*, which has 100 free"):
        engine(folder).check_restore(RestoreRequest(source, "again.db"))
    source.inventory.notes["needs_sqlite"] = "99.1.0"
    with pytest.raises(TargetUnfitError, match=r"STRICT tables, which need SQLite 99\.1\.0"):
        engine(folder).check_restore(RestoreRequest(source, "again.db"))


# Named tables


def test_tables_that_are_not_there_or_can_not_be_taken_alone(folder: Path, parts: Path) -> None:
    make(folder / "fts.db", "CREATE VIRTUAL TABLE words USING fts5(a)", *numbers(3))
    source = take(instance(folder), "fts.db", parts)
    with pytest.raises(NotFoundError, match=r"no table 'number'. Did you mean numbers\?"):
        engine(folder).check_restore(RestoreRequest(source, "again.db", tables=("number",)))
    with pytest.raises(InvalidConfigError, match=r"words of database fts\.db is a virtual table"):
        engine(folder).check_restore(RestoreRequest(source, "again.db", tables=("words", "numbers")))


def test_an_existing_table_is_not_replaced_unasked(folder: Path, source: PlainSource) -> None:
    path = make(folder / "old.db", "CREATE TABLE NUMBERS (other)")
    before = path.read_bytes()
    with pytest.raises(TargetExistsError, match=r"old\.db has NUMBERS already"):
        bring_back(source, instance(folder), "old.db", tables=("numbers",))
    assert path.read_bytes() == before
    bring_back(source, instance(folder), "old.db", tables=("numbers",), replace=True)
    assert query(path, "SELECT name FROM sqlite_master") == [("numbers",), ("by_words",)]


def test_a_table_for_a_database_in_use(folder: Path, source: PlainSource) -> None:
    path = make(folder / "old.db", *numbers(3, "older"), mode="wal")
    with held(path, "SELECT * FROM older"):
        bring_back(source, instance(folder), "old.db", tables=("numbers",))
        assert query(path, "SELECT count(*) FROM numbers") == [(20,)]


def test_a_table_for_a_locked_database(folder: Path, source: PlainSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_connect, "BUSY_TIMEOUT_SECONDS", 0.2)
    path = make(folder / "old.db", *numbers(3, "older"))
    with held(path, "BEGIN IMMEDIATE"), pytest.raises(DatabaseBusyError, match=r"old\.db .* stayed locked"):
        bring_back(source, instance(folder), "old.db", tables=("numbers",))


def test_a_table_of_another_encoding(folder: Path, source: PlainSource) -> None:
    path = make(folder / "old.db", *numbers(3, "older"), settings=("encoding = 'UTF-16le'",))
    before = path.read_bytes()
    with pytest.raises(TargetUnfitError, match="same text encoding"):
        bring_back(source, instance(folder), "old.db", tables=("numbers",))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "head",
    [
        "plain AFTER DELETE ON main.numbers",
        'quoted AFTER DELETE ON\n"MAIN" . numbers',
        "bracketed AFTER DELETE ON [main].[numbers]",
        '"a "" ON main.b" AFTER DELETE ON main.numbers',
        "comment /* ON main. it's */ AFTER DELETE -- ON main.\n ON main.numbers",
        "changed AFTER UPDATE OF words ON Main.numbers",
        "simple AFTER DELETE ON numbers",
    ],
)
def test_a_trigger_that_names_its_database(folder: Path, parts: Path, head: str) -> None:
    body = "BEGIN DELETE FROM log WHERE w IN (SELECT main.w FROM log JOIN log AS main ON main.w = log.w); END"
    statements = (*numbers(3), "CREATE TABLE log (w)", "INSERT INTO log VALUES (1)")
    path = make(folder / "trigger.db", *statements, f"CREATE TRIGGER {head} {body}")
    source = take(instance(folder), "trigger.db", parts)
    bring_back(source, instance(folder), "again.db", tables=("log", "numbers"))
    again = folder / "again.db"
    triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    assert query(again, triggers) == query(path, triggers)
    assert query(again, "SELECT sql LIKE '%JOIN log AS main ON main.w = log.w%' FROM sqlite_master "
                        "WHERE type = 'trigger'") == [(1,)]  # fmt: skip
    change(again, "UPDATE numbers SET words = ''", "DELETE FROM numbers")
    assert query(again, "SELECT count(*) FROM log") == [(0,)]


def test_a_table_whose_index_has_a_name_that_is_taken(folder: Path, source: PlainSource) -> None:
    path = make(folder / "old.db", *numbers(3, "older"), "CREATE INDEX by_words ON older (words)")
    before = path.read_bytes()
    with pytest.raises(QueryFailedError, match="index by_words already exists"):
        bring_back(source, instance(folder), "old.db", tables=("numbers",))
    assert path.read_bytes() == before


def test_a_table_whose_statement_was_edited_by_hand(folder: Path, parts: Path) -> None:
    path = make(folder / "odd.db", *numbers(3))
    change(path, "PRAGMA writable_schema = ON", "UPDATE sqlite_master SET sql = 'create ' || substr(sql, 8)")
    source = take(instance(folder), "odd.db", parts)
    with pytest.raises(DatabaseCorruptError, match="no usable statement for numbers"):
        bring_back(source, instance(folder), "again.db", tables=("numbers",))
    assert beside(path) == {"new.db", "odd.db"}


def test_a_new_scratch_folder_that_another_run_takes_for_a_leftover(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, taken = sqlite_scratch._claim, []

    def claim(path: Path) -> int | None:
        if not taken:
            taken.append(path)
            path.rmdir()
        return real(path)

    monkeypatch.setattr(sqlite_scratch, "_claim", claim)
    with sqlite_scratch.scratch(folder) as name:
        assert (folder / name).parent.is_dir()
        assert (folder / name).parent != taken[0]
    assert taken[0].parent == folder
    assert not [path for path in folder.iterdir() if path.is_dir()]
