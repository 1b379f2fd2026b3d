# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users_info shows, or users_restore did, as a table."""

from __future__ import annotations

DOCUMENTATION = r"""
name: users_table
short_description: Show accounts, or what became of them, as a table
version_added: "0.1.0"
author: The vya.backupdb authors (@vya)
description:
  - Turns results of M(vya.backupdb.users_info) and M(vya.backupdb.users_restore) into lines of text.
  - One line an account, and one for each thing that it holds, that differs, that waits or that was lost.
positional: _input
options:
  _input:
    description: The results.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Restore the accounts that the instance lacks
  vya.backupdb.users_restore:
    instance: prod-mysql-01
  register: users

- name: Show what was done
  ansible.builtin.debug:
    msg: "{{ [users] | vya.backupdb.users_table }}"
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

HEADER = ("ACCOUNT", "RESULT", "NOTE")
Row = tuple[str, str, str]


def _restored(entry: Mapping[str, Any]) -> Iterator[Row]:
    failed = entry["result"] == "failed"
    note = f"{entry['code']}: {entry['error']}" if failed else ""
    if entry["result"] == "left":
        note = "exists and is not as backed up"
    yield entry["account"], "FAILED" if failed else entry["result"], note
    yield from ((entry["account"], "waits", statement) for statement in entry["pending"])
    yield from ((entry["account"], "lost", sentence) for sentence in entry["lost"])


def _shown(entry: Mapping[str, Any]) -> Iterator[Row]:
    kind = "role" if entry["is_role"] else "account"
    holds = entry["holds"] or [""]
    yield entry["account"], kind, holds[0]
    yield from (("", "", line) for line in holds[1:])


def _difference(difference: Mapping[str, Any]) -> Iterator[Row]:
    yield from ((account, "missing", "the whole account") for account in difference["missing"])
    yield from ((account, "extra", "the whole account") for account in difference["extra"])
    for account, lines_of in difference["changed"].items():
        yield from ((account, "missing", line) for line in lines_of["missing"])
        yield from ((account, "extra", line) for line in lines_of["extra"])


def _rows(result: Mapping[str, Any]) -> Iterator[Row]:
    if "users" not in result:
        yield str(result.get("item", "")), "FAILED", f"{result.get('code', 'error')}: {result.get('msg', '')}"
    elif result.get("difference"):
        yield from _difference(result["difference"])
    else:
        for entry in result["users"]:
            yield from _restored(entry) if "result" in entry else _shown(entry)


def _source(result: Mapping[str, Any]) -> str:
    difference = result.get("difference")
    if not difference:
        return f"From {result['source']}"
    sides = f"{result['source']}, and not in {result['compared_with']}"
    if any(difference.values()):
        return f"missing: only in {sides}; extra: the other way round"
    return f"No account differs between {result['source']} and {result['compared_with']}"


def users_table(results: Sequence[Mapping[str, Any]]) -> list[str]:
    table = lines(HEADER, [row for result in results for row in _rows(result)])
    table += [_source(result) for result in results if result.get("source")]
    safety = [result["safety_backup"] for result in results if result.get("safety_backup")]
    return table + [f"The accounts as they were before are in backup {name}" for name in safety]


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"users_table": users_table}
