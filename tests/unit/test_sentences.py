# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the drivers of this machine say where nobody listens, and answers of servers as they come."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pymysql
import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.engines.sentences import driver_sentence


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1,127.0.0.2"])
def test_postgresql_refused(host: str) -> None:
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(host=host, port=1, user="u", dbname="d", connect_timeout=5)
    assert driver_sentence(caught.value) == "Connection refused"


def test_postgresql_without_socket(tmp_path: Path) -> None:
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(host=str(tmp_path), port=1, user="u", dbname="d")
    assert driver_sentence(caught.value) == "No such file or directory"


def test_mysql_refused() -> None:
    with pytest.raises(pymysql.err.OperationalError) as caught:
        pymysql.connect(host="127.0.0.1", port=1)
    assert driver_sentence(caught.value).startswith("Can't connect to MySQL server on '127.0.0.1' (")


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            'connection failed: connection to server at "::1", port 5432 failed: FATAL:  the database system is '
            'starting\nconnection to server at "::1", port 5432 failed: FATAL:  the database system is starting\n',
            "the database system is starting",
        ),
        (
            'connection failed: connection to server at "::1", port 1 failed: Connection refused\n'
            "\tIs the server running on that host and accepting TCP/IP connections?\n"
            "Multiple connection attempts failed. All failures were:\n"
            "- host: 'db', port: '1', hostaddr: '10.0.0.1': connection timeout expired\n"
            "- host: 'db', port: '1', hostaddr: '::1': connection failed: "
            'connection to server at "::1", port 1 failed: Connection refused\n',
            "Connection refused - host: 'db', port: '1', hostaddr: '10.0.0.1': connection timeout expired",
        ),
        (
            'null value in column "a" is missing\nDETAIL:  Failing row contains (null).\nCONTEXT:  COPY t, line 1',
            'null value in column "a" is missing. DETAIL: Failing row contains (null). CONTEXT: COPY t, line 1',
        ),
    ],
)
def test_sentences_of_several_lines(said: str, sentence: str) -> None:
    assert driver_sentence(psycopg.OperationalError(said)) == sentence
