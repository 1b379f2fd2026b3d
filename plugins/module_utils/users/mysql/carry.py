# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of an account on another server: MySQL or MariaDB, newer or older. What can't be kept is said."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace

from ...engines.connect import run_quoted
from ...engines.mysql import catalog
from ..model import Account, Accounts, Authentication, Grant, Membership
from .grants import PUBLIC
from .names import label
from .reading import SECOND_PASSWORD, literal_database_names

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

ALL = "ALL PRIVILEGES"
NEVER_FITS = "invalid"
"""What MariaDB stores as the hash of a password that nobody can have (MariaDB manual, "mariadb-install-db")."""
_METHODS = {
    "mariadb": {"auth_socket": "unix_socket"},
    "mysql": {"unix_socket": "auth_socket"},
}
"""Plugins by the names of another server's that do the same."""
_PRIVILEGES = {
    "mariadb": {
        "REPLICATION CLIENT": ("BINLOG MONITOR", "SLAVE MONITOR"),
        "BINLOG_ADMIN": ("BINLOG ADMIN",),
        "CONNECTION_ADMIN": ("CONNECTION ADMIN",),
        "REPLICATION_SLAVE_ADMIN": ("REPLICATION SLAVE ADMIN",),
        "SET_ANY_DEFINER": ("SET USER",),
        "SET_USER_ID": ("SET USER",),
        "SHOW_ROUTINE": ("SHOW CREATE ROUTINE",),
    },
    "mysql": {
        "BINLOG MONITOR": ("REPLICATION CLIENT",),
        "BINLOG ADMIN": ("BINLOG_ADMIN",),
        "CONNECTION ADMIN": ("CONNECTION_ADMIN",),
        "REPLICATION SLAVE ADMIN": ("REPLICATION_SLAVE_ADMIN",),
        "SET USER": ("SET_ANY_DEFINER", "ALLOW_NONEXISTENT_DEFINER"),
        "SET_USER_ID": ("SET_ANY_DEFINER", "ALLOW_NONEXISTENT_DEFINER"),
        "SHOW CREATE ROUTINE": ("SHOW_ROUTINE",),
        "SLAVE MONITOR": ("REPLICATION CLIENT",),
    },
}
"""Privileges by the names of another server's that allow the same (MariaDB manual, "GRANT"; MySQL manual, "Privileges
Provided by MySQL")."""
_LISTED_OTHERWISE = {"DELETE VERSIONING ROWS": "DELETE HISTORY"}
"""What SHOW PRIVILEGES of older servers says, and what GRANT takes (MariaDB manual, "GRANT")."""
_NO_PRIVILEGES = ("GRANT OPTION", "PROXY", "USAGE")
_ONLY = {
    "mariadb": ("MAX_STATEMENT_TIME",),
    "mysql": (
        "PASSWORD HISTORY", "PASSWORD REUSE INTERVAL", "PASSWORD REQUIRE CURRENT", "FAILED_LOGIN_ATTEMPTS",
        "PASSWORD_LOCK_TIME", "ATTRIBUTE",
    ),
}  # fmt: skip
"""Attributes that the other one has not."""
_KINDS = {"mariadb": ("package", "package body"), "mysql": ("library",)}
"""Objects with privileges that the other one has not."""


@dataclass(frozen=True)
class Target:
    """What a server can hold: its authentication plugins and privileges, and how it reads names of databases. ``me`` is
    the account of the session."""

    flavour: str
    me: str
    plugins: frozenset[str]
    privileges: frozenset[str]
    literal_names: bool

    @classmethod
    def of(cls, connection: sa.Connection) -> Target:
        plugins = connection.execute(
            sa.text("""
                SELECT PLUGIN_NAME FROM information_schema.PLUGINS
                WHERE PLUGIN_TYPE = 'AUTHENTICATION' AND PLUGIN_STATUS = 'ACTIVE'""")
        ).scalars()
        listed = [str(row[0]).upper() for row in run_quoted(connection, "SHOW PRIVILEGES")]
        return cls(
            "mariadb" if "MariaDB" in catalog.server_version(connection) else "mysql",
            label(*str(connection.execute(sa.text("SELECT CURRENT_USER()")).scalar_one()).rsplit("@", 1)),
            frozenset(plugins),
            frozenset(_LISTED_OTHERWISE.get(name, name) for name in listed),
            literal_database_names(connection),
        )


@dataclass
class Carried:
    """An account in the target's terms, and what is lost on the way. ``can_log_in`` is False where no way to log in
    could be kept."""

    account: Account
    lost: list[str]
    can_log_in: bool = True


def label_on(target: Target, source: Accounts, account: Account) -> str:
    """What the target calls, or would call, an account: roles have a host in MySQL, and none in MariaDB."""
    if source.flavour == target.flavour or not account.is_role:
        return account.label
    return label(account.name, None if target.flavour == "mariadb" else "%")


def carry(target: Target, source: Accounts, account: Account) -> Carried:
    """The account, which has a place there, as the target can hold it."""
    carried = Carried(account, [])
    if source.flavour != target.flavour:
        _carry_names(target, source, carried)
    if not account.is_role:
        _carry_login(target, source, carried)
    _carry_attributes(target, carried)
    _carry_grants(target, carried)
    return carried


def no_place(target: Target, source: Accounts, account: Account) -> str | None:
    """Why a role can't be on the target, None where it can: two that differ only in their hosts are one in MariaDB, and
    a role and an account of that name are one in MySQL. Its privileges must not fall to the other one."""
    if not account.is_role or source.flavour == target.flavour:
        return None
    if account.label == PUBLIC:
        return "MySQL has no role that everybody has: it is not made."
    here = label_on(target, source, account)
    rivals = [other for other in source.accounts if other.name == account.name and other.label != account.label]
    for other in rivals:
        is_first = (other.is_role, other.host != "%", other.label) < (True, account.host != "%", account.label)
        if is_first and label_on(target, source, other) == here:
            return f"It would be {here} there, which {other.label} is: it is not made."
    return None


def _carry_names(target: Target, source: Accounts, carried: Carried) -> None:
    account = carried.account
    host = account.host if not account.is_role else None if target.flavour == "mariadb" else "%"
    if account.is_role and account.host not in (None, "%"):
        carried.lost.append(f"MariaDB's roles have no host, and this one had {account.host}.")
    kept: list[Membership] = []
    has_default = False
    for membership in account.memberships:
        role = next((other for other in source.accounts if other.label == membership.role), None)
        if role is None or not role.is_role or no_place(target, source, role):
            carried.lost.append(f"{membership.role} is no role there, and can't be given as one.")
            continue
        one_default_only = target.flavour == "mariadb" and has_default
        if membership.default and one_default_only:
            carried.lost.append(f"MariaDB has one default role for each account: {membership.role} is none.")
        is_default = bool(membership.default) and not one_default_only
        has_default = has_default or is_default
        kept.append(replace(membership, role=label_on(target, source, role), default=is_default))
    carried.account = replace(
        account, label=label(account.name, host), host=host, memberships=tuple(sorted(kept, key=lambda one: one.role))
    )


def _carry_login(target: Target, source: Accounts, carried: Carried) -> None:
    """MariaDB's ways to log in are alternatives, and MySQL's are factors of which each is needed."""
    account, crossing = carried.account, source.flavour != target.flavour
    same = _METHODS[target.flavour] if crossing else {}
    second = [way for way in account.authentication if way.method == SECOND_PASSWORD]
    ways = [
        Authentication(same[way.method]) if way.method in same else way
        for way in account.authentication
        if way not in second
    ]
    carried.lost += [  # MariaDB's plugin takes no notice of it
        f"{way.method} for {way.secret}, another user of the system: for the one of its own name only."
        for way in account.authentication
        if way.method in same and way.secret
    ]
    usable = [way for way in ways if way.method in target.plugins]
    unknown = dict.fromkeys(way.method for way in ways if way.method not in target.plugins)
    carried.lost += [f"The server has no authentication plugin {method}." for method in unknown]
    if source.flavour == "mysql" and unknown:
        usable = []
    if crossing and target.flavour == "mariadb" and len(ways) > 1:
        carried.lost.append("MariaDB has no second authentication factor.")
        usable = []
    elif crossing and target.flavour == "mysql":
        usable = [way for way in usable if way.secret != NEVER_FITS]
        if len(usable) > 1:
            others = ", ".join(way.method for way in usable[1:])
            carried.lost.append(
                f"MySQL has one way to log in for each account: it is {usable[0].method}, not {others}."
            )
            usable = usable[:1]
    if second and (crossing or not usable):
        carried.lost.append("Its second password (RETAIN CURRENT PASSWORD).")
        second = []
    if usable or not ways:
        carried.account = replace(account, authentication=(*usable, *second))
        return
    carried.can_log_in = False
    carried.lost.append("Nobody can log in: it is locked, and has no password.")
    attributes = {**account.attributes, "ACCOUNT LOCK": True}
    carried.account = replace(account, authentication=(), attributes=attributes)


def _carry_attributes(target: Target, carried: Carried) -> None:
    account = carried.account
    foreign = [name for flavour, names in _ONLY.items() if flavour != target.flavour for name in names]
    is_bare = account.is_role and target.flavour == "mariadb"  # its roles have no attributes
    lost = [name for name in account.attributes if name in foreign or is_bare]
    carried.lost += [f"{name} {account.attributes[name]}" for name in lost]
    kept = {name: value for name, value in account.attributes.items() if name not in lost}
    comment = account.comment
    if comment is not None and target.flavour == "mariadb":
        carried.lost.append(f"Its comment: {comment}")
        comment = None
    carried.account = replace(account, attributes=kept, comment=comment)


def unescaped_pattern(name: str) -> str | None:
    """The one database that a pattern fits; None where it fits many."""
    if re.search(r"(?<!\\)(?:\\\\)*[%_]", name):
        return None
    return re.sub(r"\\(.)", r"\1", name, flags=re.DOTALL)


def _known(target: Target, privilege: str) -> list[str]:
    """The names of a privilege on the target; none where it has no such."""
    names = _PRIVILEGES[target.flavour].get(privilege, ())
    if privilege == ALL or privilege in _NO_PRIVILEGES or privilege in target.privileges:
        return [privilege]
    return [name for name in names if name in target.privileges]


def _carry_grants(target: Target, carried: Carried) -> None:
    account = carried.account
    withheld: set[str] = set()
    if not target.literal_names:
        withheld = {grant.privilege for grant in account.grants if grant.revoked}
    if withheld:
        carried.lost.append(
            f"{', '.join(sorted(withheld))} on *.*: the server has partial_revokes off, and would give it where it was "
            "revoked, too."
        )
    kept: list[Grant] = []
    unknown: list[str] = []
    for grant in account.grants:
        if withheld and (grant.revoked or (grant.kind == "server" and grant.privilege in {*withheld, ALL})):
            continue
        where = ".".join(grant.name)
        if grant.kind == "database" and target.literal_names and unescaped_pattern(grant.name[0]) is None:
            carried.lost.append(
                f"{grant.privilege} on {where}.*: the server has partial_revokes on, and takes no patterns."
            )
            continue
        if any(flavour != target.flavour and grant.kind in kinds for flavour, kinds in _KINDS.items()):
            carried.lost.append(f"{grant.privilege} on {grant.kind} {where}: the server has no such objects.")
            continue
        if grant.kind == "server" and grant.privilege == ALL and target.flavour == "mysql":
            names = sorted(target.privileges - {*_NO_PRIVILEGES})
        else:
            names = _known(target, grant.privilege)
        if not names:
            unknown.append(grant.privilege)
        kept += [replace(grant, privilege=name) for name in names]
    if unknown:
        carried.lost.append(f"The server has no privilege {', '.join(dict.fromkeys(unknown))}.")
    carried.account = replace(account, grants=tuple(dict.fromkeys(kept)))
