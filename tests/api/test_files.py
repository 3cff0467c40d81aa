"""Packages and files over the REST API: listed, published, moved between states, copied, hotfixed; and a channel's past."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from channels_app.models import PackageFile
from condahub.packages.maker import make_package
from tests.api.conftest import ROOT, Api, World
from tests.queries import counted

pytestmark = pytest.mark.django_db

INSIDE = {"subdir": "noarch", "filename": "inside-1.0-0.conda"}


def upload(api: Api, channel: str, path: Path, query: str = "", **headers: Any) -> Any:
    url = f"{ROOT}channels/{channel}/upload/{path.name}{query}"
    return api.client.generic("POST", url, data=path.read_bytes(), content_type="application/octet-stream", **headers)


def filenames(page: dict) -> list[str]:
    return [row["filename"] for row in page["results"]]


def test_packages_and_files_are_listed_with_filters(world: World) -> None:
    reader = world.api("reader")
    (package,) = reader.get("channels/inner/packages")["results"]
    assert (package["name"], package["latest_version"], package["platforms"], package["files_count"]) == ("inside", "2.0", ["noarch"], 2)
    assert reader.get("channels/inner/packages", q="SIDE")["count"] == 1
    assert reader.get("channels/inner/packages", subdir="noarch")["count"] == 1
    assert reader.get("channels/inner/packages", subdir="linux-64")["count"] == 0
    assert reader.get("channels/inner/packages/inside")["versions"] == ["2.0", "1.0"]
    assert filenames(reader.get("channels/inner/files", version="2.0")) == ["inside-2.0-0.conda"]
    assert filenames(reader.get("channels/inner/files", ordering="-filename")) == ["inside-2.0-0.conda", "inside-1.0-0.conda"]
    one = reader.get("channels/inner/files/noarch/inside-1.0-0.conda")
    assert (one["state"], one["uploaded_by"], one["record"]["name"]) == ("live", "it", "inside")
    assert one["record"]["sha256"] == one["sha256"]
    assert Api().get("channels/outer/files")["results"][0]["uploaded_by"] == "", "names of people are for those who are signed in"


@pytest.mark.parametrize(
    "path", ["packages", "packages/inside", "files", "files/noarch/inside-1.0-0.conda", "revisions", "revisions/1", "downloads"]
)
def test_what_lies_in_a_hidden_channel_answers_as_if_it_were_not(world: World, path: str) -> None:
    for who, status in (("", 401), ("outsider", 403)):
        hidden, unknown = (world.api(who)("GET", f"channels/{name}/{path}") for name in ("inner", "nowhere"))
        assert hidden.status_code == unknown.status_code == status
        assert hidden.content == unknown.content


def test_what_is_missing_in_a_channel_one_may_read_is_404(world: World) -> None:
    for path in ("packages/other", "files/noarch/other-1-0.conda", "revisions/99", "revisions/99/diff"):
        assert world.api("reader")("GET", f"channels/inner/{path}").status_code == 404


def test_a_package_is_published_and_the_same_bytes_again_are_fine(world: World, tmp_path: Path) -> None:
    path = make_package(tmp_path / "new", name="fresh")
    first = upload(world.api("contributor"), "inner", path)
    assert first.status_code == 201, first.content
    answer = first.json()
    assert (answer["created"], answer["filename"], answer["subdir"], answer["revision"]) == (True, path.name, "noarch", 4)
    assert answer["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    again = upload(world.api("contributor"), "inner", path)
    assert (again.status_code, again.json()["created"]) == (200, False)


def test_uploads_are_refused_with_a_reason(world: World, tmp_path: Path) -> None:
    path = make_package(tmp_path / "new", name="fresh")
    api = world.api("contributor")
    assert upload(world.api("reader"), "inner", path).status_code == 403
    assert upload(Api(), "inner", path).status_code == 401
    assert upload(api, "inner", path, f"?sha256={'0' * 64}").status_code == 406
    assert upload(api, "inner", path, "?sha256=xyz").status_code == 400
    assert upload(api, "inner", path, "?subdir=linux-64").status_code in (400, 422)
    assert upload(api, "inner", path, "?force=true").status_code == 403
    path.write_bytes(b"PK nothing")
    refused = upload(api, "inner", path)
    assert 400 <= refused.status_code < 500
    assert set(refused.json()) == {"code", "detail", "hint"}
    other = make_package(tmp_path / "other", name="inside", version="1.0", files={"share/x": b"other bytes"})
    assert upload(api, "inner", other).json()["code"] == "duplicate"


def test_a_browsers_session_opens_no_upload(world: World, tmp_path: Path) -> None:
    assert upload(world.session("owner"), "inner", make_package(tmp_path, name="fresh")).status_code == 401


def test_a_batch_is_published_whole_or_not_at_all(world: World, tmp_path: Path) -> None:
    api = world.api("contributor")
    paths = [make_package(tmp_path / "new", name=name) for name in ("one", "two")]

    def send(parts: list[tuple[str, bytes]]) -> Any:
        return api.client.post(f"{ROOT}channels/inner/uploads", {"files": [SimpleUploadedFile(name, data) for name, data in parts]})

    good = [(path.name, path.read_bytes()) for path in paths]
    broken = send([good[0], ("two-1.0-0.conda", b"nothing")])
    assert 400 <= broken.status_code < 500
    assert not PackageFile.objects.filter(name="one").exists()
    done = send(good)
    assert done.status_code == 201, done.content
    assert [row["filename"] for row in done.json()["files"]] == ["one-1.0-0.conda", "two-1.0-0.conda"]
    assert done.json()["revision"] == 4, "one change, one revision"
    assert send(good).status_code == 200
    assert api.client.post(f"{ROOT}channels/inner/uploads", {"files": "text"}).status_code == 422


def test_files_move_between_states(world: World) -> None:
    owner, reader = world.api("owner"), world.api("reader")
    path = "channels/inner/files/noarch/inside-1.0-0.conda"

    def verb(name: str, **more: str) -> dict:
        return owner.do("POST", f"channels/inner/files/{name}", {"files": [INSIDE], **more})

    yanked = verb("yank", reason="It does not start.")
    assert (yanked["files"][0]["state"], yanked["revision"]) == ("yanked", 4)
    assert verb("yank")["revision"] == 4, "a retry changes nothing"
    assert reader.get(path)["reason"] == "It does not start."
    assert verb("restore")["files"][0]["state"] == "live"
    assert owner("POST", "channels/inner/files/quarantine", {"files": [INSIDE]}).json()["code"] == "reason_missing"
    assert verb("quarantine", reason="Looked at.")["files"][0]["state"] == "held"
    assert reader("GET", path).status_code == 404, "what is held is not shown"
    assert world.api("contributor").get(path)["state"] == "held"
    assert verb("release")["files"][0]["state"] == "live"
    assert owner("DELETE", path).status_code == 204
    assert filenames(reader.get("channels/inner/files")) == ["inside-2.0-0.conda"]
    assert filenames(owner.get("channels/inner/files", state="deleted")) == ["inside-1.0-0.conda"]
    assert verb("purge", reason="A password in it.")["files"][0]["state"] == "purged"
    assert owner("POST", "channels/inner/files/paint", {"files": [INSIDE]}).json()["code"] == "no_such_verb"


def test_the_verbs_need_their_rights(world: World) -> None:
    body = {"files": [INSIDE], "reason": "why"}
    expected = {"reader": set(), "contributor": set(), "maintainer": {"delete", "yank", "restore", "quarantine", "release"}}
    for who, allowed in expected.items():
        for verb in ("delete", "yank", "restore", "quarantine", "release", "purge"):
            status = world.api(who)("POST", f"channels/inner/files/{verb}", body).status_code
            assert (status == 403) == (verb not in allowed), (who, verb, status)


def test_files_are_copied_and_promoted(world: World) -> None:
    owner = world.api("owner")
    owner.do("POST", "channels", {"organization": "acme", "name": "stable"}, 201)
    done = owner.do("POST", "channels/stable/copy", {"source": "inner", "files": [INSIDE]})
    assert [file["filename"] for file in done["files"]] == ["inside-1.0-0.conda"]
    assert done["files"][0]["url"].endswith("/channels/stable/noarch/inside-1.0-0.conda")
    promoted = {"source": "inner", "files": [{**INSIDE, "filename": "inside-2.0-0.conda"}], "promote": True}
    owner.do("POST", "channels/stable/copy", promoted)
    assert filenames(world.api("reader").get("channels/inner/files")) == ["inside-1.0-0.conda"]
    assert filenames(owner.get("channels/stable/files")) == ["inside-1.0-0.conda", "inside-2.0-0.conda"]
    hidden, unknown = (
        world.api("outsider")("POST", "channels/outer/copy", {"source": name, "files": [INSIDE]}) for name in ("inner", "nowhere")
    )
    assert hidden.status_code == unknown.status_code == 403
    assert hidden.content == unknown.content


def test_a_hotfix_changes_the_record_and_the_past_stays(world: World) -> None:
    maintainer = world.api("maintainer")
    fix = {"packages.conda": {"inside-1.0-0.conda": {"depends": ["python <4"]}}}
    done = maintainer.do("POST", "channels/inner/hotfix/noarch", fix)
    assert done["revision"] == 4
    assert maintainer.get("channels/inner/files/noarch/inside-1.0-0.conda")["record"]["depends"] == ["python <4"]
    difference = maintainer.get("channels/inner/revisions/4/diff")
    assert (difference["since"], difference["until"], difference["added"], difference["removed"]) == (3, 4, [], [])
    assert [(row["filename"], row["keys"]) for row in difference["changed"]] == [("inside-1.0-0.conda", ["depends"])]
    whole = maintainer.get("channels/inner/revisions/4/diff", since=0)
    assert [row["filename"] for row in whole["added"]] == ["inside-1.0-0.conda", "inside-2.0-0.conda"]
    assert maintainer("GET", "channels/inner/revisions/2/diff?since=3").status_code == 400
    for broken in ([], {"packages": 1}, {"packages.conda": {"inside-1.0-0.conda": {"sha256": "0"}}}, {"revoke": [1]}):
        assert maintainer("POST", "channels/inner/hotfix/noarch", broken).status_code == 422


def test_revisions_are_listed_newest_first(world: World) -> None:
    page = world.api("reader").get("channels/inner/revisions")
    assert [row["number"] for row in page["results"]] == [3, 2, 1]
    assert page["results"][0]["cause"] == "inside-2.0-0.conda published by it"
    assert page["results"][0]["subdirs"]["noarch"]["records"] == 2
    assert {row["cause"] for row in Api().get("channels/outer/revisions")["results"]} == {""}


def test_search_finds_only_what_the_asker_may_see(world: World) -> None:
    def found(api: Api, text: str) -> list[tuple[str, str]]:
        return [(row["kind"], row["name"]) for row in api.get("search", q=text)["results"]]

    assert found(world.api("reader"), "in") == [("channel", "inner"), ("package", "inside")]
    assert found(world.api("outsider"), "in") == []
    assert found(Api(), "ope") == [("package", "open")]
    assert Api().client.get(f"{ROOT}search").status_code == 400
    world.api("owner").do(
        "POST", "channels/inner/files/quarantine", {"files": [INSIDE, {**INSIDE, "filename": "inside-2.0-0.conda"}], "reason": "x"}
    )
    assert found(world.api("reader"), "inside") == [], "a package that is all held is not shown"


def test_lists_take_the_same_queries_however_long_they_are(world: World) -> None:
    reader = world.api("reader")
    paths = {
        "packages": "channels/inner/packages",
        "files": "channels/inner/files",
        "revisions": "channels/inner/revisions",
        "search": "search?q=n",
    }
    for growing in range(2):
        for key, path in paths.items():
            reader.do("GET", path)
            with counted(f"api {key}"):
                reader.do("GET", path)
        for number in range(3):
            world.push(world.inner, name=f"more{growing}{number}n")
