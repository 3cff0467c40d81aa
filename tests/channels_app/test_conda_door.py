"""What conda's clients get at /channels and /get: who may read, what a status means, what caches may keep, how little it costs."""

from __future__ import annotations

import base64
import bz2
import hashlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
import time_machine
import zstandard
from django.db import OperationalError
from django.utils import timezone

from channels_app import doors
from channels_app.faces import conda
from channels_app.index import answers, stage2
from channels_app.models import Channel, IndexFile
from channels_app.services import downloads, states
from channels_app.services.channels import create_channel, rename_channel, update_channel
from condahub.accounts import cache
from condahub.accounts.actors import Limit
from condahub.accounts.models import Organization, User
from condahub.accounts.policy import Actor
from condahub.accounts.services import create_token, create_user, grant, revoke_token
from condahub.jobs.models import Job
from condahub.jobs.runner import drain
from condahub.packages.maker import make_package
from condahub.storage.blobs import blobs
from tests.channels_app.conftest import Publisher, push_file
from tests.channels_app.doors_of import ask
from tests.channels_app.index_states import forget_everything
from tests.queries import counted

pytestmark = pytest.mark.django_db(transaction=True)
FILE = "noarch/demo-1.0-0.conda"


@dataclass
class House:
    """A channel of each visibility with one package, and the tokens of people who may and may not read them."""

    staff: Actor
    organization: Organization
    reader: str
    outsider: str
    channels: dict[str, Channel]


@pytest.fixture
def house(staff: Actor, organization: Organization, push: Publisher) -> House:
    tokens = {}
    for name in ("reader", "outsider"):
        user = create_user(actor=staff, username=name)
        if name == "reader":
            grant(actor=staff, on=organization, role="reader", user=user)
        tokens[name] = create_token(actor=Actor.of(user), name="a key", scopes=("read",)).secret
    channels = {}
    for visibility in ("public", "internal", "private"):
        channels[visibility] = create_channel(actor=staff, organization=organization, name=f"{visibility}-one", visibility=visibility)
        push(channels[visibility], name="demo", version="1.0")
    forget_everything()
    cache.forget()
    return House(staff, organization, tokens["reader"], tokens["outsider"], channels)


def as_(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


@pytest.mark.parametrize("data", [False, True], ids=["web", "data"])
@pytest.mark.parametrize("path", [FILE, "noarch/repodata.json", "noarch/nothing.json", "notices.json", "", "noarch/absent-1-0.conda"])
def test_who_may_read_is_told_before_what_there_is(house: House, path: str, data: bool) -> None:
    def status(channel: str, token: str) -> int:
        return ask(f"/channels/{channel}/{path}", data=data, **as_(token)).status

    there = 404 if "nothing" in path or "absent" in path else 200
    assert status("public-one", "") == status("public-one", house.outsider) == there
    assert status("public-one", "chub-user-wrong") == 401, "an invalid token is told, even where none is needed"
    assert status("internal-one", "") == 401
    assert status("internal-one", house.outsider) == there
    assert status("private-one", "") == status("never-heard-of", "") == 401
    assert status("private-one", house.reader) == there
    hidden, unknown = (ask(f"/channels/{name}/{path}", data=data, **as_(house.outsider)) for name in ("private-one", "never-heard-of"))
    assert hidden.status == unknown.status == 403
    assert hidden.body == unknown.body and hidden.headers == unknown.headers
    assert ask(f"/channels/never-heard-of/{path}", data=data, **as_(house.reader)).status == 403


@pytest.mark.parametrize("data", [False, True], ids=["web", "data"])
@pytest.mark.parametrize("door", ["channels", "get"])
def test_a_token_opens_both_doors_in_each_of_its_forms(house: House, door: str, data: bool) -> None:
    path = f"/{door}/private-one/{FILE}"
    basic = base64.b64encode(f"anybody:{house.reader}".encode()).decode()
    for headers in ({"Authorization": f"Bearer {house.reader}"}, {"Authorization": f"Basic {basic}"}, {"X_API_Key": house.reader}):
        assert ask(path, data=data, **headers).status == 200
    assert ask(f"/t/{house.reader}{path}", data=data).status == 200
    assert ask(f"/t/{house.outsider}{path}", data=data).status == 403
    assert ask(f"/t/no-such-token{path}", data=data).status == 401
    assert ask(f"/t/{path}", data=data).status == 401
    assert ask(f"/t//{door}/public-one/{FILE}", data=data).status == 200, "an empty token is none"


def test_a_revoked_token_is_refused_within_ten_seconds(house: House) -> None:
    user = User.objects.get(username="reader")
    made = create_token(actor=Actor.of(user), name="another", scopes=("read",))
    path = f"/channels/private-one/{FILE}"
    assert ask(path, **as_(made.secret)).status == 200
    revoke_token(actor=Actor.of(user), token=made.token)
    assert ask(path, **as_(made.secret)).status == 401


def test_a_token_for_one_channel_reads_no_other(house: House) -> None:
    user = User.objects.get(username="reader")
    limit = Limit(house.organization.pk, house.channels["private"].pk, "", "")
    secret = create_token(actor=Actor.of(user), name="one", scopes=("read",), limits=[limit]).secret
    other = create_channel(actor=house.staff, organization=house.organization, name="private-two")
    assert ask("/channels/private-one/noarch/repodata.json", **as_(secret)).status == 200
    assert ask(f"/channels/{other.name}/noarch/repodata.json", **as_(secret)).status == 403


def test_a_deleted_organizations_channels_are_closed(house: House) -> None:
    Organization.objects.filter(pk=house.organization.pk).update(deleted_at=timezone.now())
    assert ask("/channels/public-one/noarch/repodata.json").status == 401


# What caches may keep


def test_cache_rules_follow_visibility_and_whether_bytes_can_change(house: House) -> None:
    def control(path: str, token: str = "") -> str:
        return ask(path, **as_(token)).headers["Cache-Control"]

    forever = "max-age=31536000, immutable"
    assert control(f"/channels/public-one/{FILE}") == f"public, {forever}"
    assert control(f"/channels/private-one/{FILE}", house.reader) == f"private, {forever}"
    assert control(f"/channels/internal-one/{FILE}", house.outsider) == f"private, {forever}"
    assert control("/channels/public-one/noarch/repodata.json") == "public, no-cache"
    assert control("/channels/private-one/noarch/repodata.json", house.reader) == "private, no-cache"
    update_channel(actor=house.staff, channel=house.channels["public"], changes={"allow_overwrite": True})
    forget_everything()
    assert control(f"/channels/public-one/{FILE}") == "public, no-cache"
    assert control(f"/channels/public-one@2/{FILE}") == f"public, {forever}"
    yesterday_on = (timezone.now() + timedelta(days=2)).date().isoformat()
    assert control(f"/channels/public-one@{yesterday_on}/{FILE}") == "public, no-cache", "what a day to come shows can still change"
    shard = next(iter(_shards("/channels/public-one/noarch").values()))
    assert control(f"/channels/public-one/noarch/shards/{shard.hex()}.msgpack.zst") == f"public, {forever}"
    refused = ask("/channels/private-one/noarch/repodata.json")
    assert refused.status == 401 and refused.headers["Cache-Control"] == "no-store"


def _shards(base: str) -> dict[str, bytes]:
    import msgspec

    shards: dict[str, bytes] = msgspec.msgpack.decode(zstandard.decompress(ask(f"{base}/repodata_shards.msgpack.zst").body))["shards"]
    return shards


INDEX_FILES = [
    f"noarch/{name}{ending}" for name in ("repodata.json", "current_repodata.json", "run_exports.json") for ending in ("", ".zst", ".bz2")
]
INDEX_FILES += ["noarch/repodata_shards.msgpack.zst", "channeldata.json", "channeldata.json.zst", "notices.json", FILE]
TYPES = {
    ".json": "application/json",
    ".zst": "application/zstd",
    ".bz2": "application/x-bzip2",
    ".conda": "application/vnd.conda.package.v2",
}


@pytest.mark.parametrize("path", INDEX_FILES)
def test_head_conditions_and_ranges_are_those_of_the_get(house: House, path: str) -> None:
    url = f"/channels/public-one/{path}"
    whole = ask(url)
    assert whole.status == 200 and int(whole.headers["Content-Length"]) == len(whole.body)
    assert whole.headers["Content-Type"] == next(kind for ending, kind in TYPES.items() if path.endswith(ending))
    if path not in (FILE, "notices.json"):
        assert whole.headers["X-Condahub-Revision"] == "2"
    etag = whole.headers["ETag"]
    assert etag.startswith('"') and etag == f'"{hashlib.sha256(whole.body).hexdigest()}"'
    head = ask(url, method="HEAD")
    assert (head.status, head.body, head.headers) == (200, b"", whole.headers)
    again = ask(url, If_None_Match=etag)
    assert (again.status, again.body) == (304, b"") and again.headers["ETag"] == etag
    assert ask(url, If_None_Match='"other"').status == 200
    if "Last-Modified" in whole.headers:
        assert ask(url, If_Modified_Since=whole.headers["Last-Modified"]).status == 304
    size = len(whole.body)
    for asked, start, stop in (("0-4", 0, 5), ("5-", 5, size), ("-3", size - 3, size), ("2-99999999", 2, size)):
        part = ask(url, Range=f"bytes={asked}")
        assert (part.status, part.body) == (206, whole.body[start:stop])
        assert part.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
    assert ask(url, Range="bytes=0-4", If_Range=etag).status == 206
    assert ask(url, Range="bytes=0-4", If_Range='"other"').body == whole.body
    assert ask(url, Range=f"bytes={size}-").status == 416


def test_nothing_but_reading_is_answered_by_the_byte_serving_process(house: House) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        reply = ask(f"/channels/public-one/{FILE}", method=method, data=True)
        assert reply.status == 405 and reply.headers["Allow"] == "GET, HEAD"


# Names and paths


ODD_PATHS = [
    "../settings.py",
    "%2e%2e/settings.py",
    "..%2f..%2fetc/passwd",
    "noarch/../noarch/repodata.json",
    "noarch/..%2frepodata.json",
    "noarch//repodata.json",
    "/noarch/repodata.json",
    "noarch/shards/../repodata.json",
    "noarch/shards/repodata.json",
    "noarch/shards/" + "g" * 64 + ".msgpack.zst",
    "noarch/shards/" + "A" * 64 + ".msgpack.zst",
    "noarch/shards/" + "ab%20" * 22 + ".msgpack.zst",
    "noarch/shards/.msgpack.zst",
    "noarch/shards/shards/" + "0" * 64 + ".msgpack.zst",
    "shards/" + "0" * 64 + ".msgpack.zst",
    "noarch/demo-1.0-0.conda%00",
    "noarch/demo%00-1.0-0.conda",
    "noarch%00/repodata.json",
    "noarch/%ff%fe-1.0-0.conda",
    "noarch/" + "x" * 5000 + ".conda",
    "NOARCH/repodata.json",
    "linux_64/repodata.json",
    "x" * 65 + "-64/repodata.json",
    "demo-1.0-0.conda",
    "repodata.json",
    "noarch/channeldata.json",
    "noarch/notices.json",
    "noarch/repodata.json.gz",
    "noarch/repodata.jlap",
    "channeldata.jsonx",
    "../",
    "a/b/c/",
    "noarch/demo-1.0-0.conda/",
]


@pytest.mark.parametrize("data", [False, True], ids=["web", "data"])
def test_odd_paths_are_not_found_and_nothing_else(house: House, data: bool) -> None:
    for path in ODD_PATHS:
        reply = ask(f"/channels/public-one/{path}", data=data)
        assert reply.status == 404, path
        assert b"Traceback" not in reply.body and len(reply.body) < 2000


ODD_NAMES = ["%00", "a%00b", "..", "%2e%2e", "a" * 5000, "A", "%ff", "public-one%20", "'; drop table", "*", ""]


@pytest.mark.parametrize("at", ["", "@1", "@%00"])
def test_odd_channel_names_are_as_unknown_as_others(house: House, at: str) -> None:
    for name in ODD_NAMES:
        path = f"/channels/{name}{at}/noarch/repodata.json"
        assert ask(path).status == 401, name
        assert ask(path, **as_(house.reader)).status == 403, name


@pytest.mark.parametrize("subdir", ["linux-64", "win-arm64", "zos-z", "emscripten-wasm32"])
def test_a_subdir_that_never_held_anything_is_valid_and_empty(house: House, subdir: str) -> None:
    base = f"/channels/public-one/{subdir}"
    whole = ask(f"{base}/repodata.json").json()
    assert whole == {"info": {"subdir": subdir}, "packages": {}, "packages.conda": {}, "removed": [], "repodata_version": 1}
    assert _shards(base) == {}
    assert orjson.loads(bz2.decompress(ask(f"{base}/repodata.json.bz2").body)) == whole
    assert ask(f"{base}/run_exports.json").json()["packages"] == {}


def test_a_browser_is_sent_to_the_channels_page_and_a_program_is_told_the_subdirs(house: House) -> None:
    for path in ("/channels/public-one", "/channels/public-one/", "/channels/public-one/index.html", "/channels/public-one/noarch/"):
        page = ask(path, Accept="text/html,application/xhtml+xml")
        assert page.status == 302 and page.headers["Location"].endswith("/ui/channels/public-one")
        assert ask(path, Accept="*/*").json() == {"channel": "public-one", "revision": 2, "subdirs": ["noarch"]}
    assert ask("/channels/public-one@1/").json()["revision"] == 1
    assert ask("/channels/private-one/", Accept="text/html").status == 401


# The past


@pytest.fixture
def dated(staff: Actor, organization: Organization, tmp_path: Path) -> Channel:
    """Revision 1 of 1 March (empty), 2 of 2 March (1.0), 3 of 3 March 12:00 (2.0 too), 4 of 4 March (1.0 deleted)."""
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=True):
        channel = create_channel(actor=staff, organization=organization, name="dated", visibility="public")
    for day, version in ((2, "1.0"), (3, "2.0")):
        with time_machine.travel(datetime(2026, 3, day, 12, tzinfo=UTC), tick=True):
            push_file(staff, channel, make_package(tmp_path, "demo", version))
    with time_machine.travel(datetime(2026, 3, 4, 12, tzinfo=UTC), tick=True):
        states.change_state(actor=staff, channel=channel, verb=states.DELETE, files=[("noarch", "demo-1.0-0.conda")])
    forget_everything()
    return channel


@pytest.mark.parametrize(
    ("at", "revision"),
    [
        ("1", 1),
        ("3", 3),
        ("2026-03-02", 2),
        ("20260302", 2),
        ("2026-03-03", 3),
        ("2026-03-03T11:59:59Z", 2),
        ("2026-03-03T13:00:00Z", 3),
        ("2026-03-03T12:30:00+01:00", 2),
        ("2026-03-03T13:00:00", 3),
        ("2026-03-31", 4),
        ("9999-12-31", 4),
        ("0", None),
        ("5", None),
        ("007", None),
        ("2026-02-28", None),
        ("", None),
        ("latest", None),
        ("²", None),
        ("-1", None),
        ("1.0", None),
        ("99999999999999999999", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("2026-13-45", None),
        ("%00", None),
        ("2@3", None),
    ],
)
def test_a_revision_is_named_by_number_day_or_time(dated: Channel, at: str, revision: int | None) -> None:
    reply = ask(f"/channels/dated@{at}/noarch/repodata.json")
    if revision is None:
        assert reply.status == 404 and reply.json()["code"] == "no_such_revision"
        return
    assert (reply.status, reply.headers["X-Condahub-Revision"]) == (200, str(revision))
    shown = {1: [], 2: ["demo-1.0-0.conda"], 3: ["demo-1.0-0.conda", "demo-2.0-0.conda"], 4: ["demo-2.0-0.conda"]}[revision]
    assert sorted(reply.json()["packages.conda"]) == shown


def test_a_file_is_to_be_had_where_its_revision_shows_it(dated: Channel) -> None:
    name = "noarch/demo-1.0-0.conda"
    statuses = {at: ask(f"/channels/dated{at}/{name}").status for at in ("", "@1", "@2", "@3", "@4", "@2026-03-02", "@2026-03-04")}
    assert statuses == {"": 404, "@1": 404, "@2": 200, "@3": 200, "@4": 404, "@2026-03-02": 200, "@2026-03-04": 404}


def test_the_past_never_shows_bytes_that_came_later(dated: Channel, staff: Actor, tmp_path: Path) -> None:
    update_channel(actor=staff, channel=dated, changes={"allow_overwrite": True})
    other = push_file(staff, dated, make_package(tmp_path / "other", "demo", "1.0", files={"share/other": b"other"}))
    assert other.revision == 5
    first = ask("/channels/dated@2/noarch/demo-1.0-0.conda")
    assert first.status == 200 and first.headers["ETag"] != f'"{other.file.sha256}"'
    assert ask("/channels/dated@4/noarch/demo-1.0-0.conda").status == 404
    assert ask("/channels/dated@5/noarch/demo-1.0-0.conda").headers["ETag"] == f'"{other.file.sha256}"'


def test_what_was_yanked_is_to_be_had_then_and_now(dated: Channel, staff: Actor) -> None:
    states.change_state(actor=staff, channel=dated, verb=states.YANK, files=[("noarch", "demo-2.0-0.conda")])
    for at in ("", "@5", "@4", "@3"):
        assert ask(f"/channels/dated{at}/noarch/demo-2.0-0.conda").status == 200, at
    assert ask("/channels/dated/noarch/repodata.json").json()["removed"] == ["demo-1.0-0.conda", "demo-2.0-0.conda"]


def test_purged_and_held_say_why(dated: Channel, staff: Actor) -> None:
    files = [("noarch", "demo-2.0-0.conda")]
    states.change_state(actor=staff, channel=dated, verb=states.QUARANTINE, files=files, reason="looks odd")
    forget_everything()
    held = ask("/channels/dated/noarch/demo-2.0-0.conda")
    assert held.status == 403 and "looks odd" in held.json()["detail"]
    states.change_state(actor=staff, channel=dated, verb=states.PURGE, files=files, reason="a secret in it")
    forget_everything()
    for at in ("", "@3", "@4"):
        purged = ask(f"/channels/dated{at}/noarch/demo-2.0-0.conda")
        assert purged.status == 410 and "a secret in it" in purged.json()["detail"]
        assert purged.headers["Cache-Control"] == "no-store"


def test_a_name_that_was_purged_serves_what_is_published_under_it_later(dated: Channel, staff: Actor, tmp_path: Path) -> None:
    """Also in a process that has just said 410."""
    update_channel(actor=staff, channel=dated, changes={"allow_overwrite": True})
    states.change_state(actor=staff, channel=dated, verb=states.PURGE, files=[("noarch", "demo-2.0-0.conda")], reason="why")
    doors.door("dated", fresh=True)
    assert ask("/channels/dated/noarch/demo-2.0-0.conda").status == 410
    done = push_file(staff, dated, make_package(tmp_path / "other", "demo", "2.0", files={"share/other": b"other"}))
    doors.door("dated", fresh=True)
    assert ask("/channels/dated/noarch/demo-2.0-0.conda").headers["ETag"] == f'"{done.file.sha256}"'


# Other names


def test_an_old_name_goes_on_answering_with_a_notice(house: House) -> None:
    channel = house.channels["public"]
    assert ask("/channels/public-one/notices.json").json() == {"notices": []}
    rename_channel(actor=house.staff, channel=channel, name="renamed")
    forget_everything()
    for name in ("public-one", "renamed"):
        assert ask(f"/channels/{name}/{FILE}").status == 200
        assert ask(f"/channels/{name}@2/noarch/repodata.json").status == 200
    assert ask("/channels/renamed/notices.json").json() == {"notices": []}
    first = ask("/channels/public-one/notices.json")
    (notice,) = first.json()["notices"]
    assert notice["level"] == "warning" and "renamed" in notice["message"]
    assert datetime.fromisoformat(notice["created_at"]) < datetime.fromisoformat(notice["expires_at"])
    push_file(house.staff, Channel.objects.get(pk=channel.pk), make_package(Path(str(blobs().root)), "more"))  # type: ignore[attr-defined]
    assert ask("/channels/public-one/notices.json").body == first.body, "a notice is one notice, however often the channel changes"


def test_the_name_of_a_hidden_channel_says_nothing_by_its_alias(house: House) -> None:
    rename_channel(actor=house.staff, channel=house.channels["private"], name="secret-plan")
    forget_everything()
    for name in ("private-one", "secret-plan"):
        for path in ("notices.json", ""):
            reply = ask(f"/channels/{name}/{path}", Accept="text/html", **as_(house.outsider))
            assert reply.status == 403 and b"secret-plan" not in reply.body and "Location" not in reply.headers


# Large files


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every subdir that holds anything is large."""
    monkeypatch.setattr(stage2, "SMALL_BYTES", 0)
    monkeypatch.setattr(stage2, "CHANNELDATA_DELAY_SECONDS", 0)


def test_a_large_file_is_behind_until_its_job_ran_and_says_so(large: None, channel: Channel, push: Publisher) -> None:
    push(channel, name="demo", version="1.0")
    assert Job.objects.filter(kind=stage2.RENDER_KIND).count() == 2, "one for the subdir, one for channeldata.json"
    drain("quick")
    kinds = set(IndexFile.objects.filter(channel=channel).values_list("kind", "subdir"))
    assert kinds == {(kind, "noarch") for kind in stage2.SUBDIR_KINDS} | {("channeldata.json", "")}
    push(channel, name="demo", version="2.0")
    for path in ("repodata.json", "repodata.json.zst"):
        stale = ask(f"/channels/tools/noarch/{path}")
        assert stale.headers["X-Condahub-Revision"] == "2" and stale.headers["ETag"] == f'"{hashlib.sha256(stale.body).hexdigest()}"'
    assert _shards("/channels/tools/noarch"), "the shards are at the head already"
    assert ask("/channels/tools/noarch/repodata_shards.msgpack.zst").headers["X-Condahub-Revision"] == "3"
    fresh = ask("/channels/tools@3/noarch/repodata.json")
    assert fresh.headers["X-Condahub-Revision"] == "3" and len(fresh.json()["packages.conda"]) == 2
    drain("quick")
    for path in ("repodata.json", "repodata.json.zst", "current_repodata.json", "run_exports.json"):
        assert ask(f"/channels/tools/noarch/{path}").headers["X-Condahub-Revision"] == "3"
    assert ask("/channels/tools@2/noarch/repodata.json").json()["packages.conda"].keys() == {"demo-1.0-0.conda"}


def test_changes_that_come_while_a_job_waits_are_one_job(large: None, channel: Channel, push: Publisher) -> None:
    for version in ("1.0", "2.0", "3.0"):
        push(channel, name="demo", version=version)
    assert sorted(Job.objects.filter(kind=stage2.RENDER_KIND).values_list("coalesce_key", flat=True)) == [
        f"{channel.pk}/",
        f"{channel.pk}/noarch",
    ]
    drain("quick")
    assert len(ask("/channels/tools/noarch/repodata.json").json()["packages.conda"]) == 3


def test_a_large_bz2_is_ordered_by_who_asks_and_belongs_to_its_revision(large: None, channel: Channel, push: Publisher) -> None:
    push(channel, name="demo", version="1.0")
    drain("quick")
    assert ask("/channels/tools/noarch/repodata.json.bz2").status == 404
    assert drain("heavy") == 1
    first = ask("/channels/tools/noarch/repodata.json.bz2")
    assert bz2.decompress(first.body) == ask("/channels/tools/noarch/repodata.json").body
    push(channel, name="demo", version="2.0")
    drain("quick")
    assert ask("/channels/tools/noarch/repodata.json.bz2").body == first.body, "at most one an hour"
    assert ask("/channels/tools@3/noarch/repodata.json.bz2").status == 404, "never another revision's"
    drain("heavy")
    past = ask("/channels/tools@3/noarch/repodata.json.bz2")
    assert bz2.decompress(past.body) == ask("/channels/tools@3/noarch/repodata.json").body
    assert ask("/channels/tools@2/noarch/repodata.json.bz2").body == first.body


def test_a_large_file_whose_job_was_lost_is_ordered_again_by_who_reads_it(large: None, channel: Channel, push: Publisher) -> None:
    push(channel, name="demo", version="1.0")
    drain("quick")
    push(channel, name="demo", version="2.0")
    Job.objects.all().delete()
    path = "/channels/tools/noarch/repodata.json"
    assert ask(path).headers["X-Condahub-Revision"] == "2" and not Job.objects.exists()
    with time_machine.travel(timezone.now() + timedelta(minutes=2), tick=True):
        ask(path)
        assert Job.objects.count() == 1
        drain("quick")
        assert ask(path).headers["X-Condahub-Revision"] == "3"


def test_a_store_that_is_lost_is_a_503_and_the_small_index_goes_on(house: House, large: None) -> None:
    root = blobs().root  # type: ignore[attr-defined]
    away = root.with_name("store-away")
    root.rename(away)
    try:
        for path in (FILE, "noarch/repodata.json", "noarch/repodata.json.zst"):
            reply = ask(f"/channels/public-one/{path}")
            assert reply.status == 503 and int(reply.headers["Retry-After"]) > 0, path
        assert ask("/channels/public-one/noarch/repodata_shards.msgpack.zst").status == 200
        assert ask("/channels/public-one/linux-64/repodata.json").status == 200
    finally:
        away.rename(root)
    assert ask(f"/channels/public-one/{FILE}").status == 200


def test_a_database_that_does_not_answer_is_a_503(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(conda.doors, "door", fail)
    reply = ask("/channels/public-one/noarch/repodata.json")
    assert reply.status == 503 and reply.headers["Retry-After"] and b"gone" not in reply.body


# What it costs


def test_queries_of_the_hot_paths(house: House) -> None:
    public, private = "/channels/public-one", "/channels/private-one"
    with counted("conda public file cold"):
        assert ask(f"{public}/{FILE}", data=True).status == 200
    with counted("conda public file hot"):
        assert ask(f"{public}/{FILE}", data=True).status == 200
    ask(f"{private}/{FILE}", data=True, **as_(house.reader))
    with counted("conda private file, token hot"):
        assert ask(f"{private}/{FILE}", data=True, **as_(house.reader)).status == 200
    cache.forget()
    with counted("conda private file, token cold"):
        assert ask(f"{private}/{FILE}", data=True, **as_(house.reader)).status == 200
    ask(f"{public}/noarch/repodata_shards.msgpack.zst", data=True)
    with counted("conda public shard index hot"):
        assert ask(f"{public}/noarch/repodata_shards.msgpack.zst", data=True).status == 200
    with counted("conda public repodata cold"):
        assert ask(f"{public}/noarch/repodata.json.zst", data=True).status == 200
    with counted("conda public repodata hot"):
        assert ask(f"{public}/noarch/repodata.json.zst", data=True).status == 200
    ask(f"{public}@2/{FILE}", data=True)
    with counted("conda public file of a past revision"):
        assert ask(f"{public}@2/{FILE}", data=True).status == 200


def test_a_public_file_that_was_just_served_costs_no_query_and_a_cold_token_two_at_most() -> None:
    from tests.queries import _baseline

    known = _baseline()
    assert known["conda public file hot"] == known["conda private file, token hot"] == 0
    assert known["conda private file, token cold"] <= 2


def test_downloads_are_counted_once_a_file_and_not_by_its_parts(house: House) -> None:
    downloads.flush()
    url = f"/channels/public-one/{FILE}"
    etag = ask(url).headers["ETag"]
    ask(url, method="HEAD")
    ask(url, If_None_Match=etag)
    ask(url, Range="bytes=0-9")
    ask(url, Range="bytes=10-")
    assert downloads.flush() == 2


def test_asking_for_countless_empty_subdirs_fills_no_memory(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = answers._Memory(100 * answers.ENTRY_BYTES)
    monkeypatch.setattr(answers, "_memory", memory)
    for number in range(300):
        ask(f"/channels/public-one/os-{number}/repodata.json.zst")
    assert len(memory._items) <= 100


def test_a_channel_that_was_closed_to_the_public_is_closed_within_two_seconds(house: House) -> None:
    path = f"/channels/public-one/{FILE}"
    assert ask(path).status == 200
    update_channel(actor=house.staff, channel=house.channels["public"], changes={"visibility": "private"})
    assert ask("/channels/public-one/noarch/repodata.json").status == 401, "the index at once"
    known = doors._doors.get("public-one")
    assert known is not None
    doors._doors.put("public-one", (time.monotonic() - doors.DOOR_SECONDS, known[1]))
    assert ask(path).status == 401
