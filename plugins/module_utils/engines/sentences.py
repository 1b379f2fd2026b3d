# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What drivers say, made fit for our sentences. Loads no driver."""

from __future__ import annotations

import re

_LIBPQ_ATTEMPT = re.compile(
    r"^(- host: .*?, hostaddr: '.*?': )?(connection (failed|is bad): )?"
    r"connection to server (at|on socket) .*? failed: ((FATAL|ERROR): +)?"
)
_LIBPQ_TELLS_NOTHING = re.compile(r"Is the server running .*\?|Multiple connection attempts failed\..*")


def driver_sentence(original: BaseException) -> str:
    """The server's own words, on one line, without the driver's error number and wrapping, and without a full stop."""
    words = original.args[1] if len(original.args) > 1 and isinstance(original.args[0], int) else original
    # libpq repeats its sentence for every address and for every attempt with and without TLS.
    attempts = (" ".join(_LIBPQ_ATTEMPT.sub("", line.strip()).split()) for line in str(words).splitlines())
    said = ""
    for line in dict.fromkeys(filter(None, attempts)):
        if not _LIBPQ_TELLS_NOTHING.fullmatch(line):
            begins_anew = said and said[-1].isalnum() and line[0].isupper()
            said += f"{'.' if begins_anew else ''} {line}"
    return said.strip().rstrip(".")
