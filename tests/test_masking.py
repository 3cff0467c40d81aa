"""No line that is logged lets somebody in, whichever way a secret came into it."""

from __future__ import annotations

import pytest

from condahub.masking import mask_secrets

TOKEN = "chub-user-0123456789abcdefghijABCDEFGHIJ0123456789-Abc123"
ENCODED = "".join(f"%{ord(letter):02x}" for letter in TOKEN)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (f"GET /t/{TOKEN}/channels/tools/noarch/repodata.json", "/channels/tools/noarch/repodata.json"),
        (f"GET /t/{ENCODED}/channels/tools/noarch/repodata.json", "/channels/tools/noarch/repodata.json"),
        (f"GET %2Ft%2F{ENCODED}%2Fchannels%2Ftools", "%2Fchannels%2Ftools"),
        ("GET /t/any-Other-Token/get/tools", "/get/tools"),
        (f"a token {TOKEN} in a sentence", "in a sentence"),
        (f"fetching https://somebody:{TOKEN}@hub.example.org/channels/tools", "@hub.example.org/channels/tools"),
        ("fetching https://somebody:s3cret-passw0rd@hub.example.org/x", "@hub.example.org/x"),
        (f"?api_key={TOKEN}&page=2", "&page=2"),
        (f"headers: {{'Authorization': 'Bearer {TOKEN}', 'Accept': '*/*'}}", "'Accept': '*/*'"),
        ("Authorization: Basic dXNlcjpzM2NyZXQ=", "Authorization: Basic"),
        ("X-API-Key: any-Other-Token", "X-API-Key:"),
    ],
)
def test_a_secret_is_masked_and_the_rest_of_the_line_stays(line: str, kept: str) -> None:
    masked = mask_secrets(line)
    assert "***" in masked
    assert kept in masked
    for secret in (TOKEN, ENCODED, "any-Other-Token", "s3cret-passw0rd", "dXNlcjpzM2NyZXQ="):
        assert secret not in masked


def test_a_line_without_secrets_stays_as_it_is() -> None:
    line = '127.0.0.1 "GET /channels/tools@3/noarch/a-1.0-0.conda?subdir=noarch" 200 5 https://hub.example.org/t to me@example.org'
    assert mask_secrets(line) == line
