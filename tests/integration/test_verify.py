# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verification: what is damaged is found by the level that promises it, what is not is not, and the runs add up."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils import scratch, stopping
from ansible_collections.vya.backupdb.plugins.module_utils.engines.base import Inventory, Table
from ansible_collections.vya.backupdb.plugins.module_utils.errors import (
    BackupdbError,
    ChecksumMismatchError,
    ContentInvalidError,
    KeyMissingError,
    ManifestInvalidError,
    NotFoundError,
    RecordInvalidError,
    RepositoryEmptyError,
    RepositoryError,
    SealBrokenError,
    UnexpectedFileError,
)
from ansible_collections.vya.backupdb.plugins.module_utils.operations.keys import KeysPlace, KeysWanted, change_keys
from ansible_collections.vya.backupdb.plugins.module_utils.operations.maker import Filled, SetMaker, Subject
from ansible_collections.vya.backupdb.plugins.module_utils.operations.parts import PartStore
from ansible_collections.vya.backupdb.plugins.module_utils.operations.proof import Proof
from ansible_collections.vya.backupdb.plugins.module_utils.operations.verify import (
    VerifyOutcome,
    VerifyRun,
    VerifyWanted,
)
from ansible_collections.vya.backupdb.plugins.module_utils.repository.catalog import Selection
from ansible_collections.vya.backupdb.plugins.module_utils.repository.local import BackupSet, LocalRepository
from ansible_collections.vya.backupdb.plugins.module_utils.repository.manifest import PartRecord, manifest_text
from ansible_collections.vya.backupdb.plugins.module_utils.repository.records import (
    CHECKSUM,
    DECRYPT,
    RESTORE,
    Verification,
    change_record,
    read_record,
    record_path,
)
from ansible_collections.vya.backupdb.plugins.module_utils.security.keyring import create_keyring, load_keyring
from kit import sqlite
from kit.sets import publish
from kit.workshop import HOST, Workshop

SEED = 20261125
FOUND = (ManifestInvalidError, ChecksumMismatchError, SealBrokenError, UnexpectedFileError, KeyMissingError)
ACCOUNT = {
    "label": "'app'@'%'", "name": "app", "host": "%", "is_role": False, "authentication": [], "attributes": {},
    "memberships": [], "settings": [], "grants": [], "comment": None,
}  # fmt: skip
ACCOUNTS = {"engine": "mysql", "flavour": "mariadb", "server_version": "10.11", "accounts": [ACCOUNT], "warnings": []}
USERS = {"accounts.json": ("accounts", json.dumps(ACCOUNTS).encode()), "accounts.sql": ("sql", b"-- one account\n")}
FACTS = {"engine": "sqlite", "flavour": "sqlite", "server_version": "3.40", "tool": "t", "tool_version": "1"}


Parts = dict[str, tuple[str, bytes]]


def make_set(
    shop: Workshop, kind: str, parts: Parts, encrypt: bool = True, database: str = "", **facts: Any
) -> BackupSet:
    """A set of parts that there never was a database for; all that is outside its parts is as it should be."""
    keyring = load_keyring(shop.keyring) if encrypt else None

    def fill(store: PartStore) -> Filled:
        records = [store.store_bytes(i, name, *part) for i, (name, part) in enumerate(parts.items())]
        return Filled(records, {**FACTS, **facts})

    shop.repository.prepare()
    return SetMaker(shop.repository, keyring, "zstd", 1).make(Subject(kind, HOST, "made", database), (), fill)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workshop, dict[str, BackupSet]]:
    """A sealed set, one that is not sealed, and one of users; their damage is mended after each test."""
    folder = tmp_path_factory.mktemp("verify")
    (folder / "files").mkdir()
    shop = Workshop(folder)
    for name, encrypt in (("sealed.db", True), ("plain.db", False)):
        sqlite.make(folder / "files" / name, *sqlite.numbers(300))
        shop.back_up_one(sqlite.instance(folder / "files" / name), encrypt=encrypt)
    made = {path.parts[-3]: shop.repository.read_set(path) for path in shop.folders()}
    made["users"] = make_set(shop, "users", USERS, accounts=1)
    return shop, made


SETS = ["sealed.db", "plain.db", "users"]


def prove(shop: Workshop, backup: BackupSet, level: str, keyring: str | None = None) -> Proof:
    proof = Proof(shop.repository, backup, level, keyring or shop.keyring)
    for record in proof.begin():
        proof.prove_part(record)
    return proof


@contextmanager
def replaced(path: Path, content: bytes) -> Iterator[None]:
    before = path.read_bytes()
    path.write_bytes(content)
    yield
    path.write_bytes(before)


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("level", [CHECKSUM, DECRYPT])
def test_what_is_untouched_is_proven(sets: tuple[Workshop, dict[str, BackupSet]], name: str, level: str) -> None:
    shop, made = sets
    assert prove(shop, made[name], level).opened is not None


@pytest.mark.parametrize("name", SETS)
def test_a_flipped_bit_of_the_manifest_is_found(sets: tuple[Workshop, dict[str, BackupSet]], name: str) -> None:
    """By checksum too, but where it makes the set one whose key is not there."""
    shop, made = sets
    chance = random.Random(SEED)
    path = made[name].path / "manifest.json"
    content = path.read_bytes()
    unseen = []
    end_of_seal = content.rindex(b'"') * 8
    bits = [*range(end_of_seal - 24, end_of_seal), *chance.sample(range(len(content) * 8), 300)]
    for bit in bits:
        with replaced(path, flipped(content, bit)):
            try:
                unseen += [(bit, path.read_bytes())] if prove(shop, made[name], CHECKSUM).opened else []
            except FOUND:
                continue
            with pytest.raises(KeyMissingError):
                prove(shop, made[name], DECRYPT)
    assert unseen == []


@pytest.mark.parametrize("name", SETS)
def test_a_flipped_bit_of_the_checksums_is_found(sets: tuple[Workshop, dict[str, BackupSet]], name: str) -> None:
    shop, made = sets
    path = made[name].path / "SHA256SUMS"
    content = path.read_bytes()
    for bit in range(0, len(content) * 8, 13):
        with replaced(path, flipped(content, bit)), pytest.raises(ChecksumMismatchError, match="SHA256SUMS"):
            prove(shop, made[name], CHECKSUM)


def positions(size: int) -> list[int]:
    """Bytes of the head, where lengths and magic numbers stand, of the end, and some in between."""
    chance = random.Random(SEED)
    return sorted({*range(min(size, 24)), *range(max(0, size - 24), size), *chance.choices(range(size), k=24)})


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("level", [CHECKSUM, DECRYPT])
def test_a_flipped_bit_of_a_part_is_found(sets: tuple[Workshop, dict[str, BackupSet]], name: str, level: str) -> None:
    shop, made = sets
    chance = random.Random(SEED)
    for part in made[name].manifest.parts:
        path = made[name].path / "parts" / part.name
        content = path.read_bytes()
        for byte in positions(len(content)):
            bit = byte * 8 + chance.randrange(8)
            with (
                replaced(path, flipped(content, bit)),
                pytest.raises(ChecksumMismatchError, match="the bytes that were"),
            ):
                prove(shop, made[name], level)


def parts_of(folder: Path) -> list[Path]:
    return sorted((folder / "parts").iterdir())


def rewrite(number: int, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Changes the content of a part."""

    def spoil(folder: Path) -> None:
        path = parts_of(folder)[number]
        path.write_bytes(change(path.read_bytes()))

    return spoil


def reformat(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text())))


def swap_parts(folder: Path) -> None:
    first, second = parts_of(folder)[:2]
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def link_part(folder: Path) -> None:
    (part, *_others) = parts_of(folder)
    part.rename(folder.parent / "elsewhere")
    part.symlink_to(folder.parent / "elsewhere")


DAMAGE: dict[str, tuple[Callable[[Path], Any], type[BackupdbError]]] = {
    "truncated": (rewrite(0, lambda content: content[:-1]), ChecksumMismatchError),
    "emptied": (rewrite(-1, lambda content: b""), ChecksumMismatchError),
    "zeroed": (rewrite(0, lambda content: bytes(len(content))), ChecksumMismatchError),
    "grown": (rewrite(0, lambda content: content + b"\0"), ChecksumMismatchError),
    "swapped": (swap_parts, ChecksumMismatchError),
    "part gone": (lambda folder: parts_of(folder)[0].unlink(), ChecksumMismatchError),
    "parts gone": (lambda folder: shutil.rmtree(folder / "parts"), ChecksumMismatchError),
    "checksums gone": (lambda folder: (folder / "SHA256SUMS").unlink(), ChecksumMismatchError),
    "manifest gone": (lambda folder: (folder / "manifest.json").unlink(), ManifestInvalidError),
    "manifest emptied": (lambda folder: (folder / "manifest.json").write_bytes(b""), ManifestInvalidError),
    "reformatted": (reformat, ManifestInvalidError),
    "another file": (lambda folder: (folder / "notes.txt").write_text("mine"), UnexpectedFileError),
    "another part": (lambda folder: (folder / "parts" / "999-x").write_text("mine"), UnexpectedFileError),
    "another folder": (lambda folder: (folder / "parts" / "x").mkdir(), UnexpectedFileError),
    "a link": (link_part, UnexpectedFileError),
}


@pytest.fixture
def copy(sets: tuple[Workshop, dict[str, BackupSet]], request: pytest.FixtureRequest) -> Iterator[BackupSet]:
    """A set to be spoilt; the whole one comes back afterwards."""
    backup = sets[1][request.param]
    aside = backup.path.with_name("aside")
    shutil.copytree(backup.path, aside)
    yield backup
    shutil.rmtree(backup.path)
    aside.rename(backup.path)


@pytest.mark.parametrize("copy", SETS, indirect=True)
@pytest.mark.parametrize("level", [CHECKSUM, DECRYPT])
@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_found(sets: tuple[Workshop, dict[str, BackupSet]], copy: BackupSet, level: str, what: str) -> None:
    spoil, error = DAMAGE[what]
    spoil(copy.path)
    with pytest.raises(error, match=r"^(?!This is a bug)"):
        prove(sets[0], copy, level)


def test_a_set_in_the_place_of_another_is_found(sets: tuple[Workshop, dict[str, BackupSet]]) -> None:
    """Copied as a whole, every byte of it is right, and it is still not the backup of that database."""
    shop, made = sets
    place = shop.root / HOST / "files" / "other.db" / made["sealed.db"].path.parent.name / made["sealed.db"].manifest.id
    shutil.copytree(made["sealed.db"].path, place)
    with pytest.raises(ManifestInvalidError, match="belongs to"):
        prove(shop, shop.repository.read_set(place), CHECKSUM)
    shutil.rmtree(shop.root / HOST / "files" / "other.db")


def test_what_a_rotation_writes_at_this_moment_is_no_damage(sets: tuple[Workshop, dict[str, BackupSet]]) -> None:
    shop, made = sets
    half = made["sealed.db"].path / ".manifest.json.new"
    half.write_text("{")
    prove(shop, made["sealed.db"], CHECKSUM)
    half.unlink()


def inventory(**changes: Any) -> tuple[str, bytes]:
    facts = Inventory(tables=[Table("", "t", 5)], schema_sha256="0" * 64)
    return "inventory", json.dumps({**facts.to_json(), **changes}).encode()


PAGE = b"SQLite format 3\0" + (512).to_bytes(2, "big") + bytes(10) + (1).to_bytes(4, "big") + bytes(480)
COUNTS = {"tables": 1, "rows": 5, "schema_sha256": "0" * 64}
SCRIPT = b"/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;\n\n"
HOLLOW: dict[str, tuple[str, Parts, dict[str, Any], str]] = {
    "rows": ("database", {"inventory.json": inventory()}, {**COUNTS, "rows": 6}, "about rows"),
    "views": ("database", {"inventory.json": inventory(views=2)}, COUNTS, "about views"),
    "no inventory in it": ("database", {"inventory.json": ("inventory", b"[]")}, COUNTS, "not the JSON"),
    "cut inventory": ("database", {"inventory.json": ("inventory", b'{"tables')}, COUNTS, "not the JSON"),
    "sqlite": ("database", {"d": ("file", b"x" * 512)}, COUNTS, "no SQLite database"),
    "short sqlite": ("database", {"d": ("file", PAGE[:-1])}, COUNTS, "its header speaks of 512"),
    "archive": ("database", {"d": ("archive", b"PGDMP")}, {"engine": "postgresql"}, "no archive"),
    "copy": ("database", {"d": ("copy", b"1\t2\n3")}, {"engine": "postgresql"}, "middle of a row"),
    "schema": ("database", {"d": ("schema", b"CREATE TABLE t (")}, {"engine": "mysql"}, "middle of the script"),
    "data": ("database", {"d": ("data", SCRIPT + b"INSERT INTO")}, {"engine": "mysql"}, "middle of the script"),
    "accounts": ("users", USERS, {"accounts": 2}, "about accounts"),
    "no accounts": ("users", {"a": ("accounts", b"{}")}, {"accounts": 1}, "not the JSON"),
    "cut statements": ("users", {**USERS, "accounts.sql": ("sql", b"CREATE US")}, {"accounts": 1}, "middle of a line"),
}


@pytest.mark.parametrize("what", HOLLOW)
def test_parts_that_do_not_hold_what_they_should_are_found_by_decrypt(tmp_path: Path, what: str) -> None:
    """Stored and sealed well, and still not what a backup is."""
    kind, parts, facts, sentence = HOLLOW[what]
    shop = Workshop(tmp_path)
    backup = make_set(shop, kind, parts, database="d", **facts)
    prove(shop, backup, CHECKSUM)
    with pytest.raises(ContentInvalidError, match=sentence):
        prove(shop, backup, DECRYPT)


def test_parts_that_hold_what_they_should_are_no_damage(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    rest = {"inventory.json": inventory()}
    for name, engine, parts in (
        ("s", "sqlite", {"d": ("file", PAGE)}),
        ("e", "sqlite", {"d": ("file", b"")}),
        ("p", "postgresql", {"d": ("archive", b"PGDMP\1\x0e\0\4\x08\1"), "c": ("copy", b"1\n"), "e": ("copy", b"")}),
        ("m", "mysql", {"d": ("schema", SCRIPT), "e": ("objects", SCRIPT)}),
    ):
        prove(
            shop, make_set(shop, "database", {**parts, **rest}, database=name, **{**COUNTS, "engine": engine}), DECRYPT
        )


def test_an_engine_of_a_later_version_is_no_damage(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    make_set(shop, "database", {"d": ("file", b"x")}, database="d", engine="oracle")
    assert len(verify(shop, CHECKSUM).verified) == 1
    assert [entry["code"] for entry in verify(shop, DECRYPT).failures] == ["invalid_config"]
    assert [entry["code"] for entry in verify(shop, RESTORE).failures] == ["invalid_config"]


# Runs


class Clock:
    """Says what time it is, as it was told."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 25, 3, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """Four sealed sets of as many databases, made one after the other."""
    (tmp_path / "files").mkdir()
    shop = Workshop(tmp_path)
    for name in "abcd":
        sqlite.make(tmp_path / "files" / f"{name}.db", *sqlite.numbers(50))
    assert len(shop.back_up(sqlite.instance(tmp_path / "files"), jobs=1).backups) == 4
    return shop


def verify(
    shop: Workshop, level: str = CHECKSUM, check: bool = False, now: Clock | None = None, **wanted: Any
) -> VerifyOutcome:
    options = VerifyWanted(level=level, **{"selection": Selection(), "jobs": 4, **wanted})
    return VerifyRun(shop.repository, shop.keyring, options, now=now or Clock()).run(check)


def names(entries: list[dict[str, Any]]) -> list[str]:
    return sorted(entry["database"] or entry["id"] for entry in entries)


def test_one_bad_set_stops_no_other_and_all_is_recorded(shop: Workshop) -> None:
    bad, *good = (shop.repository.read_set(path) for path in shop.folders())
    parts_of(bad.path)[0].write_bytes(b"")
    outcome = verify(shop, DECRYPT)
    assert names(outcome.verified) == ["b.db", "c.db", "d.db"]
    (failure,) = outcome.failures
    assert (failure["id"], failure["database"], failure["code"]) == (bad.manifest.id, "a.db", "checksum_mismatch")
    assert (failure["path"], "has 0 bytes" in failure["error"]) == (str(bad.path), True)
    for backup in good:
        assert read_record(backup).proven(DECRYPT) is not None
    last = read_record(bad).last_verification
    assert last is not None
    assert (last.ok, last.code, last.error) == (False, "checksum_mismatch", failure["error"])


def test_without_keep_going_nothing_begins_after_a_failure(shop: Workshop) -> None:
    newest = verify(shop, check=True).planned[0]
    shutil.rmtree(Path(newest["path"]) / "parts")
    outcome = verify(shop, keep_going=False, jobs=1)
    assert (names(outcome.failures), outcome.verified, len(outcome.not_due)) == ([newest["database"]], [], 3)


def test_a_set_without_a_manifest_fails_beside_the_others(shop: Workshop) -> None:
    (shop.folders()[0] / "manifest.json").unlink()
    outcome = verify(shop)
    assert [(entry["code"], len(outcome.verified)) for entry in outcome.failures] == [("manifest_invalid", 3)]
    assert [stray["kind"] for stray in outcome.strays] == ["no_manifest"]


def test_a_key_that_is_not_there_is_told_and_harms_no_record(shop: Workshop, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    create_keyring(str(other))
    for keyring in (str(other), str(tmp_path / "none.json")):
        wanted = VerifyWanted(Selection(), DECRYPT)
        outcome = VerifyRun(shop.repository, keyring, wanted).run()
        assert [entry["code"] for entry in outcome.failures] == ["key_missing"] * 4
        assert all(read_record(shop.repository.read_set(path)).verifications == () for path in shop.folders())
        outcome = VerifyRun(shop.repository, keyring, VerifyWanted(Selection(), CHECKSUM)).run()
        assert [entry["seal_checked"] for entry in outcome.verified] == [False] * 4
        for path in shop.folders():
            record_path(path).unlink()
    assert [entry["seal_checked"] for entry in verify(shop).verified] == [True] * 4


def test_a_rotation_of_keys_is_no_damage(shop: Workshop, tmp_path: Path) -> None:
    place = KeysPlace(shop.keyring, str(tmp_path / "credentials.json"), HOST, shop.repository)
    assert change_keys(place, KeysWanted(rotate=True))["rewrapped"] == 4
    assert [entry["seal_checked"] for entry in verify(shop, DECRYPT).verified] == [True] * 4


def test_max_age_asks_for_the_level(shop: Workshop) -> None:
    clock, week = Clock(), timedelta(days=7)
    assert len(verify(shop, CHECKSUM, now=clock, max_age=week).verified) == 4
    outcome = verify(shop, CHECKSUM, now=clock, max_age=week)
    assert (outcome.planned, {entry["reason"] for entry in outcome.not_due}) == (
        [],
        {"last verified 0 s ago, max_age is 7 days"},
    )
    outcome = verify(shop, DECRYPT, now=clock, max_age=week)
    assert {entry["reason"] for entry in outcome.planned} == {"not verified at level decrypt yet"}
    clock.now += timedelta(days=8)
    assert len(verify(shop, CHECKSUM, now=clock, max_age=week, check=True).planned) == 4
    clock.now -= timedelta(days=10)
    outcome = verify(shop, CHECKSUM, now=clock, max_age=week, check=True)
    assert {entry["reason"] for entry in outcome.planned} == {
        "the last verification is 2 days in the future, the clock was set back"
    }


def test_a_set_that_failed_is_due_again_until_it_is_mended(shop: Workshop) -> None:
    path = parts_of(shop.folders()[0])[0]
    with replaced(path, b""):
        assert len(verify(shop, max_age=timedelta(days=7)).failures) == 1
        outcome = verify(shop, max_age=timedelta(days=7))
        assert [entry["reason"] for entry in outcome.planned] == ["the last verification failed: checksum_mismatch"]
        assert names(outcome.failures) == ["a.db"]
    assert names(verify(shop, max_age=timedelta(days=7)).verified) == ["a.db"]
    assert verify(shop, max_age=timedelta(days=7)).planned == []


def test_limits_leave_the_rest_to_the_next_run(shop: Workshop) -> None:
    size = shop.repository.read_set(shop.folders()[0]).manifest.stored_bytes
    outcome = verify(shop, limit_bytes=2 * size + 50)
    assert (len(outcome.verified), len(outcome.not_due)) == (2, 2)
    assert {entry["reason"].partition(" ")[0] for entry in outcome.not_due} == {"limit_bytes"}
    clock = Clock()
    clock.now += timedelta(hours=1)
    rest = verify(shop, limit_bytes=2 * size + 50, now=clock)
    assert names(rest.verified) == names(outcome.not_due)
    assert len(verify(shop, limit_bytes=1).verified) == 1
    outcome = verify(shop, limit_seconds=0.0001, jobs=1)
    assert (len(outcome.verified), len(outcome.not_due)) == (1, 3)
    assert outcome.not_due[0]["reason"] == "limit_seconds (0.0001) leaves it to the next run"


def test_check_mode_plans_and_writes_nothing(shop: Workshop) -> None:
    before = sorted(str(path) for path in shop.root.rglob("*"))
    outcome = verify(shop, DECRYPT, check=True)
    assert (names(outcome.planned), outcome.verified) == (["a.db", "b.db", "c.db", "d.db"], [])
    assert sorted(str(path) for path in shop.root.rglob("*")) == before


def test_one_set_or_the_newest_of_each(shop: Workshop) -> None:
    shop.back_up(sqlite.instance(shop.root.parent / "files", "files"))
    outcome = verify(shop, check=True, backup="latest")
    newest = sorted({path.parts[-3]: path.name for path in shop.folders()}.values())
    assert (len(shop.folders()), sorted(entry["id"] for entry in outcome.planned)) == (8, newest)
    outcome = verify(shop, backup=newest[0])
    assert [entry["id"] for entry in outcome.verified] == [newest[0]]
    with pytest.raises(NotFoundError, match="no backup nothing"):
        verify(shop, backup="nothing")
    with pytest.raises(NotFoundError, match="no backup of host db9"):
        verify(shop, selection=Selection(host="db9"))


def test_a_set_that_goes_meanwhile_is_no_failure(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = shop.folders()[0]
    begin = Proof.begin

    def lose(proof: Proof) -> Any:
        if proof.backup.path == gone:
            shutil.rmtree(gone)
        return begin(proof)

    monkeypatch.setattr(Proof, "begin", lose)
    outcome = verify(shop)
    assert (outcome.failures, [entry["reason"] for entry in outcome.not_due]) == ([], ["it was removed meanwhile"])
    assert len(outcome.verified) == 3


def test_a_damaged_record_is_a_failure_of_its_own(shop: Workshop) -> None:
    verify(shop)
    record_path(shop.folders()[0]).write_text("{")
    outcome = verify(shop, max_age=timedelta(days=7))
    assert [entry["code"] for entry in outcome.failures] == [RecordInvalidError.code]
    assert len(outcome.not_due) == 3


def test_runs_at_the_same_time_do_not_disturb_each_other(shop: Workshop) -> None:
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda _: verify(shop, DECRYPT, jobs=3), range(4)))
    assert [(len(outcome.verified), outcome.failures) for outcome in outcomes] == [(4, [])] * 4
    assert {len(read_record(shop.repository.read_set(path)).verifications) for path in shop.folders()} == {4}


def test_a_repository_is_covered_once_a_week_by_nightly_runs(tmp_path: Path) -> None:
    """Three new sets a day, eighteen verified a night: after a week no proof is older than a week."""
    repository = LocalRepository(str(tmp_path))
    repository.prepare()
    clock, week = Clock(), timedelta(days=7)
    clock.now = datetime(2026, 11, 1, 3, tzinfo=UTC)

    def back_up(count: int) -> None:
        for number in range(count):
            publish(repository, clock.now - timedelta(minutes=30 * (number + 1)))

    back_up(40)
    oldest = timedelta(0)
    for night in range(15):
        if night:
            back_up(3)
        wanted = VerifyWanted(Selection(), CHECKSUM, max_age=week, limit_bytes=4 * 18, orphans=False)
        outcome = VerifyRun(repository, "", wanted, now=clock).run()
        assert outcome.failures == [] == [entry for entry in outcome.verified if entry["level"] != CHECKSUM]
        if night >= 7:
            records = [read_record(backup).proven() for backup in all_sets(repository)]
            ages = [clock.now - finished_of(record) for record in records if record is not None]
            assert len(ages) == len(records)
            oldest = max(oldest, *ages)
        clock.now += timedelta(days=1)
    assert timedelta(days=5) < oldest <= week


def all_sets(repository: LocalRepository) -> list[BackupSet]:
    return [entry for entry in repository.sets(None, None, None, None) if isinstance(entry, BackupSet)]


def finished_of(verification: Verification) -> datetime:
    return datetime.fromisoformat(verification.finished)


def test_never_verified_goes_before_long_ago(shop: Workshop) -> None:
    first, second, *_others = (shop.repository.read_set(path) for path in shop.folders())
    for backup, day in ((first, 20), (second, 10)):
        done = Verification(CHECKSUM, f"2026-11-{day}T00:00:00.000000Z", True, 1, 0.1)
        change_record(shop.repository, backup, lambda record, done=done: record.with_verification(done))
    assert [entry["database"] for entry in verify(shop, check=True).planned] == ["d.db", "c.db", "b.db", "a.db"]


# What is not there, and what should not be


def test_an_empty_repository_is_an_error(shop: Workshop, tmp_path: Path) -> None:
    for path in shop.root.iterdir():
        shutil.rmtree(path)
    with pytest.raises(RepositoryEmptyError, match="mount that"):
        verify(shop)
    shutil.rmtree(shop.root)
    with pytest.raises(RepositoryError, match="Check that it is mounted"):
        verify(shop)


def test_strays_are_told(shop: Workshop) -> None:
    verify(shop)
    assert verify(shop, check=True).strays == []
    folders = shop.folders()
    day, subject = folders[0].parent, folders[0].parent.parent
    (shop.root / "core").write_text("x")
    (shop.root / "lost+found" / "#123").mkdir(parents=True)
    (subject / "dump.sql").write_text("x")
    (day / "x").write_text("x")
    (day / "half").mkdir()
    (folders[1] / "notes").write_text("x")
    parts_of(folders[2])[0].unlink()
    shutil.rmtree(folders[3])
    dead = shop.root / ".staging" / "0123456789abcdef"
    (dead / "parts").mkdir(parents=True)
    with shop.repository.staging():
        found = {(stray["kind"], Path(stray["path"]).name) for stray in verify(shop, check=True).strays}
    assert found == {
        ("unknown", "core"),
        ("unknown", "dump.sql"),
        ("unknown", "x"),
        ("no_manifest", "half"),
        ("unknown", "notes"),
        ("missing_part", folders[2].name),
        ("record", f"{folders[3].name}.json"),
        ("staging", dead.name),
    }
    publish(shop.repository, host="db2", instance="files")
    other = verify(shop, check=True, selection=Selection(host="db2", instance="files")).strays
    assert {Path(stray["path"]).name for stray in other} == {"core", dead.name}
    assert verify(shop, check=True, orphans=False).strays == []


def test_a_verification_that_is_ended_says_nothing_of_the_sets(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Proof.prove_part

    def ended(proof: Proof, record: PartRecord) -> None:
        monkeypatch.setattr(stopping, "_reasons", ["The work was ended by SIGTERM."])
        real(proof, record)

    monkeypatch.setattr(Proof, "prove_part", ended)
    outcome = verify(shop, DECRYPT)
    assert {entry["code"] for entry in outcome.failures} == {"interrupted"}
    assert outcome.verified == []
    monkeypatch.undo()
    assert [read_record(shop.repository.read_set(path)).verifications for path in shop.folders()] == [()] * len(
        shop.folders()
    )


def test_what_is_not_sealed_has_no_seal_that_was_checked(sets: tuple[Workshop, dict[str, BackupSet]]) -> None:
    shop, _made = sets
    checked = {entry["database"]: entry["seal_checked"] for entry in verify(shop, DECRYPT).verified}
    assert (checked["sealed.db"], checked["plain.db"]) == (True, False)


def test_a_sealed_set_that_names_no_key_is_no_good_set(sets: tuple[Workshop, dict[str, BackupSet]]) -> None:
    shop, made = sets
    path = made["sealed.db"].path / "manifest.json"
    value = json.loads(path.read_text())
    value["encryption"]["keys"] = []
    with replaced(path, manifest_text(value).encode()), pytest.raises(ManifestInvalidError, match="names no key"):
        prove(shop, shop.repository.read_set(path.parent), CHECKSUM)


# Restores of SQLite, which take no server


def test_a_restore_leaves_nothing(shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    left = tmp_path / "scratch" / "vya_verify_0123456789ab"
    left.mkdir()
    (left / "copy.db").write_text("of a run that was killed")
    (memory := tmp_path / "memory").mkdir()
    monkeypatch.setattr(scratch, "MEMORY_FOLDER", memory)
    outcome = verify(shop, RESTORE)
    assert {(entry["level"], entry["rows"]) for entry in outcome.verified} == {("restore", 50)}
    assert [*(tmp_path / "scratch").iterdir(), *memory.iterdir()] == []


def test_a_restore_that_fails_leaves_nothing_and_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (memory := tmp_path / "memory").mkdir()
    monkeypatch.setattr(scratch, "MEMORY_FOLDER", memory)
    shop = Workshop(tmp_path)
    path = sqlite.make(tmp_path / "x.db", *sqlite.numbers(5, "t"))
    backup = make_set(
        shop,
        "database",
        {
            "database.sqlite3": ("file", path.read_bytes()),
            "inventory.json": inventory(tables=[vars(Table("", "t", 6))]),
        },
        database="x.db",
        **{**COUNTS, "rows": 6},
    )
    outcome = verify(shop, RESTORE)
    assert [entry["code"] for entry in outcome.failures] == ["row_count_mismatch"]
    assert "t has 5 rows instead of 6" in outcome.failures[0]["error"]
    last = read_record(backup).last_verification
    assert last is not None
    assert (last.level, last.ok) == (RESTORE, False)
    assert list(memory.iterdir()) == []


def test_accounts_are_proven_by_decrypt_instead(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    make_set(shop, "users", USERS, accounts=1)
    (done,) = verify(shop, RESTORE).verified
    assert (done["kind"], done["level"]) == ("users", DECRYPT)
    assert verify(shop, RESTORE, max_age=timedelta(days=1), now=Clock()).planned == []
