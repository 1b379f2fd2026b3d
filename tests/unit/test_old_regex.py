# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Python before 3.11.5, which Debian 12 has, matches possessive repeats of choices wrongly (CPython issue 106052)."""

from __future__ import annotations

import re
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[2] / "plugins" / "module_utils"
POSSESSIVE_CHOICE = re.compile(r"\((?:\?:|\?P<\w+>)?[^()]*\|[^()]*\)[*+?]\+")


def test_the_search_finds_one() -> None:
    assert POSSESSIVE_CHOICE.search(r"(?:[^`]|``)*+")
    assert not POSSESSIVE_CHOICE.search(r"(?:``[^`]*)*|\s*+")


def test_no_pattern_of_the_library_has_one() -> None:
    wrong = [str(path) for path in LIBRARY.rglob("*.py") if POSSESSIVE_CHOICE.search(path.read_text())]
    assert wrong == []
