"""The keyring file: made once, private, read back, and clear words for everything that can be wrong with it."""

import json
import stat
from pathlib import Path

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.errors import (
    InvalidConfigError,
    KeyMissingError,
    PermissionDeniedError,
    SealBrokenError,
)
from ansible_collections.vya.backupdb.plugins.module_utils.security.fernet import FernetKey
from ansible_collections.vya.backupdb.plugins.module_utils.security.keyring import create_keyring, load_keyring


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "etc" / "keyring.json")


def test_a_new_keyring_is_private_and_reads_back(path: str) -> None:
    made = create_keyring(path)
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    assert [key.id for key in load_keyring(path).keys] == [made.active.id]
    assert load_keyring(path).active.secret.encoded == made.active.secret.encoded
    assert [file.name for file in Path(path).parent.iterdir()] == ["keyring.json"]


def test_a_keyring_is_never_replaced(path: str) -> None:
    create_keyring(path)
    before = Path(path).read_text()
    with pytest.raises(PermissionDeniedError, match="exists already"):
        create_keyring(path)
    assert Path(path).read_text() == before


def test_no_keyring(path: str) -> None:
    with pytest.raises(KeyMissingError, match=r"There is no keyring .* Create one with the module keyring"):
        load_keyring(path)


def test_a_keyring_that_others_can_read_is_refused(path: str) -> None:
    create_keyring(path)
    Path(path).chmod(0o640)
    with pytest.raises(PermissionDeniedError, match=r"open to others \(mode 0640\). Run: chmod 0600"):
        load_keyring(path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"keys": [{}]}', '{"keys": [{"key": "x", "created": "", "state": ""}]}']
)
def test_a_damaged_keyring(path: str, text: str) -> None:
    create_keyring(path)
    Path(path).write_text(text)
    with pytest.raises(InvalidConfigError, match="is damaged"):
        load_keyring(path)


def test_a_keyring_without_an_active_key(path: str) -> None:
    create_keyring(path)
    value = json.loads(Path(path).read_text())
    value["keys"][0]["state"] = "retired"
    Path(path).write_text(json.dumps(value))
    with pytest.raises(KeyMissingError, match="no active key"):
        load_keyring(path).wrap(FernetKey.generate())


def test_unreadable_and_unwritable_places(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PermissionDeniedError, match="cannot be written"):
        create_keyring(str(tmp_path / "file" / "keyring.json"))
    (tmp_path / "folder").mkdir(mode=0o700)
    with pytest.raises(PermissionDeniedError, match="cannot be read: Is a directory"):
        load_keyring(str(tmp_path / "folder"))


def test_a_failed_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PermissionDeniedError, match="No space left"):
        create_keyring(str(tmp_path / "keyring.json"))
    assert list(tmp_path.iterdir()) == []


def test_wrapped_keys_open_with_the_right_keyring_only(tmp_path: Path) -> None:
    mine, other = create_keyring(str(tmp_path / "a.json")), create_keyring(str(tmp_path / "b.json"))
    data_key = FernetKey.generate()
    entries = mine.wrap(data_key)
    assert mine.unwrap(entries, "shop").encoded == data_key.encoded
    with pytest.raises(
        KeyMissingError, match=f"sealed for key {mine.active.id}, and the keyring .* holds {other.active.id}"
    ):
        other.unwrap(entries, "shop")
    with pytest.raises(SealBrokenError, match="does not open with key"):
        mine.unwrap([{"id": mine.active.id, "wrapped": other.wrap(data_key)[0]["wrapped"]}], "shop")


def test_secrets_are_not_in_reprs(path: str) -> None:
    keyring = create_keyring(path)
    assert keyring.active.secret.encoded not in repr(keyring)
