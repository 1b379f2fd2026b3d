"""Who can write to a repository, but has no key, can't make a sealed set mean something else: every edit is seen."""

from __future__ import annotations

import copy
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from ansible_collections.vya.backupdb.plugins.module_utils.errors import (
    BackupdbError,
    ChecksumMismatchError,
    KeyMissingError,
    ManifestInvalidError,
    SealBrokenError,
)
from ansible_collections.vya.backupdb.plugins.module_utils.operations.parts import open_set
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.workshop import Workshop

REFUSED = (ManifestInvalidError, SealBrokenError, ChecksumMismatchError, KeyMissingError)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Two sealed sets of the same keyring."""
    folder = tmp_path_factory.mktemp("sealing")
    (folder / "files").mkdir()
    for name in ("a.db", "b.db"):
        with closing(sqlite3.connect(folder / "files" / name)) as connection:
            connection.execute("CREATE TABLE note (text BLOB)")
            connection.executemany("INSERT INTO note VALUES (randomblob(1000))", [()] * 1000)
            connection.commit()
    shop = Workshop(folder)
    assert len(shop.back_up(Instance(id="files", engine="sqlite", path=str(folder / "files"))).backups) == 2
    return shop


def prove(shop: Workshop, folder: Path) -> None:
    """All that a restore and a verification do before they trust a set."""
    opened = open_set(shop.repository, shop.repository.read_set(folder), shop.keyring)
    opened.check_stored_bytes()
    opened.check_content()


@pytest.fixture
def sets(shop: Workshop, tmp_path: Path) -> tuple[Path, Path]:
    """Copies of the two sets, to be spoilt."""
    first, second = shop.folders()
    copies = tmp_path / "first", tmp_path / "second"
    shutil.copytree(first, copies[0])
    shutil.copytree(second, copies[1])
    return copies


def value_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())


def write(folder: Path, value: Any) -> None:
    (folder / "manifest.json").write_text(json.dumps(value))


def test_what_is_untouched_is_proven(shop: Workshop, sets: tuple[Path, Path]) -> None:
    for folder in sets:
        prove(shop, folder)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value inside a JSON value."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, key)
        if isinstance(item, (dict, list)):
            yield from places(item, (*path, key))


def without_wrapped_keys(value: dict[str, Any]) -> dict[str, Any]:
    """What the seal covers, besides the seal itself."""
    encryption = value.get("encryption")
    return {**value, "encryption": {**encryption, "keys": None}} if isinstance(encryption, dict) else value


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.floats(allow_nan=False)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_no_edit_of_a_manifest_goes_unseen(shop: Workshop, sets: tuple[Path, Path], data: st.DataObject) -> None:
    """Any value, anywhere, replaced by any other, or taken out, or one more put in."""
    original = value_of(shop.folders()[0])
    edited = copy.deepcopy(original)
    *outer, last = data.draw(st.sampled_from(list(places(original))))
    holder = edited
    for key in outer:
        holder = holder[key]
    match data.draw(st.sampled_from(["replace", "remove", "add"])):
        case "replace":
            holder[last] = data.draw(VALUES)
        case "remove":
            del holder[last]
        case "add" if isinstance(holder, dict):
            holder[data.draw(st.text(min_size=1))] = data.draw(VALUES)
        case _:
            holder.append(data.draw(VALUES))
    same = json.dumps(edited, sort_keys=True) == json.dumps(original, sort_keys=True)
    uncovered = without_wrapped_keys(edited) == without_wrapped_keys(original)
    write(sets[0], edited)
    try:
        prove(shop, sets[0])
    except REFUSED:
        assert not same
    else:
        # More wrapped keys than those that open the set change nothing of what the set is.
        assert same or uncovered


def swap_keys(first: Path, second: Path) -> None:
    one, other = value_of(first), value_of(second)
    one["encryption"]["keys"] = other["encryption"]["keys"]
    write(first, one)


def swap_seals(first: Path, second: Path) -> None:
    write(first, {**value_of(first), "seal": value_of(second)["seal"]})


def swap_manifests(first: Path, second: Path) -> None:
    shutil.copy(second / "manifest.json", first)


def swap_parts_between_sets(first: Path, second: Path) -> None:
    shutil.rmtree(first / "parts")
    shutil.copytree(second / "parts", first / "parts")


def whole_other_set_but_one_part(first: Path, second: Path) -> None:
    parts = sorted((second / "parts").iterdir())
    shutil.copy(parts[0], first / "parts" / parts[0].name)


def swap_parts_within_a_set(first: Path, _second: Path) -> None:
    one, other = sorted((first / "parts").iterdir())[:2]
    one.rename(first / "aside")
    other.rename(one)
    (first / "aside").rename(other)


def swap_the_records_along_with_the_parts(first: Path, second: Path) -> None:
    """With hashes that fit, so that only the seal can tell."""
    swap_parts_within_a_set(first, second)
    value = value_of(first)
    one, other = value["parts"][:2]
    one["name"], other["name"] = other["name"], one["name"]
    write(first, value)


def rename_a_part(first: Path, _second: Path) -> None:
    part = min((first / "parts").iterdir())
    part.rename(part.with_name(f"x{part.name}"))


def remove_a_part(first: Path, _second: Path) -> None:
    min((first / "parts").iterdir()).unlink()


def empty_a_part(first: Path, _second: Path) -> None:
    min((first / "parts").iterdir()).write_bytes(b"")


def unseal_on_paper(first: Path, _second: Path) -> None:
    """The manifest says that nothing is sealed, with the checksum of such a set."""
    value = value_of(first)
    value["encryption"] = None
    write(first, value)


@pytest.mark.parametrize(
    "spoil",
    [
        swap_keys,
        swap_seals,
        swap_manifests,
        swap_parts_between_sets,
        whole_other_set_but_one_part,
        swap_parts_within_a_set,
        swap_the_records_along_with_the_parts,
        rename_a_part,
        remove_a_part,
        empty_a_part,
        unseal_on_paper,
    ],
)
def test_no_exchange_goes_unseen(shop: Workshop, sets: tuple[Path, Path], spoil: Callable[[Path, Path], None]) -> None:
    spoil(*sets)
    with pytest.raises(REFUSED):
        prove(shop, sets[0])


def boundaries(stored: bytes) -> Iterator[int]:
    """Where each frame of a sealed part ends."""
    position = 0
    while position < len(stored):
        position += 4 + int.from_bytes(stored[position : position + 4], "big")
        yield position


def test_no_truncation_at_a_boundary_goes_unseen_even_with_a_manifest_that_fits(
    shop: Workshop, sets: tuple[Path, Path]
) -> None:
    """Frames are whole, and length and hash fit: the part's own seal tells, before the manifest's is asked."""
    folder = sets[0]
    part = max((folder / "parts").iterdir(), key=lambda path: path.stat().st_size)
    stored = part.read_bytes()
    ends = list(boundaries(stored))
    assert len(ends) > 2
    opened = open_set(shop.repository, shop.repository.read_set(folder), shop.keyring)
    for end in [0, 1, 4, *ends[:-1], ends[0] + 2, ends[-1] - 1]:
        part.write_bytes(stored[:end])
        with pytest.raises(BackupdbError):
            opened.check_stored_bytes()
        with pytest.raises((SealBrokenError, ChecksumMismatchError)):
            opened.check_content()


def test_the_list_of_checksums_is_for_people_and_proves_nothing(shop: Workshop, sets: tuple[Path, Path]) -> None:
    (sets[0] / "SHA256SUMS").write_text("0" * 64 + "  parts/x\n")
    prove(shop, sets[0])
