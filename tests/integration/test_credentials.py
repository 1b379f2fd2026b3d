"""The credential store: written by the module, read by the other modules and the lookup, taken over from 2.0."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from kit import mariadb
from kit.modules import ModuleRun, run_module
from kit.plays import Controller

SECRET = 'it\'s "%s" \\ $@# ünï\nline'


@pytest.fixture
def host(tmp_path: Path) -> dict[str, Any]:
    """The options that every module gets, and a keyring."""
    options = {
        "config_file": str(tmp_path / "config.yml"),
        "repository": str(tmp_path / "repository"),
        "keyring": str(tmp_path / "keyring.json"),
        "credentials_file": str(tmp_path / "credentials.json"),
    }
    run_module("keyring", **options)
    return options


def stored(host: dict[str, Any]) -> dict[str, Any]:
    return json.loads(Path(host["credentials_file"]).read_text())


def stock(host_name: str) -> Fernet:
    """The key of VYA BackupDB 2.0, by the book."""
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(host_name.encode()).digest()))


def write_old_store(path: Path, host_name: str, **passwords: str) -> None:
    """A store as VYA BackupDB 2.0 writes it, with a field of its own in each entry."""
    key = stock(host_name)
    entries = [
        {
            "id": name,
            "username": key.encrypt(f"user of {name}".encode()).decode(),
            "password": key.encrypt(password.encode()).decode(),
            "host": "db.example.com",
        }
        for name, password in passwords.items()
    ]
    encryption = {"method": "fernet", "key_derivation": "hostname-based", "version": "1.0"}
    path.write_text(json.dumps({"version": "1.0", "encryption": encryption, "credentials": entries}))
    path.chmod(0o600)


def test_four_runs(host: dict[str, Any]) -> None:
    """Check, real, check again, real again; then another password, the same way."""
    for password in (SECRET, "another one"):
        entry = {**host, "id": "maria", "username": "backup", "password": password}
        changed = [run_module("credential", check, **entry)["changed"] for check in (True, False, True, False)]
        assert changed == [True, True, False, False]
    assert Path(host["credentials_file"]).stat().st_mode & 0o777 == 0o600
    gone = {**host, "id": "maria", "state": "absent"}
    assert [run_module("credential", check, **gone)["changed"] for check in (True, False, True, False)] == [
        True, True, False, False,
    ]  # fmt: skip
    assert stored(host)["credentials"] == []


def test_neither_output_nor_file_tells_a_value(host: dict[str, Any]) -> None:
    output = ModuleRun("credential", **host, id="maria", username="hidden user", password=SECRET).output()
    result = json.loads(output.strip().splitlines()[-1])
    assert result["credentials"] == ["maria"]
    assert result["diff"] == {"before": "", "after": "key source: file\nmaria (new value)\n"}
    text = Path(host["credentials_file"]).read_text()
    for told in (output.replace('"username": "hidden user"', ""), text):
        assert "hidden user" not in told
        assert json.dumps(SECRET)[1:-1] not in told
        assert SECRET not in told


def test_an_instance_finds_its_login(host: dict[str, Any], mariadb_source: mariadb.MariaDBServer) -> None:
    mariadb_source.create("login", "CREATE TABLE item (id INT PRIMARY KEY); INSERT INTO item VALUES (1);")
    address = {"engine": "mysql", "host": "127.0.0.1", "port": mariadb_source.port, "databases": ["login"]}
    config = {"instances": [{"id": "maria", **address}, {"id": "other", "credential": "maria", **address}]}
    Path(host["config_file"]).write_text(json.dumps(config))
    refused = run_module("instance_info", **host)["instances"]
    assert [entry["code"] for entry in refused] == ["authentication_failed", "credential_missing"]
    login = {"username": "root", "password": mariadb_source.password}
    result = run_module("credential", **host, id="maria", **login)
    assert (result["unused"], result["missing"]) == ([], [])
    found = run_module("instance_info", **host)["instances"]
    assert [(entry["reachable"], entry["tool"], entry["error"]) for entry in found] == [
        (True, "mariadb-dump", None)
    ] * 2
    done = run_module("backup", **host)
    assert sorted((entry["instance"], entry["database"]) for entry in done["backups"]) == [
        ("maria", "login"), ("other", "login"),
    ]  # fmt: skip
    restored = run_module("restore", **host, instance="maria", database="login", target_database="login2")
    assert restored["restored"]["row_count_matches"] is True
    for name in ("login", "login2"):
        mariadb_source.drop(name)


def test_one_login_that_does_not_decrypt_stops_only_its_own_instance(host: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.db").touch()
    config = {
        "instances": [
            {"id": "maria", "engine": "mysql", "host": "127.0.0.1", "port": 1},
            {"id": "files", "engine": "sqlite", "path": str(tmp_path / "files")},
        ]
    }
    Path(host["config_file"]).write_text(json.dumps(config))
    run_module("credential", **host, id="maria", username="backup", password=SECRET)
    value = stored(host)
    value["credentials"][0]["password"] = Fernet(Fernet.generate_key()).encrypt(b"x").decode()
    Path(host["credentials_file"]).write_text(json.dumps(value))
    checked = run_module("credential", **host)
    assert (checked["changed"], checked["unreadable"]) == (False, ["maria"])
    done = run_module("backup", **host)
    assert [entry["database"] for entry in done["backups"]] == ["a.db"]
    assert [(entry["instance"], entry["code"]) for entry in done["failures"]] == [("maria", "seal_broken")]
    assert run_module("credential", **host, id="maria", username="backup", password=SECRET)["unreadable"] == []


def test_ids_are_compared_with_the_instances(host: dict[str, Any]) -> None:
    config = {
        "instances": [{"id": "maria", "engine": "mysql"}, {"id": "pg", "engine": "postgresql", "credential": "pgx"}]
    }
    Path(host["config_file"]).write_text(json.dumps(config))
    run_module("credential", **host, id="maria", username="a", password="b")
    result = run_module("credential", **host, id="mraia", username="a", password="b")
    assert (result["unused"], result["missing"]) == (["mraia"], ["pg"])


def test_a_store_that_others_can_read_is_refused_with_the_command_that_mends_it(host: dict[str, Any]) -> None:
    run_module("credential", **host, id="maria", username="a", password="b")
    Path(host["credentials_file"]).chmod(0o644)
    result = run_module("credential", **host)
    assert (result["failed"], result["code"]) == (True, "permission_denied")
    assert result["msg"].endswith(f"Run: chmod 0600 {host['credentials_file']}")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"id": "a"}, "username and password of 'a' are required with state: present."),
        ({"state": "absent"}, "id: say which entry."),
        ({"username": "a", "password": "b"}, "id: say which entry."),
        ({"source": "/nowhere/store.json"}, "There is no credential store /nowhere/store.json."),
    ],
)
def test_bad_options(host: dict[str, Any], options: dict[str, Any], sentence: str) -> None:
    result = run_module("credential", **host, **options)
    assert (result["failed"], result["msg"]) == (True, sentence)


def test_a_store_of_release_2_is_read_and_written_as_it_is(host: dict[str, Any]) -> None:
    write_old_store(Path(host["credentials_file"]), socket.gethostname(), one=SECRET, two="x")
    before = stored(host)
    result = run_module("credential", **host, id="two", username="b", password="changed")
    assert (result["changed"], result["key_source"], result["credentials"]) == (True, "hostname", ["one", "two"])
    after = stored(host)
    assert (after["version"], after["encryption"], after["credentials"][0]) == (
        before["version"], before["encryption"], before["credentials"][0],
    )  # fmt: skip
    opened = stock(socket.gethostname()).decrypt(after["credentials"][1]["password"].encode())
    assert (opened, after["credentials"][1]["host"]) == (b"changed", "db.example.com")


def test_a_store_of_release_2_gets_a_random_key_by_one_task(host: dict[str, Any]) -> None:
    write_old_store(Path(host["credentials_file"]), "its-old-name", one=SECRET, two="x")
    unreadable = run_module("credential", **host)
    assert unreadable["unreadable"] == ["one", "two"]
    renamed = run_module("credential", **host, key_source="file")
    assert "Was this host renamed? Then say its old name with the option host_name." in renamed["msg"]
    task = {**host, "key_source": "file", "host_name": "its-old-name"}
    changed = [run_module("credential", check, **task)["changed"] for check in (True, False, True, False)]
    assert changed == [True, True, False, False]
    value = stored(host)
    keyring = json.loads(Path(host["keyring"]).read_text())
    assert value["encryption"] == {
        "method": "fernet", "key_derivation": "keyring", "version": "1.0", "key": keyring["keys"][0]["id"],
    }  # fmt: skip
    opened = [Fernet(keyring["keys"][0]["key"]).decrypt(entry["password"].encode()) for entry in value["credentials"]]
    assert opened == [SECRET.encode(), b"x"]
    back = run_module("credential", **host, key_source="hostname")
    assert (back["changed"], back["key_source"]) == (True, "hostname")


def test_entries_of_another_store_are_imported(host: dict[str, Any], tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    write_old_store(old, "old-db1", one=SECRET, two="x")
    text = old.read_text()
    task = {**host, "source": str(old), "host_name": "old-db1"}
    changed = [run_module("credential", check, **task)["changed"] for check in (True, False, True, False)]
    assert changed == [True, True, False, False]
    assert (old.read_text(), run_module("credential", **host)["unreadable"]) == (text, [])


def test_the_lookup_reads_a_store_of_the_controller(tmp_path: Path) -> None:
    store = tmp_path / "old.json"
    write_old_store(store, "old-db1", one=SECRET)
    controller = Controller(tmp_path, {"host": {}})
    playbook = tmp_path / "play.yml"
    arguments = f"'one', store='{store}', host_name='old-db1'"
    playbook.write_text(f"""
- hosts: host
  gather_facts: false
  tasks:
    - ansible.builtin.copy:
        dest: {tmp_path}/both.json
        content: "{{{{ lookup('vya.backupdb.credential', {arguments}) | to_json }}}}"
        mode: "0600"
    - ansible.builtin.copy:
        dest: {tmp_path}/field.json
        content: "{{{{ lookup('vya.backupdb.credential', {arguments}, field='username') | to_json }}}}"
        mode: "0600"
    - ansible.builtin.debug:
        msg: "{{{{ lookup('vya.backupdb.credential', 'two', store='{store}', host_name='old-db1') }}}}"
""")
    play = controller.play(str(playbook))
    assert json.loads((tmp_path / "both.json").read_text()) == {"username": "user of one", "password": SECRET}
    assert json.loads((tmp_path / "field.json").read_text()) == "user of one"
    assert play.status != 0
    assert "has no entry 'two' (it has: one)" in play.output
    assert "(credential_missing)" in play.output


def test_the_environment_names_the_store(host: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = f"{host['credentials_file']}.2"
    monkeypatch.setenv("VYA_BACKUPDB_CREDENTIALS_FILE", elsewhere)
    options = {name: value for name, value in host.items() if name != "credentials_file"}
    run_module("credential", **options, id="maria", username="a", password="b")
    assert Path(elsewhere).exists()
    run_module("credential", **host, id="maria", username="a", password="b")
    assert Path(host["credentials_file"]).exists()
