"""An attestation is checked as far as that can be done here, kept as the sidecar that CEP-50 says, and opens what asks for one."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from channels_app import doors
from channels_app.attestations import BadAttestation, check_bundle, read_bundles
from channels_app.models import Attestation, Channel, Effect, PackageFile
from channels_app.services import attesting
from channels_app.services.channels import create_channel
from channels_app.services.copying import copy
from channels_app.services.policies import set_policy
from channels_app.services.publish import Published
from channels_app.services.scopes import Scope
from channels_app.services.states import PURGE, QUARANTINE, change_state
from channels_app.services.virtual import create_virtual
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor
from condahub.accounts.services import create_user
from condahub.errors import Conflict, Forbidden, NotFound
from tests.attested import IDENTITY, ISSUER, make_bundle, statement_of
from tests.channels_app.conftest import Publisher
from tests.channels_app.doors_of import ask

pytestmark = pytest.mark.django_db(transaction=True)
NAME, SHA256 = "demo-1.0-0.conda", "ab" * 32
Change = Callable[[dict[str, Any]], object]


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _other(table: dict[str, Any], *path: str, value: Any) -> None:
    for key in path[:-1]:
        table = table[key]
    table[path[-1]] = value


def test_a_bundle_says_who_signed_that_these_are_the_bytes() -> None:
    assert check_bundle(make_bundle(NAME, SHA256), filename=NAME, sha256=SHA256) == (IDENTITY, ISSUER)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.pop("mediaType"),
        lambda one: one.pop("dsseEnvelope"),
        lambda one: one.pop("verificationMaterial"),
        lambda one: _other(one, "dsseEnvelope", "payloadType", value="text/plain"),
        lambda one: _other(one, "dsseEnvelope", "payload", value="%%%"),
        lambda one: _other(one, "dsseEnvelope", "payload", value=encoded(json.dumps(statement_of(NAME, SHA256)).encode() + b" ")),
        lambda one: _other(one, "dsseEnvelope", "signatures", value=[]),
        lambda one: _other(one, "dsseEnvelope", "signatures", value=[{"sig": encoded(b"x" * 70)}]),
        lambda one: _other(one, "verificationMaterial", "certificate", value={"rawBytes": encoded(b"no DER")}),
        lambda one: _other(one, "verificationMaterial", "certificate", value={"hint": "a key somewhere"}),
    ],
)  # fmt: skip
def test_a_bundle_that_is_damaged_or_signed_by_another_key_is_refused(change: Change) -> None:
    bundle = make_bundle(NAME, SHA256)
    change(bundle)
    with pytest.raises(BadAttestation):
        check_bundle(bundle, filename=NAME, sha256=SHA256)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.update(_type="https://in-toto.io/Statement/v0.1"),
        lambda one: one.update(predicateType="https://slsa.dev/provenance/v1"),
        lambda one: one["subject"].append(one["subject"][0]),
        lambda one: one["subject"][0].update(name="other-1.0-0.conda"),
        lambda one: one["subject"][0].update(digest={"sha256": "cd" * 32}),
        lambda one: one.update(predicate={"targetChannel": 7}),
    ],
)
def test_a_statement_about_something_else_is_refused(change: Change) -> None:
    statement = statement_of(NAME, SHA256)
    change(statement)
    with pytest.raises(BadAttestation):
        check_bundle(make_bundle(NAME, SHA256, statement=statement), filename=NAME, sha256=SHA256)


@pytest.mark.parametrize("content", [b"", b"[]", b"not json", b"[" + b"1," * 20 + b"1]", b'"' + b"x" * 600_000 + b'"'])
def test_what_is_no_bundle_or_too_much_is_refused(content: bytes) -> None:
    with pytest.raises(BadAttestation):
        read_bundles(content)


def _attest(actor: Actor, channel: Channel, pushed: Published, **more: Any) -> Attestation:
    file = pushed.file
    content = json.dumps(make_bundle(file.filename, file.sha256, **more)).encode()
    return attesting.attest(actor=actor, channel=channel, subdir=file.subdir, filename=file.filename, content=content)


def test_what_asks_for_an_attestation_is_shown_once_one_came(staff: Actor, channel: Channel, push: Publisher) -> None:
    set_policy(actor=staff, scope=Scope.of_channel(channel), rules={"attestation": {}})
    pushed = push(channel)
    path = f"/channels/{channel.name}/{pushed.file.subdir}/{pushed.file.filename}"
    assert ask(path).status == 403
    made = _attest(staff, channel, pushed)
    file = PackageFile.objects.get()
    assert file.verdict == Effect.ALLOW and made.signers == [{"identity": IDENTITY, "issuer": ISSUER}]
    # A process believes what it knows of a channel for 2 s.
    doors.forget_all()
    assert ask(path).status == 200
    shown = ask(f"/channels/{channel.name}/{file.subdir}/repodata.json").json()["packages.conda"][file.filename]
    reply = ask(f"{path}.sigs.{shown['attestations_sha256']}")
    assert hashlib.sha256(reply.body).hexdigest() == shown["attestations_sha256"] == made.sha256
    assert [one["mediaType"] for one in reply.json()] == ["application/vnd.dev.sigstore.bundle.v0.3+json"]
    assert "immutable" in reply.headers["Cache-Control"] and reply.headers["Content-Type"] == "application/json"
    assert ask(f"{path}.sigs.{'0' * 64}").status == 404


def test_another_one_is_added_and_the_first_sidecar_stays(staff: Actor, channel: Channel, push: Publisher) -> None:
    pushed = push(channel)
    path = f"/channels/{channel.name}/{pushed.file.subdir}/{pushed.file.filename}"
    content = json.dumps(make_bundle(pushed.file.filename, pushed.file.sha256)).encode()
    first, again = (
        attesting.attest(actor=staff, channel=channel, subdir=pushed.file.subdir, filename=pushed.file.filename, content=content)
        for _ in range(2)
    )
    assert first.pk == again.pk
    head = Channel.objects.get(pk=channel.pk).head
    both = _attest(staff, channel, pushed, identity="mailto:somebody@example.org")
    assert [one["identity"] for one in both.signers] == [IDENTITY, "mailto:somebody@example.org"]
    assert len(ask(f"{path}.sigs.{both.sha256}").json()) == 2
    # A past revision names the one that it showed.
    past = ask(f"/channels/{channel.name}@{head}/{pushed.file.subdir}/repodata.json").json()["packages.conda"][pushed.file.filename]
    assert past["attestations_sha256"] == first.sha256
    assert len(ask(f"/channels/{channel.name}@{head}/{pushed.file.subdir}/{pushed.file.filename}.sigs.{first.sha256}").json()) == 1


def test_what_closes_a_package_closes_what_attests_it(staff: Actor, channel: Channel, push: Publisher) -> None:
    pushed = push(channel)
    made = _attest(staff, channel, pushed)
    path = f"/channels/{channel.name}/{pushed.file.subdir}/{pushed.file.filename}.sigs.{made.sha256}"
    for verb, status in ((QUARANTINE, 403), (PURGE, 410)):
        change_state(actor=staff, channel=channel, verb=verb, files=[(pushed.file.subdir, pushed.file.filename)], reason="a test")
        assert ask(path).status == status


def test_a_copy_and_a_union_keep_what_attests_the_package(
    staff: Actor, organization: Organization, channel: Channel, push: Publisher
) -> None:
    pushed = push(channel)
    made = _attest(staff, channel, pushed)
    target = create_channel(actor=staff, organization=organization, name="copied", visibility="public")
    set_policy(actor=staff, scope=Scope.of_channel(target), rules={"attestation": {}})
    copy(actor=staff, source=channel, target=target, files=[(pushed.file.subdir, pushed.file.filename)])
    create_virtual(actor=staff, organization=organization, name="joined", members=["copied"], visibility="public")
    for name in ("copied", "joined"):
        assert len(ask(f"/channels/{name}/{pushed.file.subdir}/{pushed.file.filename}.sigs.{made.sha256}").json()) == 1


def test_who_may_bring_one_and_where(staff: Actor, channel: Channel, push: Publisher, organization: Organization) -> None:
    pushed = push(channel)
    with pytest.raises(Forbidden):
        _attest(Actor.of(create_user(actor=staff, username="nobody")), channel, pushed)
    with pytest.raises(NotFound):
        attesting.attest(actor=staff, channel=channel, subdir="noarch", filename="other-1.0-0.conda", content=b"{}")
    proxy = create_channel(actor=staff, organization=organization, name="proxied", kind="proxy")
    with pytest.raises(Conflict, match="nothing is added"):
        _attest(staff, proxy, pushed)
    assert not Attestation.objects.exists()
