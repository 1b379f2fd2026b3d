# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A central store: a folder behind a private SSH server, as those see it who copy backups to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.vya.backupdb.plugins.module_utils.repository.ssh import Destination

from .sshd import SSHServer, ssh_server


@dataclass
class Store:
    """A server, the folder that it offers, and the folder with its settings and keys."""

    server: SSHServer
    folder: Path
    settings: Path

    def options(self, **changes: Any) -> dict[str, Any]:
        """What the option ``to`` of the module replicate needs."""
        return {
            "host": "127.0.0.1",
            "port": self.server.port,
            "user": self.server.variables["ansible_user"],
            "folder": str(self.folder),
            "identity_file": str(self.settings / "user"),
            "known_hosts": str(self.settings / "known"),
            **changes,
        }

    def destination(self, **changes: Any) -> Destination:
        return Destination(**self.options(**changes))

    def sets(self) -> list[Path]:
        """Every set folder of the store, told by the file system alone."""
        return sorted(path.parent for path in self.folder.glob("*/*/*/*/*/manifest.json"))

    def stray(self) -> list[str]:
        """The files in the store that are no part of a set."""
        owned = self.sets()
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(str(path) for path in files if not any(path.is_relative_to(folder) for folder in owned))


@contextmanager
def store(folder: Path, *more: str) -> Iterator[Store]:
    """A server whose account, that of the tests, may write into a folder below ``folder``; ``more`` are lines for its
    configuration."""
    settings, central = folder / "sshd", folder / "central store"
    settings.mkdir(parents=True)
    central.mkdir(mode=0o700)
    with ssh_server(settings, *more) as server:
        yield Store(server, central, settings)
