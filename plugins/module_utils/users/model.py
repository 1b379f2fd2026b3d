# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an account is, in words that hold for every kind of server. The JSON form is what backup sets store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, order=True)
class Grant:
    """One privilege on one object.

    ``kind`` is what the privilege is on, in the words of the server's GRANT statement: ``server``, ``database``,
    ``table``, ``procedure``, ``function``, ``schema``, ``sequence``, ``type``, ``language``, ``tablespace``,
    ``parameter``, ``foreign data wrapper``, ``foreign server``, ``large object``, ``account`` (MySQL's PROXY), or
    ``default …`` (PostgreSQL's privileges on objects yet to come). ``name`` is the object's name, outermost part first,
    empty for the server as a whole. ``revoked`` marks a partial revoke of MySQL: the privilege is held on the server,
    but not here.
    """

    kind: str
    name: tuple[str, ...]
    privilege: str
    columns: tuple[str, ...] = ()
    grantable: bool = False
    grantor: str | None = None
    revoked: bool = False


@dataclass(frozen=True, order=True)
class Membership:
    """That an account has a role. ``default`` is whether MySQL and MariaDB switch it on at login; ``inherit`` and
    ``set`` are PostgreSQL 16's, None where the server has no such thing."""

    role: str
    admin: bool = False
    default: bool | None = None
    inherit: bool | None = None
    set: bool | None = None
    grantor: str | None = None


@dataclass(frozen=True, order=True)
class Setting:
    """PostgreSQL's ``ALTER ROLE … SET``, for one database or, without it, for all. Values are as the server stores
    them."""

    name: str
    value: str
    database: str | None = None


@dataclass(frozen=True)
class Authentication:
    """One way to log in. ``secret`` is what the server stores of the password (a hash, as text; bytes that are no
    text as ``0x…``), never the password itself; None where it has none or keeps it to itself."""

    method: str
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Account:
    """An account or role of one server.

    ``label`` names it as the server's own tools write it: ``'app'@'10.%'``, ``"app user"``; it is what people choose
    accounts by, and unique on its server. ``attributes`` are plain values (booleans, numbers, texts, None) under the
    names the server's manual uses; only those that differ from the server's defaults.
    """

    label: str
    name: str
    host: str | None
    is_role: bool
    authentication: tuple[Authentication, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    memberships: tuple[Membership, ...] = ()
    settings: tuple[Setting, ...] = ()
    grants: tuple[Grant, ...] = ()
    comment: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Account:
        """The account that ``to_json`` described; TypeError or KeyError where the value is something else."""
        return cls(
            label=value["label"],
            name=value["name"],
            host=value["host"],
            is_role=value["is_role"],
            authentication=tuple(Authentication(**item) for item in value["authentication"]),
            attributes=value["attributes"],
            memberships=tuple(Membership(**item) for item in value["memberships"]),
            settings=tuple(Setting(**item) for item in value["settings"]),
            grants=tuple(
                Grant(**{**item, "name": tuple(item["name"]), "columns": tuple(item["columns"])})
                for item in value["grants"]
            ),
            comment=value["comment"],
        )


@dataclass
class Accounts:
    """The accounts of one server at one moment, sorted by label, and sentences for people about what is not in them."""

    engine: str
    flavour: str
    server_version: str
    accounts: Sequence[Account]
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "engine": self.engine,
            "flavour": self.flavour,
            "server_version": self.server_version,
            "accounts": [account.to_json() for account in self.accounts],
            "warnings": self.warnings,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Accounts:
        return cls(
            engine=value["engine"],
            flavour=value["flavour"],
            server_version=value["server_version"],
            accounts=[Account.from_json(item) for item in value["accounts"]],
            warnings=list(value["warnings"]),
        )
