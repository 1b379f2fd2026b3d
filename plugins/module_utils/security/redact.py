# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes known secrets out of texts that people will read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "********"
SHORTEST = 3
"""A shorter secret is left alone: masking every "a" of a sentence would tell the secret instead of hiding it."""


class Redactor:
    """Masks secrets in every form in which tools and drivers print them: as is, quoted for URLs, JSON, SQL, Python."""

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        forms: set[str] = set()
        for secret in secrets:
            if secret and len(secret) >= SHORTEST:
                forms.update(self._forms(secret))
        self._forms_longest_first = sorted(forms, key=len, reverse=True)

    @staticmethod
    def _forms(secret: str) -> Iterable[str]:
        escaped = secret.replace("\\", "\\\\")
        return (
            secret,
            quote(secret, safe=""),
            quote_plus(secret),
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            repr(secret)[1:-1],
            secret.replace("'", "''"),
            escaped.replace("'", "\\'"),
            escaped.replace(":", "\\:"),
        )

    def __call__(self, text: str) -> str:
        for form in self._forms_longest_first:
            text = text.replace(form, MASK)
        return text
