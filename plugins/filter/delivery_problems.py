# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who could not be told, without the secrets of the receivers."""

from __future__ import annotations

DOCUMENTATION = r"""
name: delivery_problems
short_description: Say which receivers of a notification could not be told
version_added: "0.1.0"
author: The vya.backupdb authors (@vya)
description:
  - Turns results of M(ansible.builtin.uri) and M(vya.backupdb.mail) over receivers into sentences without addresses of
    webhooks, passwords or headers.
positional: _input
options:
  _input:
    description: The results, as a loop over receivers registers them.
    type: list
    elements: dict
    required: true
  astray:
    description: Receivers to whom nothing was posted, since their C(url) is none.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Say who could not be told
  ansible.builtin.debug:
    msg: "{{ posted.results | vya.backupdb.delivery_problems }}"
"""

RETURN = r"""
_value:
  description: One sentence a receiver that was not told.
  type: list
  elements: str
"""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.vya.backupdb.plugins.module_utils.security.redact import Redactor

TOLD = range(200, 300)


def _name(receiver: Mapping[str, Any]) -> str:
    return str(receiver.get("name") or receiver["type"])


def _problem(result: Mapping[str, Any]) -> str | None:
    if result.get("message_id") or result.get("status") in TOLD or result.get("skipped"):
        return None
    receiver = result["item"]
    address = urlsplit(str(receiver.get("url", "")))
    secrets = [receiver.get("password"), receiver.get("url"), address.path.strip("/"), address.query, address.password]
    secrets += [str(value) for value in (receiver.get("headers") or {}).values()]
    name = _name(receiver)
    if result.get("status", -1) > 0:
        return f"{name}: the receiver answered with HTTP status {result['status']}."
    reason = " ".join(str(result.get("msg", "no reason was given")).split())
    return Redactor(secrets)(f"{name}: {reason}")


def delivery_problems(results: Iterable[Mapping[str, Any]], astray: Iterable[Mapping[str, Any]] = ()) -> list[str]:
    found = [problem for problem in map(_problem, results) if problem]
    return found + [f"{_name(receiver)}: its url is no address of a web server." for receiver in astray]


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"delivery_problems": delivery_problems}
