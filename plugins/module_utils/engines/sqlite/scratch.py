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


@contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Holds the lock of a folder, as long as it is nobody else's."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def remove_leftovers(base: Path) -> None:
    """Removes the scratch folders of killed runs; whose lock is held, is in use."""
    for folder in base.glob(f"{SCRATCH_PREFIX}*/"):
        with suppress(OSError):
            if folder.lstat().st_uid == os.geteuid():
                with _claimed(folder) as ours:
                    if ours:
                        shutil.rmtree(folder)


@contextmanager
def scratch(base: Path) -> Iterator[str]:
    """The name, relative to the base folder, of a database in a private folder that goes at the end."""
    remove_leftovers(base)
    folder = base / f"{SCRATCH_PREFIX}{secrets.token_hex(6)}"
    folder.mkdir(PRIVATE_FOLDER)
    with _claimed(folder):
        try:
            yield f"{folder.name}/{_NAME}"
        finally:
            shutil.rmtree(folder)
