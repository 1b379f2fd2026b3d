# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This machine as a host that Ansible reaches through a private SSH server, and a line that can be cut."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from .sshd import Store


def variables(server: Store) -> dict[str, Any]:
    """What the inventory says to reach the host."""
    folder = server.settings
    return {
        "ansible_connection": "ssh",
        "ansible_host": "127.0.0.1",
        "ansible_port": server.port,
        "ansible_user": server.user,
        "ansible_ssh_private_key_file": str(folder / "key"),
        "ansible_ssh_common_args": f"-F none -o UserKnownHostsFile={folder}/known_hosts -o StrictHostKeyChecking=yes",
        "ansible_control_path_dir": str(folder / "c"),
        "ansible_remote_tmp": str(folder / "tmp"),
        "ansible_async_dir": str(folder / "async"),
    }


def cut(server: Store) -> int:
    """Loses every connection that there is, as a broken line does; returns how many processes that took."""
    lost, left = 0, server.sessions()
    while left:
        pid = left.pop()
        with suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().startswith("sshd"):
                left += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
                os.kill(pid, signal.SIGKILL)
                lost += 1
    return lost
