"""Replacing a MySQL or MariaDB database: the old one is safe in a backup of its own before anything is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from ansible_collections.vya.backupdb.plugins.module_utils.errors import (
    LockedError,
    RepositoryError,
    RowCountMismatchError,
    SealBrokenError,
)
from ansible_collections.vya.backupdb.plugins.module_utils.operations import parts as parts_operation
from ansible_collections.vya.backupdb.plugins.module_utils.repository.catalog import Selection
from kit.mariadb import MariaDBServer
from kit.workshop import HOST, Workshop

ROWS = 50


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def instance(mariadb_source: MariaDBServer) -> Instance:
    mariadb_source.create(
        "safe", f"CREATE TABLE item (id INT PRIMARY KEY); INSERT INTO item SELECT seq FROM seq_1_to_{ROWS};"
    )
    return mariadb_source.instance(databases=("safe",))


def count(server: MariaDBServer) -> int:
    return int(server.value("SELECT count(*) FROM safe.item"))


def test_the_old_database_comes_back_from_the_safety_backup(
    shop: Workshop, instance: Instance, mariadb_source: MariaDBServer
) -> None:
    shop.back_up_one(instance)
    mariadb_source.run("INSERT INTO safe.item VALUES (1000)")
    restored = shop.restore(instance, replace=True)
    assert count(mariadb_source) == ROWS
    again = shop.restore(instance, replace=True)
    assert (again["rows"], again["safety_backup"] != restored["safety_backup"]) == (ROWS, True)
    shop.restore(instance, restored["safety_backup"], replace=True)
    assert count(mariadb_source) == ROWS + 1
    mariadb_source.drop("safe")


def test_a_failed_replacement_names_the_safety_backup(
    shop: Workshop, instance: Instance, mariadb_source: MariaDBServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = shop.back_up_one(instance)
    mariadb_source.run("INSERT INTO safe.item VALUES (1000)")
    stored = next(Path(backup["path"], "parts").glob("*-data-*"))
    compare = parts_operation.OpenedSet.check_stored_bytes

    def compare_and_spoil(opened: parts_operation.OpenedSet) -> None:
        compare(opened)
        stored.write_bytes(stored.read_bytes()[:-1])

    with monkeypatch.context() as patch:
        patch.setattr(parts_operation.OpenedSet, "check_stored_bytes", compare_and_spoil)
        with pytest.raises(SealBrokenError) as caught:
            shop.restore(instance, replace=True)
    result = caught.value.result["restored"]
    safety = result["safety_backup"]
    assert f"is safe in backup {safety}; bring it back with: backup={safety} existing=replace." in str(caught.value)
    assert (result["database"], result["row_count_matches"]) == ("safe", None)
    shop.restore(instance, safety, replace=True)
    assert count(mariadb_source) == ROWS + 1
    mariadb_source.drop("safe")


def test_rows_that_are_not_as_backed_up_are_a_failure_that_says_so(
    shop: Workshop, instance: Instance, mariadb_source: MariaDBServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.back_up_one(instance)
    inventory = parts_operation.Inventory.from_json

    def one_row_more(value: dict) -> parts_operation.Inventory:
        value["tables"][0]["rows"] += 1
        return inventory(value)

    monkeypatch.setattr(parts_operation.Inventory, "from_json", one_row_more)
    with pytest.raises(RowCountMismatchError, match=f"item has {ROWS} rows instead of {ROWS + 1}") as caught:
        shop.restore(instance, target_database="safe_copy")
    assert caught.value.result["restored"] == {
        "database": "safe_copy",
        "row_count_matches": False,
        "safety_backup": None,
    }
    assert "safe_copy" not in mariadb_source.databases()
    mariadb_source.drop("safe")


def test_without_a_safety_backup_nothing_is_touched(
    shop: Workshop, instance: Instance, mariadb_source: MariaDBServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.back_up_one(instance)

    def refuse(*_arguments: object) -> None:
        raise RepositoryError("The repository is read-only.")

    with monkeypatch.context() as patch:
        patch.setattr("ansible_collections.vya.backupdb.plugins.module_utils.operations.backup.BackupRun.take", refuse)
        with pytest.raises(RepositoryError):
            shop.restore(instance, replace=True)
    assert count(mariadb_source) == ROWS
    with (
        shop.repository.lock(HOST, instance.id, "database", "safe", "backup"),
        pytest.raises(LockedError, match="Database safe of instance maria is locked by backup of process"),
    ):
        shop.restore(instance, replace=True, selection=Selection(HOST, instance.id, "safe", "database"))
    assert count(mariadb_source) == ROWS
    mariadb_source.drop("safe")
