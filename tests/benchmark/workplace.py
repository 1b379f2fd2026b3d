"""Where a contest is held: folders for what the contestants write, our options, the keys of all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from ansible_collections.vya.backupdb.plugins.module_utils.engines.base import Inventory
from ansible_collections.vya.backupdb.plugins.module_utils.operations.parts import open_set
from ansible_collections.vya.backupdb.plugins.module_utils.repository.catalog import Selection, find
from ansible_collections.vya.backupdb.plugins.module_utils.repository.local import LocalRepository
from ansible_collections.vya.backupdb.plugins.module_utils.security.keyring import create_keyring
from kit.modules import COLLECTIONS

from benchmark.contest import OURS, Contestant

DATABASE, COPY = "bench", "bench_copy"


def found(*programs: str) -> bool:
    return all(shutil.which(program) for program in programs)


class Workplace:
    """A folder below which everything that is measured is written."""

    def __init__(self, folder: Path, instance: Instance, jobs: int, ansible: Path | None = None) -> None:
        self.folder, self.jobs, self.ansible = folder, jobs, ansible
        self.repository = folder / "repository"
        self._keyring = folder / "keyring.json"
        create_keyring(str(self._keyring))
        names = ("id", "engine", "port", "unix_socket", "username")
        self._connection = {name: getattr(instance, name) for name in names if getattr(instance, name)}

    def module(self, name: str, module: str, **options: Any) -> tuple[str, ...]:
        """The command that runs one of our modules as Ansible runs it on a host."""
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {
            "repository": str(self.repository), "keyring": str(self._keyring), "config_file": str(self.folder / "no"),
            "jobs": self.jobs, **options,
        }}))  # fmt: skip
        name = f"ansible_collections.vya.backupdb.plugins.modules.{module}"
        return ("env", f"--chdir={COLLECTIONS}", sys.executable, "-m", name, str(file))

    def remove(self, path: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)

    def ours(self, **options: Any) -> Contestant:
        """Our backup."""
        wanted = {"connection": self._connection, "databases": [DATABASE], **options}
        return Contestant(
            OURS, [self.module("backup", "backup", **wanted)], stores=self.repository,
            before=lambda: self.remove(self.repository),
        )  # fmt: skip

    def our_restore(self, **around: Any) -> Contestant:
        target = {"connection": self._connection}
        command = self.module("restore", "restore", backup="latest", target=target, target_database=COPY)
        return Contestant(OURS, [command], **around)

    def inventory(self) -> Inventory:
        """What our last backup says of its database."""
        repository = LocalRepository(str(self.repository))
        newest = find(repository, Selection()).backups[0]
        return open_set(repository, newest, str(self._keyring)).inventory

    def to_file(self, name: str, pipeline: Sequence[Sequence[str]], file: str, **more: Any) -> Contestant:
        """A contestant that writes one file to its standard output."""
        path = self.folder / file
        return Contestant(name, pipeline, target=path, stores=path, **more)

    def to_folder(self, name: str, pipeline: Sequence[Sequence[str]], folder: str, **more: Any) -> Contestant:
        """A contestant that writes a file or folder that must not exist before."""
        path = self.folder / folder
        return Contestant(name, pipeline, stores=path, before=lambda: self.remove(path), **more)

    def age(self) -> tuple[str, ...]:
        key = self.folder / "age.key"
        if not key.exists():
            subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
        recipient = next(line for line in key.read_text().splitlines() if "public key" in line).split()[-1]
        return ("age", "--recipient", recipient)

    def restic(self, name: str, dump: Sequence[str]) -> Contestant:
        """A dump into a new repository of restic each time: it would store nothing of the same data again."""
        path, env = self.folder / "restic", {"RESTIC_PASSWORD": "benchmark"}
        command = ["restic", "--quiet", "--no-cache", f"--repo={path}"]

        def begin() -> None:
            self.remove(path)
            subprocess.run([*command, "init"], check=True, env={"PATH": "/usr/bin", **env})

        return Contestant(
            name, [dump, [*command, "backup", "--stdin", "--stdin-filename=bench.sql"]], stores=path, env=env,
            before=begin,
        )  # fmt: skip

    def with_ansible(self, module: str, options: dict[str, Any], target: Path, **around: Any) -> Contestant:
        """A module of another collection, run by the ansible command of its own environment."""
        assert self.ansible
        programs = self.ansible / "bin"
        argv = [
            str(programs / "ansible"), "localhost", "--connection=local", f"--module-name={module}",
            f"--args={json.dumps({**options, 'target': str(target)})}",
            f"--extra-vars=ansible_python_interpreter={programs / 'python'}",
        ]  # fmt: skip
        env = {"ANSIBLE_COLLECTIONS_PATH": "", "ANSIBLE_LOCALHOST_WARNING": "0"}
        return Contestant(f"{module} {target.name}", [argv], env=env, **around)
