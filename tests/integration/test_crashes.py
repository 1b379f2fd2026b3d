"""Runs that meet, are killed, or run out of room: the repository holds whole sets only, and the next run succeeds."""

import hashlib
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit.modules import ModuleRun, run_module
from kit.waiting import wait_for_run
from kit.workshop import Workshop

MEGABYTES = 150


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that zstd can't make smaller, and that takes a while."""
    path = tmp_path_factory.mktemp("data") / "big.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE block (id INTEGER PRIMARY KEY, content BLOB)")
    connection.executemany("INSERT INTO block (content) VALUES (randomblob(?))", [(1 << 20,)] * MEGABYTES)
    connection.commit()
    connection.close()
    return path


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def options(shop: Workshop, path: Path) -> dict[str, Any]:
    return {
        "connection": {"id": "lite", "engine": "sqlite", "path": str(path)},
        "repository": str(shop.root),
        "keyring": shop.keyring,
        "host": "db1",
    }


def staged_bytes(shop: Workshop) -> int:
    return sum(path.stat().st_size for path in (shop.root / ".staging").glob("*/parts/*"))


def test_a_second_run_is_told_who_holds_the_lock(shop: Workshop, big: Path) -> None:
    first = ModuleRun("backup", **options(shop, big))
    wait_for_run(lambda: staged_bytes(shop) > 0, first)
    first.process.send_signal(signal.SIGSTOP)
    second = run_module("backup", **options(shop, big))
    first.process.send_signal(signal.SIGCONT)
    done = first.result()
    assert len(done["backups"]) == 1
    assert (second["failed"], second["code"], second["backups"]) == (True, "locked", [])
    assert f"is locked by backup of process {first.process.pid} on " in second["failures"][0]["error"]
    assert len(shop.folders()) == 1
    assert shop.stray() == []


@pytest.mark.parametrize("moment", ["at once", "half way", "almost done"])
def test_a_killed_run_leaves_nothing_that_looks_whole(shop: Workshop, big: Path, moment: str) -> None:
    least = {"at once": 1, "half way": MEGABYTES << 19, "almost done": (MEGABYTES - 50) << 20}[moment]
    run = ModuleRun("backup", **options(shop, big))
    wait_for_run(lambda: staged_bytes(shop) >= least, run)
    run.kill()
    assert shop.folders() == []
    assert shop.stray() != []

    listed = run_module("backup_info", repository=str(shop.root))
    assert (listed["backups"], listed["broken"]) == ([], [])
    again = run_module("backup", **options(shop, big))
    assert again["planned"][0]["reason"] == "no backup yet"
    assert len(again["backups"]) == 1
    assert shop.stray() == []


def test_a_killed_restore_leaves_the_old_database_and_the_next_succeeds(
    shop: Workshop, big: Path, tmp_path: Path
) -> None:
    run_module("backup", **options(shop, big))
    target = tmp_path / "target"
    target.mkdir()
    old = target / "big.db"
    sqlite3.connect(old).execute("CREATE TABLE old (id)").connection.close()
    before = hashlib.sha256(old.read_bytes()).digest()
    wanted = {
        "repository": str(shop.root),
        "keyring": shop.keyring,
        "existing": "replace",
        "target": {"connection": {"id": "copy", "engine": "sqlite", "path": str(target)}},
    }
    run = ModuleRun("restore", **wanted)
    wait_for_run(lambda: any(path.stat().st_size > 1 << 20 for path in target.iterdir()), run)
    run.kill()
    assert hashlib.sha256(old.read_bytes()).digest() == before
    restored = run_module("restore", **wanted)["restored"]
    assert (restored["rows"], restored["row_count_matches"]) == (MEGABYTES, True)
    assert [path.name for path in target.iterdir()] == ["big.db"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_fills_up(tmp_path: Path, big: Path, small_disk: Path) -> None:
    shop = Workshop(tmp_path, small_disk / "repository")
    assert len(run_module("backup", **options(shop, big))["backups"]) == 1
    filler = small_disk / "filler"

    # Too little room from the start: told before anything is written.
    second = run_module("backup", **options(shop, big))
    assert second["code"] == "no_space"
    assert "free, and the backup of big.db is expected to take 15" in second["failures"][0]["error"]

    # Enough room by what is known before, and then the disk fills up in the middle.
    for path in shop.folders():
        subprocess.run(["rm", "-r", path], check=True)
    filler.write_bytes(bytes(80 << 20))
    third = run_module("backup", **options(shop, big))
    assert third["code"] == "no_space"
    assert third["failures"][0]["error"].startswith(f"The file system of the repository {shop.root} is full.")
    assert shop.folders() == []
    assert shop.stray() == []

    filler.unlink()
    assert len(run_module("backup", **options(shop, big))["backups"]) == 1
    assert shop.stray() == []
