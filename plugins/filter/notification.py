# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A notification as a receiver wants it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: notification
short_description: Make what is posted to a webhook or to a chat
version_added: "0.1.0"
author: The vya.backupdb authors (@vya)
description:
  - For a webhook, the summary of a run with the text for people in it. For Slack, and chats that take the same, a
    message of that text, in which no character of a name can become markup, a link or a mention.
positional: _input
options:
  _input:
    description: A summary, as P(vya.backupdb.run_summary#filter) returns it.
    type: dict
    required: true
  kind:
    description: What the receiver is.
    type: str
    choices: [webhook, slack]
    required: true
  subject:
    description: The subject.
    type: str
    required: true
  text:
    description: The text for people.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Tell a chat
  ansible.builtin.uri:
    url: "{{ chat_url }}"
    method: POST
    body_format: json
    body: "{{ summary | vya.backupdb.notification(kind='slack', subject=summary.title, text='See the log.') }}"
"""

RETURN = r"""
_value:
  description: What to post as JSON.
  type: dict
"""

from collections.abc import Mapping
from typing import Any

LONGEST = 3000
"""Slack cuts a message into pieces at 4,000 characters."""


def _plain(text: str) -> str:
    """Slack's own three escapes, and no end of the block that the text stands in."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("```", "'''")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rpartition(chr(10))[0]}\n…"


def notification(summary: Mapping[str, Any], kind: str, subject: str, text: str) -> dict[str, Any]:
    if kind == "slack":
        return {"text": f"{_plain(subject)}\n```\n{_plain(_cut(text.strip()))}\n```"}
    return {**summary, "subject": subject, "text": text}


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"notification": notification}
