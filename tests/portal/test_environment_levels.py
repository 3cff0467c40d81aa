"""What holds for all environments is set by an organization's owners, and for all organizations by IT; an environment is bound by it."""

from __future__ import annotations

import pytest

from condahub.audit.models import AuditEvent
from condahub.engine import sandbox
from environments_app.portal.forms import PolicyForm
from environments_app.services import policies
from tests.api.conftest import World
from tests.portal.conftest import Visitor

pytestmark = pytest.mark.django_db


def test_an_owner_sets_what_holds_for_all_environments(world: World, visit: type[Visitor]) -> None:
    owner = visit(world, "owner")
    assert "/ui/acme/environment-settings" in owner.get("/ui/acme/environments")
    owner.post(
        "/ui/acme/environment-settings",
        **{"policy-default_channels": "inner\nouter", "policy-solve_seconds": "90", "policy-memory_bytes": str(2**31)},
    )
    assert policies.own_values(world.acme) == {"default_channels": ["inner", "outer"], "solve_seconds": 90, "memory_bytes": 2**31}
    assert "90" in owner.get("/ui/acme/environment-settings")
    assert AuditEvent.objects.filter(action="environment.settings", target="acme").exists()
    # Emptied, it is again what the hub says.
    owner.post("/ui/acme/environment-settings")
    assert policies.own_values(world.acme) == {}
    assert "/ui/acme/environment-settings" not in visit(world, "maintainer").get("/ui/acme/environments")


def test_every_setting_has_its_field() -> None:
    shown = [field.name for _, fields in PolicyForm().groups() for field in fields]
    assert sorted(shown) == sorted(policies.SETTINGS)


def test_what_is_wrong_is_said_beside_it(world: World, visit: type[Visitor]) -> None:
    page = visit(world, "owner").post("/ui/acme/environment-settings", status=422, **{"policy-default_platforms": "mars-64"})
    assert "mars-64" in page.content.decode()
    assert policies.own_values(world.acme) == {}


def test_it_staff_set_what_holds_in_the_whole_hub(world: World, visit: type[Visitor]) -> None:
    visit(world, "staff").post("/ui/environment-settings", **{"policy-pip_allowed": "no"})
    assert policies.own_values(None) == {"pip_allowed": False}
    visit(world, "owner").post("/ui/environment-settings", status=403)


def test_code_of_packages_is_allowed_on_the_page_of_it_alone(world: World, visit: type[Visitor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "problem", lambda: ("", ""))
    visit(world, "staff").post("/ui/environment-settings", **{"policy-link_scripts_allowed": "yes", "policy-sdists_allowed": "yes"})
    assert policies.own_values(None) == {"link_scripts_allowed": True, "sdists_allowed": True}
    # Saved once more when it can't be held any more: what is on already is no new wish.
    monkeypatch.setattr(sandbox, "problem", lambda: ("It does not work here.", ""))
    visit(world, "staff").post("/ui/environment-settings", **{"policy-link_scripts_allowed": "yes", "policy-sdists_allowed": "no"})
    assert policies.own_values(None) == {"link_scripts_allowed": True, "sdists_allowed": False}
    wished = visit(world, "owner").post("/ui/acme/environment-settings", status=422, **{"policy-sdists_allowed": "yes"})
    assert "IT alone allows it" in wished.content.decode()
    visit(world, "owner").post("/ui/acme/environment-settings", **{"policy-link_scripts_allowed": "no"})
    assert policies.own_values(world.acme) == {"link_scripts_allowed": False}
