# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which accounts are meant by names, and which ones a database needs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.errors import NotFoundError
from ansible_collections.vya.backupdb.plugins.module_utils.operations.users_set import needed_labels, select_accounts
from ansible_collections.vya.backupdb.plugins.module_utils.users.model import (
    Account,
    Accounts,
    Grant,
    Membership,
    Setting,
)


def account(name: str, host: str | None = "%", roles: tuple[str, ...] = (), **values: Any) -> Account:
    label = f"'{name}'@'{host}'" if host else name
    return Account(label, name, host, host is None, memberships=tuple(Membership(role) for role in roles), **values)


ON_SHOP = Grant("table", ("shop", "item"), "SELECT")
ON_CRM = Grant("table", ("crm", "customer"), "SELECT")
ACCOUNTS = Accounts(
    "mysql",
    "mariadb",
    "1",
    [
        account("reader", None, grants=(ON_SHOP,)),
        account("everybody", None, grants=(ON_CRM,)),
        account("through", roles=("reader", "everybody")),
        account("direct", grants=(ON_SHOP, ON_CRM)),
        account("owner", "10.%"),
        account("owner", "localhost"),
        account("set", settings=(Setting("work_mem", "1MB", "shop"),)),
        account("stranger", roles=("everybody",), grants=(ON_CRM,)),
    ],
)


def test_what_a_database_needs() -> None:
    needed = needed_labels(ACCOUNTS, "shop", ["owner@10.%"], lambda grant: grant.name[0] == "shop")
    assert needed == {"reader", "everybody", "'through'@'%'", "'direct'@'%'", "'owner'@'10.%'", "'set'@'%'"}


def test_roles_that_are_members_of_each_other() -> None:
    circle = Accounts("mysql", "mysql", "1", [account("a", None, ("b",)), account("b", None, ("a",))])
    assert needed_labels(circle, "shop", ["a"], lambda _grant: False) == {"a", "b"}


@pytest.mark.parametrize(
    ("wanted", "exclude", "chosen"),
    [
        (None, (), 8),
        (None, ("owner",), 6),
        (("owner",), (), 2),
        (("owner@10.%",), (), 1),
        (("'owner'@'localhost'",), (), 1),
        (("*er",), ("stranger",), 3),
        ((), (), 0),
    ],
)
def test_accounts_are_chosen_by_what_people_call_them(
    wanted: tuple[str, ...] | None, exclude: tuple[str, ...], chosen: int
) -> None:
    assert len(select_accounts(ACCOUNTS.accounts, wanted, exclude)) == chosen


def test_a_name_that_nobody_has() -> None:
    with pytest.raises(NotFoundError, match="'nobody' is no account there"):
        select_accounts(ACCOUNTS.accounts, ["owner", "nobody"], ())
