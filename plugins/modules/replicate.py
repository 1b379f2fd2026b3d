#!/usr/bin/python
# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies backup sets to a repository on another host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: replicate
short_description: Copy backups to a repository on another host
version_added: "0.1.0"
description:
  - Puts every backup set of a host that the other repository does not have yet there, over SFTP, the newest first.
    Needs no key of the keyring. The sets stay sealed.
  - A set appears there whole or not at all. It is built beside its place, compared with its manifest, and renamed.
    What a run that was cut off had sent is not sent again.
  - Sizes are compared always, and SHA-256 where the account may run C(sha256sum) there. Where it may not, the bytes
    are compared with the manifest before they are sent.
  - Nothing is ever removed there. The folder has the layout of a repository, so the modules of this collection work
    on it, M(vya.backupdb.retention), M(vya.backupdb.verify) and M(vya.backupdb.restore) among them.
  - A set that was copied before and is gone there is not sent again, if there is one of the same database as new as
    it. It was retired there then.
  - A set whose manifest has changed since, by a rotation of keys, gets its new manifest there, too. Where the two
    differ by anything else, one of them is damaged. Neither is replaced then, and the set fails with
    V(manifest_invalid).
author: The vya.backupdb authors (@vya)
extends_documentation_fragment:
  - vya.backupdb.attributes
  - vya.backupdb.attributes.action_group
  - vya.backupdb.host
attributes:
  check_mode:
    support: full
    details: Connects, and returns RV(planned).
  diff_mode:
    support: full
    details: Shows each set that is to be copied, and why.
  idempotent:
    support: full
options:
  host:
    description: The name of this host in the repository. Without it, the host name of the system.
    type: str
  to:
    description:
      - The folder on the other host, and how to log in there with the SSH client of this host.
      - Logins are with keys only, and the other host must be known by its key.
    type: dict
    required: true
    suboptions:
      host:
        description: The name or address of the other host.
        type: str
        required: true
      folder:
        description: The folder there, as an absolute path. It must exist.
        type: path
        required: true
      user:
        description: The account there. Without it, what the SSH client takes by itself.
        type: str
      port:
        description: The port of its SSH server. Without it, what the SSH client takes by itself.
        type: int
      identity_file:
        description:
          - The file on this host with the private key, which has no passphrase.
          - Without it, the keys of the account.
        type: path
      known_hosts:
        description: The file on this host with the keys of hosts. Without it, those of the account and of the system.
        type: path
  time_limit:
    description:
      - How long the copying may take, such as V(2h) or V(45m).
      - What is not there by then fails with the code V(timed_out), and is copied by the next run.
    type: str
requirements:
  - The programs C(ssh) and C(sftp) of OpenSSH on the host.
seealso:
  - module: vya.backupdb.backup
  - module: vya.backupdb.retention
"""

EXAMPLES = r"""
- name: Copy the backups of this host to the central store
  vya.backupdb.replicate:
    to:
      host: store.example.com
      user: db1
      folder: /srv/backups/db1
      identity_file: /etc/vya-backupdb/copy_key
      known_hosts: /etc/vya-backupdb/copy_known_hosts
"""

RETURN = r"""
copied:
  description: The sets that were copied, or whose manifest was.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: The C(id) of the set.
      type: str
      sample: shop_20261123_020000_full
    kind:
      description: C(database) or C(users).
      type: str
      sample: database
    instance:
      description: The C(id) of the instance.
      type: str
      sample: prod-mysql-01
    database:
      description: The database.
      type: str
      sample: shop
    stored_bytes:
      description: The size of its parts, in bytes.
      type: int
      sample: 26214400
    reason:
      description: Why it was due.
      type: str
      sample: it is not there yet
    path:
      description: Its folder there.
      type: str
      sample: /srv/backups/db1/db1/prod-mysql-01/shop/2026-11-23/shop_20261123_020000_full
    duration_seconds:
      description: How long it took.
      type: float
      sample: 4.2
failures:
  description: The sets that could not be copied, and those here whose manifest cannot be read.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: The C(id) of the set.
      type: str
      sample: shop_20261123_020000_full
    kind:
      description: C(database) or C(users). None where the manifest cannot be read.
      type: str
      sample: database
    instance:
      description: The C(id) of the instance. None where the manifest cannot be read.
      type: str
      sample: prod-mysql-01
    database:
      description: The database. None where the manifest cannot be read.
      type: str
      sample: shop
    error:
      description: What went wrong, in one sentence.
      type: str
      sample: The file system of db1@store.example.com:/srv/backups/db1 is full. Free room there, then run again.
    code:
      description: The stable code of the error.
      type: str
      sample: no_space
planned:
  description: The sets that were found to be due. In check mode nothing more happens.
  returned: always
  type: list
  elements: dict
  sample:
    - id: shop_20261123_020000_full
      kind: database
      instance: prod-mysql-01
      database: shop
      stored_bytes: 26214400
      reason: it is not there yet
settled:
  description: The number of sets of this host that need no copy, as they are there, or were and were retired there.
  returned: always
  type: int
  sample: 27
to:
  description: Where they were copied to.
  returned: always
  type: str
  sample: db1@store.example.com:/srv/backups/db1
"""

from ..module_utils import interpreter

interpreter.require_python()

from ..module_utils.limit import TimeLimit
from ..module_utils.module import BackupdbModule
from ..module_utils.operations.replicate import Outcome, replicate
from ..module_utils.operations.words import size_words
from ..module_utils.repository.catalog import parse_duration
from ..module_utils.repository.ssh import parse_destination


def result_of(outcome: Outcome, to: str, check_mode: bool) -> dict:
    def name(entry: dict) -> str:
        return f"{entry['instance']}/{entry['database'] or '(users)'}/{entry['id']}"

    done = {name(entry): f"copied, {size_words(entry['stored_bytes'])}" for entry in outcome.copied}
    otherwise = "due" if check_mode else "failed"
    sentences = list(dict.fromkeys(entry["error"].rstrip(".") for entry in outcome.failures))
    counts = f"{len(outcome.copied)} copied to {to}, {outcome.settled} settled, {len(outcome.failures)} failed"
    result = {
        "changed": bool(outcome.planned if check_mode else outcome.copied),
        "msg": ". ".join([counts, *sentences]) + ".",
        "copied": outcome.copied,
        "failures": outcome.failures,
        "planned": outcome.planned,
        "settled": outcome.settled,
        "to": to,
        "diff": {
            "before": "".join(f"{name(entry)}: {entry['reason']}\n" for entry in outcome.planned),
            "after": "".join(f"{name(entry)}: {done.get(name(entry), otherwise)}\n" for entry in outcome.planned),
        },
    }
    return {**result, "failed": True, "code": outcome.failures[0]["code"]} if outcome.failures else result


def main() -> None:
    module = BackupdbModule(
        argument_spec={
            "host": {"type": "str"},
            "to": {
                "type": "dict",
                "required": True,
                "options": {
                    "host": {"type": "str", "required": True},
                    "folder": {"type": "path", "required": True},
                    "user": {"type": "str"},
                    "port": {"type": "int"},
                    "identity_file": {"type": "path"},
                    "known_hosts": {"type": "path"},
                },
            },
            "time_limit": {"type": "str"},
        },
    )

    def work() -> dict:
        host = module.params["host"] or module.host_name()
        to = parse_destination(module.params["to"], "to")
        span = module.params["time_limit"]
        limit = TimeLimit(parse_duration(span, "time_limit")) if span else None
        outcome = replicate(module.repository(), host, to, module.check_mode, limit, module.note)
        return result_of(outcome, str(to), module.check_mode)

    module.run(work, event="copy")


if __name__ == "__main__":
    main()
