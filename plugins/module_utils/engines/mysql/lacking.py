# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server of the other flavour, or of another version, lacks of what a backup was made with.

The server keeps with each view, routine, trigger and event the SQL mode and the collation of the session that made it.
Where the target has none of that name, the object is made without the mode, and under the default collation of the
character set.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import TargetUnfitError
from ..base import Source
from . import catalog
from .dump import FAITHFUL_SQL_MODE, HEADER_BYTES
from .tools import series

if TYPE_CHECKING:
    import sqlalchemy as sa

# As mysqldump.c prints them: each is a statement of its own, in front of what people typed.
_MODES = re.compile(rb"\A(\s*+/\*!\d++ SET sql_mode += ')([^']*+)(?=')")
_COLLATION = re.compile(rb"\A(\s*+/\*!\d++ SET )collation_connection( += )(\w++)")
_LANGUAGES = frozenset(("ORACLE",))
"""Modes that make the text of an object another language (MariaDB documentation, "SQL_MODE=ORACLE")."""
_LONG_TIMESTAMPS = (11, 5)
"""From here on MariaDB's TIMESTAMP ends in 2106 instead of 2038 (MariaDB documentation, "TIMESTAMP")."""


@dataclass(frozen=True)
class Lacking:
    """Names of SQL modes and of sessions' collations that a server does not know."""

    modes: Collection[str] = ()
    collations: Collection[str] = ()

    def replaced(self, text: bytes) -> bytes:
        """A statement of a script; one that sets these names, made to fit."""
        return _COLLATION.sub(self._with_known_collation, _MODES.sub(self._with_known_modes, text))

    def _with_known_modes(self, found: re.Match[bytes]) -> bytes:
        return found[1] + b",".join(mode for mode in found[2].split(b",") if mode.decode() not in self.modes)

    def _with_known_collation(self, found: re.Match[bytes]) -> bytes:
        name = found[3].decode()
        if name not in self.collations:
            return found[0]
        return found[1] + b"character_set_connection" + found[2] + _character_set(name).encode()


def _character_set(collation: str) -> str:
    return collation.partition("_")[0]


def find_lacking(connection: sa.Connection, notes: dict[str, Any]) -> Lacking:
    """What a server lacks of what the inventory of a backup notes; nothing where the backup is older than these
    notes."""
    known = catalog.known_collations(connection)
    return Lacking(
        modes=catalog.unknown_modes(connection, notes.get("sql_modes", ())),
        collations=[name for name in notes.get("connection_collations", ()) if name not in known],
    )


def check_lacking(connection: sa.Connection, where: str, notes: dict[str, Any]) -> list[str]:
    """Warnings of what will be made otherwise than it was; raises TargetUnfitError where that can't be."""
    lacking = find_lacking(connection, notes)
    languages = sorted(_LANGUAGES.intersection(lacking.modes))
    if languages:
        raise TargetUnfitError(
            f"{where} lacks the SQL mode {languages[0]}, in which routines, triggers or events of the backup are "
            "written. Restore to a server that has it."
        )
    known = catalog.known_collations(connection)
    foreign = [name for name in lacking.collations if _character_set(name) not in known]
    if foreign:
        raise TargetUnfitError(
            f"{where} lacks the character sets of collations under which views, routines, triggers or events of the "
            f"backup were made: {', '.join(foreign)}. Restore to a server that has them."
        )
    warnings = []
    if lacking.modes:
        warnings.append(
            f"{where} lacks SQL modes in which routines, triggers or events were made: {', '.join(lacking.modes)}. "
            "They are made without these: test them."
        )
    if lacking.collations:
        warnings.append(
            f"{where} lacks collations under which views, routines, triggers or events were made: "
            f"{', '.join(lacking.collations)}. They are made under the default of the character set: test how they "
            "compare text."
        )
    return warnings


def shorter_timestamps(flavour: str, version: str, target_version: str) -> bool:
    """Whether a TIMESTAMP of the source, of this flavour and version, may be too late for the target."""

    def long(flavour: str, version: str) -> bool:
        return flavour == "mariadb" and series(version) >= _LONG_TIMESTAMPS

    return long(flavour, version) and not long("mariadb" if "MariaDB" in target_version else "mysql", target_version)


def must_be_strict(source: Source, target_version: str) -> bool:
    """Whether data has to be loaded with ``strictly``, lest late times become zeros.

    MariaDB's tool writes the values of generated columns, and a strict session takes none.
    """
    notes = source.inventory.notes
    shorter = shorter_timestamps(source.flavour, source.server_version, target_version)
    return bool(shorter and notes.get("timestamps") and not notes["generated"])


def check_times(where: str, source: Source, target_version: str) -> list[str]:
    """Warns where times may be too late for the target and nothing would refuse them; raises TargetUnfitError where
    some are for sure: the past rows of system-versioned tables."""
    notes = source.inventory.notes
    if not shorter_timestamps(source.flavour, source.server_version, target_version):
        return []
    if notes["versioned"] and notes["history"]:
        raise TargetUnfitError(
            f"{where} of version {target_version} keeps times up to 2038, and rows of system-versioned tables end in "
            f"2106 since MariaDB 11.5: {', '.join(notes['versioned'][:5])}. Restore to MariaDB 11.5 or newer."
        )
    if not notes.get("timestamps") or must_be_strict(source, target_version):
        return []
    return [
        f"{where} of version {target_version} keeps times up to 2038: later ones become zero in columns of the type "
        f"TIMESTAMP of {', '.join(notes['timestamps'][:5])}."
    ]


def strictly(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """A data script whose session refuses what a column can't hold, instead of storing something else."""
    head: bytes | None = b""
    for chunk in chunks:
        if head is None:
            yield chunk
        elif len(head + chunk) < HEADER_BYTES:
            head += chunk
        else:
            yield _strict(head + chunk)
            head = None
    if head is not None:
        yield _strict(head)


def _strict(head: bytes) -> bytes:
    return head.replace(FAITHFUL_SQL_MODE, FAITHFUL_SQL_MODE[:-1] + b",STRICT_ALL_TABLES'", 1)
