# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the databases of a SQLite instance are: a file, a folder or a glob; names to paths and back."""

from __future__ import annotations

import grp
import os
import pwd
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from ...config import Instance
from ...errors import ConnectionFailedError, InvalidConfigError, NotFoundError, PermissionDeniedError
from ...mount import FSTAB, missing_mount
from ..base import SCRATCH_PREFIX

HEADER = b"SQLite format 3\0"
"""The first 16 bytes of every database that is not empty (Database File Format, 1.3)."""

SUFFIXES = (".db", ".sqlite", ".sqlite3", ".db3")
"""What names a file a database, whatever it holds: one whose header is destroyed must not vanish without a word. Others
need the header."""

COMPANIONS = ("-wal", "-shm", "-journal")
RESTORING = ".restoring"

_MAGIC = re.compile(r"[*?\[]")
_COMPANION = f"({'|'.join(COMPANIONS)})?"
_LEFTOVER = rf"{_COMPANION}\.[0-9a-f]{{8}}{re.escape(RESTORING)}{_COMPANION}"

_LONGEST_NAME = 255
_LONGEST_STEM = _LONGEST_NAME - len(f".01234567{RESTORING}") - len("-journal")

_turns = threading.Condition()
_taken: set[tuple[int, int]] = set()
"""Device and inode of the files that connections of this process have open."""


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


@contextmanager
def taken(path: Path) -> Iterator[None]:
    """Nobody else in this process opens the file meanwhile, under whatever name; waits until nobody has it open.

    POSIX drops all locks of a process on a file when it closes any descriptor of it (sqlite.org, "How To Corrupt An
    SQLite Database File", 2.2): a copy would go on without its lock while others write.
    """
    identity = _identity(path)
    with _turns:
        _turns.wait_for(lambda: identity not in _taken)
        _taken.add(identity)
    try:
        yield
    finally:
        with _turns:
            _taken.remove(identity)
            _turns.notify_all()


def companions(path: Path) -> list[Path]:
    """The journals that SQLite keeps beside a database file, there or not."""
    return [path.with_name(path.name + suffix) for suffix in COMPANIONS]


def _stem(name: str) -> str:
    """What the names of a file's unfinished restores begin with: its name, cut where more would not fit."""
    raw = os.fsencode(name)
    return name if len(raw) <= _LONGEST_STEM else raw[:_LONGEST_STEM].decode(errors="ignore")


def beside(path: Path) -> Path:
    """A new name for an unfinished restore of a file, in the same folder."""
    return path.with_name(f"{_stem(path.name)}.{secrets.token_hex(4)}{RESTORING}")


def leftovers(target: Path) -> list[Path]:
    """Files that restores of a target left when they were killed."""
    pattern = re.compile(re.escape(_stem(target.name)) + _LEFTOVER)
    return [path for path in target.parent.iterdir() if pattern.fullmatch(path.name)]


def read_header(path: Path) -> bytes:
    """The first 100 bytes of a file. Must not run while a connection of this process has it open (see ``taken``)."""
    with path.open("rb") as stream:
        return stream.read(100)


def attributes(path: Path) -> dict[str, Any]:
    """Mode, owner and group of a file, as an inventory's notes keep them; names where there are any, else numbers."""
    status = path.stat()
    owner, group = str(status.st_uid), str(status.st_gid)
    with suppress(KeyError):
        owner = pwd.getpwuid(status.st_uid).pw_name
    with suppress(KeyError):
        group = grp.getgrgid(status.st_gid).gr_name
    return {"mode": f"{status.st_mode & 0o777:04o}", "owner": owner, "group": group}


def _is_database(path: Path) -> bool:
    if path.suffix in SUFFIXES:
        return True
    with suppress(OSError), _turns:
        return _identity(path) in _taken or read_header(path).startswith(HEADER)
    return False


class Files:
    """The database files of an instance. A name is the path relative to the base folder, with its extension."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._path = Path(instance.path or "")
        self._pattern: str | None = None
        self._file: Path | None = None
        try:
            self._look()
        except PermissionError:
            raise PermissionDeniedError(
                f"The path {self._path} of instance {instance.id} cannot be reached by this user. "
                "Run as a user who may, such as root."
            ) from None

    def _look(self) -> None:
        magic = _MAGIC.search(str(self._path))
        if self._path.is_dir():
            self.base = self._path
        elif magic and not self._path.exists():
            folder = str(self._path)[: magic.start()].rpartition("/")[0]
            self.base, self._pattern = Path(folder or "/"), str(self._path)[len(folder) + 1 :]
        elif self._path.exists() or self._path.suffix in SUFFIXES:
            self._file = self._path
            self.base = self._path.parent
        else:
            self.base = self._path

    def check_base(self) -> None:
        """Raises ConnectionFailedError or PermissionDeniedError where the base folder can't be used."""
        place = missing_mount(self.base)
        if place is not None:
            raise ConnectionFailedError(
                f"The folder {self.base} of instance {self._instance.id} is not there: {FSTAB} says that a file system "
                f"is mounted on {place}, and none is. Mount it, then run again."
            )
        if not self.base.is_dir():
            raise ConnectionFailedError(
                f"The folder {self.base} of instance {self._instance.id} does not exist or cannot be reached. "
                "Correct the instance's path, or create the folder."
            )
        if not os.access(self.base, os.R_OK | os.X_OK, effective_ids=True):
            raise PermissionDeniedError(
                f"The folder {self.base} of instance {self._instance.id} cannot be read by this user. "
                "Run as a user who may, such as root."
            )

    def found(self) -> dict[str, Path]:
        """Every database file by name. Raises ConnectionFailedError, PermissionDeniedError."""
        self.check_base()
        if self._file:
            if not self._file.exists():
                raise ConnectionFailedError(
                    f"The database file {self._file} of instance {self._instance.id} does not exist. "
                    "Correct the instance's path, or restore the file."
                )
            paths = [self._file]
        elif self._pattern:
            paths = [path for path in self.base.glob(self._pattern) if self._counts(path)]
        else:
            paths = [path for path in self.base.iterdir() if self._counts(path) and _is_database(path)]
        return {str(path.relative_to(self.base)): path for path in sorted(paths)}

    @staticmethod
    def _counts(path: Path) -> bool:
        if re.search(_LEFTOVER + r"\Z", path.name) or path.parent.name.startswith(SCRATCH_PREFIX):
            return False
        with suppress(PermissionError):
            if not path.is_file():
                return False
        return not path.name.endswith(COMPANIONS) or _is_database(path)

    def _named(self, database: str) -> Path:
        pure = PurePosixPath(database)
        if not pure.name or pure.is_absolute() or ".." in pure.parts or "\0" in database or str(pure) != database:
            raise InvalidConfigError(
                f"{database!r} is no name for a database of instance {self._instance.id}: "
                f"it must be a path below {self.base}, without '..'."
            )
        self._take_for_lost_file(database)
        return self.base / pure

    def _take_for_lost_file(self, database: str) -> None:
        """A path that is not there, and has no suffix that tells, was a file if what is asked for is named like it."""
        if database == self._path.name and not self._pattern and not self._path.exists() and self._path.parent.is_dir():
            self._file, self.base = self._path, self._path.parent

    def source(self, database: str) -> Path:
        """The real path of an existing database. Raises NotFoundError, InvalidConfigError."""
        path = self._named(database)
        if not path.is_file():
            from difflib import get_close_matches

            near = get_close_matches(database, self.found(), 3, 0.5)
            hint = f" Did you mean {', '.join(near)}?" if near else ""
            raise NotFoundError(f"Instance {self._instance.id} at {self.base} has no database '{database}'.{hint}")
        return path.resolve()

    def target(self, database: str) -> Path:
        """The real path that a restore writes to, there or not.

        Raises InvalidConfigError for a name that leads outside the base folder, also through a symbolic link.
        """
        if database.endswith((*COMPANIONS, RESTORING)):
            raise InvalidConfigError(
                f"{database!r} is no name for a database of instance {self._instance.id}: "
                f"{', '.join((*COMPANIONS, RESTORING))} end the names of journals and unfinished restores."
            )
        path = self._named(database).resolve()
        if not path.is_relative_to(self.base.resolve()):
            raise InvalidConfigError(
                f"{database!r} of instance {self._instance.id} leads out of {self.base}, to {path}. "
                "Restore into an instance whose path is that folder."
            )
        return path
