# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves one backup set: its folder, its manifest, the stored bytes of its parts, and what they hold."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .. import stopping
from ..engines.base import Inventory
from ..engines.registry import engine_class
from ..errors import (
    BackupdbError,
    ChecksumMismatchError,
    ContentInvalidError,
    KeyMissingError,
    ManifestInvalidError,
    SealBrokenError,
    UnexpectedFileError,
)
from ..repository import layout
from ..repository.check import extra_files
from ..repository.local import BackupSet, LocalRepository, checksums_text, translated_os_errors
from ..repository.manifest import PartRecord, manifest_text
from ..repository.records import CHECKSUM
from ..users.model import Accounts
from .parts import INVENTORY_KIND, OpenedSet, open_set
from .users_set import ACCOUNTS_KIND

KEPT_BYTES = 4096
SOME = 3
_CURE = "Use another backup, or bring this one back from a copy."
_COUNTS = ("tables", "rows", "views", "routines", "triggers", "events", "schema_sha256")
"""What manifest and inventory both say."""


@dataclass
class _Look:
    """What was seen of a part's plain bytes. The whole of it only where it is asked for."""

    raw_bytes: int = 0
    head: bytes = b""
    tail: bytes = b""
    whole: bytes = b""

    @classmethod
    def at(cls, chunks: Iterable[bytes], keep: bool) -> _Look:
        look, kept = cls(), []
        for chunk in chunks:
            look.raw_bytes += len(chunk)
            if len(look.head) < KEPT_BYTES:
                look.head += chunk[: KEPT_BYTES - len(look.head)]
            look.tail = chunk[-KEPT_BYTES:] if len(chunk) >= KEPT_BYTES else (look.tail + chunk)[-KEPT_BYTES:]
            if keep:
                kept.append(chunk)
        look.whole = b"".join(kept)
        return look


class Proof:
    """One proof of one set. ``begin`` first; then every part, each from whatever thread.

    All raise what they find: ManifestInvalidError, ChecksumMismatchError, UnexpectedFileError, SealBrokenError,
    ContentInvalidError, KeyMissingError, RepositoryError where the disk does not answer.
    """

    def __init__(self, repository: LocalRepository, backup: BackupSet, level: str, keyring_path: str) -> None:
        self._repository = repository
        self._backup = backup
        self._keyring_path = keyring_path
        self.level = level
        self.opened: OpenedSet | None = None
        """None where no key is there to open the set with, and the level needs none."""

    @property
    def backup(self) -> BackupSet:
        return self._backup

    def begin(self) -> tuple[PartRecord, ...]:
        """Proves all but the parts; returns these."""
        backup = self._backup = self._repository.read_set(self._backup.path)
        self._check_manifest(backup)
        try:
            self.opened = open_set(self._repository, backup, self._keyring_path, stopping.watched)
        except KeyMissingError:
            if self.level != CHECKSUM:
                raise
        with translated_os_errors(self._repository.root):
            self._check_files(backup)
        return backup.manifest.parts

    def _check_manifest(self, backup: BackupSet) -> None:
        path = backup.path / layout.MANIFEST
        with translated_os_errors(self._repository.root):
            text = path.read_bytes()
        if text.decode("utf-8", "replace") != manifest_text(json.loads(text)):
            raise ManifestInvalidError(f"{path} is not as this collection writes it: it was altered. {_CURE}")
        if backup.manifest.encryption is not None and not backup.manifest.key_ids:
            raise ManifestInvalidError(f"{path} names no key that its backup could be opened with. {_CURE}")
        if backup.path != self._repository.place_of(backup.manifest):
            raise ManifestInvalidError(
                f"{backup.path} holds a backup that belongs to {self._repository.place_of(backup.manifest)}. "
                "Move it there."
            )

    def _check_files(self, backup: BackupSet) -> None:
        sums = backup.path / layout.CHECKSUMS
        if not sums.is_file() or sums.read_bytes() != checksums_text(backup.manifest).encode():
            raise ChecksumMismatchError(
                f"{sums} is missing, or does not say what the manifest of the backup says. {_CURE}"
            )
        extra = [str(path.relative_to(backup.path)) for path in extra_files(backup)]
        if extra:
            more = f" and {len(extra) - SOME} more" if len(extra) > SOME else ""
            raise UnexpectedFileError(
                f"{backup.path} holds what is no part of the backup: {', '.join(sorted(extra)[:SOME])}{more}. "
                "Find out who put it there, and remove it."
            )

    def prove_part(self, record: PartRecord) -> None:
        """Proves the stored bytes of a part and, from the level ``decrypt`` on, what they open and unpack to.

        Both by reading it once. Where the stored bytes are not those that were written, that is what is told.
        """
        self._check_size(record)
        sha256 = hashlib.sha256()

        def hashed() -> Iterator[bytes]:
            for chunk in stopping.watched(self._repository.read_chunks(self._backup, record)):
                sha256.update(chunk)
                yield chunk

        stored = hashed()
        look, failure = None, None
        if self.level != CHECKSUM and self.opened is not None:
            keep = record.kind in (INVENTORY_KIND, ACCOUNTS_KIND)
            try:
                look = _Look.at(self.opened.codec.decode(stored, record.name), keep)
            except (SealBrokenError, ChecksumMismatchError) as error:
                failure = type(error)(f"Part {record.name} of backup {self._backup.manifest.id}: {error} {_CURE}")
        for _chunk in stored:
            pass
        if sha256.hexdigest() != record.sha256:
            raise self._damaged(record, "does not have the bytes that were written")
        if failure is not None:
            raise failure
        if look is not None:
            self._check_content(record, look)

    def _check_size(self, record: PartRecord) -> None:
        with self._backup.open_part(record) as stream:
            size = os.fstat(stream.fileno()).st_size
        if size != record.stored_bytes:
            raise self._damaged(record, f"has {size} bytes instead of {record.stored_bytes}")

    def _damaged(
        self, record: PartRecord, what: str, kind: type[BackupdbError] = ChecksumMismatchError
    ) -> BackupdbError:
        return kind(f"Part {record.name} of backup {self._backup.manifest.id} {what} ({self._backup.path}). {_CURE}")

    def _check_content(self, record: PartRecord, look: _Look) -> None:
        if look.raw_bytes != record.raw_bytes:
            raise self._damaged(record, f"unpacks to {look.raw_bytes} bytes instead of {record.raw_bytes}")
        flaw = self._flaw(record, look)
        if flaw:
            raise self._damaged(record, flaw, ContentInvalidError)

    def _flaw(self, record: PartRecord, look: _Look) -> str | None:
        manifest = self._backup.manifest
        if record.kind == INVENTORY_KIND:
            return self._flaw_of_counts(Inventory.from_json, look, {name: getattr(manifest, name) for name in _COUNTS})
        if record.kind == ACCOUNTS_KIND:
            return self._flaw_of_counts(Accounts.from_json, look, {"accounts": manifest.accounts})
        if manifest.kind == "users":
            return None if look.tail.endswith(b"\n") else "ends in the middle of a line"
        return engine_class(manifest.engine).flaw(record.kind, look.raw_bytes, look.head, look.tail)

    @staticmethod
    def _flaw_of_counts(parse: Any, look: _Look, recorded: dict[str, Any]) -> str | None:
        """What is wrong with a part that is JSON, and that holds what the manifest counts."""
        try:
            value = parse(json.loads(look.whole))
            found = {name: getattr(value, name) for name in recorded}
        except (ValueError, KeyError, TypeError, AttributeError):
            return "is not the JSON that it should be"
        found = {name: len(item) if isinstance(item, (list, tuple)) else item for name, item in found.items()}
        wrong = [name for name in recorded if found[name] != recorded[name]]
        return f"does not agree with the manifest about {', '.join(wrong)}" if wrong else None
