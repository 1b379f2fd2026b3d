"""The tables that the plays print."""

from ansible_collections.vya.backupdb.plugins.filter.backup_table import FilterModule as BackupTable
from ansible_collections.vya.backupdb.plugins.filter.restore_table import FilterModule as RestoreTable
from ansible_collections.vya.backupdb.plugins.filter.retention_table import FilterModule as RetentionTable
from ansible_collections.vya.backupdb.plugins.filter.run_table import FilterModule as RunTable
from ansible_collections.vya.backupdb.plugins.filter.status_table import FilterModule as StatusTable
from ansible_collections.vya.backupdb.plugins.filter.users_table import FilterModule as UsersTable

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


def test_copies() -> None:
    shop = {**SHOP, "kind": "database", "stored_bytes": 1500}
    result = {
        "to": "db1@store:/b",
        "planned": [{**shop, "id": name, "reason": "it is not there yet"} for name in ("a3", "a2", "a1", "a0")],
        "copied": [{**shop, "id": "a3", "duration_seconds": 0.5}, {**shop, "id": "a2", "duration_seconds": 0.25}],
        "failures": [
            {**SHOP, "kind": "database", "id": "a1", "code": "no_space", "error": "Full."},
            {
                "id": "x",
                "kind": None,
                "instance": None,
                "database": None,
                "code": "manifest_invalid",
                "error": "Cut off.",
            },
        ],
    }
    unreached = {"msg": "SSH failed.", "code": "connection_failed"}
    assert words(BackupTable().filters()["backup_table"]([result, unreached]))[1:] == [
        "pg1 shop copied 3.0 kB 0.8 s 2 backups, the newest a3 (db1@store:/b)",
        "pg1 shop to copy 1.5 kB a0 (db1@store:/b)",
        "pg1 shop FAILED no_space: Full.",
        "FAILED manifest_invalid: Cut off.",
        "(copies) FAILED connection_failed: SSH failed.",
    ]


def test_check_mode_shows_what_is_due() -> None:
    result = {"backups": [], "failures": [], "not_due": [], "free_bytes": 5_000_000_000}
    plan = [{**SHOP, "reason": "no backup yet", "size_bytes": 2_000_000}]
    lines = BackupTable().filters()["backup_table"]([{**result, "planned": plan}])
    assert words(lines)[1:] == ["pg1 shop due 2.0 MB no backup yet", "The repository has 5.0 GB free."]


def test_users_stand_for_a_database() -> None:
    result = {
        "backups": [
            {"instance": "pg1", "kind": "users", "database": "", "stored_bytes": 900, "duration_seconds": 0.1}
            | {"reason": "no backup yet", "id": "users_1", "path": "/b/db1/pg1/@users/2026-11-23/users_1"}
            | {"warnings": []}
        ],
        "failures": [{"instance": "my1", "code": "connection_failed", "error": "Down."}],
        "planned": [{"instance": "pg1", "reason": "no backup yet", "accounts": 3}],
        "not_due": [{"instance": "my2", "reason": "nothing has changed since users_0"}],
    }
    assert words(BackupTable().filters()["backup_table"]([result]))[1:] == [
        "pg1 (users) backed up 900 B 0.1 s users_1 (no backup yet)",
        "my2 (users) not due nothing has changed since users_0",
        "my1 (users) FAILED connection_failed: Down.",
        "Stored in /b/db1",
    ]


def test_an_instance_that_does_not_answer_is_told_once() -> None:
    nothing = {"backups": [], "planned": [], "not_due": []}
    down = {"instance": "my1", "code": "connection_failed", "error": "Down."}
    databases = {**nothing, "failures": [{**down, "database": None}]}
    other = {**nothing, "failures": [down, {**down, "error": "No right to read mysql.user."}]}
    assert words(BackupTable().filters()["backup_table"]([databases, other]))[1:] == [
        "my1 FAILED connection_failed: Down.",
        "my1 (users) FAILED connection_failed: No right to read mysql.user.",
    ]


def users_table(*results: dict[str, object]) -> list[str]:
    return words(UsersTable().filters()["users_table"](list(results)))


def test_restored_accounts() -> None:
    def entry(account: str, result: str, **values: object) -> dict[str, object]:
        return {"account": account, "result": result, "pending": [], "lost": [], "error": None, "code": None, **values}

    users = [
        entry("a", "created", pending=["GRANT SELECT ON s.t TO a (table s.t is missing)"], lost=["Its comment: x"]),
        entry("b", "left"),
        entry("c", "failed", code="query_failed", error="Refused."),
    ]
    assert users_table({"users": users, "source": "backup users_1", "safety_backup": "users_2"}) == [
        "ACCOUNT RESULT NOTE",
        "a created",
        "a waits GRANT SELECT ON s.t TO a (table s.t is missing)",
        "a lost Its comment: x",
        "b left exists and is not as backed up",
        "c FAILED query_failed: Refused.",
        "From backup users_1",
        "The accounts as they were before are in backup users_2",
    ]
    assert users_table({"msg": "No.", "code": "not_found"})[1:] == ["FAILED not_found: No."]


def test_accounts_and_their_differences() -> None:
    users = [{"account": "a", "is_role": False, "holds": ["logs in by p", "ALL on s.*"]}]
    users += [{"account": "r", "is_role": True, "holds": []}]
    shown = {"users": users, "source": "backup users_1", "difference": None}
    assert users_table(shown)[1:] == ["a account logs in by p", "ALL on s.*", "r role", "From backup users_1"]

    difference = {"missing": ["b"], "extra": ["c"], "changed": {"a": {"missing": ["ALL on s.*"], "extra": []}}}
    sides = {**shown, "compared_with": "instance i"}
    assert users_table({**sides, "difference": difference})[1:] == [
        "b missing the whole account",
        "c extra the whole account",
        "a missing ALL on s.*",
        "missing: only in backup users_1, and not in instance i; extra: the other way round",
    ]
    same = {"missing": [], "extra": [], "changed": {}}
    assert users_table({**sides, "difference": same})[1:] == [
        "No account differs between backup users_1 and instance i"
    ]


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
    failed = {"msg": "The target lacks the role boss.", "code": "target_unfit"}
    assert words(RestoreTable().filters()["restore_table"]([failed]))[1:] == [
        "FAILED target_unfit: The target lacks the role boss."
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
        "jobs": [
            {"job": "backup", "result": "failed", "words": "the run of 2026-11-25T02:00:00Z was cut off"},
            {"job": "verify", "result": "ok", "words": "last run ended 3 h ago"},
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
        "Job backup FAILED: the run of 2026-11-25T02:00:00Z was cut off.",
        "The repository has 5.0 GB free, enough for at least 40 days.",
    ]
    status["repository"] = {"error": "The repository /x cannot be used."}
    assert table(status)[-1] == "The repository /x cannot be used."


def test_retention() -> None:
    shop = {"host": "db1", "instance": "pg1", "kind": "database", "database": "shop"}
    users = {**shop, "kind": "users", "database": ""}
    done = {
        "kept": [{**shop, "stored_bytes": 9}, {**shop, "stored_bytes": 9}, {**users, "stored_bytes": 1}],
        "removed": [{**shop, "stored_bytes": 1000}, {**shop, "stored_bytes": 500}],
        "postponed": [{**users, "reason": "It is locked."}],
        "failures": [{**shop, "id": "shop_1", "code": "repository_unusable", "error": "No."}],
    }
    failed = {"msg": "Nothing says.", "code": "invalid_config", "failed": True}
    table = RetentionTable().filters()["retention_table"]
    assert words(table([done, failed], ["db1", "db2"])) == [
        "HOST INSTANCE DATABASE KEPT REMOVED SIZE NOTE",
        "db1 pg1 (users) 1 0 It is locked.",
        "db1 pg1 shop 2 2 1.5 kB FAILED repository_unusable: No.",
        "db2 FAILED invalid_config: Nothing says.",
        "2 removed of 2 host(s), 1.5 kB.",
    ]
    assert words(table([done], ["db1"], check=True))[0::3] == [
        "HOST INSTANCE DATABASE KEPT TO GO SIZE NOTE",
        "2 to go of 1 host(s), 1.5 kB.",
    ]


def test_how_a_run_ended_on_all_hosts() -> None:
    table = RunTable().filters()["run_table"]
    good = {"host": "db1", "state": "success", "message": "", "lines": []}
    lost = {"host": "db2", "state": "unreachable", "message": "No route.", "lines": []}
    assert table({"title": "verify succeeded on all 2 hosts", "hosts": [good]}) == ["verify succeeded on all 2 hosts."]
    failed = table({"title": "verify FAILED on 1 of 2 hosts: db2", "hosts": [good, lost]})
    assert words(failed) == [
        "HOST STATE WHAT FAILED",
        "db2 unreachable No route.",
        "verify FAILED on 1 of 2 hosts: db2.",
    ]
