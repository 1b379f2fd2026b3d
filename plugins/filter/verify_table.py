# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module verify found, as a table."""

from __future__ import annotations

DOCUMENTATION = r"""
name: verify_table
short_description: Show what verifications found as a table
version_added: "0.1.0"
author: The vya.backupdb authors (@vya)
description:
  - Turns results of M(vya.backupdb.verify) into lines of text. What was found whole has one line a database, what was
    not has one line a backup, and so has what belongs to no backup.
positional: _input
options:
  _input:
    description: The results, as a loop registers them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Verify the newest backup of every database
  vya.backupdb.verify:
    backup: latest
  register: run
  failed_when: false

- name: Show what was found
  ansible.builtin.debug:
    msg: "{{ [run] | vya.backupdb.verify_table }}"
"""

RETURN = r"""
_value:
  description: The lines of the table.
  type: list
  elements: str
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.vya.backupdb.plugins.module_utils.operations.words import size_words
from ansible_collections.vya.backupdb.plugins.plugin_utils.tables import lines

HEADER = ("INSTANCE", "DATABASE", "RESULT", "BACKUPS", "SIZE", "TIME", "NOTE")
USERS = "(users)"
"""Stands for a database in the lines of the users of an instance."""


def _subject(entry: Mapping[str, Any]) -> tuple[str, str]:
    return entry["instance"] or "", USERS if entry["kind"] == "users" else entry["database"] or ""


def _grouped(entries: Iterable[Mapping[str, Any]]) -> Iterator[tuple[tuple[str, str], list[Mapping[str, Any]]]]:
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for entry in entries:
        groups.setdefault(_subject(entry), []).append(entry)
    yield from sorted(groups.items())


def _rows(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    if "verified" not in result:
        problem = f"{result.get('code', 'error')}: {result.get('msg', '')}"
        yield str(result.get("item", "")), "", "FAILED", "", "", "", problem
        return
    for subject, entries in _grouped(result["verified"]):
        size = size_words(sum(entry["stored_bytes"] for entry in entries))
        time = f"{sum(entry['duration_seconds'] for entry in entries):.1f} s"
        unchecked = sum(not entry["seal_checked"] for entry in entries)
        note = f"{entries[0]['level']}; {unchecked} without their key" if unchecked else entries[0]["level"]
        yield *subject, "verified", str(len(entries)), size, time, note
        for warning in dict.fromkeys(warning for entry in entries for warning in entry["warnings"]):
            yield *subject, "warning", "", "", "", warning
    if not result["verified"] and not result["failures"]:
        for subject, entries in _grouped(result["planned"]):
            size = size_words(sum(entry["stored_bytes"] for entry in entries))
            yield *subject, "due", str(len(entries)), size, "", entries[0]["reason"]
    for subject, entries in _grouped(result["not_due"]):
        yield *subject, "not due", str(len(entries)), "", "", entries[0]["reason"]
    for entry in result["failures"]:
        yield *_subject(entry), "FAILED", "1", "", "", f"{entry['id']}: {entry['code']}: {entry['error']}"
    for entry in result["strays"]:
        yield "", "", "stray", "", "", "", f"{entry['path']}: {entry['reason']}"


def verify_table(results: Sequence[Mapping[str, Any]]) -> list[str]:
    return lines(HEADER, dict.fromkeys(row for result in results for row in _rows(result)))


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"verify_table": verify_table}
