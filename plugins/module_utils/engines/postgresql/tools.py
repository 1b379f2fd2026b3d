# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's client programs: the right version of each, told where to connect without a secret in sight."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import BinaryIO

from ... import commands
from ...config import Instance
from ...errors import DatabaseBusyError, ToolFailedError, ToolMissingError
from ...security.redact import Redactor
from ..connect import libpq_parameters

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    from psycopg.conninfo import make_conninfo

FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
"""Where Debian's and the PostgreSQL project's packages put each major version's programs."""


def major(version: str) -> int:
    """15 of ``15.20``."""
    found = re.match(r"\d+", version)
    return int(found[0]) if found else 0


@dataclass(frozen=True)
class Tool:
    path: str
    version: str

    @property
    def name(self) -> str:
        return Path(self.path).name

    @property
    def major(self) -> int:
        return major(self.version)

    def sibling(self, name: str) -> Tool:
        """Another program of the same package: pg_restore's scripts may need a psql that is not older."""
        return replace(self, path=str(Path(self.path).with_name(name)))


@cache
def _version(path: str) -> str | None:
    try:
        said = re.search(r"(\d+)\S*", commands.output([path, "--version"]))
    except ToolFailedError:  # a broken program is as good as none
        return None
    return said and said[0]


def _found(name: str, folders: Sequence[str] | None) -> list[Tool]:
    versions = {path: _version(path) for path in commands.find_programs([name], folders)}
    return [Tool(path, version) for path, version in versions.items() if version]


def find_tool(name: str, needed: int, purpose: str) -> Tool:
    """The installed program of the lowest major version that is at least ``needed``: a package's own before any that
    PATH finds, for that is often a wrapper that takes its time to choose among the same.

    Raises ToolMissingError naming the package to install and what is there instead.
    """
    there: list[Tool] = []
    for folders in (FOLDERS, None):
        there += _found(name, folders)
        if fit := [tool for tool in there if tool.major >= needed]:
            return min(fit, key=lambda tool: tool.major)
    older = ", ".join(sorted(f"{tool.path} is version {tool.version}" for tool in there))
    raise ToolMissingError(
        f"{purpose} needs {name} {needed} or newer, and {older or 'none is installed'}. "
        f"Install the package postgresql-client-{needed} (Debian) or postgresql{needed} (Red Hat)."
    )


_SERVER_ERROR = re.compile(r"\b(?:ERROR|FATAL|PANIC):\s*")
_TOOL_ERROR = re.compile(r"^.*?\berror:\s*")


def _words_that_matter(stderr: str) -> str:
    """The first error of a tool with its hint, on one line; rows of tables that a DETAIL may quote are left out."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [i for i, line in enumerate(lines) if _SERVER_ERROR.search(line)]
    errors = errors or [i for i, line in enumerate(lines) if _TOOL_ERROR.search(line)]
    if not errors:
        return " ".join(lines[-3:])
    first, *others = errors
    head = lines[first]
    kept = [_SERVER_ERROR.split(head, maxsplit=1)[-1] if _SERVER_ERROR.search(head) else _TOOL_ERROR.sub("", head)]
    for line in lines[first + 1 : others[0] if others else None]:
        if line.startswith("HINT:") or (line.startswith("DETAIL:") and not re.match(r"DETAIL:\s+(Key|Failing) ", line)):
            kept.append(line)
    return " ".join(kept)


@contextmanager
def told(what: str) -> Iterator[None]:
    """Makes one sentence of a tool's failure: what failed, and the tool's first error."""
    try:
        yield
    except ToolFailedError as error:
        words = _words_that_matter(error.message).rstrip(".")
        if re.search(r"(lock|statement) timeout", words):  # pg_dump waits for locks with a statement_timeout
            raise DatabaseBusyError(
                f"{what} waited too long for a lock ({words}). Let the schema change that holds it, or waits for it, "
                "come to its end, then try again."
            ) from None
        raise ToolFailedError(f"{what} failed: {words}.") from None


class Client:
    """Runs client programs against one database of an instance.

    The password travels in a password file that exists only as an inherited descriptor (libpq: PGPASSFILE wants a
    regular file with mode 0600; the libpq of every supported version takes ``/dev/fd/N`` of a memfd for one). Such
    a file is read line by line, so that a password with a line break, and only that, goes through PGPASSWORD in the
    child's own environment, which root and the child's user can read. ``settings`` hold for the programs' sessions, as
    options on PostgreSQL's command line (libpq: PGOPTIONS).
    """

    def __init__(self, instance: Instance, database: str, settings: str = "") -> None:
        self.redact = Redactor([instance.password])
        self._conninfo = make_conninfo(**libpq_parameters(instance), dbname=database)
        # PGPASSWORD of our own environment would win over the file; names in statements are UTF-8.
        self._environment = {"PGCLIENTENCODING": "UTF8"}
        if settings:
            self._environment["PGOPTIONS"] = f"{os.environ.get('PGOPTIONS', '')} {settings}"
        self._secret: commands.SecretFile | None = None
        password = instance.password
        if password is None:
            return
        if "\n" in password or password.endswith("\r"):
            self._environment["PGPASSWORD"] = password
        else:
            escaped = password.replace("\\", "\\\\").replace(":", "\\:")
            self._secret = commands.SecretFile(f"*:*:*:*:{escaped}\n")
            self._environment |= {"PGPASSWORD": "", "PGPASSFILE": self._secret.path}

    def close(self) -> None:
        if self._secret:
            self._secret.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _argv(self, tool: Tool, arguments: Sequence[str]) -> list[str]:
        return [tool.path, "--no-password", f"--dbname={self._conninfo}", *arguments]

    def _pass_fds(self, fds: Iterable[int]) -> list[int]:
        return [*fds, *([self._secret.fd] if self._secret else [])]

    @contextmanager
    def reading(self, tool: Tool, arguments: Sequence[str]) -> Iterator[BinaryIO]:
        with commands.reading(
            self._argv(tool, arguments), env=self._environment, pass_fds=self._pass_fds(()), redact=self.redact
        ) as stream:
            yield stream

    @contextmanager
    def writing(self, tool: Tool, arguments: Sequence[str]) -> Iterator[BinaryIO]:
        with commands.writing(
            self._argv(tool, arguments), env=self._environment, pass_fds=self._pass_fds(()), redact=self.redact
        ) as stream:
            yield stream

    @contextmanager
    def script(self, psql: Tool, text: str) -> Iterator[commands.Child]:
        """psql with a script; its standard output is a pipe."""
        with closing(commands.SecretFile(text)) as file:
            child = self._child(psql, [*PSQL, f"--file={file.path}"], pass_fds=[file.fd])
            with commands.ending(child):
                yield child

    def talking(self, tool: Tool, arguments: Sequence[str]) -> commands.Child:
        """A program whose input and output are both pipes; end it with ``finish`` or ``kill``."""
        return self._child(tool, arguments, stdin=subprocess.PIPE)

    def _child(
        self, tool: Tool, arguments: Sequence[str], stdin: int = subprocess.DEVNULL, pass_fds: Iterable[int] = ()
    ) -> commands.Child:
        return commands.Child(
            self._argv(tool, arguments),
            stdin=stdin,
            stdout=subprocess.PIPE,
            env=self._environment,
            pass_fds=self._pass_fds(pass_fds),
            redact=self.redact,
        )

    def run(self, tool: Tool, arguments: Sequence[str], pass_fds: Iterable[int] = ()) -> None:
        commands.output(
            self._argv(tool, arguments),
            env=self._environment,
            pass_fds=self._pass_fds(pass_fds),
            redact=self.redact,
        )


MONEY_AS_IN_C = "-c lc_monetary=C"
"""A setting for sessions that write or read money as text: the locale says how many decimals it has."""

PSQL = ("--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1")
"""psql as a pipe: no settings of the user, nothing but rows on standard output, an error ends it with status 3."""


def inherited(fd: int) -> str:
    """The name under which a child opens a descriptor that it inherits; every open starts at byte 0 (Linux)."""
    return f"/dev/fd/{fd}"
