# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes sets out of a repository: renamed out of the catalogue first, then removed, so that nobody sees half a set.

What a run that was killed leaves in ``.staging`` is removed by the next run that prepares the repository.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import BackupdbError, LockedError, NotFoundError, RepositoryError
from . import layout
from .local import BackupSet, LocalRepository, set_names, sync_folder, translated_os_errors
from .records import record_path
from .records_lock import records_folder


def why_untouchable(repository: LocalRepository, backup: BackupSet, known: dict[Path, bool]) -> str | None:
    """Why a set can't be removed for where it is, in words: nothing is removed through a link, or on a manifest's word
    that it is another set than its folder says. ``known`` remembers which folders of days are behind links."""
    date = backup.path.parent
    if backup.path != repository.place_of(backup.manifest):
        return "its folder is not the one that its manifest belongs into"
    if date not in known:
        known[date] = date.resolve() != repository.root.resolve() / date.relative_to(repository.root)
    return "its folder is reached through a symbolic link" if known[date] or backup.path.is_symlink() else None


def _lock_of(backup: BackupSet) -> Path:
    """The file of a set that is locked: not the manifest, which a rotation of keys replaces, unless it is all there
    is."""
    checksums = backup.path / layout.CHECKSUMS
    return checksums if checksums.is_file() else backup.path / layout.MANIFEST


@contextmanager
def reading(backup: BackupSet) -> Iterator[None]:
    """While somebody reads a set that must not go meanwhile; NotFoundError where it is gone already."""
    try:
        descriptor = os.open(_lock_of(backup), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NotFoundError(
            f"Backup {backup.manifest.id} is not there any more ({backup.path}: {os.strerror(error.errno or 0)})."
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _unread(backup: BackupSet) -> Iterator[None]:
    """Holds off readers; LockedError where there is one."""
    # For writing: NFS gives exclusive locks to writers only.
    descriptor = os.open(_lock_of(backup), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise LockedError(
            f"Backup {backup.manifest.id} is being read, by a restore or a verification. The next run removes it."
        ) from None
    finally:
        os.close(descriptor)


def remove_sets(
    repository: LocalRepository,
    backups: Iterable[BackupSet],
    removed: Callable[[BackupSet], None],
    failed: Callable[[BackupSet, BackupdbError], None],
) -> None:
    """Removes sets of one subject, whose lock and whose records' lock the caller holds, and their records.

    ``removed`` is told of each when it is out of the catalogue, ``failed`` of each that can't be taken out, which stops
    no other. Raises RepositoryError where what was taken out resists; the next run tries again.
    """
    with translated_os_errors(repository.root), repository.staging() as trash:
        dates = set()
        for backup in backups:
            try:
                with translated_os_errors(repository.root):
                    _take_out(backup, trash.folder)
            except BackupdbError as error:
                failed(backup, error)
                continue
            dates.add(backup.path.parent)
            removed(backup)
        sync_folder(trash.folder)  # a rename is on the disk when either of its folders is
        for date in dates:
            _remove_if_empty(date)
    if trash.folder.exists():
        raise RepositoryError(
            f"Removed backups still take room in {trash.folder}, which cannot be removed. Look who owns what is in it."
        )


def _take_out(backup: BackupSet, trash: Path) -> None:
    with _unread(backup):
        backup.path.rename(trash / backup.path.name)
    record_path(backup.path).unlink(missing_ok=True)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise


def remove_lost_records(subject: Path) -> None:
    """Removes the records of sets that are gone, which a run that was killed left; the caller holds their lock. A later
    set of the same second would have the same name."""
    folder = records_folder(subject / "date" / "set")
    try:
        there = set_names(subject)
    except PermissionError:  # what can't be seen may be there
        return
    for path in folder.glob("*.json"):
        if path.stem not in there:
            with suppress(FileNotFoundError):
                path.unlink()
