# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs this collection, as it is on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
name: collection_archive
short_description: Pack this collection
version_added: "0.1.0"
description:
  - Packs what a host needs of this collection to run its playbooks by itself, and gives the path of the archive.
  - The archive is in a temporary folder of the controller, and goes away with the run. Its name ends with a digest of
    its content, so that equal collections have equal names.
  - The role schedule puts it on hosts.
author: The vya.backupdb authors (@vya)
options:
  _terms:
    description: None.
    required: false
"""

EXAMPLES = r"""
- name: Show the archive of the collection
  ansible.builtin.debug:
    msg: "{{ lookup('vya.backupdb.collection_archive') }}"
"""

RETURN = r"""
_raw:
  description: One path, such as C(/tmp/…/vya-backupdb-0.1.0-3f2a9c0d1e4b.tar.gz).
  type: list
  elements: str
"""

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.lookup import LookupBase
from ansible_collections.vya.backupdb.plugins.module_utils.version import COLLECTION_VERSION

ROOT = Path(__file__).resolve().parents[2]
CONTENT = ("MANIFEST.json", "galaxy.yml", "meta", "playbooks", "plugins", "roles", "requirements.txt")
"""In this order: where the last file is, an archive was unpacked to its end."""


def _files() -> Iterator[Path]:
    for name in CONTENT:
        path = ROOT / name
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in found if file.is_file() and file.suffix != ".pyc")


@cache
def _packed() -> tuple[str, bytes]:
    """The digest of the content, and the archive, which is the same for the same content."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for file in _files():
            entry = tarfile.TarInfo(str(file.relative_to(ROOT)))
            content = file.read_bytes()
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return hashlib.sha256(plain.getvalue()).hexdigest()[:12], gzip.compress(plain.getvalue(), mtime=0)


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **options: Any) -> list[str]:
        digest, content = _packed()
        target = Path(constants.DEFAULT_LOCAL_TMP) / f"vya-backupdb-{COLLECTION_VERSION}-{digest}.tar.gz"
        if not target.exists():
            temporary = target.with_name(f"{target.name}.{os.getpid()}")
            temporary.write_bytes(content)
            temporary.replace(target)
        return [str(target)]
