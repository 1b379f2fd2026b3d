"""What the execution environment is made of can be installed into a fresh environment, and the collection works there.

Wants a package index, and takes as long as that takes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
BUILDER = Path(sys.executable).with_name("ansible-builder")


def test_its_contents_can_be_installed(tmp_path: Path) -> None:
    definition = ROOT / "meta" / "awx-execution-environment.yml"
    subprocess.run([BUILDER, "create", "--file", definition, "--context", tmp_path / "context"], check=True)
    dependencies = yaml.safe_load(definition.read_text())["dependencies"]
    script = tmp_path / "context" / "_build" / "scripts" / "introspect.py"
    found = subprocess.run(
        [sys.executable, script, "introspect", os.environ["ANSIBLE_COLLECTIONS_PATH"]],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    wanted = [line.partition(" #")[0].strip() for line in yaml.safe_load(found.stdout)["python"]]
    wanted += [dependencies[name]["package_pip"] for name in ("ansible_core", "ansible_runner")]
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    programs = tmp_path / "venv" / "bin"
    subprocess.run([programs / "pip", "install", "--quiet", *wanted], check=True)

    project = tmp_path / "job" / "project"
    project.mkdir(parents=True)
    (project / "status.yml").write_text("- import_playbook: vya.backupdb.status\n")
    inventory = {"all": {"hosts": {"db1": {"ansible_connection": "local", "backupdb_become": False}}}}
    variables: dict[str, Any] = inventory["all"]["hosts"]["db1"]
    variables["ansible_python_interpreter"] = str(programs / "python")
    variables["backupdb_repository"] = str(tmp_path / "repository")
    variables["backupdb_instances"] = [{"id": "files", "engine": "sqlite", "path": str(tmp_path)}]
    (tmp_path / "repository").mkdir()
    (tmp_path / "job" / "inventory").mkdir()
    (tmp_path / "job" / "inventory" / "hosts.yml").write_text(yaml.safe_dump(inventory))
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [programs / "ansible-runner", "run", tmp_path / "job", "--playbook", "status.yml"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
