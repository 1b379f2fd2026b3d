"""Backup and restore as operations: what is due, what fails alone, what every kind of damage is told as.

SQLite stands for all engines here: what is tested is what the engines share.
"""

import json
import os
import sqlite3
import subprocess
from collections.abc import Callable, Collection
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance, parse_instance
from ansible_collections.vya.backupdb.plugins.module_utils.engines.base import Database
from ansible_collections.vya.backupdb.plugins.module_utils.engines.registry import open_engine
from ansible_collections.vya.backupdb.plugins.module_utils.engines.sqlite.engine import SQLite
from ansible_collections.vya.backupdb.plugins.module_utils.errors import (
    AmbiguousError,
    BackupdbError,
    ChecksumMismatchError,
    InvalidConfigError,
    KeyMissingError,
    ManifestInvalidError,
    NotFoundError,
    SealBrokenError,
    SealMissingError,
    TargetExistsError,
)
from ansible_collections.vya.backupdb.plugins.module_utils.operations import backup as backup_operation
from ansible_collections.vya.backupdb.plugins.module_utils.operations import maker
from ansible_collections.vya.backupdb.plugins.module_utils.operations.backup import BackupRun, Wanted
from ansible_collections.vya.backupdb.plugins.module_utils.operations.info import describe_instance, list_backups
from ansible_collections.vya.backupdb.plugins.module_utils.repository.catalog import Selection, choose
from ansible_collections.vya.backupdb.plugins.module_utils.repository.manifest import SAFETY
from ansible_collections.vya.backupdb.plugins.module_utils.repository.records import Verification, change_record
from ansible_collections.vya.backupdb.plugins.module_utils.security.keyring import create_keyring, load_keyring
from kit.workshop import HOST, Workshop

ROWS = 200


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def fill(path: Path, rows: int = ROWS) -> None:
    path.parent.mkdir(exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
    connection.executemany("INSERT INTO item (name) VALUES (?)", ((f"item {n}",) for n in range(rows)))
    connection.commit()
    connection.close()


def rows_of(path: Path) -> list[tuple]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT * FROM item ORDER BY id").fetchall()
    connection.close()
    return rows


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    for name in ("shop.db", "crm.db"):
        fill(tmp_path / "data" / name)
    return parse_instance({"id": "lite", "engine": "sqlite", "path": str(tmp_path / "data")})


def only(instance: Instance, path: Path) -> Instance:
    return parse_instance({"id": instance.id, "engine": "sqlite", "path": str(path)})


# what is due


def test_without_max_age_everything_is_due(shop: Workshop, instance: Instance) -> None:
    first = shop.back_up(instance)
    assert [entry["database"] for entry in first.backups] == ["crm.db", "shop.db"]
    assert [entry["reason"] for entry in first.planned] == ["no backup yet"] * 2
    second = shop.back_up(instance)
    assert [entry["reason"] for entry in second.planned] == ["asked for"] * 2
    assert len(shop.folders()) == 4
    assert shop.stray() == []


def test_with_max_age_only_the_old_and_the_new_are_due(
    shop: Workshop, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = datetime.fromisoformat(shop.back_up_one(instance, databases=["shop.db"])["started"])
    monkeypatch.setattr(backup_operation, "_utc_now", lambda: began)
    outcome = shop.back_up(instance, max_age=timedelta(hours=24))
    assert [entry["database"] for entry in outcome.backups] == ["crm.db"]
    assert outcome.not_due == [
        {"instance": "lite", "database": "shop.db", "reason": "newest is 0 s old, max_age is 24 h"}
    ]
    outcome = shop.back_up(instance, databases=["shop.db"], max_age=timedelta(0))
    assert outcome.planned[0]["reason"] == "newest is 0 s old, max_age is 0 s"


def test_a_newest_backup_that_is_known_to_be_damaged_makes_a_database_due(shop: Workshop, instance: Instance) -> None:
    done = shop.back_up_one(instance, databases=["shop.db"])
    backup = shop.repository.read_set(Path(done["path"]))
    bad = Verification("checksum", backup.manifest.finished, False, 4, 0.1, "checksum_mismatch", "Wrong.")
    change_record(shop.repository, backup, lambda record: record.with_verification(bad))
    outcome = shop.back_up(instance, databases=["shop.db"], max_age=timedelta(hours=24))
    reasons = [entry["reason"] for entry in outcome.backups]
    assert reasons == [f"newest, {done['id']}, failed its verification (checksum_mismatch)"]
    assert shop.back_up(instance, databases=["shop.db"], max_age=timedelta(hours=24)).backups == []


def test_a_restore_from_a_repository_that_nobody_can_write_to(shop: Workshop, instance: Instance) -> None:
    shop.back_up_one(instance, databases=["shop.db"])
    mine = Selection(HOST, "lite", "shop.db", "database")
    subprocess.run(["mount", "--bind", shop.root, shop.root], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", shop.root], check=True)
    try:
        assert shop.restore(instance, selection=mine, target_database="new.db")["rows"] == ROWS
        assert shop.restore(instance, selection=mine, replace=True)["rows"] == ROWS
    finally:
        subprocess.run(["umount", shop.root], check=True)


def test_only_what_is_due_is_measured(shop: Workshop, instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """To say how large a database is can take a server long, so that it is not asked of one that is not due."""
    shop.back_up(instance, databases=["shop.db"])
    asked, real = [], SQLite.databases

    def listed(engine: SQLite, names: Collection[str] | None = None, count_tables: bool = True) -> list[Database]:
        asked.append((list(names) if names is not None else None, count_tables))
        return real(engine, names, count_tables)

    monkeypatch.setattr(SQLite, "databases", listed)
    shop.back_up(instance, max_age=timedelta(hours=24))
    shop.back_up(instance, max_age=timedelta(hours=24))
    assert asked == [(["crm.db"], False)]


def test_a_database_that_goes_before_its_turn_fails_alone(
    shop: Workshop, instance: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SQLite.databases

    def late(engine: SQLite, names: Collection[str] | None = None, count_tables: bool = True) -> list[Database]:
        (tmp_path / "data" / "crm.db").unlink()
        return real(engine, names, count_tables)

    monkeypatch.setattr(SQLite, "databases", late)
    outcome = shop.back_up(instance)
    assert [(entry["database"], entry["code"]) for entry in outcome.failures] == [("crm.db", "not_found")]
    assert [entry["database"] for entry in outcome.backups] == ["shop.db"]
    assert [(entry["database"], entry["size_bytes"] > 0) for entry in outcome.planned] == [
        ("crm.db", False),
        ("shop.db", True),
    ]


def test_a_clock_that_was_set_back_makes_a_database_due(
    shop: Workshop, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.back_up(instance, databases=["shop.db"])
    yesterday = datetime.now(UTC) - timedelta(days=1, minutes=1)
    monkeypatch.setattr(backup_operation, "_utc_now", lambda: yesterday)
    outcome = shop.back_up(instance, databases=["shop.db"], max_age=timedelta(hours=24))
    assert outcome.planned[0]["reason"] == "newest is 24 h in the future, the clock was set back"
    assert len(outcome.backups) == 1


def test_check_mode_plans_and_writes_nothing(shop: Workshop, instance: Instance) -> None:
    outcome = shop.back_up(instance, check=True)
    assert [entry["database"] for entry in outcome.planned] == ["crm.db", "shop.db"]
    assert all(entry["size_bytes"] > 0 for entry in outcome.planned)
    assert outcome.free_bytes > 0
    assert (outcome.backups, outcome.failures) == ([], [])
    assert not shop.root.exists()


def test_patterns_and_exclusions(shop: Workshop, instance: Instance) -> None:
    outcome = shop.back_up(instance, databases=["*"], exclude=["crm*"], check=True)
    assert [entry["database"] for entry in outcome.planned] == ["shop.db"]
    outcome = shop.back_up(instance, databases=["shop.db", "nothing*"])
    assert [entry["database"] for entry in outcome.backups] == ["shop.db"]
    (failure,) = outcome.failures
    assert (failure["database"], failure["code"]) == ("nothing*", "not_found")
    assert failure["error"] == "'nothing*' matches no database of instance lite (it has crm.db, shop.db)."


# one failure never stops the others


def test_a_broken_database_fails_alone(shop: Workshop, instance: Instance, tmp_path: Path) -> None:
    broken = tmp_path / "data" / "broken.db"
    broken.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    outcome = shop.back_up(instance)
    assert [entry["database"] for entry in outcome.backups] == ["crm.db", "shop.db"]
    assert [(entry["database"], entry["code"]) for entry in outcome.failures] == [("broken.db", "database_corrupt")]
    assert len(shop.folders()) == 2
    assert shop.stray() == []


def test_an_instance_that_is_down_fails_alone(shop: Workshop, instance: Instance) -> None:
    down = parse_instance({"id": "down", "engine": "postgresql", "host": "127.0.0.1", "port": 1})
    outcome = shop.back_up(down, instance)
    assert [(entry["instance"], entry["database"], entry["code"]) for entry in outcome.failures] == [
        ("down", None, "connection_failed")
    ]
    assert len(outcome.backups) == 2
    described = [describe_instance(down), describe_instance(instance)]
    assert [(entry["reachable"], entry["code"]) for entry in described] == [(False, "connection_failed"), (True, None)]
    assert [database["name"] for database in described[1]["databases"]] == ["crm.db", "shop.db"]


def test_a_bug_is_told_without_a_traceback(shop: Workshop, instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError("hunter2")

    monkeypatch.setattr(backup_operation.BackupRun, "take", bug)
    outcome = shop.back_up(instance, databases=["shop.db"])
    assert outcome.failures[0]["code"] == "internal_error"
    assert "This is a bug in vya.backupdb: ZeroDivisionError at test_operations.py" in outcome.failures[0]["error"]
    assert "hunter2" not in outcome.failures[0]["error"]


# the set


@pytest.mark.parametrize("method", ["zstd", "gzip", "none"])
@pytest.mark.parametrize("encrypt", [True, False])
def test_every_way_to_store_comes_back(
    shop: Workshop, instance: Instance, tmp_path: Path, method: str, encrypt: bool
) -> None:
    backup = shop.back_up_one(instance, databases=["shop.db"], method=method, encrypt=encrypt, verify=True)
    assert (backup["compression"]["method"], backup["encrypted"]) == (method, encrypt)
    restored = shop.restore(instance, target_database="copy.db", sealed_only=encrypt)
    assert (restored["tables"], restored["rows"], restored["row_count_matches"]) == (1, ROWS, True)
    assert rows_of(tmp_path / "data" / "copy.db") == rows_of(tmp_path / "data" / "shop.db")


def test_the_manifest_tells_all_and_no_table(shop: Workshop, instance: Instance) -> None:
    backup = shop.back_up_one(instance, databases=["shop.db"])
    text = Path(backup["path"], "manifest.json").read_text()
    manifest = json.loads(text)
    assert "item" not in text
    assert (manifest["format"], manifest["host"], manifest["rows"], manifest["tables"]) == (1, HOST, ROWS, 1)
    assert manifest["id"] == Path(backup["path"]).name
    assert Path(backup["path"]).relative_to(shop.root).parts[:3] == (HOST, "lite", "shop.db")
    assert {part["kind"] for part in manifest["parts"]} == {"file", "inventory"}
    stored = sum(Path(backup["path"], "parts", part["name"]).stat().st_size for part in manifest["parts"])
    assert manifest["stored_bytes"] == stored
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=backup["path"], check=True)


def test_sets_are_private(shop: Workshop, instance: Instance) -> None:
    backup = shop.back_up_one(instance, databases=["shop.db"])
    for path in [Path(backup["path"]), *Path(backup["path"]).rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_nothing_of_a_sealed_set_is_plain(shop: Workshop, instance: Instance) -> None:
    backup = shop.back_up_one(instance, databases=["shop.db"], method="none")
    for part in Path(backup["path"], "parts").iterdir():
        assert b"item 1" not in part.read_bytes()


# damage


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def part(folder: Path, number: int) -> Path:
    return sorted((folder / "parts").iterdir())[number]


def edit_manifest(folder: Path, change: Callable[[dict], None]) -> None:
    path = folder / "manifest.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def swap(folder: Path) -> None:
    first, second = part(folder, 0), part(folder, 1)
    middle = folder / "middle"
    first.rename(middle)
    second.rename(first)
    middle.rename(second)


def swap_and_edit(folder: Path) -> None:
    """Parts swapped, and the manifest made to agree."""
    swap(folder)

    def change(value: dict) -> None:
        one, two = value["parts"]
        for name in ("sha256", "stored_bytes", "raw_bytes"):
            one[name], two[name] = two[name], one[name]

    edit_manifest(folder, change)


DAMAGE: dict[str, tuple[Callable[[Path], object], type[BackupdbError]]] = {
    "missing part": (lambda folder: part(folder, 0).unlink(), ChecksumMismatchError),
    "truncated part": (lambda folder: os.truncate(part(folder, 0), 100), ChecksumMismatchError),
    "empty part": (lambda folder: os.truncate(part(folder, 0), 0), ChecksumMismatchError),
    "flipped bit": (lambda folder: flip(part(folder, 0), 200), ChecksumMismatchError),
    "swapped parts": (swap, ChecksumMismatchError),
    "swapped parts, manifest edited": (swap_and_edit, ManifestInvalidError),
    "edited count": (lambda folder: edit_manifest(folder, lambda value: value.update(rows=1)), ManifestInvalidError),
    "field removed": (lambda folder: edit_manifest(folder, lambda value: value.pop("tool")), ManifestInvalidError),
    "field added": (lambda folder: edit_manifest(folder, lambda value: value.update(x=1)), ManifestInvalidError),
    "sealing removed": (
        lambda folder: edit_manifest(folder, lambda value: value.update(encryption=None)),
        SealMissingError,
    ),
    "no seal": (lambda folder: edit_manifest(folder, lambda value: value.update(seal="")), ManifestInvalidError),
    "unknown scheme": (
        lambda folder: edit_manifest(folder, lambda value: value["encryption"].update(scheme="x")),
        ManifestInvalidError,
    ),
    "wrapped key damaged": (
        lambda folder: edit_manifest(folder, lambda value: value["encryption"]["keys"][0].update(wrapped="AAAA")),
        SealBrokenError,
    ),
    "no key": (
        lambda folder: edit_manifest(folder, lambda value: value["encryption"].update(keys=[])),
        KeyMissingError,
    ),
    "cut manifest": (lambda folder: os.truncate(folder / "manifest.json", 50), ManifestInvalidError),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), ManifestInvalidError),
    "path in a part's name": (
        lambda folder: edit_manifest(folder, lambda value: value["parts"][0].update(name="../../x")),
        ManifestInvalidError,
    ),
}


@pytest.mark.parametrize("damage", DAMAGE, ids=str)
def test_damage_is_found_before_the_target_is_touched(
    shop: Workshop, instance: Instance, tmp_path: Path, damage: str
) -> None:
    backup = shop.back_up_one(instance, databases=["shop.db"])
    before = rows_of(tmp_path / "data" / "shop.db")
    spoil, error = DAMAGE[damage]
    spoil(Path(backup["path"]))
    with pytest.raises(error) as caught:
        shop.restore(instance, backup["id"], replace=True)
    assert backup["id"] in str(caught.value)
    assert rows_of(tmp_path / "data" / "shop.db") == before
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["crm.db", "shop.db"]


def test_damage_that_agrees_with_itself_breaks_the_seal(shop: Workshop, instance: Instance, tmp_path: Path) -> None:
    """Sealing shows even what happens after the bytes were compared: nothing half restored is left."""
    backup = shop.back_up_one(instance, databases=["shop.db"])
    stored = part(Path(backup["path"]), 0)
    from ansible_collections.vya.backupdb.plugins.module_utils.operations.parts import OpenedSet

    compare = OpenedSet.check_stored_bytes

    def compare_and_spoil(self: OpenedSet) -> None:
        compare(self)
        flip(stored, 300)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenedSet, "check_stored_bytes", compare_and_spoil)
        with pytest.raises(SealBrokenError, match="Part 000-"):
            shop.restore(instance, target_database="copy.db")
    assert not (tmp_path / "data" / "copy.db").exists()


def test_an_unsealed_set_shows_accidents(shop: Workshop, instance: Instance) -> None:
    backup = shop.back_up_one(instance, databases=["shop.db"], encrypt=False)
    edit_manifest(Path(backup["path"]), lambda value: value.update(rows=1))
    with pytest.raises(ManifestInvalidError, match="was altered after it was written"):
        shop.restore(instance, target_database="copy.db", sealed_only=False)


def test_an_unsealed_set_is_not_taken_for_one_of_ours(shop: Workshop, instance: Instance) -> None:
    shop.back_up_one(instance, databases=["shop.db"])
    shop.back_up_one(instance, databases=["shop.db"], encrypt=False)
    with pytest.raises(SealMissingError, match=r"is not sealed, so anybody who can write to .* could have made it"):
        shop.restore(instance, target_database="copy.db")


def test_another_hosts_key_does_not_open_a_set(shop: Workshop, instance: Instance, tmp_path: Path) -> None:
    shop.back_up_one(instance, databases=["shop.db"])
    shop.keyring = str(tmp_path / "other.json")
    with pytest.raises(KeyMissingError, match="There is no keyring"):
        shop.restore(instance, target_database="copy.db")
    create_keyring(shop.keyring)
    with pytest.raises(KeyMissingError, match=r"was sealed for key .* Use the keyring of the host that made it"):
        shop.restore(instance, target_database="copy.db")


# choosing


def test_choosing_a_backup(shop: Workshop, instance: Instance, tmp_path: Path) -> None:
    old = shop.back_up_one(instance, databases=["shop.db"])
    connection = sqlite3.connect(tmp_path / "data" / "shop.db")
    connection.execute("DELETE FROM item")
    connection.commit()
    connection.close()
    new = shop.back_up_one(instance, databases=["shop.db"])
    shop.back_up_one(instance, databases=["crm.db"])
    mine = Selection(HOST, "lite", "shop.db", "database")

    assert shop.restore(instance, selection=mine, target_database="a.db")["rows"] == 0
    assert shop.restore(instance, old["id"], selection=mine, target_database="b.db")["rows"] == ROWS
    before = Selection(HOST, "lite", "shop.db", "database", before=datetime.fromisoformat(new["started"]))
    assert shop.restore(instance, selection=before, target_database="c.db")["rows"] == ROWS

    with pytest.raises(AmbiguousError, match="holds backups of more than one database"):
        shop.restore(instance)
    with pytest.raises(NotFoundError, match="There is no backup shop_x for host db1"):
        shop.restore(instance, "shop_x")
    with pytest.raises(NotFoundError, match=r"There is no backup of host other in .*/repository"):
        shop.restore(instance, selection=Selection("other"))


def test_the_same_id_on_two_hosts_is_ambiguous(shop: Workshop, instance: Instance) -> None:
    moment = datetime.now(UTC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maker, "_utc_now", lambda: moment)
        one = shop.back_up_one(instance, databases=["shop.db"])
        shop.back_up_one(instance, databases=["shop.db"], host="db2")
    with pytest.raises(AmbiguousError, match="2 backups have the id"):
        shop.restore(instance, one["id"], selection=Selection())


def test_listing(shop: Workshop, instance: Instance) -> None:
    shop.back_up(instance)
    shop.back_up(instance, databases=["shop.db"])
    listed = list_backups(shop.repository, Selection(), None)
    newest, *first_run = (entry["database"] for entry in listed["backups"])
    assert newest == "shop.db"
    assert sorted(first_run) == ["crm.db", "shop.db"]
    assert len(list_backups(shop.repository, Selection(database="shop.db"), 1)["backups"]) == 1
    assert list_backups(shop.repository, Selection(kind="users"), None) == {"backups": [], "broken": []}
    after = Selection(after=datetime.now(UTC))
    assert list_backups(shop.repository, after, None)["backups"] == []
    (shop.folders()[0] / "manifest.json").unlink()
    broken = list_backups(shop.repository, Selection(), None)["broken"]
    assert [entry["code"] for entry in broken] == ["manifest_invalid"]


# the target


def test_an_existing_database_is_refused_and_replaced_on_request(
    shop: Workshop, instance: Instance, tmp_path: Path
) -> None:
    shop.back_up_one(instance, databases=["shop.db"])
    path = tmp_path / "data" / "shop.db"
    path.unlink()
    fill(path, 3)
    with pytest.raises(TargetExistsError, match=r"Database shop.db of instance lite exists. Restore under another"):
        shop.restore(instance)
    assert len(rows_of(path)) == 3
    assert shop.restore(instance, replace=True)["rows"] == ROWS
    assert len(rows_of(path)) == ROWS


def test_named_tables(shop: Workshop, instance: Instance, tmp_path: Path) -> None:
    shop.back_up_one(instance, databases=["shop.db"])
    with pytest.raises(NotFoundError, match=r"has no table 'itme'. Did you mean item\?"):
        shop.restore(instance, tables=["itme"], target_database="x.db")
    with pytest.raises(TargetExistsError, match="has item already"):
        shop.restore(instance, tables=["item"])
    connection = sqlite3.connect(tmp_path / "data" / "shop.db")
    connection.execute("DROP TABLE item")
    connection.commit()
    connection.close()
    assert shop.restore(instance, tables=["item"])["rows"] == ROWS


def test_an_instance_of_another_engine_is_refused(shop: Workshop, instance: Instance) -> None:
    shop.back_up_one(instance, databases=["shop.db"])
    with pytest.raises(InvalidConfigError, match="is of engine sqlite, and instance pg is of engine postgresql"):
        shop.restore(parse_instance({"id": "pg", "engine": "postgresql"}))


def test_a_safety_backup_is_neither_the_latest_nor_counted(shop: Workshop, instance: Instance) -> None:
    """So a restore that is repeated word for word restores the same again."""
    regular = shop.back_up_one(instance, databases=["shop.db"])
    with closing(open_engine(instance)) as engine:
        (database,) = [item for item in engine.databases() if item.name == "shop.db"]
        options = Wanted(host=HOST, method="zstd", level=1)
        run = BackupRun(engine, shop.repository, load_keyring(shop.keyring), options)
        safety, _warnings = run.take(engine.server(), database, SAFETY)
    mine = Selection(HOST, "lite", "shop.db", "database")
    assert choose(shop.repository, "latest", mine).manifest.id == regular["id"]
    assert choose(shop.repository, safety.manifest.id, mine).manifest.purpose == "safety"
    Path(regular["path"]).rename(shop.root / "gone")
    assert shop.back_up(instance, databases=["shop.db"], check=True).planned[0]["reason"] == "no backup yet"


# the repository


def test_an_unusable_repository(shop: Workshop, instance: Instance, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shop.root = tmp_path / "file" / "repository"
    outcome = shop.back_up(instance)
    assert [entry["code"] for entry in outcome.failures] == ["repository_unusable"]
    assert "Not a directory" in outcome.failures[0]["error"]
    with pytest.raises(BackupdbError, match="cannot be used"):
        shop.restore(instance)


def as_nobody(work: Callable[[], str]) -> str:
    """What some work says when it is done by an account without privileges."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        try:
            said = work()
        except BackupdbError as error:
            said = f"{error.code}: {error}"
        os.write(write_end, said.encode())
        os._exit(0)
    os.close(write_end)
    os.waitpid(child, 0)
    with os.fdopen(read_end) as stream:
        return stream.read()


def test_a_repository_without_permission(shop: Workshop, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    shop.root = closed / "repository"
    said = as_nobody(lambda: shop.repository.prepare() or "prepared")
    assert said.startswith("repository_unusable: The repository")
    assert "Permission denied. Check that it is mounted and that this account may write to it." in said
