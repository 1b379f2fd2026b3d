# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups that are copied to a store on another host over SFTP: whole or not at all, and read from there."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from ansible_collections.vya.backupdb.plugins.module_utils.errors import (
    BackupdbError,
    ConnectionFailedError,
    LockedError,
    TimedOutError,
)
from ansible_collections.vya.backupdb.plugins.module_utils.limit import TimeLimit
from ansible_collections.vya.backupdb.plugins.module_utils.operations import replicate as replication
from ansible_collections.vya.backupdb.plugins.module_utils.operations.replicate import (
    OTHER_MANIFEST,
    Outcome,
    replicate,
)
from ansible_collections.vya.backupdb.plugins.module_utils.repository import records, sftp, ssh
from ansible_collections.vya.backupdb.plugins.module_utils.repository.local import BackupSet, LocalRepository
from ansible_collections.vya.backupdb.plugins.module_utils.repository.ssh import RefusedError, parse_destination
from kit import sqlite
from kit.barehost import bare_host
from kit.central import Store, store
from kit.modules import ModuleRun, run_module
from kit.plays import Controller
from kit.postgres import PostgresServer
from kit.sets import MOMENT, publish
from kit.sshd import make_key
from kit.waiting import wait_for_run, wait_until
from kit.workshop import HOST, Workshop

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "central.md"
SEALED = "000-database.sqlite3.zst.fernet"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with store(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture
def central(server: Store) -> Iterator[Store]:
    yield server
    shutil.rmtree(server.folder)
    server.folder.mkdir(mode=0o700)


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def noise(path: Path, megabytes: float = 0.1) -> Path:
    """A database that does not get smaller."""
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE block (id INTEGER PRIMARY KEY, content BLOB)")
        connection.execute("INSERT INTO block (content) VALUES (?)", (secrets.token_bytes(int(megabytes * (1 << 20))),))
        connection.commit()
    return path


def copy(shop: Workshop, central: Store, **changes: Any) -> Outcome:
    return replicate(shop.repository, HOST, central.destination(**changes))


def options(shop: Workshop, central: Store, **changes: Any) -> dict[str, Any]:
    return {"repository": str(shop.root), "host": HOST, "to": central.options(**changes)}


def same(shop: Workshop, central: Store) -> bool:
    """Whether the store has the sets of the repository to the byte, and no file besides."""

    def content(root: Path, sets: list[Path]) -> dict[str, bytes]:
        return {
            str(path.relative_to(root)): path.read_bytes()
            for folder in sets
            for path in folder.rglob("*")
            if path.is_file()
        }

    return content(shop.root, shop.folders()) == content(central.folder, central.sets()) and not central.stray()


def incoming_bytes(central: Store) -> int:
    total = 0
    for folder, _folders, files in os.walk(central.folder / HOST / ".incoming"):
        for name in files:
            with suppress(FileNotFoundError):  # it was given its name meanwhile
                total += Path(folder, name).stat().st_size
    return total


def test_copied_verified_and_restored_at_the_store(
    shop: Workshop, central: Store, postgres_source: PostgresServer, tmp_path: Path
) -> None:
    postgres_source.create(
        "sent", "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS v FROM generate_series(1, 5000) g"
    )
    files = sqlite.instance(noise(tmp_path / "data" / "app.db").parent)
    shop.back_up_one(files)
    shop.back_up_one(postgres_source.instance(), databases=["sent"])
    plan = run_module("replicate", check=True, **options(shop, central))
    assert (plan["changed"], len(plan["planned"]), central.sets()) == (True, 2, [])

    done = run_module("replicate", **options(shop, central))
    assert (done["changed"], done["failures"], len(done["copied"])) == (True, [], 2), done
    assert {entry["path"] for entry in done["copied"]} == {str(path) for path in central.sets()}
    assert same(shop, central)
    for path in central.folder.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    again = run_module("replicate", **options(shop, central))
    assert (again["changed"], again["planned"], again["settled"]) == (False, [], 2)

    shutil.rmtree(shop.root)
    there = {"repository": str(central.folder), "keyring": shop.keyring}
    verified = run_module("verify", level="decrypt", **there)
    assert (len(verified["verified"]), verified["failures"]) == (2, []), verified
    (tmp_path / "new").mkdir()
    lite = {"id": "new", "engine": "sqlite", "path": str(tmp_path / "new")}
    server = {"id": "new", "engine": "postgresql", "host": "127.0.0.1", "port": postgres_source.port}
    server |= {"username": "postgres", "password": postgres_source.password}
    for connection, database, name in ((lite, "app.db", "again.db"), (server, "sent", "sent_again")):
        asked = {"database": database, "target": {"connection": connection}, "target_database": name}
        restored = run_module("restore", **there, **asked)
        assert restored["restored"]["row_count_matches"], restored
    assert sqlite.query(tmp_path / "new" / "again.db", "SELECT count(*) FROM block") == [(1,)]
    postgres_source.drop("sent", "sent_again")


def test_a_killed_run_leaves_nothing_that_looks_whole(shop: Workshop, central: Store, tmp_path: Path) -> None:
    shop.back_up_one(sqlite.instance(noise(tmp_path / "data" / "big.db", 30)))
    run = ModuleRun("replicate", **options(shop, central))
    wait_for_run(lambda: incoming_bytes(central) > 0, run)
    run.kill()
    assert central.sets() == []
    done = copy(shop, central)
    assert (len(done.copied), done.failures) == (1, [])
    assert same(shop, central)
    assert list((central.folder / HOST / ".incoming").iterdir()) == []


def test_parts_that_arrived_are_not_sent_again(
    shop: Workshop, central: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.back_up_one(sqlite.instance(noise(tmp_path / "data" / "app.db")))
    monkeypatch.setattr(sftp, "BATCH_BYTES", 1)
    real, sent = ssh.Connection.batch, []

    def cut(connection: ssh.Connection, commands: list[str]) -> list[list[str]]:
        if any("inventory" in command for command in commands):
            raise RefusedError("cut")
        return real(connection, commands)

    monkeypatch.setattr(ssh.Connection, "batch", cut)
    assert [entry["code"] for entry in copy(shop, central).failures] == ["repository_unusable"]
    (part,) = central.folder.glob(f"{HOST}/.incoming/*/parts/*")
    before = part.stat().st_ino

    def noted(connection: ssh.Connection, commands: list[str]) -> list[list[str]]:
        sent.extend(commands)
        return real(connection, commands)

    monkeypatch.setattr(ssh.Connection, "batch", noted)
    assert copy(shop, central).failures == []
    assert same(shop, central)
    assert (central.sets()[0] / "parts" / SEALED).stat().st_ino == before
    assert not [command for command in sent if command.startswith("put") and SEALED in command]


def test_a_lost_connection_fails_the_rest_and_the_next_run_sends_it(
    shop: Workshop, central: Store, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        noise(tmp_path / "data" / f"{name}.db", 30)
    shop.back_up(sqlite.instance(tmp_path / "data"))
    run = ModuleRun("replicate", **options(shop, central))
    wait_for_run(lambda: incoming_bytes(central) > 0, run)
    for session in central.server.sessions():
        os.kill(session, signal.SIGKILL)
    result = run.result()
    assert (result["failed"], result["code"], len(result["failures"])) == (True, "connection_failed", 2), result
    assert {entry["code"] for entry in result["failures"]} == {"connection_failed"}
    assert " was lost" in result["failures"][0]["error"]
    assert central.sets() == []
    assert len(copy(shop, central).copied) == 2
    assert same(shop, central)


def test_a_program_that_dies_of_a_lost_connection_refuses_nothing(central: Store, tmp_path: Path) -> None:
    """sftp(1) may end by SIGPIPE, without a word, while the login's own ssh(1) has not seen the loss yet."""
    content = noise(tmp_path / "data" / "app.db", 30)

    def program() -> str:
        command = ["pgrep", "-P", str(os.getpid()), "-x", "sftp"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def kill() -> None:
        wait_until(program)
        os.kill(int(program()), signal.SIGPIPE)

    with ssh.connected(central.destination()) as connection:
        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        with pytest.raises(ConnectionFailedError, match="was lost"):
            connection.batch([f'put -f "{content}" "{central.folder}/{number}"' for number in range(9)])
        killer.join()
        assert connection.batch(["pwd"]) != []


def test_what_is_lost_stays_lost(central: Store) -> None:
    """No program logs in anew by itself, which would hide the loss and take a login for each command."""
    with ssh.connected(central.destination()) as connection:
        assert connection.shell("echo here") == ["here"]
        assert connection.shell("exit 3") == []
        assert central.server.cut()
        for ask in (lambda: connection.batch(["pwd"]), lambda: connection.shell("echo here")):
            with pytest.raises(ConnectionFailedError, match="was lost"):
                ask()
        assert central.server.sessions() == []


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"identity_file": "other"}, "authentication_failed", "Permission denied"),
        ({"known_hosts": "empty"}, "host_key_unknown", "Host key verification failed"),
        ({"known_hosts": "wrong"}, "host_key_unknown", "Host key verification failed"),
        ({"port": 1}, "connection_failed", "Connection refused"),
        ({"folder": "/nowhere/at/all"}, "repository_unusable", "No such file"),
        ({"host": "-oProxyCommand=x"}, "invalid_config", "is no name or address"),
        ({"folder": 'a"b'}, "invalid_config", "is not an absolute path"),
        ({"folder": '/a"b'}, "invalid_config", "SFTP cannot be told"),
        ({"identity_file": "/none"}, "invalid_config", "there is no file /none"),
    ],
)
def test_what_keeps_everything_from_being_copied(
    changes: dict[str, Any], code: str, words: str, shop: Workshop, central: Store, tmp_path: Path
) -> None:
    shop.repository.prepare()
    key = make_key(tmp_path / "other")
    (tmp_path / "empty").touch()
    (tmp_path / "wrong").write_text(f"[127.0.0.1]:{central.server.port} {key}\n")
    names = {value: str(tmp_path / value) for value in ("other", "empty", "wrong")}
    options = central.options(**{name: names.get(value, value) for name, value in changes.items()})
    with pytest.raises(BackupdbError, match=words) as caught:
        replicate(shop.repository, HOST, parse_destination(options, "to"))
    assert caught.value.code == code
    assert "\n" not in caught.value.message


def test_a_host_that_says_nothing(shop: Workshop, central: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ssh._OPTIONS, "ConnectTimeout", "1")
    shop.repository.prepare()
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(BackupdbError, match="timed out") as caught:
        copy(shop, central, port=silent.getsockname()[1])
    assert caught.value.code == "connection_failed"


def test_a_time_limit_that_is_over_before_the_login(shop: Workshop, central: Store) -> None:
    shop.repository.prepare()
    limit = TimeLimit(timedelta(seconds=0.5))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_store = central.destination(port=silent.getsockname()[1])
        with pytest.raises(TimedOutError, match="was over before it was known what to copy to"):
            replicate(shop.repository, HOST, silent_store, limit=limit)


def test_a_time_limit(shop: Workshop, central: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The far side takes more time than there is; the next run goes on."""
    for name in ("a", "b"):
        shop.back_up_one(sqlite.instance(noise(tmp_path / name / f"{name}.db").parent))
    real, limit = ssh.Connection.batch, TimeLimit(timedelta(seconds=10))

    def slow(connection: ssh.Connection, commands: list[str]) -> list[list[str]]:
        if any(command.startswith("put") for command in commands):
            connection.shell("exec sleep 60")
        return real(connection, commands)

    monkeypatch.setattr(ssh.Connection, "batch", slow)
    began = time.monotonic()
    done = replicate(shop.repository, HOST, central.destination(), limit=limit)
    assert 10 <= time.monotonic() - began < 50
    late = [(entry["database"], entry["code"]) for entry in done.failures]
    assert late == [("b.db", "timed_out"), ("a.db", "timed_out")], done.failures
    assert (done.copied, central.sets()) == ([], [])
    monkeypatch.undo()
    assert len(copy(shop, central).copied) == 2
    assert same(shop, central)


@pytest.mark.parametrize("only_sftp", [False, True])
def test_damage_is_found_before_a_set_is_there(only_sftp: bool, shop: Workshop, tmp_path: Path) -> None:
    """With an account that may run sha256sum there, and with one that may do SFTP only."""
    for name in ("good", "bad"):
        shop.back_up_one(sqlite.instance(noise(tmp_path / name / f"{name}.db").parent))
    (bad,) = [path for path in shop.folders() if "bad.db" in str(path)]
    damaged = bytearray((bad / "parts" / SEALED).read_bytes())
    damaged[1000] ^= 1
    (bad / "parts" / SEALED).write_bytes(damaged)
    with store(tmp_path, *(["ForceCommand internal-sftp"] if only_sftp else [])) as central:
        done = copy(shop, central)
        assert [(entry["database"], entry["code"]) for entry in done.failures] == [("bad.db", "checksum_mismatch")]
        assert [entry["database"] for entry in done.copied] == ["good.db"]
        assert [path.parts[-3] for path in central.sets()] == ["good.db"]
        assert central.stray() == []


def test_what_was_retired_there_is_not_sent_again_but_what_was_lost_is(
    shop: Workshop, central: Store, tmp_path: Path
) -> None:
    files = sqlite.instance(noise(tmp_path / "data" / "app.db"))
    for _turn in range(3):
        shop.back_up_one(files)
    assert len(copy(shop, central).copied) == 3
    kept = run_module("retention", repository=str(central.folder), keep_last=1)
    assert len(kept["removed"]) == 2, kept
    assert (copy(shop, central).planned, len(central.sets())) == ([], 1)
    shutil.rmtree(central.folder / HOST)
    assert len(copy(shop, central).copied) == 3
    assert same(shop, central)


def test_a_manifest_that_was_wrapped_anew_is_sent_again(shop: Workshop, central: Store, tmp_path: Path) -> None:
    shop.back_up_one(sqlite.instance(noise(tmp_path / "data" / "app.db")))
    assert len(copy(shop, central).copied) == 1
    rotated = run_module("keyring", keyring=shop.keyring, rotate=True, repository=str(shop.root))
    assert rotated["changed"], rotated
    assert not same(shop, central)
    assert [entry["reason"] for entry in copy(shop, central).copied] == [OTHER_MANIFEST]
    assert same(shop, central)
    assert copy(shop, central).planned == []


@pytest.mark.parametrize("cut_after", [0, 1, 2])
def test_what_was_lost_is_all_sent_again_though_the_run_is_cut_off(
    cut_after: int, central: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = LocalRepository(str(tmp_path / "repository"))
    repository.prepare()
    days = [publish(repository, MOMENT + timedelta(days=day)).manifest.id for day in range(4)]
    assert len(replicate(repository, HOST, central.destination()).copied) == 4
    shutil.rmtree(central.folder / HOST)
    real, sent = sftp.SftpRepository.send, []

    def cut(far: sftp.SftpRepository, backup: BackupSet, place: PurePosixPath) -> None:
        if len(sent) == cut_after:
            raise ConnectionFailedError("cut off")
        sent.append(backup)
        real(far, backup, place)

    monkeypatch.setattr(sftp.SftpRepository, "send", cut)
    assert len(replicate(repository, HOST, central.destination()).copied) == cut_after
    monkeypatch.undo()
    assert len(replicate(repository, HOST, central.destination()).copied) == 4 - cut_after
    assert [path.name for path in central.sets()] == days
    assert replicate(repository, HOST, central.destination()).settled == 4


def test_what_was_lost_is_all_sent_again_though_a_killed_run_did_not_come_to_sending(
    central: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = LocalRepository(str(tmp_path / "repository"))
    repository.prepare()
    for day in range(4):
        publish(repository, MOMENT + timedelta(days=day))
    assert len(replicate(repository, HOST, central.destination()).copied) == 4
    shutil.rmtree(central.folder / HOST)
    real, changed = records.change_record, []

    def kill(*arguments: Any) -> Any:
        if len(changed) == 2:
            raise KeyboardInterrupt
        changed.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(replication, "change_record", kill)
    with pytest.raises(KeyboardInterrupt):
        replicate(repository, HOST, central.destination())
    assert central.sets() == []
    monkeypatch.undo()
    assert len(replicate(repository, HOST, central.destination()).copied) == 4


def test_nothing_lost_is_sent_where_that_it_was_there_stays_noted(
    central: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the ones that stay noted would look retired beside those that were sent."""
    repository = LocalRepository(str(tmp_path / "repository"))
    repository.prepare()
    sets = [
        publish(repository, MOMENT + timedelta(days=day), database=database)
        for database in ("shop", "other")
        for day in range(3)
    ]
    assert len(replicate(repository, HOST, central.destination()).copied) == 6
    shutil.rmtree(central.folder / HOST)
    real = records.change_record

    def locked(repository: LocalRepository, backup: BackupSet, change: Any) -> Any:
        if backup.path == sets[0].path:
            raise LockedError("The records stay locked.")
        return real(repository, backup, change)

    monkeypatch.setattr(replication, "change_record", locked)
    done = replicate(repository, HOST, central.destination())
    assert {entry["database"] for entry in done.copied} == {"other"}
    assert {(entry["database"], entry["code"]) for entry in done.failures} == {("shop", "locked")}
    assert (len(done.copied), len(done.failures)) == (3, 3)
    monkeypatch.undo()
    assert len(replicate(repository, HOST, central.destination()).copied) == 3
    assert len(central.sets()) == 6


def altered(manifest: str, what: str) -> str:
    """A manifest with one character changed, or cut off."""
    (key,) = (json.loads(manifest)["encryption"] or {"keys": [None]})["keys"]
    changes = {
        "rows": lambda: ('"rows": 1,', '"rows": 2,'),
        "seal": lambda: ('"seal": "', '"seal": "A'),
        "wrapped": lambda: (key["wrapped"][50:60], "A" * 10),
        "id": lambda: (f'"{key["id"]}"', f'"{key["id"][::-1]}"'),
        "cut off": lambda: (manifest[-100:], ""),
    }
    old, new = changes[what]()
    assert old in manifest
    return manifest.replace(old, new)


@pytest.mark.parametrize(
    ("what", "encrypt"),
    [("rows", True), ("seal", True), ("wrapped", True), ("id", True), ("cut off", True), ("rows", False)],
)
def test_a_damaged_manifest_does_not_replace_the_good_one_there(
    what: str, encrypt: bool, shop: Workshop, central: Store, tmp_path: Path
) -> None:
    shop.back_up_one(sqlite.instance(noise(tmp_path / "data" / "app.db")), encrypt=encrypt)
    assert len(copy(shop, central).copied) == 1
    here, there = (folder / "manifest.json" for folder in (*shop.folders(), *central.sets()))
    good = here.read_text()
    here.write_text(altered(good, what))
    for _turn in range(2):
        done = copy(shop, central)
        assert (done.copied, [entry["code"] for entry in done.failures]) == ([], ["manifest_invalid"])
        assert str(here.parent) in done.failures[0]["error"]
        assert str(there.parent) in done.failures[0]["error"] or what == "cut off"
        assert there.read_text() == good
    here.write_text(good)
    assert copy(shop, central).planned == []


@pytest.mark.parametrize("what", ["rows", "cut off"])
def test_a_manifest_that_is_damaged_there_is_told(what: str, shop: Workshop, central: Store, tmp_path: Path) -> None:
    """Which of two is the good one only their keys tell."""
    shop.back_up_one(sqlite.instance(noise(tmp_path / "data" / "app.db")))
    assert len(copy(shop, central).copied) == 1
    (there,) = (folder / "manifest.json" for folder in central.sets())
    there.write_text(altered(there.read_text(), what))
    assert run_module("keyring", keyring=shop.keyring, rotate=True, repository=str(shop.root))["changed"]
    (failure,) = copy(shop, central).failures
    assert failure["code"] == "manifest_invalid"
    assert str(there.parent) in failure["error"]


def test_a_rotation_that_was_damaged_since_is_not_sent(shop: Workshop, central: Store, tmp_path: Path) -> None:
    shop.back_up_one(sqlite.instance(noise(tmp_path / "data" / "app.db")))
    assert len(copy(shop, central).copied) == 1
    assert run_module("keyring", keyring=shop.keyring, rotate=True, repository=str(shop.root))["changed"]
    (here,) = (folder / "manifest.json" for folder in shop.folders())
    rotated = here.read_text()
    here.write_text(rotated.replace('"wrapped": "gAAAA', '"wrapped": "gAAA'))
    assert [entry["code"] for entry in copy(shop, central).failures] == ["manifest_invalid"]
    here.write_text(rotated)
    assert len(copy(shop, central).copied) == 1
    assert same(shop, central)


def test_a_copy_that_was_not_noted_is_noted_where_it_is_the_same(
    shop: Workshop, central: Store, tmp_path: Path
) -> None:
    shop.back_up_one(sqlite.instance(noise(tmp_path / "data" / "app.db")))
    assert len(copy(shop, central).copied) == 1
    (there,) = (folder / "manifest.json" for folder in central.sets())
    before = there.stat().st_ino
    for record in shop.root.rglob(".records/*.json"):
        record.unlink()
    assert [entry["reason"] for entry in copy(shop, central).copied] == [OTHER_MANIFEST]
    assert there.stat().st_ino == before
    assert copy(shop, central).planned == []


@pytest.fixture
def small(central: Store) -> Iterator[Callable[[str], None]]:
    """The store on a file system of its own; the function sets its size."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", central.folder], check=True)
    yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", central.folder], check=True) and None
    subprocess.run(["umount", central.folder], check=True)


@pytest.mark.parametrize("told", [True, False])
def test_a_full_store_has_whole_sets_only(
    told: bool, shop: Workshop, central: Store, small: Callable[[str], None], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Whether it was told before that there is too little room, or shows in the middle of a part."""
    for name, megabytes in (("a", 0.3), ("b", 2), ("c", 0.3)):
        noise(tmp_path / "data" / f"{name}.db", megabytes)
    shop.back_up(sqlite.instance(tmp_path / "data"))
    real = sftp.SftpRepository.free_bytes
    failing: list[BaseException] = []

    def forgetful(far: sftp.SftpRepository) -> int | None:
        return real(far) if told or failing else None

    real_failure = sftp.SftpRepository._failure

    def failure(far: sftp.SftpRepository, *arguments: Any) -> BackupdbError:
        failing.append(arguments[0])
        return real_failure(far, *arguments)

    monkeypatch.setattr(sftp.SftpRepository, "free_bytes", forgetful)
    monkeypatch.setattr(sftp.SftpRepository, "_failure", failure)
    done = copy(shop, central)
    assert [(entry["database"], entry["code"]) for entry in done.failures] == [("b.db", "no_space")], done.failures
    assert bool(failing) is not told
    assert {path.parts[-3] for path in central.sets()} == {"a.db", "c.db"}
    assert central.stray() == []
    small("8m")
    assert [entry["database"] for entry in copy(shop, central).copied] == ["b.db"]
    assert same(shop, central)


def test_the_play_copies_and_fails_for_what_it_could_not(central: Store, tmp_path: Path) -> None:
    noise(tmp_path / "data" / "app.db")
    host = {
        "backupdb_instances": [{"id": "files", "engine": "sqlite", "path": str(tmp_path / "data")}],
        "backupdb_repository": str(tmp_path / "repository"),
        "backupdb_keyring": str(tmp_path / "keyring.json"),
        "backupdb_max_age": "1h",
    }
    controller = Controller(tmp_path, {"alpha": host, "beta": {**host, "backupdb_host": "beta"}})
    wrong = controller.play("vya.backupdb.backup", "--limit", "alpha", copy_to=central.options(port=1))
    assert wrong.status == 2, wrong.output
    told = [line for line in wrong.table() if "FAILED" in line]
    assert [line.startswith("(copies) FAILED connection_failed: SSH to ") for line in told] == [True], wrong.output
    assert wrong.recap("alpha")["failed"] == 1

    right = controller.play("vya.backupdb.backup", copy_to=central.options())
    assert right.status == 0, right.output
    assert sum(line.startswith("files app.db copied ") for line in right.table()) == 2
    assert len(central.sets()) == 2


def blocks(kind: str) -> list[str]:
    """The blocks of the guide of a kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_guide_sets_up_an_account_of_its_own(shop: Workshop, tmp_path: Path) -> None:
    """Its commands at the store are run as they stand; those on the host with a folder and a port of the test's."""
    shop.back_up_one(sqlite.instance(noise(tmp_path / "data" / "app.db")))
    at_the_store, on_the_host = (re.findall(r"^# (.*)$", block, re.MULTILINE) for block in blocks("console")[:2])
    with bare_host("store") as there:
        port = there.variables["ansible_port"]
        for command in at_the_store:
            there.run("sh", "-c", command)
        for command in on_the_host:
            own = command.replace("/etc/vya-backupdb", str(tmp_path))
            own = own.replace("store.example.com", f"-p {port} 127.0.0.1")
            subprocess.run(own, shell=True, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ssh_folder = "install -d -m 0700 -o db1 ~db1/.ssh && cat > ~db1/.ssh/authorized_keys"
        there.run("sh", "-c", ssh_folder, content=(tmp_path / "copy_key.pub").read_bytes())
        settings = (
            blocks("yaml")[0].replace("{{ inventory_hostname }}", "db1").replace("/etc/vya-backupdb", str(tmp_path))
        )
        to = {**yaml.safe_load(settings)["backupdb_copy_to"], "host": "127.0.0.1", "port": port}
        assert len(replicate(shop.repository, HOST, parse_destination(to, "to")).copied) == 1
        found = there.run("find", "/srv/backups/db1", "-name", "manifest.json", "-printf", "%u %m %P\n").decode()
        assert found == f"db1 600 {shop.folders()[0].relative_to(shop.root)}/manifest.json\n"
        there.run("chown", "-R", "root", "/srv/backups/db1")
        shop.back_up_one(sqlite.instance(tmp_path / "data"))
        refused = replicate(shop.repository, HOST, parse_destination(to, "to"))
        assert {entry["code"] for entry in refused.failures} == {"permission_denied"}, refused.failures


def test_the_guide_finds_the_sets_that_only_an_old_key_opens(shop: Workshop, central: Store, tmp_path: Path) -> None:
    files = sqlite.instance(noise(tmp_path / "data" / "app.db"))
    for _turn in range(2):
        shop.back_up_one(files)
    assert len(copy(shop, central).copied) == 2
    assert len(run_module("retention", repository=str(shop.root), keep_last=1)["removed"]) == 1
    keys = {"keyring": shop.keyring, "repository": str(shop.root)}
    old = run_module("keyring", **keys, rotate=True)["keys"][1]["id"]
    assert len(copy(shop, central).copied) == 1

    (command,) = [block.removeprefix("# ") for block in blocks("console") if "grep" in block]
    command = command.replace("5d41402abc4b2a76", old).replace("/srv/backups/db1", f"'{central.folder}'")
    found = subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout
    oldest = central.sets()[0]
    assert found == f"{oldest}/manifest.json\n"
    assert "failed" not in run_module("keyring", **keys, key=old, state="absent")
    proven = run_module("verify", repository=str(central.folder), keyring=shop.keyring, level="decrypt")
    assert [(entry["id"], entry["code"]) for entry in proven["failures"]] == [(oldest.name, "key_missing")]
