# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is there: instances that answer, and backup sets of a repository."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ..config import Instance, select_names
from ..engines.base import Engine
from ..engines.registry import open_engine
from ..errors import RecordInvalidError, as_ours
from ..repository.catalog import Selection, find
from ..repository.local import BackupSet, LocalRepository
from ..repository.records import SetRecord, read_record


def describe_instance(
    instance: Instance, login: Callable[[Instance], Instance] = lambda instance: instance
) -> dict[str, Any]:
    """Connects to an instance; an instance that can't be reached is described by its error, not raised.

    ``login`` gives the instance its user name and password. A dump tool that is missing leaves it reachable.
    """
    entry: dict[str, Any] = {
        "id": instance.id,
        "engine": instance.engine,
        "address": instance.address,
        "reachable": False,
        "latency_ms": None,
        "flavour": None,
        "server_version": None,
        "tool": None,
        "tool_version": None,
        "databases": [],
        "error": None,
        "code": None,
    }
    try:
        with closing(open_engine(login(instance))) as engine:
            started = time.monotonic()
            server = engine.server()
            entry["latency_ms"] = round((time.monotonic() - started) * 1000, 1)
            entry.update(reachable=True, flavour=server.flavour, server_version=server.version)
            entry["databases"] = _describe_databases(engine)
            entry["tool"], entry["tool_version"] = engine.dump_tool(server)
    except Exception as error:  # noqa: BLE001 - one instance's failure never hides the others
        failure = as_ours(error)
        entry.update(error=failure.message, code=failure.code)
    return entry


def _describe_databases(engine: Engine) -> list[dict[str, Any]]:
    databases, instance = engine.databases(), engine.instance
    chosen = select_names((item.name for item in databases), instance.databases, instance.exclude).names
    return [
        {
            "name": item.name,
            "size_bytes": item.size_bytes,
            "tables": item.tables,
            "excluded": item.name not in chosen,
        }
        for item in databases
    ]


def record_facts(backup: BackupSet) -> dict[str, Any]:
    """What is noted about a set, as modules return it: ``hold`` where one is in force, and ``verified``, the last
    verification, each null where there is none.

    A record that can't be read may be one of a hold, so that is what it counts as; its reason says what is wrong.
    """
    try:
        return facts_of(read_record(backup), datetime.now(UTC))
    except RecordInvalidError as error:
        return {"hold": {"reason": error.message, "until": None, "since": None, "requested_by": None}, "verified": None}


def facts_of(record: SetRecord, now: datetime) -> dict[str, Any]:
    """What ``record_facts`` says of a record that was read already."""
    last = record.last_verification
    return {
        "hold": asdict(record.hold) if record.hold is not None and record.held(now) else None,
        "verified": None
        if last is None
        else {
            "level": last.level,
            "finished": last.finished,
            "ok": last.ok,
            "code": last.code,
            "error": last.error,
        },
    }


def list_backups(repository: LocalRepository, selection: Selection, limit: int | None) -> dict[str, Any]:
    """The sets of a selection, newest first, and the folders there that can't be read as sets."""
    found = find(repository, selection)
    return {
        "backups": [
            {**backup.manifest.summary(), "path": str(backup.path), **record_facts(backup)}
            for backup in found.backups[:limit]
        ],
        "broken": [{"path": str(path), "error": error.message, "code": error.code} for path, error in found.broken],
    }
