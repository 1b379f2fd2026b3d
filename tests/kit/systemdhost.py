# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian hosts that run systemd: containers of podman, made from packages, reached over SSH.

Wants podman, runc and netavark, see tests/slow/README.md. Everything of a host ends with its context.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .cache import kept

PACKAGES = (
    "ca-certificates", "dbus", "iproute2", "logrotate", "openssh-server", "python3", "python3-apt", "python3-packaging",
    "python3-venv", "sudo", "systemd", "systemd-sysv",
)  # fmt: skip
SETTINGS = """[containers]
default_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]
[engine]
runtime = "runc"
"""
"""For podman: crun cannot run on hybrid cgroups, and the default limits want CAP_SYS_RESOURCE."""


class SystemdHost:
    """A running host, reached as root."""

    def __init__(self, name: str, container: str, key: Path, environment: dict[str, str]) -> None:
        self.name, self.container, self._key, self._environment = name, container, key, environment

    def podman(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(
            ["podman", *command], env=self._environment, capture_output=True, text=True, stdin=subprocess.DEVNULL,
            check=False,
        )  # fmt: skip
        if check and done.returncode:
            raise RuntimeError(f"{command} ended with {done.returncode}: {done.stdout} {done.stderr}")
        return done.stdout.strip()

    def run(self, *command: str, check: bool = True) -> str:
        """Runs a command in the host as root; what it printed."""
        return self.podman("exec", self.container, *command, check=check)

    def wait_until(self, *command: str, wanted: str, seconds: float = 60) -> None:
        """Runs a command again and again until it prints what is wanted."""
        said = ""
        for _turn in range(int(seconds / 0.2)):
            said = self.run(*command, check=False)
            if said == wanted:
                return
            time.sleep(0.2)
        raise RuntimeError(f"{command} still says {said!r} after {seconds} s, not {wanted!r}")

    @property
    def variables(self) -> dict[str, Any]:
        """What an inventory has to say of it."""
        address = self.podman(
            "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", self.container
        )
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        return {
            "ansible_connection": "ssh",
            "ansible_host": address,
            "ansible_user": "root",
            "ansible_pipelining": True,
            "ansible_python_interpreter": "auto_silent",
            "ansible_ssh_private_key_file": str(self._key),
            "ansible_ssh_common_args": options,
            "backupdb_become": True,
            "backupdb_create_keyring": False,
        }


def _image(host: SystemdHost, suite: str) -> str:
    """An image of Debian with systemd; made where podman has none, from a file system that is cached."""

    def make(file: Path) -> None:
        archive = file.with_suffix(".tar")  # mmdebstrap goes by the name
        command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, archive]
        subprocess.run(command, check=True, capture_output=True)
        archive.rename(file)

    archive = kept(f"systemd-{suite}", (suite, PACKAGES), make)
    name = f"localhost/vya-{archive.name}"
    if not host.podman("images", "--quiet", name):
        host.podman("import", str(archive), name)
    return name


@contextmanager
def systemd_host(name: str, suite: str = "bookworm") -> Iterator[SystemdHost]:
    """A host of that name whose systemd has started."""
    with tempfile.TemporaryDirectory(prefix="vya-systemd-") as folder:
        settings, key = Path(folder) / "containers.conf", Path(folder) / "key"
        settings.write_text(SETTINGS)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        container = f"vya-{name}-{os.getpid()}"
        host = SystemdHost(name, container, key, {**os.environ, "CONTAINERS_CONF": str(settings)})
        image = _image(host, suite)
        host.podman(
            "run", "--detach", "--name", container, "--hostname", name, "--systemd=always", "--volume",
            "/sys/fs/cgroup:/sys/fs/cgroup:rw", image, "/lib/systemd/systemd",
        )  # fmt: skip
        try:
            host.wait_until("systemctl", "is-system-running", wanted="running")
            host.run("mkdir", "-p", "-m", "700", "/root/.ssh")
            host.podman("cp", f"{key}.pub", f"{container}:/root/.ssh/authorized_keys")
            host.run("sh", "-c", "chown root:root /root/.ssh/authorized_keys; chmod 600 /root/.ssh/authorized_keys")
            yield host
        finally:
            host.podman("rm", "--force", "--time=2", container, check=False)
