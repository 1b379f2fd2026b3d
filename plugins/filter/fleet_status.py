# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status of all hosts of a play, those included that did not answer."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_status
short_description: Collect the status of all hosts of a play
version_added: "0.1.0"
author: The vya.backupdb authors (@vya)
description:
  - Collects what the role C(monitoring) registered on each host. A host without it stands there with C(error).
positional: _input
options:
  _input:
    description: The names of the hosts.
    type: list
    elements: str
    required: true
  variables:
    description: The variables of the hosts, C(hostvars).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Keep the status of all hosts
  ansible.builtin.copy:
    content: "{{ ansible_play_hosts_all | vya.backupdb.fleet_status(variables=hostvars) | to_nice_json }}"
    dest: /srv/www/backups.json
    mode: "0644"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
_value:
  description: One entry a host, as M(vya.backupdb.status) returns it, or C(host) and C(error).
  type: list
  elements: dict
"""

from collections.abc import Iterable, Mapping
from typing import Any

RESULT = "__monitoring_run"
PROBE = "__notify_probe"
NO_ANSWER = "The host did not answer."
FIELDS = ("host", "collected", "healthy", "problems", "counts", "instances", "databases", "repository")


def _noted(host: str, variables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    try:
        return variables[host][name]
    except KeyError:
        return {}


def _status(host: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    result = _noted(host, variables, RESULT)
    if "databases" in result:
        # Under its name in the inventory: several hosts may share a name in a repository.
        return {**{name: result[name] for name in FIELDS}, "host": host}
    reason = result.get("msg") or _noted(host, variables, PROBE).get("msg") or NO_ANSWER
    return {"host": host, "error": str(reason)}


def fleet_status(hosts: Iterable[str], variables: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [_status(host, variables) for host in hosts]


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"fleet_status": fleet_status}
