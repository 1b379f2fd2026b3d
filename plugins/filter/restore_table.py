# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module restore did, as a table."""

from __future__ import annotations

DOCUMENTATION = r"""
name: restore_table
short_description: Show what restores did as a table
version_added: "0.1.0"
author: The vya.backupdb authors (@vya)
description:
  - Turns results of M(vya.backupdb.restore) into lines of text.
positional: _input
options:
  _input:
    description: The results of M(vya.backupdb.restore).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Restore
  vya.backupdb.restore:
    instance: prod-mysql-01
    database: shop
    target_database: shop_copy
  register: restored

- name: Show what was done
  ansible.builtin.debug:
    msg: "{{ [restored] | vya.backupdb.restore_table }}"
"""

RETURN = r"""
_value:
  description: The lines of the table.
  type: list
  elements: str
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.vya.backupdb.plugins.plugin_utils.tables import lines

HEADER = ("INSTANCE", "DATABASE", "RESULT", "TABLES", "ROWS", "TIME", "FROM BACKUP")


def _rows(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    if "backup" not in result:
        yield "", "", "FAILED", "", "", "", f"{result.get('code', 'error')}: {result.get('msg', '')}"
        return
    restored, backup = result["restored"], result["backup"]
    target = restored["instance"], restored["database"]
    done = "duration_seconds" in restored
    yield (
        *target,
        "restored" if done else "to do",
        str(restored["tables"]),
        f"{restored['rows']}{', as backed up' if done else ''}",
        f"{restored['duration_seconds']:.1f} s" if done else "",
        f"{backup['id']} of {backup['host']}/{backup['instance']}/{backup['database']}",
    )
    if restored.get("safety_backup"):
        yield *target, "replaced", "", "", "", f"the database as it was is in {restored['safety_backup']}"
    for warning in restored["warnings"]:
        yield *target, "warning", "", "", "", warning


def restore_table(results: Sequence[Mapping[str, Any]]) -> list[str]:
    return lines(HEADER, [row for result in results for row in _rows(result)])


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"restore_table": restore_table}
