# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records beside sets: holds and verifications."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.errors import LockedError, RecordInvalidError
from ansible_collections.vya.backupdb.plugins.module_utils.repository import records_lock
from ansible_collections.vya.backupdb.plugins.module_utils.repository.local import BackupSet, LocalRepository
from ansible_collections.vya.backupdb.plugins.module_utils.repository.lock import try_lock
from ansible_collections.vya.backupdb.plugins.module_utils.repository.records import (
    CHECKSUM,
    DECRYPT,
    KEPT_VERIFICATIONS,
    Copy,
    Hold,
    SetRecord,
    Verification,
    change_record,
    read_record,
    record_path,
)
from kit.sets import publish

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOLD = Hold("audit", "2026-11-25T10:00:00.000000Z", "2026-11-25T13:00:00.000000Z", "alice")


def verified(level: str = CHECKSUM, ok: bool = True, second: int = 0) -> Verification:
    finished = f"2026-11-25T10:00:{second:02d}.000000Z"
    return Verification(level, finished, ok, 100, 0.5, None if ok else "checksum_mismatch", None if ok else "Bad.")


@pytest.fixture
def repository(tmp_path: Path) -> LocalRepository:
    return LocalRepository(str(tmp_path))


@pytest.fixture
def backup(repository: LocalRepository) -> BackupSet:
    repository.prepare()
    return publish(repository)


def test_a_set_without_a_record_has_an_empty_one(backup: BackupSet) -> None:
    assert read_record(backup) == SetRecord()


def test_a_record_of_before_there_were_copies(backup: BackupSet) -> None:
    record_path(backup.path).parent.mkdir()
    record_path(backup.path).write_text('{"hold": null, "verifications": []}')
    assert read_record(backup) == SetRecord()


def test_one_copy_a_repository_is_noted(repository: LocalRepository, backup: BackupSet) -> None:
    first, other, later = (
        Copy(to, f"2026-11-25T10:00:0{second}.000000Z", "ab") for to, second in (("x:/b", 1), ("y:/b", 2), ("x:/b", 3))
    )
    for copy in (first, other, later):
        change_record(repository, backup, lambda record, copy=copy: record.with_copy(copy))
    record = read_record(backup)
    assert (record.copy_in("x:/b"), record.copy_in("y:/b"), record.copy_in("z:/b")) == (later, other, None)


def test_what_was_noted_is_read_again(repository: LocalRepository, backup: BackupSet) -> None:
    made = change_record(repository, backup, lambda _: SetRecord(HOLD, (verified(DECRYPT),)))
    assert read_record(backup) == made == SetRecord(HOLD, (verified(DECRYPT),))
    path = record_path(backup.path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_records_are_no_sets(repository: LocalRepository, backup: BackupSet) -> None:
    change_record(repository, backup, lambda _: SetRecord(HOLD))
    assert list(repository.sets(None, None, None, None)) == [backup]


def test_changes_of_many_at_once_are_all_kept(
    repository: LocalRepository, backup: BackupSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_lock, "_PATIENCE_SECONDS", 120)

    def add(second: int) -> None:
        change_record(repository, backup, lambda record: record.with_verification(verified(second=second)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(KEPT_VERIFICATIONS)))
    found = {item.finished for item in read_record(backup).verifications}
    assert found == {verified(second=second).finished for second in range(KEPT_VERIFICATIONS)}


def test_old_verifications_go() -> None:
    record = SetRecord()
    for second in range(KEPT_VERIFICATIONS + 5):
        record = record.with_verification(verified(second=second))
    assert len(record.verifications) == KEPT_VERIFICATIONS
    assert record.last_verification == verified(second=KEPT_VERIFICATIONS + 4)


def test_proof_of_a_level_counts_for_those_below_and_is_ended_by_a_failure() -> None:
    record = SetRecord(verifications=(verified(CHECKSUM, second=2), verified(DECRYPT, second=1)))
    assert record.proven() == verified(CHECKSUM, second=2)
    assert record.proven(DECRYPT) == verified(DECRYPT, second=1)
    assert record.with_verification(verified(ok=False)).proven(DECRYPT) is None


def test_a_hold_ends(repository: LocalRepository) -> None:
    assert SetRecord(HOLD).held(NOW)
    assert not SetRecord(HOLD).held(datetime(2026, 11, 25, 13, tzinfo=UTC))
    assert SetRecord(Hold("for good", HOLD.since)).held(datetime(2126, 1, 1, tzinfo=UTC))
    assert not SetRecord().held(NOW)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", "null", '{"hold": 1, "verifications": []}', '{"hold": {"reason": "x"}, "verifications": []}',
     '{"hold": null, "verifications": [{"level": "?"}]}',
     json.dumps({"hold": {"reason": "x", "since": "yesterday"}, "verifications": []})],
)  # fmt: skip
def test_a_damaged_record_is_an_error(repository: LocalRepository, backup: BackupSet, content: str) -> None:
    change_record(repository, backup, lambda _: SetRecord(HOLD))
    record_path(backup.path).write_text(content)
    with pytest.raises(RecordInvalidError, match=backup.manifest.id):
        read_record(backup)
    with pytest.raises(RecordInvalidError):
        change_record(repository, backup, lambda record: record)
    assert record_path(backup.path).read_text() == content


def test_a_lock_that_stays_is_an_error(
    repository: LocalRepository, backup: BackupSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_lock, "_PATIENCE_SECONDS", 0.05)
    change_record(repository, backup, lambda _: SetRecord())
    descriptor = try_lock(record_path(backup.path).parent / ".lock")
    assert descriptor is not None
    with pytest.raises(LockedError, match="stay locked"):
        change_record(repository, backup, lambda _: SetRecord(HOLD))
    os.close(descriptor)
