"""Accounts with the least privileges: that they suffice, that each privilege is needed, and that they are no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from ansible_collections.vya.backupdb.plugins.module_utils.engines.account import AccountWanted
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql.account import BACKUP, RESTORE
from ansible_collections.vya.backupdb.plugins.module_utils.engines.postgresql import account
from ansible_collections.vya.backupdb.plugins.module_utils.errors import BackupdbError
from ansible_collections.vya.backupdb.plugins.module_utils.operations.account import ensure_account
from kit import mariadb, postgres
from kit.modules import ModuleRun, run_module
from kit.workshop import Workshop

PASSWORD = 'it\'s a "%s" \\ $@# ünï'
NAMES = ["least", "l'e\"a`s\\t %s $ ü"]
TABLE = {"mariadb": ("a", 50), "postgresql": ("private.t", 3)}
ALL_NAMES = {
    "mariadb": "SELECT User FROM mysql.global_priv WHERE User LIKE 'l%'",
    "postgresql": "SELECT rolname FROM pg_roles WHERE rolname LIKE 'l%' AND rolname <> 'least_other'",
}
COUNTS = ("tables", "rows", "views", "routines", "triggers", "events")
MARIADB = [
    "CREATE TABLE a (id INT PRIMARY KEY AUTO_INCREMENT, x VARCHAR(50), KEY (x))",
    "CREATE TABLE b (id INT PRIMARY KEY, a INT, FOREIGN KEY (a) REFERENCES a (id))",
    "CREATE TABLE history (id INT) WITH SYSTEM VERSIONING",
    "CREATE SEQUENCE numbers",
    "INSERT INTO a (x) SELECT seq FROM seq_1_to_50",
    "INSERT INTO b SELECT seq, seq FROM seq_1_to_40",
    "INSERT INTO history VALUES (1)",
    "CREATE DEFINER=other@localhost VIEW v AS SELECT id FROM a",
    "CREATE DEFINER=other@localhost TRIGGER t BEFORE INSERT ON b FOR EACH ROW SET NEW.a = NEW.a",
    "CREATE DEFINER=other@localhost FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1",
    "CREATE DEFINER=other@localhost PROCEDURE p() SELECT 1",
    "CREATE DEFINER=other@localhost EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
]
POSTGRESQL = [
    "CREATE TABLE a (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, x text)",
    "INSERT INTO a (x) SELECT 'v' || g FROM generate_series(1, 50) g",
    "CREATE TABLE secret (id int)",
    "INSERT INTO secret VALUES (1), (2)",
    "ALTER TABLE secret ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE secret OWNER TO least_other",
    "CREATE SCHEMA private",
    "REVOKE ALL ON SCHEMA private FROM PUBLIC",
    "CREATE TABLE private.t (id int)",
    "INSERT INTO private.t VALUES (1), (2), (3)",
    "CREATE VIEW v AS SELECT * FROM a",
    "CREATE MATERIALIZED VIEW m AS SELECT * FROM secret",
    "CREATE SEQUENCE numbers",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
]


def administrator(instance: Instance) -> dict[str, Any]:
    login = {"username": instance.username, "password": instance.password}
    return {"id": instance.id, "engine": instance.engine, "host": instance.host, "port": instance.port, **login}


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def maria(mariadb_source: mariadb.MariaDBServer) -> Iterator[mariadb.MariaDBServer]:
    mariadb_source.create("least", "")
    mariadb_source.run("CREATE OR REPLACE USER other@localhost", "GRANT ALL ON least.* TO other@localhost")
    mariadb_source.run(*MARIADB, database="least")
    yield mariadb_source
    for name in ("least", "least2"):
        mariadb_source.drop(name)
    for name in [*NAMES, "other"]:
        for host in ("127.0.0.1", "localhost"):
            quoted = pymysql.converters.escape_string(name)
            mariadb_source.run(f"DROP USER IF EXISTS '{quoted}'@'{host}'")


@pytest.fixture
def pg(postgres_source: postgres.PostgresServer) -> Iterator[postgres.PostgresServer]:
    postgres_source.run("postgres", "CREATE ROLE least_other")
    postgres_source.create("least", *POSTGRESQL)
    yield postgres_source
    for name in ("least", "least2"):
        postgres_source.drop(name)
    for name in [*NAMES, "least_other"]:
        postgres_source.run("postgres", f"DROP ROLE IF EXISTS {postgres.quoted(name)}")


def ensure(instance: Instance, username: str, check: bool = False, **options: Any) -> dict[str, Any]:
    wanted = {"password": PASSWORD, "host": "127.0.0.1", **options}
    result = run_module("backup_account", check, connection=administrator(instance), username=username, **wanted)
    assert not result.get("failed"), result["msg"]
    return result


@pytest.mark.parametrize("username", NAMES)
@pytest.mark.parametrize("engine", ["mariadb", "postgresql"])
def test_it_backs_up_and_restores_and_may_do_no_more(
    shop: Workshop, maria: mariadb.MariaDBServer, pg: postgres.PostgresServer, engine: str, username: str
) -> None:
    server = {"mariadb": maria, "postgresql": pg}[engine]
    login = {"username": username, "password": PASSWORD, "databases": ("least",)}
    instance = server.instance(**login)
    by_root = shop.back_up_one(server.instance(databases=("least",)))
    ensure(server.instance(), username)
    backup = shop.back_up_one(instance)
    assert [backup[name] for name in COUNTS] == [by_root[name] for name in COUNTS]
    assert (backup["warnings"], bool(backup["snapshot"])) == ([], True)
    owner = {"owner": username} if engine == "postgresql" else {}
    with pytest.raises(BackupdbError) as caught:
        shop.restore(instance, backup["id"], target_database="least2", **owner)
    assert caught.value.code in {"permission_denied", "query_failed", "target_unfit", "tool_failed"}
    assert "least2" not in server.databases()
    ensure(server.instance(), username, restore=True)
    for replace in (False, True):
        restored = shop.restore(instance, backup["id"], target_database="least2", replace=replace, **owner)
        assert restored["rows"] == backup["rows"]
    table, rows = TABLE[engine]
    restored = shop.restore(instance, backup["id"], target_database="least2", replace=True, tables=[table], **owner)
    assert restored["rows"] == rows
    with pytest.raises(BackupdbError):
        shop.restore(instance, backup["id"], target_database="least2", owner="least_other" if owner else None)
    copy = shop.back_up_one(server.instance(databases=("least2",)))
    assert [copy[name] for name in COUNTS] == [by_root[name] for name in COUNTS]


def test_an_account_that_backs_up_changes_nothing(maria: mariadb.MariaDBServer, pg: postgres.PostgresServer) -> None:
    for server in (maria, pg):
        ensure(server.instance(), "least")
    for statement in ("INSERT INTO a (x) VALUES ('y')", "DROP TABLE a", "CREATE TABLE c (id int)", "CREATE DATABASE d"):
        login = {"host": "127.0.0.1", "user": "least"}
        with (
            pymysql.connect(port=maria.port, database="least", password=PASSWORD.encode(), **login) as session,
            session.cursor() as cursor,
            pytest.raises(pymysql.err.OperationalError) as refused,
        ):
            cursor.execute(statement)
        assert refused.value.args[0] in {1044, 1142}
        with (
            psycopg.connect(port=pg.port, dbname="least", password=PASSWORD, autocommit=True, **login) as other,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            other.execute(statement)


def test_each_privilege_of_mariadb_is_needed_for_a_backup(shop: Workshop, maria: mariadb.MariaDBServer) -> None:
    """Without any one of them the backup fails, or says in a warning or by its position what it lacks."""
    ensure(maria.instance(), "least")
    instance = maria.instance(username="least", password=PASSWORD, databases=("least",))
    whole = shop.back_up_one(instance)
    for privilege in BACKUP["mariadb"]:
        maria.run(f"REVOKE {privilege} ON *.* FROM least@'127.0.0.1'")
        outcome = shop.back_up(instance)
        same = [(entry["rows"], entry["warnings"], bool(entry["snapshot"])) for entry in outcome.backups]
        assert same != [(whole["rows"], whole["warnings"], bool(whole["snapshot"]))], privilege
        assert [[entry[name] for name in COUNTS] for entry in outcome.backups] in (
            [], [[whole[name] for name in COUNTS]],
        ), f"something is missing without {privilege}, and nothing says so"  # fmt: skip
        maria.run(f"GRANT {privilege} ON *.* TO least@'127.0.0.1'")


@pytest.fixture
def trusting(maria: mariadb.MariaDBServer) -> Iterator[mariadb.MariaDBServer]:
    """A server that lets everybody make functions and triggers, which others take SUPER for."""
    maria.run("SET GLOBAL log_bin_trust_function_creators = ON")
    yield maria
    maria.run("SET GLOBAL log_bin_trust_function_creators = OFF")


@pytest.mark.parametrize("privilege", RESTORE["mariadb"])
def test_each_privilege_of_mariadb_is_needed_for_a_restore(
    shop: Workshop, trusting: mariadb.MariaDBServer, privilege: str
) -> None:
    ensure(trusting.instance(), "least", restore=True)
    instance = trusting.instance(username="least", password=PASSWORD, databases=("least",))
    backup = shop.back_up_one(instance)
    assert shop.restore(instance, backup["id"], target_database="least2")["rows"] == backup["rows"]
    trusting.drop("least2")
    trusting.run(f"REVOKE {privilege} ON *.* FROM least@'127.0.0.1'")
    with pytest.raises(BackupdbError):
        shop.restore(instance, backup["id"], target_database="least2")
    assert privilege == "DROP" or "least2" not in trusting.databases()  # without DROP what came to be can't go either


def test_super_is_granted_only_where_the_server_demands_it(
    shop: Workshop, maria: mariadb.MariaDBServer, trusting: mariadb.MariaDBServer
) -> None:
    ensure(trusting.instance(), "least", restore=True)
    instance = maria.instance(username="least", password=PASSWORD, databases=("least",))
    backup = shop.back_up_one(instance)
    maria.run("SET GLOBAL log_bin_trust_function_creators = OFF")
    with pytest.raises(BackupdbError, match="SUPER"):
        shop.restore(instance, backup["id"], target_database="least2")
    result = ensure(maria.instance(), "least", restore=True)
    assert result["statements"] == ["GRANT SUPER ON *.* TO 'least'@'127.0.0.1'"]
    assert shop.restore(instance, backup["id"], target_database="least2")["rows"] == backup["rows"]


@pytest.mark.parametrize("lacking", ["ALTER ROLE least NOBYPASSRLS", "REVOKE pg_read_all_data FROM least"])
def test_each_privilege_of_postgresql_is_needed(shop: Workshop, pg: postgres.PostgresServer, lacking: str) -> None:
    ensure(pg.instance(), "least")
    pg.run("postgres", lacking)
    outcome = shop.back_up(pg.instance(username="least", password=PASSWORD, databases=("least",)))
    assert [entry["code"] for entry in outcome.failures] in (["tool_failed"], ["permission_denied"])
    assert outcome.backups == []


@pytest.mark.parametrize(
    ("grants", "hidden"),
    [
        (
            "SELECT, SHOW VIEW, EVENT, LOCK TABLES",
            "triggers, without the privilege TRIGGER and routines, without SELECT",
        ),
        ("SELECT, SHOW VIEW, EVENT, TRIGGER", "routines, without SELECT on *.*"),
    ],
)
def test_what_the_catalogue_hides_is_never_left_out_in_silence(
    shop: Workshop, maria: mariadb.MariaDBServer, grants: str, hidden: str
) -> None:
    maria.run("CREATE USER least@'127.0.0.1' IDENTIFIED BY 'x'", f"GRANT {grants} ON least.* TO least@'127.0.0.1'")
    outcome = shop.back_up(maria.instance(username="least", password="x", databases=("least",)))
    assert [(entry["code"], hidden in entry["error"]) for entry in outcome.failures] == [("permission_denied", True)]


@pytest.mark.parametrize("engine", ["mariadb", "postgresql"])
def test_four_runs(maria: mariadb.MariaDBServer, pg: postgres.PostgresServer, engine: str) -> None:
    server = {"mariadb": maria, "postgresql": pg}[engine]
    for options in ({}, {"restore": True}, {"password": "another"}, {"state": "absent"}):
        wanted = {"password": PASSWORD, **options}
        changed = [
            ensure(server.instance(), "least", check, **wanted)["changed"] for check in (True, False, True, False)
        ]
        assert changed == [True, True, False, False], options
        if options.get("password"):
            kept = ensure(server.instance(), "least", password="third", update_password="on_create")
            assert kept["changed"] is False


@pytest.mark.parametrize("engine", ["mariadb", "postgresql"])
def test_no_password_in_any_output(maria: mariadb.MariaDBServer, pg: postgres.PostgresServer, engine: str) -> None:
    server = {"mariadb": maria, "postgresql": pg}[engine]
    options = {"connection": administrator(server.instance()), "username": "least", "password": "Planted-Password"}
    outputs = [ModuleRun("backup_account", **options, host="127.0.0.1").output()]
    options["connection"]["password"] = "Planted-Wrong"
    outputs.append(ModuleRun("backup_account", **options, host="127.0.0.1").output())
    assert "********" in outputs[0]
    assert '"failed": true' in outputs[1]
    assert not [output for output in outputs if "Planted" in output]
    assert "SCRAM-SHA-256" not in outputs[0]


def test_postgresql_never_sees_the_password(pg: postgres.PostgresServer) -> None:
    wordy = "ALTER ROLE postgres SET log_statement = 'all'", "ALTER ROLE postgres SET log_min_messages = 'info'"
    pg.run("postgres", *wordy)
    ensure(pg.instance(), "least", password="Planted-Password")
    pg.run("postgres", "ALTER ROLE postgres RESET ALL")
    log = (pg.folder / "log").read_text(errors="replace")
    assert "ALTER ROLE least PASSWORD" in log.replace('"', "")
    assert "Planted-Password" not in log


def test_mariadb_never_sees_the_password(maria: mariadb.MariaDBServer) -> None:
    maria.run("SET GLOBAL general_log = ON, GLOBAL slow_query_log = ON, GLOBAL long_query_time = 0")
    ensure(maria.instance(), "least", password="Planted-First")
    ensure(maria.instance(), "least", password="Planted-Second")
    maria.run(
        "SET GLOBAL general_log = OFF, GLOBAL slow_query_log = OFF, GLOBAL long_query_time = DEFAULT", "FLUSH LOGS"
    )
    files = [path for path in maria.data.iterdir() if path.is_file()]
    assert maria.run("SELECT Priv FROM mysql.global_priv WHERE User = 'least'")
    logs = [path.read_bytes() for path in files if path.suffix == ".log" or path.name.startswith("binlog.")]
    assert len([log for log in logs if b"USER 'least'@'127.0.0.1' IDENTIFIED" in log]) >= len(
        ("general", "slow", "binary")
    )
    assert not [path.name for path in files if b"Planted" in path.read_bytes()]


def test_the_password_is_known_where_the_account_cannot_log_in_from_here(maria: mariadb.MariaDBServer) -> None:
    elsewhere = {"host": "192.0.2.1"}
    try:
        changed = [ensure(maria.instance(), "least", **elsewhere)["changed"] for _turn in range(2)]
        other = ensure(maria.instance(), "least", password="another", **elsewhere)["changed"]
    finally:
        ensure(maria.instance(), "least", state="absent", **elsewhere)
    assert (changed, other) == ([True, False], True)


def test_an_account_without_a_password_gets_one(shop: Workshop, maria: mariadb.MariaDBServer) -> None:
    maria.run("CREATE USER least@'127.0.0.1' IDENTIFIED VIA unix_socket")
    changed = [ensure(maria.instance(), "least")["changed"] for _turn in range(2)]
    assert changed == [True, False]
    shop.back_up_one(maria.instance(username="least", password=PASSWORD, databases=("least",)))


@pytest.mark.parametrize("password", ["a\u00adb\u00a0\u00aa\ufb01", "\u0221", "e\u0301"])
def test_postgresql_knows_passwords_that_have_several_forms(pg: postgres.PostgresServer, password: str) -> None:
    changed = [ensure(pg.instance(), "least", password=password)["changed"] for _turn in range(2)]
    assert changed == [True, False]
    assert ensure(pg.instance(), "least", password=f"{password}x")["changed"]


def test_large_objects_of_others_stop_the_backup(shop: Workshop, pg: postgres.PostgresServer) -> None:
    pg.run("least", "SELECT lo_from_bytea(4711, 'x')")
    ensure(pg.instance(), "least")
    instance = pg.instance(username="least", password=PASSWORD, databases=("least",))
    (failure,) = shop.back_up(instance).failures
    assert "permission denied for large object 4711" in failure["error"]
    pg.run("least", 'GRANT SELECT ON LARGE OBJECT 4711 TO "least"')
    assert shop.back_up_one(instance)["warnings"] == []


@pytest.mark.parametrize(
    ("statements", "hidden"),
    [
        (
            ["CREATE SUBSCRIPTION follows CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p "
             "WITH (connect = false, slot_name = NONE)"],
            "the subscriptions follows",
        ),
        (
            ["CREATE FOREIGN DATA WRAPPER far", "CREATE SERVER away FOREIGN DATA WRAPPER far",
             "CREATE USER MAPPING FOR least_other SERVER away OPTIONS (password 'Planted')"],
            "the options of user mappings for the foreign servers away",
        ),
    ],
)  # fmt: skip
def test_what_pg_dump_hides_is_never_left_out_in_silence(
    shop: Workshop, pg: postgres.PostgresServer, statements: list[str], hidden: str
) -> None:
    pg.run("least", *statements)
    ensure(pg.instance(), "least")
    outcome = shop.back_up(pg.instance(username="least", password=PASSWORD, databases=("least",)))
    by_root = shop.back_up(pg.instance(databases=("least",)))
    for (name,) in pg.run("least", "SELECT subname FROM pg_subscription"):
        pg.run("least", f"DROP SUBSCRIPTION {name}")
    assert [(entry["code"], hidden in entry["error"]) for entry in outcome.failures] == [("permission_denied", True)]
    assert by_root.failures == []


@pytest.mark.parametrize("engine", ["mariadb", "postgresql"])
def test_what_an_account_has_beyond_is_told(
    maria: mariadb.MariaDBServer, pg: postgres.PostgresServer, engine: str
) -> None:
    server = {"mariadb": maria, "postgresql": pg}[engine]
    assert ensure(server.instance(), "least", restore=True)["extra"] == []
    assert ensure(server.instance(), "least", restore=True)["extra"] == []
    if engine == "mariadb":
        maria.run(
            "GRANT FILE ON *.* TO least@'127.0.0.1' WITH GRANT OPTION", "GRANT DELETE ON least.* TO least@'127.0.0.1'"
        )
        expected = ["FILE", "GRANT OPTION", "GRANT DELETE ON `least`.* TO `least`@`127.0.0.1`"]
    else:
        pg.run("postgres", "ALTER ROLE least CREATEROLE", "GRANT least_other TO least")
        expected = ["CREATEROLE", 'member of "least_other"']
    result = ensure(server.instance(), "least", restore=True)
    assert (result["changed"], result["extra"]) == (False, expected)
    assert "may do more than it is for" in str(result["warnings"])
    assert ensure(server.instance(), "least")["extra"][0] in {"ALTER", "CREATEROLE"}


def test_a_role_that_inherits_nothing_comes_to_read(shop: Workshop, pg: postgres.PostgresServer) -> None:
    pg.run("postgres", "CREATE ROLE least NOINHERIT", "GRANT pg_read_all_data TO least")
    assert ensure(pg.instance(), "least")["changed"]
    assert not ensure(pg.instance(), "least")["changed"]
    shop.back_up_one(pg.instance(username="least", password=PASSWORD, databases=("least",)))


def test_a_server_without_the_role_that_reads_all(pg: postgres.PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "READER", "pg_not_on_this_server")
    with pytest.raises(BackupdbError) as caught:
        ensure_account(pg.instance(), AccountWanted("least", PASSWORD))
    assert caught.value.code == "target_unfit"
    assert not pg.run("postgres", "SELECT FROM pg_roles WHERE rolname = 'least'")


@pytest.mark.parametrize("engine", ["mariadb", "postgresql"])
def test_an_administrator_who_may_not(maria: mariadb.MariaDBServer, pg: postgres.PostgresServer, engine: str) -> None:
    server = {"mariadb": maria, "postgresql": pg}[engine]
    ensure(server.instance(), "least")
    clerk = administrator(server.instance(username="least", password=PASSWORD))
    for options in (
        {"username": "l2", "password": "Planted-Password"},
        {"username": "least", "password": PASSWORD, "restore": True},
    ):
        output = ModuleRun("backup_account", connection=clerk, host="127.0.0.1", **options).output()
        assert '"code": "permission_denied"' in output
        assert "refused the login" not in output
        assert "Planted" not in output
    assert server.run(*(["postgres"] if engine == "postgresql" else []), ALL_NAMES[engine]) == [("least",)]


def test_sqlite_has_no_accounts() -> None:
    connection = {"id": "files", "engine": "sqlite", "path": "/srv"}
    result = run_module("backup_account", connection=connection, username="a", password="b")
    assert (result["code"], result["msg"]) == (
        "invalid_config", "Instance files is of engine sqlite: it has no accounts.",
    )  # fmt: skip
