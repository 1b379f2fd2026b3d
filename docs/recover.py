# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gets the plain data out of a vya.backupdb backup set (format 1) on any machine, without vya.backupdb.

usage:  python3 recover.py SET_FOLDER KEYRING OUTPUT_FOLDER
        SET_FOLDER      the folder that holds manifest.json
        KEYRING         the keyring.json of the host that made the backup; - for a set that is not sealed
        OUTPUT_FOLDER   is created, and holds the data in plain text: keep it private
needs:  Python 3.8 or newer, and: pip install cryptography zstandard
What to do with the files then is told in format.md, "Recovering without us".
"""

import base64
import hashlib
import json
import os
import shutil
import sys
import zlib
from pathlib import Path

import zstandard
from cryptography.fernet import Fernet, InvalidToken

UNPACKERS = {
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(read_across_frames=True),
    "gzip": lambda: zlib.decompressobj(31),
}


def check(good, problem):
    if not good:
        sys.exit(f"NOT recovered: {problem}")


def find_data_key(entries, keyring):
    """The key of this set. The manifest holds it encrypted; one of the host's keys opens it."""
    check(keyring != "-", "the set is sealed; give the keyring.json of the host that made it instead of -")
    for host_key in json.loads(Path(keyring).read_text())["keys"]:
        for entry in entries:
            try:
                return Fernet(Fernet(host_key["key"]).decrypt(entry["wrapped"]))
            except InvalidToken:
                continue
    return check(False, f"the set needs key {', '.join(entry['id'] for entry in entries)}; {keyring} does not hold it")


def check_seal(manifest, data_key):
    """The seal holds the digest of everything else in the manifest, except for the encrypted keys."""
    rest = {name: value for name, value in manifest.items() if name != "seal"}
    if data_key:
        rest["encryption"] = {name: value for name, value in rest["encryption"].items() if name != "keys"}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode())
    good = manifest["seal"] == "sha256:" + digest.hexdigest()
    if data_key:
        good = data_key.decrypt(manifest["seal"]) == b"vya.backupdb manifest 1:" + digest.digest()
    check(good, "manifest.json was changed after it was written")


def frames(stored, data_key, name):
    """A sealed part is a row of frames: 4 bytes of length, then a Fernet token (binary; the class wants base64)."""
    part, number, last = hashlib.sha256(name.encode()).digest()[:16], 0, False
    while not last:
        token = stored.read(int.from_bytes(stored.read(4), "big"))
        plain = data_key.decrypt(base64.urlsafe_b64encode(token))
        check(plain[:24] == part + number.to_bytes(8, "big"), f"{name}: frame {number} does not belong here")
        number, last = number + 1, plain[24] == 1
        yield plain[25:]
    check(not stored.read(1), f"{name} goes on after its last frame")


def chunks(stored, size=1 << 20):
    return iter(lambda: stored.read(size), b"")


def recover(folder, keyring, output):
    manifest = json.loads((folder / "manifest.json").read_text())
    check(manifest["format"] == 1, f"the set has format {manifest['format']}, and this script reads format 1")
    check(not output.exists(), f"{output} exists already; name a folder that does not")
    data_key = find_data_key(manifest["encryption"]["keys"], keyring) if manifest["encryption"] else None
    check_seal(manifest, data_key)

    for part in manifest["parts"]:  # every stored byte is checked before anything is written
        digest = hashlib.sha256()
        with (folder / "parts" / part["name"]).open("rb") as stored:
            for chunk in chunks(stored):
                digest.update(chunk)
        check(digest.hexdigest() == part["sha256"], f"{part['name']} is damaged: its SHA-256 is not the recorded one")

    unfinished = output.with_name(output.name + ".unfinished")
    os.umask(0o077)  # folders 0700, files 0600
    unfinished.mkdir(parents=True)
    try:
        for part in manifest["parts"]:
            plain_name = "inventory.json" if part["kind"] == "inventory" else part["name"]
            for suffix in (".fernet", ".zst", ".gz"):
                plain_name = plain_name[: -len(suffix)] if plain_name.endswith(suffix) else plain_name
            with (folder / "parts" / part["name"]).open("rb") as stored, (unfinished / plain_name).open("xb") as plain:
                unpacker = UNPACKERS.get(manifest["compression"]["method"], lambda: None)()
                for chunk in frames(stored, data_key, part["name"]) if data_key else chunks(stored):
                    for at in range(0, len(chunk), 4096):  # little at a time: it may grow a thousandfold
                        piece = chunk[at : at + 4096]
                        plain.write(unpacker.decompress(piece) if unpacker else piece)
                check(plain.tell() == part["raw_bytes"], f"{part['name']} unpacks to a wrong number of bytes")
        unfinished.rename(output)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    print(f"Recovered {manifest['database']} as it was at {manifest['started']} to {output}")  # noqa: T201


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # whatever the name of the database, and the terminal
    check(len(sys.argv) == 4, f"three arguments are needed.\n\n{__doc__}")
    try:
        recover(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
    except InvalidToken:
        check(False, "a seal is broken: the manifest or a part was changed, or belongs to another set")
    except (OSError, zlib.error, zstandard.ZstdError) as error:
        check(False, error)
    except (ValueError, KeyError, TypeError) as error:
        check(False, f"manifest.json or the keyring is damaged ({type(error).__name__}: {error})")
