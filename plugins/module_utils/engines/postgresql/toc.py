# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of contents of a pg_dump archive, and which entries belong to which tables.

``pg_restore --list --verbose`` prints for every entry its number, the oids of its catalogue and of its object, its
kind, schema, name and owner, and the numbers of the entries that it depends on (pg_backup_archiver.c, PrintTOCSummary).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

# The longest first: "TABLE DATA" is not a "TABLE" named DATA.
_KINDS = sorted(
    (
        "ACL", "AGGREGATE", "CHECK CONSTRAINT", "COMMENT", "CONSTRAINT", "DEFAULT", "DEFAULT ACL", "DOMAIN",
        "EVENT TRIGGER", "EXTENSION",
        "FK CONSTRAINT", "FOREIGN TABLE", "FUNCTION", "INDEX", "INDEX ATTACH", "MATERIALIZED VIEW",
        "MATERIALIZED VIEW DATA", "POLICY", "PROCEDURE", "PUBLICATION", "PUBLICATION TABLE", "ROW SECURITY", "RULE",
        "SCHEMA", "SECURITY LABEL", "SEQUENCE", "SEQUENCE OWNED BY", "SEQUENCE SET", "SHELL TYPE", "STATISTICS",
        "STATISTICS DATA", "TABLE", "TABLE ATTACH", "TABLE DATA", "TRIGGER", "TYPE", "VIEW",
    ),
    key=len,
    reverse=True,
)  # fmt: skip
_LINE = re.compile(rf"(\d+); \d+ (\d+) (?:({'|'.join(_KINDS)}) )?(.*)")

# What a table takes along. Those named by their table may depend on other tables too, whose they are not.
_NAMED_BY_TABLE = {"DEFAULT", "CHECK CONSTRAINT", "CONSTRAINT", "FK CONSTRAINT", "POLICY", "ROW SECURITY", "RULE",
                   "TRIGGER", "TABLE DATA"}  # fmt: skip
_BY_FIRST_TABLE = {"INDEX", "STATISTICS", "SEQUENCE"}
_ABOUT_ONE = {"ACL", "COMMENT", "SECURITY LABEL", "SEQUENCE OWNED BY", "SEQUENCE SET", "STATISTICS DATA"}
_JOINING = {"TABLE ATTACH", "INDEX ATTACH"}
_ROWS = {"TABLE DATA", "MATERIALIZED VIEW DATA"}


@dataclass(frozen=True)
class Entry:
    number: int
    oid: int
    kind: str
    rest: str
    depends: list[int] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Schema and name without the owner, who ends the line."""
        return self.rest.rsplit(" ", 1)[0]


def parse(listing: Iterable[str]) -> list[Entry]:
    """The entries of a verbose listing, in the archive's order."""
    entries: list[Entry] = []
    for line in listing:
        if entries and line.startswith(";\tdepends on:"):
            entries[-1].depends.extend(int(number) for number in line.split(":", 1)[1].split())
        elif found := _LINE.match(line):
            number, oid, kind, rest = found.groups()
            entries.append(Entry(int(number), int(oid), kind or "", rest))
    return entries


@dataclass(frozen=True)
class Chosen:
    """The numbers of the entries to restore, of the grants among them, of those to restore last of all, and sentences
    about what stays out.

    Grants stand for the difference from a table of which nobody but its owner was given anything: one made anew must
    be such a table before them. A partition is attached last to a partitioned table that stays as it is: else the
    server would make its indexes before the archive does.
    """

    numbers: list[int]
    grants: list[int]
    last: list[int]
    warnings: list[str]


def _as_listed(text: str, *, utf8: bool) -> str:
    """A listing has names in one line, in the encoding of their database: of others than UTF-8 compare the ASCII."""
    return re.sub(r"[\r\n]", " ", text) if utf8 else re.sub(r"[^ -~]", "", text)


class _Choice:
    def __init__(
        self, entries: Sequence[Entry], wanted: Collection[int], names: Mapping[int, tuple[str, str]], *, utf8: bool
    ) -> None:
        self._entries = entries
        self._by_number = {entry.number: entry for entry in entries}
        self._utf8 = utf8
        listed = {oid: _as_listed(f"{schema} {name} ", utf8=utf8) for oid, (schema, name) in names.items()}
        self.tables = {entry.number: entry.oid for entry in entries if entry.kind == "TABLE"}
        self._labels = {number: listed[oid] for number, oid in self.tables.items() if oid in listed}
        self.own_tables = {number for number, oid in self.tables.items() if oid in wanted}
        self.numbers = set(self.own_tables)
        self.warnings: list[str] = []

    def _belongs(self, entry: Entry) -> bool:
        tables = [number for number in entry.depends if number in self._labels]
        if entry.kind in _NAMED_BY_TABLE:
            line = _as_listed(f"{entry.rest} ", utf8=self._utf8)
            named = [number for number in tables if line.startswith(self._labels[number])]
            # of tables "a" and "a b" the longer name is meant
            return bool(named) and max(named, key=lambda number: len(self._labels[number])) in self.own_tables
        if entry.kind in _BY_FIRST_TABLE:
            return bool(tables) and tables[0] in self.own_tables
        return entry.kind in _ABOUT_ONE and not self.numbers.isdisjoint(entry.depends)

    def take_along(self) -> None:
        while more := {
            entry.number for entry in self._entries if entry.number not in self.numbers and self._belongs(entry)
        }:
            self.numbers |= more

    def _leads_to_what_is_there(self, key: Entry, present: Collection[int]) -> bool:
        """Whether all that a foreign key depends on is restored with it or is in the target already."""
        there = self.numbers | {number for number, oid in self.tables.items() if oid in present}
        others = [self._by_number[number] for number in key.depends if number in self._by_number]
        return all(
            other.number in there or (other.kind in ("CONSTRAINT", "INDEX") and not there.isdisjoint(other.depends))
            for other in others
            if other.kind in ("TABLE", "CONSTRAINT", "INDEX")
        )

    def leave_out(self, present: Collection[int], told: Collection[str]) -> None:
        """Foreign keys to tables that the target will not have, and memberships in publications."""
        left_out: set[int] = set()
        for entry in self._entries:
            if entry.kind == "FK CONSTRAINT" and entry.number in self.numbers:
                if not self._leads_to_what_is_there(entry, present):
                    left_out.add(entry.number)
                    self.warnings.append(
                        f"The foreign key {entry.title} is left out: it leads to a table that the database lacks."
                    )
            elif entry.kind in _ABOUT_ONE and left_out.intersection(entry.depends):
                left_out.add(entry.number)
            elif (
                entry.kind == "PUBLICATION TABLE"
                and self.own_tables.intersection(entry.depends)
                and _as_listed(entry.title, utf8=self._utf8) not in told
            ):
                self.warnings.append(
                    f"The membership in publication {entry.title} is left out: add the table to it again."
                )
        self.numbers -= left_out

    def bring_needed(self) -> None:
        """All that the entries depend on, and what is said about it, but no rows of other tables."""
        waiting = list(self.numbers)
        while waiting:
            depends = [self._by_number.get(number) for number in self._by_number[waiting.pop()].depends]
            needed = {entry.number for entry in depends if entry and entry.kind not in _ROWS} - self.numbers
            self.numbers |= needed
            waiting += needed
        about = [entry for entry in self._entries if entry.kind in _ABOUT_ONE and entry.depends]
        self.numbers |= {entry.number for entry in about if self.numbers.issuperset(entry.depends)}

    def join(self, present: Collection[int]) -> list[int]:
        """Attaches partitions and their indexes; returns what is to be attached to tables that are there already."""
        joining = [entry for entry in self._entries if entry.kind in _JOINING]
        self.numbers |= {entry.number for entry in joining if self.numbers.issuperset(entry.depends)}
        there = self.numbers | {number for number, oid in self.tables.items() if oid in present}
        return [
            entry.number
            for entry in joining
            if entry.number not in self.numbers
            and self.own_tables.intersection(entry.depends)
            and there.issuperset(entry.depends)
        ]


def choose(
    entries: Sequence[Entry],
    wanted: Collection[int],
    names: Mapping[int, tuple[str, str]],
    present: Collection[int],
    *,
    new_database: bool,
    utf8: bool,
    told: Collection[str] = (),
) -> Chosen:
    """The entries that make the wanted tables whole; ``names`` has schema and name of all tables, by their oids.

    Into an existing database nothing comes that is not the tables' own; ``present`` are the tables that are there, to
    which partitions are attached and foreign keys lead again. A new database also gets all that the tables need. Of
    memberships in publications that are ``told``, nothing more is said.
    """
    choice = _Choice(entries, wanted, names, utf8=utf8)
    choice.take_along()
    choice.leave_out(present, {_as_listed(title, utf8=utf8) for title in told})
    if new_database:
        choice.bring_needed()
    last = choice.join(present)
    chosen = [entry for entry in entries if entry.number in choice.numbers]
    numbers, grants = ([entry.number for entry in chosen if (entry.kind == "ACL") == acl] for acl in (False, True))
    return Chosen(numbers, grants, last, choice.warnings)


@dataclass(frozen=True)
class PutOff:
    """Entries that a whole restore keeps for the end, and the numbers of all ``others``.

    pg_restore itself refreshes materialized views after it made event triggers, which would act then.
    """

    others: list[int]
    refreshes: list[Entry]
    event_triggers: list[Entry]


def put_off(entries: Sequence[Entry]) -> PutOff:
    def with_dependents(kind: str) -> set[int]:
        found = {entry.number for entry in entries if entry.kind == kind}
        while more := {entry.number for entry in entries if not found.isdisjoint(entry.depends)} - found:
            found |= more
        return found

    refreshes, triggers = with_dependents("MATERIALIZED VIEW DATA"), with_dependents("EVENT TRIGGER")
    return PutOff(
        [entry.number for entry in entries if entry.number not in refreshes | triggers],
        [entry for entry in entries if entry.number in refreshes],
        [entry for entry in entries if entry.number in triggers],
    )
