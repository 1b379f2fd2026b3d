# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sets of one database stay and which go, each with its reasons in words. Nothing is read or changed here.

The rules are those of ``restic forget``: the newest set of each of the last n hours, days, … that have one, every rule
by itself, and the oldest set as well while a rule finds fewer than it asks for
(https://restic.readthedocs.io/en/stable/060_forget.html). docs/retention.md tells where we differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo

from .policy import ALL, Policy

_FORMATS = {"hourly": "%Y-%m-%d %H:00 %z", "daily": "%Y-%m-%d", "weekly": "%G-W%V", "monthly": "%Y-%m", "yearly": "%Y"}


@dataclass(frozen=True)
class Candidate:
    """What the decision knows of one set.

    ``spared`` is why nobody may remove it, such as a hold; ``damage`` is what is wrong with it, and ``hopeless``
    whether that is its stored bytes. ``safety`` is whether a restore took it of what it was about to replace.
    """

    id: str
    moment: datetime
    verified: bool = False
    safety: bool = False
    spared: str | None = None
    damage: str | None = None
    hopeless: bool = False


@dataclass
class Decision:
    """Sets with the reasons why they stay, and sets with the reason why they go; both newest first."""

    kept: list[tuple[Candidate, list[str]]] = field(default_factory=list)
    removed: list[tuple[Candidate, str]] = field(default_factory=list)


def _newest_first(sets: Iterable[Candidate]) -> list[Candidate]:
    return sorted(sets, key=lambda item: (item.moment, item.id), reverse=True)


def period_of(moment: datetime, period: str, zone: tzinfo) -> str:
    """The name of the hour, day, ISO week, month or year of a moment in a time zone.

    An hour that a clock strikes twice has two names: they differ in the offset from UTC.
    """
    return moment.astimezone(zone).strftime(_FORMATS[period])


def _last(counted: list[Candidate], policy: Policy) -> Iterator[tuple[Candidate, str]]:
    total = len(counted) if policy.last == ALL else policy.last
    for position, item in enumerate(counted[:total], 1):
        yield item, f"last {position} of {total}"


def _of_period(counted: list[Candidate], period: str, count: int, zone: tzinfo) -> Iterator[tuple[Candidate, str]]:
    seen: set[str] = set()
    for item in counted:
        if len(seen) == count:
            return
        name = period_of(item.moment, period, zone)
        if name not in seen:
            seen.add(name)
            yield item, f"{period} {name}"
        elif item is counted[-1]:
            yield item, f"{period} {name}, the oldest"


def _span_words(span: timedelta) -> str:
    hours = int(span.total_seconds()) // 3600
    return f"{hours // 24} days" if hours >= 48 else f"{hours} h"


def _kept_by_rules(counted: list[Candidate], policy: Policy) -> Iterator[tuple[Candidate, str]]:
    """The sets that count, newest first, each as often as a rule keeps it."""
    yield from _last(counted, policy)
    span = policy.within
    if span is None and not policy.last and not any(policy.periods.values()):
        span = policy.max_age
    for item in counted:
        if span is not None and counted[0].moment - item.moment <= span:
            yield item, f"within {_span_words(span)}"
    for period, count in policy.periods.items():
        yield from _of_period(counted, period, count, policy.timezone)


class _Deciding:
    """The reasons to keep each set, collected. Spans are measured from the newest set that counts, not from now: where
    backups have stopped, or the clock was set forward, nothing goes for its age."""

    def __init__(self, sets: Iterable[Candidate], policy: Policy, now: datetime) -> None:
        self._sets = _newest_first(sets)
        self._policy = policy
        self._now = now
        self._kept: dict[Candidate, list[str]] = {}
        self._gone: dict[Candidate, str] = {}
        self._good = [item for item in self._sets if self._is_good(item)]
        self._counted = [item for item in self._good if item.verified or not policy.only_verified]

    def _is_good(self, item: Candidate) -> bool:
        return not (item.spared or item.damage or item.safety) and item.moment <= self._now

    def _keep(self, item: Candidate, reason: str) -> None:
        self._kept.setdefault(item, []).append(reason)

    def decide(self) -> Decision:
        self._judge_good()
        for item in self._sets:
            if not self._is_good(item):
                self._judge_other(item)
        return Decision(
            kept=[(item, self._kept[item]) for item in self._sets if item in self._kept],
            removed=[(item, self._gone.get(item, "no rule keeps it")) for item in self._sets if item not in self._kept],
        )

    def _judge_good(self) -> None:
        policy, counted = self._policy, self._counted
        if policy.max_age is not None:
            old = [item for item in counted if counted[0].moment - item.moment > policy.max_age]
            self._gone.update(dict.fromkeys(old, f"older than {_span_words(policy.max_age)}"))
        for item, reason in _kept_by_rules(counted, policy):
            if item not in self._gone:
                self._keep(item, reason)
        for item in self._good[:1]:
            self._keep(item, "newest good")
        for item in counted[: policy.min_keep]:
            if item not in self._kept:
                self._keep(item, f"minimum {policy.min_keep}")
        if policy.only_verified:
            for item in self._good:
                if not item.verified:
                    self._judge_unverified(item)

    def _judge_unverified(self, item: Candidate) -> None:
        """A set that was not proven yet may still be the best there is, until a newer one is proven."""
        if not self._counted or item.moment >= self._counted[0].moment:
            self._keep(item, "not verified yet")
        else:
            self._gone[item] = "not verified, and a newer one is"

    def _judge_other(self, item: Candidate) -> None:
        newer = bool(self._good) and self._good[0].moment > item.moment
        if item.spared:
            self._keep(item, item.spared)
        elif item.moment > self._now:
            self._keep(item, "it started in the future, the clock was set back")
        elif item.damage:
            if self._policy.remove_damaged and item.hopeless and newer:
                self._gone[item] = item.damage
            else:
                self._keep(item, f"{item.damage}; does not count")
        else:
            self._judge_safety(item)

    def _judge_safety(self, item: Candidate) -> None:
        span = self._policy.keep_safety
        if not self._good or self._good[0].moment - item.moment <= span:
            self._keep(item, f"safety backup, kept {_span_words(span)}")
        else:
            self._gone[item] = f"safety backup, older than {_span_words(span)}"


def decide(sets: Iterable[Candidate], policy: Policy, now: datetime) -> Decision:
    """What a policy means for the sets of one database, or of the users of one instance.

    Every set is in the result once. A set that is spared stays and, as those that are damaged, in the future, or safety
    backups, does not count for any rule. The newest good set stays always, and so do the newest ``min_keep`` that
    count. What is left of the sets would all stay if it were decided on again.
    """
    return _Deciding(sets, policy, now).decide()
