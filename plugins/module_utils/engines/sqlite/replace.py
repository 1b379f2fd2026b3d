# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting a SQLite file in place of another: whole or not at all, with nobody writing to the old one meanwhile."""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from ...config import Instance
from ...errors import DatabaseBusyError, DatabaseCorruptError
from ..connect import run_quoted
from .connect import opened, translated
from .files import HEADER, attributes, beside, companions, leftovers, read_header

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


def _remove_leftovers(target: Path) -> None:
    """Removes what killed restores of this target left; a restore that still runs holds a lock on its file."""
    for path in leftovers(target):
        with suppress(OSError), path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


@contextmanager
def _parents(folder: Path) -> Iterator[None]:
    """Makes the folders that are missing; a failure takes them away again."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        for parent in reversed(missing):
            parent.mkdir(PRIVATE_FOLDER, exist_ok=True)
        yield
    except BaseException:
        for parent in missing:
            with suppress(OSError):
                parent.rmdir()
        raise


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """An empty private file on the target's file system; it goes with the context unless it was published."""
    with _parents(target.parent), ExitStack() as stack:
        _remove_leftovers(target)
        path = beside(target)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
        stack.callback(os.close, descriptor)
        for file in (path, *companions(path)):
            stack.callback(file.unlink, missing_ok=True)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield path


def _has_open(pid: str, file: os.stat_result) -> bool:
    with os.scandir(f"/proc/{pid}/fd") as descriptors:
        for descriptor in descriptors:
            with suppress(OSError):
                if os.path.samestat(descriptor.stat(), file):
                    return True
    return False


def holders(path: Path) -> list[str]:
    """The other processes that have a file open, as far as this user may see: "name (pid)"."""
    status = path.stat()
    found: dict[str, str] = {}
    for pid in filter(str.isdigit, (path.name for path in Path("/proc").iterdir())):
        with suppress(OSError):  # it has ended, or is another account's
            if pid != str(os.getpid()) and _has_open(pid, status):
                found[pid] = Path("/proc", pid, "comm").read_text().strip()
    return [f"{name} ({pid})" for pid, name in found.items()]


def refuse_in_use(instance: Instance, name: str, target: Path) -> None:
    """Raises DatabaseBusyError where others have the old file open: they would go on with a file without a name."""
    if target.exists() and (others := holders(target)):
        raise DatabaseBusyError(
            f"Database {name} of instance {instance.id} is in use by {', '.join(others)}. "
            "Stop the application, then restore again."
        )


@contextmanager
def _locked(instance: Instance, name: str, target: Path) -> Iterator[None]:
    """Folds the old database's log into it and keeps everybody else out.

    Raises DatabaseCorruptError, DatabaseBusyError.
    """
    with translated(instance, name), opened(target, mode="rw") as connection:
        mode = run_quoted(connection, "PRAGMA journal_mode").scalar_one()
        run_quoted(connection, "PRAGMA journal_mode = DELETE").scalar_one()
        run_quoted(connection, "BEGIN EXCLUSIVE")
        try:
            yield
        except BaseException:
            run_quoted(connection, "ROLLBACK")
            if mode == "wal":
                run_quoted(connection, "PRAGMA journal_mode = WAL")
            raise
        run_quoted(connection, "ROLLBACK")


@contextmanager
def _companions_aside(target: Path) -> Iterator[None]:
    """Journals that nobody needs any more would be replayed into the new file; they go with success, else come back."""
    aside = {file: beside(file) for file in companions(target) if file.exists()}
    with ExitStack() as back:
        for file, away in aside.items():
            file.rename(away)
            back.callback(away.rename, file)
        yield
        back.pop_all()
    for away in aside.values():
        away.unlink()


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(instance: Instance, name: str, path: Path, target: Path) -> None:
    """Gives a finished file the target's name. On failure the old file and its journals are as they were."""
    with ExitStack() as stack:
        if target.exists():
            refuse_in_use(instance, name, target)
            if read_header(target).startswith(HEADER):  # else SQLite would tidy away the journals of a damaged file
                with suppress(DatabaseCorruptError):  # nothing in it to fold, nobody can use it
                    stack.enter_context(_locked(instance, name, target))
        stack.enter_context(_companions_aside(target))
        path.replace(target)
        sync_folder(target.parent)


def _id_of(owner: str, group: str) -> tuple[int, int]:
    user = int(owner) if owner.isdigit() else pwd.getpwnam(owner).pw_uid
    return user, int(group) if group.isdigit() else grp.getgrnam(group).gr_gid


def _copy_extended(old: Path, path: Path) -> None:
    """Access lists and security labels, where the file system has them."""
    with suppress(OSError):
        for attribute in os.listxattr(old):
            with suppress(OSError):
                os.setxattr(path, attribute, os.getxattr(old, attribute))


def _wanted_dress(target: Path, notes: dict[str, Any]) -> tuple[int, str, str]:
    """Mode, owner and group that a new file should have."""
    found = attributes(target) if target.exists() else notes
    own = {"mode": f"{PRIVATE_FILE:o}", "owner": str(os.geteuid()), "group": str(os.getegid()), **found}
    return int(str(own["mode"]), 8) & 0o777, str(own["owner"]), str(own["group"])


def dress(path: Path, target: Path, notes: dict[str, Any]) -> list[str]:
    """Gives a new file mode and owner of the file that it replaces or, where there is none, of the one backed up.

    Returns a warning where this user may not, or where the host does not know the owner.
    """
    mode, owner, group = _wanted_dress(target, notes)
    if target.exists():
        _copy_extended(target, path)
    try:
        os.chown(path, *_id_of(owner, group))
    except (KeyError, OSError):
        path.chmod(PRIVATE_FILE)
        return [f"{target} could not be given its owner {owner}:{group}; it belongs to uid {os.geteuid()}, mode 0600."]
    path.chmod(mode)
    return []
