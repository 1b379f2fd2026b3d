"""Runs modules as Ansible runs them on a host: a process of its own, options in, JSON out."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

COLLECTIONS = Path(__file__).resolve().parents[2] / ".build" / "collections"


class ModuleRun:
    """A module at work."""

    def __init__(self, module: str, check: bool = False, **options: Any) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
            json.dump({"ANSIBLE_MODULE_ARGS": {"_ansible_check_mode": check, **options}}, file)
        self._options = Path(file.name)
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"ansible_collections.vya.backupdb.plugins.modules.{module}", file.name],
            cwd=COLLECTIONS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def output(self, timeout: float = 120) -> str:
        """Everything that the module printed, to its end."""
        out, err = self.process.communicate(timeout=timeout)
        self._options.unlink()
        return out + err

    def result(self, timeout: float = 120) -> dict[str, Any]:
        """What the module returned."""
        found: dict[str, Any] = json.loads(self.output(timeout).strip().splitlines()[-1])
        assert "deprecations" not in found
        return found

    def kill(self) -> None:
        """SIGKILL, and nothing left unread."""
        self.process.kill()
        self.output()


def run_module(module: str, check: bool = False, **options: Any) -> dict[str, Any]:
    return ModuleRun(module, check, **options).result()
