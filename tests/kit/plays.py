"""Runs playbooks as people do, and reads what they print."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ANSIBLE_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")


@dataclass
class Play:
    """A play that has ended. ``tables`` are the lines of each debug message that is a list."""

    status: int
    output: str

    @property
    def tables(self) -> list[list[str]]:
        found = re.findall(r'"msg": (\[\n.*?\n    \])', self.output, re.DOTALL)
        return [[" ".join(line.split()) for line in json.loads(text)] for text in found]

    def table(self) -> list[str]:
        """The rows of all tables but that of hosts, white space folded, sorted; without headers and sentences below."""
        rows = (line for table in self.tables if not table[0].startswith("HOST ") for line in table[1:])
        return sorted(line for line in rows if not line.startswith(("Stored in ", "The repository has ")))

    def recap(self, host: str) -> dict[str, int]:
        line = re.search(rf"^{host} +: (.*)$", self.output, re.MULTILINE)
        assert line, self.output
        return {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", line[1])}


class Controller:
    """An inventory in a folder, and ansible-playbook."""

    def __init__(self, folder: Path, hosts: dict[str, dict[str, Any]]) -> None:
        self.folder = folder
        self.inventory = folder / "inventory.yml"
        common = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "backupdb_become": False,
            "backupdb_create_keyring": True,
        }
        self.inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts, "vars": common}}, allow_unicode=True))

    def play(self, playbook: str, *arguments: str, **extra: Any) -> Play:
        """Runs a playbook of the collection, or one in a file; keyword arguments are extra vars."""
        values = ["--extra-vars", json.dumps({f"backupdb_{name}": value for name, value in extra.items()})]
        done = subprocess.run(
            [ANSIBLE_PLAYBOOK, "--inventory", self.inventory, *values, *arguments, playbook],
            cwd=self.folder,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        return Play(done.returncode, done.stdout)
