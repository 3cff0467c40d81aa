"""The form of tokens, and that none is left readable in a text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condahub.accounts.secrets import BASE62, KINDS, TOKEN_PATTERN, generate, looks_valid, mask, prefix_of


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_has_the_form_that_conda_and_scanners_know(kind: str) -> None:
    token = generate(kind)
    assert re.fullmatch(rf"chub-{kind}-[0-9A-Za-z]{{40}}-[0-9A-Za-z]{{6}}", token)
    assert re.fullmatch(r"[A-Za-z0-9-]+", token)
    assert TOKEN_PATTERN.fullmatch(token)
    assert looks_valid(token)
    assert generate(kind) != token
    assert token.startswith(prefix_of(token))
    assert len(prefix_of(token)) == len(f"chub-{kind}-") + 6


@given(st.integers(0, 39), st.sampled_from(BASE62))
def test_one_mistyped_character_is_noticed_without_a_database(place: int, letter: str) -> None:
    token = "chub-user-" + "a1B2" * 10
    good = generate("user")
    body = list(good)
    at = len("chub-user-") + place
    changed = body[at] != letter
    body[at] = letter
    assert looks_valid("".join(body)) is not changed
    assert not looks_valid(token)


@pytest.mark.parametrize(
    "text",
    ["https://hub/t/{}/get/ch", "Authorization: Bearer {}", "X-API-Key: {}", "https://user:{}@hub/x", "key={} and more", "{}", "'{}'{}"],
)
def test_a_token_is_masked_wherever_it_stands(text: str) -> None:
    token = generate("robot")
    masked = mask(text.replace("{}", token))
    assert token not in masked
    assert token[17:] not in masked
    assert "***" in masked


@pytest.mark.parametrize(
    "text",
    [
        "GET /t/hunter2hunter2/get/ch",
        "authorization: Basic aHVudGVyMg==",
        "x-api-key=hunter2",
        "https://me:hunter2@host/x",
        "{'Authorization': 'hunter2'}",
    ],
)
def test_what_stands_where_a_secret_goes_is_masked_whatever_its_form(text: str) -> None:
    assert "hunter2" not in mask(text)
    assert "aHVudGVyMg" not in mask(text)


def test_other_text_is_left_alone() -> None:
    text = "the path /channels/t/linux-64/foo-1.0.conda of https://hub.example.org/get/a and chub-user"
    assert mask(text) == text
