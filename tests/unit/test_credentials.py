# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The credential store: what instances get from it, what it refuses, and that nothing is lost in it."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from ansible_collections.vya.backupdb.plugins.module_utils.errors import (
    CredentialMissingError,
    InvalidConfigError,
    KeyMissingError,
    NotFoundError,
    PermissionDeniedError,
    SealBrokenError,
)
from ansible_collections.vya.backupdb.plugins.module_utils.security.credentials import (
    Credential,
    CredentialStore,
    hostname_key,
    load_store,
    new_store,
    unused_ids,
    with_credentials,
)
from ansible_collections.vya.backupdb.plugins.module_utils.security.fernet import FernetKey
from ansible_collections.vya.backupdb.plugins.module_utils.security.keyring import create_keyring
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def store(tmp_path: Path) -> CredentialStore:
    store = new_store(str(tmp_path / "store.json"), create_keyring(str(tmp_path / "keyring.json")), "host")
    store.put(Credential("pg", "backup", "hunter2"))
    store.save()
    return store


def load(store: CredentialStore) -> CredentialStore:
    return load_store(store.path, str(Path(store.path).with_name("keyring.json")), "host")


def login(store: CredentialStore, instance: Instance) -> tuple[str | None, str | None]:
    found = with_credentials(instance, store.path, str(Path(store.path).with_name("keyring.json")), "host")
    return found.username, found.password


def test_an_instance_gets_the_login_of_its_own_id_or_the_one_that_it_names(store: CredentialStore) -> None:
    assert login(store, Instance("pg", "postgresql")) == ("backup", "hunter2")
    assert login(store, Instance("other", "mysql", credential="pg")) == ("backup", "hunter2")
    assert login(store, Instance("other", "mysql")) == (None, None)
    assert login(store, Instance("pg", "postgresql", username="me")) == ("me", None)
    assert login(store, Instance("pg", "sqlite", path="/a.db")) == (None, None)


def test_a_login_that_is_named_has_to_be_there(store: CredentialStore) -> None:
    with pytest.raises(CredentialMissingError, match=r"has no entry 'x' \(it has: pg\)"):
        login(store, Instance("a", "mysql", credential="x"))
    Path(store.path).unlink()
    assert login(store, Instance("pg", "postgresql")) == (None, None)
    with pytest.raises(CredentialMissingError, match="there is no credential store"):
        login(store, Instance("a", "mysql", credential="pg"))


def test_a_store_of_another_account_is_refused_with_the_command_that_mends_it(
    store: CredentialStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = Path(store.path).stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner:
        with pytest.raises(PermissionDeniedError, match=f"Run: chown {owner + 1} "):
            load(store)
    else:
        assert load(store).ids == ["pg"]  # root's files are fine for everybody whom root lets read them


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o755])
def test_a_store_that_is_open_to_others_is_refused(store: CredentialStore, mode: int) -> None:
    Path(store.path).chmod(mode)
    with pytest.raises(PermissionDeniedError, match=rf"\(mode {mode:04o}\). Run: chmod 0600 {store.path}"):
        load(store)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"encryption": {"method": "fernet"}, "credentials": []}',
        '{"encryption": {"method": "aes", "key_derivation": "keyring"}, "credentials": []}',
        '{"encryption": {"method": "fernet", "key_derivation": "other"}, "credentials": []}',
        '{"encryption": {"method": "fernet", "key_derivation": "keyring"}, "credentials": [{"id": "a"}]}',
        '{"encryption": {"method": "fernet", "key_derivation": "keyring"}, "credentials": [1]}',
    ],
)
def test_a_damaged_store_is_one_clear_error(store: CredentialStore, content: str) -> None:
    Path(store.path).write_text(content)
    with pytest.raises(InvalidConfigError):
        load(store)


def test_a_store_whose_key_is_gone(store: CredentialStore) -> None:
    keyring = Path(store.path).with_name("keyring.json")
    keyring.unlink()
    create_keyring(str(keyring))
    with pytest.raises(KeyMissingError, match=f"is encrypted with key {store.key_id}, which the keyring"):
        load(store)
    Path(store.path).unlink()
    with pytest.raises(NotFoundError):
        load(store)


def test_one_value_that_does_not_decrypt_leaves_the_others(store: CredentialStore) -> None:
    store.put(Credential("maria", "a", "b"))
    store.entries[0]["password"] = store.entries[1]["password"][:-2]
    store.save()
    again = load(store)
    assert (again.unreadable(), again.get("maria").password) == (["pg"], "b")
    with pytest.raises(SealBrokenError, match=r"The password of credential 'pg' in .* does not decrypt"):
        again.get("pg")
    with pytest.raises(SealBrokenError):
        again.reencrypt(FernetKey.generate(), "new")
    assert (again.key_id, again.put(Credential("pg", "backup", "hunter2")), again.unreadable()) == (
        store.key_id,
        True,
        [],
    )


def test_what_nobody_uses(store: CredentialStore) -> None:
    store.put(Credential("mraia", "a", "b"))
    assert unused_ids(store, [Instance("pg", "postgresql"), Instance("m", "mysql", credential="maria")]) == ["mraia"]


def test_secrets_are_not_in_reprs(store: CredentialStore) -> None:
    assert "hunter2" not in repr(store.get("pg")) + repr(store)


@given(st.text(min_size=1), st.text(), st.text(), st.booleans())
def test_what_goes_in_comes_out(name: str, username: str, password: str, by_host: bool) -> None:
    """Any text that UTF-8 can hold, in both kinds of stores, and nothing of it in plain text in the file."""
    if any("\ud800" <= letter <= "\udfff" for letter in name + username + password):
        return
    with tempfile.TemporaryDirectory() as folder:
        keyring = None if by_host else create_keyring(f"{folder}/keyring.json")
        store = new_store(f"{folder}/store.json", keyring, "a host")
        assert store.put(Credential(name, username, password)) is True
        assert store.put(Credential(name, username, password)) is False
        store.save()
        again = load_store(store.path, f"{folder}/keyring.json", "a host")
        assert (again.get(name), again.key_source) == (Credential(name, username, password), store.key_source)
        entries = json.loads(Path(store.path).read_text())["credentials"]
        assert [FernetKey.open_text(again.key, entry["password"]) for entry in entries] == [password]
        assert again.reencrypt(hostname_key("another"), None) is True
        assert (again.get(name).password, again.remove(name), again.remove(name)) == (password, True, False)
