# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring a whole SQLite database: a new file beside the old one, proven, then given its name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import BinaryIO

from ...config import Instance
from ...errors import ManifestInvalidError
from ...streams import CHUNK_BYTES
from ..base import Restored, RestoreRequest, Source, StoredPart, compare_rows
from .connect import opened, translated
from .inspect import check_integrity, count_tables, objects
from .replace import dress, new_file, publish, refuse_in_use
from .snapshot import KIND


def database_part(source: Source) -> StoredPart:
    """The one part that a SQLite backup has."""
    for part in source.parts:
        if part.kind == KIND:
            return part
    raise ManifestInvalidError(f"The backup of database {source.database} holds no database file. Choose another one.")


def write_part(source: Source, part: StoredPart, stream: BinaryIO) -> None:
    """Writes a part to a file and waits until it is on the disk."""
    with source.open(part) as incoming:
        shutil.copyfileobj(incoming, stream, CHUNK_BYTES)
    stream.flush()
    os.fsync(stream.fileno())


def restore_whole(instance: Instance, request: RestoreRequest, path: Path) -> Restored:
    """Puts the backup in the place of the target, or leaves everything as it was.

    Raises DatabaseBusyError where somebody uses the old file, and DatabaseCorruptError, RowCountMismatchError,
    NoSpaceError, PermissionDeniedError.
    """
    name, notes = request.database, request.source.inventory.notes
    with translated(instance, name):
        refuse_in_use(instance, name, path)
        with new_file(path) as beside:
            with beside.open("r+b") as stream:
                write_part(request.source, database_part(request.source), stream)
            with opened(beside, immutable=1) as connection:
                found = objects(connection)
                warnings = check_integrity(connection, found, f"The restored copy of database {name}")
                counted = count_tables(connection, found)
            expected = [table for table in request.source.inventory.tables if table.label not in counted.uncounted]
            compare_rows(expected, counted.tables, name)
            warnings += [*counted.uncounted.values(), *dress(beside, path, notes)]
            publish(instance, name, beside, path)
    recorded = request.source.inventory.warnings
    return Restored(counted.tables, [warning for warning in warnings if warning not in recorded])
