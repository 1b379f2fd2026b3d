# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with secrets: JSON that only its owner can read, written whole or not at all, by one process at a time."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import InvalidConfigError, NotFoundError, PermissionDeniedError

FOLDER_MODE = 0o700


def read_private_json(path: str, what: str) -> Any:
    """The JSON of a file with secrets; ``what`` names it in messages ("keyring").

    Raises NotFoundError where there is none, PermissionDeniedError where others may read it, where it belongs to
    somebody else than root or this account, or where it can't be read, InvalidConfigError where it is no JSON.
    """
    try:
        status = Path(path).stat()
        mode = stat.S_IMODE(status.st_mode)
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise PermissionDeniedError(
                f"The {what} {path} is open to others (mode {mode:04o}). Run: chmod 0600 {path}"
            )
        if status.st_uid not in (0, os.geteuid()):
            raise PermissionDeniedError(
                f"The {what} {path} belongs to another account (uid {status.st_uid}). Run: chown {os.geteuid()} {path}"
            )
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFoundError(f"There is no {what} {path}.") from None
    except OSError as error:
        raise PermissionDeniedError(f"The {what} {path} cannot be read: {os.strerror(error.errno or 0)}.") from None
    except (ValueError, RecursionError):
        raise InvalidConfigError(f"The {what} {path} is damaged: it is not valid JSON.") from None


def write_private_json(path: str, content: Any, what: str) -> None:
    """Writes a file with secrets, mode 0600, whole or not at all. Raises PermissionDeniedError where it can't."""
    target = Path(path)
    try:
        target.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        _replace(target, json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise PermissionDeniedError(f"The {what} {path} cannot be written: {os.strerror(error.errno or 0)}.") from None


def _replace(target: Path, text: str) -> None:
    temporary = target.with_name(f".{target.name}.new")
    temporary.unlink(missing_ok=True)  # a run that was killed may have left it; who writes holds the lock
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def held(path: str, exclusive: bool) -> Iterator[None]:
    """Waits for the lock of a file with secrets and holds it: shared by those who rely on what it says, exclusive for
    who changes it. The lock is on its folder (flock(2)), since the file itself is replaced; where there is no folder,
    there is nothing to rely on."""
    folder = Path(path).parent
    if not exclusive and not folder.exists():
        yield
        return
    try:
        if exclusive:
            folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise PermissionDeniedError(f"The folder {folder} cannot be used: {os.strerror(error.errno or 0)}.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)
