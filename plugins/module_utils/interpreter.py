# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Python a module runs in. Every module imports this file first: an older Python than the library needs can't
import the library, and has to be left before it tries. So this file keeps to what Python 3.8 understands."""

from __future__ import annotations

import json
import os
import sys

from ansible.module_utils.common.respawn import has_respawned, respawn_module  # type: ignore[import-untyped]

AGENT_PYTHON = "/opt/vya-backupdb/venv/bin/python"
OLDEST_PYTHON = (3, 11)
TOO_OLD = "python_too_old"


def agent_python_is_next() -> bool:
    """Whether the module may start again in the environment that the role agent makes."""
    return not has_respawned() and os.access(AGENT_PYTHON, os.X_OK)


def require_python() -> None:
    """Starts the module again in the agent's environment, or ends it with an error, where this Python is too old."""
    if sys.version_info >= OLDEST_PYTHON:
        return
    if agent_python_is_next():
        respawn_module(AGENT_PYTHON)
    wanted = ".".join(str(number) for number in OLDEST_PYTHON)
    found = sys.version.split(" ", maxsplit=1)[0]
    message = (
        f"{sys.executable} on the host is Python {found}, and this module needs {wanted} or newer. Install the agent "
        "with the role vya.backupdb.agent, or set ansible_python_interpreter to a newer one."
    )
    sys.stdout.write(json.dumps({"failed": True, "msg": message, "code": TOO_OLD}))  # there is no AnsibleModule yet
    raise SystemExit(1)
