# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module retention did on hosts, as a table."""

from __future__ import annotations

DOCUMENTATION = r"""
name: retention_table
short_description: Show what retention did as a table
version_added: "0.1.0"
author: The vya.backupdb authors (@vya)
description:
  - Turns results of M(vya.backupdb.retention) into lines of text, one line a database, and one for the users of an
    instance.
positional: _input
options:
  _input:
    description: The results, one a host.
    type: list
    elements: dict
    required: true
  hosts:
    description: The names of the hosts, in the order of the results. A result that is a failure shows it.
    type: list
    elements: str
    required: true
  check:
    description: Whether the results are of check mode.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show what was done
  ansible.builtin.debug:
    msg: "{{ [result] | vya.backupdb.retention_table(hosts=[inventory_hostname]) }}"
"""

RETURN = r"""
_value:
  description: The lines of the table.
  type: list
  elements: str
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.vya.backupdb.plugins.module_utils.operations.words import size_words
from ansible_collections.vya.backupdb.plugins.plugin_utils.tables import lines

USERS = "(users)"


def _subject(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    return entry["host"], entry["instance"], USERS if entry["kind"] == "users" else entry["database"]


def _rows(host: str, result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    if "kept" not in result:
        yield host, "", "", "", "", "", f"FAILED {result.get('code', 'error')}: {result.get('msg', '')}"
        return
    subjects: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for entry in [*result["kept"], *result["removed"], *result["failures"]]:
        subjects.setdefault(_subject(entry), [])
    for entry in result["removed"]:
        subjects[_subject(entry)].append(entry)
    for subject, removed in sorted(subjects.items()):
        kept = sum(_subject(entry) == subject for entry in result["kept"])
        notes = [entry["reason"] for entry in result["postponed"] if _subject(entry) == subject]
        notes += [f"FAILED {item['code']}: {item['error']}" for item in result["failures"] if _subject(item) == subject]
        size = sum(entry["stored_bytes"] for entry in removed)
        yield *subject, str(kept), str(len(removed)), size_words(size) if removed else "", " ".join(notes)


def retention_table(results: Sequence[Mapping[str, Any]], hosts: Sequence[str], check: bool = False) -> list[str]:
    header = ("HOST", "INSTANCE", "DATABASE", "KEPT", "TO GO" if check else "REMOVED", "SIZE", "NOTE")
    table = lines(header, (row for host, result in zip(hosts, results, strict=True) for row in _rows(host, result)))
    removed = [entry for result in results for entry in result.get("removed", [])]
    size = size_words(sum(entry["stored_bytes"] for entry in removed))
    return [*table, f"{len(removed)} {'to go' if check else 'removed'} of {len(hosts)} host(s), {size}."]


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"retention_table": retention_table}
