# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which databases have which backups, as a table."""

from __future__ import annotations

DOCUMENTATION = r"""
name: status_table
short_description: Show how databases and their backups stand as a table
version_added: "0.1.0"
author: The vya.backupdb authors (@vya)
description:
  - Turns what M(vya.backupdb.status) returned into lines of text, one line a database.
  - Shows databases without a backup, backups of databases that are gone, and instances that do not answer.
positional: _input
options:
  _input:
    description: What M(vya.backupdb.status) returned.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show how the databases stand
  ansible.builtin.debug:
    msg: "{{ status | vya.backupdb.status_table }}"
"""

RETURN = r"""
_value:
  description: The lines of the table.
  type: list
  elements: str
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ansible_collections.vya.backupdb.plugins.module_utils.operations.words import (
    BAD_RESULTS,
    duration_words,
    size_words,
)
from ansible_collections.vya.backupdb.plugins.module_utils.repository.manifest import parse_time
from ansible_collections.vya.backupdb.plugins.plugin_utils.tables import lines

HEADER = (
    "INSTANCE", "DATABASE", "NEWEST BACKUP", "AGE", "SIZE", "ROWS", "BACKUPS", "VERIFIED", "NEXT DUE", "STATE", "NOTE",
)  # fmt: skip
USERS = "(users)"
"""Stands for a database in the lines of accounts."""


def _words(seconds: float) -> str:
    return duration_words(timedelta(seconds=seconds))


def _age(entry: Mapping[str, Any]) -> str:
    age, objective = entry["age_seconds"], entry["rpo_seconds"]
    if age is None:
        return ""
    return f"{_words(age)} of {_words(objective)}" if objective else _words(age)


def _since(moment: str, status: Mapping[str, Any]) -> timedelta:
    return parse_time(status["collected"]) - parse_time(moment)


def _verified(entry: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    verified = entry["verified"]
    if not verified:
        return "never" if entry["sets"] else ""
    ago = f"{duration_words(_since(verified['finished'], status))} ago"
    return f"{verified['level']} {ago}" if verified["ok"] else f"FAILED {ago}"


def _due(entry: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    if not entry["next_due"]:
        return ""
    left = -_since(entry["next_due"], status)
    return f"in {duration_words(left)}" if left > timedelta(0) else "now"


def _row(entry: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[str, ...]:
    newest = entry["newest"]
    is_users, is_expected = entry["kind"] == "users", entry["state"] not in ("excluded", "gone")
    if newest:
        amount = f"{newest['accounts']} accounts" if is_users else str(newest["rows"])
        known = (newest["id"], _age(entry), size_words(newest["stored_bytes"]), amount)
    else:
        known = ("NONE" if is_expected else "", "", "", "")
    notes = [*entry["notes"], f"{len(entry['holds'])} on hold"] if entry["holds"] else entry["notes"]
    return (
        entry["instance"],
        USERS if is_users else entry["database"],
        *known,
        str(entry["sets"] or ""),
        _verified(entry, status),
        _due(entry, status),
        entry["state"] if entry["state"] in ("ok", "excluded", "gone") else entry["state"].upper(),
        "; ".join(notes),
    )


def _room(repository: Mapping[str, Any]) -> str:
    if repository["error"]:
        return str(repository["error"])
    sentence = f"The repository has {size_words(repository['free_bytes'])} free"
    days = repository["days_until_full"]
    if days is None:
        return f"{sentence}."
    least = "at least " if repository["growth_basis"] == "sets" else ""
    return f"{sentence}, enough for {least}{days:.0f} days."


def status_table(status: Mapping[str, Any]) -> list[str]:
    rows = [_row(entry, status) for entry in status["databases"]]
    rows += [
        (
            instance["id"],
            *[""] * 8,
            "" if instance["reachable"] else "UNREACHABLE",
            f"{instance['code']}: {instance['error']}",
        )
        for instance in status["instances"]
        if instance["error"]
    ]
    jobs = [
        f"Job {entry['job']} {entry['result'].upper()}: {entry['words']}."
        for entry in status["jobs"]
        if entry["result"] in BAD_RESULTS
    ]
    return [*lines(HEADER, sorted(rows)), *jobs, _room(status["repository"])]


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"status_table": status_table}
