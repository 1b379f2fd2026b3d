# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three years of hourly backups with outages, wrong clocks, damage, verifications and holds: after every run all that
must hold holds.

By default one database lives under each policy, and retention runs every week. The full size, 50 databases and
retention twice a day, takes half an hour: ``VYA_SIMULATION=full pytest tests/unit/test_retention_simulation.py``.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.retention.decide import Candidate, decide, period_of
from ansible_collections.vya.backupdb.plugins.module_utils.retention.policy import Policy, require_policy

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
HOURS = 3 * 365 * 24
HOUR = timedelta(hours=1)
DATABASES, EVERY = (50, 12) if os.environ.get("VYA_SIMULATION") == "full" else (1, 24 * 7)
POLICIES = [
    {"keep_within": "48h", "keep_daily": 14, "keep_weekly": 8, "keep_monthly": 12, "keep_yearly": 3},
    {"keep_last": 24, "keep_daily": 7, "min_keep": 5, "timezone": "Europe/Berlin", "remove_damaged": True},
    {"keep_hourly": 48, "keep_monthly": 6, "only_verified": True, "timezone": "Australia/Lord_Howe"},
    {"max_age": "30d", "min_keep": 3},
]


@dataclass
class Database:
    """One database whose backups come and go."""

    chance: random.Random
    policy: Policy
    sets: dict[str, Candidate] = field(default_factory=dict)
    clock_error: timedelta = timedelta(0)
    outage: int = 0
    removed: int = 0
    taken: list[str] = field(default_factory=list)

    def hour(self, number: int) -> None:
        """What happens in one hour: perhaps a backup, perhaps something else, and now and then retention."""
        now = self._clock(number)
        self._take(now)
        if self.sets and self.chance.random() < 0.1:
            self._verify()
            self._hold()
        if number % EVERY == 5:
            self._retire(now)

    def _clock(self, number: int) -> datetime:
        if self.chance.random() < 0.0005:
            self.clock_error = self.chance.choice(
                [timedelta(0), timedelta(0), -3 * HOUR, timedelta(days=-400), timedelta(days=500), timedelta(minutes=7)]
            )
        return BEGIN + number * HOUR + self.clock_error + timedelta(minutes=self.chance.randrange(10))

    def _take(self, now: datetime) -> None:
        if self.chance.random() < 0.002:
            self.outage = self.chance.choice([3, 12, 30, 24 * 9])
        self.outage = max(0, self.outage - 1)
        if self.outage or self.chance.random() < 0.02:
            return
        name = f"shop_{now:%Y%m%d_%H%M%S}_full"
        kind = self.chance.random()
        if kind < 0.01:
            made = Candidate(name, now, spared="its manifest cannot be read (manifest_invalid)")
        else:
            made = Candidate(name, now, safety=kind < 0.015)
        if name not in self.sets:  # a set is never replaced
            self.sets[name] = made
            self.taken.append(name)

    def _verify(self) -> None:
        item = self.sets[self.chance.choice(list(self.sets))]
        if item.spared is None and item.damage is None:
            bad = self.chance.random() < 0.05
            damage = self.chance.choice(["checksum_mismatch", "key_missing"]) if bad else None
            self.sets[item.id] = replace(item, verified=not bad, damage=damage, hopeless=damage == "checksum_mismatch")

    def _hold(self) -> None:
        if self.chance.random() > 0.1:
            return
        item = self.sets[self.chance.choice(list(self.sets))]
        if item.spared in (None, "on hold"):
            self.sets[item.id] = replace(item, spared="on hold" if item.spared is None else None)

    def _retire(self, now: datetime) -> None:
        before = list(self.sets.values())
        decision = decide(before, self.policy, now)
        gone = {item.id for item, _reason in decision.removed}
        self.removed += len(gone)
        self.sets = {name: item for name, item in self.sets.items() if name not in gone}
        self._check(before, gone, now)

    def _check(self, before: list[Candidate], gone: set[str], now: datetime) -> None:
        policy = self.policy
        good = sorted(
            (item for item in before if not (item.spared or item.damage or item.safety) and item.moment <= now),
            key=lambda item: item.moment,
            reverse=True,
        )
        counted = [item for item in good if item.verified or not policy.only_verified]
        assert not gone & {item.id for item in [*good[:1], *counted[: policy.min_keep]]}
        assert not gone & {item.id for item in before if item.spared or item.moment > now}
        assert not gone & {item.id for item in counted[: policy.last]}
        if policy.max_age is None:
            for period, count in policy.periods.items():
                names = list(dict.fromkeys(period_of(item.moment, period, policy.timezone) for item in counted))[:count]
                left = {period_of(item.moment, period, policy.timezone) for item in counted if item.id not in gone}
                assert left.issuperset(names)
        assert not decide(self.sets.values(), policy, now).removed


@pytest.mark.parametrize("options", POLICIES, ids="-".join)
def test_three_years_of_hourly_backups(options: dict) -> None:
    for seed in range(DATABASES):
        database = Database(random.Random(f"{seed}{options}"), require_policy(options))
        for number in range(HOURS):
            database.hour(number)
        assert database.removed > 0.9 * len(database.taken) - 1500
        assert len(database.sets) < 3000


def test_without_accidents_what_is_left_is_what_the_policy_says() -> None:
    """Hourly for three years, and retention every week: the sets that are left are known beforehand."""
    policy = require_policy(POLICIES[0] | {"timezone": "Europe/Berlin"})
    sets: list[Candidate] = []
    for number in range(HOURS):
        now = BEGIN + number * HOUR
        sets.append(Candidate(f"shop_{now:%Y%m%d_%H%M%S}_full", now))
        if number % 168 == 167 or number == HOURS - 1:
            sets = [item for item, _reasons in decide(sets, policy, now).kept]
    zone = ZoneInfo("Europe/Berlin")
    local = [item.moment.astimezone(zone) for item in sets]
    assert sum(local[0] - moment <= timedelta(hours=48) for moment in local) == 49
    days = sorted({moment.date() for moment in local}, reverse=True)
    assert days[:14] == [days[0] - timedelta(days=day) for day in range(14)]
    assert {f"{moment:%G-W%V}" for moment in local} >= {
        f"{days[0] - timedelta(weeks=week):%G-W%V}" for week in range(8)
    }
    months = {f"{moment:%Y-%m}" for moment in local}
    assert {f"2028-{month:02d}" for month in range(2, 13)} <= months
    assert {moment.year for moment in local} >= {2026, 2027, 2028}
    assert len(sets) < 49 + 14 + 8 + 12 + 3
