#!/usr/bin/python
# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says how every database of a host stands."""

from __future__ import annotations

DOCUMENTATION = r"""
module: status
short_description: Tell of every database whether its backups are as they should be
version_added: "0.1.0"
description:
  - Looks at the instances of a host and at its backups, and returns for every database, including those without any
    backup and those that are no longer on the server, its newest good backup and the age of it against the objective,
    the last verification, holds, sizes and durations over time, and when it is due next.
  - Returns the room of the repository, and how many days are left until it is full.
  - Where asked for, writes the same as metrics for Prometheus and as a short health file.
  - The task does not fail for what is wrong with backups, see RV(healthy).
author: The vya.backupdb authors (@vya)
extends_documentation_fragment:
  - vya.backupdb.attributes
  - vya.backupdb.attributes.action_group
  - vya.backupdb.host
  - vya.backupdb.host.instances
attributes:
  check_mode:
    support: full
    details: Writes no file.
  diff_mode:
    support: none
    details: The files hold figures of the moment.
  idempotent:
    support: full
    details: The files are written anew, and C(changed) is true where there was none before.
options:
  host:
    description: The host under whose name the backups are stored. Without it, the host name of the system.
    type: str
  rpo:
    description:
      - The objective; how old the newest good backup of a database may be, such as V(24h). It counts from the start of
        the backup, since that is the moment that a restore brings back.
      - Without it, only the objectives of O(objectives) count, and other databases just have to have a good backup.
    type: str
  objectives:
    description:
      - Objectives of some instances or databases. A key is a shell pattern of the C(id) of instances, or one of
        instances and databases with a slash between them. A value is a duration as in O(rpo), or empty for none.
      - Of several keys that match, the last counts.
    type: dict
    default: {}
  max_age:
    description: How old a backup may be before the next is due, as the module M(vya.backupdb.backup) is told.
    type: str
  history:
    description: Of how many backups of each database, the newest, to return size and duration.
    type: int
    default: 30
  users:
    description: Whether accounts are backed up, so that a backup of them is missing where there is none.
    type: bool
    default: true
  textfile:
    description:
      - Write the metrics to this file, C(*.prom) in the folder of node exporter's textfile collector. The folder is
        made if it is missing.
    type: path
  health_file:
    description:
      - The health file. Earlier sizes of the repository, from which its growth is known, are read from it.
    type: path
    default: /var/lib/vya-backupdb/health.json
  write_health:
    description: Write O(health_file).
    type: bool
    default: false
  schedule_folder:
    description: Where the role C(schedule) keeps the jobs of the host. A host without such a folder has none.
    type: path
    default: /etc/vya-backupdb/schedule
  schedule_states:
    description: Where these jobs note what became of their runs.
    type: path
    default: /var/lib/vya-backupdb/jobs
seealso:
  - module: vya.backupdb.backup_info
  - module: vya.backupdb.instance_info
"""

EXAMPLES = r"""
- name: How do the databases of this host stand
  vya.backupdb.status:
    rpo: 26h
    objectives:
      prod-pg-01/billing: 1h
      "*/scratch*": ""
  register: status

- name: Fail where something is wrong
  ansible.builtin.assert:
    that: status.healthy
    fail_msg: "{{ status.problems | join(' ') }}"

- name: Keep the metrics and the health file up to date
  vya.backupdb.status:
    rpo: 26h
    textfile: /var/lib/prometheus/node-exporter/vya-backupdb.prom
    write_health: true
"""

RETURN = r"""
host:
  description: The host under whose name the backups are stored.
  returned: success
  type: str
  sample: db1
collected:
  description: When the module looked, ISO 8601 in UTC.
  returned: success
  type: str
  sample: "2026-11-24T06:00:00.000000Z"
healthy:
  description: Whether every instance answers and every database is V(ok), V(excluded) or V(gone).
  returned: success
  type: bool
  sample: false
problems:
  description: What is wrong, one sentence each.
  returned: success
  type: list
  elements: str
  sample: ["prod-pg-01/crm: late: newest is 30 h old, the objective is 26 h"]
counts:
  description: The number of databases, and of users of an instance, in each state.
  returned: success
  type: dict
  sample: {failed: 0, missing: 0, late: 1, unreachable: 0, ok: 12, excluded: 2, gone: 0}
instances:
  description: The instances, as RV(vya.backupdb.instance_info#module:instances).
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The C(id) of the instance.
      type: str
      sample: prod-pg-01
    enabled:
      description: Whether it is switched on. One that is not was not asked.
      type: bool
      sample: true
    reachable:
      description: Whether a login succeeded.
      type: bool
      sample: true
    error:
      description: Why it does not answer, or what is missing to back it up, in one sentence.
      type: str
      sample: null
databases:
  description: One entry a database, and one for the users of each instance that has accounts.
  returned: success
  type: list
  elements: dict
  contains:
    instance:
      description: The C(id) of the instance.
      type: str
      sample: prod-pg-01
    kind:
      description: V(database) or V(users).
      type: str
      sample: database
    database:
      description: The name of the database. Empty for users.
      type: str
      sample: crm
    engine:
      description: The kind of server. Null where nobody knows.
      type: str
      sample: postgresql
    state:
      description:
        - V(failed) if the newest backup is damaged, V(missing) if there is no good backup, V(late) if the newest good
          one is older than the objective, V(unreachable) if it is not, but the instance does not answer, or V(ok).
        - V(excluded) if it is not to be backed up, V(gone) if only the repository has it.
      type: str
      sample: late
    notes:
      description: What there is to say about it.
      type: list
      elements: str
      sample: ["newest is 30 h old, the objective is 26 h"]
    size_bytes:
      description: Its size as the server estimates it, in bytes. Null where that is not known.
      type: int
      sample: 104857600
    newest:
      description: The newest good backup, as an entry of RV(vya.backupdb.backup_info#module:backups). Null without one.
      type: dict
      sample: {id: crm_20261123_000000_full, started: "2026-11-23T00:00:00.000000Z"}
    age_seconds:
      description: How long ago it started.
      type: int
      sample: 108000
    rpo_seconds:
      description: The objective. Null without one, and always for users, which are stored only when they change.
      type: int
      sample: 93600
    next_due:
      description: When the next backup is due, ISO 8601 in UTC. Null without O(max_age).
      type: str
      sample: "2026-11-24T06:00:00.000000Z"
    verified:
      description: The last verification of any of its backups. Null if there was none.
      type: dict
      contains:
        backup:
          description: The C(id) of the backup.
          type: str
          sample: crm_20261123_000000_full
        level:
          description: V(checksum), V(decrypt) or V(restore).
          type: str
          sample: decrypt
        finished:
          description: When it ended, ISO 8601 in UTC.
          type: str
          sample: "2026-11-23T03:00:00.000000Z"
        ok:
          description: Whether the backup was found good.
          type: bool
          sample: true
        code:
          description: The stable code of what was found instead.
          type: str
          sample: null
        error:
          description: What was found instead, in one sentence.
          type: str
          sample: null
    damaged:
      description: The backups that are known to be damaged, by their ids, newest first.
      type: list
      elements: str
      sample: []
    holds:
      description: The backups that are on hold, each with C(backup), C(reason), C(since), C(until) and C(requested_by).
      type: list
      elements: dict
      sample: []
    sets:
      description: Number of its backups.
      type: int
      sample: 14
    stored_bytes:
      description: Stored size of all of them, in bytes.
      type: int
      sample: 293601280
    size_change_percent:
      description: How much larger the newest backup is than the median of those before it. Null where these are few.
      type: int
      sample: 2
    history:
      description: Its newest backups, oldest first, O(history) of them.
      type: list
      elements: dict
      contains:
        id:
          description: The C(id) of the backup.
          type: str
          sample: crm_20261123_000000_full
        started:
          description: When it started, ISO 8601 in UTC.
          type: str
          sample: "2026-11-23T00:00:00.000000Z"
        stored_bytes:
          description: Its stored size, in bytes.
          type: int
          sample: 20971520
        raw_bytes:
          description: Size of the data as the tool gave it, in bytes.
          type: int
          sample: 104857600
        duration_seconds:
          description: How long it took.
          type: float
          sample: 8.21
jobs:
  description: The jobs that the role C(schedule) has set up on the host.
  returned: success
  type: list
  elements: dict
  contains:
    job:
      description: The name of the job.
      type: str
      sample: backup
    result:
      description: V(ok), V(failed), V(missed), V(running), or V(waiting) for its first run.
      type: str
      sample: ok
    words:
      description: What became of its last run.
      type: str
      sample: last run ended 3 h ago
    started:
      description: When the last run began. Null where it never ran.
      type: str
      sample: "2026-11-25T02:00:00Z"
    finished:
      description: When it ended. Null while it runs, and where it was cut off.
      type: str
      sample: "2026-11-25T02:03:11Z"
    exit_status:
      description: How it ended, 0 being well.
      type: int
      sample: 0
    succeeded:
      description: When the last good run ended.
      type: str
      sample: "2026-11-25T02:03:11Z"
    failures:
      description: Number of bad runs since.
      type: int
      sample: 0
repository:
  description: The repository, as far as the backups of this host go.
  returned: success
  type: dict
  contains:
    path:
      description: Its folder.
      type: str
      sample: /var/backups/vya-backupdb
    sets:
      description: Number of backups.
      type: int
      sample: 196
    broken:
      description: Number of folders that look like backups and whose manifest cannot be read.
      type: int
      sample: 0
    stored_bytes:
      description: Stored size of all backups, in bytes.
      type: int
      sample: 4110417920
    total_bytes:
      description: Size of its file system. Null where it cannot be read.
      type: int
      sample: 107374182400
    free_bytes:
      description: Room on its file system.
      type: int
      sample: 53687091200
    growth_bytes_per_day:
      description: How fast it grows. Null where that is not known yet.
      type: int
      sample: 293601280
    growth_basis:
      description:
        - V(samples) if sizes of the last thirty days in O(health_file) tell. What retention removes is taken off.
        - V(sets) if only the backups of the last two weeks do. Then it grows no faster than that.
      type: str
      sample: samples
    days_until_full:
      description: When the room is used up at that rate. Null where nothing grows.
      type: float
      sample: 182.9
    error:
      description: Why the repository cannot be read, in one sentence.
      type: str
      sample: null
    code:
      description: The stable code of that error.
      type: str
      sample: null
"""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from ..module_utils import interpreter

interpreter.require_python()

from ..module_utils.errors import InvalidConfigError
from ..module_utils.module import INSTANCES_SPEC, BackupdbModule
from ..module_utils.operations.health import (
    DEFAULT_HEALTH_FILE,
    health,
    health_text,
    problems,
    publish,
    read_samples,
)
from ..module_utils.operations.metrics import metrics_text
from ..module_utils.operations.objectives import parse_objectives
from ..module_utils.operations.status import StatusWanted, read_status
from ..module_utils.repository.catalog import parse_duration
from ..module_utils.schedule.jobs import SETTINGS, STATES, reports


def main() -> None:
    module = BackupdbModule(
        argument_spec={
            **INSTANCES_SPEC,
            "host": {"type": "str"},
            "rpo": {"type": "str"},
            "objectives": {"type": "dict", "default": {}},
            "max_age": {"type": "str"},
            "history": {"type": "int", "default": 30},
            "users": {"type": "bool", "default": True},
            "textfile": {"type": "path"},
            "health_file": {"type": "path", "default": DEFAULT_HEALTH_FILE},
            "write_health": {"type": "bool", "default": False},
            "schedule_folder": {"type": "path", "default": str(SETTINGS)},
            "schedule_states": {"type": "path", "default": str(STATES)},
        },
        mutually_exclusive=[("instance", "connections")],
    )
    options = module.params

    def wanted() -> StatusWanted:
        if options["history"] < 1:
            raise InvalidConfigError(f"history: {options['history']} is not a positive number.")
        return StatusWanted(
            host=options["host"] or module.host_name(),
            objectives=parse_objectives(options["rpo"], options["objectives"]),
            max_age=parse_duration(options["max_age"], "max_age") if options["max_age"] else None,
            history=options["history"],
            users=options["users"],
        )

    def scheduled() -> list[dict]:
        found = reports(Path(options["schedule_folder"]), Path(options["schedule_states"]))
        return [
            {**asdict(report.state), "job": report.job, "result": report.result, "words": report.words}
            for report in found
        ]

    def work() -> dict:
        now, samples = datetime.now(UTC), read_samples(options["health_file"])
        instances, repository = module.every_instance(), module.repository()
        status = read_status(instances, repository, wanted(), now, samples, module.login, scheduled())
        files = {}
        if options["textfile"]:
            files[options["textfile"]] = metrics_text(status)
        if options["write_health"]:
            files[options["health_file"]] = health_text(health(status, samples, now))
        changed = not all(Path(path).exists() for path in files)
        if not module.check_mode:
            for path, text in files.items():
                publish(path, text)
        return {"changed": changed, **status, "problems": problems(status)}

    module.run(work)


if __name__ == "__main__":
    main()
