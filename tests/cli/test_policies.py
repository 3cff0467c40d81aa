"""Policies and requests as people type them; advisories as an operator loads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from channels_app.models import Advisory
from condahub.accounts.models import User
from condahub.jobs.runner import drain
from tests.cli.conftest import Hub, Run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tools(hub: Hub, tmp_path: Path) -> Hub:
    """maria's channel with `free` and `viral`, and a file of rules that deny the second."""
    hub("channel", "create", "tools", "--org", "acme")
    for name, license in (("free", "MIT"), ("viral", "GPL-3.0-only")):
        hub("upload", "tools", hub.package(name, extra_index={"license": license}))
    (tmp_path / "rules.yaml").write_text("licenses:\n  denied: ['GPL*']\n")
    return hub


def test_rules_are_previewed_set_shown_and_what_they_hide_is_told(tools: Hub, tmp_path: Path) -> None:
    rules = str(tmp_path / "rules.yaml")
    previewed = tools("policy", "preview", rules, "--channel", "tools").stdout
    assert "1 more files would be hidden" in previewed and "viral-1.0-0.conda" in previewed
    assert "licenses" in tools("policy", "set", rules, "--channel", "tools").stdout
    drain("quick")
    assert "GPL*" in tools("policy", "show", "--channel", "tools").stdout
    told = tools("policy", "hidden", "tools").stdout
    assert "noarch/viral-1.0-0.conda" in told and "GPL-3.0-only" in told and "does not allow" in told
    assert tools.json("policy", "hidden", "tools")[0]["closure"]["packages"] == 1
    tools("policy", "release", "tools", "viral", "--reason", "Needed.", "--until", "30d")
    drain("quick")
    assert tools.json("policy", "hidden", "tools") == []
    tools("policy", "set", "-", "--channel", "tools", stdin="{}")
    assert tools.json("policy", "show", "--channel", "tools")["policies"][-1]["rules"] == {}


def test_rules_that_are_none_are_refused_before_or_by_the_hub(tools: Hub, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "wrong.yaml").write_text("speed: {}")
    for arguments, code in ((["broken.yaml"], 2), (["absent.yaml"], 2), (["wrong.yaml"], 1)):
        result = tools.run("policy", "set", str(tmp_path / arguments[0]), "--channel", "tools")
        assert result.exit_code == code and "Traceback" not in result.output
    assert tools.run("policy", "show", "--channel", "tools", "--org", "acme").exit_code == 2
    assert tools.run("policy", "set", str(tmp_path / "rules.yaml")).exit_code == 1, "the hub's own are for staff"


def test_a_request_is_asked_listed_approved_and_refused(tools: Hub, tmp_path: Path) -> None:
    tools("policy", "set", str(tmp_path / "rules.yaml"), "--channel", "tools")
    drain("quick")
    assert "denied" in tools("request", "ask", "tools", "viral", "--reason", "For a report.").stdout
    (asked,) = tools.json("request", "list")
    assert asked["spec"] == "viral" and asked["state"] == "asked"
    tools("request", "approve", str(asked["id"]), "--until", "90d")
    drain("quick")
    assert tools.json("policy", "hidden", "tools") == []
    other = tools.json("request", "ask", "tools", "absent >=2", "--reason", "For a report.", "--build", "acme/analysis@3")
    assert other["resume"] == "build:acme/analysis@3"
    assert "Refused" in tools("request", "refuse", str(other["id"]), "--answer", "Use free.").stdout
    assert {one["state"] for one in tools.json("request", "list", "--channel", "tools")} == {"approved", "refused"}


def test_an_operator_loads_a_folder_of_advisories(hub: Hub, run: Run, tmp_path: Path) -> None:
    assert User.objects.exists()
    folder = tmp_path / "osv"
    folder.mkdir()
    affected = [{"package": {"ecosystem": "PyPI", "name": "leaky"}, "versions": ["1.0"]}]
    for number in range(3):
        (folder / f"{number}.json").write_text(json.dumps({"id": f"GHSA-{number}", "affected": affected}))
    assert "3 advisories of 3 entries" in run("admin", "advisories", "load", str(folder)).output
    (folder / "broken.json").write_text("{")
    result = run("admin", "advisories", "load", str(folder))
    assert result.exit_code == 1 and "broken.json" in result.output
    assert Advisory.objects.count() == 3
