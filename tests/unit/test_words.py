"""Amounts in words, and what people may write for durations and moments."""

from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.errors import InvalidConfigError
from ansible_collections.vya.backupdb.plugins.module_utils.operations.words import duration_words, size_words
from ansible_collections.vya.backupdb.plugins.module_utils.repository.catalog import parse_duration, parse_moment


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (26 * 3600, "26 h"),
        (3 * 86400, "3 days"),
    ],
)
def test_durations(seconds: int, words: str) -> None:
    assert duration_words(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (15 * 10**8, "1.5 GB"),
        (10**16, "10.0 PB"),
    ],
)
def test_sizes(count: int, words: str) -> None:
    assert size_words(count) == words


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400), ("24h", 86400), ("7d", 604800), ("2w", 1209600), ("30", 30), (" 5 s ", 5)]
)
def test_written_durations(text: str, seconds: int) -> None:
    assert parse_duration(text, "max_age") == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "h", "-1h", "1 year", "1.5h", "9" * 20 + "w"])
def test_wrong_durations(text: str) -> None:
    with pytest.raises(InvalidConfigError, match="max_age"):
        parse_duration(text, "max_age")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
        ("2026-11-23T02:00:00Z", datetime(2026, 11, 23, 2, tzinfo=UTC)),
        ("2026-11-23 02:00:00+02:00", datetime(2026, 11, 23, 0, tzinfo=UTC)),
    ],
)
def test_written_moments(text: str, moment: datetime) -> None:
    assert parse_moment(text, "before") == moment


def test_a_wrong_moment() -> None:
    with pytest.raises(InvalidConfigError, match="before: 'yesterday' is no ISO 8601"):
        parse_moment("yesterday", "before")
