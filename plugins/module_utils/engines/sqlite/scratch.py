# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scratch databases of SQLite: a private folder that is locked while it is in use, and goes with all that is in it."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..base import SCRATCH_PREFIX

PRIVATE_FOLDER = 0o700
_NAME = "copy.db"


def _claim(folder: Path) -> int | None:
    """Locks a folder; None where it is somebody else's, or not there any more."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), folder.lstat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def remove_leftovers(base: Path) -> None:
    """Removes the scratch folders of killed runs; whose lock is held, is in use."""
    for folder in base.glob(f"{SCRATCH_PREFIX}*/"):
        with suppress(OSError):
            if folder.lstat().st_uid == os.geteuid() and (descriptor := _claim(folder)) is not None:
                try:
                    shutil.rmtree(folder)
                finally:
                    os.close(descriptor)


def _made(base: Path) -> tuple[Path, int]:
    """A new folder, locked. Another run may take one for a leftover before it is locked."""
    while True:
        folder = base / f"{SCRATCH_PREFIX}{secrets.token_hex(6)}"
        folder.mkdir(PRIVATE_FOLDER)
        if (descriptor := _claim(folder)) is not None:
            return folder, descriptor


@contextmanager
def scratch(base: Path) -> Iterator[str]:
    """The name, relative to the base folder, of a database in a private folder that goes at the end."""
    remove_leftovers(base)
    folder, descriptor = _made(base)
    try:
        yield f"{folder.name}/{_NAME}"
    finally:
        shutil.rmtree(folder)
        os.close(descriptor)
