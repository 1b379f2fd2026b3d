# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fernet tokens against the published vectors and the stock library, and streams of frames against all who meddle."""

from __future__ import annotations

import base64
import hashlib
import io
import struct
from collections.abc import Callable

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.errors import SealBrokenError
from ansible_collections.vya.backupdb.plugins.module_utils.security import fernet
from ansible_collections.vya.backupdb.plugins.module_utils.security.fernet import FernetKey, seal, stream_id, unseal
from cryptography.fernet import Fernet, InvalidToken
from hypothesis import given, settings
from hypothesis import strategies as st

# The vectors of github.com/fernet/spec: generate.json, verify.json, invalid.json.
SECRET = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
GENERATED = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="
GENERATED_AT = 499162800  # 1985-10-26T01:20:00-07:00
INVALID = {
    "incorrect mac": (
        "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykQUFBQUFBQUFBQQ==",
        "altered",
    ),
    "too short": ("gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPA==", "no Fernet token"),
    "payload size not multiple of block size": (
        "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPOm73QeoCk9uGib28Xe5vz6oxq5nmxbx_v7mrfyudzUm",
        "no Fernet token",
    ),
    "payload padding error": (
        "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0ODz4LEpdELGQAad7aNEHbf-JkLPIpuiYRLQ3RtXatOYREu2FWke6CnJNYIbkuKNqOhw==",
        "wrong padding",
    ),
    "incorrect iv": (
        "gAAAAAAdwJ6xBQECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAkLhFLHpGtDBRLRTZeUfWgHSv49TF2AUEZ1TIvcZjK1zQ==",
        "wrong padding",
    ),
}
# Invalid only for readers that limit a token's age, which a backup has no use for.
TIMED = {
    "far-future time": (
        "gAAAAAAdwStRAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAnja1xKYyhd-Y6mSkTOyTGJmw2Xc2a6kBd-iX9b_qXQcw=="
    ),
    "expired": "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q==",
}

FRAME = 64
KEY = FernetKey.generate()
IDENTITY = stream_id("000-database.sqlite3.zst.fernet")


def binary(token: str) -> bytes:
    return base64.urlsafe_b64decode(token)


# Tokens


def test_the_published_token_is_made() -> None:
    assert FernetKey(SECRET).encrypt(b"hello", now=GENERATED_AT, iv=bytes(range(16))) == binary(GENERATED)


def test_the_published_token_opens() -> None:
    assert FernetKey(SECRET).decrypt(binary(GENERATED)) == b"hello"


@pytest.mark.parametrize("name", INVALID)
def test_published_invalid_tokens_do_not_open(name: str) -> None:
    token, words = INVALID[name]
    with pytest.raises(InvalidToken):
        Fernet(SECRET).decrypt(token)
    with pytest.raises(SealBrokenError, match=words):
        FernetKey(SECRET).decrypt(binary(token))


@pytest.mark.parametrize("name", TIMED)
def test_tokens_do_not_age(name: str) -> None:
    assert FernetKey(SECRET).decrypt(binary(TIMED[name])) == Fernet(SECRET).decrypt(TIMED[name]) == b""


def test_invalid_base64_is_no_wrapped_key() -> None:
    with pytest.raises(SealBrokenError, match=r"wrapped data key is damaged|no Fernet token"):
        FernetKey(SECRET).unwrap("%%%%" + GENERATED[4:])


@given(st.binary(max_size=200))
def test_both_ways_with_the_stock_library(plain: bytes) -> None:
    ours, stock = KEY, Fernet(KEY.encoded)
    assert stock.decrypt(base64.urlsafe_b64encode(ours.encrypt(plain))) == plain
    assert ours.decrypt(binary(stock.encrypt(plain).decode())) == plain


@pytest.mark.parametrize("plain", [b"", b"x" * 15, b"x" * 16, b"x" * 17])
@pytest.mark.parametrize("field", ["version", "time", "iv", "body", "mac"])
def test_a_flipped_bit_is_seen_in_every_field(plain: bytes, field: str) -> None:
    token = KEY.encrypt(plain)
    spans = {"version": (0, 1), "time": (1, 9), "iv": (9, 25), "body": (25, len(token) - 32), "mac": (len(token) - 32,
             len(token))}  # fmt: skip
    for position in range(*spans[field]):
        for bit in range(8):
            damaged = bytearray(token)
            damaged[position] ^= 1 << bit
            with pytest.raises(SealBrokenError):
                KEY.decrypt(bytes(damaged))


@given(st.data())
def test_a_cut_or_longer_token_does_not_open(data: st.DataObject) -> None:
    token = KEY.encrypt(b"some plain text of three blocks, more or less")
    cut = data.draw(st.integers(0, len(token) - 1))
    for damaged in (token[:cut], token[cut + 1 :], token + token[: cut + 1]):
        with pytest.raises(SealBrokenError):
            KEY.decrypt(damaged)


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(SealBrokenError, match="altered, or was sealed with another key"):
        FernetKey.generate().decrypt(KEY.encrypt(b"x"))


# Keys


@pytest.mark.parametrize("encoded", ["", "x", SECRET[:-2], SECRET + "A", "ü" * 44, "A" * 43 + "!", SECRET * 2])
def test_what_is_no_key(encoded: str) -> None:
    with pytest.raises(ValueError, match="32 bytes in urlsafe base64"):
        FernetKey(encoded)


def test_keys_are_random_and_named_without_telling_them() -> None:
    keys = [FernetKey.generate() for _turn in range(100)]
    assert len({key.encoded for key in keys}) == len({key.id for key in keys}) == 100
    assert KEY.id == hashlib.sha256(base64.urlsafe_b64decode(KEY.encoded)).hexdigest()[:16]
    assert KEY.id not in KEY.encoded


def test_a_wrapped_key_is_a_token_that_the_stock_library_opens() -> None:
    data_key = FernetKey.generate()
    wrapped = KEY.wrap(data_key)
    assert Fernet(KEY.encoded).decrypt(wrapped) == data_key.encoded.encode()
    assert KEY.unwrap(wrapped).encoded == data_key.encoded
    with pytest.raises(SealBrokenError):
        data_key.unwrap(wrapped)


@pytest.mark.parametrize("token", ["", "A", "ü", "not base64 at all", KEY.seal_text("no key")], ids=range(5))
def test_what_is_no_wrapped_key(token: str) -> None:
    with pytest.raises(SealBrokenError):
        KEY.unwrap(token)


def test_the_seal_of_a_manifest_is_for_one_digest_and_one_key() -> None:
    digest, other = hashlib.sha256(b"one").digest(), hashlib.sha256(b"two").digest()
    sealed = KEY.sign_manifest(digest)
    assert KEY.signed_manifest(sealed, digest)
    assert not KEY.signed_manifest(sealed, other)
    assert not FernetKey.generate().signed_manifest(sealed, digest)
    for forged in ("", "A", "ü", sealed[:-4], base64.urlsafe_b64encode(KEY.encrypt(digest)).decode()):
        assert not KEY.signed_manifest(forged, digest)


# Streams


@pytest.fixture(autouse=True, scope="module")
def small_frames() -> object:
    """Frames of 64 bytes, so that a few hundred bytes make many."""
    patch = pytest.MonkeyPatch()
    patch.setattr(fernet, "FRAME_BYTES", FRAME)
    yield
    patch.undo()


def frames_of(sealed: bytes) -> list[bytes]:
    frames = []
    while sealed:
        (length,) = struct.unpack_from(">I", sealed)
        frames.append(sealed[: 4 + length])
        sealed = sealed[4 + length :]
    return frames


def sealed_frames(plain: bytes, key: FernetKey = KEY, identity: bytes = IDENTITY) -> list[bytes]:
    return frames_of(b"".join(seal([plain], key, identity)))


def opened(sealed: bytes, key: FernetKey = KEY, identity: bytes = IDENTITY) -> bytes:
    return b"".join(unseal(io.BytesIO(sealed), key, identity))


@given(st.lists(st.binary(max_size=3 * FRAME), max_size=8))
def test_what_goes_in_comes_out(chunks: list[bytes]) -> None:
    sealed = b"".join(seal(chunks, KEY, IDENTITY))
    assert opened(sealed) == b"".join(chunks)
    assert len(frames_of(sealed)) == max(1, -(-len(b"".join(chunks)) // FRAME))


@pytest.mark.parametrize("size", [0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME, 2 * FRAME + 1])
def test_every_frame_opens_with_the_stock_library(size: int) -> None:
    plain = bytes(range(256))[:size]
    found = b""
    frames = sealed_frames(plain)
    for number, frame in enumerate(frames):
        content = Fernet(KEY.encoded).decrypt(base64.urlsafe_b64encode(frame[4:]))
        assert content[:16] == IDENTITY
        assert struct.unpack_from(">QB", content, 16) == (number, number == len(frames) - 1)
        found += content[25:]
    assert found == plain


def test_the_stream_id_is_that_of_the_file_name() -> None:
    assert stream_id("a") == hashlib.sha256(b"a").digest()[:16]
    assert stream_id("a") != stream_id("b")


def test_two_seals_of_the_same_are_different() -> None:
    assert sealed_frames(b"same") != sealed_frames(b"same")


PLAIN = bytes(range(256)) + b"the rest"


def meddled(sealed: list[bytes], words: str) -> None:
    with pytest.raises(SealBrokenError, match=words):
        opened(b"".join(sealed))


@given(st.integers(0, len(PLAIN) // FRAME))
def test_a_dropped_frame(which: int) -> None:
    frames = sealed_frames(PLAIN)
    del frames[which]
    meddled(frames, "cut off before frame|stands in the sealed stream where")


@given(st.integers(0, len(PLAIN) // FRAME), st.integers(0, len(PLAIN) // FRAME))
def test_a_doubled_frame(which: int, where: int) -> None:
    frames = sealed_frames(PLAIN)
    frames.insert(where, frames[which])
    meddled(frames, "stands in the sealed stream where|Other bytes follow")


@given(st.permutations(range(5)).filter(lambda order: order != list(range(5))))
def test_reordered_frames(order: list[int]) -> None:
    frames = sealed_frames(PLAIN)
    meddled([frames[number] for number in order], "stands in the sealed stream where")


@given(st.integers(0, 4))
def test_a_frame_of_another_part(which: int) -> None:
    frames = sealed_frames(PLAIN)
    frames[which] = sealed_frames(PLAIN, identity=stream_id("001-other"))[which]
    meddled(frames, "belongs to another part")


@given(st.integers(0, 4))
def test_a_frame_of_another_set(which: int) -> None:
    frames = sealed_frames(PLAIN)
    frames[which] = sealed_frames(PLAIN, key=FernetKey.generate())[which]
    meddled(frames, "altered, or was sealed with another key")


def test_a_whole_stream_of_another_part() -> None:
    with pytest.raises(SealBrokenError, match="Frame 0 of the sealed stream belongs to another part"):
        opened(b"".join(sealed_frames(PLAIN)), identity=stream_id("001-other"))


def test_every_truncation() -> None:
    sealed = b"".join(sealed_frames(PLAIN))
    for size in range(len(sealed)):
        with pytest.raises(SealBrokenError, match="cut off"):
            opened(sealed[:size])


def test_no_payload_of_a_frame_is_given_before_it_is_proven() -> None:
    frames = sealed_frames(PLAIN)
    frames[2] = frames[2][:-1] + bytes([frames[2][-1] ^ 1])
    given_out = []
    with pytest.raises(SealBrokenError):
        given_out.extend(unseal(io.BytesIO(b"".join(frames)), KEY, IDENTITY))
    stream = unseal(io.BytesIO(b"".join(frames)), KEY, IDENTITY)
    assert next(stream) + next(stream) == PLAIN[: 2 * FRAME]


@given(st.binary(min_size=1, max_size=300))
def test_trailing_bytes(extra: bytes) -> None:
    meddled([*sealed_frames(PLAIN), extra], "Other bytes follow the last frame")


@settings(max_examples=300)
@given(st.integers(0), st.integers(0, 7))
def test_a_flipped_bit_anywhere(position: int, bit: int) -> None:
    sealed = bytearray(b"".join(sealed_frames(PLAIN)))
    sealed[position % len(sealed)] ^= 1 << bit
    with pytest.raises(SealBrokenError):
        opened(bytes(sealed))


@given(st.binary(max_size=400))
def test_garbage(garbage: bytes) -> None:
    with pytest.raises(SealBrokenError):
        opened(garbage)


def test_a_frame_that_claims_gigabytes_is_not_read() -> None:
    class Counting(io.BytesIO):
        most = 0

        def read(self, size: int | None = -1) -> bytes:
            Counting.most = max(Counting.most, size or 0)
            return super().read(size)

    with pytest.raises(SealBrokenError, match="impossible length"):
        list(unseal(Counting(b"\xff" * 100), KEY, IDENTITY))
    assert Counting.most < 1 << 21


def test_a_genuine_token_that_is_no_frame() -> None:
    token = KEY.encrypt(b"short")
    with pytest.raises(SealBrokenError, match="Frame 0 of the sealed stream is too short"):
        opened(struct.pack(">I", len(token)) + token)


def test_memory_is_bounded_by_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fernet, "FRAME_BYTES", 1 << 20)
    taken = 0

    def chunks() -> object:
        nonlocal taken
        for _turn in range(40):
            taken += 1
            yield bytes(1 << 18)

    produce: Callable[..., object] = seal
    for number, frame in enumerate(produce(chunks(), KEY, IDENTITY), 1):  # type: ignore[call-overload]
        assert len(frame) < (1 << 20) + 200
        assert taken <= 4 * number + 2
