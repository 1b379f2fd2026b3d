"""Secrets are masked in every form in which tools and drivers print them."""

import json
from urllib.parse import quote

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.security.redact import MASK, SHORTEST, Redactor
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    "secret", ["hunter2", "a'b\"c", "p@ss w%rd$1", "back\\slash", "neue\nzeile", "schlüssel", "a:b:c"]
)
def test_every_form_is_masked(secret: str) -> None:
    redact = Redactor([secret])
    for form in (
        secret,
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
        secret.replace("'", "''"),
    ):
        assert redact(f"before {form} after") == f"before {MASK} after"


def test_short_and_missing_secrets_are_left_alone() -> None:
    assert Redactor(["a", "", None])("a banana") == "a banana"


def test_of_two_secrets_the_longer_goes_first() -> None:
    assert Redactor(["pass", "password1"])("password1 pass") == f"{MASK} {MASK}"


@given(st.text(min_size=SHORTEST), st.text(), st.text())
def test_a_secret_never_survives(secret: str, before: str, after: str) -> None:
    assert secret not in Redactor([secret])(before + secret + after).replace(MASK, "") or secret in before + after
