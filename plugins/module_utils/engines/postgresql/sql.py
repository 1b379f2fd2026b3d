# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, values and statements written as PostgreSQL reads them, by SQLAlchemy's own rules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cache

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa
    from sqlalchemy.dialects import postgresql

# Settings whose value is a list of quoted names: GUC_LIST_QUOTE in guc_tables.c, and in pg_dump's dumputils.c.
_LISTS = (
    "local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries",
    "temp_tablespaces", "unix_socket_directories",
)  # fmt: skip


@cache
def _dialect() -> sa.Dialect:
    """PostgreSQL's quoting without a driver's placeholders: a ``%`` or ``:`` in a name stays as it is."""
    return postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]


def quoted(*names: str) -> str:
    """A name, or a qualified one, always in double quotes."""
    return ".".join(_dialect().identifier_preparer.quote_identifier(name) for name in names)


def quoted_list(names: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in names)


def literal(value: str) -> str:
    """A string constant, for statements that take no parameters; standard_conforming_strings must be on."""
    return str(sa.literal(value).compile(dialect=_dialect(), compile_kwargs={"literal_binds": True}))


def setting_values(parameter: str, value: str) -> list[str]:
    """A setting's values for ``ALTER … SET … TO``, from the form in which the server stores them."""
    if parameter not in _LISTS:
        return [value]
    # The stored form is the quoted one: "$user", public
    names = re.findall(r'"((?:[^"]|"")*)"|([^\s,"]+)', value)
    return [(inner or bare).replace('""', '"') for inner, bare in names] or [""]


def copy_out(schema: str, table: str, columns: Sequence[str], encoding: str, pages: tuple[int, int | None]) -> str:
    """``COPY … TO STDOUT`` of a heap table's pages from the first up to, not including, the second; None is the end.

    A ctid comparison reads only those pages since PostgreSQL 14 ("TID Range Scan").
    """
    first, end = pages
    what = f"{quoted(schema, table)} ({quoted_list(columns)})"
    if first or end is not None:
        where = f"ctid >= '({int(first)},0)'" + (f" AND ctid < '({int(end)},0)'" if end is not None else "")
        what = f"(SELECT {quoted_list(columns)} FROM ONLY {quoted(schema, table)} WHERE {where})"  # noqa: S608 - quoted
    return f"COPY {what} TO STDOUT WITH (ENCODING {literal(encoding)})"


def copy_in(schema: str, table: str, columns: Sequence[str], encoding: str) -> str:
    return f"COPY {quoted(schema, table)} ({quoted_list(columns)}) FROM STDIN WITH (ENCODING {literal(encoding)})"
