# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook verify over an inventory, and the modules verify and hold as plays and people call them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from kit import sqlite
from kit.modules import run_module
from kit.plays import Controller
from kit.postgres import PostgresServer
from kit.workshop import HOST, Workshop


@pytest.fixture
def controller(tmp_path: Path, postgres_other: PostgresServer) -> Controller:
    """One host with a server and a file, backed up; and another one that never was."""
    postgres_other.create("crm", "CREATE TABLE item (id int)", "INSERT INTO item SELECT generate_series(1, 7)")
    sqlite.make(tmp_path / "app.db", *sqlite.numbers(3))
    login = {"host": "127.0.0.1", "port": postgres_other.port, "username": "postgres"}
    instances = [
        {"id": "pg", "engine": "postgresql", "password": postgres_other.password, "databases": ["crm"], **login},
        {"id": "files", "engine": "sqlite", "path": str(tmp_path / "app.db")},
    ]
    common = {"backupdb_keyring": str(tmp_path / "keyring.json"), "backupdb_users": False}
    controller = Controller(
        tmp_path,
        {
            "alpha": {**common, "backupdb_repository": str(tmp_path / "alpha"), "backupdb_instances": instances},
            "beta": {**common, "backupdb_repository": str(tmp_path / "beta")},
        },
    )
    shop = Workshop(tmp_path, tmp_path / "alpha")
    for instance in (postgres_other.instance(databases=("crm",)), sqlite.instance(tmp_path / "app.db")):
        shop.back_up_one(instance, host="alpha")
    return controller


def test_the_playbook(controller: Controller, postgres_other: PostgresServer) -> None:
    plan = controller.play("vya.backupdb.verify", "--check", verify_level="decrypt")
    assert [line.split()[:4] for line in plan.table()] == [
        ["FAILED", "repository_unusable:", "The", "repository"],
        ["files", "app.db", "due", "1"],
        ["pg", "crm", "due", "1"],
    ]
    assert (plan.recap("alpha")["failed"], plan.recap("beta")["failed"]) == (0, 1)
    assert plan.tables[-1][-1] == "verify FAILED on 1 of 2 hosts: beta."

    restored = controller.play("vya.backupdb.verify", "-vvv", "--limit", "alpha", verify_level="restore")
    assert restored.status == 0, restored.output
    assert [line.split()[:4] for line in restored.table()] == [
        ["files", "app.db", "verified", "1"],
        ["pg", "crm", "verified", "1"],
    ]
    assert postgres_other.password not in restored.output
    assert json.dumps(postgres_other.password)[1:-1] not in restored.output
    assert not [name for name in postgres_other.databases() if name.startswith("vya")]

    again = controller.play("vya.backupdb.verify", "--limit", "alpha", verify_max_age="1d", verify_level="decrypt")
    assert (again.status, again.recap("alpha")["changed"]) == (0, 0), again.output
    assert all(" not due 1 last verified " in line for line in again.table())

    (part, *_others) = sorted((controller.folder / "alpha").glob("*/files/*/*/*/parts/*"))
    part.write_bytes(b"")
    (controller.folder / "alpha" / "dump.sql").write_text("x")
    failed = controller.play("vya.backupdb.verify", "--limit", "alpha")
    assert (failed.status, failed.recap("alpha")["failed"]) == (2, 1), failed.output
    lines = failed.table()
    assert [line.split()[:3] for line in lines] == [
        ["files", "app.db", "FAILED"],
        ["pg", "crm", "verified"],
        ["stray", f"{controller.folder}/alpha/dump.sql:", "Belongs"],
    ]
    assert ": checksum_mismatch: Part 000-" in lines[0]


def test_a_hold_is_put_and_ends_once(controller: Controller) -> None:
    """Check, real, check, real; then the same to let it go."""
    options = {
        "repository": str(controller.folder / "alpha"),
        "instance": "files",
        "backup": "latest",
        "requested_by": "ana",
    }
    hold = {"reason": "before the migration", "until": "2127-01-01"}
    turns = [(hold, True, True), (hold, False, True), (hold, True, False), (hold, False, False)]
    turns += [({"state": "absent"}, *turn) for turn in ((True, True), (False, True), (False, False))]
    tasks: list[dict[str, Any]] = [
        {
            "name": f"Hold {number}",
            "vya.backupdb.hold": {**options, **state},
            "check_mode": check,
            "diff": True,
            "register": "done",
            "failed_when": f"done.changed != {changed}",
        }
        for number, (state, check, changed) in enumerate(turns)
    ]
    playbook = controller.folder / "hold.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": "alpha", "gather_facts": False, "tasks": tasks}]))
    done = controller.play(str(playbook))
    assert done.status == 0, done.output
    assert done.recap("alpha")["ok"] == 7
    assert done.output.count("-app.db_") == done.output.count("+app.db_") == 4


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    shop = Workshop(tmp_path)
    sqlite.make(tmp_path / "app.db", *sqlite.numbers(3))
    shop.back_up_one(sqlite.instance(tmp_path / "app.db"))
    return {"repository": str(shop.root), "keyring": shop.keyring}


BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("hold", {"backup": "latest"}, "invalid_config", "state is present but all of the following are missing: reason"),
    ("hold", {"backup": "latest", "reason": "x", "until": "soon"}, "invalid_config", "'soon' is no ISO 8601"),
    ("verify", {"limit_bytes": 0}, "invalid_config", "limit_bytes: 0 is not a positive number."),
    ("verify", {"limit_seconds": -1}, "invalid_config", "limit_seconds: -1.0 is not a positive number."),
    ("verify", {"host": "db9"}, "not_found", "There is no backup of host db9"),
    ("verify", {"level": "restore", "target": {"instance": "x"}}, "invalid_config", "no configuration file"),
]


@pytest.mark.parametrize(("module", "bad", "code", "sentence"), BAD)
def test_a_bad_option_is_one_clear_sentence(
    options: dict[str, Any], module: str, bad: dict[str, Any], code: str, sentence: str
) -> None:
    result = run_module(module, **{**options, "config_file": "/nowhere.yml", **bad})
    assert (result["failed"], result["code"], "Traceback" in str(result)) == (True, code, False)
    assert sentence in result["msg"]


def test_what_is_known_of_a_backup_is_listed_and_logged(options: dict[str, Any], tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text(yaml.safe_dump({"logging": {"audit_log": str(tmp_path / "audit.log")}}))
    options["config_file"] = str(config)
    (before,) = run_module("backup_info", **options)["backups"]
    assert (before["hold"], before["verified"]) == (None, None)
    run_module("hold", backup="latest", reason="audit", requested_by="ana", **options)
    verified = run_module("verify", level="decrypt", **options)["verified"]
    (after,) = run_module("backup_info", **options)["backups"]
    assert (after["hold"]["reason"], after["hold"]["until"], after["hold"]["requested_by"]) == ("audit", None, "ana")
    done = {"level": "decrypt", "finished": verified[0]["finished"], "ok": True, "code": None, "error": None}
    assert after["verified"] == done
    next(tmp_path.rglob(".records/*.json")).write_text("{")
    (unread,) = run_module("backup_info", **options)["backups"]
    assert "cannot be read" in unread["hold"]["reason"]
    events = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    said = [(event["event"], event["result"], event["backup"]) for event in events]
    assert said == [("hold", "ok", after["id"]), ("verify", "ok", after["id"])]
    assert (events[0]["reason"], events[1]["level"], HOST) == ("audit", "decrypt", after["host"])
