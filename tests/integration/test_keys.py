"""Rotation, retirement, import and removal of keys over real sets: nothing is ever left that no key opens."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from ansible_collections.vya.backupdb.plugins.module_utils.operations import keys as keys_operation
from ansible_collections.vya.backupdb.plugins.module_utils.operations.keys import KeysPlace, KeysWanted, change_keys
from ansible_collections.vya.backupdb.plugins.module_utils.repository.local import BackupSet, file_sha256
from ansible_collections.vya.backupdb.plugins.module_utils.repository.records import Copy, change_record
from ansible_collections.vya.backupdb.plugins.module_utils.security.keyring import load_keyring
from cryptography.fernet import Fernet
from kit.modules import ModuleRun, run_module
from kit.workshop import HOST, Workshop

ROOT = Path(__file__).resolve().parents[2]
SETS = 3


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(SETS):
        with closing(sqlite3.connect(folder / f"{number}.db")) as connection:
            connection.execute("CREATE TABLE note (text TEXT)")
            connection.execute("INSERT INTO note VALUES (?)", (f"note {number}",))
            connection.commit()
    return Instance(id="files", engine="sqlite", path=str(folder))


@pytest.fixture
def shop(tmp_path: Path, instance: Instance) -> Workshop:
    """A repository with sealed sets."""
    shop = Workshop(tmp_path)
    assert len(shop.back_up(instance).backups) == SETS
    return shop


def options(shop: Workshop) -> dict[str, Any]:
    folder = Path(shop.keyring).parent
    return {
        "keyring": shop.keyring,
        "repository": str(shop.root),
        "credentials_file": str(folder / "credentials.json"),
        "config_file": str(folder / "config.yml"),
    }


def rotate(shop: Workshop, **more: Any) -> dict[str, Any]:
    return run_module("keyring", **options(shop), rotate=True, **more)


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())


def keys_of(folder: Path) -> list[str]:
    return [entry["id"] for entry in manifest(folder)["encryption"]["keys"]]


def restored(shop: Workshop, instance: Instance, folder: Path, name: str) -> str:
    """What a set holds, after a restore under another name."""
    shop.restore(instance, folder.name, target_database=name)
    with closing(sqlite3.connect(Path(str(instance.path)) / name)) as connection:
        return str(connection.execute("SELECT text FROM note").fetchone()[0])


def everything_opens(shop: Workshop) -> None:
    keyring = load_keyring(shop.keyring)
    for folder in shop.folders():
        keyring.unwrap(manifest(folder)["encryption"]["keys"], folder.name)


def test_a_rotation_brings_every_set_and_the_credentials_under_a_new_key(shop: Workshop, instance: Instance) -> None:
    old = load_keyring(shop.keyring).active.id
    run_module("credential", **options(shop), id="a", username="b", password="c")
    for folder in shop.folders():
        shutil.rmtree(folder / "parts")  # what is not there cannot be read
        (folder / "parts").touch()
    result = rotate(shop)
    new = load_keyring(shop.keyring).active.id
    assert (result["changed"], result["rewrapped"], result["credentials_reencrypted"]) == (True, SETS, True)
    assert [(key["id"], key["state"]) for key in result["keys"]] == [(new, "active"), (old, "retired")]
    assert result["keys"][1]["retired"] is not None
    assert result["diff"] == {"before": f"{old} active\n", "after": f"{new} active\n{old} retired\n"}
    assert [keys_of(folder) for folder in shop.folders()] == [[new]] * SETS
    assert json.loads(Path(options(shop)["credentials_file"]).read_text())["encryption"]["key"] == new
    assert run_module("credential", **options(shop))["unreadable"] == []


def test_sets_restore_after_a_rotation_and_after_the_old_key_is_gone(shop: Workshop, instance: Instance) -> None:
    old = load_keyring(shop.keyring).active.id
    before = [manifest(folder) for folder in shop.folders()]
    rotate(shop)
    first = shop.folders()[0]
    assert restored(shop, instance, first, "after.db") == "note 0"
    for earlier, folder in zip(before, shop.folders(), strict=True):
        later = manifest(folder)
        earlier["encryption"]["keys"] = later["encryption"]["keys"]
        assert later == earlier
    removed = run_module("keyring", **options(shop), state="absent", key=old)
    assert (removed["changed"], len(removed["keys"])) == (True, 1)
    assert run_module("keyring", **options(shop), state="absent", key=old)["changed"] is False
    assert restored(shop, instance, first, "later.db") == "note 0"
    assert shop.stray() == []


def test_the_recovery_script_opens_what_was_rotated(shop: Workshop, tmp_path: Path) -> None:
    rotate(shop)
    output = tmp_path / "recovered"
    command = [sys.executable, ROOT / "docs" / "recover.py", shop.folders()[0], shop.keyring, output]
    subprocess.run(command, capture_output=True, check=True)
    (database,) = output.glob("*database*")
    assert database.read_bytes()[:15] == b"SQLite format 3"


def test_check_mode_counts_and_touches_nothing(shop: Workshop) -> None:
    before = {path: path.read_bytes() for path in Path(shop.keyring).parent.rglob("*") if path.is_file()}
    result = run_module("keyring", check=True, **options(shop), rotate=True)
    old = load_keyring(shop.keyring).active.id
    assert (result["changed"], result["rewrapped"], [key["id"] for key in result["keys"]]) == (True, SETS, [old])
    assert result["diff"]["after"] == f"(a new key) active\n{old} retired\n"
    assert before == {path: path.read_bytes() for path in Path(shop.keyring).parent.rglob("*") if path.is_file()}


def test_a_young_key_is_not_rotated(shop: Workshop) -> None:
    assert rotate(shop, max_age="90d")["changed"] is False
    value = json.loads(Path(shop.keyring).read_text())
    value["keys"][0]["created"] = "2020-01-01T00:00:00Z"
    Path(shop.keyring).write_text(json.dumps(value))
    assert [rotate(shop, max_age="90d")["rewrapped"], rotate(shop, max_age="90d")["rewrapped"]] == [SETS, 0]


def test_keys_of_others_stay_and_their_sets_are_left_alone(shop: Workshop, instance: Instance, tmp_path: Path) -> None:
    mine, both, theirs = shop.folders()
    stranger = {"id": "0" * 16, "wrapped": Fernet(Fernet.generate_key()).encrypt(b"x").decode()}
    value = manifest(both)
    value["encryption"]["keys"].append(stranger)
    (both / "manifest.json").write_text(json.dumps(value))
    value = manifest(theirs)
    value["encryption"]["keys"] = [stranger]
    (theirs / "manifest.json").write_text(json.dumps(value))
    result = rotate(shop)
    new = load_keyring(shop.keyring).active.id
    assert (result["rewrapped"], result.get("failed", False)) == (2, False)
    assert [keys_of(mine), keys_of(both), keys_of(theirs)] == [[new], [stranger["id"], new], [stranger["id"]]]
    assert restored(shop, instance, both, "again.db") == "note 1"


def test_what_cannot_be_rotated_is_named_and_does_not_stop_the_rest(shop: Workshop, instance: Instance) -> None:
    good, unreadable, altered = shop.folders()
    (unreadable / "manifest.json").write_text("{")
    value = manifest(altered)
    value["encryption"]["keys"][0]["wrapped"] = Fernet(Fernet.generate_key()).encrypt(b"x").decode()
    (altered / "manifest.json").write_text(json.dumps(value))
    old = load_keyring(shop.keyring).active.id
    result = rotate(shop)
    assert (result["failed"], result["rewrapped"]) == (True, 1)
    assert sorted((entry["path"], entry["code"]) for entry in result["failures"]) == [
        (str(unreadable), "manifest_invalid"), (str(altered), "seal_broken"),
    ]  # fmt: skip
    assert load_keyring(shop.keyring).rotating is False
    assert restored(shop, instance, good, "again.db") == "note 0"
    refused = run_module("keyring", **options(shop), state="absent", key=old)
    assert (refused["failed"], refused["code"]) == (True, "key_in_use")


def test_a_key_that_is_needed_cannot_be_removed(shop: Workshop) -> None:
    active = load_keyring(shop.keyring).active.id
    refused = run_module("keyring", **options(shop), state="absent", key=active)
    assert (refused["code"], refused["msg"]) == (
        "key_in_use", f"Key {active} is the active one. Rotate first; then it can go.",
    )  # fmt: skip
    retired = run_module("keyring", **options(shop), state="retired", key=active)
    assert (retired["changed"], retired["rewrapped"], len(retired["keys"])) == (True, 0, 2)
    assert run_module("keyring", **options(shop), state="retired", key=active)["changed"] is False
    refused = run_module("keyring", **options(shop), state="absent", key=active)
    assert refused["code"] == "key_in_use"
    for folder in shop.folders():
        assert folder.name in refused["msg"]
    rotate(shop)
    assert run_module("keyring", **options(shop), state="absent", key=active)["changed"] is True


def test_no_key_is_removed_where_the_repository_may_be_away(shop: Workshop) -> None:
    """An empty folder may be what stands in the place of a file system that is not mounted."""
    old = load_keyring(shop.keyring).active.id
    run_module("keyring", **options(shop), state="retired", key=old)
    away = shop.root.rename(shop.root.with_name("away"))
    shop.root.mkdir()
    refused = run_module("keyring", **options(shop), state="absent", key=old)
    assert (refused["failed"], refused["code"]) == (True, "repository_empty")
    shop.root.rmdir()
    away.rename(shop.root)
    everything_opens(shop)


def test_a_key_is_not_removed_while_copies_elsewhere_may_need_it(shop: Workshop) -> None:
    old = load_keyring(shop.keyring).active.id
    backups = [shop.repository.read_set(folder) for folder in shop.folders()]

    def copied(backup: BackupSet) -> None:
        copy = Copy("store:/srv", backup.manifest.finished, file_sha256(backup.path / "manifest.json"))
        change_record(shop.repository, backup, lambda record: record.with_copy(copy))

    for backup in backups:
        copied(backup)
    assert rotate(shop)["rewrapped"] == SETS
    copied(shop.repository.read_set(backups[0].path))
    refused = run_module("keyring", **options(shop), state="absent", key=old)
    assert (refused["failed"], refused["code"]) == (True, "key_in_use")
    assert f"Copies of {SETS - 1} backups at another host" in refused["msg"]
    for backup in backups:
        copied(shop.repository.read_set(backup.path))
    assert run_module("keyring", **options(shop), state="absent", key=old)["changed"]


def test_a_key_that_the_credentials_need_cannot_be_removed(shop: Workshop, instance: Instance) -> None:
    run_module("credential", **options(shop), id="a", username="b", password="c")
    old = load_keyring(shop.keyring).active.id
    run_module("keyring", **options(shop), state="retired", key=old)
    shutil.rmtree(shop.root)
    shop.back_up(instance)
    refused = run_module("keyring", **options(shop), state="absent", key=old)
    assert (refused["code"], "credential store" in refused["msg"]) == ("key_in_use", True)


def test_without_the_repository_no_key_goes(shop: Workshop) -> None:
    old = load_keyring(shop.keyring).active.id
    run_module("keyring", **options(shop), state="retired", key=old)
    shop.root.rename(shop.root.with_name("unmounted"))
    refused = run_module("keyring", **options(shop), state="absent", key=old)
    assert (refused["failed"], refused["code"]) == (True, "repository_unusable")


def test_unknown_keys_and_missing_options(shop: Workshop) -> None:
    unknown = run_module("keyring", **options(shop), state="retired", key="f" * 16)
    assert (unknown["code"], "has no key ffffffffffffffff (it has: " in unknown["msg"]) == ("not_found", True)
    assert run_module("keyring", **options(shop), state="absent")["code"] == "invalid_config"


def test_an_imported_key_opens_the_sets_of_another_host(shop: Workshop, instance: Instance, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    other = Workshop(tmp_path / "elsewhere", repository=shop.root)
    task = {**options(other), "source": shop.keyring}
    changed = [run_module("keyring", check, **task)["changed"] for check in (True, False, True, False)]
    assert changed == [True, True, False, False]
    states = [key.state for key in load_keyring(other.keyring).keys]
    assert states == ["active", "retired"]
    assert restored(other, instance, shop.folders()[0], "again.db") == "note 0"
    Path(other.keyring).unlink()
    assert run_module("keyring", **task)["changed"] is True
    assert load_keyring(other.keyring).keys == load_keyring(shop.keyring).keys


def test_a_rotation_that_was_killed_goes_on_and_nothing_is_lost(shop: Workshop, instance: Instance) -> None:
    """SIGKILL at random moments: every set opens after each, and the next run that is left alone finishes."""
    run_module("credential", **options(shop), id="a", username="b", password="c")
    whole = timed(lambda: rotate(shop))
    chance = random.Random(3)
    resumed = 0
    for _turn in range(25):
        run = ModuleRun("keyring", **options(shop), rotate=True)
        time.sleep(chance.uniform(0.5, 1.1) * whole)
        run.kill()
        everything_opens(shop)
        resumed += load_keyring(shop.keyring).rotating
        run_module("credential", **options(shop))
    result = rotate(shop)
    assert result.get("failed", False) is False
    assert load_keyring(shop.keyring).rotating is False
    active = load_keyring(shop.keyring).active.id
    assert [keys_of(folder) for folder in shop.folders()] == [[active]] * SETS
    assert run_module("credential", **options(shop))["unreadable"] == []
    assert restored(shop, instance, shop.folders()[0], "again.db") == "note 0"
    assert shop.stray() == []


def timed(work: Any) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


@pytest.mark.parametrize("point", ["keyring saved", "one set", "all sets", "credentials"])
def test_a_rotation_goes_on_from_every_point(
    shop: Workshop, instance: Instance, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    run_module("credential", **options(shop), id="a", username="b", password="c")
    chosen = options(shop)
    place = KeysPlace(chosen["keyring"], chosen["credentials_file"], "host", shop.repository)
    rewrap, left = type(place.repository).rewrap, [{"keyring saved": 0, "one set": 1}.get(point, SETS)]

    class Killed(BaseException):
        """Stands for the end of the process."""

    def until_killed(*arguments: Any) -> None:
        if not left[0]:
            raise Killed
        left[0] -= 1
        rewrap(*arguments)

    def killed(*_arguments: object) -> None:
        raise Killed

    keys = "ansible_collections.vya.backupdb.plugins.module_utils.operations.keys"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(type(place.repository), "rewrap", until_killed)
        if point == "all sets":
            patch.setattr(f"{keys}._Run._reencrypt", killed)
        elif point == "credentials":
            patch.setattr(f"{keys}._Run.finish", killed)
        change_keys(place, KeysWanted(rotate=True))
    between = load_keyring(shop.keyring)
    assert (between.rotating, len(between.keys)) == (True, 2)
    everything_opens(shop)
    assert len(shop.back_up(instance).backups) == SETS
    again = run_module("keyring", **chosen, rotate=True)
    after = load_keyring(shop.keyring)
    assert (again["resumed"], after.rotating, len(after.keys)) == (True, False, 2)
    assert {key for folder in shop.folders() for key in keys_of(folder)} == {after.active.id}


def test_backups_during_rotations_end_up_under_the_last_key(shop: Workshop, instance: Instance) -> None:
    """Backups and rotations run at the same time; whatever was published opens, and a last rotation has it all."""
    connection = {"id": "files", "engine": "sqlite", "path": instance.path}
    backup = ModuleRun("backup", **options(shop), host=HOST, connection=connection)
    for _turn in range(4):
        assert rotate(shop).get("failed", False) is False
    assert backup.result().get("failed", False) is False
    everything_opens(shop)
    rotate(shop)
    active = load_keyring(shop.keyring).active.id
    assert len(shop.folders()) == 2 * SETS
    assert {key for folder in shop.folders() for key in keys_of(folder)} == {active}


def test_rotations_at_once_do_not_disturb_each_other(shop: Workshop, instance: Instance) -> None:
    for _turn in range(3):
        runs = [ModuleRun("keyring", **options(shop), rotate=True) for _run in range(3)]
        results = [run.result() for run in runs]
        assert [result for result in results if result.get("failed")] == []
        everything_opens(shop)


def test_a_set_that_is_retired_during_a_rotation_is_no_failure(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = shop.folders()[0]
    real = keys_operation.locked_records

    def locked(*arguments: Any) -> Any:
        shutil.rmtree(gone, ignore_errors=True)
        return real(*arguments)

    monkeypatch.setattr(keys_operation, "locked_records", locked)
    chosen = options(shop)
    place = KeysPlace(chosen["keyring"], chosen["credentials_file"], "host", shop.repository)
    done = change_keys(place, KeysWanted(rotate=True))
    assert (done["failures"], done["rewrapped"]) == ([], SETS - 1)


def test_a_backup_that_began_before_a_rotation_is_published_under_the_new_key(
    shop: Workshop, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = options(shop)
    publish = type(shop.repository).publish
    place = KeysPlace(chosen["keyring"], chosen["credentials_file"], "host", shop.repository)
    staging = type(shop.repository).staging

    def rotate_first(repository: Any) -> Any:
        change_keys(place, KeysWanted(rotate=True))
        return staging(repository)

    monkeypatch.setattr(type(shop.repository), "staging", rotate_first)
    assert shop.back_up(instance).failures == []
    assert publish is type(shop.repository).publish
    assert keys_of(shop.folders()[-1]) == [load_keyring(shop.keyring).active.id]


def test_no_key_in_any_output(shop: Workshop) -> None:
    output = ModuleRun("keyring", **options(shop), rotate=True).output()
    for key in load_keyring(shop.keyring).keys:
        assert key.secret.encoded not in output
