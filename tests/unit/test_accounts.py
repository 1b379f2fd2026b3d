# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords of accounts against what servers store of them, by published examples."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.engines.account import AccountWanted, Change
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql.account import native_hash
from ansible_collections.vya.backupdb.plugins.module_utils.engines.postgresql.account import verifies

# RFC 7677, section 3: user "user", password "pencil".
SALT, ROUNDS = "W22ZaJ0SNY7soEsUEjb6gQ==", 4096
AUTH_MESSAGE = (
    b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
)
CLIENT_PROOF = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="


def rfc_verifier() -> str:
    """What a server stores of the RFC's password, with the stored key found from the RFC's proof alone.

    The proof is the client key, exclusive-or the signature, which the stored key makes of the messages.
    """
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", base64.b64decode(SALT), ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    signature = hmac.digest(stored, AUTH_MESSAGE, "sha256")
    client_key = bytes(a ^ b for a, b in zip(base64.b64decode(CLIENT_PROOF), signature, strict=True))
    assert hashlib.sha256(client_key).digest() == stored
    return f"SCRAM-SHA-256${ROUNDS}:{SALT}${base64.b64encode(stored).decode()}:{'A' * 43}="


def test_the_verifier_of_the_rfc() -> None:
    verifier = rfc_verifier()
    assert verifies(verifier, "pencil")
    assert not verifies(verifier, "Pencil")
    assert not verifies(verifier, "")


@pytest.mark.parametrize("stored", ["", "md5a1b2c3", "SCRAM-SHA-256$4096:salt", "pencil"])
def test_other_kinds_of_verifiers_are_of_no_password(stored: str) -> None:
    assert not verifies(stored, "pencil")


def test_the_hash_of_the_manual() -> None:
    """MySQL 5.7 manual, "Password Hashing in MySQL": PASSWORD('mypass')."""
    assert native_hash("mypass") == "*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4"


def test_no_password_in_what_is_printed_of_the_objects() -> None:
    assert "Planted" not in repr(AccountWanted("a", "Planted"))
    assert "Planted" not in repr(Change("SET PASSWORD = 'Planted'", "SET PASSWORD = '********'"))
