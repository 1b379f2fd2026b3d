# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention on real folders: what goes is gone, what stays is whole, whatever happens in between."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.vya.backupdb.plugins.module_utils.errors import NotFoundError, RepositoryError
from ansible_collections.vya.backupdb.plugins.module_utils.operations.retention import Outcome, retire
from ansible_collections.vya.backupdb.plugins.module_utils.repository.catalog import Selection
from ansible_collections.vya.backupdb.plugins.module_utils.repository.local import (
    BackupSet,
    LocalRepository,
    replace_whole,
)
from ansible_collections.vya.backupdb.plugins.module_utils.repository.manifest import format_time
from ansible_collections.vya.backupdb.plugins.module_utils.repository.records import (
    Hold,
    SetRecord,
    Verification,
    change_record,
    record_path,
)
from ansible_collections.vya.backupdb.plugins.module_utils.repository.removal import reading
from ansible_collections.vya.backupdb.plugins.module_utils.retention.policy import require_policy
from kit.modules import run_module
from kit.plays import Controller
from kit.sets import publish

NEWEST = datetime(2026, 11, 23, 2, tzinfo=UTC)
ALL = Selection()


@pytest.fixture
def repository(tmp_path: Path) -> LocalRepository:
    repository = LocalRepository(str(tmp_path / "repository"))
    repository.prepare()
    return repository


def days(repository: LocalRepository, count: int, **facts: Any) -> list[BackupSet]:
    return [publish(repository, NEWEST - timedelta(days=day), **facts) for day in range(count)]


def run(repository: LocalRepository, check: bool = False, **options: Any) -> Outcome:
    return retire(repository, ALL, require_policy(options), check)


def hold(repository: LocalRepository, backup: BackupSet, until: datetime | None = None) -> None:
    kept = Hold("audit", format_time(NEWEST), until and format_time(until))
    change_record(repository, backup, lambda record: SetRecord(kept, record.verifications))


def verified(repository: LocalRepository, backup: BackupSet, code: str | None = None) -> None:
    result = Verification("checksum", format_time(NEWEST), code is None, 4, 0.1, code, code and "Wrong.")
    change_record(repository, backup, lambda record: record.with_verification(result))


def ids(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["id"] for entry in entries]


def there(repository: LocalRepository) -> list[Path]:
    return sorted(repository.root.glob("*/*/*/*-*-*/*"))


def test_what_no_rule_keeps_is_gone(repository: LocalRepository) -> None:
    sets = days(repository, 5)
    users = days(repository, 3, kind="users", database="")
    crm = days(repository, 1, database="crm")
    plan = run(repository, check=True, keep_last=2)
    assert len(there(repository)) == 9
    done = run(repository, keep_last=2)
    assert done == plan
    assert ids(done.removed) == [backup.manifest.id for backup in [*users[2:], *sets[2:]]]
    assert [entry["reasons"] for entry in done.kept if entry["database"] == "shop"] == [
        ["last 1 of 2", "newest good"], ["last 2 of 2"],
    ]  # fmt: skip
    assert done.freed_bytes == 16
    assert there(repository) == sorted(backup.path for backup in [*sets[:2], *users[:2], *crm])
    assert set(repository.root.glob("*/*/*/*-*-*")) == {path.parent for path in there(repository)}
    assert list((repository.root / ".staging").iterdir()) == []
    again = run(repository, keep_last=2)
    assert (again.removed, len(again.kept)) == ([], 5)


def test_holds_damage_and_records(repository: LocalRepository) -> None:
    sets = days(repository, 9)
    hold(repository, sets[8])
    hold(repository, sets[7], NEWEST + timedelta(days=36500))
    hold(repository, sets[6], NEWEST + timedelta(hours=1))
    verified(repository, sets[5], "checksum_mismatch")
    verified(repository, sets[4], "key_missing")
    change_record(repository, sets[3], lambda _: SetRecord(Hold("x", format_time(NEWEST))))
    record_path(sets[3].path).write_text("{")
    (sets[2].path / "manifest.json").write_text("{")
    expected = {
        0: ["last 1 of 1", "newest good"],
        2: ["its manifest cannot be read (manifest_invalid)"],
        3: ["its record cannot be read, so it may be on hold"],
        4: ["failed verification (key_missing); does not count"],
        5: ["failed verification (checksum_mismatch); does not count"],
        7: ["on hold until 2126-10-30 02:00 UTC: audit"],
        8: ["on hold for good: audit"],
    }
    done = run(repository, keep_last=1)
    assert {entry["id"]: entry["reasons"] for entry in done.kept} == {
        sets[day].manifest.id: reasons for day, reasons in expected.items()
    }
    assert ids(done.removed) == [sets[1].manifest.id, sets[6].manifest.id]
    assert not record_path(sets[6].path).exists()
    asked = run(repository, keep_last=1, remove_damaged=True)
    assert [(entry["id"], entry["reason"]) for entry in asked.removed] == [
        (sets[5].manifest.id, "failed verification (checksum_mismatch)")
    ]


def test_a_set_without_all_its_parts_is_not_the_newest_good_one(repository: LocalRepository) -> None:
    newest, cut, good, *old = days(repository, 5)
    (newest.path / "parts" / "000-data").unlink()
    (cut.path / "parts" / "000-data").write_bytes(b"x")
    done = run(repository, keep_last=1)
    assert [(entry["id"], entry["reasons"]) for entry in done.kept] == [
        (newest.manifest.id, ["its part 000-data is missing or has another size; does not count"]),
        (cut.manifest.id, ["its part 000-data is missing or has another size; does not count"]),
        (good.manifest.id, ["last 1 of 1", "newest good"]),
    ]
    assert ids(done.removed) == [backup.manifest.id for backup in old]


def test_a_set_that_is_read_stays_though_its_keys_are_rotated_meanwhile(repository: LocalRepository) -> None:
    _newest, read = days(repository, 2)
    with reading(read):
        manifest = read.path / "manifest.json"
        replace_whole(manifest, manifest.read_text())
        done = run(repository, keep_last=1)
    assert (done.removed, read.path.is_dir()) == ([], True)
    assert ids(run(repository, keep_last=1).removed) == [read.manifest.id]


def test_a_day_that_cannot_be_listed_keeps_its_holds(repository: LocalRepository, tmp_path: Path) -> None:
    """By another account than the owner of the day; root reads everything."""
    sets = days(repository, 3)
    hold(repository, sets[2])
    record, day = record_path(sets[2].path), sets[2].path.parent
    real = os.scandir

    def scanned(path: Any) -> Any:
        if not isinstance(path, int) and Path(path) == day:
            raise PermissionError
        return real(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", scanned)
        assert ids(run(repository, keep_last=1).removed) == [sets[1].manifest.id]
    assert record.exists()
    assert ids(run(repository, keep_last=1).removed) == []


def test_only_verified_sets_count(repository: LocalRepository) -> None:
    sets = days(repository, 6)
    for day in (1, 3, 5):
        verified(repository, sets[day])
    done = run(repository, keep_last=2, only_verified=True)
    assert ids(done.kept) == [sets[day].manifest.id for day in (0, 1, 3)]


def test_nothing_outside_the_repository_is_touched(repository: LocalRepository, tmp_path: Path) -> None:
    sets = days(repository, 4)
    elsewhere = tmp_path / "elsewhere"
    shutil.move(sets[3].path.parent, elsewhere)
    sets[3].path.parent.symlink_to(elsewhere)
    linked = sets[2].path.rename(tmp_path / "linked")
    sets[2].path.symlink_to(linked)
    copied = sets[0].path.parent / sets[1].path.name
    shutil.copytree(sets[1].path, copied)
    done = run(repository, keep_last=1)
    why = {entry["path"]: entry["reasons"][0] for entry in done.kept}
    assert why == {
        str(sets[0].path): "last 1 of 1",
        str(copied): "its folder is not the one that its manifest belongs into",
        str(sets[2].path): "its folder is reached through a symbolic link",
        str(sets[3].path): "its folder is reached through a symbolic link",
    }
    assert [entry["path"] for entry in done.removed] == [str(sets[1].path)]
    assert (linked / "manifest.json").exists()
    assert len(list(elsewhere.iterdir())) == 1


def test_a_link_inside_a_set_is_removed_and_not_followed(repository: LocalRepository, tmp_path: Path) -> None:
    sets = days(repository, 2)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    (sets[1].path / "parts" / "link").symlink_to(tmp_path / "precious")
    assert ids(run(repository, keep_last=1).removed) == [sets[1].manifest.id]
    assert (tmp_path / "precious" / "file").exists()


def test_a_database_at_which_another_run_works_waits_for_the_next(repository: LocalRepository) -> None:
    sets, other = days(repository, 3), days(repository, 3, database="crm")
    with repository.lock("db1", "main", "database", "shop", "backup"):
        done = run(repository, keep_last=1)
    assert ids(done.removed) == [backup.manifest.id for backup in other[1:]]
    assert (len(done.postponed), done.failures) == (1, [])
    assert "is locked by backup of process" in done.postponed[0]["reason"]
    waiting = [entry["reasons"] for entry in done.kept if entry["id"] == sets[1].manifest.id]
    assert waiting == [["no rule keeps it, but another run is at work there"]]
    assert len(run(repository, keep_last=1).removed) == 2


def test_a_set_that_is_being_read_stays(repository: LocalRepository) -> None:
    sets = days(repository, 3)
    with reading(sets[1]):
        done = run(repository, keep_last=1)
    assert ids(done.removed) == [sets[2].manifest.id]
    assert done.kept[-1]["reasons"] == ["no rule keeps it, but it is being read"]
    run(repository, keep_last=1)
    with pytest.raises(NotFoundError, match="is not there any more"), reading(sets[1]):
        pass


def test_a_hold_that_comes_between_plan_and_removal_is_respected(
    repository: LocalRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = days(repository, 2)
    lock = LocalRepository.lock

    def held_up(self: LocalRepository, *names: str, **facts: str) -> Any:
        hold(repository, sets[1])
        return lock(self, *names, **facts)

    monkeypatch.setattr(LocalRepository, "lock", held_up)
    done = run(repository, keep_last=1)
    assert (done.removed, done.kept[1]["reasons"]) == ([], ["on hold for good: audit"])


def test_what_cannot_be_removed_is_told_and_stops_nothing_else(
    repository: LocalRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root there is no folder that can't be written to, so the rename itself fails, as across file systems."""
    sets = days(repository, 3)
    rename = Path.rename

    def across(self: Path, target: Path) -> Path:
        if self == sets[1].path:
            raise OSError(18, "Invalid cross-device link", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", across)
    done = run(repository, keep_last=1)
    assert ids(done.removed) == [sets[2].manifest.id]
    assert [(entry["id"], entry["code"]) for entry in done.failures] == [(sets[1].manifest.id, "repository_unusable")]
    assert "Invalid cross-device link" in done.failures[0]["error"]
    assert sets[1].path.exists()


def test_what_resists_removal_is_out_of_the_catalogue_and_told(
    repository: LocalRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = days(repository, 2)
    with monkeypatch.context() as broken:
        broken.setattr(shutil, "rmtree", lambda *_arguments, **_options: None)
        done = run(repository, keep_last=1)
    assert ids(done.removed) == [sets[1].manifest.id]
    assert "Removed backups still take room in" in done.failures[0]["error"]
    assert there(repository) == [sets[0].path]
    assert len(list((repository.root / ".staging").glob("*/*_full"))) == 1
    assert run(repository, keep_last=1).failures == []
    assert list((repository.root / ".staging").iterdir()) == []


def test_a_repository_that_is_not_there(tmp_path: Path) -> None:
    missing = LocalRepository(str(tmp_path / "missing"))
    with pytest.raises(RepositoryError, match="No such file or directory"):
        run(missing, keep_last=1)
    assert not missing.root.exists()


def whole(repository: LocalRepository) -> Iterator[Path]:
    """Every set that a reader would see, each checked to be whole."""
    for path in there(repository):
        manifest = json.loads((path / "manifest.json").read_text())
        assert [part.name for part in sorted((path / "parts").iterdir())] == [
            item["name"] for item in manifest["parts"]
        ]
        assert (path / "SHA256SUMS").exists()
        yield path


def killed_at(step: int, work: Callable[[], None]) -> int:
    """Does the work in a process that is killed before its step of that number; returns how many steps there were.
    Steps are what Python tells its audit hooks of the file system: each opening, renaming, removing of a file."""
    counter = Path(tempfile.mkstemp()[1])
    child = os.fork()
    if not child:
        done = 0

        def count(event: str, _arguments: object) -> None:
            nonlocal done
            if event.startswith(("open", "os.", "fcntl.", "shutil.")):
                done += 1
                if done == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        work()
        steps, step = done, -1
        counter.write_text(str(steps))
        os._exit(0)
    os.waitpid(child, 0)
    steps = int(counter.read_text() or step)
    counter.unlink()
    return steps


def test_a_run_that_is_killed_at_any_moment_leaves_whole_sets_and_the_next_completes(
    repository: LocalRepository,
) -> None:
    """kill -9 at 100 random moments of a run, each on what the last one left; a finished repository is filled again."""
    chance = random.Random(5)
    policy = require_policy({"keep_last": 2})
    days(repository, 8)
    template = repository.root.with_name("template")
    shutil.copytree(repository.root, template)

    def refill() -> None:
        shutil.rmtree(repository.root)
        shutil.copytree(template, repository.root)

    def work() -> None:
        retire(repository, ALL, policy)

    steps = killed_at(-1, work)
    assert len(there(repository)) == 2
    refill()
    halfway = unfinished = 0
    for _turn in range(100):
        killed_at(chance.randrange(1, steps + 1), work)
        left = len(list(whole(repository)))
        assert left >= 2
        halfway += 2 < left < 8
        unfinished += any((repository.root / ".staging").iterdir())
        if left == 2:
            work()
            assert len(list(whole(repository))) == 2
            assert list((repository.root / ".staging").iterdir()) == []
            assert list(repository.root.glob("*/*/*/.records/*.json")) == []
            refill()
    assert halfway > 5
    assert unfinished > 5


def test_a_year_on_disk(repository: LocalRepository) -> None:
    """Backups, damage, failed and good verifications, holds and retention in any order: what must stay is there."""
    chance = random.Random(7)
    held: set[Path] = set()
    damaged: set[Path] = set()
    sets: list[BackupSet] = []
    for day in range(60):
        sets.append(publish(repository, NEWEST - timedelta(days=400) + timedelta(days=6 * day)))
        backup = chance.choice([backup for backup in sets if backup.path.exists()])
        if backup.path not in held | damaged:
            event = chance.randrange(6)
            if event == 0:
                hold(repository, backup)
                held.add(backup.path)
            elif event == 1:
                (backup.path / "manifest.json").write_text("{")
                damaged.add(backup.path)
            elif event in (2, 3):
                verified(repository, backup, "checksum_mismatch" if event == 2 else None)
                damaged |= {backup.path} if event == 2 else set()
        if day % 5 == 4:
            good = [item.path for item in sets if item.path.exists() and item.path not in held | damaged]
            done = run(repository, keep_last=2, keep_monthly=3, min_keep=3)
            left = set(there(repository))
            assert left == {Path(entry["path"]) for entry in done.kept}
            assert left >= held | damaged | set(good[-3:])
            assert run(repository, check=True, keep_last=2, keep_monthly=3, min_keep=3).removed == []
    assert len(there(repository)) < 40


def test_the_module(repository: LocalRepository, tmp_path: Path) -> None:
    sets = days(repository, 4)
    hold(repository, sets[3])
    config = tmp_path / "config.yml"
    audit = tmp_path / "audit.log"
    settings = {"repository": str(repository.root), "logging": {"audit_log": str(audit)}}
    config.write_text(yaml.safe_dump({**settings, "retention": {"keep_last": 2}}))
    options = {"config_file": str(config), "_ansible_diff": True}
    plan = run_module("retention", check=True, **options)
    assert (plan["changed"], plan["msg"]) == (True, "1 would be removed (4 B), 3 kept.")
    assert plan["diff"]["prepared"].splitlines() == [
        "@@ db1/main/shop",
        f" {sets[0].manifest.id}, 4 B: last 1 of 2; newest good",
        f" {sets[1].manifest.id}, 4 B: last 2 of 2",
        f"-{sets[2].manifest.id}, 4 B: no rule keeps it",
        f" {sets[3].manifest.id}, 4 B: on hold for good: audit",
    ]
    assert not audit.exists()
    assert run_module("retention", unless_configured=True, keep_last=1, **options)["removed"] == plan["removed"]
    (line,) = map(json.loads, audit.read_text().splitlines())
    assert (line["event"], line["result"], line["backup"]) == ("retention", "ok", sets[2].manifest.id)
    assert line["reason"] == "no rule keeps it"
    again = run_module("retention", **options)
    assert (again["changed"], again["freed_bytes"]) == (False, 0)
    narrower = run_module("retention", keep_last=1, **options)
    assert ids(narrower["removed"]) == [sets[1].manifest.id]

    config.write_text(yaml.safe_dump({**settings, "retention": {"keep_dayly": 1, "keep_within": "1m"}}))
    wrong = run_module("retention", **options)
    assert wrong["code"] == "invalid_config"
    assert "retention.keep_within: '1m' is no number of h, d or w" in wrong["msg"]
    assert "retention.keep_dayly: is unknown" in wrong["msg"]
    config.write_text(yaml.safe_dump(settings))
    nothing = run_module("retention", **options)
    assert nothing["msg"].startswith("Nothing says which backups to keep: set at least one of keep_last, keep_hourly")
    assert len(there(repository)) == 2


def test_the_playbook_shows_one_table_for_all_hosts_and_fails_for_what_failed(tmp_path: Path) -> None:
    hosts = {}
    for host in ("alpha", "beta", "gamma"):
        repository = LocalRepository(str(tmp_path / host))
        if host != "gamma":
            repository.prepare()
            days(repository, 30, host=host)
        hosts[host] = {
            "backupdb_repository": str(repository.root),
            "backupdb_config_file": str(tmp_path / f"{host}.yml"),
        }
    (tmp_path / "beta.yml").write_text("retention: {keep_last: 3}")
    controller = Controller(tmp_path, hosts)
    plan = controller.play("vya.backupdb.retention", "--check", "--diff", "--limit", "alpha,beta")
    # Nothing is said in the inventory. For alpha that means 14 days, and in the weeks before three Sundays and the last
    # day of October; for beta, what its file says.
    assert plan.status == 0, plan.output
    assert plan.tables == [
        [
            "HOST INSTANCE DATABASE KEPT TO GO SIZE NOTE",
            "alpha main shop 18 12 48 B",
            "beta main shop 3 27 108 B",
            "39 to go of 2 host(s), 156 B.",
        ]
    ]
    assert " shop_20261031_020000_full, 4 B: monthly 2026-10\n" in plan.output
    assert "-shop_20261030_020000_full, 4 B: no rule keeps it\n" in plan.output

    done = controller.play("vya.backupdb.retention")
    assert done.status == 2
    assert done.tables[0][3].startswith("gamma FAILED repository_unusable: The repository ")
    assert done.tables[0][4] == "39 removed of 3 host(s), 156 B."
    failed = {host: done.recap(host)["failed"] for host in hosts}
    assert failed == {"alpha": 0, "beta": 0, "gamma": 1}
    assert len(list((tmp_path / "beta").glob("*/*/*/*/*/manifest.json"))) == 3

    said = controller.play("vya.backupdb.retention", "--limit", "alpha", keep_daily=2, min_keep=3)
    assert said.tables[0][1:] == ["alpha main shop 3 15 60 B", "15 removed of 1 host(s), 60 B."]
