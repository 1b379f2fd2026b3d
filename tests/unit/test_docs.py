# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documents say is what the code does, as far as a program can tell."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from ansible_collections.vya.backupdb.plugins.module_utils.errors import BackupdbError
from ansible_collections.vya.backupdb.plugins.module_utils.interpreter import TOO_OLD
from ansible_collections.vya.backupdb.plugins.module_utils.repository.manifest import Manifest, PartRecord
from kit.guides import SHELLS, blocks

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("roles/*/README.md"))]
ROLES = sorted(path.parent.parent for path in ROOT.glob("roles/*/meta/argument_specs.yml"))

FIRST_CELL = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)
FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def table(document: str) -> list[str]:
    """What stands in the first column of a document's tables, where that is code."""
    return FIRST_CELL.findall((ROOT / document).read_text())


def codes(error: type[BackupdbError]) -> Iterator[str]:
    yield error.code
    for kind in error.__subclasses__():
        yield from codes(kind)


def test_every_error_code_is_told_once() -> None:
    told = table("docs/error-codes.md")
    assert sorted(told) == sorted({*codes(BackupdbError), TOO_OLD})


def test_every_field_of_a_manifest_is_told() -> None:
    told = table("docs/format.md")
    fields = {field.name for field in dataclasses.fields(Manifest)}
    fields |= {f"parts[].{field.name}" for field in dataclasses.fields(PartRecord)}
    assert not fields - set(told)


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = HEADING.findall(FENCED.sub("", document.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    broken = []
    for link in LINK.findall(FENCED.sub("", document.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        name, _hash, anchor = unquote(link).partition("#")
        target = (document.parent / name) if name else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def test_who_runs_the_commands_of_the_guides_is_told() -> None:
    """A row of docs/testing.md for each document with commands, and files that there are."""
    rows = re.findall(
        r"^\| \[\w+\]\(([^)]+)\) \| (?:`([^`]+)`)? ?\| ?(.*)\|$", (ROOT / "docs" / "testing.md").read_text(), re.M
    )
    with_commands = {path for path in DOCUMENTS if blocks(str(path.relative_to(ROOT)), *SHELLS)}
    assert sorted((ROOT / "docs" / name).resolve() for name, _runner, _rest in rows) == sorted(with_commands)
    runners = [name for _document, runner, rest in rows for name in (runner, *re.findall(r"`(tests/[^`]+)`", rest))]
    assert [name for name in runners if name and not (ROOT / name).is_file()] == []
    word_for_word = [
        (name, runner) for name, runner, rest in rows if runner and not rest.startswith(("all:", "likewise"))
    ]
    assert [name for name, runner in word_for_word if Path(name).name not in (ROOT / runner).read_text()] == []


def test_links_to_other_sites_are_whole() -> None:
    """No test may depend on other sites; but a link that is no address of one is wrong without them, too."""
    wrong = []
    for document in DOCUMENTS:
        text = FENCED.sub("", document.read_text())
        for link in [*LINK.findall(text), *re.findall(r"<([a-z]+:[^>\s]+)>", text)]:
            if re.match(r"[a-z]+:", link):
                address = urlsplit(link)
                name = address.hostname or ""
                if address.scheme != "https" or "." not in name or re.search(r"[^\w\-.]|\.$", name):
                    wrong.append(f"{document.name}: {link}")
    assert wrong == []


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_every_option_of_a_role_is_told(role: Path) -> None:
    options = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text())
    told = re.findall(r"^\| `(\w+)` \| .* \| `(backupdb_\w+)` \|", (role / "README.md").read_text(), re.MULTILINE)
    assert [name for name, _variable in told] == list(options)
    assert [name for name, variable in told if f"{{{{ {variable} | default(" not in defaults[name]] == []
