# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a play did on all of its hosts, for notifications."""

from __future__ import annotations

DOCUMENTATION = r"""
name: run_summary
short_description: Sum up how a run ended on its hosts
version_added: "0.1.0"
author: The vya.backupdb authors (@vya)
description:
  - Collects what the role C(notify) noted on each host. A host that noted nothing was lost during the run.
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
  event:
    description: What was done, such as V(backup).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show how the run ended
  ansible.builtin.debug:
    msg: "{{ (ansible_play_hosts_all | vya.backupdb.run_summary(variables=hostvars, event='backup')).title }}"
  run_once: true
"""

RETURN = r"""
_value:
  description:
    - C(event), C(state), which is V(success) or V(failure), C(title), one line, C(finished), and C(hosts), a list of
      C(host), C(state), which may be V(unreachable), too, C(message) and C(lines).
  type: dict
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

NOTE = "__notify_outcome"
SUCCESS = "success"
FAILURE = "failure"
UNREACHABLE = "unreachable"


def _outcome(host: str, variables: Mapping[str, Any], event: str) -> dict[str, Any]:
    try:
        noted = variables[host][NOTE]
    except KeyError:
        noted = {}
    if noted.get("event") != event:
        noted = {"state": UNREACHABLE, "message": "The host was lost during the run.", "lines": []}
    return {"host": host, **{name: noted[name] for name in ("state", "message", "lines")}}


def run_summary(hosts: Iterable[str], variables: Mapping[str, Any], event: str) -> dict[str, Any]:
    found = [_outcome(host, variables, event) for host in hosts]
    wrong = [entry["host"] for entry in found if entry["state"] != SUCCESS]
    where = f"on all {len(found)} hosts" if len(found) > 1 else f"on {found[0]['host']}"
    if not wrong:
        title = f"{event} succeeded {where}"
    elif len(wrong) == len(found):
        title = f"{event} FAILED {where}"
    else:
        some = ", ".join(wrong[:3]) + (", …" if len(wrong) > 3 else "")
        title = f"{event} FAILED on {len(wrong)} of {len(found)} hosts: {some}"
    return {
        "event": event,
        "state": FAILURE if wrong else SUCCESS,
        "title": title,
        "finished": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "hosts": found,
    }


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"run_summary": run_summary}
