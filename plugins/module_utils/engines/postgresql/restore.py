# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole PostgreSQL database brought back: loaded under a name of ours, counted, then swapped in by rename."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import BinaryIO

from ... import commands, scratch
from ...config import Instance
from ...errors import NoSpaceError, ToolFailedError
from ...parallel import in_parallel
from ...streams import CHUNK_BYTES
from ..base import Restored, RestoreRequest, Source, StoredPart, Table, compare_rows
from . import catalog
from .counting import count_rows
from .databases import Maintenance, Staging, staging
from .plan import Plan, archive_part
from .sql import copy_in, quoted
from .toc import Entry, parse, put_off
from .tools import MONEY_AS_IN_C, PSQL, Client, inherited, told

_SESSION = (
    "SET row_security = off; SET statement_timeout = 0; SET lock_timeout = 0; "
    "SET idle_in_transaction_session_timeout = 0; SET search_path = ''; SET xmloption = content; "
    "SET check_function_bodies = false; SET client_min_messages = warning; SET array_nulls = on; "
    "SET constraint_exclusion = off"
)
"""As pg_restore sets its own sessions, and what it leaves to the settings of role and database."""


@contextmanager
def spooled_archive(source: Source) -> Iterator[BinaryIO]:
    """The archive as a file without a name, for pg_restore wants to seek in it and its jobs to open it again."""
    part = archive_part(source)
    with scratch.unlinked_file(part.raw_bytes) as file:
        with source.open(part) as stream:
            try:
                shutil.copyfileobj(stream, file, CHUNK_BYTES)
                file.flush()
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                raise NoSpaceError(
                    "The room for temporary files ran out, and pg_restore needs the archive there. "
                    "Make room, or set TMPDIR to a larger folder."
                ) from None
        yield file


def listed(plan: Plan, source: Source, archive: BinaryIO) -> list[Entry]:
    """The archive's table of contents."""
    argv = [plan.pg_restore.path, "--list", "--verbose", inherited(archive.fileno())]
    with told(f"Listing the archive of database {source.database}"):
        return parse(commands.output(argv, pass_fds=[archive.fileno()]).split("\n"))


@contextmanager
def wanted(numbers: Iterable[int]) -> Iterator[commands.SecretFile]:
    """A file that tells pg_restore which entries to restore."""
    with closing(commands.SecretFile("".join(f"{number};\n" for number in numbers))) as file:
        yield file


def _money_as_in_c(source: Source) -> bool:
    """Sets of early versions have money as the locale of their server writes it, which they do not say."""
    return "lc_monetary" in source.inventory.notes


def session(source: Source) -> str:
    """What a session that loads rows begins with."""
    return _SESSION + ("; SET lc_monetary = 'C'" if _money_as_in_c(source) else "")


def copy_statement(source: Source, part: StoredPart) -> str:
    """The statement that takes a part of kind ``copy`` in."""
    notes = source.inventory.notes
    copy = notes["copies"][part.name]
    table = notes["tables"][copy["table"]]
    return copy_in(table["schema"], table["name"], copy["columns"], source.inventory.properties["encoding"])


@contextmanager
def archive_script(
    plan: Plan, archive: BinaryIO, arguments: Sequence[str], pass_fds: Iterable[int] = ()
) -> Iterator[BinaryIO]:
    """Entries of the archive as a script for psql."""
    argv = [plan.pg_restore.path, "--file=-", *plan.arguments, *arguments, inherited(archive.fileno())]
    with commands.reading(argv, pass_fds=[archive.fileno(), *pass_fds]) as stream:
        yield stream


def send_script(plan: Plan, script: BinaryIO, psql: BinaryIO) -> None:
    """Copies a script; a setting in its head that the target is too old for stays out."""
    if plan.through_psql:
        psql.write(script.read(4096).replace(b"SET transaction_timeout = 0;\n", b"", 1))
    shutil.copyfileobj(script, psql, CHUNK_BYTES)


def _shared_jobs(source: Source, copies: Sequence[StoredPart], jobs: int) -> tuple[int, int]:
    """How many of the jobs load the archive and how many the copies, by their bytes; each kind gets one at least."""
    if not copies:
        return jobs, 1
    archive, rest = archive_part(source).raw_bytes, sum(part.raw_bytes for part in copies)
    for_archive = max(1, min(jobs - 1, round(jobs * archive / max(archive + rest, 1))))
    return for_archive, max(1, jobs - for_archive)


_LOADING = "-c synchronous_commit=off -c array_nulls=on"
"""Nothing waits for the disk while a database is loaded that nobody has yet. When it is given its name, that commit
waits until all before it is on the disk (PostgreSQL manual, "Asynchronous Commit"). NULL within an array is no text."""


class WholeRestore:
    def __init__(self, maintenance: Maintenance, request: RestoreRequest, plan: Plan) -> None:
        self._maintenance, self._request, self._plan = maintenance, request, plan
        self._instance: Instance = maintenance.instance
        self._source = request.source
        self._what = f"database {request.database} on instance {self._instance.id}"

    def run(self) -> Restored:
        plan, request = self._plan, self._request
        settings = f"{_LOADING} {MONEY_AS_IN_C}" if _money_as_in_c(self._source) else _LOADING
        with (
            spooled_archive(self._source) as archive,
            staging(self._maintenance, plan.properties["owner"], plan.properties) as target,
            Client(self._instance, target.name, settings) as client,
        ):
            late = put_off(listed(plan, self._source, archive))
            entries = partial(self._entries, client, archive)
            self._load(target, client, entries, late.others)
            warnings = self._refreshed(entries, late.refreshes)
            tables = self._counted(target)
            compare_rows(request.expected_tables, tables, request.database)
            if late.event_triggers:
                entries("event triggers", numbers=[entry.number for entry in late.event_triggers])
            warnings += target.apply(plan.properties, acl=plan.acl)
            warnings += target.publish(request.database, replace=request.replace)
        return Restored(tables, warnings)

    def _load(self, target: Staging, client: Client, entries: Callable[..., None], numbers: Sequence[int]) -> None:
        copies = [part for part in self._source.parts if part.kind == "copy"]
        jobs = self._request.jobs
        entries("pre-data", "--section=pre-data", numbers=numbers)
        for_archive, for_copies = _shared_jobs(self._source, copies, jobs)
        tasks: list[Callable[[], None]] = [
            partial(entries, "data", "--section=data", jobs=for_archive, numbers=numbers)
        ]
        tasks += [partial(self._copy, client, part) for part in copies]
        in_parallel(tasks, 1 if jobs == 1 else for_copies + bool(copies), target.disconnect)
        entries("post-data", "--section=post-data", jobs=jobs, numbers=numbers)

    def _refreshed(self, entries: Callable[..., None], refreshes: Sequence[Entry]) -> list[str]:
        """Fills materialized views; a sentence for each that cannot be filled, such as one of what is elsewhere."""
        if not refreshes:
            return []
        with suppress(ToolFailedError):
            numbers = [entry.number for entry in refreshes]
            entries("materialized views", jobs=self._request.jobs, numbers=numbers)
            return []
        warnings = []
        for entry in refreshes:
            try:
                entries(f"rows of the materialized view {entry.title}", numbers=[entry.number])
            except ToolFailedError as error:
                warnings.append(f"{error.message} Run REFRESH MATERIALIZED VIEW when this is mended.")
        return warnings

    def _entries(
        self, client: Client, archive: BinaryIO, what: str, *arguments: str, jobs: int = 1, numbers: Iterable[int]
    ) -> None:
        """Restores those of the entries with these numbers that the arguments do not leave out."""
        plan = self._plan
        with told(f"Restoring the {what} of {self._what}"), wanted(numbers) as file:
            chosen = [f"--use-list={file.path}", *arguments]
            if plan.through_psql:
                with (
                    client.writing(plan.psql, [*PSQL, "--file=-"]) as psql,
                    archive_script(plan, archive, chosen, [file.fd]) as script,
                ):
                    send_script(plan, script, psql)
                return
            chosen += ["--exit-on-error", *([f"--jobs={jobs}"] if jobs > 1 else [])]
            client.run(
                plan.pg_restore,
                [*plan.arguments, *chosen, inherited(archive.fileno())],
                pass_fds=[archive.fileno(), file.fd],
            )

    def _copy(self, client: Client, part: StoredPart) -> None:
        role = [f"SET ROLE {quoted(self._request.owner)}"] if self._request.owner is not None else []
        statements = ["; ".join([session(self._source), *role]), copy_statement(self._source, part)]
        arguments = [*PSQL, *(f"--command={statement}" for statement in statements)]
        with (
            told(f"Restoring {part.name} of {self._what}"),
            client.writing(self._plan.psql, arguments) as psql,
            self._source.open(part) as stream,
        ):
            shutil.copyfileobj(stream, psql, CHUNK_BYTES)

    def _counted(self, target: Staging) -> list[Table]:
        expected = {table.label for table in self._request.expected_tables}
        with target.connection() as connection:
            return count_rows(connection, [table for table in catalog.relations(connection) if table.label in expected])
