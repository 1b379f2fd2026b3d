"""What a backup that is not due takes of the controller and of the host: it shall not creep up. docs/scale.md tells."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kit.plays import Controller
from kit.sqlite import make

MOST_TASKS = 6
MOST_BYTES = 560_000
LIBRARIES = {"sqlalchemy", "pymysql", "psycopg", "cryptography", "yaml", "concurrent.futures", "importlib.metadata"}
MAKERS = {"operations.maker", "operations.users_backup", "engines.connect", "commands", "retention.policy"}
OURS = "ansible_collections.vya.backupdb.plugins.module_utils."


def loaded(program: Path) -> set[str]:
    """What a module as Ansible sent it loads, of ours by the name in module_utils."""
    done = subprocess.run([sys.executable, "-X", "importtime", program], capture_output=True, text=True, check=True)
    assert '"not_due": [{' in done.stdout, done.stdout
    return {name.removeprefix(OURS) for name in re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE)}


def test_a_backup_that_is_not_due_takes_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = {}
    for name in ("one", "two"):
        (tmp_path / name / "files").mkdir(parents=True)
        make(tmp_path / name / "files" / "app.db", "CREATE TABLE note (text TEXT)")
        hosts[name] = {
            "backupdb_instances": [{"id": "files", "engine": "sqlite", "path": str(tmp_path / name / "files")}],
            "backupdb_repository": str(tmp_path / name / "repository"),
            "backupdb_keyring": str(tmp_path / name / "keyring.json"),
            "ansible_remote_tmp": str(tmp_path / name / "sent"),
        }
    controller = Controller(tmp_path, hosts)
    first = controller.play("vya.backupdb.backup", max_age="24h")
    assert (first.status, first.recap("two")["changed"]) == (0, 1), first.output

    monkeypatch.setenv("ANSIBLE_KEEP_REMOTE_FILES", "true")
    again = controller.play("vya.backupdb.backup", max_age="24h")
    assert again.status == 0, again.output
    counts = again.recap("two")  # "one" does as well what is done once for all
    assert (counts["changed"], counts["ok"] + counts["skipped"] <= MOST_TASKS) == (0, True), again.output

    (sent,) = (tmp_path / "two" / "sent").rglob("AnsiballZ_*.py")
    assert sent.name == "AnsiballZ_backup.py"
    assert sent.stat().st_size <= MOST_BYTES
    seen = loaded(sent)
    assert "operations.backup" in seen
    assert not seen & (LIBRARIES | MAKERS)


def test_metrics_that_a_play_asks_for_are_written(tmp_path: Path) -> None:
    """Whether anybody wants them is asked once for all hosts, of which none knows what the play says."""
    (tmp_path / "files").mkdir()
    make(tmp_path / "files" / "app.db", "CREATE TABLE note (text TEXT)")
    wanted = {
        "backupdb_monitoring": True,
        "backupdb_instances": [{"id": "files", "engine": "sqlite", "path": str(tmp_path / "files")}],
        "backupdb_repository": str(tmp_path / "repository"),
        "backupdb_keyring": str(tmp_path / "keyring.json"),
        "backupdb_textfile_folder": str(tmp_path / "metrics"),
        "backupdb_health_file": str(tmp_path / "state" / "health.json"),
        "backupdb_health_command": "",
    }
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump([{"ansible.builtin.import_playbook": "vya.backupdb.backup", "vars": wanted}]))
    done = Controller(tmp_path, {"one": {}}).play(str(playbook))
    assert done.status == 0, done.output
    (metrics,) = (tmp_path / "metrics").iterdir()
    assert 'database="app.db"' in metrics.read_text()
