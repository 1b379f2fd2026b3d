"""The modules as processes of their own: what bad options are told, and what each returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from kit.modules import ModuleRun, run_module
from kit.sqlite import make, numbers


@pytest.fixture
def host(tmp_path: Path) -> dict[str, Any]:
    """The common options of a host with a configuration file and two instances, one of them switched off."""
    (tmp_path / "data").mkdir()
    make(tmp_path / "data" / "shop.db", *numbers(10))
    make(tmp_path / "data" / "test.db", *numbers(5))
    config = tmp_path / "config.yml"
    config.write_text(
        yaml.safe_dump(
            {
                "repository": str(tmp_path / "repository"),
                "instances": [
                    {"id": "files", "engine": "sqlite", "path": str(tmp_path / "data"), "exclude": ["test*"]},
                    {"id": "off", "engine": "sqlite", "path": "/nowhere/x.db", "enabled": False},
                ],
            }
        )
    )
    return {"config_file": str(config), "keyring": str(tmp_path / "keyring.json")}


def test_the_life_of_a_backup(host: dict[str, Any], tmp_path: Path) -> None:
    planned = run_module("keyring", check=True, **host)
    assert (planned["changed"], planned["keys"]) == (True, [])
    made = run_module("keyring", **host)
    again = run_module("keyring", **host)
    assert (made["changed"], again["changed"]) == (True, False)
    assert made["keys"] == again["keys"]

    (described,) = run_module("instance_info", **host)["instances"]
    assert (described["id"], described["reachable"], described["flavour"]) == ("files", True, "sqlite")
    assert [(item["name"], item["tables"], item["excluded"]) for item in described["databases"]] == [
        ("shop.db", 1, False),
        ("test.db", 1, True),
    ]

    done = run_module("backup", host="db1", verify=True, **host)
    assert [(entry["instance"], entry["database"]) for entry in done["backups"]] == [("files", "shop.db")]
    assert done["msg"] == "1 backed up, 0 not due, 0 failed."
    not_due = run_module("backup", host="db1", max_age="1h", **host)
    assert (not_due["changed"], not_due["msg"]) == (False, "0 backed up, 1 not due, 0 failed.")

    listed = run_module("backup_info", **host)
    assert [entry["id"] for entry in listed["backups"]] == [done["backups"][0]["id"]]

    wanted = {"instance": "files", "target_database": "copy.db", **host}
    plan = run_module("restore", check=True, **wanted)
    assert (plan["changed"], plan["restored"]["rows"]) == (True, 10)
    assert not (tmp_path / "data" / "copy.db").exists()
    restored = run_module("restore", **wanted)
    assert (restored["restored"]["rows"], restored["restored"]["row_count_matches"]) == (10, True)
    assert restored["backup"]["id"] == done["backups"][0]["id"]
    assert (tmp_path / "data" / "copy.db").exists()


BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("backup", {"instance": "fles"}, "not_found", "There is no instance 'fles' in "),
    ("backup", {"config_file": "/nowhere.yml"}, "invalid_config", "There is no configuration file /nowhere.yml."),
    ("backup", {"jobs": 0}, "invalid_config", "jobs: 0 is not between 1 and 64."),
    (
        "backup",
        {"compression": "gzip", "compression_level": 10},
        "invalid_config",
        "10 is not between 1 and 9 for gzip",
    ),
    ("backup", {"max_age": "tomorrow"}, "invalid_config", "max_age: 'tomorrow' is no duration"),
    ("backup", {"repository": "backups"}, "invalid_config", "repository: 'backups' is not an absolute path."),
    ("backup", {"keyring": "/nowhere.json"}, "key_missing", "There is no keyring /nowhere.json."),
    (
        "backup",
        {"connection": {"id": "a b", "engine": "sqlite", "path": "x"}},
        "invalid_config",
        "connection.id: 'a b'",
    ),
    (
        "backup",
        {"databases": ["nothing"]},
        "not_found",
        "'nothing' matches no database of instance files",
    ),
    ("backup_info", {"limit": 0}, "invalid_config", "limit: 0 is not a positive number."),
    ("backup_info", {"before": "noon"}, "invalid_config", "before: 'noon' is no ISO 8601 date or time"),
    ("backup_info", {"repository": "/nowhere"}, "repository_unusable", "The repository /nowhere cannot be used"),
    ("restore", {}, "invalid_config", "Say which instance: "),
    ("restore", {"instance": "files", "repository": "/nowhere"}, "repository_unusable", "Check that it is mounted"),
]


@pytest.mark.parametrize(("module", "options", "code", "sentence"), BAD)
def test_a_bad_option_is_one_clear_sentence(
    host: dict[str, Any], module: str, options: dict[str, Any], code: str, sentence: str
) -> None:
    run_module("keyring", **host)
    run = ModuleRun(module, **{**host, **options})
    result = run.result()
    assert (result["failed"], result["code"]) == (True, code)
    assert sentence in result["msg"]
    assert "Traceback" not in str(result)
    assert not Path(host["keyring"]).with_name("repository").exists() or options.get("databases")
