# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What SHOW GRANTS says of a database, in the words of MySQL and MariaDB."""

from __future__ import annotations

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql.visible import held_privileges


@pytest.mark.parametrize(
    ("grant", "database", "expected"),
    [
        ("GRANT SELECT, TRIGGER ON *.* TO `a`@`%`", "shop", ({"SELECT", "TRIGGER"}, {"SELECT", "TRIGGER"})),
        ("GRANT ALL PRIVILEGES ON *.* TO `a`@`%` WITH GRANT OPTION", "shop", ({"ALL PRIVILEGES"}, {"ALL PRIVILEGES"})),
        ("GRANT SHOW VIEW, TRIGGER ON `shop`.* TO `a`@`%`", "shop", (set(), {"SHOW VIEW", "TRIGGER"})),
        ("GRANT TRIGGER ON `shop`.* TO `a`@`%`", "shops", (set(), set())),
        ("GRANT TRIGGER ON `shop%`.* TO `a`@`%`", "shops", (set(), {"TRIGGER"})),
        ("GRANT TRIGGER ON `shop_1`.* TO `a`@`%`", "shopx1", (set(), {"TRIGGER"})),
        ("GRANT TRIGGER ON `shop\\_1`.* TO `a`@`%`", "shop_1", (set(), {"TRIGGER"})),
        ("GRANT TRIGGER ON `shop\\_1`.* TO `a`@`%`", "shopx1", (set(), set())),
        ("GRANT TRIGGER ON `a.b``*`.* TO `a`@`%`", "a.b`*", (set(), {"TRIGGER"})),
        ("GRANT TRIGGER ON `shop`.`item` TO `a`@`%`", "shop", (set(), set())),
        ("GRANT `reader`@`%` TO `a`@`%`", "shop", (set(), set())),
        ("GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*00'", "shop", ({"USAGE"}, {"USAGE"})),
    ],
)
def test_what_a_grant_gives(grant: str, database: str, expected: tuple[set[str], set[str]]) -> None:
    assert held_privileges([grant], database) == expected
