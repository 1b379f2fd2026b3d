# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module of the same name and, where somebody watches, follows it with a line a host."""

from __future__ import annotations

import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import filter_loader
from ansible.utils.display import Display
from ansible_collections.vya.backupdb.plugins.module_utils.operations.progress import progress_line

MODULE = "vya.backupdb.backup"
STATUS = "ansible.legacy.async_status"
POLL_SECONDS = 2.0
LONGEST_SECONDS = 7 * 24 * 3600
FAILED_POLLS = 5
"""So many times in a row the connection may fail before the task gives up following. The backup goes on."""
_OF_ASYNC = frozenset(
    ("ansible_job_id", "started", "finished", "results_file", "stdout", "stderr", "stdout_lines", "stderr_lines")
)

display = Display()

# Ansible loads an action once, and a filter in the process of every task and host that uses it, with all beside it.
# Loaded here, they are there already when these processes begin.
filter_loader.get("vya.backupdb.backup_table")


def somebody_watches() -> bool:
    """Whether the standard output of the process that started this worker is a terminal (proc(5))."""
    try:
        return str(Path(f"/proc/{os.getppid()}/fd/1").readlink()).startswith(("/dev/pts/", "/dev/tty"))
    except OSError:
        return False


class ActionModule(ActionBase):
    """Without a terminal, in check mode, in a task with ``async`` and with C(backupdb_progress: false), the module runs
    as any other does."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        variables = task_vars or {}
        wanted = boolean(self._templar.template(variables.get("backupdb_progress", True)), strict=False)
        asynchronous = self._task.async_val and not self._connection.has_native_async
        if wanted and not self._task.check_mode and not self._task.async_val and somebody_watches():
            return self._followed(variables)
        return self._execute_module(MODULE, task_vars=task_vars, wrap_async=asynchronous)

    def _followed(self, variables: dict[str, Any]) -> dict[str, Any]:
        path = f"/tmp/vya-backupdb-{secrets.token_hex(16)}.progress"  # noqa: S108 - the module insists on making it
        arguments = {**self._task.args, "progress_file": path}
        self._task.async_val = LONGEST_SECONDS
        try:
            started = self._execute_module(MODULE, arguments, task_vars=variables, wrap_async=True)
        finally:
            self._task.async_val = 0
        job = started.get("ansible_job_id")
        if started.get("failed") or not job:
            return started
        result = self._wait(job, path, variables)
        self._asked(job, "cleanup", variables)
        return {name: value for name, value in result.items() if name not in _OF_ASYNC}

    def _wait(self, job: str, path: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Asks for the result until it is there, and shows how far the work is meanwhile."""
        failed, shown = 0, None
        while True:
            time.sleep(POLL_SECONDS)
            try:
                line = self._line(path, variables)
                result = self._asked(job, "status", variables)
                failed = 0
            except AnsibleConnectionFailure:
                failed += 1
                if failed == FAILED_POLLS:
                    raise
                continue
            if result.get("finished") or "finished" not in result:
                return result
            if line and line != shown:
                display.display(line)
                shown = line

    def _asked(self, job: str, mode: str, variables: dict[str, Any]) -> dict[str, Any]:
        folder = self._remote_expand_user(self.get_shell_option("async_dir", default="~/.ansible_async"))
        arguments = {"jid": job, "mode": mode, "_async_dir": folder}
        found: dict[str, Any] = self._execute_module(STATUS, arguments, task_vars=variables)
        return found

    def _line(self, path: str, variables: dict[str, Any]) -> str | None:
        said = self._low_level_execute_command(f"cat {path}")
        try:
            return progress_line(str(variables.get("inventory_hostname", "")), json.loads(said["stdout"]))
        except (ValueError, KeyError):  # not there yet, gone already, or being written
            return None
