# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Named tables brought back into a PostgreSQL database in one transaction: all of them, or nothing."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from ... import commands
from ...streams import CHUNK_BYTES
from ..base import Restored, RestoreRequest, StoredPart, Table, compare_rows
from .catalog import Relation
from .counting import CALLING, copies, counting_script
from .databases import Maintenance, staging
from .plan import Plan
from .replacing import revocations
from .restore import archive_script, copy_statement, listed, send_script, session, spooled_archive, wanted
from .sql import quoted
from .toc import Chosen, choose
from .tools import PSQL, Client, told

_END_OF_ANSWERS = "vya-backupdb end"
_FIELDS = "|"


class TablesRestore:
    """One psql session gets a BEGIN, the entries of the archive, the rows, and, once their number is right, the COMMIT.

    A session that ends before, for whatever reason, has done nothing.
    """

    def __init__(self, maintenance: Maintenance, request: RestoreRequest, plan: Plan) -> None:
        self._maintenance, self._request, self._plan = maintenance, request, plan
        self._source = request.source
        self._known: dict[str, Any] = self._source.inventory.notes["tables"]
        self._labels = plan.tables or ()
        self._what = f"tables of database {request.database} on instance {maintenance.instance.id}"

    def run(self) -> Restored:
        plan, request = self._plan, self._request
        with spooled_archive(self._source) as archive:
            chosen = self._choose(archive)
            warnings = chosen.warnings
            if plan.database_exists:
                tables = self._load(request.database, archive, chosen)
            else:
                with staging(self._maintenance, plan.properties["owner"], plan.properties) as target:
                    tables = self._load(target.name, archive, chosen)
                    warnings += target.apply(plan.properties, acl=plan.acl)
                    warnings += target.publish(request.database, replace=False)
        return Restored(tables, warnings)

    def _choose(self, archive: BinaryIO) -> Chosen:
        return choose(
            listed(self._plan, self._source, archive),
            {self._known[label]["oid"] for label in self._labels},
            {table["oid"]: (table["schema"], table["name"]) for table in self._known.values()},
            {table["oid"] for label, table in self._known.items() if label in self._plan.existing},
            new_database=not self._plan.database_exists,
            utf8=self._source.inventory.properties["encoding"] == "UTF8",
            told=self._plan.left,
        )

    def _load(self, database: str, archive: BinaryIO, chosen: Chosen) -> list[Table]:
        instance = self._maintenance.instance
        with (
            told(f"Restoring {self._what}"),
            Client(instance, database) as client,
            _session(client.talking(self._plan.psql, [*PSQL, "--file=-"])) as psql,
        ):
            self._send(psql.stdin, f"BEGIN; {session(self._source)}")
            if self._plan.replaced:
                named = ", ".join(self._quoted(label) for label in self._plan.replaced)
                self._send(psql.stdin, f"DROP TABLE {named}")
            self._entries(psql.stdin, archive, chosen.numbers, "--section=pre-data")
            psql.stdin.write(f"SET client_encoding = 'UTF8';\n{revocations(self._tables())} \\gexec\n".encode())
            self._entries(psql.stdin, archive, chosen.grants)
            self._entries(psql.stdin, archive, chosen.numbers, "--section=data")
            for part in self._copies():
                self._copy(psql.stdin, part)
            self._entries(psql.stdin, archive, chosen.numbers, "--section=post-data")
            self._entries(psql.stdin, archive, chosen.last)
            tables = self._counted(psql)
            compare_rows(self._expected(), tables, self._request.database)
            self._send(psql.stdin, "COMMIT")
        return tables

    def _quoted(self, label: str) -> str:
        return quoted(self._known[label]["schema"], self._known[label]["name"])

    def _tables(self) -> list[tuple[str, str]]:
        return [(self._known[label]["schema"], self._known[label]["name"]) for label in self._labels]

    def _expected(self) -> list[Table]:
        return [table for table in self._source.inventory.tables if table.label in self._labels]

    def _copies(self) -> list[StoredPart]:
        copies = self._source.inventory.notes["copies"]
        return [
            part for part in self._source.parts if part.kind == "copy" and copies[part.name]["table"] in self._labels
        ]

    @staticmethod
    def _send(psql: BinaryIO, statement: str) -> None:
        """A statement of our own: the scripts of the archive speak the encoding of its database, we UTF-8."""
        psql.write(f"SET client_encoding = 'UTF8';\n{statement};\n".encode())

    def _entries(self, psql: BinaryIO, archive: BinaryIO, numbers: Sequence[int], *arguments: str) -> None:
        if not numbers:
            return
        with (
            wanted(numbers) as file,
            archive_script(self._plan, archive, [f"--use-list={file.path}", *arguments], [file.fd]) as script,
        ):
            send_script(self._plan, script, psql)
        if self._request.owner is not None:
            self._send(psql, f"SET ROLE {quoted(self._request.owner)}")

    def _copy(self, psql: BinaryIO, part: StoredPart) -> None:
        self._send(psql, copy_statement(self._source, part))
        with self._source.open(part) as stream:
            shutil.copyfileobj(stream, psql, CHUNK_BYTES)
        psql.write(b"\\.\n")

    def _counted(self, psql: commands.Child) -> list[Table]:
        """Asks psql itself, for nobody else sees the rows before the COMMIT."""
        expected = self._expected()
        kinds = [self._known[table.label]["kind"] for table in expected]
        relations = [
            Relation(0, table.schema, table.name, kind, False) for table, kind in zip(expected, kinds, strict=True)
        ]
        self._answers(psql, [])  # what the scripts before have printed
        calling = self._answers(psql, [f"SELECT to_json(q) FROM ({CALLING}) AS q;"])  # noqa: S608 - a constant
        rows: Counter[int] = Counter()
        for line in self._answers(psql, counting_script(relations, copies(map(json.loads, calling)))):
            position, _separator, counted = line.partition(_FIELDS)
            rows[int(position)] += int(counted)
        return [
            Table(table.schema, table.name, rows[position], table.size_bytes) for position, table in enumerate(expected)
        ]

    @staticmethod
    def _answers(psql: commands.Child, script: Iterable[str]) -> list[str]:
        """What lines for psql make it print."""
        for line in ("SET client_encoding = 'UTF8';", *script, f"\\echo {_END_OF_ANSWERS!r}"):
            psql.stdin.write(f"{line}\n".encode())
        psql.stdin.flush()
        answers: list[str] = []
        for answer in psql.stdout:
            text = answer.decode(errors="replace").rstrip("\n")
            if text == _END_OF_ANSWERS:
                return answers
            answers.append(text)
        psql.finish()
        return answers


@contextmanager
def _session(psql: commands.Child) -> Iterator[commands.Child]:
    """Leaving cleanly sends the end of the input; a psql that ended by itself is reported by its own words."""
    try:
        yield psql
        psql.stdin.close()
    except BrokenPipeError:
        psql.finish()
        raise
    except BaseException:
        psql.kill()
        raise
    psql.finish()
