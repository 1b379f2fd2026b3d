# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status of a host as metrics for Prometheus, in the text format that node exporter's textfile collector reads.

The format: https://prometheus.io/docs/instrumenting/exposition_formats/. Times are absolute, so that an age that is
computed from them stays right however old the file is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from ..repository.manifest import parse_time
from .status import EXCLUDED, GONE, OK, bad_jobs

PREFIX = "vya_backupdb_"
Value = tuple[Mapping[str, str], "float | None"]

HELP = {
    "up": "Whether the instance answers and its backup program is there.",
    "healthy": "Whether the newest good backup is there and within the objective.",
    "last_success_timestamp_seconds": "When the newest good backup started.",
    "rpo_seconds": "How old the newest good backup may be.",
    "backup_size_bytes": "Stored size of the newest good backup.",
    "backup_duration_seconds": "How long the newest good backup took.",
    "backups": "Number of backups.",
    "backups_on_hold": "Number of backups on hold.",
    "backups_damaged": "Number of backups that are known to be damaged.",
    "backups_stored_bytes": "Stored size of all backups.",
    "last_verified_timestamp_seconds": "When a backup was last verified.",
    "last_verification_ok": "Whether that verification found it good.",
    "job_ok": "Whether the last scheduled run of the job was good, and none was missed.",
    "job_last_success_timestamp_seconds": "When the last good scheduled run of the job ended.",
    "repository_up": "Whether the repository can be read.",
    "repository_free_bytes": "Room on the file system of the repository.",
    "repository_size_bytes": "Size of the file system of the repository.",
    "repository_stored_bytes": "Stored size of all backups of this host.",
    "collected_timestamp_seconds": "When these metrics were collected.",
}
"""Every metric; all are gauges."""


def metrics_text(status: Mapping[str, Any]) -> str:
    """The metrics of a status, as read_status returns it. Databases that are not to be backed up have none."""
    found: dict[str, list[Value]] = {name: [] for name in HELP}
    for instance in status["instances"]:
        if instance["enabled"]:
            labels = {"db_instance": instance["id"], "engine": instance["engine"]}
            found["up"].append((labels, float(instance["error"] is None)))
    for entry in status["databases"]:
        if entry["state"] in (EXCLUDED, GONE):
            continue
        labels = {"db_instance": entry["instance"], "database": entry["database"], "kind": entry["kind"]}
        for name, value in _of_database(entry):
            found[name].append((labels, value))
    for entry in status["jobs"]:
        labels = {"scheduled_job": entry["job"]}
        found["job_ok"].append((labels, float(not bad_jobs([entry]))))
        succeeded = entry["succeeded"] and datetime.fromisoformat(entry["succeeded"]).timestamp()
        found["job_last_success_timestamp_seconds"].append((labels, succeeded))
    for name, value in _of_repository(status["repository"]):
        found[name].append(({"repository": status["repository"]["path"]}, value))
    found["collected_timestamp_seconds"].append(({}, _seconds(status["collected"])))
    return "".join(line for name, values in found.items() for line in _lines(name, values))


def _of_database(entry: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    newest, verified = entry["newest"], entry["verified"]
    yield "healthy", float(entry["state"] == OK)
    yield "rpo_seconds", entry["rpo_seconds"]
    yield "last_success_timestamp_seconds", _seconds(newest["started"]) if newest else None
    yield "backup_size_bytes", newest["stored_bytes"] if newest else None
    yield "backup_duration_seconds", newest["duration_seconds"] if newest else None
    yield "backups", entry["sets"]
    yield "backups_on_hold", len(entry["holds"])
    yield "backups_damaged", len(entry["damaged"])
    yield "backups_stored_bytes", entry["stored_bytes"]
    yield "last_verified_timestamp_seconds", _seconds(verified["finished"]) if verified else None
    yield "last_verification_ok", float(verified["ok"]) if verified else None


def _of_repository(repository: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    yield "repository_up", float(repository["error"] is None)
    yield "repository_free_bytes", repository["free_bytes"]
    yield "repository_size_bytes", repository["total_bytes"]
    yield "repository_stored_bytes", None if repository["error"] else repository["stored_bytes"]


def _seconds(moment: str) -> float:
    return round(parse_time(moment).timestamp(), 3)


def _lines(name: str, values: Iterable[Value]) -> Iterator[str]:
    known = [(labels, value) for labels, value in values if value is not None]
    if not known:
        return
    yield f"# HELP {PREFIX}{name} {HELP[name]}\n# TYPE {PREFIX}{name} gauge\n"
    for labels, value in known:
        text = ",".join(f'{label}="{_escaped(content)}"' for label, content in labels.items())
        yield f"{PREFIX}{name}{'{' + text + '}' if text else ''} {value:.16g}\n"


def _escaped(content: str) -> str:
    # File names need not be UTF-8, and the format has to be.
    shown = content.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return shown.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
