# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes, rotates, retires, imports and removes keys, so that at no moment a set or a credential opens with none.

A rotation first saves a keyring with a new active key beside all the old ones, marked as rotating. Then it wraps the
data keys of the sets anew, one manifest at a time, and encrypts the credential store anew. Last, the mark goes. A run
that finds the mark goes on where the one before was ended, and makes no further key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ..audit import Note, note_nothing
from ..errors import (
    BackupdbError,
    KeyInUseError,
    KeyMissingError,
    ManifestInvalidError,
    NotFoundError,
    SealBrokenError,
)
from ..repository import layout
from ..repository.catalog import Selection, find
from ..repository.local import BackupSet, LocalRepository, file_sha256
from ..repository.records import read_record
from ..repository.records_lock import locked_records, records_folder
from ..security.credentials import CredentialStore, load_store
from ..security.keyring import Key, Keyring, load_keyring
from ..security.private_file import held

SOME = 5
"""So many sets are named where all would be too many."""
PERMANENT = {SealBrokenError.code, ManifestInvalidError.code}
"""Failures of sets that no key opens any more: another run would not mend them."""


@dataclass(frozen=True)
class KeysWanted:
    """What is to be done with a keyring.

    ``rotate_after``: rotate only where the active key is older. Without ``rewrap``, a rotation stops when it has made
    its key, for a copy of the keyring to be taken before anything depends on it; a second call goes on.
    """

    rotate: bool = False
    rewrap: bool = True
    rotate_after: timedelta | None = None
    source: str | None = None
    retire: str | None = None
    remove: str | None = None


@dataclass(frozen=True)
class KeysPlace:
    """The files that keys are kept in and used for. ``host_name`` is what hostname-based stores come from."""

    keyring: str
    credentials: str
    host_name: str
    repository: LocalRepository


@dataclass
class KeysOutcome:
    """What was done, as the module keyring returns it. ``imaginary`` is the id of a key that a real run would make."""

    before: Keyring
    after: Keyring
    rewrapped: int = 0
    failures: list[dict[str, str]] = field(default_factory=list)
    credentials_reencrypted: bool = False
    resumed: bool = False
    imaginary: str | None = None

    @property
    def changed(self) -> bool:
        return self.before != self.after or self.rewrapped > 0 or self.credentials_reencrypted

    def to_json(self, created: bool) -> dict[str, Any]:
        failed = {"failed": True, "code": self.failures[0]["code"]} if self.failures else {}
        counts = f"{len(self.after.keys)} keys, {self.rewrapped} sets under the active key now"
        problems = [f"{entry['path']}: {entry['error']}" for entry in self.failures]
        return {
            "changed": created or self.changed,
            "keys": [key.summary() for key in self.after.keys if key.id != self.imaginary],
            "rewrapped": self.rewrapped,
            "failures": self.failures,
            "credentials_reencrypted": self.credentials_reencrypted,
            "resumed": self.resumed,
            "msg": ". ".join([counts, *problems]) + ("" if problems else "."),
            "diff": {"before": self._text(self.before), "after": self._text(self.after)},
            **failed,
        }

    def _text(self, keyring: Keyring) -> str:
        return "".join(f"{'(a new key)' if key.id == self.imaginary else key.id} {key.state}\n" for key in keyring.keys)


def change_keys(place: KeysPlace, wanted: KeysWanted, check: bool = False, note: Note = note_nothing) -> dict[str, Any]:
    """Makes the keyring if there is none, then does what is wanted; returns what the module keyring returns.

    Raises KeyInUseError where a key can't go, NotFoundError for an unknown key, RepositoryError where the sets can't be
    seen, and what reading the files raises. With ``check`` nothing is written.
    """
    run = _Run(place, check, note)
    with held(place.keyring, exclusive=not check):
        before, created = run.open()
        outcome = KeysOutcome(before, before)
        run.change(outcome, wanted, created)
    # Wrapping goes on without the lock: backups that begin now find the new key, and the old ones stay in the keyring.
    if wanted.rotate and wanted.rewrap and outcome.after.rotating:
        run.rewrap(outcome)
        if all(entry["code"] in PERMANENT for entry in outcome.failures):
            run.finish(outcome)
    return outcome.to_json(created)


def _rotates(wanted: KeysWanted, keyring: Keyring) -> bool:
    if not wanted.rotate:
        return False
    if wanted.rotate_after is None:
        return True
    created = datetime.strptime(keyring.active.created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return datetime.now(UTC) - created > wanted.rotate_after


class _Run:
    def __init__(self, place: KeysPlace, check: bool, note: Note) -> None:
        self._place = place
        self._check = check
        self._note = note

    def open(self) -> tuple[Keyring, bool]:
        """The keyring, made where there is none, and whether it was."""
        try:
            return load_keyring(self._place.keyring), False
        except KeyMissingError:
            return Keyring(self._place.keyring, ()), True

    def _save(self, keyring: Keyring, action: str) -> None:
        if not self._check:
            keyring.save()
            self._note("keyring", "ok", action=action, keys=[f"{key.id} {key.state}" for key in keyring.keys])

    def change(self, outcome: KeysOutcome, wanted: KeysWanted, created: bool) -> None:
        """Changes the keyring itself. The caller holds its lock."""
        if wanted.source:
            self._use(outcome, outcome.after.with_imported(load_keyring(wanted.source).keys), "import")
        if created and not any(key.state == "active" for key in outcome.after.keys):
            self._use(outcome, outcome.after.with_new_key(), "create")
        if wanted.retire:
            key = self._known(outcome.after, wanted.retire)
            if key.state == "active":
                self._use(outcome, outcome.after.with_new_key(), "retire")
        if wanted.remove and outcome.after.find(wanted.remove):
            self._refuse_needed(outcome.after, wanted.remove)
            self._use(outcome, outcome.after.without(wanted.remove), "remove")
        outcome.resumed = outcome.before.rotating and wanted.rotate and wanted.rewrap
        if _rotates(wanted, outcome.after) and not outcome.before.rotating and not created:
            self._use(outcome, replace(outcome.after.with_new_key(), rotating=True), "rotate")

    def _use(self, outcome: KeysOutcome, keyring: Keyring, action: str) -> None:
        if keyring != outcome.after:
            if self._check and action != "import" and not outcome.after.find(keyring.active.id):
                outcome.imaginary = keyring.active.id
            outcome.after = keyring
            self._save(keyring, action)

    @staticmethod
    def _known(keyring: Keyring, key_id: str) -> Key:
        key = keyring.find(key_id)
        if key is None:
            known = ", ".join(key.id for key in keyring.keys) or "none"
            raise NotFoundError(f"The keyring {keyring.path} has no key {key_id} (it has: {known}).")
        return key

    def _refuse_needed(self, keyring: Keyring, key_id: str) -> None:
        if self._known(keyring, key_id).state == "active":
            raise KeyInUseError(f"Key {key_id} is the active one. Rotate first; then it can go.")
        others = {key.id for key in keyring.keys} - {key_id}
        self._place.repository.require_populated()
        found = find(self._place.repository, Selection())
        needing = [backup.manifest.id for backup in found.backups if _needs(backup, key_id, others)]
        if needing:
            more = f" and {len(needing) - SOME} more" if len(needing) > SOME else ""
            raise KeyInUseError(
                f"Key {key_id} is the only one that opens {len(needing)} backups: {', '.join(needing[:SOME])}{more}. "
                "Rotate first, with rotate: true; then all open with the active key."
            )
        if found.broken:
            raise KeyInUseError(
                f"{len(found.broken)} sets of {self._place.repository.root} have a manifest that cannot be read, such "
                f"as {found.broken[0][0]}: they may need key {key_id}. Bring them back from a copy, or remove them."
            )
        stale = [backup.manifest.id for backup in found.backups if _has_stale_copy(backup)]
        if stale:
            raise KeyInUseError(
                f"Copies of {len(stale)} backups at another host, such as that of {stale[0]}, have the manifests from "
                f"before a rotation and may need key {key_id}. Copy them again with replicate; then it can go."
            )
        store = self._store()
        if store and store.key_id == key_id:
            raise KeyInUseError(f"The credential store {store.path} is encrypted with key {key_id}. Rotate first.")

    def _store(self) -> CredentialStore | None:
        place = self._place
        try:
            return load_store(place.credentials, place.keyring, place.host_name)
        except NotFoundError:
            return None

    def rewrap(self, outcome: KeysOutcome) -> None:
        """Wraps every data key that a key of the keyring opens under the active one, and encrypts the store with it."""
        keyring = outcome.after
        repository = self._place.repository
        found = find(repository, Selection()) if repository.root.exists() else None
        for path, error in found.broken if found else ():
            outcome.failures.append({"path": str(path), "error": error.message, "code": error.code})
        for backup in found.backups if found else ():
            if self._needs_rewrapping(backup, keyring):
                with _collected(outcome, str(backup.path)):
                    outcome.rewrapped += self._rewrap_set(backup, keyring)
        with _collected(outcome, self._place.credentials):
            self._reencrypt(outcome)

    def _rewrap_set(self, backup: BackupSet, keyring: Keyring) -> bool:
        """Whether the set needed it still: another rotation may have been at it, and a retention have removed it."""
        if self._check:
            keyring.unwrap(backup.manifest.wrapped_keys, backup.manifest.id)
            return True
        repository = self._place.repository
        with locked_records(repository, records_folder(backup.path)):
            if not backup.path.is_dir():
                return False
            backup = repository.read_set(backup.path)
            data_key = keyring.unwrap(backup.manifest.wrapped_keys, backup.manifest.id)
            needed = self._needs_rewrapping(backup, keyring)
            if needed:
                repository.rewrap(backup, [*_foreign(backup, keyring), *keyring.wrap(data_key)])
        return needed

    @staticmethod
    def _needs_rewrapping(backup: BackupSet, keyring: Keyring) -> bool:
        """Whether one of our keys opens the set, and not the active one alone."""
        ours = {key.id for key in keyring.keys} & set(backup.manifest.key_ids)
        return bool(ours) and ours != {keyring.active.id}

    def _reencrypt(self, outcome: KeysOutcome) -> None:
        with held(self._place.credentials, exclusive=not self._check):
            store = self._store()
            if store is None or store.key_id is None:
                return
            active = outcome.after.active
            outcome.credentials_reencrypted = store.reencrypt(active.secret, active.id)
            if outcome.credentials_reencrypted and not self._check:
                store.save()

    def finish(self, outcome: KeysOutcome) -> None:
        """Takes the mark of the rotation away, which nothing needs any more."""
        with held(self._place.keyring, exclusive=not self._check):
            outcome.after = replace(outcome.after if self._check else load_keyring(self._place.keyring), rotating=False)
            self._save(outcome.after, "rotated")


def _foreign(backup: BackupSet, keyring: Keyring) -> list[dict[str, str]]:
    """The wrapped keys of a set that other keyrings open."""
    return [entry for entry in backup.manifest.wrapped_keys if not keyring.find(str(entry.get("id")))]


def _needs(backup: BackupSet, key_id: str, others: set[str]) -> bool:
    keys = set(backup.manifest.key_ids)
    return key_id in keys and not keys & others


def _has_stale_copy(backup: BackupSet) -> bool:
    """Whether it was copied elsewhere with another manifest than it has now. Raises RecordInvalidError."""
    copies = read_record(backup).copies
    return bool(copies) and any(copy.manifest != file_sha256(backup.path / layout.MANIFEST) for copy in copies)


@contextmanager
def _collected(outcome: KeysOutcome, path: str) -> Iterator[None]:
    """One set's failure does not stop the others."""
    try:
        yield
    except BackupdbError as error:
        outcome.failures.append({"path": path, "error": error.message, "code": error.code})
