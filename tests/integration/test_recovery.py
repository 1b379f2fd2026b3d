# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups are readable without us: docs/recover.py, then the commands of docs/format.md, word for word.

Neither the script nor the commands see anything of the library.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from ansible_collections.vya.backupdb.plugins.module_utils.engines.postgresql import snapshot as postgresql_snapshot
from ansible_collections.vya.backupdb.plugins.module_utils.repository.manifest import digest
from ansible_collections.vya.backupdb.plugins.module_utils.security.fernet import FernetKey
from ansible_collections.vya.backupdb.plugins.module_utils.security.keyring import create_keyring, load_keyring
from kit import mariadb, mariadb_compare, postgres
from kit.workshop import Workshop

DOCS = Path(__file__).resolve().parents[2] / "docs"
PYTHON = [sys.executable, "-I"]  # without PYTHONPATH, the current folder and the user's packages


def recover(backup: dict[str, Any] | Path, keyring: Path | str, output: Path) -> subprocess.CompletedProcess[str]:
    folder = backup if isinstance(backup, Path) else Path(backup["path"])
    return subprocess.run(
        [*PYTHON, DOCS / "recover.py", folder, keyring, output], capture_output=True, text=True, check=False, cwd="/"
    )


def recovered(backup: dict[str, Any], keyring: Path | str, output: Path) -> Path:
    done = recover(backup, keyring, output)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Recovered {backup['database']} ")
    assert {path.stat().st_mode & 0o777 for path in output.iterdir()} == {0o600}
    assert output.stat().st_mode & 0o777 == 0o700
    return output


def commands_of(engine: str) -> str:
    """The commands that docs/format.md tells for an engine."""
    text = (DOCS / "format.md").read_text()
    (found,) = re.findall(rf"<!-- tested: {engine} -->\n```bash\n(.*?)```", text, re.DOTALL)
    return found


def follow(engine: str, folder: Path, **environment: str) -> None:
    done = subprocess.run(
        ["bash", "-c", commands_of(engine)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_this_python_does_not_see_the_library() -> None:
    done = subprocess.run([*PYTHON, "-c", "import ansible_collections.vya"], capture_output=True, check=False)
    assert b"ModuleNotFoundError" in done.stderr


# every engine

NOISE = random.Random(7).randbytes(3 << 20)


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def lite(tmp_path: Path) -> Instance:
    """A SQLite database whose part takes several frames."""
    path = tmp_path / "data" / "source.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, picture BLOB);"
            "CREATE VIRTUAL TABLE search USING fts5 (name);"
            "CREATE VIEW names AS SELECT name FROM item;"
            "CREATE TRIGGER found AFTER INSERT ON item BEGIN INSERT INTO search VALUES (new.name); END;"
        )
        rows = [(f"naïve item {at} ☃", NOISE[at : at + 65536]) for at in range(0, len(NOISE), 65536)]
        connection.executemany("INSERT INTO item (name, picture) VALUES (?, ?)", rows)
        connection.commit()
    return Instance(id="lite", engine="sqlite", path=str(path.parent))


def sqlite_content(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        queries = (
            "SELECT * FROM sqlite_master",
            "SELECT * FROM item",
            "SELECT * FROM search WHERE search MATCH 'item'",
        )
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [connection.execute(query).fetchall() for query in queries]


@pytest.mark.parametrize("method", ["zstd", "gzip", "none"])
@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "plain"])
def test_sqlite(shop: Workshop, lite: Instance, tmp_path: Path, method: str, sealed: bool) -> None:
    level = {"zstd": 1, "gzip": 6, "none": 0}[method]
    backup = shop.back_up_one(lite, method=method, level=level, encrypt=sealed)
    folder = recovered(backup, shop.keyring if sealed else "-", tmp_path / "a new" / "out put")
    follow("sqlite", folder)
    assert sqlite_content(folder / "shop.db") == sqlite_content(Path(lite.path or "") / "source.db")
    inventory = json.loads((folder / "inventory.json").read_text())
    assert {table["name"]: table["rows"] for table in inventory["tables"]} == {"item": 48, "search": 48}


def test_a_name_that_is_not_unicode(shop: Workshop, lite: Instance, tmp_path: Path) -> None:
    source = Path(lite.path or "") / "source.db"
    source.rename(os.fsdecode(os.fsencode(source.parent) + b"/caf\xe9.db"))
    backup = shop.back_up_one(lite)
    done = recover(backup, shop.keyring, tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Recovered caf\\udce9.db ")


POSTGRES = (
    'CREATE SCHEMA "Odd ""one"" %"',
    "CREATE TYPE mood AS ENUM ('good', 'naïve')",
    "CREATE TABLE customer (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text UNIQUE, mood mood)",
    "INSERT INTO customer (name, mood) SELECT 'O''Neill ☃ ' || n, 'naïve' FROM generate_series(1, 500) n",
    """CREATE TABLE "Odd ""one"" %"."big, table" (
        id bigserial PRIMARY KEY, "a ""column"" %" text, customer int REFERENCES customer, raw bytea,
        twice int GENERATED ALWAYS AS (customer * 2) STORED)""",
    r"""INSERT INTO "Odd ""one"" %"."big, table" ("a ""column"" %", customer, raw)
        SELECT E'line\n\ttab \\ ' || n, 1 + n % 500, decode(md5(n::text), 'hex') FROM generate_series(1, 20000) n""",
    'CREATE INDEX odd ON "Odd ""one"" %"."big, table" ("a ""column"" %")',
    "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.name := 'A'; RETURN NEW; END$$",
    "CREATE TRIGGER shouts BEFORE INSERT ON customer FOR EACH ROW EXECUTE FUNCTION shout()",
    "CREATE VIEW moods AS SELECT mood, count(*) FROM customer GROUP BY mood",
    "SELECT lo_from_bytea(4711, 'a large object')",
)


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[postgres.PostgresServer]:
    with postgres.running({}) as server:
        yield server


def test_postgresql(
    shop: Workshop, postgres_server: postgres.PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_snapshot, "LARGE_TABLE_BYTES", 1 << 20)
    monkeypatch.setattr(postgresql_snapshot, "PIECE_BYTES", 1 << 20)
    postgres_server.create("source", *POSTGRES)
    access = {"PGHOST": str(postgres_server.folder), "PGPORT": str(postgres_server.port), "PGUSER": "postgres"}

    folder = recovered(
        shop.back_up_one(postgres_server.instance(databases=("source",))), shop.keyring, tmp_path / "out put"
    )
    assert len(list(folder.glob("*-copy-*.copy"))) > 1
    follow("postgresql", folder, **access)

    def dumped(database: str) -> list[str]:
        """Everything in the database as text; newer tools put a random word around it."""
        told = subprocess.run(
            ["pg_dump", database], env={**os.environ, **access}, capture_output=True, text=True, check=True
        )
        return [line for line in told.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]

    assert dumped("shop") == dumped("source")
    assert postgres_server.value("shop", 'SELECT sum(twice) FROM "Odd ""one"" %"."big, table"') == 10_020_000
    assert postgres_server.value("shop", "SELECT lo_get(4711)") == b"a large object"


MARIADB = """
CREATE TABLE customer (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(80) UNIQUE, raw VARBINARY(16));
INSERT INTO customer (name, raw) SELECT CONCAT('O''Neill ☃ \\\\ ', seq), UNHEX(MD5(seq)) FROM seq_1_to_500;
CREATE TABLE `big, ``table`` %` (
    id BIGINT AUTO_INCREMENT PRIMARY KEY, `a column` TEXT, customer INT, twice INT AS (customer * 2) STORED,
    KEY odd (`a column`(20)), FOREIGN KEY (customer) REFERENCES customer (id));
INSERT INTO `big, ``table`` %` (`a column`, customer)
    SELECT CONCAT('line\\n\\t; DELIMITER \\\\ ', seq), 1 + seq % 500 FROM seq_1_to_20000;
CREATE TABLE chinese (name VARCHAR(20) CHARACTER SET gbk);
INSERT INTO chinese VALUES ('数据库'), ('备份');
CREATE TABLE price (id INT PRIMARY KEY, cents INT) WITH SYSTEM VERSIONING;
INSERT INTO price VALUES (1, 100);
UPDATE price SET cents = 120;
CREATE SEQUENCE number START WITH 1000;
SELECT NEXTVAL(number);
CREATE VIEW names AS SELECT name FROM customer;
DELIMITER //
CREATE FUNCTION doubled(n INT) RETURNS INT DETERMINISTIC BEGIN /* a; comment */ RETURN n * 2; END //
CREATE TRIGGER shouts BEFORE INSERT ON customer FOR EACH ROW BEGIN SET NEW.name = UPPER(NEW.name); END //
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01' DISABLE DO BEGIN DELETE FROM chinese; END //
DELIMITER ;
"""


@pytest.fixture(scope="module")
def mariadb_server() -> Iterator[mariadb.MariaDBServer]:
    with mariadb.running() as server:
        yield server


def test_mariadb(shop: Workshop, mariadb_server: mariadb.MariaDBServer, tmp_path: Path) -> None:
    mariadb_server.create("source", MARIADB, "CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
    backup = shop.back_up_one(mariadb_server.instance(databases=("source",)), jobs=4)
    folder = recovered(backup, shop.keyring, tmp_path / "out put")
    (tmp_path / ".my.cnf").write_text(f"[client]\nsocket={mariadb_server.socket}\nuser=root\n")
    follow("mariadb", folder, HOME=str(tmp_path))

    source, copy = (mariadb_compare.facts(mariadb_server, name) for name in ("source", "shop"))
    assert mariadb_compare.differences(source, copy) == []
    assert mariadb_server.value("SELECT SUM(twice) FROM `big, ``table`` %`", database="shop") == 10_020_000
    assert mariadb_server.value("SELECT COUNT(*) FROM price FOR SYSTEM_TIME ALL", database="shop") == 2


# damage


def frames(part: Path) -> list[bytes]:
    data, found = part.read_bytes(), []
    while data:
        length = 4 + int.from_bytes(data[:4], "big")
        found.append(data[:length])
        data = data[length:]
    return found


def data_key(folder: Path, keyring: str) -> FernetKey:
    manifest = json.loads((folder / "manifest.json").read_text())
    return load_keyring(keyring).unwrap(manifest["encryption"]["keys"], "")


def seal_again(folder: Path, keyring: str, **changes: Any) -> None:
    """Makes the manifest fit changed parts, as only a holder of the key can."""
    path = folder / "manifest.json"
    manifest = {**json.loads(path.read_text()), **changes}
    for part in manifest["parts"]:
        stored = (folder / "parts" / part["name"]).read_bytes()
        part |= {"stored_bytes": len(stored), "sha256": hashlib.sha256(stored).hexdigest()}
    manifest["seal"] = data_key(folder, keyring).sign_manifest(digest(manifest))
    path.write_text(json.dumps(manifest))


def refused(done: subprocess.CompletedProcess[str], output: Path) -> str:
    """The sentence of a refusal: one line, a failure, and nothing that could be taken for a recovered database."""
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert not output.exists()
    assert not list(output.parent.glob("*.unfinished"))
    return done.stderr


def flip(part: Path) -> None:
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)


def swap_names(part: Path) -> None:
    other = part.parent / "001-inventory.json.zst.fernet"
    aside = part.with_suffix(".aside")
    part.rename(aside)
    other.rename(part)
    aside.rename(other)


def rewrite(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Path], None]:
    return lambda part: part.write_bytes(b"".join(change(frames(part)))) and None


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "flipped": (flip, "its SHA-256 is not the recorded one"),
    "truncated": (lambda part: os.truncate(part, 1000), "its SHA-256 is not the recorded one"),
    "empty": (lambda part: os.truncate(part, 0), "its SHA-256 is not the recorded one"),
    "longer": (lambda part: part.write_bytes(part.read_bytes() + b"\0"), "its SHA-256 is not the recorded one"),
    "missing": (Path.unlink, "No such file or directory"),
    "swapped": (swap_names, "its SHA-256 is not the recorded one"),
}
SEALED_DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "flipped": (flip, "a seal is broken"),
    "cut at a frame": (rewrite(lambda all_frames: all_frames[:-1]), "a seal is broken"),
    "cut in a frame": (lambda part: os.truncate(part, 1000), "a seal is broken"),
    "first frame lost": (rewrite(lambda all_frames: all_frames[1:]), "frame 0 does not belong here"),
    "frame doubled": (rewrite(lambda all_frames: [all_frames[0], *all_frames]), "frame 1 does not belong here"),
    "frames swapped": (
        rewrite(lambda all_frames: [*all_frames[1::-1], *all_frames[2:]]),
        "frame 0 does not belong here",
    ),
    "bytes after the end": (lambda part: part.write_bytes(part.read_bytes() + b"\0"), "goes on after its last frame"),
    "parts swapped": (swap_names, "frame 0 does not belong here"),
}


@pytest.fixture
def sealed(shop: Workshop, lite: Instance) -> Path:
    return Path(shop.back_up_one(lite)["path"])


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_bytes_are_refused(sealed: Path, shop: Workshop, tmp_path: Path, damage: str) -> None:
    harm, sentence = DAMAGE[damage]
    harm(sealed / "parts" / "000-database.sqlite3.zst.fernet")
    assert sentence in refused(recover(sealed, shop.keyring, tmp_path / "out"), tmp_path / "out")


@pytest.mark.parametrize("damage", SEALED_DAMAGE)
def test_frames_are_checked_one_by_one(sealed: Path, shop: Workshop, tmp_path: Path, damage: str) -> None:
    harm, sentence = SEALED_DAMAGE[damage]
    harm(sealed / "parts" / "000-database.sqlite3.zst.fernet")
    seal_again(sealed, shop.keyring)
    assert sentence in refused(recover(sealed, shop.keyring, tmp_path / "out"), tmp_path / "out")


def test_a_wrong_number_of_bytes_is_refused(sealed: Path, shop: Workshop, tmp_path: Path) -> None:
    parts = json.loads((sealed / "manifest.json").read_text())["parts"]
    parts[1]["raw_bytes"] += 1
    seal_again(sealed, shop.keyring, parts=parts)
    done = recover(sealed, shop.keyring, tmp_path / "out")
    assert "001-inventory.json.zst.fernet unpacks to a wrong number of bytes" in refused(done, tmp_path / "out")


def test_an_edited_manifest_is_refused(sealed: Path, shop: Workshop, tmp_path: Path) -> None:
    path = sealed / "manifest.json"
    path.write_text(path.read_text().replace('"database": "source.db"', '"database": "other.db"'))
    done = recover(sealed, shop.keyring, tmp_path / "out")
    assert "manifest.json was changed" in refused(done, tmp_path / "out")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 2}'])
def test_a_damaged_manifest_is_refused(sealed: Path, shop: Workshop, tmp_path: Path, content: str) -> None:
    (sealed / "manifest.json").write_text(content)
    assert "NOT recovered" in refused(recover(sealed, shop.keyring, tmp_path / "out"), tmp_path / "out")


def test_a_key_of_another_host_is_refused(sealed: Path, shop: Workshop, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    create_keyring(str(other))
    wanted = load_keyring(shop.keyring).active.id
    said = refused(recover(sealed, other, tmp_path / "out"), tmp_path / "out")
    assert f"needs key {wanted}" in said
    assert "is sealed" in refused(recover(sealed, "-", tmp_path / "out"), tmp_path / "out")
    assert "No such file" in refused(recover(sealed, tmp_path / "none.json", tmp_path / "out"), tmp_path / "out")
    other.write_text('{"keys": [{"key": "short"}]}')
    assert "damaged" in refused(recover(sealed, other, tmp_path / "out"), tmp_path / "out")


def test_nothing_that_exists_is_written_to(sealed: Path, shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    done = recover(sealed, shop.keyring, tmp_path / "out")
    assert done.returncode == 1
    assert "exists already" in done.stderr
    assert not list((tmp_path / "out").iterdir())


def test_the_checksums_are_those_of_sha256sum(sealed: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=sealed, check=True)
