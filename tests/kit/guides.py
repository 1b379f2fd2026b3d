# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that the documents tell people to run, and a way to run them word for word."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from .plays import ANSIBLE_PLAYBOOK

ROOT = Path(__file__).resolve().parents[2]
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROMPT = re.compile(r"^[$#] ((?:.*\\\n)*.*)$", re.MULTILINE)
SHELLS = ("bash", "console")


def blocks(document: str, *kinds: str) -> list[str]:
    """The fenced blocks of a document that are of these kinds."""
    return [text for kind, text in FENCED.findall((ROOT / document).read_text()) if kind in kinds]


def commands(document: str) -> list[str]:
    """What follows the prompts in the blocks of a document, with the lines that it is continued on."""
    return [command for text in blocks(document, "console") for command in PROMPT.findall(text)]


def follow(command: str, folder: Path) -> str:
    """Runs a command in a folder as people do, with the programs of this environment; what it printed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{ANSIBLE_PLAYBOOK.parent}:{os.environ['PATH']}",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "0",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout
