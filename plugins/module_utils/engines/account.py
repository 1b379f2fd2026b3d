# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts that back up, and nothing more: what all kinds of servers have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..config import Instance

if TYPE_CHECKING:
    from collections.abc import Sequence

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa


@dataclass(frozen=True)
class AccountWanted:
    """The account that is to be. ``host`` is from where it may log in (MySQL and MariaDB only); ``restore`` lets it
    restore, too."""

    username: str
    password: str = field(repr=False)
    host: str = "localhost"
    restore: bool = False


@dataclass(frozen=True)
class Change:
    """One statement. ``shown`` is the same for people, with the password masked."""

    sql: str = field(repr=False)
    shown: str


class BackupAccount(ABC):
    """Makes and removes the account on one server, as an administrator of it."""

    def __init__(self, administrator: Instance, wanted: AccountWanted) -> None:
        self.administrator = administrator
        self.wanted = wanted

    def prepare(self, connection: sa.Connection) -> None:  # noqa: B027 - only some servers need it
        """Settles how the session reads statements."""

    @abstractmethod
    def exists(self, connection: sa.Connection) -> bool:
        """Whether there is an account of that name."""

    @abstractmethod
    def creation(self, connection: sa.Connection) -> list[Change]:
        """How to make the account."""

    @abstractmethod
    def password_change(self, connection: sa.Connection) -> list[Change]:
        """How to give the account the password."""

    @abstractmethod
    def grants(self, connection: sa.Connection, exists: bool) -> list[Change]:
        """How to give the account the privileges that it lacks."""

    @abstractmethod
    def beyond(self, connection: sa.Connection) -> list[str]:
        """What the account, which exists, may do beyond what it is for."""

    @abstractmethod
    def removal(self, connection: sa.Connection) -> list[Change]:
        """How to remove the account. Raises what the server says where it owns objects."""

    @abstractmethod
    def execute(self, connection: sa.Connection, changes: Sequence[Change]) -> None:
        """Runs statements; together or not at all where the server can."""

    @abstractmethod
    def has_password(self, connection: sa.Connection) -> bool:
        """Whether the account has the password already; False where that can't be seen."""

    def plan(self, connection: sa.Connection, present: bool, update_password: bool) -> list[Change]:
        """What is to be done."""
        exists = self.exists(connection)
        if not present:
            return self.removal(connection) if exists else []
        changes = self.creation(connection) if not exists else []
        if exists and update_password and not self.has_password(connection):
            changes += self.password_change(connection)
        return changes + self.grants(connection, exists)
