# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts backup sets on hold, and lets them go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ..audit import Note, note_nothing
from ..errors import InvalidConfigError, NotFoundError
from ..repository.catalog import Selection, choose
from ..repository.local import BackupSet, LocalRepository
from ..repository.manifest import format_time
from ..repository.records import Hold, SetRecord, change_record, read_record
from .info import facts_of


@dataclass(frozen=True)
class HoldWanted:
    """Whether a set is to be on hold, why, and until when; without ``until`` for good."""

    backup: str
    selection: Selection
    present: bool
    reason: str | None = None
    until: datetime | None = None
    requested_by: str | None = None


def _utc_now() -> datetime:
    return datetime.now(UTC)


def change_hold(
    repository: LocalRepository,
    wanted: HoldWanted,
    check: bool = False,
    note: Note = note_nothing,
    now: Callable[[], datetime] = _utc_now,
) -> dict[str, Any]:
    """Puts a set on hold or lets it go; returns what the module hold returns. With ``check`` nothing is written.

    Raises InvalidConfigError, NotFoundError, AmbiguousError, RecordInvalidError.
    """
    moment = now()
    reason = (wanted.reason or "").strip()
    if wanted.present and not reason:
        raise InvalidConfigError("reason: say why the backup is to stay, for whoever finds it in a year.")
    if wanted.present and wanted.until is not None and wanted.until <= moment:
        raise InvalidConfigError(f"until: {wanted.until:%Y-%m-%d %H:%M:%S} UTC is in the past. Name a later moment.")
    backup = choose(repository, wanted.backup, wanted.selection)
    before = SetRecord()

    def change(record: SetRecord) -> SetRecord:
        nonlocal before
        before = record
        if not backup.path.is_dir():
            raise NotFoundError(f"Backup {backup.manifest.id} was removed meanwhile ({backup.path}).")
        hold = _new_hold(record, wanted, reason, moment) if wanted.present else None
        return replace(record, hold=hold)

    after = change(read_record(backup)) if check else change_record(repository, backup, change)
    changed = after != before
    if changed and not check:
        facts = {"reason": reason, "until": after.hold.until} if after.hold else {}
        manifest = backup.manifest
        subject = {"backup": manifest.id, "instance": manifest.instance, "database": manifest.database}
        note("hold", "ok", state="present" if wanted.present else "absent", **subject, **facts)
    return _result(backup, before, after, changed, moment)


def _new_hold(record: SetRecord, wanted: HoldWanted, reason: str, now: datetime) -> Hold:
    """The hold that is wanted. One that says the same already stays as it is, and so does the beginning of another."""
    old = record.hold if record.hold is not None and record.held(now) else None
    until = format_time(wanted.until) if wanted.until else None
    if old is not None and (old.reason, old.until) == (reason, until):
        return old
    return Hold(reason, old.since if old else format_time(now), until, wanted.requested_by)


def _result(backup: BackupSet, before: SetRecord, after: SetRecord, changed: bool, now: datetime) -> dict[str, Any]:
    facts = facts_of(after, now)
    state = _words(backup, after)
    return {
        "changed": changed,
        "backup": {**backup.manifest.summary(), "path": str(backup.path), **facts},
        "hold": facts["hold"],
        "msg": f"{state}.",
        "diff": {"before": f"{_words(backup, before)}\n", "after": f"{state}\n"},
    }


def _words(backup: BackupSet, record: SetRecord) -> str:
    if record.hold is None:
        return f"{backup.manifest.id} is not on hold"
    until = f"until {record.hold.until}" if record.hold.until else "for good"
    return f"{backup.manifest.id} is on hold {until}: {record.hold.reason.rstrip('.')}"
