"""What the house plan demands of the tree as a whole: who imports whom, and what every module and role brings along."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
UTILS = ROOT / "plugins" / "module_utils"
MODULES = [path for path in sorted((ROOT / "plugins" / "modules").glob("*.py")) if path.stem != "__init__"]

# Bottom first. A file imports from its own layer and from those below it; redaction is used everywhere.
LAYERS = [
    {"errors", "problems", "version", "mount", "security.redact"},
    {"streams", "stopping", "limit", "commands", "config", "scratch", "audit", "priority", "retention", "parallel"},
    {"engines", "users", "security", "repository"},
    {"operations"},
    {"schedule"},
    {"module", "interpreter"},
]
STRANGERS = {  # same layer, and still none of their business
    "engines": {"repository", "security"},
    "repository": {"engines"},
    "security": {"engines", "repository"},
}


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, in full; our own ones relative to the collection ("plugins.module_utils.errors")."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            names = [".".join((*base, *filter(None, [node.module]), alias.name)) for alias in node.names]
        else:
            continue
        yield from (name.removeprefix("ansible_collections.vya.backupdb.") for name in names)


def place(dotted: str) -> tuple[int, str]:
    """The layer of a library file, and its name there."""
    for height, layer in enumerate(LAYERS):
        for name in layer:
            if f"{dotted}.".startswith(f"{name}."):
                return height, name
    raise AssertionError(f"plugins/module_utils/{dotted}: give it a place in LAYERS")


def library() -> dict[str, Path]:
    files = (path for path in sorted(UTILS.rglob("*.py")) if path.stem != "__init__")
    return {".".join(path.relative_to(UTILS).with_suffix("").parts): path for path in files}


def test_only_two_files_know_ansible() -> None:
    users = {name for name, path in library().items() for used in imports(path) if f"{used}.".startswith("ansible.")}
    assert users == {"module", "interpreter"}


def test_imports_point_down() -> None:
    wrong = []
    for name, path in library().items():
        height, here = place(name)
        for used in imports(path):
            if not used.startswith("plugins."):
                continue
            above, there = place(used.removeprefix("plugins.module_utils."))
            if above > height or there in STRANGERS.get(here, ()):
                wrong.append(f"{name} imports {used}")
    assert not wrong


def test_every_module_is_used_by_a_test_or_a_playbook() -> None:
    folders = [ROOT / "tests" / "integration", ROOT / "roles", ROOT / "playbooks", ROOT / "demo"]
    texts = [path.read_text() for folder in folders for path in folder.rglob("*") if path.suffix in {".py", ".yml"}]
    used = {name for text in texts for name in re.findall(r"vya\.backupdb\.(\w+)", text)}
    unused = {path.stem for path in MODULES} - used
    assert not unused


def plugin(kind: str, name: str) -> Any:
    return importlib.import_module(f"ansible_collections.vya.backupdb.plugins.{kind}.{name}")


def attributes(module: Path) -> dict[str, dict[str, Any]]:
    """The attributes a module documents, with those of its documentation fragments."""
    own = yaml.safe_load(plugin("modules", module.stem).DOCUMENTATION)
    fragments = own.get("extends_documentation_fragment", [])
    found: dict[str, dict[str, Any]] = {}
    for fragment in [fragments] if isinstance(fragments, str) else fragments:
        name, part = (*fragment.removeprefix("vya.backupdb.").split("."), "documentation")[:2]
        shared = getattr(plugin("doc_fragments", name).ModuleDocFragment, part.upper())
        found |= yaml.safe_load(shared).get("attributes", {})
    for name, attribute in own.get("attributes", {}).items():
        found[name] = found.get(name, {}) | attribute
    return found


def test_modules_say_what_they_support() -> None:
    wrong = []
    for module in MODULES:
        said = attributes(module)
        for name in ("check_mode", "diff_mode", "idempotent"):
            attribute = said.get(name, {})
            if attribute.get("support") not in {"full", "partial", "none", "N/A"}:
                wrong.append(f"{module.stem}: {name} has no support")
            if attribute.get("support") == "partial" and not attribute.get("details"):
                wrong.append(f"{module.stem}: {name} is partial, and why is not said")
    assert not wrong


def test_modules_are_in_the_action_group() -> None:
    groups = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]
    missing = {path.stem for path in MODULES} - set(groups["backupdb"])
    assert not missing


def test_the_version_is_that_of_galaxy_yml() -> None:
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    assert galaxy["version"] == plugin("module_utils", "version").COLLECTION_VERSION


def test_role_options_are_documented_with_the_inventory_variable_that_they_come_from() -> None:
    """A default is a template, which a typed ``default`` of an argument spec can't be; so the description names it."""
    wrong = []
    for role in sorted((ROOT / "roles").glob("*/tasks")):
        defaults = yaml.safe_load((role.parent / "defaults" / "main.yml").read_text())
        specs = yaml.safe_load((role.parent / "meta" / "argument_specs.yml").read_text())
        options = specs["argument_specs"]["main"]["options"]
        for name in sorted(defaults.keys() | options.keys()):
            template = re.fullmatch(r"{{ (backupdb_\w+) \| default\((.*)\) }}", str(defaults.get(name)))
            taken_from = options.get(name, {}).get("description", ["nowhere"])[-1]
            if not template or f"Taken from C({template[1]})" not in taken_from:
                wrong.append(f"{role.parent.name}: {name}")
    assert not wrong
