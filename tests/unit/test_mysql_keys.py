"""Numbers for keys: they keep the order that the server has, so far as their letters go, and come back as values."""

from __future__ import annotations

from itertools import pairwise

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql.keys import KeyColumn, keys_between


def text(low: str, high: str, collation: str = "utf8mb4_general_ci") -> tuple[int, list[str]]:
    """The size of the range, and what is written at its begin, at each quarter and beyond its end."""
    keys = keys_between(KeyColumn("id", "varchar(36)", collation), low, high)
    size = keys.last - keys.first
    return size, [keys.written(keys.first + size * quarter // 4) for quarter in range(5)] + [
        keys.written(keys.last + 1)
    ]


def test_integers_are_their_own_numbers() -> None:
    keys = keys_between(KeyColumn("id", "bigint", None), -5, 9)
    assert (keys.first, keys.last, keys.written(-2)) == (-5, 9, "-2")


def test_bytes_after_those_that_all_share() -> None:
    keys = keys_between(KeyColumn("id", "binary(4)", None), b"\x01\x02\x00\x00", b"\x01\x02\xff\xff")
    middle = keys.written((keys.first + keys.last) // 2)
    assert middle.startswith("x'01027f")
    assert keys.written(keys.last + (1 << 64)) == f"x'0102{'ff' * 8}'"


@pytest.mark.parametrize(
    ("low", "high"), [("00000000-5e", "ffffffff-00"), ("PO:2026/001", "PO:2026/999"), ("AB", "zz"), ("", "zzzz")]
)
def test_text_is_cut_in_the_order_of_its_letters(low: str, high: str) -> None:
    size, written = text(low, high)
    assert size > 1000
    values = [value.removeprefix("_utf8mb4'").removesuffix("'") for value in written]
    assert all(one < other for one, other in pairwise(values))
    assert all(value.startswith(low[:8]) for value in values if low.startswith("PO"))


def test_capitals_count_where_the_collation_tells_them_apart() -> None:
    assert text("A", "a")[0] == 0
    assert text("A", "a", "utf8mb4_bin")[0] > 0


def test_what_would_need_an_escape_is_never_written() -> None:
    for low, high in (("it's 1", "it's 9"), ("\\1", "\\9"), ("é1", "é9"), ("a\n1", "a\n9"), ("100%1", "100%9")):
        size, written = text(low, high)
        assert size == 0
        assert all(value.removeprefix("_utf8mb4'").removesuffix("'").isalnum() for value in written)


@pytest.mark.parametrize(
    ("low", "high", "middle"),
    [
        (  # random ones are in the order of their last group
            "55a988df-b00a-4147-a7b3-000000000000",
            "2d3acd3e-240c-4182-a625-ffffffffffff",
            "00000000-0000-4000-a",
        ),
        (  # those that begin with the time are as they are written
            "018bcfe5-6be8-749b-ac4c-a4238a0b9238",
            "018bcfe7-6be8-765d-ae93-028bdc1aacdf",
            "018bcfe6-6be8-7",
        ),
    ],
)
def test_uuids(low: str, high: str, middle: str) -> None:
    keys = keys_between(KeyColumn("id", "uuid", None), low, high)
    found = keys.written((keys.first + keys.last) // 2)
    assert found.startswith(f"'{middle}")
    assert len(found) == 38
    assert (found[25:29] in {"7fff", "8000"}) == (middle[14] == "4")


def test_only_some_types_have_ranges() -> None:
    wanted = {"int": True, "bigint(20) unsigned": True, "varchar(9)": True, "binary(16)": True, "char(36)": True,
              "datetime": False, "point": False, "decimal(9,0)": False, "uuid": True, "text": False}  # fmt: skip
    assert {kind: KeyColumn("id", kind, None).has_ranges for kind in wanted} == wanted
