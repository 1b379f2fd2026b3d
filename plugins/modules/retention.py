#!/usr/bin/python
# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes backup sets that are no longer to be kept."""

from __future__ import annotations

DOCUMENTATION = r"""
module: retention
short_description: Remove backups that are no longer to be kept
version_added: "0.1.0"
description:
  - Decides for each database of each instance, and for the users of each instance, which backup sets stay, and removes
    the others. Needs no key.
  - A set stays if at least one rule keeps it. The rules have the names and meanings of C(restic forget).
    Each keeps the newest set of each of the last hours, days, ISO weeks, months or years that have one.
  - Without any rule the module fails. Nothing to keep never means to remove everything.
  - The newest good set of a database stays always, and so do sets on hold. Sets that failed a verification or cannot be
    read take no other set's place.
  - Each option that is not given is taken from the section C(retention) of the configuration file, where it has the
    same name.
  - A set is renamed out of the catalogue first and removed then, so nobody sees half a set. The next run of
    M(vya.backupdb.backup) or of this module finishes what a run that was killed left.
author: The vya.backupdb authors (@vya)
extends_documentation_fragment:
  - vya.backupdb.attributes
  - vya.backupdb.attributes.action_group
  - vya.backupdb.host
attributes:
  check_mode:
    support: full
    details: Decides, and returns what would be removed.
  diff_mode:
    support: full
    details: Shows each set that goes with its size, and each that stays with the reasons.
  idempotent:
    support: full
options:
  host:
    description: Only backups that were stored under the name of this host. Without it, of all hosts in the repository.
    type: str
  instance:
    description: Only backups of the instance with this C(id).
    type: str
  database:
    description: Only backups of this database.
    type: str
  kind:
    description: Only backups of databases, or only backups of users.
    type: str
    choices: [database, users]
  keep_last:
    description: Keep the newest sets, so many. V(-1) keeps all.
    type: int
  keep_within:
    description:
      - Keep all sets that started within this span before the newest one, such as V(48h), V(30d) or V(8w).
      - It is measured from the newest set and not from now, so nothing goes while no backups are taken.
    type: str
  keep_hourly:
    description: Keep the newest set of each of the last so many hours that have one. V(-1) is all hours.
    type: int
  keep_daily:
    description: Keep the newest set of each of the last so many days that have one. V(-1) is all days.
    type: int
  keep_weekly:
    description: Keep the newest set of each of the last so many ISO weeks that have one. V(-1) is all weeks.
    type: int
  keep_monthly:
    description: Keep the newest set of each of the last so many months that have one. V(-1) is all months.
    type: int
  keep_yearly:
    description: Keep the newest set of each of the last so many years that have one. V(-1) is all years.
    type: int
  max_age:
    description:
      - Remove sets that started longer than this before the newest one, even where another rule would keep them.
      - Alone, it keeps all that are younger.
      - O(min_keep) and holds go before it.
    type: str
  keep_safety:
    description:
      - How long the backups stay that a restore took of what it was about to replace. They count for no other rule.
      - Without it, V(14d).
    type: str
  min_keep:
    description: Never leave fewer good sets of a database than this. Without it, V(1), which is also the least.
    type: int
  only_verified:
    description:
      - Count only sets that passed a verification. Sets that were not verified go as soon as a newer one was.
      - While none was verified, nothing goes.
    type: bool
  remove_damaged:
    description:
      - Remove sets whose stored bytes a verification found to be damaged, once there is a newer good one.
      - Without it they stay, as there may be something to be saved in them.
      - A set whose manifest cannot be read is never removed.
    type: bool
  timezone:
    description:
      - The time zone in which hours, days, weeks, months and years begin, such as V(Europe/Berlin). Without it, V(UTC).
      - Others than V(UTC) need the time zone database on the host, which is the package C(tzdata).
    type: str
  unless_configured:
    description:
      - Use the rules that are given here (O(keep_last), O(keep_within), O(keep_hourly), O(keep_daily), O(keep_weekly),
        O(keep_monthly), O(keep_yearly), O(max_age)) only where the configuration file has none.
    type: bool
    default: false
notes:
  - Each option that has to do with what is kept can be given by the environment, too, as C(VYA_BACKUPDB_KEEP_DAILY) and
    so on; O(max_age) as C(VYA_BACKUPDB_RETENTION_MAX_AGE).
seealso:
  - module: vya.backupdb.backup_info
"""

EXAMPLES = r"""
- name: See what would go and what would stay
  vya.backupdb.retention:
    keep_daily: 14
    keep_weekly: 8
    keep_monthly: 12
  check_mode: true
  diff: true

- name: Keep the backups of one database for 30 days, and never fewer than three
  vya.backupdb.retention:
    instance: prod-mysql-01
    database: shop
    max_age: 30d
    min_keep: 3
"""

RETURN = r"""
kept:
  description: The sets that stay, newest first for each database.
  returned: always
  type: list
  elements: dict
  contains:
    host:
      description: The host under whose name the set is stored.
      type: str
      sample: db1
    instance:
      description: The C(id) of the instance.
      type: str
      sample: prod-mysql-01
    kind:
      description: V(database) or V(users).
      type: str
      sample: database
    database:
      description: The database, empty for users.
      type: str
      sample: shop
    id:
      description: The identifier of the set.
      type: str
      sample: shop_20261124_020000_full
    path:
      description: The folder of the set.
      type: str
      sample: /var/backups/vya-backupdb/db1/prod-mysql-01/shop/2026-11-24/shop_20261124_020000_full
    started:
      description: When the backup started, ISO 8601 in UTC. None where the manifest cannot be read.
      type: str
      sample: "2026-11-24T02:00:00.000000Z"
    stored_bytes:
      description: Size of the stored parts, in bytes.
      type: int
      sample: 20971520
    reasons:
      description: Why it stays, each rule that keeps it.
      type: list
      elements: str
      sample: [daily 2026-11-24, weekly 2026-W48]
removed:
  description: The sets that were removed or, in check mode, would be. Newest first for each database.
  returned: always
  type: list
  elements: dict
  contains:
    host:
      description: As in RV(kept).
      type: str
      sample: db1
    instance:
      description: As in RV(kept).
      type: str
      sample: prod-mysql-01
    kind:
      description: As in RV(kept).
      type: str
      sample: database
    database:
      description: As in RV(kept).
      type: str
      sample: shop
    id:
      description: As in RV(kept).
      type: str
      sample: shop_20260101_020000_full
    path:
      description: As in RV(kept).
      type: str
      sample: /var/backups/vya-backupdb/db1/prod-mysql-01/shop/2026-01-01/shop_20260101_020000_full
    started:
      description: As in RV(kept).
      type: str
      sample: "2026-01-01T02:00:00.000000Z"
    stored_bytes:
      description: As in RV(kept).
      type: int
      sample: 20971520
    reason:
      description: Why it goes.
      type: str
      sample: no rule keeps it
freed_bytes:
  description: The stored bytes of all RV(removed), without manifests.
  returned: always
  type: int
  sample: 20971520
postponed:
  description: The databases at which another run is at work. Their sets stay until the next run, which is no failure.
  returned: always
  type: list
  elements: dict
  contains:
    host:
      description: As in RV(kept).
      type: str
      sample: db1
    instance:
      description: As in RV(kept).
      type: str
      sample: prod-mysql-01
    kind:
      description: As in RV(kept).
      type: str
      sample: database
    database:
      description: As in RV(kept).
      type: str
      sample: shop
    reason:
      description: Who is at work.
      type: str
      sample: Database shop of instance prod-mysql-01 is locked by backup of process 4711 on db1.
failures:
  description: What could not be removed.
  returned: always
  type: list
  elements: dict
  contains:
    host:
      description: As in RV(kept).
      type: str
      sample: db1
    instance:
      description: As in RV(kept).
      type: str
      sample: prod-mysql-01
    kind:
      description: As in RV(kept).
      type: str
      sample: database
    database:
      description: As in RV(kept).
      type: str
      sample: shop
    id:
      description: The set. None where it is the whole database.
      type: str
      sample: shop_20260101_020000_full
    error:
      description: What went wrong, in one sentence.
      type: str
      sample: The repository /var/backups/vya-backupdb cannot be used
    code:
      description: The stable code of the error.
      type: str
      sample: repository_unusable
"""

from ..module_utils import interpreter

interpreter.require_python()

from ..module_utils.module import BackupdbModule, from_environment
from ..module_utils.operations.retention import Outcome, retire
from ..module_utils.operations.words import size_words
from ..module_utils.repository.catalog import Selection
from ..module_utils.retention.policy import COUNTS, OPTIONS, RULES, SPANS, SWITCHES, Policy, require_policy

TYPES = {
    **dict.fromkeys((*COUNTS, "min_keep"), "int"),
    **dict.fromkeys((*SPANS, "timezone"), "str"),
    **dict.fromkeys(SWITCHES, "bool"),
}

ENVIRONMENT = {"max_age": "RETENTION_MAX_AGE"}  # the backups' own max_age is another thing


def policy_of(module: BackupdbModule) -> Policy:
    configured = module.config().retention
    left_out = RULES if module.params["unless_configured"] and configured.keys() & set(RULES) else ()
    given = {name: module.params[name] for name in OPTIONS if name not in left_out}
    return require_policy({**configured, **{name: value for name, value in given.items() if value is not None}})


def diff_of(outcome: Outcome) -> dict:
    """A text of our own, as what stays is to be told as well: each set, those of a database together, newest first."""
    entries = [(" ", entry, "; ".join(entry["reasons"])) for entry in outcome.kept]
    entries += [("-", entry, entry["reason"]) for entry in outcome.removed]
    databases: dict[tuple, list[tuple]] = {}
    for line in entries:
        subject = tuple(line[1][name] for name in ("host", "instance", "database"))
        databases.setdefault(subject, []).append(line)
    text = []
    for (host, instance, database), lines in sorted(databases.items()):
        text.append(f"@@ {host}/{instance}/{database or '(users)'}")
        for sign, entry, why in sorted(lines, key=lambda line: line[1]["path"], reverse=True):
            text.append(f"{sign}{entry['id']}, {size_words(entry['stored_bytes'])}: {why}")
    return {"prepared": "".join(f"{line}\n" for line in text)}


def result_of(outcome: Outcome, check_mode: bool) -> dict:
    removed = "would be removed" if check_mode else "removed"
    counts = f"{len(outcome.removed)} {removed} ({size_words(outcome.freed_bytes)}), {len(outcome.kept)} kept"
    sentences = [entry["reason"].rstrip(".") for entry in outcome.postponed]
    sentences += [entry["error"].rstrip(".") for entry in outcome.failures]
    result = {
        "changed": bool(outcome.removed),
        "msg": ". ".join([counts, *sentences]) + ".",
        "kept": outcome.kept,
        "removed": outcome.removed,
        "freed_bytes": outcome.freed_bytes,
        "postponed": outcome.postponed,
        "failures": outcome.failures,
        "diff": diff_of(outcome),
    }
    return {**result, "failed": True, "code": outcome.failures[0]["code"]} if outcome.failures else result


def main() -> None:
    module = BackupdbModule(
        argument_spec={
            "host": {"type": "str"},
            "instance": {"type": "str"},
            "database": {"type": "str"},
            "kind": {"type": "str", "choices": ["database", "users"]},
            **{name: from_environment(ENVIRONMENT.get(name, name.upper()), type=TYPES[name]) for name in OPTIONS},
            "unless_configured": {"type": "bool", "default": False},
        }
    )

    def work() -> dict:
        options = module.params
        selection = Selection(options["host"], options["instance"], options["database"], options["kind"])
        outcome = retire(module.repository(), selection, policy_of(module), module.check_mode, module.note)
        return result_of(outcome, module.check_mode)

    module.run(work, event="retention")


if __name__ == "__main__":
    main()
