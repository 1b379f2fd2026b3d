# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of docs/compatibility.md, made of what the tests found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from kit.inside import PYTHONS, Case

SUITES = ("bookworm", "trixie", "sid")
TITLES = {
    ("mysql", "bookworm"): "MariaDB 10.11",
    ("mysql", "trixie"): "MariaDB 11.8",
    ("mysql", "sid"): "MySQL 9.7",
    ("postgresql", "bookworm"): "PostgreSQL 15",
    ("postgresql", "trixie"): "PostgreSQL 17",
    ("postgresql", "sid"): "PostgreSQL 18",
    ("sqlite", "bookworm"): "SQLite of Debian 12",
    ("sqlite", "trixie"): "SQLite of Debian 13",
    ("sqlite", "sid"): "SQLite of Debian sid",
}
LINES = {
    "mysql": {
        1: "generated columns, stored and virtual",
        2: "invisible columns",
        3: "defaults that are expressions, `ON UPDATE`",
        4: "binary, blob, bit and geometry columns, byte for byte",
        5: "virtual column over JSON",
        6: "latin1 ENUM with non-ASCII values",
        7: "character sets (gbk, sjis and others), time zones",
        8: "zero and invalid dates under strict mode",
        9: "utf8mb4, emoji; collations that the target lacks",
        10: "definers that do not exist on the target",
        11: "broken views: kept and told",
        12: "views over views, names inside views",
        13: "triggers, many indexes",
        14: "events and routines in several SQL modes",
        15: "the sandbox line of newer dump programs",
        16: "sequences, system-versioned tables, UUID and INET6",
        17: "partitions",
        18: "foreign keys in cycles and to themselves",
        19: "rows larger than `max_allowed_packet`",
        20: "tables outside the snapshot: told",
        21: "DDL during the dump: right, or an error",
        22: "names with quotes, dots, spaces, line ends, 64 characters",
        23: "counters, no keys, empty, 1,000 columns, 5,000 tables",
        24: "FULLTEXT, SPATIAL, CHECK, functional and descending indexes, comments",
        25: "character set and collation of the database",
    },
    "postgresql": {
        26: "pg_dump older than the server: refused",
        27: "newer programs, older target",
        28: "large objects with owner, privileges and comment",
        29: "sequences and identity columns",
        30: "unlogged tables",
        31: "row-level security: no row hidden unseen",
        32: "extensions and their configuration tables",
        33: "materialized views, views on views, rules",
        34: "types and special values",
        35: "functions, operators, event triggers",
        36: "partitions and inheritance",
        37: "constraints, exclusion, statistics objects",
        38: "publications, subscriptions, foreign tables",
        39: "tablespaces that the target lacks",
        40: "DDL during the dump",
        41: "any error during a restore fails it",
        42: "names",
        43: "privileges and owners",
        44: "properties of the database",
    },
    "sqlite": {
        45: "WAL mode with an open writer",
        46: "foreign keys, triggers, FTS5 and R*Tree, WITHOUT ROWID, STRICT, generated columns",
        47: "a corrupt file: told with the words of the check",
        48: "a locked file: waits, then an error",
        49: "names, empty file, read-only folder, settings of the file",
    },
}
ACCOUNTS = {
    "mysql": {
        "50 to 56. hashes, methods, attributes, privileges: all as the server itself shows them": (
            "test_the_servers_show_the_same_accounts_as_before",
        ),
        "50, 52, 53. old passwords let in, whatever the name": (
            "test_old_passwords_let_in", "test_no_password_was_none_before",
        ),
        "54. roles": ("test_roles", "test_a_failure_and_a_cycle_stop_nobody_else"),
        "55. privileges on what is missing wait": ("test_privileges_on_missing_objects_wait",),
        "56. columns, routines, PROXY": (
            "test_column_privileges", "test_routine_privileges",
            "test_all_privileges_with_grant_option_and_proxy",
        ),
        "56. TLS, limits, locks, expiry": ("test_tls_is_required", "test_limits_locks_and_expiry"),
        "60. accounts that exist: left, refused, updated": (
            "test_existing_accounts_are_left_refused_or_updated", "test_once_more_changes_nothing",
            "test_check_mode_lists_the_statements_and_does_nothing",
        ),
        "61. hashes are sealed, 0600, and in no output": (
            "test_no_hash_is_in_anything_returned", "test_the_set_is_sealed_and_0600",
        ),
    },
    "postgresql": {
        "53, 54, 57, 58. names, memberships with their options, settings, hashes, privileges: all as pg_dumpall says": (
            "test_everything_comes_back",
        ),
        "55. what is missing, and who may not grant": ("test_privileges_that_others_passed_on_are_kept_apart",),
        "59. without the hashes, as on a managed service": ("test_whose_hashes_can_not_be_read",),
        "60. roles that exist, or own something: left, refused, updated": (
            "test_existing_roles_are_left_refused_or_changed", "test_what_a_role_has_beyond_stays_without_update",
        ),
        "61. hashes are sealed, 0600, in no output and no log": (
            "test_a_set_of_accounts", "test_no_hash_gets_into_the_log",
        ),
    },
}  # fmt: skip
"""Lines about accounts, and the tests that show them."""
MARIADB_ONLY = 16
HEAD = """\
# Compatibility

Made by `make versions`, which ran the tests on real servers of six versions: those of Debian 12, 13 and sid, each
with the Python and the client programs of that system. A line of the lists is one that broke other backup tools. "yes"
says that everything came back the same, under another name and on a fresh server: rows by digest, definitions as the
server prints them, checked without this collection. Where the case is an error, "yes" says that it is told in words and
nothing is damaged.
"""

KNOWN = """
## Known limits

- MariaDB and MySQL: where the target lacks a SQL mode or a collation in which a view, routine, trigger or event was
  made, it is made without, and the restore says so. Where it lacks the collation of a table, the restore is refused.
- MariaDB 11.5 and newer to an older one: where any table has generated columns, a TIMESTAMP after 2038 is not refused
  but becomes zero. The restore warns of the tables that have columns of that type.
- MariaDB and MySQL: of a value in a FLOAT column the dump programs write 6 digits (16777215 comes back as 16777200).
  The backup warns of the tables that have such columns. DOUBLE and FLOAT(M,D) come back as they are.
- MySQL: a DECIMAL, a date or a time inside JSON comes back as what mysqldump's text of it is read as: a number with the
  digits of a DOUBLE, or a string.
- MySQL 9.7 itself refuses routines and events whose bodies hold a name with doubled backticks.
"""


def line_of(name: str) -> int | None:
    """The line of a test: ``test_line_21_…``, ``test_line[streams-28_…]``, ``test_line[07]``."""
    found = re.match(r"test_line(?:_|\[(?:streams-|archive-)?)(\d\d)\D", name)
    return int(found[1]) if found else None


def answer(tests: Sequence[Sequence[Case]]) -> str:
    """What a cell says of the tests that show a line, each with its cases."""
    if not all(tests):
        return "not tested"
    return "NO" if any(case.failure for cases in tests for case in cases) else "yes"


def of_line(cases: Iterable[Case], engine: str, suite: str, line: int) -> str:
    if line == MARIADB_ONLY and (engine, suite) == ("mysql", "sid"):
        return "does not exist"
    return answer([[case for case in cases if line_of(case.name) == line]])


def of_accounts(cases: Iterable[Case], tests: Iterable[str]) -> str:
    return answer([[case for case in cases if case.name.partition("[")[0] == test] for test in tests])


def table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def words(failure: str) -> str:
    """The sentence with which a restore was refused; nothing where it was not, but something came back wrong."""
    found = re.match(r"(?:Failed: )?([a-z_]+): (.+)", failure)
    if not found:
        return ""
    sentence = re.sub(r"Instance \w+ at 127\.0\.0\.1:\d+", "The target", found[2])
    return f"`{found[1]}`: {sentence}".replace("|", "\\|")


def listed(engine: str, answers: Mapping[str, Sequence[str]]) -> str:
    """A table of lines, each with its answer of each version."""
    return table(
        [["", *(TITLES[engine, suite] for suite in SUITES)], *([what, *said] for what, said in answers.items())]
    )


def lines_of(engine: str, found: Mapping[tuple[str, str], Sequence[Case]]) -> str:
    return listed(engine, {
        f"{line}. {what}": [of_line(found[engine, suite], engine, suite, line) for suite in SUITES]
        for line, what in LINES[engine].items()
    })  # fmt: skip


def accounts_of(engine: str, found: Mapping[tuple[str, str], Sequence[Case]]) -> str:
    return listed(engine, {
        what: [of_accounts(found[f"{engine} accounts", suite], tests) for suite in SUITES]
        for what, tests in ACCOUNTS[engine].items()
    })  # fmt: skip


def crossings(engine: str, what: str, found: Mapping[str, Sequence[Case]]) -> tuple[str, list[str]]:
    """A table of restores from each version (rows) to each (columns), and the words of those that are refused."""
    rows = [["from \\ to", *(TITLES[engine, suite] for suite in SUITES)]]
    notes = []
    for source in SUITES:
        row = [TITLES[engine, source]]
        for target in SUITES:
            (case,) = (case for case in found[target] if case.name == f"test_in_{engine}[{source}{what}]")
            said = words(case.failure)
            row.append("refused" if said else "NO" if case.failure else "yes")
            if said:
                notes.append(f"- {TITLES[engine, source]} to {TITLES[engine, target]}: {said}\n")
        rows.append(row)
    return table(rows), notes


def document(lines: Mapping[tuple[str, str], Sequence[Case]], exchange: Mapping[str, Sequence[Case]]) -> str:
    """The whole document: ``lines`` by subject and suite, ``exchange`` by the suite that restored."""
    pythons = ", ".join(
        f"{PYTHONS[suite]} with {TITLES['postgresql', suite]} and {TITLES['mysql', suite]}" for suite in SUITES
    )
    text = [HEAD, f"\nPython on the hosts: {pythons}.\n"]
    text += ["\n## MariaDB and MySQL\n\n", lines_of("mysql", lines)]
    text += ["\n## PostgreSQL\n\n", lines_of("postgresql", lines)]
    text += ["\n## SQLite\n\n", lines_of("sqlite", lines)]
    text += ["\n## Accounts of MariaDB and MySQL\n\n", accounts_of("mysql", lines)]
    text += ["\n## Accounts of PostgreSQL\n\n", accounts_of("postgresql", lines)]
    for title, engine, what, told in (
        ("PostgreSQL", "postgresql", "",
         "A set with everything of lines 28 to 43, made by one version, restored by another."),
        ("MariaDB and MySQL, a portable database", "mysql", "-portable",
         "Tables with many types, foreign keys, partitions, a view, a trigger, routines and an event."),
        ("MariaDB and MySQL, with what only one of them has", "mysql", "-own",
         "The database of lines 1 to 24, with all that the source's flavour knows."),
        ("MariaDB and MySQL, generated columns", "mysql", "-generated",
         "mariadb-dump writes the values of generated columns, and MySQL takes none."),
        ("MariaDB and MySQL, the latest TIMESTAMP", "mysql", "-late",
         "A TIMESTAMP ends in 2038, in MariaDB since 11.5 in 2106. The table holds the latest that the source takes."),
    ):  # fmt: skip
        made, notes = crossings(engine, what, exchange)
        text += [f"\n## From version to version: {title}\n\n{told}\n\n", made]
        text += ["\n", *notes] if notes else []
    text.append(KNOWN)
    return "".join(text)
