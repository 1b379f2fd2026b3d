# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is there: instances that answer, and backup sets of a repository."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing
from typing import Any

from ..config import Instance, select_names
from ..engines.registry import open_engine
from ..errors import BackupdbError
from ..repository.catalog import Selection, find
from ..repository.local import LocalRepository


def describe_instance(instance: Instance) -> dict[str, Any]:
    """Connects to an instance; an instance that can't be reached is described by its error, not raised."""
    entry: dict[str, Any] = {
        "id": instance.id,
        "engine": instance.engine,
        "address": instance.address,
        "reachable": False,
        "latency_ms": None,
        "flavour": None,
        "server_version": None,
        "databases": [],
        "error": None,
        "code": None,
    }
    with closing(open_engine(instance)) as engine:
        try:
            started = time.monotonic()
            server = engine.server()
            entry["latency_ms"] = round((time.monotonic() - started) * 1000, 1)
            entry.update(reachable=True, flavour=server.flavour, server_version=server.version)
            databases = engine.databases()
            chosen = select_names((item.name for item in databases), instance.databases, instance.exclude).names
            entry["databases"] = [
                {
                    "name": item.name,
                    "size_bytes": item.size_bytes,
                    "tables": item.tables,
                    "excluded": item.name not in chosen,
                }
                for item in databases
            ]
        except BackupdbError as error:
            entry.update(error=error.message, code=error.code)
    return entry


def describe_instances(instances: Iterable[Instance]) -> list[dict[str, Any]]:
    return [describe_instance(instance) for instance in instances]


def list_backups(repository: LocalRepository, selection: Selection, limit: int | None) -> dict[str, Any]:
    """The sets of a selection, newest first, and the folders there that can't be read as sets."""
    found = find(repository, selection)
    return {
        "backups": [{**backup.manifest.summary(), "path": str(backup.path)} for backup in found.backups[:limit]],
        "broken": [{"path": str(path), "error": error.message, "code": error.code} for path, error in found.broken],
    }
