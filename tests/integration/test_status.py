# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How databases stand: every state, with real SQLite databases and published sets, and what is written about it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from ansible_collections.vya.backupdb.plugins.module_utils.operations.objectives import Objectives, parse_objectives
from ansible_collections.vya.backupdb.plugins.module_utils.operations.status import StatusWanted, read_status
from ansible_collections.vya.backupdb.plugins.module_utils.repository.local import BackupSet, LocalRepository
from ansible_collections.vya.backupdb.plugins.module_utils.repository.records import (
    Hold,
    SetRecord,
    Verification,
    change_record,
    record_path,
)
from kit.modules import run_module
from kit.sets import publish
from kit.sqlite import instance, make, numbers
from prometheus_client.parser import text_string_to_metric_families

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = ("broken.db", "fresh.db", "never.db", "old.db", "proven.db", "skipped.db")
HEALTH = Path(__file__).resolve().parents[2] / "roles" / "monitoring" / "files" / "health.py"


def verification(ok: bool) -> Verification:
    fault = (None, None) if ok else ("checksum_mismatch", "Part 000-data was altered.")
    return Verification("decrypt", "2026-11-25T03:00:00.000000Z", ok, 4, 0.1, *fault)


class Shelf:
    """A host's SQLite files and the sets that a repository has of them."""

    def __init__(self, folder: Path) -> None:
        self.files = folder / "files"
        self.files.mkdir()
        self.repository = LocalRepository(str(folder / "repository"))
        self.repository.prepare()
        for name in NAMES:
            make(self.files / name, *numbers(1))

    @property
    def instance(self) -> Instance:
        return Instance(id="main", engine="sqlite", path=str(self.files), exclude=("skipped*",))

    def store(self, database: str, hours: float, **changes: Any) -> BackupSet:
        return publish(self.repository, NOW - timedelta(hours=hours), database=database, **changes)

    def verify(self, backup: BackupSet, ok: bool) -> None:
        change_record(self.repository, backup, lambda record: record.with_verification(verification(ok)))

    def status(
        self, *instances: Instance, samples: list[tuple[int, int]] | None = None, **wanted: Any
    ) -> dict[str, Any]:
        options = StatusWanted(**{"host": "db1", "objectives": Objectives(DAY), **wanted})
        return read_status(instances or [self.instance], self.repository, options, NOW, samples or ())


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def by_name(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["database"]: entry for entry in status["databases"]}


def test_every_state_has_its_reason(shelf: Shelf) -> None:
    shelf.store("fresh.db", 3)
    shelf.store("old.db", 30)
    shelf.verify(shelf.store("proven.db", 2), ok=True)
    good, bad = shelf.store("broken.db", 20), shelf.store("broken.db", 1)
    shelf.verify(bad, ok=False)
    shelf.store("dropped.db", 500)
    shelf.store("x", 500, instance="retired")
    shelf.store("skipped.db", 900)
    silent = instance("/nowhere/at/all", "silent")
    shelf.store("shop", 3, instance="silent")
    off = Instance(id="off", engine="sqlite", path="/nowhere", enabled=False)
    shelf.store("y", 900, instance="off")

    status = shelf.status(shelf.instance, silent, off)
    found = {name: (entry["state"], entry["notes"]) for name, entry in by_name(status).items()}
    assert found == {
        "broken.db": ("failed", [f"backup {bad.manifest.id} is damaged: Part 000-data was altered."]),
        "fresh.db": ("ok", []),
        "never.db": ("missing", ["no backup yet"]),
        "old.db": ("late", ["newest is 30 h old, the objective is 24 h"]),
        "proven.db": ("ok", []),
        "skipped.db": ("excluded", ["the patterns of the instance leave it out"]),
        "dropped.db": ("gone", ["no longer on the server"]),
        "x": ("gone", ["its instance is no longer described"]),
        "shop": ("unreachable", ["its instance does not answer"]),
        "y": ("excluded", ["the instance is switched off"]),
    }
    assert by_name(status)["broken.db"]["newest"]["id"] == good.manifest.id
    assert (by_name(status)["broken.db"]["age_seconds"], by_name(status)["broken.db"]["damaged"]) == (
        72000,
        [bad.manifest.id],
    )
    assert by_name(status)["proven.db"]["verified"]["level"] == "decrypt"
    assert status["counts"] == {
        "failed": 1, "missing": 1, "late": 1, "unreachable": 1, "ok": 2, "excluded": 2, "gone": 2,
    }  # fmt: skip
    assert status["healthy"] is False
    assert [entry["reachable"] for entry in status["instances"]] == [True, False, False]


def test_healthy_is_when_all_that_should_be_there_is(shelf: Shelf) -> None:
    for name in NAMES[:-1]:
        shelf.store(name, 3)
    assert shelf.status()["healthy"] is True
    tight = parse_objectives("24h", {"main/*.db": "1h", "main/old.db": "", "other": "1s"})
    late = [name for name, entry in by_name(shelf.status(objectives=tight)).items() if entry["state"] == "late"]
    assert late == ["broken.db", "fresh.db", "never.db", "proven.db"]
    assert shelf.status(shelf.instance, instance("/nowhere", "silent"))["healthy"] is False


def test_a_set_without_a_manifest_and_one_with_a_damaged_record_are_told(shelf: Shelf) -> None:
    kept, newer = shelf.store("old.db", 20), shelf.store("old.db", 2)
    (newer.path / "manifest.json").unlink()
    change_record(shelf.repository, kept, lambda _: SetRecord(Hold("audit", "2026-11-25T10:00:00.000000Z")))
    assert by_name(shelf.status())["old.db"]["holds"][0]["reason"] == "audit"
    record_path(kept.path).write_text("{")
    entry = by_name(shelf.status())["old.db"]
    assert (entry["state"], entry["newest"]["id"], entry["damaged"]) == ("failed", kept.manifest.id, [newer.path.name])
    assert entry["notes"][0].startswith(f"backup {newer.path.name} is damaged: ")
    assert entry["notes"][1].startswith(f"The record of backup {kept.manifest.id} cannot be read")


def test_old_damage_does_not_make_a_good_newest_backup_bad(shelf: Shelf) -> None:
    shelf.verify(shelf.store("old.db", 30), ok=False)
    shelf.store("old.db", 2)
    entry = by_name(shelf.status())["old.db"]
    assert (entry["state"], entry["notes"]) == ("ok", ["1 older backup is damaged"])


def test_a_safety_backup_is_no_newest_and_a_clock_that_was_set_back_is_told(shelf: Shelf) -> None:
    shelf.store("old.db", 30)
    shelf.store("old.db", 1, purpose="safety")
    shelf.store("fresh.db", -5)
    found = by_name(shelf.status(max_age=timedelta(hours=20)))
    assert (found["old.db"]["state"], found["old.db"]["sets"]) == ("late", 2)
    assert found["fresh.db"]["notes"] == ["newest is 5 h in the future, the clock was set back"]
    assert {found[name]["next_due"] for name in ("old.db", "fresh.db", "never.db")} == {"2026-11-25T12:00:00.000000Z"}
    assert found["skipped.db"]["next_due"] is None


def test_next_due_is_an_age_after_the_newest(shelf: Shelf) -> None:
    shelf.store("fresh.db", 3)
    assert by_name(shelf.status(max_age=DAY))["fresh.db"]["next_due"] == "2026-11-26T09:00:00.000000Z"
    assert by_name(shelf.status())["fresh.db"]["next_due"] is None


def test_a_backup_that_shrank_is_worth_a_note(shelf: Shelf) -> None:
    for day, size in enumerate((100, 120, 104, 9)):
        shelf.store("fresh.db", 72 - day * 24, stored_bytes=size, duration_seconds=day)
    entry = by_name(shelf.status(history=3))["fresh.db"]
    assert [(point["stored_bytes"], point["duration_seconds"]) for point in entry["history"]] == [
        (120, 1), (104, 2), (9, 3),
    ]  # fmt: skip
    entry = by_name(shelf.status())["fresh.db"]
    assert (entry["state"], entry["size_change_percent"]) == ("ok", -91)
    assert entry["notes"] == ["the newest backup is 91 % smaller than those before it"]


def test_a_repository_that_is_not_there_is_told(shelf: Shelf, tmp_path: Path) -> None:
    shelf.repository = LocalRepository(str(tmp_path / "unmounted"))
    status = shelf.status()
    assert (status["counts"]["missing"], status["repository"]["code"]) == (5, "repository_unusable")
    assert (status["repository"]["free_bytes"], status["healthy"]) == (None, False)


def test_growth_is_what_samples_say_or_what_was_added(shelf: Shelf) -> None:
    for day in range(10):
        shelf.store("fresh.db", day * 24, stored_bytes=1000)
    added = shelf.status()["repository"]
    assert (added["growth_bytes_per_day"], added["growth_basis"]) == (1111, "sets")
    assert added["days_until_full"] == round(added["free_bytes"] / 1111, 1)
    ago = int((NOW - 5 * DAY).timestamp())
    sampled = shelf.status(samples=[(ago, 9000)])["repository"]
    assert (sampled["growth_bytes_per_day"], sampled["growth_basis"]) == (200, "samples")
    shrinking = shelf.status(samples=[(ago, 20000)])["repository"]
    assert (shrinking["growth_bytes_per_day"], shrinking["days_until_full"]) == (-2000, None)


@pytest.fixture
def host(shelf: Shelf, tmp_path: Path) -> dict[str, Any]:
    """The options of the module for a host whose clock is the real one."""
    config = tmp_path / "config.yml"
    described = [{"id": "main", "engine": "sqlite", "path": str(shelf.files), "exclude": ["[!f]*"]}]
    config.write_text(yaml.safe_dump({"repository": str(shelf.repository.root), "instances": described}))
    return {
        "config_file": str(config),
        "host": "db1",
        "rpo": "24h",
        "textfile": str(tmp_path / "collector" / "vya.prom"),
        "health_file": str(tmp_path / "state" / "health.json"),
        "write_health": True,
    }


def asked(path: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run([sys.executable, HEALTH, path, *arguments], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_the_module_writes_metrics_and_health(host: dict[str, Any], shelf: Shelf) -> None:
    textfile, health_file = Path(host["textfile"]), Path(host["health_file"])
    started = datetime.now(UTC) - timedelta(hours=3)
    shelf.verify(publish(shelf.repository, started, database="fresh.db"), ok=True)

    planned = run_module("status", check=True, **host)
    assert (planned["changed"], planned["healthy"], textfile.parent.exists()) == (True, True, False)
    made = run_module("status", **host)
    time.sleep(1 - time.time() % 1)  # runs in the same second are one sample
    again = run_module("status", **host)
    assert (made["changed"], again["changed"]) == (True, False)
    for path in (textfile, health_file):
        assert path.stat().st_mode & 0o777 == 0o644
        assert path.parent.stat().st_mode & 0o777 == 0o755
        assert [item.name for item in path.parent.iterdir()] == [path.name]

    families = {family.name: family for family in text_string_to_metric_families(textfile.read_text())}
    values = {
        name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
        for name, family in families.items()
    }
    fresh = ("main", "fresh.db", "database")
    assert values["vya_backupdb_up"] == {("main", "sqlite"): 1}
    assert values["vya_backupdb_healthy"] == {fresh: 1}
    assert values["vya_backupdb_last_success_timestamp_seconds"][fresh] == pytest.approx(started.timestamp(), abs=0.002)
    assert values["vya_backupdb_rpo_seconds"][fresh] == 86400
    assert values["vya_backupdb_last_verification_ok"][fresh] == 1
    assert values["vya_backupdb_repository_free_bytes"][str(shelf.repository.root),] > 0
    assert {family.type for family in families.values()} == {"gauge"}
    assert all(family.documentation for family in families.values())
    assert len(json.loads(health_file.read_text())["samples"]) == 2

    status, answer = asked(str(health_file))
    assert (status, answer["healthy"], answer["problems"], answer["counts"]["ok"]) == (0, True, [], 1)


def test_scheduled_runs_that_failed_or_were_missed_are_told(host: dict[str, Any], shelf: Shelf, tmp_path: Path) -> None:
    publish(shelf.repository, datetime.now(UTC), database="fresh.db")
    schedule, states = tmp_path / "schedule", tmp_path / "jobs"
    places = {"schedule_folder": str(schedule), "schedule_states": str(states)}
    assert run_module("status", **host, **places)["jobs"] == []

    for folder in (schedule, states):
        folder.mkdir()
    job = {"playbook": "vya.backupdb.backup", "when": "daily", "within": "26h", "alone": True}
    (schedule / "jobs.json").write_text(json.dumps({"backup": job, "verify": job, "retention": job}))
    state = {"started": "2026-11-20T02:00:00Z", "finished": "2026-11-20T02:01:00Z", "exit_status": 0, "failures": 0}
    state["succeeded"] = state["finished"]
    (states / "verify.json").write_text(json.dumps(state))
    (states / "backup.json").write_text(json.dumps({**state, "exit_status": 2, "failures": 1}))

    status = run_module("status", **host, **places)
    assert [(entry["job"], entry["result"]) for entry in status["jobs"]] == [
        ("backup", "failed"), ("verify", "missed"), ("retention", "waiting"),
    ]  # fmt: skip
    assert not status["healthy"]
    assert status["problems"][0] == "job backup: failed: the run of 2026-11-20T02:00:00Z ended with status 2"
    assert status["problems"][1].startswith("job verify: missed: last run ended ")
    lines = Path(host["textfile"]).read_text().splitlines()
    assert 'vya_backupdb_job_ok{scheduled_job="backup"} 0' in lines
    assert 'vya_backupdb_job_ok{scheduled_job="retention"} 1' in lines
    assert 'vya_backupdb_job_last_success_timestamp_seconds{scheduled_job="verify"} 1795140060' in lines
    assert asked(host["health_file"])[0] == 2


def test_health_sees_what_became_late_since_and_files_that_are_old_or_missing(
    host: dict[str, Any], shelf: Shelf
) -> None:
    publish(shelf.repository, datetime.now(UTC) - timedelta(hours=3), database="fresh.db")
    run_module("status", **host)
    path = Path(host["health_file"])
    content = json.loads(path.read_text())
    content["watched"][0]["rpo_seconds"] = 3600
    path.write_text(json.dumps(content))
    status, answer = asked(str(path))
    assert (status, answer["healthy"]) == (2, False)
    assert answer["problems"] == ["main/fresh.db: late: newest is 3 h old, the objective is 1 h"]
    assert asked(str(path), "--max-age", "0")[0] == 3
    assert asked(str(path.with_name("none.json")))[0] == 3
    path.write_text("[1]")
    assert asked(str(path))[0] == 3

    shelf.store("forgotten.db", 0)
    make(shelf.files / "forever.db", *numbers(1))
    missing = run_module("status", **host)
    assert missing["problems"] == ["main/forever.db: missing: no backup yet"]
    assert asked(str(path)) == (2, asked(str(path))[1])


def test_names_that_need_escaping_come_through(host: dict[str, Any], shelf: Shelf) -> None:
    name = 'f "quoted" \\ back\nslash\u20ac.db'
    make(shelf.files / name, *numbers(1))
    run_module("status", **host)
    families = text_string_to_metric_families(Path(host["textfile"]).read_text())
    labels = {sample.labels.get("database") for family in families for sample in family.samples}
    assert name in labels


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        ({"rpo": "soon"}, "invalid_config", "rpo: 'soon' is no duration"),
        ({"objectives": {"main/x": "1 year"}}, "invalid_config", "objectives.main/x: '1 year' is no duration"),
        ({"history": 0}, "invalid_config", "history: 0 is not a positive number."),
        ({"textfile": "/proc/x/y.prom"}, "permission_denied", "/proc/x/y.prom cannot be written: "),
        ({"instance": "fles"}, "not_found", "There is no instance 'fles' in "),
    ],
)
def test_a_bad_option_is_one_clear_sentence(
    host: dict[str, Any], options: dict[str, Any], code: str, sentence: str
) -> None:
    result = run_module("status", **{**host, **options})
    assert (result["failed"], result["code"]) == (True, code)
    assert sentence in result["msg"]
