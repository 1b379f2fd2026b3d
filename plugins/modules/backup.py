#!/usr/bin/python
# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backs up the databases of an instance that are due."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup
short_description: Back up the databases of instances
version_added: "0.1.0"
description:
  - Works on one instance or, with neither O(instance) nor O(connection), on all enabled ones of the configuration file.
  - Takes a consistent, compressed and sealed backup of every chosen database that is due, one backup set a database.
  - A set appears in the repository whole or not at all.
  - The failure of one database or instance does not stop the others. The task fails, and returns what it did.
author: The vya.backupdb authors (@vya)
extends_documentation_fragment:
  - vya.backupdb.attributes
  - vya.backupdb.attributes.action_group
  - vya.backupdb.host
  - vya.backupdb.host.instance
attributes:
  check_mode:
    support: full
    details: Connects, decides what is due, and returns RV(planned) with sizes and RV(free_bytes).
  diff_mode:
    support: full
    details: Shows each database that is due, and why.
  idempotent:
    support: partial
    details:
      - With O(max_age), a database whose newest backup is young enough is left alone.
      - Without it, every run takes a backup.
options:
  host:
    description: The name of this host in the repository. Without it, the host name of the system.
    type: str
  databases:
    description:
      - Names or shell patterns of the databases.
      - Without it, what the instance says, or else all that are not the system's.
      - A pattern that matches nothing is a failure.
    type: list
    elements: str
  exclude:
    description: Names or shell patterns of databases to leave out, besides those that the instance leaves out.
    type: list
    elements: str
  max_age:
    description:
      - How old the newest backup of a database may be before the database is due, such as V(24h), V(90m) or V(7d).
      - Without it, every database is due.
    type: str
  jobs:
    description:
      - How many parts are read at a time. Without it, the number of cores, but no more than four.
      - Large databases have all jobs to themselves, one after the other, the largest first. Those under 64 MiB follow
        with one job each, several at a time.
      - Where MySQL or MariaDB dump one large table in pieces, a few parts more are read at the same time.
    type: int
  rate_limit:
    description:
      - How many bytes a second are read from the servers at most, before compression, all jobs together.
      - Without it, as many as they give. 65536 at least.
    type: int
  time_limit:
    description:
      - How long the backups of this task may take, all databases together and with O(verify), such as V(2h) or V(45m).
      - What is not done by then fails with the code V(timed_out). Its programs are ended, nothing of it is kept, and
        the remaining databases are not begun. What was done stays.
    type: str
  nice:
    description: The niceness of the module and of the programs that it starts, 0 to 19.
    type: int
  ionice:
    description:
      - The scheduling class of the module and of the programs that it starts for their use of disks.
      - V(best-effort) is the lowest level of it, V(idle) only has what nobody else wants.
      - Needs the program C(ionice) on the host.
    type: str
    choices: [best-effort, idle]
  progress_file:
    description:
      - A file that does not exist yet, in which the module says how far it is, and that it removes at its end.
      - Ansible sets it itself where it runs in a terminal, and then shows a line a host while the backup runs, such as
        C(db1 shop/appdb 43 % 1.2/2.8 GB 85 MB/s ETA 0:19), unless the variable C(backupdb_progress) is V(false).
    type: path
  stop_after_disconnect:
    description:
      - After so many seconds without a sign of Ansible the backup ends, and leaves nothing behind. 10 at least.
      - Without it, or with V(0), a backup goes on to its end when the controller or its connection is lost.
      - Ansible follows the backup then, and gives a sign at least every quarter of this time. A connection that is lost
        and comes back in time does no harm.
      - In a task with C(async) nobody follows, and the option has no effect.
    type: int
    default: 0
  compression:
    description: The compression. Without it, what the configuration file says, or else V(zstd).
    type: str
    choices: [zstd, gzip, none]
  compression_level:
    description: 1 to 19 for V(zstd), 1 to 9 for V(gzip). Without it, 1 for V(zstd) and 6 for V(gzip).
    type: int
  encrypt:
    description: Whether the parts are sealed with a key of the keyring.
    type: bool
    default: true
  create_keyring:
    description:
      - Make the keyring if there is none. Keep a copy of it in another, safe place.
      - In check mode, nothing is made.
    type: bool
    default: false
  users:
    description:
      - Back up the accounts, roles and grants of the instances, too, where they have changed, as
        M(vya.backupdb.users_backup) does; one task takes less time than two.
      - What is returned about them has no C(database), or an empty one with the C(kind) V(users).
    type: bool
    default: false
  users_exclude:
    description: With O(users), the accounts to leave out, as O(vya.backupdb.users_backup#module:exclude).
    type: list
    elements: str
  verify:
    description: Read every part back, open every frame and unpack it, before the set is published.
    type: bool
    default: false
seealso:
  - module: vya.backupdb.users_backup
  - module: vya.backupdb.restore
  - module: vya.backupdb.backup_info
"""

EXAMPLES = r"""
- name: Back up everything of an instance that has no backup of the last day
  vya.backupdb.backup:
    instance: prod-mysql-01
    max_age: 24h

- name: Back up two databases of a server that is not in the configuration file
  vya.backupdb.backup:
    connection:
      id: shop
      engine: postgresql
      host: db1.example.com
      username: backup
      password: "{{ shop_password }}"
    databases: [orders, "customer_*"]
    repository: /srv/backups
"""

RETURN = r"""
backups:
  description: The backups that were taken, as RV(vya.backupdb.backup_info#module:backups) has them, and why.
  returned: always
  type: list
  elements: dict
  contains:
    reason:
      description: Why the database was due.
      type: str
      sample: newest is 26 h old, max_age is 24 h
    warnings:
      description: What people should know about this backup.
      type: list
      elements: str
      sample: []
failures:
  description: The databases that could not be backed up. Also the patterns that match nothing.
  returned: always
  type: list
  elements: dict
  contains:
    instance:
      description: The C(id) of the instance.
      type: str
      sample: prod-mysql-01
    database:
      description: The database or the pattern. None where the whole instance failed.
      type: str
      sample: crm
    error:
      description: What went wrong, in one sentence.
      type: str
      sample: "mariadb-dump ended with status 2: Got error 1045"
    code:
      description: The stable code of the error.
      type: str
      sample: tool_failed
not_due:
  description: The databases that are not due.
  returned: always
  type: list
  elements: dict
  contains:
    instance:
      description: The C(id) of the instance.
      type: str
      sample: prod-mysql-01
    database:
      description: The database.
      type: str
      sample: crm
    reason:
      description: Why it is not due.
      type: str
      sample: newest is 3 h old, max_age is 24 h
planned:
  description: The databases that were found to be due. In check mode nothing more happens.
  returned: always
  type: list
  elements: dict
  contains:
    instance:
      description: The C(id) of the instance.
      type: str
      sample: prod-mysql-01
    database:
      description: The database.
      type: str
      sample: shop
    reason:
      description: Why it is due.
      type: str
      sample: no backup yet
    size_bytes:
      description: Its size as the server estimates it, in bytes.
      type: int
      sample: 104857600
free_bytes:
  description: Free room on the file system of the repository before the run, in bytes.
  returned: always
  type: int
  sample: 53687091200
"""

from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from typing import Any

from ..module_utils import interpreter

interpreter.require_python()

from ..module_utils.config import Instance
from ..module_utils.limit import TimeLimit
from ..module_utils.module import COMPRESSION_SPEC, INSTANCE_SPEC, JOBS_SPEC, SEAL_SPEC, BackupdbModule
from ..module_utils.operations.backup import Outcome, Wanted, back_up_instances
from ..module_utils.operations.words import size_words
from ..module_utils.priority import IO_CLASSES, Pace, lower_priority
from ..module_utils.repository.catalog import parse_duration
from ..module_utils.security.keyring import Keyring
from ..module_utils.streams import check_compression
from ..module_utils.users.registry import has_users


def result_of(outcome: Outcome, check_mode: bool, created: bool) -> dict:
    def name(entry: dict) -> str:
        database = "@users" if "database" not in entry or entry.get("kind") == "users" else entry["database"]
        return f"{entry['instance']}/{database}" if database else entry["instance"]

    done = {name(entry): f"backed up, {size_words(entry['stored_bytes'])}" for entry in outcome.backups}
    otherwise = "due" if check_mode else "failed"
    failed = [f"{name(entry)}: {entry['error'].rstrip('.')}" for entry in outcome.failures]
    counts = f"{len(outcome.backups)} backed up, {len(outcome.not_due)} not due, {len(outcome.failures)} failed"
    result = {
        "changed": created or bool(outcome.planned if check_mode else outcome.backups),
        "msg": ". ".join([counts, *failed]) + ".",
        "backups": outcome.backups,
        "failures": outcome.failures,
        "not_due": outcome.not_due,
        "planned": outcome.planned,
        "free_bytes": outcome.free_bytes,
        "diff": {
            "before": "".join(f"{name(entry)}: {entry['reason']}\n" for entry in outcome.planned),
            "after": "".join(f"{name(entry)}: {done.get(name(entry), otherwise)}\n" for entry in outcome.planned),
        },
    }
    return {**result, "failed": True, "code": outcome.failures[0]["code"]} if outcome.failures else result


def add_users(
    outcome: Outcome, module: BackupdbModule, instances: list[Instance], keyring: Keyring | None, wanted: Wanted
) -> None:
    """Backs up the accounts, too, of the instances that have any, and adds what was done."""
    having = [instance for instance in instances if has_users(instance)]
    if not having:
        return
    from ..module_utils.operations.maker import SetMaker
    from ..module_utils.operations.users_backup import UsersWanted, back_up_users

    maker = SetMaker(module.repository(), keyring, wanted.method, wanted.level, note=module.note)
    chosen = UsersWanted(wanted.host, module.params["users_exclude"] or [])
    done = back_up_users(having, maker, chosen, module.check_mode, module.login, module.note)
    outcome.planned += done.planned
    outcome.backups += done.backups
    outcome.failures += done.failures
    outcome.not_due += done.not_due


def watched(path: str | None, patience: int) -> AbstractContextManager[Any]:
    """What tells those who watch how far the backup is, or nothing."""
    if path is None and not patience:
        return nullcontext()
    from ..module_utils.operations.progress import Progress, check_patience

    check_patience(patience)
    return closing(Progress(path, patience)) if path else nullcontext()


def main() -> None:
    module = BackupdbModule(
        argument_spec={
            **INSTANCE_SPEC,
            "host": {"type": "str"},
            "databases": {"type": "list", "elements": "str"},
            "exclude": {"type": "list", "elements": "str"},
            "max_age": {"type": "str"},
            **JOBS_SPEC,
            "rate_limit": {"type": "int"},
            "time_limit": {"type": "str"},
            "nice": {"type": "int"},
            "progress_file": {"type": "path"},
            "stop_after_disconnect": {"type": "int", "default": 0},
            "ionice": {"type": "str", "choices": list(IO_CLASSES)},
            **COMPRESSION_SPEC,
            **SEAL_SPEC,
            "users": {"type": "bool", "default": False},
            "users_exclude": {"type": "list", "elements": "str"},
            "verify": {"type": "bool", "default": False},
        },
        mutually_exclusive=[("instance", "connection")],
    )

    def work() -> dict:
        options = module.params
        method, level = module.compression()
        wanted = Wanted(
            host=options["host"] or module.host_name(),
            databases=options["databases"] or None,
            exclude=options["exclude"] or [],
            method=method,
            level=check_compression(method, level),
            max_age=parse_duration(options["max_age"], "max_age") if options["max_age"] else None,
            jobs=module.jobs(),
            verify=options["verify"],
            pace=None if options["rate_limit"] is None else Pace(options["rate_limit"]),
            limit=TimeLimit(parse_duration(options["time_limit"], "time_limit")) if options["time_limit"] else None,
        )
        lower_priority(options["nice"], options["ionice"])
        keyring, created = module.sealing_keyring()
        instances = module.instances()
        with watched(options["progress_file"], options["stop_after_disconnect"]) as progress:
            outcome = back_up_instances(
                instances,
                module.repository(),
                keyring,
                replace(wanted, progress=progress),
                module.check_mode,
                module.login,
                module.note,
            )
        if options["users"]:
            add_users(outcome, module, instances, keyring, wanted)
        return result_of(outcome, module.check_mode, created)

    module.run(work, event="backup")


if __name__ == "__main__":
    main()
