"""Whether code that packages bring may run: IT alone allows it, where it can be held; others can forbid it; all of it is written down."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from condahub.accounts.policy import Actor
from condahub.audit.models import AuditEvent
from condahub.engine import sandbox
from condahub.errors import Forbidden, Unprocessable
from condahub.ops.doctor import Level
from environments_app import checkups
from environments_app.building.limits import limits_of
from environments_app.models import Builder
from environments_app.services import policies, sandboxes
from environments_app.services.environments import create_environment
from tests.api.conftest import World

pytestmark = pytest.mark.django_db
SWITCHES = policies.CODE_SWITCHES


def who(world: World, name: str) -> Actor:
    return Actor.of(world.people[name])


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine can hold the code of packages."""
    monkeypatch.setattr(sandbox, "problem", lambda: ("", ""))


@pytest.mark.parametrize("switch", SWITCHES)
def test_it_is_off_until_it_allows_it_and_others_can_only_forbid_it(world: World, held: None, switch: str) -> None:
    environment = create_environment(actor=who(world, "owner"), organization=world.acme, name="tools")
    assert not getattr(policies.settings_for(world.acme, environment), switch)
    for on in (world.acme, environment):
        with pytest.raises(Unprocessable) as refused:
            policies.change_settings(actor=who(world, "owner"), on=on, changes={switch: True})
        assert refused.value.code == "only_it_allows"
    with pytest.raises(Forbidden):
        policies.change_settings(actor=who(world, "owner"), on=None, changes={switch: True})
    policies.change_settings(actor=who(world, "staff"), on=None, changes={switch: True})
    assert getattr(policies.settings_for(world.acme, environment), switch)
    written = AuditEvent.objects.filter(action="environment.settings").latest("pk")
    assert written.target == "installation" and written.details[switch] is True
    for on in (world.acme, environment):
        policies.change_settings(actor=who(world, "owner"), on=on, changes={switch: False})
        assert not getattr(policies.settings_for(world.acme, environment), switch)
        policies.change_settings(actor=who(world, "owner"), on=on, changes={switch: None})
    limits = limits_of(environment)
    assert (limits.link_scripts, limits.sdists) == (switch == "link_scripts_allowed", switch == "sdists_allowed")


def test_where_it_can_not_be_held_it_can_not_be_allowed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "problem", lambda: ("Bubblewrap is not installed.", "Install it."))
    for switch in SWITCHES:
        with pytest.raises(Unprocessable) as refused:
            policies.change_settings(actor=who(world, "staff"), on=None, changes={switch: True})
        assert refused.value.code == "sandbox_missing" and refused.value.hint == "Install it."
    assert policies.own_values(None) == {}
    policies.change_settings(actor=who(world, "staff"), on=None, changes={SWITCHES[0]: False})


def test_the_word_of_the_machines_that_build_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """In containers this process is another than the one that builds."""
    monkeypatch.setattr(sandbox, "problem", lambda: ("It does not work here.", ""))
    Builder.objects.create(hostname="builder-1", seen_at=timezone.now())
    assert sandboxes.problem() == ("", "")
    Builder.objects.create(hostname="builder-2", problem="Not allowed.", hint="Allow it.", seen_at=timezone.now())
    assert sandboxes.problem() == ("builder-2: Not allowed.", "Allow it.")
    Builder.objects.update(seen_at=timezone.now() - timedelta(hours=2))
    assert sandboxes.problem()[0] == "It does not work here.", "nobody has spoken lately"
    assert sandboxes.probe() == "It does not work here."
    assert [one.problem for one in Builder.objects.all()] == ["It does not work here."]


def test_the_doctor_says_what_is_on_and_can_not_be_held(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, str]] = [("", "")]
    monkeypatch.setattr(sandbox, "problem", lambda: said[-1])
    assert checkups.check_sandbox().level == Level.OK
    policies.change_settings(actor=who(world, "staff"), on=None, changes={"link_scripts_allowed": True})
    assert "may run" in checkups.check_sandbox().what
    said.append(("Bubblewrap is not installed.", "Install it."))
    found: Any = checkups.check_sandbox()
    assert found.level == Level.ERROR and "link_scripts_allowed" in found.what and found.mend == "Install it."
