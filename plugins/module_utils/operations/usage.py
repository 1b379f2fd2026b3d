# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a repository grows, and when its file system is full."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..repository.local import BackupSet

DAY = 86400
SAMPLED, ADDED = "samples", "sets"
WINDOW = timedelta(days=30)
ADDED_WINDOW = timedelta(days=14)
SHORTEST = timedelta(days=1)
KEPT = timedelta(days=60)
SPACING = timedelta(hours=6)

Sample = tuple[int, int]
"""When, in seconds since 1970, and how many bytes the sets took then."""


@dataclass(frozen=True)
class Growth:
    """Bytes a day, and how they are known.

    From ``samples``, what was stored at several moments: what retention removed is taken off. From ``sets``, those of
    the last two weeks that are still there: what retention removed of older ones is not known, so it grows no faster.
    """

    bytes_per_day: int
    basis: str

    def days_until_full(self, free_bytes: int) -> float | None:
        """None where nothing grows."""
        return round(free_bytes / self.bytes_per_day, 1) if self.bytes_per_day > 0 else None


def with_sample(samples: Iterable[Sample], now: datetime, stored_bytes: int) -> list[Sample]:
    """The samples and one of now, oldest first: none of the future, none too old, and none less than SPACING after
    the one before, so that there are never many."""
    moment = int(now.timestamp())
    kept: list[Sample] = []
    for sample in sorted(sample for sample in samples if moment - KEPT.total_seconds() <= sample[0] < moment):
        if not kept or sample[0] - kept[-1][0] >= SPACING.total_seconds():
            kept.append(sample)
    return [*kept, (moment, stored_bytes)]


def growth(samples: Sequence[Sample], sets: Sequence[BackupSet], now: datetime) -> Growth | None:
    """From the samples of the last thirty days where they span a day, or else from the sets; None where neither
    does. The last sample is one of now."""
    recent = [sample for sample in samples if sample[0] >= (now - WINDOW).timestamp()]
    if recent and recent[-1][0] - recent[0][0] >= SHORTEST.total_seconds():
        seconds = recent[-1][0] - recent[0][0]
        return Growth(round((recent[-1][1] - recent[0][1]) * DAY / seconds), SAMPLED)
    if not sets:
        return None
    span = min(now - min(backup.manifest.moment for backup in sets), ADDED_WINDOW)
    if span < SHORTEST:
        return None
    added = sum(item.manifest.stored_bytes for item in sets if now - item.manifest.moment < ADDED_WINDOW)
    return Growth(round(added * DAY / span.total_seconds()), ADDED)
