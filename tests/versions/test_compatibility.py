# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fidelity list on six server versions, and restores from one version to another.

The tests run inside hosts of the three suites, with the Python and the programs of each. docs/compatibility.md is
made of what they find.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from kit.inside import Case, furnish, read_report, run_tests
from kit.suites import suite_host
from versions.compatibility import LINES, MARIADB_ONLY, SUITES, document, of_line

ROOT = Path(__file__).resolve().parents[2]
INTEGRATION, INSIDE = "tests/integration/test_{}.py", "tests/versions/inside/{}.py"
EXCHANGE = INSIDE.format("exchange")
FILES = {
    (subject, suite): INTEGRATION.format(name)
    for subject, name in (
        ("mysql", "fidelity_mysql"),
        ("postgresql", "fidelity_postgresql"),
        ("sqlite", "fidelity_sqlite"),
        ("mysql accounts", "users_mysql"),
        ("postgresql accounts", "users_postgresql"),
    )
    for suite in SUITES
}
FILES["mysql", "sid"] = INSIDE.format("mysql_lines")
FILES["mysql accounts", "sid"] = INSIDE.format("mysql_accounts")
GENERATED = "target_unfit: .* takes no values for generated columns"
LATE = "tool_failed: .* Incorrect datetime value: '2106-02-06 "
COLLATIONS = r"target_unfit: .* lacks collations that the backup uses: utf"
REFUSED = {
    ("bookworm", "test_in_postgresql[trixie]"): "tool_missing: .* Install the package postgresql-client-17",
    ("bookworm", "test_in_postgresql[sid]"): "tool_missing: .* Install the package postgresql-client-18",
    ("trixie", "test_in_postgresql[sid]"): "tool_missing: .* Install the package postgresql-client-18",
    ("bookworm", "test_in_mysql[trixie-own]"): "target_unfit: .* Restore to MariaDB 11.5 or newer",
    ("bookworm", "test_in_mysql[trixie-late]"): LATE,
    ("sid", "test_in_mysql[trixie-late]"): LATE,
    ("sid", "test_in_mysql[bookworm-generated]"): GENERATED,
    ("sid", "test_in_mysql[trixie-generated]"): GENERATED,
    ("bookworm", "test_in_mysql[sid-own]"): COLLATIONS,
    ("trixie", "test_in_mysql[sid-own]"): COLLATIONS,
    ("sid", "test_in_mysql[bookworm-own]"): COLLATIONS,
    ("sid", "test_in_mysql[trixie-own]"): COLLATIONS,
}
"""Restores that cannot work, by the suite that restores and the test, and what is said."""


class Place:
    """Where tests run: this machine, which is of the suite bookworm, or inside a host of another suite."""

    def __init__(self, suite: str) -> None:
        self.suite = suite

    def run(self, file: str, exchange: Path, *arguments: str) -> list[Case]:
        if self.suite != "bookworm":
            with suite_host(self.suite) as host:
                furnish(host, self.suite)
                host.put(exchange, "/var/tmp/exchange")
                told = {"VYA_EXCHANGE": "/var/tmp/exchange", "VYA_PLACE": self.suite}
                found = run_tests(host, *arguments, file, **told)
                if file == EXCHANGE and not (exchange / self.suite).exists():
                    host.get(f"/var/tmp/exchange/{self.suite}", exchange / self.suite)
                return found
        report = exchange.parent / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *arguments, file]
        environment = {"VYA_EXCHANGE": str(exchange), "VYA_PLACE": self.suite}
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, check=False)
        return read_report(report.read_text() if report.exists() else "", done.stdout)


@pytest.fixture(scope="session")
def lines(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], list[Case]]:
    """What became of the tests of each subject and suite."""
    empty = tmp_path_factory.mktemp("none") / "exchange"
    empty.mkdir()
    return {(subject, suite): Place(suite).run(file, empty) for (subject, suite), file in FILES.items()}


@pytest.fixture(scope="session")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Case]]:
    """What became of the restores in each suite."""
    folder = tmp_path_factory.mktemp("sets") / "exchange"
    folder.mkdir()
    for suite in SUITES:
        made = Place(suite).run(EXCHANGE, folder, "-k", "test_out")
        assert [case for case in made if case.failure] == []
    return {suite: Place(suite).run(EXCHANGE, folder, "-k", "test_in") for suite in SUITES}


@pytest.mark.parametrize(("subject", "suite"), FILES)
def test_every_test_passes(lines: dict[tuple[str, str], Sequence[Case]], subject: str, suite: str) -> None:
    assert [case for case in lines[subject, suite] if case.failure] == []


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("engine", LINES)
def test_every_line_is_tested(lines: dict[tuple[str, str], Sequence[Case]], engine: str, suite: str) -> None:
    cells = {line: of_line(lines[engine, suite], engine, suite, line) for line in LINES[engine]}
    exempt = {MARIADB_ONLY} if (engine, suite) == ("mysql", "sid") else set()
    assert {line for line, told in cells.items() if told != "yes"} == exempt


@pytest.mark.parametrize("target", SUITES)
def test_restores_across_versions(exchange: dict[str, Sequence[Case]], target: str) -> None:
    assert exchange[target]
    for case in exchange[target]:
        wanted = REFUSED.get((target, case.name))
        assert re.search(wanted, case.failure) if wanted else not case.failure, case


def test_the_document_is_written(
    lines: dict[tuple[str, str], Sequence[Case]], exchange: dict[str, Sequence[Case]]
) -> None:
    target = ROOT / "docs" / "compatibility.md"
    target.write_text(document(lines, exchange))
    assert not re.search(r"\| (NO|not tested) ", target.read_text())
