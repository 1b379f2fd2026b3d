# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Between an engine's plain streams and the stored parts of a set: compress, seal and hash; and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from threading import Event
from typing import Any, BinaryIO

from ..engines.base import Inventory, Part, StoredPart
from ..errors import ChecksumMismatchError, ManifestInvalidError, SealBrokenError
from ..parallel import in_parallel
from ..repository.local import BackupSet, LocalRepository, Staging
from ..repository.manifest import UNSEALED, PartRecord
from ..security.fernet import FRAME_BYTES, FernetKey, seal, stream_id, unseal
from ..security.keyring import Keyring, load_keyring
from ..streams import SUFFIXES, as_stream, compress, counted, decompress, read_chunks

SEALED_SUFFIX = ".fernet"
SCHEME = "fernet-frames-1"
INVENTORY_PART = "inventory.json"
INVENTORY_KIND = "inventory"


Stage = Callable[[Iterator[bytes]], Iterator[bytes]]
"""What the plain bytes of the parts pass through on their way."""


class CancelledError(Exception):
    """Another part failed; what this one does is no longer wanted."""


@dataclass(frozen=True)
class Codec:
    """How the parts of a set are stored; without a data key they are not sealed."""

    method: str
    level: int
    data_key: FernetKey | None = None

    def stored_name(self, number: int, name: str) -> str:
        return f"{number:03d}-{name}{SUFFIXES[self.method]}{SEALED_SUFFIX if self.data_key else ''}"

    def plain_name(self, stored_name: str) -> str:
        name = stored_name.removesuffix(SEALED_SUFFIX).removesuffix(SUFFIXES[self.method])
        return name.partition("-")[2]

    def encode(self, chunks: Iterator[bytes], stored_name: str) -> Iterator[bytes]:
        packed = compress(chunks, self.method, self.level)
        return seal(packed, self.data_key, stream_id(stored_name)) if self.data_key else packed

    def decode(self, stored: Iterator[bytes], stored_name: str) -> Iterator[bytes]:
        if self.data_key:
            stored = unseal(as_stream(stored), self.data_key, stream_id(stored_name))
        return decompress(stored, self.method)

    def compression_record(self) -> dict[str, Any]:
        return {"method": self.method, "level": self.level}

    def encryption_record(self, keyring: Keyring | None) -> dict[str, Any] | None:
        if self.data_key is None or keyring is None:
            return None
        return {"scheme": SCHEME, "frame_bytes": FRAME_BYTES, "keys": keyring.wrap(self.data_key)}

    def seal_of(self, digest: bytes) -> str:
        return self.data_key.sign_manifest(digest) if self.data_key else UNSEALED + digest.hex()


class PartStore:
    """Stores the parts of one set into its staging folder, from as many threads as there are jobs."""

    def __init__(self, staging: Staging, codec: Codec, through: Stage | None = None) -> None:
        self._staging = staging
        self._codec = codec
        self._through = through
        self._cancelled = Event()

    def _unless_cancelled(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if self._cancelled.is_set():
                raise CancelledError
            yield chunk

    def _store(self, number: int, name: str, kind: str, chunks: Iterator[bytes]) -> PartRecord:
        raw_bytes = 0

        def note(count: int) -> None:
            nonlocal raw_bytes
            raw_bytes += count

        stored_name = self._codec.stored_name(number, name)
        plain = counted(self._unless_cancelled(chunks), note)
        stored_bytes, sha256 = self._staging.write_part(stored_name, self._codec.encode(plain, stored_name))
        return PartRecord(stored_name, kind, raw_bytes, stored_bytes, sha256)

    def _store_part(self, number: int, part: Part) -> PartRecord:
        with part.open() as stream:
            chunks = read_chunks(stream)
            return self._store(number, part.name, part.kind, self._through(chunks) if self._through else chunks)

    def store(self, parts: Sequence[Part], jobs: int) -> list[PartRecord]:
        """Stores the parts, up to ``jobs`` at a time, or as many as wait for it where these are more. The first error
        that happened stops the others and is raised."""
        order = sorted(range(len(parts)), key=lambda number: (not parts[number].waits, number))
        tasks = [partial(self._store_part, number, parts[number]) for number in order]
        stored = in_parallel(tasks, max(1, jobs, sum(part.waits for part in parts)), self._cancelled.set)
        records = dict(zip(order, stored, strict=True))
        return [records[number] for number in range(len(parts))]

    def store_inventory(self, number: int, inventory: Inventory) -> PartRecord:
        text = json.dumps(inventory.to_json(), indent=1)
        return self.store_bytes(number, INVENTORY_PART, INVENTORY_KIND, text.encode())

    def store_bytes(self, number: int, name: str, kind: str, content: bytes) -> PartRecord:
        """Stores a part that is in memory already."""
        return self._store(number, name, kind, iter([content]))


def open_set(
    repository: LocalRepository, backup: BackupSet, keyring_path: str, through: Stage | None = None
) -> OpenedSet:
    """Opens a set for reading: finds its data key, if it is sealed, and checks the seal of its manifest. The stored
    bytes that are read go ``through`` a stage of the caller's.

    Raises KeyMissingError, SealBrokenError, or ManifestInvalidError where the manifest was edited.
    """
    manifest = backup.manifest
    data_key = None
    if manifest.encryption is not None:
        if manifest.encryption.get("scheme") != SCHEME:
            raise ManifestInvalidError(f"Backup {manifest.id} has an unknown encryption scheme. Update the collection.")
        data_key = load_keyring(keyring_path).unwrap(manifest.wrapped_keys, manifest.id)
        genuine = data_key.signed_manifest(manifest.seal, backup.digest)
    else:
        genuine = manifest.seal == UNSEALED + backup.digest.hex()
    if not genuine:
        raise ManifestInvalidError(
            f"The manifest of backup {manifest.id} was altered after it was written ({backup.path}). "
            "Use another backup, or bring this set back from a copy."
        )
    method = str(manifest.compression.get("method"))
    if method not in SUFFIXES:
        raise ManifestInvalidError(f"Backup {manifest.id}: compression {method!r} is unknown. Update the collection.")
    return OpenedSet(repository, backup, Codec(method, 0, data_key), through)


class OpenedSet:
    """A set whose manifest is genuine; an engine restores from it (engines.base.Source)."""

    def __init__(
        self, repository: LocalRepository, backup: BackupSet, codec: Codec, through: Stage | None = None
    ) -> None:
        self._repository = repository
        self._backup = backup
        self._through = through
        self.codec = codec
        manifest = backup.manifest
        self.engine = manifest.engine
        self.flavour = manifest.flavour
        self.server_version = manifest.server_version
        self.database = manifest.database
        self.sealed = codec.data_key is not None
        self._records = {codec.plain_name(record.name): record for record in manifest.parts}

    @property
    def parts(self) -> list[StoredPart]:
        return [
            StoredPart(name, record.kind, record.raw_bytes)
            for name, record in self._records.items()
            if record.kind != INVENTORY_KIND
        ]

    @cached_property
    def inventory(self) -> Inventory:
        record = self._records.get(INVENTORY_PART)
        if record is None:
            raise ManifestInvalidError(f"Backup {self._backup.manifest.id} has no inventory.")
        return Inventory.from_json(json.loads(b"".join(self._plain(record))))

    def check_stored_bytes(self) -> None:
        """Compares every part with its length and SHA-256 in the manifest: ChecksumMismatchError naming the part."""
        for record in self._records.values():
            size, sha256 = 0, hashlib.sha256()
            for chunk in self._stored(record):
                size += len(chunk)
                sha256.update(chunk)
            if size != record.stored_bytes:
                raise self._damaged(record, f"has {size} bytes instead of {record.stored_bytes}")
            if sha256.hexdigest() != record.sha256:
                raise self._damaged(record, "does not have the bytes that were written")

    def check_content(self) -> None:
        """Opens every frame of every part and unpacks it to the end; raises as ``open`` does."""
        for record in self._records.values():
            for _chunk in self._plain(record):
                pass

    def _stored(self, record: PartRecord) -> Iterator[bytes]:
        chunks = self._repository.read_chunks(self._backup, record)
        return self._through(chunks) if self._through else chunks

    def _damaged(self, record: PartRecord, what: str) -> ChecksumMismatchError:
        return ChecksumMismatchError(
            f"Part {record.name} of backup {self._backup.manifest.id} {what} ({self._backup.path}). "
            "Use another backup, or bring the part back from a copy."
        )

    def _plain(self, record: PartRecord) -> Iterator[bytes]:
        raw_bytes = 0
        try:
            for chunk in self.codec.decode(self._stored(record), record.name):
                raw_bytes += len(chunk)
                yield chunk
        except SealBrokenError as error:
            raise SealBrokenError(f"Part {record.name} of backup {self._backup.manifest.id}: {error}") from None
        if raw_bytes != record.raw_bytes:
            raise self._damaged(record, f"unpacks to {raw_bytes} bytes instead of {record.raw_bytes}")

    @contextmanager
    def open(self, part: StoredPart) -> Iterator[BinaryIO]:
        """The part's plain bytes. Reading raises SealBrokenError or ChecksumMismatchError where they are damaged."""
        yield as_stream(self._plain(self._records[part.name]))
