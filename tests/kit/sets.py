# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published sets of a database that there never was."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.vya.backupdb.plugins.module_utils.repository import layout
from ansible_collections.vya.backupdb.plugins.module_utils.repository.local import BackupSet, LocalRepository
from ansible_collections.vya.backupdb.plugins.module_utils.repository.manifest import (
    UNSEALED,
    Manifest,
    PartRecord,
    digest,
    format_time,
)

MOMENT = datetime(2026, 11, 23, 2, 0, 0, 123456, tzinfo=UTC)


def manifest(moment: datetime = MOMENT, **changes: Any) -> Manifest:
    database, kind = changes.get("database", "shop"), changes.get("kind", "database")
    values: dict[str, Any] = {
        "id": layout.set_id(kind, database, moment),
        "kind": kind,
        "purpose": "regular",
        "method": "logical",
        "host": "db1",
        "instance": "main",
        "engine": "sqlite",
        "flavour": "sqlite",
        "server_version": "3.40.1",
        "tool": "sqlite3 backup API",
        "tool_version": "3.40.1",
        "database": database,
        "started": format_time(moment),
        "finished": format_time(moment + timedelta(seconds=2)),
        "duration_seconds": 2,
        "snapshot": {},
        "raw_bytes": 4,
        "stored_bytes": 4,
        "tables": 1,
        "rows": 1,
        "views": 0,
        "routines": 0,
        "triggers": 0,
        "events": 0,
        "schema_sha256": "",
        "compression": {"method": "none", "level": 0},
        "encryption": None,
        "parts": (),
        "collection_version": "0.1.0",
        **changes,
    }
    return Manifest(**values)


def publish(repository: LocalRepository, moment: datetime = MOMENT, **changes: Any) -> BackupSet:
    with repository.staging() as staging:
        size, sha256 = staging.write_part("000-data", iter([b"da", b"ta"]))
        record = PartRecord("000-data", "file", size, size, sha256)
        made = manifest(moment, parts=(record,), **changes)
        return repository.publish(staging, replace(made, seal=UNSEALED + digest(made.to_json()).hex()))
