"""The playbook backup over many hosts, some of which fail: the rest succeed, and the failures are told by name."""

from __future__ import annotations

import json
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.repository.local import LocalRepository
from kit.barehost import bare_host, free_port
from kit.plays import Controller, Play
from kit.postgres import PostgresServer

WRONG = "wrong: %s$@#'\" Mañana"


def make_database(folder: Path, size: int) -> Path:
    """A SQLite database of that many bytes that do not compress."""
    folder.mkdir(parents=True)
    with closing(sqlite3.connect(folder / "app.db")) as connection:
        connection.execute("CREATE TABLE data (value BLOB)")
        connection.execute("INSERT INTO data VALUES (?)", (secrets.token_bytes(size),))
        connection.commit()
    return folder


def host(folder: Path, name: str, size: int = 1000) -> dict[str, Any]:
    """The variables of a host with one SQLite database and a repository of its own."""
    files = make_database(folder / name / "files", size)
    return {
        "backupdb_instances": [{"id": "files", "engine": "sqlite", "path": str(files)}],
        "backupdb_repository": str(folder / name / "repository"),
        "backupdb_keyring": str(folder / name / "keyring.json"),
    }


def manifests(folder: Path, name: str) -> list[dict[str, Any]]:
    found = (folder / name / "repository").glob("*/*/*/*/*/manifest.json")
    return [json.loads(path.read_text()) for path in sorted(found)]


def summary(play: Play) -> list[str]:
    """The lines of the table of hosts, without its header."""
    return next(table[1:] for table in play.tables if table[0].startswith("HOST CODE"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for nothing that matters."""
    folder = tmp_path / "full" / "repository"
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_four_hosts_fail_the_rest_succeed_and_retry_finishes(
    tmp_path: Path, small_disk: Path, postgres_source: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One host a batch: a batch that fails as a whole stops nobody."""
    monkeypatch.setenv("ANSIBLE_RETRY_FILES_ENABLED", "true")
    monkeypatch.setenv("ANSIBLE_RETRY_FILES_SAVE_PATH", str(tmp_path / "retry"))
    names = ("busy", "down", "fine", "full", "good", "wrong")
    hosts = {name: host(tmp_path, name, 600_000 if name == "full" else 1000) for name in names}
    nowhere = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": free_port()}
    server = {
        "id": "pg", "engine": "postgresql", "host": "127.0.0.1", "port": postgres_source.port, "username": "postgres",
        "databases": ["postgres"],
    }  # fmt: skip
    files = list(hosts["wrong"]["backupdb_instances"])
    hosts["wrong"]["backupdb_instances"] = [{**server, "password": WRONG}, *files]
    controller = Controller(tmp_path, {**hosts, "down": {**hosts["down"], **nowhere}})

    busy = LocalRepository(str(tmp_path / "busy" / "repository"))
    busy.prepare()
    with busy.lock("busy", "files", "database", "app.db", "test"):
        play = controller.play("vya.backupdb.backup", "-vvv", serial=1, max_age="1h")
    assert play.status == 2, play.output
    assert play.output.count("PLAY [Back up databases]") == len(names)
    told = summary(play)
    assert [line.split()[:2] for line in told[:-1]] == [
        ["busy", "locked"], ["down", "unreachable"], ["full", "no_space"], ["wrong", "authentication_failed"],
    ]  # fmt: skip
    assert told[-1] == "2 of 6 hosts are in order; failed: busy, down, full, wrong"
    assert "is locked by test of process" in told[0]
    assert {name: play.recap(name)["failed"] for name in names} == {
        "down": 1, "fine": 0, "wrong": 1, "full": 1, "busy": 1, "good": 0,
    }  # fmt: skip
    assert {name: len(manifests(tmp_path, name)) for name in names} == {
        "down": 0, "fine": 1, "wrong": 1, "full": 0, "busy": 0, "good": 1,
    }  # fmt: skip
    assert list((small_disk / ".staging").iterdir()) == []
    for form in (WRONG, json.dumps(WRONG)[1:-1], repr(WRONG)[1:-1]):
        assert form not in play.output

    retry = tmp_path / "retry" / "backup.retry"
    assert sorted(retry.read_text().split()) == ["busy", "down", "full", "wrong"]
    subprocess.run(["mount", "-o", "remount,size=10m", small_disk], check=True)
    hosts["wrong"]["backupdb_instances"] = [{**server, "password": postgres_source.password}, *files]
    again = Controller(tmp_path, hosts).play("vya.backupdb.backup", "--limit", f"@{retry}", max_age="1h")
    assert again.status == 0, again.output
    assert ["All 4 hosts are in order."] in again.tables
    assert all(len(manifests(tmp_path, name)) >= 1 for name in names)


def overlaps(folder: Path, names: list[str], since: int) -> bool:
    """Whether two backups, of those after the first ``since`` of each host, were made at the same time."""
    spans = sorted((found["started"], found["finished"]) for name in names for found in manifests(folder, name)[since:])
    assert len(spans) == len(names)
    return any(later[0] < earlier[1] for earlier, later in pairwise(spans))


def test_throttle_lets_one_host_work_at_a_time(tmp_path: Path) -> None:
    """Compressing takes more than a second on each host; without throttle they do it at the same time."""
    names = ["one", "two"]
    controller = Controller(tmp_path, {name: host(tmp_path, name, 4 << 20) for name in names})
    slow = {"compression": "zstd", "compression_level": 19}
    together = controller.play("vya.backupdb.backup", **slow)
    assert (together.status, overlaps(tmp_path, names, 0)) == (0, True), together.output
    apart = controller.play("vya.backupdb.backup", throttle=1, **slow)
    assert (apart.status, overlaps(tmp_path, names, 1)) == (0, False), apart.output


def test_two_controllers_at_once_do_no_harm(tmp_path: Path) -> None:
    names = ["one", "two", "three"]
    controller = Controller(tmp_path, {name: host(tmp_path, name, 1 << 20) for name in names})
    controller.play("vya.backupdb.backup", "--limit", "one")  # makes a keyring; the others make theirs in the race
    with ThreadPoolExecutor() as pool:
        plays = list(pool.map(lambda _turn: controller.play("vya.backupdb.backup"), range(2)))
    for play in plays:
        codes = {line.split()[1] for table in play.tables if table[0].startswith("HOST CODE") for line in table[1:-1]}
        assert codes <= {"locked"}, play.output
        assert (play.status == 0) == (not codes)
    for name in names:
        sets = list((tmp_path / name / "repository").glob("*/*/*/*/*/manifest.json"))
        assert sets
        for manifest in sets:
            subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=manifest.parent, check=True)
        assert list((tmp_path / name / "repository" / ".staging").iterdir()) == []
    restored = controller.play("vya.backupdb.restore", "--limit", "two", database="app.db", target_database="b.db")
    assert restored.status == 0, restored.output


def test_hosts_share_one_repository_on_a_mount(tmp_path: Path) -> None:
    """Two bare hosts with the same folder mounted, as from a file server; each works in its own folder there."""
    shared = tmp_path / "central"
    shared.mkdir(mode=0o755)
    with bare_host("east") as east, bare_host("west") as west:
        for here in (east, west):
            here.mount(shared, "/srv/central")
            here.run("mkdir", "-p", "/srv/files")
            make = "import sqlite3; c = sqlite3.connect('/srv/files/app.db'); c.execute('CREATE TABLE t (i int)')"
            here.run("python3", "-c", make)
            for prefix in {Path(sys.prefix).resolve(), Path(sys.base_prefix)} - {Path("/usr")}:
                here.mount(prefix, str(prefix))
        instance = {"id": "files", "engine": "sqlite", "path": "/srv/files"}
        python = Path(sys.prefix).resolve() / "bin" / "python"
        common = {
            "ansible_python_interpreter": str(python),
            "backupdb_instances": [instance],
            "backupdb_repository": "/srv/central",
        }
        controller = Controller(tmp_path, {here.name: {**here.variables, **common} for here in (east, west)})
        play = controller.play("vya.backupdb.backup")
        assert play.status == 0, play.output
        assert sorted(path.name for path in shared.iterdir() if path.name != ".staging") == ["east", "west"]
        assert list((shared / ".staging").iterdir()) == []
        status = controller.play("vya.backupdb.status")
        assert sum(" app.db app.db_" in line for line in status.table()) == 2
        assert (shared / "east").stat().st_mode & 0o777 == 0o700
