# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server lacks of what a backup was made with, taken out of the scripts."""

from __future__ import annotations

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql.lacking import (
    Lacking,
    shorter_timestamps,
    strictly,
)

LACKING = Lacking(modes=["NO_AUTO_CREATE_USER", "MYSQL40"], collations=["utf8mb4_uca1400_ai_ci"])
HEADER = b"/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES' */;\n"
STRICT = HEADER.replace(b"DATES'", b"DATES,STRICT_ALL_TABLES'")


@pytest.mark.parametrize(
    ("text", "replaced"),
    [
        (
            "\n/*!50003 SET sql_mode              = 'ANSI_QUOTES,NO_AUTO_CREATE_USER,IGNORE_SPACE' */ ;\n",
            "\n/*!50003 SET sql_mode              = 'ANSI_QUOTES,IGNORE_SPACE' */ ;\n",
        ),
        ("/*!50003 SET sql_mode = 'MYSQL40,NO_AUTO_CREATE_USER' */ ;;\n", "/*!50003 SET sql_mode = '' */ ;;\n"),
        (
            "/*!50001 SET collation_connection      = utf8mb4_uca1400_ai_ci */;\n",
            "/*!50001 SET character_set_connection      = utf8mb4 */;\n",
        ),
    ],
)
def test_settings_that_are_not_known(text: str, replaced: str) -> None:
    assert LACKING.replaced(text.encode()).decode() == replaced
    assert Lacking().replaced(text.encode()).decode() == text


@pytest.mark.parametrize(
    "text",
    [
        "/*!50003 SET sql_mode = 'ANSI_QUOTES' */ ;;\n",
        "/*!50003 SET sql_mode              = @saved_sql_mode */ ;\n",
        "/*!50001 SET collation_connection      = utf8mb4_bin */;\n",
        "/*!50001 SET collation_connection      = @saved_col_connection */;\n",
        "/*!50003 CREATE*/ /*!50003 TRIGGER t BEFORE INSERT ON q FOR EACH ROW\n"
        "/*!50003 SET sql_mode = 'MYSQL40' */ */;;\n",
        "INSERT INTO t VALUES ('/*!50003 SET sql_mode = \\'MYSQL40\\' */');\n",
    ],
)
def test_all_else_stays(text: str) -> None:
    assert LACKING.replaced(text.encode()).decode() == text


@pytest.mark.parametrize("size", [1, 50, 4096, 1 << 20])
@pytest.mark.parametrize("rows", [b"", b"INSERT INTO t VALUES (1);\n" * 500 + HEADER])
def test_a_strict_session(size: int, rows: bytes) -> None:
    script = HEADER + rows
    chunks = (script[start : start + size] for start in range(0, len(script), size))
    assert b"".join(strictly(chunks)) == STRICT + rows


@pytest.mark.parametrize(
    ("flavour", "version", "target", "shorter"),
    [
        ("mariadb", "11.8.3-MariaDB-1", "10.11.14-MariaDB-0", True),
        ("mariadb", "11.5.1-MariaDB", "9.7.0", True),
        ("mariadb", "11.8.3-MariaDB-1", "11.5.2-MariaDB", False),
        ("mariadb", "10.11.14-MariaDB-0", "10.6.1-MariaDB", False),
        ("mysql", "9.7.0", "10.11.14-MariaDB-0", False),
    ],
)
def test_whose_timestamps_end_earlier(flavour: str, version: str, target: str, shorter: bool) -> None:
    assert shorter_timestamps(flavour, version, target) == shorter
