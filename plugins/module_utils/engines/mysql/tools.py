# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client programs of MySQL and MariaDB: which ones fit a server, and how they are told where to connect."""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from ... import commands
from ...config import Instance
from ...errors import ToolFailedError, ToolMissingError
from ..connect import CONNECT_TIMEOUT_SECONDS, local_socket, tcp_address

_VERSIONS = (
    ("mariadb", re.compile(r"(?:Distrib|from) (\d+\.\d+\.\d+)-MariaDB")),
    ("mysql", re.compile(r"(?:Distrib|Ver) (\d+\.\d+\.\d+)\b(?!.*MariaDB)")),
)
# MySQL manual, "4.6.1 mysql_config_editor": the only way to keep the login file of this account out of a connection.
_ENVIRONMENT = {"MYSQL_TEST_LOGIN_FILE": "/dev/null"}


@dataclass(frozen=True)
class Flavour:
    """What differs between the two families of client programs."""

    name: str
    title: str
    package: str
    dump_programs: tuple[str, ...]
    client_programs: tuple[str, ...]
    dump_options: tuple[str, ...]
    binary_dump_options: tuple[str, ...]
    client_options: tuple[str, ...]
    loading: tuple[str, ...]
    """What sessions are set to that load a backup, as far as the server and the account allow it: it takes again what
    the source took."""
    row_per_line: bool
    """Whether the dump tool writes each row on a line of its own."""


_SSL_MODES = {"prefer": "PREFERRED", "require": "REQUIRED", "verify-ca": "VERIFY_CA", "verify-full": "VERIFY_IDENTITY"}

# "loose" lets a tool without the option go on (MySQL manual, "4.2.2.4 Program Option Modifiers").
_SESSION = "wait_timeout = 86400"
FLAVOURS = {
    "mariadb": Flavour(
        name="mariadb",
        title="MariaDB",
        package="mariadb-client",
        dump_programs=("mariadb-dump", "mysqldump"),
        client_programs=("mariadb", "mysql"),
        dump_options=(),
        binary_dump_options=(),
        client_options=("--loose-skip-print-query-on-error",),  # the query may be a megabyte of somebody's data
        loading=(
            "max_statement_time = 0",
            "innodb_strict_mode = OFF",
            "check_constraint_checks = OFF",
            "explicit_defaults_for_timestamp = ON",
        ),
        row_per_line=True,
    ),
    "mysql": Flavour(
        name="mysql",
        title="MySQL",
        package="mysql-client",
        dump_programs=("mysqldump",),
        client_programs=("mysql",),
        dump_options=("--set-gtid-purged=OFF", "--loose-column-statistics=0"),
        # MySQL takes the name of the database that a client of the character set binary chooses for latin1.
        binary_dump_options=("--loose-init-command=SET character_set_client = utf8mb4",),
        client_options=(),
        loading=(
            "innodb_strict_mode = OFF",
            "explicit_defaults_for_timestamp = ON",
            "restrict_fk_on_non_standard_key = OFF",
            "sql_require_primary_key = OFF",
            "sql_generate_invisible_primary_key = OFF",
        ),
        row_per_line=False,
    ),
}


@dataclass(frozen=True)
class Tool:
    """An installed client program that fits the server."""

    path: str
    version: str


def series(version: str) -> tuple[int, int]:
    """The release series of a version: ``10.11.19-MariaDB-log`` is of series (10, 11)."""
    numbers = [int(number) for number in re.findall(r"\d+", version)[:2]]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)


def parse_version(text: str) -> tuple[str, str] | None:
    """Flavour and version out of what a client program prints for ``--version``; None when it is neither's."""
    for flavour, pattern in _VERSIONS:
        found = pattern.search(text)
        if found:
            return flavour, found[1]
    return None


@cache
def _asked_version(path: str) -> tuple[str, str] | None:
    try:
        return parse_version(commands.output([path, "--no-defaults", "--version"], env=_ENVIRONMENT))
    except (ToolFailedError, ToolMissingError):
        return None


def find_tool(flavour: Flavour, programs: Sequence[str], server_version: str) -> Tool:
    """The first of the programs on PATH that is of the server's flavour and not of an older series than the server.

    Raises ToolMissingError naming the package to install and what was found instead.
    """
    found = []
    for path in commands.find_programs(programs):
        parsed = _asked_version(path)
        if parsed and parsed[0] == flavour.name and series(parsed[1]) >= series(server_version):
            return Tool(path, parsed[1])
        found.append(f"{path} of {FLAVOURS[parsed[0]].title} {parsed[1]}" if parsed else f"{path} of unknown origin")
    wanted = ".".join(map(str, series(server_version)))
    raise ToolMissingError(
        f"The server is {flavour.title} {wanted}, and no {programs[0]} of that series or newer is installed "
        f"(found: {', '.join(found) or 'none'}). Install the package {flavour.package} in version {wanted} or newer."
    )


def _quoted(value: str) -> str:
    """A value of an option file (MySQL manual, "4.2.2.2 Using Option Files": escapes and quotes)."""
    escapes = {"\\": "\\\\", '"': '\\"', "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b"}
    return '"' + "".join(escapes.get(letter, letter) for letter in value) + '"'


def _tls_options(instance: Instance, flavour: Flavour, encrypted: bool) -> dict[str, str]:
    tls = instance.tls
    if tls.mode == "disable" or (local_socket(instance) and tls.mode == "prefer"):
        return {"ssl-mode": "DISABLED"} if flavour.name == "mysql" else {"ssl": "0"}
    files = {"ssl-ca": tls.ca, "ssl-cert": tls.cert, "ssl-key": tls.key}
    verified = tls.mode in ("verify-ca", "verify-full")
    if flavour.name == "mysql":
        options = {"ssl-mode": _SSL_MODES[tls.mode]}
        if verified:
            files["ssl-ca"] = tls.ca or ssl.get_default_verify_paths().openssl_cafile
        else:
            del files["ssl-ca"]
    elif tls.mode == "prefer" and not encrypted:
        return {"ssl": "0"}
    else:
        options = {"ssl": "1", "ssl-verify-server-cert": str(int(verified))}
    return options | {name: path for name, path in files.items() if path}


def option_file(instance: Instance, flavour: Flavour, encrypted: bool) -> str:
    """The text of an option file that tells a client program of that flavour how to connect to an instance.

    ``encrypted`` says whether our own connection was: MariaDB's programs know no "prefer". They check the host's name
    together with the certificate, so ``verify-ca`` is as strict as ``verify-full`` with them.
    """
    options = {"password": instance.password or ""}
    if instance.username:
        options["user"] = instance.username
    socket = local_socket(instance)
    if socket:
        options |= {"protocol": "socket", "socket": socket, "host": "localhost"}  # else MYSQL_HOST would count
    else:
        host, port = tcp_address(instance)
        options |= {"protocol": "tcp", "host": host, "port": str(port)}
    if flavour.name == "mysql" and instance.tls.mode in ("disable", "prefer"):
        options["loose-get-server-public-key"] = "1"
    options |= _tls_options(instance, flavour, encrypted)
    return "[client]\n" + "".join(f"{name}={_quoted(value)}\n" for name, value in options.items())


@dataclass(frozen=True)
class Login:
    """An option file ready to be handed to children, and what they need besides."""

    secret: commands.SecretFile
    environment = _ENVIRONMENT

    @property
    def argument(self) -> str:
        """The argument that makes a program read only our option file; it must be the first one."""
        return f"--defaults-file={self.secret.path}"


def client_arguments(
    flavour: Flavour, tool: Tool, login: Login, database: str, loading: Sequence[str] = ()
) -> list[str]:
    """A client that runs a script from its standard input in a database and stops at the first error. Its session
    begins with the assignments in ``loading``.

    ``--binary-mode`` takes the script to the letter and switches the client's own commands off, ``--comments`` keeps
    the comments in routines, and a lost connection is never replaced by a new one without the session's settings
    (MariaDB documentation, "mariadb Command-Line Client"; MySQL manual, "mysql Client Options").
    """
    return [
        tool.path,
        login.argument,
        "--binary-mode",
        "--comments",
        "--skip-reconnect",
        f"--connect-timeout={CONNECT_TIMEOUT_SECONDS}",
        "--max-allowed-packet=1G",
        "--default-character-set=utf8mb4",
        f"--init-command=SET SESSION {', '.join((_SESSION, *loading))}",
        *flavour.client_options,
        f"--database={database}",
    ]
