# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host needs to run jobs by itself, for tests of the role schedule."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from .cache import kept
from .plays import Controller, Play

ROOT = Path(__file__).resolve().parents[2]
MAKE_DATABASE = "import sqlite3; c = sqlite3.connect('/srv/wiki/pages.db'); c.execute('CREATE TABLE page (i int)')"
WIKI = {"id": "wiki", "engine": "sqlite", "path": "/srv/wiki"}


ANSIBLE = "ansible-core~=2.19.0"
"""What hosts need besides the libraries to run jobs by themselves."""


def wheelhouse(*more: str) -> Path:
    """The libraries, and what is asked for besides, as wheels from wherever this environment got them."""
    requirements = ROOT / "requirements.txt"

    def download(folder: Path) -> None:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        wanted = ["--only-binary=:all:", "--requirement", str(requirements), *more]
        subprocess.run([*command, *wanted, "--dest", folder], check=True)

    return kept("wheels", (requirements.read_text(), more, sys.version_info[:2]), download)


class ScheduledHost:
    """A controller with one host that has the agent and a SQLite database."""

    def __init__(self, folder: Path, host: Any, wheels: Path, **variables: Any) -> None:
        self.host = host
        common = {
            "ansible_python_interpreter": "auto_silent",
            "backupdb_create_keyring": False,
            "backupdb_escrow": False,
            "backupdb_instances": [WIKI],
            "backupdb_wheelhouse": str(wheels),
        }
        inventory = {**host.variables, **common, **variables}
        self.controller = Controller(folder, {host.name: inventory})
        host.run("mkdir", "-p", "/srv/wiki")
        host.run("python3", "-c", MAKE_DATABASE)
        installed = self.controller.play("vya.backupdb.install")
        assert installed.status == 0, installed.output

    def schedule(self, *arguments: str, **extra: Any) -> Play:
        """Runs the playbook schedule; keyword arguments are extra vars such as ``jobs``."""
        values = {f"schedule_{name}": value for name, value in extra.items()}
        return self.controller.play("vya.backupdb.schedule", *arguments, **values)

    def changed(self, *arguments: str, **extra: Any) -> int:
        play = self.schedule(*arguments, **extra)
        assert play.status == 0, play.output
        return play.recap(self.host.name)["changed"]
