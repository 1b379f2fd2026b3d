# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another host over SSH, with the programs ssh(1) and sftp(1) of OpenSSH: one login, which all transfers share."""

from __future__ import annotations

import re
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from ..commands import Child, SecretFile, output
from ..errors import (
    AuthenticationFailedError,
    BackupdbError,
    ConnectionFailedError,
    HostKeyUnknownError,
    InvalidConfigError,
    ToolFailedError,
    ToolMissingError,
)

CONNECT_SECONDS = 20
LOGIN_SECONDS = 60.0
END_SECONDS = 5.0
_OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "ConnectTimeout": str(CONNECT_SECONDS),
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "4",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "PermitLocalCommand": "no",
    "LogLevel": "ERROR",
}
"""ssh_config(5). A host that says nothing for a minute is gone."""

_HOST = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]*")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@$\\-]*")
_UNQUOTABLE = re.compile(r'[\x00-\x1f\x7f"\\]')
_REFUSED = 1
"""How sftp(1) ends where the far side refused a command. Where the connection is lost it ends with 255 or, when it
writes meanwhile, by SIGPIPE."""
_ECHO = "sftp> "
# What ssh(1) says when it does not get in, and what it means.
_REFUSALS: tuple[tuple[str, type[BackupdbError]], ...] = (
    (r"Host key verification failed|host key is known|HOST IDENTIFICATION HAS CHANGED", HostKeyUnknownError),
    (r"Permission denied|Too many authentication failures|bad permissions", AuthenticationFailedError),
)
_CURES: dict[type[BackupdbError], str] = {
    HostKeyUnknownError: "Compare its key with the host's own, and put it into {known_hosts}.",
    AuthenticationFailedError: "Check user and identity_file, and that the public key is in authorized_keys there.",
    ConnectionFailedError: "Check host and port, and that its SSH server runs.",
}


class RefusedError(Exception):
    """The far side did not do what a command of ``batch`` asked for; the text is what was said."""


@dataclass(frozen=True)
class Destination:
    """A folder on another host. Without ``user`` and ``port``, and without the files, what ssh(1) takes by itself."""

    host: str
    folder: str
    user: str | None = None
    port: int | None = None
    identity_file: str | None = None
    known_hosts: str | None = None

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.folder}" if self.user else f"{self.host}:{self.folder}"


def quoted(path: PurePath) -> str:
    """A path as sftp(1) takes it to the letter, patterns included; InvalidConfigError for one that it can't be told."""
    if _UNQUOTABLE.search(str(path)):
        raise InvalidConfigError(
            f"{str(path)!r} has quotes, backslashes or control characters, which SFTP cannot be told."
        )
    return f'"{path}"'


def parse_destination(raw: Mapping[str, Any], option: str) -> Destination:
    """The destination that an option describes; InvalidConfigError where a value can't be."""
    destination = Destination(**{name: value for name, value in raw.items() if value is not None})
    if not _HOST.fullmatch(destination.host):
        raise InvalidConfigError(f"{option}.host: {destination.host!r} is no name or address of a host.")
    if destination.user is not None and not _USER.fullmatch(destination.user):
        raise InvalidConfigError(f"{option}.user: {destination.user!r} is no name of a user.")
    if destination.port is not None and not 0 < destination.port < 65536:
        raise InvalidConfigError(f"{option}.port: {destination.port} is not between 1 and 65535.")
    if not destination.folder.startswith("/"):
        raise InvalidConfigError(f"{option}.folder: {destination.folder!r} is not an absolute path.")
    quoted(PurePath(destination.folder))
    for name in ("identity_file", "known_hosts"):
        path = getattr(destination, name)
        if path is not None and (_UNQUOTABLE.search(path) or not Path(path).is_file()):
            raise InvalidConfigError(f"{option}.{name}: there is no file {path} on this host.")
    return destination


def _literal(path: str) -> str:
    """A path as ssh_config(5) takes it to the letter: no list of files, and no tokens."""
    return f'"{path.replace("%", "%%")}"'


def _arguments(destination: Destination) -> list[str]:
    settings = dict(_OPTIONS)
    if destination.user is not None:
        settings["User"] = f'"{destination.user}"'
    if destination.port is not None:
        settings["Port"] = str(destination.port)
    if destination.identity_file is not None:
        settings |= {"IdentityFile": _literal(destination.identity_file), "IdentitiesOnly": "yes"}
    if destination.known_hosts is not None:
        settings |= {"UserKnownHostsFile": _literal(destination.known_hosts), "GlobalKnownHostsFile": "none"}
    return [f"-o{name}={value}" for name, value in settings.items()]


def _last_words(child: Child) -> str:
    lines = [line.strip() for line in child.stderr().splitlines() if line.strip(" @\t")]
    return " ".join(lines[-2:]).rstrip(".")


class Connection:
    """A login at a destination. Its first ssh(1) holds the connection, which the others use (ControlMaster), and ends
    when this process does: its standard input ends then."""

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        # Nobody can guess the name, and ssh(1) lets only its own account and root in.
        self._socket = Path(f"/tmp/vya-backupdb-{secrets.token_hex(8)}.ssh")  # noqa: S108
        login = [*_arguments(destination), f"-oControlPath={self._socket}"]
        # Where the connection is gone ssh(1) would make one of its own, and what was lost would not be told.
        self._options = [*login, "-oControlMaster=no", "-oProxyCommand=false"]
        ssh = ["ssh", *login, "-oControlMaster=yes", "-s", "--", destination.host, "sftp"]
        try:
            self._master = Child(ssh, stdin=subprocess.PIPE)
        except ToolMissingError as error:
            raise ToolMissingError(f"{error} Install the OpenSSH client (Debian: openssh-client).") from None

    def wait(self) -> None:
        """Returns when the login is done; raises HostKeyUnknownError, AuthenticationFailedError or
        ConnectionFailedError."""
        deadline = time.monotonic() + LOGIN_SECONDS
        while not self._socket.exists():
            if not self._master.running or time.monotonic() > deadline:
                self._master.kill()
                raise self._refusal()
            time.sleep(0.01)

    def _refusal(self) -> BackupdbError:
        said = self._master.stderr()
        kind = next((kind for pattern, kind in _REFUSALS if re.search(pattern, said)), ConnectionFailedError)
        known_hosts = self.destination.known_hosts or "the file known_hosts of this account"
        return kind(
            f"SSH to {self.destination} failed: {_last_words(self._master) or 'it did not say why'}. "
            f"{_CURES[kind].format(known_hosts=known_hosts)}"
        )

    def batch(self, commands: Sequence[str], fds: Sequence[int] = ()) -> list[list[str]]:
        """Runs commands of sftp(1), and returns the lines that each of them printed. ``fds`` stay open for it: commands
        may name them as ``/dev/fd/N``.

        The first that fails ends the batch, unless it has a ``-`` in front. Raises RefusedError, and
        ConnectionFailedError where the connection is lost.
        """
        script = SecretFile("".join(f"{command}\n" for command in commands))
        host = f"[{self.destination.host}]" if ":" in self.destination.host else self.destination.host
        argv = ["sftp", *self._options, "-b", script.path, "--", host]
        try:
            child = Child(argv, stdout=subprocess.PIPE, pass_fds=[script.fd, *fds])
        finally:
            script.close()
        printed = child.stdout.read().decode(errors="replace")
        try:
            child.finish()
        except ToolFailedError:
            raise self._failure(child) from None
        answers: list[list[str]] = []
        for line in printed.splitlines():
            if line.startswith(_ECHO):
                answers.append([])
            elif answers:
                answers[-1].append(line)
        return answers

    def _failure(self, child: Child) -> Exception:
        if child.status == _REFUSED:
            return RefusedError(_last_words(child) or "it did not say why")
        words = _last_words(child)
        said = f": {words}" if words else ""
        return ConnectionFailedError(
            f"The connection to {self.destination} was lost{said}. What is missing there is sent by the next run."
        )

    def shell(self, command: str) -> list[str]:
        """The lines that a command of the far side's shell printed; none where it fails or may not be run.

        Raises ConnectionFailedError where the connection is lost.
        """
        try:
            return output(["ssh", *self._options, "--", self.destination.host, command]).splitlines()
        except ToolFailedError:
            self.batch(["pwd"])  # ssh(1) ends alike for what may not be run and for a lost connection
            return []

    def close(self) -> None:
        with suppress(OSError):
            self._master.stdin.close()
        deadline = time.monotonic() + END_SECONDS
        while self._master.running and time.monotonic() < deadline:
            time.sleep(0.01)
        self._master.kill()
        self._socket.unlink(missing_ok=True)


@contextmanager
def connected(destination: Destination) -> Iterator[Connection]:
    """A login that ends with the context. Raises as ``Connection.wait``, and ToolMissingError without ssh(1)."""
    connection = Connection(destination)
    try:
        connection.wait()
        yield connection
    finally:
        connection.close()
