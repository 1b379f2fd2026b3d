# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Amounts in words for people, and which words mean no good."""

from __future__ import annotations

from datetime import timedelta

_STEPS = ((86400 * 2, 86400, "days"), (3600, 3600, "h"), (60, 60, "min"))
BAD_RESULTS = ("failed", "missed")
"""What may have become of the run of a scheduled job that is no good."""

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def duration_words(duration: timedelta) -> str:
    """``26 h``, ``3 days``, ``40 s``: whole units, rounded down; days from two days on."""
    seconds = int(duration.total_seconds())
    for least, unit, word in _STEPS:
        if seconds >= least:
            return f"{seconds // unit} {word}"
    return f"{seconds} s"


def size_words(count: int) -> str:
    """``812 B``, ``1.5 GB``: powers of 1000, one decimal."""
    size = float(count)
    for unit in _UNITS[:-1]:
        if size < 999.95:
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {_UNITS[-1]}"
