# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every wrong value of what somebody wrote, so that all are reported at once."""

from __future__ import annotations

from collections.abc import Iterable

from .errors import InvalidConfigError


class Problems:
    """Collects them, each with its name or path."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, path: str, sentence: str) -> None:
        self.found.append(f"{path}: {sentence}")

    def unknown(self, path: str, known: Iterable[str]) -> None:
        self.add(path, f"is unknown (known: {', '.join(known)})")

    def raise_if_any(self, where: str) -> None:
        if self.found:
            raise InvalidConfigError(f"{where}: " + "; ".join(self.found))
