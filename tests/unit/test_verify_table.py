# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of verifications."""

from ansible_collections.vya.backupdb.plugins.filter.verify_table import FilterModule

SHOP = {"instance": "pg1", "database": "shop"}


def test_verifications() -> None:
    shop, users = {"kind": "database", **SHOP}, {"kind": "users", "instance": "pg1", "database": ""}
    proven = {"level": "decrypt", "stored_bytes": 1500, "duration_seconds": 0.84, "seal_checked": True, "warnings": []}
    unread = {"kind": None, "instance": None, "database": None}
    result = {
        "verified": [
            {**shop, **proven, "warnings": ["view v"]},
            {**shop, **proven, "seal_checked": False},
            {**users, **proven},
        ],
        "failures": [
            {**shop, "id": "shop_1", "code": "checksum_mismatch", "error": "Cut."},
            {**unread, "id": "x_1", "code": "manifest_invalid", "error": "Gone."},
        ],
        "planned": [{**shop, "reason": "asked for", "stored_bytes": 1500}],
        "not_due": [{**shop, "reason": "last verified 3 h ago, max_age is 7 days"}] * 2,
        "strays": [{"path": "/b/x", "kind": "unknown", "reason": "Belongs to no backup."}],
    }
    broken = {"item": "lite", "msg": "Down.", "code": "repository_empty"}
    lines = FilterModule().filters()["verify_table"]([result, broken, {**result, "verified": [], "failures": []}])
    assert [" ".join(line.split()) for line in lines] == [
        "INSTANCE DATABASE RESULT BACKUPS SIZE TIME NOTE",
        "pg1 (users) verified 1 1.5 kB 0.8 s decrypt",
        "pg1 shop verified 2 3.0 kB 1.7 s decrypt; 1 without their key",
        "pg1 shop warning view v",
        "pg1 shop not due 2 last verified 3 h ago, max_age is 7 days",
        "pg1 shop FAILED 1 shop_1: checksum_mismatch: Cut.",
        "FAILED 1 x_1: manifest_invalid: Gone.",
        "stray /b/x: Belongs to no backup.",
        "lite FAILED repository_empty: Down.",
        "pg1 shop due 1 1.5 kB asked for",
    ]
