# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How PostgreSQL's roles are written, and which are the server's own."""

from __future__ import annotations

import re

from ...engines.postgresql.sql import quoted
from ..model import Account

PUBLIC = "PUBLIC"
PUBLIC_NAME = "public"
"""The account of what all roles have. No role can be called so (user.c, CreateRole)."""
BOOTSTRAP_OID = 10
"""The superuser that initdb makes (pg_authid.dat). Every server has one, under a name of its own."""
_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")


def label(name: str) -> str:
    """``app`` or ``"app user"``, as psql's commands take it; ``PUBLIC`` for all roles."""
    if name == PUBLIC_NAME:
        return PUBLIC
    return name if _PLAIN.fullmatch(name) else quoted(name)


def role(name: str) -> str:
    """A grantee as statements take it."""
    return PUBLIC if name == PUBLIC_NAME else quoted(name)


def is_system(name: str) -> bool:
    """Whether a name is one that only the server's own roles have (PostgreSQL manual, "Predefined Roles")."""
    return name.startswith("pg_")


def always_exists(account: Account) -> bool:
    """Whether an account can't be made, but may hold something: ``PUBLIC`` and the predefined roles."""
    return account.name == PUBLIC_NAME or is_system(account.name)
