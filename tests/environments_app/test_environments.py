"""Environments, their builds and settings: who may do what, and that nothing leaks through what is made of channels."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from channels_app.services.channels import delete_channel
from condahub.accounts import quota, services
from condahub.accounts.policy import SYSTEM, Actor, Permission
from condahub.errors import Conflict, Forbidden, HubError, Invalid, NotAuthenticated, NotFound, Unprocessable
from condahub.jobs.models import Job
from condahub.jobs.states import JobState
from environments_app import selectors
from environments_app.diffs import diff
from environments_app.models import Build, BuildChannel, BuildState, Environment, EnvironmentSettings, Specification
from environments_app.models.states import TRANSITIONS, check_transition
from environments_app.services import builds, environments, policies
from environments_app.spec import SpecInvalid
from tests.api.conftest import World
from tests.environments_app.building import SPEC, Submit, finish

pytestmark = pytest.mark.django_db
PRIVATE = "name: secret-tools\nchannels: [inner]\ndependencies: [inside]\n"


def who(world: World, name: str) -> Actor:
    return Actor.of(world.people[name]) if name else Actor.anonymous()


def numbers(world: World, name: str) -> list[int]:
    return sorted(Build.objects.visible_to(who(world, name)).values_list("number", flat=True))


def test_a_specification_becomes_a_queued_build_of_its_environment(world: World, submit: Submit) -> None:
    build = submit()
    assert (str(build), build.state, build.author) == ("acme/tools@1", "queued", "contributor")
    assert build.job is not None and build.job.payload == {"build": build.pk}
    assert build.request["channels"] == ["outer"] and build.request["platforms"] == ["linux-64"]
    assert [row.name for row in build.made_of.all()] == ["outer"]
    assert submit().pk == build.pk, "the same that still waits is not built twice"
    finish(build)
    assert submit().number == 2, "once it ended it is solved anew"
    assert Specification.objects.count() == 1


def test_a_specification_is_a_fact(submit: Submit) -> None:
    specification = submit().specification
    specification.text = "other"
    with pytest.raises(TypeError):
        specification.save()


def test_who_may_not_make_or_build_there_is_refused_before_anything_is_read(world: World) -> None:
    for name, error in (("", NotAuthenticated), ("outsider", Forbidden), ("reader", Forbidden)):
        with pytest.raises(error):
            builds.submit_specification(actor=who(world, name), organization=world.acme, text="[", name="tools")


def test_a_specification_names_only_channels_its_author_may_read(world: World) -> None:
    services.grant(actor=who(world, "owner"), on=world.outer, role="reader", user=world.people["outsider"])
    home = world.people["outsider"].personal_organization
    told = []
    for channel in ("inner", "no-such-channel"):
        with pytest.raises(SpecInvalid) as caught:
            builds.submit_specification(actor=who(world, "outsider"), organization=home, text=f"name: x\nchannels:\n  - {channel}\n")
        told.append(caught.value.problems[0])
    assert [(problem.line, problem.code) for problem in told] == [(3, "no_such_channel")] * 2
    assert told[0].detail.replace("inner", "no-such-channel") == told[1].detail, "hidden and unknown answer alike"


def test_a_build_is_seen_only_by_those_who_may_read_each_of_its_channels(world: World, submit: Submit) -> None:
    owner = who(world, "owner")
    build = finish(submit("owner", text=PRIVATE))
    somebody = services.create_user(actor=SYSTEM, username="somebody")
    services.grant(actor=owner, on=build.environment, role="owner", user=somebody)
    assert list(Environment.objects.visible_to(Actor.of(somebody))) == [build.environment], "it may know of the environment"
    assert not Build.objects.visible_to(Actor.of(somebody)).exists(), "a grant on it is no way around the channel"
    with pytest.raises(NotFound):
        selectors.build_for(Actor.of(somebody), build.environment, 1)
    assert not selectors.holding(Actor.of(somebody), "inside").exists()
    services.grant(actor=owner, on=world.inner, role="reader", user=somebody)
    assert Build.objects.visible_to(Actor.of(somebody)).get() == build


def test_a_private_channel_is_shared_through_an_environment_by_its_owner_alone(world: World, submit: Submit) -> None:
    build = finish(submit("maintainer", text=PRIVATE))
    with pytest.raises(Forbidden, match="'inner'"):
        environments.update_environment(actor=who(world, "maintainer"), environment=build.environment, changes={"visibility": "public"})
    assert numbers(world, "") == numbers(world, "outsider") == []
    environments.update_environment(actor=who(world, "owner"), environment=build.environment, changes={"visibility": "public"})
    assert numbers(world, "") == numbers(world, "outsider") == [1]


def test_a_later_build_of_a_shared_environment_needs_the_owner_s_word_too(world: World, submit: Submit) -> None:
    build = finish(submit())
    environments.update_environment(actor=who(world, "maintainer"), environment=build.environment, changes={"visibility": "public"})
    with pytest.raises(Forbidden) as caught:
        submit(name="tools", text=PRIVATE)
    assert caught.value.code == "channel_not_shareable"
    assert submit("owner", name="tools", text=PRIVATE).number == 2


def test_a_channel_that_becomes_private_takes_what_was_made_of_it_along(world: World, submit: Submit) -> None:
    build = finish(submit())
    environments.update_environment(actor=who(world, "maintainer"), environment=build.environment, changes={"visibility": "public"})
    assert numbers(world, "outsider") == [1]
    type(world.outer).objects.filter(pk=world.outer.pk).update(visibility="private")
    assert numbers(world, "outsider") == numbers(world, "") == []
    BuildChannel.objects.update(channel=None)
    assert numbers(world, "outsider") == [], "nor does the end of the channel open it"
    assert numbers(world, "reader") == numbers(world, "staff") == [1]


def test_two_organizations_do_not_see_each_other(world: World, submit: Submit) -> None:
    finish(submit())
    for name in ("", "outsider"):
        assert not Environment.objects.visible_to(who(world, name)).exists()
        assert numbers(world, name) == []
        answers = []
        for organization, environment in (("acme", "tools"), ("nobody", "nothing")):
            with pytest.raises(HubError) as caught:
                selectors.environment_for(who(world, name), organization, environment, Permission.ENVIRONMENT_READ)
            answers.append((caught.value.status, caught.value.detail))
        assert answers[0] == answers[1]


@pytest.mark.parametrize("name", ["Tools", "a/b", "x" * 65, "builds", "current", "filesystem", "..", "ümlaut", ""])
def test_a_name_that_no_folder_or_image_could_have_is_refused_at_the_door(world: World, name: str) -> None:
    with pytest.raises(Unprocessable):
        environments.create_environment(actor=who(world, "owner"), organization=world.acme, name=name)


def test_a_deleted_environment_answers_nothing_and_its_name_is_free(world: World, submit: Submit) -> None:
    owner = who(world, "owner")
    first = finish(submit())
    waiting = submit()
    services.grant(actor=owner, on=first.environment, role="reader", user=world.people["outsider"])
    environments.delete_environment(actor=owner, environment=first.environment)
    waiting.refresh_from_db()
    assert waiting.state == BuildState.CANCELLED and Job.objects.get(pk=waiting.job_id).state == JobState.CANCELLED
    assert not Environment.objects.visible_to(owner).exists() and numbers(world, "staff") == []
    again = environments.create_environment(actor=owner, organization=world.acme, name="tools")
    assert again.pk != first.environment_id
    with pytest.raises(Forbidden):
        environments.update_environment(actor=owner, environment=first.environment, changes={"description": "x"})
    with pytest.raises(Conflict):
        environments.create_environment(actor=owner, organization=world.acme, name="tools")


def test_an_archived_environment_takes_no_builds_until_it_is_back(world: World, submit: Submit) -> None:
    build = finish(submit())
    environments.archive_environment(actor=who(world, "contributor"), environment=build.environment)
    with pytest.raises(Conflict):
        submit()
    environments.unarchive_environment(actor=who(world, "contributor"), environment=build.environment)
    assert submit().number == 2


def test_the_current_build_is_chosen_and_rolled_back(world: World, submit: Submit) -> None:
    contributor = who(world, "contributor")
    one, two, three = (finish(submit()) for _ in range(3))
    environment = Environment.objects.select_related("organization", "current_build").get()
    assert environment.current_build == three and not environment.current_is_chosen
    assert environments.roll_back(actor=contributor, environment=environment).current_build == two
    assert environments.roll_back(actor=contributor, environment=environments.lock(environment)).current_build == one
    with pytest.raises(Conflict):
        environments.roll_back(actor=contributor, environment=environments.lock(environment))
    assert environments.lock(environment).current_is_chosen
    with pytest.raises(Conflict):
        environments.activate_build(actor=contributor, environment=environment, build=submit())
    with pytest.raises(Forbidden):
        environments.activate_build(actor=who(world, "reader"), environment=environment, build=two)


def test_the_current_a_pinned_and_an_unfinished_build_can_not_be_deleted(world: World, submit: Submit) -> None:
    maintainer = who(world, "maintainer")
    one, two = finish(submit()), finish(submit())
    waiting = submit()
    builds.pin_build(actor=maintainer, build=one, pinned=True)
    for build, code in ((two, "build_is_current"), (one, "build_is_pinned"), (waiting, "build_not_ended")):
        with pytest.raises(Conflict) as caught:
            builds.delete_build(actor=maintainer, build=build)
        assert caught.value.code == code
    builds.pin_build(actor=maintainer, build=one, pinned=False)
    builds.delete_build(actor=maintainer, build=one)
    assert numbers(world, "owner") == [2, 3]
    assert submit(text=SPEC + "  - more\n").number == 4, "a number is never given twice"


def test_a_build_that_waits_is_cancelled_with_its_job(world: World, submit: Submit) -> None:
    build = submit()
    with pytest.raises(Forbidden):
        builds.cancel_build(actor=who(world, "reader"), build=build)
    assert builds.cancel_build(actor=who(world, "contributor"), build=build).state == BuildState.CANCELLED
    assert Job.objects.get(pk=build.job_id).state == JobState.CANCELLED
    assert builds.cancel_build(actor=who(world, "contributor"), build=build).state == BuildState.CANCELLED


def test_a_running_build_is_ended_by_its_worker(world: World, submit: Submit) -> None:
    build = submit()
    Job.objects.filter(pk=build.job_id).update(state=JobState.RUNNING)
    builds.move(build, BuildState.RUNNING, phase="solve")
    assert builds.cancel_build(actor=who(world, "contributor"), build=build).state == BuildState.RUNNING
    assert Job.objects.get(pk=build.job_id).cancel_requested


def test_the_states_of_a_build_are_a_written_automaton(submit: Submit) -> None:
    assert {state for targets in TRANSITIONS.values() for state in targets} <= set(TRANSITIONS)
    for state in (BuildState.COMPLETED, BuildState.FAILED, BuildState.CANCELLED):
        with pytest.raises(ValueError, match="can't go"):
            check_transition(state, BuildState.RUNNING)
    build = submit()
    stale = Build.objects.get(pk=build.pk)
    assert builds.move(build, BuildState.CANCELLED)
    assert not builds.move(stale, BuildState.RUNNING), "who looked before loses"
    with pytest.raises(IntegrityError), transaction.atomic():
        Build.objects.filter(pk=build.pk).update(phase="solve")


def test_settings_are_merged_from_the_installation_to_the_environment(world: World) -> None:
    staff, owner, contributor = who(world, "staff"), who(world, "owner"), who(world, "contributor")
    environment = environments.create_environment(actor=contributor, organization=world.acme, name="tools")
    policies.change_settings(
        actor=staff,
        on=None,
        changes={"allowed_channels": ["outer", "inner"], "memory_bytes": 100, "default_channels": ["outer"], "pip_allowed": False},
    )
    policies.change_settings(
        actor=owner, on=world.acme, changes={"allowed_channels": ["outer", "else"], "memory_bytes": 500, "required_packages": ["a"]}
    )
    policies.change_settings(
        actor=contributor,
        on=environment,
        changes={"default_channels": ["inner"], "pip_allowed": True, "required_packages": ["b >1"], "solve_seconds": 9},
    )
    merged = policies.settings_for(world.acme, environment)
    assert merged.allowed_channels == {"outer"} and merged.memory_bytes == 100 and not merged.pip_allowed, "the strictest wins"
    assert merged.default_channels == ("inner",), "the nearest wins"
    assert merged.required_packages == ("a", "b >1") and merged.solve_seconds == 9
    assert policies.change_settings(actor=owner, on=world.acme, changes={"memory_bytes": None, "required_packages": None}) == {
        "allowed_channels": ["outer", "else"]
    }
    assert EnvironmentSettings.objects.count() == 3
    with pytest.raises(IntegrityError), transaction.atomic():
        EnvironmentSettings.objects.create()


@pytest.mark.parametrize(
    "changes",
    [
        {"nothing": 1},
        {"memory_bytes": -1},
        {"memory_bytes": True},
        {"memory_bytes": 2**60},
        {"allowed_channels": "outer"},
        {"allowed_channels": ["https://else.example/x"]},
        {"required_packages": ["./x"]},
        {"default_platforms": ["amiga"]},
        {"virtual_packages": {"cuda": "12"}},
        {"virtual_packages": {"__cuda": 12}},
        {"pip_allowed": "yes"},
        {"allowed_pip_indexes": ["https://me:word@h.example/"]},
        {"artifacts": ["cake"]},
    ],
)
def test_a_setting_that_can_not_be_is_refused(world: World, changes: dict) -> None:
    with pytest.raises(Unprocessable):
        policies.change_settings(actor=who(world, "staff"), on=None, changes=changes)
    assert not EnvironmentSettings.objects.exists()


def test_each_level_s_settings_are_for_those_who_run_it(world: World) -> None:
    environment = environments.create_environment(actor=who(world, "owner"), organization=world.acme, name="tools")
    for name, on in (("owner", None), ("maintainer", world.acme), ("reader", environment)):
        with pytest.raises(Forbidden):
            policies.change_settings(actor=who(world, name), on=on, changes={"solve_seconds": 1})


@pytest.mark.parametrize(
    ("setting", "text", "code"),
    [
        ({"allowed_channels": ["inner"]}, SPEC, "channel_not_allowed"),
        ({"allowed_platforms": ["win-64"]}, SPEC + "platforms: [linux-64]\n", "platform_not_allowed"),
        ({"required_packages": ["audit-tool"]}, SPEC, "package_required"),
        ({"pip_allowed": False}, SPEC + "  - pip: [requests]\n", "pip_not_allowed"),
        ({}, SPEC + "  - pip: [-i https://else.example/simple, requests]\n", "index_not_allowed"),
        ({}, "name: x\ndependencies: [open]\n", "no_channel"),
    ],
)
def test_what_settings_do_not_allow_is_refused_at_the_door(world: World, setting: dict, text: str, code: str) -> None:
    policies.change_settings(actor=who(world, "staff"), on=world.acme, changes=setting)
    with pytest.raises(SpecInvalid) as caught:
        builds.submit_specification(actor=who(world, "contributor"), organization=world.acme, text=text)
    assert [problem.code for problem in caught.value.problems] == [code]


def test_defaults_and_included_packages_are_added(world: World) -> None:
    policies.change_settings(
        actor=who(world, "staff"),
        on=world.acme,
        changes={"default_channels": ["outer"], "required_channels": ["inner"], "included_packages": ["open >=2", "ipykernel"]},
    )
    request = builds.validate(actor=who(world, "reader"), text="name: x\ndependencies: [open]\n", organization=world.acme).request
    assert request.values["channels"] == ["outer", "inner"]
    assert request.dependencies == ("open", "ipykernel"), "what is asked for by name stays as asked"


def test_a_diff_says_what_came_went_and_changed(submit: Submit) -> None:
    one = finish(submit(), {"a": "1.0", "b": "1.9", "c": "2", "same": "1"}, size=100)
    two = finish(submit(), {"a": "1.10", "b": "1.8", "d": "1", "same": "1"}, size=150)
    found = {row.name: (str(row.change), row.size_change) for row in diff(one, two)}
    assert found == {"a": ("upgraded", 50), "b": ("downgraded", 50), "c": ("removed", -100), "d": ("added", 150)}


def test_search_compares_versions_as_conda_does(world: World, submit: Submit) -> None:
    finish(submit(), {"openssl": "3.0.7"})
    finish(submit(name="other"), {"openssl": "3.0.10"})
    finish(submit(name="old"), {"openssl": "1.1.1w"})
    actor = who(world, "reader")

    def found(text: str, **more: bool) -> list[str]:
        return sorted(row.build.environment.name for row in selectors.holding(actor, text, **more))

    assert found("openssl <3.0.8") == ["old", "tools"]
    assert found("openssl 3.*") == ["other", "tools"]
    assert found("openssl") == ["old", "other", "tools"]
    finish(submit(), {"openssl": "3.0.20"})
    assert found("openssl <3.0.8") == ["old"], "only what is current"
    assert found("openssl <3.0.8", all_builds=True) == ["old", "tools"]
    assert not selectors.holding(who(world, "outsider"), "openssl").exists()
    for text in ("*", "", "./x", "a b c d"):
        with pytest.raises(Invalid):
            list(selectors.holding(actor, text))


def test_what_builds_hold_counts_against_the_organization(world: World, submit: Submit) -> None:
    finish(submit(), {"a": "1", "b": "1"}, size=1000)
    assert quota.usage_by_kind(world.acme)["environments"] == 2000


def test_a_deleted_channel_can_not_be_built_from(world: World) -> None:
    delete_channel(actor=who(world, "owner"), channel=world.outer)
    with pytest.raises(SpecInvalid):
        builds.submit_specification(actor=who(world, "contributor"), organization=world.acme, text=SPEC)
