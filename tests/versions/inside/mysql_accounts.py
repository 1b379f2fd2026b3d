# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts on real MySQL servers; runs inside a host that has MySQL (kit/inside.py)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kit import mysql
from kit.mysql_accounts import PREPARE_MYSQL
from kit.mysql_contract import Servers
from versions import test_users_mysql


@pytest.fixture(scope="module")
def suites() -> Iterator[dict[str, Servers]]:
    """The servers of this host only."""
    with mysql.source() as source, mysql.other() as other:
        for server in (source, other):
            server.run(*PREPARE_MYSQL, "GRANT PROXY ON ''@'' TO root@'127.0.0.1' WITH GRANT OPTION")
        yield {"sid": Servers(source, other, "mysql")}


class TestAccounts(test_users_mysql.TestMySQL):
    """All that holds of MySQL."""
