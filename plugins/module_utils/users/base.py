# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What everything else knows of a server's accounts: read them, say how to make them so, and do it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from ..config import Instance
from ..engines.base import Inventory
from ..security.redact import Redactor
from .model import Account, Accounts, Grant

CREATE, MEMBERSHIP, PRIVILEGE, DELEGATED = "create", "membership", "privilege", "delegated"
PHASES = (CREATE, MEMBERSHIP, PRIVILEGE, DELEGATED)
"""The order in which statements run, over all accounts: roles exist before they are given to others, and whoever grants
has what he grants. What PostgreSQL's roles were granted by others than an object's owner is ``delegated``."""


@dataclass(frozen=True)
class Statement:
    """One statement. ``secrets`` are the hashes in it, as they are written there; ``needs`` says in words which object
    has to exist (``table crm.customers``), and ``database`` in which database of PostgreSQL it runs."""

    phase: str
    sql: str = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    needs: str | None = None
    database: str | None = None

    @property
    def shown(self) -> str:
        """The statement for people: hashes masked."""
        return Redactor(self.secrets)(self.sql)


@dataclass
class Changes:
    """What makes an account on the target what it was: the statements in order, and what can't be carried over, a
    sentence each."""

    statements: list[Statement] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


class UsersEngine(ABC):
    """The verbs of one kind of server. One file an engine; users/registry.py lists them."""

    name: ClassVar[str]
    transactional: ClassVar[bool]
    """Whether ``execute`` runs all of its statements or none."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    @abstractmethod
    def read(self) -> Accounts:
        """Every account and role that is not the server's own (docs/users.md lists those), by catalogue queries alone.
        Raises PermissionDeniedError naming the privilege where the catalogue may not be read at all; what only can't
        be seen (hashes) is a warning."""

    @abstractmethod
    def changes(self, source: Accounts, wanted: Account, current: Account | None, revoke: bool) -> Changes:
        """How to make an account of ``source`` on this server, or to change ``current`` into it. Empty where they are
        the same. What ``current`` has beyond ``wanted`` is taken away only with ``revoke``."""

    @abstractmethod
    def same_identity(self, source: Accounts, wanted: Account, current: Account) -> bool:
        """Whether both log in the same way and have the same attributes, as far as this server can hold them."""

    def label_here(self, source: Accounts, account: Account) -> str:
        """What this server calls an account of ``source``; empty where it can't have it (``changes`` says why)."""
        return account.label

    def concerns(self, grant: Grant, database: str) -> bool:
        """Whether a privilege is on a database or on something in it."""
        return grant.name[:1] == (database,)

    def entering(self, database: str | None) -> str:
        """A line of a script after which its statements run in that database, or where it does not matter."""
        return ""

    @abstractmethod
    def execute(self, statements: Sequence[Statement]) -> None:
        """Runs statements of one account and phase. Raises NotFoundError
        where an object that a statement needs does not exist, PermissionDeniedError, QueryFailedError."""

    @abstractmethod
    def named_in(self, inventory: Inventory) -> set[str]:
        """The names of the accounts that a backup of a database says its objects belong to or run as."""

    @abstractmethod
    def close(self) -> None:
        """Gives back the connections."""
