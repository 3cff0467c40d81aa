"""Which environments an advisory is about, for those who may see them."""

from __future__ import annotations

import pytest

from channels_app.models import Advisory
from tests.api.conftest import World
from tests.environments_app.building import Submit, finish

pytestmark = pytest.mark.django_db


@pytest.fixture
def advisory() -> Advisory:
    return Advisory.objects.create(
        osv_id="GHSA-x4qr-2fvf-3mr5",
        name="OpenSSL",
        key="openssl",
        aliases=["CVE-2023-0286"],
        versions=["0.9.8"],
        ranges=[["1.1.0", "1.1.10", None], ["3.0.0", "3.0.8", None]],
    )


def test_ranges_are_compared_as_conda_does_and_only_current_builds_count(world: World, submit: Submit, advisory: Advisory) -> None:
    held = {"tools": "3.0.7", "patched": "3.0.10", "older": "1.1.9", "oldest": "0.9.8", "else": "1.0.2"}
    for name, version in held.items():
        finish(submit(name=name), {"openssl": version, "openssl-tool": "3.0.7"})
    finish(submit(name="tools"), {"openssl": "3.0.8"})
    api = world.api("reader")

    def found(**query: object) -> list[str]:
        rows = api.get("environments/affected", **query)["results"]
        return sorted(f"{row['environment']}@{row['number']} {row['name']} {row['version']}" for row in rows)

    now = ["older@1 openssl 1.1.9", "oldest@1 openssl 0.9.8"]
    assert found(advisory="CVE-2023-0286") == found(advisory="ghsa-x4qr-2fvf-3mr5") == now
    assert found(advisory="CVE-2023-0286", all_builds="true") == [*now, "tools@1 openssl 3.0.7"]
    assert world.api("outsider").get("environments/affected", advisory="CVE-2023-0286")["results"] == []
    for wrong in ("CVE-2023", "", "CVE-1"):
        assert api("GET", f"environments/affected?advisory={wrong}").status_code in (400, 404), wrong


def test_a_name_is_the_same_however_it_is_separated(world: World, submit: Submit) -> None:
    Advisory.objects.create(osv_id="PYSEC-1", name="Typing.Extensions", key="typing-extensions", ranges=[["0", None, None]])
    finish(submit(), {"typing_extensions": "4.0", "typing": "1.0"})
    rows = world.api("reader").get("environments/affected", advisory="PYSEC-1")["results"]
    assert [row["name"] for row in rows] == ["typing_extensions"]
