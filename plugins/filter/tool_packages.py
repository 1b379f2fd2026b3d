# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packages have the client programs that instances need."""

from __future__ import annotations

DOCUMENTATION = r"""
name: tool_packages
short_description: Name the packages with the client programs that are missing
version_added: "0.1.0"
author: The vya.backupdb authors (@vya)
description:
  - Looks for instances that answer, but for which no client program that fits is installed.
positional: _input, packages
options:
  _input:
    description: The C(instances) that M(vya.backupdb.instance_info) returned.
    type: list
    elements: dict
    required: true
  packages:
    description: For each flavour of server the name of its package. C(MAJOR) stands for the major version of the
      server.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Install the client programs that are missing
  ansible.builtin.package:
    name: "{{ found.instances | vya.backupdb.tool_packages(packages) }}"
  vars:
    packages:
      mariadb: mariadb-client
      mysql: mysql-client
      postgresql: postgresql-client-MAJOR
"""

RETURN = r"""
_value:
  description: The names of the packages.
  type: list
  elements: str
"""

from collections.abc import Mapping, Sequence
from typing import Any


def tool_packages(instances: Sequence[Mapping[str, Any]], packages: Mapping[str, str]) -> list[str]:
    lacking = [instance for instance in instances if instance["code"] == "tool_missing"]
    return sorted(
        {packages[entry["flavour"]].replace("MAJOR", entry["server_version"].split(".")[0]) for entry in lacking}
    )


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"tool_packages": tool_packages}
