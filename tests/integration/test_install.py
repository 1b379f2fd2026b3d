"""The role agent on bare hosts, over SSH, as an ordinary user who becomes root."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kit import mariadb, postgres
from kit.agents import wheelhouse
from kit.barehost import BareHost, bare_host
from kit.plays import Controller, Play

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = 'it\'s a "secret" $@# %s ünï'
OLD_PYTHON = """#!/usr/bin/python3
# Runs what it is given as a Python 3.9 would: the version is all that the modules look at.
import collections, runpy, sys
kind = collections.namedtuple("version_info", "major minor micro releaselevel serial")
sys.version_info, sys.version = kind(3, 9, 2, "final", 0), "3.9.2 (pretended)"
if sys.argv[1:]:
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
else:
    exec(sys.stdin.read(), {"__name__": "__main__"})
"""
AGENT_FILES = {
    "/etc/vya-backupdb": "700",
    "/etc/vya-backupdb/config.yml": "640",
    "/etc/vya-backupdb/credentials.json": "600",
    "/etc/vya-backupdb/keyring.json": "600",
    "/opt/vya-backupdb": "755",
    "/var/backups/vya-backupdb": "700",
    "/var/log/vya-backupdb": "700",
    "/var/log/vya-backupdb/audit.log": "600",
    "/etc/logrotate.d/vya-backupdb": "644",
}


@contextmanager
def package_index(wheels: Path, folder: Path) -> Iterator[str]:
    """The wheels as a package index (PEP 503) on loopback; its address."""
    folder.mkdir()
    for wheel in wheels.iterdir():
        project = folder / wheel.name.partition("-")[0].lower().replace("_", "-")
        project.mkdir(exist_ok=True)
        shutil.copy(wheel, project)
        links = "".join(f'<a href="{path.name}">{path.name}</a>' for path in project.glob("*.whl"))
        (project / "index.html").write_text(links)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Any]]:
    """A MariaDB and a PostgreSQL server that the hosts reach over the network, each with a database."""
    with postgres.running({}) as pg, mariadb.running() as maria:
        pg.create("crm", "CREATE TABLE customer (id int)", "INSERT INTO customer SELECT generate_series(1, 100)")
        maria.create("shop", "CREATE TABLE item (id INT PRIMARY KEY); INSERT INTO item SELECT seq FROM seq_1_to_50;")
        yield {"pg": pg, "maria": maria}


class Site:
    """A controller with an inventory of one bare host, and what its instances are."""

    def __init__(self, folder: Path, host: BareHost, servers: dict[str, Any], **variables: Any) -> None:
        self.host = host
        self.folder = folder
        pg, maria = servers["pg"], servers["maria"]
        (folder / "vault-password").write_text("correct horse\n")
        instances = [
            {"id": "pg", "engine": "postgresql", "host": "127.0.0.1", "port": pg.port, "username": "postgres",
             "password": pg.password},
            {"id": "maria", "engine": "mysql", "host": "127.0.0.1", "port": maria.port, "credential": "maria-root"},
            {"id": "wiki", "engine": "sqlite", "path": "/srv/wiki"},
        ]  # fmt: skip
        inventory = {
            **host.variables,
            "ansible_python_interpreter": "auto_silent",
            "backupdb_create_keyring": False,
            "backupdb_instances": instances,
            "backupdb_credentials": {"maria-root": {"username": "root", "password": maria.password}},
            **variables,
        }
        self.secrets = [pg.password, maria.password]
        self.controller = Controller(folder, {host.name: inventory})

    def play(self, playbook: str, *arguments: str, **extra: Any) -> Play:
        vault = ("--vault-password-file", str(self.folder / "vault-password"))
        return self.controller.play(f"vya.backupdb.{playbook}", *vault, *arguments, **extra)

    def changed(self, play: Play) -> int:
        assert play.status == 0, play.output
        return play.recap(self.host.name)["changed"]


def fill_wiki(host: BareHost, folder: Path) -> None:
    """Gives the host a SQLite database."""
    folder.mkdir()
    with closing(sqlite3.connect(folder / "pages.db")) as connection:
        connection.execute("CREATE TABLE page (title TEXT)")
        connection.executemany("INSERT INTO page VALUES (?)", [(f"page {number}",) for number in range(30)])
        connection.commit()
    host.put(folder, "/srv/wiki")


def modes(host: BareHost) -> dict[str, str]:
    return {path: host.run("stat", "--format=%a", path).decode().strip() for path in AGENT_FILES}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, servers: dict[str, Any]) -> Iterator[tuple[Site, Play, Play]]:
    """A host that was set up from the wheelhouse; the play in check mode before, and the play."""
    with bare_host("db1") as host:
        folder = tmp_path_factory.mktemp("site")
        fill_wiki(host, folder / "wiki")
        site = Site(folder, host, servers, backupdb_wheelhouse=str(wheelhouse()))
        yield site, site.play("install", "--check", "--diff"), site.play("install", "-vvvv", "--diff")


def test_check_mode_on_a_bare_host_changes_nothing_and_succeeds(site: tuple[Site, Play, Play]) -> None:
    _site, planned, _installed = site
    assert planned.status == 0, planned.output


def test_one_playbook_makes_a_bare_host_one_that_can_be_backed_up(site: tuple[Site, Play, Play]) -> None:
    here, _planned, installed = site
    assert installed.status == 0, installed.output
    (table,) = installed.tables
    assert [line.split()[0] for line in table] == ["INSTANCE", "pg", "maria", "wiki"]
    assert all(line.endswith(" ready") for line in table[1:])
    assert ("pg_dump" in table[1], "mariadb-dump" in table[2]) == (True, True)
    config = yaml.safe_load(here.host.read("/etc/vya-backupdb/config.yml"))
    assert [sorted(instance) for instance in config["instances"]] == [
        ["engine", "host", "id", "port"], ["credential", "engine", "host", "id", "port"], ["engine", "id", "path"],
    ]  # fmt: skip
    assert "wheelhouse" not in here.host.names("/opt/vya-backupdb")


def test_no_secret_in_the_output_or_in_files_that_others_can_read(site: tuple[Site, Play, Play]) -> None:
    here, planned, installed = site
    keyring = json.loads(here.host.read("/etc/vya-backupdb/keyring.json"))
    secrets = [*here.secrets, *(key["key"] for key in keyring["keys"])]
    for secret in secrets:
        for form in (secret, json.dumps(secret)[1:-1], json.dumps(json.dumps(secret)[1:-1])[1:-1]):
            assert form not in planned.output + installed.output
            found = here.host.run("grep", "-rlF", "--exclude-dir=proc", "--exclude-dir=dev", "--", form, "/etc", "/opt",
                                  "/home", "/var", "/tmp", "/run", check=False)  # fmt: skip
            assert set(found.decode().split()) <= {"/etc/vya-backupdb/keyring.json"}


def test_a_second_run_changes_nothing(site: tuple[Site, Play, Play]) -> None:
    here = site[0]
    assert here.changed(here.play("install")) == 0
    assert here.changed(here.play("install", "--check")) == 0


def backed_up(play: Play) -> list[str]:
    """What the table says was backed up: instance and database, or instance and (users)."""
    return [line.partition(" backed up ")[0] for line in play.table() if " backed up " in line]


def test_other_plays_run_in_the_environment_without_being_told(site: tuple[Site, Play, Play]) -> None:
    here = site[0]
    backup = here.play("backup", instances=[])
    assert backup.status == 0, backup.output
    assert backed_up(backup) == [
        "maria (users)", "maria shop", "pg (users)", "pg crm", "wiki pages.db",
    ]  # fmt: skip
    restore = here.play("restore", instance="wiki", database="pages.db", target_database="again.db")
    assert "30, as backed up" in restore.table()[0]
    lines = here.host.read("/var/log/vya-backupdb/audit.log").splitlines()
    events = [json.loads(line) for line in lines]
    assert {("backup", "ok"), ("restore", "started"), ("restore", "ok"), ("keyring", "ok"), ("credential", "ok")} <= {
        (event["event"], event["result"]) for event in events
    }
    assert {event["account"] for event in events} == {"root"}
    assert all("@" in event["requested_by"] for event in events)
    assert modes(here.host) == AGENT_FILES


def old_python(host: BareHost) -> tuple[str, str]:
    """Makes Ansible use a Python that is too old."""
    host.run("tee", "/usr/local/bin/python3.9", content=OLD_PYTHON.encode())
    host.run("chmod", "755", "/usr/local/bin/python3.9")
    return "--extra-vars", "ansible_python_interpreter=/usr/local/bin/python3.9"


def test_modules_leave_a_python_that_is_too_old(site: tuple[Site, Play, Play]) -> None:
    here = site[0]
    backup = here.play("backup", *old_python(here.host), instances=[], databases=["pages.db"])
    assert "wiki pages.db backed up" in " ".join(" ".join(row.split()[:4]) for row in backup.table())


def test_the_audit_log_is_rotated(site: tuple[Site, Play, Play]) -> None:
    here = site[0]
    here.host.run("logrotate", "--force", "/etc/logrotate.d/vya-backupdb")
    here.play("backup", instances=[])
    names = here.host.names("/var/log/vya-backupdb")
    assert (len(names), "audit.log" in names) == (2, True)


def test_keys_are_rotated_with_their_copy(site: tuple[Site, Play, Play]) -> None:
    here = site[0]
    copy = here.folder / "escrow" / "db1.keyring.vault"
    before = copy.read_text()
    play = here.play("rotate_keys")
    assert here.changed(play) > 0
    backups = here.host.run("find", "/var/backups/vya-backupdb", "-name", "manifest.json").split()
    assert f"{len(backups)} sets under the active key now" in play.output
    view = [Path(sys.executable).with_name("ansible-vault"), "view", "--vault-password-file",
            here.folder / "vault-password", copy]  # fmt: skip
    stored = json.loads(subprocess.run(view, capture_output=True, text=True, check=True).stdout)
    assert (before != copy.read_text(), len(stored["keys"])) == (True, 2)
    assert stored == json.loads(here.host.read("/etc/vya-backupdb/keyring.json"))
    assert here.changed(here.play("rotate_keys", key_max_age="90d")) == 0


def test_wrong_values_are_told_all_at_once_before_anything_changes(site: tuple[Site, Play, Play]) -> None:
    here = site[0]
    wrong = [{"id": "a", "engine": "oracle"}, {"id": "a", "engine": "mysql", "port": 70000}]
    play = here.play("install", instances=wrong)
    assert play.status != 0
    for sentence in (
        "instances[0].engine: 'oracle' is not one of mysql, postgresql, sqlite",
        "instances[1].port: 70000 is not between 1 and 65535",
        "instances[1].id: 'a' is already used by instances[0]",
    ):
        assert sentence in play.output
    assert play.recap("db1")["changed"] == 0


def test_an_instance_that_cannot_be_backed_up_fails_the_play_and_is_named(site: tuple[Site, Play, Play]) -> None:
    here = site[0]
    gone = [{"id": "gone", "engine": "mysql", "host": "127.0.0.1", "port": 1}]
    play = here.play("install", instances=gone, credentials={})
    assert (play.status != 0, "gone 127.0.0.1:1 connection_failed:" in play.tables[0][1]) == (True, True)
    assert here.play("install", agent_check="warn", instances=gone, credentials={}).status == 0


def test_files_can_be_elsewhere_and_folders_of_others_keep_their_modes(site: tuple[Site, Play, Play]) -> None:
    here = site[0]
    here.host.run("mkdir", "-p", "--mode=755", "/srv/shared")
    paths = {
        "config_file": "/srv/shared/backup.yml",
        "keyring": "/srv/shared/keys.json",
        "credentials_file": "/srv/shared/logins.json",
        "repository": "/srv/shared",
    }
    assert here.changed(here.play("install", **paths, escrow_folder=str(here.folder / "elsewhere"))) > 0
    assert here.host.run("stat", "--format=%a", "/srv/shared") == b"755\n"
    assert {"backup.yml", "keys.json", "logins.json"} <= set(here.host.names("/srv/shared"))
    backup = here.play("backup", **paths, instances=[])
    assert (backup.status, "Stored in /srv/shared/db1" in backup.output) == (0, True)
    assert here.changed(here.play("rotate_keys", **paths, escrow_folder=str(here.folder / "elsewhere"))) > 0


def test_it_creates_the_accounts_that_back_up(site: tuple[Site, Play, Play], servers: dict[str, Any]) -> None:
    here = site[0]
    login = {"username": "agent", "password": PASSWORD}
    ports = {"pg": ("postgresql", servers["pg"].port), "maria": ("mysql", servers["maria"].port)}
    options = {
        "instances": [
            {"id": name, "engine": engine, "host": "127.0.0.1", "port": port} for name, (engine, port) in ports.items()
        ],
        "credentials": {"pg": login, "maria": login},
        "administrators": {
            "pg": {"username": "postgres", "password": servers["pg"].password},
            "maria": {"username": "root", "password": servers["maria"].password},
        },
        "create_accounts": True,
        "accounts_host": "127.0.0.1",
    }
    play = here.play("install", "-vvv", **options)
    assert here.changed(play) > 0
    assert [line.split()[-1] for line in play.tables[0][1:]] == ["ready", "ready"]
    assert here.changed(here.play("install", **options)) == 0
    backup = here.play("backup", instances=[])
    assert backup.status == 0, backup.output
    assert backed_up(backup) == ["maria (users)", "maria shop", "pg (users)", "pg crm"]
    results = play.output.split("TASK [")[1:]  # what Ansible says of extra variables is not ours
    assert not [
        result for result in results for secret in (PASSWORD, *here.secrets) if json.dumps(secret)[1:-1] in result
    ]


def test_without_a_vault_secret_it_refuses_unless_told_otherwise(site: tuple[Site, Play, Play]) -> None:
    here = site[0]
    play = here.controller.play("vya.backupdb.install")
    assert (play.status != 0, "vault_secret_missing" in play.output) == (True, True)
    play = here.controller.play("vya.backupdb.install", escrow=False)
    assert (play.status, "if this host dies, its backups are lost" in play.output) == (0, True)


def test_the_host_is_gone_and_a_new_one_restores_with_the_key_from_escrow(
    site: tuple[Site, Play, Play], servers: dict[str, Any], tmp_path: Path
) -> None:
    """A new bare host of the same name, the copy of the keyring, and the repository, which was elsewhere."""
    old = site[0]
    shutil.copytree(old.folder / "escrow", tmp_path / "escrow")
    old.host.get("/var/backups/vya-backupdb", tmp_path / "repository")
    with bare_host("db1") as host, package_index(wheelhouse(), tmp_path / "index") as index:
        new = Site(tmp_path, host, servers, backupdb_index_url=index)
        host.put(tmp_path / "repository", "/var/backups/vya-backupdb")
        host.run("mkdir", "-p", "/srv/wiki")
        installed = new.play("install")
        assert installed.status == 0, installed.output
        assert host.read("/etc/vya-backupdb/keyring.json") == old.host.read("/etc/vya-backupdb/keyring.json")
        restored = new.play("restore", instance="wiki", database="pages.db")
        assert "30, as backed up" in restored.table()[0]
        host.run("rm", "/opt/vya-backupdb/venv/bin/python")  # as an upgrade of the system does
        assert new.changed(new.play("install")) > 0
        assert new.changed(new.play("install", upgrade=True)) >= 0
        removed = new.play("install", agent_state="absent")
        assert removed.status == 0, removed.output
        left = ["config.yml", "credentials.json", "keyring.json"]
        assert host.names("/etc/vya-backupdb") == left
        assert host.names("/opt/vya-backupdb") == []
        assert host.names("/var/backups/vya-backupdb") == [".staging", "db1"]
        refused = new.play("backup", *old_python(host))
        assert "on the host is Python 3.9.2, and this module needs 3.11 or newer. Install the agent" in refused.output
        everything = ["config", "credentials", "keyring", "logs", "backups"]
        assert new.play("install", agent_state="absent", agent_remove=everything).status == 0
        assert host.names("/etc/vya-backupdb") == []
        assert host.names("/var/backups/vya-backupdb") == []
        assert (tmp_path / "escrow" / "db1.keyring.vault").exists()


def test_nothing_of_a_host_outlives_it(tmp_path: Path) -> None:
    with bare_host("short") as host:
        process = host.process
        assert host.run("hostname") == b"short\n"
    assert not Path(f"/proc/{process}").exists()
    assert "vya-host-" not in Path("/proc/mounts").read_text()
