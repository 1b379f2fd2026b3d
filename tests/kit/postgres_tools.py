# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Client programs of other versions, made of the real ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.commands import find_programs
from ansible_collections.vya.backupdb.plugins.module_utils.engines.postgresql import tools as postgresql_tools

from .postgres import BINARIES

PROGRAMS = ("pg_dump", "pg_restore", "psql")


def fake_tools(patch: pytest.MonkeyPatch, folder: Path, **scripts: str) -> Path:
    """Makes a folder with the programs the only one that is searched; a script replaces the program of its name.

    ``{real}`` in a script is the path of the real program.
    """
    folder.mkdir(parents=True, exist_ok=True)
    real = {name: find_programs([name], [BINARIES])[0] for name in PROGRAMS}
    for name in PROGRAMS:
        path = folder / name
        path.unlink(missing_ok=True)
        if name in scripts:
            path.write_text(f"#!/bin/bash\n{scripts[name].replace('{real}', real[name])}\n")
            path.chmod(0o755)
        else:
            path.symlink_to(real[name])
    patch.setattr(postgresql_tools, "FOLDERS", (str(folder),))
    patch.setenv("PATH", str(folder))
    return folder
