"""Escrow of keyrings: plays with Ansible Vault, a host that is gone, and keys that no output shows."""

from __future__ import annotations

import base64
import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from kit.modules import run_module
from kit.plays import ANSIBLE_PLAYBOOK, Controller, Play

PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Read the copy, if there is one
      ansible.builtin.slurp:
        path: "{{ copy }}"
      register: read
      failed_when: read is failed and 'not found' not in read.msg

    - name: Bring host and copy together
      vya.backupdb.escrow:
        keyring: "{{ keyring }}"
        content: "{{ (read.content | b64decode) if read.content is defined else omit }}"
      register: escrow

    - name: Store the copy
      ansible.builtin.copy:
        content: "{{ escrow.content }}"
        dest: "{{ copy }}"
        decrypt: false
        mode: "0600"
      when: not ansible_check_mode
"""


class Escrow:
    """A host, a controller, and the copy between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keyring, self.copy = folder / "host" / "keyring.json", folder / "copy.vault"
        self.secret = folder / "vault-password"
        self.secret.write_text("correct horse\n")
        variables = {"keyring": str(self.keyring), "copy": str(self.copy)}
        self.controller = Controller(folder, {"host": variables})
        (folder / "play.yml").write_text(PLAYBOOK)

    def create(self) -> None:
        run_module("keyring", keyring=str(self.keyring))

    def play(self, *arguments: str, secret: bool = True) -> Play:
        vault = ("--vault-password-file", str(self.secret)) if secret else ()
        return self.controller.play(str(self.folder / "play.yml"), *vault, *arguments)

    def opened(self) -> dict:
        """What the copy holds, by Ansible's own program."""
        program = ANSIBLE_PLAYBOOK.with_name("ansible-vault")
        command = [program, "view", "--vault-password-file", self.secret, self.copy]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def keys(self) -> list[str]:
        return [entry["key"] for entry in json.loads(self.keyring.read_text())["keys"]]


@pytest.fixture
def escrow(tmp_path: Path) -> Escrow:
    return Escrow(tmp_path)


def changed(play: Play) -> int:
    assert play.status == 0, play.output
    return play.recap("host")["changed"]


def test_the_copy_is_the_keyring_under_vault(escrow: Escrow) -> None:
    escrow.create()
    assert changed(escrow.play("--check")) == 1
    assert not escrow.copy.exists()
    assert changed(escrow.play()) == 2
    assert escrow.copy.read_text().startswith("$ANSIBLE_VAULT;1.1;AES256\n")
    assert escrow.opened() == json.loads(escrow.keyring.read_text())
    text = escrow.copy.read_text()
    assert (changed(escrow.play("--check")), changed(escrow.play()), escrow.copy.read_text()) == (0, 0, text)


def test_a_rotation_changes_the_copy(escrow: Escrow, tmp_path: Path) -> None:
    escrow.create()
    escrow.play()
    run_module("keyring", keyring=str(escrow.keyring), repository=str(tmp_path / "none"), rotate=True)
    assert changed(escrow.play()) == 2
    assert (escrow.opened(), len(escrow.keys())) == (json.loads(escrow.keyring.read_text()), 2)


def test_a_host_that_is_gone_gets_its_keyring_back_and_restores(escrow: Escrow, tmp_path: Path) -> None:
    """The repository survived; the host with its keys did not."""
    escrow.create()
    escrow.play()
    (tmp_path / "files").mkdir()
    with closing(sqlite3.connect(tmp_path / "files" / "a.db")) as connection:
        connection.execute("CREATE TABLE note (text TEXT)")
        connection.commit()
    options = {"keyring": str(escrow.keyring), "repository": str(tmp_path / "repository")}
    connection = {"id": "files", "engine": "sqlite", "path": str(tmp_path / "files")}
    backup = run_module("backup", **options, connection=connection)["backups"][0]
    before = escrow.keyring.read_text()
    escrow.keyring.unlink()
    (tmp_path / "files" / "a.db").unlink()
    wanted = {**options, "backup": backup["id"], "target": {"connection": connection}}
    assert run_module("restore", **wanted)["code"] == "key_missing"
    assert changed(escrow.play("--check")) == 1
    assert not escrow.keyring.exists()
    assert changed(escrow.play()) == 1
    assert (escrow.keyring.read_text(), escrow.keyring.stat().st_mode & 0o777) == (before, 0o600)
    assert run_module("restore", **wanted)["restored"]["row_count_matches"] is True


def test_neither_side_loses_a_key(escrow: Escrow) -> None:
    escrow.create()
    escrow.play()
    old = escrow.keys()
    escrow.keyring.unlink()
    escrow.create()
    new = escrow.keys()
    assert changed(escrow.play()) == 2
    value = json.loads(escrow.keyring.read_text())
    assert [(entry["key"], entry["state"]) for entry in value["keys"]] == [(new[0], "active"), (old[0], "retired")]
    assert (escrow.opened(), changed(escrow.play())) == (value, 0)


def test_without_a_vault_secret_it_refuses(escrow: Escrow) -> None:
    escrow.create()
    play = escrow.play(secret=False)
    assert play.status != 0
    assert '"code": "vault_secret_missing"' in play.output
    assert "--ask-vault-pass" in play.output
    assert not escrow.copy.exists()


def test_a_wrong_secret_or_a_damaged_copy_leaves_the_copy_alone(escrow: Escrow) -> None:
    escrow.create()
    escrow.play()
    text = escrow.copy.read_text()
    escrow.secret.write_text("another\n")
    play = escrow.play()
    assert (play.status != 0, escrow.copy.read_text()) == (True, text)
    assert "does not open with any Vault secret" in play.output
    escrow.secret.write_text("correct horse\n")
    escrow.copy.write_text(text[:-100])
    play = escrow.play()
    assert (play.status != 0, escrow.copy.read_text()) == (True, text[:-100])


def test_a_copy_that_is_not_encrypted_is_refused(escrow: Escrow) -> None:
    escrow.create()
    escrow.copy.write_text(escrow.keyring.read_text())
    play = escrow.play()
    assert play.status != 0
    assert "is not encrypted with Ansible Vault" in play.output


def test_nothing_on_either_side_is_an_error(escrow: Escrow) -> None:
    play = escrow.play()
    assert (play.status != 0, '"code": "key_missing"' in play.output) == (True, True)


def test_outside_a_task_the_module_refuses(escrow: Escrow) -> None:
    escrow.create()
    result = run_module("escrow", keyring=str(escrow.keyring))
    assert (result["failed"], "action plugin" in result["msg"], "sealed" in result) == (True, True, False)


def test_no_key_in_any_output(escrow: Escrow) -> None:
    """At the highest verbosity, there and back, in the forms in which a key could show."""
    escrow.create()
    outputs = [escrow.play("-vvvvv").output]
    keys = escrow.keys()
    escrow.keyring.unlink()
    outputs.append(escrow.play("-vvvvv", "--diff").output)
    assert escrow.keys() == keys
    for key in keys:
        raw = base64.urlsafe_b64decode(key)
        for form in (key, key.rstrip("="), raw.hex(), base64.b64encode(raw).decode(), json.dumps({"key": key})[9:-2]):
            assert not [output for output in outputs if form in output], form
    assert "transport_key" in outputs[0]  # the output is as wordy as it gets
    assert "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER" in outputs[0]
