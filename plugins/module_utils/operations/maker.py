# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes backup sets, whatever is in them: staging folder, parts, manifest, seal, publication."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..audit import Note, note_nothing
from ..repository import layout
from ..repository.local import BackupSet, LocalRepository, Staging
from ..repository.manifest import REGULAR, Manifest, PartRecord, digest, format_time
from ..security.fernet import FernetKey
from ..security.keyring import Keyring, keyring_in_use
from ..version import COLLECTION_VERSION
from .parts import Codec, PartStore, Stage, open_set


@dataclass(frozen=True)
class Subject:
    """Whose set it is. ``database`` is empty for the users of an instance."""

    kind: str
    host: str
    instance: str
    database: str = ""


@dataclass(frozen=True)
class Filled:
    """What was stored, and what the manifest is to say of it beyond what every manifest says."""

    records: Sequence[PartRecord]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class SetMaker:
    """How sets are stored; without a keyring they are not sealed. ``verify`` reads each back before it is published.
    The plain bytes of the parts go ``through`` a stage of the caller's, and what is read back ``back_through`` one."""

    repository: LocalRepository
    keyring: Keyring | None
    method: str
    level: int
    verify: bool = False
    note: Note = note_nothing
    through: Stage | None = None
    back_through: Stage | None = None

    def make(
        self,
        subject: Subject,
        earlier: Iterable[BackupSet],
        fill: Callable[[PartStore], Filled],
        purpose: str = REGULAR,
    ) -> BackupSet:
        """Makes and publishes one set. ``earlier`` are the subject's sets, ``fill`` stores its parts.

        The caller holds the subject's lock in the repository. Whatever ``fill`` raises leaves nothing behind.
        """
        codec = Codec(self.method, self.level, FernetKey.generate() if self.keyring else None)
        with self.repository.staging() as staging:
            started, clock = _free_moment(subject, earlier), time.monotonic()
            filled = fill(PartStore(staging, codec, self.through))
            counts = dict.fromkeys(("tables", "rows", "views", "routines", "triggers", "events"), 0)
            manifest = Manifest(
                **{
                    "snapshot": {},
                    "schema_sha256": "",
                    **counts,
                    **dataclasses.asdict(subject),
                    **filled.facts,
                },
                id=layout.set_id(subject.kind, subject.database, started),
                method="logical",
                purpose=purpose,
                started=format_time(started),
                finished=format_time(_utc_now()),
                duration_seconds=round(time.monotonic() - clock, 3),
                raw_bytes=sum(record.raw_bytes for record in filled.records),
                stored_bytes=sum(record.stored_bytes for record in filled.records),
                compression=codec.compression_record(),
                encryption=codec.encryption_record(self.keyring),
                parts=tuple(filled.records),
                collection_version=COLLECTION_VERSION,
            )
            manifest = dataclasses.replace(manifest, seal=codec.seal_of(digest(manifest.to_json())))
            if self.verify:
                self._verify(BackupSet(staging.folder, manifest, digest(manifest.to_json())))
            return self._publish(staging, manifest, codec)

    def _verify(self, backup: BackupSet) -> None:
        opened = open_set(self.repository, backup, self.keyring.path if self.keyring else "", self.back_through)
        opened.check_stored_bytes()
        opened.check_content()

    def _publish(self, staging: Staging, manifest: Manifest, codec: Codec) -> BackupSet:
        """Publishes under the key that is active now, and stays so until the set is there: a rotation that began
        meanwhile would look for it in vain, and its old key might go. The seal does not cover the wrapped keys."""
        if self.keyring is None:
            backup = self.repository.publish(staging, manifest)
        else:
            with keyring_in_use(self.keyring.path) as keyring:
                sealed = dataclasses.replace(manifest, encryption=codec.encryption_record(keyring))
                backup = self.repository.publish(staging, sealed)
        self.note(
            "backup",
            "ok",
            backup=manifest.id,
            kind=manifest.kind,
            purpose=manifest.purpose,
            instance=manifest.instance,
            database=manifest.database,
            stored_bytes=manifest.stored_bytes,
            keys=backup.manifest.key_ids,
        )
        return backup


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _free_moment(subject: Subject, earlier: Iterable[BackupSet]) -> datetime:
    """Now or, where a set of this very second exists already, the next second."""
    taken = {backup.manifest.id for backup in earlier}
    while layout.set_id(subject.kind, subject.database, now := _utc_now()) in taken:
        time.sleep(1 - now.microsecond / 1_000_000)
    return now
