"""Servers that several test files share: a source, and a fresh one that lacks what the source has of its own."""

from collections.abc import Iterator

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql import snapshot as mysql_snapshot
from kit import mariadb, postgres


@pytest.fixture(scope="session", autouse=True)
def patience_with_the_lock() -> None:
    """On a busy machine many dump programs may take longer to begin than MySQL and MariaDB are locked for them; what
    happens then has tests of its own."""
    mysql_snapshot.LOCK_SECONDS = 60


@pytest.fixture(scope="session")
def postgres_source() -> Iterator[postgres.PostgresServer]:
    with postgres.source() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_other() -> Iterator[postgres.PostgresServer]:
    with postgres.other() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_source() -> Iterator[mariadb.MariaDBServer]:
    with mariadb.source() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_other() -> Iterator[mariadb.MariaDBServer]:
    with mariadb.other() as server:
        yield server
