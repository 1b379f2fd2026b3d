# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository on another host, into which sets are put over SFTP. Its layout is that of LocalRepository; nothing is
ever taken out of it."""

from __future__ import annotations

import hashlib
import secrets
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path, PurePosixPath

from ..commands import SecretFile
from ..errors import (
    BackupdbError,
    ChecksumMismatchError,
    NoSpaceError,
    PermissionDeniedError,
    RepositoryError,
)
from . import layout
from .local import BackupSet, checksums_text, file_sha256
from .manifest import Manifest, manifest_in
from .ssh import Connection, RefusedError, quoted

_NOTHING = hashlib.sha256(b"").hexdigest()
_COLUMNS = 9
"""Of ``ls -ln``: mode, links, owner, group, size, three of the time, name."""
_SIZE_COLUMN = 4
_FREE_COLUMN = 2
"""Of ``df``, in KiB."""
BATCH_BYTES = 64 << 20
"""Files get their names when so many bytes are there. What has its name is not sent again."""


def _files(backup: BackupSet) -> Iterator[tuple[str, int, str]]:
    """Name, size and SHA-256 of each file of a set as it must be, the manifest last."""
    for part in backup.manifest.parts:
        yield f"{layout.PARTS}/{part.name}", part.stored_bytes, part.sha256
    checksums = checksums_text(backup.manifest).encode()
    yield layout.CHECKSUMS, len(checksums), hashlib.sha256(checksums).hexdigest()
    manifest = backup.path / layout.MANIFEST
    yield layout.MANIFEST, manifest.stat().st_size, file_sha256(manifest)


def _groups(files: Iterable[tuple[str, int, str]]) -> Iterator[list[tuple[str, int, str]]]:
    """Files in their order, as many together as BATCH_BYTES has room for, but one at least."""
    group: list[tuple[str, int, str]] = []
    for file in files:
        if group and sum(size for _name, size, _sha256 in group) + file[1] > BATCH_BYTES:
            yield group
            group = []
        group.append(file)
    yield group


class SftpRepository:
    """``host`` is whose sets are put there: what an earlier run of this host left half done is this one's."""

    def __init__(self, connection: Connection, host: str) -> None:
        self._connection = connection
        self._where = connection.destination
        self._root = PurePosixPath(self._where.folder)
        self._incoming = self._root / layout.encode_element(host) / layout.INCOMING
        self._token = secrets.token_hex(4)
        self._made: set[PurePosixPath] = {self._root}
        self.hashes = False
        """Whether the far side tells the SHA-256 of what it has."""

    def require(self) -> None:
        """Raises RepositoryError unless the folder is there. It is not made: the file system may not be mounted."""
        with self._told():
            self._connection.batch([f"cd {quoted(self._root)}"])
        said = self._connection.shell(f"cd {shlex.quote(self._where.folder)} && sha256sum")
        self.hashes = any(line.startswith(_NOTHING) for line in said)

    @contextmanager
    def _told(self, needed_bytes: int = 0) -> Iterator[None]:
        """Turns what the far side refuses into our errors."""
        try:
            yield
        except RefusedError as error:
            raise self._failure(error, needed_bytes) from None

    def _failure(self, error: RefusedError, needed_bytes: int = 0) -> BackupdbError:
        """SFTP has no word for a full disk, so the free room is asked for."""
        free = self.free_bytes()
        if free is not None and free < needed_bytes:
            return NoSpaceError(f"The file system of {self._where} is full. Free room there, then run again.")
        kind = PermissionDeniedError if "ermission denied" in str(error) else RepositoryError
        return kind(
            f"{self._where} cannot be used: {error}. Check that the folder exists and that the user may write to it."
        )

    def free_bytes(self) -> int | None:
        """Room for data there, or None where the far side does not tell."""
        try:
            (answer,) = self._connection.batch([f"df {quoted(self._root)}"])
            return int(answer[-1].split()[_FREE_COLUMN]) * 1024
        except (RefusedError, ValueError, IndexError):
            return None

    def names(self, folders: Sequence[PurePosixPath]) -> dict[PurePosixPath, set[str]]:
        """The names in folders, hidden ones left out; none where a folder is not there. Paths are those below the root,
        or absolute."""
        if not folders:
            return {}
        with self._told():
            answers = self._connection.batch([f"-ls -1 {quoted(self._root / folder)}" for folder in folders])
        return {
            folder: {PurePosixPath(line).name for line in answer}
            for folder, answer in zip(folders, answers, strict=True)
        }

    def _there(self, stage: PurePosixPath) -> tuple[dict[str, int], set[str]]:
        """The sizes of the files of a set in the making, by name, and the names of what belongs to no set."""
        folders = ("", f"{layout.PARTS}/")
        with self._told():
            answers = self._connection.batch([f"-ls -ln {quoted(stage / folder)}" for folder in folders])
        sizes, strangers = {}, set()
        for folder, answer in zip(folders, answers, strict=True):
            for line in answer:
                row = line.split(maxsplit=_COLUMNS - 1)
                name = f"{folder}{PurePosixPath(row[-1]).name}"
                if row[0].startswith("-"):
                    sizes[name] = int(row[_SIZE_COLUMN])
                if not folder and name not in (layout.PARTS, layout.CHECKSUMS, layout.MANIFEST):
                    strangers.add(name)
        return sizes, strangers

    def _making(self, folder: PurePosixPath) -> list[str]:
        """The commands that make a folder and its missing parents for the owner only. Each is made beside its place and
        moved there, which fails where there is one already: that stays as it is."""
        if folder in self._made:
            return []
        self._made.add(folder)
        new = folder.with_name(layout.new_name(f"{folder.name}-{self._token}"))
        return [
            *self._making(folder.parent),
            f"-mkdir {quoted(new)}",
            f"-chmod 700 {quoted(new)}",
            f"-rename {quoted(new)} {quoted(folder)}",
            f"-rmdir {quoted(new)}",
        ]

    def _remove(self, stage: PurePosixPath) -> None:
        """Removes a folder in which a set was to come to be."""
        parts = stage / layout.PARTS
        names = self.names([stage, parts])
        files = [parts / name for name in names[parts]] + [stage / name for name in names[stage] - {layout.PARTS}]
        with self._told():
            removals = [f"rm {quoted(file)}" for file in files]
            self._connection.batch([*removals, f"-rmdir {quoted(parts)}", f"-rmdir {quoted(stage)}"])

    def _stage(self, place: PurePosixPath) -> PurePosixPath:
        return self._incoming / hashlib.sha256(str(place).encode()).hexdigest()[:32]

    def remove_leftovers(self, wanted: Iterable[PurePosixPath]) -> None:
        """Removes what dead runs left of sets that are not to be sent any more. No other run of this host may be on."""
        keep = {self._stage(place).name for place in wanted}
        for name in self.names([self._incoming])[self._incoming] - keep:
            self._remove(self._incoming / name)

    def _put(self, source: Path, stage: PurePosixPath, files: Sequence[tuple[str, int, str]]) -> None:
        """Puts files of a set there; they get their names when they are whole.

        A program that a killed run left behind may go on to write its own, and gets no further: the names are given by
        another batch.
        """
        sending = {name: stage / f"sending-{self._token}-{number}" for number, (name, *_facts) in enumerate(files)}
        with self._told(sum(size for _name, size, _sha256 in files)):
            puts = [f"put -f {quoted(source / name)} {quoted(to)}" for name, to in sending.items()]
            self._connection.batch([*self._making(stage / layout.PARTS), *puts])
            self._connection.batch([f"rename {quoted(to)} {quoted(stage / name)}" for name, to in sending.items()])

    def send(self, backup: BackupSet, place: PurePosixPath) -> None:
        """Puts a set at its place below the root, whole or not at all. The parts that an earlier run sent to their end
        are not sent again.

        Raises NoSpaceError, ChecksumMismatchError, PermissionDeniedError, RepositoryError or ConnectionFailedError.
        """
        stage = self._stage(place)
        try:
            self._fill(backup, stage)
        except (NoSpaceError, ChecksumMismatchError):
            with suppress(BackupdbError):
                self._remove(stage)
            raise
        making = self._making(self._root / place.parent)
        try:
            self._connection.batch([*making, f"rename {quoted(stage)} {quoted(self._root / place)}"])
        except RefusedError as error:
            if place.name not in self.names([place.parent])[place.parent]:
                raise self._failure(error) from None
            self._remove(stage)  # somebody else put it there meanwhile

    def _fill(self, backup: BackupSet, stage: PurePosixPath) -> None:
        files = list(_files(backup))
        self._check_here(backup, files)
        there, _strangers = self._there(stage)
        missing = [file for file in files if not file[0].startswith(layout.PARTS) or there.get(file[0]) != file[1]]
        needed, free = sum(size for _name, size, _sha256 in missing), self.free_bytes()
        if free is not None and free < needed:
            raise NoSpaceError(
                f"{self._where} has {free} bytes free, and backup {backup.manifest.id} needs {needed} more. "
                "Free room there, then run again."
            )
        for group in _groups(missing):
            self._put(backup.path, stage, group)
        self._check_there(backup, stage, files)

    def _check_here(self, backup: BackupSet, files: Sequence[tuple[str, int, str]]) -> None:
        """Where the far side does not tell digests, the bytes are compared with them here, before they are sent."""
        for name, size, sha256 in files:
            path = backup.path / name
            if not path.is_file() or path.stat().st_size != size or (not self.hashes and file_sha256(path) != sha256):
                raise self._damaged(backup, name, f"in {backup.path}")

    def _check_there(self, backup: BackupSet, stage: PurePosixPath, files: Sequence[tuple[str, int, str]]) -> None:
        """Compares what arrived with what a set must be, and clears away what belongs to none."""
        sizes, strangers = self._there(stage)
        if strangers:
            with self._told():
                self._connection.batch([f"-rm {quoted(stage / name)}" for name in strangers])
        told = self._digests(stage) if self.hashes else {}
        for name, size, sha256 in files:
            if sizes.get(name) != size or (self.hashes and told.get(name) != sha256):
                raise self._damaged(backup, name, f"at {self._where}")

    def _digests(self, stage: PurePosixPath) -> dict[str, str]:
        files = f"{layout.MANIFEST} {layout.CHECKSUMS} {layout.PARTS}/*"
        lines = self._connection.shell(f"cd {shlex.quote(str(stage))} && LC_ALL=C sha256sum {files}")
        return {name: sha256 for sha256, _blank, name in (line.partition("  ") for line in lines)}

    @staticmethod
    def _damaged(backup: BackupSet, name: str, where: str) -> ChecksumMismatchError:
        return ChecksumMismatchError(
            f"{name} of backup {backup.manifest.id} is not as it must be {where}, so the backup was not copied. "
            "Verify it with the module verify; where it is whole, run again."
        )

    def read_manifest(self, place: PurePosixPath) -> tuple[Manifest, bytes]:
        """The manifest of a set that is there, and its digest; ManifestInvalidError where it is damaged."""
        path = self._root / place / layout.MANIFEST
        with closing(SecretFile("")) as got:
            with self._told():
                self._connection.batch([f"get {quoted(path)} {got.path}"], [got.fd])
            content = Path(got.path).read_bytes()
        return manifest_in(content, Path(f"{self._where}/{place}/{layout.MANIFEST}"))

    def send_manifest(self, content: bytes, place: PurePosixPath) -> None:
        """Replaces the manifest of a set that is there, all at once."""
        target = self._root / place / layout.MANIFEST
        new = target.with_name(layout.new_name(layout.MANIFEST))
        with closing(SecretFile(content.decode())) as source, self._told(len(content)):
            self._connection.batch([f"put -f {source.path} {quoted(new)}"], [source.fd])
            self._connection.batch([f"rename {quoted(new)} {quoted(target)}"])
