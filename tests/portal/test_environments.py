"""Environments in a browser: made, looked at, compared, rolled back; a fault stands at its line, a conflict on top, a wall stays a wall."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.conf import settings

from channels_app.models import Advisory, PackageFile
from condahub.accounts.policy import Actor
from condahub.engine.lock import HubLock, LockedChannel, PlatformLock
from condahub.engine.records import CondaRecord
from condahub.jobs.models import Job
from environments_app.artifacts.services import ARTIFACT_KIND
from environments_app.building import questions
from environments_app.building.outcome import keep_lock
from environments_app.models import Build, BuildArtifact, BuildState, Environment
from environments_app.services.builds import move, submit_specification
from environments_app.services.policies import own_values
from tests.api.conftest import World
from tests.environments_app.building import SPEC, finish, make_environments, queue
from tests.portal.conftest import Visitor
from tests.queries import counted

pytestmark = pytest.mark.django_db

TOOLS = "/ui/acme/environments/tools"
PRIVATE = "name: secrets\nchannels: [inner]\ndependencies:\n  - inside >=1\n"


def _text(page: str) -> str:
    """What a person reads: without the tags."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))


def _fail(build: Build) -> Build:
    detail = {
        "phase": "solve",
        "hint": "Loosen one of the lines.",
        "platform": "linux-64",
        "tree": "open >=9 cannot be installed because there are no viable options",
        "specs": [{"spec": "open >=9", "why": "no version of it is that new", "line": 4}],
        "missing": [],
        "hidden": [
            {
                "spec": "open >=9",
                "channel": "outer",
                "subdir": "noarch",
                "filename": "open-9.conda",
                "verdict": "hold",
                "reason": "too new",
            },
            {"spec": "open >=9", "channel": "inner", "subdir": "noarch", "filename": "inside-9.conda", "verdict": "deny", "reason": "no"},
        ],
    }
    assert move(build, BuildState.RUNNING)
    assert move(build, BuildState.FAILED, error_code="unsolvable", error_sentence="It can't be solved.", error_detail=detail)
    return build


def test_an_environment_opens_with_how_it_stands(world: World, visit: type[Visitor]) -> None:
    finish(queue(world), {"open": "1.0", "helper": "2"})
    waiting = queue(world, text=SPEC.replace(">=1", ">=2"))
    visitor = visit(world, "reader")
    assert "Current build 1, made just now from 2 packages; build 2 waits its turn." in visitor.get(TOOLS)
    move(waiting, BuildState.RUNNING)
    Build.objects.filter(pk=waiting.pk).update(phase="link")
    Job.objects.filter(pk=waiting.job_id).update(done=61, total=100)
    page = visitor.get(TOOLS)
    assert "build 2 is linking (61 %)." in page
    assert "condahub env pull acme/tools" in page
    assert "/t/&lt;token&gt;/conda-store/acme/tools" in page
    listed = _text(visitor.get("/ui/environments"))
    assert "acme tools" in listed and "Running" in listed
    assert f'href="{TOOLS}"' in visitor.get("/ui/")
    assert "Environments" in visitor.get("/ui/acme") and f'href="{TOOLS}"' in visitor.get("/ui/acme")
    assert f'href="{TOOLS}"' in visitor.get("/ui/search?q=too")


def test_a_fault_stands_at_its_line(world: World, visit: type[Visitor]) -> None:
    visitor = visit(world, "contributor")
    text = "name: tools\nchannels:\n  - outer\n  - nowhere\ndependencies:\n  - open >>1\n"
    fields = {"way": "yaml", "organization": "acme", "yaml": text.replace("\n", "\r\n")}
    part = visitor.post("/ui/environments/check", 200, **fields).content.decode()
    assert re.search(r'Line </span>6</th><td><code class="faulty">  - open &gt;&gt;1</code>', part), part
    page = visitor.post("/ui/environments/new", 422, go="build", **fields).content.decode()
    assert "open &gt;&gt;1" in page and "1 thing to mend" in page
    hidden = text.replace("open >>1", "open >=1")
    part = visitor.post("/ui/environments/check", 200, **{**fields, "yaml": hidden}).content.decode()
    assert "There is no channel &#x27;nowhere&#x27; that you may read." in part
    assert not Environment.objects.exists()


def test_from_fields_to_a_build_and_its_next(world: World, visit: type[Visitor]) -> None:
    visitor = visit(world, "contributor")
    fields = {"way": "fields", "organization": "acme", "name": "tools", "channels": "outer", "packages": "- open >=1\n\n# no\n"}
    picked = visitor.post("/ui/environments/pick", 200, find="ope", **fields).content.decode()
    assert 'value="open"' in picked and "open 1.0" not in picked
    assert 'value="open 1.0.*"' in visitor.post("/ui/environments/pick", 200, find="open", **fields).content.decode()
    assert "open 1.0.*</textarea>" in visitor.post("/ui/environments/pick", 200, add="open 1.0.*", **fields).content.decode()
    as_yaml = visitor.post("/ui/environments/new", 200, go="to-yaml", **fields).content.decode()
    assert "dependencies:\n- open &gt;=1" in as_yaml
    made = visitor.post("/ui/environments/new", 302, go="build", **fields)
    assert made["Location"] == f"{TOOLS}/builds/1"
    build = Build.objects.get()
    assert build.request["dependencies"] == ["open >=1"] and build.author == "contributor"
    again = visitor.post("/ui/environments/new", 409, go="build", **fields).content.decode()
    assert "has an environment" in again
    assert "open &gt;=1" in visitor.get(f"{TOOLS}/edit")
    changed = visitor.post(f"{TOOLS}/edit", 302, go="build", way="yaml", yaml=build.specification.text.replace(">=1", ">=0"))
    assert changed["Location"] == f"{TOOLS}/builds/2"


def test_a_next_build_updates_and_keeps_what_the_page_names(world: World, visit: type[Visitor]) -> None:
    visitor = visit(world, "contributor")
    build = finish(queue(world))
    records = tuple(
        CondaRecord(name=name, version="1.0", build="0", subdir="noarch", filename=f"{name}-1.0-0.conda", sha256="ab" * 32, channel="outer")
        for name in ("open", "other")
    )
    lock = HubLock.of(channels=[LockedChannel("outer", 1)], platforms={"linux-64": PlatformLock(conda=records)})
    Build.objects.filter(pk=build.pk).update(lock=keep_lock(lock))
    assert 'name="update"' in visitor.get(f"{TOOLS}/edit") and 'name="update"' not in visitor.get("/ui/environments/new")
    fields = {"way": "yaml", "yaml": SPEC, "update": "open", "keep": "other, open", "exclude_newer": "2026-05-01"}
    assert visitor.post(f"{TOOLS}/edit", 302, go="build", **fields)["Location"] == f"{TOOLS}/builds/2"
    request = Build.objects.get(number=2).request
    assert (request["update"], request["keep"], request["previous"]) == (["open"], ["open", "other"], 1)
    assert request["exclude_newer"].startswith("2026-05-01T23:59:59")
    as_fields = visitor.post(f"{TOOLS}/edit", 200, go="to-fields", **fields).content.decode()
    assert 'value="other, open"' in as_fields and 'value="2026-05-01"' in as_fields, "what was typed stays"
    wrong = visitor.post(f"{TOOLS}/edit", 422, go="build", **{**fields, "update": "absent"}).content.decode()
    assert "There is no conda package &#x27;absent&#x27; in build 1" in wrong
    asked = {**fields, "update": "absent", "organization": "acme", "environment": "tools"}
    part = visitor.post("/ui/environments/check", 200, **asked).content.decode()
    assert "There is no conda package &#x27;absent&#x27; in build 1" in part
    finish(Build.objects.get(number=2), {"open": "2.0"})
    told = _text(visitor.get(f"{TOOLS}/spec"))
    assert "Updated only open" in told and "Kept as they were open, other As in build 1" in told


def test_what_it_means_stands_beside_it(world: World, visit: type[Visitor]) -> None:
    digest = PackageFile.objects.get(filename="open-1.0-0.conda").sha256
    lock = f"# platform: linux-64\n@EXPLICIT\n{settings.CONDAHUB_PUBLIC_URL}/channels/outer/noarch/open-1.0-0.conda#{digest}\n"
    fields = {"way": "lock", "organization": "acme", "lock": lock}
    part = _text(visit(world, "contributor").post("/ui/environments/check", 200, **fields).content.decode())
    assert "It solves" in part and "linux-64 1 package to come" in part and "open 1.0" in part
    nothing = {"way": "yaml", "organization": "acme", "yaml": " "}
    assert "As soon as there is something" in visit(world, "outsider").post("/ui/environments/check", 200, **nothing).content.decode()
    visit(world, "outsider").post("/ui/environments/check", 403, **fields)


def test_packages_are_picked_of_channels_that_one_may_read(world: World, visit: type[Visitor]) -> None:
    fields = {"way": "fields", "channels": "inner\nouter", "find": "in"}
    assert "inside" in visit(world, "reader").post("/ui/environments/pick", 200, **fields).content.decode()
    assert "inside" not in visit(world, "outsider").post("/ui/environments/pick", 200, **fields).content.decode()


def test_when_too_many_ask_it_is_asked_again(world: World, visit: type[Visitor]) -> None:
    taken = 0
    while questions._places.acquire(blocking=False):
        taken += 1
    try:
        fields = {"way": "yaml", "organization": "acme", "yaml": SPEC}
        part = visit(world, "contributor").post("/ui/environments/check", 200, **fields).content.decode()
    finally:
        for _ in range(taken):
            questions._places.release()
    assert "It is asked again in a moment" in part and "load delay:3s" in part


def test_why_a_build_failed_stands_on_top(world: World, visit: type[Visitor]) -> None:
    finish(queue(world))
    _fail(queue(world, text=SPEC.replace(">=1", ">=9")))
    page = visit(world, "contributor").get(f"{TOOLS}/builds/2")
    assert page.index("It can&#x27;t be solved.") < page.index("The solver's tree") < page.index('id="live"')
    assert re.search(r"Line </span>4</th><td><code>open &gt;=9</code>", page)
    assert 'href="/ui/channels/outer/ask?spec=open%20%3E%3D9&amp;build=acme/tools@2"' in page
    assert "What was current stays so." in page
    assert "Build 2 failed" in visit(world, "reader").get(TOOLS)
    Environment.objects.update(visibility="public")
    told = visit(world, "outsider").get(f"{TOOLS}/builds/2")
    assert "open-9.conda" in told and "inside-9.conda" not in told


def test_two_builds_are_compared_and_one_is_rolled_back_to(world: World, visit: type[Visitor]) -> None:
    finish(queue(world), {"open": "1.0", "gone": "1"})
    finish(queue(world), {"open": "2.0", "came": "1"})
    visitor = visit(world, "contributor")
    page = _text(visitor.get(f"{TOOLS}/diff?before=1&after=2"))
    assert "1 added, 1 removed, 1 upgraded; +0 bytes in all." in page
    assert "1.0 h0_0 2.0 h0_0" in page
    for wrong in ("before=1&after=7", "before=x&after=2", ""):
        visitor.get(f"{TOOLS}/diff?{wrong}", 404)
    assert "Roll back to it" in visitor.get(f"{TOOLS}/builds/1")
    visitor.post(f"{TOOLS}/builds/1/act", verb="activate")
    assert "Current build 1," in visitor.get(TOOLS)
    visitor.post(f"{TOOLS}/builds/2/act", verb="activate")
    visitor.post(f"{TOOLS}/act", verb="rollback")
    environment = Environment.objects.select_related("current_build").get()
    assert environment.current_build is not None and environment.current_build.number == 1
    assert "Roll back" not in visit(world, "reader").get(TOOLS)
    visit(world, "reader").post(f"{TOOLS}/builds/2/act", verb="activate")
    environment.refresh_from_db()
    assert environment.current_build.number == 1


def test_builds_are_pinned_cancelled_built_again_and_deleted(world: World, visit: type[Visitor]) -> None:
    finish(queue(world))
    finish(queue(world))
    visitor = visit(world, "maintainer")
    for verb, pinned in (("pin", True), ("unpin", False)):
        visitor.post(f"{TOOLS}/builds/1/act", verb=verb)
        assert Build.objects.get(number=1).pinned is pinned
    made = visitor.post(f"{TOOLS}/builds/1/act", verb="again")
    assert made["Location"] == f"{TOOLS}/builds/3"
    visitor.post(f"{TOOLS}/builds/3/act", verb="cancel")
    assert Build.objects.get(number=3).state == BuildState.CANCELLED
    visitor.post(f"{TOOLS}/builds/3/act", verb="delete")
    visitor.post(f"{TOOLS}/builds/2/act", verb="delete")
    assert sorted(Build.objects.values_list("number", flat=True)) == [1, 2]
    assert "is the current one" in visitor.get(f"{TOOLS}/builds/2")


def test_a_growing_log_is_asked_for_cheaply_until_the_build_has_ended(world: World, visit: type[Visitor]) -> None:
    build = queue(world)
    client = visit(world, "reader").client
    headers = {"HX-Request": "true"}
    first = client.get(f"{TOOLS}/builds/1/live", headers=headers)
    assert first.status_code == 200 and "every 2s" in first.content.decode()
    assert client.get(f"{TOOLS}/builds/1/live", headers={**headers, "If-None-Match": first["ETag"]}).status_code == 304
    finish(build)
    assert client.get(f"{TOOLS}/builds/1/live", headers=headers)["HX-Refresh"] == "true"


def test_an_artifact_that_is_not_there_is_made_by_a_button(world: World, visit: type[Visitor]) -> None:
    from condahub.engine.lock import HubLock, PlatformLock
    from environments_app.building.outcome import keep_lock

    build = finish(queue(world))
    Build.objects.filter(pk=build.pk).update(lock=keep_lock(HubLock.of(channels=(), platforms={"linux-64": PlatformLock()})))
    Environment.objects.update(visibility="public")
    visitor = visit(world, "reader")
    assert 'name="kind" value="installer"' in visitor.get(f"{TOOLS}/artifacts")
    assert "Make it" not in visit(world).get(f"{TOOLS}/artifacts")
    visitor.post(f"{TOOLS}/builds/1/make", kind="installer", platform="linux-64")
    assert Job.objects.filter(kind=ARTIFACT_KIND).count() == 1
    page = visitor.get(f"{TOOLS}/artifacts")
    assert "Being made" in page and "every 4s" in page
    visitor.post(f"{TOOLS}/builds/1/make", kind="no such", platform="linux-64")
    assert "There is no artifact" in visitor.get(f"{TOOLS}/builds/1")
    assert BuildArtifact.objects.count() == 1


def test_settings_roles_and_the_end(world: World, visit: type[Visitor]) -> None:
    finish(queue(world))
    owner, outsider = visit(world, "owner"), visit(world, "outsider")
    outsider.get(TOOLS, 403)
    owner.post(f"{TOOLS}/members", user="outsider", role="reader")
    outsider.get(TOOLS)
    assert f'href="{TOOLS}"' in outsider.get("/ui/")
    revoke = re.search(rf"{TOOLS}/members/\d+/revoke", owner.get(f"{TOOLS}/members"))
    assert revoke
    owner.post(revoke.group())
    outsider.get(TOOLS, 403)
    owner.post(f"{TOOLS}/settings", which="about", description="for all", visibility="internal")
    assert "for all" in outsider.get(TOOLS)
    policy = {
        "policy-default_channels": "outer\n",
        "policy-pip_allowed": "no",
        "policy-build_seconds": "60",
        "policy-rebuild": "when_newer",
    }
    owner.post(f"{TOOLS}/settings", which="policy", **policy)
    environment = Environment.objects.get()
    assert own_values(environment) == {"default_channels": ["outer"], "pip_allowed": False, "build_seconds": 60, "rebuild": "when_newer"}
    assert "Looked at again" in owner.get(TOOLS)
    wrong = owner.post(f"{TOOLS}/settings", 422, which="policy", **{"policy-default_platforms": "vax-32"})
    assert "vax-32" in wrong.content.decode()
    owner.post(f"{TOOLS}/act", verb="archive")
    assert "takes no new builds" in owner.get(TOOLS)
    owner.post(f"{TOOLS}/act", verb="delete", name="tool")
    owner.get(TOOLS)
    owner.post(f"{TOOLS}/act", verb="delete", name="tools")
    owner.get(TOOLS, 403)


def test_which_environments_hold_a_package(world: World, visit: type[Visitor]) -> None:
    finish(queue(world), {"open": "1.0"})
    visitor = visit(world, "reader")
    assert "acme/tools" in visitor.get("/ui/environments/holding", q="open <2")
    assert "None that you may see holds" in visitor.get("/ui/environments/holding", q="open >=2")
    assert "can&#x27;t be read as a package" in visitor.get("/ui/environments/holding", 400, q=">>")
    assert "acme/tools" not in visit(world, "outsider").get("/ui/environments/holding", q="open <2")
    Advisory.objects.create(osv_id="CVE-2026-1", name="open", key="open", versions=["1.0"])
    assert "acme/tools" in visitor.get("/ui/environments/holding", q="CVE-2026-1")


def test_who_may_not_read_a_channel_sees_no_build_of_it(world: World, visit: type[Visitor]) -> None:
    """Neither the number, nor the state, nor that there is one."""
    owner = Actor.of(world.people["owner"])
    build = submit_specification(actor=owner, organization=world.acme, text=PRIVATE)
    finish(build, {"inside": "1.0"})
    Environment.objects.update(visibility="internal")
    outsider = visit(world, "outsider")
    page = outsider.get("/ui/acme/environments/secrets")
    assert "Nothing has been built yet." in page
    for path in ("packages", "spec", "artifacts", "builds"):
        assert "inside" not in outsider.get(f"/ui/acme/environments/secrets/{path}")
    outsider.get("/ui/acme/environments/secrets/builds/1", 404)
    listed = outsider.get("/ui/environments")
    assert "secrets" in listed and "/builds/1" not in listed
    assert "inside" in visit(world, "reader").get("/ui/acme/environments/secrets/packages")


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("environments", "/ui/environments"),
        ("environments of an organization", "/ui/acme/environments"),
        ("environments holding", "/ui/environments/holding?q=open"),
        ("environment", TOOLS),
        ("environment new", "/ui/environments/new"),
        ("environment edit", f"{TOOLS}/edit"),
        ("environment builds", f"{TOOLS}/builds"),
        ("environment build", f"{TOOLS}/builds/2"),
        ("environment build live", f"{TOOLS}/builds/2/live"),
        ("environment diff", f"{TOOLS}/diff?before=1&after=3"),
        ("environment packages", f"{TOOLS}/packages"),
        ("environment spec", f"{TOOLS}/spec"),
        ("environment artifacts", f"{TOOLS}/artifacts"),
        ("environment members", f"{TOOLS}/members"),
        ("environment activity", f"{TOOLS}/activity"),
        ("environment settings", f"{TOOLS}/settings"),
    ],
)
def test_a_page_takes_few_queries(world: World, visit: type[Visitor], key: str, path: str) -> None:
    make_environments(world)
    visitor = visit(world, "owner")
    visitor.get(path)
    with counted(f"portal {key}"):
        visitor.get(path)
