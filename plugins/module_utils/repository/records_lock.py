# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of the sets of a database, for whoever changes a record or a manifest, or takes sets away."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import LockedError
from . import layout
from .local import LocalRepository, make_private, translated_os_errors
from .lock import try_lock

_PATIENCE_SECONDS = 10.0


def records_folder(set_path: Path) -> Path:
    return set_path.parent.parent / layout.RECORDS


@contextmanager
def locked_records(repository: LocalRepository, folder: Path) -> Iterator[None]:
    """Holds the lock of a folder of records, made if missing. Its holders keep it for milliseconds; LockedError where
    one of them does not."""
    with translated_os_errors(repository.root):
        make_private(folder)
        descriptor = _patient_lock(folder)
    try:
        yield
    finally:
        os.close(descriptor)


def _patient_lock(folder: Path) -> int:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (descriptor := try_lock(folder / layout.LOCK)) is None:
        if time.monotonic() > deadline:
            raise LockedError(
                f"The records in {folder} stay locked by another run. Wait for it to end, then run again."
            )
        time.sleep(0.01)
    return descriptor
