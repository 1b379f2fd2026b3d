# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which databases have which backups, as a table."""

from __future__ import annotations

DOCUMENTATION = r"""
name: status_table
short_description: Show databases and their newest backups as a table
version_added: "0.1.0"
author: The vya.backupdb authors (@vya)
description:
  - Puts what M(vya.backupdb.instance_info) and M(vya.backupdb.backup_info) return side by side, one line a database.
  - Shows databases without a backup, backups of databases that are gone, and instances that do not answer.
positional: _input
options:
  _input:
    description: The instances, as RV(vya.backupdb.instance_info#module:instances) has them.
    type: list
    elements: dict
    required: true
  backups:
    description: The backups, as RV(vya.backupdb.backup_info#module:backups) has them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the newest backup of every database
  ansible.builtin.debug:
    msg: "{{ live.instances | vya.backupdb.status_table(backups=stored.backups) }}"
"""

RETURN = r"""
_value:
  description: The lines of the table.
  type: list
  elements: str
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ansible_collections.vya.backupdb.plugins.module_utils.operations.words import duration_words, size_words
from ansible_collections.vya.backupdb.plugins.module_utils.repository.manifest import REGULAR, parse_time
from ansible_collections.vya.backupdb.plugins.plugin_utils.tables import lines

HEADER = ("INSTANCE", "DATABASE", "NEWEST BACKUP", "AGE", "SIZE", "ROWS", "BACKUPS", "NOTE")


def status_table(instances: Sequence[Mapping[str, Any]], backups: Sequence[Mapping[str, Any]]) -> list[str]:
    now = datetime.now(UTC)
    by_database: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for backup in backups:
        if backup["kind"] == "database" and backup["purpose"] == REGULAR:
            by_database.setdefault((backup["instance"], backup["database"]), []).append(backup)
    live: dict[tuple[str, str], str] = {}
    for instance in instances:
        if not instance["reachable"]:
            live[instance["id"], ""] = f"{instance['code']}: {instance['error']}"
        for database in instance["databases"]:
            live[instance["id"], database["name"]] = "excluded" if database["excluded"] else ""
    unreachable = {instance["id"] for instance in instances if not instance["reachable"]}
    rows = []
    for key in sorted(live.keys() | by_database.keys()):
        stored = sorted(by_database.get(key, []), key=lambda backup: str(backup["started"]), reverse=True)
        note = live.get(key, "" if key[0] in unreachable else "no longer on the server")
        if not stored:
            rows.append((*key, "" if note else "NONE", "", "", "", "", note))
            continue
        newest = stored[0]
        age = duration_words(now - parse_time(newest["started"]))
        rows.append(
            (*key, newest["id"], age, size_words(newest["stored_bytes"]), str(newest["rows"]), str(len(stored)), note)
        )
    return lines(HEADER, rows)


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"status_table": status_table}
