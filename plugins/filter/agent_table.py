# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What instances are and what they lack, as a table."""

from __future__ import annotations

DOCUMENTATION = r"""
name: agent_table
short_description: Show instances, and whether they can be backed up, as a table
version_added: "0.1.0"
author: The vya.backupdb authors (@vya)
description:
  - Turns what M(vya.backupdb.instance_info) returned into lines of text, one line an instance.
positional: _input
options:
  _input:
    description: The C(instances) that M(vya.backupdb.instance_info) returned.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Test the connections
  vya.backupdb.instance_info:
  register: found

- name: Show them
  ansible.builtin.debug:
    msg: "{{ found.instances | vya.backupdb.agent_table }}"
"""

RETURN = r"""
_value:
  description: The lines of the table.
  type: list
  elements: str
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.vya.backupdb.plugins.plugin_utils.tables import lines

HEADER = ("INSTANCE", "SERVER", "LATENCY", "DATABASES", "TOOL", "STATE")


def _row(instance: Mapping[str, Any]) -> tuple[str, ...]:
    answered = instance["reachable"]
    return (
        instance["id"],
        f"{instance['flavour']} {instance['server_version']}" if answered else instance["address"],
        f"{instance['latency_ms']} ms" if answered else "",
        str(sum(not database["excluded"] for database in instance["databases"])) if answered else "",
        f"{instance['tool']} {instance['tool_version']}" if instance["tool"] else "",
        f"{instance['code']}: {instance['error']}" if instance["error"] else "ready",
    )


def agent_table(instances: Sequence[Mapping[str, Any]]) -> list[str]:
    return lines(HEADER, [_row(instance) for instance in instances])


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"agent_table": agent_table}
