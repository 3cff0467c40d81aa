"""Quetz's search language, and that a search finds nothing that is hidden."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from channels_app.faces.quetz.search import Term, parse
from channels_app.models import Channel
from tests.channels_app.faces.conftest import House

Make = Callable[..., Path]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        ("foo", [Term("", "foo")]),
        ("foo channel:x -platform:y NOT z", [Term("", "foo"), Term("channel", "x"), Term("platform", "y", True), Term("", "z", True)]),
        ('"two words" -"not these"', [Term("", "two words"), Term("", "not these", True)]),
        ("NOT -x", [Term("", "x")]),
        ("NOT channel:x", [Term("channel", "x", True)]),
        ("C++ a_b%", [Term("", "C++"), Term("", "a_b%")]),
        ("NOT", []),
    ],
)
def test_the_language(text: str, terms: list[Term]) -> None:
    assert parse(text) == terms


@pytest.mark.django_db(transaction=True)
class TestSearch:
    @pytest.fixture(autouse=True)
    def _filled(self, house: House, secret: Channel, package: Make) -> None:
        house.channel("open", "public")
        for path, channel in ((package("demo"), "open"), (package("a_b", subdir="linux-64"), "open"), (package("demo-hidden"), "secret")):
            assert house.upload(path, channel=channel).status_code == 201

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("demo", ["open/demo"]),
            ("", ["open/a_b", "open/demo"]),
            ("NOT demo", ["open/a_b"]),
            ("-platform:noarch", ["open/a_b"]),
            ("platform:linux-64 channel:open", ["open/a_b"]),
            ("channel:secret", []),
            ("_", ["open/a_b"]),
            ("%25", []),
            ("a%25b", []),
        ],
    )
    def test_packages_of_visible_channels(self, house: House, query: str, found: list[str]) -> None:
        rows = house.get(f"/api/packages/search/?q={query}")
        assert [f"{row['channel_name']}/{row['name']}" for row in rows] == found

    def test_readers_find_more(self, house: House) -> None:
        rows = house.get("/api/packages/search?q=demo", "reader")
        assert [row["name"] for row in rows] == ["demo", "demo-hidden"]
        assert house.get("/api/packages/search?q=hidden", "outsider") == []

    def test_channels(self, house: House) -> None:
        assert [row["name"] for row in house.get("/api/channels/search/?q=package:demo")] == ["open"]
        assert house.get("/api/channels/search/?q=secret") == []
        assert [row["name"] for row in house.get("/api/channels/search/?q=secret", "reader")] == ["secret"]

    @pytest.mark.parametrize("query", ["x:y", "a+" * 30, "a" * 600])
    def test_what_can_not_be_searched_is_422(self, house: House, query: str) -> None:
        assert house.call("GET", f"/api/packages/search/?q={query}").status_code == 422
