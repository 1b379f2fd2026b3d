"""The tables that the plays print."""

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
    newest = {"id": "shop_3", "stored_bytes": 1000, "rows": 7, "accounts": 4}
    entry = {
        "instance": "pg1", "kind": "database", "database": "shop", "state": "ok", "notes": [], "holds": [], "sets": 2,
        "newest": newest, "age_seconds": 10800, "rpo_seconds": 86400, "next_due": "2026-11-25T17:00:00.000000Z",
        "verified": {"level": "decrypt", "finished": "2026-11-25T10:00:00.000000Z", "ok": True},
    }  # fmt: skip
    nothing = {"newest": None, "age_seconds": None, "verified": None, "sets": 0, "next_due": None}
    accounts = {"kind": "users", "database": "", "rpo_seconds": None, "verified": None, "next_due": None}
    late = {"state": "late", "notes": ["too old"], "holds": [{}], "next_due": "2026-11-25T12:00:00.000000Z"}
    failed = {"verified": {**entry["verified"], "ok": False}, "state": "failed", "notes": ["damaged"]}
    status = {
        "collected": "2026-11-25T12:00:00.000000Z",
        "instances": [
            {"id": "pg1", "reachable": True, "error": None, "code": None},
            {"id": "my1", "reachable": False, "error": "Down.", "code": "connection_failed"},
        ],
        "databases": [
            entry,
            {**entry, **accounts},
            {**entry, **late, "database": "crm"},
            {**entry, **failed, "database": "bad"},
            {**entry, **nothing, "database": "new", "state": "missing", "notes": ["no backup yet"]},
            {**entry, **nothing, "database": "test", "state": "excluded", "notes": ["left out"]},
        ],
        "repository": {"error": None, "free_bytes": 5_000_000_000, "days_until_full": 40.4, "growth_basis": "sets"},
    }
    table = StatusTable().filters()["status_table"]
    assert words(table(status))[1:] == [
        "my1 UNREACHABLE connection_failed: Down.",
        "pg1 (users) shop_3 3 h 1.0 kB 4 accounts 2 never ok",
        "pg1 bad shop_3 3 h of 24 h 1.0 kB 7 2 FAILED 2 h ago in 5 h FAILED damaged",
        "pg1 crm shop_3 3 h of 24 h 1.0 kB 7 2 decrypt 2 h ago now LATE too old; 1 on hold",
        "pg1 new NONE MISSING no backup yet",
        "pg1 shop shop_3 3 h of 24 h 1.0 kB 7 2 decrypt 2 h ago in 5 h ok",
        "pg1 test excluded left out",
        "The repository has 5.0 GB free, enough for at least 40 days.",
    ]
    status["repository"] = {"error": "The repository /x cannot be used."}
    assert table(status)[-1] == "The repository /x cannot be used."
