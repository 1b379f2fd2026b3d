"""AWX: jobs under ansible-runner as AWX starts them, the execution environment, and the playbook that sets AWX up.

No AWX runs here: ansible-runner is what AWX runs jobs with, and a stand-in records what its API is asked for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from kit import awx
from kit.plays import Controller, Play
from kit.postgres import PostgresServer

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent
VAULT_PASSWORD = "correct horse: %s$@"
WRONG = "wrong: %s$@#'\" Mañana"


def private_data(folder: Path, server: PostgresServer) -> list[str]:
    """The private data folder of a job as AWX lays it out; returns every secret in it.

    Passwords come the two ways that AWX has: a login from a credential type's injectors, in the environment, and a
    variable that Ansible Vault encrypts, whose password AWX types where Ansible asks for it.
    """
    for name in ("env", "inventory", "project"):
        (folder / name).mkdir(parents=True)
    (folder / "project" / "backup.yml").write_text("- import_playbook: vya.backupdb.backup\n")
    encrypted = subprocess.run(
        [PROGRAMS / "ansible-vault", "encrypt_string", "--vault-password-file", "/dev/fd/0", WRONG],
        input=VAULT_PASSWORD, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    login = {"engine": "postgresql", "host": "127.0.0.1", "port": server.port, "databases": ["postgres"]}
    injected = "{{ lookup('ansible.builtin.env', 'BACKUPDB_%s') }}"
    instances = [
        {"id": "pg", **login, "username": injected % "USERNAME", "password": injected % "PASSWORD"},
        {"id": "other", **login, "username": "postgres", "password": "{{ vault_password }}"},
    ]
    common = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "backupdb_become": False,
        "backupdb_create_keyring": True,
        "backupdb_instances": instances,
        "backupdb_keyring": str(folder / "keyring.json"),
        "backupdb_repository": str(folder / "repository"),
    }
    inventory: dict[str, Any] = {"all": {"hosts": {"db1": None}, "vars": common}}
    indented = encrypted.replace("\n", "\n  ")
    (folder / "inventory" / "hosts.yml").write_text(yaml.safe_dump(inventory))
    (folder / "inventory" / "group_vars").mkdir()
    (folder / "inventory" / "group_vars" / "all.yml").write_text(f"vault_password: {indented}\n")
    (folder / "env" / "envvars").write_text(
        json.dumps(
            {
                "ANSIBLE_COLLECTIONS_PATH": os.environ["ANSIBLE_COLLECTIONS_PATH"],
                "BACKUPDB_PASSWORD": server.password,
                "BACKUPDB_USERNAME": "postgres",
                "JOB_ID": "42",
                "LC_ALL": "C.UTF-8",
            }
        )
    )
    (folder / "env" / "extravars").write_text(
        yaml.safe_dump({"awx_job_id": 42, "awx_user_name": "ana", "backupdb_max_age": "20h"})
    )
    (folder / "env" / "passwords").write_text(json.dumps({r"Vault password:\s*?$": VAULT_PASSWORD}))
    (folder / "env" / "cmdline").write_text("--ask-vault-pass -vvv")
    (folder / "env" / "settings").write_text(json.dumps({"job_timeout": 240, "suppress_ansible_output": True}))
    return [server.password, WRONG, VAULT_PASSWORD]


def test_a_job_under_ansible_runner(tmp_path: Path, postgres_source: PostgresServer) -> None:
    folder = tmp_path / "job"
    hidden = private_data(folder, postgres_source)
    command = [PROGRAMS / "ansible-runner", "run", folder, "--playbook", "backup.yml", "--ident", "42"]
    environment = {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    artifacts = folder / "artifacts" / "42"
    output = (artifacts / "stdout").read_text()
    assert done.returncode == 2, done.stdout + done.stderr + output
    assert ((artifacts / "rc").read_text(), (artifacts / "status").read_text()) == ("2", "failed")

    events = [json.loads(path.read_text()) for path in (artifacts / "job_events").glob("*.json")]
    kinds = {event["event"] for event in events}
    assert {"playbook_on_start", "runner_on_ok", "runner_on_failed", "playbook_on_stats"} <= kinds
    (stats,) = [event["event_data"] for event in events if event["event"] == "playbook_on_stats"]
    assert (stats["failures"], stats["rescued"], stats["dark"]) == ({"db1": 1}, {"db1": 1}, {})
    tables = [
        event["event_data"]["res"]["msg"]
        for event in events
        if event["event"] == "runner_on_ok" and event["event_data"]["task"] == "Show what was done"
    ]
    lines = [" ".join(line.split()[:3]) for line in tables[0]]
    assert {"pg postgres backed", "other FAILED authentication_failed:"} <= set(lines)
    assert len(list((folder / "repository").glob("db1/pg/postgres/*/*/manifest.json"))) == 1

    everything = "".join(path.read_text() for path in artifacts.rglob("*") if path.is_file() and path.name != "command")
    for secret in hidden:
        for form in (secret, json.dumps(secret)[1:-1], json.dumps(json.dumps(secret)[1:-1])[1:-1], repr(secret)[1:-1]):
            assert form not in everything


def test_ansible_builder_accepts_the_execution_environment(tmp_path: Path) -> None:
    """tests/slow installs what comes out of this."""
    definition = ROOT / "meta" / "awx-execution-environment.yml"
    command = [PROGRAMS / "ansible-builder", "create", "--file", definition, "--context", tmp_path / "context"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = yaml.safe_load((tmp_path / "context" / "_build" / "requirements.yml").read_text())
    assert wanted == {"collections": [{"name": "vya.backupdb"}]}
    script = tmp_path / "context" / "_build" / "scripts" / "introspect.py"
    found = subprocess.run(
        [sys.executable, script, "introspect", os.environ["ANSIBLE_COLLECTIONS_PATH"]],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = {line.split()[0] for line in yaml.safe_load(found.stdout)["python"]}
    assert told == set((ROOT / "requirements.txt").read_text().split("\n")[1:-1]) - {"pyyaml>=6"}  # comes with Ansible


NOTIFICATION = {
    "name": "on call",
    "notification_type": "webhook",
    "notification_configuration": {"url": "https://example.com", "password": WRONG},
}


def set_up(controller: Controller, url: str, *arguments: str, **extra: Any) -> Play:
    names = {"inventory": "Databases", "project": "Backups & more", "execution_environment": "backupdb"}
    options = {**names, "credentials": ["deploy key"], "notifications": [NOTIFICATION], "url": f"{url}/", **extra}
    values = {f"awx_{name}": value for name, value in options.items()}
    (controller.folder / "token.yml").write_text(yaml.safe_dump({"backupdb_awx_token": awx.TOKEN}))
    return controller.play("vya.backupdb.awx_setup", "--extra-vars", "@token.yml", *arguments, **values)


def test_one_playbook_sets_awx_up(tmp_path: Path) -> None:
    controller = Controller(tmp_path, {})
    with awx.stand_in() as (url, records):
        planned = set_up(controller, url, "--check", templates=["backup"])
        assert planned.status == 0, planned.output
        assert {method for method, _path, _token in records.requests} == {"GET"}

        done = set_up(controller, url, "-vvv", templates=["backup", "restore"])
        assert done.status == 0, done.output
        kind = records.named("credential_types", "VYA BackupDB login")
        assert kind["injectors"]["env"]["BACKUPDB_PASSWORD"] == "{{ password }}"
        assert [field["id"] for field in kind["inputs"]["fields"] if field.get("secret")] == ["password"]
        template = records.named("job_templates", "VYA BackupDB: Back up")
        ids = {endpoint: stored[0]["id"] for endpoint, stored in records.objects.items()}
        assert (template["playbook"], template["survey_enabled"]) == ("backup.yml", True)
        assert (template["inventory"], template["project"], template["execution_environment"]) == (
            ids["inventories"], ids["projects"], ids["execution_environments"],
        )  # fmt: skip
        place = f"job_templates/{template['id']}"
        assert [question["variable"] for question in records.surveys[place]["spec"]] == ["backupdb_max_age"]
        (schedule,) = records.objects[f"{place}/schedules"]
        assert schedule["rrule"] == "DTSTART;TZID=UTC:20260101T020000 RRULE:FREQ=DAILY;INTERVAL=1"
        notification = records.named("notification_templates", "on call")
        assert notification["organization"] == ids["organizations"]
        assert records.objects[f"{place}/notification_templates_error"] == [{"id": notification["id"]}]
        assert records.objects[f"{place}/credentials"] == [{"id": ids["credentials"]}]
        restore = records.named("job_templates", "VYA BackupDB: Restore")
        assert len(records.surveys[f"job_templates/{restore['id']}"]["spec"]) == 4
        told = done.output.split("TASK [")[1:]  # what Ansible says of extra variables is not ours
        assert not [task for task in told if awx.TOKEN in task or json.dumps(WRONG)[1:-1] in task]

        before = len(records.requests)
        again = set_up(controller, url, templates=["backup"])
        assert (again.status, again.recap("localhost")["changed"]) == (0, 0), again.output
        assert {method for method, _path, _token in records.requests[before:]} == {"GET"}

        template["playbook"] = "other.yml"
        records.surveys[place]["spec"][0]["default"] = "1h"
        kept = [{"template": "backup", "name": "every night", "rrule": "DTSTART:20260101T030000Z RRULE:FREQ=DAILY"}]
        changed = set_up(controller, url, schedules=kept, templates=["backup"])
        assert changed.status == 0, changed.output
        assert template["playbook"] == "backup.yml"
        assert records.surveys[place]["spec"][0]["default"] == "20h"
        assert [entry["rrule"] for entry in records.objects[f"{place}/schedules"]] == [kept[0]["rrule"]]


def test_what_awx_refuses_is_told_without_the_token(tmp_path: Path) -> None:
    controller = Controller(tmp_path, {})
    unsaid = controller.play("vya.backupdb.awx_setup", awx_url="http://127.0.0.1:1")
    assert (unsaid.status, "Say where AWX is" in unsaid.output) == (2, True)
    with awx.stand_in() as (url, _records):
        missing = set_up(controller, url, project="nowhere")
        assert (missing.status, "AWX has no nowhere among its projects." in missing.output) == (2, True)
        refused = set_up(controller, url, "--extra-vars", "backupdb_awx_token=stolen")
        assert (refused.status, "with 401: " in refused.output) == (2, True)
        assert "Authentication credentials were not provided" in refused.output
