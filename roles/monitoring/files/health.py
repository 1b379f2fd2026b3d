# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says as a short JSON whether the databases of this host have the backups that they should have.

Reads the file that the role monitoring keeps up to date, and tells by the clock what became late since. Needs no
library and no rights. Exit status: 0 all is well, 2 something is wrong, 3 nobody knows: no file, or an old one.
"""

import argparse
import json
import sys
from datetime import datetime, timezone
from pathlib import Path

UTC = timezone.utc  # noqa: UP017 - the system's own Python may be older than ours

OK, CRITICAL, UNKNOWN = 0, 2, 3
UNITS = ((2 * 86400, 86400, "days"), (3600, 3600, "h"), (60, 60, "min"), (0, 1, "s"))


def seconds_since(moment, now):
    started = datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return (now - started).total_seconds()


def words(seconds):
    for least, unit, word in UNITS:
        if seconds >= least:
            return f"{int(seconds // unit)} {word}"
    return f"{int(seconds)} s"


def judge(content, max_age):
    """The exit status, and what to print."""
    now = datetime.now(UTC)
    problems = list(content["problems"])
    for entry in content["watched"]:
        age = seconds_since(entry["newest"], now)
        if age > entry["rpo_seconds"]:
            aims = words(entry["rpo_seconds"])
            problems.append(f"{entry['what']}: late: newest is {words(age)} old, the objective is {aims}")
    status = CRITICAL if problems or not content["healthy"] else OK
    age = seconds_since(content["collected"], now)
    if age > max_age:
        status = UNKNOWN
        problems.append(f"Nobody has looked for {words(age)}: run the role monitoring again.")
    told = ("host", "collected", "counts", "free_bytes", "days_until_full")
    return status, {"healthy": status == OK, "problems": problems, **{name: content[name] for name in told}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", default="/var/lib/vya-backupdb/health.json")
    parser.add_argument("--max-age", type=int, default=26 * 3600, help="how old the file may be, in seconds")
    arguments = parser.parse_args()
    try:
        content = json.loads(Path(arguments.file).read_text(encoding="utf-8"))
        status, answer = judge(content, arguments.max_age)
    except (OSError, ValueError, KeyError, TypeError) as error:
        status = UNKNOWN
        reason = error.strerror if isinstance(error, OSError) else "it is damaged"
        answer = {"healthy": False, "problems": [f"{arguments.file} cannot be read: {reason}"]}
    sys.stdout.write(json.dumps(answer) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
