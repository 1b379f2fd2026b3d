# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers for the values of a key, so that halves and shares of a range of keys can be worked out.

A cut is right at any value, for the server orders all rows around it, and orders the values where there are several;
that numbers and values are in the same order only makes the pieces even.
"""

from __future__ import annotations

import itertools
import re
import string
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

INTEGER = re.compile(r"(?:tiny|small|medium|big)?int\b")
BINARY = re.compile(r"(?:var)?binary\(")
TEXT = re.compile(r"(?:var)?char\(")
UUID = re.compile(r"uuid\b")

_BYTES = 8
_LETTERS = 12
_UUID_VERSION, _UUID_VARIANT = 14, 19
"""Where they stand in the text (RFC 9562, "UUID Layouts")."""
_UUID_GROUPS = (8, 4, 4, 4, 12)
_FOLDED = string.digits + string.ascii_lowercase
_EXACT = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PLAIN = re.compile(r"[\w.:/@ -]*", re.ASCII)
"""What can stand in a statement in any character set and SQL mode without an escape."""


class KeyColumn(NamedTuple):
    """The first column of a primary key, with its type and collation as the catalogue writes them."""

    name: str
    type: str
    collation: str | None

    @property
    def has_ranges(self) -> bool:
        return any(kind.match(self.type) for kind in (INTEGER, BINARY, TEXT, UUID))


class Keys(ABC):
    """The values of one column between its lowest and its highest; ``first`` and ``last`` are their numbers."""

    first: int
    last: int

    @abstractmethod
    def written(self, number: int) -> str:
        """The value of a number as SQL."""


class _Integers(Keys):
    def __init__(self, low: int, high: int) -> None:
        self.first, self.last = low, high

    def written(self, number: int) -> str:
        return str(number)


def _shared(low: Sequence[Any], high: Sequence[Any]) -> int:
    """How many of the first items are the same."""
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(low, high, strict=False))
    return sum(1 for _pair in pairs)


class _Binary(Keys):
    """The first bytes after those that all values share, as a number."""

    def __init__(self, low: bytes, high: bytes) -> None:
        self._shared = low[: _shared(low, high)]
        self.first, self.last = self._number(low), self._number(high)

    def _number(self, value: bytes) -> int:
        own = value[len(self._shared) :][:_BYTES]
        return int.from_bytes(own.ljust(_BYTES, b"\0"), "big")

    def written(self, number: int) -> str:
        own = min(number, 256**_BYTES - 1).to_bytes(_BYTES, "big")
        return f"x'{(self._shared + own).hex()}'"


class _Uuid(_Binary):
    """MariaDB's own type. It orders those of the versions up to 5 by their last group first, and then the others from
    the last to the first; those of later versions, which begin with the time, as they are written (MariaDB
    documentation, "UUID Data Type")."""

    def __init__(self, low: str, high: str) -> None:
        self._fixed = {place: low[place] for place in (_UUID_VERSION, _UUID_VARIANT)}
        self._turned = min(low[_UUID_VERSION], high[_UUID_VERSION]) < "6"
        super().__init__(*(bytes.fromhex("".join(self._groups(value.split("-")))) for value in (low, high)))

    def _groups(self, groups: Sequence[Any]) -> Sequence[Any]:
        """Groups of the text in the order that counts, and back."""
        return groups[::-1] if self._turned else groups

    def written(self, number: int) -> str:
        own = min(number, 256**_BYTES - 1).to_bytes(_BYTES, "big")
        digits = iter((self._shared + own).ljust(16, b"\0")[:16].hex())
        groups = ["".join(itertools.islice(digits, size)) for size in self._groups(_UUID_GROUPS)]
        letters = list("-".join(self._groups(groups)))
        for place, letter in self._fixed.items():
            letters[place] = letter
        return f"'{''.join(letters)}'"


class _Text(Keys):
    """The first letters after those that all values share, as the digits of a number; a sign ends them."""

    def __init__(self, low: str, high: str, collation: str) -> None:
        self._digits = _EXACT if collation.endswith("_bin") else _FOLDED
        shared = _PLAIN.match(low[: _shared(low, high)])
        self._shared = shared[0] if shared else ""
        self.first, self.last = self._number(low), self._number(high)

    def _number(self, value: str) -> int:
        own = value[len(self._shared) :][:_LETTERS]
        places = [self._digits.find(letter) for letter in (own if self._digits is _EXACT else own.lower())]
        known = list(itertools.takewhile(lambda place: place >= 0, places))
        number = 0
        for place in known + [0] * (_LETTERS - len(known)):
            number = number * len(self._digits) + place
        return number

    def written(self, number: int) -> str:
        base = len(self._digits)
        left = min(number, base**_LETTERS - 1)
        own = "".join(self._digits[left // base**place % base] for place in reversed(range(_LETTERS)))
        return f"_utf8mb4'{self._shared}{own}'"


def keys_between(column: KeyColumn, low: int | bytes | str, high: int | bytes | str) -> Keys:
    """The keys of a column from the lowest to the highest value, both as the driver gives them."""
    if isinstance(low, str) and isinstance(high, str) and UUID.match(column.type):
        return _Uuid(low, high)
    if isinstance(low, bytes) and isinstance(high, bytes):
        return _Binary(low, high)
    if isinstance(low, str) and isinstance(high, str):
        return _Text(low, high, column.collation or "")
    return _Integers(int(low), int(high))
