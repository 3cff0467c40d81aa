"""The pages do what they say: lists and filters, forms and their refusals, uploads without scripts, headers, and few queries."""

from __future__ import annotations

import gzip
import hashlib
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from channels_app.models import Channel, FileState, PackageFile
from channels_app.services.channels import create_channel
from condahub.accounts import quota
from condahub.accounts.models import ApiToken, Organization
from condahub.accounts.policy import Actor
from condahub.accounts.services import create_token
from condahub.accounts.signin import patience
from condahub.audit.models import AuditEvent
from condahub.jobs.models import Job
from condahub.packages.maker import make_package
from condahub.portal import registry
from condahub.portal.jobs import MAX_SHOWN as JOBS_SHOWN
from environments_app.models import Build
from tests.api.conftest import Api, World
from tests.environments_app.building import make_environments
from tests.portal.conftest import Visitor
from tests.queries import counted

pytestmark = pytest.mark.django_db

PASSWORD = "a-scientist-signs-in-7"


def _csrf(text: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', text)
    assert found
    return found.group(1)


def _uploaded(path: Path) -> SimpleUploadedFile:
    return SimpleUploadedFile(path.name, path.read_bytes())


def test_pages_take_no_script_or_style_that_is_not_theirs(world: World, visit: type[Visitor]) -> None:
    response = visit(world, "owner").client.get("/ui/channels/inner/upload")
    policy = response["Content-Security-Policy"].split("; ")
    nonce = re.search(r'nonce="([^"]+)"', response.content.decode())
    assert nonce and f"script-src 'nonce-{nonce.group(1)}'" in policy
    assert "default-src 'none'" in policy and "unsafe" not in str(policy)
    text = response.content.decode()
    assert not re.search(r"<[^>]+\s(?:style|on\w+)=", text)
    assert not re.search(r"<(?:script|link rel=\"stylesheet\")(?![^>]*nonce=)", text)
    assert response["Cache-Control"] == "private, no-cache"


def test_from_an_empty_hub_to_a_first_package(world: World, visit: type[Visitor], tmp_path: Path) -> None:
    visitor = visit(world, "outsider")
    assert "Make a channel" in visitor.get("/ui/") and "condahub channel create outsider-tools" in visitor.get("/ui/")
    personal = Organization.objects.get(personal_of=world.people["outsider"])
    made = visitor.post("/ui/channels/new", organization=personal.name, name="first", visibility="private", description="")
    assert made["Location"] == "/ui/channels/first/upload"
    assert "Upload to first" in visitor.get("/ui/") and "condahub upload first *.conda" in visitor.get("/ui/")
    path = make_package(tmp_path, name="hello", version="1.0")
    page = visitor.get("/ui/channels/first/upload")
    sent = visitor.post("/ui/channels/first/upload", csrfmiddlewaretoken=_csrf(page), files=_uploaded(path))
    assert sent["Location"] == "/ui/channels/first"
    listed = visitor.get("/ui/channels/first")
    assert "hello-1.0-0.conda published; revision 2 shows it." in listed
    assert "/ui/channels/first/packages/hello" in listed
    then = visitor.get("/ui/")
    assert "First steps" not in then and "Make the first environment" in then
    assert "condahub env create outsider/analysis -f environment.yml" in then


def test_a_refused_upload_says_why_and_keeps_nothing(world: World, visit: type[Visitor], tmp_path: Path) -> None:
    visitor = visit(world, "contributor")
    token = _csrf(visitor.get("/ui/channels/inner/upload"))
    before = PackageFile.objects.count()
    broken = SimpleUploadedFile("hello-1.0-0.conda", b"no zip at all")
    response = visitor.client.post("/ui/channels/inner/upload", {"csrfmiddlewaretoken": token, "files": broken})
    assert 400 <= response.status_code < 500
    assert 'role="alert"' in response.content.decode()
    nothing = visitor.client.post("/ui/channels/inner/upload", {"csrfmiddlewaretoken": token})
    assert (nothing.status_code, "No package was chosen." in nothing.content.decode()) == (422, True)
    assert PackageFile.objects.count() == before


def test_an_upload_form_of_another_site_or_session_is_refused(world: World, tmp_path: Path) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.people["contributor"], backend="django.contrib.auth.backends.ModelBackend")
    page = client.get("/ui/channels/inner/upload").content.decode()
    path = make_package(tmp_path, name="forged", version="1.0")
    forms = (
        ({"files": _uploaded(path)}, {}),
        ({"csrfmiddlewaretoken": "x" * 64, "files": _uploaded(path)}, {}),
        ({"csrfmiddlewaretoken": _csrf(page), "files": _uploaded(path)}, {"origin": "https://elsewhere.example"}),
    )
    for fields, headers in forms:
        assert client.post("/ui/channels/inner/upload", fields, headers=headers).status_code == 403
    assert not PackageFile.objects.filter(name="forged").exists()
    good = {"csrfmiddlewaretoken": _csrf(page), "files": _uploaded(path)}
    assert client.post("/ui/channels/inner/upload", good, headers={"origin": "http://testserver"}).status_code == 302
    assert PackageFile.objects.filter(name="forged").exists()


def test_every_other_form_needs_its_csrf_token(world: World) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.people["owner"], backend="django.contrib.auth.backends.ModelBackend")
    for path in ("/ui/channels/inner/settings/delete", "/ui/account/tokens/new", "/ui/channels/inner/upload/token", "/accounts/logout/"):
        assert client.post(path, {"name": "inner"}).status_code == 403, path
    assert Channel.objects.get(name="inner").deleted_at is None


def test_a_browsers_upload_token_may_do_nothing_but_that(world: World, visit: type[Visitor], tmp_path: Path) -> None:
    visitor = visit(world, "contributor")
    answer = visitor.client.post("/ui/channels/inner/upload/token")
    made = answer.json()
    assert answer["Cache-Control"] == "no-store"
    token = ApiToken.objects.get()
    assert token.scopes == ["package:upload"] and token.is_limited and token.expires_at
    bearer = Client(headers={"Authorization": f"Bearer {made['token']}"})
    path = make_package(tmp_path, name="dropped", version="1.0")

    def send(channel: str) -> int:
        door = f"/api/hub/v1/channels/{channel}/upload/{path.name}"
        return bearer.post(door, path.read_bytes(), content_type="application/octet-stream").status_code

    assert send("outer") == 403
    assert send("inner") == 201
    assert bearer.get("/api/hub/v1/channels/inner").status_code == 403
    assert visitor.client.post(made["revoke"]).json() == {"revoked": True}
    assert send("inner") == 401


def test_the_files_of_a_package_are_listed_when_asked_for(world: World, visit: type[Visitor]) -> None:
    world.push(world.inner, name="tool", version="1.0", files={"bin/tool": b"#!/bin/sh\n", "share/tool/<data>": b"x" * 2000})
    path = "/ui/channels/inner/files/noarch/tool-1.0-0.conda"
    reader = visit(world, "reader")
    assert "bin/tool" not in reader.get(path)
    page = reader.get(path, files="1")
    assert "bin/tool" in page and "share/tool/&lt;data&gt;" in page and "2 files" in page
    visit(world, "outsider").get(path, 403, files="1")


def test_files_are_yanked_and_brought_back_by_ticking(world: World, visit: type[Visitor]) -> None:
    path, key = "/ui/channels/inner/packages/inside/change", "noarch/inside-1.0-0.conda"
    visit(world, "reader").post(path, file=key, verb="yank")
    assert PackageFile.objects.get(filename="inside-1.0-0.conda").state == FileState.LIVE
    maintainer = visit(world, "maintainer")
    maintainer.post(path, file=[key], verb="quarantine", reason="")
    assert "needs a reason" in maintainer.get("/ui/channels/inner/packages/inside")
    maintainer.post(path, file=[key], verb="yank", reason="wrong")
    assert PackageFile.objects.get(filename="inside-1.0-0.conda").state == FileState.YANKED
    assert "wrong" in maintainer.get("/ui/channels/inner/packages/inside")
    maintainer.post(path, file=[key], verb="restore")
    assert PackageFile.objects.get(filename="inside-1.0-0.conda").state == FileState.LIVE


def test_a_version_is_copied_and_promoted_from_its_page(world: World, visit: type[Visitor]) -> None:
    path, key = "/ui/channels/inner/packages/inside/copy", "noarch/inside-1.0-0.conda"
    stage = create_channel(actor=Actor.of(world.people["owner"]), organization=world.acme, name="stage")
    reader, maintainer = visit(world, "reader"), visit(world, "maintainer")
    assert "There is no channel to copy it to" in reader.get(path)
    reader.post(path, 403, file=key, to="stage", verb="copy")
    chosen = maintainer.post(path, 200, file=key, choose="yes").content.decode()
    assert re.findall(r'value="([^"]+)" aria-label="Tick [^"]+" checked', chosen) == [key]
    assert "No file is ticked." in maintainer.post(path, 422, to="stage", verb="copy").content.decode()
    assert maintainer.post(path, file=key, to="stage", verb="copy")["Location"] == "/ui/channels/stage/packages/inside"
    assert "1 file copied from inner to stage." in maintainer.get("/ui/channels/stage/packages/inside")
    # Others read outer: that takes the right to redistribute, and a refusal leaves both channels alone.
    refused = maintainer.post(path, 403, file=key, to="outer", verb="promote").content.decode()
    assert "&#x27;outer&#x27; is read by others" in refused and 'value="promote" checked' in refused
    maintainer.post(path, file=key, to="stage", verb="promote")
    assert not PackageFile.objects.filter(channel=world.inner, filename="inside-1.0-0.conda", state=FileState.LIVE).exists()
    assert PackageFile.objects.get(channel=stage).state == FileState.LIVE


def test_bars_show_all_that_quotas_count(world: World, visit: type[Visitor]) -> None:
    make_environments(world)
    Build.objects.filter(environment__name="tools", number=1).update(size=7_000_000_000, prefix="acme/one")
    assert registry.used_bytes([world.acme.pk]) == {world.acme.pk: quota.used_bytes(world.acme)}
    assert "7 GB" in visit(world, "owner").get("/ui/organizations")


def test_filters_are_in_the_address(world: World, visit: type[Visitor]) -> None:
    world.push(world.inner, name="other", version="1.0", subdir="linux-64")
    visitor = visit(world, "reader")
    assert "packages/inside" not in visitor.get("/ui/channels/inner", platform="linux-64")
    assert "packages/other" in visitor.get("/ui/channels/inner", platform="linux-64")
    assert "packages/other" not in visitor.get("/ui/channels/inner", q="insi")
    descending = visitor.get("/ui/channels/inner", sort="-name")
    assert descending.index("packages/other") < descending.index("packages/inside")
    for odd in ("%00", "-", "999999999999999999999", "' OR 1=1"):
        for name in ("q", "platform", "sort", "page", "before", "version", "since", "state", "organization", "visibility"):
            for path in (
                "/ui/channels",
                "/ui/channels/inner",
                "/ui/channels/inner/packages/inside",
                "/ui/channels/inner/revisions",
                "/ui/jobs",
            ):
                visitor.get(path, **{name: odd})


def test_a_revision_shows_what_came_and_went(world: World, visit: type[Visitor]) -> None:
    visitor = visit(world, "maintainer")
    visitor.post("/ui/channels/inner/packages/inside/change", file=["noarch/inside-1.0-0.conda"], verb="delete")
    head = Channel.objects.get(name="inner").head
    text = visitor.get(f"/ui/channels/inner/revisions/{head}")
    assert "1 file removed since revision" in text and "inside-1.0-0.conda" in text
    assert f"/channels/inner@{head}" in text
    visitor.get("/ui/channels/inner/revisions/4711", 404)
    visitor.get(f"/ui/channels/inner/revisions/{head}", 400, since=str(head + 5))


def test_a_token_is_shown_once(world: World, visit: type[Visitor]) -> None:
    visitor = visit(world, "reader")
    response = visitor.client.post("/ui/account/tokens/new", {"name": "laptop", "purpose": "read", "channel": "inner", "lifetime": "30"})
    text = response.content.decode()
    secret = re.search(r"chub-\w+-\w+-\w+", text)
    assert secret and response["Cache-Control"] == "no-store"
    assert f"/t/{secret.group()}/channels/inner" in text
    assert secret.group() not in visitor.get("/ui/account/tokens")
    assert "laptop" in visitor.get("/ui/account/tokens")
    token = ApiToken.objects.get(name="laptop")
    visitor.post(f"/ui/account/tokens/{token.pk}/revoke")
    assert "laptop" not in visitor.get("/ui/account/tokens").partition("</form></div>")[2].partition("is revoked")[2]
    refused = visitor.client.post("/ui/account/tokens/new", {"name": "x", "purpose": "read", "channel": "nowhere"})
    assert refused.status_code == 403 and "chub-" not in refused.content.decode()


def test_a_token_gets_a_new_secret_and_the_old_one_ends(world: World, visit: type[Visitor]) -> None:
    owner = visit(world, "owner")
    old = create_token(actor=Actor.of(world.people["owner"]), name="laptop", scopes=["read"])
    page = owner.post(f"/ui/account/tokens/{old.token.pk}/rotate", 200)
    found = re.search(r'id="secret">([^<]+)<', page.content.decode())
    assert found and found[1] != old.secret and page["Cache-Control"] == "no-store"
    assert Api(found[1])("GET", "me").status_code == 200 and Api(old.secret)("GET", "me").status_code == 401
    assert "not yours" in visit(world, "outsider").client.post(f"/ui/account/tokens/{old.token.pk}/rotate", follow=True).content.decode()


def test_nobody_revokes_anothers_token(world: World, visit: type[Visitor]) -> None:
    token = create_token(actor=Actor.of(world.people["owner"]), name="hers", scopes=["read"]).token
    visit(world, "maintainer").post(f"/ui/account/tokens/{token.pk}/revoke")
    token.refresh_from_db()
    assert token.revoked_at is None


def test_roles_are_given_and_taken(world: World, visit: type[Visitor]) -> None:
    owner, outsider = visit(world, "owner"), visit(world, "outsider")
    outsider.get("/ui/channels/inner", 403)
    owner.post("/ui/channels/inner/members", username="outsider", role="reader")
    outsider.get("/ui/channels/inner")
    listed = owner.get("/ui/channels/inner/members")
    revoke = re.search(r"/ui/channels/inner/members/\d+/revoke", listed)
    assert revoke
    owner.post(revoke.group())
    outsider.get("/ui/channels/inner", 403)
    assert "There is no such user." in owner.post("/ui/acme/members", 404, username="nobody-here", role="reader").content.decode()


def test_signing_in_and_out(world: World, visit: type[Visitor]) -> None:
    user = world.people["reader"]
    user.set_password(PASSWORD)
    user.save()
    client = Client()
    wrong = client.post("/accounts/login/", {"username": "reader", "password": "no"})
    assert "do not match" in wrong.content.decode() and "no-store" in wrong["Cache-Control"]
    right = client.post("/accounts/login/", {"username": "reader", "password": PASSWORD, "next": "/ui/channels/inner"})
    assert (right.status_code, right["Location"]) == (302, "/ui/channels/inner")
    assert client.get("/ui/channels/inner").status_code == 200
    assert client.get("/accounts/logout/").status_code == 405
    assert client.post("/accounts/logout/").status_code == 302
    assert client.get("/ui/channels/inner").status_code == 302
    away = client.post("/accounts/login/", {"username": "reader", "password": PASSWORD, "next": "https://elsewhere.example/"})
    assert away["Location"] == "/ui/"


def test_trying_passwords_is_slowed_down(world: World) -> None:
    user = world.people["reader"]
    user.set_password(PASSWORD)
    user.save()
    client = Client()
    for _ in range(patience.MAX_FAILURES_A_NAME):
        assert client.post("/accounts/login/", {"username": "reader", "password": "no"}).status_code == 200
    stopped = client.post("/accounts/login/", {"username": "reader", "password": PASSWORD})
    assert stopped.status_code == 429 and stopped["Retry-After"] and "Too many sign-ins failed." in stopped.content.decode()
    # Nobody else is shut out, and he is not from elsewhere.
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    assert elsewhere.post("/accounts/login/", {"username": "reader", "password": PASSWORD}).status_code == 302


def test_the_admin_is_entered_by_the_same_door(world: World, visit: type[Visitor]) -> None:
    asked = Client().get("/admin/", follow=True)
    assert asked.redirect_chain[-1] == ("/accounts/login/?next=%2Fadmin%2F", 302)
    assert visit(world, "staff").client.get("/admin/").status_code == 200
    told = visit(world, "reader").client.get("/admin/", follow=True)
    assert told.status_code == 200 and "You are signed in as reader" in told.content.decode()


def test_a_password_is_changed_with_the_old_one_alone(world: World, visit: type[Visitor]) -> None:
    user = world.people["reader"]
    user.set_password(PASSWORD)
    user.save()
    visitor = visit(world, "reader")
    visitor.post("/ui/account/password", current="guessed", new="another-good-one-8")
    user.refresh_from_db()
    assert user.check_password(PASSWORD)
    visitor.post("/ui/account/password", current=PASSWORD, new="another-good-one-8")
    user.refresh_from_db()
    assert user.check_password("another-good-one-8")
    visitor.get("/ui/account")
    assert AuditEvent.objects.filter(action="user.set_password").exists()


def test_what_runs_is_asked_for_cheaply(world: World, visit: type[Visitor]) -> None:
    client = visit(world, "reader").client
    headers = {"HX-Request": "true"}
    first = client.get("/ui/jobs/running", headers=headers)
    assert client.get("/ui/jobs/running", headers={**headers, "If-None-Match": first["ETag"]}).status_code == 304


def test_the_dashboard_tells_what_runs_and_what_failed(world: World, visit: type[Visitor]) -> None:
    now = timezone.now()
    Job.objects.create(kind="goes.on", lane="quick", organization=world.acme, state="running")
    for number in range(JOBS_SHOWN + 5):
        Job.objects.create(kind="of.many", lane="quick", organization=world.acme, state="waiting", message=f"waits {number}")
    Job.objects.create(
        kind="went.wrong", lane="quick", organization=world.acme, state="failed", finished_at=now, error_sentence="It broke."
    )
    Job.objects.create(kind="long.ago", lane="quick", organization=world.acme, state="failed", finished_at=now - timedelta(days=8))
    page = visit(world, "owner").get("/ui/")
    needs, runs = page.partition('id="attention-title"')[2], page.partition('id="running-title"')[2]
    assert "went.wrong" in needs.partition("</section>")[0] and "It broke." in page and "long.ago" not in page
    assert "goes.on" in runs.partition("</section>")[0] and page.count("of.many") == JOBS_SHOWN - 1
    assert "went.wrong" not in visit(world, "outsider").get("/ui/")


def test_light_and_dark_are_remembered(world: World, visit: type[Visitor]) -> None:
    visitor = visit(world)
    assert "data-bs-theme" not in visitor.get("/ui/channels").partition(">")[2].partition(">")[0]
    visitor.post("/ui/account/theme", theme="dark", next="/ui/channels")
    assert '<html lang="en" data-bs-theme="dark">' in visitor.get("/ui/channels")
    assert visitor.post("/ui/account/theme", theme="", next="//elsewhere.example")["Location"] == "/ui/"


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("dashboard", "/ui/"),
        ("search", "/ui/search?q=in"),
        ("jobs", "/ui/jobs"),
        ("channels", "/ui/channels"),
        ("channel", "/ui/channels/inner"),
        ("package", "/ui/channels/inner/packages/inside"),
        ("needed by", "/ui/channels/inner/packages/inside/needed-by"),
        ("copy", "/ui/channels/inner/packages/inside/copy"),
        ("file", "/ui/channels/inner/files/noarch/inside-1.0-0.conda"),
        ("upload", "/ui/channels/inner/upload"),
        ("revisions", "/ui/channels/inner/revisions"),
        ("revision", "/ui/channels/inner/revisions/2"),
        ("channel members", "/ui/channels/inner/members"),
        ("channel activity", "/ui/channels/inner/activity"),
        ("channel settings", "/ui/channels/inner/settings"),
        ("channel readers", "/ui/channels/inner/readers"),
        ("organizations", "/ui/organizations"),
        ("organization access", "/ui/acme/access?person=reader"),
        ("organization", "/ui/acme"),
        ("organization members", "/ui/acme/members"),
        ("organization teams", "/ui/acme/teams"),
        ("organization robots", "/ui/acme/robots"),
        ("organization activity", "/ui/acme/activity"),
        ("tokens", "/ui/account/tokens"),
    ],
)
def test_a_page_takes_few_queries(world: World, visit: type[Visitor], key: str, path: str) -> None:
    visitor = visit(world, "owner")
    visitor.get(path)
    with counted(f"portal {key}"):
        visitor.get(path)


def test_the_vendored_files_are_those_that_are_listed() -> None:
    for folder in ("condahub/static/vendor", "tests/vendor"):
        root = Path(__file__).parent.parent.parent / folder
        listed = dict(re.findall(r"^\| (\S+) .*`(\w{64})` \|$", (root / "VENDORED.md").read_text(), re.MULTILINE))
        files = {path for path in root.rglob("*") if path.is_file()}
        squeezed = {path for path in files if path.suffix == ".gz"}
        assert {str(path.relative_to(root)) for path in files - squeezed} == {*listed, "VENDORED.md"}
        assert all(gzip.decompress(path.read_bytes()) == path.with_suffix("").read_bytes() for path in squeezed)
        for name, digest in listed.items():
            assert hashlib.sha256((root / name).read_bytes()).hexdigest() == digest, name


def test_every_icon_of_the_templates_is_in_the_sprite() -> None:
    root = Path(__file__).parent.parent.parent
    there = set(re.findall(r'<symbol id="([\w-]+)"', (root / "condahub/static/vendor/icons.svg").read_text()))
    texts = [path.read_text() for path in (root / "templates").rglob("*.html")]
    used = {name for text in texts for name in re.findall(r'{% (?:icon|empty) "([\w-]+)"', text)}
    used |= {name for text in texts for name in re.findall(r"icons.svg' %}#([\w-]+)", text)}
    assert used and used <= there
