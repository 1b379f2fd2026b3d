# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What monitoring reads on a host: one file with the metrics, one with the health. Both are public, and hold no secret.

The health file is kept short. The samples of the repository's size in it are what the growth is known from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from tempfile import mkstemp
from typing import Any

from ..errors import PermissionDeniedError
from .status import HARMLESS, OK, bad_jobs
from .usage import Sample, with_sample

DEFAULT_HEALTH_FILE = "/var/lib/vya-backupdb/health.json"
FOLDER_MODE = 0o755
FILE_MODE = 0o644


def read_samples(path: str) -> list[Sample]:
    """The samples in a health file; none where it is missing or damaged, since they can be taken anew."""
    try:
        samples = json.loads(Path(path).read_text(encoding="utf-8"))["samples"]
        return [(int(moment), int(stored_bytes)) for moment, stored_bytes in samples]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def problems(status: Mapping[str, Any]) -> list[str]:
    """What is wrong, one sentence each: instances first, then databases, then jobs, then the repository."""
    found = [f"{entry['id']}: {entry['error']}" for entry in status["instances"] if entry["enabled"] and entry["error"]]
    for entry in status["databases"]:
        if entry["state"] not in HARMLESS:
            found.append(f"{subject_words(entry)}: {entry['state']}: {'; '.join(entry['notes'])}")
    found += [f"job {entry['job']}: {entry['result']}: {entry['words']}" for entry in bad_jobs(status["jobs"])]
    if status["repository"]["error"]:
        found.append(str(status["repository"]["error"]))
    return found


def subject_words(entry: Mapping[str, Any]) -> str:
    return f"{entry['instance']}/{entry['database']}" if entry["kind"] == "database" else f"{entry['instance']} (users)"


def health(status: Mapping[str, Any], samples: Sequence[Sample], now: datetime) -> dict[str, Any]:
    """The content of the health file. ``watched`` lets a reader tell what became late since."""
    repository = status["repository"]
    if not repository["error"]:
        samples = with_sample(samples, now, repository["stored_bytes"])
    return {
        "host": status["host"],
        "collected": status["collected"],
        "healthy": status["healthy"],
        "counts": status["counts"],
        "problems": problems(status),
        "free_bytes": repository["free_bytes"],
        "days_until_full": repository["days_until_full"],
        "watched": [
            {"what": subject_words(entry), "newest": entry["newest"]["started"], "rpo_seconds": entry["rpo_seconds"]}
            for entry in status["databases"]
            if entry["newest"] and entry["rpo_seconds"] is not None and entry["state"] == OK
        ],
        "samples": samples,
    }


def health_text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1) + "\n"


def publish(path: str, text: str) -> None:
    """Replaces a file that everybody may read, all at once; its name never stands for half a file.

    Raises PermissionDeniedError where it can't be written.
    """
    target = Path(path)
    temporary = None
    try:
        _make_public(target.parent)
        # Neither this account's umask nor a link that somebody laid out matters; collectors read *.prom only.
        descriptor, temporary = mkstemp(prefix=f".{target.name}.", suffix=".new", dir=target.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
            os.fchmod(stream.fileno(), FILE_MODE)
        Path(temporary).replace(target)
    except OSError as error:
        if temporary:
            with suppress(OSError):
                Path(temporary).unlink()
        raise PermissionDeniedError(f"{path} cannot be written: {os.strerror(error.errno or 0)}.") from None


def _make_public(folder: Path) -> None:
    if not folder.is_dir():
        _make_public(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(FOLDER_MODE)
