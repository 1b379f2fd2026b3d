# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How backups went on many hosts, as one table."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_table
short_description: Show the hosts whose backups failed as a table
version_added: "0.1.0"
author: The vya.backupdb authors (@vya)
description:
  - Turns what the playbook backup keeps in mind of each host into lines of text, one line a failure, and a sentence
    that counts the hosts.
  - Hosts that Ansible cannot reach have the code C(unreachable), and those that dropped out without a word C(stopped).
positional: _input, hostvars
options:
  _input:
    description: The names of all hosts that were to be backed up.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variables of all hosts, as Ansible has them under this name.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the hosts that failed
  ansible.builtin.debug:
    msg: "{{ ansible_play_hosts_all | vya.backupdb.fleet_table(hostvars) }}"
  run_once: true
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

HEADER = ("HOST", "CODE", "WHAT FAILED")


def _results(known: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from known.get("__backup_run", {}).get("results", [])
    yield known.get("__backup_copy", {})


def _faults(known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Code and sentence of everything that failed on a host."""
    reached, fault = known.get("__backup_reached"), known.get("__backup_fault")
    if reached is None:
        yield "stopped", "Ansible ended the host before its turn."
        return
    if reached.get("unreachable"):
        yield "unreachable", reached["msg"]
        return
    found = []
    for result in _results(known):
        if "failures" in result:
            found += [(entry["code"], entry["error"]) for entry in result["failures"]]
        elif "code" in result:
            found.append((result["code"], result["msg"]))
    if fault and not found:
        found.append((fault["code"], fault["msg"]))
    if not found and "__backup_run" not in known:
        found.append(("stopped", "Ansible ended the host in the middle of its backup."))
    yield from dict.fromkeys(found)


def fleet_table(hosts: Sequence[str], hostvars: Mapping[str, Any]) -> list[str]:
    faults = {host: list(_faults(hostvars[host])) for host in hosts}
    failed = [host for host in hosts if faults[host]]
    if not failed:
        return [f"All {len(hosts)} hosts are in order."]
    rows = [(host, code, words) for host in failed for code, words in faults[host]]
    count = f"{len(hosts) - len(failed)} of {len(hosts)} hosts are in order; failed: {', '.join(failed)}"
    return [*lines(HEADER, rows), count]


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"fleet_table": fleet_table}
