# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles of PostgreSQL 15: read, brought back, changed; by whom may see less; and without a trace in the server's log."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kit import postgres
from kit.postgres import PostgresServer
from kit.postgres_role_cases import RoleCases


@pytest.fixture(scope="module")
def source() -> Iterator[PostgresServer]:
    """A server without any role of other tests."""
    with postgres.running({}) as server:
        yield server


@pytest.fixture(scope="module")
def other() -> Iterator[PostgresServer]:
    with postgres.running({}) as server:
        yield server


class TestRoles(RoleCases):
    """PostgreSQL 15."""
