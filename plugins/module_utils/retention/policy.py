# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be kept: the options of a retention policy, checked. docs/retention.md tells them to people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from ..errors import InvalidConfigError
from ..problems import Problems

PERIODS = ("hourly", "daily", "weekly", "monthly", "yearly")
COUNTS = ("keep_last", *(f"keep_{period}" for period in PERIODS))
RULES = (*COUNTS, "keep_within", "max_age")
"""What says which sets to keep; the other options say more about it."""

SPANS = ("keep_within", "max_age", "keep_safety")
SWITCHES = ("only_verified", "remove_damaged")
OPTIONS = (*COUNTS, *SPANS, "min_keep", *SWITCHES, "timezone")
"""The names of the options, in the module, in the section ``retention`` of the configuration file, and in the roles."""

ALL = -1
"""As a count: however many there are."""

KEEP_SAFETY = timedelta(days=14)
_SPAN = re.compile(r"(\d{1,6})\s*([hdw])")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class Policy:
    """``periods`` says of each of PERIODS how many to keep; 0 is none, ALL is every one."""

    periods: Mapping[str, int]
    last: int = 0
    within: timedelta | None = None
    max_age: timedelta | None = None
    min_keep: int = 1
    only_verified: bool = False
    remove_damaged: bool = False
    keep_safety: timedelta = KEEP_SAFETY
    timezone: tzinfo = UTC


class _Problems(Problems):
    """What may be wrong with the options of a policy."""

    def count(self, values: Mapping[str, Any], name: str, default: int, least: int) -> int:
        value = values.get(name, default)
        try:
            number = int(str(value))
        except ValueError:
            number = least - 1
        if number < least or isinstance(value, bool):
            every = ", or -1 for all" if least == ALL else ""
            self.add(name, f"{value!r} is no number of {max(least, 0)} or more{every}")
            return default
        return number

    def span(self, values: Mapping[str, Any], name: str) -> timedelta | None:
        value = values.get(name)
        if value is None:
            return None
        match = _SPAN.fullmatch(str(value).strip())
        if not match:
            # restic and borg read "6m" as six months, other options of this collection as six minutes.
            self.add(name, f"{value!r} is no number of h, d or w (hours, days, weeks), such as 48h or 30d")
            return None
        return timedelta(**{_UNITS[match[2]]: int(match[1])})

    def switch(self, values: Mapping[str, Any], name: str) -> bool:
        value = values.get(name, False)
        if not isinstance(value, bool):
            self.add(name, "must be true or false")
        return value is True

    def timezone(self, values: Mapping[str, Any]) -> tzinfo:
        name = values.get("timezone", "UTC")
        if name == "UTC":
            return UTC
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
            if available_timezones():
                self.add("timezone", f"{name!r} is no time zone of the IANA database, such as Europe/Berlin")
            else:
                self.add("timezone", "this host has no time zone database: install the package tzdata, or use UTC")
            return UTC


def parse_policy(raw: Mapping[str, Any]) -> tuple[Policy, list[str]]:
    """The policy that options describe (None stands for an option not given), and every wrong value with its name."""
    problems = _Problems()
    values = {name: value for name, value in raw.items() if value is not None}
    for name in sorted(values.keys() - set(OPTIONS)):
        problems.unknown(name, OPTIONS)
    safety = problems.span(values, "keep_safety")
    policy = Policy(
        periods={period: problems.count(values, f"keep_{period}", 0, ALL) for period in PERIODS},
        last=problems.count(values, "keep_last", 0, ALL),
        within=problems.span(values, "keep_within"),
        max_age=problems.span(values, "max_age"),
        min_keep=problems.count(values, "min_keep", 1, 1),
        only_verified=problems.switch(values, "only_verified"),
        remove_damaged=problems.switch(values, "remove_damaged"),
        keep_safety=KEEP_SAFETY if safety is None else safety,
        timezone=problems.timezone(values),
    )
    return policy, problems.found


def require_policy(raw: Mapping[str, Any]) -> Policy:
    """The policy that options describe; InvalidConfigError where a value is wrong, or where nothing says what to keep:
    that never means to keep nothing."""
    policy, problems = parse_policy(raw)
    if problems:
        raise InvalidConfigError("; ".join(problems))
    if not (policy.last or policy.within or policy.max_age or any(policy.periods.values())):
        raise InvalidConfigError(
            f"Nothing says which backups to keep: set at least one of {', '.join(RULES)} "
            "in the task or in the section retention of the configuration file."
        )
    return policy
