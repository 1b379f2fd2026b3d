# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says who runs the play."""

from __future__ import annotations

DOCUMENTATION = r"""
name: requester
short_description: Say who runs the play
version_added: "0.1.0"
description:
  - Gives the user who launched the job in AWX or its relatives (C(awx_user_name), C(tower_user_name)), or else the
    account that runs ansible-playbook, with the name of the controller, such as V(ana@deploy1).
  - The roles of this collection hand it to the audit logs of the hosts.
author: The vya.backupdb authors (@vya)
options:
  _terms:
    description: None.
    required: false
"""

EXAMPLES = r"""
- name: Show who would stand in the audit log
  ansible.builtin.debug:
    msg: "{{ lookup('vya.backupdb.requester') }}"
"""

RETURN = r"""
_raw:
  description: One name.
  type: list
  elements: str
"""

import os
import pwd
import socket
from typing import Any

from ansible.plugins.lookup import LookupBase

LAUNCHED_BY = ("awx_user_name", "tower_user_name")
"""What AWX adds to the extra variables of every job."""


def _account() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # containers run under numbers
        return str(os.getuid())


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **options: Any) -> list[str]:
        launched = [str(variables[name]) for name in LAUNCHED_BY if (variables or {}).get(name)]
        return [launched[0] if launched else f"{_account()}@{socket.gethostname()}"]
