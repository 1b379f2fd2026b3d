# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module of the same name and, where somebody watches, follows it with a line a host."""

from __future__ import annotations

import json
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import filter_loader
from ansible.utils.display import Display
from ansible_collections.vya.backupdb.plugins.module_utils.operations.progress import progress_line

MODULE = "vya.backupdb.backup"
STATUS = "ansible.legacy.async_status"
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 10.0
POLLS = 20
"""Between two questions lies a twentieth of the time that the work has taken so far, within these limits."""
SIGNS = 4
"""So many questions are asked at least in the time after which the work would end for want of them."""
LONGEST_SECONDS = 7 * 24 * 3600
LONGEST_OUTAGE = 300.0
"""So long may the connection fail before the task gives up following. The backup goes on, unless it is to end then."""
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
    as any other does. One that is to end when Ansible is gone is followed in any case but the first two of the module's
    own: check mode and ``async``."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        variables = task_vars or {}
        wanted = boolean(self._templar.template(variables.get("backupdb_progress", True)), strict=False)
        shown = wanted and somebody_watches()
        patience = self._patience()
        asynchronous = self._task.async_val and not self._connection.has_native_async
        if (shown or patience) and not self._task.check_mode and not self._task.async_val:
            return self._followed(variables, shown, patience)
        return self._execute_module(MODULE, task_vars=task_vars, wrap_async=asynchronous)

    def _patience(self) -> float:
        """What the task says; a value that is no number is the module's to refuse."""
        try:
            return float(self._task.args.get("stop_after_disconnect") or 0)
        except (TypeError, ValueError):
            return 0.0

    def _followed(self, variables: dict[str, Any], shown: bool, patience: float) -> dict[str, Any]:
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
        result = self._wait(job, path, variables, shown, patience)
        self._asked(job, "cleanup", variables)
        return {name: value for name, value in result.items() if name not in _OF_ASYNC}

    def _wait(self, job: str, path: str, variables: dict[str, Any], shown: bool, patience: float) -> dict[str, Any]:
        """Waits for the result, and shows how far the work is meanwhile.

        Where the file says something new the work goes on, and to ask for the result would only cost time.
        """
        longest = min(LONGEST_PAUSE, patience / SIGNS) if patience else LONGEST_PAUSE
        host, controller, said = str(variables.get("inventory_hostname", "")), os.getppid(), ""
        began = answered = time.monotonic()
        while True:
            time.sleep(min(max(SHORTEST_PAUSE, (time.monotonic() - began) / POLLS), longest))
            if os.getppid() != controller:
                raise AnsibleError("The process that started this one is gone. Nobody follows the backup any more.")
            try:
                before, said = said, self._said(path)
                result = self._asked(job, "status", variables) if said in ("", before) else {}
            except AnsibleConnectionFailure as error:
                display.vv(f"{host} does not answer, and is asked again: {error}")
                if time.monotonic() - answered > LONGEST_OUTAGE:
                    raise
                with suppress(AnsibleError):  # what is left of the lost connection would be used again
                    self._connection.reset()
                continue
            answered = time.monotonic()
            if result and (result.get("finished") or "finished" not in result):
                return result
            line = _line(host, said) if shown and said != before else None
            if line:
                display.display(line)

    def _asked(self, job: str, mode: str, variables: dict[str, Any]) -> dict[str, Any]:
        folder = self._remote_expand_user(self.get_shell_option("async_dir", default="~/.ansible_async"))
        arguments = {"jid": job, "mode": mode, "_async_dir": folder}
        found: dict[str, Any] = self._execute_module(STATUS, arguments, task_vars=variables)
        return found

    def _said(self, path: str) -> str:
        """What is in the file. To read and touch it is a sign to the module that somebody asks for the work."""
        return str(self._low_level_execute_command(f"cat {path} && touch -c {path}")["stdout"])


def _line(host: str, said: str) -> str | None:
    try:
        return progress_line(host, json.loads(said))
    except (ValueError, KeyError):  # being written
        return None
