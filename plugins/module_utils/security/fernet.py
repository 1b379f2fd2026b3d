# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fernet tokens and the sealing of streams in Fernet frames.

A token is what the Fernet specification (github.com/fernet/spec, Spec.md) says: version 0x80, 64-bit time, 128-bit IV,
AES-128-CBC with PKCS #7 padding, HMAC-SHA256 over all of it. Tokens are kept binary; base64url-encoded, each opens
with cryptography.fernet.Fernet. They are composed here from the same package's primitives, which spares the base64
and with it most of the time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import struct
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from ..errors import SealBrokenError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

FRAME_BYTES = 256 << 10
"""Payload of a full frame, as this version writes it."""
LARGEST_FRAME_BYTES = 1 << 20
"""Payload of the largest frame that is read."""

_VERSION = b"\x80"
_BLOCK = 16
_MAC_BYTES = 32
_OVERHEAD = 1 + 8 + _BLOCK + _MAC_BYTES
_LENGTH = struct.Struct(">I")
_FRAME = struct.Struct(">16sQB")
_LONGEST_TOKEN = LARGEST_FRAME_BYTES + _FRAME.size + _BLOCK + _OVERHEAD
_MANIFEST_LABEL = b"vya.backupdb manifest 1:"


class FernetKey:
    """A Fernet key: 32 bytes, urlsafe base64 as the specification writes them."""

    def __init__(self, encoded: str) -> None:
        try:
            raw = base64.b64decode(encoded.encode("ascii"), altchars=b"-_", validate=True)
        except ValueError:
            raw = b""
        if len(raw) != 32:
            raise ValueError("A Fernet key is 32 bytes in urlsafe base64.")
        self.encoded = encoded
        self._signing, self._encryption = raw[:16], raw[16:]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FernetKey) and hmac.compare_digest(self.encoded, other.encoded)

    def __hash__(self) -> int:
        return hash(self.encoded)

    @classmethod
    def generate(cls) -> FernetKey:
        return cls(base64.urlsafe_b64encode(os.urandom(32)).decode())

    @property
    def id(self) -> str:
        """A name for the key that tells nothing of it: the first 16 hex digits of its SHA-256."""
        return hashlib.sha256(self._signing + self._encryption).hexdigest()[:16]

    def _cipher(self, iv: bytes) -> Cipher[modes.CBC]:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        return Cipher(algorithms.AES(self._encryption), modes.CBC(iv))

    def encrypt(self, *plain: bytes | memoryview, now: int | None = None, iv: bytes | None = None) -> bytes:
        """A binary token of the bytes in turn. ``now`` (seconds) and ``iv`` are for the published test vectors only."""
        return b"".join(self.pieces(*plain, now=now, iv=iv))

    def pieces(self, *plain: bytes | memoryview, now: int | None = None, iv: bytes | None = None) -> tuple[bytes, ...]:
        """What ``encrypt`` joins."""
        iv = iv or os.urandom(_BLOCK)
        encryptor = self._cipher(iv).encryptor()
        padding = _BLOCK - sum(map(len, plain)) % _BLOCK
        head = _VERSION + struct.pack(">Q", int(time.time()) if now is None else now) + iv
        body = [encryptor.update(piece) for piece in (*plain, bytes([padding]) * padding)]
        mac = hmac.new(self._signing, head, hashlib.sha256)
        for piece in body:
            mac.update(piece)
        return (head, *body, mac.digest())

    def decrypt(self, token: bytes) -> bytes:
        """The plain bytes of a binary token; SealBrokenError unless it was made with this key and is untouched."""
        body_bytes = len(token) - _OVERHEAD
        if body_bytes < _BLOCK or body_bytes % _BLOCK or token[:1] != _VERSION:
            raise SealBrokenError("A sealed frame is no Fernet token.")
        view = memoryview(token)
        mac = hmac.new(self._signing, view[:-_MAC_BYTES], hashlib.sha256)
        if not hmac.compare_digest(mac.digest(), view[-_MAC_BYTES:]):
            raise SealBrokenError("A sealed frame was altered, or was sealed with another key.")
        decryptor = self._cipher(token[9 : 9 + _BLOCK]).decryptor()
        padded = decryptor.update(view[9 + _BLOCK : -_MAC_BYTES]) + decryptor.finalize()
        padding = padded[-1]
        if not 1 <= padding <= _BLOCK or padded[-padding:] != bytes([padding]) * padding:
            raise SealBrokenError("A sealed frame has wrong padding.")
        return padded[:-padding]

    def seal_text(self, text: str) -> str:
        """A text as a Fernet token (text)."""
        return base64.urlsafe_b64encode(self.encrypt(text.encode())).decode()

    def open_text(self, token: str) -> str:
        """The text in a token made by ``seal_text``; SealBrokenError unless this key made it."""
        try:
            return self.decrypt(base64.urlsafe_b64decode(token)).decode()
        except ValueError:
            raise SealBrokenError("A Fernet token is damaged.") from None

    def wrap(self, key: FernetKey) -> str:
        """Another key as a Fernet token (text) of this one."""
        return self.seal_text(key.encoded)

    def unwrap(self, token: str) -> FernetKey:
        """The key in a token made by ``wrap``; SealBrokenError unless this key made it."""
        try:
            return FernetKey(self.open_text(token))
        except ValueError:
            raise SealBrokenError("A wrapped data key is damaged.") from None

    def sign_manifest(self, digest: bytes) -> str:
        """The seal of a manifest: a token (text) that only a holder of this key can make for this digest."""
        return base64.urlsafe_b64encode(self.encrypt(_MANIFEST_LABEL + digest)).decode()

    def signed_manifest(self, seal: str, digest: bytes) -> bool:
        """Whether ``seal`` was made by ``sign_manifest`` for this digest; its base64 has only one right form."""
        try:
            token = base64.urlsafe_b64decode(seal)
            genuine = hmac.compare_digest(self.decrypt(token), _MANIFEST_LABEL + digest)
            return genuine and base64.urlsafe_b64encode(token).decode() == seal
        except (SealBrokenError, ValueError):
            return False


def stream_id(part_name: str) -> bytes:
    """The 16 bytes that tie every frame to its part: the first half of the SHA-256 of the part's file name."""
    return hashlib.sha256(part_name.encode()).digest()[:16]


def seal(chunks: Iterable[bytes], key: FernetKey, identity: bytes) -> Iterator[bytes]:
    """Seals a stream in frames: 4-byte big-endian length, then a token of identity, number, last flag and payload."""
    payload: list[memoryview] = []
    held = number = 0

    def frame(last: bool) -> bytes:
        token = key.pieces(_FRAME.pack(identity, number, last), *payload)
        return b"".join((_LENGTH.pack(sum(map(len, token))), *token))

    for chunk in chunks:
        view = memoryview(chunk)
        while held + len(view) > FRAME_BYTES:
            payload.append(view[: FRAME_BYTES - held])
            view = view[FRAME_BYTES - held :]
            yield frame(last=False)
            payload, held, number = [], 0, number + 1
        payload.append(view)
        held += len(view)
    yield frame(last=True)


def unseal(stream: BinaryIO, key: FernetKey, identity: bytes) -> Iterator[bytes]:
    """The payloads of a sealed stream; SealBrokenError at the first frame that is altered, missing, extra or moved."""
    number = 0
    last = False
    while not last:
        header = stream.read(_LENGTH.size)
        if len(header) < _LENGTH.size:
            raise SealBrokenError(f"The sealed stream is cut off before frame {number}.")
        (length,) = _LENGTH.unpack(header)
        if length > _LONGEST_TOKEN:
            raise SealBrokenError(f"Frame {number} of the sealed stream has an impossible length.")
        token = stream.read(length)
        if len(token) < length:
            raise SealBrokenError(f"The sealed stream is cut off in frame {number}.")
        plain = key.decrypt(token)
        if len(plain) < _FRAME.size:
            raise SealBrokenError(f"Frame {number} of the sealed stream is too short.")
        found_identity, found_number, flag = _FRAME.unpack_from(plain)
        if found_identity != identity:
            raise SealBrokenError(f"Frame {number} of the sealed stream belongs to another part.")
        if found_number != number:
            raise SealBrokenError(f"Frame {found_number} stands in the sealed stream where frame {number} belongs.")
        last = bool(flag)
        number += 1
        yield plain[_FRAME.size :]
    if stream.read(1):
        raise SealBrokenError("Other bytes follow the last frame of the sealed stream.")
