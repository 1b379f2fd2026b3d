# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This machine as a host that is reached through a real sshd: on a port of loopback, with keys of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .barehost import free_port

SETTINGS = """ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
Subsystem sftp internal-sftp
{more}
"""


def make_key(path: Path) -> str:
    """A new key pair; returns the public key without its comment."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return " ".join(path.with_name(f"{path.name}.pub").read_text().split()[:2])


def _children(pid: int) -> list[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _name(pid: int) -> str:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


class SSHServer:
    """A running sshd. ``variables`` are what the inventory says to reach it; ``more`` are lines for its settings."""

    def __init__(self, folder: Path, *more: str) -> None:
        key = make_key(folder / "host")
        make_key(folder / "user")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists on this folder
        self.port = free_port()
        (folder / "known").write_text(f"[127.0.0.1]:{self.port} {key}\n")
        (folder / "settings").write_text(SETTINGS.format(port=self.port, folder=folder, more="\n".join(more)))
        program = shutil.which("sshd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
        assert program
        with (folder / "log").open("wb") as log:
            command = [program, "-D", "-e", "-f", folder / "settings"]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.variables: dict[str, Any] = {
            "ansible_connection": "ssh",
            "ansible_host": "127.0.0.1",
            "ansible_port": self.port,
            "ansible_user": getpass.getuser(),
            "ansible_ssh_private_key_file": str(folder / "user"),
            "ansible_ssh_common_args": f"-F none -o UserKnownHostsFile={folder}/known -o StrictHostKeyChecking=yes",
            "ansible_control_path_dir": str(folder / "c"),
            "ansible_remote_tmp": str(folder / "tmp"),
            "ansible_async_dir": str(folder / "async"),
        }
        self._wait()

    def _wait(self) -> None:
        for _turn in range(100):
            if self._process.poll() is not None:
                break
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.1)
        raise RuntimeError("sshd does not answer")

    def sessions(self) -> list[int]:
        """The processes that serve somebody."""
        return _children(self._process.pid)

    def cut(self) -> int:
        """Loses every connection that there is, as a broken line does; returns how many sshd processes that took."""
        lost, left = 0, self.sessions()
        while left:
            pid = left.pop()
            if _name(pid).startswith("sshd"):
                left += _children(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    lost += 1
        return lost

    def stop(self) -> None:
        self.cut()
        self._process.kill()
        self._process.wait()


@contextmanager
def ssh_server(folder: Path, *more: str) -> Iterator[SSHServer]:
    server = SSHServer(folder, *more)
    try:
        yield server
    finally:
        server.stop()
