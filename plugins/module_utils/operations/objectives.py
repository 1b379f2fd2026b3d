# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How old the newest backup of a database may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase

from ..config import fits
from ..repository.catalog import parse_duration


@dataclass(frozen=True)
class Objectives:
    """One for all, and others for some: pairs of a pattern and an objective, of which the last that matches counts.

    A pattern is one of instances (``prod-*``), or one of instances and databases (``prod-*/shop``).
    """

    default: timedelta | None = None
    others: Sequence[tuple[str, timedelta | None]] = ()

    def of(self, instance: str, database: str) -> timedelta | None:
        found = self.default
        for pattern, objective in self.others:
            if _matches(pattern, instance, database):
                found = objective
        return found


def _matches(pattern: str, instance: str, database: str) -> bool:
    instances, slash, databases = pattern.partition("/")
    if not fnmatchcase(instance, instances):
        return False
    return not slash or fits(database, databases)


def parse_objectives(default: str | None, others: Mapping[str, str | None]) -> Objectives:
    """Durations as ``24h``; an empty one stands for no objective. InvalidConfigError names the wrong one."""

    def parse(text: str | None, where: str) -> timedelta | None:
        return parse_duration(str(text), where) if text else None

    pairs = [(pattern, parse(text, f"objectives.{pattern}")) for pattern, text in others.items()]
    return Objectives(parse(default, "rpo"), pairs)
