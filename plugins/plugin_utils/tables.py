# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables for people, as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The header and the rows as lines whose columns stand below one another; the last column is never padded."""
    table = [list(header), *([" ".join(str(cell).split()) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
