"""A channel is carried to another hub and kept current there by bundles: what it shows here is what it shows there."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channels_app.models import Advisory, Attestation, Channel, PackageFile, Policy, Revision
from channels_app.policies import osv
from channels_app.services import attesting, hotfix, policies
from channels_app.services.publish import Published
from channels_app.services.scopes import Scope
from channels_app.services.states import DELETE, PURGE, QUARANTINE, RESTORE, YANK, Verb, change_state
from condahub.accounts.models import Grant, Organization, User
from condahub.accounts.policy import Actor
from condahub.audit.models import AuditEvent
from condahub.errors import Conflict, Forbidden, HubError, QuotaExceeded, Unprocessable
from condahub.events.models import Event
from condahub.packages.record import canonical_json
from condahub.storage.blobs import blobs
from mirrors_app.bundles import contents, exporting, importing, signing
from mirrors_app.bundles.core.keys import PrivateKey
from mirrors_app.bundles.core.manifest import read_manifest
from mirrors_app.models import BundleExport, BundleHead, BundleImport, ExportState, ImportState
from tests import attested
from tests.mirrors_app.bundles.conftest import Exporter, Importer
from tests.mirrors_app.bundles.making import write_manifest

Push = Callable[..., Published]
pytestmark = pytest.mark.django_db


def shown(channel: Channel) -> dict[str, dict[str, Any]]:
    """subdir/filename -> the record in the head's index."""
    channel = Channel.objects.get(pk=channel.pk)
    reader = contents.Reader(channel)
    head = contents.shards_of(channel, channel.head)
    found: dict[str, dict[str, Any]] = {}
    for subdir, names in head.items():
        rows = reader._shards({(subdir, sha) for sha in names.values()})
        for table in rows.values():
            found |= {f"{subdir}/{filename}": json.loads(one.record) for filename, one in table.items()}
    return found


def trace(channel: Channel) -> tuple[Any, ...]:
    """All that an import could change."""
    files = sorted(PackageFile.objects.filter(channel=channel).values_list("filename", "sha256", "state", "record", "patch"))
    revisions = Revision.objects.filter(channel=channel).count()
    return (
        Channel.objects.get(pk=channel.pk).head,
        revisions,
        files,
        list(BundleHead.objects.filter(channel=channel).values_list("revision")),
    )


def refusal(carry_in: Importer, folder: Path, **options: Any) -> str:
    with pytest.raises(HubError) as caught:
        carry_in(folder, **options)
    return caught.value.code


def test_a_channel_shows_inside_what_it_shows_outside(
    push: Push, carry_out: Exporter, carry_in: Importer, outside: Channel, inside: Channel, staff: Actor
) -> None:
    push(name="one", version="1.0")
    push(name="one", version="2.0", subdir="linux-64", extra_index={"x_unknown": {"deep": [1, 2.5, None]}})
    push(name="two", version="1.0", depends=["one >=1"])
    hotfix.apply(
        actor=staff,
        channel=outside,
        subdir="noarch",
        instructions={"packages.conda": {"two-1.0-0.conda": {"depends": ["one >=2"], "license": "MIT"}}},
    )
    before = Channel.objects.get(pk=inside.pk).head
    done = carry_in(carry_out())
    assert (done.state, done.result["added"]) == (ImportState.DONE, 3)
    assert shown(inside) == shown(outside) and len(shown(inside)) == 3
    assert shown(inside)["noarch/two-1.0-0.conda"]["depends"] == ["one >=2"]
    assert Channel.objects.get(pk=inside.pk).head == before + 1 == done.revision
    for file in PackageFile.objects.filter(channel=inside):
        assert blobs().size(file.sha256) == file.size


def test_a_chain_of_differences_ends_where_a_whole_bundle_does(
    push: Push, carry_out: Exporter, carry_in: Importer, outside: Channel, inside: Channel, staff: Actor, db: None
) -> None:
    push(name="one", version="1.0")
    push(name="gone", version="1.0")
    carry_in(carry_out())
    first = Channel.objects.get(pk=outside.pk).head
    push(name="two", version="1.0")
    change_state(actor=staff, channel=outside, verb=DELETE, files=[("noarch", "gone-1.0-0.conda")])
    folder = carry_out(since=first)
    manifest = read_manifest((folder / "manifest.json").read_bytes())
    assert manifest.counts.packages == 1 and [one.filename for one in manifest.takes] == ["gone-1.0-0.conda"]
    done = carry_in(folder)
    assert (done.result["added"], done.result["removed"]) == (1, 1)
    assert shown(inside) == shown(outside)
    second = Channel.objects.get(pk=outside.pk).head
    hotfix.apply(actor=staff, channel=outside, subdir="noarch", instructions={"packages.conda": {"one-1.0-0.conda": {"depends": ["two"]}}})
    change_state(actor=staff, channel=outside, verb=RESTORE, files=[("noarch", "gone-1.0-0.conda")])
    folder = carry_out(since=second)
    assert read_manifest((folder / "manifest.json").read_bytes()).counts.packages == 1
    carry_in(folder)
    assert shown(inside) == shown(outside) and "noarch/gone-1.0-0.conda" in shown(inside)
    # What went is to be had in the past, and the other side's whole bundle brings nothing that is not here.
    whole = carry_out()
    assert carry_in(whole).state == ImportState.UNCHANGED
    fresh = Channel.objects.get(pk=inside.pk)
    assert Revision.objects.filter(channel=fresh).count() == 4


def test_what_attests_a_package_is_carried_with_it(
    push: Push, carry_out: Exporter, carry_in: Importer, outside: Channel, inside: Channel, staff: Actor
) -> None:
    policies.set_policy(actor=staff, scope=Scope.of_channel(inside), rules={"attestation": {}})
    file = push(name="one", version="1.0").file

    def attest(identity: str) -> None:
        content = json.dumps(attested.make_bundle(file.filename, file.sha256, identity=identity)).encode()
        attesting.attest(actor=staff, channel=outside, subdir=file.subdir, filename=file.filename, content=content)

    carry_in(carry_out())
    assert shown(inside) == {}
    base = Channel.objects.get(pk=outside.pk).head
    attest("mailto:a@example.org")
    middle = Channel.objects.get(pk=outside.pk).head
    attest("mailto:b@example.org")
    # A revision that has passed names what it had then.
    folder = carry_out(since=base, revision=middle)
    assert read_manifest((folder / "manifest.json").read_bytes()).counts.packages == 0
    carry_in(folder)
    assert list(shown(inside)) == [f"noarch/{file.filename}"] and shown(inside) != shown(outside)
    carry_in(carry_out(since=middle))
    assert shown(inside) == shown(outside)
    kept = Attestation.objects.filter(file__channel=inside).order_by("pk")
    assert [[signer["identity"] for signer in one.signers] for one in kept] == [
        ["mailto:a@example.org"],
        ["mailto:a@example.org", "mailto:b@example.org"],
    ]


def test_a_metadata_change_carries_no_package(
    push: Push, carry_out: Exporter, carry_in: Importer, outside: Channel, inside: Channel, staff: Actor
) -> None:
    push(name="one", version="1.0")
    carry_in(carry_out())
    base = Channel.objects.get(pk=outside.pk).head
    hotfix.apply(actor=staff, channel=outside, subdir="noarch", instructions={"revoke": ["one-1.0-0.conda"]})
    folder = carry_out(since=base)
    assert read_manifest((folder / "manifest.json").read_bytes()).counts.packages == 0
    assert carry_in(folder).result["changed"] == 1
    assert shown(inside) == shown(outside)
    assert shown(inside)["noarch/one-1.0-0.conda"]["revoked"] is True


def test_the_same_bundle_again_changes_nothing_and_says_so(push: Push, carry_out: Exporter, carry_in: Importer, inside: Channel) -> None:
    push(name="one", version="1.0")
    folder = carry_out()
    carry_in(folder)
    before = trace(inside)
    assert carry_in(folder).state == ImportState.UNCHANGED
    assert trace(inside) == before


def test_an_older_bundle_and_one_without_its_base_are_refused(
    push: Push, carry_out: Exporter, carry_in: Importer, outside: Channel, inside: Channel
) -> None:
    push(name="one", version="1.0")
    first = carry_out()
    one = Channel.objects.get(pk=outside.pk).head
    push(name="two", version="1.0")
    second = carry_out(since=one)
    two = Channel.objects.get(pk=outside.pk).head
    push(name="three", version="1.0")
    third = carry_out(since=two)
    assert refusal(carry_in, second) == "bundle_base_missing"
    carry_in(first)
    before = trace(inside)
    assert refusal(carry_in, third) == "bundle_base_missing"
    assert trace(inside) == before
    carry_in(second)
    carry_in(third)
    before = trace(inside)
    for older in (first, second):
        assert refusal(carry_in, older) == "bundle_older"
    assert trace(inside) == before
    told = Event.objects.filter(type="bundle.refused")
    assert told.count() == 4 and "revision" in told.first().sentence  # type: ignore[union-attr]
    assert AuditEvent.objects.filter(action="bundle.refuse").count() == 4
    assert AuditEvent.objects.filter(action="bundle.import").count() == 3


def test_another_source_is_refused(push: Push, carry_out: Exporter, carry_in: Importer, staff: Actor, outside: Channel) -> None:
    from channels_app.services.channels import create_channel

    push(name="one", version="1.0")
    carry_in(carry_out())
    other = create_channel(actor=staff, organization=outside.organization, name="other", visibility="public")
    push(other, name="evil", version="1.0")
    assert refusal(carry_in, carry_out(other)) == "bundle_other_stream"


def test_keys_decide(push: Push, carry_out: Exporter, carry_in: Importer, inside: Channel, staff: Actor) -> None:
    push(name="one", version="1.0")
    folder = carry_out()
    trusted = signing.TrustedKey.objects.get()
    signing.distrust(actor=staff, key=trusted)
    before = trace(inside)
    assert refusal(carry_in, folder) == "bundle_untrusted"
    signing.trust(actor=staff, name="again", public=trusted.public)
    signing.rotate_key(actor=staff, name="outside 2027")
    rotated = carry_out()
    assert refusal(carry_in, rotated) == "bundle_key_rotated"
    assert trace(inside) == before
    manifest = read_manifest((rotated / "manifest.json").read_bytes())
    followed = signing.follow(actor=staff, rotations=manifest.rotations)
    assert (followed.name, followed.follows_id) == ("outside 2027", trusted.pk)
    assert carry_in(rotated).state == ImportState.DONE
    stranger = PrivateKey.generate()
    with pytest.raises(Conflict):
        signing.follow(actor=staff, rotations=[_rotation(stranger, PrivateKey.generate())])


def _rotation(old: PrivateKey, new: PrivateKey) -> dict[str, Any]:
    from datetime import UTC, datetime

    from mirrors_app.bundles.core.keys import rotate

    return rotate(old=old, new=new, name="stranger", made_at=datetime.now(UTC)).as_dict()


def test_a_private_key_is_sealed_and_never_shown(staff: Actor, key: str) -> None:
    row = signing.SigningKey.objects.get()
    pem = signing.private_of(row).to_pem().decode()
    assert "PRIVATE KEY" in pem and "PRIVATE KEY" not in row.sealed
    assert pem.split("\n")[1] not in json.dumps(list(AuditEvent.objects.values_list("details", flat=True)))
    with pytest.raises(Forbidden):
        signing.create_key(actor=Actor.of(User.objects.create(username="somebody")), name="theirs")
    signing.revoke_key(actor=staff, key=row)
    row.refresh_from_db()
    assert row.sealed == "" and row.revoked_at
    with pytest.raises(Conflict) as caught:
        signing.signing_key()
    assert caught.value.code == "no_key"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_is_refused_and_nothing_is_changed(
    data: st.DataObject, push: Push, carry_out: Exporter, carry_in: Importer, inside: Channel, tmp_path: Path
) -> None:
    folder = tmp_path / "flip"
    if not folder.exists():
        push(name="one", version="1.0")
        push(name="two", version="1.0", files={"lib/large": random.Random(3).randbytes(100_000)})
        shutil.move(carry_out(), folder)
    before = trace(inside)
    chosen = data.draw(st.sampled_from(sorted(folder.iterdir())))
    raw = bytearray(chosen.read_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    good = chosen.read_bytes()
    chosen.write_bytes(raw)
    try:
        assert refusal(carry_in, folder) in ("bundle_signature", "bundle_damaged")
    finally:
        chosen.write_bytes(good)
    assert trace(inside) == before
    assert not BundleHead.objects.exists()


def _resigned(folder: Path, staff: Actor, **changes: Any) -> None:
    """As the trusted signer would sign it, wrong or under duress."""
    manifest = read_manifest((folder / "manifest.json").read_bytes())
    key = signing.private_of(signing.SigningKey.objects.get(signs=True))
    write_manifest(folder, msgspec.structs.replace(manifest, **changes), key)


def test_what_is_no_package_is_refused_even_from_a_trusted_signer(
    push: Push, carry_in: Importer, inside: Channel, staff: Actor, key: str, tmp_path: Path
) -> None:
    from tests.mirrors_app.bundles.making import make_bundle

    private = signing.private_of(signing.SigningKey.objects.get())
    make_bundle(tmp_path / "bad", {"packages/noarch/one-1.0-0.conda": b"PK\x03\x04 not a package"}, private)
    before = trace(inside)
    assert refusal(carry_in, tmp_path / "bad") == "bundle_package"
    assert trace(inside) == before


def test_a_package_under_another_name_is_refused(push: Push, carry_in: Importer, key: str, tmp_path: Path, outside: Channel) -> None:
    from tests.mirrors_app.bundles.making import make_bundle

    push(name="one", version="1.0")
    data = blobs().read_bytes(PackageFile.objects.get(channel=outside).sha256)
    private = signing.private_of(signing.SigningKey.objects.get())
    make_bundle(tmp_path / "bad", {"packages/noarch/numpy-2.0-0.conda": data}, private)
    assert refusal(carry_in, tmp_path / "bad") == "bundle_package"


def test_records_whose_bytes_are_nowhere_are_refused(
    push: Push, carry_out: Exporter, carry_in: Importer, inside: Channel, staff: Actor
) -> None:
    push(name="one", version="1.0")
    folder = carry_out(include=[])
    manifest = read_manifest((folder / "manifest.json").read_bytes())
    [part] = manifest.parts
    from mirrors_app.bundles.core import tar
    from mirrors_app.bundles.core.records import digest_of as sha256_of

    only = [one for one in part.members if one.path.startswith("records/")]
    end = sum(tar.entry_bytes(one.path, one.size) for one in only)
    raw = (folder / part.name).read_bytes()[:end] + tar.END
    (folder / part.name).write_bytes(raw)
    _resigned(folder, staff, parts=[msgspec.structs.replace(part, members=only, size=len(raw), sha256=sha256_of(raw))])
    before = trace(inside)
    assert refusal(carry_in, folder) == "bundle_incomplete"
    assert trace(inside) == before


def test_what_somebody_decided_inside_stands(
    push: Push, carry_out: Exporter, carry_in: Importer, outside: Channel, inside: Channel, staff: Actor
) -> None:
    for name in ("held", "yanked", "purged", "fine"):
        push(name=name, version="1.0")
    carry_in(carry_out())
    base = Channel.objects.get(pk=outside.pk).head
    verbs: list[tuple[str, Verb]] = [("held", QUARANTINE), ("yanked", YANK), ("purged", PURGE)]
    for name, verb in verbs:
        change_state(actor=staff, channel=inside, verb=verb, files=[("noarch", f"{name}-1.0-0.conda")], reason="we know better")
    fixes = {f"{name}-1.0-0.conda": {"license": "MIT"} for name in ("held", "yanked", "purged", "fine")}
    hotfix.apply(actor=staff, channel=outside, subdir="noarch", instructions={"packages.conda": fixes})
    done = carry_in(carry_out(since=base))
    assert (done.result["changed"], done.result["kept_here"], done.result["purged"]) == (1, 2, 1)
    assert set(shown(inside)) == {"noarch/fine-1.0-0.conda"}
    states = dict(PackageFile.objects.filter(channel=inside).values_list("name", "state"))
    assert states == {"held": "held", "yanked": "yanked", "purged": "purged", "fine": "live"}


def test_what_may_not_be_given_out_is_left_out(
    push: Push, carry_out: Exporter, carry_in: Importer, outside: Channel, inside: Channel, staff: Actor
) -> None:
    push(name="fine", version="1.0")
    push(name="bad", version="1.0")
    push(name="quarantined", version="1.0")
    number = Channel.objects.get(pk=outside.pk).head
    change_state(actor=staff, channel=outside, verb=QUARANTINE, files=[("noarch", "quarantined-1.0-0.conda")], reason="looked at")
    policies.set_policy(actor=staff, scope=Scope.of_channel(outside), rules={"names": {"denied": ["bad"]}})
    folder = carry_out(revision=number)
    assert read_manifest((folder / "manifest.json").read_bytes()).counts.left_out == 2
    carry_in(folder)
    assert set(shown(inside)) == {"noarch/fine-1.0-0.conda"}


def test_policies_come_as_proposals_and_never_make_anything_weaker(
    push: Push, carry_out: Exporter, carry_in: Importer, outside: Channel, inside: Channel, staff: Actor
) -> None:
    push(name="one", version="1.0")
    policies.set_policy(actor=staff, scope=Scope.of_channel(outside), rules={"size": {"max_bytes": 10**9}, "names": {"denied": ["evil*"]}})
    policies.set_policy(actor=staff, scope=Scope.of_channel(inside), rules={"size": {"max_bytes": 10**6}})
    done = carry_in(carry_out())
    assert set(done.result["policies_proposed"]) == {"size", "names"}
    assert Policy.objects.get(channel=inside).rules.keys() == {"size"}
    push(name="evil-one", version="1.0")
    base = Channel.objects.get(pk=outside.pk).head
    push(name="two", version="1.0")
    done = carry_in(carry_out(), policies="apply")
    rules = Policy.objects.get(channel=inside).rules
    assert done.result["policies_applied"] == ["names"] and rules["size"]["max_bytes"] == 10**6 and rules["names"]["denied"] == ["evil*"]
    assert done.result["policies_proposed"] == {"size": {"max_bytes": 10**9, "effect": "deny"}}
    assert base and set(shown(inside)) == {"noarch/one-1.0-0.conda", "noarch/two-1.0-0.conda"}


ENTRY = {
    "id": "OSV-1",
    "aliases": ["CVE-2026-1"],
    "summary": "one is broken",
    "affected": [
        {
            "package": {"name": "one", "ecosystem": "conda"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2"}]}],
        }
    ],
    "database_specific": {"severity": "CRITICAL"},
}


def test_advisories_come_as_osv_and_hide_at_once(
    push: Push, carry_out: Exporter, carry_in: Importer, outside: Channel, inside: Channel, staff: Actor
) -> None:
    push(name="one", version="1.0")
    push(name="one", version="2.0")
    policies.load_advisories(actor=staff, entries=msgspec.convert([ENTRY, {**ENTRY, "id": "OSV-2", "affected": []}], list[osv.Entry]))
    before = Advisory.objects.values("osv_id", "name", "severity", "aliases", "ranges", "versions", "summary").get()
    folder = carry_out()
    Advisory.objects.all().delete()
    policies.set_policy(actor=staff, scope=Scope.of_channel(inside), rules={"advisories": {"min_severity": "critical"}})
    carry_in(folder)
    assert Advisory.objects.values("osv_id", "name", "severity", "aliases", "ranges", "versions", "summary").get() == before
    assert set(shown(inside)) == {"noarch/one-2.0-0.conda"}


def test_a_quota_that_is_too_small_changes_nothing(push: Push, carry_out: Exporter, carry_in: Importer, inside: Channel) -> None:
    push(name="one", version="1.0")
    Channel.objects.filter(pk=inside.pk).update(quota_bytes=10)
    folder = carry_out()
    before = trace(inside)
    with pytest.raises(QuotaExceeded):
        carry_in(folder)
    assert trace(inside) == before


def test_a_bundle_goes_only_where_bundles_decide(
    push: Push, carry_out: Exporter, carry_in: Importer, inside: Channel, staff: Actor, tmp_path: Path
) -> None:
    push(name="one", version="1.0")
    folder = carry_out()
    push(inside, name="own", version="1.0")
    assert refusal(carry_in, folder) == "channel_not_empty"
    change_state(actor=staff, channel=inside, verb=PURGE, files=[("noarch", "own-1.0-0.conda")], reason="out of the way")
    PackageFile.objects.filter(channel=inside).delete()
    carry_in(folder)
    with pytest.raises(Conflict) as caught:
        push(inside, name="own", version="2.0")
    assert caught.value.code == "not_hosted"


def test_the_walls_between_tenants(push: Push, outside: Channel, inside: Channel, staff: Actor, key: str) -> None:
    push(name="one", version="1.0")
    Channel.objects.filter(pk=outside.pk).update(visibility="private")
    outside.refresh_from_db()
    user = User.objects.create(username="maintainer")
    Grant.objects.create(organization=outside.organization, user=user, role="maintainer")
    maintainer = Actor.of(user)
    with pytest.raises(Forbidden):
        # May keep its mirrors, and not give it to others.
        exporting.order_export(actor=maintainer, channel=outside)
    Grant.objects.filter(user=user).update(role="owner")
    assert exporting.order_export(actor=Actor.of(user), channel=outside).sequence == 1
    stranger = Actor.of(User.objects.create(username="stranger"))
    with pytest.raises(Forbidden):
        exporting.order_export(actor=stranger, channel=outside)
    with pytest.raises(Forbidden):
        importing.begin_import(actor=Actor.of(user), channel=inside)
    taken = importing.begin_import(actor=staff, channel=inside)
    answers = set()
    for pk in (taken.pk, 10**9):
        with pytest.raises(Forbidden) as caught:
            importing.import_for(stranger, pk)
        answers.add(caught.value.detail)
    assert len(answers) == 1


def test_a_folder_is_taken_only_from_where_it_was_listed(
    push: Push, carry_out: Exporter, inside: Channel, staff: Actor, settings: Any, tmp_path: Path
) -> None:
    push(name="one", version="1.0")
    folder = carry_out()
    for wrong in (str(folder), "/etc", "relative", f"{tmp_path}/missing"):
        with pytest.raises(Unprocessable) as caught:
            importing.begin_import(actor=staff, channel=inside, folder=wrong)
        assert caught.value.code == "bad_folder" and str(tmp_path) not in caught.value.detail
    settings.CONDAHUB_BUNDLE_FOLDERS = [str(tmp_path)]
    assert importing.begin_import(actor=staff, channel=inside, folder=str(folder)).state == ImportState.READY
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(Unprocessable):
        importing.begin_import(actor=staff, channel=inside, folder=str(tmp_path / "link"))


def test_since_needs_a_bundle_that_brought_it(push: Push, carry_out: Exporter, outside: Channel) -> None:
    push(name="one", version="1.0")
    for since in (1, 99):
        with pytest.raises(Conflict) as caught:
            carry_out(since=since)
        assert caught.value.code == "no_base_bundle"
    carry_out()
    with pytest.raises(Conflict) as caught:
        carry_out(since=Channel.objects.get(pk=outside.pk).head)
    assert caught.value.code == "nothing_new"


def test_an_export_goes_on_where_it_was_killed(
    push: Push, outside: Channel, staff: Actor, key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for number in range(6):
        push(name=f"p{number}", version="1.0", files={"lib/x": random.Random(number).randbytes(40_000)})
    ordered = exporting.order_export(actor=staff, channel=outside, part_bytes=64 * 1024)
    number = Channel.objects.get(pk=outside.pk).head

    class Killed(BaseException):
        pass

    class Watch(exporting.Watch):
        left = 3

        def log(self, line: str) -> None:
            self.left -= line.startswith("part-")
            if not self.left:
                raise Killed

    def load() -> BundleExport:
        return BundleExport.objects.select_related("channel__organization", "stream", "key").get(pk=ordered.pk)

    with pytest.raises(Killed):
        exporting.run_export(load(), Watch())
    written = list(load().parts.values_list("pk", "sha256"))
    assert len(written) == 3
    push(name="later", version="1.0")
    made = exporting.run_export(load())
    assert (made.state, made.revision) == (ExportState.READY, number)
    assert list(made.parts.values_list("pk", "sha256"))[:3] == written and made.parts.count() > 3
    assert all(part.size <= 64 * 1024 for part in made.parts.all())
    exporting.delete_export(actor=staff, export=made)
    assert not made.parts.exists() and not Revision.objects.get(channel=outside, number=number).pinned


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_history_is_followed(data: st.DataObject, push: Push, carry_out: Exporter, carry_in: Importer, staff: Actor) -> None:
    """Whatever happens outside between bundles, whole or differences, inside shows the same after each."""
    from uuid import uuid4

    from channels_app.services.channels import create_channel

    organization, _ = Organization.objects.get_or_create(name="anybody")
    here, there = (
        create_channel(actor=staff, organization=organization, name=f"c{uuid4().hex[:12]}", visibility="public") for _ in range(2)
    )
    Channel.objects.filter(pk=here.pk).update(allow_overwrite=True)
    here.refresh_from_db()
    last: int | None = None
    for _ in range(data.draw(st.integers(1, 3))):
        for _ in range(data.draw(st.integers(0, 4))):
            _happen(data, push, staff, here)
        if (head := Channel.objects.get(pk=here.pk).head) == last:
            continue
        whole = last is None or data.draw(st.booleans())
        carry_in(carry_out(here, include=[], **({} if whole else {"since": last})), there)
        last = head
        assert shown(there) == shown(here)


def _happen(data: st.DataObject, push: Push, staff: Actor, channel: Channel) -> None:
    name = data.draw(st.sampled_from("ab"))
    filename = f"{name}-1.0-0.conda"
    what = data.draw(st.sampled_from(["publish", "overwrite", "delete", "yank", "restore", "fix", "revoke"]))
    try:
        if what in ("publish", "overwrite"):
            push(channel, force=what == "overwrite", name=name, version="1.0", files={"x": data.draw(st.binary(max_size=3))})
        elif what == "fix":
            fixed = {filename: {"license": data.draw(st.sampled_from(["MIT", None]))}}
            hotfix.apply(actor=staff, channel=channel, subdir="noarch", instructions={"packages.conda": fixed})
        elif what == "revoke":
            hotfix.apply(actor=staff, channel=channel, subdir="noarch", instructions={"revoke": [filename]})
        else:
            verb = {"delete": DELETE, "yank": YANK, "restore": RESTORE}[what]
            change_state(actor=staff, channel=channel, verb=verb, files=[("noarch", filename)])
    except HubError:
        pass


def test_records_come_back_bit_for_bit(push: Push, carry_out: Exporter, carry_in: Importer, outside: Channel, inside: Channel) -> None:
    push(name="one", version="1.0", extra_index={"z": "ä\u2028", "a": 1.0})
    carry_in(carry_out())
    ours, theirs = (PackageFile.objects.get(channel=one) for one in (inside, outside))
    assert (ours.record, ours.run_exports, ours.about) == (theirs.record, theirs.run_exports, theirs.about)
    assert ours.first_sight.replace(microsecond=0) == theirs.first_sight.replace(microsecond=0)
    assert canonical_json(json.loads(ours.record)).decode() == ours.record
    assert BundleImport.objects.get().result["added"] == 1


def test_an_import_killed_between_its_rows_and_its_revision_is_settled(
    push: Push, carry_out: Exporter, carry_in: Importer, outside: Channel, inside: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mirrors_app.bundles import publishing

    class Killed(BaseException):
        pass

    def killed(channel_id: int) -> int:
        raise Killed

    push(name="one", version="1.0")
    folder = carry_out()
    with monkeypatch.context() as patched:
        patched.setattr(publishing, "publish_dirty", killed)
        with pytest.raises(Killed):
            carry_in(folder)
    taken = BundleImport.objects.select_related("channel__organization").get()
    assert taken.state == ImportState.RUNNING and shown(inside) == {}
    done = importing.run_import(taken)
    assert (done.state, done.result["added"]) == (ImportState.DONE, 1)
    assert done.revision == Channel.objects.get(pk=inside.pk).head and shown(inside) == shown(outside)


def test_an_import_goes_on_with_what_was_verified(
    push: Push, carry_out: Exporter, carry_in: Importer, outside: Channel, inside: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mirrors_app.bundles import verifying

    read: list[str] = []
    inspect = verifying.inspect

    class Killed(BaseException):
        pass

    def counted(path: Path, *, filename: str) -> Any:
        if len(read) == 3:
            read.append("killed")
            raise Killed
        read.append(filename)
        return inspect(path, filename=filename)

    for number in range(5):
        push(name=f"p{number}", version="1.0")
    monkeypatch.setattr(verifying, "inspect", counted)
    folder = carry_out()
    before = trace(inside)
    with pytest.raises(Killed):
        carry_in(folder)
    assert trace(inside) == before
    importing.run_import(BundleImport.objects.select_related("channel__organization").get())
    assert read == [f"p{number}-1.0-0.conda" for number in range(3)] + ["killed", "p3-1.0-0.conda", "p4-1.0-0.conda"]
    assert shown(inside) == shown(outside)
