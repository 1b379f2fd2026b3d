#!/usr/bin/python
# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends a message by mail."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mail
short_description: Send a message by mail
version_added: "0.1.0"
description:
  - Hands one message of plain text to a mail server. The role C(notify) sends its notifications with it.
  - Needs no library, and so runs on any controller with Python 3.11.
author: The vya.backupdb authors (@vya)
extends_documentation_fragment:
  - vya.backupdb.attributes
  - vya.backupdb.attributes.action_group
  - vya.backupdb.host
attributes:
  check_mode:
    support: full
    details: Sends nothing, and does not connect to the server.
  diff_mode:
    support: N/A
    details: The module changes nothing on the host.
  idempotent:
    support: none
    details: Every run sends a message.
requirements:
  - python >= 3.11
options:
  server:
    description: Name or address of the mail server.
    type: str
    default: localhost
  port:
    description: Its port. Without it, 25, 587 for O(tls=starttls), 465 for O(tls=tls).
    type: int
  tls:
    description: How the connection is encrypted. V(starttls) fails where the server does not offer it.
    type: str
    choices: [none, starttls, tls]
    default: none
  ca:
    description: File with the certificates of the authorities to trust. Without it, those that the system trusts.
    type: path
  username:
    description: The account to log in with. Needs O(tls), unless the server is on this very host.
    type: str
  password:
    description: Its password.
    type: str
  timeout:
    description: How many seconds to wait for the server.
    type: int
    default: 20
  sender:
    description: The address that the message is from.
    type: str
    required: true
  to:
    description: The addresses that the message is for.
    type: list
    elements: str
    required: true
  subject:
    description: What the message is about.
    type: str
    required: true
  body:
    description: The text of the message.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Tell the team
  vya.backupdb.mail:
    server: mail.example.com
    tls: starttls
    username: backups
    password: "{{ mail_password }}"
    sender: backups@example.com
    to: [dba@example.com]
    subject: The migration is done
    body: "{{ status | vya.backupdb.status_table | join('\n') }}"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
message_id:
  description: What the message is called in the logs of mail servers.
  returned: success
  type: str
  sample: <176407200000.4711.123456789@example.com>
"""

from ..module_utils import interpreter

interpreter.require_python()

from ..module_utils.module import BackupdbModule
from ..module_utils.operations.mail import PORTS, MailServer, compose, send


def main() -> None:
    module = BackupdbModule(
        argument_spec={
            "server": {"type": "str", "default": "localhost"},
            "port": {"type": "int"},
            "tls": {"type": "str", "choices": list(PORTS), "default": "none"},
            "ca": {"type": "path"},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "timeout": {"type": "int", "default": 20},
            "sender": {"type": "str", "required": True},
            "to": {"type": "list", "elements": "str", "required": True},
            "subject": {"type": "str", "required": True},
            "body": {"type": "str", "required": True},
        },
        needs_libraries=False,
    )
    options = module.params

    def work() -> dict:
        message = compose(options["sender"], options["to"], options["subject"], options["body"])
        chosen = {name: options[name] for name in ("port", "tls", "ca", "username", "password", "timeout")}
        if not module.check_mode:
            send(MailServer(options["server"], **chosen), message)
        return {"changed": True, "message_id": message["Message-ID"]}

    module.run(work)


if __name__ == "__main__":
    main()
