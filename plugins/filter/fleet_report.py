# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report on a fleet, as one page of HTML."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_report
short_description: Show how the databases of a fleet stand on one page
version_added: "0.1.0"
author: The vya.backupdb authors (@vya)
description:
  - Turns what M(vya.backupdb.status) returned on each host into one page of HTML that needs nothing else.
  - It has a table of all databases, which can be sorted and filtered, with sizes and durations over time as charts.
positional: _input
options:
  _input:
    description: The results, each as M(vya.backupdb.status) returns it, or C(host) and C(error) of a host without one.
    type: list
    elements: dict
    required: true
  title:
    description: The title of the page.
    type: str
    default: Backups
"""

EXAMPLES = r"""
- name: Write a report on the controller
  ansible.builtin.copy:
    content: "{{ ansible_play_hosts | map('extract', hostvars, 'status') | vya.backupdb.fleet_report(title='Ours') }}"
    dest: /srv/www/backups.html
    mode: "0644"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
_value:
  description: The page.
  type: str
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from ansible_collections.vya.backupdb.plugins.plugin_utils.report import page


def fleet_report(hosts: Iterable[Mapping[str, Any]], title: str = "Backups") -> str:
    return page(list(hosts), title, datetime.now(UTC))


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"fleet_report": fleet_report}
