# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository in a local folder (a mounted network file system included)."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import BackupdbError, ChecksumMismatchError, NoSpaceError, RepositoryEmptyError, RepositoryError
from ..mount import FSTAB, missing_mount
from ..streams import read_chunks
from . import layout
from .lock import exclusive, try_lock
from .manifest import Manifest, PartRecord, manifest_text, read_manifest

FOLDER_MODE = 0o700
FILE_MODE = 0o600
ANY_SET: Sequence[str | None] = (None,) * 5
"""Host, instance, database, date, set."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def translated_os_errors(root: Path) -> Iterator[None]:
    """Turns errors of the file system below a repository into ours."""
    try:
        yield
    except OSError as error:
        where = error.filename or root
        if error.errno in _FULL:
            raise NoSpaceError(
                f"The file system of the repository {root} is full. Free room, then run again."
            ) from None
        raise RepositoryError(
            f"The repository {root} cannot be used: {where}: {os.strerror(error.errno or 0)}. "
            "Check that it is mounted and that this account may write to it."
        ) from None


def make_private(folder: Path) -> None:
    """Makes a folder and its missing parents, for the owner only; mkdir would leave the parents to the umask."""
    if not folder.is_dir():
        make_private(folder.parent)
        try:
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        except FileExistsError:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "w", encoding="utf-8") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def replace_whole(path: Path, content: str) -> None:
    """Puts another content in the place of a file, all at once and on the disk; the old one stays where that fails."""
    temporary = path.with_name(layout.new_name(path.name))
    temporary.unlink(missing_ok=True)  # a run that was killed may have left it
    try:
        write_whole(temporary, content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    sha256 = hashlib.sha256()
    with path.open("rb") as stream:
        for chunk in read_chunks(stream):
            sha256.update(chunk)
    return sha256.hexdigest()


def checksums_text(manifest: Manifest) -> str:
    """What the file SHA256SUMS of a set holds."""
    return "".join(f"{part.sha256}  {layout.PARTS}/{part.name}\n" for part in manifest.parts)


def _folders(folder: Path, unreadable: tuple[type[OSError], ...] = (PermissionError,)) -> Iterator[Path]:
    """The folders in a folder, without hidden ones and that of the file system itself; none where it is not there any
    more (others remove and publish meanwhile), or can't be read."""
    with suppress(FileNotFoundError, NotADirectoryError, *unreadable), os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            is_ours = not entry.name.startswith(".") and entry.name != layout.OF_THE_FILE_SYSTEM
            if is_ours and (entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and path.is_dir())):
                yield path


def days_of(subject: Path) -> list[Path]:
    """The folders of the days in that of a database, in their order."""
    return sorted(folder for folder in _folders(subject) if layout.DATE.fullmatch(folder.name))


def set_names(subject: Path) -> set[str]:
    """The names of the sets in the folder of a database; PermissionError where not all of it can be read."""
    days = (day for day in _folders(subject, ()) if layout.DATE.fullmatch(day.name))
    return {folder.name for day in days for folder in _folders(day, ())}


def _walk_sets(folder: Path, names: Sequence[str | None]) -> Iterator[Path]:
    """The folders as deep below another as there are names, one by one, in no order; None is any name."""
    name, *deeper = names
    for path in _folders(folder) if name is None else filter(Path.is_dir, [folder / name]):
        if deeper:
            yield from _walk_sets(path, deeper)
        else:
            yield path


@dataclass(frozen=True)
class BackupSet:
    """A published set: its folder, its manifest, and the digest that the manifest's seal must answer to."""

    path: Path
    manifest: Manifest
    digest: bytes

    def open_part(self, part: PartRecord) -> BinaryIO:
        """The stored bytes of a part; ChecksumMismatchError where the file is missing."""
        try:
            return (self.path / layout.PARTS / part.name).open("rb")
        except OSError as error:
            raise ChecksumMismatchError(
                f"Part {part.name} of backup {self.manifest.id} cannot be read: {os.strerror(error.errno or 0)} "
                f"({self.path})."
            ) from None


class Staging:
    """The folder in which a set comes to be. Nobody takes it for a set, and nobody else may remove it."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self._root = root

    def write_part(self, name: str, chunks: Iterable[bytes]) -> tuple[int, str]:
        """Writes a part to the end and to the disk; returns its bytes and their SHA-256 in hex."""
        size, sha256 = 0, hashlib.sha256()
        with translated_os_errors(self._root):
            path = self.folder / layout.PARTS / name
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(descriptor, "wb", buffering=0) as stream:
            for chunk in chunks:
                sha256.update(chunk)
                view = memoryview(chunk)
                with translated_os_errors(self._root):
                    while view:
                        written = stream.write(view)
                        size += written
                        view = view[written:]
            with translated_os_errors(self._root):
                os.fsync(stream.fileno())
        return size, sha256.hexdigest()


class LocalRepository:
    """Sets in ``{root}/{host}/{instance}/{database}/{date}/{id}``; see docs/format.md."""

    def __init__(self, root: str) -> None:
        self.root = Path(root)

    def prepare(self) -> None:
        """Makes the folders that a backup needs and clears away what dead runs left behind.

        Raises RepositoryError also where the file system that should be there is not: the backups of a disk that is
        away would fill the one below it.
        """
        with translated_os_errors(self.root):
            self._require_mount()
            make_private(self._staging_root)
        self.remove_leftovers()

    def require(self) -> None:
        """Raises RepositoryError unless the repository is a folder that can be listed, and all of it is mounted."""
        with translated_os_errors(self.root):
            self._require_mount()
            os.scandir(self.root).close()

    def _require_mount(self) -> None:
        place = missing_mount(self.root)
        if place is not None:
            raise RepositoryError(
                f"The repository {self.root} is not there: {FSTAB} says that a file system is mounted on {place}, and "
                "none is. Mount it, then run again."
            )

    def require_populated(self) -> None:
        """Raises RepositoryEmptyError where no set at all is in the repository, whoever's.

        For whoever must not take "nothing there" for "nothing to do": where a file system is not mounted, an empty
        folder is what stands in its place, and nothing inside it could say so.
        """
        self.require()
        with translated_os_errors(self.root):
            if not any(folder.joinpath(layout.MANIFEST).is_file() for folder in _walk_sets(self.root, ANY_SET)):
                raise RepositoryEmptyError(
                    f"The repository {self.root} holds no backup at all. If it is on a file system of its own, mount "
                    "that; if nothing was ever backed up to it, take a first backup."
                )

    @property
    def is_read_only(self) -> bool:
        """Whether its file system is mounted so that nobody writes to it."""
        with translated_os_errors(self.root):
            return bool(os.statvfs(self.root).f_flag & os.ST_RDONLY)

    @property
    def _staging_root(self) -> Path:
        return self.root / layout.STAGING

    def free_bytes(self) -> int:
        """Room for data, as far as this account may use it, on the file system that holds the repository."""
        folder = self.root
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        with translated_os_errors(self.root):
            return shutil.disk_usage(folder).free

    def place_of(self, manifest: Manifest) -> Path:
        """The folder that a set belongs into."""
        date = manifest.moment.strftime(layout.DATE_FORMAT)
        subject = self.subject_folder(manifest.host, manifest.instance, manifest.kind, manifest.database)
        return subject / date / manifest.id

    def subject_folder(self, host: str, instance: str, kind: str, database: str) -> Path:
        return (
            self.root
            / layout.encode_element(host)
            / layout.encode_element(instance)
            / layout.subject_element(kind, database)
        )

    @contextmanager
    def lock(self, host: str, instance: str, kind: str, database: str, purpose: str) -> Iterator[None]:
        """One run at a time on a database; LockedError says who is at it and since when."""
        folder = self.subject_folder(host, instance, kind, database)
        with ExitStack() as held:
            with translated_os_errors(self.root):
                make_private(folder)
                subject = f"Database {database} of instance {instance}"
                held.enter_context(exclusive(folder / layout.LOCK, subject, purpose))
            yield

    def remove_leftovers(self) -> list[str]:
        """Removes the staging folders whose makers are dead (their lock is free); returns their names."""
        removed = []
        with translated_os_errors(self.root):
            for name in sorted({path.stem for path in self._staging_root.iterdir()}):
                descriptor = try_lock(self._staging_lock(name))
                if descriptor is not None:
                    self._remove_staging(name, descriptor)
                    removed.append(name)
        return removed

    def _staging_lock(self, name: str) -> Path:
        return self._staging_root / f"{name}.lock"

    def _remove_staging(self, name: str, descriptor: int) -> None:
        """Removes a staging folder and, once it is gone, its lock; what resists is left to the next run."""
        folder = self._staging_root / name
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            with suppress(OSError):
                self._staging_lock(name).unlink()
        os.close(descriptor)

    @contextmanager
    def staging(self) -> Iterator[Staging]:
        """A folder to build a set in; it is gone afterwards unless it was published."""
        descriptor = None
        while descriptor is None:  # whoever clears away leftovers may have it for a moment
            name = secrets.token_hex(8)
            with translated_os_errors(self.root):
                descriptor = try_lock(self._staging_lock(name))
        folder = self._staging_root / name
        try:
            with translated_os_errors(self.root):
                make_private(folder / layout.PARTS)
            yield Staging(folder, self.root)
        finally:
            self._remove_staging(name, descriptor)

    def publish(self, staging: Staging, manifest: Manifest) -> BackupSet:
        """Writes the checksums and, last, the manifest; brings all to the disk; makes the set appear by one rename."""
        target = self.place_of(manifest)
        folder = target.parent
        with translated_os_errors(self.root):
            write_whole(staging.folder / layout.CHECKSUMS, checksums_text(manifest))
            write_whole(staging.folder / layout.MANIFEST, manifest_text(manifest.to_json()))
            sync_folder(staging.folder / layout.PARTS)
            sync_folder(staging.folder)
            make_private(folder)
            if target.exists():
                raise RepositoryError(f"{target} exists already; a set is never replaced. Run again.")
            staging.folder.rename(target)
            for changed in (folder, *folder.parents):
                sync_folder(changed)
                if changed == self.root:
                    break
        return self.read_set(target)

    def rewrap(self, backup: BackupSet, keys: list[dict[str, str]]) -> None:
        """Replaces the wrapped data keys in a set's manifest, all at once; its seal does not cover them.

        The caller holds the lock of the set's records.

        The rest of the file stays as it is, fields of later versions included. Parts are not touched.
        """
        path = backup.path / layout.MANIFEST
        with translated_os_errors(self.root):
            value = json.loads(path.read_text(encoding="utf-8"))
            value["encryption"]["keys"] = keys
            replace_whole(path, manifest_text(value))

    def read_set(self, path: Path) -> BackupSet:
        """The set in a folder; ManifestInvalidError where it has no readable manifest."""
        manifest, digest = read_manifest(path / layout.MANIFEST)
        return BackupSet(path, manifest, digest)

    def set_folders(
        self,
        host: str | None,
        instance: str | None,
        kind: str | None,
        database: str | None,
        date: str | None = None,
    ) -> list[Path]:
        """The folders that look like sets, limited to a host, an instance, a database and a date where given."""
        subject = None
        if kind == "users" or database is not None:
            subject = layout.subject_element(kind or "database", database or "")
        names = [layout.encode_element(name) if name else None for name in (host, instance)]
        folders = _walk_sets(self.root, [*names, subject, date, None])
        return sorted(folder for folder in folders if layout.DATE.fullmatch(folder.parent.name))

    def sets(
        self,
        host: str | None,
        instance: str | None,
        kind: str | None,
        database: str | None,
        date: str | None = None,
    ) -> Iterator[BackupSet | tuple[Path, BackupdbError]]:
        """Every set below a selection; where a manifest can't be read, its folder and the error instead."""
        for path in self.set_folders(host, instance, kind, database, date):
            try:
                yield self.read_set(path)
            except BackupdbError as error:
                if path.is_dir():  # else it was removed meanwhile
                    yield path, error

    def read_chunks(self, backup: BackupSet, part: PartRecord) -> Iterator[bytes]:
        """The stored bytes of a part in chunks."""
        with backup.open_part(part) as stream, translated_os_errors(self.root):
            yield from read_chunks(stream)
