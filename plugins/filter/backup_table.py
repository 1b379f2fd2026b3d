# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module backup did, as a table."""

from __future__ import annotations

DOCUMENTATION = r"""
name: backup_table
short_description: Show what backups did as a table
version_added: "0.1.0"
author: The vya.backupdb authors (@vya)
description:
  - Turns results of M(vya.backupdb.backup) and M(vya.backupdb.users_backup) into lines of text, one line a database,
    and one for the users of an instance.
  - One of M(vya.backupdb.replicate) becomes a line for all that was copied of a database, and one for each failure.
positional: _input
options:
  _input:
    description: The results, as a loop over instances registers them. The C(item) of each is the id of an instance.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Back up all instances
  vya.backupdb.backup:
    instance: "{{ item }}"
  loop: [prod-mysql-01, prod-pg-01]
  register: backups

- name: Show what was done
  ansible.builtin.debug:
    msg: "{{ backups.results | vya.backupdb.backup_table }}"
"""

RETURN = r"""
_value:
  description: The lines of the table.
  type: list
  elements: str
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from ansible_collections.vya.backupdb.plugins.module_utils.operations.words import size_words
from ansible_collections.vya.backupdb.plugins.plugin_utils.tables import lines

HEADER = ("INSTANCE", "DATABASE", "RESULT", "SIZE", "TIME", "BACKUP, OR WHY")
DUE = "due"
FAILED = "FAILED"
COPY_DUE = "to copy"
USERS = "(users)"
"""Stands for a database in the lines of users_backup."""
COPIES = "(copies)"
"""Stands for an instance where nothing at all could be copied."""


def _subject(entry: Mapping[str, Any]) -> tuple[str, str]:
    is_users = entry.get("kind") == "users" or "database" not in entry
    return entry["instance"] or "", USERS if is_users else entry["database"] or ""


def _rows(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    def row(entry: Mapping[str, Any], what: str, why: str, size: int | None = None) -> tuple[str, ...]:
        time = f"{entry['duration_seconds']:.1f} s" if "duration_seconds" in entry else ""
        words = "" if size is None else size_words(size)
        return *_subject(entry), what, words, time, why

    if "copied" in result:
        yield from _copy_rows(result)
        return
    if "backups" not in result:
        yield (
            str(result.get("item", COPIES)),
            "",
            FAILED,
            "",
            "",
            f"{result.get('code', 'error')}: {result.get('msg', '')}",
        )
        return
    for entry in result["backups"]:
        yield row(entry, "backed up", f"{entry['id']} ({entry['reason']})", entry["stored_bytes"])
        for warning in entry["warnings"]:
            yield *_subject(entry), "warning", "", "", warning
    tried = {_subject(entry) for entry in [*result["backups"], *result["failures"]]}
    for entry in result["planned"]:
        if _subject(entry) not in tried:
            yield row(entry, DUE, entry["reason"], entry.get("size_bytes"))
    for entry in result["not_due"]:
        yield row(entry, "not due", entry["reason"])
    for entry in result["failures"]:
        yield row(entry, FAILED, f"{entry['code']}: {entry['error']}")


def _once(rows: Iterable[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """What fails for an instance as a whole fails for its accounts, too: that is told once."""
    told = set()
    for row in rows:
        instance, subject, result, *_amounts, why = row
        if result == FAILED and subject in ("", USERS) and (instance, why) in told:
            continue
        if result == FAILED and not subject:
            told.add((instance, why))
        yield row


def _copy_rows(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    tried = {(*_subject(entry), entry["id"]) for entry in [*result["copied"], *result["failures"]]}
    waiting = [entry for entry in result["planned"] if (*_subject(entry), entry["id"]) not in tried]
    for what, entries in (("copied", result["copied"]), (COPY_DUE, waiting)):
        subjects: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for entry in entries:
            subjects.setdefault(_subject(entry), []).append(entry)
        for subject, sets in subjects.items():
            size = size_words(sum(entry["stored_bytes"] for entry in sets))
            time = f"{sum(entry['duration_seconds'] for entry in sets):.1f} s" if what != COPY_DUE else ""
            why = sets[0]["id"] if len(sets) == 1 else f"{len(sets)} backups, the newest {sets[0]['id']}"
            yield *subject, what, size, time, f"{why} ({result['to']})"
    for entry in result["failures"]:
        yield *_subject(entry), FAILED, "", "", f"{entry['code']}: {entry['error']}"


def backup_table(results: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = list(_once(row for result in results for row in _rows(result)))
    table = lines(HEADER, rows)
    # {repository}/{host}/{instance}/{database}/{date}/{id}
    places = {str(PurePath(entry["path"]).parents[3]) for result in results for entry in result.get("backups", [])}
    table += [f"Stored in {place}" for place in sorted(places)]
    if any(row[2] == DUE for row in rows):
        free = [result["free_bytes"] for result in results if result.get("planned") and "free_bytes" in result]
        table += [f"The repository has {size_words(min(free))} free."] if free else []
    return table


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"backup_table": backup_table}
