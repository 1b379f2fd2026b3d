"""The tables that the plays print."""

from datetime import UTC, datetime, timedelta

from ansible_collections.vya.backupdb.plugins.filter.backup_table import FilterModule as BackupTable
from ansible_collections.vya.backupdb.plugins.filter.restore_table import FilterModule as RestoreTable
from ansible_collections.vya.backupdb.plugins.filter.status_table import FilterModule as StatusTable

SHOP = {"instance": "pg1", "database": "shop"}


def words(lines: list[str]) -> list[str]:
    return [" ".join(line.split()) for line in lines]


def test_backups() -> None:
    result = {
        "backups": [
            {**SHOP, "stored_bytes": 1500, "duration_seconds": 0.84, "reason": "no backup yet", "id": "shop_1"}
            | {"path": "/b/db1/pg1/shop/2026-11-23/shop_1"}
            | {"warnings": ["view v is\ninvalid"]}
        ],
        "failures": [
            {**SHOP, "database": "crm", "code": "locked", "error": "Database crm is locked."},
            {"instance": "my1", "database": None, "code": "connection_failed", "error": "Down."},
        ],
        "planned": [{**SHOP, "reason": "no backup yet", "size_bytes": 9}, {**SHOP, "database": "crm", "reason": "x"}],
        "not_due": [{**SHOP, "database": "old", "reason": "newest is 3 h old, max_age is 24 h"}],
    }
    broken = {"item": "lite", "msg": "Wrong connection.", "code": "invalid_config"}
    lines = BackupTable().filters()["backup_table"]([result, broken])
    assert words(lines) == [
        "INSTANCE DATABASE RESULT SIZE TIME BACKUP, OR WHY",
        "pg1 shop backed up 1.5 kB 0.8 s shop_1 (no backup yet)",
        "pg1 shop warning view v is invalid",
        "pg1 old not due newest is 3 h old, max_age is 24 h",
        "pg1 crm FAILED locked: Database crm is locked.",
        "my1 FAILED connection_failed: Down.",
        "lite FAILED invalid_config: Wrong connection.",
        "Stored in /b/db1",
    ]
    starts = {line.index(column) for line, column in zip(lines[1:3], ["backed up", "warning"], strict=True)}
    assert starts == {lines[0].index("RESULT")}


def test_check_mode_shows_what_is_due() -> None:
    result = {"backups": [], "failures": [], "not_due": [], "free_bytes": 5_000_000_000}
    plan = [{**SHOP, "reason": "no backup yet", "size_bytes": 2_000_000}]
    lines = BackupTable().filters()["backup_table"]([{**result, "planned": plan}])
    assert words(lines)[1:] == ["pg1 shop due 2.0 MB no backup yet", "The repository has 5.0 GB free."]


def test_restores() -> None:
    backup = {"id": "shop_1", "host": "db1", **SHOP}
    restored = {**SHOP, "tables": 3, "rows": 10, "duration_seconds": 1.26, "safety_backup": "shop_0", "warnings": ["w"]}
    planned = {**SHOP, "tables": 3, "rows": 10, "warnings": []}
    results = [{"backup": backup, "restored": restored}, {"backup": backup, "restored": planned}]
    assert words(RestoreTable().filters()["restore_table"](results))[1:] == [
        "pg1 shop restored 3 10, as backed up 1.3 s shop_1 of db1/pg1/shop",
        "pg1 shop replaced the database as it was is in shop_0",
        "pg1 shop warning w",
        "pg1 shop to do 3 10 shop_1 of db1/pg1/shop",
    ]


def test_status() -> None:
    def stored(database: str, hours: int, kind: str = "database") -> dict:
        started = (datetime.now(UTC) - timedelta(hours=hours, seconds=5)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {"instance": "pg1", "database": database, "kind": kind, "started": started} | {
            "purpose": "safety" if hours == 0 else "regular",
            "id": f"{database}_{hours}",
            "stored_bytes": 1000,
            "rows": 7,
        }

    instances = [
        {
            "id": "pg1",
            "reachable": True,
            "databases": [{"name": name, "excluded": name == "test"} for name in ("shop", "new", "test")],
        },
        {"id": "my1", "reachable": False, "databases": [], "code": "connection_failed", "error": "Down."},
    ]
    backups = [stored("shop", 30), stored("shop", 3), stored("shop", 0), stored("gone", 100), stored("", 1, "users")]
    assert words(StatusTable().filters()["status_table"](instances, backups))[1:] == [
        "my1 connection_failed: Down.",
        "pg1 gone gone_100 4 days 1.0 kB 7 1 no longer on the server",
        "pg1 new NONE",
        "pg1 shop shop_3 3 h 1.0 kB 7 2",
        "pg1 test excluded",
    ]
