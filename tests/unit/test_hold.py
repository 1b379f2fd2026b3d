# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds: put, changed, let go, and what they say of themselves."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.errors import (
    AmbiguousError,
    InvalidConfigError,
    NotFoundError,
    RecordInvalidError,
)
from ansible_collections.vya.backupdb.plugins.module_utils.operations.hold import HoldWanted, change_hold
from ansible_collections.vya.backupdb.plugins.module_utils.repository import records
from ansible_collections.vya.backupdb.plugins.module_utils.repository.catalog import Selection
from ansible_collections.vya.backupdb.plugins.module_utils.repository.local import BackupSet, LocalRepository
from ansible_collections.vya.backupdb.plugins.module_utils.repository.records import (
    CHECKSUM,
    Verification,
    change_record,
    read_record,
    record_path,
)
from kit.sets import publish

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=30)


@pytest.fixture
def repository(tmp_path: Path) -> LocalRepository:
    repository = LocalRepository(str(tmp_path))
    repository.prepare()
    return repository


@pytest.fixture
def backup(repository: LocalRepository) -> BackupSet:
    return publish(repository)


def put(repository: LocalRepository, now: datetime = NOW, check: bool = False, **wanted: Any) -> dict[str, Any]:
    values = {"backup": "latest", "selection": Selection(), "present": True, "reason": "audit", **wanted}
    return change_hold(repository, HoldWanted(**values), check, now=lambda: now)


def test_a_hold_is_put_once_and_let_go_once(repository: LocalRepository, backup: BackupSet) -> None:
    planned = put(repository, check=True, until=LATER)
    assert not record_path(backup.path).exists()
    done = put(repository, until=LATER, requested_by="ana")
    again = put(repository, now=NOW + timedelta(hours=1), until=LATER, requested_by="bob")
    assert (planned["changed"], done["changed"], again["changed"]) == (True, True, False)
    assert (
        done["hold"]
        == again["hold"]
        == {
            "reason": "audit",
            "since": "2026-11-25T12:00:00.000000Z",
            "until": "2026-12-25T12:00:00.000000Z",
            "requested_by": "ana",
        }
    )
    assert done["backup"]["hold"] == done["hold"]
    name = backup.manifest.id
    assert done["diff"] == {
        "before": f"{name} is not on hold\n",
        "after": f"{name} is on hold until 2026-12-25T12:00:00.000000Z: audit\n",
    }
    gone = put(repository, present=False)
    assert (gone["changed"], gone["hold"], gone["msg"]) == (True, None, f"{name} is not on hold.")
    assert put(repository, present=False)["changed"] is False


def test_another_reason_or_end_changes_a_hold_and_not_its_beginning(
    repository: LocalRepository, backup: BackupSet
) -> None:
    put(repository, requested_by="ana")
    hold = put(repository, now=NOW + timedelta(days=1), reason="court", requested_by="bob")["hold"]
    assert (hold["reason"], hold["since"], hold["requested_by"]) == ("court", "2026-11-25T12:00:00.000000Z", "bob")
    assert put(repository, now=NOW, reason="court", until=LATER)["hold"]["until"] == "2026-12-25T12:00:00.000000Z"


def test_a_hold_that_has_ended_begins_anew(repository: LocalRepository, backup: BackupSet) -> None:
    put(repository, until=LATER)
    later = LATER + timedelta(days=1)
    assert put(repository, now=later)["hold"]["since"] == "2026-12-26T12:00:00.000000Z"


def test_verifications_stay(repository: LocalRepository, backup: BackupSet) -> None:
    done = Verification(CHECKSUM, "2026-11-25T00:00:00.000000Z", True, 4, 0.1)
    change_record(repository, backup, lambda record: record.with_verification(done))
    assert put(repository)["backup"]["verified"]["ok"] is True
    put(repository, present=False)
    assert read_record(backup).verifications == (done,)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [({"reason": None}, "reason: say why"), ({"reason": " "}, "reason: say why"), ({"until": NOW}, "is in the past")],
)
def test_what_a_hold_must_say(
    repository: LocalRepository, backup: BackupSet, wanted: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidConfigError, match=sentence):
        put(repository, **wanted)


def test_the_set_that_is_meant_must_be_clear(repository: LocalRepository, backup: BackupSet) -> None:
    publish(repository, database="crm")
    with pytest.raises(AmbiguousError, match="The latest of what"):
        put(repository)
    assert put(repository, selection=Selection(database="crm"))["backup"]["database"] == "crm"
    with pytest.raises(NotFoundError, match="no backup nothing"):
        put(repository, backup="nothing")
    publish(repository, kind="users", database="")
    publish(repository, kind="users", database="", instance="other")
    with pytest.raises(AmbiguousError, match="2 backups have the id"):
        put(repository, backup="users_20261123_020000")


def test_a_record_that_is_damaged_is_left_alone(repository: LocalRepository, backup: BackupSet) -> None:
    put(repository)
    record_path(backup.path).write_text("{")
    with pytest.raises(RecordInvalidError):
        put(repository, reason="court")
    assert record_path(backup.path).read_text() == "{"


def test_a_set_that_goes_meanwhile_gets_no_record(
    repository: LocalRepository, backup: BackupSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(found: BackupSet) -> Any:
        shutil.rmtree(found.path)
        return read_record(found)

    monkeypatch.setattr(records, "read_record", lose)
    with pytest.raises(NotFoundError, match="was removed meanwhile"):
        put(repository)
    assert not record_path(backup.path).exists()


def test_a_hold_leaves_what_else_is_noted(repository: LocalRepository, backup: BackupSet) -> None:
    copy = records.Copy("store:/srv", "2026-11-25T12:00:00.000000Z", "0" * 64)
    change_record(repository, backup, lambda record: record.with_copy(copy))
    assert not put(repository, present=False)["changed"]
    put(repository)
    put(repository, present=False)
    assert read_record(backup).copies == (copy,)
