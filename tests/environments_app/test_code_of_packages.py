"""Whether code that packages bring may run: IT alone allows it, where it can be held; others can forbid it; all of it is written down."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from django.conf import settings
from django.utils import timezone

from condahub.accounts import services as accounts
from condahub.accounts.policy import Actor
from condahub.audit.models import AuditEvent
from condahub.engine import sandbox
from condahub.errors import Forbidden, Unprocessable
from condahub.jobs.context import JobContext
from condahub.ops.doctor import Level
from condahub.ops.gc import Sweep
from condahub.storage.blobs import blobs
from environments_app import checkups
from environments_app.artifacts.collect import collect_artifacts
from environments_app.building.context import BuildContext
from environments_app.building.limits import Limits, limits_of
from environments_app.models import Build, Builder
from environments_app.pip import phase, wheels
from environments_app.pip.protocol import Fetched
from environments_app.services import policies, sandboxes, usage
from environments_app.services.environments import create_environment
from tests.api.conftest import World
from tests.environments_app.building import finish, queue

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


def test_what_an_organization_has_built_is_taken_again_by_it_alone(world: World, tmp_path: Path) -> None:
    path = tmp_path / "made.whl"
    path.write_bytes(b"built here")
    sha256 = hashlib.sha256(b"built here").hexdigest()
    facts = {
        "name": "src",
        "version": "1.0",
        "filename": "src-1.0-py3-none-any.whl",
        "size": 10,
        "address": "https://index.example/src-1.0.tar.gz",
    }
    source = {"sdist": "src-1.0.tar.gz", "sdist_sha256": "ab" * 32, "built_with": ("backend-1.0-py3-none-any.whl sha256:cd",)}
    wheels.keep(world.acme.pk, [Fetched(sha256=sha256, path=str(path), **facts, **source)])  # type: ignore[arg-type]
    with wheels.built_before(world.acme.pk, tmp_path) as known:
        assert [(one.filename, one.sdist_sha256, Path(one.path).read_bytes(), one.built_with) for one in known] == [
            ("src-1.0-py3-none-any.whl", "ab" * 32, b"built here", source["built_with"])
        ]
    other = accounts.create_organization(actor=who(world, "staff"), name="beta", owner=world.people["owner"])
    with wheels.built_before(other.pk, tmp_path) as known:
        assert known == ()
    assert wheels.addresses(world.acme.pk, [sha256]) == {}, "it is nowhere but here"


def test_a_build_is_the_folder_of_another_only_where_as_many_scripts_ran(world: World) -> None:
    def context(allowed: bool) -> BuildContext:
        made = BuildContext.__new__(BuildContext)
        made.limits = Limits(1, 1, 1, 1, 1, link_scripts=allowed)
        return made

    none, left, ran = (
        Build(),
        Build(link_scripts=["bin/.a-post-link.sh"]),
        Build(scripts_sha256="ab", link_scripts=["bin/.a-pre-unlink.sh"]),
    )
    assert [context(True).ran_alike(one) for one in (none, left, ran)] == [True, False, True]
    assert [context(False).ran_alike(one) for one in (none, left, ran)] == [True, True, False]


def test_what_scripts_wrote_is_kept_as_long_as_a_build_names_it_and_counts(world: World) -> None:
    build = finish(queue(world))
    before = usage.used_by_organization(world.acme.pk)
    store = blobs("artifacts")
    kept, loose = store.put_bytes(b"what they wrote"), store.put_bytes(b"what nobody names")
    Build.objects.filter(pk=build.pk).update(scripts_sha256=kept, scripts_size=15)
    assert usage.used_by_organization(world.acme.pk) == before + 15
    list(collect_artifacts(Sweep(now=timezone.now() + timedelta(days=30), grace=timedelta(days=7), dry_run=False, check=lambda: None)))
    assert store.exists(kept) and not store.exists(loose)


@pytest.mark.parametrize("allowed", [False, True])
def test_source_distributions_are_built_only_where_the_limits_say_so(world: World, tmp_path: Path, allowed: bool) -> None:
    limits = Limits(1, 1, 2**20, 1, 1, sdists=allowed)
    asking = phase.Asking(cast("JobContext", None), world.acme.pk, {}, limits, 30.0)
    with phase._sources(asking, tmp_path, Path("/envs/e1")) as told:
        assert (told is not None) == allowed
        if told is not None:
            assert (told.prefix, told.seconds, told.memory_bytes, told.known) == ("/envs/e1", 30.0, 2**20, ())
            assert told.hidden == (str(settings.CONDAHUB_DATA), str(settings.CONDAHUB_ENVIRONMENTS_DIR))
    with phase._sources(asking, tmp_path, None) as told:
        assert told is None, "another machine's platform: there is no Python to build with"
