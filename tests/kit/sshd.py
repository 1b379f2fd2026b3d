# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A private SSH server on loopback, with keys of its own: what a central store is to those who copy backups to it."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.vya.backupdb.plugins.module_utils.repository.ssh import Destination

from .barehost import free_port

SSHD = "/usr/sbin/sshd"
CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
Subsystem sftp internal-sftp
{more}
"""


@dataclass
class Store:
    """A server, and the folder that it offers."""

    port: int
    folder: Path
    settings: Path
    process: subprocess.Popen[bytes]

    @property
    def user(self) -> str:
        return pwd.getpwuid(os.geteuid()).pw_name

    def options(self, **changes: Any) -> dict[str, Any]:
        """What the option ``to`` of the module replicate needs."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "folder": str(self.folder),
            "identity_file": str(self.settings / "key"),
            "known_hosts": str(self.settings / "known_hosts"),
            **changes,
        }

    def destination(self, **changes: Any) -> Destination:
        return Destination(**self.options(**changes))

    def sets(self) -> list[Path]:
        """Every set folder of the store, told by the file system alone."""
        return sorted(path.parent for path in self.folder.glob("*/*/*/*/*/manifest.json"))

    def stray(self) -> list[str]:
        """The files in the store that are no part of a set."""
        owned = self.sets()
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(str(path) for path in files if not any(path.is_relative_to(folder) for folder in owned))

    def sessions(self) -> list[int]:
        """The processes of the server that serve somebody."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(child) for child in children]


def make_key(path: Path) -> str:
    """A new key pair; returns the public key without its comment."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return " ".join(path.with_name(f"{path.name}.pub").read_text().split()[:2])


@contextmanager
def store(folder: Path, *more: str) -> Iterator[Store]:
    """A server whose account, that of the tests, may write into a folder below ``folder``; ``more`` are lines for its
    configuration."""
    settings, port = folder / "sshd", free_port()
    settings.mkdir(parents=True)
    central = folder / "central store"
    central.mkdir(mode=0o700)
    host_key = make_key(settings / "host_key")
    make_key(settings / "key")
    (settings / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    (settings / "config").write_text(CONFIG.format(port=port, folder=settings, more="\n".join(more)))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with (settings / "log").open("wb") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", settings / "config"], stdin=subprocess.DEVNULL, stderr=log)
    try:
        for _turn in range(200):
            with socket.socket() as probe:
                if process.poll() is not None or probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        assert process.poll() is None, (settings / "log").read_text()
        yield Store(port, central, settings, process)
    finally:
        process.terminate()
        process.wait()
