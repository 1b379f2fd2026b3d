# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bare Debian hosts for tests: a file system made by mmdebstrap, namespaces of its own, and a real SSH server.

The file system is made once and cached; each host is a throw-away layer above it. Hosts share the machine's network and
listen on loopback only. Everything of a host ends with its context, however that ends.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .cache import kept

PACKAGES = ("ca-certificates", "openssh-server", "python3", "sudo")
OF_SUITE = {
    "sid": (
        "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg",
        '--aptopt=Acquire::Check-Valid-Until "false"',
    )
}
"""What mmdebstrap has to be told for some suites."""
CUSTOMIZE = """
printf '#!/bin/sh\\nexit 101\\n' > "$1/usr/sbin/policy-rc.d"
chmod 755 "$1/usr/sbin/policy-rc.d"
rm -f "$1"/etc/ssh/ssh_host_*
chroot "$1" useradd --create-home --shell /bin/bash --password "*" deploy
echo 'deploy ALL=(ALL) NOPASSWD: ALL' > "$1/etc/sudoers.d/deploy"
mkdir -p "$1/run/sshd" "$1/home/deploy/.ssh"
"""
BOOT = """
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root" 2>/dev/null ||
    cp -a "$1/." "$2/upper/." "$2/root/" # an overlay can't stand on every file system
cd "$2/root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs tmpfs tmp
mount -t tmpfs tmpfs run
mkdir -p run/sshd
hostname "$3"
exec chroot . /usr/sbin/sshd -D -e -o PidFile=none -o ListenAddress=127.0.0.1 -o "Port=$4" -o UsePAM=no \
    -o PasswordAuthentication=no -o AcceptEnv=no -o HostKey=/etc/ssh/host_key
"""
FROM_THE_MACHINE = ("/etc/resolv.conf", "/etc/hosts", "/etc/apt/apt.conf.d", "/etc/ssl/certs/ca-certificates.crt")
"""How the machine finds names, packages and authorities, so that the host finds them too."""


def _as_root(*command: str) -> list[str]:
    return [*command] if os.geteuid() == 0 else ["sudo", "-n", *command]


def base(suite: str, packages: Sequence[str]) -> Path:
    """The folder of a cached file system; made where it is not there."""

    def make(folder: Path) -> None:
        hook = folder.with_name("customize")
        hook.write_text(f"#!/bin/sh\nset -e{CUSTOMIZE}")
        hook.chmod(0o755)
        command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}", f"--customize-hook={hook}"]
        command += OF_SUITE.get(suite, ())
        subprocess.run(_as_root(*command, suite, str(folder)), check=True, capture_output=True)

    return kept(suite, (suite, sorted(packages), CUSTOMIZE), make)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class BareHost:
    """A running host, reached as the user ``deploy``, who may become root."""

    def __init__(self, name: str, port: int, key: Path, process: int, root: Path) -> None:
        self.name = name
        self._port = port
        self._key = key
        self.process = process
        self._root = root

    @property
    def variables(self) -> dict[str, Any]:
        """What an inventory has to say of it."""
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        return {
            "ansible_connection": "ssh",
            "ansible_host": "127.0.0.1",
            "ansible_port": self._port,
            "ansible_user": "deploy",
            "ansible_pipelining": True,
            "ansible_ssh_private_key_file": str(self._key),
            "ansible_ssh_common_args": options,
            "backupdb_become": True,
        }

    def run(self, *command: str, check: bool = True, content: bytes | None = None) -> bytes:
        """Runs a command in the host as root, with ``content`` on its standard input; what it printed."""
        enter = ["nsenter", f"--target={self.process}", "--mount", "--pid", "--uts", "--root", "--wd"]
        clean = ["env", "--ignore-environment", "HOME=/root", "LC_ALL=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        done = subprocess.run(_as_root(*enter, *clean, *command), capture_output=True, input=content, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{command} ended with {done.returncode}: {done.stdout!r} {done.stderr!r}")
        return done.stdout

    def mount(self, folder: Path, target: str) -> None:
        """Shows a folder of the machine in the host, which may write there; it goes with the host."""
        self.run("mkdir", "-p", target)
        command = ["nsenter", f"--target={self.process}", "--mount", "mount", "--bind"]
        subprocess.run(_as_root(*command, str(folder), f"{self._root}{target}"), check=True)

    def read(self, path: str) -> str:
        return self.run("cat", path).decode()

    def names(self, folder: str) -> list[str]:
        """What is in a folder; nothing where there is none."""
        return sorted(self.run("ls", "--almost-all", folder, check=False).decode().split())

    def get(self, folder: str, target: Path) -> None:
        """Copies a folder of the host with all that is in it."""
        target.mkdir(parents=True)
        subprocess.run(["tar", "-x", "-C", target], input=self.run("tar", "-c", "-C", folder, "."), check=True)

    def put(self, source: Path, folder: str) -> None:
        """Copies a folder with all that is in it to the host, where root owns it."""
        packed = subprocess.run(["tar", "-c", "-C", source, "."], capture_output=True, check=True)
        self.run("mkdir", "-p", folder)
        self.run("tar", "-x", "--no-same-owner", "-C", folder, content=packed.stdout)


def _prepare(upper: Path, lower: Path, key: Path, name: str) -> None:
    """Gives the layer of a host its keys and what it needs to know of the machine's network."""
    for path in FROM_THE_MACHINE:
        source, target = Path(path), upper / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.exists():
            shutil.copyfile(source, target)
    with (upper / "etc" / "hosts").open("a") as hosts:
        hosts.write(f"127.0.1.1 {name}\n")
    for folder in (upper, *upper.rglob("*")):
        if folder.is_dir():
            folder.chmod(0o755)
    host_key = upper / "etc" / "ssh" / "host_key"
    host_key.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host_key], check=True)
    home = (lower / "home" / "deploy").stat()
    ssh = upper / "home" / "deploy" / ".ssh"
    ssh.mkdir(parents=True, mode=0o700)
    shutil.copyfile(f"{key}.pub", ssh / "authorized_keys")
    for path in (ssh.parent, ssh, ssh / "authorized_keys"):
        os.chown(path, home.st_uid, home.st_gid)


def _first_child(process: subprocess.Popen[bytes]) -> int:
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    except FileNotFoundError:
        return 0
    return int(children[0]) if children else 0


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _turn in range(2400):
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(log.read_text())


@contextmanager
def bare_host(name: str, suite: str = "bookworm", packages: Sequence[str] = ()) -> Iterator[BareHost]:
    """A host of that name with Python, sudo, SSH, and nothing more than the packages that are asked for."""
    lower = base(suite, [*PACKAGES, *packages])
    with tempfile.TemporaryDirectory(prefix="vya-host-") as folder:
        place = Path(folder)
        for part in ("upper", "work", "root"):
            (place / part).mkdir(mode=0o755)
        key = place / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        _prepare(place / "upper", lower, key, name)
        port = free_port()
        namespaces = ["unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--propagation", "private"]
        command = _as_root(*namespaces, "sh", "-c", BOOT, "boot", str(lower), folder, name, str(port))
        log = place / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            _wait_for(port, process, log)
            yield BareHost(name, port, key, _first_child(process), place / "root")
        finally:
            child = _first_child(process)
            process.kill()
            process.wait()
            while Path(f"/proc/{child}").exists():  # it dies with its parent, but not at the same moment
                time.sleep(0.01)
