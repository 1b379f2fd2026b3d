# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a configuration."""

from __future__ import annotations

DOCUMENTATION = r"""
name: config_problems
short_description: Tell every wrong value of a configuration
version_added: "0.1.0"
author: The vya.backupdb authors (@vya)
description:
  - Checks what is to become the configuration file of a host, before anything is changed there.
positional: _input
options:
  _input:
    description: The configuration, with C(instances) and whatever else the file may hold.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Refuse wrong values, all at once
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems | join('; ') }}"
  vars:
    problems: "{{ {'instances': backupdb_instances} | vya.backupdb.config_problems }}"
"""

RETURN = r"""
_value:
  description: A sentence for each wrong value, with its path, such as C(instances[2].port).
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.vya.backupdb.plugins.module_utils.config import problems_of


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"config_problems": problems_of}
