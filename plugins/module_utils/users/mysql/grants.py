# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what SHOW GRANTS prints (MySQL manual, "SHOW GRANTS Statement"; MariaDB manual, likewise).

It is the one place where both servers tell every kind of privilege. Names in it are always quoted, words never are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...errors import QueryFailedError
from ..model import Grant

_TOKEN = re.compile(
    r"""\s*(?:(?P<name>`[^`]*`(?:`[^`]*`)*)|(?P<text>'[^'\\]*(?:(?:\\.|'')[^'\\]*)*')|(?P<sign>[(),.@*])"""
    r"""|(?P<word>[^\s`'(),.@*]+))""",
    re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "Z": "\x1a", "b": "\b"}
_OBJECTS = ("TABLE", "PROCEDURE", "FUNCTION", "PACKAGE", "LIBRARY")
PUBLIC = "PUBLIC"
"""MariaDB's role that everybody has (10.11 and newer); the word itself is its name."""


def _unescaped(text: str) -> str:
    return re.sub(
        r"\\(.)|''", lambda found: _ESCAPES.get(found[1], found[1]) if found[1] else "'", text, flags=re.DOTALL
    )


class _Tokens:
    """The tokens of one statement: names and strings without their quotes, and apart from words and signs."""

    def __init__(self, statement: str) -> None:
        self._tokens: list[tuple[bool, str]] = []
        for found in _TOKEN.finditer(statement):
            if found["name"] is not None:
                self._tokens.append((True, found["name"][1:-1].replace("``", "`")))
            elif found["text"] is not None:
                self._tokens.append((True, _unescaped(found["text"][1:-1])))
            else:
                self._tokens.append((False, found["sign"] or found["word"]))
        self._next = 0

    def at_word(self, *words: str) -> bool:
        return self._next < len(self._tokens) and self._tokens[self._next] in [(False, word) for word in words]

    def at_name(self) -> bool:
        return self._next < len(self._tokens) and self._tokens[self._next][0]

    def take(self) -> str:
        self._next += 1
        return self._tokens[self._next - 1][1]

    def skip(self, *words: str) -> bool:
        """Steps over one of these words, if it is next."""
        found = self.at_word(*words)
        self._next += found
        return found

    def words_left(self) -> list[str]:
        return [text for is_name, text in self._tokens[self._next :] if not is_name]


def _privileges(tokens: _Tokens) -> Iterator[tuple[str, tuple[str, ...]]]:
    while True:
        words = []
        while not tokens.at_word(",", "ON", "("):
            words.append(tokens.take())
        columns = []
        if tokens.skip("("):
            while not tokens.skip(")"):
                columns.append(tokens.take())
                tokens.skip(",")
        yield " ".join(words), tuple(columns)
        if not tokens.skip(","):
            return


def _object(tokens: _Tokens, privilege: str) -> tuple[str, tuple[str, ...]]:
    kind = "table"
    if tokens.at_word(*_OBJECTS):
        kind = tokens.take().lower()
        kind += " body" if tokens.skip("BODY") else ""
    if tokens.skip("*"):
        tokens.skip(".")
        tokens.skip("*")
        return "server", ()
    if not tokens.at_name():
        raise QueryFailedError(
            f"The server grants {privilege} on {tokens.take()}, unknown here. Update the collection."
        )
    outer = tokens.take()
    separator = tokens.take()
    if privilege == "PROXY" and separator == "@":
        return "account", (outer, tokens.take())
    if tokens.skip("*"):
        return "database", (outer,)
    return kind, (outer, tokens.take())


def _grantee(tokens: _Tokens) -> tuple[str, str | None]:
    name = tokens.take()
    return name, tokens.take() if tokens.skip("@") else None


def parse_grants(statement: str, grantee: tuple[str, str | None]) -> list[Grant]:
    """The privileges that one line of SHOW GRANTS gives an account (or partially revokes), one for each column.

    Nothing for lines about roles, about nothing (USAGE), or about another account: MariaDB shows those of a role's
    roles, too. Raises QueryFailedError for a kind of object that is not known here.
    """
    tokens = _Tokens(statement)
    revoked = tokens.at_word("REVOKE")
    if not tokens.skip("GRANT", "REVOKE") or tokens.at_name():
        return []
    privileges = list(_privileges(tokens))
    tokens.skip("ON")
    kind, name = _object(tokens, privileges[0][0])
    tokens.skip("TO", "FROM")
    if _grantee(tokens) != grantee:
        return []
    grantable = " GRANT OPTION " in f" {' '.join(tokens.words_left())} "
    return [
        Grant(kind, name, privilege, (column,) if column is not None else (), grantable, revoked=revoked)
        for privilege, columns in privileges
        for column in (columns or (None,))
        if privilege != "USAGE" or grantable
    ]
