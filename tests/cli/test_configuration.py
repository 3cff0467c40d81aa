"""Which hub and which token: what is said wins over the environment, the environment over the file; and the file is kept private."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from condahub.cli import configuration
from condahub.cli.exits import Usage
from condahub.cli.wording import expiry, segment


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("hub.example", "https://hub.example"),
        ("https://Hub.Example/", "https://hub.example"),
        ("localhost:8000", "http://localhost:8000"),
        ("127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("https://intranet.example/hub/", "https://intranet.example/hub"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_an_address_is_understood_as_people_type_it(typed: str, meant: str) -> None:
    assert configuration.normalise(typed) == meant


@pytest.mark.parametrize(
    "typed", ["", "ftp://hub.example", "https://", "https://maria:secret@hub.example", "https://hub.example/t/abc", "http://a:b:c"]
)
def test_what_is_no_address_or_holds_a_secret_is_refused(typed: str) -> None:
    with pytest.raises(Usage):
        configuration.normalise(typed)


def test_what_is_said_wins_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = configuration.Configuration(tmp_path / "x", "https://file.example", {"https://file.example": {"token": "token-from-file"}})
    assert configuration.hub_url(None, known) == "https://file.example"
    assert configuration.token_for("https://file.example", None, known) == "token-from-file"
    assert configuration.token_for("https://other.example", None, known) is None
    secret = tmp_path / "secret"
    secret.write_text("token-of-a-file\n")
    monkeypatch.setenv("CONDAHUB_TOKEN_FILE", str(secret))
    assert configuration.token_for("https://file.example", None, known) == "token-of-a-file"
    monkeypatch.setenv("CONDAHUB_TOKEN", "token-of-environment")
    monkeypatch.setenv("CONDAHUB_URL", "env.example")
    assert configuration.hub_url(None, known) == "https://env.example"
    assert configuration.token_for("https://file.example", None, known) == "token-of-environment"
    assert configuration.hub_url("option.example", known) == "https://option.example"
    assert configuration.token_for("https://file.example", "token-of-option", known) == "token-of-option"


def test_a_file_that_others_can_read_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    known = configuration.Configuration(configuration.path(), "", {"https://a.example": {"token": "12345678"}})
    known.save()
    configuration.load()
    assert capsys.readouterr().err == ""
    os.chmod(known.path, 0o644)
    configuration.load()
    assert "chmod 600" in capsys.readouterr().err


def test_a_broken_file_is_refused_without_quoting_it() -> None:
    path = configuration.path()
    path.parent.mkdir(parents=True)
    path.write_text("hubs: [token: 'super-secret")
    path.chmod(0o600)
    with pytest.raises(Usage) as refusal:
        configuration.load()
    assert "super-secret" not in str(refusal.value) + refusal.value.hint


@pytest.mark.parametrize("token", ["", "short", "with space in it", "line\r\nX-Evil: 1", "ümläut-token"])
def test_what_can_be_no_token_is_never_sent(token: str) -> None:
    with pytest.raises(Usage):
        configuration.check_token(token)


def test_expiries_are_understood_as_people_write_them() -> None:
    assert expiry("2030-01-31") == "2030-01-31T23:59:59+00:00"
    assert expiry("2030-01-31T12:00:00Z") == "2030-01-31T12:00:00+00:00"
    assert expiry("90d") is not None and expiry(None) is None
    for wrong in ("soon", "0d", "-1d", "90x"):
        with pytest.raises(Usage):
            expiry(wrong)


def test_a_name_stays_one_segment_of_the_path() -> None:
    assert segment("a/../b") == "a%2F..%2Fb"
    with pytest.raises(Usage):
        segment("..")
