"""The verbs on channels and packages: who may, how much, what is refused, and that what was acknowledged stays true."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.db import connections
from django.utils import timezone

from channels_app import selectors, tasks
from channels_app.index import maps
from channels_app.index import publish as index
from channels_app.index.render import REVOKED_DEPENDENCY
from channels_app.models import Blob, Channel, ChannelName, DirtyName, FileState, Package, PackageFile, Revision
from channels_app.services import copying, hotfix, publish, quotas, retention, states
from channels_app.services.channels import (
    create_channel,
    delete_channel,
    end_channels,
    rename_channel,
    restore_channel,
    update_channel,
)
from channels_app.services.publish import Published, Upload
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor
from condahub.accounts.services import create_token, create_user, grant
from condahub.audit.models import AuditEvent
from condahub.errors import Conflict, Forbidden, HubError, NotAuthenticated, NotFound, QuotaExceeded, TooLarge, Unprocessable
from condahub.jobs.runner import drain
from condahub.jobs.services import enqueue
from condahub.packages.errors import BadPackage
from condahub.packages.maker import make_package
from condahub.storage.blobs import blobs
from tests.channels_app.conftest import Publisher, push_file
from tests.channels_app.doors_of import ask
from tests.channels_app.index_states import forget_everything

pytestmark = pytest.mark.django_db(transaction=True)

DEMO = ("noarch", "demo-1.0-0.conda")


def state_of(channel: Channel, filename: str = "demo-1.0-0.conda") -> str:
    return PackageFile.objects.filter(channel=channel, filename=filename).latest("changed_at").state


def shown(channel: Channel) -> set[str]:
    """The names in the head's shards, noarch."""
    maps.forget_all()
    head = Channel.objects.values_list("head", flat=True).get(pk=channel.pk)
    return set(maps.load(channel.pk, head).get("noarch", {}))


# Permission and room before the body


def test_who_may_upload_is_settled_before_the_body_is_read(
    staff: Actor, organization: Organization, channel: Channel, tmp_path: Path
) -> None:
    """The body would end the test if it were touched."""

    class Untouchable(io.BytesIO):
        def read(self, *args: object) -> bytes:
            raise AssertionError("the body was read")

    from django.test import RequestFactory

    from channels_app.faces.receiving import receive_file

    reader = create_user(actor=staff, username="reader")
    grant(actor=staff, on=organization, role="reader", user=reader)
    secret = create_channel(actor=staff, organization=organization, name="secret")
    update_channel(actor=staff, channel=secret, changes={"quota_bytes": 10})
    contributor = create_user(actor=staff, username="contributor")
    grant(actor=staff, on=organization, role="contributor", user=contributor)
    tries: list[tuple[Actor, str, str, dict[str, object], type[HubError]]] = [
        (Actor.anonymous(), "tools", "demo-1.0-0.conda", {}, NotAuthenticated),
        (Actor.anonymous(), "tools", "nonsense", {}, NotAuthenticated),
        (Actor.anonymous(), "unknown", "demo-1.0-0.conda", {}, NotAuthenticated),
        (Actor.of(reader), "tools", "demo-1.0-0.conda", {}, Forbidden),
        (Actor.of(reader), "unknown", "demo-1.0-0.conda", {}, Forbidden),
        (Actor.of(contributor), "tools", "nonsense", {}, HubError),
        (Actor.of(contributor), "tools", "demo-1.0-0.conda", {"force": True}, Forbidden),
        (Actor.of(contributor), "tools", "demo-1.0-0.conda", {"subdir": "No Such"}, HubError),
        (Actor.of(contributor), "secret", "demo-1.0-0.conda", {}, QuotaExceeded),
        (staff, "tools", "demo-1.0-0.conda", {"force": True}, Conflict),
    ]
    for actor, name, filename, more, refusal in tries:
        request = RequestFactory().post("/", b"x" * 1000, content_type="application/octet-stream")
        request.META["wsgi.input"] = Untouchable()
        with pytest.raises(refusal):
            receive_file(request, actor=actor, channel_name=name, filename=filename, **more)  # type: ignore[arg-type]
    assert not PackageFile.objects.exists() and not list(Path(blobs().root / ".incoming").glob("*.part"))  # type: ignore[attr-defined]


def test_a_token_that_may_only_upload_is_enough_for_a_private_channel(staff: Actor, organization: Organization, tmp_path: Path) -> None:
    secret = create_channel(actor=staff, organization=organization, name="secret")
    robot = create_user(actor=staff, username="builder")
    grant(actor=staff, on=organization, role="contributor", user=robot)
    made = create_token(actor=Actor.of(robot), name="ci", scopes=("upload",))
    actor = Actor(user=robot, token=made.token, via="token")
    assert push_file(actor, secret, make_package(tmp_path)).created
    assert ask("/channels/secret/noarch/repodata.json", Authorization=f"Bearer {made.secret}").status == 403


def test_a_grant_on_one_package_name_publishes_that_name_alone(staff: Actor, channel: Channel, tmp_path: Path) -> None:
    keeper = create_user(actor=staff, username="keeper")
    grant(actor=staff, on=channel.target("demo"), role="contributor", user=keeper)
    assert push_file(Actor.of(keeper), channel, make_package(tmp_path, "demo")).created
    with pytest.raises(Forbidden):
        push_file(Actor.of(keeper), channel, make_package(tmp_path, "demo-more"))


def test_too_large_is_said_before_the_body(staff: Actor, channel: Channel, settings: object) -> None:
    settings.CONDAHUB_MAX_PACKAGE_BYTES = 100  # type: ignore[attr-defined]
    with pytest.raises(TooLarge):
        publish.permit_upload(actor=staff, channel_name="tools", filename="demo-1.0-0.conda", declared_bytes=101)
    assert publish.permit_upload(actor=staff, channel_name="tools", filename="demo-1.0-0.conda").limit_bytes == 100


# Quotas


def test_bytes_count_in_full_to_each_holder_and_a_quota_holds(staff: Actor, organization: Organization, push: Publisher) -> None:
    one, two = (create_channel(actor=staff, organization=organization, name=name, visibility="public") for name in ("one", "two"))
    size = push(one, name="demo").file.size
    copying.copy(actor=staff, source=one, target=two, files=[DEMO])
    assert Blob.objects.count() == 1
    assert quotas.used_by_organization(organization.pk) == 2 * size
    update_channel(actor=staff, channel=one, changes={"quota_bytes": size + 10})
    with pytest.raises(QuotaExceeded):
        push(one, name="other")
    organization.quota_bytes = 2 * size + 10
    organization.save()
    two.refresh_from_db()
    with pytest.raises(QuotaExceeded):
        push(two, name="other")
    one.refresh_from_db()
    assert (one.used_bytes, one.head) == (size, 2) and not PackageFile.objects.filter(name="other").exists()
    states.change_state(actor=staff, channel=two, verb=states.DELETE, files=[DEMO])
    assert quotas.used_by_organization(organization.pk) == 2 * size, "past revisions hold the bytes of deleted files"
    states.change_state(actor=staff, channel=two, verb=states.PURGE, files=[DEMO, DEMO], reason="room")
    assert quotas.used_by_organization(organization.pk) == size
    assert push(two, name="other").created


def test_a_batch_over_the_quota_is_refused_whole(staff: Actor, channel: Channel, tmp_path: Path) -> None:
    paths = [make_package(tmp_path, name) for name in ("aa", "bb", "cc")]
    update_channel(actor=staff, channel=channel, changes={"quota_bytes": sum(path.stat().st_size for path in paths) - 1})
    channel.refresh_from_db()
    with pytest.raises(QuotaExceeded):
        batch(staff, channel, paths)
    channel.refresh_from_db()
    assert channel.used_bytes == 0 and not PackageFile.objects.exists()


# Overwriting, batches


def batch(actor: Actor, channel: Channel, paths: list[Path], *, force: bool = False) -> list[Published]:
    permit = publish.permit_upload(actor=actor, channel_name=channel.name, force=force)
    uploads = []
    for path in paths:
        temporary = blobs().temporary()
        temporary.write(path.read_bytes())
        uploads.append(Upload(path.name, temporary))
    try:
        return publish.publish(actor=actor, permit=permit, uploads=uploads)
    finally:
        for upload in uploads:
            upload.temporary.close()


def test_overwriting_takes_the_channels_leave_and_the_actors_right(
    staff: Actor, organization: Organization, channel: Channel, tmp_path: Path
) -> None:
    maintainer, owner = (create_user(actor=staff, username=name) for name in ("maintainer", "owner"))
    grant(actor=staff, on=organization, role="maintainer", user=maintainer)
    grant(actor=staff, on=organization, role="owner", user=owner)
    first, other = make_package(tmp_path / "a"), make_package(tmp_path / "b", files={"share/other": b"other"})
    push_file(staff, channel, first)
    with pytest.raises(Conflict):
        push_file(Actor.of(owner), channel, other, force=True)
    update_channel(actor=staff, channel=channel, changes={"allow_overwrite": True})
    with pytest.raises(Conflict):
        push_file(Actor.of(owner), channel, other)
    with pytest.raises(Forbidden):
        push_file(Actor.of(maintainer), channel, other, force=True)
    done = push_file(Actor.of(owner), channel, other, force=True)
    assert done.created
    states_now = dict(PackageFile.objects.values_list("sha256", "state"))
    assert sorted(states_now.values()) == ["deleted", "live"] and states_now[done.file.sha256] == "live"
    back = push_file(Actor.of(owner), channel, first, force=True)
    assert back.created and PackageFile.objects.count() == 2


def test_a_name_is_not_given_to_other_bytes_where_overwriting_is_forbidden(staff: Actor, channel: Channel, tmp_path: Path) -> None:
    """Clients were told that the address never changes, so deleting is no way around."""
    first, other = make_package(tmp_path / "a"), make_package(tmp_path / "b", files={"share/other": b"other"})
    push_file(staff, channel, first)
    states.change_state(actor=staff, channel=channel, verb=states.DELETE, files=[DEMO])
    with pytest.raises(Conflict):
        push_file(staff, channel, other)
    assert push_file(staff, channel, first).created, "the same bytes come back"
    update_channel(actor=staff, channel=channel, changes={"allow_overwrite": True})
    states.change_state(actor=staff, channel=channel, verb=states.DELETE, files=[DEMO])
    assert push_file(staff, channel, other).created


def test_a_batch_is_published_whole_or_not_at_all(staff: Actor, channel: Channel, tmp_path: Path) -> None:
    good = [make_package(tmp_path, name) for name in ("aa", "bb", "cc")]
    bad = tmp_path / "bad-1.0-0.conda"
    bad.write_bytes(b"no package")
    with pytest.raises(BadPackage):
        batch(staff, channel, [*good, bad])
    taken = make_package(tmp_path / "other", "bb", files={"share/x": b"x"})
    push_file(staff, channel, taken)
    with pytest.raises(Conflict):
        batch(staff, channel, good)
    assert list(PackageFile.objects.values_list("filename", flat=True)) == ["bb-1.0-0.conda"]
    assert not DirtyName.objects.exists()
    good[1] = make_package(tmp_path, "dd")
    done = batch(staff, channel, good)
    assert len({one.revision for one in done}) == 1 and all(one.created for one in done)
    again = batch(staff, channel, [*good, make_package(tmp_path, "ee")])
    assert [one.created for one in again] == [False, False, False, True]
    assert not batch(staff, channel, good)[0].created


def test_one_name_twice_in_a_batch_with_other_bytes_is_refused(staff: Actor, channel: Channel, tmp_path: Path) -> None:
    first, other = make_package(tmp_path / "a"), make_package(tmp_path / "b", files={"share/other": b"other"})
    with pytest.raises(Conflict):
        batch(staff, channel, [first, other])
    done = batch(staff, channel, [first, first])
    assert PackageFile.objects.count() == 1 and done[0].file.pk == done[1].file.pk


# At the same time


@pytest.fixture
def at_once() -> Callable[..., list[object]]:
    """`at_once(function, items, threads)`: what each returned or raised; every thread's connection is closed after it."""

    def run(function: Callable[[object], object], items: list[object], threads: int = 8) -> list[object]:
        def one(item: object) -> object:
            try:
                return function(item)
            except HubError as error:
                return error
            finally:
                connections.close_all()

        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(one, items))

    return run


def test_uploads_of_one_file_at_once_end_with_one_row_and_no_error(
    staff: Actor, channel: Channel, tmp_path: Path, at_once: Callable[..., list[Published]]
) -> None:
    path = make_package(tmp_path)
    results = at_once(lambda _: push_file(staff, channel, path), [None] * 12)
    assert all(isinstance(one, Published) for one in results), results
    assert sum(one.created for one in results) == 1
    assert PackageFile.objects.count() == 1 and shown(channel) == {"demo"}
    assert all(_shows(channel, one.revision, "demo") for one in results), "acknowledged is visible, for who came second too"
    channel.refresh_from_db()
    assert channel.used_bytes == path.stat().st_size


def _shows(channel: Channel, revision: int, name: str) -> bool:
    return name in maps.load(channel.pk, revision).get("noarch", {})


def test_other_bytes_at_once_under_one_name_end_with_one_winner(
    staff: Actor, channel: Channel, tmp_path: Path, at_once: Callable[..., list[object]]
) -> None:
    paths = [make_package(tmp_path / str(number), files={"share/n": str(number).encode()}) for number in range(8)]
    results = at_once(lambda path: push_file(staff, channel, path), paths)
    winners = [one for one in results if isinstance(one, Published)]
    losers = [one for one in results if isinstance(one, Conflict)]
    assert (len(winners), len(losers)) == (1, 7), results
    assert PackageFile.objects.get().sha256 == winners[0].file.sha256


def test_eight_uploaders_share_revisions_and_each_sees_its_own(
    staff: Actor, channel: Channel, tmp_path: Path, at_once: Callable[..., list[object]]
) -> None:
    paths = [make_package(tmp_path, f"demo-{number}") for number in range(48)]

    def upload(path: Path) -> bool:
        done = push_file(staff, channel, path)
        name = path.name.removesuffix("-1.0-0.conda")
        return done.created and _shows(channel, done.revision, name) and Revision.objects.filter(number=done.revision).exists()

    assert at_once(upload, paths) == [True] * 48
    assert shown(channel) == {f"demo-{number}" for number in range(48)}
    head = Channel.objects.get(pk=channel.pk).head
    numbers = list(Revision.objects.filter(channel=channel).order_by("number").values_list("number", flat=True))
    assert numbers == list(range(1, head + 1)) and head <= 49
    assert not DirtyName.objects.exists()


def test_promotions_in_both_directions_at_once_do_not_stop_each_other(
    staff: Actor, organization: Organization, push: Publisher, at_once: Callable[..., list[object]]
) -> None:
    one, two = (create_channel(actor=staff, organization=organization, name=name) for name in ("one", "two"))
    for number in range(4):
        push(one, name=f"from-one-{number}")
        push(two, name=f"from-two-{number}")

    def promote(item: tuple[Channel, Channel, str]) -> object:
        source, target, name = item
        files = [("noarch", f"{name}-1.0-0.conda")]
        return copying.copy(actor=staff, source=source, target=target, files=files, remove_from_source=True)

    items = [pair for number in range(4) for pair in ((one, two, f"from-one-{number}"), (two, one, f"from-two-{number}"))]
    results = at_once(promote, items, 4)
    assert not [one for one in results if isinstance(one, HubError)]
    live = PackageFile.objects.filter(state=FileState.LIVE)
    assert {file.name for file in live.filter(channel=two)} == {f"from-one-{number}" for number in range(4)}
    assert {file.name for file in live.filter(channel=one)} == {f"from-two-{number}" for number in range(4)}


def test_an_organizations_quota_holds_across_its_channels_at_once(
    staff: Actor, organization: Organization, tmp_path: Path, at_once: Callable[..., list[object]]
) -> None:
    channels = [create_channel(actor=staff, organization=organization, name=f"c{number}") for number in range(6)]
    path = make_package(tmp_path)
    organization.quota_bytes = 3 * path.stat().st_size
    organization.save()
    results = at_once(lambda channel: push_file(staff, channel, path), channels, 6)
    assert sum(isinstance(one, Published) for one in results) == 3
    assert quotas.used_by_organization(organization.pk) == organization.quota_bytes


# Dying in between


def test_what_was_recorded_and_not_indexed_is_settled(
    staff: Actor, channel: Channel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(channel_id: int) -> int:
        raise SystemExit("killed")

    monkeypatch.setattr(publish, "publish_dirty", die)
    with pytest.raises(SystemExit):
        push_file(staff, channel, make_package(tmp_path))
    monkeypatch.undo()
    assert shown(channel) == set() and DirtyName.objects.count() == 1
    enqueue(kind="channels.settle", payload={})
    drain("quick")
    assert shown(channel) == set(), "somebody may still be about to publish it"
    with time_machine.travel(timezone.now() + timedelta(seconds=tasks.SETTLE_AFTER_SECONDS + 1), tick=True):
        enqueue(kind="channels.settle", payload={})
        drain("quick")
    assert shown(channel) == {"demo"} and not DirtyName.objects.exists()


def test_one_channel_that_cannot_be_published_does_not_keep_others_waiting(
    staff: Actor, organization: Organization, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (create_channel(actor=staff, organization=organization, name=name) for name in ("one", "two"))
    for channel in (one, two):
        index.mark_dirty(channel.pk, [("noarch", "demo")])

    def only_two(channel_id: int, **more: bool) -> int:
        if channel_id == one.pk:
            raise RuntimeError("broken")
        return index.publish_dirty(channel_id, **more)

    monkeypatch.setattr(tasks, "publish_dirty", only_two)
    with time_machine.travel(timezone.now() + timedelta(minutes=1), tick=True):
        enqueue(kind="channels.settle", payload={})
        drain("quick")
    assert list(DirtyName.objects.values_list("channel_id", flat=True)) == [one.pk]


def test_a_shard_rendered_ahead_is_not_used_for_a_later_change(
    staff: Actor, channel: Channel, push: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the name was published and marked anew meanwhile by another process, whose count begins at 1 again."""
    push(channel, name="demo", version="1.0")
    monkeypatch.setattr(index, "RENDER_AHEAD_NAMES", 0)
    index.mark_dirty(channel.pk, [("noarch", "demo")])
    render_ahead = index._render_ahead

    def slow(channel_id: int, dirty: list[DirtyName]) -> object:
        ahead = render_ahead(channel_id, dirty)
        DirtyName.objects.all().delete()
        PackageFile.objects.filter(channel=channel).update(state=FileState.YANKED)
        index.mark_dirty(channel.pk, [("noarch", "demo")])
        return ahead

    monkeypatch.setattr(index, "_render_ahead", slow)
    index.publish_dirty(channel.pk)
    forget_everything()
    assert ask("/channels/tools/noarch/repodata.json").json()["removed"] == ["demo-1.0-0.conda"]


def test_a_channel_deleted_while_a_body_came_takes_nothing(staff: Actor, channel: Channel, tmp_path: Path) -> None:
    path = make_package(tmp_path)
    permit = publish.permit_upload(actor=staff, channel_name="tools", filename=path.name)
    with blobs().temporary() as temporary:
        temporary.write(path.read_bytes())
        delete_channel(actor=staff, channel=channel)
        with pytest.raises(Forbidden):
            publish.publish(actor=staff, permit=permit, uploads=[Upload(path.name, temporary)])
    assert not PackageFile.objects.exists()


# States


def test_each_verb_again_changes_nothing(staff: Actor, channel: Channel, push: Publisher) -> None:
    push(channel, name="demo")
    for verb in (states.YANK, states.RESTORE, states.QUARANTINE, states.RELEASE, states.DELETE, states.RESTORE, states.PURGE):
        states.change_state(actor=staff, channel=channel, verb=verb, files=[DEMO], reason="why")
        head, events = Channel.objects.get(pk=channel.pk).head, AuditEvent.objects.count()
        (again,) = states.change_state(actor=staff, channel=channel, verb=verb, files=[DEMO], reason="why")
        assert again.state == verb.after
        assert (Channel.objects.get(pk=channel.pk).head, AuditEvent.objects.count()) == (head, events), verb.action


def test_a_held_file_comes_back_only_by_who_may_release_it(staff: Actor, channel: Channel, push: Publisher, tmp_path: Path) -> None:
    path = make_package(tmp_path)
    update_channel(actor=staff, channel=channel, changes={"allow_overwrite": True})
    push_file(staff, channel, path)
    states.change_state(actor=staff, channel=channel, verb=states.QUARANTINE, files=[DEMO], reason="odd")
    for verb in (states.DELETE, states.YANK, states.RESTORE):
        with pytest.raises(Conflict):
            states.change_state(actor=staff, channel=channel, verb=verb, files=[DEMO])
    assert not push_file(staff, channel, path).created
    with pytest.raises(Conflict):
        push_file(staff, channel, make_package(tmp_path / "b", files={"share/b": b"b"}), force=True)
    assert state_of(channel) == "held" and shown(channel) == set()
    states.change_state(actor=staff, channel=channel, verb=states.RELEASE, files=[DEMO])
    assert state_of(channel) == "live" and shown(channel) == {"demo"}


def test_purging_a_name_takes_the_bytes_that_were_overwritten_too(staff: Actor, channel: Channel, tmp_path: Path) -> None:
    update_channel(actor=staff, channel=channel, changes={"allow_overwrite": True})
    push_file(staff, channel, make_package(tmp_path / "a"))
    push_file(staff, channel, make_package(tmp_path / "b", files={"share/b": b"b"}), force=True)
    states.change_state(actor=staff, channel=channel, verb=states.PURGE, files=[DEMO], reason="a secret")
    assert set(PackageFile.objects.values_list("state", "blob")) == {("purged", None)}
    for at in ("", "@2", "@3"):
        assert ask(f"/channels/tools{at}/noarch/demo-1.0-0.conda").status == 410
    channel.refresh_from_db()
    assert channel.used_bytes == 0
    with pytest.raises(Conflict) as refused:
        push_file(staff, channel, make_package(tmp_path / "a"), force=True)
    assert refused.value.code == "purged"


def test_what_is_not_there_and_what_needs_a_reason_is_said(staff: Actor, channel: Channel, push: Publisher) -> None:
    push(channel, name="demo")
    for verb in states.VERBS.values():
        with pytest.raises(NotFound):
            states.change_state(actor=staff, channel=channel, verb=verb, files=[("noarch", "absent-1-0.conda")], reason="why")
    for verb in (states.PURGE, states.QUARANTINE):
        for reason in ("", "  ", "\x00"):
            with pytest.raises(Unprocessable):
                states.change_state(actor=staff, channel=channel, verb=verb, files=[DEMO], reason=reason)
    with pytest.raises(NotFound):
        states.change_state(actor=staff, channel=channel, verb=states.DELETE, files=[DEMO, ("noarch", "absent-1-0.conda")])
    assert state_of(channel) == "live", "all of them or none"


# Hotfixes


@pytest.mark.parametrize(
    "patch",
    [
        {"timestamp": "soon"},
        {"timestamp": -1},
        {"timestamp": 10**18},
        {"depends": "python"},
        {"depends": [1]},
        {"depends": ["python >="]},
        {"depends": ["bad\x00name"]},
        {"constrains": [""]},
        {"license": 7},
        {"noarch": "golang"},
        {"extra": 2**80},
        {"extra": "\ud800"},
        {"sha256": "0" * 64},
        {"name": "other"},
        {"attestations_sha256": "0" * 64},
        {"fn": "x"},
    ],
)
def test_a_patch_that_would_break_the_index_is_refused(staff: Actor, channel: Channel, push: Publisher, patch: dict[str, object]) -> None:
    push(channel, name="demo")
    with pytest.raises(Unprocessable):
        hotfix.apply(actor=staff, channel=channel, subdir="noarch", instructions={"packages.conda": {"demo-1.0-0.conda": patch}})
    assert Channel.objects.get(pk=channel.pk).head == 2


def test_a_patch_of_a_tar_reaches_its_conda_twin(staff: Actor, channel: Channel, push: Publisher) -> None:
    for extension in (".conda", ".tar.bz2"):
        push(channel, name="demo", extension=extension, depends=("old",))
    instructions = {"packages": {"demo-1.0-0.tar.bz2": {"depends": ["new"], "license": None}}, "revoke": ["demo-1.0-0.conda"]}
    hotfix.apply(actor=staff, channel=channel, subdir="noarch", instructions=instructions)
    repodata = ask("/channels/tools/noarch/repodata.json").json()
    tar, conda = repodata["packages"]["demo-1.0-0.tar.bz2"], repodata["packages.conda"]["demo-1.0-0.conda"]
    assert tar["depends"] == ["new"] and "license" not in tar and "revoked" not in tar
    assert conda["depends"] == ["new", REVOKED_DEPENDENCY] and conda["revoked"] is True
    before = Channel.objects.get(pk=channel.pk).head
    hotfix.apply(actor=staff, channel=channel, subdir="noarch", instructions=instructions)
    assert Channel.objects.get(pk=channel.pk).head == before, "again changes nothing"


def test_hotfixes_of_more_files_than_a_statement_takes(staff: Actor, channel: Channel, push: Publisher) -> None:
    push(channel, name="demo")
    instructions = {"packages": {f"demo-1.0-{number}.tar.bz2": {"license": "MIT"} for number in range(40_000)}}
    with pytest.raises(NotFound):
        hotfix.apply(actor=staff, channel=channel, subdir="noarch", instructions=instructions)


def test_removing_by_hotfix_takes_the_package_off_the_list(staff: Actor, channel: Channel, push: Publisher) -> None:
    push(channel, name="demo", version="1.0")
    push(channel, name="demo", version="2.0")
    hotfix.apply(actor=staff, channel=channel, subdir="noarch", instructions={"remove": ["demo-2.0-0.conda"]})
    assert Package.objects.get(channel=channel, name="demo").latest_version == "1.0"


# Retention, copies


def test_retention_keeps_the_newest_builds(staff: Actor, channel: Channel, push: Publisher) -> None:
    for version in ("1.0", "2.0", "10.0"):
        push(channel, name="demo", version=version)
    push(channel, name="demo", version="10.0", extension=".tar.bz2")
    push(channel, name="demo", version="10.0", build="1", build_number=1)
    push(channel, name="lone")
    assert retention.apply_retention(actor=staff, channel=channel) == 0
    update_channel(actor=staff, channel=channel, changes={"keep_builds": 2})
    channel.refresh_from_db()
    assert retention.apply_retention(actor=staff, channel=channel) == 2
    live = set(PackageFile.objects.filter(state=FileState.LIVE).values_list("filename", flat=True))
    assert live == {"demo-10.0-0.conda", "demo-10.0-0.tar.bz2", "demo-10.0-1.conda", "lone-1.0-0.conda"}
    assert retention.apply_retention(actor=staff, channel=channel) == 0
    assert ask("/channels/tools@2/noarch/demo-1.0-0.conda").status == 200


def test_retention_acts_when_it_is_asked_for_and_at_each_publish(staff: Actor, channel: Channel, push: Publisher) -> None:
    for version in ("1.0", "2.0", "3.0"):
        push(channel, name="demo", version=version)
        push(channel, name="other", version=version)
    update_channel(actor=staff, channel=channel, changes={"keep_builds": 2})
    drain("quick")

    def live() -> list[str]:
        return sorted(PackageFile.objects.filter(state=FileState.LIVE).values_list("filename", flat=True))

    assert live() == ["demo-2.0-0.conda", "demo-3.0-0.conda", "other-2.0-0.conda", "other-3.0-0.conda"]
    push(channel, name="demo", version="4.0")
    drain("quick")
    assert live() == ["demo-3.0-0.conda", "demo-4.0-0.conda", "other-2.0-0.conda", "other-3.0-0.conda"]


def test_a_copy_moves_no_bytes_and_a_promotion_leaves_none_behind(
    staff: Actor, organization: Organization, channel: Channel, push: Publisher
) -> None:
    size = push(channel, name="demo").file.size
    before = sorted(entry.mtime for entry in blobs().iterate())
    target = create_channel(actor=staff, organization=organization, name="stable", visibility="public")
    (copied,) = copying.copy(actor=staff, source=channel, target=target, files=[DEMO])
    assert (copied.state, copied.channel_id) == ("live", target.pk) and shown(target) == {"demo"}
    assert copying.copy(actor=staff, source=channel, target=target, files=[DEMO, DEMO])[0].pk == copied.pk
    assert Blob.objects.count() == 1 and sorted(entry.mtime for entry in blobs().iterate()) == before
    target.refresh_from_db()
    assert target.used_bytes == size
    copying.copy(actor=staff, source=channel, target=target, files=[DEMO], remove_from_source=True)
    assert state_of(channel) == "deleted" and state_of(target) == "live"


def test_a_copy_brings_nothing_back_that_its_target_put_away(
    staff: Actor, organization: Organization, channel: Channel, push: Publisher
) -> None:
    push(channel, name="demo")
    target = create_channel(actor=staff, organization=organization, name="stable", visibility="public")
    copying.copy(actor=staff, source=channel, target=target, files=[DEMO])
    for verb, again in ((states.QUARANTINE, states.RELEASE), (states.YANK, states.RESTORE), (states.PURGE, None)):
        states.change_state(actor=staff, channel=target, verb=verb, files=[DEMO], reason="why")
        with pytest.raises(Conflict):
            copying.copy(actor=staff, source=channel, target=target, files=[DEMO], remove_from_source=True)
        assert state_of(channel) == "live", "what can't arrive does not leave"
        if again:
            states.change_state(actor=staff, channel=target, verb=again, files=[DEMO])


def test_private_packages_reach_others_only_by_who_may_redistribute(staff: Actor, organization: Organization, push: Publisher) -> None:
    secret = create_channel(actor=staff, organization=organization, name="secret")
    wide = create_channel(actor=staff, organization=organization, name="wide", visibility="internal")
    push(secret, name="demo")
    maintainer, owner = (create_user(actor=staff, username=name) for name in ("maintainer", "owner"))
    grant(actor=staff, on=organization, role="maintainer", user=maintainer)
    grant(actor=staff, on=organization, role="owner", user=owner)
    elsewhere = Organization.objects.create(name="elsewhere")
    grant(actor=staff, on=elsewhere, role="owner", user=maintainer)
    abroad = create_channel(actor=staff, organization=elsewhere, name="abroad")
    for target in (wide, abroad):
        with pytest.raises(Conflict) as refused:
            copying.copy(actor=Actor.of(maintainer), source=secret, target=target, files=[DEMO])
        assert refused.value.status == 403 and refused.value.code == "redistribution"
    beside = create_channel(actor=staff, organization=organization, name="beside")
    assert copying.copy(actor=Actor.of(maintainer), source=secret, target=beside, files=[DEMO])
    assert copying.copy(actor=Actor.of(owner), source=secret, target=wide, files=[DEMO])
    stranger = create_user(actor=staff, username="stranger")
    grant(actor=staff, on=elsewhere, role="owner", user=stranger)
    with pytest.raises(Forbidden):
        copying.copy(actor=Actor.of(stranger), source=secret, target=abroad, files=[DEMO])


# Names


def test_taken_reserved_retired_and_well_known_names_answer_alike(staff: Actor, organization: Organization, settings: object) -> None:
    settings.CONDAHUB_CHANNEL_GRACE_DAYS = 0  # type: ignore[attr-defined]
    other = Organization.objects.create(name="other")
    person = create_user(actor=staff, username="person")
    grant(actor=staff, on=organization, role="owner", user=person)
    create_channel(actor=staff, organization=other, name="taken")
    gone = create_channel(actor=staff, organization=other, name="gone")
    renamed = create_channel(actor=staff, organization=other, name="before")
    rename_channel(actor=staff, channel=renamed, name="after")
    delete_channel(actor=staff, channel=gone)
    waiting = create_channel(actor=staff, organization=other, name="waiting")
    assert end_channels(actor=staff) == 1
    delete_channel(actor=staff, channel=waiting)
    answers = set()
    for name in ("taken", "gone", "before", "after", "waiting", "api", "conda-forge"):
        with pytest.raises(Conflict) as refused:
            create_channel(actor=Actor.of(person), organization=organization, name=name)
        answers.add((refused.value.code, refused.value.status, refused.value.detail.replace(name, "*"), refused.value.hint))
    assert len(answers) == 1 and next(iter(answers))[:2] == ("name_unavailable", 409)
    own = create_channel(actor=Actor.of(person), organization=organization, name="mine")
    for name in ("taken", "gone", "before", "api", "conda-forge"):
        with pytest.raises(Conflict):
            rename_channel(actor=Actor.of(person), channel=own, name=name)
    assert create_channel(actor=staff, organization=other, name="gone").head == 1, "it returns to its own organization"
    with pytest.raises(Unprocessable):
        create_channel(actor=staff, organization=organization, name="Not A Name")


def test_a_renamed_channel_can_have_its_old_name_back(staff: Actor, channel: Channel) -> None:
    renamed = rename_channel(actor=staff, channel=channel, name="newer")
    assert (found := selectors.channel_by_name("tools")) is not None and found.name == "newer"
    back = rename_channel(actor=staff, channel=renamed, name="tools")
    assert back.name == "tools" and (found := selectors.channel_by_name("newer")) is not None and found.pk == channel.pk
    assert dict(ChannelName.objects.filter(channel=channel).values_list("name", "state")) == {"tools": "current", "newer": "alias"}


def test_one_name_taken_at_once_has_one_holder(staff: Actor, organization: Organization, at_once: Callable[..., list[object]]) -> None:
    results = at_once(lambda _: create_channel(actor=staff, organization=organization, name="wanted"), [None] * 6)
    assert sum(isinstance(one, Channel) for one in results) == 1
    assert all(isinstance(one, Channel) or (isinstance(one, Conflict) and one.code == "name_unavailable") for one in results)


def test_a_deleted_channel_comes_back_in_its_grace_and_ends_after_it(staff: Actor, channel: Channel, push: Publisher) -> None:
    sha256 = push(channel, name="demo").file.sha256
    delete_channel(actor=staff, channel=channel)
    forget_everything()
    assert ask("/channels/tools/noarch/repodata.json").status == 401
    assert end_channels(actor=staff) == 0
    restore_channel(actor=staff, name="tools")
    assert ask("/channels/tools/noarch/demo-1.0-0.conda").headers["ETag"] == f'"{sha256}"'
    delete_channel(actor=staff, channel=channel)
    with time_machine.travel(timezone.now() + timedelta(days=31), tick=True):
        assert end_channels(actor=staff) == 1
    forget_everything()
    assert ask("/channels/tools/noarch/repodata.json").status == 401
    assert ChannelName.objects.get(name="tools").state == "retired" and not PackageFile.objects.exists()
    with pytest.raises(Forbidden):
        restore_channel(actor=staff, name="tools")


def test_every_change_is_audited_with_who_did_it(staff: Actor, channel: Channel, push: Publisher) -> None:
    push(channel, name="demo")
    states.change_state(actor=staff, channel=channel, verb=states.PURGE, files=[DEMO], reason="a secret in it")
    events = {event.action: event for event in AuditEvent.objects.all()}
    assert events["package.publish"].actor_label == events["package.purge"].actor_label == "it"
    assert events["package.purge"].details["reason"] == "a secret in it" and events["package.purge"].target.endswith("/".join(DEMO))
