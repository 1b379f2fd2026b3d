# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decision which sets stay: by example, and what holds for any sets and any policy."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.errors import InvalidConfigError
from ansible_collections.vya.backupdb.plugins.module_utils.retention import policy as policies
from ansible_collections.vya.backupdb.plugins.module_utils.retention.decide import Candidate, Decision, decide
from ansible_collections.vya.backupdb.plugins.module_utils.retention.policy import Policy, require_policy
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def candidate(moment: datetime, **facts: Any) -> Candidate:
    return Candidate(f"shop_{moment:%Y%m%d_%H%M%S}_full", moment, **facts)


def every(step: timedelta, count: int, newest: datetime = NOW, **facts: Any) -> list[Candidate]:
    return [candidate(newest - step * number, **facts) for number in range(count)]


def kept(decision: Decision) -> dict[str, list[str]]:
    return {f"{item.moment:%Y-%m-%d %H:%M}": reasons for item, reasons in decision.kept}


def decided(sets: list[Candidate], now: datetime = NOW, **options: Any) -> Decision:
    return decide(sets, require_policy(options), now)


def test_grandfather_father_son() -> None:
    sets = every(timedelta(hours=12), 2 * 500)
    assert kept(decided(sets, keep_last=2, keep_daily=3, keep_weekly=2, keep_monthly=2, keep_yearly=2)) == {
        "2026-11-25 12:00": [
            "last 1 of 2", "daily 2026-11-25", "weekly 2026-W48", "monthly 2026-11", "yearly 2026", "newest good",
        ],
        "2026-11-25 00:00": ["last 2 of 2"],
        "2026-11-24 12:00": ["daily 2026-11-24"],
        "2026-11-23 12:00": ["daily 2026-11-23"],
        "2026-11-22 12:00": ["weekly 2026-W47"],
        "2026-10-31 12:00": ["monthly 2026-10"],
        "2025-12-31 12:00": ["yearly 2025"],
    }  # fmt: skip


def test_periods_without_backups_do_not_count_and_the_oldest_stays_while_a_rule_wants_more() -> None:
    days = [0, 3, 3.25, 40, 40.25]
    sets = [candidate(NOW - timedelta(days=day)) for day in days]
    assert kept(decided(sets, keep_daily=3)) == {
        "2026-11-25 12:00": ["daily 2026-11-25", "newest good"],
        "2026-11-22 12:00": ["daily 2026-11-22"],
        "2026-10-16 12:00": ["daily 2026-10-16"],
    }
    assert list(kept(decided(sets, keep_daily=4))) == [
        "2026-11-25 12:00", "2026-11-22 12:00", "2026-10-16 12:00", "2026-10-16 06:00",
    ]  # fmt: skip
    assert kept(decided(sets, keep_daily=4))["2026-10-16 06:00"] == ["daily 2026-10-16, the oldest"]


def test_minus_one_is_all() -> None:
    sets = every(timedelta(hours=6), 400)
    assert len(decided(sets, keep_last=-1).kept) == 400
    assert len(decided(sets, keep_daily=-1).kept) == 101
    assert decided(sets, keep_last=-1).kept[1][1] == ["last 2 of 400"]


def test_spans_are_measured_from_the_newest_set() -> None:
    sets = every(timedelta(days=1), 10)
    later = NOW + timedelta(days=3650)
    for options in ({"keep_within": "48h"}, {"max_age": "2d"}):
        for now in (NOW, later):
            assert kept(decided(sets, now, **options)) == {
                "2026-11-25 12:00": ["within 2 days", "newest good"],
                "2026-11-24 12:00": ["within 2 days"],
                "2026-11-23 12:00": ["within 2 days"],
            }


def test_max_age_ends_what_other_rules_keep_but_not_the_minimum() -> None:
    sets = every(timedelta(days=400), 4)
    decision = decided(sets, keep_yearly=10, max_age="410d")
    assert list(kept(decision)) == ["2026-11-25 12:00", "2025-10-21 12:00"]
    assert {reason for _item, reason in decision.removed} == {"older than 410 days"}
    assert kept(decided(sets, keep_yearly=10, max_age="1d", min_keep=2))["2025-10-21 12:00"] == ["minimum 2"]


def test_weeks_are_iso_weeks() -> None:
    """31 December 2029 is a Monday: week 1 of 2030. 1 January 2027 is a Friday: week 53 of 2026."""
    for day, week in ((datetime(2029, 12, 31, tzinfo=UTC), "2030-W01"), (datetime(2027, 1, 1, tzinfo=UTC), "2026-W53")):
        assert kept(decided([candidate(day)], day, keep_weekly=1)) == {
            f"{day:%Y-%m-%d %H:%M}": [f"weekly {week}", "newest good"]
        }


def test_days_are_those_of_the_time_zone() -> None:
    """The year begins in Auckland thirteen hours before it does in UTC."""
    eve = datetime(2026, 12, 31, 10, 30, tzinfo=UTC)
    sets = [candidate(eve), candidate(eve + timedelta(hours=1))]
    assert len(decided(sets, eve + timedelta(days=1), keep_yearly=2, timezone="Pacific/Auckland").removed) == 0
    assert kept(decided(sets, eve + timedelta(days=1), keep_daily=2, timezone="Pacific/Auckland")) == {
        "2026-12-31 11:30": ["daily 2027-01-01", "newest good"],
        "2026-12-31 10:30": ["daily 2026-12-31"],
    }
    assert len(decided(sets, eve + timedelta(days=1), keep_daily=1).kept) == 1


def test_daylight_saving() -> None:
    """In Berlin, 25 October 2026 has 25 hours and its third one twice; 29 March 2026 has 23."""
    autumn = every(timedelta(minutes=30), 50, datetime(2026, 10, 25, 22, 30, tzinfo=UTC))
    decision = decided(autumn, keep_hourly=25, timezone="Europe/Berlin")
    assert [item.moment.hour for item, _reasons in decision.kept] == [*range(22, -1, -1), 23, 22]
    names = [reasons[0] for _item, reasons in decision.kept]
    assert "hourly 2026-10-25 02:00 +0200" in names
    assert "hourly 2026-10-25 02:00 +0100" in names
    assert sum("2026-10-25" in name for name in names) == 25
    spring = every(timedelta(hours=1), 47, datetime(2026, 3, 29, 21, tzinfo=UTC))
    days = decided(spring, datetime(2026, 3, 29, 23, tzinfo=UTC), keep_daily=2, timezone="Europe/Berlin")
    assert [item.moment for item, _reasons in days.kept] == [
        datetime(2026, 3, 29, 21, tzinfo=UTC),
        datetime(2026, 3, 28, 22, tzinfo=UTC),
    ]


def test_damaged_sets_push_nothing_out_and_stay_unless_asked() -> None:
    good = every(timedelta(days=1), 4, NOW - timedelta(hours=1))
    bad = every(timedelta(days=1), 4, damage="failed verification: 1 byte is wrong", hopeless=True)
    unread = candidate(NOW - timedelta(days=9), damage="manifest.json is missing")
    decision = decided([*good, *bad, unread], keep_last=2)
    assert [item for item, _reason in decision.removed] == good[2:]
    assert decision.kept[0] == (bad[0], ["failed verification: 1 byte is wrong; does not count"])
    asked = decided([*good, *bad, unread], keep_last=2, remove_damaged=True)
    # The newest bad one may be the newest there is to recover from.
    assert [item for item, _reason in asked.removed] == [bad[1], bad[2], good[2], bad[3], good[3]]
    assert asked.removed[0][1] == "failed verification: 1 byte is wrong"


def test_sets_on_hold_stay_and_do_not_count() -> None:
    sets = every(timedelta(hours=1), 3, spared="on hold for good: audit") + every(
        timedelta(hours=1), 3, NOW - timedelta(hours=3)
    )
    decision = decided(sets, keep_last=1)
    assert [reasons[0] for _item, reasons in decision.kept] == ["on hold for good: audit"] * 3 + ["last 1 of 1"]


def test_only_verified() -> None:
    sets = [candidate(NOW - timedelta(days=day), verified=day in (2, 5)) for day in range(8)]
    decision = decided(sets, keep_last=2, only_verified=True)
    assert [reasons for _item, reasons in decision.kept] == [
        ["newest good", "not verified yet"], ["not verified yet"], ["last 1 of 2"], ["last 2 of 2"],
    ]  # fmt: skip
    assert {reason for _item, reason in decision.removed} == {"not verified, and a newer one is"}
    assert decided(every(timedelta(days=1), 5), keep_last=1, only_verified=True).removed == []


def test_safety_backups_have_their_own_span() -> None:
    safety = every(timedelta(days=6), 4, safety=True)
    decision = decided([candidate(NOW), *safety], keep_last=1)
    assert [item for item, _reason in decision.removed] == [safety[3]]
    assert decision.removed[0][1] == "safety backup, older than 14 days"
    assert decided(safety, keep_last=1).removed == []
    assert len(decided([candidate(NOW), *safety], keep_last=1, keep_safety="7d").removed) == 2


def test_sets_of_the_future_stay_and_do_not_count() -> None:
    future = every(timedelta(days=-1), 3, datetime(2030, 1, 1, tzinfo=UTC))
    decision = decided([*future, *every(timedelta(days=1), 3)], keep_last=1)
    assert [reasons[0] for _item, reasons in decision.kept] == [
        "it started in the future, the clock was set back"
    ] * 3 + ["last 1 of 1"]
    assert decided(future, keep_last=1).removed == []


@pytest.mark.parametrize("options", [{}, {"min_keep": 3}, {"keep_last": 0, "keep_daily": 0}, {"only_verified": True}])
def test_nothing_to_keep_is_an_error(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfigError, match=r"Nothing says which backups to keep: set at least one of keep_last,"):
        require_policy(options)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"keep_last": -2}, "keep_last: -2 is no number of 0 or more, or -1 for all"),
        ({"keep_last": "many"}, "keep_last: 'many' is no number"),
        ({"keep_last": True}, "keep_last: True is no number"),
        ({"min_keep": 0}, "min_keep: 0 is no number of 1 or more"),
        ({"keep_within": "6m"}, "keep_within: '6m' is no number of h, d or w"),
        ({"max_age": "soon"}, "max_age: 'soon' is no number of h, d or w"),
        ({"only_verified": "maybe"}, "only_verified: must be true or false"),
        ({"keep_dayly": 3}, "keep_dayly: is unknown (known: keep_last, "),
        ({"timezone": "Europe/Nowhere"}, "timezone: 'Europe/Nowhere' is no time zone of the IANA database"),
        ({"timezone": "../../etc/passwd"}, "timezone: '../../etc/passwd' is no time zone"),
        ({"keep_last": "x", "max_age": "y"}, "max_age: 'y' is no number"),
    ],
)
def test_wrong_values_are_told(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidConfigError) as error:
        require_policy(options)
    assert sentence in error.value.message


def test_a_host_without_time_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nowhere(zoneinfo.ZoneInfo):
        def __new__(cls, key: str) -> Any:
            raise zoneinfo.ZoneInfoNotFoundError(key)

    monkeypatch.setattr(policies, "ZoneInfo", Nowhere)
    monkeypatch.setattr(policies, "available_timezones", set)
    with pytest.raises(InvalidConfigError, match="this host has no time zone database: install the package tzdata"):
        require_policy({"keep_last": 1, "timezone": "Europe/Berlin"})
    assert require_policy({"keep_last": 1, "timezone": "UTC"}).timezone is UTC


MINUTES = st.integers(0, 60 * 24 * 800)
CANDIDATES = st.builds(
    lambda minutes, verified, safety, spared, damage, hopeless: candidate(
        NOW + timedelta(days=60) - timedelta(minutes=minutes),
        verified=verified and not damage,
        safety=safety,
        spared="on hold" if spared else None,
        damage="damaged" if damage else None,
        hopeless=hopeless,
    ),
    MINUTES,
    st.booleans(),
    *[st.sampled_from([False, False, False, True])] * 4,
)
SETS = st.lists(CANDIDATES, max_size=60, unique_by=lambda item: item.id)
COUNT = st.sampled_from([-1, 0, 0, 1, 2, 3, 7])
SPAN = st.none() | st.integers(0, 24 * 400).map(lambda hours: timedelta(hours=hours))
POLICIES = st.builds(
    Policy,
    periods=st.fixed_dictionaries(dict.fromkeys(policies.PERIODS, COUNT)),
    last=COUNT,
    within=SPAN,
    max_age=SPAN,
    min_keep=st.integers(1, 5),
    only_verified=st.booleans(),
    remove_damaged=st.booleans(),
    timezone=st.sampled_from([UTC, zoneinfo.ZoneInfo("Europe/Berlin"), zoneinfo.ZoneInfo("Australia/Lord_Howe")]),
)
MOMENTS = st.integers(-400, 4000).map(lambda days: NOW + timedelta(days=days))


def good(sets: list[Candidate], now: datetime) -> list[Candidate]:
    """Newest first."""
    found = [item for item in sets if not (item.spared or item.damage or item.safety) and item.moment <= now]
    return sorted(found, key=lambda item: (item.moment, item.id), reverse=True)


def staying(decision: Decision) -> list[Candidate]:
    return [item for item, _reasons in decision.kept]


@given(SETS, POLICIES, MOMENTS)
def test_every_set_is_decided_on_once_and_with_a_reason(sets: list[Candidate], policy: Policy, now: datetime) -> None:
    decision = decide(sets, policy, now)
    gone = [item for item, _reason in decision.removed]
    assert sorted(staying(decision) + gone, key=lambda item: item.id) == sorted(sets, key=lambda item: item.id)
    assert all(reasons and all(reasons) for _item, reasons in decision.kept)
    assert all(reason for _item, reason in decision.removed)


@given(SETS, POLICIES, MOMENTS)
def test_what_must_never_go(sets: list[Candidate], policy: Policy, now: datetime) -> None:
    left = set(staying(decide(sets, policy, now)))
    usable = good(sets, now)
    counted = [item for item in usable if item.verified or not policy.only_verified]
    assert left.issuperset(usable[:1])
    assert left.issuperset(counted[: policy.min_keep])
    assert left.issuperset(item for item in sets if item.spared)
    assert left.issuperset(item for item in sets if item.moment > now)


@given(SETS, POLICIES, MOMENTS)
def test_deciding_again_removes_nothing_more(sets: list[Candidate], policy: Policy, now: datetime) -> None:
    first = decide(sets, policy, now)
    again = decide(staying(first), policy, now)
    assert (staying(again), again.removed) == (staying(first), [])


@given(st.data(), SETS, POLICIES, MOMENTS)
def test_the_order_does_not_matter(data: st.DataObject, sets: list[Candidate], policy: Policy, now: datetime) -> None:
    assert decide(data.draw(st.permutations(sets)), policy, now) == decide(sets, policy, now)


@given(SETS, POLICIES, MOMENTS, CANDIDATES)
def test_a_set_that_does_not_count_takes_no_place(
    sets: list[Candidate], policy: Policy, now: datetime, other: Candidate
) -> None:
    sets = [item for item in sets if item.id != other.id]
    if other in good([other], now):
        return
    before, after = decide(sets, policy, now), decide([*sets, other], policy, now)
    assert [item for item in after.removed if item[0] != other] == before.removed


@given(SETS, POLICIES, MOMENTS, MOMENTS)
def test_a_clock_that_jumps_costs_nothing_that_counts(
    sets: list[Candidate], policy: Policy, now: datetime, other: datetime
) -> None:
    """What one wrong clock would remove, the latest of clocks would remove as well: time alone makes nothing go."""
    early, late = sorted((now, other))
    usable = good(sets, early)
    if usable != good(sets, late):
        return
    assert [item for item, _reason in decide(sets, policy, early).removed if item in usable] == [
        item for item, _reason in decide(sets, policy, late).removed if item in usable
    ]
