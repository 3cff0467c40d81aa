"""docs/quetz.md lists every address that these doors answer, and no address collides with another door's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.urls import resolve

from channels_app.urls import urlpatterns_web

DOCS = (Path(__file__).parents[3] / "docs" / "quetz.md").read_text()


def address(pattern: str) -> str:
    """`^api/users/(?P<username>[^/]+)/?$` as people write it."""
    bare = re.sub(r"\(\?:.*?\)\?$", "", pattern.removeprefix("^").removesuffix("$").removesuffix("/?"))
    return "/" + re.sub(r"\(\?P<([a-z_]+)>[^)]*\)", r"{\1}", bare).removesuffix("/?")


@pytest.mark.parametrize("pattern", [str(one.pattern) for one in urlpatterns_web])
def test_every_address_is_in_the_table(pattern: str) -> None:
    assert f"`{address(pattern)}`" in DOCS


@pytest.mark.parametrize("path", ["/api/hub/v1/channels", "/api/hub/v1/tokens", "/api/v1/permission/", "/api/v2/x"])
def test_other_doors_keep_their_addresses(path: str) -> None:
    ours = [one.pattern.regex for one in urlpatterns_web]
    assert not any(pattern.match(path.removeprefix("/")) for pattern in ours)


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_quetz_names_of_the_probes(path: str) -> None:
    assert resolve(path).func is resolve({"/health/live": "/livez", "/health/ready": "/readyz"}[path]).func
