# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTML that can't be broken by what is put into it."""

from __future__ import annotations

import html
import re

_VOID = {"meta", "input", "line", "polyline", "circle"}
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""What may not stand in a page: control characters, and bytes of file names that are no UTF-8."""


class Html(str):
    """Text that is HTML already. All other text is escaped where it becomes part of HTML."""

    __slots__ = ()


def escaped(text: object) -> Html:
    if isinstance(text, Html):
        return text
    return Html(html.escape(_UNFIT.sub("\ufffd", str(text)), quote=True))


def tag(name: str, /, *content: object, **attributes: object) -> Html:
    """An element. Underscores in the names of attributes stand for hyphens, and one at the end for nothing: ``class_``,
    ``data_sort``. An attribute that is None or False is left out, one that is True has no value."""
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.removesuffix("_").replace("_", "-")
        words.append(f'{key}="{"" if value is True else escaped(value)}"')
    if name in _VOID:
        return Html(f"<{' '.join(words)} />")
    return Html(f"<{' '.join(words)}>{join(*content)}</{name}>")


def join(*content: object) -> Html:
    return Html("".join(escaped(item) for item in content if item is not None))
