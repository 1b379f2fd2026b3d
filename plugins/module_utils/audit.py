# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit log of a host: JSON lines, one event a line, appended to and never read here; no secrets."""

from __future__ import annotations

import json
import os
import pwd
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DEFAULT_AUDIT_LOG = "/var/log/vya-backupdb/audit.log"
_NO_LOGIN = 0xFFFFFFFF
"""What /proc/self/loginuid holds of a process that nobody logged in for (proc(5))."""

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
"""Each line is one write: the kernel keeps writes of several processes apart, and nobody's link leads elsewhere."""

Note = Callable[..., None]
"""``note(event, result, **facts)``: tells the audit log what was done."""


def note_nothing(_event: str, _result: str, **_facts: Any) -> None:
    """For callers that keep no audit log."""


def _account_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _login_account() -> str | None:
    """Who logged in to this host, whatever the account became since (audit's loginuid, else sudo's word)."""
    with suppress(OSError, ValueError):
        uid = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
        if uid != _NO_LOGIN:
            return _account_name(uid)
    return os.environ.get("SUDO_USER")


@dataclass
class AuditLog:
    """Appends events to a file.

    The default file is written where its folder exists, which the role agent makes; a file that was asked for is always
    written. What can't be written does not stop the work: ``problem`` says it, for people to be warned.
    """

    path: str | None = None
    requested_by: str | None = None
    check_mode: bool = False
    problem: str | None = None
    _who: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._who = {
            "requested_by": self.requested_by,
            "account": _account_name(os.geteuid()),
            "login": _login_account(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }

    def note(self, event: str, result: str, **facts: Any) -> None:
        """Appends one event: what was done (``backup``, ``restore``, …), how it ended (``ok``, ``failed``,
        ``started``), and facts about it."""
        path = Path(self.path or DEFAULT_AUDIT_LOG)
        if self.check_mode or (not self.path and not os.access(path.parent, os.W_OK)):
            return
        time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        line = json.dumps({"time": time, "event": event, "result": result, **self._who, **facts}) + "\n"
        try:
            descriptor = os.open(path, _APPEND, 0o600)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            self.problem = f"The audit log {path} cannot be written: {os.strerror(error.errno or 0)}."
