# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is noted about a set after it was published: whether it is on hold, when it was last proven, and where copies
of it were put.

A set is immutable, so its record stands beside it: ``{host}/{instance}/{database}/.records/{id}.json``. A set without
one was never put on hold nor verified.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import RecordInvalidError
from .local import BackupSet, LocalRepository, replace_whole, translated_os_errors
from .manifest import parse_time
from .records_lock import locked_records, records_folder

CHECKSUM, DECRYPT, RESTORE = "checksum", "decrypt", "restore"
LEVELS = (CHECKSUM, DECRYPT, RESTORE)
"""What a verification proves, least first; each level proves what those before it do."""

KEPT_VERIFICATIONS = 20


@dataclass(frozen=True)
class Hold:
    """That a set must stay: ``since`` and ``until`` as in manifests; without ``until`` for good."""

    reason: str
    since: str
    until: str | None = None
    requested_by: str | None = None

    def in_force(self, now: datetime) -> bool:
        return self.until is None or parse_time(self.until) > now


@dataclass(frozen=True)
class Verification:
    """One proof of a set, or its failure: with ``code`` and ``error`` of what was found."""

    level: str
    finished: str
    ok: bool
    stored_bytes: int
    duration_seconds: float
    code: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Copy:
    """That a set was put into another repository; ``manifest`` is the SHA-256, in hex, of the manifest put there."""

    to: str
    finished: str
    manifest: str


@dataclass(frozen=True)
class SetRecord:
    """What is noted about one set; verifications newest first, copies one a repository."""

    hold: Hold | None = None
    verifications: tuple[Verification, ...] = ()
    copies: tuple[Copy, ...] = ()

    def held(self, now: datetime) -> bool:
        return self.hold is not None and self.hold.in_force(now)

    @property
    def last_verification(self) -> Verification | None:
        return self.verifications[0] if self.verifications else None

    def proven(self, level: str = CHECKSUM) -> Verification | None:
        """The newest success of a level or a higher one, unless a later verification found the set damaged."""
        for verification in self.verifications:
            if not verification.ok:
                return None
            if LEVELS.index(verification.level) >= LEVELS.index(level):
                return verification
        return None

    def with_verification(self, verification: Verification) -> SetRecord:
        return replace(self, verifications=(verification, *self.verifications)[:KEPT_VERIFICATIONS])

    def copy_in(self, place: str) -> Copy | None:
        return next((copy for copy in self.copies if copy.to == place), None)

    def with_copy(self, copy: Copy) -> SetRecord:
        return replace(self, copies=(*(other for other in self.copies if other.to != copy.to), copy))

    def without_copy(self, place: str) -> SetRecord:
        return replace(self, copies=tuple(copy for copy in self.copies if copy.to != place))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SetRecord:
        """The record that ``to_json`` described; TypeError, KeyError or ValueError where the value is something
        else."""
        hold = Hold(**value["hold"]) if value["hold"] is not None else None
        verifications = tuple(Verification(**item) for item in value["verifications"])
        copies = tuple(Copy(**item) for item in value.get("copies", ()))  # the first records of format 1 have none
        moments = [hold.since, hold.until] if hold else []
        moments += [item.finished for item in verifications] + [item.finished for item in copies]
        for moment in moments:
            if moment is not None:
                parse_time(moment)
        for item in verifications:
            LEVELS.index(item.level)
        return cls(hold, verifications, copies)


def record_path(set_path: Path) -> Path:
    """Where the record of a set's folder stands."""
    return records_folder(set_path) / f"{set_path.name}.json"


def read_record(backup: BackupSet) -> SetRecord:
    """The record of a set, empty where there is none.

    Raises RecordInvalidError where it can't be read: the set may be on hold then, so nobody may remove it.
    """
    path = record_path(backup.path)
    try:
        return SetRecord.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return SetRecord()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise RecordInvalidError(
            f"The record of backup {backup.manifest.id} cannot be read ({path}). It says whether the set is on hold: "
            "bring it back from a copy, or remove it, and put the set on hold again if it was."
        ) from None


def change_record(
    repository: LocalRepository, backup: BackupSet, change: Callable[[SetRecord], SetRecord]
) -> SetRecord:
    """Replaces the record of a set by what ``change`` makes of it, all at once; returns the new one.

    Raises RecordInvalidError, LockedError, RepositoryError, NoSpaceError; the record is as it was then.
    """
    path = record_path(backup.path)
    with translated_os_errors(repository.root), locked_records(repository, path.parent):
        before = read_record(backup)
        after = change(before)
        if after != before:
            replace_whole(path, json.dumps(after.to_json(), indent=1) + "\n")
    return after
