# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs our tests inside a bare host of another Debian suite: its Python, its servers, its client programs.

The libraries come from where this environment gets them, as wheels for the suite's Python, and are kept in the cache.
"""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from .barehost import BareHost
from .cache import kept

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements.txt"
TEST_LIBRARIES = ("pytest==9.2.0", "hypothesis==6.170.15")
PYTHONS = {"bookworm": "3.11", "trixie": "3.13", "sid": "3.14"}
CHECKOUT = "/opt/checkout"
LIBRARIES = "/opt/libraries"


@dataclass
class Case:
    """A test that ran inside a host."""

    name: str
    failure: str = ""


def _libraries(suite: str) -> Path:
    def make(folder: Path) -> None:
        command = [
            sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--only-binary=:all:",
            "--python-version", PYTHONS[suite], "--target", folder, "--requirement", REQUIREMENTS, *TEST_LIBRARIES,
        ]  # fmt: skip
        subprocess.run(command, check=True)

    return kept(f"libraries-{suite}", (REQUIREMENTS.read_text(), TEST_LIBRARIES, PYTHONS[suite]), make)


def furnish(host: BareHost, suite: str) -> None:
    """Gives a host the checkout and what its tests import."""
    staged = subprocess.run([ROOT / "tests" / "tools" / "stage"], capture_output=True, text=True, check=True)
    host.put(Path(staged.stdout.strip()), CHECKOUT)
    host.put(_libraries(suite), LIBRARIES)


def run_tests(host: BareHost, *arguments: str, **environment: str) -> list[Case]:
    """Runs pytest in the checkout of a furnished host; what became of each test.

    Raises RuntimeError where nothing ran.
    """
    values = {"PYTHONPATH": LIBRARIES, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    told = [f"{name}={value}" for name, value in values.items()]
    report = "/var/tmp/report.xml"
    host.run("rm", "-f", report)
    output = host.run(
        "env",
        f"--chdir={CHECKOUT}",
        *told,
        "python3",
        "-m",
        "pytest",
        "-q",
        f"--junitxml={report}",
        *arguments,
        check=False,
    )
    return read_report(host.run("cat", report, check=False).decode(), output)


def read_report(text: str, output: bytes) -> list[Case]:
    """The tests of a JUnit report. Raises RuntimeError with pytest's output where there are none."""
    found = [_case(element) for element in ET.fromstring(text).iter("testcase")] if text else []
    if not found:
        raise RuntimeError(output.decode())
    return found


def _case(element: ET.Element) -> Case:
    found = [child for child in element if child.tag in ("failure", "error")]
    told = [f"{child.get('message') or ''}\n{child.text or ''}" for child in found]
    return Case(element.get("name", ""), "\n".join(told))
