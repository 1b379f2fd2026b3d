"""A repository, a keyring, and the operations on them, as the modules call them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from ansible_collections.vya.backupdb.plugins.module_utils.engines.registry import open_engine
from ansible_collections.vya.backupdb.plugins.module_utils.operations.backup import (
    Outcome,
    Wanted,
    back_up_instances,
)
from ansible_collections.vya.backupdb.plugins.module_utils.operations.restore import RestoreRun, RestoreWanted
from ansible_collections.vya.backupdb.plugins.module_utils.repository.catalog import Selection
from ansible_collections.vya.backupdb.plugins.module_utils.repository.local import LocalRepository
from ansible_collections.vya.backupdb.plugins.module_utils.security.keyring import create_keyring, load_keyring

HOST = "db1"


class Workshop:
    """Backs up to and restores from one repository below a folder."""

    def __init__(self, folder: Path, repository: Path | None = None) -> None:
        self.root = repository or folder / "repository"
        self.keyring = str(folder / "keyring.json")
        create_keyring(self.keyring)

    @property
    def repository(self) -> LocalRepository:
        return LocalRepository(str(self.root))

    def back_up(self, *instances: Instance, check: bool = False, encrypt: bool = True, **wanted: Any) -> Outcome:
        options = Wanted(**{"host": HOST, "method": "zstd", "level": 1, "jobs": 2, **wanted})
        keyring = load_keyring(self.keyring) if encrypt else None
        return back_up_instances(instances, self.repository, keyring, options, check)

    def back_up_one(self, instance: Instance, **wanted: Any) -> dict[str, Any]:
        """One backup that has to succeed, as the module returns it."""
        outcome = self.back_up(instance, **wanted)
        assert outcome.failures == []
        (backup,) = outcome.backups
        return backup

    def restore(
        self, instance: Instance, backup: str = "latest", selection: Selection | None = None, **wanted: Any
    ) -> dict[str, Any]:
        chosen = selection or Selection(host=HOST, kind="database")
        options = RestoreWanted(backup, chosen, **{"host": HOST, "jobs": 2, **wanted})
        with closing(open_engine(instance)) as engine:
            run = RestoreRun(engine, self.repository, self.keyring, options)
            return run.run(run.plan())

    def folders(self) -> list[Path]:
        """Every set folder of the repository, oldest first, told by the file system alone."""
        return sorted(path.parent for path in self._files() if path.match("????-??-??/*/manifest.json"))

    def stray(self) -> list[str]:
        """Whatever stands in the repository that is neither part of a set nor a lock of a database."""
        owned = self.folders()
        return sorted(
            str(path.relative_to(self.root))
            for path in self._files()
            if path.name != ".lock" and not any(path.is_relative_to(folder) for folder in owned)
        )

    def _files(self) -> Iterator[Path]:
        """Also while others publish and remove, which pathlib's patterns do not stand (Python 3.11)."""
        for folder, _folders, files in os.walk(self.root):
            yield from (Path(folder, name) for name in files)
