# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts in words for people, and how two servers' or backups' accounts differ. Never a hash."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .model import Account, Accounts, Authentication, Grant, Membership, Setting

_PLAIN_NAME = re.compile(r"[\w$*]+")
_QUOTES = {"mysql": "`", "postgresql": '"'}


def _name(parts: Iterable[str], engine: str) -> str:
    """``shop.orders``; parts that are no plain names in the server's own quotes."""
    quote = _QUOTES[engine]
    return ".".join(
        part if _PLAIN_NAME.fullmatch(part) else f"{quote}{part.replace(quote, quote * 2)}{quote}" for part in parts
    )


def _object(grant: Grant, engine: str) -> str:
    if grant.kind == "server":
        return "*.*"
    if grant.kind == "account":
        return "@".join(f"'{part}'" for part in grant.name)
    if grant.kind == "database" and engine == "mysql":
        pattern = re.sub(r"\\([_%\\])", r"\1", grant.name[0])  # the usual case: letters that stand for themselves
        return f"{_name([pattern], engine)}.*"
    if engine == "postgresql" and grant.kind in ("function", "procedure"):  # whose last part are the arguments
        return f"{grant.kind} {_name(grant.name[:-1], engine)}({grant.name[-1]})"
    if grant.kind == "table":
        return _name(grant.name, engine)
    return f"{grant.kind} {_name(grant.name, engine)}".rstrip()


def _grant_lines(grants: Iterable[Grant], engine: str) -> Iterator[str]:
    """A line for each object: its privileges, and one for each list of columns that some are limited to."""
    columns: dict[tuple[Any, ...], list[str]] = {}
    for grant in grants:
        place = _object(grant, engine), grant.grantable, grant.grantor, grant.revoked
        columns.setdefault((place, grant.privilege, bool(grant.columns)), []).extend(grant.columns)
    privileges: dict[tuple[Any, ...], list[str]] = {}
    for (place, privilege, _limited), names in columns.items():
        privileges.setdefault((place, tuple(names)), []).append(privilege)
    for ((where, grantable, grantor, revoked), names), held in privileges.items():
        what = ", ".join("ALL" if privilege == "ALL PRIVILEGES" else privilege for privilege in held)
        limited = f" ({', '.join(_name([name], engine) for name in names)})" if names else ""
        line = f"{'not ' if revoked else ''}{what} on {where}{limited}"
        line += " with grant option" if grantable else ""
        yield line + (f", granted by {grantor}" if grantor else "")


def _membership_line(membership: Membership) -> str:
    words = [f"member of {membership.role}"]
    words += ["with admin option"] if membership.admin else []
    words += ["by default"] if membership.default else []
    options = {"inherit": membership.inherit, "set": membership.set}
    words += [f"without {name}" for name, given in options.items() if given is False]
    return " ".join(words) + (f", granted by {membership.grantor}" if membership.grantor else "")


def _setting_line(setting: Setting) -> str:
    return f"{setting.name} = {setting.value}" + (f" in database {setting.database}" if setting.database else "")


def _attribute_line(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return f"{name} {value}"


def _other_lines(account: Account) -> list[str]:
    """Everything but the privileges."""
    return [
        *(f"logs in by {way.method}" for way in account.authentication),
        *(_attribute_line(name, value) for name, value in sorted(account.attributes.items())),
        *([f"comment: {account.comment}"] if account.comment is not None else []),
        *(_membership_line(membership) for membership in account.memberships),
        *(_setting_line(setting) for setting in account.settings),
    ]


def describe(account: Account, engine: str) -> list[str]:
    """What an account has, a line each: ``ALL on shop.*``, ``SELECT on crm.customers (id, name)``."""
    return [*_other_lines(account), *_grant_lines(account.grants, engine)]


@dataclass
class Difference:
    """How the second side differs from the first: labels, and lines for each account that both have.

    ``before`` and ``after`` are texts for ``--diff``: the accounts that differ, with all that they have on each side.
    """

    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    changed: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    before: str = ""
    after: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"missing": self.missing, "extra": self.extra, "changed": self.changed}


def _passwords(ways: Iterable[Authentication]) -> Mapping[str, str | None]:
    return {way.method: way.secret for way in ways}


def _password_words(first: Account, second: Account) -> tuple[list[str], list[str]]:
    """That passwords differ, without saying how."""
    mine, theirs = _passwords(first.authentication), _passwords(second.authentication)
    lines: tuple[list[str], list[str]] = ([], [])
    for method in sorted(mine.keys() & theirs.keys()):
        if mine[method] != theirs[method]:
            lines[0].append(f"{'a' if mine[method] else 'no'} password for {method}")
            known = "another" if mine[method] else "a"
            lines[1].append(f"{known if theirs[method] else 'no'} password for {method}")
    return lines


def _without(first: Account, second: Account, engine: str) -> list[str]:
    """The lines that the second account lacks."""
    grants = [grant for grant in first.grants if grant not in second.grants]
    known = _other_lines(second)
    kind = ["a role" if first.is_role else "no role"] if first.is_role != second.is_role else []
    return [*kind, *(line for line in _other_lines(first) if line not in known), *_grant_lines(grants, engine)]


def compare(first: Accounts, second: Accounts) -> Difference:
    """How the accounts of the second side differ from those of the first. Accounts are the same by their labels."""
    mine = {account.label: account for account in first.accounts}
    theirs = {account.label: account for account in second.accounts}
    difference = Difference(
        missing=[label for label in mine if label not in theirs], extra=[label for label in theirs if label not in mine]
    )
    before = {label: _text(mine[label], [], first.engine) for label in difference.missing}
    after = {label: _text(theirs[label], [], second.engine) for label in difference.extra}
    for label in (label for label in mine if label in theirs):
        gone, another = _password_words(mine[label], theirs[label])
        lines = {
            "missing": gone + _without(mine[label], theirs[label], first.engine),
            "extra": another + _without(theirs[label], mine[label], second.engine),
        }
        if any(lines.values()):
            difference.changed[label] = lines
            before[label] = _text(mine[label], gone, first.engine)
            after[label] = _text(theirs[label], another, second.engine)
    difference.before = "".join(before[label] for label in sorted(before))
    difference.after = "".join(after[label] for label in sorted(after))
    return difference


def _text(account: Account, words: Iterable[str], engine: str) -> str:
    """An account with all that it has, a line each, and each privilege on a line of its own."""
    grants = [line for grant in account.grants for line in _grant_lines([grant], engine)]
    return "".join(
        f"{line}\n" for line in [account.label, *(f"  {line}" for line in [*words, *_other_lines(account), *grants])]
    )
