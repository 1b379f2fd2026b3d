# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things stand in a repository: names that are safe as path elements, set folders, their identifiers."""

from __future__ import annotations

import functools
import hashlib
import re
from datetime import datetime
from urllib.parse import quote

MANIFEST = "manifest.json"
CHECKSUMS = "SHA256SUMS"
PARTS = "parts"
STAGING = ".staging"
LOCK = ".lock"
RECORDS = ".records"
COPYING = ".copying"
"""The lock, in the folder of a host, of whoever copies the host's sets to another repository."""
INCOMING = ".incoming"
"""The folder, in that of a host, in which sets come to be that are copied from elsewhere. No lock over there tells
whether the copying goes on, so it is not in STAGING."""
USERS = "@users"
OF_THE_FILE_SYSTEM = "lost+found"
"""The root of an ext file system has this folder. No name is encoded like that."""
DATE_FORMAT = "%Y-%m-%d"
DATE = re.compile(r"\d{4}-\d\d-\d\d")
STAMP_FORMAT = "%Y%m%d_%H%M%S"
LONGEST_ELEMENT = 160
"""File systems allow 255 bytes; the rest is for what stands around a name in the id of a set."""


def new_name(name: str) -> str:
    """What a file is called that is to take the place of another, until it is whole."""
    return f".{name}.new"


@functools.lru_cache(maxsize=1024)
def encode_element(name: str) -> str:
    """A name as a path element: letters, digits, ``-_.`` stand as they are, all else percent-encoded as UTF-8.

    A leading dot and ``~`` are encoded too, so no name can mean a hidden file, another folder, or a shortened name: one
    that gets longer than LONGEST_ELEMENT is cut there and ends in ``~`` and the start of its SHA-256. Different names
    never give the same element. The real name stands in the manifest.
    """
    raw = name.encode("utf-8", "surrogateescape")  # file names need not be UTF-8
    encoded = quote(raw, safe="").replace("~", "%7E")
    if encoded.startswith("."):
        encoded = "%2E" + encoded[1:]
    if len(encoded) > LONGEST_ELEMENT:
        encoded = f"{encoded[: LONGEST_ELEMENT - 17]}~{hashlib.sha256(raw).hexdigest()[:16]}"
    return encoded or "%"


def set_id(kind: str, database: str, moment: datetime) -> str:
    """The identifier of a set, which is the name of its folder; unique within its host, instance and database."""
    if kind == "users":
        return f"users_{moment.strftime(STAMP_FORMAT)}"
    return f"{encode_element(database)}_{moment.strftime(STAMP_FORMAT)}_full"


def subject_element(kind: str, database: str) -> str:
    """The folder below the instance: the database's, or the one of the instance's users."""
    return USERS if kind == "users" else encode_element(database)
