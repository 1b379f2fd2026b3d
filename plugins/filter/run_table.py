# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a run ended on all hosts, as a table."""

from __future__ import annotations

DOCUMENTATION = r"""
name: run_table
short_description: Show how a run ended on its hosts
version_added: "0.1.0"
author: The vya.backupdb authors (@vya)
description:
  - Turns a summary of P(vya.backupdb.run_summary#filter) into a line for each host on which the run did not succeed,
    and one that counts.
positional: _input
options:
  _input:
    description: The summary.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show how the run ended
  ansible.builtin.debug:
    msg: "{{ ansible_play_hosts_all | vya.backupdb.run_summary(hostvars, 'verify') | vya.backupdb.run_table }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The lines of the table, or the one that counts where all is well.
  type: list
  elements: str
"""

from collections.abc import Mapping
from typing import Any

from ansible_collections.vya.backupdb.plugins.plugin_utils.tables import lines

HEADER = ("HOST", "STATE", "WHAT FAILED")


def run_table(summary: Mapping[str, Any]) -> list[str]:
    title = f"{summary['title']}."
    wrong = [entry for entry in summary["hosts"] if entry["state"] != "success"]
    rows = [(entry["host"], entry["state"], entry["message"]) for entry in wrong]
    return [*lines(HEADER, rows), title] if rows else [title]


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"run_table": run_table}
