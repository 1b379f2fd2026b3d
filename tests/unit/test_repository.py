# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The repository: names as path elements, locks, staging, publishing, manifests that others wrote, choosing a set."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock
from urllib.parse import unquote

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.errors import (
    AmbiguousError,
    ChecksumMismatchError,
    LockedError,
    ManifestInvalidError,
    NoSpaceError,
    NotFoundError,
    RepositoryError,
)
from ansible_collections.vya.backupdb.plugins.module_utils.repository import layout
from ansible_collections.vya.backupdb.plugins.module_utils.repository.catalog import (
    Selection,
    choose,
    find,
    newest_first,
)
from ansible_collections.vya.backupdb.plugins.module_utils.repository.local import (
    LocalRepository,
    make_private,
    translated_os_errors,
)
from ansible_collections.vya.backupdb.plugins.module_utils.repository.lock import exclusive, try_lock
from ansible_collections.vya.backupdb.plugins.module_utils.repository.manifest import (
    LATER_FIELDS,
    Manifest,
    digest,
    format_time,
    parse_manifest,
    parse_time,
    read_manifest,
)
from hypothesis import example, given
from hypothesis import strategies as st
from kit.sets import MOMENT, manifest, publish

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=300)
DOTS = [".", "..", "...", ".staging", "../../etc"]
SIGNS = ["@users", "~", "a~b", "a/b", "%2E", "%", "a%b", "*", "[a]?", " ", "a b", "-", "new\nline"]
LONG = ["x" * 255, "x" * 256, "🐘" * 60]
ODD_NAMES = [*DOTS, *SIGNS, *LONG, "X", "ünïcödé", "not UTF-8 \udce9", "2026-11-23", "manifest.json"]
FLOCK = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
input()
"""


@pytest.fixture
def repository(tmp_path: Path) -> LocalRepository:
    made = LocalRepository(str(tmp_path / "not there yet" / "repository"))
    made.prepare()
    return made


def everything(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.name != layout.LOCK}


# Names


def examples(function: Callable[..., None]) -> Callable[..., None]:
    for name in ODD_NAMES:
        function = example(name)(function)
    return function


@examples
@given(NAMES)
def test_a_name_becomes_a_harmless_path_element(name: str) -> None:
    element = layout.encode_element(name)
    assert 0 < len(element.encode()) <= layout.LONGEST_ELEMENT
    assert re.fullmatch(r"[A-Za-z0-9_%~-][A-Za-z0-9_.%~-]*", element)
    assert len(layout.set_id("database", name, MOMENT).encode()) <= 255
    if "~" not in element:
        assert unquote(element, errors="surrogateescape") == name


@given(st.lists(st.one_of(NAMES, st.sampled_from(ODD_NAMES)), min_size=2, max_size=20, unique=True))
def test_different_names_become_different_elements(names: list[str]) -> None:
    assert len({layout.encode_element(name) for name in names}) == len(names)


def test_long_names_that_begin_alike_stay_apart() -> None:
    one, other = layout.encode_element("é" * 200 + "a"), layout.encode_element("é" * 200 + "b")
    assert one != other
    assert one[:140] == other[:140]


def test_no_name_at_all_is_a_path_element_of_its_own() -> None:
    assert layout.encode_element("") == "%"


@given(NAMES)
def test_no_database_is_taken_for_the_users(name: str) -> None:
    assert layout.subject_element("database", name) != layout.USERS
    assert layout.subject_element("users", name) == layout.USERS


def test_ids() -> None:
    assert layout.set_id("database", "shop", MOMENT) == "shop_20261123_020000_full"
    assert layout.set_id("database", "a b", MOMENT) == "a%20b_20261123_020000_full"
    assert layout.set_id("users", "", MOMENT) == "users_20261123_020000"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_set_of_any_name_is_found_again(repository: LocalRepository, name: str) -> None:
    made = publish(repository, database=name, host=name, instance="i")
    assert made.path.relative_to(repository.root).parts[3:] == ("2026-11-23", made.manifest.id)
    for selection in (Selection(), Selection(database=name), Selection(name, "i", name, "database")):
        assert [found.manifest for found in find(repository, selection).backups] == [made.manifest]
    assert find(repository, Selection(database=name + "x")).backups == []
    assert find(repository, Selection(kind="users")).backups == []


# Locks


def test_a_lock_says_who_holds_it(repository: LocalRepository) -> None:
    with (
        repository.lock("db1", "main", "database", "shop", "backup"),
        pytest.raises(
            LockedError,
            match=rf"shop of instance main is locked by backup of process {os.getpid()} on .*, "
            r"since \d{4}-",
        ),  # fmt: skip
        repository.lock("db1", "main", "database", "shop", "restore"),
    ):
        pass
    with repository.lock("db1", "main", "database", "shop", "restore"):
        pass


def test_locks_of_different_databases_do_not_meet(repository: LocalRepository) -> None:
    with (
        repository.lock("db1", "main", "database", "shop", "backup"),
        repository.lock("db1", "main", "database", "crm", "backup"),
        repository.lock("db1", "main", "users", "", "backup"),
        repository.lock("db2", "main", "database", "shop", "backup"),
    ):
        pass


def test_a_lock_goes_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", FLOCK, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match="It is locked by another run"), exclusive(path, "It", "test"):
            pass
        child.kill()
        child.wait()
    with exclusive(path, "It", "test"):
        assert json.loads(path.read_text())["purpose"] == "test"


def test_a_lock_is_had_only_on_the_file_that_stands_there(tmp_path: Path) -> None:
    """Many threads lock, remove and unlock the same path: never two at a time."""
    path, inside, most = tmp_path / "lock", 0, 0

    def contend() -> None:
        nonlocal inside, most
        for _turn in range(200):
            descriptor = try_lock(path)
            if descriptor is None:
                continue
            inside += 1
            most = max(most, inside)
            inside -= 1
            path.unlink()
            os.close(descriptor)

    threads = [threading.Thread(target=contend) for _turn in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


# Staging and publishing


def test_a_set_is_published_whole_and_private(repository: LocalRepository) -> None:
    made = publish(repository)
    assert made.path == repository.root / "db1/main/shop/2026-11-23/shop_20261123_020000_full"
    assert everything(made.path) == {"SHA256SUMS", "manifest.json", "parts", "parts/000-data"}
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=made.path, check=True, capture_output=True)
    for path in [repository.root, *repository.root.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert everything(repository.root / layout.STAGING) == set()
    assert made.digest == digest(made.manifest.to_json())
    assert b"".join(repository.read_chunks(made, made.manifest.parts[0])) == b"data"


def test_a_set_is_never_replaced(repository: LocalRepository) -> None:
    made = publish(repository)
    before = (made.path / "manifest.json").read_bytes()
    with pytest.raises(RepositoryError, match="exists already; a set is never replaced"):
        publish(repository, rows=2)
    assert (made.path / "manifest.json").read_bytes() == before
    assert everything(repository.root / layout.STAGING) == set()


def test_what_fails_is_removed(repository: LocalRepository) -> None:
    def failing() -> Iterator[bytes]:
        yield b"half"
        raise KeyError("the server went away")

    before = everything(repository.root)
    with pytest.raises(KeyError), repository.staging() as staging:
        staging.write_part("000-data", failing())
    assert everything(repository.root) == before


@pytest.mark.parametrize("at", ["write", "fsync", "rename"])
def test_a_failure_of_the_file_system_publishes_nothing(
    repository: LocalRepository, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def full(*_arguments: Any, **_parameters: Any) -> None:
        raise OSError(28, "No space left on device")

    before = everything(repository.root)
    with repository.staging() as staging:
        staging.write_part("000-data", iter([b"data"]))
        if at == "write":
            monkeypatch.setattr(json, "dumps", full)
        elif at == "fsync":
            monkeypatch.setattr(os, "fsync", full)
        else:
            monkeypatch.setattr(Path, "rename", full)
        with pytest.raises(NoSpaceError, match="is full"):
            repository.publish(staging, manifest())
        monkeypatch.undo()
    assert everything(repository.root) - before <= {"db1", "db1/main", "db1/main/shop", "db1/main/shop/2026-11-23"}
    assert find(repository, Selection()).backups == []


def test_a_part_is_written_once(repository: LocalRepository) -> None:
    with repository.staging() as staging:
        staging.write_part("000-data", iter([b"data"]))
        with pytest.raises(RepositoryError, match="File exists"):
            staging.write_part("000-data", iter([b"data"]))


def test_a_full_device_is_told_as_such(tmp_path: Path) -> None:
    with (
        pytest.raises(NoSpaceError, match="Free room"),
        translated_os_errors(tmp_path),
        Path("/dev/full").open("wb", buffering=0) as stream,
    ):
        stream.write(b"data")


def stage_and_wait(root: str, ready: Any) -> None:
    with LocalRepository(root).staging() as staging:
        staging.write_part("000-data", iter([b"data"]))
        ready.set()
        threading.Event().wait()


def test_leftovers_of_dead_runs_go_and_those_of_live_ones_stay(repository: LocalRepository) -> None:
    context = multiprocessing.get_context("fork")
    children = []
    for _turn in range(2):
        ready = context.Event()
        child = context.Process(target=stage_and_wait, args=(str(repository.root), ready), daemon=True)
        child.start()
        assert ready.wait(60)
        children.append(child)
    dead, live = children
    staged = {path.name for path in (repository.root / layout.STAGING).iterdir()}
    assert len(staged) == 4
    assert find(repository, Selection()).backups == []
    dead.kill()
    dead.join()
    with repository.staging() as own:
        assert len(repository.remove_leftovers()) == 1
        assert own.folder.is_dir()
    assert len({path.name for path in (repository.root / layout.STAGING).iterdir()}) == 2
    live.kill()
    live.join()
    repository.prepare()
    assert everything(repository.root / layout.STAGING) == set()


def test_a_staging_folder_without_a_lock_is_a_leftover(repository: LocalRepository) -> None:
    repository.prepare()
    orphan = repository.root / layout.STAGING / "orphan" / layout.PARTS
    orphan.mkdir(parents=True)
    (orphan / "000-x").touch()
    assert repository.remove_leftovers() == ["orphan"]
    assert everything(repository.root / layout.STAGING) == set()


def test_a_repository_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in ("file", "file/below"):
        with pytest.raises(RepositoryError, match="Not a directory"):
            LocalRepository(str(tmp_path / path)).prepare()
    with pytest.raises(RepositoryError, match="No such file"):
        LocalRepository(str(tmp_path / "none")).require()
    assert LocalRepository(str(tmp_path / "none" / "below")).free_bytes() > 0


def test_a_missing_part(repository: LocalRepository) -> None:
    made = publish(repository)
    (made.path / "parts" / "000-data").unlink()
    with pytest.raises(
        ChecksumMismatchError, match=r"Part 000-data of backup shop_2026.* cannot be read: No such file"
    ):
        list(repository.read_chunks(made, made.manifest.parts[0]))


# Manifests


def test_a_manifest_reads_back(repository: LocalRepository) -> None:
    made = publish(repository, encryption={"scheme": "x", "keys": [{"id": "a", "wrapped": "b"}]})
    found, found_digest = read_manifest(made.path / "manifest.json")
    assert found == made.manifest
    assert found_digest == made.digest
    assert found.moment == MOMENT
    summary = found.summary()
    assert (summary["encrypted"], summary["parts"]) == (True, 1)
    assert "seal" not in summary
    assert "wrapped" not in str(summary)


def test_the_digest_covers_all_but_the_seal_and_the_wrapped_keys() -> None:
    value = manifest(encryption={"scheme": "x", "keys": ["k"]}).to_json()
    before = digest(value)
    assert digest({**value, "seal": "other"}) == before
    assert digest({**value, "encryption": {"scheme": "x", "keys": ["other"]}}) == before
    assert digest(dict(reversed(value.items()))) == before
    for name in value.keys() - {"seal", "encryption"}:
        assert digest({**value, name: "edited"}) != before
    assert digest({**value, "encryption": None}) != before
    assert digest({**value, "unknown": 1}) != before
    assert digest({**value, "encryption": {"scheme": "y", "keys": ["k"]}}) != before


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_read_back(moment: datetime) -> None:
    if moment.year >= 1000:
        assert parse_time(format_time(moment)) == moment


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Manifest)])
@pytest.mark.parametrize("edit", ["missing", "wrong"])
def test_a_field_that_is_missing_or_wrong(tmp_path: Path, field: str, edit: str) -> None:
    value = json.loads(json.dumps(manifest().to_json()))
    if edit == "missing" and field in LATER_FIELDS:
        del value[field]
        assert getattr(parse_manifest(value, tmp_path), field) == LATER_FIELDS[field]
        return
    if edit == "missing":
        del value[field]
    else:
        value[field] = object.__name__ if not isinstance(value[field], str) else 5
    with pytest.raises(ManifestInvalidError, match=f"{field} is missing or of the wrong type|is not a manifest"):
        parse_manifest(value, tmp_path)


@pytest.mark.parametrize("number", [0, 2, 99, -1])
def test_an_unknown_format(tmp_path: Path, number: int) -> None:
    with pytest.raises(ManifestInvalidError, match=rf"has format {number}; this version reads format 1. Update"):
        parse_manifest({"format": number, "unheard": "of"}, tmp_path)


@pytest.mark.parametrize("value", [None, [], "text", 5, {}, {"format": "1"}])
def test_what_is_no_manifest(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ManifestInvalidError, match="is not a manifest of a backup set"):
        parse_manifest(value, tmp_path)


@pytest.mark.parametrize(
    "parts",
    [
        [5],
        [{}],
        [{"name": "a"}],
        *(
            [{"name": name, "kind": "k", "raw_bytes": 1, "stored_bytes": 1, "sha256": ""}]
            for name in ("", ".", "..", "../../../etc/shadow", "/etc/shadow", "a\0b", 5)
        ),
        [{"name": "a", "kind": "k", "raw_bytes": "1", "stored_bytes": 1, "sha256": ""}],
        [{"name": "a", "kind": "k", "raw_bytes": 1, "stored_bytes": True, "sha256": ""}],
        [{"name": "a", "kind": "k", "raw_bytes": 1, "stored_bytes": 1, "sha256": None}],
    ],
)
def test_parts_that_are_none_or_lead_elsewhere(tmp_path: Path, parts: Any) -> None:
    with pytest.raises(ManifestInvalidError, match="was altered: "):
        parse_manifest({**manifest().to_json(), "parts": parts}, tmp_path)


@pytest.mark.parametrize(
    "started",
    ["", "yesterday", "2026-11-23", "2026-11-23T02:00:00+01:00", "2026-11-23T02:00:00Z", "2026-11-23 02:00:00.000000Z"],
)
def test_a_time_that_is_none(tmp_path: Path, started: str) -> None:
    with pytest.raises(ManifestInvalidError, match="parts or times"):
        parse_manifest({**manifest().to_json(), "parts": [], "started": started}, tmp_path)


def test_unknown_fields_are_kept_in_the_digest_only(tmp_path: Path) -> None:
    value = {**manifest().to_json(), "parts": [], "from_the_future": True}
    (tmp_path / "manifest.json").write_text(json.dumps(value))
    found, found_digest = read_manifest(tmp_path / "manifest.json")
    assert found == manifest()
    assert found_digest == digest(value) != digest(found.to_json())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not valid JSON"),
        (b'{"format": 1', "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"null", "is not a manifest"),
    ],
)
def test_broken_json(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(ManifestInvalidError, match=words):
        read_manifest(tmp_path / "manifest.json")


def test_a_manifest_that_is_not_there_or_no_file(tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalidError, match="is missing"):
        read_manifest(tmp_path / "manifest.json")
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(ManifestInvalidError, match="cannot be read: Is a directory"):
        read_manifest(tmp_path / "manifest.json")


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.integers(), lambda inner: st.lists(inner)
       | st.dictionaries(st.sampled_from([field.name for field in dataclasses.fields(Manifest)]), inner)))  # fmt: skip
def test_no_value_makes_the_reader_stumble(value: Any) -> None:
    candidates = [value]
    if isinstance(value, dict):
        candidates.append({**manifest().to_json(), "parts": [], **value})
    for candidate in candidates:
        try:
            parse_manifest(candidate, Path("manifest.json"))
        except ManifestInvalidError:
            continue


# Choosing


@pytest.fixture
def stocked(repository: LocalRepository) -> LocalRepository:
    """Three sets of db1/main/shop an hour apart, one each of another database, instance and host, one of users."""
    for hours in range(3):
        publish(repository, MOMENT + timedelta(hours=hours))
    publish(repository, database="crm")
    publish(repository, instance="other")
    publish(repository, host="db2")
    publish(repository, kind="users", database="")
    return repository


def starts(repository: LocalRepository, **selection: Any) -> list[int]:
    found = find(repository, Selection(**selection)).backups
    return [int((backup.manifest.moment - MOMENT).total_seconds() // 3600) for backup in found]


def test_a_selection_is_newest_first(stocked: LocalRepository) -> None:
    shop = {"host": "db1", "instance": "main", "database": "shop"}
    assert starts(stocked, **shop) == [2, 1, 0]
    assert starts(stocked, **shop, before=MOMENT + timedelta(hours=2)) == [1, 0]
    assert starts(stocked, **shop, after=MOMENT) == [2, 1]
    assert starts(stocked, **shop, after=MOMENT, before=MOMENT + timedelta(hours=2)) == [1]
    assert len(starts(stocked)) == 7
    assert len(starts(stocked, database="shop")) == 5
    assert len(starts(stocked, kind="users")) == 1
    assert len(starts(stocked, kind="database")) == 6
    assert starts(stocked, host="none") == []


def test_the_latest_must_be_of_one_database(stocked: LocalRepository) -> None:
    assert choose(stocked, "latest", Selection("db1", "main", "shop")).manifest.moment == MOMENT + timedelta(hours=2)
    with pytest.raises(
        AmbiguousError, match=r"holds backups of more than one database for database shop: db1 / main / "
    ):
        choose(stocked, "latest", Selection(database="shop"))
    with pytest.raises(AmbiguousError, match="for anything"):
        choose(stocked, "latest", Selection())
    with pytest.raises(NotFoundError, match=r"There is no backup of host db1, database none, before 2026-.* UTC in "):
        choose(stocked, "latest", Selection("db1", None, "none", None, MOMENT))


def test_a_set_by_its_id(stocked: LocalRepository) -> None:
    assert choose(stocked, "crm_20261123_020000_full", Selection()).manifest.database == "crm"
    assert choose(stocked, "shop_20261123_020000_full", Selection("db2")).manifest.host == "db2"
    with pytest.raises(AmbiguousError, match=r"3 backups have the id shop_20261123_020000_full: .*db2"):
        choose(stocked, "shop_20261123_020000_full", Selection())
    with pytest.raises(NotFoundError, match=r"no backup shop_x for anything in .* List them with backup_info"):
        choose(stocked, "shop_x", Selection())


def test_broken_sets_are_told_apart(stocked: LocalRepository) -> None:
    newest = choose(stocked, "latest", Selection("db1", "main", "shop"))
    (newest.path / "manifest.json").write_text("{")
    found = find(stocked, Selection("db1", "main", "shop"))
    assert [path for path, _error in found.broken] == [newest.path]
    assert choose(stocked, "latest", Selection("db1", "main", "shop")).manifest.moment == MOMENT + timedelta(hours=1)
    with pytest.raises(ManifestInvalidError, match="not valid JSON"):
        choose(stocked, newest.manifest.id, Selection("db1"))
    for path in (stocked.root / "db1/main/shop").glob("*/*"):
        (path / "manifest.json").unlink()
    with pytest.raises(NotFoundError, match=r"3 damaged set\(s\) there can't be read"):
        choose(stocked, "latest", Selection("db1", "main", "shop"))


def test_files_that_are_no_sets_are_passed_over(stocked: LocalRepository) -> None:
    (stocked.root / "lost+found").mkdir()
    (stocked.root / "README").touch()
    (stocked.root / "db1/main/shop/notes").mkdir()
    (stocked.root / "db1/main/shop/2026-11-23/file").touch()
    shutil.copytree(stocked.root / "db1", stocked.root / layout.STAGING / "copy")
    found = find(stocked, Selection())
    assert (len(found.backups), found.broken) == (7, [])


def test_the_newest_sets_are_read_first_and_no_others(
    repository: LocalRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.prepare()
    hours = [publish(repository, MOMENT - timedelta(hours=hour)) for hour in range(0, 72, 12)]
    publish(repository, MOMENT + timedelta(days=1), database="crm")
    (hours[0].path / layout.MANIFEST).write_text("{")
    read = []
    read_set = LocalRepository.read_set
    monkeypatch.setattr(LocalRepository, "read_set", lambda self, path: read.append(path) or read_set(self, path))
    newest = newest_first(repository, "db1", "main", "database", "shop")
    assert next(newest) == hours[1]
    assert set(read) == {backup.path for backup in hours[:3]}  # 2 h of the last day, 14 h and 2 h of the one before
    assert list(newest) == hours[2:]
    assert list(newest_first(repository, "db1", "main", "database", "none")) == []


def test_many_may_make_the_same_folder_at_once(tmp_path: Path) -> None:
    for turn in range(30):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(make_private, [tmp_path / str(turn) / "a" / "b"] * 8))


def test_a_day_that_is_retired_between_two_looks_is_not_there(
    repository: LocalRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = publish(repository, database="kept")
    folder = publish(repository, database="retired").path.parent
    real = os.scandir

    def scanned(path: Any) -> Any:
        if isinstance(path, int) or Path(path) != folder.parent:
            return real(path)
        with real(path) as entries:
            found = list(entries)
        shutil.rmtree(folder, ignore_errors=True)
        listed = MagicMock()
        listed.__enter__.return_value = iter(found)
        return listed

    monkeypatch.setattr(os, "scandir", scanned)
    found = find(repository, Selection())
    monkeypatch.undo()
    assert (found.backups, found.broken, folder.exists()) == ([kept], [], False)


def test_a_set_that_goes_before_it_is_read_is_not_broken(
    repository: LocalRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = publish(repository)
    real = LocalRepository.read_set

    def read_set(given: LocalRepository, path: Path) -> Any:
        shutil.rmtree(backup.path)
        return real(given, path)

    monkeypatch.setattr(LocalRepository, "read_set", read_set)
    assert list(repository.sets(None, None, None, None)) == []


def test_the_latest_is_none_that_a_wrong_clock_has_put_into_the_future(repository: LocalRepository) -> None:
    now = datetime.now(UTC)
    future = publish(repository, now + timedelta(days=400))
    assert choose(repository, "latest", Selection()) == future
    publish(repository, now - timedelta(days=1))
    newest = publish(repository, now + timedelta(minutes=5))  # the clocks of two hosts
    assert choose(repository, "latest", Selection()) == newest
    assert choose(repository, future.manifest.id, Selection()) == future
